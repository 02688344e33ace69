//! Prompts and their turns: content, order, stop reasons, message ids, slash commands, and providers
//! that fail. Checklist 45–47, 54–57.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::agent::{Agent, Answer};
use crate::support::client::{nothing_asked, shown};
use crate::support::home::Home;
use crate::support::provider::{Gate, Reply};
use crate::support::served::{Dialect, KEY, Served};

fn text(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

fn link() -> Value {
    json!({ "type": "resource_link", "name": "notes.md", "uri": "file:///project/notes.md" })
}

#[test]
fn c45_text_and_resource_links_reach_the_model() {
    for dialect in Dialect::BOTH {
        let served = Served::new(dialect);
        served.says("Read.");
        let mut agent = served.agent();
        let session = agent.new_session(&served.home);
        let id = agent.prompt_blocks(&session, &json!([link(), text("what is in it?")]));
        let answer = agent.wait(&id);
        assert_eq!(answer.stop_reason(), "end_turn");
        assert_eq!(answer.text(), "Read.");
        let body = served.body(0).to_string();
        assert!(
            body.contains("file:///project/notes.md") && body.contains("what is in it?"),
            "{body}"
        );
    }
}

#[test]
fn c46_pictures_and_embedded_text_reach_the_model() {
    let picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABXvMqOgAAAABJRU5ErkJggg==";
    for dialect in Dialect::BOTH {
        let served = Served::new(dialect);
        served.says("Seen.");
        let mut agent = served.agent();
        let session = agent.new_session(&served.home);
        let id = agent.prompt_blocks(
            &session,
            &json!([
                { "type": "image", "mimeType": "image/png", "data": picture },
                { "type": "resource", "resource": { "uri": "file:///a.rs", "text": "fn embedded() {}" } },
                text("compare them")
            ]),
        );
        assert_eq!(agent.wait(&id).stop_reason(), "end_turn");
        let body = served.body(0).to_string();
        assert!(body.contains(picture) && body.contains("fn embedded() {}"), "{body}");
        assert!(body.contains("file:///a.rs"), "{body}");
    }
}

#[test]
fn c46_what_is_not_taken_is_refused_and_not_dropped() {
    let home = Home::scripted("when any\n say \"ok\"");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let audio = json!({ "type": "audio", "mimeType": "audio/wav", "data": "AAAA" });
    let blob = json!({ "type": "resource", "resource": {
        "uri": "file:///a.bin", "mimeType": "application/octet-stream", "blob": "AAAA" } });
    for blocks in [json!([text("listen"), audio]), json!([text("look"), blob]), json!([])] {
        let id = agent.prompt_blocks(&session, &blocks);
        let answer = agent.wait(&id);
        assert_eq!(answer.code(), -32602, "{blocks}");
        assert!(!answer.message().contains("AAAA") && answer.text().is_empty());
    }
    assert_eq!(agent.ask(&session, "go on").text(), "ok");
}

#[test]
fn c47_updates_come_before_the_response() {
    let home = Home::scripted(
        r#"
        chunk 1
        when any
          repeat 5000 "word "
          call read {"path": "a.txt"}
          usage input=10 output=5
        then
          say "That was all."
          usage input=20 output=5
        "#,
    );
    home.write("a.txt", "content\n");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let answer = agent.turn(&session, "talk", nothing_asked);
    assert_eq!(answer.text(), format!("{}That was all.", "word ".repeat(5000)));
    assert_eq!(answer.only_card()["status"], "completed");
    assert_eq!(answer.updates("usage_update").len(), 2);
    assert_eq!(answer.updates("session_info_update").len(), 1);
    // Nothing trails behind it.
    assert!(agent.settle(&session).is_empty());
}

fn stop_reason(script: &str, config: &str) -> Answer {
    let home = Home::scripted(script);
    home.write_config(config);
    home.write("a.txt", "content\n");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let answer = agent.turn(&session, "go", nothing_asked);
    // Whatever the reason, the session goes on.
    assert_eq!(agent.ask(&session, "again").text(), "fine");
    answer
}

#[test]
fn c54_an_answer_that_is_whole_ends_the_turn() {
    let answer = stop_reason("when prompt \"go\"\n say \"done\"\nwhen any\n say \"fine\"", "");
    assert_eq!((answer.stop_reason(), answer.text().as_str()), ("end_turn", "done"));
}

#[test]
fn c54_the_token_limit_of_a_reply_is_told() {
    let script = "when prompt \"go\"\n say \"half of\"\n stop max_tokens\nwhen any\n say \"fine\"";
    let answer = stop_reason(script, "");
    assert_eq!((answer.stop_reason(), answer.text().as_str()), ("max_tokens", "half of"));
}

#[test]
fn c54_a_refusal_is_told_however_the_provider_says_it() {
    for script in ["say \"No.\"\n stop refused", "fail refused \"against the rules\""] {
        let answer =
            stop_reason(&format!("when prompt \"go\"\n {script}\nwhen any\n say \"fine\""), "");
        assert_eq!(answer.stop_reason(), "refusal");
    }
}

const READS: &str = r#"
    when prompt "go"
      call read {"path": "a.txt"}
      usage input=600 output=10
    then
      call read {"path": "a.txt"}
      usage input=600 output=10
    then
      say "never said"
    when steer "again"
      say "fine"
    when any
      say "fine"
"#;

#[test]
fn c54_the_limit_of_requests_is_told_and_explained() {
    let answer = stop_reason(READS, "turn:\n  max_iterations: 2\n");
    assert_eq!(answer.stop_reason(), "max_turn_requests");
    assert!(answer.text().contains("`turn.max_iterations`"), "{}", answer.text());
    assert_eq!(answer.calls().len(), 2);
}

#[test]
fn c54_the_token_limit_of_a_turn_is_told_and_explained() {
    let answer = stop_reason(READS, "turn:\n  max_tokens: 1000\n");
    assert_eq!(answer.stop_reason(), "max_tokens");
    assert!(answer.text().contains("`turn.max_tokens`"), "{}", answer.text());
    assert_eq!(answer.calls().len(), 2);
}

fn ids(answer: &Answer, kind: &str) -> Vec<String> {
    let mut ids: Vec<String> = answer
        .updates(kind)
        .iter()
        .map(|update| update["messageId"].as_str().expect("an id on each chunk").to_owned())
        .collect();
    ids.dedup();
    ids
}

#[test]
fn c55_each_message_has_one_id_of_its_own() {
    let home = Home::scripted(
        r#"
        chunk 2
        when any
          think "first I think"
          say "then I speak"
          call read {"path": "a.txt"}
        then
          think "again"
          say "and at last"
        "#,
    );
    home.write("a.txt", "content\n");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let mut seen = BTreeSet::new();
    for _ in 0..2 {
        let answer = agent.turn(&session, "go", nothing_asked);
        let said = ids(&answer, "agent_message_chunk");
        let thought = ids(&answer, "agent_thought_chunk");
        assert_eq!((said.len(), thought.len()), (2, 2), "{said:?} {thought:?}");
        for id in said.into_iter().chain(thought) {
            assert!(seen.insert(id), "an id was used for two messages");
        }
        assert!(answer.updates("user_message_chunk").is_empty(), "the client knows what it sent");
    }
}

#[test]
fn c56_every_advertised_command_works_as_plain_text() {
    let home = Home::scripted("when any\n say \"the model\"\n usage input=7 output=3");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let (_, update) = agent.wait_for_update("available_commands_update");
    let commands = update["params"]["update"]["availableCommands"].as_array().unwrap().clone();
    let names: Vec<&str> =
        commands.iter().map(|command| command["name"].as_str().unwrap()).collect();
    let of_tasks = [
        "task", "tasks", "check", "steer", "collect", "cancel", "stop", "allow", "deny", "resume",
        "diff", "merge", "discard", "detach",
    ];
    assert_eq!(names, [&["help", "model", "mode", "usage", "version"][..], &of_tasks].concat());
    agent.ask(&session, "hello");
    for name in names {
        let answer = agent.ask(&session, &format!("/{name}"));
        assert_eq!(answer.stop_reason(), "end_turn");
        assert!(
            !answer.text().is_empty() && answer.text() != "the model",
            "/{name}: {}",
            answer.text()
        );
    }
    let help = agent.ask(&session, "/help").text();
    assert!(
        commands.iter().all(|command| help.contains(command["description"].as_str().unwrap())),
        "{help}"
    );
    assert!(agent.ask(&session, "/usage").text().contains("7 in"));
    // What only looks like one goes to the model.
    for text in ["/usr/bin/env is what?", "/nonsense", "what does /help do?"] {
        assert_eq!(agent.ask(&session, text).text(), "the model");
    }
}

#[test]
fn c56_a_command_is_found_behind_context_and_never_reaches_the_model() {
    for dialect in Dialect::BOTH {
        let served = Served::new(dialect);
        served.says("Hello.");
        served.says("Still here.");
        let mut agent = served.agent();
        let session = agent.new_session(&served.home);
        assert_eq!(agent.ask(&session, "first prompt").text(), "Hello.");
        let id = agent.prompt_blocks(
            &session,
            &json!([text("The user looks at notes.md."), link(), text("/version")]),
        );
        let version = agent.wait(&id).text();
        assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
        assert_eq!(agent.ask(&session, "second prompt").text(), "Still here.");
        let body = served.body(1).to_string();
        assert!(body.contains("first prompt") && !body.contains("/version"), "{body}");
        assert!(!body.contains(&version), "{body}");
        served.provider.finish();
    }
}

#[test]
fn c56_a_command_runs_while_a_turn_runs() {
    let home = Home::scripted("when any\n say \"one \"\n gate go\n say \"two\"");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let first = agent.prompt(&session, "talk");
    let before = agent.wait_for_text("one");
    let command = agent.ask(&session, "/mode plan");
    assert_eq!(command.stop_reason(), "end_turn");
    assert!(command.text().contains("plan"), "{}", command.text());
    assert_eq!(command.updates("current_mode_update").len(), 1);
    home.open_gate("go");
    let answer = agent.wait(&first).after(before);
    assert_eq!((answer.stop_reason(), answer.text().as_str()), ("end_turn", "one two"));
}

/// A failure is one readable error that shows no secret, and the next prompt works.
fn check_failure(answer: &Answer, code: i64, words: &str) {
    assert_eq!(answer.code(), code, "{}", answer.response);
    let message = answer.message();
    assert!(message.contains(words), "{words:?} is not in {message:?}");
    assert!(message.ends_with('.') && !message.contains('{'), "{message:?} is no sentence");
    assert!(!answer.response.to_string().contains(KEY));
}

#[test]
fn c57_scripted_failures_are_readable_and_the_session_goes_on() {
    let failures = [
        ("fail auth", -32000, "refused the credentials"),
        ("fail payment", -32603, "no credit left"),
        ("fail model", -32603, "does not know the model"),
        ("fail rate after=90s", -32603, "limits the rate"),
        ("fail context", -32603, "longer than the model can read"),
        ("fail malformed", -32603, "could not be read"),
        ("fail 400 \"bad field\"", -32603, "bad field"),
        ("fail drop", -32603, "broke off"),
        ("say \"half a\"\n fail drop", -32603, "broke off"),
        ("say \"half a\"\n fail 500", -32603, "status 500"),
        ("call read {\"path\": \"a.txt\"}\n fail drop", -32603, "broke off"),
    ];
    for (steps, code, words) in failures {
        let home =
            Home::scripted(&format!("when prompt \"go\"\n {steps}\nwhen any\n say \"fine\""));
        let mut agent = Agent::ready(&home);
        let session = agent.new_session(&home);
        let answer = agent.turn(&session, "go", nothing_asked);
        check_failure(&answer, code, words);
        assert_eq!(agent.ask(&session, "again").text(), "fine", "after {steps}");
    }
}

#[test]
fn c57_a_provider_that_fails_before_its_reply() {
    let failures = [
        (
            401,
            r#"{"error": {"message": "bad key", "type": "authentication_error"}}"#,
            -32000,
            "credentials",
        ),
        (
            404,
            r#"{"error": {"message": "no such model", "type": "not_found_error"}}"#,
            -32603,
            "`some-model`",
        ),
        (
            400,
            r#"{"error": {"message": "odd field", "type": "invalid_request_error"}}"#,
            -32603,
            "odd field",
        ),
        (429, r#"{"error": {"message": "slow down"}}"#, -32603, "limits the rate"),
        (500, "<html>broken</html>", -32603, "status 500"),
    ];
    for dialect in Dialect::BOTH {
        for (status, body, code, words) in failures {
            let served = Served::new(dialect);
            let reply = Reply::status(status).header("retry-after", "90").body(body);
            served.provider.rule(|request| request.last_user() == "go", reply);
            served.provider.rule(|_| true, served.reply().text("fine"));
            let mut agent = served.agent();
            let session = agent.new_session(&served.home);
            let answer = agent.turn(&session, "go", nothing_asked);
            check_failure(&answer, code, words);
            assert_eq!(
                agent.ask(&session, "again").text(),
                "fine",
                "after {status} of {dialect:?}"
            );
        }
    }
}

#[test]
fn c57_a_provider_that_fails_in_the_middle_of_its_reply() {
    for dialect in Dialect::BOTH {
        let served = Served::new(dialect);
        let gate = Gate::new();
        served.provider.queue(served.reply().text("Half a ").gate(&gate).text("word").cut());
        served.says("Whole.");
        let mut agent = served.agent();
        let session = agent.new_session(&served.home);
        let id = agent.prompt(&session, "go");
        let before = agent.wait_for_text("Half a ");
        served.wait(gate.reached());
        gate.open();
        let answer = agent.wait(&id).after(before);
        check_failure(&answer, -32603, "broke off");
        assert!(answer.text().starts_with("Half a "));
        // What arrived stays in the conversation.
        assert_eq!(agent.ask(&session, "again").text(), "Whole.");
        assert!(served.body(1).to_string().contains("Half a "));
        served.provider.finish();
    }
}

#[test]
fn c57_a_call_that_breaks_off_is_closed_and_not_run() {
    for dialect in Dialect::BOTH {
        let served = Served::new(dialect);
        let reply =
            served.reply().call("x", "write", json!({ "path": "new.txt", "content": "no" }));
        served.provider.queue(reply.cut());
        served.says("Sorry.");
        let mut agent = served.agent();
        let session = agent.new_session(&served.home);
        let answer = agent.turn(&session, "go", nothing_asked);
        check_failure(&answer, -32603, "broke off");
        let card = answer.only_card();
        assert_eq!(card["status"], "failed");
        assert!(shown(&card).contains("broke off"), "{card}");
        assert_eq!(agent.ask(&session, "again").text(), "Sorry.");
        assert!(!served.home.work().join("new.txt").exists());
        served.provider.finish();
    }
}

#[test]
fn c57_a_provider_that_cannot_be_reached() {
    let home = Home::empty();
    let mut command = home.command();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    command
        .env("TALARIA_PROVIDER", "openai")
        .env("TALARIA_MODEL", "some-model")
        .env("TALARIA_BASE_URL", format!("http://{free}/v1/"));
    let mut agent = Agent::spawn(command);
    agent.initialize(&json!({}));
    let session = agent.new_session(&home);
    for _ in 0..2 {
        let answer = agent.turn(&session, "go", nothing_asked);
        check_failure(&answer, -32603, "cannot be reached");
    }
}

/// A PNG of one pixel's header is enough for `read` to know a picture.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";

#[test]
fn c57_a_picture_that_the_provider_refuses_does_not_end_the_session() {
    for dialect in Dialect::BOTH {
        let served = Served::new(dialect);
        std::fs::write(served.home.work().join("p.png"), PNG).unwrap();
        served.provider.rule(
            |request| request.body.to_string().contains("iVBORw"),
            Reply::status(400).body(r#"{"error": {"message": "no pictures here"}}"#),
        );
        served.provider.rule(
            |request| request.last_user() == "look",
            served.reply().call("x", "read", json!({ "path": "p.png" })),
        );
        served.provider.rule(|_| true, served.reply().text("fine"));
        let mut agent = served.agent();
        let session = agent.new_session(&served.home);
        check_failure(&agent.turn(&session, "look", nothing_asked), -32603, "no pictures here");
        assert_eq!(agent.ask(&session, "hello").text(), "fine", "{dialect:?}");
        // The call and its prompt stay, with a note in place of the picture.
        let last = served.provider.requests().pop().unwrap().body.to_string();
        assert!(last.contains("look") && last.contains("A picture was here"), "{last}");
        served.provider.finish();
    }
}

#[test]
fn c54_what_was_refused_is_no_part_of_later_requests() {
    for dialect in Dialect::BOTH {
        let served = Served::new(dialect);
        let refused = match dialect {
            Dialect::Openai => served.reply().text("No").finish("content_filter"),
            Dialect::Anthropic => served.reply().text("No").finish("refusal"),
        };
        served.provider.queue(refused);
        served.provider.queue(served.reply().text("fine"));
        let mut agent = served.agent();
        let session = agent.new_session(&served.home);
        assert_eq!(agent.ask(&session, "forbidden").stop_reason(), "refusal");
        assert_eq!(agent.ask(&session, "hello").text(), "fine");
        let last = served.provider.requests().pop().unwrap().body.to_string();
        assert!(last.contains("hello") && !last.contains("forbidden"), "{last}");
        served.provider.finish();
    }
}
