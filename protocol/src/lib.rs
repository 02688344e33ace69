//! The names of Talaria's extension of the Agent Client Protocol: its place in `_meta`, its methods.
//! `README.md` is the specification; messages come with the first version that serves them.

/// The key of Talaria's values in any `_meta` of the protocol.
pub const META_KEY: &str = "talaria";

/// What the name of each method of the extension begins with.
pub const METHOD_PREFIX: &str = "_talaria/";

/// Starts a task.
pub const TASK_SPAWN: &str = "_talaria/task/spawn";
/// Looks at a task, without waiting.
pub const TASK_CHECK: &str = "_talaria/task/check";
/// Puts input into a running task.
pub const TASK_STEER: &str = "_talaria/task/steer";
/// Waits for a task's report and shows it.
pub const TASK_COLLECT: &str = "_talaria/task/collect";
/// Ends a task.
pub const TASK_CANCEL: &str = "_talaria/task/cancel";
/// Lists a session's tasks.
pub const TASK_LIST: &str = "_talaria/task/list";
/// Answers a task's pending question.
pub const TASK_ANSWER: &str = "_talaria/task/answer";
/// Goes on with an interrupted task.
pub const TASK_RESUME: &str = "_talaria/task/resume";
/// Shows the changes of a task that works in a tree of its own.
pub const TASK_DIFF: &str = "_talaria/task/diff";
/// Takes these changes into the working tree.
pub const TASK_MERGE: &str = "_talaria/task/merge";
/// Throws these changes away.
pub const TASK_DISCARD: &str = "_talaria/task/discard";

/// Tells a client what happened to a task. A notification, from the agent.
pub const TASK_EVENT: &str = "_talaria/task/event";

/// The requests, from a client to the agent.
pub const REQUESTS: [&str; 11] = [
    TASK_SPAWN,
    TASK_CHECK,
    TASK_STEER,
    TASK_COLLECT,
    TASK_CANCEL,
    TASK_LIST,
    TASK_ANSWER,
    TASK_RESUME,
    TASK_DIFF,
    TASK_MERGE,
    TASK_DISCARD,
];

/// The notifications, from the agent to a client.
pub const NOTIFICATIONS: [&str; 1] = [TASK_EVENT];

/// The keys under [`META_KEY`] in the `_meta` of a client's capabilities.
pub mod client_capabilities {
    /// `true`: the client understands [`crate::TASK_EVENT`].
    pub const EVENTS: &str = "events";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const README: &str = include_str!("../README.md");

    fn methods() -> impl Iterator<Item = &'static str> {
        REQUESTS.into_iter().chain(NOTIFICATIONS)
    }

    #[test]
    fn names_are_noun_and_verb_under_the_prefix() {
        for method in methods() {
            let rest = method.strip_prefix(METHOD_PREFIX).unwrap();
            assert!(rest.split('/').count() == 2, "{method} is not `{METHOD_PREFIX}noun/verb`");
            assert!(
                rest.chars().all(|letter| letter.is_ascii_lowercase() || letter == '/'),
                "{method}"
            );
        }
    }

    #[test]
    fn the_specification_lists_each_method_once_and_no_other() {
        let rows: Vec<&str> =
            README.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        let listed: Vec<&str> =
            rows.into_iter().filter(|name| name.starts_with(METHOD_PREFIX)).collect();
        assert_eq!(listed.len(), methods().count());
        assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), methods().collect());
    }
}
