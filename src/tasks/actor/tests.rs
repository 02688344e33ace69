//! The operations of tasks, with real runners, on a real engine; sessions and children do what a test says.

mod cards;
mod fixture;
mod lives;
mod observed;
mod told;

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use self::fixture::{Did, Home, Knows, SECRET, caller, collect, limits, name, new, soon, start_in};
use crate::config::DelegationSection;
use crate::event::CallStatus;
use crate::ids::{CallId, TaskId};
use crate::permission::Answer;
use crate::store::Store;
use crate::tasks::engine::{State, TaskClient as _};
use crate::tasks::{NewTask, TaskError, TaskSaid, Wait, Which};

#[tokio::test]
async fn tasks_are_started_queued_and_reported_once() {
    let home = Home::new();
    let mut house = home.open(limits(1, 1)).await;
    let started = house.start(&["one", &format!("two {SECRET}")]).await;
    let started: Vec<_> = started.iter().map(|it| (&*it.task_id, it.state, it.place)).collect();
    assert_eq!(started, [("t1", State::Running, None), ("t2", State::Queued, Some(1))]);
    let card = house.card().await;
    assert_eq!((card.id.as_str(), card.title.as_deref()), ("task-t1", Some("`t1` · one")));
    let card = house.card().await;
    assert_eq!((card.id.as_str(), card.status), ("task-t2", Some(CallStatus::Pending)));

    let mut first = house.born().await;
    assert_eq!((first.goal.as_str(), first.tasks.is_some()), ("one", false));
    assert!(house.nobody_was_born());
    first.is_prompted().await;
    first.replies("Found it.", 30).await;
    house.is("t1", State::Running).await;
    first.ends_turn().await;
    let report = house.report().await;
    assert_eq!((report.task.number, report.state), (1, State::Completed));
    assert!(report.text.contains("Found it."), "{}", report.text);
    let second = house.born().await;
    // The child is told what was given; all that is kept of it is masked.
    assert_eq!(second.goal, format!("two {SECRET}"));
    let checked = house.tasks.check(&name("t2"), 5).await.unwrap();
    assert!(!checked.goal.contains(SECRET), "{}", checked.goal);
    second.completes("Two.").await;
    assert_eq!(house.report().await.task.number, 2);

    let collected = house.collect(&["t2", "t1"]).await;
    let texts: Vec<_> = collected.iter().map(|it| (&*it.task_id, it.report.as_deref())).collect();
    assert_eq!(texts, [("t2", Some("Two.")), ("t1", Some("Found it."))]);
    assert_eq!(collected[1].tokens, 30);
    let checked = house.tasks.check(&name("t1"), 5).await.unwrap();
    assert_eq!((checked.state, checked.tokens, checked.steps), (State::Completed, 30, 1));
    let rows = house.tasks.list(None).await.unwrap();
    let rows: Vec<_> = rows.iter().map(|row| (&*row.task_id, row.state, row.tokens)).collect();
    assert_eq!(rows, [("t2", State::Completed, 10), ("t1", State::Completed, 30)]);
    assert_eq!(house.tasks.list(Some(State::Failed)).await.unwrap(), []);
}

#[tokio::test]
async fn what_cannot_be_started_is_refused_whole() {
    let home = Home::new();
    let house = home.open(limits(1, 1)).await;
    let start = |tasks| house.tasks.start(caller(), tasks);
    assert_eq!(start(Vec::new()).await, Err(TaskError::NoTasks));
    assert_eq!(start(vec![new("a"), new(" ")]).await, Err(TaskError::EmptyGoal));
    let toolsets = vec!["x".to_owned()];
    let refused = start(vec![NewTask { toolsets, ..new("a") }]).await;
    assert!(matches!(refused, Err(TaskError::Toolset { .. })));
    let refused =
        start(vec![NewTask { output_schema: Some(json!({"type": 1})), ..new("a") }]).await;
    assert!(matches!(refused, Err(TaskError::Schema { .. })));
    let refused = start(vec![NewTask { continues: Some(name("t9")), ..new("a") }]).await;
    assert_eq!(refused, Err(TaskError::Unknown { name: "t9".to_owned() }));
    let refused = start((0..21).map(|_| new("a")).collect()).await;
    assert_eq!(refused, Err(TaskError::PerPrompt { started: 0, wanted: 21, limit: 20 }));
    let refused = start(vec![new(&"a".repeat(100_000))]).await;
    assert!(matches!(refused, Err(TaskError::TooLarge(_))));
    assert_eq!(house.tasks.list(None).await.unwrap(), []);

    house.start(&["one"]).await;
    let refused = start(vec![NewTask { continues: Some(name("t1")), ..new("a") }]).await;
    let (name, state) = ("t1".to_owned(), State::Running);
    assert_eq!(refused, Err(TaskError::NotFinished { name, state }));
}

