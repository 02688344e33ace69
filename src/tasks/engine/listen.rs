//! A task's events as a stream: read from where they are kept, again whenever there may be more. What this
//! process writes says so itself; what others may write is looked for, as long as this process does not
//! hold the task's lease and somebody listens.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::unfold;

use super::hub::{Hub, Listener, Note};
use super::{EngineError, Event, Events, Heard, Passing, Seq};
use crate::ids::TaskId;

/// How many events are read at once.
pub(super) const BATCH: u32 = 256;
/// How often a listener looks for what another process did.
pub(super) const LOOK: Duration = Duration::from_millis(250);

/// Where events are kept.
pub(super) trait Source: Send + Sync + 'static {
    /// At most `BATCH` events behind `after`, once a worker that died was found dead.
    fn read(
        &self,
        task: &TaskId,
        after: Seq,
    ) -> impl Future<Output = Result<Batch, EngineError>> + Send;
}

pub(super) fn events<S: Source>(source: S, hub: &Hub, task: TaskId, after: Seq) -> Events {
    unfold(Some(Listening::new(source, hub, task, after)), async |listening| {
        let mut listening = listening?;
        match listening.next().await {
            Some(Ok(heard)) => Some((Ok(heard), Some(listening))),
            Some(Err(error)) => Some((Err(error), None)),
            None => None,
        }
    })
    .boxed()
}

pub(super) struct Listening<S> {
    source: S,
    task: TaskId,
    listener: Listener,
    /// The last event that was handed out.
    seen: Seq,
    /// Events that were read.
    ready: VecDeque<Event>,
    /// A piece that follows events which are still to be read.
    passing: Option<Arc<Passing>>,
    unread: Unread,
}

/// Whether there are events that were not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    Maybe,
    /// None, and whoever writes one says so.
    TellsItself,
    /// None, but another process may write one.
    MustLook,
    /// None, ever.
    Ended,
}

/// What was read.
pub(super) struct Batch {
    pub(super) events: Vec<Event>,
    pub(super) unread: Unread,
}

impl<S: Source> Listening<S> {
    pub(super) fn new(source: S, hub: &Hub, task: TaskId, after: Seq) -> Self {
        // Before anything is read, so that nothing falls between.
        let listener = hub.listen(task.clone());
        Self {
            source,
            task,
            listener,
            seen: after,
            ready: VecDeque::new(),
            passing: None,
            unread: Unread::Maybe,
        }
    }

    pub(super) async fn next(&mut self) -> Option<Result<Heard, EngineError>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.seen = event.seq;
                return Some(Ok(Heard::Event(event)));
            }
            match self.unread {
                Unread::Maybe => match self.read().await {
                    Ok(batch) => {
                        self.ready = batch.events.into();
                        self.unread = batch.unread;
                    }
                    Err(error) => return Some(Err(error)),
                },
                Unread::Ended => return None,
                Unread::TellsItself | Unread::MustLook => {
                    if let Some(passing) = self.take_passing() {
                        return Some(Ok(Heard::Passing(passing)));
                    }
                    self.wait().await;
                }
            }
        }
    }

    /// The piece that waits, if nothing was said since that makes it stale.
    fn take_passing(&mut self) -> Option<Passing> {
        let passing = self.passing.take()?;
        (passing.after == self.seen).then(|| Arc::unwrap_or_clone(passing))
    }

    /// Waits until there may be something.
    async fn wait(&mut self) {
        let is_quiet = self.unread == Unread::TellsItself;
        let look = async {
            if is_quiet {
                pending::<()>().await;
            } else {
                tokio::time::sleep(LOOK).await;
            }
        };
        // Notes first: they cost less to look at.
        tokio::select! {
            biased;
            note = self.listener.next() => match note {
                Note::Changed => self.unread = Unread::Maybe,
                Note::Passing(passing) => {
                    if passing.after > self.seen {
                        self.unread = Unread::Maybe;
                    }
                    self.passing = Some(passing);
                }
            },
            () = look => self.unread = Unread::Maybe,
        }
    }

    pub(super) async fn read(&self) -> Result<Batch, EngineError> {
        self.source.read(&self.task, self.seen).await
    }
}
