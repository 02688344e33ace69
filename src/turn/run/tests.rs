//! What a panic in a turn costs, and how calls wait until they may begin.

mod attention;
mod order;

use expect_test::{Expect, expect};
use futures::future::BoxFuture;
use std::path::Path;

use super::*;
use crate::config;
use crate::event::ThoughtLevel;
use crate::ids::{IdSource, MessageId, PromptId};
use crate::model::catalog;
use crate::model::provider::HttpClient;
use crate::permission::Mode;
use crate::tools::ToolSettings;
use crate::tools::host::{Command, Finished, HostError, Watch};
use crate::transcript::{Author, Content, Prompt};

/// A host with a defect.
struct Broken;

impl Host for Broken {
    fn read_text<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, Result<String, HostError>> {
        panic!("a defect, on purpose: {}", path.display())
    }

    fn write_text<'a>(
        &'a self,
        path: &'a Path,
        _text: &'a str,
    ) -> BoxFuture<'a, Result<(), HostError>> {
        panic!("a defect, on purpose: {}", path.display())
    }

    fn run<'a>(
        &'a self,
        _command: Command,
        _watch: Watch<'a>,
    ) -> BoxFuture<'a, Result<Finished, HostError>> {
        Box::pin(async { panic!("a defect, on purpose") })
    }
}

/// What a session does with a call that waits to begin.
#[derive(Clone, Copy)]
enum Begin {
    Lets,
    Refuses,
    /// It cancels the turn instead of an answer.
    Cancels,
}

/// A turn that runs on a broken host, and what has to live as long.
struct Told {
    turn: Running,
    tasks: TaskTracker,
    _settings: watch::Sender<Settings>,
    _folder: tempfile::TempDir,
}

fn prompt(id: u64, from: Author) -> Prompt {
    let content = vec![Content::text("go")];
    Prompt { id: PromptId(id), message: MessageId::new(format!("m{id}")), content, from }
}

fn begin(script: &str, toolbox: Toolbox) -> Told {
    begin_of(false, script, toolbox)
}

fn begin_of(is_task: bool, script: &str, toolbox: Toolbox) -> Told {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.script");
    std::fs::write(&path, script).unwrap();
    let mut config = Config::default();
    config.model.name = Some(format!("scripted:{}", path.display()));
    let choice =
        catalog::resolve(&config, &config::Environment::default(), &HttpClient::start()).unwrap();
    let environment = Environment {
        config: Arc::new(config),
        roots: Arc::new(Roots::new(folder.path().to_owned(), &[])),
        host: Arc::new(Broken),
        toolbox,
        policy: Arc::new(Policy::default()),
        cache_key: String::new(),
        system: OnceCell::new_with(Some("system".into())),
        tasks: None,
    };
    let settings = Settings {
        mode: Mode::Bypass,
        rules: Arc::default(),
        choice: Arc::new(choice),
        thought: ThoughtLevel::Auto,
    };
    let start = Start {
        cap: None,
        prompt: prompt(1, Author::User),
        history: Vec::new(),
        ids: IdSource::default(),
        origin: crate::tasks::Origin { prompt: crate::ids::MessageId::new("m1"), generation: 0 },
        steered: Vec::new(),
        is_task,
    };
    let (settings_kept, settings) = watch::channel(settings);
    let tasks = TaskTracker::new();
    let turn = spawn(Arc::new(environment), start, settings, Arc::default(), &tasks);
    Told { turn, tasks, _settings: settings_kept, _folder: folder }
}

/// Runs a turn; which calls waited, what became of them, and how it ended.
async fn story(script: &str, begins: Begin) -> String {
    story_of(false, script, begins).await
}

