//! Tasks of tasks: they need no slot that their parents hold, count with them, and end with them.

use std::time::{Duration, Instant};

use serde_json::json;

use super::requests::is_of;
use super::row;
use super::told::{GOAL, body, of_child, scripted, told, tools};
use crate::support::provider::Request;
use crate::support::served::{Dialect, Served};
use crate::support::tasks::Chat;

const ORCHESTRATORS: &str = r#"
    when prompt "lead *"
      call delegate_task_async {"tasks": [{"goal": "${1}"}, {"goal": "${1}"}]}
    then
      call collect_task {"task_ids": ["t1", "t2"]}
    then
      say "led: ${outcome}"
    when prompt "leave *"
      call delegate_task_async {"goal": "${1}"}
    then
      say "I left."
"#;

/// All slots there are.
fn with(depth: u32, children: u32) -> String {
    format!("delegation:\n  max_spawn_depth: {depth}\n  max_concurrent_children: {children}\n")
}

#[test]
fn who_delegates_and_collects_needs_one_slot_at_any_depth() {
    for (depth, goal) in [(2, "lead work a"), (3, "lead lead work a")] {
        let (home, mut chat) = scripted(ORCHESTRATORS, &with(depth, 1));
        home.open_gate("a");
        chat.say(&format!("async {goal}"));
        chat.until("t1", "completed");
        let report = chat.say("/collect t1");
        let ended = report.matches("Ended a.").count();
        assert_eq!(ended, if depth == 2 { 2 } else { 4 }, "{report}");
    }
}

#[test]
fn several_that_wait_for_theirs_do_not_lock_each_other() {
    let (home, mut chat) = scripted(ORCHESTRATORS, &with(3, 2));
    home.open_gate("a");
    chat.say("all lead lead work a; nest nest work a; lead work a");
    for task in ["t1", "t2", "t3"] {
        chat.until(task, "completed");
    }
}

#[test]
fn a_task_that_ends_its_turn_ends_when_its_own_tasks_have_and_has_their_reports() {
    for dialect in Dialect::BOTH {
        let served = Served::new(dialect);
        served.home.write_config(&with(2, 1));
        served.provider.rule(is_of("deep goal"), served.reply().text("DEEP REPORT"));
        let has = |text: &'static str| {
            move |request: &Request| is_of(GOAL)(request) && body(request).contains(text)
        };
        served.provider.rule(has("DEEP REPORT"), served.reply().text("WITH IT"));
        served.provider.rule(has("\\\"t1\\\""), served.reply().text("LEFT"));
        let input = json!({ "goal": "deep goal" });
        served.provider.rule(is_of(GOAL), served.reply().call("y", "delegate_task_async", input));
        let mut chat = Chat::of(served.agent(), &served.home);
        told(&served, &mut chat, "delegate_task_async", &json!({ "goal": GOAL }));
        chat.until("t1", "completed");
        let last = of_child(&served).pop().unwrap();
        assert_eq!(body(&last).matches("DEEP REPORT").count(), 1, "{}", body(&last));
        assert_eq!(body(&last).matches("<task_report").count(), 1);
        assert!(chat.say("/collect t1").contains("WITH IT"));
    }
}

#[test]
fn what_tasks_start_counts_for_the_users_prompt() {
    let config = with(3, 10) + "tasks:\n  max_per_prompt: 2\n";
    let (home, mut chat) = scripted(ORCHESTRATORS, &config);
    home.open_gate("a");
    chat.say("async nest nest work a");
    chat.until("t1", "completed");
    let report = chat.say("/collect t1");
    assert!(report.contains("`tasks.max_per_prompt` (2)"), "{report}");
    assert!(!report.contains("Ended a."), "{report}");
    // Another prompt may again.
    chat.say("async nest work a");
    chat.until("t2", "completed");
    assert!(chat.say("/collect t2").contains("Ended a."));
}

#[test]
fn with_a_task_all_that_is_below_it_is_cancelled() {
    let (_home, mut chat) = scripted(ORCHESTRATORS, &with(3, 10));
    chat.say("async nest nest work never");
    let end = Instant::now() + Duration::from_secs(10);
    while !chat.say("/check t1.1.1").contains("running") {
        assert!(Instant::now() < end);
    }
    let begun = Instant::now();
    assert_eq!(chat.outcome("cancel t1")["state"], "cancelled");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    for task in ["t1.1", "t1.1.1"] {
        let checked = chat.say(&format!("/check {task}"));
        assert!(checked.contains(&format!("`{task}` cancelled")), "{checked}");
    }
    assert_eq!(chat.list(), [row("t1", "cancelled", None)]);
}

#[test]
fn who_may_not_delegate_has_no_tools_for_it() {
    const OURS: [&str; 7] = [
        "cancel_task",
        "check_task",
        "collect_task",
        "delegate_task",
        "delegate_task_async",
        "list_tasks",
        "steer_task",
    ];
    let ours = |request: &Request| {
        let mut names = tools(request);
        names.retain(|name| name.contains("task"));
        names.sort();
        names
    };
    for dialect in Dialect::BOTH {
        for (depth, has) in
            [(0, [false, false, false]), (1, [true, false, false]), (2, [true, true, false])]
        {
            let served = Served::new(dialect);
            served.home.write_config(&with(depth, 10));
            served.provider.rule(is_of("deep goal"), served.reply().text("Deep."));
            served.provider.once(
                is_of(GOAL),
                served.reply().call("y", "delegate_task", json!({ "goal": "deep goal" })),
            );
            served.provider.rule(is_of(GOAL), served.reply().text("Done."));
            let mut chat = Chat::of(served.agent(), &served.home);
            told(&served, &mut chat, "delegate_task", &json!({ "goal": GOAL }));
            let all = served.provider.requests();
            let firsts = [
                all.iter().find(|request| request.last_user() == "PARENT"),
                all.iter().find(|request| is_of(GOAL)(request)),
                all.iter().find(|request| is_of("deep goal")(request) && !is_of(GOAL)(request)),
            ];
            for (first, has) in firsts.iter().zip(has) {
                let names = first.map(ours).unwrap_or_default();
                assert_eq!(names, if has { OURS.to_vec() } else { Vec::new() }, "depth {depth}");
            }
            // There is a request of each that may be.
            let there = firsts.map(|first| first.is_some());
            assert_eq!(there, [true, depth > 0, depth > 1]);
        }
    }
}
