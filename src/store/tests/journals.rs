//! Records go in, are written in order, and come out as they were.

use std::sync::Arc;
use std::time::Duration;

use super::support::{BEGIN, Home, opened, prompt, session, told};
use crate::clock::Timestamp;
use crate::event::CallUpdate;
use crate::ids::CallId;
use crate::store::shared::Tuning;
use crate::store::{Durability, Entry, Progress, Query, Record, Store, StoreError, Trouble};

#[tokio::test]
async fn what_was_appended_is_read_back() {
    let home = Home::new();
    let mut journal = home.create("a");
    assert_eq!((journal.last(), journal.epoch()), (1, 1));
    assert_eq!(journal.append(prompt("hello"), Durability::Process), 2);
    assert_eq!(journal.append(told("well"), Durability::Power), 3);
    assert_eq!(journal.flush().await, Progress { handled: 3, trouble: None });
    assert!(journal.is_handled(3) && !journal.is_handled(4));
    assert_eq!(
        home.records("a").await,
        [Record::Opened(opened("/project")), prompt("hello"), told("well")]
    );
    let entry = |seq, kind: &str, record| Entry {
        seq,
        at: BEGIN,
        epoch: 1,
        kind: kind.to_owned(),
        version: 1,
        body: serde_json::to_string(&record).unwrap(),
    };
    let page = home.store.entries(&session("a"), 1, 1).await.unwrap();
    assert_eq!(page, [entry(2, "prompt", prompt("hello"))]);
    let unknown = home.store.entries(&session("b"), 0, 1).await;
    assert_eq!(unknown, Err(StoreError::Unknown(session("b"))));
}

#[tokio::test]
async fn a_dropped_journal_gives_its_lease_back_behind_its_records() {
    let home = Home::new();
    let mut journal = home.create("a");
    // More than the thread has room for.
    for number in 0..3_000 {
        journal.append(told(&number.to_string()), Durability::Process);
    }
    drop(journal);
    let claim = home.store.claim(&session("a"), Arc::default()).await.unwrap();
    assert_eq!((claim.journal.epoch(), claim.journal.last()), (2, 3_001));
    assert_eq!((claim.summary.records, claim.summary.open_in), (3_001, Some(std::process::id())));
    let entries = home.entries("a").await;
    assert!(entries.iter().map(|entry| entry.seq).eq(1..=3_001));
    assert_eq!(entries[3_000].record(), Some(told("2999")));
}

#[tokio::test]
async fn the_guard_drains_everything() {
    let home = Home::new();
    let mut journals: Vec<_> = (0..50).map(|number| home.create(&format!("s{number}"))).collect();
    for journal in &mut journals {
        journal.append(prompt("hello"), Durability::Process);
    }
    drop(journals);
    let home = Home::on(home.end(), Tuning::default());
    for number in 0..50 {
        assert_eq!(home.entries(&format!("s{number}")).await.len(), 2);
    }
    assert_eq!(std::fs::read_dir(home.path().join("owners")).unwrap().count(), 1);
}

#[tokio::test]
async fn time_does_not_go_back() {
    let home = Home::new();
    let mut journal = home.create("a");
    home.hand.advance(Duration::from_secs(10));
    journal.append(told("later"), Durability::Process);
    // Once around: an hour back.
    home.hand.advance(Duration::from_millis(u64::MAX - 3_600_000 + 1));
    journal.append(told("earlier"), Durability::Process);
    drop(journal);
    let mut claim = home.store.claim(&session("a"), Arc::default()).await.unwrap();
    claim.journal.append(told("earlier, too"), Durability::Process);
    claim.journal.flush().await;
    let times: Vec<_> = home.entries("a").await.into_iter().map(|entry| entry.at).collect();
    let later = Timestamp(BEGIN.0 + 10_000);
    assert_eq!(times, [BEGIN, later, later, later]);
}

