//! Several processes on one state folder: each editor window starts its own.

use serde_json::json;

use super::{close, kill, listed, load, said, texts, try_load};
use crate::support::agent::Agent;
use crate::support::home::Home;

const SCRIPT: &str = r#"
    when prompt "hold a"
      say "Held a."
      gate a
      say "Let go."
    when any
      say "You said ${prompt}."
"#;

/// Two windows.
fn two(home: &Home) -> (Agent, Agent) {
    (Agent::ready(home), Agent::ready(home))
}

#[test]
fn sessions_of_two_processes_are_seen_by_both() {
    let home = Home::scripted(SCRIPT);
    let (mut one, mut two) = two(&home);
    let (first, second) = (one.new_session(&home), two.new_session(&home));
    for round in 0..10 {
        let text = format!("round {round}");
        let (here, there) = (one.prompt(&first, &text), two.prompt(&second, &text));
        assert_eq!(one.wait(&here).text(), format!("You said {text}."));
        assert_eq!(two.wait(&there).text(), format!("You said {text}."));
    }
    for agent in [&mut one, &mut two] {
        let mut ids: Vec<String> = listed(agent).into_iter().map(|(id, _)| id).collect();
        ids.sort();
        let mut both = [first.clone(), second.clone()];
        both.sort();
        assert_eq!(ids, both);
    }
    close(&mut one);
    let replay = load(&mut two, &home, &first);
    assert_eq!(texts(&replay.before, "user").len(), 10);
}

#[test]
fn a_session_is_open_in_one_process_at_a_time() {
    let home = Home::scripted(SCRIPT);
    let (mut one, mut two) = two(&home);
    let session = one.new_session(&home);
    let held = one.prompt(&session, "hold a");
    one.wait_for_text("Held a.");
    for method in ["session/load", "session/resume"] {
        let params = json!({ "sessionId": session, "cwd": home.work(), "mcpServers": [] });
        let answer = two.call(method, &params);
        assert_eq!(answer.before, [] as [serde_json::Value; 0]);
        let pid = format!("process {}", one.pid());
        assert!(answer.message().contains(&pid), "{}", answer.response);
        assert!(answer.message().contains("fork"), "it says what to do: {}", answer.response);
    }
    let refused = two.call("session/delete", &json!({ "sessionId": session }));
    assert!(refused.message().contains("is open in another Talaria"), "{}", refused.response);
    // Nothing of that touched the turn.
    home.open_gate("a");
    assert_eq!(one.wait(&held).text(), "Let go.");
    one.call("session/close", &json!({ "sessionId": session })).result();
    let replay = load(&mut two, &home, &session);
    assert_eq!(texts(&replay.before, "agent"), ["Held a.Let go."]);
    assert_eq!(two.ask(&session, "mine").text(), "You said mine.");
    let answer = try_load(&mut one, &home, &session);
    assert!(answer.message().contains("is open in another Talaria"), "{}", answer.response);
}

#[test]
fn a_copy_can_be_made_of_a_session_that_is_open_elsewhere() {
    let home = Home::scripted(SCRIPT);
    let (mut one, mut two) = two(&home);
    let session = one.new_session(&home);
    one.ask(&session, "hello");
    let params = json!({ "sessionId": session, "cwd": home.work(), "mcpServers": [] });
    let fork = two.call("session/fork", &params).result()["sessionId"].as_str().unwrap().to_owned();
    assert_ne!(fork, session);
    assert_eq!(two.ask(&fork, "there").text(), "You said there.");
    assert_eq!(one.ask(&session, "here").text(), "You said here.");
    let (here, there) = (load(&mut one, &home, &session), load(&mut two, &home, &fork));
    assert_eq!(texts(&here.before, "user"), ["hello", "here"]);
    assert_eq!(texts(&there.before, "user"), ["hello", "there"]);
}

