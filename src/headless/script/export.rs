//! A session as a conversation script: its journal becomes statements and expected lines (`docs/DRIVE.md`)
//! with a scripted model that says what the model said (`docs/SCRIPTED.md`). It reads and writes no file.

mod expectations;
mod files;
mod follow_ups;
mod model;
mod places;
mod story;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use crate::acp;
use crate::context;
use crate::event::{Event, Role, ThoughtLevel};
use crate::ids::{CallId, MessageId};
use crate::model::scripted::Place;
use crate::permission::Mode;
use crate::store::Entry;
use crate::tools::{ToolSettings, Toolbox};
use crate::transcript::{Call, Content, End, Outcome, Over, Prompt, Settled, Step, Turn, Usage};
use files::Files;
use model::Scenes;
use places::{Places, has_filled};
use story::{Act, Aside, Beat, Settings, StepStory, Story, TurnStory};

/// A session as a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The whole script.
    pub text: String,
    /// How many commands run whenever it is played.
    pub commands: usize,
    /// What the script leaves out, as sentences.
    pub left_out: Vec<String>,
}

/// Writes a session's journal as a script. `name` says in its first line where it comes from.
pub fn export(name: &str, entries: &[Entry]) -> Exported {
    let story = Story::of(entries);
    let cwd = story.folders.first().cloned().unwrap_or_default();
    let additional = story.folders.get(1..).unwrap_or_default();
    let first_mode = story.first_mode();
    let mut writer = Writer {
        places: Places::new(&cwd, additional),
        prompts: story.prompts,
        toolbox: Toolbox::builtin(&ToolSettings::default()),
        history: Vec::new(),
        scenes: Scenes::default(),
        files: Files::default(),
        settings: Settings { mode: Mode::Ask, thought: ThoughtLevel::Auto },
        policy: String::new(),
        numbers: HashMap::new(),
        names: 0,
        gates: 0,
        commands: Vec::new(),
        allowed: Vec::new(),
        asked: Vec::new(),
        denied: Vec::new(),
        limits: Vec::new(),
        has_tasks: story.has_tasks,
        left_out: Vec::new(),
        out: Vec::new(),
    };
    if story.unknown > 0 {
        writer.leave_out(format!("{} records that this version does not know", story.unknown));
    }
    if writer.has_tasks {
        writer.leave_out("what background tasks did and reported".to_owned());
    }
    writer.switch(Settings { mode: first_mode, ..writer.settings });
    let acts: Vec<Act> = story.acts;
    for (at, act) in acts.iter().enumerate() {
        let beside = [at.checked_sub(1), at.checked_add(1)];
        let mut beside = beside.iter().flatten().filter_map(|at| acts.get(*at));
        let is_commands =
            beside.any(|act| matches!(act, Act::Aside(aside) if aside.is_switching()));
        match act {
            Act::OpenedAgain => writer.out.push("# The session was opened again here.".to_owned()),
            Act::Settings(settings) if is_commands => writer.settings = *settings,
            Act::Settings(settings) => writer.switch(*settings),
            Act::Aside(aside) => writer.aside(aside, None),
            Act::Turn(turn) if turn.is_follow_up() => writer.follow_up(turn),
            Act::Turn(turn) => writer.turn(turn),
            Act::NotDelivered => {
                writer.leave_out("a prompt that was cancelled before a turn took it".to_owned());
            }
        }
    }
    writer.finish(name, story.title.as_deref())
}

struct Writer {
    places: Places,
    prompts: HashMap<MessageId, Prompt>,
    toolbox: Toolbox,
    /// The turns so far, as far as the place of a reply depends on them.
    history: Vec<Arc<Turn>>,
    scenes: Scenes,
    files: Files,
    settings: Settings,
    /// The answers that the editor gives from here on.
    policy: String,
    /// Calls by the order in which they are announced.
    numbers: HashMap<CallId, usize>,
    names: usize,
    gates: usize,
    /// The lines of commands that ran.
    commands: Vec<String>,
    /// Commands that ran without being asked for, where the mode asks.
    allowed: Vec<String>,
    /// Commands that were asked for.
    asked: Vec<String>,
    /// Patterns of the configuration that refused a call.
    denied: Vec<String>,
    limits: Vec<String>,
    has_tasks: bool,
    left_out: Vec<String>,
    out: Vec<String>,
}

/// How a prompt is called in the script, where it needs a name.
type Name = Option<String>;

impl Writer {
    fn leave_out(&mut self, what: String) {
        if !self.left_out.contains(&what) {
            self.left_out.push(what);
        }
    }

