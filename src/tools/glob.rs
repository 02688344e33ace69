//! The tool `glob`: files by a pattern of their path, the newest first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use ignore::WalkBuilder;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::files::{fenced, locate, search_grant};
use super::input::Fields;
use super::roots::Roots;
use super::walk::{Pattern, base, search, walker};
use super::{Access, Context, Effect, Prepared, Ran, Tool};
use crate::event::{CallContent, ToolKind};
use crate::model::ToolSpec;
use crate::transcript::{Content, Outcome};

const FILES: usize = 200;

pub(super) struct Glob;

struct Input {
    pattern: String,
    path: String,
}

impl Input {
    fn of(input: &Value) -> Result<Self, String> {
        let fields = Fields::of(input)?;
        Ok(Self {
            pattern: fields.word(&["pattern", "glob"])?,
            path: fields
                .optional_word(&["path", "dir", "directory"])?
                .unwrap_or_else(|| ".".to_owned()),
        })
    }
}

impl Tool for Glob {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "glob".to_owned(),
            description:
                "Find files by a glob pattern such as `src/**/*.rs`; `*.rs` looks in all folders. \
                          Newest first, at most 200; ignored files are left out."
                    .to_owned(),
            schema: json!({
                "type": "object",
                "properties": {
                    "pattern": {"type": "string"},
                    "path": {"type": "string", "description": "Folder to start from"}
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
            let touch = locate(context, &input.path, Access::Read).await?;
            Pattern::new(&input.pattern, &touch.path)?;
            let place = match context.roots.display(&touch.path).as_str() {
                "." => String::new(),
                shown => format!(" in {shown}"),
            };
            Ok(Prepared {
                title: format!("Find `{}`{place}", input.pattern),
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
                let base = base(context, &input.path).await?;
                let pattern = Pattern::new(&input.pattern, &base)?;
                Ok::<_, String>((base, pattern))
            };
            let (base, pattern) = match found.await {
                Ok(found) => found,
                Err(message) => return Ran::failed(message),
            };
            let walker = walker(&base, &context.policy);
            let roots = context.roots.clone();
            search(context, move |stop| Ok(glob(&walker, (&base, &pattern), &roots, stop))).await
        }
        .boxed()
    }
}

fn glob(
    walker: &WalkBuilder,
    (base, pattern): (&Path, &Pattern),
    roots: &Roots,
    stop: &CancellationToken,
) -> Ran {
    // The oldest of those kept is on top, to be replaced by a newer one.
    let mut newest: BinaryHeap<Reverse<(SystemTime, Reverse<PathBuf>)>> = BinaryHeap::new();
    let mut count = 0_usize;
    for entry in walker.build().flatten() {
        if stop.is_cancelled() {
            break;
        }
        let folder = entry.file_type().is_none_or(|kind| kind.is_dir());
        if folder || !pattern.matches(base, entry.path()) {
            continue;
        }
        count += 1;
        let changed = entry.metadata().ok().and_then(|meta| meta.modified().ok());
        newest
            .push(Reverse((changed.unwrap_or(SystemTime::UNIX_EPOCH), Reverse(entry.into_path()))));
        if newest.len() > FILES {
            newest.pop();
        }
    }
    let mut lines: Vec<String> = newest
        .into_sorted_vec()
        .into_iter()
        .map(|Reverse((_, Reverse(path)))| roots.display(&path))
        .collect();
    if count == 0 {
        lines.push("no files match".to_owned());
    } else if count > FILES {
        lines.push(format!("[the newest {FILES} of {count} files: narrow the pattern]"));
    }
    let text = lines.join("\n");
    let mut ran = Ran::new(Outcome::done(text.as_str()));
    ran.show = vec![CallContent::Content(Content::text(fenced(&text)))];
    ran.output = Some(json!({"files": count}));
    ran
}

#[cfg(test)]
mod tests;
