//! The tools `steer_task` and `cancel_task`: what changes the way of a task.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::input::task;
use super::{Stop, answered, door, prepared, shown};
use crate::event::ToolKind;
use crate::model::ToolSpec;
use crate::tasks::{TaskError, TaskName, Which};
use crate::tools::input::Fields;
use crate::tools::{Context, Effect, Prepared, Ran, Tool};

pub(super) struct Steer;

fn steering(input: &Value) -> Result<(TaskName, String), String> {
    let fields = Fields::of(input)?;
    let task = task(&fields)?;
    let message = fields.optional_word(&["message", "text", "prompt"])?;
    Ok((task, message.ok_or_else(|| TaskError::EmptyMessage.to_string())?))
}

impl Tool for Steer {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "steer_task".to_owned(),
            description:
                "Tell a task something; it sees it before its next step. One that has ended \
                          misses it: start a task that `continues` it."
                    .to_owned(),
            schema: json!({
                "type": "object",
                "properties": {"task_id": {"type": "string"}, "message": {"type": "string"}},
                "required": ["task_id", "message"]
            }),
        }
    }

    fn effect(&self) -> Effect {
        Effect::None
    }

    fn kind(&self) -> ToolKind {
        ToolKind::Other
    }

    fn prepare<'a>(
        &'a self,
        input: &'a Value,
        _context: &'a Context,
    ) -> BoxFuture<'a, Result<Prepared, String>> {
        async move { Ok(prepared(format!("Steer {}", steering(input)?.0))) }.boxed()
    }

    fn run<'a>(&'a self, input: &'a Value, context: &'a Context) -> BoxFuture<'a, Ran> {
        async move { steer(input, context).await.unwrap_or_else(Ran::from) }.boxed()
    }
}

async fn steer(input: &Value, context: &Context) -> Result<Ran, Stop> {
    let (task, message) = steering(input)?;
    let steered = door(context)?.tasks.steer(&task, message).await?;
    let text = format!("`{}` {} · {}", steered.task_id, steered.state, steered.receipt);
    shown(&steered, text)
}

pub(super) struct Cancel;

fn cancelling(input: &Value) -> Result<(TaskName, Option<String>), String> {
    let fields = Fields::of(input)?;
    Ok((task(&fields)?, fields.optional_word(&["reason"])?))
}

impl Tool for Cancel {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "cancel_task".to_owned(),
            description: "End a task and those below it; gives its partial report.".to_owned(),
            schema: json!({
                "type": "object",
                "properties": {"task_id": {"type": "string"}, "reason": {"type": "string"}},
                "required": ["task_id"]
            }),
        }
    }

    fn effect(&self) -> Effect {
        Effect::None
    }

    fn kind(&self) -> ToolKind {
        ToolKind::Other
    }

    fn prepare<'a>(
        &'a self,
        input: &'a Value,
        _context: &'a Context,
    ) -> BoxFuture<'a, Result<Prepared, String>> {
        async move { Ok(prepared(format!("Cancel {}", cancelling(input)?.0))) }.boxed()
    }

    fn run<'a>(&'a self, input: &'a Value, context: &'a Context) -> BoxFuture<'a, Ran> {
        async move { cancel(input, context).await.unwrap_or_else(Ran::from) }.boxed()
    }
}

async fn cancel(input: &Value, context: &Context) -> Result<Ran, Stop> {
    let (task, reason) = cancelling(input)?;
    let door = door(context)?;
    let name = task.to_string();
    let cancelled = tokio::select! {
        // First, so that it is asked for in any case.
        biased;
        cancelled = door.tasks.cancel(Which::One(task), reason) => cancelled?,
        () = context.cancel.cancelled() => {
            let reason = format!("the turn was cancelled; {name} is being cancelled, too");
            return Err(Stop::Cancelled(reason));
        }
    };
    match cancelled.as_slice() {
        [one] => shown(one, format!("`{}` {}", one.task_id, one.state)),
        several => answered(&several),
    }
}
