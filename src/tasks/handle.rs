//! What others hold of a session's tasks: the operations, once each. Cheap to clone.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Caller, Cancelled, ChangedFile, Changes, Checked, Collected, NewTask, Row, Spawn, Started,
    Steered, TaskError, TaskName, TaskSaid,
};
use crate::ids::{CallId, SessionId};
use crate::permission::Answer;
use crate::tasks::engine::State;

/// Requests that wait for the actor; it takes them within microseconds.
const INBOX: usize = 256;

/// The tasks of one session. All sessions below one root share an actor, their slots and their limits.
#[derive(Clone)]
pub struct TasksHandle {
    session: SessionId,
    requests: mpsc::Sender<Box<Request>>,
}

/// The actor's end of a handle.
pub struct TasksInbox {
    pub(super) session: SessionId,
    pub(super) requests: mpsc::Receiver<Box<Request>>,
    /// For handles of the sessions below; it does not keep the actor alive.
    pub(super) sender: mpsc::WeakSender<Box<Request>>,
}

/// The operations as one call of a model, or one command of a user, has them.
#[derive(Clone)]
pub struct Door {
    pub tasks: TasksHandle,
    pub caller: Caller,
}

/// What a session brings that may have tasks.
pub struct Attachment {
    pub said: mpsc::Sender<Box<TaskSaid>>,
    pub spawn: Arc<dyn Spawn>,
    /// The session was made just now: there is nothing that the engine could have of it.
    pub is_new: bool,
    /// Numbers of tasks whose reports are in the session's journal already.
    pub reported: BTreeSet<u64>,
    pub past: Past,
    /// Cards that the journal has and that are not final: the last attempt of each task.
    pub open_cards: BTreeSet<CallId>,
    /// Cards that the journal has as final.
    pub closed_cards: BTreeSet<CallId>,
}

/// What a session's journal knows of the numbers of tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Past {
    /// The highest: new tasks have numbers above it, for a card's id means one task for ever.
    pub highest: u64,
    /// The session that this one is a copy of, and the highest number that it had then.
    pub copied: Option<(SessionId, u64)>,
}

/// Which tasks are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    One(TaskName),
    /// Each once. One that cannot be meant refuses all, before anything is done to any.
    Several(Vec<TaskName>),
    /// All of the session for which the operation makes sense.
    All,
}

/// When a wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    All,
    Any,
}

/// A wait that was begun. While it lasts, a task that waits holds no slot. Dropped, it is given up.
pub struct Waiting {
    is_over: bool,
    over: oneshot::Receiver<()>,
    collect: oneshot::Sender<oneshot::Sender<Vec<Collected>>>,
}

/// How the tasks of a session stand, as it changes. It holds nothing: who asks seldom is told of each task once,
/// as it is then.
pub struct Observer {
    tasks: TasksHandle,
    seen: u64,
    changes: watch::Receiver<Newest>,
}

/// The last change of a session's tasks, for who watches them.
#[derive(Debug, Default)]
pub(super) struct Newest {
    pub(super) number: u64,
    /// How the tasks stood when the actor ended, each with the number of its last change: it cannot be asked then.
    pub(super) at_end: Vec<(u64, Row)>,
}

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, TaskError>>;

/// What is asked of the actor, and by which session.
pub(super) struct Request {
    pub(super) session: SessionId,
    pub(super) ask: Ask,
}

