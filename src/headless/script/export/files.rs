//! Which files a session found in its folder, as far as its journal tells: those that were read whole or
//! changed. It reads no file.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::event::{CallContent, CallUpdate};
use crate::known::Known;
use crate::transcript::Outcome;

/// Old and new text of a larger change are shown in part only (`tools::diff`).
const WHOLE_LIMIT: usize = 256 * 1024;

/// What the files hold as the session goes on.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// The content now; `None` is a file that is not there.
    now: HashMap<PathBuf, Option<String>>,
    known: HashMap<PathBuf, Known>,
    /// Files that the open turn has looked at.
    looked_at: HashSet<PathBuf>,
    /// Whether a command may have changed anything since then.
    commands: bool,
    /// What has to be there from the beginning.
    pub(super) first: Vec<(PathBuf, String)>,
    /// What somebody else changed before the open turn.
    pub(super) changed: Vec<(PathBuf, String)>,
}

impl Files {
    pub(super) fn begin_turn(&mut self) {
        self.looked_at.clear();
        self.changed.clear();
    }

    pub(super) fn saw(&mut self, files: &[(PathBuf, Known)]) {
        self.known.extend(files.iter().cloned());
    }

    pub(super) fn command_ran(&mut self) {
        self.commands = true;
    }

    /// What a call shows before it begins: the old text of its change.
    pub(super) fn described(&mut self, shown: &CallUpdate) {
        if let Some((path, old, _)) = change(shown) {
            self.found(&path, old);
        }
    }

    pub(super) fn settled(&mut self, tool: &str, outcome: &Outcome, shown: &CallUpdate) {
        let Outcome::Done { .. } = outcome else { return };
        if let Some((path, old, new)) = change(shown) {
            self.found(&path, old);
            self.now.insert(path, Some(new));
        }
        if tool == "terminal" {
            self.command_ran();
        }
    }

    /// A file was read; nothing where its content is not known to be whole.
    pub(super) fn read(&mut self, path: &Path, outcome: &Outcome) {
        let Some(known) = self.known.get(path) else { return };
        if let Some(text) = read_text(&outcome.text(), known) {
            self.found(path, Some(text));
        }
    }

    /// Whether the script knows what is there.
    pub(super) fn knows(&self, path: &Path) -> bool {
        self.now.contains_key(path)
    }

    fn found(&mut self, path: &Path, text: Option<String>) {
        let is_first_look = self.looked_at.insert(path.to_owned());
        match self.now.get(path) {
            None => self.first.extend(text.clone().map(|text| (path.to_owned(), text))),
            Some(before) if *before == text || !is_first_look || self.commands => {}
            Some(_) => self.changed.extend(text.clone().map(|text| (path.to_owned(), text))),
        }
        self.now.insert(path.to_owned(), text);
    }
}

/// The one file that a call changes, with its old and new text, where they are whole.
fn change(shown: &CallUpdate) -> Option<(PathBuf, Option<String>, String)> {
    let mut diffs = shown.content.iter().flatten().filter_map(|content| match content {
        CallContent::Diff { path, old, new } => Some((path, old, new)),
        CallContent::Content(_) | CallContent::Terminal(_) => None,
    });
    let (path, old, new) = diffs.next()?;
    let size = old.as_ref().map_or(0, String::len) + new.len();
    let is_whole = diffs.next().is_none() && size <= WHOLE_LIMIT;
    is_whole.then(|| (path.clone(), old.clone(), new.clone()))
}

/// The text behind the lines that the tool `read` gave, if they are all: which line ends it has is told by
/// what is known of the content.
fn read_text(lines: &str, known: &Known) -> Option<String> {
    let mut texts = Vec::new();
    for (at, line) in lines.split('\n').enumerate() {
        let Some((number, text)) = line.split_once('\t') else { break };
        if number.trim() != (at + 1).to_string() {
            break;
        }
        texts.push(text);
    }
    let candidates = ["\n", "\r\n"].into_iter().flat_map(|end| {
        let text = texts.join(end);
        [format!("{text}{end}"), text]
    });
    candidates
        .flat_map(|text| [format!("\u{feff}{text}"), text])
        .chain([String::new()])
        .find(|text| known.is(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_text_is_found_with_its_line_ends() {
        for text in ["a\nb\n", "a\nb", "a\r\nb\r\n", "\u{feff}a\n", "1\tx\n\n2\n", ""] {
            let lines: Vec<String> = text
                .strip_prefix('\u{feff}')
                .unwrap_or(text)
                .lines()
                .enumerate()
                .map(|(at, line)| format!("{}\t{line}", at + 1))
                .collect();
            let found = read_text(&lines.join("\n"), &Known::whole(text));
            assert_eq!(found.as_deref(), Some(text));
        }
        let part =
            read_text("1\ta\n[lines 1–1 of 2; go on with offset 2]", &Known::whole("a\nb\n"));
        assert_eq!(part, None);
    }
}
