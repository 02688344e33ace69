//! The list, and what is done with whole sessions: fork, delete, rename, rebuild, sweep.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::support::{Home, mask, opened, prompt, session, told};
use crate::clock::Timestamp;
use crate::ids::{MessageId, PromptId, SessionId};
use crate::store::index::list_sql;
use crate::store::{Durability, Opened, Page, Query, Record, Reindexed, StoreError, TitleBy};
use crate::transcript::{Author, End, Over, Prompt};

fn ids(page: &Page) -> Vec<&str> {
    page.sessions.iter().map(|summary| summary.id.as_str()).collect()
}

async fn list(home: &Home, query: Query) -> Page {
    home.store.list(query).await.unwrap()
}

/// A session that was used at this minute.
async fn used(home: &Home, id: &str, cwd: &str) {
    home.hand.advance(Duration::from_mins(1));
    let mut journal = home.store.create(&session(id), opened(cwd), Arc::default());
    journal.append(prompt("hello"), Durability::Process);
    journal.flush().await;
}

#[tokio::test]
async fn sessions_with_something_in_them_are_listed() {
    let home = Home::new();
    assert_eq!(list(&home, Query::default()).await, Page { sessions: Vec::new(), next: None });
    used(&home, "used", "/a").await;
    home.create("empty").flush().await;
    let mut titled = home.create("titled by talaria");
    titled
        .append(Record::Title { title: "x".to_owned(), by: TitleBy::Talaria }, Durability::Process);
    titled.flush().await;
    drop(titled);
    let child = Opened { parent: Some(session("used")), ..opened("/a") };
    let mut child = home.store.create(&session("child"), child, Arc::default());
    child.append(prompt("do"), Durability::Process);
    child.flush().await;
    home.hand.advance(Duration::from_mins(1));
    let mut aside = home.store.create(&session("aside"), opened("/b/./"), Arc::default());
    let prompt = Prompt {
        id: PromptId(1),
        message: MessageId::new("m1"),
        content: Vec::new(),
        from: Author::User,
    };
    let answer = Record::Aside { prompt, message: MessageId::new("m2"), answer: "1".to_owned() };
    aside.append(answer, Durability::Process);
    aside.flush().await;
    assert_eq!(ids(&list(&home, Query::default()).await), ["aside", "used"]);
    home.store
        .set_title(&session("titled by talaria"), "my key-123456".to_owned(), mask(&["key-123456"]))
        .await
        .unwrap();
    let page = list(&home, Query::default()).await;
    assert_eq!(ids(&page), ["aside", "used", "titled by talaria"]);
    let title = page.sessions[2].title.as_deref().unwrap();
    assert!(title.starts_with("my ") && !title.contains("key-123456"), "{title}");
    let of = async |cwd: &str| {
        let query = Query { folders: vec![cwd.into()], ..Query::default() };
        ids(&list(&home, query).await).join(" ")
    };
    assert_eq!(of("/a").await, "used");
    assert_eq!(of("/b").await, "aside");
    assert_eq!(of("/").await, "");
}

#[tokio::test]
async fn a_summary_says_what_was_done() {
    let home = Home::new();
    let mut journal = home.create("a");
    let title = |title: &str, by| Record::Title { title: title.to_owned(), by };
    for (record, seconds) in [
        (prompt("one"), 1),
        (title("by talaria", TitleBy::Talaria), 1),
        (prompt("two"), 1),
        (told("x"), 10),
        (Record::End { over: Over::Ended { end: End::Finished } }, 1),
        (title("by the user", TitleBy::User), 1),
        (title("by talaria again", TitleBy::Talaria), 1),
    ] {
        home.hand.advance(Duration::from_secs(seconds));
        journal.append(record, Durability::Process);
    }
    journal.flush().await;
    let begin = super::support::BEGIN.0;
    let summary = home.store.summary(&session("a")).await.unwrap();
    assert_eq!((summary.prompts, summary.records), (2, 8));
    assert_eq!(summary.title.as_deref(), Some("by the user"));
    assert_eq!(summary.created, Timestamp(begin));
    assert_eq!(summary.updated, Timestamp(begin + 14_000));
    assert_eq!(summary.cwd, std::path::Path::new("/project"));
    assert_eq!(home.store.summary(&session("b")).await, Err(StoreError::Unknown(session("b"))));
}

