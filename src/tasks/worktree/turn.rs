//! Who may make or remove a tree: one at a time, of all Talarias of the user. Git looks at all trees of a repository
//! when one comes or goes, and gives up at one that another git is just making.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use super::WorktreeError;

/// Before it is tried again: longer each time, so that many that wait cost little.
const FIRST: Duration = Duration::from_millis(2);
const LONGEST: Duration = Duration::from_millis(50);

/// Until it is dropped, or its process ends, nobody else makes or removes a tree.
pub(super) struct Turn {
    _file: File,
}

/// Waits for its turn. `folder` is where all trees are.
pub(super) async fn turn(folder: &Path) -> Result<Turn, WorktreeError> {
    let path = folder.join(".turn");
    let failed = |error: std::io::Error| {
        WorktreeError::Failed(format!("`{}` cannot be locked: {error}", path.display()))
    };
    let file = File::options().create(true).append(true).open(&path).map_err(failed)?;
    let mut pause = FIRST;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Turn { _file: file }),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(pause).await,
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        pause = (pause * 2).min(LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = turn(folder.path()).await.unwrap();
        let second = turn(folder.path());
        tokio::pin!(second);
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        assert!(second.await.is_ok());
    }
}
