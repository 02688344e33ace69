//! What the script expects, and how it answers: the lines of a turn as they come again. What may differ
//! (outputs of commands, what a search finds) is skipped.

use std::path::Path;

use super::super::lines;
use super::super::pattern;
use super::story::{Beat, StepStory, TurnStory};
use super::{Name, Writer, answer_line, block, is_cancelled, path_of};
use crate::acp;
use crate::event::{CallContent, CallStatus, CallUpdate, Event, ToolKind};
use crate::headless::policy;
use crate::ids::CallId;
use crate::permission::{Answer, Mode};
use crate::tools::Effect;
use crate::transcript::{Call, End, Outcome, Over, Prompt};

/// Each question waits for its own statement.
const BY_LINE: &str = "ask-by-line";

impl Writer {
    /// Lets the editor answer the questions of a turn as they were answered.
    pub(super) fn settle_policy(&mut self, story: &TurnStory) {
        let interrupts = |step: &StepStory| interrupted_questions(step);
        let cancels = story.over.as_ref().is_some_and(is_cancelled);
        let is_asking = |step: &StepStory| self.asking(step).is_some();
        if story.steps.iter().any(interrupts)
            || (cancels && story.steps.last().is_some_and(is_asking))
        {
            return self.set_policy(BY_LINE.to_owned());
        }
        let beats = story.steps.iter().flat_map(|step| &step.beats);
        let mut answers: Vec<&str> = beats
            .filter_map(|beat| {
                let Beat::Asked { answer, .. } = beat else { return None };
                Some(policy::word(*answer))
            })
            .collect();
        // The last one stays.
        while let [.., one, other] = answers[..]
            && one == other
        {
            answers.pop();
        }
        if !answers.is_empty() {
            self.set_policy(answers.join(" "));
        }
    }

    fn set_policy(&mut self, policy: String) {
        if policy != self.policy || policy.contains(' ') {
            self.out.push(format!("permission {policy}"));
            self.policy = policy;
        }
    }

    /// The model's words, and its calls as they are announced.
    pub(super) fn expect_reply(&mut self, step: &StepStory) {
        let reply = &step.reply;
        if !reply.thought.is_empty() {
            self.out.push(format!("← think {}", self.places.expected(&reply.thought)));
        }
        if !reply.text.is_empty() {
            self.out.push(format!("← say {}", self.places.expected(&reply.text)));
        }
        for call in &reply.calls {
            let number = self.numbers.len() + 1;
            self.numbers.insert(call.id.clone(), number);
            if self.is_unannounced(step, call) {
                continue;
            }
            let kind = self.toolbox.get(&call.tool).map_or(ToolKind::Other, |tool| tool.kind());
            let update = CallUpdate {
                tool: Some(call.tool.clone()),
                title: Some(self.places.shown(&call.tool)),
                kind: Some(kind),
                ..CallUpdate::new(CallId::new(format!("c{number}")))
            };
            for update in acp::updates_of(Event::Call(update.with_status(CallStatus::Pending))) {
                self.out.push(pattern::escape(&lines::of_update(&update).text()));
            }
        }
    }

    /// What the user did while the turn waits at a gate.
    pub(super) fn at_gate(&mut self, beats: &[Beat], joins: &[Prompt], answers: &mut Vec<Name>) {
        for (at, beat) in beats.iter().enumerate() {
            self.by_user(beats, at, beat);
        }
        for prompt in joins {
            let name = self.fresh_name();
            self.send(prompt, Some(&name));
            answers.push(Some(name));
        }
        if !joins.is_empty() {
            // Nothing says that a prompt has joined the turn.
            self.out.push("wait 100ms".to_owned());
        }
    }

    fn by_user(&mut self, beats: &[Beat], at: usize, beat: &Beat) {
        let neighbours = [at.checked_sub(1), at.checked_add(1)];
        let mut neighbours = neighbours.iter().flatten().filter_map(|at| beats.get(*at));
        match beat {
            Beat::Settings(settings)
                if neighbours
                    .any(|beat| matches!(beat, Beat::Aside(aside) if aside.is_switching())) =>
            {
                self.settings = *settings;
            }
            Beat::Settings(settings) => self.switch(*settings),
            Beat::Aside(aside) => {
                let name = self.fresh_name();
                self.aside(aside, Some(&name));
            }
            Beat::Described(_)
            | Beat::Asked { .. }
            | Beat::Begun(_)
            | Beat::Saw(_)
            | Beat::Settled { .. } => {}
        }
    }

