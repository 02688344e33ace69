//! What the model may call: one file for each tool, the port to files and terminals, and the rule that
//! judges a call. Tools never ask the user and know nothing of ACP.

pub mod host;
pub mod local;
pub mod pictures;
pub mod permission;
pub mod roots;

mod command_line;
mod diff;
mod edit;
mod files;
mod glob;
mod grep;
mod input;
mod list;
mod place;
mod plan;
mod read;
mod tasks;
mod terminal;
pub mod toolsets;
mod walk;
mod write;

#[cfg(test)]
mod test_support;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::event::{CallContent, CallUpdate, Location, PlanEntry, ToolKind};
use crate::ids::CallId;
use crate::known::{Known, Seen};
use crate::model::ToolSpec;
use crate::permission::Grant;
use crate::tasks::Door;
use crate::transcript::Outcome;
use host::Host;
use permission::Policy;
use roots::Roots;

pub use files::fenced;
pub use place::{Place, Places};
pub use tasks::TaskLimits;

/// What a tool does to the world; it decides order and defaults of permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Looks only. Such calls of one step run beside each other.
    Read,
    /// Changes files.
    Write,
    /// Runs a program.
    Run,
    /// Changes nothing outside the conversation.
    None,
}

/// Something that the model may call.
pub trait Tool: Send + Sync {
    fn spec(&self) -> ToolSpec;

    fn effect(&self) -> Effect;

    fn kind(&self) -> ToolKind;

    /// Whether the cards of the tasks that it starts stand for the call: then it is shown only where it
    /// fails before there is a task.
    fn is_shown_by_cards(&self) -> bool {
        false
    }

    /// Checks the input and says what the call would do, without doing it: no effect on the world.
    /// The error is for the model and tells nothing of what is on the disk.
    fn prepare<'a>(
        &'a self,
        input: &'a Value,
        context: &'a Context,
    ) -> BoxFuture<'a, Result<Prepared, String>>;

    /// Does it. Cancelled through `context.cancel`: it then stops within two seconds and answers
    /// `Outcome::Cancelled`.
    fn run<'a>(&'a self, input: &'a Value, context: &'a Context) -> BoxFuture<'a, Ran>;
}

/// What a call would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// For a user: "Edit src/main.rs", "cargo test".
    pub title: String,
    pub locations: Vec<Location>,
    /// What to show before it runs, such as the diff of an edit.
    pub preview: Vec<CallContent>,
    /// What it touches.
    pub touches: Vec<Touch>,
    /// The line for the shell that it would run, for the configured patterns.
    pub command: Option<String>,
    /// What an "always" answer to it would cover.
    pub grant: Grant,
    /// Why it would fail. It is for the model, but may hold what is in a file: only once the call is
    /// permitted is it told.
    pub trouble: Option<String>,
}

/// A path that a call touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touch {
    /// Absolute, as the model named it.
    pub named: PathBuf,
    /// The same with links resolved.
    pub path: PathBuf,
    pub access: Access,
    /// Whether it lies in one of the session's roots.
    pub inside: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

/// What a call did.
#[derive(Debug, Clone, PartialEq)]
pub struct Ran {
    pub outcome: Outcome,
    /// What the editor shows instead of the preview; empty leaves what it shows.
    pub show: Vec<CallContent>,
    /// Places that it found or changed; `None` leaves those of `Prepared`.
    pub locations: Option<Vec<Location>>,
    /// Structured output for clients.
    pub output: Option<Value>,
    /// Contents of files that the model knows from now on.
    pub saw: Vec<(PathBuf, Known)>,
    /// The model's plan, if the call set it.
    pub plan: Option<Vec<PlanEntry>>,
    /// Tasks whose whole reports are in the outcome.
    pub gave: Vec<u64>,
    /// Tasks were started, whose cards stand for the call.
    pub has_cards: bool,
}

impl Ran {
    pub fn new(outcome: Outcome) -> Self {
        Self {
            outcome,
            show: Vec::new(),
            locations: None,
            output: None,
            saw: Vec::new(),
            plan: None,
            gave: Vec::new(),
            has_cards: false,
        }
    }

    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Outcome::failed(message))
    }
}

/// What a call is given.
pub struct Context {
    pub call: CallId,
    pub roots: Arc<Roots>,
    pub host: Arc<dyn Host>,
    pub seen: Seen,
    /// Search tools leave out what it denies.
    pub policy: Arc<Policy>,
    /// What the call was judged to touch: it may touch nothing else. `None` until it is judged.
    pub permitted: Option<Arc<[Touch]>>,
    pub cancel: CancellationToken,
    /// Fires when the user says something to the running turn: who only waits stops waiting then.
    pub attention: CancellationToken,
    /// Fires when something that the user said waits for the turn's end: nobody waits for tasks then.
    pub prompt_waits: CancellationToken,
    pub progress: Progress,
    /// The tasks of the session; absent where it may have none.
    pub tasks: Option<Door>,
    /// When the call may start tasks; absent where it starts none.
    pub place: Option<Place>,
}

/// Where a running call shows how far it is.
#[derive(Clone)]
pub struct Progress {
    updates: mpsc::Sender<CallUpdate>,
}

