//! Prompts that stay open for the tasks of their turn, where the client may lose what comes later; and what
//! a cancel does with tasks.

use std::time::Duration;

use super::turns::{Running, Stop};
use super::{Effect, SessionState};
use crate::config::{CancelWithTurn, Delivery};
use crate::ids::{MessageId, PromptId};
use crate::session::Answered;
use crate::session::questions::Asker;
use crate::transcript::{End, Prompt};
use crate::viewer::Late;

/// Prompts whose turn is over and that are not answered.
#[derive(Debug)]
pub(super) struct Held {
    /// In the order of their answers; never empty.
    pub(super) prompts: Vec<PromptId>,
    /// What the tasks go back to that they wait for.
    pub(super) origin: MessageId,
    /// They were cancelled, and are answered once all tasks have ended.
    is_cancelled: bool,
    /// Those that were cancelled behind them, and are answered behind them, too.
    behind: Vec<Prompt>,
}

impl Held {
    fn first(&self) -> PromptId {
        self.prompts.first().copied().unwrap_or_default()
    }
}

impl SessionState {
    /// Whether a prompt stays open for its tasks.
    fn is_attached(&self) -> bool {
        !self.is_child()
            && match self.config.delivery {
                Delivery::Auto => self.viewer.late == Late::Lost,
                Delivery::Attached => true,
                Delivery::Detached => false,
            }
    }

    /// Whether cancelling a turn cancels the tasks.
    fn cancels_tasks(&self) -> bool {
        // Tasks of a task end with it.
        !self.is_child()
            && match self.config.cancel_with_turn {
                CancelWithTurn::Protocol => self.viewer.subagents,
                CancelWithTurn::Never => false,
                CancelWithTurn::Always => true,
            }
    }

