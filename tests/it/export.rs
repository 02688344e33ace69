//! Sessions as scripts: a journal is written as a conversation script, and the script plays.

use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::{ProptestConfig, Strategy, proptest};
use serde_json::{Value, json};
use talaria::clock::Timestamp;
use talaria::event::{CallContent, CallStatus, CallUpdate, Location, ThoughtLevel};
use talaria::headless::script::export::{Exported, export};
use talaria::headless::script::syntax;
use talaria::ids::{CallId, MessageId, PromptId};
use talaria::known::Known;
use talaria::permission::{Answer, Mode};
use talaria::store::{Entry, Opened, Record};
use talaria::transcript::{Author, Call, Content, End, Outcome, Over, Prompt, Reply, Spent, Usage};
use tempfile::TempDir;

use crate::support::home::Home;

/// A journal that is written by hand, of a session in `/w/proj`.
struct Journal {
    entries: Vec<Entry>,
    messages: usize,
    calls: usize,
}

const CWD: &str = "/w/proj";

impl Journal {
    fn new() -> Self {
        let mut journal = Self { entries: Vec::new(), messages: 0, calls: 0 };
        journal.add(Record::Opened(Opened {
            cwd: PathBuf::from(CWD),
            additional: Vec::new(),
            version: "0.1.0".to_owned(),
            forked_from: None,
            parent: None,
        }));
        journal
    }

    fn add(&mut self, record: Record) {
        self.entries.push(Entry {
            seq: self.entries.len() as u64 + 1,
            at: Timestamp(0),
            epoch: 1,
            kind: record.kind().to_owned(),
            version: Record::VERSION,
            body: serde_json::to_string(&record).unwrap(),
        });
    }

    fn message(&mut self) -> MessageId {
        self.messages += 1;
        MessageId::new(format!("m{}", self.messages))
    }

    fn prompt_of(&mut self, content: Vec<Content>) -> MessageId {
        let message = self.message();
        let prompt = Prompt {
            id: PromptId::default(),
            message: message.clone(),
            content,
            from: Author::User,
        };
        self.add(Record::Prompt { prompt });
        message
    }

    fn prompt(&mut self, text: &str) -> MessageId {
        self.prompt_of(vec![Content::text(text)])
    }

    /// A prompt, and the turn that begins on it.
    fn begin(&mut self, text: &str) {
        let prompt = self.prompt(text);
        self.add(Record::Turn { prompt });
    }

    fn aside(&mut self, text: &str, answer: &str) {
        let (message, answered) = (self.message(), self.message());
        let prompt = Prompt {
            id: PromptId::default(),
            message,
            content: vec![Content::text(text)],
            from: Author::User,
        };
        self.add(Record::Aside { prompt, message: answered, answer: answer.to_owned() });
    }

    fn says(&mut self, reply: Reply, is_whole: bool) {
        let spent = is_whole.then(|| Spent { model: "m".to_owned(), window: 8000, cost: None });
        self.add(Record::Reply { reply, spent });
    }

    fn say(&mut self, text: &str) {
        let message = Some(self.message());
        self.says(Reply { text: text.into(), message, ..Reply::default() }, true);
    }

    fn ask(&mut self, tool: &str, input: Value) -> CallId {
        self.calls += 1;
        let id = CallId::new(format!("c{}", self.calls));
        let call = Call { id: id.clone(), tool: tool.to_owned(), input, signatures: Vec::new() };
        self.says(Reply { calls: vec![call], ..Reply::default() }, true);
        id
    }

    fn described(
        &mut self,
        call: &CallId,
        title: &str,
        path: Option<&str>,
        content: Vec<CallContent>,
    ) {
        let locations = path.map(|path| vec![Location { path: path.into(), line: None }]);
        let shown = CallUpdate {
            title: Some(title.to_owned()),
            locations,
            content: (!content.is_empty()).then_some(content),
            ..CallUpdate::new(call.clone())
        };
        self.add(Record::Call { shown });
    }

