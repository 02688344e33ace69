//! The statements of a script that need a running agent.

use serde_json::{Value, json};

use super::failure::Failure;
use super::player::Player;
use super::syntax::{Statement, Talk};
use super::transcript::Shown;

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
                let fixed = json!({
                    "protocolVersion": 1,
                    "clientCapabilities": self.capabilities,
                    "clientInfo": {"name": "talaria-drive", "version": env!("CARGO_PKG_VERSION")},
                });
                let params = over(fixed, self.filled(params));
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
                    self.transcript.know(&id);
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
                let params =
                    json!({"sessionId": self.session(statement)?, "prompt": self.filled(content)});
                self.call(line, "session/prompt", (&params, Some(shown(name)))).await?;
            }
            Talk::Request { method, params, name } => {
                let (method, params) = (self.fill(method), self.filled(params));
                if matches!(method.as_str(), "session/load" | "session/resume") {
                    self.transcript
                        .know(params.get("sessionId").and_then(Value::as_str).unwrap_or_default());
                }
                let name = Some(name.clone());
                self.call(line, &method, (&params, Some(shown(&name)))).await?;
            }
            Talk::Notify { method, params } => {
                let params = self.filled(params);
                self.editor(line)?.notify(method, &params);
            }
            Talk::Cancel => {
                let session = self.session(statement)?;
                self.transcript.note("→ session/cancel".to_owned());
                self.editor(line)?.cancel(&session);
            }
            Talk::Answer(answer) => {
                let limit = self.limit();
                while self.editor(line)?.answer(*answer).is_none() {
                    if !self.pump(line, limit).await? {
                        return Err(Failure::new(
                            line,
                            "no permission request waits for an answer",
                        ));
                    }
                }
            }
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

    fn session(&self, statement: &Statement) -> Result<String, Failure> {
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
