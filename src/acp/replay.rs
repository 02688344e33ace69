//! Shows a stored conversation to the client while it is read back, where that is asked for.

use std::collections::BTreeSet;

use super::flow::Updates;
use crate::event::Event;
use crate::session::reading;
use crate::store::StoreError;

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
    /// And tasks that go on in the session that is opened anew.
    Client(&'a Updates, BTreeSet<u64>),
}

impl reading::Audience for Audience<'_> {
    type Broken = Broken;

    fn looks_on(&self) -> bool {
        !matches!(self, Self::Nobody)
    }

    fn live_tasks(&self) -> BTreeSet<u64> {
        match self {
            Self::Nobody => BTreeSet::new(),
            Self::Client(_, live) => live.clone(),
        }
    }

    /// As fast as the client reads it.
    async fn show(&self, events: Vec<Event>) -> Result<(), Broken> {
        let Self::Client(updates, _) = self else { return Ok(()) };
        for event in events {
            if !(updates.ready().await && updates.send(event, None)) {
                return Err(Broken::ClientGone);
            }
        }
        Ok(())
    }
}
