//! A folder for what a single operation needs and nobody afterwards: an index, objects. It is gone when the
//! operation is over, or, where the process was killed, with one a day later.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::WorktreeError;

/// Beside the sessions' folders, under a name that no session has.
const FOLDER: &str = ".scratch";
/// The names of those that are kept.
const KEPT: &str = ".kept-";
const OLD: Duration = Duration::from_hours(24);

#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// A new one in the folder of all trees.
    pub(super) fn new(trees: &Path) -> Result<Self, WorktreeError> {
        let all = trees.join(FOLDER);
        sweep(&all);
        let own = all.join(uuid::Uuid::now_v7().simple().to_string());
        make_folder(&own.join("objects"))?;
        Ok(Self(own))
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// It stays, for the user has to take something from it. Answers where.
    pub(super) fn keep(self) -> PathBuf {
        let name = self.0.file_name().unwrap_or_default().to_string_lossy();
        let all = self.0.ancestors().nth(2).unwrap_or(&self.0);
        let kept = all.join(format!("{KEPT}{name}"));
        match fs::rename(&self.0, &kept) {
            Ok(()) => kept,
            // Until it is old.
            Err(_) => std::mem::ManuallyDrop::new(self).0.clone(),
        }
    }

    pub(super) fn objects(&self) -> PathBuf {
        self.0.join("objects")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::debug!(%error, "a folder for git could not be removed");
        }
    }
}

/// A folder that nobody else may look into, with those above it.
pub(super) fn make_folder(path: &Path) -> Result<(), WorktreeError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| {
        WorktreeError::Failed(format!("the folder `{}` cannot be made: {error}", path.display()))
    })
}

/// Removes what killed processes left.
fn sweep(all: &Path) {
    let Ok(entries) = fs::read_dir(all) else { return };
    for entry in entries.flatten() {
        let age = || -> io::Result<Duration> {
            let changed = entry.metadata()?.modified()?;
            changed.elapsed().map_err(io::Error::other)
        };
        if age().is_ok_and(|age| age > OLD) {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}
