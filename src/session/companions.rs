//! The tasks of a session, from its actor's side: what they say, the requests to them, the commands that
//! wait for them, and how they end with it. The actor waits for none of it.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::commands::{self, TaskCommand};
use crate::ids::{CallId, PromptId};
use crate::permission::Answer;
use crate::tasks::{Attachment, Caller, TaskError, TaskSaid, TasksHandle, Which};

/// What tasks say and the session has not heard yet.
const SAID: usize = 64;
/// How long tasks may take to end with their session; they promise two seconds.
const PATIENCE: Duration = Duration::from_millis(2_500);

/// What becomes of tasks when their session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The user closed the session: they are cancelled.
    Close,
    /// The session is opened anew, or it is a task's own, whose end is that of its tasks, too.
    Detach,
    /// Nobody is there any more: they stop, and can be resumed.
    Abandon,
}

/// What there is of tasks to be handled.
#[derive(Debug)]
pub(super) enum News {
    Said(Box<TaskSaid>),
    CommandDone {
        prompt: PromptId,
        text: String,
    },
    /// All tasks were cancelled, as far as that could be done in time.
    Cancelled,
    /// The tasks have ended, or stopped where they were, and all that they said was heard.
    Ended {
        stopped: bool,
    },
}

enum End {
    NotBegun,
    /// Cancelled when they have ended.
    Begun(CancellationToken, Fate),
    Over,
}

pub(super) struct Companions {
    tasks: Option<TasksHandle>,
    attachment: Option<Attachment>,
    /// Absent where there are none: even an empty channel takes room.
    said: Option<mpsc::Receiver<Box<TaskSaid>>>,
    /// The command that runs: one at a time, so that each sees what those before it did, and is answered
    /// behind them.
    commands: JoinSet<(PromptId, String)>,
    running: Option<(PromptId, AbortHandle)>,
    waiting: VecDeque<(PromptId, BoxFuture<'static, (PromptId, String)>)>,
    /// Ends when all tasks are cancelled.
    cancelling: Option<CancellationToken>,
    end: End,
    tracker: TaskTracker,
}

impl Companions {
    /// Of a session without tasks.
    pub(super) fn none(tracker: TaskTracker) -> Self {
        Self {
            tasks: None,
            attachment: None,
            said: None,
            commands: JoinSet::new(),
            running: None,
            waiting: VecDeque::new(),
            cancelling: None,
            end: End::NotBegun,
            tracker,
        }
    }

    /// `attachment` makes what the tasks need of the session out of the way to it.
    pub(super) fn new(
        tasks: TasksHandle,
        tracker: TaskTracker,
        attachment: impl FnOnce(mpsc::Sender<Box<TaskSaid>>) -> Attachment,
    ) -> Self {
        let (sender, said) = mpsc::channel(SAID);
        let attachment = attachment(sender);
        Self {
            tasks: Some(tasks),
            attachment: Some(attachment),
            said: Some(said),
            ..Self::none(tracker)
        }
    }

    /// Lets the tasks speak.
    pub(super) fn attach(&mut self) {
        if let Some(tasks) = self.tasks.clone()
            && let Some(attachment) = self.attachment.take()
        {
            self.ask(Box::pin(async move { tasks.attach(attachment).await }));
        }
    }

