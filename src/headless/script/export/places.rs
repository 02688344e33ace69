//! Texts and paths of a session in the words of a script: its folder is `$CWD`, what is outside of it goes
//! into a folder beside it, and quotes, dollars and stars mean themselves.

use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use super::super::pattern;
use crate::model::scripted;

/// Where what is outside of the session's folders goes, so that no script touches a real file there.
const OUTSIDE: &str = "$CWD/../outside";

/// Names of inputs that hold a path.
const PATHS: [&str; 8] =
    ["path", "file_path", "filename", "file", "dir", "directory", "workdir", "working_directory"];

/// The folders of a session.
#[derive(Debug)]
pub(super) struct Places {
    cwd: PathBuf,
    additional: Vec<PathBuf>,
}

/// A path of the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// It begins with `$CWD`.
    pub(super) path: String,
    pub(super) is_inside: bool,
}

impl Places {
    pub(super) fn new(cwd: &Path, additional: &[PathBuf]) -> Self {
        Self { cwd: cwd.to_owned(), additional: additional.to_vec() }
    }

    /// Where an absolute path is in the script.
    pub(super) fn place(&self, path: &Path) -> Place {
        let below = |base: &str, rest: &Path| {
            let rest = rest.to_string_lossy().replace('\\', "/");
            if rest.is_empty() { base.to_owned() } else { format!("{base}/{rest}") }
        };
        if let Ok(rest) = path.strip_prefix(&self.cwd) {
            return Place { path: below("$CWD", rest), is_inside: true };
        }
        for (number, folder) in self.additional.iter().enumerate() {
            if let Ok(rest) = path.strip_prefix(folder) {
                let base = format!("$CWD/.folder{}", number + 1);
                return Place { path: below(&base, rest), is_inside: true };
            }
        }
        let rest: PathBuf =
            path.components().filter(|part| matches!(part, Component::Normal(_))).collect();
        Place { path: below(OUTSIDE, &rest), is_inside: false }
    }

    /// A path as a model writes it. `known` is what it turned out to mean.
    fn written(&self, text: &str, known: Option<&Path>) -> Place {
        let meant = match known {
            Some(path) => path.to_owned(),
            None if text.starts_with('~') => return self.place(Path::new(text)),
            None => lexical(&self.cwd.join(text)),
        };
        let place = self.place(&meant);
        let is_relative = Path::new(text).is_relative() && !text.starts_with('~');
        if place.is_inside && is_relative && meant.starts_with(&self.cwd) {
            return Place { path: text.to_owned(), is_inside: true };
        }
        place
    }

    /// The pieces of a text between the session's folders, each with what stands behind it.
    fn pieces<'a>(&self, text: &'a str) -> Vec<(&'a str, String)> {
        let folders: Vec<(String, String)> = std::iter::once(&self.cwd)
            .chain(&self.additional)
            .map(|folder| (folder.to_string_lossy().into_owned(), self.place(folder).path))
            // One such as `/` or `C:\` is in every path.
            .filter(|(folder, _)| Path::new(folder).components().count() > 1)
            .collect();
        let mut pieces = Vec::new();
        let mut rest = text;
        let mut from = 0;
        while let Some((at, folder, name)) = folders
            .iter()
            .filter_map(|(folder, name)| {
                let found = rest.get(from..)?.find(folder.as_str())? + from;
                Some((found, folder, name))
            })
            .min_by_key(|(at, folder, _)| (*at, usize::MAX - folder.len()))
        {
            let (before, found) = rest.split_at(at);
            let after = found.strip_prefix(folder.as_str()).unwrap_or_default();
            let goes_on = |letter: char| letter.is_alphanumeric() || "-_.~".contains(letter);
            let sentence_ends = after.starts_with('.')
                && !after.starts_with("..")
                && after.chars().nth(1).is_none_or(char::is_whitespace);
            let is_name = after.starts_with(goes_on) && !sentence_ends
                || before.ends_with(|letter: char| letter.is_alphanumeric())
                // What follows a folder at once is below it.
                || (before.is_empty() && !pieces.is_empty());
            if is_name {
                from = at + folder.len();
                continue;
            }
            pieces.push((before, name.clone()));
            rest = after;
            from = 0;
        }
        pieces.push((rest, String::new()));
        pieces
    }

    /// The text as an expected line shows it.
    pub(super) fn shown(&self, text: &str) -> String {
        self.pieces(text).into_iter().flat_map(|(piece, name)| [piece.to_owned(), name]).collect()
    }

    /// The text in quotes, for an expected line.
    pub(super) fn expected(&self, text: &str) -> String {
        pattern::escape(&Value::from(self.shown(text)).to_string())
    }

    /// The text in quotes, for the model's script or a line that is sent: `$` is itself.
    pub(super) fn quoted(&self, text: &str) -> String {
        self.quoted_by(text, str::to_owned)
    }

    /// The same for what the model says, where `${…}` is filled in.
    pub(super) fn said(&self, text: &str) -> String {
        self.quoted_by(text, scripted::literal)
    }

    fn quoted_by(&self, text: &str, literal: impl Fn(&str) -> String) -> String {
        let inner = |piece: &str| {
            let quoted = Value::from(literal(piece)).to_string();
            let inner = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
            let mut inner = inner.unwrap_or_default().to_owned();
            for name in FILLED {
                inner = inner.replace(name, &name.replace('$', "\\u0024"));
            }
            inner
        };
        let pieces = self.pieces(text).into_iter();
        let text: String = pieces.map(|(piece, name)| inner(piece) + &name).collect();
        format!("\"{text}\"")
    }

    /// The input of a call as JSON on one line. `known` is the path that it turned out to mean.
    pub(super) fn input(&self, tool: &str, input: &Value, known: Option<&Path>) -> String {
        let Value::Object(fields) = object(input) else { return self.json(input) };
        let field = |(name, value): (&String, &Value)| {
            let text = value.as_str().filter(|_| is_path(tool, name));
            let value = text.map_or_else(
                || self.json(value),
                |text| {
                    let place = self.written(text, known.filter(|_| tool != "terminal")).path;
                    // `$CWD` in front is meant; the rest is a name like any other.
                    match place.strip_prefix("$CWD") {
                        Some(rest) => self.said(rest).replacen('"', "\"$CWD", 1),
                        None => self.said(&place),
                    }
                },
            );
            format!("{}: {value}", self.quoted(name))
        };
        format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
    }

    /// Whether the path in a call's input is outside of the session's folders.
    pub(super) fn leaves(&self, tool: &str, input: &Value, known: Option<&Path>) -> bool {
        let Value::Object(fields) = object(input) else { return false };
        fields.iter().filter(|(name, _)| is_path(tool, name)).any(|(_, value)| {
            let known = known.filter(|_| tool != "terminal");
            value.as_str().is_some_and(|text| !self.written(text, known).is_inside)
        })
    }

    pub(super) fn json(&self, value: &Value) -> String {
        match value {
            Value::String(text) => self.said(text),
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(|item| self.json(item)).collect();
                format!("[{}]", items.join(", "))
            }
            Value::Object(fields) => {
                let field = |(name, value): (&String, &Value)| {
                    format!("{}: {}", self.quoted(name), self.json(value))
                };
                format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        }
    }
}

