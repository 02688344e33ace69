//! The rules of a session, without a runtime: inputs go in as lines, effects come out as lines.

use std::collections::BTreeSet;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::commands::{self, Command};
use super::restore::Restored;
use super::state::{Effect, Initial, Input, SessionState};
use super::{Idle, Setting};
use crate::config::{Busy, Delivery, FollowUp, TasksSection};
use crate::event::{CallStatus, CallUpdate, Event, Question, Settings, ThoughtLevel};
use crate::fault::{Fault, Kind};
use crate::ids::{CallId, IdSource, MessageId, PromptId};
use crate::permission::{Answer, Grant, Mode};
use crate::store::{Durability, Record};
use crate::transcript::{Author, Content, End, Over, Prompt};
use crate::turn::{Ended, TurnSaid};
use crate::viewer::{Late, Viewer};

mod actor;
mod follow;
mod lives;
mod orders;
mod questions;
mod records;
mod restored;
mod steering;
mod tasks;

fn state(busy: Busy) -> SessionState {
    resumed(busy, Restored::default(), None)
}

fn resumed(busy: Busy, restored: Restored, notice: Option<Fault>) -> SessionState {
    seen_by(Viewer::default(), busy, restored, notice)
}

fn seen_by(viewer: Viewer, busy: Busy, restored: Restored, notice: Option<Fault>) -> SessionState {
    let settings = Settings {
        mode: Mode::Ask,
        model: "one".to_owned(),
        models: vec!["one".to_owned(), "two".to_owned()],
        thought: ThoughtLevel::Auto,
    };
    let initial = Initial {
        settings,
        busy,
        version: "1.2.3",
        is_shown: true,
        has_tasks: true,
        notice,
        is_child: false,
        viewer,
        tasks: TasksSection {
            follow_up: Some(FollowUp::Off),
            delivery: Delivery::Detached,
            ..TasksSection::default()
        },
    };
    let mut state = SessionState::new(initial, restored, IdSource::default());
    state.handle(Input::Settle);
    state
}

fn prompt(id: u64, text: &str) -> Input {
    Input::Prompt { id: PromptId(id), content: vec![Content::text(text)] }
}

fn ended(end: End) -> Input {
    Input::Turn(TurnSaid::Ended(Ended { result: Ok(end), refused_input: false }))
}

fn died() -> Input {
    let result = Err(Fault::new(Kind::Internal, "defect"));
    Input::Turn(TurnSaid::Ended(Ended { result, refused_input: false }))
}

fn asks(call: &str, key: &str) -> Input {
    let grant = Grant { key: key.to_owned(), label: key.to_owned() };
    Input::Turn(TurnSaid::Ask(Question::new(CallUpdate::new(CallId::new(call)), grant)))
}

fn answer(call: &str, answer: Answer) -> Input {
    Input::Answer { call: CallId::new(call), answer }
}

fn delivered(messages: Vec<MessageId>) -> Input {
    Input::Turn(TurnSaid::Delivered(messages))
}

