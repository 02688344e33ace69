//! The editor's files and terminals, used where it offers them. Checklist 65–66.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::agent::{Agent, Answer};
use crate::support::client::{Says, nothing_asked, shown};
use crate::support::fault::Locked;
use crate::support::home::Home;

const BYPASS: &str = "permissions:\n  mode: bypass\n";

fn both() -> Value {
    json!({ "fs": { "readTextFile": true, "writeTextFile": true } })
}

fn terminals() -> Value {
    json!({ "terminal": true })
}

fn home(script: &str) -> Home {
    let home = Home::scripted(script);
    home.write_config(BYPASS);
    home
}

/// An editor with buffers that differ from the disk.
#[derive(Default)]
struct Editor {
    buffers: BTreeMap<PathBuf, String>,
    reads: Vec<PathBuf>,
    writes: Vec<(PathBuf, String)>,
    /// What it answers to a write.
    wrote: Value,
}

impl Editor {
    fn with(path: impl Into<PathBuf>, text: &str) -> Self {
        let mut editor = Self { wrote: json!({}), ..Self::default() };
        editor.buffers.insert(path.into(), text.to_owned());
        editor
    }

    fn says(&mut self, session: &str, request: &Value) -> Says {
        let params = &request["params"];
        assert_eq!(params["sessionId"], json!(session));
        let path = PathBuf::from(params["path"].as_str().unwrap());
        assert!(path.is_absolute(), "{request}");
        match request["method"].as_str() {
            Some("fs/read_text_file") => {
                self.reads.push(path.clone());
                match self.buffers.get(&path) {
                    Some(text) => Says::Result(json!({ "content": text })),
                    None => Says::Error(-32002),
                }
            }
            Some("fs/write_text_file") => {
                let text = params["content"].as_str().unwrap().to_owned();
                self.writes.push((path.clone(), text.clone()));
                self.buffers.insert(path, text);
                Says::Result(self.wrote.clone())
            }
            _ => panic!("the agent asked: {request}"),
        }
    }

    fn turn(&mut self, agent: &mut Agent, session: &str) -> Answer {
        agent.turn(session, "go", |request| self.says(session, request))
    }
}

const READ_AND_EDIT: &str = r#"
    when any
      call read {"path": "a.txt"}
    then
      say "${outcome} "
      call edit {"path": "a.txt", "edits": [{"old_text": "unsaved", "new_text": "changed"}]}
    then
      say "${outcome}"
"#;

#[test]
fn c65_the_buffer_is_what_the_model_reads_and_changes() {
    for wrote in [json!({}), Value::Null, json!({ "_meta": null })] {
        let home = home(READ_AND_EDIT);
        let path = home.write("a.txt", "on disk\n");
        let mut agent = Agent::ready_with(&home, &both());
        let session = agent.new_session(&home);
        let mut editor = Editor { wrote, ..Editor::with(&path, "unsaved\nbuffer\n") };
        let answer = editor.turn(&mut agent, &session);
        assert!(answer.text().contains("1\tunsaved\n2\tbuffer"), "{}", answer.text());
        assert!(answer.text().contains("edited `a.txt`"), "{}", answer.text());
        assert_eq!(editor.writes, [(path, "changed\nbuffer\n".to_owned())]);
        // What is on disk is the editor's.
        assert_eq!(home.read("a.txt"), "on disk\n");
    }
}

#[test]
fn c65_a_file_that_only_the_editor_has_is_there() {
    let home = home(READ_AND_EDIT);
    let path = home.work().join("a.txt");
    let mut agent = Agent::ready_with(&home, &both());
    let session = agent.new_session(&home);
    let mut editor = Editor::with(&path, "unsaved\n");
    let answer = editor.turn(&mut agent, &session);
    assert!(answer.text().contains("1\tunsaved"), "{}", answer.text());
    assert_eq!(editor.buffers[&path], "changed\n");
    assert!(!home.exists("a.txt"));
}

