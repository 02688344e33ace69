//! The step of a running turn that is not whole yet, kept for a turn that dies: the transcript then has what
//! is written of it, as that of a restored session would.

use std::collections::HashMap;

use crate::ids::CallId;
use crate::transcript::{Outcome, Prompt, Reply, Settled, Step};

/// A reply that is written, with the outcomes so far.
#[derive(Debug)]
pub(super) struct OpenStep {
    reply: Reply,
    /// The prompts that its request carried.
    steered: Vec<Prompt>,
    outcomes: HashMap<CallId, Outcome>,
}

impl OpenStep {
    pub(super) fn new(reply: Reply, steered: Vec<Prompt>) -> Self {
        Self { reply, steered, outcomes: HashMap::new() }
    }

    pub(super) fn settled(&mut self, call: CallId, outcome: Outcome) {
        self.outcomes.insert(call, outcome);
    }

    /// The calls without an outcome, in order.
    pub(super) fn unsettled(&self) -> Vec<CallId> {
        let calls = self.reply.calls.iter().map(|call| &call.id);
        calls.filter(|call| !self.outcomes.contains_key(*call)).cloned().collect()
    }

    /// The step, which gets no more; a call without an outcome is left out.
    pub(super) fn close(self) -> Step {
        let Self { mut reply, steered, mut outcomes } = self;
        let calls = std::mem::take(&mut reply.calls).into_iter();
        let settled = calls
            .filter_map(|call| outcomes.remove(&call.id).map(|outcome| Settled { call, outcome }));
        let settled = settled.collect();
        reply.into_step(steered, settled)
    }
}
