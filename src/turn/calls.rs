//! The calls of one step: announced while they are written, judged, asked for, run and settled, in an
//! order that their effects allow. Pure, like the turn that owns it.

use serde_json::Value;

use super::state::{Effect, status_of};
use crate::event::{CallContent, CallStatus, CallUpdate, Event, Question, ToolKind};
use crate::ids::{CallId, IdSource};
use crate::model::RequestedCall;
use crate::permission::Answer;
use crate::tools::{self, Prepared, Ran, Toolbox};
use crate::transcript::{Call, Content, Outcome, Settled};

/// What a tool and the permission rule said of a call.
#[derive(Debug)]
pub(super) enum Judged {
    /// It cannot run as it is; the text is for the model.
    Invalid(String),
    Allowed(Prepared),
    Asked(Prepared),
    Denied(Prepared, String),
}

#[derive(Debug)]
enum Progress {
    /// Its input is still being written.
    Began,
    Waiting,
    Judging,
    Asking,
    Running,
    Settled(Outcome),
}

#[derive(Debug)]
struct Slot {
    call: Call,
    kind: ToolKind,
    effect: tools::Effect,
    /// The cards of the tasks that it starts stand for it.
    hidden: bool,
    /// What it would do, once it is judged.
    title: Option<String>,
    progress: Progress,
}

impl Slot {
    /// What a client has to know of a call before anything else of it.
    fn announcement(&self) -> CallUpdate {
        CallUpdate {
            tool: Some(self.call.tool.clone()),
            title: Some(self.title.clone().unwrap_or_else(|| self.call.tool.clone())),
            kind: Some(self.kind),
            hidden: self.hidden,
            ..CallUpdate::new(self.call.id.clone())
        }
    }

    fn is_settled(&self) -> bool {
        matches!(self.progress, Progress::Settled(_))
    }

    fn only_looks(&self) -> bool {
        matches!(self.effect, tools::Effect::Read | tools::Effect::None)
    }
}

/// The calls of one step, in the order of the model.
pub(super) struct Calls {
    ids: IdSource,
    toolbox: Toolbox,
    stopper: Stopper,
    slots: Vec<Slot>,
}

/// Levels of a call's arguments: what is nested deeper can be written but not be read again.
const DEEPEST_INPUT: usize = 64;
/// Characters of an outcome that go into `rawOutput` where the tool has no structured output.
const RAW_OUTPUT_CHARS: usize = 4_000;

impl Calls {
    pub(super) fn new(ids: IdSource, toolbox: Toolbox, stopper: Stopper) -> Self {
        Self { ids, toolbox, stopper, slots: Vec::new() }
    }

    pub(super) fn get(&self, id: &CallId) -> Option<&Call> {
        self.slots.iter().map(|slot| &slot.call).find(|call| call.id == *id)
    }

    /// The model began to write a call.
    pub(super) fn began(&mut self, tool: &str, effects: &mut Vec<Effect>) {
        let id = self.ids.call();
        let found = self.toolbox.get(tool);
        let slot = Slot {
            call: Call { id, tool: tool.to_owned(), input: Value::Null, signatures: Vec::new() },
            kind: found.as_ref().map_or(ToolKind::Other, |tool| tool.kind()),
            effect: found.as_ref().map_or(tools::Effect::None, |tool| tool.effect()),
            hidden: found.as_ref().is_some_and(|tool| tool.is_shown_by_cards()),
            title: None,
            progress: Progress::Began,
        };
        if !slot.hidden {
            let update = slot.announcement().with_status(CallStatus::Pending);
            effects.push(Effect::Emit(Event::Call(update)));
        }
        self.slots.push(slot);
    }

    /// Whether no client knows the call.
    pub(super) fn is_hidden(&self, id: &CallId) -> bool {
        self.slots.iter().any(|slot| slot.call.id == *id && slot.hidden)
    }

    /// The reply is whole: these are its calls, those that began first in the same order.
    pub(super) fn requested(&mut self, requested: Vec<RequestedCall>, effects: &mut Vec<Effect>) {
        let wanted = requested.len();
        for (at, request) in requested.into_iter().enumerate() {
            if at == self.slots.len() {
                self.began(&request.tool, effects);
            }
            let known = self.toolbox.get(&request.tool).is_some();
            let unknown = (!known).then(|| self.unknown_tool(&request.tool));
            let Some(slot) = self.slots.get_mut(at) else { continue };
            slot.call.tool = request.tool;
            slot.call.signatures = request.signatures;
            slot.progress = Progress::Waiting;
            let invalid = match request.input {
                Ok(input) if is_deeper(&input, DEEPEST_INPUT) => {
                    slot.call.input = serde_json::json!({});
                    Some(format!(
                        "the arguments are nested more than {DEEPEST_INPUT} levels deep; write \
                         them flatter"
                    ))
                }
                Ok(input) => {
                    slot.call.input = input;
                    unknown
                }
                Err(text) => {
                    let message = format!("the arguments are not valid JSON: {}", head(&text, 200));
                    slot.call.input = serde_json::json!({});
                    Some(message)
                }
            };
            if !slot.hidden {
                let update = CallUpdate {
                    input: Some(slot.call.input.clone()),
                    ..CallUpdate::new(slot.call.id.clone())
                };
                effects.push(Effect::Emit(Event::Call(update)));
            }
            if let Some(message) = invalid {
                settle(slot, Ran::failed(message), effects);
            }
        }
        for slot in self.slots.drain(wanted.min(self.slots.len())..) {
            drop_call(slot, "the model gave the call up", effects);
        }
    }