/// An effect as a line; none for what is written down.
fn line(effect: &Effect) -> Option<String> {
    Some(match effect {
        Effect::Append(..) => return None,
        Effect::LetGo(_) => "let go".to_owned(),
        Effect::LetGoAtOnce(_) => "let go at once".to_owned(),
        Effect::ReplyTitle(Ok(title)) => format!("titled {title:?}"),
        Effect::ReplyTitle(Err(fault)) => format!("titled error {fault}"),
        Effect::ReplySteering(Ok(steering)) => format!("steering {steering:?}"),
        Effect::ReplySteering(Err(fault)) => format!("steering error {fault}"),
        Effect::Tell(Event::Said { content: Content::Text { text }, .. }) => {
            format!("say {text:?}")
        }
        Effect::Tell(Event::Settings(settings)) => {
            format!("settings {} {}", settings.mode, settings.model)
        }
        Effect::Tell(Event::Title(title)) => format!("title {title:?}"),
        Effect::Tell(Event::Call(CallUpdate { id, title: Some(title), status, .. }))
            if id.as_str().starts_with("task-") =>
        {
            format!("call {id} {title:?} {status:?}")
        }
        Effect::Tell(Event::Call(update)) => format!("call {} {:?}", update.id, update.status),
        Effect::Tell(event) => format!("tell {event:?}"),
        Effect::Reply { prompt, answer: Ok(end) } => format!("reply {} {end:?}", prompt.0),
        Effect::Reply { prompt, answer: Err(fault) } => format!("reply {} error {fault}", prompt.0),
        Effect::ReplySet(Ok(settings)) => format!("set {} {}", settings.mode, settings.model),
        Effect::ReplySet(Err(fault)) => format!("set error {fault}"),
        Effect::Ask(question) => match &question.call.title {
            Some(title) => format!("ask {} {title:?}", question.id()),
            None => format!("ask {}", question.id()),
        },
        Effect::Delivered(prompts) => format!("delivered {prompts:?}"),
        Effect::Replied { text, usage, cost } => format!("replied {text:?} {usage:?} {cost:?}"),
        Effect::Withdraw(call) => format!("withdraw {call}"),
        Effect::AskedLate(call) => format!("limit {call}"),
        Effect::StartTurn { prompt, history, steered, origin, cap } => {
            let steered: Vec<&str> = steered.iter().map(|report| report.message.as_str()).collect();
            let with = if steered.is_empty() { "" } else { " with " };
            let turns = history.len();
            let generation = match origin.generation {
                0 => String::new(),
                number => format!(" generation {number} of {}", origin.prompt),
            };
            let cap = cap.map(|cap| format!(" at most {cap}")).unwrap_or_default();
            let steered = steered.join(", ");
            format!("start {} after {turns} turns{with}{steered}{generation}{cap}", prompt.id.0)
        }
        Effect::Steer(Prompt { from: Author::Task(task), .. }) => {
            format!("steer report of t{task}")
        }
        Effect::Steer(prompt) => format!("steer {}", prompt.id.0),
        Effect::PromptWaits => "prompt waits".to_owned(),
        Effect::AnswerTurn { call, answer } => format!("answer {call} {answer:?}"),
        Effect::AnswerTask { call, answer } => format!("answer task {call} {answer:?}"),
        Effect::AttachTasks => "attach".to_owned(),
        Effect::TaskCommand { prompt, command, .. } => format!("command {} {command:?}", prompt.0),
        Effect::EndCommand(prompt) => format!("end command {}", prompt.0),
        Effect::CancelTurn => "cancel turn".to_owned(),
        Effect::OnceTold(record) => format!("[once told: {}]", record_line(record)),
        Effect::CancelTasks => "cancel tasks".to_owned(),
        Effect::FollowUpSoon => "follow up soon".to_owned(),
        Effect::HoldFor(limit) => format!("hold for {limit:?}"),
        Effect::HoldEnds => "hold ends".to_owned(),
        Effect::Publish => "publish".to_owned(),
        Effect::SettleSoon => "settle soon".to_owned(),
        Effect::Stop => "stop".to_owned(),
    })
}

/// An effect as a line; what is written down in brackets.
fn line_or_record(effect: &Effect) -> Option<String> {
    let Effect::Append(record, durability) = effect else { return line(effect) };
    let durability = if *durability == Durability::Power { " (power)" } else { "" };
    Some(format!("[{}{durability}]", record_line(record)))
}

