//! What a session has used, as a client and `/usage` show it. The sums themselves are those that a journal
//! gives back.

use super::restore::Sums;
use crate::event::UsageReport;
use crate::transcript::{Spent, Usage};

#[derive(Debug)]
pub(super) struct Ledger {
    sums: Sums,
}

impl Ledger {
    /// A ledger that goes on from these sums.
    pub(super) fn of(sums: Sums) -> Self {
        Self { sums }
    }

    /// Enters a model request; what a client shows after it.
    pub(super) fn enter(&mut self, usage: Usage, spent: &Spent) -> Option<UsageReport> {
        self.sums.enter(spent, usage);
        self.sums.report()
    }

    /// The answer to `/usage`.
    pub(super) fn describe(&self) -> String {
        if self.sums.usage.is_empty() {
            return "No tokens were used yet.".to_owned();
        }
        let mut by_model: Vec<&(String, Usage)> = self.sums.usage.iter().collect();
        by_model.sort_by_key(|(model, _)| model);
        let mut text = String::from("Tokens of this session:\n");
        for (model, usage) in by_model {
            text.push_str(&format!(
                "- `{model}`: {} in ({} from the cache), {} out\n",
                usage.input, usage.cached, usage.output
            ));
        }
        if let Some(cost) = self.sums.cost {
            text.push_str(&format!("Cost: {cost:.4} USD\n"));
        }
        text
    }

    #[cfg(test)]
    pub(super) fn sums(&self) -> &Sums {
        &self.sums
    }
}
