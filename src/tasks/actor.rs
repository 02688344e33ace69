//! Owns the tasks below one root session: takes requests, what runners say and what the engine answered one
//! at a time, asks the rules, does what they say. Nothing here waits for the engine, a runner or a session:
//! what takes time is an operation in a set of its own.
//!
//! Channels, all bounded, with who waits for room in them. What goes through most is boxed: room for the first
//! 32 is there from the start, in each open session.
//! - handles → actor 256: who holds a handle, as a tool or a command; a session's actor never.
//! - runner → actor 256 (`SAID`): the runner. The actor takes them at any time, so no circle closes.
//! - actor → runner 32 (`ORDERS`): an operation for each order that finds no room; the actor never.
//! - actor → session 64 (`companions::SAID`): an operation; what is untold waits in its listener.
//! - child → runner 64 (`child::UNHEARD`): the child's actor says nothing then, and still takes its inbox;
//!   a runner that closes it hears on meanwhile.
//! - runner → child 256 (its inbox, as any session's): the runner, for answers and the close.
//! - pulse: a watch; the actor looks, and waits for the next change only once it has shown the last.

mod cards;
mod effects;
mod listeners;
mod observed;
mod operations;
mod questions;
mod reports;
mod requests;
mod trees;
mod view;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::handle::{Ask, Reply, Request};
use super::runner::{Pulse, RunnerOrder, RunnerSaid};
use super::state::{AskId, Limits, TasksState, WaitId};
use super::{
    About, Attachment, Cancelled, Collected, Details, Isolation, Started, Steered, TaskError,
    TaskName, TasksHandle, TasksInbox,
};
use crate::clock::{self, Clock, Timestamp};
use crate::config::{DelegationSection, TasksSection};
use crate::event::{CallUpdate, Question};
use crate::ids::{CallId, SessionId, TaskId};
use crate::redact::Mask;
use crate::tasks::engine::TaskEngine;
use listeners::Listener;
use observed::Observed;
use operations::Done;

/// What runners said and the actor has not heard yet; they wait for room.
const SAID: usize = 256;
/// Orders that a runner has not taken yet. More wait beside it.
const ORDERS: usize = 32;
/// What is heard of each kind after a request, at most.
const ROUND: usize = 64;
/// Requests that may wait until the session is there, which takes milliseconds.
const MOST_EARLY: usize = 256;
/// In which all must have ended at a close. Runners give themselves less.
const END: Duration = Duration::from_millis(1_950);
/// In which who waits takes what there is when all has ended; the close is answered before.
const LAST: Duration = Duration::from_millis(200);

/// What tasks are run with.
pub struct Setup {
    pub engine: Arc<dyn TaskEngine>,
    pub clock: Clock,
    pub delegation: DelegationSection,
    pub tasks: TasksSection,
    /// Places among all running tasks of the process: `delegation.max_process`.
    pub slots: Arc<Semaphore>,
    pub mask: Arc<Mask>,
}

/// Starts the actor of a root session's tasks. `stop` ends it as `TasksHandle::abandon` does.
pub fn start(inbox: TasksInbox, setup: Setup, tasks: &TaskTracker, stop: CancellationToken) {
    let limits = Limits::new(&setup.delegation, &setup.tasks);
    let (said, heard) = mpsc::channel(SAID);
    let actor = Actor {
        state: TasksState::new(inbox.session.clone(), limits),
        setup,
        sender: inbox.sender.clone(),
        known: HashMap::new(),
        working: HashMap::new(),
        permits: HashMap::new(),
        listeners: HashMap::new(),
        asked: HashMap::new(),
        reasons: HashMap::new(),
        waits: HashMap::new(),
        asks: HashMap::new(),
        loading: Loading::Early(Vec::new()),
        observed: HashMap::new(),
        said,
        runners: JoinSet::new(),
        runs: HashMap::new(),
        operations: JoinSet::new(),
        tracker: tasks.clone(),
        merging: Arc::new(Semaphore::new(1)),
        discarding: 0,
        replies: Vec::new(),
        deadline: None,
        is_over: false,
    };
    tasks.spawn(actor.run(inbox, heard, stop));
}

