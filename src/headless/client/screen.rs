//! What a user sees of one session: messages, calls, dialogs, the plan, as a client of a profile keeps them.
//! It takes what came and says what the client does for it by itself; `picture` makes text of it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::profile::{Joins, Profile, Rule, ShowsLate};
use crate::headless::seen::RpcError;
use crate::permission::Answer;

/// What one session shows.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    pub(super) entries: Vec<Entry>,
    /// Content and status of each.
    pub(super) plan: Vec<(String, String)>,
    /// Prompts that were sent and not answered.
    pub(super) open_prompts: usize,
    /// Loads that were sent and not answered.
    pub(super) open_loads: usize,
    /// Typed and not sent yet.
    pub(super) typed: Vec<String>,
    pub(super) commands: BTreeSet<String>,
    /// The agent's bubble that grows, where there is one for a turn: its place among the entries.
    bubble: Option<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Entry {
    Message(Message),
    Call(Call),
    /// Something that the client says itself.
    Note(String),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Message {
    pub(super) author: Author,
    /// Its id on the wire; pieces with the same one are joined.
    id: String,
    pub(super) text: String,
    pub(super) is_late: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Author {
    User,
    Agent,
    Thought,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Call {
    id: String,
    pub(super) kind: String,
    pub(super) title: String,
    /// As on the wire, or a word of the client's own.
    pub(super) status: String,
    pub(super) content: Vec<Value>,
    pub(super) dialog: Option<Dialog>,
    pub(super) is_late: bool,
    /// It stands for a background task, which changes by itself.
    pub(super) is_card: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Dialog {
    /// The request's id.
    request: Value,
    pub(super) title: String,
    pub(super) options: Vec<String>,
    pub(super) state: DialogState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DialogState {
    Open,
    Answered(Answer),
    /// The agent no longer wanted an answer.
    Withdrawn,
    /// The client took it away.
    Closed,
}

/// What a client calls a call that Stop marked.
const CANCELED: &str = "canceled";

impl Screen {
    pub(crate) fn is_busy(&self) -> bool {
        self.open_prompts > 0
    }

    pub(crate) fn has_live_cards(&self) -> bool {
        self.entries
            .iter()
            .any(|entry| matches!(entry, Entry::Call(call) if call.is_card && !call.is_over()))
    }

    pub(crate) fn commands(&self) -> &BTreeSet<String> {
        &self.commands
    }

    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.entries.push(Entry::Note(text.into()));
    }

    /// The user's message, as the client shows it when it sends it.
    pub(super) fn user_said(&mut self, text: String) {
        // One that came late is kept, and written over: so vscode-acp does it.
        if self.open_prompts > 0 || !self.bubble().is_some_and(|bubble| bubble.is_late) {
            self.bubble = None;
        }
        let (author, id) = (Author::User, String::new());
        self.entries.push(Entry::Message(Message { author, id, text, is_late: false }));
    }

    /// An update; what is returned are requests that the client answers `cancelled` for it.
    pub(super) fn take(&mut self, profile: &Profile, update: &Value) -> Vec<Value> {
        let kind = text(update, "sessionUpdate");
        if kind == "available_commands_update" {
            let names = list(update, "availableCommands").iter().map(|one| text(one, "name"));
            self.commands = names.map(str::to_owned).collect();
            return Vec::new();
        }
        let is_late = self.open_prompts == 0 && self.open_loads == 0;
        if is_late && profile.shows_late == ShowsLate::Never {
            return Vec::new();
        }
        match kind {
            "user_message_chunk" => self.said(profile, (Author::User, is_late), update),
            "agent_message_chunk" => self.said(profile, (Author::Agent, is_late), update),
            "agent_thought_chunk" => self.said(profile, (Author::Thought, is_late), update),
            "tool_call" | "tool_call_update" => return self.call_changed(profile, is_late, update),
            "plan" => {
                let entry = |entry: &Value| {
                    (text(entry, "content").to_owned(), text(entry, "status").to_owned())
                };
                self.plan = list(update, "entries").iter().map(entry).collect();
            }
            // Settings, title and usage are no part of the conversation.
            _ => {}
        }
        Vec::new()
    }

    fn bubble(&mut self) -> Option<&mut Message> {
        match self.bubble.and_then(|place| self.entries.get_mut(place)) {
            Some(Entry::Message(message)) => Some(message),
            Some(Entry::Call(_) | Entry::Note(_)) | None => None,
        }
    }

    /// A piece of text where all of a turn is one bubble.
    fn said_in_turn(&mut self, text: &str, is_late: bool) {
        match self.bubble() {
            Some(bubble) if bubble.is_late && !is_late => {
                text.clone_into(&mut bubble.text);
                bubble.is_late = false;
            }
            Some(bubble) => bubble.text.push_str(text),
            None => {
                self.bubble = Some(self.entries.len());
                let (author, id, text) = (Author::Agent, String::new(), text.to_owned());
                self.entries.push(Entry::Message(Message { author, id, text, is_late }));
            }
        }
    }

    fn said(&mut self, profile: &Profile, (author, is_late): (Author, bool), update: &Value) {
        let content = update.get("content").unwrap_or(&Value::Null);
        let piece = piece(content);
        match author {
            Author::Agent if profile.joins == Joins::Turn => {
                return self.said_in_turn(&piece, is_late);
            }
            Author::User => self.bubble = None,
            Author::Agent | Author::Thought => {}
        }
        let id = text(update, "messageId").to_owned();
        let is_same = |message: &&mut Message| message.author == author && message.id == id;
        let known = self.entries.iter_mut().rev().find_map(|entry| match entry {
            Entry::Message(message) => Some(message).filter(|_| !id.is_empty()).filter(is_same),
            Entry::Call(_) | Entry::Note(_) => None,
        });
        if let Some(message) = known {
            message.text.push_str(&piece);
            return;
        }
        // Without ids, what is said without a break is one message.
        if id.is_empty()
            && let Some(Entry::Message(last)) = self.entries.last_mut()
            && is_same(&last)
            && author != Author::User
        {
            last.text.push_str(&piece);
            return;
        }
        self.entries.push(Entry::Message(Message { author, id, text: piece, is_late }));
    }

    fn call(&mut self, id: &str) -> Option<&mut Call> {
        self.entries.iter_mut().find_map(|entry| match entry {
            Entry::Call(call) if call.id == id => Some(call),
            Entry::Call(_) | Entry::Message(_) | Entry::Note(_) => None,
        })
    }

    fn call_changed(&mut self, profile: &Profile, is_late: bool, update: &Value) -> Vec<Value> {
        let id = text(update, "toolCallId");
        let is_new = text(update, "sessionUpdate") == "tool_call";
        if self.call(id).is_none() {
            let mut call = Call { id: id.to_owned(), is_late, ..Call::default() };
            if !is_new && profile.has(Rule::MissesUnknownCalls) {
                "Tool call not found".clone_into(&mut call.title);
                "failed".clone_into(&mut call.status);
                self.entries.push(Entry::Call(call));
                return Vec::new();
            }
            "pending".clone_into(&mut call.status);
            self.entries.push(Entry::Call(call));
        }
        let Some(call) = self.call(id) else { return Vec::new() };
        call.fill(update);
        let closes = profile.has(Rule::StatusClosesDialog) && update.get("status").is_some();
        let open = call.dialog.as_mut().filter(|dialog| closes && dialog.is_open());
        open.into_iter()
            .map(|dialog| {
                dialog.state = DialogState::Closed;
                dialog.request.clone()
            })
            .collect()
    }

    /// A permission request; false if the client shows none of it and will never answer.
    pub(super) fn asked(&mut self, profile: &Profile, (id, params): (&Value, &Value)) -> bool {
        let is_late = self.open_prompts == 0;
        if is_late && profile.shows_late == ShowsLate::Never {
            return false;
        }
        let told = params.get("toolCall").unwrap_or(&Value::Null);
        let call_id = text(told, "toolCallId");
        if self.call(call_id).is_none() {
            let call = Call { id: call_id.to_owned(), is_late, ..Call::default() };
            self.entries.push(Entry::Call(call));
        }
        let Some(call) = self.call(call_id) else { return true };
        call.fill(told);
        call.dialog = Some(Dialog {
            request: id.clone(),
            title: call.title.clone(),
            options: list(params, "options")
                .iter()
                .map(|one| text(one, "kind").to_owned())
                .collect(),
            state: DialogState::Open,
        });
        true
    }

    /// What became of an open dialog.
    pub(super) fn settle(&mut self, request: &Value, state: DialogState) {
        let mut dialogs = self.dialogs();
        if let Some(dialog) = dialogs.find(|dialog| dialog.is_open() && dialog.request == *request)
        {
            dialog.state = state;
        }
    }

    fn dialogs(&mut self) -> impl Iterator<Item = &mut Dialog> {
        self.entries.iter_mut().filter_map(|entry| match entry {
            Entry::Call(call) => call.dialog.as_mut(),
            Entry::Message(_) | Entry::Note(_) => None,
        })
    }

    /// The user pressed Stop: all dialogs are answered, as a client must.
    pub(super) fn stopped(&mut self, profile: &Profile) {
        for dialog in self.dialogs().filter(|dialog| dialog.is_open()) {
            dialog.state = DialogState::Answered(Answer::Unanswered);
        }
        if !profile.has(Rule::StopMarksCalls) {
            return;
        }
        for entry in &mut self.entries {
            if let Entry::Call(call) = entry
                && matches!(call.status.as_str(), "pending" | "in_progress")
            {
                CANCELED.clone_into(&mut call.status);
            }
        }
    }

    /// The answer to a prompt.
    pub(super) fn prompt_ended(&mut self, profile: &Profile, result: &Result<Value, RpcError>) {
        self.open_prompts = self.open_prompts.saturating_sub(1);
        self.bubble = None;
        match result.as_ref().map(|result| text(result, "stopReason")) {
            Ok("end_turn") => {}
            Ok("refusal") if profile.has(Rule::RefusalRemoves) => {
                let users = |entry: &Entry| matches!(entry, Entry::Message(message) if message.author == Author::User);
                let last = self.entries.iter().rposition(users);
                self.entries.truncate(last.unwrap_or(self.entries.len()));
            }
            Ok(reason) => self.note(reason),
            Err(error) => self.note(format!("error: {}", error.text())),
        }
    }
}

impl Call {
    pub(super) fn is_over(&self) -> bool {
        matches!(self.status.as_str(), "completed" | "failed")
    }

    /// Takes over the fields that an update has.
    fn fill(&mut self, update: &Value) {
        for (field, name) in
            [(&mut self.kind, "kind"), (&mut self.title, "title"), (&mut self.status, "status")]
        {
            if let Some(value) = update.get(name).and_then(Value::as_str) {
                value.clone_into(field);
            }
        }
        if let Some(content) = update.get("content").and_then(Value::as_array) {
            self.content.clone_from(content);
        }
        self.is_card |= super::super::card::mark(update).is_some_and(|mark| mark.is_card);
    }
}

impl Dialog {
    pub(super) fn is_open(&self) -> bool {
        self.state == DialogState::Open
    }
}

/// A content block as a message shows it.
pub(super) fn piece(content: &Value) -> String {
    match text(content, "type") {
        "text" => text(content, "text").to_owned(),
        other => format!("[{other}]"),
    }
}

pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}
