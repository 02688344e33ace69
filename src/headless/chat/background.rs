//! What goes on beside the prompts of a conversation: background tasks as their cards show them, and turns
//! that start by themselves when tasks report. It says when nothing more is to come; it waits for nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::field;
use crate::headless::card;

/// How long no card may change before it is believed that a task waits: an agent need not show each change
/// at once.
const QUIET: Duration = Duration::from_secs(2);
/// How long after a report its follow-up turn may yet begin: reports that come within two seconds join.
const JOINING: Duration = Duration::from_secs(3);
/// How long after a turn its follow-up may begin, for a report that came while the turn ran. The turn has
/// nearly always given it; it can just have missed it.
const MISSED: Duration = Duration::from_secs(1);

/// What was last shown of a task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Card {
    pub(super) task: String,
    pub(super) state: String,
    pub(super) text: String,
}

impl Card {
    fn is_over(&self) -> bool {
        matches!(self.state.as_str(), "completed" | "failed" | "cancelled")
    }

    fn is_busy(&self) -> bool {
        matches!(self.state.as_str(), "queued" | "running")
    }

    fn waits(&self) -> bool {
        self.state == "waiting"
    }
}

/// The tasks of a session and the turns that they lead to.
#[derive(Debug, Default)]
pub(super) struct Background {
    /// By their ids.
    cards: BTreeMap<String, Card>,
    is_prompting: bool,
    /// The tasks whose reports the running follow-up turn is about.
    follow_up: Option<Vec<String>>,
    /// A task ended while a turn ran.
    ended_in_turn: bool,
    /// When it is certain that no follow-up turn begins.
    settled: Option<Instant>,
    /// When something of a task was last heard.
    heard: Option<Instant>,
}

/// What an update says about follow-up turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FollowUp {
    /// It belongs to none.
    No,
    Part,
    /// It is the last one of its turn.
    Last,
}

impl Background {
    /// An update and what it is marked with (`_meta` beside it).
    pub(super) fn see(&mut self, update: &Value, meta: &Value, now: Instant) -> FollowUp {
        let mark = meta.pointer("/talaria/followUp").filter(|mark| !mark.is_null());
        let is_last =
            mark.is_some_and(|mark| mark.get("over").and_then(Value::as_bool) == Some(true));
        if let Some(mark) = mark.filter(|_| !is_last) {
            let tasks = mark.get("tasks").and_then(Value::as_array).into_iter().flatten();
            let tasks = tasks.filter_map(Value::as_str).map(str::to_owned).collect();
            self.follow_up = Some(tasks);
            self.settled = None;
        }
        self.see_card(update, now);
        match (mark, is_last) {
            (None, _) => FollowUp::No,
            (Some(_), false) => FollowUp::Part,
            (Some(_), true) => {
                self.follow_up = None;
                self.turn_ended(now);
                FollowUp::Last
            }
        }
    }

    fn see_card(&mut self, update: &Value, now: Instant) {
        let Some(mark) = card::mark(update).filter(|mark| mark.is_card) else { return };
        let id = field(update, "toolCallId");
        let before = self.cards.get(id).cloned().unwrap_or_default();
        let mut card = before.clone();
        mark.task.clone_into(&mut card.task);
        mark.state.clone_into(&mut card.state);
        if let Some(content) = update.get("content").and_then(Value::as_array) {
            let texts = content.iter().filter_map(|part| part.pointer("/content/text")?.as_str());
            card.text = texts.collect();
        }
        if card != before {
            self.heard = Some(now);
        }
        // Who cancelled a task knows of it: that starts no turn.
        if card.is_over() && !before.is_over() && card.state != "cancelled" {
            self.ended(&card.task, now);
        }
        self.cards.insert(id.to_owned(), card);
    }

    fn ended(&mut self, task: &str, now: Instant) {
        match &self.follow_up {
            // Its report is what the turn is about.
            Some(tasks) if tasks.iter().any(|one| one == task) => {}
            Some(_) => self.ended_in_turn = true,
            None if self.is_prompting => self.ended_in_turn = true,
            None => self.settled = Some(now + JOINING),
        }
    }

    pub(super) fn prompted(&mut self) {
        self.is_prompting = true;
    }

    pub(super) fn answered(&mut self, now: Instant) {
        self.is_prompting = false;
        self.turn_ended(now);
    }

    fn turn_ended(&mut self, now: Instant) {
        if self.is_prompting || self.follow_up.is_some() {
            return;
        }
        if std::mem::take(&mut self.ended_in_turn) {
            self.settled = self.settled.max(Some(now + MISSED));
        }
    }

    /// Something was said to the agent that a task may have waited for.
    pub(super) fn told(&mut self, now: Instant) {
        self.heard = Some(now);
    }

    pub(super) fn is_prompting(&self) -> bool {
        self.is_prompting
    }

    pub(super) fn follows_up(&self) -> bool {
        self.follow_up.is_some()
    }

    /// From when on nothing comes any more by itself; never, while a task or a turn runs.
    pub(super) fn rests_from(&self, now: Instant) -> Option<Instant> {
        if self.follows_up() || self.cards.values().any(Card::is_busy) {
            return None;
        }
        let waits = self.cards.values().any(Card::waits);
        let quiet = self.heard.filter(|_| waits).map(|heard| heard + QUIET);
        Some(self.settled.max(quiet).unwrap_or(now))
    }

    /// Tasks that wait for the user.
    pub(super) fn waiting(&self) -> Vec<String> {
        self.named(Card::waits)
    }

    /// Tasks that are not over and go on by themselves, or would.
    pub(super) fn living(&self) -> Vec<String> {
        self.named(|card| card.is_busy() || card.waits())
    }

    fn named(&self, is_meant: impl Fn(&Card) -> bool) -> Vec<String> {
        let meant = self.cards.values().filter(|card| is_meant(card));
        meant.map(|card| card.task.clone()).collect()
    }

    /// The card of a task that waits for the user.
    pub(super) fn card_of(&self, task: &str) -> Option<Card> {
        self.cards.values().find(|card| card.task == task && card.waits()).cloned()
    }

    /// What a task waited for was answered; until its next card it is not known what it waits for.
    pub(super) fn goes_on(&mut self, task: &str) {
        for card in self.cards.values_mut().filter(|card| card.task == task) {
            "running".clone_into(&mut card.state);
        }
    }
}
