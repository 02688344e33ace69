//! The rules of all tasks below one root session: who may start them, which run, what waits for what, and
//! what an end entails. Synchronous and without I/O; what is to be done comes out as [`Effect`]s, in order.

mod ends;
mod sessions;
mod slots;
mod start;
mod waits;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::{Past, TaskError, TaskName, Wait};
use crate::config::{DelegationSection, TasksSection};
use crate::ids::{CallId, MessageId, SessionId, TaskId};
use crate::permission::Answer;
use crate::tasks::engine::State;

pub(super) use sessions::{Found, Interrupted};
pub(super) use start::{Admitted, Reservation};

/// A wait that was begun.
pub(super) type WaitId = u64;
/// An operation that is answered when tasks have changed.
pub(super) type AskId = u64;
/// The order in which tasks were asked for.
type Ticket = u64;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// A place among all tasks of the process is wanted: [`TasksState::permitted`].
    Permit(TaskId),
    /// That place is free again.
    Release(TaskId),
    /// Its runner is to begin.
    Run(TaskId),
    /// For its runner.
    Order(TaskId, Command),
    /// It has no runner and is to end: [`TasksState::ended`] or [`TasksState::not_ended`].
    End { task: TaskId, reason: String },
    /// It is to be queued again: [`TasksState::resumed`].
    Resume(TaskId),
    /// How it stands has changed.
    Card(TaskId),
    /// Places in the queue have changed.
    Places,
    /// The question is settled, and nobody's answer is wanted any more.
    Withdraw { task: TaskId, call: CallId },
    /// Its session is told of its end.
    Report(TaskId),
    /// What was waited for has ended.
    Over(WaitId),
    /// The wait was ended by who waits, and is answered now.
    Collect(WaitId),
    /// The operation is carried out, or could not be.
    Done(AskId, Option<TaskError>),
    /// Nothing runs any more, and nothing will.
    Closed,
}

/// What a runner is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Answer { call: CallId, answer: Answer },
    GoOn,
    Finish,
    Cancel { reason: String },
    Fail { message: String },
    Stop,
}

/// What of the configuration the rules know.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) running: usize,
    pub(super) queued: u32,
    pub(super) depth: u32,
    pub(super) per_prompt: u32,
    pub(super) tokens_per_prompt: u64,
}

impl Limits {
    pub(super) fn new(delegation: &DelegationSection, tasks: &TasksSection) -> Self {
        Self {
            // None at all would let every task wait for ever.
            running: usize::try_from(delegation.max_concurrent_children)
                .unwrap_or(usize::MAX)
                .max(1),
            queued: delegation.max_queued,
            depth: delegation.max_spawn_depth,
            per_prompt: tasks.max_per_prompt,
            tokens_per_prompt: tasks.max_tokens_per_prompt,
        }
    }
}

/// The tasks below one root session.
#[derive(Debug)]
pub(super) struct TasksState {
    root: SessionId,
    limits: Limits,
    tasks: BTreeMap<TaskId, Entry>,
    /// Which task a session does.
    doers: HashMap<SessionId, TaskId>,
    sessions: HashMap<SessionId, sessions::Session>,
    pasts: HashMap<SessionId, Past>,
    queue: BTreeMap<Ticket, TaskId>,
    /// At the head of the queue, and waiting for a place in the process.
    starting: BTreeMap<Ticket, TaskId>,
    /// They gave their slots back, and want them again: before anyone in the queue.
    returning: VecDeque<TaskId>,
    /// Slots that are taken.
    running: usize,
    tickets: Ticket,
    /// Of tasks that are being recorded: how many will run, how many will be queued.
    to_run: usize,
    to_queue: usize,
    /// One for each prompt that a task goes back to, as long as the session is there: a prompt's turn may
    /// start another at any time, and so may an interrupted task that goes on, or the turn on a report.
    chains: HashMap<MessageId, Chain>,
    /// Sessions of which all tasks were cancelled: up to which ticket that holds for those that were being
    /// recorded, and why.
    cancelled: HashMap<SessionId, (Ticket, String)>,
    waits: HashMap<WaitId, waits::Entry>,
    asks: HashMap<AskId, Asked>,
    numbers: u64,
    closing: Option<Closing>,
    effects: VecDeque<Effect>,
}

/// What one prompt of the user has led to.
#[derive(Debug, Default)]
struct Chain {
    tasks: u32,
    tokens: u64,
}