#[test]
fn c65_each_of_reading_and_writing_is_used_alone() {
    let script = r#"
        when any
          call read {"path": "a.txt"}
          call write {"path": "b.txt", "content": "b\n"}
        then
          say "${outcome}"
    "#;
    for (offer, read, written) in
        [("readTextFile", "unsaved", true), ("writeTextFile", "on disk", false)]
    {
        let home = home(script);
        let path = home.write("a.txt", "on disk\n");
        let mut agent = Agent::ready_with(&home, &json!({ "fs": { offer: true } }));
        let session = agent.new_session(&home);
        let mut editor = Editor::with(&path, "unsaved\n");
        let answer = editor.turn(&mut agent, &session);
        assert!(answer.text().contains(read), "{}", answer.text());
        assert_eq!(editor.reads.is_empty(), offer == "writeTextFile");
        assert_eq!(editor.writes.is_empty(), offer == "readTextFile");
        assert_eq!(home.exists("b.txt"), written);
    }
}

#[test]
fn c65_a_client_that_offers_nothing_is_asked_for_nothing() {
    let script = r#"
        when any
          call read {"path": "a.txt"}
          call write {"path": "b.txt", "content": "b\n"}
          call terminal {"command": "echo from $PWD"}
        then
          say "${outcome}"
    "#;
    for capabilities in [
        json!({}),
        json!({ "fs": {} }),
        json!({ "fs": null, "terminal": null }),
        json!({ "fs": { "readTextFile": false, "writeTextFile": false }, "terminal": false }),
        json!({ "fs": { "readTextFile": null }, "something": { "else": true } }),
    ] {
        let home = home(script);
        home.write("a.txt", "on disk\n");
        let mut agent = Agent::ready_with(&home, &capabilities);
        let session = agent.new_session(&home);
        let answer = agent.turn(&session, "go", nothing_asked);
        let said = answer.text();
        assert!(
            said.contains("on disk") && said.contains(&format!("from {}", home.work().display())),
            "{said}"
        );
        assert_eq!(home.read("b.txt"), "b\n");
    }
}

#[test]
fn c65_what_is_outside_the_roots_is_not_asked_of_the_editor() {
    let script = r#"
        when any
          call read {"path": "../there.txt"}
          call read {"path": "link.txt"}
          call write {"path": "../new.txt", "content": "new\n"}
          call read {"path": "../more/a.txt"}
        then
          say "${outcome}"
    "#;
    let home = home(script);
    let there = home.write_outside("there.txt", "on disk\n");
    std::os::unix::fs::symlink(&there, home.work().join("link.txt")).unwrap();
    home.write_outside("more/a.txt", "more on disk\n");
    let more = home.work().parent().unwrap().join("more");
    let mut agent = Agent::ready_with(&home, &both());
    let params = json!({ "cwd": home.work(), "additionalDirectories": [more], "mcpServers": [] });
    let session =
        agent.call("session/new", &params).result()["sessionId"].as_str().unwrap().to_owned();
    let mut editor = Editor::with(more.join("a.txt"), "more unsaved\n");
    let answer = editor.turn(&mut agent, &session);
    assert_eq!(editor.reads, [more.join("a.txt")]);
    assert!(editor.writes.is_empty());
    assert_eq!(answer.text().matches("1\ton disk").count(), 2, "{}", answer.text());
    assert!(answer.text().contains("more unsaved"), "{}", answer.text());
    assert_eq!(home.read("../new.txt"), "new\n");
}

#[test]
fn c65_an_editor_that_refuses_a_read_leaves_it_to_the_disk() {
    let home = home("when any\n call read {\"path\": \"a.txt\"}\nthen\n say \"${outcome}\"");
    home.write("a.txt", "on disk\n");
    let mut agent = Agent::ready_with(&home, &both());
    let session = agent.new_session(&home);
    for says in [
        Says::Error(-32002),
        Says::Error(-32603),
        Says::Error(-32601),
        Says::Result(json!({})),
        Says::Result(Value::Null),
        Says::Result(json!({ "content": 5 })),
    ] {
        let mut says = Some(says);
        let answer = agent.turn(&session, "go", |_| says.take().expect("one request"));
        assert!(says.is_none());
        assert!(answer.text().contains("1\ton disk"), "{}", answer.text());
    }
}

