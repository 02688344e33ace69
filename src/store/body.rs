//! A record as it is stored: JSON without secrets, long strings out of line. Which strings those are is
//! said beside the body and never in it, so nothing that a user writes can look like a reference.

use std::borrow::Cow;
use std::collections::HashMap;

use rusqlite::blob::ZeroBlob;
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use super::Record;
use super::index::Gist;
use crate::ids::SessionId;
use crate::redact::{Mask, Spared};
use crate::transcript::Text;

/// Strings above this many bytes are out of line.
const LONG: usize = 16 * 1024;

/// Levels of arrays and objects in a record. A reader of JSON stops at 128, and a record may be wrapped in
/// something.
const DEEPEST: usize = 100;
/// What stands where something was nested deeper.
const TOO_DEEP: &str = "(nested too deep to be stored)";

/// A record, ready to be written.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) kind: &'static str,
    pub(super) text: String,
    /// The out-of-line strings, as JSON; absent where there are none.
    pub(super) refs: Option<String>,
    pub(super) long: Vec<(String, Text)>,
    pub(super) gist: Gist,
}

impl Body {
    /// Without what `mask` hides.
    pub(super) fn of(record: &Record, session: &SessionId, mask: &Mask) -> Self {
        let mut taken = Taken::of(session);
        let light = taken.lighten(record, mask);
        let record = &*light;
        let Ok(text) = serde_json::to_string(record) else {
            return Self::unwritable(record);
        };
        let text = if depth(&text) > DEEPEST { flattened(&text, record) } else { text };
        let (text, gist) = match mask.hide_in_json(&text, Spared::Names) {
            Cow::Borrowed(_) => (text, Gist::of(record)),
            Cow::Owned(hidden) => {
                let less = || mask.hide_in_json(&text, Spared::Words).into_owned();
                let readable = still_of(hidden, record).or_else(|| still_of(less(), record));
                let Some(readable) = readable else { return Self::unwritable(record) };
                readable
            }
        };
        let text = if text.len() > LONG {
            let Ok(mut value) = serde_json::from_str::<Value>(&text) else {
                return Self::unwritable(record);
            };
            taken.take(&mut value, &mut String::new());
            value.to_string()
        } else {
            text
        };
        let refs = (!taken.refs.is_empty()).then(|| Value::Array(taken.refs).to_string());
        Self { kind: record.kind(), text, refs, long: taken.long, gist }
    }

    /// Stands for a record that is no JSON, such as one with a path that is no UTF-8, or could not be made
    /// text. A reader leaves it out, and the numbers have no gap.
    pub(super) fn unwritable(record: &Record) -> Self {
        tracing::error!(kind = record.kind(), "a record cannot be written as JSON");
        Self::inline("unwritable", r#"{"unwritable":{}}"#.to_owned(), Gist::Other)
    }

    fn inline(kind: &'static str, text: String, gist: Gist) -> Self {
        Self { kind, text, refs: None, long: Vec::new(), gist }
    }

    /// About what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let long: usize = self.long.iter().map(|(_, text)| text.len()).sum();
        self.text.len() + self.refs.as_ref().map_or(0, String::len) + long
    }
}

/// The text and what it means, if it is still a record of the same kind: a key may be a word of ours.
fn still_of(text: String, record: &Record) -> Option<(String, Gist)> {
    let read: Record = serde_json::from_str(&text).ok()?;
    (read.kind() == record.kind()).then(|| (text, Gist::of(&read)))
}

/// Levels of arrays and objects in serialised JSON.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut is_text, mut is_escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            b'[' | b'{' if !is_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !is_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The record without what is nested too deep. Only what tools were given and gave can be.
fn flattened(text: &str, record: &Record) -> String {
    tracing::warn!(kind = record.kind(), "what is nested too deep is left out of a record");
    serde_json::to_value(record).map_or_else(
        |_| text.to_owned(),
        |mut value| {
            flatten(&mut value, DEEPEST);
            value.to_string()
        },
    )
}

