//! A parent that is told what to call, over HTTP in either dialect, and what is read of the requests; and
//! scripts with more scenes than [`MODEL`] has.

use std::fs;

use serde_json::Value;

use super::requests::is_of;
use crate::support::home::Home;
use crate::support::provider::{Reply, Request};
use crate::support::served::{Dialect, Served};
use crate::support::tasks::{Chat, MODEL};

/// The goal of the task whose requests are told from its parent's.
pub(super) const GOAL: &str = "child goal";

/// A picture of one pixel, and as it is in a request.
pub(super) const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// A home with the model of [`MODEL`] and these scenes, and a chat in it.
pub(super) fn scripted(scenes: &str, config: &str) -> (Home, Chat) {
    let home = Home::scripted(&format!("{MODEL}\n{scenes}"));
    home.write_config(config);
    let chat = Chat::new(&home);
    (home, chat)
}

/// A served agent whose tasks say `report`.
pub(super) fn reporting(dialect: Dialect, report: &str) -> Served {
    let served = Served::new(dialect);
    served.provider.rule(is_of(GOAL), held(&served).text(report).usage(10, 2, 0));
    served
}

/// The beginning of a task's reply that comes once the turn that started it is over: else its report would be
/// one more step of that turn, or not.
pub(super) fn held(served: &Served) -> Reply {
    served.reply().gate(&served.hold)
}

/// A turn that starts a task; what it says. What is [`held`] of the task goes on when the turn is over.
pub(super) fn starts(served: &Served, chat: &mut Chat, prompt: &str) -> String {
    served.hold.close();
    let said = chat.say(prompt);
    served.hold.open();
    said
}

/// The parent's next turn calls a tool, and then says "Done."
pub(super) fn calls(served: &Served, tool: &str, input: &Value) {
    served.provider.queue(served.reply().call("x", tool, input.clone()));
    served.provider.queue(served.reply().text("Done.").usage(10, 2, 0));
}

/// The parent calls a tool; what its outcome said to it.
pub(super) fn told(served: &Served, chat: &mut Chat, tool: &str, input: &Value) -> String {
    calls(served, tool, input);
    let said = if tool == "delegate_task_async" {
        starts(served, chat, "PARENT")
    } else {
        chat.say("PARENT")
    };
    assert_eq!(said, "Done.");
    outcomes(of_parent(served).last().unwrap()).join("\n")
}

pub(super) fn of_child(served: &Served) -> Vec<Request> {
    served.provider.requests().into_iter().filter(is_of(GOAL)).collect()
}

pub(super) fn of_parent(served: &Served) -> Vec<Request> {
    served.provider.requests().into_iter().filter(|request| !is_of(GOAL)(request)).collect()
}

pub(super) fn body(request: &Request) -> String {
    request.body.to_string()
}

/// The outcomes that a request ends with, in either dialect.
fn outcomes(request: &Request) -> Vec<String> {
    let last = request.messages().iter().rev();
    let tools = last.take_while(|message| message["role"] == "tool");
    let mut texts: Vec<String> =
        tools.map(|message| message["content"].as_str().unwrap().to_owned()).collect();
    texts.reverse();
    let blocks = request.messages().last().and_then(|message| message["content"].as_array());
    for block in blocks.into_iter().flatten().filter(|block| block["type"] == "tool_result") {
        let content = &block["content"];
        let text = content.as_str().or_else(|| content[0]["text"].as_str());
        texts.push(text.unwrap().to_owned());
    }
    texts
}

/// The names of the tools of a request, in either dialect.
pub(super) fn tools(request: &Request) -> Vec<String> {
    let tools = request.body["tools"].as_array().into_iter().flatten();
    let name = |tool: &Value| {
        tool["function"]["name"].as_str().or(tool["name"].as_str()).map(str::to_owned)
    };
    tools.map(|tool| name(tool).unwrap()).collect()
}

/// Writes [`PNG`] where a path of the home leads.
pub(super) fn draw(home: &Home, name: &str) {
    use base64::Engine as _;
    let picture = base64::engine::general_purpose::STANDARD.decode(PNG).unwrap();
    fs::write(home.work().join(name), picture).unwrap();
}
