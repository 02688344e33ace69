//! Tasks that ask the user: the same gate as in the chat, one dialog at a time, and no refusal that nobody
//! made.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{chat, chat_with, row};
use crate::support::agent::{Agent, Client};
use crate::support::home::Home;
use crate::support::tasks::{Chat, MODEL};

/// A turn that is held, so that dialogs may be shown; its prompt.
fn hold(chat: &mut Chat, gate: &str) -> Value {
    let turn = chat.prompt(&format!("hold {gate}"));
    chat.until_said(&format!("Holding {gate}."));
    turn
}

/// A chat of a client of which nothing is known: it is asked while a prompt is open, and not otherwise.
fn unknown_client(home: &Home) -> Chat {
    Chat::of(Agent::ready_as(home, Client::Unknown), home)
}

/// The held turn ends.
fn release(chat: &mut Chat, home: &Home, gate: &str, turn: &Value) {
    home.open_gate(gate);
    assert_eq!(chat.answer(turn).stop, "end_turn");
}

#[test]
fn a_task_asks_before_it_writes() {
    let (home, mut chat) = chat();
    let turn = hold(&mut chat, "go");
    chat.say("/task write x.txt");
    let dialog = chat.asked();
    let call = &dialog["params"]["toolCall"];
    let id = call["toolCallId"].as_str().unwrap().to_owned();
    assert!(id.starts_with("task-t1/"), "{id}");
    let card = chat.card(&id).unwrap();
    let title = card["title"].as_str().unwrap();
    assert!(title.starts_with("`t1` · ") && title.contains("x.txt"), "{title}");
    assert_eq!(card["status"], "pending");
    assert!(!home.exists("x.txt"));
    chat.until("t1", "waiting");
    chat.choose(&dialog, "allow_once");
    chat.until("t1", "completed");
    assert_eq!(home.read("x.txt"), "new\n");
    let over = |chat: &Chat| (chat.card(&id).unwrap()["status"] == "completed").then_some(());
    chat.wait("the end of the call that was asked for", over);
    release(&mut chat, &home, "go", &turn);
}

#[test]
fn what_is_refused_is_not_done_and_the_task_goes_on() {
    let (home, mut chat) = chat();
    let turn = hold(&mut chat, "go");
    chat.say("/task write x.txt");
    let dialog = chat.asked();
    chat.choose(&dialog, "reject_once");
    chat.until("t1", "completed");
    assert!(!home.exists("x.txt"));
    assert!(chat.say("/collect t1").contains("denied"));
    let id = dialog["params"]["toolCall"]["toolCallId"].as_str().unwrap();
    assert_eq!(chat.card(id).unwrap()["status"], "failed");
    release(&mut chat, &home, "go", &turn);
}

#[test]
fn always_settles_all_that_it_covers_in_every_task_and_in_the_chat() {
    let (home, mut chat) = chat();
    chat.say("all write a.txt; write b.txt; write c.txt");
    for task in ["t1", "t2", "t3"] {
        chat.until(task, "waiting");
    }
    let turn = hold(&mut chat, "go");
    let dialog = chat.asked();
    chat.choose(&dialog, "allow_always");
    for task in ["t1", "t2", "t3"] {
        chat.until(task, "completed");
    }
    release(&mut chat, &home, "go", &turn);
    chat.say("write d.txt");
    assert_eq!(chat.dialogs().len(), 1);
    assert!(["a.txt", "b.txt", "c.txt", "d.txt"].iter().all(|name| home.exists(name)));
}

#[test]
fn ten_tasks_ask_one_dialog_at_a_time() {
    let mut goals = String::new();
    for n in 0..10 {
        write!(goals, "{}{{\"goal\": \"write f{n}\"}}", if n > 0 { ", " } else { "" }).unwrap();
    }
    let ten = format!(
        "when prompt \"ten\"\n  call delegate_task_async {{\"tasks\": [{goals}]}}\nthen\n  say \"Ten.\"\n"
    );
    let home = Home::scripted(&format!("{MODEL}{ten}"));
    // Its prompt is not held for them, so that all ten wait before the first one is asked for.
    home.write_config("tasks:\n  delivery: detached\n");
    let mut chat = unknown_client(&home);
    chat.say("ten");
    let tasks: Vec<String> = (1..=10).map(|n| format!("t{n}")).collect();
    chat.until_listed("`/allow t", 10);
    assert_eq!(chat.dialogs(), Vec::<Value>::new(), "nothing is asked while no turn runs");
    let turn = hold(&mut chat, "go");
    for n in 0..10 {
        let dialog = chat.asked();
        let title = dialog["params"]["toolCall"]["title"].to_string();
        let more = if n < 9 { format!("({} more wait", 9 - n) } else { "more wait".to_owned() };
        assert_eq!(title.contains(&more), n < 9, "{title}");
        chat.choose(&dialog, "allow_once");
    }
    for task in &tasks {
        chat.until(task, "completed");
    }
    assert_eq!(chat.dialogs().len(), 10);
    assert!((0..10).all(|n| home.exists(&format!("f{n}"))));
    release(&mut chat, &home, "go", &turn);
}

#[test]
fn c83_a_known_client_is_asked_while_no_prompt_is_open() {
    let (home, mut chat) = chat();
    chat.say("/task write a.txt");
    let dialog = chat.asked();
    chat.choose(&dialog, "allow_once");
    chat.until("t1", "completed");
    assert!(home.exists("a.txt"));
    // A dialog that is open when the turn ends stays.
    let turn = hold(&mut chat, "go");
    chat.say("/task write b.txt");
    let dialog = chat.asked();
    release(&mut chat, &home, "go", &turn);
    chat.say("/tasks");
    assert_eq!(chat.open_dialogs(), std::slice::from_ref(&dialog));
    chat.choose(&dialog, "allow_once");
    chat.until("t2", "completed");
    assert!(home.exists("b.txt"));
}

