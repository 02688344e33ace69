//! Reads the parameters of a method. What is wrong is told by the name of the field, never by its value: errors are
//! logged, and a value may be a secret.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::CallError;
use crate::tasks::{TaskError, TaskName};

/// The most characters of a task's name that an error repeats.
const NAME_CHARS: usize = 60;

/// The parameters as the type that the method takes. Absent ones are an object without fields.
pub(super) fn read<T: DeserializeOwned>(params: Value) -> Result<T, CallError> {
    let params = match params {
        Value::Object(fields) => fields,
        Value::Null => Map::new(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            return Err(CallError::invalid("The parameters are no object with named fields."));
        }
    };
    let read = |fields: Map<String, Value>| serde_json::from_value::<T>(Value::Object(fields));
    read(params.clone()).map_err(|error| {
        let error_of = &mut |fields| read(fields).err().map(|error| error.to_string());
        CallError::invalid(what_is_wrong(&error.to_string(), &params, error_of))
    })
}

/// Names the field that `error` is about: the one without which there is no error, or another one.
fn what_is_wrong(
    error: &str,
    params: &Map<String, Value>,
    error_of: &mut dyn FnMut(Map<String, Value>) -> Option<String>,
) -> String {
    // Here and not in a field, if it makes a difference that it is there.
    if let Some(field) = error.strip_prefix("missing field ") {
        let mut with = params.clone();
        with.insert(field.trim_matches('`').to_owned(), Value::Null);
        if error_of(with).as_deref() != Some(error) {
            return format!("The field {field} is missing.");
        }
    }
    let mut required = None;
    for name in params.keys() {
        let mut others = params.clone();
        others.remove(name);
        match error_of(others) {
            None => return field_is_wrong(name, error),
            Some(other) if other == format!("missing field `{name}`") => required = Some(name),
            Some(_) => {}
        }
    }
    match required {
        Some(name) => field_is_wrong(name, error),
        None => format!("A field cannot be read: expected {}.", expected(error)),
    }
}

fn field_is_wrong(name: &str, error: &str) -> String {
    if let Some(field) = error.strip_prefix("missing field ") {
        return format!("In the field `{name}`, {field} is missing.");
    }
    format!("The field `{name}` cannot be read: expected {}.", expected(error))
}

/// What would have been right, from serde's message, whose part before that quotes the value.
fn expected(error: &str) -> &str {
    match error.rsplit_once("expected ").map_or("another value", |(_, expected)| expected) {
        "u32" | "u64" => "a whole number",
        "a boolean" => "`true` or `false`",
        "a sequence" => "a list",
        other if other.starts_with("struct ") => "an object",
        other => other,
    }
}

/// A task as a caller names it.
pub(super) fn task(text: &str) -> Result<TaskName, CallError> {
    text.parse()
        .map_err(|()| TaskError::Unknown { name: text.chars().take(NAME_CHARS).collect() }.into())
}

/// At least one task, each once.
pub(super) fn tasks(texts: &[String]) -> Result<Vec<TaskName>, CallError> {
    let mut names = Vec::new();
    for text in texts {
        let name = task(text)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() {
        return Err(CallError::invalid("The field `taskIds` is empty; name at least one task."));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use talaria_protocol::task::{CancelTaskRequest, CheckTaskRequest, SpawnTaskRequest};

    use super::*;

    fn wrong<T: DeserializeOwned>(params: Value) -> String {
        read::<T>(params).err().expect("it is wrong").message
    }

    #[test]
    fn an_error_names_the_field_and_not_its_value() {
        let check = wrong::<CheckTaskRequest>;
        assert_eq!(check(json!([1])), "The parameters are no object with named fields.");
        assert_eq!(check(Value::Null), "The field `sessionId` is missing.");
        assert_eq!(
            check(json!({"sessionId": "s", "taskId": "t1", "lines": "hunter2, expected hunter2"})),
            "The field `lines` cannot be read: expected a whole number."
        );
        assert_eq!(
            check(json!({"sessionId": {"hunter2": 1}, "taskId": "t1"})),
            "The field `sessionId` cannot be read: expected a string."
        );
        let spawn = wrong::<SpawnTaskRequest>;
        assert_eq!(
            spawn(json!({"sessionId": "s", "tasks": [{"goal": 7}]})),
            "The field `tasks` cannot be read: expected a string."
        );
        assert_eq!(
            spawn(json!({"sessionId": "s", "tasks": [{}]})),
            "In the field `tasks`, `goal` is missing."
        );
        assert_eq!(
            spawn(json!({"sessionId": "s", "tasks": [{"goal": "g", "isolation": "hunter2"}]})),
            "The field `tasks` cannot be read: expected `none` or `worktree`."
        );
        assert_eq!(
            wrong::<CancelTaskRequest>(json!({"sessionId": "s", "taskIds": "hunter2"})),
            "The field `taskIds` cannot be read: expected a list."
        );
    }

    #[test]
    fn unknown_fields_are_left_alone() {
        let request = json!({"sessionId": "s", "taskId": "t1", "_meta": {"x": 1}, "new": true});
        assert_eq!(read::<CheckTaskRequest>(request).unwrap().task_id, "t1");
    }
}
