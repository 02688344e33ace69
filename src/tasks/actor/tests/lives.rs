//! Sessions that come and go, processes that end, and what is told to whom.

use tokio::task::JoinSet;

use super::fixture::{Did, Home, Knows, caller, limits, name, new, soon, start_in};
use crate::config::{DelegationSection, Resume};
use crate::event::{CallStatus, CallUpdate};
use crate::permission::Answer;
use crate::tasks::engine::{State, TaskClient as _};
use crate::tasks::{Begin, Isolation, NewTask, TaskCard, TaskError, TaskSaid, Which};

#[tokio::test]
async fn a_session_that_comes_anew_is_told_of_what_it_missed() {
    let home = Home::new();
    let mut house = home.open(limits(3, 1)).await;
    house.start(&["one", "two", "three"]).await;
    let mut children = Vec::new();
    for _ in 0..3 {
        children.push(house.born().await);
    }
    children.sort_by(|one, other| one.goal.cmp(&other.goal));
    let (one, three, two) = (children.remove(0), children.remove(0), children.remove(0));
    one.completes("One.").await;
    let report = house.report().await;
    assert_eq!((report.task.number, report.is_fresh), (1, true));
    house.tasks.detach().await;
    two.completes("Two.").await;
    house.is("t2", State::Completed).await;
    let mut three = three;
    three.is_prompted().await;
    three.asks("c1").await;
    house.is("t3", State::Waiting).await;
    house.attach(Knows::Reports(&[1]), &["task-t1", "task-t2", "task-t3"]).await;
    let (mut cards, mut reports, mut asked) = (Vec::new(), Vec::new(), Vec::new());
    while cards.len() < 3 || reports.is_empty() || asked.is_empty() {
        match *soon(house.said.recv()).await.unwrap() {
            TaskSaid::Card(TaskCard { card, .. }) => {
                cards.push((card.id.to_string(), card.status.unwrap()));
            }
            TaskSaid::Report(report) => reports.push((report.task.number, report.is_fresh)),
            TaskSaid::Ask(question) => asked.push(question.id().to_string()),
            other @ (TaskSaid::Withdraw(_)
            | TaskSaid::Answer { .. }
            | TaskSaid::Asked(_)
            | TaskSaid::Steered { .. }) => panic!("{other:?}"),
        }
    }
    cards.sort_by(|one, other| one.0.cmp(&other.0));
    let expected = [
        ("task-t1".to_owned(), CallStatus::Completed),
        ("task-t2".to_owned(), CallStatus::Completed),
        ("task-t3".to_owned(), CallStatus::InProgress),
    ];
    assert_eq!(cards, expected);
    assert_eq!((reports, asked), (vec![(2, false)], vec!["task-t3/c1".to_owned()]));
}

#[tokio::test]
async fn a_close_ends_all_within_its_time() {
    let home = Home::new();
    let mut house = home.open(limits(1, 1)).await;
    house.start(&["one", "two"]).await;
    let mut first = house.born().await;
    first.is_prompted().await;
    first.asks("c1").await;
    house.is("t1", State::Waiting).await;
    let tasks = house.tasks.clone();
    soon(tasks.close()).await;
    assert!(!tasks.is_open());
    assert_eq!(start_in(&tasks, &["three"]).await, Err(TaskError::Closed));
    assert_eq!(
        tasks.answer(&name("t1"), None, Answer::AllowOnce, None).await,
        Err(TaskError::Closed)
    );
    for number in [1, 2] {
        let task = crate::ids::TaskId { session: tasks.session().clone(), number };
        assert_eq!(house.engine.get(task).await.unwrap().status.state, State::Cancelled);
    }
    soon(tasks.close()).await;
}

