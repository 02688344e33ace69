//! Something said to a task: before it runs, while it runs, and when it is too late.

use serde_json::json;

use super::{chat, chat_with};
use crate::support::home::Home;
use crate::support::tasks::Chat;

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

/// A task that makes a second request when it is let, and stays in that.
const TWO_STEPS: &str = r#"
    when prompt "go"
      call delegate_task_async {"goal": "two steps"}
    then
      say "Begun."
    when prompt "two steps"
      gate one
      call list {}
    then
      say "Never."
    when steer "look left"
      say "Heard that. "
      gate two
"#;

#[test]
fn what_a_task_has_not_seen_yet_is_told_until_it_has() {
    let home = Home::scripted(TWO_STEPS);
    let mut chat = Chat::new(&home);
    let unread = "1 message to it not seen yet";
    chat.say("go");
    chat.until("t1", "running");
    assert!(!chat.say("/check t1").contains("not seen"));
    assert!(chat.say("/steer t1 look left").contains("before its next request"));
    assert!(chat.say("/check t1").contains(unread));
    home.open_gate("one");
    // Of its last words it may still be writing one.
    let seen = |checked: &String| checked.contains("Heard");
    let checked = std::iter::repeat_with(|| chat.say("/check t1")).find(seen).unwrap();
    assert!(checked.contains("running") && !checked.contains("not seen"), "{checked}");
    home.open_gate("two");
    chat.until("t1", "completed");
}

#[test]
fn what_a_cancelled_task_did_not_see_is_told_with_its_end() {
    let (_home, mut chat) = chat();
    chat.say("async work a");
    chat.until("t1", "running");
    chat.say("steer t1 with more");
    assert_eq!(chat.outcome("cancel t1")["state"], "cancelled");
    let checked = chat.outcome("check t1");
    let error = checked["error"].as_str().unwrap_or_default();
    assert!(error.ends_with("enough; it did not see one message to it"), "{checked}");
    assert!(chat.say("/collect t1").contains("did not see one message"));
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
