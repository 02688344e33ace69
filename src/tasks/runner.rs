//! One running task, from the claim of its lease to its end: it owns the lease, the child and all that the
//! child says. What follows from what happens is decided in `state`; which tasks run, and what their parent
//! is told, is the actor's.

mod calls;
mod end;
mod pulse;
mod state;
#[cfg(test)]
mod tests;
mod timers;
mod tree;
mod work;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;

use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::Clock;
use crate::config::DelegationSection;
use crate::event::{CallUpdate, Question};
use crate::fault::{Fault, Kind};
use crate::ids::{CallId, TaskId};
use crate::permission::Answer;
use crate::redact::Mask;
use crate::tasks::attempts::Attempts;
use crate::tasks::engine::{Claimed, Outcome, Receipt, State, TaskEngine, Wanted};
use crate::tasks::worktree::Tree;
use crate::tasks::{Begin, Details, Order, Spawn, Spawned, TaskError, TaskName, TasksHandle};
use state::Ending;
use work::{Over, Worker};

pub use pulse::{Phase, Pulse};

/// A task to be run, and how whoever wants it speaks with its runner.
pub struct Job {
    pub task: TaskId,
    /// As the root session's user names it.
    pub name: TaskName,
    pub goal: String,
    pub details: Details,
    pub spawn: Arc<dyn Spawn>,
    pub engine: Arc<dyn TaskEngine>,
    pub clock: Clock,
    pub mask: Arc<Mask>,
    pub delegation: DelegationSection,
    /// For the child's own tasks; absent where it may have none.
    pub tasks: Option<TasksHandle>,
    /// Never to be waited for by who takes `said`: the runner takes no order while it says something.
    /// Closed, it is `Stop`.
    pub orders: mpsc::Receiver<RunnerOrder>,
    pub said: mpsc::Sender<(TaskId, Box<RunnerSaid>)>,
    /// Changes with each piece that the child says: who makes pictures of it waits for a change only after
    /// it has shown the one before.
    pub pulse: watch::Sender<Pulse>,
}

/// What a runner is told.
#[derive(Debug)]
pub enum RunnerOrder {
    /// A message for the task; the receipt is given when it is kept.
    Steer {
        text: String,
        reply: oneshot::Sender<Result<Receipt, TaskError>>,
    },
    /// The answer to a question, under the id that the child gave its call.
    Answer {
        call: CallId,
        answer: Answer,
    },
    /// To `Idle`: the child's own tasks have ended, and it is to end its work with their reports.
    /// Nothing where a prompt is open again: `Idle` is said behind that one.
    GoOn,
    /// To `Idle`: nothing more comes, the task ends. Nothing where a prompt is open again.
    Finish,
    Cancel {
        reason: String,
    },
    /// A limit that others count is reached: the task fails with this message.
    Fail {
        message: String,
    },
    /// The process ends: the task is left as it is, and can be resumed.
    Stop,
}

/// What a runner says, in order. The last is one of `NotBegan`, `Ended`, `Stopped` and `Lost`.
#[derive(Debug)]
pub enum RunnerSaid {
    /// The lease is taken. Attempts count from 1.
    Began { attempt: u64 },
    /// It could not be taken: nothing runs, and nothing was written.
    NotBegan(TaskError),
    /// The task waits for the answer. The call has the child's id and title.
    Asks(Question),
    /// A question is settled without its answer.
    Withdrawn(CallId),
    /// A call that was asked for came to its end.
    Asked(CallUpdate),
    /// A request to the model took so many tokens, in and out together.
    Spent { tokens: u64 },
    /// All prompts are answered; `Finish` or `GoOn` is wanted. Said only where there is `Job::tasks`.
    Idle,
    /// It ended, and that is written, or could not be: then the outcome says so.
    Ended { state: State, outcome: Outcome },
    /// After `Stop`.
    Stopped,
    /// The lease is someone else's, or the task has ended; nothing more is written by this attempt.
    Lost,
}

