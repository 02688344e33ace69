//! A session's turns: how one starts, what is written and told of what it says, and what follows when it
//! is over.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::saving::taken_over;
use super::step::OpenStep;
use super::{Effect, SessionState, tell};
use crate::config::Busy;
use crate::event::{CallStatus, CallUpdate, Event, FollowUpMark};
use crate::ids::{CallId, PromptId};
use crate::permission::Mode;
use crate::session::questions::Asker;
use crate::store::{Durability, Record};
use crate::tasks::Origin;
use crate::transcript::{Content, End, Entry, Outcome, Over, Prompt, Reply, Spent, Step, Turn};
use crate::turn::{Ended, Go, TurnSaid};

#[derive(Debug)]
pub(super) struct Running {
    /// Prompts that are answered with it, in order: the one that it began on and those that it took. None
    /// where it began by itself.
    pub(super) prompts: Vec<PromptId>,
    pub(super) origin: Origin,
    pub(super) why: Why,
    /// Its prompts do not wait for its tasks, by the user's wish.
    pub(super) is_released: bool,
    /// The client cancelled it.
    pub(super) is_cancelled: bool,
    /// Its tasks are being cancelled with it.
    pub(super) ends_tasks: bool,
    /// Prompts on their way into the turn.
    pub(super) steering: VecDeque<Prompt>,
    /// Calls that are not final.
    open_calls: HashSet<CallId>,
    /// Prompts that the turn took for a request whose reply is not written yet.
    delivered: Vec<Prompt>,
    /// The last written reply, until its step is whole.
    step: Option<OpenStep>,
    /// How calls were announced that nothing is written of yet.
    announced: HashMap<CallId, CallUpdate>,
    /// The title that Talaria chose when it began: clients expect it at the end.
    pub(super) title: Option<String>,
    pub(super) stopping: Option<Stop>,
}

/// A turn that is to begin.
#[derive(Debug)]
pub(super) struct Begin {
    pub(super) prompt: Prompt,
    /// Who waits for its end.
    pub(super) prompts: Vec<PromptId>,
    pub(super) origin: Origin,
    pub(super) why: Why,
    /// The widest mode that it may have.
    pub(super) cap: Option<Mode>,
}

/// Why a turn began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Why {
    Prompted,
    /// Reports came while a prompt was held.
    Held,
    /// Reports came, and nobody waited for them.
    FollowUp(FollowUpMark),
}

/// Why a turn is being stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The user wants it so.
    Wanted,
    /// Another Talaria writes the session now.
    TakenOver,
}

impl Running {
    /// Whether a cancel that ends what these prompts led to ends it.
    pub(super) fn is_of(&self, covers: impl Fn(PromptId) -> bool) -> bool {
        // One that nobody prompted for came before all that is prompted later.
        covers(self.prompts.first().copied().unwrap_or_default())
    }

    /// Whether prompts wait for its end.
    pub(super) fn is_awaited(&self) -> bool {
        !self.prompts.is_empty() || !self.steering.is_empty()
    }

    /// Sends it into the turn.
    pub(super) fn steer(&mut self, prompt: Prompt, effects: &mut Vec<Effect>) {
        self.steering.push_back(prompt.clone());
        effects.push(Effect::Steer(prompt));
    }

    /// What is written of a call: the first record of it says, too, how it was announced.
    fn record_of(&mut self, shown: &CallUpdate) -> CallUpdate {
        let mut shown = shown.clone();
        if let Some(CallUpdate { tool, title, kind, .. }) = self.announced.remove(&shown.id) {
            shown.tool = shown.tool.or(tool);
            shown.title = shown.title.or(title);
            shown.kind = shown.kind.or(kind);
        }
        shown
    }
}

impl SessionState {
    pub(super) fn start(&mut self, prompt: Prompt, effects: &mut Vec<Effect>) {
        // It takes all reports with it.
        self.follow_ups.drop_all();
        let prompts = vec![prompt.id];
        let origin = Origin { prompt: prompt.message.clone(), generation: 0 };
        self.begin(Begin { prompt, prompts, origin, why: Why::Prompted, cap: None }, effects);
    }

