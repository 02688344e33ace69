//! What takes time: what is asked of the engine, and waiting for places, room and changes. Each gives back
//! what the actor is to know.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::Known;
use crate::fault::{Fault, Kind};
use crate::ids::{SessionId, TaskId};
use crate::tasks::attempts::Attempts;
use crate::tasks::engine::{
    EngineError, Filter, Lease, Outcome, Receipt, Report, State, Submitted, Task, TaskEngine,
};
use crate::tasks::handle::Reply;
use crate::tasks::report::{self, Work};
use crate::tasks::state::{Reservation, WaitId};
use crate::tasks::{Collected, Details, Started, Steered, TaskError, TaskName, TaskSaid};

/// How many tasks are read side by side.
const READERS: usize = 8;
/// How long until what could not be read is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// What an operation came to.
pub(super) enum Done {
    /// It has answered by itself, or nobody needs to know.
    Nothing,
    Submitted(Box<Submission>),
    Permit(TaskId, OwnedSemaphorePermit),
    /// A session takes one thing more, or nothing ever again.
    Room(SessionId, Option<mpsc::OwnedPermit<Box<TaskSaid>>>),
    /// A wait was ended by who waits: with a reply, or dropped.
    WaitEnds(WaitId, Option<oneshot::Sender<Vec<Collected>>>),
    /// What a wait is answered with was read.
    Collected(Box<Collection>),
    /// A task that had no runner.
    Ended(TaskId, Result<Outcome, TaskError>),
    Resumed(TaskId, Result<State, TaskError>),
    Loaded(Result<Vec<(Task, Details)>, TaskError>),
    /// How a task ended that a session is to be told of.
    Read(Box<Task>, Outcome),
    /// What became of a message to a task.
    Steered(Box<Steering>),
    /// Trees of interrupted tasks are gone, or are not.
    Discarded(Reply<Vec<TaskName>>, Result<Vec<TaskName>, TaskError>),
    /// A task gave a sign of life.
    Pulse(TaskId, tokio::task::Id),
}

/// Tasks that were being recorded.
pub(super) struct Submission {
    pub(super) reservation: Reservation,
    pub(super) tasks: Vec<Known>,
    pub(super) result: Result<Vec<Submitted>, TaskError>,
    pub(super) reply: Reply<Vec<Started>>,
}

/// What the engine has of a task.
pub(super) struct Found {
    pub(super) task: Task,
    /// Absent where it has not ended.
    pub(super) outcome: Option<Outcome>,
    /// What it had done, where it has not.
    left: Option<Report>,
}

impl Found {
    pub(super) fn collected(&self, name: &TaskName) -> Collected {
        report::collected(name, &self.task, self.outcome.as_ref(), self.left.as_ref())
    }
}

/// What there is of the tasks that were waited for, in the order in which they were named.
pub(super) struct Collection {
    pub(super) wait: WaitId,
    pub(super) all: Vec<(TaskId, Collected)>,
    pub(super) reply: oneshot::Sender<Vec<Collected>>,
}

/// A message to a task: kept, missed, or not written.
pub(super) struct Steering {
    pub(super) task: TaskId,
    /// Secrets taken out.
    pub(super) text: String,
    pub(super) result: Result<Receipt, TaskError>,
    /// As who asked names it.
    pub(super) name: TaskName,
    /// How the task stood when it was asked.
    pub(super) state: State,
    pub(super) reply: Reply<Steered>,
}

/// Ends a task that nobody runs here.
pub(super) async fn end(
    engine: Arc<dyn TaskEngine>,
    task: TaskId,
    reason: String,
) -> Result<Outcome, TaskError> {
    let state = engine.cancel(task.clone(), reason.clone()).await?;
    if !state.is_final() {
        let report = Report::default();
        finish_unrun(&*engine, &task, Outcome::Cancelled { reason: reason.clone(), report })
            .await?;
    }
    let Some(outcome) = engine.result(task.clone()).await? else {
        return Ok(Outcome::Cancelled { reason, report: Report::default() });
    };
    match engine.get(task).await {
        Ok(task) => Ok(with_report(&*engine, &task, outcome).await),
        Err(_) => Ok(outcome),
    }
}

