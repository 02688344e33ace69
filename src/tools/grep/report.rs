//! What a search prints: the lines of each file under its name, within bounds.

use std::io;

use grep::matcher::Matcher as _;
use grep::regex::RegexMatcher;
use grep::searcher::{Searcher, Sink, SinkContext, SinkMatch};
use tokio_util::sync::CancellationToken;

const MATCHES: usize = 200;
const BYTES: usize = 32 * 1024;
const LINE_CHARS: usize = 300;
/// The characters before a match that are shown of a long line.
const BEFORE: usize = 100;

pub(super) struct Report {
    text: String,
    files_only: bool,
    matches: usize,
    files: usize,
    full: bool,
    /// The name of the file at hand is written.
    named: bool,
}

impl Report {
    pub(super) fn new(files_only: bool) -> Self {
        Self { text: String::new(), files_only, matches: 0, files: 0, full: false, named: false }
    }

    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    pub(super) fn matches(&self) -> usize {
        self.matches
    }

    pub(super) fn files(&self) -> usize {
        self.files
    }

    pub(super) fn end_file(&mut self) {
        if self.named && !self.files_only {
            self.text.push('\n');
        }
        self.named = false;
    }

    pub(super) fn text(&self) -> String {
        let text = self.text.trim_end();
        if text.is_empty() {
            return "no matches\n".to_owned();
        }
        if !self.full {
            return format!("{text}\n");
        }
        let unit = if self.files_only { "files" } else { "matches" };
        format!(
            "{text}\n[stopped after {} {unit}: narrow `pattern`, `path` or `glob`]\n",
            self.matches
        )
    }

    /// Adds a line below the file's name; whether there may be more.
    fn add(&mut self, name: &str, line: &str) -> bool {
        if self.full {
            return false;
        }
        if self.text.len() + name.len() + line.len() > BYTES {
            self.full = true;
            return false;
        }
        if !self.named {
            self.named = true;
            self.files += 1;
            self.text.push_str(name);
            self.text.push('\n');
        }
        self.text.push_str(line);
        true
    }
}

/// Takes the lines of one file.
pub(super) struct Lines<'a> {
    pub(super) name: &'a str,
    pub(super) matcher: &'a RegexMatcher,
    pub(super) report: &'a mut Report,
    pub(super) stop: &'a CancellationToken,
}

impl Sink for Lines<'_> {
    type Error = io::Error;

    fn matched(&mut self, _searcher: &Searcher, found: &SinkMatch<'_>) -> Result<bool, io::Error> {
        let report = &mut *self.report;
        if report.matches == MATCHES {
            report.full = true;
            return Ok(false);
        }
        if report.files_only {
            let added = report.add(self.name, "");
            report.matches += usize::from(added);
            return Ok(false);
        }
        let at = self.matcher.find(found.bytes()).ok().flatten().map_or(0, |found| found.start());
        let line = format!("{}:{}\n", found.line_number().unwrap_or(0), shown(found.bytes(), at));
        let more = report.add(self.name, &line);
        report.matches += usize::from(more);
        Ok(more && !self.stop.is_cancelled())
    }

    fn context(
        &mut self,
        _searcher: &Searcher,
        found: &SinkContext<'_>,
    ) -> Result<bool, io::Error> {
        let line = format!("{}-{}\n", found.line_number().unwrap_or(0), shown(found.bytes(), 0));
        Ok(self.report.add(self.name, &line))
    }

    fn context_break(&mut self, _searcher: &Searcher) -> Result<bool, io::Error> {
        Ok(self.report.add(self.name, "--\n"))
    }
}

/// A line, or of a long one the piece around byte `at`.
fn shown(line: &[u8], at: usize) -> String {
    let before = String::from_utf8_lossy(line.get(..at).unwrap_or_default()).chars().count();
    let line = String::from_utf8_lossy(line);
    let line = line.trim_end_matches(['\n', '\r']);
    let count = line.chars().count();
    if count <= LINE_CHARS {
        return line.to_owned();
    }
    let first = before.saturating_sub(BEFORE).min(count - LINE_CHARS);
    let piece: String = line.chars().skip(first).take(LINE_CHARS).collect();
    let start = if first > 0 { "…" } else { "" };
    let end = if first + LINE_CHARS < count { "…" } else { "" };
    format!("{start}{piece}{end}")
}
