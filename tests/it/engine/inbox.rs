//! What clients tell a worker: order, receipts, and delivery at least once.

use serde_json::json;
use talaria::event::CallStatus;
use talaria::ids::CallId;
use talaria::tasks::engine::{
    Content, EngineError, Message, Progress, Receipt, Received, Renewed, State, TaskClient as _,
    TaskWorker as _,
};

use super::bench::{Bench, Place, checkpoint, completed, next_event, said, steer, word};

/// The ids of messages, with their positions.
fn ids(received: &[Received]) -> Vec<(u64, &str)> {
    received.iter().map(|one| (one.position, one.message.id.as_str())).collect()
}

fn unread(renewed: Renewed) -> Vec<Received> {
    match renewed {
        Renewed::Continue { unread } => unread,
        Renewed::Cancel { .. } | Renewed::Lost => panic!("{renewed:?}"),
    }
}

pub async fn messages_come_in_order_and_once<P: Place>() {
    let bench = Bench::<P>::new();
    let (first, second) = (bench.window(), bench.window());
    let id = first.submit("one").await;
    let answer =
        Message { id: "b".to_owned(), content: Content::Answer { answer: json!({ "allow": 1 }) } };
    for (message, position) in
        [(steer("a"), 1), (answer.clone(), 2), (steer("a"), 1), (steer("c"), 3), (steer("b"), 2)]
    {
        let receipt = first.engine.send(id.clone(), message.clone()).await.unwrap();
        assert_eq!(receipt, Receipt::Queued { position });
        // The same message through another window is still the same.
        assert_eq!(second.engine.send(id.clone(), message).await.unwrap(), receipt);
    }
    let claimed = second.claim(&id).await;
    assert_eq!(ids(&claimed.unread), [(1, "a"), (2, "b"), (3, "c")]);
    assert_eq!(claimed.unread[1].message, answer);
    let story = "queued received:a@1 received:b@2 received:c@3 started";
    assert_eq!(first.story(&id).await, story);
}

pub async fn a_message_during_a_call_is_seen_before_the_next_request<P: Place>() {
    let bench = Bench::<P>::new();
    let (worker, client) = (bench.window(), bench.window());
    let claimed = worker.running("one").await;
    let (lease, id) = (claimed.lease.clone(), claimed.lease.task.clone());
    let call = |status| Progress::Call {
        call: CallId::new("c1"),
        tool: "terminal".to_owned(),
        title: "make".to_owned(),
        status,
        written: Vec::new(),
    };
    worker.engine.append(lease.clone(), vec![call(CallStatus::InProgress)]).await.unwrap();

    // The worker hears of it without asking.
    let mut events = worker.engine.events(id.clone(), claimed.last + 1);
    client.engine.send(id.clone(), steer("m")).await.unwrap();
    assert_eq!(word(&next_event(&mut events).await.body), "received:m@1");

    worker.engine.append(lease.clone(), vec![call(CallStatus::Completed)]).await.unwrap();
    let renewed = worker.engine.renew(lease.clone(), 0).await.unwrap();
    assert_eq!(ids(&unread(renewed)), [(1, "m")]);
    let renewed = worker.engine.renew(lease.clone(), 1).await.unwrap();
    assert_eq!(unread(renewed), []);
    assert_eq!(client.status(&id).await.calls, 1);
}

pub async fn what_no_checkpoint_covers_is_delivered_again<P: Place>() {
    let bench = Bench::<P>::new();
    let client = bench.window();
    let id = client.submit("one").await;
    for message in ["a", "b", "c"] {
        client.engine.send(id.clone(), steer(message)).await.unwrap();
    }
    let worker = bench.window();
    let claimed = worker.claim(&id).await;
    assert_eq!(claimed.unread.len(), 3);
    // It has seen all three, and says so of one.
    worker.engine.checkpoint(claimed.lease, checkpoint("s", 1)).await.unwrap();
    drop(worker);

    let worker = bench.window();
    let claimed = worker.claim(&id).await;
    assert_eq!(claimed.lease.epoch, 2);
    assert_eq!(claimed.checkpoint, Some(checkpoint("s", 1)));
    assert_eq!(ids(&claimed.unread), [(2, "b"), (3, "c")]);
    // A repeat of what was delivered is not delivered again.
    client.engine.send(id.clone(), steer("a")).await.unwrap();
    let renewed = worker.engine.renew(claimed.lease, 1).await.unwrap();
    assert_eq!(ids(&unread(renewed)), [(2, "b"), (3, "c")]);
}

pub async fn receipts_say_what_became_of_a_message<P: Place>() {
    let bench = Bench::<P>::new();
    let window = bench.window();
    let lease = window.running("one").await.lease;
    let send =
        async |message: &str| window.engine.send(lease.task.clone(), steer(message)).await.unwrap();
    send("a").await;
    send("b").await;
    window.engine.checkpoint(lease.clone(), checkpoint("s", 1)).await.unwrap();
    assert_eq!(send("a").await, Receipt::Delivered { position: 1 });
    assert_eq!(send("b").await, Receipt::Queued { position: 2 });
    send("c").await;
    // The end says of "b" that it was seen, and "c" came too late.
    window.engine.finish(lease.clone(), 2, completed("done")).await.unwrap();
    assert_eq!(send("b").await, Receipt::Delivered { position: 2 });
    let missed = Receipt::Missed { state: State::Completed };
    assert_eq!(send("c").await, missed);
    assert_eq!(send("d").await, missed);
    let status = window.status(&lease.task).await;
    assert_eq!((status.received, status.read), (3, 2));
}

pub async fn a_position_that_the_inbox_does_not_have_is_refused<P: Place>() {
    let bench = Bench::<P>::new();
    let window = bench.window();
    let engine = &window.engine;
    let lease = window.running("one").await.lease;
    engine.send(lease.task.clone(), steer("a")).await.unwrap();
    engine.send(lease.task.clone(), steer("b")).await.unwrap();
    engine.checkpoint(lease.clone(), checkpoint("s", 1)).await.unwrap();
    for given in [0, 3] {
        let refused = EngineError::Position { given, read: 1, received: 2 };
        let at = checkpoint("t", given);
        assert_eq!(engine.checkpoint(lease.clone(), at).await.unwrap_err(), refused);
        let end = engine.finish(lease.clone(), given, completed("x")).await;
        assert_eq!(end.unwrap_err(), refused);
    }
    engine.append(lease.clone(), vec![said("still there")]).await.unwrap();
    assert_eq!(window.status(&lease.task).await.checkpoint, Some(checkpoint("s", 1)));
}