pub(super) enum Ask {
    Start {
        caller: Caller,
        tasks: Vec<NewTask>,
        reply: Reply<Vec<Started>>,
    },
    Check {
        task: TaskName,
        lines: usize,
        reply: Reply<Checked>,
    },
    Steer {
        task: TaskName,
        text: String,
        reply: Reply<Steered>,
    },
    Wait {
        tasks: Vec<TaskName>,
        wait: Wait,
        reply: Reply<Waiting>,
    },
    Cancel {
        which: Which,
        reason: Option<String>,
        reply: Reply<Vec<Cancelled>>,
    },
    CancelChild {
        child: SessionId,
        reply: Reply<bool>,
    },
    List {
        state: Option<State>,
        reply: Reply<Vec<Row>>,
    },
    Known {
        reply: Reply<Vec<Row>>,
    },
    Observe {
        reply: Reply<watch::Receiver<Newest>>,
    },
    Changed {
        since: u64,
        reply: Reply<(u64, Vec<Row>)>,
    },
    Answer {
        task: TaskName,
        question: Option<CallId>,
        answer: Answer,
        /// What the user says to it, and who waits until the task's inbox has it.
        why: Option<(String, Reply<Steered>)>,
        reply: Reply<State>,
    },
    Resume {
        which: Which,
        reply: Reply<Vec<Started>>,
    },
    Diff {
        task: TaskName,
        reply: Reply<(State, Changes)>,
    },
    Merge {
        tasks: Vec<TaskName>,
        reply: Reply<Vec<ChangedFile>>,
    },
    Discard {
        tasks: Vec<TaskName>,
        reply: Reply<Vec<TaskName>>,
    },
    Attach(Box<Attachment>),
    Detach {
        reply: Reply<()>,
    },
    Answered {
        call: CallId,
        answer: Answer,
    },
    Close {
        reply: Reply<()>,
    },
    Abandon {
        reply: Reply<()>,
    },
}

impl Ask {
    /// Answers that it cannot be done.
    pub(super) fn refuse(self, why: TaskError) {
        // Where nobody waits for the answer any more, nobody misses it.
        fn say<T>(reply: Reply<T>, why: TaskError) {
            drop(reply.send(Err(why)));
        }
        match self {
            Self::Start { reply, .. } | Self::Resume { reply, .. } => say(reply, why),
            Self::Check { reply, .. } => say(reply, why),
            Self::Steer { reply, .. } => say(reply, why),
            Self::Wait { reply, .. } => say(reply, why),
            Self::Cancel { reply, .. } => say(reply, why),
            Self::CancelChild { reply, .. } => say(reply, why),
            Self::List { reply, .. } | Self::Known { reply } => say(reply, why),
            Self::Observe { reply } => say(reply, why),
            Self::Changed { reply, .. } => say(reply, why),
            Self::Answer { reply, .. } => say(reply, why),
            Self::Diff { reply, .. } => say(reply, why),
            Self::Merge { reply, .. } => say(reply, why),
            Self::Discard { reply, .. } => say(reply, why),
            Self::Detach { reply } | Self::Close { reply } | Self::Abandon { reply } => {
                say(reply, why);
            }
            Self::Attach(_) | Self::Answered { .. } => {}
        }
    }
}

/// A handle of a root session's tasks, and the end that their actor will read.
pub fn handle(session: SessionId) -> (TasksHandle, TasksInbox) {
    let (requests, inbox) = mpsc::channel(INBOX);
    let inbox =
        TasksInbox { session: session.clone(), requests: inbox, sender: requests.downgrade() };
    (TasksHandle { session, requests }, inbox)
}

impl TasksHandle {
    /// The same actor, for a session below this one.
    #[must_use]
    pub fn of(&self, session: SessionId) -> Self {
        Self { session, requests: self.requests.clone() }
    }

    pub(super) fn with(session: SessionId, requests: mpsc::Sender<Box<Request>>) -> Self {
        Self { session, requests }
    }

    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// Starts tasks, all or none; answered when they are admitted and recorded, and their session has been
    /// told of them: a first card is in its channel.
    pub async fn start(
        &self,
        caller: Caller,
        tasks: Vec<NewTask>,
    ) -> Result<Vec<Started>, TaskError> {
        self.ask(|reply| Ask::Start { caller, tasks, reply }).await
    }

    pub async fn check(&self, task: &TaskName, lines: usize) -> Result<Checked, TaskError> {
        let task = task.clone();
        self.ask(|reply| Ask::Check { task, lines, reply }).await
    }

