//! Journals, whole and broken, and what comes of them.

mod cards;
mod fixture;
mod follow_ups;
mod properties;
mod unshown;

use expect_test::{Expect, expect};
use serde_json::json;

use super::{Finished, Restored, Restorer};
use crate::clock::Timestamp;
use crate::event::{CallContent, CallStatus, CallUpdate, Event, ToolKind};
use crate::ids::{CallId, MessageId, PromptId};
use crate::permission::{Answer, Grant, Rule};
use crate::store::{Entry, Opened, Record, TitleBy};
use crate::transcript::{
    Author, Call, Content, End, Outcome, Over, Prompt, Reply, Spent, Transcript, Usage,
};

fn entry(record: &Record) -> Entry {
    Entry {
        seq: 1,
        at: Timestamp(0),
        epoch: 1,
        kind: record.kind().to_owned(),
        version: Record::VERSION,
        body: serde_json::to_string(record).unwrap(),
    }
}

/// A journal, read in the second opening.
fn read(entries: &[Entry]) -> (Vec<Event>, Finished) {
    let mut restorer = Restorer::new(2);
    for entry in entries {
        restorer.foresee(entry);
    }
    let mut events: Vec<Event> = entries.iter().flat_map(|entry| restorer.take(entry)).collect();
    let mut finished = restorer.finish();
    events.append(&mut finished.events);
    (events, finished)
}

/// Reads the journal, repairs it, and reads it again: that must change nothing.
fn restored(records: &[Record]) -> (Vec<Event>, Finished) {
    let mut entries: Vec<Entry> = records.iter().map(entry).collect();
    let (events, finished) = read(&entries);
    entries.extend(finished.repairs.iter().map(entry));
    let (events_again, again) = read(&entries);
    assert_eq!(events_again, events);
    assert_eq!(again.restored, finished.restored);
    assert_eq!(again.repairs, []);
    (events, finished)
}

fn line(event: &Event) -> String {
    match event {
        Event::Said { message, role, content } => {
            format!("{role:?} {message} {}", short(content))
        }
        Event::Call(update) => {
            let CallUpdate {
                id,
                tool,
                title,
                kind,
                status,
                content,
                locations,
                input,
                output,
                task,
                hidden,
            } = update;
            assert!(!hidden);
            let for_task = task.as_ref().map(|task| format!(" for {} {}", task.id, task.state));
            let for_task = for_task.unwrap_or_default();
            assert!(tool.is_some() && status.is_some_and(CallStatus::is_final));
            let content: Vec<String> = content
                .iter()
                .flatten()
                .map(|content| match content {
                    CallContent::Content(content) => short(content),
                    CallContent::Diff { path, .. } => format!("diff of {}", path.display()),
                    CallContent::Terminal(_) => unreachable!("it is gone"),
                })
                .collect();
            format!(
                "call {id} {tool:?} {title:?} {kind:?} {status:?}\n  shows {content:?} at {} places\n  \
                 {input:?} -> {output:?}",
                locations.as_deref().unwrap_or_default().len()
            )
            .replace("Some(", "(")
                + &for_task
        }
        Event::Plan(entries) => format!("plan of {}", entries.len()),
        Event::Usage(usage) => format!("usage {usage:?}"),
        Event::Title(title) => format!("title {title}"),
        Event::Commands(_)
        | Event::Settings(_)
        | Event::Subagent(_)
        | Event::Between(_)
        | Event::Notice(_)
        | Event::Board(_)
        | Event::FollowUp(_) => unreachable!("not replayed: {event:?}"),
    }
}

fn short(content: &Content) -> String {
    match content {
        Content::Text { text } => text.clone(),
        Content::Image { mime, .. } => format!("[{mime}]"),
        Content::Link { uri, .. } | Content::Resource { uri, .. } => format!("[{uri}]"),
    }
}

fn lines(events: &[Event]) -> String {
    events.iter().map(|event| line(event) + "\n").collect()
}

fn check(records: &[Record], replay: &Expect) -> Finished {
    let (events, finished) = restored(records);
    replay.assert_eq(&lines(&events));
    finished
}

fn message(id: &str) -> MessageId {
    MessageId::new(id)
}

