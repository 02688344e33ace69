//! Reads the input of a call. It tolerates what models commonly write instead: other names of a field,
//! numbers and flags as strings, the whole input as a string. Its errors name the field.

use serde_json::{Map, Value};

/// The fields of an input.
pub(super) struct Fields {
    map: Map<String, Value>,
}

impl Fields {
    pub(super) fn of(input: &Value) -> Result<Self, String> {
        match input {
            Value::Object(map) => Ok(Self { map: map.clone() }),
            Value::Null => Ok(Self { map: Map::new() }),
            Value::String(text) => match serde_json::from_str(text) {
                Ok(Value::Object(map)) => Ok(Self { map }),
                Ok(_) | Err(_) => Err(not_object()),
            },
            Value::Bool(_) | Value::Number(_) | Value::Array(_) => Err(not_object()),
        }
    }

    /// The value under the first of `names` that is there and not null.
    pub(super) fn value(&self, names: &[&str]) -> Option<&Value> {
        names.iter().filter_map(|name| self.map.get(*name)).find(|value| !value.is_null())
    }

    pub(super) fn optional_text(&self, names: &[&str]) -> Result<Option<String>, String> {
        match self.value(names) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(expected(names, "a string", other)),
        }
    }

    pub(super) fn text(&self, names: &[&str]) -> Result<String, String> {
        self.optional_text(names)?
            .ok_or_else(|| format!("the field `{}` is missing: a string is expected", name(names)))
    }

    /// A text that says something; surrounding white space is no part of it.
    pub(super) fn word(&self, names: &[&str]) -> Result<String, String> {
        let text = self.text(names)?;
        if text.trim().is_empty() {
            return Err(format!("the field `{}` is empty", name(names)));
        }
        Ok(text.trim().to_owned())
    }

    /// As `word`, where leaving it out or empty is fine.
    pub(super) fn optional_word(&self, names: &[&str]) -> Result<Option<String>, String> {
        let text = self.optional_text(names)?;
        Ok(text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
    }

    pub(super) fn number(&self, names: &[&str]) -> Result<Option<u64>, String> {
        let Some(value) = self.value(names) else { return Ok(None) };
        let number = match value {
            Value::Number(number) => number.as_u64().or_else(|| {
                let float = number.as_f64().filter(|float| float.fract() == 0.0)?;
                format!("{float:.0}").parse().ok()
            }),
            Value::String(text) => text.trim().parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        number.map(Some).ok_or_else(|| expected(names, "a whole number of 0 or more", value))
    }

    /// A number, or `default`; outside of `range` it is an error.
    pub(super) fn number_in(
        &self,
        names: &[&str],
        range: std::ops::RangeInclusive<u64>,
        default: u64,
    ) -> Result<u64, String> {
        match self.number(names)? {
            None => Ok(default),
            Some(number) if range.contains(&number) => Ok(number),
            Some(number) => Err(format!(
                "the field `{}` is {number}: a number from {} to {} is expected",
                name(names),
                range.start(),
                range.end()
            )),
        }
    }

    pub(super) fn flag(&self, names: &[&str]) -> Result<bool, String> {
        match self.value(names) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(other) => Err(expected(names, "`true` or `false`", other)),
        }
    }

    /// A list; one written as a string of JSON counts, and so does a single object.
    pub(super) fn list(&self, names: &[&str]) -> Result<Option<Vec<Value>>, String> {
        match self.value(names) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items.clone())),
            Some(object @ Value::Object(_)) => Ok(Some(vec![object.clone()])),
            Some(other) => match other.as_str().map(serde_json::from_str) {
                Some(Ok(items)) => Ok(Some(items)),
                Some(Err(_)) | None => Err(expected(names, "a list", other)),
            },
        }
    }

    /// A list of words; a single one counts, and so does a number for a word.
    pub(super) fn words(&self, names: &[&str]) -> Result<Vec<String>, String> {
        let Some(value) = self.value(names) else { return Ok(Vec::new()) };
        let items = match value {
            Value::Array(items) => items.clone(),
            Value::String(text) if text.trim_start().starts_with('[') => {
                serde_json::from_str(text).map_err(|_| expected(names, "a list of words", value))?
            }
            Value::String(_)
            | Value::Number(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Object(_) => {
                vec![value.clone()]
            }
        };
        let words = items.into_iter().map(|item| match item {
            Value::String(word) => Ok(word.trim().to_owned()),
            Value::Number(number) => Ok(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                Err(expected(names, "a list of words", value))
            }
        });
        let words: Vec<String> = words.collect::<Result<_, _>>()?;
        Ok(words.into_iter().filter(|word| !word.is_empty()).collect())
    }

    /// The fields of an entry of this input, with those of the input that the entry lacks.
    pub(super) fn with(&self, entry: Map<String, Value>) -> Self {
        let mut map = self.map.clone();
        map.extend(entry.into_iter().filter(|(_, value)| !value.is_null()));
        Self { map }
    }

    /// The same without these fields.
    pub(super) fn without(mut self, names: &[&str]) -> Self {
        self.map.retain(|name, _| !names.contains(&name.as_str()));
        self
    }
}

