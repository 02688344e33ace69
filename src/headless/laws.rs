//! What every agent owes its client, checked on each message: a breach is a protocol violation,
//! whatever the script expected. A law can be switched off, with a reason.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde_json::Value;

/// A rule of the protocol that is always checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Law {
    /// The output holds JSON messages only, one a line.
    Wire,
    /// Nothing comes before the response to `initialize`, and nothing of a session before its id.
    Early,
    /// Every request is answered exactly once.
    Answers,
    /// No text, thought, call or plan comes while no prompt is open.
    Late,
    /// A call is announced before it is updated.
    Order,
    /// Every call is completed or failed when the last open prompt is answered.
    Final,
    /// Only what the client advertised is used.
    Capabilities,
    /// Every terminal is released when the last open prompt is answered.
    Terminals,
    /// Paths are absolute.
    Paths,
}

impl Law {
    pub const ALL: [Self; 9] = [
        Self::Wire,
        Self::Early,
        Self::Answers,
        Self::Late,
        Self::Order,
        Self::Final,
        Self::Capabilities,
        Self::Terminals,
        Self::Paths,
    ];

    /// Its name in scripts and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wire => "wire",
            Self::Early => "early",
            Self::Answers => "answers",
            Self::Late => "late",
            Self::Order => "order",
            Self::Final => "final",
            Self::Capabilities => "capabilities",
            Self::Terminals => "terminals",
            Self::Paths => "paths",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|law| law.name() == name)
    }
}

/// A law that an agent broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    pub law: Law,
    pub text: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "protocol violation ({}): {}", self.law.name(), self.text)
    }
}

#[derive(Debug, Default)]
struct SessionState {
    open_prompts: usize,
    loads: usize,
    /// Whether each call is final.
    calls: BTreeMap<String, bool>,
}

/// Watches a connection.
#[derive(Debug, Default)]
pub struct Laws {
    excepted: BTreeMap<Law, String>,
    breaches: Vec<Breach>,
    initialize_sent: bool,
    initialized: bool,
    capabilities: Value,
    sessions: HashMap<String, SessionState>,
}

impl Laws {
    /// Switches a law off from here on.
    pub fn except(&mut self, law: Law, reason: String) {
        self.excepted.insert(law, reason);
    }

    pub fn breaches(&self) -> &[Breach] {
        &self.breaches
    }

    pub(crate) fn broken(&mut self, law: Law, text: impl Into<String>) {
        if !self.excepted.contains_key(&law) {
            self.breaches.push(Breach { law, text: text.into() });
        }
    }

    pub(crate) fn request_sent(&mut self, method: &str, params: &Value) {
        let session = session_of(params);
        match method {
            "initialize" => {
                self.initialize_sent = true;
                self.capabilities = params.get("clientCapabilities").cloned().unwrap_or_default();
            }
            "session/load" => {
                self.sessions.entry(session.to_owned()).or_default().loads += 1;
            }
            "session/resume" => {
                self.sessions.entry(session.to_owned()).or_default();
            }
            "session/prompt" => {
                if let Some(state) = self.sessions.get_mut(session) {
                    state.open_prompts += 1;
                }
            }
            _ => {}
        }
    }

    /// A response to a request of ours; `held` are the session's terminals that were not released.
    pub(crate) fn response_came(
        &mut self,
        method: &str,
        session: &str,
        result: Option<&Value>,
        held: &[String],
    ) {
        match method {
            "initialize" => self.initialized |= result.is_some(),
            "session/new" | "session/fork" => {
                let id = result.and_then(|result| result.get("sessionId")).and_then(Value::as_str);
                if let Some(id) = id {
                    self.sessions.entry(id.to_owned()).or_default();
                }
            }
            "session/load" => {
                if let Some(state) = self.sessions.get_mut(session) {
                    state.loads = state.loads.saturating_sub(1);
                }
            }
            "session/prompt" => self.prompt_ended(session, held),
            _ => {}
        }
    }

    fn prompt_ended(&mut self, session: &str, held: &[String]) {
        let Some(state) = self.sessions.get_mut(session) else { return };
        state.open_prompts = state.open_prompts.saturating_sub(1);
        if state.open_prompts > 0 {
            return;
        }
        let open: Vec<String> = state
            .calls
            .iter()
            .filter(|(_, is_final)| !**is_final)
            .map(|(id, _)| id.clone())
            .collect();
        if !open.is_empty() {
            self.broken(
                Law::Final,
                format!("the prompt was answered while calls are open: {}", open.join(", ")),
            );
        }
        if !held.is_empty() {
            self.broken(
                Law::Terminals,
                format!("the prompt was answered while terminals are held: {}", held.join(", ")),
            );
        }
    }

