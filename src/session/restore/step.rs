//! The step whose calls wait for their outcomes, and what a client is shown of each call in the end: one
//! update in its final state.

use super::repair::{self, Left, Reached};
use crate::event::{CallContent, CallStatus, CallUpdate, Event, ToolKind};
use crate::ids::CallId;
use crate::store::Record;
use crate::tools;
use crate::transcript::{Call, Content, Outcome, Settled, Step};

/// A step and its calls so far.
#[derive(Debug)]
pub(super) struct OpenStep {
    /// Without its calls.
    step: Step,
    calls: Vec<OpenCall>,
}

#[derive(Debug)]
struct OpenCall {
    call: Call,
    reached: Reached,
    shown: CallUpdate,
    outcome: Option<Outcome>,
}

impl OpenStep {
    pub(super) fn new(step: Step, calls: Vec<Call>) -> Self {
        let calls = calls
            .into_iter()
            .map(|call| OpenCall {
                shown: CallUpdate::new(call.id.clone()),
                call,
                reached: Reached::Asked,
                outcome: None,
            })
            .collect();
        Self { step, calls }
    }

    pub(super) fn is_settled(&self) -> bool {
        self.calls.iter().all(|call| call.outcome.is_some())
    }

    pub(super) fn described(&mut self, shown: CallUpdate) {
        if let Some(call) = self.open_call(&shown.id) {
            call.shown.take_in(shown);
        }
    }

    pub(super) fn begun(&mut self, id: &CallId) {
        if let Some(call) = self.open_call(id) {
            call.reached = Reached::Begun;
        }
    }

    /// Whether the call waited for it.
    pub(super) fn settled(&mut self, id: &CallId, outcome: Outcome, shown: CallUpdate) -> bool {
        let call = self.open_call(id);
        call.map(|call| call.settle(outcome, shown)).is_some()
    }

    /// One that has an outcome keeps it, and what it shows.
    fn open_call(&mut self, id: &CallId) -> Option<&mut OpenCall> {
        self.calls.iter_mut().find(|call| call.call.id == *id && call.outcome.is_none())
    }

    /// How the calls ended that have no outcome.
    pub(super) fn repairs(&self, left: Left) -> impl Iterator<Item = Record> {
        self.calls.iter().filter(|call| call.outcome.is_none()).map(move |open| {
            let call = open.call.id.clone();
            let reached = if open.shown.hidden { Reached::Delegated } else { open.reached };
            let (outcome, shown) = left.outcome(&call, reached);
            // The cards of its tasks say that it was interrupted.
            let shown = CallUpdate { hidden: open.shown.hidden, ..shown };
            Record::Outcome { call, outcome, shown, gave: Vec::new() }
        })
    }

    /// The step, which gets no more; its calls are shown.
    pub(super) fn close(self, events: &mut Vec<Event>) -> Step {
        let Self { mut step, calls } = self;
        for mut open in calls {
            if open.outcome.is_none() {
                let (outcome, shown) = repair::unread(&open.call.id);
                let hidden = open.shown.hidden;
                open.settle(outcome, CallUpdate { hidden, ..shown });
            }
            let OpenCall { call, shown, outcome, .. } = open;
            let Some(outcome) = outcome else { continue };
            if !shown.hidden {
                events.push(Event::Call(in_the_end(&call, &outcome, shown)));
            }
            step.calls.push(Settled { call, outcome });
        }
        step
    }
}

impl OpenCall {
    fn settle(&mut self, outcome: Outcome, shown: CallUpdate) {
        self.outcome = Some(outcome);
        self.shown.take_in(shown);
    }
}

/// The one update that says all of a call.
fn in_the_end(call: &Call, outcome: &Outcome, shown: CallUpdate) -> CallUpdate {
    let status = match outcome {
        Outcome::Done { .. } => CallStatus::Completed,
        Outcome::Failed { .. } | Outcome::Denied { .. } | Outcome::Cancelled { .. } => {
            CallStatus::Failed
        }
    };
    let kind = shown.kind.unwrap_or_else(|| kind_of(shown.content.as_deref().unwrap_or_default()));
    CallUpdate {
        tool: Some(call.tool.clone()),
        title: Some(shown.title.unwrap_or_else(|| call.tool.clone())),
        kind: Some(kind),
        status: Some(status),
        content: shown.content.map(|content| without_terminals(content, outcome)),
        input: Some(call.input.clone()),
        ..shown
    }
}

/// What a call does, as far as what it shows tells.
fn kind_of(content: &[CallContent]) -> ToolKind {
    content
        .iter()
        .find_map(|content| match content {
            CallContent::Diff { .. } => Some(ToolKind::Edit),
            CallContent::Terminal(_) => Some(ToolKind::Execute),
            CallContent::Content(_) => None,
        })
        .unwrap_or(ToolKind::Other)
}

/// The editor's terminals are gone: what the model was told of them stands in their place, once.
fn without_terminals(content: Vec<CallContent>, outcome: &Outcome) -> Vec<CallContent> {
    let mut told = false;
    content
        .into_iter()
        .filter_map(|content| match content {
            CallContent::Terminal(_) => (!std::mem::replace(&mut told, true))
                .then(|| CallContent::Content(Content::text(tools::fenced(&outcome.text())))),
            CallContent::Content(_) | CallContent::Diff { .. } => Some(content),
        })
        .collect()
}
