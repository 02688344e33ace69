//! The rules of a session: which prompt runs when, what a cancel ends, one open question at a time,
//! what "always" covers, when reports of tasks reach the model, and what is written down before it is told.
//! Synchronous, without I/O, clock or ids of its own.

mod asking;
mod cards;
mod follow;
mod hold;
mod saving;
mod settings;
mod steering;
mod step;
mod tasks;
mod titles;
mod turns;
mod words;

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;

use self::cards::Tasks;
use self::follow::FollowUps;
use self::hold::Held;
use self::saving::Saving;
use self::tasks::{Commands, Reports};
use self::turns::{Running, Stop};
pub(super) use self::words::{Effect, Initial, Input};
use super::Answered;
use super::commands;
use super::flow::Flow;
use super::ledger::Ledger;
use super::questions::Questions;
use super::restore::Restored;
use crate::config::{Busy, TasksSection};
use crate::event::{Event, Role, Settings};
use crate::fault::{Fault, Kind};
use crate::ids::{IdSource, MessageId, PromptId};
use crate::known::Known;
use crate::permission::Rule;
use crate::store::{Record, TitleBy};
use crate::transcript::{Author, Content, End, Entry, Prompt, Transcript};
use crate::viewer::{Late, Viewer};

/// Prompts that may wait at once, but in a session that does a task: all that is for it lies in the task's inbox, and
/// who sent it was told that the task will see it.
const MAX_WAITING: usize = 32;

/// Who hears what a session says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hearer {
    Client,
    Task,
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and none excludes another"
)]
pub(super) struct SessionState {
    hearer: Hearer,
    ids: IdSource,
    busy: Busy,
    version: &'static str,
    viewer: Viewer,
    config: TasksSection,
    settings: Settings,
    has_tasks: bool,
    transcript: Transcript,
    seen: HashMap<PathBuf, Known>,
    running: Option<Running>,
    queue: VecDeque<Prompt>,
    questions: Questions,
    reports: Reports,
    tasks: Tasks,
    follow_ups: FollowUps,
    /// Prompts that wait for tasks. No turn runs then.
    held: Option<Held>,
    /// Commands of tasks that are being carried out.
    commands: Commands,
    /// Prompts that steer: nobody waits for their answers.
    unawaited: HashSet<PromptId>,
    cancelled_upto: PromptId,
    ledger: Ledger,
    title: Option<(String, TitleBy)>,
    /// The client was shown what the session goes on from.
    is_shown: bool,
    /// What the client must still be shown of what the session goes on from.
    unshown: Vec<Event>,
    flow: Flow,
    saving: Saving,
    settled: bool,
    handing_over: bool,
    closing: bool,
}

impl SessionState {
    pub(super) fn new(initial: Initial, restored: Restored, ids: IdSource) -> Self {
        let unshown = if initial.is_shown { Vec::new() } else { restored.summary() };
        Self {
            is_shown: initial.is_shown,
            hearer: if initial.is_child { Hearer::Task } else { Hearer::Client },
            ids,
            busy: initial.busy,
            version: initial.version,
            viewer: initial.viewer,
            config: initial.tasks,
            settings: initial.settings,
            has_tasks: initial.has_tasks,
            transcript: restored.transcript,
            seen: restored.seen,
            running: None,
            queue: VecDeque::new(),
            questions: Questions::new(restored.rules, restored.open_cards.clone(), initial.viewer),
            reports: Reports::new(restored.inbox, restored.reported),
            tasks: Tasks::new(restored.unshown, restored.open_cards),
            follow_ups: FollowUps::default(),
            held: None,
            commands: Commands::new(),
            unawaited: HashSet::new(),
            cancelled_upto: PromptId(0),
            ledger: Ledger::of(restored.sums),
            title: restored.title,
            unshown,
            flow: Flow::default(),
            saving: Saving::new(initial.notice),
            settled: false,
            handing_over: false,
            closing: false,
        }
    }

