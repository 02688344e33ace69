//! A journal for tests: a real one whose store has no thread, so that the test says when something is
//! written.

use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;

use super::{Journal, Line, Open, Seq};
use crate::clock::{Clock, Timestamp};
use crate::ids::SessionId;
use crate::redact::Mask;
use crate::store::place::Place;
use crate::store::shared::{Item, Message, Shared};
use crate::store::{Durability, Record, Trouble};

/// The test's end.
pub(crate) struct Disk {
    line: Arc<Line>,
    came: Mutex<Came>,
    trouble: Mutex<Option<Trouble>>,
}

struct Came {
    messages: mpsc::Receiver<Message>,
    records: Vec<(Record, Durability)>,
    is_given_back: bool,
}

impl Journal {
    /// A journal whose progress a test decides.
    pub(crate) fn scripted() -> (Self, Disk) {
        let (store, messages) = Shared::new(Place::of(Path::new("/nowhere")), Clock::real());
        store.was_tried.store(true, std::sync::atomic::Ordering::Release);
        let line = Line::new(SessionId::new("scripted"), 1, Arc::new(Mask::default()), 0);
        let open = Open::new(store, line.clone(), 0, Timestamp::default());
        let came = Came { messages, records: Vec::new(), is_given_back: false };
        (Self(Some(open)), Disk { line, came: Mutex::new(came), trouble: Mutex::default() })
    }
}

impl Came {
    fn take(&mut self, message: Message) {
        match message {
            Message::Item(_, Item::Append { record, durability, .. }) => {
                self.records.push((*record, durability));
            }
            Message::Item(_, Item::Release) => self.is_given_back = true,
            Message::Item(_, Item::Create { .. })
            | Message::Wake
            | Message::Open(_)
            | Message::Work(_) => {}
        }
    }

    fn take_all(&mut self) {
        while let Ok(message) = self.messages.try_recv() {
            self.take(message);
        }
    }
}

impl Disk {
    /// Waits until a record of this kind was appended; the number of the last one.
    pub(crate) async fn appended(&mut self, kind: &str) -> Seq {
        let came = self.came.get_mut().unwrap();
        loop {
            came.take_all();
            let found = came.records.iter().rposition(|(record, _)| record.kind() == kind);
            if let Some(at) = found {
                return at as Seq + 1;
            }
            let message = came.messages.recv().await.unwrap();
            came.take(message);
        }
    }

    /// The kinds of all records, in order.
    pub(crate) fn kinds(&self) -> Vec<&'static str> {
        let mut came = self.came.lock().unwrap();
        came.take_all();
        came.records.iter().map(|(record, _)| record.kind()).collect()
    }

    /// How the records of this kind must be on the disk, in order.
    pub(crate) fn durabilities(&self, kind: &str) -> Vec<Durability> {
        let mut came = self.came.lock().unwrap();
        came.take_all();
        let of_kind = came.records.iter().filter(|(record, _)| record.kind() == kind);
        of_kind.map(|(_, durability)| *durability).collect()
    }

    /// Says that records are handled up to this one.
    pub(crate) fn handle(&self, upto: Seq) {
        self.line.tell(upto, self.trouble.lock().unwrap().as_ref());
    }

    /// Says that everything is handled, also what is still to come.
    pub(crate) fn handle_all(&self) {
        self.handle(Seq::MAX);
    }

    /// Says that nothing can be written, or can again.
    pub(crate) fn trouble(&self, trouble: Option<Trouble>) {
        *self.trouble.lock().unwrap() = trouble;
        self.handle(0);
    }

    /// Whether the session gave its journal back.
    pub(crate) fn is_given_back(&self) -> bool {
        let mut came = self.came.lock().unwrap();
        came.take_all();
        came.is_given_back
    }
}
