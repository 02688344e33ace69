//! A journal read in pieces of about one size, however large its records are: what a reader holds at once
//! is bounded, but for a single record.

use super::{Entry, Seq, Store, StoreError};
use crate::ids::SessionId;

/// Records that are read at once, first.
const FIRST: usize = 64;
/// The most, where they are small.
const MOST: usize = 512;
/// Text of records that may be held at once, about.
const BYTES: usize = 2 * 1024 * 1024;

/// Which records of a session are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    All,
    /// Those that say what becomes of cards.
    Cards,
}

/// The records of a session, from the first.
#[derive(Debug)]
pub struct Batches {
    store: Store,
    session: SessionId,
    which: Which,
    after: Seq,
    limit: usize,
    is_end: bool,
}

impl Batches {
    pub(super) fn new(store: Store, session: SessionId, which: Which) -> Self {
        Self { store, session, which, after: 0, limit: FIRST, is_end: false }
    }

    /// The next records, in order; none at the end.
    pub async fn next(&mut self) -> Result<Vec<Entry>, StoreError> {
        if self.is_end {
            return Ok(Vec::new());
        }
        let part = (self.after, self.limit);
        let entries = self.store.read_entries(&self.session, self.which, part).await?;
        self.is_end = entries.len() < self.limit;
        self.after = entries.last().map_or(self.after, |last| last.seq);
        let bytes: usize = entries.iter().map(|entry| entry.body.len()).sum();
        self.limit =
            if bytes > BYTES { (self.limit / 4).max(1) } else { (self.limit * 2).min(MOST) };
        Ok(entries)
    }
}
