//! What goes wrong with disks and files: said once, and mended where it can be.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use super::support::{BEGIN, Home, prompt, session, told};
use crate::store::database;
use crate::store::place::{DATABASE, Place};
use crate::store::shared::Tuning;
use crate::store::{Durability, Journal, Progress, Query, StoreError, Trouble};

/// Tries again at once, so that no test waits a second.
fn eager() -> Tuning {
    Tuning { retry: Duration::from_millis(5), ..Tuning::default() }
}

async fn trouble_of(journal: &mut Journal) -> Trouble {
    let progress = journal.flush().await;
    assert_eq!(progress.handled, journal.last());
    progress.trouble.expect("no trouble")
}

/// Waits until the journal has no trouble any more.
async fn mended(journal: &mut Journal) {
    while journal.progress().trouble.is_some() {
        journal.changed().await;
    }
}

#[tokio::test]
async fn a_locked_database_is_written_when_it_is_free() {
    let home = Home::tuned(Tuning { busy: Duration::from_millis(50), ..eager() });
    let mut journal = home.create("a");
    let mut other = home.create("b");
    journal.flush().await;
    other.flush().await;
    let mut locker = Connection::open(home.path().join(DATABASE)).unwrap();
    let lock = locker.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive).unwrap();
    for text in ["one", "two", "three"] {
        journal.append(told(text), Durability::Process);
        assert_eq!(trouble_of(&mut journal).await, Trouble::Locked);
    }
    let claim = home.store.claim(&session("b"), Arc::default()).await;
    assert_eq!(claim.unwrap_err(), StoreError::Trouble(Trouble::Locked));
    assert_eq!(other.progress().trouble, None);
    // Reading goes on.
    assert_eq!(home.entries("a").await.len(), 1);
    lock.rollback().unwrap();
    mended(&mut journal).await;
    journal.append(told("four"), Durability::Process);
    assert_eq!(journal.flush().await, Progress { handled: 5, trouble: None });
    assert_eq!(home.records("a").await[1..], ["one", "two", "three", "four"].map(told));
}

#[tokio::test]
async fn a_full_disk_keeps_what_waits_and_gives_up_the_largest() {
    let home = Home::tuned(Tuning { pages: 60, backlog: 400_000, ..eager() });
    let mut large = home.create("large");
    let mut small = home.create("small");
    small.append(told("before"), Durability::Process);
    small.flush().await;
    large.append(told(&"x".repeat(250_000)), Durability::Process);
    assert_eq!(trouble_of(&mut large).await, Trouble::Full);
    small.append(told("while"), Durability::Process);
    assert_eq!(trouble_of(&mut small).await, Trouble::Full);
    large.append(told(&"y".repeat(250_000)), Durability::Process);
    while large.progress().trouble == Some(Trouble::Full) {
        large.changed().await;
    }
    assert_eq!(trouble_of(&mut large).await, Trouble::GivenUp);
    // There is room for the small one now.
    mended(&mut small).await;
    large.append(told("after"), Durability::Process);
    assert_eq!(trouble_of(&mut large).await, Trouble::GivenUp);
    small.append(told("after"), Durability::Process);
    assert_eq!(small.flush().await.trouble, None);
    assert_eq!(home.records("small").await[1..], ["before", "while", "after"].map(told));
    assert_eq!(home.entries("large").await.len(), 1);
    drop(large);
    let claim = home.store.claim(&session("large"), Arc::default()).await.unwrap();
    assert_eq!((claim.journal.epoch(), claim.journal.last()), (2, 1));
}