/// Some models write the input as JSON in a text, which tools understand.
fn object(input: &Value) -> Value {
    let read = |text: &String| serde_json::from_str(text).ok().filter(Value::is_object);
    match input {
        Value::String(text) => read(text).unwrap_or_else(|| input.clone()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            input.clone()
        }
    }
}

/// Whether an input of a tool is a path.
fn is_path(tool: &str, name: &str) -> bool {
    PATHS.contains(&name) || (tool == "terminal" && name == "cwd")
}

/// What a script fills in.
const FILLED: [&str; 3] = ["$CWD", "$HOME", "$SESSION"];

/// Whether there are texts with words that a script would fill in.
pub(super) fn has_filled(value: &Value) -> bool {
    match value {
        Value::String(text) => FILLED.iter().any(|name| text.contains(name)),
        Value::Array(items) => items.iter().any(has_filled),
        Value::Object(fields) => fields.values().any(has_filled),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The path without `.` and `..`, nothing looked up.
fn lexical(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => clean.push(part),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn places() -> Places {
        Places::new(Path::new("/w/proj"), &[PathBuf::from("/w/other")])
    }

    #[test]
    fn the_folder_is_replaced_where_it_is_a_path() {
        for (text, shown) in [
            ("/w/proj", "$CWD"),
            ("in /w/proj.", "in $CWD."),
            ("see /w/proj/a.rs and `/w/proj`", "see $CWD/a.rs and `$CWD`"),
            ("/w/project /w/proj-2 a/w/proj", "/w/project /w/proj-2 a/w/proj"),
            ("/w/other/b", "$CWD/.folder1/b"),
            ("/w/proj/w/proj", "$CWD/w/proj"),
        ] {
            assert_eq!(places().shown(text), shown, "{text}");
        }
        assert_eq!(Places::new(Path::new("/"), &[]).shown("/etc/x"), "/etc/x");
    }

    #[test]
    fn texts_mean_themselves() {
        let places = places();
        assert_eq!(
            places.said("a \"$HOME\" ${prompt} ${x}\n"),
            r#""a \"\u0024HOME\" ${$}{prompt} ${x}\n""#
        );
        assert_eq!(places.said("/w/proj $CWD"), r#""$CWD \u0024CWD""#);
        assert_eq!(places.expected("2 * ${a}"), r#""2 \* \${a}""#);
    }

    #[test]
    fn no_call_leaves_the_scripts_folder() {
        let places = places();
        let input = |path: &str, known: Option<&str>| {
            places.input("edit", &json!({ "path": path }), known.map(Path::new))
        };
        assert_eq!(input("src/a", None), r#"{"path": "src/a"}"#);
        assert_eq!(input("/w/proj/src/a", None), r#"{"path": "$CWD/src/a"}"#);
        assert_eq!(input("../../etc/x", None), r#"{"path": "$CWD/../outside/etc/x"}"#);
        assert_eq!(input("/etc/passwd", None), r#"{"path": "$CWD/../outside/etc/passwd"}"#);
        assert_eq!(input("~/x", Some("/home/me/x")), r#"{"path": "$CWD/../outside/home/me/x"}"#);
        assert_eq!(input("link", Some("/etc/x")), r#"{"path": "$CWD/../outside/etc/x"}"#);
        assert_eq!(input("../other/b", None), r#"{"path": "$CWD/.folder1/b"}"#);
        let text = json!("{\"path\": \"/etc/x\"}");
        assert_eq!(places.input("read", &text, None), r#"{"path": "$CWD/../outside/etc/x"}"#);
        assert!(places.leaves("edit", &json!({"path": "/etc/x"}), None));
        assert!(!places.leaves("edit", &json!({"path": "a"}), None));
    }
}
