//! What every agent owes its client, checked on each message: a breach is a protocol violation,
//! whatever the script expected. A law can be switched off, with a reason.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde_json::Value;

use super::card;
use crate::viewer::Late as Shows;

/// A rule of the protocol that is always checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Law {
    /// The output holds JSON messages only, one a line.
    Wire,
    /// Nothing comes before the response to `initialize`, and nothing of a session before its id, or
    /// before the response where an old one is resumed.
    Early,
    /// Every request is answered exactly once.
    Answers,
    /// What comes while no prompt is open and nothing is loaded is what the client shows then: to one that may
    /// lose it nothing of the conversation, and no question; to nobody a user's message. Nobody is asked for
    /// permission by what is loaded.
    Late,
    /// A call is announced before it is updated.
    Order,
    /// Every call is completed or failed when the last open prompt is answered, and in what was loaded. A
    /// card of a background task is when the task is over.
    Final,
    /// Only what the client advertised is used.
    Capabilities,
    /// Every terminal is released when the last open prompt is answered, and none is in what is loaded.
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
    /// Whether a response made it known, which is all that lets it speak but for what a load shows.
    is_open: bool,
    open_prompts: usize,
    loads: usize,
    calls: BTreeMap<String, Call>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Call {
    is_final: bool,
    /// It is shown for a background task: it belongs to the session and not to a turn.
    is_of_task: bool,
}

impl SessionState {
    fn open_calls(&self) -> Vec<String> {
        let open = self.calls.iter().filter(|(_, call)| !call.is_final && !call.is_of_task);
        open.map(|(id, _)| id.clone()).collect()
    }

    /// Whether what comes now is the conversation as it was.
    fn is_replaying(&self) -> bool {
        self.loads > 0 && self.open_prompts == 0
    }
}

/// Updates that a client keeps whenever they come.
const NEVER_LOST: [&str; 5] = [
    "available_commands_update",
    "config_option_update",
    "current_mode_update",
    "session_info_update",
    "usage_update",
];

/// Watches a connection.
#[derive(Debug)]
pub struct Laws {
    /// What the client makes of what comes while no prompt is open.
    shows: Shows,
    excepted: BTreeMap<Law, String>,
    breaches: Vec<Breach>,
    initialize_sent: bool,
    initialized: bool,
    capabilities: Value,
    sessions: HashMap<String, SessionState>,
}

impl Default for Laws {
    fn default() -> Self {
        Self {
            shows: Shows::Shown,
            excepted: BTreeMap::new(),
            breaches: Vec::new(),
            initialize_sent: false,
            initialized: false,
            capabilities: Value::Null,
            sessions: HashMap::new(),
        }
    }
}

