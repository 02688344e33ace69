//! Reports as models see them, and what is kept of them.

use std::time::Duration;

use expect_test::expect;
use serde_json::json;

use super::{Work, collected, escaped, frame, shortened, so_far, state_of};
use crate::clock::Timestamp;
use crate::config::Secret;
use crate::ids::{MessageId, SessionId, TaskId};
use crate::permission::Mode;
use crate::redact::Mask;
use crate::tasks::engine::{Outcome, Report, Spec, State, Status, Task};
use crate::tasks::runner::Pulse;
use crate::tasks::{By, Change, ChangedFile, Changes, Details, Origin, TaskName};
use crate::transcript::Usage;

fn details() -> Details {
    Details {
        child: SessionId::new("c"),
        by: By::Model,
        origin: Origin { prompt: MessageId::new("m1"), generation: 0 },
        mode: Mode::Ask,
        depth: 1,
        context: None,
        toolsets: Vec::new(),
        model: None,
        output_schema: None,
        images: Vec::new(),
        continues: None,
        isolation: crate::tasks::Isolation::None,
    }
}

fn task() -> Task {
    Task {
        task: TaskId { session: SessionId::new("s"), number: 1 },
        spec: Spec { goal: "Look </task_report> around".to_owned(), details: json!(null) },
        status: Status {
            state: State::Running,
            usage: Usage { input: 900, output: 100, cached: 0 },
            cost: 0.5,
            ..Status::default()
        },
    }
}

fn work() -> Work {
    Work {
        child: SessionId::new("c"),
        steps: 3,
        calls: 4,
        tokens: 12_000,
        cost: Some(0.25),
        working_ms: 65_900,
        waiting_ms: 5_000,
        files_written: vec!["/p/a.rs".to_owned(), "/p/b.rs".to_owned()],
        schema_errors: Vec::new(),
        ..Work::default()
    }
}

fn report(text: &str, work: &Work) -> Report {
    Report { text: text.to_owned(), details: serde_json::to_value(work).unwrap() }
}

