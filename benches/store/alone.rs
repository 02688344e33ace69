//! The store without anything around it: appending in both modes, and opening.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use talaria::ids::{IdSource, SessionId};
use talaria::store::{Durability, Query};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::fill;
use super::support::table::Row;

/// Records between two points at which a turn waits for the store.
const RECORDS: usize = 8;
const TURNS: usize = 500;
const SESSIONS: usize = 100;
const TURNS_OF_EACH: usize = 20;

/// One session: some records of a turn, and then the wait until they are written.
pub(crate) fn append() -> Vec<Row> {
    let process = one_session(Durability::Process);
    let power = one_session(Durability::Power);
    vec![
        Row::milliseconds("8 records of a turn until they outlive the process", process),
        Row::milliseconds("8 records of a turn until they outlive a power cut", power),
        Row::milliseconds("… a file that grows by 4 KB and is synchronised", synchronised())
            .note("the floor"),
    ]
}

fn one_session(durability: Durability) -> Vec<Duration> {
    let folder = TempDir::new().unwrap();
    fill::runtime().block_on(async {
        let (store, guard) = fill::store(folder.path());
        let mut journal = fill::journal(&store, &SessionId::fresh(), folder.path());
        let ids = IdSource::of_epoch(1);
        let mut times = Vec::new();
        for number in 0..TURNS {
            let mut records = fill::turn(&ids, number);
            records.truncate(RECORDS);
            let begun = Instant::now();
            for record in records {
                journal.append(record, durability);
            }
            fill::assert_saved(&mut journal).await;
            times.push(begun.elapsed());
        }
        drop(journal);
        drop(store);
        drop(guard);
        times
    })
}

fn synchronised() -> Vec<Duration> {
    let folder = TempDir::new().unwrap();
    let mut file = File::create(folder.path().join("file")).unwrap();
    let page = [7; 4096];
    (0..TURNS)
        .map(|_| {
            let begun = Instant::now();
            file.write_all(&page).unwrap();
            file.sync_data().unwrap();
            begun.elapsed()
        })
        .collect()
}

/// Many sessions at once, each as above: how long one waits, and what they write together.
pub(crate) fn append_many() -> Vec<Row> {
    let (process, process_rate) = many(Durability::Process);
    let (power, power_rate) = many(Durability::Power);
    vec![
        Row::milliseconds("the same, 100 sessions at once: process", process),
        Row::new("… records written", "/s", vec![process_rate]),
        Row::milliseconds("the same, 100 sessions at once: power cut", power),
        Row::new("… records written", "/s", vec![power_rate]),
    ]
}

fn many(durability: Durability) -> (Vec<Duration>, f64) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().to_owned();
    fill::runtime().block_on(async move {
        let (store, guard) = fill::store(&path);
        // Opening is another number.
        fill::assert_saved(&mut fill::journal(&store, &SessionId::fresh(), &path)).await;
        let begun = Instant::now();
        let mut sessions = JoinSet::new();
        for _ in 0..SESSIONS {
            let mut journal = fill::journal(&store, &SessionId::fresh(), &path);
            sessions.spawn(async move {
                let ids = IdSource::of_epoch(1);
                let mut times = Vec::new();
                for number in 0..TURNS_OF_EACH {
                    let mut records = fill::turn(&ids, number);
                    records.truncate(RECORDS);
                    let begun = Instant::now();
                    for record in records {
                        journal.append(record, durability);
                    }
                    fill::assert_saved(&mut journal).await;
                    times.push(begun.elapsed());
                }
                times
            });
        }
        let times = sessions.join_all().await.concat();
        let rate = (times.len() * RECORDS) as f64 / begun.elapsed().as_secs_f64();
        drop(store);
        drop(guard);
        (times, rate)
    })
}

/// From nothing to the first answer of a database that is there.
pub(crate) fn open() -> Vec<Row> {
    let (small, large) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fill::long_session(small.path(), small.path(), 1_000);
    fill::many_sessions(large.path(), large.path(), 10_000);
    vec![
        Row::milliseconds("open an existing database and ask it something", opened(small.path()))
            .at_most(2.0),
        Row::milliseconds("… one with 10 000 sessions", opened(large.path())).at_most(2.0),
    ]
}

fn opened(folder: &Path) -> Vec<Duration> {
    let runtime = fill::runtime();
    (0..50)
        .map(|_| {
            runtime.block_on(async {
                let begun = Instant::now();
                let (store, guard) = fill::store(folder);
                let query = Query { limit: Some(1), ..Query::default() };
                assert_eq!(store.list(query).await.unwrap().sessions.len(), 1);
                let took = begun.elapsed();
                drop(store);
                drop(guard);
                took
            })
        })
        .collect()
}
