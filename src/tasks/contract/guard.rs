//! What a schema may cost: the checker takes any, and some take for ever, or more stack than there is.

use std::collections::{HashMap, HashSet};
use std::ptr::from_ref;

use regex::{Error, RegexBuilder};
use serde_json::{Map, Value};

/// Bytes of a schema, written as JSON.
const SIZE: usize = 64 << 10;
/// Patterns of a schema.
const PATTERNS: usize = 50;
/// Bytes of one of them; reading it takes more than linear time.
const PATTERN: usize = 500;
/// Bytes of one, compiled.
pub(super) const PATTERN_SIZE: usize = 2 << 20;
/// Schemas that are applied to one value, each by the one before it.
const CHAIN: usize = 100;
/// Schemas that are applied within each other.
const DEPTH: usize = 2000;
/// How often a schema is applied to a value.
const WORK: u64 = 300_000;

/// The format `regex`, by another name: that of the checker cannot be replaced.
pub(super) const REGEX: &str = "talaria-regex";

const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];
/// Values, not schemas.
const DATA: [&str; 4] = ["const", "default", "enum", "examples"];
/// Schemas by name.
const NAMED: [&str; 6] =
    ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"];
/// Schemas for the same value.
const SAME: [&str; 9] =
    ["allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies"];
/// Schemas for entries of a list, but those by place.
const ENTRIES: [&str; 4] = ["items", "additionalItems", "unevaluatedItems", "contains"];

type Id = *const Value;

/// A schema that was read.
pub(super) struct Guard<'a> {
    root: &'a Value,
    seen: HashMap<Id, &'a Value>,
    anchors: HashMap<&'a str, &'a Value>,
    /// What the references of a schema name.
    targets: HashMap<Id, Vec<&'a Value>>,
}

impl<'a> Guard<'a> {
    /// Refuses what would cost too much with any report, and what is elsewhere.
    pub(super) fn new(root: &'a Value) -> Result<Self, String> {
        if root.to_string().len() > SIZE {
            return Err(format!("it is longer than {SIZE} bytes"));
        }
        let mut guard =
            Self { root, seen: HashMap::new(), anchors: HashMap::new(), targets: HashMap::new() };
        guard.read()?;
        guard.patterns()?;
        let mut heights = HashMap::new();
        for schema in guard.seen.values() {
            guard.height(schema, 0, &mut HashSet::new(), &mut heights)?;
        }
        Ok(guard)
    }

    /// Whether the check of this report ends soon.
    pub(super) fn allows(&self, report: &Value) -> bool {
        let mut known = HashMap::new();
        self.work(self.root, report, 0, &mut known).is_some_and(|work| work <= WORK)
    }

    /// Whether a list has schemas for its first entries and one for the rest: the checker then counts the rest from
    /// zero.
    pub(super) fn has_rest(&self) -> bool {
        self.seen.values().any(|schema| {
            let first = schema.get("prefixItems").or_else(|| schema.get("items"));
            first.is_some_and(Value::is_array)
                && (schema.get("items").is_some_and(|rest| !rest.is_array())
                    || schema.get("additionalItems").is_some())
        })
    }

