//! Ends: a task's own, those that are asked for, and that of them all; and what each entails.

use std::collections::BTreeSet;

use super::{AskId, Asked, Closing, Command, Effect, Phase, Run, State, TasksState};
use crate::ids::{SessionId, TaskId};
use crate::tasks::TaskError;

impl TasksState {
    /// A task is final, and that is written. `parent_steps`: the replies that its parent's model has made.
    pub(in crate::tasks) fn ended(&mut self, task: &TaskId, state: State, parent_steps: u64) {
        let Some(entry) = self.tasks.get_mut(task) else { return };
        if matches!(entry.phase, Phase::Final(_)) {
            return;
        }
        let is_fresh = !entry.was_left;
        let phase = std::mem::replace(&mut entry.phase, Phase::Final(state));
        self.left(task, phase);
        self.end_below(task);
        let session = self.sessions.get_mut(&task.session);
        if session.is_some_and(|session| session.tell(task.number, is_fresh)) {
            self.say(Effect::Report(task.clone()));
            self.is_unheard(task, parent_steps);
        }
        self.say(Effect::Card(task.clone()));
        self.is_over(task);
    }

    /// A report is told to a session whose model has made so many replies.
    pub(super) fn is_unheard(&mut self, task: &TaskId, steps: u64) {
        if let Some(doer) = self.doers.get(&task.session).cloned()
            && let Some(entry) = self.tasks.get_mut(&doer)
        {
            entry.unheard.push((task.number, steps));
        }
    }

    /// Its runner has stopped, or never began: the task can be resumed.
    pub(in crate::tasks) fn stopped(&mut self, task: &TaskId) {
        let Some(entry) = self.tasks.get_mut(task) else { return };
        let Phase::Running(run) = &entry.phase else { return };
        let is_cancelled = run.is_ending && self.closing != Some(Closing::Abandon);
        let phase = std::mem::replace(&mut entry.phase, Phase::Interrupted);
        self.left(task, phase);
        if is_cancelled {
            self.end_one(task, "it was cancelled");
            return self.fill();
        }
        self.stop_below(task);
        self.say(Effect::Card(task.clone()));
        self.is_over(task);
    }

    /// The end of a task without a runner could not be written: it is what it was.
    pub(in crate::tasks) fn not_ended(&mut self, task: &TaskId, why: &TaskError) {
        let can_begin = self.is_below_live(task);
        let Some(entry) = self.tasks.get_mut(task) else { return };
        let Phase::Ending { ticket } = &entry.phase else { return };
        match *ticket {
            Some(ticket) if can_begin => {
                entry.phase = Phase::Queued { ticket };
                self.queue.insert(ticket, task.clone());
                self.say(Effect::Places);
            }
            Some(_) | None => entry.phase = Phase::Interrupted,
        }
        self.answer_asks(task, Some(why));
        if !self.is_live(task) {
            self.stop_below(task);
            self.is_over(task);
        }
        self.fill();
        self.look_at_the_end();
    }

    /// Ends these tasks with all below them. Answered with `Done`.
    pub(in crate::tasks) fn cancel(&mut self, tasks: &[TaskId], reason: &str) -> AskId {
        let all = self.with_descendants(tasks);
        let ask = self.next_number();
        let is_final = |task: &TaskId| self.state(task).is_final();
        let left: BTreeSet<TaskId> = all.iter().filter(|task| !is_final(task)).cloned().collect();
        for task in &left {
            if let Some(entry) = self.tasks.get_mut(task) {
                entry.asked.push(ask);
            }
        }
        let is_done = left.is_empty();
        self.asks.insert(ask, Asked { left, error: None });
        for task in &all {
            self.end_one(task, reason);
        }
        if is_done {
            self.asks.remove(&ask);
            self.say(Effect::Done(ask, None));
        }
        self.fill();
        ask
    }