impl Laws {
    /// Says what the client makes of what comes while no prompt is open; else it shows it.
    pub fn client_shows(&mut self, late: Shows) {
        self.shows = late;
    }

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
                    self.sessions.entry(id.to_owned()).or_default().is_open = true;
                }
            }
            "session/load" | "session/resume" => {
                if let Some(state) = self.sessions.get_mut(session) {
                    state.is_open |= result.is_some();
                }
                if method == "session/load" {
                    self.load_ended(session);
                }
            }
            "session/prompt" => self.prompt_ended(session, held),
            // It is known, and silent until it is opened again.
            "session/close" | "session/delete" => {
                if let Some(state) = self.sessions.get_mut(session) {
                    state.is_open &= result.is_none();
                }
            }
            _ => {}
        }
    }

    fn load_ended(&mut self, session: &str) {
        let Some(state) = self.sessions.get_mut(session) else { return };
        state.loads = state.loads.saturating_sub(1);
        let open = state.open_calls();
        if state.open_prompts == 0 && !open.is_empty() {
            self.broken(
                Law::Final,
                format!("the session was loaded with open calls: {}", open.join(", ")),
            );
        }
    }

    fn prompt_ended(&mut self, session: &str, held: &[String]) {
        let Some(state) = self.sessions.get_mut(session) else { return };
        state.open_prompts = state.open_prompts.saturating_sub(1);
        if state.open_prompts > 0 {
            return;
        }
        let open = state.open_calls();
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
        let is_early = !state.is_open && state.loads == 0;
        let is_replaying = state.is_replaying();
        let mut unannounced = None;
        if matches!(kind, "tool_call" | "tool_call_update") {
            let id = update.get("toolCallId").and_then(Value::as_str).unwrap_or_default();
            if kind == "tool_call_update" && !state.calls.contains_key(id) {
                unannounced = Some(id.to_owned());
            }
            let call = state.calls.entry(id.to_owned()).or_default();
            if let Some(status) = update.get("status").and_then(Value::as_str) {
                call.is_final = matches!(status, "completed" | "failed");
            }
            call.is_of_task |= card::mark(update).is_some();
        }
        if is_early {
            self.broken(
                Law::Early,
                format!("`{kind}` came while the session `{session}` was not open"),
            );
        }
        if is_replaying && names_terminal(update) {
            self.broken(Law::Terminals, "a terminal that is gone was shown again");
        }
        if let Some(id) = unannounced {
            self.broken(Law::Order, format!("the call `{id}` was updated before it was announced"));
        }
        let is_lawful = match self.shows {
            Shows::Shown | Shows::ShownTwice => kind != "user_message_chunk",
            Shows::Lost => NEVER_LOST.contains(&kind),
        };
        if !is_lawful && !busy && !is_early {
            let lost = if self.shows == Shows::Lost { ", and this client may lose it" } else { "" };
            self.broken(Law::Late, format!("`{kind}` came while no prompt was open{lost}"));
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
        let session = self.sessions.get(session_of(params));
        let is_question = method == "session/request_permission";
        if is_question && session.is_some_and(SessionState::is_replaying) {
            self.broken(Law::Late, format!("`{method}` came of a session that is loaded"));
        } else if is_question
            && self.shows == Shows::Lost
            && session.is_some_and(|session| session.open_prompts == 0)
        {
            let text = format!(
                "`{method}` came while no prompt was open, and this client may never answer"
            );
            self.broken(Law::Late, text);
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

fn names_terminal(update: &Value) -> bool {
    let content = update.get("content").and_then(Value::as_array).map(Vec::as_slice);
    content.unwrap_or_default().iter().any(|part| part.get("terminalId").is_some())
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
    fn a_card_of_a_task_is_no_part_of_a_turn() {
        let card = |kind: &str, status: &str| {
            json!({"sessionUpdate": kind, "toolCallId": "task-t1", "status": status,
                "_meta": {"talaria": {"task": {"id": "t1", "state": "running"}}}})
        };
        let mut laws = laws();
        laws.request_sent("session/prompt", &json!({"sessionId": "s"}));
        laws.update("s", &card("tool_call", "in_progress"));
        laws.response_came("session/prompt", "s", Some(&json!({})), &[]);
        laws.update("s", &card("tool_call_update", "in_progress"));
        laws.request_sent("session/prompt", &json!({"sessionId": "s"}));
        laws.response_came("session/prompt", "s", Some(&json!({})), &[]);
        laws.update("s", &card("tool_call_update", "completed"));
        assert_eq!(broken(&laws), Vec::<&str>::new());
        // It is announced as every call is, and no other call may take its liberties.
        let other = json!({"sessionUpdate": "tool_call_update", "toolCallId": "task-t2",
            "_meta": {"talaria": {"task": {"id": "t2", "state": "queued"}}}});
        laws.update("s", &other);
        assert_eq!(broken(&laws), ["order"]);
    }

    #[test]
    fn a_client_that_may_lose_it_is_told_nothing_late() {
        let mut laws = laws();
        laws.client_shows(Shows::Lost);
        let say = json!({"sessionUpdate": "agent_message_chunk"});
        let card = json!({"sessionUpdate": "tool_call", "toolCallId": "task-t1", "status": "completed",
            "_meta": {"talaria": {"task": {"id": "t1", "state": "completed"}}}});
        laws.request_sent("session/prompt", &json!({"sessionId": "s"}));
        laws.update("s", &say);
        laws.agent_spoke("session/request_permission", &json!({"sessionId": "s"}));
        laws.response_came("session/prompt", "s", Some(&json!({})), &[]);
        for kind in NEVER_LOST {
            laws.update("s", &json!({ "sessionUpdate": kind }));
        }
        assert_eq!(broken(&laws), Vec::<&str>::new());
        laws.update("s", &say);
        laws.update("s", &card);
        laws.agent_spoke("session/request_permission", &json!({"sessionId": "s"}));
        assert_eq!(broken(&laws), ["late", "late", "late"]);
    }

    #[test]
    fn a_client_that_shows_it_may_be_told_late_but_not_of_a_prompt_that_nobody_sent() {
        let mut laws = laws();
        for shows in [Shows::Shown, Shows::ShownTwice] {
            laws.client_shows(shows);
            laws.update("s", &json!({"sessionUpdate": "agent_message_chunk"}));
            laws.update("s", &json!({"sessionUpdate": "tool_call", "toolCallId": "c1"}));
            laws.agent_spoke("session/request_permission", &json!({"sessionId": "s"}));
        }
        assert_eq!(broken(&laws), Vec::<&str>::new());
        laws.update("s", &json!({"sessionUpdate": "user_message_chunk"}));
        assert_eq!(broken(&laws), ["late"]);
    }

    #[test]
    fn each_breach_is_named() {
        let mut laws = laws();
        laws.update("s", &json!({"sessionUpdate": "user_message_chunk"}));
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
    fn what_was_said_comes_again_before_the_response_to_a_load() {
        let mut laws = laws();
        let said = json!({"sessionUpdate": "agent_message_chunk"});
        let call = json!({"sessionUpdate": "tool_call", "toolCallId": "c1", "status": "completed"});
        laws.request_sent("session/load", &json!({"sessionId": "old"}));
        laws.update("old", &said);
        laws.update("old", &call);
        laws.response_came("session/load", "old", Some(&json!({})), &[]);
        laws.update("old", &json!({"sessionUpdate": "available_commands_update"}));
        assert_eq!(broken(&laws), Vec::<&str>::new());
        laws.update("old", &json!({"sessionUpdate": "user_message_chunk"}));
        assert_eq!(broken(&laws), ["late"]);
    }

    #[test]
    fn what_is_loaded_is_over() {
        let mut laws = laws();
        laws.request_sent("session/load", &json!({"sessionId": "old"}));
        let terminal = json!([{"type": "terminal", "terminalId": "t1"}]);
        laws.update(
            "old",
            &json!({"sessionUpdate": "tool_call", "toolCallId": "c1", "content": terminal}),
        );
        laws.agent_spoke("session/request_permission", &json!({"sessionId": "old"}));
        laws.response_came("session/load", "old", Some(&json!({})), &[]);
        assert_eq!(broken(&laws), ["terminals", "late", "final"]);
    }

    #[test]
    fn nothing_comes_before_the_response_to_a_resume_or_of_what_could_not_be_opened() {
        let mut laws = laws();
        laws.request_sent("session/resume", &json!({"sessionId": "old"}));
        laws.update("old", &json!({"sessionUpdate": "available_commands_update"}));
        assert_eq!(broken(&laws), ["early"]);
        laws.response_came("session/resume", "old", Some(&json!({})), &[]);
        laws.update("old", &json!({"sessionUpdate": "available_commands_update"}));
        assert_eq!(broken(&laws), ["early"]);
        laws.request_sent("session/load", &json!({"sessionId": "none"}));
        laws.response_came("session/load", "none", None, &[]);
        laws.update("none", &json!({"sessionUpdate": "available_commands_update"}));
        assert_eq!(broken(&laws), ["early", "early"]);
    }

    #[test]
    fn nothing_comes_of_a_session_that_is_closed_until_it_is_opened_again() {
        let usage = json!({"sessionUpdate": "usage_update"});
        for method in ["session/close", "session/delete"] {
            let mut laws = laws();
            laws.response_came(method, "s", None, &[]);
            laws.update("s", &usage);
            assert_eq!(broken(&laws), Vec::<&str>::new());
            laws.response_came(method, "s", Some(&json!({})), &[]);
            laws.request_sent("session/load", &json!({"sessionId": "s"}));
            laws.update("s", &usage);
            laws.response_came("session/load", "s", Some(&json!({})), &[]);
            laws.update("s", &usage);
            assert_eq!(broken(&laws), Vec::<&str>::new());
            laws.response_came(method, "s", Some(&json!({})), &[]);
            laws.update("s", &usage);
            assert_eq!(broken(&laws), ["early"]);
        }
    }

    #[test]
    fn an_excepted_law_is_silent() {
        let mut laws = laws();
        laws.except(Law::Late, "background work".to_owned());
        laws.update("s", &json!({"sessionUpdate": "user_message_chunk"}));
        assert_eq!(broken(&laws), Vec::<&str>::new());
    }
}
