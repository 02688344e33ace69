//! Brings what a session says to the client, in order: updates as fast as the client reads, answers and
//! questions in their place between them.

use std::collections::HashMap;

use agent_client_protocol::v1::schema as acp;
use agent_client_protocol::{Client, ConnectionTo, Error, RequestCancellationHandle};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::carried::Update;
use super::children::KnownChildren;
use super::events::Events;
use super::project::v1;
use super::transport::Wire;
use crate::event::{CallUpdate, Event, FollowUpMark, OfChild, Question, Subagent};
use crate::ids::{CallId, SessionId};
use crate::permission::Answer;
use crate::session::directory::Listed;
use crate::session::{Outgoing, Outlet, SessionHandle};

/// The updates of one session.
#[derive(Clone)]
pub(super) struct Updates {
    pub(super) id: acp::SessionId,
    pub(super) connection: ConnectionTo<Client>,
    pub(super) wire: Wire,
    /// Those of the root session.
    pub(super) children: KnownChildren,
}

/// A turn that no prompt asked for: all that is said while it runs says so. No client shows a busy mark for
/// it, and one that knows Talaria can.
#[derive(Debug, Default)]
pub(super) enum FollowUp {
    #[default]
    No,
    Runs(FollowUpMark),
    /// The next words are the last of it.
    Ends(FollowUpMark),
}

impl FollowUp {
    /// What an event is marked with.
    fn marks(&mut self, event: &Event) -> Option<acp::Meta> {
        match (std::mem::take(self), event) {
            (_, Event::FollowUp(Some(mark))) => *self = Self::Runs(mark.clone()),
            (Self::Runs(mark), Event::FollowUp(None)) => *self = Self::Ends(mark),
            (Self::Runs(mark), _) => {
                let meta = v1::follow_up(&mark, false);
                *self = Self::Runs(mark);
                return Some(meta);
            }
            (Self::Ends(mark), Event::Said { .. }) => return Some(v1::follow_up(&mark, true)),
            (other, _) => *self = other,
        }
        None
    }
}

/// What follows from an event that was written.
pub(super) struct Written {
    pub(super) updates: usize,
    is_heard: bool,
    announced: Option<Subagent>,
}

/// The way from one session to the client.
pub(super) struct Flow {
    pub(super) updates: Updates,
    pub(super) session: SessionHandle,
    pub(super) tasks: TaskTracker,
    pub(super) questions: Questions,
    pub(super) follow_up: FollowUp,
    /// Where the client wants them.
    pub(super) events: Option<Events>,
    /// So that others find the session as long as it speaks.
    pub(super) _listed: Listed,
    /// Dropped when the session has ended, behind its last word.
    pub(super) _over: DropGuard,
}

/// The permission requests that wait for the client.
#[derive(Default)]
pub(super) struct Questions(HashMap<CallId, Asked>);

/// A permission request that the client has not answered.
pub(super) struct Asked {
    request: RequestCancellationHandle,
    withdrawn: CancellationToken,
}

impl Asked {
    /// Tells the client now, so that what is said next comes after it, and ends the wait.
    fn withdraw(&self) {
        if self.request.cancel().is_err() {
            tracing::debug!("a question was withdrawn after the end of the connection");
        }
        self.withdrawn.cancel();
    }
}

impl Outlet for Flow {
    async fn ready(&self) -> bool {
        self.updates.ready().await
    }

    fn say(&mut self, outgoing: Outgoing) -> bool {
        match outgoing {
            Outgoing::Event(event) => {
                let meta = self.follow_up.marks(&event);
                return self.updates.send(event, meta.as_ref());
            }
            Outgoing::Answered { reply, answer } => reply(answer),
            Outgoing::Set { reply, answer } => reply(answer),
            Outgoing::Titled { reply, answer } => reply(answer),
            Outgoing::Steered { reply, answer } => reply(answer),
            // No client has a session that says them.
            Outgoing::Delivered(_) | Outgoing::Replied { .. } => {}
            Outgoing::Ask(question) => {
                self.questions.0.retain(|_, asked| !asked.withdrawn.is_cancelled());
                let asked = self.ask(question.clone());
                self.questions.0.insert(question.call.id, asked);
            }
            Outgoing::Withdraw(call) => {
                if let Some(asked) = self.questions.0.remove(&call) {
                    asked.withdraw();
                }
            }
            Outgoing::Closed(reply) => {
                if let Some(events) = &self.events {
                    events.end();
                }
                for asked in self.questions.0.values() {
                    asked.withdraw();
                }
                if let Some(reply) = reply {
                    reply(());
                }
            }
        }
        true
    }
}

