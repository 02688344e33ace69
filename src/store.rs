//! Sessions that last: one SQLite database for several processes. A session is a journal of records,
//! written by its lease's owner alone, through one thread that groups commits; the list of sessions is an
//! index that can be rebuilt from the journals. No module names SQLite but this one and
//! `tasks::engine::sqlite`, whose tables are in the same database.

mod trouble;
pub mod record;
mod place;
mod lease;
mod migrate;
mod database;
mod examine;
mod index;
mod body;
mod journal;
mod shared;
mod reader;
mod batch;
mod work;
mod remains;
mod sessions;
mod sweep;
mod writer;
mod batches;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, Transaction};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::clock::{Clock, Timestamp};
use crate::fault::Fault;
use crate::ids::SessionId;
use crate::redact::Mask;

pub use batches::Batches;
use batches::Which;
pub use examine::{Examined, database_path, examine};
#[cfg(test)]
pub(crate) use journal::scripted::Disk;
pub use journal::{Journal, Progress, Seq};
pub(crate) use lease::{OwnerId, Owners};
pub use record::{Opened, Record, TitleBy};
pub use trouble::{StoreError, Trouble};

use body::Body;
use lease::Holder;
use place::Place;
use sessions::Fork;
use shared::{Message, Shared, Tuning, lock};
use work::Task;
use writer::Writer;

/// Where the sessions are.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The state folder; made when it is needed.
    pub folder: PathBuf,
    pub clock: Clock,
}

/// The sessions of a state folder. Cheap to clone. The first use opens the database, in a thread of its
/// own; nothing here blocks.
#[derive(Debug, Clone)]
pub struct Store(Option<Arc<Shared>>);

/// Ends the store's thread, after everything that was given to it is written, and waits for that; not for
/// ever where the disk hangs. Held by `app` and the
/// commands of the command line.
#[must_use = "what was not written is lost when the process ends before the store"]
#[derive(Debug)]
pub struct StoreGuard {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Hangs up when the thread is done.
    done: Mutex<mpsc::Receiver<()>>,
    patience: Duration,
}

/// How a record must be on the disk before it counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// It survives the end of the process, however that comes about.
    Process,
    /// It survives a power cut, too.
    Power,
}

/// A record as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Dense within the session, from 1.
    pub seq: Seq,
    /// Never earlier than that of the record before.
    pub at: Timestamp,
    /// Which opening of the session wrote it, from 1.
    pub epoch: u64,
    pub kind: String,
    pub version: u32,
    /// The record as JSON, whole.
    pub body: String,
}

impl Entry {
    /// The record, if this Talaria knows its kind and version.
    pub fn record(&self) -> Option<Record> {
        if self.version > Record::VERSION {
            return None;
        }
        serde_json::from_str(&self.body).ok()
    }
}

/// A session as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    pub id: SessionId,
    pub cwd: PathBuf,
    /// Other folders that it was opened with last.
    pub additional: Vec<PathBuf>,
    pub title: Option<String>,
    pub created: Timestamp,
    /// The last prompt, or the end of its turn.
    pub updated: Timestamp,
    pub prompts: u64,
    pub records: u64,
    /// The process that has it open now.
    pub open_in: Option<u32>,
    /// The session whose task it does.
    pub parent: Option<SessionId>,
}

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Sessions of these folders alone; empty: of any. One folder may have several names.
    pub folders: Vec<PathBuf>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// At most so many; absent: as many as one page has.
    pub limit: Option<usize>,
}

/// Sessions, the one that was used last first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub sessions: Vec<Summary>,
    /// What to ask for the next page with; absent at the end.
    pub next: Option<String>,
}

/// A session that this process may write from now on.
#[derive(Debug)]
pub struct Claim {
    pub journal: Journal,
    pub summary: Summary,
}

/// What a rebuild found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reindexed {
    pub sessions: u64,
    pub records: u64,
    /// Records that no kind or version of this Talaria can read; they are kept.
    pub unknown: u64,
}

/// How long a session is waited for whose process is ending.
pub const ENDING: Duration = Duration::from_secs(3);
/// And one whose process is not: it may have been given back just now.
const NOT_ENDING: Duration = Duration::from_millis(300);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

impl Store {
    /// Starts the store's thread. Nothing is opened yet.
    pub fn start(settings: Settings) -> (Self, StoreGuard) {
        Self::tuned(settings, Tuning::default())
    }

    fn tuned(settings: Settings, tuning: Tuning) -> (Self, StoreGuard) {
        let (shared, receiver) = Shared::new(Place::of(&settings.folder), settings.clock);
        let writer = Writer::new(Arc::clone(&shared), receiver, tuning);
        let (running, done) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("talaria-store".to_owned())
            .spawn(move || {
                // Dropped with the thread's end, however that comes about.
                let _running: mpsc::SyncSender<()> = running;
                writer.run();
            })
            .inspect_err(|error| tracing::error!(%error, "the store's thread cannot be started"));
        let (thread, done) = (thread.ok(), Mutex::new(done));
        let guard = StoreGuard { shared: Arc::clone(&shared), thread, done, patience: tuning.end };
        (Self(Some(shared)), guard)
    }

