//! Whole lives of tasks: sessions, runners, an engine and a process-wide semaphore as models around the
//! rules, moved by any sequence of steps, with failures and crashes. What must hold always is looked at
//! after each step, what must hold in the end after everyone has done what they can.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, proptest};

use super::{root, task};
use crate::ids::{CallId, MessageId, SessionId, TaskId};
use crate::permission::Answer;
use crate::tasks::engine::State;
use crate::tasks::state::{
    Admitted, AskId, Command, Effect, Found, Interrupted, Limits, Reservation, TasksState, WaitId,
};
use crate::tasks::{TaskError, Wait};

/// A task as the engine has it.
#[derive(Debug, Clone)]
struct Row {
    state: State,
    child: SessionId,
    prompt: MessageId,
    depth: u32,
    attempts: u64,
}

/// What a runner does.
#[derive(Debug, Clone, PartialEq)]
enum Does {
    Claims,
    Works,
    Asks,
    Waits(WaitId),
    /// Its wait is over or given up, and its answer is to come.
    Collects(WaitId),
    Idles,
    Ends(State),
    Stops,
}

#[derive(Debug)]
struct Runner {
    does: Does,
    steps: u64,
    /// Reports that its model was not given.
    inbox: BTreeSet<u64>,
    /// It was steered while it was idle: it works before it has its slot.
    overruns: bool,
}

/// What is under way.
#[derive(Debug)]
enum Open {
    Submit { reservation: Reservation, session: SessionId, prompt: MessageId, places: Vec<u64> },
    End(TaskId),
    Resume(TaskId),
}

#[derive(Debug)]
struct Listens {
    is_attached: bool,
    /// What its journal has.
    reported: BTreeSet<u64>,
    /// What it was told since it attached.
    told: BTreeSet<u64>,
}

struct World {
    state: TasksState,
    limits: Limits,
    rows: BTreeMap<TaskId, Row>,
    runners: BTreeMap<TaskId, Runner>,
    open: VecDeque<Open>,
    sessions: HashMap<SessionId, Listens>,
    permits: usize,
    wanted: VecDeque<TaskId>,
    held: BTreeSet<TaskId>,
    /// In the order of admission, or of being resumed.
    queue: BTreeMap<u64, TaskId>,
    places: HashMap<TaskId, u64>,
    last_place: u64,
    waits: BTreeMap<WaitId, (SessionId, Vec<TaskId>)>,
    asks: BTreeMap<AskId, Option<Vec<TaskId>>>,
    /// Questions, with the number that makes each its own.
    questions: Vec<(TaskId, CallId)>,
    numbers: u64,
    is_closed: bool,
}

impl World {
    fn new(running: usize, permits: usize, depth: u32) -> Self {
        let limits = Limits { running, queued: 6, depth, per_prompt: 30, tokens_per_prompt: 1_000 };
        let mut world = Self {
            state: TasksState::new(root(), limits.clone()),
            limits,
            rows: BTreeMap::new(),
            runners: BTreeMap::new(),
            open: VecDeque::new(),
            sessions: HashMap::new(),
            permits,
            wanted: VecDeque::new(),
            held: BTreeSet::new(),
            queue: BTreeMap::new(),
            places: HashMap::new(),
            last_place: 0,
            waits: BTreeMap::new(),
            asks: BTreeMap::new(),
            questions: Vec::new(),
            numbers: 0,
            is_closed: false,
        };
        world.attach(&root(), Interrupted::Stay);
        world
    }

    fn attach(&mut self, session: &SessionId, interrupted: Interrupted) {
        let fresh =
            || Listens { is_attached: true, reported: BTreeSet::new(), told: BTreeSet::new() };
        let listens = self.sessions.entry(session.clone()).or_insert_with(fresh);
        listens.is_attached = true;
        listens.told.clear();
        let reported = listens.reported.clone();
        self.state.attach(session, &reported, interrupted);
        self.perform();
        // Nothing that ended and is not known stays unsaid.
        let listens = &self.sessions[session];
        for task in self.state.tasks_of(session) {
            if self.state.state(task).is_final() {
                assert!(
                    listens.reported.contains(&task.number),
                    "{task:?} ended and was not reported"
                );
            }
        }
    }

