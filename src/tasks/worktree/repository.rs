//! The repository of a folder, as git finds it, and git on one of its working trees with an index and a
//! place for objects that are not the user's. It changes nothing by itself.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::WorktreeError;
use super::git::{Call, Git};

/// A user's repository and working tree.
#[derive(Debug, Clone)]
pub(super) struct Repository {
    /// With the hooks of its configuration switched off.
    pub(super) git: Git,
    /// The working tree, links resolved.
    pub(super) top: PathBuf,
    /// From `top` to the folder that was asked for; empty or with `/` at its end.
    pub(super) prefix: PathBuf,
    /// What belongs to this working tree.
    pub(super) own: PathBuf,
    /// What all its worktrees share.
    pub(super) shared: PathBuf,
}

impl Repository {
    /// The one that `folder` is in.
    pub(super) async fn find(git: &Git, folder: &Path) -> Result<Self, WorktreeError> {
        let ask =
            async |arguments: &[&str]| git.call(folder, "rev-parse").args(arguments).line().await;
        // One question for each: a folder's name may have any letter, also a line break.
        let top = PathBuf::from(ask(&["--show-toplevel"]).await?);
        let prefix = PathBuf::from(ask(&["--show-prefix"]).await?);
        let own = PathBuf::from(ask(&["--absolute-git-dir"]).await?);
        let shared = PathBuf::from(ask(&["--path-format=absolute", "--git-common-dir"]).await?);
        let git = without_hooks(git, folder).await?;
        Ok(Self { git, top, prefix, own, shared })
    }

    /// The last commit.
    pub(super) async fn head(&self) -> Result<String, WorktreeError> {
        let call = self.git.call(&self.top, "rev-parse");
        let answer = call.args(&["--verify", "--quiet", "HEAD^{commit}"]).run().await?;
        match (answer.code, String::from_utf8(answer.bytes.clone())) {
            (Some(0), Ok(id)) => Ok(id.trim().to_owned()),
            (Some(1), _) => Err(WorktreeError::NoCommit),
            _ => Err(answer.failure()),
        }
    }

    /// How many files have changes in no commit.
    pub(super) async fn uncommitted(&self) -> Result<usize, WorktreeError> {
        let call = self.git.call(&self.top, "status").env("GIT_OPTIONAL_LOCKS", "0");
        let arguments = [
            "--porcelain",
            "-z",
            "--no-renames",
            "--untracked-files=all",
            "--ignore-submodules=dirty",
        ];
        let list = call.args(&arguments).done().await?;
        Ok(list.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()).count())
    }
}

/// Newer git has hooks in the configuration, too, each with a name of its own.
pub(super) async fn without_hooks(git: &Git, folder: &Path) -> Result<Git, WorktreeError> {
    let call = git.call(folder, "config");
    let answer =
        call.args(&["-z", "--name-only", "--get-regexp", r"^hook\..*\.command$"]).run().await?;
    let mut settings = Vec::new();
    // Without one it ends with 1.
    for key in answer.bytes.split(|byte| *byte == 0).filter(|key| !key.is_empty()) {
        let key = String::from_utf8_lossy(key);
        let Some(hook) = key.strip_suffix(".command") else { continue };
        if hook.contains('=') {
            return Err(WorktreeError::Failed(format!(
                "the hook `{hook}` of the git configuration cannot be switched off, since its name has a `=`"
            )));
        }
        settings.push(format!("{hook}.enabled=false"));
    }
    Ok(git.with_settings(settings))
}

/// git on a working tree, which it is told of rather than finds: what lies in the tree as `.git` is not
/// looked at.
#[derive(Debug, Clone)]
pub(super) struct Site<'a> {
    pub(super) git: &'a Git,
    /// The repository.
    pub(super) repository: &'a Path,
    /// Its folder of objects is in here.
    pub(super) shared: &'a Path,
    pub(super) tree: &'a Path,
    /// Of this work alone.
    pub(super) index: PathBuf,
    /// Where new objects go; the repository's own place otherwise.
    pub(super) objects: Option<&'a Path>,
}

impl Site<'_> {
    pub(super) fn call(&self, command: &'static str) -> Call<'_> {
        let call = self
            .git
            .call(self.tree, command)
            .env("GIT_DIR", self.repository)
            .env("GIT_WORK_TREE", self.tree)
            .env("GIT_INDEX_FILE", &self.index);
        with_objects(call, self.shared, self.objects)
    }
}

/// git on a repository, without a working tree.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bare<'a> {
    pub(super) git: &'a Git,
    pub(super) shared: &'a Path,
    pub(super) objects: Option<&'a Path>,
}

impl Bare<'_> {
    pub(super) fn call(&self, command: &'static str) -> Call<'_> {
        let call = self.git.call(self.shared, command).env("GIT_DIR", self.shared);
        with_objects(call, self.shared, self.objects)
    }

    /// The object's name, if there is one by this name.
    pub(super) async fn resolve(&self, name: &str) -> Result<Option<String>, WorktreeError> {
        let answer = self.call("rev-parse").args(&["--verify", "--quiet", name]).run().await?;
        match answer.code {
            Some(0) => Ok(Some(String::from_utf8_lossy(&answer.bytes).trim().to_owned())),
            Some(1) => Ok(None),
            _ => Err(answer.failure()),
        }
    }

    /// The same, where there must be one.
    pub(super) async fn must(&self, name: &str) -> Result<String, WorktreeError> {
        self.call("rev-parse").args(&["--verify", name]).line().await
    }

    pub(super) async fn commit(
        &self,
        tree: &str,
        parent: &str,
        message: &str,
    ) -> Result<String, WorktreeError> {
        self.call("commit-tree").args(&["-p", parent, "-m", message, tree]).line().await
    }
}

/// New objects go to a folder of their own, and those of the repository are read.
fn with_objects<'a>(call: Call<'a>, shared: &Path, objects: Option<&Path>) -> Call<'a> {
    let Some(objects) = objects else { return call };
    let mut others = OsString::from("\"");
    for letter in shared.join("objects").to_string_lossy().chars() {
        if matches!(letter, '"' | '\\') {
            others.push("\\");
        }
        others.push(letter.to_string());
    }
    others.push("\"");
    call.env("GIT_OBJECT_DIRECTORY", objects).env("GIT_ALTERNATE_OBJECT_DIRECTORIES", others)
}