    pub async fn steer(&self, task: &TaskName, text: String) -> Result<Steered, TaskError> {
        let task = task.clone();
        self.ask(|reply| Ask::Steer { task, text, reply }).await
    }

    /// Begins to wait for tasks; `Waiting` says when that is over. One that is interrupted is not waited
    /// for: nothing happens to it by itself.
    pub async fn wait(&self, tasks: Vec<TaskName>, wait: Wait) -> Result<Waiting, TaskError> {
        self.ask(|reply| Ask::Wait { tasks, wait, reply }).await
    }

    /// Cancels tasks with all below them; answered when they have ended.
    pub async fn cancel(
        &self,
        which: Which,
        reason: Option<String>,
    ) -> Result<Vec<Cancelled>, TaskError> {
        self.ask(|reply| Ask::Cancel { which, reason, reply }).await
    }

    /// Cancels the task that this session does, with all below it; one that is interrupted or has ended stays
    /// as it is. Whether the session does a task of this one, or of a task below it. Answered when the end
    /// is asked for: its card and its report tell of it.
    pub async fn cancel_child(&self, child: &SessionId) -> bool {
        let child = child.clone();
        self.ask(|reply| Ask::CancelChild { child, reply }).await.unwrap_or(false)
    }

    /// All tasks of the session, or those in one state, newest first.
    pub async fn list(&self, state: Option<State>) -> Result<Vec<Row>, TaskError> {
        self.ask(|reply| Ask::List { state, reply }).await
    }

    /// All of which is known now: none, where the session has not been there. All other requests wait for it then.
    pub async fn known(&self) -> Result<Vec<Row>, TaskError> {
        self.ask(|reply| Ask::Known { reply }).await
    }

    /// Watches the session's tasks.
    pub async fn observe(&self) -> Result<Observer, TaskError> {
        let changes = self.ask(|reply| Ask::Observe { reply }).await?;
        Ok(Observer { tasks: self.clone(), seen: 0, changes })
    }

    /// Answers what a task asks, as the user's dialog would; the state that follows. With a question, nothing else
    /// that the task may ask by now. Why something is refused is kept in the task's inbox before the task goes on,
    /// so that its next request has both; where somebody else was faster and permitted it, it is no reason any more.
    pub async fn answer(
        &self,
        task: &TaskName,
        question: Option<CallId>,
        answer: Answer,
        why: Option<String>,
    ) -> Result<State, TaskError> {
        let (name, task) = (task, task.clone());
        let why = why.filter(|why| !why.trim().is_empty());
        let has_reason = why.is_some();
        let (reply, kept) = oneshot::channel();
        let why = why.map(|why| (why, reply));
        let state = self.ask(|reply| Ask::Answer { task, question, answer, why, reply }).await?;
        if has_reason {
            let kept = kept.await.unwrap_or(Err(TaskError::Closed));
            if let Err(TaskError::Unavailable(why)) = kept {
                return Err(TaskError::NotTold { name: name.to_string(), why });
            }
            kept?;
        }
        Ok(state)
    }

    /// Lets interrupted tasks go on. Their new cards are in the session's channel when it is answered.
    pub async fn resume(&self, which: Which) -> Result<Vec<Started>, TaskError> {
        self.ask(|reply| Ask::Resume { which, reply }).await
    }

    /// What an isolated task changed until now, and how it stands. One that has ended is still asked so, until its
    /// changes are merged or discarded.
    pub async fn diff(&self, task: &TaskName) -> Result<(State, Changes), TaskError> {
        let task = task.clone();
        self.ask(|reply| Ask::Diff { task, reply }).await
    }

    /// Brings the changes of isolated tasks that have ended into the folders of the session that they are of: those of
    /// all, in this order, or of none. Their trees and branches are gone then. What was changed.
    pub async fn merge(&self, tasks: Vec<TaskName>) -> Result<Vec<ChangedFile>, TaskError> {
        self.ask(|reply| Ask::Merge { tasks, reply }).await
    }

