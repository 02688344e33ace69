//! The events of Anthropic's messages.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Assembly, REDACTED, Trouble};
use crate::model::Stop;
use crate::transcript::Thought;

/// The content blocks that are open.
#[derive(Default)]
pub(super) struct Messages {
    blocks: HashMap<u64, Block>,
    usage: Counts,
}

#[derive(Clone, Copy)]
enum Block {
    Call(usize),
    Thought(usize),
    Other,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: Option<String>,
    index: Option<u64>,
    message: Option<Message>,
    content_block: Option<Begin>,
    delta: Option<Piece>,
    usage: Option<Counts>,
}

#[derive(Deserialize)]
struct Message {
    usage: Option<Counts>,
}

#[derive(Deserialize)]
struct Begin {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    thinking: Option<String>,
    signature: Option<String>,
    name: Option<String>,
    input: Option<Value>,
    data: Option<String>,
}

#[derive(Deserialize)]
struct Piece {
    text: Option<String>,
    thinking: Option<String>,
    signature: Option<String>,
    partial_json: Option<String>,
    stop_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Counts {
    #[serde(rename = "input_tokens")]
    input: Option<u64>,
    #[serde(rename = "output_tokens")]
    output: Option<u64>,
    #[serde(rename = "cache_creation_input_tokens")]
    cache_written: Option<u64>,
    #[serde(rename = "cache_read_input_tokens")]
    cache_read: Option<u64>,
}

impl Messages {
    pub(super) fn frame(&mut self, name: Option<&str>, data: &str, reply: &mut Assembly) {
        let event: Event = match serde_json::from_str(data) {
            Ok(event) => event,
            Err(error) => {
                match serde_json::from_str::<Value>(data) {
                    Ok(body) if name == Some("error") || body.get("error").is_some() => {
                        reply.trouble = Some(Trouble::Said(body));
                    }
                    _ if name == Some("error") => {
                        reply.trouble = Some(Trouble::Said(Value::from(data)));
                    }
                    _ => reply.unreadable(&error, data),
                }
                return;
            }
        };
        match event.kind.as_deref().or(name).unwrap_or_default() {
            "error" => {
                reply.trouble = Some(Trouble::Said(serde_json::from_str(data).unwrap_or_default()));
                return;
            }
            "message_start" => {
                if let Some(usage) = event.message.and_then(|message| message.usage) {
                    self.count(&usage, reply);
                }
            }
            "content_block_start" => {
                if let Some(block) = event.content_block {
                    self.begin(event.index.unwrap_or(0), block, reply);
                }
            }
            "content_block_delta" => {
                let block =
                    self.blocks.get(&event.index.unwrap_or(0)).copied().unwrap_or(Block::Other);
                if let Some(piece) = event.delta {
                    add(block, piece, reply);
                }
            }
            "content_block_stop" => {
                self.blocks.remove(&event.index.unwrap_or(0));
            }
            "message_delta" => {
                if let Some(usage) = event.usage {
                    self.count(&usage, reply);
                }
                if let Some(reason) = event.delta.and_then(|delta| delta.stop_reason) {
                    reply.stop = Some(match reason.as_str() {
                        "max_tokens" | "model_context_window_exceeded" => Stop::MaxTokens,
                        "refusal" => Stop::Refused,
                        _ => Stop::Finished,
                    });
                }
            }
            "message_stop" => reply.over = true,
            "ping" => {}
            _ => return,
        }
        reply.events += 1;
    }

    fn begin(&mut self, index: u64, block: Begin, reply: &mut Assembly) {
        let open = match block.kind.as_str() {
            "tool_use" => {
                let call = reply.call(&block.name.unwrap_or_default());
                // Whole already, where the server does not stream inputs.
                if let Some(input) =
                    block.input.filter(|input| input.as_object().is_some_and(|o| !o.is_empty()))
                {
                    reply.input(call, &input.to_string());
                }
                Block::Call(call)
            }
            "thinking" => {
                let text = block.thinking.unwrap_or_default();
                let signature = block.signature.filter(|signature| !signature.is_empty());
                reply.thoughts.push(Thought { text: text.clone(), signature });
                reply.thought(text);
                Block::Thought(reply.thoughts.len() - 1)
            }
            "redacted_thinking" => {
                let signature = Some(format!("{REDACTED}{}", block.data.unwrap_or_default()));
                reply.thoughts.push(Thought { text: String::new(), signature });
                Block::Other
            }
            _ => {
                reply.text(block.text.unwrap_or_default());
                Block::Other
            }
        };
        self.blocks.insert(index, open);
    }

    /// Later counts replace earlier ones, each for itself.
    fn count(&mut self, counts: &Counts, reply: &mut Assembly) {
        let usage = &mut self.usage;
        usage.input = counts.input.or(usage.input);
        usage.output = counts.output.or(usage.output);
        usage.cache_written = counts.cache_written.or(usage.cache_written);
        usage.cache_read = counts.cache_read.or(usage.cache_read);
        let cached = usage.cache_read.unwrap_or(0);
        // The provider counts what it writes to its cache and reads from it apart from the input.
        reply.usage.input = usage.input.unwrap_or(0) + usage.cache_written.unwrap_or(0) + cached;
        reply.usage.output = usage.output.unwrap_or(0);
        reply.usage.cached = cached;
    }
}

/// A piece without anything of interest, such as a citation, adds nothing.
fn add(block: Block, piece: Piece, reply: &mut Assembly) {
    match block {
        Block::Call(call) => reply.input(call, &piece.partial_json.unwrap_or_default()),
        Block::Thought(at) => {
            if let Some(thought) = reply.thoughts.get_mut(at) {
                thought.text.push_str(piece.thinking.as_deref().unwrap_or_default());
                if let Some(signature) = piece.signature {
                    thought.signature.get_or_insert_default().push_str(&signature);
                }
            }
            reply.thought(piece.thinking.unwrap_or_default());
        }
        Block::Other => reply.text(piece.text.unwrap_or_default()),
    }
}