    fn is_child(&self) -> bool {
        self.hearer == Hearer::Task
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn rules(&self) -> &[Rule] {
        self.questions.rules()
    }

    pub(super) fn seen(&self) -> &HashMap<PathBuf, Known> {
        &self.seen
    }

    /// What a session would go on from that is opened again now.
    #[cfg(test)]
    pub(super) fn so_far(&self) -> Restored {
        let Settings { mode, model, thought, .. } = self.settings.clone();
        Restored {
            transcript: self.transcript.clone(),
            seen: self.seen.clone(),
            rules: self.rules().to_vec(),
            settings: Some(super::restore::RestoredSettings { mode, model, thought }),
            title: self.title.clone(),
            opened: None,
            sums: self.ledger.sums().clone(),
            inbox: self.reports.pending(),
            reported: self.reports.known().clone(),
            past: crate::tasks::Past::default(),
            open_cards: std::collections::BTreeSet::new(),
            closed_cards: std::collections::BTreeSet::new(),
            unshown: std::collections::BTreeMap::new(),
        }
    }

    pub(super) fn ids(&self) -> &IdSource {
        &self.ids
    }

    /// Whether the turn is being stopped: then what it says is taken however slow the client is.
    pub(super) fn is_cancelling(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.stopping.is_some())
    }

