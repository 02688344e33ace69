//! Large sessions that are deleted: gone at once, removed bit by bit, and never back.

use std::sync::Arc;

use futures::FutureExt as _;
use rusqlite::Transaction;

use super::support::{Home, opened, prompt, session, told};
use crate::store::remains::Slice;
use crate::store::shared::Tuning;
use crate::store::{Durability, Query, Reindexed, StoreError, sessions};

/// Records and long strings of `a`.
fn left(database: &rusqlite::Connection) -> rusqlite::Result<u32> {
    let sql = "SELECT (SELECT count(*) FROM records WHERE session = 'a')
               + (SELECT count(*) FROM blobs WHERE session = 'a')";
    database.query_row(sql, [], |row| row.get(0))
}

fn marks(database: &rusqlite::Connection) -> rusqlite::Result<u32> {
    database.query_row("SELECT count(*) FROM sessions WHERE updated = 0", [], |row| row.get(0))
}

/// A session with five records and two long strings.
async fn fill(home: &Home) {
    let mut journal = home.create("a");
    for text in ["long one ".repeat(4_000), "long two ".repeat(4_000), "x".into(), "y".into()] {
        journal.append(prompt(&text), Durability::Process);
    }
    journal.flush().await;
    drop(journal);
    assert_eq!(home.store.write(Durability::Process, |sql| left(sql)).await.unwrap(), 7);
}

#[tokio::test]
async fn others_are_served_between_the_slices_of_a_deletion() {
    let slice = Slice { rows: 1, bytes: u64::MAX };
    let home = Home::tuned(Tuning { slice, ..Tuning::default() });
    fill(&home).await;
    // The thread is held until everything is in its queue, more than one transaction takes.
    let (go, wait) = std::sync::mpsc::sync_channel::<()>(1);
    let job = move |_: &Transaction<'_>| {
        wait.recv().unwrap();
        Ok(())
    };
    let mut held = Box::pin(home.store.write(Durability::Process, job));
    assert!((&mut held).now_or_never().is_none());
    let id = session("a");
    let mut deleted = Box::pin(home.store.delete(&id));
    assert!((&mut deleted).now_or_never().is_none());
    let mut counts: Vec<_> = (0..600)
        .map(|_| {
            let count = |sql: &Transaction<'_>| Ok((left(sql)?, marks(sql)?));
            // Otherwise the runtime lets only so many through at once.
            let count = tokio::task::unconstrained(home.store.write(Durability::Process, count));
            let mut count = Box::pin(count);
            assert!((&mut count).now_or_never().is_none());
            count
        })
        .collect();
    go.send(()).unwrap();
    held.await.unwrap();
    let last = counts.pop().unwrap().await.unwrap();
    assert!((1..7).contains(&last.0) && last.1 == 1, "{last:?}");
    let unknown = Err(StoreError::Unknown(id.clone()));
    assert_eq!(home.store.summary(&id).await.map(drop), unknown);
    deleted.await.unwrap();
    let gone = home.store.read(|sql| Ok((left(sql)?, marks(sql)?))).await.unwrap();
    assert_eq!(gone, (0, 0));
}

#[tokio::test]
async fn a_slice_ends_with_its_bytes() {
    let slice = Slice { rows: 1_000, bytes: 1 };
    let home = Home::tuned(Tuning { slice, ..Tuning::default() });
    fill(&home).await;
    home.store.delete(&session("a")).await.unwrap();
    assert_eq!(home.store.read(left).await.unwrap(), 0);
}

/// A process that died behind the first transaction of a deletion.
async fn half_deleted() -> Home {
    let home = Home::new();
    fill(&home).await;
    let mut other = home.create("b");
    other.append(prompt("hello"), Durability::Process);
    other.flush().await;
    drop(other);
    let half = |sql: &Transaction<'_>| sessions::remove(sql, &session("a"));
    home.store.write(Durability::Process, half).await.unwrap();
    home
}

#[tokio::test]
async fn half_deleted_is_deleted_for_everyone() {
    let home = half_deleted().await;
    let id = session("a");
    let unknown = StoreError::Unknown(id.clone());
    assert_eq!(home.store.entries(&id, 0, 9).await.unwrap_err(), unknown);
    assert_eq!(home.store.summary(&id).await.unwrap_err(), unknown);
    assert_eq!(home.store.claim(&id, Arc::default()).await.unwrap_err(), unknown);
    let fork = home.store.fork(&id, &session("c"), opened("/"), Arc::default()).await;
    assert_eq!(fork.unwrap_err(), unknown);
    let page = home.store.list(Query::default()).await.unwrap();
    let ids: Vec<_> = page.sessions.iter().map(|summary| summary.id.as_str()).collect();
    assert_eq!(ids, ["b"]);
    assert_eq!(home.store.read(left).await.unwrap(), 7);
}

#[tokio::test]
async fn a_rebuild_does_not_bring_back_what_was_deleted() {
    let home = half_deleted().await;
    let found = home.store.reindex().await.unwrap();
    assert_eq!(found, Reindexed { sessions: 1, records: 2, unknown: 0 });
    assert!(home.store.summary(&session("a")).await.is_err());
    assert_eq!(home.store.read(|sql| Ok((left(sql)?, marks(sql)?))).await.unwrap(), (0, 0));
}

#[tokio::test]
async fn the_next_process_removes_what_a_dead_one_left() {
    let home = half_deleted().await;
    let other = home.beside();
    other.store.owner().await.unwrap();
    // Each is behind one slice at least, and everything is one.
    for _ in 0..2 {
        other.store.write(Durability::Process, |_| Ok(())).await.unwrap();
    }
    assert_eq!(other.store.read(|sql| Ok((left(sql)?, marks(sql)?))).await.unwrap(), (0, 0));
    assert_eq!(home.records("b").await.len(), 2);
    let mut again = home.create("a");
    again.append(told("new"), Durability::Process);
    assert_eq!(again.flush().await.trouble, None);
}
