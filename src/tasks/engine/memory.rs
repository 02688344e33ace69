//! The engine without a database: tasks last as long as the process. One thread owns them and does one
//! job after the other, so that nothing is locked; listeners are told from there.

mod kept;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::hub::{Hub, Note};
use super::listen::{self, Batch, Source};
use super::{
    Answer, Body, Capabilities, Checkpoint, Claimed, EngineError, Events, Filter, LARGEST, Lease,
    Listed, Message, New, Outcome, Passing, Position, Progress, Receipt, Renewed, Seq, State,
    Submitted, Task, TaskClient, TaskWorker, Wanted, check_size, gone, refused,
};
use crate::clock::Clock;
use crate::ids::{SessionId, TaskId};
use kept::{Scene, Tasks};

/// Jobs that wait for the thread; it takes them within microseconds.
const WAITING: usize = 256;

/// Tasks in memory. Clones are the same engine and the same worker; [`MemoryEngine::window`] makes another
/// worker on the same tasks.
#[derive(Debug, Clone)]
pub struct MemoryEngine {
    desk: Desk,
    worker: Arc<Worker>,
}

/// Where jobs are handed in. The thread ends when the last one is gone.
#[derive(Debug, Clone)]
struct Desk {
    jobs: mpsc::Sender<Job>,
    hub: Hub,
    clock: Clock,
}

type Job = Box<dyn FnOnce(&mut Tasks) + Send>;

/// Lives as long as an engine that may run tasks as it.
#[derive(Debug)]
struct Worker {
    hub: Hub,
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Who listens to its tasks looks at them, and finds it dead.
        self.hub.tell_all();
    }
}

impl MemoryEngine {
    pub fn new(clock: Clock) -> Self {
        let (jobs, mut desk) = mpsc::channel::<Job>(WAITING);
        let hub = Hub::default();
        let mut tasks = Tasks::new(hub.clone());
        let thread =
            std::thread::Builder::new().name("talaria-tasks".to_owned()).spawn(move || {
                while let Some(job) = desk.blocking_recv() {
                    job(&mut tasks);
                }
            });
        if let Err(error) = thread {
            // Its end of the desk is gone: every call is answered with that.
            tracing::error!(%error, "the thread of the tasks cannot be started");
        }
        let worker = Arc::new(Worker { hub: hub.clone() });
        Self { desk: Desk { jobs, hub, clock }, worker }
    }

    /// The same tasks for another worker. What it runs is interrupted when its last clone is dropped.
    #[must_use]
    pub fn window(&self, clock: Clock) -> Self {
        let worker = Arc::new(Worker { hub: self.desk.hub.clone() });
        Self { desk: Desk { clock, ..self.desk.clone() }, worker }
    }

    /// Does a job as this engine's worker.
    fn work<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Tasks, &Scene<'_>) -> Result<T, EngineError> + Send + 'static,
    ) -> Answer<'_, T> {
        let worker = Arc::clone(&self.worker);
        let now = self.desk.clock.now();
        let job = move |tasks: &mut Tasks| job(tasks, &Scene { now, me: &worker });
        Box::pin(self.desk.ask(job))
    }
}

impl Desk {
    /// Has a job done; it is, even if nobody waits for its answer any more.
    async fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Tasks) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let (reply, answer) = oneshot::channel();
        let job = move |tasks: &mut Tasks| {
            let _nobody_waits = reply.send(job(tasks));
        };
        let ended = || gone("the thread of the tasks has ended");
        self.jobs.send(Box::new(job)).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

/// A listener is no worker: it holds the desk alone.
impl Source for Desk {
    async fn read(&self, task: &TaskId, after: Seq) -> Result<Batch, EngineError> {
        let (task, now) = (task.clone(), self.clock.now());
        self.ask(move |tasks| tasks.batch(&task, after, now)).await
    }
}

impl TaskClient for MemoryEngine {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            passing: true,
            latency: Duration::ZERO,
            largest: LARGEST,
            survives_restart: false,
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
        self.work(move |kept, scene| Ok(kept.submit(scene, &session, floor, tasks)))
    }

    fn send(&self, task: TaskId, message: Message) -> Answer<'_, Receipt> {
        if let Err(error) = message.check() {
            return refused(error);
        }
        self.work(move |tasks, scene| tasks.send(scene, &task, message))
    }

    fn cancel(&self, task: TaskId, reason: String) -> Answer<'_, State> {
        if let Err(error) = check_size("a reason", &reason) {
            return refused(error);
        }
        self.work(move |tasks, scene| tasks.cancel(scene, &task, reason))
    }

    fn resume(&self, task: TaskId) -> Answer<'_, State> {
        self.work(move |tasks, scene| tasks.resume(scene, &task))
    }

    fn get(&self, task: TaskId) -> Answer<'_, Task> {
        self.work(move |tasks, scene| tasks.get(scene, &task))
    }

    fn list(&self, filter: Filter) -> Answer<'_, Vec<Listed>> {
        self.work(move |tasks, scene| Ok(tasks.list(scene, &filter)))
    }

    fn result(&self, task: TaskId) -> Answer<'_, Option<Outcome>> {
        self.work(move |tasks, scene| tasks.result(scene, &task))
    }

    fn events(&self, task: TaskId, after: Seq) -> Events {
        listen::events(self.desk.clone(), &self.desk.hub, task, after)
    }
}

impl TaskWorker for MemoryEngine {
    fn claim(&self, wanted: Wanted) -> Answer<'_, Option<Claimed>> {
        self.work(move |tasks, scene| tasks.claim(scene, wanted))
    }

    fn renew(&self, lease: Lease, seen: Position) -> Answer<'_, Renewed> {
        self.work(move |tasks, scene| tasks.renew(scene, &lease, seen))
    }

    fn append(&self, lease: Lease, progress: Vec<Progress>) -> Answer<'_, Seq> {
        let bodies: Vec<Body> =
            progress.into_iter().map(|progress| Body::Progress { progress }).collect();
        if let Err(error) = bodies.iter().try_for_each(|body| check_size("an event", body)) {
            return refused(error);
        }
        self.work(move |tasks, scene| tasks.append(scene, &lease, bodies))
    }

    fn say(&self, lease: Lease, text: String) -> Answer<'_, ()> {
        if let Err(error) = check_size("a piece of text", &text) {
            return refused(error);
        }
        if !self.desk.hub.is_heard(&lease.task) {
            return Box::pin(std::future::ready(Ok(())));
        }
        let hub = self.desk.hub.clone();
        self.work(move |tasks, scene| {
            let after = tasks.leased(scene, &lease)?.last();
            let passing = Passing { task: lease.task, epoch: lease.epoch, after, text };
            hub.tell(&passing.task.clone(), Note::Passing(Arc::new(passing)));
            Ok(())
        })
    }

    fn checkpoint(&self, lease: Lease, checkpoint: Checkpoint) -> Answer<'_, Seq> {
        if let Err(error) = check_size("a checkpoint", &checkpoint) {
            return refused(error);
        }
        self.work(move |tasks, scene| tasks.checkpoint(scene, &lease, checkpoint))
    }

    fn finish(&self, lease: Lease, read: Position, outcome: Outcome) -> Answer<'_, Seq> {
        if let Err(error) = check_size("a report", &outcome) {
            return refused(error);
        }
        self.work(move |tasks, scene| tasks.finish(scene, &lease, read, outcome))
    }
}