    fn permission(&mut self, call: &CallId, answer: Answer) {
        self.add(Record::Permission { call: call.clone(), answer, rule: None });
        if matches!(answer, Answer::AllowOnce | Answer::AllowAlways) {
            self.add(Record::Begun { call: call.clone() });
        }
    }

    fn outcome(&mut self, call: &CallId, outcome: Outcome, content: Vec<CallContent>) {
        let status = match outcome {
            Outcome::Done { .. } => CallStatus::Completed,
            Outcome::Failed { .. } | Outcome::Denied { .. } | Outcome::Cancelled { .. } => {
                CallStatus::Failed
            }
        };
        let shown = CallUpdate { content: Some(content), ..CallUpdate::new(call.clone()) }
            .with_status(status);
        self.add(Record::Outcome { call: call.clone(), outcome, shown, gave: Vec::new() });
    }

    fn end(&mut self, end: End) {
        self.add(Record::End { over: Over::Ended { end } });
    }

    fn turn(&mut self, prompt: &str, answer: &str) {
        self.begin(prompt);
        self.say(answer);
        self.end(End::Finished);
    }

    /// The session as a script, which plays.
    fn plays(&self) -> String {
        plays(&export("a test", &self.entries))
    }
}

fn plays(exported: &Exported) -> String {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("session.drive");
    std::fs::write(&file, &exported.text).unwrap();
    drive(&file);
    exported.text.clone()
}

/// Plays a script.
fn drive(file: &Path) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_talaria")).arg("drive").arg(file).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let script = std::fs::read_to_string(file).unwrap();
    assert!(output.status.success(), "{}{}\n{script}", text(&output.stdout), text(&output.stderr));
}

fn diff(path: &str, old: Option<&str>, new: &str) -> CallContent {
    CallContent::Diff { path: path.into(), old: old.map(str::to_owned), new: new.to_owned() }
}

#[test]
fn the_same_prompt_is_answered_anew() {
    let mut journal = Journal::new();
    for (prompt, answer) in [
        ("go on", "One."),
        ("go *", "A star."),
        ("go on", "Two."),
        ("go home", "Home."),
        ("go on", "Three."),
    ] {
        journal.turn(prompt, answer);
    }
    let script = journal.plays();
    assert_eq!(script.matches("when prompt \"go on\"").count(), 3, "{script}");
}

#[test]
fn texts_mean_themselves() {
    let mut journal = Journal::new();
    for text in [
        "say \"END\" *twice*\nEND\n  END\n\\* ${prompt} ${1} ${x} \\${y} {\"a\": 1} as p1",
        "in /w/proj/src and /w/project: $CWD $HOME $SESSION",
        "`\\` \u{1b}[31m é\u{2028} <<END",
        " leading and trailing \n\n",
        "*",
        "# no comment\n...\n= end_turn",
    ] {
        journal.turn(text, text);
    }
    let thought = Reply {
        thought: "I think ${prompt}\n".into(),
        text: "\n\nSo.".into(),
        usage: Usage { input: 12, output: 3, cached: 4 },
        ..Reply::default()
    };
    journal.begin("last");
    journal.says(thought, true);
    journal.end(End::Finished);
    let script = journal.plays();
    assert!(script.contains("usage input=12 output=3 cached=4"), "{script}");
    assert!(!script.contains("/w/proj/"), "{script}");
}

#[test]
fn prompts_of_several_blocks_are_sent_as_they_were() {
    let mut journal = Journal::new();
    let link = Content::Link { uri: format!("file://{CWD}/a.rs"), name: "a.rs".to_owned() };
    let note = Content::Resource { uri: "file:///x".to_owned(), text: "$HOME".to_owned() };
    let image = Content::Image { mime: "image/png".to_owned(), data: "iVBORw0KGgo=".to_owned() };
    for content in [vec![link, note, Content::text("look")], vec![image]] {
        let prompt = journal.prompt_of(content);
        journal.add(Record::Turn { prompt });
        journal.say("Seen.");
        journal.end(End::Finished);
    }
    let script = journal.plays();
    assert!(script.contains("resource_link"), "{script}");
}

