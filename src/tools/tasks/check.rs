//! The tools `check_task` and `list_tasks`: how tasks stand, at once.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::{Value, json};

use super::input::{state, task};
use super::{Stop, door, prepared, shown};
use crate::event::ToolKind;
use crate::letters;
use crate::model::ToolSpec;
use crate::tasks::engine::State;
use crate::tasks::{Checked, Row, TaskName};
use crate::tools::files::fenced;
use crate::tools::input::Fields;
use crate::tools::{Context, Effect, Prepared, Ran, Tool};

const DEFAULT_LINES: u64 = 10;
const MOST_LINES: u64 = 200;
/// Rows of a list that are shown to the user.
const ROWS: usize = 50;
/// Characters of a goal in a list.
const GOAL_CHARS: usize = 80;

pub(super) struct Check;

struct Input {
    task: TaskName,
    lines: usize,
}

impl Input {
    fn of(input: &Value) -> Result<Self, String> {
        let fields = Fields::of(input)?;
        let lines = fields.number(&["lines"])?.unwrap_or(DEFAULT_LINES).min(MOST_LINES);
        Ok(Self { task: task(&fields)?, lines: usize::try_from(lines).unwrap_or(usize::MAX) })
    }
}

impl Tool for Check {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "check_task".to_owned(),
            description: format!(
                "How a task stands, without waiting: state, pending question, its last \
                 {DEFAULT_LINES} lines, or `lines` of them, at most {MOST_LINES}."
            ),
            schema: json!({
                "type": "object",
                "properties": {"task_id": {"type": "string"}, "lines": {"type": "integer"}},
                "required": ["task_id"]
            }),
        }
    }

    fn effect(&self) -> Effect {
        Effect::None
    }

    fn kind(&self) -> ToolKind {
        ToolKind::Read
    }

    fn prepare<'a>(
        &'a self,
        input: &'a Value,
        _context: &'a Context,
    ) -> BoxFuture<'a, Result<Prepared, String>> {
        async move { Ok(prepared(format!("Check {}", Input::of(input)?.task))) }.boxed()
    }

    fn run<'a>(&'a self, input: &'a Value, context: &'a Context) -> BoxFuture<'a, Ran> {
        async move { check(input, context).await.unwrap_or_else(Ran::from) }.boxed()
    }
}

async fn check(input: &Value, context: &Context) -> Result<Ran, Stop> {
    let Input { task, lines } = Input::of(input)?;
    let checked = door(context)?.tasks.check(&task, lines).await?;
    shown(&checked, text(&checked))
}

fn text(checked: &Checked) -> String {
    let mut text = line(&checked.task_id, checked.state, checked.place);
    text.push_str(&format!(
        " · {} steps · {} calls · {} tokens",
        letters::grouped(checked.steps),
        letters::grouped(checked.calls),
        letters::grouped(checked.tokens)
    ));
    if let Some(question) = &checked.question {
        text.push_str(&format!("  \nwaits for permission: {}", question.call));
    }
    if let Some(error) = &checked.error {
        text.push_str(&format!("  \n{error}"));
    }
    if !checked.lines.is_empty() {
        text.push_str(&format!("\n\n{}", fenced(&checked.lines.join("\n"))));
    }
    text
}

fn line(task: &str, state: State, place: Option<usize>) -> String {
    match place {
        Some(place) => format!("`{task}` {state}, place {place}"),
        None => format!("`{task}` {state}"),
    }
}

pub(super) struct List;

/// All of a session.
#[derive(Serialize)]
struct Rows {
    tasks: Vec<Row>,
}

impl Tool for List {
    fn spec(&self) -> ToolSpec {
        let names: Vec<&str> = State::ALL.into_iter().map(State::name).collect();
        ToolSpec {
            name: "list_tasks".to_owned(),
            description: "This session's tasks, newest first.".to_owned(),
            schema: json!({"type": "object", "properties": {"state": {"enum": names}}}),
        }
    }

    fn effect(&self) -> Effect {
        Effect::None
    }

    fn kind(&self) -> ToolKind {
        ToolKind::Read
    }

    fn prepare<'a>(
        &'a self,
        input: &'a Value,
        _context: &'a Context,
    ) -> BoxFuture<'a, Result<Prepared, String>> {
        async move {
            let title = match state(&Fields::of(input)?)? {
                Some(state) => format!("List {state} tasks"),
                None => "List tasks".to_owned(),
            };
            Ok(prepared(title))
        }
        .boxed()
    }

    fn run<'a>(&'a self, input: &'a Value, context: &'a Context) -> BoxFuture<'a, Ran> {
        async move { list(input, context).await.unwrap_or_else(Ran::from) }.boxed()
    }
}

async fn list(input: &Value, context: &Context) -> Result<Ran, Stop> {
    let state = state(&Fields::of(input)?)?;
    let tasks = door(context)?.tasks.list(state).await?;
    let mut lines: Vec<String> = tasks
        .iter()
        .take(ROWS)
        .map(|row| {
            let goal = letters::cut(&letters::one_line(&row.goal), GOAL_CHARS);
            format!("{} · {goal}", line(&row.task_id, row.state, row.place))
        })
        .collect();
    match tasks.len() {
        0 => lines.push("there are none".to_owned()),
        count if count > ROWS => lines.push(format!("and {} more", count - ROWS)),
        _ => {}
    }
    shown(&Rows { tasks }, lines.join("  \n"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Input;

    #[test]
    fn more_lines_than_there_may_be_are_as_many_as_there_may_be() {
        let lines = |input| Input::of(&input).unwrap().lines;
        assert_eq!(lines(json!({"task_id": "t1", "lines": 1000})), 200);
        assert_eq!(lines(json!({"task_id": "t1", "lines": "3"})), 3);
        assert_eq!(lines(json!({"task_id": "t1"})), 10);
    }
}
