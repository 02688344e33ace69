//! One connection to an agent: it writes and reads lines, numbers requests, matches responses, answers
//! the agent's requests by policy and holds the laws. What to say and to show is its caller's.

mod answers;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::files::Files;
use super::laws::{Law, Laws};
use super::policy;
use super::policy::Policy;
use super::process;
use super::process::{Ending, Launch, Process};
use super::seen::{RequestId, RpcError, Seen};
use super::terminals::{Screen, Terminals};
use super::wire;
use super::wire::{Direction, Line, Recorder};
use crate::fault::Fault;
use crate::permission::Answer;

/// How long an agent may take to end after its input was closed.
const GRACE: Duration = Duration::from_secs(5);
/// How long its output is read on after its process ended.
const DRAIN: Duration = Duration::from_millis(500);

struct Open {
    method: String,
    session: String,
}

struct Question {
    id: Value,
    params: Value,
}

type Answered = (Value, Result<Value, RpcError>);

/// Why the connection goes on.
enum Woken {
    Line(Line),
    EndOfOutput,
    Reply(Answered),
    Room,
    Exited(std::process::ExitStatus),
    Late,
}

/// A connection to an agent.
pub struct Editor {
    process: Option<Process>,
    lines: mpsc::Receiver<Line>,
    writer: Option<mpsc::Sender<Vec<u8>>>,
    /// What the writer had no room for.
    outbox: VecDeque<Vec<u8>>,
    closing: bool,
    /// The reading and the writing task.
    _pumps: JoinSet<()>,
    replies: JoinSet<Answered>,
    next_id: u64,
    open: HashMap<RequestId, Open>,
    questions: VecDeque<Question>,
    policy: Policy,
    files: Files,
    terminals: Terminals,
    laws: Laws,
    recorder: Option<Recorder>,
    raw_lines: usize,
    exit: Option<std::process::ExitStatus>,
    /// When waiting for the process, or for its last output, ends.
    limit: Option<Instant>,
    killed: bool,
    ended: Option<Ending>,
}

impl Editor {
    /// Starts an agent.
    pub fn spawn(launch: &Launch, policy: Policy) -> Result<Self, Fault> {
        let (process, stdin, stdout) = Process::start(launch)?;
        let mut editor = Self::over(stdout, stdin, policy);
        editor.process = Some(process);
        Ok(editor)
    }

    /// Talks to an agent over any pair of streams.
    pub fn over(
        reader: impl AsyncRead + Unpin + Send + 'static,
        writer: impl AsyncWrite + Unpin + Send + 'static,
        policy: Policy,
    ) -> Self {
        let (line_sender, lines) = mpsc::channel(wire::WAITING_LINES);
        let (chunk_sender, chunks) = mpsc::channel(wire::WAITING_LINES);
        let mut pumps = JoinSet::new();
        pumps.spawn(wire::read(reader, line_sender));
        pumps.spawn(wire::write(writer, chunks));
        Self {
            process: None,
            lines,
            writer: Some(chunk_sender),
            outbox: VecDeque::new(),
            closing: false,
            _pumps: pumps,
            replies: JoinSet::new(),
            next_id: 0,
            open: HashMap::new(),
            questions: VecDeque::new(),
            policy,
            files: Files::default(),
            terminals: Terminals::default(),
            laws: Laws::default(),
            recorder: None,
            raw_lines: 0,
            exit: None,
            limit: None,
            killed: false,
            ended: None,
        }
    }

    pub fn record(&mut self, recorder: Recorder) {
        self.recorder = Some(recorder);
    }

    /// Gives the record back, so that another connection can go on with it.
    pub fn take_recorder(&mut self) -> Option<Recorder> {
        self.recorder.take()
    }

    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    pub fn files(&mut self) -> &mut Files {
        &mut self.files
    }

    pub fn laws(&mut self) -> &mut Laws {
        &mut self.laws
    }

    /// What a terminal shows, also after its release.
    pub fn screen(&self, terminal: &str) -> Option<Screen> {
        self.terminals.screen(terminal)
    }

    /// How many requests of ours have no answer yet.
    pub fn open_requests(&self) -> usize {
        self.open.len()
    }

    /// How many questions wait for [`Editor::answer`].
    pub fn open_questions(&self) -> usize {
        self.questions.len()
    }

    pub fn request(&mut self, method: &str, params: &Value) -> RequestId {
        self.next_id += 1;
        let request = RequestId(self.next_id.to_string());
        self.remember(&request, method, params);
        self.send(
            &json!({"jsonrpc": "2.0", "id": self.next_id, "method": method, "params": params}),
        );
        request
    }

