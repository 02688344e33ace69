//! Checklist 28 to 30, 34, 39, 43, 86 and 87: sessions, from the first answer to the last.

use std::collections::BTreeSet;
use std::time::Duration;

use agent_client_protocol::v1::schema as acp;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::support::agent::{Agent, Answer};
use crate::support::home::Home;
use crate::support::process;

const SAY: &str = "when any\n  say \"a\"\n";
/// Two gates, one for each of two sessions, and text that says whose it is.
const TWO: &str = "when prompt \"hold *\"\n  say \"${1} \"\n  gate ${1}\n  repeat 20 \"more \"\n  say \"${1}\"\nwhen any\n  echo\n";

fn new(agent: &mut Agent, params: &Value) -> Answer {
    agent.call("session/new", params)
}

/// Which session a message belongs to.
fn session_of(message: &Value) -> Option<&str> {
    message["params"]["sessionId"].as_str()
}

#[test]
fn c28_session_ids_are_unique() {
    let home = Home::scripted(SAY);
    let ids: BTreeSet<String> = (0..2)
        .flat_map(|_| {
            let mut agent = Agent::ready(&home);
            (0..50).map(|_| agent.new_session(&home)).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(ids.len(), 100);
}

#[test]
fn c28_sessions_in_parallel_have_no_cross_talk() {
    let home = Home::scripted(TWO);
    let mut agent = Agent::ready(&home);
    let (one, two) = (agent.new_session(&home), agent.new_session(&home));
    let first = agent.prompt(&one, "hold one");
    let second = agent.prompt(&two, "hold two");
    let mut begun = BTreeSet::new();
    while begun.len() < 2 {
        let (_, update) = agent.wait_for_update("agent_message_chunk");
        begun.insert(session_of(&update).unwrap().to_owned());
    }
    // Both run; the later one ends first, and its end touches only itself.
    home.open_gate("two");
    let answer = agent.wait(&second);
    assert_eq!(answer.stop_reason(), "end_turn");
    assert!(answer.before.iter().all(|message| session_of(message) == Some(&two)));
    assert_eq!(answer.text(), "more ".repeat(20) + "two");
    agent.cancel(&two);
    agent.call("session/close", &json!({ "sessionId": two })).result();
    home.open_gate("one");
    let answer = agent.wait(&first);
    assert_eq!(answer.stop_reason(), "end_turn");
    assert_eq!(answer.text(), "more ".repeat(20) + "one");
    assert!(answer.before.iter().all(|message| session_of(message) == Some(&one)));
}

#[test]
fn c28_settings_belong_to_one_session() {
    let home = Home::scripted(SAY);
    let mut agent = Agent::ready(&home);
    let (one, two) = (agent.new_session(&home), agent.new_session(&home));
    agent.call("session/set_mode", &json!({ "sessionId": one, "modeId": "plan" })).result();
    let mode = |agent: &mut Agent, session: &str| agent.ask(session, "/mode").text();
    assert!(mode(&mut agent, &one).contains("`plan`"));
    assert!(mode(&mut agent, &two).contains("`ask`"));
}

#[test]
fn c29_the_working_folder_is_the_sessions_not_the_processes() {
    let home = Home::scripted(
        "when any\n  call terminal {\"command\": \"pwd; cat here.txt\"}\nthen\n  call read {\"path\": \"here.txt\"}\nthen\n  say \"Done.\"\n",
    );
    home.write_config("permissions: {mode: bypass}\n");
    let folders = ["one", "two"].map(|name| {
        home.write(&format!("{name}/here.txt"), &format!("in {name}\n"));
        home.work().join(name).canonicalize().unwrap()
    });
    let mut agent = Agent::ready(&home);
    for folder in &folders {
        let answer = new(&mut agent, &json!({ "cwd": folder, "mcpServers": [] }));
        let session = answer.result()["sessionId"].as_str().unwrap().to_owned();
        let answer = agent.ask(&session, "go");
        let said = Value::from(answer.before.clone()).to_string();
        let name = folder.file_name().unwrap().to_str().unwrap();
        assert!(said.contains(&format!("in {name}")), "{said}");
        assert!(said.contains(&folder.display().to_string()), "{said}");
    }
}

#[test]
fn c29_a_relative_or_missing_working_folder_is_refused() {
    let home = Home::scripted(SAY);
    let file = home.write("file", "");
    let mut agent = Agent::ready(&home);
    for cwd in [
        json!("relative"),
        json!("./relative"),
        json!(""),
        json!("~"),
        json!(null),
        json!(5),
        json!("file:///tmp"),
        json!(home.work().join("nothing")),
        json!(file),
    ] {
        let answer = new(&mut agent, &json!({ "cwd": cwd, "mcpServers": [] }));
        assert_eq!(answer.code(), -32602, "{cwd}: {}", answer.response);
        assert!(answer.message().ends_with('.'), "{}", answer.message());
    }
    assert_eq!(new(&mut agent, &json!({ "mcpServers": [] })).code(), -32602);
    agent.new_session(&home);
}

#[test]
fn c30_additional_directories_are_roots() {
    let home = Home::scripted(
        "when prompt \"read *\"\n  call read {\"path\": \"${1}\"}\nthen\n  say \"Done.\"\n",
    );
    let inside = home.write("more/inside.txt", "from inside\n");
    let other = home.write("other/outside.txt", "from outside\n");
    let cwd = home.work().join("cwd");
    std::fs::create_dir(&cwd).unwrap();
    let mut agent = Agent::ready(&home);
    let params = json!({ "cwd": cwd, "additionalDirectories": [home.work().join("more")], "mcpServers": [] });
    let session = new(&mut agent, &params).result()["sessionId"].as_str().unwrap().to_owned();
    let answer = agent.ask(&session, &format!("read {}", inside.display()));
    assert!(answer.before.iter().all(|message| message.get("id").is_none()), "nobody was asked");
    assert!(Value::from(answer.before).to_string().contains("from inside"));
    let prompt = agent.prompt(&session, &format!("read {}", other.display()));
    let (_, question) = agent.wait_for("session/request_permission");
    agent.respond(&question, &json!({ "outcome": { "outcome": "cancelled" } }));
    let answer = agent.wait(&prompt);
    assert!(!Value::from(answer.before).to_string().contains("from outside"));
}

#[test]
fn c30_additional_directories_fail_closed() {
    let home = Home::scripted(SAY);
    let file = home.write("file", "");
    let mut agent = Agent::ready(&home);
    for folders in [
        json!(["relative"]),
        json!([home.work(), "relative"]),
        json!([""]),
        json!([home.work(), home.work().join("nothing")]),
        json!([file]),
        json!([5]),
        json!(["/", null]),
        json!("/"),
        json!({ "0": "/" }),
    ] {
        let params =
            json!({ "cwd": home.work(), "additionalDirectories": folders, "mcpServers": [] });
        let answer = new(&mut agent, &params);
        assert_eq!(answer.code(), -32602, "{folders}: {}", answer.response);
    }
    for folders in [json!([]), json!([home.work(), home.work()])] {
        let params =
            json!({ "cwd": home.work(), "additionalDirectories": folders, "mcpServers": [] });
        new(&mut agent, &params).result();
    }
}

#[test]
fn c31_named_mcp_servers_are_not_silently_dropped() {
    let home = Home::scripted(SAY);
    let mut agent = Agent::ready(&home);
    let server = json!({ "name": "a", "command": "/bin/false", "args": [], "env": [] });
    let answer = new(&mut agent, &json!({ "cwd": home.work(), "mcpServers": [server] }));
    let notes = &answer.result()["_meta"]["talaria"]["notes"];
    assert!(notes[0].as_str().unwrap().contains("MCP"), "{notes}");
}

#[test]
fn c34_nothing_of_a_session_comes_before_its_answer_and_its_commands_right_after() {
    let home = Home::scripted(SAY);
    let mut agent = Agent::ready(&home);
    for _ in 0..20 {
        let answer = new(&mut agent, &json!({ "cwd": home.work(), "mcpServers": [] }));
        let session = answer.result()["sessionId"].as_str().unwrap().to_owned();
        assert!(answer.before.iter().all(|message| session_of(message) != Some(&session)));
        let (before, update) = agent.until(|message| session_of(message) == Some(&session));
        assert_eq!(update["params"]["update"]["sessionUpdate"], "available_commands_update");
        assert!(before.iter().all(|message| message.get("id").is_none()));
    }
}

#[test]
fn c34_commands_come_before_the_first_prompts_updates() {
    let home = Home::scripted(SAY);
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let answer = agent.ask(&session, "at once");
    let kinds: Vec<&str> = answer
        .before
        .iter()
        .filter_map(|message| message["params"]["update"]["sessionUpdate"].as_str())
        .collect();
    assert_eq!(kinds.first(), Some(&"available_commands_update"), "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "available_commands_update").count(), 1);
}

/// Every method of a session with parameters that are right but for the session.
fn session_methods(session: &str) -> Vec<(&'static str, Value)> {
    vec![
        (
            "session/prompt",
            json!({ "sessionId": session, "prompt": [{ "type": "text", "text": "go" }] }),
        ),
        ("session/set_mode", json!({ "sessionId": session, "modeId": "ask" })),
        (
            "session/set_config_option",
            json!({ "sessionId": session, "configId": "mode", "value": "ask" }),
        ),
        ("session/close", json!({ "sessionId": session })),
    ]
}

fn assert_unknown(agent: &mut Agent, session: &str) {
    for (method, params) in session_methods(session) {
        let answer = agent.call(method, &params);
        assert_eq!(answer.code(), -32002, "{method}: {}", answer.response);
        assert_eq!(answer.response["error"]["data"], json!({ "sessionId": session }), "{method}");
        for way in ["session/new", "session/load"] {
            assert!(answer.message().contains(way), "{}", answer.message());
        }
    }
    agent.cancel(session);
    agent.assert_silent();
}

#[test]
fn c39_an_unknown_session_is_named_in_the_error_of_every_method() {
    let home = Home::scripted(SAY);
    let mut agent = Agent::ready(&home);
    assert_unknown(&mut agent, "nothing");
    assert_unknown(&mut agent, "");
    // Of another connection.
    let other = Agent::ready(&home).new_session(&home);
    assert_unknown(&mut agent, &other);
}

#[test]
fn c39_a_closed_session_is_unknown() {
    let home = Home::scripted(SAY);
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    assert_eq!(agent.ask(&session, "go").text(), "a");
    agent.call("session/close", &json!({ "sessionId": session })).result();
    assert_unknown(&mut agent, &session);
}

#[test]
fn c43_close_cancels_the_running_turn_and_what_waits() {
    let home = Home::scripted("when any\n  say \"a\"\n  gate never\n");
    home.write_config("session: {busy: queue}\n");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let running = agent.prompt(&session, "go");
    agent.wait_for_update("agent_message_chunk");
    let waiting = agent.prompt(&session, "later");
    let close = agent.request("session/close", &json!({ "sessionId": session }));
    // The session is closed from now on, although it still ends.
    let after = agent.prompt(&session, "too late");
    let mut answers = Vec::new();
    while answers.len() < 4 {
        let (_, answer) = agent.until(|message| message.get("id").is_some());
        answers.push(answer);
    }
    let find = |id: &Value| answers.iter().position(|answer| answer["id"] == *id).unwrap();
    assert_eq!(answers[find(&running)]["result"]["stopReason"], "cancelled");
    assert_eq!(answers[find(&waiting)]["result"]["stopReason"], "cancelled");
    assert_eq!(answers[find(&after)]["error"]["code"], -32002);
    assert!(find(&close) > find(&running) && find(&close) > find(&waiting), "{answers:?}");
    assert_eq!(answers[find(&close)]["result"], json!({}));
    agent.assert_silent();
}

#[test]
fn c43_close_frees_the_processes_of_its_commands() {
    let home = Home::scripted(
        "when any\n  call terminal {\"command\": \"echo group=$$; (sleep 100; true) & sleep 100\"}\nthen\n  say \"Done.\"\n",
    );
    home.write_config("permissions: {mode: bypass}\n");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let prompt = agent.prompt(&session, "go");
    let group = agent.wait_for_group();
    agent.call("session/close", &json!({ "sessionId": session })).result();
    process::wait_for_end(group, Duration::from_millis(500));
    assert!(
        agent
            .heard()
            .iter()
            .any(|line| line.contains("cancelled") && line.contains(&prompt.to_string()))
    );
}

#[test]
fn c43_a_second_close_is_answered() {
    let home = Home::scripted("when any\n  say \"a\"\n  gate never\n");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    agent.prompt(&session, "go");
    agent.wait_for_update("agent_message_chunk");
    let first = agent.request("session/close", &json!({ "sessionId": session }));
    let second = agent.request("session/close", &json!({ "sessionId": session }));
    let (mut done, mut codes) = (0, Vec::new());
    while done < 2 {
        let (_, answer) = agent.until(|message| message["id"] == first || message["id"] == second);
        done += 1;
        codes.extend(answer["error"]["code"].as_i64());
        assert_eq!(answer.get("error").is_some(), answer["id"] == second, "{answer}");
    }
    assert_eq!(codes, [-32002]);
}

/// A message's part as its type, and back: what the type does not know is lost.
fn known<T: Serialize + DeserializeOwned>(value: &Value) -> Value {
    let typed: T =
        serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error} in {value}"));
    serde_json::to_value(typed).unwrap()
}

/// Asserts that every field of `said` is in `known`; `_meta` is free.
fn assert_fields(said: &Value, known: &Value, whole: &Value) {
    match (said, known) {
        (Value::Object(said), Value::Object(known)) => {
            for (name, value) in said.iter().filter(|(name, _)| *name != "_meta") {
                let other = known.get(name).unwrap_or(&Value::Null);
                assert!(
                    known.contains_key(name) || value.is_null(),
                    "`{name}` is no field of the protocol: {whole}"
                );
                assert_fields(value, other, whole);
            }
        }
        (Value::Array(said), Value::Array(known)) => {
            assert_eq!(said.len(), known.len(), "{whole}");
            for (said, known) in said.iter().zip(known) {
                assert_fields(said, known, whole);
            }
        }
        _ => {}
    }
}

#[test]
fn c86_no_field_of_ours_is_at_the_root_of_a_message() {
    let home = Home::scripted(
        "when any\n  think \"Hm.\"\n  say \"a\"\n  call read {\"path\": \"a.txt\"}\n  \
         call plan {\"entries\": [{\"content\": \"x\", \"status\": \"pending\", \"priority\": \"low\"}]}\n  \
         usage input=5 output=7\nthen\n  call write {\"path\": \"b.txt\", \"content\": \"b\"}\n  \
         call terminal {\"command\": \"echo x\"}\nthen\n  say \"Done.\"\n",
    );
    home.write("a.txt", "a\n");
    let mut agent = Agent::start(&home);
    let server = json!({ "name": "a", "command": "/bin/false", "args": [], "env": [] });
    let initialized = agent.initialize(&json!({})).result().clone();
    let opened =
        new(&mut agent, &json!({ "cwd": home.work(), "mcpServers": [server] })).result().clone();
    let session = opened["sessionId"].as_str().unwrap().to_owned();
    let set = json!({ "sessionId": session, "configId": "thought_level", "value": "low" });
    let options = agent.call("session/set_config_option", &set).result().clone();
    let mode = agent
        .call("session/set_mode", &json!({ "sessionId": session, "modeId": "ask" }))
        .result()
        .clone();
    let prompt = agent.prompt(&session, "go");
    let answer = loop {
        let message = agent.next();
        match message["method"].as_str() {
            Some("session/request_permission") => {
                let option = json!({ "outcome": "selected", "optionId": "allow_once" });
                agent.respond(&message, &json!({ "outcome": option }));
            }
            None if message["id"] == prompt => break message["result"].clone(),
            Some(_) | None => {}
        }
    };
    assert_fields(&initialized, &known::<acp::InitializeResponse>(&initialized), &initialized);
    assert_fields(&opened, &known::<acp::NewSessionResponse>(&opened), &opened);
    assert_fields(&options, &known::<acp::SetSessionConfigOptionResponse>(&options), &options);
    assert_fields(&mode, &known::<acp::SetSessionModeResponse>(&mode), &mode);
    assert_fields(&answer, &known::<acp::PromptResponse>(&answer), &answer);
    assert_eq!(answer["stopReason"], "end_turn");
    let mut kinds = BTreeSet::new();
    for line in agent.heard() {
        let message: Value = serde_json::from_str(line).unwrap();
        let params = &message["params"];
        let roots: BTreeSet<&str> =
            message.as_object().unwrap().keys().map(String::as_str).collect();
        assert!(
            roots.is_subset(&["jsonrpc", "id", "method", "params", "result", "error"].into()),
            "{line}"
        );
        if message["method"] == "session/update" {
            kinds.insert(params["update"]["sessionUpdate"].as_str().unwrap().to_owned());
            assert_fields(params, &known::<acp::SessionNotification>(params), params);
        } else if message["method"] == "session/request_permission" {
            kinds.insert("permission".to_owned());
            assert_fields(params, &known::<acp::RequestPermissionRequest>(params), params);
        }
    }
    assert!(kinds.len() > 8, "{kinds:?}");
}

#[test]
fn c86_the_answers_about_stored_sessions_have_fields_of_the_protocol_only() {
    let home = Home::scripted(SAY);
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    agent.ask(&session, "go").result();
    let server = json!({ "name": "a", "command": "/bin/false", "args": [], "env": [] });
    let params = json!({ "sessionId": session, "cwd": home.work(), "mcpServers": [server], "title": "x", "_meta": { "a": 1 } });
    let mut said = |method: &str| agent.call(method, &params).result().clone();
    let titled = said("session/set_title");
    assert_fields(&titled, &known::<acp::SetSessionTitleResponse>(&titled), &titled);
    let loaded = said("session/load");
    assert_fields(&loaded, &known::<acp::LoadSessionResponse>(&loaded), &loaded);
    assert!(loaded["_meta"]["talaria"]["notes"][0].as_str().unwrap().contains("MCP"), "{loaded}");
    let resumed = said("session/resume");
    assert_fields(&resumed, &known::<acp::ResumeSessionResponse>(&resumed), &resumed);
    let forked = said("session/fork");
    assert_fields(&forked, &known::<acp::ForkSessionResponse>(&forked), &forked);
    let listed = said("session/list");
    assert_fields(&listed, &known::<acp::ListSessionsResponse>(&listed), &listed);
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 2);
    let deleted = said("session/delete");
    assert_eq!(deleted, json!({}));
}

#[test]
fn c87_unknown_fields_and_meta_are_tolerated_in_input() {
    let home = Home::scripted(SAY);
    let mut agent = Agent::start(&home);
    let meta = json!({ "traceparent": "00-0-0-00", "example.com/a": [1, { "b": null }] });
    let extra = |mut params: Value| {
        params["_meta"] = meta.clone();
        params["unknown"] = json!({ "a": [1] });
        params
    };
    let initialize = json!({
        "protocolVersion": 1,
        "clientInfo": { "name": "test", "version": "0", "unknown": 1, "_meta": meta },
        "clientCapabilities": { "fs": { "unknown": true }, "unknown": {}, "_meta": meta },
    });
    agent.call("initialize", &extra(initialize)).result();
    let opened = new(&mut agent, &extra(json!({ "cwd": home.work(), "mcpServers": [] })));
    let session = opened.result()["sessionId"].as_str().unwrap().to_owned();
    let block = extra(json!({ "type": "text", "text": "go", "annotations": { "unknown": 1 } }));
    let answer =
        agent.call("session/prompt", &extra(json!({ "sessionId": session, "prompt": [block] })));
    assert_eq!(answer.text(), "a");
    for (method, params) in session_methods(&session) {
        agent.call(method, &extra(params)).result();
    }
    let line = json!({ "jsonrpc": "2.0", "id": "z", "method": "logout", "params": {}, "unknown": 1, "_meta": meta });
    agent.send(&line);
    agent.wait(&json!("z")).result();
}

#[test]
fn the_files_of_the_store_are_no_tools_to_read_or_write() {
    let home = Home::scripted("");
    let linked = home.root().join("linked");
    #[cfg(unix)]
    std::os::unix::fs::symlink(home.state(), &linked).unwrap();
    // `TALARIA_HOME` as it is, by a link, and relative to the folder that the process runs in.
    let relative = home.root().strip_prefix("/").unwrap().join("home");
    for talaria in [home.state(), linked, relative] {
        let state = home.state();
        std::fs::write(state.join("notes.txt"), "SQLite is named here\n").unwrap();
        let (database, wal) = (state.join("talaria.db"), state.join("talaria.db-wal"));
        let through = home.root().join("linked/talaria.db");
        let calls = [
            ("read", json!({ "path": database })),
            ("read", json!({ "path": through })),
            ("grep", json!({ "pattern": "SQLite", "path": database })),
            ("edit", json!({ "path": wal, "edits": [{ "old_text": "a", "new_text": "b" }] })),
            ("write", json!({ "path": state.join("talaria.db-shm"), "content": "x" })),
            ("write", json!({ "path": state.join("owners/x.lock"), "content": "x" })),
            ("grep", json!({ "pattern": "SQLite", "path": state })),
            ("list", json!({ "path": state })),
        ];
        let mut script = "when any\n".to_owned();
        for (tool, input) in &calls {
            script.push_str(&format!("  call {tool} {input}\n"));
        }
        std::fs::write(home.script(), script + "then\n  say \"Done.\"\n").unwrap();
        home.write_config("permissions: {mode: bypass}\n");
        let mut command = home.command();
        command.env("TALARIA_HOME", &talaria);
        let mut agent = Agent::spawn(command);
        agent.initialize(&json!({}));
        let session = agent.new_session(&home);
        let answer = agent.ask(&session, "go");
        assert_eq!(answer.stop_reason(), "end_turn");
        // Each call's last update, in their order.
        let ids: Vec<&str> = answer
            .updates("tool_call")
            .iter()
            .map(|call| call["toolCallId"].as_str().unwrap())
            .collect();
        let statuses: Vec<&str> = ids.iter().map(|id| answer.status(id)).collect();
        let refused = ["failed"; 6];
        assert_eq!(statuses[..6], refused, "{}", talaria.display());
        assert_eq!(statuses[6..], ["completed"; 2], "{}", talaria.display());
        for id in &ids[..6] {
            let said = serde_json::to_string(&answer.call(id)).unwrap();
            assert!(said.contains("forbids"), "{said}");
        }
        let found = serde_json::to_string(&answer.call(ids[6])).unwrap();
        assert!(found.contains("notes.txt") && !found.contains("talaria.db"), "{found}");
        assert!(state.join("talaria.db").exists() && !state.join("owners/x.lock").exists());
    }
}
