//! How much of a session is written, and so what may be told. Writing itself is the journal's.

use crate::fault::Fault;
use crate::store::{Durability, Journal, Progress, Record, Seq, Trouble};

/// The journal of a session, and what is known of it.
pub(super) struct Written {
    journal: Journal,
    /// The last record that was appended.
    last: Seq,
    /// Up to here all is known to be handled; asking the journal costs more.
    handled: Seq,
    trouble: Option<Trouble>,
    is_store_known: bool,
}

impl Written {
    pub(super) fn new(journal: Journal) -> Self {
        let progress = journal.progress();
        Self {
            last: journal.last(),
            handled: progress.handled,
            trouble: progress.trouble,
            is_store_known: false,
            journal,
        }
    }

    pub(super) fn append(&mut self, record: Record, durability: Durability) {
        self.last = self.journal.append(record, durability);
    }

    /// What must be handled before anything that is said now may be told.
    pub(super) fn last(&self) -> Seq {
        self.last
    }

    /// Takes what has come about. Everything below speaks of the journal as it was here, so that nothing
    /// comes about between two questions, for which `changed` would then not be asked.
    pub(super) fn look(&mut self) {
        if !self.is_all_handled() {
            let progress = self.journal.progress();
            self.take(progress);
        }
    }

    pub(super) fn is_handled(&self, seq: Seq) -> bool {
        seq <= self.handled
    }

    pub(super) fn is_all_handled(&self) -> bool {
        self.is_handled(self.last)
    }

    /// What keeps the session from being saved.
    pub(super) fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// What the user should be told of the store now, beside this session's trouble.
    pub(super) fn take_notice(&self) -> Option<Fault> {
        self.journal.take_notice()
    }

    /// Whether it is known how the store is. When it becomes so, `changed` has something.
    pub(super) fn is_store_known(&mut self) -> bool {
        self.is_store_known =
            self.is_store_known || self.journal.was_tried() || self.is_all_handled();
        self.is_store_known
    }

    /// Whether `changed` has something to wait for: what is not handled, or the end of trouble.
    pub(super) fn is_waiting(&self) -> bool {
        self.trouble.is_some() || !self.is_all_handled()
    }

    /// Waits for progress. Loses nothing when it is dropped.
    pub(super) async fn changed(&mut self) {
        let progress = self.journal.changed().await;
        self.take(progress);
    }

    fn take(&mut self, progress: Progress) {
        self.handled = self.handled.max(progress.handled);
        self.trouble = progress.trouble;
    }
}
