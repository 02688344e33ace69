//! What sessions are told, in order. A session that does not read delays nobody: what it has not taken waits,
//! and of its cards only the newest is made.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::operations::Done;
use super::{Actor, Attachment};
use crate::ids::{CallId, SessionId, TaskId};
use crate::tasks::card::Throttle;
use crate::tasks::handle::Reply;
use crate::tasks::{Spawn, Started, TaskSaid};

/// A session that has been there.
pub(super) struct Listener {
    pub(super) spawn: Arc<dyn Spawn>,
    /// Absent while nobody listens.
    said: Option<mpsc::Sender<Box<TaskSaid>>>,
    untold: VecDeque<Untold>,
    /// Whether room is waited for.
    waits: bool,
    pub(super) throttle: Throttle,
    /// Cards that were due while the session did not read.
    pub(super) overdue: BTreeSet<TaskId>,
    /// Cards that its journal had as final when it came.
    pub(super) closed_cards: HashSet<CallId>,
}

/// What waits for room, in order.
enum Untold {
    Said(Box<TaskSaid>),
    /// Who started tasks, or let them go on, is answered behind their first cards: whoever knows of tasks
    /// knows that their session does.
    Started(Reply<Vec<Started>>, Vec<Started>),
}

impl Listener {
    pub(super) fn new(attachment: Attachment) -> Self {
        Self {
            spawn: attachment.spawn,
            said: Some(attachment.said),
            untold: VecDeque::new(),
            waits: false,
            throttle: Throttle::default(),
            overdue: BTreeSet::new(),
            closed_cards: attachment.closed_cards.into_iter().collect(),
        }
    }

    pub(super) fn is_there(&self) -> bool {
        self.said.is_some()
    }

    pub(super) fn reads(&self) -> bool {
        self.untold.is_empty()
    }

    /// Nothing more is said to it; what is not taken yet is told to whoever comes next, from what is kept.
    pub(super) fn leave(&mut self) {
        self.said = None;
        for untold in self.untold.drain(..) {
            if let Untold::Started(reply, started) = untold {
                drop(reply.send(Ok(started)));
            }
        }
        self.overdue.clear();
    }

    /// Says what it takes now. Room that is to be waited for otherwise.
    fn flush(&mut self) -> Option<mpsc::Sender<Box<TaskSaid>>> {
        if self.waits {
            return None;
        }
        while let Some(untold) = self.untold.pop_front() {
            let said = match untold {
                Untold::Said(said) => said,
                Untold::Started(reply, started) => {
                    drop(reply.send(Ok(started)));
                    continue;
                }
            };
            match self.said.as_ref()?.try_send(said) {
                Ok(()) => {}
                Err(TrySendError::Full(said)) => {
                    self.untold.push_front(Untold::Said(said));
                    self.waits = true;
                    return self.said.clone();
                }
                Err(TrySendError::Closed(_)) => self.leave(),
            }
        }
        None
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Actor {
    pub(super) fn say(&mut self, session: &SessionId, said: TaskSaid) {
        let Some(listener) = self.listeners.get_mut(session) else { return };
        if listener.is_there() {
            listener.untold.push_back(Untold::Said(Box::new(said)));
            self.flush(session);
        }
    }

    /// Answers behind all that the session is told before.
    pub(super) fn answer_behind(
        &mut self,
        session: &SessionId,
        reply: Reply<Vec<Started>>,
        started: Vec<Started>,
    ) {
        match self.listeners.get_mut(session) {
            Some(listener) if listener.is_there() => {
                listener.untold.push_back(Untold::Started(reply, started));
                self.flush(session);
            }
            Some(_) | None => drop(reply.send(Ok(started))),
        }
    }

    pub(super) fn room(
        &mut self,
        session: &SessionId,
        room: Option<mpsc::OwnedPermit<Box<TaskSaid>>>,
    ) {
        let Some(listener) = self.listeners.get_mut(session) else { return };
        let Some(room) = room else {
            // The room of a session that left, while another is there.
            if listener.said.as_ref().is_none_or(mpsc::Sender::is_closed) {
                listener.leave();
            }
            listener.waits = false;
            return self.flush(session);
        };
        listener.waits = false;
        let is_its = listener.said.as_ref().is_some_and(|said| room.same_channel_as_sender(said));
        // What waits for room is first.
        if is_its
            && let Some(Untold::Said(_)) = listener.untold.front()
            && let Some(Untold::Said(said)) = listener.untold.pop_front()
        {
            room.send(said);
        }
        self.flush(session);
    }

    pub(super) fn flush_all(&mut self) {
        let sessions: Vec<SessionId> = self.listeners.keys().cloned().collect();
        for session in sessions {
            self.flush(&session);
        }
    }

    fn flush(&mut self, session: &SessionId) {
        let Some(listener) = self.listeners.get_mut(session) else { return };
        let wanted = listener.flush();
        if listener.reads() {
            let now = tokio::time::Instant::now();
            for task in std::mem::take(&mut listener.overdue) {
                listener.throttle.changed(&task, now);
            }
        }
        if let Some(said) = wanted {
            let session = session.clone();
            self.operate(async move { Done::Room(session, said.reserve_owned().await.ok()) });
        }
    }
}