    /// What becomes of the calls of a step, and what the user did meanwhile.
    pub(super) fn calls(&mut self, step: &StepStory, is_cancelled: bool) {
        if step.reply.calls.is_empty() {
            return;
        }
        let mut on_their_way = false;
        let mut certain = 0;
        let mut open: Option<&CallId> = None;
        for (at, beat) in step.beats.iter().enumerate() {
            on_their_way |= beat.is_of_call();
            match beat {
                Beat::Settings(_) | Beat::Aside(_) if on_their_way => {
                    if let Some((call, answer)) = next_question(step, at).filter(|_| open.is_none())
                    {
                        self.question(step, call, answer);
                        open = Some(call);
                    }
                    if open.is_none() {
                        self.skip();
                    }
                    self.by_user(&step.beats, at, beat);
                }
                Beat::Settings(_) | Beat::Aside(_) | Beat::Begun(_) => {}
                Beat::Described(shown) => self.files.described(shown),
                Beat::Saw(files) => self.files.saw(files),
                Beat::Asked { answer: Answer::Unanswered, .. } if is_cancelled => {}
                Beat::Asked { call, answer } => {
                    if open != Some(call) {
                        self.question(step, call, *answer);
                    }
                    if self.policy == BY_LINE {
                        self.out.push(format!("answer {}", policy::word(*answer)));
                    }
                    open = None;
                }
                Beat::Settled { call, outcome, shown } => {
                    if let Some(line) = self.outcome(step, (call, outcome, shown)) {
                        self.skip();
                        self.out.push(line);
                        certain += 1;
                    }
                }
            }
        }
        if certain < step.reply.calls.len() {
            self.skip();
        }
        if is_cancelled {
            self.wait_for_call(step);
        }
    }

    fn question(&mut self, step: &StepStory, call: &CallId, answer: Answer) {
        let Some(request) = step.reply.calls.iter().find(|request| request.id == *call) else {
            return;
        };
        if request.tool == "terminal" {
            self.asked.extend(command(request));
        }
        let by_line = self.policy == BY_LINE;
        // Without its file such a call fails before it is asked for.
        if !by_line && !self.is_same(step, request) {
            return self.skip();
        }
        let title = step.described(call).and_then(|shown| shown.title.as_deref());
        let known = path_of(step, call);
        let leaves = self.places.leaves(&request.tool, &request.input, known.as_deref());
        let title = title.filter(|_| !leaves).map(|title| self.places.expected(title));
        let title = title.unwrap_or_else(|| "*".to_owned());
        let number = self.numbers.get(call).copied().unwrap_or_default();
        let answer = if by_line { String::new() } else { format!(" → {}", policy::word(answer)) };
        self.skip();
        self.out.push(format!("? permission c{number} {title} [*]{answer}"));
    }

    /// Whether a call finds in the script what it found then.
    fn is_same(&self, step: &StepStory, call: &Call) -> bool {
        let known = path_of(step, &call.id);
        let leaves = self.places.leaves(&call.tool, &call.input, known.as_deref());
        match call.tool.as_str() {
            // What is there is told only once the user permitted it.
            "read" | "edit" | "write" if leaves => true,
            "read" | "edit" => known.is_some_and(|path| self.files.knows(&path)),
            "write" => known.is_none_or(|path| self.files.knows(&path)),
            "terminal" => ["cwd", "workdir", "working_directory", "path"]
                .iter()
                .all(|name| call.input.get(*name).is_none()),
            _ => !leaves,
        }
    }

    /// The line that is expected for how a call ended, if one is.
    fn outcome(
        &mut self,
        step: &StepStory,
        (id, outcome, shown): (&CallId, &Outcome, &CallUpdate),
    ) -> Option<String> {
        let call = step.reply.calls.iter().find(|call| call.id == *id)?;
        self.files.settled(&call.tool, outcome, shown);
        let path = path_of(step, id);
        if call.tool == "read"
            && let Some(path) = &path
        {
            self.files.read(path, outcome);
        }
        if call.tool == "terminal" && !matches!(outcome, Outcome::Denied { .. }) {
            self.command(step, call);
        }
        if let Outcome::Denied { reason } = outcome
            && let Some(pattern) = configured(reason)
            && !self.denied.contains(&pattern)
        {
            self.denied.push(pattern);
        }
        self.certain(step, call, (outcome, shown, path.as_deref()))
    }

    /// Notes a command that ran; those that nobody was asked about were allowed by the configuration.
    fn command(&mut self, step: &StepStory, call: &Call) {
        let Some(command) = command(call).filter(|_| step.has_begun(&call.id)) else { return };
        let was_asked = step.answer(&call.id).is_some() || self.asked.contains(&command);
        if !was_asked && self.settings.mode != Mode::Bypass && !self.allowed.contains(&command) {
            self.allowed.push(command.clone());
        }
        self.commands.push(command);
    }

