//! From a line to a JSON-RPC frame, or to the answer for a line that is none. Pure. Nothing of a bad line
//! is echoed but a short id; an answer of the client that cannot be used still ends the request that
//! waits for it.

use agent_client_protocol::{
    RawJsonRpcError, RawJsonRpcId, RawJsonRpcMessage, RawJsonRpcResponse, TransportFrame,
};
use serde_json::{Value, json};

use super::lines::{Line, MAX_LINE};

/// The longest id of a request: it is kept until the answer, and echoed in it.
const MAX_ID: usize = 16 * 1024;

const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;

/// What a line is.
#[derive(Debug)]
pub(super) enum Read {
    Frame(TransportFrame),
    /// No frame; this is to be said of it.
    Reply(Value),
    Nothing,
}

/// Reads a line.
pub(super) fn read(line: Line) -> Read {
    match line {
        Line::Text(text) => message(&text),
        Line::TooLong { head } => {
            let what = format!("the line is longer than {} MiB", MAX_LINE / 1024 / 1024);
            unreadable(&head, INVALID_REQUEST, &what)
        }
        Line::NotUtf8 { head } => unreadable(&head, PARSE_ERROR, "the line is not UTF-8"),
    }
}

fn message(text: &str) -> Read {
    let code = match TransportFrame::parse_json(text) {
        TransportFrame::Single(message) => return checked(message, text.len()),
        TransportFrame::Malformed { error, .. } => i32::from(error.code),
        // A kind of frame that this version of the SDK does not have.
        _ => INVALID_REQUEST,
    };
    let Ok(mut value) = serde_json::from_str::<Value>(text) else {
        return Read::Reply(error_line(code, "the line is not JSON", &Value::Null));
    };
    if value.is_array() {
        let what = "batches are not supported: send one message a line";
        return Read::Reply(error_line(code, what, &Value::Null));
    }
    if is_response(&value) {
        // Some clients leave the version out.
        value["jsonrpc"] = json!("2.0");
        return match TransportFrame::parse_json(&value.to_string()) {
            TransportFrame::Single(message) => Read::Frame(TransportFrame::Single(message)),
            TransportFrame::Malformed { .. } | _ => value.get("id").map_or(Read::Nothing, unusable),
        };
    }
    let id = value
        .get("id")
        .filter(|id| id.is_i64() || id.as_str().is_some_and(|id| id.len() <= MAX_ID))
        .unwrap_or(&Value::Null);
    Read::Reply(error_line(code, "the line is not a JSON-RPC 2.0 message", id))
}

fn checked(message: RawJsonRpcMessage, length: usize) -> Read {
    if length > MAX_ID
        && let RawJsonRpcMessage::Request(request) = &message
        && let RawJsonRpcId::Str(id) = &request.id
        && id.len() > MAX_ID
    {
        let what = "the id of a request may be 16 KiB long";
        return Read::Reply(error_line(INVALID_REQUEST, what, &Value::Null));
    }
    Read::Frame(TransportFrame::Single(message))
}

fn is_response(value: &Value) -> bool {
    value.is_object()
        && value.get("method").is_none()
        && (value.get("result").is_some() || value.get("error").is_some())
}

/// A line that is not there whole: an answer of the client fails the request that it answers, anything
/// else is answered. A response never is, or two peers could answer each other for ever.
fn unreadable(head: &str, code: i32, what: &str) -> Read {
    match id_of_response(head) {
        Some(id) => unusable(&id),
        None => Read::Reply(error_line(code, what, &Value::Null)),
    }
}

/// The id of a line that begins like a response, null where the id comes later; `None` for other lines.
fn id_of_response(head: &str) -> Option<Value> {
    let mut rest = head.trim_start().strip_prefix('{')?;
    let mut id = Value::Null;
    loop {
        let (key, after) = first_value(rest)?;
        let after = after.trim_start().strip_prefix(':')?;
        match key.as_str()? {
            "result" | "error" => return Some(id),
            "method" => return None,
            key => {
                let (value, after) = first_value(after)?;
                if key == "id" {
                    id = value;
                }
                rest = after.trim_start().strip_prefix(',')?;
            }
        }
    }
}

/// The JSON value at the beginning of a text, and what follows it.
fn first_value(text: &str) -> Option<(Value, &str)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let value = values.next()?.ok()?;
    Some((value, text.get(values.byte_offset()..)?))
}

/// The answer that a request of ours gets in place of one that cannot be used.
fn unusable(id: &Value) -> Read {
    let id = match id {
        Value::String(id) => RawJsonRpcId::Str(id.clone()),
        Value::Number(number) => match number.as_i64() {
            Some(number) => RawJsonRpcId::Number(number),
            None => return Read::Nothing,
        },
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return Read::Nothing,
    };
    let error = RawJsonRpcError::new(INVALID_REQUEST, "the client's answer could not be read");
    let response = RawJsonRpcResponse::new(id, Err(Box::new(error)));
    Read::Frame(TransportFrame::Single(RawJsonRpcMessage::Response(response)))
}

fn error_line(code: i32, message: &str, id: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::{Read, read};
    use crate::acp::lines::Line;

    fn check(line: Line, expected: &Expect) {
        let text = match read(line) {
            Read::Frame(frame) => format!("frame {}", frame.to_json().unwrap()),
            Read::Reply(reply) => format!("reply {reply}"),
            Read::Nothing => "nothing".to_owned(),
        };
        expected.assert_eq(&text);
    }

    fn text(text: &str) -> Line {
        Line::Text(text.to_owned())
    }

    #[test]
    fn c06_bad_lines_are_answered_without_their_content() {
        check(
            text("{secret"),
            &expect![[
                r#"reply {"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"the line is not JSON"}}"#
            ]],
        );
        check(
            text(r#"{"id":"a","secret":1}"#),
            &expect![[
                r#"reply {"jsonrpc":"2.0","id":"a","error":{"code":-32600,"message":"the line is not a JSON-RPC 2.0 message"}}"#
            ]],
        );
        let id = "x".repeat(20_000);
        check(
            text(&format!(r#"{{"jsonrpc":"2.0","id":"{id}","method":"initialize"}}"#)),
            &expect![[
                r#"reply {"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"the id of a request may be 16 KiB long"}}"#
            ]],
        );
    }

    #[test]
    fn an_answer_that_cannot_be_used_ends_its_request() {
        let failed = expect![[
            r#"frame {"jsonrpc":"2.0","id":"r1","error":{"code":-32600,"message":"the client's answer could not be read"}}"#
        ]];
        let head = r#"{"jsonrpc":"2.0","id":"r1","result":{"content":"\"method\""#.to_owned();
        check(Line::TooLong { head: head.clone() }, &failed);
        check(Line::NotUtf8 { head }, &failed);
        check(text(r#"{"id":"r1","result":1,"error":"both"}"#), &failed);
        check(
            text(r#"{"id":"r1","result":null}"#),
            &expect![[r#"frame {"jsonrpc":"2.0","id":"r1","result":null}"#]],
        );
    }

    #[test]
    fn what_is_no_answer_is_answered() {
        for head in [r#"{"id":1,"method":"x","result":"#, "[", "", r#"{"id":1"#] {
            let Read::Reply(reply) = read(Line::TooLong { head: head.to_owned() }) else {
                panic!("{head}");
            };
            assert_eq!(reply["error"]["code"], -32600);
        }
        check(Line::TooLong { head: r#"{"result":{"#.to_owned() }, &expect!["nothing"]);
    }
}
