//! A selection in a file: `L1:C1-L2:C2`, as an editor's cursor stands at its two ends. Lines and columns count from 1,
//! columns in characters; the character at the second place is not part of it.

use std::fmt;
use std::str::FromStr;

/// Where a cursor stands: before the character of this column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cursor {
    line: usize,
    column: usize,
}

/// What is selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Selection {
    from: Cursor,
    to: Cursor,
}

impl FromStr for Selection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let selection = || {
            let (from, to) = text.split_once('-')?;
            Some(Self { from: cursor(from)?, to: cursor(to)? })
        };
        let selection = selection()
            .ok_or("it is written `L1:C1-L2:C2`, such as `3:1-5:20`; both count from 1")?;
        if selection.to < selection.from {
            return Err("it ends before it begins".to_owned());
        }
        Ok(selection)
    }
}

fn cursor(text: &str) -> Option<Cursor> {
    let (line, column) = text.trim().split_once(':')?;
    let [line, column] =
        [line, column].map(|number| number.parse().ok().filter(|number| *number > 0));
    Some(Cursor { line: line?, column: column? })
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = self;
        if from == to {
            return write!(f, "line {}, column {}", from.line, from.column);
        }
        write!(
            f,
            "line {}, column {} to line {}, column {}",
            from.line, from.column, to.line, to.column
        )
    }
}

impl Selection {
    /// What it covers of the text; in an error, what is not there.
    pub(super) fn of(self, text: &str) -> Result<&str, String> {
        let (from, to) = (self.from.place(text)?, self.to.place(text)?);
        Ok(text.get(from..to).unwrap_or_default())
    }
}

impl Cursor {
    /// Where in the text it stands.
    fn place(self, text: &str) -> Result<usize, String> {
        let mut lines = text.split('\n');
        let mut begin = 0;
        for passed in 1..self.line {
            let line = lines.next().ok_or_else(|| too_few(passed - 1, self.line))?;
            begin += line.len() + 1;
        }
        let line = lines.next().ok_or_else(|| too_few(self.line - 1, self.line))?;
        let line = line.strip_suffix('\r').unwrap_or(line);
        let mut places = line.char_indices().map(|(at, _)| at).chain([line.len()]);
        let place = places.nth(self.column - 1).ok_or_else(|| {
            let (number, last) = (self.line, line.chars().count() + 1);
            format!("line {number} ends at column {last}, so there is no column {}", self.column)
        })?;
        Ok(begin + place)
    }
}

fn too_few(there: usize, wanted: usize) -> String {
    format!("it has {there} lines, so there is no line {wanted}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "first\r\nzweite Größe\n\nlast";

    fn check(selection: &str, text: &str) -> Result<String, String> {
        Selection::from_str(selection)?.of(text).map(str::to_owned)
    }

    #[test]
    fn what_lies_between_two_cursors_is_selected() {
        for (selection, selected) in [
            ("1:1-1:6", "first"),
            ("1:2-1:3", "i"),
            ("1:1-2:1", "first\r\n"),
            ("2:8-2:13", "Größe"),
            ("2:11-4:3", "ße\n\nla"),
            ("3:1-3:1", ""),
            ("4:5-4:5", ""),
        ] {
            assert_eq!(check(selection, TEXT).as_deref(), Ok(selected), "{selection}");
        }
        assert_eq!(check("1:1-2:1", "one\n").as_deref(), Ok("one\n"));
        assert_eq!(check("1:1-1:1", "").as_deref(), Ok(""));
    }

    #[test]
    fn what_is_not_there_is_said() {
        for (selection, error) in [
            ("1:1-1:7", "line 1 ends at column 6, so there is no column 7"),
            ("1:1-5:1", "it has 4 lines, so there is no line 5"),
            ("9:1-9:2", "it has 4 lines, so there is no line 9"),
            ("2:1-1:1", "it ends before it begins"),
        ] {
            assert_eq!(check(selection, TEXT), Err(error.to_owned()), "{selection}");
        }
        for unreadable in
            ["", "1:1", "1-2", "0:1-1:1", "1:0-1:1", "a:1-1:1", "1:1-1:1-1:1", "-1:1-2:1"]
        {
            assert!(check(unreadable, TEXT).unwrap_err().contains("L1:C1"), "{unreadable}");
        }
    }
}
