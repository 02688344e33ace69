//! `README.md`: its tables are made of the schema, between markers.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;

use serde_json::{Map, Value};

use super::messages::{Doors, Method, methods};
use super::schema::schema;
use super::{assert_generated, examples, place};

const BEGIN: &str = "<!-- generated: ";
const END: &str = "<!-- end -->";

/// The specification with what is between markers made anew; and the names of the markers.
fn renewed(text: &str) -> (String, Vec<String>) {
    let schema = schema();
    let (mut renewed, mut names) = (String::new(), Vec::new());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once(BEGIN) {
        let (name, behind) = behind.split_once(" -->").unwrap();
        let (_, after) = behind.split_once(END).unwrap_or_else(|| panic!("{name} has no end"));
        let section = section(name, &schema);
        write!(renewed, "{before}{BEGIN}{name} -->\n\n{section}\n{END}").unwrap();
        names.push(name.to_owned());
        rest = after;
    }
    renewed.push_str(rest);
    (renewed, names)
}

fn section(name: &str, schema: &Value) -> String {
    match name {
        "requests" => {
            overview(schema, |method| method.doors == Doors::Both && method.result.is_some())
        }
        "notifications" => overview(schema, |method| method.result.is_none()),
        "socket" => overview(schema, |method| method.doors == Doors::Socket),
        "types" => types(schema),
        "errors" => errors(schema),
        "meta" => metas(schema),
        name => {
            let method = methods().into_iter().find(|method| method.name == name);
            messages(&method.unwrap_or_else(|| panic!("{name} is nothing")), schema)
        }
    }
}

/// A table of methods, each with what its parameters are for.
fn overview(schema: &Value, wanted: impl Fn(&Method) -> bool) -> String {
    let mut table = "| method | what it does |\n|---|---|\n".to_owned();
    for method in methods().iter().filter(|method| wanted(method)) {
        let what = said(&schema["$defs"][&method.params.name]);
        let what = what.split_inclusive(". ").next().unwrap_or_default().trim_end();
        let anchor = method.name.replace('/', "");
        writeln!(table, "| [`{}`](#{anchor}) | {what} |", method.name).unwrap();
    }
    table
}

/// What a method is asked and what it answers.
fn messages(method: &Method, schema: &Value) -> String {
    let definitions = &schema["$defs"];
    let asked = &definitions[&method.params.name];
    let called = examples::called(method.name);
    let example = |part: &str| format!("[example](examples/{called}.{part}.json)");
    let Some(result) = &method.result else {
        return format!("Parameters:\n\n{}", fields(asked));
    };
    let mut text = format!("Parameters ({}):\n\n{}", example("request"), fields(asked));
    let answer = fields(&definitions[&result.name]);
    write!(text, "\nAnswer ({}):\n\n{answer}", example("response")).unwrap();
    text
}

/// The types that messages are made of, in alphabetical order.
fn types(schema: &Value) -> String {
    let methods = methods();
    let mut messages: BTreeSet<&str> =
        BTreeSet::from(["ErrorKind", "ErrorData", "SubscribedTaskEvent"]);
    for method in &methods {
        messages.extend([&*method.params.name]);
        messages.extend(method.result.as_ref().map(|message| &*message.name));
    }
    messages.remove("SubscriptionId");
    let in_meta = |name: &str| name.ends_with("Capabilities") || name.ends_with("Mark");
    let mut text = String::new();
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        if !messages.contains(&**name) && !in_meta(name) {
            let what = said(definition);
            write!(text, "### {name}\n\n{what}\n\n{}\n", fields(definition)).unwrap();
        }
    }
    text.trim_end().to_owned() + "\n"
}

fn errors(schema: &Value) -> String {
    let mut table = "| `kind` | `code` | means |\n|---|---|---|\n".to_owned();
    for choice in schema["$defs"]["ErrorKind"]["oneOf"].as_array().unwrap() {
        let kind = choice["const"].as_str().unwrap();
        let code = &schema["x-errors"]["codes"][kind];
        let example = format!("[`{kind}`](examples/error.{kind}.json)");
        writeln!(table, "| {example} | {code} | {} |", said(choice)).unwrap();
    }
    let others = fields(&schema["$defs"]["ErrorData"]);
    format!("{table}\nThe fields of `data`:\n\n{others}")
}