#[tokio::test]
async fn many_sessions_share_a_commit() {
    let home = Home::new();
    home.store.owner().await.unwrap();
    // Nothing is committed before the thread has everything.
    let (gate, opened_gate) = std::sync::mpsc::sync_channel::<()>(0);
    let waiting = home.store.write(Durability::Process, move |_| {
        let _opened = opened_gate.recv();
        Ok(())
    });
    let appending = async {
        let mut journals: Vec<_> = (0..100).map(|n| home.create(&format!("s{n}"))).collect();
        for journal in &mut journals {
            journal.append(prompt("hello"), Durability::Process);
            assert!(!journal.is_handled(1));
        }
        drop(gate);
        for journal in &mut journals {
            assert_eq!(journal.flush().await, Progress { handled: 2, trouble: None });
        }
        // Kept: each would give its lease back, in commits of their own.
        journals
    };
    let before = data_version(&home);
    let (done, _journals) = tokio::join!(waiting, appending);
    done.unwrap();
    assert!(home.store.list(Query::default()).await.unwrap().sessions.len() == 100);
    // The waiting job's commit, and one or two for the two hundred records.
    let commits = data_version(&home) - before;
    assert!(commits <= 4, "{commits} commits");
}

/// Grows with each commit, in a file that nobody checkpoints meanwhile.
fn data_version(home: &Home) -> i64 {
    let wal = std::fs::read(home.path().join("talaria.db-wal")).unwrap_or_default();
    // A frame whose second number is not 0 ends a transaction.
    let frames = wal.get(32..).unwrap_or_default().chunks_exact(24 + 4_096);
    frames.filter(|frame| frame[4..8] != [0; 4]).count().try_into().unwrap()
}

#[tokio::test]
async fn progress_is_said_once_for_each_change() {
    let home = Home::new();
    let mut journal = home.create("a");
    assert_eq!(journal.changed().await, Progress { handled: 1, trouble: None });
    let nothing = tokio::time::timeout(Duration::from_millis(1), journal.changed()).await;
    assert!(nothing.is_err());
    journal.append(told("x"), Durability::Process);
    assert_eq!(journal.changed().await, Progress { handled: 2, trouble: None });
}

#[tokio::test]
async fn a_store_that_is_off_keeps_nothing() {
    let store = Store::off();
    let mut journal = store.create(&session("a"), opened("/"), Arc::default());
    assert_eq!(journal.append(told("x"), Durability::Power), 0);
    assert!(journal.is_handled(0) && !store.is_on());
    assert_eq!(journal.flush().await, Progress::default());
    assert_eq!(store.list(Query::default()).await, Err(StoreError::Off));
    assert_eq!(store.take_notice(), None);
}

#[tokio::test]
async fn a_store_that_has_ended_holds_nobody_up() {
    let home = Home::new();
    let mut journal = home.create("a");
    journal.flush().await;
    let store = home.store.clone();
    let _folder = home.end();
    let seq = journal.append(told("x"), Durability::Process);
    let progress = journal.flush().await;
    assert!(progress.handled == seq && progress.trouble.is_some());
    assert!(matches!(store.list(Query::default()).await, Err(StoreError::Trouble(_)) | Ok(_)));
    assert!(matches!(
        store.claim(&session("a"), Arc::default()).await,
        Err(StoreError::Trouble(_))
    ));
}

#[tokio::test]
async fn a_job_that_fails_undoes_only_itself() {
    let home = Home::new();
    home.store.owner().await.unwrap();
    let insert = |id: &'static str| {
        move |database: &rusqlite::Transaction<'_>| {
            database.execute("INSERT INTO owners (id, pid) VALUES (?1, 1)", [id])
        }
    };
    let bad = move |database: &rusqlite::Transaction<'_>| -> rusqlite::Result<()> {
        insert("undone")(database)?;
        Err(rusqlite::Error::QueryReturnedNoRows)
    };
    let worse = move |database: &rusqlite::Transaction<'_>| -> rusqlite::Result<()> {
        insert("undone, too")(database)?;
        panic!("a defect");
    };
    let mut journal = home.create("a");
    let (one, bad, worse, two) = tokio::join!(
        home.store.write(Durability::Process, insert("one")),
        home.store.write(Durability::Process, bad),
        home.store.write(Durability::Process, worse),
        home.store.write(Durability::Power, insert("two")),
    );
    assert_eq!((one, two), (Ok(1), Ok(1)));
    assert!(matches!(bad, Err(StoreError::Trouble(Trouble::Other(_)))), "{bad:?}");
    assert!(matches!(worse, Err(StoreError::Trouble(Trouble::Other(_)))), "{worse:?}");
    assert_eq!(journal.flush().await, Progress { handled: 1, trouble: None });
    let owners = home.store.read(|database| {
        let mut statement = database
            .prepare("SELECT id FROM owners WHERE pid = 1 OR id LIKE 'undone%' ORDER BY id")?;
        let ids = statement.query_map([], |row| row.get::<_, String>(0))?;
        ids.collect::<Result<Vec<_>, _>>()
    });
    assert_eq!(owners.await.unwrap(), ["one", "two"]);
}

