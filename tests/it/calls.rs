//! The life of a tool call as a client sees it. Checklist 58–62.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::agent::{Agent, Answer};
use crate::support::client::{Says, allow, nothing_asked, shown};
use crate::support::home::Home;
use crate::support::served::{Dialect, Served};

const BYPASS: &str = "permissions:\n  mode: bypass\n";

/// One turn in mode `bypass`, in a work folder that `set` fills; its answer.
fn played(script: &str, set: impl FnOnce(&Home)) -> (Home, Answer) {
    let home = Home::scripted(script);
    home.write_config(BYPASS);
    set(&home);
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let answer = agent.turn(&session, "go", nothing_asked);
    (home, answer)
}

#[test]
fn c58_ids_are_unique_in_a_session_and_calls_come_before_their_updates() {
    let home = Home::scripted(
        r#"
        when any
          call read {"path": "a.txt"}
          call list {}
        then
          call read {"path": "a.txt"}
        then
          say "done"
        "#,
    );
    home.write("a.txt", "content\n");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let mut ids = BTreeSet::new();
    for _ in 0..3 {
        let answer = agent.turn(&session, "go", nothing_asked);
        assert_eq!(answer.calls().len(), 3);
        for id in answer.calls() {
            assert!(ids.insert(id.to_owned()), "the id `{id}` twice");
            assert_eq!(answer.status(id), "completed");
        }
    }
}

#[test]
fn c58_ids_of_the_provider_may_repeat() {
    for dialect in Dialect::BOTH {
        let served = Served::new(dialect);
        served.home.write("a.txt", "content\n");
        for _ in 0..2 {
            served.provider.queue(served.reply().call("same", "read", json!({ "path": "a.txt" })));
        }
        served.says("done");
        let mut agent = served.agent();
        let session = agent.new_session(&served.home);
        let answer = agent.turn(&session, "go", nothing_asked);
        assert_eq!(answer.stop_reason(), "end_turn");
        assert_eq!(answer.calls().iter().collect::<BTreeSet<_>>().len(), 2);
        // The provider itself checks that each call has one outcome.
        served.provider.finish();
    }
}

#[test]
fn c59_calls_are_final_when_the_turn_is_cancelled() {
    let home = Home::scripted(
        r#"
        when any
          call read {"path": "a.txt"}
          call write {"path": "b.txt", "content": "b"}
          call terminal {"command": "true"}
        "#,
    );
    home.write("a.txt", "content\n");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let id = agent.prompt(&session, "go");
    let (before, _) = agent.asked();
    agent.cancel(&session);
    let answer = agent.wait(&id).after(before);
    let statuses: Vec<&str> = answer.calls().iter().map(|id| answer.status(id)).collect();
    assert_eq!(statuses, ["completed", "failed", "failed"]);
}

#[test]
fn c59_calls_are_final_when_the_reply_breaks_off() {
    let script = "when any\n call read {\"path\": \"a.txt\"}\n call list {}\n fail drop";
    let (_home, answer) = played(script, |home| drop(home.write("a.txt", "content\n")));
    assert_eq!(answer.code(), -32603);
    let statuses: Vec<&str> = answer.calls().iter().map(|id| answer.status(id)).collect();
    assert_eq!(statuses, ["failed", "failed"]);
}

#[test]
fn c59_calls_are_final_when_the_session_is_closed() {
    let home = Home::scripted(
        "when any\n call write {\"path\": \"b.txt\", \"content\": \"b\"}\n call list {}",
    );
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let id = agent.prompt(&session, "go");
    let (mut before, _) = agent.asked();
    let closed = agent.request("session/close", &json!({ "sessionId": session }));
    let mut answer = agent.wait(&id);
    assert_eq!(answer.stop_reason(), "cancelled");
    before.append(&mut answer.before);
    let answer = agent.wait(&closed).after(before);
    answer.result();
    assert_eq!(answer.calls().len(), 2);
    assert!(!home.work().join("b.txt").exists());
}