#[test]
fn c65_an_editor_that_refuses_a_write_is_a_failed_call() {
    let home = home(
        "when any\n call write {\"path\": \"a.txt\", \"content\": \"a\\n\"}\nthen\n say \"${outcome}\"",
    );
    let mut agent = Agent::ready_with(&home, &both());
    let session = agent.new_session(&home);
    let answer = agent.turn(&session, "go", |request| {
        Says::Error(if request["method"] == "fs/read_text_file" { -32002 } else { -32603 })
    });
    assert_eq!(answer.only_card()["status"], "failed");
    assert!(
        answer.text().contains("the editor said: the client cannot do that"),
        "{}",
        answer.text()
    );
    assert!(!home.exists("a.txt"));
}

#[test]
fn c65_a_buffer_that_the_user_changed_is_left_alone() {
    let script = r#"
        when any
          call read {"path": "a.txt"}
        then
          say "seen"
          gate go
          call edit {"path": "a.txt", "edits": [{"old_text": "unsaved", "new_text": "changed"}]}
          call write {"path": "a.txt", "content": "all new\n"}
        then
          say "${outcome}"
    "#;
    let home = home(script);
    let path = home.write("a.txt", "on disk\n");
    let mut agent = Agent::ready_with(&home, &both());
    let session = agent.new_session(&home);
    let mut editor = Editor::with(&path, "unsaved\n");
    let id = agent.prompt(&session, "go");
    let (mut before, request) = agent.wait_for("fs/read_text_file");
    let says = editor.says(&session, &request);
    agent.say(&request, says);
    before.extend(agent.wait_for_text("seen"));
    editor.buffers.insert(path, "unsaved, and more typed\n".to_owned());
    home.open_gate("go");
    let answer = agent.serve_after(before, &id, |request| editor.says(&session, request));
    assert_eq!(answer.text().matches("changed since you read it").count(), 2, "{}", answer.text());
    assert!(editor.writes.is_empty());
}

#[test]
fn c65_a_file_that_the_editor_formats_must_be_read_again() {
    let script = r#"
        when any
          call write {"path": "a.txt", "content": "x=1\n"}
        then
          say "${outcome} "
          call edit {"path": "a.txt", "edits": [{"old_text": "x = 1", "new_text": "x = 2"}]}
        then
          say "${outcome} "
          call read {"path": "a.txt"}
        then
          call edit {"path": "a.txt", "edits": [{"old_text": "x = 1", "new_text": "x = 2"}]}
        then
          say "${outcome}"
    "#;
    let home = home(script);
    let path = home.work().join("a.txt");
    let mut agent = Agent::ready_with(&home, &both());
    let session = agent.new_session(&home);
    let mut editor = Editor { wrote: json!({}), ..Editor::default() };
    let answer = agent.turn(&session, "go", |request| {
        let says = editor.says(&session, request);
        if let Some(text) = editor.buffers.get_mut(&path) {
            *text = text.replace("x=1", "x = 1");
        }
        says
    });
    assert!(answer.text().contains("The editor changed the text"), "{}", answer.text());
    assert_eq!(answer.text().matches("changed since you read it").count(), 1, "{}", answer.text());
    assert_eq!(editor.buffers[&path], "x = 2\n");
}

/// The status of the call on `path` (or of the one command, for no path) when the request came; nothing for
/// a call that was not announced. A call is pending where nothing else is said.
fn status_before<'a>(messages: &'a [Value], at: usize, path: Option<&Value>) -> Option<&'a str> {
    let updates: Vec<&Value> =
        messages[..at].iter().map(|message| &message["params"]["update"]).collect();
    let input_of = |update: &Value| match path {
        None => update["rawInput"].get("command").is_some(),
        Some(path) => update["rawInput"]["path"]
            .as_str()
            .is_some_and(|input| path.as_str().unwrap().ends_with(&format!("/{input}"))),
    };
    let call = &updates.iter().rfind(|update| input_of(update))?["toolCallId"];
    let mut of_call = updates.iter().filter(|update| update["toolCallId"] == *call);
    assert_eq!(of_call.next().unwrap()["sessionUpdate"], "tool_call");
    updates
        .iter()
        .rev()
        .filter(|update| update["toolCallId"] == *call)
        .find_map(|update| update["status"].as_str())
        .or(Some("pending"))
}

