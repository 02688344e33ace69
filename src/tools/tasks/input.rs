//! Reads what a model wrote about tasks, tolerantly: numbers and names in any spelling, lists as strings,
//! single words as lists. It asks nobody whether a task exists.

use serde_json::Value;

use crate::tasks::engine::State;
use crate::tasks::{Isolation, NewTask, TaskError, TaskName};
use crate::tools::input::Fields;

const GOAL: [&str; 3] = ["goal", "prompt", "task"];

/// A task as it was asked for: its pictures are not looked at yet.
#[derive(Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) task: NewTask,
    pub(super) images: Vec<String>,
}

/// The tasks of a delegating call, at least one.
pub(super) fn wanted(input: &Value) -> Result<Vec<Wanted>, String> {
    // The entries alone.
    if let Value::Array(entries) = input {
        return several(&Fields::of(&Value::Null)?, entries.clone());
    }
    let fields = Fields::of(input)?;
    let entries = fields.list(&["tasks"])?.unwrap_or_default();
    let has_goal = fields.optional_text(&GOAL)?.is_some_and(|goal| !goal.trim().is_empty());
    match (has_goal, entries.is_empty()) {
        (true, false) => {
            Err("both `goal` and `tasks` are given, so nothing was started; give each \
                              task its own entry in `tasks`, or a `goal` alone"
                .to_owned())
        }
        (_, true) if fields.value(&GOAL).is_none() => Err(TaskError::NoTasks.to_string()),
        (_, true) => Ok(vec![one(&fields)?]),
        (false, false) => several(&fields.without(&GOAL).without(&["tasks"]), entries),
    }
}

/// What stands beside the entries counts for those that lack it.
fn several(beside: &Fields, entries: Vec<Value>) -> Result<Vec<Wanted>, String> {
    if entries.is_empty() {
        return Err(TaskError::NoTasks.to_string());
    }
    let of = |entry: Value| match entry {
        Value::Object(map) => one(&beside.with(map)),
        Value::String(goal) => {
            let map = std::iter::once((GOAL[0].to_owned(), Value::String(goal))).collect();
            one(&beside.with(map))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            Err("an object with a `goal` is expected".to_owned())
        }
    };
    let numbered = entries.into_iter().enumerate();
    numbered
        .map(|(at, entry)| {
            of(entry).map_err(|error| format!("entry {} of `tasks`: {error}", at + 1))
        })
        .collect()
}

fn one(fields: &Fields) -> Result<Wanted, String> {
    let Some(goal) = fields.optional_word(&GOAL)? else {
        return Err(TaskError::EmptyGoal.to_string());
    };
    let continues = match fields.value(&["continues"]) {
        None => None,
        Some(Value::String(text)) if text.trim().is_empty() => None,
        Some(value) => Some(named(value)?),
    };
    Ok(Wanted {
        task: NewTask {
            goal,
            context: fields.optional_word(&["context"])?,
            toolsets: split(&fields.words(&["toolsets", "toolset", "tools"])?),
            model: fields.optional_word(&["model"])?,
            output_schema: schema(fields)?,
            images: Vec::new(),
            continues,
            isolation: isolation(fields)?,
        },
        images: fields.words(&["images", "image"])?,
    })
}

fn isolation(fields: &Fields) -> Result<Isolation, String> {
    match fields.optional_word(&["isolation"])?.as_deref() {
        None | Some("none") => Ok(Isolation::None),
        Some("worktree") => Ok(Isolation::Worktree),
        Some(other) => {
            Err(format!("the field `isolation` is `{other}`: `none` or `worktree` is expected"))
        }
    }
}

fn schema(fields: &Fields) -> Result<Option<Value>, String> {
    let refused = |why: String| TaskError::Schema { why }.to_string();
    match fields.value(&["output_schema", "schema"]) {
        None => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => match serde_json::from_str(text) {
            Ok(schema @ Value::Object(_)) => Ok(Some(schema)),
            Ok(_) => Err(refused("an object is expected".to_owned())),
            Err(error) => Err(refused(error.to_string())),
        },
        Some(schema @ Value::Object(_)) => Ok(Some(schema.clone())),
        Some(_) => Err(refused("an object is expected".to_owned())),
    }
}

/// The one task of a call, under `task_id`.
pub(super) fn task(fields: &Fields) -> Result<TaskName, String> {
    match fields.value(&["task_id", "task", "id"]) {
        Some(value) => named(value),
        None => Err("the field `task_id` is missing: a task such as `t1` is expected".to_owned()),
    }
}

/// The tasks of a call, under `task_ids` or `task_id`; each once.
pub(super) fn tasks(fields: &Fields) -> Result<Vec<TaskName>, String> {
    let several = split(&fields.words(&["task_ids", "tasks", "ids"])?);
    let single = split(&fields.words(&["task_id", "task", "id"])?);
    let mut names: Vec<TaskName> = Vec::new();
    for text in several.into_iter().chain(single) {
        let name = read(&text)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() {
        let missing =
            "the field `task_ids` is missing: tasks such as [\"t1\", \"t2\"] are expected";
        return Err(missing.to_owned());
    }
    Ok(names)
}

fn named(value: &Value) -> Result<TaskName, String> {
    value.as_str().map_or_else(|| read(&value.to_string()), read)
}

fn read(text: &str) -> Result<TaskName, String> {
    let name = text.chars().take(60).collect();
    text.parse().map_err(|()| TaskError::Unknown { name }.to_string())
}

/// The words that commas or spaces separate.
fn split(words: &[String]) -> Vec<String> {
    let separates = |char: char| char == ',' || char.is_whitespace();
    let parts = words.iter().flat_map(|word| word.split(separates));
    parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// The state under `state`; nothing for all of them.
pub(super) fn state(fields: &Fields) -> Result<Option<State>, String> {
    let Some(word) = fields.optional_word(&["state", "status"])? else { return Ok(None) };
    let word = word.to_lowercase();
    if word == "all" {
        return Ok(None);
    }
    State::ALL.into_iter().find(|state| state.name() == word).map(Some).ok_or_else(|| {
        let names: Vec<&str> = State::ALL.into_iter().map(State::name).collect();
        format!("the field `state` is `{word}`: one of {} is expected", names.join(", "))
    })
}

/// As a user reads them: "t1, t2".
pub(super) fn list(names: &[TaskName]) -> String {
    let names: Vec<String> = names.iter().map(TaskName::to_string).collect();
    names.join(", ")
}
