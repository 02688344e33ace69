//! What the model sees of the project, and that its changes never overwrite those of others.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::client::nothing_asked;
use crate::support::home::Home;
use crate::support::provider::{Gate, Reply};
use crate::support::served::{Dialect, Served};

const BYPASS: &str = "permissions:\n  mode: bypass\n";

fn home(script: &str) -> Home {
    let home = Home::scripted(script);
    home.write_config(BYPASS);
    home
}

/// One turn of `script` on files that are there before; the home and what was said.
fn played(script: &str, files: &[(&str, &str)]) -> (Home, String) {
    let home = home(script);
    for (name, text) in files {
        home.write(name, text);
    }
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let said = agent.turn(&session, "go", nothing_asked).text();
    (home, said)
}

#[test]
fn a_file_that_changed_since_it_was_read_is_left_alone() {
    for call in [
        r#"edit {"path": "a.txt", "edits": [{"old_text": "two", "new_text": "2"}]}"#,
        r#"write {"path": "a.txt", "content": "all new\n"}"#,
    ] {
        let script = format!(
            "when prompt \"go\"\n call read {{\"path\": \"a.txt\"}}\nthen\n say \"seen\"\n gate go\n \
             call {call}\nthen\n say \"${{outcome}}\"\n\
             when prompt \"again\"\n call read {{\"path\": \"a.txt\"}}\nthen\n call {call}\nthen\n say \"${{outcome}}\""
        );
        let home = home(&script);
        home.write("a.txt", "one\ntwo\n");
        let mut agent = Agent::ready(&home);
        let session = agent.new_session(&home);
        let id = agent.prompt(&session, "go");
        let before = agent.wait_for_text("seen");
        home.write("a.txt", "one\ntwo\nand three\n");
        home.open_gate("go");
        let answer = agent.serve_after(before, &id, nothing_asked);
        let said = answer.text();
        assert!(
            said.contains(
                "error: `a.txt` changed since you read it, by a task, the user or another program"
            ),
            "{said}"
        );
        assert_eq!(answer.status(answer.calls()[1]), "failed");
        assert_eq!(home.read("a.txt"), "one\ntwo\nand three\n");
        // Read again, it may be changed.
        agent.turn(&session, "again", nothing_asked);
        assert_ne!(home.read("a.txt"), "one\ntwo\nand three\n");
    }
}

#[test]
fn a_file_that_changes_while_a_change_of_it_waits_for_permission_is_left_alone() {
    let home = Home::scripted(
        "when any\n call read {\"path\": \"a.txt\"}\nthen\n call write {\"path\": \"a.txt\", \"content\": \
         \"all new\\n\"}\nthen\n say \"${outcome}\"",
    );
    home.write("a.txt", "one\n");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let id = agent.prompt(&session, "go");
    let (before, request) = agent.asked();
    home.write("a.txt", "one\nand two\n");
    agent.respond(
        &request,
        &json!({ "outcome": { "outcome": "selected", "optionId": "allow_once" } }),
    );
    let answer = agent.serve_after(before, &id, nothing_asked);
    assert!(answer.text().contains("changed since you read it"), "{}", answer.text());
    assert_eq!(home.read("a.txt"), "one\nand two\n");
}

#[test]
fn what_a_command_or_another_session_changed_must_be_read_again() {
    let home = home(
        r#"
        when prompt "read"
          call read {"path": "a.txt"}
        then
          say "${outcome}"
        when prompt "command"
          call terminal {"command": "echo more >> a.txt"}
        then
          say "${outcome}"
        when prompt "edit"
          call edit {"path": "a.txt", "edits": [{"old_text": "one", "new_text": "1"}]}
        then
          say "${outcome}"
        "#,
    );
    home.write("a.txt", "one\n");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let other = agent.new_session(&home);
    // What was read in an earlier turn is known.
    agent.turn(&session, "read", nothing_asked);
    agent.turn(&session, "command", nothing_asked);
    let said = agent.turn(&session, "edit", nothing_asked).text();
    assert!(said.contains("changed since you read it"), "{said}");
    agent.turn(&session, "read", nothing_asked);
    agent.turn(&other, "edit", nothing_asked);
    assert_eq!(home.read("a.txt"), "1\nmore\n");
    let said = agent.turn(&session, "edit", nothing_asked).text();
    assert!(said.contains("changed since you read it"), "{said}");
}

