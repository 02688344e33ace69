//! Trees of real repositories in temporary folders. Each test makes its own; no configuration of the machine
//! is read, so there is no name for who commits either.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::*;

#[cfg(unix)]
mod lives;
mod making;
mod merging;
mod quiet;
mod removing;
mod sealing;

const NOTHING: &str = if cfg!(windows) { "NUL" } else { "/dev/null" };

/// A user's repository, with a folder for trees beside it.
struct User {
    folder: tempfile::TempDir,
    place: Place,
}

impl User {
    /// With one commit: `a`, `b` and `sub/c`, each of nine lines.
    fn new() -> Self {
        let user = Self::empty();
        for name in ["a", "b", "sub/c"] {
            user.write(name, &lines(&[]));
        }
        user.git(&["add", "-A"]);
        user.commit("first");
        user
    }

    /// Without a commit.
    fn empty() -> Self {
        let user = Self::nothing();
        user.git(&["init", "-q", "-b", "main"]);
        user
    }

    /// Without a repository.
    fn nothing() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().canonicalize().unwrap().join("user");
        fs::create_dir(&top).unwrap();
        let mut place = Place::new(top, folder.path().canonicalize().unwrap().join("trees"));
        place.git = plain_git(&[]);
        Self { folder, place }
    }

    fn top(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join("user")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.top().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        write(&self.path(name), text);
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn git(&self, arguments: &[&str]) -> String {
        git_in(&self.top(), arguments)
    }

    fn commit(&self, message: &str) {
        self.git(&["commit", "-q", "-m", message]);
    }

    /// The tree of the task with this number.
    async fn tree(&self, number: u64) -> Tree {
        self.try_tree(number).await.unwrap()
    }

    async fn try_tree(&self, number: u64) -> Result<Tree, WorktreeError> {
        self.place.create(&parent(), &child(number), &TaskName::of(number)).await
    }

    async fn merge(&self, trees: &[&Tree]) -> Result<Vec<String>, WorktreeError> {
        let trees: Vec<Tree> = trees.iter().map(|tree| (*tree).clone()).collect();
        let files = self.place.merge(&trees).await?;
        Ok(files.into_iter().map(|file| file.path).collect())
    }

    /// All that git knows of the user's work: nothing here may be changed by a task.
    fn work(&self) -> String {
        let mut all = Vec::new();
        for arguments in [
            &["diff", "--cached", "--raw", "--abbrev=40"][..],
            &["ls-files", "-s"],
            &["rev-parse", "HEAD"],
            &["symbolic-ref", "HEAD"],
            &["stash", "list"],
            &[
                "for-each-ref",
                "--format=%(refname) %(objectname)",
                "refs/heads/main",
                "refs/tags",
                "refs/stash",
            ],
        ] {
            all.push(self.git(arguments));
        }
        all.join("---\n")
    }

    /// What there is, as `git status` says it.
    fn status(&self) -> String {
        self.git(&["status", "--porcelain", "-uall"])
    }

    /// The branches of tasks.
    fn branches(&self) -> String {
        self.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads/talaria"])
    }

    /// What git knows of worktrees besides the user's.
    fn entries(&self) -> usize {
        fs::read_dir(self.path(".git/worktrees")).map_or(0, Iterator::count)
    }

    fn nothing_is_left(&self) {
        assert_eq!((self.branches().as_str(), self.entries()), ("", 0));
        let left = fs::read_dir(&self.place.folder)
            .map_or(0, |all| all.flatten().filter(|entry| !is_own(&entry.file_name())).count());
        assert_eq!(left, 0);
        let scratch = fs::read_dir(self.place.folder.join(".scratch"));
        assert_eq!(scratch.map_or(0, Iterator::count), 0);
    }
}

/// Whether it is there for all trees.
fn is_own(name: &std::ffi::OsStr) -> bool {
    name == ".scratch" || name == ".turn"
}

fn parent() -> SessionId {
    SessionId::new("parent")
}

fn child(number: u64) -> SessionId {
    SessionId::new(format!("{number:032}"))
}

fn plain_git(more: &[(&str, &str)]) -> Git {
    let mut variables = vec![("GIT_CONFIG_GLOBAL", NOTHING), ("GIT_CONFIG_SYSTEM", NOTHING)];
    variables.extend(more);
    Git::of("git", &variables)
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Lines 1 to 9, some with another text.
fn lines(changed: &[(usize, &str)]) -> String {
    let line = |number: usize| {
        let other = changed.iter().find(|(changed, _)| *changed == number);
        other.map_or_else(|| format!("{number}\n"), |(_, text)| format!("{text}\n"))
    };
    (1..=9).map(line).collect()
}

/// The user's git, or the task's.
fn git_in(folder: &Path, arguments: &[&str]) -> String {
    let output = git_command(folder, arguments);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {complaint}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[expect(clippy::disallowed_methods, reason = "the user's own git")]
fn git_command(folder: &Path, arguments: &[&str]) -> std::process::Output {
    Command::new("git")
        .args(["-c", "user.name=User", "-c", "user.email=user@localhost"])
        .args(["-c", "protocol.file.allow=always"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", NOTHING)
        .env("GIT_CONFIG_SYSTEM", NOTHING)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}
