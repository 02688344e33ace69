//! Who watches the tasks of a session: which task changed last, so that each watcher asks for what is new to it.
//! Nothing is kept for a watcher, and nothing at all where nobody ever watched.

use std::collections::{BTreeMap, HashMap};

use tokio::sync::watch;

use super::Actor;
use crate::ids::{SessionId, TaskId};
use crate::tasks::Row;

/// The tasks of a session in the order of their last change. Changes count from 1.
pub(super) struct Observed {
    last: watch::Sender<u64>,
    order: BTreeMap<u64, TaskId>,
    of: HashMap<TaskId, u64>,
}

impl Observed {
    pub(super) fn changed(&mut self, task: &TaskId) {
        let number = *self.last.borrow() + 1;
        if let Some(before) = self.of.insert(task.clone(), number) {
            self.order.remove(&before);
        }
        self.order.insert(number, task.clone());
        self.last.send_replace(number);
    }
}

impl Actor {
    /// Says when tasks of the session change.
    pub(super) fn observe(&mut self, session: &SessionId) -> watch::Receiver<u64> {
        if !self.observed.contains_key(session) {
            let (last, order, of) = (watch::Sender::new(0), BTreeMap::new(), HashMap::new());
            let mut observed = Observed { last, order, of };
            self.state.tasks_of(session).for_each(|task| observed.changed(task));
            self.observed.insert(session.clone(), observed);
        }
        self.observed.get(session).map_or_else(|| watch::channel(0).1, |all| all.last.subscribe())
    }

    /// The tasks that changed behind this change, and the number of the last one.
    pub(super) fn changed(&self, session: &SessionId, since: u64) -> (u64, Vec<Row>) {
        let Some(observed) = self.observed.get(session) else { return (since, Vec::new()) };
        let places: HashMap<&TaskId, usize> = self.state.queued().zip(1..).collect();
        let tasks = observed.order.range(since + 1..).map(|(_, task)| task);
        let rows = tasks.filter_map(|task| self.row(task, places.get(task).copied()));
        (*observed.last.borrow(), rows.collect())
    }

    /// How a task stands has changed: for whoever watches.
    pub(super) fn note(&mut self, task: &TaskId) {
        if let Some(observed) = self.observed.get_mut(&task.session) {
            observed.changed(task);
        }
    }
}
