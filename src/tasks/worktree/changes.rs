//! Comes next.
use super::{Changes, Tree, WorktreeError};
pub(super) async fn of(_: &Tree, _: usize) -> Result<Changes, WorktreeError> {
    Err(WorktreeError::Gone)
}
