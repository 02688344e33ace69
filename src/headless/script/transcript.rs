//! What an agent has sent so far, in normal form: one stream of lines for each session, and how far a
//! script has read each. It waits for nothing; `script::play` does.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::lines;
use super::lines::{Kind, Line};
use super::pattern::{Captures, Pattern};
use crate::headless::card;
use crate::headless::seen::{RequestId, RpcError, Seen};

/// How a request of the script appears when its answer comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Not at all: the script waits for it by itself.
    Silent,
    /// As a line of that session's stream, with a name if it has one.
    Line { session: usize, name: Option<String> },
}

/// What became of an expected line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Met {
    Matched,
    /// The next line is another one and will not change.
    Other,
    /// Nothing, or only the beginning of a message, came so far.
    NotYet,
}

#[derive(Debug, Default)]
struct Stream {
    lines: Vec<Line>,
    next: usize,
    /// `...` was read: lines that do not match are skipped.
    skipping: bool,
    /// The last line that was matched while it could grow, by what and in which line of the script.
    pinned: Option<(usize, Pattern, usize)>,
}

/// The card of a task.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Card {
    /// The task's, such as `running`.
    pub(crate) state: String,
    /// What was told of it, the newest of each field.
    pub(crate) shown: Value,
}

/// Everything that came, by session.
#[derive(Debug)]
pub(crate) struct Transcript {
    sessions: Vec<String>,
    streams: Vec<Stream>,
    hidden: HashSet<Kind>,
    shown: HashMap<RequestId, Shown>,
    results: HashMap<RequestId, Result<Value, RpcError>>,
    /// What is replaced in every text, longest first.
    names: Vec<(String, String)>,
    log: Vec<String>,
    /// The cards of tasks as they are now, by session and task.
    cards: HashMap<(usize, String), Card>,
    outgrown: Option<(usize, String)>,
}

impl Transcript {
    /// `names` are texts such as the work folder, with what stands for them.
    pub(crate) fn new(names: Vec<(String, String)>) -> Self {
        Self {
            sessions: Vec::new(),
            streams: vec![Stream::default()],
            hidden: HashSet::from(Kind::HIDDEN),
            shown: HashMap::new(),
            results: HashMap::new(),
            names,
            log: Vec::new(),
            cards: HashMap::new(),
            outgrown: None,
        }
    }

    pub(crate) fn hide(&mut self, kind: Kind) {
        self.hidden.insert(kind);
    }

    pub(crate) fn show(&mut self, kind: Kind) {
        self.hidden.remove(&kind);
    }

    /// The id of a session by its number in the script.
    pub(crate) fn session(&self, number: usize) -> Option<&str> {
        self.sessions.get(number.checked_sub(1)?).map(String::as_str)
    }

    pub(crate) fn sessions(&self) -> &[String] {
        &self.sessions
    }

    /// The same with `$CWD` and the like in the place of what differs each time; sessions keep their ids.
    pub(crate) fn named(&self, seen: &Seen) -> Seen {
        let mut seen = seen.clone();
        if let Seen::Update { update, .. } = &mut seen {
            *update = self.normal(update);
        }
        if let Seen::Asked { params, .. } = &mut seen
            && let Some(call) = params.get_mut("toolCall")
        {
            *call = self.normal(call);
        }
        seen
    }

    /// Numbers a session.
    pub(crate) fn know(&mut self, id: &str) {
        if id.is_empty() || self.sessions.iter().any(|known| known == id) {
            return;
        }
        self.sessions.push(id.to_owned());
        let number = self.sessions.len();
        let name = if number == 1 { "$SESSION".to_owned() } else { format!("$SESSION{number}") };
        self.names.push((id.to_owned(), name));
        self.stream_mut(number);
    }

    pub(crate) fn expect_answer(&mut self, request: RequestId, shown: Shown) {
        self.shown.insert(request, shown);
    }

    /// The answer to a silent request.
    pub(crate) fn take_result(&mut self, request: &RequestId) -> Option<Result<Value, RpcError>> {
        self.results.remove(request)
    }

    /// Notes something of ours, for reports only.
    pub(crate) fn note(&mut self, text: String) {
        self.log.push(text);
    }

    /// The last lines of everything.
    pub(crate) fn tail(&self, count: usize) -> Vec<String> {
        self.log.iter().skip(self.log.len().saturating_sub(count)).cloned().collect()
    }

    pub(crate) fn add(&mut self, seen: &Seen) {
        match seen {
            Seen::Update { session, update, .. } => {
                let update = self.normal(update);
                let number = self.number(session);
                self.follow_card(number, &update);
                self.push(number, lines::of_update(&update));
            }
            Seen::Notified { method, params } => {
                let line = lines::of_notification(method, &self.normal(params));
                self.push(self.number_in(params), line);
            }
            Seen::Asked { method, params, said, .. } => {
                let line = lines::of_request(method, &self.normal(params), *said);
                self.push(self.number_in(params), line);
            }
            Seen::Answered { request, method, result, .. } => {
                self.answered(request, method, result);
            }
            Seen::Stray(error) => self.push(1, lines::of_error(Some("null"), error)),
            Seen::Ended(ending) => {
                self.log.push(format!("the agent ended: {}", ending.description));
            }
        }
    }

    fn follow_card(&mut self, session: usize, update: &Value) {
        let Some(mark) = card::mark(update).filter(|mark| mark.is_card) else { return };
        let card = self.cards.entry((session, mark.task.to_owned())).or_default();
        mark.state.clone_into(&mut card.state);
        // A task that goes on has another card.
        if card.shown.get("toolCallId") != update.get("toolCallId") {
            card.shown = Value::Null;
        }
        match (&mut card.shown, update) {
            (Value::Object(shown), Value::Object(update)) => shown.extend(update.clone()),
            (shown, update) => shown.clone_from(update),
        }
    }