    pub(crate) fn update(&mut self, session: &str, update: &Value) {
        let kind = update.get("sessionUpdate").and_then(Value::as_str).unwrap_or_default();
        let Some(state) = self.sessions.get_mut(session) else {
            self.broken(
                Law::Early,
                format!("`{kind}` for the session `{session}`, which is not known"),
            );
            return;
        };
        let busy = state.open_prompts > 0 || state.loads > 0;
        let mut unannounced = None;
        if matches!(kind, "tool_call" | "tool_call_update") {
            let id = update.get("toolCallId").and_then(Value::as_str).unwrap_or_default();
            if kind == "tool_call_update" && !state.calls.contains_key(id) {
                unannounced = Some(id.to_owned());
            }
            let is_final = state.calls.entry(id.to_owned()).or_default();
            if let Some(status) = update.get("status").and_then(Value::as_str) {
                *is_final = matches!(status, "completed" | "failed");
            }
        }
        if let Some(id) = unannounced {
            self.broken(Law::Order, format!("the call `{id}` was updated before it was announced"));
        }
        let of_a_turn = matches!(
            kind,
            "agent_message_chunk"
                | "agent_thought_chunk"
                | "user_message_chunk"
                | "tool_call"
                | "tool_call_update"
                | "plan"
                | "plan_update"
        );
        if of_a_turn && !busy {
            self.broken(Law::Late, format!("`{kind}` came while no prompt was open"));
        }
        self.check_diffs(update);
    }

    fn check_diffs(&mut self, update: &Value) {
        let content =
            update.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let places = update
            .get("locations")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        for part in content.iter().chain(places) {
            if let Some(path) = part.get("path").and_then(Value::as_str)
                && !std::path::Path::new(path).is_absolute()
            {
                self.broken(Law::Paths, format!("`{path}` in a call is not absolute"));
            }
        }
    }

    /// A request or notification of the agent.
    pub(crate) fn agent_spoke(&mut self, method: &str, params: &Value) {
        if self.initialize_sent && !self.initialized {
            self.broken(Law::Early, format!("`{method}` came before the response to `initialize`"));
        }
        let needs: &[&str] = match method {
            "fs/read_text_file" => &["fs", "readTextFile"],
            "fs/write_text_file" => &["fs", "writeTextFile"],
            "elicitation/create" => &["elicitation"],
            method if method.starts_with("terminal/") => &["terminal"],
            _ => return,
        };
        let offered = needs.iter().try_fold(&self.capabilities, |value, key| value.get(key));
        if matches!(offered, None | Some(Value::Null | Value::Bool(false))) {
            self.broken(Law::Capabilities, format!("`{method}` was called but not advertised"));
        }
        if let Some(path) = params.get("path").and_then(Value::as_str)
            && !std::path::Path::new(path).is_absolute()
        {
            self.broken(Law::Paths, format!("`{path}` in `{method}` is not absolute"));
        }
    }
}

fn session_of(params: &Value) -> &str {
    params.get("sessionId").and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn laws() -> Laws {
        let mut laws = Laws::default();
        laws.request_sent("initialize", &json!({"clientCapabilities": {}}));
        laws.response_came("initialize", "", Some(&json!({})), &[]);
        laws.response_came("session/new", "", Some(&json!({"sessionId": "s"})), &[]);
        laws
    }

    fn broken(laws: &Laws) -> Vec<&'static str> {
        laws.breaches().iter().map(|breach| breach.law.name()).collect()
    }

    #[test]
    fn a_turn_in_order_breaks_nothing() {
        let mut laws = laws();
        laws.request_sent("session/prompt", &json!({"sessionId": "s"}));
        laws.update(
            "s",
            &json!({"sessionUpdate": "tool_call", "toolCallId": "c1", "status": "pending"}),
        );
        laws.update(
            "s",
            &json!({"sessionUpdate": "tool_call_update", "toolCallId": "c1", "status": "failed"}),
        );
        laws.response_came("session/prompt", "s", Some(&json!({})), &[]);
        laws.update("s", &json!({"sessionUpdate": "usage_update"}));
        assert_eq!(broken(&laws), Vec::<&str>::new());
    }

    #[test]
    fn each_breach_is_named() {
        let mut laws = laws();
        laws.update("s", &json!({"sessionUpdate": "agent_message_chunk"}));
        laws.update("other", &json!({"sessionUpdate": "usage_update"}));
        laws.request_sent("session/prompt", &json!({"sessionId": "s"}));
        laws.update("s", &json!({"sessionUpdate": "tool_call_update", "toolCallId": "c1"}));
        laws.agent_spoke("fs/read_text_file", &json!({"path": "a"}));
        laws.response_came("session/prompt", "s", None, &["term1".to_owned()]);
        assert_eq!(
            broken(&laws),
            ["late", "early", "order", "capabilities", "paths", "final", "terminals"]
        );
    }

    #[test]
    fn an_excepted_law_is_silent() {
        let mut laws = laws();
        laws.except(Law::Late, "background work".to_owned());
        laws.update("s", &json!({"sessionUpdate": "agent_message_chunk"}));
        assert_eq!(broken(&laws), Vec::<&str>::new());
    }
}
