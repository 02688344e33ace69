//! Sessions that come and go, what each was told, what was found when the first came, and how what was
//! interrupted goes on.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{AskId, Asked, Effect, Entry, Phase, TasksState};
use crate::config::Resume;
use crate::ids::{MessageId, SessionId, TaskId};
use crate::tasks::engine::State;
use crate::tasks::{Past, TaskError, TaskName};

/// A session that has been there. It can have children as long as it is known, told or not.
#[derive(Debug, Default)]
pub(super) struct Session {
    is_attached: bool,
    /// Ends that it knows, or will.
    told: HashSet<u64>,
    /// Those of them that are still to be said, and whether they are news: the session was there.
    owed: HashMap<u64, bool>,
}

impl Session {
    /// Whether it is to be told of this task's end now.
    pub(super) fn tell(&mut self, number: u64, is_fresh: bool) -> bool {
        let is_told = self.is_attached && self.told.insert(number);
        if is_told {
            self.owed.insert(number, is_fresh);
        }
        is_told
    }
}

/// A task as the engine had it when the root session was opened.
#[derive(Debug, Clone)]
pub(in crate::tasks) struct Found {
    pub(in crate::tasks) task: TaskId,
    pub(in crate::tasks) child: SessionId,
    pub(in crate::tasks) prompt: MessageId,
    pub(in crate::tasks) depth: u32,
    pub(in crate::tasks) state: State,
    pub(in crate::tasks) attempts: u64,
    pub(in crate::tasks) tokens: u64,
}

/// What is to become of interrupted tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tasks) enum Interrupted {
    Stay,
    GoOn,
    End,
}

impl From<Resume> for Interrupted {
    fn from(resume: Resume) -> Self {
        match resume {
            Resume::Ask => Self::Stay,
            Resume::Auto => Self::GoOn,
            Resume::Never => Self::End,
        }
    }
}

impl TasksState {
    /// Takes in what the engine had, a task before those below it.
    pub(in crate::tasks) fn found(&mut self, found: Vec<Found>) {
        for found in found {
            let Found { task, child, prompt, depth, state, attempts, tokens } = found;
            if self.tasks.contains_key(&task) {
                continue;
            }
            let chain = self.chains.entry(prompt.clone()).or_default();
            chain.tasks = chain.tasks.saturating_add(1);
            chain.tokens = chain.tokens.saturating_add(tokens);
            let above = self.doers.get(&task.session).map(|doer| self.state(doer));
            // What waits below an interrupted task waits for that.
            let phase = match state {
                State::Queued if above.is_none_or(|above| above == State::Queued) => {
                    Phase::Queued { ticket: self.next_ticket() }
                }
                State::Completed | State::Failed | State::Cancelled => Phase::Final(state),
                State::Queued | State::Running | State::Waiting | State::Interrupted => {
                    Phase::Interrupted
                }
            };
            if let Phase::Queued { ticket } = &phase {
                self.queue.insert(*ticket, task.clone());
            }
            let entry = Entry {
                name: self.name_below(&task),
                child: child.clone(),
                prompt,
                depth,
                attempts,
                phase,
                waited: BTreeSet::new(),
                asked: Vec::new(),
                unheard: Vec::new(),
                was_left: false,
            };
            self.doers.insert(child, task.clone());
            self.tasks.insert(task.clone(), entry);
            if above.is_some_and(State::is_final) && !state.is_final() {
                self.end_one(&task, "the task that started it has ended");
            }
        }
    }

    /// What a session that attaches knows of numbers.
    pub(in crate::tasks) fn past(&mut self, session: &SessionId, past: Past) {
        self.pasts.insert(session.clone(), past);
    }

    /// Its new tasks have numbers above this one.
    pub(in crate::tasks) fn floor(&self, session: &SessionId) -> u64 {
        self.pasts.get(session).map_or(0, |past| past.highest)
    }

    pub(super) fn unknown(&self, session: &SessionId, name: &TaskName, number: u64) -> TaskError {
        let name = name.to_string();
        match self.pasts.get(session).and_then(|past| past.copied.as_ref()) {
            Some((from, highest)) if number <= *highest => {
                TaskError::Copied { name, session: from.to_string() }
            }
            _ => TaskError::Unknown { name },
        }
    }

