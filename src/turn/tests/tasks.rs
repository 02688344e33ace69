//! Calls that tasks' cards stand for, and the reports of tasks.

use std::sync::Arc;

use expect_test::expect;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::{
    Input, Judged, Limits, Stopper, TurnState, allowed, asked, began, check, prepared, prompt,
    reply, text,
};
use crate::event::{CallStatus, CallUpdate, Event, ToolKind};
use crate::ids::{CallId, IdSource, MessageId, PromptId};
use crate::model::{ModelError, Stop, ToolSpec};
use crate::permission::Answer;
use crate::tools::{self, Context, Prepared, Ran, Tool, ToolSettings, Toolbox};
use crate::transcript::{Author, Content, Outcome, Prompt};
use crate::turn::state::Effect;

/// Starts tasks, as far as its turn sees.
struct Delegate;

impl Tool for Delegate {
    fn spec(&self) -> ToolSpec {
        ToolSpec { name: "delegate".to_owned(), description: String::new(), schema: json!({}) }
    }

    fn effect(&self) -> tools::Effect {
        tools::Effect::None
    }

    fn kind(&self) -> ToolKind {
        ToolKind::Think
    }

    fn is_shown_by_cards(&self) -> bool {
        true
    }

    fn prepare<'a>(
        &'a self,
        _input: &'a Value,
        _context: &'a Context,
    ) -> BoxFuture<'a, Result<Prepared, String>> {
        Box::pin(async { Ok(prepared("tasks")) })
    }

    fn run<'a>(&'a self, _input: &'a Value, _context: &'a Context) -> BoxFuture<'a, Ran> {
        Box::pin(async { Ran::failed("not here") })
    }
}

fn turn_with(steered: Vec<Prompt>) -> TurnState {
    let toolbox = Toolbox::builtin(&ToolSettings::default()).and(Arc::new(Delegate));
    let limits = Limits { max_steps: 3, max_tokens: 1000 };
    TurnState::new((prompt(1), steered), IdSource::default(), toolbox, limits, Stopper::Task)
}

fn turn() -> TurnState {
    turn_with(Vec::new())
}

fn report(task: u64) -> Prompt {
    Prompt {
        id: PromptId::default(),
        message: MessageId::new(format!("report{task}")),
        content: vec![Content::text("report")],
        from: Author::Task(task),
    }
}

fn started(call: &str) -> Input {
    ran(call, Ran { has_cards: true, ..Ran::new(Outcome::done("t1")) })
}

fn gave(call: &str, tasks: &[u64]) -> Input {
    ran(call, Ran { gave: tasks.to_vec(), ..Ran::new(Outcome::done("reports")) })
}

fn ran(call: &str, ran: Ran) -> Input {
    Input::Ran { call: CallId::new(call), ran }
}

