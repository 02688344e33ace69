//! What workers ask: leases, and what may be written under one.

use std::time::Duration;

use serde_json::json;
use talaria::clock::{Clock, Timestamp};
use talaria::event::CallStatus;
use talaria::ids::CallId;
use talaria::tasks::engine::{
    EngineError, Lease, Progress, Renewed, State, TaskClient as _, TaskWorker as _, Wanted,
};
use talaria::transcript::Usage;

use super::bench::{Bench, Place, Window, checkpoint, completed, said, session, soon, steer, task};

pub async fn a_task_is_claimed_once<P: Place>() {
    let bench = Bench::<P>::new();
    let (first, second) = (bench.window(), bench.window());
    let id = first.submit("one").await;
    let claims = (0..10).map(|n| {
        let window = if n % 2 == 0 { &first } else { &second };
        window.engine.claim(Wanted::Task(id.clone()))
    });
    let claims = soon(futures::future::join_all(claims)).await;
    let (taken, refused): (Vec<_>, Vec<_>) = claims.into_iter().partition(Result::is_ok);
    assert_eq!((taken.len(), refused.len()), (1, 9));
    for error in refused {
        assert!(matches!(error, Err(EngineError::Taken { .. })), "{error:?}");
    }
    assert_eq!(first.story(&id).await, "queued started");
}

pub async fn the_oldest_queued_task_is_next<P: Place>() {
    let bench = Bench::<P>::new();
    let (first, second) = (bench.window(), bench.window());
    for key in ["a", "b", "c", "d"] {
        first.submit(key).await;
    }
    first.engine.cancel(task(1), String::new()).await.unwrap();
    let next = async |window: &Window<P>| {
        let claimed = window.engine.claim(Wanted::Next(session())).await.unwrap();
        claimed.map(|claimed| (claimed.lease.task.number, claimed.spec.goal))
    };
    assert_eq!(next(&first).await, Some((2, "goal of b".to_owned())));
    assert_eq!(next(&second).await, Some((3, "goal of c".to_owned())));
    assert_eq!(next(&first).await, Some((4, "goal of d".to_owned())));
    assert_eq!(next(&second).await, None);
}

pub async fn a_stale_lease_writes_nothing<P: Place>() {
    let bench = Bench::<P>::new();
    let gone = bench.window();
    let stale = gone.running("one").await.lease;
    drop(gone);

    let (worker, other) = (bench.window(), bench.window());
    let claimed = worker.claim(&stale.task).await;
    assert_eq!((stale.epoch, claimed.lease.epoch), (1, 2));
    let never = Lease { epoch: 3, ..stale.clone() };
    // Nor does the right one through another window, whose life says nothing of the worker's.
    let tries = [(&worker, &stale), (&other, &stale), (&worker, &never), (&other, &claimed.lease)];
    for (window, lease) in tries {
        let engine = &window.engine;
        let lost = EngineError::Lost { lease: lease.clone() };
        let lease = || lease.clone();
        assert_eq!(engine.append(lease(), vec![said("x")]).await.unwrap_err(), lost);
        assert_eq!(engine.checkpoint(lease(), checkpoint("x", 0)).await.unwrap_err(), lost);
        assert_eq!(engine.finish(lease(), 0, completed("x")).await.unwrap_err(), lost);
        assert_eq!(engine.renew(lease(), 0).await.unwrap(), Renewed::Lost);
    }
    assert_eq!(worker.story(&stale.task).await, "queued started lost started");

    worker.engine.finish(claimed.lease, 0, completed("mine")).await.unwrap();
    let late = worker.engine.finish(stale.clone(), 0, completed("late")).await.unwrap_err();
    assert_eq!(late, EngineError::Lost { lease: stale.clone() });
    assert_eq!(other.engine.result(stale.task).await.unwrap(), Some(completed("mine")));
}

