//! What a session owes whoever looks on, whatever comes in which order: prompts, tasks, cancels, clocks and
//! ends, for each kind of client.

use std::collections::{BTreeMap, BTreeSet};

use super::tasks::{number, task_asks};
use super::*;
use crate::config::CancelWithTurn;
use crate::event::{TaskMark, ToolKind};
use crate::ids::{SessionId, TaskId};
use crate::session::{Idle, Steering};
use crate::store::Trouble;
use crate::tasks::engine::State;
use crate::tasks::{About, By, Origin, TaskCard, TaskReport, TaskSaid};
use crate::transcript::Reply;

#[derive(Debug, Clone)]
enum Step {
    Prompt,
    /// A slash command.
    Types(&'static str),
    /// To the running turn; nobody waits for an answer.
    Steers(&'static str, Idle),
    CommandDone,
    Cancel,
    /// It covers a prompt, too, that is still on its way.
    CancelAhead,
    CancelPrompt(u8),
    Says,
    Delivers,
    Replies,
    /// A call of the turn gives a report.
    Gives(u8),
    Ends(End),
    Dies,
    Delegates(State),
    Goes(u8, State),
    /// Its report, then its card.
    Finishes(u8, State),
    /// The same, with time for more between the two.
    Reports(u8),
    Asks(u8),
    Answers(Answer),
    NobodyAnswers,
    Asked(u8),
    FollowUpDue,
    HoldOver,
    TasksCancelled,
    TakenOver,
    HandOver,
    Stay,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let task = 1..5_u8;
    let over = prop_oneof![3 => Just(State::Completed), 1 => Just(State::Failed), 2 => Just(State::Cancelled)];
    let live = prop_oneof![Just(State::Queued), Just(State::Running), Just(State::Waiting)];
    let answers =
        prop_oneof![Just(Answer::AllowOnce), Just(Answer::AllowAlways), Just(Answer::Unanswered),];
    let of_user = prop_oneof![
        10 => Just(Step::Prompt),
        2 => Just(Step::Types("/detach")),
        2 => Just(Step::Types("/stop")),
        1 => Just(Step::Types("/help")),
        1 => Just(Step::Types("/tasks")),
        4 => Just(Step::Steers("text", Idle::Begin)),
        2 => Just(Step::Steers("text", Idle::Refuse)),
        1 => Just(Step::Steers("/stop", Idle::Begin)),
        1 => Just(Step::Steers("/help", Idle::Refuse)),
        1 => Just(Step::Steers("/tasks", Idle::Begin)),
        4 => Just(Step::CommandDone),
        3 => Just(Step::Cancel),
        1 => Just(Step::CancelAhead),
        2 => (0..4_u8).prop_map(Step::CancelPrompt),
        3 => answers.prop_map(Step::Answers),
    ];
    let of_turn = prop_oneof![
        1 => Just(Step::Says),
        3 => Just(Step::Delivers),
        4 => Just(Step::Replies),
        1 => task.clone().prop_map(Step::Gives),
        7 => Just(Step::Ends(End::Finished)),
        1 => Just(Step::Ends(End::MaxTokens)),
        1 => Just(Step::Dies),
        6 => live.clone().prop_map(Step::Delegates),
    ];
    let of_tasks = prop_oneof![
        2 => (task.clone(), live).prop_map(|(task, state)| Step::Goes(task, state)),
        5 => (task.clone(), over).prop_map(|(task, state)| Step::Finishes(task, state)),
        2 => task.clone().prop_map(Step::Reports),
        2 => task.clone().prop_map(Step::Asks),
        2 => task.prop_map(Step::Asked),
    ];
    let of_clocks = prop_oneof![
        2 => Just(Step::NobodyAnswers),
        4 => Just(Step::FollowUpDue),
        2 => Just(Step::HoldOver),
        3 => Just(Step::TasksCancelled),
    ];
    let ends = prop_oneof![
        1 => Just(Step::TakenOver),
        2 => Just(Step::HandOver),
        1 => Just(Step::Stay),
        2 => Just(Step::Close),
    ];
    prop_oneof![12 => of_user, 12 => of_turn, 10 => of_tasks, 6 => of_clocks, 1 => ends]
}

fn house() -> impl Strategy<Value = (Viewer, Busy, TasksSection)> {
    // As `acp::profiles` makes them: who shows sessions of tasks shows what comes late.
    let shows = Viewer { late: Late::Shown, subagents: true, notices: true, plans: true };
    let viewer = prop_oneof![
        3 => Just(Viewer::default()),
        1 => Just(Viewer { plans: true, ..Viewer::default() }),
        2 => Just(Viewer { late: Late::Shown, ..Viewer::default() }),
        2 => Just(Viewer { late: Late::ShownTwice, plans: true, ..Viewer::default() }),
        2 => Just(shows),
    ];
    let busy =
        prop_oneof![3 => Just(Busy::Steer), 1 => Just(Busy::Queue), 1 => Just(Busy::Interrupt)];
    let delivery = prop_oneof![
        4 => Just(Delivery::Auto),
        1 => Just(Delivery::Attached),
        1 => Just(Delivery::Detached),
    ];
    let cancel_with_turn = prop_oneof![
        3 => Just(CancelWithTurn::Protocol),
        1 => Just(CancelWithTurn::Always),
    ];
    let follow_up = prop_oneof![3 => Just(None), 1 => Just(Some(FollowUp::Notify))];
    (viewer, busy, delivery, cancel_with_turn, follow_up, 0..4_u32).prop_map(
        |(viewer, busy, delivery, cancel_with_turn, follow_up, max_follow_ups)| {
            let tasks = TasksSection {
                max_follow_ups,
                follow_up,
                delivery,
                cancel_with_turn,
                ..TasksSection::default()
            };
            (viewer, busy, tasks)
        },
    )
}

#[derive(Debug)]
struct Task {
    origin: Origin,
    state: State,
    is_reported: bool,
}

/// What is true outside of the rules, as far as the laws speak of it.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct World {
    viewer: Viewer,
    tasks: TasksSection,
    prompts: u64,
    /// Not answered.
    open: BTreeSet<u64>,
    /// Slash commands, and prompts that were cancelled one by one: their answers may come at any time.
    apart: BTreeSet<u64>,
    last_answer: u64,
    /// Steering whose answer is to come now, and whether it is a command.
    steers: Option<(u64, bool)>,
    /// What nobody waits for, from when it is taken to the end of the turn that has it.
    quiet: BTreeSet<u64>,
    /// Those of them that a turn has, and those whose turn is over.
    quiet_in_turn: BTreeSet<u64>,
    quiet_over: BTreeSet<u64>,
    /// The messages of all.
    written: BTreeMap<MessageId, u64>,
    commands: BTreeSet<u64>,
    /// Of all that were typed, those that end all tasks.
    stops: BTreeSet<u64>,
    cancelled_upto: u64,
    /// What tasks that the turn starts go back to.
    running: Option<Origin>,
    stopping: bool,
    steered: Vec<Prompt>,
    in_turn: Vec<Prompt>,
    house: BTreeMap<u64, Task>,
    inbox: BTreeSet<u64>,
    given: BTreeSet<u64>,
    /// Reports that are to start a turn.
    wishes: BTreeSet<u64>,
    /// Ends that the client was told of at least once, and those that it is still to be told of.
    ends_told: BTreeSet<u64>,
    ends_due: BTreeSet<u64>,
    dialog: Option<CallId>,
    is_limited: bool,
    is_due_soon: bool,
    holds: bool,
    is_cancelling_tasks: bool,
    taken_over: bool,
    handing_over: bool,
    closing: bool,
    stopped: bool,
    messages: u64,
}

impl World {
    fn new(viewer: Viewer, tasks: TasksSection) -> Self {
        Self {
            viewer,
            tasks,
            prompts: 0,
            open: BTreeSet::new(),
            apart: BTreeSet::new(),
            last_answer: 0,
            steers: None,
            quiet: BTreeSet::new(),
            quiet_in_turn: BTreeSet::new(),
            quiet_over: BTreeSet::new(),
            written: BTreeMap::new(),
            commands: BTreeSet::new(),
            stops: BTreeSet::new(),
            cancelled_upto: 0,
            running: None,
            stopping: false,
            steered: Vec::new(),
            in_turn: Vec::new(),
            house: BTreeMap::new(),
            inbox: BTreeSet::new(),
            given: BTreeSet::new(),
            wishes: BTreeSet::new(),
            ends_told: BTreeSet::new(),
            ends_due: BTreeSet::new(),
            dialog: None,
            is_limited: false,
            is_due_soon: false,
            holds: false,
            is_cancelling_tasks: false,
            taken_over: false,
            handing_over: false,
            closing: false,
            stopped: false,
            messages: 0,
        }
    }

