//! Children: the sessions that do the tasks of another one. They run the same turn through the same actor,
//! with this machine's terminals and what their parent's host leaves them of files, and are heard by their task alone.
//! When one is wanted and what becomes of it is `tasks`'.

mod begin;
mod outlet;
mod prompt;
mod shown;
#[cfg(test)]
mod tests;
mod workplace;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{OnceCell, mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use self::outlet::{ChildOutlet, Ear};
pub use self::shown::{ChildStream, ChildStreams};
use self::workplace::Workplace;
use super::{Inherited, Opening, PromptWaiter, SessionHandle, deletion, handle, start};
use crate::config::{Config, TurnSection};
use crate::context;
use crate::event::Settings;
use crate::fault::{Fault, Kind};
use crate::ids::{CallId, PromptId, SessionId};
use crate::model::catalog::Choice;
use crate::permission::{Answer, Mode};
use crate::redact::Mask;
use crate::store::Store;
use crate::tasks::worktree::Place;
use crate::tasks::{Begin, Child, Details, NewTask, Order, Spawn, Spawned, TaskError};
use crate::tools::{Toolbox, pictures, toolsets};
use crate::transcript::Content;
use crate::turn::{self, Environment};
use crate::viewer::Viewer;

/// What a child says and its task has not heard yet; more makes it wait.
const UNHEARD: usize = 64;

/// What the children of a session need of it, beside its environment and settings.
#[derive(Clone)]
pub struct Parent {
    pub id: SessionId,
    /// 0 for a session that does no task.
    pub depth: u32,
    pub store: Store,
    pub mask: Arc<Mask>,
    pub version: &'static str,
    /// Where what their sessions do runs.
    pub tasks: TaskTracker,
    pub settings: LiveSettings,
    /// Where they are shown as sessions of their own; absent where the client does not do that.
    pub streams: Option<Arc<dyn ChildStreams>>,
    /// Where the trees of isolated tasks are made.
    pub worktrees: PathBuf,
}

/// The settings of a session as its turns and children see them now. Kept where the session is opened anew:
/// children that go on follow that one.
#[derive(Clone, Default)]
pub struct LiveSettings(Arc<OnceLock<watch::Sender<turn::Settings>>>);

impl LiveSettings {
    /// They are these from now on; how to follow them.
    pub(super) fn publish(&self, settings: turn::Settings) -> watch::Receiver<turn::Settings> {
        let sender = self.0.get_or_init(|| watch::Sender::new(settings.clone()));
        sender.send_replace(settings);
        sender.subscribe()
    }

    /// The mode now; absent before the session begins.
    pub(super) fn mode(&self) -> Option<Mode> {
        self.0.get().map(|sender| sender.borrow().mode)
    }
}

/// Brings children of one session to life.
pub struct Children {
    parent: Parent,
    environment: Arc<Environment>,
    settings: watch::Receiver<turn::Settings>,
    common: OnceLock<Common>,
    /// Of those that work where their parent does, by whether they start tasks of their own. Made with the first
    /// child: it reads files.
    systems: [OnceCell<Arc<str>>; 2],
    /// Set when trees were tidied up.
    tidied: OnceLock<()>,
}

/// What all children have in common. Made when there may be a first one: most sessions have none.
struct Common {
    config: Arc<Config>,
    toolbox: Toolbox,
}

impl Children {
    /// `environment` and `settings` are the parent's.
    pub fn new(
        parent: Parent,
        environment: Arc<Environment>,
        settings: watch::Receiver<turn::Settings>,
    ) -> Self {
        let systems = [OnceCell::new(), OnceCell::new()];
        Self {
            common: OnceLock::new(),
            tidied: OnceLock::new(),
            systems,
            parent,
            environment,
            settings,
        }
    }

