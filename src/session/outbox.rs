//! What a session has said and its client has not taken yet: ordered, pieces of one message joined,
//! measured in bytes.

use std::collections::VecDeque;

use serde_json::Value;

use super::Outgoing;
use crate::event::{CallContent, Event, Role};
use crate::ids::MessageId;
use crate::transcript::Content;

/// Joined text is not grown further than this, so that one update stays readable for a client.
const JOIN_BYTES: usize = 16 * 1024;

#[derive(Default)]
pub(super) struct Outbox {
    items: VecDeque<Outgoing>,
    bytes: usize,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether what comes next is an event.
    pub(super) fn begins_with_event(&self) -> bool {
        matches!(self.items.front(), Some(Outgoing::Event(_)))
    }

    /// Bytes of text that wait, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, outgoing: Outgoing) {
        if let Some(text) = text_of(&outgoing)
            && let Some(Outgoing::Event(Event::Said {
                message,
                role,
                content: Content::Text { text: last },
            })) = self.items.back_mut()
            && *message == *text.id
            && *role == text.role
            && last.len() + text.piece.len() <= JOIN_BYTES
        {
            last.push_str(text.piece);
            self.bytes += text.piece.len();
            return;
        }
        self.bytes += weight(&outgoing);
        self.items.push_back(outgoing);
    }

    pub(super) fn pop(&mut self) -> Option<Outgoing> {
        let outgoing = self.items.pop_front()?;
        self.bytes =
            if self.items.is_empty() { 0 } else { self.bytes.saturating_sub(weight(&outgoing)) };
        Some(outgoing)
    }
}

struct Text<'a> {
    id: &'a MessageId,
    role: Role,
    piece: &'a str,
}

fn text_of(outgoing: &Outgoing) -> Option<Text<'_>> {
    match outgoing {
        Outgoing::Event(Event::Said { message, role, content: Content::Text { text } }) => {
            Some(Text { id: message, role: *role, piece: text })
        }
        Outgoing::Event(_)
        | Outgoing::Answered { .. }
        | Outgoing::Set { .. }
        | Outgoing::Ask(_)
        | Outgoing::Withdraw(_)
        | Outgoing::Closed(_) => None,
    }
}

fn weight(outgoing: &Outgoing) -> usize {
    const BASE: usize = 64;
    let Outgoing::Event(event) = outgoing else { return BASE };
    BASE + match event {
        Event::Said { content, .. } => content_weight(content),
        Event::Call(update) => {
            let shown: usize = update.content.iter().flatten().map(shown_weight).sum();
            let raw: usize = update.input.iter().chain(&update.output).map(value_weight).sum();
            shown + raw
        }
        Event::Plan(_)
        | Event::Usage(_)
        | Event::Title(_)
        | Event::Commands(_)
        | Event::Settings(_) => 0,
    }
}

fn content_weight(content: &Content) -> usize {
    match content {
        Content::Text { text } | Content::Resource { text, .. } => text.len(),
        Content::Image { data, .. } => data.len(),
        Content::Link { uri, .. } => uri.len(),
    }
}

fn shown_weight(content: &CallContent) -> usize {
    match content {
        CallContent::Content(content) => content_weight(content),
        CallContent::Diff { old, new, .. } => old.as_ref().map_or(0, String::len) + new.len(),
        CallContent::Terminal(_) => 0,
    }
}

fn value_weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(value_weight).sum(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| name.len() + value_weight(value)).sum()
        }
    }
}