fn prompt(id: &str) -> Prompt {
    let content = vec![Content::text(format!("prompt {id}"))];
    Prompt { id: PromptId::default(), message: message(id), content, from: Author::User }
}

fn arrives(id: &str) -> Record {
    Record::Prompt { prompt: prompt(id) }
}

fn turn(id: &str) -> Record {
    Record::Turn { prompt: message(id) }
}

fn ends(end: End) -> Record {
    Record::End { over: Over::Ended { end } }
}

/// A reply that says `id` under that id, and asks for these calls.
fn reply(id: &str, calls: &[&str]) -> Record {
    Record::Reply { reply: words(id, calls), spent: None }
}

fn words(id: &str, calls: &[&str]) -> Reply {
    let calls = calls.iter().map(|id| Call {
        id: CallId::new(*id),
        tool: "edit".to_owned(),
        input: json!({"for": id}),
        signatures: Vec::new(),
    });
    Reply {
        text: format!("reply {id}").into(),
        message: Some(message(id)),
        calls: calls.collect(),
        ..Reply::default()
    }
}

fn begun(id: &str) -> Record {
    Record::Begun { call: CallId::new(id) }
}

fn done(id: &str, text: &str) -> Record {
    let call = CallId::new(id);
    let shown = CallUpdate { output: Some(json!(text)), ..CallUpdate::new(call.clone()) };
    Record::Outcome { call, outcome: Outcome::done(text), shown, gave: Vec::new() }
}

fn shows(id: &str, content: Vec<CallContent>) -> Record {
    let id = CallId::new(id);
    let title = Some(format!("Title of {id}"));
    Record::Call { shown: CallUpdate { title, content: Some(content), ..CallUpdate::new(id) } }
}

fn transcript(restored: &Restored) -> String {
    use crate::transcript::Entry;
    let Transcript { entries } = &restored.transcript;
    let mut text = String::new();
    for entry in entries {
        match entry {
            Entry::Turn(turn) => {
                text.push_str(&format!("turn {} {:?}\n", turn.prompt.message, turn.over));
                for step in &turn.steps {
                    let steered: Vec<_> =
                        step.steered.iter().map(|prompt| prompt.message.as_str()).collect();
                    text.push_str(&format!("  step {:?} steered {steered:?}\n", step.text));
                    for settled in &step.calls {
                        let (id, outcome) = (&settled.call.id, settled.outcome.text());
                        text.push_str(&format!("    {id} {outcome}\n"));
                    }
                }
            }
            Entry::Aside { prompt, answer, .. } => {
                text.push_str(&format!("aside {} {answer}\n", prompt.message));
            }
            Entry::NotDelivered(prompt) => {
                text.push_str(&format!("not delivered {}\n", prompt.message));
            }
        }
    }
    text
}

#[test]
fn a_new_session_is_the_default() {
    let finished = check(&[], &expect![[""]]);
    assert_eq!(finished.restored, Restored::default());
}

