//! What a session writes down, in which order, and that nothing is told before.

mod incidents;

use std::path::PathBuf;

use expect_test::expect;
use serde_json::json;

use super::*;
use crate::event::{PlanEntry, PlanPriority, PlanStatus, Role, ToolKind};
use crate::ids::MessageId;
use crate::known::Known;
use crate::permission::Rule;
use crate::session::restore::Sums;
use crate::store::{TitleBy, Trouble};
use crate::transcript::{Call, Outcome, Reply, Spent, Usage};
use crate::turn::Go;

fn said(said: TurnSaid) -> Input {
    Input::Turn(said)
}

fn event(event: Event) -> Input {
    said(TurnSaid::Event(event))
}

fn announced(call: &str, tool: &str, kind: ToolKind) -> Input {
    event(Event::Call(CallUpdate {
        tool: Some(tool.to_owned()),
        title: Some(tool.to_owned()),
        kind: Some(kind),
        ..CallUpdate::new(CallId::new(call)).with_status(CallStatus::Pending)
    }))
}

fn replied(text: &str, calls: &[&str]) -> Input {
    let calls = calls
        .iter()
        .map(|call| Call {
            id: CallId::new(*call),
            tool: "tool".to_owned(),
            input: json!({}),
            signatures: Vec::new(),
        })
        .collect();
    let usage = Usage { input: 10, output: 1, cached: 0 };
    let reply = Reply { text: text.into(), calls, usage, ..Reply::default() };
    let spent = Spent { model: "one".to_owned(), window: 100, cost: Some(0.5) };
    said(TurnSaid::Replied { reply, spent: Some(spent) })
}

fn described(call: &str) -> Input {
    let title = Some(format!("Do {call}"));
    said(TurnSaid::Described(CallUpdate { title, ..CallUpdate::new(CallId::new(call)) }))
}

fn settled(call: &str, outcome: Outcome) -> Input {
    let status = match outcome {
        Outcome::Done { .. } => CallStatus::Completed,
        Outcome::Failed { .. } | Outcome::Denied { .. } | Outcome::Cancelled { .. } => {
            CallStatus::Failed
        }
    };
    let call = CallId::new(call);
    let shown = CallUpdate::new(call.clone()).with_status(status);
    said(TurnSaid::Settled { call, outcome, shown, gave: Vec::new() })
}

fn begins(call: &str, outside: bool) -> Input {
    let (go, _) = Go::new();
    said(TurnSaid::Begin { call: CallId::new(call), outside, go })
}

fn denied() -> Outcome {
    Outcome::Denied { reason: "no".to_owned() }
}

fn new() -> SessionState {
    state(Busy::Steer)
}

