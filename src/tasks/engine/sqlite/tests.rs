//! What the conformance suite (`tests/it/engine.rs`) cannot see: what the engine asks of the database, when
//! it looks, and what the store does beneath it.

use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;

use super::SqliteEngine;
use super::rows::QUERIES;
use crate::clock::Clock;
use crate::ids::{SessionId, TaskId};
use crate::store::{Durability, Opened, Settings, Store, StoreError, StoreGuard};
use crate::tasks::engine::listen::{Listening, Unread};
use crate::tasks::engine::{
    Body, EngineError, Heard, Lease, New, Outcome, Passing, Progress, Report, Seq, Spec, State,
    TaskClient as _, TaskWorker as _, Wanted,
};

struct Home {
    folder: TempDir,
}

impl Home {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    fn open(&self) -> (Store, SqliteEngine, StoreGuard) {
        let folder = self.folder.path().to_owned();
        let cwd = folder.clone();
        let (store, guard) = Store::start(Settings { folder, clock: Clock::real() });
        for id in [session(), SessionId::new("other")] {
            // Those that are there already stay as they are.
            let opened = Opened {
                cwd: cwd.clone(),
                additional: Vec::new(),
                version: "0".to_owned(),
                forked_from: None,
                parent: None,
            };
            drop(store.create(&id, opened, Arc::default()));
        }
        (store.clone(), SqliteEngine::new(store, Clock::real()), guard)
    }
}

fn session() -> SessionId {
    SessionId::new("s")
}

async fn submit(engine: &SqliteEngine, key: &str) -> TaskId {
    let spec = Spec { goal: key.to_owned(), details: json!({}) };
    let new = New { key: key.to_owned(), spec };
    engine.submit(session(), 0, vec![new]).await.unwrap().remove(0).task
}

async fn run(engine: &SqliteEngine, task: &TaskId) -> Lease {
    engine.claim(Wanted::Task(task.clone())).await.unwrap().unwrap().lease
}

/// What a listener does that has read everything.
async fn unread(engine: &SqliteEngine, task: &TaskId, after: Seq) -> Unread {
    Listening::new(engine.clone(), &engine.hub, task.clone(), after).read().await.unwrap().unread
}

#[tokio::test]
async fn only_what_another_process_may_change_is_looked_for() {
    let home = Home::new();
    let (_first_store, first, _first_guard) = home.open();
    let (_second_store, second, _second_guard) = home.open();
    let task = submit(&first, "one").await;
    assert_eq!(unread(&first, &task, 0).await, Unread::MustLook);
    let lease = run(&first, &task).await;
    let question = json!("may I?");
    first.append(lease.clone(), vec![Progress::NeedsInput { question }]).await.unwrap();
    assert_eq!(first.get(task.clone()).await.unwrap().status.state, State::Waiting);
    // A task that waits here wakes nobody.
    assert_eq!(unread(&first, &task, 3).await, Unread::TellsItself);
    assert_eq!(unread(&second, &task, 3).await, Unread::MustLook);
    first.finish(lease, 0, Outcome::Completed { report: Report::default() }).await.unwrap();
    assert_eq!(unread(&second, &task, 0).await, Unread::Ended);
}

#[tokio::test]
async fn what_is_written_is_told_even_if_its_caller_is_gone() {
    let home = Home::new();
    let (_store, engine, _guard) = home.open();
    let task = submit(&engine, "one").await;
    let lease = run(&engine, &task).await;
    let mut listening = Listening::new(engine.clone(), &engine.hub, task.clone(), 2);
    assert_eq!(listening.read().await.unwrap().unread, Unread::TellsItself);
    let text = "kept".to_owned();
    let append = engine.append(lease, vec![Progress::Message { text }]);
    assert!(futures::poll!(append).is_pending());
    let event = listening.next().await.unwrap().unwrap();
    assert!(matches!(event, Heard::Event(event) if event.seq == 3));
}

