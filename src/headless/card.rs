//! Cards of background tasks, as an agent marks them: calls that belong to a session and not to a turn,
//! with `_meta.talaria.task` in each update.

use serde_json::Value;

/// What marks an update as one of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark<'a> {
    /// `t1`.
    pub(crate) task: &'a str,
    /// `running`.
    pub(crate) state: &'a str,
    /// Whether it is the card itself, and not a call that the task asked for.
    pub(crate) is_card: bool,
}

/// The mark of an update, if it has one.
pub(crate) fn mark(update: &Value) -> Option<Mark<'_>> {
    let task = update.pointer("/_meta/talaria/task")?;
    let text = |name: &str| task.get(name).and_then(Value::as_str);
    let call = update.get("toolCallId").and_then(Value::as_str).unwrap_or_default();
    Some(Mark {
        task: text("id")?,
        state: text("state").unwrap_or_default(),
        is_card: !call.contains('/'),
    })
}