#[test]
#[cfg(unix)]
fn files_are_the_users_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let settings = crate::store::Settings {
        folder: folder.path().join("state"),
        clock: crate::clock::Clock::real(),
    };
    let (store, guard) = Store::start(settings);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        store.create(&session("a"), opened("/"), Arc::default()).flush().await;
        let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
        let state = folder.path().join("state");
        assert_eq!((mode(&state), mode(&state.join("owners"))), (0o700, 0o700));
        let mut files = 0;
        for folder in [&state, &state.join("owners")] {
            for file in std::fs::read_dir(folder).unwrap() {
                let path = file.unwrap().path();
                if path.is_file() {
                    files += 1;
                    assert_eq!(mode(&path), 0o600, "{}", path.display());
                }
            }
        }
        assert!(files >= 4, "database, log, shared memory, lock: {files}");
    });
    drop(guard);
}

#[test]
fn journals_and_stores_go_between_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<crate::store::Journal>();
    check::<Store>();
    check::<crate::store::StoreGuard>();
}

#[tokio::test]
async fn a_journal_is_read_in_pieces_of_about_one_size() {
    let home = Home::new();
    let mut journal = home.create("a");
    let large = "x".repeat(20_000);
    for number in 0..1_500 {
        // Small ones first, then some that are large.
        let text = if number < 800 { "small" } else { large.as_str() };
        journal.append(told(text), Durability::Process);
    }
    journal.flush().await;
    let mut batches = home.store.batches(&session("a"));
    let (mut sizes, mut seqs) = (Vec::new(), Vec::new());
    loop {
        let entries = batches.next().await.unwrap();
        if entries.is_empty() {
            break;
        }
        sizes.push(entries.len());
        seqs.extend(entries.iter().map(|entry| entry.seq));
    }
    assert!(seqs.into_iter().eq(1..=1_501));
    assert_eq!(sizes[..4], [64, 128, 256, 512]);
    assert!(sizes[4..].iter().all(|size| *size <= 128), "{sizes:?}");
    let mut unknown = home.store.batches(&session("b"));
    assert_eq!(unknown.next().await, Err(StoreError::Unknown(session("b"))));
}

#[tokio::test]
async fn what_becomes_of_cards_is_read_without_the_rest() {
    let home = Home::new();
    let mut journal = home.create("a");
    for number in 0..200 {
        journal.append(told("between"), Durability::Process);
        let card = CallUpdate::new(CallId::new(format!("task-t{number}")));
        journal.append(Record::Card { card }, Durability::Process);
    }
    let Record::Prompt { prompt: report } = prompt("report") else { unreachable!() };
    journal.append(Record::Report { report }, Durability::Process);
    journal.flush().await;
    let mut batches = home.store.card_batches(&session("a"));
    let mut seqs = Vec::new();
    loop {
        let entries = batches.next().await.unwrap();
        if entries.is_empty() {
            break;
        }
        seqs.extend(entries.iter().map(|entry| entry.seq));
    }
    // How the session was opened, every card, and the report.
    let cards = (0..200).map(|number| 3 + 2 * number);
    assert!(seqs.into_iter().eq(std::iter::once(1).chain(cards).chain([402])));
}
