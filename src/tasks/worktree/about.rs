//! What a tree was made of, as `about.json` beside it says. It does not look whether that is still true.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::WorktreeError;

const FILE: &str = "about.json";

/// How far a tree came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// Begun; nobody worked in it, so whatever there is may go.
    Begun,
    Made,
}

/// What a tree was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct About {
    pub(super) version: u32,
    pub(super) stage: Stage,
    /// The name of the task.
    pub(super) task: String,
    /// The user's working tree, links resolved.
    pub(super) top: PathBuf,
    /// The folder of the repository that all its worktrees share.
    pub(super) repository: PathBuf,
    /// The repository's folder for this tree, once it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) entry: Option<PathBuf>,
    /// From `top` to the session's working folder.
    pub(super) prefix: PathBuf,
    /// Without `refs/heads/`.
    pub(super) branch: String,
    /// The commit that it began with.
    pub(super) base: String,
    /// How many files had changes in no commit.
    pub(super) uncommitted: usize,
    /// When, in milliseconds since 1970.
    pub(super) at: u64,
}

/// What is known of the tree with this home.
pub(super) async fn read(home: &Path) -> Result<Option<About>, WorktreeError> {
    let text = match tokio::fs::read(home.join(FILE)).await {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(&error)),
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| unusable(&error))
}

/// Puts it there, whole or not at all.
pub(super) async fn write(home: &Path, about: &About) -> Result<(), WorktreeError> {
    let text = serde_json::to_vec_pretty(about).map_err(|error| unusable(&error))?;
    let new = home.join(format!("{FILE}.new"));
    let written = async {
        tokio::fs::write(&new, text).await?;
        tokio::fs::rename(&new, home.join(FILE)).await
    };
    written.await.map_err(|error| unusable(&error))
}

fn unusable(error: &dyn std::fmt::Display) -> WorktreeError {
    WorktreeError::Failed(format!(
        "what is written down of the task's tree cannot be used: {error}"
    ))
}
