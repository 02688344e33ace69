//! The socket, as programs see it: a real one, and a real client.

use std::path::PathBuf;
use std::time::Duration;

use jsonrpsee_core::client::{ClientT as _, Subscription, SubscriptionClientT as _};
use jsonrpsee_core::params::ObjectParams;
use jsonrpsee_ws_client::{WsClient, WsClientBuilder};
use serde_json::{Value, json};
use talaria_protocol::{
    SESSION_LIST, TASK_CHECK, TASK_COLLECT, TASK_LIST, TASK_SPAWN, TASK_SUBSCRIBE, TASK_UNSUBSCRIBE,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use super::fixture::{World, soon};
use crate::control::events::PATIENCE;
use crate::control::place::{Place, reach};
use crate::control::socket::{self, HANDSHAKE};

async fn served(world: &World) -> PathBuf {
    socket::start(world.table(), &world.folders(), &world.tracker, world.stop.clone());
    let place = Place::of(&world.folders()).unwrap();
    let found = async {
        loop {
            match place.sockets().unwrap().pop() {
                Some(socket) => return socket,
                None => tokio::task::yield_now().await,
            }
        }
    };
    soon(found).await
}

async fn client(socket: &std::path::Path) -> WsClient {
    let stream = soon(reach(socket)).await.unwrap().unwrap();
    soon(WsClientBuilder::new().build_with_stream("ws://talaria", stream)).await.unwrap()
}

fn params(value: &Value) -> ObjectParams {
    let mut params = ObjectParams::new();
    for (name, value) in value.as_object().unwrap() {
        params.insert(name, value).unwrap();
    }
    params
}

async fn subscribe(client: &WsClient) -> Subscription<Value> {
    let subscribed =
        client.subscribe(TASK_SUBSCRIBE, params(&json!({"sessionId": "s"})), TASK_UNSUBSCRIBE);
    soon(subscribed).await.unwrap()
}

/// The states of a task up to a final one.
async fn states(events: &mut Subscription<Value>, task: &str) -> Vec<String> {
    let mut states = Vec::new();
    loop {
        let event = soon(events.next()).await.expect("it goes on").unwrap();
        assert_eq!(event["sessionId"], "s");
        if event["task"]["taskId"] != task {
            continue;
        }
        let state = event["task"]["state"].as_str().unwrap().to_owned();
        let is_final = ["completed", "failed", "cancelled"].contains(&state.as_str());
        states.push(state);
        if is_final {
            return states;
        }
    }
}

#[tokio::test]
async fn a_program_finds_a_session_and_its_tasks() {
    let world = World::new();
    let mut session = world.open("s").await;
    let socket = served(&world).await;
    let client = client(&socket).await;
    let found: Value = client.request(SESSION_LIST, params(&json!({}))).await.unwrap();
    let expected = json!({
        "pid": std::process::id(),
        "version": "1.2.3",
        "client": "an editor",
        "sessions": [{"sessionId": "s", "cwd": world.folder.path(), "usedAt": 7}],
    });
    assert_eq!(found, expected);

    let one = json!({"sessionId": "s", "tasks": [{"goal": "one"}]});
    let started: Value = client.request(TASK_SPAWN, params(&one)).await.unwrap();
    assert_eq!(started["tasks"][0]["taskId"], "t1");
    let mut events = subscribe(&client).await;
    let born = session.born().await;
    born.says("working").await;
    born.completes("done").await;
    let states = states(&mut events, "t1").await;
    assert_eq!(states.last().unwrap(), "completed", "{states:?}");

    let error =
        client.request::<Value, _>(TASK_CHECK, params(&json!({"sessionId": "x", "taskId": "t1"})));
    let jsonrpsee_core::ClientError::Call(error) = error.await.unwrap_err() else {
        panic!("a call")
    };
    assert_eq!(
        (error.code(), error.data().unwrap().get().contains("unknownSession")),
        (-32002, true)
    );
    let unknown = client.subscribe::<Value, _>(
        TASK_SUBSCRIBE,
        params(&json!({"sessionId": "x"})),
        TASK_UNSUBSCRIBE,
    );
    assert!(unknown.await.is_err());

    session.tasks.close().await;
    assert!(soon(events.next()).await.is_none(), "it ends with the session");
    world.stop.cancel();
    world.tracker.close();
    soon(world.tracker.wait()).await;
    assert!(!socket.exists(), "the server took its socket with it");
}

#[tokio::test]
async fn two_hundred_watch_and_one_of_them_never_reads() {
    let world = World::new();
    let mut session = world.open("s").await;
    let socket = served(&world).await;
    let goals: Vec<Value> = (0..20).map(|_| json!({"goal": "x".repeat(60_000)})).collect();
    let asker = client(&socket).await;
    let spawn = params(&json!({"sessionId": "s", "tasks": goals}));
    let started: Value = asker.request(TASK_SPAWN, spawn).await.unwrap();
    assert_eq!(started["tasks"].as_array().unwrap().len(), 20);

    // It asks for events, again and again what all of them are, and takes nothing of it.
    let mut slow = upgraded(&socket).await;
    for id in 0..60 {
        let request = json!({
            "jsonrpc": "2.0", "id": id, "method": TASK_SUBSCRIBE, "params": {"sessionId": "s"},
        });
        slow.write_all(&frame(&request.to_string())).await.unwrap();
    }

    let mut clients = Vec::new();
    let mut watchers = JoinSet::new();
    for _ in 0..8 {
        let client = client(&socket).await;
        for _ in 0..25 {
            let mut events = subscribe(&client).await;
            watchers.spawn(async move { states(&mut events, "t20").await });
        }
        clients.push(client);
    }
    for _ in 0..20 {
        let born = session.born().await;
        born.completes("done").await;
    }
    while let Some(states) = soon(watchers.join_next()).await {
        let states = states.unwrap();
        assert_eq!(states.last().unwrap(), "completed", "{states:?}");
    }

    // Nothing of what waited for it is there any more: it has lost its connection.
    tokio::time::pause();
    tokio::time::advance(PATIENCE + Duration::from_secs(1)).await;
    tokio::time::resume();
    is_closed(&mut slow).await;
    let listed: Value = asker.request(TASK_LIST, params(&json!({"sessionId": "s"}))).await.unwrap();
    assert_eq!(listed["tasks"].as_array().unwrap().len(), 20);
}

/// Until the other side has closed it.
async fn is_closed(stream: &mut tokio::net::UnixStream) {
    let closed = async {
        let mut rest = vec![0; 64 * 1024];
        while !matches!(stream.read(&mut rest).await, Ok(0) | Err(_)) {}
    };
    soon(closed).await;
}

#[tokio::test]
async fn who_says_nothing_or_nonsense_loses_the_connection() {
    let world = World::new();
    let session = world.open("s").await;
    let socket = served(&world).await;
    let asker = client(&socket).await;
    let mut strangers = Vec::new();
    for said in ["", "GET / HT", "GET / HTTP/1.1\r\nhost: a\r\n", "{\"jsonrpc\": \"2.0\"}\r\n\r\n"]
    {
        let mut stranger = reach(&socket).await.unwrap().unwrap();
        stranger.write_all(said.as_bytes()).await.unwrap();
        strangers.push(stranger);
    }
    let listed: Value = asker.request(TASK_LIST, params(&json!({"sessionId": "s"}))).await.unwrap();
    assert_eq!(listed["tasks"], json!([]));
    for stranger in &mut strangers {
        // Again, where it was not being listened to yet.
        let mut rest = vec![0; 4096];
        while !matches!(stranger.try_read(&mut rest), Ok(0)) {
            tokio::time::pause();
            tokio::time::advance(HANDSHAKE + Duration::from_secs(1)).await;
            tokio::time::resume();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    // More than a message may have, in one frame.
    let mut large = upgraded(&socket).await;
    let mut head = vec![0x81, 0x80 | 127];
    head.extend((17_u64 * 1024 * 1024).to_be_bytes());
    head.extend([0; 4]);
    large.write_all(&head).await.unwrap();
    let (mut from, mut to) = large.into_split();
    let mut sends = JoinSet::new();
    sends.spawn(async move {
        let piece = vec![b' '; 1024 * 1024];
        for _ in 0..17 {
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
    });
    let refused = async {
        let (mut said, mut piece) = (String::new(), vec![0; 4096]);
        while let Ok(count @ 1..) = from.read(&mut piece).await {
            said.push_str(&String::from_utf8_lossy(&piece[..count]));
            if said.contains("-32007") {
                return;
            }
        }
    };
    soon(refused).await;
    drop(from);
    soon(sends.join_all()).await;

    let mut subscriptions = Vec::new();
    for _ in 0..64 {
        subscriptions.push(subscribe(&asker).await);
    }
    let more = asker.subscribe::<Value, _>(
        TASK_SUBSCRIBE,
        params(&json!({"sessionId": "s"})),
        TASK_UNSUBSCRIBE,
    );
    assert!(soon(more).await.is_err(), "there are limits");
    session.tasks.close().await;
    for mut events in subscriptions {
        assert!(soon(events.next()).await.is_none(), "it ends with the session");
    }
}

#[tokio::test]
async fn the_end_of_the_server_is_the_end_of_what_waits() {
    let world = World::new();
    let mut session = world.open("s").await;
    let socket = served(&world).await;
    let asker = client(&socket).await;
    let one = json!({"sessionId": "s", "tasks": [{"goal": "one"}]});
    let started: Value = asker.request(TASK_SPAWN, params(&one)).await.unwrap();
    assert_eq!(started["tasks"][0]["taskId"], "t1");
    let _born = session.born().await;
    let mut waits = JoinSet::new();
    for _ in 0..20 {
        let other = client(&socket).await;
        waits.spawn(async move {
            let wait = json!({"sessionId": "s", "taskIds": ["t1"], "timeoutSeconds": 3600});
            other.request::<Value, _>(TASK_COLLECT, params(&wait)).await
        });
    }
    // One that does not wait for its answer.
    let mut gone = upgraded(&socket).await;
    let wait = json!({"sessionId": "s", "taskIds": ["t1"], "timeoutSeconds": 3600});
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": TASK_COLLECT, "params": wait});
    gone.write_all(&frame(&request.to_string())).await.unwrap();
    drop(gone);
    let listed: Value = asker.request(TASK_LIST, params(&json!({"sessionId": "s"}))).await.unwrap();
    assert_eq!(listed["tasks"].as_array().unwrap().len(), 1);
    let begun = tokio::time::Instant::now();
    world.stop.cancel();
    world.tracker.close();
    soon(world.tracker.wait()).await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(!socket.exists());
    // Each has an answer, or its connection is gone.
    while let Some(waited) = soon(waits.join_next()).await {
        drop(waited.unwrap());
    }
}

/// A connection behind its handshake.
async fn upgraded(socket: &std::path::Path) -> tokio::net::UnixStream {
    let mut stream = reach(socket).await.unwrap().unwrap();
    stream
        .write_all(
            b"GET / HTTP/1.1\r\nhost: talaria\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
              sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await
        .unwrap();
    let mut answer = vec![0; 12];
    soon(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 101");
    stream
}

/// A text in one masked frame, as a client sends it.
fn frame(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).ok().filter(|length| *length < 126);
    let mut frame = vec![0x81, 0x80 | length.unwrap_or(126)];
    if length.is_none() {
        frame.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
    }
    frame.extend([0; 4]);
    frame.extend(text.bytes());
    frame
}
