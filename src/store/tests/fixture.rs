//! A database as each version wrote it, committed: what was written once is read for ever.
//! `UPDATE=1 cargo test --lib store::tests::fixture` writes that of the version at hand anew; once a
//! version is released, its file does not change.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::support::{BEGIN, Home, prompt, session};
use crate::clock::Timestamp;
use crate::event::{
    CallContent, CallStatus, CallUpdate, Location, PlanEntry, PlanPriority, PlanStatus, TaskMark,
    ThoughtLevel, ToolKind,
};
use crate::ids::{CallId, MessageId, PromptId, TerminalId};
use crate::known::Known;
use crate::permission::{Answer, Grant, Mode, Rule};
use crate::store::place::DATABASE;
use crate::store::shared::Tuning;
use crate::store::{Durability, Opened, Query, Record, TitleBy};
use crate::transcript::{
    Author, Call, Content, End, Outcome, Over, Prompt, Reply, Spent, Thought, Usage,
};

/// The place of a kind in the list; a new kind needs its record below.
fn number(record: &Record) -> usize {
    match record {
        Record::Opened(_) => 0,
        Record::Settings { .. } => 1,
        Record::Title { .. } => 2,
        Record::Prompt { .. } => 3,
        Record::Turn { .. } => 4,
        Record::NotDelivered { .. } => 5,
        Record::Aside { .. } => 6,
        Record::Reply { .. } => 7,
        Record::Call { .. } => 8,
        Record::Permission { .. } => 9,
        Record::Begun { .. } => 10,
        Record::Saw { .. } => 11,
        Record::Outcome { .. } => 12,
        Record::Told { .. } => 13,
        Record::Plan { .. } => 14,
        Record::End { .. } => 15,
        Record::Card { .. } => 16,
        Record::Report { .. } => 17,
        Record::Shown { .. } => 18,
    }
}

fn message(id: &str) -> MessageId {
    MessageId::new(id)
}

fn shown() -> CallUpdate {
    CallUpdate {
        id: CallId::new("c1"),
        tool: Some("edit".to_owned()),
        title: Some("Edit main.rs".to_owned()),
        kind: Some(ToolKind::Edit),
        status: Some(CallStatus::Pending),
        content: Some(vec![
            CallContent::Content(Content::text("text")),
            CallContent::Diff {
                path: "/home/user/project/main.rs".into(),
                old: Some("old".to_owned()),
                new: "new ".repeat(5_000),
            },
            CallContent::Terminal(TerminalId::new("t1")),
        ]),
        locations: Some(vec![Location {
            path: "/home/user/project/main.rs".into(),
            line: Some(7),
        }]),
        input: Some(json!({ "path": "main.rs", "n": 1.5 })),
        output: Some(json!([null, true])),
        task: None,
        hidden: false,
    }
}

