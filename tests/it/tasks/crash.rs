//! A process that is killed while tasks run, and the next one.

use serde_json::{Value, json};

use super::{chat, chat_with, row};
use crate::support::home::Home;
use crate::support::tasks::{Chat, content};

/// A task that has ended, one that runs and one that is queued; then the process is killed.
fn killed(config: &str) -> (Home, String) {
    let config = format!("delegation:\n  max_concurrent_children: 1\n{config}");
    let (home, mut chat) = chat_with(&config);
    home.open_gate("a");
    chat.say("async work a");
    chat.until("t1", "completed");
    chat.say("async work b");
    chat.until("t2", "running");
    chat.say("steer t2 with remember");
    chat.say("async work c");
    let session = chat.kill();
    // A task that was killed before its first request makes it once it goes on.
    home.open_gate("b");
    (home, session)
}

#[test]
fn after_a_kill_tasks_are_interrupted_and_go_on_when_the_user_says_so() {
    let (home, session) = killed("");
    let mut chat = Chat::load(&home, &session);
    let card = chat.until("t2", "interrupted");
    assert_eq!(card["status"], "failed");
    assert!(content(&card).contains("`/resume t2`"), "{card}");
    assert_eq!(chat.state("t1").as_deref(), Some("completed"));
    assert_eq!(chat.list()[..2], [row("t1", "completed", None), row("t2", "interrupted", None)]);
    home.open_gate("c");
    assert!(chat.say("/resume t2").contains("`t2`"));
    let card = chat.until("t2-2", "completed");
    assert_eq!(card["title"], "`t2` · work b");
    // What was sent to it and not read is not lost, and its own words of before are known.
    let report = chat.say("/collect t2");
    assert!(report.contains("remember"), "{report}");
    assert!(chat.say("/resume t1").contains("only an interrupted task can be resumed"));
}

#[test]
fn after_a_kill_tasks_go_on_by_themselves_where_the_configuration_says_so() {
    let (home, session) = killed("  resume: auto\n");
    let mut chat = Chat::load(&home, &session);
    home.open_gate("c");
    chat.until("t2-2", "completed");
    let all_over = |chat: &Chat| {
        let ended = |name: &str| chat.state(name).as_deref() == Some("completed");
        (ended("t3") || ended("t3-2")).then_some(())
    };
    chat.wait("the queued task's end", all_over);
}

/// A task that wrote a file and goes on, when the process is killed and another one has the session.
fn killed_at_work() -> (Home, Chat) {
    let (home, mut chat) = chat_with("permissions:\n  mode: bypass\n");
    chat.say("async fix x.txt go");
    chat.wait("the file", |chat| {
        let card = chat.card("task-t1")?;
        content(&card).contains("1 step · 1 call").then_some(())
    });
    // What is shown is kept a moment later.
    assert!(chat.say("/check t1").contains("1 call"));
    let session = chat.kill();
    let chat = Chat::load(&home, &session);
    (home, chat)
}

#[test]
fn what_an_interrupted_task_had_done_is_known_and_reported_when_it_is_cancelled() {
    let (_home, mut chat) = killed_at_work();
    let checked: Value = chat.outcome("check t1");
    assert_eq!((&checked["calls"], &checked["steps"]), (&json!(1), &json!(1)), "{checked}");
    assert_eq!(checked["lines"], json!(["I begin with x.txt."]));
    let collected = chat.say("/collect t1");
    for part in ["`/resume t1`", "So far:\n\nI begin with x.txt.", "x.txt"] {
        assert!(collected.contains(part), "{part}: {collected}");
    }
    let steered = chat.say("/steer t1 look at y");
    assert!(steered.contains("when `/resume t1` lets it go on"), "{steered}");
    assert!(chat.say("/cancel t1").contains("`t1` is cancelled"));
    // The model is told of it with the next prompt.
    let given = chat.say("given");
    assert!(given.contains("What it had said last:\n\nI begin with x.txt."), "{given}");
    assert!(given.contains("files written: "), "{given}");
    assert!(chat.say("/collect t1").contains("\n\nI begin with x.txt."));
}

#[test]
fn the_report_of_a_task_that_went_on_tells_of_all_that_it_did() {
    let (home, mut chat) = killed_at_work();
    home.open_gate("go");
    chat.say("/resume t1");
    chat.until("t1-2", "completed");
    let collected: Value = chat.outcome("collect t1");
    let files = collected["tasks"][0]["files_written"].as_array().unwrap();
    assert_eq!(files.len(), 1, "{collected}");
    let checked: Value = chat.outcome("check t1");
    assert_eq!((&checked["calls"], &checked["steps"]), (&json!(1), &json!(2)), "{checked}");
}

#[test]
fn a_card_that_was_not_written_before_the_kill_is_shown_by_the_next_process() {
    let (home, mut chat) = chat();
    chat.say("async work a");
    chat.until("t1", "running");
    let session = chat.kill();
    // A kill between the task and its card: the journal ends before that.
    let database = rusqlite::Connection::open(home.state().join("talaria.db")).unwrap();
    let cut = "DELETE FROM records WHERE session = ?1 AND seq >=
               (SELECT min(seq) FROM records WHERE session = ?1 AND kind = 'card')";
    assert!(database.execute(cut, [&session]).unwrap() > 0);
    drop(database);
    let mut chat = Chat::load(&home, &session);
    let card = chat.until("t1", "interrupted");
    assert_eq!((&card["title"], &card["status"]), (&"`t1` · work a".into(), &"failed".into()));
    home.open_gate("a");
    assert!(chat.say("/resume t1").contains("`t1`"));
    chat.until("t1-2", "completed");
    // The next one knows that it was shown.
    let session = chat.kill();
    let chat = Chat::load(&home, &session);
    assert_eq!(chat.state("t1").as_deref(), Some("interrupted"));
    assert_eq!(chat.state("t1-2").as_deref(), Some("completed"));
}

#[test]
fn a_report_that_nobody_was_given_survives_the_kill() {
    let (home, mut chat) = chat();
    home.open_gate("a");
    chat.say("async work a");
    chat.until("t1", "completed");
    let session = chat.kill();
    let mut chat = Chat::load(&home, &session);
    assert!(chat.say("/collect t1").contains("Ended a."));
    let collected: Value = chat.outcome("collect t1");
    assert_eq!(collected["tasks"][0]["report"], "Begun a. Ended a.");
}