/// Asserts that every request came behind what announces its call, and what a tool that began asks for
/// behind what says that it is in progress. How many of each method came.
fn check_order(messages: &[Value]) -> BTreeMap<&str, usize> {
    let mut count = BTreeMap::new();
    for (at, request) in messages.iter().enumerate() {
        let params = &request["params"];
        let (Some(method), Some(_)) = (request["method"].as_str(), request.get("id")) else {
            continue;
        };
        let path = Some(&params["path"]).filter(|path| path.is_string());
        let status = status_before(messages, at, path);
        // What would change is looked at before.
        let judged = path.is_some_and(|path| path.as_str().unwrap().ends_with("change.txt"))
            && method == "fs/read_text_file";
        let expected: &[&str] = if judged { &["pending", "in_progress"] } else { &["in_progress"] };
        assert!(
            status.is_some_and(|status| expected.contains(&status)),
            "{status:?} when this came: {request}, behind {messages:#?}"
        );
        *count.entry(method).or_default() += 1;
    }
    count
}

const EVERYTHING: &str = r#"
    when prompt "announced early"
      call read {"path": "a.txt"}
      say "and"
      call read {"path": "b.txt"}
      call read {"path": "c.txt"}
      call edit {"path": "change.txt", "edits": [{"old_text": "unsaved", "new_text": "changed"}]}
      call write {"path": "new-change.txt", "content": "new"}
      call read {"path": "d.txt"}
      call terminal {"command": "true"}
    then
      say "done"
    when any
      call read {"path": "change.txt"}
    then
      say "read"
"#;

#[test]
fn c65_c66_the_editor_is_asked_for_nothing_before_it_knows_of_the_call() {
    // Behind a lock, nothing that is told is told at once.
    for slow in [false, true] {
        let home = home(EVERYTHING);
        let mut editor = Editor { wrote: json!({}), ..Editor::default() };
        for name in ["a.txt", "b.txt", "c.txt", "d.txt", "change.txt"] {
            editor.buffers.insert(home.work().join(name), "unsaved\n".to_owned());
        }
        let capabilities = json!({
            "fs": { "readTextFile": true, "writeTextFile": true }, "terminal": true
        });
        let mut agent = Agent::ready_with(&home, &capabilities);
        let session = agent.new_session(&home);
        editor.turn(&mut agent, &session);
        let lock = slow.then(|| Locked::for_writing(&home));
        let answer =
            agent.turn(&session, "announced early", |request| match request["method"].as_str() {
                Some("terminal/create") => Says::Result(json!({ "terminalId": "t-1" })),
                Some("terminal/wait_for_exit") => Says::Result(json!({ "exitCode": 0 })),
                Some("terminal/output" | "terminal/release") => over(request),
                _ => editor.says(&session, request),
            });
        assert_eq!(answer.stop_reason(), "end_turn");
        let asked = check_order(&answer.before);
        assert_eq!((asked["fs/write_text_file"], asked["terminal/create"]), (2, 1));
        assert!(asked["fs/read_text_file"] >= 6, "{asked:?}");
        assert_eq!(answer.calls().len(), 7);
        drop(lock);
    }
}

const RUN: &str = "when any\n call terminal {\"command\": \"make all\"}\nthen\n say \"${outcome}\"";

/// A session whose command runs in the editor's terminal `t-1`, up to the request that waits for its
/// end; what came before, and that request.
struct Started {
    home: Home,
    agent: Agent,
    session: String,
    prompt: Value,
    before: Vec<Value>,
    wait: Value,
}

