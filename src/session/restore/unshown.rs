//! Which tasks ended without a client having been shown it. It keeps which card says how a task ended, and not
//! the card.
//!
//! A Talaria that does not write `Record::Shown` yet showed each card when it came. So of what stands before the
//! first such record, only tasks whose reports the model was not given count: a turn that gave a report was
//! looked on at.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::CallId;

/// The ends of a journal's tasks, as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Unshown {
    /// By task, the card that says how it ended.
    ended: BTreeMap<u64, CallId>,
    shown: BTreeSet<u64>,
    /// Whoever writes the journal says what is shown.
    is_marked: bool,
}

impl Unshown {
    /// This card says how the task ended.
    pub(super) fn ended(&mut self, task: u64, card: CallId) {
        self.ended.insert(task, card);
    }

    /// A client was shown how these tasks ended.
    pub(super) fn shown(&mut self, tasks: Vec<u64>) {
        self.is_marked = true;
        self.shown.extend(tasks);
    }

    /// The model was given the reports of these tasks.
    pub(super) fn given(&mut self, tasks: impl IntoIterator<Item = u64>) {
        if !self.is_marked {
            self.shown.extend(tasks);
        }
    }

    /// The session is a copy from here on: what ended before, ended in the other one.
    pub(super) fn copied(&mut self) {
        self.ended.clear();
        self.shown.clear();
    }

    /// Those that are left, with their cards.
    pub(super) fn left(&self) -> impl Iterator<Item = (u64, &CallId)> {
        let ended = self.ended.iter().filter(|(task, _)| !self.shown.contains(task));
        ended.map(|(task, card)| (*task, card))
    }
}
