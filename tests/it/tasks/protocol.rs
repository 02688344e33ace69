//! Tasks on the wire, where points of the protocol's checklist touch them.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{chat, row};
use crate::support::home::Home;
use crate::support::stored;
use crate::support::tasks::{Chat, content};

/// What came of a card, update by update.
fn updates<'a>(came: &'a [Value], id: &str) -> Vec<&'a Value> {
    let updates = came.iter().map(|message| &message["params"]["update"]);
    updates.filter(|update| update["toolCallId"] == id).collect()
}

/// The same process copies the session; a chat in the copy.
fn fork(mut chat: Chat, home: &Home) -> Chat {
    let forked = chat.call("session/fork", &stored::params(home, &chat.session));
    forked["result"]["sessionId"].as_str().unwrap().clone_into(&mut chat.session);
    chat
}

/// The session that does a session's task, of which clients are told nothing.
pub(super) fn child_of(home: &Home, session: &str) -> String {
    let database = rusqlite::Connection::open_with_flags(
        home.state().join("talaria.db"),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
    );
    let database = database.unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        // A task is shown as running when it is claimed; its session is opened and written behind that.
        let query = "SELECT id FROM sessions WHERE parent = ?1";
        match database.query_row(query, [session], |row| row.get(0)) {
            Ok(child) => return child,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn c35_a_session_that_is_opened_anew_shows_tasks_that_run_as_running() {
    let (home, mut chat) = chat();
    chat.say("async work a");
    chat.until("t1", "running");
    let before = chat.came().len();
    chat.call("session/load", &stored::params(&home, &chat.session));
    let shown = chat.came()[before..].to_vec();
    let cards = updates(&shown, "task-t1");
    assert_eq!(cards.len(), 1, "{cards:#?}");
    assert_eq!(cards[0]["sessionUpdate"], "tool_call");
    assert_ne!(cards[0]["status"], "failed", "{cards:#?}");
    home.open_gate("a");
    assert_eq!(chat.until("t1", "completed")["status"], "completed");
    let all = chat.came()[before..].to_vec();
    let last = updates(&all, "task-t1");
    let failed: Vec<_> = last.iter().filter(|update| update["status"] == "failed").collect();
    assert_eq!(failed, Vec::<&&Value>::new());
}

#[test]
fn c56_commands_are_carried_out_and_answered_in_their_order() {
    let (_home, mut chat) = chat();
    chat.say("hello");
    let prompts = ["/task work a", "/check t1", "/task work b", "/check t2", "/stop", "/tasks"];
    let ids: Vec<Value> = prompts.iter().map(|text| chat.prompt(text)).collect();
    for id in &ids {
        assert_eq!(chat.answer(id).stop, "end_turn");
    }
    let answers: Vec<&Value> = chat
        .came()
        .iter()
        .filter(|message| message.get("method").is_none() && ids.contains(&message["id"]))
        .map(|message| &message["id"])
        .collect();
    assert_eq!(answers, ids.iter().collect::<Vec<_>>());
    let said: Vec<String> = chat
        .came()
        .iter()
        .map(|message| &message["params"]["update"])
        .filter(|update| update["sessionUpdate"] == "agent_message_chunk")
        .filter_map(|update| update["content"]["text"].as_str().map(str::to_owned))
        .collect();
    let unknown: Vec<_> = said.iter().filter(|text| text.contains("no task")).collect();
    assert_eq!(unknown, Vec::<&String>::new(), "each sees what those before it did");
    assert!(said.last().unwrap().contains("`t2` cancelled"), "{said:#?}");
}

#[test]
fn c58_a_copy_of_a_session_numbers_its_tasks_behind_those_that_it_shows() {
    let (home, mut chat) = chat();
    chat.say("async work a");
    chat.say("async work b");
    chat.until("t2", "running");
    let mut chat = fork(chat, &home);
    assert_eq!(chat.list(), [], "the copy has none of them");
    let shown = chat.say("/check t1");
    assert!(shown.contains("the session that this one is a copy of"), "{shown}");
    assert!(chat.say("cancel t2").contains("the session that this one is a copy of"));
    assert!(chat.say("/check t3").contains("no task `t3`"));

    let first = chat.outcome("async work c");
    assert_eq!(first["tasks"][0]["task_id"], "t3");
    home.open_gate("c");
    chat.until("t3", "completed");
    assert_eq!(chat.list(), [row("t3", "completed", None)]);
    // So does a copy of the copy.
    let mut chat = fork(chat, &home);
    assert!(chat.say("/check t3").contains("the session that this one is a copy of"));
    assert_eq!(chat.outcome("async work d")["tasks"][0]["task_id"], "t4");
}

#[test]
fn c45_a_session_that_does_a_task_is_not_a_clients() {
    let (home, mut chat) = chat();
    chat.say("async work a");
    chat.until("t1", "running");
    let child = &child_of(&home, &chat.session);
    for method in
        ["session/load", "session/resume", "session/fork", "session/delete", "session/set_title"]
    {
        let mut params = stored::params(&home, child);
        params["title"] = json!("Mine");
        let answer = chat.call(method, &params);
        assert_eq!(answer["error"]["code"], -32002, "{method}: {answer}");
    }
    let listed = chat.call("session/list", &json!({}));
    let listed: Vec<&str> = listed["result"]["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|session| session["sessionId"].as_str())
        .collect();
    assert_eq!(listed, [chat.session.as_str()]);
    // None of it disturbed the task.
    home.open_gate("a");
    assert_eq!(chat.until("t1", "completed")["status"], "completed");
    let strangers = chat.came().iter().filter(|message| {
        let session = message["params"]["sessionId"].as_str();
        session.is_some_and(|session| session != chat.session)
    });
    assert_eq!(strangers.count(), 0, "nothing is said of a session that the client has not");
}

#[test]
fn c59_when_the_process_ends_cards_and_calls_that_were_asked_for_become_final_once() {
    let (home, mut chat) = chat();
    chat.say("async write x.txt");
    chat.until("t1", "waiting");
    chat.prompt("hold never");
    chat.asked();
    chat.until_said("Holding never.");
    // Opened anew it has the same cards, which it must not end twice.
    chat.stop();
    chat.call("session/load", &stored::params(&home, &chat.session));
    chat.until("t1", "waiting");
    chat.prompt("hold ever");
    chat.asked();
    // What is asked again may come before the prompt is read.
    chat.until_said("Holding ever.");
    let before = chat.came().len();
    chat.agent.signal("-TERM");
    for id in ["task-t1", "task-t1/c1"] {
        chat.wait(id, |chat| (chat.card(id)?["status"] == "failed").then_some(()));
    }
    let mut rest = chat.came()[before..].to_vec();
    while let Some(message) = chat.agent.next_within(Duration::from_millis(300)) {
        rest.push(message);
    }
    for id in ["task-t1", "task-t1/c1"] {
        let ends = updates(&rest, id);
        let ends = ends.iter().filter(|update| update["status"] == "failed").count();
        assert_eq!(ends, 1, "{id}: {rest:#?}");
    }
    assert!(!home.exists("x.txt"));
}

#[test]
fn c60_a_task_that_finds_a_slot_is_shown_as_running_from_the_start() {
    let (_home, mut chat) = chat();
    assert_eq!(chat.outcome("async work a")["tasks"][0]["state"], "running");
    let came = chat.came().to_vec();
    let first = updates(&came, "task-t1")[0];
    assert_eq!((&first["status"], &first["kind"]), (&json!("in_progress"), &json!("think")));
    assert!(content(first).starts_with("running"), "{first}");
}
