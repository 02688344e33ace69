//! The methods that are not the protocol's own: those about tasks, which the control table serves, and steering.

use agent_client_protocol::v1::schema as acp;
use agent_client_protocol::{Error, ErrorCode};
use futures::FutureExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;

use super::dispatch::Server;
use super::handler::Answering;
use super::inbound::{self, error_of, invalid, parse, unknown_method};
use super::open::{at_the_end, ended};
use super::sessions::{OnItsWay, OpeningFailure};
use super::transport::OpenPrompt;
use crate::control::{CallError, extension};
use crate::fault::Fault;
use crate::session::{Idle, Steering};

/// Waits for reports that may go on at once.
pub(super) const MOST_WAITS: usize = 256;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SteeringRequest {
    session_id: acp::SessionId,
    prompt: Vec<acp::ContentBlock>,
    #[serde(default, rename = "_meta")]
    meta: Option<SteeringMeta>,
}

#[derive(Deserialize)]
struct SteeringMeta {
    #[serde(default)]
    steering: Option<SteeringOptions>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SteeringOptions {
    #[serde(default)]
    idle_behavior: Option<IdleBehavior>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
enum IdleBehavior {
    PromptRequired,
}

/// What a call waits for before, and what it takes.
struct Call {
    session: Option<OnItsWay>,
    waits: Option<(OwnedSemaphorePermit, OpenPrompt)>,
}

impl Server {
    /// A method of the control table, for a session of this connection.
    pub(super) fn call_table(&mut self, method: &str, params: Value, answering: Answering) {
        let Call { session, waits } = match self.check_call(method, &params) {
            Ok(call) => call,
            Err(error) => return answering.error(error),
        };
        let (table, method) = (self.table.clone(), method.to_owned());
        let (cancellation, stop) = (answering.cancellation(), self.stop.clone());
        let mut served = Box::pin(async move {
            let opened = async {
                match session {
                    Some(session) => session.opened().await,
                    None => Ok(()),
                }
            };
            let called = async {
                tokio::select! {
                    biased;
                    opened = opened => opened?,
                    () = cancellation.cancelled() => return Err(Error::request_cancelled()),
                }
                let call = table.call(&method, params);
                tokio::select! {
                    biased;
                    answer = call => answer.map_err(error_of_call),
                    // What changes something is done, and its caller told what came of it.
                    () = cancellation.cancelled(), if waits.is_some() => {
                        Err(Error::request_cancelled())
                    }
                }
            };
            let answer = tokio::select! {
                biased;
                answer = called => answer,
                () = at_the_end(&stop) => Err(error_of(&ended())),
            };
            drop(waits);
            match answer {
                Ok(value) => answering.value(&value),
                Err(error) => answering.error(error),
            }
        });
        // Begun here, so that tasks hear of requests in the order in which these came.
        if (&mut served).now_or_never().is_none() {
            self.tasks.spawn(served);
        }
    }

    fn check_call(&self, method: &str, params: &Value) -> Result<Call, Error> {
        if !self.table.requests().any(|served| served == method) {
            return Err(unknown_method(method));
        }
        let session = match params.get("sessionId").and_then(Value::as_str) {
            Some(id) => {
                let session = self.sessions.on_its_way(id);
                Some(session.ok_or_else(|| {
                    let data = json!({ "kind": "unknownSession" });
                    self.unknown(&acp::SessionId::new(id)).data(data)
                })?)
            }
            // The table says what is missing.
            None => None,
        };
        if extension::starts_work(method) {
            self.signed_in()?;
        }
        let waits = if extension::may_wait(method) {
            let permit = self.waits.clone().try_acquire_owned();
            let permit = permit.map_err(|_| {
                invalid(&format!("{MOST_WAITS} requests wait for tasks already: wait for some"))
                    .data(json!({ "kind": "limit" }))
            })?;
            // It may take for ever, as a prompt may.
            Some((permit, self.wire.open_prompt()))
        } else {
            None
        };
        Ok(Call { session, waits })
    }

    /// `_session/steering`, as other agents serve it.
    pub(super) fn steer(&mut self, method: &str, params: Value, answering: Answering) {
        let checked = parse::<SteeringRequest>(method, params).and_then(|request| {
            let session = self.session(&request.session_id)?;
            self.signed_in()?;
            let steering = request.meta.and_then(|meta| meta.steering);
            let idle = match steering.and_then(|steering| steering.idle_behavior) {
                Some(IdleBehavior::PromptRequired) => Idle::Refuse,
                None => Idle::Begin,
            };
            Ok((session, request.session_id, inbound::content(request.prompt)?, idle))
        });
        match checked {
            Ok(((session, failure), id, content, idle)) => {
                self.used(&id);
                let reply = move |steered| reply_steered(answering, &failure, steered);
                session.steer(content, idle, Box::new(reply));
            }
            Err(error) => answering.error(error),
        }
    }
}

fn reply_steered(answering: Answering, failure: &OpeningFailure, steered: Result<Steering, Fault>) {
    match steered {
        Ok(Steering::Injected) => answering.value(&json!({ "outcome": "injected" })),
        Ok(Steering::Began) => answering.value(&json!({ "outcome": "startedNewTurn" })),
        Ok(Steering::NothingRuns) => {
            answering.value(&json!({ "outcome": "promptRequired", "reason": "noRunningTurn" }));
        }
        Err(fault) => answering.error(failure.or(&fault)),
    }
}

fn error_of_call(error: CallError) -> Error {
    let CallError { code, message, data } = error;
    Error::new(ErrorCode::from(code), message).data(data)
}
