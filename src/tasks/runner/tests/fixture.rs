//! A runner with a child that does what the test says, on an engine in a folder of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::super::{Job, Pulse, RunnerOrder, RunnerSaid, run};
use crate::clock::Clock;
use crate::config::{DelegationSection, Secret};
use crate::event::{CallContent, CallStatus, CallUpdate, Question};
use crate::fault::{Fault, Kind};
use crate::ids::{CallId, MessageId, PromptId, SessionId, TaskId};
use crate::permission::{Answer, Grant, Mode};
use crate::redact::Mask;
use crate::store::{Opened, Settings, Store, StoreGuard};
use crate::tasks::engine::{
    Body, Events, Heard, New, Outcome, Progress, Receipt, Spec, SqliteEngine, TaskClient as _,
    TaskEngine,
};
use crate::tasks::{
    Begin, By, Child, ChildSaid, Details, NewTask, Order, Origin, Spawn, Spawned, TaskError,
    TaskName, TasksHandle,
};
use crate::transcript::{Content, End, Usage};

pub(super) const SECRET: &str = "hunter2-hunter2";

/// What is done to a child.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Did {
    Spawned(Begin),
    Prompted(PromptId, String),
    Answered(CallId, Answer),
    Cancelled,
    Closed,
}

/// How a child comes to life, and how it takes a cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    Obeys,
    /// It answers nothing when it is cancelled, and closes when the test opens the gate.
    IsStubborn,
    IsNot,
    Panics,
    /// It is never there.
    Hangs,
}

struct Nursery {
    nature: Nature,
    gate: Arc<Semaphore>,
    did: mpsc::Sender<Did>,
    life: mpsc::Sender<mpsc::Sender<ChildSaid>>,
}

struct Fake {
    nature: Nature,
    gate: Arc<Semaphore>,
    did: mpsc::Sender<Did>,
    said: mpsc::WeakSender<ChildSaid>,
    prompts: AtomicU64,
}

impl Spawn for Nursery {
    fn check(&self, _task: &NewTask) -> Result<(), TaskError> {
        Ok(())
    }

    fn place(&self) -> crate::tasks::worktree::Place {
        crate::tasks::worktree::Place::new("/nowhere".into(), "/nowhere/worktrees".into())
    }

    fn spawn(&self, order: Order) -> BoxFuture<'_, Result<Spawned, Fault>> {
        async move {
            self.did.send(Did::Spawned(order.begin)).await.unwrap();
            match self.nature {
                Nature::Obeys | Nature::IsStubborn => {}
                Nature::IsNot => return Err(Fault::new(Kind::User, "there is no such model")),
                Nature::Panics => panic!("as the test wants it"),
                Nature::Hangs => std::future::pending().await,
            }
            let (said, heard) = mpsc::channel(64);
            let child = Fake {
                nature: self.nature,
                gate: self.gate.clone(),
                did: self.did.clone(),
                said: said.downgrade(),
                prompts: AtomicU64::new(0),
            };
            self.life.send(said).await.unwrap();
            let prompt = vec![Content::text(order.goal)];
            Ok(Spawned { child: Box::new(child), said: heard, prompt })
        }
        .boxed()
    }
}

impl Fake {
    fn did(&self, did: Did) {
        self.did.try_send(did).unwrap();
    }
}

impl Child for Fake {
    fn prompt(&self, content: Vec<Content>) -> PromptId {
        let prompt = PromptId(self.prompts.fetch_add(1, Ordering::Relaxed) + 1);
        let [Content::Text { text }] = content.as_slice() else { panic!("{content:?}") };
        self.did(Did::Prompted(prompt, text.clone()));
        prompt
    }

    fn answer(&self, call: CallId, answer: Answer) -> BoxFuture<'_, ()> {
        self.did(Did::Answered(call, answer));
        async {}.boxed()
    }

    fn cancel(&self) {
        self.did(Did::Cancelled);
        let said = self.said.upgrade().filter(|_| self.nature == Nature::Obeys);
        let Some(said) = said else { return };
        for prompt in 1..=self.prompts.load(Ordering::Relaxed) {
            let answer = Ok(End::Cancelled);
            said.try_send(ChildSaid::Answered { prompt: PromptId(prompt), answer }).unwrap();
        }
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {
            if self.nature == Nature::IsStubborn {
                drop(self.gate.acquire().await);
            }
            self.did(Did::Closed);
        }
        .boxed()
    }
}

