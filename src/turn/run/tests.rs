//! What a panic in a turn costs.

use expect_test::{Expect, expect};
use futures::future::BoxFuture;
use std::path::Path;

use super::*;
use crate::config;
use crate::event::{CallStatus, ThoughtLevel};
use crate::ids::{IdSource, MessageId, PromptId};
use crate::model::catalog;
use crate::model::provider::HttpClient;
use crate::permission::Mode;
use crate::tools::ToolSettings;
use crate::tools::host::{Command, Finished, HostError, Watch};
use crate::transcript::{Content, Prompt};

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

/// Runs a turn on a broken host; what became of its calls, and how it ended.
async fn story(script: &str) -> String {
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
        toolbox: Toolbox::builtin(&ToolSettings::default()),
        policy: Arc::new(Policy::default()),
        cache_key: String::new(),
        system: OnceCell::new_with(Some("system".to_owned())),
    };
    let settings = Settings {
        mode: Mode::Bypass,
        rules: Arc::default(),
        choice: Arc::new(choice),
        thought: ThoughtLevel::Auto,
    };
    let content = vec![Content::text("go")];
    let prompt = Prompt { id: PromptId(1), message: MessageId::new("m"), content };
    let start = Start { prompt, history: Vec::new(), ids: IdSource::default() };
    let (_settings, settings) = watch::channel(settings);
    let tasks = TaskTracker::new();
    let mut turn = spawn(Arc::new(environment), start, settings, Arc::default(), &tasks);
    let mut lines = Vec::new();
    while let Some(said) = turn.said.recv().await {
        match said {
            TurnSaid::Event(Event::Call(CallUpdate { id, status: Some(status), .. }))
                if matches!(status, CallStatus::Completed | CallStatus::Failed) =>
            {
                lines.push(format!("{id}: {status:?}"));
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
            | TurnSaid::Used(_)
            | TurnSaid::Saw(_) => {}
        }
    }
    tasks.close();
    tasks.wait().await;
    lines.join("\n") + "\n"
}

fn check(runtime: &mut tokio::runtime::Builder, script: &str, expected: &Expect) {
    expected.assert_eq(&runtime.build().unwrap().block_on(story(script)));
}

#[test]
fn c15_a_tool_that_panics_costs_its_call() {
    check(
        tokio::runtime::Builder::new_current_thread().enable_all(),
        "when any\n  call terminal {\"command\": \"true\"}\n  call write {\"path\": \"a\", \"content\": \"\"}\nthen\n  say \"Done.\"\n",
        &expect![[r#"
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