    fn is_ending(&self) -> bool {
        self.closing || self.stopped || self.taken_over || self.handing_over
    }

    /// Whether the client may expect something.
    fn is_prompted(&self) -> bool {
        !self.open.is_empty() || !self.quiet.is_empty() || !self.commands.is_empty()
    }

    fn is_any_live(&self) -> bool {
        self.house.values().any(|task| !task.state.is_final())
    }

    fn next_prompt(&mut self, text: &str) -> Input {
        self.prompts += 1;
        self.open.insert(self.prompts);
        prompt(self.prompts, text)
    }

    /// The card of a task, and what it is from now on.
    fn card(&mut self, number: u64, state: State) -> Option<Input> {
        let task = self.house.get_mut(&number)?;
        if task.state.is_final() {
            return None;
        }
        task.state = state;
        let origin = task.origin.clone();
        Some(card(number, state, origin, false))
    }

    fn report(&mut self, number: u64, state: State) -> Option<Input> {
        let task = self.house.get_mut(&number)?;
        if task.state.is_final() || std::mem::replace(&mut task.is_reported, true) {
            return None;
        }
        if !self.given.contains(&number) {
            self.inbox.insert(number);
            let is_wished = state != State::Cancelled
                && self.stops.is_disjoint(&self.commands)
                && self.tasks.follow_up.is_none()
                && task.origin.generation < self.tasks.max_follow_ups;
            if is_wished {
                self.wishes.insert(number);
            }
        }
        Some(Input::Task(TaskSaid::Report(TaskReport {
            task: TaskId { session: SessionId::new("s"), number },
            state,
            by: By::Model,
            origin: task.origin.clone(),
            text: format!("report of t{number}"),
            is_fresh: true,
        })))
    }