/// Ends a task whose runner died without a word. Where that cannot be written it is as final here.
pub(super) async fn end_broken(engine: Arc<dyn TaskEngine>, task: TaskId) -> Outcome {
    let message = "it ended by a defect of Talaria; the log has more".to_owned();
    let outcome = Outcome::Failed { message, report: Report::default() };
    match finish_unrun(&*engine, &task, outcome.clone()).await {
        Ok(()) => outcome,
        Err(error) => {
            let ended = engine.result(task.clone()).await.ok().flatten();
            if ended.is_none() {
                tracing::error!(%task, %error, "the end of a task could not be written");
            }
            ended.unwrap_or(outcome)
        }
    }
}

/// Finishes a task that this process has, but nobody runs any more.
async fn finish_unrun(
    engine: &dyn TaskEngine,
    task: &TaskId,
    outcome: Outcome,
) -> Result<(), EngineError> {
    let status = engine.get(task.clone()).await?.status;
    let lease = Lease { task: task.clone(), epoch: status.epoch };
    engine.finish(lease, status.read, outcome).await?;
    Ok(())
}

/// How a task ended, with what it had done also where no worker lived to report that.
async fn with_report(engine: &dyn TaskEngine, task: &Task, outcome: Outcome) -> Outcome {
    if Work::read(outcome.report()).is_some() {
        return outcome;
    }
    match left(engine, task).await {
        Some(report) => outcome.with_report(report),
        None => outcome,
    }
}

/// What attempts of a task left that did not live to report it; nothing where there was none.
async fn left(engine: &dyn TaskEngine, task: &Task) -> Option<Report> {
    if task.status.epoch == 0 {
        return None;
    }
    let details = serde_json::from_value::<Details>(task.spec.details.clone()).ok()?;
    match Attempts::read(engine, task).await {
        Ok(attempts) => Some(attempts.report(details.child)),
        Err(error) => {
            tracing::warn!(task = %task.task, %error, "what a task had done cannot be read");
            None
        }
    }
}

/// All tasks below a session; one before those below it.
pub(super) async fn load(
    engine: Arc<dyn TaskEngine>,
    root: SessionId,
) -> Result<Vec<(Task, Details)>, TaskError> {
    let mut all = Vec::new();
    let mut sessions = VecDeque::from([root]);
    while let Some(session) = sessions.pop_front() {
        let listed = engine.list(Filter::of(session)).await?;
        let reads = listed.into_iter().rev().map(|listed| engine.get(listed.task));
        let tasks: Vec<Task> = stream::iter(reads).buffered(READERS).try_collect().await?;
        for task in tasks {
            match serde_json::from_value::<Details>(task.spec.details.clone()) {
                Ok(details) => {
                    sessions.push_back(details.child.clone());
                    all.push((task, details));
                }
                // A newer Talaria knows what it is.
                Err(error) => {
                    tracing::warn!(task = %task.task, %error, "a task cannot be read");
                }
            }
        }
    }
    Ok(all)
}

/// A task that has ended, with its end.
pub(super) async fn read(engine: &dyn TaskEngine, task: &TaskId) -> Result<Found, TaskError> {
    let outcome = engine.result(task.clone()).await?;
    let task = engine.get(task.clone()).await?;
    Ok(match outcome {
        Some(outcome) => {
            let outcome = with_report(engine, &task, outcome).await;
            Found { task, outcome: Some(outcome), left: None }
        }
        None => Found { left: left(engine, &task).await, task, outcome: None },
    })
}

/// The same, until it can be read.
pub(super) async fn read_surely(engine: Arc<dyn TaskEngine>, task: TaskId) -> Done {
    loop {
        match read(&*engine, &task).await {
            Ok(Found { task, outcome: Some(outcome), .. }) => {
                return Done::Read(Box::new(task), outcome);
            }
            Ok(Found { outcome: None, .. }) => return Done::Nothing,
            Err(TaskError::Unavailable(fault)) => {
                tracing::warn!(%task, %fault, "a report cannot be read");
                tokio::time::sleep(AGAIN).await;
            }
            Err(error) => {
                tracing::warn!(%task, %error, "a report cannot be read");
                return Done::Nothing;
            }
        }
    }
}

/// What is said where something cannot be written as JSON, which no value of ours cannot.
pub(super) fn unwritable(error: &serde_json::Error) -> TaskError {
    TaskError::Unavailable(Fault::new(Kind::Internal, error.to_string()))
}
