//! Cards, reports, and calls that cards stand for.

use expect_test::expect;
use serde_json::json;

use super::{arrives, check, done, ends, entry, lines, message, reply, restored, transcript, turn};
use crate::event::{CallContent, CallStatus, CallUpdate, TaskMark, ToolKind};
use crate::ids::{CallId, PromptId, SessionId};
use crate::session::restore::Restorer;
use crate::store::{Opened, Record};
use crate::transcript::{Author, Content, End, Outcome, Prompt, Reply};

pub(super) fn report(task: u64) -> Prompt {
    let id = format!("report{task}");
    let frame =
        format!("<task_report id=\"t{task}\" state=\"failed\">\nIt said nothing.</task_report>");
    let content = vec![Content::text(frame)];
    Prompt { id: PromptId::default(), message: message(&id), content, from: Author::Task(task) }
}

pub(super) fn reports(task: u64) -> Record {
    Record::Report { report: report(task) }
}

/// A change of a card, which is as good as whole.
pub(super) fn card(id: &str, status: Option<CallStatus>) -> Record {
    let task = id.trim_start_matches("task-").split('/').next().unwrap_or_default().to_owned();
    let state = status.map_or("none".to_owned(), |status| format!("{status:?}").to_lowercase());
    let content = vec![CallContent::Content(Content::text(format!("{id} as {status:?}")))];
    let card = CallUpdate {
        tool: Some("delegate_task_async".to_owned()),
        title: Some(format!("`{task}` · goal")),
        kind: Some(ToolKind::Think),
        status,
        content: Some(content),
        input: Some(json!({ "task_id": task })),
        task: Some(TaskMark { id: task, state }),
        ..CallUpdate::new(CallId::new(id))
    };
    Record::Card { card }
}

pub(super) fn began(id: &str) -> Record {
    card(id, Some(CallStatus::InProgress))
}

/// What changes at the end.
pub(super) fn completed(id: &str) -> Record {
    let Record::Card { card } = card(id, Some(CallStatus::Completed)) else { unreachable!() };
    let card = CallUpdate { tool: None, title: None, kind: None, input: None, ..card };
    Record::Card { card }
}

fn delegates(call: &str) -> Record {
    let shown = CallUpdate {
        tool: Some("delegate_task".to_owned()),
        title: Some("Delegate".to_owned()),
        kind: Some(ToolKind::Think),
        status: Some(CallStatus::InProgress),
        hidden: true,
        ..CallUpdate::new(CallId::new(call))
    };
    Record::Call { shown }
}

pub(super) fn gave(call: &str, tasks: &[u64]) -> Record {
    let Record::Outcome { call, outcome, shown, .. } = done(call, "reports") else {
        unreachable!()
    };
    Record::Outcome { call, outcome, shown, gave: tasks.to_vec() }
}

pub(super) fn steered(id: &str, tasks: &[u64]) -> Record {
    let Record::Reply { reply, spent } = reply(id, &[]) else { unreachable!() };
    let steered = tasks.iter().map(|task| report(*task).message).collect();
    Record::Reply { reply: Reply { steered, ..reply }, spent }
}

pub(super) fn opened(forked_from: Option<&str>) -> Record {
    Record::Opened(Opened {
        cwd: "/".into(),
        additional: Vec::new(),
        version: "1".to_owned(),
        forked_from: forked_from.map(SessionId::new),
        parent: None,
    })
}

