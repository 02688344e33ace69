//! What may happen to the files beside Talaria: opened and closed by other means, written by a newer one, made
//! in part.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use super::support::{Home, prompt, session, told};
use crate::store::migrate::{APPLICATION, Steps};
use crate::store::shared::Tuning;
use crate::store::{Durability, Query, Trouble};

/// The system takes the locks of a whole process from it when it closes any handle of a file.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_log_stays_while_anyone_lives() {
    let home = Home::new();
    home.create("a").flush().await;
    for file in fs::read_dir(home.path()).unwrap().map(|file| file.unwrap().path()) {
        if file.is_file() {
            drop(fs::read(file).unwrap());
        }
    }
    // From another process: this one shares what is left of its locks.
    let log = home.path().join("talaria.db-wal");
    let owners = home.store.owners().unwrap();
    let me = home.store.owner().await.unwrap();
    assert!(!owners.has_others(Some(&me)));
    let other = home.beside();
    let you = other.store.owner().await.unwrap();
    assert!(owners.has_others(Some(&me)) && owners.has_others(Some(&you)));
    drop(other.guard);
    assert!(!owners.has_others(Some(&me)));
    assert!(log.exists());
    let folder = home.end();
    assert!(!folder.path().join("talaria.db-wal").exists());
}

#[tokio::test]
async fn what_only_a_newer_talaria_reads_is_not_swept() {
    let home = Home::new();
    for id in ["newer", "empty"] {
        home.create(id).flush().await;
    }
    let write = |database: &rusqlite::Transaction<'_>| {
        database.execute(
            "INSERT INTO records (session, seq, at, epoch, kind, version, body)
             VALUES ('newer', 2, 1, 1, 'prompt', 4711, '{}')",
            [],
        )
    };
    home.store.write(Durability::Process, write).await.unwrap();
    assert_eq!(home.store.reindex().await.unwrap().unknown, 1);
    let again = Home::on(home.end(), super::super::shared::Tuning::default());
    again.hand.advance(Duration::from_hours(8 * 24));
    // The sweep is behind the first batch.
    again.store.owner().await.unwrap();
    again.store.owner().await.unwrap();
    assert_eq!(again.entries("newer").await.len(), 2);
    assert!(again.store.summary(&session("empty")).await.is_err());
}

#[tokio::test]
async fn a_database_that_was_brought_forward_meanwhile_is_not_written() {
    let home = Home::new();
    let mut journal = home.create("a");
    journal.append(prompt("one"), Durability::Process);
    journal.flush().await;
    let path = home.path().join("talaria.db");
    let newer = rusqlite::Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", 4711).unwrap();
    journal.append(told("stale"), Durability::Process);
    let trouble = journal.flush().await.trouble;
    assert!(matches!(trouble, Some(Trouble::Newer { found: 4711, .. })), "{trouble:?}");
    let count: i64 = newer.query_row("SELECT count(*) FROM records", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 2);
}

/// Killed in the middle of the commit that made the database: its file is written, the way back is there.
#[tokio::test]
async fn a_database_that_was_not_made_to_the_end_is_made() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let path = folder.path().join("talaria.db");
    let made = tempfile::tempdir().unwrap();
    let from = made.path().join("talaria.db");
    let steps: Steps = super::super::migrate::STEPS;
    {
        let mut database = rusqlite::Connection::open(&from).unwrap();
        let transaction = database.transaction().unwrap();
        transaction.pragma_update(None, "application_id", APPLICATION).unwrap();
        transaction.pragma_update(None, "user_version", 1).unwrap();
        for sql in steps[0] {
            transaction.execute_batch(sql).unwrap();
        }
        transaction.execute_batch("PRAGMA cache_size = 1; PRAGMA cache_spill = 1;").unwrap();
        transaction.execute_batch("CREATE TABLE big (x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 500) INSERT INTO big SELECT randomblob(1000) FROM n").unwrap();
        let journal = |path: &std::path::Path| format!("{}-journal", path.display());
        fs::copy(journal(&from), journal(&path)).unwrap();
        transaction.commit().unwrap();
        fs::copy(&from, &path).unwrap();
    }
    let home = Home::on(folder, super::super::shared::Tuning::default());
    let mut journal = home.create("a");
    assert_eq!(journal.flush().await.trouble, None);
    assert_eq!(home.store.take_notice(), None);
    drop(journal);
    assert!(home.store.list(Query::default()).await.is_ok());
}

#[tokio::test]
async fn a_thread_that_hangs_does_not_hold_the_end_up() {
    let home = Home::tuned(Tuning { end: Duration::from_millis(1), ..Tuning::default() });
    let (go, wait) = std::sync::mpsc::sync_channel::<()>(1);
    let (hangs, hung) = tokio::sync::oneshot::channel();
    let store = home.store.clone();
    let job = move |_: &rusqlite::Transaction<'_>| {
        hangs.send(()).unwrap();
        wait.recv().unwrap();
        Ok(())
    };
    let mut held = tokio::task::JoinSet::new();
    held.spawn(async move { store.write(Durability::Process, job).await });
    hung.await.unwrap();
    drop(home.guard);
    assert!(held.try_join_next().is_none());
    go.send(()).unwrap();
    held.join_next().await.unwrap().unwrap().unwrap();
}
