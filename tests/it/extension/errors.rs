//! Requests that are refused: whose session and task they name, what is wrong with their fields, and limits.

use serde_json::{Value, json};

use super::panel::{Panel, Schema, capabilities};
use crate::support::agent::Agent;
use crate::support::fault::Locked;
use crate::support::home::Home;
use crate::support::tasks::{Chat, MODEL};

fn panel(config: &str) -> (Home, Panel) {
    let home = Home::scripted(MODEL);
    home.write_config(config);
    let panel = Panel::new(&home);
    (home, panel)
}

/// Each request of the extension for one session and one task, with what else it needs.
fn requests(session: &str, task: &str) -> Vec<(&'static str, Value)> {
    let one = |more: Value| {
        let mut params = json!({ "sessionId": session, "taskId": task });
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        params
    };
    let several = json!({ "sessionId": session, "taskIds": [task] });
    vec![
        ("check", one(json!({}))),
        ("steer", one(json!({ "message": "go" }))),
        ("collect", several.clone()),
        ("cancel", several.clone()),
        ("answer", one(json!({ "answer": "allow" }))),
        ("resume", several.clone()),
        ("diff", one(json!({}))),
        ("merge", several.clone()),
        ("discard", several),
    ]
}

#[test]
fn sessions_that_are_not_open_here_are_unknown() {
    let (home, mut panel) = panel("");
    home.open_gate("a");
    panel.spawn("work a");
    panel.until_state("t1", "completed");
    // Open in another process, with the same store.
    let mut other = Panel::new(&home);
    other.spawn("work a");
    let foreign = other.chat.session.clone();
    // Open here, and closed.
    let closed = panel.chat.agent.new_session(&home);
    panel.chat.agent.call("session/close", &json!({ "sessionId": closed })).result();
    for session in [&foreign, &closed, "nobody", ""] {
        for (verb, params) in requests(session, "t1") {
            let error = panel.refused("unknownSession", verb, params);
            assert_eq!(error["code"], -32002);
        }
        let spawn = json!({ "sessionId": session, "tasks": [{ "goal": "work a" }] });
        panel.refused("unknownSession", "spawn", spawn);
        panel.refused("unknownSession", "list", json!({ "sessionId": session }));
        panel.refused("unknownSession", "cancel", json!({ "sessionId": session, "all": true }));
    }
    assert_eq!(other.call("list", json!({}))["tasks"].as_array().unwrap().len(), 1);
}

#[test]
fn tasks_of_other_sessions_are_unknown() {
    let (home, mut panel) = panel("");
    home.open_gate("a");
    panel.spawn("work a");
    panel.until_state("t1", "completed");
    panel.chat.session = panel.chat.agent.new_session(&home);
    for task in ["t1", "t9", "t1.1", "t0", "", "everything", "99999999999999999999999"] {
        for (verb, params) in requests(&panel.chat.session.clone(), task) {
            panel.refused("unknownTask", verb, params);
        }
    }
    let goes_on = json!({ "tasks": [{ "goal": "work a", "continues": "t1" }] });
    panel.refused("unknownTask", "spawn", goes_on);
    // Of several tasks none is changed where one is unknown.
    panel.spawn("work b");
    panel.refused("unknownTask", "cancel", json!({ "taskIds": ["t1", "t2"] }));
    assert_eq!(panel.call("check", json!({ "taskId": "t1" }))["state"], "running");
}

#[test]
fn a_field_that_is_wrong_is_named_and_its_value_is_not() {
    let (_home, mut panel) = panel("");
    let session = panel.chat.session.clone();
    let secret = "sk-live-0123456789abcdef";
    for (verb, field, more) in [
        ("check", "taskId", json!({})),
        ("check", "taskId", json!({ "taskId": { "secret": secret } })),
        ("check", "lines", json!({ "taskId": "t1", "lines": secret })),
        ("check", "lines", json!({ "taskId": "t1", "lines": -1 })),
        ("steer", "message", json!({ "taskId": "t1" })),
        ("steer", "message", json!({ "taskId": "t1", "message": [secret] })),
        ("collect", "taskIds", json!({ "taskIds": secret })),
        ("collect", "taskIds", json!({ "taskIds": [] })),
        ("collect", "wait", json!({ "taskIds": ["t1"], "wait": secret })),
        ("collect", "timeoutSeconds", json!({ "taskIds": ["t1"], "timeoutSeconds": secret })),
        ("cancel", "taskIds", json!({ "taskIds": [{ "a": secret }] })),
        ("cancel", "taskIds", json!({})),
        ("cancel", "all", json!({ "all": false })),
        ("cancel", "all", json!({ "all": true, "taskIds": ["t1"] })),
        ("cancel", "reason", json!({ "all": true, "reason": { "a": secret } })),
        ("list", "state", json!({ "state": secret })),
        ("answer", "answer", json!({ "taskId": "t1", "answer": secret })),
        ("resume", "all", json!({ "all": secret })),
        ("spawn", "tasks", json!({})),
        ("spawn", "tasks", json!({ "tasks": { "goal": secret } })),
        ("spawn", "tasks", json!({ "tasks": [secret] })),
        ("spawn", "goal", json!({ "tasks": [{ "context": secret }] })),
        ("spawn", "tasks", json!({ "tasks": [{ "goal": "g", "isolation": secret }] })),
        ("spawn", "key", json!({ "tasks": [{ "goal": "g" }], "key": [secret] })),
        ("merge", "taskIds", json!({ "taskIds": null })),
        ("discard", "taskIds", json!({ "taskIds": 7 })),
        ("diff", "taskId", json!({ "taskId": [secret] })),
    ] {
        let error = panel.refused("invalid", verb, more);
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(&format!("`{field}")), "{verb}, {field}: {message}");
        assert!(!error.to_string().contains(secret), "{verb}, {field}: {error}");
    }
    for params in [json!({}), json!({ "sessionId": { "a": secret } }), json!({ "sessionId": 7 })] {
        for verb in ["spawn", "check", "cancel", "list", "merge"] {
            let mut params = params.clone();
            params.as_object_mut().unwrap().extend(
                json!({ "taskId": "t1", "taskIds": ["t1"], "tasks": [{ "goal": "g" }] })
                    .as_object()
                    .unwrap()
                    .clone(),
            );
            let error = panel.error("invalid", verb, &params);
            let message = error["message"].as_str().unwrap();
            assert!(message.contains("`sessionId`"), "{verb} {params}: {message}");
            assert!(!error.to_string().contains(secret), "{error}");
        }
    }
    for params in [json!([session]), json!([]), json!(null)] {
        panel.error("invalid", "list", &params);
    }
    // Nothing of it did anything, and the connection goes on.
    assert_eq!(panel.call("list", json!({})), json!({ "tasks": [] }));
}