/// A folder with a task in it.
pub(super) struct Home {
    folder: TempDir,
    pub(super) task: TaskId,
}

impl Home {
    pub(super) async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let task = TaskId { session: SessionId::new("s"), number: 1 };
        let home = Self { folder, task };
        let (engine, guard) = home.engine();
        let spec = Spec { goal: "the goal".to_owned(), details: json!(null) };
        let new = New { key: "k".to_owned(), spec };
        engine.submit(home.task.session.clone(), 0, vec![new]).await.unwrap();
        drop(guard);
        home
    }

    pub(super) fn engine(&self) -> (SqliteEngine, StoreGuard) {
        let folder = self.folder.path().to_owned();
        let cwd = folder.clone();
        let (store, guard) = Store::start(Settings { folder, clock: Clock::real() });
        let opened = Opened {
            cwd,
            additional: Vec::new(),
            version: "0".to_owned(),
            forked_from: None,
            parent: None,
        };
        // It stays as it is where it is there already.
        drop(store.create(&self.task.session, opened, Arc::default()));
        (SqliteEngine::new(store, Clock::real()), guard)
    }
}

/// What is special about a run.
pub(super) struct Wish {
    pub(super) nature: Nature,
    pub(super) delegation: DelegationSection,
    pub(super) output_schema: Option<serde_json::Value>,
    pub(super) tasks: Option<TasksHandle>,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            nature: Nature::Obeys,
            delegation: DelegationSection::default(),
            output_schema: None,
            tasks: None,
        }
    }
}

/// A runner at work.
pub(super) struct Run {
    pub(super) engine: Arc<dyn TaskEngine>,
    pub(super) task: TaskId,
    pub(super) orders: mpsc::Sender<RunnerOrder>,
    pub(super) pulse: watch::Receiver<Pulse>,
    pub(super) gate: Arc<Semaphore>,
    said: mpsc::Receiver<(TaskId, Box<RunnerSaid>)>,
    did: mpsc::Receiver<Did>,
    life: mpsc::Receiver<mpsc::Sender<ChildSaid>>,
    child: Option<mpsc::Sender<ChildSaid>>,
    runner: JoinSet<()>,
}

impl Run {
    pub(super) fn start(home: &Home, engine: Arc<dyn TaskEngine>, wish: Wish) -> Self {
        let (orders, taken) = mpsc::channel(64);
        let (saying, said) = mpsc::channel(64);
        let (doing, did) = mpsc::channel(64);
        let (living, life) = mpsc::channel(1);
        let (beats, pulse) = watch::channel(Pulse::default());
        let gate = Arc::new(Semaphore::new(0));
        let details = Details {
            child: SessionId::new("child"),
            by: By::Model,
            origin: Origin { prompt: MessageId::new("m1"), generation: 0 },
            mode: Mode::Ask,
            depth: 1,
            context: None,
            toolsets: Vec::new(),
            model: None,
            output_schema: wish.output_schema,
            images: Vec::new(),
            continues: None,
            isolation: crate::tasks::Isolation::None,
        };
        let job = Job {
            task: home.task.clone(),
            name: TaskName::of(1),
            goal: "the goal".to_owned(),
            details,
            spawn: Arc::new(Nursery {
                nature: wish.nature,
                gate: gate.clone(),
                did: doing,
                life: living,
            }),
            engine: engine.clone(),
            clock: Clock::real(),
            mask: Arc::new(Mask::new(&[Secret::new(SECRET)])),
            delegation: wish.delegation,
            tasks: wish.tasks,
            orders: taken,
            said: saying,
            pulse: beats,
        };
        let mut runner = JoinSet::new();
        runner.spawn(run(job));
        let task = home.task.clone();
        Self { engine, task, orders, pulse, gate, said, did, life, child: None, runner }
    }