#[tokio::test]
async fn a_full_disk_that_has_room_again_is_written() {
    let home = Home::tuned(Tuning { pages: 60, ..eager() });
    let large = "x".repeat(120_000);
    let mut other = home.create("other");
    other.append(told(&large), Durability::Process);
    assert_eq!(other.flush().await.trouble, None);
    drop(other);
    let mut journal = home.create("a");
    journal.flush().await;
    let records = [told(&large), told("y")];
    for record in &records {
        journal.append(record.clone(), Durability::Process);
        assert_eq!(trouble_of(&mut journal).await, Trouble::Full);
    }
    // Another process makes room.
    home.beside().store.delete(&session("other")).await.unwrap();
    mended(&mut journal).await;
    assert_eq!(home.records("a").await[1..], records);
}

#[tokio::test]
async fn what_cannot_be_written_to_the_end_is_lost_alone() {
    let home = Home::tuned(Tuning { pages: 60, ..eager() });
    let mut journal = home.create("a");
    journal.flush().await;
    journal.append(told(&"x".repeat(250_000)), Durability::Process);
    assert_eq!(trouble_of(&mut journal).await, Trouble::Full);
    let home = Home::on(home.end(), Tuning::default());
    let claim = home.store.claim(&session("a"), Arc::default()).await.unwrap();
    assert_eq!((claim.journal.epoch(), claim.journal.last()), (2, 1));
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_said_once() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    // Where the folder should be is a file: nobody can write there, not even root.
    let state = folder.path().join("state");
    fs::write(&state, "").unwrap();
    let settings =
        crate::store::Settings { folder: state.clone(), clock: crate::clock::Clock::real() };
    let (store, guard) = crate::store::Store::tuned(settings, eager());
    let mut journal = store.create(&session("a"), super::support::opened("/"), Arc::default());
    journal.append(prompt("hello"), Durability::Process);
    let expected = Trouble::ReadOnly(state.clone());
    assert_eq!(trouble_of(&mut journal).await, expected);
    assert_eq!(store.list(Query::default()).await, Err(StoreError::Trouble(expected.clone())));
    assert_eq!(store.take_notice(), Some(expected.fault()));
    assert_eq!(store.take_notice(), None);
    // As soon as it can be, it is.
    fs::remove_file(&state).unwrap();
    mended(&mut journal).await;
    assert_eq!(store.entries(&session("a"), 0, 9).await.unwrap().len(), 2);
    drop(guard);
}

#[tokio::test]
#[cfg(unix)]
async fn a_folder_without_permission_is_read_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    let mode = |mode| fs::set_permissions(home.path(), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o500);
    // Root may write everywhere; then there is nothing to see.
    let is_root = fs::write(home.path().join("probe"), "").is_ok();
    let mut journal = home.create("a");
    let progress = journal.flush().await;
    mode(0o700);
    assert_eq!(matches!(progress.trouble, Some(Trouble::ReadOnly(_))), !is_root);
}

#[tokio::test]
async fn a_database_that_was_removed_is_begun_anew() {
    let home = Home::tuned(eager());
    let mut journal = home.create("a");
    journal.append(prompt("hello"), Durability::Process);
    journal.flush().await;
    for name in ["", "-wal", "-shm"] {
        let _gone = fs::remove_file(home.path().join(format!("{DATABASE}{name}")));
    }
    journal.append(told("x"), Durability::Process);
    assert_eq!(trouble_of(&mut journal).await, Trouble::Removed);
    let mut new = home.create("b");
    new.append(prompt("hello"), Durability::Process);
    assert_eq!(new.flush().await.trouble, None);
    let page = home.store.list(Query::default()).await.unwrap();
    let ids: Vec<_> = page.sessions.iter().map(|summary| summary.id.as_str()).collect();
    assert_eq!(ids, ["b"]);
}

/// The names of the files that were put aside, sorted.
fn aside(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("damaged"))
        .collect();
    names.sort();
    names
}

/// A folder with a database of some size that nobody has open.
async fn written() -> (Arc<TempDir>, PathBuf) {
    let home = Home::new();
    let mut journal = home.create("a");
    for number in 0..200 {
        journal.append(told(&format!("{number} {}", "x".repeat(500))), Durability::Process);
    }
    journal.flush().await;
    drop(journal);
    let path = home.path().join(DATABASE);
    (home.end(), path)
}