    pub fn notify(&mut self, method: &str, params: &Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    /// Sends `session/cancel` and answers the session's open questions, as a client must.
    pub fn cancel(&mut self, session: &str) {
        self.notify("session/cancel", &json!({"sessionId": session}));
        let mut kept = VecDeque::new();
        for question in std::mem::take(&mut self.questions) {
            if session_of(&question.params) == session {
                let (result, _) = policy::outcome(Answer::Unanswered, &question.params);
                self.reply(&question.id, Ok(result));
            } else {
                kept.push_back(question);
            }
        }
        self.questions = kept;
    }

    /// Answers the oldest open question; says what was answered, `None` without a question.
    pub fn answer(&mut self, answer: Answer) -> Option<Answer> {
        let question = self.questions.pop_front()?;
        let (result, said) = policy::outcome(answer, &question.params);
        self.reply(&question.id, Ok(result));
        Some(said)
    }

    /// The id of the question that [`Editor::answer`] would answer.
    pub(crate) fn oldest_question(&self) -> Option<&Value> {
        self.questions.front().map(|question| &question.id)
    }

    /// Answers one question; says what was answered, `None` if it is not open.
    pub(crate) fn answer_to(&mut self, request: &Value, answer: Answer) -> Option<Answer> {
        let question = self.take_question(request)?;
        let (result, said) = policy::outcome(answer, &question.params);
        self.reply(&question.id, Ok(result));
        Some(said)
    }

    /// Leaves a question without an answer for ever, as some clients do.
    pub(crate) fn ignore(&mut self, request: &Value) {
        self.take_question(request);
    }

    /// Answers a notification with an error, as some clients do: an error of no request.
    pub(crate) fn complain(&mut self, message: &str) {
        let error = json!({"code": -32603, "message": message});
        self.send(&json!({"jsonrpc": "2.0", "id": null, "error": error}));
    }

    /// Sends bytes as they are. A line that is a request is matched with its response by its own id.
    pub fn send_raw(&mut self, bytes: Vec<u8>) -> Option<RequestId> {
        self.raw_lines += 1;
        let message = serde_json::from_slice::<Value>(&bytes).ok();
        if let Some(recorder) = &mut self.recorder {
            recorder.write(Direction::ToAgent, &String::from_utf8_lossy(&bytes));
        }
        let tracked = message.as_ref().and_then(|message| self.register(message));
        self.push(bytes);
        tracked
    }

    /// Closes the agent's input, after what was sent.
    pub fn close_input(&mut self) {
        self.closing = true;
        self.settle_writer();
    }

    /// Kills the agent with everything in its process group.
    pub fn kill(&mut self) {
        self.killed = true;
        if let Some(process) = &mut self.process {
            process.kill();
        }
    }

    /// Closes the input, waits at most five seconds for the end and kills what is left. What comes
    /// meanwhile is checked but not reported.
    pub async fn finish(&mut self) -> Ending {
        self.close_input();
        self.limit.get_or_insert_with(|| Instant::now() + GRACE);
        loop {
            if let Seen::Ended(ending) = self.next().await {
                return ending;
            }
        }
    }

    /// The next thing from the agent. It may be dropped and called again without loss.
    pub async fn next(&mut self) -> Seen {
        if let Some(ending) = &self.ended {
            return Seen::Ended(ending.clone());
        }
        loop {
            self.settle_writer();
            match self.woken().await {
                Woken::Line(line) => {
                    if let Some(seen) = self.take(line) {
                        return seen;
                    }
                }
                Woken::Reply((id, result)) => self.reply(&id, result),
                Woken::Room => {}
                Woken::Exited(status) => {
                    self.exit = Some(status);
                    self.limit = Some(Instant::now() + DRAIN);
                }
                Woken::Late if self.exit.is_none() && !self.killed && self.process.is_some() => {
                    self.kill();
                    self.limit = Some(Instant::now() + DRAIN);
                }
                Woken::Late | Woken::EndOfOutput => return Seen::Ended(self.end().await),
            }
        }
    }

    /// Output first, so that the order of the wire is kept; then our answers, room to write, the end.
    async fn woken(&mut self) -> Woken {
        loop {
            let limit = self.limit;
            let exit = async {
                match &mut self.process {
                    Some(process) if self.exit.is_none() => {
                        process.wait().await.unwrap_or_default()
                    }
                    _ => std::future::pending().await,
                }
            };
            return tokio::select! {
                biased;
                line = self.lines.recv() => line.map_or(Woken::EndOfOutput, Woken::Line),
                Some(reply) = self.replies.join_next(), if !self.replies.is_empty() => match reply {
                    Ok(reply) => Woken::Reply(reply),
                    Err(_) => continue,
                },
                () = has_room(self.writer.as_ref()), if !self.outbox.is_empty() => Woken::Room,
                status = exit => Woken::Exited(status),
                () = sleep_until(limit) => Woken::Late,
            };
        }
    }

    /// After the end of the output: the end of the process.
    async fn end(&mut self) -> Ending {
        let limit = *self.limit.get_or_insert_with(|| Instant::now() + GRACE);
        let ending = match &mut self.process {
            None => Ending {
                code: None,
                description: "end of its output".to_owned(),
                stderr: String::new(),
            },
            Some(process) => {
                let mut status = self.exit;
                if status.is_none() {
                    status = tokio::time::timeout_at(limit, process.wait()).await.ok().flatten();
                }
                let mut forced = "";
                if status.is_none() {
                    process.kill();
                    status = process.wait().await;
                    forced = ", killed because it did not end by itself";
                }
                let description =
                    status.map_or_else(|| "an unknown end".to_owned(), process::describe);
                Ending {
                    code: status.and_then(|status| status.code()),
                    description: description + forced,
                    stderr: process.stderr_tail().await,
                }
            }
        };
        self.ended = Some(ending.clone());
        ending
    }

    fn take(&mut self, line: Line) -> Option<Seen> {
        let message = match line {
            Line::Message(message) => message,
            Line::Invalid(text) => {
                if let Some(recorder) = &mut self.recorder {
                    recorder.write(Direction::FromAgent, &text);
                }
                self.laws.broken(Law::Wire, format!("a line that is no JSON message: `{text}`"));
                return None;
            }
            Line::TooLong => {
                self.laws.broken(Law::Wire, "a line above 32 MiB");
                return None;
            }
        };
        if let Some(recorder) = &mut self.recorder {
            recorder.write(Direction::FromAgent, &message.to_string());
        }
        if message.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
            self.laws.broken(Law::Wire, "a message without `\"jsonrpc\": \"2.0\"`");
        }
        let method = message.get("method").and_then(Value::as_str).map(str::to_owned);
        let params = message.get("params").cloned().unwrap_or_default();
        match (method, message.get("id")) {
            (Some(method), Some(id)) => Some(self.asked(id.clone(), method, params)),
            (Some(method), None) => Some(self.notified(method, params)),
            (None, _) => self.answered(&message),
        }
    }

