//! How commands of tasks are read, and the words of their answers.

use expect_test::expect;

use super::words::{cancelled, changed, checked, collected, listed, merged, started, steered};
use super::{TaskCommand, parse};
use crate::tasks::engine::State;
use crate::tasks::{
    Cancelled, Change, ChangedFile, Changes, Checked, Collected, Pending, Row, Started, Steered,
    TaskError, TaskName,
};
use crate::transcript::Content;

fn read(typed: &str) -> Option<TaskCommand> {
    let typed = typed.strip_prefix('/').unwrap();
    let (name, rest) =
        typed.split_once(' ').map_or((typed, None), |(name, rest)| (name, Some(rest)));
    parse(name, rest, &[])
}

#[test]
fn commands_are_read_as_they_are_typed() {
    let mut text = String::new();
    for typed in [
        "/task",
        "/task look at a.rs",
        "/tasks",
        "/tasks running",
        "/tasks Running",
        "/tasks busy",
        "/check t1",
        "/check T1, t2.3",
        "/check t1\tt2\u{a0}t3",
        "/check one",
        "/steer t1 not there",
        "/steer t1",
        "/collect `t1`",
        "/cancel t1 no longer needed",
        "/cancel t1 t2 does that better",
        "/cancel t1, t2 `t3`",
        "/cancel t1:",
        "/cancel all",
        "/cancel",
        "/stop",
        "/allow t1",
        "/allow t1.2 always",
        "/allow t1 Always",
        "/allow t1 maybe",
        "/deny 1 it is generated",
        "/resume",
        "/resume all",
        "/resume All",
        "/resume t0",
        "/diff t1",
        "/diff",
        "/merge t1, t2.1",
        "/merge all",
        "/discard `t1` t2",
        "/model x",
    ] {
        let read = match read(typed) {
            Some(TaskCommand::Start(task)) => format!("start {:?} {:?}", task.goal, task.context),
            Some(command) => format!("{command:?}"),
            None => "no command of tasks".to_owned(),
        };
        text.push_str(&format!("{typed}: {read}\n"));
    }
    expect![[r#"
        /task: Misread("`/task GOAL`, such as `/task review src/main.rs`")
        /task look at a.rs: start "look at a.rs" None
        /tasks: List(None)
        /tasks running: List(Some(Running))
        /tasks Running: List(Some(Running))
        /tasks busy: Misread("`/tasks`, with one of these behind it: queued, running, waiting, interrupted, completed, failed, cancelled")
        /check t1: Check([TaskName([1])])
        /check T1, t2.3: Check([TaskName([1]), TaskName([2, 3])])
        /check t1	t2 t3: Check([TaskName([1]), TaskName([2]), TaskName([3])])
        /check one: Misread("`/check t1`; `/tasks` lists them")
        /steer t1 not there: Steer(TaskName([1]), "not there")
        /steer t1: Misread("`/steer t1 MESSAGE`")
        /collect `t1`: Collect([TaskName([1])])
        /cancel t1 no longer needed: Cancel([TaskName([1])], Some("no longer needed"))
        /cancel t1 t2 does that better: Cancel([TaskName([1])], Some("t2 does that better"))
        /cancel t1, t2 `t3`: Cancel([TaskName([1]), TaskName([2]), TaskName([3])], None)
        /cancel t1:: Cancel([TaskName([1])], None)
        /cancel all: Misread("`/cancel t1`, with the reason behind it if you like; `/stop` cancels all")
        /cancel: Misread("`/cancel t1`, with the reason behind it if you like; `/stop` cancels all")
        /stop: Stop
        /allow t1: Answer(TaskName([1]), AllowOnce, None)
        /allow t1.2 always: Answer(TaskName([1, 2]), AllowAlways, None)
        /allow t1 Always: Answer(TaskName([1]), AllowAlways, None)
        /allow t1 maybe: Misread("`/allow t1`, or `/allow t1 always`")
        /deny 1 it is generated: Answer(TaskName([1]), RejectOnce, Some("it is generated"))
        /resume: Resume(All)
        /resume all: Resume(All)
        /resume All: Resume(All)
        /resume t0: Misread("`/resume t1`, or `/resume all`")
        /diff t1: Diff([TaskName([1])])
        /diff: Misread("`/diff t1`; `/tasks` lists them")
        /merge t1, t2.1: Merge([TaskName([1]), TaskName([2, 1])])
        /merge all: Misread("`/merge t1`; `/tasks` lists them")
        /discard `t1` t2: Discard([TaskName([1]), TaskName([2])])
        /model x: no command of tasks
    "#]]
    .assert_eq(&text);
}

#[test]
fn what_stands_beside_the_command_is_context() {
    let link = Content::Link { uri: "file:///a.rs".to_owned(), name: "a.rs".to_owned() };
    let file = Content::Resource { uri: "file:///b.rs".to_owned(), text: "fn b() {}".to_owned() };
    let Some(TaskCommand::Start(task)) = parse("task", Some("review them"), &[&link, &file]) else {
        panic!("a task")
    };
    assert_eq!(task.goal, "review them");
    assert_eq!(task.context.as_deref(), Some("a.rs: file:///a.rs\n\nfile:///b.rs:\nfn b() {}"));
}

#[test]
fn the_words_of_the_answers() {
    let question = || {
        let (id, call) = (crate::ids::CallId::new("task-t1/c3"), "Edit src/main.rs".to_owned());
        Some(Pending { id, call, detail: None, since_seconds: 130 })
    };
    let row = |task_id: &str, state, place, question| Row {
        task_id: task_id.to_owned(),
        goal: "look at\nall of it ".repeat(8),
        state,
        place,
        age_seconds: 7_300,
        tokens: 12,
        question,
        error: None,
        line: None,
    };
    let check = Checked {
        task_id: "t1".to_owned(),
        goal: "look".to_owned(),
        state: State::Waiting,
        place: None,
        age_seconds: 10,
        working_seconds: 8,
        waiting_seconds: 2,
        steps: 3,
        calls: 4,
        tokens: 500,
        cost: Some(0.01),
        question: question(),
        quiet_seconds: Some(500),
        unread_messages: Some(2),
        error: None,
        lines: vec!["one".to_owned(), "```".to_owned()],
    };
    let collect = Collected {
        task_id: "t1".to_owned(),
        goal: "look".to_owned(),
        state: State::Failed,
        place: None,
        report: Some("It was seen.".to_owned()),
        partial: None,
        error: Some("the provider is gone".to_owned()),
        working_seconds: 1,
        waiting_seconds: 0,
        tokens: 1,
        cost: None,
        files_written: vec!["a.rs".to_owned(), "b.rs".to_owned()],
        schema_errors: vec!["`/n` is missing".to_owned()],
        changes: None,
        is_unread: false,
    };
    let running = Collected {
        state: State::Running,
        report: None,
        partial: Some("I am".to_owned()),
        error: None,
        files_written: Vec::new(),
        schema_errors: Vec::new(),
        changes: None,
        ..collect.clone()
    };
    let steer = |receipt, state| Steered { task_id: "t1".to_owned(), receipt, state };
    let start = |state, place| Started { task_id: "t1".to_owned(), state, place };
    let cancel = |state| Cancelled { task_id: "t1".to_owned(), state, partial: None };
    let answers = [
        started(&start(State::Running, None)),
        started(&start(State::Queued, Some(3))),
        listed(&[], None),
        listed(&[], Some(State::Failed)),
        listed(
            &[row("t2", State::Queued, Some(2), None), row("t1", State::Waiting, None, question())],
            None,
        ),
        checked(&check),
        steered(&steer("queued", State::Running)),
        steered(&steer("missed", State::Failed)),
        collected(&collect),
        collected(&running),
        cancelled(&[]),
        cancelled(&[cancel(State::Cancelled), cancel(State::Completed)]),
    ];
    expect![[r#"
        `t1` is running. It reports by itself when it is done.

        `t1` is queued, at place 3.

        This session has no tasks. `/task GOAL` starts one.

        No task of this session is failed.

        - `t2` queued, place 2, asked for 2 h ago: look at all of it look at all of it look at all of it look at all of it look at…
        - `t1` waiting, asked for 2 h ago: look at all of it look at all of it look at all of it look at all of it look at…
          - asked 2 min ago: Edit src/main.rs (`/allow t1`, `/deny t1`)

        `t1` waiting: look
        - 10 s old, worked 8 s, waited 2 s
        - 3 requests, 4 calls, 500 tokens, 0.0100 USD
        - asked 2 min ago: Edit src/main.rs (`/allow t1`, `/deny t1`)
        - no sign of life for 8 min
        - 2 messages to it not seen yet

        ````
        one
        ```
        ````

        `t1` sees the message before its next request to the model.

        `t1` is failed: it does not see the message.

        `t1` failed: look
        the provider is gone
        Files written: a.rs, b.rs
        - `/n` is missing

        It was seen.

        `t1` running: look

        So far:

        I am

        No task of this session runs or waits.

        `t1` is cancelled.
        `t1` is completed."#]]
    .assert_eq(&answers.join("\n\n"));
}

#[test]
fn the_words_for_changes() {
    let file = |path: &str, change| ChangedFile {
        path: path.to_owned(),
        change,
        added: Some(1),
        removed: Some(0),
    };
    let changes = Changes {
        branch: "talaria/t1-01234567".to_owned(),
        base: "0123456789abcdef".to_owned(),
        uncommitted: 1,
        files: vec![file("a.rs", Change::Added), file("b.rs", Change::Deleted)],
        diff: "+one\n".to_owned(),
        is_cut: true,
    };
    let name = TaskName::of(1);
    let nothing = Changes { files: Vec::new(), diff: String::new(), ..changes.clone() };
    let conflict = TaskError::Conflict {
        name: "t1".to_owned(),
        branch: changes.branch.clone(),
        files: vec!["a.rs".to_owned(), "b.rs".to_owned()],
    };
    let texts = [
        changed(&name, State::Running, &changes),
        changed(&name, State::Completed, &nothing),
        merged(&changes.files),
        merged(&[]),
        conflict.fault().sentence(),
    ];
    expect![[r#"
        `t1` running, branch `talaria/t1-01234567`: 2 files changed, 2 lines added, 0 removed
        It did not have what was not committed when it began: 1 file.

        ```diff
        +one
        ```

        The rest is left out; `git diff 0123456789ab talaria/t1-01234567` shows what is committed of it.
        ---
        `t1` completed, branch `talaria/t1-01234567`: nothing changed
        It did not have what was not committed when it began: 1 file.
        ---
        Merged into the working tree, not committed: 2 files.
        - added: a.rs
        - deleted: b.rs
        ---
        There was nothing to merge: no file was changed.
        ---
        The changes of `t1` do not fit what is in the working tree, and nothing was touched: a.rs, b.rs; undo what was changed there and merge again, or merge the branch `talaria/t1-01234567` with git."#]].assert_eq(&texts.join("\n---\n"));
}