#[test]
fn files_and_calls_are_there_again() {
    let mut journal = Journal::new();
    let (path, old, new) = ("/w/proj/a b.txt", "one\r\ntwo", "one\r\n2");
    journal.begin("mend it");
    let read = journal.ask("read", json!({"path": path}));
    journal.described(&read, "Read a b.txt", Some(path), Vec::new());
    journal.add(Record::Saw { files: vec![(path.into(), Known::whole(old))] });
    journal.outcome(&read, Outcome::done("1\tone\n2\ttwo"), Vec::new());
    let input = json!({"path": "a b.txt", "edits": [{"old_text": "two", "new_text": "2"}]});
    let edit = journal.ask("edit", input);
    journal.described(&edit, "Edit a b.txt", Some(path), vec![diff(path, Some(old), new)]);
    journal.permission(&edit, Answer::AllowOnce);
    journal.outcome(&edit, Outcome::done("done"), vec![diff(path, Some(old), new)]);
    let write = journal.ask("write", json!({"path": "n/new.txt", "content": "x\n"}));
    let made = "/w/proj/n/new.txt";
    journal.described(&write, "Write n/new.txt", Some(made), vec![diff(made, None, "x\n")]);
    journal.permission(&write, Answer::RejectOnce);
    journal.outcome(&write, Outcome::Denied { reason: "no".to_owned() }, Vec::new());
    let run = journal.ask("terminal", json!({"command": "echo \"$HOME\""}));
    journal.described(&run, "`echo \"$HOME\"`", None, Vec::new());
    journal.add(Record::Begun { call: run.clone() });
    journal.outcome(&run, Outcome::done("/root"), Vec::new());
    journal.say("Mended.");
    journal.end(End::Finished);
    let script = journal.plays();
    for line in [
        r#"file "a b.txt" "one\r\ntwo""#,
        r#"  call read {"path": "$CWD/a b.txt"}"#,
        "permission allow_once reject_once",
        "? permission c2 \"Edit a b.txt\" [*] → allow_once",
        "← call c2 completed diff $CWD/a b.txt +1 -1",
        "← call c3 failed*",
        r#"  allow: ["echo \"\u0024HOME\""]"#,
    ] {
        assert!(script.lines().any(|found| found == line), "no {line} in\n{script}");
    }
}

#[test]
fn a_file_that_somebody_changed_is_changed_again() {
    let mut journal = Journal::new();
    let path = "/w/proj/a.txt";
    for text in ["one\n", "two\n"] {
        journal.begin("read it");
        let read = journal.ask("read", json!({"path": "a.txt"}));
        journal.described(&read, "Read a.txt", Some(path), Vec::new());
        journal.add(Record::Saw { files: vec![(path.into(), Known::whole(text))] });
        journal.outcome(&read, Outcome::done(format!("1\t{}", text.trim())), Vec::new());
        journal.say("${outcome}");
        journal.end(End::Finished);
    }
    let script = journal.plays();
    assert!(script.contains("file a.txt <<END\none\nEND\n"), "{script}");
    assert!(script.contains("file a.txt <<END\ntwo\nEND\nprompt"), "{script}");
}

#[test]
fn nothing_outside_of_the_scripts_folder_is_touched() {
    let outside = TempDir::new().unwrap();
    let file = outside.path().join("precious.txt");
    std::fs::write(&file, "precious\n").unwrap();
    let path = file.to_string_lossy().into_owned();
    let mut journal = Journal::new();
    journal.begin("overwrite it");
    let input = json!({"path": path, "edits": [{"old_text": "precious", "new_text": "gone"}]});
    let edit = journal.ask("edit", input);
    let change = vec![diff(&path, Some("precious\n"), "gone\n")];
    journal.described(&edit, &format!("Edit {path}"), Some(&path), change.clone());
    journal.permission(&edit, Answer::AllowOnce);
    journal.outcome(&edit, Outcome::done("done"), change);
    journal.say("Done.");
    journal.end(End::Finished);
    journal.plays();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious\n");
}