#[test]
fn a_frame_makes_sense_later() {
    let outcome = Outcome::Completed { report: report("All is well.\n", &work()) };
    let collected = collected(&TaskName::of(1), &task(), Some(&outcome), None);
    let details = Details { context: Some("It is\nlate.".to_owned()), ..details() };
    expect![[r#"
        <task_report id="t1" state="completed">
        goal: Look &lt;/task_report> around
        context: It is late.
        asked for 5 min ago · worked 1 min 5 s · waited 5 s · 12 000 tokens · $0.25
        files written: /p/a.rs, /p/b.rs

        All is well.
        </task_report>"#]]
    .assert_eq(&frame(&collected, &details, Duration::from_mins(5), 24_000));
}

fn changes() -> Changes {
    let file = |path: &str, change, added| ChangedFile {
        path: path.to_owned(),
        change,
        added: Some(added),
        removed: Some(1),
    };
    Changes {
        branch: "talaria/t1-01234567".to_owned(),
        base: "abc".to_owned(),
        uncommitted: 2,
        files: vec![file("a.rs", Change::Modified, 2), file("b.rs", Change::Deleted, 0)],
        diff: "-old\n+new </task_report>\n".to_owned(),
        is_cut: false,
    }
}

#[test]
fn an_isolated_task_reports_its_branch_and_diff() {
    let work = Work { changes: Some(changes()), ..work() };
    let outcome = Outcome::Completed { report: report("All is well.\n", &work) };
    let whole = collected(&TaskName::of(1), &task(), Some(&outcome), None);
    expect![[r#"
        <task_report id="t1" state="completed">
        goal: Look &lt;/task_report> around
        asked for 5 min ago · worked 1 min 5 s · waited 5 s · 12 000 tokens · $0.25
        branch `talaria/t1-01234567`: 2 files changed, 2 lines added, 2 removed
        That is not in your working folder: the user decides with `/merge t1` or `/discard t1`.
        It did not have what was not committed when it began: 2 files.

        All is well.

        Its diff:
        -old
        +new &lt;/task_report>
        </task_report>"#]]
    .assert_eq(&frame(&whole, &details(), Duration::from_mins(5), 24_000));

    let long = Changes { diff: "+ä\n".repeat(20_000), ..changes() };
    let work = Work { changes: Some(long), unsealed: Some("it took long".to_owned()), ..work };
    let outcome = Outcome::Cancelled { reason: "enough".to_owned(), report: report("", &work) };
    let cut = collected(&TaskName::of(1), &task(), Some(&outcome), None);
    assert_eq!(cut.error.as_deref(), Some("enough; it took long"));
    let frame = frame(&cut, &details(), Duration::from_mins(5), 24_000);
    assert!(frame.chars().count() < 9_000, "{}", frame.chars().count());
    assert!(frame.contains("the rest is left out; the branch has it, and `/diff t1`"), "{frame}");
}

#[test]
fn a_failure_says_why() {
    let work = Work {
        schema_errors: vec!["`/a`: it is not of type \"string\"".to_owned()],
        files_written: Vec::new(),
        ..work()
    };
    let (message, report) = ("it broke".to_owned(), report("{}", &work));
    let collected =
        collected(&TaskName::of(1), &task(), Some(&Outcome::Failed { message, report }), None);
    expect![[r#"
        <task_report id="t1" state="failed">
        goal: Look &lt;/task_report> around
        asked for 1 min ago · worked 1 min 5 s · waited 5 s · 12 000 tokens · $0.25
        failed: it broke
        against `output_schema`: `/a`: it is not of type "string"

        What it had said last:

        {}
        </task_report>"#]]
    .assert_eq(&frame(&collected, &details(), Duration::from_mins(1), 24_000));

    // Cancelled before anybody ran it.
    let outcome = Outcome::Cancelled { reason: "enough".to_owned(), report: Report::default() };
    let collected = super::collected(&TaskName::of(1), &task(), Some(&outcome), None);
    assert_eq!(collected.tokens, 1_000);
    expect![[r#"
        <task_report id="t1" state="cancelled">
        goal: Look &lt;/task_report> around
        asked for 0 s ago · worked 0 s · 1 000 tokens · $0.50
        cancelled: enough

        It said nothing.
        </task_report>"#]]
    .assert_eq(&frame(&collected, &details(), Duration::ZERO, 24_000));
}

#[test]
fn no_report_ends_or_begins_another() {
    for (text, expected) in [
        ("a </task_report> b", "a &lt;/task_report> b"),
        ("</ TASK_Report\n>", "&lt;/ TASK_Report\n>"),
        ("<task_report id=\"t2\">", "&lt;task_report id=\"t2\">"),
        ("<<task_report", "<&lt;task_report"),
        ("a < b, </p>, task_report", "a < b, </p>, task_report"),
    ] {
        assert_eq!(escaped(text), expected);
    }
}

#[test]
fn a_long_report_is_cut_in_the_middle() {
    let report = "ä".repeat(60) + &"x".repeat(60) + &"z".repeat(60);
    assert_eq!(shortened(&report, 180, "t1"), report);
    assert_eq!(
        shortened(&report, 80, "t1"),
        format!(
            "{}\n[… 100 characters are left out here; `collect_task` with the task id `t1` gives all of it \
             …]\n{}",
            "ä".repeat(60),
            "z".repeat(20)
        )
    );
}

#[test]
fn what_is_kept_is_read_again() {
    let value = serde_json::to_value(work()).unwrap();
    assert_eq!(serde_json::from_value::<Work>(value).unwrap(), work());
    // What a newer Talaria adds, and what an older one did not know.
    let other = json!({ "steps": 1, "new": true });
    assert_eq!(
        serde_json::from_value::<Work>(other).unwrap(),
        Work { steps: 1, ..Work::default() }
    );
}

#[test]
fn a_running_task_gives_what_there_is() {
    let mask = Mask::new(&[Secret::new("hunter2-hunter2")]);
    let mut pulse = Pulse { tokens: 7, since: Timestamp(1_000), ..Pulse::default() };
    pulse.said = "First, hunter2-hunter2.".into();
    pulse.tail.text("Second, hunter2-hun");
    let goal = "g hunter2-hunter2";
    let now = (Timestamp(4_000), &mask);
    let found = so_far(&TaskName::of(1), goal, State::Running, &pulse, now);
    assert_eq!(found.goal, "g (key)");
    assert_eq!(found.partial.as_deref(), Some("First, (key).\n\nSecond,"));
    assert_eq!((found.working_seconds, found.tokens), (3, 7));
}

#[test]
fn a_frame_says_how_its_task_ended() {
    for state in State::ALL {
        let text = format!("<task_report id=\"t1\" state=\"{state}\">\ngoal: state=\"failed\"");
        assert_eq!(state_of(&text), state.is_final().then_some(state));
    }
    for text in ["", "report of t1", "<task_report ", "<task_report id=\"t1\">", " <task_report>"] {
        assert_eq!(state_of(text), None, "{text}");
    }
}
