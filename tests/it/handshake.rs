//! Checklist 17 to 27: `initialize`, capabilities, `authenticate` and `logout`.

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::home::Home;

/// Methods whose capability this version does not advertise, and some that clients try.
const GATED: [&str; 19] = [
    "session/archive",
    "session/unarchive",
    "session/status",
    "session/set_model",
    "session/request_permission",
    "session/update",
    "providers/list",
    "providers/set",
    "providers/disable",
    "auth/status",
    "mcp/message",
    "mcp/connect",
    "fs/read_text_file",
    "terminal/create",
    "elicitation/create",
    "_talaria/x/y",
    "_talaria/session/list",
    "_talaria/task/subscribe",
    "proxy/initialize",
];

/// Methods about tasks.
const TASKS: [&str; 11] = [
    "spawn", "check", "steer", "collect", "cancel", "list", "answer", "resume", "diff", "merge",
    "discard",
];

/// Methods of sessions that last.
const STORED: [&str; 6] = [
    "session/load",
    "session/list",
    "session/resume",
    "session/fork",
    "session/delete",
    "session/set_title",
];

fn initialize(agent: &mut Agent, params: &Value) -> Value {
    agent.call("initialize", params).result().clone()
}

fn advertised() -> Value {
    let home = Home::empty();
    initialize(&mut Agent::start(&home), &json!({ "protocolVersion": 1 }))
}

#[test]
fn c17_a_supported_version_is_echoed_and_another_is_answered_with_ours() {
    for version in [json!(1), json!(0), json!(2), json!(99), json!(65_535)] {
        let home = Home::empty();
        let mut agent = Agent::start(&home);
        let result = initialize(&mut agent, &json!({ "protocolVersion": version }));
        assert_eq!(result["protocolVersion"], 1, "{version}");
    }
}

#[test]
fn c17_a_version_that_is_none_is_refused_and_another_try_works() {
    let home = Home::empty();
    let mut agent = Agent::start(&home);
    for version in [json!("x"), json!(null), json!(-1), json!(1.5), json!([1]), json!({})] {
        let answer = agent.call("initialize", &json!({ "protocolVersion": version }));
        // The protocol had dates as versions once; such a client gets our version.
        if version.is_string() && answer.response.get("result").is_some() {
            assert_eq!(answer.result()["protocolVersion"], 1);
        } else {
            assert_eq!(answer.code(), -32602, "{version}");
        }
    }
    assert_eq!(agent.call("initialize", &json!({})).code(), -32602);
    agent.initialize(&json!({}));
}

#[test]
fn c18_a_client_without_capabilities_is_asked_for_nothing() {
    for capabilities in [
        json!({}),
        json!(null),
        json!({ "fs": null, "terminal": null }),
        json!({ "fs": {}, "terminal": false }),
        json!({ "fs": { "readTextFile": false, "writeTextFile": null }, "_meta": null }),
        json!({ "fs": [], "terminal": "yes", "elicitation": 5, "session": "x", "auth": [true] }),
        json!({ "unknown": { "any": [1] }, "terminal": {} }),
    ] {
        let home = busy_home();
        let mut agent = Agent::start(&home);
        initialize(
            &mut agent,
            &json!({ "protocolVersion": 1, "clientCapabilities": capabilities }),
        );
        assert_eq!(requests(&mut agent, &home), Vec::<String>::new(), "{capabilities}");
        assert_eq!(home.read("new.txt"), "new\n");
    }
}

#[test]
fn c18_without_the_field_the_same() {
    let home = busy_home();
    let mut agent = Agent::start(&home);
    initialize(&mut agent, &json!({ "protocolVersion": 1 }));
    assert_eq!(requests(&mut agent, &home), Vec::<String>::new());
}

#[test]
fn c18_only_what_is_advertised_is_used() {
    let home = busy_home();
    let mut agent = Agent::ready_with(&home, &json!({ "fs": { "readTextFile": true } }));
    let asked = requests(&mut agent, &home);
    assert!(
        !asked.is_empty() && asked.iter().all(|method| method == "fs/read_text_file"),
        "{asked:?}"
    );
    let mut agent = Agent::ready_with(&home, &json!({ "terminal": true }));
    let asked = requests(&mut agent, &home);
    assert!(
        !asked.is_empty() && asked.iter().all(|method| method.starts_with("terminal/")),
        "{asked:?}"
    );
}

