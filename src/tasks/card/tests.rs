//! Cards as users see them, and their bounds.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{Face, MOST_BYTES, MOST_LINES, Picture, card, duration, grouped, id, update};
use crate::clock::Timestamp;
use crate::config::Secret;
use crate::event::{CallContent, CallStatus, CallUpdate};
use crate::ids::CallId;
use crate::redact::Mask;
use crate::tasks::engine::State;
use crate::tasks::runner::Pulse;
use crate::tasks::{Change, ChangedFile, Changes, Collected, TaskName};
use crate::transcript::Content;

fn text(card: &CallUpdate) -> &str {
    match card.content.as_deref() {
        Some([CallContent::Content(Content::Text { text })]) => text,
        other => panic!("{other:?}"),
    }
}

fn picture(picture: Picture<'_>) -> CallUpdate {
    let name = TaskName::of(1);
    update(Face { name: &name, attempt: 1, goal: "g" }, picture, &Mask::default())
}

#[track_caller]
fn check(shown: Picture<'_>, status: CallStatus, expected: &Expect) {
    let card = picture(shown);
    assert_eq!(card.status, Some(status));
    expected.assert_eq(text(&card));
}

fn pulse() -> Pulse {
    let mut pulse = Pulse { steps: 1, calls: 5, tokens: 12_000, ..Pulse::default() };
    pulse.tail.text("I look at ``` first.\n");
    pulse
}

fn collected(state: State, report: &str) -> Collected {
    Collected {
        task_id: "t1".to_owned(),
        goal: "g".to_owned(),
        state,
        place: None,
        report: Some(report.to_owned()),
        partial: None,
        error: None,
        working_seconds: 125,
        waiting_seconds: 0,
        tokens: 1_234_567,
        cost: Some(0.25),
        files_written: Vec::new(),
        schema_errors: Vec::new(),
        changes: None,
        is_unread: false,
    }
}

