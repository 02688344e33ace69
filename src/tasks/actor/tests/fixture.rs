//! An actor on an engine in a folder of its own, with sessions and children that do what a test says.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tempfile::TempDir;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::{DelegationSection, Secret, TasksSection};
use crate::event::{CallContent, CallStatus, CallUpdate, Question};
use crate::fault::Fault;
use crate::ids::{CallId, MessageId, PromptId, SessionId};
use crate::permission::{Answer, Grant, Mode};
use crate::redact::Mask;
use crate::store::{Opened, Settings, Store, StoreGuard};
use crate::tasks::actor::{Setup, start};
use crate::tasks::engine::{SqliteEngine, State};
use crate::tasks::{
    Attachment, Begin, By, Caller, Child, ChildSaid, Collected, NewTask, Order, Origin, Spawn,
    Spawned, Started, TaskCard, TaskError, TaskName, TaskReport, TaskSaid, TasksHandle, Wait,
    handle,
};
use crate::transcript::{Content, End, Usage};

pub(super) const SECRET: &str = "hunter2-hunter2";

/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(10);

/// What is done to a child.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Did {
    Prompted(String),
    Answered(CallId, Answer),
    Cancelled,
    Closed,
}

/// A child, as the test plays it.
pub(super) struct Born {
    pub(super) goal: String,
    pub(super) begin: Begin,
    /// Its session's tasks, where it may have some.
    pub(super) tasks: Option<TasksHandle>,
    pub(super) did: mpsc::Receiver<Did>,
    said: mpsc::Sender<ChildSaid>,
    prompts: u64,
}

struct Nursery {
    folder: PathBuf,
    store: Store,
    born: mpsc::Sender<Born>,
}

struct Fake {
    did: mpsc::Sender<Did>,
    said: mpsc::WeakSender<ChildSaid>,
    prompts: AtomicU64,
}

impl Spawn for Nursery {
    fn check(&self, task: &NewTask) -> Result<(), TaskError> {
        match task.toolsets.first() {
            None => Ok(()),
            Some(name) => Err(TaskError::Toolset { name: name.clone(), known: "none".to_owned() }),
        }
    }

    fn place(&self) -> crate::tasks::worktree::Place {
        let of = |name| self.folder.join(name);
        crate::tasks::worktree::Place::new(of("repository"), of("worktrees"))
    }

    fn spawn(&self, order: Order) -> BoxFuture<'_, Result<Spawned, Fault>> {
        async move {
            open(&self.store, &order.details.child);
            let ((said, heard), (doing, did)) = (mpsc::channel(64), mpsc::channel(64));
            let prompts = AtomicU64::new(0);
            let child = Fake { did: doing, said: said.downgrade(), prompts };
            let Order { goal, begin, tasks, .. } = order;
            let born = Born { goal: goal.clone(), begin, tasks, did, said, prompts: 0 };
            self.born.send(born).await.unwrap();
            let prompt = vec![Content::text(goal)];
            Ok(Spawned { child: Box::new(child), said: heard, prompt })
        }
        .boxed()
    }
}

impl Child for Fake {
    fn prompt(&self, content: Vec<Content>) -> PromptId {
        let prompt = self.prompts.fetch_add(1, Ordering::Relaxed) + 1;
        let [Content::Text { text }] = content.as_slice() else { panic!("{content:?}") };
        self.did.try_send(Did::Prompted(text.clone())).unwrap();
        PromptId(prompt)
    }

    fn answer(&self, call: CallId, answer: Answer) -> BoxFuture<'_, ()> {
        self.did.try_send(Did::Answered(call, answer)).unwrap();
        async {}.boxed()
    }

    fn cancel(&self) {
        drop(self.did.try_send(Did::Cancelled));
        let Some(said) = self.said.upgrade() else { return };
        for prompt in 1..=self.prompts.load(Ordering::Relaxed) {
            let answer = Ok(End::Cancelled);
            drop(said.try_send(ChildSaid::Answered { prompt: PromptId(prompt), answer }));
        }
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        drop(self.did.try_send(Did::Closed));
        async {}.boxed()
    }
}

impl Born {
    pub(super) async fn did(&mut self) -> Did {
        soon(self.did.recv()).await.expect("it is there")
    }

    pub(super) async fn is_prompted(&mut self) -> String {
        let did = self.did().await;
        let Did::Prompted(text) = did else { panic!("{did:?}") };
        self.prompts += 1;
        text
    }

    pub(super) async fn says(&self, said: ChildSaid) {
        self.said.send(said).await.unwrap();
    }

    pub(super) async fn replies(&self, text: &str, tokens: u64) {
        let usage = Usage { input: tokens, output: 0, cached: 0 };
        self.says(ChildSaid::Text(text.to_owned())).await;
        self.says(ChildSaid::Replied { text: text.into(), usage, cost: None }).await;
    }

