//! The tools on real tasks, whose children do what their goals say.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::clock::Clock;
use crate::fault::Fault;
use crate::ids::{CallId, PromptId};
use crate::permission::Answer;
use crate::redact::Mask;
use crate::tasks::engine::MemoryEngine;
use crate::tasks::{
    Attachment, Child, ChildSaid, NewTask, Order, Setup, Spawn, Spawned, TaskError, TaskName,
    TaskSaid, start,
};
use crate::tools::{Place, Ran};
use crate::transcript::{Content, End, Usage};

/// Children that report at once, with their goal, unless that is to wait.
struct Nursery;

struct Fake {
    said: mpsc::Sender<ChildSaid>,
    prompts: AtomicU64,
    waits: Mutex<Vec<PromptId>>,
}

impl Spawn for Nursery {
    fn check(&self, task: &NewTask) -> Result<(), TaskError> {
        match task.toolsets.first() {
            Some(name) => {
                Err(TaskError::Toolset { name: name.clone(), known: "`read`".to_owned() })
            }
            None => Ok(()),
        }
    }

    fn place(&self) -> crate::tasks::worktree::Place {
        crate::tasks::worktree::Place::new("/nowhere".into(), "/nowhere/worktrees".into())
    }

    fn spawn(&self, order: Order) -> BoxFuture<'_, Result<Spawned, Fault>> {
        let (said, heard) = mpsc::channel(64);
        let child = Fake { said, prompts: AtomicU64::new(0), waits: Mutex::default() };
        let prompt = vec![Content::text(order.goal)];
        let spawned = Spawned { child: Box::new(child), said: heard, prompt };
        Box::pin(async { Ok(spawned) })
    }
}

impl Fake {
    fn answers(&self, prompt: PromptId, end: End) {
        self.said.try_send(ChildSaid::Answered { prompt, answer: Ok(end) }).unwrap();
    }
}

impl Child for Fake {
    fn prompt(&self, content: Vec<Content>) -> PromptId {
        let prompt = PromptId(self.prompts.fetch_add(1, Ordering::Relaxed) + 1);
        let text = match content.as_slice() {
            [Content::Text { text }] => text.clone(),
            other => panic!("{other:?}"),
        };
        if text == "wait" {
            self.said.try_send(ChildSaid::Text("so far\n".to_owned())).unwrap();
            self.waits.lock().unwrap().push(prompt);
            return prompt;
        }
        let usage = Usage { input: 100, output: 10, cached: 0 };
        let text = format!("Report: {text}").as_str().into();
        self.said.try_send(ChildSaid::Replied { text, usage, cost: None }).unwrap();
        self.answers(prompt, End::Finished);
        prompt
    }