/// A home whose model reads, writes and runs, and may.
fn busy_home() -> Home {
    let home = Home::scripted(
        "when any\n  call read {\"path\": \"old.txt\"}\nthen\n  \
         call write {\"path\": \"new.txt\", \"content\": \"new\\n\"}\nthen\n  \
         call terminal {\"command\": \"true\"}\nthen\n  say \"Done.\"\n",
    );
    home.write_config("permissions: {mode: bypass}\n");
    home.write("old.txt", "old\n");
    home
}

/// What a prompt makes the agent ask its client for; each question is answered with an error.
fn requests(agent: &mut Agent, home: &Home) -> Vec<String> {
    let session = agent.new_session(home);
    let prompt = agent.prompt(&session, "go");
    let mut asked = Vec::new();
    loop {
        let message = agent.next();
        if message["id"] == prompt && message.get("method").is_none() {
            assert_eq!(message["result"]["stopReason"], "end_turn", "{message}");
            return asked;
        }
        if message.get("id").is_some() {
            asked.push(message["method"].as_str().unwrap().to_owned());
            agent.send(&json!({
                "jsonrpc": "2.0", "id": message["id"], "error": { "code": -32603, "message": "no" }
            }));
        }
    }
}

#[test]
fn c19_agent_info_has_name_title_and_version() {
    let info = &advertised()["agentInfo"];
    let output = Command::new(env!("CARGO_BIN_EXE_talaria")).arg("--version").output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed.trim(), format!("talaria {}", info["version"].as_str().unwrap()));
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&info["name"], &info["title"]), (&json!("talaria"), &json!("Talaria")));
}

#[test]
fn c20_capabilities_are_exactly_these() {
    assert_eq!(
        advertised()["agentCapabilities"],
        json!({
            "loadSession": true,
            "promptCapabilities": { "image": true, "audio": false, "embeddedContext": true },
            "mcpCapabilities": { "http": false, "sse": false },
            "sessionCapabilities": {
                "additionalDirectories": {},
                "close": {},
                "delete": {},
                "fork": {},
                "list": {},
                "resume": {},
                "title": {},
            },
            "auth": { "logout": {} },
            "_meta": extension(),
        })
    );
}

/// What says that the methods about tasks are served.
fn extension() -> Value {
    let methods: Vec<String> = TASKS.iter().map(|name| format!("_talaria/task/{name}")).collect();
    json!({ "talaria": { "methods": methods, "events": true } })
}

#[test]
fn c20_without_a_store_there_is_nothing_of_sessions_that_last() {
    let home = Home::scripted("when any\n  say \"a\"\n");
    home.write_config("store: {enabled: false}\n");
    let mut agent = Agent::start(&home);
    let result = initialize(&mut agent, &json!({ "protocolVersion": 1 }));
    assert_eq!(
        result["agentCapabilities"],
        json!({
            "loadSession": false,
            "promptCapabilities": { "image": true, "audio": false, "embeddedContext": true },
            "mcpCapabilities": { "http": false, "sse": false },
            "sessionCapabilities": { "additionalDirectories": {}, "close": {} },
            "auth": { "logout": {} },
            "_meta": extension(),
        })
    );
    let session = agent.new_session(&home);
    assert_eq!(agent.ask(&session, "go").text(), "a");
    assert_refused(&mut agent, &home, (&session, &STORED));
    // Nor is any of it advised.
    let answer = agent.ask("nobody", "go");
    assert_eq!(answer.code(), -32002, "{}", answer.response);
    assert!(!answer.message().contains("session/load"), "{}", answer.message());
    drop(agent);
    let kept: Vec<_> = std::fs::read_dir(home.state())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().contains("talaria.db"))
        .collect();
    assert!(kept.is_empty(), "{kept:?}");
}

#[test]
fn c20_what_is_advertised_works() {
    let home = Home::scripted("when any\n  say \"Seen.\"\n");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let blocks = json!([
        { "type": "text", "text": "look" },
        { "type": "image", "mimeType": "image/png", "data": "iVBORw0KGgo=" },
        { "type": "resource", "resource": { "uri": "file:///a.txt", "text": "a", "mimeType": "text/plain" } },
        { "type": "resource_link", "uri": "file:///b.txt", "name": "b.txt" },
    ]);
    let answer = agent.call("session/prompt", &json!({ "sessionId": session, "prompt": blocks }));
    assert_eq!((answer.stop_reason(), answer.text().as_str()), ("end_turn", "Seen."));
    let other = json!({ "sessionId": session, "cwd": home.work(), "mcpServers": [] });
    agent.call("session/fork", &other).result();
    for method in ["session/load", "session/resume"] {
        agent.call(method, &other).result();
    }
    agent.call("session/set_title", &json!({ "sessionId": session, "title": "A" })).result();
    agent.call("session/close", &json!({ "sessionId": session })).result();
    let listed = agent.call("session/list", &json!({}));
    assert_eq!(listed.result()["sessions"].as_array().unwrap().len(), 2);
    agent.call("session/delete", &json!({ "sessionId": session })).result();
    let folders =
        json!({ "cwd": home.work(), "additionalDirectories": [home.state()], "mcpServers": [] });
    agent.call("session/new", &folders).result();
    agent.call("logout", &json!({})).result();
    agent.call("authenticate", &json!({ "methodId": "configured-key" })).result();
}

