//! The control socket of the built binary: who is answered, who watches, and what is left when a process is killed. The
//! methods themselves are tested over ACP and beside their code.

mod crash;
mod peers;
mod watchers;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use jsonrpsee_core::client::{ClientT as _, Subscription, SubscriptionClientT as _};
use jsonrpsee_core::params::ObjectParams;
use jsonrpsee_ws_client::{WsClient, WsClientBuilder};
use serde_json::{Value, json};
use talaria_protocol::{TASK_SUBSCRIBE, TASK_UNSUBSCRIBE};
use tokio::runtime::Runtime;

use crate::support::home::Home;
use crate::support::tasks::{Chat, MODEL};

const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(10);
/// Tells [`probe`] what to do: a word and a socket.
const PROBE: &str = "CONTROL_PROBE";
/// The beginning of a WebSocket.
const UPGRADE: &str = "GET / HTTP/1.1\r\nhost: talaria\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                       sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A home with the model of the tests of tasks, and a chat in it.
fn chat() -> (Home, Chat) {
    let home = Home::scripted(MODEL);
    let chat = Chat::new(&home);
    (home, chat)
}

/// Waits until there is something.
fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "waited for {what}");
        thread::sleep(LOOK);
    }
}

/// The sockets of a home's servers, dead or alive.
fn sockets(home: &Home) -> Vec<PathBuf> {
    let files = fs::read_dir(home.state().join("run")).into_iter().flatten();
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "sock"));
    paths.sort();
    paths
}

/// The socket of a home's only server.
fn socket(home: &Home) -> PathBuf {
    until("a socket", || sockets(home).pop())
}

/// Waits until the log says `text`.
fn logged(home: &Home, text: &str) {
    until(text, || {
        let files = fs::read_dir(home.state().join("logs")).ok()?;
        let mut texts = files.filter_map(|file| fs::read_to_string(file.unwrap().path()).ok());
        texts.find(|log| log.contains(text))
    });
}

/// What a server answers to whoever asks for a WebSocket.
fn greet(socket: &Path) -> (UnixStream, String) {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(UPGRADE.as_bytes()).unwrap();
    let mut answer = vec![0; 4 * 1024];
    let count = stream.read(&mut answer).unwrap();
    answer.truncate(count);
    (stream, String::from_utf8(answer).unwrap())
}

/// A client of a server.
struct Door {
    runtime: Runtime,
    client: WsClient,
}

impl Door {
    fn open(socket: &Path) -> Self {
        // It reads also while the test does something else.
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
        let client = runtime.block_on(async {
            let stream = tokio::net::UnixStream::connect(socket).await.unwrap();
            WsClientBuilder::new().build_with_stream("ws://talaria", stream).await.unwrap()
        });
        Self { runtime, client }
    }

    fn call(&self, method: &str, params: &Value) -> Value {
        let called = self.client.request(method, named(params));
        self.runtime.block_on(called).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn subscribe(&self, session: &str) -> Subscription<Value> {
        let params = named(&json!({ "sessionId": session }));
        let subscribed = self.client.subscribe(TASK_SUBSCRIBE, params, TASK_UNSUBSCRIBE);
        self.runtime.block_on(subscribed).unwrap()
    }

    /// Waits until so many tasks were said to be in this state.
    fn until(&self, events: &mut Subscription<Value>, tasks: usize, state: &str) {
        let mut seen = BTreeSet::new();
        self.runtime.block_on(async {
            while seen.len() < tasks {
                let event = tokio::time::timeout(PATIENCE, events.next()).await;
                let event =
                    event.unwrap_or_else(|_| panic!("waited for {tasks} {state}: {seen:?}"));
                let event = event.expect("it goes on").unwrap();
                if event["task"]["state"] == state {
                    seen.insert(event["task"]["taskId"].to_string());
                }
            }
        });
    }
}

fn named(params: &Value) -> ObjectParams {
    let mut named = ObjectParams::new();
    for (name, value) in params.as_object().unwrap() {
        named.insert(name, value).unwrap();
    }
    named
}

/// A command that runs [`probe`] in a process of its own.
fn prober(what: &str, socket: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "control::probe", "--nocapture"])
        .env(PROBE, format!("{what} {}", socket.display()));
    command
}

/// The other process of some tests; nothing where it was not asked for.
#[test]
fn probe() {
    let Ok(asked) = std::env::var(PROBE) else { return };
    let (what, rest) = asked.split_once(' ').unwrap();
    if what == "greet" {
        println!("{}", greet(Path::new(rest)).1);
        return;
    }
    // It watches, and waits for tasks, until it is killed.
    let (session, socket) = rest.split_once(' ').unwrap();
    let door = Door::open(Path::new(socket));
    let mut events = door.subscribe(session);
    door.until(&mut events, 1, "running");
    println!("watches");
    let params = json!({ "sessionId": session, "taskIds": ["t1"], "timeoutSeconds": 3600 });
    door.call(talaria_protocol::TASK_COLLECT, &params);
    panic!("it was not killed");
}