    fn answer(&self, _call: CallId, _answer: Answer) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn cancel(&self) {
        for prompt in std::mem::take(&mut *self.waits.lock().unwrap()) {
            self.answers(prompt, End::Cancelled);
        }
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// A session with tasks, and calls in it.
struct Live {
    tasks: TasksHandle,
    heard: mpsc::Receiver<Box<TaskSaid>>,
    stop: CancellationToken,
    tracker: TaskTracker,
    places: Places,
    calls: u32,
}

impl Live {
    async fn new() -> Self {
        let (tasks, inbox) = handle(SessionId::new("s"));
        let setup = Setup {
            engine: Arc::new(MemoryEngine::new(Clock::real())),
            clock: Clock::real(),
            delegation: DelegationSection {
                max_concurrent_children: 2,
                ..DelegationSection::default()
            },
            tasks: TasksSection { max_per_prompt: 6, ..TasksSection::default() },
            slots: Arc::new(Semaphore::new(64)),
            mask: Arc::new(Mask::new(&[])),
        };
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        start(inbox, setup, &tracker, stop.clone());
        let (said, heard) = mpsc::channel(1024);
        let attachment = Attachment {
            said,
            spawn: Arc::new(Nursery),
            is_new: true,
            past: crate::tasks::Past::default(),
            reported: std::collections::BTreeSet::new(),
            open_cards: std::collections::BTreeSet::new(),
            closed_cards: std::collections::BTreeSet::new(),
        };
        tasks.attach(attachment).await;
        Self { tasks, heard, stop, tracker, places: Places::default(), calls: 0 }
    }

    /// What the next call is given.
    fn desk(&mut self) -> Desk {
        self.calls += 1;
        let mut desk = Desk::new();
        let origin = Origin { prompt: MessageId::new("m1"), generation: 0 };
        let key = format!("c{}", self.calls);
        let caller = Caller { by: By::Model, origin, mode: Mode::Ask, key };
        desk.context.tasks = Some(Door { tasks: self.tasks.clone(), caller });
        desk.context.place = Some(self.places.give()) as Option<Place>;
        desk
    }

    async fn call(&mut self, tool: &str, input: Value) -> Ran {
        let desk = self.desk();
        desk.run(&*toolbox().get(tool).unwrap(), &input).await
    }

    /// The task has said something.
    async fn speaks(&self, task: u64) {
        let task = TaskName::of(task);
        while self.tasks.check(&task, 1).await.unwrap().lines.is_empty() {
            tokio::task::yield_now().await;
        }
    }

    async fn end(mut self) {
        self.tasks.close().await;
        self.heard.close();
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// The outcome without what differs from run to run.
fn told(ran: &Ran) -> String {
    let mut text = ran.outcome.text();
    if let Ok(mut json) = serde_json::from_str::<Value>(&text) {
        assert_eq!(ran.output.as_ref(), Some(&json));
        still(&mut json);
        text = json.to_string();
    }
    format!("{text} gave {:?}{}", ran.gave, if ran.has_cards { ", has cards" } else { "" })
}

fn still(json: &mut Value) {
    match json {
        Value::Array(items) => items.iter_mut().for_each(still),
        Value::Object(map) => {
            map.retain(|name, _| !name.ends_with("_seconds"));
            map.values_mut().for_each(still);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn tasks_are_started_waited_for_and_collected() {
    let mut live = Live::new().await;
    let mut text = String::new();
    for (tool, input) in [
        ("delegate_task", json!({"tasks": ["a", "b", "c"]})),
        ("delegate_task_async", json!({"tasks": ["wait", "wait", "d"]})),
        ("delegate_task_async", json!({"goal": "one too many"})),
        ("delegate_task_async", json!({"goal": "a", "toolsets": "web"})),
        ("collect_task", json!({"task_ids": [1, 3]})),
        ("collect_task", json!({"task_ids": "t4, t6, t2", "wait": "any"})),
        ("collect_task", json!({"task_id": "t4", "timeout": 0})),
        ("collect_task", json!({"task_id": "t7"})),
        ("cancel_task", json!({"task_id": "t4", "reason": "late"})),
        ("cancel_task", json!({"task_id": "t4"})),
        ("collect_task", json!({"task_id": "t6"})),
        ("steer_task", json!({"task_id": "t6", "message": "go on"})),
        ("check_task", json!({"task_id": "t6"})),
        ("list_tasks", json!({"state": "running"})),
    ] {
        writeln!(text, "{}", told(&live.call(tool, input).await)).unwrap();
        if live.calls == 2 {
            live.speaks(4).await;
        }
    }
    live.end().await;
    expect![[r#"
        {"tasks":[{"task_id":"t1","goal":"a","state":"completed","report":"Report: a","tokens":110},{"task_id":"t2","goal":"b","state":"completed","report":"Report: b","tokens":110},{"task_id":"t3","goal":"c","state":"completed","report":"Report: c","tokens":110}]} gave [1, 2, 3], has cards
        {"tasks":[{"task_id":"t4","state":"running"},{"task_id":"t5","state":"running"},{"task_id":"t6","state":"queued","place":1}]} gave [], has cards
        error: this prompt has led to 6 tasks and 1 more would be above `tasks.max_per_prompt` (6); none was started: go on with what there is, or let the user ask again gave []
        error: there is no toolset `web`; there are `read` gave []
        {"tasks":[{"task_id":"t1","goal":"a","state":"completed","report":"Report: a","tokens":110},{"task_id":"t3","goal":"c","state":"completed","report":"Report: c","tokens":110}]} gave [1, 3]
        {"tasks":[{"task_id":"t4","goal":"wait","state":"running","partial":"so far","tokens":0},{"task_id":"t6","goal":"d","state":"queued","place":1,"tokens":0},{"task_id":"t2","goal":"b","state":"completed","report":"Report: b","tokens":110}],"note":"t4, t6 go on in the background, and their reports will come by themselves"} gave [2]
        {"tasks":[{"task_id":"t4","goal":"wait","state":"running","partial":"so far","tokens":0}],"note":"the time is over; t4 goes on in the background, and its report will come by itself"} gave []
        error: there is no task `t7` in this session; `list_tasks` or `/tasks` lists those that are gave []
        {"task_id":"t4","state":"cancelled","partial":"so far"} gave []
        {"task_id":"t4","state":"cancelled","partial":"so far"} gave []
        {"tasks":[{"task_id":"t6","goal":"d","state":"completed","report":"Report: d","tokens":110}]} gave [6]
        {"task_id":"t6","receipt":"missed","state":"completed"} gave []
        {"task_id":"t6","goal":"d","state":"completed","steps":1,"calls":0,"tokens":110,"lines":["Report: d"]} gave []
        {"tasks":[{"task_id":"t5","goal":"wait","state":"running","tokens":0}]} gave []
    "#]].assert_eq(&text);
}

#[tokio::test]
async fn a_user_who_speaks_ends_the_wait_and_not_the_tasks() {
    let mut live = Live::new().await;
    let tool = toolbox().get("delegate_task").unwrap();
    let desk = live.desk();
    let input = json!({"tasks": ["wait", "a"]});
    let mut delegated = Box::pin(desk.run(&*tool, &input));
    assert!((&mut delegated).now_or_never().is_none());
    desk.context.attention.cancel();
    let ran = delegated.await;
    let mut text = ran.outcome.text();
    assert!(ran.has_cards && text.contains("the user has written to you"), "{text}");
    assert!(text.contains("go on in the background") || text.contains("t1 goes on"), "{text}");
    live.speaks(1).await;
    text = told(&live.call("collect_task", json!({"task_ids": ["t1", "t2"], "wait": "any"})).await);
    live.end().await;
    expect![[r#"{"tasks":[{"task_id":"t1","goal":"wait","state":"running","partial":"so far","tokens":0},{"task_id":"t2","goal":"a","state":"completed","report":"Report: a","tokens":110}],"note":"t1 goes on in the background, and its report will come by itself"} gave [2]"#]].assert_eq(&text);
}

#[tokio::test]
async fn a_cancelled_turn_takes_the_tasks_that_it_waits_for_with_it() {
    let mut live = Live::new().await;
    live.call("delegate_task_async", json!({"goal": "wait"})).await;
    let mut text = String::new();
    for (tool, input) in [
        ("delegate_task", json!({"tasks": ["wait", "wait"]})),
        ("collect_task", json!({"task_id": "t1"})),
    ] {
        let desk = live.desk();
        let tool = toolbox().get(tool).unwrap();
        let mut waits = Box::pin(desk.run(&*tool, &input));
        assert!((&mut waits).now_or_never().is_none());
        while live.tasks.list(None).await.unwrap().len() < 3 {
            assert!((&mut waits).now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        desk.context.cancel.cancel();
        let ran = waits.await;
        assert!(matches!(ran.outcome, Outcome::Cancelled { .. }));
        writeln!(text, "{}", told(&ran)).unwrap();
    }
    for task in live.tasks.list(None).await.unwrap() {
        writeln!(text, "{} {}", task.task_id, task.state).unwrap();
    }
    live.end().await;
    expect![[r#"
        cancelled: the turn was cancelled, and with it t2, t3 gave [], has cards
        cancelled: the turn was cancelled while it waited; the tasks go on gave []
        t3 cancelled
        t2 cancelled
        t1 running
    "#]]
    .assert_eq(&text);
}

#[tokio::test]
async fn tasks_have_the_numbers_of_their_calls() {
    let mut live = Live::new().await;
    let tool = toolbox().get("delegate_task_async").unwrap();
    let desks = [live.desk(), live.desk(), live.desk()];
    let input = json!({"goal": "wait"});
    // The last call runs first.
    let runs = desks.iter().rev().map(|desk| desk.run(&*tool, &input));
    let outcomes = futures::future::join_all(runs).await;
    let ids: Vec<&Value> = outcomes
        .iter()
        .map(|ran| ran.output.as_ref().unwrap().pointer("/tasks/0/task_id").unwrap())
        .collect();
    assert_eq!(ids, ["t3", "t2", "t1"]);
    live.end().await;
}
