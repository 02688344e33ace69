//! What a session has used: tokens by model, and their cost where prices are known.

use std::collections::BTreeMap;

use crate::config::Price;
use crate::event::UsageReport;
use crate::transcript::Usage;
use crate::turn::Spent;

#[derive(Debug, Default)]
pub(super) struct Ledger {
    by_model: BTreeMap<String, Usage>,
    /// US dollars; absent while no price is known.
    cost: Option<f64>,
}

impl Ledger {
    /// Enters a model request; what a client shows after it.
    pub(super) fn enter(&mut self, spent: Spent) -> UsageReport {
        let Spent { model, usage, window, price } = spent;
        let total = self.by_model.entry(model).or_default();
        total.input += usage.input;
        total.output += usage.output;
        total.cached += usage.cached;
        if let Some(price) = price {
            self.cost = Some(self.cost.unwrap_or_default() + cost_of(usage, price));
        }
        UsageReport {
            used: (usage.input + usage.output).min(window),
            size: window,
            cost: self.cost,
        }
    }

    /// The answer to `/usage`.
    pub(super) fn describe(&self) -> String {
        if self.by_model.is_empty() {
            return "No tokens were used yet.".to_owned();
        }
        let mut text = String::from("Tokens of this session:\n");
        for (model, usage) in &self.by_model {
            text.push_str(&format!(
                "- `{model}`: {} in ({} from the cache), {} out\n",
                usage.input, usage.cached, usage.output
            ));
        }
        if let Some(cost) = self.cost {
            text.push_str(&format!("Cost: {cost:.4} USD\n"));
        }
        text
    }
}

/// US dollars. Tokens stay far below the 2⁵² that a float holds exactly.
#[expect(clippy::cast_precision_loss, reason = "no session has 2^52 tokens")]
fn cost_of(usage: Usage, price: Price) -> f64 {
    let fresh = usage.input.saturating_sub(usage.cached) as f64;
    let cached = usage.cached as f64;
    let input = fresh * price.input + cached * price.cached.unwrap_or(price.input);
    (input + usage.output as f64 * price.output) / 1_000_000.0
}
