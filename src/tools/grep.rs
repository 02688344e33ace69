//! The tool `grep`: lines that match a regular expression, in files on disk. What is printed of them is
//! in `report`.

mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use grep::regex::{RegexMatcher, RegexMatcherBuilder};
use grep::searcher::{BinaryDetection, SearcherBuilder};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::files::{fenced, locate, search_grant};
use super::input::Fields;
use super::permission::Policy;
use super::roots::Roots;
use super::walk::{Pattern, base, search, walker};
use super::{Access, Context, Effect, Prepared, Ran, Tool};
use crate::event::{CallContent, ToolKind};
use crate::model::ToolSpec;
use crate::transcript::{Content, Outcome};
use report::{Lines, Report};

/// A line longer than this makes the rest of its file unsearched.
const LINE_BYTES: usize = 32 * 1024 * 1024;

pub(super) struct Grep;

struct Input {
    pattern: String,
    path: String,
    glob: Option<String>,
    ignore_case: bool,
    context: usize,
    files_only: bool,
}

impl Input {
    fn of(input: &Value) -> Result<Self, String> {
        let fields = Fields::of(input)?;
        let pattern = fields.text(&["pattern", "regex", "query"])?;
        if pattern.is_empty() {
            return Err("the field `pattern` is empty".to_owned());
        }
        if pattern.contains('\n') {
            return Err(
                "the field `pattern` has a line break: it is matched line by line".to_owned()
            );
        }
        Ok(Self {
            pattern,
            path: fields
                .optional_word(&["path", "dir", "directory", "file_path"])?
                .unwrap_or_else(|| ".".to_owned()),
            glob: fields.optional_word(&["glob", "include"])?,
            ignore_case: fields.flag(&["ignore_case", "case_insensitive", "-i"])?,
            context: usize::try_from(fields.number_in(&["context", "-C"], 0..=5, 0)?).unwrap_or(0),
            files_only: fields.flag(&["files_only", "files_with_matches"])?,
        })
    }

    fn matcher(&self) -> Result<RegexMatcher, String> {
        RegexMatcherBuilder::new()
            // `^` and `$` are at the ends of lines, before `\r\n` as before `\n`. The order matters: `crlf`
            // sets another terminator, which is not the searcher's.
            .multi_line(true)
            .crlf(true)
            .line_terminator(Some(b'\n'))
            .case_insensitive(self.ignore_case)
            .build(&self.pattern)
            .map_err(|error| {
                format!(
                    "the pattern `{}` is not a valid regular expression: {error}\nTo find it \
                     literally, escape it: `{}`",
                    self.pattern,
                    escaped(&self.pattern)
                )
            })
    }
}

/// Where to look and for what.
struct Search {
    base: PathBuf,
    glob: Option<Pattern>,
    matcher: RegexMatcher,
    input: Input,
    roots: Arc<Roots>,
    policy: Arc<Policy>,
}

impl Tool for Grep {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "grep".to_owned(),
            description:
                "Search files for a regular expression (Rust syntax), line by line. At most 200 \
                          matches or 32 KiB; binary and ignored files are left out."
                    .to_owned(),
            schema: json!({
                "type": "object",
                "properties": {
                    "pattern": {"type": "string"},
                    "path": {"type": "string", "description": "Folder or file"},
                    "glob": {"type": "string", "description": "Only such files, e.g. `*.rs`"},
                    "ignore_case": {"type": "boolean"},
                    "context": {"type": "integer", "description": "Lines around a match, 0 to 5"},
                    "files_only": {"type": "boolean", "description": "Only the names of files"}
                },
                "required": ["pattern"]
            }),
        }
    }

    fn effect(&self) -> Effect {
        Effect::Read
    }

    fn kind(&self) -> ToolKind {
        ToolKind::Search
    }

    fn prepare<'a>(
        &'a self,
        input: &'a Value,
        context: &'a Context,
    ) -> BoxFuture<'a, Result<Prepared, String>> {
        async move {
            let input = Input::of(input)?;
            input.matcher()?;
            let touch = locate(context, &input.path, Access::Read).await?;
            if let Some(glob) = &input.glob {
                Pattern::new(glob, &touch.path)?;
            }
            let place = match context.roots.display(&touch.path).as_str() {
                "." => String::new(),
                shown => format!(" in {shown}"),
            };
            let files = input.glob.as_ref().map(|glob| format!(" ({glob})")).unwrap_or_default();
            Ok(Prepared {
                title: format!("Search `{}`{place}{files}", super::files::cut(&input.pattern, 80)),
                locations: Vec::new(),
                preview: Vec::new(),
                grant: search_grant(&touch),
                touches: vec![touch],
                command: None,
                trouble: None,
            })
        }
        .boxed()
    }

    fn run<'a>(&'a self, input: &'a Value, context: &'a Context) -> BoxFuture<'a, Ran> {
        async move {
            let found = async {
                let input = Input::of(input)?;
                let matcher = input.matcher()?;
                let base = base(context, &input.path).await?;
                let glob = input.glob.as_ref().map(|glob| Pattern::new(glob, &base)).transpose()?;
                let (roots, policy) = (context.roots.clone(), context.policy.clone());
                Ok::<_, String>(Search { base, glob, matcher, input, roots, policy })
            };
            match found.await {
                Ok(wanted) => search(context, move |stop| Ok(wanted.run(stop))).await,
                Err(message) => Ran::failed(message),
            }
        }
        .boxed()
    }
}

impl Search {
    fn run(&self, stop: &CancellationToken) -> Ran {
        let mut searcher = SearcherBuilder::new()
            .line_number(true)
            .before_context(if self.input.files_only { 0 } else { self.input.context })
            .after_context(if self.input.files_only { 0 } else { self.input.context })
            .binary_detection(BinaryDetection::quit(0))
            .heap_limit(Some(LINE_BYTES))
            .build();
        let mut report = Report::new(self.input.files_only);
        for entry in walker(&self.base, &self.policy).sort_by_file_path(Path::cmp).build().flatten()
        {
            if stop.is_cancelled() || report.is_full() {
                break;
            }
            let path = entry.path();
            // A link leads out of the folder, or to a file that is found anyway.
            let file = entry.file_type().is_some_and(|kind| kind.is_file());
            let wanted = self.glob.as_ref().is_none_or(|glob| glob.matches(&self.base, path));
            if !file || !wanted {
                continue;
            }
            let name = self.roots.display(path);
            let lines = Lines { name: &name, matcher: &self.matcher, report: &mut report, stop };
            // A file that cannot be read is none that matches.
            drop(searcher.search_path(&self.matcher, path, lines));
            report.end_file();
        }
        let text = report.text();
        let mut ran = Ran::new(Outcome::done(text.trim_end()));
        ran.show = vec![CallContent::Content(Content::text(fenced(&text)))];
        ran.output = Some(json!({"matches": report.matches(), "files": report.files()}));
        ran
    }
}

fn escaped(pattern: &str) -> String {
    let mut escaped = String::with_capacity(pattern.len() * 2);
    for char in pattern.chars() {
        if r"\.+*?()|[]{}^$".contains(char) {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}

#[cfg(test)]
mod tests;