    pub(super) fn handle(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            // One that ends already has nothing to say.
            Input::Opened if self.closing => {}
            Input::Opened => effects.push(Effect::SettleSoon),
            Input::Settle => self.settle(&mut effects),
            Input::Prompt { id, content } => self.prompt(id, content, &mut effects),
            Input::Steering { id, content, idle } => {
                self.steering(id, content, idle, &mut effects);
            }
            Input::Cancel { upto } => self.cancel(upto, &mut effects),
            Input::CancelPrompt(id) => self.cancel_prompt(id, &mut effects),
            Input::Answer { call, answer } => {
                let asker = self.asker();
                self.questions.answer(&call, answer, asker, &mut effects);
            }
            Input::NobodyAnswered(call) => self.nobody_answered(&call, &mut effects),
            Input::Set(setting) => self.set_and_reply(setting, &mut effects),
            Input::ModelRefused { kept, why } => self.model_refused(kept, &why, &mut effects),
            Input::Turn(said) => self.turn_said(said, &mut effects),
            Input::Task(said) => self.task_said(said, &mut effects),
            Input::CommandDone { prompt, text } => self.command_done(prompt, text, &mut effects),
            Input::SetTitle(title) => self.set_title(&title, &mut effects),
            Input::Store(trouble) => self.store_says(trouble, &mut effects),
            Input::Notice(notice) => self.notice(notice, &mut effects),
            Input::AnswerWaits => self.tell_of_trouble(&mut effects),
            Input::Inherited { mode, rules } => self.inherit(mode, &rules, &mut effects),
            Input::TasksStopped => {
                if self.is_heard() {
                    self.questions.tasks_stopped(&mut effects);
                }
            }
            Input::TasksCancelled => self.tasks_cancelled(&mut effects),
            Input::FollowUpDue => self.follow_up_is_due(&mut effects),
            Input::HoldOver => self.hold_is_over(&mut effects),
            Input::HandOver => {
                self.handing_over = true;
                self.close_if_handed_over(&mut effects);
            }
            Input::Stay => {
                self.handing_over = false;
                self.consider_follow_ups(&mut effects);
            }
            Input::Close => self.close(&mut effects),
        }
        self.answer_awaited(&mut effects);
        effects
    }

    /// What a client can take only when it knows the session: zed#60199.
    fn settle(&mut self, effects: &mut Vec<Effect>) {
        if !self.settled {
            self.settled = true;
            effects.push(Effect::AttachTasks);
            if self.is_child() {
                return self.unshown.clear();
            }
            effects.push(Effect::Tell(Event::Commands(commands::list(self.has_tasks))));
            effects.extend(self.unshown.drain(..).map(Effect::Tell));
            if self.is_shown {
                self.was_replayed(effects);
            } else if self.viewer.late != Late::Lost {
                self.show_unshown(effects);
            }
        }
    }

    fn prompt(&mut self, id: PromptId, content: Vec<Content>, effects: &mut Vec<Effect>) {
        let Some(prompt) = self.take_prompt(id, content, effects) else { return };
        let Some(running) = &mut self.running else {
            // Behind the answers to those before it.
            self.queue.push_back(prompt);
            return match &self.held {
                Some(_) if self.is_ending_tasks() => {}
                Some(_) => self.end_hold(&Ok(End::Finished), effects),
                None => self.go_on_with_queue(effects),
            };
        };
        match self.busy {
            // Behind those that wait: a turn that ended did not take them.
            Busy::Steer if running.stopping.is_none() && self.queue.is_empty() => {
                running.steer(prompt, effects);
            }
            Busy::Steer | Busy::Queue => {
                self.queue.push_back(prompt);
                if running.stopping.is_none() {
                    effects.push(Effect::PromptWaits);
                }
            }
            Busy::Interrupt => {
                self.queue.push_back(prompt);
                self.stop_turn(Stop::Wanted, effects);
            }
        }
    }

    /// A prompt that a turn is to have, written down. What needs none, or may have none, is answered here.
    fn take_prompt(
        &mut self,
        id: PromptId,
        content: Vec<Content>,
        effects: &mut Vec<Effect>,
    ) -> Option<Prompt> {
        self.settle(effects);
        self.flow.interrupt();
        let prompt = Prompt { id, message: self.ids.message(), content, from: Author::User };
        if self.closing || id <= self.cancelled_upto {
            effects.push(Effect::append(Record::Prompt { prompt: prompt.clone() }));
            // Behind the running turn's own answer, so that answers come in the order of prompts.
            match &mut self.running {
                Some(running) if running.is_awaited() => running.steering.push_back(prompt),
                Some(_) | None => self.not_delivered_in_order(prompt, effects),
            }
            return None;
        }
        if self.saving.is_taken_over() {
            effects.push(Effect::Reply { prompt: id, answer: Err(saving::taken_over()) });
            self.close_if_taken_over(effects);
            return None;
        }
        if !self.is_child() {
            self.catch_up(effects);
        }
        // What a task is told is the model's text as often as the user's.
        if !self.is_child()
            && let Some(command) = commands::parse(&prompt.content)
        {
            self.run_command(prompt, command, effects);
            return None;
        }
        if prompt.content.is_empty() {
            let fault =
                Fault::new(Kind::User, "the prompt is empty").with_hint("Send at least one block.");
            effects.push(Effect::Reply { prompt: id, answer: Err(fault) });
            return None;
        }
        let waiting =
            self.queue.len() + self.running.as_ref().map_or(0, |running| running.steering.len());
        let is_busy = self.running.is_some() || self.held.is_some();
        if is_busy && waiting >= MAX_WAITING && !self.is_child() {
            let fault = Fault::new(Kind::User, format!("{MAX_WAITING} prompts wait already"))
                .with_hint("Wait for the running turn, or cancel it.");
            effects.push(Effect::Reply { prompt: id, answer: Err(fault) });
            return None;
        }
        effects.push(Effect::append(Record::Prompt { prompt: prompt.clone() }));
        Some(prompt)
    }

    fn not_delivered(&mut self, prompt: Prompt, effects: &mut Vec<Effect>) {
        let id = prompt.id;
        self.keep_undelivered(prompt, effects);
        effects.push(Effect::Reply { prompt: id, answer: Ok(End::Cancelled) });
    }

    fn keep_undelivered(&mut self, prompt: Prompt, effects: &mut Vec<Effect>) {
        effects.push(Effect::append(Record::NotDelivered { prompt: prompt.message.clone() }));
        self.transcript.entries.push(Entry::NotDelivered(prompt));
    }

    /// Cancels the running turn and what waits of it; prompts that arrived later stay.
    fn cancel(&mut self, upto: PromptId, effects: &mut Vec<Effect>) {
        self.cancelled_upto = self.cancelled_upto.max(upto);
        self.end_commands(|id| id <= upto, effects);
        let (cancelled, kept): (Vec<Prompt>, Vec<Prompt>) =
            self.queue.drain(..).partition(|prompt| prompt.id <= upto);
        self.queue = kept.into();
        // The reports stay.
        self.follow_ups.drop_all();
        let covers = |id: PromptId| id <= upto;
        if self.running.as_ref().is_some_and(|running| running.is_of(covers)) {
            self.cancel_running(effects);
            // Behind the running turn's own answer, so that answers come in the order of prompts.
            if let Some(running) = &mut self.running {
                running.steering.extend(cancelled);
            }
        } else {
            if self.held.is_some() {
                self.cancel_held(covers, effects);
            } else if self.running.is_none() {
                self.cancel_tasks_alone(effects);
            }
            for prompt in cancelled {
                self.not_delivered_in_order(prompt, effects);
            }
        }
    }

    /// One that the turn has already been given is answered with the turn.
    fn cancel_prompt(&mut self, id: PromptId, effects: &mut Vec<Effect>) {
        if self.running.as_ref().is_some_and(|running| running.prompts.first() == Some(&id)) {
            self.cancel_running(effects);
        } else if self.held.as_ref().is_some_and(|held| held.prompts.first() == Some(&id)) {
            self.cancel_held(|held| held == id, effects);
        } else if let Some(at) = self.queue.iter().position(|prompt| prompt.id == id)
            && let Some(prompt) = self.queue.remove(at)
        {
            self.not_delivered(prompt, effects);
        } else {
            self.end_commands(|command| command == id, effects);
        }
    }

    /// Says something that the model does not see, and that a replay shows again.
    fn say(&mut self, text: String, effects: &mut Vec<Effect>) {
        let text = self.flow.apart(text, self.running.is_some());
        self.say_as_it_is(text, effects);
    }

    /// The same where a turn begins behind it.
    fn say_before(&mut self, text: String, effects: &mut Vec<Effect>) {
        let text = self.flow.apart(text, true);
        self.say_as_it_is(text, effects);
    }

    /// The same to who waits for an answer that comes behind it, and so sees it.
    fn say_to_prompt(&mut self, text: String, effects: &mut Vec<Effect>) {
        let text = self.flow.apart(text, false);
        self.tell_and_write(text, effects);
    }

    fn say_as_it_is(&mut self, text: String, effects: &mut Vec<Effect>) {
        let said = self.tell_and_write(text, effects);
        self.keep_for_later(&said);
    }

    fn tell_and_write(&mut self, text: String, effects: &mut Vec<Effect>) -> Event {
        let message = self.ids.message();
        let content = Content::text(text.clone());
        effects.push(Effect::append(Record::Told { message: message.clone(), content }));
        let said = said(message, text);
        effects.push(Effect::Tell(said.clone()));
        said
    }

    fn close(&mut self, effects: &mut Vec<Effect>) {
        if self.closing {
            return;
        }
        self.closing = true;
        let held = if self.saving.is_taken_over() {
            Err(saving::taken_over())
        } else {
            Ok(End::Cancelled)
        };
        self.answer_held(&held, effects);
        match &mut self.running {
            Some(running) => {
                // Answered behind the running turn, as with a cancel.
                running.steering.append(&mut self.queue);
                self.stop_turn(Stop::Wanted, effects);
            }
            None => self.finish_close(effects),
        }
    }

    /// Whether another Talaria has the session now.
    pub(super) fn is_taken_over(&self) -> bool {
        self.saving.is_taken_over()
    }

    /// Whether the session ends.
    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }

    fn close_if_handed_over(&mut self, effects: &mut Vec<Effect>) {
        if !self.handing_over || self.running.is_some() || self.is_ending_tasks() {
            return;
        }
        self.answer_held(&Ok(End::Finished), effects);
        self.close(effects);
    }

    fn finish_close(&mut self, effects: &mut Vec<Effect>) {
        for prompt in std::mem::take(&mut self.queue) {
            self.not_delivered(prompt, effects);
        }
        self.end_commands(|_| true, effects);
        self.attend(effects);
        effects.push(Effect::Stop);
    }
}

/// Words of Talaria itself.
fn said(message: MessageId, text: String) -> Event {
    Event::Said { message, role: Role::Agent, content: Content::text(text) }
}

fn tell(message: MessageId, text: String) -> Effect {
    Effect::Tell(said(message, text))
}
