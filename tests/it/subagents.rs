//! Tasks in a client that shows their sessions: checklist 75–82. `native` is that client, and asserts the order
//! of things by itself; `sdk` is the protocol's own client in Rust.

mod native;
mod sdk;
mod session;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use self::native::{Child, capabilities, chat, children, home, only, until};
use crate::support::agent::Agent;
use crate::support::process;
use crate::support::tasks::Chat;

/// The kinds of updates that came.
fn kinds(came: &[Value]) -> BTreeSet<String> {
    let kinds = came.iter().map(|message| &message["params"]["update"]["sessionUpdate"]);
    kinds.filter_map(|kind| kind.as_str().map(str::to_owned)).collect()
}

/// A chat with a task of the model and one of the user, both to their ends.
fn story(client: &Value) -> Chat {
    let home = home("");
    let agent = Agent::ready_with(&home, client);
    let mut chat = Chat::of(agent, &home);
    home.open_gate("a");
    chat.say("async work a");
    chat.until("t1", "completed");
    chat.say("/task fail");
    // A client of which nothing is known is shown the end with a prompt.
    chat.say("/tasks");
    let ended = |chat: &Chat| (chat.state("t2").as_deref() == Some("failed")).then_some(());
    while ended(&chat).is_none() {
        chat.say("/tasks");
    }
    chat
}

#[test]
fn c75_what_a_client_did_not_advertise_is_not_sent() {
    let native = ["subagent_update", "session_message"];
    let gated = [&native[..], &["notice", "plan_update"]].concat();
    let said = |client: Value| {
        let chat = story(&client);
        let kinds = kinds(chat.came());
        gated.iter().copied().filter(|kind| kinds.contains(*kind)).collect::<Vec<_>>()
    };
    assert_eq!(said(json!({})), [""; 0]);
    assert_eq!(said(capabilities()), native);
    assert_eq!(said(json!({"plan": {}})), ["plan_update"]);
    // One that shows what comes late: the end of a task is no news to others.
    let notices = json!({"subagents": {}, "session": {"notices": {}}});
    assert_eq!(said(notices), ["subagent_update", "session_message", "notice"]);
}

#[test]
fn c76_a_child_is_announced_before_anything_of_it() {
    let (home, mut chat) = chat("");
    chat.say("async work a");
    let id = until(&mut chat, "t1", "running");
    let (_, child) = only(&chat);
    assert_eq!(child.parent, chat.session);
    assert_eq!(child.about["title"], "`t1` · work a");
    assert_eq!(child.about["description"], "work a");
    assert_eq!(child.about["capabilities"], json!({ "cancel": {} }));
    home.open_gate("a");
    assert_eq!(until(&mut chat, "t1", "idle end_turn"), id);
    let (_, child) = only(&chat);
    assert_eq!(child.states, ["running", "idle end_turn"]);
    assert_eq!(child.text, "Begun a. Ended a.");
    // The goal and the report are in its transcript.
    let [goal, report] = &child.messages[..] else { panic!("{child:#?}") };
    assert_eq!(*goal, (chat.session.clone(), "work a".to_owned()));
    assert_eq!(report.0, id);
    assert!(report.1.contains("Ended a."), "{report:?}");
    // And in its parent's, as two views of the same.
    let views: Vec<&Value> = chat
        .came()
        .iter()
        .filter(|message| message["params"]["update"]["sessionUpdate"] == "session_message")
        .collect();
    assert_eq!(views.len(), 4, "{views:#?}");
    for view in views {
        let update = &view["params"]["update"];
        let named = update.get("recipientMessageId").or(update.get("senderMessageId"));
        let other = chat.came().iter().find(|message| {
            message["params"]["update"]["messageId"] == *named.unwrap()
                && message["params"]["sessionId"] != view["params"]["sessionId"]
        });
        let other = other.unwrap_or_else(|| panic!("{view}"));
        assert_eq!(other["params"]["update"]["content"], update["content"]);
    }
    // The card of the parent stays.
    assert_eq!(chat.until("t1", "completed")["status"], "completed");
}

#[test]
fn c76_what_its_parent_says_to_it_comes_first() {
    let (home, mut chat) = chat("");
    home.open_gate("a");
    for task in ["t1", "t2", "t3"] {
        chat.say("/task work a");
        until(&mut chat, task, "idle end_turn");
    }
    let mut begun = BTreeSet::new();
    for message in chat.came() {
        let session = message["params"]["sessionId"].as_str().unwrap_or_default();
        if session != chat.session && begun.insert(session) && !session.is_empty() {
            let update = &message["params"]["update"];
            assert_eq!(update["sessionUpdate"], "session_message", "{message}");
        }
    }
    assert_eq!(begun.iter().filter(|session| !session.is_empty()).count(), 3);
}