#[test]
fn c60_titles_kinds_names_and_locations() {
    let script = r#"
        when any
          call read {"path": "src/a.rs", "offset": 2, "limit": 1}
          call list {"path": "src"}
          call glob {"pattern": "**/*.rs"}
          call grep {"pattern": "two"}
          call edit {"path": "src/a.rs", "edits": [{"old_text": "three", "new_text": "3"}]}
          call write {"path": "new.txt", "content": "new\n"}
          call terminal {"command": "echo hello"}
          call plan {"entries": [{"content": "Look", "status": "completed"}]}
        then
          say "done"
        "#;
    let (home, answer) = played(script, |home| drop(home.write("src/a.rs", "one\ntwo\nthree\n")));
    let expected = [
        ("read", "read"),
        ("list", "search"),
        ("glob", "search"),
        ("grep", "search"),
        ("edit", "edit"),
        ("write", "edit"),
        ("terminal", "execute"),
        ("plan", "think"),
    ];
    let cards: Vec<Value> = answer.calls().iter().map(|id| answer.card(id)).collect();
    assert_eq!(cards.len(), expected.len());
    for (card, (name, kind)) in cards.iter().zip(expected) {
        assert_eq!((&card["name"], &card["kind"]), (&json!(name), &json!(kind)), "{card}");
        assert_eq!(card["status"], "completed", "{card}");
        let title = card["title"].as_str().unwrap();
        assert!(title != name && !title.is_empty() && !title.contains('\n'), "{title}");
        assert!(card["rawInput"].is_object() && !card["rawOutput"].is_null(), "{card}");
        for location in card["locations"].as_array().into_iter().flatten() {
            let path = location["path"].as_str().unwrap();
            assert!(path.starts_with('/'), "{location}");
            assert!(
                location["line"].is_null() || location["line"].as_u64() > Some(0),
                "{location}"
            );
        }
    }
    let path = home.work().join("src/a.rs");
    assert_eq!(cards[0]["locations"], json!([{ "path": path, "line": 2 }]));
    assert_eq!(cards[0]["title"], "Read src/a.rs (2–2)");
    assert_eq!(cards[4]["locations"], json!([{ "path": path, "line": 3 }]));
    assert_eq!(cards[4]["title"], "Edit src/a.rs");
    assert_eq!(cards[6]["title"], "`echo hello`");
    assert_eq!(cards[6]["rawOutput"]["exitCode"], 0);
}

#[test]
fn c61_edits_are_diffs_with_absolute_paths() {
    let script = r#"
        when any
          call edit {"path": "a.txt", "edits": [{"old_text": "two", "new_text": "2"}]}
          call write {"path": "deep/new.txt", "content": "new\n"}
        then
          say "done"
        "#;
    let (home, answer) = played(script, |home| drop(home.write("a.txt", "one\ntwo\nthree\n")));
    let cards: Vec<Value> = answer.calls().iter().map(|id| answer.card(id)).collect();
    let diff = &cards[0]["content"][0];
    assert_eq!((&diff["type"], &diff["path"]), (&json!("diff"), &json!(home.work().join("a.txt"))));
    assert!(diff["oldText"].as_str().unwrap().contains("two"), "{diff}");
    assert!(diff["newText"].as_str().unwrap().contains('2'), "{diff}");
    let diff = &cards[1]["content"][0];
    let expected =
        json!({ "type": "diff", "path": home.work().join("deep/new.txt"), "newText": "new\n" });
    let mut found = diff.clone();
    if found["oldText"].is_null() {
        found.as_object_mut().unwrap().remove("oldText");
    }
    assert_eq!(found, expected);
    assert_eq!(
        (home.read("a.txt").as_str(), home.read("deep/new.txt").as_str()),
        ("one\n2\nthree\n", "new\n")
    );
}

#[test]
fn c61_the_diff_is_shown_before_it_is_permitted() {
    let home = Home::scripted(
        "when any\n call write {\"path\": \"a.txt\", \"content\": \"new\\n\"}\nthen\n say \"done\"",
    );
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let answer = agent.turn(&session, "go", allow);
    let request = answer.requests("session/request_permission")[0];
    let call = &request["params"]["toolCall"];
    assert_eq!(call["toolCallId"], answer.calls()[0]);
    assert_eq!((&call["kind"], &call["title"]), (&json!("edit"), &json!("Write a.txt")));
    assert_eq!(
        (&call["content"][0]["type"], &call["content"][0]["newText"]),
        (&json!("diff"), &json!("new\n"))
    );
    assert_eq!(call["locations"][0]["path"], json!(home.work().join("a.txt")));
}

#[test]
fn c62_content_is_sent_whole_each_time() {
    let script = r#"
        when any
          call terminal {"command": "echo one; until [ -e go ]; do sleep 0.01; done; echo two"}
        then
          say "done"
        "#;
    let home = Home::scripted(script);
    home.write_config(BYPASS);
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let id = agent.prompt(&session, "go");
    let (mut before, running) =
        agent.until(|message| shown(&message["params"]["update"]).contains("one\n"));
    assert_eq!(running["params"]["update"]["sessionUpdate"], "tool_call_update");
    before.push(running);
    home.write("go", "");
    let answer = agent.wait(&id).after(before);
    let card = answer.only_card();
    let text = shown(&card);
    assert!(text.contains("one") && text.contains("two"), "{text}");
    assert_eq!(text.matches("one").count(), 1, "{text}");
}

fn editor(home: &Home) -> Agent {
    Agent::ready_with(home, &json!({ "fs": { "readTextFile": true, "writeTextFile": true } }))
}

