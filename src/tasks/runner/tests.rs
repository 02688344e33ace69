//! A runner against a child that does what the test says.

mod faults;
mod fixture;

use std::sync::Arc;

use serde_json::json;

use self::fixture::{Did, Home, Run, SECRET, Wish, call, question};
use super::{Phase, RunnerOrder, RunnerSaid};
use crate::config::DelegationSection;
use crate::event::{CallStatus, CallUpdate, PlanEntry, PlanPriority, PlanStatus, TaskMark};
use crate::ids::{CallId, PromptId, SessionId};
use crate::permission::Answer;
use crate::tasks::engine::{
    Content, LARGEST, Message, Outcome, Progress, Receipt, State, TaskClient as _,
};
use crate::tasks::report::Work;
use crate::tasks::{Begin, ChildSaid, handle};
use crate::transcript::{End, Usage};

#[tokio::test]
async fn a_task_from_its_claim_to_its_report() {
    let home = Home::new().await;
    let (engine, _guard) = home.engine();
    let mut run = Run::begin(&home, Arc::new(engine.clone()), Wish::default()).await;
    run.says(ChildSaid::Delivered(vec![PromptId(1)])).await;
    run.replies("I look.", 100).await;
    let entry = PlanEntry {
        content: format!("use {SECRET}"),
        status: PlanStatus::InProgress,
        priority: PlanPriority::Medium,
    };
    run.says(ChildSaid::Plan(vec![entry.clone()])).await;
    run.says(ChildSaid::Call(call("c1", CallStatus::InProgress))).await;
    run.says(ChildSaid::Call(call("c1", CallStatus::Completed))).await;
    let failed =
        CallUpdate { title: Some(format!("echo {SECRET}")), ..call("c2", CallStatus::Failed) };
    run.says(ChildSaid::Call(failed)).await;
    // A task of its own is no call.
    let task = Some(TaskMark { id: "t1".to_owned(), state: "completed".to_owned() });
    run.says(ChildSaid::Call(CallUpdate { task, ..call("task-t1", CallStatus::Completed) })).await;
    run.replies(&format!("It is {SECRET}."), 200).await;
    run.answers(1, Ok(End::Finished)).await;
    assert_eq!(run.did().await, Did::Closed);
    let said = run.said().await;
    let RunnerSaid::Ended { state: State::Completed, outcome } = said else { panic!("{said:?}") };
    // It is kept before it is said.
    assert_eq!(engine.result(home.task.clone()).await.unwrap().as_ref(), Some(&outcome));
    let Outcome::Completed { report } = outcome else { panic!("{outcome:?}") };
    assert_eq!(report.text, "It is (key).");
    let work: Work = serde_json::from_value(report.details).unwrap();
    let expected = Work {
        child: SessionId::new("child"),
        steps: 2,
        calls: 2,
        tokens: 300,
        cost: Some(0.5),
        working_ms: work.working_ms,
        files_written: vec!["/p/x".to_owned()],
        ..Work::default()
    };
    assert_eq!(work, expected);
    let call = |id, title: &str, status, written: &[&str]| Progress::Call {
        call: CallId::new(id),
        tool: "edit".to_owned(),
        title: title.to_owned(),
        status,
        written: written.iter().map(ToString::to_string).collect(),
    };
    let usage =
        |input| Progress::Usage { usage: Usage { input, output: 0, cached: 0 }, cost: Some(0.25) };
    let message = |text: &str| Progress::Message { text: text.to_owned() };
    let plan =
        Progress::Plan { entries: vec![PlanEntry { content: "use (key)".to_owned(), ..entry }] };
    let expected = [
        message("I look."),
        usage(100),
        plan,
        call("c1", "Edit x", CallStatus::Completed, &["/p/x"]),
        call("c2", "echo (key)", CallStatus::Failed, &[]),
        message("It is (key)."),
        usage(200),
    ];
    assert_eq!(run.progress().await, expected);
    run.over().await;
}

