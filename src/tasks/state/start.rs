//! Admission: what may be started, reserved before it is recorded; and what one prompt may lead to.

use super::{Command, Effect, Entry, Phase, TasksState, Ticket};
use crate::ids::{MessageId, SessionId, TaskId};
use crate::tasks::{TaskError, TaskName};

/// Room for tasks that are being recorded. It is handed back in one way or another.
#[derive(Debug)]
pub(in crate::tasks) struct Reservation {
    pub(in crate::tasks) session: SessionId,
    prompt: MessageId,
    /// Of a task that is started here.
    pub(in crate::tasks) depth: u32,
    first: Ticket,
    wanted: usize,
    to_run: usize,
}

/// A task that is recorded.
#[derive(Debug, Clone)]
pub(in crate::tasks) struct Admitted {
    pub(in crate::tasks) task: TaskId,
    pub(in crate::tasks) child: SessionId,
}

impl TasksState {
    /// Reserves room for so many tasks, all or none.
    pub(in crate::tasks) fn admit(
        &mut self,
        session: &SessionId,
        prompt: &MessageId,
        wanted: usize,
    ) -> Result<Reservation, TaskError> {
        if wanted == 0 {
            return Err(TaskError::NoTasks);
        }
        let depth = self.depth_below(session)?;
        if depth > self.limits.depth {
            return Err(TaskError::Depth { limit: self.limits.depth });
        }
        let to_run = wanted.min(self.free());
        let to_queue = wanted - to_run;
        let queued = self.queue.len() + self.starting.len() + self.to_queue;
        let most = usize::try_from(self.limits.queued).unwrap_or(usize::MAX);
        if to_queue > 0 && queued + to_queue > most {
            return Err(TaskError::Full { queued, wanted: to_queue, limit: self.limits.queued });
        }
        let chain = self.chains.entry(prompt.clone()).or_default();
        let started = u32::try_from(wanted).unwrap_or(u32::MAX).saturating_add(chain.tasks);
        if started > self.limits.per_prompt {
            let limit = self.limits.per_prompt;
            return Err(TaskError::PerPrompt { started: chain.tasks, wanted, limit });
        }
        let limit = self.limits.tokens_per_prompt;
        if chain.tokens >= limit {
            return Err(TaskError::Tokens { spent: chain.tokens, limit });
        }
        chain.tasks = started;
        self.to_run += to_run;
        self.to_queue += to_queue;
        let first = self.tickets + 1;
        self.tickets += wanted as u64;
        let (session, prompt) = (session.clone(), prompt.clone());
        Ok(Reservation { session, prompt, depth, first, wanted, to_run })
    }

    /// They could not be recorded.
    pub(in crate::tasks) fn not_admitted(&mut self, reservation: &Reservation) {
        self.unreserve(reservation);
        self.uncount(&reservation.prompt, reservation.wanted);
        self.fill();
        self.look_at_the_end();
    }

    /// They are recorded. Those that were there before stay as they are: they were asked for again.
    pub(in crate::tasks) fn admitted(&mut self, reservation: &Reservation, tasks: Vec<Admitted>) {
        self.unreserve(reservation);
        let ended = self.ended_meanwhile(reservation);
        let mut known = 0;
        let mut added = Vec::new();
        for (admitted, ticket) in tasks.into_iter().zip(reservation.first..) {
            let task = admitted.task;
            if self.tasks.contains_key(&task) {
                known += 1;
                continue;
            }
            let entry = Entry {
                name: self.name_below(&task),
                child: admitted.child.clone(),
                prompt: reservation.prompt.clone(),
                depth: reservation.depth,
                attempts: 0,
                phase: Phase::Queued { ticket },
                waited: std::collections::BTreeSet::new(),
                asked: Vec::new(),
                unheard: Vec::new(),
                was_left: false,
            };
            self.doers.insert(admitted.child, task.clone());
            self.tasks.insert(task.clone(), entry);
            self.queue.insert(ticket, task.clone());
            if let Some(reason) = &ended {
                self.say(Effect::Card(task.clone()));
                self.end_one(&task, reason);
            } else {
                added.push(task);
            }
        }
        self.uncount(&reservation.prompt, known);
        // Those that find a slot are shown as running at once.
        self.fill();
        for task in added {
            self.say(Effect::Card(task));
        }
        self.look_at_the_end();
    }

