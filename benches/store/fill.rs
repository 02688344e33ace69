//! What databases are filled with: sessions such as a chat leaves, through the store's own door.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use talaria::clock::Clock;
use talaria::event::{CallContent, CallStatus, CallUpdate, ToolKind};
use talaria::ids::{CallId, IdSource, MessageId, PromptId, SessionId};
use talaria::redact::Mask;
use talaria::store::{Durability, Journal, Opened, Record, Settings, Store, StoreGuard};
use talaria::transcript::{Call, Content, End, Outcome, Over, Prompt, Reply, Usage};
use tokio::runtime::Runtime;

/// Updates that a replay has of one turn of `turn`.
pub(crate) const UPDATES_OF_A_TURN: usize = 10;
const CALLS: usize = UPDATES_OF_A_TURN - 2;

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

pub(crate) fn store(folder: &Path) -> (Store, StoreGuard) {
    Store::start(Settings { folder: folder.to_owned(), clock: Clock::real() })
}

pub(crate) fn journal(store: &Store, id: &SessionId, cwd: &Path) -> Journal {
    let opened = Opened {
        cwd: cwd.to_owned(),
        additional: Vec::new(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        forked_from: None,
        parent: None,
    };
    store.create(id, opened, Arc::new(Mask::new(&[])))
}

pub(crate) fn prompt(ids: &IdSource, text: &str) -> (MessageId, Record) {
    let message = ids.message();
    let content = vec![Content::text(text)];
    let prompt = Prompt {
        id: PromptId::default(),
        message: message.clone(),
        content,
        from: talaria::transcript::Author::User,
    };
    (message, Record::Prompt { prompt })
}

/// The records of a turn: a prompt, a reply with calls that read files, and their outcomes.
pub(crate) fn turn(ids: &IdSource, number: usize) -> Vec<Record> {
    let (message, prompt) = prompt(ids, &format!("Please look at part {number} of the project."));
    let calls: Vec<Call> = (0..CALLS)
        .map(|file| Call {
            id: ids.call(),
            tool: "read".to_owned(),
            input: json!({ "path": format!("src/part_{number}/file_{file}.rs") }),
            signatures: Vec::new(),
        })
        .collect();
    let outcomes: Vec<Record> = calls.iter().map(outcome).collect();
    let reply = Reply {
        text: "I will read the files of this part, and then say what I found.".into(),
        message: Some(ids.message()),
        calls,
        usage: Usage { input: 1_000, output: 100, cached: 900 },
        ..Reply::default()
    };
    let mut records = vec![prompt, Record::Turn { prompt: message }];
    records.push(Record::Reply { reply, spent: None });
    records.extend(outcomes);
    records.push(Record::End { over: Over::Ended { end: End::Finished } });
    records
}

fn outcome(call: &Call) -> Record {
    let text = "fn main() {\n    println!(\"hello\");\n}\n".repeat(4);
    let shown = CallUpdate {
        tool: Some(call.tool.clone()),
        title: Some(format!("Read {}", call.input["path"])),
        kind: Some(ToolKind::Read),
        content: Some(vec![CallContent::Content(Content::text(text.clone()))]),
        input: Some(call.input.clone()),
        ..CallUpdate::new(call.id.clone()).with_status(CallStatus::Completed)
    };
    Record::Outcome { call: call.id.clone(), outcome: Outcome::done(text), shown, gave: Vec::new() }
}

/// A session with so many updates to replay; its id.
pub(crate) fn long_session(folder: &Path, cwd: &Path, updates: usize) -> SessionId {
    let id = SessionId::fresh();
    runtime().block_on(async {
        let (store, guard) = store(folder);
        let mut journal = journal(&store, &id, cwd);
        let ids = IdSource::of_epoch(1);
        for number in 0..updates / UPDATES_OF_A_TURN {
            append_all(&mut journal, turn(&ids, number));
            if number % 50 == 0 {
                assert_saved(&mut journal).await;
            }
        }
        assert_saved(&mut journal).await;
        drop(journal);
        drop(store);
        drop(guard);
    });
    id
}

/// So many sessions of one prompt each.
pub(crate) fn many_sessions(folder: &Path, cwd: &Path, count: usize) {
    runtime().block_on(async {
        let (store, guard) = store(folder);
        for number in 0..count {
            let mut journal = journal(&store, &SessionId::fresh(), cwd);
            let (_, record) = prompt(&IdSource::of_epoch(1), &format!("Prompt number {number}"));
            journal.append(record, Durability::Process);
            if number % 100 == 0 || number + 1 == count {
                assert_saved(&mut journal).await;
            }
        }
        drop(store);
        drop(guard);
    });
}

/// Sessions with outcomes of a mebibyte each, all of them different: a database of so many of them.
pub(crate) fn mebibytes(folder: &Path, cwd: &Path, count: usize) {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut noise = || {
        let mut text = String::with_capacity(1024 * 1024);
        while text.len() < 1024 * 1024 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text.push_str(&format!("{state:016x} "));
        }
        text
    };
    runtime().block_on(async {
        let (store, guard) = store(folder);
        for _ in 0..count.div_ceil(16) {
            let mut journal = journal(&store, &SessionId::fresh(), cwd);
            let ids = IdSource::of_epoch(1);
            append_all(&mut journal, turn(&ids, 0));
            for _ in 0..16 {
                let (call, text) = (CallId::new("c1"), noise());
                let shown = CallUpdate::new(call.clone());
                let outcome = Outcome::done(text);
                journal.append(
                    Record::Outcome { call, outcome, shown, gave: Vec::new() },
                    Durability::Process,
                );
                assert_saved(&mut journal).await;
            }
        }
        drop(store);
        drop(guard);
    });
}

pub(crate) fn append_all(journal: &mut Journal, records: Vec<Record>) {
    for record in records {
        journal.append(record, Durability::Process);
    }
}

/// A number that was measured while nothing was written would be a fine one.
pub(crate) async fn assert_saved(journal: &mut Journal) {
    let progress = journal.flush().await;
    assert_eq!((progress.handled, progress.trouble), (journal.last(), None));
    assert!(journal.last() > 0, "the store is on");
}
