//! Comes next.
use super::*;
/// Removes the trees of a session that was deleted, with those of its tasks. A branch that has changes stays.
pub async fn forget(_folder: &Path, _session: &SessionId) {}
pub(super) async fn remove(_: &Tree, _: Branch) -> Result<(), WorktreeError> {
    Err(WorktreeError::Gone)
}
