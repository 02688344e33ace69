//! The state of a script that is played, and the one place where it waits for the agent.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::failure::Failure;
use super::pattern::Captures;
use super::play::{Connect, OnMismatch};
use super::snapshot::Shot;
use super::transcript;
use super::transcript::Transcript;
use super::update::Edit;
use super::world::World;
use crate::headless::client::Client;
use crate::headless::client::profile::Profile;
use crate::headless::editor::Editor;
use crate::headless::laws::Law;
use crate::headless::policy::Policy;
use crate::headless::process::Ending;
use crate::headless::seen::{RequestId, RpcError, Seen};
use crate::headless::wire::Recorder;
use crate::permission::Answer;

/// What a script is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compares {
    /// What came, with the lines that it expects.
    Lines,
    /// What the user of a client sees, with a snapshot; its expectations are only waited for.
    Screens,
}

/// A script on its way.
pub(super) struct Player<'a> {
    pub(super) world: World,
    pub(super) connect: &'a mut Connect<'a>,
    pub(super) on_mismatch: OnMismatch,
    pub(super) recorder: Option<Recorder>,
    pub(super) editor: Option<Editor>,
    pub(super) ending: Option<Ending>,
    /// Whether the script ended the agent by force, or on purpose.
    pub(super) told_to_end: bool,
    pub(super) transcript: Transcript,
    pub(super) captures: Captures,
    pub(super) capabilities: Value,
    pub(super) policy: Policy,
    pub(super) buffers: Vec<(String, String)>,
    pub(super) exceptions: Vec<(Law, String)>,
    pub(super) breaches_seen: usize,
    pub(super) deadline: Duration,
    pub(super) edits: Vec<Edit>,
    pub(super) compares: Compares,
    /// Who is played.
    pub(super) client: Client,
    pub(super) shots: Vec<Shot>,
}

