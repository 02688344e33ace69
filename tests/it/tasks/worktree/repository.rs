//! The user's repository: what it has, and that nobody touched it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::support::home::Home;

pub(super) struct Repository {
    folder: PathBuf,
    /// Where all trees are.
    worktrees: PathBuf,
    home: PathBuf,
}

impl Repository {
    /// An empty one in the work folder.
    pub(super) fn new(home: &Home) -> Self {
        let worktrees = home.state().join("worktrees");
        let made = Self { folder: home.work(), worktrees, home: home.root().to_owned() };
        made.git("init --quiet --initial-branch=main");
        made
    }

    /// What a user's git says.
    pub(super) fn git(&self, line: &str) -> String {
        self.git_with(&line.split(' ').collect::<Vec<_>>())
    }

    fn git_with(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=User", "-c", "user.email=user@example.com"])
            .args(arguments)
            .current_dir(&self.folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.home)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.join(name), text).unwrap();
    }

    pub(super) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.folder.join(name).exists()
    }

    /// Commits all there is.
    pub(super) fn commit(&self, message: &str) {
        self.git("add --all");
        self.git_with(&["commit", "--quiet", "--no-verify", "--message", message]);
    }

    /// Everything of it that a user may have changed: files, index, commits, stash.
    pub(super) fn state(&self) -> String {
        let mut state = self.git("status --porcelain --untracked-files=all");
        state += &self.git("diff HEAD");
        state += &self.git("diff --cached");
        state += &self.git("rev-parse HEAD");
        state + &self.git("stash list")
    }

    pub(super) fn status(&self) -> String {
        self.git("status --porcelain --untracked-files=all")
    }

    /// The branches of tasks.
    pub(super) fn branches(&self) -> Vec<String> {
        let listed = self.git("branch --list --format=%(refname:short) talaria/*");
        listed.lines().map(str::to_owned).collect()
    }

    /// How many trees there are, but for the user's own.
    pub(super) fn trees(&self) -> usize {
        let known = self.git("worktree list --porcelain");
        let known = known.lines().filter(|line| line.starts_with("worktree ")).count() - 1;
        assert_eq!(self.folders(), known, "each is in the state folder");
        known
    }

    fn folders(&self) -> usize {
        let below = |folder: &PathBuf| -> Vec<PathBuf> {
            let entries = fs::read_dir(folder).into_iter().flatten();
            entries.map(|entry| entry.unwrap().path()).collect()
        };
        let homes = below(&self.worktrees).into_iter().flat_map(|session| below(&session));
        homes.filter(|home| home.join("tree").exists()).count()
    }

    /// The one tree that there is.
    pub(super) fn tree(&self) -> PathBuf {
        let known = self.git("worktree list --porcelain");
        let mut trees = known.lines().filter_map(|line| line.strip_prefix("worktree ")).skip(1);
        let tree = trees.next().unwrap_or_else(|| panic!("{known}"));
        assert_eq!(trees.next(), None);
        PathBuf::from(tree)
    }
}