#[tokio::test]
async fn a_steer_is_kept_and_then_delivered() {
    let home = Home::new().await;
    let (engine, _guard) = home.engine();
    let mut run = Run::begin(&home, Arc::new(engine.clone()), Wish::default()).await;
    // One that came in elsewhere is before it.
    let content = Content::Steer { text: "first".to_owned() };
    let message = Message { id: "elsewhere".to_owned(), content };
    engine.send(home.task.clone(), message).await.unwrap();
    let receipt = run.steer(&format!("log in with {SECRET}")).await;
    assert_eq!(receipt, Ok(Receipt::Queued { position: 2 }));
    assert_eq!(run.did().await, Did::Prompted(PromptId(2), "first".to_owned()));
    let plain = format!("log in with {SECRET}");
    assert_eq!(run.did().await, Did::Prompted(PromptId(3), plain));
    run.says(ChildSaid::Delivered(vec![PromptId(1)])).await;
    run.answers(1, Ok(End::Finished)).await;
    run.says(ChildSaid::Delivered(vec![PromptId(2), PromptId(3)])).await;
    run.replies("Done.", 1).await;
    assert_eq!(engine.get(home.task.clone()).await.unwrap().status.read, 2);
    run.answers(2, Ok(End::Finished)).await;
    run.answers(3, Ok(End::Finished)).await;
    let (orders, ended) = (run.orders.clone(), run.ended().await);
    assert_eq!(ended.state(), State::Completed);
    assert!(orders.is_closed());
}

#[tokio::test]
async fn what_comes_in_elsewhere_is_heard_with_the_next_reply_and_at_the_end() {
    let home = Home::new().await;
    let (engine, _guard) = home.engine();
    let mut run = Run::begin(&home, Arc::new(engine.clone()), Wish::default()).await;
    let send = |id: &str| {
        let content = Content::Steer { text: id.to_owned() };
        engine.send(home.task.clone(), Message { id: id.to_owned(), content })
    };
    send("a").await.unwrap();
    run.replies("", 1).await;
    assert_eq!(run.did().await, Did::Prompted(PromptId(2), "a".to_owned()));
    run.answers(1, Ok(End::Finished)).await;
    send("b").await.unwrap();
    run.says(ChildSaid::Delivered(vec![PromptId(2)])).await;
    run.answers(2, Ok(End::Finished)).await;
    assert_eq!(run.did().await, Did::Prompted(PromptId(3), "b".to_owned()));
    engine.cancel(home.task.clone(), "enough".to_owned()).await.unwrap();
    run.says(ChildSaid::Text("Half a".to_owned())).await;
    run.replies("Half a word", 1).await;
    let ended = run.ended().await;
    let Outcome::Cancelled { reason, report } = ended else { panic!("{ended:?}") };
    assert_eq!(reason, "enough; it did not see one message to it");
    assert_eq!(report.text, "Half a word");
}

