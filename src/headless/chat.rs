//! A conversation with a person beside it: prompts go in, the printer shows what comes, questions are
//! asked, an interrupt cancels. Where the person sits is its caller's.

mod background;
mod wait;

use std::io;
use std::path::Path;

use background::{Background, FollowUp};
use futures::FutureExt as _;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::card;
use super::editor::Editor;
use super::laws::Law;
use super::print::{Format, Printer};
use super::process::Ending;
use super::seen::{RequestId, RpcError, Seen};
use crate::fault::{Fault, Kind};
use crate::permission::Answer;

/// How background tasks stand when a run is at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// All are over, and no turn is to come.
    Nothing,
    /// These wait for a permission that nobody gives.
    Waiting(Vec<String>),
    /// The person did not want to wait for these, or for the turn that ran by itself.
    Given(Vec<String>),
}

/// Asks the person; the answer comes when it comes.
pub type Asker = Box<dyn FnMut() -> oneshot::Receiver<Answer> + Send>;

/// Who answers what the editor's policy leaves open.
pub enum Answering {
    Person(Asker),
    /// Calls are refused. What a task asks for while no prompt is open stays open instead: nobody waits for
    /// the task there, and it can go on where somebody is.
    Nobody,
}

/// What the person broke off.
#[derive(Debug, Clone, Copy)]
struct Interruption {
    /// Until when a turn that runs by itself may take to end; absent where none ran.
    turn_ends: Option<Instant>,
}

/// A question that has no answer yet.
struct Question {
    id: Value,
    params: Value,
}

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
    answering: Answering,
    interrupts: mpsc::Receiver<()>,
    pending: Option<oneshot::Receiver<Answer>>,
    questions: Vec<Question>,
    /// The person is asked something that is no question of the agent's; these wait.
    is_settling: bool,
    interrupted: Option<Interruption>,
    background: Background,
    /// Whether a question was refused because nobody could be asked.
    pub refused: bool,
}

impl<'a> Chat<'a> {
    pub fn new(
        editor: Editor,
        printer: Printer<'a>,
        answering: Answering,
        interrupts: mpsc::Receiver<()>,
    ) -> Self {
        Self {
            editor,
            printer,
            session: String::new(),
            resumes: false,
            answering,
            interrupts,
            pending: None,
            questions: Vec::new(),
            is_settling: false,
            interrupted: None,
            background: Background::default(),
            refused: false,
        }
    }

    pub fn printer(&mut self) -> &mut Printer<'a> {
        &mut self.printer
    }

    /// Initializes the connection, and opens a session in `folder`. Of one that goes on nothing is shown
    /// but which one it is.
    pub async fn open(&mut self, folder: &str, which: &Which) -> Result<(), ChatError> {
        let reason = "what comes while no prompt is open is shown, and the agent is told so";
        self.editor.laws().except(Law::Late, reason.to_owned());
        let initialized = self
            .ask(
                "initialize",
                &json!({
                    "protocolVersion": 1,
                    "clientCapabilities": {
                        "fs": {"readTextFile": true, "writeTextFile": true},
                        "terminal": true,
                    },
                    // The name by which an agent can know that late updates are shown.
                    "clientInfo": {"name": "talaria", "version": env!("CARGO_PKG_VERSION")},
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
        self.background.prompted();
        let mut result = self.until(&request).await?;
        self.background.answered(Instant::now());
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
            Seen::Update { update, meta, .. } => self.update(update, &meta)?,
            Seen::Asked { id, method, params, said } if method == "session/request_permission" => {
                self.asked(Question { id, params }, said)?;
            }
            Seen::Notified { method, params } if method == "$/cancel_request" => {
                self.withdrawn(params.get("requestId").unwrap_or(&Value::Null))?;
            }
            Seen::Asked { .. } | Seen::Notified { .. } | Seen::Answered { .. } | Seen::Stray(_) => {
            }
        }
        Ok(())
    }

    fn update(&mut self, mut update: Value, meta: &Value) -> io::Result<()> {
        let follow_up = self.background.see(&update, meta, Instant::now());
        if let Some(mark) = meta.pointer("/talaria/followUp")
            && self.printer.format() == Format::Json
        {
            // A program that reads the updates must not take them for the answer to its prompt.
            update["_meta"]["talaria"]["followUp"] = mark.clone();
        }
        let editor = &self.editor;
        self.printer.update(&update, &|terminal| editor.screen(terminal))?;
        if follow_up == FollowUp::Last {
            self.printer.turn_ended()?;
        }
        Ok(())
    }

    fn asked(&mut self, question: Question, said: Option<Answer>) -> io::Result<()> {
        let Question { params, .. } = &question;
        let answer = match (said, &self.answering) {
            (Some(answer), _) => answer,
            (None, Answering::Person(_)) => {
                self.questions.push(question);
                return self.next_question();
            }
            (None, Answering::Nobody) => {
                let is_of_task =
                    params.get("toolCall").is_some_and(|call| card::mark(call).is_some());
                let answer = if is_of_task && !self.background.is_prompting() {
                    Answer::Unanswered
                } else {
                    Answer::RejectOnce
                };
                self.editor.answer(answer).unwrap_or(answer)
            }
        };
        self.refused |= matches!(answer, Answer::RejectOnce | Answer::RejectAlways);
        self.printer.question(params)?;
        self.printer.answered(params, answer)
    }

    fn next_question(&mut self) -> io::Result<()> {
        if self.pending.is_none()
            && !self.is_settling
            && let Answering::Person(asker) = &mut self.answering
            && let Some(question) = self.questions.first()
        {
            self.printer.question(&question.params)?;
            self.pending = Some(asker());
        }
        Ok(())
    }

    /// The agent wants no answer any more: what the person says next is not for this question.
    fn withdrawn(&mut self, id: &Value) -> io::Result<()> {
        let Some(place) = self.questions.iter().position(|question| question.id == *id) else {
            return Ok(());
        };
        let question = self.questions.remove(place);
        if place == 0 && self.pending.take().is_some() {
            self.printer.answered(&question.params, Answer::Unanswered)?;
            self.background.told(Instant::now());
        }
        self.next_question()
    }

    fn answer(&mut self, answer: Answer) -> io::Result<()> {
        self.pending = None;
        if self.questions.is_empty() {
            return Ok(());
        }
        let question = self.questions.remove(0);
        if let Some(said) = self.editor.answer(answer) {
            self.printer.answered(&question.params, said)?;
        }
        self.background.told(Instant::now());
        self.next_question()
    }

    /// The first interrupt cancels the turn, the second ends the agent.
    fn interrupt(&mut self) -> io::Result<()> {
        if self.interrupted.is_some() || self.session.is_empty() {
            self.editor.kill();
            return Ok(());
        }
        let follows_up = self.background.follows_up();
        let turn_ends = follows_up.then(|| Instant::now() + wait::BREAKING_OFF);
        self.interrupted = Some(Interruption { turn_ends });
        self.pending = None;
        self.questions.clear();
        self.editor.cancel(&self.session);
        if !follows_up && self.editor.open_requests() == 0 {
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

#[cfg(test)]
mod tests;
