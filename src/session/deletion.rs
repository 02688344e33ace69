//! The end of a stored session: with it go the trees that its tasks had. What is in a branch and nowhere else stays
//! there.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use crate::clock::{Clock, Timestamp};
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
    let below = if tokio::fs::try_exists(worktrees).await.unwrap_or_default() {
        // What cannot be read now is tidied up later.
        store.below(session).await.unwrap_or_default()
    } else {
        Vec::new()
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
    let Ok(mut folders) = tokio::fs::read_dir(worktrees).await else { return };
    while let Ok(Some(folder)) = folders.next_entry().await {
        let Ok(changed) = folder.metadata().await.and_then(|about| about.modified()) else {
            continue;
        };
        let changed = changed.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let age = now.since(Timestamp(u64::try_from(changed).unwrap_or(u64::MAX)));
        let Ok(session) = folder.file_name().into_string().map(SessionId::new) else { continue };
        let is_session = !session.as_str().starts_with('.');
        if is_session
            && age > UNKNOWN
            && matches!(store.summary(&session).await, Err(StoreError::Unknown(_)))
        {
            tracing::info!(%session, "the trees of a session that is gone are removed");
            worktree::forget(worktrees, &session).await;
        }
    }
}