#[tokio::test]
async fn what_a_process_left_is_found_and_goes_on() {
    let home = Home::new();
    let mut house = home.open(limits(2, 1)).await;
    house.start(&["one", "two", "three", "four"]).await;
    let (one, two) = (house.born().await, house.born().await);
    let (one, mut two) = if one.goal == "one" { (one, two) } else { (two, one) };
    one.completes("One.").await;
    assert_eq!(house.report().await.task.number, 1);
    two.is_prompted().await;
    let mut three = house.born().await;
    three.is_prompted().await;
    house.dies().await;

    // The report of the first did not reach the journal. The fourth has only waited.
    let mut house = home.house(limits(2, 1));
    let cards = ["task-t1", "task-t2", "task-t3"];
    house.attach(Knows::Reports(&[]), &cards).await;
    let (mut cards, mut reports) = (Vec::new(), Vec::new());
    while cards.len() < 4 || reports.is_empty() {
        match *soon(house.said.recv()).await.unwrap() {
            TaskSaid::Card(TaskCard { card, .. }) => {
                cards.push((card.id.to_string(), card.status.unwrap()));
            }
            TaskSaid::Report(report) => reports.push((report.task.number, report.is_fresh)),
            other @ (TaskSaid::Ask(_)
            | TaskSaid::Withdraw(_)
            | TaskSaid::Answer { .. }
            | TaskSaid::Asked(_)
            | TaskSaid::Steered { .. }) => panic!("{other:?}"),
        }
    }
    cards.sort_by(|one, other| one.0.cmp(&other.0));
    let status = |number: usize| cards[number].1;
    assert_eq!((status(0), status(1)), (CallStatus::Completed, CallStatus::Failed));
    assert_eq!((status(2), reports), (CallStatus::Failed, vec![(1, false)]));
    let four = house.born().await;
    assert_eq!((four.goal.as_str(), &four.begin), ("four", &Begin::Fresh));
    let checked = house.tasks.check(&name("t2"), 0).await.unwrap();
    assert_eq!(checked.state, State::Interrupted);
    // Nobody waits for what nobody does.
    assert_eq!(house.collect(&["t2"]).await[0].state, State::Interrupted);
    let refused = house.tasks.resume(Which::One(name("t1"))).await;
    assert!(matches!(refused, Err(TaskError::NotInterrupted { .. })), "{refused:?}");
    let resumed = house.tasks.resume(Which::All).await.unwrap();
    let resumed: Vec<_> = resumed.iter().map(|it| (&*it.task_id, it.state)).collect();
    assert_eq!(resumed, [("t2", State::Running), ("t3", State::Queued)]);
    let mut two = house.born().await;
    assert_eq!((two.goal.as_str(), &two.begin), ("two", &Begin::Resume));
    let card = house.card().await;
    assert_eq!(card.id.as_str(), "task-t2-2");
    two.is_prompted().await;
    two.replies("Two.", 1).await;
    two.ends_turn().await;
    let report = house.report().await;
    assert_eq!((report.task.number, report.is_fresh), (2, true));
    let cancelled = soon(house.tasks.cancel(Which::One(name("t3")), None)).await.unwrap();
    assert_eq!(cancelled[0].state, State::Cancelled);
}

#[tokio::test]
async fn interrupted_tasks_go_on_or_end_as_it_is_configured() {
    for (resume, expected) in [(Resume::Auto, State::Running), (Resume::Never, State::Cancelled)] {
        let home = Home::new();
        home.dies_while_one_runs().await;
        let mut house = home.house(DelegationSection { resume, ..limits(1, 1) });
        house.attach(Knows::Reports(&[]), &["task-t1"]).await;
        house.is("t1", expected).await;
        if resume == Resume::Never {
            let report = house.report().await;
            assert_eq!((report.state, report.is_fresh), (State::Cancelled, false));
        } else {
            assert_eq!(house.born().await.begin, Begin::Resume);
        }
    }
}

#[tokio::test]
async fn an_interrupted_card_is_told_once_also_where_its_record_was_lost() {
    let home = Home::new();
    home.dies_while_one_runs().await;

    // The process ended before the card was written, so the journal knows of none.
    let mut house = home.house(limits(1, 1));
    house.attach(Knows::Reports(&[]), &[]).await;
    let card = house.card().await;
    assert_eq!((card.id.as_str(), card.status), ("task-t1", Some(CallStatus::Failed)));
    assert_eq!(card.title.as_deref(), Some("`t1` · one"), "the whole card");
    house.dies().await;

    let mut house = home.house(limits(1, 1));
    house.attach_with_closed_card(Knows::Reports(&[])).await;
    house.is("t1", State::Interrupted).await;
    house.tasks.resume(Which::All).await.unwrap();
    assert_eq!(house.card().await.id.as_str(), "task-t1-2", "nothing is said before");
}

#[tokio::test]
async fn a_card_that_says_the_end_is_not_told_as_interrupted() {
    let home = Home::new();
    home.dies_while_one_runs().await;
    // Its end was told, and could not be written to the engine.
    let mut house = home.house(limits(1, 1));
    for _ in 0..2 {
        house.attach_with_closed_card(Knows::Reports(&[1])).await;
    }
    house.is("t1", State::Cancelled).await;
    while let Ok(said) = house.said.try_recv() {
        let TaskSaid::Card(TaskCard { state, .. }) = *said else { continue };
        assert_ne!(state, State::Interrupted);
    }
}

#[tokio::test]
async fn an_interrupted_card_says_that_its_task_was_cancelled_after_all() {
    let home = Home::new();
    home.dies_while_one_runs().await;
    let mut house = home.house(limits(1, 1));
    house.attach(Knows::Reports(&[]), &["task-t1"]).await;
    let state = |card: &CallUpdate| card.task.as_ref().map(|task| task.state.clone());
    assert_eq!(state(&house.card().await).as_deref(), Some("interrupted"));
    house.tasks.cancel(Which::One(name("t1")), None).await.unwrap();
    let card = house.card().await;
    assert_eq!((card.id.as_str(), state(&card).as_deref()), ("task-t1", Some("cancelled")));
    assert_eq!(card.title.as_deref(), Some("`t1` · one"), "the whole card");
}

