//! The text of a script as statements. It reads no file and runs nothing; `docs/DRIVE.md` is the manual.

use std::time::Duration;

use serde_json::Value;

use super::expect::Expected;
use super::lines::Kind;
use super::pattern::Pattern;
use crate::headless::laws::Law;
use crate::headless::policy;
use crate::headless::policy::Policy;
use crate::permission::Answer;

/// The longest pause and the longest deadline.
const LONGEST: Duration = Duration::from_mins(2);
/// How long nothing may come for `wait quiet`.
pub(super) const QUIET: Duration = Duration::from_millis(300);

/// A conversation script.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// For messages.
    pub file: String,
    pub(crate) statements: Vec<Statement>,
}

/// A script that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct SyntaxError {
    pub file: String,
    pub line: usize,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Statement {
    /// The first and the last line, counted from 1.
    pub(crate) line: usize,
    pub(crate) last: usize,
    /// The session that it is about, counted from 1.
    pub(crate) session: usize,
    pub(crate) action: Action,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    Capabilities(Value),
    Permission(Policy),
    File {
        path: String,
        text: String,
    },
    Buffer {
        path: String,
        text: String,
    },
    Git,
    Config(String),
    Model(String),
    Env {
        name: String,
        value: String,
    },
    /// Something for the running agent.
    Talk(Talk),
    Touch(String),
    Wait(Duration),
    /// Until the task's card is like that.
    WaitCard {
        task: String,
        state: Pattern,
    },
    /// Until a line of the screen is like that.
    WaitScreen(Pattern),
    /// Until no prompt is open.
    WaitIdle,
    /// Until a prompt is open.
    WaitBusy,
    /// Until nothing came for so long.
    WaitQuiet(Duration),
    /// Keeps what the user sees, under a name.
    Screen(Option<String>),
    Deadline(Duration),
    ExpectExit(i32),
    /// Wait for the agent's end and start another one in the same place.
    Restart,
    ExpectFile {
        path: String,
        text: String,
    },
    ExpectNoFile(String),
    Show(Vec<Kind>),
    Hide(Vec<Kind>),
    Except {
        law: Law,
        reason: String,
    },
    Expect(Vec<Expected>),
}

/// What needs a running agent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Talk {
    Start,
    Raw(Vec<u8>),
    Initialize {
        params: Value,
        name: Option<String>,
    },
    New {
        params: Value,
        name: Option<String>,
    },
    /// `session/load`, `session/resume` or `session/fork` of the addressed session, or of the one that is
    /// named.
    Open {
        method: &'static str,
        id: Option<String>,
        params: Value,
        name: Option<String>,
    },
    List {
        params: Value,
        name: String,
    },
    Prompt {
        content: Value,
        name: Option<String>,
    },
    Mode(String),
    /// The user sends, by the rule of the client that is played.
    Type(Value),
    /// The user presses Stop, by the same rule.
    Stop,
    Cancel,
    Request {
        method: String,
        params: Value,
        name: String,
    },
    Notify {
        method: String,
        params: Value,
    },
    Answer(Answer),
    CloseInput,
    Kill,
}

/// Reads a script; `file` is its name in messages.
pub fn parse(file: &str, text: &str) -> Result<Script, SyntaxError> {
    let lines: Vec<&str> = text.lines().collect();
    let mut statements: Vec<Statement> = Vec::new();
    let mut next = 0;
    while let Some(line) = lines.get(next) {
        let number = next + 1;
        next += 1;
        let failed = |message: String| SyntaxError { file: file.to_owned(), line: number, message };
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let (session, content) = addressed(trimmed).map_err(failed)?;
        if let Some(expected) = expectation(content) {
            match statements.last_mut() {
                Some(Statement { last, session: same, action: Action::Expect(run), .. })
                    if *last + 1 == number && *same == session =>
                {
                    *last = number;
                    run.push(expected);
                }
                _ => {
                    let action = Action::Expect(vec![expected]);
                    statements.push(Statement { line: number, last: number, session, action });
                }
            }
            continue;
        }
        let (content, body) = match content.rsplit_once(" <<") {
            Some((content, end)) if !end.is_empty() && end.chars().all(char::is_alphanumeric) => {
                let rest = lines.get(next..).unwrap_or_default();
                let length =
                    rest.iter().position(|line| line.trim_end() == end).ok_or_else(|| {
                        failed(format!("the block has no end: a line `{end}` is missing"))
                    })?;
                let body: String =
                    rest.iter().take(length).flat_map(|line| [*line, "\n"]).collect();
                next += length + 1;
                (content, Some(body))
            }
            _ => (content, None),
        };
        let action = action(content.trim(), body).map_err(failed)?;
        statements.push(Statement { line: number, last: next, session, action });
    }
    Ok(Script { file: file.to_owned(), statements })
}

