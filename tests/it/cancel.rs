//! Cancelling, whatever runs. Checklist 48–52.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::client::{Says, nothing_asked, selected, shown};
use crate::support::home::Home;
use crate::support::process;
use crate::support::provider::Gate;
use crate::support::served::{Dialect, Served};

/// How long what was cancelled may take to end.
const BOUND: Duration = Duration::from_secs(2);

/// A script that answers every prompt but those of the test with "fine".
fn scripted(script: &str) -> Home {
    Home::scripted(&format!("{script}\nwhen any\n say \"fine\""))
}

fn goes_on(agent: &mut Agent, session: &str) {
    let answer = agent.turn(session, "go on", nothing_asked);
    assert_eq!((answer.stop_reason(), answer.text().as_str()), ("end_turn", "fine"));
}

#[test]
fn c48_cancel_in_a_stream() {
    let home =
        scripted("when prompt \"talk\"\n think \"hm\"\n say \"Hel\"\n gate never\n say \"lo\"");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let id = agent.prompt(&session, "talk");
    let before = agent.wait_for_text("Hel");
    let began = Instant::now();
    agent.cancel(&session);
    let answer = agent.wait(&id).after(before);
    assert!(began.elapsed() < BOUND);
    assert_eq!((answer.stop_reason(), answer.text().as_str()), ("cancelled", "Hel"));
    goes_on(&mut agent, &session);
}

#[test]
fn c48_cancel_in_a_call_that_is_being_written() {
    let home = scripted(
        "when prompt \"write\"\n call write {\"path\": \"x\", \"content\": \"y\"}\n gate never",
    );
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let id = agent.prompt(&session, "write");
    let (mut before, begun) = agent.wait_for_update("tool_call");
    before.push(begun);
    agent.cancel(&session);
    let answer = agent.wait(&id).after(before);
    assert_eq!(answer.stop_reason(), "cancelled");
    assert_eq!(answer.only_card()["status"], "failed");
    goes_on(&mut agent, &session);
    assert!(!home.work().join("x").exists());
}

#[test]
fn c49_cancel_hangs_up_on_the_provider() {
    for dialect in Dialect::BOTH {
        let served = Served::new(dialect);
        let (gate, silent) = (Gate::new(), Gate::new());
        served.provider.queue(served.reply().text("Hel").gate(&gate).text("lo"));
        served.provider.queue(served.reply().gate(&silent).text("late"));
        served.says("fine");
        let mut agent = served.agent();
        let session = agent.new_session(&served.home);
        let id = agent.prompt(&session, "talk");
        agent.wait_for_text("Hel");
        agent.cancel(&session);
        assert_eq!(agent.wait(&id).stop_reason(), "cancelled");
        served.wait(served.provider.closed(0));
        // Also while the provider has said nothing yet.
        let id = agent.prompt(&session, "talk again");
        served.wait(silent.reached());
        agent.cancel(&session);
        assert_eq!(agent.wait(&id).stop_reason(), "cancelled");
        served.wait(served.provider.closed(1));
        goes_on(&mut agent, &session);
        served.provider.finish();
    }
}

fn cancel_in_a_terminal(prefix: &str) {
    let command = format!("{prefix} sleep 300 & echo pids $$ $! end; wait; sleep 300");
    let call = json!({ "command": command });
    let home =
        scripted(&format!("when prompt \"run\"\n call terminal {call}\nthen\n say \"never\""));
    home.write_config("permissions:\n  mode: bypass\n");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let id = agent.prompt(&session, "run");
    let (mut before, update) = agent.until(|message| {
        let text = message["params"]["update"]["content"].to_string();
        text.contains("pids") && !text.contains("$$")
    });
    let text = shown(&update["params"]["update"]);
    before.push(update);
    // The shell leads its process group.
    let group: u32 =
        text.split_whitespace().skip_while(|word| *word != "pids").nth(1).unwrap().parse().unwrap();
    assert!(process::living(group) >= 2, "{text}");
    let began = Instant::now();
    agent.cancel(&session);
    let answer = agent.wait(&id).after(before);
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    // They are killed when the answer comes; the system may still be clearing up behind them.
    process::wait_for_end(group, Duration::from_millis(500));
    assert_eq!(answer.stop_reason(), "cancelled");
    assert_eq!(answer.only_card()["status"], "failed");
    goes_on(&mut agent, &session);
}

