//! How a tree goes: its folder, its entry in the repository, its branch, and last what is written down of
//! it, so that what was cut short can be done again. It does not decide what is worth keeping.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::git::Git;
use super::turn::turn;
use super::{Branch, Tree, WorktreeError, about, make};

use crate::ids::SessionId;

/// Removes the trees of a session that was deleted, and those of the sessions that did its tasks. A branch
/// with changes stays. What cannot be removed is logged.
pub async fn forget(folder: &Path, session: &SessionId) {
    forget_with(&Git::default(), folder, session).await;
}

pub(super) async fn forget_with(git: &Git, folder: &Path, session: &SessionId) {
    let Ok(name) = make::name_of(session) else { return };
    let mut sessions = vec![folder.join(name)];
    let mut homes = Vec::new();
    while let Some(own) = sessions.pop() {
        for home in folders_in(&own).await {
            if let Some(child) = home.file_name() {
                sessions.push(folder.join(child));
            }
            homes.push(home);
        }
    }
    // Those of tasks of tasks first: they were made of the others.
    for home in homes.into_iter().rev() {
        if let Err(error) = forget_one(git, &home).await {
            tracing::warn!(folder = %home.display(), %error, "the tree of a deleted task stays");
        }
    }
}

async fn forget_one(git: &Git, home: &Path) -> Result<(), WorktreeError> {
    match about::read(home).await? {
        Some(about) => {
            let tree = Tree::at(git, home.to_owned(), about).ready().await?;
            remove(&tree, Branch::KeepIfChanged).await
        }
        None => remove_home(home).await,
    }
}

async fn folders_in(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(mut entries) = tokio::fs::read_dir(folder).await else { return found };
    while let Ok(Some(entry)) = entries.next_entry().await {
        if entry.file_type().await.is_ok_and(|kind| kind.is_dir()) {
            found.push(entry.path());
        }
    }
    found
}

/// See [`Tree::remove`].
pub(super) async fn remove(tree: &Tree, branch: Branch) -> Result<(), WorktreeError> {
    if tree.look_for_repository().is_err() {
        return remove_home(&tree.home).await;
    }
    let reference = tree.reference();
    if branch != Branch::Drop {
        match tree.seal().await {
            Ok(()) | Err(WorktreeError::Gone) => {}
            Err(error) => return Err(error),
        }
    }
    worktree(tree).await?;
    let tip = tree.bare(None).resolve(&reference).await?;
    let stays = match branch {
        Branch::Keep => true,
        Branch::KeepIfChanged => tip.as_ref().is_some_and(|tip| *tip != tree.about.base),
        Branch::Drop => false,
    };
    if stays {
        let (task, branch) = (&tree.about.task, &tree.about.branch);
        tracing::info!(%task, %branch, "the tree of a task was removed and its branch stays");
    } else if tip.is_some() {
        drop_branch(tree).await?;
    }
    remove_home(&tree.home).await
}

/// Removes the working tree and its entry in the repository.
pub(super) async fn worktree(tree: &Tree) -> Result<(), WorktreeError> {
    remove_folder(&tree.folder).await?;
    let _turn = turn(tree.all()).await?;
    let call = tree.bare_call("worktree").args(&["remove", "--force", "--force"]);
    let answer = call.args(&[tree.folder.as_os_str()]).run().await?;
    // Where git knows of no such tree there is nothing to remove.
    let entry = tree.about.entry.as_deref();
    if answer.code != Some(0) && entry.is_some_and(Path::is_dir) {
        return Err(answer.failure());
    }
    Ok(())
}

/// Git refuses where the user has the branch checked out; then it is the user's.
pub(super) async fn drop_branch(tree: &Tree) -> Result<(), WorktreeError> {
    let branch = tree.about.branch.as_str();
    let arguments = ["--quiet", "--delete", "--force", "--", branch];
    let _turn = turn(tree.all()).await?;
    let answer = tree.bare_call("branch").args(&arguments).run().await?;
    if answer.code != Some(0) {
        let why = answer.failure();
        tracing::warn!(%branch, %why, "the branch of a task stays");
    }
    Ok(())
}

/// With the folder of the session, where no other is in it.
async fn remove_home(home: &Path) -> Result<(), WorktreeError> {
    remove_folder(home).await?;
    if let Some(session) = home.parent() {
        drop(tokio::fs::remove_dir(session).await);
    }
    Ok(())
}

async fn remove_folder(path: &Path) -> Result<(), WorktreeError> {
    let owned = path.to_owned();
    let removed = tokio::task::spawn_blocking(move || remove_all(&owned)).await;
    removed.map_err(io::Error::other).flatten().map_err(|error| {
        WorktreeError::Failed(format!("the folder `{}` cannot be removed: {error}", path.display()))
    })
}

/// Build tools write folders that nothing can be removed from.
fn remove_all(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(_) => {
            make_writable(path);
            fs::remove_dir_all(path)
        }
        Ok(()) => Ok(()),
    }
}

fn make_writable(path: &Path) {
    let Ok(about) = fs::symlink_metadata(path) else { return };
    if about.is_symlink() {
        return;
    }
    // On other systems what is in a folder goes by the folder alone.
    if about.is_dir() || cfg!(windows) {
        #[cfg(unix)]
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        #[cfg(windows)]
        let permissions = {
            let mut permissions = about.permissions();
            permissions.set_readonly(false);
            permissions
        };
        // An error comes again when it is removed.
        drop(fs::set_permissions(path, permissions));
    }
    if about.is_dir()
        && let Ok(entries) = fs::read_dir(path)
    {
        for entry in entries.flatten() {
            make_writable(&entry.path());
        }
    }
}
