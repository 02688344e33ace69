//! A conversation with a person beside it: prompts go in, the printer shows what comes, questions are
//! asked, an interrupt cancels. Where the person sits is its caller's.

use std::io;

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::editor::Editor;
use super::print::Printer;
use super::process::Ending;
use super::seen::{RequestId, RpcError, Seen};
use crate::permission::Answer;

/// Asks the person; the answer comes when it comes.
pub type Asker = Box<dyn FnMut() -> oneshot::Receiver<Answer> + Send>;

/// Why a conversation cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    #[error("the agent refused: {0}")]
    Refused(RpcError),
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
    asker: Asker,
    interrupts: mpsc::Receiver<()>,
    pending: Option<oneshot::Receiver<Answer>>,
    questions: Vec<Value>,
    interrupted: bool,
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
            asker,
            interrupts,
            pending: None,
            questions: Vec::new(),
            interrupted: false,
            refused: false,
        }
    }

    pub fn printer(&mut self) -> &mut Printer<'a> {
        &mut self.printer
    }

    /// Initializes the connection and makes a session in `folder`.
    pub async fn open(&mut self, folder: &str) -> Result<(), ChatError> {
        self.ask(
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
        let session = self.ask("session/new", &json!({"cwd": folder, "mcpServers": []})).await?;
        session
            .get("sessionId")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .clone_into(&mut self.session);
        Ok(())
    }

    pub async fn set_mode(&mut self, mode: &str) -> Result<(), ChatError> {
        self.ask("session/set_mode", &json!({"sessionId": self.session, "modeId": mode})).await?;
        Ok(())
    }

    /// Sends a prompt and shows the turn; the stop reason.
    pub async fn prompt(&mut self, text: &str) -> Result<String, ChatError> {
        self.printer.prompt(text)?;
        let content = json!([{"type": "text", "text": text}]);
        let params = json!({"sessionId": self.session, "prompt": content});
        let request = self.editor.request("session/prompt", &params);
        let result = self.until(&request).await?;
        self.printer.result(&result)?;
        self.printer.usage()?;
        let stop = |result: &Value| {
            result.get("stopReason").and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        result.map(|result| stop(&result)).map_err(ChatError::Refused)
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
            let answer = async {
                match &mut self.pending {
                    // A person that went away has not answered.
                    Some(pending) => pending.await.unwrap_or(Answer::Unanswered),
                    None => std::future::pending().await,
                }
            };
            let seen = tokio::select! {
                biased;
                Some(()) = self.interrupts.recv() => {
                    self.interrupt()?;
                    continue;
                }
                answer = answer => {
                    self.answer(answer)?;
                    continue;
                }
                seen = self.editor.next() => seen,
            };
            match seen {
                Seen::Answered { request: answered, result, .. } if answered == *request => {
                    return Ok(result);
                }
                Seen::Ended(ending) => return Err(ChatError::Ended(ending)),
                Seen::Update { update, .. } => {
                    let editor = &self.editor;
                    self.printer.update(&update, &|terminal| editor.screen(terminal))?;
                }
                Seen::Asked { method, params, said, .. }
                    if method == "session/request_permission" =>
                {
                    self.asked(params, said)?;
                }
                Seen::Asked { .. }
                | Seen::Notified { .. }
                | Seen::Answered { .. }
                | Seen::Stray(_) => {}
            }
        }
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
        self.printer.note("Cancelling; once more ends the agent.")
    }
}
