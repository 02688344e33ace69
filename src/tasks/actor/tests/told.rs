//! What sessions are told of their tasks: when, in which order, and whether it is exact.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::fixture::{Home, House, Knows, SECRET, caller, limits, name, new, soon, start_in};
use crate::ids::{MessageId, SessionId};
use crate::tasks::engine::{State, TaskClient as _};
use crate::tasks::{About, By, Caller, Details, Origin, TaskCard, TaskSaid, Which};

/// In which nothing happens that must not.
const MOMENT: Duration = Duration::from_millis(50);

/// The next thing, which is a card.
fn card(said: TaskSaid) -> TaskCard {
    let TaskSaid::Card(card) = said else { panic!("{said:?}") };
    card
}

#[tokio::test]
async fn who_starts_tasks_is_answered_behind_their_cards() {
    let home = Home::new();
    let mut house = home.house(limits(2, 1));
    let (attachment, mut said) = house.attachment(Knows::New, &[], 1);
    house.tasks.attach(attachment).await;
    let mut starts = JoinSet::new();
    let tasks = house.tasks.clone();
    starts.spawn(async move { start_in(&tasks, &["one", "two"]).await });
    let mut children = vec![house.born().await, house.born().await];
    for child in &mut children {
        child.is_prompted().await;
    }
    // There is room for one card.
    assert!(timeout(MOMENT, starts.join_next()).await.is_err());
    assert_eq!(card(*soon(said.recv()).await.unwrap()).card.id.as_str(), "task-t1");
    assert!(soon(starts.join_next()).await.unwrap().unwrap().is_ok());
    assert_eq!(card(*said.try_recv().unwrap()).card.id.as_str(), "task-t2");
}

#[tokio::test]
async fn who_lets_a_task_go_on_is_answered_behind_its_new_card() {
    let home = Home::new();
    home.dies_while_one_runs().await;
    let house = home.house(limits(1, 1));
    let (attachment, mut said) = house.attachment(Knows::Reports(&[]), &["task-t1"], 1);
    house.tasks.attach(attachment).await;
    house.is("t1", State::Interrupted).await;
    let mut resumes = JoinSet::new();
    let tasks = house.tasks.clone();
    resumes.spawn(async move { tasks.resume(Which::All).await });
    assert!(timeout(MOMENT, resumes.join_next()).await.is_err());
    let shown = card(*soon(said.recv()).await.unwrap());
    assert_eq!((shown.card.id.as_str(), shown.state), ("task-t1", State::Interrupted));
    assert!(soon(resumes.join_next()).await.unwrap().unwrap().is_ok());
    assert_eq!(card(*said.try_recv().unwrap()).card.id.as_str(), "task-t1-2");
}

#[tokio::test]
async fn a_session_that_goes_leaves_nobody_without_an_answer() {
    let home = Home::new();
    let mut house = home.house(limits(2, 1));
    let (attachment, _said) = house.attachment(Knows::New, &[], 1);
    house.tasks.attach(attachment).await;
    let mut starts = JoinSet::new();
    let tasks = house.tasks.clone();
    starts.spawn(async move { start_in(&tasks, &["one", "two"]).await });
    let (one, two) = (house.born().await, house.born().await);
    assert!(timeout(MOMENT, starts.join_next()).await.is_err());
    house.tasks.detach().await;
    assert_eq!(soon(starts.join_next()).await.unwrap().unwrap().unwrap().len(), 2);
    drop((one, two));
}

/// Adds what the next cards say of their tasks, until these states have been shown.
async fn cards(
    house: &mut House,
    abouts: &mut BTreeMap<u64, Arc<About>>,
    until: &[(u64, State)],
) -> Vec<(u64, State)> {
    let mut shown = Vec::new();
    while !until.iter().all(|state| shown.contains(state)) {
        let said = timeout(Duration::from_secs(10), house.said.recv()).await;
        let said = said.unwrap_or_else(|_| panic!("no more than {shown:?}"));
        let TaskSaid::Card(said) = *said.unwrap() else { continue };
        let mark = said.card.task.expect("a card has the mark of its task");
        assert_eq!((mark.id, &*mark.state), (format!("t{}", said.task), said.state.name()));
        if let Some(about) = abouts.insert(said.task, Arc::clone(&said.about)) {
            assert_eq!(about, said.about);
        }
        shown.push((said.task, said.state));
    }
    shown
}

