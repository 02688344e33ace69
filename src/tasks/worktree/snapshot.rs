//! The state of a working tree as a tree object, and as a commit on the branch of a task. It leaves the
//! index and the files of the working tree as they are.

use std::path::{Path, PathBuf};

use super::repository::{Bare, Site};
use super::scratch::Scratch;
use super::{Tree, WorktreeError};

/// What happens with a file that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    Fails,
    /// It stays as it is in the index. In a user's tree such files may have been there for long.
    IsLeftOut,
}

/// All files of the working tree that are not ignored, beginning with what the index has. The index is the
/// site's own, and is right for the working tree afterwards.
pub(super) async fn take(site: &Site<'_>, unreadable: Unreadable) -> Result<String, WorktreeError> {
    // Of what git was told not to look at, too, whatever has changed: in a sparse checkout, with
    // `--skip-worktree` and with `--assume-unchanged`. Files that differ make it end with 1.
    drop(site.call("update-index").args(&["-q", "--really-refresh"]).run().await?);
    let arguments: &[&str] = match unreadable {
        Unreadable::Fails => &["-A", "--sparse"],
        Unreadable::IsLeftOut => &["-A", "--sparse", "--ignore-errors"],
    };
    let call = site.call("add").setting("core.sparseCheckout=true").args(arguments);
    let added = call.run().await?;
    match (added.code, unreadable) {
        (Some(0), _) | (Some(1), Unreadable::IsLeftOut) => {}
        _ => return Err(added.failure()),
    }
    site.call("write-tree").line().await
}

/// Copies an index with the time of its last change: by that git knows which files it has to look into.
pub(super) async fn copy_index(from: &Path, to: &Path) -> std::io::Result<()> {
    let (from, to) = (from.to_owned(), to.to_owned());
    let copied = tokio::task::spawn_blocking(move || {
        // Before: where it is just being replaced, git looks into too many files rather than into too few.
        let changed = std::fs::metadata(&from)?.modified()?;
        std::fs::copy(&from, &to)?;
        std::fs::File::options().write(true).open(&to)?.set_modified(changed)
    });
    copied.await.map_err(std::io::Error::other)?
}

/// The same of a task's tree. Where its folder is gone, what the branch has.
pub(super) async fn of_task(
    tree: &Tree,
    scratch: &Scratch,
    objects: Option<&Path>,
    index: PathBuf,
) -> Result<String, WorktreeError> {
    let bare = tree.bare(objects);
    let branch = bare.resolve(&format!("{}^{{tree}}", tree.reference())).await?;
    if !tree.folder.is_dir() {
        return branch.ok_or(WorktreeError::Gone);
    }
    let site = Site {
        git: &tree.git,
        repository: &tree.about.repository,
        shared: &tree.about.repository,
        tree: &tree.folder,
        index,
        objects,
    };
    // The tree's own index knows what has not changed, and what was added although it is ignored.
    if let Some(entry) = &tree.about.entry
        && copy_index(&entry.join("index"), &site.index).await.is_ok()
        && let Ok(object) = take(&site, Unreadable::Fails).await
    {
        return Ok(object);
    }
    // It may be missing or broken.
    let new = Site { index: scratch.file("new-index"), ..site.clone() };
    let start = branch.unwrap_or_else(|| tree.about.base.clone());
    new.call("read-tree").args(&[&start]).done().await?;
    let object = take(&new, Unreadable::Fails).await?;
    tokio::fs::rename(&new.index, &site.index).await.map_err(|error| {
        WorktreeError::Failed(format!("the index of a task's tree cannot be written: {error}"))
    })?;
    Ok(object)
}

/// See [`Tree::seal`].
pub(super) async fn seal(tree: &Tree) -> Result<(), WorktreeError> {
    tree.look_for_repository()?;
    let bare = tree.bare(None);
    let reference = tree.reference();
    let tip = bare.resolve(&format!("{reference}^{{commit}}")).await?;
    if !tree.folder.is_dir() {
        return tip.map(|_| ()).ok_or(WorktreeError::Gone);
    }
    let scratch = Scratch::new(tree.all())?;
    let index = scratch.file("index");
    let object = of_task(tree, &scratch, None, index.clone()).await?;

    let head = head(tree).await?;
    let mut parent = tip.clone().unwrap_or_else(|| tree.about.base.clone());
    // The task may have left its branch and committed elsewhere.
    if let Some(id) = head.id
        && id != parent
        && is_ancestor(&bare, &parent, &id).await?
    {
        parent = id;
    }
    let new = if bare.must(&format!("{parent}^{{tree}}")).await? == object {
        parent
    } else {
        let message = format!("{}: what was not committed", tree.about.task);
        bare.commit(&object, &parent, &message).await?
    };
    if tip.as_ref() != Some(&new) {
        // An empty value says that there must be none.
        let old = tip.unwrap_or_default();
        bare.call("update-ref").args(&["-m", "sealed", &reference, &new, &old]).done().await?;
    }
    // What is in the branch now is not staged any more, nor the reverse of it.
    if let Some(entry) = &tree.about.entry
        && head.branch.as_deref() == Some(reference.as_str())
        && let Err(error) = put_index(&index, entry).await
    {
        tracing::debug!(%error, "the index of a task's tree could not be put in its place");
    }
    Ok(())
}

async fn put_index(index: &Path, entry: &Path) -> std::io::Result<()> {
    let new = entry.join("index.new");
    copy_index(index, &new).await?;
    tokio::fs::rename(new, entry.join("index")).await
}

struct Head {
    id: Option<String>,
    /// With `refs/heads/`, where it is on one.
    branch: Option<String>,
}

/// Where the tree itself stands.
async fn head(tree: &Tree) -> Result<Head, WorktreeError> {
    let nowhere = Head { id: None, branch: None };
    let Some(entry) = tree.about.entry.as_deref().filter(|entry| entry.is_dir()) else {
        return Ok(nowhere);
    };
    let call = |command| tree.git.call(&tree.about.repository, command).env("GIT_DIR", entry);
    let id = call("rev-parse").args(&["--verify", "--quiet", "HEAD^{commit}"]).run().await?;
    let branch = call("symbolic-ref").args(&["--quiet", "HEAD"]).run().await?;
    let text = |answer: super::git::Answer| {
        let text = String::from_utf8_lossy(&answer.bytes).trim().to_owned();
        (answer.code == Some(0)).then_some(text)
    };
    Ok(Head { id: text(id), branch: text(branch) })
}

async fn is_ancestor(bare: &Bare<'_>, first: &str, second: &str) -> Result<bool, WorktreeError> {
    let answer = bare.call("merge-base").args(&["--is-ancestor", first, second]).run().await?;
    match answer.code {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => Err(answer.failure()),
    }
}
