//! Checklist 14: what a client sends in confidence is nowhere but where it belongs.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::home::Home;

const SECRET: &str = "hunter2-correct-horse";

/// `session/new` with a server whose variables or headers are of a wrong shape, and with right ones.
fn servers() -> Vec<Value> {
    let stdio =
        |env: Value| json!({ "name": "a", "command": "/bin/false", "args": [], "env": env });
    let http = |headers: Value| json!({ "type": "http", "name": "a", "url": "http://127.0.0.1:9/", "headers": headers });
    let mut servers = Vec::new();
    for wrong in [
        json!({ "API_TOKEN": SECRET }),
        json!(SECRET),
        json!([SECRET]),
        json!([["API_TOKEN", SECRET]]),
        json!([{ "name": "A", "value": { "inner": SECRET } }]),
        json!([{ "name": SECRET }]),
        json!([{ "name": "A", "value": SECRET, "value2": 5 }, 7]),
    ] {
        servers.push(stdio(wrong.clone()));
        servers.push(http(wrong));
    }
    let right = json!([{ "name": "A", "value": SECRET }]);
    servers.push(stdio(right.clone()));
    servers.push(http(right));
    servers
}

/// Lines that are no messages.
fn broken() -> Vec<Vec<u8>> {
    vec![
        format!("{{\"jsonrpc\":\"2.0\",\"id\":900,\"method\":\"session/new\",\"params\":{{\"env\":\"{SECRET}\"\n")
            .into_bytes(),
        format!("{{\"jsonrpc\":\"1.0\",\"id\":900,\"method\":\"x\",\"params\":{{\"headers\":\"{SECRET}\"}}}}\n")
            .into_bytes(),
        format!("[{{\"env\":\"{SECRET}\"}}]\n").into_bytes(),
        [b"\xff", SECRET.as_bytes(), b"\n"].concat(),
        format!("{SECRET}\n").into_bytes(),
    ]
}

/// Runs with `log`, ends, and looks at everything that was written.
fn check(log: &str, config: &str, talk: impl FnOnce(&mut Agent, &Home)) {
    let home = Home::scripted("when any\n  say \"b\"\n");
    home.write_config(config);
    let mut command = home.command();
    command.env("TALARIA_LOG", log);
    let mut agent = Agent::spawn(command);
    agent.initialize(&json!({}));
    talk(&mut agent, &home);
    let session = agent.new_session(&home);
    assert_eq!(agent.ask(&session, "go").stop_reason(), "end_turn");
    agent.close_stdin();
    while agent.next_within(Duration::from_secs(5)).is_some() {}
    assert!(agent.exit(Duration::from_secs(5)).success());
    for line in agent.heard() {
        assert!(!line.contains(SECRET), "{line}");
    }
    assert!(!agent.stderr().contains(SECRET));
    let mut files = 0;
    look(&home.state(), &mut |path, text| {
        files += 1;
        assert!(!text.contains(SECRET), "{}:\n{text}", path.display());
    });
    assert!(files > 1, "there is a log");
}

fn look(folder: &Path, check: &mut impl FnMut(&Path, &str)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            look(&path, check);
        } else {
            check(&path, &String::from_utf8_lossy(&std::fs::read(&path).unwrap()));
        }
    }
}

fn send_servers(agent: &mut Agent, home: &Home) {
    let servers = servers();
    let mut refused = 0;
    for server in &servers {
        let params = json!({ "cwd": home.work(), "mcpServers": [server] });
        let answer = agent.call("session/new", &params);
        if answer.response.get("error").is_some() {
            refused += 1;
            assert_eq!(answer.code(), -32602, "{server}: {}", answer.response);
        }
    }
    assert!(refused > 0 && refused < servers.len(), "{refused}");
}

fn send_broken(agent: &mut Agent) {
    for line in broken() {
        agent.send_bytes(&line);
        let (_, answer) = agent.until(|message| message.get("error").is_some());
        assert!([-32700, -32600].contains(&answer["error"]["code"].as_i64().unwrap()));
    }
}

#[test]
fn c14_no_secret_is_echoed_or_logged() {
    for log in ["trace", "trace,agent_client_protocol=trace,talaria=trace"] {
        check(log, "{}", |agent, home| {
            send_servers(agent, home);
            send_broken(agent);
            for params in
                [json!(SECRET), json!([SECRET]), json!({ "cwd": [SECRET], "mcpServers": [] })]
            {
                for method in ["initialize", "authenticate", "session/new", "session/prompt"] {
                    let code = agent.call(method, &params).code();
                    // Parameters that are neither an object nor an array are no request at all.
                    let expected = if params.is_string() { -32600 } else { -32602 };
                    assert_eq!(code, expected, "{method} {params}");
                }
                agent.notify("session/cancel", &params);
                agent.notify("nothing", &params);
            }
            let answer = agent.call("authenticate", &json!({ "methodId": SECRET }));
            assert_eq!(answer.code(), -32602);
        });
    }
}

#[test]
fn c14_no_secret_is_in_the_wire_trace() {
    check("trace", "log: {wire: true}\n", |agent, home| {
        send_servers(agent, home);
        send_broken(agent);
        let trace = home.state().join("logs").join("wire.log");
        assert!(trace.exists(), "the wire trace is on");
    });
}

#[test]
fn c14_a_refusal_says_what_was_expected() {
    let home = Home::empty();
    let mut agent = Agent::ready(&home);
    let answer = agent.call("session/new", &json!({ "cwd": 5, "mcpServers": [] }));
    assert_eq!(answer.code(), -32602);
    assert!(answer.message().contains("session/new"), "{}", answer.message());
    let answer = agent.call("session/prompt", &json!({ "prompt": [] }));
    assert!(answer.message().contains("`sessionId`"), "{}", answer.message());
    assert_eq!(answer.response["error"].get("data"), None);
}
