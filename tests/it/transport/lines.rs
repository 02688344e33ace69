//! Checklist 1 to 3 and 6 to 10: what a line is, and what is none.

use std::io::Write;

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::home::Home;

const LIMIT: usize = 16 * 1024 * 1024;
/// Of memory, whatever comes over the pipe; in KiB.
const BOUND: u64 = 64 * 1024;

/// Sends bytes to an agent that was greeted; what it says to them.
fn answers(agent: &mut Agent, bytes: &[u8]) -> Vec<Value> {
    agent.send_bytes(bytes);
    let id = agent.request("talaria_test/nothing", &json!({}));
    agent.wait(&id).before
}

fn check(input: &[u8], expected: &[(i64, Value)]) {
    let home = Home::empty();
    let mut agent = Agent::ready(&home);
    let answers: Vec<(i64, Value)> = answers(&mut agent, input)
        .iter()
        .map(|answer| (answer["error"]["code"].as_i64().unwrap_or_default(), answer["id"].clone()))
        .collect();
    assert_eq!(answers, expected);
    agent.initialize(&json!({}));
}

#[test]
fn c01_stdout_carries_protocol_messages_only() {
    let home = Home::scripted("when any\n  think \"Hm.\"\n  call list {}\nthen\n  say \"Done.\"\n");
    // A configuration with mistakes, and much to log.
    home.write_config("nothing: known\nlog: {wire: maybe}\n");
    let mut command = home.command();
    command.env("TALARIA_LOG", "trace").env("RUST_LOG", "trace").env("RUST_BACKTRACE", "1");
    let mut agent = Agent::spawn(command);
    agent.initialize(&json!({}));
    let session = agent.new_session(&home);
    let answer = agent.ask(&session, "go");
    assert_eq!((answer.stop_reason(), answer.status("c1")), ("end_turn", "completed"));
    agent.close_stdin();
    while agent.next_within(std::time::Duration::from_secs(5)).is_some() {}
    for line in agent.heard() {
        let message: Value = serde_json::from_str(line).unwrap();
        assert_eq!(message["jsonrpc"], "2.0", "{line}");
    }
    assert_eq!(agent.stderr(), "");
}

#[test]
fn c02_one_message_is_one_line_of_utf8() {
    let home = Home::scripted("when any\n  echo\n");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let text = "a\nb\r\nc\u{0}\u{1b}\u{2028}\u{85}ä𝄞";
    let answer = agent.ask(&session, text);
    assert_eq!(answer.text(), text);
    for line in agent.heard() {
        assert!(!line.chars().any(|letter| letter.is_ascii_control()), "{line:?}");
    }
}

#[test]
fn c03_nobody_needs_to_read_stderr() {
    let home = Home::scripted("when any\n  call list {}\nthen\n  say \"Done.\"\n");
    home.write_config("nothing: known\n");
    // A pipe that is full: whoever writes to it waits for ever.
    let (_unread, mut stderr) = std::io::pipe().unwrap();
    stderr.write_all(&vec![b'x'; 64 * 1024]).unwrap();
    let mut command = home.command();
    command.env("TALARIA_LOG", "trace").stderr(stderr);
    let mut agent = Agent::spawn(command);
    agent.initialize(&json!({}));
    agent.send_bytes(b"not JSON\n");
    let session = agent.new_session(&home);
    assert_eq!(agent.ask(&session, "go").stop_reason(), "end_turn");
}

