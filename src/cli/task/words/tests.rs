//! The words of answers.

use expect_test::expect;
use serde_json::json;

use super::*;

fn task(id: &str, state: TaskState) -> TaskSummary {
    TaskSummary {
        task_id: id.to_owned(),
        goal: format!("Look at\nthe {id}\u{1b}[2J"),
        state,
        place: (state == TaskState::Queued).then_some(2),
        age_seconds: 75,
        tokens: 12_345,
        question: (state == TaskState::Waiting).then(|| TaskQuestion {
            id: "task-t1/c3".to_owned(),
            call: "Edit\nsrc/main.rs".to_owned(),
            detail: None,
            since_seconds: 5,
        }),
        error: None,
        line: None,
    }
}

#[test]
fn a_list_fits_the_terminal() {
    let tasks = [
        task("t10", TaskState::Waiting),
        task("t2", TaskState::Queued),
        TaskSummary { tokens: 0, ..task("t1", TaskState::Completed) },
    ];
    expect![[r#"
        t10  waiting          1 min 15 s old  12 345 tokens  Look at the t10 [2J
            asks for 5 s: Edit src/main.rs (`talaria task answer t10 allow|always|deny`)
        t2   queued, place 2  1 min 15 s old  12 345 tokens  Look at the t2 [2J
        t1   completed        1 min 15 s old                 Look at the t1 [2J"#]]
    .assert_eq(&listed(&tasks, None));
    let narrow = listed(&tasks, Some(30));
    assert!(narrow.lines().all(|line| line.chars().count() <= 30), "{narrow}");
}

#[test]
fn how_a_task_stands_is_said_as_on_its_card() {
    let check: CheckTaskResponse = serde_json::from_value(json!({
        "taskId": "t1", "goal": "Look", "state": "failed", "ageSeconds": 90, "workingSeconds": 61,
        "waitingSeconds": 0, "steps": 1, "calls": 1, "tokens": 1200, "error": "no\nkey", "lines": [],
    }))
    .expect("a message");
    let told = [
        told(&task("t1", TaskState::Queued), None),
        told(&task("t1", TaskState::Running), None),
        told(&task("t1", TaskState::Waiting), None),
        told(&task("t1", TaskState::Interrupted), None),
        told(&task("t1", TaskState::Failed), Some(&check)),
    ];
    expect![[r#"
        queued, place 2
        running
        waiting for permission: Edit src/main.rs (`talaria task answer t1 allow|always|deny`)
        interrupted (`talaria task resume t1`)
        failed · 1 min 1 s · 1 200 tokens: no key
    "#]]
    .assert_eq(&told.map(|standing| format!("{}\n", standing.details)).concat());
}

#[test]
fn a_report_comes_whole_behind_how_it_ended() {
    let collected = |value: serde_json::Value| {
        collected(&serde_json::from_value(value).expect("a message")) + "\n---\n"
    };
    let ended = collected(json!({
        "taskId": "t1", "goal": "Look", "state": "completed", "report": "It is there.\n\nThere.\n",
        "workingSeconds": 3, "waitingSeconds": 0, "tokens": 0, "filesWritten": ["a", "b"],
        "changes": {"branch": "talaria/t1-abc", "base": "0", "uncommitted": 0, "diff": "", "isCut": false, "files":
            [{"path": "a", "change": "added", "added": 1, "removed": 0}]},
    }));
    let waits = collected(json!({
        "taskId": "t2", "goal": "Look", "state": "waiting", "partial": "Hm.",
        "workingSeconds": 3, "waitingSeconds": 0, "tokens": 0,
    }));
    expect![[r#"
        t1 completed · 3 s: Look
        Files written: a, b
        Changed 1 file on branch `talaria/t1-abc` (`talaria task diff t1`, `merge t1`, `discard t1`).

        It is there.

        There.
        ---
        t2 waiting: Look
        `talaria task answer t2 allow|always|deny`

        So far:

        Hm.
        ---
    "#]]
    .assert_eq(&format!("{ended}{waits}"));
}

#[test]
fn a_merge_names_what_it_changed() {
    let changed: Vec<ChangedFile> = serde_json::from_value(json!([
        {"path": "src/a.rs", "change": "modified", "added": 3, "removed": 1},
        {"path": "logo.png", "change": "added"},
    ]))
    .expect("files");
    expect![[r#"
        M  src/a.rs  +3 -1
        A  logo.png  binary
        Merged t1 and t2: 2 files. Nothing is staged or committed."#]]
    .assert_eq(&merged(&["t1".to_owned(), "t2".to_owned()], &changed));
    assert_eq!(merged(&["t1".to_owned()], &[]), "t1 changed nothing.");
}
