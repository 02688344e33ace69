//! What a subagent is told beside what every agent is told: that it is one, what its last message is, and
//! what its report must look like.

use serde_json::Value;

use super::{Instructions, assemble};
use crate::tools::roots::Roots;

const SUBAGENT: &str = "

# You are a subagent
Another agent gave you one task; your first message is all that you know of its conversation. Do this task \
and nothing beside it.

- Nobody answers questions. Where something is unclear decide yourself, and say in the report what you \
decided.
- A message that reaches you while you work comes from whoever gave you the task: follow it.
- Other agents may work in the same folder. Do not undo what you did not do.
- Your last message, the one without a call, is your report, and all that is kept of your work: what you \
did, what you found, which files you changed, what failed or is left to do. Its reader has seen none of \
your steps. Be short, but leave out nothing that matters.";

const DELEGATES: &str = "
- You may hand out independent parts as background tasks of your own; collect their reports before you \
write yours.";

/// The system prompt of a subagent. It is the same for all of one session's, so that they share it, and so
/// that providers can cache it.
pub fn subagent_prompt(roots: &Roots, instructions: &Instructions, delegates: bool) -> String {
    let blocks: &[&str] = if delegates { &[SUBAGENT, DELEGATES] } else { &[SUBAGENT] };
    assemble(blocks, roots, instructions)
}

/// What stands behind the system prompt where the report must match a schema.
pub fn report_as(schema: &Value) -> String {
    format!(
        "\n# The report\nYour last message must be JSON and nothing else, no words before or behind it, and \
         match this JSON Schema:\n{schema}\n"
    )
}
