//! The rules, operation by operation, as tables; whole lives in `machine`.

mod machine;
mod operations;

use super::{Phase, Slot, TasksState};
use crate::ids::{SessionId, TaskId};

impl TasksState {
    /// Slots that are taken, as they are counted and as tasks have them.
    fn slots(&self) -> (usize, usize) {
        let holds = |phase: &Phase| matches!(phase, Phase::Running(run) if matches!(run.slot, Slot::Asked | Slot::Held));
        (self.running, self.tasks.values().filter(|entry| holds(&entry.phase)).count())
    }

    /// Whether somebody waits for a slot who could have one.
    fn has_idle_slot(&self) -> bool {
        let can_begin = |task: &TaskId| self.sessions.contains_key(&task.session);
        let is_wanted = !self.returning.is_empty() || self.queue.values().any(can_begin);
        self.closing.is_none() && self.running < self.limits.running && is_wanted
    }
}

fn root() -> SessionId {
    SessionId::new("root")
}

fn task(session: &SessionId, number: u64) -> TaskId {
    TaskId { session: session.clone(), number }
}
