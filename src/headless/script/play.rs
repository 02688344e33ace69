//! Plays a script against an agent. How an agent is reached is the caller's: a process for `talaria
//! drive`, streams in memory for tests.

use std::time::Duration;

use tokio::time::Instant;

use super::expect;
use super::expect::Expected;
use super::failure::Failure;
use super::pattern::Pattern;
use super::player::{Compares, Player};
use super::snapshot::Shot;
use super::syntax::{Action, Script, Statement};
use super::transcript::Met;
use super::update::Edit;
use super::watch::Prompts;
use super::world::{Setup, World};
use crate::fault::Fault;
use crate::headless;
use crate::headless::client::Client;
use crate::headless::client::profile;
use crate::headless::client::profile::Profile;
use crate::headless::editor::Editor;
use crate::headless::policy::Policy;
use crate::headless::process::Ending;
use crate::headless::wire::Recorder;

/// How to reach an agent.
pub type Connect<'a> = dyn FnMut(&Setup, Policy) -> Result<Editor, Fault> + Send + 'a;

/// What to do where the lines that came are not the expected ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnMismatch {
    Fail,
    /// Take what came for right, and say how the script should read.
    Update,
}

/// How a script went.
#[derive(Debug)]
pub struct Played {
    pub failure: Option<Failure>,
    pub elapsed: Duration,
    /// Changes of the script that make it hold; empty unless asked for.
    pub edits: Vec<Edit>,
    /// What the user saw where the script says `screen`, and at its end.
    pub shots: Vec<Shot>,
}

/// Plays one script, and compares what comes with the lines that it expects.
pub async fn play(
    script: &Script,
    connect: &mut Connect<'_>,
    on_mismatch: OnMismatch,
    recorder: &mut Option<Recorder>,
) -> Played {
    let way = (on_mismatch, Compares::Lines, profile::own());
    played(script, connect, way, recorder).await
}

/// Plays one script as a client would: what its user sees is for the caller to compare.
pub async fn play_as(
    profile: &'static Profile,
    script: &Script,
    connect: &mut Connect<'_>,
    recorder: &mut Option<Recorder>,
) -> Played {
    let way = (OnMismatch::Fail, Compares::Screens, profile);
    played(script, connect, way, recorder).await
}

