//! The rules of a turn: which call may begin, when the model is asked again, and why the turn ends.
//! Synchronous, without a clock or I/O: an input goes in, effects come out.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Ended;
use super::calls::{Calls, Judged, Stopper};
use crate::event::{CallStatus, CallUpdate, Event, Question, Role};
use crate::fault::{Fault, Kind};
use crate::ids::{CallId, IdSource, MessageId};
use crate::model::{Delta, ModelError, Reply, Stop};
use crate::permission::Answer;
use crate::tools::{Ran, Toolbox};
use crate::transcript::{
    self, Author, Content, End, Outcome, Prompt, Settled, Step, Text, Thought, Usage,
};

/// Limits of one turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) max_steps: u32,
    pub(super) max_tokens: u64,
}

#[derive(Debug)]
pub(super) enum Input {
    Begin,
    Delta(Delta),
    /// The stream ended without a whole reply.
    Broke(ModelError),
    Judged {
        call: CallId,
        judged: Judged,
    },
    Answered {
        call: CallId,
        answer: Answer,
    },
    Ran {
        call: CallId,
        ran: Ran,
    },
    Steered(Prompt),
    Cancel,
}

#[derive(Debug, PartialEq)]
pub(super) enum Effect {
    Emit(Event),
    /// Ask the model, with the steps so far and these prompts behind them.
    Request,
    DropStream,
    Judge(CallId),
    Ask(Question),
    Withdraw(CallId),
    Run(CallId),
    /// Stop every running call; each still says how it ended.
    StopCalls,
    Delivered(Vec<MessageId>),
    /// The words of a reply are whole, or broke off.
    Replied(transcript::Reply, Whole),
    /// What a judged call shows.
    Described(CallUpdate),
    Settled {
        call: CallId,
        outcome: Outcome,
        shown: CallUpdate,
        gave: Vec<u64>,
    },
    /// Something for the user that the model does not see.
    Told {
        message: MessageId,
        text: String,
    },
    Step(Arc<Step>),
    End(Ended),
}

/// Whether a reply came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whole {
    Yes,
    BrokeOff,
}

/// What a step has gathered so far.
#[derive(Debug, Default)]
struct Draft {
    steered: Vec<Prompt>,
    thought: Text,
    thoughts: Vec<Thought>,
    thought_message: Option<MessageId>,
    text: Text,
    message: Option<MessageId>,
    usage: Usage,
    stop: Option<Stop>,
}

impl Draft {
    fn reply(&self, calls: Vec<transcript::Call>) -> transcript::Reply {
        transcript::Reply {
            steered: self.steered.iter().map(|prompt| prompt.message.clone()).collect(),
            thought: self.thought.clone(),
            thought_message: self.thought_message.clone(),
            thoughts: self.thoughts.clone(),
            text: self.text.clone(),
            message: self.message.clone(),
            calls,
            usage: self.usage,
        }
    }
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Phase {
    Streaming,
    Calling,
    Over,
}

pub(super) struct TurnState {
    limits: Limits,
    ids: IdSource,
    prompt: Prompt,
    steps: Vec<Arc<Step>>,
    steering: Vec<Prompt>,
    /// Tasks whose reports a call of this turn gave.
    gave: BTreeSet<u64>,
    draft: Draft,
    calls: Calls,
    phase: Phase,
    cancelled: bool,
    tokens: u64,
}

impl TurnState {
    pub(super) fn new(
        (prompt, steering): (Prompt, Vec<Prompt>),
        ids: IdSource,
        toolbox: Toolbox,
        limits: Limits,
        stopper: Stopper,
    ) -> Self {
        Self {
            limits,
            calls: Calls::new(ids.clone(), toolbox, stopper),
            ids,
            prompt,
            steps: Vec::new(),
            steering,
            gave: BTreeSet::new(),
            draft: Draft::default(),
            phase: Phase::Streaming,
            cancelled: false,
            tokens: 0,
        }
    }

    pub(super) fn prompt(&self) -> &Prompt {
        &self.prompt
    }

    pub(super) fn steps(&self) -> &[Arc<Step>] {
        &self.steps
    }

    /// What was steered in since the last step, for the request that is made now.
    pub(super) fn steered(&self) -> &[Prompt] {
        &self.draft.steered
    }

    pub(super) fn calls(&self) -> &Calls {
        &self.calls
    }

