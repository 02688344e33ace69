//! The pictures that a task sees with its goal: found like any file that a call reads, so that the
//! permission rule judges them, and looked at before the task is started.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::Stop;
use super::input::Wanted;
use crate::permission::Grant;
use crate::tasks::{NewTask, TaskError};
use crate::tools::files::{locate, read_grant, size};
use crate::tools::pictures::MOST_PICTURES;
use crate::tools::read::{IMAGE_LIMIT, Sniffed, sniff};
use crate::tools::{Access, Context, Touch};

/// What a call that starts these tasks touches.
pub(super) async fn touches(context: &Context, wanted: &[Wanted]) -> Result<Vec<Touch>, String> {
    let mut touches: Vec<Touch> = Vec::new();
    for wanted in wanted {
        if let Some(first_too_many) = wanted.images.get(MOST_PICTURES) {
            let why = format!("a task sees at most {MOST_PICTURES} images");
            return Err(refused(first_too_many, why).to_string());
        }
        for image in &wanted.images {
            let touch = locate(context, image, Access::Read).await?;
            if !touches.contains(&touch) {
                touches.push(touch);
            }
        }
    }
    Ok(touches)
}

/// What "always" covers: the folders outside of the project that pictures come from.
pub(super) fn grant(touches: &[Touch], otherwise: Grant) -> Grant {
    let outside: Vec<&Touch> = touches.iter().filter(|touch| !touch.inside).collect();
    match outside.as_slice() {
        [] => otherwise,
        [first, others @ ..] => {
            let first = read_grant(first);
            if others.iter().all(|touch| read_grant(touch) == first) {
                return first;
            }
            let folders: BTreeSet<String> = outside
                .iter()
                .map(|touch| touch.path.parent().unwrap_or(&touch.path).display().to_string())
                .collect();
            let folders: Vec<String> = folders.into_iter().collect();
            Grant {
                key: format!("outside read {}", folders.join("\n")),
                label: format!("reading files in `{}`", folders.join("`, `")),
            }
        }
    }
}

/// The task with its pictures, which are there and are pictures.
pub(super) async fn with_images(context: &Context, wanted: Wanted) -> Result<NewTask, Stop> {
    let mut task = wanted.task;
    for image in &wanted.images {
        task.images.push(look_at(context, image).await?);
    }
    Ok(task)
}

async fn look_at(context: &Context, image: &str) -> Result<PathBuf, Stop> {
    let Touch { path, .. } = locate(context, image, Access::Read).await?;
    let why = match sniff(path.clone()).await? {
        Sniffed::Image { bytes, .. } if bytes <= IMAGE_LIMIT => return Ok(path),
        Sniffed::Image { bytes, .. } => format!(
            "it has {}, the limit is {}; make a smaller copy",
            size(bytes),
            size(IMAGE_LIMIT)
        ),
        Sniffed::Absent => "it does not exist; use `glob` to find it".to_owned(),
        Sniffed::Directory => "it is a directory; name the pictures in it".to_owned(),
        Sniffed::Special | Sniffed::Text | Sniffed::Binary { .. } => {
            "it is no picture (PNG, JPEG, GIF or WebP); name other files in `goal` or `context`"
                .to_owned()
        }
    };
    Err(refused(image, why).into())
}

fn refused(image: &str, why: String) -> TaskError {
    TaskError::Image { name: image.to_owned(), why }
}