#[test]
fn c20_what_is_not_advertised_is_no_method() {
    let home = Home::scripted("when any\n  say \"a\"\n");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    agent.wait_for_update("available_commands_update");
    assert_refused(&mut agent, &home, (&session, &GATED));
    assert_eq!(agent.ask(&session, "go").text(), "a");
}

/// Asserts that these are no methods, with parameters that would be right, without and as notifications.
fn assert_refused(agent: &mut Agent, home: &Home, (session, methods): (&str, &[&str])) {
    for method in methods {
        for params in [
            json!({ "sessionId": session, "cwd": home.work(), "mcpServers": [], "modelId": "x", "title": "x" }),
            json!({}),
        ] {
            let answer = agent.call(method, &params);
            assert_eq!(answer.code(), -32601, "{method}: {}", answer.response);
            agent.notify(method, &params);
        }
        agent.send(&json!({ "jsonrpc": "2.0", "id": method, "method": method }));
        assert_eq!(agent.wait(&json!(method)).code(), -32601, "{method}");
    }
    agent.assert_silent();
}

#[test]
fn c21_requests_before_initialize_are_refused() {
    let home = Home::scripted("when any\n  say \"a\"\n");
    let mut agent = Agent::start(&home);
    for method in [
        "session/new",
        "session/prompt",
        "authenticate",
        "logout",
        "nothing",
        "session/load",
        "_talaria/task/list",
    ] {
        let answer = agent.call(method, &json!({ "cwd": home.work(), "mcpServers": [] }));
        assert_eq!(answer.code(), -32600, "{method}: {}", answer.response);
    }
    agent.notify("session/cancel", &json!({ "sessionId": "x" }));
    agent.notify("nothing", &json!({}));
    agent.initialize(&json!({}));
    let session = agent.new_session(&home);
    assert_eq!(agent.ask(&session, "go").text(), "a");
}

#[test]
fn c22_initialize_is_the_first_line_and_needs_no_network() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let home = Home::empty();
    let mut command = home.command();
    command
        .env("TALARIA_BASE_URL", format!("http://{}/", listener.local_addr().unwrap()))
        .env("TALARIA_API_KEY", "k")
        .env("TALARIA_MODEL", "m");
    let mut agent = Agent::spawn(command);
    let answer = agent.call("initialize", &json!({ "protocolVersion": 1 }));
    assert_eq!(answer.before, Vec::<Value>::new());
    agent.call("session/new", &json!({ "cwd": home.work(), "mcpServers": [] })).result();
    assert!(listener.accept().is_err(), "nobody was connected to");
}

#[test]
fn c22_initialize_needs_no_working_configuration() {
    for config in ["model: {name: 'scripted:/nowhere'}\n", "- a list\n", ": : :\n\t{"] {
        let home = Home::empty();
        home.write_config(config);
        let mut agent = Agent::ready(&home);
        let answer = agent.call("session/new", &json!({ "cwd": home.work(), "mcpServers": [] }));
        assert!([-32603, -32000].contains(&answer.code()), "{config}: {}", answer.response);
        assert!(!answer.message().is_empty());
    }
    // Nor a home that can be written.
    let home = Home::empty();
    let mut command = home.command();
    command.env("TALARIA_HOME", "/dev/null/home").env_remove("HOME").env("TERM", "dumb");
    let mut agent = Agent::spawn(command);
    agent.initialize(&json!({}));
    agent.close_stdin();
    assert_eq!(agent.exit(Duration::from_secs(2)).code(), Some(0));
    assert_eq!(agent.stderr(), "");
}