    fn notified(&mut self, method: String, params: Value) -> Seen {
        self.laws.agent_spoke(&method, &params);
        if method == "$/cancel_request" {
            self.withdraw(params.get("requestId").unwrap_or(&Value::Null));
        }
        if method != "session/update" {
            return Seen::Notified { method, params };
        }
        let session = session_of(&params).to_owned();
        let update = params.get("update").cloned().unwrap_or_default();
        self.laws.update(&session, &update);
        let meta = params.get("_meta").cloned().unwrap_or_default();
        Seen::Update { session, update, meta }
    }

    fn answered(&mut self, message: &Value) -> Option<Seen> {
        let id = message.get("id").cloned().unwrap_or_default();
        let result = match (message.get("result"), message.get("error")) {
            (Some(result), None) => Ok(result.clone()),
            (None, Some(error)) => Err(RpcError::from_wire(error)),
            _ => {
                self.laws.broken(
                    Law::Answers,
                    format!("a response `{id}` without one of result and error"),
                );
                return None;
            }
        };
        let request = RequestId(id.to_string());
        let Some(Open { method, session }) = self.open.remove(&request) else {
            // A line of ours that was no request is answered with the id null.
            match result {
                Err(error) if id.is_null() && self.raw_lines > 0 => {
                    self.raw_lines -= 1;
                    return Some(Seen::Stray(error));
                }
                _ => self.laws.broken(
                    Law::Answers,
                    format!("a response `{id}` to no open request, or the second one to it"),
                ),
            }
            return None;
        };
        let held = self.terminals.held(&session);
        self.laws.response_came(&method, &session, result.as_ref().ok(), &held);
        Some(Seen::Answered { request, method, session, result })
    }

    /// Remembers a raw message if it is a request.
    fn register(&mut self, message: &Value) -> Option<RequestId> {
        let method = message.get("method").and_then(Value::as_str)?;
        let request = RequestId(message.get("id").filter(|id| !id.is_null())?.to_string());
        self.remember(&request, method, message.get("params").unwrap_or(&Value::Null));
        Some(request)
    }

    fn remember(&mut self, request: &RequestId, method: &str, params: &Value) {
        self.laws.request_sent(method, params);
        let open = Open { method: method.to_owned(), session: session_of(params).to_owned() };
        self.open.insert(request.clone(), open);
    }

    fn send(&mut self, message: &Value) {
        let mut text = message.to_string();
        if let Some(recorder) = &mut self.recorder {
            recorder.write(Direction::ToAgent, &text);
        }
        text.push('\n');
        self.push(text.into_bytes());
    }

    fn push(&mut self, bytes: Vec<u8>) {
        if self.closing {
            return;
        }
        self.outbox.push_back(bytes);
        self.settle_writer();
    }

    /// Hands on what the writer has room for, then closes it if that was asked for.
    fn settle_writer(&mut self) {
        while let (Some(writer), Some(bytes)) = (&self.writer, self.outbox.pop_front()) {
            match writer.try_send(bytes) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(bytes)) => {
                    self.outbox.push_front(bytes);
                    break;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => self.outbox.clear(),
            }
        }
        if self.closing && self.outbox.is_empty() {
            self.writer = None;
        }
    }
}

fn session_of(params: &Value) -> &str {
    params.get("sessionId").and_then(Value::as_str).unwrap_or_default()
}

/// Whether the writer can take one more; also at its end, where nothing waits any more.
async fn has_room(writer: Option<&mpsc::Sender<Vec<u8>>>) {
    match writer {
        Some(writer) => drop(writer.reserve().await),
        None => std::future::pending().await,
    }
}

async fn sleep_until(limit: Option<Instant>) {
    match limit {
        Some(limit) => tokio::time::sleep_until(limit).await,
        None => std::future::pending().await,
    }
}