    /// Ends the task that `child` does, with all below it, unless nothing happens to it by itself any more.
    /// Whether it is below the session `above`.
    pub(in crate::tasks) fn cancel_child(
        &mut self,
        above: &SessionId,
        child: &SessionId,
        reason: &str,
    ) -> bool {
        let Some(task) = self.doers.get(child).cloned() else { return false };
        let mut top = &task;
        while top.session != *above {
            let Some(doer) = self.doers.get(&top.session) else { return false };
            top = doer;
        }
        if self.is_live(&task) {
            // Nobody waits for its end.
            let _ask = self.cancel(&[task], reason);
        }
        true
    }

    /// Ends all that is not interrupted, and then says so.
    pub(in crate::tasks) fn close(&mut self) {
        if self.closing == Some(Closing::Abandon) {
            return;
        }
        self.closing = Some(Closing::Close);
        let all: Vec<TaskId> = self.tasks.keys().cloned().collect();
        for task in all {
            if self.is_live(&task) {
                self.end_one(&task, "the session was closed");
            }
        }
        self.look_at_the_end();
    }

    /// Stops all where they are, and then says so.
    pub(in crate::tasks) fn abandon(&mut self) {
        self.closing = Some(Closing::Abandon);
        let all: Vec<TaskId> = self.tasks.keys().cloned().collect();
        for task in all {
            self.stop(&task);
        }
        self.look_at_the_end();
    }

    /// Ends one task, whatever it does.
    pub(super) fn end_one(&mut self, task: &TaskId, reason: &str) {
        let reason = reason.to_owned();
        let Some(entry) = self.tasks.get_mut(task) else { return };
        match &mut entry.phase {
            Phase::Final(_) | Phase::Ending { .. } => {}
            Phase::Running(run) if run.begun => {
                if !run.is_ending {
                    run.is_ending = true;
                    self.say(Effect::Order(task.clone(), Command::Cancel { reason }));
                    self.settle(task);
                }
            }
            Phase::Queued { .. } | Phase::Running(_) | Phase::Interrupted | Phase::Resuming => {
                let ticket = self.leave_queue(task);
                if let Some(entry) = self.tasks.get_mut(task) {
                    entry.phase = Phase::Ending { ticket };
                }
                self.say(Effect::End { task: task.clone(), reason });
            }
        }
    }

    /// Takes a task that has not begun out of what waits for a slot.
    fn leave_queue(&mut self, task: &TaskId) -> Option<u64> {
        let entry = self.tasks.get_mut(task)?;
        let ticket = match &entry.phase {
            Phase::Queued { ticket } => {
                let ticket = *ticket;
                self.queue.remove(&ticket);
                ticket
            }
            Phase::Running(Run { begun: false, ticket, slot, .. }) => {
                let (ticket, slot) = (*ticket, *slot);
                self.starting.remove(&ticket);
                self.free_slot(task, slot);
                ticket
            }
            Phase::Running(_)
            | Phase::Ending { .. }
            | Phase::Resuming
            | Phase::Interrupted
            | Phase::Final(_) => return None,
        };
        self.say(Effect::Places);
        Some(ticket)
    }

    /// Stops one task where it is; the engine finds it as it was left.
    fn stop(&mut self, task: &TaskId) {
        let Some(entry) = self.tasks.get_mut(task) else { return };
        match &mut entry.phase {
            Phase::Running(run) if run.begun => {
                run.is_ending = true;
                self.say(Effect::Order(task.clone(), Command::Stop));
                self.settle(task);
            }
            Phase::Queued { .. } | Phase::Running(_) => {
                self.leave_queue(task);
                if let Some(entry) = self.tasks.get_mut(task) {
                    entry.phase = Phase::Interrupted;
                }
                self.stop_below(task);
                self.say(Effect::Card(task.clone()));
                self.is_over(task);
            }
            Phase::Ending { .. } | Phase::Resuming | Phase::Interrupted | Phase::Final(_) => {}
        }
    }

    /// What is below a task that does not run waits until it does again.
    pub(super) fn stop_below(&mut self, task: &TaskId) {
        let Some(child) = self.tasks.get(task).map(|entry| entry.child.clone()) else { return };
        self.sessions.remove(&child);
        let below: Vec<TaskId> = self.tasks_of(&child).cloned().collect();
        for task in below {
            self.stop(&task);
        }
    }

