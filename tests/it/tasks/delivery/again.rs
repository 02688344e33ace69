//! Reports where more is going on: after a kill, in two sessions at once, and with a client that does not read.

use super::*;
use crate::tasks::reports::given;

/// Two prompts of a session that was opened again: the report is in the first one's request, and no turn began
/// by itself.
fn assert_given_once(served: &Served, session: &str, requests: usize) {
    let mut chat = Chat::resumed(served.agent_as(Client::GOOD), &served.home, session);
    chat.settle();
    chat.say("/tasks");
    chat.settle();
    assert_no_follow_up(&chat);
    assert_eq!(of_parent(served).len(), requests);
    for _ in 0..2 {
        served.says("Seen.");
        assert_eq!(chat.say("PARENT again"), "Seen.");
    }
    assert_no_follow_up(&chat);
    let parent = of_parent(served);
    assert_eq!(parent.len(), requests + 2);
    assert_eq!((given(&parent[requests], "t1"), given(&parent[requests + 1], "t1")), (1, 1));
    assert_eq!(served.provider.requests().len(), requests + 3, "the task is not done again");
}

#[test]
fn a_report_that_was_not_given_before_a_kill_is_given_after_it_and_starts_nothing() {
    let config = "tasks:\n  follow_up: notify\n";
    let (served, mut chat, gates) = delegated(&["child one"], Client::GOOD, config);
    gates[0].open();
    chat.until_said("`t1` has reported.");
    let session = chat.kill();
    served.home.write_config("");
    assert_given_once(&served, &session, 2);
}

#[test]
fn a_turn_that_was_killed_with_its_report_is_not_begun_again() {
    let (served, chat, gates) = delegated(&["child one"], Client::GOOD, "");
    let never = Gate::new();
    served.provider.queue(served.reply().gate(&never).text("NEVER SAID"));
    gates[0].open();
    served.wait(never.reached());
    let session = chat.kill();
    assert_given_once(&served, &session, 3);
    never.open();
}

#[test]
fn each_session_has_its_own_reports() {
    let home = home("");
    let mut chat = chat_of(&home, Client::GOOD);
    let first = chat.session.clone();
    let second = chat.agent.new_session(&home);
    chat.say("async work a");
    chat.session.clone_from(&second);
    chat.say("async work b");
    for (gate, other, session) in [("b", "a", &second), ("a", "b", &first)] {
        let at = chat.came().len();
        home.open_gate(gate);
        chat.wait("the end of its turn", |chat| {
            chat.came()[at..].iter().any(is_over).then_some(())
        });
        chat.settle();
        let came = &chat.came()[at..];
        let said = text_of(came);
        assert!(said.contains(&format!("Ended {gate}.")), "{said}");
        assert!(!said.contains(&format!("Ended {other}.")), "{said}");
        let updates = came.iter().filter(|message| message["method"] == "session/update");
        for message in updates.filter(|message| mark(message).is_some()) {
            assert_eq!(message["params"]["sessionId"], **session, "{message}");
        }
    }
    assert_eq!(follow_ups(&chat), [["t1"], ["t1"]]);
}

#[test]
fn twenty_reports_reach_a_client_that_does_not_read_for_a_while() {
    let served = Served::new(Dialect::Openai);
    served.home.write_config("delegation:\n  max_concurrent_children: 20\n");
    let gate = Gate::new();
    // What a task says fills the pipe, so that the agent cannot write on.
    let report = format!("CHILD REPORT {}", "long ".repeat(400));
    served.provider.rule(is_of("child"), served.reply().gate(&gate).text(&report));
    let mut chat = Chat::as_configured(served.agent_as(Client::GOOD), &served.home);
    let many = |count: usize| json!({ "tasks": vec![json!({ "goal": "child" }); count] });
    served.provider.queue(served.reply().call("x", "delegate_task_async", many(10)).call(
        "y",
        "delegate_task_async",
        many(10),
    ));
    served.says("Done.");
    assert_eq!(chat.say("PARENT"), "Done.");
    let tasks: Vec<String> = (1..=20).map(|task| format!("t{task}")).collect();
    for task in &tasks {
        chat.until(task, "running");
    }
    served.wait(served.provider.arrived(22));
    served.provider.rule(|request| !is_of("child")(request), served.reply().text("Noted."));
    chat.agent.hold_stdout();
    gate.open();
    // The first of them were read by the model, and by nobody else.
    served.wait(served.provider.arrived(23));
    chat.agent.read_stdout();
    for task in &tasks {
        chat.until(task, "completed");
    }
    // A turn that began by itself may still run: its words are around those of the prompt then.
    let said = chat.say("PARENT again");
    assert!(said.contains("Noted."), "{said}");
    let parent = of_parent(&served);
    let last = parent.last().unwrap();
    for task in &tasks {
        assert_eq!(given(last, task), 1, "{task}");
    }
    // Not one by one.
    assert!(parent.len() < 12, "{}", parent.len());
}
