//! What listeners hear: history first, then what happens, each once.

use futures::StreamExt as _;
use futures::future::join_all;
use talaria::tasks::engine::{
    Body, EngineError, Heard, Lease, Passing, Progress, State, TaskClient as _, TaskWorker as _,
};

use super::bench::{Bench, Place, completed, next_event, rest, said, soon, steer, word};

pub async fn from_the_middle<P: Place>() {
    let bench = Bench::<P>::new();
    let window = bench.window();
    let lease = window.running("one").await.lease;
    let say = |n: u64| window.engine.append(lease.clone(), vec![said(&n.to_string())]);
    for n in 3..=6 {
        say(n).await.unwrap();
    }
    let mut events = window.engine.events(lease.task.clone(), 4);
    // 7 is written before anything is read, 8 after.
    say(7).await.unwrap();
    for n in 5..=7 {
        let event = next_event(&mut events).await;
        assert_eq!((event.seq, word(&event.body)), (n, format!("said:{n}")));
    }
    say(8).await.unwrap();
    assert_eq!(next_event(&mut events).await.seq, 8);
    // Nothing more until something happens.
    assert!(futures::poll!(events.next()).is_pending());
    say(9).await.unwrap();
    assert_eq!(next_event(&mut events).await.seq, 9);
}

pub async fn across_the_end<P: Place>() {
    let bench = Bench::<P>::new();
    let window = bench.window();
    let lease = window.running("one").await.lease;
    let events = window.engine.events(lease.task.clone(), 1);
    let (heard, ()) = soon(futures::future::join(rest(events), async {
        window.engine.append(lease.clone(), vec![said("a"), said("b")]).await.unwrap();
        window.engine.finish(lease.clone(), 0, completed("done")).await.unwrap();
    }))
    .await;
    let words: Vec<String> = heard.iter().map(|event| word(&event.body)).collect();
    assert_eq!(words, ["started", "said:a", "said:b", "completed"]);
    assert_eq!(heard.last().unwrap().seq, 5);

    for (after, count) in [(0, 5), (3, 2), (4, 1), (5, 0), (6, 0), (u64::MAX, 0)] {
        let heard = rest(window.engine.events(lease.task.clone(), after)).await;
        assert_eq!(heard.len(), count, "after {after}");
    }
}

pub async fn two_windows_hear_the_same<P: Place>() {
    let bench = Bench::<P>::new();
    let (first, second) = (bench.window(), bench.window());
    let id = first.submit("one").await;
    let here = first.engine.events(id.clone(), 0);
    let there = second.engine.events(id.clone(), 0);
    let work = async {
        // The one that did not submit runs it, and both send.
        let lease = second.claim(&id).await.lease;
        for n in 0..10 {
            second.engine.append(lease.clone(), vec![said(&n.to_string())]).await.unwrap();
            let window = if n % 2 == 0 { &first } else { &second };
            window.engine.send(id.clone(), steer(&n.to_string())).await.unwrap();
        }
        second.engine.finish(lease, 10, completed("done")).await.unwrap();
    };
    let (here, there, ()) = soon(futures::future::join3(rest(here), rest(there), work)).await;
    assert_eq!(here, there);
    assert_eq!(here, first.history(&id).await);
    assert_eq!(here.len(), 23);
}

pub async fn to_stop_listening_changes_nothing<P: Place>() {
    let bench = Bench::<P>::new();
    let window = bench.window();
    let lease = window.running("one").await.lease;
    for n in 0..20 {
        let mut events = window.engine.events(lease.task.clone(), 0);
        if n % 2 == 0 {
            next_event(&mut events).await;
            // In the middle of waiting.
            let mut events = window.engine.events(lease.task.clone(), 2);
            let _read_or_not = futures::poll!(events.next());
        }
        drop(events);
        window.engine.append(lease.clone(), vec![said("x")]).await.unwrap();
    }
    assert_eq!(window.status(&lease.task).await.state, State::Running);
    assert_eq!(window.history(&lease.task).await.len(), 22);
}