#[test]
fn c76_what_is_said_to_a_running_child_is_in_its_transcript() {
    let (home, mut chat) = chat("");
    chat.say("/task step a");
    let id = until(&mut chat, "t1", "running");
    chat.say("/steer t1 look closer");
    home.open_gate("a");
    until(&mut chat, "t1", "idle end_turn");
    let (_, child) = only(&chat);
    let said: Vec<&str> = child.messages.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(said[..2], ["step a", "look closer"]);
    assert_eq!(child.messages[2].0, id);
    assert!(child.text.contains("heard look closer"), "{child:#?}");
}

#[test]
fn c76_children_of_children_are_announced_on_their_parents_streams() {
    let (home, mut chat) = chat("delegation:\n  max_spawn_depth: 3\n");
    home.open_gate("a");
    chat.say("/task nest nest work a");
    let outer = until(&mut chat, "t1", "idle end_turn");
    let all = children(chat.came(), &chat.session);
    assert_eq!(all.len(), 3, "{all:#?}");
    let below = |parent: &str| -> (String, Child) {
        let (id, child) = all.iter().find(|(_, child)| child.parent == parent).unwrap();
        (id.clone(), child.clone())
    };
    let (first, _) = below(&chat.session);
    assert_eq!(first, outer);
    let (second, child) = below(&first);
    assert_eq!(child.states.last().unwrap(), "idle end_turn");
    let (_, child) = below(&second);
    assert_eq!(child.about["description"], "work a");
    assert_eq!(child.text, "Begun a. Ended a.");
    assert_eq!(child.states.last().unwrap(), "idle end_turn");
}

#[test]
fn c77_without_the_capability_nothing_names_a_child() {
    let home = home("delegation:\n  max_spawn_depth: 2\n");
    let mut chat = Chat::of(Agent::ready(&home), &home);
    let turn = chat.prompt("hold go");
    chat.until_said("Holding go.");
    chat.say("/task write x.txt");
    let dialog = chat.asked();
    assert_eq!(dialog["params"]["sessionId"], *chat.session);
    chat.choose(&dialog, "allow_once");
    chat.until("t1", "completed");
    home.open_gate("a");
    chat.say("/task nest work a");
    chat.until("t2", "completed");
    home.open_gate("go");
    assert_eq!(chat.answer(&turn).stop, "end_turn");
    for message in chat.came() {
        let session = message["params"].get("sessionId");
        assert!(session.is_none_or(|session| *session == *chat.session), "{message}");
    }
}

#[test]
fn c78_each_end_is_an_idle_state_with_its_reason() {
    let (home, mut chat) = chat("");
    home.open_gate("a");
    chat.say("/task work a");
    until(&mut chat, "t1", "idle end_turn");
    chat.say("/task fail");
    let failed = until(&mut chat, "t2", "idle error");
    chat.say("/task work b");
    let cancelled = until(&mut chat, "t3", "running");
    chat.wait("its first words", |chat| {
        let child = children(chat.came(), &chat.session).remove(&cancelled)?;
        (child.text == "Begun b.").then_some(())
    });
    chat.say("/cancel t3");
    until(&mut chat, "t3", "idle cancelled");
    let all = children(chat.came(), &chat.session);
    let error = &all[&failed].about["state"]["error"];
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{error}");
    assert_eq!(error["code"], -32603);
    assert_eq!(all[&failed].text, "Half of it.");
    assert_eq!(all[&cancelled].text, "Begun b.");
}

#[test]
fn c78_a_queued_child_asserts_nothing_until_it_runs() {
    let (home, mut chat) = chat("delegation:\n  max_concurrent_children: 1\n");
    chat.say("/task work a");
    until(&mut chat, "t1", "running");
    chat.say("/task work b");
    chat.until("t2", "queued");
    let queued = |chat: &Chat| {
        let all = children(chat.came(), &chat.session);
        all.into_values().find(|child| child.about["description"] == "work b")
    };
    let child = chat.wait("the queued one", queued);
    assert!(child.states.is_empty() && child.about.get("state").is_none(), "{child:#?}");
    home.open_gate("a");
    home.open_gate("b");
    until(&mut chat, "t2", "idle end_turn");
    assert_eq!(queued(&chat).unwrap().text, "Begun b. Ended b.");
}

#[test]
fn c79_a_cancel_of_the_parent_ends_its_children_and_is_answered_behind_that() {
    let (home, mut chat) = chat("delegation:\n  max_spawn_depth: 2\n");
    chat.set_mode("bypass");
    chat.say("async run echo group=$$; exec sleep 600");
    let child = until(&mut chat, "t1", "running");
    chat.say("/task nest work b");
    until(&mut chat, "t2", "running");
    let group = chat.wait("the command", |chat| {
        let child = children(chat.came(), &chat.session).remove(&child)?;
        let shown = child.shown().pop()?.2;
        let digits: String =
            shown.split_once("group=")?.1.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().ok()
    });
    let turn = chat.prompt("hold go");
    chat.until_said("Holding go.");
    chat.stop();
    let answered = chat.answer(&turn);
    assert_eq!(answered.stop, "cancelled");
    let all = children(chat.came(), &chat.session);
    assert!(all.len() >= 3, "{all:#?}");
    for child in all.values() {
        assert_eq!(child.states.last().unwrap(), "idle cancelled", "{child:#?}");
        for (title, status, _) in child.shown() {
            assert!(status == "failed" || status == "completed", "{title} is {status}");
        }
    }
    // That was no guess.
    assert_eq!(process::living(group), 0);
    drop(home);
}

