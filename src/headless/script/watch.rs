//! A script that is played as a client: its user types and stops, its screen is looked at, and what a script
//! for ours expects is only waited for.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::expect::Expected;
use super::failure::Failure;
use super::pattern::Pattern;
use super::player::{Compares, Player};
use super::snapshot::Shot;
use super::syntax::{QUIET, Statement};
use super::transcript::{Met, Shown};
use crate::headless::client::profile::{Rule, WhileBusy};
use crate::headless::client::{Reaction, Typed};
use crate::headless::seen::Seen;

/// How long something is waited for that this client should see, and how long where it may not be told.
const PATIENCE: Duration = Duration::from_secs(2);
const PATIENCE_UNSEEN: Duration = Duration::from_millis(600);

/// Which open prompts are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prompts {
    None,
    Some,
}

impl Player<'_> {
    /// What the client makes of what came, and what it does for it.
    pub(super) fn react(&mut self, line: usize, seen: &Seen) -> Result<(), Failure> {
        let seen = self.transcript.named(seen);
        let policy = match self.compares {
            Compares::Lines => None,
            Compares::Screens => Some(&mut self.policy),
        };
        for reaction in self.client.see(&seen, policy) {
            if self.ending.is_some() {
                break;
            }
            let editor = self.editor(line)?;
            match reaction {
                Reaction::Answer { request, answer } => {
                    if let Some(said) = editor.answer_to(&request, answer) {
                        self.client.answered(&request, said);
                    }
                }
                Reaction::Ignore(request) => editor.ignore(&request),
                Reaction::Complain(message) => editor.complain(&message),
                Reaction::Poll => self.poll(line)?,
                Reaction::Send(typed) => self.send_prompt(line, typed)?,
            }
        }
        Ok(())
    }

    fn poll(&mut self, line: usize) -> Result<(), Failure> {
        let request = self.editor(line)?.request("session/list", &json!({}));
        self.transcript.expect_answer(request, Shown::Silent);
        Ok(())
    }

    pub(super) fn typed(
        &self,
        statement: &Statement,
        content: &Value,
        name: Option<String>,
    ) -> Result<Typed, Failure> {
        let session = self.session(statement)?;
        Ok(Typed { number: statement.session, session, content: self.filled(content), name })
    }

    pub(super) fn send_prompt(&mut self, line: usize, typed: Typed) -> Result<(), Failure> {
        if self.client.profile().has(Rule::PollsList) {
            self.poll(line)?;
        }
        let params = json!({"sessionId": typed.session, "prompt": typed.content});
        self.transcript.note("→ session/prompt".to_owned());
        let request = self.editor(line)?.request("session/prompt", &params);
        let shown = Shown::Line { session: typed.number, name: typed.name };
        self.transcript.expect_answer(request.clone(), shown);
        self.client.prompts(request, (&typed.session, &typed.content));
        Ok(())
    }

    /// The user sends, and the client does what it does then.
    pub(super) async fn user_sends(&mut self, line: usize, typed: Typed) -> Result<(), Failure> {
        let profile = self.client.profile();
        if profile.has(Rule::OnlyListedCommands) && !self.is_listed(line, &typed).await? {
            self.client.refuses(&typed.session, &typed.content);
            return Ok(());
        }
        if self.client.is_busy(&typed.session) {
            match profile.sends {
                WhileBusy::Prompts => {}
                WhileBusy::Waits => {
                    self.client.types(typed);
                    return Ok(());
                }
                WhileBusy::Cancels => {
                    self.client.stops(&typed.session);
                    self.cancel(line, &typed.session)?;
                    let limit = self.limit();
                    while self.client.is_busy(&typed.session) {
                        self.must_live(line, "the response to the cancelled prompt")?;
                        if !self.pump(line, limit).await? {
                            return Err(self.late(line, "the response to the cancelled prompt"));
                        }
                    }
                }
            }
        }
        self.send_prompt(line, typed)
    }

    /// Whether it is no slash command, or one that the agent has listed; no user types before the list is there.
    async fn is_listed(&mut self, line: usize, typed: &Typed) -> Result<bool, Failure> {
        let text = typed.content.pointer("/0/text").and_then(Value::as_str).unwrap_or_default();
        let Some(command) = text.strip_prefix('/') else { return Ok(true) };
        let command = command.split_whitespace().next().unwrap_or_default().to_owned();
        let limit = Instant::now() + PATIENCE;
        loop {
            let commands = self.client.commands(&typed.session);
            if commands.is_some_and(|commands| commands.contains(&command)) {
                return Ok(true);
            }
            let has_list = commands.is_some_and(|commands| !commands.is_empty());
            if has_list || !self.pump(line, limit).await? {
                return Ok(false);
            }
        }
    }

    /// The user presses Stop.
    pub(super) fn user_stops(&mut self, statement: &Statement) -> Result<(), Failure> {
        let session = self.session(statement)?;
        if self.client.stops(&session) {
            self.cancel(statement.line, &session)?;
        }
        Ok(())
    }

    pub(super) fn cancel(&mut self, line: usize, session: &str) -> Result<(), Failure> {
        self.transcript.note("→ session/cancel".to_owned());
        self.editor(line)?.cancel(session);
        Ok(())
    }

    /// How long something is waited for that may never come.
    pub(super) fn patience(&self, session: usize) -> Duration {
        let is_busy =
            self.transcript.session(session).is_some_and(|session| self.client.is_busy(session));
        if is_busy || self.client.profile().sees_late() { PATIENCE } else { PATIENCE_UNSEEN }
    }

    /// Lets the agent speak until what a script for our client expects has come, or its prompts are answered
    /// where it expects that, or nothing comes for a while.
    pub(super) async fn pass_by(
        &mut self,
        statement: &Statement,
        run: &[Expected],
    ) -> Result<(), Failure> {
        let (line, session) = (statement.line, statement.session);
        let limit = self.limit();
        let mut patterns = run.iter().filter_map(|expected| match expected {
            Expected::Skip => None,
            Expected::Line(pattern) => Some(pattern),
        });
        let has_answer = patterns.clone().any(|pattern| pattern.text.starts_with(['=', '!']));
        let mut awaited = patterns.next();
        while let Some(pattern) = awaited {
            self.transcript.skip_any(session);
            if self.transcript.meet(session, pattern, line, &mut self.captures) == Met::Matched {
                awaited = patterns.next();
                continue;
            }
            let id = self.transcript.session(session).unwrap_or_default().to_owned();
            if has_answer && !self.client.is_busy(&id) {
                return Ok(());
            }
            // Where it may lose what comes late, the prompt may be kept open for tasks.
            let pause = if has_answer && !self.client.may_be_held(&id) {
                PATIENCE
            } else {
                PATIENCE_UNSEEN
            };
            if !self.pump(line, limit.min(Instant::now() + pause)).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn screen_lines(&self) -> Vec<String> {
        let lines = self.client.lines(|id| self.transcript.number(id));
        lines.iter().map(|line| self.transcript.replaced(line)).collect()
    }

    /// Lets the agent speak until a line of the screen is as it is wanted.
    pub(super) async fn wait_for_screen(
        &mut self,
        line: usize,
        pattern: &Pattern,
    ) -> Result<(), Failure> {
        let limit = self.limit();
        let awaited = format!("a line `{}` on the screen", pattern.text);
        loop {
            let lines = self.screen_lines();
            let mut is_shown =
                |line: &String| pattern.matches(line.trim(), &Value::Null, &mut self.captures);
            if lines.iter().any(&mut is_shown) {
                return Ok(());
            }
            self.must_live(line, &awaited)?;
            if !self.pump(line, limit).await? && self.ending.is_none() {
                let difference = lines.into_iter().map(|line| format!("  {line}")).collect();
                return Err(Failure { difference, ..self.late(line, &awaited) });
            }
        }
    }

    /// Lets the agent speak until a prompt is open, or none.
    pub(super) async fn wait_for_prompts(
        &mut self,
        statement: &Statement,
        wanted: Prompts,
    ) -> Result<(), Failure> {
        let line = statement.line;
        let session = self.session(statement)?;
        let limit = self.limit();
        let awaited = match wanted {
            Prompts::None => "the end of the open prompt",
            Prompts::Some => "an open prompt",
        };
        while self.client.is_busy(&session) != (wanted == Prompts::Some) {
            self.must_live(line, awaited)?;
            if !self.pump(line, limit).await? {
                return Err(self.late(line, awaited));
            }
        }
        Ok(())
    }

    /// Keeps what the user sees, once nothing comes any more.
    pub(super) async fn take_shot(
        &mut self,
        line: usize,
        name: Option<&str>,
    ) -> Result<(), Failure> {
        if self.compares == Compares::Screens {
            let limit = self.limit();
            while Instant::now() < limit && self.pump(line, Instant::now() + QUIET).await? {}
        }
        let name = name.map_or_else(|| format!("line {line}"), str::to_owned);
        self.shots.push(Shot { name, lines: self.screen_lines() });
        Ok(())
    }

    /// What the user sees at the end; then the client is closed, and what is open ends.
    pub(super) async fn last_look(&mut self, line: usize) -> Result<(), Failure> {
        self.take_shot(line, Some("end")).await?;
        self.client.forget_typed();
        if self.ending.is_some() {
            return Ok(());
        }
        for session in self.client.busy() {
            self.cancel(line, &session)?;
        }
        Ok(())
    }
}
