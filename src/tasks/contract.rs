//! What a task's report must look like, where its `output_schema` says so. It asks for no repair; the
//! runner does.

use boon::{CompileError, Compiler, Format, SchemaIndex, Schemas, UrlLoader};
use regex::RegexBuilder;
use serde_json::Value;

use crate::letters;
use crate::tasks::TaskError;

mod guard;
mod words;

use guard::Guard;

/// The most problems that are named; a model mends the rest with them, or not at all.
const MOST: usize = 10;
/// Characters of one.
const LONGEST: usize = 200;
/// Where a schema without `$id` stands, so that what it refers to has a place.
const BASE: &str = "talaria://output/schema";
/// The checker goes down with the schema and the report; what `guard` lets through needs less.
const STACK: usize = 64 << 20;
/// Formats that are not looked at, as in the drafts that models write: some take more than linear time.
const FREE: [&str; 5] = ["idn-email", "idn-hostname", "duration", "period", "uuid"];

/// Refuses what is no JSON Schema, or names schemas elsewhere.
pub fn check(schema: &Value) -> Result<(), TaskError> {
    apart(|| compiled(schema).map(drop)).map_err(|why| TaskError::Schema { why: short(&why) })
}

/// What is wrong with a report; short, at most ten. Empty: nothing.
pub fn problems(schema: &Value, report: &str) -> Vec<String> {
    let json = match json(report) {
        Ok(json) => json,
        Err(why) => return vec![short(&why)],
    };
    let found = apart(|| {
        let checker =
            compiled(schema).map_err(|why| format!("`output_schema` is no JSON Schema: {why}"))?;
        if !checker.guard.allows(&json) {
            return Err("the report cannot be checked: `output_schema` asks for too much work \
                        on it"
                .to_owned());
        }
        let Err(error) = checker.schemas.validate(&json, checker.index) else {
            return Ok(Vec::new());
        };
        Ok(words::faults(&error, checker.guard.has_rest()))
    });
    let mut problems: Vec<String> = match found {
        Ok(found) => found.iter().take(MOST + 1).map(|problem| short(problem)).collect(),
        Err(why) => vec![short(&why)],
    };
    if problems.len() > MOST {
        problems.truncate(MOST - 1);
        problems.push("there is more".to_owned());
    }
    problems
}

struct Checker<'a> {
    guard: Guard<'a>,
    schemas: Schemas,
    index: SchemaIndex,
}

/// Schemas come from models: what costs too much is refused, and nothing is read from elsewhere.
fn compiled(schema: &Value) -> Result<Checker<'_>, String> {
    if !schema.is_object() && !schema.is_boolean() {
        return Err("it must be an object".to_owned());
    }
    let guard = Guard::new(schema)?;
    let mut compiler = Compiler::new();
    compiler.use_loader(Box::new(Nowhere));
    for name in FREE {
        compiler.register_format(Format { name, func: |_| Ok(()) });
    }
    compiler.register_format(Format { name: guard::REGEX, func: is_pattern });
    let mut schemas = Schemas::new();
    let why = |error: CompileError| words::of_schema(&error);
    compiler.add_resource(BASE, guard::renamed(schema)).map_err(why)?;
    let index = compiler.compile(BASE, &mut schemas).map_err(why)?;
    Ok(Checker { guard, schemas, index })
}

/// The checker's own `regex` takes more than linear time for what is long.
fn is_pattern(value: &Value) -> Result<(), Box<dyn std::error::Error>> {
    if let Value::String(text) = value {
        RegexBuilder::new(text).size_limit(guard::PATTERN_SIZE).build()?;
    }
    Ok(())
}

/// Refuses to load.
struct Nowhere;

impl UrlLoader for Nowhere {
    fn load(&self, _: &str) -> Result<Value, Box<dyn std::error::Error>> {
        Err("schemas elsewhere are not read".into())
    }
}

/// Runs the checker where it has room to go down, and where a fault of it ends nothing else.
fn apart<T: Send>(work: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("contract".to_owned()).stack_size(STACK);
        let worker = thread
            .spawn_scoped(scope, work)
            .map_err(|why| format!("there is no thread to check it: {why}"))?;
        worker.join().unwrap_or_else(|_| Err("its check failed".to_owned()))
    })
}

/// The JSON that a report is, or that it holds in a fence: the last one, since models explain first.
fn json(report: &str) -> Result<Value, String> {
    let why = match serde_json::from_str(report.trim()) {
        Ok(json) => return Ok(json),
        Err(why) => why,
    };
    let mut fenced = fences(report).into_iter().rev().peekable();
    if fenced.peek().is_none() {
        return Err(format!("the report is no JSON: {why}"));
    }
    let mut errors = Vec::new();
    for block in fenced {
        match serde_json::from_str(&block) {
            Ok(json) => return Ok(json),
            Err(why) => errors.push(why),
        }
    }
    // The last block is the one that was meant.
    Err(errors.first().map_or_else(
        || "the report is no JSON".to_owned(),
        |why| format!("the block at the report's end is no JSON: {why}"),
    ))
}