impl Updates {
    /// Waits until one more event may be sent; false when nobody reads any more.
    pub(super) async fn ready(&self) -> bool {
        self.wire.permit_update().await
    }

    /// Those of a session that does a task of this one.
    pub(super) fn of(&self, child: &SessionId) -> Self {
        Self { id: acp::SessionId::new(child.as_str()), ..self.clone() }
    }

    /// Sends the updates of an event, for which one permit was taken; false when nobody reads any more.
    pub(super) fn send(&self, event: Event, meta: Option<&acp::Meta>) -> bool {
        let written = self.write(event, meta);
        self.wire.took_permits(written.updates);
        self.follow(written)
    }

    /// Hands the updates of an event over, whatever room there is.
    pub(super) fn write(&self, event: Event, meta: Option<&acp::Meta>) -> Written {
        let announced =
            if let Event::Subagent(subagent) = &event { Some(subagent.clone()) } else { None };
        // No message names a child that the client does not know of.
        let names_unknown =
            matches!(&event, Event::Between(between) if !self.children.has(&between.child));
        let notifications =
            if names_unknown { Vec::new() } else { v1::notifications(&self.id, event) };
        let written = |notification: acp::SessionNotification| {
            let update = Update::new(&notification.meta(meta.cloned()));
            update.inspect_err(|error| tracing::error!(%error, "an update is no JSON")).ok()
        };
        let sent: Vec<Update> = notifications.into_iter().filter_map(written).collect();
        let updates = sent.len();
        let is_heard =
            sent.into_iter().all(|update| self.connection.send_notification(update).is_ok());
        Written { updates, is_heard, announced }
    }

    /// Says to the children what follows from it; false when nobody reads any more.
    pub(super) fn follow(&self, written: Written) -> bool {
        let session = SessionId::new(self.id.0.clone());
        match written.announced {
            Some(subagent) => self.children.announced(&session, subagent),
            None => self.children.spoke(&session),
        }
        written.is_heard
    }

    /// Answers the opening of the session, and says which children go on in it before they say more: a client
    /// that shows a session anew asks for nothing of what it knew before.
    pub(super) fn open(&self, answer: impl FnOnce()) {
        self.children.in_silence(|living| {
            answer();
            for (parent, child) in living {
                let updates = self.of(&parent).write(Event::Subagent(child), None).updates;
                self.wire.took_room(updates);
            }
        });
    }
}

impl Flow {
    /// Sends the request now and waits for its answer elsewhere.
    fn ask(&self, question: Question) -> Asked {
        let withdrawn = CancellationToken::new();
        let call = question.id().clone();
        let choices = v1::choices(&question.grant);
        let request = match question.of {
            Some(of) if self.updates.children.has(&of.child) => {
                let call = v1::call_patch(own_call(question.call, &of));
                acp::RequestPermissionRequest::new(of.child.as_str().to_owned(), call, choices)
            }
            Some(_) | None => {
                let call = v1::call_patch(question.call);
                acp::RequestPermissionRequest::new(self.updates.id.clone(), call, choices)
            }
        };
        let sent = self.updates.connection.send_request(request);
        let request = sent.cancellation_handle();
        let session = self.session.clone();
        let token = withdrawn.clone();
        self.tasks.spawn(async move {
            let answer = tokio::select! {
                biased;
                () = token.cancelled() => return,
                answer = sent.block_task() => answer_of(answer),
            };
            token.cancel();
            if session.answer(call, answer).await.is_err() {
                tracing::warn!("an answer came for a session that takes none");
            }
        });
        Asked { request, withdrawn }
    }
}

/// A call of a task as it is in the session that does it: without what says whose it is, which is what
/// `tasks::card::asked_title` puts before its title.
fn own_call(call: CallUpdate, of: &OfChild) -> CallUpdate {
    let title = call.title.map(|title| match title.split_once("` · ") {
        Some((_, own)) => own.to_owned(),
        None => title,
    });
    CallUpdate { id: of.call.clone(), title, task: None, ..call }
}

/// Only an offered option that was selected is an answer; everything else permits nothing.
fn answer_of(response: Result<acp::RequestPermissionResponse, Error>) -> Answer {
    match response {
        Ok(response) => match response.outcome {
            acp::RequestPermissionOutcome::Selected(selected) => {
                Answer::from_id(&selected.option_id.0)
            }
            acp::RequestPermissionOutcome::Cancelled | _ => Answer::Unanswered,
        },
        Err(error) => {
            tracing::info!(code = i32::from(error.code), "a permission request failed");
            Answer::Unanswered
        }
    }
}