#[test]
fn a_whole_card_says_what_it_is_for() {
    let mask = Mask::new(&[Secret::new("hunter2-hunter2")]);
    let name = TaskName::of(1).below(2);
    let goal = "Use hunter2-hunter2\nand look for every place in the code where a path is read";
    let face = Face { name: &name, attempt: 2, goal };
    let card = card(face, Picture::Queued { place: 3 }, &mask);
    expect![[r#"
        {
          "id": "task-t1.2-2",
          "tool": "delegate_task_async",
          "title": "`t1.2` · Use (key) and look for every place in the code where a path…",
          "kind": "think",
          "status": "pending",
          "content": [
            {
              "content": {
                "type": "text",
                "text": "queued, place 3"
              }
            }
          ],
          "input": {
            "task_id": "t1.2",
            "goal": "Use (key)\nand look for every place in the code where a path is read"
          },
          "task": {
            "id": "t1.2",
            "state": "queued"
          }
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&card).unwrap());
    assert_eq!(id(&TaskName::of(1), 1), CallId::new("task-t1"));
}

#[test]
fn a_card_shows_how_the_task_stands() {
    let name = TaskName::of(1);
    check(
        Picture::Running { pulse: &Pulse::default() },
        CallStatus::InProgress,
        &expect!["running"],
    );
    check(
        Picture::Running { pulse: &pulse() },
        CallStatus::InProgress,
        &expect![[r#"
            running · 1 step · 5 calls · 12 000 tokens
            ````
            I look at ``` first.
            ````"#]],
    );
    let stalled = Pulse { is_stalled: true, sign: Timestamp(37_920_000), ..pulse() };
    check(
        Picture::Running { pulse: &stalled },
        CallStatus::InProgress,
        &expect![[r#"
            running · 1 step · 5 calls · 12 000 tokens
            no sign of life since 10:32 UTC; it goes on, and `/cancel t1` ends it
            ````
            I look at ``` first.
            ````"#]],
    );
    let asker = name.below(2);
    check(
        Picture::Waiting { asker: &asker, title: "Edit\nx", pulse: &Pulse::default() },
        CallStatus::InProgress,
        &expect![[r#"
            waiting for permission: Edit x
            answer the dialog, or `/allow t1.2`, `/deny t1.2`"#]],
    );
    check(
        Picture::Interrupted,
        CallStatus::Failed,
        &expect![[r#"
            interrupted: the process that ran it ended
            `/resume t1` lets it go on"#]],
    );
}

#[test]
fn the_last_card_shows_the_reports_head() {
    check(
        Picture::Ended { collected: &collected(State::Completed, "\nAll is well.\n") },
        CallStatus::Completed,
        &expect![[r#"
            completed · 2 min 5 s · 1 234 567 tokens · $0.25

            All is well."#]],
    );
    let error = Some("the task was cancelled: enough".to_owned());
    check(
        Picture::Ended { collected: &Collected { error, ..collected(State::Cancelled, "") } },
        CallStatus::Failed,
        &expect![[r#"
            cancelled · 2 min 5 s · 1 234 567 tokens · $0.25
            the task was cancelled: enough"#]],
    );
    let long = "```rust\nline\n".to_owned() + &"line\n".repeat(20) + "```\n";
    check(
        Picture::Ended { collected: &collected(State::Completed, &long) },
        CallStatus::Completed,
        &expect![[r#"
            completed · 2 min 5 s · 1 234 567 tokens · $0.25

            ```rust
            line
            line
            line
            line
            line
            line
            line
            ```
            … `/collect t1` shows all of it"#]],
    );
}

#[test]
fn numbers_are_readable() {
    let groups: Vec<String> = [0, 999, 1_000, 12_345, 1_234_567].map(grouped).into();
    assert_eq!(groups, ["0", "999", "1 000", "12 345", "1 234 567"]);
    for (seconds, text) in
        [(0, "0 s"), (60, "1 min"), (61, "1 min 1 s"), (3_601, "1 h"), (3_660, "1 h 1 min")]
    {
        assert_eq!(duration(std::time::Duration::from_secs(seconds)), text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_card_is_small(report in "([a-zä`\n]|\\PC){0,3000}", error in prop::option::of(".{0,900}")) {
        let mut pulse = pulse();
        pulse.tail.text(&report);
        pulse.tail.end_text();
        let collected = Collected { error, ..collected(State::Failed, &report) };
        let name = TaskName::of(1);
        for shown in [
            Picture::Running { pulse: &pulse },
            Picture::Waiting { asker: &name, title: &report, pulse: &pulse },
            Picture::Ended { collected: &collected },
        ] {
            let card = picture(shown);
            let text = text(&card);
            prop_assert!(text.lines().count() <= MOST_LINES, "{text}");
            prop_assert!(text.len() <= MOST_BYTES, "{} bytes: {text}", text.len());
        }
    }
}

#[test]
fn the_card_of_an_isolated_task_names_its_branch() {
    let changes = Changes {
        branch: "talaria/t1-01234567".to_owned(),
        base: "abc".to_owned(),
        uncommitted: 0,
        files: vec![ChangedFile {
            path: "a.rs".to_owned(),
            change: Change::Added,
            added: Some(3),
            removed: Some(0),
        }],
        diff: String::new(),
        is_cut: false,
    };
    let mut collected = collected(State::Completed, "All is well.");
    collected.changes = Some(changes.clone());
    let shown = Picture::Ended { collected: &collected };
    check(
        shown,
        CallStatus::Completed,
        &expect![[r#"
        completed · 2 min 5 s · 1 234 567 tokens · $0.25
        branch `talaria/t1-01234567`: 1 file changed, 3 lines added, 0 removed
        `/diff t1` shows it; `/merge t1` or `/discard t1`

        All is well."#]],
    );
    collected.changes = Some(Changes { files: Vec::new(), ..changes });
    let shown = Picture::Ended { collected: &collected };
    check(
        shown,
        CallStatus::Completed,
        &expect![[r#"
        completed · 2 min 5 s · 1 234 567 tokens · $0.25
        branch `talaria/t1-01234567`: nothing changed

        All is well."#]],
    );
}
