//! Tasks that are started, watched, steered, answered, collected and cancelled by a client, without a word in the chat.

use serde_json::{Value, json};

use super::panel::{EVENT, Panel, Schema, capabilities};
use crate::support::agent::Agent;
use crate::support::home::Home;
use crate::support::tasks::{Chat, MODEL};

fn home(config: &str) -> Home {
    let home = Home::scripted(MODEL);
    home.write_config(config);
    home
}

fn ids(answer: &Value) -> Vec<(&str, &str)> {
    let tasks = answer["tasks"].as_array().unwrap().iter();
    tasks.map(|task| (task["taskId"].as_str().unwrap(), task["state"].as_str().unwrap())).collect()
}

#[test]
fn what_is_served_is_advertised() {
    let home = home("");
    let schema = Schema::read();
    let mut agent = Agent::start(&home);
    let answer = agent.initialize(&capabilities());
    let ours = &answer.result()["agentCapabilities"]["_meta"]["talaria"];
    schema.assert_is(schema.meta("agentCapabilities._meta.talaria"), ours);
    let served = ours["methods"].as_array().unwrap().iter();
    let mut served: Vec<&str> = served.map(|name| name.as_str().unwrap()).collect();
    served.sort_unstable();
    let mut specified = schema.requests();
    specified.sort_unstable();
    assert_eq!(served, specified);
    assert_eq!(ours["events"], true);
    assert_eq!(answer.result()["_meta"]["steering"]["supported"], true);
    // Each of them is there, and those of the socket are not, nor what nobody knows.
    let session = agent.new_session(&home);
    for method in served {
        let answer = agent.call(method, &json!({ "sessionId": session }));
        assert_ne!(answer.response["error"]["code"], -32601, "{method}");
    }
    for method in [
        "_talaria/session/list",
        "_talaria/task/subscribe",
        "_talaria/task/unsubscribe",
        "_talaria/task/pause",
        EVENT,
    ] {
        let answer = agent.call(method, &json!({ "sessionId": session }));
        assert_eq!(answer.code(), -32601, "{method}: {}", answer.response);
    }
}

#[test]
fn a_task_is_started_watched_steered_and_collected() {
    let home = home("");
    let mut panel = Panel::new(&home);
    let asked = json!({ "tasks": [{ "goal": "step a" }], "key": "panel-1" });
    assert_eq!(ids(&panel.call("spawn", asked.clone())), [("t1", "running")]);
    // The answer was lost, and the client asks again.
    assert_eq!(ids(&panel.call("spawn", asked)), [("t1", "running")]);
    let row = panel.until("t1", |row| row["line"].is_string());
    assert_eq!((&row["goal"], &row["state"]), (&json!("step a"), &json!("running")));
    let checked = panel.call("check", json!({ "taskId": "t1", "lines": 2 }));
    let lines = checked["lines"].as_array().unwrap();
    // A word that is still being written is not shown: it may be a secret.
    assert!(lines.iter().all(|line| "Begun a.".starts_with(line.as_str().unwrap())), "{checked}");
    let collected = panel.call("collect", json!({ "taskIds": ["t1"], "timeoutSeconds": 0 }));
    let partial = collected["tasks"][0]["partial"].as_str().unwrap();
    assert!("Begun a.".starts_with(partial), "{collected}");
    let steered = panel.call("steer", json!({ "taskId": "t1", "message": "be quick" }));
    assert_eq!(steered["receipt"], "queued");
    let wait = panel.begin("collect", json!({ "taskIds": ["t1"], "wait": "any" }));
    // Other requests are answered while one waits.
    assert_eq!(ids(&panel.call("list", json!({}))), [("t1", "running")]);
    home.open_gate("a");
    let collected = panel.result("collect", &wait);
    let report = collected["tasks"][0]["report"].as_str().unwrap();
    assert!(report.contains("heard be quick"), "{collected:#}");
    panel.until_state("t1", "completed");
    assert_eq!(ids(&panel.call("list", json!({ "state": "completed" }))), [("t1", "completed")]);
    assert_eq!(ids(&panel.call("list", json!({ "state": "queued" }))), []);
    let missed = panel.call("steer", json!({ "taskId": "t1", "message": "wait" }));
    assert_eq!((&missed["receipt"], &missed["state"]), (&json!("missed"), &json!("completed")));
    // To read a report takes nothing from the conversation: its card says how it ended, and a new task goes on from it.
    panel.chat.until("t1", "completed");
    let next =
        panel.spawn_with(json!({ "goal": "more", "context": "Be short.", "continues": "t1" }));
    let collected = panel.call("collect", json!({ "taskIds": [next, "t1"] }));
    assert_eq!(ids(&collected), [("t2", "completed"), ("t1", "completed")]);
}

#[test]
fn a_question_is_shown_and_answered() {
    let home = home("");
    let mut panel = Panel::new(&home);
    panel.spawn("write x.txt");
    let row = panel.until_state("t1", "waiting");
    let asks = row["question"]["call"].as_str().unwrap();
    assert!(asks.contains("x.txt"), "{row}");
    let shown = panel.call("answer", json!({ "taskId": "t1" }));
    assert_eq!((&shown["state"], &shown["question"]["call"]), (&json!("waiting"), &json!(asks)));
    assert!(!home.exists("x.txt"));
    panel.call("answer", json!({ "taskId": "t1", "answer": "allow" }));
    panel.until_state("t1", "completed");
    assert_eq!(home.read("x.txt"), "new\n");
    panel.spawn("write y.txt");
    panel.until_state("t2", "waiting");
    panel.call("answer", json!({ "taskId": "t2", "answer": "deny", "reason": "not there" }));
    panel.until_state("t2", "completed");
    assert!(!home.exists("y.txt"));
    panel.spawn("write z.txt");
    panel.until_state("t3", "waiting");
    panel.call("answer", json!({ "taskId": "t3", "answer": "always" }));
    panel.until_state("t3", "completed");
    panel.spawn("write w.txt");
    panel.until_state("t4", "completed");
    assert_eq!(home.read("w.txt"), "new\n");
}