    pub(super) fn begin(&mut self, begin: Begin, effects: &mut Vec<Effect>) {
        let Begin { prompt, prompts, origin, why, cap } = begin;
        let history = self.transcript.turns();
        let turn = Turn { prompt: prompt.clone(), steps: Vec::new(), over: None };
        self.transcript.entries.push(Entry::Turn(Arc::new(turn)));
        self.running = Some(Running {
            prompts,
            origin: origin.clone(),
            why,
            is_released: false,
            is_cancelled: false,
            ends_tasks: false,
            steering: VecDeque::new(),
            open_calls: HashSet::new(),
            delivered: Vec::new(),
            step: None,
            announced: HashMap::new(),
            title: None,
            stopping: None,
        });
        effects.push(Effect::append(Record::Turn { prompt: prompt.message.clone() }));
        self.say_delivered(vec![prompt.id], effects);
        self.choose_title(effects);
        self.tell_of_saving(effects);
        let steered = self.reports.pending();
        effects.push(Effect::StartTurn { prompt, history, steered, origin, cap });
        // They would have steered the turn before, which did not take them. Others were sent to come in turn.
        if self.busy == Busy::Steer && !self.queue.is_empty() {
            effects.push(Effect::PromptWaits);
        }
        let asker = self.asker();
        self.questions.turn_starts(asker, effects);
    }

    pub(super) fn stop_turn(&mut self, why: Stop, effects: &mut Vec<Effect>) {
        let Some(running) = &mut self.running else { return };
        match running.stopping {
            None => {
                running.stopping = Some(why);
                self.questions.turn_stops(effects);
                effects.push(Effect::CancelTurn);
            }
            // What the user wants decides how the prompts are answered.
            Some(Stop::TakenOver) => running.stopping = Some(why),
            Some(Stop::Wanted) => {}
        }
    }

    pub(super) fn turn_said(&mut self, said: TurnSaid, effects: &mut Vec<Effect>) {
        match said {
            TurnSaid::Event(event) => self.pass_on(event, effects),
            TurnSaid::Ask(question) => {
                let asker = self.asker();
                self.questions.ask(question, asker, effects);
            }
            TurnSaid::Withdraw(call) => {
                let asker = self.asker();
                self.questions.withdraw(&call, asker, effects);
            }
            TurnSaid::Delivered(messages) => {
                if let Some(running) = &mut self.running {
                    let (delivered, kept): (Vec<Prompt>, Vec<Prompt>) = running
                        .steering
                        .drain(..)
                        .partition(|prompt| messages.contains(&prompt.message));
                    running.steering = kept.into();
                    let ids: Vec<PromptId> = delivered.iter().map(|prompt| prompt.id).collect();
                    // A prompt of the user's ends the wait for tasks of an earlier one.
                    let is_prompted = ids.iter().any(|id| !self.unawaited.contains(id));
                    running.is_released |= running.why == Why::Held && is_prompted;
                    running.prompts.extend(&ids);
                    running.delivered.extend(delivered);
                    if !ids.is_empty() {
                        // The user is there now, also in a turn that began by itself.
                        let asker = self.asker();
                        self.questions.turn_starts(asker, effects);
                    }
                    self.say_delivered(ids, effects);
                }
            }
            TurnSaid::Replied { reply, spent } => self.replied(reply, spent, effects),
            TurnSaid::Described(shown) => {
                if let Some(running) = &mut self.running {
                    let shown = running.record_of(&shown);
                    effects.push(Effect::append(Record::Call { shown }));
                }
                self.pass_on_call(shown, effects);
            }
            TurnSaid::WhenTold(go) => self.let_go(go, effects),
            TurnSaid::WhenGiven(go) if self.is_cancelling() => drop(go),
            TurnSaid::WhenGiven(go) => effects.push(Effect::LetGoAtOnce(go)),
            TurnSaid::Begin { call, outside, go } => self.let_begin(call, outside, go, effects),
            TurnSaid::Settled { call, outcome, shown, gave } => {
                if let Some(running) = &mut self.running {
                    if let Some(step) = &mut running.step {
                        step.settled(call.clone(), outcome.clone());
                    }
                    let shown = running.record_of(&shown);
                    self.reports.gave(&gave);
                    effects.push(Effect::append(Record::Outcome { call, outcome, shown, gave }));
                }
                self.pass_on_call(shown, effects);
            }
            // It explains to a user why the turn ends, and how to go on.
            TurnSaid::Told { .. } if self.is_child() => {}
            TurnSaid::Told { message, text } => {
                // It is the turn's last word.
                let text = self.flow.apart(text, false);
                let content = Content::text(text.clone());
                effects.push(Effect::append(Record::Told { message: message.clone(), content }));
                effects.push(tell(message, text));
            }
            TurnSaid::Saw(files) => {
                effects.push(Effect::append(Record::Saw { files: files.clone() }));
                self.seen.extend(files);
            }
            TurnSaid::Step(step) => {
                if let Some(running) = &mut self.running {
                    running.step = None;
                }
                self.keep(step);
            }
            TurnSaid::Ended(ended) => self.ended(ended, effects),
        }
    }

