//! Checklist 11 to 13, 15 and 16: requests and their one answer, also when the client does not read.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::home::Home;
use crate::support::process;

#[test]
fn c11_an_unknown_request_is_answered_and_an_unknown_notification_is_not() {
    let home = Home::empty();
    let mut agent = Agent::ready(&home);
    for method in [
        "nothing",
        "_example.com/ext",
        "_talaria/x/y",
        "$/nothing",
        "",
        "session/nothing",
        "rpc.discover",
    ] {
        assert_eq!(agent.call(method, &json!({ "any": [1] })).code(), -32601, "{method}");
        agent.notify(method, &json!({ "any": [1] }));
    }
    // What exists as a request only, and as a notification only.
    agent.notify("session/new", &json!({ "cwd": home.work(), "mcpServers": [] }));
    agent.notify("session/prompt", &json!({}));
    agent.notify("session/cancel", &json!({ "sessionId": 5 }));
    agent.notify("session/cancel", &json!([]));
    agent.send(&json!({ "jsonrpc": "2.0", "method": "_example.com/ext" }));
    assert_eq!(agent.call("session/cancel", &json!({ "sessionId": "x" })).code(), -32601);
    agent.assert_silent();
}

#[test]
fn c12_ids_are_echoed_unchanged() {
    let home = Home::empty();
    let mut agent = Agent::ready(&home);
    let long = "x".repeat(10_000);
    for id in [
        json!("a"),
        json!(""),
        json!("7"),
        json!(long),
        json!("ä\n\"\u{0}"),
        json!(0),
        json!(7),
        json!(-7),
        json!(9_007_199_254_740_993_i64),
        json!(i64::MAX),
        json!(i64::MIN),
    ] {
        agent.send(&json!({ "jsonrpc": "2.0", "id": id, "method": "logout", "params": {} }));
        agent.wait(&id).result();
    }
    agent.send_bytes(b"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"logout\",\"params\":{}}\n");
    agent.wait(&Value::Null).result();
    // JSON-RPC has numbers that a client cannot mean; they are told apart from all others.
    for id in ["18446744073709551615", "1.5", "1e400", "true"] {
        agent.send_bytes(
            format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"logout\",\"params\":{{}}}}\n")
                .as_bytes(),
        );
        let answer = agent.wait(&Value::Null);
        assert!([-32600, -32700].contains(&answer.code()), "{id}: {}", answer.response);
    }
}

#[test]
fn c13_every_request_gets_one_response() {
    let home = Home::scripted(
        "when prompt \"fail\"\n  fail 400\nwhen prompt \"hold\"\n  say \"a\"\n  gate never\nwhen any\n  say \"b\"\n",
    );
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let mut ids = Vec::new();
    for round in 0..40 {
        ids.push(agent.request("session/new", &json!({ "cwd": home.work(), "mcpServers": [] })));
        ids.push(agent.request("session/new", &json!({ "cwd": "relative", "mcpServers": [] })));
        ids.push(
            agent.request("session/set_mode", &json!({ "sessionId": session, "modeId": "plan" })),
        );
        ids.push(agent.request("session/set_mode", &json!([round])));
        ids.push(agent.request("nothing", &json!({})));
    }
    ids.push(agent.prompt(&session, "fail"));
    let held = agent.prompt(&session, "hold");
    ids.push(held.clone());
    ids.push(agent.prompt(&session, "steer"));
    agent.wait_for_update("agent_message_chunk");
    agent.notify("$/cancel_request", &json!({ "requestId": held }));
    agent.notify("$/cancel_request", &json!({ "requestId": held }));
    agent.notify("$/cancel_request", &json!({ "requestId": 999_999 }));
    agent.cancel(&session);
    ids.push(agent.request("session/close", &json!({ "sessionId": session })));
    // Dropping the agent asserts that each was answered exactly once.
    drop(agent);
    assert_eq!(ids.len(), 204);
}

#[test]
fn c13_requests_in_one_write_are_all_answered() {
    let home = Home::scripted("when any\n  say \"b\"\n");
    let mut agent = Agent::start(&home);
    let mut text = String::new();
    let message = |id: u64, method: &str, params: Value| {
        format!("{}\n", json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))
    };
    text += &message(1, "initialize", json!({ "protocolVersion": 1 }));
    text += &message(2, "session/new", json!({ "cwd": home.work(), "mcpServers": [] }));
    text += &message(3, "authenticate", json!({ "methodId": "configured-key" }));
    text += "\n\n";
    text += &message(4, "nothing", json!({}));
    text += &message(5, "session/prompt", json!({ "sessionId": "x", "prompt": [] }));
    agent.send_bytes(text.as_bytes());
    // Answers come in any order, the first message's first.
    let first = agent.next();
    assert_eq!((&first["id"], &first["result"]["protocolVersion"]), (&json!(1), &json!(1)));
    let mut codes: Vec<(u64, i64)> = (0..4)
        .map(|_| agent.until(|message| message.get("id").is_some()).1)
        .map(|answer| {
            (answer["id"].as_u64().unwrap(), answer["error"]["code"].as_i64().unwrap_or_default())
        })
        .collect();
    codes.sort_unstable();
    assert_eq!(codes, [(2, 0), (3, 0), (4, -32601), (5, -32002)]);
}

