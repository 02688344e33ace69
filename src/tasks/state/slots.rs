//! Slots: who has one, who gave it back, who is next. A task that waits holds none, and has it again
//! before anything that it waited for is told to it.

use super::{Closing, Command, Deferred, Effect, Phase, Run, Slot, TasksState};
use crate::ids::{CallId, TaskId};
use crate::permission::Answer;

impl TasksState {
    /// A place in the process is there for a task; false where it is not wanted any more.
    pub(in crate::tasks) fn permitted(&mut self, task: &TaskId) -> bool {
        let Some(run) = self.run_mut(task) else { return false };
        if run.slot != Slot::Asked {
            return false;
        }
        run.slot = Slot::Held;
        if run.begun {
            self.settle(task);
            return true;
        }
        run.begun = true;
        let ticket = run.ticket;
        self.starting.remove(&ticket);
        if let Some(entry) = self.tasks.get_mut(task) {
            entry.attempts += 1;
        }
        self.say(Effect::Run(task.clone()));
        self.say(Effect::Card(task.clone()));
        self.say(Effect::Places);
        true
    }

    pub(in crate::tasks) fn began(&mut self, task: &TaskId, attempt: u64) {
        if let Some(entry) = self.tasks.get_mut(task) {
            // One that did not begin counted as well: it had a card.
            entry.attempts = entry.attempts.max(attempt);
            self.say(Effect::Card(task.clone()));
        }
    }

    /// It waits for the user.
    pub(in crate::tasks) fn asks(&mut self, task: &TaskId, call: CallId) {
        let Some(run) = self.run_mut(task) else { return };
        if !run.questions.contains(&call) {
            run.questions.push(call);
        }
        self.say(Effect::Card(task.clone()));
        self.settle(task);
        self.fill();
    }

    /// A question is settled without an answer from here.
    pub(in crate::tasks) fn withdrawn(&mut self, task: &TaskId, call: &CallId) {
        let Some(run) = self.run_mut(task) else { return };
        let before = run.questions.len();
        run.questions.retain(|question| question != call);
        if run.questions.len() == before {
            return;
        }
        self.say(Effect::Withdraw { task: task.clone(), call: call.clone() });
        self.say(Effect::Card(task.clone()));
        self.settle(task);
        self.fill();
    }

    /// The user's answer; false where nothing asks so. It reaches the task when that has a slot.
    pub(in crate::tasks) fn answer(
        &mut self,
        task: &TaskId,
        call: &CallId,
        answer: Answer,
    ) -> bool {
        if answer == Answer::Unanswered {
            return false;
        }
        let Some(run) = self.run_mut(task) else { return false };
        let Some(place) = run.questions.iter().position(|question| question == call) else {
            return false;
        };
        let call = run.questions.remove(place);
        run.deferred.push(Deferred::Answer { call, answer });
        self.say(Effect::Card(task.clone()));
        self.settle(task);
        self.fill();
        true
    }

    /// It has said all that it had to say, with so many replies of its model.
    pub(in crate::tasks) fn idle(&mut self, task: &TaskId, steps: u64) {
        let Some(entry) = self.tasks.get_mut(task) else { return };
        // A reply behind the next answers a request that was made after the report was told.
        let is_unheard = entry.unheard.iter().any(|(_, told)| steps < told + 2);
        let child = entry.child.clone();
        if self.has_live(&child) {
            if let Some(run) = self.run_mut(task) {
                run.is_idle = true;
            }
            self.settle(task);
            self.fill();
            return;
        }
        if let Some(entry) = self.tasks.get_mut(task) {
            entry.unheard.clear();
        }
        if self.run(task).is_none_or(|run| run.is_ending) {
            return;
        }
        let command = if is_unheard { Command::GoOn } else { Command::Finish };
        self.say(Effect::Order(task.clone(), command));
    }

