//! Where a child's words go: to its task, bounded, and to a client that shows children as sessions. Whoever of
//! the two is slow to hear makes the child slow; what they hear is whole.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::shown::{ChildStream, Shown};
use crate::event::{Event, Role};
use crate::ids::PromptId;
use crate::session::{Answered, Outgoing, Outlet};
use crate::tasks::ChildSaid;
use crate::transcript::Content;

/// The way to the task for what must reach it, whoever says it. It does not keep the task listening.
#[derive(Clone)]
pub(super) struct Ear {
    said: mpsc::WeakSender<ChildSaid>,
    tasks: TaskTracker,
    /// The child is being closed: its task waits for that, and may hear nothing more.
    closing: CancellationToken,
}

impl Ear {
    pub(super) fn new(
        said: &mpsc::Sender<ChildSaid>,
        tasks: TaskTracker,
        closing: CancellationToken,
    ) -> Self {
        Self { said: said.downgrade(), tasks, closing }
    }

    pub(super) fn answered(&self, prompt: PromptId, answer: Answered) {
        self.surely(ChildSaid::Answered { prompt, answer });
    }

    pub(super) fn close(&self) {
        self.closing.cancel();
    }

    /// Says it as soon as there is room for it.
    fn surely(&self, said: ChildSaid) {
        let Some(sender) = self.said.upgrade() else { return };
        if let Err(mpsc::error::TrySendError::Full(said)) = sender.try_send(said) {
            self.tasks.spawn(async move {
                // Nobody listens any more when this fails.
                drop(sender.send(said).await);
            });
        }
    }
}

pub(super) struct ChildOutlet {
    said: mpsc::Sender<ChildSaid>,
    ear: Ear,
    shown: Option<Shown>,
}

impl ChildOutlet {
    pub(super) fn new(
        said: mpsc::Sender<ChildSaid>,
        ear: Ear,
        stream: Option<Box<dyn ChildStream>>,
    ) -> Self {
        Self { said, ear, shown: stream.map(Shown::new) }
    }

    /// Whether the task listens; there is room then for both.
    async fn has_room(&self) -> bool {
        let listens = self.said.reserve().await.is_ok();
        if listens && let Some(shown) = &self.shown {
            shown.ready().await;
        }
        listens
    }

    fn show(&mut self, event: &Event) {
        let Some(shown) = &mut self.shown else { return };
        if self.ear.closing.is_cancelled() {
            shown.show_last(event);
        } else {
            shown.show(event);
        }
    }

    fn pass_on(&self, said: ChildSaid) -> bool {
        match self.said.try_send(said) {
            Ok(()) => true,
            // Whoever closes a child need not listen meanwhile.
            Err(_) if self.ear.closing.is_cancelled() => true,
            // An answer that nobody was asked to make room for took the place.
            Err(mpsc::error::TrySendError::Full(said)) => {
                self.ear.surely(said);
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }
}

impl Outlet for ChildOutlet {
    const ALL_NEEDS_ROOM: bool = true;

    async fn ready(&self) -> bool {
        tokio::select! {
            biased;
            listens = self.has_room() => listens || self.ear.closing.is_cancelled(),
            () = self.ear.closing.cancelled() => true,
        }
    }

    fn say(&mut self, outgoing: Outgoing) -> bool {
        let said = match outgoing {
            Outgoing::Event(event) => {
                // Before its task hears it: what that makes of it comes behind.
                self.show(&event);
                match of_event(event) {
                    Some(said) => said,
                    None => return true,
                }
            }
            Outgoing::Answered { reply, answer } => {
                reply(answer);
                return true;
            }
            Outgoing::Set { reply, answer } => {
                reply(answer);
                return true;
            }
            Outgoing::Titled { reply, answer } => {
                reply(answer);
                return true;
            }
            Outgoing::Steered { reply, answer } => {
                reply(answer);
                return true;
            }
            Outgoing::Delivered(prompts) => ChildSaid::Delivered(prompts),
            Outgoing::Replied { text, usage, cost } => ChildSaid::Replied { text, usage, cost },
            Outgoing::Ask(question) => ChildSaid::Ask(question),
            Outgoing::Withdraw(call) => ChildSaid::Withdraw(call),
            Outgoing::Closed(reply) => {
                if let Some(reply) = reply {
                    reply(());
                }
                return true;
            }
        };
        self.pass_on(said)
    }
}

/// What a task hears of an event.
fn of_event(event: Event) -> Option<ChildSaid> {
    match event {
        Event::Said { role: Role::Agent, content: Content::Text { text }, .. } => {
            Some(ChildSaid::Text(text))
        }
        Event::Said { role: Role::Thought, .. } => Some(ChildSaid::Thinks),
        Event::Call(update) => Some(ChildSaid::Call(update)),
        Event::Plan(entries) => Some(ChildSaid::Plan(entries)),
        Event::Said { .. }
        | Event::Usage(_)
        | Event::Title(_)
        | Event::Commands(_)
        | Event::Settings(_)
        | Event::Subagent(_)
        | Event::Between(_)
        | Event::Notice(_)
        | Event::Board(_)
        | Event::FollowUp(_) => None,
    }
}
