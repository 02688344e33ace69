//! Errors as a caller gets them: code, sentence, and what a program may branch on.

use talaria_protocol::{ErrorData, ErrorKind, error_codes};

use crate::letters;
use crate::tasks::TaskError;

/// The most characters of a foreign name that an error repeats.
const NAME_CHARS: usize = 80;

/// Why a call failed, as JSON-RPC says it.
#[derive(Debug, Clone, PartialEq)]
pub struct CallError {
    pub code: i32,
    /// A sentence, with what to do.
    pub message: String,
    /// An [`ErrorData`], where the error is the table's own.
    pub data: Option<serde_json::Value>,
}

impl CallError {
    fn new(code: i32, kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::with(code, message.into(), &ErrorData { kind, task_id: None, files: Vec::new() })
    }

    fn with(code: i32, message: String, data: &ErrorData) -> Self {
        Self { code, message, data: serde_json::to_value(data).ok() }
    }

    /// The parameters cannot be read, or say what makes no sense.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(error_codes::REFUSED, ErrorKind::Invalid, message)
    }

    pub(super) fn unknown_session(id: &str) -> Self {
        let id = letters::cut(&letters::one_line(id), NAME_CHARS);
        let message = format!(
            "No session `{id}` is open in this process. Open it in the editor, or name one that is open: \
             `talaria task list` without `--session` finds that of the working folder."
        );
        Self::new(error_codes::NOT_FOUND, ErrorKind::UnknownSession, message)
    }

    /// The session may have no tasks.
    pub(super) fn no_tasks(id: &str) -> Self {
        let message = format!(
            "The session `{id}` cannot have tasks: `delegation.max_spawn_depth` is 0, or what keeps them is away. \
             The log says which."
        );
        Self::new(error_codes::REFUSED, ErrorKind::State, message)
    }

    pub(super) fn method_not_found(method: &str) -> Self {
        let method = letters::cut(&letters::one_line(method), NAME_CHARS);
        Self { code: -32601, message: format!("There is no method `{method}`."), data: None }
    }

    /// A defect of ours.
    pub(super) fn defect() -> Self {
        let message = "The request failed because of a defect in Talaria. The log has more.";
        Self::new(error_codes::INTERNAL, ErrorKind::Unavailable, message)
    }
}

impl From<TaskError> for CallError {
    fn from(error: TaskError) -> Self {
        let (code, kind) = match &error {
            TaskError::Unknown { .. } | TaskError::Copied { .. } => {
                (error_codes::NOT_FOUND, ErrorKind::UnknownTask)
            }
            TaskError::Closed => (error_codes::NOT_FOUND, ErrorKind::UnknownSession),
            TaskError::EmptyGoal
            | TaskError::NoTasks
            | TaskError::Toolset { .. }
            | TaskError::Model { .. }
            | TaskError::Image { .. }
            | TaskError::Schema { .. }
            | TaskError::TooLarge(_)
            | TaskError::EmptyMessage => (error_codes::REFUSED, ErrorKind::Invalid),
            TaskError::Depth { .. }
            | TaskError::Full { .. }
            | TaskError::PerPrompt { .. }
            | TaskError::Tokens { .. }
            | TaskError::Overspent { .. } => (error_codes::REFUSED, ErrorKind::Limit),
            TaskError::NotFinished { .. }
            | TaskError::AsksNothing { .. }
            | TaskError::OtherQuestion { .. }
            | TaskError::NotInterrupted { .. }
            | TaskError::NotIsolated { .. }
            | TaskError::NoTree { .. }
            | TaskError::StillRuns { .. } => (error_codes::REFUSED, ErrorKind::State),
            TaskError::Conflict { .. } => (error_codes::REFUSED, ErrorKind::Conflict),
            TaskError::Git(_) => (error_codes::REFUSED, ErrorKind::Git),
            TaskError::Unavailable(_) | TaskError::NotTold { .. } => {
                (error_codes::INTERNAL, ErrorKind::Unavailable)
            }
        };
        let message = error.fault().sentence();
        let (task_id, files) = if let TaskError::Conflict { name, files, .. } = error {
            (Some(name), files)
        } else {
            (None, Vec::new())
        };
        Self::with(code, message, &ErrorData { kind, task_id, files })
    }
}