#[tokio::test]
async fn every_card_says_of_which_task_it_is_and_how_that_stands() {
    let home = Home::new();
    let mut house = home.open(limits(2, 2)).await;
    let origin = Origin { prompt: MessageId::new("m7"), generation: 2 };
    let caller = Caller { by: By::User, origin: origin.clone(), ..caller() };
    let goals = ["one", &format!("two {SECRET}"), "three"];
    house.tasks.start(caller, goals.map(new).to_vec()).await.unwrap();
    let mut abouts = BTreeMap::new();
    let until = [(1, State::Running), (2, State::Running), (3, State::Queued)];
    cards(&mut house, &mut abouts, &until).await;
    let (one, two) = (house.born().await, house.born().await);
    let (mut one, mut two) = if one.goal == "one" { (one, two) } else { (two, one) };
    // What a task of the second asks shows on the second.
    two.is_prompted().await;
    let tasks = two.tasks.clone().unwrap();
    let (attachment, mut said) = house.attachment(Knows::New, &[], 64);
    tasks.attach(attachment).await;
    one.is_prompted().await;
    one.replies("One.", 1).await;
    one.ends_turn().await;
    cards(&mut house, &mut abouts, &[(1, State::Completed), (3, State::Running)]).await;
    let mut three = house.born().await;
    three.is_prompted().await;
    three.replies("Three.", 1).await;
    three.ends_turn().await;
    cards(&mut house, &mut abouts, &[(3, State::Completed)]).await;
    start_in(&tasks, &["below"]).await.unwrap();
    let mut below = house.born().await;
    below.is_prompted().await;
    below.asks("c1").await;
    cards(&mut house, &mut abouts, &[(2, State::Waiting)]).await;
    let shown = card(*soon(said.recv()).await.unwrap());
    assert_ne!(shown.about.child, abouts[&2].child);
    assert_eq!((&*shown.about.goal, shown.about.by, shown.task), ("below", By::Model, 1));
    house.dies().await;

    let mut house = home.house(limits(1, 1));
    house.attach(Knows::Reports(&[1]), &["task-t1", "task-t2", "task-t3"]).await;
    let mut found = BTreeMap::new();
    let until = [(1, State::Completed), (2, State::Interrupted), (3, State::Completed)];
    cards(&mut house, &mut found, &until).await;
    assert_eq!(found, abouts);
    for (number, about) in found {
        let task = crate::ids::TaskId { session: house.tasks.session().clone(), number };
        let kept = house.engine.get(task).await.unwrap().spec;
        let details: Details = serde_json::from_value(kept.details).unwrap();
        assert_eq!((&about.child, &about.goal), (&details.child, &kept.goal));
        assert_eq!((about.by, &about.origin), (By::User, &origin));
        assert!(!about.goal.contains(SECRET));
    }
}

#[tokio::test]
async fn a_report_is_fresh_once_and_for_the_session_that_was_there() {
    let home = Home::new();
    let mut house = home.open(limits(2, 1)).await;
    house.start(&["one", "two"]).await;
    let cancel = |task: &str| house.tasks.cancel(Which::One(name(task)), None);
    soon(cancel("t1")).await.unwrap();
    // Nobody read it: the session that comes then hears of it, and was not there.
    house.tasks.detach().await;
    soon(cancel("t2")).await.unwrap();
    house.attach(Knows::Reports(&[]), &[]).await;
    let mut told = BTreeSet::new();
    for _ in 0..2 {
        let report = house.report().await;
        told.insert((report.task.number, report.is_fresh));
    }
    assert_eq!(told, BTreeSet::from([(1, false), (2, false)]));
    house.start(&["three"]).await;
    soon(house.tasks.cancel(Which::All, None)).await.unwrap();
    let report = house.report().await;
    assert_eq!((report.task.number, report.is_fresh), (3, true));
}

