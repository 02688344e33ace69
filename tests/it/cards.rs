//! Cards of background tasks in a journal, as `session/load` shows them: once each, where they came to be, as
//! they are in the end.

use std::sync::Arc;

use serde_json::{Value, json};
use talaria::clock::Clock;
use talaria::event::{CallContent, CallStatus, CallUpdate, TaskMark, ToolKind};
use talaria::ids::{CallId, MessageId, PromptId, SessionId};
use talaria::store::{Durability, Record, Settings, Store};
use talaria::transcript::{Author, Content, Prompt};

use crate::support::agent::Agent;
use crate::support::client::shown;
use crate::support::home::Home;
use crate::support::stored::load;

fn card(task: &str, status: CallStatus, state: &str, text: &str) -> Record {
    let card = CallUpdate {
        tool: Some("delegate_task_async".to_owned()),
        title: Some(format!("`{task}` · Look")),
        kind: Some(ToolKind::Think),
        content: Some(vec![CallContent::Content(Content::text(text))]),
        input: Some(json!({"task_id": task, "goal": "Look"})),
        task: Some(TaskMark { id: task.to_owned(), state: state.to_owned() }),
        ..CallUpdate::new(CallId::new(format!("task-{task}"))).with_status(status)
    };
    Record::Card { card }
}

fn report(task: u64) -> Record {
    let content = vec![Content::text("<task_report id=\"t1\">found</task_report>")];
    let message = MessageId::new(format!("report{task}"));
    let from = Author::Task(task);
    Record::Report { report: Prompt { id: PromptId::default(), message, content, from } }
}

/// Appends to the journal of a session that nobody has open.
#[tokio::main(flavor = "current_thread")]
async fn append(home: &Home, session: &str, records: Vec<Record>) {
    let folder = home.state();
    let (store, guard) = Store::start(Settings { folder, clock: Clock::real() });
    let mut claim = store.claim(&SessionId::new(session), Arc::default()).await.unwrap();
    for record in records {
        claim.journal.append(record, Durability::Process);
    }
    assert_eq!(claim.journal.flush().await.trouble, None);
    drop(claim);
    drop(guard);
}

#[test]
fn c35_cards_are_shown_once_and_reports_are_no_messages() {
    let home = Home::scripted("when any\n  say \"Hello.\"\n");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    agent.ask(&session, "hello").result();
    drop(agent);
    let records = vec![
        card("t1", CallStatus::InProgress, "running", "running"),
        card("t2", CallStatus::Pending, "queued", "queued, place 1"),
        report(1),
        card("t1", CallStatus::Completed, "completed", "found"),
    ];
    append(&home, &session, records);
    let mut agent = Agent::ready(&home);
    // Read again with what the first load appended, it is the same.
    for _ in 0..2 {
        let answer = load(&mut agent, &home, &session);
        let cards: Vec<Value> = answer.updates("tool_call").into_iter().cloned().collect();
        assert_eq!(answer.updates("tool_call_update").len(), 0);
        let seen: Vec<_> = cards
            .iter()
            .map(|card| {
                let state = &card["_meta"]["talaria"]["task"]["state"];
                (card["toolCallId"].as_str().unwrap(), state.as_str().unwrap(), shown(card))
            })
            .collect();
        let interrupted = "interrupted: the process that ran it ended\n`/resume t2` lets it go on";
        assert_eq!(
            seen,
            [
                ("task-t1", "completed", "found".to_owned()),
                ("task-t2", "interrupted", interrupted.to_owned())
            ]
        );
        assert_eq!(
            (&cards[0]["status"], &cards[1]["status"]),
            (&json!("completed"), &json!("failed"))
        );
        let messages = answer.updates("user_message_chunk");
        assert_eq!(messages.len(), 1, "{messages:?}");
    }
}
