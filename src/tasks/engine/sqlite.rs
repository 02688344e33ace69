//! The engine on the store's database: tasks, events and inboxes in three tables, a lease as the store that
//! holds it. A worker lives as long as its store's lock file is locked, so no lease runs out and no clock
//! is asked. What each operation does to the tables is in `jobs`.

mod jobs;
mod rows;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::hub::{Hub, Note};
use super::listen::{self, BATCH, Batch, LOOK, Source, Unread};
use super::{
    Answer, Body, Capabilities, Checkpoint, Claimed, EngineError, Events, Filter, LARGEST, Lease,
    Listed, Message, New, Outcome, Passing, Position, Progress, Receipt, Renewed, Seq, State,
    Submitted, Task, TaskClient, TaskWorker, Wanted, check_size, gone, refused,
};
use crate::clock::Clock;
use crate::ids::{SessionId, TaskId};
use crate::store::{Durability, OwnerId, Store, StoreError};
use jobs::Scene;
use rows::{Done, Stop};

/// Tasks in the store's database. Clones are the same engine. There is one for each store: its listeners
/// hear at once what is written through it, and within a quarter of a second what others write.
#[derive(Debug, Clone)]
pub struct SqliteEngine {
    store: Store,
    clock: Clock,
    hub: Hub,
    /// Who the store was when it last wrote; it is someone else if it had to open its database anew.
    me: watch::Sender<OwnerId>,
    /// What was written is told to the listeners even if its caller is gone.
    writes: TaskTracker,
}

impl SqliteEngine {
    pub fn new(store: Store, clock: Clock) -> Self {
        // No store is called so: until it writes, nothing is its own.
        let me = watch::Sender::new(OwnerId::new(""));
        Self { store, clock, hub: Hub::default(), me, writes: TaskTracker::new() }
    }