/// Runs a task to its end. Everything that it started has ended when it returns.
pub async fn run(mut job: Job) {
    let claimed = match job.engine.claim(Wanted::Task(job.task.clone())).await {
        Ok(Some(claimed)) => claimed,
        Ok(None) => return not_began(job, TaskError::Closed).await,
        Err(error) => return not_began(job, error.into()).await,
    };
    let attempt = claimed.lease.epoch;
    end::tell(&job, RunnerSaid::Began { attempt }).await;
    if attempt > 1 {
        go_on(&job).await;
    }
    let mut held = Vec::new();
    match spawn(&mut job, &claimed, &mut held).await {
        Ok(begun) => Box::pin(Worker::new(job, claimed, begun).run(held)).await,
        Err(over) => Box::pin(end::without_child(job, claimed, over, held)).await,
    }
}

/// Counts what the attempts before this one did: the limits and the report are those of the task.
async fn go_on(job: &Job) {
    let attempts = async {
        let task = job.engine.get(job.task.clone()).await?;
        Attempts::read(&*job.engine, &task).await
    };
    match attempts.await {
        Ok(attempts) => job.pulse.send_modify(|pulse| pulse.goes_on_from(attempts)),
        Err(error) => {
            tracing::warn!(task = %job.name, %error, "what the task had done cannot be read");
        }
    }
}

async fn not_began(mut job: Job, why: TaskError) {
    job.orders.close();
    while let Some(order) = job.orders.recv().await {
        if let RunnerOrder::Steer { reply, .. } = order {
            reply.send(Err(why.clone())).ok();
        }
    }
    end::tell(&job, RunnerSaid::NotBegan(why)).await;
}

/// Makes the tree that the child works in, if it is to have one, and opens the child. Orders for it are held until
/// it is there; those that end it end this, too.
async fn spawn(
    job: &mut Job,
    claimed: &Claimed,
    held: &mut Vec<RunnerOrder>,
) -> Result<(Spawned, Option<Tree>), Over> {
    let begin = match &job.details.continues {
        // An attempt before may have left something. Where it did not, this begins anew.
        _ if attempted(claimed) => Begin::Resume,
        Some(session) => Begin::Copy(session.clone()),
        None => Begin::Fresh,
    };
    let wanted = tree::wanted(job);
    let order = Order {
        task: job.task.clone(),
        goal: job.goal.clone(),
        details: job.details.clone(),
        begin,
        tree: None,
        tasks: job.tasks.clone(),
    };
    let spawn = job.spawn.clone();
    let spawned = AssertUnwindSafe(async move {
        let tree = match wanted {
            Some(wanted) => Some(wanted.make().await?),
            None => None,
        };
        let spawned = spawn.spawn(Order { tree: tree.clone(), ..order }).await?;
        Ok((spawned, tree))
    });
    let spawned = spawned.catch_unwind();
    tokio::pin!(spawned);
    loop {
        tokio::select! {
            spawned = &mut spawned => {
                let spawned = spawned.unwrap_or_else(|_| {
                    Err(Fault::new(Kind::Internal, "a defect of Talaria ended it as it began"))
                });
                return spawned.map_err(|fault| {
                    let why = format!("the subagent could not be started: {}", fault.sentence());
                    Over::End(Ending::Failed(why))
                });
            }
            order = job.orders.recv() => match order {
                None | Some(RunnerOrder::Stop) => return Err(Over::Stop),
                Some(RunnerOrder::Cancel { reason }) => {
                    return Err(Over::End(Ending::Cancelled(reason)));
                }
                Some(RunnerOrder::Fail { message }) => {
                    return Err(Over::End(Ending::Failed(message)));
                }
                Some(order) => held.push(order),
            },
        }
    }
}

/// Whether the task was run before.
fn attempted(claimed: &Claimed) -> bool {
    claimed.lease.epoch > 1 || claimed.checkpoint.is_some()
}