    /// Whether tasks are being cancelled, and prompts wait for that.
    pub(super) fn is_ending_tasks(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.is_cancelled)
    }

    /// A turn is over: keeps its prompts open where they are to wait. False where they are answered now.
    pub(super) fn hold(
        &mut self,
        running: &Running,
        answer: &Answered,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let held = |is_cancelled| Held {
            prompts: running.prompts.clone(),
            origin: running.origin.prompt.clone(),
            is_cancelled,
            behind: Vec::new(),
        };
        if !self.is_any_awaited(&running.prompts) || self.closing || self.is_taken_over() {
            return false;
        }
        if running.ends_tasks && self.tasks.is_any_live() {
            self.held = Some(held(true));
            return true;
        }
        let is_awaited = *answer == Ok(End::Finished)
            && self.is_attached()
            && !running.is_released
            && !self.handing_over
            && self.queue.is_empty();
        let waits = self.tasks.lives_of(&running.origin.prompt) || self.follow_ups.is_any();
        let limit = Duration::from_secs(self.config.hold_seconds);
        if !is_awaited || !waits || limit.is_zero() {
            return false;
        }
        self.held = Some(held(false));
        effects.push(Effect::HoldFor(limit));
        true
    }

    /// Answers what is held, if there is nothing left to wait for.
    pub(super) fn settle_hold(&mut self, effects: &mut Vec<Effect>) {
        let Some(held) = &self.held else { return };
        if held.is_cancelled {
            if !self.tasks.is_any_live() {
                self.end_hold(&Ok(End::Cancelled), effects);
            }
        } else if !self.tasks.lives_of(&held.origin) && !self.follow_ups.is_any() {
            self.end_hold(&Ok(End::Finished), effects);
        }
    }

    /// A task lives no more.
    pub(super) fn task_is_gone(&mut self, effects: &mut Vec<Effect>) {
        if self.running.is_none() {
            self.consider_follow_ups(effects);
            self.settle_hold(effects);
        }
    }

    /// Answers what is held, and goes on with what waits.
    pub(super) fn end_hold(&mut self, answer: &Answered, effects: &mut Vec<Effect>) {
        if self.held.is_some() {
            self.answer_held(answer, effects);
            self.go_on_with_queue(effects);
            self.attend(effects);
        }
    }

    /// Answers what is held.
    pub(super) fn answer_held(&mut self, answer: &Answered, effects: &mut Vec<Effect>) {
        let Some(held) = self.held.take() else { return };
        // What the user wanted decides.
        let cancelled = Ok(End::Cancelled);
        let answer = if held.is_cancelled { &cancelled } else { answer };
        if *answer == cancelled {
            self.follow_ups.drop_all();
        }
        effects.push(Effect::HoldEnds);
        // Where nobody waits any more, nobody may be asked.
        if self.asker() == Asker::Idle {
            self.attend(effects);
        }
        for prompt in held.prompts {
            effects.push(Effect::Reply { prompt, answer: answer.clone() });
        }
        for prompt in held.behind {
            self.not_delivered(prompt, effects);
        }
    }

    /// A prompt that the model is not given is answered behind those before it.
    pub(super) fn not_delivered_in_order(&mut self, prompt: Prompt, effects: &mut Vec<Effect>) {
        match &mut self.held {
            Some(held) => held.behind.push(prompt),
            None => self.not_delivered(prompt, effects),
        }
    }

    /// It was held for as long as may be.
    pub(super) fn hold_is_over(&mut self, effects: &mut Vec<Effect>) {
        let Some(held) = self.held.as_ref().filter(|held| !held.is_cancelled) else { return };
        let names = self.tasks.names(Some(&held.origin));
        if !names.is_empty() {
            let text = format!(
                "In the background from now on: {names}. {}; `/tasks` shows how it stands.",
                self.what_becomes_of_reports(),
            );
            self.say(text, effects);
        }
        self.end_hold(&Ok(End::Finished), effects);
    }

    fn what_becomes_of_reports(&self) -> &'static str {
        match self.viewer.late {
            Late::Lost => "What is reported comes with your next prompt",
            Late::Shown | Late::ShownTwice => "What is reported comes by itself",
        }
    }

    /// The user does not want to wait for the tasks: the words of the answer.
    pub(super) fn detach(&mut self, effects: &mut Vec<Effect>) -> String {
        let reports = self.what_becomes_of_reports();
        if let Some(held) = self.held.as_ref().filter(|held| !held.is_cancelled) {
            let names = self.tasks.names(Some(&held.origin));
            self.end_hold(&Ok(End::Finished), effects);
            return format!("In the background from now on: {names}. {reports}.");
        }
        let is_attached = self.is_attached();
        match &mut self.running {
            Some(running) if is_attached && !running.prompts.is_empty() => {
                running.is_released = true;
                format!("The prompt will not wait for its tasks. {reports}.")
            }
            Some(_) | None => "No prompt waits for tasks.".to_owned(),
        }
    }

    /// The user cancels what is held, or the tasks of a session in which nothing runs.
    pub(super) fn cancel_held(
        &mut self,
        covers: impl Fn(PromptId) -> bool,
        effects: &mut Vec<Effect>,
    ) {
        let covered = self.held.as_ref().is_some_and(|held| covers(held.first()));
        if !covered {
            return;
        }
        self.questions.turn_stops(effects);
        if self.cancels_tasks() && self.tasks.is_any_live() {
            if let Some(held) = &mut self.held
                && !std::mem::replace(&mut held.is_cancelled, true)
            {
                effects.push(Effect::HoldEnds);
                effects.push(Effect::CancelTasks);
            }
            return;
        }
        self.tell_what_goes_on(effects);
        self.end_hold(&Ok(End::Cancelled), effects);
    }

    /// The user cancels the running turn.
    pub(super) fn cancel_running(&mut self, effects: &mut Vec<Effect>) {
        // One that the turn starts at this moment has no card yet.
        let ends_tasks = self.cancels_tasks();
        if let Some(running) = &mut self.running {
            running.is_cancelled = true;
            if ends_tasks && !std::mem::replace(&mut running.ends_tasks, true) {
                effects.push(Effect::CancelTasks);
            }
        }
        self.stop_turn(Stop::Wanted, effects);
    }

    /// Nothing runs and no prompt is open, and the user cancels all the same.
    pub(super) fn cancel_tasks_alone(&self, effects: &mut Vec<Effect>) {
        if self.cancels_tasks() && self.tasks.is_any_live() {
            effects.push(Effect::CancelTasks);
        }
    }

    /// All tasks have been cancelled, as far as that could be done.
    pub(super) fn tasks_cancelled(&mut self, effects: &mut Vec<Effect>) {
        if self.is_ending_tasks() {
            // Those that did not end in time.
            self.tell_what_goes_on(effects);
            self.end_hold(&Ok(End::Cancelled), effects);
        } else if let Some(running) = &mut self.running {
            running.ends_tasks = false;
        }
    }

    /// Before a cancelled prompt is answered: which tasks go on, and their cards, which clients mark as
    /// cancelled with everything that is open (Zed, `acp_thread`).
    pub(super) fn tell_what_goes_on(&mut self, effects: &mut Vec<Effect>) {
        if self.is_child() || !self.tasks.is_any_live() {
            return;
        }
        let names = self.tasks.names(None);
        let text = format!(
            "In the background still: {names}. `/stop` ends all of them, `/cancel` and a name one."
        );
        self.say_to_prompt(text, effects);
        self.revive_cards(effects);
    }
}
