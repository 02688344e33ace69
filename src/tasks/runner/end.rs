//! The end of a running task: its child ends first, then the engine is told, then the actor.

use std::future::pending;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

use super::state::Ending;
use super::tree::{self, Kept};
use super::work::{Over, Worker, is_lost};
use super::{Job, RunnerOrder, RunnerSaid};
use crate::event::{CallStatus, CallUpdate};
use crate::tasks::ChildSaid;
use crate::tasks::engine::{
    Claimed, EngineError, Lease, Outcome, Position, Receipt, Report, State,
};
use crate::tasks::report::{Work, fitted};

/// How long a child may take to end its turn. With the next one it is less than the two seconds in which a
/// cancelled task has its final state.
const LAST_WORDS: Duration = Duration::from_millis(1_200);
/// How long its end is waited for before the task's end is written.
const CLOSING: Duration = Duration::from_millis(500);
/// The pauses before an engine that is away is told again that the task has ended.
const AGAIN: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(3),
];

impl Worker {
    pub(super) async fn end(mut self, over: Over) {
        let began = Instant::now();
        self.is_ending();
        let over = match over {
            Over::End(ending) => self.last_words(ending).await,
            Over::Stop => self.write().await.err().unwrap_or(Over::Stop),
            Over::Lost => Over::Lost,
        };
        // The root session shows them, and hears of them from here alone.
        for call in self.calls.take_asked() {
            let ended = CallUpdate::new(call).with_status(CallStatus::Failed);
            self.say(RunnerSaid::Asked(ended)).await;
        }
        let Self { mut job, lease, child, tree, mut heard, state, .. } = self;
        let mut closing = close(&mut heard, child.close());
        let is_closed = timeout_at(Instant::now() + CLOSING, &mut closing).await.is_ok();
        match over {
            Over::End(ending) => {
                let limit = began + tree::time_for(&ending);
                let kept = match &tree {
                    Some(tree) => tree::seal(&mut job, tree, limit).await,
                    None => Kept::default(),
                };
                let outcome = outcome(&job, ending, state.schema_errors(), kept);
                finish(&mut job, &lease, state.read(), outcome).await;
                if !is_closed {
                    closing.await;
                }
            }
            Over::Stop | Over::Lost => {
                if !is_closed {
                    closing.await;
                }
                let said = if over == Over::Lost { RunnerSaid::Lost } else { RunnerSaid::Stopped };
                tell(&job, said).await;
            }
        }
    }

    /// Ends the child's turn and hears what it still has to say, then writes that.
    async fn last_words(&mut self, ending: Ending) -> Over {
        let deadline = Instant::now() + LAST_WORDS;
        if self.state.is_open() {
            self.child.cancel();
        }
        while self.state.is_open() {
            let Ok(Some(said)) = timeout_at(deadline, self.heard.recv()).await else { break };
            if let Err(over) = self.hear(said).await {
                return over;
            }
        }
        match self.write().await {
            Ok(()) => Over::End(ending),
            Err(over) => over,
        }
    }
}

/// A task whose child could not be opened, or was not wanted any more.
pub(super) async fn without_child(
    mut job: Job,
    claimed: Claimed,
    over: Over,
    held: Vec<RunnerOrder>,
) {
    let Claimed { lease, checkpoint, .. } = claimed;
    match over {
        Over::End(ending) => {
            let state = ending.state();
            for order in held {
                miss(order, state);
            }
            let read = checkpoint.map_or(0, |checkpoint| checkpoint.read);
            let outcome = outcome(&job, ending, &[], Kept::default());
            finish(&mut job, &lease, read, outcome).await;
        }
        Over::Stop => tell(&job, RunnerSaid::Stopped).await,
        Over::Lost => tell(&job, RunnerSaid::Lost).await,
    }
}

/// Closes the child. What it still says is heard by nobody, but must have room.
fn close<'a>(
    heard: &'a mut mpsc::Receiver<ChildSaid>,
    closed: BoxFuture<'a, ()>,
) -> BoxFuture<'a, ()> {
    let deaf = async {
        while heard.recv().await.is_some() {}
        // It says nothing more, and may still be ending.
        pending::<()>().await;
    };
    async move {
        tokio::select! {
            () = closed => {}
            () = deaf => {}
        }
    }
    .boxed()
}

