//! The defects of the system that Talaria follows (`HERMES.md` 4.6), each as a test that would fail with it.

use std::fs;

use serde_json::{Value, json};

use super::requests::is_of;
use super::told::{held, starts};
use super::{chat, row};
use crate::support::home::Home;
use crate::support::served::{Dialect, Served};
use crate::support::tasks::Chat;

/// 1: results of background tasks are lost until the user asks for them.
#[test]
fn defect_1_a_report_comes_with_the_next_request_without_being_asked_for() {
    let served = Served::new(Dialect::Openai);
    served.provider.rule(is_of("child goal"), held(&served).text("CHILD REPORT"));
    served.provider.queue(served.reply().call(
        "x",
        "delegate_task_async",
        json!({ "goal": "child goal" }),
    ));
    for text in ["Started.", "Seen."] {
        served.provider.queue(served.reply().text(text));
    }
    let mut chat = Chat::of(served.agent(), &served.home);
    starts(&served, &mut chat, "go");
    chat.until("t1", "completed");
    chat.say("anything else");
    let requests = served.provider.requests();
    let last = requests.iter().rev().find(|request| !is_of("child goal")(request));
    assert!(last.unwrap().body.to_string().contains("CHILD REPORT"));
}

/// 2: a child's edits are never asked for.
#[test]
fn defect_2_a_task_that_edits_is_asked_for_as_the_chat_is() {
    let (home, mut chat) = chat();
    let turn = chat.prompt("hold go");
    chat.until_said("Holding go.");
    chat.say("/task write x.txt");
    let dialog = chat.asked();
    assert!(!home.exists("x.txt"));
    chat.choose(&dialog, "reject_once");
    chat.until("t1", "completed");
    assert!(!home.exists("x.txt"));
    home.open_gate("go");
    chat.answer(&turn);
}

/// 3: a child's commands are never asked for.
#[test]
fn defect_3_a_task_that_runs_a_command_is_asked_for_as_the_chat_is() {
    let (home, mut chat) = chat();
    let folder = home.work().join("dear");
    fs::create_dir(&folder).unwrap();
    chat.say("async run rm -r dear");
    chat.until("t1", "waiting");
    assert!(folder.exists());
    chat.say("/deny t1");
    chat.until("t1", "completed");
    assert!(folder.exists());
}

/// 4: a cancel behind a finished turn wedges the session.
#[test]
fn defect_4_a_cancel_with_nothing_to_cancel_changes_nothing() {
    let (home, mut chat) = chat();
    chat.say("async work a");
    for _ in 0..2 {
        chat.stop();
        assert_eq!(chat.say("hello"), "You said hello.");
    }
    assert_eq!(chat.list(), [row("t1", "running", None)]);
    home.open_gate("a");
    chat.until("t1", "completed");
    chat.stop();
    assert_eq!(chat.say("hello"), "You said hello.");
}

/// 5: calls never become final.
#[test]
fn defect_5_every_call_of_the_chat_and_of_its_tasks_becomes_final() {
    let (home, mut chat) = chat();
    home.write("a.txt", "one\n");
    chat.set_mode("bypass");
    chat.say("all write b.txt; run true; fail");
    for prompt in ["check t1", "steer t1 with x", "collect t1", "cancel t1", "list", "write c.txt"]
    {
        chat.say(prompt);
    }
    chat.until("t1", "completed");
    chat.until("t2", "completed");
    chat.until("t3", "failed");
    let calls = chat.calls();
    assert!(calls.len() >= 9, "{calls:?}");
    for id in calls {
        let card = chat.card(&id).unwrap();
        assert!(["completed", "failed"].map(Value::from).contains(&card["status"]), "{card}");
    }
}

/// 6: an unknown session is loaded, a close does nothing, an unknown request is answered with nothing.
#[test]
fn defect_6_what_is_unknown_is_refused_and_a_close_closes() {
    let (home, mut chat) = chat();
    let unknown = json!({ "sessionId": "nobody", "cwd": home.work(), "mcpServers": [] });
    assert_eq!(chat.call("session/load", &unknown)["error"]["code"], -32002);
    assert_eq!(chat.call("_talaria/nothing", &json!({}))["error"]["code"], -32601);
    chat.say("async work a");
    chat.until("t1", "running");
    let params = json!({ "sessionId": chat.session });
    assert!(chat.call("session/close", &params).get("error").is_none());
    let prompt = json!({ "sessionId": chat.session, "prompt": [{ "type": "text", "text": "x" }] });
    assert_eq!(chat.call("session/prompt", &prompt)["error"]["code"], -32002);
    let mut again = load(&home, chat);
    assert_eq!(again.list(), [row("t1", "cancelled", None)]);
}

fn load(home: &Home, chat: Chat) -> Chat {
    let session = chat.session.clone();
    drop(chat);
    Chat::load(home, &session)
}

/// 7: a permission request's id is that of no call.
#[test]
fn defect_7_what_is_asked_for_is_the_call_that_is_shown() {
    let (home, mut chat) = chat();
    let turn = chat.prompt("hold go");
    chat.until_said("Holding go.");
    chat.say("/task write x.txt");
    // `asked` holds that the call was shown before it is asked for.
    let dialog = chat.asked();
    let id = dialog["params"]["toolCall"]["toolCallId"].as_str().unwrap().to_owned();
    let before = chat.came().len();
    // While the question is open nothing says that the call has another status.
    chat.say("/tasks");
    let updates = chat.came()[before..].iter().map(|message| &message["params"]["update"]);
    assert_eq!(updates.filter(|update| update["toolCallId"] == id.as_str()).count(), 0);
    chat.choose(&dialog, "allow_once");
    chat.until("t1", "completed");
    assert_eq!(chat.card(&id).unwrap()["status"], "completed");
    home.open_gate("go");
    chat.answer(&turn);
}