    /// The turn on the last prompt ends.
    pub(super) async fn ends_turn(&self) {
        let (prompt, answer) = (PromptId(self.prompts), Ok(End::Finished));
        self.says(ChildSaid::Answered { prompt, answer }).await;
    }

    /// Everything up to the report.
    pub(super) async fn completes(mut self, text: &str) {
        self.is_prompted().await;
        self.replies(text, 10).await;
        self.ends_turn().await;
    }

    pub(super) async fn asks(&self, call: &str) {
        self.asks_about(call, "Edit x", None).await;
    }

    pub(super) async fn asks_about(&self, call: &str, title: &str, text: Option<&str>) {
        let text = text.map(|text| CallContent::Content(Content::text(text)));
        let grant = Grant { key: "edit".to_owned(), label: "edits".to_owned() };
        let call = CallUpdate {
            tool: Some("edit".to_owned()),
            title: Some(title.to_owned()),
            content: text.map(|text| vec![text]),
            ..CallUpdate::new(CallId::new(call)).with_status(CallStatus::Pending)
        };
        self.says(ChildSaid::Ask(Question::new(call, grant))).await;
    }
}

/// A folder that outlives processes.
pub(super) struct Home {
    folder: TempDir,
}

/// A process with a root session in it.
pub(super) struct House {
    pub(super) tasks: TasksHandle,
    pub(super) engine: SqliteEngine,
    pub(super) store: Store,
    pub(super) stop: CancellationToken,
    pub(super) said: mpsc::Receiver<Box<TaskSaid>>,
    spawn: Arc<Nursery>,
    born: mpsc::Receiver<Born>,
    tracker: TaskTracker,
    guard: Option<StoreGuard>,
}

/// What a root session knows when it attaches.
#[derive(Clone, Copy)]
pub(super) enum Knows {
    New,
    Reports(&'static [u64]),
}

impl Home {
    pub(super) fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    /// Makes the sessions' folder a repository with a commit.
    #[expect(clippy::disallowed_methods, reason = "the user's own git")]
    pub(super) fn has_repository(&self) {
        let repository = self.folder.path().join("repository");
        std::fs::create_dir(&repository).unwrap();
        for arguments in [&["init", "-q"][..], &["commit", "-q", "--allow-empty", "-m", "first"]] {
            let mut git = std::process::Command::new("git");
            git.args(["-c", "user.name=User", "-c", "user.email=user@localhost"]).args(arguments);
            assert!(git.current_dir(&repository).status().unwrap().success());
        }
    }

    /// A process in which nobody attached yet.
    pub(super) fn house(&self, delegation: DelegationSection) -> House {
        let folder = self.folder.path().to_owned();
        let (store, guard) = Store::start(Settings { folder, clock: Clock::real() });
        open(&store, &root());
        let engine = SqliteEngine::new(store.clone(), Clock::real());
        let (tasks, inbox) = handle(root());
        let (born, births) = mpsc::channel(64);
        let setup = Setup {
            engine: Arc::new(engine.clone()),
            clock: Clock::real(),
            slots: Arc::new(Semaphore::new(delegation.max_process as usize)),
            delegation,
            tasks: TasksSection::default(),
            mask: Arc::new(Mask::new(&[Secret::new(SECRET)])),
        };
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        start(inbox, setup, &tracker, stop.clone());
        let folder = self.folder.path().to_owned();
        let spawn = Arc::new(Nursery { folder, store: store.clone(), born });
        let (_, said) = mpsc::channel(1);
        House { tasks, engine, store, stop, said, spawn, born: births, tracker, guard: Some(guard) }
    }

    pub(super) async fn open(&self, delegation: DelegationSection) -> House {
        let mut house = self.house(delegation);
        house.attach(Knows::New, &[]).await;
        house
    }

    /// A process whose one task asks something.
    pub(super) async fn with_a_question(&self) -> (House, Born) {
        let mut house = self.open(limits(1, 1)).await;
        house.start(&["one"]).await;
        let mut child = house.born().await;
        child.is_prompted().await;
        child.asks("c1").await;
        let said = house.said().await;
        assert!(matches!(said, TaskSaid::Ask(_)), "{said:?}");
        (house, child)
    }

    /// A process that ends while its one task runs.
    pub(super) async fn dies_while_one_runs(&self) {
        let mut house = self.open(limits(1, 1)).await;
        house.start(&["one"]).await;
        let mut one = house.born().await;
        one.is_prompted().await;
        house.dies().await;
    }
}

impl House {
    pub(super) async fn attach(&mut self, knows: Knows, open_cards: &[&str]) {
        let (attachment, said) = self.attachment(knows, open_cards, 64);
        self.said = said;
        self.tasks.attach(attachment).await;
    }

