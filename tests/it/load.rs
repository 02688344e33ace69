//! Checklist 35 to 37, 39 and 44: `session/load` shows a conversation as it was, whatever ended it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::home::Home;
use crate::support::process;
use crate::support::stored::{Shown, calls, conversation, load, params, said, texts};

/// A turn with everything that a reply can hold, and a plain one.
const RICH: &str = r#"
when prompt "work"
  think "Let me see."
  say "I look."
  call read {"path": "a.txt"}
  call plan {"entries": [{"content": "Look", "status": "completed", "priority": "low"}]}
then
  say "Now I change it."
  call edit {"path": "a.txt", "edits": [{"old_text": "one", "new_text": "two"}]}
  call read {"path": "none.txt"}
then
  call terminal {"command": "echo seen"}
then
  say "Done."
  usage input=100 output=20
when any
  say "You said ${prompt}."
"#;

fn rich() -> Home {
    let home = Home::scripted(RICH);
    home.write_config("permissions: {mode: bypass}\n");
    home.write("a.txt", "one\n");
    home
}

/// What the client has at the end, what it sent itself included.
fn with_prompt(prompt: &str, live: Vec<Shown>) -> (String, Vec<Shown>) {
    (prompt.to_owned(), said(&live))
}

#[test]
fn c35_c36_a_load_shows_the_whole_conversation_in_order_before_its_response() {
    let home = rich();
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let turns = ["work", "hello", "/mode", "again"].map(|prompt| {
        let answer = agent.ask(&session, prompt);
        assert_eq!(answer.stop_reason(), "end_turn");
        with_prompt(prompt, conversation(&answer.before))
    });
    drop(agent);
    let mut agent = Agent::ready(&home);
    let answer = load(&mut agent, &home, &session);
    assert!(answer.before.iter().all(|message| message["params"]["sessionId"] == session.as_str()));
    let shown = conversation(&answer.before);
    let mut expected = Vec::new();
    let mut found = said(&shown);
    for (prompt, live) in turns {
        // Its id is only known now; the client did not see it.
        let place = found.iter().position(
            |one| matches!(one, Shown::Message { role, content, .. } if role == "user_message_chunk" && content[0]["text"] == prompt.as_str()),
        );
        expected.push(found.remove(place.unwrap_or_else(|| panic!("no prompt {prompt}"))));
        expected.extend(live);
    }
    // The prompts stand where they were, too.
    assert_eq!(said(&shown), expected);
    let statuses: Vec<&str> = calls(&expected).iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, ["completed", "completed", "completed", "failed", "completed"]);
    assert!(shown.contains(&Shown::Title("work".to_owned())));
    let calls = answer.updates("tool_call");
    assert_eq!(
        (calls.len(), answer.updates("tool_call_update").len()),
        (5, 0),
        "one for each call"
    );
    assert!(calls.iter().all(|call| call["rawInput"].is_object() && call["name"].is_string()));
    assert_eq!(answer.result()["modes"]["currentModeId"], "bypass");
    assert_eq!(answer.result()["configOptions"].as_array().unwrap().len(), 3);
    let (before, _) = agent.wait_for_update("available_commands_update");
    assert_eq!(before, Vec::<Value>::new());
    agent.assert_silent();
}

#[test]
fn c36_ids_of_later_turns_are_new() {
    let home = rich();
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    agent.ask(&session, "work").result();
    drop(agent);
    for _ in 0..2 {
        let mut agent = Agent::ready(&home);
        let old = conversation(&load(&mut agent, &home, &session).before);
        let new = conversation(&agent.ask(&session, "work").before);
        let id = |one: &Shown| match one {
            Shown::Message { id, .. } | Shown::Call { id, .. } => Some(id.clone()),
            Shown::Plan(_) | Shown::Title(_) | Shown::Other(_) => None,
        };
        let known: Vec<String> = old.iter().filter_map(id).collect();
        let later: Vec<String> = new.iter().filter_map(id).collect();
        assert!(later.len() > 5);
        assert!(later.iter().all(|id| !known.contains(id)), "{known:?} {later:?}");
        let again = conversation(&load(&mut agent, &home, &session).before);
        let all: Vec<String> = again.iter().filter_map(id).collect();
        assert!(later.iter().all(|id| all.contains(id)), "{all:?} {later:?}");
    }
}