    /// Throws the changes of isolated tasks away, with their trees and branches; none where one of them still runs.
    pub async fn discard(&self, tasks: Vec<TaskName>) -> Result<Vec<TaskName>, TaskError> {
        self.ask(|reply| Ask::Discard { tasks, reply }).await
    }

    /// The session is there: from now on it is told of its tasks, first of all that it does not know.
    pub async fn attach(&self, attachment: Attachment) {
        self.tell(Ask::Attach(Box::new(attachment))).await;
    }

    /// The session is opened anew elsewhere: its tasks go on, and what they say waits for that one.
    /// Nothing is said to this one any more when it resolves.
    pub async fn detach(&self) {
        drop(self.ask(|reply| Ask::Detach { reply }).await);
    }

    /// The user answered a question in the dialog. One that nobody answered is not passed on.
    pub async fn answered(&self, call: CallId, answer: Answer) {
        self.tell(Ask::Answered { call, answer }).await;
    }

    /// Cancels all tasks for good; resolves when they have ended. For a session below the root, its own.
    pub async fn close(&self) {
        drop(self.ask(|reply| Ask::Close { reply }).await);
    }

    /// The process ends: tasks stop where they are and can be resumed. Of a session below the root it is
    /// forgotten: its own tasks stop with it.
    pub async fn abandon(&self) {
        drop(self.ask(|reply| Ask::Abandon { reply }).await);
    }

    /// Whether the actor still runs.
    pub fn is_open(&self) -> bool {
        !self.requests.is_closed()
    }

    async fn ask<T>(&self, ask: impl FnOnce(Reply<T>) -> Ask) -> Result<T, TaskError> {
        let (reply, answer) = oneshot::channel();
        self.tell(ask(reply)).await;
        answer.await.unwrap_or(Err(TaskError::Closed))
    }

    /// Waits for room; an actor that has ended needs no word.
    async fn tell(&self, ask: Ask) {
        let request = Box::new(Request { session: self.session.clone(), ask });
        drop(self.requests.send(request).await);
    }
}

impl Observer {
    /// The tasks that changed since the last time, in the order in which they did; the first time all of them, oldest
    /// first.
    /// Waits until there are some. Nothing more comes when the tasks are closed. May be dropped and called again.
    pub async fn next(&mut self) -> Option<Vec<Row>> {
        loop {
            self.changes.wait_for(|newest| newest.number > self.seen).await.ok()?;
            let since = self.seen;
            let changed = self.tasks.ask(|reply| Ask::Changed { since, reply }).await;
            let (seen, mut rows) = match changed {
                Ok(changed) => changed,
                Err(_) => self.changes.borrow().at_end(since)?,
            };
            self.seen = seen;
            if since == 0 {
                rows.sort_by_cached_key(|row| row.task_id.parse::<TaskName>().ok());
            }
            if !rows.is_empty() {
                return Some(rows);
            }
        }
    }
}

impl Newest {
    /// What changed behind this change until the actor ended, if it has.
    fn at_end(&self, since: u64) -> Option<(u64, Vec<Row>)> {
        let changed = self.at_end.iter().filter(|(number, _)| *number > since);
        let rows: Vec<Row> = changed.map(|(_, row)| row.clone()).collect();
        (!rows.is_empty()).then_some((self.number, rows))
    }
}

impl Waiting {
    pub(super) fn new(
        over: oneshot::Receiver<()>,
        collect: oneshot::Sender<oneshot::Sender<Vec<Collected>>>,
    ) -> Self {
        Self { is_over: false, over, collect }
    }

    /// Resolves when what was waited for has ended. May be dropped and called again.
    pub async fn over(&mut self) {
        if !self.is_over {
            drop((&mut self.over).await);
            self.is_over = true;
        }
    }

    /// Ends the wait: the reports of those that have ended, what there is of the others, in the order in
    /// which they were named. The task that waited has its slot again.
    pub async fn collect(self) -> Vec<Collected> {
        let (reply, answer) = oneshot::channel();
        if self.collect.send(reply).is_err() {
            return Vec::new();
        }
        answer.await.unwrap_or_default()
    }
}