#[test]
fn a_steered_prompt_joins_where_it_joined() {
    let mut journal = Journal::new();
    journal.begin("first");
    let list = journal.ask("list", json!({"path": "."}));
    let second = journal.prompt("second");
    journal.described(&list, "List .", Some(CWD), Vec::new());
    journal.outcome(&list, Outcome::done("nothing"), Vec::new());
    let text = "Both.".to_owned();
    journal.says(Reply { steered: vec![second], text: text.into(), ..Reply::default() }, true);
    journal.end(End::Finished);
    journal.turn("third", "Yes.");
    let script = journal.plays();
    assert!(script.contains("touch gate1\n"), "{script}");
    assert!(script.ends_with("= end_turn\n"), "{script}");
}

#[test]
fn cancelled_turns_are_cancelled_where_they_were() {
    let mut journal = Journal::new();
    // Before a word, in the middle of words, in a question, in a command, with a prompt that waits.
    journal.begin("nothing");
    journal.end(End::Cancelled);
    journal.begin("words");
    journal.says(Reply { text: "Half a".into(), ..Reply::default() }, false);
    journal.end(End::Cancelled);
    journal.begin("question");
    let write = journal.ask("write", json!({"path": "new.txt", "content": "x\n"}));
    let made = "/w/proj/new.txt";
    journal.described(&write, "Write new.txt", Some(made), vec![diff(made, None, "x\n")]);
    journal.outcome(&write, Outcome::Cancelled { reason: "stopped".to_owned() }, Vec::new());
    journal.end(End::Cancelled);
    journal.begin("command");
    let run = journal.ask("terminal", json!({"command": "sleep 60"}));
    journal.described(&run, "`sleep 60`", None, Vec::new());
    journal.permission(&run, Answer::AllowOnce);
    let late = journal.prompt("late");
    journal.outcome(&run, Outcome::Cancelled { reason: "stopped".to_owned() }, Vec::new());
    journal.end(End::Cancelled);
    journal.add(Record::NotDelivered { prompt: late });
    journal.begin("crash");
    journal.add(Record::End { over: Over::Interrupted });
    journal.turn("again", "Here I am.");
    let script = journal.plays();
    assert_eq!(script.lines().filter(|line| *line == "cancel").count(), 5, "{script}");
    assert!(
        script.contains("← call c2 *in_progress*\nprompt \"late\" as p2\ncancel\n"),
        "{script}"
    );
}

#[test]
fn a_failed_turn_fails_and_is_tried_again() {
    let mut journal = Journal::new();
    let fails = |message: &str, refused_input| Record::End {
        over: Over::Failed { message: message.to_owned(), refused_input },
    };
    journal.begin("hello");
    journal.add(fails("The key was refused.", false));
    journal.begin("hello");
    journal.says(Reply { text: "Hel".into(), ..Reply::default() }, false);
    journal.add(fails("The connection broke.", false));
    journal.begin("hello");
    journal.add(fails("Too much.", true));
    journal.turn("hello", "Hello.");
    journal.begin("more");
    journal.ask("plan", json!({"entries": []}));
    let plan = CallId::new("c1");
    journal.described(&plan, "Plan", None, Vec::new());
    journal.outcome(&plan, Outcome::failed("empty"), Vec::new());
    journal.add(fails("It is overloaded.", false));
    journal.plays();
}

