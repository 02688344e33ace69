//! A look at JSON while it arrives: where it ends, and as early as possible that it is no call.

use crate::model::ToolSpec;

/// The fields that a call written as text may have.
const FIELDS: &[&str] = &["name", "arguments", "parameters", "input", "function", "type", "id"];

pub(super) enum Scanned {
    Open,
    Closed,
    /// Whatever comes, it is no call.
    NoCall,
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Between,
    String,
    /// Behind a backslash in a string.
    Escaped,
}

pub(super) struct Scan {
    depth: usize,
    place: Place,
    /// How deep the object is that would be the call: 1, or 2 in an array.
    object: Option<usize>,
    wants_field: bool,
    is_field: bool,
    field: String,
    /// The string that is being read, where it matters.
    text: String,
}

impl Scan {
    pub(super) fn new() -> Self {
        Self {
            depth: 0,
            place: Place::Between,
            object: None,
            wants_field: false,
            is_field: false,
            field: String::new(),
            text: String::new(),
        }
    }

    pub(super) fn step(&mut self, letter: char, tools: &[ToolSpec]) -> Scanned {
        let was_in_string = self.place != Place::Between;
        if self.balance(letter) {
            return Scanned::Closed;
        }
        let is_fine = match (was_in_string, letter) {
            (true, _) => self.string(letter, tools),
            (false, '"') => {
                self.is_field = self.is_in_object() && self.wants_field;
                self.text.clear();
                self.object.is_some()
            }
            (false, '{') => {
                if self.object.is_none() {
                    self.object = Some(self.depth);
                }
                let is_call = self.is_in_object();
                let fits = is_call || !self.wants_field;
                self.wants_field = is_call;
                fits
            }
            (false, '[') => self.depth == 1 || self.object.is_some(),
            (false, ',') => {
                self.wants_field = self.is_in_object();
                true
            }
            (false, '}' | ']') => {
                self.wants_field = false;
                true
            }
            (false, letter) => {
                letter.is_whitespace() || (self.object.is_some() && !self.wants_field)
            }
        };
        if is_fine { Scanned::Open } else { Scanned::NoCall }
    }

    /// Counts brackets outside of strings; whether the letter closes the first.
    pub(super) fn balance(&mut self, letter: char) -> bool {
        match (self.place, letter) {
            (Place::Between, '"') | (Place::Escaped, _) => self.place = Place::String,
            (Place::Between, '{' | '[') => self.depth += 1,
            (Place::Between, '}' | ']') => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            (Place::String, '\\') => self.place = Place::Escaped,
            (Place::String, '"') => self.place = Place::Between,
            (Place::Between | Place::String, _) => {}
        }
        false
    }

    fn is_in_object(&self) -> bool {
        self.object == Some(self.depth)
    }

    /// A letter of a string, or the quote that ends it.
    fn string(&mut self, letter: char, tools: &[ToolSpec]) -> bool {
        let is_name = !self.is_field && self.is_in_object() && self.field == "name";
        if !self.is_field && !is_name {
            return true;
        }
        let ends = self.place == Place::Between;
        if !ends {
            self.text.push(letter);
        }
        let fits =
            |known: &str| if ends { known == self.text } else { known.starts_with(&self.text) };
        let is_known = if self.is_field {
            FIELDS.iter().any(|field| fits(field))
        } else {
            tools.iter().any(|tool| fits(&tool.name))
        };
        if ends && self.is_field {
            self.wants_field = false;
            self.field = std::mem::take(&mut self.text);
        }
        is_known
    }
}
