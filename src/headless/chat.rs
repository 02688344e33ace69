//! A conversation with a person beside it: prompts go in, the printer shows what comes, questions are
//! asked, an interrupt cancels. Where the person sits is its caller's.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use futures::FutureExt as _;

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::card;
use super::editor::Editor;
use super::print::Printer;
use super::process::Ending;
use super::seen::{RequestId, RpcError, Seen};
use crate::fault::{Fault, Kind};
use crate::permission::Answer;

/// How long no card may change before what they say is believed: an agent need not show each change at
/// once.
const QUIET: Duration = Duration::from_secs(2);

/// How background tasks stand when a run is at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// All are over.
    Nothing,
    /// These wait for a permission that nobody gives.
    Waiting(Vec<String>),
    /// The person did not want to wait for these.
    Given(Vec<String>),
}

/// What was last shown of a task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Card {
    task: String,
    state: String,
    text: String,
}

/// Asks the person; the answer comes when it comes.
pub type Asker = Box<dyn FnMut() -> oneshot::Receiver<Answer> + Send>;

/// Which session a conversation is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    New,
    /// The newest one of the folder.
    Last,
    /// The one with this id, or the only one whose id begins so.
    Named(String),
}

/// Why a conversation cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    #[error("the agent refused: {0}")]
    Refused(RpcError),
    /// There is no session to go on with.
    #[error(transparent)]
    Missing(Fault),
    #[error("the agent ended: {}", .0.description)]
    Ended(Ending),
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
}

/// A conversation in one session.
pub struct Chat<'a> {
    editor: Editor,
    printer: Printer<'a>,
    session: String,
    resumes: bool,
    asker: Asker,
    interrupts: mpsc::Receiver<()>,
    pending: Option<oneshot::Receiver<Answer>>,
    questions: Vec<Value>,
    interrupted: bool,
    /// By their ids.
    cards: BTreeMap<String, Card>,
    /// Whether a question was refused because nobody could be asked.
    pub refused: bool,
}

impl<'a> Chat<'a> {
    pub fn new(
        editor: Editor,
        printer: Printer<'a>,
        asker: Asker,
        interrupts: mpsc::Receiver<()>,
    ) -> Self {
        Self {
            editor,
            printer,
            session: String::new(),
            resumes: false,
            asker,
            interrupts,
            pending: None,
            questions: Vec::new(),
            interrupted: false,
            cards: BTreeMap::new(),
            refused: false,
        }
    }