/// An operation that waits for these tasks.
#[derive(Debug)]
struct Asked {
    left: BTreeSet<TaskId>,
    error: Option<TaskError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    Close,
    Abandon,
}

#[derive(Debug)]
struct Entry {
    /// As the root session names it.
    name: TaskName,
    child: SessionId,
    prompt: MessageId,
    depth: u32,
    /// How many attempts have begun.
    attempts: u64,
    phase: Phase,
    waited: BTreeSet<WaitId>,
    asked: Vec<AskId>,
    /// Reports of its own tasks that its model may not have seen, with the number of the model's replies
    /// when they were told.
    unheard: Vec<(u64, u64)>,
    /// Its process ended before it did, and it does not go on: its end is no news.
    was_left: bool,
}

#[derive(Debug)]
enum Phase {
    Queued {
        ticket: Ticket,
    },
    /// It has a slot, or had one; its runner is there if `begun`.
    Running(Run),
    /// It had no runner, and its end is being written. Where that fails, it is again what it was.
    Ending {
        ticket: Option<Ticket>,
    },
    Resuming,
    Interrupted,
    Final(State),
}

#[derive(Debug, Default)]
struct Run {
    ticket: Ticket,
    begun: bool,
    slot: Slot,
    /// Those that were not answered, oldest first.
    questions: Vec<CallId>,
    /// Waits of its session that are not over.
    waits: BTreeSet<WaitId>,
    /// It has said all that it had to say, and its own tasks run.
    is_idle: bool,
    /// It was told to end.
    is_ending: bool,
    /// What happens when it has its slot again.
    deferred: Vec<Deferred>,
}

impl Run {
    fn is_blocked(&self) -> bool {
        self.is_idle || !self.questions.is_empty() || !self.waits.is_empty()
    }
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Slot {
    #[default]
    None,
    /// It is among those that return.
    Wanted,
    /// It has one, and waits for a place in the process.
    Asked,
    Held,
}

#[derive(Debug, PartialEq, Eq)]
enum Deferred {
    Answer { call: CallId, answer: Answer },
    Over(WaitId),
    Collect(WaitId),
    GoOn,
}

impl TasksState {
    pub(super) fn new(root: SessionId, limits: Limits) -> Self {
        Self {
            root,
            limits,
            tasks: BTreeMap::new(),
            doers: HashMap::new(),
            sessions: HashMap::new(),
            pasts: HashMap::new(),
            queue: BTreeMap::new(),
            starting: BTreeMap::new(),
            returning: VecDeque::new(),
            running: 0,
            tickets: 0,
            to_run: 0,
            to_queue: 0,
            chains: HashMap::new(),
            cancelled: HashMap::new(),
            waits: HashMap::new(),
            asks: HashMap::new(),
            numbers: 0,
            closing: None,
            effects: VecDeque::new(),
        }
    }

