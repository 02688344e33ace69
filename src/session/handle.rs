//! What others hold of a session: a bounded sender, and a cancel that no full inbox can delay.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot, watch};

use super::{Idle, PromptWaiter, Reply, Setting, Steering};
use crate::event::Settings;
use crate::fault::{Fault, Kind};
use crate::ids::{CallId, PromptId};
use crate::permission::Answer;
use crate::transcript::Content;

/// Requests that wait for a session's actor; it takes them within microseconds.
const INBOX: usize = 256;

/// A request to a session.
pub(super) enum Message {
    Opened,
    Prompt {
        id: PromptId,
        content: Vec<Content>,
        waiter: PromptWaiter,
    },
    Steer {
        id: PromptId,
        content: Vec<Content>,
        idle: Idle,
        reply: Reply<Result<Steering, Fault>>,
    },
    CancelPrompt(PromptId),
    Answer {
        call: CallId,
        answer: Answer,
    },
    Set {
        setting: Setting,
        reply: Reply<Result<Settings, Fault>>,
    },
    /// The title, as it is now kept, or why not.
    SetTitle {
        title: String,
        reply: Reply<Result<String, Fault>>,
    },
    /// End the session as soon as nothing runs or waits in it: it is opened again elsewhere.
    HandOver {
        reply: Reply<()>,
    },
    /// It is not opened elsewhere after all. The reply is dropped uncalled by one that has ended.
    Stay {
        reply: Reply<()>,
    },
    Close {
        reply: Reply<()>,
    },
}

/// The actor's ends of a handle.
pub struct Inbox {
    pub(super) messages: mpsc::Receiver<Message>,
    /// The last prompt that a cancel covers.
    pub(super) cancels: watch::Receiver<u64>,
}

impl Inbox {
    /// Takes nothing more.
    pub fn close(&mut self) {
        self.messages.close();
    }

    /// Ends a session that could not be opened: whoever asked something of it is told why.
    pub fn refuse(mut self, why: &Fault) {
        self.messages.close();
        while let Ok(message) = self.messages.try_recv() {
            match message {
                Message::Prompt { waiter, .. } => (waiter.reply)(Err(why.clone())),
                Message::Set { reply, .. } => reply(Err(why.clone())),
                Message::Steer { reply, .. } => reply(Err(why.clone())),
                Message::SetTitle { reply, .. } => reply(Err(why.clone())),
                Message::HandOver { reply } | Message::Close { reply } => reply(()),
                Message::Opened
                | Message::CancelPrompt(_)
                | Message::Answer { .. }
                | Message::Stay { .. } => {}
            }
        }
    }
}

/// A session, from outside. Cheap to clone. Only the methods that tasks call may wait.
#[derive(Clone)]
pub struct SessionHandle {
    messages: mpsc::Sender<Message>,
    cancels: Arc<watch::Sender<u64>>,
    prompts: Arc<AtomicU64>,
}

/// A handle and the ends that its actor will read.
pub fn handle() -> (SessionHandle, Inbox) {
    let (messages, inbox) = mpsc::channel(INBOX);
    let (cancels, cancelled) = watch::channel(0);
    let handle = SessionHandle {
        messages,
        cancels: Arc::new(cancels),
        prompts: Arc::new(AtomicU64::new(0)),
    };
    (handle, Inbox { messages: inbox, cancels: cancelled })
}

/// Why a session did not take a request; the request's reply was not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTaken {
    /// The session is closed.
    Closed,
    /// Too many requests wait.
    Busy,
}

impl NotTaken {
    pub fn fault(self) -> Fault {
        match self {
            Self::Closed => Fault::new(Kind::User, "the session is closed")
                .with_hint("Start a new one with `session/new`."),
            Self::Busy => Fault::new(Kind::User, "too many requests wait for this session")
                .with_hint("Wait for some answers first."),
        }
    }
}

impl SessionHandle {
    /// Says that the client knows the session now.
    pub fn opened(&self) -> Result<(), NotTaken> {
        self.send(Message::Opened).map_err(|(why, _)| why)
    }

