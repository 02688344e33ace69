//! What a task may be given beside its goal: a conversation to go on from, a form for its report, pictures,
//! toolsets, a model; and what is said of what cannot be.

use serde_json::{Value, json};

use super::requests::is_of;
use super::told::{GOAL, PNG, body, calls, draw, held, of_child, reporting, scripted, told, tools};
use super::{chat, chat_with, row};
use crate::support::provider::Request;
use crate::support::served::{Dialect, Served};
use crate::support::tasks::{Chat, content};

const START: &str = "delegate_task_async";

fn shape() -> Value {
    json!({
        "type": "object",
        "properties": { "count": { "type": "integer" } },
        "required": ["count"],
        "additionalProperties": false
    })
}

#[test]
fn a_task_that_goes_on_from_another_has_a_card_a_budget_and_a_report_of_its_own() {
    for dialect in Dialect::BOTH {
        let served = Served::new(dialect);
        // Both together would be above it.
        served.home.write_config("delegation:\n  max_iterations: 1\n  max_tokens: 150\n");
        let goes_on = |request: &Request| request.last_user().contains("second goal");
        served.provider.rule(
            move |request| is_of(GOAL)(request) && goes_on(request),
            held(&served).text("SECOND").usage(90, 10, 0),
        );
        served.provider.rule(is_of(GOAL), held(&served).text("FIRST").usage(90, 10, 0));
        let mut chat = Chat::of(served.agent(), &served.home);
        told(&served, &mut chat, START, &json!({ "goal": GOAL, "context": "CONTEXT" }));
        chat.until("t1", "completed");
        let second = json!({ "goal": "second goal", "continues": "t1" });
        let said = told(&served, &mut chat, START, &second);
        assert!(said.contains("\"t2\""), "{said}");
        let card = chat.until("t2", "completed");
        assert_eq!(card["title"], "`t2` · second goal");
        assert_eq!(chat.state("t1").as_deref(), Some("completed"));
        let child = of_child(&served);
        assert_eq!(child.len(), 2);
        // The old conversation is the beginning of the new one.
        let (before, after) = (child[0].messages(), child[1].messages());
        assert_eq!(after.len(), before.len() + 2, "{:#?}", child[1].body);
        assert!(body(&child[1]).contains("FIRST") && body(&child[1]).contains("CONTEXT"));
        // Each keeps its own report and its own count.
        let both = told(&served, &mut chat, "collect_task", &json!({ "task_ids": ["t1", "t2"] }));
        let both: Value = serde_json::from_str(&both).unwrap();
        for (at, report) in [(0, "FIRST"), (1, "SECOND")] {
            assert_eq!(both["tasks"][at]["report"], report);
            assert_eq!(both["tasks"][at]["tokens"], 100);
        }
    }
}

#[test]
fn what_runs_cannot_be_continued() {
    let scene = "when prompt \"after *\"\n  call delegate_task_async {\"goal\": \"x\", \"continues\": \"${1}\"}\nthen\n  say \"${outcome}\"\n";
    let (home, mut chat) = scripted(scene, "");
    chat.say("async work a");
    chat.until("t1", "running");
    let said = chat.say("after t1");
    assert!(said.contains("`t1` is running") && said.contains("only a finished task"), "{said}");
    let said = chat.say("after t7");
    assert!(said.contains("no task `t7`"), "{said}");
    home.open_gate("a");
    chat.until("t1", "completed");
    assert_eq!(chat.list(), [row("t1", "completed", None)]);
}

#[test]
fn a_report_of_the_wanted_form_is_taken_as_it_is() {
    for dialect in Dialect::BOTH {
        let served = reporting(dialect, "Here it is:\n```json\n{\"count\": 3}\n```");
        let mut chat = Chat::of(served.agent(), &served.home);
        told(&served, &mut chat, START, &json!({ "goal": GOAL, "output_schema": shape() }));
        chat.until("t1", "completed");
        let child = of_child(&served);
        assert_eq!(child.len(), 1);
        assert!(body(&child[0]).contains("additionalProperties"), "the task knows the form");
    }
}

#[test]
fn a_report_of_another_form_is_repaired_once() {
    for dialect in Dialect::BOTH {
        let served = Served::new(dialect);
        served.provider.once(is_of(GOAL), held(&served).text("{\"count\": \"three\"}"));
        served.provider.rule(is_of(GOAL), held(&served).text("{\"count\": 3}"));
        let mut chat = Chat::of(served.agent(), &served.home);
        told(&served, &mut chat, START, &json!({ "goal": GOAL, "output_schema": shape() }));
        chat.until("t1", "completed");
        let child = of_child(&served);
        assert_eq!(child.len(), 2);
        let asked = child[1].last_user();
        assert!(asked.contains("`output_schema`") && asked.contains("/count"), "{asked}");
        let said = told(&served, &mut chat, "collect_task", &json!({ "task_ids": ["t1"] }));
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["tasks"][0]["report"], "{\"count\": 3}");
        assert!(said["tasks"][0].get("schema_errors").is_none(), "{said}");
    }
}