    /// A session is there, and knows of these ends. It is told of the others.
    pub(in crate::tasks) fn attach(
        &mut self,
        session: &SessionId,
        reported: &BTreeSet<u64>,
        interrupted: Interrupted,
    ) {
        let told: HashSet<u64> = reported.iter().copied().collect();
        self.sessions
            .insert(session.clone(), Session { is_attached: true, told, owed: HashMap::new() });
        let tasks: Vec<TaskId> = self.tasks_of(session).cloned().collect();
        let mut goes_on = Vec::new();
        for task in tasks {
            match self.tasks.get(&task).map(|entry| &entry.phase) {
                Some(Phase::Final(_)) => {
                    let session = self.sessions.get_mut(session);
                    if session.is_some_and(|session| session.tell(task.number, false)) {
                        // The first request of its model may be on its way already.
                        self.is_unheard(&task, 0);
                        self.say(Effect::Report(task));
                    }
                }
                // Its end was told, and could not be written before the process ended.
                Some(Phase::Interrupted) if reported.contains(&task.number) => {
                    self.end_one(&task, "it had ended when its process did");
                }
                Some(Phase::Interrupted) => match interrupted {
                    Interrupted::Stay => self.say(Effect::Card(task)),
                    Interrupted::GoOn => goes_on.push(task),
                    Interrupted::End => {
                        if let Some(entry) = self.tasks.get_mut(&task) {
                            entry.was_left = true;
                        }
                        self.end_one(
                            &task,
                            "its process ended, and `delegation.resume` is `never`",
                        );
                    }
                },
                Some(
                    Phase::Queued { .. }
                    | Phase::Running(_)
                    | Phase::Ending { .. }
                    | Phase::Resuming,
                ) => self.say(Effect::Card(task)),
                None => {}
            }
        }
        if !goes_on.is_empty() {
            self.resume(&goes_on);
        }
        self.fill();
    }

    /// Where the session of a task waits to be told of its end, whether that is news to it. It is told now,
    /// and never again.
    pub(in crate::tasks) fn takes_report(&mut self, task: &TaskId) -> Option<bool> {
        let session = self.sessions.get_mut(&task.session).filter(|session| session.is_attached)?;
        session.owed.remove(&task.number)
    }

    /// A session goes, and its tasks go on. Whoever attaches is told of what ends until then.
    pub(in crate::tasks) fn detach(&mut self, session: &SessionId) {
        if let Some(session) = self.sessions.get_mut(session) {
            session.is_attached = false;
        }
    }

    /// Lets interrupted tasks go on, with those below them, and with the interrupted ones that they are
    /// below of. Those whose prompt has taken too much stay. Answered with `Done`.
    pub(in crate::tasks) fn resume(&mut self, tasks: &[TaskId]) -> AskId {
        let tops: Vec<TaskId> = tasks.iter().map(|task| self.interrupted_top(task)).collect();
        let mut all = self.with_descendants(&tops);
        all.retain(|task| {
            let phase = self.tasks.get(task).map(|entry| &entry.phase);
            self.closing.is_none() && matches!(phase, Some(Phase::Interrupted))
        });
        let is_over = |task: &TaskId| self.too_much_for(task).is_some();
        let (stay, all): (Vec<TaskId>, Vec<TaskId>) = all.into_iter().partition(is_over);
        let error = stay.first().and_then(|task| self.too_much_for(task));
        for task in stay {
            self.say(Effect::Card(task));
        }
        let ask = self.next_number();
        for task in &all {
            if let Some(entry) = self.tasks.get_mut(task) {
                entry.phase = Phase::Resuming;
                entry.was_left = false;
                entry.asked.push(ask);
            }
            self.say(Effect::Resume(task.clone()));
        }
        if all.is_empty() {
            self.say(Effect::Done(ask, error));
        } else {
            let left = all.into_iter().collect();
            self.asks.insert(ask, Asked { left, error });
        }
        ask
    }

    /// Why a task is not resumed: its prompt has led to more than is allowed.
    fn too_much_for(&self, task: &TaskId) -> Option<TaskError> {
        let entry = self.tasks.get(task)?;
        let spent = self.overspent(&entry.prompt)?;
        let limit = self.limits.tokens_per_prompt;
        Some(TaskError::Overspent { name: entry.name.to_string(), spent, limit })
    }

    /// The engine has queued it again, or has it in another state.
    pub(in crate::tasks) fn resumed(&mut self, task: &TaskId, answer: Result<State, TaskError>) {
        let ticket = self.next_ticket();
        let can_begin = self.is_below_live(task);
        let mut goes_on = false;
        let Some(entry) = self.tasks.get_mut(task) else { return };
        if !matches!(entry.phase, Phase::Resuming) {
            return;
        }
        match answer {
            Ok(state) if state.is_final() => return self.ended(task, state, 0),
            Ok(_) if can_begin => {
                entry.phase = Phase::Queued { ticket };
                self.queue.insert(ticket, task.clone());
                goes_on = true;
            }
            Ok(_) => entry.phase = Phase::Interrupted,
            Err(why) => {
                entry.phase = Phase::Interrupted;
                self.answer_asks(task, Some(&why));
            }
        }
        // One that finds a slot is shown, and said to be, running at once.
        let is_live = self.is_live(task);
        if is_live {
            self.fill();
        }
        self.say(Effect::Card(task.clone()));
        if goes_on {
            self.answer_asks(task, None);
        }
        if !is_live {
            self.stop_below(task);
            self.is_over(task);
        }
    }

    fn interrupted_top(&self, task: &TaskId) -> TaskId {
        let mut top = task;
        while let Some(doer) = self.doers.get(&top.session)
            && self.tasks.get(doer).is_some_and(|entry| matches!(entry.phase, Phase::Interrupted))
        {
            top = doer;
        }
        top.clone()
    }
}
