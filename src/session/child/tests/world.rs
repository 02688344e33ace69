//! A parent without a session of its own: its settings are the test's to change.

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::clock::Clock;
use crate::config;
use crate::model::catalog;
use crate::model::provider::HttpClient;
use crate::store::{self, StoreGuard};
use crate::tools::ToolSettings;
use crate::tools::local::Local;
use crate::tools::permission::Policy;
use crate::tools::roots::Roots;

pub(super) struct World {
    pub(super) folder: TempDir,
    pub(super) children: Children,
    pub(super) settings: watch::Sender<turn::Settings>,
    pub(super) store: Store,
    pub(super) tasks: TaskTracker,
    /// In the order in which they end.
    _state: Option<(StoreGuard, TempDir)>,
}

impl World {
    pub(super) fn new(script: &str) -> Self {
        Self::with(script, Config::default())
    }

    pub(super) fn with(script: &str, config: Config) -> Self {
        let state = tempfile::tempdir().unwrap();
        let folder = state.path().to_owned();
        let (store, guard) = Store::start(store::Settings { folder, clock: Clock::real() });
        Self::on((script, config), store, None, Some((guard, state)))
    }

    /// In a client that shows children as sessions.
    pub(super) fn shown(script: &str, streams: Arc<dyn ChildStreams>) -> Self {
        Self::on((script, Config::default()), Store::off(), Some(streams), None)
    }

    pub(super) fn without_store(script: &str) -> Self {
        Self::on((script, Config::default()), Store::off(), None, None)
    }

    fn on(
        (script, mut config): (&str, Config),
        store: Store,
        streams: Option<Arc<dyn ChildStreams>>,
        state: Option<(StoreGuard, TempDir)>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.script");
        std::fs::write(&path, script).unwrap();
        config.model.name = Some(format!("scripted:{}", path.display()));
        let choice =
            catalog::resolve(&config, &config::Environment::default(), &HttpClient::start());
        let environment = Environment {
            config: Arc::new(config),
            roots: Arc::new(Roots::new(folder.path().to_owned(), &[])),
            host: Arc::new(Local::new()),
            toolbox: Toolbox::builtin(&ToolSettings::default()),
            policy: Arc::new(Policy::default()),
            cache_key: String::new(),
            system: OnceCell::new_with(Some("the parent's".into())),
            tasks: None,
        };
        let (settings, watched) = watch::channel(turn::Settings {
            mode: Mode::Bypass,
            rules: Arc::default(),
            choice: Arc::new(choice.unwrap()),
            thought: ThoughtLevel::Auto,
        });
        let tasks = TaskTracker::new();
        let parent = Parent {
            id: SessionId::new("parent"),
            depth: 0,
            store: store.clone(),
            mask: Arc::new(Mask::default()),
            version: "1.2.3",
            tasks: tasks.clone(),
            settings: LiveSettings::default(),
            streams,
            worktrees: folder.path().join("worktrees"),
        };
        let children = Children::new(parent, Arc::new(environment), watched);
        Self { folder, children, settings, store, tasks, _state: state }
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn open_gate(&self, name: &str) {
        std::fs::write(self.file(name), "").unwrap();
    }

    pub(super) async fn spawn(&self, goal: &str) -> Living {
        Living::of(self.children.spawn(order(goal)).await.unwrap())
    }

    /// A child that works on its goal.
    pub(super) async fn begin(&self, goal: &str) -> Living {
        let living = self.spawn(goal).await;
        living.child.prompt(living.prompt.clone());
        living
    }

    pub(super) fn switch(&self, mode: Mode) {
        self.settings.send_modify(|settings| settings.mode = mode);
    }

    pub(super) fn rule(&self, key: &str, allow: bool) {
        let grant = Grant { key: key.to_owned(), label: key.to_owned() };
        self.settings.send_modify(|settings| settings.rules = [Rule { grant, allow }].into());
    }

    /// The kinds of records that are in a session's journal.
    pub(super) async fn kinds(&self, session: &str) -> String {
        let entries = self.store.entries(&SessionId::new(session), 0, 1_000).await.unwrap();
        let kinds: Vec<&str> = entries.iter().map(|entry| entry.kind.as_str()).collect();
        kinds.join(" ")
    }
}

/// An order for the child session that is named like its goal.
pub(super) fn order(goal: &str) -> Order {
    Order {
        task: TaskId { session: SessionId::new("parent"), number: 1 },
        goal: goal.to_owned(),
        details: Details {
            child: SessionId::new(goal),
            by: By::Model,
            origin: Origin { prompt: MessageId::new("m7"), generation: 0 },
            mode: Mode::Bypass,
            depth: 1,
            context: None,
            toolsets: Vec::new(),
            model: None,
            output_schema: None,
            images: Vec::new(),
            continues: None,
            isolation: crate::tasks::Isolation::None,
        },
        begin: Begin::Fresh,
        tree: None,
        tasks: None,
    }
}

pub(super) struct Living {
    pub(super) child: Box<dyn Child>,
    pub(super) said: mpsc::Receiver<ChildSaid>,
    pub(super) prompt: Vec<Content>,
}

impl Living {
    pub(super) fn of(spawned: Spawned) -> Self {
        let Spawned { child, said, prompt } = spawned;
        Self { child, said, prompt }
    }

    pub(super) fn say(&self, text: &str) -> PromptId {
        self.child.prompt(vec![Content::text(text)])
    }

    /// What is said from now on, up to and with what begins with `last`; pieces of text are joined.
    pub(super) async fn hear(&mut self, last: &str) -> String {
        let mut lines: Vec<String> = Vec::new();
        let mut text = String::new();
        let heard = async {
            while let Some(said) = self.said.recv().await {
                if let ChildSaid::Text(piece) = said {
                    text.push_str(&piece);
                    if format!("text {text}").starts_with(last) {
                        break;
                    }
                    continue;
                }
                if !text.is_empty() {
                    lines.push(format!("text {}", std::mem::take(&mut text)));
                }
                let line = line(said);
                lines.push(line.clone());
                if line.starts_with(last) {
                    return;
                }
            }
        };
        let heard = tokio::time::timeout(Duration::from_secs(20), heard).await;
        if !text.is_empty() {
            lines.push(format!("text {text}"));
        }
        let lines = lines.join("\n");
        assert!(heard.is_ok(), "nothing more came behind\n{lines}");
        let end = lines.lines().last().unwrap_or_default();
        assert!(last == "the end" || end.starts_with(last), "it ended:\n{lines}");
        lines
    }
}

fn line(said: ChildSaid) -> String {
    match said {
        ChildSaid::Text(text) => format!("text {text}"),
        ChildSaid::Thinks => "thinks".to_owned(),
        ChildSaid::Call(update) => {
            format!("call {} {:?} {:?}", update.id, update.title, update.status)
        }
        ChildSaid::Plan(entries) => format!("plan {}", entries.len()),
        ChildSaid::Delivered(prompts) => format!("delivered {prompts:?}"),
        ChildSaid::Replied { text, usage, cost } => {
            format!("replied {:?} {}+{} {cost:?}", &*text, usage.input, usage.output)
        }
        ChildSaid::Ask(question) => format!("ask {} {}", question.id(), question.grant.key),
        ChildSaid::Withdraw(call) => format!("withdraw {call}"),
        ChildSaid::Answered { prompt, answer } => format!("answered {} {answer:?}", prompt.0),
    }
}
