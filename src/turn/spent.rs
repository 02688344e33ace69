//! What a request to the model cost. Pure; the session adds it up.

use crate::config::Price;
use crate::model::catalog::Choice;
use crate::transcript::{Spent, Usage};

/// What the last request to this model cost.
pub(super) fn spent(choice: &Choice, usage: Usage) -> Spent {
    let answered = choice.answered();
    Spent {
        model: answered.name.to_owned(),
        window: answered.context_window,
        cost: answered.price.map(|price| cost_of(usage, price)),
    }
}

/// US dollars. Tokens stay far below the 2⁵² that a float holds exactly.
#[expect(clippy::cast_precision_loss, reason = "no request has 2^52 tokens")]
fn cost_of(usage: Usage, price: Price) -> f64 {
    let fresh = usage.input.saturating_sub(usage.cached) as f64;
    let cached = usage.cached as f64;
    let input = fresh * price.input + cached * price.cached.unwrap_or(price.input);
    (input + usage.output as f64 * price.output) / 1_000_000.0
}