    /// Cancels all tasks; they are `Cancelled` at some time.
    pub(super) fn cancel_all(&mut self) {
        let over = CancellationToken::new();
        self.cancelling = Some(over.clone());
        let Some(tasks) = self.tasks.clone() else { return over.cancel() };
        self.ask(Box::pin(async move {
            let _over = over.drop_guard();
            let cancelled = tasks.cancel(Which::All, Some("the turn was cancelled".to_owned()));
            match tokio::time::timeout(PATIENCE, cancelled).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "tasks were not cancelled"),
                Err(_) => tracing::warn!("the tasks of a session were not cancelled in time"),
            }
        }));
    }

    pub(super) fn answer(&self, call: CallId, answer: Answer) {
        if let Some(tasks) = self.tasks.clone() {
            self.ask(Box::pin(async move { tasks.answered(call, answer).await }));
        }
    }

    /// Requests arrive in the order in which they are made here, since each goes out at once where there
    /// is room for it.
    fn ask(&self, mut request: BoxFuture<'static, ()>) {
        if (&mut request).now_or_never().is_none() {
            self.tracker.spawn(request);
        }
    }

    /// Carries a command out, behind those before it. It is `done` at some time, unless it is given up.
    pub(super) fn run(&mut self, prompt: PromptId, command: TaskCommand, caller: Caller) {
        let tasks = self.tasks.clone();
        let done = async move {
            let Some(tasks) = tasks else {
                return (prompt, TaskError::Closed.fault().sentence());
            };
            let answer = AssertUnwindSafe(commands::run(command, &tasks, caller));
            let text = answer.catch_unwind().await.unwrap_or_else(|_| {
                tracing::error!("a command panicked");
                "The command failed because of a defect in Talaria.".to_owned()
            });
            (prompt, text)
        };
        self.waiting.push_back((prompt, Box::pin(done)));
        self.next_command();
    }

    fn next_command(&mut self) {
        if self.running.is_none()
            && let Some((prompt, command)) = self.waiting.pop_front()
        {
            self.running = Some((prompt, self.commands.spawn(command)));
        }
    }

    pub(super) fn give_up(&mut self, prompt: PromptId) {
        self.waiting.retain(|(waiting, _)| *waiting != prompt);
        if let Some((_, running)) = self.running.take_if(|(running, _)| *running == prompt) {
            running.abort();
            self.next_command();
        }
    }

    /// What comes next; waits for ever where nothing can come. Loses nothing when it is dropped.
    pub(super) async fn news(&mut self) -> News {
        loop {
            tokio::select! {
                biased;
                Some(said) = hear(&mut self.said) => return News::Said(said),
                Some(done) = self.commands.join_next() => {
                    // One that was given up has nothing to say.
                    if let Ok((prompt, text)) = done {
                        self.running.take_if(|(running, _)| *running == prompt);
                        self.next_command();
                        return News::CommandDone { prompt, text };
                    }
                }
                () = cancelled(self.cancelling.as_ref()) => {
                    self.cancelling = None;
                    return News::Cancelled;
                }
                fate = over(&self.end) => {
                    self.end = End::Over;
                    return News::Ended { stopped: fate == Fate::Abandon };
                }
            }
        }
    }

    /// Ends the tasks; what is done first counts.
    pub(super) fn end(&mut self, fate: Fate) {
        let End::NotBegun = self.end else { return };
        // Those that were not let speak stay silent.
        self.attachment = None;
        let Some(tasks) = self.tasks.take() else {
            self.end = End::Over;
            return;
        };
        let over = CancellationToken::new();
        self.end = End::Begun(over.clone(), fate);
        self.ask(Box::pin(async move {
            let _over = over.drop_guard();
            let end = async {
                match fate {
                    Fate::Close => tasks.close().await,
                    Fate::Detach => tasks.detach().await,
                    Fate::Abandon => tasks.abandon().await,
                }
            };
            if tokio::time::timeout(PATIENCE, end).await.is_err() {
                tracing::warn!(?fate, "the tasks of a session did not end in time");
            }
        }));
    }

    /// Whether they have ended, and nothing more comes.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.end, End::Over)
    }
}

async fn hear(said: &mut Option<mpsc::Receiver<Box<TaskSaid>>>) -> Option<Box<TaskSaid>> {
    said.as_mut()?.recv().await
}

async fn cancelled(cancelling: Option<&CancellationToken>) {
    match cancelling {
        Some(over) => over.cancelled().await,
        None => std::future::pending().await,
    }
}

async fn over(end: &End) -> Fate {
    match end {
        End::Begun(over, fate) => {
            over.cancelled().await;
            *fate
        }
        End::NotBegun | End::Over => std::future::pending().await,
    }
}
