//! What the file tools have in common: finding a path, reading its text with a bound, comparing it with
//! what the model saw, and the grants of paths. It changes nothing on disk by itself.

use std::path::Path;
use std::time::Duration;

use super::host::HostError;
use super::roots::resolve;
use super::{Access, Context, Ran, Touch};
use crate::permission::Grant;
use crate::transcript::Outcome;

/// The largest file, in bytes, that the tools take as text.
pub(super) const TEXT_LIMIT: u64 = 10 * 1024 * 1024;

/// How a failure reads that is due to content which the model does not know.
pub(super) const CHANGED: &str =
    "changed since you read it, by a task, the user or another program; read it again";

/// How long a write that has begun is waited for once the call is cancelled.
const WRITE_GRACE: Duration = Duration::from_secs(1);

/// Why a call ends without its work done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// The message is for the model.
    Failed(String),
    Cancelled(&'static str),
}

impl From<String> for Stop {
    fn from(message: String) -> Self {
        Self::Failed(message)
    }
}

impl From<Stop> for Ran {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Failed(message) => Self::failed(message),
            Stop::Cancelled(reason) => Self::new(Outcome::Cancelled { reason: reason.to_owned() }),
        }
    }
}

/// `work`, unless the call is cancelled before it is done. The work changes nothing.
pub(super) async fn unless_cancelled<T>(
    context: &Context,
    work: impl Future<Output = Result<T, String>>,
) -> Result<T, Stop> {
    tokio::select! {
        // A cancelled call has no use for what it found.
        biased;
        () = context.cancel.cancelled() => Err(Stop::Cancelled("the turn was cancelled")),
        result = work => result.map_err(Stop::Failed),
    }
}

/// Computes on a thread where that may take its time.
pub(super) async fn compute<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(format!("the call broke off: {error}")),
    }
}

/// What a call touches that names `path`. It follows links on the disk, so it is done aside. Once the
/// call was judged it must be what it was judged for: while somebody was asked, a folder may have become
/// a link to elsewhere. The error is for the model.
pub(super) async fn locate(context: &Context, path: &str, access: Access) -> Result<Touch, String> {
    let named = context.roots.absolute(path);
    let asked = named.clone();
    let path = compute(move || Ok(resolve(&asked))).await?;
    let inside = context.roots.contain(&path);
    let touch = Touch { named, path, access, inside };
    match &context.permitted {
        Some(permitted) if !permitted.contains(&touch) => {
            Err("the path leads elsewhere now than when the call was permitted, so nothing was done; look \
                 where it leads, then call again"
                .to_owned())
        }
        Some(_) | None => Ok(touch),
    }
}

/// What "always" covers for a call that reads a file.
pub(super) fn read_grant(touch: &Touch) -> Grant {
    if touch.inside {
        return Grant { key: "read".to_owned(), label: "reading files of this project".to_owned() };
    }
    let folder = touch.path.parent().unwrap_or(&touch.path).display();
    Grant { key: format!("outside read {folder}"), label: format!("reading files in `{folder}`") }
}

/// Whether it changes git's own files: a hook or a setting there runs programs later, so it is no
/// ordinary edit of the project.
pub(super) fn changes_git(touch: &Touch) -> bool {
    touch.access == Access::Write
        && touch
            .path
            .components()
            .any(|component| component.as_os_str().eq_ignore_ascii_case(".git"))
}

/// What "always" covers for a call that changes a file.
pub(super) fn write_grant(touch: &Touch) -> Grant {
    if changes_git(touch) {
        return Grant { key: "edit .git".to_owned(), label: "edits of git's own files".to_owned() };
    }
    if touch.inside {
        return Grant {
            key: "edit".to_owned(),
            label: "edits of files in this project".to_owned(),
        };
    }
    let folder = touch.path.parent().unwrap_or(&touch.path).display();
    Grant { key: format!("outside write {folder}"), label: format!("edits of files in `{folder}`") }
}

/// What "always" covers for a call that looks through a whole folder.
pub(super) fn search_grant(touch: &Touch) -> Grant {
    if touch.inside {
        return Grant { key: "read".to_owned(), label: "reading files of this project".to_owned() };
    }
    let folder = touch.path.display();
    Grant {
        key: format!("outside search {folder}"),
        label: format!("searching in `{folder}` and the folders in it"),
    }
}