#[test]
fn calls_are_shown_once_in_their_order_when_the_step_is_whole() {
    let diff = |path: &str| {
        vec![CallContent::Diff { path: path.into(), old: None, new: "new".to_owned() }]
    };
    let finished = check(
        &[
            arrives("m1"),
            turn("m1"),
            reply("m2", &["c1", "c2"]),
            shows("c1", diff("/a")),
            shows("c2", diff("/b")),
            begun("c2"),
            done("c2", "second"),
            begun("c1"),
            Record::Told { message: message("m3"), content: Content::text("told") },
            done("c1", "first"),
            reply("m4", &[]),
            ends(End::Finished),
        ],
        &expect![[r#"
            User m1 prompt m1
            Agent m2 reply m2
            Agent m3 told
            call c1 ("edit") ("Title of c1") (Edit) (Completed)
              shows ["diff of /a"] at 0 places
              (Object {"for": String("c1")}) -> (String("first"))
            call c2 ("edit") ("Title of c2") (Edit) (Completed)
              shows ["diff of /b"] at 0 places
              (Object {"for": String("c2")}) -> (String("second"))
            Agent m4 reply m4
        "#]],
    );
    expect![[r#"
        turn m1 Some(Ended { end: Finished })
          step "reply m2" steered []
            c1 first
            c2 second
          step "reply m4" steered []
    "#]]
    .assert_eq(&transcript(&finished.restored));
}

#[test]
fn prompts_are_shown_once_when_they_arrive() {
    let finished = check(
        &[
            arrives("m1"),
            turn("m1"),
            arrives("m2"),
            arrives("m3"),
            Record::Aside {
                prompt: prompt("m4"),
                message: message("m5"),
                answer: "answer".to_owned(),
            },
            Record::Reply {
                reply: Reply { steered: vec![message("m2")], ..words("m6", &[]) },
                spent: None,
            },
            arrives("m7"),
            ends(End::Finished),
            Record::NotDelivered { prompt: message("m7") },
            turn("m3"),
            reply("m8", &[]),
            ends(End::Finished),
        ],
        &expect![[r#"
            User m1 prompt m1
            User m2 prompt m2
            User m3 prompt m3
            User m4 prompt m4
            Agent m5 answer
            Agent m6 reply m6
            User m7 prompt m7
            Agent m8 reply m8
        "#]],
    );
    expect![[r#"
        turn m1 Some(Ended { end: Finished })
          step "reply m6" steered ["m2"]
        aside m4 answer
        not delivered m7
        turn m3 Some(Ended { end: Finished })
          step "reply m8" steered []
    "#]]
    .assert_eq(&transcript(&finished.restored));
}

#[test]
fn what_was_interrupted_is_told_to_the_model_and_to_the_user() {
    let finished = check(
        &[
            arrives("m1"),
            turn("m1"),
            reply("m2", &["c1", "c2", "c3"]),
            begun("c1"),
            done("c1", "done"),
            begun("c2"),
            arrives("m3"),
        ],
        &expect![[r#"
            User m1 prompt m1
            Agent m2 reply m2
            User m3 prompt m3
            call c1 ("edit") ("edit") (Other) (Completed)
              shows [] at 0 places
              (Object {"for": String("c1")}) -> (String("done"))
            call c2 ("edit") ("edit") (Other) (Failed)
              shows ["cancelled: interrupted: Talaria ended while this ran; it may have taken effect, look before you do it again"] at 0 places
              (Object {"for": String("c2")}) -> (String("cancelled: interrupted: Talaria ended while this ran; it may have taken effect, look before you do it again"))
            call c3 ("edit") ("edit") (Other) (Failed)
              shows ["cancelled: interrupted: Talaria ended before this began; it did not run"] at 0 places
              (Object {"for": String("c3")}) -> (String("cancelled: interrupted: Talaria ended before this began; it did not run"))
            Agent m2-0 The turn was interrupted: Talaria ended while it ran. What was sent in the meantime did not reach the model; send it again if it is still wanted.
        "#]],
    );
    expect![[r#"
        turn m1 Some(Interrupted)
          step "reply m2" steered []
            c1 done
            c2 cancelled: interrupted: Talaria ended while this ran; it may have taken effect, look before you do it again
            c3 cancelled: interrupted: Talaria ended before this began; it did not run
        not delivered m3
    "#]].assert_eq(&transcript(&finished.restored));
    let repairs: Vec<_> = finished.repairs.iter().map(Record::kind).collect();
    assert_eq!(repairs, ["outcome", "outcome", "told", "end", "not_delivered"]);
}

#[test]
fn what_was_left_open_by_an_end_between_two_turns_is_told() {
    let finished = check(
        &[arrives("m1")],
        &expect![[r#"
        User m1 prompt m1
        Agent m2-0 What was sent last did not reach the model; send it again if it is still wanted.
    "#]],
    );
    expect![[r#"
        not delivered m1
    "#]]
    .assert_eq(&transcript(&finished.restored));
    // Nothing arrived in the turn, and it had no reply.
    let finished = check(
        &[arrives("m1"), turn("m1")],
        &expect![[r#"
        User m1 prompt m1
        Agent m2-0 The turn was interrupted: Talaria ended while it ran. Send a prompt such as `go on` to continue.
    "#]],
    );
    expect![[r#"
        turn m1 Some(Interrupted)
    "#]]
    .assert_eq(&transcript(&finished.restored));
}

#[test]
fn a_copy_does_not_say_that_talaria_ended() {
    let opened = |forked_from: Option<&str>| {
        Record::Opened(Opened {
            cwd: "/project".into(),
            additional: Vec::new(),
            version: "1".to_owned(),
            forked_from: forked_from.map(crate::ids::SessionId::new),
            parent: None,
        })
    };
    let open = [arrives("m1"), turn("m1"), reply("m2", &["c1"]), begun("c1")];
    let copied = [&[opened(None)], &open[..], &[opened(Some("a")), opened(Some("a"))]].concat();
    let finished = check(
        &copied,
        &expect![[r#"
        User m1 prompt m1
        Agent m2 reply m2
        call c1 ("edit") ("edit") (Other) (Failed)
          shows ["cancelled: interrupted: this session was copied before this had an outcome; it may have taken effect, look before you do it again"] at 0 places
          (Object {"for": String("c1")}) -> (String("cancelled: interrupted: this session was copied before this had an outcome; it may have taken effect, look before you do it again"))
        Agent m2-0 The turn was interrupted: this session was copied while it ran. Send a prompt such as `go on` to continue.
    "#]],
    );
    expect![[r#"
        turn m1 Some(Interrupted)
          step "reply m2" steered []
            c1 cancelled: interrupted: this session was copied before this had an outcome; it may have taken effect, look before you do it again
    "#]].assert_eq(&transcript(&finished.restored));
    // The copy died later, and was opened again.
    let died = [&[opened(Some("a"))], &open[..], &[opened(Some("a"))]].concat();
    expect![[r#"
        turn m1 Some(Interrupted)
          step "reply m2" steered []
            c1 cancelled: interrupted: Talaria ended while this ran; it may have taken effect, look before you do it again
    "#]].assert_eq(&transcript(&restored(&died).1.restored));
}

#[test]
fn terminals_are_replaced_by_what_the_model_was_told() {
    let terminal = || CallContent::Terminal(crate::ids::TerminalId::new("t1"));
    let text = CallContent::Content(Content::text("In `/tmp`"));
    check(
        &[
            arrives("m1"),
            turn("m1"),
            reply("m2", &["c1"]),
            shows("c1", vec![text, terminal(), terminal()]),
            begun("c1"),
            done("c1", "```\nout of it"),
            ends(End::Finished),
        ],
        &expect![[r#"
            User m1 prompt m1
            Agent m2 reply m2
            call c1 ("edit") ("Title of c1") (Execute) (Completed)
              shows ["In `/tmp`", "````\n```\nout of it\n````"] at 0 places
              (Object {"for": String("c1")}) -> (String("```\nout of it"))
        "#]],
    );
}

#[test]
fn the_turn_says_of_what_kind_a_call_is() {
    let shown = CallUpdate { kind: Some(ToolKind::Search), ..CallUpdate::new(CallId::new("c1")) };
    let records = [
        arrives("m1"),
        turn("m1"),
        reply("m2", &["c1"]),
        Record::Outcome {
            call: CallId::new("c1"),
            outcome: Outcome::done("x"),
            shown,
            gave: Vec::new(),
        },
    ];
    let (events, _) = restored(&records);
    let kinds: Vec<_> = events
        .iter()
        .filter_map(|event| if let Event::Call(update) = event { update.kind } else { None })
        .collect();
    assert_eq!(kinds, [ToolKind::Search]);
}

#[test]
fn what_does_not_fit_is_left_out() {
    let finished = check(
        &[
            reply("m1", &["c1"]),
            done("c1", "outside"),
            ends(End::Finished),
            Record::NotDelivered { prompt: message("m9") },
            arrives("m2"),
            arrives("m2"),
            turn("m2"),
            reply("m3", &["c1", "c2"]),
            done("c1", "first"),
            done("c1", "again"),
            done("c9", "nobody's"),
            // The outcome of `c2` and the end could not be read.
            reply("m4", &["c3"]),
            done("c2", "too late"),
            turn("m5"),
            ends(End::MaxSteps),
            ends(End::Finished),
        ],
        &expect![[r#"
            User m2 prompt m2
            Agent m3 reply m3
            call c1 ("edit") ("edit") (Other) (Completed)
              shows [] at 0 places
              (Object {"for": String("c1")}) -> (String("first"))
            call c2 ("edit") ("edit") (Other) (Failed)
              shows ["cancelled: the outcome cannot be read by this version of Talaria; it may have taken effect, look before you do it again"] at 0 places
              (Object {"for": String("c2")}) -> (String("cancelled: the outcome cannot be read by this version of Talaria; it may have taken effect, look before you do it again"))
            Agent m4 reply m4
            call c3 ("edit") ("edit") (Other) (Failed)
              shows ["cancelled: the outcome cannot be read by this version of Talaria; it may have taken effect, look before you do it again"] at 0 places
              (Object {"for": String("c3")}) -> (String("cancelled: the outcome cannot be read by this version of Talaria; it may have taken effect, look before you do it again"))
            User m5 [A prompt was here that this version of Talaria cannot read.]
        "#]],
    );
    expect![[r#"
        turn m2 Some(Interrupted)
          step "reply m3" steered []
            c1 first
            c2 cancelled: the outcome cannot be read by this version of Talaria; it may have taken effect, look before you do it again
          step "reply m4" steered []
            c3 cancelled: the outcome cannot be read by this version of Talaria; it may have taken effect, look before you do it again
        turn m5 Some(Ended { end: MaxSteps })
    "#]].assert_eq(&transcript(&finished.restored));
}

#[test]
fn rules_settings_title_and_files_are_the_last_ones() {
    let rule = |key: &str, allow| {
        let grant = Grant { key: key.to_owned(), label: String::new() };
        let answer = if allow { Answer::AllowAlways } else { Answer::RejectAlways };
        let rule = Some(Rule { grant, allow });
        Record::Permission { call: CallId::new("c1"), answer, rule }
    };
    let title = |title: &str, by| Record::Title { title: title.to_owned(), by };
    let (events, finished) = restored(&[
        rule("edit", false),
        rule("run", true),
        rule("edit", true),
        title("one", TitleBy::Talaria),
        title("two", TitleBy::User),
        title("three", TitleBy::Talaria),
    ]);
    let rules: Vec<_> =
        finished.restored.rules.iter().map(|rule| (rule.grant.key.as_str(), rule.allow)).collect();
    assert_eq!(rules, [("run", true), ("edit", true)]);
    assert_eq!(events, [Event::Title("two".to_owned())]);
}

#[test]
fn sums_are_those_of_the_requests() {
    let spent = |model: &str, cost| {
        let usage = Usage { input: 90, output: 20, cached: 5 };
        let spent = Spent { model: model.to_owned(), window: 100, cost };
        Record::Reply { reply: Reply { usage, ..words("m", &[]) }, spent: Some(spent) }
    };
    let (events, finished) = restored(&[
        arrives("m1"),
        turn("m1"),
        spent("b", None),
        spent("a", Some(0.5)),
        spent("b", Some(0.25)),
        reply("broke off", &[]),
        ends(End::Finished),
    ]);
    let usage = |times: u64| Usage { input: 90 * times, output: 20 * times, cached: 5 * times };
    assert_eq!(
        finished.restored.sums.usage,
        [("b".to_owned(), usage(2)), ("a".to_owned(), usage(1))]
    );
    assert_eq!(finished.restored.sums.cost, Some(0.75));
    expect!["usage UsageReport { used: 100, size: 100, cost: Some(0.75) }"]
        .assert_eq(&line(events.last().unwrap()));
}

#[test]
fn an_interrupted_first_turn_has_a_title_and_says_so_apart() {
    let title = Record::Title { title: "prompt m1".to_owned(), by: TitleBy::Talaria };
    let reply = Reply { message: Some(message("m2")), text: "I look.".into(), ..Reply::default() };
    let turn = Record::Turn { prompt: message("m1") };
    let finished = check(
        &[arrives("m1"), turn, title, Record::Reply { reply, spent: None }],
        &expect![[r#"
            User m1 prompt m1
            Agent m2 I look.
            Agent m2-0 

            The turn was interrupted: Talaria ended while it ran. Send a prompt such as `go on` to continue.
            title prompt m1
        "#]],
    );
    assert!(finished.restored.title.is_some());
}
