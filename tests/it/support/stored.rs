//! Conversations that were stored: opening them again, and comparing what a client saw with what it is
//! shown later.

use serde_json::{Value, json};

use super::agent::{Agent, Answer};
use super::home::Home;

/// The parameters that open a stored session in the home's work folder.
pub fn params(home: &Home, session: &str) -> Value {
    json!({ "sessionId": session, "cwd": home.work(), "mcpServers": [] })
}

/// Loads a session, which must work; everything that is shown comes before the answer.
pub fn load(agent: &mut Agent, home: &Home, session: &str) -> Answer {
    let answer = agent.call("session/load", &params(home, session));
    answer.result();
    answer
}

/// The ids of the sessions that are listed, the last used one first.
pub fn listed(agent: &mut Agent) -> Vec<String> {
    let answer = agent.call("session/list", &json!({}));
    let sessions = answer.result()["sessions"].as_array().unwrap();
    sessions.iter().map(|session| session["sessionId"].as_str().unwrap().to_owned()).collect()
}

/// One thing of a conversation, as it was in the end.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    Message {
        role: String,
        id: String,
        content: Vec<Value>,
    },
    Call {
        id: String,
        title: String,
        status: String,
        content: Value,
    },
    Plan(Value),
    Title(String),
    /// Anything that is no part of the conversation but its circumstances.
    Other(String),
}

/// What a client that puts everything together has in the end. Texts of one message are joined.
pub fn conversation<'a>(messages: impl IntoIterator<Item = &'a Value>) -> Vec<Shown> {
    let mut shown: Vec<Shown> = Vec::new();
    for message in messages {
        if message["method"] == "session/update" {
            add(&mut shown, &message["params"]["update"]);
        }
    }
    shown
}

fn add(shown: &mut Vec<Shown>, update: &Value) {
    let kind = update["sessionUpdate"].as_str().unwrap();
    match kind {
        "user_message_chunk" | "agent_message_chunk" | "agent_thought_chunk" => {
            let given = update["messageId"].as_str().unwrap();
            let block = &update["content"];
            if let Some(Shown::Message { id, content, .. }) = shown.last_mut()
                && id == given
            {
                return match (content.last_mut(), block["text"].as_str()) {
                    (Some(last), Some(more)) if last["type"] == "text" => {
                        last["text"] = json!(last["text"].as_str().unwrap().to_owned() + more);
                    }
                    _ => content.push(block.clone()),
                };
            }
            shown.push(Shown::Message {
                role: kind.to_owned(),
                id: given.to_owned(),
                content: vec![block.clone()],
            });
        }
        "tool_call" | "tool_call_update" => {
            let given = update["toolCallId"].as_str().unwrap();
            let known =
                shown.iter().position(|one| matches!(one, Shown::Call { id, .. } if id == given));
            let at = known.unwrap_or_else(|| {
                assert_eq!(kind, "tool_call", "a call comes to be before it changes: {update}");
                shown.push(Shown::Call {
                    id: given.to_owned(),
                    title: String::new(),
                    status: "pending".to_owned(),
                    content: Value::Null,
                });
                shown.len() - 1
            });
            let Shown::Call { title, status, content, .. } = &mut shown[at] else { return };
            if let Some(new) = update["title"].as_str() {
                new.clone_into(title);
            }
            if let Some(new) = update["status"].as_str() {
                new.clone_into(status);
            }
            if let Some(new) = update.get("content").filter(|new| !new.is_null()) {
                *content = new.clone();
            }
        }
        // Only the last one counts.
        "plan" => {
            shown.retain(|one| !matches!(one, Shown::Plan(_)));
            shown.push(Shown::Plan(update["entries"].clone()));
        }
        "session_info_update" => {
            shown.push(Shown::Title(update["title"].as_str().unwrap().to_owned()));
        }
        kind => shown.push(Shown::Other(kind.to_owned())),
    }
}

/// The messages and calls, in order.
pub fn said(conversation: &[Shown]) -> Vec<Shown> {
    let is_said = |one: &&Shown| matches!(one, Shown::Message { .. } | Shown::Call { .. });
    conversation.iter().filter(is_said).cloned().collect()
}

/// The texts of one role, a string for each message.
pub fn texts(conversation: &[Shown], wanted: &str) -> Vec<String> {
    let text = |one: &Shown| match one {
        Shown::Message { role, content, .. } if role == wanted => {
            Some(content.iter().filter_map(|block| block["text"].as_str()).collect())
        }
        Shown::Message { .. }
        | Shown::Call { .. }
        | Shown::Plan(_)
        | Shown::Title(_)
        | Shown::Other(_) => None,
    };
    conversation.iter().filter_map(text).collect()
}

/// Of each call its status and what it shows.
pub fn calls(conversation: &[Shown]) -> Vec<(&str, String)> {
    let mut calls = Vec::new();
    for one in conversation {
        if let Shown::Call { status, content, .. } = one {
            calls.push((status.as_str(), content.to_string()));
        }
    }
    calls
}