    /// What a task held is free: its slot, its place, its questions and waits.
    fn left(&mut self, task: &TaskId, phase: Phase) {
        match phase {
            Phase::Queued { ticket } => {
                self.queue.remove(&ticket);
                self.say(Effect::Places);
            }
            Phase::Running(run) => {
                if !run.begun {
                    self.starting.remove(&run.ticket);
                }
                self.free_slot(task, run.slot);
                for call in run.questions {
                    self.say(Effect::Withdraw { task: task.clone(), call });
                }
                for deferred in run.deferred {
                    match deferred {
                        super::Deferred::Over(wait) => self.say(Effect::Over(wait)),
                        super::Deferred::Collect(wait) => self.say(Effect::Collect(wait)),
                        super::Deferred::Answer { .. } | super::Deferred::GoOn => {}
                    }
                }
            }
            Phase::Ending { .. } | Phase::Resuming | Phase::Interrupted | Phase::Final(_) => {}
        }
    }

    /// Whoever waits for a task that is over, or was stopped, goes on.
    pub(super) fn is_over(&mut self, task: &TaskId) {
        self.tell_waits(task);
        self.answer_asks(task, None);
        if let Some(doer) = self.doers.get(&task.session).cloned()
            && !self.has_live(&task.session)
        {
            self.tasks_ended(&doer);
        }
        self.fill();
        self.look_at_the_end();
    }

    /// Operations that wait for this task wait no more.
    pub(super) fn answer_asks(&mut self, task: &TaskId, why: Option<&TaskError>) {
        let asked = self.tasks.get_mut(task).map(|entry| std::mem::take(&mut entry.asked));
        for ask in asked.unwrap_or_default() {
            self.answered(ask, task, why.cloned());
        }
    }

    fn answered(&mut self, ask: AskId, task: &TaskId, error: Option<TaskError>) {
        let Some(asked) = self.asks.get_mut(&ask) else { return };
        asked.left.remove(task);
        if error.is_some() {
            asked.error = error;
        }
        if asked.left.is_empty()
            && let Some(asked) = self.asks.remove(&ask)
        {
            self.say(Effect::Done(ask, asked.error));
        }
    }

    /// A task's own tasks end with it.
    fn end_below(&mut self, task: &TaskId) {
        let Some(child) = self.tasks.get(task).map(|entry| entry.child.clone()) else { return };
        self.sessions.remove(&child);
        let below: Vec<TaskId> = self.tasks_of(&child).cloned().collect();
        for task in below {
            self.end_one(&task, "the task that started it has ended");
        }
    }

    /// These tasks and all below them, each once.
    pub(super) fn with_descendants(&self, tasks: &[TaskId]) -> Vec<TaskId> {
        let mut all: Vec<TaskId> = Vec::new();
        let mut seen: BTreeSet<TaskId> = BTreeSet::new();
        let mut left: Vec<TaskId> = tasks.iter().rev().cloned().collect();
        while let Some(task) = left.pop() {
            if !seen.insert(task.clone()) {
                continue;
            }
            let child: Option<&SessionId> = self.child(&task);
            left.extend(child.into_iter().flat_map(|child| self.tasks_of(child).rev()).cloned());
            all.push(task);
        }
        all
    }

    /// Says once that nothing runs any more, where that is wanted.
    pub(super) fn look_at_the_end(&mut self) {
        let Some(closing) = self.closing else { return };
        let goes_on = |phase: &Phase| match phase {
            Phase::Running(_) => true,
            Phase::Ending { .. } | Phase::Resuming => closing == Closing::Close,
            Phase::Queued { .. } | Phase::Interrupted | Phase::Final(_) => false,
        };
        let is_recording = closing == Closing::Close && self.to_run + self.to_queue > 0;
        if !is_recording && !self.tasks.values().any(|entry| goes_on(&entry.phase)) {
            self.say(Effect::Closed);
        }
    }
}
