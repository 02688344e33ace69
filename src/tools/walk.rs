//! Going through folders: what is ignored, what a glob pattern means, and work on a thread that ends
//! with its call. It reads the disk, not the editor.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use globset::{GlobBuilder, GlobMatcher};
use ignore::WalkBuilder;
use tokio_util::sync::CancellationToken;

use super::files::locate;
use super::permission::Policy;
use super::{Access, Context, Ran, Touch};
use crate::transcript::Outcome;

/// A walk below `base` that leaves out `.git`, what `.gitignore` files name and what is denied. Links are
/// not followed.
pub(super) fn walker(base: &Path, policy: &Arc<Policy>) -> WalkBuilder {
    let policy = policy.clone();
    let mut walker = WalkBuilder::new(base);
    walker.hidden(false).require_git(false).follow_links(false).filter_entry(move |entry| {
        entry.depth() == 0 || (entry.file_name() != ".git" && !policy.names(entry.path()))
    });
    walker
}

/// A glob pattern for the files below a folder.
pub(super) struct Pattern {
    matcher: GlobMatcher,
    /// The pattern names no folder: it is for the file's name, wherever the file is.
    name_only: bool,
}

impl Pattern {
    /// `base` is the folder that the pattern starts from.
    pub(super) fn new(pattern: &str, base: &Path) -> Result<Self, String> {
        let below = if Path::new(pattern).is_absolute() {
            let base = base.to_string_lossy();
            let below = pattern.strip_prefix(base.as_ref()).and_then(|rest| rest.strip_prefix('/'));
            below.ok_or_else(|| {
                format!("the pattern `{pattern}` is not below `{base}`: give its folder as `path`")
            })?
        } else {
            pattern.trim_start_matches("./")
        };
        let glob = GlobBuilder::new(below)
            .literal_separator(true)
            .build()
            .map_err(|error| format!("the pattern `{pattern}` is not valid: {}", error.kind()))?;
        Ok(Self { matcher: glob.compile_matcher(), name_only: !below.contains('/') })
    }

    pub(super) fn matches(&self, base: &Path, path: &Path) -> bool {
        let below = path.strip_prefix(base).unwrap_or(path);
        match path.file_name() {
            // `base` itself may be the file that is looked at.
            Some(name) if self.name_only || below.as_os_str().is_empty() => {
                self.matcher.is_match(name)
            }
            Some(_) | None => self.matcher.is_match(below),
        }
    }
}

/// The folder, or file, to search in. The error is for the model.
pub(super) async fn base(context: &Context, path: &str) -> Result<PathBuf, String> {
    let Touch { path: base, .. } = locate(context, path, Access::Read).await?;
    match tokio::fs::metadata(&base).await {
        Ok(_) => Ok(base),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(format!("`{}` does not exist", context.roots.display(&base)))
        }
        Err(error) => Err(format!("`{}`: {error}", context.roots.display(&base))),
    }
}

/// Does `work` on a thread for such. It is told to stop, by its token, when the call is cancelled or
/// its future dropped.
pub(super) async fn search<F>(context: &Context, work: F) -> Ran
where
    F: FnOnce(&CancellationToken) -> Result<Ran, String> + Send + 'static,
{
    let stop = context.cancel.child_token();
    let _stop_on_drop = stop.clone().drop_guard();
    let work = tokio::task::spawn_blocking(move || work(&stop));
    tokio::select! {
        // What was found by then is of no use.
        biased;
        () = context.cancel.cancelled() => {
            Ran::new(Outcome::Cancelled { reason: "the turn was cancelled".to_owned() })
        }
        result = work => match result {
            Ok(result) => result.unwrap_or_else(Ran::failed),
            Err(error) => Ran::failed(format!("the search broke off: {error}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;
    use std::path::Path;

    #[test]
    fn patterns() {
        let base = Path::new("/base");
        let matches = |pattern: &str, path: &str| {
            Pattern::new(pattern, base).is_ok_and(|pattern| pattern.matches(base, &base.join(path)))
        };
        assert!(matches("*.rs", "a.rs") && matches("*.rs", "x/y/a.rs"));
        assert!(matches("src/*.rs", "src/a.rs") && !matches("src/*.rs", "src/b/a.rs"));
        assert!(matches("**/*.{rs,md}", "a/b.md") && matches("./src/**", "src/a/b"));
        assert!(matches("/base/src/*", "src/a") && !matches("src/*", "other/a"));
        assert_eq!(
            Pattern::new("/else/*", base).err().unwrap(),
            "the pattern `/else/*` is not below `/base`: give its folder as `path`"
        );
        assert_eq!(
            Pattern::new("[a", base).err().unwrap(),
            "the pattern `[a` is not valid: unclosed character class; missing ']'"
        );
    }
}