    /// The line of a call's end, where it is certain and comes in its order.
    fn certain(
        &self,
        step: &StepStory,
        call: &Call,
        (outcome, shown, path): (&Outcome, &CallUpdate, Option<&Path>),
    ) -> Option<String> {
        if !self.is_alone(step, call)
            || self.is_unannounced(step, call)
            || self.places.leaves(&call.tool, &call.input, path)
        {
            return None;
        }
        let number = self.numbers.get(&call.id)?;
        let effect = self.toolbox.get(&call.tool)?.effect();
        match outcome {
            Outcome::Denied { .. } => Some(format!("← call c{number} failed*")),
            Outcome::Done { .. } if effect == Effect::None => {
                Some(format!("← call c{number} completed*"))
            }
            Outcome::Done { .. } if call.tool == "read" => {
                path.filter(|path| self.files.knows(path))?;
                Some(format!("← call c{number} completed*"))
            }
            Outcome::Done { .. } if effect == Effect::Write => {
                path.filter(|path| self.files.knows(path))?;
                let content = shown.content.clone().unwrap_or_default();
                let is_diff = |content: &CallContent| matches!(content, CallContent::Diff { .. });
                if content.is_empty() || !content.iter().all(is_diff) {
                    return Some(format!("← call c{number} completed*"));
                }
                let id = CallId::new(format!("c{number}"));
                let update = CallUpdate { content: Some(content), ..CallUpdate::new(id) }
                    .with_status(CallStatus::Completed);
                let update = acp::updates_of(Event::Call(update)).into_iter().next()?;
                let line = lines::of_update(&update).text();
                Some(pattern::escape(&self.places.shown(&line)))
            }
            Outcome::Done { .. } | Outcome::Failed { .. } | Outcome::Cancelled { .. } => None,
        }
    }

    /// Whether cards of tasks stand for a call, or would have.
    fn is_unannounced(&self, step: &StepStory, call: &Call) -> bool {
        let tool = self.toolbox.get(&call.tool);
        tool.is_some_and(|tool| tool.is_shown_by_cards()) || step.is_hidden(&call.id)
    }

    /// Calls that only look may end in any order beside each other.
    fn is_alone(&self, step: &StepStory, call: &Call) -> bool {
        let looks = |call: &Call| {
            let effect = self.toolbox.get(&call.tool).map(|tool| tool.effect());
            matches!(effect, None | Some(Effect::Read | Effect::None))
        };
        let calls = &step.reply.calls;
        let Some(at) = calls.iter().position(|other| other.id == call.id) else { return false };
        let beside = [at.checked_sub(1), at.checked_add(1)];
        let mut beside = beside.iter().flatten().filter_map(|at| calls.get(*at));
        !looks(call) || !beside.any(looks)
    }