#[test]
fn a_report_that_stays_of_another_form_fails_its_task_with_what_is_wrong() {
    let served = reporting(Dialect::Openai, "{\"count\": \"three\"}");
    let mut chat = Chat::of(served.agent(), &served.home);
    told(&served, &mut chat, START, &json!({ "goal": GOAL, "output_schema": shape() }));
    let card = chat.until("t1", "failed");
    assert!(content(&card).contains("`output_schema`"), "{card}");
    assert_eq!(of_child(&served).len(), 2, "it is repaired once");
    let said = told(&served, &mut chat, "collect_task", &json!({ "task_ids": ["t1"] }));
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["tasks"][0]["report"], "{\"count\": \"three\"}");
    let errors = said["tasks"][0]["schema_errors"].as_array().unwrap();
    assert!(errors[0].as_str().unwrap().contains("/count"), "{said}");
}

#[test]
fn what_is_no_schema_starts_nothing() {
    let served = Served::new(Dialect::Openai);
    let mut chat = Chat::of(served.agent(), &served.home);
    for schema in
        [json!({ "type": "nothing" }), json!("text"), json!({ "$ref": "http://127.0.0.1/x" })]
    {
        let said =
            told(&served, &mut chat, START, &json!({ "goal": GOAL, "output_schema": schema }));
        assert!(said.contains("`output_schema` is no JSON Schema"), "{said}");
    }
    assert!(of_child(&served).is_empty());
    assert_eq!(chat.state("t1"), None);
}

#[test]
fn a_picture_of_the_project_is_in_the_tasks_first_request() {
    for dialect in Dialect::BOTH {
        let served = reporting(dialect, "Seen.");
        draw(&served.home, "p.png");
        let mut chat = Chat::of(served.agent(), &served.home);
        told(&served, &mut chat, START, &json!({ "goal": GOAL, "images": ["p.png"] }));
        chat.until("t1", "completed");
        assert!(chat.dialogs().is_empty(), "the project is not asked for");
        let first = of_child(&served).remove(0);
        let parts = first.messages().last().unwrap()["content"].as_array().unwrap().clone();
        let is_picture =
            |part: &&Value| ["image_url", "image"].map(Value::from).contains(&part["type"]);
        let pictures: Vec<&Value> = parts.iter().filter(is_picture).collect();
        assert_eq!(pictures.len(), 1, "{parts:#?}");
        assert!(pictures[0].to_string().contains(PNG), "{}", pictures[0]);
    }
}

#[test]
fn what_is_no_picture_or_is_not_there_starts_nothing() {
    let served = Served::new(Dialect::Openai);
    served.home.write("a.txt", "text\n");
    draw(&served.home, "p.png");
    let mut chat = Chat::of(served.agent(), &served.home);
    for (name, why) in
        [("a.txt", "it is no picture"), ("b.png", "it does not exist"), (".", "directory")]
    {
        let images = json!({ "goal": GOAL, "images": ["p.png", name] });
        let said = told(&served, &mut chat, START, &images);
        assert!(said.contains(&format!("`{name}`")) && said.contains(why), "{said}");
    }
    assert!(of_child(&served).is_empty());
}

#[test]
fn a_picture_outside_of_the_project_is_asked_for() {
    let served = reporting(Dialect::Openai, "Seen.");
    draw(&served.home, "../p.png");
    let path = served.home.root().join("p.png");
    let mut chat = Chat::of(served.agent(), &served.home);
    for (option, requests) in [("reject_once", 0), ("allow_once", 1)] {
        calls(&served, START, &json!({ "goal": GOAL, "images": [path] }));
        served.hold.close();
        let turn = chat.prompt("PARENT");
        let dialog = chat.asked();
        assert!(of_child(&served).is_empty());
        chat.choose(&dialog, option);
        assert_eq!(chat.answer(&turn).text, "Done.");
        served.hold.open();
        if requests > 0 {
            chat.until("t1", "completed");
            assert!(body(&of_child(&served)[0]).contains(PNG));
        }
        assert_eq!(of_child(&served).len(), requests);
    }
}