#[tokio::test]
async fn a_question_makes_it_wait() {
    let home = Home::new().await;
    let (engine, _guard) = home.engine();
    let mut run = Run::begin(&home, Arc::new(engine.clone()), Wish::default()).await;
    let state = async || engine.get(home.task.clone()).await.unwrap().status.state;
    run.says(ChildSaid::Call(call("c1", CallStatus::Pending))).await;
    run.says(ChildSaid::Ask(question("c1"))).await;
    run.says(ChildSaid::Ask(question("c2"))).await;
    for id in ["c1", "c2"] {
        let said = run.said().await;
        assert!(matches!(&said, RunnerSaid::Asks(asked) if asked == &question(id)), "{said:?}");
    }
    run.pulse.wait_for(|pulse| pulse.phase == Phase::Waiting).await.unwrap();
    // Nobody's answer is none.
    let answer = |call, answer| RunnerOrder::Answer { call: CallId::new(call), answer };
    run.order(answer("c1", Answer::Unanswered)).await;
    run.order(answer("c1", Answer::AllowOnce)).await;
    assert_eq!(run.did().await, Did::Answered(CallId::new("c1"), Answer::AllowOnce));
    run.says(ChildSaid::Call(call("c1", CallStatus::Completed))).await;
    let said = run.said().await;
    assert!(matches!(&said, RunnerSaid::Asked(update) if update.id.as_str() == "c1"), "{said:?}");
    assert_eq!((state().await, run.pulse.borrow().phase), (State::Waiting, Phase::Waiting));
    run.says(ChildSaid::Withdraw(CallId::new("c2"))).await;
    let said = run.said().await;
    assert!(matches!(&said, RunnerSaid::Withdrawn(call) if call.as_str() == "c2"), "{said:?}");
    run.pulse.wait_for(|pulse| pulse.phase == Phase::Working).await.unwrap();
    // What is settled is not answered.
    run.order(answer("c2", Answer::AllowOnce)).await;
    run.order(RunnerOrder::Fail { message: "the prompt has led to too much".to_owned() }).await;
    assert_eq!(run.did().await, Did::Cancelled);
    let waits: Vec<Option<String>> = run
        .progress()
        .await
        .into_iter()
        .filter_map(|progress| match progress {
            Progress::NeedsInput { question } => Some(Some(question["call"].to_string())),
            Progress::InputTaken => Some(None),
            Progress::Message { .. }
            | Progress::Call { .. }
            | Progress::Plan { .. }
            | Progress::Usage { .. } => None,
        })
        .collect();
    let [one, two] = ["\"c1\"", "\"c2\""].map(|id| Some(id.to_owned()));
    assert_eq!(waits, [one, two.clone(), two, None]);
    // Its child never said how that call ended.
    let said = run.said().await;
    assert!(matches!(&said, RunnerSaid::Asked(update) if update.id.as_str() == "c2"), "{said:?}");
    let ended = run.ended().await;
    let Outcome::Failed { message, .. } = ended else { panic!("{ended:?}") };
    assert_eq!(message, "the prompt has led to too much");
}

#[tokio::test]
async fn one_with_tasks_of_its_own_is_told_when_it_is_over() {
    let home = Home::new().await;
    let (engine, _guard) = home.engine();
    let (tasks, _inbox) = handle(home.task.session.clone());
    let wish = Wish { tasks: Some(tasks), ..Wish::default() };
    let mut run = Run::begin(&home, Arc::new(engine), wish).await;
    // Too early for either.
    run.order(RunnerOrder::Finish).await;
    run.order(RunnerOrder::GoOn).await;
    run.has_heard().await;
    run.replies("They run.", 1).await;
    run.answers(1, Ok(End::Finished)).await;
    assert!(matches!(run.said().await, RunnerSaid::Idle));
    assert_eq!(run.pulse.borrow().phase, Phase::Idle);
    run.order(RunnerOrder::GoOn).await;
    let did = run.did().await;
    assert!(
        matches!(&did, Did::Prompted(PromptId(2), text) if text.contains("reports")),
        "{did:?}"
    );
    run.pulse.wait_for(|pulse| pulse.phase == Phase::Working).await.unwrap();
    run.replies("They are done.", 1).await;
    run.answers(2, Ok(End::Finished)).await;
    assert!(matches!(run.said().await, RunnerSaid::Idle));
    run.order(RunnerOrder::Finish).await;
    let ended = run.ended().await;
    let Outcome::Completed { report } = ended else { panic!("{ended:?}") };
    assert_eq!(report.text, "They are done.");
}