impl Progress {
    pub fn new(updates: mpsc::Sender<CallUpdate>) -> Self {
        Self { updates }
    }

    /// Shows `content` in place of what the call showed. Losing an intermediate picture is fine, so it
    /// never waits.
    pub fn show(&self, call: &CallId, content: Vec<CallContent>) {
        let update = CallUpdate { content: Some(content), ..CallUpdate::new(call.clone()) };
        // Full: the reader is behind, and a later picture replaces this one.
        drop(self.updates.try_send(update));
    }

    /// The same for what must not be lost: it waits until the reader has room for it.
    pub async fn show_surely(&self, call: &CallId, content: Vec<CallContent>) {
        let update = CallUpdate { content: Some(content), ..CallUpdate::new(call.clone()) };
        // The turn is gone when this fails.
        drop(self.updates.send(update).await);
    }
}

/// How the built-in tools are set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolSettings {
    /// Names of tools that the model is not offered.
    pub disabled: Vec<String>,
    /// After how long a command is ended if the model asks for no other limit.
    pub terminal_timeout: Duration,
    /// What the model is told of the limits of tasks.
    pub tasks: TaskLimits,
}

impl Default for ToolSettings {
    fn default() -> Self {
        Self {
            disabled: Vec::new(),
            terminal_timeout: Duration::from_mins(2),
            tasks: TaskLimits::default(),
        }
    }
}

/// The tools of a session, by name. Cheap to clone.
#[derive(Clone)]
pub struct Toolbox {
    tools: Arc<[Arc<dyn Tool>]>,
    specs: Arc<[ToolSpec]>,
}

/// The built-in tools of the sessions of a process. What is told of them takes room, and nearly all sessions
/// are set up alike: those share what was made last. Clones are the same.
#[derive(Clone, Default)]
pub struct Toolboxes(Arc<Mutex<Option<(ToolSettings, Toolbox)>>>);

impl Toolboxes {
    pub fn builtin(&self, settings: ToolSettings) -> Toolbox {
        // A lock that someone panicked under holds nothing half done.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made_for, toolbox)) = &*last
            && *made_for == settings
        {
            return toolbox.clone();
        }
        let toolbox = Toolbox::builtin(&settings);
        *last = Some((settings, toolbox.clone()));
        toolbox
    }
}

impl Toolbox {
    /// The built-in tools, without those that are disabled.
    pub fn builtin(settings: &ToolSettings) -> Self {
        let is_enabled = |name: &str| !settings.disabled.iter().any(|disabled| disabled == name);
        let mut all: Vec<Arc<dyn Tool>> = vec![
            Arc::new(read::Read),
            Arc::new(write::Write),
            Arc::new(edit::Edit),
            Arc::new(list::List),
            Arc::new(glob::Glob),
            Arc::new(grep::Grep),
            Arc::new(terminal::Terminal { default_timeout: settings.terminal_timeout }),
            Arc::new(plan::Plan),
        ];
        all.extend(tasks::all(&settings.tasks, &toolsets::names(is_enabled)));
        // Once for each tool: a schema is made anew each time.
        let all = all.into_iter().map(|tool| (tool.spec(), tool));
        Self::of(all.filter(|(spec, _)| is_enabled(&spec.name)))
    }

    fn of(tools: impl Iterator<Item = (ToolSpec, Arc<dyn Tool>)>) -> Self {
        let (specs, tools): (Vec<ToolSpec>, Vec<Arc<dyn Tool>>) = tools.unzip();
        Self { tools: tools.into(), specs: specs.into() }
    }

    /// Names of the toolsets of which there is a tool here.
    pub fn toolsets(&self) -> Vec<&'static str> {
        toolsets::names(|name| self.get(name).is_some())
    }

    /// Whether the model can start background tasks.
    pub fn delegates(&self) -> bool {
        self.specs.iter().any(|spec| spec.name == tasks::START)
    }

    /// The tools of these toolsets, or of all where none is named; those about tasks only
    /// `with_tasks`. The error is the name of a toolset of which there is no tool here.
    pub fn only(&self, names: &[String], with_tasks: bool) -> Result<Self, String> {
        let mut known = self.toolsets();
        known.retain(|name| with_tasks || *name != toolsets::TASKS);
        if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(name.clone());
        }
        let chosen = |set: &str| names.is_empty() || names.iter().any(|name| name == set);
        let all = self.specs.iter().cloned().zip(self.tools.iter().cloned());
        Ok(Self::of(all.filter(|(spec, _)| match toolsets::of(&spec.name) {
            Some(set) => known.contains(&set) && chosen(set),
            None => names.is_empty(),
        })))
    }

    /// The same with one more tool.
    #[cfg(test)]
    pub(crate) fn and(&self, tool: Arc<dyn Tool>) -> Self {
        let specs = self.specs.iter().cloned().chain([tool.spec()]).collect();
        Self { tools: self.tools.iter().cloned().chain([tool]).collect(), specs }
    }

    pub fn specs(&self) -> Arc<[ToolSpec]> {
        self.specs.clone()
    }

    pub fn get(&self, name: &str) -> Option<Arc<dyn Tool>> {
        self.specs
            .iter()
            .position(|spec| spec.name == name)
            .and_then(|at| self.tools.get(at))
            .cloned()
    }
}
