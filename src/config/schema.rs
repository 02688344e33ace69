//! The configuration described from its types: a JSON Schema for editors, and `docs/CONFIG.md`.
//! What is said about a key is said once, in the doc comment of its field.

use serde_json::{Map, Value};

use super::Config;

/// The variables that [`super::Environment`] reads: name, the key that it overrides, what it is.
const VARIABLES: [(&str, &str, &str); 8] = [
    ("TALARIA_PROVIDER", "model.provider", "The dialect that the provider speaks."),
    ("TALARIA_MODEL", "model.name", "The model's name, or `scripted:FILE` for the scripted model."),
    ("TALARIA_BASE_URL", "model.base_url", "Where the provider's API begins."),
    ("TALARIA_API_KEY", "model.api_key", "The key. Several that commas separate are a pool."),
    ("TALARIA_LOG", "log.level", "What is written to the log."),
    ("TALARIA_HOME", "", "A folder that then holds configuration and state together."),
    (
        "OPENAI_API_KEY",
        "",
        "The key for provider `openai`, or several, where neither a key of Talaria's nor a base URL is set.",
    ),
    (
        "ANTHROPIC_API_KEY",
        "",
        "The key for provider `anthropic`, or several, where neither a key of Talaria's nor a base URL is set.",
    ),
];

const INTRODUCTION: &str = "\
# Configuration

<!-- Generated from `src/config/`: `UPDATE=1 cargo test --test it tidy` writes it anew. -->

Talaria works without a configuration file: the first five variables below are enough to chat.
`talaria config show` prints the configuration as Talaria sees it, `talaria config path` where its files are.

## Layers

A layer overrides those before it:

1. the defaults, as in the tables below;
2. the user's `config.yaml`, in `TALARIA_HOME` if it is set, else in `~/.config/talaria` (`$XDG_CONFIG_HOME/talaria`; on Windows `%APPDATA%\\talaria\\talaria\\config`);
3. the project's `.talaria/config.yaml`, in the working folder of the session;
4. the environment;
5. flags of the command line;
6. what is chosen in the editor for one session.

A project's file comes with the code that it lies beside, so it takes rights away and gives none.
It may set only `permissions.deny` and `tools.disabled` (added to the user's), `instructions` (added to the user's), and the limits `turn.max_*` and `delegation.max_*` but for `delegation.max_process` (only lower).

A key that Talaria does not know, or a value that it cannot use, is a warning that names the file and the key; the rest of the file counts.
A file that is not YAML is a warning and is ignored.
Only a provider that is not known stops a prompt: a key must not reach another provider than the one that was meant.
For the same reason `model.api_key` is not used where the environment names another provider or base URL and no key.

`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` hold for requests to a model, but not for servers on this machine.

`talaria config schema` prints a JSON Schema (also `docs/config.schema.json`) that editors with a YAML language server can use:

```yaml
# yaml-language-server: $schema=config.schema.json
model:
  provider: openai
  name: gpt-5
permissions:
  allow: [\"cargo test*\"]
```

## Environment

An empty variable counts as unset.

| variable | overrides | meaning |
|---|---|---|
";

/// The JSON Schema of `config.yaml`, pretty, with a line end.
pub fn config_json_schema() -> String {
    format!("{:#}\n", schema().as_value())
}

fn schema() -> schemars::Schema {
    schemars::schema_for!(Config)
}

/// The text of `docs/CONFIG.md`.
pub fn config_markdown() -> String {
    let schema = Value::from(schema());
    let mut text = INTRODUCTION.to_owned();
    for (name, key, meaning) in VARIABLES {
        let key = if key.is_empty() { "–".to_owned() } else { format!("`{key}`") };
        text.extend(["| `", name, "` | ", &key, " | ", meaning, " |\n"]);
    }
    let reader = Reader { definitions: &schema["$defs"] };
    let mut plain = String::new();
    let mut sections = String::new();
    for (name, property) in properties(&schema) {
        let target = reader.resolve(property);
        if target.get("properties").is_some() {
            reader.section(name, property, target, &mut sections);
        } else {
            reader.row(name, property, &property["default"], &mut plain);
        }
    }
    text.push_str("\n## Keys at the top\n");
    text.push_str(TABLE_HEAD);
    text.push_str(&plain);
    text.push_str(&sections);
    text
}

