//! git as a program.
#[derive(Debug, Clone, Default)]
pub(super) struct Git;
