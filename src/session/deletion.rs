//! The end of a stored session: with it go the trees that its tasks had. What is in a branch and nowhere else stays
//! there.

use std::path::Path;
use std::time::Duration;

use crate::clock::Clock;
use crate::ids::SessionId;
use crate::store::{Store, StoreError};
use crate::tasks::worktree;

/// How long trees are kept whose session nobody knows. Where sessions are not stored none is known, and some may live.
const UNKNOWN: Duration = Duration::from_hours(7 * 24);

/// Removes a session with everything in it, as `Store::delete` does, and the trees of all tasks below it.
pub async fn delete(
    store: &Store,
    worktrees: &Path,
    session: &SessionId,
) -> Result<(), StoreError> {
    // Most sessions have none. What cannot be read now is tidied up later.
    let below = if worktree::kept(worktrees).await.is_empty() {
        Vec::new()
    } else {
        store.below(session).await.unwrap_or_default()
    };
    let deleted = store.delete(session).await;
    if matches!(deleted, Ok(()) | Err(StoreError::Unknown(_))) {
        for session in below.iter().rev().chain([session]) {
            worktree::forget(worktrees, session).await;
        }
    }
    deleted
}

/// Removes trees of sessions that are long gone: what a process left that ended as it deleted them.
pub(super) async fn tidy(store: &Store, worktrees: &Path) {
    let now = Clock::real().now();
    for (session, changed) in worktree::kept(worktrees).await {
        let is_old = now.since(changed) > UNKNOWN;
        if is_old && matches!(store.summary(&session).await, Err(StoreError::Unknown(_))) {
            tracing::info!(%session, "the trees of a session that is gone are removed");
            worktree::forget(worktrees, &session).await;
        }
    }
}