    /// The same, up to the first prompt.
    pub(super) async fn begin(home: &Home, engine: Arc<dyn TaskEngine>, wish: Wish) -> Self {
        let mut run = Self::start(home, engine, wish);
        assert!(matches!(run.said().await, RunnerSaid::Began { attempt: 1 }));
        assert_eq!(run.did().await, Did::Spawned(Begin::Fresh));
        assert_eq!(run.did().await, Did::Prompted(PromptId(1), "the goal".to_owned()));
        run
    }

    pub(super) async fn said(&mut self) -> RunnerSaid {
        *self.said.recv().await.unwrap().1
    }

    pub(super) async fn did(&mut self) -> Did {
        self.did.recv().await.unwrap()
    }

    /// The child says something.
    pub(super) async fn says(&mut self, said: ChildSaid) {
        if self.child.is_none() {
            self.child = self.life.recv().await;
        }
        let child = self.child.as_ref().unwrap();
        child.send(said).await.unwrap();
    }

    /// The child's model replies.
    pub(super) async fn replies(&mut self, text: &str, tokens: u64) {
        if !text.is_empty() {
            self.says(ChildSaid::Text(text.to_owned())).await;
        }
        let usage = Usage { input: tokens, output: 0, cached: 0 };
        let cost = (tokens > 0).then_some(0.25);
        self.says(ChildSaid::Replied { text: text.into(), usage, cost }).await;
        let said = self.said().await;
        assert!(matches!(said, RunnerSaid::Spent { tokens: spent } if spent == tokens), "{said:?}");
    }

    pub(super) async fn answers(&mut self, prompt: u64, answer: Result<End, Fault>) {
        self.says(ChildSaid::Answered { prompt: PromptId(prompt), answer }).await;
    }

    /// The child is gone without a word.
    pub(super) async fn dies(&mut self) {
        self.life.recv().await.unwrap();
    }

    pub(super) async fn order(&self, order: RunnerOrder) {
        self.orders.send(order).await.unwrap();
    }

    /// It has taken all orders: they come another way than what the child says, and may come behind it.
    pub(super) async fn has_heard(&self) {
        while self.orders.capacity() < self.orders.max_capacity() {
            tokio::task::yield_now().await;
        }
    }

    pub(super) async fn steer(&self, text: &str) -> Result<Receipt, TaskError> {
        let (reply, receipt) = oneshot::channel();
        self.order(RunnerOrder::Steer { text: text.to_owned(), reply }).await;
        receipt.await.unwrap()
    }

    /// How it ended; the child was closed by then.
    pub(super) async fn ended(mut self) -> Outcome {
        let said = self.said().await;
        let RunnerSaid::Ended { state, outcome } = said else { panic!("{said:?}") };
        assert_eq!(state, outcome.state());
        self.over().await;
        outcome
    }

    /// It returns, and has said nothing more.
    pub(super) async fn over(&mut self) {
        self.runner.join_next().await.unwrap().unwrap();
        assert!(self.said.recv().await.is_none());
    }

    /// What the engine knows of what happened.
    pub(super) async fn progress(&self) -> Vec<Progress> {
        use futures::StreamExt as _;
        let last = self.engine.get(self.task.clone()).await.unwrap().status.last;
        let events: Events = self.engine.events(self.task.clone(), 0);
        let heard: Vec<Heard> =
            events.take(usize::try_from(last).unwrap()).map(Result::unwrap).collect().await;
        let progress = |heard| {
            let Heard::Event(event) = heard else { return None };
            if let Body::Progress { progress } = event.body { Some(progress) } else { None }
        };
        heard.into_iter().filter_map(progress).collect()
    }
}

pub(super) fn call(id: &str, status: CallStatus) -> CallUpdate {
    CallUpdate {
        tool: Some("edit".to_owned()),
        title: Some("Edit x".to_owned()),
        content: Some(vec![CallContent::Diff {
            path: "/p/x".into(),
            old: None,
            new: "new".to_owned(),
        }]),
        ..CallUpdate::new(CallId::new(id)).with_status(status)
    }
}

pub(super) fn question(id: &str) -> Question {
    let grant = Grant { key: "edit".to_owned(), label: "edits".to_owned() };
    Question::new(call(id, CallStatus::Pending), grant)
}