fn record_line(record: &Record) -> String {
    let what = match record {
        Record::Opened(_) => String::new(),
        Record::Settings { mode, model, .. } => format!(" {mode} {model}"),
        Record::Title { title, by } => format!(" {title:?} {by:?}"),
        Record::Prompt { prompt } => format!(" {} {:?}", prompt.message, prompt.text()),
        Record::Turn { prompt } | Record::NotDelivered { prompt } => format!(" {prompt}"),
        Record::Aside { prompt, message, answer } => {
            format!(" {} {:?} {message} {answer:?}", prompt.message, prompt.text())
        }
        Record::Reply { reply, spent } => {
            let calls: Vec<&str> = reply.calls.iter().map(|call| call.id.as_str()).collect();
            let spent = if spent.is_some() { "" } else { " broken off" };
            format!(" {:?} {calls:?}{spent}", reply.text)
        }
        Record::Call { shown } => format!(" {}", shown_line(shown)),
        Record::Permission { call, answer, rule } => {
            let rule = rule.as_ref().map(|rule| format!(" {} {}", rule.grant.key, rule.allow));
            format!(" {call} {answer:?}{}", rule.unwrap_or_default())
        }
        Record::Begun { call } => format!(" {call}"),
        Record::Saw { files } => format!(" {}", files.len()),
        Record::Outcome { outcome, shown, .. } => {
            format!(" {} {:?}", shown_line(shown), outcome.text())
        }
        Record::Card { card } => format!(" {}", shown_line(card)),
        Record::Report { report } => format!(" {} {:?}", report.message, report.text()),
        Record::Shown { tasks } => format!(" {tasks:?}"),
        Record::Told { message, content } => format!(" {message} {content:?}"),
        Record::Plan { entries } => format!(" {}", entries.len()),
        Record::End { over } => match over {
            Over::Ended { end } => format!(" {end:?}"),
            Over::Interrupted => " interrupted".to_owned(),
            Over::Failed { message, .. } => format!(" {message}"),
        },
    };
    format!("{}{what}", record.kind())
}

/// What a record shows of a call: who it is, and its status.
fn shown_line(shown: &CallUpdate) -> String {
    let CallUpdate { id, title, kind, status, .. } = shown;
    let title = title.as_ref().map(|title| format!(" {title:?}")).unwrap_or_default();
    let kind = kind.map(|kind| format!(" {kind:?}")).unwrap_or_default();
    let status = status.map(|status| format!(" {status:?}")).unwrap_or_default();
    format!("{id}{title}{kind}{status}")
}

#[track_caller]
fn check(busy: Busy, inputs: Vec<Input>, expected: &Expect) {
    expected.assert_eq(&story(state(busy), inputs, line));
}

/// The same, with what is written down.
#[track_caller]
fn check_records(state: SessionState, inputs: Vec<Input>, expected: &Expect) {
    expected.assert_eq(&story(state, inputs, line_or_record));
}

fn story(
    mut state: SessionState,
    inputs: Vec<Input>,
    line: impl Fn(&Effect) -> Option<String>,
) -> String {
    let mut text = String::new();
    for input in inputs {
        let lines: Vec<String> = state.handle(input).iter().filter_map(&line).collect();
        text.push_str(&format!("{}\n", lines.join(" · ")));
    }
    text
}