    /// The calls of the reply, whole.
    pub(super) fn calls(&self) -> Vec<Call> {
        self.slots.iter().map(|slot| slot.call.clone()).collect()
    }

    fn unknown_tool(&self, name: &str) -> String {
        let names: Vec<String> =
            self.toolbox.specs().iter().map(|spec| spec.name.clone()).collect();
        format!("there is no tool `{name}`; the tools are {}", names.join(", "))
    }

    /// Begins every call that may: one that only looks waits for the changes before it, one that
    /// changes something waits for all before it.
    pub(super) fn begin_ready(&mut self, effects: &mut Vec<Effect>) {
        let mut all_before = true;
        let mut changes_before = true;
        for slot in &mut self.slots {
            let may = if slot.only_looks() { changes_before } else { all_before };
            if may && matches!(slot.progress, Progress::Waiting) {
                slot.progress = Progress::Judging;
                effects.push(Effect::Judge(slot.call.id.clone()));
            }
            if !slot.is_settled() {
                all_before = false;
                changes_before &= slot.only_looks();
            }
        }
    }

    pub(super) fn judged(&mut self, id: &CallId, judged: Judged, effects: &mut Vec<Effect>) {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.call.id == *id) else { return };
        if !matches!(slot.progress, Progress::Judging) {
            return;
        }
        match judged {
            Judged::Invalid(message) => settle(slot, Ran::failed(message), effects),
            Judged::Denied(prepared, reason) => {
                effects.push(Effect::Described(described(slot, &prepared)));
                settle(slot, Ran::new(Outcome::Denied { reason }), effects);
            }
            Judged::Allowed(prepared) => {
                let update = described(slot, &prepared).with_status(CallStatus::InProgress);
                effects.push(Effect::Described(update));
                slot.progress = Progress::Running;
                effects.push(Effect::Run(id.clone()));
            }
            Judged::Asked(prepared) => {
                if std::mem::take(&mut slot.hidden) {
                    // The dialog needs a call to hang on.
                    let update = CallUpdate {
                        input: Some(slot.call.input.clone()),
                        ..slot.announcement().with_status(CallStatus::Pending)
                    };
                    effects.push(Effect::Emit(Event::Call(update)));
                }
                let shown = described(slot, &prepared);
                effects.push(Effect::Described(shown.clone()));
                slot.progress = Progress::Asking;
                let kind = self.toolbox.get(&slot.call.tool).map(|tool| tool.kind());
                // Whole: where a task asks, its user has seen nothing of the call.
                let call = CallUpdate {
                    tool: Some(slot.call.tool.clone()),
                    kind,
                    input: Some(slot.call.input.clone()),
                    ..shown
                }
                .with_status(CallStatus::Pending);
                effects.push(Effect::Ask(Question::new(call, prepared.grant)));
            }
        }
    }

    pub(super) fn answered(&mut self, id: &CallId, answer: Answer, effects: &mut Vec<Effect>) {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.call.id == *id) else { return };
        if !matches!(slot.progress, Progress::Asking) {
            return;
        }
        match answer {
            Answer::AllowOnce | Answer::AllowAlways => {
                let update = CallUpdate::new(id.clone()).with_status(CallStatus::InProgress);
                effects.push(Effect::Emit(Event::Call(update)));
                slot.progress = Progress::Running;
                effects.push(Effect::Run(id.clone()));
            }
            Answer::RejectOnce | Answer::RejectAlways => {
                let reason =
                    "the user refused this call; do not try it again in another way, go on \
                              without it or ask what they want instead"
                        .to_owned();
                settle(slot, Ran::new(Outcome::Denied { reason }), effects);
            }
            Answer::Unanswered => {
                let reason =
                    "nobody answered whether this call may run, so it did not run".to_owned();
                settle(slot, Ran::new(Outcome::Cancelled { reason }), effects);
            }
        }
    }

    pub(super) fn is_running(&self, id: &CallId) -> bool {
        let slot = self.slots.iter().find(|slot| slot.call.id == *id);
        slot.is_some_and(|slot| matches!(slot.progress, Progress::Running))
    }

    pub(super) fn ran(&mut self, id: &CallId, ran: Ran, effects: &mut Vec<Effect>) {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.call.id == *id) else { return };
        if matches!(slot.progress, Progress::Running) {
            settle(slot, ran, effects);
        }
    }

    /// Settles what has not begun to run, stops what runs.
    pub(super) fn cancel(&mut self, effects: &mut Vec<Effect>) {
        let mut running = false;
        for slot in &mut self.slots {
            match slot.progress {
                Progress::Settled(_) => {}
                Progress::Running => running = true,
                Progress::Asking => {
                    effects.push(Effect::Withdraw(slot.call.id.clone()));
                    settle(slot, self.stopper.before_it_began(), effects);
                }
                Progress::Began | Progress::Waiting | Progress::Judging => {
                    settle(slot, self.stopper.before_it_began(), effects);
                }
            }
        }
        if running {
            effects.push(Effect::StopCalls);
        }
    }

    /// Closes the calls of a reply that will not become whole; they are no part of the transcript.
    pub(super) fn give_up(&mut self, why: &str, effects: &mut Vec<Effect>) {
        for slot in self.slots.drain(..) {
            drop_call(slot, why, effects);
        }
    }

    /// The same, where the turn is cancelled.
    pub(super) fn give_up_cancelled(&mut self, effects: &mut Vec<Effect>) {
        let why = format!("{} before the call was whole", self.stopper.did());
        self.give_up(&why, effects);
    }

    pub(super) fn all_settled(&self) -> bool {
        self.slots.iter().all(Slot::is_settled)
    }

    /// All calls with their outcomes, once all are settled.
    pub(super) fn take_settled(&mut self) -> Vec<Settled> {
        self.slots
            .drain(..)
            .filter_map(|slot| match slot.progress {
                Progress::Settled(outcome) => Some(Settled { call: slot.call, outcome }),
                Progress::Began
                | Progress::Waiting
                | Progress::Judging
                | Progress::Asking
                | Progress::Running => None,
            })
            .collect()
    }
}

