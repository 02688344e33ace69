//! Every limit answers with an error that names its key, and ends or refuses no more than it says. Those of
//! the queue are in `queue`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::requests::is_of;
use super::told::{GOAL, held, of_child, scripted, told};
use super::{chat_with, row};
use crate::support::provider::Gate;
use crate::support::served::{Dialect, Served};
use crate::support::tasks::{Chat, content};

/// A task that lists files and then wants to go on, with so many tokens in each request.
fn takes(served: &Served, tokens: u64) {
    let step = held(served).text("HALF OF IT").call("y", "list", json!({}));
    served.provider.once(is_of(GOAL), step.usage(tokens - 10, 10, 0));
    served.provider.rule(is_of(GOAL), served.reply().text("ALL OF IT").usage(tokens - 10, 10, 0));
}

/// The task is ended by this limit after its first request, and says what it had.
fn is_ended_by(config: &str, key: &str) {
    for dialect in Dialect::BOTH {
        let served = Served::new(dialect);
        served.home.write_config(config);
        takes(&served, 1_000);
        let mut chat = Chat::of(served.agent(), &served.home);
        told(&served, &mut chat, "delegate_task_async", &json!({ "goal": GOAL }));
        let card = chat.until("t1", "failed");
        assert!(content(&card).contains(&format!("`{key}`")), "{card}");
        assert_eq!(of_child(&served).len(), 1);
        let said = told(&served, &mut chat, "collect_task", &json!({ "task_ids": ["t1"] }));
        let said: Value = serde_json::from_str(&said).unwrap();
        let ended = &said["tasks"][0];
        assert!(ended["error"].as_str().unwrap().contains(&format!("`{key}`")), "{said}");
        assert_eq!(ended["report"], "HALF OF IT");
    }
}

#[test]
fn the_requests_of_a_task_are_limited() {
    is_ended_by("delegation:\n  max_iterations: 1\n", "delegation.max_iterations");
}

#[test]
fn the_tokens_of_a_task_are_limited() {
    is_ended_by("delegation:\n  max_tokens: 1000\n", "delegation.max_tokens");
}

#[test]
fn the_cost_of_a_task_is_limited() {
    for dialect in Dialect::BOTH {
        let served = Served::new(dialect);
        // 1 000 tokens at 1 000 $ a million are 1 $.
        let price = "model:\n  price: {input: 1000, output: 1000}\n";
        served.home.write_config(&format!("{price}delegation:\n  max_cost: 0.5\n"));
        let step = held(&served).text("HALF OF IT").call("y", "list", json!({}));
        served.provider.once(is_of(GOAL), step.usage(990, 10, 0));
        // What a request costs is known once it is over: the next may have begun.
        let gate = Gate::new();
        served.provider.rule(is_of(GOAL), held(&served).text("MORE").gate(&gate).text("ALL"));
        let mut chat = Chat::of(served.agent(), &served.home);
        told(&served, &mut chat, "delegate_task_async", &json!({ "goal": GOAL }));
        let card = chat.until("t1", "failed");
        assert!(content(&card).contains("`delegation.max_cost`"), "{card}");
        let words = content(&card);
        assert!(words.contains("HALF OF IT") || words.contains("MORE"), "{card}");
        assert!(of_child(&served).len() <= 2);
        gate.open();
    }
}

#[test]
fn a_task_within_its_limits_is_left_alone() {
    let served = Served::new(Dialect::Openai);
    served.home.write_config(
        "model:\n  price: {input: 1000, output: 1000}\n\
         delegation: {max_iterations: 2, max_tokens: 2001, max_cost: 2.5}\n",
    );
    takes(&served, 1_000);
    let mut chat = Chat::of(served.agent(), &served.home);
    told(&served, &mut chat, "delegate_task_async", &json!({ "goal": GOAL }));
    chat.until("t1", "completed");
    let said = told(&served, &mut chat, "check_task", &json!({ "task_id": "t1" }));
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&said["steps"], &said["calls"], &said["tokens"]),
        (&json!(2), &json!(1), &json!(2000))
    );
    assert_eq!(said["cost"], 2.0);
}

const AGAIN: &str = r#"
    when prompt "again"
      call delegate_task {"goal": "work a"}
    then
      call delegate_task_async {"goal": "work b"}
    then
      say "${outcome}"
"#;

