//! More tasks than run at once, and more than there may be.

use serde_json::json;

use super::{chat_with, row};

const ONE: &str = "delegation:\n  max_concurrent_children: 1\n";

#[test]
fn a_full_house_queues_and_places_move_up() {
    let (home, mut chat) = chat_with(ONE);
    let started = chat.outcome("all work a; work b; work c");
    let expected = json!([
        { "task_id": "t1", "state": "running" },
        { "task_id": "t2", "state": "queued", "place": 1 },
        { "task_id": "t3", "state": "queued", "place": 2 }
    ]);
    assert_eq!(started["tasks"], expected);
    assert_eq!(chat.until("t3", "queued")["status"], "pending");
    home.open_gate("a");
    chat.until("t1", "completed");
    chat.until("t2", "running");
    let expected =
        [row("t1", "completed", None), row("t2", "running", None), row("t3", "queued", Some(1))];
    assert_eq!(chat.list(), expected);
    // One that leaves the queue lets the others move up, too.
    chat.say("async work d");
    chat.say("cancel t3");
    assert_eq!(chat.list()[2..], [row("t3", "cancelled", None), row("t4", "queued", Some(1))]);
    chat.say("cancel t2");
    chat.until("t4", "running");
    home.open_gate("d");
    chat.until("t4", "completed");
}

#[test]
fn a_queue_that_is_full_refuses_all_or_none() {
    let (_home, mut chat) = chat_with(&format!("{ONE}  max_queued: 1\n"));
    let said = chat.say("all work a; work b; work c");
    assert!(said.starts_with("error:") && said.contains("`delegation.max_queued`"), "{said}");
    assert_eq!(chat.list(), []);
}

#[test]
fn a_prompt_leads_to_so_many_tasks_and_the_next_one_may_again() {
    let (_home, mut chat) = chat_with("tasks:\n  max_per_prompt: 2\n");
    let said = chat.say("all work a; work b; work c");
    assert!(said.starts_with("error:") && said.contains("`tasks.max_per_prompt`"), "{said}");
    chat.say("both work a; fail");
    assert_eq!(chat.list().len(), 2);
    chat.say("async work c");
    assert_eq!(chat.list().len(), 3);
}

#[test]
fn a_task_that_waits_for_its_own_tasks_holds_no_slot() {
    let (home, mut chat) = chat_with(&format!("{ONE}  max_spawn_depth: 3\n"));
    chat.say("async nest nest work a");
    home.open_gate("a");
    chat.until("t1", "completed");
    assert!(chat.say("/collect t1").contains("Ended a."));
}

#[test]
fn tasks_cannot_start_tasks_deeper_than_they_may() {
    let (_home, mut chat) = chat_with("");
    chat.say("async nest work a");
    chat.until("t1", "completed");
    // It has no such tool, or is refused; nothing runs below it.
    assert_eq!(chat.list(), [row("t1", "completed", None)]);
    assert!(!chat.say("/collect t1").contains("Ended a."));
}

#[test]
fn a_task_that_waits_for_the_user_gives_its_slot_to_the_next() {
    let (home, mut chat) = chat_with(ONE);
    chat.say("all write x.txt; work b; work c");
    chat.until("t1", "waiting");
    chat.until("t2", "running");
    // It takes a slot ahead of the queue.
    chat.say("/allow t1");
    home.open_gate("b");
    chat.until("t1", "completed");
    home.open_gate("c");
    chat.until("t3", "completed");
}