#[tokio::test]
async fn the_session_of_a_task_hears_once_what_that_was_told() {
    let home = Home::new();
    let mut house = home.open(limits(2, 2)).await;
    house.start(&["one", "two", "three"]).await;
    let (one, two) = (house.born().await, house.born().await);
    let (mut one, two) = if one.goal == "one" { (one, two) } else { (two, one) };
    one.is_prompted().await;
    let mut children = BTreeMap::new();
    while children.len() < 3 {
        let TaskCard { task, about, .. } = card(*soon(house.said.recv()).await.unwrap());
        children.insert(task, about.child.clone());
    }
    let root = house.tasks.clone();
    let steer = |task: &str, text: &str| {
        let (tasks, task, text) = (root.clone(), name(task), text.to_owned());
        async move { soon(tasks.steer(&task, text)).await.unwrap().receipt }
    };
    let steered = |number: u64, text: &str| {
        let (child, text) = (children[&number].clone(), text.to_owned());
        TaskSaid::Steered { child, text }
    };
    let masked = format!("log in with {SECRET}");
    // To one that runs, and to one that waits for its slot. Who sent it is answered behind.
    assert_eq!(steer("t1", &masked).await, "queued");
    assert_eq!(steer("t3", "look left").await, "queued");
    let mut heard = Vec::new();
    while let Ok(said) = house.said.try_recv() {
        if !matches!(*said, TaskSaid::Card(_)) {
            heard.push(*said);
        }
    }
    let hidden = crate::redact::Mask::new(&[crate::config::Secret::new(SECRET)]);
    assert_eq!(heard, [steered(1, &hidden.hide(&masked)), steered(3, "look left")]);
    assert!(!format!("{heard:?}").contains(SECRET));
    assert_eq!(one.is_prompted().await, masked);

    // One below a task is that task's, whoever speaks to it.
    let tasks = one.tasks.clone().unwrap();
    let (attachment, mut below) = house.attachment(Knows::New, &[], 64);
    tasks.attach(attachment).await;
    start_in(&tasks, &["below"]).await.unwrap();
    let child = card(*soon(below.recv()).await.unwrap()).about.child.clone();
    assert_eq!(steer("t1.1", "look right").await, "queued");
    let text = "look right".to_owned();
    let mut said = *soon(below.recv()).await.unwrap();
    while matches!(said, TaskSaid::Card(_)) {
        said = *soon(below.recv()).await.unwrap();
    }
    assert_eq!(said, TaskSaid::Steered { child, text });
    // What comes too late is told to nobody.
    two.completes("Two.").await;
    assert_eq!(house.report().await.task.number, 2);
    assert_eq!(steer("t2", "too late").await, "missed");
    while let Ok(said) = house.said.try_recv() {
        assert!(!matches!(*said, TaskSaid::Steered { .. }), "{said:?}");
    }
}

#[tokio::test]
async fn the_session_of_a_task_is_cancelled_as_its_task() {
    let home = Home::new();
    let mut house = home.open(limits(3, 2)).await;
    house.start(&["one", "two", "three", "four"]).await;
    let mut born = BTreeMap::new();
    for _ in 0..3 {
        let mut child = house.born().await;
        child.is_prompted().await;
        born.insert(child.goal.clone(), child);
    }
    let mut children = BTreeMap::new();
    while children.len() < 4 {
        let TaskCard { task, about, .. } = card(*soon(house.said.recv()).await.unwrap());
        children.insert(task, about.child.clone());
    }
    let one = born["one"].tasks.clone().unwrap();
    let (attachment, mut said) = house.attachment(Knows::New, &[], 64);
    one.attach(attachment).await;
    start_in(&one, &["below", "beside"]).await.unwrap();
    let below = card(*soon(said.recv()).await.unwrap()).about.child.clone();
    let root = house.tasks.clone();
    let is = async |handle: &crate::tasks::TasksHandle, task: &str, state: State| {
        while handle.check(&name(task), 0).await.unwrap().state != state {
            tokio::task::yield_now().await;
        }
    };

    // None of this handle's.
    assert!(!soon(root.cancel_child(&SessionId::new("x"))).await);
    assert!(!soon(root.cancel_child(root.session())).await);
    assert!(!soon(one.cancel_child(&children[&2])).await);
    assert!(!soon(one.cancel_child(one.session())).await);
    // One that waits for its slot; one below another, by the root; one with all below it.
    assert!(soon(root.cancel_child(&children[&4])).await);
    soon(is(&root, "t4", State::Cancelled)).await;
    assert!(soon(root.cancel_child(&below)).await);
    soon(is(&root, "t1.1", State::Cancelled)).await;
    assert_eq!(root.check(&name("t1"), 0).await.unwrap().state, State::Running);
    assert!(soon(root.cancel_child(&children[&1])).await);
    soon(is(&root, "t1", State::Cancelled)).await;
    soon(is(&root, "t1.2", State::Cancelled)).await;
    // Once more changes nothing.
    assert!(soon(root.cancel_child(&children[&1])).await);
    house.dies().await;

    let mut house = home.house(limits(1, 1));
    house.attach(Knows::Reports(&[1, 4]), &["task-t2", "task-t3"]).await;
    assert!(soon(house.tasks.cancel_child(&children[&3])).await);
    house.is("t3", State::Interrupted).await;
    let resumed = soon(house.tasks.resume(Which::One(name("t3")))).await.unwrap();
    assert_eq!(resumed.len(), 1);
    let mut three = house.born().await;
    three.is_prompted().await;
    three.replies("Three.", 1).await;
    three.ends_turn().await;
    house.is("t3", State::Completed).await;
    assert!(soon(house.tasks.cancel_child(&children[&3])).await);
    assert_eq!(house.tasks.check(&name("t3"), 0).await.unwrap().state, State::Completed);
    soon(house.tasks.close()).await;
    assert!(!soon(house.tasks.cancel_child(&children[&2])).await);
}
