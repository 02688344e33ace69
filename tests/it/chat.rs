//! One whole chat, read, edit, run, in a git work tree: the same on the wire whichever dialect the model
//! speaks.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::agent::{Agent, Answer};
use crate::support::client::allow;
use crate::support::home::Home;
use crate::support::served::{Dialect, Served};

const SCRIPT: &str = r#"
    when prompt "fix it"
      say "I look."
      call read {"path": "greet.sh"}
    then
      call edit {"path": "greet.sh", "edits": [{"old_text": "Helo", "new_text": "Hello"}]}
    then
      call terminal {"command": "sh greet.sh && git diff --stat"}
    then
      say "Fixed."
"#;

fn edit() -> Value {
    json!({ "path": "greet.sh", "edits": [{ "old_text": "Helo", "new_text": "Hello" }] })
}

fn run() -> Value {
    json!({ "command": "sh greet.sh && git diff --stat" })
}

/// A repository with one file that says a word wrong.
fn project(home: &Home) {
    home.write("greet.sh", "echo Helo\n");
    for arguments in [
        &["init", "-q"][..],
        &["add", "."],
        &["-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "first"],
    ] {
        let status = Command::new("git").current_dir(home.work()).args(arguments).status().unwrap();
        assert!(status.success());
    }
}

/// Plays the chat; what came, one line for each thing.
fn played(home: &Home, agent: &mut Agent) -> Vec<String> {
    let session = agent.new_session(home);
    let answer: Answer = agent.turn(&session, "fix it", allow);
    assert_eq!(home.read("greet.sh"), "echo Hello\n");
    let mut lines: Vec<String> = answer
        .calls()
        .iter()
        .map(|id| {
            let card = answer.card(id);
            format!("{} {} {}", card["name"], card["title"], card["status"])
        })
        .collect();
    lines.push(answer.text());
    lines.push(answer.stop_reason().to_owned());
    lines
}

#[test]
fn the_same_chat_through_every_dialect() {
    let home = Home::scripted(SCRIPT);
    project(&home);
    let scripted = played(&home, &mut Agent::ready(&home));
    assert_eq!(
        scripted,
        [
            r#""read" "Read greet.sh" "completed""#,
            r#""edit" "Edit greet.sh" "completed""#,
            r#""terminal" "`sh greet.sh && git diff --stat`" "completed""#,
            "I look.Fixed.",
            "end_turn",
        ]
    );
    for dialect in Dialect::BOTH {
        let served = Served::new(dialect);
        project(&served.home);
        let provider = &served.provider;
        provider.queue(served.reply().text("I look.").call(
            "a",
            "read",
            json!({ "path": "greet.sh" }),
        ));
        provider.queue(served.reply().call("b", "edit", edit()));
        provider.queue(served.reply().call("c", "terminal", run()));
        provider.queue(served.reply().text("Fixed."));
        let mut agent = served.agent();
        assert_eq!(played(&served.home, &mut agent), scripted, "{dialect:?}");
        let requests = provider.requests();
        assert_eq!(requests.len(), 4);
        // Each request holds what the calls before it brought.
        let last = requests[3].body.to_string();
        assert!(last.contains("1\\techo Helo") && last.contains("Hello\\n greet.sh"), "{last}");
        served.provider.finish();
    }
}
