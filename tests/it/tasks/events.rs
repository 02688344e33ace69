//! The methods about tasks over the connection of the client, and the events that it may ask for.

use serde_json::{Value, json};

use super::*;
use crate::support::agent::{Agent, Client};

const EVENT: &str = "_talaria/task/event";

fn capabilities() -> Value {
    json!({ "_meta": { "talaria": { "events": true } } })
}

fn listening(config: &str) -> (Home, Chat) {
    let home = Home::scripted(MODEL);
    home.write_config(config);
    let mut agent = Agent::start(&home);
    agent.initialize_as(Client::GOOD, &capabilities());
    let chat = Chat::of(agent, &home);
    (home, chat)
}

fn spawn(chat: &mut Chat, goals: &[&str]) -> Value {
    let tasks: Vec<Value> = goals.iter().map(|goal| json!({ "goal": goal })).collect();
    let params = json!({ "sessionId": chat.session, "tasks": tasks });
    chat.call("_talaria/task/spawn", &params)
}

/// What was told of a task, each state once.
fn told(chat: &Chat, task: &str) -> Vec<String> {
    let events = chat.came().iter().filter(|message| message["method"] == EVENT);
    let of_task = events.map(|event| {
        assert_eq!(event["params"]["sessionId"], *chat.session, "{event}");
        &event["params"]["task"]
    });
    let of_task = of_task.filter(|of| of["taskId"] == task);
    let mut states: Vec<String> =
        of_task.map(|of| of["state"].as_str().unwrap().to_owned()).collect();
    states.dedup();
    states
}

fn until(chat: &mut Chat, task: &str, state: &str) {
    chat.wait(&format!("{task} to be {state}"), |chat| {
        told(chat, task).last().is_some_and(|last| last == state).then_some(())
    });
}

#[test]
fn a_client_that_wants_them_hears_how_tasks_stand() {
    let (home, mut chat) = listening("");
    let started = spawn(&mut chat, &["work a", "work b"]);
    assert_eq!(started["result"]["tasks"][1]["taskId"], "t2", "{started}");
    until(&mut chat, "t1", "running");
    home.open_gate("a");
    until(&mut chat, "t1", "completed");
    until(&mut chat, "t2", "running");
    let which = json!({ "sessionId": chat.session, "taskIds": ["t2"] });
    let cancelled = chat.call("_talaria/task/cancel", &which);
    assert_eq!(cancelled["result"]["tasks"][0]["state"], "cancelled", "{cancelled}");
    until(&mut chat, "t2", "cancelled");
    // None comes behind the last word of the session.
    let closed = chat.call("session/close", &json!({ "sessionId": chat.session }));
    assert!(closed.get("error").is_none(), "{closed}");
    chat.agent.assert_silent();
}

#[test]
fn the_first_words_are_how_each_task_stands_and_come_behind_the_opening() {
    let (home, mut chat) = listening("");
    spawn(&mut chat, &["work a", "work b"]);
    home.open_gate("a");
    until(&mut chat, "t1", "completed");
    until(&mut chat, "t2", "running");
    let session = chat.kill();
    let mut agent = Agent::start(&home);
    agent.initialize_as(Client::GOOD, &capabilities());
    let mut chat = Chat::load_in(agent, &home, &session);
    assert!(chat.came().iter().all(|message| message["method"] != EVENT), "{:?}", chat.came());
    until(&mut chat, "t2", "interrupted");
    assert_eq!(told(&chat, "t1"), ["completed"]);
    let resumed = chat.call("_talaria/task/resume", &json!({ "sessionId": session, "all": true }));
    assert_eq!(resumed["result"]["tasks"][0]["taskId"], "t2", "{resumed}");
    until(&mut chat, "t2", "completed");
}

#[test]
fn one_that_goes_on_with_another_that_is_named_is_resumed_with_it() {
    let (home, mut chat) = listening("delegation:\n  max_spawn_depth: 2\n");
    spawn(&mut chat, &["nest work a", "work b"]);
    home.open_gate("b");
    until(&mut chat, "t2", "completed");
    let below = json!({ "sessionId": chat.session, "taskId": "t1.1" });
    while chat.call("_talaria/task/check", &below)["result"]["state"] != "running" {}
    let session = chat.kill();
    let mut agent = Agent::start(&home);
    agent.initialize_as(Client::GOOD, &capabilities());
    let mut chat = Chat::load_in(agent, &home, &session);
    until(&mut chat, "t1", "interrupted");
    let mut resume = |names: &[&str]| {
        let which = json!({ "sessionId": session, "taskIds": names });
        chat.call("_talaria/task/resume", &which)
    };
    // One that cannot go on refuses all.
    let refused = resume(&["t1", "t2"]);
    assert!(refused["error"]["message"].as_str().unwrap().contains("`t2` is completed"));
    let resumed = resume(&["t1", "t1.1", "t1"]);
    let tasks = resumed["result"]["tasks"].as_array().unwrap_or_else(|| panic!("{resumed}"));
    let names: Vec<_> = tasks.iter().map(|task| task["taskId"].as_str().unwrap()).collect();
    assert_eq!(names, ["t1", "t1.1"]);
    home.open_gate("a");
    until(&mut chat, "t1", "completed");
}

