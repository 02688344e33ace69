//! What the scenarios are written with: places and windows, tasks and messages in few words, and waiting
//! that ends.

use std::marker::PhantomData;
use std::path::Path;
use std::time::Duration;

use futures::StreamExt as _;
use serde_json::{Value, json};
use talaria::clock::Clock;
use talaria::ids::{SessionId, TaskId};
use talaria::tasks::engine::{
    Body, Checkpoint, Claimed, Content, Event, Events, Heard, Message, New, Outcome, Progress,
    Report, Spec, Status, TaskClient as _, TaskEngine, TaskWorker as _, Wanted,
};
use tempfile::TempDir;

/// Nothing here takes as long, unless it never comes.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where an engine keeps its tasks.
pub trait Place: 'static {
    type Engine: TaskEngine + Clone + 'static;
    /// Ends the engine's life in this process when it is dropped.
    type Guard;
    /// The module of the tests that run the scenarios on it.
    const TESTS: &'static str;

    /// An engine on this folder. Each is a window of its own, as if in its own process.
    fn open(folder: &Path, clock: Clock) -> (Self::Engine, Self::Guard);
}

/// A folder with tasks.
pub struct Bench<P> {
    folder: TempDir,
    place: PhantomData<P>,
}

/// An editor's window on the folder, as far as tasks are concerned.
pub struct Window<P: Place> {
    pub engine: P::Engine,
    /// Held for its end.
    _guard: P::Guard,
}

impl<P: Place> Bench<P> {
    pub fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), place: PhantomData }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn window(&self) -> Window<P> {
        Window::open(self.folder(), Clock::real())
    }

    /// A window whose clock shows something else.
    pub fn window_at(&self, clock: Clock) -> Window<P> {
        Window::open(self.folder(), clock)
    }
}

impl<P: Place> Window<P> {
    pub fn open(folder: &Path, clock: Clock) -> Self {
        let (engine, guard) = P::open(folder, clock);
        Self { engine, _guard: guard }
    }

    /// A new task of the session `s`.
    pub async fn submit(&self, key: &str) -> TaskId {
        let added = self.engine.submit(session(), 0, vec![new(key)]).await.unwrap();
        added.into_iter().next().unwrap().task
    }

    pub async fn claim(&self, task: &TaskId) -> Claimed {
        self.engine.claim(Wanted::Task(task.clone())).await.unwrap().unwrap()
    }

    /// A new task that this window runs.
    pub async fn running(&self, key: &str) -> Claimed {
        let task = self.submit(key).await;
        self.claim(&task).await
    }

    pub async fn status(&self, task: &TaskId) -> Status {
        self.engine.get(task.clone()).await.unwrap().status
    }

    /// All events up to now. They are numbered without a gap, and add up to the task's status.
    pub async fn history(&self, task: &TaskId) -> Vec<Event> {
        let status = self.status(task).await;
        let mut events = self.engine.events(task.clone(), 0);
        let mut history = Vec::new();
        while history.len() < usize::try_from(status.last).unwrap() {
            history.push(next_event(&mut events).await);
        }
        let numbers: Vec<u64> = history.iter().map(|event| event.seq).collect();
        assert_eq!(numbers, (1..=status.last).collect::<Vec<_>>());
        assert!(history.is_sorted_by_key(|event| event.at), "{history:?}");
        assert!(history.is_sorted_by_key(|event| event.epoch), "{history:?}");
        assert_eq!(Status::of(&history), status);
        history
    }

    /// The kinds of all events up to now, in short.
    pub async fn story(&self, task: &TaskId) -> String {
        let history = self.history(task).await;
        history.iter().map(|event| word(&event.body)).collect::<Vec<_>>().join(" ")
    }
}

/// The session of most scenarios.
pub fn session() -> SessionId {
    SessionId::new("s")
}

pub fn task(number: u64) -> TaskId {
    TaskId { session: session(), number }
}

pub fn new(key: &str) -> New {
    let spec = Spec { goal: format!("goal of {key}"), details: json!({ "of": key }) };
    New { key: key.to_owned(), spec }
}

pub fn steer(id: &str) -> Message {
    Message { id: id.to_owned(), content: Content::Steer { text: format!("text of {id}") } }
}

pub fn said(text: &str) -> Progress {
    Progress::Message { text: text.to_owned() }
}

pub fn checkpoint(state: &str, read: u64) -> Checkpoint {
    Checkpoint { state: state.to_owned(), read }
}

pub fn completed(text: &str) -> Outcome {
    Outcome::Completed { report: report(text) }
}

pub fn report(text: &str) -> Report {
    Report { text: text.to_owned(), details: Value::Null }
}

/// Waits for something that comes.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it comes in time")
}

/// The next event that is kept.
pub async fn next_event(events: &mut Events) -> Event {
    loop {
        match soon(events.next()).await.expect("there is another event").unwrap() {
            Heard::Event(event) => return event,
            Heard::Passing(_) => {}
        }
    }
}

/// All events until the stream ends.
pub async fn rest(events: Events) -> Vec<Event> {
    let heard: Vec<_> = soon(events.collect()).await;
    let kept = heard.into_iter().filter_map(|heard| match heard.unwrap() {
        Heard::Event(event) => Some(event),
        Heard::Passing(_) => None,
    });
    kept.collect()
}

/// An event in one word.
pub fn word(body: &Body) -> String {
    match body {
        Body::Queued => "queued".to_owned(),
        Body::Started { .. } => "started".to_owned(),
        Body::Progress { progress: Progress::Message { text } } => format!("said:{text}"),
        Body::Progress { progress: Progress::NeedsInput { .. } } => "asked".to_owned(),
        Body::Progress { .. } => "progress".to_owned(),
        Body::Received { id, position } => format!("received:{id}@{position}"),
        Body::CancelRequested { reason } => format!("cancel:{reason}"),
        Body::Checkpoint { checkpoint } => format!("at:{}@{}", checkpoint.state, checkpoint.read),
        Body::AttemptLost => "lost".to_owned(),
        Body::Ended { outcome, .. } => outcome.state().to_string(),
        Body::Unknown => "unknown".to_owned(),
    }
}