#[test]
fn a_chat_with_calls() {
    check_records(
        new(),
        vec![
            prompt(1, "first"),
            announced("c1", "read", ToolKind::Read),
            replied("Well.", &["c1", "c2", "c3", "c4"]),
            announced("c2", "write", ToolKind::Edit),
            announced("c3", "terminal", ToolKind::Execute),
            announced("c4", "terminal", ToolKind::Execute),
            described("c1"),
            said(TurnSaid::Saw(vec![(PathBuf::from("/a"), Known::whole("a"))])),
            settled("c1", Outcome::done("a")),
            described("c2"),
            begins("c2", false),
            settled("c2", Outcome::done("written")),
            described("c3"),
            begins("c3", true),
            settled("c3", Outcome::done("ran")),
            // It was invalid: nothing described it.
            settled("c4", Outcome::failed("bad")),
            event(Event::Plan(Vec::new())),
            replied("Done.", &[]),
            said(TurnSaid::Told { message: MessageId::new("m9"), text: "Limit.".to_owned() }),
            ended(End::MaxSteps),
            prompt(2, "second"),
        ],
        &expect![[r#"
            [prompt m1 "first"] · [turn m1] · [title "first" Talaria] · start 1 after 0 turns
            call c1 Some(Pending)
            [reply "Well." ["c1", "c2", "c3", "c4"]] · tell Usage(UsageReport { used: 11, size: 100, cost: Some(0.5) })
            call c2 Some(Pending)
            call c3 Some(Pending)
            call c4 Some(Pending)
            [call c1 "Do c1" Read] · call c1 None
            [saw 1]
            [outcome c1 Completed "a"] · call c1 Some(Completed)
            [call c2 "Do c2" Edit] · call c2 None
            [begun c2] · let go
            [outcome c2 Completed "written"] · call c2 Some(Completed)
            [call c3 "Do c3" Execute] · call c3 None
            [begun c3 (power)] · let go
            [outcome c3 Completed "ran"] · call c3 Some(Completed)
            [outcome c4 "terminal" Execute Failed "error: bad"] · call c4 Some(Failed)
            [plan 0] · tell Plan([])
            [reply "Done." []] · tell Usage(UsageReport { used: 11, size: 100, cost: Some(1.0) })
            [told m9 Text { text: "Limit." }] · say "Limit."
            [end MaxSteps] · title "first" · reply 1 MaxSteps
            [prompt m2 "second"] · [turn m2] · start 2 after 1 turns
        "#]],
    );
}

#[test]
fn what_the_user_decides() {
    check_records(
        new(),
        vec![
            prompt(1, "go"),
            replied("", &["c1", "c2", "c3"]),
            described("c1"),
            asks("c1", "edit"),
            asks("c2", "edit"),
            answer("c1", Answer::AllowAlways),
            asks("c3", "terminal ls"),
            answer("c3", Answer::RejectOnce),
            settled("c3", denied()),
        ],
        &expect![[r#"
            [prompt m1 "go"] · [turn m1] · [title "go" Talaria] · start 1 after 0 turns
            [reply "" ["c1", "c2", "c3"]] · tell Usage(UsageReport { used: 11, size: 100, cost: Some(0.5) })
            [call c1 "Do c1"] · call c1 None
            ask c1

            [permission c1 AllowAlways edit true] · answer c1 AllowAlways · answer c2 AllowOnce · publish
            ask c3
            [permission c3 RejectOnce] · answer c3 RejectOnce
            [outcome c3 Failed "denied: no"] · call c3 Some(Failed)
        "#]],
    );
}

#[test]
fn a_cancelled_turn_begins_nothing_more() {
    check_records(
        new(),
        vec![
            prompt(1, "go"),
            prompt(2, "also"),
            replied("", &["c1"]),
            described("c1"),
            Input::Cancel { upto: PromptId(3) },
            begins("c1", false),
            settled("c1", Outcome::Cancelled { reason: "stopped".to_owned() }),
            prompt(3, "was in the inbox"),
            ended(End::Cancelled),
            Input::Cancel { upto: PromptId(4) },
            prompt(4, "was in the inbox, too"),
        ],
        &expect![[r#"
            [prompt m1 "go"] · [turn m1] · [title "go" Talaria] · start 1 after 0 turns
            [prompt m2 "also"] · steer 2
            [reply "" ["c1"]] · tell Usage(UsageReport { used: 11, size: 100, cost: Some(0.5) })
            [call c1 "Do c1"] · call c1 None
            cancel turn

            [outcome c1 Failed "cancelled: stopped"] · call c1 Some(Failed)
            [prompt m3 "was in the inbox"]
            [end Cancelled] · title "go" · reply 1 Cancelled · [not_delivered m2] · reply 2 Cancelled · [not_delivered m3] · reply 3 Cancelled

            [prompt m4 "was in the inbox, too"] · [not_delivered m4] · reply 4 Cancelled
        "#]],
    );
}

#[test]
fn a_reply_that_broke_off_and_a_turn_that_died() {
    let broken = Reply { text: "Half a".into(), ..Reply::default() };
    check_records(
        new(),
        vec![
            prompt(1, "go"),
            said(TurnSaid::Replied { reply: broken, spent: None }),
            died(),
            prompt(2, "again"),
            announced("c1", "read", ToolKind::Read),
            announced("c2", "read", ToolKind::Read),
            replied("", &["c1", "c2"]),
            described("c1"),
            settled("c1", Outcome::done("a")),
            died(),
        ],
        &expect![[r#"
            [prompt m1 "go"] · [turn m1] · [title "go" Talaria] · start 1 after 0 turns
            [reply "Half a" [] broken off]
            [end Defect.] · title "go" · reply 1 error Defect.
            [prompt m2 "again"] · [turn m2] · start 2 after 1 turns
            call c1 Some(Pending)
            call c2 Some(Pending)
            [reply "" ["c1", "c2"]] · tell Usage(UsageReport { used: 11, size: 100, cost: Some(0.5) })
            [call c1 "Do c1" Read] · call c1 None
            [outcome c1 Completed "a"] · call c1 Some(Completed)
            [outcome c2 "read" Read Failed "error: the turn ended because of a defect in Talaria"] · call c2 Some(Failed) · [end Defect.] · reply 2 error Defect.
        "#]],
    );
}

#[test]
fn commands_settings_and_refusals() {
    let empty = Input::Prompt { id: PromptId(3), content: Vec::new() };
    check_records(
        new(),
        vec![
            prompt(1, "/mode plan"),
            prompt(2, "/version"),
            empty,
            Input::Set(Setting::Model("two".to_owned())),
            Input::Set(Setting::Model("nine".to_owned())),
            Input::ModelRefused {
                kept: "one".to_owned(),
                why: Fault::new(Kind::Config, "it is gone"),
            },
        ],
        &expect![[r#"
            [settings plan one] · settings plan one · [aside m1 "/mode plan" m2 "The mode is now `plan`: Reads files and plans; changes nothing."] · say "The mode is now `plan`: Reads files and plans; changes nothing." · publish · reply 1 Finished
            [aside m3 "/version" m4 "Talaria 1.2.3"] · say "Talaria 1.2.3" · reply 2 Finished
            reply 3 error The prompt is empty. Send at least one block.
            [settings plan two] · settings plan two · set plan two · publish
            set error Unknown model `nine`. Choose one of one, two, or type `/model NAME`.
            [settings plan one] · settings plan one · [told m6 Text { text: "The model stays as it was. It is gone." }] · say "The model stays as it was. It is gone."
        "#]],
    );
}

#[test]
fn a_title_of_the_user_stays() {
    check_records(
        new(),
        vec![
            Input::SetTitle(" \n\t".to_owned()),
            Input::SetTitle("  My\n\u{7}title ".to_owned()),
            Input::SetTitle("word ".repeat(100)),
            prompt(1, "first"),
            ended(End::Finished),
            Input::SetTitle("Mine".to_owned()),
        ],
        &expect![[r#"
            titled error The title is empty. Send one with at least one letter.
            [title "My title" User] · title "My title" · titled "My title"
            [title "word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word" User] · title "word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word" · titled "word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word"
            [prompt m1 "first"] · [turn m1] · start 1 after 0 turns
            [end Finished] · reply 1 Finished
            [title "Mine" User] · title "Mine" · titled "Mine"
        "#]],
    );
}

#[test]
fn a_title_shows_all_of_itself() {
    check_records(
        new(),
        vec![
            prompt(1, "\u{200b}\u{feff}\n \u{202e}txt.exe\u{1b}[2J\tnow\u{2066}\nmore"),
            Input::SetTitle("\u{200b}\u{202e}".to_owned()),
            Input::SetTitle("\u{202e}Mine\u{200b} \u{2069} now".to_owned()),
            // The user's was told already.
            ended(End::Finished),
        ],
        &expect![[r#"
            [prompt m1 "\u{200b}\u{feff}\n \u{202e}txt.exe\u{1b}[2J\tnow\u{2066}\nmore"] · [turn m1] · [title "txt.exe [2J now" Talaria] · start 1 after 0 turns
            titled error The title is empty. Send one with at least one letter.
            [title "Mine now" User] · title "Mine now" · titled "Mine now"
            [end Finished] · reply 1 Finished
        "#]],
    );
}

fn text(message: &str, text: &str) -> Input {
    let content = Content::text(text);
    event(Event::Said { message: MessageId::new(message), role: Role::Agent, content })
}

fn told(message: &str) -> Input {
    said(TurnSaid::Told { message: MessageId::new(message), text: "Limit.".to_owned() })
}

#[test]
fn words_of_talaria_stand_apart_from_the_models() {
    let fault = |text: &str| Input::Notice(Fault::new(Kind::User, text));
    let refused =
        || Input::ModelRefused { kept: "one".to_owned(), why: Fault::new(Kind::User, "no key") };
    check_records(
        new(),
        vec![
            prompt(1, "go"),
            text("m5", "You sa"),
            text("m5", "id"),
            fault("one"),
            fault("two"),
            text("m5", "!"),
            refused(),
            announced("c1", "read", ToolKind::Read),
            fault("three"),
            text("m6", "Done."),
            told("m7"),
            ended(End::MaxSteps),
            refused(),
            prompt(2, "go on"),
            told("m8"),
            prompt(3, "/version"),
            told("m9"),
        ],
        &expect![[r#"
            [prompt m1 "go"] · [turn m1] · [title "go" Talaria] · start 1 after 0 turns
            say "You sa"
            say "id"
            say "\n\nOne.\n\n"
            say "Two.\n\n"
            say "!"
            [settings ask one] · settings ask one · [told m4 Text { text: "\n\nThe model stays as it was. No key.\n\n" }] · say "\n\nThe model stays as it was. No key.\n\n"
            call c1 Some(Pending)
            say "Three.\n\n"
            say "Done."
            [told m7 Text { text: "\n\nLimit." }] · say "\n\nLimit."
            call c1 Some(Failed) · [end MaxSteps] · title "go" · reply 1 MaxSteps
            [settings ask one] · settings ask one · [told m6 Text { text: "\n\nThe model stays as it was. No key." }] · say "\n\nThe model stays as it was. No key."
            [prompt m7 "go on"] · [turn m7] · start 2 after 1 turns
            [told m8 Text { text: "Limit." }] · say "Limit."
            [aside m8 "/version" m9 "Talaria 1.2.3"] · say "Talaria 1.2.3" · reply 3 Finished
            [told m9 Text { text: "\n\nLimit." }] · say "\n\nLimit."
        "#]],
    );
}

#[test]
fn a_session_that_was_not_shown_again_tells_title_and_usage() {
    let mut sums = Sums::default();
    let spent = Spent { model: "one".to_owned(), window: 100, cost: None };
    sums.enter(&spent, Usage { input: 10, output: 1, cached: 0 });
    let title = Some(("old".to_owned(), TitleBy::Talaria));
    let restored = Restored { title, sums, ..Restored::default() };
    for (is_shown, first, expected) in [
        (false, Input::Settle, &["commands", "title", "usage"][..]),
        (true, Input::Settle, &["commands"]),
        (false, Input::SetTitle("new".to_owned()), &["title", "commands", "usage"]),
    ] {
        let settings = new().settings().clone();
        let initial = Initial {
            settings,
            busy: Busy::Steer,
            version: "1.2.3",
            is_shown,
            has_tasks: false,
            notice: None,
            is_child: false,
            viewer: Viewer { late: Late::Shown, ..Viewer::default() },
            tasks: TasksSection::default(),
        };
        let mut state = SessionState::new(initial, restored.clone(), IdSource::default());
        let mut effects = state.handle(first);
        effects.extend(state.handle(Input::Settle));
        let mut told = Vec::new();
        for effect in effects {
            if let Effect::Tell(event) = effect {
                let event = format!("{event:?}");
                told.push(event.split('(').next().unwrap().to_lowercase());
            }
        }
        assert_eq!(told, expected);
    }
}

#[test]
fn a_session_goes_on_from_where_it_was() {
    let restored = Restored {
        title: Some(("old".to_owned(), TitleBy::Talaria)),
        rules: vec![Rule {
            grant: Grant { key: "edit".to_owned(), label: "edits".to_owned() },
            allow: false,
        }],
        sums: Sums {
            usage: vec![("zero".to_owned(), Usage { input: 5, output: 5, cached: 1 })],
            cost: Some(1.0),
            filled: None,
        },
        ..Restored::default()
    };
    check_records(
        resumed(Busy::Steer, restored, None),
        vec![
            prompt(1, "go"),
            asks("c1", "edit"),
            replied("", &[]),
            ended(End::Finished),
            prompt(2, "/usage"),
        ],
        &expect![[r#"
            [prompt m1 "go"] · [turn m1] · start 1 after 0 turns
            answer c1 RejectOnce
            [reply "" []] · tell Usage(UsageReport { used: 11, size: 100, cost: Some(1.5) })
            [end Finished] · reply 1 Finished
            [aside m2 "/usage" m3 "Tokens of this session:\n- `one`: 10 in (0 from the cache), 1 out\n- `zero`: 5 in (1 from the cache), 5 out\nCost: 1.5000 USD\n"] · say "Tokens of this session:\n- `one`: 10 in (0 from the cache), 1 out\n- `zero`: 5 in (1 from the cache), 5 out\nCost: 1.5000 USD\n" · reply 2 Finished
        "#]],
    );
}

#[test]
fn trouble_is_said_once_and_so_is_its_end() {
    let full = || Input::Store(Some(Trouble::Full));
    check_records(
        new(),
        vec![
            // Nobody looks at the chat now.
            full(),
            prompt(1, "go"),
            Input::Store(Some(Trouble::Locked)),
            Input::Store(None),
            full(),
            Input::Store(None),
            ended(End::Finished),
            // Over, and that is said with the next prompt.
            prompt(2, "again"),
            full(),
            Input::Store(None),
            ended(End::Finished),
            // It comes and goes: that is said once.
            prompt(3, "again"),
            full(),
            Input::Store(None),
            ended(End::Finished),
            prompt(4, "again"),
            ended(End::Finished),
            // A whole turn went well.
            prompt(5, "again"),
            full(),
            Input::Store(Some(Trouble::GivenUp)),
            ended(End::Finished),
            full(),
            Input::Store(None),
            prompt(6, "again"),
        ],
        &expect![[r#"

            [prompt m1 "go"] · [turn m1] · [title "go" Talaria] · say "This session is not being saved at the moment. The disk is full. Free some space. What is said meanwhile is kept in memory, and saved as soon as that is possible.\n\n" · start 1 after 0 turns




            [end Finished] · title "go" · reply 1 Finished
            [prompt m3 "again"] · [turn m3] · say "This session is saved again, with all that was said.\n\n" · start 2 after 1 turns
            say "This session is not being saved at the moment. The disk is full. Free some space. What is said meanwhile is kept in memory, and saved as soon as that is possible.\n\n"

            [end Finished] · reply 2 Finished
            [prompt m6 "again"] · [turn m6] · start 3 after 2 turns


            [end Finished] · reply 3 Finished
            [prompt m7 "again"] · [turn m7] · start 4 after 3 turns
            [end Finished] · reply 4 Finished
            [prompt m8 "again"] · [turn m8] · say "This session is saved again, with all that was said.\n\n" · start 5 after 4 turns
            say "This session is not being saved at the moment. The disk is full. Free some space. What is said meanwhile is kept in memory, and saved as soon as that is possible.\n\n"
            say "This session is no longer saved. Too much waited to be written. Mend the disk, then start a new session; this one is stored in part.\n\n"
            [end Finished] · reply 5 Finished


            [prompt m12 "again"] · [turn m12] · start 6 after 5 turns
        "#]],
    );
}

#[test]
fn a_notice_is_said_with_the_first_turn() {
    let notice = |message: &str| Some(Fault::new(Kind::Internal, message));
    check_records(
        resumed(Busy::Steer, Restored::default(), notice("a file was damaged")),
        vec![prompt(1, "/version"), prompt(2, "go"), ended(End::Finished), prompt(3, "again")],
        &expect![[r#"
            [aside m1 "/version" m2 "Talaria 1.2.3"] · say "Talaria 1.2.3" · reply 1 Finished
            [prompt m3 "go"] · [turn m3] · [title "go" Talaria] · say "A file was damaged.\n\n" · start 2 after 0 turns
            [end Finished] · title "go" · reply 2 Finished
            [prompt m5 "again"] · [turn m5] · start 3 after 1 turns
        "#]],
    );
    // One that is known only when the database was opened for the turn's own records.
    let late = |message: &str| Input::Notice(Fault::new(Kind::Internal, message));
    check_records(
        state(Busy::Steer),
        vec![
            prompt(1, "go"),
            late("a file was damaged"),
            ended(End::Finished),
            late("the disk is full"),
            prompt(2, "again"),
        ],
        &expect![[r#"
            [prompt m1 "go"] · [turn m1] · [title "go" Talaria] · start 1 after 0 turns
            say "A file was damaged.\n\n"
            [end Finished] · title "go" · reply 1 Finished

            [prompt m3 "again"] · [turn m3] · say "The disk is full.\n\n" · start 2 after 1 turns
        "#]],
    );
    // One that says what the trouble says is left out.
    check_records(
        resumed(Busy::Steer, Restored::default(), Some(Trouble::Full.fault())),
        vec![Input::Store(Some(Trouble::Full)), prompt(1, "go")],
        &expect![[r#"

            [prompt m1 "go"] · [turn m1] · [title "go" Talaria] · say "This session is not being saved at the moment. The disk is full. Free some space. What is said meanwhile is kept in memory, and saved as soon as that is possible.\n\n" · start 1 after 0 turns
        "#]],
    );
}

#[test]
fn a_session_that_was_taken_over_says_so_and_closes() {
    let taken_over = || Input::Store(Some(Trouble::TakenOver));
    check_records(
        state(Busy::Queue),
        vec![
            prompt(1, "go"),
            prompt(2, "waits"),
            taken_over(),
            taken_over(),
            Input::Store(None),
            prompt(3, "while it ends"),
            ended(End::Cancelled),
        ],
        &expect![[r#"
            [prompt m1 "go"] · [turn m1] · [title "go" Talaria] · start 1 after 0 turns
            [prompt m2 "waits"] · prompt waits
            cancel turn


            reply 3 error Another Talaria has taken this session over. Load the session again to go on with it here.
            [end Another Talaria has taken this session over. Load the session again to go on with it here.] · title "go" · reply 1 error Another Talaria has taken this session over. Load the session again to go on with it here. · reply 2 error Another Talaria has taken this session over. Load the session again to go on with it here. · stop
        "#]],
    );
    // Who wanted to cancel is told that it is cancelled.
    check_records(
        new(),
        vec![
            prompt(1, "go"),
            taken_over(),
            Input::Cancel { upto: PromptId(1) },
            ended(End::Finished),
        ],
        &expect![[r#"
            [prompt m1 "go"] · [turn m1] · [title "go" Talaria] · start 1 after 0 turns
            cancel turn

            [end Cancelled] · title "go" · reply 1 Cancelled · stop
        "#]],
    );
    // While nothing runs, the next request is the first that can be told of it.
    for request in
        [prompt(1, "go"), Input::Set(Setting::Mode(Mode::Plan)), Input::SetTitle("Mine".to_owned())]
    {
        let mut state = new();
        assert!(state.handle(taken_over()).is_empty());
        let lines: Vec<String> = state.handle(request).iter().filter_map(line_or_record).collect();
        let [answer, stop] = &*lines else { panic!("{lines:?}") };
        assert!(answer.contains("Another Talaria has taken this session over."), "{answer}");
        assert!(answer.contains("Load the session again"), "{answer}");
        assert_eq!(stop, "stop");
    }
}

#[test]
fn a_hand_over_waits_until_nothing_runs_or_waits() {
    check(
        Busy::Queue,
        vec![
            prompt(1, "go"),
            prompt(2, "waits"),
            Input::HandOver,
            ended(End::Finished),
            ended(End::Finished),
            prompt(3, "too late"),
        ],
        &expect![[r#"
            start 1 after 0 turns
            prompt waits

            title "go" · reply 1 Finished · start 2 after 1 turns
            reply 2 Finished · stop
            reply 3 Cancelled
        "#]],
    );
    check(
        Busy::Queue,
        vec![Input::HandOver, Input::HandOver, Input::Close],
        &expect![[r#"
            stop


        "#]],
    );
}

#[test]
fn a_hand_over_can_be_taken_back_while_it_waits() {
    check(
        Busy::Queue,
        vec![
            prompt(1, "go"),
            Input::HandOver,
            Input::Stay,
            ended(End::Finished),
            prompt(2, "on"),
            Input::HandOver,
            ended(End::Finished),
        ],
        &expect![[r#"
            start 1 after 0 turns


            title "go" · reply 1 Finished
            start 2 after 1 turns

            reply 2 Finished · stop
        "#]],
    );
}