async fn story_of(is_task: bool, script: &str, begins: Begin) -> String {
    let Told { mut turn, tasks, _settings, _folder } =
        begin_of(is_task, script, Toolbox::builtin(&ToolSettings::default()));
    let mut lines = Vec::new();
    let mut kept = Vec::new();
    while let Some(said) = turn.said.recv().await {
        match said {
            TurnSaid::Settled { call, shown: CallUpdate { status: Some(status), .. }, .. } => {
                lines.push(format!("{call}: {status:?}"));
            }
            TurnSaid::WhenTold(go) | TurnSaid::WhenGiven(go) => go.now(),
            TurnSaid::Begin { call, outside, go } => {
                lines.push(format!(
                    "{call} waits{}",
                    if outside { ", reaches outside" } else { "" }
                ));
                match begins {
                    Begin::Lets => go.now(),
                    Begin::Refuses => drop(go),
                    Begin::Cancels => {
                        kept.push(go);
                        turn.cancel.cancel();
                    }
                }
            }
            TurnSaid::Step(step) => {
                lines.extend(step.calls.iter().map(|settled| settled.outcome.text()));
            }
            TurnSaid::Ended(Ended { result, .. }) => match result {
                Ok(end) => lines.push(format!("{end:?}")),
                Err(fault) => lines.push(fault.sentence()),
            },
            TurnSaid::Event(_)
            | TurnSaid::Ask(_)
            | TurnSaid::Withdraw(_)
            | TurnSaid::Delivered(_)
            | TurnSaid::Saw(_)
            | TurnSaid::Replied { .. }
            | TurnSaid::Described(_)
            | TurnSaid::Settled { .. }
            | TurnSaid::Told { .. } => {}
        }
    }
    tasks.close();
    tasks.wait().await;
    lines.join("\n") + "\n"
}

fn check(runtime: &mut tokio::runtime::Builder, script: &str, expected: &Expect) {
    expected.assert_eq(&runtime.build().unwrap().block_on(story(script, Begin::Lets)));
}

/// Two calls that change something behind one that only looks.
const CALLS: &str = "when any\n  call plan {\"entries\": []}\n  call terminal {\"command\": \"true\"}\n  call write {\"path\": \"a\", \"content\": \"\"}\nthen\n  say \"Done.\"\n";

#[tokio::test]
async fn a_call_that_may_not_begin_is_cancelled_before() {
    expect![[r#"
        c1: Completed
        c2 waits, reaches outside
        c2: Failed
        c3: Failed
        the plan is shown: 0 of 0 entries completed
        cancelled: the turn ended before this call began
        error: the tool ended because of a defect in Talaria
        Finished
    "#]]
    .assert_eq(&story(CALLS, Begin::Refuses).await);
}

#[tokio::test]
async fn a_cancel_ends_the_wait_of_a_call() {
    expect![[r#"
        c1: Completed
        c2 waits, reaches outside
        c3: Failed
        c2: Failed
        the plan is shown: 0 of 0 entries completed
        cancelled: the user stopped the turn before this call began
        cancelled: the user stopped the turn before this call began
        Cancelled
    "#]]
    .assert_eq(&story(CALLS, Begin::Cancels).await);
}

#[tokio::test]
async fn no_user_cancels_the_turn_of_a_task() {
    let story = story_of(true, CALLS, Begin::Cancels).await;
    let why = "cancelled: the task was cancelled or interrupted before this call began";
    assert_eq!(story.matches(why).count(), 2, "{story}");
    assert!(!story.contains("the user"), "{story}");
}

#[test]
fn c15_a_tool_that_panics_costs_its_call() {
    check(
        tokio::runtime::Builder::new_current_thread().enable_all(),
        "when any\n  call terminal {\"command\": \"true\"}\n  call write {\"path\": \"a\", \"content\": \"\"}\nthen\n  say \"Done.\"\n",
        &expect![[r#"
            c1 waits, reaches outside
            c1: Failed
            c2: Failed
            error: the tool ended because of a defect in Talaria
            error: the tool ended because of a defect in Talaria
            Finished
        "#]],
    );
}

#[test]
fn c15_a_turn_that_panics_ends_with_a_fault() {
    // On a runtime without a clock, a delay is a panic.
    check(
        &mut tokio::runtime::Builder::new_current_thread(),
        "when any\n  say \"a\"\n  delay 1ms\n  say \"b\"\n",
        &expect![[r#"
            The turn ended because of a defect in Talaria. The session goes on; the log has the details.
        "#]],
    );
}
