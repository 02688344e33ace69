//! How soon a task hears what is said to it, how soon it ends, and how soon it is seen.

use std::time::Duration;

use serde_json::json;

use super::chat::{Chat, home};
use super::support::model::{Model, Reply};
use super::support::table::Row;

const RUNS: usize = 50;
const SLEEPS: &str =
    "when prompt \"sleep\"\n  say \"Begun.\"\n  delay 3600s\nwhen any\n  say \"Hello.\"\n";

/// From the end of the step in which it was said.
pub(crate) fn steer() -> Vec<Row> {
    let model = Model::start();
    let home = home();
    let mut chat = Chat::begin(&home, home.remote(&model.url));
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let (task, _) = chat.start("look at it");
        model.request();
        // Long enough for something to be said meanwhile.
        model.plan(Reply::Chunks {
            count: 3,
            bytes: 80,
            rest: Some((1, Duration::from_millis(50))),
        });
        chat.ask(&format!("/steer {task} and hurry"));
        let step = model.played();
        assert!(step.is_whole);
        let next = model.request();
        assert!(next.body.to_string().contains("and hurry"), "{}", next.body);
        times.push(next.at - step.last);
        model.plan(Reply::Text("Done."));
        model.played();
        chat.card(&task, "completed");
    }
    vec![
        Row::milliseconds("steer → in the task's next request, from the end of its step", times)
            .at_most(50.0),
    ]
}

/// Nothing blocks.
pub(crate) fn cancel() -> Vec<Row> {
    let home = home();
    let agent = home.scripted(SLEEPS);
    let mut chat = Chat::begin(&home, agent);
    let (mut final_card, mut answered) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let (task, _) = chat.start("sleep");
        chat.card(&task, "in_progress");
        let (id, asked) = chat.agent.prompt(&chat.session, &format!("/cancel {task}"));
        let answer = chat.agent.wait(id);
        answered.push(answer.at - asked);
        chat.keep(answer);
        final_card.push(chat.card(&task, "failed") - asked);
    }
    vec![
        Row::milliseconds("task cancel → final state on its card", final_card).at_most(200.0),
        Row::milliseconds("… → answered with the final state", answered),
    ]
}

/// A model that delegates, until the client has the card.
pub(crate) fn card() -> Vec<Row> {
    let model = Model::start();
    let home = home();
    let mut chat = Chat::begin(&home, home.remote(&model.url));
    let mut times = Vec::new();
    for run in 1..=RUNS {
        let task = format!("t{run}");
        let (id, _) = chat.agent.prompt(&chat.session, "delegate it");
        model.request();
        model.plan(Reply::Call {
            tool: "delegate_task_async",
            input: json!({ "goal": "look at it" }),
        });
        let call = model.played();
        assert!(call.is_whole);
        times.push(chat.shown(&task) - call.last);
        // The task's request, the next one of the session, and one with the report, if it came in time.
        while model.request_within(Duration::from_millis(100)).is_some() {
            model.plan(Reply::Text("Done."));
            model.played();
        }
        let answer = chat.agent.wait(id);
        chat.keep(answer);
        chat.card(&task, "completed");
    }
    vec![Row::milliseconds("model's call → card", times).at_most(2.0)]
}