#[test]
fn who_did_not_ask_for_them_gets_none() {
    let (home, mut chat) = chat();
    spawn(&mut chat, &["work a"]);
    home.open_gate("a");
    let which = json!({ "sessionId": chat.session, "taskIds": ["t1"] });
    let collected = chat.call("_talaria/task/collect", &which);
    assert_eq!(collected["result"]["tasks"][0]["report"], "Begun a. Ended a.", "{collected}");
    chat.settle();
    assert!(chat.came().iter().all(|message| message["method"] != EVENT));
}

#[test]
fn what_waits_for_tasks_can_be_cancelled_and_they_go_on() {
    let (home, mut chat) = chat();
    spawn(&mut chat, &["work a"]);
    let which = json!({ "sessionId": chat.session, "taskIds": ["t1"] });
    let waits = chat.agent.request("_talaria/task/collect", &which);
    chat.agent.notify("$/cancel_request", &json!({ "requestId": waits }));
    let at = chat.wait("the end of the wait", |chat| chat.response(&waits));
    assert_eq!(chat.came()[at]["error"]["code"], -32800, "{}", chat.came()[at]);
    home.open_gate("a");
    let collected = chat.call("_talaria/task/collect", &which);
    assert_eq!(collected["result"]["tasks"][0]["state"], "completed", "{collected}");
}

#[test]
fn requests_right_behind_an_opening_find_its_tasks() {
    let (home, mut chat) = chat();
    spawn(&mut chat, &["work a"]);
    home.open_gate("a");
    let which = json!({ "sessionId": chat.session, "taskIds": ["t1"] });
    chat.call("_talaria/task/collect", &which);
    let session = chat.kill();
    let mut agent = Agent::ready(&home);
    let open = crate::support::stored::params(&home, &session);
    let resumed = agent.request("session/resume", &open);
    let listed = agent.request("_talaria/task/list", &json!({ "sessionId": session }));
    agent.wait(&resumed).result();
    let answer = agent.wait(&listed);
    assert_eq!(answer.result()["tasks"][0]["taskId"], "t1");
    // And what could not be opened is refused with the same error.
    let gone = json!({ "sessionId": "nobody", "cwd": home.work(), "mcpServers": [] });
    let opening = agent.request("session/resume", &gone);
    let listed = agent.request("_talaria/task/list", &json!({ "sessionId": "nobody" }));
    let (opening, listed) = (agent.wait(&opening), agent.wait(&listed));
    assert_eq!((opening.code(), opening.message()), (listed.code(), listed.message()));
}

#[test]
fn where_there_are_no_tasks_each_method_says_so() {
    let (_home, mut chat) = chat_with("delegation: {max_spawn_depth: 0}\n");
    let answer = spawn(&mut chat, &["work a"]);
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("delegation.max_spawn_depth"), "{message}");
}

#[test]
fn the_connection_serves_what_is_asked_of_its_own_sessions_alone() {
    let (_home, mut chat) = chat();
    for method in [
        "_talaria/session/list",
        "_talaria/task/subscribe",
        "_talaria/task/unsubscribe",
        "_talaria/task/event",
        "_talaria/x/y",
        "_talaria/",
    ] {
        let answer = chat.call(method, &json!({ "sessionId": chat.session }));
        assert_eq!(answer["error"]["code"], -32601, "{method}: {answer}");
    }
    let answer = chat.call("_talaria/task/list", &json!({ "sessionId": "nobody" }));
    assert_eq!(answer["error"]["code"], -32002, "{answer}");
    assert_eq!(answer["error"]["data"]["kind"], "unknownSession", "{answer}");
    let answer = chat.call("_talaria/task/list", &json!({}));
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    chat.call("session/close", &json!({ "sessionId": chat.session }));
    let answer = spawn(&mut chat, &["work a"]);
    assert_eq!(answer["error"]["code"], -32002, "{answer}");
}

#[test]
fn a_client_that_does_not_read_is_told_less_and_the_ends_all_the_same() {
    let (home, mut chat) =
        listening("delegation: {max_concurrent_children: 10, max_queued: 200}\n");
    let goals: Vec<String> = (0..20).map(|number| format!("work {number}")).collect();
    let goals: Vec<&str> = goals.iter().map(String::as_str).collect();
    spawn(&mut chat, &goals);
    chat.agent.hold_stdout();
    (0..20).for_each(|number| home.open_gate(&number.to_string()));
    let names: Vec<String> = (1..=20).map(|number| format!("t{number}")).collect();
    let all = json!({ "sessionId": chat.session, "taskIds": names });
    let collected = chat.agent.request("_talaria/task/collect", &all);
    chat.agent.read_stdout();
    chat.wait("the reports", |chat| chat.response(&collected));
    for name in &names {
        until(&mut chat, name, "completed");
    }
}