#[tokio::test]
async fn what_talaria_asks_itself_is_no_prompt_of_the_list() {
    let home = Home::new();
    let follow_up = || {
        let Record::Prompt { prompt } = prompt("go on") else { unreachable!() };
        Record::Prompt { prompt: Prompt { from: Author::FollowUp, ..prompt } }
    };
    for (id, records) in [
        ("by itself", vec![follow_up(), Record::Shown { tasks: vec![1] }]),
        ("a", vec![prompt("one"), follow_up(), Record::Shown { tasks: vec![1] }]),
    ] {
        let mut journal = home.create(id);
        for record in records {
            home.hand.advance(Duration::from_secs(1));
            journal.append(record, Durability::Process);
        }
        journal.flush().await;
    }
    let page = list(&home, Query::default()).await;
    let listed: Vec<_> = page.sessions.iter().map(|one| (one.id.as_str(), one.prompts)).collect();
    assert_eq!(listed, [("a", 1)]);
    // Nobody used the session since the user's prompt.
    let used = page.sessions[0].updated;
    assert_eq!(used, Timestamp(super::support::BEGIN.0 + 3_000));
    home.store.reindex().await.unwrap();
    let page = list(&home, Query::default()).await;
    assert_eq!(
        (ids(&page), page.sessions[0].prompts, page.sessions[0].updated),
        (vec!["a"], 1, used)
    );
}

#[tokio::test]
async fn pages_are_stable_while_sessions_come_and_move() {
    let home = Home::new();
    for number in 0..250 {
        used(&home, &format!("s{number:03}"), "/a").await;
    }
    let mut seen: Vec<String> = Vec::new();
    let mut cursor = None;
    let mut round = 0;
    loop {
        let page = list(&home, Query { cursor, ..Query::default() }).await;
        seen.extend(ids(&page).into_iter().map(str::to_owned));
        // One that was seen, one that was not, and a new one.
        for id in ["s240".to_owned(), format!("s{:03}", 50 + round)] {
            home.hand.advance(Duration::from_secs(1));
            let mut claim = home.store.claim(&session(&id), Arc::default()).await.unwrap();
            claim.journal.append(prompt("again"), Durability::Process);
            claim.journal.flush().await;
        }
        used(&home, &format!("new{round}"), "/a").await;
        round += 1;
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(round, 3);
    let distinct: BTreeSet<_> = seen.iter().collect();
    assert_eq!(distinct.len(), seen.len(), "a session is there twice");
    for number in (0..250).filter(|number| !(50..53).contains(number)) {
        assert!(distinct.contains(&format!("s{number:03}")), "s{number:03} is missing");
    }
    let limited = list(&home, Query { limit: Some(2), ..Query::default() }).await;
    assert_eq!(ids(&limited), ["new2", "s052"]);
}

#[tokio::test]
async fn a_list_of_several_folders_has_one_order_and_pages() {
    let home = Home::new();
    for number in 0..20 {
        let folder = ["/link", "/real", "/other"][number % 3];
        used(&home, &format!("s{number:02}"), folder).await;
    }
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let folders = ["/real", "/link/", "/real/."].map(Into::into).to_vec();
        let page = list(&home, Query { folders, cursor, limit: Some(3) }).await;
        assert!(page.sessions.len() == 3 || page.next.is_none());
        seen.extend(ids(&page).into_iter().map(str::to_owned));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let wanted = (0..20).rev().filter(|number| number % 3 != 2);
    assert!(seen.iter().eq(&wanted.map(|number| format!("s{number:02}")).collect::<Vec<_>>()));
}

#[tokio::test]
async fn a_foreign_cursor_is_refused() {
    let home = Home::new();
    for cursor in ["", "x", "bm90IG91cnM", "czIgMTIgYQ", "czEgLTEgYQ", "czEgMTIg"] {
        let query = Query { cursor: Some(cursor.to_owned()), ..Query::default() };
        assert_eq!(home.store.list(query).await, Err(StoreError::Cursor), "{cursor}");
    }
}

#[tokio::test]
async fn a_long_list_is_read_from_its_index() {
    let home = Home::new();
    let fill = |database: &rusqlite::Transaction<'_>| {
        database.execute(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 10000)
             INSERT INTO sessions (id, cwd, named, created, updated, prompts, records, listed)
             SELECT printf('s%05d', n), printf('/f%d', n % 100), 0, n, n / 7, 1, 1, 1 FROM n",
            [],
        )
    };
    home.store.write(Durability::Process, fill).await.unwrap();
    let mut seen = BTreeSet::new();
    let mut cursor = None;
    loop {
        let page = list(&home, Query { cursor, ..Query::default() }).await;
        seen.extend(page.sessions.into_iter().map(|summary| summary.id.as_str().to_owned()));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 10_000);
    for by_folder in [false, true] {
        let plan = home.store.read(move |database| {
            let mut statement =
                database.prepare(&format!("EXPLAIN QUERY PLAN {}", list_sql(by_folder)))?;
            let cwd = by_folder.then_some("/f1");
            let lines = statement
                .query_map(rusqlite::params![1, "x", 100, cwd], |row| row.get::<_, String>(3))?;
            lines.collect::<Result<Vec<_>, _>>()
        });
        let plan = plan.await.unwrap().join("\n");
        assert!(plan.starts_with("SEARCH s USING INDEX sessions_by_"), "{plan}");
        assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{plan}");
    }
}

