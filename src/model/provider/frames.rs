//! The events of an answer, read from its raw frames: one decoder for each dialect, one assembly of
//! the reply. `genai` reads the same frames, but takes `"error": null` for an error, fails on a text
//! delta without text, loses the reason of a stream that ends without its last event, and copies the
//! input of a call with every piece of it.

mod chat;
mod messages;

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::config::ProviderKind;
use crate::model::{Delta, Reply, RequestedCall, Stop};
use crate::transcript::{Thought, Usage};

/// Marks the signature of a thought that the provider keeps secret, so that it can be handed back.
pub(super) const REDACTED: &str = "redacted:";

/// What makes a stream end without a reply.
pub(super) enum Trouble {
    /// The provider's own error, as it came.
    Said(Value),
    /// Something that is no event; the text says what.
    Unreadable(String),
}

/// Frames → deltas.
pub(super) struct Decoder {
    dialect: Dialect,
    reply: Assembly,
}

enum Dialect {
    Chat(chat::Chat),
    Messages(messages::Messages),
}

impl Decoder {
    pub(super) fn new(kind: ProviderKind) -> Self {
        let dialect = match kind {
            ProviderKind::Openai => Dialect::Chat(chat::Chat::default()),
            ProviderKind::Anthropic => Dialect::Messages(messages::Messages::default()),
        };
        Self { dialect, reply: Assembly::default() }
    }

    pub(super) fn frame(&mut self, event: Option<&str>, data: &str) {
        if data.is_empty() || self.reply.over || self.reply.trouble.is_some() {
            return;
        }
        if let Some(torn) = self.reply.torn.take() {
            self.reply.trouble = Some(Trouble::Unreadable(torn));
            return;
        }
        match &mut self.dialect {
            Dialect::Chat(chat) => chat.frame(data, &mut self.reply),
            Dialect::Messages(messages) => messages.frame(event, data, &mut self.reply),
        }
    }

    /// The deltas that were read and not taken yet.
    pub(super) fn ready(&mut self) -> &mut VecDeque<Delta> {
        &mut self.reply.ready
    }

    pub(super) fn trouble(&mut self) -> Option<Trouble> {
        self.reply.trouble.take()
    }

    /// Whether the provider has said its last event.
    pub(super) fn is_over(&self) -> bool {
        self.reply.over
    }

    /// Whether the provider has said why the reply ends, so that nothing of it can be missing.
    pub(super) fn is_whole(&self) -> bool {
        self.reply.over || self.reply.stop.is_some()
    }

    /// Whether nothing of the dialect was read at all.
    pub(super) fn is_empty(&self) -> bool {
        self.reply.events == 0 && self.reply.torn.is_none()
    }

    pub(super) fn reply(&mut self) -> Reply {
        self.reply.finish()
    }
}

/// A reply under construction.
#[derive(Default)]
struct Assembly {
    ready: VecDeque<Delta>,
    calls: Vec<OpenCall>,
    thoughts: Vec<Thought>,
    usage: Usage,
    stop: Option<Stop>,
    events: u64,
    over: bool,
    /// What is wrong with the last event, which stops in its middle: nothing, if the stream does, too.
    torn: Option<String>,
    trouble: Option<Trouble>,
}

/// A call whose input is still arriving.
struct OpenCall {
    tool: String,
    input: String,
}

impl Assembly {
    fn text(&mut self, text: String) {
        if !text.is_empty() {
            self.ready.push_back(Delta::Text(text));
        }
    }

    fn thought(&mut self, text: String) {
        if !text.is_empty() {
            self.ready.push_back(Delta::Thought(text));
        }
    }

    /// Returns the number of the call.
    fn call(&mut self, tool: &str) -> usize {
        self.ready.push_back(Delta::CallBegan { tool: tool.to_owned() });
        self.calls.push(OpenCall { tool: tool.to_owned(), input: String::new() });
        self.calls.len() - 1
    }

    fn input(&mut self, call: usize, piece: &str) {
        if let Some(call) = self.calls.get_mut(call) {
            call.input.push_str(piece);
        }
    }

    fn unreadable(&mut self, error: &serde_json::Error, data: &str) {
        let what = format!("{error} in an event: {data}");
        if error.is_eof() {
            self.torn = Some(what);
        } else {
            self.trouble = Some(Trouble::Unreadable(what));
        }
    }

    fn finish(&mut self) -> Reply {
        let calls = self.calls.drain(..);
        Reply {
            stop: self.stop.unwrap_or(Stop::Finished),
            usage: self.usage,
            calls: calls
                .map(|call| RequestedCall {
                    tool: call.tool,
                    input: parse(call.input),
                    signatures: Vec::new(),
                })
                .collect(),
            thoughts: std::mem::take(&mut self.thoughts),
        }
    }
}

/// The input of a call; no text at all is an empty object, as is `null`.
fn parse(text: String) -> Result<Value, String> {
    if text.trim().is_empty() {
        return Ok(json!({}));
    }
    match serde_json::from_str(&text) {
        Ok(Value::Null) => Ok(json!({})),
        // Some models write the object as a text in JSON.
        Ok(Value::String(inner)) => match serde_json::from_str(&inner) {
            Ok(Value::Object(fields)) => Ok(Value::Object(fields)),
            Ok(_) | Err(_) => Ok(Value::String(inner)),
        },
        Ok(input) => Ok(input),
        Err(_) => Err(text),
    }
}