    fn keep(&mut self, step: Arc<Step>) {
        if let Some(turn) = self.transcript.open_turn() {
            turn.steps.push(step);
        }
    }

    fn replied(&mut self, reply: Reply, spent: Option<Spent>, effects: &mut Vec<Effect>) {
        if let Some(running) = &mut self.running {
            let mut delivered = std::mem::take(&mut running.delivered);
            delivered.extend(self.reports.seen(&reply.steered));
            let place = |prompt: &Prompt| {
                reply.steered.iter().position(|message| *message == prompt.message)
            };
            delivered.sort_by_key(place);
            running.step = Some(OpenStep::new(reply.clone(), delivered));
        }
        let report = spent.as_ref().and_then(|spent| self.ledger.enter(reply.usage, spent));
        let (text, usage) = (reply.text.clone(), reply.usage);
        let cost = spent.as_ref().and_then(|spent| spent.cost);
        effects.push(Effect::append(Record::Reply { reply, spent }));
        if self.is_child() {
            effects.push(Effect::Replied { text, usage, cost });
        } else if let Some(report) = report {
            effects.push(Effect::Tell(Event::Usage(report)));
        }
    }

    fn say_delivered(&self, prompts: Vec<PromptId>, effects: &mut Vec<Effect>) {
        if self.is_child() {
            effects.push(Effect::Delivered(prompts));
        }
    }

    /// A turn that is being stopped begins nothing more: then `go` is dropped.
    fn let_go(&self, go: Go, effects: &mut Vec<Effect>) {
        if !self.is_cancelling() {
            effects.push(Effect::LetGo(go));
        }
    }

    fn let_begin(&self, call: CallId, outside: bool, go: Go, effects: &mut Vec<Effect>) {
        if self.is_cancelling() {
            return;
        }
        let durability = if outside { Durability::Power } else { Durability::Process };
        effects.push(Effect::Append(Record::Begun { call }, durability));
        self.let_go(go, effects);
    }

    fn pass_on_call(&mut self, shown: CallUpdate, effects: &mut Vec<Effect>) {
        if !shown.hidden {
            self.pass_on(Event::Call(shown), effects);
        }
    }

    fn pass_on(&mut self, event: Event, effects: &mut Vec<Effect>) {
        match &event {
            Event::Call(update) => self.follow_call(update),
            Event::Plan(entries) => {
                effects.push(Effect::append(Record::Plan { entries: entries.clone() }));
            }
            Event::Said { .. }
            | Event::Usage(_)
            | Event::Title(_)
            | Event::Commands(_)
            | Event::Settings(_)
            | Event::Subagent(_)
            | Event::Between(_)
            | Event::Notice(_)
            | Event::Board(_)
            | Event::FollowUp(_) => {}
        }
        self.flow.follow(&event);
        self.keep_for_later(&event);
        effects.push(Effect::Tell(event));
    }

    fn follow_call(&mut self, update: &CallUpdate) {
        let Some(running) = &mut self.running else { return };
        let CallUpdate { id, tool, status, .. } = update;
        if tool.is_some() {
            running.announced.insert(id.clone(), update.clone());
        }
        match status {
            Some(status) if status.is_final() => {
                running.announced.remove(id);
                running.open_calls.remove(id);
            }
            Some(_) => {
                running.open_calls.insert(id.clone());
            }
            None => {}
        }
    }

