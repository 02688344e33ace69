//! What limits turns that start by themselves: how long a chain may be, and what the configuration wants of them.

use super::*;
use crate::tasks::reports::given;

#[test]
fn a_model_that_always_delegates_again_stops_at_the_limit() {
    for most in [1, 3] {
        let served = Served::new(Dialect::Openai);
        served.home.write_config(&format!("tasks:\n  max_follow_ups: {most}\n"));
        let gates: Vec<Gate> = (0..=most).map(|_| Gate::new()).collect();
        for gate in &gates {
            let reply = served.reply().gate(gate).text("CHILD REPORT");
            served.provider.once(is_of("child"), reply);
        }
        let is_outcome = |request: &Request| {
            request.messages().last().is_some_and(|message| message["role"] == "tool")
        };
        served.provider.rule(is_outcome, served.reply().text("Again."));
        let again = json!({ "goal": "child" });
        let call = served.reply().call("x", "delegate_task_async", again);
        // A prompt that says so is the end of it.
        served
            .provider
            .once(|request| request.last_user().contains("enough"), served.reply().text("Enough."));
        served.provider.rule(|request| !is_of("child")(request), call);
        let mut chat = Chat::as_configured(served.agent_as(Client::GOOD), &served.home);
        chat.say("PARENT");
        for (turns, gate) in gates[..most].iter().enumerate() {
            gate.open();
            until_over(&mut chat, turns + 1);
        }
        gates[most].open();
        let line = format!(
            "`t{}` has reported. Talaria does not go on with it by itself: `tasks.max_follow_ups` is {most}. \
             Send a prompt to go on.",
            most + 1
        );
        chat.until_said(&line);
        chat.settle();
        assert_eq!(follow_ups(&chat).len(), most);
        // Two requests of the prompt and of each turn behind it, and one of each task.
        assert_eq!(of_parent(&served).len(), 2 + 2 * most);
        assert_eq!(served.provider.requests().len(), 2 + 2 * most + most + 1);
        // The user goes on, with what was left.
        assert_eq!(chat.say("enough"), "Enough.");
        let parent = of_parent(&served);
        assert_eq!(parent.len(), 3 + 2 * most);
        for task in 1..=most + 1 {
            assert_eq!(given(parent.last().unwrap(), &format!("t{task}")), 1, "t{task}");
        }
    }
}

/// A report came and no turn began: what was said of it, with the next prompt that was given it.
fn told(served: &Served, chat: &mut Chat, gate: &Gate, requests: usize) -> String {
    let before = chat.came().len();
    gate.open();
    chat.until("t1", "completed");
    chat.settle();
    let said = text_of(&chat.came()[before..]);
    assert_no_follow_up(chat);
    served.says("Seen.");
    assert_eq!(chat.say("PARENT again"), "Seen.");
    assert_no_follow_up(chat);
    // Those of the parent, that of the task, and the last one. A first prompt stands in one message with the
    // report, and so with the goal.
    let all = served.provider.requests();
    assert_eq!(all.len(), requests + 2);
    assert_eq!(given(all.last().unwrap(), "t1"), 1);
    said
}

const NOTIFIED: &str =
    "`t1` has reported. The model reads it with your next prompt; `/collect` shows it.";

#[test]
fn where_the_configuration_says_so_reports_are_told_and_start_nothing() {
    for (policy, line) in [("notify", NOTIFIED), ("off", "")] {
        let config = format!("tasks:\n  follow_up: {policy}\n");
        let (served, mut chat, gates) = delegated(&["child one"], Client::GOOD, &config);
        assert_eq!(told(&served, &mut chat, &gates[0], 2), line, "{policy}");
    }
}

#[test]
fn what_a_user_started_is_told_and_starts_nothing_unless_it_is_wished() {
    for policy in ["", "tasks:\n  follow_up: auto\n"] {
        let served = Served::new(Dialect::Openai);
        served.home.write_config(policy);
        let gate = Gate::new();
        served.provider.once(is_of("child"), served.reply().gate(&gate).text("CHILD REPORT"));
        let mut chat = Chat::as_configured(served.agent_as(Client::GOOD), &served.home);
        chat.say("/task child");
        served.wait(gate.reached());
        if policy.is_empty() {
            assert_eq!(told(&served, &mut chat, &gate, 0), NOTIFIED);
        } else {
            served.says("Gone on.");
            gate.open();
            until_over(&mut chat, 1);
            let all = served.provider.requests();
            assert_eq!(all.len(), 2);
            assert_eq!(given(&all[1], "t1"), 1);
        }
    }
}