#[tokio::test]
async fn one_is_not_discarded_and_resumed_at_once() {
    let home = Home::new();
    home.has_repository();
    let mut house = home.open(limits(1, 1)).await;
    let one = NewTask { isolation: Isolation::Worktree, ..new("one") };
    house.tasks.start(caller(), vec![one]).await.unwrap();
    let mut child = house.born().await;
    child.is_prompted().await;
    house.dies().await;
    let mut house = home.house(limits(1, 1));
    house.attach(Knows::Reports(&[]), &["task-t1"]).await;
    house.is("t1", State::Interrupted).await;
    let (one, which) = (|| vec![name("t1")], || Which::One(name("t1")));

    let (discarded, resumed) =
        soon(async { tokio::join!(house.tasks.discard(one()), house.tasks.resume(which())) }).await;
    assert_eq!(discarded.unwrap(), one());
    assert!(matches!(resumed, Err(TaskError::Git(why)) if why.contains("being discarded")));
    house.is("t1", State::Interrupted).await;

    let (resumed, discarded) =
        soon(async { tokio::join!(house.tasks.resume(which()), house.tasks.discard(one())) }).await;
    assert_eq!(resumed.unwrap()[0].task_id, "t1");
    assert!(matches!(discarded, Err(TaskError::StillRuns { .. })), "{discarded:?}");
    assert_eq!(house.born().await.begin, Begin::Resume);
}

#[tokio::test]
async fn a_session_that_does_not_read_delays_nobody() {
    let home = Home::new();
    let mut house = home.house(limits(20, 1));
    let (attachment, mut said) = house.attachment(Knows::New, &[], 1);
    house.tasks.attach(attachment).await;
    let goals: [usize; 20] = std::array::from_fn(|index| index + 1);
    let mut starts = JoinSet::new();
    let (tasks, goals) = (house.tasks.clone(), goals.map(|goal| goal.to_string()));
    starts.spawn(async move { start_in(&tasks, &goals.each_ref().map(String::as_str)).await });
    for _ in 0..20 {
        house.born().await.completes("Done.").await;
    }
    for number in 1..=20 {
        house.is(&format!("t{number}"), State::Completed).await;
    }
    let (mut reports, mut shown) = (Vec::new(), 0);
    while reports.len() < 20 || shown < 20 {
        match *soon(said.recv()).await.unwrap() {
            TaskSaid::Report(report) => reports.push(report.task.number),
            TaskSaid::Card(TaskCard { card, .. }) if card.status == Some(CallStatus::Completed) => {
                shown += 1;
            }
            TaskSaid::Card(_) => {}
            other @ (TaskSaid::Ask(_)
            | TaskSaid::Withdraw(_)
            | TaskSaid::Answer { .. }
            | TaskSaid::Asked(_)
            | TaskSaid::Steered { .. }) => panic!("{other:?}"),
        }
    }
    assert_eq!(soon(starts.join_next()).await.unwrap().unwrap().unwrap().len(), 20);
    reports.sort_unstable();
    assert_eq!(reports, (1..=20).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_signal_stops_all_where_they_are() {
    let home = Home::new();
    let mut house = home.open(limits(1, 1)).await;
    house.start(&["one"]).await;
    let mut one = house.born().await;
    one.is_prompted().await;
    house.stop.cancel();
    assert_eq!(one.did().await, Did::Closed);
    let until = async {
        while house.tasks.is_open() {
            tokio::task::yield_now().await;
        }
    };
    soon(until).await;
    let task = crate::ids::TaskId { session: house.tasks.session().clone(), number: 1 };
    // Nobody ended it: the next process finds its worker dead.
    assert_eq!(house.engine.get(task).await.unwrap().status.state, State::Running);
}

#[tokio::test]
async fn what_is_asked_before_the_session_is_there_waits_for_it() {
    let home = Home::new();
    let mut house = home.house(limits(1, 1));
    let mut asked = JoinSet::new();
    let early = house.tasks.clone();
    asked.spawn(async move {
        let started = start_in(&early, &["one"]).await.unwrap();
        (started.len(), early.list(None).await.unwrap().len())
    });
    tokio::task::yield_now().await;
    assert_eq!(soon(house.tasks.known()).await, Ok(Vec::new()));
    soon(house.tasks.detach()).await;
    house.attach(Knows::Reports(&[]), &[]).await;
    assert_eq!(soon(asked.join_next()).await.unwrap().unwrap(), (1, 1));
    assert_eq!(house.born().await.goal, "one");
}