    fn perform(&mut self) {
        while let Some(effect) = self.state.take_effect() {
            self.do_one(effect);
        }
        // A semaphore gives places in the order in which they were asked for.
        while self.held.len() < self.permits
            && let Some(task) = self.wanted.pop_front()
        {
            if self.state.permitted(&task) {
                assert!(self.held.insert(task.clone()), "{task:?} has two places");
            }
            while let Some(effect) = self.state.take_effect() {
                self.do_one(effect);
            }
        }
    }

    fn do_one(&mut self, effect: Effect) {
        match effect {
            Effect::Permit(task) => {
                if !self.runners.contains_key(&task) {
                    self.leaves_queue(&task);
                }
                self.wanted.push_back(task);
            }
            Effect::Release(task) => assert!(self.held.remove(&task), "{task:?} had no place"),
            Effect::Run(task) => {
                let (does, inbox) = (Does::Claims, BTreeSet::new());
                let runner = Runner { does, steps: 0, inbox, overruns: false };
                assert!(self.runners.insert(task, runner).is_none(), "two runners");
            }
            Effect::Order(task, command) => self.order(&task, &command),
            Effect::End { task, .. } => {
                self.queue.retain(|_, other| *other != task);
                self.open.push_back(Open::End(task));
            }
            Effect::Resume(task) => self.open.push_back(Open::Resume(task)),
            Effect::Card(_) | Effect::Places => {}
            Effect::Withdraw { task, call } => {
                self.questions.retain(|question| *question != (task.clone(), call.clone()));
            }
            Effect::Report(task) => {
                assert!(self.state.takes_report(&task).is_some());
                let listens = self.sessions.get_mut(&task.session).expect("it attached");
                assert!(listens.is_attached, "{task:?} reported to nobody");
                assert!(listens.told.insert(task.number), "{task:?} was reported twice");
                assert!(listens.reported.insert(task.number), "{task:?} was known");
                if let Some(doer) = self.state.doer(&task.session)
                    && let Some(runner) = self.runners.get_mut(&doer.clone())
                {
                    runner.inbox.insert(task.number);
                }
            }
            Effect::Over(wait) => {
                // Who waits takes what there is at once.
                if self.waits.contains_key(&wait) {
                    self.collects(wait);
                }
            }
            Effect::Collect(wait) => {
                let Some((session, tasks)) = self.waits.remove(&wait) else { return };
                let ended: Vec<TaskId> =
                    tasks.into_iter().filter(|task| self.state.state(task).is_final()).collect();
                self.state.gave(&session, &ended);
                if let Some(doer) = self.state.doer(&session).cloned()
                    && let Some(runner) = self.runners.get_mut(&doer)
                    && runner.does == Does::Collects(wait)
                {
                    runner.does = Does::Works;
                    for task in ended.iter().filter(|task| task.session == session) {
                        runner.inbox.remove(&task.number);
                    }
                }
            }
            Effect::Done(ask, error) => {
                let Some(cancelled) = self.asks.remove(&ask) else { return };
                if error.is_none() {
                    for task in cancelled.unwrap_or_default() {
                        assert!(self.state.state(&task).is_final(), "{task:?} was cancelled");
                    }
                }
            }
            Effect::Closed => self.is_closed = true,
        }
    }

    /// It is the first of those that could begin.
    fn leaves_queue(&mut self, task: &TaskId) {
        let can_begin = |task: &TaskId| {
            self.state.state(task) == State::Queued
                && self.rows.get(task).is_some_and(|row| row.state == State::Queued)
                && self.sessions.get(&task.session).is_some_and(|it| it.is_attached)
        };
        let first = self.queue.values().find(|other| *other == task || can_begin(other));
        assert_eq!(first, Some(task), "the queue's order");
        self.queue.retain(|_, other| other != task);
    }

    fn order(&mut self, task: &TaskId, command: &Command) {
        let Some(runner) = self.runners.get_mut(task) else { panic!("{task:?} has no runner") };
        if matches!(runner.does, Does::Ends(_) | Does::Stops) {
            return;
        }
        match command {
            Command::Answer { .. } if runner.does == Does::Asks => runner.does = Does::Works,
            Command::Answer { .. } => {}
            // Its request takes along what is in the inbox.
            Command::GoOn => {
                if runner.does == Does::Idles {
                    runner.does = Does::Works;
                    runner.inbox.clear();
                }
            }
            Command::Finish => {
                if runner.does == Does::Idles {
                    assert!(runner.inbox.is_empty(), "{task:?} ends without its reports");
                    runner.does = Does::Ends(State::Completed);
                }
            }
            Command::Cancel { .. } => runner.does = Does::Ends(State::Cancelled),
            Command::Fail { .. } => runner.does = Does::Ends(State::Failed),
            Command::Stop => runner.does = Does::Stops,
        }
    }

