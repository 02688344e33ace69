//! An expected line: `*` stands for any text, `${name}` captures, and JSON at the end must be contained
//! in the message. What lines there are is `script::lines`'.

use std::collections::HashMap;

use serde_json::Value;

/// What scripts have captured, by name.
pub(crate) type Captures = HashMap<String, String>;

/// An expected line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pattern {
    pub(crate) text: String,
    head: String,
    json: Option<Value>,
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Self {
        let text = text.trim().to_owned();
        let split = text
            .match_indices(" {")
            .map(|(at, _)| text.split_at(at))
            .find_map(|(head, tail)| Some((head.to_owned(), serde_json::from_str(tail).ok()?)));
        match split {
            Some((head, json)) => Self { text, head, json: Some(json) },
            None => Self { head: text.clone(), text, json: None },
        }
    }

    /// Whether a line with this head and message is the expected one; captures only if it is.
    pub(crate) fn matches(&self, head: &str, message: &Value, captures: &mut Captures) -> bool {
        let mut found = captures.clone();
        let matched = glob(&self.head, head, &mut found)
            && self.json.as_ref().is_none_or(|json| contains(message, json, &mut found));
        if matched {
            *captures = found;
        }
        matched
    }
}

#[derive(Debug, PartialEq)]
enum Part {
    Text(String),
    Any,
    Capture(String),
}

/// Takes a pattern apart; a name that was captured before is its value.
fn parts(pattern: &str, captures: &Captures) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = pattern;
    while let Some(letter) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("\\*") {
            text.push('*');
            rest = after;
        } else if let Some(after) = rest.strip_prefix("\\${") {
            text.push_str("${");
            rest = after;
        } else if let Some(after) = rest.strip_prefix('*') {
            parts.push(Part::Text(std::mem::take(&mut text)));
            parts.push(Part::Any);
            rest = after;
        } else if let Some((name, after)) =
            rest.strip_prefix("${").and_then(|tail| tail.split_once('}'))
        {
            if let Some(value) = captures.get(name) {
                text.push_str(value);
            } else {
                parts.push(Part::Text(std::mem::take(&mut text)));
                parts.push(Part::Capture(name.to_owned()));
            }
            rest = after;
        } else {
            text.push(letter);
            rest = rest.strip_prefix(letter).unwrap_or_default();
        }
    }
    parts.push(Part::Text(text));
    parts
}

fn glob(pattern: &str, text: &str, captures: &mut Captures) -> bool {
    let parts = parts(pattern, captures);
    let mut taken = Vec::new();
    if !walk(&parts, text, &mut taken) {
        return false;
    }
    captures.extend(taken);
    true
}

/// Tries the shortest text first for each gap. Two gaps side by side are rare, so this stays cheap.
fn walk(parts: &[Part], text: &str, taken: &mut Vec<(String, String)>) -> bool {
    let Some((part, rest)) = parts.split_first() else {
        return text.is_empty();
    };
    match part {
        Part::Text(wanted) => {
            text.strip_prefix(wanted.as_str()).is_some_and(|after| walk(rest, after, taken))
        }
        Part::Any | Part::Capture(_) => {
            // Only the last text can be far away: jump from one place of the next text to the other.
            let next = match rest.first() {
                Some(Part::Text(next)) => next.as_str(),
                _ => "",
            };
            if rest.len() == 1 {
                let Some(gap) = text.strip_suffix(next) else { return false };
                capture(part, gap, taken);
                return true;
            }
            let places: Vec<usize> = text.match_indices(next).map(|(at, _)| at).collect();
            for at in places {
                let (gap, after) = text.split_at(at);
                let kept = taken.len();
                capture(part, gap, taken);
                if walk(rest, after, taken) {
                    return true;
                }
                taken.truncate(kept);
            }
            false
        }
    }
}

fn capture(part: &Part, gap: &str, taken: &mut Vec<(String, String)>) {
    if let Part::Capture(name) = part {
        taken.push((name.clone(), gap.to_owned()));
    }
}

/// Whether `actual` has everything that `wanted` names. An array's items are wanted in order, each in
/// one of the items; strings are patterns.
fn contains(actual: &Value, wanted: &Value, captures: &mut Captures) -> bool {
    match (actual, wanted) {
        (Value::Object(actual), Value::Object(wanted)) => wanted.iter().all(|(key, value)| {
            actual.get(key).is_some_and(|actual| contains(actual, value, captures))
        }),
        (Value::Array(actual), Value::Array(wanted)) => {
            let mut items = actual.iter();
            wanted.iter().all(|wanted| items.any(|item| contains(item, wanted, captures)))
        }
        (Value::String(actual), Value::String(wanted)) => glob(wanted, actual, captures),
        (actual, wanted) => actual == wanted,
    }
}

/// Writes a line so that as a pattern it matches itself alone.
pub(crate) fn escape(line: &str) -> String {
    line.replace('*', "\\*").replace("${", "\\${")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn captured(pattern: &str, text: &str) -> Option<Captures> {
        let mut captures = Captures::new();
        Pattern::new(pattern).matches(text, &Value::Null, &mut captures).then_some(captures)
    }

    #[test]
    fn stars_and_captures() {
        assert!(captured("← say \"Hel*o*\"", "← say \"Hello you\"").is_some());
        assert!(captured("← say \"Hello\"", "← say \"Hello you\"").is_none());
        assert!(captured("*", "").is_some());
        assert!(captured("a*b*c", "a b b c").is_some());
        let captures = captured("= new ${id} end", "= new 12 3 end").expect("matches");
        assert_eq!(captures["id"], "12 3");
    }

    #[test]
    fn escaped_lines_match_themselves_only() {
        let line = "← say \"2 * 3 = ${x} \\n\"";
        assert!(captured(&escape(line), line).is_some());
        assert!(captured(&escape(line), "← say \"2 x 3 = ${x} \\n\"").is_none());
    }

    #[test]
    fn a_known_capture_is_its_value() {
        let mut captures = Captures::from([("id".to_owned(), "7".to_owned())]);
        assert!(Pattern::new("x ${id}").matches("x 7", &Value::Null, &mut captures));
        assert!(!Pattern::new("x ${id}").matches("x 8", &Value::Null, &mut captures));
    }

    #[test]
    fn json_is_contained() {
        let message = json!({"a": {"b": [1, {"c": "hello"}], "d": null}, "e": 2});
        let mut captures = Captures::new();
        let pattern = Pattern::new(r#"= x {"a": {"b": [{"c": "h${rest}"}]}}"#);
        assert!(pattern.matches("= x", &message, &mut captures));
        assert_eq!(captures["rest"], "ello");
        assert!(!Pattern::new(r#"= x {"a": {"b": 3}}"#).matches("= x", &message, &mut captures));
    }
}