#[test]
fn an_existing_file_is_written_only_by_who_knows_it() {
    let script = r#"
        when any
          call write {"path": "a.txt", "content": "new\n"}
        then
          say "${outcome} "
          call write {"path": "empty.txt", "content": "new\n"}
        then
          say "${outcome} "
          call read {"path": "a.txt"}
        then
          call write {"path": "a.txt", "content": "new\n"}
        then
          call write {"path": "a.txt", "content": "newer\n"}
        then
          say "${outcome}"
    "#;
    let (home, said) = played(script, &[("a.txt", "old\n"), ("empty.txt", "")]);
    assert!(said.contains("error: `a.txt` exists: read it first"), "{said}");
    assert!(said.contains("wrote `empty.txt`") && said.contains("wrote `a.txt`"), "{said}");
    assert_eq!(home.read("a.txt"), "newer\n");
}

#[test]
fn a_file_that_was_read_in_part_is_written_once_it_was_read_whole() {
    let script = r#"
        when prompt "begin"
          call read {"path": "a.txt", "limit": 2}
        then
          call write {"path": "a.txt", "content": "new\n"}
        then
          say "${outcome}"
        when prompt "rest"
          call read {"path": "a.txt", "offset": 3}
        then
          call write {"path": "a.txt", "content": "new\n"}
        then
          say "${outcome}"
    "#;
    let home = home(script);
    home.write("a.txt", "one\ntwo\nthree\nfour\n");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let said = agent.turn(&session, "begin", nothing_asked).text();
    assert!(said.contains("read the whole file first, lines 3–4 are missing"), "{said}");
    assert_eq!(home.read("a.txt"), "one\ntwo\nthree\nfour\n");
    agent.turn(&session, "rest", nothing_asked);
    assert_eq!(home.read("a.txt"), "new\n");
}

#[test]
fn line_endings_stay() {
    let script = r#"
        when any
          call edit {"path": "a.txt", "edits": [{"old_text": "one\ntwo", "new_text": "1\n2\n2.5"}]}
          call read {"path": "b.txt"}
        then
          call write {"path": "b.txt", "content": "1\n2\n"}
        then
          say "${outcome}"
    "#;
    let (home, _) = played(script, &[("a.txt", "one\r\ntwo\r\nthree\r\n"), ("b.txt", "one\r\n")]);
    assert_eq!(home.read("a.txt"), "1\r\n2\r\n2.5\r\nthree\r\n");
    assert_eq!(home.read("b.txt"), "1\r\n2\r\n");
}