    fn collects(&mut self, wait: WaitId) {
        let (session, _) = &self.waits[&wait];
        if let Some(doer) = self.state.doer(session)
            && let Some(runner) = self.runners.get_mut(&doer.clone())
            && runner.does == Does::Waits(wait)
        {
            runner.does = Does::Collects(wait);
        }
        self.state.collect(wait);
    }

    /// Sessions that may start tasks now.
    fn starters(&self) -> Vec<SessionId> {
        let works = |(task, runner): (&TaskId, &Runner)| {
            (runner.does == Does::Works && self.rows[task].depth < self.limits.depth)
                .then(|| self.rows[task].child.clone())
        };
        [root()].into_iter().chain(self.runners.iter().filter_map(works)).collect()
    }

    fn start(&mut self, pick: usize, count: usize) {
        let starters = self.starters();
        let session = starters[pick % starters.len()].clone();
        let doer = self.state.doer(&session);
        let prompt = doer.map_or_else(
            || MessageId::new(format!("m{}", pick % 3)),
            |doer| self.rows[doer].prompt.clone(),
        );
        match self.state.admit(&session, &prompt, count) {
            Ok(reservation) => {
                let places = (0..count).map(|_| self.next_place()).collect();
                self.open.push_back(Open::Submit { reservation, session, prompt, places });
            }
            Err(error) => assert!(
                matches!(
                    error,
                    TaskError::Full { .. }
                        | TaskError::PerPrompt { .. }
                        | TaskError::Tokens { .. }
                        | TaskError::Closed
                ),
                "{error}"
            ),
        }
    }

    /// The engine answers what was asked first; or fails.
    fn answer_open(&mut self, fails: bool) {
        let unavailable = || {
            let fault = crate::fault::Fault::new(crate::fault::Kind::Internal, "full");
            TaskError::Unavailable(fault)
        };
        match self.open.pop_front() {
            None => return,
            Some(Open::Submit { reservation, .. }) if fails => {
                self.state.not_admitted(&reservation);
            }
            Some(Open::Submit { reservation, session, prompt, places }) => {
                let last = self.rows.keys().filter(|task| task.session == session).count() as u64;
                let mut admitted = Vec::new();
                for (number, place) in (last + 1..).zip(places) {
                    self.numbers += 1;
                    let child = SessionId::new(format!("c{}", self.numbers));
                    let id = task(&session, number);
                    let (depth, prompt) = (reservation.depth, prompt.clone());
                    let row = Row {
                        state: State::Queued,
                        child: child.clone(),
                        prompt,
                        depth,
                        attempts: 0,
                    };
                    self.rows.insert(id.clone(), row);
                    self.enqueue(place, &id);
                    admitted.push(Admitted { task: id, child });
                }
                self.state.admitted(&reservation, admitted);
            }
            Some(Open::End(task)) if fails => {
                let was_queued = self.state.state(&task) == State::Queued;
                self.state.not_ended(&task, &unavailable());
                if was_queued {
                    self.enqueue(self.places[&task], &task);
                }
            }
            Some(Open::End(task)) => {
                let row = self.rows.get_mut(&task).expect("it is there");
                if !row.state.is_final() {
                    row.state = State::Cancelled;
                }
                let state = row.state;
                self.state.ended(&task, state, self.steps_above(&task));
            }
            Some(Open::Resume(task)) if fails => {
                self.state.resumed(&task, Err(unavailable()));
            }
            Some(Open::Resume(task)) => {
                let row = self.rows.get_mut(&task).expect("it is there");
                if row.state == State::Interrupted {
                    row.state = State::Queued;
                }
                let state = row.state;
                let place = self.next_place();
                self.enqueue(place, &task);
                self.state.resumed(&task, Ok(state));
            }
        }
        self.perform();
    }

    fn next_place(&mut self) -> u64 {
        self.last_place += 1;
        self.last_place
    }