#[test]
fn c49_cancel_in_a_terminal_ends_its_process_group() {
    cancel_in_a_terminal("");
}

#[test]
fn c49_cancel_in_a_terminal_that_does_not_listen() {
    cancel_in_a_terminal("trap '' TERM INT HUP;");
}

#[test]
fn c49_cancel_in_a_permission_request() {
    let home = scripted(
        "when prompt \"write\"\n call write {\"path\": \"x\", \"content\": \"y\"}\nthen\n say \"never\"",
    );
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let id = agent.prompt(&session, "write");
    let (mut before, request) = agent.asked();
    agent.cancel(&session);
    let (more, withdrawn) =
        agent.until(|message| message["method"] == "$/cancel_request" || message["id"] == id);
    assert_eq!(withdrawn["params"]["requestId"], request["id"], "{withdrawn}");
    before.extend(more);
    // A late yes permits nothing.
    agent.say(&request, selected("allow_once"));
    let answer = agent.wait(&id).after(before);
    assert_eq!(answer.stop_reason(), "cancelled");
    assert_eq!(answer.only_card()["status"], "failed");
    goes_on(&mut agent, &session);
    assert!(!home.work().join("x").exists());
}

#[test]
fn c49_a_client_that_answers_its_dialogs_when_it_cancels() {
    let home = scripted(
        "when prompt \"write\"\n call write {\"path\": \"x\", \"content\": \"y\"}\nthen\n say \"never\"",
    );
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let id = agent.prompt(&session, "write");
    let (before, request) = agent.asked();
    agent.cancel(&session);
    agent.respond(&request, &json!({ "outcome": { "outcome": "cancelled" } }));
    let answer = agent.wait(&id).after(before);
    assert_eq!((answer.stop_reason(), answer.text().as_str()), ("cancelled", ""));
    goes_on(&mut agent, &session);
    assert!(!home.work().join("x").exists());
}

#[test]
fn c52_cancel_while_the_editor_is_slow_with_a_file() {
    let home =
        scripted("when prompt \"read\"\n call read {\"path\": \"a.txt\"}\nthen\n say \"never\"");
    home.write("a.txt", "content\n");
    let mut agent =
        Agent::ready_with(&home, &json!({ "fs": { "readTextFile": true, "writeTextFile": true } }));
    let session = agent.new_session(&home);
    let id = agent.prompt(&session, "read");
    let (before, request) = agent.wait_for("fs/read_text_file");
    let began = Instant::now();
    agent.cancel(&session);
    let answer = agent.wait(&id).after(before);
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    assert_eq!(answer.stop_reason(), "cancelled");
    agent.respond(&request, &json!({ "content": "late" }));
    goes_on(&mut agent, &session);
}

#[test]
fn c52_cancel_while_the_editor_is_slow_with_a_change() {
    let home = scripted(
        "when prompt \"write\"\n call write {\"path\": \"x\", \"content\": \"y\"}\nthen\n say \"never\"",
    );
    home.write_config("permissions:\n  mode: bypass\n");
    let mut agent =
        Agent::ready_with(&home, &json!({ "fs": { "readTextFile": true, "writeTextFile": true } }));
    let session = agent.new_session(&home);
    let id = agent.prompt(&session, "write");
    let mut before = Vec::new();
    loop {
        let message = agent.next();
        before.push(message.clone());
        match message["method"].as_str() {
            Some("fs/read_text_file") => agent.say(&message, Says::Error(-32002)),
            Some("fs/write_text_file") => break,
            _ => {}
        }
    }
    let began = Instant::now();
    agent.cancel(&session);
    let answer = agent.wait(&id).after(before);
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    assert_eq!(answer.stop_reason(), "cancelled");
    assert_eq!(answer.only_card()["status"], "failed");
    goes_on(&mut agent, &session);
}

#[test]
fn c52_cancel_while_the_model_has_said_nothing() {
    let home = scripted("when prompt \"think\"\n gate never\n say \"never\"");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let id = agent.prompt(&session, "think");
    agent.settle(&session);
    agent.cancel(&session);
    assert_eq!(agent.wait(&id).stop_reason(), "cancelled");
    goes_on(&mut agent, &session);
}