fn metas(schema: &Value) -> String {
    let mut text = String::new();
    for (place, reference) in schema["x-meta"].as_object().unwrap() {
        let name = reference["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
        let definition = &schema["$defs"][name];
        let what = said(definition);
        let file = place.replace("._meta.talaria", "");
        let example = format!("[example](examples/meta.{file}.json)");
        write!(text, "**{name}** ({example}): {what}\n\n{}\n", fields(definition)).unwrap();
    }
    text.trim_end().to_owned() + "\n"
}

/// A table of a type's fields or values; a line, where it has neither.
fn fields(definition: &Value) -> String {
    if let Some(choices) = definition["oneOf"].as_array().filter(|all| all[0]["const"].is_string())
    {
        let mut table = "| value | means |\n|---|---|\n".to_owned();
        for choice in choices {
            writeln!(table, "| `{}` | {} |", choice["const"].as_str().unwrap(), said(choice))
                .unwrap();
        }
        return table;
    }
    let Some(properties) = definition["properties"].as_object().filter(|all| !all.is_empty())
    else {
        return match definition["type"].as_str() {
            Some("object") => "No fields.\n".to_owned(),
            _ => format!("A {}.\n", kind(definition)).replace("A integer", "An integer"),
        };
    };
    let mut table = "| field | type | |\n|---|---|---|\n".to_owned();
    let required = definition["required"].as_array().into_iter().flatten();
    let required: Vec<&str> = required.map(|name| name.as_str().unwrap()).collect();
    for name in &required {
        table.push_str(&row(name, properties));
    }
    for name in properties.keys().filter(|name| !required.contains(&&***name)) {
        table.push_str(&row(name, properties).replacen("` |", "?` |", 1));
    }
    table
}

fn row(name: &str, properties: &Map<String, Value>) -> String {
    let of = &properties[name];
    let kind = kind(of);
    match (name, of["description"].is_string()) {
        (_, true) => format!("| `{name}` | {kind} | {} |\n", said(of)),
        ("sessionId", false) => format!("| `{name}` | {kind} | The session. |\n"),
        ("taskId", false) => format!("| `{name}` | {kind} | The task, as in `t1`. |\n"),
        ("goal", false) => format!("| `{name}` | {kind} | What it was asked to do. |\n"),
        (_, false) => format!("| `{name}` | {kind} | |\n"),
    }
}

/// The type of a field, with a link to where it is described.
fn kind(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        let anchor = if name == "ErrorKind" { "errors".to_owned() } else { name.to_lowercase() };
        return format!("[{name}](#{anchor})");
    }
    match schema["type"].as_str() {
        Some("array") if schema["items"].is_object() => {
            format!("list of {}", kind(&schema["items"]))
        }
        Some("array") => "list".to_owned(),
        Some(name) => name.to_owned(),
        None => "any".to_owned(),
    }
}

fn said(definition: &Value) -> &str {
    definition["description"].as_str().unwrap_or_default()
}

#[test]
fn the_specification_has_what_the_types_say() {
    let text = fs::read_to_string(place("README.md")).unwrap();
    let (renewed, names) = renewed(&text);
    let mut expected: BTreeSet<&str> =
        ["requests", "notifications", "socket", "types", "errors", "meta"].into();
    let methods = methods();
    expected.extend(methods.iter().map(|method| method.name));
    assert_eq!(names.len(), expected.len(), "{names:?}");
    assert_eq!(names.iter().map(String::as_str).collect::<BTreeSet<_>>(), expected);
    assert_generated("README.md", &renewed);
}

#[test]
fn each_method_has_a_section_and_each_link_leads_somewhere() {
    let text = fs::read_to_string(place("README.md")).unwrap();
    let headings: BTreeSet<String> = text
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches('#').trim().replace(['/', '`'], "").replace(' ', "-"))
        .map(|heading| heading.to_lowercase())
        .collect();
    for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        if let Some(anchor) = link.strip_prefix('#') {
            assert!(headings.contains(anchor), "{link} leads to no heading");
        } else if !link.contains("://") {
            assert!(place(link).exists(), "{link} is no file");
        }
    }
    for method in methods() {
        assert!(text.contains(&format!("\n### `{}`\n", method.name)), "{}", method.name);
    }
}
