//! Checklist 4 and 5: the end of input, of output and of the process.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::home::Home;
use crate::support::process;

const BOUND: Duration = Duration::from_secs(2);

/// A command that says its process group, then works on; its grandchild does, too.
const COMMAND: &str = "when any\n  call terminal {\"command\": \"echo group=$$; (sleep 100; true) & sleep 100\"}\nthen\n  say \"Done.\"\n";

/// An agent with a prompt whose command runs; the prompt's id and the command's process group.
fn running(home: &Home, script: &str) -> (Agent, Value, u32) {
    std::fs::write(home.script(), script).unwrap();
    home.write_config("permissions: {mode: bypass}\n");
    let mut agent = Agent::ready(home);
    let session = agent.new_session(home);
    let prompt = agent.prompt(&session, "go");
    let group = agent.wait_for_group();
    (agent, prompt, group)
}

#[test]
fn c04_at_the_end_of_input_an_open_prompt_is_answered() {
    let home = Home::scripted("when any\n  say \"a\"\n  gate never\n");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let prompt = agent.prompt(&session, "go");
    agent.wait_for_update("agent_message_chunk");
    agent.close_stdin();
    assert_eq!(agent.wait(&prompt).stop_reason(), "cancelled");
    assert_eq!(agent.exit(BOUND).code(), Some(0));
    assert_eq!(agent.stderr(), "");
}

#[test]
fn c04_at_the_end_of_input_commands_are_stopped() {
    let home = Home::empty();
    let (mut agent, prompt, group) = running(&home, COMMAND);
    agent.close_stdin();
    assert_eq!(agent.wait(&prompt).stop_reason(), "cancelled");
    assert_eq!(agent.exit(BOUND).code(), Some(0));
    process::wait_for_end(group, Duration::from_millis(500));
    assert_eq!(agent.stderr(), "");
}

#[test]
fn c04_at_sigterm_the_same() {
    for signal in ["-TERM", "-INT", "-HUP"] {
        let home = Home::empty();
        let (mut agent, prompt, group) = running(&home, COMMAND);
        agent.signal(signal);
        assert_eq!(agent.wait(&prompt).stop_reason(), "cancelled", "{signal}");
        assert_eq!(agent.exit(BOUND).code(), Some(0), "{signal}");
        process::wait_for_end(group, Duration::from_millis(500));
        assert_eq!(agent.stderr(), "");
    }
}

#[test]
fn c04_commands_that_ignore_signals_are_stopped_too() {
    let home = Home::empty();
    let stubborn = COMMAND.replace("echo", "trap '' TERM HUP INT; echo");
    let (mut agent, prompt, group) = running(&home, &stubborn);
    agent.close_stdin();
    assert_eq!(agent.wait(&prompt).stop_reason(), "cancelled");
    assert_eq!(agent.exit(BOUND).code(), Some(0));
    process::wait_for_end(group, Duration::from_millis(500));
}

#[test]
fn c04_an_open_question_does_not_hold_the_end_up() {
    let home = Home::scripted(COMMAND);
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let prompt = agent.prompt(&session, "go");
    agent.wait_for("session/request_permission");
    agent.close_stdin();
    assert_eq!(agent.wait(&prompt).stop_reason(), "cancelled");
    assert_eq!(agent.exit(BOUND).code(), Some(0));
}

#[test]
fn c04_empty_input_is_a_whole_run() {
    let home = Home::empty();
    let mut agent = Agent::start(&home);
    agent.close_stdin();
    assert_eq!(agent.exit(BOUND).code(), Some(0));
    assert_eq!((agent.next_within(BOUND), agent.stderr()), (None, String::new()));
}

#[test]
fn c04_what_was_sent_before_the_end_is_answered() {
    for _ in 0..10 {
        let home = Home::scripted("when any\n  say \"a\"\n");
        let mut agent = Agent::start(&home);
        let first = agent.request("initialize", &json!({ "protocolVersion": 1 }));
        let second = agent.request("session/new", &json!({ "cwd": home.work(), "mcpServers": [] }));
        // Without an end of its own: the end of input is one.
        let last = br#"{"jsonrpc":"2.0","id":"last","method":"nothing","params":{}}"#;
        agent.send_bytes(last);
        agent.close_stdin();
        let mut answered = Vec::new();
        while let Some(message) = agent.next_within(BOUND) {
            assert!(message.get("method").is_none(), "{message}");
            answered.push(message["id"].clone());
        }
        answered.sort_by_key(Value::to_string);
        assert_eq!(answered, [json!("last"), first, second]);
        assert_eq!(agent.exit(BOUND).code(), Some(0));
    }
}

#[test]
fn c04_a_client_that_does_not_read_cannot_hold_the_end_up() {
    let home = Home::scripted("when any\n  repeat 200000 \"chunk of text \"\n");
    let mut agent = Agent::ready(&home);
    agent.unchecked();
    let session = agent.new_session(&home);
    agent.hold_stdout();
    agent.prompt(&session, "go");
    process::wait_for_rest(agent.pid(), Duration::from_secs(10));
    agent.close_stdin();
    assert_eq!(agent.exit(2 * BOUND).code(), Some(0));
}

#[test]
fn c05_a_closed_output_ends_the_process_and_its_commands() {
    let home = Home::empty();
    let (mut agent, _prompt, group) = running(&home, COMMAND);
    agent.unchecked();
    agent.close_stdout();
    // Nobody hears the answer; standard input stays open.
    agent.request("nothing", &json!({}));
    agent.exit(2 * BOUND);
    process::wait_for_end(group, Duration::from_millis(500));
    assert_eq!(agent.stderr(), "");
}

#[test]
fn c05_a_closed_output_ends_a_turn_that_streams() {
    let home = Home::scripted(
        "when any\n  say \"a\"\n  gate go\n  repeat 1000000 \"chunk of text \" every 1ms\n",
    );
    let mut agent = Agent::ready(&home);
    agent.unchecked();
    let session = agent.new_session(&home);
    agent.prompt(&session, "go");
    agent.wait_for_update("agent_message_chunk");
    agent.close_stdout();
    home.open_gate("go");
    agent.exit(2 * BOUND);
    assert_eq!(agent.stderr(), "");
}

#[test]
fn c04_a_prompt_right_before_the_end_is_answered_cancelled() {
    let home = Home::scripted("when any\n gate never\n say \"late\"\n");
    for _ in 0..10 {
        let mut agent = Agent::ready(&home);
        let session = agent.new_session(&home);
        let ids = ["one", "two", "/help"].map(|text| agent.prompt(&session, text));
        agent.close_stdin();
        for id in &ids[..2] {
            assert_eq!(agent.wait(id).stop_reason(), "cancelled");
        }
        assert!(agent.exit(Duration::from_secs(5)).success());
    }
}
