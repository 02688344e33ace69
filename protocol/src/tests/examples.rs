//! `examples/`: one story in messages. A file is named after its method and what it is of it:
//! `task.spawn.request.json`, with another word where there are several.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Value, json};

use super::messages::{Message, error_data, metas, methods};
use super::place;
use super::schema::{KINDS, name, problems, schema};
use crate::METHOD_PREFIX;

/// All examples by the names of their files, without `.json`.
fn examples() -> BTreeMap<String, Value> {
    let files = fs::read_dir(place("examples")).unwrap();
    let read = |path: std::path::PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().strip_suffix(".json").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name.to_owned(), value)
    };
    files.map(|entry| read(entry.unwrap().path())).collect()
}

/// What the examples of a method are called.
pub(super) fn called(method: &str) -> String {
    let rest = method.strip_prefix(METHOD_PREFIX).or(method.strip_prefix("_session/"));
    rest.unwrap().replace('/', ".")
}

/// Each kind of file, with the type of what is in it.
fn kinds() -> BTreeMap<String, Message> {
    let mut kinds = BTreeMap::new();
    for method in methods() {
        let called = called(method.name);
        let params = if method.result.is_some() { "request" } else { "notification" };
        kinds.insert(format!("{called}.{params}"), method.params);
        kinds.extend(method.result.map(|message| (format!("{called}.response"), message)));
        kinds.extend(method.on_socket.map(|message| (format!("{called}.subscription"), message)));
    }
    for (place, message) in metas() {
        kinds.insert(format!("meta.{}", place.replace("._meta.talaria", "")), message);
    }
    kinds
}

/// The kind that a file is of: the longest that its name begins with.
fn kind<'a>(kinds: &'a BTreeMap<String, Message>, file: &str) -> Option<(&'a str, &'a Message)> {
    let is = |kind: &str| {
        file.strip_prefix(kind).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    kinds.iter().rev().find(|(kind, _)| is(kind)).map(|(kind, message)| (&**kind, message))
}

fn assert_same(schema: &Value, file: &str, message: &Message, value: &Value) {
    let problems = problems(schema, &message.name, value);
    assert!(problems.is_empty(), "{file} is no {}: {problems:#?}", message.name);
    let again = (message.again)(value.clone()).unwrap_or_else(|error| panic!("{file}: {error}"));
    assert_eq!(again, *value, "{file}");
}

#[test]
fn each_example_is_a_message_and_each_message_has_an_example() {
    let (schema, kinds) = (schema(), kinds());
    let mut seen = BTreeSet::new();
    for (file, value) in examples() {
        if file.starts_with("error.") {
            continue;
        }
        let (kind, message) = kind(&kinds, &file).unwrap_or_else(|| panic!("{file} is of no kind"));
        assert_same(&schema, &file, message, &value);
        seen.insert(kind);
    }
    assert_eq!(seen, kinds.keys().map(String::as_str).collect());
}

#[test]
fn each_kind_of_error_has_an_example_and_its_code() {
    let (schema, data) = (schema(), error_data());
    let examples = examples();
    let files: BTreeSet<&str> =
        examples.keys().filter_map(|file| file.strip_prefix("error.")).collect();
    assert_eq!(files.len(), KINDS.len(), "{files:?}");
    for kind in KINDS {
        let error = &examples[&format!("error.{}", name(kind))];
        assert_same(&schema, &name(kind), &data, &error["data"]);
        assert_eq!(error["data"]["kind"], name(kind));
        assert_eq!(error["code"], json!(kind.code()), "{error}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
}

#[test]
fn all_examples_are_of_one_story() {
    let sessions: BTreeSet<String> = examples()
        .values()
        .filter_map(|value| value["sessionId"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(sessions.len(), 1, "{sessions:?}");
}
