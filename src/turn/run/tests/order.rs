//! Calls that start tasks do so in the order of the model, whichever of them is judged first.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::*;
use crate::event::ToolKind;
use crate::model::ToolSpec;
use crate::permission::Grant;
use crate::tools::Tool;

/// Starts a task, whose number is the outcome.
#[derive(Default)]
struct Starts {
    last: AtomicU64,
}

impl Tool for Starts {
    fn spec(&self) -> ToolSpec {
        let schema = json!({ "type": "object" });
        ToolSpec { name: "start".to_owned(), description: "Starts.".to_owned(), schema }
    }

    fn effect(&self) -> tools::Effect {
        tools::Effect::None
    }

    fn kind(&self) -> ToolKind {
        ToolKind::Think
    }

    fn is_shown_by_cards(&self) -> bool {
        true
    }

    fn prepare<'a>(
        &'a self,
        input: &'a Value,
        _context: &'a Context,
    ) -> BoxFuture<'a, Result<Prepared, String>> {
        Box::pin(async {
            let Some(slow) = input["slow"].as_u64() else {
                return Err("it is no call that starts a task".to_owned());
            };
            for _ in 0..slow {
                tokio::task::yield_now().await;
            }
            Ok(Prepared {
                title: "Start".to_owned(),
                locations: Vec::new(),
                preview: Vec::new(),
                touches: Vec::new(),
                command: None,
                grant: Grant { key: "start".to_owned(), label: "starts".to_owned() },
                trouble: None,
            })
        })
    }

    fn run<'a>(&'a self, _input: &'a Value, context: &'a Context) -> BoxFuture<'a, Ran> {
        Box::pin(async {
            let Some(place) = &context.place else { return Ran::failed("it has no place") };
            place.come().await;
            // The actor of the tasks takes its time, too.
            tokio::task::yield_now().await;
            let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
            place.give_up();
            Ran::new(Outcome::done(format!("t{number}")))
        })
    }
}

#[tokio::test]
async fn tasks_are_numbered_in_the_order_of_the_calls() {
    let script = r#"when any
  call start {"slow":300}
  call start {}
  call start {"slow":0}
  call start {"slow":100}
  call start {"slow":0}
then
  say "Done."
"#;
    let toolbox = Toolbox::builtin(&ToolSettings::default()).and(Arc::new(Starts::default()));
    let Told { mut turn, tasks, _settings, _folder } = begin(script, toolbox);
    let mut outcomes = Vec::new();
    while let Some(says) = turn.said.recv().await {
        #[expect(clippy::wildcard_enum_match_arm, reason = "what is not looked at here")]
        match says {
            TurnSaid::WhenTold(go) | TurnSaid::WhenGiven(go) => go.now(),
            TurnSaid::Step(step) => {
                outcomes.extend(step.calls.iter().map(|settled| settled.outcome.text()));
            }
            _ => {}
        }
    }
    tasks.close();
    tasks.wait().await;
    let failed = "error: it is no call that starts a task";
    assert_eq!(outcomes, ["t1", failed, "t2", "t3", "t4"]);
}
