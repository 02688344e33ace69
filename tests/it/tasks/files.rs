//! Files and terminals of tasks where the client is an editor: what it has not saved is what a task sees, as long
//! as it answers. What a slow one costs to the second is in `acp::client`'s own tests. Checklist 65 and 80.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::protocol::child_of;
use crate::support::agent::Agent;
use crate::support::home::Home;
use crate::support::tasks::{Chat, content};

/// A task waits for the gate `go`, so that what happens before is up to the test; at its end it leaves a file.
const SCRIPT: &str = r#"
    when prompt "async *"
      call delegate_task_async {"goal": "${1}"}
    then
      say "Started."
    when prompt "hold *"
      say "Holding ${1}."
      gate ${1}
      say " Held ${1}."

    when prompt "edit *"
      gate go
      call read {"path": "${1}"}
    then
      say "Seen."
      gate edit
      call edit {"path": "${1}", "edits": [{"old_text": "one", "new_text": "1"}]}
      call terminal {"command": "touch done"}
    then
      say "${outcome}"
    when prompt "outside"
      gate go
      call read {"path": "../there.txt"}
      call read {"path": "link.txt"}
      call write {"path": "../new.txt", "content": "new\n"}
    then
      say "${outcome}"
    when prompt "run *"
      gate go
      call terminal {"command": "${1}"}
    then
      say "${outcome}"
    when any
      say "You said ${prompt}."
"#;

const ZED: &str = "zed";
/// It loses what comes while no prompt is open, and answers nothing then.
const LOSING: &str = "CodeCompanion.nvim";

/// An editor with buffers that differ from the disk.
#[derive(Default)]
struct Editor {
    buffers: BTreeMap<PathBuf, String>,
    /// The requests that it answered.
    answered: BTreeSet<String>,
    /// What it was asked: the method, and the session that asked.
    asked: Vec<(String, String)>,
}

impl Editor {
    fn with(path: &Path, text: &str) -> Self {
        Self { buffers: BTreeMap::from([(path.to_owned(), text.to_owned())]), ..Self::default() }
    }

    /// The chat goes on until `found` finds something; what the agent asks meanwhile is answered.
    fn until<T>(&mut self, chat: &mut Chat, what: &str, found: impl Fn(&Chat) -> Option<T>) -> T {
        loop {
            let next = chat.wait(what, |chat| {
                let open = requests(chat).find(|request| !self.answered.contains(&id_of(request)));
                open.map(|request| Err(request.clone())).or_else(|| found(chat).map(Ok))
            });
            match next {
                Ok(found) => return found,
                Err(request) => self.answer(chat, &request),
            }
        }
    }

    fn answer(&mut self, chat: &mut Chat, request: &Value) {
        let params = &request["params"];
        let path = PathBuf::from(params["path"].as_str().unwrap_or_default());
        let method = request["method"].as_str().unwrap();
        let result = match method {
            "fs/read_text_file" => json!({ "content": self.buffers[&path] }),
            "fs/write_text_file" => {
                self.buffers.insert(path, params["content"].as_str().unwrap().to_owned());
                Value::Null
            }
            _ => panic!("the agent asked: {request}"),
        };
        self.answered.insert(id_of(request));
        let session = params["sessionId"].as_str().unwrap().to_owned();
        self.asked.push((method.to_owned(), session));
        chat.agent.respond(request, &result);
    }

    /// What the first task said at its end.
    fn report(&mut self, chat: &mut Chat) -> String {
        self.until(chat, "the end of the task", |chat| {
            (chat.state("t1").as_deref() == Some("completed")).then_some(())
        });
        content(&chat.card("task-t1").unwrap())
    }
}

/// All requests of the agent.
fn requests(chat: &Chat) -> impl Iterator<Item = &Value> {
    chat.came().iter().filter(|message| {
        message.get("method").is_some() && message.get("id").is_some_and(|id| !id.is_null())
    })
}