fn started(script: &str) -> Started {
    let home = home(script);
    let mut agent = Agent::ready_with(&home, &terminals());
    let session = agent.new_session(&home);
    let prompt = agent.prompt(&session, "go");
    let (mut before, create) = agent.wait_for("terminal/create");
    agent.respond(&create, &json!({ "terminalId": "t-1" }));
    before.push(create);
    let (more, wait) = agent.wait_for("terminal/wait_for_exit");
    before.extend(more);
    Started { home, agent, session, prompt, before, wait }
}

/// The methods of the requests, in order.
fn methods(messages: &[Value]) -> Vec<&str> {
    messages
        .iter()
        .filter(|message| message.get("id").is_some())
        .filter_map(|message| message["method"].as_str())
        .collect()
}

/// Answers what is asked of a terminal that has ended.
fn over(request: &Value) -> Says {
    assert_eq!(request["params"]["terminalId"], "t-1", "{request}");
    match request["method"].as_str() {
        Some("terminal/output") => {
            Says::Result(json!({ "output": "some output\n", "truncated": false }))
        }
        Some("terminal/kill" | "terminal/release") => Says::Result(Value::Null),
        _ => panic!("the agent asked: {request}"),
    }
}

#[test]
fn c66_a_terminal_is_made_embedded_and_released() {
    let Started { home, mut agent, session, prompt, before, wait } = started(RUN);
    let create =
        &before.iter().find(|message| message["method"] == "terminal/create").unwrap()["params"];
    assert_eq!((&create["sessionId"], &create["cwd"]), (&json!(session), &json!(home.work())));
    assert_eq!((&create["command"], &create["args"]), (&json!("sh"), &json!(["-c", "make all"])));
    assert!(create["outputByteLimit"].as_u64().unwrap() > 0);
    agent.respond(&wait, &json!({ "exitCode": 0 }));
    let answer = agent.serve_after(before, &prompt, over);
    assert_eq!(methods(&answer.before), ["terminal/create", "terminal/output", "terminal/release"]);
    let embedded = json!([{ "type": "terminal", "terminalId": "t-1" }]);
    let place = |found: &dyn Fn(&Value) -> bool| answer.before.iter().position(found).unwrap();
    assert!(
        place(&|message| message["params"]["update"]["content"] == embedded)
            < place(&|message| message["method"] == "terminal/release")
    );
    let card = answer.only_card();
    assert_eq!((&card["content"], &card["status"]), (&embedded, &json!("completed")));
    assert_eq!(card["rawOutput"]["exitCode"], 0);
    assert_eq!(answer.text(), "some output");
}

#[test]
fn c66_how_it_ended_may_be_said_with_its_output_or_before() {
    for (exit, status, said) in [
        (json!({ "exitCode": 3 }), Value::Null, "exit code 3"),
        (json!({ "exitCode": 3 }), json!({ "exitCode": 3 }), "exit code 3"),
        (json!({}), json!({ "exitCode": 3 }), "exit code 3"),
        (json!({}), json!({ "exitCode": null, "signal": "SIGTERM" }), "ended by SIGTERM"),
        (json!({ "exitCode": null, "signal": "SIGTERM" }), Value::Null, "ended by SIGTERM"),
        (json!({}), Value::Null, "its exit code is unknown"),
    ] {
        let Started { home: _home, mut agent, prompt, before, wait, .. } = started(RUN);
        agent.respond(&wait, &exit);
        let answer = agent.serve_after(before, &prompt, |request| match over(request) {
            Says::Result(mut result) if result.is_object() => {
                result["exitStatus"] = status.clone();
                Says::Result(result)
            }
            says @ (Says::Result(_) | Says::Error(_) | Says::Nothing) => says,
        });
        assert_eq!(answer.only_card()["status"], "failed");
        assert!(
            answer.text().contains("some output") && answer.text().contains(said),
            "{}",
            answer.text()
        );
    }
}

