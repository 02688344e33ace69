//! Checklist 38: `session/resume` and `session/fork` go on without showing anything.

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::home::Home;
use crate::support::stored::{conversation, listed, load, params, said, texts};

/// The second turn sees the first.
const TWO: &str = "when prompt \"first\"\n  say \"One.\"\nwhen prompt \"hold\"\n  say \"Begun.\"\n  gate go\n  say \" Ended.\"\nwhen prompt \"alone\"\n  expect items 1\n  say \"Alone.\"\nwhen any\n  expect items 3\n  say \"Two.\"\n";

fn begun(home: &Home) -> (Agent, String) {
    let mut agent = Agent::ready(home);
    let session = agent.new_session(home);
    assert_eq!(agent.ask(&session, "first").text(), "One.");
    (agent, session)
}

#[test]
fn c38_a_resume_shows_nothing_and_goes_on() {
    let home = Home::scripted(TWO);
    let (agent, session) = begun(&home);
    drop(agent);
    let mut agent = Agent::ready(&home);
    let answer = agent.call("session/resume", &params(&home, &session));
    assert_eq!(answer.before, Vec::<Value>::new());
    assert_eq!(answer.result()["modes"]["currentModeId"], "ask");
    assert_eq!(answer.result()["configOptions"].as_array().unwrap().len(), 3);
    let (before, _) = agent.wait_for_update("available_commands_update");
    assert_eq!(before, Vec::<Value>::new());
    assert_eq!(title_and_usage(&mut agent), json!("first"));
    agent.assert_silent();
    assert_eq!(agent.ask(&session, "second").text(), "Two.");
}

/// The title, which comes alone with the usage.
fn title_and_usage(agent: &mut Agent) -> Value {
    let (before, _) = agent.wait_for_update("usage_update");
    let [title] = &before[..] else { panic!("{before:?}") };
    title["params"]["update"]["title"].clone()
}

#[test]
fn c38_a_resume_while_a_turn_runs_comes_behind_it() {
    let home = Home::scripted(TWO);
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let prompt = agent.prompt(&session, "hold");
    agent.wait_for_update("agent_message_chunk");
    let resuming = agent.request("session/resume", &params(&home, &session));
    let later = agent.prompt(&session, "second");
    agent.call("talaria_test/nothing", &json!({}));
    home.open_gate("go");
    assert_eq!(agent.wait(&prompt).text(), " Ended.");
    let answer = agent.wait(&resuming);
    answer.result();
    assert_eq!(answer.before, Vec::<Value>::new());
    assert_eq!(agent.wait(&later).text(), "Two.");
}

#[test]
fn c20_a_fork_is_a_session_of_its_own() {
    let home = Home::scripted(TWO);
    let (mut agent, session) = begun(&home);
    let answer = agent.call("session/fork", &params(&home, &session));
    let fork = answer.result()["sessionId"].as_str().unwrap().to_owned();
    assert_ne!(fork, session);
    assert!(answer.before.iter().all(|message| message["params"]["sessionId"] != fork.as_str()));
    assert_eq!(answer.result()["configOptions"].as_array().unwrap().len(), 3);
    agent.wait_for_update("available_commands_update");
    assert_eq!(title_and_usage(&mut agent), json!("first"));
    // Both are open; each goes on alone.
    assert_eq!(agent.ask(&fork, "second").text(), "Two.");
    assert_eq!(agent.ask(&session, "second").text(), "Two.");
    drop(agent);
    let mut agent = Agent::ready(&home);
    let of_fork = conversation(&load(&mut agent, &home, &fork).before);
    let of_source = conversation(&load(&mut agent, &home, &session).before);
    assert_eq!(texts(&of_fork, "user_message_chunk"), ["first", "second"]);
    assert_eq!(texts(&of_fork, "agent_message_chunk"), ["One.", "Two."]);
    assert_eq!(said(&of_fork)[..2], said(&of_source)[..2]);
    let mut ids = listed(&mut agent);
    ids.sort();
    let mut both = vec![session.clone(), fork.clone()];
    both.sort();
    assert_eq!(ids, both);
    agent.call("session/delete", &json!({ "sessionId": session })).result();
    load(&mut agent, &home, &fork);
}

#[test]
fn c20_a_fork_of_a_running_session_leaves_it_alone() {
    let home = Home::scripted(TWO);
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let prompt = agent.prompt(&session, "hold");
    agent.wait_for_update("agent_message_chunk");
    let answer = agent.call("session/fork", &params(&home, &session));
    let fork = answer.result()["sessionId"].as_str().unwrap().to_owned();
    assert_eq!(agent.ask(&fork, "/version").stop_reason(), "end_turn");
    home.open_gate("go");
    let answer = agent.wait(&prompt);
    assert_eq!((answer.stop_reason(), answer.text().as_str()), ("end_turn", " Ended."));
    // A fork of a session that another process has open is fine, too.
    let mut other = Agent::ready(&home);
    let answer = other.call("session/fork", &params(&home, &session));
    let fork = answer.result()["sessionId"].as_str().unwrap().to_owned();
    assert_eq!(other.ask(&fork, "second").text(), "Two.");
}
