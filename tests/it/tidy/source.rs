//! Rust source as the rules read it: code without comments and texts, with the line numbers kept.

use std::fmt;
use std::path::Path;

/// A file under `src/`.
pub(super) struct Source {
    /// Under the root, with `/` on every system.
    path: String,
    /// The file with comments and texts blanked.
    pub(super) code: String,
}

impl Source {
    pub(super) fn new(path: &Path, text: &str) -> Self {
        Self { path: path.to_string_lossy().replace('\\', "/"), code: code_only(text) }
    }

    /// The path under `src/` without `.rs`.
    fn place(&self) -> &str {
        self.path.trim_start_matches("src/").trim_end_matches(".rs")
    }

    /// The module of `src/lib.rs` that it belongs to.
    pub(super) fn module(&self) -> &str {
        self.place().split('/').next().unwrap_or_default()
    }

    /// How many `super::` lead from the file's module to the crate's root.
    pub(super) fn depth(&self) -> usize {
        self.place().split('/').count()
    }

    pub(super) fn is_in(&self, place: &str) -> bool {
        self.place() == place || self.place().starts_with(&format!("{place}/"))
    }

    /// Whether it is the test file of a module.
    pub(super) fn is_test(&self) -> bool {
        self.place() == "tests"
            || self.place().ends_with("/tests")
            || self.place().contains("/tests/")
    }

    /// The names that follow `prefix`, with their lines.
    pub(super) fn paths_after(&self, prefix: &str) -> Vec<(usize, String)> {
        let names = self.occurrences(prefix).filter_map(|at| {
            let rest = self.code.get(at + prefix.len()..)?;
            let name: String = rest.chars().take_while(|letter| is_word(*letter)).collect();
            (!name.is_empty() && name != "super").then(|| (self.line(at), name))
        });
        names.collect()
    }

    /// The lines that hold `path` as whole words; a group of imports counts as its parts.
    pub(super) fn lines_with(&self, path: &str) -> Vec<usize> {
        let whole = self.occurrences(path).filter(|at| {
            let after = self.code.get(at + path.len()..).and_then(|rest| rest.chars().next());
            !after.is_some_and(is_word)
        });
        let mut lines: Vec<usize> = whole.map(|at| self.line(at)).collect();
        if let Some((group, name)) = path.rsplit_once("::") {
            let group = format!("{group}::{{");
            lines.extend(self.occurrences(&group).filter_map(|at| {
                let rest = self.code.get(at + group.len()..)?;
                let items = rest.split(';').next()?;
                let mut words = items.split(|letter| !is_word(letter));
                words.any(|word| word == name).then(|| self.line(at))
            }));
        }
        lines
    }

    /// Where `text` begins and is not the end of a longer word or path.
    fn occurrences(&self, text: &str) -> impl Iterator<Item = usize> {
        self.code.match_indices(text).map(|(at, _)| at).filter(|at| {
            let before = self.code.get(..*at).and_then(|code| code.chars().next_back());
            !before.is_some_and(is_word)
        })
    }

    fn line(&self, at: usize) -> usize {
        self.code.get(..at).map_or(0, |code| code.matches('\n').count()) + 1
    }

