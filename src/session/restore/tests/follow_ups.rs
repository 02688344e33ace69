//! Turns that began by themselves, on reports.

use expect_test::expect;

use super::cards::{began, completed, opened, report, reports, steered};
use super::{arrives, check, ends, message, prompt, reply, restored, transcript, turn};
use crate::store::Record;
use crate::transcript::{Author, Content, End, Prompt};

/// Talaria asks its model to go on.
pub(super) fn follow_up(id: &str) -> Prompt {
    let content = vec![Content::text(format!("go on {id}"))];
    Prompt { from: Author::FollowUp, content, ..prompt(id) }
}

fn follows(id: &str) -> Record {
    Record::Prompt { prompt: follow_up(id) }
}

fn told(id: &str, text: &str) -> Record {
    Record::Told { message: message(id), content: Content::text(text) }
}

/// A user's turn that started a task, and what the task said later.
fn reported() -> Vec<Record> {
    vec![
        arrives("m1"),
        turn("m1"),
        reply("m2", &[]),
        began("task-t1"),
        ends(End::Finished),
        reports(1),
        completed("task-t1"),
        told("m3", "`t1` has reported."),
    ]
}

fn and(records: &[Record]) -> Vec<Record> {
    [&reported()[..], records].concat()
}

#[test]
fn what_talaria_asks_and_what_tasks_report_is_no_users_message() {
    let finished = check(
        &and(&[
            follows("m4"),
            turn("m4"),
            steered("m5", &[1]),
            arrives("m6"),
            ends(End::Finished),
            told("m7", "It is over."),
            turn("m6"),
            reply("m8", &[]),
            ends(End::Finished),
        ]),
        &expect![[r#"
            User m1 prompt m1
            Agent m2 reply m2
            call task-t1 ("delegate_task_async") ("`t1` · goal") (Think) (Completed)
              shows ["task-t1 as (Completed)"] at 0 places
              (Object {"task_id": String("t1")}) -> None for t1 completed
            Agent m3 `t1` has reported.
            Agent m5 reply m5
            User m6 prompt m6
            Agent m7 It is over.
            Agent m8 reply m8
        "#]],
    );
    expect![[r#"
        turn m1 Some(Ended { end: Finished })
          step "reply m2" steered []
        turn m4 Some(Ended { end: Finished })
          step "reply m5" steered ["report1"]
        turn m6 Some(Ended { end: Finished })
          step "reply m8" steered []
    "#]]
    .assert_eq(&transcript(&finished.restored));
    assert_eq!(finished.restored.inbox, []);
    let authors: Vec<Author> =
        finished.restored.transcript.turns().iter().map(|turn| turn.prompt.from).collect();
    assert_eq!(authors, [Author::User, Author::FollowUp, Author::User]);
}

#[test]
fn a_turn_that_did_not_come_to_begin_by_itself_is_not_missed() {
    let finished = check(
        &and(&[follows("m4")]),
        &expect![[r#"
        User m1 prompt m1
        Agent m2 reply m2
        call task-t1 ("delegate_task_async") ("`t1` · goal") (Think) (Completed)
          shows ["task-t1 as (Completed)"] at 0 places
          (Object {"task_id": String("t1")}) -> None for t1 completed
        Agent m3 `t1` has reported.
    "#]],
    );
    assert_eq!(finished.repairs, [Record::NotDelivered { prompt: message("m4") }]);
    assert_eq!(finished.restored.inbox, [report(1)]);
    // What the user sent is.
    let (_, finished) = restored(&and(&[follows("m4"), arrives("m5")]));
    let [Record::Told { content, .. }, lost @ ..] = &finished.repairs[..] else {
        panic!("{:?}", finished.repairs)
    };
    let text = "What was sent last did not reach the model; send it again if it is still wanted.";
    assert_eq!(*content, Content::text(text));
    let lost_ones = ["m4", "m5"].map(|id| Record::NotDelivered { prompt: message(id) });
    assert_eq!(lost, lost_ones);
}

#[test]
fn one_that_was_interrupted_says_so() {
    let open = and(&[follows("m4"), turn("m4")]);
    let finished = check(
        &open,
        &expect![[r#"
            User m1 prompt m1
            Agent m2 reply m2
            call task-t1 ("delegate_task_async") ("`t1` · goal") (Think) (Completed)
              shows ["task-t1 as (Completed)"] at 0 places
              (Object {"task_id": String("t1")}) -> None for t1 completed
            Agent m3 `t1` has reported.
            Agent m2-0 

            The turn that began by itself was interrupted: Talaria ended while it ran. Send a prompt such as `go on` to continue.
        "#]],
    );
    expect![[r#"
        turn m1 Some(Ended { end: Finished })
          step "reply m2" steered []
        turn m4 Some(Interrupted)
    "#]]
    .assert_eq(&transcript(&finished.restored));
    // No reply of the model tells that it has seen it.
    assert_eq!(finished.restored.inbox, [report(1)]);

    let (_, finished) = restored(&[&open[..], &[arrives("m5"), opened(Some("a"))]].concat());
    let texts: Vec<_> = finished
        .repairs
        .iter()
        .filter_map(|record| {
            if let Record::Told { content, .. } = record {
                Some(super::short(content))
            } else {
                None
            }
        })
        .collect();
    expect![
        "The turn that began by itself was interrupted: this session was copied while it ran. What \
         was sent in the meantime did not reach the model; send it again if it is still wanted."
    ]
    .assert_eq(&texts.concat());
}
