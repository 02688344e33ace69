//! Which ends of tasks a client is still to be shown.

use super::cards::{began, card, completed, gave, opened, reports, steered};
use super::{arrives, ends, reply, restored, turn};
use crate::event::{CallContent, CallStatus, CallUpdate, TaskMark};
use crate::ids::CallId;
use crate::store::Record;
use crate::transcript::{Content, End};

fn shown(tasks: &[u64]) -> Record {
    Record::Shown { tasks: tasks.to_vec() }
}

/// A task, from its first card to its last.
fn ended(task: u64) -> Vec<Record> {
    let id = format!("task-t{task}");
    vec![began(&id), reports(task), completed(&id)]
}

#[track_caller]
fn check(records: &[&[Record]], unshown: &[u64]) {
    let (_, finished) = restored(&records.concat());
    let tasks: Vec<u64> = finished.restored.unshown.keys().copied().collect();
    assert_eq!(tasks, unshown);
}

/// A turn that gives reports.
fn gives(tasks: &[u64]) -> Vec<Record> {
    vec![arrives("m1"), turn("m1"), steered("m2", tasks), ends(End::Finished)]
}

#[test]
fn what_no_mark_names_is_unshown() {
    check(&[], &[]);
    check(&[&ended(1), &ended(2), &[began("task-t3")]], &[1, 2]);
    check(&[&ended(1), &ended(2), &[shown(&[1])]], &[2]);
    check(&[&ended(1), &[shown(&[1]), shown(&[1, 2])], &ended(2), &ended(3)], &[3]);
    // Whether the model was given the report does not matter.
    check(&[&[shown(&[])], &ended(1), &ended(2), &gives(&[1, 2]), &[shown(&[2])]], &[1]);
}

#[test]
fn before_there_were_marks_what_the_model_was_given_was_looked_on_at() {
    check(&[&ended(1), &ended(2), &gives(&[1])], &[2]);
    // Marks that come later change nothing of what was before.
    check(&[&ended(1), &ended(2), &gives(&[1]), &ended(3), &[shown(&[3])]], &[2]);
    check(&[&ended(1), &gives(&[1]), &[shown(&[2])], &ended(3), &gives(&[3])], &[3]);
    // By a call, whichever of its records came first.
    for call_first in [true, false] {
        let call = [arrives("m1"), turn("m1"), reply("m2", &["c1"]), gave("c1", &[1])];
        let mut records = [ended(1), call.to_vec()];
        if call_first {
            records.reverse();
        }
        check(&[&records.concat()], &[]);
    }
}

#[test]
fn an_end_is_shown_whole() {
    let (events, finished) = restored(&ended(1));
    let cards: Vec<&CallUpdate> = finished.restored.unshown.values().collect();
    let [crate::event::Event::Call(replayed)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(cards, [replayed]);
    assert!(replayed.title.is_some() && replayed.input.is_some());
}

#[test]
fn a_task_has_ended_when_its_last_attempt_has() {
    let interrupted = |id: &str| {
        let Record::Card { card } = card(id, Some(CallStatus::Failed)) else { unreachable!() };
        let mark = TaskMark { id: "t1".to_owned(), state: "interrupted".to_owned() };
        Record::Card { card: CallUpdate { task: Some(mark), ..card } }
    };
    check(&[&[began("task-t1"), interrupted("task-t1")]], &[]);
    check(&[&[began("task-t1"), interrupted("task-t1"), began("task-t1-2")]], &[]);
    let records =
        [began("task-t1"), interrupted("task-t1"), began("task-t1-2"), completed("task-t1-2")];
    let (_, finished) = restored(&records);
    let ids: Vec<&str> = finished.restored.unshown.values().map(|card| card.id.as_str()).collect();
    assert_eq!(ids, ["task-t1-2"]);
    // A call of a task ends before it.
    check(&[&[began("task-t1"), began("task-t1/c1"), completed("task-t1/c1")]], &[]);
}

#[test]
fn what_ended_before_it_was_copied_is_not_of_the_copy() {
    check(&[&[opened(None)], &ended(1), &[opened(Some("a"))]], &[]);
    let copied = [opened(None), began("task-t1"), opened(Some("a"))];
    check(&[&copied, &ended(2), &[opened(Some("a"))]], &[2]);
    // Numbers that the original shows are others than the copy's.
    check(&[&[opened(None), shown(&[2])], &[opened(Some("a"))], &ended(2)], &[2]);
}

#[test]
fn terminals_are_gone_from_a_card_as_from_a_replay() {
    let terminal = CallContent::Terminal(crate::ids::TerminalId::new("x"));
    let content = Some(vec![terminal, CallContent::Content(Content::text("text"))]);
    let card = CallUpdate { content, ..CallUpdate::new(CallId::new("task-t1")) };
    let card = Record::Card { card: card.with_status(CallStatus::Completed) };
    let (_, finished) = restored(&[card]);
    let card = &finished.restored.unshown[&1];
    assert_eq!(card.content.as_deref().map(<[CallContent]>::len), Some(1));
}
