//! Sessions of tasks: never in a list, found by their id, and gone with the session whose tasks they did.

use std::time::Duration;

use super::support::{Home, opened, prompt, session};
use crate::store::remains::Slice;
use crate::store::shared::Tuning;
use crate::store::sweep::{EMPTY_ONES, GONE_PARENTS};
use crate::store::{Durability, Opened, Query, Reindexed, StoreError};

/// A session with one long prompt, which does a task of `parent`.
async fn create(home: &Home, id: &str, parent: Option<&str>) {
    let opened = Opened { parent: parent.map(session), ..opened("/a") };
    let mut journal = home.store.create(&session(id), opened, std::sync::Arc::default());
    journal.append(prompt(&format!("long {id} ").repeat(4_000)), Durability::Process);
    assert_eq!(journal.flush().await.trouble, None);
}

/// `a` with two tasks, one of which has two of its own; and `b` with one.
async fn family(home: &Home) {
    for (id, parent) in [
        ("a", None),
        ("a1", Some("a")),
        ("a2", Some("a")),
        ("a2x", Some("a2")),
        ("a2y", Some("a2")),
        ("b", None),
        ("b1", Some("b")),
    ] {
        create(home, id, parent).await;
    }
}

/// The sessions of which anything is left, and the parent that the index has of each.
async fn left(home: &Home) -> Vec<String> {
    let left = home.store.read(|database| {
        let mut statement = database.prepare(
            "SELECT DISTINCT id || coalesce(' of ' || parent, '') FROM (
                 SELECT id FROM sessions UNION SELECT session FROM leases
                 UNION SELECT session FROM records UNION SELECT session FROM blobs
             ) LEFT JOIN sessions USING (id) ORDER BY id",
        )?;
        let rows = statement.query_map([], |row| row.get(0))?;
        rows.collect()
    });
    left.await.unwrap()
}

#[tokio::test]
async fn sessions_of_tasks_are_found_by_their_id_alone() {
    let home = Home::new();
    family(&home).await;
    let page = home.store.list(Query::default()).await.unwrap();
    let ids: Vec<_> = page.sessions.iter().map(|summary| summary.id.as_str()).collect();
    assert_eq!(ids, ["b", "a"]);
    assert_eq!(home.store.summary(&session("a2x")).await.unwrap().prompts, 1);
    assert_eq!(home.records("a2x").await.len(), 2);
}

#[tokio::test]
async fn sessions_of_tasks_go_with_the_session_whose_tasks_they_did() {
    // As much as one transaction can remove, and as little.
    for slice in [Slice::default(), Slice { rows: 1, bytes: u64::MAX }] {
        let home = Home::tuned(Tuning { slice, ..Tuning::default() });
        family(&home).await;
        home.store.delete(&session("a")).await.unwrap();
        assert_eq!(left(&home).await, ["b", "b1 of b"]);
        let gone = home.store.summary(&session("a2x")).await.unwrap_err();
        assert_eq!(gone, StoreError::Unknown(session("a2x")));
        // One of a task goes alone.
        home.store.delete(&session("b1")).await.unwrap();
        assert_eq!(left(&home).await, ["b"]);
    }
}

#[tokio::test]
async fn a_task_that_has_its_session_open_does_not_keep_it_from_going() {
    let home = Home::new();
    create(&home, "a", None).await;
    let opened = Opened { parent: Some(session("a")), ..opened("/a") };
    let mut journal = home.store.create(&session("a1"), opened, std::sync::Arc::default());
    assert_eq!(journal.flush().await.trouble, None);
    home.store.delete(&session("a")).await.unwrap();
    journal.append(prompt("late"), Durability::Process);
    assert!(journal.flush().await.trouble.is_some());
    assert!(left(&home).await.is_empty());
}

#[tokio::test]
async fn a_deletion_that_was_cut_off_goes_on_with_the_next_process() {
    let home = Home::new();
    family(&home).await;
    let half = |sql: &rusqlite::Transaction<'_>| crate::store::sessions::remove(sql, &session("a"));
    home.store.write(Durability::Process, half).await.unwrap();
    assert_eq!(left(&home).await.len(), 7);
    let other = home.beside();
    other.store.owner().await.unwrap();
    // Each is behind one slice at least: of `a`, of its two, and of the two below.
    for _ in 0..6 {
        other.store.write(Durability::Process, |_| Ok(())).await.unwrap();
    }
    assert_eq!(left(&other).await, ["b", "b1 of b"]);
}

#[tokio::test]
async fn a_rebuild_knows_whose_tasks_they_did() {
    let home = Home::new();
    family(&home).await;
    home.store
        .fork(&session("a1"), &session("f"), opened("/a"), std::sync::Arc::default())
        .await
        .unwrap();
    let continued = Opened { parent: Some(session("b")), ..opened("/a") };
    home.store
        .fork(&session("a1"), &session("b2"), continued, std::sync::Arc::default())
        .await
        .unwrap();
    let before = left(&home).await;
    let expected =
        ["a", "a1 of a", "a2 of a", "a2x of a2", "a2y of a2", "b", "b1 of b", "b2 of b", "f"];
    assert_eq!(before, expected);
    let lose = |sql: &rusqlite::Transaction<'_>| sql.execute("DELETE FROM sessions", []);
    home.store.write(Durability::Process, lose).await.unwrap();
    let found = home.store.reindex().await.unwrap();
    assert_eq!(found, Reindexed { sessions: 9, records: 20, unknown: 0 });
    assert_eq!(left(&home).await, before);
}

#[tokio::test]
async fn sessions_whose_parent_is_gone_are_swept_when_they_are_old() {
    let home = Home::new();
    let day = Duration::from_hours(24);
    create(&home, "b", None).await;
    create(&home, "b1", Some("b")).await;
    create(&home, "old", Some("gone")).await;
    create(&home, "old below", Some("old")).await;
    home.hand.advance(day);
    create(&home, "young", Some("gone, too")).await;
    let other = home.beside();
    other.hand.advance(day * 7 + day / 2);
    other.store.owner().await.unwrap();
    for _ in 0..4 {
        other.store.write(Durability::Process, |_| Ok(())).await.unwrap();
    }
    assert_eq!(left(&other).await, ["b", "b1 of b", "young of gone, too"]);
}

#[tokio::test]
async fn nothing_walks_over_the_sessions_of_tasks() {
    let home = Home::new();
    for (query, index) in [
        (EMPTY_ONES, "sessions_empty"),
        (GONE_PARENTS, "sessions_by_parent"),
        ("SELECT id FROM sessions WHERE parent = ?1 LIMIT ?2", "sessions_by_parent"),
    ] {
        let plan = home.store.read(move |database| {
            let mut statement = database.prepare(&format!("EXPLAIN QUERY PLAN {query}"))?;
            let steps = statement.query_map(rusqlite::params![0, 0], |row| row.get(3))?;
            steps.collect::<rusqlite::Result<Vec<String>>>()
        });
        let plan = plan.await.unwrap();
        let tables: Vec<_> = plan.iter().filter(|step| step.contains("sessions")).collect();
        assert!(!tables.is_empty(), "{query}");
        for step in tables {
            assert!(step.starts_with("SEARCH") && step.contains(index), "{query}: {plan:?}");
        }
    }
}