/// The text of a file as the user sees it; `None` if there is none. The error is for the model.
pub(super) async fn current(context: &Context, path: &Path) -> Result<Option<String>, String> {
    // Links of a path are resolved as far as they lead somewhere.
    if tokio::fs::symlink_metadata(path).await.is_ok_and(|meta| meta.is_symlink()) {
        return Err(format!(
            "`{}` is a link to a file that does not exist",
            context.roots.display(path)
        ));
    }
    if let Ok(meta) = tokio::fs::metadata(path).await
        && meta.is_file()
        && meta.len() > TEXT_LIMIT
    {
        return Err(too_large(context, path, meta.len()));
    }
    let text = match context.host.read_text(path).await {
        Ok(text) => text,
        Err(HostError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(say(context, path, &error)),
    };
    match u64::try_from(text.len()) {
        Ok(size) if size <= TEXT_LIMIT => Ok(Some(text)),
        size => Err(too_large(context, path, size.unwrap_or(u64::MAX))),
    }
}

/// What a write left behind.
pub(super) struct Written {
    /// What is there, as far as it is what was written: what somebody made of it the model must read.
    pub(super) text: String,
    /// What the model should know of it, a sentence to append.
    pub(super) note: &'static str,
}

/// Writes `text` and looks at what is there afterwards: an editor may format a file as it saves it.
pub(super) async fn store(context: &Context, path: &Path, text: &str) -> Result<Written, Stop> {
    let too_late = async {
        context.cancel.cancelled().await;
        tokio::time::sleep(WRITE_GRACE).await;
    };
    tokio::select! {
        biased;
        result = context.host.write_text(path, text) => {
            result.map_err(|error| say(context, path, &error))?;
        }
        () = too_late => {
            return Err(Stop::Cancelled("the turn was cancelled while the file was being written; read it"));
        }
    }
    let read = async { Ok(context.host.read_text(path).await.ok()) };
    let now =
        unless_cancelled(context, read).await.ok().flatten().unwrap_or_else(|| text.to_owned());
    if plain(&now) == plain(text) {
        return Ok(Written { text: now, note: "" });
    }
    let note = "\nThe editor changed the text after it saved it, to format it for example: read the file \
                again before you change it again.";
    Ok(Written { text: text.to_owned(), note })
}

/// A text without what editors adjust silently: line endings, a byte order mark, the last line's end.
fn plain(text: &str) -> String {
    text.trim_start_matches('\u{feff}').replace("\r\n", "\n").trim_end().to_owned()
}

/// The error with the path as the user reads it.
pub(super) fn say(context: &Context, path: &Path, error: &HostError) -> String {
    let shown = context.roots.display(path);
    match error {
        HostError::NotFound { .. } => format!("`{shown}` does not exist"),
        HostError::IsDirectory { .. } => {
            format!("`{shown}` is a directory; use `list` to look into it")
        }
        HostError::Denied { .. } => format!("no permission to access `{shown}`"),
        HostError::NotText { .. } => format!(
            "`{shown}` is not UTF-8 text; use `terminal` with a program that understands the file"
        ),
        HostError::Io { message, .. } => format!("`{shown}`: {message}"),
        HostError::Start { .. } => error.to_string(),
    }
}

/// A number of bytes for a reader.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = bytes.saturating_mul(10) / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS.get(unit).unwrap_or(&"B"))
}

/// `text` in a Markdown fence that it cannot close.
pub fn fenced(text: &str) -> String {
    let longest = text.split(|char| char != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}\n{}\n{fence}", text.trim_end_matches('\n'))
}

/// At most `limit` characters of `line`, with a mark where it was cut.
pub(super) fn cut(line: &str, limit: usize) -> String {
    match line.char_indices().nth(limit) {
        None => line.to_owned(),
        Some((at, _)) => format!("{}…", line.get(..at).unwrap_or(line)),
    }
}

fn too_large(context: &Context, path: &Path, bytes: u64) -> String {
    format!(
        "`{}` is too large ({}; the limit is {}): use `grep` to find the place, or `terminal`",
        context.roots.display(path),
        size(bytes),
        size(TEXT_LIMIT)
    )
}