/// `@2 verb` is about the second session.
fn addressed(line: &str) -> Result<(usize, &str), String> {
    let Some(rest) = line.strip_prefix('@') else { return Ok((1, line)) };
    let (number, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    match number.parse() {
        Ok(number @ 1..=99) => Ok((number, rest.trim())),
        _ => Err(format!("`@{number}` is no session: use `@2` for the second one")),
    }
}

fn expectation(line: &str) -> Option<Expected> {
    if line == "..." {
        return Some(Expected::Skip);
    }
    if let Some(rest) = line.strip_prefix("<- ") {
        return Some(Expected::Line(Pattern::new(&format!("← {}", rest.trim_start()))));
    }
    let is_one = ["← ", "? ", "= ", "! "].iter().any(|start| line.starts_with(start));
    is_one.then(|| Expected::Line(Pattern::new(line)))
}

fn action(line: &str, body: Option<String>) -> Result<Action, String> {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let rest = rest.trim();
    if let "file" | "buffer" | "expect-file" = verb {
        return file(verb, rest, body);
    }
    let takes_body = matches!(verb, "config" | "model");
    let text = match body {
        Some(_) if !takes_body => return Err(format!("`{verb}` takes no block")),
        None if takes_body => {
            return Err(format!("`{verb}` needs a block: end the line with `<<END`"));
        }
        body => body.unwrap_or_default(),
    };
    let bare = |action: Action| match rest {
        "" => Ok(action),
        _ => Err(format!("`{verb}` takes nothing, not `{rest}`")),
    };
    match verb {
        "capabilities" => Ok(Action::Capabilities(object(rest)?)),
        "permission" => policy_of(rest).map(Action::Permission),
        "git" => bare(Action::Git),
        "config" => bare(Action::Config(text)),
        "model" => bare(Action::Model(text)),
        "env" => {
            let (name, value) = rest.split_once('=').ok_or("`env` needs `NAME=VALUE`")?;
            Ok(Action::Env { name: name.to_owned(), value: value.to_owned() })
        }
        "touch" => Ok(Action::Touch(word(verb, rest)?)),
        "wait" => wait(rest),
        "deadline" => duration(rest).map(Action::Deadline),
        "expect-exit" => {
            rest.parse().map(Action::ExpectExit).map_err(|_| format!("`{rest}` is no exit code"))
        }
        "restart" => bare(Action::Restart),
        "screen" => Ok(Action::Screen((!rest.is_empty()).then(|| rest.to_owned()))),
        "expect-no-file" => Ok(Action::ExpectNoFile(word(verb, rest)?)),
        "show" => kinds(rest).map(Action::Show),
        "hide" => kinds(rest).map(Action::Hide),
        "except" => except(rest),
        "expect" => bare(Action::Expect(Vec::new())),
        _ => talk(verb, rest).map(Action::Talk),
    }
}

/// `wait 100ms`, `wait card TASK STATE [{…}]`, `wait screen "PATTERN"`, `wait idle`, `wait busy` or
/// `wait quiet [500ms]`.
fn wait(whole: &str) -> Result<Action, String> {
    let (what, rest) = whole.split_once(' ').unwrap_or((whole, ""));
    let rest = rest.trim();
    match what {
        "card" => {
            let (task, state) =
                rest.split_once(' ').ok_or("`wait card` needs a task and a state")?;
            Ok(Action::WaitCard { task: task.to_owned(), state: Pattern::new(state) })
        }
        "screen" => match serde_json::from_str(rest) {
            Ok(Value::String(text)) => Ok(Action::WaitScreen(Pattern::new(&text))),
            Ok(_) | Err(_) => Err("`wait screen` needs a pattern in double quotes".to_owned()),
        },
        "idle" if rest.is_empty() => Ok(Action::WaitIdle),
        "busy" if rest.is_empty() => Ok(Action::WaitBusy),
        "quiet" if rest.is_empty() => Ok(Action::WaitQuiet(QUIET)),
        "quiet" => duration(rest).map(Action::WaitQuiet),
        _ => duration(whole).map(Action::Wait),
    }
}

/// `file PATH <<END`, or `file PATH "text"` for a text that a block cannot hold. A path with spaces is in
/// quotes.
fn file(verb: &str, rest: &str, body: Option<String>) -> Result<Action, String> {
    let missing = || format!("`{verb}` needs a block: end the line with `<<END`");
    let mut strings = serde_json::Deserializer::from_str(rest).into_iter::<String>();
    let (path, rest) = match strings.next().filter(|_| rest.starts_with('"')) {
        Some(path) => {
            let path = path.map_err(|error| format!("the path is no text in quotes: {error}"))?;
            (path, rest.get(strings.byte_offset()..).unwrap_or_default().trim())
        }
        None => match rest.split_once(" \"") {
            Some((path, _)) => (word(verb, path)?, rest.get(path.len()..).unwrap_or_default()),
            None => (word(verb, rest)?, ""),
        },
    };
    let text = match body {
        Some(text) if rest.is_empty() => text,
        Some(_) => return Err(format!("`{verb}` has both a text and a block")),
        None if rest.is_empty() => return Err(missing()),
        None => serde_json::from_str(rest.trim())
            .map_err(|error| format!("`{verb}` needs a block, or a text in quotes: {error}"))?,
    };
    Ok(match verb {
        "buffer" => Action::Buffer { path, text },
        "expect-file" => Action::ExpectFile { path, text },
        _ => Action::File { path, text },
    })
}

fn talk(verb: &str, rest: &str) -> Result<Talk, String> {
    let bare = |talk: Talk| match rest {
        "" => Ok(talk),
        _ => Err(format!("`{verb}` takes nothing, not `{rest}`")),
    };
    match verb {
        "start" => bare(Talk::Start),
        "send" => Ok(Talk::Raw(format!("{rest}\n").into_bytes())),
        "bytes" => bytes(rest).map(Talk::Raw),
        "initialize" => {
            let (params, name) = named(rest);
            Ok(Talk::Initialize { params: object(params)?, name })
        }
        "new" => {
            let (params, name) = named(rest);
            Ok(Talk::New { params: object(params)?, name })
        }
        "load" => open("session/load", rest),
        "resume" => open("session/resume", rest),
        "fork" => open("session/fork", rest),
        "list" => {
            let (params, name) = named(rest);
            let name = name.unwrap_or_else(|| "list".to_owned());
            Ok(Talk::List { params: object(params)?, name })
        }
        "prompt" => {
            let (content, name) = named(rest);
            Ok(Talk::Prompt { content: blocks(content)?, name })
        }
        "mode" => Ok(Talk::Mode(word(verb, rest)?)),
        "type" => Ok(Talk::Type(blocks(rest)?)),
        "stop" => bare(Talk::Stop),
        "cancel" => bare(Talk::Cancel),
        "request" => {
            let (rest, name) = named(rest);
            let (method, params) = rest.split_once(' ').unwrap_or((rest, ""));
            let name = name.ok_or("`request` needs a name: end the line with `as NAME`")?;
            Ok(Talk::Request { method: word(verb, method)?, params: object(params)?, name })
        }
        "notify" => {
            let (method, params) = rest.split_once(' ').unwrap_or((rest, ""));
            Ok(Talk::Notify { method: word(verb, method)?, params: object(params)? })
        }
        "answer" => answer(rest).map(Talk::Answer),
        "close-stdin" => bare(Talk::CloseInput),
        "kill" => bare(Talk::Kill),
        _ => Err(format!("unknown verb `{verb}`")),
    }
}

/// `[ID] [{…}] [as NAME]`.
fn open(method: &'static str, rest: &str) -> Result<Talk, String> {
    let (rest, name) = named(rest);
    let (id, params) = match rest.find('{') {
        // `${name}` is no object.
        Some(start) if !rest.starts_with("${") => rest.split_at(start),
        _ => rest.split_once(' ').unwrap_or((rest, "")),
    };
    let id = id.trim();
    if id.contains(char::is_whitespace) {
        return Err(format!("`{id}` is no session: name one, or address it with `@2`"));
    }
    let id = (!id.is_empty()).then(|| id.to_owned());
    Ok(Talk::Open { method, id, params: object(params)?, name })
}

fn word(verb: &str, rest: &str) -> Result<String, String> {
    if rest.is_empty() || rest.contains(char::is_whitespace) {
        return Err(format!("`{verb}` needs one word, not `{rest}`"));
    }
    Ok(rest.to_owned())
}

/// Takes `as NAME` from the end.
fn named(rest: &str) -> (&str, Option<String>) {
    let split =
        rest.strip_prefix("as ").map(|name| ("", name)).or_else(|| rest.rsplit_once(" as "));
    let is_name =
        |name: &str| name.chars().all(|letter| letter.is_alphanumeric() || "_-".contains(letter));
    match split {
        Some((before, name)) if is_name(name) => (before.trim(), Some(name.to_owned())),
        _ => (rest, None),
    }
}

/// JSON parameters; none is an empty object.
fn object(text: &str) -> Result<Value, String> {
    if text.trim().is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    let value: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    if value.is_object() { Ok(value) } else { Err(format!("`{text}` is no JSON object")) }
}

/// A prompt is a JSON string, or a JSON array of content blocks.
fn blocks(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(Value::String(text)) => Ok(serde_json::json!([{"type": "text", "text": text}])),
        Ok(blocks @ Value::Array(_)) => Ok(blocks),
        Ok(_) | Err(_) => {
            Err("a prompt is a text in double quotes, or a JSON array of content blocks".to_owned())
        }
    }
}