#[tokio::test]
async fn no_query_reads_more_than_its_answer() {
    let home = Home::new();
    let (store, engine, _guard) = home.open();
    submit(&engine, "one").await;
    for query in QUERIES {
        let plan = store.read(move |sql| {
            let mut statement = sql.prepare(&format!("EXPLAIN QUERY PLAN {query}"))?;
            let mut rows = statement.raw_query();
            let mut steps: Vec<String> = Vec::new();
            while let Some(row) = rows.next()? {
                steps.push(row.get(3)?);
            }
            Ok(steps)
        });
        let plan = plan.await.unwrap();
        assert!(plan[0].starts_with("SEARCH task"), "{query}: {plan:?}");
        assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{query}: {plan:?}");
    }
}

#[tokio::test]
async fn tasks_go_with_their_session() {
    let home = Home::new();
    let (store, engine, _guard) = home.open();
    let task = submit(&engine, "one").await;
    let other = New { key: "k".to_owned(), spec: Spec { goal: "g".to_owned(), details: json!(1) } };
    let other =
        engine.submit(SessionId::new("other"), 0, vec![other]).await.unwrap().remove(0).task;

    store.delete(&session()).await.unwrap();
    assert_eq!(engine.get(task.clone()).await.unwrap_err(), EngineError::Unknown(task));
    let left = store.read(|sql| {
        let count = |table| {
            sql.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, u32>(0))
        };
        Ok((count("tasks")?, count("task_events")?, count("task_inbox")?))
    });
    assert_eq!(left.await.unwrap(), (1, 1, 0));
    // Nor do others come behind it.
    let late = New { key: "k".to_owned(), spec: Spec { goal: "g".to_owned(), details: json!(1) } };
    let refused = engine.submit(session(), 0, vec![late]).await;
    assert_eq!(refused.unwrap_err(), EngineError::NoSession(session()));
    assert_eq!(engine.get(other).await.unwrap().spec.details, json!(1));
}

#[tokio::test]
async fn an_event_of_a_newer_talaria_keeps_its_place() {
    let home = Home::new();
    let (store, engine, _guard) = home.open();
    let task = submit(&engine, "one").await;
    run(&engine, &task).await;
    let newer = |sql: &rusqlite::Transaction<'_>| {
        sql.execute("UPDATE task_events SET body = '{\"kind\":\"new\"}' WHERE seq = 1", [])
    };
    store.write(Durability::Process, newer).await.unwrap();
    let batch = Listening::new(engine.clone(), &engine.hub, task, 0).read().await.unwrap();
    let bodies: Vec<Body> = batch.events.into_iter().map(|event| event.body).collect();
    assert!(matches!(bodies.as_slice(), [Body::Unknown, Body::Started { .. }]), "{bodies:?}");
}

#[tokio::test]
async fn a_store_that_is_off_says_so() {
    let engine = SqliteEngine::new(Store::off(), Clock::real());
    let task = TaskId { session: session(), number: 1 };
    let off = EngineError::Unavailable(StoreError::Off.fault());
    assert_eq!(engine.get(task).await.unwrap_err(), off);
    let spec = Spec { goal: "g".to_owned(), details: json!(1) };
    let new = New { key: "k".to_owned(), spec };
    assert_eq!(engine.submit(session(), 0, vec![new]).await.unwrap_err(), off);
}

#[test]
fn what_is_heard_survives_json() {
    let task = TaskId { session: session(), number: 7 };
    let passing = Passing { task, epoch: 1, after: 2, text: "a".to_owned() };
    let heard = Heard::Passing(passing);
    let text = serde_json::to_string(&heard).unwrap();
    assert_eq!(
        text,
        r#"{"class":"passing","task":{"session":"s","number":7},"epoch":1,"after":2,"text":"a"}"#
    );
    assert_eq!(serde_json::from_str::<Heard>(&text).unwrap(), heard);
}
