//! The rules of a turn, without a runtime: inputs go in, effects come out as lines.

mod tasks;

use expect_test::{Expect, expect};
use serde_json::json;

use super::calls::{Judged, Stopper};
use super::state::{Effect, Input, Limits, TurnState, Whole};
use crate::event::{CallUpdate, Event, Role};
use crate::ids::{CallId, IdSource, MessageId, PromptId};
use crate::model::{Delta, ModelError, Reply, RequestedCall, Stop};
use crate::permission::{Answer, Grant};
use crate::tools::{Prepared, Ran, ToolSettings, Toolbox};
use crate::transcript::{Author, Content, Outcome, Prompt, Usage};

fn prompt(id: u64) -> Prompt {
    Prompt {
        id: PromptId(id),
        message: MessageId::new(format!("m{id}")),
        content: vec![Content::text("text")],
        from: Author::User,
    }
}

fn turn(max_steps: u32, max_tokens: u64) -> TurnState {
    let toolbox = Toolbox::builtin(&ToolSettings::default());
    TurnState::new(
        (prompt(1), Vec::new()),
        IdSource::default(),
        toolbox,
        Limits { max_steps, max_tokens },
        Stopper::User,
    )
}

fn text(text: &str) -> Input {
    Input::Delta(Delta::Text(text.to_owned()))
}

fn began(tool: &str) -> Input {
    Input::Delta(Delta::CallBegan { tool: tool.to_owned() })
}

fn reply(stop: Stop, tools: &[&str]) -> Input {
    let calls = tools
        .iter()
        .map(|tool| RequestedCall {
            tool: (*tool).to_owned(),
            input: if *tool == "broken" { Err("{oops".to_owned()) } else { Ok(json!({})) },
            signatures: Vec::new(),
        })
        .collect();
    let usage = Usage { input: 10, output: 1, cached: 0 };
    Input::Delta(Delta::End(Reply { stop, usage, calls, thoughts: Vec::new() }))
}

fn prepared(key: &str) -> Prepared {
    Prepared {
        title: key.to_owned(),
        locations: Vec::new(),
        preview: Vec::new(),
        touches: Vec::new(),
        command: None,
        trouble: None,
        grant: Grant { key: key.to_owned(), label: key.to_owned() },
    }
}

fn allowed(call: &str) -> Input {
    Input::Judged { call: CallId::new(call), judged: Judged::Allowed(prepared("it")) }
}

fn asked(call: &str) -> Input {
    Input::Judged { call: CallId::new(call), judged: Judged::Asked(prepared("it")) }
}

fn ran(call: &str) -> Input {
    Input::Ran { call: CallId::new(call), ran: Ran::new(Outcome::done("ok")) }
}

fn hidden(update: &CallUpdate) -> &'static str {
    if update.hidden { ", hidden" } else { "" }
}

fn line(effect: &Effect) -> Option<String> {
    Some(match effect {
        Effect::Emit(Event::Said { role, content: Content::Text { text }, .. }) => {
            let who = if *role == Role::Thought { "think" } else { "say" };
            format!("{who} {:?}", text.chars().take(30).collect::<String>())
        }
        Effect::Emit(Event::Call(update)) => {
            let status = update.status?;
            format!("{} {status:?}", update.id)
        }
        Effect::Emit(event) => format!("emit {event:?}"),
        Effect::Request => "request".to_owned(),
        Effect::DropStream => "drop stream".to_owned(),
        Effect::Judge(call) => format!("judge {call}"),
        Effect::Ask(question) => format!("ask {}", question.id()),
        Effect::Withdraw(call) => format!("withdraw {call}"),
        Effect::Run(call) => format!("run {call}"),
        Effect::StopCalls => "stop calls".to_owned(),
        Effect::Delivered(messages) => {
            let messages: Vec<&str> = messages.iter().map(MessageId::as_str).collect();
            format!("delivered {}", messages.join(" "))
        }
        Effect::Replied(reply, whole) => {
            let calls: Vec<String> =
                reply.calls.iter().map(|call| format!("{} {}", call.id, call.tool)).collect();
            let steered = if reply.steered.is_empty() {
                String::new()
            } else {
                format!(" with {}", reply.steered.len())
            };
            let whole = if *whole == Whole::Yes { "" } else { ", broken off" };
            format!("replied {:?} [{}]{steered}{whole}", reply.text, calls.join(", "))
        }
        Effect::Described(update) => {
            let hidden = hidden(update);
            match update.status {
                Some(status) => format!("describe {} {status:?}{hidden}", update.id),
                None => format!("describe {}{hidden}", update.id),
            }
        }
        Effect::Settled { call, shown, gave, .. } => {
            let gave = if gave.is_empty() { String::new() } else { format!(", gave {gave:?}") };
            format!("{call} settled {:?}{}{gave}", shown.status?, hidden(shown))
        }
        Effect::Told { text, .. } => {
            format!("tell {:?}", text.chars().take(30).collect::<String>())
        }
        Effect::Step(step) => {
            let outcomes: Vec<&str> = step
                .calls
                .iter()
                .map(|settled| match settled.outcome {
                    Outcome::Done { .. } => "done",
                    Outcome::Failed { .. } => "failed",
                    Outcome::Denied { .. } => "denied",
                    Outcome::Cancelled { .. } => "cancelled",
                })
                .collect();
            format!("step {:?} {outcomes:?}", step.text)
        }
        Effect::End(ended) => match &ended.result {
            Ok(end) => format!("end {end:?}"),
            Err(fault) => format!("fail {fault}"),
        },
    })
}