    fn enqueue(&mut self, place: u64, task: &TaskId) {
        self.queue.retain(|_, other| other != task);
        self.queue.insert(place, task.clone());
        self.places.insert(task.clone(), place);
    }

    fn steps_above(&self, task: &TaskId) -> u64 {
        let doer = self.state.doer(&task.session);
        doer.and_then(|doer| self.runners.get(doer)).map_or(0, |runner| runner.steps)
    }

    /// A runner does the next thing that it can.
    fn act(&mut self, pick: usize, what: usize) {
        let Some(task) = self.runners.keys().nth(pick % self.runners.len().max(1)).cloned() else {
            return;
        };
        let row = self.rows[&task].clone();
        let may_start = row.depth < self.limits.depth;
        let runner = self.runners.get_mut(&task).expect("it runs");
        match runner.does.clone() {
            Does::Claims if what.is_multiple_of(8) => {
                self.runners.remove(&task);
                self.gone(&row.child);
                self.state.stopped(&task);
            }
            Does::Claims => {
                runner.does = Does::Works;
                let kept = self.rows.get_mut(&task).expect("it is there");
                kept.state = State::Running;
                kept.attempts += 1;
                let attempts = kept.attempts;
                self.state.began(&task, attempts);
                if may_start {
                    self.attach(&row.child.clone(), Interrupted::Stay);
                }
            }
            Does::Works => match what % 8 {
                0 | 1 => {
                    self.numbers += 1;
                    let call = CallId::new(format!("q{}", self.numbers));
                    runner.does = Does::Asks;
                    self.questions.push((task.clone(), call.clone()));
                    self.state.asks(&task, call);
                }
                2 => {
                    runner.steps += 1;
                    runner.inbox.clear();
                    self.state.spent(&task, 40);
                }
                3 | 4 if may_start => {
                    let kind = if what % 16 > 7 { Wait::Any } else { Wait::All };
                    let tasks: Vec<TaskId> = self.state.tasks_of(&row.child).cloned().collect();
                    let wait = self.state.wait(&row.child, &tasks, kind);
                    runner.does = Does::Waits(wait);
                    self.waits.insert(wait, (row.child, tasks));
                }
                5 if may_start => {
                    runner.does = Does::Idles;
                    runner.steps += 1;
                    let steps = runner.steps;
                    self.state.idle(&task, steps);
                }
                6 if !may_start => runner.does = Does::Ends(State::Completed),
                7 => runner.does = Does::Ends(State::Failed),
                _ => {}
            },
            Does::Waits(wait) => {
                if what.is_multiple_of(4) {
                    self.collects(wait);
                }
            }
            Does::Idles if what.is_multiple_of(4) => {
                runner.does = Does::Works;
                runner.overruns = true;
                runner.inbox.clear();
                self.state.roused(&task);
            }
            Does::Idles | Does::Asks | Does::Collects(_) => {}
            Does::Ends(state) => {
                // The end may be told though it could not be written.
                if what % 16 != 3 {
                    self.rows.get_mut(&task).expect("it is there").state = state;
                }
                self.runners.remove(&task);
                self.drop_waits_of(&row.child);
                let steps = self.steps_above(&task);
                self.gone(&row.child);
                self.state.ended(&task, state, steps);
            }
            Does::Stops => {
                self.runners.remove(&task);
                self.drop_waits_of(&row.child);
                self.rows.get_mut(&task).expect("it is there").state = State::Interrupted;
                self.gone(&row.child);
                self.state.stopped(&task);
            }
        }
        self.perform();
    }

    /// A child's session ends with its runner.
    fn gone(&mut self, child: &SessionId) {
        if let Some(listens) = self.sessions.get_mut(child) {
            listens.is_attached = false;
        }
        self.state.detach(child);
    }

    fn drop_waits_of(&mut self, session: &SessionId) {
        let dropped: Vec<WaitId> =
            self.waits.iter().filter(|(_, (of, _))| of == session).map(|(wait, _)| *wait).collect();
        for wait in dropped {
            self.waits.remove(&wait);
            self.state.drop_wait(wait);
            self.perform();
        }
    }