    pub fn printer(&mut self) -> &mut Printer<'a> {
        &mut self.printer
    }

    /// Initializes the connection, and opens a session in `folder`. Of one that goes on nothing is shown
    /// but which one it is.
    pub async fn open(&mut self, folder: &str, which: &Which) -> Result<(), ChatError> {
        let initialized = self
            .ask(
                "initialize",
                &json!({
                    "protocolVersion": 1,
                    "clientCapabilities": {
                        "fs": {"readTextFile": true, "writeTextFile": true},
                        "terminal": true,
                    },
                    "clientInfo": {"name": "talaria-headless", "version": env!("CARGO_PKG_VERSION")},
                }),
            )
            .await?;
        let offers = |name: &str| {
            let capabilities = initialized.pointer("/agentCapabilities/sessionCapabilities");
            capabilities.and_then(|all| all.get(name)).is_some_and(|one| !one.is_null())
        };
        self.resumes = offers("list") && offers("resume");
        if *which == Which::New {
            let params = json!({"cwd": folder, "mcpServers": []});
            let session = self.ask("session/new", &params).await?;
            field(&session, "sessionId").clone_into(&mut self.session);
            return Ok(());
        }
        if !self.resumes {
            let fault = Fault::new(
                Kind::Config,
                "there are no sessions to go on with: `store.enabled` is false",
            );
            return Err(ChatError::Missing(fault.with_hint(
                "Set it to true in `config.yaml`; `talaria config path` says where that is.",
            )));
        }
        let session = self.find(folder, which).await?;
        let (id, cwd) = (field(&session, "sessionId"), field(&session, "cwd"));
        let mut params = json!({"sessionId": id, "cwd": cwd, "mcpServers": []});
        // What is not named is not opened.
        if let Some(folders) = session.get("additionalDirectories") {
            params["additionalDirectories"] = folders.clone();
        }
        self.ask("session/resume", &params).await?;
        id.clone_into(&mut self.session);
        let title =
            session.get("title").and_then(Value::as_str).unwrap_or("a session without a title");
        self.printer.note(&format!("Going on with {id}: {title}"))?;
        Ok(())
    }

    /// The session that is meant, as the agent lists it.
    async fn find(&mut self, folder: &str, which: &Which) -> Result<Value, ChatError> {
        let mut found: Vec<Value> = Vec::new();
        let mut cursor = Value::Null;
        loop {
            let mut params = json!({});
            if !cursor.is_null() {
                params["cursor"] = cursor;
            }
            let page = self.ask("session/list", &params).await?;
            let sessions =
                page.get("sessions").and_then(Value::as_array).cloned().unwrap_or_default();
            match which {
                Which::Named(id) => {
                    if let Some(exact) =
                        sessions.iter().find(|session| field(session, "sessionId") == id)
                    {
                        return Ok(exact.clone());
                    }
                    let begins =
                        |session: &Value| field(session, "sessionId").starts_with(id.as_str());
                    found.extend(sessions.into_iter().filter(begins));
                }
                Which::New | Which::Last => {
                    // Not asked of the agent: an editor may have named the folder by a link.
                    for session in sessions {
                        if is_folder(field(&session, "cwd"), folder).await {
                            return Ok(session);
                        }
                    }
                }
            }
            cursor = page.get("nextCursor").cloned().unwrap_or_default();
            if cursor.is_null() {
                break;
            }
        }
        let message = match (which, found.len()) {
            (_, 1) => return Ok(found.remove(0)),
            (Which::Named(id), 0) => format!("there is no session `{id}`"),
            (Which::Named(id), number) => format!("{number} sessions begin with `{id}`"),
            (Which::New | Which::Last, _) => format!("there is no session of `{folder}`"),
        };
        let hint = match found.len() {
            0 => "`talaria sessions list` shows those that there are.",
            _ => "Give more of the id; `talaria sessions list` shows enough of each.",
        };
        Err(ChatError::Missing(Fault::new(Kind::User, message).with_hint(hint)))
    }

    /// Whether the session can be gone on with later, as far as the agent says. One whose sessions cannot
    /// be listed keeps none.
    pub async fn is_kept(&mut self) -> Option<bool> {
        if !self.resumes {
            return None;
        }
        // What was prompted last is listed first.
        let page = match self.ask("session/list", &json!({})).await {
            Ok(page) => page,
            Err(ChatError::Refused(_)) => return Some(false),
            Err(_) => return None,
        };
        let sessions = page.get("sessions").and_then(Value::as_array)?;
        Some(sessions.iter().any(|session| field(session, "sessionId") == self.session))
    }

    pub async fn set_mode(&mut self, mode: &str) -> Result<(), ChatError> {
        self.ask("session/set_mode", &json!({"sessionId": self.session, "modeId": mode})).await?;
        Ok(())
    }

    /// Sends a prompt and shows the turn; the stop reason.
    pub async fn prompt(&mut self, text: &str) -> Result<String, ChatError> {
        // What came since the last answer is of before this prompt.
        while let Some(seen) = self.editor.next().now_or_never() {
            self.take(seen)?;
        }
        self.printer.prompt(text)?;
        let content = json!([{"type": "text", "text": text}]);
        let params = json!({"sessionId": self.session, "prompt": content});
        let request = self.editor.request("session/prompt", &params);
        let mut result = self.until(&request).await?;
        if let Ok(Value::Object(fields)) = &mut result {
            fields.insert("sessionId".to_owned(), self.session.clone().into());
        }
        self.printer.result(&result)?;
        self.printer.usage()?;
        result.map(|result| field(&result, "stopReason").to_owned()).map_err(ChatError::Refused)
    }

    /// Ends the agent. What it broke of the protocol is returned.
    pub async fn close(mut self) -> Vec<String> {
        self.editor.finish().await;
        self.editor.laws().breaches().iter().map(ToString::to_string).collect()
    }

    async fn ask(&mut self, method: &str, params: &Value) -> Result<Value, ChatError> {
        let request = self.editor.request(method, params);
        self.until(&request).await?.map_err(ChatError::Refused)
    }

    /// Shows what comes until no background task runs or is queued.
    pub async fn until_tasks_rest(&mut self) -> Result<Left, ChatError> {
        let mut quiet = Instant::now() + QUIET;
        loop {
            let waiting = self.tasks_that_are(&["waiting"]);
            let rests = self.tasks_that_are(&["queued", "running"]).is_empty();
            if self.interrupted {
                let given = self.tasks_that_are(&["queued", "running", "waiting"]);
                return Ok(if given.is_empty() { Left::Nothing } else { Left::Given(given) });
            }
            if rests && waiting.is_empty() {
                return Ok(Left::Nothing);
            }
            // A person who is being asked is waited for.
            let is_over = rests && self.pending.is_none();
            let before = self.cards.clone();
            tokio::select! {
                biased;
                seen = self.next() => {
                    if let Some(seen) = seen? {
                        self.take(seen)?;
                    }
                }
                () = tokio::time::sleep_until(quiet), if is_over => {
                    return Ok(Left::Waiting(waiting));
                }
            }
            if self.cards != before {
                quiet = Instant::now() + QUIET;
            }
        }
    }

    fn tasks_that_are(&self, states: &[&str]) -> Vec<String> {
        let meant = self.cards.values().filter(|card| states.contains(&card.state.as_str()));
        meant.map(|card| card.task.clone()).collect()
    }

    /// Asks the person what a task waits for, while no prompt is open; then tells the agent. Whether the
    /// person said something.
    pub async fn settle(&mut self, task: &str) -> Result<bool, ChatError> {
        let is_meant = |card: &&Card| card.task == task && card.state == "waiting";
        let Some(card) = self.cards.values().find(is_meant).cloned() else { return Ok(true) };
        let mut lines = card.text.lines();
        let what = lines.next().unwrap_or_default();
        // It may be a task of this task that asks.
        let named = lines.next().and_then(|line| line.split("`/allow ").nth(1)?.split('`').next());
        let asker = named.unwrap_or(task).to_owned();
        let call = json!({"toolCallId": "", "title": format!("`{asker}` · {what}")});
        self.printer.question(&json!({ "toolCall": call }))?;
        let mut answer = (self.asker)();
        let answer = loop {
            tokio::select! {
                biased;
                Some(()) = self.interrupts.recv() => {
                    self.interrupted = true;
                    return Ok(false);
                }
                answer = &mut answer => break answer.unwrap_or(Answer::Unanswered),
                seen = self.editor.next() => self.take(seen)?,
            }
        };
        let command = match answer {
            Answer::AllowOnce => format!("/allow {asker}"),
            Answer::AllowAlways => format!("/allow {asker} always"),
            Answer::RejectOnce | Answer::RejectAlways => format!("/deny {asker}"),
            Answer::Unanswered => return Ok(false),
        };
        // Until the next card it is not known what it waits for.
        for card in self.cards.values_mut().filter(|card| card.task == task) {
            "running".clone_into(&mut card.state);
        }
        self.prompt(&command).await?;
        Ok(true)
    }

    /// Answers, interrupts and everything from the agent, until the answer to a request.
    async fn until(&mut self, request: &RequestId) -> Result<Result<Value, RpcError>, ChatError> {
        loop {
            match self.next().await? {
                Some(Seen::Answered { request: answered, result, .. }) if answered == *request => {
                    return Ok(result);
                }
                Some(seen) => self.take(seen)?,
                None => {}
            }
        }
    }

    /// The next thing from the agent; nothing where the person did something.
    async fn next(&mut self) -> Result<Option<Seen>, ChatError> {
        let answer = async {
            match &mut self.pending {
                // A person that went away has not answered.
                Some(pending) => pending.await.unwrap_or(Answer::Unanswered),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(()) = self.interrupts.recv() => self.interrupt()?,
            answer = answer => self.answer(answer)?,
            seen = self.editor.next() => return Ok(Some(seen)),
        }
        Ok(None)
    }

    fn take(&mut self, seen: Seen) -> Result<(), ChatError> {
        match seen {
            Seen::Ended(ending) => return Err(ChatError::Ended(ending)),
            Seen::Update { update, .. } => {
                if let Some(mark) = card::mark(&update).filter(|mark| mark.is_card) {
                    let card =
                        self.cards.entry(field(&update, "toolCallId").to_owned()).or_default();
                    mark.task.clone_into(&mut card.task);
                    mark.state.clone_into(&mut card.state);
                    if let Some(content) = update.get("content").and_then(Value::as_array) {
                        let text = |part: &Value| part.pointer("/content/text").cloned();
                        let texts = content.iter().filter_map(text);
                        card.text =
                            texts.filter_map(|text| text.as_str().map(str::to_owned)).collect();
                    }
                }
                let editor = &self.editor;
                self.printer.update(&update, &|terminal| editor.screen(terminal))?;
            }
            Seen::Asked { method, params, said, .. } if method == "session/request_permission" => {
                self.asked(params, said)?;
            }
            Seen::Asked { .. } | Seen::Notified { .. } | Seen::Answered { .. } | Seen::Stray(_) => {
            }
        }
        Ok(())
    }

    fn asked(&mut self, params: Value, said: Option<Answer>) -> io::Result<()> {
        let Some(answer) = said else {
            self.questions.push(params);
            return self.next_question();
        };
        self.refused |= matches!(answer, Answer::RejectOnce | Answer::RejectAlways);
        self.printer.question(&params)?;
        self.printer.answered(&params, answer)
    }

    fn next_question(&mut self) -> io::Result<()> {
        if self.pending.is_none()
            && let Some(params) = self.questions.first()
        {
            self.printer.question(params)?;
            self.pending = Some((self.asker)());
        }
        Ok(())
    }

    fn answer(&mut self, answer: Answer) -> io::Result<()> {
        self.pending = None;
        if self.questions.is_empty() {
            return Ok(());
        }
        let params = self.questions.remove(0);
        if let Some(said) = self.editor.answer(answer) {
            self.printer.answered(&params, said)?;
        }
        self.next_question()
    }

    /// The first interrupt cancels the turn, the second ends the agent.
    fn interrupt(&mut self) -> io::Result<()> {
        if self.interrupted || self.session.is_empty() {
            self.editor.kill();
            return Ok(());
        }
        self.interrupted = true;
        self.pending = None;
        self.questions.clear();
        self.editor.cancel(&self.session);
        if self.editor.open_requests() == 0 {
            // No turn runs: what waits for tasks ends with this.
            return Ok(());
        }
        self.printer.note("Cancelling; once more ends the agent.")
    }
}

/// Whether a session's folder is this one, whose links are resolved.
async fn is_folder(of_session: &str, folder: &str) -> bool {
    of_session == folder
        || tokio::fs::canonicalize(of_session).await.is_ok_and(|found| found == Path::new(folder))
}

fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}
