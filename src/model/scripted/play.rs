//! Playing one step of a script as a stream. Time and yielding go through tokio, so dropping the
//! stream ends it at once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::pattern::Captures;
use super::script::{Op, Script, Template};
use crate::model::{Delta, Deltas, ModelError, Reply, RequestedCall, Stop};
use crate::transcript::{Thought, Usage};

/// How often a gate's file is looked for.
const GATE_POLL: Duration = Duration::from_millis(5);

/// So many pieces are given in a row before other tasks have their turn.
const BURST: u32 = 256;

/// What `${…}` stands for.
pub(super) struct Variables {
    pub(super) captures: Captures,
    pub(super) prompt: String,
    pub(super) outcome: String,
    pub(super) reports: String,
    pub(super) model: String,
    pub(super) thought: &'static str,
}

impl Variables {
    fn value(&self, name: &str) -> Option<&str> {
        match name {
            "$" => Some("$"),
            "prompt" => Some(&self.prompt),
            "outcome" => Some(&self.outcome),
            "reports" => Some(&self.reports),
            "model" => Some(&self.model),
            "thought" => Some(self.thought),
            number => {
                let at = number.parse::<usize>().ok()?.checked_sub(1)?;
                self.captures.0.get(at).map(String::as_str)
            }
        }
    }

    /// Unknown names stay as they are written.
    fn fill(&self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            filled.push_str(before);
            let known =
                after.split_once('}').and_then(|(name, tail)| Some((self.value(name)?, tail)));
            if let Some((value, tail)) = known {
                filled.push_str(value);
                rest = tail;
            } else {
                filled.push_str("${");
                rest = after;
            }
        }
        filled.push_str(rest);
        filled
    }

    fn fill_value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.fill(text)),
            Value::Array(values) => values.iter().map(|value| self.fill_value(value)).collect(),
            Value::Object(fields) => Value::Object(
                fields.iter().map(|(name, value)| (name.clone(), self.fill_value(value))).collect(),
            ),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }
}

/// Writes a text so that a script says it as it is.
pub(crate) fn literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        literal.push_str(before);
        let name = after.split_once('}').map_or("", |(name, _)| name);
        let is_known = matches!(name, "$" | "prompt" | "outcome" | "reports" | "model" | "thought")
            || name.parse::<usize>().is_ok();
        literal.push_str(if is_known { "${$}{" } else { "${" });
        rest = after;
    }
    literal.push_str(rest);
    literal
}

pub(super) struct Play {
    script: Arc<Script>,
    ops: Arc<[Op]>,
    next: usize,
    variables: Variables,
    tries: u32,
    chunk: usize,
    pending: VecDeque<Delta>,
    repeating: Option<Repeating>,
    burst: u32,
    reply: Reply,
    thought: String,
    ended: bool,
}

struct Repeating {
    left: u64,
    text: String,
    every: Option<Duration>,
}

impl Play {
    pub(super) fn stream(
        script: Arc<Script>,
        ops: Arc<[Op]>,
        variables: Variables,
        tries: u32,
    ) -> Deltas {
        let chunk = script.chunk;
        let play = Box::new(Self {
            script,
            ops,
            next: 0,
            variables,
            tries,
            chunk,
            pending: VecDeque::new(),
            repeating: None,
            burst: 0,
            reply: Reply {
                stop: Stop::Finished,
                usage: Usage::default(),
                calls: Vec::new(),
                thoughts: Vec::new(),
            },
            thought: String::new(),
            ended: false,
        });
        Box::pin(futures::stream::unfold(play, |mut play| async move {
            let delta = play.advance().await?;
            Some((delta, play))
        }))
    }

    async fn advance(&mut self) -> Option<Result<Delta, ModelError>> {
        loop {
            self.burst += 1;
            if self.burst >= BURST {
                self.burst = 0;
                tokio::task::yield_now().await;
            }
            if let Some(delta) = self.pending.pop_front() {
                return Some(Ok(delta));
            }
            if let Some(text) = self.repeat().await {
                return Some(Ok(Delta::Text(text)));
            }
            if self.ended {
                return None;
            }
            let ops = self.ops.clone();
            let Some(op) = ops.get(self.next) else {
                self.ended = true;
                return Some(Ok(Delta::End(self.end())));
            };
            self.next += 1;
            if let Err(error) = self.perform(op).await {
                self.ended = true;
                return Some(Err(error));
            }
        }
    }

    async fn repeat(&mut self) -> Option<String> {
        let repeating = self.repeating.as_mut()?;
        if repeating.left == 0 {
            self.repeating = None;
            return None;
        }
        repeating.left -= 1;
        let text = repeating.text.clone();
        if let Some(every) = repeating.every {
            tokio::time::sleep(every).await;
        }
        Some(text)
    }

    async fn perform(&mut self, op: &Op) -> Result<(), ModelError> {
        match op {
            Op::Say(Template(text)) => self.say(&self.variables.fill(text)),
            Op::Echo => self.say(&self.variables.prompt.clone()),
            Op::Think(Template(text)) => {
                let text = self.variables.fill(text);
                self.thought.push_str(&text);
                self.pending.extend(pieces(&text, self.chunk).map(Delta::Thought));
            }
            Op::Chunk(size) => self.chunk = *size,
            Op::Repeat { count, text, every } => {
                self.repeating =
                    Some(Repeating { left: *count, text: text.clone(), every: *every });
            }
            Op::Delay(delay) => tokio::time::sleep(*delay).await,
            Op::Gate(name) => {
                let gate = self.script.gates.join(self.variables.fill(name));
                while !gate.exists() {
                    tokio::time::sleep(GATE_POLL).await;
                }
            }
            Op::Call { tool, input } => {
                let input = self.variables.fill_value(input);
                self.call(tool, Ok(input));
            }
            Op::CallRaw { tool, input: Template(text) } => {
                let text = self.variables.fill(text);
                self.call(tool, Err(text));
            }
            Op::CallText { tool, input } => {
                let call = serde_json::json!({"name": tool, "arguments": self.variables.fill_value(input)});
                self.say(&format!("```json\n{call}\n```\n"));
            }
            Op::Usage(usage) => self.reply.usage = *usage,
            Op::Stop(stop) => self.reply.stop = *stop,
            Op::Fail { error, times } => {
                if times.is_none_or(|times| self.tries <= times) {
                    return Err(error.clone());
                }
            }
            // Looked at before the step began.
            Op::Expect { .. } => {}
        }
        Ok(())
    }

    fn say(&mut self, text: &str) {
        self.pending.extend(pieces(text, self.chunk).map(Delta::Text));
    }

    fn call(&mut self, tool: &str, input: Result<Value, String>) {
        self.pending.push_back(Delta::CallBegan { tool: tool.to_owned() });
        self.reply.calls.push(RequestedCall {
            tool: tool.to_owned(),
            input,
            signatures: Vec::new(),
        });
    }

    fn end(&mut self) -> Reply {
        let mut reply = self.reply.clone();
        if !self.thought.is_empty() {
            reply
                .thoughts
                .push(Thought { text: std::mem::take(&mut self.thought), signature: None });
        }
        reply
    }
}

/// The text in pieces of `size` characters; all at once for 0.
fn pieces(text: &str, size: usize) -> impl Iterator<Item = String> {
    let mut letters = text.chars();
    let size = if size == 0 { usize::MAX } else { size };
    std::iter::from_fn(move || {
        let piece: String = letters.by_ref().take(size).collect();
        (!piece.is_empty()).then_some(piece)
    })
}