    /// Something else than its tasks' ends sets it to work again. It does not wait for its slot: whoever
    /// steers it would wait as well.
    pub(in crate::tasks) fn roused(&mut self, task: &TaskId) {
        let Some(run) = self.run_mut(task) else { return };
        if std::mem::take(&mut run.is_idle) {
            self.settle(task);
            self.fill();
        }
    }

    /// Its own tasks have ended: what they say is the last that it waited for.
    pub(super) fn tasks_ended(&mut self, task: &TaskId) {
        let Some(run) = self.run_mut(task) else { return };
        if std::mem::take(&mut run.is_idle) {
            run.deferred.push(Deferred::GoOn);
            if let Some(entry) = self.tasks.get_mut(task) {
                entry.unheard.clear();
            }
            self.settle(task);
        }
    }

    /// Brings a task's slot in line with what it waits for. Whoever calls this calls `fill` at last.
    pub(super) fn settle(&mut self, task: &TaskId) {
        let Some(run) = self.run_mut(task) else { return };
        if !run.begun {
            return;
        }
        let is_blocked = run.is_blocked();
        let gives_back = is_blocked || (run.is_ending && run.slot != Slot::Held);
        if gives_back {
            let slot = std::mem::take(&mut run.slot);
            self.free_slot(task, slot);
        } else if run.slot == Slot::None {
            run.slot = Slot::Wanted;
            self.returning.push_back(task.clone());
        }
        let Some(run) = self.run_mut(task) else { return };
        // What is deferred waits for the slot alone, not for something else that it waits for.
        if is_blocked || run.is_ending || run.slot == Slot::Held {
            for deferred in std::mem::take(&mut run.deferred) {
                self.perform(task, deferred);
            }
        }
    }

    fn perform(&mut self, task: &TaskId, deferred: Deferred) {
        let effect = match deferred {
            Deferred::Answer { call, answer } => {
                Effect::Order(task.clone(), Command::Answer { call, answer })
            }
            Deferred::Over(wait) => Effect::Over(wait),
            Deferred::Collect(wait) => Effect::Collect(wait),
            Deferred::GoOn => Effect::Order(task.clone(), Command::GoOn),
        };
        self.say(effect);
    }

    /// A slot that a task had, or wanted, is not its own any more.
    pub(super) fn free_slot(&mut self, task: &TaskId, slot: Slot) {
        match slot {
            Slot::None => {}
            Slot::Wanted => self.returning.retain(|returning| returning != task),
            Slot::Asked => self.running -= 1,
            Slot::Held => {
                self.running -= 1;
                self.say(Effect::Release(task.clone()));
            }
        }
    }

    /// Gives free slots to those that return, then to those that are queued.
    pub(super) fn fill(&mut self) {
        let mut has_moved = false;
        while self.running < self.limits.running {
            if let Some(task) = self.returning.pop_front() {
                self.running += 1;
                if let Some(run) = self.run_mut(&task) {
                    run.slot = Slot::Asked;
                }
                self.say(Effect::Permit(task));
                continue;
            }
            let Some((ticket, task)) = self.next_queued() else { break };
            self.queue.remove(&ticket);
            self.starting.insert(ticket, task.clone());
            self.running += 1;
            has_moved = true;
            if let Some(entry) = self.tasks.get_mut(&task) {
                entry.phase = Phase::Running(Run { ticket, slot: Slot::Asked, ..Run::default() });
            }
            self.say(Effect::Permit(task));
        }
        if has_moved && !self.queue.is_empty() {
            self.say(Effect::Places);
        }
    }

    /// The first in the queue whose session can have a child now.
    fn next_queued(&self) -> Option<(u64, TaskId)> {
        if matches!(self.closing, Some(Closing::Close | Closing::Abandon)) {
            return None;
        }
        let can_begin = |task: &TaskId| self.sessions.contains_key(&task.session);
        let mut queue = self.queue.iter();
        queue.find(|(_, task)| can_begin(task)).map(|(ticket, task)| (*ticket, task.clone()))
    }
}