    fn common(&self) -> &Common {
        self.common.get_or_init(|| {
            let Environment { config, toolbox, .. } = &*self.environment;
            let turn = TurnSection {
                max_iterations: config.delegation.max_iterations,
                max_tokens: config.delegation.max_tokens,
            };
            let delegates = self.parent.depth + 1 < config.delegation.max_spawn_depth;
            let all = toolbox.only(&[], delegates);
            Common {
                config: Arc::new(Config { turn, ..Config::clone(config) }),
                // No name is given, so none can be unknown.
                toolbox: all.unwrap_or_else(|_| toolbox.clone()),
            }
        })
    }

    /// The tools of a child that may use these toolsets.
    fn toolbox(&self, toolsets: &[String]) -> Result<Toolbox, TaskError> {
        let all = &self.common().toolbox;
        if toolsets.is_empty() {
            return Ok(all.clone());
        }
        all.only(toolsets, true).map_err(|name| {
            let known: Vec<String> =
                all.toolsets().iter().map(|name| format!("`{name}`")).collect();
            TaskError::Toolset { name, known: known.join(", ") }
        })
    }

    /// The model that does a task for which `model` is wanted.
    fn choice(&self, model: Option<&str>) -> Result<Choice, TaskError> {
        let parents = self.settings.borrow().choice.clone();
        let delegation = &self.environment.config.delegation;
        parents.for_task(delegation, model).map_err(|why| {
            let name = model.or(delegation.model.as_deref()).unwrap_or(&parents.name);
            let Fault { message, hint, .. } = why;
            let why = [message].into_iter().chain(hint).collect::<Vec<_>>().join(". ");
            TaskError::Model { name: name.to_owned(), why }
        })
    }

    /// That of a child with a tree of its own is made for it alone.
    async fn system(&self, workplace: &Workplace, delegates: bool) -> Arc<str> {
        let configured = self.environment.config.instructions.clone();
        if workplace.tree.is_some() {
            return workplace.system(configured, delegates).await;
        }
        let [without, with] = &self.systems;
        let cell = if delegates { with } else { without };
        cell.get_or_init(|| workplace.system(configured, delegates)).await.clone()
    }

    async fn open(&self, order: Order) -> Result<Spawned, Fault> {
        let Order { task: _, goal, details, begin, tree, tasks } = order;
        if tree.is_some() && self.tidied.set(()).is_ok() {
            let (store, worktrees) = (self.parent.store.clone(), self.parent.worktrees.clone());
            self.parent.tasks.spawn(async move { deletion::tidy(&store, &worktrees).await });
        }
        let workplace = Workplace::new(&self.environment, tree);
        let images = pictures::read(&details.images).await.map_err(|unusable| {
            let (name, why) = (unusable.path.display().to_string(), unusable.why);
            TaskError::Image { name, why }.fault()
        })?;
        let toolbox = self.toolbox(&details.toolsets).map_err(|error| error.fault())?;
        let choice = self.choice(details.model.as_deref()).map_err(|error| error.fault())?;
        let delegates = toolbox.toolsets().contains(&toolsets::TASKS);
        let mut system = self.system(&workplace, delegates).await;
        if let Some(schema) = &details.output_schema {
            system = format!("{system}{}", context::report_as(schema)).into();
        }
        let first = prompt::first(&goal, details.context.as_deref());
        let is_resumed = begin == Begin::Resume;
        let has_moved = self.has_moved(&details, &workplace).await;
        let opened = workplace.opened(&self.parent);
        let begun = begin::begin(&self.parent, opened, (&details, begin)).await?;
        let content = if is_resumed && begun.has_seen(&first) {
            vec![Content::text(prompt::GO_ON)]
        } else {
            let mut content = prompt::with_pictures(first, &details.images, images);
            content.extend(has_moved.then(|| prompt::moved(workplace.roots.cwd())));
            content
        };
        let thought = self.settings.borrow().thought;
        let environment = Environment {
            config: self.common().config.clone(),
            roots: workplace.roots,
            host: self.environment.host.of_task(&details.child),
            toolbox,
            policy: workplace.policy,
            tasks: tasks.clone(),
            cache_key: details.child.to_string(),
            system: OnceCell::new_with(Some(system)),
        };
        let stream = self.parent.streams.as_ref().map(|streams| streams.of(&details.child));
        let opening = Opening {
            settings: Settings {
                mode: details.mode,
                model: choice.name.clone(),
                models: vec![choice.name.clone()],
                thought: self.environment.config.delegation.reasoning_effort.unwrap_or(thought),
            },
            environment: Arc::new(environment),
            choice,
            version: self.parent.version,
            journal: begun.journal,
            restored: begun.restored,
            is_shown: true,
            notice: None,
            // Whoever shows it as a session shows those of its own tasks so, too.
            viewer: Viewer { subagents: self.parent.streams.is_some(), ..Viewer::default() },
            inherited: Some(Inherited {
                settings: self.settings.clone(),
                mode: details.mode,
                origin: details.origin,
            }),
            parent: tasks.map(|_| Parent {
                id: details.child,
                depth: details.depth,
                settings: LiveSettings::default(),
                ..self.parent.clone()
            }),
        };
        let (session, inbox) = handle();
        let (said, heard) = mpsc::channel(UNHEARD);
        let closing = CancellationToken::new();
        let ear = Ear::new(&said, self.parent.tasks.clone(), closing.child_token());
        let outlet = ChildOutlet::new(said, ear.clone(), stream);
        start(opening, inbox, outlet, &self.parent.tasks, closing.clone());
        let child = ChildSession { session, ear, _ends_with_its_owner: closing.drop_guard() };
        Ok(Spawned { child: Box::new(child), said: heard, prompt: content })
    }

