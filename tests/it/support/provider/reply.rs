//! What the server answers: built piece by piece, written in the dialect's events.

use std::time::Duration;

use serde_json::{Value, json};

use super::Gate;

/// One answer. Without `cut`, `eof` or `without_done` it ends as the dialect wants it.
#[derive(Clone)]
pub(crate) struct Reply {
    dialect: Dialect,
    status: u16,
    headers: Vec<(String, String)>,
    body: Option<String>,
    pieces: Vec<Piece>,
    usage: Option<[u64; 3]>,
    finish: Option<String>,
    ending: Ending,
}

#[derive(Clone, Copy, PartialEq)]
enum Dialect {
    Openai,
    Anthropic,
}

#[derive(Clone)]
enum Piece {
    Text(String),
    Thought(String, Option<String>),
    Call { id: String, tool: String, input: String },
    Frame(String),
    Gate(Gate),
    Delay(Duration),
}

#[derive(Clone, Copy, PartialEq)]
enum Ending {
    Whole,
    /// The reason is said, the last event is not.
    WithoutDone,
    /// In order, and too early.
    Eof,
    /// In the middle of a chunk.
    Cut,
}

impl Reply {
    pub(crate) fn openai() -> Self {
        Self::new(Dialect::Openai)
    }

    pub(crate) fn anthropic() -> Self {
        Self::new(Dialect::Anthropic)
    }

    /// No stream but a status, with the body of `body`.
    pub(crate) fn status(status: u16) -> Self {
        Self { status, body: Some(String::new()), ..Self::new(Dialect::Openai) }
    }

    fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            status: 200,
            headers: Vec::new(),
            body: None,
            pieces: Vec::new(),
            usage: None,
            finish: None,
            ending: Ending::Whole,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: impl ToString) -> Self {
        self.body = Some(body.to_string());
        self
    }

    pub(crate) fn text(self, text: &str) -> Self {
        self.piece(Piece::Text(text.to_owned()))
    }

    /// Reasoning, as `reasoning_content` or as a thinking block without a signature.
    pub(crate) fn thought(self, text: &str) -> Self {
        self.piece(Piece::Thought(text.to_owned(), None))
    }

    /// A thinking block with its signature.
    pub(crate) fn signed_thought(self, text: &str, signature: &str) -> Self {
        self.piece(Piece::Thought(text.to_owned(), Some(signature.to_owned())))
    }

    pub(crate) fn call(self, id: &str, tool: &str, input: Value) -> Self {
        self.raw_call(id, tool, &input.to_string())
    }

    /// A call whose input is any text.
    pub(crate) fn raw_call(self, id: &str, tool: &str, input: &str) -> Self {
        let (id, tool, input) = (id.to_owned(), tool.to_owned(), input.to_owned());
        self.piece(Piece::Call { id, tool, input })
    }

    /// An event as it stands, without `data:`. Anthropic's event names are taken from `type`.
    pub(crate) fn frame(self, data: impl ToString) -> Self {
        self.piece(Piece::Frame(data.to_string()))
    }

    pub(crate) fn gate(self, gate: &Gate) -> Self {
        self.piece(Piece::Gate(gate.clone()))
    }

    pub(crate) fn delay(self, delay: Duration) -> Self {
        self.piece(Piece::Delay(delay))
    }

    pub(crate) fn usage(mut self, input: u64, output: u64, cached: u64) -> Self {
        self.usage = Some([input, output, cached]);
        self
    }

    /// The reason in the provider's words; else it follows from whether there are calls.
    pub(crate) fn finish(mut self, reason: &str) -> Self {
        self.finish = Some(reason.to_owned());
        self
    }

    pub(crate) fn without_done(self) -> Self {
        self.ending(Ending::WithoutDone)
    }

    pub(crate) fn eof(self) -> Self {
        self.ending(Ending::Eof)
    }

    pub(crate) fn cut(self) -> Self {
        self.ending(Ending::Cut)
    }

    fn piece(mut self, piece: Piece) -> Self {
        self.pieces.push(piece);
        self
    }

    fn ending(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }
}

/// What the server does next.
pub(super) enum Output {
    Bytes(Vec<u8>),
    Gate(Gate),
    Delay(Duration),
    Close,
}

/// A reply on its way.
pub(super) struct Play {
    reply: Reply,
    outputs: Vec<Output>,
    blocks: usize,
    calls: usize,
}

impl Play {
    pub(super) fn new(reply: Reply) -> Self {
        Self { reply, outputs: Vec::new(), blocks: 0, calls: 0 }
    }

    /// What holds a reply that is one body: all of it comes behind them.
    pub(super) fn gates(&mut self) -> Vec<Gate> {
        if self.reply.body.is_none() {
            return Vec::new();
        }
        let gates = std::mem::take(&mut self.reply.pieces).into_iter();
        gates
            .filter_map(|piece| if let Piece::Gate(gate) = piece { Some(gate) } else { None })
            .collect()
    }

    pub(super) fn head(&self) -> String {
        let headers = self.reply.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let body = match &self.reply.body {
            Some(body) => {
                format!("content-type: application/json\r\ncontent-length: {}", body.len())
            }
            None => "content-type: text/event-stream\r\ntransfer-encoding: chunked".to_owned(),
        };
        let headers: String = headers.collect();
        format!("HTTP/1.1 {} Status\r\n{headers}{body}\r\n\r\n", self.reply.status)
    }

