//! Trees of their own for tasks: git worktrees in the state folder, made of the last commit, compared,
//! merged into the user's working tree or thrown away. It knows no task but by its name and ids; when a tree
//! is made or merged is decided by who calls.
//!
//! A tree's home is `<folder>/<parent>/<child>/`: `about.json` says what it was made of and is written
//! first, `tree/` is the worktree. So a tree outlives the process, and can be removed without the engine.
//!
//! git runs without the user's hooks and file monitor (what it sets off would be a surprise to a user who did
//! nothing), and on the tree of a task it is told which repository that belongs to: what a task writes to
//! `.git` there decides nothing.

mod about;
mod backup;
mod changes;
mod git;
mod kept;
mod make;
mod merge;
mod obstacles;
mod remove;
mod repository;
mod scratch;
mod snapshot;
mod turn;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use about::About;
use git::Git;

use crate::ids::SessionId;
use crate::tasks::answer::{ChangedFile, Changes};
use crate::tasks::spec::TaskName;

pub use kept::kept;
pub use remove::forget;

/// Where the trees of a session's tasks come from and are kept.
#[derive(Debug, Clone)]
pub struct Place {
    /// The session's working folder.
    cwd: PathBuf,
    /// Where all trees are: `worktrees` in the state folder.
    folder: PathBuf,
    git: Git,
}

/// The tree of one task. Its folder may be gone, as long as its branch is there.
#[derive(Debug, Clone)]
pub struct Tree {
    git: Git,
    home: PathBuf,
    /// The worktree.
    folder: PathBuf,
    /// In it, where the session's working folder is in the repository.
    cwd: PathBuf,
    about: About,
}

/// What becomes of a tree's branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Branch {
    /// It stays, with all that the tree has.
    Keep,
    /// It stays where something was changed in the tree.
    KeepIfChanged,
    Drop,
}

/// Why something with a tree did not happen. The words are for the model and for users alike.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorktreeError {
    #[error(
        "a task with `isolation: worktree` needs a git repository, and the session's folder is in none; \
         make one with `git init` and a commit, or start the task without it"
    )]
    NoRepository,
    #[error(
        "a task with `isolation: worktree` needs a repository with files; this one is bare: open a \
         session in a worktree of it, or start the task without it"
    )]
    Bare,
    #[error(
        "a task with `isolation: worktree` begins with the last commit, and the repository has none; \
         commit something, or start the task without it"
    )]
    NoCommit,
    #[error(
        "the program `git` was not found, and a task with `isolation: worktree` needs it; install it, or \
         start the task without it"
    )]
    NoGit,
    #[error("git {version} cannot merge without a working tree; install git 2.38 or newer")]
    TooOld { version: String },
    #[error(
        "git does not trust the repository, since another user owns it; if you do, run \
         `git config --global --add safe.directory <its folder>`"
    )]
    NotTrusted,
    #[error(
        "the repository `{0}` is not there any more; put it back where it was, or discard the task's \
         changes"
    )]
    NoLongerThere(String),
    #[error("the changes belong to another repository (`{0}`); merge them in a session there")]
    OtherRepository(String),
    #[error("the tree and its branch were removed; there is nothing left of it")]
    Gone,
    #[error("a file was changed while the changes were merged, and nothing was touched; try again")]
    Changed,
    /// Nothing was touched. `index` is that of the tree, among those that were to be merged.
    #[error("the changes do not fit what is in the working tree: {}", .files.join(", "))]
    Conflict { index: usize, files: Vec<String> },
    #[error(
        "`{path}` is a git repository that was made in the tree, and a branch has nothing of what is in it; \
         take what you need from `{folder}`, and remove it there or discard the changes"
    )]
    Nested { path: String, folder: String },
    #[error("{0}")]
    Failed(String),
}

impl Place {
    /// `folder` is where the trees of all sessions are; it is made when the first tree is.
    pub fn new(cwd: PathBuf, folder: PathBuf) -> Self {
        Self { cwd, folder, git: Git::default() }
    }

    /// The same for a session that works elsewhere.
    #[must_use]
    pub fn at(&self, cwd: PathBuf) -> Self {
        Self { cwd, ..self.clone() }
    }

    /// Makes the tree of the task `name`, or opens the one that is there, so that a task that was
    /// interrupted finds it again. What an ended process left half made is made anew.
    pub async fn create(
        &self,
        parent: &SessionId,
        child: &SessionId,
        name: &TaskName,
    ) -> Result<Tree, WorktreeError> {
        make::create(self, parent, child, name).await
    }

    /// The tree of a task, if it has one. It may be [`WorktreeError::Gone`].
    pub async fn find(
        &self,
        parent: &SessionId,
        child: &SessionId,
    ) -> Result<Option<Tree>, WorktreeError> {
        make::find(self, parent, child).await
    }

    /// Merges what the trees changed into the working tree of the session, all or nothing, and removes them
    /// with their branches. The user's index, commits and branches stay as they are: what is merged is there
    /// like the user's own changes, not staged. Answers what was changed there.
    pub async fn merge(&self, trees: &[Tree]) -> Result<Vec<ChangedFile>, WorktreeError> {
        merge::merge(self, trees).await
    }
}

impl Tree {
    /// Where the task works.
    pub fn cwd(&self) -> &Path {
        &self.cwd
    }

    /// The same folder in the tree, for one that is in the repository that the tree was made of.
    pub fn maps(&self, root: &Path) -> Option<PathBuf> {
        make::maps(self, root)
    }

    /// Without `refs/heads/`.
    pub fn branch(&self) -> &str {
        &self.about.branch
    }

    /// How many files of the user's tree had changes in no commit, when this one was made.
    pub fn uncommitted(&self) -> usize {
        self.about.uncommitted
    }

    /// Commits to the branch what is not committed, so that the branch has all that the task did. Does
    /// nothing where there is nothing.
    pub async fn seal(&self) -> Result<(), WorktreeError> {
        snapshot::seal(self).await
    }

    /// What was changed since the tree was made, committed or not, with a diff of at most so many bytes. It
    /// moves no branch and leaves nothing in the repository.
    pub async fn changes(&self, most_bytes: usize) -> Result<Changes, WorktreeError> {
        changes::of(self, most_bytes).await
    }

    /// Removes the tree with its entry in the repository. A branch that stays gets first what is not
    /// committed.
    pub async fn remove(&self, branch: Branch) -> Result<(), WorktreeError> {
        remove::remove(self, branch).await
    }
}