#[test]
fn values_that_make_no_sense_start_nothing() {
    let (home, mut panel) = panel("");
    let outside = home.write_outside("picture.png", "no picture");
    for task in [
        json!({ "goal": " " }),
        json!({ "goal": "g", "toolsets": ["nothing"] }),
        json!({ "goal": "g", "outputSchema": { "type": "nothing" } }),
        json!({ "goal": "g", "images": ["missing.png"] }),
        json!({ "goal": "g", "images": [outside] }),
    ] {
        let several = json!({ "tasks": [{ "goal": "work a" }, task] });
        panel.refused("invalid", "spawn", several);
    }
    panel.refused("invalid", "spawn", json!({ "tasks": [] }));
    assert_eq!(panel.call("list", json!({})), json!({ "tasks": [] }));
    panel.spawn("work a");
    panel.refused("invalid", "steer", json!({ "taskId": "t1", "message": " " }));
    let reason = json!({ "taskId": "t1", "answer": "allow", "reason": "because" });
    panel.refused("invalid", "answer", reason);
}

#[test]
fn limits_are_named_and_states_are_said() {
    let config = "delegation:\n  max_concurrent_children: 1\n  max_queued: 1\n";
    let (home, mut panel) = panel(config);
    let three = ["work a", "work b", "work c"].map(|goal| json!({ "goal": goal }));
    let error = panel.refused("limit", "spawn", json!({ "tasks": three }));
    assert!(error["message"].as_str().unwrap().contains("`delegation.max_queued`"), "{error}");
    assert_eq!(panel.call("list", json!({})), json!({ "tasks": [] }));
    panel.spawn("work a");
    panel.refused("state", "resume", json!({ "taskIds": ["t1"] }));
    panel.refused("state", "answer", json!({ "taskId": "t1", "answer": "allow" }));
    let goes_on = json!({ "tasks": [{ "goal": "work b", "continues": "t1" }] });
    panel.refused("state", "spawn", goes_on);
    assert_eq!(panel.call("answer", json!({ "taskId": "t1" }))["question"], Value::Null);
    home.open_gate("a");
    panel.until_state("t1", "completed");
    panel.refused("state", "answer", json!({ "taskId": "t1", "answer": "deny" }));
}

#[test]
fn a_session_that_may_have_no_tasks_says_so() {
    let (_home, mut panel) = panel("delegation:\n  max_spawn_depth: 0\n");
    panel.refused("state", "spawn", json!({ "tasks": [{ "goal": "work a" }] }));
    panel.refused("state", "list", json!({}));
}

#[test]
fn before_the_greeting_there_is_no_method() {
    let home = Home::scripted(MODEL);
    let mut agent = Agent::start(&home);
    let before = agent.call("session/new", &json!({ "cwd": home.work(), "mcpServers": [] }));
    for method in Schema::read().requests() {
        let answer = agent.call(method, &json!({ "sessionId": "s" }));
        assert_eq!(answer.code(), before.code(), "{method}: {}", answer.response);
    }
    agent.initialize(&capabilities());
    let mut panel = Panel::of(Chat::of(agent, &home));
    assert_eq!(panel.call("list", json!({})), json!({ "tasks": [] }));
}

#[test]
fn what_keeps_the_tasks_may_be_away_for_a_while() {
    let (home, mut panel) = panel("");
    home.open_gate("a");
    panel.spawn("work a");
    panel.until_state("t1", "completed");
    let locked = Locked::for_writing(&home);
    panel.refused("unavailable", "spawn", json!({ "tasks": [{ "goal": "work a" }] }));
    assert_eq!(panel.call("list", json!({}))["tasks"].as_array().unwrap().len(), 1);
    drop(locked);
    let task = panel.spawn("work a");
    panel.until_state(&task, "completed");
}