#[test]
fn reads_of_one_step_run_beside_each_other() {
    let home = Home::scripted(
        r#"
        when any
          call read {"path": "a.txt"}
          call read {"path": "b.txt"}
        then
          say "done"
        "#,
    );
    home.write("a.txt", "a\n");
    home.write("b.txt", "b\n");
    let mut agent = editor(&home);
    let session = agent.new_session(&home);
    let id = agent.prompt(&session, "go");
    // Both are asked before one is answered.
    let (mut before, first) = agent.wait_for("fs/read_text_file");
    let (more, second) = agent.wait_for("fs/read_text_file");
    before.extend(more);
    agent.respond(&second, &json!({ "content": "b\n" }));
    agent.respond(&first, &json!({ "content": "a\n" }));
    let answer = agent.wait(&id).after(before);
    assert!(answer.calls().iter().all(|id| answer.status(id) == "completed"));
}

#[test]
fn changes_of_one_step_run_in_order_and_reads_wait_for_them() {
    let home = Home::scripted(
        r#"
        when any
          call write {"path": "a.txt", "content": "1\n"}
          call read {"path": "a.txt"}
          call write {"path": "b.txt", "content": "2\n"}
          call terminal {"command": "cat a.txt b.txt"}
        then
          say "${outcome}"
        "#,
    );
    home.write_config(BYPASS);
    let mut agent = editor(&home);
    let session = agent.new_session(&home);
    let mut writes = Vec::new();
    let answer = agent.turn(&session, "go", |request| {
        let path = request["params"]["path"].as_str().unwrap().to_owned();
        if request["method"] == "fs/write_text_file" {
            let text = request["params"]["content"].as_str().unwrap();
            std::fs::write(&path, text).unwrap();
            writes.push(text.to_owned());
            return Says::Result(json!({}));
        }
        match std::fs::read_to_string(path) {
            Ok(content) => Says::Result(json!({ "content": content })),
            Err(_) => Says::Error(-32002),
        }
    });
    assert_eq!(writes, ["1\n", "2\n"]);
    assert!(answer.text().contains("1\t1") && answer.text().contains("1\n2"), "{}", answer.text());
}

#[test]
fn c59_a_tool_that_does_not_exist_is_a_failed_call() {
    let (_home, answer) =
        played("when any\n call fly {\"to\": \"the moon\"}\nthen\n say \"${outcome}\"", |_| {});
    assert_eq!(answer.stop_reason(), "end_turn");
    let card = answer.only_card();
    assert_eq!((&card["status"], &card["name"]), (&json!("failed"), &json!("fly")));
    // The kind `other` is what a client takes for granted.
    assert!(card["kind"].is_null() || card["kind"] == "other", "{card}");
    assert!(
        answer.text().contains("no tool `fly`") && answer.text().contains("terminal"),
        "{}",
        answer.text()
    );
}

#[test]
fn c59_invalid_arguments_are_a_failed_call() {
    let script = r#"
        when any
          call read {"file": 5}
          call write {"path": "a.txt"}
          call_raw edit {"path": "a.txt", "edits
        then
          say "${outcome}"
        "#;
    let (home, answer) = played(script, |_| {});
    assert_eq!(answer.stop_reason(), "end_turn");
    assert!(answer.calls().iter().all(|id| answer.status(id) == "failed"));
    let text = answer.text();
    assert!(
        text.contains("`path`") && text.contains("`content`") && text.contains("not valid JSON"),
        "{text}"
    );
    assert!(!home.work().join("a.txt").exists());
}

#[test]
fn c59_arguments_that_are_not_json_go_back_to_the_provider_as_valid_ones() {
    for dialect in Dialect::BOTH {
        let served = Served::new(dialect);
        served.provider.queue(served.reply().raw_call("x", "read", "{\"path\": \"a.t"));
        served.says("Sorry.");
        let mut agent = served.agent();
        let session = agent.new_session(&served.home);
        let answer = agent.turn(&session, "go", nothing_asked);
        assert_eq!((answer.stop_reason(), answer.text().as_str()), ("end_turn", "Sorry."));
        assert_eq!(answer.only_card()["status"], "failed");
        assert!(served.body(1).to_string().contains("not valid JSON"), "{}", served.body(1));
        served.provider.finish();
    }
}

#[test]
fn c58_a_call_written_as_json_text_is_a_call() {
    let script = "when any\n call_text read {\"path\": \"a.txt\"}\nthen\n say \"${outcome}\"";
    let (_home, answer) = played(script, |home| drop(home.write("a.txt", "content\n")));
    let card = answer.only_card();
    assert_eq!((&card["name"], &card["status"]), (&json!("read"), &json!("completed")));
    assert!(answer.text().contains("1\tcontent"), "{}", answer.text());
    assert!(!answer.text().contains("```"), "{}", answer.text());
}
