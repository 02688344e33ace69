//! What is secret in a task's words and calls is in no file of ours and in no card.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::requests::is_of;
use super::told::{GOAL, body, held, of_parent, told};
use crate::support::served::{Dialect, KEY, Served};
use crate::support::tasks::Chat;

/// Of the shape of a well-known kind of secret.
const TOKEN: &str = "ghp_0123456789abcdefghijABCDEFGHIJ012345";

#[test]
fn secrets_of_a_task_are_in_no_file_and_in_no_card() {
    for dialect in Dialect::BOTH {
        let served = Served::new(dialect);
        served.home.write_config("log: {level: trace, wire: true}\n");
        served.home.write("notes.txt", &format!("the token is {TOKEN}\nthe key is {KEY}\n"));
        let read = held(&served).text(&format!("Looking for {KEY}."));
        served.provider.once(is_of(GOAL), read.call("y", "read", json!({ "path": "notes.txt" })));
        let report = format!("CHILD REPORT {TOKEN} and {KEY}");
        served.provider.rule(is_of(GOAL), held(&served).text(&report));
        let mut chat = Chat::of(served.agent(), &served.home);
        let task = json!({ "goal": format!("{GOAL} with {KEY}"), "context": TOKEN });
        told(&served, &mut chat, "delegate_task_async", &task);
        chat.until("t1", "completed");
        chat.say("/check t1");
        chat.say("/collect t1");
        chat.say("/tasks");
        served.says("Seen.");
        chat.say("PARENT again");
        let given = body(of_parent(&served).last().unwrap());
        assert_eq!(given.matches("CHILD REPORT").count(), 1, "{given}");
        assert!(!given.contains(&report), "{given}");

        chat.agent.close_stdin();
        while chat.agent.next_within(Duration::from_secs(5)).is_some() {}
        assert!(chat.agent.exit(Duration::from_secs(5)).success());
        let heard = chat.agent.heard().join("\n") + &chat.agent.stderr();
        let cards = chat.came().iter().map(ToString::to_string).collect::<String>();
        assert!(cards.contains("CHILD REPORT"));
        for (what, text) in [("a card or a message", &cards), ("the output", &heard)] {
            assert!(!text.contains(KEY) && !text.contains(TOKEN), "{what}: {text}");
        }
        let mut all = String::new();
        look(&served.home.state(), &mut all);
        assert!(all.matches("CHILD REPORT").count() >= 2, "it is in the journal and with the task");
    }
}

/// Looks for the secrets in all files of a folder; all that they hold.
fn look(folder: &Path, all: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            look(&path, all);
            continue;
        }
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        for secret in [KEY, TOKEN] {
            let lines: Vec<&str> = text.lines().filter(|line| line.contains(secret)).collect();
            assert_eq!(lines, Vec::<&str>::new(), "{} holds a secret", path.display());
        }
        all.push_str(&text);
    }
}
