//! The port to a client that shows children as sessions of their own: `acp` fills it. Which of a child's words
//! go there is said here; when the client knows of the child is not.

use futures::future::BoxFuture;

use crate::event::{CallStatus, Event};
use crate::ids::SessionId;

/// Shows the children of a session, and theirs.
pub trait ChildStreams: Send + Sync {
    fn of(&self, child: &SessionId) -> Box<dyn ChildStream>;
}

/// The way of one child's words to the client.
pub trait ChildStream: Send + Sync {
    /// Waits until the client knows of the child and has room for one more event. Where nobody reads any more
    /// there is room, and nothing is shown.
    fn ready(&self) -> BoxFuture<'_, ()>;

    /// Whether it is ready now.
    fn is_ready(&self) -> bool;

    /// Shows an event, without waiting; not to a client that does not know of the child.
    fn show(&self, event: Event);
}

/// What a child's stream makes of its words.
pub(super) struct Shown {
    stream: Box<dyn ChildStream>,
    /// Something was left out: what follows would not fit to what came before it.
    is_cut: bool,
}

impl Shown {
    pub(super) fn new(stream: Box<dyn ChildStream>) -> Self {
        Self { stream, is_cut: false }
    }

    pub(super) async fn ready(&self) {
        self.stream.ready().await;
    }

    /// For an event that it was ready for.
    pub(super) fn show(&self, event: &Event) {
        if is_shown(event) {
            self.stream.show(event.clone());
        }
    }

    /// For an event of a child that is being closed, which waits for no client. Where there is no room the
    /// ends of things are shown all the same: they are few, and a client would wait for them for ever.
    pub(super) fn show_last(&mut self, event: &Event) {
        if !is_shown(event) {
            return;
        }
        if is_end(event) || (!self.is_cut && self.stream.is_ready()) {
            self.stream.show(event.clone());
        } else {
            self.is_cut = true;
        }
    }
}

/// Whether it belongs to the child's conversation. What a user could choose or call there is not offered: no
/// client may prompt a child.
fn is_shown(event: &Event) -> bool {
    match event {
        Event::Said { .. }
        | Event::Call(_)
        | Event::Plan(_)
        | Event::Usage(_)
        | Event::Subagent(_)
        | Event::Between(_) => true,
        Event::Title(_)
        | Event::Commands(_)
        | Event::Settings(_)
        | Event::Notice(_)
        | Event::Board(_)
        | Event::FollowUp(_) => false,
    }
}

fn is_end(event: &Event) -> bool {
    match event {
        Event::Call(update) => update.status.is_some_and(CallStatus::is_final),
        Event::Subagent(_) => true,
        Event::Said { .. }
        | Event::Plan(_)
        | Event::Usage(_)
        | Event::Title(_)
        | Event::Commands(_)
        | Event::Settings(_)
        | Event::Between(_)
        | Event::Notice(_)
        | Event::Board(_)
        | Event::FollowUp(_) => false,
    }
}
