//! Tasks that are cancelled: one, all, with what is below them and with what they run.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{chat, chat_with, row};
use crate::support::home::Home;
use crate::support::process;

/// Within which a cancelled task is over, with everything that it ran.
const SOON: Duration = Duration::from_secs(2);

/// The process group of a command that writes it into `pid`.
fn group(home: &Home) -> u32 {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let text = fs::read_to_string(home.work().join("pid")).unwrap_or_default();
        if let Ok(group) = text.trim().parse() {
            return group;
        }
        assert!(Instant::now() < end, "the command did not start");
        thread::sleep(Duration::from_millis(5));
    }
}

const RUN: &str = "run echo $$ > pid; (sleep 100; true) & sleep 100";

#[test]
fn a_cancelled_task_is_over_at_once_and_says_what_it_had() {
    let (_home, mut chat) = chat();
    chat.say("async work a");
    chat.until("t1", "running");
    let begun = Instant::now();
    let cancelled = chat.outcome("cancel t1");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert_eq!(cancelled["state"], "cancelled");
    assert_eq!(chat.until("t1", "cancelled")["status"], "failed");
    // A final one stays as it is.
    assert_eq!(chat.outcome("cancel t1")["state"], "cancelled");
    assert!(chat.say("/cancel t1").contains("`t1`"));
    assert_eq!(chat.say("hello"), "You said hello.");
}

#[test]
fn a_cancel_that_names_no_task_beside_one_cancels_none() {
    let (_home, mut chat) = chat();
    chat.say("async work a");
    chat.until("t1", "running");
    assert!(chat.say("/cancel t1 t9").contains("no task `t9`"));
    assert_eq!(chat.list(), [row("t1", "running", None)]);
    let cancelled = chat.say("/cancel t1 t1 not needed");
    assert_eq!(cancelled.matches("`t1`").count(), 1, "{cancelled}");
    chat.until("t1", "cancelled");
}

#[test]
fn stop_cancels_every_task() {
    let (_home, mut chat) = chat_with("delegation:\n  max_concurrent_children: 2\n");
    chat.say("all work a; work b; work c");
    chat.say("/stop");
    for task in ["t1", "t2", "t3"] {
        chat.until(task, "cancelled");
    }
    let expected = ["t1", "t2", "t3"].map(|task| row(task, "cancelled", None));
    assert_eq!(chat.list(), expected);
}

#[test]
fn what_a_cancelled_task_runs_ends_with_it() {
    let (home, mut chat) = chat();
    chat.set_mode("bypass");
    chat.say(&format!("async {RUN}"));
    let group = group(&home);
    assert!(process::living(group) > 0);
    let begun = Instant::now();
    assert_eq!(chat.outcome("cancel t1")["state"], "cancelled");
    process::wait_for_end(group, SOON.saturating_sub(begun.elapsed()));
}

#[test]
fn what_is_below_a_cancelled_task_ends_with_it() {
    let (home, mut chat) = chat_with("delegation:\n  max_spawn_depth: 2\n");
    chat.set_mode("bypass");
    chat.say(&format!("async nest {RUN}"));
    let group = group(&home);
    let begun = Instant::now();
    assert_eq!(chat.outcome("cancel t1")["state"], "cancelled");
    process::wait_for_end(group, SOON.saturating_sub(begun.elapsed()));
    assert_eq!(chat.list(), [row("t1", "cancelled", None)]);
}

#[test]
fn a_cancelled_turn_takes_those_along_that_it_waits_for_and_no_others() {
    let (home, mut chat) = chat();
    chat.say("async work a");
    let turn = chat.prompt("sync work b");
    chat.until("t2", "running");
    chat.stop();
    assert_eq!(chat.answer(&turn).stop, "cancelled");
    chat.until("t2", "cancelled");
    assert_eq!(chat.list(), [row("t1", "running", None), row("t2", "cancelled", None)]);
    home.open_gate("a");
    assert_eq!(chat.until("t1", "completed")["status"], "completed");
}

#[test]
fn a_cancelled_collect_leaves_its_task_alone() {
    let (home, mut chat) = chat();
    chat.say("async work a");
    let turn = chat.prompt("collect t1");
    assert!(chat.say("/tasks").contains("`t1` running"));
    chat.stop();
    assert_eq!(chat.answer(&turn).stop, "cancelled");
    assert_eq!(chat.list(), [row("t1", "running", None)]);
    home.open_gate("a");
    chat.until("t1", "completed");
}

#[test]
fn a_closed_session_ends_its_tasks() {
    let (home, mut chat) = chat();
    chat.set_mode("bypass");
    chat.say(&format!("async {RUN}"));
    chat.say("async work a");
    let group = group(&home);
    let params = json!({ "sessionId": chat.session });
    let closed = chat.call("session/close", &params);
    assert!(closed.get("error").is_none(), "{closed}");
    process::wait_for_end(group, SOON);
    let params = crate::support::stored::params(&home, &chat.session);
    chat.call("session/load", &params);
    assert_eq!(chat.list(), ["t1", "t2"].map(|task| row(task, "cancelled", None)));
}
