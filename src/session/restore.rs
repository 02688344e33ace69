//! From the journal back to a session: what it goes on from, and what a client is shown of it again. One
//! pass over the records, in order; nothing is kept of a record that is not needed. It reads no database
//! and writes nothing: what is to be appended is handed back.

mod cards;
mod repair;
mod step;
mod sums;
#[cfg(test)]
mod tests;
mod unshown;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use self::cards::Cards;
use self::repair::Left;
use self::step::OpenStep;
use self::unshown::Unshown;
use super::flow::Flow;
use crate::event::{CallUpdate, Event, Role, ThoughtLevel};
use crate::ids::{CallId, IdSource, MessageId, PromptId};
use crate::known::Known;
use crate::permission::{Mode, Rule};
use crate::store::{Entry, Opened, Record, TitleBy};
use crate::tasks::Past;
use crate::transcript::{self, Author, Content, Over, Prompt, Reply, Transcript, Turn};

pub use self::sums::{Filled, Sums};

/// What a session goes on from. The default is a new one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Restored {
    /// No turn in it is open.
    pub transcript: Transcript,
    pub seen: HashMap<PathBuf, Known>,
    /// In the order of the answers; one for each grant.
    pub rules: Vec<Rule>,
    pub settings: Option<RestoredSettings>,
    pub title: Option<(String, TitleBy)>,
    /// The last one.
    pub opened: Option<Opened>,
    pub sums: Sums,
    /// Reports of tasks that the model has not been given, in the order in which they came.
    pub inbox: Vec<Prompt>,
    /// The tasks whose reports are in the journal, given or not; not those of a session that this one is a
    /// copy of.
    pub reported: BTreeSet<u64>,
    /// What is known of numbers of tasks, also from before the session was copied.
    pub past: Past,
    /// Cards, and calls that tasks asked for, that are not final: a replay shows them as interrupted.
    pub open_cards: BTreeSet<CallId>,
    /// Cards that are final.
    pub closed_cards: BTreeSet<CallId>,
    /// By task, the cards, whole, that say how tasks ended and that no client is known to have been shown. A
    /// replay shows them all.
    pub unshown: BTreeMap<u64, CallUpdate>,
}

/// The settings that the session had last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredSettings {
    pub mode: Mode,
    pub model: String,
    pub thought: ThoughtLevel,
}

/// Reads a journal.
#[derive(Debug)]
pub struct Restorer {
    epoch: u64,
    restored: Restored,
    /// Prompts that arrived and of which nothing else is known yet, in order.
    waiting: Vec<Prompt>,
    /// Where the open turn is among the transcript's entries.
    turn: Option<usize>,
    /// The open turn's step whose calls have not all an outcome.
    step: Option<OpenStep>,
    left: Left,
    flow: Flow,
    /// Tasks whose reports an outcome gave, perhaps before they came.
    gave: BTreeSet<u64>,
    cards: Cards,
    unshown: Unshown,
    /// What becomes of the cards by the end of the journal, where that was read before.
    foreseen: Cards,
    /// How cards that are open then are shown; absent where they stay open.
    cards_left: Option<Left>,
    /// Tasks whose cards stay open in any case.
    live: BTreeSet<u64>,
}

/// What comes of a whole journal.
#[derive(Debug, PartialEq)]
pub struct Finished {
    pub restored: Restored,
    /// The last that a replay shows.
    pub events: Vec<Event>,
    /// To be appended before the session goes on: how what was interrupted ended. Read again with them,
    /// the journal gives the same, and nothing more to repair.
    pub repairs: Vec<Record>,
}

impl Default for Restorer {
    fn default() -> Self {
        Self::new(1)
    }
}

impl Restorer {
    /// `epoch` is that of the opening that restores, the one that the repairs are appended in.
    pub fn new(epoch: u64) -> Self {
        Self {
            epoch,
            restored: Restored::default(),
            waiting: Vec::new(),
            turn: None,
            step: None,
            left: Left::Ended,
            flow: Flow::default(),
            gave: BTreeSet::new(),
            cards: Cards::default(),
            unshown: Unshown::default(),
            foreseen: Cards::default(),
            cards_left: Some(Left::Ended),
            live: BTreeSet::new(),
        }
    }