#[test]
fn the_session_of_a_killed_process_can_be_opened_at_once() {
    let home = Home::scripted(SCRIPT);
    let (mut one, mut two) = two(&home);
    let session = one.new_session(&home);
    one.ask(&session, "hello");
    one.prompt(&session, "hold a");
    one.wait_for_text("Held a.");
    kill(&mut one);
    let replay = load(&mut two, &home, &session);
    assert_eq!(texts(&replay.before, "user"), ["hello", "hold a"]);
    assert_eq!(two.ask(&session, "on").text(), "You said on.");
}

#[test]
fn the_session_of_a_process_that_ends_is_waited_for() {
    let home = Home::scripted(SCRIPT);
    let (mut one, mut two) = two(&home);
    let session = one.new_session(&home);
    one.ask(&session, "hello");
    one.prompt(&session, "hold a");
    one.wait_for_text("Held a.");
    one.unchecked();
    one.close_stdin();
    let replay = load(&mut two, &home, &session);
    assert_eq!(texts(&replay.before, "user"), ["hello", "hold a"]);
    assert_eq!(two.ask(&session, "on").text(), "You said on.");
}

/// A session goes from one process to the next many times; what is said stays in order and once.
#[test]
fn a_session_can_go_to_and_fro() {
    let home = Home::scripted(SCRIPT);
    let (mut one, mut two) = two(&home);
    let session = one.new_session(&home);
    let mut asked = vec!["start".to_owned()];
    one.ask(&session, "start");
    one.call("session/close", &json!({ "sessionId": session })).result();
    for round in 0..6 {
        let agent = if round % 2 == 0 { &mut two } else { &mut one };
        let replay = load(agent, &home, &session);
        assert_eq!(texts(&replay.before, "user"), asked);
        let text = format!("round {round}");
        agent.ask(&session, &text);
        asked.push(text);
        agent.call("session/close", &json!({ "sessionId": session })).result();
    }
    let replay = load(&mut one, &home, &session);
    let mut ids: Vec<String> = said(&replay.before).into_iter().map(|(_, id, _)| id).collect();
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all, "each message has an id of its own");
}

/// Many processes that begin at once make one database, and each writes.
#[test]
fn many_processes_may_begin_together() {
    let home = Home::scripted(SCRIPT);
    let mut agents: Vec<Agent> = (0..6).map(|_| Agent::start(&home)).collect();
    let prompts: Vec<_> = agents
        .iter_mut()
        .map(|agent| {
            agent.initialize(&json!({}));
            let session = agent.new_session(&home);
            let id = agent.prompt(&session, "hello");
            (session, id)
        })
        .collect();
    for (agent, (_, id)) in agents.iter_mut().zip(&prompts) {
        assert_eq!(agent.wait(id).text(), "You said hello.");
    }
    agents.iter_mut().for_each(close);
    let mut agent = Agent::ready(&home);
    assert_eq!(listed(&mut agent).len(), prompts.len());
    for (session, _) in &prompts {
        let replay = load(&mut agent, &home, session);
        assert_eq!(texts(&replay.before, "agent"), ["You said hello."]);
    }
}

/// A search that opens and closes the database takes the engine's locks from its process. What is written
/// from there on must not be lost when another process ends.
#[test]
fn a_search_of_the_state_folder_costs_nothing() {
    let home = Home::scripted("");
    let search = json!({ "pattern": "nothing of it", "path": home.state() });
    let script =
        format!("when prompt \"look\"\n  call grep {search}\n  then\n  say \"Done.\"\n{SCRIPT}");
    std::fs::write(home.script(), script).unwrap();
    let (mut one, mut two) = two(&home);
    let (first, second) = (one.new_session(&home), two.new_session(&home));
    one.ask(&first, "before");
    two.ask(&second, "before");
    let mode = json!({ "sessionId": first, "modeId": "bypass" });
    one.call("session/set_mode", &mode).result();
    assert_eq!(one.ask(&first, "look").text(), "Done.");
    close(&mut two);
    one.ask(&first, "behind");
    let mut three = Agent::ready(&home);
    assert_eq!(listed(&mut three).len(), 2);
    kill(&mut one);
    let replay = load(&mut three, &home, &first);
    assert_eq!(texts(&replay.before, "user"), ["before", "look", "behind"]);
}
