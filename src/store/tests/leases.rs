//! Two stores on one folder: each session has one writer, and a dead one's comes free.

use std::sync::Arc;
use std::time::Duration;

use super::support::{Home, prompt, session, told};
use crate::store::{Durability, OwnerId, Progress, Query, StoreError, Trouble};

#[tokio::test(start_paused = true)]
async fn a_session_has_one_writer() {
    let (one, pid) = (Home::new(), std::process::id());
    let other = one.beside();
    let mut journal = one.create("a");
    journal.append(prompt("hello"), Durability::Process);
    journal.flush().await;
    let mut second = other.create("b");
    second.append(prompt("hello"), Durability::Process);
    second.flush().await;
    for home in [&one, &other] {
        let claim = home.store.claim(&session("a"), Arc::default()).await;
        assert_eq!(claim.unwrap_err(), StoreError::InUse { pid });
        let listed = home.store.list(Query::default()).await.unwrap().sessions;
        let open: Vec<_> = listed.iter().map(|row| (row.id.as_str(), row.open_in)).collect();
        assert_eq!(open, [("b", Some(pid)), ("a", Some(pid))]);
    }
    assert_eq!(other.store.delete(&session("a")).await, Err(StoreError::InUse { pid }));
    drop(journal);
    // Behind what the journal gave back: a paused clock does not wait for the thread.
    one.store.owner().await.unwrap();
    let mut claim = other.store.claim(&session("a"), Arc::default()).await.unwrap();
    assert_eq!((claim.journal.epoch(), claim.journal.last()), (2, 2));
    claim.journal.append(told("from the other"), Durability::Process);
    claim.journal.flush().await;
    assert_eq!(one.records("a").await.last(), Some(&told("from the other")));
    let epochs: Vec<_> = one.entries("a").await.iter().map(|entry| entry.epoch).collect();
    assert_eq!(epochs, [1, 1, 2]);
    let unknown = other.store.claim(&session("c"), Arc::default()).await;
    assert_eq!(unknown.unwrap_err(), StoreError::Unknown(session("c")));
}

#[tokio::test]
async fn a_dead_owners_session_is_taken_and_the_stale_one_refused() {
    let one = Home::new();
    let other = one.beside();
    let mut journal = one.create("a");
    let mut spared = one.create("b");
    journal.flush().await;
    // Behind its sweep, which would bury the other.
    other.store.owner().await.unwrap();
    other.store.owner().await.unwrap();
    // As if it had died: its lock file is no longer held by that name.
    let owner = one.store.owner().await.unwrap();
    assert!(other.store.owners().unwrap().is_alive(&owner));
    std::fs::remove_file(one.path().join(format!("owners/{}.lock", owner.as_str()))).unwrap();
    assert!(!other.store.owners().unwrap().is_alive(&owner));
    let mut claim = other.store.claim(&session("a"), Arc::default()).await.unwrap();
    assert_eq!((claim.journal.epoch(), claim.journal.last()), (2, 1));
    // It was not dead after all.
    journal.append(told("stale"), Durability::Process);
    spared.append(told("fine"), Durability::Process);
    let trouble = Some(Trouble::TakenOver);
    assert_eq!(journal.flush().await, Progress { handled: 2, trouble: trouble.clone() });
    journal.append(told("stale, too"), Durability::Process);
    assert_eq!(journal.flush().await, Progress { handled: 3, trouble });
    assert_eq!(spared.flush().await.trouble, None);
    claim.journal.append(told("new"), Durability::Process);
    claim.journal.flush().await;
    assert_eq!(one.records("a").await.last(), Some(&told("new")));
    assert_eq!(one.entries("a").await.len(), 2);
    // What the stale one gives back is not its own.
    drop(journal);
    one.store.owner().await.unwrap();
    assert!(other.store.summary(&session("a")).await.unwrap().open_in.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_ending_owner_is_waited_for() {
    let one = Home::new();
    let other = one.beside();
    let mut journal = one.create("a");
    journal.flush().await;
    one.store.ending();
    // Behind the announcement.
    one.store.owner().await.unwrap();
    one.store.owner().await.unwrap();
    let id = session("a");
    let claiming = other.store.claim(&id, Arc::default());
    let giving = async {
        // Longer than an owner is waited for that does not end.
        tokio::time::sleep(Duration::from_millis(400)).await;
        drop(journal);
    };
    let (claim, ()) = tokio::join!(claiming, giving);
    assert_eq!(claim.unwrap().journal.epoch(), 2);
}

#[tokio::test]
async fn the_dead_are_buried() {
    let one = Home::new();
    one.create("a").flush().await;
    let owners = one.path().join("owners");
    let dead = owners.join("dead.lock");
    std::fs::write(&dead, "").unwrap();
    let lease = |database: &rusqlite::Transaction<'_>| {
        database.execute("INSERT INTO owners (id, pid) VALUES ('dead', 1)", [])?;
        database.execute("UPDATE leases SET owner = 'dead'", [])
    };
    one.store.write(Durability::Process, lease).await.unwrap();
    assert!(!one.store.owners().unwrap().is_alive(&OwnerId::new("dead")));
    let other = one.beside();
    other.create("b").flush().await;
    // The sweep is behind the first batch.
    other.store.owner().await.unwrap();
    assert!(!dead.exists());
    assert_eq!(std::fs::read_dir(owners).unwrap().count(), 2);
    let left = other.store.read(|database| {
        database.query_row("SELECT count(*) FROM owners WHERE id = 'dead'", [], |row| row.get(0))
    });
    assert_eq!(left.await, Ok(0));
    assert_eq!(other.store.summary(&session("a")).await.unwrap().open_in, None);
}

#[tokio::test]
async fn the_end_of_a_store_gives_its_sessions_back() {
    let one = Home::new();
    let other = one.beside();
    let mut journal = one.create("a");
    journal.flush().await;
    let _folder = one.end();
    let claim = other.store.claim(&session("a"), Arc::default()).await.unwrap();
    assert_eq!(claim.journal.epoch(), 2);
    drop(journal);
}

#[tokio::test]
async fn a_deleted_session_is_not_written() {
    let one = Home::new();
    let mut journal = one.create("a");
    journal.flush().await;
    let remove = |database: &rusqlite::Transaction<'_>| database.execute("DELETE FROM leases", []);
    one.store.write(Durability::Process, remove).await.unwrap();
    journal.append(told("x"), Durability::Process);
    assert_eq!(journal.flush().await.trouble, Some(Trouble::Removed));
}

#[tokio::test]
async fn a_claim_that_nobody_waits_for_gives_the_session_back() {
    let home = Home::new();
    drop(home.create("a"));
    let id = session("a");
    home.store.owner().await.unwrap();
    let (gate, opened_gate) = std::sync::mpsc::sync_channel::<()>(0);
    let mut gated = Box::pin(home.store.write(Durability::Process, move |_| {
        let _opened = opened_gate.recv();
        Ok(())
    }));
    assert!(futures::poll!(gated.as_mut()).is_pending());
    // It asks for the lease, behind the gate.
    let mut claim = Box::pin(home.store.claim(&id, Arc::default()));
    assert!(futures::poll!(claim.as_mut()).is_pending());
    drop(claim);
    drop(gate);
    gated.await.unwrap();
    let claim = home.store.claim(&id, Arc::default()).await.unwrap();
    assert_eq!(claim.journal.epoch(), 3);
}