    fn read(&mut self) -> Result<(), String> {
        let mut open = vec![self.root];
        let mut references: Vec<(Id, &'a str)> = Vec::new();
        while !open.is_empty() {
            while let Some(schema) = open.pop() {
                if self.seen.insert(from_ref(schema), schema).is_some() {
                    continue;
                }
                self.named(schema)?;
                for key in REFERENCES {
                    if let Some(Value::String(name)) = schema.get(key) {
                        references.push((from_ref(schema), name));
                    }
                }
                children(schema, &mut open);
            }
            for (from, name) in std::mem::take(&mut references) {
                let target = self.find(name)?;
                self.targets.entry(from).or_default().push(target);
                open.push(target);
            }
        }
        Ok(())
    }

    /// Takes up the names of a schema.
    fn named(&mut self, schema: &'a Value) -> Result<(), String> {
        let text = |key: &str| schema.get(key).and_then(Value::as_str);
        let is_old = self.root["$schema"].as_str().is_some_and(|draft| draft.contains("draft-04"));
        let id = if is_old { text("id") } else { text("$id") };
        match id.map(|id| (id, id.strip_prefix('#'))) {
            Some((_, Some(anchor))) => drop(self.anchors.insert(anchor, schema)),
            Some((id, None)) if !std::ptr::eq(schema, self.root) => {
                return Err(format!("a schema within it has an address of its own: `{id}`"));
            }
            Some(_) | None => {}
        }
        for key in ["$anchor", "$dynamicAnchor"] {
            if let Some(anchor) = text(key) {
                self.anchors.insert(anchor, schema);
            }
        }
        Ok(())
    }

    fn find(&self, name: &str) -> Result<&'a Value, String> {
        let (address, place) = name.split_once('#').unwrap_or((name, ""));
        let own = self.root["$id"].as_str().or_else(|| self.root["id"].as_str()).unwrap_or("");
        if !address.is_empty() && address != own.trim_end_matches('#') {
            return Err(format!("`{name}` is elsewhere, and nothing is read from there"));
        }
        let decoded = decoded(place);
        let found = if decoded.is_empty() || decoded.starts_with('/') {
            self.root.pointer(&decoded)
        } else {
            self.anchors.get(&*decoded).copied()
        };
        found.ok_or_else(|| format!("`{name}` is not in it"))
    }

    fn patterns(&self) -> Result<(), String> {
        let mut patterns: Vec<&str> = Vec::new();
        for schema in self.seen.values() {
            patterns.extend(schema.get("pattern").and_then(Value::as_str));
            let named = schema.get("patternProperties").and_then(Value::as_object);
            patterns.extend(named.into_iter().flat_map(|named| named.keys().map(String::as_str)));
        }
        if patterns.len() > PATTERNS {
            return Err(format!("it has more than {PATTERNS} patterns"));
        }
        for pattern in patterns {
            if pattern.len() > PATTERN {
                return Err(format!("a pattern is longer than {PATTERN} bytes"));
            }
            // As the checker reads them: only ASCII.
            let ascii = pattern.replace("\\d", "[0-9]").replace("\\w", "[0-9A-Za-z_]");
            let built = RegexBuilder::new(&ascii).size_limit(PATTERN_SIZE).build();
            if let Err(Error::CompiledTooBig(_)) = built {
                return Err(format!("the pattern `{pattern}` is too large"));
            }
        }
        Ok(())
    }

