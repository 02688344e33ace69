//! What a session has used: tokens, cost, and how full its context is. What is shown of it is the ledger's.

use crate::event::UsageReport;
use crate::transcript::{Spent, Usage};

/// What the session has used so far; its ledger goes on from it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sums {
    /// By model, each once, in the order in which they were first asked.
    pub usage: Vec<(String, Usage)>,
    /// US dollars; absent while no price was known.
    pub cost: Option<f64>,
    pub filled: Option<Filled>,
}

/// How full the context was at the last request, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filled {
    pub used: u64,
    pub size: u64,
}

impl Sums {
    /// Enters a model request.
    pub(in crate::session) fn enter(&mut self, spent: &Spent, usage: Usage) {
        let Spent { model, window, cost } = spent;
        let at = self.usage.iter().position(|(known, _)| known == model);
        match at.and_then(|at| self.usage.get_mut(at)) {
            Some((_, total)) => {
                total.input = total.input.saturating_add(usage.input);
                total.output = total.output.saturating_add(usage.output);
                total.cached = total.cached.saturating_add(usage.cached);
            }
            None => self.usage.push((model.clone(), usage)),
        }
        if let Some(cost) = cost {
            self.cost = Some(self.cost.unwrap_or_default() + cost);
        }
        let used = usage.input.saturating_add(usage.output).min(*window);
        self.filled = Some(Filled { used, size: *window });
    }

    /// What a client is shown after the last request.
    pub(in crate::session) fn report(&self) -> Option<UsageReport> {
        let Filled { used, size } = self.filled?;
        Some(UsageReport { used, size, cost: self.cost })
    }
}