    fn skip(&mut self) {
        if self.out.last().is_none_or(|line| line != "...") {
            self.out.push("...".to_owned());
        }
    }

    fn fresh_name(&mut self) -> String {
        self.names += 1;
        format!("p{}", self.names)
    }

    fn switch(&mut self, settings: Settings) {
        if settings.mode != self.settings.mode {
            self.out.push(format!("mode {}", settings.mode));
        }
        if settings.thought != self.settings.thought {
            let name = self.fresh_name();
            let value = settings.thought.id();
            self.out.push(format!(
                "request session/set_config_option {{\"sessionId\": \"$SESSION\", \"configId\": \
                 \"thought_level\", \"value\": \"{value}\"}} as {name}"
            ));
            self.out.push(format!("= {name} {{}}"));
        }
        self.settings = settings;
    }

    fn aside(&mut self, aside: &Aside, name: Option<&str>) {
        let text = aside.prompt.text();
        let text = text.trim();
        if text.starts_with("/model ") {
            return self.leave_out("changes of the model".to_owned());
        }
        let is_stable = text.starts_with("/mode");
        self.send(&aside.prompt, name);
        let answer =
            if is_stable { self.places.expected(&aside.answer) } else { "\"*\"".to_owned() };
        self.out.push(format!("← say {answer}"));
        self.out.push(answer_line("=", name, "end_turn"));
    }

    /// Sends a prompt; a name is given to one that needs it.
    fn send(&mut self, prompt: &Prompt, name: Option<&str>) {
        let as_name = name.map(|name| format!(" as {name}")).unwrap_or_default();
        let blocks: Vec<Value> = prompt.content.iter().filter_map(block_of).collect();
        if let Some(name) = name.filter(|_| blocks.iter().any(has_filled)) {
            let blocks = self.plain(&Value::from(blocks));
            self.out.push(format!(
                "send {{\"jsonrpc\": \"2.0\", \"id\": \"{name}\", \"method\": \"session/prompt\", \
                 \"params\": {{\"sessionId\": \"$SESSION\", \"prompt\": {blocks}}}}}"
            ));
            return;
        }
        let line = if let [Content::Text { text }] = prompt.content.as_slice() {
            self.places.quoted(text)
        } else {
            let blocks: Vec<String> = blocks.iter().map(|block| self.plain(block)).collect();
            format!("[{}]", blocks.join(", "))
        };
        self.out.push(format!("prompt {line}{as_name}"));
    }