#[tokio::test]
async fn a_damaged_database_is_put_aside() {
    type Damage = fn(Vec<u8>) -> Vec<u8>;
    let damages: [(&str, Damage); 5] = [
        ("garbage", |_| b"this is no database at all ".repeat(1_000)),
        ("short garbage", |_| b"x".to_vec()),
        ("truncated", |mut bytes| {
            bytes.truncate(bytes.len() / 2);
            bytes
        }),
        ("an overwritten header", |mut bytes| {
            bytes[..100].fill(0xff);
            bytes
        }),
        ("an overwritten schema", |mut bytes| {
            bytes[100..4_096].fill(0xff);
            bytes
        }),
    ];
    for (name, damage) in damages {
        let (folder, path) = written().await;
        let bytes = damage(fs::read(&path).unwrap());
        fs::write(&path, &bytes).unwrap();
        fs::write(folder.path().join(format!("{DATABASE}-wal")), "").unwrap();
        // Two at once: one puts it aside, both go on with the new one.
        let homes = [Home::on(Arc::clone(&folder), eager()), Home::on(folder, eager())];
        let mut journals = [homes[0].create("b"), homes[1].create("c")];
        for journal in &mut journals {
            journal.append(prompt("hello"), Durability::Process);
        }
        for journal in &mut journals {
            assert_eq!(journal.flush().await.trouble, None, "{name}");
        }
        let moved = "talaria.db.damaged-20261105T073000Z";
        let put = aside(homes[0].path());
        assert_eq!(put.first().map(String::as_str), Some(moved), "{name}");
        assert!(put.iter().all(|name| name.starts_with(moved)) && put.len() <= 3, "{put:?}");
        assert_eq!(fs::read(homes[0].path().join(moved)).unwrap(), bytes, "{name}");
        let notices: Vec<_> = homes.iter().filter_map(|home| home.store.take_notice()).collect();
        let told = Trouble::Damaged { aside: Some(homes[0].path().join(moved)) }.fault();
        assert_eq!(notices, [told], "{name}");
        let page = homes[0].store.list(Query::default()).await.unwrap();
        assert_eq!(page.sessions.len(), 2, "{name}");
    }
}

#[tokio::test]
async fn nobody_opens_a_database_while_it_is_put_aside() {
    let (folder, path) = written().await;
    let bytes = fs::read(&path).unwrap();
    let place = Place::of(folder.path());
    let lock = place.lock().unwrap();
    let home = Home::on(folder, eager());
    let mut journal = home.create("b");
    journal.append(prompt("hello"), Durability::Process);
    let (sender, opened) = std::sync::mpsc::sync_channel(1);
    let reader = {
        let place = place.clone();
        let read = move || sender.send(database::reader(&place).is_ok()).unwrap();
        std::thread::Builder::new().name("reader".to_owned()).spawn(read).unwrap()
    };
    // The engine would find what belongs to the new one by its name, and take it for the old one's.
    let moment = Duration::from_millis(100);
    assert!(tokio::time::timeout(moment, journal.flush()).await.is_err());
    assert!(opened.try_recv().is_err());
    let aside = place.put_aside(BEGIN).unwrap();
    place.make_database().unwrap();
    drop(lock);
    assert_eq!(journal.flush().await.trouble, None);
    assert!(opened.recv().unwrap());
    reader.join().unwrap();
    assert_eq!(fs::read(aside).unwrap(), bytes);
    assert_eq!(home.entries("b").await.len(), 2);
    assert_eq!(home.store.take_notice(), None);
}