struct Actor {
    state: TasksState,
    setup: Setup,
    sender: mpsc::WeakSender<Box<Request>>,
    /// All tasks that the session has had. What is large of one goes when it completes; of one that failed or
    /// was cancelled it stays, since the engine may not have its end. So this grows with the session's tasks,
    /// as the rules do, which need each for its name; `tasks.max_per_prompt` bounds those of a prompt.
    known: HashMap<TaskId, Known>,
    /// Those that have a runner.
    working: HashMap<TaskId, Working>,
    permits: HashMap<TaskId, OwnedSemaphorePermit>,
    listeners: HashMap<SessionId, Listener>,
    /// Questions by the ids under which the root session shows them.
    asked: HashMap<CallId, (TaskId, CallId)>,
    /// Why questions are refused, until the session says that they were.
    reasons: HashMap<CallId, Vec<Reason>>,
    waits: HashMap<WaitId, OpenWait>,
    asks: HashMap<AskId, Answerer>,
    loading: Loading,
    /// Of whom somebody watches.
    observed: HashMap<SessionId, Observed>,
    said: mpsc::Sender<(TaskId, Box<RunnerSaid>)>,
    runners: JoinSet<()>,
    runs: HashMap<tokio::task::Id, TaskId>,
    operations: JoinSet<Done>,
    /// For what is carried through though the actor ends.
    tracker: TaskTracker,
    /// Of merges and discards there is one at a time.
    merging: Arc<Semaphore>,
    /// Discards of interrupted tasks that are under way.
    discarding: usize,
    /// Whoever wants to know that all has ended.
    replies: Vec<Reply<()>>,
    deadline: Option<Instant>,
    is_over: bool,
}

/// What is known of a task beside the rules, as long as the actor lives.
struct Known {
    about: Arc<About>,
    goal: Arc<str>,
    created: Timestamp,
    tokens: u64,
    isolation: Isolation,
    /// As long as it is not final.
    details: Option<Details>,
    /// Goal and context as they were given, where that is not what is kept: for the first attempt alone.
    given: Option<Box<Given>>,
    /// How it ended, where the engine may not have it: until its report is told, and longer where it
    /// failed or was cancelled.
    collected: Option<Arc<Collected>>,
    /// Why it did not begin, or stopped.
    trouble: Option<String>,
    /// The card as it was shown last.
    card: Option<CallUpdate>,
}

/// The words of a task with the secrets in them, which the user may have meant it to have. They are kept
/// nowhere else.
struct Given {
    goal: String,
    context: Option<String>,
}

/// A task that has a runner.
struct Working {
    run: tokio::task::Id,
    orders: mpsc::Sender<RunnerOrder>,
    pulse: watch::Receiver<Pulse>,
    questions: BTreeMap<CallId, (Question, Timestamp)>,
    /// Whether its next sign of life is waited for.
    is_watched: bool,
}

/// What the user says to a refusal, and who waits until the task's inbox has it.
struct Reason {
    session: SessionId,
    name: TaskName,
    text: String,
    kept: Reply<Steered>,
}

/// A wait, as its reply needs it.
struct OpenWait {
    session: SessionId,
    tasks: Vec<(TaskName, TaskId)>,
    over: Option<oneshot::Sender<()>>,
    reply: Option<oneshot::Sender<Vec<Collected>>>,
}

/// What is answered when an operation is carried out.
enum Answerer {
    Cancel { targets: Vec<(TaskName, TaskId)>, reply: Reply<Vec<Cancelled>> },
    Resume { session: SessionId, targets: Vec<(TaskName, TaskId)>, reply: Reply<Vec<Started>> },
    Close { reply: Reply<()> },
}

/// What is to be read of the engine before the tasks of an old session are known.
enum Loading {
    /// Nobody knows yet: the session has not been there. What others ask meanwhile waits for it.
    Early(Vec<Request>),
    Unneeded,
    /// For these. The last try failed, unless it has not been made.
    Needed(Vec<(SessionId, Attachment)>),
    /// Requests wait; these are refused if it fails.
    Reading(Vec<(SessionId, Attachment)>, Vec<Request>),
}

enum Woke {
    Stop,
    Request(Option<Box<Request>>),
    Said(TaskId, Box<RunnerSaid>),
    Done(Done),
    RunnerGone(tokio::task::Id),
    Cards,
    Deadline,
    Nothing,
}

