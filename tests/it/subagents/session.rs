//! What a client may do with a child, which is to cancel it, and what becomes of children when their parent's
//! session is opened again: checklist 81 and 82.

use serde_json::{Value, json};

use super::native::{capabilities, chat, children, children_anew, home, only, until};
use crate::support::agent::Agent;
use crate::support::fault::database;
use crate::support::home::Home;
use crate::support::stored;
use crate::support::tasks::{Chat, MODEL};

#[test]
fn c81_children_are_in_no_list_and_only_their_parent_changes_them() {
    let (home, mut chat) = chat("");
    chat.say("/task work a");
    let id = until(&mut chat, "t1", "running");
    let listed = chat.call("session/list", &json!({}));
    let ids: Vec<&Value> = listed["result"]["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|session| &session["sessionId"])
        .collect();
    assert_eq!(ids, [&json!(chat.session)]);
    let open = stored::params(&home, &id);
    let requests = [
        ("session/prompt", json!({ "sessionId": id, "prompt": [{"type": "text", "text": "x"}] })),
        ("session/load", open.clone()),
        ("session/resume", open.clone()),
        ("session/fork", open),
        ("session/close", json!({ "sessionId": id })),
        ("session/delete", json!({ "sessionId": id })),
        ("session/set_mode", json!({ "sessionId": id, "modeId": "bypass" })),
        (
            "session/set_config_option",
            json!({ "sessionId": id, "configId": "mode", "value": "bypass" }),
        ),
        ("session/set_title", json!({ "sessionId": id, "title": "mine" })),
        (
            "_session/steering",
            json!({ "sessionId": id, "prompt": [{"type": "text", "text": "x"}] }),
        ),
        ("_talaria/task/list", json!({ "sessionId": id })),
    ];
    for (method, params) in requests {
        let response = chat.call(method, &params);
        let error = &response["error"];
        assert_eq!(error["code"], -32002, "{method}: {response}");
        if method.starts_with("_talaria/") {
            assert_eq!(error["data"]["kind"], "unknownSession", "{response}");
        } else {
            assert_eq!(error["data"]["sessionId"], *id, "{method}: {response}");
        }
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("background task"), "{method}: {message}");
    }
    // It was left alone.
    home.open_gate("a");
    until(&mut chat, "t1", "idle end_turn");
    assert_eq!(only(&chat).1.text, "Begun a. Ended a.");
    let response = chat.call("session/load", &stored::params(&home, &id));
    assert_eq!(response["error"]["code"], -32002, "{response}");
}

#[test]
fn c81_a_child_is_its_parents_alone_also_where_the_store_does_not_know_it_yet() {
    let (home, mut chat) = chat("");
    chat.say("/task work a");
    let id = until(&mut chat, "t1", "running");
    // As it is before it was written whose it is. Nothing of it is written while it waits.
    chat.wait("its first words", |chat| (only(chat).1.text == "Begun a.").then_some(()));
    let database = rusqlite::Connection::open(database(&home)).unwrap();
    while database.execute("UPDATE sessions SET parent = NULL WHERE id = ?1", [&id]).unwrap() == 0 {
        chat.settle();
    }
    let open = stored::params(&home, &id);
    let requests = [
        ("session/load", open.clone()),
        ("session/resume", open.clone()),
        ("session/fork", open),
        ("session/delete", json!({ "sessionId": id })),
        ("session/set_title", json!({ "sessionId": id, "title": "mine" })),
    ];
    for (method, params) in requests {
        let response = chat.call(method, &params);
        let error = &response["error"];
        assert_eq!(
            (&error["code"], &error["data"]["sessionId"]),
            (&json!(-32002), &json!(id)),
            "{method}: {response}"
        );
    }
    home.open_gate("a");
    until(&mut chat, "t1", "idle end_turn");
    assert_eq!(only(&chat).1.text, "Begun a. Ended a.");
}

#[test]
fn however_much_is_said_to_a_task_during_one_call_is_in_its_next_request_in_order() {
    let script = format!("when steer \"say 1.*\"\n  say \"Heard${{1}}\"\n{MODEL}");
    let home = Home::scripted(&script);
    let mut chat = Chat::of(Agent::ready_with(&home, &capabilities()), &home);
    chat.say("/task step a");
    chat.wait("its first words", |chat| {
        let all = children(chat.came(), &chat.session);
        all.values().any(|child| child.text == "Begun a.").then_some(())
    });
    // Who is answered for the last one knows that the task has those before it.
    for number in 1..=41 {
        chat.say(&format!("/steer t1 say {number}."));
    }
    home.open_gate("a");
    until(&mut chat, "t1", "idle end_turn");
    let all: Vec<String> = (2..=40).map(|number| format!("say {number}.")).collect();
    let said = only(&chat).1.text;
    assert!(said.contains(&format!("Heard\n{}", all.join("\n"))), "{said}");
}

