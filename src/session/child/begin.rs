//! What a child's conversation begins with: nothing, a copy of another one, or what its own journal holds.

use super::{Parent, not_stored};
use crate::fault::Fault;
use crate::ids::SessionId;
use crate::session::reading::{self, Nobody};
use crate::session::restore::Restored;
use crate::store::{Durability, Journal, Opened, Record, StoreError};
use crate::tasks::{Begin, Details};
use crate::transcript::{Content, Entry, Prompt};

/// A conversation that can go on.
pub(super) struct Begun {
    pub(super) journal: Journal,
    pub(super) restored: Restored,
}

impl Begun {
    /// Whether the model has seen this text as a prompt.
    pub(super) fn has_seen(&self, text: &str) -> bool {
        let says = |prompt: &Prompt| matches!(prompt.content.first(), Some(Content::Text { text: first }) if first == text);
        let entries = &self.restored.transcript.entries;
        entries.iter().any(|entry| matches!(entry, Entry::Turn(turn) if says(&turn.prompt)))
    }
}

pub(super) async fn begin(
    parent: &Parent,
    opened: Opened,
    (details, begin): (&Details, Begin),
) -> Result<Begun, Fault> {
    let child = &details.child;
    match begin {
        Begin::Fresh => Ok(fresh(parent, child, opened)),
        Begin::Copy(_) if !parent.store.is_on() => {
            Err(not_stored("what the other task was told and did is not there to go on from"))
        }
        Begin::Copy(from) => copy(parent, (&from, child), opened).await,
        Begin::Resume if !parent.store.is_on() => {
            Err(not_stored("what the task was told and did is not there to go on from"))
        }
        Begin::Resume => match own(parent, child).await {
            Ok(mut gone_on) => {
                gone_on.journal.append(Record::Opened(opened), Durability::Process);
                // What could not be written is the session's to tell.
                gone_on.journal.flush().await;
                Ok(gone_on)
            }
            // Its process ended before anything of it was written.
            Err(StoreError::Unknown(_)) => match &details.continues {
                Some(from) => copy(parent, (from, child), opened).await,
                None => Ok(fresh(parent, child, opened)),
            },
            Err(error) => Err(error.fault()),
        },
    }
}

fn fresh(parent: &Parent, child: &SessionId, opened: Opened) -> Begun {
    let journal = parent.store.create(child, opened, parent.mask.clone());
    Begun { journal, restored: Restored::default() }
}

async fn copy(
    parent: &Parent,
    (from, child): (&SessionId, &SessionId),
    opened: Opened,
) -> Result<Begun, Fault> {
    let forked = parent.store.fork(from, child, opened, parent.mask.clone()).await;
    forked.map_err(|error| error.fault())?;
    match own(parent, child).await {
        Ok(mut copied) => {
            copied.journal.flush().await;
            Ok(copied)
        }
        Err(error) => {
            // Half a copy is of no use.
            drop(parent.store.delete(child).await);
            Err(error.fault())
        }
    }
}

/// What the child's journal holds, with how what was interrupted ended. The settings and rules that it had
/// are left: they are those of its parent now.
async fn own(parent: &Parent, child: &SessionId) -> Result<Begun, StoreError> {
    let mut claim = parent.store.claim(child, parent.mask.clone()).await?;
    let read = reading::read(&parent.store, (child, claim.journal.epoch()), &Nobody).await?;
    for repair in read.repairs {
        claim.journal.append(repair, Durability::Process);
    }
    let restored = Restored { settings: None, rules: Vec::new(), ..read.restored };
    Ok(Begun { journal: claim.journal, restored })
}
