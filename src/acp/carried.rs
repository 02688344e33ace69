//! Updates on their way through the SDK, which would make a tree of JSON values of each for someone else to write:
//! most of what an update costs. They are most of what is said, so each becomes its line where it is said, and the
//! SDK carries the text, in its place among all other messages.

use agent_client_protocol::v1::schema as acp;
use agent_client_protocol::{
    Error, JsonRpcMessage, JsonRpcNotification, RawJsonRpcMessage, RawJsonRpcNotification,
    RawJsonRpcParams, UntypedMessage,
};
use serde::Serialize;
use serde_json::{Map, Value};

pub(super) const UPDATE: &str = "session/update";
/// The one member of what is carried; no message has one of this name.
const LINE: &str = "\0line";

/// An update as it will stand on its line.
#[derive(Debug, Clone)]
pub(super) struct Update {
    line: String,
}

impl Update {
    pub(super) fn new(notification: &acp::SessionNotification) -> Result<Self, serde_json::Error> {
        #[derive(Serialize)]
        struct Message<'a> {
            jsonrpc: &'static str,
            method: &'static str,
            params: &'a acp::SessionNotification,
        }
        let message = Message { jsonrpc: "2.0", method: UPDATE, params: notification };
        Ok(Self { line: serde_json::to_string(&message)? })
    }
}

impl JsonRpcMessage for Update {
    /// None that comes in.
    fn matches_method(_method: &str) -> bool {
        false
    }

    fn method(&self) -> &str {
        UPDATE
    }

    fn to_untyped_message(&self) -> Result<UntypedMessage, Error> {
        let line = Value::String(self.line.clone());
        let params = Value::Object(Map::from_iter([(LINE.to_owned(), line)]));
        Ok(UntypedMessage { method: UPDATE.to_owned(), params })
    }

    fn parse_message(_method: &str, _params: &Value) -> Result<Self, Error> {
        Err(Error::method_not_found())
    }
}

impl JsonRpcNotification for Update {}

/// The line that a message carries, if it does.
pub(super) fn take_line(message: &mut RawJsonRpcMessage) -> Option<String> {
    let RawJsonRpcMessage::Notification(RawJsonRpcNotification {
        params: Some(RawJsonRpcParams::Object(params)),
        ..
    }) = message
    else {
        return None;
    };
    match params.get_mut(LINE)? {
        Value::String(line) => Some(std::mem::take(line)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    }
}
