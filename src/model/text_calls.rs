//! Calls that a model writes as text, as many local models do: JSON that names an offered tool becomes a
//! call if it ends the reply, everything else passes unchanged, an example with prose behind it too. Text
//! waits only while it can still become such a block.

mod block;
mod scan;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::Stream;
use serde_json::Value;

use super::{Delta, Deltas, ModelError, Reply, RequestedCall, ToolSpec};
use block::{Block, Skip, Step};

/// The same stream with calls in place of their text. Replies with real calls stay as they are.
pub(super) fn stream(deltas: Deltas, tools: Arc<[ToolSpec]>) -> Deltas {
    if tools.is_empty() {
        return deltas;
    }
    Box::pin(Adapted {
        deltas,
        watcher: Watcher::new(tools),
        ready: VecDeque::new(),
        has_calls: false,
    })
}

struct Adapted {
    deltas: Deltas,
    watcher: Watcher,
    ready: VecDeque<Result<Delta, ModelError>>,
    /// Whether the reply has real calls.
    has_calls: bool,
}

impl Stream for Adapted {
    type Item = Result<Delta, ModelError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(delta) = this.ready.pop_front() {
                return Poll::Ready(Some(delta));
            }
            match ready!(this.deltas.as_mut().poll_next(context)) {
                Some(Ok(Delta::Text(text))) if !this.has_calls => {
                    let shown = this.watcher.feed(text);
                    if !shown.is_empty() {
                        return Poll::Ready(Some(Ok(Delta::Text(shown))));
                    }
                }
                Some(Ok(Delta::End(reply))) => this.end(reply),
                Some(Ok(delta @ Delta::CallBegan { .. })) => {
                    this.has_calls = true;
                    this.release();
                    this.ready.push_back(Ok(delta));
                }
                Some(Err(error)) => {
                    this.release();
                    this.ready.push_back(Err(error));
                }
                other => return Poll::Ready(other),
            }
        }
    }
}

impl Adapted {
    fn end(&mut self, mut reply: Reply) {
        if self.has_calls || !reply.calls.is_empty() {
            self.release();
        } else {
            self.say(Watcher::finish);
            reply.calls = std::mem::take(&mut self.watcher.calls);
            self.ready.extend(
                reply.calls.iter().map(|call| Ok(Delta::CallBegan { tool: call.tool.clone() })),
            );
        }
        self.ready.push_back(Ok(Delta::End(reply)));
    }

    /// Gives back all text that was taken for calls or may still become one.
    fn release(&mut self) {
        self.say(Watcher::release);
    }

    fn say(&mut self, text: impl FnOnce(&mut Watcher) -> String) {
        let text = text(&mut self.watcher);
        if !text.is_empty() {
            self.ready.push_back(Ok(Delta::Text(text)));
        }
    }
}

/// Looks for calls in a text that comes in pieces. How it is cut does not matter.
struct Watcher {
    tools: Arc<[ToolSpec]>,
    state: State,
    /// Whether only white space came since the last line break.
    at_line_start: bool,
    /// The calls that end the text so far, and their text with the white space around it.
    calls: Vec<RequestedCall>,
    held: String,
}

enum State {
    Passing,
    /// Within something that looked like a block at its beginning: nothing in it is a call.
    Skipping(Skip),
    Holding(Block),
}

impl Watcher {
    fn new(tools: Arc<[ToolSpec]>) -> Self {
        Self {
            tools,
            state: State::Passing,
            at_line_start: true,
            calls: Vec::new(),
            held: String::new(),
        }
    }

    /// What of all text so far is to be shown now.
    fn feed(&mut self, text: String) -> String {
        if matches!(self.state, State::Passing)
            && let Some(at_line_start) = self.passes(&text)
        {
            self.at_line_start = at_line_start;
            if self.calls.is_empty() {
                return text;
            }
            let mut shown = String::new();
            self.show(&text, &mut shown);
            return shown;
        }
        let mut shown = String::with_capacity(text.len());
        for letter in text.chars() {
            self.step(letter, &mut shown);
        }
        shown
    }

    /// Whether no block can begin in `text`; and if so, whether its end is at the start of a line.
    fn passes(&self, text: &str) -> Option<bool> {
        let mut at_line_start = self.at_line_start;
        let mut rest = text;
        loop {
            if at_line_start {
                let line = rest.trim_start();
                if line.starts_with(Block::FIRST) {
                    return None;
                }
                at_line_start = line.is_empty();
                rest = line;
            }
            match rest.split_once('\n') {
                Some((_, next)) => {
                    at_line_start = true;
                    rest = next;
                }
                None => return Some(at_line_start),
            }
        }
    }