pub async fn everything_of_one_append_or_nothing<P: Place>() {
    let bench = Bench::<P>::new();
    let window = bench.window();
    let lease = window.running("one").await.lease;
    let usage = |input| Progress::Usage {
        usage: Usage { input, output: 10, cached: 1 },
        cost: (input == 100).then_some(0.5),
    };
    let call = |status| Progress::Call {
        call: CallId::new("c1"),
        tool: "read".to_owned(),
        title: "a.rs".to_owned(),
        status,
        written: Vec::new(),
    };
    let asks = Progress::NeedsInput { question: json!({ "may": "I" }) };
    let all = vec![
        said("hello"),
        Progress::Plan { entries: Vec::new() },
        usage(100),
        usage(u64::MAX),
        call(CallStatus::Pending),
        call(CallStatus::Failed),
        asks,
    ];
    let last = window.engine.append(lease.clone(), all).await.unwrap();
    assert_eq!(last, 9);
    let status = window.status(&lease.task).await;
    assert_eq!((status.requests, status.calls, status.state), (2, 1, State::Waiting));
    assert_eq!(status.usage, Usage { input: u64::MAX, output: 20, cached: 2 });
    assert!((status.cost - 0.5).abs() < f64::EPSILON);
    assert_eq!(window.history(&lease.task).await.len(), 9);

    window.engine.append(lease.clone(), vec![Progress::InputTaken]).await.unwrap();
    let status = window.status(&lease.task).await;
    assert_eq!((status.state, status.question), (State::Running, None));
    assert_eq!(window.engine.append(lease, Vec::new()).await.unwrap(), 10);
}

pub async fn a_clock_that_jumps_neither_takes_a_lease_nor_loses_one<P: Place>() {
    let bench = Bench::<P>::new();
    let (clock, hand) = Clock::driven(Timestamp(1_000_000_000_000));
    let worker = bench.window_at(clock);
    let lease = worker.running("one").await.lease;
    worker.engine.send(lease.task.clone(), steer("a")).await.unwrap();
    hand.advance(Duration::from_hours(24 * 3_650));
    worker.engine.append(lease.clone(), vec![said("ten years later")]).await.unwrap();

    // One window lives a hundred years later, one in 1970.
    let later = bench.window_at(Clock::driven(Timestamp(4_000_000_000_000)).0);
    let earlier = bench.window_at(Clock::driven(Timestamp(0)).0);
    for window in [&later, &earlier] {
        let taken = window.engine.claim(Wanted::Task(lease.task.clone())).await.unwrap_err();
        assert!(matches!(taken, EngineError::Taken { .. }), "{taken}");
        assert_eq!(window.status(&lease.task).await.state, State::Running);
        window.engine.send(lease.task.clone(), steer("b")).await.unwrap();
    }
    worker.engine.append(lease.clone(), vec![said("still mine")]).await.unwrap();
    let renewed = worker.engine.renew(lease.clone(), 2).await.unwrap();
    assert_eq!(renewed, Renewed::Continue { unread: Vec::new() });
    worker.engine.finish(lease.clone(), 2, completed("done")).await.unwrap();

    // `history` holds that no event is earlier than the one before.
    let history = earlier.history(&lease.task).await;
    let last = history.last().unwrap().at;
    assert_eq!(last, Timestamp(4_000_000_000_000));
}

pub async fn everything_is_there_after_a_restart<P: Place>() {
    let bench = Bench::<P>::new();
    let window = bench.window();
    assert!(window.engine.capabilities().survives_restart);
    let lease = window.running("one").await.lease;
    window.engine.append(lease.clone(), vec![said("hello")]).await.unwrap();
    window.engine.finish(lease.clone(), 0, completed("done")).await.unwrap();
    let queued = window.submit("two").await;
    let (history, task) =
        (window.history(&lease.task).await, window.engine.get(queued.clone()).await.unwrap());
    drop(window);

    let window = bench.window();
    assert_eq!(window.history(&lease.task).await, history);
    assert_eq!(window.engine.get(queued.clone()).await.unwrap(), task);
    assert_eq!(window.engine.result(lease.task).await.unwrap(), Some(completed("done")));
    assert_eq!(window.submit("three").await.number, 3);
    assert_eq!(window.claim(&queued).await.lease.epoch, 1);
}