    /// Writes something of a task, and tells its listeners.
    fn write<T: Send + 'static>(
        &self,
        durability: Durability,
        task: TaskId,
        job: impl FnOnce(&Scene<'_>) -> Done<T> + Send + 'static,
    ) -> Answer<'_, T> {
        let hub = self.hub.clone();
        self.write_any(durability, job, move |_| hub.tell(&task, Note::Changed))
    }

    /// Writes, and then tells of it.
    fn write_any<T: Send + 'static>(
        &self,
        durability: Durability,
        job: impl FnOnce(&Scene<'_>) -> Done<T> + Send + 'static,
        tell: impl FnOnce(&Result<T, EngineError>) + Send + 'static,
    ) -> Answer<'_, T> {
        let engine = self.clone();
        Box::pin(async move {
            let writing = self.writes.spawn(async move {
                let written = engine.transact(durability, job).await;
                tell(&written);
                written
            });
            writing.await.unwrap_or_else(|error| Err(gone(&error.to_string())))
        })
    }

    /// Runs a job in a transaction of the store's thread.
    async fn transact<T: Send + 'static>(
        &self,
        durability: Durability,
        job: impl FnOnce(&Scene<'_>) -> Done<T> + Send + 'static,
    ) -> Result<T, EngineError> {
        let (known, owners) = (self.me.clone(), self.store.owners()?);
        let now = self.clock.now();
        let run = move |sql: &rusqlite::Transaction<'_>, me: &OwnerId| {
            // Before the commit: what is written as `me` is read as `me`.
            known.send_if_modified(|known| {
                let is_new = known != me;
                known.clone_from(me);
                is_new
            });
            let is_alive = |owner: &str| owners.is_alive(&OwnerId::new(owner));
            answer(job(&Scene { sql, now, me: me.as_str(), is_alive: &is_alive }))
        };
        self.store.write_as(durability, run).await?
    }

    /// Runs a job on a connection that only reads.
    async fn look<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Scene<'_>) -> Done<T> + Send + 'static,
    ) -> Result<T, EngineError> {
        let (me, owners) = (self.me.borrow().clone(), self.store.owners()?);
        let now = self.clock.now();
        let run = move |sql: &rusqlite::Connection| {
            let is_alive = |owner: &str| owners.is_alive(&OwnerId::new(owner));
            answer(job(&Scene { sql, now, me: me.as_str(), is_alive: &is_alive }))
        };
        self.store.read(run).await?
    }

    /// Finds the workers of these tasks dead, where they are.
    async fn bury(&self, tasks: Vec<TaskId>) -> Result<(), EngineError> {
        for task in tasks {
            self.write(Durability::Process, task.clone(), move |scene| scene.look(&task).map(drop))
                .await?;
        }
        Ok(())
    }

    /// Reads something of a task whose worker is not dead; its lease is looked at first.
    async fn read_settled<T: Send + 'static>(
        &self,
        task: TaskId,
        job: impl Fn(&Scene<'_>) -> Done<T> + Clone + Send + 'static,
    ) -> Result<T, EngineError> {
        let (wanted, again) = (task.clone(), job.clone());
        let read = self
            .look(move |scene| Ok(if scene.is_lost(&wanted)? { None } else { Some(job(scene)?) }));
        if let Some(read) = read.await? {
            return Ok(read);
        }
        self.bury(vec![task]).await?;
        self.look(again).await
    }

    async fn read_list(&self, filter: Filter) -> Result<Vec<Listed>, EngineError> {
        let again = filter.clone();
        let read = self.look(move |scene| {
            Ok((scene.lost_in(&filter.session)?, rows::list(scene.sql, &filter)?))
        });
        let (dead, listed) = read.await?;
        if dead.is_empty() {
            return Ok(listed);
        }
        self.bury(dead).await?;
        self.look(move |scene| rows::list(scene.sql, &again)).await
    }

    async fn pass(&self, lease: Lease, text: String) -> Result<(), EngineError> {
        check_size("a piece of text", &text)?;
        if !self.hub.is_heard(&lease.task) {
            return Ok(());
        }
        let held = lease.clone();
        let after = self.look(move |scene| Ok(scene.leased(&held)?.status.last)).await?;
        let passing = Passing { task: lease.task, epoch: lease.epoch, after, text };
        self.hub.tell(&passing.task.clone(), Note::Passing(Arc::new(passing)));
        Ok(())
    }
}

impl Source for SqliteEngine {
    async fn read(&self, task: &TaskId, after: Seq) -> Result<Batch, EngineError> {
        let wanted = task.clone();
        self.read_settled(task.clone(), move |scene| {
            let kept = rows::find(scene.sql, &wanted)?;
            let events = rows::events(scene.sql, &wanted, after, BATCH)?;
            let last = events.last().map_or(after, |event| event.seq);
            let unread = if last < kept.status.last {
                if events.is_empty() {
                    return Err(rows::damaged("events are missing"));
                }
                Unread::Maybe
            } else if kept.status.state.is_final() {
                Unread::Ended
            } else if kept.owner.as_deref() == Some(scene.me) {
                Unread::TellsItself
            } else {
                Unread::MustLook
            };
            Ok(Batch { events, unread })
        })
        .await
    }
}

