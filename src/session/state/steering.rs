//! Steering: what the user says to the running turn, and nobody waits for an answer to. It is told, written down
//! and delivered as a prompt is that a turn takes.

use super::turns::{Begin, Why};
use super::{Effect, SessionState};
use crate::fault::{Fault, Kind};
use crate::ids::PromptId;
use crate::session::{Idle, Steering};
use crate::tasks::Origin;
use crate::transcript::{Content, Prompt};

/// What would take it now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taker {
    Turn,
    /// A prompt is held for its tasks: it goes on with one more step.
    Held,
    Nobody,
}

impl SessionState {
    pub(super) fn steering(
        &mut self,
        id: PromptId,
        content: Vec<Content>,
        idle: Idle,
        effects: &mut Vec<Effect>,
    ) {
        let mut done = Vec::new();
        let mut answer = self.steer(id, content, idle, &mut done);
        for effect in done {
            // What a prompt would be refused with.
            if let Effect::Reply { prompt, answer: Err(fault) } = &effect
                && *prompt == id
            {
                self.unawaited.remove(&id);
                answer = Err(fault.clone());
            } else {
                effects.push(effect);
            }
        }
        effects.push(Effect::ReplySteering(answer));
    }

    fn steer(
        &mut self,
        id: PromptId,
        content: Vec<Content>,
        idle: Idle,
        effects: &mut Vec<Effect>,
    ) -> Result<Steering, Fault> {
        let taker = self.taker();
        if taker == Taker::Nobody && idle == Idle::Refuse {
            return Ok(Steering::NothingRuns);
        }
        if self.closing || id <= self.cancelled_upto {
            return Err(Fault::new(Kind::User, "it was cancelled before the session took it"));
        }
        self.unawaited.insert(id);
        if taker == Taker::Nobody {
            self.prompt(id, content, effects);
            return Ok(Steering::Began);
        }
        if let Some(prompt) = self.take_prompt(id, content, effects) {
            match (&mut self.running, taker) {
                (Some(running), Taker::Turn) => running.steer(prompt, effects),
                (_, Taker::Turn | Taker::Held | Taker::Nobody) => self.go_on_held(prompt, effects),
            }
        }
        Ok(Steering::Injected)
    }

    fn taker(&self) -> Taker {
        match &self.running {
            Some(running) if running.stopping.is_none() => Taker::Turn,
            None if self.held.is_some() && !self.is_ending_tasks() => Taker::Held,
            Some(_) | None => Taker::Nobody,
        }
    }

    /// One more step of what is held, which still waits for its tasks behind it.
    fn go_on_held(&mut self, prompt: Prompt, effects: &mut Vec<Effect>) {
        let Some(held) = self.held.take() else { return };
        effects.push(Effect::HoldEnds);
        // It takes all reports with it.
        self.follow_ups.drop_all();
        let origin = Origin { prompt: held.origin, generation: 0 };
        let (prompts, why) = (held.prompts, Why::Held);
        self.begin(Begin { prompt, prompts, origin, why, cap: None }, effects);
    }

    /// Takes out the answers that nobody waits for.
    pub(super) fn answer_awaited(&mut self, effects: &mut Vec<Effect>) {
        if self.unawaited.is_empty() {
            return;
        }
        effects.retain(|effect| {
            let Effect::Reply { prompt, .. } = effect else { return true };
            !self.unawaited.remove(prompt)
        });
    }

    /// Whether somebody waits for one of these.
    pub(super) fn is_any_awaited(&self, prompts: &[PromptId]) -> bool {
        prompts.iter().any(|prompt| !self.unawaited.contains(prompt))
    }
}
