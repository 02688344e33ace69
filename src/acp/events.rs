//! How the tasks of a session stand, for a client that wants to hear of it. Nothing is kept for it: who reads slowly
//! is told less often.

use std::sync::Arc;
use std::time::Duration;

use agent_client_protocol::UntypedMessage;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::flow::Updates;
use crate::control::extension;
use crate::ids::SessionId;
use crate::tasks::{Row, TasksHandle};

/// The time between two looks at what has changed.
const PAUSE: Duration = Duration::from_millis(100);

/// The events of one session, until this ends or is dropped.
pub(super) struct Events {
    is_over: Arc<watch::Sender<bool>>,
}

impl Events {
    /// First how each task stands, then what changes.
    pub(super) fn start(tasks: TasksHandle, updates: Updates, tracker: &TaskTracker) -> Self {
        let is_over = Arc::new(watch::Sender::new(false));
        let teller = Teller { is_over: is_over.clone(), updates };
        tracker.spawn(async move {
            let mut over = teller.is_over.subscribe();
            tokio::select! {
                biased;
                // The sender is the teller's, too.
                _ = over.wait_for(|is_over| *is_over) => {}
                () = teller.tell(tasks) => {}
            }
        });
        Self { is_over }
    }

    /// None is sent any more.
    pub(super) fn end(&self) {
        self.is_over.send_replace(true);
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.end();
    }
}

struct Teller {
    is_over: Arc<watch::Sender<bool>>,
    updates: Updates,
}

impl Teller {
    /// Until the client or the tasks are gone.
    async fn tell(&self, tasks: TasksHandle) {
        let Ok(mut observer) = tasks.observe().await else { return };
        // Room comes first, so that what is told is how it stands then.
        while self.updates.wire.room().await {
            let Some(rows) = observer.next().await else { return };
            for row in rows {
                if !(self.updates.wire.room().await && self.send(row)) {
                    return;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// False when nobody reads any more, or the session has said its last word.
    fn send(&self, row: Row) -> bool {
        let session = SessionId::new(self.updates.id.0.clone());
        let event = extension::event(&session, row);
        let Ok(event) = UntypedMessage::new(extension::EVENT, event) else { return false };
        let mut is_sent = false;
        // The last word does not come in between.
        self.is_over.send_if_modified(|is_over| {
            is_sent = !*is_over && self.updates.connection.send_notification(event).is_ok();
            false
        });
        if is_sent {
            self.updates.wire.took_room(1);
        }
        is_sent
    }
}
