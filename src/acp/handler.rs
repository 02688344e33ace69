//! The SDK's side of the method table: it hands requests and notifications over and keeps their
//! panics, which cost a request, not the process. It knows no method.

use std::panic::{AssertUnwindSafe, catch_unwind};

use agent_client_protocol::{
    Client, ConnectionTo, Dispatch, Error, HandleDispatchFrom, Handled, RequestCancellation,
    Responder,
};
use serde::Serialize;
use serde_json::Value;

/// What serves methods. Nothing in it waits.
pub(super) trait Table: Send {
    fn request(
        &mut self,
        method: &str,
        params: Value,
        answering: Answering,
        connection: &ConnectionTo<Client>,
    );

    fn notification(&mut self, method: &str, params: Value);
}

/// A request's one answer. Dropped unused, the connection answers with an internal error.
pub(super) struct Answering {
    responder: Responder<Value>,
}

impl Answering {
    pub(super) fn value(self, value: &impl Serialize) {
        let answer = serde_json::to_value(value).map_err(|_| Error::internal_error());
        if self.responder.respond_with_result(answer).is_err() {
            tracing::debug!("an answer came after the end of the connection");
        }
    }

    pub(super) fn error(self, error: Error) {
        if self.responder.respond_with_error(error).is_err() {
            tracing::debug!("an answer came after the end of the connection");
        }
    }

    pub(super) fn cancellation(&self) -> RequestCancellation {
        self.responder.cancellation()
    }
}

pub(super) struct Handler<T> {
    table: T,
}

impl<T: Table> Handler<T> {
    pub(super) fn new(table: T) -> Self {
        Self { table }
    }
}

impl<T: Table> HandleDispatchFrom<Client> for Handler<T> {
    async fn handle_dispatch_from(
        &mut self,
        message: Dispatch,
        connection: ConnectionTo<Client>,
    ) -> Result<Handled<Dispatch>, Error> {
        let handled = match message {
            Dispatch::Request(request, responder) => {
                let (method, params) = request.into_parts();
                let answering = Answering { responder };
                let run = || self.table.request(&method, params, answering, &connection);
                catch_unwind(AssertUnwindSafe(run))
            }
            Dispatch::Notification(notification) => {
                let (method, params) = notification.into_parts();
                catch_unwind(AssertUnwindSafe(|| self.table.notification(&method, params)))
            }
            response @ Dispatch::Response(..) => {
                return Ok(Handled::No { message: response, retry: false });
            }
        };
        if handled.is_err() {
            tracing::error!("a handler panicked");
        }
        Ok(Handled::Yes)
    }

    fn describe_chain(&self) -> impl std::fmt::Debug {
        "talaria"
    }
}

#[cfg(test)]
mod tests {
    use agent_client_protocol::{Agent, Channel, TransportFrame};
    use futures::StreamExt;
    use serde_json::json;

    use super::*;

    struct Broken;

    impl Table for Broken {
        fn request(
            &mut self,
            method: &str,
            _params: Value,
            answering: Answering,
            _connection: &ConnectionTo<Client>,
        ) {
            assert_ne!(method, "broken", "a defect, on purpose");
            answering.value(&json!({ "method": method }));
        }

        fn notification(&mut self, method: &str, _params: Value) {
            assert_ne!(method, "broken", "a defect, on purpose");
        }
    }

    #[tokio::test]
    async fn c13_c15_a_panic_costs_its_request_and_no_other() {
        let (ours, theirs) = Channel::duplex();
        let (mut answers, requests) = ours.into_parts();
        for line in [
            r#"{"jsonrpc":"2.0","id":1,"method":"broken","params":{"secret":1}}"#,
            r#"{"jsonrpc":"2.0","method":"broken","params":{}}"#,
            r#"{"jsonrpc":"2.0","id":2,"method":"whole","params":{}}"#,
        ] {
            requests.unbounded_send(TransportFrame::parse_json(line)).unwrap();
        }
        drop(requests);
        let connection = Agent.v1().with_handler(Handler::new(Broken)).connect_to(theirs);
        let reading = async {
            let mut lines = Vec::new();
            while let Some(frame) = answers.next().await {
                lines.push(frame.to_json().unwrap());
            }
            lines
        };
        let (connected, lines) = tokio::join!(connection, reading);
        connected.unwrap();
        let answers: Vec<Value> =
            lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(answers.len(), 2, "{answers:?}");
        assert_eq!((&answers[0]["id"], &answers[0]["error"]["code"]), (&json!(1), &json!(-32603)));
        assert_eq!(
            answers[1],
            json!({ "jsonrpc": "2.0", "id": 2, "result": { "method": "whole" } })
        );
        assert!(!lines[0].contains("secret") && !lines[0].contains("purpose"), "{lines:?}");
    }
}