    /// A store that keeps nothing.
    pub fn off() -> Self {
        Self(None)
    }

    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Begins to open the database, so that the first use finds it open.
    pub fn warm_up(&self) {
        if let Some(shared) = &self.0 {
            let _full_or_ended = shared.sender.try_send(Message::Open(None));
        }
    }

    /// What the user should be told of the store, once in this process: a damaged database that was put
    /// aside, a folder that cannot be written.
    pub fn take_notice(&self) -> Option<Fault> {
        self.0.as_ref()?.take_notice()
    }

    /// The journal of a new session, with its first record. Waits for nothing.
    pub fn create(&self, id: &SessionId, opened: Opened, mask: Arc<Mask>) -> Journal {
        let Some(shared) = &self.0 else { return Journal::off() };
        Journal::create(Arc::clone(shared), id.clone(), opened, mask)
    }

    /// Takes the lease of a stored session: for `ENDING` where its owner is ending, it is waited for.
    pub async fn claim(&self, id: &SessionId, mask: Arc<Mask>) -> Result<Claim, StoreError> {
        let shared = self.shared()?;
        let (owners, session) = (self.owners()?, id.clone());
        let mut patience = Patience::new();
        loop {
            let (owners, session) = (owners.clone(), session.clone());
            let (shared, mask) = (Arc::clone(shared), Arc::clone(&mask));
            // The journal is made right there: where nobody waits for it any more, or the transaction
            // fails, it is dropped, and gives back what it was given.
            let job = move |database: &Transaction<'_>, me: &OwnerId| {
                let claimed = sessions::claim(database, &owners, me, &session)?;
                let open = |(given, summary)| {
                    let journal = Journal::opened(shared, given, mask);
                    Claim { journal, summary }
                };
                Ok(claimed.map(|claimed| claimed.map(open)))
            };
            match self.write_as(Durability::Process, job).await? {
                Some(Ok(claim)) => return Ok(claim),
                Some(Err(holder)) => patience.wait(&holder).await?,
                None => return Err(StoreError::Unknown(id.clone())),
            }
        }
    }

    /// What the index says of a session.
    pub async fn summary(&self, id: &SessionId) -> Result<Summary, StoreError> {
        let (owners, session) = (self.owners()?, id.clone());
        let found = self.read(move |database| sessions::summary(database, &owners, &session));
        found.await?.ok_or_else(|| StoreError::Unknown(id.clone()))
    }

    /// The sessions that do tasks of this one, and those below them; one before those below it.
    pub async fn below(&self, id: &SessionId) -> Result<Vec<SessionId>, StoreError> {
        let session = id.clone();
        self.read(move |database| sessions::below(database, &session)).await
    }

    /// Records behind `after`, at most `limit`; fewer only at the end.
    pub async fn entries(
        &self,
        id: &SessionId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.read_entries(id, Which::All, (after, limit)).await
    }

    async fn read_entries(
        &self,
        id: &SessionId,
        which: Which,
        part: (Seq, usize),
    ) -> Result<Vec<Entry>, StoreError> {
        let session = id.clone();
        let found = self.read(move |database| sessions::entries(database, &session, which, part));
        found.await?.ok_or_else(|| StoreError::Unknown(id.clone()))
    }

    /// All records of a session, in pieces that a reader can hold.
    pub fn batches(&self, id: &SessionId) -> Batches {
        Batches::new(self.clone(), id.clone(), Which::All)
    }

    /// The records of a session that say what becomes of its cards. A few among many: they are found without
    /// reading the others.
    pub fn card_batches(&self, id: &SessionId) -> Batches {
        Batches::new(self.clone(), id.clone(), Which::Cards)
    }

    /// A page of sessions that have something in them; sessions of tasks are not listed.
    pub async fn list(&self, query: Query) -> Result<Page, StoreError> {
        let owners = self.owners()?;
        let cursor = query.cursor.as_deref().map(index::Cursor::decode).transpose()?;
        self.read(move |database| sessions::list(database, &owners, &query, cursor.as_ref())).await
    }

    /// Copies the journal of `from` as it is now into a new session. Nobody has its lease then.
    pub async fn fork(
        &self,
        from: &SessionId,
        to: &SessionId,
        opened: Opened,
        mask: Arc<Mask>,
    ) -> Result<(), StoreError> {
        let now = self.shared()?.clock.now();
        let opened = Opened { forked_from: Some(from.clone()), ..opened };
        let opened = Body::of(&Record::Opened(opened), to, &mask);
        let fork = Fork { from: from.clone(), to: to.clone(), opened, now };
        let job = move |database: &Transaction<'_>| sessions::fork(database, &fork);
        if self.write(Durability::Process, job).await? {
            Ok(())
        } else {
            Err(StoreError::Unknown(from.clone()))
        }
    }

    /// Sets the title of a session that is not open here, taking its lease for that moment.
    pub async fn set_title(
        &self,
        id: &SessionId,
        title: String,
        mask: Arc<Mask>,
    ) -> Result<(), StoreError> {
        let mut claim = self.claim(id, mask).await?;
        claim.journal.append(sessions::title(title), Durability::Process);
        match claim.journal.flush().await.trouble {
            Some(trouble) => Err(trouble.into()),
            None => Ok(()),
        }
    }

    /// Removes a session with everything in it; one that is not there is fine. `InUse` where a process
    /// has it open. It is gone for everyone at once, and its text from the disk when this answers.
    pub async fn delete(&self, id: &SessionId) -> Result<(), StoreError> {
        let owners = self.owners()?;
        let mut patience = Patience::new();
        loop {
            let (owners, session) = (owners.clone(), id.clone());
            let job = move |database: &Transaction<'_>, _: &OwnerId| {
                sessions::delete(database, &owners, &session)
            };
            let (task, answer) = Task::new(Durability::Process, job);
            match self.work(Message::Work(Box::new(task.erasing())), answer).await? {
                Some(holder) => patience.wait(&holder).await?,
                None => return Ok(()),
            }
        }
    }

    /// Rebuilds what is derived from the journals. Session by session, so that nobody waits long. A
    /// journal that neither the leases nor the index know comes back; what is left of a deletion does not,
    /// which its mark in the index tells from it: that is removed.
    pub async fn reindex(&self) -> Result<Reindexed, StoreError> {
        let mut found = Reindexed { sessions: 0, records: 0, unknown: 0 };
        for session in self.read(sessions::all).await? {
            let job = move |database: &Transaction<'_>, _: &OwnerId| {
                sessions::reindex(database, &session, &mut found)?;
                Ok(found)
            };
            let (task, answer) = Task::new(Durability::Process, job);
            found = self.work(Message::Work(Box::new(task.erasing())), answer).await?;
        }
        Ok(found)
    }

    /// Says that this process ends soon: who wants one of its sessions waits a moment.
    pub fn ending(&self) {
        let Some(shared) = &self.0 else { return };
        shared.announce_end();
    }

    /// Runs `job` in the store's thread, inside the transaction of a batch. Its failure undoes only what
    /// it did. The answer comes when it is committed.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        durability: Durability,
        job: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write_as(durability, move |database, _| job(database)).await
    }

    /// The same for a job that must know which owner of leases it writes as.
    pub(crate) async fn write_as<T: Send + 'static>(
        &self,
        durability: Durability,
        job: impl FnOnce(&Transaction<'_>, &OwnerId) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (task, answer) = Task::new(durability, job);
        self.work(Message::Work(Box::new(task)), answer).await
    }

    /// Runs `job` on a connection that only reads, beside everything else.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(self.shared()?);
        // The thread opens it for the first time, and anew where its file was removed.
        if shared.opened.load(Ordering::Acquire) == 0 || !shared.place.database.exists() {
            self.owner().await?;
        }
        let read = move || reader::with(&shared, job);
        let done = tokio::task::spawn_blocking(read).await;
        let done = done.map_err(|error| Trouble::Other(error.to_string()))?;
        Ok(done?)
    }

    /// This instance as an owner of leases. Opens the database.
    pub(crate) async fn owner(&self) -> Result<OwnerId, StoreError> {
        let (opener, answer) = oneshot::channel();
        self.work(Message::Open(Some(opener)), answer).await
    }

    /// Says of owners whether they live; may be asked inside a job.
    pub(crate) fn owners(&self) -> Result<Owners, StoreError> {
        Ok(self.shared()?.place.owners())
    }

    async fn work<T>(
        &self,
        message: Message,
        answer: oneshot::Receiver<Result<T, Trouble>>,
    ) -> Result<T, StoreError> {
        self.shared()?.sender.send(message).await.map_err(|_| Trouble::Ended)?;
        Ok(answer.await.map_err(|_| Trouble::Ended)??)
    }

    fn shared(&self) -> Result<&Arc<Shared>, StoreError> {
        self.0.as_ref().ok_or(StoreError::Off)
    }
}

impl Drop for StoreGuard {
    fn drop(&mut self) {
        self.shared.end();
        let Some(thread) = self.thread.take() else { return };
        let done = lock(&self.done).recv_timeout(self.patience);
        if done == Err(RecvTimeoutError::Timeout) {
            // It goes with the process. What it has not written is lost; what it has is whole.
            tracing::error!("the store's thread does not end, its disk may hang");
            return;
        }
        if thread.join().is_err() {
            tracing::error!("the store's thread ended by a defect");
        }
    }
}

/// How long somebody else's session is waited for: a moment, or `ENDING` where its owner says that it
/// ends.
struct Patience(Instant);

impl Patience {
    fn new() -> Self {
        Self(Instant::now())
    }

    /// Waits before the next look; an error when that has been tried for long enough.
    async fn wait(&mut self, holder: &Holder) -> Result<(), StoreError> {
        let patience = if holder.ending { ENDING } else { NOT_ENDING };
        if self.0.elapsed() >= patience {
            return Err(StoreError::InUse { pid: holder.pid });
        }
        tokio::time::sleep(LOOK_AGAIN).await;
        Ok(())
    }
}

/// For the engine, whose integers have a sign. Nothing here is that large.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn natural(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
