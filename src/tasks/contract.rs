//! What a task's report must look like, where its `output_schema` says so. It asks for no repair; the
//! runner does.

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use crate::letters;
use crate::tasks::TaskError;

/// The most problems that are named; a model mends the rest with them, or not at all.
const MOST: usize = 10;
/// Characters of one.
const LONGEST: usize = 200;

/// Refuses what is no JSON Schema, or names schemas elsewhere.
pub fn check(schema: &Value) -> Result<(), TaskError> {
    validator(schema).map(drop).map_err(|why| TaskError::Schema { why })
}

/// What is wrong with a report; short, at most ten. Empty: nothing.
pub fn problems(schema: &Value, report: &str) -> Vec<String> {
    let validator = match validator(schema) {
        Ok(validator) => validator,
        Err(why) => return vec![short(&format!("`output_schema` is no JSON Schema: {why}"))],
    };
    let json = match json(report) {
        Ok(json) => json,
        Err(why) => return vec![short(&why)],
    };
    let problem = |error: jsonschema::ValidationError<'_>| {
        let path = error.instance_path().to_string();
        let place = if path.is_empty() { "the report".to_owned() } else { format!("`{path}`") };
        short(&format!("{place}: {}", error.masked_with("it")))
    };
    let mut problems: Vec<String> =
        validator.iter_errors(&json).take(MOST + 1).map(problem).collect();
    if problems.len() > MOST {
        problems.truncate(MOST - 1);
        problems.push("there is more".to_owned());
    }
    problems
}

/// Schemas come from models: patterns take no more than linear time, and nothing is read from elsewhere.
fn validator(schema: &Value) -> Result<Validator, String> {
    if !schema.is_object() && !schema.is_boolean() {
        return Err("it must be an object".to_owned());
    }
    jsonschema::options()
        .offline()
        .with_pattern_options(PatternOptions::regex())
        .build(schema)
        .map_err(|error| short(&error.to_string()))
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
}
