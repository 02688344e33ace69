//! Waiting for tasks: for all, for any, for so long, and until the user speaks.

use serde_json::{Value, json};

use super::chat;

#[test]
fn to_collect_waits_and_gives_the_whole_report() {
    let (home, mut chat) = chat();
    chat.say("async work a");
    chat.until("t1", "running");
    let turn = chat.prompt("collect t1");
    // The turn waits: the task is still held.
    assert!(chat.say("/tasks").contains("`t1` running"));
    home.open_gate("a");
    let turn = chat.answer(&turn);
    let (_, outcome) = turn.text.split_once('{').unwrap();
    let outcome: Value = serde_json::from_str(&format!("{{{outcome}")).unwrap();
    let collected = &outcome["tasks"][0];
    assert_eq!((&collected["task_id"], &collected["state"]), (&json!("t1"), &json!("completed")));
    assert_eq!(collected["report"], "Begun a. Ended a.");
}

#[test]
fn the_first_that_ends_is_enough_if_any_will_do() {
    let (home, mut chat) = chat();
    chat.say("all work a; work b; work c");
    let turn = chat.prompt("any t1 t2");
    chat.until("t2", "running");
    home.open_gate("b");
    let turn = chat.answer(&turn);
    assert!(turn.text.contains("Ended b.") && !turn.text.contains("Ended a."), "{}", turn.text);
    assert!(turn.text.contains("t1 goes on"), "{}", turn.text);
}

#[test]
fn at_the_timeout_there_is_what_was_said_so_far_and_the_task_goes_on() {
    let (home, mut chat) = chat();
    chat.say("async work a");
    chat.until("t1", "running");
    let collected = chat.outcome("glance t1");
    assert_eq!(collected["tasks"][0]["state"], "running");
    assert!(collected["note"].as_str().unwrap().contains("the time is over"), "{collected}");
    home.open_gate("a");
    chat.until("t1", "completed");
}

#[test]
fn a_prompt_ends_the_wait_and_not_the_task() {
    let (home, mut chat) = chat();
    chat.say("async work a");
    chat.until("t1", "running");
    let waiting = chat.prompt("collect t1");
    assert!(chat.say("/tasks").contains("`t1` running"));
    let prompt = chat.prompt("hello");
    let turn = chat.answer(&waiting);
    assert_eq!(turn.stop, "end_turn");
    assert!(turn.text.contains("heard hello"), "{}", turn.text);
    assert!(turn.text.contains("the user has written to you"), "{}", turn.text);
    assert_eq!(chat.answer(&prompt).stop, "end_turn");
    home.open_gate("a");
    chat.until("t1", "completed");
}

#[test]
fn a_prompt_makes_background_tasks_of_those_that_are_waited_for() {
    let (home, mut chat) = chat();
    let waiting = chat.prompt("sync work a");
    chat.until("t1", "running");
    let prompt = chat.prompt("hello");
    let turn = chat.answer(&waiting);
    assert!(turn.text.contains("t1 goes on in the background"), "{}", turn.text);
    chat.answer(&prompt);
    assert_eq!(chat.state("t1").as_deref(), Some("running"));
    home.open_gate("a");
    chat.until("t1", "completed");
}

#[test]
fn unknown_tasks_are_named_with_what_to_do() {
    let (_home, mut chat) = chat();
    for prompt in ["collect t7", "check t7", "steer t7 with x", "cancel t7"] {
        let said = chat.say(prompt);
        assert!(said.contains("no task `t7`") && said.contains("`list_tasks`"), "{said}");
    }
}