/// One record of every kind behind the first, which the journal writes.
fn records() -> Vec<Record> {
    let content = vec![
        Content::text("a prompt"),
        Content::Image { mime: "image/png".to_owned(), data: "iVBORw0KGgo=".to_owned() },
        Content::Link { uri: "file:///home/user/project/a".to_owned(), name: "a".to_owned() },
        Content::Resource { uri: "file:///home/user/project/b".to_owned(), text: "b".to_owned() },
    ];
    let prompt_of = |id: &str| Prompt {
        id: PromptId(0),
        message: message(id),
        content: content.clone(),
        from: Author::User,
    };
    let reply = Reply {
        steered: vec![message("m2")],
        thought: "hm".into(),
        thought_message: Some(message("m4")),
        thoughts: vec![Thought { text: "hm".to_owned(), signature: Some("proof".to_owned()) }],
        text: "I edit it.".into(),
        message: Some(message("m5")),
        calls: vec![Call {
            id: CallId::new("c1"),
            tool: "edit".to_owned(),
            input: json!({ "path": "main.rs" }),
            signatures: vec!["proof".to_owned()],
        }],
        usage: Usage { input: 10, output: 5, cached: 3 },
    };
    let spent = Spent { model: "a/model".to_owned(), window: 100_000, cost: Some(0.25) };
    let grant =
        Grant { key: "edit".to_owned(), label: "edits of files in this project".to_owned() };
    vec![
        Record::Settings {
            mode: Mode::AcceptEdits,
            model: "a/model".to_owned(),
            thought: ThoughtLevel::High,
        },
        Record::Prompt { prompt: prompt_of("m1") },
        Record::Turn { prompt: message("m1") },
        Record::Prompt { prompt: prompt_of("m2") },
        Record::Prompt { prompt: prompt_of("m3") },
        Record::NotDelivered { prompt: message("m3") },
        Record::Reply { reply, spent: Some(spent) },
        Record::Call { shown: shown() },
        Record::Permission {
            call: CallId::new("c1"),
            answer: Answer::AllowAlways,
            rule: Some(Rule { grant, allow: true }),
        },
        Record::Begun { call: CallId::new("c1") },
        Record::Saw {
            files: vec![(
                "/home/user/project/main.rs".into(),
                Known::without("a\nb\nc\n", vec![Range { start: 1, end: 2 }]),
            )],
        },
        Record::Outcome {
            call: CallId::new("c1"),
            outcome: Outcome::done("done"),
            shown: CallUpdate::new(CallId::new("c1")).with_status(CallStatus::Completed),
            gave: vec![2],
        },
        Record::Plan {
            entries: vec![PlanEntry {
                content: "edit".to_owned(),
                status: PlanStatus::InProgress,
                priority: PlanPriority::Medium,
            }],
        },
        Record::Told { message: message("m6"), content: Content::text("told") },
        Record::Card {
            card: CallUpdate {
                tool: Some("delegate_task_async".to_owned()),
                task: Some(TaskMark { id: "t1".to_owned(), state: "running".to_owned() }),
                ..CallUpdate::new(CallId::new("task-t1")).with_status(CallStatus::InProgress)
            },
        },
        Record::Report { report: Prompt { from: Author::Task(1), ..prompt_of("m9") } },
        Record::Shown { tasks: vec![1] },
        Record::End { over: Over::Ended { end: End::Finished } },
        Record::Aside {
            prompt: prompt_of("m7"),
            message: message("m8"),
            answer: "an answer".to_owned(),
        },
        Record::Title { title: "An edit".to_owned(), by: TitleBy::Talaria },
    ]
}

fn opened() -> Opened {
    Opened {
        cwd: "/home/user/project".into(),
        additional: vec!["/home/user/more".into()],
        version: "0.1.0".to_owned(),
        forked_from: Some(session("from")),
        parent: None,
    }
}

fn file(version: u32) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store");
    folder.join(format!("v{version}.db"))
}

#[expect(clippy::disallowed_methods, reason = "the same switch as that of the other fixtures")]
fn is_update() -> bool {
    std::env::var_os("UPDATE").is_some()
}

async fn write(to: &Path) {
    let home = Home::new();
    let mut journal = home.store.create(&session("fixture"), opened(), Arc::default());
    for record in records() {
        home.hand.advance(Duration::from_secs(1));
        journal.append(record, Durability::Process);
    }
    assert_eq!(journal.flush().await.trouble, None);
    drop(journal);
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::copy(home.end().path().join(DATABASE), to).unwrap();
}

#[tokio::test]
async fn the_first_version_is_read_fully() {
    if is_update() {
        write(&file(1)).await;
    }
    let folder = Arc::new(tempfile::tempdir().unwrap());
    std::fs::copy(file(1), folder.path().join(DATABASE)).unwrap();
    let home = Home::on(folder, Tuning::default());
    let mut expected = vec![Record::Opened(opened())];
    expected.extend(records());
    let mut kinds: Vec<_> = expected.iter().map(number).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert!(kinds.into_iter().eq(0..19), "a kind has no record here");
    assert_eq!(home.records("fixture").await, expected);
    let page = home.store.list(Query::default()).await.unwrap();
    let [summary] = page.sessions.as_slice() else { panic!("{page:?}") };
    assert_eq!(summary.title.as_deref(), Some("An edit"));
    assert_eq!((summary.created, summary.updated), (BEGIN, Timestamp(BEGIN.0 + 19_000)));
    assert_eq!(summary.additional, opened().additional);
    assert_eq!((summary.prompts, summary.records), (4, 21));
    let mut claim = home.store.claim(&session("fixture"), Arc::default()).await.unwrap();
    claim.journal.append(prompt("on"), Durability::Process);
    assert_eq!(claim.journal.flush().await.trouble, None);
}