    fn answer_question(&mut self, pick: usize) {
        if self.questions.is_empty() {
            return;
        }
        let place = pick % self.questions.len();
        let (task, call) = self.questions[place].clone();
        if pick.is_multiple_of(4) {
            assert!(!self.state.answer(&task, &call, Answer::Unanswered));
            return;
        }
        if pick % 4 == 1 {
            // The child settled it by itself.
            let runner = self.runners.get_mut(&task).expect("it asks");
            if runner.does == Does::Asks {
                runner.does = Does::Works;
                runner.overruns = true;
            }
            self.state.withdrawn(&task, &call);
        } else {
            self.questions.remove(place);
            assert!(self.state.answer(&task, &call, Answer::AllowOnce));
            assert!(!self.state.answer(&task, &call, Answer::AllowOnce), "answered twice");
        }
        self.perform();
    }

    fn cancel(&mut self, pick: usize) {
        let Some(task) = self.rows.keys().nth(pick % self.rows.len().max(1)).cloned() else {
            return;
        };
        let all = self.state.with_descendants(std::slice::from_ref(&task));
        let ask = self.state.cancel(&[task], "enough");
        self.asks.insert(ask, Some(all));
        self.perform();
    }

    fn resume(&mut self) {
        let tasks: Vec<TaskId> = self.state.tasks_of(&root()).cloned().collect();
        let interrupted = |task: &TaskId| self.state.state(task) == State::Interrupted;
        let tasks: Vec<TaskId> = tasks.into_iter().filter(|task| interrupted(task)).collect();
        let ask = self.state.resume(&tasks);
        self.asks.insert(ask, None);
        self.perform();
    }

    fn wait_at_root(&mut self, pick: usize) {
        if self.waits.len() > 3 {
            let wait = *self.waits.keys().next().expect("there are some");
            if self.waits[&wait].0 == root() {
                self.waits.remove(&wait);
                self.state.drop_wait(wait);
                self.perform();
            }
            return;
        }
        let tasks: Vec<TaskId> = self.state.tasks_of(&root()).cloned().collect();
        let kind = if pick.is_multiple_of(2) { Wait::All } else { Wait::Any };
        let wait = self.state.wait(&root(), &tasks, kind);
        self.waits.insert(wait, (root(), tasks));
        self.perform();
    }

    /// The process ends, and another opens the session. What was under way may have been done or not.
    fn crash(&mut self, pick: usize) {
        let open = std::mem::take(&mut self.open);
        for one in open {
            if let Open::End(task) = one
                && pick.is_multiple_of(2)
            {
                let row = self.rows.get_mut(&task).expect("it is there");
                if !row.state.is_leased() && !row.state.is_final() {
                    row.state = State::Cancelled;
                }
            }
        }
        for row in self.rows.values_mut().filter(|row| row.state.is_leased()) {
            row.state = State::Interrupted;
        }
        self.state = TasksState::new(root(), self.limits.clone());
        self.runners.clear();
        self.wanted.clear();
        self.held.clear();
        self.waits.clear();
        self.asks.clear();
        self.questions.clear();
        for listens in self.sessions.values_mut() {
            listens.is_attached = false;
        }
        // The last report may not have reached the journal.
        if pick.is_multiple_of(3)
            && let Some(listens) = self.sessions.get_mut(&root())
        {
            listens.reported.pop_last();
        }
        let mut found = Vec::new();
        let mut sessions = VecDeque::from([root()]);
        self.queue.clear();
        let mut queued = Vec::new();
        while let Some(session) = sessions.pop_front() {
            for (task, row) in self.rows.iter().filter(|(task, _)| task.session == session) {
                sessions.push_back(row.child.clone());
                found.push(Found {
                    task: task.clone(),
                    child: row.child.clone(),
                    prompt: row.prompt.clone(),
                    depth: row.depth,
                    state: row.state,
                    attempts: row.attempts,
                    tokens: 10,
                });
                queued.extend((row.state == State::Queued).then(|| task.clone()));
            }
        }
        for task in queued {
            let place = self.next_place();
            self.enqueue(place, &task);
        }
        self.state.found(found);
        let policies = [Interrupted::Stay, Interrupted::GoOn, Interrupted::End];
        self.attach(&root(), policies[pick % 3]);
    }

