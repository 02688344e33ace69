//! Which tools a subagent may be given together: names for groups of the built-in ones. It makes no tool.

/// The tools that are about tasks themselves.
pub const TASKS: &str = "tasks";

const TOOLSETS: [(&str, &[&str]); 5] = [
    ("read", &["read", "list", "glob", "grep"]),
    ("edit", &["write", "edit"]),
    ("terminal", &["terminal"]),
    ("plan", &["plan"]),
    (
        TASKS,
        &[
            "delegate_task_async",
            "delegate_task",
            "check_task",
            "steer_task",
            "collect_task",
            "cancel_task",
            "list_tasks",
        ],
    ),
];

/// The toolset that a tool is in.
pub(super) fn of(tool: &str) -> Option<&'static str> {
    TOOLSETS.iter().find(|(_, tools)| tools.contains(&tool)).map(|(name, _)| *name)
}

/// The names of those with a tool for which `has` is true.
pub(super) fn names(has: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let here = |(_, tools): &&(&str, &[&str])| tools.iter().any(|tool| has(tool));
    TOOLSETS.iter().filter(here).map(|(name, _)| *name).collect()
}