async fn played(
    script: &Script,
    connect: &mut Connect<'_>,
    way: (OnMismatch, Compares, &'static Profile),
    recorder: &mut Option<Recorder>,
) -> Played {
    let start = Instant::now();
    let (mut edits, mut shots) = (Vec::new(), Vec::new());
    let failure = match World::new().await {
        Err(fault) => Some(Failure::new(1, fault.sentence())),
        Ok(world) => {
            let mut player = Player::new(world, connect, way, recorder.take());
            let result = player.run(script).await;
            let failure = match result {
                Ok(()) => None,
                Err(failure) => Some(player.explain(failure).await),
            };
            if let Some(mut editor) = player.editor.take() {
                player.recorder = editor.take_recorder();
            }
            *recorder = player.recorder.take();
            player.world.remove().await;
            (edits, shots) = (player.edits, player.shots);
            failure
        }
    };
    Played { failure, elapsed: start.elapsed(), edits, shots }
}

impl Player<'_> {
    async fn run(&mut self, script: &Script) -> Result<(), Failure> {
        let mut last_line = 1;
        for statement in &script.statements {
            last_line = statement.last;
            self.step(statement).await?;
            self.check_laws(statement.line)?;
        }
        self.end(last_line).await
    }

    /// After the last statement: every request is answered, nothing is unread, the agent ends by itself.
    async fn end(&mut self, line: usize) -> Result<(), Failure> {
        if self.compares == Compares::Screens {
            self.last_look(line).await?;
        }
        let limit = self.limit();
        while self.ending.is_none() && self.editor.as_ref().is_some_and(|e| e.open_requests() > 0) {
            if !self.pump(line, limit).await? {
                return Err(Failure::new(
                    line,
                    "a request was not answered before the end of the script",
                ));
            }
        }
        self.check_laws(line)?;
        let unread = self.transcript.unread().filter(|_| self.compares == Compares::Lines);
        if let Some((session, text)) = unread {
            let of = if session == 1 { String::new() } else { format!(" of session {session}") };
            let message = format!("this line{of} was not expected (`...` skips the rest): {text}");
            return Err(Failure::new(line, message));
        }
        let Some(editor) = self.editor.as_mut().filter(|_| self.ending.is_none()) else {
            return Ok(());
        };
        let ending = editor.finish().await;
        self.check_laws(line)?;
        if !self.told_to_end && ending.code.is_some_and(|code| code != 0) {
            let message = format!(
                "the agent did not end well after its input was closed: {}",
                ending.description
            );
            return Err(Failure::new(line, message));
        }
        Ok(())
    }

    async fn step(&mut self, statement: &Statement) -> Result<(), Failure> {
        let line = statement.line;
        let failed = |message: String| Failure::new(line, message);
        match &statement.action {
            Action::Capabilities(capabilities) => self.capabilities = capabilities.clone(),
            Action::Permission(policy) => {
                self.policy = policy.clone();
                let policy = self.editors_policy();
                if let Some(editor) = &mut self.editor {
                    editor.set_policy(policy);
                }
            }
            Action::File { path, text } => {
                self.world.write_file(&self.fill(path), text).await.map_err(failed)?;
            }
            Action::Buffer { path, text } => {
                self.buffers.push((self.fill(path), text.clone()));
                self.hand_over_buffers();
            }
            Action::Git => {
                headless::git_commit_all(&self.world.cwd)
                    .await
                    .map_err(|fault| failed(fault.sentence()))?;
            }
            Action::Config(text) => {
                self.world.write_config(&self.fill(text)).await.map_err(failed)?;
            }
            Action::Model(text) => {
                let text = self.fill(text);
                self.world.write_model(&text).await.map_err(failed)?;
            }
            Action::Env { name, value } => {
                let value = self.fill(value);
                self.world.set(name, &value);
            }
            Action::Touch(name) => self.world.touch(name).await.map_err(failed)?,
            Action::Deadline(deadline) => self.deadline = *deadline,
            Action::Wait(pause) => {
                let limit = Instant::now() + *pause;
                while self.ending.is_none() && self.pump(line, limit).await? {}
                tokio::time::sleep_until(limit).await;
            }
            Action::WaitCard { task, state } => {
                self.wait_for_card(statement, task, state).await?;
            }
            Action::WaitScreen(pattern) => self.wait_for_screen(line, pattern).await?,
            Action::WaitIdle => self.wait_for_prompts(statement, Prompts::None).await?,
            Action::WaitBusy => self.wait_for_prompts(statement, Prompts::Some).await?,
            Action::WaitQuiet(pause) => {
                let limit = self.limit();
                while Instant::now() < limit && self.pump(line, Instant::now() + *pause).await? {}
            }
            Action::Screen(name) => self.take_shot(line, name.as_deref()).await?,
            // What a client does, and what comes of it, is for its screen to say.
            Action::ExpectFile { .. } | Action::ExpectNoFile(_)
                if self.compares == Compares::Screens => {}
            Action::ExpectFile { path, text } => {
                self.world.check_file(line, &self.fill(path), text).await?;
            }
            Action::ExpectNoFile(path) => {
                if tokio::fs::symlink_metadata(self.world.path(&self.fill(path))).await.is_ok() {
                    return Err(failed(format!("`{path}` exists")));
                }
            }
            Action::Show(kinds) => kinds.iter().for_each(|kind| self.transcript.show(*kind)),
            Action::Hide(kinds) => kinds.iter().for_each(|kind| self.transcript.hide(*kind)),
            Action::Except { law, reason } => {
                self.exceptions.push((*law, reason.clone()));
                if let Some(editor) = &mut self.editor {
                    editor.laws().except(*law, reason.clone());
                }
            }
            Action::Expect(run) => match self.compares {
                Compares::Lines => self.expect(statement, run).await?,
                Compares::Screens => self.pass_by(statement, run).await?,
            },
            Action::ExpectExit(code) => self.expect_exit(line, *code).await?,
            Action::Restart => self.restart(line).await?,
            Action::Talk(talk) => self.talk(statement, talk).await?,
        }
        Ok(())
    }

    async fn expect(&mut self, statement: &Statement, run: &[Expected]) -> Result<(), Failure> {
        let session = statement.session;
        let place = self.transcript.place(session);
        if run.is_empty() && self.on_mismatch == OnMismatch::Fail {
            let message = "nothing is expected here yet: `talaria drive --update` writes it";
            return Err(Failure::new(statement.line, message));
        }
        let mut result = Ok(());
        for (index, expected) in run.iter().enumerate() {
            let line = statement.line + index;
            result = match expected {
                Expected::Skip => {
                    self.transcript.skip_any(session);
                    Ok(())
                }
                Expected::Line(_) => self.expect_line(line, session, expected).await,
            };
            if result.is_err() {
                break;
            }
        }
        let failure = match result {
            Ok(()) if !run.is_empty() => return Ok(()),
            Ok(()) => Failure::new(statement.line, "nothing is expected here yet"),
            Err(failure) => failure,
        };
        // The difference is worth more with what comes next in it.
        self.until_quiet(statement.line).await?;
        if self.on_mismatch == OnMismatch::Update {
            let came = self.transcript.take_from(session, place);
            let address = if session == 1 { String::new() } else { format!("@{session} ") };
            let lines = expect::merged(run, &came)
                .into_iter()
                .map(|line| address.clone() + &line)
                .collect();
            self.edits.push(Edit { first: statement.line, last: statement.last, lines });
            return Ok(());
        }
        let difference = expect::difference(run, self.transcript.lines_from(session, place));
        Err(Failure { difference, ..failure })
    }

    async fn expect_line(
        &mut self,
        line: usize,
        session: usize,
        expected: &Expected,
    ) -> Result<(), Failure> {
        let Expected::Line(pattern) = expected else { return Ok(()) };
        let limit = self.limit();
        loop {
            match self.transcript.meet(session, pattern, line, &mut self.captures) {
                Met::Matched => return Ok(()),
                Met::Other => {
                    return Err(Failure::new(
                        line,
                        format!("another line came than `{}`", pattern.text),
                    ));
                }
                Met::NotYet => {}
            }
            self.must_live(line, &format!("`{}`", pattern.text))?;
            if !self.pump(line, limit).await? && self.ending.is_none() {
                return Err(self.late(line, &format!("`{}`", pattern.text)));
            }
        }
    }

    /// Lets the agent speak until the card of a task is as it is wanted, which it may be already.
    async fn wait_for_card(
        &mut self,
        statement: &Statement,
        task: &str,
        state: &Pattern,
    ) -> Result<(), Failure> {
        let line = statement.line;
        let awaited = format!("`{}` of the card of `{task}`", state.text);
        let limit = self.limit();
        loop {
            let card = self.transcript.card(statement.session, task);
            if let Some(card) = card
                && state.matches(&card.state, &card.shown, &mut self.captures)
            {
                return Ok(());
            }
            let now = card.map_or_else(
                || "there is none".to_owned(),
                |card| format!("it is `{}`: {}", card.state, card.shown),
            );
            if self.compares == Compares::Screens {
                // This client may never be told, or its user may have ended the task.
                let pause = self.patience(statement.session);
                if self.pump(line, limit.min(Instant::now() + pause)).await? {
                    continue;
                }
                return Ok(());
            }
            self.must_live(line, &awaited)?;
            if !self.pump(line, limit).await? && self.ending.is_none() {
                let late = self.late(line, &awaited);
                return Err(Failure { message: format!("{}; {now}", late.message), ..late });
            }
        }
    }

    async fn expect_exit(&mut self, line: usize, code: i32) -> Result<(), Failure> {
        match self.wait_for_end(line).await? {
            Some(ending) if ending.code != Some(code) => Err(Failure::new(
                line,
                format!("the agent ended with {}, not exit code {code}", ending.description),
            )),
            _ => Ok(()),
        }
    }

    /// Ends the agent if nothing else did, however it ends then, and starts another one.
    async fn restart(&mut self, line: usize) -> Result<(), Failure> {
        if let Some(editor) = self.editor.as_mut().filter(|_| !self.told_to_end) {
            editor.close_input();
        }
        self.wait_for_end(line).await?;
        // Its user opens the client again, and it shows nothing yet.
        self.client = Client::new(self.client.profile());
        self.editor(line).map(|_| ())
    }

    /// Waits for the agent's end; what sends something next starts another one.
    async fn wait_for_end(&mut self, line: usize) -> Result<Option<Ending>, Failure> {
        let limit = self.limit();
        self.told_to_end = true;
        while self.ending.is_none() {
            if self.editor.is_none() {
                return Err(Failure::new(line, "no agent was started"));
            }
            if !self.pump(line, limit).await? && self.ending.is_none() {
                return Err(self.late(line, "the end of the agent"));
            }
        }
        self.check_laws(line)?;
        if let Some(mut editor) = self.editor.take() {
            self.recorder = editor.take_recorder();
        }
        self.told_to_end = false;
        Ok(self.ending.take())
    }
}

#[cfg(test)]
mod tests;