    /// All tasks of a session are cancelled: those that are being recorded now end as soon as they are.
    pub(in crate::tasks) fn cancel_recorded(&mut self, session: &SessionId, reason: &str) {
        if self.to_run + self.to_queue > 0 {
            self.cancelled.insert(session.clone(), (self.tickets, reason.to_owned()));
        }
    }

    /// Why tasks that were being recorded are to end before they begin.
    fn ended_meanwhile(&self, reservation: &Reservation) -> Option<String> {
        if self.closing.is_some() || self.depth_below(&reservation.session).is_err() {
            return Some("its session has ended".to_owned());
        }
        let cancelled = self.cancelled.get(&reservation.session);
        let cancelled = cancelled.filter(|(last, _)| reservation.first <= *last);
        let cancelled = cancelled.map(|(_, reason)| reason.clone());
        cancelled.or_else(|| self.overspent(&reservation.prompt).map(|spent| self.too_much(spent)))
    }

    /// What the tasks of a prompt have taken, where that is more than is allowed.
    pub(super) fn overspent(&self, prompt: &MessageId) -> Option<u64> {
        let spent = self.chains.get(prompt)?.tokens;
        (spent >= self.limits.tokens_per_prompt).then_some(spent)
    }

    fn too_much(&self, spent: u64) -> String {
        let limit = self.limits.tokens_per_prompt;
        format!(
            "the tasks of this prompt have taken {spent} tokens, the most is {limit} \
             (`tasks.max_tokens_per_prompt`)"
        )
    }

    /// A task took so many tokens. Where its prompt has led to more than is allowed, all that it led to ends.
    pub(in crate::tasks) fn spent(&mut self, task: &TaskId, tokens: u64) {
        let Some(prompt) = self.tasks.get(task).map(|entry| entry.prompt.clone()) else { return };
        let chain = self.chains.entry(prompt.clone()).or_default();
        chain.tokens = chain.tokens.saturating_add(tokens);
        let Some(spent) = self.overspent(&prompt) else { return };
        let message = self.too_much(spent);
        let of_chain =
            |(task, entry): (&TaskId, &Entry)| (entry.prompt == prompt).then(|| task.clone());
        let all: Vec<TaskId> = self.tasks.iter().filter_map(of_chain).collect();
        for task in all {
            if let Some(run) = self.run_mut(&task)
                && run.begun
            {
                if !run.is_ending {
                    run.is_ending = true;
                    let message = message.clone();
                    self.say(Effect::Order(task.clone(), Command::Fail { message }));
                    self.settle(&task);
                }
            } else if self.is_live(&task) {
                self.end_one(&task, &message);
            }
        }
        self.fill();
    }

    /// As the root session names a task.
    pub(super) fn name_below(&self, task: &TaskId) -> TaskName {
        let doer = self.doers.get(&task.session).and_then(|doer| self.tasks.get(doer));
        doer.map_or_else(|| TaskName::of(task.number), |doer| doer.name.below(task.number))
    }

    /// How deep a task of this session is.
    fn depth_below(&self, session: &SessionId) -> Result<u32, TaskError> {
        if *session == self.root {
            return if self.closing.is_some() { Err(TaskError::Closed) } else { Ok(1) };
        }
        let doer = self.doers.get(session).ok_or(TaskError::Closed)?;
        match self.tasks.get(doer) {
            Some(Entry { phase: Phase::Running(run), depth, .. })
                if !run.is_ending && self.closing.is_none() =>
            {
                Ok(depth + 1)
            }
            _ => Err(TaskError::Closed),
        }
    }

    /// Slots that a task that is started now would get.
    fn free(&self) -> usize {
        if !self.queue.is_empty() || self.to_queue > 0 {
            return 0;
        }
        let taken = self.running + self.returning.len() + self.to_run;
        self.limits.running.saturating_sub(taken)
    }

    fn unreserve(&mut self, reservation: &Reservation) {
        self.to_run -= reservation.to_run;
        self.to_queue -= reservation.wanted - reservation.to_run;
    }

    fn uncount(&mut self, prompt: &MessageId, tasks: usize) {
        if let Some(chain) = self.chains.get_mut(prompt) {
            chain.tasks = chain.tasks.saturating_sub(u32::try_from(tasks).unwrap_or(u32::MAX));
        }
    }
}