pub async fn pieces_of_text_pass_in_their_place<P: Place>() {
    let bench = Bench::<P>::new();
    let window = bench.window();
    if !window.engine.capabilities().passing {
        return;
    }
    let engine = &window.engine;
    let lease = window.running("one").await.lease;
    // Nobody listens: it is gone.
    engine.say(lease.clone(), "unheard".to_owned()).await.unwrap();
    let mut events = engine.events(lease.task.clone(), 2);
    engine.say(lease.clone(), "he".to_owned()).await.unwrap();
    engine.append(lease.clone(), vec![said("hello")]).await.unwrap();
    engine.say(lease.clone(), "wo".to_owned()).await.unwrap();
    // The whole has overtaken the first piece.
    let whole = soon(events.next()).await.unwrap().unwrap();
    assert!(matches!(whole, Heard::Event(event) if event.seq == 3));
    let piece = soon(events.next()).await.unwrap().unwrap();
    let passing = Passing { task: lease.task.clone(), epoch: 1, after: 3, text: "wo".to_owned() };
    assert_eq!(piece, Heard::Passing(passing));
    engine.say(lease.clone(), "ld".to_owned()).await.unwrap();
    engine.finish(lease.clone(), 0, completed("done")).await.unwrap();
    assert_eq!(rest(events).await.len(), 1);

    // With a listener that waits, it arrives.
    let lease = window.running("two").await.lease;
    let mut events = engine.events(lease.task.clone(), 2);
    assert!(futures::poll!(events.next()).is_pending());
    let next = async { soon(events.next()).await.unwrap().unwrap() };
    let (heard, ()) = futures::future::join(next, async {
        engine.say(lease.clone(), "piece".to_owned()).await.unwrap();
    })
    .await;
    match heard {
        Heard::Passing(passing) => assert_eq!((passing.text.as_str(), passing.after), ("piece", 2)),
        Heard::Event(event) => panic!("{event:?}"),
    }
    // A piece that follows what another window wrote brings that along.
    let other = bench.window();
    other.engine.send(lease.task.clone(), steer("m")).await.unwrap();
    engine.say(lease.clone(), "on".to_owned()).await.unwrap();
    assert_eq!(word(&next_event(&mut events).await.body), "received:m@1");
    let piece = soon(events.next()).await.unwrap().unwrap();
    assert!(matches!(piece, Heard::Passing(passing) if passing.after == 3));
    // It is in no history, and a stale lease passes nothing on.
    let stale = Lease { epoch: 7, ..lease.clone() };
    let lost = engine.say(stale.clone(), "x".to_owned()).await.unwrap_err();
    assert_eq!(lost, EngineError::Lost { lease: stale });
    assert_eq!(window.story(&lease.task).await, "queued started received:m@1");
}

pub async fn many_listeners_of_a_busy_task_miss_nothing<P: Place>() {
    let bench = Bench::<P>::new();
    let window = bench.window();
    let lease = window.running("one").await.lease;
    let listeners = (0..20).map(|n| rest(window.engine.events(lease.task.clone(), n % 3)));
    let work = async {
        for n in 0..300_u64 {
            let some: Vec<Progress> = (0..n % 4).map(|k| said(&format!("{n}.{k}"))).collect();
            window.engine.append(lease.clone(), some).await.unwrap();
        }
        window.engine.finish(lease.clone(), 0, completed("done")).await.unwrap();
    };
    let (heard, ()) = soon(futures::future::join(join_all(listeners), work)).await;
    let history = window.history(&lease.task).await;
    assert_eq!(history.len(), 2 + 450 + 1);
    for (n, events) in heard.iter().enumerate() {
        assert_eq!(events.as_slice(), &history[n % 3..]);
    }
    assert!(matches!(history.last().unwrap().body, Body::Ended { .. }));
}
