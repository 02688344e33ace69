//! What is written of a record: nothing secret, long strings once and beside it, all of it readable.

use serde_json::json;

use super::lists::on_disk;
use super::support::{Home, mask, opened, prompt, session, told};
use crate::event::CallUpdate;
use crate::ids::CallId;
use crate::store::{Durability, Entry, Record};
use crate::transcript::{Call, Outcome, Reply};

#[tokio::test]
async fn long_strings_are_kept_once_and_put_back() {
    let home = Home::new();
    let mut journal = home.create("a");
    let long = "a \"quoted\" line\n".repeat(4_000);
    let mut shown = CallUpdate::new(CallId::new("c1"));
    shown.input = Some(json!({
        "a/b~c": [long, { "$ref": "/x", "refs": [["/a", "b"]] }, "short"],
        "same": long,
        "other": "x".repeat(20_000),
    }));
    let records = [
        prompt(&long),
        Record::Outcome {
            call: CallId::new("c1"),
            outcome: Outcome::failed(long.clone()),
            shown,
            gave: Vec::new(),
        },
        told(&"y".repeat(16 * 1024)),
    ];
    for record in &records {
        journal.append(record.clone(), Durability::Process);
    }
    journal.flush().await;
    assert_eq!(home.records("a").await[1..], records);
    let counts = home.store.read(|database| {
        database.query_row(
            "SELECT (SELECT count(*) FROM blobs), (SELECT max(length(body)) FROM records)",
            [],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
        )
    });
    let (blobs, longest) = counts.await.unwrap();
    // The last is not longer than what is kept in place.
    assert_eq!(blobs, 2);
    assert!(longest < 17_000, "{longest}");
}

#[tokio::test]
async fn no_key_reaches_the_disk() {
    let home = Home::new();
    let keys = ["sk-live-0123456789", "with \"quotes\"\\and\n\tmore", "schlüssel-ß-0123"];
    let open = opened(&format!("/home/{}", keys[0]));
    let mut journal = home.store.create(&session("a"), open, mask(&keys));
    for key in keys {
        journal.append(prompt(&format!("the key is {key}.")), Durability::Process);
        let long = format!("{} {key} {}", "before ".repeat(5_000), "after ".repeat(5_000));
        journal.append(prompt(&long), Durability::Process);
        let mut shown = CallUpdate::new(CallId::new("c1"));
        shown.input = Some(json!({ key: { "deep": [key, 1, null, true] } }));
        journal.append(Record::Call { shown }, Durability::Process);
        journal.append(
            Record::Title { title: key.to_owned(), by: crate::store::TitleBy::User },
            Durability::Process,
        );
    }
    assert_eq!(journal.flush().await.trouble, None);
    let records = home.records("a").await;
    assert_eq!(records[1], prompt("the key is (key)."));
    assert_eq!(records.len(), 13);
    for key in keys {
        let escaped = serde_json::to_string(key).unwrap();
        assert!(!on_disk(home.path(), key), "{key}");
        assert!(!on_disk(home.path(), escaped.trim_matches('"')), "{key}");
    }
    // In the database itself, too, not only in its log.
    drop(journal);
    let folder = home.end();
    assert!(!on_disk(folder.path(), keys[0]));
    assert!(on_disk(folder.path(), "the key is (key)."));
}

#[tokio::test]
async fn a_key_that_is_a_word_of_ours_breaks_no_record() {
    let home = Home::new();
    let mut journal = home.store.create(
        &session("a"),
        opened("/"),
        mask(&["prompt", "not_delivered", "content"]),
    );
    journal.append(prompt("not_delivered is long enough"), Durability::Process);
    journal.flush().await;
    let last = home.entries("a").await.remove(1);
    assert_eq!(last.kind, "prompt");
    assert_eq!(last.record(), Some(prompt("(key) is long enough")));
    // A key that looks like one of our words is none of them everywhere.
    let mut journal = home.store.create(&session("b"), opened("/"), mask(&["lowercasekey"]));
    journal.append(prompt("lowercasekey"), Durability::Process);
    journal.flush().await;
    assert_eq!(home.records("b").await[1], prompt("(key)"));
}

#[tokio::test]
#[cfg(unix)]
async fn what_is_no_text_leaves_no_gap() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let home = Home::new();
    let mut journal = home.create("a");
    let path = std::path::PathBuf::from(OsStr::from_bytes(b"/\xff"));
    let known = crate::known::Known::whole("x");
    journal.append(Record::Saw { files: vec![(path, known)] }, Durability::Process);
    journal.append(told("x"), Durability::Process);
    assert_eq!(journal.flush().await.trouble, None);
    let records: Vec<_> = home.entries("a").await.iter().map(Entry::record).collect();
    assert_eq!(records, [Some(Record::Opened(opened("/project"))), None, Some(told("x"))]);
}

/// `value` inside of so many arrays and objects, by turns.
fn nested(levels: usize, value: serde_json::Value) -> serde_json::Value {
    (0..levels).fold(value, |value, level| {
        if level % 2 == 0 { json!([value]) } else { json!({ "[\"{\\": value }) }
    })
}

#[tokio::test]
async fn every_record_can_be_read_however_deep_it_is() {
    let home = Home::new();
    let mut journal = home.store.create(&session("a"), opened("/"), mask(&["key-123456"]));
    let texts = ["short".to_owned(), "key-123456".to_owned(), "long ".repeat(5_000)];
    for levels in [60, 90, 96, 100, 101, 120, 126, 127, 128, 200, 1_000] {
        for text in &texts {
            let deep = nested(levels, json!(text));
            let call = Call {
                id: CallId::new("c1"),
                tool: "mcp".to_owned(),
                input: deep.clone(),
                signatures: Vec::new(),
            };
            let reply = Reply { calls: vec![call], ..Reply::default() };
            journal.append(Record::Reply { reply, spent: None }, Durability::Process);
            let mut shown = CallUpdate::new(CallId::new("c1"));
            shown.input = Some(deep.clone());
            shown.output = Some(deep);
            journal.append(Record::Call { shown }, Durability::Process);
        }
    }
    assert_eq!(journal.flush().await.trouble, None);
    for entry in home.entries("a").await {
        let record = entry.record().unwrap();
        assert_eq!((record.kind(), entry.kind.as_str()), (entry.kind.as_str(), record.kind()));
        if let Record::Reply { reply, .. } = record {
            assert_eq!((reply.calls.len(), reply.calls[0].tool.as_str()), (1, "mcp"));
        }
    }
    // What is not too deep is kept as it is.
    let records = home.records("a").await;
    let Record::Reply { reply, .. } = &records[1] else { panic!("{:?}", records[1]) };
    assert_eq!(reply.calls[0].input, nested(60, json!("short")));
}

#[tokio::test]
async fn a_defect_costs_its_record_alone() {
    let home = Home::new();
    let (mut bad, mut good) = (home.create("a defect"), home.create("good"));
    for journal in [&mut bad, &mut good] {
        journal.append(told("x"), Durability::Process);
        assert_eq!(journal.flush().await.trouble, None);
    }
    let kinds: Vec<_> = home.entries("a defect").await.into_iter().map(|one| one.kind).collect();
    assert_eq!(kinds, ["unwritable", "unwritable"]);
    assert_eq!(home.records("good").await[1..], [told("x")]);
}
