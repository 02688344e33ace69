//! A conversation for people as it happens, or as JSON lines for programs. It writes to what it is
//! given and decides nothing; `headless::chat` talks to the agent.

use std::collections::{HashMap, HashSet};
use std::io;
use std::io::Write;

use serde_json::{Value, json};

use super::card;
use super::diff;
use super::lines::{self, Standing};
use super::policy;
use super::seen::RpcError;
use super::terminals::Screen;
use crate::difference::Fate;
use crate::letters::{self, grouped};
use crate::permission::Answer;

/// The most lines that are shown of a difference, and of a program's output.
const DIFF_LINES: usize = 60;
const OUTPUT_LINES: usize = 12;
/// How much of a running call's title is shown: the line is erased later, so it must not wrap.
const WAITING_CHARS: usize = 70;

/// How a conversation is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people, with colours: a terminal that wants them.
    Coloured,
    /// For people, without control sequences.
    Plain,
    /// One JSON value a line.
    Json,
}

/// What the end of the output is in the middle of.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Open {
    /// At the start of a line.
    Nothing,
    Say,
    Think,
    /// A call that runs, on a terminal: its line waits for its result.
    Call(String),
}

#[derive(Debug, Default)]
struct Call {
    title: String,
    kind: String,
    status: String,
    content: Vec<Value>,
}

/// Looks up what a terminal of the editor shows.
pub type Screens<'a> = &'a dyn Fn(&str) -> Option<Screen>;

/// Writes one conversation.
pub struct Printer<'a> {
    out: &'a mut (dyn Write + Send),
    format: Format,
    open: Open,
    /// The message that was written last; empty where an agent names none.
    message: String,
    ends_with_newline: bool,
    calls: HashMap<String, Call>,
    /// How each task was last said to stand, by its card.
    standings: HashMap<String, Standing>,
    shown_diffs: HashSet<String>,
    usage: Option<Value>,
}

impl<'a> Printer<'a> {
    pub fn new(out: &'a mut (dyn Write + Send), format: Format) -> Self {
        Self {
            out,
            format,
            open: Open::Nothing,
            message: String::new(),
            ends_with_newline: true,
            calls: HashMap::new(),
            standings: HashMap::new(),
            shown_diffs: HashSet::new(),
            usage: None,
        }
    }

    pub fn format(&self) -> Format {
        self.format
    }

    /// What the user said.
    pub fn prompt(&mut self, text: &str) -> io::Result<()> {
        if self.format == Format::Json {
            return Ok(());
        }
        self.start_line()?;
        let text = without_control(text.trim_end()).replace('\n', "\n  ");
        let text = self.painted("1", &format!("› {text}"));
        writeln!(self.out, "\n{text}\n")
    }

    /// A sentence of ours.
    pub fn note(&mut self, text: &str) -> io::Result<()> {
        if self.format == Format::Json {
            return Ok(());
        }
        self.start_line()?;
        let text = self.painted("2", &without_control(text));
        writeln!(self.out, "{text}")
    }