fn answer(text: &str) -> Result<Answer, String> {
    policy::from_word(text).ok_or_else(|| {
        format!("`{text}` is no answer: use allow_once, allow_always, reject_once, reject_always or cancelled")
    })
}

fn policy_of(rest: &str) -> Result<Policy, String> {
    match rest {
        "none" => Ok(Policy::Silent),
        "ask-by-line" => Ok(Policy::Manual),
        "" => Err("`permission` needs an answer, or several in order".to_owned()),
        words => {
            words.split_whitespace().map(answer).collect::<Result<_, _>>().map(Policy::Answers)
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration: use `200ms` or `10s`, at most 120s");
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s').ok_or_else(wrong)?, 1000),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let duration = Duration::from_millis(number.saturating_mul(unit));
    if duration <= LONGEST { Ok(duration) } else { Err(wrong()) }
}

fn kinds(rest: &str) -> Result<Vec<Kind>, String> {
    let known = || Kind::ALL.map(Kind::name).join(", ");
    rest.split_whitespace()
        .map(|name| {
            Kind::from_name(name).ok_or_else(|| format!("unknown kind `{name}`: use {}", known()))
        })
        .collect()
}

fn except(rest: &str) -> Result<Action, String> {
    let (name, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let known = || Law::ALL.map(Law::name).join(", ");
    let law =
        Law::from_name(name).ok_or_else(|| format!("unknown law `{name}`: use {}", known()))?;
    match serde_json::from_str(reason.trim()) {
        Ok(Value::String(reason)) if !reason.is_empty() => Ok(Action::Except { law, reason }),
        _ => Err(format!("`except {name}` needs a reason in double quotes")),
    }
}

/// A quoted text with `\n`, `\r`, `\t`, `\"`, `\\` and `\xff`.
fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let mut letters = inner.ok_or("`bytes` needs a text in double quotes")?.chars();
    let mut bytes = Vec::new();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            bytes.extend(letter.to_string().into_bytes());
            continue;
        }
        match letters.next() {
            Some('n') => bytes.push(b'\n'),
            Some('r') => bytes.push(b'\r'),
            Some('t') => bytes.push(b'\t'),
            Some('"') => bytes.push(b'"'),
            Some('\\') => bytes.push(b'\\'),
            Some('x') => {
                let digits: String = letters.by_ref().take(2).collect();
                let byte = u8::from_str_radix(&digits, 16)
                    .map_err(|_| format!("`\\x{digits}` is no byte"))?;
                bytes.push(byte);
            }
            other => return Err(format!("unknown escape `\\{}`", other.unwrap_or(' '))),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
