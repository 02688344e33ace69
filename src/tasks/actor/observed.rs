//! Who watches the tasks of a session: which task changed last, so that each watcher asks for what is new to it.
//! Nothing is kept for a watcher, and nothing at all where nobody ever watched.

use std::collections::{BTreeMap, HashMap};

use tokio::sync::watch;

use super::Actor;
use crate::ids::{SessionId, TaskId};
use crate::tasks::Row;
use crate::tasks::handle::Newest;

/// The tasks of a session in the order of their last change. Changes count from 1.
pub(super) struct Observed {
    last: watch::Sender<Newest>,
    order: BTreeMap<u64, TaskId>,
    of: HashMap<TaskId, u64>,
}

impl Observed {
    pub(super) fn changed(&mut self, task: &TaskId) {
        let number = self.last.borrow().number + 1;
        if let Some(before) = self.of.insert(task.clone(), number) {
            self.order.remove(&before);
        }
        self.order.insert(number, task.clone());
        self.last.send_modify(|newest| newest.number = number);
    }
}

impl Actor {
    /// Says when tasks of the session change.
    pub(super) fn observe(&mut self, session: &SessionId) -> watch::Receiver<Newest> {
        if !self.observed.contains_key(session) {
            let (last, order, of) = (watch::Sender::default(), BTreeMap::new(), HashMap::new());
            let mut observed = Observed { last, order, of };
            self.state.tasks_of(session).for_each(|task| observed.changed(task));
            self.observed.insert(session.clone(), observed);
        }
        self.observed
            .get(session)
            .map_or_else(|| watch::channel(Newest::default()).1, |all| all.last.subscribe())
    }

    /// The tasks that changed behind this change, and the number of the last one.
    pub(super) fn changed(&self, session: &SessionId, since: u64) -> (u64, Vec<Row>) {
        let Some(observed) = self.observed.get(session) else { return (since, Vec::new()) };
        let rows = self.changes(observed, since).map(|(_, row)| row);
        (observed.last.borrow().number, rows.collect())
    }

    /// Leaves with those who watch how the tasks stand at the end, for who could not ask in time.
    pub(super) fn leave_last(&self) {
        for observed in self.observed.values().filter(|all| all.last.receiver_count() > 0) {
            let at_end = self.changes(observed, 0).collect();
            observed.last.send_modify(|newest| newest.at_end = at_end);
        }
    }

    fn changes(&self, observed: &Observed, since: u64) -> impl Iterator<Item = (u64, Row)> {
        let places: HashMap<&TaskId, usize> = self.state.queued().zip(1..).collect();
        let tasks = observed.order.range(since + 1..);
        tasks.filter_map(move |(number, task)| {
            Some((*number, self.row(task, places.get(task).copied())?))
        })
    }

    /// How a task stands has changed: for whoever watches.
    pub(super) fn note(&mut self, task: &TaskId) {
        if let Some(observed) = self.observed.get_mut(&task.session) {
            observed.changed(task);
        }
    }
}