#[test]
fn c13_thousands_of_requests_to_a_client_that_does_not_read_are_answered_later() {
    let home = Home::empty();
    let mut agent = Agent::ready(&home);
    let count = 5_000;
    agent.hold_stdout();
    let mut text = String::new();
    for id in 0..count {
        text += &format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":\"r{id}\",\"method\":\"nothing\",\"params\":{{\"text\":\"{}\"}}}}\n",
            "x".repeat(200)
        );
    }
    // The pipe pushes back while nobody reads, so somebody else has to write.
    let writing = agent.send_beside(text.into_bytes());
    process::wait_for_rest(agent.pid(), Duration::from_secs(10));
    agent.read_stdout();
    let mut answered = vec![0; count];
    for _ in 0..count {
        let answer = agent.next();
        let id: usize = answer["id"].as_str().unwrap().trim_start_matches('r').parse().unwrap();
        assert_eq!(answer["error"]["code"], -32601);
        answered[id] += 1;
    }
    assert!(answered.iter().all(|times| *times == 1));
    writing.join().unwrap();
    agent.assert_silent();
}

#[test]
fn c15_a_failing_turn_leaves_other_sessions_alone() {
    let home = Home::scripted(
        "when prompt \"fail\"\n  say \"a\"\n  fail malformed\n\
         when prompt \"hold\"\n  say \"b\"\n  gate go\n  say \"c\"\nwhen any\n  say \"d\"\n",
    );
    let mut agent = Agent::ready(&home);
    let (one, two) = (agent.new_session(&home), agent.new_session(&home));
    let held = agent.prompt(&two, "hold");
    agent.wait_for_update("agent_message_chunk");
    let failed = agent.ask(&one, "fail");
    assert_eq!(failed.code(), -32603, "{}", failed.response);
    assert_eq!(agent.ask(&one, "again").text(), "d");
    home.open_gate("go");
    let answer = agent.wait(&held);
    assert_eq!((answer.stop_reason(), answer.text().as_str()), ("end_turn", "c"));
}

#[test]
fn c16_no_piece_of_a_fast_stream_is_lost() {
    let home = Home::scripted("when any\n  repeat 1000 \"chunk \"\n  say \"end\"\n");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    assert_eq!(agent.ask(&session, "go").text(), "chunk ".repeat(1000) + "end");
}

#[test]
fn c16_a_client_that_does_not_read_costs_bounded_memory_and_loses_nothing() {
    const CHUNKS: usize = 200_000;
    let home = Home::scripted(&format!(
        "when prompt \"much\"\n  repeat {CHUNKS} \"chunk of text \"\n  usage input=5 output=7\nwhen any\n  say \"b\"\n"
    ));
    let mut agent = Agent::ready(&home);
    let (session, other) = (agent.new_session(&home), agent.new_session(&home));
    agent.hold_stdout();
    let prompt = agent.prompt(&session, "much");
    let other = agent.prompt(&other, "hello");
    process::wait_for_rest(agent.pid(), Duration::from_secs(20));
    assert!(agent.rss_kib() < 64 * 1024, "{} KiB", agent.rss_kib());
    agent.read_stdout();
    let mut text = String::new();
    let (mut others, mut updates, mut usages) = (0, 0, 0);
    let response = loop {
        let message = agent.next();
        let update = &message["params"]["update"];
        if message["id"] == prompt {
            break message;
        }
        others += usize::from(message["id"] == other);
        usages += usize::from(update["sessionUpdate"] == "usage_update" && update["used"] == 12);
        if message["params"]["sessionId"] == session.as_str()
            && let Some(chunk) = update["content"]["text"].as_str()
        {
            updates += 1;
            text.push_str(chunk);
        }
    };
    assert_eq!(response["result"]["stopReason"], "end_turn");
    assert_eq!(text.len(), CHUNKS * "chunk of text ".len());
    assert_eq!(text.replace("chunk of text ", ""), "");
    assert_eq!((others, usages), (1, 1));
    assert!(updates < CHUNKS / 4, "pieces are joined where the client is slow: {updates}");
    assert!(agent.peak_kib() < 64 * 1024, "{} KiB", agent.peak_kib());
    agent.assert_silent();
}

#[test]
fn c16_prompts_whose_answers_nobody_reads_are_held_back_too() {
    let home = Home::empty();
    std::fs::write(home.script(), "when any\n say \"x\"\n").unwrap();
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    agent.hold_stdout();
    let before = agent.rss_kib();
    let mut lines = String::new();
    for id in 0..10_000 {
        let params =
            json!({ "sessionId": session, "prompt": [{ "type": "text", "text": "/help" }] });
        let request = json!({ "jsonrpc": "2.0", "id": format!("p{id}"), "method": "session/prompt", "params": params });
        lines.push_str(&format!("{request}\n"));
    }
    let writer = agent.send_beside(lines.into_bytes());
    process::wait_for_rest(agent.pid(), Duration::from_secs(20));
    let grown = agent.rss_kib().saturating_sub(before);
    assert!(grown < 16 * 1024, "grown by {grown} KiB");
    agent.read_stdout();
    let mut answered = 0;
    while answered < 10_000 {
        let message = agent.next();
        answered += usize::from(message["id"].is_string());
    }
    writer.join().unwrap();
}