const TABLE_HEAD: &str = "\n| key | type | default | meaning |\n|---|---|---|---|\n";

fn properties(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    schema["properties"]
        .as_object()
        .into_iter()
        .flat_map(Map::iter)
        .map(|(name, value)| (name.as_str(), value))
}

/// Reads a schema whose definitions are apart.
struct Reader<'a> {
    definitions: &'a Value,
}

impl<'a> Reader<'a> {
    /// The definition behind a reference, also where it may be null.
    fn resolve(&self, schema: &'a Value) -> &'a Value {
        let optional = schema["anyOf"].as_array().into_iter().flatten();
        let reference =
            std::iter::once(schema).chain(optional).find_map(|schema| schema["$ref"].as_str());
        reference
            .and_then(|reference| reference.strip_prefix("#/$defs/"))
            .map_or(schema, |name| &self.definitions[name])
    }

    fn section(&self, name: &str, property: &Value, target: &'a Value, text: &mut String) {
        text.extend(["\n## `", name, "`\n\n", &prose(property), "\n", TABLE_HEAD]);
        let mut values = String::new();
        for (key, field) in properties(target) {
            let path = format!("{name}.{key}");
            let inner = self.resolve(field);
            self.row(&path, field, &property["default"][key], text);
            for (key, field) in properties(inner) {
                self.row(&format!("{path}.{key}"), field, &Value::Null, text);
            }
            let documented: Vec<_> =
                choices(inner).filter(|(_, meaning)| !meaning.is_empty()).collect();
            if !documented.is_empty() {
                values.extend(["\nValues of `", &path, "`:\n\n"]);
                for (value, meaning) in documented {
                    values.extend(["- ", &value, ": ", &meaning, "\n"]);
                }
            }
        }
        text.push_str(&values);
    }

    fn row(&self, path: &str, field: &'a Value, default: &Value, text: &mut String) {
        let default = match (default.as_str(), default.as_array()) {
            _ if default.is_null() => "–".to_owned(),
            (Some(text), _) => format!("`{text}`"),
            (_, Some(items)) if items.is_empty() => "empty".to_owned(),
            _ => format!("`{default}`"),
        };
        let kind = self.kind(field);
        text.extend(["| `", path, "` | ", &kind, " | ", &default, " | ", &prose(field), " |\n"]);
    }

    fn kind(&self, field: &'a Value) -> String {
        let target = self.resolve(field);
        let values: Vec<String> = choices(target).map(|(value, _)| value).collect();
        if let Some((last, others)) = values.split_last() {
            return if others.is_empty() {
                last.clone()
            } else {
                format!("{} or {last}", others.join(", "))
            };
        }
        let kind = &target["type"];
        let named = kind.as_array().and_then(|names| names.iter().find(|name| *name != "null"));
        let name = named.unwrap_or(kind).as_str();
        let is =
            |wanted| kind.as_array().is_some_and(|names| names.iter().any(|name| name == wanted));
        match name {
            Some("string") if is("array") => "text or list of texts",
            Some("string") => "text",
            Some("integer") => "whole number",
            Some("number") => "number",
            Some("boolean") => "`true` or `false`",
            Some("array") => "list of texts",
            _ => "group of keys",
        }
        .to_owned()
    }
}

/// The values of an enumeration, each with its meaning, which may be empty. Values without a meaning
/// stand together in the schema.
fn choices(schema: &Value) -> impl Iterator<Item = (String, String)> {
    let variants = || schema["oneOf"].as_array().into_iter().flatten();
    let documented = variants().map(|variant| (&variant["const"], prose(variant)));
    let plain =
        std::iter::once(schema).chain(variants()).filter_map(|schema| schema["enum"].as_array());
    documented
        .chain(plain.flatten().map(|value| (value, String::new())))
        .filter_map(|(value, meaning)| Some((format!("`{}`", value.as_str()?), meaning)))
}

/// The doc comment on one line.
fn prose(schema: &Value) -> String {
    schema["description"]
        .as_str()
        .unwrap_or_default()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}