    fn ended(&mut self, ended: Ended, effects: &mut Vec<Effect>) {
        let Some(mut running) = self.running.take() else { return };
        // The dialog of a task may stay, which is decided below.
        self.questions.turn_is_over(Asker::Late, effects);
        // Only a turn that died leaves something open.
        if let Some(step) = leave_nothing_open(&mut running, effects) {
            self.keep(Arc::new(step));
        }
        let answer = match running.stopping {
            // A cancelled turn is never an error, however it ended (ACP v1, prompt turn).
            Some(Stop::Wanted) => Ok(End::Cancelled),
            Some(Stop::TakenOver) => Err(taken_over()),
            None => ended.result,
        };
        let over = match &answer {
            Ok(end) => Over::Ended { end: end.clone() },
            Err(fault) => {
                Over::Failed { message: fault.sentence(), refused_input: ended.refused_input }
            }
        };
        if let Some(turn) = self.transcript.open_turn() {
            turn.over = Some(over.clone());
        }
        effects.push(Effect::append(Record::End { over }));
        if let Some(title) = running.title.take() {
            effects.push(Effect::Tell(Event::Title(title)));
        }
        let (over, waiting): (Vec<Prompt>, Vec<Prompt>) = std::mem::take(&mut running.steering)
            .into_iter()
            .partition(|prompt| self.closing || prompt.id <= self.cancelled_upto);
        for prompt in waiting.into_iter().rev() {
            self.queue.push_front(prompt);
        }
        // A turn that was stopped or broke is not gone on with by itself.
        if answer != Ok(End::Finished) {
            self.follow_ups.drop_all();
        }
        if running.is_cancelled && !running.ends_tasks && !running.prompts.is_empty() {
            self.tell_what_goes_on(effects);
        }
        if let Why::FollowUp(mark) = &running.why {
            self.follow_up_is_over(mark, &answer, effects);
        }
        let is_held = self.hold(&running, &answer, effects);
        if self.asker() == Asker::Idle {
            self.attend(effects);
        }
        if !is_held {
            for prompt in &running.prompts {
                effects.push(Effect::Reply { prompt: *prompt, answer: answer.clone() });
            }
        }
        // They are answered with the turn that took them, but the model's reply never came.
        for prompt in std::mem::take(&mut running.delivered) {
            self.keep_undelivered(prompt, effects);
        }
        for prompt in over {
            self.not_delivered_in_order(prompt, effects);
        }
        if self.closing {
            return self.finish_close(effects);
        }
        if self.saving.is_taken_over() {
            return self.close_if_taken_over(effects);
        }
        if self.held.is_none() {
            self.go_on_with_queue(effects);
        }
        self.consider_follow_ups(effects);
        self.settle_hold(effects);
        self.attend(effects);
    }

    /// Nothing runs and nothing is held: what comes next?
    pub(super) fn go_on_with_queue(&mut self, effects: &mut Vec<Effect>) {
        if self.running.is_some() || self.closing {
            return;
        }
        match self.queue.pop_front() {
            Some(prompt) => self.start(prompt, effects),
            None => self.close_if_handed_over(effects),
        }
    }
}

/// Closes the calls of a turn that died, and their step.
fn leave_nothing_open(running: &mut Running, effects: &mut Vec<Effect>) -> Option<Step> {
    let failed = |call: CallId| CallUpdate::new(call).with_status(CallStatus::Failed);
    let mut step = running.step.take();
    for call in step.as_ref().map(OpenStep::unsettled).unwrap_or_default() {
        // What no client knows is not shown again either.
        let hidden = !running.open_calls.contains(&call);
        let shown = CallUpdate { hidden, ..running.record_of(&failed(call.clone())) };
        let outcome = Outcome::failed("the turn ended because of a defect in Talaria");
        if let Some(step) = &mut step {
            step.settled(call.clone(), outcome.clone());
        }
        effects.push(Effect::append(Record::Outcome {
            call: call.clone(),
            outcome,
            shown,
            gave: Vec::new(),
        }));
        if running.open_calls.remove(&call) {
            effects.push(Effect::Tell(Event::Call(failed(call))));
        }
    }
    for call in running.open_calls.drain() {
        effects.push(Effect::Tell(Event::Call(failed(call))));
    }
    step.map(OpenStep::close)
}
