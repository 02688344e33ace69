//! What becomes of tasks when something else ends: their provider's patience, their parent's turn, the
//! client's input.

use std::time::Duration;

use super::{chat, chat_with, row};
use crate::support::tasks::{Chat, content};

#[test]
fn a_provider_that_fails_a_task_fails_that_task_alone() {
    let (home, mut chat) = chat();
    chat.say("all fail; work b; work c");
    let card = chat.until("t1", "failed");
    assert!(content(&card).contains("there is no such thing"), "{card}");
    assert_eq!(chat.say("hello"), "You said hello.");
    assert!(chat.say("/collect t1").contains("Half of it."));
    for (gate, task) in [("b", "t2"), ("c", "t3")] {
        home.open_gate(gate);
        chat.until(task, "completed");
    }
}

#[test]
fn a_parent_that_is_cancelled_leaves_its_tasks_running() {
    let (home, mut chat) = chat();
    let turn = chat.prompt("hold never");
    chat.until_said("Holding never.");
    chat.say("/task work a");
    chat.until("t1", "running");
    chat.stop();
    assert_eq!(chat.answer(&turn).stop, "cancelled");
    assert_eq!(chat.list(), [row("t1", "running", None)]);
    home.open_gate("a");
    assert_eq!(chat.until("t1", "completed")["status"], "completed");
}

#[test]
fn a_limit_that_ends_a_task_is_named() {
    let (_home, mut chat) = chat_with("delegation:\n  max_iterations: 1\n");
    chat.set_mode("bypass");
    chat.say("async run true");
    let card = chat.until("t1", "failed");
    assert!(content(&card).contains("`delegation.max_iterations`"), "{card}");
}

#[test]
fn a_task_that_takes_too_long_is_ended_and_says_what_it_had() {
    let (_home, mut chat) = chat_with("delegation:\n  child_timeout_seconds: 1\n");
    chat.say("async work never");
    let card = chat.until("t1", "failed");
    assert!(content(&card).contains("`delegation.child_timeout_seconds`"), "{card}");
    assert!(chat.say("/collect t1").contains("Begun never."));
}

#[test]
fn at_the_end_of_input_tasks_stop_and_can_be_resumed() {
    let (home, mut chat) = chat();
    chat.say("async work a");
    chat.until("t1", "running");
    let session = chat.session.clone();
    chat.agent.close_stdin();
    chat.agent.exit(Duration::from_secs(10));
    drop(chat);
    let mut chat = Chat::load(&home, &session);
    assert_eq!(chat.list(), [row("t1", "interrupted", None)]);
    // It may have ended before its first request, which waits at the gate then.
    home.open_gate("a");
    chat.say("/resume all");
    chat.until("t1-2", "completed");
}

#[test]
fn a_session_that_is_opened_again_while_its_tasks_run_keeps_them() {
    let (home, mut chat) = chat();
    chat.say("async work a");
    chat.until("t1", "running");
    let params = crate::support::stored::params(&home, &chat.session);
    let loaded = chat.call("session/load", &params);
    assert!(loaded.get("error").is_none(), "{loaded}");
    assert_eq!(chat.list(), [row("t1", "running", None)]);
    home.open_gate("a");
    chat.until("t1", "completed");
}