#[test]
fn tasks_are_cancelled_one_by_one_and_all_together() {
    let home = home("delegation:\n  max_concurrent_children: 1\n");
    let mut panel = Panel::new(&home);
    let goals = ["work a", "work b", "work c"].map(|goal| json!({ "goal": goal }));
    let started = panel.call("spawn", json!({ "tasks": goals }));
    assert_eq!(ids(&started), [("t1", "running"), ("t2", "queued"), ("t3", "queued")]);
    let places = [1, 2].map(|at: usize| started["tasks"][at]["place"].clone());
    assert_eq!(places, [json!(1), json!(2)]);
    let cancelled = panel.call("cancel", json!({ "taskIds": ["t2"], "reason": "not needed" }));
    assert_eq!(ids(&cancelled), [("t2", "cancelled")]);
    let error = panel.call("check", json!({ "taskId": "t2" }))["error"].to_string();
    assert!(error.contains("not needed"), "{error}");
    panel.until("t3", |row| row["place"] == 1);
    let mut all = panel.call("cancel", json!({ "all": true }));
    all["tasks"].as_array_mut().unwrap().sort_by_key(|task| task["taskId"].to_string());
    assert_eq!(ids(&all), [("t1", "cancelled"), ("t3", "cancelled")]);
    panel.until_state("t1", "cancelled");
    panel.until_state("t3", "cancelled");
    assert_eq!(panel.call("cancel", json!({ "all": true })), json!({ "tasks": [] }));
    assert_eq!(ids(&panel.call("cancel", json!({ "taskIds": ["t1"] }))), [("t1", "cancelled")]);
}

#[test]
fn interrupted_tasks_are_told_and_go_on() {
    let home = home("");
    let mut panel = Panel::new(&home);
    for goal in ["work a", "work b", "work c"] {
        panel.spawn(goal);
    }
    panel.until_state("t3", "running");
    let session = panel.chat.kill();
    for gate in ["a", "b", "c"] {
        home.open_gate(gate);
    }
    let agent = Agent::ready_with(&home, &capabilities());
    let mut panel = Panel::of(Chat::load_in(agent, &home, &session));
    for task in ["t1", "t2", "t3"] {
        panel.until_state(task, "interrupted");
    }
    assert_eq!(ids(&panel.call("resume", json!({ "taskIds": ["t2"] }))), [("t2", "running")]);
    panel.until_state("t2", "completed");
    panel.refused("state", "resume", json!({ "taskIds": ["t1", "t2"] }));
    let resumed = panel.call("resume", json!({ "all": true }));
    assert_eq!(resumed["tasks"].as_array().unwrap().len(), 2, "{resumed}");
    panel.until_state("t1", "completed");
    panel.until_state("t3", "completed");
}

#[test]
fn a_client_that_asks_for_no_events_gets_none_and_may_call_everything_else() {
    let home = home("");
    for said in [json!({}), json!({ "_meta": { "talaria": { "events": false, "later": [1] } } })] {
        let mut panel = Panel::of(Chat::of(Agent::ready_with(&home, &said), &home));
        home.open_gate("a");
        panel.spawn("work a");
        panel.call("collect", json!({ "taskIds": ["t1"] }));
        panel.chat.until("t1", "completed");
        panel.chat.settle();
        assert!(panel.chat.came().iter().all(|message| message["method"] != EVENT));
    }
}

#[test]
fn events_say_which_session_they_are_of() {
    let home = home("");
    let mut panel = Panel::new(&home);
    home.open_gate("a");
    panel.spawn("work a");
    panel.until_state("t1", "completed");
    let first = panel.chat.session.clone();
    panel.chat.session = panel.chat.agent.new_session(&home);
    assert!(panel.shown().is_empty());
    panel.spawn("work b");
    assert_eq!(panel.until_state("t1", "running")["goal"], "work b");
    panel.chat.session = first;
    assert_eq!(panel.until_state("t1", "completed")["goal"], "work a");
}

#[test]
fn steering_answers_as_the_schema_says() {
    let home = home("");
    let mut panel = Panel::new(&home);
    let of = |schema: &Schema| schema.method("_session/steering")["result"].clone();
    let result = of(&panel.schema);
    let session = panel.chat.session.clone();
    let saying =
        |text: &str| json!({ "sessionId": session, "prompt": [{ "type": "text", "text": text }] });
    let mut careful = saying("hold it");
    careful["_meta"] = json!({ "steering": { "idleBehavior": "promptRequired" } });
    panel.schema.assert_is(&panel.schema.method("_session/steering")["params"], &careful);
    let refused = panel.chat.call("_session/steering", &careful);
    panel.schema.assert_is(&result, &refused["result"]);
    assert_eq!(refused["result"]["outcome"], "promptRequired");
    let began = panel.chat.call("_session/steering", &saying("hold it"));
    panel.schema.assert_is(&result, &began["result"]);
    assert_eq!(began["result"]["outcome"], "startedNewTurn");
    panel.chat.until_said("Holding it.");
    let injected = panel.chat.call("_session/steering", &saying("be quick"));
    panel.schema.assert_is(&result, &injected["result"]);
    assert_eq!(injected["result"]["outcome"], "injected");
    home.open_gate("it");
    panel.chat.until_said("You said be quick.");
}