#[tokio::test]
async fn who_asks_again_under_a_name_gets_the_same_tasks() {
    let home = Home::new();
    let house = home.open(limits(1, 1)).await;
    let caller = caller();
    let start = || house.tasks.start(caller.clone(), vec![new("a"), new("b")]);
    assert_eq!(start().await.unwrap(), start().await.unwrap());
    assert_eq!(house.tasks.list(None).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_steer_has_a_receipt_before_during_and_after() {
    let home = Home::new();
    let mut house = home.open(limits(1, 1)).await;
    house.start(&["one", "two"]).await;
    let steer = |task: &str, text: &str| {
        let (tasks, task, text) = (house.tasks.clone(), name(task), text.to_owned());
        async move { tasks.steer(&task, text).await.map(|it| (it.receipt, it.state)) }
    };
    assert_eq!(steer("t1", " ").await, Err(TaskError::EmptyMessage));
    let unknown = Err(TaskError::Unknown { name: "t3".to_owned() });
    assert_eq!(steer("t3", "x").await, unknown);
    assert_eq!(steer("t2", "be brief").await, Ok(("queued", State::Queued)));
    let mut first = soon(async { house.born().await }).await;
    first.is_prompted().await;
    let steer = |task: &str, text: &str| {
        let (tasks, task, text) = (house.tasks.clone(), name(task), text.to_owned());
        async move { tasks.steer(&task, text).await.map(|it| (it.receipt, it.state)) }
    };
    assert_eq!(steer("t1", "look left").await, Ok(("queued", State::Running)));
    assert_eq!(first.is_prompted().await, "look left");
    house.tasks.cancel(Which::One(name("t1")), None).await.unwrap();
    assert_eq!(steer("t1", "x").await, Ok(("missed", State::Cancelled)));
    let mut second = house.born().await;
    let first = second.is_prompted().await;
    let both = [first, second.is_prompted().await];
    assert!(both.contains(&"be brief".to_owned()), "{both:?}");
}

#[tokio::test]
async fn a_cancel_answers_when_tasks_have_ended() {
    let home = Home::new();
    let mut house = home.open(limits(1, 1)).await;
    house.start(&["one", "two", "three"]).await;
    let mut first = house.born().await;
    first.is_prompted().await;
    first.says(crate::tasks::ChildSaid::Text("half a\n".to_owned())).await;
    let heard = async {
        while house.tasks.check(&name("t1"), 5).await.unwrap().lines != ["half a"] {
            tokio::task::yield_now().await;
        }
    };
    soon(heard).await;
    let cancel = |which| house.tasks.cancel(which, Some("enough".to_owned()));
    let cancelled = soon(cancel(Which::One(name("t2")))).await.unwrap();
    assert_eq!((cancelled[0].state, &cancelled[0].partial), (State::Cancelled, &None));
    let cancelled = soon(cancel(Which::All)).await.unwrap();
    let names: Vec<_> = cancelled.iter().map(|it| (&*it.task_id, it.state)).collect();
    assert_eq!(names, [("t1", State::Cancelled), ("t3", State::Cancelled)]);
    assert!(cancelled[0].partial.as_deref().is_some_and(|partial| partial.contains("half a")));
    // All of them say so, and once.
    let mut told = Vec::new();
    for _ in 0..3 {
        let report = house.report().await;
        told.push((report.task.number, report.state));
    }
    told.sort_by_key(|(number, _)| *number);
    assert_eq!(told, [1, 2, 3].map(|number| (number, State::Cancelled)));
    let again = soon(house.tasks.cancel(Which::One(name("t1")), None)).await.unwrap();
    assert_eq!(again[0].state, State::Cancelled);
    assert_eq!(soon(house.tasks.cancel(Which::All, None)).await.unwrap(), []);
    let collected = house.collect(&["t3"]).await;
    assert_eq!(collected[0].error.as_deref(), Some("enough"));
}

#[tokio::test]
async fn a_question_goes_to_the_root_and_its_answer_back() {
    let home = Home::new();
    let mut house = home.open(limits(1, 1)).await;
    house.start(&["one", "two"]).await;
    let mut first = house.born().await;
    first.is_prompted().await;
    let nothing = house.tasks.answer(&name("t1"), None, Answer::AllowOnce, None).await;
    let (asks, state) = ("t1".to_owned(), State::Running);
    assert_eq!(nothing, Err(TaskError::AsksNothing { name: asks, state }));
    first.asks("c3").await;
    let said = house.said().await;
    let TaskSaid::Ask(question) = said else { panic!("{said:?}") };
    assert_eq!(question.id().as_str(), "task-t1/c3");
    assert_eq!(question.call.title.as_deref(), Some("`t1` · Edit x"));
    // Its slot is the next one's.
    house.is("t1", State::Waiting).await;
    let second = house.born().await;
    let pending = house.tasks.check(&name("t1"), 0).await.unwrap().question.unwrap();
    assert_eq!(pending.call, "Edit x");
    house.tasks.answered(question.id().clone(), Answer::Unanswered).await;
    house.is("t1", State::Waiting).await;
    let follows = house.tasks.answer(&name("t1"), None, Answer::AllowOnce, None).await;
    assert_eq!(follows, Ok(State::Running));
    let call = question.id().clone();
    let answer = Answer::AllowOnce;
    assert_eq!(house.said().await, TaskSaid::Answer { call: call.clone(), answer });
    house.tasks.answered(call, answer).await;
    house.is("t1", State::Running).await;
    second.completes("Two.").await;
    assert_eq!(first.did().await, Did::Answered(CallId::new("c3"), Answer::AllowOnce));
    assert_eq!(house.report().await.task.number, 2);
}

#[tokio::test]
async fn what_a_task_asks_is_shown_short_and_without_a_part_of_a_secret() {
    let home = Home::new();
    let mut house = home.open(limits(1, 1)).await;
    house.start(&["one"]).await;
    let mut child = house.born().await;
    child.is_prompted().await;
    // The secret stands over the border of what is shown.
    let command = format!("{} {SECRET} {}", "x".repeat(195), "y".repeat(100_000));
    child.asks_about("c1", "Run it", Some(&command)).await;
    house.is("t1", State::Waiting).await;
    let detail = house.tasks.check(&name("t1"), 0).await.unwrap().question.unwrap().detail.unwrap();
    assert_eq!(detail.chars().count(), 200);
    assert!(!detail.contains("hunt"), "{detail}");
    let row = house.tasks.list(None).await.unwrap().remove(0);
    assert_eq!(row.question.unwrap().detail.unwrap(), detail);
}

#[tokio::test]
async fn why_a_call_is_refused_is_with_the_task_before_the_refusal() {
    let home = Home::new();
    let mut house = home.open(limits(1, 1)).await;
    house.start(&["one"]).await;
    let mut child = house.born().await;
    child.is_prompted().await;
    child.asks("c1").await;
    let said = house.said().await;
    let TaskSaid::Ask(question) = said else { panic!("{said:?}") };
    let (call, no) = (question.id().clone(), Answer::RejectOnce);
    let (tasks, task) = (house.tasks.clone(), name("t1"));
    let answering = tasks.answer(&task, None, no, Some("not that one".to_owned()));
    let telling = async {
        let said = house.said().await;
        let TaskSaid::Answer { call, answer } = said else { panic!("{said:?}") };
        house.tasks.answered(call, answer).await;
    };
    let (follows, ()) = tokio::join!(answering, telling);
    assert_eq!(follows, Ok(State::Running));
    assert_eq!(child.is_prompted().await, "The user refused that: not that one");
    assert_eq!(child.did().await, Did::Answered(CallId::new("c1"), no));
    // Where there is nothing to refuse, nothing is said of it.
    let again = tasks.answer(&task, Some(call), no, Some("nor that".to_owned())).await;
    assert!(matches!(again, Err(TaskError::AsksNothing { .. })), "{again:?}");
    tasks.steer(&task, "go on".to_owned()).await.unwrap();
    assert_eq!(child.is_prompted().await, "go on");
}

#[tokio::test]
async fn a_reason_that_is_too_long_refuses_nothing() {
    let home = Home::new();
    let (mut house, mut child) = home.with_a_question().await;
    let (tasks, task, no) = (house.tasks.clone(), name("t1"), Answer::RejectOnce);
    let long = "a".repeat(crate::tasks::engine::LARGEST);
    let steered = tasks.steer(&task, format!("The user refused that: {long}")).await;
    assert!(matches!(steered, Err(TaskError::TooLarge(_))), "{steered:?}");
    let refused = soon(tasks.answer(&task, None, no, Some(long))).await;
    assert_eq!(refused.unwrap_err(), steered.unwrap_err());
    while let Ok(said) = house.said.try_recv() {
        assert!(matches!(*said, TaskSaid::Card(_)), "{said:?}");
    }
    let answering = tasks.answer(&task, None, no, Some("not that one".to_owned()));
    let telling = async {
        let said = house.said().await;
        let TaskSaid::Answer { call, answer } = said else { panic!("{said:?}") };
        house.tasks.answered(call, answer).await;
    };
    assert_eq!(soon(async { tokio::join!(answering, telling) }).await.0, Ok(State::Running));
    assert_eq!(child.is_prompted().await, "The user refused that: not that one");
}

#[tokio::test]
async fn a_reason_is_none_where_the_dialog_was_faster() {
    let home = Home::new();
    let (mut house, mut child) = home.with_a_question().await;
    let (tasks, task, yes) = (house.tasks.clone(), name("t1"), Answer::AllowOnce);
    let why = Some("not that one".to_owned());
    let answering = tasks.answer(&task, None, Answer::RejectOnce, why.clone());
    let telling = async {
        let said = house.said().await;
        let TaskSaid::Answer { call, .. } = said else { panic!("{said:?}") };
        house.tasks.answered(call, yes).await;
    };
    let (refused, ()) = soon(async { tokio::join!(answering, telling) }).await;
    assert!(matches!(refused, Err(TaskError::AsksNothing { .. })), "{refused:?}");
    assert_eq!(child.did().await, Did::Answered(CallId::new("c1"), yes));
    tasks.steer(&task, "go on".to_owned()).await.unwrap();
    assert_eq!(child.is_prompted().await, "go on");
    // Nobody waits for a session that is gone.
    child.asks("c2").await;
    house.is("t1", State::Waiting).await;
    let answering = tasks.answer(&task, None, Answer::RejectOnce, why);
    let leaving = async {
        while !matches!(house.said().await, TaskSaid::Answer { .. }) {}
        house.tasks.detach().await;
    };
    let (refused, ()) = soon(async { tokio::join!(answering, leaving) }).await;
    assert_eq!(refused, Err(TaskError::Closed));
}

#[tokio::test]
async fn a_refusal_without_its_reason_is_said_to_be_one() {
    let home = Home::new();
    let (mut house, mut child) = home.with_a_question().await;
    house.loses_its_store();
    let (tasks, task, no) = (house.tasks.clone(), name("t1"), Answer::RejectOnce);
    let answering = tasks.answer(&task, None, no, Some("not that one".to_owned()));
    let telling = async {
        let said = house.said().await;
        let TaskSaid::Answer { call, answer } = said else { panic!("{said:?}") };
        house.tasks.answered(call, answer).await;
    };
    let (refused, ()) = soon(async { tokio::join!(answering, telling) }).await;
    assert!(matches!(refused, Err(TaskError::NotTold { .. })), "{refused:?}");
    assert_eq!(child.did().await, Did::Answered(CallId::new("c1"), no));
}

#[tokio::test]
async fn a_wait_ends_at_its_first_or_its_last_or_when_it_is_given_up() {
    let home = Home::new();
    let mut house = home.open(limits(2, 1)).await;
    house.start(&["one", "two"]).await;
    let (first, second) = (house.born().await, house.born().await);
    let (first, second) = if first.goal == "one" { (first, second) } else { (second, first) };
    let unknown = house.tasks.wait(vec![name("t1"), name("t7")], Wait::All).await;
    assert!(matches!(unknown, Err(TaskError::Unknown { name }) if name == "t7"));
    let both = || vec![name("t1"), name("t2")];
    let mut any = house.tasks.wait(both(), Wait::Any).await.unwrap();
    let mut all = house.tasks.wait(both(), Wait::All).await.unwrap();
    let given_up = house.tasks.wait(both(), Wait::All).await.unwrap();
    drop(given_up);
    assert!(tokio::time::timeout(Duration::from_millis(5), any.over()).await.is_err());
    let early = house.tasks.wait(both(), Wait::All).await.unwrap().collect().await;
    assert!(early.iter().all(|it| it.state == State::Running && it.report.is_none()));
    first.completes("One.").await;
    soon(any.over()).await;
    soon(any.over()).await;
    let states: Vec<_> = any.collect().await.iter().map(|it| it.state).collect();
    assert_eq!(states, [State::Completed, State::Running]);
    assert!(tokio::time::timeout(Duration::from_millis(5), all.over()).await.is_err());
    second.completes("Two.").await;
    soon(all.over()).await;
    let reports: Vec<_> = all.collect().await.into_iter().map(|it| it.report.unwrap()).collect();
    assert_eq!(reports, ["One.", "Two."]);
    assert_eq!(house.collect(&["t1"]).await.len(), 1);
}

#[tokio::test]
async fn a_store_that_is_off_is_said_and_nothing_hangs() {
    let home = Home::new();
    let mut house = home.house(DelegationSection::default());
    house.attach(Knows::New, &[]).await;
    house.store.delete(house.tasks.session()).await.unwrap();
    let refused = soon(start_in(&house.tasks, &["one"])).await;
    assert!(matches!(refused, Err(TaskError::Unavailable(_))), "{refused:?}");
    assert_eq!(house.tasks.list(None).await.unwrap(), []);

    // One that could not be read is read again when somebody asks.
    let engine = crate::tasks::engine::SqliteEngine::new(Store::off(), crate::clock::Clock::real());
    let task = TaskId { session: house.tasks.session().clone(), number: 1 };
    assert!(engine.get(task).await.is_err());
    soon(house.tasks.close()).await;
    assert_eq!(soon(start_in(&house.tasks, &["one"])).await, Err(TaskError::Closed));
}

#[tokio::test]
async fn a_task_of_a_task_is_named_through_it_and_waited_for_in_one_slot() {
    let home = Home::new();
    let mut house = home.open(limits(1, 2)).await;
    house.start(&["top", "other"]).await;
    let mut top = house.born().await;
    top.is_prompted().await;
    let tasks = top.tasks.clone().unwrap();
    let (attachment, mut said) = house.attachment(Knows::New, &[], 64);
    tasks.attach(attachment).await;
    assert_eq!(start_in(&tasks, &["below"]).await.unwrap()[0].place, Some(2));
    let mut waits = JoinSet::new();
    let waiter = tasks.clone();
    waits.spawn(async move { collect(&waiter, &["t1"]).await });
    // In the queue's order; who waits is before it.
    house.born().await.completes("Other.").await;
    let mut below = house.born().await;
    assert_eq!(below.goal, "below");
    below.is_prompted().await;
    below.asks("c1").await;
    assert_eq!(house.report().await.task.number, 2);
    let asked = house.said().await;
    let TaskSaid::Ask(question) = asked else { panic!("{asked:?}") };
    assert_eq!(question.id().as_str(), "task-t1.1/c1");
    assert_eq!(house.tasks.check(&name("t1.1"), 0).await.unwrap().state, State::Waiting);
    house.tasks.answered(question.id().clone(), Answer::RejectOnce).await;
    assert_eq!(below.did().await, Did::Answered(CallId::new("c1"), Answer::RejectOnce));
    below.replies("Below.", 5).await;
    below.ends_turn().await;
    assert_eq!(
        soon(waits.join_next()).await.unwrap().unwrap()[0].report.as_deref(),
        Some("Below.")
    );
    while !matches!(*soon(said.recv()).await.unwrap(), TaskSaid::Report(_)) {}
    // It asked for a call, of whose end it said nothing.
    let asked = house.said().await;
    assert!(
        matches!(&asked, TaskSaid::Asked(call) if call.status == Some(CallStatus::Failed)),
        "{asked:?}"
    );
    // Its model was given the report by the call.
    top.replies("Top.", 5).await;
    top.ends_turn().await;
    let report = house.report().await;
    assert_eq!((report.task.number, report.state), (1, State::Completed));
}

#[tokio::test]
async fn a_report_that_could_not_be_read_still_comes_by_itself() {
    let home = Home::new();
    let mut house = home.open(limits(2, 2)).await;
    house.start(&["top"]).await;
    let mut top = house.born().await;
    top.is_prompted().await;
    let tasks = top.tasks.clone().unwrap();
    let (attachment, mut said) = house.attachment(Knows::New, &[], 64);
    tasks.attach(attachment).await;
    start_in(&tasks, &["below"]).await.unwrap();
    house.born().await.completes("Below.").await;
    while !matches!(*soon(said.recv()).await.unwrap(), TaskSaid::Report(_)) {}
    house.is("t1.1", State::Completed).await;
    house.store.delete(tasks.session()).await.unwrap();
    let collected = collect(&tasks, &["t1"]).await;
    let [one] = collected.as_slice() else { panic!("{collected:?}") };
    assert_eq!((one.state, one.report.as_deref()), (State::Completed, None));
    assert!(one.is_unread && one.error.is_some(), "{one:?}");
    // Its model has not had the report, and is set to work on it.
    top.replies("It could not be read.", 5).await;
    top.ends_turn().await;
    let told = top.is_prompted().await;
    assert!(told.contains("reports"), "{told}");
}
