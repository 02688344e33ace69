//! What the tests of the store share: a folder with a store on it, records, and waiting for progress.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use crate::clock::{Clock, Hand, Timestamp};
use crate::ids::{MessageId, PromptId, SessionId};
use crate::redact::Mask;
use crate::store::shared::Tuning;
use crate::store::{Entry, Journal, Opened, Record, Settings, Store, StoreGuard};
use crate::transcript::{Author, Content, Prompt};

/// When the driven clocks begin: 2026-11-05T07:30:00Z.
pub(super) const BEGIN: Timestamp = Timestamp(1_793_863_800_000);

/// A folder with a store on it.
pub(super) struct Home {
    pub(super) folder: Arc<TempDir>,
    pub(super) store: Store,
    pub(super) guard: StoreGuard,
    pub(super) hand: Hand,
}

impl Home {
    pub(super) fn new() -> Self {
        Self::tuned(Tuning::default())
    }

    pub(super) fn tuned(tuning: Tuning) -> Self {
        Self::on(Arc::new(tempfile::tempdir().unwrap()), tuning)
    }

    /// Another store on the same folder, as another process would have.
    pub(super) fn beside(&self) -> Self {
        Self::on(Arc::clone(&self.folder), Tuning::default())
    }

    pub(super) fn on(folder: Arc<TempDir>, tuning: Tuning) -> Self {
        let (clock, hand) = Clock::driven(BEGIN);
        let settings = Settings { folder: folder.path().to_owned(), clock };
        let (store, guard) = Store::tuned(settings, tuning);
        Self { folder, store, guard, hand }
    }

    /// Ends the store; the folder stays.
    pub(super) fn end(self) -> Arc<TempDir> {
        drop(self.guard);
        self.folder
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn create(&self, id: &str) -> Journal {
        self.store.create(&session(id), opened("/project"), Arc::default())
    }

    pub(super) async fn entries(&self, id: &str) -> Vec<Entry> {
        self.store.entries(&session(id), 0, usize::MAX).await.unwrap()
    }

    pub(super) async fn records(&self, id: &str) -> Vec<Record> {
        self.entries(id).await.iter().map(|entry| entry.record().unwrap()).collect()
    }
}

pub(super) fn session(id: &str) -> SessionId {
    SessionId::new(id)
}

pub(super) fn opened(cwd: &str) -> Opened {
    Opened {
        cwd: cwd.into(),
        additional: Vec::new(),
        version: "1".to_owned(),
        forked_from: None,
        parent: None,
    }
}

pub(super) fn prompt(text: &str) -> Record {
    let content = vec![Content::text(text)];
    Record::Prompt {
        prompt: Prompt {
            id: PromptId(0),
            message: MessageId::new("m1"),
            content,
            from: Author::User,
        },
    }
}

pub(super) fn told(text: &str) -> Record {
    Record::Told { message: MessageId::new("m2"), content: Content::text(text) }
}

pub(super) fn mask(keys: &[&str]) -> Arc<Mask> {
    let keys: Vec<_> = keys.iter().map(|key| crate::config::Secret::new(*key)).collect();
    Arc::new(Mask::new(&keys))
}