    pub(super) fn handle(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.phase == Phase::Over {
            return effects;
        }
        match input {
            Input::Begin => self.request(&mut effects),
            Input::Delta(delta) => self.delta(delta, &mut effects),
            Input::Broke(error) => self.broke(&error, &mut effects),
            Input::Judged { call, judged } => {
                self.calls.judged(&call, judged, &mut effects);
                self.advance(&mut effects);
            }
            Input::Answered { call, answer } => {
                self.calls.answered(&call, answer, &mut effects);
                self.advance(&mut effects);
            }
            Input::Ran { call, ran } => {
                if self.calls.is_running(&call) {
                    self.gave(&ran.gave);
                }
                self.calls.ran(&call, ran, &mut effects);
                self.advance(&mut effects);
            }
            Input::Steered(prompt) => self.steered_in(prompt),
            Input::Cancel => self.cancel(&mut effects),
        }
        effects
    }

    /// The model sees each report once: what a call gave it does not come again by itself.
    fn gave(&mut self, tasks: &[u64]) {
        self.gave.extend(tasks);
        let gave = &self.gave;
        self.steering.retain(|prompt| !is_report_of(gave, prompt));
    }

    fn steered_in(&mut self, prompt: Prompt) {
        if !is_report_of(&self.gave, &prompt) {
            self.steering.push(prompt);
        }
    }

    fn request(&mut self, effects: &mut Vec<Effect>) {
        self.draft = Draft { steered: std::mem::take(&mut self.steering), ..Draft::default() };
        self.phase = Phase::Streaming;
        if !self.draft.steered.is_empty() {
            let delivered =
                self.draft.steered.iter().map(|prompt| prompt.message.clone()).collect();
            effects.push(Effect::Delivered(delivered));
        }
        effects.push(Effect::Request);
    }

    fn delta(&mut self, delta: Delta, effects: &mut Vec<Effect>) {
        if self.phase != Phase::Streaming {
            return;
        }
        match delta {
            Delta::Text(text) => {
                self.draft.text.push_str(&text);
                let message = self.draft.message.get_or_insert_with(|| self.ids.message()).clone();
                effects.push(said(message, Role::Agent, text));
            }
            Delta::Thought(text) => {
                self.draft.thought.push_str(&text);
                let message =
                    self.draft.thought_message.get_or_insert_with(|| self.ids.message()).clone();
                effects.push(said(message, Role::Thought, text));
            }
            Delta::CallBegan { tool } => self.calls.began(&tool, effects),
            Delta::End(reply) => self.replied(reply, effects),
        }
    }

    fn replied(&mut self, reply: Reply, effects: &mut Vec<Effect>) {
        let tokens = reply.usage.input.saturating_add(reply.usage.output);
        self.tokens = self.tokens.saturating_add(tokens);
        self.draft.usage = reply.usage;
        self.draft.stop = Some(reply.stop);
        self.draft.thoughts = reply.thoughts;
        // The reply holds its calls, but nothing is said of them before it.
        let mut of_calls = Vec::new();
        self.calls.requested(reply.calls, &mut of_calls);
        effects.push(Effect::Replied(self.draft.reply(self.calls.calls()), Whole::Yes));
        effects.append(&mut of_calls);
        self.phase = Phase::Calling;
        self.advance(effects);
    }

    /// Begins what may begin; when every call is settled, the step is whole.
    fn advance(&mut self, effects: &mut Vec<Effect>) {
        if self.phase != Phase::Calling {
            return;
        }
        if !self.cancelled {
            self.calls.begin_ready(effects);
        }
        if self.calls.all_settled() {
            let had_calls = self.finish_step(effects);
            self.after_step(had_calls, effects);
        }
    }

    /// Records the step; whether it had calls.
    fn finish_step(&mut self, effects: &mut Vec<Effect>) -> bool {
        let settled: Vec<Settled> = self.calls.take_settled();
        let had_calls = !settled.is_empty();
        let draft = std::mem::take(&mut self.draft);
        self.draft.stop = draft.stop;
        let reply = draft.reply(Vec::new());
        let step = Arc::new(reply.into_step(draft.steered, settled));
        self.steps.push(step.clone());
        effects.push(Effect::Step(step));
        had_calls
    }