    /// What comes in with a step, in order; nothing where it cannot be.
    fn inputs(&mut self, step: &Step) -> Vec<Input> {
        let one = |input: Input| vec![input];
        let is_running = self.running.is_some();
        match step {
            Step::Prompt if self.open.len() < 25 => one(self.next_prompt("text")),
            Step::Types(command) => {
                self.apart.insert(self.prompts + 1);
                if *command == "/stop" {
                    self.wishes.clear();
                    self.stops.insert(self.prompts + 1);
                }
                one(self.next_prompt(command))
            }
            Step::Steers(text, idle) if self.quiet.len() < 25 => {
                self.prompts += 1;
                self.steers = Some((self.prompts, text.starts_with('/')));
                self.quiet.insert(self.prompts);
                if *text == "/stop" {
                    self.wishes.clear();
                    self.stops.insert(self.prompts);
                }
                let (id, content) = (PromptId(self.prompts), vec![Content::text(*text)]);
                one(Input::Steering { id, content, idle: *idle })
            }
            Step::CommandDone => self.commands.pop_first().map_or_else(Vec::new, |id| {
                self.command_is_over(id);
                one(Input::CommandDone { prompt: PromptId(id), text: "Done.".to_owned() })
            }),
            Step::Cancel | Step::CancelAhead => {
                let more = u64::from(matches!(step, Step::CancelAhead));
                let upto = self.prompts + more;
                self.cancelled_upto = self.cancelled_upto.max(upto);
                self.wishes.clear();
                one(Input::Cancel { upto: PromptId(upto) })
            }
            Step::CancelPrompt(nth) => {
                let Some(id) = self.open.iter().copied().nth(usize::from(*nth)) else {
                    return Vec::new();
                };
                self.apart.insert(id);
                self.wishes.clear();
                one(Input::CancelPrompt(PromptId(id)))
            }
            Step::Says if is_running => {
                self.messages += 1;
                one(Input::Turn(TurnSaid::Event(Event::Said {
                    message: MessageId::new(format!("said{}", self.messages)),
                    role: crate::event::Role::Agent,
                    content: Content::text("Well."),
                })))
            }
            Step::Delivers if is_running && !self.stopping => {
                let steered = std::mem::take(&mut self.steered);
                self.quiet_in_turn.extend(steered.iter().map(|prompt| prompt.id.0));
                let messages = steered.into_iter().map(|prompt| prompt.message).collect();
                one(delivered(messages))
            }
            Step::Replies if is_running && !self.stopping => {
                let seen: Vec<Prompt> = std::mem::take(&mut self.in_turn);
                for task in seen.iter().filter_map(number) {
                    self.inbox.remove(&task);
                    self.wishes.remove(&task);
                    assert!(self.given.insert(task), "t{task} was given twice");
                }
                let steered = seen.into_iter().map(|report| report.message).collect();
                let reply = Reply { text: "Well.".into(), steered, ..Reply::default() };
                one(Input::Turn(TurnSaid::Replied { reply, spent: None }))
            }
            Step::Gives(task) if is_running && !self.stopping => {
                let task = u64::from(*task);
                let ended = self.house.get(&task).is_some_and(|task| task.state.is_final());
                if !ended || !self.given.insert(task) {
                    return Vec::new();
                }
                self.inbox.remove(&task);
                self.wishes.remove(&task);
                self.in_turn.retain(|report| number(report) != Some(task));
                let call = CallId::new("c0");
                let shown = CallUpdate { hidden: true, ..CallUpdate::new(call.clone()) };
                let outcome = crate::transcript::Outcome::done("reports");
                one(Input::Turn(TurnSaid::Settled { call, outcome, shown, gave: vec![task] }))
            }
            Step::Ends(end) if is_running => {
                if *end != End::Finished || self.stopping {
                    self.wishes.clear();
                }
                self.turn_is_over();
                one(ended(end.clone()))
            }
            Step::Dies if is_running => {
                self.wishes.clear();
                self.turn_is_over();
                one(died())
            }
            Step::Delegates(state) if is_running && !self.stopping && self.house.len() < 4 => {
                let number = self.house.len() as u64 + 1;
                let origin = self.running.clone().unwrap();
                let card = card(number, *state, origin.clone(), true);
                let task = Task { origin, state: *state, is_reported: false };
                self.house.insert(number, task);
                one(card)
            }
            Step::Goes(task, state) => self.card((*task).into(), *state).into_iter().collect(),
            Step::Reports(task) => {
                self.report((*task).into(), State::Completed).into_iter().collect()
            }
            Step::Finishes(task, state) => {
                let number = u64::from(*task);
                let state = match self.house.get(&number) {
                    Some(task) if task.is_reported => State::Completed,
                    Some(_) | None => *state,
                };
                let report = self.report(number, state);
                let card = self.card(number, state);
                report.into_iter().chain(card).collect()
            }
            Step::Asks(task) => {
                let number = u64::from(*task);
                if self.house.get(&number).is_none_or(|task| task.state.is_final()) {
                    return Vec::new();
                }
                one(task_asks(&format!("task-t{number}/c1"), &format!("key {number}")))
            }
            Step::Answers(choice) => self
                .dialog
                .take()
                .map_or_else(Vec::new, |call| one(Input::Answer { call, answer: *choice })),
            Step::NobodyAnswers => match &self.dialog {
                Some(call) if self.is_limited => one(Input::NobodyAnswered(call.clone())),
                Some(_) | None => Vec::new(),
            },
            Step::Asked(task) => one(super::tasks::asked(&format!("task-t{task}/c1"))),
            // The clocks of an actor that is over stand still.
            Step::FollowUpDue if std::mem::take(&mut self.is_due_soon) => one(Input::FollowUpDue),
            Step::HoldOver if std::mem::take(&mut self.holds) => one(Input::HoldOver),
            Step::TasksCancelled if std::mem::take(&mut self.is_cancelling_tasks) => {
                one(Input::TasksCancelled)
            }
            Step::TakenOver => {
                self.taken_over = true;
                one(Input::Store(Some(Trouble::TakenOver)))
            }
            Step::HandOver => {
                self.handing_over = true;
                one(Input::HandOver)
            }
            Step::Stay => {
                self.handing_over = false;
                one(Input::Stay)
            }
            Step::Close => {
                self.closing = true;
                one(Input::Close)
            }
            Step::Prompt
            | Step::Steers(..)
            | Step::Says
            | Step::Delivers
            | Step::Replies
            | Step::Gives(_)
            | Step::Ends(_)
            | Step::Dies
            | Step::Delegates(_)
            | Step::FollowUpDue
            | Step::HoldOver
            | Step::TasksCancelled => Vec::new(),
        }
    }

