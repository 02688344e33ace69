//! Which sessions have trees of their tasks.

use std::path::Path;

use crate::clock::Timestamp;
use crate::ids::SessionId;

/// Those sessions, and when a tree came or went last.
pub async fn kept(folder: &Path) -> Vec<(SessionId, Timestamp)> {
    let mut kept = Vec::new();
    let Ok(mut entries) = tokio::fs::read_dir(folder).await else { return kept };
    while let Ok(Some(entry)) = entries.next_entry().await {
        let changed = entry.metadata().await.and_then(|about| about.modified());
        let (Ok(changed), Ok(name)) = (changed, entry.file_name().into_string()) else { continue };
        // What begins with a dot is no session.
        if !name.starts_with('.') {
            kept.push((SessionId::new(name), Timestamp::of(changed)));
        }
    }
    kept
}
