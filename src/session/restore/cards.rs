//! Cards of tasks, and the calls that tasks asked for: where each came to be, and what became of it. They
//! belong to the session and not to a turn, so they end far behind the place where they are shown.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use super::repair::Left;
use super::step::merge;
use crate::event::{CallContent, CallStatus, CallUpdate, ToolKind};
use crate::ids::{CallId, SessionId};
use crate::store::Opened;
use crate::tasks::card;
use crate::tasks::engine::State;
use crate::transcript::Content;

/// The cards of a journal, as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Cards {
    cards: HashMap<CallId, CallUpdate>,
    forked_from: Option<SessionId>,
}

impl Cards {
    /// The session is opened. Whether it is a copy since then: what was open goes on in the other one.
    pub(super) fn opened(&mut self, opened: &Opened) -> bool {
        let is_copy = opened.forked_from.is_some() && opened.forked_from != self.forked_from;
        self.forked_from.clone_from(&opened.forked_from);
        if is_copy {
            for card in self.cards.values_mut().filter(|card| is_open(card)) {
                leave(card, Left::Copied);
            }
        }
        is_copy
    }

    /// A card changed; whether it came to be with that.
    pub(super) fn take(&mut self, card: CallUpdate) -> bool {
        match self.cards.entry(card.id.clone()) {
            Entry::Occupied(mut known) => {
                merge(known.get_mut(), card);
                false
            }
            Entry::Vacant(place) => {
                place.insert(card);
                true
            }
        }
    }

    /// Those that are not final.
    pub(super) fn open(&self) -> BTreeSet<CallId> {
        self.cards.values().filter(|card| is_open(card)).map(|card| card.id.clone()).collect()
    }

    /// The one update that says all of a card; one that is open is `left`, if that is so.
    pub(super) fn shown(&self, id: &CallId, left: Option<Left>) -> Option<CallUpdate> {
        let mut card = self.cards.get(id)?.clone();
        if let Some(left) = left.filter(|_| is_open(&card)) {
            leave(&mut card, left);
        }
        let live = |content: &CallContent| matches!(content, CallContent::Terminal(_));
        card.content = card
            .content
            .map(|content| content.into_iter().filter(|content| !live(content)).collect());
        Some(CallUpdate {
            tool: Some(card.tool.unwrap_or_else(|| "task".to_owned())),
            title: Some(card.title.unwrap_or_else(|| card.id.to_string())),
            kind: Some(card.kind.unwrap_or(ToolKind::Think)),
            hidden: false,
            ..card
        })
    }
}

fn is_open(card: &CallUpdate) -> bool {
    !card.status.is_some_and(CallStatus::is_final)
}

/// The number of the task whose card it is, or whose call: 1 for `task-t1-2` and `task-t1/c3`.
pub(super) fn number(id: &CallId) -> Option<u64> {
    let name = id.as_str().strip_prefix("task-t")?;
    name.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

/// Whether it is not the card of a task but a call of one: `task-t1/c3`.
fn is_asked(id: &CallId) -> bool {
    id.as_str().contains('/')
}

fn leave(shown: &mut CallUpdate, left: Left) {
    let is_asked = is_asked(&shown.id);
    let which = if is_asked { "The task that asked for this" } else { "This task" };
    let task = shown.task.as_ref().map_or("all", |task| task.id.as_str());
    let (state, text) = match left {
        Left::Ended => {
            let text = if is_asked {
                format!("{which} was interrupted; `/resume {task}` lets it go on.")
            } else {
                card::interrupted(task)
            };
            (State::Interrupted, text)
        }
        Left::Copied => {
            let text = format!("{which} goes on in the session that this is a copy of.");
            (State::Cancelled, text)
        }
    };
    shown.status = Some(CallStatus::Failed);
    shown.content = Some(vec![CallContent::Content(Content::text(text))]);
    if let Some(task) = &mut shown.task {
        state.name().clone_into(&mut task.state);
    }
}