    /// Whether it goes on with a conversation that took place in another folder.
    async fn has_moved(&self, details: &Details, workplace: &Workplace) -> bool {
        let Some(from) = &details.continues else { return false };
        let before = self.parent.store.summary(from).await;
        before.is_ok_and(|before| before.cwd != workplace.roots.cwd())
    }
}

impl Spawn for Children {
    fn check(&self, task: &NewTask) -> Result<(), TaskError> {
        self.toolbox(&task.toolsets)?;
        self.choice(task.model.as_deref())?;
        Ok(())
    }

    fn place(&self) -> Place {
        let cwd = self.environment.roots.cwd().to_owned();
        Place::new(cwd, self.parent.worktrees.clone())
    }

    fn spawn(&self, order: Order) -> BoxFuture<'_, Result<Spawned, Fault>> {
        self.open(order).boxed()
    }
}

/// A child, as its task holds it. It ends with it, also where nobody closes it.
struct ChildSession {
    session: SessionHandle,
    ear: Ear,
    _ends_with_its_owner: DropGuard,
}

impl Child for ChildSession {
    fn prompt(&self, content: Vec<Content>) -> PromptId {
        let ear = self.ear.clone();
        self.session.prompt_for(content, |prompt| PromptWaiter {
            reply: Box::new(move |answer| ear.answered(prompt, answer)),
            open: Box::new(()),
        })
    }

    fn answer(&self, call: CallId, answer: Answer) -> BoxFuture<'_, ()> {
        // What holds for always is a rule of the root session's, which all inherit.
        let answer = match answer {
            Answer::AllowAlways => Answer::AllowOnce,
            Answer::RejectAlways => Answer::RejectOnce,
            Answer::AllowOnce | Answer::RejectOnce | Answer::Unanswered => answer,
        };
        async move {
            // Closed: nothing waits for it any more.
            let _closed = self.session.answer(call, answer).await;
        }
        .boxed()
    }

    fn cancel(&self) {
        self.session.cancel();
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async move {
            let (closed, over) = oneshot::channel();
            let reply = Box::new(move |()| {
                closed.send(()).ok();
            });
            self.session.close(reply).await;
            self.ear.close();
            // Called or dropped, it is over.
            drop(over.await);
        }
        .boxed()
    }
}

fn not_stored(why: &str) -> Fault {
    Fault::new(Kind::User, format!("{why}: sessions are not stored (`store.enabled` is false)"))
        .with_hint("Start the task anew, with what it must know in its goal and context.")
}
