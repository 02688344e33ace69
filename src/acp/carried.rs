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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What the SDK would make of it by itself.
    fn by_the_sdk(notification: &acp::SessionNotification) -> String {
        let params = serde_json::to_value(notification).unwrap();
        let message = RawJsonRpcMessage::notification(UPDATE.to_owned(), params).unwrap();
        serde_json::to_string(&message).unwrap()
    }

    fn carried(notification: &acp::SessionNotification) -> String {
        let UntypedMessage { method, params } =
            Update::new(notification).unwrap().to_untyped_message().unwrap();
        let mut message = RawJsonRpcMessage::notification(method, params).unwrap();
        take_line(&mut message).unwrap()
    }

    #[test]
    fn an_update_is_the_line_that_the_sdk_would_write() {
        let text = json!({"type": "text", "text": "a\n\"b\" ü \u{7}"});
        let updates = [
            json!({"sessionUpdate": "agent_message_chunk", "content": text, "messageId": "m1"}),
            json!({"sessionUpdate": "user_message_chunk", "content": {"type": "resource_link", "name": "f", "uri": "file:///f"}}),
            json!({"sessionUpdate": "tool_call", "toolCallId": "c1", "title": "Edit", "kind": "edit", "status": "pending",
                   "content": [{"type": "diff", "path": "/f", "oldText": null, "newText": "x"},
                               {"type": "terminal", "terminalId": "t"}, {"type": "content", "content": text}],
                   "locations": [{"path": "/f", "line": 3}], "rawInput": {"b": [1, 2.5, null], "a": {"c": true}}}),
            json!({"sessionUpdate": "tool_call_update", "toolCallId": "c1", "status": "completed", "rawOutput": "x",
                   "_meta": {"talaria": {"task": {"id": "t1"}}}}),
            json!({"sessionUpdate": "plan", "entries": [{"content": "a", "priority": "high", "status": "pending"}]}),
            json!({"sessionUpdate": "usage_update", "used": 10, "size": 20, "cost": {"amount": 0.25, "currency": "USD"}}),
            json!({"sessionUpdate": "session_info_update", "title": "a title"}),
            json!({"sessionUpdate": "current_mode_update", "currentModeId": "ask"}),
            json!({"sessionUpdate": "available_commands_update", "availableCommands":
                   [{"name": "task", "description": "d", "input": {"hint": "h"}}]}),
        ];
        for update in updates {
            let params = json!({"sessionId": "s", "update": update, "_meta": {"z": 1, "a": 2}});
            let notification: acp::SessionNotification =
                serde_json::from_value(params.clone()).unwrap();
            let line = carried(&notification);
            assert_eq!(line, by_the_sdk(&notification));
            let sent: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(
                sent["params"]["update"]["sessionUpdate"],
                params["update"]["sessionUpdate"]
            );
        }
    }

    #[test]
    fn any_other_message_carries_none() {
        for params in [json!({"sessionId": "s"}), json!([1]), Value::Null] {
            let message = RawJsonRpcMessage::notification("session/update".to_owned(), params);
            assert_eq!(take_line(&mut message.unwrap()), None);
        }
    }
}