fn name<'a>(names: &[&'a str]) -> &'a str {
    names.first().copied().unwrap_or_default()
}

fn not_object() -> String {
    "the input is not a JSON object with the fields of this tool".to_owned()
}

fn expected(names: &[&str], what: &str, value: &Value) -> String {
    let mut shown: String = value.to_string().chars().take(60).collect();
    if shown.len() < value.to_string().len() {
        shown.push('…');
    }
    format!("the field `{}` is {shown}: {what} is expected", name(names))
}

#[cfg(test)]
mod tests {
    use super::Fields;
    use expect_test::expect;
    use serde_json::json;

    #[test]
    fn tolerates_what_models_write() {
        let fields = Fields::of(&json!({
            "file_path": " a ", "offset": "12", "limit": 3.0, "all": "True", "none": null,
            "edits": "[{\"x\":1}]"
        }))
        .unwrap();
        assert_eq!(fields.word(&["path", "file_path"]).unwrap(), "a");
        assert_eq!(fields.number(&["offset"]).unwrap(), Some(12));
        assert_eq!(fields.number(&["limit"]).unwrap(), Some(3));
        assert!(fields.flag(&["all"]).unwrap());
        assert_eq!(fields.number(&["none"]).unwrap(), None);
        assert_eq!(fields.list(&["edits"]).unwrap().unwrap(), vec![json!({"x": 1})]);
        assert!(Fields::of(&json!("{\"path\":\"a\"}")).unwrap().text(&["path"]).is_ok());
    }

    #[test]
    fn errors_name_the_field() {
        let fields =
            Fields::of(&json!({"path": 5, "offset": -1, "all": "maybe", "empty": " "})).unwrap();
        let errors = [
            fields.text(&["path"]).unwrap_err(),
            fields.text(&["content"]).unwrap_err(),
            fields.word(&["empty"]).unwrap_err(),
            fields.number(&["offset"]).unwrap_err(),
            fields
                .number_in(&["depth"], 1..=5, 9)
                .map_or_else(|error| error, |number| number.to_string()),
            fields.flag(&["all"]).unwrap_err(),
            fields.list(&["all"]).unwrap_err(),
            Fields::of(&json!([])).err().unwrap(),
        ];
        expect![[r#"
            the field `path` is 5: a string is expected
            the field `content` is missing: a string is expected
            the field `empty` is empty
            the field `offset` is -1: a whole number of 0 or more is expected
            9
            the field `all` is "maybe": `true` or `false` is expected
            the field `all` is "maybe": a list is expected
            the input is not a JSON object with the fields of this tool"#]]
        .assert_eq(&errors.join("\n"));
    }
}