    pub fn update(&mut self, update: &Value, screens: Screens<'_>) -> io::Result<()> {
        if self.format == Format::Json {
            return self.json(update);
        }
        match field(update, "sessionUpdate") {
            "agent_message_chunk" => self.stream(Open::Say, update),
            "agent_thought_chunk" => self.stream(Open::Think, update),
            "tool_call" | "tool_call_update" => self.call(update, screens),
            "plan" => self.plan(list(update, "entries")),
            "usage_update" => {
                self.usage = Some(update.clone());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A question, before it is answered.
    pub fn question(&mut self, params: &Value) -> io::Result<()> {
        if self.format == Format::Json {
            return Ok(());
        }
        let call = params.get("toolCall").cloned().unwrap_or_default();
        let id = field(&call, "toolCallId").to_owned();
        let known = self.calls.entry(id).or_default();
        merge(known, &call);
        let title = without_control(&known.title).replace('\n', "\n    ");
        let content = known.content.clone();
        self.start_line()?;
        let title = self.painted("33", &format!("? {title}"));
        writeln!(self.out, "{title}")?;
        content.iter().try_for_each(|part| self.diff(part))
    }

    /// How a question was answered.
    pub fn answered(&mut self, params: &Value, answer: Answer) -> io::Result<()> {
        if self.format == Format::Json {
            return self.json(&json!({"permission": params, "answer": policy::word(answer)}));
        }
        let text = match answer {
            Answer::AllowOnce => "allowed once",
            Answer::AllowAlways => "allowed always",
            Answer::RejectOnce => "refused",
            Answer::RejectAlways => "refused always",
            Answer::Unanswered => "not answered",
        };
        self.start_line()?;
        let text = self.painted("2", &format!("  → {text}"));
        writeln!(self.out, "{text}")
    }

    /// The response of a prompt. An error is written for programs only: people are told by the caller,
    /// on the error stream.
    pub fn result(&mut self, result: &Result<Value, RpcError>) -> io::Result<()> {
        if self.format == Format::Json {
            return match result {
                Ok(result) => self.json(result),
                Err(error) => self.json(&json!({"error": {
                    "code": error.code, "message": error.message, "data": error.data,
                }})),
            };
        }
        self.start_line()?;
        let stop = result.as_ref().map_or("end_turn", |result| field(result, "stopReason"));
        match stop {
            "end_turn" => {}
            "cancelled" => writeln!(self.out, "Cancelled.")?,
            "max_tokens" => writeln!(self.out, "Stopped: the model's output limit is reached.")?,
            "max_turn_requests" => {
                writeln!(self.out, "Stopped: the limit of model requests in a turn is reached.")?;
            }
            "refusal" => writeln!(self.out, "The model's provider refused the prompt.")?,
            other => writeln!(self.out, "Stopped: {other}.")?,
        }
        self.out.flush()
    }

    /// A turn that no prompt asked for is over; it has no response.
    pub fn turn_ended(&mut self) -> io::Result<()> {
        if self.format == Format::Json {
            return Ok(());
        }
        self.start_line()?;
        self.usage()?;
        self.out.flush()
    }

    /// What was used so far, if the agent said so.
    pub fn usage(&mut self) -> io::Result<()> {
        let Some(usage) = self.usage.take().filter(|_| self.format != Format::Json) else {
            return Ok(());
        };
        let number = |name: &str| usage.get(name).and_then(Value::as_u64).unwrap_or_default();
        if number("used") == 0 {
            // A server that does not count says so.
            return Ok(());
        }
        let cost = usage.get("cost").and_then(|cost| {
            let amount = cost.get("amount").and_then(Value::as_f64)?;
            Some(format!(", {amount:.4} {}", field(cost, "currency")))
        });
        let text = format!(
            "{} of {} tokens{}",
            grouped(number("used")),
            grouped(number("size")),
            cost.unwrap_or_default()
        );
        self.note(&text)
    }

    /// Ends an open line.
    pub fn start_line(&mut self) -> io::Result<()> {
        let open = std::mem::replace(&mut self.open, Open::Nothing);
        if open == Open::Nothing {
            return Ok(());
        }
        if open == Open::Think && self.format == Format::Coloured {
            write!(self.out, "\x1b[0m")?;
        }
        if matches!(open, Open::Call(_)) {
            // The waiting line goes away; the call's result writes it again.
            write!(self.out, "\r\x1b[2K")?;
        } else if !self.ends_with_newline {
            writeln!(self.out)?;
        }
        self.ends_with_newline = true;
        Ok(())
    }

    fn json(&mut self, value: &Value) -> io::Result<()> {
        writeln!(self.out, "{value}")?;
        self.out.flush()
    }

    fn painted(&self, code: &str, text: &str) -> String {
        match self.format {
            Format::Coloured => format!("\x1b[{code}m{text}\x1b[0m"),
            Format::Plain | Format::Json => text.to_owned(),
        }
    }

    fn stream(&mut self, kind: Open, update: &Value) -> io::Result<()> {
        let thinks = kind == Open::Think;
        let message = field(update, "messageId");
        let is_new = self.open != kind || self.message != message;
        let mut text = content_text(update);
        if is_new {
            // It begins on a line of its own anyway.
            text = text.trim_start_matches('\n');
        }
        if text.is_empty() {
            return Ok(());
        }
        if is_new {
            self.start_line()?;
            match (thinks, self.format) {
                (true, Format::Coloured) => write!(self.out, "\x1b[2m")?,
                (true, _) => write!(self.out, "· ")?,
                (false, _) => {}
            }
            self.open = kind;
            message.clone_into(&mut self.message);
        }
        let text = without_control(text);
        match (thinks, self.format) {
            (true, Format::Plain) => write!(self.out, "{}", text.replace('\n', "\n· "))?,
            _ => write!(self.out, "{text}")?,
        }
        self.ends_with_newline = text.ends_with('\n') && !(thinks && self.format == Format::Plain);
        self.out.flush()
    }

    fn call(&mut self, update: &Value, screens: Screens<'_>) -> io::Result<()> {
        let id = field(update, "toolCallId").to_owned();
        let call = self.calls.entry(id.clone()).or_default();
        let before = call.status.clone();
        merge(call, update);
        if let Some(mark) = card::mark(update).filter(|mark| mark.is_card) {
            return self.card(&id, mark.state);
        }
        if call.status == before {
            return Ok(());
        }
        let title = without_control(&call.title).replace('\n', " ");
        let line = self.painted("36", &format!("● {title}"));
        let status = self.calls.get(&id).map(|call| call.status.clone()).unwrap_or_default();
        let waits = self.open == Open::Call(id.clone());
        match status.as_str() {
            "in_progress" if !waits && self.format == Format::Coloured => {
                self.start_line()?;
                let short: String = title.chars().take(WAITING_CHARS).collect();
                write!(self.out, "{} … ", self.painted("36", &format!("● {short}")))?;
                self.open = Open::Call(id);
                self.ends_with_newline = false;
            }
            "completed" | "failed" => {
                self.start_line()?;
                let word = if status == "completed" {
                    "done".to_owned()
                } else {
                    self.painted("31", "failed")
                };
                writeln!(self.out, "{line} … {word}")?;
                self.open = Open::Nothing;
                self.ends_with_newline = true;
                self.details(&id, screens)?;
            }
            _ => {}
        }
        self.out.flush()
    }

    /// The card of a task: a line for each state of it. That it goes on is looked at where cards are shown, not
    /// in a log.
    fn card(&mut self, id: &str, state: &str) -> io::Result<()> {
        let Some(call) = self.calls.get(id) else { return Ok(()) };
        let title = without_control(&call.title).replace('\n', " ");
        let text: String = call.content.iter().map(content_text).collect();
        let failed = call.status == "failed";
        // The first line is how it stands.
        let (head, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let details = without_control(if head.is_empty() { state } else { head });
        let now = Standing { state: state.to_owned(), details };
        let before = self.standings.insert(id.to_owned(), now.clone());
        let Some(line) = lines::change(&title, before.as_ref(), &now) else { return Ok(()) };
        self.start_line()?;
        let head = self.painted("36", &line.head);
        let words = if failed { self.painted("31", &line.words) } else { line.words };
        writeln!(self.out, "{head} … {words}")?;
        if line.is_over {
            self.output(rest.trim_matches('\n'))?;
        }
        self.out.flush()
    }

    /// What a call that ended shows below its line.
    fn details(&mut self, id: &str, screens: Screens<'_>) -> io::Result<()> {
        let Some(call) = self.calls.get(id) else { return Ok(()) };
        let tells = call.kind == "execute" || call.status == "failed";
        for part in call.content.clone() {
            match field(&part, "type") {
                "diff" => self.diff(&part)?,
                "terminal" => {
                    let screen = screens(field(&part, "terminalId"));
                    self.output(&screen.map(|screen| screen.text()).unwrap_or_default())?;
                }
                "content" if tells => self.output(content_text(&part))?,
                _ => {}
            }
        }
        Ok(())
    }

    fn diff(&mut self, part: &Value) -> io::Result<()> {
        if field(part, "type") != "diff" || !self.shown_diffs.insert(part.to_string()) {
            return Ok(());
        }
        let changes = diff::changes(field(part, "oldText"), field(part, "newText"), 1);
        for change in changes.iter().take(DIFF_LINES) {
            let line = match change {
                None => "    …".to_owned(),
                Some(change) => {
                    let text =
                        format!("  {} {}", change.fate.sign(), without_control(&change.text));
                    match change.fate {
                        Fate::Added => self.painted("32", &text),
                        Fate::Removed => self.painted("31", &text),
                        Fate::Kept => text,
                    }
                }
            };
            writeln!(self.out, "  {line}")?;
        }
        match changes.len().saturating_sub(DIFF_LINES) {
            0 => Ok(()),
            more => writeln!(self.out, "    … {more} more lines"),
        }
    }

    /// The end of a program's output, or of a message.
    fn output(&mut self, text: &str) -> io::Result<()> {
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("```")).collect();
        let cut = lines.len().saturating_sub(OUTPUT_LINES);
        if cut > 0 {
            let text = self.painted("2", &format!("    … {cut} lines before"));
            writeln!(self.out, "{text}")?;
        }
        for line in lines.iter().skip(cut) {
            let text = self.painted("2", &format!("    {}", without_control(line)));
            writeln!(self.out, "{text}")?;
        }
        Ok(())
    }

    fn plan(&mut self, entries: &[Value]) -> io::Result<()> {
        self.start_line()?;
        for entry in entries {
            let mark = match field(entry, "status") {
                "completed" => "x",
                "in_progress" => ">",
                _ => " ",
            };
            writeln!(self.out, "  [{mark}] {}", without_control(field(entry, "content")))?;
        }
        Ok(())
    }
}

fn merge(call: &mut Call, update: &Value) {
    let text = |name: &str| update.get(name).and_then(Value::as_str).map(str::to_owned);
    call.title = text("title").unwrap_or_else(|| std::mem::take(&mut call.title));
    call.kind = text("kind").unwrap_or_else(|| std::mem::take(&mut call.kind));
    call.status = text("status").unwrap_or_else(|| std::mem::take(&mut call.status));
    if call.status.is_empty() && card::mark(update).is_some_and(|mark| mark.is_card) {
        // It is left out where it is this.
        "pending".clone_into(&mut call.status);
    }
    if let Some(content) = update.get("content").and_then(Value::as_array) {
        call.content.clone_from(content);
    }
}

fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn content_text(update: &Value) -> &str {
    update.get("content").map(|content| field(content, "text")).unwrap_or_default()
}

/// A model or a program must not drive the terminal, nor make a line read other than it is: what changes
/// the direction of letters is left out, too.
pub(crate) fn without_control(text: &str) -> String {
    let is_shown = |letter: &char| match letter {
        '\n' | '\t' => true,
        letter => !letters::is_hidden(*letter),
    };
    text.chars().filter(is_shown).collect()
}

#[cfg(test)]
mod tests;
