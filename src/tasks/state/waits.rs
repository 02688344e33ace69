//! Waits for tasks. While one lasts, the task whose session waits holds no slot.

use std::collections::BTreeSet;

use super::{Deferred, Effect, TasksState, Wait, WaitId};
use crate::ids::{SessionId, TaskId};

#[derive(Debug)]
pub(super) struct Entry {
    /// The task that waits; none where the root session does.
    waiter: Option<TaskId>,
    left: BTreeSet<TaskId>,
    kind: Wait,
    /// It was said, or will be with the slot.
    is_over: bool,
}

impl TasksState {
    /// Begins a wait. What will not change by itself has ended.
    pub(in crate::tasks) fn wait(
        &mut self,
        session: &SessionId,
        tasks: &[TaskId],
        kind: Wait,
    ) -> WaitId {
        let wait = self.next_number();
        let left: BTreeSet<TaskId> =
            tasks.iter().filter(|task| self.is_live(task)).cloned().collect();
        let is_over = is_over(kind, left.len(), tasks.len());
        if !is_over {
            for task in &left {
                if let Some(entry) = self.tasks.get_mut(task) {
                    entry.waited.insert(wait);
                }
            }
        }
        let waiter = self.doers.get(session).cloned();
        if is_over {
            self.say(Effect::Over(wait));
        } else if let Some(waiter) = &waiter
            && let Some(run) = self.run_mut(waiter)
        {
            run.waits.insert(wait);
            self.settle(waiter);
        }
        self.waits.insert(wait, Entry { waiter, left, kind, is_over });
        self.fill();
        wait
    }

    /// Whoever waits wants to know what there is.
    pub(in crate::tasks) fn collect(&mut self, wait: WaitId) {
        match self.end_wait(wait) {
            None => self.say(Effect::Collect(wait)),
            Some(waiter) => {
                if let Some(run) = self.run_mut(&waiter) {
                    run.deferred.push(Deferred::Collect(wait));
                    self.settle(&waiter);
                } else {
                    self.say(Effect::Collect(wait));
                }
            }
        }
        self.fill();
    }

    /// Nobody waits any more.
    pub(in crate::tasks) fn drop_wait(&mut self, wait: WaitId) {
        if let Some(waiter) = self.end_wait(wait) {
            self.settle(&waiter);
            self.fill();
        }
    }

    /// The reports of these tasks are given to the model of a session by a call.
    pub(in crate::tasks) fn gave(&mut self, session: &SessionId, tasks: &[TaskId]) {
        let Some(doer) = self.doers.get(session) else { return };
        if let Some(entry) = self.tasks.get_mut(doer) {
            let is_given =
                |number| tasks.iter().any(|task| task.session == *session && task.number == number);
            entry.unheard.retain(|(number, _)| !is_given(*number));
        }
    }

    /// A task has ended, for good or for now.
    pub(super) fn tell_waits(&mut self, task: &TaskId) {
        let Some(entry) = self.tasks.get_mut(task) else { return };
        for wait in std::mem::take(&mut entry.waited) {
            let Some(entry) = self.waits.get_mut(&wait) else { continue };
            let before = entry.left.len();
            entry.left.remove(task);
            if entry.is_over || !is_over(entry.kind, entry.left.len(), before) {
                continue;
            }
            entry.is_over = true;
            let waiter = entry.waiter.clone();
            if let Some(waiter) = waiter
                && let Some(run) = self.run_mut(&waiter)
            {
                run.waits.remove(&wait);
                run.deferred.push(Deferred::Over(wait));
                self.settle(&waiter);
            } else {
                self.say(Effect::Over(wait));
            }
        }
    }

    /// The task that waited, which is freed of the wait.
    fn end_wait(&mut self, wait: WaitId) -> Option<TaskId> {
        let entry = self.waits.remove(&wait)?;
        for task in &entry.left {
            if let Some(entry) = self.tasks.get_mut(task) {
                entry.waited.remove(&wait);
            }
        }
        let waiter = entry.waiter?;
        let run = self.run_mut(&waiter)?;
        run.waits.remove(&wait);
        run.deferred.retain(|deferred| *deferred != Deferred::Over(wait));
        Some(waiter)
    }
}

fn is_over(kind: Wait, left: usize, of: usize) -> bool {
    match kind {
        Wait::All => left == 0,
        Wait::Any => left < of || of == 0,
    }
}
