//! The rules of a session: which prompt runs when, what a cancel ends, one open question at a time,
//! what "always" covers. Synchronous, without I/O, clock or ids of its own.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use super::commands::{self, Command};
use super::ledger::Ledger;
use super::questions::{Asker, Questions};
use super::{Answered, Setting};
use crate::config::Busy;
use crate::event::{CallStatus, CallUpdate, Event, Question, Role, Settings, ThoughtLevel};
use crate::fault::{Fault, Kind};
use crate::ids::{CallId, IdSource, MessageId, PromptId};
use crate::permission::{Answer, Mode, Rule};
use crate::known::Known;
use crate::transcript::{Content, End, Entry, Over, Prompt, Transcript, Turn};
use crate::turn::{Ended, TurnSaid};

/// Prompts that may wait at once.
const MAX_WAITING: usize = 32;
/// Characters of a title.
const TITLE_CHARS: usize = 60;
/// What stands before the file of a scripted model; opening one reads files, so it is not typed.
const SCRIPTED: &str = "scripted:";

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "inputs are handled one at a time, never kept")]
pub(super) enum Input {
    /// The client knows the session now.
    Opened,
    /// Time for what is said a moment after opening.
    Settle,
    Prompt {
        id: PromptId,
        content: Vec<Content>,
    },
    /// Ends what the prompts up to `upto` led to.
    Cancel {
        upto: PromptId,
    },
    /// The client no longer wants this one prompt's answer.
    CancelPrompt(PromptId),
    Answer {
        call: CallId,
        answer: Answer,
    },
    Set(Setting),
    /// The chosen model cannot be asked; `kept` stays.
    ModelRefused {
        kept: String,
        why: Fault,
    },
    Turn(TurnSaid),
    Close,
}

#[derive(Debug, PartialEq)]
pub(super) enum Effect {
    Tell(Event),
    Reply {
        prompt: PromptId,
        answer: Answered,
    },
    /// Answers the `Set` that is handled now.
    ReplySet(Result<Settings, Fault>),
    Ask(Question),
    Withdraw(CallId),
    /// Start a turn on this prompt; the history is the transcript without it.
    StartTurn {
        prompt: Prompt,
        history: Vec<Arc<Turn>>,
    },
    Steer(Prompt),
    AnswerTurn {
        call: CallId,
        answer: Answer,
    },
    CancelTurn,
    /// Settings that a running turn must know changed.
    Publish,
    /// Say `Settle` a moment from now.
    SettleSoon,
    /// Everything is over.
    Stop,
}

/// What a session starts with.
#[derive(Debug, Clone)]
pub(super) struct Initial {
    pub(super) settings: Settings,
    pub(super) busy: Busy,
    pub(super) version: &'static str,
}

#[derive(Debug)]
struct Running {
    first: PromptId,
    /// Prompts that the turn took, in order.
    taken: Vec<PromptId>,
    /// Prompts on their way into the turn.
    steering: VecDeque<Prompt>,
    /// Calls that are not final.
    open_calls: HashSet<CallId>,
    cancelling: bool,
}

pub(super) struct SessionState {
    ids: IdSource,
    initial: Initial,
    settings: Settings,
    transcript: Transcript,
    seen: HashMap<PathBuf, Known>,
    running: Option<Running>,
    queue: VecDeque<Prompt>,
    questions: Questions,
    cancelled_upto: PromptId,
    ledger: Ledger,
    titled: bool,
    settled: bool,
    closing: bool,
}

impl SessionState {
    pub(super) fn new(initial: Initial, ids: IdSource) -> Self {
        Self {
            ids,
            settings: initial.settings.clone(),
            initial,
            transcript: Transcript::default(),
            seen: HashMap::new(),
            running: None,
            queue: VecDeque::new(),
            questions: Questions::default(),
            cancelled_upto: PromptId(0),
            ledger: Ledger::default(),
            titled: false,
            settled: false,
            closing: false,
        }
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

    pub(super) fn ids(&self) -> &IdSource {
        &self.ids
    }

    /// Whether the turn is being stopped: then what it says is taken however slow the client is.
    pub(super) fn is_cancelling(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.cancelling)
    }