    pub(super) fn outputs(mut self) -> Vec<Output> {
        if let Some(body) = self.reply.body {
            return vec![Output::Bytes(body.into_bytes())];
        }
        let [input, output, cached] = self.reply.usage.unwrap_or_default();
        let is_openai = self.reply.dialect == Dialect::Openai;
        if !is_openai {
            let usage = json!({"input_tokens": input - cached, "cache_read_input_tokens": cached, "output_tokens": 1});
            self.event(
                &json!({"type": "message_start", "message": {"role": "assistant", "usage": usage}}),
            );
        }
        for piece in std::mem::take(&mut self.reply.pieces) {
            match piece {
                Piece::Gate(gate) => self.outputs.push(Output::Gate(gate)),
                Piece::Delay(delay) => self.outputs.push(Output::Delay(delay)),
                Piece::Frame(data) => self.frame(&data),
                Piece::Text(_) | Piece::Thought(..) | Piece::Call { .. } if is_openai => {
                    self.chat(piece);
                }
                Piece::Text(_) | Piece::Thought(..) | Piece::Call { .. } => self.block(piece),
            }
        }
        match self.reply.ending {
            Ending::Eof => self.outputs.push(Output::Bytes(b"0\r\n\r\n".to_vec())),
            Ending::Cut => {
                self.outputs.push(Output::Bytes(b"40\r\ndata: {\"cho".to_vec()));
                self.outputs.push(Output::Close);
            }
            Ending::Whole | Ending::WithoutDone => {
                if is_openai {
                    self.end_chat(input, output, cached);
                } else {
                    self.end_message(output);
                }
                self.outputs.push(Output::Bytes(b"0\r\n\r\n".to_vec()));
            }
        }
        self.outputs
    }

    fn end_chat(&mut self, input: u64, output: u64, cached: u64) {
        let by_calls = if self.calls > 0 { "tool_calls" } else { "stop" };
        let reason = self.reply.finish.clone().unwrap_or_else(|| by_calls.to_owned());
        self.event(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}));
        if self.reply.usage.is_some() {
            let details = json!({"cached_tokens": cached});
            let usage = json!({"prompt_tokens": input, "completion_tokens": output, "prompt_tokens_details": details});
            self.event(&json!({"choices": [], "usage": usage}));
        }
        if self.reply.ending == Ending::Whole {
            self.frame("[DONE]");
        }
    }

    fn end_message(&mut self, output: u64) {
        let by_calls = if self.calls > 0 { "tool_use" } else { "end_turn" };
        let reason = self.reply.finish.clone().unwrap_or_else(|| by_calls.to_owned());
        let usage = json!({"output_tokens": output});
        self.event(
            &json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}),
        );
        if self.reply.ending == Ending::Whole {
            self.event(&json!({"type": "message_stop"}));
        }
    }

    fn chat(&mut self, piece: Piece) {
        match piece {
            Piece::Text(text) => self.delta(&json!({"content": text})),
            Piece::Thought(text, _) => self.delta(&json!({"reasoning_content": text})),
            Piece::Call { id, tool, input } => {
                let index = self.calls;
                self.calls += 1;
                let function = json!({"name": tool, "arguments": ""});
                let begin =
                    json!({"index": index, "id": id, "type": "function", "function": function});
                self.delta(&json!({"tool_calls": [begin]}));
                for half in halves(&input) {
                    let piece = json!({"index": index, "function": {"arguments": half}});
                    self.delta(&json!({"tool_calls": [piece]}));
                }
            }
            Piece::Frame(_) | Piece::Gate(_) | Piece::Delay(_) => {}
        }
    }

    fn delta(&mut self, delta: &Value) {
        self.event(&json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]}));
    }

    fn block(&mut self, piece: Piece) {
        let index = self.blocks;
        self.blocks += 1;
        let (begin, deltas) =
            match piece {
                Piece::Text(text) => (
                    json!({"type": "text", "text": ""}),
                    vec![json!({"type": "text_delta", "text": text})],
                ),
                Piece::Thought(text, signature) => {
                    let mut deltas = vec![json!({"type": "thinking_delta", "thinking": text})];
                    deltas.extend(signature.map(
                        |signature| json!({"type": "signature_delta", "signature": signature}),
                    ));
                    (json!({"type": "thinking", "thinking": "", "signature": ""}), deltas)
                }
                Piece::Call { id, tool, input } => {
                    self.calls += 1;
                    let deltas = halves(&input)
                        .map(|half| json!({"type": "input_json_delta", "partial_json": half}))
                        .to_vec();
                    (json!({"type": "tool_use", "id": id, "name": tool, "input": {}}), deltas)
                }
                Piece::Frame(_) | Piece::Gate(_) | Piece::Delay(_) => return,
            };
        self.event(&json!({"type": "content_block_start", "index": index, "content_block": begin}));
        for delta in deltas {
            self.event(&json!({"type": "content_block_delta", "index": index, "delta": delta}));
        }
        self.event(&json!({"type": "content_block_stop", "index": index}));
    }

    fn event(&mut self, event: &Value) {
        self.frame(&event.to_string());
    }

    /// One event as one chunk.
    fn frame(&mut self, data: &str) {
        let parsed: Value = serde_json::from_str(data).unwrap_or_default();
        let name = match (self.reply.dialect, parsed["type"].as_str()) {
            (Dialect::Anthropic, Some(name)) => format!("event: {name}\n"),
            _ => String::new(),
        };
        let frame = format!("{name}data: {data}\n\n");
        self.outputs.push(Output::Bytes(format!("{:x}\r\n{frame}\r\n", frame.len()).into_bytes()));
    }
}

fn halves(text: &str) -> [String; 2] {
    let letters: Vec<char> = text.chars().collect();
    let (first, second) = letters.split_at(letters.len() / 2);
    [first.iter().collect(), second.iter().collect()]
}