#[test]
fn c66_a_terminal_is_killed_and_released_on_cancel() {
    let Started { home: _home, mut agent, session, prompt, before, wait, .. } = started(RUN);
    agent.cancel(&session);
    let answer = agent.serve_after(before, &prompt, over);
    assert_eq!(answer.stop_reason(), "cancelled");
    let asked = methods(&answer.before);
    assert_eq!(asked, ["terminal/create", "terminal/kill", "terminal/output", "terminal/release"]);
    assert_eq!(answer.only_card()["status"], "failed");
    agent.respond(&wait, &json!({ "exitCode": 0 }));
    agent.settle(&session);
}

#[test]
fn c66_a_terminal_of_an_editor_that_does_not_answer_is_released() {
    let Started { home: _home, mut agent, session, prompt, before, .. } = started(RUN);
    let began = Instant::now();
    agent.cancel(&session);
    let answer = agent.serve_after(before, &prompt, |_| Says::Nothing);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(answer.stop_reason(), "cancelled");
    let mut asked = methods(&answer.before);
    let more = agent.settle(&session);
    asked.extend(methods(&more));
    assert!(asked.contains(&"terminal/kill"), "{asked:?}");
    assert_eq!(
        asked.iter().filter(|method| **method == "terminal/release").count(),
        1,
        "{asked:?}"
    );
}

#[test]
fn c66_a_terminal_is_killed_and_released_when_its_time_is_over() {
    let script = "when any\n call terminal {\"command\": \"make\", \"timeout_seconds\": 1}\nthen\n say \"${outcome}\"";
    let Started { home: _home, mut agent, prompt, before, wait, .. } = started(script);
    let mut before = before;
    let (more, kill) = agent.wait_for("terminal/kill");
    before.extend(more);
    agent.say(&kill, over(&kill));
    agent.respond(&wait, &json!({ "exitCode": null, "signal": "SIGKILL" }));
    before.push(kill);
    let answer = agent.serve_after(before, &prompt, over);
    let asked = methods(&answer.before);
    assert_eq!(asked, ["terminal/create", "terminal/kill", "terminal/output", "terminal/release"]);
    assert_eq!(answer.only_card()["status"], "failed");
    let said = answer.text();
    assert!(said.contains("some output") && said.contains("timed out after 1 s"), "{said}");
}

#[test]
fn c66_closing_the_session_releases_its_terminal() {
    let Started { home: _home, mut agent, session, prompt, before, .. } = started(RUN);
    let closed = agent.request("session/close", &json!({ "sessionId": session }));
    let answer = agent.serve_after(before, &prompt, over);
    assert_eq!(answer.stop_reason(), "cancelled");
    assert!(methods(&answer.before).contains(&"terminal/release"));
    agent.wait(&closed).result();
}

#[test]
fn c66_a_terminal_that_cannot_be_made_is_a_failed_call() {
    let home = home(RUN);
    let mut agent = Agent::ready_with(&home, &terminals());
    let session = agent.new_session(&home);
    for says in [Says::Error(-32603), Says::Result(json!({})), Says::Result(Value::Null)] {
        let mut says = Some(says);
        let answer = agent.turn(&session, "go", |_| says.take().expect("one request"));
        assert_eq!(
            (answer.stop_reason(), &answer.only_card()["status"]),
            ("end_turn", &json!("failed"))
        );
        assert!(answer.text().contains("failed to start the command"), "{}", answer.text());
        assert!(shown(&answer.only_card()).contains("failed to start"));
    }
}

#[test]
fn c66_a_terminal_that_was_made_while_the_turn_was_cancelled_is_released() {
    let home = home(RUN);
    let mut agent = Agent::ready_with(&home, &terminals());
    let session = agent.new_session(&home);
    let prompt = agent.prompt(&session, "go");
    let (mut before, create) = agent.wait_for("terminal/create");
    agent.cancel(&session);
    let (more, withdrawn) = agent.wait_for("$/cancel_request");
    assert_eq!(withdrawn["params"]["requestId"], create["id"]);
    before.extend(more);
    agent.respond(&create, &json!({ "terminalId": "t-1" }));
    let answer = agent.serve_after(before, &prompt, |request| match request["method"].as_str() {
        Some("terminal/wait_for_exit") => Says::Result(json!({ "exitCode": 0 })),
        _ => over(request),
    });
    assert_eq!(answer.stop_reason(), "cancelled");
    assert!(methods(&answer.before).contains(&"terminal/release"), "{:?}", methods(&answer.before));
}

