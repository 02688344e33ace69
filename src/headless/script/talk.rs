//! The statements of a script that need a running agent.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::failure::Failure;
use super::player::{Compares, Player};
use super::syntax::{Statement, Talk};
use super::transcript::Shown;
use crate::permission::Answer;

impl Player<'_> {
    /// The statements that need a running agent.
    pub(super) async fn talk(&mut self, statement: &Statement, talk: &Talk) -> Result<(), Failure> {
        let (line, number) = (statement.line, statement.session);
        self.editor(line)?;
        let shown = |name: &Option<String>| Shown::Line { session: number, name: name.clone() };
        match talk {
            Talk::Raw(bytes) => {
                let bytes = match String::from_utf8(bytes.clone()) {
                    Ok(text) => self.fill(&text).into_bytes(),
                    Err(error) => error.into_bytes(),
                };
                self.editor(line)?.send_raw(bytes);
            }
            Talk::Initialize { params, name } => {
                let own = self.client.profile().introduction();
                let fixed = over(json!({"protocolVersion": 1}), own.clone());
                let params = match self.compares {
                    Compares::Lines => {
                        let fixed = over(fixed, json!({"clientCapabilities": self.capabilities}));
                        over(fixed, self.filled(params))
                    }
                    // Who it is, is not the script's to say.
                    Compares::Screens => over(over(fixed, self.filled(params)), own),
                };
                self.call(line, "initialize", (&params, name.as_ref().map(|_| shown(name))))
                    .await?;
            }
            Talk::New { params, name } => {
                let fixed = json!({"cwd": self.world.cwd.to_string_lossy(), "mcpServers": []});
                let params = over(fixed, self.filled(params));
                self.call(line, "session/new", (&params, name.as_ref().map(|_| shown(name))))
                    .await?;
            }
            Talk::Open { method, id, params, name } => {
                let id = match id {
                    Some(id) => self.fill(id),
                    None => self.session(statement)?,
                };
                if *method != "session/fork" {
                    self.will_open(method, &id);
                }
                let cwd = self.world.cwd.to_string_lossy();
                let fixed = json!({"sessionId": id, "cwd": cwd, "mcpServers": []});
                let params = over(fixed, self.filled(params));
                self.call(line, method, (&params, name.as_ref().map(|_| shown(name)))).await?;
            }
            Talk::List { params, name } => {
                let name = Some(name.clone());
                let params = self.filled(params);
                self.call(line, "session/list", (&params, Some(shown(&name)))).await?;
            }
            Talk::Mode(mode) => {
                let params = json!({"sessionId": self.session(statement)?, "modeId": mode});
                self.call(line, "session/set_mode", (&params, None)).await?;
            }
            Talk::Prompt { content, name } => {
                let typed = self.typed(statement, content, name.clone())?;
                match self.compares {
                    Compares::Lines => self.send_prompt(line, typed)?,
                    Compares::Screens => self.user_sends(line, typed).await?,
                }
            }
            Talk::Type(content) => {
                let typed = self.typed(statement, content, None)?;
                self.user_sends(line, typed).await?;
            }
            Talk::Stop => self.user_stops(statement)?,
            Talk::Request { method, params, name } => {
                let (method, params) = (self.fill(method), self.filled(params));
                if matches!(method.as_str(), "session/load" | "session/resume") {
                    let id = params.get("sessionId").and_then(Value::as_str).unwrap_or_default();
                    self.will_open(&method, id);
                }
                let name = Some(name.clone());
                self.call(line, &method, (&params, Some(shown(&name)))).await?;
            }
            Talk::Notify { method, params } => {
                let params = self.filled(params);
                self.editor(line)?.notify(method, &params);
            }
            Talk::Cancel => match self.compares {
                Compares::Lines => {
                    let session = self.session(statement)?;
                    self.client.stops(&session);
                    self.cancel(line, &session)?;
                }
                Compares::Screens => self.user_stops(statement)?,
            },
            Talk::Answer(answer) => self.answer(statement, *answer).await?,
            Talk::CloseInput => {
                self.told_to_end = true;
                self.editor(line)?.close_input();
            }
            Talk::Kill => {
                self.told_to_end = true;
                self.editor(line)?.kill();
            }
            Talk::Start => {}
        }
        Ok(())
    }

    /// A session is about to be opened: it is known from here on.
    fn will_open(&mut self, method: &str, id: &str) {
        self.transcript.know(id);
        self.client.know(id);
        if method == "session/load" {
            self.client.loads(id);
        }
    }

    /// Answers the oldest question, when there is one.
    async fn answer(&mut self, statement: &Statement, answer: Answer) -> Result<(), Failure> {
        let line = statement.line;
        let limit = self.limit();
        loop {
            let editor = self.editor(line)?;
            if let Some(request) = editor.oldest_question().cloned()
                && let Some(said) = editor.answer(answer)
            {
                self.client.answered(&request, said);
                return Ok(());
            }
            let patience = match self.compares {
                Compares::Lines => limit,
                Compares::Screens => limit.min(Instant::now() + self.patience(statement.session)),
            };
            if self.pump(line, patience).await? {
                continue;
            }
            return match self.compares {
                Compares::Lines => {
                    Err(Failure::new(line, "no permission request waits for an answer"))
                }
                // This client was not asked.
                Compares::Screens => Ok(()),
            };
        }
    }

    /// Sends a request. Without a line for its answer it is waited for, and must succeed.
    async fn call(
        &mut self,
        line: usize,
        method: &str,
        (params, shown): (&Value, Option<Shown>),
    ) -> Result<(), Failure> {
        self.transcript.note(format!("→ {method}"));
        let waits = shown.is_none();
        let request = self.editor(line)?.request(method, params);
        self.transcript.expect_answer(request.clone(), shown.unwrap_or(Shown::Silent));
        if !waits {
            return Ok(());
        }
        match self.wait_for(line, method, &request).await? {
            Ok(_) => Ok(()),
            Err(error) => Err(Failure::new(line, format!("`{method}` failed: {error}"))),
        }
    }

    pub(super) fn session(&self, statement: &Statement) -> Result<String, Failure> {
        let number = statement.session;
        self.transcript.session(number).map(str::to_owned).ok_or_else(|| {
            Failure::new(
                statement.line,
                format!("there is no session {number} yet: `new` makes one"),
            )
        })
    }
}

/// The fixed fields, with those of the script in their place.
fn over(mut fixed: Value, given: Value) -> Value {
    if let (Some(fields), Value::Object(given)) = (fixed.as_object_mut(), given) {
        fields.extend(given);
    }
    fixed
}
