//! The tool `plan`: the model's list of what it is about to do, for the user to see.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::input::Fields;
use super::{Context, Effect, Prepared, Ran, Tool};
use crate::event::{PlanEntry, PlanPriority, PlanStatus, ToolKind};
use crate::model::ToolSpec;
use crate::permission::Grant;
use crate::transcript::Outcome;

pub(super) struct Plan;

impl Tool for Plan {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "plan".to_owned(),
            description:
                "Show the user your plan for work of several steps; each call replaces it whole. \
                          At most one entry is `in_progress`."
                    .to_owned(),
            schema: json!({
                "type": "object",
                "properties": {
                    "entries": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {
                                "content": {"type": "string"},
                                "status": {"enum": ["pending", "in_progress", "completed"]},
                                "priority": {"enum": ["high", "medium", "low"]}
                            },
                            "required": ["content", "status"]
                        }
                    }
                },
                "required": ["entries"]
            }),
        }
    }

    fn effect(&self) -> Effect {
        Effect::None
    }

    fn kind(&self) -> ToolKind {
        ToolKind::Think
    }

    fn prepare<'a>(
        &'a self,
        input: &'a Value,
        _context: &'a Context,
    ) -> BoxFuture<'a, Result<Prepared, String>> {
        async move {
            entries(input)?;
            Ok(Prepared {
                title: "Update the plan".to_owned(),
                locations: Vec::new(),
                preview: Vec::new(),
                touches: Vec::new(),
                command: None,
                trouble: None,
                grant: Grant { key: "plan".to_owned(), label: "changes of the plan".to_owned() },
            })
        }
        .boxed()
    }

    fn run<'a>(&'a self, input: &'a Value, _context: &'a Context) -> BoxFuture<'a, Ran> {
        async move {
            let entries = match entries(input) {
                Ok(entries) => entries,
                Err(message) => return Ran::failed(message),
            };
            let done = entries.iter().filter(|entry| entry.status == PlanStatus::Completed).count();
            let text = format!("the plan is shown: {done} of {} entries completed", entries.len());
            let mut ran = Ran::new(Outcome::done(text));
            ran.plan = Some(entries);
            ran
        }
        .boxed()
    }
}

fn entries(input: &Value) -> Result<Vec<PlanEntry>, String> {
    let items = Fields::of(input)?
        .list(&["entries", "plan", "todos", "steps"])?
        .ok_or("the field `entries` is missing: a list is expected")?;
    let entries = items
        .iter()
        .enumerate()
        .map(|(at, item)| entry(item).map_err(|error| format!("entry {}: {error}", at + 1)))
        .collect::<Result<Vec<_>, _>>()?;
    let running = entries.iter().filter(|entry| entry.status == PlanStatus::InProgress).count();
    if running > 1 {
        return Err(format!("{running} entries are `in_progress`: work on one at a time"));
    }
    Ok(entries)
}

fn entry(item: &Value) -> Result<PlanEntry, String> {
    let fields = Fields::of(item)?;
    let content = fields.word(&["content", "step", "title", "text"])?;
    let status = match fields.optional_word(&["status", "state"])?.as_deref() {
        None | Some("pending" | "todo") => PlanStatus::Pending,
        Some("in_progress" | "in-progress" | "active") => PlanStatus::InProgress,
        Some("completed" | "complete" | "done") => PlanStatus::Completed,
        Some(other) => {
            return Err(format!(
                "the field `status` is `{other}`: `pending`, `in_progress` or `completed` is expected"
            ));
        }
    };
    let priority = match fields.optional_word(&["priority"])?.as_deref() {
        None | Some("medium") => PlanPriority::Medium,
        Some("high") => PlanPriority::High,
        Some("low") => PlanPriority::Low,
        Some(other) => {
            return Err(format!(
                "the field `priority` is `{other}`: `high`, `medium` or `low` is expected"
            ));
        }
    };
    Ok(PlanEntry { content, status, priority })
}

#[cfg(test)]
mod tests {
    use super::{Plan, Tool as _};
    use crate::event::{PlanPriority, PlanStatus};
    use crate::tools::test_support::Desk;
    use expect_test::expect;
    use serde_json::json;

    #[tokio::test]
    async fn a_plan_is_taken() {
        let desk = Desk::new();
        let input = json!({"entries": [
            {"content": "read", "status": "completed"},
            {"content": "write", "status": "in_progress", "priority": "high"},
            {"content": "test"}
        ]});
        let ran = desk.run(&Plan, &input).await;
        assert_eq!(ran.outcome.text(), "the plan is shown: 1 of 3 entries completed");
        let plan = ran.plan.unwrap();
        assert_eq!(plan.len(), 3);
        assert_eq!(
            (plan[1].status, plan[1].priority),
            (PlanStatus::InProgress, PlanPriority::High)
        );
        assert_eq!(desk.prepare(&Plan, &input).await.unwrap().title, "Update the plan");
    }

    #[tokio::test]
    async fn bad_plans_say_why() {
        let desk = Desk::new();
        let mut text = String::new();
        for input in [
            json!({}),
            json!({"entries": "x"}),
            json!({"entries": [{"content": " ", "status": "pending"}]}),
            json!({"entries": [{"content": "a", "status": "later"}]}),
            json!({"entries": [{"content": "a", "status": "pending", "priority": 1}]}),
            json!({"entries": [
                {"content": "a", "status": "in_progress"}, {"content": "b", "status": "in_progress"}
            ]}),
        ] {
            text.push_str(&desk.prepare(&Plan, &input).await.unwrap_err());
            text.push('\n');
        }
        expect![[r#"
            the field `entries` is missing: a list is expected
            the field `entries` is "x": a list is expected
            entry 1: the field `content` is empty
            entry 1: the field `status` is `later`: `pending`, `in_progress` or `completed` is expected
            entry 1: the field `priority` is 1: a string is expected
            2 entries are `in_progress`: work on one at a time
        "#]].assert_eq(&text);
        assert_eq!(Plan.spec().name, "plan");
    }
}