#[tokio::test]
async fn a_deleted_session_is_gone_from_the_disk() {
    let home = Home::new();
    let mut journal = home.create("a");
    let (short, long) = ("smallsecrettext", "largesecrettext ".repeat(5_000));
    journal.append(prompt(short), Durability::Process);
    journal.append(prompt(&long), Durability::Process);
    journal.append(
        Record::Title { title: "titlesecrettext".to_owned(), by: TitleBy::User },
        Durability::Process,
    );
    journal.flush().await;
    let is_on_disk = |text: &str| on_disk(home.path(), text);
    assert!(is_on_disk(short) && is_on_disk("largesecrettext"));
    let pid = std::process::id();
    assert_eq!(home.store.delete(&session("a")).await, Err(StoreError::InUse { pid }));
    drop(journal);
    home.store.delete(&session("a")).await.unwrap();
    home.store.delete(&session("a")).await.unwrap();
    home.store.owner().await.unwrap();
    for text in [short, "largesecrettext", "titlesecrettext"] {
        assert!(!is_on_disk(text), "{text}");
    }
    let unknown = home.store.entries(&session("a"), 0, 1).await;
    assert_eq!(unknown, Err(StoreError::Unknown(session("a"))));
}

pub(super) fn on_disk(folder: &std::path::Path, text: &str) -> bool {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let holds = |path: std::path::PathBuf| {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    files.filter(|path| path.is_file()).any(holds)
}

#[tokio::test]
async fn a_fork_is_a_copy_of_its_own() {
    let home = Home::new();
    let mut journal = home.create("a");
    let long = "long ".repeat(10_000);
    journal.append(prompt(&long), Durability::Process);
    home.hand.advance(Duration::from_secs(5));
    let (from, to) = (session("a"), session("b"));
    home.store.fork(&from, &to, opened("/elsewhere"), Arc::default()).await.unwrap();
    journal.append(told("later"), Durability::Process);
    journal.flush().await;
    drop(journal);
    home.store.delete(&from).await.unwrap();
    let last = Opened { forked_from: Some(from.clone()), ..opened("/elsewhere") };
    assert_eq!(
        home.records("b").await,
        [Record::Opened(opened("/project")), prompt(&long), Record::Opened(last)]
    );
    let claim = home.store.claim(&to, Arc::default()).await.unwrap();
    assert_eq!((claim.journal.epoch(), claim.journal.last()), (2, 3));
    let later = Timestamp(super::support::BEGIN.0 + 5_000);
    assert_eq!((claim.summary.created, claim.summary.updated), (later, later));
    assert_eq!(claim.summary.cwd, std::path::Path::new("/elsewhere"));
    let unknown = home.store.fork(&from, &session("c"), opened("/"), Arc::default()).await;
    assert_eq!(unknown, Err(StoreError::Unknown(from)));
}

#[tokio::test]
async fn old_empty_sessions_are_swept() {
    let home = Home::new();
    let day = Duration::from_hours(24);
    used(&home, "used", "/a").await;
    drop(home.create("old"));
    let child = Opened { parent: Some(session("used")), ..opened("/a") };
    drop(home.store.create(&session("child"), child, Arc::default()));
    let mut open = home.create("open");
    open.flush().await;
    home.hand.advance(day);
    home.create("young").flush().await;
    let other = home.beside();
    other.hand.advance(day * 7 + day / 2);
    other.store.owner().await.unwrap();
    // Behind the sweep.
    other.store.owner().await.unwrap();
    let left = async |id: &str| other.store.summary(&session(id)).await.is_ok();
    assert!(!left("old").await);
    for id in ["used", "child", "open", "young"] {
        assert!(left(id).await, "{id}");
    }
}

fn any_record() -> impl Strategy<Value = Record> {
    let text =
        prop_oneof!["[a-z]{0,9}", Just("long ".repeat(4_000)), Just("key-123456".to_owned())];
    (0_u8..7, text, any::<bool>()).prop_map(|(kind, text, flag)| match kind {
        0 | 1 => prompt(&text),
        2 => told(&text),
        3 => Record::Title { title: text, by: if flag { TitleBy::User } else { TitleBy::Talaria } },
        4 => Record::End { over: Over::Interrupted },
        5 => Record::Opened(Opened {
            forked_from: flag.then(|| session("x")),
            ..opened(&format!("/{text}"))
        }),
        _ => Record::Opened(Opened {
            parent: flag.then(|| session("x")),
            additional: if flag { vec![format!("/{text}").into()] } else { Vec::new() },
            ..opened(&format!("/{text}/"))
        }),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_rebuilt_index_is_the_same(
        sessions in prop::collection::vec(prop::collection::vec((any_record(), 0_u64..3), 0..12), 1..4)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let home = Home::new();
            let mut records = 0;
            for (number, session) in sessions.iter().enumerate() {
                let id = SessionId::new(format!("s{number}"));
                let mut journal = home.store.create(&id, opened("/a"), mask(&["key-123456"]));
                for (record, seconds) in session {
                    home.hand.advance(Duration::from_secs(*seconds));
                    journal.append(record.clone(), Durability::Process);
                }
                prop_assert_eq!(journal.flush().await.trouble, None);
                records += session.len() as u64 + 1;
            }
            let before = rows(&home).await;
            let wipe = |database: &rusqlite::Transaction<'_>| {
                database.execute("UPDATE sessions SET title = 'wrong', updated = 0, records = 99", [])
            };
            home.store.write(Durability::Process, wipe).await.unwrap();
            let found = home.store.reindex().await.unwrap();
            let sessions = sessions.len() as u64;
            prop_assert_eq!(found, Reindexed { sessions, records, unknown: 0 });
            prop_assert_eq!(rows(&home).await, before);
            Ok(())
        })?;
    }
}

