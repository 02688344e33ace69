//! Something said to a task: before it runs, while it runs, and when it is too late.

use serde_json::json;

use super::{chat, chat_with};

#[test]
fn what_is_said_to_a_running_task_is_in_its_next_request() {
    let (home, mut chat) = chat();
    chat.say("async step a");
    chat.until("t1", "running");
    let steered = chat.outcome("steer t1 with hurry");
    assert_eq!(steered, json!({ "task_id": "t1", "receipt": "queued", "state": "running" }));
    assert!(chat.say("/steer t1 and be kind").contains("`t1`"));
    home.open_gate("a");
    chat.until("t1", "completed");
    let report = chat.say("/collect t1");
    assert!(report.contains("heard") && report.contains("be kind"), "{report}");
    assert!(!report.contains("Nobody said anything."), "{report}");
}

#[test]
fn what_is_said_to_a_queued_task_waits_for_it() {
    let (home, mut chat) = chat_with("delegation:\n  max_concurrent_children: 1\n");
    chat.say("async work a");
    chat.say("async step b");
    let steered = chat.outcome("steer t2 with hurry");
    assert_eq!((&steered["receipt"], &steered["state"]), (&json!("queued"), &json!("queued")));
    home.open_gate("a");
    home.open_gate("b");
    chat.until("t2", "completed");
    let report = chat.say("/collect t2");
    assert!(report.contains("hurry"), "{report}");
}

#[test]
fn what_is_said_to_a_finished_task_is_missed_and_starts_nothing() {
    let (home, mut chat) = chat();
    home.open_gate("a");
    chat.say("async work a");
    chat.until("t1", "completed");
    let steered = chat.outcome("steer t1 with hurry");
    assert_eq!(steered, json!({ "task_id": "t1", "receipt": "missed", "state": "completed" }));
    assert!(!chat.say("/collect t1").contains("hurry"));
    assert_eq!(chat.list().len(), 1);
}

#[test]
fn a_task_without_a_further_step_takes_one_for_what_was_said() {
    let (home, mut chat) = chat();
    chat.say("async work a");
    chat.until("t1", "running");
    chat.say("steer t1 with more");
    home.open_gate("a");
    chat.until("t1", "completed");
    let report = chat.say("/collect t1");
    assert!(report.contains("You said more."), "{report}");
}
