//! Who listens to which task in this process. It wakes them and passes on what is not kept; what
//! happened, they read from where it is kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver, Sender};

use crate::ids::TaskId;
use crate::tasks::engine::Passing;

/// How many pieces wait for a listener before it loses the oldest.
const WAITING: usize = 64;

/// The listeners of one process. Clones are the same hub.
#[derive(Debug, Clone, Default)]
pub(super) struct Hub {
    listeners: Arc<Mutex<HashMap<TaskId, Sender<Note>>>>,
}

/// What a listener is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Note {
    /// There may be events that it has not read.
    Changed,
    Passing(Arc<Passing>),
}

/// One who listens to a task.
#[derive(Debug)]
pub(super) struct Listener {
    hub: Hub,
    task: TaskId,
    notes: Receiver<Note>,
}

impl Hub {
    pub(super) fn listen(&self, task: TaskId) -> Listener {
        let mut listeners = self.listeners();
        let sender = listeners.entry(task.clone()).or_insert_with(|| broadcast::channel(WAITING).0);
        let notes = sender.subscribe();
        drop(listeners);
        Listener { hub: self.clone(), task, notes }
    }

    pub(super) fn is_heard(&self, task: &TaskId) -> bool {
        self.listeners().contains_key(task)
    }

    pub(super) fn tell(&self, task: &TaskId, note: Note) {
        if let Some(sender) = self.listeners().get(task) {
            // Nobody is left: the last listener is about to take the entry away.
            let _nobody = sender.send(note);
        }
    }

    /// Something happened that may concern any task.
    pub(super) fn tell_all(&self) {
        for sender in self.listeners().values() {
            let _nobody = sender.send(Note::Changed);
        }
    }

    /// A lock that someone panicked under holds nothing half done: each use is one step.
    fn listeners(&self) -> MutexGuard<'_, HashMap<TaskId, Sender<Note>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    /// The next note. Loses nothing when it is dropped.
    pub(super) async fn next(&mut self) -> Note {
        match self.notes.recv().await {
            Ok(note) => note,
            // Some were lost: what was kept is still to be read.
            Err(RecvError::Lagged(_)) => Note::Changed,
            // The hub holds the sender as long as there is a listener.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut listeners = self.hub.listeners();
        // This one is still counted.
        if listeners.get(&self.task).is_some_and(|sender| sender.receiver_count() <= 1) {
            listeners.remove(&self.task);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Hub, Note};
    use crate::ids::{SessionId, TaskId};
    use crate::tasks::engine::Passing;

    #[tokio::test]
    async fn listeners_hear_of_their_task_alone_and_leave_nothing_behind() {
        let task = |number| TaskId { session: SessionId::new("s"), number };
        let hub = Hub::default();
        let (mut first, second, mut other) =
            (hub.listen(task(1)), hub.listen(task(1)), hub.listen(task(2)));
        drop(second);
        hub.tell(&task(1), Note::Changed);
        assert_eq!(first.next().await, Note::Changed);
        assert!(futures::poll!(std::pin::pin!(other.next())).is_pending());
        drop(first);
        assert_eq!((hub.is_heard(&task(1)), hub.is_heard(&task(2))), (false, true));
        drop(other);
        assert!(hub.listeners().is_empty());
    }

    #[tokio::test]
    async fn a_slow_listener_loses_pieces_and_is_told_to_read_again() {
        let task = TaskId { session: SessionId::new("s"), number: 1 };
        let hub = Hub::default();
        let mut listener = hub.listen(task.clone());
        let piece = |after| {
            let text = String::new();
            Note::Passing(Arc::new(Passing { task: task.clone(), epoch: 1, after, text }))
        };
        for after in 0..1_000 {
            hub.tell(&task, piece(after));
        }
        assert_eq!(listener.next().await, Note::Changed);
        let oldest = 1_000 - u64::try_from(super::WAITING).unwrap();
        assert_eq!(listener.next().await, piece(oldest));
    }
}