/// What stands in Markdown fences; one that is not closed ends with the text.
fn fences(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for line in text.lines() {
        let ticks = line.trim().bytes().take_while(|byte| *byte == b'`').count();
        open = match open {
            Some((fence, block)) if ticks >= fence && line.trim().len() == ticks => {
                found.push(block);
                None
            }
            Some((fence, block)) => Some((fence, block + line + "\n")),
            None => (ticks >= 3).then(|| (ticks, String::new())),
        };
    }
    found.extend(open.map(|(_, block)| block));
    found
}

fn short(text: &str) -> String {
    letters::cut(&letters::one_line(text), LONGEST)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{check, problems};
    use crate::tasks::TaskError;

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "name": { "type": "string", "maxLength": 5 },
                "lines": { "type": "array", "items": { "type": "integer" } },
            },
            "required": ["name"],
        })
    }

    #[test]
    fn a_report_is_bare_json_or_stands_in_a_fence() {
        for report in [
            r#" {"name": "a"} "#,
            "```json\n{\"name\": \"a\"}\n```",
            "Here it is:\n\n  ```\n  {\"name\":\n  \"a\"}\n  ```\nThat is all.",
            "```rust\nfn main() {}\n```\n````json\n{\"name\": \"```\"}\n````",
            // Cut off behind the block.
            "```json\n{\"name\": \"a\"}\n",
        ] {
            assert_eq!(problems(&schema(), report), Vec::<String>::new(), "{report}");
        }
    }

    #[test]
    fn problems_say_where_and_what() {
        let found = |report: &str| problems(&schema(), report);
        assert_eq!(found("{}"), [r#"the report: "name" is a required property"#]);
        assert_eq!(
            found(r#"{"name": "abcdefgh", "lines": [1, "two"]}"#),
            [
                "`/name`: it is longer than 5 characters",
                "`/lines/1`: it is not of type \"integer\"",
            ]
        );
        assert_eq!(found("Done."), ["the report is no JSON: expected value at line 1 column 1"]);
        let block = found("```\n{\"name\": \n```");
        assert!(block[0].starts_with("the block at the report's end is no JSON: EOF"), "{block:?}");
    }

    #[test]
    fn problems_are_few_and_short() {
        let lines: Vec<String> = (0..30).map(|line| format!("{line}")).collect();
        let found = problems(&schema(), &json!({ "name": "a", "lines": lines }).to_string());
        assert_eq!((found.len(), found[9].as_str()), (10, "there is more"));
        let found = problems(&json!({ "const": "name ".repeat(99) }), "1");
        assert_eq!(found[0].chars().count(), 200);
    }

    #[test]
    fn what_is_no_schema_is_refused_at_once() {
        for schema in [
            json!({ "type": "text" }),
            json!({ "required": "name" }),
            json!(["name"]),
            json!({ "pattern": "(" }),
            // Takes exponential time where it is allowed.
            json!({ "pattern": "(?=a)(a+)+$" }),
            json!({ "$ref": "http://127.0.0.1:9/schema.json" }),
            json!({ "$ref": "file:///etc/passwd" }),
            json!({ "properties": { "a": { "$ref": "other.json#/definitions/a" } } }),
            json!({ "properties": { "default": { "$ref": "https://localhost/schema" } } }),
            json!({ "default": { "$ref": "file:///etc/passwd" }, "$ref": "#/default" }),
            json!({ "$ref": "#/$defs/none" }),
            json!({ "$ref": "#none" }),
            json!({ "$schema": "file:///etc/passwd" }),
            json!({ "patternProperties": { "(": true } }),
            json!({ "multipleOf": 0 }),
        ] {
            let refused = check(&schema);
            assert!(
                matches!(&refused, Err(TaskError::Schema { why }) if !why.is_empty()),
                "{schema}"
            );
        }
        let own = json!({ "$defs": { "a": { "type": "string" } }, "$ref": "#/$defs/a" });
        assert_eq!(check(&own), Ok(()));
        assert_eq!(problems(&own, "1"), ["the report: it is not of type \"string\""]);
        for schema in [schema(), json!(true), json!({})] {
            assert_eq!(check(&schema), Ok(()));
        }
    }

    #[test]
    fn what_is_wrong_with_a_schema_is_said() {
        let why = |schema: &Value| check(schema).unwrap_err().to_string();
        for (schema, words) in [
            (json!({ "$ref": "http://127.0.0.1:9/x" }), "`http://127.0.0.1:9/x` is elsewhere"),
            (json!({ "$schema": "http://127.0.0.1:9/x" }), "`http://127.0.0.1:9/x` is elsewhere"),
            (json!({ "$ref": "#/$defs/a" }), "`#/$defs/a` is not in it"),
            (json!({ "properties": { "a": { "pattern": "(" } } }), "`/properties/a/pattern`: it"),
            (json!({ "required": "a" }), "`/required`: it is not of type \"array\""),
        ] {
            let why = why(&schema);
            let expected = format!("`output_schema` is no JSON Schema: {words}");
            assert!(why.starts_with(&expected), "{why}");
        }
    }

    /// Each of them would take minutes, gigabytes or all of the stack.
    #[test]
    fn what_costs_too_much_is_refused_at_once() {
        let mut chain = json!({ "$defs": { "a999": {} }, "$ref": "#/$defs/a0" });
        let mut nested = json!({});
        for place in 0..999 {
            chain["$defs"][format!("a{place}")] =
                json!({ "$ref": format!("#/$defs/a{}", place + 1) });
            nested = json!({ "not": nested });
        }
        let many: Value = (0..60).map(|place| (format!("a{place}"), json!({}))).collect();
        for schema in [
            chain,
            nested,
            json!({ "$ref": "#" }),
            json!({ "anyOf": [{ "type": "string" }, { "not": { "$ref": "#" } }] }),
            json!({ "$defs": { "a": { "$anchor": "b", "allOf": [{ "$dynamicRef": "#b" }] } } }),
            json!({ "const": "a".repeat(99_999) }),
            json!({ "pattern": "((a{1000}){1000}){1000}" }),
            json!({ "pattern": "(\\pL{500}){9}" }),
            json!({ "pattern": "\\d".repeat(9999) }),
            json!({ "patternProperties": many }),
            json!({ "properties": { "a": { "$id": "b" } } }),
        ] {
            assert!(check(&schema).is_err(), "{}", &schema.to_string());
        }
    }

    #[test]
    fn a_report_that_costs_too_much_is_not_checked() {
        let again = json!({ "$ref": "#" });
        let twice = json!({ "properties": { "a": { "allOf": [again, again] } } });
        let mut defs = json!({ "a99": { "type": "string" } });
        for place in 0..40 {
            let next = json!({ "$ref": format!("#/$defs/a{}", place + 1) });
            defs[format!("a{place}")] = json!({ "allOf": [next, next] });
        }
        defs["a40"] = json!({ "type": "string" });
        let doubled = json!({ "$defs": defs, "$ref": "#/$defs/a0" });
        let deep = format!("{}{}", "{\"a\":".repeat(99), "1".to_owned() + &"}".repeat(99));
        for (schema, report) in [(&twice, &*deep), (&doubled, "1")] {
            assert_eq!(check(schema), Ok(()));
            let found = problems(schema, report);
            assert!(found.len() == 1 && found[0].contains("too much work"), "{found:?}");
        }
        // What it goes down as far as it may, and as often.
        let once =
            json!({ "additionalProperties": again, "items": again, "type": ["object", "integer"] });
        assert_eq!(problems(&once, &deep), Vec::<String>::new());
        let mut defs = json!({ "a80": { "additionalProperties": again } });
        for place in 0..80 {
            defs[format!("a{place}")] = json!({ "$ref": format!("#/$defs/a{}", place + 1) });
        }
        let chained = json!({ "$defs": defs, "$ref": "#/$defs/a0" });
        assert_eq!(check(&chained), Ok(()));
        let deep = format!("{}1{}", "[{\"a\":".repeat(11), "}]".repeat(11));
        assert_eq!(problems(&chained, &deep), Vec::<String>::new());
        let deep = format!("{}1{}", "{\"a\":".repeat(23), "}".repeat(23));
        assert_eq!(problems(&chained, &deep), Vec::<String>::new());
        let numbers: Vec<usize> = (0..20_000).collect();
        let schema = json!({
            "items": { "anyOf": [{ "type": "string" }, { "minimum": 99_999 }] },
            "uniqueItems": true,
        });
        assert_eq!(problems(&schema, &json!(numbers).to_string()).len(), 10);
    }

    #[test]
    fn each_kind_of_problem_has_words() {
        let draft = "http://json-schema.org/draft-07/schema#";
        let of = |schema: Value, report: Value| problems(&schema, &report.to_string());
        for (schema, report, problem) in [
            (
                json!({ "type": ["null", "string"] }),
                json!(1),
                "the report: it is not of types \"null\", \"string\"",
            ),
            (
                json!({ "enum": ["a", { "b": 2 }] }),
                json!(1),
                "the report: it is not one of \"a\", {\"b\":2}",
            ),
            (json!({ "const": { "b": 2 } }), json!(1), "the report: {\"b\":2} was expected"),
            (json!({ "minimum": 3 }), json!(1), "the report: it is less than the minimum of 3"),
            (json!({ "multipleOf": 0.1 }), json!(0.35), "the report: it is not a multiple of 0.1"),
            (
                json!({ "pattern": "^a\\d$" }),
                json!("a٣"),
                "the report: it does not match \"^a[0-9]$\"",
            ),
            (json!({ "minItems": 1 }), json!([]), "the report: it has less than 1 item"),
            (
                json!({ "uniqueItems": true }),
                json!([1, 2, 1.0]),
                "the report: its entries 0 and 2 are equal",
            ),
            (
                json!({ "additionalProperties": false }),
                json!({ "a": 1 }),
                "the report: additional properties are not allowed: \"a\"",
            ),
            (
                json!({ "unevaluatedProperties": false }),
                json!({ "a/b": 1 }),
                "`/a~1b`: nothing is allowed here",
            ),
            (
                json!({ "propertyNames": { "maxLength": 1 } }),
                json!({ "ab": 1 }),
                "the field name \"ab\": it is longer than 1 character",
            ),
            (
                json!({ "anyOf": [{ "type": "string" }, { "minimum": 3 }] }),
                json!(1),
                "the report: it is not valid under any of the schemas listed in the 'anyOf' keyword",
            ),
            (
                json!({ "oneOf": [{}, { "minimum": 0 }] }),
                json!(1),
                "the report: it is valid under more than one of the schemas listed in the 'oneOf' keyword",
            ),
            (json!({ "not": {} }), json!(1), "the report: it is what the 'not' keyword excludes"),
            (
                json!({ "contains": { "type": "string" } }),
                json!([1]),
                "the report: none of its entries is what the 'contains' keyword asks for",
            ),
            (
                json!({ "dependentRequired": { "a": ["b"] } }),
                json!({ "a": 1 }),
                "the report: with \"a\", it must have \"b\"",
            ),
            (
                json!({ "if": { "required": ["a"] }, "then": { "required": ["b"] } }),
                json!({ "a": 1 }),
                "the report: \"b\" is a required property",
            ),
            (
                json!({ "$schema": draft, "format": "email" }),
                json!("a"),
                "the report: it is not a \"email\"",
            ),
            (
                json!({ "$schema": draft, "format": "regex" }),
                json!("("),
                "the report: it is not a \"regex\"",
            ),
            // The checker counts the rest from zero, so no place in the list is named.
            (
                json!({ "properties": { "a": { "prefixItems": [{}], "items": { "type": "null" } } } }),
                json!({ "a": [1, 2] }),
                "`/a`: it is not of type \"null\"",
            ),
        ] {
            assert_eq!(of(schema.clone(), report), [problem], "{schema}");
        }
        assert_eq!(of(json!({ "required": ["a", "b"] }), json!({})).len(), 2);
    }

    #[test]
    fn what_is_right_is_taken() {
        let draft = "http://json-schema.org/draft-07/schema#";
        let old = json!({ "$schema": draft, "definitions": { "a": { "type": "string" } }, "items": { "$ref": "#/definitions/a" } });
        let tree = json!({ "$id": "https://localhost/tree", "properties": { "$id": { "type": "string" }, "next": { "$ref": "#" }, "other": { "$ref": "https://localhost/tree#" } } });
        for (schema, report) in [
            (json!({ "multipleOf": 0.01 }), json!(0.29)),
            (json!({ "anyOf": [{ "multipleOf": 0.1 }, { "type": "null" }] }), json!(0.3)),
            (json!({ "multipleOf": 3 }), json!(9_007_199_254_740_993_u64)),
            (json!({ "type": "integer" }), json!(1.0)),
            // No assertion, by the draft.
            (json!({ "format": "email" }), json!("a")),
            (json!({ "$schema": draft, "format": "uuid" }), json!("a")),
            (old, json!(["a"])),
            (tree, json!({ "$id": "a", "next": { "other": { "next": {} } } })),
            (json!({ "$id": "person", "type": "string" }), json!("a")),
            (json!({ "x": { "a": { "type": "string" } }, "$ref": "#/x/a" }), json!("a")),
            (
                json!({ "$ref": "#/$defs/a%25b~1c", "$defs": { "a%b/c": { "type": "string" } } }),
                json!("a"),
            ),
            (json!({ "pattern": "^\\w{1,255}$" }), json!("a")),
            (
                json!({ "const": { "$ref": "http://127.0.0.1:9/x" } }),
                json!({ "$ref": "http://127.0.0.1:9/x" }),
            ),
        ] {
            assert_eq!(check(&schema), Ok(()), "{schema}");
            assert_eq!(problems(&schema, &report.to_string()), Vec::<String>::new(), "{schema}");
        }
        assert_eq!(
            problems(&json!({ "multipleOf": 7 }), "9007199254740993"),
            ["the report: it is not a multiple of 7"]
        );
    }
}