#[test]
fn c80_a_child_asks_under_its_own_id() {
    let (home, mut chat) = chat("");
    chat.say("/task write x.txt");
    until(&mut chat, "t1", "requires_action");
    let dialog = &chat.wait("the dialog", |chat| chat.open_dialogs().pop());
    let (id, child) = only(&chat);
    assert_eq!(dialog["params"]["sessionId"], *id);
    let call = &dialog["params"]["toolCall"];
    assert_eq!(call["toolCallId"], *child.calls[0].0);
    let title = call["title"].as_str().unwrap();
    assert!(title.contains("x.txt") && !title.contains("t1"), "{title}");
    assert!(call.get("_meta").is_none(), "{call}");
    chat.choose(dialog, "allow_once");
    until(&mut chat, "t1", "idle end_turn");
    assert_eq!(home.read("x.txt"), "new\n");
    let (_, child) = only(&chat);
    assert_eq!(child.shown()[0].1, "completed");
    // How often states are told between has a limit.
    assert_eq!(child.states[..2], ["running", "requires_action"]);
    assert_eq!(child.states.last().unwrap(), "idle end_turn");
    // Nothing of it is a call of the parent.
    assert_eq!(chat.calls(), ["task-t1"]);
}

#[test]
fn c80_what_is_refused_and_what_is_taken_back_reaches_the_child() {
    let (home, mut chat) = chat("");
    chat.say("/task write x.txt");
    until(&mut chat, "t1", "requires_action");
    chat.say("/task write y.txt");
    until(&mut chat, "t2", "requires_action");
    let dialog = chat.wait("the dialog", |chat| chat.open_dialogs().pop());
    assert_eq!(chat.open_dialogs().len(), 1, "one at a time");
    chat.choose(&dialog, "reject_once");
    let first = until(&mut chat, "t1", "idle end_turn");
    let other = chat.wait("the other dialog", |chat| chat.open_dialogs().pop());
    assert_ne!(other["params"]["sessionId"], *first);
    chat.say("/cancel t2");
    until(&mut chat, "t2", "idle cancelled");
    chat.wait("the withdrawal", |chat| chat.open_dialogs().is_empty().then_some(()));
    assert!(!home.exists("x.txt") && !home.exists("y.txt"));
}

/// Checklist 86: only under our own key, and on nothing else.
#[test]
fn c86_all_of_a_turn_that_begins_by_itself_is_marked() {
    let home = home("");
    home.write_config("tasks:\n  follow_up: auto\n");
    let mut chat = Chat::of(Agent::ready_with(&home, &capabilities()), &home);
    let turn = chat.prompt("async work a");
    assert_eq!(chat.answer(&turn).stop, "end_turn");
    until(&mut chat, "t1", "running");
    home.open_gate("a");
    let marked = |message: &&Value| message["params"]["_meta"]["talaria"]["followUp"].is_object();
    // The turn says something, and then that it is over.
    let said = |chat: &Chat| {
        let texts = chat.came().iter().filter(marked).map(|message| {
            message["params"]["update"]["content"]["text"].as_str().unwrap_or_default()
        });
        texts.collect::<String>()
    };
    chat.wait("the turn", |chat| said(chat).contains("is over").then_some(()));
    let before = chat.came().len();
    chat.say("/tasks");
    let (earlier, later) = chat.came().split_at(before);
    let first = earlier.iter().position(|message| marked(&message)).unwrap();
    for message in earlier[first..].iter().filter(|message| marked(message)) {
        let meta = &message["params"]["_meta"];
        let mut expected = json!({"talaria": {"followUp": {"generation": 1, "tasks": ["t1"]}}});
        let text = message["params"]["update"]["content"]["text"].as_str().unwrap_or_default();
        if text.contains("is over") {
            expected["talaria"]["followUp"]["over"] = true.into();
        }
        assert_eq!(*meta, expected, "{message}");
        assert_eq!(message["params"]["sessionId"], *chat.session, "{message}");
    }
    let answer = later.iter().find(|message| {
        let text = message["params"]["update"]["content"]["text"].as_str().unwrap_or_default();
        text.contains("t1")
    });
    let unmarked = answer.filter(|message| message["params"].get("_meta").is_none());
    assert!(unmarked.is_some(), "{later:#?}");
}
