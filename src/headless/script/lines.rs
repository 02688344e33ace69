//! The normal form: each thing that an agent sends as one line of text.
//! `script::transcript` keeps the lines, `script::pattern` compares them.

use serde_json::Value;

use super::super::{card, policy};
use crate::permission::Answer;

/// What a line is about; scripts show and hide lines by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Say,
    Think,
    User,
    Call,
    /// A call that is shown for a background task, and may change at any time.
    Card,
    /// A change of a call of which the normal form shows nothing, such as its input as it streams.
    Input,
    Plan,
    Usage,
    Title,
    Commands,
    Mode,
    Options,
    Permission,
    Files,
    Terminals,
    /// `terminal/output`, `terminal/wait_for_exit` and `$/…`: how often they come is a matter of chance.
    Polls,
    Response,
    Other,
}

impl Kind {
    pub(crate) const ALL: [Self; 18] = [
        Self::Say,
        Self::Think,
        Self::User,
        Self::Call,
        Self::Card,
        Self::Input,
        Self::Plan,
        Self::Usage,
        Self::Title,
        Self::Commands,
        Self::Mode,
        Self::Options,
        Self::Permission,
        Self::Files,
        Self::Terminals,
        Self::Polls,
        Self::Response,
        Self::Other,
    ];

    /// What a script does not see unless it asks for it.
    pub(crate) const HIDDEN: [Self; 8] = [
        Self::Card,
        Self::Input,
        Self::Usage,
        Self::Title,
        Self::Commands,
        Self::Mode,
        Self::Options,
        Self::Polls,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Say => "say",
            Self::Think => "think",
            Self::User => "user",
            Self::Call => "call",
            Self::Card => "card",
            Self::Input => "input",
            Self::Plan => "plan",
            Self::Usage => "usage",
            Self::Title => "title",
            Self::Commands => "commands",
            Self::Mode => "mode",
            Self::Options => "options",
            Self::Permission => "permission",
            Self::Files => "files",
            Self::Terminals => "terminals",
            Self::Polls => "polls",
            Self::Response => "response",
            Self::Other => "other",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One line of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    pub(crate) kind: Kind,
    /// What patterns are compared with.
    pub(crate) head: String,
    /// The message that JSON in a pattern must be contained in.
    pub(crate) message: Value,
    /// Whether the message is shown behind the head.
    shows_message: bool,
    /// The text of a message that may go on: its id and what it said so far.
    pub(crate) growing: Option<Growing>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Growing {
    pub(crate) message_id: String,
    pub(crate) text: String,
}

impl Line {
    pub(crate) fn new(kind: Kind, head: String, message: Value) -> Self {
        Self { kind, head, message, shows_message: false, growing: None }
    }

    fn with_message_shown(mut self) -> Self {
        self.shows_message = true;
        self
    }

    /// The line as a person reads it.
    pub(crate) fn text(&self) -> String {
        if self.shows_message && !self.message.is_null() {
            format!("{} {}", self.head, self.message)
        } else {
            self.head.clone()
        }
    }

    /// Joins a further piece of the same message.
    pub(crate) fn grow(&mut self, more: &Self) -> bool {
        let (Some(mine), Some(theirs)) = (&mut self.growing, &more.growing) else { return false };
        if self.kind != more.kind || mine.message_id != theirs.message_id {
            return false;
        }
        mine.text.push_str(&theirs.text);
        self.head = format!("← {} {}", self.kind.name(), quoted(&mine.text));
        true
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn short(text: &str) -> String {
    const LONGEST: usize = 120;
    if text.chars().count() <= LONGEST {
        return quoted(text);
    }
    quoted(&(text.chars().take(LONGEST).collect::<String>() + "…"))
}

fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

pub(crate) fn of_update(update: &Value) -> Line {
    let message = update.clone();
    let line = |kind: Kind, rest: String| {
        Line::new(kind, format!("← {} {rest}", kind.name()), message.clone())
    };
    match field(update, "sessionUpdate") {
        "agent_message_chunk" => chunk(Kind::Say, update),
        "agent_thought_chunk" => chunk(Kind::Think, update),
        "user_message_chunk" => chunk(Kind::User, update),
        kind @ ("tool_call" | "tool_call_update") => {
            let words = call(update, kind == "tool_call");
            let kind = match card::mark(update) {
                _ if words.len() <= 1 => Kind::Input,
                Some(_) => Kind::Card,
                None => Kind::Call,
            };
            line(kind, words.join(" "))
        }
        "plan" => {
            let entry = |entry: &Value| {
                format!("{} {}", quoted(field(entry, "content")), field(entry, "status"))
            };
            line(
                Kind::Plan,
                list(update, "entries").iter().map(entry).collect::<Vec<_>>().join(", "),
            )
        }
        "usage_update" => {
            let number = |name: &str| update.get(name).cloned().unwrap_or_default();
            line(Kind::Usage, format!("{}/{}", number("used"), number("size")))
        }
        "session_info_update" => line(Kind::Title, short(field(update, "title"))),
        "available_commands_update" => {
            let names: Vec<&str> = list(update, "availableCommands")
                .iter()
                .map(|command| field(command, "name"))
                .collect();
            line(Kind::Commands, names.join(" "))
        }
        "current_mode_update" => line(Kind::Mode, field(update, "currentModeId").to_owned()),
        "config_option_update" => line(Kind::Options, options(list(update, "configOptions"))),
        other => Line::new(Kind::Other, format!("← {other}"), message).with_message_shown(),
    }
}

fn options(options: &[Value]) -> String {
    let option = |option: &Value| {
        let value = option.get("currentValue").cloned().unwrap_or_default();
        format!(
            "{}={}",
            field(option, "id"),
            value.as_str().map_or_else(|| value.to_string(), str::to_owned)
        )
    };
    options.iter().map(option).collect::<Vec<_>>().join(" ")
}

fn chunk(kind: Kind, update: &Value) -> Line {
    let content = update.get("content").cloned().unwrap_or_default();
    if field(&content, "type") != "text" {
        let head = format!("← {} {}", kind.name(), field(&content, "type"));
        return Line::new(kind, head, update.clone());
    }
    let text = field(&content, "text").to_owned();
    let mut line = Line::new(kind, format!("← {} {}", kind.name(), quoted(&text)), update.clone());
    line.growing = Some(Growing { message_id: field(update, "messageId").to_owned(), text });
    line
}

/// `c1 read "Read src/main.rs" pending`, then what is shown. A new call without a status is pending.
fn call(update: &Value, is_new: bool) -> Vec<String> {
    let text = |name: &str| update.get(name).and_then(Value::as_str);
    let mut words = vec![field(update, "toolCallId").to_owned()];
    words.extend(text("kind").map(str::to_owned));
    words.extend(text("title").map(quoted));
    words.extend(text("status").or(is_new.then_some("pending")).map(str::to_owned));
    words.extend(list(update, "content").iter().map(shown));
    words
}

fn shown(part: &Value) -> String {
    match field(part, "type") {
        "diff" => {
            let (added, removed) =
                super::super::diff::counts(field(part, "oldText"), field(part, "newText"));
            format!("diff {} +{added} -{removed}", field(part, "path"))
        }
        "terminal" => format!("terminal {}", field(part, "terminalId")),
        "content" => {
            let content = part.get("content").cloned().unwrap_or_default();
            match field(&content, "type") {
                "text" => format!("text {}", short(field(&content, "text"))),
                other => other.to_owned(),
            }
        }
        other => other.to_owned(),
    }
}

pub(crate) fn of_request(method: &str, params: &Value, said: Option<Answer>) -> Line {
    let with = |kind: Kind, rest: String| {
        Line::new(kind, format!("← {method} {rest}").trim_end().to_owned(), params.clone())
    };
    match method {
        "session/request_permission" => {
            let call = params.get("toolCall").cloned().unwrap_or_default();
            let options: Vec<&str> =
                list(params, "options").iter().map(|option| field(option, "kind")).collect();
            let answer =
                said.map(|answer| format!(" → {}", policy::word(answer))).unwrap_or_default();
            let head = format!(
                "? permission {} {} [{}]{answer}",
                field(&call, "toolCallId"),
                quoted(field(&call, "title")),
                options.join(" ")
            );
            Line::new(Kind::Permission, head, params.clone())
        }
        "fs/read_text_file" | "fs/write_text_file" => {
            with(Kind::Files, field(params, "path").to_owned())
        }
        "terminal/create" => {
            let arguments = list(params, "args").iter().filter_map(Value::as_str);
            let words: Vec<&str> =
                std::iter::once(field(params, "command")).chain(arguments).collect();
            with(Kind::Terminals, short(&words.join(" ")))
        }
        "terminal/output" | "terminal/wait_for_exit" => {
            with(Kind::Polls, field(params, "terminalId").to_owned())
        }
        "terminal/kill" | "terminal/release" => {
            with(Kind::Terminals, field(params, "terminalId").to_owned())
        }
        _ => Line::new(Kind::Other, format!("← {method}"), params.clone()).with_message_shown(),
    }
}

pub(crate) fn of_notification(method: &str, params: &Value) -> Line {
    // `$/…` is a matter of the connection; whether it crosses with an answer is a matter of chance.
    let kind = if method.starts_with("$/") { Kind::Polls } else { Kind::Other };
    Line::new(kind, format!("← {method}"), params.clone()).with_message_shown()
}

/// `= NAME {…}`; a prompt's stop reason stands for its result, and its name only if it has one.
pub(crate) fn of_result(name: Option<&str>, result: &Value) -> Line {
    let stop = result.get("stopReason").and_then(Value::as_str);
    let words: Vec<&str> = ["="].into_iter().chain(name).chain(stop).collect();
    let line = Line::new(Kind::Response, words.join(" "), result.clone());
    if stop.is_some() { line } else { line.with_message_shown() }
}

/// `! NAME -32602 "message"`.
pub(crate) fn of_error(name: Option<&str>, error: &super::super::seen::RpcError) -> Line {
    let code = error.code.to_string();
    let message = quoted(&error.message);
    let words: Vec<&str> =
        ["!"].into_iter().chain(name).chain([code.as_str(), message.as_str()]).collect();
    Line::new(Kind::Response, words.join(" "), error.data.clone()).with_message_shown()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(update: &Value) -> String {
        of_update(update).text()
    }

    #[test]
    fn updates_have_one_line() {
        let call = json!({"sessionUpdate": "tool_call", "toolCallId": "c1", "kind": "read",
            "title": "Read \"a\"", "status": "pending"});
        assert_eq!(text(&call), r#"← call c1 read "Read \"a\"" pending"#);
        let done = json!({"sessionUpdate": "tool_call_update", "toolCallId": "c2", "status": "completed",
            "content": [{"type": "diff", "path": "/a", "oldText": "a\nb\n", "newText": "a\nc\nd\n"},
                {"type": "content", "content": {"type": "text", "text": "ok\n"}}]});
        assert_eq!(text(&done), r#"← call c2 completed diff /a +2 -1 text "ok\n""#);
        let plan =
            json!({"sessionUpdate": "plan", "entries": [{"content": "a", "status": "pending"}]});
        assert_eq!(text(&plan), r#"← plan "a" pending"#);
        let other = json!({"sessionUpdate": "new_kind", "x": 1});
        assert_eq!(text(&other), r#"← new_kind {"sessionUpdate":"new_kind","x":1}"#);
    }

    #[test]
    fn pieces_of_a_message_join() {
        let piece = |id: &str, text: &str| {
            of_update(&json!({"sessionUpdate": "agent_message_chunk", "messageId": id,
                "content": {"type": "text", "text": text}}))
        };
        let mut line = piece("m1", "Hel");
        assert!(line.grow(&piece("m1", "lo")));
        assert_eq!(line.text(), r#"← say "Hello""#);
        assert!(!line.grow(&piece("m2", "!")));
    }

    #[test]
    fn answers_have_one_line() {
        assert_eq!(of_result(None, &json!({"stopReason": "end_turn"})).text(), "= end_turn");
        assert_eq!(of_result(Some("x"), &json!({"a": 1})).text(), r#"= x {"a":1}"#);
        let permission = json!({"toolCall": {"toolCallId": "c1", "title": "Edit a"},
            "options": [{"kind": "allow_once"}, {"kind": "reject_once"}]});
        assert_eq!(
            of_request("session/request_permission", &permission, Some(Answer::AllowOnce)).text(),
            r#"? permission c1 "Edit a" [allow_once reject_once] → allow_once"#
        );
    }
}
