//! Does what the rules of a session say, and says what is due.

use std::sync::Arc;
use std::time::Duration;

use super::Actor;
use crate::model::catalog::Choice;
use crate::session::outbox::Item;
use crate::session::state::{Effect, Input, SessionState};
use crate::session::{Outgoing, Outlet, PromptWaiter};
use crate::store::Durability;
use crate::tasks::{By, Caller, Origin};
use crate::turn::{self, Start, TurnInput};

/// Clients learn of a session by its response; what follows waits this long (zed#60199).
const SETTLE: Duration = Duration::from_millis(50);
/// Reports that come within this of the first one start one turn together.
const TOGETHER: Duration = Duration::from_secs(2);

impl<O: Outlet> Actor<O> {
    /// Says what comes first in the outbox; false when nobody listens.
    pub(super) fn say_next(&mut self) -> bool {
        match self.outbox.pop() {
            None => {}
            Some(Item::Say(outgoing)) => return self.outlet.say(outgoing),
            // A turn that is being stopped begins nothing more.
            Some(Item::LetGo(go)) if self.state.is_cancelling() => drop(go),
            Some(Item::LetGo(go)) => go.now(),
            Some(Item::Append(record)) => self.written.append(record, Durability::Process),
        }
        true
    }

    /// Says something behind all that was appended.
    pub(super) fn push(&mut self, outgoing: Outgoing) {
        self.outbox.push(self.written.last(), outgoing);
    }

    pub(super) fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Append(record, durability) => self.written.append(record, durability),
            Effect::OnceTold(record) => self.outbox.append(self.written.last(), record),
            Effect::LetGo(go) => self.outbox.let_go(self.written.last(), go),
            Effect::LetGoAtOnce(go) => go.now(),
            Effect::Tell(event) => self.push(Outgoing::Event(event)),
            Effect::Reply { prompt, answer } => {
                if let Some(PromptWaiter { reply, open }) = self.waiters.remove(&prompt) {
                    drop(open);
                    self.push(Outgoing::Answered { reply, answer });
                }
            }
            Effect::ReplySet(answer) => {
                if let Some(reply) = self.set_reply.take() {
                    self.push(Outgoing::Set { reply, answer });
                }
            }
            Effect::ReplyTitle(answer) => {
                if let Some(reply) = self.title_reply.take() {
                    self.push(Outgoing::Titled { reply, answer });
                }
            }
            Effect::ReplySteering(answer) => {
                if let Some(reply) = self.steering_reply.take() {
                    self.push(Outgoing::Steered { reply, answer });
                }
            }
            Effect::Delivered(prompts) => self.push(Outgoing::Delivered(prompts)),
            Effect::Replied { text, usage, cost } => {
                self.push(Outgoing::Replied { text, usage, cost });
            }
            Effect::Ask(question) => self.push(Outgoing::Ask(question)),
            Effect::Withdraw(call) => self.push(Outgoing::Withdraw(call)),
            Effect::AskedLate(call) => self.patience.begin(call),
            Effect::StartTurn { prompt, history, steered, origin, cap } => {
                let origin = self.origin.clone().unwrap_or(origin);
                let ids = self.state.ids().clone();
                let is_task = self.origin.is_some();
                let start = Start { prompt, history, steered, ids, origin, is_task, cap };
                self.turn = Some(turn::spawn(
                    self.environment.clone(),
                    start,
                    self.settings.clone(),
                    Arc::new(self.state.seen().clone()),
                    &self.tasks,
                ));
            }
            Effect::Steer(prompt) => self.to_turn.push_back(TurnInput::Steer(prompt)),
            Effect::PromptWaits => self.to_turn.push_back(TurnInput::PromptWaits),
            Effect::AnswerTurn { call, answer } => {
                self.to_turn.push_back(TurnInput::Answer { call, answer });
            }
            Effect::AnswerTask { call, answer } => self.companions.answer(call, answer),
            Effect::AttachTasks => self.companions.attach(),
            Effect::TaskCommand { prompt, message, command } => {
                let caller = Caller {
                    by: By::User,
                    key: message.to_string(),
                    origin: Origin { prompt: message, generation: 0 },
                    mode: self.state.settings().mode,
                };
                self.companions.run(prompt, command, caller);
            }
            Effect::EndCommand(prompt) => self.companions.give_up(prompt),
            Effect::CancelTurn => {
                if let Some(turn) = &self.turn {
                    turn.cancel.cancel();
                }
            }
            Effect::Publish => {
                if self.choice.name != self.state.settings().model {
                    match self.choice.with_model(&self.state.settings().model) {
                        Ok(choice) => self.choice = Arc::new(choice),
                        Err(why) => {
                            let kept = self.choice.name.clone();
                            return self.feed(Input::ModelRefused { kept, why });
                        }
                    }
                }
                self.published.publish(turn_settings(&self.state, &self.choice));
            }
            Effect::CancelTasks => self.companions.cancel_all(),
            Effect::FollowUpSoon => {
                self.follow_up_at = Some(tokio::time::Instant::now() + TOGETHER);
            }
            Effect::HoldFor(limit) => {
                self.hold_until = tokio::time::Instant::now().checked_add(limit);
            }
            Effect::HoldEnds => self.hold_until = None,
            Effect::SettleSoon => self.settle_at = Some(tokio::time::Instant::now() + SETTLE),
            Effect::Stop => {
                self.over = true;
                self.settle_at = None;
                self.follow_up_at = None;
                self.hold_until = None;
            }
        }
    }
}

pub(super) fn turn_settings(state: &SessionState, choice: &Arc<Choice>) -> turn::Settings {
    turn::Settings {
        mode: state.settings().mode,
        rules: state.rules().into(),
        choice: choice.clone(),
        thought: state.settings().thought,
    }
}
