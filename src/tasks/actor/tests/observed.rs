//! Who watches the tasks of a session is told of all of them first, then of those that changed, and at the end that
//! nothing more comes.

use std::collections::BTreeMap;

use super::fixture::{Home, House, limits, name, soon};
use crate::tasks::engine::State;
use crate::tasks::{Observer, Row, Wait, Which};

type Seen = BTreeMap<String, State>;

/// What comes next, and that it has each task once.
async fn next(observer: &mut Observer) -> Seen {
    let rows = soon(observer.next()).await.expect("the tasks are open");
    let count = rows.len();
    let seen: Seen = rows.into_iter().map(|Row { task_id, state, .. }| (task_id, state)).collect();
    assert_eq!(seen.len(), count, "each once");
    seen
}

/// Until a watcher that keeps what it saw knows this. How many times it is told is not said.
async fn until(observer: &mut Observer, seen: &mut Seen, wanted: &[(&str, State)]) {
    let wanted: Seen = wanted.iter().map(|(task, state)| ((*task).to_owned(), *state)).collect();
    while *seen != wanted {
        seen.extend(next(observer).await);
    }
}

async fn watch(house: &House) -> Observer {
    house.tasks.observe().await.unwrap()
}

#[tokio::test]
async fn who_watches_sees_all_first_and_then_what_changes() {
    let home = Home::new();
    let mut house = home.open(limits(1, 1)).await;
    let mut empty = watch(&house).await;
    house.start(&["one", "two"]).await;
    let mut seen = next(&mut watch(&house).await).await;
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["t1", "t2"]);
    let mut observer = watch(&house).await;
    until(&mut observer, &mut seen, &[("t1", State::Running), ("t2", State::Queued)]).await;
    house.born().await.completes("One.").await;
    until(&mut observer, &mut seen, &[("t1", State::Completed), ("t2", State::Running)]).await;
    // Who watched before there was anything has missed nothing.
    let mut seen = Seen::new();
    until(&mut empty, &mut seen, &[("t1", State::Completed), ("t2", State::Running)]).await;
}

#[tokio::test]
async fn who_asks_late_is_told_once_how_it_is_now() {
    let home = Home::new();
    let mut house = home.open(limits(1, 1)).await;
    let mut late = watch(&house).await;
    house.start(&["one", "two"]).await;
    for task in ["t1", "t2"] {
        let mut child = house.born().await;
        for _ in 0..100 {
            child.replies("On it.", 1).await;
        }
        child.is_prompted().await;
        child.ends_turn().await;
        house.is(task, State::Completed).await;
    }
    let all = Seen::from(["t1", "t2"].map(|task| (task.to_owned(), State::Completed)));
    assert_eq!(next(&mut late).await, all);
    assert_eq!(next(&mut watch(&house).await).await, all);
}

#[tokio::test]
async fn nothing_more_comes_when_the_tasks_are_closed() {
    let home = Home::new();
    let mut house = home.open(limits(1, 1)).await;
    house.start(&["one"]).await;
    let _child = house.born().await;
    let (mut observer, mut idle) = (watch(&house).await, watch(&house).await);
    next(&mut idle).await;
    // A watcher that is given up in the middle of waiting goes on where it was.
    drop(tokio::time::timeout(std::time::Duration::ZERO, idle.next()).await);
    house.tasks.cancel(Which::One(name("t1")), None).await.unwrap();
    let mut seen = Seen::new();
    until(&mut idle, &mut seen, &[("t1", State::Cancelled)]).await;
    soon(house.tasks.close()).await;
    while soon(observer.next()).await.is_some() {}
    while soon(idle.next()).await.is_some() {}
    assert!(house.tasks.observe().await.is_err());
}

#[tokio::test]
async fn who_asks_behind_the_close_is_told_how_the_tasks_ended() {
    let home = Home::new();
    let mut house = home.open(limits(1, 1)).await;
    house.start(&["one", "two"]).await;
    let _child = house.born().await;
    let (mut observer, mut late) = (watch(&house).await, watch(&house).await);
    next(&mut observer).await;
    soon(house.tasks.close()).await;
    let ended = Seen::from(["t1", "t2"].map(|task| (task.to_owned(), State::Cancelled)));
    assert_eq!(next(&mut observer).await, ended);
    assert!(soon(observer.next()).await.is_none());
    assert_eq!(next(&mut late).await, ended);
    assert!(soon(late.next()).await.is_none());
}

#[tokio::test]
async fn who_waits_is_told_how_the_tasks_ended_when_they_are_closed() {
    let home = Home::new();
    let mut house = home.open(limits(1, 1)).await;
    house.start(&["one", "two"]).await;
    house.born().await.completes("One.").await;
    let _child = house.born().await;
    house.is("t2", State::Running).await;
    let mut waiting = house.tasks.wait(vec![name("t1"), name("t2")], Wait::All).await.unwrap();
    soon(house.tasks.close()).await;
    soon(waiting.over()).await;
    let collected = soon(waiting.collect()).await;
    let states: Vec<_> = collected.iter().map(|one| (one.state, one.report.as_deref())).collect();
    assert_eq!(states, [(State::Completed, Some("One.")), (State::Cancelled, None)]);
}