/// The index as text.
async fn rows(home: &Home) -> Vec<String> {
    let rows = home.store.read(|database| {
        let mut statement = database.prepare(
            "SELECT json_array(id, cwd, additional, title, named, created, updated, prompts, records, parent, listed)
             FROM sessions ORDER BY id",
        )?;
        let rows = statement.query_map([], |row| row.get(0))?;
        rows.collect()
    });
    rows.await.unwrap()
}

#[tokio::test]
async fn a_rebuild_finds_what_the_index_lost() {
    let home = Home::new();
    used(&home, "a", "/a").await;
    let before = rows(&home).await;
    let lose = |database: &rusqlite::Transaction<'_>| {
        database.execute_batch(
            "DELETE FROM sessions; DELETE FROM leases;
             INSERT INTO sessions VALUES ('ghost', '/', NULL, NULL, 0, 1, 1, 1, 1, NULL, 1);
             INSERT INTO records VALUES ('a', 3, 1, 4, 'from the future', 9, '{}', NULL);",
        )
    };
    home.store.write(Durability::Process, lose).await.unwrap();
    let found = home.store.reindex().await.unwrap();
    assert_eq!(found, Reindexed { sessions: 1, records: 3, unknown: 1 });
    let after = rows(&home).await;
    assert_eq!(after, [before[0].replace(",1,2,null,1]", ",1,3,null,1]")]);
    let claim = home.store.claim(&session("a"), Arc::default()).await.unwrap();
    assert_eq!((claim.journal.epoch(), claim.journal.last()), (5, 3));
}