    pub(super) fn handle(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Opened => effects.push(Effect::SettleSoon),
            Input::Settle => self.settle(&mut effects),
            Input::Prompt { id, content } => self.prompt(id, content, &mut effects),
            Input::Cancel { upto } => self.cancel(upto, &mut effects),
            Input::CancelPrompt(id) => self.cancel_prompt(id, &mut effects),
            Input::Answer { call, answer } => {
                let asker = self.asker();
                self.questions.answer(&call, answer, asker, &mut effects);
            }
            Input::Set(setting) => {
                let before = self.settings.clone();
                let answer = self.set(setting, &mut effects);
                effects.push(Effect::ReplySet(answer));
                self.publish_since(&before, &mut effects);
            }
            Input::ModelRefused { kept, why } => self.model_refused(kept, &why, &mut effects),
            Input::Turn(said) => self.turn_said(said, &mut effects),
            Input::Close => self.close(&mut effects),
        }
        effects
    }

    /// What a client can take only when it knows the session: zed#60199.
    fn settle(&mut self, effects: &mut Vec<Effect>) {
        if !self.settled {
            self.settled = true;
            effects.push(Effect::Tell(Event::Commands(commands::COMMANDS.to_vec())));
        }
    }

    fn prompt(&mut self, id: PromptId, content: Vec<Content>, effects: &mut Vec<Effect>) {
        self.settle(effects);
        let prompt = Prompt { id, message: self.ids.message(), content };
        if self.closing || id <= self.cancelled_upto {
            // Behind the running turn's own answer, so that answers come in the order of prompts.
            return match &mut self.running {
                Some(running) => running.steering.push_back(prompt),
                None => self.not_delivered(prompt, effects),
            };
        }
        if let Some(command) = commands::parse(&prompt.content) {
            return self.run_command(prompt, command, effects);
        }
        if prompt.content.is_empty() {
            let fault =
                Fault::new(Kind::User, "the prompt is empty").with_hint("Send at least one block.");
            return effects.push(Effect::Reply { prompt: id, answer: Err(fault) });
        }
        let waiting =
            self.queue.len() + self.running.as_ref().map_or(0, |running| running.steering.len());
        let Some(running) = &mut self.running else {
            return self.start(prompt, effects);
        };
        if waiting >= MAX_WAITING {
            let fault = Fault::new(Kind::User, format!("{MAX_WAITING} prompts wait already"))
                .with_hint("Wait for the running turn, or cancel it.");
            return effects.push(Effect::Reply { prompt: id, answer: Err(fault) });
        }
        match self.initial.busy {
            Busy::Steer if !running.cancelling => {
                running.steering.push_back(prompt.clone());
                effects.push(Effect::Steer(prompt));
            }
            Busy::Steer | Busy::Queue => self.queue.push_back(prompt),
            Busy::Interrupt => {
                self.queue.push_back(prompt);
                self.stop_turn(effects);
            }
        }
    }

    fn start(&mut self, prompt: Prompt, effects: &mut Vec<Effect>) {
        let history = self.transcript.turns();
        let turn = Turn { prompt: prompt.clone(), steps: Vec::new(), over: None };
        self.transcript.entries.push(Entry::Turn(Arc::new(turn)));
        self.running = Some(Running {
            first: prompt.id,
            taken: Vec::new(),
            steering: VecDeque::new(),
            open_calls: HashSet::new(),
            cancelling: false,
        });
        effects.push(Effect::StartTurn { prompt, history });
    }

    fn not_delivered(&mut self, prompt: Prompt, effects: &mut Vec<Effect>) {
        effects.push(Effect::Reply { prompt: prompt.id, answer: Ok(End::Cancelled) });
        self.transcript.entries.push(Entry::NotDelivered(prompt));
    }

    /// Cancels the running turn and what waits of it; prompts that arrived later stay.
    fn cancel(&mut self, upto: PromptId, effects: &mut Vec<Effect>) {
        self.cancelled_upto = self.cancelled_upto.max(upto);
        let (cancelled, kept): (Vec<Prompt>, Vec<Prompt>) =
            self.queue.drain(..).partition(|prompt| prompt.id <= upto);
        self.queue = kept.into();
        if self.running.as_ref().is_some_and(|running| running.first <= upto) {
            self.stop_turn(effects);
            // Behind the running turn's own answer, so that answers come in the order of prompts.
            if let Some(running) = &mut self.running {
                running.steering.extend(cancelled);
            }
        } else {
            for prompt in cancelled {
                self.not_delivered(prompt, effects);
            }
        }
    }

    /// One that the turn has already been given is answered with the turn.
    fn cancel_prompt(&mut self, id: PromptId, effects: &mut Vec<Effect>) {
        if self.running.as_ref().is_some_and(|running| running.first == id) {
            self.stop_turn(effects);
        } else if let Some(at) = self.queue.iter().position(|prompt| prompt.id == id)
            && let Some(prompt) = self.queue.remove(at)
        {
            self.not_delivered(prompt, effects);
        }
    }

    fn stop_turn(&mut self, effects: &mut Vec<Effect>) {
        if let Some(running) = &mut self.running
            && !running.cancelling
        {
            running.cancelling = true;
            effects.push(Effect::CancelTurn);
        }
    }

    fn asker(&self) -> Asker {
        if self.is_cancelling() { Asker::Stopping } else { Asker::Running }
    }

    fn set(&mut self, setting: Setting, effects: &mut Vec<Effect>) -> Result<Settings, Fault> {
        let mut settings = self.settings.clone();
        match setting {
            Setting::Mode(mode) => settings.mode = mode,
            Setting::Model(model) => {
                if !settings.models.contains(&model) {
                    return Err(Fault::new(Kind::User, format!("unknown model `{model}`"))
                        .with_hint(format!(
                            "Choose one of {}, or type `/model NAME`.",
                            settings.models.join(", ")
                        )));
                }
                settings.model = model;
            }
            Setting::Thought(level) => {
                settings.thought = ThoughtLevel::from_id(&level).ok_or_else(|| {
                    Fault::new(Kind::User, format!("unknown thought level `{level}`"))
                        .with_hint("Choose auto, low, medium or high.")
                })?;
            }
        }
        self.change(settings, effects);
        Ok(self.settings.clone())
    }

    fn model_refused(&mut self, kept: String, why: &Fault, effects: &mut Vec<Effect>) {
        self.settings.model = kept;
        effects.push(Effect::Tell(Event::Settings(self.settings.clone())));
        self.say(format!("The model stays as it was. {}", why.sentence()), effects);
    }

    /// Says something that the model does not see; the message's id.
    fn say(&self, text: String, effects: &mut Vec<Effect>) -> MessageId {
        let message = self.ids.message();
        effects.push(Effect::Tell(Event::Said {
            message: message.clone(),
            role: Role::Agent,
            content: Content::text(text),
        }));
        message
    }

    fn change(&mut self, settings: Settings, effects: &mut Vec<Effect>) {
        if self.settings != settings {
            self.settings = settings.clone();
            effects.push(Effect::Tell(Event::Settings(settings)));
        }
    }

    /// Comes behind what is said of a change: the model may turn out not to be there.
    fn publish_since(&self, before: &Settings, effects: &mut Vec<Effect>) {
        if self.settings != *before {
            effects.push(Effect::Publish);
        }
    }

    fn turn_said(&mut self, said: TurnSaid, effects: &mut Vec<Effect>) {
        match said {
            TurnSaid::Event(event) => {
                self.follow_call(&event);
                effects.push(Effect::Tell(event));
            }
            TurnSaid::Ask(question) => {
                let asker = self.asker();
                self.questions.ask(question, asker, effects);
            }
            TurnSaid::Withdraw(call) => {
                let asker = self.asker();
                self.questions.withdraw(&call, asker, effects);
            }
            TurnSaid::Delivered(prompts) => {
                if let Some(running) = &mut self.running {
                    running.steering.retain(|prompt| !prompts.contains(&prompt.id));
                    running.taken.extend(prompts);
                }
            }
            TurnSaid::Used(spent) => {
                let usage = self.ledger.enter(spent);
                effects.push(Effect::Tell(Event::Usage(usage)));
            }
            TurnSaid::Saw(files) => self.seen.extend(files),
            TurnSaid::Step(step) => {
                if let Some(turn) = self.transcript.open_turn() {
                    turn.steps.push(step);
                }
            }
            TurnSaid::Ended(ended) => self.ended(ended, effects),
        }
    }

    fn follow_call(&mut self, event: &Event) {
        let Some(running) = &mut self.running else { return };
        if let Event::Call(CallUpdate { id, status: Some(status), .. }) = event {
            if status.is_final() {
                running.open_calls.remove(id);
            } else {
                running.open_calls.insert(id.clone());
            }
        }
    }

    fn ended(&mut self, ended: Ended, effects: &mut Vec<Effect>) {
        let Some(running) = self.running.take() else { return };
        // Only a turn that died leaves something open.
        self.questions.withdraw_all(effects);
        for call in running.open_calls {
            let update = CallUpdate::new(call).with_status(CallStatus::Failed);
            effects.push(Effect::Tell(Event::Call(update)));
        }
        let answer: Answered = match ended.result {
            // A cancelled turn is never an error, however it ended (ACP v1, prompt turn).
            _ if running.cancelling => Ok(End::Cancelled),
            result => result,
        };
        if let Some(turn) = self.transcript.open_turn() {
            turn.over = Some(match &answer {
                Ok(end) => Over::Ended { end: end.clone() },
                Err(fault) => {
                    Over::Failed { message: fault.sentence(), refused_input: ended.refused_input }
                }
            });
        }
        self.give_title(effects);
        for prompt in std::iter::once(running.first).chain(running.taken) {
            effects.push(Effect::Reply { prompt, answer: answer.clone() });
        }
        let (over, waiting): (Vec<Prompt>, Vec<Prompt>) = running
            .steering
            .into_iter()
            .partition(|prompt| self.closing || prompt.id <= self.cancelled_upto);
        for prompt in over {
            self.not_delivered(prompt, effects);
        }
        for prompt in waiting.into_iter().rev() {
            self.queue.push_front(prompt);
        }
        if self.closing {
            return self.finish_close(effects);
        }
        if let Some(prompt) = self.queue.pop_front() {
            self.start(prompt, effects);
        }
    }

    fn give_title(&mut self, effects: &mut Vec<Effect>) {
        if self.titled {
            return;
        }
        let first = self.transcript.entries.iter().find_map(|entry| match entry {
            Entry::Turn(turn) => Some(turn.prompt.text()),
            Entry::Aside { .. } | Entry::NotDelivered(_) => None,
        });
        if let Some(title) = first.and_then(|text| title_of(&text)) {
            self.titled = true;
            effects.push(Effect::Tell(Event::Title(title)));
        }
    }

    fn close(&mut self, effects: &mut Vec<Effect>) {
        if self.closing {
            return;
        }
        self.closing = true;
        match &mut self.running {
            Some(running) => {
                // Answered behind the running turn, as with a cancel.
                running.steering.append(&mut self.queue);
                self.stop_turn(effects);
            }
            None => self.finish_close(effects),
        }
    }

    fn finish_close(&mut self, effects: &mut Vec<Effect>) {
        for prompt in std::mem::take(&mut self.queue) {
            self.not_delivered(prompt, effects);
        }
        effects.push(Effect::Stop);
    }

    fn run_command(&mut self, prompt: Prompt, command: Command, effects: &mut Vec<Effect>) {
        let before = self.settings.clone();
        let answer = match command {
            Command::Help => commands::help(),
            Command::Version => format!("Talaria {}", self.initial.version),
            Command::Usage => self.ledger.describe(),
            Command::Mode(None) => {
                format!(
                    "The mode is `{}`: {}.",
                    self.settings.mode,
                    self.settings.mode.description()
                )
            }
            Command::Mode(Some(name)) => match name.parse::<Mode>() {
                Ok(mode) => {
                    self.change(Settings { mode, ..self.settings.clone() }, effects);
                    format!("The mode is now `{mode}`: {}.", mode.description())
                }
                Err(message) => Fault::new(Kind::User, message).sentence(),
            },
            Command::Model(None) => format!(
                "The model is `{}`. To choose from: {}.",
                self.settings.model,
                self.settings.models.join(", ")
            ),
            Command::Model(Some(name)) => self.switch_model(&name, effects),
        };
        let message = self.say(answer.clone(), effects);
        self.publish_since(&before, effects);
        effects.push(Effect::Reply { prompt: prompt.id, answer: Ok(End::Finished) });
        self.transcript.entries.push(Entry::Aside { prompt, message, answer });
    }

    /// A typed name may be one that the configuration does not list: the provider decides.
    fn switch_model(&mut self, name: &str, effects: &mut Vec<Effect>) -> String {
        let mut settings = self.settings.clone();
        if !settings.models.iter().any(|known| known == name) {
            if name.starts_with(SCRIPTED) {
                let fault = Fault::new(Kind::User, "a script is not chosen here");
                return fault.with_hint("Set `TALARIA_MODEL` before the start.").sentence();
            }
            settings.models.push(name.to_owned());
        }
        name.clone_into(&mut settings.model);
        self.change(settings, effects);
        format!("The model is now `{name}`, from the next request on.")
    }
}

/// The first line that says something, short.
fn title_of(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    if line.chars().count() <= TITLE_CHARS {
        return Some(line.to_owned());
    }
    let cut: String = line.chars().take(TITLE_CHARS - 1).collect();
    let whole = cut.rsplit_once(' ').map_or(cut.as_str(), |(whole_words, _)| whole_words);
    Some(format!("{}…", whole.trim_end()))
}