impl<'a> Player<'a> {
    pub(super) fn new(
        world: World,
        connect: &'a mut Connect<'_>,
        (on_mismatch, compares, profile): (OnMismatch, Compares, &'static Profile),
        recorder: Option<Recorder>,
    ) -> Self {
        let names = vec![
            (world.cwd.to_string_lossy().into_owned(), "$CWD".to_owned()),
            (world.home.to_string_lossy().into_owned(), "$HOME".to_owned()),
            (world.model_folder().to_string_lossy().into_owned(), "$MODEL".to_owned()),
        ];
        Self {
            transcript: Transcript::new(names),
            world,
            connect,
            on_mismatch,
            recorder,
            editor: None,
            ending: None,
            told_to_end: false,
            captures: Captures::new(),
            capabilities: json!({}),
            policy: Policy::always(Answer::RejectOnce),
            buffers: Vec::new(),
            exceptions: Vec::new(),
            breaches_seen: 0,
            deadline: Duration::from_secs(10),
            edits: Vec::new(),
            compares,
            client: Client::new(profile),
            shots: Vec::new(),
        }
    }

    pub(super) async fn wait_for(
        &mut self,
        line: usize,
        method: &str,
        request: &RequestId,
    ) -> Result<Result<Value, RpcError>, Failure> {
        let limit = self.limit();
        loop {
            if let Some(result) = self.transcript.take_result(request) {
                return Ok(result);
            }
            self.must_live(line, &format!("the response to `{method}`"))?;
            if !self.pump(line, limit).await? {
                return Err(self.late(line, &format!("the response to `{method}`")));
            }
        }
    }

    /// Lets the agent speak until nothing is open and nothing comes.
    pub(super) async fn until_quiet(&mut self, line: usize) -> Result<(), Failure> {
        let limit = self.limit();
        while self.ending.is_none() && Instant::now() < limit {
            let open = self.editor.as_ref().is_some_and(|editor| editor.open_requests() > 0);
            let pause = Duration::from_millis(if open { 1000 } else { 200 });
            if !self.pump(line, Instant::now() + pause).await? {
                break;
            }
        }
        Ok(())
    }

    /// Takes one thing from the agent; false if nothing came in time.
    pub(super) async fn pump(&mut self, line: usize, limit: Instant) -> Result<bool, Failure> {
        let Some(editor) = self.editor.as_mut().filter(|_| self.ending.is_none()) else {
            return Ok(false);
        };
        let Ok(seen) = tokio::time::timeout_at(limit, editor.next()).await else {
            return Ok(false);
        };
        self.transcript.add(&seen);
        self.react(line, &seen)?;
        if let Seen::Ended(ending) = seen {
            self.ending = Some(ending);
        }
        self.check_laws(line)?;
        match self.transcript.take_outgrown() {
            Some((line, message)) => Err(Failure::new(line, message)),
            None => Ok(true),
        }
    }

    pub(super) fn check_laws(&mut self, line: usize) -> Result<(), Failure> {
        let Some(editor) = &mut self.editor else { return Ok(()) };
        let breaches = editor.laws().breaches();
        let Some(breach) = breaches.get(self.breaches_seen) else { return Ok(()) };
        self.breaches_seen += 1;
        Err(Failure::new(line, breach.to_string()))
    }

    /// The running agent, started if there is none yet.
    pub(super) fn editor(&mut self, line: usize) -> Result<&mut Editor, Failure> {
        if self.editor.is_none() {
            let policy = self.editors_policy();
            let mut editor = (self.connect)(&self.world.setup(), policy)
                .map_err(|fault| Failure::new(line, fault.sentence()))?;
            editor.laws().client_shows(self.client.profile().late);
            for (law, reason) in &self.exceptions {
                editor.laws().except(*law, reason.clone());
            }
            if let Some(recorder) = self.recorder.take() {
                editor.record(recorder);
            }
            self.breaches_seen = 0;
            self.editor = Some(editor);
            self.hand_over_buffers();
        }
        self.editor.as_mut().ok_or_else(|| Failure::new(line, "no agent was started"))
    }

    /// Who plays a client answers its questions.
    pub(super) fn editors_policy(&self) -> Policy {
        match self.compares {
            Compares::Lines => self.policy.clone(),
            Compares::Screens => Policy::Manual,
        }
    }

    pub(super) fn hand_over_buffers(&mut self) {
        if let Some(editor) = &mut self.editor {
            for (path, text) in self.buffers.drain(..) {
                editor.files().set_buffer(self.world.path(&path), text);
            }
        }
    }

    pub(super) fn limit(&self) -> Instant {
        Instant::now() + self.deadline
    }

    pub(super) fn must_live(&self, line: usize, awaited: &str) -> Result<(), Failure> {
        match &self.ending {
            Some(ending) => {
                let message =
                    format!("the agent ended ({}) while {awaited} was awaited", ending.description);
                Err(Failure::new(line, message))
            }
            None => Ok(()),
        }
    }

    pub(super) fn late(&self, line: usize, awaited: &str) -> Failure {
        Failure::new(line, format!("{awaited} did not come within {:?}", self.deadline))
    }

    /// Adds to a failure what the agent said last, and ends the agent.
    pub(super) async fn explain(&mut self, mut failure: Failure) -> Failure {
        failure.tail = self.transcript.tail(15);
        if let Some(editor) = &mut self.editor {
            if self.ending.is_none() {
                editor.kill();
            }
            failure.stderr = editor.finish().await.stderr;
        }
        failure
    }

    /// Puts values in the place of `$CWD`, `$HOME`, `$SESSION`, `$SESSION2` and `${captured}`.
    pub(super) fn fill(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.captures {
            text = text.replace(&format!("${{{name}}}"), value);
        }
        for (index, id) in self.transcript.sessions().iter().enumerate().skip(1).rev() {
            text = text.replace(&format!("$SESSION{}", index + 1), id);
        }
        if let Some(id) = self.transcript.session(1) {
            text = text.replace("$SESSION", id);
        }
        text.replace("$CWD", &self.world.cwd.to_string_lossy())
            .replace("$HOME", &self.world.home.to_string_lossy())
    }

    pub(super) fn filled(&self, value: &Value) -> Value {
        transcript::map_strings(value, &|text| self.fill(text))
    }
}
