//! Reports that find their reader: what each kind of client is told of tasks, when, and how often; and turns that
//! start by themselves. The rules alone are tested in `src/session/tests/follow.rs`. Checklist 83 to 85.

mod again;
mod attached;
mod chains;
mod ends;
mod idle;
mod late;

use serde_json::{Value, json};

use super::requests::is_of;
use super::told::calls;
use crate::support::agent::{Agent, Client};
use crate::support::home::Home;
use crate::support::provider::{Gate, Request};
use crate::support::served::{Dialect, Served};
use crate::support::tasks::{Chat, MODEL};

/// What the model of [`home`] does with reports where no user spoke: it reads them aloud.
const READS: &str = r#"
    when prompt "*their reports follow*"
      say "I have read ${reports}."
"#;

/// A home whose model does as [`MODEL`] says, and reads reports aloud.
fn home(config: &str) -> Home {
    let home = Home::scripted(&format!("{MODEL}{READS}"));
    home.write_config(config);
    home
}

fn chat_of(home: &Home, client: Client) -> Chat {
    Chat::as_configured(Agent::ready_as(home, client), home)
}

/// A parent that has delegated a task for each goal, over HTTP; the tasks end when their gates are opened.
fn delegated(goals: &[&'static str], client: Client, config: &str) -> (Served, Chat, Vec<Gate>) {
    let (served, mut chat, gates) = delegating(goals, client, config);
    assert_eq!(chat.say("PARENT"), "Done.");
    (served, chat, gates)
}

/// The same before its prompt. A goal begins with `child`, which nothing of the parent's prompts does.
fn delegating(goals: &[&'static str], client: Client, config: &str) -> (Served, Chat, Vec<Gate>) {
    let served = Served::new(Dialect::Openai);
    served.home.write_config(config);
    let gates: Vec<Gate> = goals.iter().map(|_| Gate::new()).collect();
    for (goal, gate) in goals.iter().zip(&gates) {
        let reply = served.reply().gate(gate).text("CHILD REPORT").usage(10, 2, 0);
        served.provider.once(is_of(goal), reply);
    }
    let tasks: Vec<Value> = goals.iter().map(|goal| json!({ "goal": goal })).collect();
    calls(&served, "delegate_task_async", &json!({ "tasks": tasks }));
    let chat = Chat::as_configured(served.agent_as(client), &served.home);
    (served, chat, gates)
}

/// The requests that no task made.
fn of_parent(served: &Served) -> Vec<Request> {
    served.provider.requests().into_iter().filter(|request| !is_of("child")(request)).collect()
}

/// What says of a message that it belongs to a turn that began by itself.
fn mark(message: &Value) -> Option<&Value> {
    message["params"]["_meta"]["talaria"].get("followUp")
}

fn is_over(message: &Value) -> bool {
    mark(message).is_some_and(|mark| mark["over"] == true)
}

/// The tasks that started the turns that began by themselves and are over, in order.
fn follow_ups(chat: &Chat) -> Vec<Vec<String>> {
    let over = chat.came().iter().filter(|message| is_over(message));
    let names = |message: &Value| -> Vec<String> {
        serde_json::from_value(mark(message).unwrap()["tasks"].clone()).unwrap()
    };
    over.map(names).collect()
}

/// Waits until so many turns that began by themselves are over.
fn until_over(chat: &mut Chat, count: usize) {
    chat.wait("the end of a turn that began by itself", |chat| {
        (follow_ups(chat).len() >= count).then_some(())
    });
    assert_eq!(follow_ups(chat).len(), count);
}

fn assert_no_follow_up(chat: &Chat) {
    let marked: Vec<&Value> =
        chat.came().iter().filter(|message| mark(message).is_some()).collect();
    assert_eq!(marked, Vec::<&Value>::new());
}

/// What the agent said in these messages.
fn text_of(came: &[Value]) -> String {
    let updates = came.iter().map(|message| &message["params"]["update"]);
    let chunks = updates.filter(|update| update["sessionUpdate"] == "agent_message_chunk");
    chunks.filter_map(|update| update["content"]["text"].as_str()).collect()
}

/// How often a task's card was told whole in these messages, as a client needs it that does not know it.
fn whole_cards(came: &[Value], task: &str) -> Vec<Value> {
    let id = format!("task-{task}");
    let updates = came.iter().map(|message| &message["params"]["update"]);
    let whole = updates
        .filter(|update| update["sessionUpdate"] == "tool_call" && update["toolCallId"] == *id);
    whole
        .inspect(|card| {
            let title = card["title"].as_str().unwrap();
            assert!(title.starts_with(&format!("`{task}` · ")), "{card}");
            assert_eq!(card["kind"], "think", "{card}");
        })
        .cloned()
        .collect()
}

/// Waits for the end of a session's first turn, whose prompt is not answered: clients expect the title then.
fn held(chat: &mut Chat, text: &str) -> Value {
    let turn = chat.prompt(text);
    chat.wait("the end of the first turn", |chat| {
        let mut updates = chat.came().iter().map(|message| &message["params"]["update"]);
        updates.any(|update| update["sessionUpdate"] == "session_info_update").then_some(())
    });
    chat.settle();
    assert_eq!(chat.response(&turn), None, "it is held");
    turn
}

/// Nothing came that a client may lose or ask about which it does not expect: answers to what it asked are none
/// of that.
fn assert_quiet(came: &[Value]) {
    const ALLOWED: [&str; 5] = [
        "available_commands_update",
        "session_info_update",
        "usage_update",
        "config_option_update",
        "current_mode_update",
    ];
    for message in came.iter().filter(|message| message.get("method").is_some()) {
        let kind = message["params"]["update"]["sessionUpdate"].as_str().unwrap_or_default();
        assert!(ALLOWED.contains(&kind), "nobody sees this: {message}");
    }
}
