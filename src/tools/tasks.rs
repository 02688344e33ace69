//! The tools about background tasks. They read what the model wrote and translate it to the operations in
//! `tasks`; what those answer goes back as JSON. They decide nothing about tasks.

mod check;
mod collect;
mod delegate;
mod images;
mod input;
mod steer;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::Serialize;

use super::{Context, Prepared, Ran, Tool};
use crate::config::{DelegationSection, TasksSection};
use crate::event::CallContent;
use crate::permission::Grant;
use crate::tasks::{Door, TaskError};
use crate::transcript::{Content, Outcome};

/// The tool that starts tasks in the background.
pub(super) const START: &str = "delegate_task_async";

/// The limits that the model is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskLimits {
    running: u32,
    queued: u32,
    per_prompt: u32,
    /// How deep tasks start tasks; 0: there are none.
    depth: u32,
    /// Absent: a task may take as long as it likes.
    seconds: Option<u64>,
}

impl TaskLimits {
    pub fn of(delegation: &DelegationSection, tasks: &TasksSection) -> Self {
        let seconds = delegation.child_timeout_seconds;
        Self {
            // As many as do run where none may.
            running: delegation.max_concurrent_children.max(1),
            queued: delegation.max_queued,
            per_prompt: tasks.max_per_prompt,
            depth: delegation.max_spawn_depth,
            seconds: (seconds > 0).then_some(seconds),
        }
    }
}

impl Default for TaskLimits {
    fn default() -> Self {
        Self::of(&DelegationSection::default(), &TasksSection::default())
    }
}

/// The tools, where there may be tasks at all. `toolsets` are those that a task can be given.
pub(super) fn all(limits: &TaskLimits, toolsets: &[&'static str]) -> Vec<Arc<dyn Tool>> {
    if limits.depth == 0 {
        return Vec::new();
    }
    let about = delegate::About::new(*limits, toolsets);
    vec![
        Arc::new(delegate::Delegate::in_the_background(about.clone())),
        Arc::new(delegate::Delegate::and_wait(about)),
        Arc::new(check::Check),
        Arc::new(steer::Steer),
        Arc::new(collect::Collect),
        Arc::new(steer::Cancel),
        Arc::new(check::List),
    ]
}

/// Why a call ends without its answer.
enum Stop {
    Refused(TaskError),
    /// The message is for the model.
    Failed(String),
    Cancelled(String),
}

impl From<TaskError> for Stop {
    fn from(error: TaskError) -> Self {
        Self::Refused(error)
    }
}

impl From<String> for Stop {
    fn from(message: String) -> Self {
        Self::Failed(message)
    }
}

impl From<Stop> for Ran {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Refused(error) => Self::failed(error.to_string()),
            Stop::Failed(message) => Self::failed(message),
            Stop::Cancelled(reason) => Self::new(Outcome::Cancelled { reason }),
        }
    }
}

fn door(context: &Context) -> Result<&Door, Stop> {
    context.tasks.as_ref().ok_or_else(|| {
        Stop::Failed(
            "there are no background tasks in this session; do the work yourself".to_owned(),
        )
    })
}

/// What an operation answered, as one line of JSON for the model and the same for clients.
fn answered<T: Serialize>(answer: &T) -> Result<Ran, Stop> {
    let broken = |error: serde_json::Error| Stop::Failed(format!("the answer is no JSON: {error}"));
    let mut ran = Ran::new(Outcome::done(serde_json::to_string(answer).map_err(broken)?));
    ran.output = Some(serde_json::to_value(answer).map_err(broken)?);
    Ok(ran)
}

/// The same, and a text for the user.
fn shown<T: Serialize>(answer: &T, text: String) -> Result<Ran, Stop> {
    let mut ran = answered(answer)?;
    ran.show = vec![CallContent::Content(Content::text(text))];
    Ok(ran)
}

/// A call that touches nothing.
fn prepared(title: String) -> Prepared {
    Prepared {
        title,
        locations: Vec::new(),
        preview: Vec::new(),
        touches: Vec::new(),
        command: None,
        grant: Grant { key: "tasks".to_owned(), label: "work on background tasks".to_owned() },
        trouble: None,
    }
}