fn flatten(value: &mut Value, levels: usize) {
    let left = levels.saturating_sub(1);
    match value {
        Value::Array(_) | Value::Object(_) if levels == 0 => *value = Value::from(TOO_DEEP),
        Value::Array(items) => items.iter_mut().for_each(|item| flatten(item, left)),
        Value::Object(fields) => fields.values_mut().for_each(|field| flatten(field, left)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What was taken out of a body.
struct Taken {
    /// Of the session's own hashes: who cannot know its id cannot make two texts that are taken for one.
    seed: u64,
    refs: Vec<Value>,
    /// Hash and text.
    long: Vec<(String, Text)>,
}

impl Taken {
    fn of(session: &SessionId) -> Self {
        let seed = xxhash_rust::xxh3::xxh3_64(session.as_str().as_bytes());
        Self { seed, refs: Vec::new(), long: Vec::new() }
    }

    /// The record without a reply's long words, taken out as they are: they may be as long as a model
    /// can write, and JSON would copy them.
    fn lighten<'a>(&mut self, record: &'a Record, mask: &Mask) -> Cow<'a, Record> {
        let Record::Reply { reply, spent } = record else { return Cow::Borrowed(record) };
        if reply.text.len() <= LONG && reply.thought.len() <= LONG {
            return Cow::Borrowed(record);
        }
        let mut reply = reply.clone();
        reply.text = self.without(&reply.text, "/reply/reply/text", mask);
        reply.thought = self.without(&reply.thought, "/reply/reply/thought", mask);
        Cow::Owned(Record::Reply { reply, spent: spent.clone() })
    }

    /// What stands in the place of a text.
    fn without(&mut self, text: &Text, pointer: &str, mask: &Mask) -> Text {
        if text.len() <= LONG {
            return text.clone();
        }
        let hidden = match mask.hide(text) {
            Cow::Borrowed(_) => text.clone(),
            Cow::Owned(hidden) => hidden.into(),
        };
        self.put(pointer, hidden);
        Text::from("(beside)")
    }

    fn put(&mut self, pointer: &str, text: Text) {
        let hash = xxhash_rust::xxh3::xxh3_128_with_seed(text.as_bytes(), self.seed);
        let hash = format!("{hash:032x}");
        self.refs.push(Value::from(vec![pointer.to_owned(), hash.clone()]));
        self.long.push((hash, text));
    }

    /// Takes the long strings under `value`, whose JSON pointer is `pointer`.
    fn take(&mut self, value: &mut Value, pointer: &mut String) {
        let end = pointer.len();
        match value {
            Value::String(text) if text.len() > LONG => {
                let text = std::mem::take(text);
                self.put(pointer, text.into());
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            Value::Array(items) => {
                for (number, item) in items.iter_mut().enumerate() {
                    pointer.push_str(&format!("/{number}"));
                    self.take(item, pointer);
                    pointer.truncate(end);
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    pointer.push('/');
                    pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
                    self.take(field, pointer);
                    pointer.truncate(end);
                }
            }
        }
    }
}

/// Writes the long strings of a body. The same string is there once for each session.
pub(super) fn write_long(
    database: &Connection,
    session: &SessionId,
    body: &Body,
) -> rusqlite::Result<()> {
    for (hash, text) in &body.long {
        let added = database
            .prepare_cached(
                "INSERT INTO blobs (session, hash, bytes) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            )?
            .execute(params![session.as_str(), hash, ZeroBlob(text.len() as u64)])?;
        if added > 0 {
            // In place: as a parameter it would be copied.
            let row = database.last_insert_rowid();
            let mut bytes = database.blob_open("main", "blobs", "bytes", row, false)?;
            bytes.write_at(text.as_bytes(), 0)?;
        }
    }
    Ok(())
}

/// Puts the long strings back into a stored body.
pub(super) fn whole(
    database: &Connection,
    session: &str,
    text: String,
    refs: Option<String>,
) -> rusqlite::Result<String> {
    let Some(refs) = refs else { return Ok(text) };
    let refs: Vec<(String, String)> = serde_json::from_str(&refs).map_err(unreadable)?;
    let mut value: Value = serde_json::from_str(&text).map_err(unreadable)?;
    let mut read: HashMap<String, String> = HashMap::new();
    for (pointer, hash) in refs {
        if !read.contains_key(&hash) {
            let bytes: Option<Vec<u8>> = database
                .prepare_cached("SELECT bytes FROM blobs WHERE session = ?1 AND hash = ?2")?
                .query_row([session, &hash], |row| row.get(0))
                .optional()?;
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            read.insert(hash.clone(), text.unwrap_or_else(|| "(lost)".to_owned()));
        }
        if let Some(place) = value.pointer_mut(&pointer)
            && let Some(text) = read.get(&hash)
        {
            *place = Value::String(text.clone());
        }
    }
    Ok(value.to_string())
}

fn unreadable(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
}