    /// Sends a prompt; its number in this session. Where it is not taken, the reply is called with the
    /// reason.
    pub fn prompt(&self, content: Vec<Content>, waiter: PromptWaiter) -> PromptId {
        self.prompt_for(content, |_| waiter)
    }

    /// The same, with a waiter that knows the number.
    pub(super) fn prompt_for(
        &self,
        content: Vec<Content>,
        waiter: impl FnOnce(PromptId) -> PromptWaiter,
    ) -> PromptId {
        let id = self.next_prompt();
        let waiter = waiter(id);
        let sent = self.send(Message::Prompt { id, content, waiter });
        if let Err((why, Message::Prompt { waiter, .. })) = sent {
            (waiter.reply)(Err(why.fault()));
        }
        id
    }

    /// Says something to the running turn; nobody waits for what comes of it. The reply says whether it was
    /// taken.
    pub fn steer(&self, content: Vec<Content>, idle: Idle, reply: Reply<Result<Steering, Fault>>) {
        let id = self.next_prompt();
        let sent = self.send(Message::Steer { id, content, idle, reply });
        if let Err((why, Message::Steer { reply, .. })) = sent {
            reply(Err(why.fault()));
        }
    }

    /// Cancels one prompt that nobody waits for any more.
    pub async fn cancel_prompt(&self, id: PromptId) {
        // Closed: then it is answered with all others.
        drop(self.messages.send(Message::CancelPrompt(id)).await);
    }

    /// Cancels what runs and waits now. Prompts sent later are not touched.
    pub fn cancel(&self) {
        let last = self.prompts.load(Ordering::SeqCst);
        self.cancels.send_replace(last);
    }

    /// Answers a question.
    pub async fn answer(&self, call: CallId, answer: Answer) -> Result<(), NotTaken> {
        let sent = self.messages.send(Message::Answer { call, answer }).await;
        sent.map_err(|_| NotTaken::Closed)
    }

    pub fn set(&self, setting: Setting, reply: Reply<Result<Settings, Fault>>) {
        if let Err((why, Message::Set { reply, .. })) = self.send(Message::Set { setting, reply }) {
            reply(Err(why.fault()));
        }
    }

    /// Names the session, by the user's wish.
    pub fn set_title(&self, title: String, reply: Reply<Result<String, Fault>>) {
        let sent = self.send(Message::SetTitle { title, reply });
        if let Err((why, Message::SetTitle { reply, .. })) = sent {
            reply(Err(why.fault()));
        }
    }

    /// Ends the session once nothing runs or waits in it; the reply is called when it has let go of its
    /// journal.
    pub async fn hand_over(&self, reply: Reply<()>) {
        let sent = self.messages.send(Message::HandOver { reply }).await;
        if let Err(mpsc::error::SendError(Message::HandOver { reply })) = sent {
            reply(());
        }
    }

    /// Takes a `hand_over` back; false when the session has ended by then.
    pub async fn stay(&self) -> bool {
        let (stays, said) = oneshot::channel();
        let reply = Box::new(move |()| {
            stays.send(()).ok();
        });
        self.messages.send(Message::Stay { reply }).await.is_ok() && said.await.is_ok()
    }

    /// Ends the session; the reply is called when everything in it has stopped.
    pub async fn close(&self, reply: Reply<()>) {
        let sent = self.messages.send(Message::Close { reply }).await;
        if let Err(mpsc::error::SendError(Message::Close { reply })) = sent {
            reply(());
        }
    }

    /// Whether the session still runs.
    pub fn is_open(&self) -> bool {
        !self.messages.is_closed()
    }

    fn next_prompt(&self) -> PromptId {
        PromptId(self.prompts.fetch_add(1, Ordering::SeqCst) + 1)
    }

    fn send(&self, message: Message) -> Result<(), (NotTaken, Message)> {
        self.messages.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(message) => (NotTaken::Busy, message),
            mpsc::error::TrySendError::Closed(message) => (NotTaken::Closed, message),
        })
    }
}