    /// The call whose question was open when the turn was cancelled.
    fn asking<'a>(&self, step: &'a StepStory) -> Option<&'a Call> {
        step.reply.calls.iter().find(|call| {
            let changes = self
                .toolbox
                .get(&call.tool)
                .is_some_and(|tool| matches!(tool.effect(), Effect::Write | Effect::Run));
            let ended = matches!(step.outcome(&call.id), Some(Outcome::Cancelled { .. }) | None);
            let answer = step.answer(&call.id);
            let unanswered = matches!(answer, None | Some(Answer::Unanswered));
            let described = step.described(&call.id).is_some();
            let was_asked = answer.is_some() || changes;
            described && ended && unanswered && was_asked && !step.has_begun(&call.id)
        })
    }

    /// Whether a cancelled step ended in a call, and not while it was written.
    pub(super) fn waits_in_call(&self, step: &StepStory) -> bool {
        step.is_whole && (running(step).is_some() || self.asking(step).is_some())
    }

    fn wait_for_call(&mut self, step: &StepStory) {
        if let Some(call) = running(step) {
            let number = self.numbers.get(&call.id).copied().unwrap_or_default();
            self.out.push(format!("← call c{number} *in_progress*"));
        } else if let Some(call) = self.asking(step) {
            self.question(step, &call.id, Answer::Unanswered);
        }
    }

    pub(super) fn limit(&mut self, story: &TurnStory, over: &Over) {
        let has_calls = story.steps.last().is_some_and(|step| !step.reply.calls.is_empty());
        let limit = match over {
            Over::Ended { end: End::MaxSteps } => {
                format!("max_iterations: {}", story.steps.len())
            }
            Over::Ended { end: End::MaxTokens } if has_calls => {
                let usages = story.steps.iter().map(|step| step.reply.usage);
                format!(
                    "max_tokens: {}",
                    usages.map(|usage| usage.input + usage.output).sum::<u64>()
                )
            }
            Over::Ended { .. } | Over::Failed { .. } | Over::Interrupted => return,
        };
        if !self.limits.contains(&limit) {
            self.limits.push(limit);
        }
    }

    /// The answers to the prompts of a turn, in the order of the prompts.
    pub(super) fn expect_answers(&mut self, over: &Over, names: &[Name]) {
        if is_cancelled(over) {
            self.skip();
        }
        for name in names {
            let name = name.as_deref();
            self.out.push(match over {
                Over::Failed { .. } => answer_line("!", name, "*"),
                Over::Interrupted => answer_line("=", name, "cancelled"),
                Over::Ended { end } => answer_line(
                    "=",
                    name,
                    match end {
                        End::Finished => "end_turn",
                        End::MaxTokens => "max_tokens",
                        End::MaxSteps => "max_turn_requests",
                        End::Refused => "refusal",
                        End::Cancelled => "cancelled",
                    },
                ),
            });
        }
    }

    /// The statement that makes a file.
    pub(super) fn file(&self, path: &Path, text: &str) -> Vec<String> {
        let place = self.places.place(path).path;
        let relative = place.strip_prefix("$CWD/").unwrap_or(&place);
        let is_plain = !relative.contains(char::is_whitespace) && !relative.starts_with('"');
        let name = if is_plain {
            relative.to_owned()
        } else {
            serde_json::Value::from(relative).to_string()
        };
        let fits = (text.is_empty() || text.ends_with('\n')) && !text.contains('\r');
        if fits {
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            return block(&format!("file {name}"), &lines);
        }
        vec![format!("file {name} {}", serde_json::Value::from(text))]
    }

    /// What the session's configuration must have been, as far as the journal shows it.
    pub(super) fn config(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let list = |name: &str, texts: &[String]| {
            let texts: Vec<String> = texts.iter().map(|text| self.places.quoted(text)).collect();
            (!texts.is_empty()).then(|| format!("  {name}: [{}]", texts.join(", ")))
        };
        let permissions: Vec<String> = [list("allow", &self.allowed), list("deny", &self.denied)]
            .into_iter()
            .flatten()
            .collect();
        if !permissions.is_empty() {
            lines.push("permissions:".to_owned());
            lines.extend(permissions);
        }
        if !self.limits.is_empty() {
            lines.push("turn:".to_owned());
            lines.extend(self.limits.iter().map(|limit| format!("  {limit}")));
        }
        lines.extend(self.tasks());
        lines
    }
}

/// Whether the user did something between a question and its answer.
fn interrupted_questions(step: &StepStory) -> bool {
    let by_user =
        |(at, beat): (usize, &Beat)| beat.is_by_user() && next_question(step, at).is_some();
    step.beats.iter().enumerate().any(by_user)
}

/// The question that is open at a place in a step: what it asks about was described before.
fn next_question(step: &StepStory, at: usize) -> Option<(&CallId, Answer)> {
    let (before, after) = step.beats.split_at(at);
    after.iter().find_map(|beat| {
        let Beat::Asked { call, answer } = beat else { return None };
        let describes = |beat: &Beat| matches!(beat, Beat::Described(shown) if shown.id == *call);
        before.iter().any(describes).then_some((call, *answer))
    })
}

/// The call that ran when the turn was cancelled, or was just permitted to.
fn running(step: &StepStory) -> Option<&Call> {
    step.reply.calls.iter().find(|call| {
        let ended = matches!(step.outcome(&call.id), Some(Outcome::Cancelled { .. }) | None);
        let answer = step.answer(&call.id);
        let permitted = matches!(answer, Some(Answer::AllowOnce | Answer::AllowAlways));
        ended && (permitted || step.has_begun(&call.id))
    })
}

/// The command of a call of the tool `terminal`.
fn command(call: &Call) -> Option<String> {
    let names = ["command", "cmd"];
    names.iter().find_map(|name| call.input.get(*name)?.as_str()).map(str::to_owned)
}

/// The pattern of the configuration that refused a call, as the model was told.
fn configured(reason: &str) -> Option<String> {
    let (_, rest) = reason.split_once("(`permissions.deny`: `")?;
    rest.split_once("`)").map(|(pattern, _)| pattern.to_owned())
}