#[tokio::test]
async fn a_report_that_does_not_match_is_repaired() {
    let home = Home::new().await;
    let (engine, _guard) = home.engine();
    let wish = Wish { output_schema: Some(json!({ "required": ["a"] })), ..Wish::default() };
    let mut run = Run::begin(&home, Arc::new(engine), wish).await;
    run.replies("Done.", 1).await;
    run.answers(1, Ok(End::Finished)).await;
    let did = run.did().await;
    assert!(matches!(&did, Did::Prompted(_, text) if text.contains("is no JSON")), "{did:?}");
    run.replies("{}", 1).await;
    run.answers(2, Ok(End::Finished)).await;
    let ended = run.ended().await;
    let Outcome::Failed { message, report } = ended else { panic!("{ended:?}") };
    assert_eq!(message, "the report does not match `output_schema`");
    let work: Work = serde_json::from_value(report.details).unwrap();
    assert_eq!(work.schema_errors, [r#"the report: "a" is a required property"#]);
    assert_eq!(report.text, "{}");
}

#[tokio::test]
async fn all_that_is_kept_has_a_size_that_an_engine_takes() {
    let home = Home::new().await;
    let (engine, _guard) = home.engine();
    let mut run = Run::begin(&home, Arc::new(engine), Wish::default()).await;
    run.replies(&"\"long\"\n".repeat(LARGEST), 1).await;
    let title = Some("t".repeat(LARGEST));
    run.says(ChildSaid::Call(CallUpdate { title, ..call("c1", CallStatus::Completed) })).await;
    let entry = PlanEntry {
        content: "p".repeat(LARGEST),
        status: PlanStatus::Pending,
        priority: PlanPriority::Medium,
    };
    run.says(ChildSaid::Plan(vec![entry; 200])).await;
    run.answers(1, Ok(End::Finished)).await;
    assert_eq!(run.did().await, Did::Closed);
    assert_eq!(run.progress().await.len(), 4);
    let ended = run.ended().await;
    let Outcome::Completed { report } = ended else { panic!("{ended:?}") };
    assert!(report.text.contains("`talaria sessions show child`"));
}

#[tokio::test]
async fn a_task_that_was_stopped_goes_on_where_it_was() {
    let home = Home::new().await;
    let (engine, guard) = home.engine();
    let mut run = Run::begin(&home, Arc::new(engine.clone()), Wish::default()).await;
    assert!(run.steer("and this").await.is_ok());
    run.replies("Half.", 1).await;
    run.order(RunnerOrder::Stop).await;
    assert!(matches!(run.said().await, RunnerSaid::Stopped));
    run.over().await;
    assert!(!engine.get(home.task.clone()).await.unwrap().status.state.is_final());
    drop((run, engine));
    drop(guard);

    let (engine, _guard) = home.engine();
    let mut run = Run::start(&home, Arc::new(engine), Wish::default());
    assert!(matches!(run.said().await, RunnerSaid::Began { attempt: 2 }));
    assert_eq!(run.did().await, Did::Spawned(Begin::Resume));
    assert!(matches!(run.did().await, Did::Prompted(PromptId(1), _)));
    // It was not delivered.
    assert_eq!(run.did().await, Did::Prompted(PromptId(2), "and this".to_owned()));
    run.answers(1, Ok(End::Finished)).await;
    run.answers(2, Ok(End::Finished)).await;
    assert_eq!(run.ended().await.state(), State::Completed);
}

#[tokio::test]
async fn a_limit_over_several_turns_ends_it() {
    let home = Home::new().await;
    let (engine, _guard) = home.engine();
    let delegation = DelegationSection { max_tokens: 100, ..DelegationSection::default() };
    let wish = Wish { delegation, ..Wish::default() };
    let mut run = Run::begin(&home, Arc::new(engine), wish).await;
    run.replies("One.", 60).await;
    assert!(run.steer("more").await.is_ok());
    run.answers(1, Ok(End::Finished)).await;
    run.says(ChildSaid::Delivered(vec![PromptId(2)])).await;
    run.replies("Two.", 60).await;
    // Its call would lead to a third request.
    run.says(ChildSaid::Call(call("c1", CallStatus::Pending))).await;
    let ended = run.ended().await;
    let Outcome::Failed { message, report } = ended else { panic!("{ended:?}") };
    assert_eq!(message, "it took 120 tokens, the most is 100 (`delegation.max_tokens`)");
    assert_eq!(report.text, "Two.");
}