#[test]
fn c81_a_cancel_of_a_child_cancels_its_task_alone() {
    let (home, mut chat) = chat("delegation:\n  max_spawn_depth: 2\n");
    chat.say("/task work a");
    let first = until(&mut chat, "t1", "running");
    chat.say("/task nest work b");
    until(&mut chat, "t2", "running");
    let turn = chat.prompt("hold go");
    chat.until_said("Holding go.");
    chat.agent.cancel(&first);
    until(&mut chat, "t1", "idle cancelled");
    assert_eq!(chat.until("t1", "cancelled")["status"], "failed");
    // One below another one, which goes on.
    let inner = |chat: &Chat| {
        let all = children(chat.came(), &chat.session);
        let mut inner = all.into_iter().filter(|(_, child)| child.parent != chat.session);
        inner.find(|(_, child)| child.text == "Begun b.").map(|(id, _)| id)
    };
    let inner = chat.wait("the task of the task", inner);
    chat.agent.cancel(&inner);
    until(&mut chat, "t2", "idle end_turn");
    let all = children(chat.came(), &chat.session);
    assert_eq!(all[&inner].states.last().unwrap(), "idle cancelled");
    // Nothing is left to cancel, and the chat was never meant.
    chat.agent.cancel(&first);
    chat.agent.cancel(&inner);
    home.open_gate("go");
    assert_eq!(chat.answer(&turn).stop, "end_turn");
}

/// What came behind the answer of a load.
fn behind<'a>(came: &'a [Value], response: &Value) -> &'a [Value] {
    let at = came.iter().position(|message| message == response).unwrap();
    &came[at + 1..]
}

#[test]
fn c82_children_that_go_on_are_announced_again_before_they_say_more() {
    for method in ["session/load", "session/resume"] {
        let (home, mut chat) = chat("delegation:\n  max_spawn_depth: 2\n");
        chat.say("/task nest work b");
        let outer = until(&mut chat, "t1", "running");
        let inner = chat.wait("the task of the task", |chat| {
            let all = children(chat.came(), &chat.session);
            all.into_iter().find(|(_, child)| child.parent == outer).map(|(id, _)| id)
        });
        chat.say("/task work a");
        let other = until(&mut chat, "t2", "running");
        let params = stored::params(&home, &chat.session);
        let response = chat.call(method, &params);
        home.open_gate("a");
        home.open_gate("b");
        until(&mut chat, "t2", "idle end_turn");
        until(&mut chat, "t1", "idle end_turn");
        // Seen by a client that forgot what it knew.
        let fresh = behind(chat.came(), &response);
        let all = children_anew(fresh, &chat.session);
        for id in [&outer, &inner, &other] {
            let child = &all[id];
            assert_eq!(child.about["capabilities"], json!({ "cancel": {} }), "{child:#?}");
            assert!(child.about["title"].is_string(), "{child:#?}");
            assert_eq!(child.states.last().unwrap(), "idle end_turn");
        }
        assert_eq!(all[&other].text, " Ended a.");
        assert_eq!(all[&inner].parent, outer);
    }
}

#[test]
fn c82_a_child_that_is_resumed_after_a_kill_is_announced_again() {
    let home = home("");
    let mut chat = Chat::of(Agent::ready_with(&home, &capabilities()), &home);
    chat.say("/task work a");
    let id = until(&mut chat, "t1", "running");
    chat.wait("its first words", |chat| (only(chat).1.text == "Begun a.").then_some(()));
    let session = chat.session.clone();
    chat.agent.unchecked();
    chat.agent.signal("-KILL");
    let agent = Agent::ready_with(&home, &capabilities());
    let mut chat = Chat::load_in(agent, &home, &session);
    // Nothing of it goes on by itself.
    assert!(children(chat.came(), &session).is_empty());
    chat.say("/resume t1");
    assert_eq!(until(&mut chat, "t1", "idle end_turn"), id);
    let (again, child) = only(&chat);
    assert_eq!(again, id);
    assert_eq!(child.about["capabilities"], json!({ "cancel": {} }));
    assert!(child.text.contains("Went on."), "{child:#?}");
}
