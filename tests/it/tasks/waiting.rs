//! `delegate_task`: tasks that a turn waits for.

use serde_json::{Value, json};

use super::requests::is_of;
use super::row;
use super::told::{GOAL, body, calls, of_parent, reporting, scripted, told};
use crate::support::provider::Gate;
use crate::support::served::{Dialect, Served};
use crate::support::tasks::Chat;

const BATCH: &str = r#"
    when prompt "batch *; *; *"
      call delegate_task {"tasks": [{"goal": "${1}"}, {"goal": "${2}"}, {"goal": "${3}"}]}
    then
      say "${outcome}"
"#;

#[test]
fn reports_come_in_the_order_of_the_call_and_tasks_run_side_by_side() {
    let (home, mut chat) = scripted(BATCH, "");
    let turn = chat.prompt("batch work a; work b; work c");
    for task in ["t1", "t2", "t3"] {
        chat.until(task, "running");
    }
    for (gate, task) in [("c", "t3"), ("b", "t2"), ("a", "t1")] {
        assert_eq!(chat.state(task).as_deref(), Some("running"));
        home.open_gate(gate);
        chat.until(task, "completed");
    }
    let said: Value = serde_json::from_str(&chat.answer(&turn).text).unwrap();
    for (at, gate) in ["a", "b", "c"].iter().enumerate() {
        assert_eq!(said["tasks"][at]["task_id"], format!("t{}", at + 1));
        assert_eq!(said["tasks"][at]["report"], format!("Begun {gate}. Ended {gate}."));
    }
}

#[test]
fn one_that_fails_is_told_beside_those_that_do_not() {
    let (home, mut chat) = scripted(BATCH, "");
    home.open_gate("a");
    home.open_gate("c");
    let said = chat.outcome("batch work a; fail; work c");
    let states: Vec<&Value> = (0..3).map(|at| &said["tasks"][at]["state"]).collect();
    assert_eq!(states, ["completed", "failed", "completed"]);
    assert!(said["tasks"][1]["error"].as_str().unwrap().contains("there is no such thing"));
    assert_eq!(said["tasks"][1]["report"], "Half of it.");
}

#[test]
fn more_than_run_at_once_are_waited_for_too() {
    let (home, mut chat) = scripted(BATCH, "delegation:\n  max_concurrent_children: 1\n");
    for gate in ["a", "b", "c"] {
        home.open_gate(gate);
    }
    let said = chat.outcome("batch work a; work b; work c");
    let reports: Vec<&Value> = (0..3).map(|at| &said["tasks"][at]["report"]).collect();
    assert_eq!(reports, ["Begun a. Ended a.", "Begun b. Ended b.", "Begun c. Ended c."]);
}

#[test]
fn what_was_waited_for_is_not_given_again() {
    for dialect in Dialect::BOTH {
        let served = reporting(dialect, "CHILD REPORT");
        let mut chat = Chat::of(served.agent(), &served.home);
        let said = told(&served, &mut chat, "delegate_task", &json!({ "goal": GOAL }));
        assert!(said.contains("CHILD REPORT"), "{said}");
        for _ in 0..2 {
            served.says("Later.");
            chat.say("PARENT again");
        }
        for request in &of_parent(&served)[1..] {
            assert_eq!(body(request).matches("CHILD REPORT").count(), 1);
            assert!(!body(request).contains("<task_report"));
        }
    }
}

#[test]
fn a_prompt_ends_the_wait_and_the_report_comes_later_by_itself() {
    for dialect in Dialect::BOTH {
        let served = Served::new(dialect);
        let gate = Gate::new();
        let report = served.reply().text("PARTIAL ").gate(&gate).text("CHILD REPORT");
        served.provider.rule(is_of(GOAL), report);
        calls(&served, "delegate_task", &json!({ "goal": GOAL }));
        served.says("Later.");
        served.says("Much later.");
        let mut chat = Chat::of(served.agent(), &served.home);
        let waiting = chat.prompt("PARENT");
        served.wait(gate.reached());
        chat.until("t1", "running");
        let word = chat.prompt("PARENT SPEAKS");
        assert_eq!(chat.answer(&waiting).stop, "end_turn");
        chat.answer(&word);
        let parent = of_parent(&served);
        let outcome = body(parent.last().unwrap());
        assert!(outcome.contains("t1 goes on in the background"), "{outcome}");
        assert!(outcome.contains("PARENT SPEAKS"), "{outcome}");
        assert_eq!(chat.state("t1").as_deref(), Some("running"));
        gate.open();
        chat.until("t1", "completed");
        for _ in 0..2 {
            chat.say("PARENT again");
            let last = body(of_parent(&served).last().unwrap());
            assert_eq!(last.matches("CHILD REPORT").count(), 1, "{last}");
        }
    }
}

/// A turn that has a task, and waits for it when its gate is open.
const COLLECTS: &str = r#"
    when prompt "collects *"
      call delegate_task_async {"goal": "${1}"}
    then
      say "Begun."
      gate collect
      call collect_task {"task_ids": ["t1"]}
    then
      say "${outcome}"
      call collect_task {"task_ids": ["t1"]}
    then
      say "Over."
"#;

#[test]
fn a_prompt_that_comes_after_the_turn_ends_its_waits_as_well() {
    let note = "the user's next message waits for this turn to end, so the wait ended; t1 goes on in the background";
    let config = "session:\n  busy: queue\n";
    let (home, mut chat) = scripted(BATCH, config);
    let waiting = chat.prompt("batch work a; work b; work c");
    home.open_gate("b");
    home.open_gate("c");
    chat.until("t2", "completed");
    chat.until("t3", "completed");
    let next = chat.prompt("hello");
    let said = chat.answer(&waiting).text;
    assert!(said.contains(note), "{said}");
    let said = chat.answer(&next).text;
    assert!(said.ends_with("You said hello."), "{said}");
    assert_eq!(chat.state("t1").as_deref(), Some("running"));

    // It came before the turn waits, and each of its waits ends.
    let (home, mut chat) = scripted(COLLECTS, config);
    let waiting = chat.prompt("collects work a");
    chat.until_said("Begun.");
    let next = chat.prompt("hello");
    chat.settle();
    home.open_gate("collect");
    let said = chat.answer(&waiting).text;
    assert!(said.contains(note) && said.ends_with("Over."), "{said}");
    let said = chat.answer(&next).text;
    assert!(said.ends_with("You said hello."), "{said}");
    assert_eq!(chat.state("t1").as_deref(), Some("running"));
}

#[test]
fn a_cancelled_turn_cancels_all_that_it_waits_for_and_nothing_else() {
    let (home, mut chat) = scripted(BATCH, "delegation:\n  max_concurrent_children: 3\n");
    chat.say("async work a");
    let turn = chat.prompt("batch work b; work c; work d");
    chat.until("t3", "running");
    // It is held in the queue.
    chat.until("t4", "queued");
    chat.stop();
    assert_eq!(chat.answer(&turn).stop, "cancelled");
    for task in ["t2", "t3", "t4"] {
        chat.until(task, "cancelled");
    }
    home.open_gate("a");
    chat.until("t1", "completed");
    let cancelled = ["t2", "t3", "t4"].map(|task| row(task, "cancelled", None));
    assert_eq!(chat.list()[1..], cancelled);
}