    /// What is said at its end is heard, also where nobody waits for its answer.
    fn command_is_over(&mut self, id: u64) {
        if !self.open.contains(&id) {
            self.quiet.insert(id);
            self.quiet_over.insert(id);
        }
    }

    fn turn_is_over(&mut self) {
        self.running = None;
        self.stopping = false;
        self.in_turn.clear();
        self.steered.clear();
        self.quiet_over.append(&mut self.quiet_in_turn);
    }

    /// Looks at what the rules say to one input.
    fn see(&mut self, effects: Vec<Effect>, is_prompt: bool) -> Result<(), TestCaseError> {
        let mut ends = BTreeSet::new();
        for effect in effects {
            if self.stopped {
                let is_new = matches!(
                    effect,
                    Effect::StartTurn { .. }
                        | Effect::Ask(_)
                        | Effect::FollowUpSoon
                        | Effect::HoldFor(_)
                        | Effect::AskedLate(_)
                        | Effect::Steer(_)
                        | Effect::PromptWaits
                        | Effect::Stop
                );
                prop_assert!(!is_new, "{effect:?} behind the end");
            }
            match effect {
                Effect::Reply { prompt: PromptId(id), answer } => {
                    prop_assert!(self.open.remove(&id), "{id} is answered twice");
                    self.commands.remove(&id);
                    // What was cancelled is not gone on with.
                    if answer == Ok(End::Cancelled) {
                        self.wishes.clear();
                    }
                    // Another Talaria has the session: what comes is refused at once.
                    let is_refused = self.taken_over && answer.is_err() && id == self.prompts;
                    if !self.apart.contains(&id) && !is_refused {
                        prop_assert!(self.last_answer < id, "{id} behind {}", self.last_answer);
                        self.last_answer = id;
                    }
                }
                Effect::StartTurn { prompt, steered, origin, cap, .. } => {
                    prop_assert!(self.running.is_none(), "two turns");
                    prop_assert!(!self.closing && !self.taken_over);
                    let reports: BTreeSet<u64> = steered.iter().filter_map(number).collect();
                    prop_assert_eq!(&reports, &self.inbox, "a turn begins with all reports");
                    if prompt.from == Author::FollowUp {
                        prop_assert!(!self.handing_over && !reports.is_empty());
                        prop_assert!(1 <= origin.generation);
                        prop_assert!(origin.generation <= self.tasks.max_follow_ups);
                        // One that nobody waits for.
                        if cap.is_none() {
                            prop_assert!(
                                !self.open.is_empty(),
                                "nobody waits, and it is not capped"
                            );
                        } else {
                            prop_assert_eq!(cap, Some(Mode::Ask));
                            prop_assert!(self.viewer.late != Late::Lost, "nobody sees it");
                        }
                    } else {
                        let id = prompt.id.0;
                        let is_owed = self.open.contains(&id) || self.quiet.contains(&id);
                        prop_assert!(is_owed && cap.is_none());
                        self.quiet_in_turn.insert(id);
                        prop_assert_eq!(origin.generation, 0);
                    }
                    self.wishes.clear();
                    self.in_turn = steered;
                    self.running = Some(origin);
                }
                Effect::Steer(prompt) => {
                    prop_assert!(self.running.is_some() && !self.stopping);
                    match prompt.from {
                        Author::Task(_) => self.in_turn.push(prompt),
                        Author::User | Author::FollowUp => self.steered.push(prompt),
                    }
                }
                Effect::PromptWaits => {
                    prop_assert!(self.running.is_some() && !self.stopping);
                }
                Effect::CancelTurn => self.stopping = true,
                Effect::Tell(event) => self.told(&event, &mut ends)?,
                Effect::OnceTold(Record::Shown { tasks }) => {
                    for task in tasks {
                        prop_assert!(self.ends_told.contains(&task), "t{task} was not shown");
                    }
                }
                Effect::Append(Record::Shown { .. }, _) => prop_assert!(false, "too early"),
                Effect::Ask(question) => {
                    prop_assert!(self.dialog.is_none(), "two dialogs");
                    prop_assert!(!self.stopping && !self.closing);
                    prop_assert!(self.viewer.late != Late::Lost || self.is_prompted());
                    self.dialog = Some(question.id().clone());
                    self.is_limited = false;
                }
                Effect::AskedLate(call) => {
                    prop_assert_eq!(self.dialog.as_ref(), Some(&call));
                    self.is_limited = true;
                }
                Effect::Withdraw(call) => prop_assert_eq!(self.dialog.take(), Some(call)),
                Effect::ReplySteering(answer) => {
                    let steers = self.steers.take();
                    prop_assert!(steers.is_some(), "steering is answered twice");
                    let (id, is_command) = steers.unwrap_or_default();
                    let is_kept = self.written.values().any(|written| *written == id);
                    match answer {
                        // It is over, or goes on apart.
                        Ok(Steering::Injected | Steering::Began) if is_command => {
                            self.quiet.remove(&id);
                        }
                        Ok(Steering::Injected | Steering::Began) => {
                            prop_assert!(is_kept, "{id} is taken, and not written");
                        }
                        Ok(Steering::NothingRuns) | Err(_) => {
                            prop_assert!(!is_kept, "{id} is not taken, and written");
                            self.quiet.remove(&id);
                        }
                    }
                }
                Effect::Append(Record::Prompt { prompt }, _) => {
                    self.written.insert(prompt.message, prompt.id.0);
                }
                Effect::Append(Record::NotDelivered { prompt }, _) => {
                    let id = self.written.get(&prompt).copied();
                    prop_assert!(id.is_some_and(|id| id <= self.prompts), "of no prompt");
                    self.quiet_over.extend(id);
                }
                Effect::TaskCommand { prompt, .. } => drop(self.commands.insert(prompt.0)),
                Effect::EndCommand(PromptId(id)) => {
                    self.command_is_over(id);
                    self.commands.remove(&id);
                }
                Effect::FollowUpSoon => self.is_due_soon = true,
                Effect::HoldFor(_) => {
                    prop_assert!(self.running.is_none());
                    self.holds = true;
                }
                Effect::HoldEnds => self.holds = false,
                Effect::CancelTasks => self.is_cancelling_tasks = true,
                Effect::Stop => {
                    prop_assert!(self.running.is_none() && self.open.is_empty());
                    prop_assert!(self.dialog.is_none());
                    self.stopped = true;
                    self.is_due_soon = false;
                    self.holds = false;
                }
                Effect::Append(..)
                | Effect::OnceTold(_)
                | Effect::ReplySet(_)
                | Effect::ReplyTitle(_)
                | Effect::Delivered(_)
                | Effect::Replied { .. }
                | Effect::LetGo(_)
                | Effect::LetGoAtOnce(_)
                | Effect::AnswerTurn { .. }
                | Effect::AnswerTask { .. }
                | Effect::AttachTasks
                | Effect::Publish
                | Effect::SettleSoon => {}
            }
        }
        if is_prompt {
            let missing: Vec<u64> = self.ends_due.difference(&ends).copied().collect();
            prop_assert!(missing.is_empty(), "the next prompt does not say how t{missing:?} ended");
            self.ends_due.clear();
        }
        if self.running.is_none() && self.taken_over {
            let waits = self.open.iter().any(|id| !self.commands.contains(id));
            prop_assert!(!waits, "a prompt waits for a session that is gone");
        }
        Ok(())
    }

