//! The one thread of a process that writes the database: it gathers what comes in at once into one
//! transaction, keeps what could not be written and tries again. What a record is as text is `body`'s,
//! what it means to the list `index`'s.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::TransactionBehavior;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::batch::{self, Prepared};
use super::database::Database;
use super::journal::Line;
use super::lease::{self, Owner, OwnerId};
use super::migrate;
use super::remains::Remains;
use super::shared::{Item, Message, Shared, Tuning, lock};
use super::trouble::Trouble;
use super::work::Work;
use super::{Durability, sweep};

/// What one transaction holds of it.
const BATCH: usize = 256;
/// How long the end of a process is kept up by what is left of deleted sessions.
const TIDYING: Duration = Duration::from_secs(1);

/// The thread's state.
pub(super) struct Writer {
    shared: Arc<Shared>,
    receiver: mpsc::Receiver<Message>,
    tuning: Tuning,
    database: Option<Database>,
    /// This instance, from the first time that the database was opened.
    owner: Option<Arc<Owner>>,
    /// What is to be written, in order; after a failure it stays.
    items: VecDeque<Prepared>,
    /// How many of them, from the first, their sessions know of: they may be many, for long.
    told: usize,
    works: Vec<Box<dyn Work>>,
    openers: Vec<oneshot::Sender<Result<OwnerId, Trouble>>>,
    must_open: bool,
    remains: Remains,
    /// Since the last time that everything could be written.
    trouble: Option<Trouble>,
    /// Until when it is not tried again for records alone.
    rests: Option<Instant>,
    done: Done,
}

