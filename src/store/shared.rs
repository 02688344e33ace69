//! What the store's thread and everyone else share: the queue to it, and what is said beside the queue.
//! What the thread does with it is `writer`'s.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::journal::{Line, Seq};
use super::lease::OwnerId;
use super::migrate::{self, Steps};
use super::place::Place;
use super::remains::Slice;
use super::trouble::Trouble;
use super::work::Work;
use super::{Durability, Opened, Record};
use crate::clock::{Clock, Timestamp};
use crate::fault::Fault;

/// What waits for the thread; journals keep what finds no room.
pub(super) const WAITING: usize = 1_024;
/// What a test sets otherwise.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tuning {
    pub(super) steps: Steps,
    /// How long another program's lock is waited for while nothing is wrong.
    pub(super) busy: Duration,
    /// And while something is: the chat has waited once.
    pub(super) busy_again: Duration,
    /// How often what could not be written is tried again.
    pub(super) retry: Duration,
    /// How many bytes may wait to be written.
    pub(super) backlog: usize,
    /// How many pages the database may have; 0 for as many as it likes.
    pub(super) pages: u32,
    /// How long the thread's end is waited for.
    pub(super) end: Duration,
    /// What is removed of deleted sessions at once.
    pub(super) slice: Slice,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            steps: migrate::STEPS,
            busy: Duration::from_secs(1),
            busy_again: Duration::from_millis(20),
            retry: Duration::from_secs(1),
            backlog: 16 * 1024 * 1024,
            pages: 0,
            end: Duration::from_secs(5),
            slice: Slice::default(),
        }
    }
}

/// What the thread and everyone else know.
pub(super) struct Shared {
    pub(super) sender: mpsc::Sender<Message>,
    pub(super) place: Place,
    pub(super) clock: Clock,
    /// How often the database was opened: what was opened before the last time is of a file that is gone.
    pub(super) opened: AtomicU64,
    pub(super) readers: Mutex<Vec<(u64, Connection)>>,
    pub(super) notice: Mutex<Option<Fault>>,
    /// Whether it is that a database was put aside: asked for much more often than it is so.
    pub(super) was_put_aside: AtomicBool,
    /// Whether the database was opened, or tried to be.
    pub(super) was_tried: AtomicBool,
    /// What journals left that found no room when they were dropped.
    pub(super) left: Mutex<Vec<Message>>,
    /// The process says that it ends soon; the thread has to write it down.
    pub(super) ending: AtomicBool,
    pub(super) ends: AtomicBool,
}

impl Shared {
    pub(super) fn new(place: Place, clock: Clock) -> (Arc<Self>, mpsc::Receiver<Message>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let shared = Self {
            sender,
            place,
            clock,
            opened: AtomicU64::new(0),
            readers: Mutex::default(),
            notice: Mutex::default(),
            was_put_aside: AtomicBool::new(false),
            was_tried: AtomicBool::new(false),
            left: Mutex::default(),
            ending: AtomicBool::new(false),
            ends: AtomicBool::new(false),
        };
        (Arc::new(shared), receiver)
    }

    /// Hands over what found no room, from where nothing can be awaited.
    pub(super) fn leave(&self, line: &Arc<Line>, items: VecDeque<Item>) {
        if items.is_empty() {
            return;
        }
        let messages = items.into_iter().map(|item| Message::Item(Arc::clone(line), item));
        lock(&self.left).extend(messages);
        self.wake();
    }

    /// The thread looks at what is beside its queue. A queue without room is read soon in any case.
    pub(super) fn wake(&self) {
        let _full_or_ended = self.sender.try_send(Message::Wake);
    }

    /// Has the end of the process written down, so that others wait for its sessions.
    pub(super) fn announce_end(&self) {
        self.ending.store(true, Ordering::Release);
        self.wake();
    }

    /// Ends the thread behind everything that it was given.
    pub(super) fn end(&self) {
        self.ends.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn take_notice(&self) -> Option<Fault> {
        self.was_put_aside.store(false, Ordering::Release);
        lock(&self.notice).take()
    }

    /// The notice that a damaged database was put aside. All else that is wrong with the store is the
    /// trouble of each session.
    pub(super) fn take_notice_of_damage(&self) -> Option<Fault> {
        if self.was_put_aside.swap(false, Ordering::AcqRel) { self.take_notice() } else { None }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("place", &self.place).finish_non_exhaustive()
    }
}

/// Nothing is left half done under these locks.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Message {
    /// Look at what is beside the queue.
    Wake,
    /// Open the database if it is not, and say whose it is here.
    Open(Option<oneshot::Sender<Result<OwnerId, Trouble>>>),
    Item(Arc<Line>, Item),
    Work(Box<dyn Work>),
}

/// What a journal gives.
#[derive(Debug)]
pub(super) enum Item {
    Create { at: Timestamp, opened: Opened },
    Append { seq: Seq, at: Timestamp, record: Box<Record>, durability: Durability },
    Release,
}