#[test]
fn a_card_is_shown_where_it_came_to_be_as_it_is_in_the_end() {
    let finished = check(
        &[
            arrives("m1"),
            turn("m1"),
            reply("m2", &["c1"]),
            began("task-t1"),
            done("c1", "done"),
            ends(End::Finished),
            began("task-t1/c3"),
            completed("task-t1/c3"),
            arrives("m3"),
            turn("m3"),
            completed("task-t1"),
            reply("m4", &[]),
            ends(End::Finished),
        ],
        &expect![[r#"
            User m1 prompt m1
            Agent m2 reply m2
            call task-t1 ("delegate_task_async") ("`t1` · goal") (Think) (Completed)
              shows ["task-t1 as (Completed)"] at 0 places
              (Object {"task_id": String("t1")}) -> None for t1 completed
            call c1 ("edit") ("edit") (Other) (Completed)
              shows [] at 0 places
              (Object {"for": String("c1")}) -> (String("done"))
            call task-t1/c3 ("delegate_task_async") ("`t1` · goal") (Think) (Completed)
              shows ["task-t1/c3 as (Completed)"] at 0 places
              (Object {"task_id": String("t1")}) -> None for t1 completed
            User m3 prompt m3
            Agent m4 reply m4
        "#]],
    );
    assert_eq!(finished.restored.open_cards.len(), 0);
}

#[test]
fn a_card_that_is_open_at_the_end_is_shown_as_interrupted() {
    let records = [began("task-t1"), began("task-t2"), began("task-t1/c3"), completed("task-t2")];
    let finished = check(
        &records,
        &expect![[r#"
            call task-t1 ("delegate_task_async") ("`t1` · goal") (Think) (Failed)
              shows ["interrupted: the process that ran it ended\n`/resume t1` lets it go on"] at 0 places
              (Object {"task_id": String("t1")}) -> None for t1 interrupted
            call task-t2 ("delegate_task_async") ("`t2` · goal") (Think) (Completed)
              shows ["task-t2 as (Completed)"] at 0 places
              (Object {"task_id": String("t2")}) -> None for t2 completed
            call task-t1/c3 ("delegate_task_async") ("`t1` · goal") (Think) (Failed)
              shows ["The task that asked for this was interrupted; `/resume t1` lets it go on."] at 0 places
              (Object {"task_id": String("t1")}) -> None for t1 interrupted
        "#]],
    );
    let open: Vec<&str> = finished.restored.open_cards.iter().map(CallId::as_str).collect();
    assert_eq!(open, ["task-t1", "task-t1/c3"]);

    let mut restorer = Restorer::new(2).of_open_session();
    let entries = records.map(|record| entry(&record));
    for entry in &entries {
        restorer.foresee(entry);
    }
    let shown = restorer.take(&entries[0]);
    let crate::event::Event::Call(card) = &shown[0] else { panic!("{shown:?}") };
    assert_eq!(card.status, Some(CallStatus::InProgress), "its process lives");
}

#[test]
fn which_cards_of_tasks_are_final_is_known() {
    let mut restorer = Restorer::new(5);
    let records = [
        began("task-t1"),
        completed("task-t1"),
        began("task-t1-2"),
        began("task-t2/c3"),
        completed("task-t2/c3"),
    ];
    for record in &records {
        restorer.take(&entry(record));
    }
    let finished = restorer.finish();
    let closed: Vec<&str> = finished.restored.closed_cards.iter().map(CallId::as_str).collect();
    assert_eq!(closed, ["task-t1"]);
    let open: Vec<&str> = finished.restored.open_cards.iter().map(CallId::as_str).collect();
    assert_eq!(open, ["task-t1-2"]);
}

#[test]
fn a_task_that_reported_is_not_shown_as_interrupted() {
    // The process ended before the last change of the card was written.
    let records = [began("task-t1"), began("task-t1/c3"), began("task-t2"), reports(1)];
    let finished = check(
        &records,
        &expect![[r#"
        call task-t1 ("delegate_task_async") ("`t1` · goal") (Think) (Failed)
          shows ["failed: its report has come"] at 0 places
          (Object {"task_id": String("t1")}) -> None for t1 failed
        call task-t1/c3 ("delegate_task_async") ("`t1` · goal") (Think) (Failed)
          shows ["The task that asked for this has ended."] at 0 places
          (Object {"task_id": String("t1")}) -> None for t1 failed
        call task-t2 ("delegate_task_async") ("`t2` · goal") (Think) (Failed)
          shows ["interrupted: the process that ran it ended\n`/resume t2` lets it go on"] at 0 places
          (Object {"task_id": String("t2")}) -> None for t2 interrupted
    "#]],
    );
    // The tasks tell the rest of it.
    let open: Vec<&str> = finished.restored.open_cards.iter().map(CallId::as_str).collect();
    assert_eq!(open, ["task-t1", "task-t1/c3", "task-t2"]);
    assert_eq!(finished.restored.inbox, [report(1)]);
    assert_eq!(finished.restored.unshown.len(), 0);
    // Before it was copied.
    check(
        &[&records[..], &[opened(Some("original"))]].concat(),
        &expect![[r#"
        call task-t1 ("delegate_task_async") ("`t1` · goal") (Think) (Failed)
          shows ["failed: its report has come"] at 0 places
          (Object {"task_id": String("t1")}) -> None for t1 failed
        call task-t1/c3 ("delegate_task_async") ("`t1` · goal") (Think) (Failed)
          shows ["The task that asked for this has ended."] at 0 places
          (Object {"task_id": String("t1")}) -> None for t1 failed
        call task-t2 ("delegate_task_async") ("`t2` · goal") (Think) (Failed)
          shows ["This task goes on in the session that this is a copy of."] at 0 places
          (Object {"task_id": String("t2")}) -> None for t2 cancelled
    "#]],
    );
}

#[test]
fn a_task_of_a_copy_goes_on_in_the_original() {
    let finished = check(
        &[
            opened(None),
            began("task-t1"),
            began("task-t2"),
            completed("task-t2"),
            reports(2),
            opened(Some("original")),
            reports(2),
            opened(Some("original")),
        ],
        &expect![[r#"
            call task-t1 ("delegate_task_async") ("`t1` · goal") (Think) (Failed)
              shows ["This task goes on in the session that this is a copy of."] at 0 places
              (Object {"task_id": String("t1")}) -> None for t1 cancelled
            call task-t2 ("delegate_task_async") ("`t2` · goal") (Think) (Completed)
              shows ["task-t2 as (Completed)"] at 0 places
              (Object {"task_id": String("t2")}) -> None for t2 completed
        "#]],
    );
    assert_eq!(finished.restored.open_cards.len(), 0);
    // That of the original, and that of the copy's own second task.
    assert_eq!(finished.restored.inbox, [report(2), report(2)]);
    assert_eq!(finished.restored.reported.into_iter().collect::<Vec<_>>(), [2]);
}

#[test]
fn reports_are_given_by_the_reply_that_names_them() {
    let finished = check(
        &[
            reports(1),
            reports(2),
            // Said again.
            reports(1),
            arrives("m1"),
            turn("m1"),
            steered("m2", &[1]),
            reports(3),
            ends(End::Finished),
        ],
        &expect![[r#"
            User m1 prompt m1
            Agent m2 reply m2
        "#]],
    );
    expect![[r#"
        turn m1 Some(Ended { end: Finished })
          step "reply m2" steered ["report1"]
    "#]]
    .assert_eq(&transcript(&finished.restored));
    assert_eq!(finished.restored.inbox, [report(2), report(3)]);
    assert_eq!(finished.restored.reported.into_iter().collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(finished.repairs, []);
}

#[test]
fn reports_that_an_outcome_gave_are_not_given_again() {
    let (_, finished) = restored(&[
        reports(1),
        arrives("m1"),
        turn("m1"),
        reply("m2", &["c1", "c2"]),
        gave("c1", &[1, 3]),
        // No call of the open step: the model has not seen it.
        gave("c9", &[2]),
        reports(2),
        // It comes behind the call that gave it.
        reports(3),
        done("c2", "done"),
        ends(End::Finished),
    ]);
    assert_eq!(finished.restored.inbox, [report(2)]);
    assert_eq!(finished.restored.reported.into_iter().collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn a_report_that_a_broken_request_carried_stays_in_the_inbox() {
    let (_, finished) = restored(&[arrives("m1"), turn("m1"), reports(1)]);
    assert_eq!(finished.restored.inbox, [report(1)]);
    assert_eq!(finished.repairs.len(), 2, "words to the user, and the turn's end");
}

#[test]
fn a_call_that_cards_stand_for_is_not_shown_unless_it_failed_before() {
    let Record::Call { shown: hidden } = delegates("c1") else { unreachable!() };
    let settled = |id: &str, hidden: CallUpdate, outcome: Outcome| Record::Outcome {
        call: CallId::new(id),
        outcome,
        shown: CallUpdate { id: CallId::new(id), ..hidden },
        gave: Vec::new(),
    };
    let failed = CallUpdate {
        hidden: false,
        content: Some(vec![CallContent::Content(Content::text("error: no"))]),
        ..hidden.clone().with_status(CallStatus::Failed)
    };
    check(
        &[
            arrives("m1"),
            turn("m1"),
            reply("m2", &["c1", "c2"]),
            delegates("c1"),
            delegates("c2"),
            began("task-t1"),
            settled("c1", hidden, Outcome::done("t1")),
            settled("c2", failed, Outcome::failed("no")),
            completed("task-t1"),
            ends(End::Finished),
        ],
        &expect![[r#"
            User m1 prompt m1
            Agent m2 reply m2
            call task-t1 ("delegate_task_async") ("`t1` · goal") (Think) (Completed)
              shows ["task-t1 as (Completed)"] at 0 places
              (Object {"task_id": String("t1")}) -> None for t1 completed
            call c2 ("edit") ("Delegate") (Think) (Failed)
              shows ["error: no"] at 0 places
              (Object {"for": String("c2")}) -> None
        "#]],
    );
}

#[test]
fn a_call_that_was_interrupted_while_it_delegated_stays_hidden() {
    let finished = check(
        &[arrives("m1"), turn("m1"), reply("m2", &["c1"]), delegates("c1"), began("task-t1")],
        &expect![[r#"
            User m1 prompt m1
            Agent m2 reply m2
            call task-t1 ("delegate_task_async") ("`t1` · goal") (Think) (Failed)
              shows ["interrupted: the process that ran it ended\n`/resume t1` lets it go on"] at 0 places
              (Object {"task_id": String("t1")}) -> None for t1 interrupted
            Agent m2-0 The turn was interrupted: Talaria ended while it ran. Send a prompt such as `go on` to continue.
        "#]],
    );
    expect![[r#"
        turn m1 Some(Interrupted)
          step "reply m2" steered []
            c1 cancelled: interrupted: Talaria ended while this ran; tasks that it started can be resumed, look at the list of tasks before you start them again
    "#]].assert_eq(&transcript(&finished.restored));
    assert!(!lines(&finished.events).contains("call c1"));
}