    fn look(&self) {
        let (counted, taken) = self.state.slots();
        assert_eq!(counted, taken, "slots as counted and as they are");
        assert!(counted <= self.limits.running, "{counted} slots");
        assert!(self.held.len() <= self.permits);
        assert!(!self.state.has_idle_slot(), "a slot is free and somebody waits for one");
        for (task, runner) in &self.runners {
            let holds = self.held.contains(task);
            match &runner.does {
                Does::Works | Does::Claims if !runner.overruns => {
                    assert!(holds, "{task:?} works without a slot");
                }
                Does::Waits(_) | Does::Asks => assert!(!holds, "{task:?} waits with a slot"),
                Does::Works
                | Does::Claims
                | Does::Collects(_)
                | Does::Idles
                | Does::Ends(_)
                | Does::Stops => {}
            }
        }
        for task in &self.held {
            assert!(self.runners.contains_key(task), "{task:?} has a place and no runner");
        }
    }

    /// Everyone does what they can, and nobody does anything new.
    fn come_to_rest(&mut self) {
        if !self.sessions[&root()].is_attached && !self.is_closed {
            self.attach(&root(), Interrupted::Stay);
        }
        for _ in 0..10_000 {
            if !self.open.is_empty() {
                self.answer_open(false);
            } else if !self.questions.is_empty() {
                self.answer_question(2);
            } else if let Some((place, what)) = self.next_act() {
                self.act(place, what);
            } else {
                break;
            }
            self.look();
        }
        assert!(self.runners.is_empty(), "never at rest: {:?}", self.runners);
        assert_eq!(self.state.slots(), (0, 0));
        assert!(self.held.is_empty());
        for (task, row) in &self.rows {
            let state = self.state.state(task);
            // At a close that could not be written, the next process has it.
            let is_left = self.is_closed && state == State::Queued;
            assert!(
                state.is_final() || state == State::Interrupted || is_left,
                "{task:?} is {state} for ever, {row:?}, {:?}, {:?}",
                self.state.tasks.get(task),
                self.state.closing
            );
            if state.is_final() && task.session == root() && !self.is_closed {
                let listens = &self.sessions[&root()];
                assert!(listens.reported.contains(&task.number), "{task:?} was never reported");
            }
        }
        assert!(self.asks.is_empty(), "never answered: {:?}", self.asks);
        assert!(self.is_closed || self.waits.is_empty(), "never over: {:?}", self.waits);
    }

    /// A runner that can do something, and what brings it to its end.
    fn next_act(&self) -> Option<(usize, usize)> {
        self.runners.iter().enumerate().find_map(|(place, (task, runner))| {
            let may_start = self.rows[task].depth < self.limits.depth;
            match &runner.does {
                Does::Claims | Does::Ends(_) | Does::Stops => Some((place, 1)),
                Does::Works => Some((place, if may_start { 5 } else { 6 })),
                Does::Waits(_) | Does::Collects(_) | Does::Asks | Does::Idles => None,
            }
        })
    }
}

fn live(steps: &[(u8, u16)], running: usize, permits: usize, depth: u32) {
    let mut world = World::new(running, permits, depth);
    for (kind, pick) in steps {
        let pick = usize::from(*pick);
        match kind % 32 {
            0..=4 => world.start(pick, 1 + pick % 3),
            5..=10 => world.answer_open(pick.is_multiple_of(8)),
            11..=21 => world.act(pick / 16, pick),
            22..=24 => world.answer_question(pick),
            25 => world.cancel(pick),
            26 => world.resume(),
            27 => world.wait_at_root(pick),
            28 if pick.is_multiple_of(2) => {
                world.state.detach(&root());
                world.sessions.get_mut(&root()).expect("it is there").is_attached = false;
            }
            28 => world.attach(&root(), Interrupted::Stay),
            29 if pick.is_multiple_of(3) => world.crash(pick / 3),
            30 if pick.is_multiple_of(29) => {
                world.state.close();
                world.perform();
            }
            _ => world.act(pick, 1),
        }
        world.look();
        if world.is_closed {
            break;
        }
    }
    world.come_to_rest();
}

proptest! {
    // As many cases as proptest does by default, which keeps it within seconds; `PROPTEST_CASES=10000` does more.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_is_lost_twice_or_stuck(
        steps in vec((any::<u8>(), any::<u16>()), 1..250),
        running in 1..4_usize,
        permits in 1..4_usize,
        depth in 1..4_u32,
    ) {
        live(&steps, running, permits, depth);
    }
}