#[test]
fn c06_malformed_json_is_answered_and_survived() {
    let deep = format!("{}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    check(b"{\"jsonrpc\":\n", &[(-32700, Value::Null)]);
    check(
        b"nonsense\n}\n\"\n",
        &[(-32700, Value::Null), (-32700, Value::Null), (-32700, Value::Null)],
    );
    check(deep.as_bytes(), &[(-32700, Value::Null)]);
    check(b"5\n\"text\"\nnull\ntrue\n", &[const { (-32600, Value::Null) }; 4]);
    check(b"{\"jsonrpc\":\"2.0\"}\n", &[(-32600, Value::Null)]);
    check(b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":5}\n", &[(-32600, json!(7))]);
    check(b"{\"id\":\"a\",\"method\":\"initialize\",\"params\":{}}\n", &[(-32600, json!("a"))]);
    check(b"{\"jsonrpc\":\"1.0\",\"id\":7,\"method\":\"x\"}\n", &[(-32600, json!(7))]);
    check(b"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"x\"}\n", &[(-32600, Value::Null)]);
    check(b"{\"jsonrpc\":\"2.0\",\"id\":[1],\"method\":\"x\"}\n", &[(-32600, Value::Null)]);
}

#[test]
fn c06_a_malformed_line_is_not_echoed() {
    let home = Home::empty();
    let mut agent = Agent::ready(&home);
    let line =
        format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"marked\":\"{}\"\n", "marked".repeat(10_000));
    let answers = answers(&mut agent, line.as_bytes());
    assert_eq!(answers.len(), 1);
    assert!(agent.heard().iter().all(|line| !line.contains("marked") && line.len() < 4_096));
}

#[test]
fn c06_what_looks_like_a_response_is_not_answered() {
    check(
        b"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"no\"}}\n",
        &[],
    );
    check(b"{\"jsonrpc\":\"2.0\",\"id\":99,\"result\":{}}\n", &[]);
    check(b"{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"error\":{\"code\":1,\"message\":\"no\"}}\n", &[]);
    // Malformed ones, too: two peers must not answer each other for ever.
    check(
        b"{\"jsonrpc\":\"2.0\",\"id\":99,\"result\":{},\"error\":{\"code\":1,\"message\":\"\"}}\n",
        &[],
    );
    check(b"{\"id\":99,\"result\":{}}\n", &[]);
    check(b"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":1}}\n", &[]);
    check(b"{\"jsonrpc\":\"2.0\",\"id\":1.5,\"error\":null}\n", &[]);
}

#[test]
fn c07_blank_lines_are_ignored() {
    check(b"\n\r\n   \n\t\n\n", &[]);
}

#[test]
fn c07_lines_may_end_in_cr_lf_and_have_space_around() {
    let home = Home::empty();
    let mut agent = Agent::start(&home);
    agent.send_bytes(
        b"  {\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"initialize\",\"params\":{\"protocolVersion\":1}}  \r\n",
    );
    let answer = agent.wait(&json!("a"));
    assert_eq!(answer.result()["protocolVersion"], 1);
}

#[test]
fn c08_invalid_utf8_is_answered_and_survived() {
    check(b"\xff\xfe\n", &[(-32700, Value::Null)]);
    check(
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xc3\x28\",\"params\":{}}\n",
        &[(-32700, Value::Null)],
    );
}

#[test]
fn c09_a_line_that_is_too_long_is_refused() {
    let home = Home::empty();
    let mut agent = Agent::ready(&home);
    let message = |bytes: usize| {
        let mut line = br#"{"jsonrpc":"2.0","method":"nothing","params":{"text":""#.to_vec();
        line.resize(bytes - 3, b'x');
        line.extend_from_slice(b"\"}}\n");
        line
    };
    // The longest that is allowed, and one byte more; the end of the line does not count.
    assert_eq!(answers(&mut agent, &message(LIMIT)), Vec::<Value>::new());
    let answers = answers(&mut agent, &message(LIMIT + 1));
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0]["error"]["code"], -32600);
    assert_eq!(answers[0]["id"], Value::Null);
    assert!(answers[0]["error"]["message"].as_str().unwrap().contains("16 MiB"), "{answers:?}");
}

#[test]
fn c09_a_line_without_end_costs_bounded_memory() {
    let home = Home::empty();
    let mut agent = Agent::ready(&home);
    let block = vec![b'x'; 1024 * 1024];
    for _ in 0..96 {
        agent.send_bytes(&block);
    }
    let answers = answers(&mut agent, b"\n");
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0]["error"]["code"], -32600);
    assert!(agent.peak_kib() < BOUND, "{} KiB", agent.peak_kib());
}

#[test]
fn c10_an_array_is_refused_once() {
    check(b"[]\n", &[(-32600, Value::Null)]);
    check(
        b"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":1}},\
           {\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"logout\",\"params\":{}}]\n",
        &[(-32600, Value::Null)],
    );
    // Also one of responses.
    check(b"[{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}]\n", &[(-32600, Value::Null)]);
}
