//! Reads a stored session back, in pieces, and shows it to the client where that is asked for. What comes
//! of the records is `session::restore`'s.

use crate::event::Event;
use crate::ids::SessionId;
use crate::session::restore::{Finished, Restorer};
use crate::store::{Store, StoreError};

use super::flow::Updates;

/// Why a replay ended early.
pub(super) enum Broken {
    Store(StoreError),
    /// Nobody reads any more.
    ClientGone,
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Where the conversation goes while it is read.
pub(super) enum Audience<'a> {
    Nobody,
    Client(&'a Updates),
}

/// Reads all records of a session for its opening number `epoch`. What is shown is sent as fast as the
/// client reads it.
pub(super) async fn read(
    store: &Store,
    (id, epoch): (&SessionId, u64),
    audience: Audience<'_>,
) -> Result<Finished, Broken> {
    let mut restorer = Restorer::new(epoch);
    let mut batches = store.batches(id);
    let mut entries = batches.next().await?;
    while !entries.is_empty() {
        let shown = async {
            for entry in &entries {
                audience.show(restorer.take(entry)).await?;
            }
            Ok::<(), Broken>(())
        };
        // The next are read while these are shown.
        let next = async { batches.next().await.map_err(Broken::from) };
        ((), entries) = futures::future::try_join(shown, next).await?;
    }
    let mut finished = restorer.finish();
    audience.show(std::mem::take(&mut finished.events)).await?;
    Ok(finished)
}

impl Audience<'_> {
    async fn show(&self, events: Vec<Event>) -> Result<(), Broken> {
        let Self::Client(updates) = self else { return Ok(()) };
        for event in events {
            if !(updates.ready().await && updates.send(event)) {
                return Err(Broken::ClientGone);
            }
        }
        Ok(())
    }
}
