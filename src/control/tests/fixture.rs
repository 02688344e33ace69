//! Open sessions with tasks in memory; their children end when a test lets them.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, Timestamp};
use crate::config::{DelegationSection, Folders, TasksSection};
use crate::control::{About, CallError, Table};
use crate::fault::Fault;
use crate::ids::{CallId, PromptId, SessionId};
use crate::permission::Answer;
use crate::redact::Mask;
use crate::session::LiveSettings;
use crate::session::directory::{Directory, Listed, OpenSession};
use crate::tasks::engine::MemoryEngine;
use crate::tasks::worktree::Place;
use crate::tasks::{
    Attachment, Child, ChildSaid, NewTask, Order, Past, Setup, Spawn, Spawned, TaskError, TaskSaid,
    TasksHandle, handle, start,
};
use crate::transcript::{Content, End, Usage};

/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(20);

/// A child that lives, as the test plays it.
pub(super) struct Born(mpsc::Sender<ChildSaid>);

impl Born {
    pub(super) async fn says(&self, text: &str) {
        self.0.send(ChildSaid::Text(text.to_owned())).await.unwrap();
    }

    /// It reports, and ends.
    pub(super) async fn completes(self, text: &str) {
        let usage = Usage { input: 10, output: 0, cached: 0 };
        let reply = ChildSaid::Replied { text: text.into(), usage, cost: None };
        let answer = Ok(End::Finished);
        for said in [reply, ChildSaid::Answered { prompt: PromptId(1), answer }] {
            self.0.send(said).await.unwrap();
        }
    }
}

struct Nursery(mpsc::Sender<Born>);

struct Fake(mpsc::WeakSender<ChildSaid>);

impl Spawn for Nursery {
    fn check(&self, task: &NewTask) -> Result<(), TaskError> {
        assert!(task.goal != "panic", "a defect");
        Ok(())
    }

    fn place(&self) -> Place {
        Place::new("/nowhere".into(), "/nowhere/worktrees".into())
    }

    fn spawn(&self, order: Order) -> BoxFuture<'_, Result<Spawned, Fault>> {
        async move {
            let (said, heard) = mpsc::channel(64);
            let child = Box::new(Fake(said.downgrade()));
            self.0.send(Born(said)).await.unwrap();
            Ok(Spawned { child, said: heard, prompt: vec![Content::text(order.goal)] })
        }
        .boxed()
    }
}

impl Child for Fake {
    fn prompt(&self, _content: Vec<Content>) -> PromptId {
        PromptId(1)
    }

    fn answer(&self, _call: CallId, _answer: Answer) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }

    fn cancel(&self) {
        let Some(said) = self.0.upgrade() else { return };
        let answer = Ok(End::Cancelled);
        drop(said.try_send(ChildSaid::Answered { prompt: PromptId(1), answer }));
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}

/// A session that is open.
pub(super) struct Session {
    pub(super) tasks: TasksHandle,
    born: mpsc::Receiver<Born>,
    _said: mpsc::Receiver<Box<TaskSaid>>,
    _listed: Listed,
}

impl Session {
    pub(super) async fn born(&mut self) -> Born {
        soon(self.born.recv()).await.unwrap()
    }
}

/// A process with sessions.
pub(super) struct World {
    pub(super) folder: TempDir,
    pub(super) directory: Directory,
    pub(super) tracker: TaskTracker,
    pub(super) stop: CancellationToken,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
            directory: Directory::default(),
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    pub(super) fn folders(&self) -> Folders {
        let of = |name: &str| self.folder.path().join(name);
        Folders { config: of("config"), state: of("state"), run: of("run") }
    }

    pub(super) fn table(&self) -> Table {
        let client: OnceLock<String> = OnceLock::from("an editor".to_owned());
        Table::new(self.directory.clone(), About { version: "1.2.3", client: Arc::new(client) })
    }

    /// Opens a session that works in the world's folder.
    pub(super) async fn open(&self, id: &str) -> Session {
        let id = SessionId::new(id);
        let (tasks, inbox) = handle(id.clone());
        let delegation = DelegationSection { max_concurrent_children: 2, ..Default::default() };
        let clock = Clock::real();
        let setup = Setup {
            engine: Arc::new(MemoryEngine::new(clock.clone())),
            clock,
            slots: Arc::new(Semaphore::new(64)),
            delegation,
            tasks: TasksSection::default(),
            mask: Arc::new(Mask::new(&[])),
        };
        start(inbox, setup, &self.tracker, self.stop.clone());
        let ((said, heard), (birth, born)) = (mpsc::channel(1_024), mpsc::channel(64));
        let attachment = Attachment {
            said,
            spawn: Arc::new(Nursery(birth)),
            is_new: true,
            reported: BTreeSet::new(),
            past: Past::default(),
            open_cards: BTreeSet::new(),
            closed_cards: BTreeSet::new(),
        };
        tasks.attach(attachment).await;
        let listed = self.directory.list(OpenSession {
            id,
            cwd: self.folder.path().to_owned(),
            additional: Vec::new(),
            tasks: Some(tasks.clone()),
            settings: LiveSettings::default(),
            used: Timestamp(7),
        });
        Session { tasks, born, _said: heard, _listed: listed }
    }
}

/// A call as the connection of the client makes it.
pub(super) async fn call(table: &Table, method: &str, params: Value) -> Result<Value, CallError> {
    soon(table.call(method, params)).await
}

pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future).await.expect("it takes too long")
}