    fn after_step(&mut self, had_calls: bool, effects: &mut Vec<Effect>) {
        let limit = Limit::reached(self);
        match self.draft.stop {
            _ if self.cancelled => self.end(End::Cancelled, effects),
            Some(Stop::Refused) => self.end(End::Refused, effects),
            Some(Stop::MaxTokens) if !had_calls => self.end(End::MaxTokens, effects),
            _ if !had_calls && self.steering.is_empty() => self.end(End::Finished, effects),
            // The model is done; reports can wait for the next turn.
            _ if !had_calls && limit.is_some() && self.only_reports_wait() => {
                self.end(End::Finished, effects);
            }
            _ => match limit {
                None => self.request(effects),
                Some(Limit::Steps) => {
                    self.explain(
                        &format!(
                            "I stopped after {} requests to the model, the limit of one turn \
                             (`turn.max_iterations`). Send a prompt such as `go on` to continue.",
                            self.limits.max_steps
                        ),
                        effects,
                    );
                    self.end(End::MaxSteps, effects);
                }
                Some(Limit::Tokens) => {
                    self.explain(
                        &format!(
                            "I stopped after {} tokens; the limit of one turn is {} \
                             (`turn.max_tokens`). Send a prompt such as `go on` to continue.",
                            self.tokens, self.limits.max_tokens
                        ),
                        effects,
                    );
                    self.end(End::MaxTokens, effects);
                }
            },
        }
    }

    fn only_reports_wait(&self) -> bool {
        self.steering.iter().all(|prompt| matches!(prompt.from, Author::Task(_)))
    }

    /// Tells the user why the turn ends, in a message of its own that the model does not see.
    fn explain(&self, text: &str, effects: &mut Vec<Effect>) {
        effects.push(Effect::Told { message: self.ids.message(), text: text.to_owned() });
    }

    fn broke(&mut self, error: &ModelError, effects: &mut Vec<Effect>) {
        if self.phase != Phase::Streaming {
            return;
        }
        self.calls.give_up("the reply broke off before the call was whole", effects);
        self.finish_partial_step(effects);
        if matches!(error, ModelError::Refused { .. }) {
            return self.end(End::Refused, effects);
        }
        let refused_input = error.refuses_input();
        self.over(Ended { result: Err(error.fault()), refused_input }, effects);
    }

    fn cancel(&mut self, effects: &mut Vec<Effect>) {
        if self.cancelled {
            return;
        }
        self.cancelled = true;
        match self.phase {
            Phase::Streaming => {
                effects.push(Effect::DropStream);
                self.calls.give_up_cancelled(effects);
                self.finish_partial_step(effects);
                self.end(End::Cancelled, effects);
            }
            Phase::Calling => {
                self.calls.cancel(effects);
                self.advance(effects);
            }
            Phase::Over => {}
        }
    }

    /// Keeps what arrived of a reply that will not become whole. Prompts that its request carried stay
    /// part of the conversation.
    fn finish_partial_step(&mut self, effects: &mut Vec<Effect>) {
        let empty = self.draft.text.is_empty()
            && self.draft.thought.is_empty()
            && self.draft.steered.is_empty();
        if !empty {
            effects.push(Effect::Replied(self.draft.reply(Vec::new()), Whole::BrokeOff));
            self.finish_step(effects);
        }
    }

    fn end(&mut self, end: End, effects: &mut Vec<Effect>) {
        self.over(Ended { result: Ok(end), refused_input: false }, effects);
    }

    fn over(&mut self, ended: Ended, effects: &mut Vec<Effect>) {
        self.phase = Phase::Over;
        effects.push(Effect::End(ended));
    }
}

enum Limit {
    Steps,
    Tokens,
}

impl Limit {
    fn reached(turn: &TurnState) -> Option<Self> {
        if turn.steps.len() >= turn.limits.max_steps as usize {
            Some(Self::Steps)
        } else if turn.tokens >= turn.limits.max_tokens {
            Some(Self::Tokens)
        } else {
            None
        }
    }
}

fn is_report_of(tasks: &BTreeSet<u64>, prompt: &Prompt) -> bool {
    matches!(prompt.from, Author::Task(task) if tasks.contains(&task))
}

fn said(message: MessageId, role: Role, text: String) -> Effect {
    Effect::Emit(Event::Said { message, role, content: Content::Text { text } })
}

/// The fault of a turn that died of a defect of ours.
pub fn defect() -> Ended {
    let fault = Fault::new(Kind::Internal, "the turn ended because of a defect in Talaria")
        .with_hint("The session goes on; the log has the details.");
    Ended { result: Err(fault), refused_input: false }
}

/// The status that a client shows for an outcome.
pub(super) fn status_of(outcome: &Outcome) -> CallStatus {
    match outcome {
        Outcome::Done { .. } => CallStatus::Completed,
        Outcome::Failed { .. } | Outcome::Denied { .. } | Outcome::Cancelled { .. } => {
            CallStatus::Failed
        }
    }
}