fn id_of(request: &Value) -> String {
    request["id"].to_string()
}

fn home() -> Home {
    let home = Home::scripted(SCRIPT);
    home.write_config("permissions:\n  mode: bypass\n");
    home
}

/// A chat of a client of this name that offers files and terminals, and `more`.
fn chat_of(home: &Home, client: &str, more: &Value) -> Chat {
    let mut capabilities =
        json!({ "fs": { "readTextFile": true, "writeTextFile": true }, "terminal": true });
    for (name, value) in more.as_object().unwrap() {
        capabilities[name] = value.clone();
    }
    let mut agent = Agent::start(home);
    let params = json!({
        "protocolVersion": 1,
        "clientInfo": { "name": client, "version": "19.0.0" },
        "clientCapabilities": capabilities,
    });
    agent.call("initialize", &params).result();
    Chat::of(agent, home)
}

/// Waits for what a task leaves at its end. No prompt is open, and none is needed to see it.
fn until_done(home: &Home) {
    let end = Instant::now() + Duration::from_secs(20);
    while !home.exists("done") {
        assert!(Instant::now() < end, "the task does not come to its end");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn c65_a_task_has_what_the_editor_has_not_saved_and_writes_through_it() {
    let home = home();
    let path = home.write("a.txt", "one on disk\n");
    let mut chat = chat_of(&home, ZED, &json!({}));
    chat.say("async edit a.txt");
    // Its prompt is answered, and this client is known to answer at any time.
    home.open_gate("go");
    home.open_gate("edit");
    let mut editor = Editor::with(&path, "one unsaved\n");
    let report = editor.report(&mut chat);
    assert!(report.contains("edited `a.txt`"), "{report}");
    assert_eq!(editor.buffers[&path], "1 unsaved\n");
    assert_eq!(home.read("a.txt"), "one on disk\n");
    // The only session that this client knows.
    assert!(editor.asked.iter().all(|(_, session)| *session == chat.session), "{:?}", editor.asked);
    let writes = editor.asked.iter().filter(|(method, _)| method == "fs/write_text_file");
    assert_eq!(writes.count(), 1);
}

#[test]
fn c80_a_client_that_knows_the_sessions_of_tasks_is_told_which_one_asks() {
    let home = home();
    let path = home.write("a.txt", "one on disk\n");
    let mut chat = chat_of(&home, "somebody", &json!({ "subagents": {} }));
    chat.say("async edit a.txt");
    home.open_gate("go");
    home.open_gate("edit");
    let mut editor = Editor::with(&path, "one unsaved\n");
    editor.report(&mut chat);
    let child = child_of(&home, &chat.session);
    assert!(editor.asked.iter().all(|(_, session)| *session == child), "{:?}", editor.asked);
    assert_eq!(editor.buffers[&path], "1 unsaved\n");
}

#[test]
fn c65_commands_of_tasks_run_on_this_machine() {
    let home = home();
    let mut chat = chat_of(&home, ZED, &json!({}));
    chat.say("async run echo from $PWD");
    home.open_gate("go");
    let report = Editor::default().report(&mut chat);
    assert!(report.contains(&format!("from {}", home.work().display())), "{report}");
}

#[test]
fn c65_what_is_outside_the_roots_a_task_reads_from_the_disk() {
    let home = home();
    let there = home.write_outside("there.txt", "there on disk\n");
    std::os::unix::fs::symlink(&there, home.work().join("link.txt")).unwrap();
    let mut chat = chat_of(&home, ZED, &json!({}));
    chat.say("async outside");
    home.open_gate("go");
    // An editor without any buffer would panic.
    let report = Editor::default().report(&mut chat);
    assert_eq!(report.matches("there on disk").count(), 2, "{report}");
    assert_eq!(home.read("../new.txt"), "new\n");
}

#[test]
fn c65_a_client_that_may_not_answer_is_asked_while_a_prompt_is_open_and_not_otherwise() {
    for is_open in [true, false] {
        let home = home();
        let path = home.write("a.txt", "one on disk\n");
        let mut chat = chat_of(&home, LOSING, &json!({}));
        chat.say("/task edit a.txt");
        let mut editor = Editor::with(&path, "one unsaved\n");
        let held = is_open.then(|| chat.prompt("hold h"));
        if is_open {
            chat.until_said("Holding h.");
        }
        home.open_gate("go");
        home.open_gate("edit");
        match held {
            Some(held) => {
                editor.until(&mut chat, "the write", |chat| {
                    let mut asked = requests(chat);
                    asked.any(|asked| asked["method"] == "fs/write_text_file").then_some(())
                });
                editor.until(&mut chat, "the end", |_| home.exists("done").then_some(()));
                home.open_gate("h");
                assert_eq!(chat.answer(&held).stop, "end_turn");
            }
            None => until_done(&home),
        }
        // Its last word comes behind the file, and is told with a prompt alone.
        chat.until_listed("completed", 1);
        let report = editor.report(&mut chat);
        assert!(report.contains("edited `a.txt`"), "{report}");
        let (buffer, disk) = if is_open {
            ("1 unsaved\n", "one on disk\n")
        } else {
            ("one unsaved\n", "1 on disk\n")
        };
        assert_eq!((editor.buffers[&path].as_str(), home.read("a.txt").as_str()), (buffer, disk));
        assert_eq!(requests(&chat).count() > 0, is_open);
    }
}

#[test]
fn a_task_that_read_the_buffer_does_not_overwrite_the_file_beneath_it() {
    let home = home();
    let path = home.write("a.txt", "one on disk\n");
    let mut chat = chat_of(&home, LOSING, &json!({}));
    chat.say("/task edit a.txt");
    let held = chat.prompt("hold h");
    chat.until_said("Holding h.");
    home.open_gate("go");
    let mut editor = Editor::with(&path, "one unsaved\n");
    editor.until(&mut chat, "a read", |chat| requests(chat).next().map(|_| ()));
    home.open_gate("h");
    let answered = |chat: &Chat| chat.came().iter().any(|message| message["id"] == held);
    editor.until(&mut chat, "the answer", |chat| answered(chat).then_some(()));
    // It cannot be asked now what it has.
    home.open_gate("edit");
    until_done(&home);
    chat.until_listed("completed", 1);
    let report = editor.report(&mut chat);
    assert!(report.contains("`a.txt` changed since you read it"), "{report}");
    assert_eq!(home.read("a.txt"), "one on disk\n");
    assert_eq!(editor.buffers[&path], "one unsaved\n");
}

#[test]
fn c65_an_editor_that_never_answers_a_task_is_left_for_the_disk() {
    let home = home();
    home.write("a.txt", "one on disk\n");
    let mut chat = chat_of(&home, ZED, &json!({}));
    chat.say("async edit a.txt");
    let begun = Instant::now();
    home.open_gate("go");
    home.open_gate("edit");
    let report = content(&chat.until("t1", "completed"));
    assert!(report.contains("edited `a.txt`"), "{report}");
    assert_eq!(home.read("a.txt"), "1 on disk\n");
    // The time is for the first file; what came of it is known for those behind it.
    let took = begun.elapsed();
    assert!((5..9).contains(&took.as_secs()), "{took:?}");
    let asked: Vec<&Value> = requests(&chat).collect();
    let [read] = &asked[..] else { panic!("{asked:#?}") };
    assert_eq!(read["method"], "fs/read_text_file");
    let taken_back = chat.came().iter().find(|message| message["method"] == "$/cancel_request");
    assert_eq!(taken_back.unwrap()["params"]["requestId"], read["id"]);
    // Its late answer changes nothing.
    let read = (*read).clone();
    chat.agent.respond(&read, &json!({ "content": "one too late\n" }));
    chat.say("hello");
    assert_eq!(home.read("a.txt"), "1 on disk\n");
}