#[test]
fn limits_refusals_and_settings_come_again() {
    let mut journal = Journal::new();
    let settings = |mode, thought| Record::Settings { mode, model: "m".to_owned(), thought };
    journal.add(settings(Mode::Plan, ThoughtLevel::High));
    journal.begin("write it");
    let write = journal.ask("write", json!({"path": "a", "content": "x"}));
    journal.described(&write, "Write a", Some("/w/proj/a"), vec![diff("/w/proj/a", None, "x")]);
    let reason = "plan mode is on: nothing may be changed".to_owned();
    journal.outcome(&write, Outcome::Denied { reason }, Vec::new());
    journal.say("Planned.");
    journal.end(End::Finished);
    journal.add(settings(Mode::AcceptEdits, ThoughtLevel::High));
    journal.aside("/mode accept-edits", "The mode is now `accept-edits`: Edits files in the project; asks before it runs a command.");
    journal.aside("/version", "Talaria 0.0.1");
    journal.begin("long");
    journal.says(Reply { text: "Too lo".into(), ..Reply::default() }, true);
    journal.end(End::MaxTokens);
    journal.begin("evil");
    journal.end(End::Refused);
    journal.begin("steps");
    for _ in 0..4 {
        let list = journal.ask("list", json!({}));
        journal.described(&list, "List .", Some(CWD), Vec::new());
        journal.outcome(&list, Outcome::done("nothing"), Vec::new());
    }
    journal.end(End::MaxSteps);
    let script = journal.plays();
    for line in
        ["mode plan", "= max_tokens", "= refusal", "= max_turn_requests", "prompt \"/version\""]
    {
        assert!(script.lines().any(|found| found == line), "no {line} in\n{script}");
    }
    assert!(!script.contains("mode accept-edits\nprompt"), "{script}");
}

#[test]
fn a_call_that_was_permitted_and_cancelled_before_it_began_is_waited_for() {
    let mut journal = Journal::new();
    journal.begin("sleep");
    let run = journal.ask("terminal", json!({"command": "sleep 60"}));
    journal.described(&run, "`sleep 60`", None, Vec::new());
    let answer = Answer::AllowOnce;
    journal.add(Record::Permission { call: run.clone(), answer, rule: None });
    journal.outcome(&run, Outcome::Cancelled { reason: "stopped".to_owned() }, Vec::new());
    journal.end(End::Cancelled);
    let script = journal.plays();
    assert!(script.contains("← call c1 *in_progress*\ncancel"), "{script}");
}

#[test]
fn what_is_typed_between_a_question_and_its_answer_stays_there() {
    let mut journal = Journal::new();
    journal.begin("write it");
    let write = journal.ask("write", json!({"path": "a", "content": "x\n"}));
    journal.described(&write, "Write a", Some("/w/proj/a"), vec![diff("/w/proj/a", None, "x\n")]);
    journal.aside("/usage", "No tokens were used yet.");
    journal.permission(&write, Answer::AllowAlways);
    journal.outcome(&write, Outcome::done("done"), vec![diff("/w/proj/a", None, "x\n")]);
    journal.say("Done.");
    journal.end(End::Finished);
    let script = journal.plays();
    assert!(script.contains("answer allow_always"), "{script}");
}

#[test]
fn an_empty_or_broken_journal_is_a_script_too() {
    Journal::new().plays();
    let mut journal = Journal::new();
    journal.begin("runs now");
    journal.say("Half");
    let strange = |kind: &str, body: &str| Entry {
        seq: 9,
        at: Timestamp(0),
        epoch: 1,
        kind: kind.to_owned(),
        version: 9,
        body: body.to_owned(),
    };
    journal.entries.push(strange("dream", "{}"));
    journal.entries.push(strange("reply", "not JSON"));
    let exported = export("a\ntest", &journal.entries);
    assert_eq!(exported.left_out.len(), 2, "{exported:?}");
    plays(&exported);
}

#[test]
fn a_mode_of_the_configuration_is_told_by_what_ran() {
    let mut journal = Journal::new();
    journal.begin("write it");
    let write = journal.ask("write", json!({"path": "a", "content": "x\n"}));
    journal.described(&write, "Write a", Some("/w/proj/a"), vec![diff("/w/proj/a", None, "x\n")]);
    journal.add(Record::Begun { call: write.clone() });
    journal.outcome(&write, Outcome::done("done"), vec![diff("/w/proj/a", None, "x\n")]);
    journal.say("Done.");
    journal.end(End::Finished);
    let script = journal.plays();
    assert!(script.contains("mode accept-edits\n"), "{script}");
}