    /// What is to begin by itself begins, or a clock goes for it.
    fn goes_on(&self) -> Result<(), TestCaseError> {
        let is_idle = self.running.is_none() && !self.is_prompted() && !self.is_ending();
        if is_idle && self.viewer.late != Late::Lost && !self.wishes.is_empty() {
            prop_assert!(
                self.is_due_soon && self.is_any_live(),
                "nothing follows up {:?}",
                self.wishes
            );
        }
        Ok(())
    }

    fn told(&mut self, event: &Event, ends: &mut BTreeSet<u64>) -> Result<(), TestCaseError> {
        let is_prompted = self.is_prompted();
        let is_of_session = matches!(
            event,
            Event::Commands(_) | Event::Title(_) | Event::Usage(_) | Event::Settings(_)
        );
        let is_lost = self.viewer.late == Late::Lost && !is_prompted;
        prop_assert!(is_of_session || !is_lost, "lost: {event:?}");
        let Event::Call(CallUpdate { id, status: Some(status), .. }) = event else { return Ok(()) };
        let Some(task) = id.as_str().strip_prefix("task-t").and_then(|task| task.parse().ok())
        else {
            return Ok(());
        };
        if status.is_final() {
            self.ends_told.insert(task);
            ends.insert(task);
            let fades = self.viewer.late == Late::ShownTwice && !is_prompted;
            if fades {
                self.ends_due.insert(task);
            } else {
                self.ends_due.remove(&task);
            }
        } else {
            prop_assert!(!self.ends_told.contains(&task), "t{task} is over, and {status:?} again");
        }
        Ok(())
    }
}

pub(super) fn card(task: u64, state: State, origin: Origin, is_new: bool) -> Input {
    let about = About {
        child: SessionId::new(format!("child{task}")),
        by: By::Model,
        origin,
        goal: format!("look {task}"),
    };
    let status = match state {
        State::Queued => CallStatus::Pending,
        State::Running | State::Waiting => CallStatus::InProgress,
        State::Completed => CallStatus::Completed,
        State::Failed | State::Cancelled | State::Interrupted => CallStatus::Failed,
    };
    let card = CallUpdate {
        tool: is_new.then(|| "delegate_task_async".to_owned()),
        title: is_new.then(|| format!("`t{task}` · look {task}")),
        kind: is_new.then_some(ToolKind::Think),
        status: Some(status),
        task: Some(TaskMark { id: format!("t{task}"), state: state.name().to_owned() }),
        ..CallUpdate::new(CallId::new(format!("task-t{task}")))
    };
    let keep = is_new || status.is_final();
    Input::Task(TaskSaid::Card(TaskCard { task, about: about.into(), state, card, keep }))
}

/// One session, and the world around it.
struct Life {
    state: SessionState,
    world: World,
}

impl Life {
    fn new((viewer, busy, tasks): (Viewer, Busy, TasksSection)) -> Self {
        let settings = state(busy).settings().clone();
        let initial = Initial {
            settings,
            busy,
            version: "1.2.3",
            is_shown: true,
            has_tasks: true,
            notice: None,
            is_child: false,
            viewer,
            tasks: tasks.clone(),
        };
        let mut state = SessionState::new(initial, Restored::default(), IdSource::default());
        state.handle(Input::Settle);
        Self { state, world: World::new(viewer, tasks) }
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        for id in std::mem::take(&mut self.world.quiet_over) {
            self.world.quiet.remove(&id);
        }
        for input in self.world.inputs(step) {
            let ends = if let Input::Task(TaskSaid::Card(card)) = &input {
                card.state.is_final().then_some(card.task)
            } else {
                None
            };
            let is_taken = if let Input::Prompt { id, .. } = &input {
                let is_open = !self.world.closing && !self.world.stopped && !self.world.taken_over;
                is_open && self.world.cancelled_upto < id.0
            } else {
                false
            };
            // It is to be told until it is.
            self.world.ends_due.extend(ends);
            let effects = self.state.handle(input);
            self.world.see(effects, is_taken)?;
            prop_assert!(self.world.steers.is_none(), "steering is not answered");
        }
        self.world.goes_on()
    }