#[test]
fn c66_output_that_the_editor_does_not_give_is_no_reason_to_run_it_again() {
    let Started { home: _home, mut agent, prompt, before, wait, .. } = started(RUN);
    agent.respond(&wait, &json!({ "exitCode": 0 }));
    let answer = agent.serve_after(before, &prompt, |request| match request["method"].as_str() {
        Some("terminal/output") => Says::Error(-32603),
        _ => over(request),
    });
    assert_eq!(answer.only_card()["status"], "completed");
    assert!(answer.text().contains("the editor said"), "{}", answer.text());
    assert!(methods(&answer.before).contains(&"terminal/release"));
}

#[test]
fn c66_a_terminal_that_is_made_after_the_cancelled_turn_is_released() {
    let home = home(RUN);
    let mut agent = Agent::ready_with(&home, &terminals());
    let session = agent.new_session(&home);
    let prompt = agent.prompt(&session, "go");
    let (before, create) = agent.wait_for("terminal/create");
    let began = Instant::now();
    agent.cancel(&session);
    let answer = agent.wait(&prompt).after(before);
    assert!(began.elapsed() < Duration::from_millis(800), "{:?}", began.elapsed());
    assert_eq!(answer.stop_reason(), "cancelled");
    agent.settle(&session);
    agent.respond(&create, &json!({ "terminalId": "t-1" }));
    let (more, release) = agent.wait_for("terminal/release");
    assert_eq!((methods(&more), &release["params"]["terminalId"]), (vec![], &json!("t-1")));
    agent.say(&release, over(&release));
}

#[test]
fn c66_a_terminal_that_is_never_made_does_not_hold_the_end_up() {
    let home = home(RUN);
    let mut agent = Agent::ready_with(&home, &terminals());
    let session = agent.new_session(&home);
    let prompt = agent.prompt(&session, "go");
    agent.wait_for("terminal/create");
    agent.cancel(&session);
    assert_eq!(agent.wait(&prompt).stop_reason(), "cancelled");
    let began = Instant::now();
    agent.close_stdin();
    assert!(agent.exit(Duration::from_secs(5)).success());
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[test]
fn c66_a_wait_that_fails_is_no_exit() {
    for says in [Says::Error(-32603), Says::Result(json!("gone"))] {
        let Started { home: _home, mut agent, prompt, before, wait, .. } = started(RUN);
        agent.say(&wait, says);
        let answer = agent.serve_after(before, &prompt, |request| match over(request) {
            Says::Result(mut result) if result.is_object() => {
                result["exitStatus"] = json!({ "exitCode": 0 });
                Says::Result(result)
            }
            says @ (Says::Result(_) | Says::Error(_) | Says::Nothing) => says,
        });
        let asked = methods(&answer.before);
        let expected = ["terminal/create", "terminal/kill", "terminal/output", "terminal/release"];
        assert_eq!(asked, expected);
        assert_eq!(answer.only_card()["status"], "failed");
        let said = answer.text();
        assert!(said.contains("some output") && said.contains("the editor said"), "{said}");
    }
}

#[test]
fn c66_output_that_the_editor_cut_is_told_as_it_is() {
    let Started { home: _home, mut agent, prompt, before, wait, .. } = started(RUN);
    agent.respond(&wait, &json!({ "exitCode": 0 }));
    let answer = agent.serve_after(before, &prompt, |request| match request["method"].as_str() {
        Some("terminal/output") => Says::Result(json!({ "output": "the end", "truncated": true })),
        _ => over(request),
    });
    assert_eq!(answer.text(), "the end\n(some output was left out)");
}
