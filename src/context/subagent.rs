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
/// `branch` is that of one with a tree of its own, which shares it with nobody.
pub fn subagent_prompt(
    roots: &Roots,
    instructions: &Instructions,
    (delegates, branch): (bool, Option<&str>),
) -> String {
    let isolated = branch.map(isolated);
    let mut blocks = vec![SUBAGENT];
    if delegates {
        blocks.push(DELEGATES);
    }
    blocks.extend(isolated.as_deref());
    assemble(&blocks, roots, instructions)
}

fn isolated(branch: &str) -> String {
    format!(
        "

# Your tree
Your working folder is a git worktree of your own, on the branch `{branch}`, made from the last commit of the \
user's repository. What the user has not committed is not in it.

- Work only in it. Do not switch branches, do not push, and leave other worktrees and branches alone.
- You need not commit: what you leave is committed to your branch when you have reported. Whoever gave you the \
task sees it as a diff, and decides about it."
    )
}

/// What stands behind the system prompt where the report must match a schema.
pub fn report_as(schema: &Value) -> String {
    format!(
        "\n# The report\nYour last message must be JSON and nothing else, no words before or behind it, and \
         match this JSON Schema:\n{schema}\n"
    )
}
