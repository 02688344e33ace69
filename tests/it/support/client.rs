//! What a client does within a turn, on top of the raw agent: it answers requests by a policy, and
//! checks that calls live as the protocol wants.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::agent::{Agent, Answer};

/// How a client answers one request of the agent.
pub(crate) enum Says {
    Result(Value),
    Error(i64),
    /// Nothing: the test answers it later, or never.
    Nothing,
}

/// The outcome of a permission request that selects an option.
pub(crate) fn selected(option: &str) -> Says {
    Says::Result(json!({ "outcome": { "outcome": "selected", "optionId": option } }))
}

/// Nobody is asked anything in this turn.
pub(crate) fn nothing_asked(request: &Value) -> Says {
    panic!("the agent asked: {request}");
}

/// All that differs between the settings of a session's modes is who is asked; this allows once.
pub(crate) fn allow(request: &Value) -> Says {
    assert_eq!(request["method"], "session/request_permission", "{request}");
    selected("allow_once")
}

impl Agent {
    /// Waits for the answer to `id` and answers every request before it by `policy`.
    pub(crate) fn serve(&mut self, id: &Value, policy: impl FnMut(&Value) -> Says) -> Answer {
        self.serve_after(Vec::new(), id, policy)
    }

    /// The same, where messages of the turn were read before.
    pub(crate) fn serve_after(
        &mut self,
        mut before: Vec<Value>,
        id: &Value,
        mut policy: impl FnMut(&Value) -> Says,
    ) -> Answer {
        loop {
            let message = self.next();
            if message.get("method").is_none() && message["id"] == *id {
                let answer = Answer { before, response: message };
                answer.check_calls();
                return answer;
            }
            if message.get("method").is_some() && message.get("id").is_some() {
                self.say(&message, policy(&message));
            }
            before.push(message);
        }
    }

    /// Sends a prompt of one text and answers requests by `policy` until it is answered.
    pub(crate) fn turn(
        &mut self,
        session: &str,
        text: &str,
        policy: impl FnMut(&Value) -> Says,
    ) -> Answer {
        let id = self.prompt(session, text);
        self.serve(&id, policy)
    }

    /// Sends a prompt of any blocks and does not wait; its id.
    pub(crate) fn prompt_blocks(&mut self, session: &str, blocks: &Value) -> Value {
        self.request("session/prompt", &json!({ "sessionId": session, "prompt": blocks }))
    }

    /// Answers a request of the agent.
    pub(crate) fn say(&mut self, request: &Value, says: Says) {
        match says {
            Says::Result(result) => self.respond(request, &result),
            Says::Error(code) => self.send(&json!({
                "jsonrpc": "2.0", "id": request["id"],
                "error": { "code": code, "message": "the client cannot do that" }
            })),
            Says::Nothing => {}
        }
    }

    /// Waits until everything that was sent so far has reached the session and was handled there.
    pub(crate) fn settle(&mut self, session: &str) -> Vec<Value> {
        let params = json!({ "sessionId": session, "configId": "thought_level", "value": "auto" });
        let answer = self.call("session/set_config_option", &params);
        answer.result();
        answer.before
    }

    /// Waits for a permission request.
    pub(crate) fn asked(&mut self) -> (Vec<Value>, Value) {
        self.wait_for("session/request_permission")
    }

    /// Waits for a piece of a message that holds `text`; it is the last of what came.
    pub(crate) fn wait_for_text(&mut self, text: &str) -> Vec<Value> {
        let (mut before, found) = self.until(|message| {
            let said = message["params"]["update"]["content"]["text"].as_str();
            said.is_some_and(|said| said.contains(text))
        });
        before.push(found);
        before
    }

    pub(crate) fn set_mode(&mut self, session: &str, mode: &str) -> Answer {
        let answer =
            self.call("session/set_mode", &json!({ "sessionId": session, "modeId": mode }));
        answer.result();
        answer
    }
}

impl Answer {
    /// The same answer with messages that were read before.
    pub(crate) fn after(mut self, mut earlier: Vec<Value>) -> Self {
        earlier.append(&mut self.before);
        let answer = Self { before: earlier, response: self.response };
        answer.check_calls();
        answer
    }

    /// The ids of all calls, in the order in which they came to be; without the cards of tasks.
    pub(crate) fn calls(&self) -> Vec<&str> {
        self.updates("tool_call")
            .iter()
            .filter(|update| !is_of_task(update))
            .filter_map(|update| update["toolCallId"].as_str())
            .collect()
    }

    /// The requests of one method that the agent sent.
    pub(crate) fn requests(&self, method: &str) -> Vec<&Value> {
        self.before.iter().filter(|message| message["method"] == method).collect()
    }

    /// What a client shows of a call in the end.
    pub(crate) fn card(&self, id: &str) -> Value {
        let mut card = json!({});
        for update in self.call(id) {
            for (field, value) in update.as_object().unwrap() {
                if !value.is_null() {
                    card[field] = value.clone();
                }
            }
        }
        card
    }

    /// The card of the only call.
    pub(crate) fn only_card(&self) -> Value {
        assert_eq!(self.calls().len(), 1, "{:#?}", self.before);
        self.card(self.calls()[0])
    }

    /// Calls come to be before they change, once, and none is open at the end or comes back from it. What
    /// is shown for a background task belongs to the session and not to the turn.
    pub(crate) fn check_calls(&self) {
        let mut calls: BTreeMap<String, String> = BTreeMap::new();
        for message in &self.before {
            let update = &message["params"]["update"];
            let Some(id) = update["toolCallId"].as_str() else { continue };
            if is_of_task(update) {
                continue;
            }
            if update["sessionUpdate"] == "tool_call" {
                let again = calls.insert(id.to_owned(), "pending".to_owned());
                assert!(again.is_none(), "the call `{id}` came to be twice");
            }
            let status =
                calls.get_mut(id).unwrap_or_else(|| panic!("no `tool_call` before {update}"));
            let next = update["status"].as_str().unwrap_or(status).to_owned();
            let over = status == "completed" || status == "failed";
            assert!(!over || next == *status, "the call `{id}` was over: {update}");
            *status = next;
        }
        for (id, status) in calls {
            assert!(
                status == "completed" || status == "failed",
                "the call `{id}` is left {status}"
            );
        }
    }
}

/// Whether an update is of a background task's card, or of a call that a task asked for.
pub(crate) fn is_of_task(update: &Value) -> bool {
    update["_meta"]["talaria"]["task"].is_object()
}

/// The text of a card's content.
pub(crate) fn shown(card: &Value) -> String {
    let blocks = card["content"].as_array().into_iter().flatten();
    blocks.filter_map(|block| block["content"]["text"].as_str()).collect::<Vec<_>>().join("\n")
}
