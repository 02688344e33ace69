//! Talaria's extension of the Agent Client Protocol: its place in `_meta`, its methods, their messages.
//! `README.md` is the specification, `schema/` the same for machines. It knows nothing of how they are served.

pub mod meta;
pub mod session;
pub mod steering;
pub mod task;

/// The key of Talaria's values in any `_meta` of the protocol.
pub const META_KEY: &str = "talaria";

/// What the name of each method of the extension begins with.
pub const METHOD_PREFIX: &str = "_talaria/";

/// Starts tasks.
pub const TASK_SPAWN: &str = "_talaria/task/spawn";
/// Looks at a task, without waiting.
pub const TASK_CHECK: &str = "_talaria/task/check";
/// Puts input into a running task.
pub const TASK_STEER: &str = "_talaria/task/steer";
/// Waits for the reports of tasks and shows them.
pub const TASK_COLLECT: &str = "_talaria/task/collect";
/// Ends tasks.
pub const TASK_CANCEL: &str = "_talaria/task/cancel";
/// Lists a session's tasks.
pub const TASK_LIST: &str = "_talaria/task/list";
/// Shows a task's pending question, or answers it.
pub const TASK_ANSWER: &str = "_talaria/task/answer";
/// Goes on with interrupted tasks.
pub const TASK_RESUME: &str = "_talaria/task/resume";
/// Shows the changes of a task that works in a tree of its own.
pub const TASK_DIFF: &str = "_talaria/task/diff";
/// Takes these changes into the working tree.
pub const TASK_MERGE: &str = "_talaria/task/merge";
/// Throws these changes away.
pub const TASK_DISCARD: &str = "_talaria/task/discard";

/// Tells a client how a task stands. A notification, from the agent.
pub const TASK_EVENT: &str = "_talaria/task/event";

/// Lists the sessions that a server has open. On the control socket alone: a client of ACP knows its own.
pub const SESSION_LIST: &str = "_talaria/session/list";
/// Asks for [`TASK_EVENT`] of one session. On the control socket alone.
pub const TASK_SUBSCRIBE: &str = "_talaria/task/subscribe";
/// Ends a subscription. On the control socket alone.
pub const TASK_UNSUBSCRIBE: &str = "_talaria/task/unsubscribe";

/// Gives a prompt to the turn that runs. A name that other agents serve as well, so it has no prefix of ours and is
/// advertised as theirs is: `_meta.steering.supported` in the answer to `initialize`.
pub const SESSION_STEERING: &str = "_session/steering";

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

/// The requests that exist on the control socket alone.
pub const SOCKET_REQUESTS: [&str; 3] = [SESSION_LIST, TASK_SUBSCRIBE, TASK_UNSUBSCRIBE];

/// The notifications, from the agent to a client.
pub const NOTIFICATIONS: [&str; 1] = [TASK_EVENT];

/// The keys under [`META_KEY`] in the `_meta` of a client's capabilities.
pub mod client_capabilities {
    /// `true`: the client understands [`crate::TASK_EVENT`].
    pub const EVENTS: &str = "events";
}

/// The keys under [`META_KEY`] in the `_meta` of the agent's capabilities.
pub mod agent_capabilities {
    /// The names of the requests that are served: [`crate::REQUESTS`], or some of them.
    pub const METHODS: &str = "methods";
    /// `true`: [`crate::TASK_EVENT`] is sent to clients that declare the key of the same name.
    pub const EVENTS: &str = "events";
}

/// The codes of errors, beside those of JSON-RPC and ACP.
pub mod error_codes {
    /// A field is missing, of the wrong type, or says what cannot be done. JSON-RPC's "invalid params".
    pub const REFUSED: i32 = -32602;
    /// There is no such session here, or no such task in it. ACP's "resource not found".
    pub const NOT_FOUND: i32 = -32002;
    /// What keeps the tasks failed, or Talaria did. JSON-RPC's "internal error".
    pub const INTERNAL: i32 = -32603;
}

/// What an error's `data` says of it.
#[derive(
    Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct ErrorData {
    /// What is wrong, for programs.
    pub kind: ErrorKind,
    /// `conflict`: the task whose changes do not fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// `conflict`: the files that would have to be merged by hand, relative to the root of the repository.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
}

/// What kind of error it is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum ErrorKind {
    /// The parameters cannot be read, or a value in them makes no sense.
    Invalid,
    /// The session is not open in this process, or is not this client's.
    UnknownSession,
    /// The session has no such task.
    UnknownTask,
    /// One of the configured limits; the message names its key.
    Limit,
    /// The task is in a state in which this cannot be done.
    State,
    /// Changes do not fit what is in the working tree; nothing was touched.
    Conflict,
    /// There is no git repository, no commit in it, or git failed; the message says which.
    Git,
    /// What keeps the tasks failed, or Talaria did; the log has more.
    Unavailable,
}

#[cfg(test)]
mod tests;