    /// For a session that is open in another process: its tasks go on there.
    #[must_use]
    pub fn of_open_session(mut self) -> Self {
        self.cards_left = None;
        self
    }

    /// For a session that is opened anew where it is open: these tasks of it go on.
    #[must_use]
    pub fn with_live(mut self, tasks: BTreeSet<u64>) -> Self {
        self.live = tasks;
        self
    }

    /// Takes a record that `Store::card_batches` gives, before all records are taken: a card is shown once,
    /// where it came to be, and as it is at the end. Only who shows the session needs it.
    pub fn foresee(&mut self, entry: &Entry) {
        match entry.record() {
            Some(Record::Opened(opened)) => {
                self.foreseen.opened(&opened);
            }
            Some(Record::Card { card }) => {
                self.foreseen.take(card);
            }
            Some(Record::Report { report }) => self.foreseen.reported(&report),
            Some(_) | None => {}
        }
    }

    /// Takes the next record; what a replay shows now. A record that this Talaria cannot read is left out,
    /// and so is one that does not fit what came before.
    pub fn take(&mut self, entry: &Entry) -> Vec<Event> {
        let mut events = Vec::new();
        if let Some(record) = entry.record() {
            self.apply(record, &mut events);
        }
        for event in &events {
            self.flow.follow(event);
        }
        events
    }

    /// There are no more records.
    pub fn finish(mut self) -> Finished {
        let repairs = self.repairs();
        let mut events = Vec::new();
        for record in &repairs {
            self.apply(record.clone(), &mut events);
        }
        events.extend(self.restored.summary());
        self.restored.open_cards = self.cards.open();
        self.restored.closed_cards = self.cards.closed();
        // None of them is open, so nothing in them is left by anybody.
        let ended = self.unshown.left().filter(|(_, id)| self.cards.ended(id).is_some());
        let unshown = ended.filter_map(|(task, id)| Some((task, self.cards.shown(id, None)?)));
        self.restored.unshown = unshown.collect();
        Finished { restored: self.restored, events, repairs }
    }

    fn apply(&mut self, record: Record, events: &mut Vec<Event>) {
        let restored = &mut self.restored;
        match record {
            Record::Opened(opened) => self.opened(opened),
            Record::Settings { mode, model, thought } => {
                restored.settings = Some(RestoredSettings { mode, model, thought });
            }
            Record::Title { title, by } => {
                let users = matches!(restored.title, Some((_, TitleBy::User)));
                if by == TitleBy::User || !users {
                    restored.title = Some((title, by));
                }
            }
            Record::Prompt { prompt } => self.arrived(prompt, events),
            Record::Turn { prompt } => self.began(prompt, events),
            Record::NotDelivered { prompt } => {
                if let Some(prompt) = self.take_waiting(&prompt) {
                    self.restored.transcript.entries.push(transcript::Entry::NotDelivered(prompt));
                }
            }
            Record::Aside { prompt, message, answer } => {
                self.aside(prompt, message, answer, events);
            }
            Record::Reply { reply, spent } => {
                if let Some(spent) = spent {
                    restored.sums.enter(&spent, reply.usage);
                }
                self.replied(reply, events);
            }
            Record::Call { shown } => {
                if let Some(step) = &mut self.step {
                    step.described(shown);
                }
            }
            Record::Permission { rule, .. } => {
                if let Some(rule) = rule {
                    restored.rules.retain(|known| known.grant.key != rule.grant.key);
                    restored.rules.push(rule);
                }
            }
            Record::Begun { call } => {
                if let Some(step) = &mut self.step {
                    step.begun(&call);
                }
            }
            Record::Saw { files } => restored.seen.extend(files),
            Record::Outcome { call, outcome, shown, gave } => {
                if let Some(step) = &mut self.step {
                    if step.settled(&call, outcome, shown) {
                        restored.inbox.retain(|report| !is_of(report, &gave));
                        self.unshown.given(gave.iter().copied());
                        self.gave.extend(gave);
                    }
                    if step.is_settled() {
                        self.close_step(events);
                    }
                }
            }
            Record::Told { message, content } => {
                events.push(Event::Said { message, role: Role::Agent, content });
            }
            Record::Plan { entries } => events.push(Event::Plan(entries)),
            Record::Card { card } => {
                let id = card.id.clone();
                let number = cards::number(&id);
                self.numbered(number);
                let lives = number.is_some_and(|number| self.live.contains(&number));
                let left = self.cards_left.filter(|_| !lives);
                if self.cards.take(card) {
                    let shown = self.foreseen.shown(&id, left);
                    let shown = shown.or_else(|| self.cards.shown(&id, left));
                    events.extend(shown.map(Event::Call));
                }
                if let Some(task) = self.cards.ended(&id) {
                    self.unshown.ended(task, id);
                }
            }
            Record::Report { report } => self.reported(report),
            Record::Shown { tasks } => self.unshown.shown(tasks),
            Record::End { over } => self.ended(over, events),
        }
    }

