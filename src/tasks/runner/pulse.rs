//! How a running task is doing, for whoever looks. It is made by the task's runner alone.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::redact::Mask;
use crate::tasks::attempts::Attempts;
use crate::tasks::tail::Tail;
use crate::transcript::{Text, Usage};

/// Characters of what a task said so far that are given.
const PARTIAL: usize = 8_000;

/// What a task does, as its time is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    #[default]
    Working,
    /// It has asked, and nothing else of it goes on.
    Waiting,
    /// It has said all that it had to say, and its own tasks run.
    Idle,
}

/// How a task is doing.
#[derive(Debug, Clone, Default)]
pub struct Pulse {
    pub phase: Phase,
    /// Replies of the model.
    pub steps: u64,
    /// Calls that came to an end.
    pub calls: u64,
    /// In and out together.
    pub tokens: u64,
    /// US dollars, where the price is known.
    pub cost: Option<f64>,
    /// Its last lines.
    pub tail: Tail,
    /// The last reply that has text, whole.
    pub said: Text,
    /// The files that it changed, in order of the first change.
    pub files_written: Vec<String>,
    /// How many messages to it the model has not seen yet.
    pub unread: u64,
    /// How many of its calls run now.
    pub running_calls: usize,
    /// Without a sign of life for so long that it is called stalled; until the next sign.
    pub is_stalled: bool,
    /// When it last gave a sign of life.
    pub sign: Timestamp,
    /// Up to `since`.
    pub worked: Duration,
    pub waited: Duration,
    /// When `phase` began.
    pub since: Timestamp,
}

impl Pulse {
    /// For how long it worked.
    pub fn working(&self, now: Timestamp) -> Duration {
        match self.phase {
            Phase::Working => self.worked + now.since(self.since),
            Phase::Waiting | Phase::Idle => self.worked,
        }
    }

    /// For how long it waited: for answers, and for its own tasks.
    pub fn waiting(&self, now: Timestamp) -> Duration {
        match self.phase {
            Phase::Working => self.waited,
            Phase::Waiting | Phase::Idle => self.waited + now.since(self.since),
        }
    }

    /// For how long it gave no sign of life, where that is so long that it is called stalled.
    pub fn quiet(&self, now: Timestamp) -> Option<Duration> {
        self.is_stalled.then(|| now.since(self.sign))
    }

    /// The last thing that it said, with what it says now; secrets may be in it.
    pub(super) fn words(&self) -> String {
        let open = self.tail.open_text().unwrap_or_default();
        let both = [&*self.said, open].into_iter().map(str::trim).filter(|text| !text.is_empty());
        both.collect::<Vec<_>>().join("\n\n")
    }

    /// What it said so far, or the end of that; without secrets.
    pub fn partial(&self, mask: &Mask) -> Option<String> {
        let words = self.words();
        let text = mask.hide(&words);
        match text.chars().count().checked_sub(PARTIAL).filter(|more| *more > 0) {
            _ if text.is_empty() => None,
            None => Some(text.into_owned()),
            Some(more) => Some(['…'].into_iter().chain(text.chars().skip(more)).collect()),
        }
    }

    /// It goes on where attempts before it ended.
    pub(super) fn goes_on_from(&mut self, attempts: Attempts) {
        let Attempts { said, steps, calls, tokens, cost, files_written, worked, waited, .. } =
            attempts;
        (self.steps, self.calls, self.tokens, self.cost) = (steps, calls, tokens, cost);
        (self.worked, self.waited) = (worked, waited);
        self.files_written = files_written;
        self.said = said.into();
    }

    /// It gave a sign of life.
    pub(super) fn lives(&mut self, now: Timestamp) {
        self.sign = now;
        self.is_stalled = false;
    }

    pub(super) fn turn_to(&mut self, phase: Phase, now: Timestamp) {
        if self.phase != phase {
            (self.worked, self.waited) = (self.working(now), self.waiting(now));
            (self.phase, self.since) = (phase, now);
        }
    }

    /// A reply of the model is whole.
    pub(super) fn replied(&mut self, text: &Text, usage: Usage, cost: Option<f64>) {
        self.steps += 1;
        self.tokens = self.tokens.saturating_add(usage.input).saturating_add(usage.output);
        self.cost = cost.map_or(self.cost, |cost| Some(self.cost.unwrap_or_default() + cost));
        self.tail.end_text();
        if !text.trim().is_empty() {
            self.said = text.clone();
        }
    }

    /// A call came to its end.
    pub(super) fn called(&mut self, written: Vec<String>) {
        self.calls += 1;
        for file in written {
            if !self.files_written.contains(&file) {
                self.files_written.push(file);
            }
        }
    }
}