/// Who stops a turn that is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopper {
    User,
    /// The task that the turn is of ends, or its process does.
    Task,
}

impl Stopper {
    fn did(self) -> &'static str {
        match self {
            Self::User => "the user stopped the turn",
            Self::Task => "the task was cancelled or interrupted",
        }
    }

    /// What became of a call that the end of its turn came before.
    pub(super) fn before_it_began(self) -> Ran {
        let reason = format!("{} before this call began", self.did());
        Ran::new(Outcome::Cancelled { reason })
    }
}

fn described(slot: &mut Slot, prepared: &Prepared) -> CallUpdate {
    slot.title = Some(prepared.title.clone());
    // Nothing else says what a hidden call is.
    let so_far =
        if slot.hidden { slot.announcement() } else { CallUpdate::new(slot.call.id.clone()) };
    CallUpdate {
        title: slot.title.clone(),
        locations: Some(prepared.locations.clone()),
        content: (!prepared.preview.is_empty()).then(|| prepared.preview.clone()),
        ..so_far
    }
}

/// A call of the reply has its outcome.
fn settle(slot: &mut Slot, mut ran: Ran, effects: &mut Vec<Effect>) {
    if slot.is_settled() {
        return;
    }
    if let Some(plan) = ran.plan.take() {
        effects.push(Effect::Emit(Event::Plan(plan)));
    }
    let outcome = ran.outcome.clone();
    let gave = std::mem::take(&mut ran.gave);
    let has_cards = ran.has_cards || matches!(outcome, Outcome::Done { .. });
    let mut shown = final_update(slot.call.id.clone(), ran);
    if slot.hidden {
        slot.hidden = has_cards;
        let CallUpdate { tool, title, kind, hidden, .. } = slot.announcement();
        let input = Some(slot.call.input.clone());
        shown = CallUpdate { tool, title, kind, input, hidden, ..shown };
    }
    effects.push(Effect::Settled {
        call: slot.call.id.clone(),
        outcome: outcome.clone(),
        shown,
        gave,
    });
    slot.progress = Progress::Settled(outcome);
}

/// Closes a call that is no part of a whole reply: clients saw it begin, the transcript does not have it.
fn drop_call(slot: Slot, why: &str, effects: &mut Vec<Effect>) {
    if !slot.is_settled() && !slot.hidden {
        effects.push(Effect::Emit(Event::Call(final_update(slot.call.id, Ran::failed(why)))));
    }
}

fn final_update(id: CallId, ran: Ran) -> CallUpdate {
    let failed = !matches!(ran.outcome, Outcome::Done { .. });
    let content = if !ran.show.is_empty() {
        Some(ran.show)
    } else if failed {
        Some(vec![CallContent::Content(Content::text(ran.outcome.text()))])
    } else {
        None
    };
    let output =
        ran.output.unwrap_or_else(|| Value::String(head(&ran.outcome.text(), RAW_OUTPUT_CHARS)));
    CallUpdate {
        content,
        locations: ran.locations,
        output: Some(output),
        ..CallUpdate::new(id).with_status(status_of(&ran.outcome))
    }
}

/// Whether arrays and objects are nested in more than `levels` levels.
fn is_deeper(value: &Value, levels: usize) -> bool {
    let is_over = |value: &Value| is_deeper(value, levels.saturating_sub(1));
    match value {
        Value::Array(items) => levels == 0 || items.iter().any(is_over),
        Value::Object(fields) => levels == 0 || fields.values().any(is_over),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// The first `chars` characters.
fn head(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}