    /// Everything that runs comes to its end, by itself or by a clock.
    fn settles(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..80 {
            let world = &self.world;
            let step = if world.running.is_some() {
                self.step(&Step::Delivers)?;
                self.step(&Step::Replies)?;
                Step::Ends(End::Finished)
            } else if world.is_cancelling_tasks {
                Step::TasksCancelled
            } else if !world.commands.is_empty() {
                Step::CommandDone
            } else if world.is_due_soon {
                Step::FollowUpDue
            } else if world.holds {
                Step::HoldOver
            } else {
                break;
            };
            self.step(&step)?;
        }
        prop_assert!(self.world.open.is_empty(), "never answered: {:?}", self.world.open);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    /// Each prompt is answered once, in its turn; a client that loses what comes late is told nothing but
    /// what belongs to the session while no prompt is open; each report is given once, and none is lost; how
    /// a task ended is told by the next prompt, and is the last word on it; turns that begin by themselves
    /// are capped, bounded and seen; one dialog at a time; and the end is the end.
    #[test]
    fn a_session_owes_nothing(
        house in house(),
        has_delegated in any::<bool>(),
        steps in prop::collection::vec(step(), 1..70),
    ) {
        let mut life = Life::new(house);
        // What is interesting comes behind it, and seldom by chance.
        if has_delegated {
            life.step(&Step::Prompt)?;
            life.step(&Step::Delegates(State::Running))?;
            life.step(&Step::Delegates(State::Queued))?;
            life.step(&Step::Ends(End::Finished))?;
        }
        for step in &steps {
            life.step(step)?;
        }
        life.settles()?;
        // The last one is covered by no cancel.
        life.step(&Step::Prompt)?;
        life.step(&Step::Prompt)?;
        life.settles()?;
        if !life.world.is_ending() {
            prop_assert!(life.world.inbox.is_empty(), "never given: {:?}", life.world.inbox);
            prop_assert!(life.world.ends_due.is_empty() || life.world.viewer.late != Late::Shown);
        }
        life.step(&Step::Close)?;
        life.settles()?;
        prop_assert!(life.world.stopped);
        let lost: Vec<_> = life.world.quiet.difference(&life.world.quiet_over).collect();
        prop_assert!(lost.is_empty() || life.world.taken_over, "never delivered: {lost:?}");
    }
}