#[test]
fn the_tokens_that_a_prompt_leads_to_are_limited() {
    let (home, mut chat) = scripted(AGAIN, "tasks:\n  max_tokens_per_prompt: 100\n");
    home.open_gate("a");
    let said = chat.say("again");
    assert!(said.contains("`tasks.max_tokens_per_prompt`"), "{said}");
    // What is done is done, whatever it took.
    assert_eq!(chat.list(), [row("t1", "completed", None)]);
    // Another prompt may again.
    home.open_gate("b");
    chat.say("async work b");
    assert_eq!(chat.list().len(), 2);
}

#[test]
fn what_runs_and_waits_for_that_prompt_ends_with_its_tokens() {
    let config =
        "delegation:\n  max_concurrent_children: 2\ntasks:\n  max_tokens_per_prompt: 100\n";
    let (home, mut chat) = chat_with(config);
    chat.say("all work a; work never; work later");
    chat.until("t2", "running");
    chat.until("t3", "queued");
    chat.say("/task work other");
    home.open_gate("a");
    chat.until("t1", "completed");
    let running = chat.until("t2", "failed");
    assert!(content(&running).contains("`tasks.max_tokens_per_prompt`"), "{running}");
    // What had not begun cannot fail.
    let ended = |chat: &Chat| {
        let state = chat.state("t3").filter(|state| state == "failed" || state == "cancelled");
        state.and_then(|_| chat.card("task-t3"))
    };
    let queued = chat.wait("the end of what was queued", ended);
    assert!(content(&queued).contains("`tasks.max_tokens_per_prompt`"), "{queued}");
    // What another prompt led to goes on.
    home.open_gate("other");
    chat.until("t4", "completed");
}

#[test]
fn where_tasks_are_not_allowed_the_user_is_told_by_which_key() {
    let (_home, mut chat) = chat_with("delegation:\n  max_spawn_depth: 0\n");
    let said = chat.say("/task work a");
    assert!(said.contains("`delegation.max_spawn_depth` is 0"), "{said}");
    assert_eq!(chat.state("t1"), None);
}

#[test]
fn a_quiet_task_is_called_stalled_and_goes_on() {
    let (home, mut chat) = chat_with("delegation:\n  stall_seconds: 1\n");
    chat.say("async work a");
    let stalled = |chat: &Chat| {
        let card = chat.card("task-t1")?;
        content(&card).contains("no sign of life").then_some(card)
    };
    let card = chat.wait("the word that it is stalled", stalled);
    assert_eq!(card["status"], "in_progress");
    assert!(content(&card).contains("`/cancel t1`"), "{card}");
    let checked = chat.outcome("check t1");
    assert!(checked["quiet_seconds"].as_u64().unwrap() >= 1, "{checked}");
    assert_eq!(checked["state"], "running");
    home.open_gate("a");
    let card = chat.until("t1", "completed");
    assert!(!content(&card).contains("no sign of life"), "{card}");
}

#[test]
fn a_quiet_call_has_more_time() {
    let config = "delegation:\n  stall_seconds: 1\n  stall_call_seconds: 100\n";
    let (home, mut chat) = chat_with(config);
    chat.set_mode("bypass");
    chat.say("async run sleep 2; cat go; echo over");
    let end = Instant::now() + Duration::from_millis(1_800);
    while Instant::now() < end {
        let card = chat.card("task-t1").unwrap();
        assert!(!content(&card).contains("no sign of life"), "{card}");
        chat.say("/check t1");
    }
    home.write("go", "gone\n");
    chat.until("t1", "completed");
}

#[test]
fn the_process_has_a_limit_of_its_own() {
    let (home, mut chat) = chat_with("delegation:\n  max_process: 1\n");
    chat.say("all work a; work b; work c");
    for (gate, next) in [("a", "t2"), ("b", "t3")] {
        let checked = chat.outcome(&format!("check {next}"));
        assert_eq!(checked["lines"], json!([]), "it has not begun: {checked}");
        home.open_gate(gate);
        let begun = |chat: &mut Chat| chat.outcome(&format!("check {next}"));
        let end = Instant::now() + Duration::from_secs(10);
        while begun(&mut chat)["lines"] == json!([]) {
            assert!(Instant::now() < end);
        }
    }
    home.open_gate("c");
    chat.until("t3", "completed");
    assert_eq!(chat.list(), ["t1", "t2", "t3"].map(|task| row(task, "completed", None)));
}