#[test]
fn a_task_with_toolsets_has_those_tools_and_no_others() {
    for dialect in Dialect::BOTH {
        for (sets, expected) in [
            (json!(["read"]), vec!["glob", "grep", "list", "read"]),
            (json!(["terminal", "edit"]), vec!["edit", "terminal", "write"]),
            (json!([]), vec!["edit", "glob", "grep", "list", "plan", "read", "terminal", "write"]),
        ] {
            let served = reporting(dialect, "Seen.");
            let mut chat = Chat::of(served.agent(), &served.home);
            told(&served, &mut chat, START, &json!({ "goal": GOAL, "toolsets": sets }));
            chat.until("t1", "completed");
            let mut names = tools(&of_child(&served)[0]);
            names.sort();
            assert_eq!(names, expected, "{sets}");
        }
    }
}

#[test]
fn an_unknown_toolset_is_refused_with_those_that_there_are() {
    let served = Served::new(Dialect::Openai);
    let mut chat = Chat::of(served.agent(), &served.home);
    let said = told(&served, &mut chat, START, &json!({ "goal": GOAL, "toolsets": ["magic"] }));
    assert!(said.contains("no toolset `magic`"), "{said}");
    assert!(said.contains("`read`") && said.contains("`terminal`"), "{said}");
    // One entry of a batch is enough: none is started.
    let batch = json!({ "tasks": [{ "goal": GOAL }, { "goal": GOAL, "toolsets": ["magic"] }] });
    let said = told(&served, &mut chat, START, &batch);
    assert!(said.contains("no toolset `magic`"), "{said}");
    let listed = told(&served, &mut chat, "list_tasks", &json!({}));
    assert_eq!(listed, "{\"tasks\":[]}");
    assert!(of_child(&served).is_empty());
}

#[test]
fn the_model_of_a_call_does_its_task() {
    for dialect in Dialect::BOTH {
        let served = reporting(dialect, "Done.");
        served.home.write_config("delegation:\n  model: cheap-model\n");
        let mut chat = Chat::of(served.agent(), &served.home);
        let tasks =
            json!({ "tasks": [{ "goal": GOAL, "model": "other-model" }, { "goal": GOAL }] });
        told(&served, &mut chat, "delegate_task", &tasks);
        let child = of_child(&served);
        let mut models: Vec<&str> = child.iter().map(Request::model).collect();
        models.sort_unstable();
        assert_eq!(models, ["cheap-model", "other-model"]);
        for request in super::told::of_parent(&served) {
            assert_eq!(request.model(), "some-model");
        }
    }
}

#[test]
fn a_model_that_cannot_be_used_starts_nothing() {
    let served = Served::new(Dialect::Openai);
    let mut chat = Chat::of(served.agent(), &served.home);
    let script = json!({ "goal": GOAL, "model": "scripted:/etc/hostname" });
    let said = told(&served, &mut chat, START, &script);
    assert!(said.contains("the model `scripted:/etc/hostname` cannot be used"), "{said}");
    assert!(of_child(&served).is_empty());
    // Its provider has no key.
    served.home.write_config("delegation:\n  provider: anthropic\n");
    let mut chat = Chat::of(served.agent(), &served.home);
    let said = told(&served, &mut chat, START, &json!({ "goal": GOAL }));
    assert!(said.contains("cannot be used") && said.contains("key"), "{said}");
    assert!(of_child(&served).is_empty());
}

#[test]
fn an_empty_goal_is_refused_in_a_batch_too() {
    let scene = "when prompt \"half\"\n  call delegate_task_async {\"tasks\": [{\"goal\": \"work a\"}, {\"goal\": \"\"}]}\nthen\n  say \"${outcome}\"\n";
    let (_home, mut chat) = scripted(scene, "");
    let said = chat.say("half");
    assert!(said.contains("the goal is empty"), "{said}");
    assert_eq!(chat.list(), []);
}

#[test]
fn a_task_of_another_session_is_unknown() {
    let (home, mut chat) = chat();
    chat.say("async work a");
    chat.until("t1", "running");
    let mut other = Chat::new(&home);
    let said = other.say("cancel t1");
    assert!(said.contains("no task `t1`"), "{said}");
    assert_eq!(chat.list(), [row("t1", "running", None)]);
    home.open_gate("a");
    chat.until("t1", "completed");
}

#[test]
fn a_task_below_a_task_is_none_of_its_grandparents_model() {
    let (home, mut chat) = chat_with("delegation:\n  max_spawn_depth: 2\n");
    chat.say("async nest work a");
    let begun = |chat: &mut Chat| chat.say("/check t1.1");
    while !begun(&mut chat).contains("running") {}
    assert!(begun(&mut chat).contains("work a"));
    home.open_gate("a");
    chat.until("t1", "completed");
    assert!(begun(&mut chat).contains("completed"));
}
