//! Brings what a session says to the client, in order: updates as fast as the client reads, answers and
//! questions in their place between them.

use std::collections::HashMap;

use agent_client_protocol::v1::schema as acp;
use agent_client_protocol::{Client, ConnectionTo, Error, RequestCancellationHandle};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::project::v1;
use super::transport::Wire;
use crate::event::Question;
use crate::ids::CallId;
use crate::permission::Answer;
use crate::session::{Outgoing, SessionHandle};

/// The way from one session to the client.
pub(super) struct Flow {
    pub(super) id: acp::SessionId,
    pub(super) connection: ConnectionTo<Client>,
    pub(super) wire: Wire,
    pub(super) session: SessionHandle,
    pub(super) tasks: TaskTracker,
}

/// A permission request that the client has not answered.
struct Asked {
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

impl Flow {
    /// Runs until the session is over or the client is gone.
    pub(super) async fn run(self, mut outgoing: mpsc::Receiver<Outgoing>) {
        let mut questions: HashMap<CallId, Asked> = HashMap::new();
        while let Some(item) = outgoing.recv().await {
            match item {
                Outgoing::Event(event) => {
                    for update in v1::updates(event) {
                        if !self.wire.permit_update().await {
                            return;
                        }
                        let notification = acp::SessionNotification::new(self.id.clone(), update);
                        if self.connection.send_notification(notification).is_err() {
                            return;
                        }
                    }
                }
                Outgoing::Answered { reply, answer } => reply(answer),
                Outgoing::Set { reply, answer } => reply(answer),
                Outgoing::Ask(question) => {
                    questions.retain(|_, asked| !asked.withdrawn.is_cancelled());
                    questions.insert(question.id().clone(), self.ask(question));
                }
                Outgoing::Withdraw(call) => {
                    if let Some(asked) = questions.remove(&call) {
                        asked.withdraw();
                    }
                }
                Outgoing::Closed(reply) => {
                    for asked in questions.values() {
                        asked.withdraw();
                    }
                    if let Some(reply) = reply {
                        reply(());
                    }
                    return;
                }
            }
        }
    }

    /// Sends the request now and waits for its answer elsewhere.
    fn ask(&self, question: Question) -> Asked {
        let withdrawn = CancellationToken::new();
        let call = question.id().clone();
        let choices = v1::choices(&question.grant);
        let request = acp::RequestPermissionRequest::new(
            self.id.clone(),
            v1::call_patch(question.call),
            choices,
        );
        let sent = self.connection.send_request(request);
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