impl TaskClient for SqliteEngine {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            passing: true,
            latency: LOOK,
            largest: LARGEST,
            survives_restart: true,
            remote_workers: false,
            renew: None,
        }
    }

    fn submit(
        &self,
        session: SessionId,
        floor: u64,
        tasks: Vec<New>,
    ) -> Answer<'_, Vec<Submitted>> {
        if let Err(error) = tasks.iter().try_for_each(|new| check_size("a task", new)) {
            return refused(error);
        }
        let hub = self.hub.clone();
        let tell = move |submitted: &Result<Vec<Submitted>, EngineError>| {
            submitted.iter().flatten().for_each(|one| hub.tell(&one.task, Note::Changed));
        };
        self.write_any(Durability::Process, move |scene| scene.submit(&session, floor, tasks), tell)
    }

    fn send(&self, task: TaskId, message: Message) -> Answer<'_, Receipt> {
        if let Err(error) = message.check() {
            return refused(error);
        }
        self.write(Durability::Process, task.clone(), move |scene| scene.send(&task, &message))
    }

    fn cancel(&self, task: TaskId, reason: String) -> Answer<'_, State> {
        if let Err(error) = check_size("a reason", &reason) {
            return refused(error);
        }
        // It may be the task's end.
        self.write(Durability::Power, task.clone(), move |scene| scene.cancel(&task, reason))
    }

    fn resume(&self, task: TaskId) -> Answer<'_, State> {
        self.write(Durability::Process, task.clone(), move |scene| scene.resume(&task))
    }

    fn get(&self, task: TaskId) -> Answer<'_, Task> {
        Box::pin(self.read_settled(task.clone(), move |scene| scene.get(&task)))
    }

    fn list(&self, filter: Filter) -> Answer<'_, Vec<Listed>> {
        Box::pin(self.read_list(filter))
    }

    fn result(&self, task: TaskId) -> Answer<'_, Option<Outcome>> {
        Box::pin(self.read_settled(task.clone(), move |scene| scene.result(&task)))
    }

    fn events(&self, task: TaskId, after: Seq) -> Events {
        listen::events(self.clone(), &self.hub, task, after)
    }
}

impl TaskWorker for SqliteEngine {
    fn claim(&self, wanted: Wanted) -> Answer<'_, Option<Claimed>> {
        let hub = self.hub.clone();
        let named = match &wanted {
            Wanted::Task(task) => Some(task.clone()),
            Wanted::Next(_) => None,
        };
        let tell = move |claimed: &Result<Option<Claimed>, EngineError>| {
            let found = claimed.iter().flatten().map(|claimed| &claimed.lease.task);
            found.chain(&named).take(1).for_each(|task| hub.tell(task, Note::Changed));
        };
        self.write_any(Durability::Process, move |scene| scene.claim(wanted), tell)
    }

    fn renew(&self, lease: Lease, seen: Position) -> Answer<'_, Renewed> {
        Box::pin(self.look(move |scene| scene.renew(&lease, seen)))
    }

    fn append(&self, lease: Lease, progress: Vec<Progress>) -> Answer<'_, Seq> {
        let bodies: Vec<Body> =
            progress.into_iter().map(|progress| Body::Progress { progress }).collect();
        if let Err(error) = bodies.iter().try_for_each(|body| check_size("an event", body)) {
            return refused(error);
        }
        let task = lease.task.clone();
        let job = move |scene: &Scene<'_>| scene.append_all(&lease, bodies);
        self.write(Durability::Process, task, job)
    }

    fn say(&self, lease: Lease, text: String) -> Answer<'_, ()> {
        Box::pin(self.pass(lease, text))
    }

    fn checkpoint(&self, lease: Lease, checkpoint: Checkpoint) -> Answer<'_, Seq> {
        if let Err(error) = check_size("a checkpoint", &checkpoint) {
            return refused(error);
        }
        let task = lease.task.clone();
        self.write(Durability::Process, task, move |scene| scene.checkpoint(&lease, checkpoint))
    }

    fn finish(&self, lease: Lease, read: Position, outcome: Outcome) -> Answer<'_, Seq> {
        if let Err(error) = check_size("a report", &outcome) {
            return refused(error);
        }
        let task = lease.task.clone();
        self.write(Durability::Power, task, move |scene| scene.finish(&lease, read, outcome))
    }
}

/// A refusal is an answer: what the job wrote before it stays.
fn answer<T>(done: Done<T>) -> rusqlite::Result<Result<T, EngineError>> {
    match done {
        Ok(done) => Ok(Ok(done)),
        Err(Stop::Refused(error)) => Ok(Err(error)),
        Err(Stop::Sql(error)) => Err(error),
    }
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.fault())
    }
}