/// What is done once in a process.
#[derive(Default)]
struct Done {
    /// The user was told why the database cannot be opened.
    told: bool,
    swept: bool,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        receiver: mpsc::Receiver<Message>,
        tuning: Tuning,
    ) -> Self {
        Self {
            shared,
            receiver,
            tuning,
            database: None,
            owner: None,
            items: VecDeque::new(),
            told: 0,
            works: Vec::new(),
            openers: Vec::new(),
            must_open: false,
            remains: Remains::default(),
            trouble: None,
            rests: None,
            done: Done::default(),
        }
    }

    /// The thread's whole life. Nobody waits for ever because of a defect in it.
    pub(super) fn run(mut self) {
        if catch_unwind(AssertUnwindSafe(|| self.serve())).is_err() {
            tracing::error!("the store's thread ended by a defect");
            self.mourn(&Trouble::Ended);
        }
    }

    fn serve(&mut self) {
        // Asked before each wait: what woke the thread may have been taken with other messages.
        while !self.shared.ends.load(Ordering::Acquire) {
            self.wait();
            for _ in 1..BATCH {
                let Ok(message) = self.receiver.try_recv() else { break };
                self.take(message);
            }
            self.take_left();
            self.batch();
            self.announce_end();
            self.sweep();
            self.remove_remains();
        }
        self.end();
    }

    /// Answers everything with the trouble.
    fn mourn(mut self, trouble: &Trouble) {
        self.database = None;
        for item in self.items.drain(..) {
            item.line.tell(item.seq, Some(trouble));
        }
        self.works.clear();
        self.remains.abandon();
        self.openers.clear();
        loop {
            if self.shared.ends.load(Ordering::Acquire) {
                self.receiver.close();
            }
            match self.receiver.blocking_recv() {
                Some(Message::Item(line, Item::Append { seq, .. })) => {
                    line.tell(seq, Some(trouble));
                }
                Some(Message::Item(line, Item::Create { .. })) => line.tell(1, Some(trouble)),
                Some(Message::Work(work)) => work.finish(Some(trouble)),
                Some(Message::Open(Some(opener))) => {
                    let _gone = opener.send(Err(trouble.clone()));
                }
                Some(Message::Wake | Message::Open(None) | Message::Item(_, Item::Release)) => {}
                None => return,
            }
        }
    }

    /// Waits for the next message, or for the time to try again.
    fn wait(&mut self) {
        let message = if self.remains.is_due {
            // Who comes meanwhile is served between two slices.
            self.receiver.try_recv().ok()
        } else if self.items.is_empty() {
            self.receiver.blocking_recv()
        } else {
            wait_for(&mut self.receiver, self.tuning.retry)
        };
        if let Some(message) = message {
            self.take(message);
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Wake => {}
            Message::Open(opener) => {
                self.must_open = true;
                self.openers.extend(opener);
            }
            Message::Item(line, item) => self.items.extend(Prepared::of(line, item)),
            Message::Work(work) => self.works.push(work),
        }
    }

    fn take_left(&mut self) {
        let left = std::mem::take(&mut *lock(&self.shared.left));
        if left.is_empty() {
            return;
        }
        // What the same journals gave earlier is still in the queue.
        for _ in 0..self.receiver.len() {
            let Ok(message) = self.receiver.try_recv() else { break };
            self.take(message);
        }
        for message in left {
            self.take(message);
        }
    }

    /// Writes what there is, and tells of it.
    fn batch(&mut self) {
        let is_idle = self.items.is_empty() && self.works.is_empty() && !self.must_open;
        if is_idle {
            return;
        }
        if self.is_resting() {
            if let Some(trouble) = self.trouble.clone() {
                self.fail(trouble);
            }
            return;
        }
        self.must_open = false;
        let begun = Instant::now();
        let written = self.write();
        // A large backlog on a full disk is not tried with each record that comes.
        let pause = (begun.elapsed() * 4).min(self.tuning.retry);
        self.rests = written.is_err().then(|| Instant::now() + pause);
        let owner = match (&written, &self.database) {
            (Ok(()), Some(database)) => Ok(database.owner().clone()),
            (Err(trouble), _) => Err(trouble.clone()),
            (Ok(()), None) => Err(Trouble::Locked),
        };
        for opener in self.openers.drain(..) {
            let _gone = opener.send(owner.clone());
        }
        // Journals before works: a session only lets go what waited for its records, while who asked for work goes
        // on with it, and whoever wakes may keep this thread from running.
        let failure = written.as_ref().err().cloned();
        match written {
            Ok(()) => {
                if self.trouble.take().is_some() {
                    tracing::info!("the store can be written again");
                    self.be_patient(self.tuning.busy);
                }
                self.told = 0;
                let mut items = self.items.drain(..).peekable();
                while let Some(item) = items.next() {
                    // Telling wakes the session: the last of its records says all.
                    let says_more =
                        |next: &Prepared| !next.is_release() && Arc::ptr_eq(&next.line, &item.line);
                    if !items.peek().is_some_and(says_more) {
                        item.line.tell(item.seq, None);
                    }
                }
            }
            Err(trouble) => self.fail(trouble),
        }
        for work in self.works.drain(..) {
            if failure.is_none() && work.erases() {
                self.remains.wait(work);
            } else {
                work.finish(failure.as_ref());
            }
        }
    }

    /// Whether it failed just now and nobody waits for an answer.
    fn is_resting(&self) -> bool {
        let rests = self.rests.is_some_and(|until| Instant::now() < until);
        rests && self.works.is_empty() && !self.must_open
    }

    fn fail(&mut self, trouble: Trouble) {
        if self.trouble.as_ref() != Some(&trouble) {
            tracing::warn!(%trouble, "the store cannot be written");
            self.told = 0;
        }
        match &trouble {
            Trouble::Damaged { .. } => self.shared.place.mark_suspect(),
            // The connection is as good as it was.
            Trouble::Full | Trouble::Locked => {}
            Trouble::ReadOnly(_)
            | Trouble::Newer { .. }
            | Trouble::TakenOver
            | Trouble::GivenUp
            | Trouble::Removed
            | Trouble::Refused(_)
            | Trouble::Ended
            // It may find room when it begins again.
            | Trouble::Limit
            | Trouble::Other(_) => self.database = None,
        }
        self.be_patient(self.tuning.busy_again);
        for item in self.items.iter().skip(self.told) {
            item.line.tell(item.seq, Some(&trouble));
        }
        self.trouble = Some(trouble);
        self.give_up();
        self.told = self.items.len();
    }

    fn be_patient(&self, busy: Duration) {
        if let Some(database) = &self.database
            && let Err(error) = database.connection.busy_timeout(busy)
        {
            tracing::warn!(%error, "the time to wait for a lock could not be set");
        }
    }

    /// Keeps what waits within its bound, at the cost of the sessions that wait with most.
    fn give_up(&mut self) {
        let mut bytes: usize = self.items.iter().map(Prepared::bytes).sum();
        while bytes > self.tuning.backlog {
            let Some(line) = batch::largest(&self.items) else { return };
            tracing::warn!(session = %line.session, "what waits to be written is given up");
            refuse(&mut self.items, &line, Trouble::GivenUp);
            let left = self.items.iter().map(Prepared::bytes).sum();
            if left == bytes {
                return;
            }
            bytes = left;
        }
    }

    fn write(&mut self) -> Result<(), Trouble> {
        self.open()?;
        let Some(database) = &mut self.database else { return Ok(()) };
        if self.items.is_empty() && self.works.is_empty() {
            return Ok(());
        }
        let place = &self.shared.place;
        let trouble = |error: rusqlite::Error| place.trouble(&error);
        let full = self.items.iter().any(Prepared::needs_power)
            || self.works.iter().any(|work| work.durability() == Durability::Power);
        database.wait_for_disk(full).map_err(trouble)?;
        let owner = database.owner().clone();
        loop {
            let transaction = database
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .map_err(trouble)?;
            // A newer Talaria may have changed its shape since it was opened.
            let found = migrate::version(&transaction).map_err(trouble)?;
            let known = migrate::newest(self.tuning.steps);
            if found != known {
                return Err(Trouble::Newer { found, known });
            }
            match batch::write(&transaction, &owner, &self.items) {
                Ok(()) => {}
                Err(batch::Failed { line: Some(line), error }) => {
                    // Only this session's; the others are written without it.
                    tracing::error!(session = %line.session, %error, "a record cannot be written");
                    transaction.rollback().map_err(trouble)?;
                    refuse(&mut self.items, &line, Trouble::Refused(error.to_string()));
                    self.told = 0;
                    continue;
                }
                Err(batch::Failed { line: None, error }) => return Err(trouble(error)),
            }
            for work in &mut self.works {
                work.run(&transaction, &owner, place);
                if transaction.is_autocommit() {
                    // The engine gave the whole transaction up.
                    return Err(work.trouble().unwrap_or(Trouble::Full));
                }
            }
            transaction.commit().map_err(trouble)?;
            break;
        }
        if !self.remains.is_due {
            self.remains.erase(&database.connection, self.tuning);
        }
        Ok(())
    }

    /// Opens the database, anew where its file is no longer there.
    fn open(&mut self) -> Result<(), Trouble> {
        if self.database.as_ref().is_some_and(|database| !database.is_there()) {
            tracing::error!("the database was removed or replaced while it was open");
            self.database = None;
        }
        if self.database.is_some() {
            return Ok(());
        }
        // Before its file is looked at: who closes a file gives up the locks of the whole process on it.
        lock(&self.shared.readers).clear();
        let place = &self.shared.place;
        let busy = if self.trouble.is_some() { self.tuning.busy_again } else { self.tuning.busy };
        let (opened, aside) =
            Database::open(place, &self.shared.clock, self.tuning.steps, busy, &mut self.owner);
        if let Some(aside) = aside {
            *lock(&self.shared.notice) = Some(Trouble::Damaged { aside: Some(aside) }.fault());
            self.shared.was_put_aside.store(true, Ordering::Release);
        }
        self.shared.was_tried.store(true, Ordering::Release);
        let database = match opened {
            Ok(database) => database,
            Err(trouble) => {
                if !std::mem::replace(&mut self.done.told, true) {
                    lock(&self.shared.notice).get_or_insert_with(|| trouble.fault());
                }
                return Err(trouble);
            }
        };
        if self.tuning.pages > 0 {
            let _pages = database.connection.pragma_update_and_check(
                None,
                "max_page_count",
                self.tuning.pages,
                |_| Ok(()),
            );
        }
        self.shared.opened.fetch_add(1, Ordering::AcqRel);
        lock(&self.shared.readers).clear();
        self.database = Some(database);
        Ok(())
    }

    /// Only where the database is open: who has not opened it holds nothing.
    fn announce_end(&mut self) {
        let Some(database) = &self.database else { return };
        if self.shared.ending.swap(false, Ordering::AcqRel)
            && let Err(error) = lease::announce_end(&database.connection, database.owner())
        {
            tracing::debug!(%error, "the end could not be announced");
        }
    }

    /// Once in a process, behind its first batch: what dead processes left, and old empty sessions.
    fn sweep(&mut self) {
        if self.done.swept || self.trouble.is_some() {
            return;
        }
        let Some(database) = &mut self.database else { return };
        self.done.swept = true;
        self.remains.is_due = true;
        if let Err(error) =
            sweep::run(&mut database.connection, &self.shared.place, self.shared.clock.now())
        {
            tracing::debug!(%error, "the store could not be swept");
        }
    }

    /// One slice of what is left of deleted sessions.
    fn remove_remains(&mut self) {
        if !self.remains.is_due {
            return;
        }
        match (&self.trouble, &mut self.database) {
            (None, Some(database)) => {
                self.remains.remove(database, &self.shared.place, self.tuning);
            }
            (trouble, _) => self.remains.finish(Some(trouble.as_ref().unwrap_or(&Trouble::Locked))),
        }
    }

    /// Writes everything that is left, gives the leases back and closes the database.
    fn end(&mut self) {
        self.receiver.close();
        // Also what someone has room for and is about to send.
        while let Some(message) = self.receiver.blocking_recv() {
            self.take(message);
        }
        self.take_left();
        self.be_patient(self.tuning.busy);
        self.rests = None;
        self.batch();
        // A short while: the next start goes on with it.
        let begun = Instant::now();
        while self.remains.is_due && begun.elapsed() < TIDYING {
            self.remove_remains();
        }
        self.remains.abandon();
        if !self.items.is_empty() {
            tracing::error!(records = self.items.len(), "not everything could be written");
        }
        lock(&self.shared.readers).clear();
        let Some(database) = self.database.take() else { return };
        if let Err(error) = lease::forget(&database.connection, database.owner()) {
            tracing::debug!(%error, "the leases could not be given back");
        }
        self.remains.erase(&database.connection, self.tuning);
        if let Err(error) = database.tidy_up() {
            tracing::debug!(%error, "the log could not be tidied away");
        }
    }
}

/// Drops what waits of a session of which nothing more is written; its lease is still given back.
fn refuse(items: &mut VecDeque<Prepared>, line: &Arc<Line>, trouble: Trouble) {
    line.refuse(trouble);
    items.retain(|item| {
        let is_kept = !Arc::ptr_eq(&item.line, line) || item.is_release();
        if !is_kept {
            line.tell(item.seq, None);
        }
        is_kept
    });
}

/// Like `blocking_recv`, for a time. Made only while something is wrong, so it costs nothing else.
fn wait_for(receiver: &mut mpsc::Receiver<Message>, time: Duration) -> Option<Message> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    match runtime {
        Ok(runtime) => runtime
            .block_on(async { tokio::time::timeout(time, receiver.recv()).await })
            .ok()
            .flatten(),
        Err(error) => {
            tracing::warn!(%error, "no timer");
            std::thread::sleep(time);
            None
        }
    }
}
