//! What a connection shows its owner: responses, errors and everything else that came from the agent.

use std::fmt;

use serde_json::Value;

use super::process::Ending;
use crate::permission::Answer;

/// A JSON-RPC error.
#[derive(Debug, Clone, PartialEq)]
pub struct RpcError {
    pub code: i64,
    pub message: String,
    pub data: Value,
}

impl RpcError {
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: Value::Null }
    }

    pub(crate) fn from_wire(error: &Value) -> Self {
        Self {
            code: error.get("code").and_then(Value::as_i64).unwrap_or_default(),
            message: error.get("message").and_then(Value::as_str).unwrap_or_default().to_owned(),
            data: error.get("data").cloned().unwrap_or_default(),
        }
    }

    /// The message, and what the data says beyond it.
    pub fn text(&self) -> String {
        let hint =
            ["hint", "details", "message"].iter().find_map(|key| self.data.get(key)?.as_str());
        match hint.or(self.data.as_str()).filter(|more| *more != self.message) {
            Some(more) => format!("{}: {more}", self.message),
            None => self.message.clone(),
        }
    }
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.text(), self.code)
    }
}

/// The id of a request of ours, as JSON text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(pub(crate) String);

impl RequestId {
    /// The id as it is on the wire, a string without its quotes.
    pub fn label(&self) -> &str {
        self.0.trim_matches('"')
    }
}

/// What came from the agent, in the order of the wire.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    Update {
        session: String,
        update: Value,
        /// The `_meta` of the notification, beside the update's own.
        meta: Value,
    },
    Notified {
        method: String,
        params: Value,
    },
    /// A request. A permission request carries what the policy said; without it, nothing yet.
    Asked {
        id: Value,
        method: String,
        params: Value,
        said: Option<Answer>,
    },
    Answered {
        request: RequestId,
        method: String,
        session: String,
        result: Result<Value, RpcError>,
    },
    /// An error that answers no request of ours, such as one for a line that was not JSON.
    Stray(RpcError),
    /// The end; nothing comes after it.
    Ended(Ending),
}
