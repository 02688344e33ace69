//! Children on the scripted model, with real tools and a real store.

mod shown;
mod world;

use std::time::Duration;

use expect_test::expect;
use tokio::time::Instant;

use self::world::{Living, World, order};
use super::*;
use crate::event::ThoughtLevel;
use crate::ids::{MessageId, TaskId};
use crate::permission::{Grant, Mode, Rule};
use crate::store::{Durability, Query, Record};
use crate::tasks::{Begin, By, ChildSaid, Details, Origin, TaskName};
use crate::transcript::{Author, Call, Prompt, Reply};

const SAY: &str = "when any\n  say \"Done: ${prompt}\"\n  usage input=12 output=3\n";

#[tokio::test]
async fn a_child_does_its_goal_and_is_heard_whole() {
    let world = World::new(
        "when any\n  think \"Hm.\"\n  say \"I look.\"\n  call list {}\n  usage input=12 output=3\n\
         then\n  say \"Nothing here.\"\n",
    );
    let mut child = world.begin("look").await;
    assert_eq!(child.prompt, [Content::text("look")]);
    expect![[r#"
        delivered [PromptId(1)]
        thinks
        text I look.
        call c1 Some("list") Some(Pending)
        replied "I look." 12+3 None
        call c1 None None
        call c1 Some("List .") Some(InProgress)
        call c1 None Some(Completed)
        text Nothing here.
        replied "Nothing here." 0+0 None
        answered 1 Ok(Finished)"#]]
    .assert_eq(&child.hear("answered").await);
    let summary = world.store.summary(&SessionId::new("look")).await.unwrap();
    assert_eq!(summary.cwd, world.folder.path());
    child.child.close().await;
    assert_eq!(child.hear("the end").await, "");
    expect!["opened prompt turn reply call outcome reply end"]
        .assert_eq(&world.kinds("look").await);
    // Sessions of tasks are in no list.
    assert!(world.store.list(Query::default()).await.unwrap().sessions.is_empty());
}

#[tokio::test]
async fn the_first_request_has_the_task_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let cheap = folder.path().join("cheap.script");
    std::fs::write(
        &cheap,
        "when any\n  expect items 1\n  expect system \"*You are a subagent*Working folder*The \
         report*{\\\"type\\\":\\\"object\\\"}*\"\n  expect tools read,list,glob,grep\n  \
         say \"${thought}\"\n",
    )
    .unwrap();
    let mut config = Config::default();
    config.delegation.reasoning_effort = Some(ThoughtLevel::Low);
    config.delegation.model = Some(format!("scripted:{}", cheap.display()));
    // It is the model of tasks that is asked, and not the parent's.
    let world = World::with(SAY, config);
    let picture = world.file("a.png");
    std::fs::write(&picture, b"\x89PNG\r\n\x1a\n").unwrap();
    let mut order = order("count the files");
    order.details.context = Some("only here".to_owned());
    order.details.toolsets = vec!["read".to_owned()];
    order.details.output_schema = Some(serde_json::json!({"type": "object"}));
    order.details.images = vec![picture.clone()];
    let mut child = Living::of(world.children.spawn(order).await.unwrap());
    assert_eq!(
        child.prompt,
        [
            Content::text("count the files\n\n# Context\nonly here"),
            Content::text(format!("The picture `{}`:", picture.display())),
            Content::Image { mime: "image/png".to_owned(), data: "iVBORw0KGgo=".to_owned() },
        ]
    );
    child.child.prompt(child.prompt.clone());
    let heard = child.hear("answered").await;
    assert!(heard.contains("\ntext low\n"), "{heard}");
    assert!(heard.ends_with("answered 1 Ok(Finished)"), "{heard}");
}

#[tokio::test]
async fn a_child_asks_and_remembers_no_answer() {
    let world = World::new(
        "when any\n  call write {\"path\": \"a.txt\", \"content\": \"a\"}\n\
         then\n  call write {\"path\": \"b.txt\", \"content\": \"b\"}\nthen\n  say \"Done.\"\n",
    );
    world.switch(Mode::Ask);
    let mut child = world.begin("write").await;
    child.hear("ask c1 edit").await;
    child.child.answer(CallId::new("c1"), Answer::AllowAlways).await;
    child.hear("ask c2 edit").await;
    child.child.answer(CallId::new("c2"), Answer::RejectOnce).await;
    child.hear("answered 1 Ok(Finished)").await;
    assert!(world.file("a.txt").exists() && !world.file("b.txt").exists());
    // The call of what is asked for is settled, and the question is gone, where the turn is cancelled.
    let mut child = world.begin("again").await;
    child.hear("ask c2 edit").await;
    child.child.cancel();
    let heard = child.hear("answered 1 Ok(Cancelled)").await;
    assert!(heard.contains("withdraw c2") && heard.contains("c2 None Some(Failed)"), "{heard}");
}

#[tokio::test]
async fn a_rule_of_the_parent_settles_what_a_child_asks() {
    let world = World::new(
        "when any\n  call write {\"path\": \"a.txt\", \"content\": \"a\"}\n  \
         call terminal {\"command\": \"true\"}\nthen\n  say \"Done.\"\n",
    );
    world.switch(Mode::Ask);
    let mut child = world.begin("write").await;
    child.hear("ask c1 edit").await;
    world.rule("edit", true);
    let heard = child.hear("ask c2 terminal true").await;
    assert!(heard.starts_with("withdraw c1\n"), "{heard}");
    world.rule("terminal true", false);
    let heard = child.hear("answered 1 Ok(Finished)").await;
    assert!(heard.contains("withdraw c2") && heard.contains("c2 None Some(Failed)"), "{heard}");
    assert!(world.file("a.txt").exists());
    // A later child has them from the beginning.
    let mut later = world.begin("later").await;
    let heard = later.hear("answered").await;
    assert!(!heard.contains("ask "), "{heard}");
    assert!(!world.kinds("write").await.contains("permission"));
}

#[tokio::test]
async fn the_mode_is_the_narrower_of_the_start_and_of_the_parent_now() {
    let world = World::new(
        "when any\n  call write {\"path\": \"a.txt\", \"content\": \"a\"}\nthen\n  gate go\n  \
         call write {\"path\": \"b.txt\", \"content\": \"b\"}\nthen\n  say \"Done.\"\n",
    );
    let mut child = world.begin("write").await;
    let heard = child.hear("call c1 None Some(Completed)").await;
    assert!(!heard.contains("ask"), "{heard}");
    world.switch(Mode::Plan);
    world.open_gate("go");
    let heard = child.hear("answered 1 Ok(Finished)").await;
    assert!(heard.contains("call c2") && !heard.contains("ask "), "{heard}");
    assert!(world.file("a.txt").exists() && !world.file("b.txt").exists());
    // The parent's may become wider, the child's does not.
    world.switch(Mode::Bypass);
    let mut narrow = order("narrow");
    narrow.details.mode = Mode::Ask;
    let mut child = Living::of(world.children.spawn(narrow).await.unwrap());
    child.say("go");
    child.hear("ask c2 edit").await;
}

#[tokio::test]
async fn what_is_said_to_a_child_reaches_its_turn_and_is_no_command() {
    let world = World::new(
        "when any\n  call list {}\n  gate go\nthen\n  say \"Not heard.\"\n\
         when steer \"*\"\n  say \"Heard ${prompt}\"\n",
    );
    let mut child = world.begin("work").await;
    child.hear("delivered [PromptId(1)]").await;
    assert_eq!(child.say("/mode bypass"), PromptId(2));
    world.open_gate("go");
    let heard = child.hear("answered 2 Ok(Finished)").await;
    let behind = heard.split_once("delivered [PromptId(2)]\n").unwrap().1;
    expect![[r#"
        text Heard /mode bypass
        replied "Heard /mode bypass" 0+0 None
        answered 1 Ok(Finished)
        answered 2 Ok(Finished)"#]]
    .assert_eq(behind);
    // What comes behind the turn starts one.
    child.say("once more");
    assert!(child.hear("answered 3 Ok(Finished)").await.starts_with("delivered [PromptId(3)]"));
}

#[tokio::test]
async fn a_cancel_ends_a_command_within_two_seconds() {
    let world = World::new(
        "when any\n  call terminal {\"command\": \"sleep 100 & echo $! > pid; wait\"}\nthen\n  say \"No.\"\n",
    );
    let mut child = world.begin("sleep").await;
    child.hear("call c1 Some(\"`sleep").await;
    let pid = loop {
        match std::fs::read_to_string(world.file("pid")) {
            Ok(pid) if pid.ends_with('\n') => break pid.trim().to_owned(),
            _ => tokio::task::yield_now().await,
        }
    };
    let began = Instant::now();
    child.child.cancel();
    child.hear("answered 1 Ok(Cancelled)").await;
    assert!(began.elapsed() < Duration::from_secs(2));
    // It is gone, or waits for its end to be noticed.
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
    // The child lives on.
    child.say("go on");
    child.hear("delivered [PromptId(2)]").await;
    child.child.close().await;
}

#[tokio::test]
async fn a_closed_child_leaves_nothing_behind() {
    let world = World::new("when any\n  say \"Hello\"\n  gate never\n");
    let mut child = world.begin("wait").await;
    child.hear("text Hello").await;
    child.child.close().await;
    let heard = child.hear("the end").await;
    assert!(heard.ends_with("answered 1 Ok(Cancelled)"), "{heard}");
    assert_eq!(child.child.prompt(Vec::new()), PromptId(2));
    // The lease is free.
    let claim = world.store.claim(&SessionId::new("wait"), Arc::new(Mask::default())).await;
    assert_eq!(claim.unwrap().journal.epoch(), 2);
    // Closed twice, or let go of unclosed, is fine.
    child.child.close().await;
    let child = world.begin("let go").await;
    drop(child);
    world.tasks.close();
    world.tasks.wait().await;
}

#[tokio::test]
async fn a_slow_reader_hears_everything() {
    let world = World::new(
        "when any\n  repeat 3000 \"text \"\n  say \"!\"\n  call list {}\nthen\n  chunk 1\n  say \"Done.\"\n",
    );
    let mut child = world.begin("talk").await;
    // Far more is said than has room.
    for _ in 0..2_000 {
        tokio::task::yield_now().await;
    }
    let heard = child.hear("answered 1 Ok(Finished)").await;
    assert!(heard.contains(&format!("text {}!\n", "text ".repeat(3_000))));
    assert!(heard.contains("call c1 None Some(Completed)\ntext Done.\nreplied \"Done.\""));
    // Who closes a child need not listen.
    let child = world.begin("talk more").await;
    for _ in 0..2_000 {
        tokio::task::yield_now().await;
    }
    child.child.close().await;
}

/// Leaves a journal as a process does that is killed while a command of its child runs.
async fn abandon(world: &World, child: &str, prompt: &str) {
    let opened =
        super::Workplace::new(&world.children.environment, None).opened(&world.children.parent);
    let id = SessionId::new(child);
    let mut journal = world.store.create(&id, opened, Arc::new(Mask::default()));
    let message = MessageId::new("m1");
    let prompt = Prompt {
        id: PromptId(1),
        message: message.clone(),
        content: vec![Content::text(prompt)],
        from: Author::User,
    };
    let call = CallId::new("c1");
    let reply = Reply {
        text: "I run it.".into(),
        message: Some(MessageId::new("m2")),
        calls: vec![Call {
            id: call.clone(),
            tool: "terminal".to_owned(),
            input: serde_json::json!({"command": "true"}),
            signatures: Vec::new(),
        }],
        ..Reply::default()
    };
    for record in [
        Record::Settings {
            mode: Mode::Plan,
            model: "another".to_owned(),
            thought: ThoughtLevel::High,
        },
        Record::Prompt { prompt },
        Record::Turn { prompt: message },
        Record::Reply { reply, spent: None },
        Record::Begun { call },
    ] {
        journal.append(record, Durability::Process);
    }
    journal.flush().await;
}

#[tokio::test]
async fn an_interrupted_child_goes_on_where_its_journal_ends() {
    let world = World::new(
        "when prompt \"You were interrupted*\"\n  expect items 4\n  \
         call write {\"path\": \"a.txt\", \"content\": \"a\"}\nthen\n  say \"${thought}\"\n",
    );
    abandon(&world, "cut off", "cut off").await;
    let mut resumed = order("cut off");
    resumed.begin = Begin::Resume;
    let mut child = Living::of(world.children.spawn(resumed).await.unwrap());
    assert_eq!(child.prompt, [Content::text(prompt::GO_ON)]);
    child.child.prompt(child.prompt.clone());
    // Neither ids nor settings of before are used again.
    let heard = child.hear("answered 1 Ok(Finished)").await;
    assert!(heard.contains("call c2-1 None Some(Completed)\ntext auto\n"), "{heard}");
    child.child.close().await;
    expect![
        "opened settings prompt turn reply begun outcome told end opened prompt turn reply call begun saw outcome reply end"
    ]
    .assert_eq(&world.kinds("cut off").await);
}

#[tokio::test]
async fn a_child_without_a_journal_begins_anew() {
    let world = World::new(SAY);
    for (prompt, begins) in [(None, "new"), (Some("another prompt"), "told nothing")] {
        if let Some(prompt) = prompt {
            abandon(&world, begins, prompt).await;
        }
        let mut resumed = order(begins);
        resumed.begin = Begin::Resume;
        let mut child = Living::of(world.children.spawn(resumed).await.unwrap());
        assert_eq!(child.prompt, [Content::text(begins)]);
        child.child.prompt(child.prompt.clone());
        child.hear("answered 1 Ok(Finished)").await;
    }
}

#[tokio::test]
async fn a_copy_goes_on_from_a_finished_child() {
    let world = World::new(
        "when prompt \"first\"\n  say \"One.\"\nwhen prompt \"first\"\n  expect items 3\n  say \"Two.\"\n",
    );
    let mut child = world.begin("first").await;
    child.hear("answered").await;
    child.child.close().await;
    let mut copied = order("first");
    copied.details.child = SessionId::new("second");
    copied.details.continues = Some(SessionId::new("first"));
    copied.begin = Begin::Copy(SessionId::new("first"));
    let mut child = Living::of(world.children.spawn(copied).await.unwrap());
    // Also where it is told the same.
    assert_eq!(child.prompt, [Content::text("first")]);
    child.child.prompt(child.prompt.clone());
    let heard = child.hear("answered 1 Ok(Finished)").await;
    assert!(heard.contains("text Two."), "{heard}");
    child.child.close().await;
    expect!["opened prompt turn reply end"].assert_eq(&world.kinds("first").await);
    expect!["opened prompt turn reply end opened prompt turn reply end"]
        .assert_eq(&world.kinds("second").await);
    // A copy that was never made is made when the task is resumed.
    let mut resumed = order("third");
    resumed.details.continues = Some(SessionId::new("second"));
    resumed.begin = Begin::Resume;
    let spawned = world.children.spawn(resumed).await.unwrap();
    assert_eq!(spawned.prompt, [Content::text("third")]);
    // There is nothing to copy.
    let mut nothing = order("fourth");
    nothing.begin = Begin::Copy(SessionId::new("nowhere"));
    let fault = world.children.spawn(nothing).await.err().unwrap();
    assert_eq!(fault.message, "there is no session `nowhere`");
}

#[tokio::test]
async fn without_a_store_a_child_runs_and_no_conversation_is_gone_on_from() {
    let world = World::without_store(SAY);
    let mut child = world.begin("go").await;
    let heard = child.hear("answered 1 Ok(Finished)").await;
    assert!(heard.contains("replied \"Done: go\" 12+3"), "{heard}");
    child.child.close().await;
    for begin in [Begin::Resume, Begin::Copy(SessionId::new("go"))] {
        let fault = world.children.spawn(Order { begin, ..order("go") }).await.err().unwrap();
        assert!(fault.message.ends_with("(`store.enabled` is false)"), "{fault}");
    }
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_before_there_is_a_task() {
    let world = World::new(SAY);
    let task = |toolset: &str, model: Option<&str>| NewTask {
        goal: "go".to_owned(),
        toolsets: vec![toolset.to_owned()],
        model: model.map(str::to_owned),
        continues: Some(TaskName::of(1)),
        isolation: crate::tasks::Isolation::None,
        ..NewTask::default()
    };
    assert_eq!(world.children.check(&task("edit", None)), Ok(()));
    expect![[r#"
        Toolset {
            name: "browser",
            known: "`read`, `edit`, `terminal`, `plan`",
        }
    "#]]
    .assert_debug_eq(&world.children.check(&task("browser", None)).unwrap_err());
    // There is no provider, so there is no other model.
    let error = world.children.check(&task("edit", Some("another"))).unwrap_err();
    expect!["the model `another` cannot be used: no model is configured. Check `model`, `provider`, `base_url`, `api_key` and `fallback` of `delegation` in `config.yaml`; without a key there, the variable of the provider is used."].assert_eq(&error.to_string());
    let mut pictured = order("look");
    pictured.details.images = vec![world.file("model.script")];
    let fault = world.children.spawn(pictured).await.err().unwrap();
    assert!(fault.message.contains("it is not a picture"), "{fault}");
}

#[tokio::test]
async fn a_hundred_children_run_beside_each_other() {
    let world = World::new("when any\n  gate go\n  say \"Done: ${prompt}\"\n");
    let goals: Vec<String> = (0..100).map(|number| format!("goal {number}")).collect();
    let mut children = Vec::new();
    for goal in &goals {
        children.push(world.begin(goal).await);
    }
    // All have the same words before their eyes, once in memory.
    let [system, _] = &world.children.systems;
    assert!(Arc::strong_count(system.get().unwrap()) > 100);
    world.open_gate("go");
    for (child, goal) in children.iter_mut().zip(&goals) {
        let heard = child.hear("answered 1 Ok(Finished)").await;
        assert!(heard.contains(&format!("text Done: {goal}\n")), "{heard}");
    }
    futures::future::join_all(children.iter().map(|child| child.child.close())).await;
    drop(children);
    world.tasks.close();
    world.tasks.wait().await;
}

#[tokio::test]
async fn children_follow_a_session_that_is_opened_anew() {
    let world = World::new(SAY);
    let live = LiveSettings::default();
    let with = |mode| turn::Settings { mode, ..world.settings.borrow().clone() };
    let mut followed = live.publish(with(Mode::Bypass));
    assert_eq!(followed.borrow_and_update().mode, Mode::Bypass);
    let opened_anew = live.clone();
    drop(live);
    opened_anew.publish(with(Mode::Plan));
    followed.changed().await.unwrap();
    assert_eq!(followed.borrow_and_update().mode, Mode::Plan);
    drop(opened_anew);
    assert!(followed.changed().await.is_err());
}
