//! Tasks beside a chat: what the model, the user and the client have of them.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{chat, chat_with, row};
use crate::support::tasks::content;

/// Far more than a start takes, and far less than a task that is held.
const AT_ONCE: Duration = Duration::from_secs(5);

#[test]
fn to_delegate_answers_with_an_id_at_once_and_the_chat_stays_free() {
    let (home, mut chat) = chat();
    let begun = Instant::now();
    let started = chat.outcome("async work a");
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    assert_eq!(started, json!({ "tasks": [{ "task_id": "t1", "state": "running" }] }));
    assert_eq!(chat.say("hello"), "You said hello.");
    chat.until("t1", "running");
    assert_eq!(chat.say("hello again"), "You said hello again.");
    home.open_gate("a");
    chat.until("t1", "completed");
    assert_eq!(chat.say("and again"), "You said and again.");
}

#[test]
fn a_task_is_one_card_and_its_call_is_none() {
    let (home, mut chat) = chat();
    chat.say("async work a");
    let card = chat.until("t1", "running");
    assert_eq!(card["title"], "`t1` · work a");
    assert_eq!((&card["kind"], &card["status"]), (&json!("think"), &json!("in_progress")));
    assert_eq!(card["rawInput"], json!({ "task_id": "t1", "goal": "work a" }));
    home.open_gate("a");
    let card = chat.until("t1", "completed");
    assert_eq!(card["status"], "completed");
    assert!(content(&card).contains("Ended a."), "{card}");
    assert_eq!(chat.calls(), ["task-t1"]);
}

#[test]
fn a_call_that_fails_before_there_is_a_task_is_one_failed_call() {
    let (_home, mut chat) = chat();
    let said = chat.say("empty");
    let calls = chat.calls();
    assert_eq!(calls.len(), 1, "{said}");
    assert_eq!(chat.card(&calls[0]).unwrap()["status"], "failed");
    assert_eq!(chat.list(), []);
}

#[test]
fn to_check_is_not_to_wait_and_shows_what_was_said_last() {
    let (home, mut chat) = chat();
    chat.say("async work a");
    chat.until("t1", "running");
    let begun = Instant::now();
    let mut checked = chat.outcome("check t1");
    // Its first words may still be on their way.
    while !checked["lines"][0].as_str().is_some_and(|line| line.starts_with("Begun")) {
        assert!(begun.elapsed() < AT_ONCE, "{checked}");
        checked = chat.outcome("check t1");
    }
    assert_eq!((&checked["state"], &checked["goal"]), (&json!("running"), &json!("work a")));
    assert!(chat.say("/check t1").contains("Begun"));
    home.open_gate("a");
    chat.until("t1", "completed");
    let checked = chat.outcome("check t1");
    assert_eq!((&checked["state"], &checked["steps"]), (&json!("completed"), &json!(1)));
    assert_eq!(checked["tokens"], 110);
}

#[test]
fn three_tasks_end_in_three_ways_and_the_list_has_all_of_them() {
    let (home, mut chat) = chat();
    chat.say("all work a; fail; work never");
    home.open_gate("a");
    chat.until("t1", "completed");
    let failed = chat.until("t2", "failed");
    assert_eq!(failed["status"], "failed");
    assert!(content(&failed).contains("there is no such thing"), "{failed}");
    chat.say("cancel t3");
    assert_eq!(chat.until("t3", "cancelled")["status"], "failed");
    let expected =
        [row("t1", "completed", None), row("t2", "failed", None), row("t3", "cancelled", None)];
    assert_eq!(chat.list(), expected);
    let shown = chat.say("/tasks");
    for (task, state) in [("t1", "completed"), ("t2", "failed"), ("t3", "cancelled")] {
        assert!(shown.contains(&format!("`{task}` {state}")), "{shown}");
    }
    assert!(chat.say("/tasks failed").contains("`t2`"));
}

#[test]
fn a_task_that_is_waited_for_and_one_that_is_not_run_side_by_side() {
    let (home, mut chat) = chat();
    let turn = chat.prompt("both work a; work b");
    chat.until("t1", "running");
    chat.until("t2", "running");
    home.open_gate("b");
    let turn = chat.answer(&turn);
    assert!(turn.text.contains("Ended b."), "{}", turn.text);
    assert_eq!(chat.state("t1").as_deref(), Some("running"));
    home.open_gate("a");
    chat.until("t1", "completed");
}

#[test]
fn a_user_starts_a_task_without_the_model() {
    let (home, mut chat) = chat();
    assert!(chat.say("/task work a").contains("`t1` is running"));
    home.open_gate("a");
    chat.until("t1", "completed");
    assert!(chat.say("/collect t1").contains("Ended a."));
    assert!(chat.say("/check t9").contains("no task `t9`"));
}

#[test]
fn commands_about_tasks_run_while_a_turn_runs() {
    let (home, mut chat) = chat();
    let turn = chat.prompt("hold go");
    chat.until_said("Holding go.");
    assert!(chat.say("/task work a").contains("`t1` is running"));
    assert!(chat.say("/tasks").contains("`t1` running"));
    assert!(chat.say("/stop").contains("`t1`"));
    chat.until("t1", "cancelled");
    home.open_gate("go");
    assert!(chat.answer(&turn).text.ends_with(" Held go."));
}

#[test]
fn without_a_store_tasks_are_the_same() {
    let (home, mut chat) = chat_with("store:\n  enabled: false\n");
    chat.say("async work a");
    chat.until("t1", "running");
    assert_eq!(chat.outcome("steer t1 with quick")["receipt"], "queued");
    home.open_gate("a");
    chat.until("t1", "completed");
    assert!(chat.say("/collect t1").contains("You said quick."));
}