#[test]
fn c35_a_loaded_session_goes_on_where_it_was() {
    let home = Home::scripted(
        "when prompt \"first\"\n  say \"One.\"\n  usage input=10 output=5\nwhen any\n  expect items 3\n  say \"Two.\"\n",
    );
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    agent.ask(&session, "first").result();
    agent.call("session/set_mode", &json!({ "sessionId": session, "modeId": "plan" })).result();
    let level = json!({ "sessionId": session, "configId": "thought_level", "value": "high" });
    agent.call("session/set_config_option", &level).result();
    drop(agent);
    let mut agent = Agent::ready(&home);
    let answer = load(&mut agent, &home, &session);
    assert_eq!(answer.result()["modes"]["currentModeId"], "plan");
    let options = answer.result()["configOptions"].as_array().unwrap().clone();
    let current: Vec<&str> =
        options.iter().map(|option| option["currentValue"].as_str().unwrap()).collect();
    assert_eq!((current[0], current[2]), ("plan", "high"));
    assert_eq!(agent.ask(&session, "second").text(), "Two.");
    assert!(agent.ask(&session, "/usage").text().contains("10"));
}

#[test]
fn c35_what_was_told_before_a_kill_is_shown_and_what_ran_is_over() {
    let home = Home::scripted(
        "when prompt \"go\"\n  say \"First.\"\n  call terminal {\"command\": \"sleep 5\"}\nthen\n  say \"Never.\"\nwhen any\n  say \"On.\"\n",
    );
    home.write_config("permissions: {mode: bypass}\n");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    agent.prompt(&session, "go");
    let (_, _) = agent.until(|message| {
        message["params"]["update"]["toolCallId"].is_string()
            && message["params"]["update"]["status"] == "in_progress"
    });
    agent.unchecked();
    agent.signal("-KILL");
    agent.exit(Duration::from_secs(5));
    let mut agent = Agent::ready(&home);
    let answer = load(&mut agent, &home, &session);
    let shown = conversation(&answer.before);
    assert_eq!(texts(&shown, "user_message_chunk"), ["go"]);
    assert_eq!(texts(&shown, "agent_message_chunk")[0], "First.");
    let statuses = calls(&shown);
    assert_eq!(statuses.len(), 1);
    assert_eq!(statuses[0].0, "failed");
    assert_eq!(agent.ask(&session, "more").text(), "On.");
    // The end was written, too: it is the same the next time.
    let again = conversation(&load(&mut agent, &home, &session).before);
    assert_eq!(said(&again)[..said(&shown).len()], said(&shown)[..]);
}