#[test]
fn a_journal_with_everything_in_it_is_a_script() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journal/v1.jsonl");
    let entry = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        Entry {
            seq: line["seq"].as_u64().unwrap(),
            at: Timestamp(line["at"].as_u64().unwrap()),
            epoch: line["epoch"].as_u64().unwrap(),
            kind: line["kind"].as_str().unwrap().to_owned(),
            version: u32::try_from(line["version"].as_u64().unwrap()).unwrap(),
            body: line["body"].to_string(),
        }
    };
    let text = std::fs::read_to_string(file).unwrap();
    let entries: Vec<Entry> = text.lines().map(entry).collect();
    let exported = export("the fixture", &entries);
    // Its calls are made up, so it does not play; but it is a script.
    syntax::parse("fixture", &exported.text).unwrap();
    for line in [
        "  call write {\"path\": \"$CWD/../outside/etc/motd\", \"content\": \"hi\"}",
        "permission allow_always allow_once reject_always",
        "prompt \"And run the tests\" as p2",
        "prompt \"Never mind\" as p3",
        "= p3 cancelled",
        "mode accept-edits",
        "! *",
    ] {
        assert!(
            exported.text.lines().any(|found| found == line),
            "no {line} in\n{}",
            exported.text
        );
    }
    assert_eq!((exported.commands, exported.left_out.len()), (1, 3), "{:?}", exported.left_out);
}