    /// Schemas for the same value, in it and where it refers to.
    fn same(&self, schema: &'a Value) -> Vec<&'a Value> {
        let mut found = Vec::new();
        for key in SAME {
            match schema.get(key) {
                Some(Value::Array(schemas)) => found.extend(schemas),
                Some(Value::Object(schemas)) if NAMED.contains(&key) => {
                    found.extend(schemas.values());
                }
                Some(schema) => found.push(schema),
                None => {}
            }
        }
        found.extend(self.targets.get(&from_ref(schema)).into_iter().flatten());
        found
    }

    /// How many schemas are applied to one value, each by the one before it.
    fn height(
        &self,
        schema: &'a Value,
        above: usize,
        open: &mut HashSet<Id>,
        known: &mut HashMap<Id, usize>,
    ) -> Result<usize, String> {
        let id = from_ref(schema);
        if !open.insert(id) {
            return Err("a schema in it refers to itself without end".to_owned());
        }
        let mut height = known.get(&id).copied().unwrap_or(0);
        if above + height > CHAIN {
            return Err(format!("more than {CHAIN} schemas in it refer to each other"));
        }
        if height == 0 {
            for next in self.same(schema) {
                height = height.max(self.height(next, above + 1, open, known)?);
            }
            height += 1;
            known.insert(id, height);
        }
        open.remove(&id);
        Ok(height)
    }

    /// How often the checker would apply a schema, at most. Nothing: too often, or too deep.
    fn work(
        &self,
        schema: &'a Value,
        value: &Value,
        depth: usize,
        known: &mut HashMap<(Id, Id), u64>,
    ) -> Option<u64> {
        let key = (from_ref(schema), from_ref(value));
        if let Some(work) = known.get(&key) {
            return Some(*work);
        }
        if depth > DEPTH {
            return None;
        }
        let mut work: u64 = 1;
        let mut next: Vec<(&'a Value, &Value)> =
            self.same(schema).into_iter().map(|schema| (schema, value)).collect();
        match value {
            Value::Array(entries) => of_entries(schema, entries, &mut next),
            Value::Object(fields) => of_fields(schema, fields, &mut next),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        if let (Value::Object(fields), Some(names)) = (value, schema.get("propertyNames")) {
            let each = self.work(names, &Value::Null, depth + 1, known)?;
            work = work.saturating_add(each.saturating_mul(fields.len() as u64));
        }
        for (schema, value) in next {
            work = work.saturating_add(self.work(schema, value, depth + 1, known)?);
            if work > WORK || known.len() as u64 > WORK {
                return None;
            }
        }
        known.insert(key, work);
        Some(work)
    }
}

/// The fragment of an address, its `%2F` read.
fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok());
        bytes.push(code.unwrap_or(b'%'));
        bytes.extend(part.bytes().skip(if code.is_some() { 2 } else { 0 }));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Which schemas are applied to the entries of a list.
fn of_entries<'a, 'v>(
    schema: &'a Value,
    entries: &'v [Value],
    next: &mut Vec<(&'a Value, &'v Value)>,
) {
    let by_place = |key: &str| schema.get(key).and_then(Value::as_array);
    let first = by_place("prefixItems").or_else(|| by_place("items"));
    next.extend(first.into_iter().flatten().zip(entries));
    for key in ENTRIES {
        let Some(of) = schema.get(key).filter(|of| !of.is_array()) else { continue };
        let is_rest = ["items", "additionalItems"].contains(&key);
        let skipped = first.filter(|_| is_rest).map_or(0, Vec::len);
        next.extend(entries.iter().skip(skipped).map(|entry| (of, entry)));
    }
}

/// Which schemas are applied to the fields of an object.
fn of_fields<'a, 'v>(
    schema: &'a Value,
    fields: &'v Map<String, Value>,
    next: &mut Vec<(&'a Value, &'v Value)>,
) {
    let by_name = |key: &str| schema.get(key).and_then(Value::as_object);
    let (named, patterns) = (by_name("properties"), by_name("patternProperties"));
    for (name, field) in fields {
        let own = named.and_then(|named| named.get(name));
        let additional = schema.get("additionalProperties").filter(|_| own.is_none());
        let by_pattern = patterns.into_iter().flat_map(Map::values);
        let found = own.into_iter().chain(additional).chain(by_pattern);
        next.extend(found.chain(schema.get("unevaluatedProperties")).map(|of| (of, field)));
    }
}

/// What may be a schema in a schema, by names that are known or not: a reference may name it.
fn children<'a>(schema: &'a Value, open: &mut Vec<&'a Value>) {
    let Value::Object(fields) = schema else { return };
    for (key, value) in fields {
        match value {
            Value::Object(named) if NAMED.contains(&&**key) => open.extend(named.values()),
            _ if DATA.contains(&&**key) => {}
            Value::Array(values) => open.extend(values),
            Value::Object(_) => open.push(value),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// The schema with the format `regex` by its other name: everywhere, since a reference may make a schema of what is
/// a value elsewhere.
pub(super) fn renamed(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| {
                let is_regex = key == "format" && value == "regex";
                (key.clone(), if is_regex { REGEX.into() } else { renamed(value) })
            })
            .collect(),
        Value::Array(values) => values.iter().map(renamed).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => schema.clone(),
    }
}