    /// Of a session whose journal has the last card of the first task as final.
    pub(super) async fn attach_with_closed_card(&mut self, knows: Knows) {
        let (mut attachment, said) = self.attachment(knows, &[], 64);
        attachment.closed_cards.insert(CallId::new("task-t1"));
        self.said = said;
        self.tasks.attach(attachment).await;
    }

    /// Of a session that takes so much before it reads.
    pub(super) fn attachment(
        &self,
        knows: Knows,
        open_cards: &[&str],
        takes: usize,
    ) -> (Attachment, mpsc::Receiver<Box<TaskSaid>>) {
        let (said, heard) = mpsc::channel(takes);
        let (is_new, reported) = match knows {
            Knows::New => (true, BTreeSet::new()),
            Knows::Reports(numbers) => (false, numbers.iter().copied().collect()),
        };
        let open_cards = open_cards.iter().map(|id| CallId::new(*id)).collect();
        let past = crate::tasks::Past::default();
        let attachment = Attachment {
            said,
            spawn: self.spawn.clone(),
            is_new,
            reported,
            past,
            open_cards,
            closed_cards: BTreeSet::new(),
        };
        (attachment, heard)
    }

    pub(super) async fn start(&self, goals: &[&str]) -> Vec<Started> {
        start_in(&self.tasks, goals).await.unwrap()
    }

    pub(super) async fn born(&mut self) -> Born {
        soon(self.born.recv()).await.expect("the nursery is there")
    }

    pub(super) fn nobody_was_born(&mut self) -> bool {
        self.born.try_recv().is_err()
    }

    /// The next thing but cards.
    pub(super) async fn said(&mut self) -> TaskSaid {
        loop {
            let said = *soon(self.said.recv()).await.expect("the actor is there");
            if !matches!(said, TaskSaid::Card(_)) {
                return said;
            }
        }
    }

    pub(super) async fn report(&mut self) -> TaskReport {
        let said = self.said().await;
        let TaskSaid::Report(report) = said else { panic!("{said:?}") };
        report
    }

    /// The next card that is to be kept.
    pub(super) async fn card(&mut self) -> CallUpdate {
        loop {
            let said = *soon(self.said.recv()).await.expect("the actor is there");
            if let TaskSaid::Card(TaskCard { card, keep: true, .. }) = said {
                return card;
            }
        }
    }

    pub(super) async fn collect(&self, names: &[&str]) -> Vec<Collected> {
        collect(&self.tasks, names).await
    }

    /// Until a task is in this state.
    pub(super) async fn is(&self, name: &str, state: State) {
        let until = async {
            while self.tasks.check(&self::name(name), 0).await.unwrap().state != state {
                tokio::task::yield_now().await;
            }
        };
        soon(until).await;
    }

    /// From now on nothing is kept.
    pub(super) fn loses_its_store(&mut self) {
        drop(self.guard.take());
    }

    /// The process ends.
    pub(super) async fn dies(self) {
        soon(self.tasks.abandon()).await;
        self.tracker.close();
        soon(self.tracker.wait()).await;
    }
}

pub(super) async fn start_in(
    tasks: &TasksHandle,
    goals: &[&str],
) -> Result<Vec<Started>, TaskError> {
    tasks.start(caller(), goals.iter().map(|goal| new(goal)).collect()).await
}

pub(super) async fn collect(tasks: &TasksHandle, names: &[&str]) -> Vec<Collected> {
    let names = names.iter().map(|one| name(one)).collect();
    let mut waiting = tasks.wait(names, Wait::All).await.unwrap();
    soon(waiting.over()).await;
    soon(waiting.collect()).await
}

pub(super) fn new(goal: &str) -> NewTask {
    NewTask { goal: goal.to_owned(), ..NewTask::default() }
}

pub(super) fn name(text: &str) -> TaskName {
    text.parse().unwrap()
}

pub(super) fn root() -> SessionId {
    SessionId::new("s")
}

pub(super) fn caller() -> Caller {
    let origin = Origin { prompt: MessageId::new("m1"), generation: 0 };
    Caller { by: By::Model, origin, mode: Mode::Ask, key: SessionId::fresh().to_string() }
}

/// With so many slots, at this depth.
pub(super) fn limits(running: u32, depth: u32) -> DelegationSection {
    DelegationSection {
        max_concurrent_children: running,
        max_spawn_depth: depth,
        ..DelegationSection::default()
    }
}

pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future).await.expect("it takes too long")
}

fn open(store: &Store, session: &SessionId) {
    let opened = Opened {
        cwd: "/p".into(),
        additional: Vec::new(),
        version: "0".to_owned(),
        forked_from: None,
        parent: None,
    };
    // It stays as it is where it is there already.
    drop(store.create(session, opened, Arc::default()));
}