#[test]
fn permissions_and_links_of_a_file_stay() {
    let home = home(
        "when any\n call edit {\"path\": \"link.sh\", \"edits\": [{\"old_text\": \"one\", \"new_text\": \"1\"}]}\nthen\n say \"${outcome}\"",
    );
    let path = home.write("real.sh", "echo one\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o751)).unwrap();
    std::os::unix::fs::symlink("real.sh", home.work().join("link.sh")).unwrap();
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let said = agent.turn(&session, "go", nothing_asked).text();
    assert_eq!(home.read("real.sh"), "echo 1\n", "{said}");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o751);
    assert!(home.work().join("link.sh").is_symlink());
    let names: Vec<_> =
        fs::read_dir(home.work()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

/// The first request of a session whose prompt is `Say hello`.
fn first_request(dialect: Dialect, prepare: impl FnOnce(&Home), folders: &[&str]) -> Value {
    let served = Served::new(dialect);
    prepare(&served.home);
    served.says("Hello.");
    let mut agent = served.agent();
    let folders: Vec<_> = folders.iter().map(|folder| served.home.work().join(folder)).collect();
    let params =
        json!({ "cwd": served.home.work(), "additionalDirectories": folders, "mcpServers": [] });
    let session =
        agent.call("session/new", &params).result()["sessionId"].as_str().unwrap().to_owned();
    agent.turn(&session, "Say hello", nothing_asked);
    let body = served.body(0);
    drop(agent);
    served.provider.finish();
    body
}

#[test]
fn the_first_request_is_small_and_has_all_tools() {
    for dialect in Dialect::BOTH {
        let body = first_request(dialect, |_| {}, &[]);
        let names: Vec<&str> = body["tools"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tool| tool["name"].as_str().or(tool["function"]["name"].as_str()).unwrap())
            .collect();
        let tasks = [
            "delegate_task_async",
            "delegate_task",
            "check_task",
            "steer_task",
            "collect_task",
            "cancel_task",
            "list_tasks",
        ];
        let (first, last) = names.split_at(names.len() - tasks.len());
        assert_eq!(first, ["read", "write", "edit", "list", "glob", "grep", "terminal", "plan"]);
        assert_eq!(last, tasks);
        let size = body.to_string().len();
        assert!(size <= 12_000, "{dialect:?}: {size} bytes");
    }
}

#[test]
fn instructions_of_the_project_and_the_user_reach_the_model() {
    for dialect in Dialect::BOTH {
        let body = first_request_text(
            dialect,
            |home| {
                home.write_config("instructions: Answer in verse.\n");
                home.write("AGENTS.md", "Use tabs, always.\n");
                home.write("CLAUDE.md", "Nobody reads this.\n");
                home.write_outside("more/CLAUDE.md", "Use spaces, never.\n");
            },
            &["../more"],
        );
        for text in ["Answer in verse.", "Use tabs, always.", "Use spaces, never."] {
            assert!(body.contains(text), "{text}: {body}");
        }
        assert!(!body.contains("Nobody reads this"), "{body}");
    }
}

fn first_request_text(dialect: Dialect, prepare: impl FnOnce(&Home), folders: &[&str]) -> String {
    first_request(dialect, prepare, folders).to_string()
}

#[test]
fn instructions_are_capped() {
    let body = first_request_text(
        Dialect::Openai,
        |home| {
            home.write("AGENTS.md", &format!("The beginning. {} The end.", "ä".repeat(50_000)));
        },
        &[],
    );
    assert!(
        body.contains("The beginning.") && body.contains("[cut here") && !body.contains("The end.")
    );
    assert!(body.len() < 12_000 + 25_000, "{}", body.len());
}

#[test]
fn instructions_that_are_no_file_are_left_out() {
    let body = first_request_text(
        Dialect::Openai,
        |home| {
            fs::create_dir(home.work().join("AGENTS.md")).unwrap();
            fs::write(home.work().join("CLAUDE.md"), b"Be \xff brief.").unwrap();
        },
        &[],
    );
    assert!(body.contains("Be \u{fffd} brief."), "{body}");
}

/// The roles of the messages of a request, without the system's.
fn roles(body: &Value) -> Vec<&str> {
    let messages = body["messages"].as_array().unwrap().iter();
    messages
        .filter_map(|message| message["role"].as_str())
        .filter(|role| *role != "system")
        .collect()
}

#[test]
fn two_messages_of_the_user_never_follow_each_other() {
    for dialect in Dialect::BOTH {
        let served = Served::new(dialect);
        let gate = Gate::new();
        served.provider.queue(Reply::status(400).body("no"));
        served.provider.queue(served.reply().gate(&gate).text("never"));
        served.says("Here.");
        let mut agent = served.agent();
        let session = agent.new_session(&served.home);
        // One fails, one is cancelled before a word, one is a command; none has a reply.
        assert_eq!(agent.turn(&session, "first", nothing_asked).code(), -32603);
        let id = agent.prompt(&session, "second");
        served.wait(gate.reached());
        agent.cancel(&session);
        assert_eq!(agent.wait(&id).stop_reason(), "cancelled");
        agent.turn(&session, "/help", nothing_asked);
        assert_eq!(agent.turn(&session, "third", nothing_asked).text(), "Here.");
        let body = served.body(2);
        assert_eq!(roles(&body), ["user"]);
        let text = body["messages"].to_string();
        assert!(["first", "second", "third"].iter().all(|prompt| text.contains(prompt)), "{text}");
        assert!(!text.contains("/help") && !text.contains("never"), "{text}");
        // The provider checks the rule, too.
        served.provider.finish();
    }
}
