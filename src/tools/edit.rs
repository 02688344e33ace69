//! The tool `edit`: exact replacements in a file, all of a call or none. Finding and replacing is in
//! `replace`; this file reads, compares with what the model saw, and writes.

mod missing;
mod replace;

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
use replace::{Replacement, apply};

pub(super) struct Edit;

struct Input {
    path: String,
    edits: Vec<Replacement>,
}

impl Input {
    fn of(input: &Value) -> Result<Self, String> {
        let fields = Fields::of(input)?;
        let path = fields.word(&["path", "file_path", "filename", "file"])?;
        let edits = match fields.list(&["edits"])? {
            Some(items) => items
                .iter()
                .enumerate()
                .map(|(at, item)| {
                    let edit = Fields::of(item).and_then(|fields| replacement(&fields));
                    edit.map_err(|error| format!("edit {}: {error}", at + 1))
                })
                .collect::<Result<Vec<_>, _>>()?,
            None => vec![replacement(&fields)?],
        };
        if edits.is_empty() {
            return Err("the field `edits` is empty: give at least one edit".to_owned());
        }
        Ok(Self { path, edits })
    }
}

fn replacement(fields: &Fields) -> Result<Replacement, String> {
    Ok(Replacement {
        old: fields.text(&["old_text", "old_string", "oldText", "old_str"])?,
        new: fields.text(&["new_text", "new_string", "newText", "new_str"])?,
        all: fields.flag(&["replace_all", "replaceAll"])?,
    })
}

/// What the file will hold.
struct Plan {
    new: String,
    change: Change,
    /// Whether the model knows all lines of the file.
    whole: bool,
}

impl Tool for Edit {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "edit".to_owned(),
            description: "Replace exact texts in a file. `old_text` must be there exactly once, unless \
                          `replace_all` is set; leave out the line numbers that `read` shows. Several edits \
                          apply in order, all or none."
                .to_owned(),
            schema: json!({
                "type": "object",
                "properties": {
                    "path": {"type": "string"},
                    "edits": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {
                                "old_text": {"type": "string"},
                                "new_text": {"type": "string"},
                                "replace_all": {"type": "boolean"}
                            },
                            "required": ["old_text", "new_text"]
                        }
                    }
                },
                "required": ["path", "edits"]
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
            let (preview, line, trouble) = match plan(&input, context, &path).await {
                Ok(plan) => (plan.change.show, Some(plan.change.line), None),
                Err(message) => (Vec::new(), None, Some(message)),
            };
            Ok(Prepared {
                title: format!("Edit {}", context.roots.display(&path)),
                locations: vec![Location { path, line }],
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
        async move { edit(input, context).await.unwrap_or_else(Ran::from) }.boxed()
    }
}

async fn plan(input: &Input, context: &Context, path: &Path) -> Result<Plan, String> {
    let shown = context.roots.display(path);
    let Some(old) = current(context, path).await? else {
        return Err(format!("`{shown}` does not exist; use `write` to create it"));
    };
    let known = context.seen.get(path);
    if known.is_some_and(|known| !known.is(&old)) {
        return Err(format!("`{shown}` {CHANGED}"));
    }
    let whole = known.is_some_and(|known| known.missing().is_none());
    let (path, edits) = (path.to_owned(), input.edits.clone());
    compute(move || {
        let new =
            apply(&old, &edits).map_err(|error| format!("`{shown}` is unchanged: {error}"))?;
        let change = compare(&path, Some(&old), &new);
        Ok(Plan { new, change, whole })
    })
    .await
}

async fn edit(input: &Value, context: &Context) -> Result<Ran, Stop> {
    let input = Input::of(input)?;
    let Touch { path, .. } = locate(context, &input.path, Access::Write).await?;
    let shown = context.roots.display(&path);
    let Plan { new, change, whole } =
        unless_cancelled(context, plan(&input, context, &path)).await?;
    let written = store(context, &path, &new).await?;
    let Change { added, removed, line, show } = change;
    let text = format!("edited `{shown}` from line {line} (+{added} −{removed} lines)");
    let mut ran = Ran::new(Outcome::done(text + written.note));
    ran.show = show;
    ran.output = Some(json!({"path": path, "added": added, "removed": removed}));
    ran.locations = Some(vec![Location { path: path.clone(), line: Some(line) }]);
    let known = if whole { Known::whole } else { Known::nothing_of };
    ran.saw = vec![(path, known(&written.text))];
    Ok(ran)
}

#[cfg(test)]
mod tests;