    /// The lines of the file but for its module of tests; none for a file of tests.
    pub(super) fn lines_without_tests(&self) -> usize {
        if self.place().ends_with("/tests") || self.place().contains("/tests/") {
            return 0;
        }
        let mut lines = 0;
        let mut code = self.code.lines();
        while let Some(line) = code.next() {
            if line.trim() == "#[cfg(test)]" {
                let mut open = 0_usize;
                for line in code.by_ref() {
                    open += line.matches('{').count();
                    open = open.saturating_sub(line.matches('}').count());
                    if open == 0 && (line.contains('}') || line.contains(';')) {
                        break;
                    }
                }
            } else {
                lines += 1;
            }
        }
        lines
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// The text with everything in comments, strings and characters blanked, line ends kept.
pub(super) fn code_only(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < letters.len() {
        let end = end_of_blank(&letters, at);
        if end == at {
            code.push(letters[at]);
            at += 1;
        }
        while at < end.min(letters.len()) {
            code.push(if letters[at] == '\n' { '\n' } else { ' ' });
            at += 1;
        }
    }
    code
}

/// Where the comment, string or character that begins at `at` ends; `at` itself if none begins.
fn end_of_blank(letters: &[char], at: usize) -> usize {
    let next = letters.get(at + 1).copied().unwrap_or_default();
    let in_word = at > 0 && is_word(letters[at - 1]);
    match letters[at] {
        '/' if next == '/' => find(letters, at, &['\n']),
        '/' if next == '*' => end_of_comment(letters, at),
        '"' => end_of_string(letters, at, '"'),
        'r' if !in_word && (next == '"' || next == '#') => {
            end_of_raw(letters, at + 1).unwrap_or(at)
        }
        'b' | 'c' if !in_word && next == 'r' => end_of_raw(letters, at + 2).unwrap_or(at),
        // A lifetime has no quote behind its first letter.
        '\'' if next == '\\' || letters.get(at + 2) == Some(&'\'') => {
            end_of_string(letters, at, '\'')
        }
        _ => at,
    }
}

fn end_of_comment(letters: &[char], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0);
    while at < letters.len() {
        let pair = (letters[at], letters.get(at + 1).copied().unwrap_or_default());
        match pair {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            break;
        }
    }
    at
}

fn end_of_string(letters: &[char], start: usize, quote: char) -> usize {
    let mut at = start + 1;
    while at < letters.len() {
        match letters[at] {
            '\\' => at += 2,
            letter if letter == quote => return at + 1,
            _ => at += 1,
        }
    }
    letters.len()
}

/// `at` is behind the `r`.
fn end_of_raw(letters: &[char], at: usize) -> Option<usize> {
    let hashes = letters.get(at..)?.iter().take_while(|letter| **letter == '#').count();
    if letters.get(at + hashes) != Some(&'"') {
        return None;
    }
    let mut close = vec!['"'];
    close.extend(std::iter::repeat_n('#', hashes));
    Some(find(letters, at + hashes + 1, &close) + close.len())
}

/// Where `text` begins at or behind `at`; the end if nowhere.
fn find(letters: &[char], at: usize, text: &[char]) -> usize {
    (at..letters.len()).find(|at| letters[*at..].starts_with(text)).unwrap_or(letters.len())
}

#[test]
fn comments_and_texts_are_no_code() {
    let check = |text: &str, expected: &str| {
        let code = code_only(text);
        assert_eq!(code.split_whitespace().collect::<Vec<_>>().join(" "), expected, "{text}");
        assert_eq!(code.lines().count(), text.lines().count());
    };
    check("a // crate::b\nc", "a c");
    check("a /* x /* y */ crate::b\n */ c", "a c");
    check(r#"f("crate::b \" \\", 'x', '\'', '"') + g::<'a>()"#, "f( , , , ) + g::<'a>()");
    check("r\"a\\\" b br#\"x\"y\"# c", "b c");
    check("for x in r { \"two\nlines\" }", "for x in r { }");
    check("fn f<'a>(x: &'a str) -> r#type {}", "fn f<'a>(x: &'a str) -> r#type {}");
}

#[test]
fn paths_are_found_as_whole_words() {
    let text = "use std::{io, fs};\nuse tokio::fs::File;\ncrate::log::x(); mycrate::y();\n#[cfg(test)]\nmod t {\n a\n}\nend\n";
    let source = Source::new(Path::new("src/tools/read.rs"), text);
    assert_eq!(source.lines_with("std::fs"), [1]);
    assert_eq!(source.lines_with("tokio::fs"), [2]);
    assert_eq!(source.lines_with("std::f"), [0; 0]);
    assert_eq!(source.paths_after("crate::"), [(3, "log".to_owned())]);
    assert_eq!((source.module(), source.depth(), source.lines_without_tests()), ("tools", 2, 4));
    assert!(source.is_in("tools") && source.is_in("tools/read") && !source.is_in("too"));
}