/// Texts of what is special somewhere on their way.
fn odd_text() -> impl Strategy<Value = String> {
    let words = [
        "a", " ", "\n", "\"", "\\", "*", "$", "{", "}", "${", "prompt", "1", "END", "<<END",
        "$CWD", "$HOME", "$SESSION", CWD, "/", "#", "when", " as p1", "\t", "\r", "é", "\u{1b}",
        "← say", "...", "/mode",
    ];
    let word = proptest::sample::select(words.to_vec());
    proptest::collection::vec(word, 1..12).prop_map(|words| format!("x{}", words.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    /// Each prompt is sent, each answer said and each input given as it was, whatever is in it.
    #[test]
    fn any_text_comes_again(turns in proptest::collection::vec((odd_text(), odd_text()), 12)) {
        let mut journal = Journal::new();
        for (prompt, answer) in &turns {
            journal.begin(prompt);
            let call = journal.ask("nothing", json!({ "text": answer, "more": [prompt] }));
            journal.outcome(&call, Outcome::failed("there is no such tool"), Vec::new());
            journal.say(answer);
            journal.end(End::Finished);
        }
        journal.plays();
    }
}

/// Plays a script of `tests/drive` against an agent whose home stays, exports its sessions as scripts and
/// plays these.
fn plays_again(name: &str) {
    let home = Home::empty();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drive").join(name);
    let binary = env!("CARGO_BIN_EXE_talaria");
    let state = home.state();
    let variable = format!("TALARIA_HOME={}", state.display());
    let played = Command::new(binary)
        .arg("drive")
        .arg(file.with_extension("drive"))
        .args(["--", "env", &variable, binary, "acp"])
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(played.status.success(), "{}", text(&played.stdout));
    let sessions = |arguments: &[&str]| {
        let mut command = Command::new(binary);
        let output =
            command.arg("sessions").args(arguments).env("TALARIA_HOME", &state).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let listed = sessions(&["list", "--json"]);
    assert!(!listed.is_empty(), "{name} has no session");
    for line in listed.lines() {
        let session: Value = serde_json::from_str(line).unwrap();
        let script = home.work().join("again.drive");
        let id = session["id"].as_str().unwrap();
        sessions(&["export", id, "--script", "--output", &script.to_string_lossy()]);
        drive(&script);
    }
}

macro_rules! play_again {
    ($($name:ident)*) => {
        mod again {
            $(
                #[test]
                fn $name() {
                    super::plays_again(stringify!($name));
                }
            )*
        }
    };
}

play_again! {
    accept_edits
    cancel_permission
    cancel_stream
    cancel_terminal
    chat
    edit_conflict
    fail_before
    fail_midway
    fork
    image
    links
    load
    max_tokens
    outside
    parallel_reads
    permission_always
    permission_cancelled
    permission_reject
    plan_mode
    read_edit_run
    slash_commands
    steer
    two_sessions
}

#[test]
fn a_call_that_cards_stood_for_is_not_expected() {
    let mut journal = Journal::new();
    journal.begin("find it");
    let call = journal.ask("delegate_task_async", json!({"goal": "Find it"}));
    let hidden = CallUpdate { hidden: true, ..CallUpdate::new(call.clone()) };
    journal.add(Record::Call { shown: hidden.clone() });
    let card = CallUpdate::new(CallId::new("task-t1")).with_status(CallStatus::InProgress);
    journal.add(Record::Card { card });
    let outcome = Outcome::done("{\"task_id\": \"t1\"}");
    journal.add(Record::Outcome { call, outcome, shown: hidden, gave: Vec::new() });
    journal.say("Started.");
    journal.add(Record::End { over: Over::Ended { end: End::Finished } });
    let exported = export("a journal", &journal.entries);
    assert_eq!(exported.left_out, ["what background tasks did and reported"]);
    let text = exported.text;
    assert!(text.contains("call delegate_task_async {\"goal\": \"Find it\"}"), "{text}");
    assert!(!text.contains("← call") && !text.contains("task-t1"), "{text}");
    assert!(text.contains("...\n← say \"Started.\"\n= end_turn"), "{text}");
    syntax::parse("exported", &text).unwrap();
}

#[test]
fn a_turn_that_began_by_itself_begins_on_a_prompt() {
    let mut journal = Journal::new();
    let report = |message: &str| Prompt {
        id: PromptId::default(),
        message: MessageId::new(message),
        content: vec![Content::text("<task_report id=\"t1\" state=\"completed\">\n</task_report>")],
        from: Author::Task(1),
    };
    let follow_up = |message: &str| Prompt {
        content: vec![Content::text("Go on with the reports.")],
        from: Author::FollowUp,
        ..report(message)
    };
    let settings =
        |mode| Record::Settings { mode, model: "m".to_owned(), thought: ThoughtLevel::Auto };
    journal.turn("hello", "Hello.");
    journal.add(settings(Mode::AcceptEdits));
    journal.add(Record::Report { report: report("r1") });
    journal.add(Record::Told { message: MessageId::new("told1"), content: Content::text("`t1`") });
    journal.add(Record::Prompt { prompt: follow_up("f1") });
    journal.add(Record::Turn { prompt: MessageId::new("f1") });
    // It asks, since its mode is capped, and a prompt joins it.
    let input = json!({"path": "new.txt", "content": "x\n"});
    let call =
        Call { id: CallId::new("w1"), tool: "write".to_owned(), input, signatures: Vec::new() };
    let steered = vec![MessageId::new("r1")];
    journal.says(Reply { steered, calls: vec![call], ..Reply::default() }, true);
    let (write, made) = (CallId::new("w1"), "/w/proj/new.txt");
    let joins = journal.prompt("be quick");
    journal.described(&write, "Write new.txt", Some(made), vec![diff(made, None, "x\n")]);
    journal.permission(&write, Answer::AllowOnce);
    journal.outcome(&write, Outcome::done("done"), vec![diff(made, None, "x\n")]);
    journal.says(Reply { steered: vec![joins], text: "Written.".into(), ..Reply::default() }, true);
    journal.end(End::Finished);
    journal.add(Record::Told { message: MessageId::new("told2"), content: Content::text("over") });
    // One that did not come to begin.
    journal.add(Record::Prompt { prompt: follow_up("f2") });
    journal.add(Record::NotDelivered { prompt: MessageId::new("f2") });
    journal.add(Record::Shown { tasks: vec![1] });
    journal.turn("again", "Again.");
    let script = journal.plays();
    let begins = "# This turn began by itself, on reports of background tasks.\nmode ask\n";
    assert!(script.contains(begins), "{script}");
    assert!(script.contains("\nprompt \"Go on with the reports.\" as p1\n"), "{script}");
    assert!(script.contains("\nmode accept-edits\nprompt \"again\"\n"), "{script}");
    assert!(script.contains("\ntasks:\n  follow_up: off\n"), "{script}");
    assert!(!script.contains("task_report") && !script.contains("cancelled"), "{script}");
}
