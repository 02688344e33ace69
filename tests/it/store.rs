//! Sessions that last, against what can happen to a process and to its disk: `faults` of the state folder,
//! a `crash` at any moment, several `processes` on one folder. Here is what they share.

mod crash;
mod faults;
mod processes;

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::agent::{Agent, Answer};
use crate::support::home::Home;

const BYPASS: &str = "permissions: {mode: bypass}\n";
/// How the user is told that a session is not saved, and that it is again.
const NOT_SAVED: &str = "This session is not being saved";
const SAVED_AGAIN: &str = "This session is saved again";
const LONG: Duration = Duration::from_secs(10);

/// Ends the agent as a crash does.
fn kill(agent: &mut Agent) {
    agent.unchecked();
    agent.signal("-KILL");
    agent.exit(LONG);
}

/// Ends the agent as an editor does that is closed.
fn close(agent: &mut Agent) {
    agent.close_stdin();
    assert!(agent.exit(LONG).success());
}

fn try_load(agent: &mut Agent, home: &Home, session: &str) -> Answer {
    let params = json!({ "sessionId": session, "cwd": home.work(), "mcpServers": [] });
    let mut answer = agent.call("session/load", &params);
    // The commands of a session that was opened before follow its answer.
    answer.before.retain(|message| {
        message["params"]["update"]["sessionUpdate"] != "available_commands_update"
    });
    answer
}

/// Loads a session; what it replays is whole.
fn load(agent: &mut Agent, home: &Home, session: &str) -> Answer {
    let answer = try_load(agent, home, session);
    answer.result();
    answer.check_calls();
    for message in &answer.before {
        assert_eq!(message["method"], "session/update", "a replay asks for nothing: {message}");
        assert_eq!(message["params"]["sessionId"], session, "{message}");
    }
    assert_eq!(answer.calls().len(), all_calls(&answer).len(), "a call is replayed as one update");
    answer
}

/// The updates of calls, of whatever kind.
fn all_calls(answer: &Answer) -> Vec<&Value> {
    let updates = answer.before.iter().map(|message| &message["params"]["update"]);
    updates.filter(|update| update["toolCallId"].is_string()).collect()
}

/// Who said what under which message id: pieces of a message are joined.
fn said(messages: &[Value]) -> Vec<(String, String, String)> {
    let mut said: Vec<(String, String, String)> = Vec::new();
    for message in messages {
        let update = &message["params"]["update"];
        let kind = update["sessionUpdate"].as_str().unwrap_or_default();
        let Some(who) = kind.strip_suffix("_message_chunk") else { continue };
        let id = update["messageId"].as_str().unwrap_or_default();
        let text = update["content"]["text"].as_str().unwrap_or_default();
        match said.last_mut() {
            Some((last, same, whole)) if last == who && same == id => whole.push_str(text),
            _ => said.push((who.to_owned(), id.to_owned(), text.to_owned())),
        }
    }
    said
}

/// What one of the two said, without ids.
fn texts(messages: &[Value], who: &str) -> Vec<String> {
    said(messages)
        .into_iter()
        .filter(|(speaker, _, _)| speaker == who)
        .map(|(_, _, text)| text)
        .collect()
}

/// How many messages hold `text`.
fn count(messages: &[Value], text: &str) -> usize {
    texts(messages, "agent").iter().filter(|said| said.contains(text)).count()
}

/// The sessions that a list shows: id and title.
fn listed(agent: &mut Agent) -> Vec<(String, Option<String>)> {
    let answer = agent.call("session/list", &json!({}));
    let sessions = answer.result()["sessions"].as_array().unwrap().clone();
    sessions
        .iter()
        .map(|session| {
            let text = |field: &str| session[field].as_str().map(str::to_owned);
            (text("sessionId").unwrap(), text("title"))
        })
        .collect()
}
