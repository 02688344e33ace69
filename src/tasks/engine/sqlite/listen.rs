//! A task's events as a stream: read from the table, again whenever there may be more. What this process
//! writes says so itself; what others may write is looked for, as long as this process does not hold the
//! task's lease and somebody listens.

use std::collections::VecDeque;
use std::future::pending;

use futures::StreamExt as _;
use futures::stream::unfold;

use super::{LOOK, SqliteEngine, rows};
use crate::ids::TaskId;
use crate::tasks::engine::hub::{Listener, Note};
use crate::tasks::engine::{EngineError, Event, Events, Heard, Passing, Seq};
use std::sync::Arc;

/// How many events are read at once.
const BATCH: u32 = 256;

pub(super) fn events(engine: SqliteEngine, task: TaskId, after: Seq) -> Events {
    unfold(Some(Listening::new(engine, task, after)), async |listening| {
        let mut listening = listening?;
        match listening.next().await {
            Some(Ok(heard)) => Some((Ok(heard), Some(listening))),
            Some(Err(error)) => Some((Err(error), None)),
            None => None,
        }
    })
    .boxed()
}

pub(super) struct Listening {
    engine: SqliteEngine,
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

/// Whether the table holds events that were not read.
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

/// What was read of the table.
pub(super) struct Batch {
    pub(super) events: Vec<Event>,
    pub(super) unread: Unread,
}

impl Listening {
    pub(super) fn new(engine: SqliteEngine, task: TaskId, after: Seq) -> Self {
        // Before anything is read, so that nothing falls between.
        let listener = engine.hub.listen(task.clone());
        Self {
            engine,
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
        let (task, after) = (self.task.clone(), self.seen);
        self.engine
            .read_settled(self.task.clone(), move |scene| {
                let kept = rows::find(scene.sql, &task)?;
                let events = rows::events(scene.sql, &task, after, BATCH)?;
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