#[test]
fn c83_an_unknown_client_is_asked_with_its_next_prompt_alone() {
    let home = Home::scripted(MODEL);
    let mut chat = unknown_client(&home);
    chat.say("/task write a.txt");
    chat.until_listed("`/allow t1`", 1);
    chat.settle();
    assert_eq!(chat.dialogs(), Vec::<Value>::new());
    let turn = hold(&mut chat, "go");
    let dialog = chat.asked();
    release(&mut chat, &home, "go", &turn);
    assert_eq!(chat.open_dialogs(), Vec::<Value>::new(), "it is withdrawn before the answer");
    let turn = hold(&mut chat, "again");
    let again = chat.asked();
    assert_eq!(
        again["params"]["toolCall"]["toolCallId"],
        dialog["params"]["toolCall"]["toolCallId"]
    );
    chat.choose(&again, "allow_once");
    chat.until("t1", "completed");
    assert!(home.exists("a.txt"));
    release(&mut chat, &home, "again", &turn);
}

#[test]
fn stop_refuses_nothing_and_the_next_prompt_asks_again() {
    let home = Home::scripted(MODEL);
    let mut chat = unknown_client(&home);
    let turn = hold(&mut chat, "never");
    chat.say("/task write a.txt");
    chat.say("/task write b.txt");
    chat.asked();
    chat.until("t1", "waiting");
    chat.until("t2", "waiting");
    chat.stop();
    assert_eq!(chat.answer(&turn).stop, "cancelled");
    let waiting = [row("t1", "waiting", None), row("t2", "waiting", None)];
    assert_eq!(chat.list(), waiting);

    let before = chat.dialogs().len();
    let turn = hold(&mut chat, "go");
    for _ in 0..2 {
        let dialog = chat.asked();
        chat.choose(&dialog, "allow_once");
    }
    chat.until("t1", "completed");
    chat.until("t2", "completed");
    assert!(chat.dialogs().len() >= before + 2);
    assert!(home.exists("a.txt") && home.exists("b.txt"));
    release(&mut chat, &home, "go", &turn);
}

#[test]
fn a_dialog_that_is_answered_as_cancelled_is_no_refusal() {
    let (home, mut chat) = chat();
    let turn = hold(&mut chat, "one");
    chat.say("/task write a.txt");
    let dialog = chat.asked();
    chat.agent.respond(&dialog, &json!({ "outcome": { "outcome": "cancelled" } }));
    release(&mut chat, &home, "one", &turn);
    assert_eq!(chat.list(), [row("t1", "waiting", None)]);
    chat.say("/allow t1");
    chat.until("t1", "completed");
    assert!(home.exists("a.txt"));
}

#[test]
fn questions_are_answered_by_commands_too() {
    let (home, mut chat) = chat();
    chat.say("all write a.txt; write b.txt; write c.txt");
    for task in ["t1", "t2", "t3"] {
        chat.until(task, "waiting");
    }
    let shown = chat.say("/tasks");
    assert!(shown.contains("`/allow t1`") && shown.contains("a.txt"), "{shown}");
    chat.say("/deny t1 it is mine");
    chat.until("t1", "completed");
    assert!(!home.exists("a.txt"));
    // In the place of the dialog, which is taken back.
    let turn = hold(&mut chat, "go");
    chat.asked();
    chat.say("/allow t2 always");
    chat.until("t2", "completed");
    chat.until("t3", "completed");
    assert_eq!(chat.open_dialogs(), Vec::<Value>::new());
    assert!(home.exists("b.txt") && home.exists("c.txt"));
    assert!(chat.say("/allow t1").contains("asks for nothing"));
    release(&mut chat, &home, "go", &turn);
}

#[test]
fn a_task_has_no_wider_mode_than_its_session_now_and_then() {
    let (home, mut chat) = chat();
    // Started in a narrow one: it stays narrow.
    chat.set_mode("plan");
    chat.say("/task write a.txt");
    chat.until("t1", "completed");
    chat.set_mode("bypass");
    chat.say("/task write b.txt");
    chat.until("t2", "completed");
    assert!(home.exists("b.txt") && !home.exists("a.txt"));
    // Started in a wide one: it is narrowed with its session.
    chat.say("/task later d e.txt");
    chat.until("t3", "running");
    chat.set_mode("ask");
    home.open_gate("d");
    chat.until("t3", "waiting");
    assert!(!home.exists("e.txt"));
    chat.say("/deny t3");
    chat.until("t3", "completed");
    assert!(!home.exists("e.txt"));
}

#[test]
fn a_task_below_a_task_asks_with_its_whole_name() {
    let (home, mut chat) = chat_with("delegation:\n  max_spawn_depth: 2\n");
    let turn = hold(&mut chat, "go");
    chat.say("/task nest write x.txt");
    let dialog = chat.asked();
    let id = dialog["params"]["toolCall"]["toolCallId"].as_str().unwrap();
    assert!(id.starts_with("task-t1.1/"), "{id}");
    chat.choose(&dialog, "allow_once");
    chat.until("t1", "completed");
    assert!(home.exists("x.txt"));
    release(&mut chat, &home, "go", &turn);
}