fn outcome(job: &Job, ending: Ending, schema_errors: &[String], kept: Kept) -> Outcome {
    let pulse = job.pulse.borrow();
    let hide = |text: &str| job.mask.hide(text).into_owned();
    let mut work = Work::of(job.details.child.clone(), &pulse, job.clock.now());
    work.files_written = work.files_written.iter().map(|file| hide(file)).collect();
    work.schema_errors = schema_errors.iter().map(|error| hide(error)).collect();
    work.changes = kept.changes.map(|changes| changes.masked(&job.mask));
    work.unsealed = kept.unsealed.map(|why| hide(&why));
    let words = if ending == Ending::Completed { pulse.said.to_string() } else { pulse.words() };
    let report = Report {
        text: hide(&words),
        // It has no map with other keys than text.
        details: serde_json::to_value(work).unwrap_or_default(),
    };
    let with_unread = |why: String| match pulse.unread {
        0 => why,
        1 => format!("{why}; it did not see one message to it"),
        number => format!("{why}; it did not see {number} messages to it"),
    };
    let outcome = match ending {
        Ending::Completed => Outcome::Completed { report },
        Ending::Failed(message) => Outcome::Failed { message: hide(&with_unread(message)), report },
        Ending::Cancelled(reason) => {
            Outcome::Cancelled { reason: hide(&with_unread(reason)), report }
        }
    };
    fitted(outcome, &job.details.child)
}

/// Tells the engine how the task ended, again and again where that is away, and then the actor.
async fn finish(job: &mut Job, lease: &Lease, read: Position, outcome: Outcome) {
    let mut pauses = AGAIN.into_iter();
    let said = loop {
        match job.engine.finish(lease.clone(), read, outcome.clone()).await {
            Ok(_) => break RunnerSaid::Ended { state: outcome.state(), outcome },
            Err(error) if is_lost(&error) => break RunnerSaid::Lost,
            Err(error) => {
                tracing::warn!(task = %job.name, %error, "the end of a task could not be kept");
                let pause = pauses.next().filter(|_| matches!(error, EngineError::Unavailable(_)));
                let Some(pause) = pause else {
                    let outcome = unkept(outcome, &error);
                    break RunnerSaid::Ended { state: outcome.state(), outcome };
                };
                if stops_within(job, pause).await {
                    break RunnerSaid::Stopped;
                }
            }
        }
    };
    let state =
        if let RunnerSaid::Ended { state, .. } = &said { *state } else { State::Interrupted };
    tell(job, said).await;
    job.orders.close();
    while let Some(order) = job.orders.recv().await {
        miss(order, state);
    }
}

/// A pause that ends early where the process ends.
async fn stops_within(job: &mut Job, pause: Duration) -> bool {
    let over = sleep(pause);
    tokio::pin!(over);
    loop {
        tokio::select! {
            () = &mut over => return false,
            order = job.orders.recv() => match order {
                None | Some(RunnerOrder::Stop) => return true,
                Some(order) => miss(order, State::Running),
            },
        }
    }
}

/// The end of a task that the engine will call interrupted.
fn unkept(outcome: Outcome, error: &EngineError) -> Outcome {
    let (how, report) = match outcome {
        Outcome::Completed { report } => ("it was completed".to_owned(), report),
        Outcome::Failed { message, report } => (message, report),
        Outcome::Cancelled { reason, report } => (format!("it was cancelled: {reason}"), report),
    };
    Outcome::Failed { message: format!("{how}, but its end could not be kept: {error}"), report }
}

/// A message that comes too late.
pub(super) fn miss(order: RunnerOrder, state: State) {
    if let RunnerOrder::Steer { reply, .. } = order {
        // Who asked may be gone.
        reply.send(Ok(Receipt::Missed { state })).ok();
    }
}

pub(super) async fn tell(job: &Job, said: RunnerSaid) {
    // An actor that is gone needs no news.
    job.said.send((job.task.clone(), Box::new(said))).await.ok();
}