#[test]
fn a_call_that_cards_stand_for_is_written_down_and_not_shown() {
    check(
        turn(),
        vec![
            began("delegate"),
            reply(Stop::Finished, &["delegate", "read"]),
            allowed("c1"),
            started("c1"),
        ],
        &expect![[r#"
            request

            replied "" [c1 delegate, c2 read] · c2 Pending · judge c1 · judge c2
            describe c1 InProgress, hidden · run c1
            c1 settled Completed, hidden
        "#]],
    );
}

#[test]
fn one_that_fails_before_there_is_a_task_is_one_failed_call() {
    let mut turn = turn();
    turn.handle(Input::Begin);
    turn.handle(reply(Stop::Finished, &["delegate"]));
    let described = turn.handle(allowed("c1"));
    let Effect::Described(update) = &described[0] else { panic!("{described:?}") };
    assert_eq!(
        (update.tool.as_deref(), update.title.as_deref(), update.kind, update.hidden),
        (Some("delegate"), Some("it"), Some(ToolKind::Think), true)
    );
    let effects = turn.handle(ran("c1", Ran::failed("the goal is empty")));
    let Effect::Settled { shown, .. } = &effects[0] else { panic!("{effects:?}") };
    assert!(shown.content.is_some() && shown.output.is_some());
    let whole = CallUpdate {
        tool: Some("delegate".to_owned()),
        title: Some("it".to_owned()),
        kind: Some(ToolKind::Think),
        input: Some(json!({})),
        content: shown.content.clone(),
        output: shown.output.clone(),
        ..CallUpdate::new(CallId::new("c1")).with_status(CallStatus::Failed)
    };
    assert_eq!(*shown, whole);
}

#[test]
fn one_whose_tasks_were_started_stays_hidden_however_it_ends() {
    let stopped = || {
        let reason = "stopped".to_owned();
        ran("c1", Ran { has_cards: true, ..Ran::new(Outcome::Cancelled { reason }) })
    };
    check(
        turn(),
        vec![
            reply(Stop::Finished, &["delegate", "delegate"]),
            allowed("c1"),
            Input::Cancel,
            stopped(),
        ],
        &expect![[r#"
            request
            replied "" [c1 delegate, c2 delegate] · judge c1 · judge c2
            describe c1 InProgress, hidden · run c1
            c2 settled Failed · stop calls
            c1 settled Failed, hidden · step "" ["cancelled", "cancelled"] · end Cancelled
        "#]],
    );
}

#[test]
fn nothing_is_said_of_one_that_never_became_whole() {
    let dropped = Input::Broke(ModelError::Dropped { message: "gone".to_owned() });
    check(
        turn(),
        vec![began("delegate"), text("a"), dropped],
        &expect![[r#"
            request

            say "a"
            replied "a" [], broken off · step "a" [] · fail The reply broke off before its end: gone. What arrived is kept; send a prompt such as `go on` to continue.
        "#]],
    );
    check(
        turn(),
        vec![began("delegate"), reply(Stop::Finished, &[])],
        &expect![[r#"
            request

            replied "" [] · step "" [] · end Finished
        "#]],
    );
}

#[test]
fn one_that_must_be_asked_for_is_a_call_like_others() {
    check(
        turn(),
        vec![
            reply(Stop::Finished, &["delegate"]),
            asked("c1"),
            Input::Answered { call: CallId::new("c1"), answer: Answer::AllowOnce },
            started("c1"),
        ],
        &expect![[r#"
            request
            replied "" [c1 delegate] · judge c1
            c1 Pending · describe c1 · ask c1
            c1 InProgress · run c1
            c1 settled Completed · step "" ["done"] · request
        "#]],
    );
}

#[test]
fn a_denied_one_is_one_failed_call() {
    let judged = Judged::Denied(prepared("it"), "no".to_owned());
    check(
        turn(),
        vec![
            reply(Stop::Finished, &["delegate"]),
            Input::Judged { call: CallId::new("c1"), judged },
        ],
        &expect![[r#"
            request
            replied "" [c1 delegate] · judge c1
            describe c1, hidden · c1 settled Failed · step "" ["denied"] · request
        "#]],
    );
}

#[test]
fn reports_go_with_the_first_request_and_take_another_step_later() {
    check(
        turn_with(vec![report(1), report(2)]),
        vec![reply(Stop::Finished, &[])],
        &expect![[r#"
            delivered report1 report2 · request
            replied "" [] with 2 · step "" [] · end Finished
        "#]],
    );
    check(
        turn(),
        vec![Input::Steered(report(1)), reply(Stop::Finished, &[]), reply(Stop::Finished, &[])],
        &expect![[r#"
            request

            replied "" [] · step "" [] · delivered report1 · request
            replied "" [] with 1 · step "" [] · end Finished
        "#]],
    );
}

#[test]
fn a_report_that_a_call_gave_is_not_given_again() {
    check(
        turn(),
        vec![
            reply(Stop::Finished, &["read"]),
            allowed("c1"),
            Input::Steered(report(1)),
            Input::Steered(report(2)),
            gave("c1", &[1, 3]),
            // It comes after the call that gave it.
            Input::Steered(report(3)),
            reply(Stop::Finished, &[]),
        ],
        &expect![[r#"
            request
            replied "" [c1 read] · c1 Pending · judge c1
            describe c1 InProgress · run c1


            c1 settled Completed, gave [1, 3] · step "" ["done"] · delivered report2 · request

            replied "" [] with 1 · step "" [] · end Finished
        "#]],
    );
}

#[test]
fn reports_alone_do_not_take_a_turn_beyond_its_limit() {
    let end = || reply(Stop::Finished, &[]);
    let steered = |prompt: Prompt| Input::Steered(prompt);
    let inputs = |last: Prompt| {
        vec![steered(report(1)), end(), steered(report(2)), end(), steered(last), end()]
    };
    check(
        turn(),
        inputs(report(3)),
        &expect![[r#"
            request

            replied "" [] · step "" [] · delivered report1 · request

            replied "" [] with 1 · step "" [] · delivered report2 · request

            replied "" [] with 1 · step "" [] · end Finished
        "#]],
    );
    check(
        turn(),
        inputs(prompt(2)),
        &expect![[r#"
            request

            replied "" [] · step "" [] · delivered report1 · request

            replied "" [] with 1 · step "" [] · delivered report2 · request

            replied "" [] with 1 · step "" [] · tell "I stopped after 3 requests to " · end MaxSteps
        "#]],
    );
}

#[test]
fn no_client_is_told_anything_of_a_hidden_call() {
    let mut turn = turn();
    let mut effects = turn.handle(Input::Begin);
    for input in [began("delegate"), reply(Stop::Finished, &["delegate"]), allowed("c1")] {
        effects.extend(turn.handle(input));
    }
    assert!(turn.calls().is_hidden(&CallId::new("c1")));
    effects.extend(turn.handle(started("c1")));
    let told = |effect: &&Effect| matches!(effect, Effect::Emit(Event::Call(_)));
    assert_eq!(effects.iter().find(told), None);
}
