//! The first words to a child: its task, or that it is to go on with it.

use std::path::{Path, PathBuf};

use crate::transcript::Content;

/// For a child that was interrupted.
pub(super) const GO_ON: &str = "\
You were interrupted: the program that you run in ended before the task was done, and runs again now. All \
that you know is above. A call that was cut off says so; nobody knows how much of it was done, so look \
before you do it again. Commands that still ran were ended, files may have been changed since, and a message \
that was just being written is lost. Go on with the task; your last message is still its report.";

/// The task, as text.
pub(super) fn first(goal: &str, context: Option<&str>) -> String {
    match context.map(str::trim).filter(|context| !context.is_empty()) {
        Some(context) => format!("{goal}\n\n# Context\n{context}"),
        None => goal.to_owned(),
    }
}

/// The task with its pictures, each behind its path.
pub(super) fn with_pictures(
    first: String,
    paths: &[PathBuf],
    pictures: Vec<Content>,
) -> Vec<Content> {
    let mut content = vec![Content::text(first)];
    for (path, picture) in paths.iter().zip(pictures) {
        content.push(Content::text(format!("The picture `{}`:", path.display())));
        content.push(picture);
    }
    content
}

/// For a child whose conversation took place elsewhere until now.
pub(super) fn moved(cwd: &Path) -> Content {
    Content::text(format!(
        "What is above took place in another folder. You work in `{}` from now on: what was changed there before may \
         not be here, so look before you rely on it.",
        cwd.display()
    ))
}