impl Actor {
    async fn run(
        mut self,
        inbox: TasksInbox,
        mut heard: mpsc::Receiver<(TaskId, Box<RunnerSaid>)>,
        stop: CancellationToken,
    ) {
        let TasksInbox { session: _, mut requests, sender: _ } = inbox;
        let mut is_stopped = false;
        let mut has_users = true;
        while !self.is_over {
            let takes = has_users && !matches!(self.loading, Loading::Reading(..));
            let cards = self.card_deadline();
            // The end first; then what is asked for, which is rare and must not wait behind what runners
            // say; what they say before that they are gone.
            let woke = tokio::select! {
                biased;
                () = stop.cancelled(), if !is_stopped => Woke::Stop,
                () = clock::sleep_until(self.deadline), if self.deadline.is_some() => Woke::Deadline,
                request = requests.recv(), if takes => Woke::Request(request),
                Some((task, said)) = heard.recv() => Woke::Said(task, said),
                Some(done) = self.operations.join_next() => whole(done).map_or(Woke::Nothing, Woke::Done),
                Some(gone) = self.runners.join_next_with_id() => {
                    Woke::RunnerGone(gone.map_or_else(|error| error.id(), |(id, ())| id))
                }
                () = clock::sleep_until(cards), if cards.is_some() => Woke::Cards,
            };
            match woke {
                Woke::Stop => {
                    is_stopped = true;
                    self.abandon(None);
                }
                Woke::Request(None) => {
                    has_users = false;
                    self.abandon(None);
                }
                Woke::Request(Some(request)) => {
                    self.request(*request);
                    self.perform();
                    // Whoever asks without pause does not keep the rest from being heard.
                    for _ in 0..ROUND {
                        let Ok((task, said)) = heard.try_recv() else { break };
                        self.heard(&task, *said);
                    }
                    for _ in 0..ROUND {
                        let Some(done) = self.operations.try_join_next() else { break };
                        if let Some(done) = whole(done) {
                            self.done(done);
                        }
                    }
                }
                Woke::Said(task, said) => self.heard(&task, *said),
                Woke::Done(done) => self.done(done),
                Woke::RunnerGone(run) => {
                    while let Ok((task, said)) = heard.try_recv() {
                        self.heard(&task, *said);
                    }
                    self.runner_gone(run);
                }
                Woke::Cards => self.show_due(),
                Woke::Deadline => self.is_over = true,
                Woke::Nothing => {}
            }
            self.perform();
        }
        // From here on everyone else is answered that it is over.
        self.leave_last();
        requests.close();
        self.flush_all();
        self.runners.shutdown().await;
        while let Ok(request) = requests.try_recv() {
            match request.ask {
                Ask::Close { reply } | Ask::Abandon { reply } => self.replies.push(reply),
                ask @ (Ask::Start { .. }
                | Ask::Check { .. }
                | Ask::Steer { .. }
                | Ask::Wait { .. }
                | Ask::Cancel { .. }
                | Ask::CancelChild { .. }
                | Ask::List { .. }
                | Ask::Known { .. }
                | Ask::Observe { .. }
                | Ask::Changed { .. }
                | Ask::Answer { .. }
                | Ask::Resume { .. }
                | Ask::Diff { .. }
                | Ask::Merge { .. }
                | Ask::Discard { .. }
                | Ask::Attach(_)
                | Ask::Detach { .. }
                | Ask::Answered { .. }) => ask.refuse(TaskError::Closed),
            }
        }
        for reply in std::mem::take(&mut self.replies) {
            drop(reply.send(Ok(())));
        }
        drop(tokio::time::timeout(LAST, self.answer_waits()).await);
    }

    /// Who waited for tasks hears how they ended. Where nobody waits there is nothing to do.
    async fn answer_waits(&mut self) {
        for wait in self.waits.values_mut() {
            wait.over = None;
        }
        while !self.waits.is_empty()
            && let Some(done) = self.operations.join_next().await
        {
            if let Some(done @ (Done::WaitEnds(..) | Done::Collected(_))) = whole(done) {
                self.done(done);
                self.perform();
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.setup.clock.now()
    }

    /// Something that takes time; what it comes to is heard in `done`.
    fn operate(&mut self, operation: impl Future<Output = Done> + Send + 'static) {
        let operation: BoxFuture<'static, Done> = Box::pin(operation);
        self.operations.spawn(operation);
    }

    /// A handle for the session that does a task, if it may have tasks.
    fn handle_of(&self, task: &TaskId) -> Option<TasksHandle> {
        if !self.state.may_start(task) {
            return None;
        }
        let child = self.state.child(task)?;
        self.sender.upgrade().map(|sender| TasksHandle::with(child.clone(), sender))
    }

    fn begin_end(&mut self, reply: Option<Reply<()>>) {
        self.replies.extend(reply);
        self.deadline.get_or_insert_with(|| Instant::now() + END);
    }

    fn abandon(&mut self, reply: Option<Reply<()>>) {
        self.begin_end(reply);
        self.state.abandon();
    }
}

/// What an operation came to. Whoever waits for one that died hears that the tasks are closed.
fn whole(done: Result<Done, tokio::task::JoinError>) -> Option<Done> {
    done.inspect_err(|error| tracing::error!(%error, "an operation of the tasks died")).ok()
}
