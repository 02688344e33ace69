//! The chunks of chat completions, as `api.openai.com` and the many servers that imitate it send them.

use serde::Deserialize;
use serde_json::Value;

use super::{Assembly, Trouble};
use crate::model::Stop;
use crate::transcript::{Thought, Usage};

/// Which call of the reply a piece belongs to.
#[derive(Default)]
pub(super) struct Chat {
    calls: Vec<Known>,
    /// Reasoning that is to be handed back.
    reasoning: String,
    refused: bool,
}

struct Known {
    index: Option<u64>,
    id: String,
    call: usize,
}

#[derive(Deserialize)]
struct Chunk {
    choices: Option<Vec<Choice>>,
    usage: Option<Value>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(alias = "message")]
    delta: Option<Piece>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Piece {
    content: Option<Value>,
    reasoning_content: Option<Value>,
    reasoning: Option<Value>,
    refusal: Option<String>,
    tool_calls: Option<Vec<CallPiece>>,
}

#[derive(Deserialize)]
struct CallPiece {
    index: Option<u64>,
    id: Option<String>,
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: Option<String>,
    arguments: Option<Value>,
}

impl Chat {
    pub(super) fn frame(&mut self, data: &str, reply: &mut Assembly) {
        if data == "[DONE]" {
            reply.over = true;
            self.settle(reply);
            return;
        }
        let chunk: Chunk = match serde_json::from_str(data) {
            Ok(chunk) => chunk,
            Err(error) => {
                // An error may have any shape around it.
                match serde_json::from_str::<Value>(data)
                    .ok()
                    .filter(|body| has_error(body.get("error")))
                {
                    Some(body) => reply.trouble = Some(Trouble::Said(body)),
                    None => reply.unreadable(&error, data),
                }
                return;
            }
        };
        if has_error(chunk.error.as_ref()) {
            reply.trouble = Some(Trouble::Said(chunk.error.unwrap_or_default()));
            return;
        }
        if chunk.choices.is_some() {
            reply.events += 1;
        }
        if let Some(usage) = chunk.usage.filter(|usage| !usage.is_null()) {
            reply.usage = read_usage(&usage);
        }
        let Some(choice) = chunk.choices.into_iter().flatten().next() else { return };
        if let Some(piece) = choice.delta {
            self.piece(piece, reply);
        }
        if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
            reply.stop = Some(match reason.as_str() {
                "length" | "max_tokens" => Stop::MaxTokens,
                "content_filter" | "refusal" => Stop::Refused,
                _ if self.refused => Stop::Refused,
                _ => Stop::Finished,
            });
            self.settle(reply);
        }
    }

    fn piece(&mut self, piece: Piece, reply: &mut Assembly) {
        if let Some(reasoning) = piece.reasoning_content.and_then(text) {
            self.reasoning.push_str(&reasoning);
            reply.thought(reasoning);
        } else if let Some(reasoning) = piece.reasoning.and_then(text) {
            reply.thought(reasoning);
        }
        match piece.content {
            Some(Value::Array(parts)) => {
                for part in parts {
                    content_part(part, reply);
                }
            }
            Some(content) => reply.text(text(content).unwrap_or_default()),
            None => {}
        }
        if let Some(refusal) = piece.refusal.filter(|refusal| !refusal.is_empty()) {
            self.refused = true;
            reply.text(refusal);
        }
        for call in piece.tool_calls.into_iter().flatten() {
            self.call(call, reply);
        }
    }

    fn call(&mut self, piece: CallPiece, reply: &mut Assembly) {
        let CallPiece { index, id, function } = piece;
        let (name, arguments) =
            function.map_or((None, None), |function| (function.name, function.arguments));
        let id = id.unwrap_or_default();
        let name = name.unwrap_or_default();
        let call = self.find(index, &id, &name).unwrap_or_else(|| {
            let call = reply.call(&name);
            self.calls.push(Known { index, id, call });
            call
        });
        match arguments {
            Some(Value::String(piece)) => reply.input(call, &piece),
            Some(Value::Null) | None => {}
            Some(whole) => reply.input(call, &whole.to_string()),
        }
    }

    /// The call that a piece goes on with. Pieces have an index, or an id, or neither after the first;
    /// some servers number every call 0, so a new id with a name is a new call.
    fn find(&self, index: Option<u64>, id: &str, name: &str) -> Option<usize> {
        let known = match index {
            Some(_) => self
                .calls
                .iter()
                .rev()
                .find(|known| known.index == index)
                .filter(|known| id.is_empty() || known.id == id || name.is_empty()),
            None if !id.is_empty() => self.calls.iter().rev().find(|known| known.id == id),
            None if name.is_empty() => self.calls.last(),
            None => None,
        };
        known.map(|known| known.call)
    }

    /// Hands over the reasoning once.
    fn settle(&mut self, reply: &mut Assembly) {
        if !self.reasoning.is_empty() {
            reply
                .thoughts
                .push(Thought { text: std::mem::take(&mut self.reasoning), signature: None });
        }
    }
}

fn has_error(error: Option<&Value>) -> bool {
    match error {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Object(fields)) => !fields.is_empty(),
        Some(Value::Bool(true) | Value::Number(_) | Value::Array(_)) => true,
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text),
        Value::String(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Array(_)
        | Value::Object(_) => None,
    }
}

/// Content in parts: `{"type": "text", "text": …}` or `{"type": "thinking", "thinking": [parts]}`.
fn content_part(mut part: Value, reply: &mut Assembly) {
    if let Some(Value::Array(thoughts)) = part.get_mut("thinking").map(Value::take) {
        for mut thought in thoughts {
            if let Some(thought) = thought.get_mut("text").map(Value::take).and_then(text) {
                reply.thought(thought);
            }
        }
    } else if let Some(content) = part.get_mut("text").map(Value::take).and_then(text) {
        reply.text(content);
    }
}

fn read_usage(usage: &Value) -> Usage {
    let count = |pointer: &str| usage.pointer(pointer).and_then(Value::as_u64);
    Usage {
        input: count("/prompt_tokens").unwrap_or(0),
        output: count("/completion_tokens").unwrap_or(0),
        cached: count("/prompt_tokens_details/cached_tokens")
            .or_else(|| count("/prompt_cache_hit_tokens"))
            .unwrap_or(0),
    }
}