#[test]
fn c37_a_replay_holds_no_terminal_no_question_and_no_notice() {
    let home = Home::scripted(
        "when any\n  call terminal {\"command\": \"make\"}\n  call write {\"path\": \"b.txt\", \"content\": \"b\"}\nthen\n  say \"Done.\"\n",
    );
    let mut agent = Agent::ready_with(&home, &json!({ "terminal": true }));
    let session = agent.new_session(&home);
    let prompt = agent.prompt(&session, "go");
    let mut live = Vec::new();
    loop {
        let message = agent.next();
        live.push(message.clone());
        let result = match message["method"].as_str() {
            Some("session/request_permission") => {
                json!({ "outcome": { "outcome": "selected", "optionId": "allow_once" } })
            }
            Some("terminal/create") => json!({ "terminalId": "term-7" }),
            Some("terminal/wait_for_exit") => json!({ "exitCode": 0 }),
            Some("terminal/output") => {
                json!({ "output": "made", "truncated": false, "exitStatus": { "exitCode": 0 } })
            }
            Some("terminal/release") => json!({}),
            _ if message["id"] == prompt => break,
            _ => continue,
        };
        agent.respond(&message, &result);
    }
    assert!(Value::from(live).to_string().contains("term-7"), "it was shown while it lived");
    drop(agent);
    let mut agent = Agent::ready_with(&home, &json!({ "terminal": true }));
    let answer = load(&mut agent, &home, &session);
    assert!(answer.before.iter().all(|message| message.get("id").is_none()));
    let text = Value::from(answer.before.clone()).to_string();
    assert!(!text.contains("term-7") && !text.contains("terminalId"), "{text}");
    assert!(answer.before.iter().all(|message| message["method"] == "session/update"));
    assert_eq!(answer.updates("notice").len(), 0);
    let statuses: Vec<&str> =
        answer.updates("tool_call").iter().map(|call| call["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["completed", "completed"]);
}

#[test]
fn c39_what_is_not_stored_cannot_be_opened() {
    let home = rich();
    let mut agent = Agent::ready(&home);
    for method in ["session/load", "session/resume", "session/fork"] {
        for id in ["nobody", "", "../../etc/passwd", "' or 1=1 --"] {
            let answer = agent.call(method, &params(&home, id));
            assert_eq!(answer.code(), -32002, "{method} {id}: {}", answer.response);
            assert_eq!(answer.response["error"]["data"], json!({ "sessionId": id }));
            assert_eq!(answer.before, Vec::<Value>::new());
            // Nothing is half open.
            assert_eq!(agent.ask(id, "go").code(), -32002, "{method} {id}");
        }
    }
    agent.assert_silent();
}

#[test]
fn c39_what_was_asked_behind_a_failed_load_has_its_error() {
    let home = rich();
    let mut agent = Agent::ready(&home);
    let mut ask = |id: &str, params: &Value| {
        let requests = [
            agent.request("session/load", params),
            agent.prompt(id, "hello"),
            agent.request("session/set_mode", &json!({ "sessionId": id, "modeId": "plan" })),
            agent.request("session/set_title", &json!({ "sessionId": id, "title": "Mine" })),
        ];
        let mut errors = vec![Value::Null; requests.len()];
        while let Some(place) = errors.iter().position(Value::is_null) {
            let (_, answer) = agent.until(|message| requests.contains(&message["id"]));
            let at = requests.iter().position(|request| *request == answer["id"]).unwrap_or(place);
            errors[at] = answer["error"].clone();
            assert!(errors[at].is_object(), "{answer}");
        }
        errors.dedup();
        errors
    };
    for error in ask("nobody", &params(&home, "nobody")) {
        assert_eq!(
            (&error["code"], &error["data"]),
            (&json!(-32002), &json!({ "sessionId": "nobody" }))
        );
    }
    let mut elsewhere = params(&home, "nobody");
    elsewhere["cwd"] = json!("/no/such/folder");
    let failed = ask("nobody", &elsewhere);
    assert!(failed[0]["message"].as_str().unwrap().contains("/no/such/folder"), "{failed:#?}");
    // What came when the load had failed already asks for a session that is not open.
    let later = |error: &Value| error["code"] == -32002 && error["data"]["sessionId"] == "nobody";
    assert!(failed.iter().all(|error| *error == failed[0] || later(error)), "{failed:#?}");
}

#[test]
fn c39_what_waits_for_a_load_that_fails_is_answered_behind_it() {
    let home = rich();
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    agent.ask(&session, "work").result();
    let nowhere =
        json!({ "sessionId": session, "cwd": home.work().join("nowhere"), "mcpServers": [] });
    agent.call("session/close", &json!({ "sessionId": session })).result();
    let loading = agent.request("session/load", &nowhere);
    let prompt = agent.prompt(&session, "hello");
    let answer = agent.wait(&loading);
    assert_eq!(answer.code(), -32602, "{}", answer.response);
    assert!(answer.message().contains("nowhere"), "{}", answer.message());
    assert!(!answer.before.iter().any(|message| message["id"] == prompt), "{:?}", answer.before);
    assert_eq!(agent.wait(&prompt).response.get("result"), None);
    // It is closed, and how it comes back is said.
    let answer = agent.ask(&session, "hello");
    assert_eq!(answer.code(), -32002, "{}", answer.response);
    assert!(answer.message().contains("session/load"), "{}", answer.message());
    load(&mut agent, &home, &session).result();
    assert_eq!(agent.ask(&session, "hello").stop_reason(), "end_turn");
}

#[test]
fn c39_a_load_that_fails_leaves_the_open_session_as_it_was() {
    let home = rich();
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    agent.ask(&session, "work").result();
    agent.call("session/set_mode", &json!({ "sessionId": session, "modeId": "plan" })).result();
    let mut nowhere = params(&home, &session);
    nowhere["cwd"] = json!(home.work().join("nowhere"));
    for method in ["session/load", "session/resume"] {
        for _ in 0..10 {
            let loading = agent.request(method, &nowhere);
            let behind = agent.prompt(&session, "hello");
            let answer = agent.wait(&loading);
            assert_eq!(answer.code(), -32602, "{}", answer.response);
            assert!(answer.message().contains("nowhere"), "{}", answer.message());
            // It waited for the load, or came later.
            let refused = &agent.wait(&behind).response["error"]["message"];
            assert!(
                refused.is_null() || refused.as_str().unwrap().contains("nowhere"),
                "{refused}"
            );
            assert_eq!(agent.ask(&session, "hello").text(), "You said hello.");
        }
        assert!(agent.ask(&session, "/mode").text().contains("`plan`"));
    }
    // The model, too, is looked for before.
    let away = home.root().join("away.script");
    std::fs::rename(home.script(), &away).unwrap();
    let answer = agent.call("session/load", &params(&home, &session));
    std::fs::rename(away, home.script()).unwrap();
    assert!(answer.message().contains("model.script"), "{}", answer.response);
    assert_eq!(agent.ask(&session, "hello").text(), "You said hello.");
    let shown = conversation(&load(&mut agent, &home, &session).before);
    assert_eq!(texts(&shown, "user_message_chunk")[0], "work");
    assert_eq!(agent.ask(&session, "on").text(), "You said on.");
}

#[test]
fn c39_a_load_that_fails_touches_no_running_turn() {
    let home = Home::scripted(HOLD);
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let prompt = agent.prompt(&session, "hold");
    agent.wait_for_update("agent_message_chunk");
    let mut nowhere = params(&home, &session);
    nowhere["cwd"] = json!(home.work().join("nowhere"));
    assert_eq!(agent.call("session/load", &nowhere).code(), -32602);
    home.open_gate("go");
    let answer = agent.wait(&prompt);
    assert_eq!((answer.stop_reason(), answer.text().as_str()), ("end_turn", "Ended."));
    assert_eq!(agent.ask(&session, "more").text(), "On.");
}

#[test]
fn c29_c30_a_load_takes_the_folders_of_the_request() {
    let home =
        Home::scripted("when any\n  call read {\"path\": \"here.txt\"}\nthen\n  say \"Done.\"\n");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    agent.ask(&session, "go").result();
    let other = home.write("other/here.txt", "in the other\n");
    let folder = other.parent().unwrap();
    for method in ["session/load", "session/resume"] {
        let given = json!({ "sessionId": session, "cwd": folder, "mcpServers": [] });
        agent.call(method, &given).result();
        let answer = agent.ask(&session, "go");
        assert!(Value::from(answer.before).to_string().contains("in the other"), "{method}");
        for wrong in [
            json!({ "sessionId": session, "cwd": "relative", "mcpServers": [] }),
            json!({ "sessionId": session, "mcpServers": [] }),
            json!({ "sessionId": session, "cwd": folder, "additionalDirectories": ["x"], "mcpServers": [] }),
            json!({ "cwd": folder, "mcpServers": [] }),
        ] {
            assert_eq!(agent.call(method, &wrong).code(), -32602, "{method} {wrong}");
        }
        // A request that could not even be read closed nothing.
        agent.ask(&session, "go").result();
    }
}

#[test]
fn c25_a_load_needs_to_be_logged_in() {
    let home = rich();
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    agent.ask(&session, "hello").result();
    agent.call("logout", &json!({})).result();
    for method in ["session/load", "session/resume", "session/fork"] {
        assert_eq!(agent.call(method, &params(&home, &session)).code(), -32000, "{method}");
    }
}

#[test]
fn c44_a_prompt_behind_a_load_waits_for_the_replay() {
    let home = rich();
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    agent.ask(&session, "work").result();
    drop(agent);
    let mut agent = Agent::ready(&home);
    let loading = agent.request("session/load", &params(&home, &session));
    let prompt = agent.prompt(&session, "hello");
    let title =
        agent.request("session/set_title", &json!({ "sessionId": session, "title": "Mine" }));
    let answer = agent.wait(&loading);
    answer.result();
    assert_eq!(texts(&conversation(&answer.before), "user_message_chunk"), ["work"]);
    assert!(!Value::from(answer.before).to_string().contains("You said"));
    let answer = agent.wait(&prompt);
    assert_eq!((answer.stop_reason(), answer.text().as_str()), ("end_turn", "You said hello."));
    let before: Vec<&Value> =
        answer.before.iter().filter(|message| message["id"] == title).collect();
    if before.is_empty() {
        agent.wait(&title).result();
    }
}

#[test]
fn c44_many_loads_behind_a_question_do_not_keep_its_answer_away() {
    let home = Home::scripted(
        "when any\n  call write {\"path\": \"a.txt\", \"content\": \"a\"}\nthen\n  say \"Done.\"\n",
    );
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let prompt = agent.prompt(&session, "go");
    let (_, question) = agent.wait_for("session/request_permission");
    let loads: Vec<Value> =
        (0..1100).map(|_| agent.request("session/resume", &params(&home, &session))).collect();
    agent.respond(
        &question,
        &json!({ "outcome": { "outcome": "selected", "optionId": "allow_once" } }),
    );
    let (mut open, mut ended, mut refused) = (loads.len() + 1, false, 0);
    while open > 0 {
        let message = agent.next();
        if message.get("method").is_none() {
            open -= 1;
            ended |= message["id"] == prompt && message["result"]["stopReason"] == "end_turn";
            refused += usize::from(message["error"]["code"] == -32602);
        }
    }
    assert!(ended && refused > 0 && refused < loads.len(), "{refused}");
    assert_eq!(home.read("a.txt"), "a");
}

#[test]
fn c44_a_load_while_a_turn_runs_comes_behind_it() {
    let home = Home::scripted(
        "when prompt \"hold\"\n  say \"Begun. \"\n  gate go\n  say \"Ended.\"\nwhen any\n  say \"On.\"\n",
    );
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let prompt = agent.prompt(&session, "hold");
    agent.wait_for_update("agent_message_chunk");
    let loading = agent.request("session/load", &params(&home, &session));
    let later = agent.prompt(&session, "later");
    agent.call("talaria_test/nothing", &json!({}));
    home.open_gate("go");
    let answer = agent.wait(&prompt);
    assert_eq!((answer.stop_reason(), answer.text().as_str()), ("end_turn", "Ended."));
    let answer = agent.wait(&loading);
    answer.result();
    let shown = conversation(&answer.before);
    assert_eq!(texts(&shown, "user_message_chunk"), ["hold"]);
    assert_eq!(texts(&shown, "agent_message_chunk"), ["Begun. Ended."]);
    assert_eq!(agent.wait(&later).text(), "On.");
}

/// A turn that waits, and others that do not.
const HOLD: &str = "when prompt \"hold\"\n  say \"Begun. \"\n  gate go\n  say \"Ended.\"\nwhen any\n  say \"On.\"\n";

#[test]
fn c44_a_cancel_reaches_the_turn_that_a_load_waits_for() {
    let home = Home::scripted("when any\n  say \"Begun.\"\n  gate never\n");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let prompt = agent.prompt(&session, "hold");
    agent.wait_for_update("agent_message_chunk");
    let loading = agent.request("session/load", &params(&home, &session));
    agent.cancel(&session);
    assert_eq!(agent.wait(&prompt).stop_reason(), "cancelled");
    let answer = agent.wait(&loading);
    answer.result();
    assert_eq!(texts(&conversation(&answer.before), "agent_message_chunk"), ["Begun."]);
}

#[test]
fn c44_a_close_reaches_it_too() {
    let home = Home::scripted("when any\n  say \"Begun.\"\n  gate never\n");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let prompt = agent.prompt(&session, "hold");
    agent.wait_for_update("agent_message_chunk");
    let loading = agent.request("session/load", &params(&home, &session));
    let close = agent.request("session/close", &json!({ "sessionId": session }));
    assert_eq!(agent.wait(&prompt).stop_reason(), "cancelled");
    agent.wait(&loading);
    agent.wait(&close).result();
    assert_eq!(agent.ask(&session, "more").code(), -32002);
    load(&mut agent, &home, &session);
}

#[test]
fn c44_two_loads_at_once_are_two_replays() {
    let home = rich();
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    agent.ask(&session, "work").result();
    let loads: Vec<Value> =
        (0..3).map(|_| agent.request("session/load", &params(&home, &session))).collect();
    let mut replays = Vec::new();
    for id in loads {
        let answer = agent.wait(&id);
        answer.result();
        replays.push(said(&conversation(&answer.before)));
    }
    assert!(replays[0].len() > 8);
    assert_eq!((&replays[1], &replays[2]), (&replays[0], &replays[0]));
    assert_eq!(agent.ask(&session, "hello").text(), "You said hello.");
}

#[test]
fn c51_a_load_that_is_cancelled_has_one_response() {
    let home = Home::scripted(HOLD);
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let prompt = agent.prompt(&session, "hold");
    agent.wait_for_update("agent_message_chunk");
    for _ in 0..5 {
        let loading = agent.request("session/load", &params(&home, &session));
        let behind = agent.prompt(&session, "behind");
        agent.call("talaria_test/nothing", &json!({}));
        agent.notify("$/cancel_request", &json!({ "requestId": loading }));
        assert_eq!(agent.wait(&loading).code(), -32800);
        let answer = agent.wait(&behind);
        assert_eq!(answer.code(), -32602, "{}", answer.response);
        assert!(answer.message().contains("was cancelled"), "{}", answer.message());
    }
    // The session is open as it was: its turn goes on, and is followed by others.
    home.open_gate("go");
    let answer = agent.wait(&prompt);
    assert_eq!((answer.stop_reason(), answer.text().as_str()), ("end_turn", "Ended."));
    assert_eq!(agent.ask(&session, "more").text(), "On.");
    load(&mut agent, &home, &session);
    assert_eq!(agent.ask(&session, "more").text(), "On.");
}

#[test]
fn c51_of_several_loads_behind_a_turn_each_can_be_cancelled() {
    let home = Home::scripted(HOLD);
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let prompt = agent.prompt(&session, "hold");
    agent.wait_for_update("agent_message_chunk");
    let loads: Vec<Value> =
        (0..4).map(|_| agent.request("session/load", &params(&home, &session))).collect();
    for at in [3, 0, 1] {
        agent.notify("$/cancel_request", &json!({ "requestId": loads[at] }));
        assert_eq!(agent.wait(&loads[at]).code(), -32800, "{at}");
    }
    home.open_gate("go");
    assert_eq!(agent.wait(&prompt).stop_reason(), "end_turn");
    let shown = conversation(&agent.wait(&loads[2]).before);
    assert_eq!(texts(&shown, "agent_message_chunk"), ["Begun. Ended."]);
    assert_eq!(agent.ask(&session, "more").text(), "On.");
}

#[test]
fn c51_a_load_that_is_cancelled_at_any_moment_leaves_the_open_session_open() {
    let home = rich();
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    agent.ask(&session, "work").result();
    for round in 0..40 {
        let loading = agent.request("session/load", &params(&home, &session));
        agent.notify("$/cancel_request", &json!({ "requestId": loading }));
        let later = agent.prompt(&session, "hello");
        let mut open = vec![loading, later];
        while !open.is_empty() {
            let (_, answer) = agent.until(|message| open.contains(&message["id"]));
            open.retain(|id| *id != answer["id"]);
            let code = &answer["error"]["code"];
            assert!(code.is_null() || *code == -32800 || *code == -32602, "{answer}");
        }
        assert_eq!(agent.ask(&session, "hello").text(), "You said hello.", "round {round}");
    }
}

#[test]
fn c39_c51_a_prompt_behind_a_cancelled_load_of_what_was_not_open_is_told_so() {
    let home = rich();
    let mut owner = Agent::ready(&home);
    let session = owner.new_session(&home);
    owner.ask(&session, "hello").result();
    let mut other = Agent::ready(&home);
    // The store waits a moment for the other process.
    let loading = other.request("session/load", &params(&home, &session));
    let behind = other.prompt(&session, "hello");
    other.notify("$/cancel_request", &json!({ "requestId": loading }));
    assert_eq!(other.wait(&loading).code(), -32800);
    let answer = other.wait(&behind);
    assert_eq!(answer.code(), -32002, "{}", answer.response);
    assert_eq!(answer.response["error"]["data"], json!({ "sessionId": session }));
}

#[test]
fn c51_cancel_and_close_reach_the_turn_behind_a_cancelled_load() {
    let home = Home::scripted("when any\n  say \"Begun.\"\n  gate never\n");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    for close in [false, true] {
        let prompt = agent.prompt(&session, "hold");
        agent.wait_for_update("agent_message_chunk");
        let loading = agent.request("session/load", &params(&home, &session));
        agent.notify("$/cancel_request", &json!({ "requestId": loading }));
        assert_eq!(agent.wait(&loading).code(), -32800);
        if close {
            let close = agent.request("session/close", &json!({ "sessionId": session }));
            assert_eq!(agent.wait(&prompt).stop_reason(), "cancelled");
            agent.wait(&close).result();
        } else {
            agent.cancel(&session);
            assert_eq!(agent.wait(&prompt).stop_reason(), "cancelled");
        }
    }
    assert_eq!(agent.ask(&session, "more").code(), -32002);
    load(&mut agent, &home, &session);
}

#[test]
fn c51_a_close_also_ends_what_a_load_that_is_cancelled_would_leave_open() {
    let home = Home::scripted("when any\n  say \"Begun.\"\n  gate never\n");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let prompt = agent.prompt(&session, "hold");
    agent.wait_for_update("agent_message_chunk");
    let loading = agent.request("session/load", &params(&home, &session));
    let close = agent.request("session/close", &json!({ "sessionId": session }));
    agent.notify("$/cancel_request", &json!({ "requestId": loading }));
    let mut open = vec![prompt, loading, close];
    while !open.is_empty() {
        let (_, answer) = agent.until(|message| open.contains(&message["id"]));
        open.retain(|id| *id != answer["id"]);
    }
    assert_eq!(agent.ask(&session, "more").code(), -32002);
    load(&mut Agent::ready(&home), &home, &session);
}

#[test]
fn a_session_that_another_process_has_open_is_not_taken() {
    let home = rich();
    let mut owner = Agent::ready(&home);
    let session = owner.new_session(&home);
    owner.ask(&session, "hello").result();
    let mut other = Agent::ready(&home);
    for method in ["session/load", "session/resume"] {
        let answer = other.call(method, &params(&home, &session));
        assert!(answer.message().contains("open"), "{}", answer.response);
        assert!(answer.message().contains(&owner.pid().to_string()), "{}", answer.response);
        assert_eq!(answer.before, Vec::<Value>::new());
    }
    assert_eq!(owner.ask(&session, "still here").text(), "You said still here.");
    // Closed is given back, at the latest with the answer.
    owner.call("session/close", &json!({ "sessionId": session })).result();
    load(&mut other, &home, &session);
    assert!(owner.call("session/load", &params(&home, &session)).message().contains("open"));
}

#[test]
fn c04_a_load_right_before_the_end_of_input_is_answered() {
    let home = rich();
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    agent.ask(&session, "work").result();
    drop(agent);
    let mut agent = Agent::ready(&home);
    let loading = agent.request("session/load", &params(&home, &session));
    let list = agent.request("session/list", &json!({}));
    agent.close_stdin();
    let mut answers = 0;
    while answers < 2 {
        let (_, answer) = agent.until(|message| message["id"] == loading || message["id"] == list);
        assert!(answer.get("result").is_some(), "{answer}");
        answers += 1;
    }
    assert_eq!(agent.exit(Duration::from_secs(5)).code(), Some(0));
}

#[test]
fn a_load_that_is_cancelled_at_any_moment_leaves_the_session_to_others() {
    let home = rich();
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    agent.ask(&session, "work").result();
    drop(agent);
    let mut agent = Agent::ready(&home);
    for _ in 0..20 {
        let loading = agent.request("session/load", &params(&home, &session));
        agent.notify("$/cancel_request", &json!({ "requestId": loading }));
        let answer = agent.wait(&loading).response;
        assert!(answer.get("result").is_some() || answer["error"]["code"] == -32800, "{answer}");
    }
    load(&mut agent, &home, &session);
    agent.call("session/close", &json!({ "sessionId": session })).result();
    load(&mut Agent::ready(&home), &home, &session);
}

#[test]
fn a_session_of_a_process_that_is_ending_is_waited_for() {
    let home = Home::scripted("when any\n  say \"Begun.\"\n  gate never\n");
    let mut owner = Agent::ready(&home);
    let session = owner.new_session(&home);
    owner.prompt(&session, "hold");
    owner.wait_for_update("agent_message_chunk");
    let mut other = Agent::ready(&home);
    owner.close_stdin();
    let shown = conversation(&load(&mut other, &home, &session).before);
    assert_eq!(texts(&shown, "agent_message_chunk"), ["Begun."]);
}

#[test]
fn a_model_that_is_gone_is_replaced_and_that_is_said() {
    let home = rich();
    let gone = home.write("gone.script", "when any\n  say \"Gone.\"\n");
    let mut command = home.command();
    command.env("TALARIA_MODEL", format!("scripted:{}", gone.display()));
    let mut agent = Agent::spawn(command);
    agent.initialize(&json!({}));
    let session = agent.new_session(&home);
    assert_eq!(agent.ask(&session, "hello").text(), "Gone.");
    agent.ask(&session, "/mode plan").result();
    drop(agent);
    std::fs::remove_file(&gone).unwrap();
    let mut agent = Agent::ready(&home);
    let answer = load(&mut agent, &home, &session);
    let notes = &answer.result()["_meta"]["talaria"]["notes"];
    assert!(notes[0].as_str().unwrap().contains("gone.script"), "{notes}");
    assert_eq!(answer.result()["modes"]["currentModeId"], "plan");
    let model = &answer.result()["configOptions"][1]["currentValue"];
    assert_eq!(*model, format!("scripted:{}", home.script().display()));
    assert!(agent.ask(&session, "go").text().ends_with("You said go."));
}

#[test]
fn a_client_that_leaves_in_a_replay_holds_nothing_up() {
    let home = Home::scripted("when any\n  repeat 400 \"a line of text\\n\"\n");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    for _ in 0..300 {
        agent.ask(&session, &"long ".repeat(400)).result();
    }
    drop(agent);
    let mut agent = Agent::ready(&home);
    agent.unchecked();
    agent.hold_stdout();
    agent.request("session/load", &params(&home, &session));
    process::wait_for_rest(agent.pid(), Duration::from_secs(20));
    assert!(agent.peak_kib() < 64 * 1024, "{} KiB", agent.peak_kib());
    agent.close_stdin();
    assert_eq!(agent.exit(Duration::from_secs(5)).code(), Some(0));
    let mut agent = Agent::ready(&home);
    let answer = load(&mut agent, &home, &session);
    assert_eq!(texts(&conversation(&answer.before), "user_message_chunk").len(), 300);
    assert!(agent.peak_kib() < 64 * 1024, "{} KiB", agent.peak_kib());
}

/// Asserts that what was told is shown again: all of it but for a reply that was not finished.
fn assert_told(told: &[Shown], shown: &[Shown], cut: usize) {
    // It follows each reply of the model when that is whole.
    let usage = Shown::Other("usage_update".to_owned());
    let whole = told.iter().rposition(|one| *one == usage).map_or(0, |last| last + 1);
    for (place, one) in told.iter().enumerate() {
        let same = shown.iter().find(|other| match (one, other) {
            (Shown::Message { id, .. }, Shown::Message { id: other, .. })
            | (Shown::Call { id, .. }, Shown::Call { id: other, .. }) => id == other,
            _ => false,
        });
        match (one, same) {
            (Shown::Message { content, .. }, Some(Shown::Message { content: again, .. })) => {
                let text = |content: &[Value]| content[0]["text"].as_str().unwrap().to_owned();
                let (text, again) = (text(content), text(again));
                assert!(place >= whole || again == text, "cut {cut}: {text:?} became {again:?}");
            }
            (
                Shown::Call { status, content, .. },
                Some(Shown::Call { status: again, content: later, .. }),
            ) => {
                assert!(matches!(again.as_str(), "completed" | "failed"), "cut {cut}: {same:?}");
                if matches!(status.as_str(), "completed" | "failed") {
                    assert_eq!((status, content), (again, later), "cut {cut}");
                }
            }
            (_, None) if place >= whole => {}
            (Shown::Message { .. } | Shown::Call { .. }, _) => {
                panic!("cut {cut}: {one:?} is lost: {shown:#?}")
            }
            (Shown::Plan(_) | Shown::Title(_) | Shown::Other(_), _) => {}
        }
    }
}

#[test]
fn c35_a_kill_at_any_moment_loses_nothing_that_was_told() {
    let home = rich();
    for cut in 0..24 {
        home.write("a.txt", "one\n");
        let mut agent = Agent::ready(&home);
        let session = agent.new_session(&home);
        agent.wait_for_update("available_commands_update");
        let prompt = agent.prompt(&session, "work");
        let mut live = Vec::new();
        while live.len() < cut {
            live.push(agent.next());
            if live.last().unwrap()["id"] == prompt {
                break;
            }
        }
        agent.unchecked();
        agent.signal("-KILL");
        // What was told is what was written into the pipe.
        while let Some(message) = agent.next_within(Duration::from_secs(5)) {
            live.push(message);
        }
        drop(agent);
        let mut agent = Agent::ready(&home);
        let answer = agent.call("session/load", &params(&home, &session));
        if live.is_empty() && answer.response.get("error").is_some() {
            // Not even the session was written.
            continue;
        }
        answer.result();
        let shown = said(&conversation(&answer.before));
        assert_told(&conversation(&live), &shown, cut);
        // It goes on, and the second time it looks the same.
        assert_eq!(agent.ask(&session, "hello").stop_reason(), "end_turn");
        let again = said(&conversation(&load(&mut agent, &home, &session).before));
        assert_eq!(again[..shown.len()], shown[..], "cut {cut}");
    }
}

#[test]
fn of_two_processes_that_want_a_session_one_gets_it() {
    let home = rich();
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    agent.ask(&session, "hello").result();
    drop(agent);
    let mut both = [Agent::ready(&home), Agent::ready(&home)];
    let loads: Vec<Value> = both
        .iter_mut()
        .map(|agent| agent.request("session/load", &params(&home, &session)))
        .collect();
    let answers: Vec<_> =
        both.iter_mut().zip(&loads).map(|(agent, id)| agent.wait(id).response).collect();
    let opened = answers.iter().filter(|answer| answer.get("result").is_some()).count();
    assert_eq!(opened, 1, "{answers:?}");
}
