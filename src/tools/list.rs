//! The tool `list`: what is in a folder, and in the folders in it.

use std::path::Path;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use ignore::WalkBuilder;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::files::{fenced, locate, read_grant, search_grant, size};
use super::input::Fields;
use super::walk::{base, search, walker};
use super::{Access, Context, Effect, Prepared, Ran, Tool};
use crate::event::{CallContent, ToolKind};
use crate::model::ToolSpec;
use crate::transcript::{Content, Outcome};

const ENTRIES: usize = 500;

pub(super) struct List;

struct Input {
    path: String,
    depth: usize,
}

impl Input {
    fn of(input: &Value) -> Result<Self, String> {
        let fields = Fields::of(input)?;
        Ok(Self {
            path: fields
                .optional_word(&["path", "dir", "directory", "file_path"])?
                .unwrap_or_else(|| ".".to_owned()),
            depth: usize::try_from(fields.number_in(&["depth"], 1..=5, 1)?).unwrap_or(1),
        })
    }
}

impl Tool for List {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "list".to_owned(),
            description:
                "List a folder: folders with `/`, files with sizes; without `.git` and what \
                          `.gitignore` names. At most 500 entries."
                    .to_owned(),
            schema: json!({
                "type": "object",
                "properties": {
                    "path": {"type": "string", "description": "Default: the working folder"},
                    "depth": {"type": "integer", "description": "1 (default) to 5"}
                }
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
            Ok(Prepared {
                title: format!("List {}", context.roots.display(&touch.path)),
                locations: Vec::new(),
                preview: Vec::new(),
                grant: if touch.inside { read_grant(&touch) } else { search_grant(&touch) },
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
                Ok::<_, String>((input, base))
            };
            let (input, base) = match found.await {
                Ok(found) => found,
                Err(message) => return Ran::failed(message),
            };
            let shown = context.roots.display(&base);
            let mut walker = walker(&base, &context.policy);
            walker.max_depth(Some(input.depth)).sort_by_file_path(Path::cmp);
            search(context, move |stop| list(&walker, &base, &shown, stop)).await
        }
        .boxed()
    }
}

fn list(
    walker: &WalkBuilder,
    base: &Path,
    shown: &str,
    stop: &CancellationToken,
) -> Result<Ran, String> {
    if !base.is_dir() {
        return Err(format!("`{shown}` is a file; use `read`"));
    }
    std::fs::read_dir(base).map_err(|error| format!("`{shown}`: {error}"))?;
    let mut text = String::new();
    let mut count = 0;
    for entry in walker.build().flatten() {
        if stop.is_cancelled() {
            break;
        }
        if entry.depth() == 0 {
            continue;
        }
        if count == ENTRIES {
            text.push_str("[only the first 500 entries: list a folder in it, or use `glob`]\n");
            break;
        }
        count += 1;
        let path = entry.path().strip_prefix(base).unwrap_or(entry.path()).display();
        let line = match entry.file_type() {
            Some(kind) if kind.is_dir() => format!("{path}/\n"),
            Some(kind) if kind.is_symlink() => format!("{path} (link)\n"),
            Some(_) | None => {
                let bytes = entry.metadata().map_or(0, |meta| meta.len());
                format!("{path} ({})\n", size(bytes))
            }
        };
        text.push_str(&line);
    }
    if count == 0 {
        text = format!("`{shown}` has nothing that is not ignored\n");
    }
    let mut ran = Ran::new(Outcome::done(text.trim_end()));
    ran.show = vec![CallContent::Content(Content::text(fenced(&text)))];
    ran.output = Some(json!({"entries": count}));
    Ok(ran)
}

#[cfg(test)]
mod tests;