    fn opened(&mut self, opened: Opened) {
        if self.cards.opened(&opened) {
            // What is open now goes on in the session that this one is a copy of. So do its tasks; the
            // reports that came stay.
            let past = &mut self.restored.past;
            past.copied = opened.forked_from.clone().map(|from| (from, past.highest));
            self.left = Left::Copied;
            self.restored.reported.clear();
            self.gave.clear();
            self.unshown.copied();
        }
        self.restored.opened = Some(opened);
    }

    /// A task of this number was spoken of.
    fn numbered(&mut self, number: Option<u64>) {
        let past = &mut self.restored.past;
        past.highest = past.highest.max(number.unwrap_or_default());
    }

    /// Prompts are shown when they arrive, whatever becomes of them. One that no user sent is none to a client.
    fn arrived(&mut self, prompt: Prompt, events: &mut Vec<Event>) {
        if self.waiting.iter().any(|waiting| waiting.message == prompt.message) {
            return;
        }
        events.extend(shown_prompt(&prompt));
        self.waiting.push(prompt);
    }

    /// Each task reports once; what a call gave does not come again.
    fn reported(&mut self, report: Prompt) {
        let Author::Task(task) = report.from else { return };
        self.numbered(Some(task));
        self.cards.reported(&report);
        if self.restored.reported.insert(task) && !self.gave.contains(&task) {
            self.restored.inbox.push(report);
        }
    }

    fn take_waiting(&mut self, message: &MessageId) -> Option<Prompt> {
        let at = self.waiting.iter().position(|prompt| prompt.message == *message)?;
        Some(self.waiting.remove(at))
    }

    fn take_report(&mut self, message: &MessageId) -> Option<Prompt> {
        let inbox = &mut self.restored.inbox;
        let at = inbox.iter().position(|report| report.message == *message)?;
        let report = inbox.remove(at);
        if let Author::Task(task) = report.from {
            self.unshown.given([task]);
        }
        Some(report)
    }

    /// The prompt that the model saw. One that cannot be read, of a newer Talaria, has a note in its place:
    /// the conversation around it stays.
    fn taken(&mut self, message: MessageId, events: &mut Vec<Event>) -> Prompt {
        let known = self.take_waiting(&message).or_else(|| self.take_report(&message));
        known.unwrap_or_else(|| {
            let note = "[A prompt was here that this version of Talaria cannot read.]";
            let content = vec![Content::text(note)];
            let prompt = Prompt { id: PromptId::default(), message, content, from: Author::User };
            events.extend(shown_prompt(&prompt));
            prompt
        })
    }

    fn began(&mut self, prompt: MessageId, events: &mut Vec<Event>) {
        // Its end could not be read.
        self.ended(Over::Interrupted, events);
        let turn = Turn { prompt: self.taken(prompt, events), steps: Vec::new(), over: None };
        let entries = &mut self.restored.transcript.entries;
        self.turn = Some(entries.len());
        self.left = Left::Ended;
        entries.push(transcript::Entry::Turn(Arc::new(turn)));
    }

