//! Reads a stored session back, in pieces, and shows it to whoever wants to see it meanwhile. What comes of
//! the records is `restore`'s.

use std::collections::BTreeSet;

use super::restore::{Finished, Restorer};
use crate::event::Event;
use crate::ids::SessionId;
use crate::store::{Store, StoreError};

/// Who sees a conversation while it is read.
pub trait Audience: Sync {
    /// Why the reading ended early.
    type Broken: From<StoreError> + Send;

    /// Whether it sees anything at all.
    fn looks_on(&self) -> bool;

    /// Tasks of the session that still run: what is open of them is shown as open.
    fn live_tasks(&self) -> BTreeSet<u64> {
        BTreeSet::new()
    }

    /// Shows what happened; an error where nobody looks on any more.
    fn show(&self, events: Vec<Event>) -> impl Future<Output = Result<(), Self::Broken>> + Send;
}

/// Nobody looks on.
pub struct Nobody;

impl Audience for Nobody {
    type Broken = StoreError;

    fn looks_on(&self) -> bool {
        false
    }

    async fn show(&self, _: Vec<Event>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Reads all records of a session for its opening number `epoch`. What is shown is sent as fast as it is
/// taken.
pub async fn read<A: Audience>(
    store: &Store,
    (id, epoch): (&SessionId, u64),
    audience: &A,
) -> Result<Finished, A::Broken> {
    let mut restorer = Restorer::new(epoch);
    if audience.looks_on() {
        restorer = restorer.with_live(audience.live_tasks());
        let mut cards = store.card_batches(id);
        let mut entries = cards.next().await?;
        while !entries.is_empty() {
            for entry in &entries {
                restorer.foresee(entry);
            }
            entries = cards.next().await?;
        }
    }
    let mut batches = store.batches(id);
    let mut entries = batches.next().await?;
    while !entries.is_empty() {
        let shown = async {
            for entry in &entries {
                audience.show(restorer.take(entry)).await?;
            }
            Ok::<(), A::Broken>(())
        };
        // The next are read while these are shown.
        let next = async { batches.next().await.map_err(A::Broken::from) };
        ((), entries) = futures::future::try_join(shown, next).await?;
    }
    let mut finished = restorer.finish();
    audience.show(std::mem::take(&mut finished.events)).await?;
    Ok(finished)
}
