//! The tool `write`: a file's whole content. It replaces nothing that the model has not seen.

use std::path::Path;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::diff::{Change, compare};
use super::files::{CHANGED, Stop, compute, current, locate, store, unless_cancelled, write_grant};
use super::input::Fields;
use super::{Access, Context, Effect, Prepared, Ran, Tool, Touch};
use crate::event::{Location, ToolKind};
use crate::known::Known;
use crate::model::ToolSpec;
use crate::transcript::Outcome;

pub(super) struct Write;

struct Input {
    path: String,
    content: String,
}

impl Input {
    fn of(input: &Value) -> Result<Self, String> {
        let fields = Fields::of(input)?;
        Ok(Self {
            path: fields.word(&["path", "file_path", "filename", "file"])?,
            content: fields.text(&["content", "contents", "text", "file_text"])?,
        })
    }
}

/// What there is and what shall be there.
struct Plan {
    old: Option<String>,
    new: String,
    change: Change,
}

impl Tool for Write {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "write".to_owned(),
            description:
                "Create a file, with its folders, or replace its whole content. An existing file \
                          must have been read before. To change a part use `edit`."
                    .to_owned(),
            schema: json!({
                "type": "object",
                "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
                "required": ["path", "content"]
            }),
        }
    }

    fn effect(&self) -> Effect {
        Effect::Write
    }

    fn kind(&self) -> ToolKind {
        ToolKind::Edit
    }

    fn prepare<'a>(
        &'a self,
        input: &'a Value,
        context: &'a Context,
    ) -> BoxFuture<'a, Result<Prepared, String>> {
        async move {
            let input = Input::of(input)?;
            let touch = locate(context, &input.path, Access::Write).await?;
            let path = touch.path.clone();
            let (preview, trouble) = match plan(&input, context, &path).await {
                Ok(plan) => (plan.change.show, None),
                Err(message) => (Vec::new(), Some(message)),
            };
            Ok(Prepared {
                title: format!("Write {}", context.roots.display(&path)),
                locations: vec![Location { path, line: None }],
                preview,
                grant: write_grant(&touch),
                touches: vec![touch],
                command: None,
                trouble,
            })
        }
        .boxed()
    }

    fn run<'a>(&'a self, input: &'a Value, context: &'a Context) -> BoxFuture<'a, Ran> {
        async move { write(input, context).await.unwrap_or_else(Ran::from) }.boxed()
    }
}

async fn plan(input: &Input, context: &Context, path: &Path) -> Result<Plan, String> {
    let old = current(context, path).await?;
    let new = match &old {
        Some(old) => like(old, &input.content),
        None => input.content.clone(),
    };
    if let Some(old) = old.as_deref().filter(|old| !old.is_empty()) {
        let shown = context.roots.display(path);
        let Some(known) = context.seen.get(path) else {
            return Err(format!("`{shown}` exists: read it first, or change it with `edit`"));
        };
        if !known.is(old) {
            return Err(format!("`{shown}` {CHANGED}"));
        }
        if let Some((first, last)) = known.missing() {
            return Err(format!(
                "you know only a part of `{shown}`: read the whole file first, lines {first}–{last} are \
                 missing, or change it with `edit`"
            ));
        }
    }
    let path = path.to_owned();
    compute(move || {
        let change = compare(&path, old.as_deref(), &new);
        Ok(Plan { old, new, change })
    })
    .await
}

async fn write(input: &Value, context: &Context) -> Result<Ran, Stop> {
    let input = Input::of(input)?;
    let Touch { path, .. } = locate(context, &input.path, Access::Write).await?;
    let shown = context.roots.display(&path);
    let Plan { old, new, change } = unless_cancelled(context, plan(&input, context, &path)).await?;
    if old.as_deref() == Some(new.as_str()) {
        return Ok(Ran::new(Outcome::done(format!("`{shown}` has this content already"))));
    }
    let written = store(context, &path, &new).await?;
    let Change { added, removed, line, show } = change;
    let text = match old {
        None => format!("created `{shown}` (+{added} lines)"),
        Some(_) => format!("wrote `{shown}` (+{added} −{removed} lines)"),
    };
    let mut ran = Ran::new(Outcome::done(text + written.note));
    ran.show = show;
    ran.output = Some(json!({"path": path, "added": added, "removed": removed}));
    ran.locations = Some(vec![Location { path: path.clone(), line: Some(line) }]);
    ran.saw = vec![(path, Known::whole(&written.text))];
    Ok(ran)
}

/// `content` with the byte order mark and the line endings of the file that it replaces.
fn like(old: &str, content: &str) -> String {
    let breaks = old.matches('\n').count();
    let windows = breaks > 0 && old.matches("\r\n").count() == breaks;
    let content = if windows && !content.contains("\r\n") {
        content.replace('\n', "\r\n")
    } else {
        content.to_owned()
    };
    if old.starts_with('\u{feff}') && !content.starts_with('\u{feff}') {
        return format!("\u{feff}{content}");
    }
    content
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