#[test]
fn c23_initialize_again_is_harmless() {
    let home = Home::scripted(
        "when prompt \"hold\"\n  say \"a\"\n  gate go\n  say \"b\"\nwhen any\n  say \"c\"\n",
    );
    let mut agent = Agent::start(&home);
    let first = agent.initialize(&json!({})).result().clone();
    let session = agent.new_session(&home);
    let prompt = agent.prompt(&session, "hold");
    agent.wait_for_update("agent_message_chunk");
    assert_eq!(agent.initialize(&json!({})).result(), &first);
    assert_eq!(agent.call("initialize", &json!({ "protocolVersion": [] })).code(), -32602);
    home.open_gate("go");
    let answer = agent.wait(&prompt);
    assert_eq!((answer.stop_reason(), answer.text().as_str()), ("end_turn", "b"));
    assert_eq!(agent.ask(&session, "more").text(), "c");
}

#[test]
fn c24_no_terminal_method_is_offered_without_the_capability() {
    let home = Home::empty();
    for capabilities in
        [json!({}), json!({ "auth": { "terminal": false } }), json!({ "auth": null })]
    {
        let answer = Agent::ready_with(&home, &capabilities);
        drop(answer);
        let mut agent = Agent::start(&home);
        let answer = agent.initialize(&capabilities);
        let methods = answer.result()["authMethods"].as_array().unwrap();
        assert!(!methods.is_empty());
        assert!(methods.iter().all(|method| method.get("type").is_none()), "{methods:?}");
    }
}

#[test]
fn c25_without_credentials_a_session_needs_authentication_and_then_no_restart() {
    let home = Home::empty();
    let mut agent = Agent::ready(&home);
    let new = json!({ "cwd": home.work(), "mcpServers": [] });
    let answer = agent.call("session/new", &new);
    assert_eq!(answer.code(), -32000);
    assert!(answer.message().contains("TALARIA_API_KEY"), "{}", answer.message());
    let authenticate = json!({ "methodId": "configured-key" });
    assert_eq!(agent.call("authenticate", &authenticate).code(), -32000);
    std::fs::write(home.script(), "when any\n  say \"a\"\n").unwrap();
    home.write_config(&format!("model: {{name: 'scripted:{}'}}\n", home.script().display()));
    agent.call("authenticate", &authenticate).result();
    let session = agent.new_session(&home);
    assert_eq!(agent.ask(&session, "go").text(), "a");
}

#[test]
fn c26_an_unknown_method_is_refused_and_a_repeat_is_fine() {
    let home = Home::scripted("when any\n  say \"a\"\n");
    let mut agent = Agent::start(&home);
    let result = initialize(&mut agent, &json!({ "protocolVersion": 1 }));
    let id = result["authMethods"][0]["id"].clone();
    for wrong in [json!("x"), json!(""), json!(5), json!(null), json!("terminal")] {
        let answer = agent.call("authenticate", &json!({ "methodId": wrong }));
        assert_eq!(answer.code(), -32602, "{wrong}");
    }
    assert_eq!(agent.call("authenticate", &json!({})).code(), -32602);
    for _ in 0..3 {
        agent.call("authenticate", &json!({ "methodId": id })).result();
    }
    let session = agent.new_session(&home);
    assert_eq!(agent.ask(&session, "go").text(), "a");
}

#[test]
fn c27_after_logout_sessions_fail_and_an_open_prompt_ends() {
    let home =
        Home::scripted("when prompt \"hold\"\n  say \"a\"\n  gate never\nwhen any\n  say \"b\"\n");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let prompt = agent.prompt(&session, "hold");
    agent.wait_for_update("agent_message_chunk");
    let out = agent.request("logout", &json!({}));
    let (mut ended, mut answered) = (false, false);
    while !(ended && answered) {
        let (_, message) = agent.until(|message| message.get("id").is_some());
        if message["id"] == prompt {
            assert_eq!(message["result"]["stopReason"], "cancelled", "{message}");
            ended = true;
        }
        answered |= message["id"] == out;
    }
    assert_eq!(agent.ask(&session, "more").code(), -32000);
    let new = json!({ "cwd": home.work(), "mcpServers": [] });
    assert_eq!(agent.call("session/new", &new).code(), -32000);
    // An unknown session is still unknown, and logging out again is fine.
    assert_eq!(agent.ask("nothing", "more").code(), -32002);
    agent.call("logout", &json!({})).result();
    agent.call("authenticate", &json!({ "methodId": "configured-key" })).result();
    assert_eq!(agent.ask(&session, "more").text(), "b");
}

#[test]
fn c27_logout_needs_no_parameters() {
    let home = Home::empty();
    let mut agent = Agent::ready(&home);
    agent.send(&json!({ "jsonrpc": "2.0", "id": "a", "method": "logout" }));
    agent.wait(&json!("a")).result();
}