    /// The card of a task as it is now.
    pub(crate) fn card(&self, session: usize, task: &str) -> Option<&Card> {
        self.cards.get(&(session, task.to_owned()))
    }

    fn answered(&mut self, request: &RequestId, method: &str, result: &Result<Value, RpcError>) {
        if let ("session/new" | "session/fork", Ok(result)) = (method, result) {
            self.know(result.get("sessionId").and_then(Value::as_str).unwrap_or_default());
        }
        let shown = self.shown.remove(request);
        let (session, name) = match shown {
            Some(Shown::Silent) => {
                self.results.insert(request.clone(), result.clone());
                return;
            }
            Some(Shown::Line { session, name }) => (session, name),
            None => (1, Some(request.label().to_owned())),
        };
        let line = match result {
            Ok(result) => lines::of_result(name.as_deref(), &self.normal(result)),
            Err(error) => {
                let message = self.replaced(&error.message);
                let error = RpcError { code: error.code, message, data: self.normal(&error.data) };
                lines::of_error(name.as_deref(), &error)
            }
        };
        self.push(session, line);
    }

    fn push(&mut self, session: usize, line: Line) {
        if self.hidden.contains(&line.kind) {
            return;
        }
        let stream = self.stream_mut(session);
        if let Some(last) = stream.lines.last_mut()
            && last.grow(&line)
        {
            let text = last.text();
            let index = stream.lines.len().saturating_sub(1);
            self.check_pinned(session, index);
            if let Some(noted) = self.log.last_mut() {
                *noted = text;
            }
            return;
        }
        // Progress that changes nothing in the normal form is no new line.
        if stream.lines.last().is_some_and(|last| {
            matches!(last.kind, Kind::Call | Kind::Card) && last.head == line.head
        }) {
            return;
        }
        self.log.push(line.text());
        self.stream_mut(session).lines.push(line);
    }

    /// A line that was matched must still match when it has grown.
    fn check_pinned(&mut self, session: usize, index: usize) {
        let stream = self.stream_mut(session);
        let Some((pinned, pattern, script_line)) = &stream.pinned else { return };
        let Some(line) = stream.lines.get(index).filter(|_| *pinned == index) else { return };
        if !pattern.matches(&line.head, &line.message, &mut Captures::new()) {
            let text = format!("the message went on after it matched: {}", line.text());
            self.outgrown = Some((*script_line, text));
        }
    }

    pub(crate) fn take_outgrown(&mut self) -> Option<(usize, String)> {
        self.outgrown.take()
    }

    pub(crate) fn skip_any(&mut self, session: usize) {
        self.stream_mut(session).skipping = true;
    }

    /// Compares the next line of a session with an expected one, and goes past it if they match.
    pub(crate) fn meet(
        &mut self,
        session: usize,
        pattern: &Pattern,
        script_line: usize,
        captures: &mut Captures,
    ) -> Met {
        let stream = self.stream_mut(session);
        while let Some(line) = stream.lines.get(stream.next) {
            let is_last = stream.next + 1 == stream.lines.len();
            if pattern.matches(&line.head, &line.message, captures) {
                if line.growing.is_some() && is_last {
                    stream.pinned = Some((stream.next, pattern.clone(), script_line));
                }
                stream.next += 1;
                stream.skipping = false;
                return Met::Matched;
            }
            if line.growing.is_some() && is_last {
                return Met::NotYet;
            }
            if !stream.skipping {
                return Met::Other;
            }
            stream.next += 1;
        }
        Met::NotYet
    }

    /// How far a session was read.
    pub(crate) fn place(&mut self, session: usize) -> usize {
        self.stream_mut(session).next
    }

    /// The lines of a session from a place on; what was read ends where they end.
    pub(crate) fn take_from(&mut self, session: usize, place: usize) -> Vec<Line> {
        let stream = self.stream_mut(session);
        stream.next = stream.lines.len();
        stream.skipping = false;
        stream.lines.iter().skip(place).cloned().collect()
    }

    /// The lines of a session from a place on.
    pub(crate) fn lines_from(&self, session: usize, place: usize) -> &[Line] {
        let stream = session.checked_sub(1).and_then(|index| self.streams.get(index));
        stream.and_then(|stream| stream.lines.get(place..)).unwrap_or_default()
    }

    /// The first line that no expectation has read, with its session.
    pub(crate) fn unread(&self) -> Option<(usize, String)> {
        self.streams.iter().enumerate().filter(|(_, stream)| !stream.skipping).find_map(
            |(index, stream)| stream.lines.get(stream.next).map(|line| (index + 1, line.text())),
        )
    }

    fn stream_mut(&mut self, session: usize) -> &mut Stream {
        let index = session.saturating_sub(1);
        while self.streams.len() <= index {
            self.streams.push(Stream::default());
        }
        &mut self.streams[index]
    }

    /// The number of a session; what belongs to none that is known is in the first stream.
    pub(crate) fn number(&self, id: &str) -> usize {
        self.sessions.iter().position(|known| known == id).map_or(1, |index| index + 1)
    }

    fn number_in(&self, params: &Value) -> usize {
        self.number(params.get("sessionId").and_then(Value::as_str).unwrap_or_default())
    }

    pub(crate) fn replaced(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (long, name)| text.replace(long, name))
    }

    fn normal(&self, value: &Value) -> Value {
        map_strings(value, &|text| self.replaced(text))
    }
}

/// Changes every string in a value.
pub(crate) fn map_strings(value: &Value, change: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(change(text)),
        Value::Array(items) => items.iter().map(|item| map_strings(item, change)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (key.clone(), map_strings(value, change))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}
