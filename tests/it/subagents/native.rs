//! A client that shows the sessions of tasks. It follows each message as it came and asserts what the protocol
//! promises of them, whatever a test is about.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::home::Home;
use crate::support::tasks::{Chat, MODEL, content};

/// A session of a task, as the client shows it.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Child {
    pub(super) parent: String,
    /// What `subagent_update` said, taken together.
    pub(super) about: Value,
    /// The states that it was in, in order: `running`, `idle end_turn`.
    pub(super) states: Vec<String>,
    /// What it said aloud.
    pub(super) text: String,
    /// Calls and how they stand, in the order in which they came to be.
    pub(super) calls: Vec<(String, Value)>,
    /// Messages with its parent: from whom, and what.
    pub(super) messages: Vec<(String, String)>,
}

/// Capabilities with which a client shows the sessions of tasks.
pub(super) fn capabilities() -> Value {
    json!({ "subagents": {} })
}

/// A home with the model of tasks, in which no turn begins by itself.
pub(super) fn home(config: &str) -> Home {
    let home = Home::scripted(MODEL);
    home.write_config(&format!("tasks:\n  follow_up: off\n{config}"));
    home
}

pub(super) fn chat(config: &str) -> (Home, Chat) {
    let home = home(config);
    let agent = Agent::ready_with(&home, &capabilities());
    let chat = Chat::of(agent, &home);
    (home, chat)
}

/// All sessions of tasks below `root` by their ids, out of everything that came.
pub(super) fn children(came: &[Value], root: &str) -> BTreeMap<String, Child> {
    Known::of(root, came, Calls::Known)
}

/// The same for a client that forgot what it knew, but for the calls: nobody tells them again.
pub(super) fn children_anew(came: &[Value], root: &str) -> BTreeMap<String, Child> {
    Known::of(root, came, Calls::MayBeOlder)
}

/// The only one.
pub(super) fn only(chat: &Chat) -> (String, Child) {
    let children = children(chat.came(), &chat.session);
    assert_eq!(children.len(), 1, "{children:#?}");
    children.into_iter().next().unwrap()
}

/// Waits until this task of the chat has a session in this state; its id.
pub(super) fn until(chat: &mut Chat, task: &str, state: &str) -> String {
    let title = format!("`{task}` · ");
    chat.wait(&format!("`{task}` is {state}"), |chat| {
        let children = children(chat.came(), &chat.session);
        let is_it = |(_, child): &(String, Child)| {
            let named = child.about["title"].as_str().unwrap_or_default();
            // Those of tasks count anew.
            child.parent == chat.session
                && named.starts_with(&title)
                && child.states.last().is_some_and(|last| last == state)
        };
        children.into_iter().find(is_it).map(|(id, _)| id)
    })
}

/// Whether all calls came to be in what came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Calls {
    Known,
    MayBeOlder,
}

struct Known {
    root: String,
    children: BTreeMap<String, Child>,
    calls: Calls,
}

impl Known {
    fn of(root: &str, came: &[Value], calls: Calls) -> BTreeMap<String, Child> {
        let mut known = Self { root: root.to_owned(), children: BTreeMap::new(), calls };
        for message in came {
            known.take(message);
        }
        known.children
    }

    fn take(&mut self, message: &Value) {
        let Some(session) = message["params"]["sessionId"].as_str() else { return };
        let update = &message["params"]["update"];
        if session != self.root {
            let known = self.children.get(session);
            let child = known.unwrap_or_else(|| panic!("not announced: {message}"));
            let is_over = child.states.last().is_some_and(|state| state.starts_with("idle"));
            let words = ["agent_message_chunk", "agent_thought_chunk", "tool_call", "plan"];
            let speaks = words.iter().any(|kind| update["sessionUpdate"] == *kind);
            assert!(!(is_over && speaks), "it is idle and speaks: {message}");
        }
        if message["method"] == "session/request_permission" && session != self.root {
            let asked = &message["params"]["toolCall"]["toolCallId"];
            let child = &self.children[session];
            let call = child.calls.iter().find(|(id, _)| *asked == **id);
            let (_, call) = call.unwrap_or_else(|| panic!("not shown: {message}"));
            let status = call["status"].as_str().unwrap_or("pending");
            assert_eq!(status, "pending", "{message}");
        }
        match update["sessionUpdate"].as_str() {
            Some("subagent_update") => self.announce(session, update),
            Some("session_message") => self.message(session, update),
            Some(kind) => {
                if let Some(child) = self.children.get_mut(session) {
                    child.update(kind, update, self.calls);
                }
            }
            None => {}
        }
    }

    fn announce(&mut self, parent: &str, update: &Value) {
        let id = update["sessionId"].as_str().unwrap();
        assert!(id != self.root && id != parent, "{update}");
        let child = self.children.entry(id.to_owned()).or_insert_with(|| Child {
            parent: parent.to_owned(),
            about: json!({}),
            ..Child::default()
        });
        assert_eq!(child.parent, parent, "no child has another parent later: {update}");
        for (field, value) in update.as_object().unwrap() {
            if value.is_null() {
                child.about.as_object_mut().unwrap().remove(field);
            } else {
                child.about[field] = value.clone();
            }
        }
        let state = &child.about["state"];
        if let Some(kind) = state["state"].as_str() {
            let reason = state["stopReason"].as_str().unwrap_or_default();
            let said = format!("{kind} {reason}").trim_end().to_owned();
            if child.states.last() != Some(&said) {
                child.states.push(said);
            }
        }
    }

    /// A message has two views, of which each names the other.
    fn message(&mut self, session: &str, update: &Value) {
        let sender = update["senderSessionId"].as_str().unwrap();
        let recipient = update["recipientSessionId"].as_str().unwrap();
        assert!([sender, recipient].contains(&session), "{update}");
        let other = if session == sender { "recipientMessageId" } else { "senderMessageId" };
        assert!(update[other].is_string() && update[other] != update["messageId"], "{update}");
        let text = update["content"][0]["text"].as_str().unwrap().to_owned();
        if let Some(child) = self.children.get_mut(session) {
            let (sender, child_parent) = (sender.to_owned(), child.parent.clone());
            if [sender.as_str(), recipient].contains(&child_parent.as_str()) {
                child.messages.push((sender, text));
            }
        }
    }
}

impl Child {
    fn update(&mut self, kind: &str, update: &Value, calls: Calls) {
        match kind {
            "agent_message_chunk" => {
                assert!(update["messageId"].is_string(), "{update}");
                self.text.push_str(update["content"]["text"].as_str().unwrap());
            }
            "tool_call" => {
                let id = update["toolCallId"].as_str().unwrap().to_owned();
                assert!(self.calls.iter().all(|(known, _)| *known != id), "twice: {update}");
                self.calls.push((id, update.clone()));
            }
            "tool_call_update" => {
                let id = update["toolCallId"].as_str().unwrap();
                let known = self.calls.iter_mut().find(|(known, _)| *known == id);
                let Some((_, call)) = known else {
                    assert!(calls == Calls::MayBeOlder, "no such call: {update}");
                    return;
                };
                for (field, value) in update.as_object().unwrap() {
                    call[field] = value.clone();
                }
            }
            "agent_thought_chunk" | "plan" | "usage_update" => {}
            _ => panic!("a child does not say that: {update}"),
        }
    }

    /// The titles of its calls with their states, and what they showed.
    pub(super) fn shown(&self) -> Vec<(String, String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let calls = self.calls.iter();
        calls
            .map(|(_, call)| (text(&call["title"]), text(&call["status"]), content(call)))
            .collect()
    }
}
