//! `_session/steering`: something for the running turn, to which no prompt's answer follows.

use serde_json::{Value, json};

use crate::support::agent::{Agent, Answer, Client};
use crate::support::client::nothing_asked;
use crate::support::home::Home;

use crate::support::stored;
use crate::support::tasks::{Chat, MODEL};

const METHOD: &str = "_session/steering";

const TALK: &str = r#"
    when prompt "first"
      say "one "
      gate go
      say "two "
    when steer "second"
      say "steered"
    when any
      say "fresh: ${prompt}"
"#;

fn params(session: &str, text: &str) -> Value {
    json!({ "sessionId": session, "prompt": [{ "type": "text", "text": text }] })
}

/// As clients send it that send a prompt where no turn runs.
fn careful(session: &str, text: &str) -> Value {
    let mut params = params(session, text);
    params["_meta"] = json!({ "steering": { "idleBehavior": "promptRequired" } });
    params
}

fn steer(agent: &mut Agent, session: &str, text: &str) -> Answer {
    agent.call(METHOD, &params(session, text))
}

fn chat(config: &str) -> (Home, Agent, String) {
    let home = Home::scripted(TALK);
    home.write_config(config);
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    (home, agent, session)
}

/// A turn that waits at the gate; its prompt's id.
fn first(agent: &mut Agent, session: &str) -> Value {
    let id = agent.prompt(session, "first");
    agent.wait_for_text("one ");
    id
}

#[test]
fn it_is_advertised_as_others_do() {
    let home = Home::empty();
    let answer = Agent::start(&home).initialize(&json!({}));
    assert_eq!(answer.result()["_meta"], json!({ "steering": { "supported": true } }));
}

#[test]
fn the_running_turn_takes_it_whatever_becomes_of_second_prompts() {
    for busy in ["steer", "queue", "interrupt"] {
        let (home, mut agent, session) = chat(&format!("session: {{busy: {busy}}}\n"));
        let one = first(&mut agent, &session);
        let steered = agent.call(METHOD, &careful(&session, "second"));
        assert_eq!(*steered.result(), json!({ "outcome": "injected" }), "{busy}");
        assert_eq!(steered.before, Vec::<Value>::new(), "nothing is said of it");
        home.open_gate("go");
        let answer = agent.wait(&one);
        assert_eq!(
            (answer.stop_reason(), answer.text().as_str()),
            ("end_turn", "two fresh: second")
        );
        assert_eq!(agent.turn(&session, "third", nothing_asked).text(), "fresh: third");
        // A replay shows it as what the user said.
        drop(agent);
        let mut agent = Agent::ready(&home);
        let shown = stored::load(&mut agent, &home, &session);
        let said: Vec<&Value> = shown
            .updates("user_message_chunk")
            .into_iter()
            .map(|update| &update["content"]["text"])
            .collect();
        assert_eq!(said, ["first", "second", "third"]);
    }
}

#[test]
fn where_nothing_runs_a_prompt_is_required_and_nothing_kept() {
    let (_home, mut agent, session) = chat("");
    agent.settle(&session);
    let answer = agent.call(METHOD, &careful(&session, "second"));
    let expected = json!({ "outcome": "promptRequired", "reason": "noRunningTurn" });
    assert_eq!(*answer.result(), expected);
    assert_eq!(agent.ask(&session, "third").text(), "fresh: third");
}

#[test]
fn where_nothing_runs_and_nobody_minds_a_turn_begins() {
    let (_home, mut agent, session) = chat("");
    let answer = steer(&mut agent, &session, "second");
    assert_eq!(*answer.result(), json!({ "outcome": "startedNewTurn" }));
    agent.wait_for_text("fresh: second");
    assert_eq!(agent.ask(&session, "third").text(), "fresh: third");
}

#[test]
fn commands_are_carried_out() {
    let (home, mut agent, session) = chat("");
    let one = first(&mut agent, &session);
    let answer = steer(&mut agent, &session, "/version");
    assert_eq!(*answer.result(), json!({ "outcome": "injected" }));
    assert!(answer.text().contains(env!("CARGO_PKG_VERSION")), "{}", answer.text());
    home.open_gate("go");
    assert_eq!(agent.wait(&one).text(), "two ");
}

#[test]
fn what_is_cancelled_before_it_was_delivered_is_not_seen_by_the_model() {
    let (home, mut agent, session) = chat("");
    let one = first(&mut agent, &session);
    steer(&mut agent, &session, "second").result();
    agent.cancel(&session);
    assert_eq!(agent.wait(&one).stop_reason(), "cancelled");
    home.open_gate("go");
    assert_eq!(agent.ask(&session, "third").text(), "fresh: third");
    agent.assert_silent();
    drop(agent);
    let mut agent = Agent::ready(&home);
    // It was said all the same.
    let shown = format!("{:?}", stored::load(&mut agent, &home, &session).before);
    assert!(shown.contains("second"), "{shown}");
}

#[test]
fn in_a_prompt_that_is_held_it_is_one_more_step() {
    let home = Home::scripted(MODEL);
    let mut chat = Chat::as_configured(Agent::ready_as(&home, Client::Unknown), &home);
    let turn = chat.prompt("async work a");
    chat.wait("the end of the first turn", |chat| {
        let mut updates = chat.came().iter().map(|message| &message["params"]["update"]);
        updates.any(|update| update["sessionUpdate"] == "session_info_update").then_some(())
    });
    chat.settle();
    assert_eq!(chat.response(&turn), None, "it is held");
    let steered = chat.call(METHOD, &careful(&chat.session.clone(), "hello"));
    assert_eq!(steered["result"], json!({ "outcome": "injected" }), "{steered}");
    chat.until_said("You said hello.");
    chat.settle();
    assert_eq!(chat.response(&turn), None, "it is held still");
    home.open_gate("a");
    let answer = chat.answer(&turn);
    assert_eq!(answer.stop, "end_turn");
    assert_eq!(chat.state("t1").as_deref(), Some("completed"));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let home = Home::scripted(TALK);
    let mut agent = Agent::start(&home);
    assert_eq!(steer(&mut agent, "x", "second").code(), -32600);
    agent.initialize(&json!({}));
    let session = agent.new_session(&home);
    let answer = steer(&mut agent, "x", "second");
    assert_eq!(
        (answer.code(), &answer.response["error"]["data"]["sessionId"]),
        (-32002, &json!("x"))
    );
    let text = json!([{ "type": "text", "text": "x" }]);
    for wrong in [
        json!({}),
        json!({ "sessionId": session }),
        json!({ "sessionId": session, "prompt": "text" }),
        json!({ "sessionId": session, "prompt": [] }),
        json!({ "sessionId": session, "prompt": [{ "type": "audio", "data": "", "mimeType": "a/b" }] }),
        json!({ "sessionId": session, "prompt": text,
                "_meta": { "steering": { "idleBehavior": "guess" } } }),
    ] {
        assert_eq!(agent.call(METHOD, &wrong).code(), -32602, "{wrong}");
    }
    agent.call("logout", &json!({})).result();
    assert_eq!(steer(&mut agent, &session, "second").code(), -32000);
    agent.notify(METHOD, &params(&session, "second"));
    agent.assert_silent();
}
