//! Brings what a session says to the client, in order: updates as fast as the client reads, answers and
//! questions in their place between them.

use std::collections::HashMap;

use agent_client_protocol::v1::schema as acp;
use agent_client_protocol::{Client, ConnectionTo, Error, RequestCancellationHandle};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::project::v1;
use super::transport::Wire;
use crate::event::{Event, Question};
use crate::ids::CallId;
use crate::permission::Answer;
use crate::session::{Outgoing, Outlet, SessionHandle};

/// The updates of one session.
#[derive(Clone)]
pub(super) struct Updates {
    pub(super) id: acp::SessionId,
    pub(super) connection: ConnectionTo<Client>,
    pub(super) wire: Wire,
}

/// The way from one session to the client.
pub(super) struct Flow {
    pub(super) updates: Updates,
    pub(super) session: SessionHandle,
    pub(super) tasks: TaskTracker,
    pub(super) questions: Questions,
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
            Outgoing::Event(event) => return self.updates.send(event),
            Outgoing::Answered { reply, answer } => reply(answer),
            Outgoing::Set { reply, answer } => reply(answer),
            Outgoing::Titled { reply, answer } => reply(answer),
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

    /// Sends the updates of an event, for which one permit was taken; false when nobody reads any more.
    pub(super) fn send(&self, event: Event) -> bool {
        let updates = v1::updates(event);
        self.wire.took_permits(updates.len());
        updates.into_iter().all(|update| {
            let notification = acp::SessionNotification::new(self.id.clone(), update);
            self.connection.send_notification(notification).is_ok()
        })
    }
}

impl Flow {
    /// Sends the request now and waits for its answer elsewhere.
    fn ask(&self, question: Question) -> Asked {
        let withdrawn = CancellationToken::new();
        let call = question.id().clone();
        let choices = v1::choices(&question.grant);
        let request = acp::RequestPermissionRequest::new(
            self.updates.id.clone(),
            v1::call_patch(question.call),
            choices,
        );
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