#[tokio::test]
async fn what_an_unfinished_move_left_is_kept() {
    let (folder, path) = written().await;
    fs::write(&path, "no database").unwrap();
    let left = folder.path().join("talaria.db.damaged-20261105T073000Z-wal");
    fs::write(&left, "left").unwrap();
    fs::write(folder.path().join(format!("{DATABASE}-wal")), "another").unwrap();
    let home = Home::on(folder, eager());
    assert_eq!(home.create("b").flush().await.trouble, None);
    assert_eq!(fs::read(&left).unwrap(), b"left");
    let moved = home.path().join("talaria.db.damaged-20261105T073000Z-2");
    assert_eq!(fs::read(moved).unwrap(), b"no database");
}

#[tokio::test]
async fn damage_that_is_found_later_is_looked_at_with_the_next_start() {
    let (folder, path) = written().await;
    let mut bytes = fs::read(&path).unwrap();
    let pages = bytes.len() / 4_096;
    // All but the first page, which has the schema.
    bytes[4_096..pages * 4_096].fill(0xff);
    fs::write(&path, &bytes).unwrap();
    let home = Home::on(folder, eager());
    let mut journal = home.create("b");
    assert_eq!(trouble_of(&mut journal).await, Trouble::Damaged { aside: None });
    assert!(aside(home.path()).is_empty());
    let home = Home::on(home.end(), eager());
    let mut journal = home.create("c");
    assert_eq!(journal.flush().await.trouble, None);
    assert_eq!(aside(home.path()).len(), 1);
    assert!(home.store.take_notice().is_some());
    // Once is enough.
    drop(journal);
    let home = Home::on(home.end(), eager());
    assert_eq!(home.entries("c").await.len(), 1);
    assert_eq!(aside(home.path()).len(), 1);
}

#[tokio::test]
async fn a_false_alarm_changes_nothing() {
    let (folder, _) = written().await;
    let suspect = folder.path().join("talaria.db.suspect");
    fs::write(&suspect, "").unwrap();
    let home = Home::on(folder, eager());
    assert_eq!(home.entries("a").await.len(), 201);
    assert!(!suspect.exists() && aside(home.path()).is_empty());
    assert_eq!(home.store.take_notice(), None);
}

#[tokio::test]
async fn what_no_table_takes_costs_its_session_alone() {
    let home = Home::new();
    let mut bad = home.create("bad");
    let mut good = home.create("good");
    bad.flush().await;
    let foreign = |database: &rusqlite::Transaction<'_>| {
        database.execute("INSERT INTO records VALUES ('bad', 2, 1, 1, 'x', 1, '{}', NULL)", [])
    };
    home.store.write(Durability::Process, foreign).await.unwrap();
    let hold = home.store.write(Durability::Process, |_| Ok(()));
    bad.append(told("x"), Durability::Process);
    good.append(told("x"), Durability::Process);
    hold.await.unwrap();
    let trouble = trouble_of(&mut bad).await;
    assert!(matches!(&trouble, Trouble::Refused(_)) && trouble.is_for_good(), "{trouble:?}");
    assert_eq!(good.flush().await.trouble, None);
}

#[tokio::test]
async fn a_long_trouble_is_told_of_each_record() {
    let home = Home::tuned(Tuning { busy: Duration::ZERO, ..eager() });
    let mut journals = [home.create("a"), home.create("b"), home.create("c")];
    for journal in &mut journals {
        journal.flush().await;
    }
    let locker = Connection::open(home.path().join(DATABASE)).unwrap();
    locker.execute_batch("BEGIN EXCLUSIVE").unwrap();
    for number in 0..300 {
        let journal = &mut journals[number % 3];
        journal.append(told(&number.to_string()), Durability::Process);
        assert_eq!(trouble_of(journal).await, Trouble::Locked);
    }
    locker.execute_batch("COMMIT").unwrap();
    for journal in &mut journals {
        mended(journal).await;
    }
    for (place, id) in ["a", "b", "c"].into_iter().enumerate() {
        let expected = (0..300).skip(place).step_by(3).map(|number| told(&number.to_string()));
        assert!(home.records(id).await.into_iter().skip(1).eq(expected));
    }
}