#[test]
fn c50_cancel_of_nothing_has_no_effect_and_no_reply() {
    let home = scripted("when prompt \"talk\"\n say \"Hel\"\n gate never");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    agent.wait_for_update("available_commands_update");
    agent.cancel("no such session");
    agent.cancel(&session);
    agent.cancel(&session);
    agent.notify(
        "session/cancel",
        &json!({ "sessionId": session, "reason": "more", "_meta": { "a": 1 } }),
    );
    agent.notify("session/cancel", &json!({ "session": 5 }));
    assert!(agent.settle(&session).is_empty());
    // A cancel of the past ends no prompt of the future.
    goes_on(&mut agent, &session);
    let id = agent.prompt(&session, "talk");
    agent.wait_for_text("Hel");
    agent.cancel("no such session");
    agent.cancel(&session);
    agent.cancel(&session);
    let answer = agent.wait(&id);
    assert_eq!(answer.stop_reason(), "cancelled");
    agent.cancel(&session);
    goes_on(&mut agent, &session);
}

#[test]
fn c51_cancel_of_the_request_gives_one_response() {
    let home = scripted("when prompt \"talk\"\n say \"Hel\"\n gate never");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let id = agent.prompt(&session, "talk");
    agent.wait_for_text("Hel");
    agent.notify("$/cancel_request", &json!({ "requestId": "no such request" }));
    agent.notify("$/cancel_request", &json!({ "requestId": id }));
    let answer = agent.wait(&id);
    let code = answer.response["error"]["code"].as_i64();
    assert!(
        answer.response["result"]["stopReason"] == "cancelled" || code == Some(-32800),
        "{}",
        answer.response
    );
    // Answered by now; the harness fails on a second answer.
    agent.notify("$/cancel_request", &json!({ "requestId": id }));
    goes_on(&mut agent, &session);
}

/// The line of a message.
fn line(message: &Value) -> String {
    format!("{message}\n")
}

fn prompt_line(session: &str, id: &str, text: &str) -> String {
    line(&json!({ "jsonrpc": "2.0", "id": id, "method": "session/prompt",
        "params": { "sessionId": session, "prompt": [{ "type": "text", "text": text }] } }))
}

fn cancel_line(session: &str) -> String {
    line(
        &json!({ "jsonrpc": "2.0", "method": "session/cancel", "params": { "sessionId": session } }),
    )
}

#[test]
fn c48_cancel_right_behind_the_prompt_and_a_prompt_right_behind_the_cancel() {
    let home = scripted("when prompt \"talk\"\n gate never\n say \"Hel\"");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    for round in 0..20 {
        let (first, second) = (format!("a{round}"), format!("b{round}"));
        let lines = [
            prompt_line(&session, &first, "talk"),
            cancel_line(&session),
            prompt_line(&session, &second, "go on"),
        ];
        agent.send_bytes(lines.concat().as_bytes());
        let answer = agent.wait(&json!(first));
        assert_eq!((answer.stop_reason(), answer.text().as_str()), ("cancelled", ""));
        let answer = agent.wait(&json!(second));
        assert_eq!((answer.stop_reason(), answer.text().as_str()), ("end_turn", "fine"));
    }
}

#[test]
fn c48_a_prompt_at_once_after_a_cancel_in_a_stream() {
    let home = scripted("when prompt \"talk\"\n say \"Hel\"\n gate never");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let first = agent.prompt(&session, "talk");
    agent.wait_for_text("Hel");
    agent.send_bytes(
        [cancel_line(&session), prompt_line(&session, "second", "go on")].concat().as_bytes(),
    );
    assert_eq!(agent.wait(&first).stop_reason(), "cancelled");
    let answer = agent.wait(&json!("second"));
    assert_eq!((answer.stop_reason(), answer.text().as_str()), ("end_turn", "fine"));
}

#[test]
fn c49_cancel_touches_only_its_session() {
    let home = scripted("when prompt \"talk\"\n say \"Hel\"\n gate go\n say \"lo\"");
    let mut agent = Agent::ready(&home);
    let (one, two) = (agent.new_session(&home), agent.new_session(&home));
    let first = agent.prompt(&one, "talk");
    agent.wait_for_text("Hel");
    let second = agent.prompt(&two, "talk");
    agent.wait_for_text("Hel");
    agent.cancel(&one);
    assert_eq!(agent.wait(&first).stop_reason(), "cancelled");
    home.open_gate("go");
    let answer = agent.wait(&second);
    assert_eq!((answer.stop_reason(), answer.text().as_str()), ("end_turn", "lo"));
}
