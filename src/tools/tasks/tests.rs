//! Tests of the tools about tasks: what they say of themselves, what they read, what they refuse. Nobody
//! answers behind them here.

mod live;

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use futures::FutureExt as _;
use serde_json::{Value, json};

use super::input::wanted;
use super::{TaskLimits, all};
use crate::config::{DelegationSection, TasksSection};
use crate::event::ToolKind;
use crate::ids::{MessageId, SessionId};
use crate::permission::Mode;
use crate::tasks::{By, Caller, Door, Origin, TasksHandle, handle};
use crate::tools::test_support::Desk;
use crate::tools::{Effect, Places, ToolSettings, Toolbox};
use crate::transcript::Outcome;

fn toolbox() -> Toolbox {
    Toolbox::builtin(&ToolSettings::default()).only(&["tasks".to_owned()], true).unwrap()
}

fn described(limits: &TaskLimits) -> String {
    let mut text = String::new();
    for tool in all(limits, &["read", "edit", "tasks"]) {
        let spec = tool.spec();
        writeln!(text, "{}: {}\n  {}", spec.name, spec.description, spec.schema).unwrap();
    }
    text
}

#[test]
fn the_tools_say_what_the_limits_are() {
    let check = |expected: Expect, text: &str| expected.assert_eq(text);
    check(
        expect![[r#"
            delegate_task_async: Start a background task: a subagent that knows only `goal` and `context`. Answers at once with its id (`t1`); its report comes to you by itself. Limits: 10 run at once, 100 more queue, 20 per user prompt; subagents cannot delegate.
              {"type":"object","properties":{"goal":{"type":"string","description":"What to do and what to report, complete in itself"},"context":{"type":"string","description":"What it must know: files, findings, constraints"},"toolsets":{"type":"array","items":{"enum":["read","edit"]},"description":"Default: all of yours"},"model":{"type":"string","description":"Default: the configured one"},"output_schema":{"type":"object","description":"JSON Schema of its report"},"images":{"type":"array","items":{"type":"string"},"description":"Paths of up to 8 pictures it sees"},"continues":{"type":"string","description":"Finished task whose conversation it goes on from"},"isolation":{"enum":["none","worktree"],"description":"`worktree`: its own git worktree of HEAD, for the user to merge"},"tasks":{"type":"array","description":"Several tasks, in place of `goal`; all start or none. Fields beside it are defaults for entries.","items":{"type":"object","properties":{"goal":{"type":"string"},"context":{"type":"string"},"toolsets":{"type":"array","items":{"enum":["read","edit"]}},"model":{"type":"string"},"output_schema":{"type":"object"},"images":{"type":"array","items":{"type":"string"}},"continues":{"type":"string"},"isolation":{"enum":["none","worktree"]}},"required":["goal"]}}}}
            delegate_task: As `delegate_task_async`, but waits until all have ended, in parallel, and answers with their reports.
              {"type":"object","properties":{"goal":{"type":"string","description":"What to do and what to report, complete in itself"},"context":{"type":"string","description":"What it must know: files, findings, constraints"},"toolsets":{"type":"array","items":{"enum":["read","edit"]},"description":"Default: all of yours"},"model":{"type":"string","description":"Default: the configured one"},"output_schema":{"type":"object","description":"JSON Schema of its report"},"images":{"type":"array","items":{"type":"string"},"description":"Paths of up to 8 pictures it sees"},"continues":{"type":"string","description":"Finished task whose conversation it goes on from"},"isolation":{"enum":["none","worktree"],"description":"`worktree`: its own git worktree of HEAD, for the user to merge"},"tasks":{"type":"array","description":"Several tasks, in place of `goal`; all start or none. Fields beside it are defaults for entries.","items":{"type":"object","properties":{"goal":{"type":"string"},"context":{"type":"string"},"toolsets":{"type":"array","items":{"enum":["read","edit"]}},"model":{"type":"string"},"output_schema":{"type":"object"},"images":{"type":"array","items":{"type":"string"}},"continues":{"type":"string"},"isolation":{"enum":["none","worktree"]}},"required":["goal"]}}}}
            check_task: How a task stands, without waiting: state, pending question, its last 10 lines, or `lines` of them, at most 200.
              {"type":"object","properties":{"task_id":{"type":"string"},"lines":{"type":"integer"}},"required":["task_id"]}
            steer_task: Tell a task something; it sees it before its next step. One that has ended misses it: start a task that `continues` it.
              {"type":"object","properties":{"task_id":{"type":"string"},"message":{"type":"string"}},"required":["task_id","message"]}
            collect_task: Wait for tasks and get their whole reports. At the timeout (300 s unless given, at most 3600): state and partial output; they go on.
              {"type":"object","properties":{"task_ids":{"type":"array","items":{"type":"string"}},"timeout_seconds":{"type":"integer"},"wait":{"enum":["all","any"],"description":"Default `all`"}},"required":["task_ids"]}
            cancel_task: End a task and those below it; gives its partial report.
              {"type":"object","properties":{"task_id":{"type":"string"},"reason":{"type":"string"}},"required":["task_id"]}
            list_tasks: This session's tasks, newest first.
              {"type":"object","properties":{"state":{"enum":["queued","running","waiting","interrupted","completed","failed","cancelled"]}}}
        "#]],
        &described(&TaskLimits::default()),
    );
    let delegation = DelegationSection {
        max_concurrent_children: 3,
        max_queued: 0,
        max_spawn_depth: 2,
        child_timeout_seconds: 600,
        ..DelegationSection::default()
    };
    let section = TasksSection { max_per_prompt: 5, ..TasksSection::default() };
    let text = described(&TaskLimits::of(&delegation, &section));
    check(
        expect![
            "delegate_task_async: Start a background task: a subagent that knows only `goal` and `context`. Answers at once with its id (`t1`); its report comes to you by itself. Limits: 3 run at once, 0 more queue, 5 per user prompt; tasks nest 2 deep; each ends after 600 s."
        ],
        text.lines().next().unwrap(),
    );
    assert!(text.contains(r#"{"enum":["read","edit","tasks"]}"#), "{text}");
    let one = DelegationSection { max_concurrent_children: 0, ..DelegationSection::default() };
    let text = described(&TaskLimits::of(&one, &section));
    assert!(text.contains("Limits: 1 run at once"), "{text}");
    let none = DelegationSection { max_spawn_depth: 0, ..DelegationSection::default() };
    assert_eq!(described(&TaskLimits::of(&none, &section)), "");
}

#[test]
fn tasks_are_read_as_models_write_them() {
    let mut text = String::new();
    for input in [
        json!({"goal": " Find it. ", "context": "", "toolsets": "read, edit", "continues": 1}),
        json!({"goal": "a", "tasks": [], "images": "x.png", "output_schema": "{\"type\":\"object\"}"}),
        json!({"goal": "", "tasks": "[{\"goal\": \"a\"}, \"b\"]", "model": "small"}),
        json!({"tasks": [{"goal": "a", "toolsets": ["edit"]}, {"goal": "b", "model": null}],
               "toolsets": ["read"], "model": "small"}),
        json!({"tasks": {"prompt": "a", "continues": "`T2`", "images": ["1.png", "2.png"]}}),
        json!(["a", {"goal": "b"}]),
        json!("{\"goal\": \"a\"}"),
    ] {
        for wanted in wanted(&input).unwrap() {
            writeln!(text, "{:?} {:?}", wanted.task, wanted.images).unwrap();
        }
        text.push('\n');
    }
    expect![[r#"
        NewTask { goal: "Find it.", context: None, toolsets: ["read", "edit"], model: None, output_schema: None, images: [], continues: Some(TaskName([1])), isolation: None } []

        NewTask { goal: "a", context: None, toolsets: [], model: None, output_schema: Some(Object {"type": String("object")}), images: [], continues: None, isolation: None } ["x.png"]

        NewTask { goal: "a", context: None, toolsets: [], model: Some("small"), output_schema: None, images: [], continues: None, isolation: None } []
        NewTask { goal: "b", context: None, toolsets: [], model: Some("small"), output_schema: None, images: [], continues: None, isolation: None } []

        NewTask { goal: "a", context: None, toolsets: ["edit"], model: Some("small"), output_schema: None, images: [], continues: None, isolation: None } []
        NewTask { goal: "b", context: None, toolsets: ["read"], model: Some("small"), output_schema: None, images: [], continues: None, isolation: None } []

        NewTask { goal: "a", context: None, toolsets: [], model: None, output_schema: None, images: [], continues: Some(TaskName([2])), isolation: None } ["1.png", "2.png"]

        NewTask { goal: "a", context: None, toolsets: [], model: None, output_schema: None, images: [], continues: None, isolation: None } []
        NewTask { goal: "b", context: None, toolsets: [], model: None, output_schema: None, images: [], continues: None, isolation: None } []

        NewTask { goal: "a", context: None, toolsets: [], model: None, output_schema: None, images: [], continues: None, isolation: None } []

    "#]].assert_eq(&text);
}

#[tokio::test]
async fn bad_input_says_why() {
    let desk = Desk::new();
    let mut text = String::new();
    for (tool, input) in [
        ("delegate_task", json!({})),
        ("delegate_task", json!({"tasks": []})),
        ("delegate_task", json!({"goal": " "})),
        ("delegate_task_async", json!({"goal": "a", "tasks": [{"goal": "b"}]})),
        ("delegate_task_async", json!({"tasks": [{"goal": "a"}, {"goal": ""}]})),
        ("delegate_task_async", json!({"tasks": [{"goal": "a"}, 5]})),
        ("delegate_task_async", json!({"tasks": "a and b"})),
        ("delegate_task_async", json!({"goal": "a", "continues": "the first"})),
        ("delegate_task_async", json!({"goal": "a", "output_schema": "{"})),
        ("delegate_task_async", json!({"goal": "a", "output_schema": 1})),
        ("delegate_task_async", json!({"goal": "a", "toolsets": [["read"]]})),
        ("delegate_task_async", json!({"goal": "a", "images": vec!["x"; 9]})),
        ("check_task", json!({})),
        ("check_task", json!({"task_id": "first"})),
        ("check_task", json!({"task_id": 1, "lines": "all"})),
        ("steer_task", json!({"task_id": "t1", "message": " "})),
        ("collect_task", json!({"task_ids": []})),
        ("collect_task", json!({"task_ids": ["t1", "x"]})),
        ("collect_task", json!({"task_id": "t1", "timeout": 7200})),
        ("collect_task", json!({"task_id": "t1", "wait": "both"})),
        ("cancel_task", json!({"task_id": {"id": 1}})),
        ("list_tasks", json!({"state": "done"})),
    ] {
        let tool = toolbox().get(tool).unwrap();
        writeln!(text, "{}", desk.prepare(&*tool, &input).await.unwrap_err()).unwrap();
    }
    expect![[r#"
        no tasks are given; give a `goal` or at least one entry in `tasks`
        no tasks are given; give a `goal` or at least one entry in `tasks`
        the goal is empty; say in it what the task is to do
        both `goal` and `tasks` are given, so nothing was started; give each task its own entry in `tasks`, or a `goal` alone
        entry 2 of `tasks`: the goal is empty; say in it what the task is to do
        entry 2 of `tasks`: an object with a `goal` is expected
        the field `tasks` is "a and b": a list is expected
        there is no task `the first` in this session; `list_tasks` or `/tasks` lists those that are
        `output_schema` is no JSON Schema: EOF while parsing an object at line 1 column 1
        `output_schema` is no JSON Schema: an object is expected
        the field `toolsets` is [["read"]]: a list of words is expected
        the image `x` cannot be used: a task sees at most 8 images
        the field `task_id` is missing: a task such as `t1` is expected
        there is no task `first` in this session; `list_tasks` or `/tasks` lists those that are
        the field `lines` is "all": a whole number of 0 or more is expected
        the message is empty; say in it what the task should know
        the field `task_ids` is missing: tasks such as ["t1", "t2"] are expected
        there is no task `x` in this session; `list_tasks` or `/tasks` lists those that are
        the field `timeout_seconds` is 7200: a number from 0 to 3600 is expected
        the field `wait` is `both`: `all` or `any` is expected
        there is no task `{"id":1}` in this session; `list_tasks` or `/tasks` lists those that are
        the field `state` is `done`: one of queued, running, waiting, interrupted, completed, failed, cancelled is expected
    "#]].assert_eq(&text);
}

#[tokio::test]
async fn calls_have_titles() {
    let desk = Desk::new();
    let mut text = String::new();
    for (tool, input) in [
        ("delegate_task_async", json!({"goal": format!("Look {}\nthen more", "on ".repeat(30))})),
        ("delegate_task", json!({"tasks": ["a", "b"]})),
        ("check_task", json!({"task_id": 1})),
        ("check_task", json!({"task_id": "task-t12", "lines": "3"})),
        ("steer_task", json!({"task_id": "T1", "message": "go on"})),
        ("collect_task", json!({"task_ids": "t1, t2", "timeout": "5", "wait": "any"})),
        ("collect_task", json!({"task_id": 3, "task_ids": [3, "t4"]})),
        ("collect_task", json!({"task_ids": "[\"t1\"]"})),
        ("cancel_task", json!({"task_id": "t1", "reason": "late"})),
        ("list_tasks", Value::Null),
        ("list_tasks", json!({"state": "Waiting"})),
    ] {
        let tool = toolbox().get(tool).unwrap();
        let prepared = desk.prepare(&*tool, &input).await.unwrap();
        writeln!(text, "{:?} {}", tool.kind(), prepared.title).unwrap();
        assert_eq!((tool.effect(), prepared.touches.len()), (Effect::None, 0));
        assert_eq!(tool.is_shown_by_cards(), tool.kind() == ToolKind::Think);
    }
    expect![[r#"
        Think Delegate: Look on on on on on on on on on on on on on on on on on on…
        Think Delegate 2 tasks
        Read Check t1
        Read Check t12
        Other Steer t1
        Read Collect t1, t2
        Read Collect t3, t4
        Read Collect t1
        Other Cancel t1
        Read List tasks
        Read List waiting tasks
    "#]]
    .assert_eq(&text);
}

/// A door behind which nobody is.
fn closed(session: &str) -> Door {
    let tasks: TasksHandle = handle(SessionId::new(session)).0;
    let origin = Origin { prompt: MessageId::new("m1"), generation: 0 };
    let caller = Caller { by: By::Model, origin, mode: Mode::Ask, key: "c1".to_owned() };
    Door { tasks, caller }
}

#[tokio::test]
async fn what_is_refused_fails_the_call() {
    let mut desk = Desk::new();
    let inputs = [
        json!({"goal": "a"}),
        json!({"goal": "a"}),
        json!({"task_id": "t1"}),
        json!({"task_id": "t1", "message": "b"}),
        json!({"task_ids": ["t1"]}),
        json!({"task_id": "t1"}),
        json!({}),
    ];
    for told in [
        "error: there are no background tasks in this session; do the work yourself",
        "error: the session is closed and takes no more of this; open it again, and ask there",
    ] {
        for (spec, input) in toolbox().specs().iter().zip(&inputs) {
            let ran = desk.run(&*toolbox().get(&spec.name).unwrap(), input).await;
            assert_eq!(ran.outcome.text(), told, "{}", spec.name);
            // It is shown as a call that failed, for there is no card.
            assert!(!ran.has_cards && ran.gave.is_empty());
        }
        desk.context.tasks = Some(closed("s"));
    }
}

#[tokio::test]
async fn pictures_are_judged_and_looked_at() {
    let mut desk = Desk::new();
    desk.context.tasks = Some(closed("s"));
    let tool = toolbox().get("delegate_task_async").unwrap();
    let png = b"\x89PNG\r\n\x1a\nx";
    desk.put("in.png", png);
    desk.put("text.png", "no picture");
    desk.put("large.gif", [b"GIF89a".as_slice(), &vec![0; 5 * 1024 * 1024]].concat());
    std::fs::create_dir_all(desk.outer.join("b")).unwrap();
    for outside in ["one.png", "two.png", "b/three.png"] {
        std::fs::write(desk.outer.join(outside), png).unwrap();
    }
    let mut text = String::new();
    for images in [
        json!(["in.png", "in.png"]),
        json!(["in.png", "../one.png", "../two.png"]),
        json!(["../b/three.png", "../one.png"]),
        json!(["in.png", "text.png"]),
        json!("large.gif"),
        json!("none.png"),
        json!("."),
    ] {
        let input = json!({"goal": "a", "images": images});
        let prepared = desk.prepare(&*tool, &input).await.unwrap();
        let touched: Vec<(String, bool)> = prepared
            .touches
            .iter()
            .map(|touch| (desk.context.roots.display(&touch.path), touch.inside))
            .collect();
        writeln!(text, "{touched:?} {:?}", prepared.grant.key).unwrap();
        desk.context.permitted = Some(prepared.touches.into());
        writeln!(text, "  {}", desk.told(&*tool, &input).await).unwrap();
        desk.context.permitted = None;
    }
    // Nothing but what was judged is looked at.
    desk.context.permitted = Some([].into());
    text.push_str(&desk.told(&*tool, &json!({"goal": "a", "images": "in.png"})).await);
    expect![[r#"
        [("in.png", true)] "delegate"
          error: the session is closed and takes no more of this; open it again, and ask there
        [("in.png", true), ("/outer/one.png", false), ("/outer/two.png", false)] "outside read /outer"
          error: the session is closed and takes no more of this; open it again, and ask there
        [("/outer/b/three.png", false), ("/outer/one.png", false)] "outside read /outer\n/outer/b"
          error: the session is closed and takes no more of this; open it again, and ask there
        [("in.png", true), ("text.png", true)] "delegate"
          error: the image `text.png` cannot be used: it is no picture (PNG, JPEG, GIF or WebP); name other files in `goal` or `context`
        [("large.gif", true)] "delegate"
          error: the image `large.gif` cannot be used: it has 5.0 MiB, the limit is 5.0 MiB; make a smaller copy
        [("none.png", true)] "delegate"
          error: the image `none.png` cannot be used: it does not exist; use `glob` to find it
        [(".", true)] "delegate"
          error: the image `.` cannot be used: it is a directory; name the pictures in it
        error: the path leads elsewhere now than when the call was permitted, so nothing was done; look where it leads, then call again"#]].assert_eq(&text.replace(&desk.outer.display().to_string(), "/outer"));
}

#[tokio::test]
async fn tasks_are_started_in_the_order_of_the_calls() {
    let mut places = Places::default();
    let (mut first, mut second, mut third) = (Desk::new(), Desk::new(), Desk::new());
    let tool = toolbox().get("delegate_task").unwrap();
    let input = json!({"goal": "a"});
    for desk in [&mut first, &mut second, &mut third] {
        desk.context.tasks = Some(closed("s"));
        desk.context.place = Some(places.give());
    }
    let mut early = Box::pin(second.run(&*tool, &input));
    assert!((&mut early).now_or_never().is_none());
    // One that is cancelled waits for nobody.
    third.context.cancel.cancel();
    let ran = third.run(&*tool, &input).await;
    assert!(matches!(ran.outcome, Outcome::Cancelled { .. }), "{ran:?}");
    first.run(&*tool, &input).await;
    assert!((&mut early).now_or_never().is_some());
}