#[test]
fn prompts_run_one_after_the_other() {
    check(
        Busy::Steer,
        vec![prompt(1, "first"), ended(End::Finished), prompt(2, "second"), ended(End::MaxTokens)],
        &expect![[r#"
            start 1 after 0 turns
            title "first" · reply 1 Finished
            start 2 after 1 turns
            reply 2 MaxTokens
        "#]],
    );
}

#[test]
fn a_steered_prompt_is_answered_with_the_turn_that_took_it() {
    check(
        Busy::Steer,
        vec![
            prompt(1, "go"),
            prompt(2, "also"),
            delivered(vec![MessageId::new("m2")]),
            ended(End::Finished),
        ],
        &expect![[r#"
            start 1 after 0 turns
            steer 2

            title "go" · reply 1 Finished · reply 2 Finished
        "#]],
    );
}

#[test]
fn a_prompt_that_a_turn_did_not_take_runs_as_its_own() {
    check(
        Busy::Steer,
        vec![prompt(1, "go"), prompt(2, "also"), ended(End::Finished)],
        &expect![[r#"
            start 1 after 0 turns
            steer 2
            title "go" · reply 1 Finished · start 2 after 1 turns
        "#]],
    );
}

#[test]
fn queue_and_interrupt() {
    check(
        Busy::Queue,
        vec![prompt(1, "go"), prompt(2, "next"), ended(End::Finished)],
        &expect![[r#"
            start 1 after 0 turns
            prompt waits
            title "go" · reply 1 Finished · start 2 after 1 turns
        "#]],
    );
    check(
        Busy::Interrupt,
        vec![prompt(1, "go"), prompt(2, "instead"), ended(End::Cancelled)],
        &expect![[r#"
            start 1 after 0 turns
            cancel turn
            title "go" · reply 1 Cancelled · start 2 after 1 turns
        "#]],
    );
}

#[test]
fn a_cancel_covers_what_was_sent_before_it_and_nothing_else() {
    check(
        Busy::Steer,
        vec![
            Input::Cancel { upto: PromptId(0) },
            prompt(1, "go"),
            prompt(2, "steered"),
            Input::Cancel { upto: PromptId(3) },
            Input::Cancel { upto: PromptId(3) },
            prompt(3, "was in the inbox"),
            prompt(4, "after the cancel"),
            ended(End::Finished),
        ],
        &expect![[r#"

            start 1 after 0 turns
            steer 2
            cancel turn



            title "go" · reply 1 Cancelled · reply 2 Cancelled · reply 3 Cancelled · start 4 after 1 turns
        "#]],
    );
}

#[test]
fn one_question_at_a_time_and_always_covers_those_that_wait() {
    check(
        Busy::Steer,
        vec![
            prompt(1, "go"),
            asks("c1", "edit"),
            asks("c2", "edit"),
            asks("c3", "terminal ls"),
            answer("c9", Answer::AllowOnce),
            answer("c1", Answer::AllowAlways),
            answer("c3", Answer::RejectOnce),
            asks("c4", "edit"),
            asks("c5", "terminal ls"),
        ],
        &expect![[r#"
            start 1 after 0 turns
            ask c1



            answer c1 AllowAlways · answer c2 AllowOnce · publish · ask c3
            answer c3 RejectOnce
            answer c4 AllowOnce
            ask c5
        "#]],
    );
}

#[test]
fn a_withdrawn_question_makes_room_for_the_next() {
    check(
        Busy::Steer,
        vec![
            prompt(1, "go"),
            asks("c1", "edit"),
            asks("c2", "terminal ls"),
            Input::Turn(TurnSaid::Withdraw(CallId::new("c1"))),
            Input::Turn(TurnSaid::Withdraw(CallId::new("c2"))),
            answer("c2", Answer::AllowOnce),
        ],
        &expect![[r#"
            start 1 after 0 turns
            ask c1

            withdraw c1 · ask c2
            withdraw c2

        "#]],
    );
}

#[test]
fn a_cancelled_turn_asks_nothing_more_and_takes_no_decision() {
    check(
        Busy::Steer,
        vec![
            prompt(1, "go"),
            asks("c1", "edit"),
            asks("c2", "terminal ls"),
            Input::Cancel { upto: PromptId(1) },
            answer("c1", Answer::AllowAlways),
            asks("c3", "terminal ls"),
            Input::Turn(TurnSaid::Withdraw(CallId::new("c2"))),
            ended(End::Cancelled),
            prompt(2, "again"),
            asks("c4", "edit"),
        ],
        &expect![[r#"
            start 1 after 0 turns
            ask c1

            cancel turn
            answer c1 Unanswered


            title "go" · reply 1 Cancelled
            start 2 after 1 turns
            ask c4
        "#]],
    );
}

#[test]
fn a_turn_that_died_leaves_no_call_open() {
    let update = CallUpdate::new(CallId::new("c1")).with_status(CallStatus::InProgress);
    check(
        Busy::Steer,
        vec![
            prompt(1, "go"),
            Input::Turn(TurnSaid::Event(Event::Call(update))),
            asks("c2", "edit"),
            died(),
        ],
        &expect![[r#"
            start 1 after 0 turns
            call c1 Some(InProgress)
            ask c2
            withdraw c2 · call c1 Some(Failed) · title "go" · reply 1 error Defect.
        "#]],
    );
}

#[test]
fn close_ends_everything_and_takes_nothing_more() {
    check(
        Busy::Queue,
        vec![
            prompt(1, "go"),
            prompt(2, "waits"),
            Input::Close,
            prompt(3, "too late"),
            ended(End::Cancelled),
            Input::Close,
        ],
        &expect![[r#"
            start 1 after 0 turns
            prompt waits
            cancel turn

            title "go" · reply 1 Cancelled · reply 2 Cancelled · reply 3 Cancelled · stop

        "#]],
    );
}

#[test]
fn commands_run_at_once_also_while_a_turn_runs() {
    check(
        Busy::Steer,
        vec![
            prompt(1, "go"),
            prompt(2, "/mode plan"),
            prompt(3, "/mode nonsense"),
            prompt(4, "/model three"),
            prompt(5, "/version"),
            prompt(6, "/usage"),
            prompt(7, "/model scripted:x"),
        ],
        &expect![[r#"
            start 1 after 0 turns
            settings plan one · say "The mode is now `plan`: Reads files and plans; changes nothing." · publish · reply 2 Finished
            say "Unknown mode `nonsense`: use ask, accept-edits, plan or bypass." · reply 3 Finished
            settings plan three · say "The model is now `three`, from the next request on." · publish · reply 4 Finished
            say "Talaria 1.2.3" · reply 5 Finished
            say "No tokens were used yet." · reply 6 Finished
            say "A script is not chosen here. Set `TALARIA_MODEL` before the start." · reply 7 Finished
        "#]],
    );
}

#[test]
fn settings_are_checked_before_they_change() {
    check(
        Busy::Steer,
        vec![
            Input::Set(Setting::Mode(Mode::Bypass)),
            Input::Set(Setting::Mode(Mode::Bypass)),
            Input::Set(Setting::Model("nine".to_owned())),
            Input::Set(Setting::Model("two".to_owned())),
            Input::Set(Setting::Thought("much".to_owned())),
        ],
        &expect![[r#"
            settings bypass one · set bypass one · publish
            set bypass one
            set error Unknown model `nine`. Choose one of one, two, or type `/model NAME`.
            settings bypass two · set bypass two · publish
            set error Unknown thought level `much`. Choose auto, low, medium or high.
        "#]],
    );
}

#[test]
fn commands_are_read_from_the_last_text() {
    let text = |text: &str| Content::text(text);
    assert_eq!(
        commands::parse(&[text("context"), text("  /mode  plan ")]),
        Some(Command::Mode(Some("plan".to_owned())))
    );
    assert_eq!(commands::parse(&[text("/help"), text("a question")]), None);
    assert_eq!(commands::parse(&[text("/usr/bin/env is what?")]), None);
    assert_eq!(commands::parse(&[]), None);
}

/// What can happen to a session, in any order.
#[derive(Debug, Clone)]
enum Happening {
    Prompt,
    Command,
    Steering(bool),
    Cancel,
    Asks,
    AnswerOpen(bool),
    Deliver,
    TurnEnds,
    Close,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => Just(Happening::Prompt),
        1 => Just(Happening::Command),
        2 => any::<bool>().prop_map(Happening::Steering),
        2 => Just(Happening::Cancel),
        2 => Just(Happening::Asks),
        2 => any::<bool>().prop_map(Happening::AnswerOpen),
        2 => Just(Happening::Deliver),
        3 => Just(Happening::TurnEnds),
        1 => Just(Happening::Close),
    ]
}

/// A turn as a session may meet one.
#[derive(Default)]
struct Model {
    running: bool,
    cancelling: bool,
    steered: Vec<MessageId>,
    asked: Vec<CallId>,
    open: Option<CallId>,
}

proptest! {
    /// Each prompt is answered exactly once, whatever happens; a turn starts only when none runs; at
    /// most one question is open; nothing starts after the end.
    #[test]
    fn every_prompt_is_answered_once(
        happenings in prop::collection::vec(happening(), 1..60),
        busy in prop_oneof![Just(Busy::Steer), Just(Busy::Queue), Just(Busy::Interrupt)],
    ) {
        let mut state = state(busy);
        let mut model = Model::default();
        let mut sent = 0;
        let mut calls = 0;
        let mut answered = BTreeSet::new();
        let mut stopped = false;
        let ending = [Happening::Close, Happening::TurnEnds];
        for happening in happenings.into_iter().chain(ending) {
            let input = match happening {
                Happening::Prompt => { sent += 1; prompt(sent, "text") }
                Happening::Command => { sent += 1; prompt(sent, "/help") }
                Happening::Steering(begins) => {
                    sent += 1;
                    let idle = if begins { Idle::Begin } else { Idle::Refuse };
                    let content = vec![Content::text("text")];
                    Input::Steering { id: PromptId(sent), content, idle }
                }
                Happening::Cancel => Input::Cancel { upto: PromptId(sent) },
                Happening::Asks if model.running => {
                    calls += 1;
                    let id = format!("c{calls}");
                    model.asked.push(CallId::new(id.clone()));
                    asks(&id, if calls % 2 == 0 { "edit" } else { "terminal ls" })
                }
                Happening::AnswerOpen(always) => match &model.open {
                    Some(call) => answer(
                        &call.to_string(),
                        if always { Answer::AllowAlways } else { Answer::RejectOnce },
                    ),
                    None => continue,
                },
                Happening::Deliver if model.running && !model.cancelling => {
                    delivered(std::mem::take(&mut model.steered))
                }
                Happening::TurnEnds if model.running => {
                    let end = if model.cancelling { End::Cancelled } else { End::Finished };
                    model = Model { open: model.open.take(), ..Model::default() };
                    ended(end)
                }
                Happening::Close => Input::Close,
                Happening::Asks | Happening::Deliver | Happening::TurnEnds => continue,
            };
            for effect in state.handle(input) {
                match effect {
                    Effect::Reply { prompt, .. } => {
                        prop_assert!(answered.insert(prompt.0), "answered twice: {}", prompt.0);
                    }
                    Effect::ReplySteering(_) => {
                        prop_assert!(answered.insert(sent), "answered twice: {sent}");
                    }
                    Effect::StartTurn { .. } => {
                        prop_assert!(!model.running && !stopped);
                        model.running = true;
                    }
                    Effect::Steer(prompt) => model.steered.push(prompt.message),
                    Effect::CancelTurn => {
                        prop_assert!(model.running && !model.cancelling);
                        model.cancelling = true;
                    }
                    Effect::Ask(question) => {
                        prop_assert!(model.open.is_none(), "two questions are open");
                        model.open = Some(question.id().clone());
                    }
                    Effect::AnswerTurn { call, .. } => {
                        prop_assert!(model.asked.contains(&call));
                        model.asked.retain(|asked| *asked != call);
                        if model.open.as_ref() == Some(&call) { model.open = None; }
                    }
                    Effect::Withdraw(call) => {
                        if model.open.as_ref() == Some(&call) { model.open = None; }
                    }
                    Effect::Stop => { prop_assert!(!stopped); stopped = true; }
                    Effect::Append(..)
                    | Effect::Tell(_)
                    | Effect::PromptWaits
                    | Effect::ReplySet(_)
                    | Effect::ReplyTitle(_)
                    | Effect::Delivered(_)
                    | Effect::Replied { .. }
                    | Effect::LetGo(_)
                    | Effect::LetGoAtOnce(_)
                    | Effect::AnswerTask { .. }
                    | Effect::AttachTasks
                    | Effect::OnceTold(_)
                    | Effect::CancelTasks
                    | Effect::FollowUpSoon
                    | Effect::HoldFor(_)
                    | Effect::HoldEnds
                    | Effect::TaskCommand { .. }
                    | Effect::EndCommand(_)
                    | Effect::Publish
                    | Effect::AskedLate(_)
                    | Effect::SettleSoon => {}
                }
            }
        }
        prop_assert!(stopped);
        prop_assert_eq!(answered.len() as u64, sent);
    }
}