    /// What is to be done next.
    pub(super) fn take_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    pub(super) fn root(&self) -> &SessionId {
        &self.root
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// The task that a session calls so.
    pub(super) fn find(&self, session: &SessionId, name: &TaskName) -> Result<TaskId, TaskError> {
        let mut session = session;
        let mut found = None;
        for number in name.path() {
            let task = TaskId { session: session.clone(), number: *number };
            let entry = self.tasks.get(&task);
            let entry = entry.ok_or_else(|| self.unknown(session, name, *number))?;
            session = &entry.child;
            found = Some(task);
        }
        found.ok_or_else(|| TaskError::Unknown { name: name.to_string() })
    }

    pub(super) fn state(&self, task: &TaskId) -> State {
        match self.tasks.get(task).map(|entry| &entry.phase) {
            None | Some(Phase::Interrupted | Phase::Resuming | Phase::Ending { ticket: None }) => {
                State::Interrupted
            }
            Some(Phase::Queued { .. } | Phase::Ending { ticket: Some(_) }) => State::Queued,
            Some(Phase::Running(run)) if !run.begun => State::Queued,
            Some(Phase::Running(run)) if !run.questions.is_empty() => State::Waiting,
            Some(Phase::Running(_)) => State::Running,
            Some(Phase::Final(state)) => *state,
        }
    }

    /// Whether it goes on as soon as the engine has it in the queue again.
    pub(super) fn is_resuming(&self, task: &TaskId) -> bool {
        self.tasks.get(task).is_some_and(|entry| matches!(entry.phase, Phase::Resuming))
    }

    /// Whether its runner is there.
    pub(super) fn has_runner(&self, task: &TaskId) -> bool {
        self.run(task).is_some_and(|run| run.begun)
    }

    /// Its place among those that wait for a slot, from 1.
    pub(super) fn place(&self, task: &TaskId) -> Option<usize> {
        let place = |tasks: &BTreeMap<Ticket, TaskId>, ticket| tasks.range(..=ticket).count();
        match &self.tasks.get(task)?.phase {
            Phase::Queued { ticket } => Some(self.starting.len() + place(&self.queue, *ticket)),
            Phase::Running(run) if !run.begun => Some(place(&self.starting, run.ticket)),
            Phase::Running(_)
            | Phase::Ending { .. }
            | Phase::Resuming
            | Phase::Interrupted
            | Phase::Final(_) => None,
        }
    }

    /// All that wait for a slot, in order.
    pub(super) fn queued(&self) -> impl Iterator<Item = &TaskId> {
        self.starting.values().chain(self.queue.values())
    }

    /// The tasks of a session, oldest first.
    pub(super) fn tasks_of(&self, session: &SessionId) -> impl DoubleEndedIterator<Item = &TaskId> {
        let bound = |number| TaskId { session: session.clone(), number };
        self.tasks.range(bound(0)..=bound(u64::MAX)).map(|(task, _)| task)
    }

    /// As the root session names it.
    pub(super) fn name(&self, task: &TaskId) -> TaskName {
        self.tasks.get(task).map_or_else(|| TaskName::of(task.number), |entry| entry.name.clone())
    }

    /// The number of the attempt that runs, ran last, or will be the first.
    pub(super) fn attempt(&self, task: &TaskId) -> u64 {
        let Some(entry) = self.tasks.get(task) else { return 1 };
        let is_to_begin = match &entry.phase {
            Phase::Queued { .. } => true,
            Phase::Running(run) => !run.begun,
            Phase::Ending { .. } | Phase::Resuming | Phase::Interrupted | Phase::Final(_) => false,
        };
        if is_to_begin { entry.attempts + 1 } else { entry.attempts.max(1) }
    }

    /// The session that does a task.
    pub(super) fn child(&self, task: &TaskId) -> Option<&SessionId> {
        self.tasks.get(task).map(|entry| &entry.child)
    }

    /// The task that a session does.
    pub(super) fn doer(&self, session: &SessionId) -> Option<&TaskId> {
        self.doers.get(session)
    }

    /// Whether the session that does it may have tasks of its own.
    pub(super) fn may_start(&self, task: &TaskId) -> bool {
        self.tasks.get(task).is_some_and(|entry| entry.depth < self.limits.depth)
    }

    /// The questions of a task that wait for the user, oldest first.
    pub(super) fn questions(&self, task: &TaskId) -> &[CallId] {
        self.run(task).map_or(&[], |run| &run.questions)
    }

    fn run(&self, task: &TaskId) -> Option<&Run> {
        match &self.tasks.get(task)?.phase {
            Phase::Running(run) => Some(run),
            Phase::Queued { .. }
            | Phase::Ending { .. }
            | Phase::Resuming
            | Phase::Interrupted
            | Phase::Final(_) => None,
        }
    }

    fn run_mut(&mut self, task: &TaskId) -> Option<&mut Run> {
        match &mut self.tasks.get_mut(task)?.phase {
            Phase::Running(run) => Some(run),
            Phase::Queued { .. }
            | Phase::Ending { .. }
            | Phase::Resuming
            | Phase::Interrupted
            | Phase::Final(_) => None,
        }
    }

    /// Whether something will still happen to it by itself.
    fn is_live(&self, task: &TaskId) -> bool {
        match self.tasks.get(task).map(|entry| &entry.phase) {
            None | Some(Phase::Interrupted | Phase::Final(_)) => false,
            Some(
                Phase::Queued { .. } | Phase::Running(_) | Phase::Ending { .. } | Phase::Resuming,
            ) => true,
        }
    }

    /// Whether the session whose task it is is there, or will be by itself.
    fn is_below_live(&self, task: &TaskId) -> bool {
        self.doers.get(&task.session).is_none_or(|doer| self.is_live(doer))
    }

    fn has_live(&self, session: &SessionId) -> bool {
        self.tasks_of(session).any(|task| self.is_live(task))
    }

    fn say(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn next_ticket(&mut self) -> Ticket {
        self.tickets += 1;
        self.tickets
    }
}