    fn aside(
        &mut self,
        prompt: Prompt,
        message: MessageId,
        answer: String,
        events: &mut Vec<Event>,
    ) {
        if self.take_waiting(&prompt.message).is_none() {
            events.extend(shown_prompt(&prompt));
        }
        events.push(said(message.clone(), Role::Agent, &answer));
        self.restored.transcript.entries.push(transcript::Entry::Aside { prompt, message, answer });
    }

    fn replied(&mut self, mut reply: Reply, events: &mut Vec<Event>) {
        if self.turn.is_none() {
            return;
        }
        self.close_step(events);
        let steered = std::mem::take(&mut reply.steered);
        let steered = steered.into_iter().map(|message| self.taken(message, events)).collect();
        let calls = std::mem::take(&mut reply.calls);
        for (message, role, text) in [
            (&reply.thought_message, Role::Thought, &reply.thought),
            (&reply.message, Role::Agent, &reply.text),
        ] {
            if let Some(message) = message.as_ref().filter(|_| !text.is_empty()) {
                events.push(said(message.clone(), role, text));
            }
        }
        let step = reply.into_step(steered, Vec::new());
        let step = OpenStep::new(step, calls);
        let whole = step.is_settled();
        self.step = Some(step);
        if whole {
            self.close_step(events);
        }
    }

    /// The open step gets no more.
    fn close_step(&mut self, events: &mut Vec<Event>) {
        let Some(step) = self.step.take() else { return };
        let step = step.close(events);
        if let Some(turn) = self.open_turn() {
            turn.steps.push(Arc::new(step));
        }
    }

    fn ended(&mut self, over: Over, events: &mut Vec<Event>) {
        self.close_step(events);
        if let Some(turn) = self.open_turn() {
            turn.over = Some(over);
        }
        self.turn = None;
    }

    fn open_turn(&mut self) -> Option<&mut Turn> {
        match self.restored.transcript.entries.get_mut(self.turn?)? {
            // Nobody else has it yet, so nothing is copied.
            transcript::Entry::Turn(turn) => Some(Arc::make_mut(turn)),
            transcript::Entry::Aside { .. } | transcript::Entry::NotDelivered(_) => None,
        }
    }

    /// How what is open now ended.
    fn repairs(&mut self) -> Vec<Record> {
        let mut repairs: Vec<Record> = Vec::new();
        if let Some(step) = &self.step {
            // Its calls are shown when they are settled.
            self.flow.interrupt();
            repairs.extend(step.repairs(self.left));
        }
        // A turn that was to begin by itself is not missed: the reports that it was for are in the inbox.
        let waits = self.waiting.iter().any(|prompt| prompt.from == Author::User);
        if let Some(text) = self.left.told(self.open_turn().map(|turn| turn.prompt.from), waits) {
            let message = IdSource::before(self.epoch);
            let text = self.flow.apart(text, false);
            repairs.push(Record::Told { message, content: Content::text(text) });
        }
        if self.turn.is_some() {
            repairs.push(Record::End { over: Over::Interrupted });
        }
        let messages = self.waiting.iter().map(|prompt| prompt.message.clone());
        repairs.extend(messages.map(|prompt| Record::NotDelivered { prompt }));
        repairs
    }
}

impl Restored {
    /// What a client is shown of the session as a whole.
    pub(super) fn summary(&self) -> Vec<Event> {
        let title = self.title.iter().map(|(title, _)| Event::Title(title.clone()));
        title.chain(self.sums.report().map(Event::Usage)).collect()
    }
}

fn is_of(report: &Prompt, tasks: &[u64]) -> bool {
    matches!(report.from, Author::Task(task) if tasks.contains(&task))
}

fn shown_prompt(prompt: &Prompt) -> impl Iterator<Item = Event> {
    let content = prompt.content.iter().filter(|_| prompt.from == Author::User);
    content.map(|content| Event::Said {
        message: prompt.message.clone(),
        role: Role::User,
        content: content.clone(),
    })
}

fn said(message: MessageId, role: Role, text: &str) -> Event {
    Event::Said { message, role, content: Content::text(text) }
}
