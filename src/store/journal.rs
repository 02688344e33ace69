//! The writing end of one session's journal: records go in without waiting, and what has been written
//! is said as it comes about. How they are written is `writer`'s.

#[cfg(test)]
pub(crate) mod scripted;

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::watch;

use super::shared::{Item, Message, Shared};
use super::trouble::Trouble;
use super::{Durability, Opened, Record};
use crate::clock::Timestamp;
use crate::fault::Fault;
use crate::ids::SessionId;
use crate::redact::Mask;

/// The number of a record in its session, from 1; 0 is before the first.
pub type Seq = u64;

/// How far a journal has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// The last record that is written, or that was tried to be: what it stands for may be told.
    pub handled: Seq,
    /// What keeps records from being written now. Those that could not be are tried again, in order,
    /// with what comes later; when they are written, this is gone.
    pub trouble: Option<Trouble>,
}

/// What the writer and a journal share.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) session: SessionId,
    pub(super) epoch: u64,
    pub(super) mask: Arc<Mask>,
    progress: watch::Sender<Progress>,
    /// Why nothing more of it is ever written.
    refused: OnceLock<Trouble>,
}

impl Line {
    fn new(session: SessionId, epoch: u64, mask: Arc<Mask>, handled: Seq) -> Arc<Self> {
        let progress = watch::Sender::new(Progress { handled, trouble: None });
        Arc::new(Self { session, epoch, mask, progress, refused: OnceLock::new() })
    }

    pub(super) fn refused(&self) -> Option<&Trouble> {
        self.refused.get()
    }

    /// Nothing more of it is written.
    pub(super) fn refuse(&self, trouble: Trouble) {
        self.tell(0, Some(self.refused.get_or_init(|| trouble)));
    }

    /// Everything up to `handled` was written or tried to be; what is refused stays so.
    pub(super) fn tell(&self, handled: Seq, trouble: Option<&Trouble>) {
        let trouble = self.refused.get().or(trouble);
        self.progress.send_if_modified(|progress| {
            let is_new = progress.handled < handled || progress.trouble.as_ref() != trouble;
            progress.handled = progress.handled.max(handled);
            if progress.trouble.as_ref() != trouble {
                progress.trouble = trouble.cloned();
            }
            is_new
        });
    }
}

/// Writes one session, under its lease. Dropping it gives the lease back, behind everything appended.
#[derive(Debug)]
pub struct Journal(Option<Open>);

#[derive(Debug)]
struct Open {
    store: Arc<Shared>,
    line: Arc<Line>,
    seen: watch::Receiver<Progress>,
    last: Seq,
    /// When the last record was appended: time does not go back in a journal.
    at: Timestamp,
    /// What the writer had no room for.
    waiting: VecDeque<Item>,
}

impl Journal {
    /// A journal that keeps nothing: everything counts as handled.
    pub fn off() -> Self {
        Self(None)
    }

    /// A new session's, with its first record on the way.
    pub(super) fn create(
        store: Arc<Shared>,
        id: SessionId,
        opened: Opened,
        mask: Arc<Mask>,
    ) -> Self {
        let line = Line::new(id, 1, mask, 0);
        let mut open = Open::new(store, line, 0, Timestamp::default());
        let at = open.now();
        open.last = 1;
        open.give(Item::Create { at, opened });
        Self(Some(open))
    }

    /// A session's whose lease this store has as the `epoch`th.
    pub(super) fn opened(store: Arc<Shared>, given: Given, mask: Arc<Mask>) -> Self {
        let line = Line::new(given.session, given.epoch, mask, given.last);
        Self(Some(Open::new(store, line, given.last, given.at)))
    }

    /// Which opening of the session this is, from 1.
    pub fn epoch(&self) -> u64 {
        self.0.as_ref().map_or(1, |open| open.line.epoch)
    }

    /// Appends a record; its number. Waits for nothing.
    pub fn append(&mut self, record: Record, durability: Durability) -> Seq {
        let Some(open) = &mut self.0 else { return 0 };
        let at = open.now();
        open.last += 1;
        let seq = open.last;
        open.give(Item::Append { seq, at, record: Box::new(record), durability });
        seq
    }

    /// The number of the last record that was appended.
    pub fn last(&self) -> Seq {
        self.0.as_ref().map_or(0, |open| open.last)
    }

    /// Whether this record is written, or was tried to be.
    pub fn is_handled(&self, seq: Seq) -> bool {
        self.0.as_ref().is_none_or(|open| seq <= open.seen.borrow().handled)
    }

    pub fn progress(&self) -> Progress {
        self.0.as_ref().map(|open| open.seen.borrow().clone()).unwrap_or_default()
    }

    /// What the user should be told of the store, once in this process, beside this session's trouble: a
    /// damaged database that was put aside.
    pub fn take_notice(&self) -> Option<Fault> {
        self.0.as_ref()?.store.take_notice_of_damage()
    }

    /// Whether the store was opened, or tried to be: before, nothing is known of it.
    pub fn was_tried(&self) -> bool {
        self.0.as_ref().is_none_or(|open| open.store.was_tried.load(Ordering::Acquire))
    }

    /// Waits until there is progress that `progress` did not show yet. Also hands over what the store's
    /// thread had no room for, so it must be polled while something is not handled. Loses nothing when
    /// it is dropped.
    pub async fn changed(&mut self) -> Progress {
        let Some(open) = &mut self.0 else { return std::future::pending().await };
        loop {
            if open.waiting.is_empty() {
                // The other end is in `line` and lives as long as this.
                let _ended = open.seen.changed().await;
                return open.seen.borrow_and_update().clone();
            }
            let store = Arc::clone(&open.store);
            tokio::select! {
                biased;
                room = store.sender.reserve() => match (room, open.waiting.pop_front()) {
                    (Ok(room), Some(item)) => {
                        room.send(Message::Item(Arc::clone(&open.line), item));
                    }
                    (_, _) => open.lost(),
                },
                _ended = open.seen.changed() => return open.seen.borrow_and_update().clone(),
            }
        }
    }

    /// Waits until everything appended is handled.
    pub async fn flush(&mut self) -> Progress {
        while !self.is_handled(self.last()) {
            self.changed().await;
        }
        self.progress()
    }
}

/// What a claim gives a journal to go on from.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) session: SessionId,
    pub(super) epoch: u64,
    pub(super) last: Seq,
    pub(super) at: Timestamp,
}

impl Open {
    fn new(store: Arc<Shared>, line: Arc<Line>, last: Seq, at: Timestamp) -> Self {
        let seen = line.progress.subscribe();
        Self { store, line, seen, last, at, waiting: VecDeque::new() }
    }

    fn now(&mut self) -> Timestamp {
        self.at = self.at.max(self.store.clock.now());
        self.at
    }

    fn give(&mut self, item: Item) {
        self.waiting.push_back(item);
        let store = Arc::clone(&self.store);
        while !self.waiting.is_empty() {
            match store.sender.try_reserve() {
                Ok(room) => {
                    let Some(item) = self.waiting.pop_front() else { return };
                    room.send(Message::Item(Arc::clone(&self.line), item));
                }
                Err(TrySendError::Full(())) => return,
                Err(TrySendError::Closed(())) => self.lost(),
            }
        }
    }

    /// The store has ended; nobody waits for what cannot be written any more.
    fn lost(&mut self) {
        self.waiting.clear();
        self.line.tell(self.last, Some(&Trouble::Ended));
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.give(Item::Release);
        self.store.leave(&self.line, std::mem::take(&mut self.waiting));
    }
}