    /// JSON in which nothing but the folder is filled in.
    fn plain(&self, value: &Value) -> String {
        match value {
            Value::String(text) => self.places.quoted(text),
            Value::Array(items) => {
                format!(
                    "[{}]",
                    items.iter().map(|item| self.plain(item)).collect::<Vec<_>>().join(", ")
                )
            }
            Value::Object(fields) => {
                let field = |(name, value): (&String, &Value)| {
                    format!("{}: {}", self.places.quoted(name), self.plain(value))
                };
                format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        }
    }

    fn turn(&mut self, story: &TurnStory) {
        let Some(over) = &story.over else {
            return self.leave_out("the turn that ran when this was written".to_owned());
        };
        let before = self.out.len();
        self.files.begin_turn();
        self.settle_policy(story);
        let steers = story.steps.iter().any(|step| !step.reply.steered.is_empty());
        let is_filled =
            story.prompt.content.iter().filter_map(block_of).any(|block| has_filled(&block));
        let needs_name = steers || is_filled || !story.undelivered.is_empty();
        let name = needs_name.then(|| self.fresh_name());
        self.send(&story.prompt, name.as_deref());
        let mut answers: Vec<Name> = vec![name];
        let mut turn = Turn { prompt: story.prompt.clone(), steps: Vec::new(), over: None };
        for (at, step) in story.steps.iter().enumerate() {
            let next = story.steps.get(at + 1);
            let joins = next.map(|next| self.known(&next.reply.steered)).unwrap_or_default();
            let early = early(step);
            // While a reply is written the turn waits at a gate for what the user did then.
            let gate = (!early.is_empty() || !joins.is_empty()).then(|| self.fresh_gate());
            let ending = next.is_none().then_some(over).filter(|_| ends_here(step, over));
            self.place_step(&turn, step, (gate.as_deref(), ending));
            self.expect_reply(step);
            self.at_gate(&early, &joins, &mut answers);
            self.out.extend(gate.map(|gate| format!("touch {gate}")));
            self.calls(step, ending.is_some_and(is_cancelled));
            turn.steps.push(Arc::new(self.settled(step)));
        }
        self.limit(story, over);
        self.unanswered(story, over, &turn);
        let mut undelivered = Vec::new();
        if is_cancelled(over) {
            self.at_gate(&story.meanwhile, &[], &mut answers);
            for prompt in &story.undelivered {
                let name = self.fresh_name();
                self.send(prompt, Some(&name));
                undelivered.push(format!("= {name} cancelled"));
            }
            self.out.push("cancel".to_owned());
        } else if story.meanwhile.iter().any(Beat::is_by_user) {
            self.leave_out("a slash command or setting at the very end of a turn".to_owned());
        }
        self.expect_answers(over, &answers);
        self.out.append(&mut undelivered);
        for (path, text) in std::mem::take(&mut self.files.changed) {
            let file = self.file(&path, &text);
            self.out.splice(before..before, file);
        }
        self.out.push(String::new());
        turn.over = Some(over.clone());
        if turn.over != Some(Over::Ended { end: End::Refused }) {
            self.history.push(Arc::new(turn));
        }
    }

    fn known(&self, messages: &[MessageId]) -> Vec<Prompt> {
        messages.iter().filter_map(|message| self.prompts.get(message).cloned()).collect()
    }

    fn fresh_gate(&mut self) -> String {
        self.gates += 1;
        format!("gate{}", self.gates)
    }

    /// Puts a reply where the scripted model will look for it.
    fn place_step(
        &mut self,
        turn: &Turn,
        step: &StepStory,
        (gate, ending): (Option<&str>, Option<&Over>),
    ) {
        let mut lines = Vec::new();
        let reply = &step.reply;
        if !reply.thought.is_empty() {
            lines.push(format!("think {}", self.places.said(&reply.thought)));
        }
        if !reply.text.is_empty() {
            lines.push(format!("say {}", self.places.said(&reply.text)));
        }
        for call in &reply.calls {
            lines.push(self.call_statement(step, call));
        }
        lines.extend(gate.map(|gate| format!("gate {gate}")));
        let usage = reply.usage;
        if step.is_whole && usage != Usage::default() {
            let (input, output, cached) = (usage.input, usage.output, usage.cached);
            lines.push(format!("usage input={input} output={output} cached={cached}"));
        }
        match ending {
            Some(over @ (Over::Failed { .. } | Over::Ended { end: End::Refused }))
                if !step.is_whole =>
            {
                lines.push(self.failure(over, true));
            }
            Some(Over::Ended { end: End::Refused }) => lines.push("stop refused".to_owned()),
            Some(Over::Ended { end: End::MaxTokens }) if reply.calls.is_empty() => {
                lines.push("stop max_tokens".to_owned());
            }
            Some(over) if is_cancelled(over) && !self.waits_in_call(step) => {
                lines.push("gate never".to_owned());
            }
            _ => {}
        }
        if lines.is_empty() {
            lines.push("stop finished".to_owned());
        }
        let steered = self.known(&reply.steered);
        self.add(turn, &steered, lines);
    }

    fn add(&mut self, turn: &Turn, steered: &[Prompt], lines: Vec<String>) {
        let items = context::items(&self.history, &turn.prompt, &turn.steps, steered);
        if !self.scenes.add(Place::of(&items), lines) {
            let what = "a reply that the scripted model cannot tell from an earlier one";
            self.leave_out(what.to_owned());
        }
    }

    fn call_statement(&self, step: &StepStory, call: &Call) -> String {
        let tool = &call.tool;
        if let Some(Outcome::Failed { message }) = step.outcome(&call.id)
            && let Some(raw) = message.strip_prefix("the arguments are not valid JSON: ")
        {
            return format!("call_raw {tool} {}", raw.replace(['\n', '\r'], " "));
        }
        let known = path_of(step, &call.id);
        format!("call {tool} {}", self.places.input(tool, &call.input, known.as_deref()))
    }

    /// A request that was answered with nothing.
    fn unanswered(&mut self, story: &TurnStory, over: &Over, turn: &Turn) {
        let last = story.steps.last();
        if last.is_some_and(|step| ends_here(step, over)) {
            return;
        }
        let line = match over {
            Over::Failed { .. } | Over::Ended { end: End::Refused } => self.failure(over, false),
            _ if is_cancelled(over) => "gate never".to_owned(),
            Over::Ended { .. } | Over::Interrupted => return,
        };
        self.add(turn, &[], vec![line]);
    }

    fn failure(&self, over: &Over, said_something: bool) -> String {
        match over {
            Over::Failed { message, refused_input } => {
                let kind = match (refused_input, said_something) {
                    (true, _) => "400",
                    (false, true) => "drop",
                    (false, false) => "payment",
                };
                format!("fail {kind} {}", self.places.quoted(message))
            }
            Over::Ended { .. } | Over::Interrupted => {
                "fail refused \"the provider refused\"".to_owned()
            }
        }
    }

    /// The step as far as the places of later replies depend on it.
    fn settled(&self, step: &StepStory) -> Step {
        let reply = &step.reply;
        let never = || Outcome::Cancelled { reason: String::new() };
        let calls = reply.calls.iter().map(|call| Settled {
            call: call.clone(),
            outcome: step.outcome(&call.id).cloned().unwrap_or_else(never),
        });
        Step {
            steered: self.known(&reply.steered),
            thought: reply.thought.clone(),
            thought_message: None,
            thoughts: Vec::new(),
            text: reply.text.clone(),
            message: None,
            calls: calls.collect(),
            usage: reply.usage,
        }
    }

    fn finish(mut self, name: &str, title: Option<&str>) -> Exported {
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut lines = vec![format!("# {}", one_line(title.unwrap_or("A session")))];
        lines.push(format!(
            "# Written from {} by `talaria sessions export --script`.",
            one_line(name)
        ));
        for what in &self.left_out {
            lines.push(format!("# Left out: {}.", one_line(what)));
        }
        if !self.commands.is_empty() {
            lines.push("# Its commands run again whenever this is played.".to_owned());
        }
        let config = self.config();
        if !config.is_empty() {
            lines.extend(block("config", &config));
        }
        if self.scenes.is_empty() {
            self.scenes.add(
                Place { prompt: String::new(), scene: 0, step: 0 },
                vec!["stop finished".to_owned()],
            );
        }
        lines.extend(block("model", &self.scenes.lines(&self.places)));
        for (path, text) in std::mem::take(&mut self.files.first) {
            lines.extend(self.file(&path, &text));
        }
        if !self.commands.is_empty() {
            lines.push("deadline 60s".to_owned());
        }
        lines.extend(["initialize".to_owned(), "new".to_owned(), String::new()]);
        lines.append(&mut self.out);
        let mut text = lines.join("\n").trim_end().to_owned();
        text.push('\n');
        Exported { text, commands: self.commands.len(), left_out: self.left_out }
    }
}

fn is_cancelled(over: &Over) -> bool {
    // What was interrupted is cancelled in the script: the calls end the same way.
    matches!(over, Over::Ended { end: End::Cancelled } | Over::Interrupted)
}

/// Whether the turn ended in this step, and not in the request behind it.
fn ends_here(step: &StepStory, over: &Over) -> bool {
    let was_cancelled =
        |call: &Call| matches!(step.outcome(&call.id), Some(Outcome::Cancelled { .. }) | None);
    match over {
        _ if !step.is_whole || step.reply.calls.is_empty() => true,
        Over::Ended { end: End::Cancelled } | Over::Interrupted => {
            step.reply.calls.iter().any(was_cancelled)
        }
        Over::Ended { end: End::Refused } | Over::Failed { .. } => false,
        Over::Ended { .. } => true,
    }
}

/// What the user did while a reply was written, and before its calls did anything.
fn early(step: &StepStory) -> Vec<Beat> {
    let rest = step.beats.iter().take_while(|beat| !beat.is_of_call());
    step.meanwhile.iter().chain(rest).filter(|beat| beat.is_by_user()).cloned().collect()
}

/// A statement with a block, which ends with a word that is no line of it.
fn block(statement: &str, lines: &[String]) -> Vec<String> {
    let mut end = "END".to_owned();
    let mut number = 1;
    while lines.iter().any(|line| line.trim_end() == end) {
        number += 1;
        end = format!("END{number}");
    }
    let first = std::iter::once(format!("{statement} <<{end}"));
    first.chain(lines.iter().cloned()).chain([end]).collect()
}

fn answer_line(sign: &str, name: Option<&str>, rest: &str) -> String {
    [Some(sign), name, Some(rest)].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// The path that a call turned out to mean.
fn path_of(step: &StepStory, call: &CallId) -> Option<PathBuf> {
    let shown = step.described(call)?;
    Some(shown.locations.as_ref()?.first()?.path.clone())
}

/// A piece of a prompt as a client sends it.
fn block_of(content: &Content) -> Option<Value> {
    let message = MessageId::new("m");
    let event = Event::Said { message, role: Role::User, content: content.clone() };
    acp::updates_of(event).into_iter().find_map(|update| update.get("content").cloned())
}
