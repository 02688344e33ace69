//! `schema/talaria.schema.json`: one document, a definition for each type, and which method has which.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::assert_generated;
use super::messages::{Doors, Message, Method, error_data, metas, methods};
use crate::ErrorKind;

const PATH: &str = "schema/talaria.schema.json";

const ABOUT: &str = "The messages of Talaria's extension of the Agent Client Protocol. `x-methods` says which method \
has which, `x-meta` what stands in the `_meta` of the protocol's own messages, `x-errors` which code each kind of \
error has.";

pub(super) const KINDS: [ErrorKind; 8] = [
    ErrorKind::Invalid,
    ErrorKind::UnknownSession,
    ErrorKind::UnknownTask,
    ErrorKind::Limit,
    ErrorKind::State,
    ErrorKind::Conflict,
    ErrorKind::Git,
    ErrorKind::Unavailable,
];

/// The schema, as the types say.
pub(super) fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let all: Map<String, Value> = methods()
        .iter()
        .map(|method| (method.name.to_owned(), described(method, &mut generator)))
        .collect();
    let meta: Map<String, Value> = metas()
        .into_iter()
        .map(|(place, message)| (place.to_owned(), (message.reference)(&mut generator)))
        .collect();
    let codes: Map<String, Value> =
        KINDS.into_iter().map(|kind| (name(kind), json!(kind.code()))).collect();
    let data = (error_data().reference)(&mut generator);
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Talaria",
        "description": ABOUT,
        "x-methods": all,
        "x-meta": meta,
        "x-errors": { "data": data, "codes": codes },
        "$defs": generator.take_definitions(true),
    });
    mend(&mut schema);
    schema
}

/// The name of a kind, as it is on the wire.
pub(super) fn name(kind: ErrorKind) -> String {
    serde_json::to_value(kind).unwrap().as_str().unwrap().to_owned()
}

fn described(method: &Method, generator: &mut SchemaGenerator) -> Value {
    let mut reference = |message: &Message| (message.reference)(generator);
    let doors = match method.doors {
        Doors::Both => json!(["acp", "socket"]),
        Doors::Acp => json!(["acp"]),
        Doors::Socket => json!(["socket"]),
    };
    let mut described = json!({ "doors": doors, "params": reference(&method.params) });
    if let Some(on_socket) = &method.on_socket {
        described["paramsOnSocket"] = reference(on_socket);
    }
    described["kind"] = json!(if method.result.is_some() { "request" } else { "notification" });
    if let Some(result) = &method.result {
        described["result"] = reference(result);
    }
    described
}

/// Takes out what says more of Rust than of the wire: an absent field is absent, not `null`, and a doc comment's
/// lines are one paragraph.
fn mend(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(mend),
        Value::Object(fields) => {
            mend_fields(fields);
            fields.values_mut().for_each(mend);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn mend_fields(fields: &mut Map<String, Value>) {
    if let Some(Value::String(text)) = fields.get_mut("description") {
        *text = text.replace('\n', " ");
    }
    let null = json!("null");
    if let Some(types) = fields.get_mut("type")
        && let Some(Value::Array(names)) = Some(types.clone())
    {
        let names: Vec<Value> = names.into_iter().filter(|name| *name != null).collect();
        *types = if names.len() == 1 { names[0].clone() } else { Value::Array(names) };
    }
    if let Some(Value::Array(choices)) = fields.get_mut("anyOf") {
        choices.retain(|choice| choice["type"] != null);
        if let [Value::Object(only)] = &choices[..] {
            let only = only.clone();
            fields.remove("anyOf");
            fields.extend(only);
        }
    }
}

/// What is wrong with a message of this type, by the schema; empty: nothing.
pub(super) fn problems(schema: &Value, definition: &str, value: &Value) -> Vec<String> {
    let mut schema = schema.clone();
    schema["$ref"] = json!(format!("#/$defs/{definition}"));
    let (mut compiler, mut schemas) = (boon::Compiler::new(), boon::Schemas::new());
    compiler.use_loader(Box::new(boon::SchemeUrlLoader::new()));
    compiler.add_resource("talaria:///schema", schema).unwrap();
    let index = compiler.compile("talaria:///schema", &mut schemas).unwrap();
    let found = schemas.validate(value, index);
    found.err().map(|error| error.to_string()).into_iter().collect()
}

#[test]
fn the_schema_is_that_of_the_types() {
    let text = serde_json::to_string_pretty(&schema()).unwrap();
    assert_generated(PATH, &format!("{text}\n"));
}

#[test]
fn each_definition_says_what_it_is_for() {
    let schema = schema();
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        assert!(definition["description"].is_string(), "{name}");
        let choices = definition["oneOf"].as_array().into_iter().flatten();
        for choice in choices.filter(|choice| choice.get("required").is_none()) {
            assert!(choice["description"].is_string(), "{name}: {choice}");
        }
        let no_fields = Map::new();
        let fields = definition["properties"].as_object().unwrap_or(&no_fields);
        for (field, of) in fields {
            let refers = |value: &Value| value["$ref"].is_string();
            let is_said = of["description"].is_string() || refers(of) || refers(&of["items"]);
            assert!(
                is_said || ["sessionId", "taskId", "goal"].contains(&&**field),
                "{name}.{field}"
            );
        }
    }
    let text = schema.to_string();
    for word in ["null", "[`", "crate::"] {
        assert!(!text.contains(word), "{word} is of no use to who writes a client");
    }
}

#[test]
fn exactly_one_way_to_name_tasks_is_there_and_unknown_fields_are_let_through() {
    let schema = schema();
    let is_right = |value: Value| problems(&schema, "CancelTaskRequest", &value).is_empty();
    assert!(is_right(json!({ "sessionId": "s", "taskIds": ["t1"] })));
    assert!(is_right(json!({ "sessionId": "s", "all": true, "_meta": {}, "later": 1 })));
    assert!(!is_right(json!({ "sessionId": "s" })));
    assert!(!is_right(json!({ "sessionId": "s", "all": false })));
    assert!(!is_right(json!({ "sessionId": "s", "taskIds": [] })));
    assert!(!is_right(json!({ "sessionId": "s", "taskIds": ["t1"], "all": true })));
    assert!(!is_right(json!({ "sessionId": "s", "taskIds": "t1" })));
}
