//! Cards of tasks, and the calls that tasks asked for: where each came to be, and what became of it. They
//! belong to the session and not to a turn, so they end far behind the place where they are shown. Which of
//! them a client was shown is `unshown`'s.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::repair::Left;
use crate::event::{CallContent, CallStatus, CallUpdate, ToolKind};
use crate::ids::{CallId, SessionId};
use crate::store::Opened;
use crate::tasks::engine::State;
use crate::tasks::{card, report};
use crate::transcript::{Author, Content, Prompt};

/// The cards of a journal, as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Cards {
    by_id: HashMap<CallId, CallUpdate>,
    /// How the tasks ended whose reports came: a process may end between a report and the card's last change.
    ends: BTreeMap<u64, State>,
    forked_from: Option<SessionId>,
}

impl Cards {
    /// The session is opened. Whether it is a copy since then: what was open goes on in the other one.
    pub(super) fn opened(&mut self, opened: &Opened) -> bool {
        let is_copy = opened.forked_from.is_some() && opened.forked_from != self.forked_from;
        self.forked_from.clone_from(&opened.forked_from);
        if is_copy {
            for card in self.by_id.values_mut().filter(|card| is_open(card)) {
                close(card, &self.ends, Some(Left::Copied));
            }
            self.ends.clear();
        }
        is_copy
    }

    /// A card changed; whether it came to be with that.
    pub(super) fn take(&mut self, card: CallUpdate) -> bool {
        match self.by_id.entry(card.id.clone()) {
            Entry::Occupied(mut known) => {
                known.get_mut().take_in(card);
                false
            }
            Entry::Vacant(place) => {
                place.insert(card);
                true
            }
        }
    }

    /// A report came. The first one of a task counts.
    pub(super) fn reported(&mut self, report: &Prompt) {
        if let Author::Task(task) = report.from
            && let Some(state) = report::state_of(&report.text())
        {
            self.ends.entry(task).or_insert(state);
        }
    }

    /// The task whose card this is and that ended with it: it says more than that it was interrupted, or how
    /// a call of the task ended.
    pub(super) fn ended(&self, id: &CallId) -> Option<u64> {
        let card = self.by_id.get(id).filter(|card| !is_open(card) && !is_asked(id))?;
        if card::is_interrupted(card) { None } else { number(id) }
    }

    /// Those of tasks that are final.
    pub(super) fn closed(&self) -> BTreeSet<CallId> {
        let is_closed = |card: &&CallUpdate| !is_open(card) && !is_asked(&card.id);
        self.by_id.values().filter(is_closed).map(|card| card.id.clone()).collect()
    }

    /// Those that are not final.
    pub(super) fn open(&self) -> BTreeSet<CallId> {
        self.by_id.values().filter(|card| is_open(card)).map(|card| card.id.clone()).collect()
    }

    /// The one update that says all of a card; one that is open is `left`, if that is so, unless its task
    /// has reported.
    pub(super) fn shown(&self, id: &CallId, left: Option<Left>) -> Option<CallUpdate> {
        let mut card = self.by_id.get(id)?.clone();
        if is_open(&card) {
            close(&mut card, &self.ends, left);
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

/// Shows what is open as it ended, as far as that is known.
fn close(shown: &mut CallUpdate, ends: &BTreeMap<u64, State>, left: Option<Left>) {
    let end = number(&shown.id).and_then(|task| ends.get(&task));
    match (end, left) {
        (Some(state), _) => end_as(shown, *state),
        (None, Some(left)) => leave(shown, left),
        (None, None) => {}
    }
}

/// The report says how the task ended. What else its card would say is told when the tasks are there.
fn end_as(shown: &mut CallUpdate, state: State) {
    let (status, text) = if is_asked(&shown.id) {
        (CallStatus::Failed, "The task that asked for this has ended.".to_owned())
    } else {
        let status = match state {
            State::Completed => CallStatus::Completed,
            State::Queued
            | State::Running
            | State::Waiting
            | State::Interrupted
            | State::Failed
            | State::Cancelled => CallStatus::Failed,
        };
        (status, format!("{state}: its report has come"))
    };
    put(shown, status, state, text);
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
    put(shown, CallStatus::Failed, state, text);
}

fn put(shown: &mut CallUpdate, status: CallStatus, state: State, text: String) {
    shown.status = Some(status);
    shown.content = Some(vec![CallContent::Content(Content::text(text))]);
    if let Some(task) = &mut shown.task {
        state.name().clone_into(&mut task.state);
    }
}
