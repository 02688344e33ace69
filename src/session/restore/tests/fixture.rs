//! The promise to read version 1 for ever: the journal in `tests/fixtures/journal/` was written by hand
//! and is never written again. A new kind goes into it at the end; what stands there stays.

use std::collections::BTreeSet;

use expect_test::expect_file;
use serde::Deserialize;

use super::{lines, read};
use crate::clock::Timestamp;
use crate::store::{Entry, Record};

#[derive(Deserialize)]
struct Line {
    seq: u64,
    at: Timestamp,
    epoch: u64,
    kind: String,
    version: u32,
    body: serde_json::Value,
}

fn fixture() -> Vec<Entry> {
    include_str!("../../../../tests/fixtures/journal/v1.jsonl")
        .lines()
        .map(|line| {
            let Line { seq, at, epoch, kind, version, body } = serde_json::from_str(line).unwrap();
            Entry { seq, at, epoch, kind, version, body: body.to_string() }
        })
        .collect()
}

#[test]
fn version_1_is_read_as_it_always_was() {
    let mut entries = fixture();
    let (events, finished) = read(&entries);
    let restored = &finished.restored;
    let mut text = format!("# What is shown\n\n{}\n", lines(&events));
    text.push_str("# What the session goes on from\n\n");
    let transcript = serde_json::to_string_pretty(&restored.transcript).unwrap();
    text.push_str(&format!("transcript {transcript}\n"));
    text.push_str(&format!("seen {:#?}\n", restored.seen));
    text.push_str(&format!("rules {:#?}\n", restored.rules));
    text.push_str(&format!("settings {:#?}\n", restored.settings));
    text.push_str(&format!("title {:#?}\n", restored.title));
    text.push_str(&format!("opened {:#?}\n", restored.opened));
    text.push_str(&format!("sums {:#?}\n", restored.sums));
    text.push_str(&format!("inbox {}\n", serde_json::to_string_pretty(&restored.inbox).unwrap()));
    text.push_str(&format!("reported {:?}\n", restored.reported));
    text.push_str(&format!("open cards {:?}\n", restored.open_cards));
    text.push_str(&format!("closed cards {:?}\n", restored.closed_cards));
    text.push_str(&format!("unshown {:?}\n\n", restored.unshown.keys()));
    text.push_str("# What is appended\n\n");
    for repair in &finished.repairs {
        text.push_str(&format!("{}\n", serde_json::to_string(repair).unwrap()));
    }
    expect_file!["../../../../tests/fixtures/journal/v1.restored.txt"].assert_eq(&text);

    entries.extend(finished.repairs.iter().map(super::entry));
    let (events_again, again) = read(&entries);
    assert_eq!((events_again, again.repairs), (events, Vec::new()));
    assert_eq!(again.restored, finished.restored);
}

#[test]
fn every_kind_is_in_the_fixture() {
    // serde names all kinds when it meets one that is none.
    let error = serde_json::from_str::<Record>(r#"{"?":{}}"#).unwrap_err().to_string();
    let kinds: BTreeSet<&str> = error.split('`').skip(3).step_by(2).collect();
    assert!(kinds.contains("opened") && kinds.contains("end"), "{error}");
    let entries = fixture();
    let read: BTreeSet<&str> =
        entries.iter().filter_map(Entry::record).map(|record| record.kind()).collect();
    assert_eq!(read, kinds);
    let unread: Vec<_> = entries
        .iter()
        .filter(|entry| entry.record().is_none())
        .map(|entry| (entry.kind.as_str(), entry.version))
        .collect();
    assert_eq!(unread, [("dream", 1), ("told", 2)]);
}

#[test]
fn what_is_written_today_is_what_was_written_then() {
    for entry in fixture() {
        let Some(record) = entry.record() else { continue };
        let then: serde_json::Value = serde_json::from_str(&entry.body).unwrap();
        assert_eq!(serde_json::to_value(&record).unwrap(), then, "record {}", entry.seq);
    }
}
