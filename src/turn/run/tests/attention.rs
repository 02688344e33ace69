//! Who only waits stops waiting when the user says something, and not when a task reports.

use expect_test::expect;
use serde_json::{Value, json};

use super::*;
use crate::event::ToolKind;
use crate::model::ToolSpec;
use crate::permission::Grant;
use crate::tools::Tool;

/// Waits for attention, or for the end.
struct Waits;

impl Tool for Waits {
    fn spec(&self) -> ToolSpec {
        let schema = json!({ "type": "object" });
        ToolSpec { name: "wait".to_owned(), description: "Waits.".to_owned(), schema }
    }

    fn effect(&self) -> tools::Effect {
        tools::Effect::None
    }

    fn kind(&self) -> ToolKind {
        ToolKind::Other
    }

    fn prepare<'a>(
        &'a self,
        _input: &'a Value,
        _context: &'a Context,
    ) -> BoxFuture<'a, Result<Prepared, String>> {
        Box::pin(async {
            Ok(Prepared {
                title: "Wait".to_owned(),
                locations: Vec::new(),
                preview: Vec::new(),
                touches: Vec::new(),
                command: None,
                grant: Grant { key: "wait".to_owned(), label: "waits".to_owned() },
                trouble: None,
            })
        })
    }

    fn run<'a>(&'a self, _input: &'a Value, context: &'a Context) -> BoxFuture<'a, Ran> {
        Box::pin(async {
            tokio::select! {
                biased;
                () = context.attention.cancelled() => Ran::new(Outcome::done("the user speaks")),
                () = context.cancel.cancelled() => Ran::new(Outcome::done("the turn ends")),
            }
        })
    }
}

/// Says something to the turn, which has heard it then.
async fn hear(turn: &Running, prompt: Prompt) {
    turn.inputs.send(TurnInput::Steer(prompt)).await.unwrap();
    while turn.inputs.capacity() < turn.inputs.max_capacity() {
        tokio::task::yield_now().await;
    }
}

/// Steers into a turn that waits in each of its steps; what the waits came to.
async fn waits(said: &[&[Author]]) -> String {
    let script = "when any\n  call wait {}\nthen\n  call wait {}\nthen\n  say \"Done.\"\n";
    let toolbox = Toolbox::builtin(&ToolSettings::default()).and(Arc::new(Waits));
    let Told { mut turn, tasks, _settings, _folder } = begin(script, toolbox);
    let mut said = said.iter();
    let mut lines = Vec::new();
    let mut next = 2;
    while let Some(says) = turn.said.recv().await {
        #[expect(clippy::wildcard_enum_match_arm, reason = "what is not looked at here")]
        match says {
            TurnSaid::WhenTold(go) => {
                go.now();
                for author in said.next().copied().unwrap_or_default() {
                    hear(&turn, prompt(next, *author)).await;
                    next += 1;
                }
                if said.len() == 0 {
                    turn.cancel.cancel();
                }
            }
            TurnSaid::Delivered(messages) => lines.push(format!("delivered {}", messages.len())),
            TurnSaid::Step(step) => {
                lines.extend(step.calls.iter().map(|settled| settled.outcome.text()));
            }
            _ => {}
        }
    }
    tasks.close();
    tasks.wait().await;
    lines.join("\n")
}

#[tokio::test]
async fn the_user_ends_a_wait_and_a_report_does_not() {
    let user: &[Author] = &[Author::User];
    let report: &[Author] = &[Author::Task(1)];
    // The second wait begins anew.
    expect![[r#"
        the user speaks
        delivered 1
        the turn ends"#]]
    .assert_eq(&waits(&[user, report]).await);
    expect![[r#"
        the user speaks
        delivered 2
        the turn ends"#]]
    .assert_eq(&waits(&[&[Author::Task(1), Author::User], &[]]).await);
}
