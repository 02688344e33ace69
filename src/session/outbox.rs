//! What a session has said and its client has not taken yet: ordered, pieces of one message joined,
//! measured in bytes, each with the record that must be written before. Calls that wait until the client was
//! told of them stand among it.

use std::collections::VecDeque;

use serde_json::Value;

use super::Outgoing;
use crate::event::{CallContent, CallUpdate, Event, Role};
use crate::ids::MessageId;
use crate::store::{Record, Seq};
use crate::transcript::Content;
use crate::turn::Go;

/// Joined text is not grown further than this, so that one update stays readable for a client.
const JOIN_BYTES: usize = 16 * 1024;

/// What comes next, in order.
pub(super) enum Item {
    Say(Outgoing),
    /// All before it was said: the call may go on.
    LetGo(Go),
    /// All before it was said: that is to be written down.
    Append(Record),
}

#[derive(Default)]
pub(super) struct Outbox {
    /// Each with the record that must be handled before.
    items: VecDeque<(Seq, Item)>,
    bytes: usize,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether what comes next is an event.
    pub(super) fn begins_with_event(&self) -> bool {
        matches!(self.items.front(), Some((_, Item::Say(Outgoing::Event(_)))))
    }

    /// The record that what comes next waits for; absent where nothing comes.
    pub(super) fn waits_for(&self) -> Option<Seq> {
        self.items.front().map(|(record, _)| *record)
    }

    /// Bytes of text that wait, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Says something once the record is handled. Records only grow.
    pub(super) fn push(&mut self, record: Seq, outgoing: Outgoing) {
        if let Some(text) = text_of(&outgoing)
            && let Some((
                waits_for,
                Item::Say(Outgoing::Event(Event::Said {
                    message,
                    role,
                    content: Content::Text { text: last },
                })),
            )) = self.items.back_mut()
            && *message == *text.id
            && *role == text.role
            && last.len() + text.piece.len() <= JOIN_BYTES
        {
            *waits_for = record;
            last.push_str(text.piece);
            self.bytes += text.piece.len();
            return;
        }
        let outgoing = if let Outgoing::Event(Event::Call(update)) = outgoing {
            let Some(update) = self.replace_progress(update) else { return };
            Outgoing::Event(Event::Call(update))
        } else {
            outgoing
        };
        self.bytes += weight(&outgoing);
        self.items.push_back((record, Item::Say(outgoing)));
    }

    /// Progress of a task's card takes the place of older progress that waits, if it is that: no record
    /// stands for it, and only the newest is of use.
    fn replace_progress(&mut self, update: CallUpdate) -> Option<CallUpdate> {
        if !is_progress(&update) {
            return Some(update);
        }
        let last = self.items.iter_mut().rev().find_map(|(_, item)| match item {
            Item::Say(Outgoing::Event(Event::Call(waiting))) if waiting.id == update.id => {
                Some(waiting)
            }
            Item::Say(_) | Item::LetGo(_) | Item::Append(_) => None,
        });
        let Some(waiting) = last.filter(|waiting| is_progress(waiting)) else {
            return Some(update);
        };
        self.bytes = self.bytes.saturating_sub(call_weight(waiting));
        waiting.title = update.title.or(waiting.title.take());
        waiting.kind = update.kind.or(waiting.kind);
        waiting.status = update.status.or(waiting.status);
        waiting.content = update.content.or(waiting.content.take());
        waiting.locations = update.locations.or(waiting.locations.take());
        waiting.input = update.input.or(waiting.input.take());
        waiting.output = update.output.or(waiting.output.take());
        waiting.task = update.task;
        self.bytes += call_weight(waiting);
        None
    }

    /// Whether the answer to a prompt waits.
    pub(super) fn has_answer(&self) -> bool {
        self.last_answer().is_some()
    }

    /// Says something before the last answer that waits, behind what came before that.
    pub(super) fn insert_before_answer(&mut self, event: Event) {
        let at = self.last_answer().unwrap_or(self.items.len());
        let record = self.items.get(at).or(self.items.back()).map_or(0, |(record, _)| *record);
        let event = Outgoing::Event(event);
        self.bytes += weight(&event);
        self.items.insert(at, (record, Item::Say(event)));
    }

    fn last_answer(&self) -> Option<usize> {
        self.items
            .iter()
            .rposition(|(_, item)| matches!(item, Item::Say(Outgoing::Answered { .. })))
    }

    /// Lets a call go on once the record is handled and all before it is said.
    pub(super) fn let_go(&mut self, record: Seq, go: Go) {
        self.items.push_back((record, Item::LetGo(go)));
    }

    /// Writes something down once all before it is said.
    pub(super) fn append(&mut self, behind: Seq, record: Record) {
        self.items.push_back((behind, Item::Append(record)));
    }

    pub(super) fn pop(&mut self) -> Option<Item> {
        let (_, item) = self.items.pop_front()?;
        if let Item::Say(outgoing) = &item {
            self.bytes = self.bytes.saturating_sub(weight(outgoing));
        }
        if self.items.is_empty() {
            self.bytes = 0;
        }
        Some(item)
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
        | Outgoing::Titled { .. }
        | Outgoing::Steered { .. }
        | Outgoing::Delivered(_)
        | Outgoing::Replied { .. }
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
        Event::Call(update) => call_weight(update),
        Event::Between(between) => between.text.len(),
        Event::Plan(_)
        | Event::Usage(_)
        | Event::Title(_)
        | Event::Commands(_)
        | Event::Settings(_)
        | Event::Subagent(_)
        | Event::Notice(_)
        | Event::Board(_)
        | Event::FollowUp(_) => 0,
    }
}

fn call_weight(update: &CallUpdate) -> usize {
    let shown: usize = update.content.iter().flatten().map(shown_weight).sum();
    let raw: usize = update.input.iter().chain(&update.output).map(value_weight).sum();
    shown + raw
}

/// Whether it says how a task stands now, and nothing that is to be kept: a card as it came to be names its
/// tool.
fn is_progress(update: &CallUpdate) -> bool {
    update.task.is_some()
        && update.tool.is_none()
        && !update.status.is_some_and(crate::event::CallStatus::is_final)
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