#[track_caller]
fn check(mut turn: TurnState, inputs: Vec<Input>, expected: &Expect) {
    let mut lines = String::new();
    for input in std::iter::once(Input::Begin).chain(inputs) {
        let effects: Vec<String> = turn.handle(input).iter().filter_map(line).collect();
        lines.push_str(&format!("{}\n", effects.join(" · ")));
    }
    expected.assert_eq(&lines);
}

#[test]
fn a_reply_without_calls_ends_the_turn() {
    check(
        turn(10, 1000),
        vec![text("Hello"), text("!"), reply(Stop::Finished, &[]), text("too late")],
        &expect![[r#"
            request
            say "Hello"
            say "!"
            replied "Hello!" [] · step "Hello!" [] · end Finished

        "#]],
    );
}

#[test]
fn reads_run_beside_each_other_and_changes_in_order() {
    check(
        turn(10, 1000),
        vec![
            began("read"),
            reply(Stop::Finished, &["read", "grep", "edit", "read", "terminal"]),
            allowed("c2"),
            allowed("c1"),
            ran("c1"),
            ran("c2"),
            allowed("c3"),
            ran("c3"),
            allowed("c4"),
            ran("c4"),
            asked("c5"),
            Input::Answered { call: CallId::new("c5"), answer: Answer::AllowOnce },
            ran("c5"),
        ],
        &expect![[r#"
            request
            c1 Pending
            replied "" [c1 read, c2 grep, c3 edit, c4 read, c5 terminal] · c2 Pending · c3 Pending · c4 Pending · c5 Pending · judge c1 · judge c2
            describe c2 InProgress · run c2
            describe c1 InProgress · run c1
            c1 settled Completed
            c2 settled Completed · judge c3
            describe c3 InProgress · run c3
            c3 settled Completed · judge c4
            describe c4 InProgress · run c4
            c4 settled Completed · judge c5
            describe c5 · ask c5
            c5 InProgress · run c5
            c5 settled Completed · step "" ["done", "done", "done", "done", "done"] · request
        "#]],
    );
}

#[test]
fn what_cannot_run_is_an_outcome() {
    check(
        turn(10, 1000),
        vec![
            reply(Stop::Finished, &["nonsense", "broken", "write", "write"]),
            Input::Judged { call: CallId::new("c3"), judged: Judged::Invalid("bad".to_owned()) },
            asked("c4"),
            Input::Answered { call: CallId::new("c4"), answer: Answer::RejectOnce },
        ],
        &expect![[r#"
            request
            replied "" [c1 nonsense, c2 broken, c3 write, c4 write] · c1 Pending · c1 settled Failed · c2 Pending · c2 settled Failed · c3 Pending · c4 Pending · judge c3
            c3 settled Failed · judge c4
            describe c4 · ask c4
            c4 settled Failed · step "" ["failed", "failed", "failed", "denied"] · request
        "#]],
    );
}

#[test]
fn steering_is_seen_before_the_next_request_and_keeps_the_turn_alive() {
    check(
        turn(10, 1000),
        vec![
            text("So"),
            Input::Steered(prompt(2)),
            reply(Stop::Finished, &[]),
            reply(Stop::Finished, &[]),
        ],
        &expect![[r#"
            request
            say "So"

            replied "So" [] · step "So" [] · delivered m2 · request
            replied "" [] with 1 · step "" [] · end Finished
        "#]],
    );
}

#[test]
fn a_cancel_settles_every_call() {
    check(
        turn(10, 1000),
        vec![
            reply(Stop::Finished, &["read", "read", "edit"]),
            allowed("c1"),
            asked("c2"),
            Input::Cancel,
            Input::Answered { call: CallId::new("c2"), answer: Answer::AllowOnce },
            Input::Cancel,
            ran("c1"),
        ],
        &expect![[r#"
            request
            replied "" [c1 read, c2 read, c3 edit] · c1 Pending · c2 Pending · c3 Pending · judge c1 · judge c2
            describe c1 InProgress · run c1
            describe c2 · ask c2
            withdraw c2 · c2 settled Failed · c3 settled Failed · stop calls


            c1 settled Completed · step "" ["done", "cancelled", "cancelled"] · end Cancelled
        "#]],
    );
}

#[test]
fn a_cancel_in_the_stream_keeps_the_text_and_closes_what_began() {
    check(
        turn(10, 1000),
        vec![text("Half a"), began("write"), Input::Cancel],
        &expect![[r#"
            request
            say "Half a"
            c1 Pending
            drop stream · c1 Failed · replied "Half a" [], broken off · step "Half a" [] · end Cancelled
        "#]],
    );
}

#[test]
fn a_broken_stream_runs_no_call() {
    let dropped = || Input::Broke(ModelError::Dropped { message: "gone".to_owned() });
    check(
        turn(10, 1000),
        vec![began("write"), dropped()],
        &expect![[r#"
            request
            c1 Pending
            c1 Failed · fail The reply broke off before its end: gone. What arrived is kept; send a prompt such as `go on` to continue.
        "#]],
    );
    check(
        turn(10, 1000),
        vec![Input::Broke(ModelError::Refused { message: "no".to_owned() })],
        &expect![[r#"
            request
            end Refused
        "#]],
    );
}

#[test]
fn limits_end_the_turn_with_their_reason() {
    check(
        turn(1, 1000),
        vec![reply(Stop::Finished, &["read"]), allowed("c1"), ran("c1")],
        &expect![[r#"
            request
            replied "" [c1 read] · c1 Pending · judge c1
            describe c1 InProgress · run c1
            c1 settled Completed · step "" ["done"] · tell "I stopped after 1 requests to " · end MaxSteps
        "#]],
    );
    check(
        turn(10, 11),
        vec![reply(Stop::Finished, &["read"]), allowed("c1"), ran("c1")],
        &expect![[r#"
            request
            replied "" [c1 read] · c1 Pending · judge c1
            describe c1 InProgress · run c1
            c1 settled Completed · step "" ["done"] · tell "I stopped after 11 tokens; the" · end MaxTokens
        "#]],
    );
    check(
        turn(10, 1000),
        vec![reply(Stop::MaxTokens, &[])],
        &expect![[r#"
            request
            replied "" [] · step "" [] · end MaxTokens
        "#]],
    );
    check(
        turn(10, 1000),
        vec![reply(Stop::Refused, &[])],
        &expect![[r#"
            request
            replied "" [] · step "" [] · end Refused
        "#]],
    );
}

#[test]
fn calls_that_the_model_gave_up_are_closed() {
    check(
        turn(10, 1000),
        vec![began("read"), began("read"), reply(Stop::Finished, &["read"])],
        &expect![[r#"
            request
            c1 Pending
            c2 Pending
            replied "" [c1 read] · c2 Failed · judge c1
        "#]],
    );
}

#[test]
fn arguments_that_are_nested_too_deep_are_refused() {
    let nested = |levels: usize| (0..levels).fold(json!(1), |value, _| json!([value]));
    let call = |levels| RequestedCall {
        tool: "write".to_owned(),
        input: Ok(json!({ "a": nested(levels) })),
        signatures: Vec::new(),
    };
    let usage = Usage { input: 10, output: 1, cached: 0 };
    let calls = vec![call(63), call(64)];
    let end = Reply { stop: Stop::Finished, usage, calls, thoughts: Vec::new() };
    let mut turn = turn(10, 1000);
    turn.handle(Input::Begin);
    let effects = turn.handle(Input::Delta(Delta::End(end)));
    let replied = effects
        .iter()
        .find_map(|effect| if let Effect::Replied(reply, _) = effect { Some(reply) } else { None });
    let inputs: Vec<_> = replied.unwrap().calls.iter().map(|call| call.input.clone()).collect();
    assert_eq!(inputs, [json!({ "a": nested(63) }), json!({})]);
    let outcome = |effect: &Effect| {
        let Effect::Settled { call, outcome, .. } = effect else { return None };
        Some((call.to_string(), outcome.text()))
    };
    let outcomes: Vec<_> = effects.iter().filter_map(outcome).collect();
    let [(call, why)] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    assert_eq!(call, "c2");
    assert!(why.contains("64 levels deep"), "{why}");
}