    fn step(&mut self, letter: char, shown: &mut String) {
        match &mut self.state {
            State::Passing => {
                if self.at_line_start && Block::FIRST.contains(&letter) {
                    self.state = State::Holding(Block::new());
                    self.step(letter, shown);
                    return;
                }
                self.show_letter(letter, shown);
                self.at_line_start = if letter == '\n' {
                    true
                } else {
                    self.at_line_start && letter.is_whitespace()
                };
            }
            State::Skipping(skip) => {
                if skip.step(letter) {
                    self.state = State::Passing;
                    self.at_line_start = letter == '\n';
                }
                self.show_letter(letter, shown);
            }
            State::Holding(block) => match block.step(letter, &self.tools) {
                Step::More => {}
                Step::Whole => self.settle(shown),
                Step::Not => self.give_up(shown),
            },
        }
    }

    /// The block that is held is whole: it becomes calls, if it names offered tools.
    fn settle(&mut self, shown: &mut String) {
        let State::Holding(block) = &mut self.state else { return };
        match calls(block.json(), &self.tools) {
            Some(calls) => {
                self.held.push_str(&block.take());
                self.calls.extend(calls);
                self.state = State::Passing;
                self.at_line_start = true;
            }
            None => self.give_up(shown),
        }
    }

    /// What is held is no call: it is shown, and what is left of it is not looked at.
    fn give_up(&mut self, shown: &mut String) {
        let State::Holding(block) = &mut self.state else { return };
        let skip = block.skip();
        let raw = block.take();
        self.at_line_start = raw.ends_with('\n');
        self.state = skip.map_or(State::Passing, State::Skipping);
        self.show(&raw, shown);
    }

    /// Text that is no call. Anything but white space makes text of the calls before it, too.
    fn show(&mut self, text: &str, shown: &mut String) {
        if self.calls.is_empty() {
            shown.push_str(text);
            return;
        }
        self.held.push_str(text);
        if !text.trim().is_empty() {
            shown.push_str(&std::mem::take(&mut self.held));
            self.calls.clear();
        }
    }

    fn show_letter(&mut self, letter: char, shown: &mut String) {
        self.show(letter.encode_utf8(&mut [0; 4]), shown);
    }

    /// The text has ended: what is held is a call now or never.
    fn finish(&mut self) -> String {
        let mut shown = String::new();
        match &self.state {
            State::Holding(block) if block.is_whole() => self.settle(&mut shown),
            State::Holding(_) => self.give_up(&mut shown),
            State::Passing | State::Skipping(_) => {}
        }
        shown
    }

    fn release(&mut self) -> String {
        let mut shown = std::mem::take(&mut self.held);
        self.calls.clear();
        self.give_up(&mut shown);
        shown
    }
}

/// The calls of one or more JSON values, or `None` if any of them is no call of an offered tool.
fn calls(json: &str, tools: &[ToolSpec]) -> Option<Vec<RequestedCall>> {
    let mut calls = Vec::new();
    for value in serde_json::Deserializer::from_str(json).into_iter::<Value>() {
        let value = value.ok()?;
        let Value::Array(values) = value else {
            calls.push(call(value, tools)?);
            continue;
        };
        for value in values {
            calls.push(call(value, tools)?);
        }
    }
    (!calls.is_empty()).then_some(calls)
}

fn call(value: Value, tools: &[ToolSpec]) -> Option<RequestedCall> {
    let Value::Object(mut fields) = value else { return None };
    let mut fields = match fields.remove("function") {
        Some(Value::Object(function)) => function,
        Some(_) => return None,
        None => fields,
    };
    let Some(Value::String(tool)) = fields.remove("name") else { return None };
    if !tools.iter().any(|offered| offered.name == tool) {
        return None;
    }
    let input =
        ["arguments", "parameters", "input"].iter().find_map(|name| fields.remove(*name))?;
    // Some write the object as a text in JSON.
    let input =
        if let Value::String(text) = &input { serde_json::from_str(text).ok()? } else { input };
    input.is_object().then(|| RequestedCall { tool, input: Ok(input), signatures: Vec::new() })
}
