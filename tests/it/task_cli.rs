//! `talaria task` as a user calls it, beside the editor that has the session open.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use talaria_protocol::task::{
    AnswerTaskResponse, CancelTaskResponse, CheckTaskResponse, CollectTaskResponse,
    ListTasksResponse, ResumeTaskResponse, SpawnTaskResponse, SteerTaskResponse,
    TaskEventNotification, TaskState,
};

use crate::support::agent::Agent;
use crate::support::home::Home;
use crate::support::tasks::{Chat, MODEL};

/// Far above what is needed: it only ends a hang.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a command came to.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn chat() -> (Home, Chat) {
    let home = Home::scripted(MODEL);
    let chat = Chat::new(&home);
    (home, chat)
}

/// `talaria task` in a folder, in the environment of `home`.
fn command(home: &Home, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_talaria"));
    command
        .arg("task")
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("TALARIA_HOME", home.state())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn said(mut command: Command) -> Said {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let said =
        Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
    assert!(!format!("{said:?}").contains("\\u{1b}"), "a pipe gets text alone: {said:?}");
    said
}

/// What it printed in the work folder; it must have ended with this code.
fn task(home: &Home, arguments: &[&str], code: i32) -> String {
    let said = said(command(home, &home.work(), arguments));
    assert_eq!(said.code, Some(code), "{arguments:?}: {said:?}");
    // A wait shows what there is, also where it ends otherwise.
    let (is_done, is_shown) = (said.err.is_empty(), !said.out.is_empty());
    assert!(if code == 0 { is_done } else { code > 5 || !is_shown }, "{said:?}");
    said.out + &said.err
}

/// The same as a message of the protocol.
fn message<T: DeserializeOwned>(home: &Home, arguments: &[&str]) -> T {
    let line = task(home, arguments, 0);
    assert_eq!(line.matches('\n').count(), 1, "{line}");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// Asks again until the answer holds `text`.
fn until(home: &Home, arguments: &[&str], text: &str) -> String {
    let end = Instant::now() + PATIENCE;
    loop {
        let said = task(home, arguments, 0);
        if said.contains(text) {
            return said;
        }
        assert!(Instant::now() < end, "waited for {text:?} in {said}");
    }
}

/// A command that goes on, read line by line.
struct Watching {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Watching {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        let line = self.lines.next().unwrap().unwrap();
        assert!(!line.contains('\u{1b}'), "{line:?}");
        line
    }

    /// What came until its end, its exit code, and its complaint.
    fn end(mut self) -> (Vec<String>, Option<i32>, String) {
        let rest = self.lines.by_ref().map(Result::unwrap).collect();
        let mut complaint = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
        (rest, self.child.wait().unwrap().code(), complaint)
    }
}

#[test]
fn a_task_is_started_looked_at_steered_and_collected_beside_the_chat() {
    let (home, mut chat) = chat();
    assert_eq!(task(&home, &["watch"], 0), "No task of this session runs or waits.\n");
    assert_eq!(task(&home, &["spawn", "work", "go"], 0), "t1 running\n");
    chat.until("t1", "running");
    let listed = task(&home, &["list"], 0);
    assert!(listed.starts_with("t1  running  ") && listed.ends_with(" work go\n"), "{listed}");
    let checked = until(&home, &["check", "1"], "Begun");
    assert!(checked.starts_with("t1 running: work go\n"), "{checked}");
    assert_eq!(
        task(&home, &["steer", "t1", "look", "at b"], 0),
        "t1 running: it sees the message before its next request to the model.\n"
    );
    let late = task(&home, &["collect", "t1", "--timeout", "0"], 6);
    assert!(late.starts_with("t1 running: work go\n") && late.contains("Begun"), "{late}");
    home.open_gate("go");
    let report = task(&home, &["collect", "t1"], 0);
    assert!(report.starts_with("t1 completed · 0 s"), "{report}");
    assert!(report.contains("You said look at b."), "{report}");
    // The editor shows it, and the conversation has the report.
    chat.until("t1", "completed");
    assert!(chat.say("/tasks").contains("`t1` completed"));
    assert_eq!(task(&home, &["steer", "t1", "-"], 2), "talaria task: The message is empty.\n");
}

#[test]
fn exit_codes_say_what_became_of_it() {
    let (home, mut chat) = chat();
    assert_eq!(task(&home, &["spawn", "hold on"], 0), "t1 running\n");
    assert_eq!(task(&home, &["spawn", "work never"], 0), "t2 running\n");
    let unknown = task(&home, &["check", "t9"], 4);
    assert!(unknown.contains("t9"), "{unknown}");
    assert!(task(&home, &["check", "nine"], 2).contains("`talaria task list` shows them"));
    assert!(task(&home, &["answer", "t1", "allow", "--reason", "x"], 2).contains("`deny` alone"));
    assert!(task(&home, &["spawn", " "], 2).contains("goal is empty"));
    assert!(task(&home, &["spawn", "x", "--toolset", "none-such"], 1).contains("none-such"));
    assert!(task(&home, &["diff", "t1"], 1).starts_with("talaria task: "));
    assert!(task(&home, &["answer", "t1"], 0).contains("it asks for nothing"));
    assert_eq!(task(&home, &["cancel", "t2", "--reason", "enough"], 0), "t2 cancelled\n");
    let cancelled = task(&home, &["collect", "t2"], 7);
    assert!(cancelled.contains("t2 cancelled") && cancelled.contains("enough"), "{cancelled}");
    assert!(task(&home, &["collect", "t1", "t2", "--timeout", "0"], 6).contains("t1 running"));
    assert_eq!(task(&home, &["resume", "--all"], 0), "No task of this session is interrupted.\n");
    assert_eq!(task(&home, &["cancel", "--all"], 0), "t1 cancelled\n");
    assert_eq!(task(&home, &["cancel", "--all"], 0), "No task of this session runs or waits.\n");
    let failed = task(&home, &["spawn", "fail", "--wait"], 7);
    assert!(failed.starts_with("t3 running\n") && failed.contains("t3 failed"), "{failed}");
    assert!(task(&home, &["spawn", "hi", "--wait"], 0).contains("You said hi."));
    chat.settle();
}

#[test]
fn a_task_of_a_task_is_checked_and_not_watched() {
    let home = Home::scripted(MODEL);
    home.write_config("delegation:\n  max_spawn_depth: 2\n");
    let _chat = Chat::new(&home);
    assert_eq!(task(&home, &["spawn", "nest work go"], 0), "t1 running\n");
    let end = Instant::now() + PATIENCE;
    loop {
        let checked = said(command(&home, &home.work(), &["check", "t1.1"]));
        if checked.code == Some(0) {
            assert!(checked.out.starts_with("t1.1 "), "{checked:?}");
            break;
        }
        assert!(Instant::now() < end, "waited for t1.1: {checked:?}");
    }
    for named in [&["watch", "t1.1"][..], &["watch", "t1", "1.1", "--follow", "--json"]] {
        let refused = task(&home, named, 2);
        assert!(refused.contains("`talaria task watch t1`"), "{refused}");
        assert!(refused.contains("`talaria task check t1.1`"), "{refused}");
    }
    let mut watching = Watching::start(command(&home, &home.work(), &["watch", "t1"]));
    watching.line();
    home.open_gate("go");
    let (rest, code, complaint) = watching.end();
    assert_eq!((code, complaint.as_str()), (Some(0), ""), "{rest:?}");
}

#[test]
fn what_a_tool_of_ours_runs_may_not() {
    let (home, _chat) = chat();
    let mut command = command(&home, &home.work(), &["list"]);
    command.env("TALARIA_TOOL_OF", "1");
    let said = said(command);
    assert_eq!((said.code, said.out.as_str()), (Some(5), ""), "{said:?}");
    assert!(said.err.contains("a terminal of your own"), "{said:?}");
}

#[test]
fn what_a_task_asks_is_shown_and_answered() {
    let (home, mut chat) = chat();
    task(&home, &["spawn", "write", "x.txt"], 0);
    let question = until(&home, &["answer", "t1"], "`talaria task answer t1 allow|always|deny`");
    assert!(question.contains("asks for") && question.contains("x.txt"), "{question}");
    until(&home, &["list"], "`talaria task answer t1 allow|always|deny`");
    let mut watching = Watching::start(command(&home, &home.work(), &["watch", "t1"]));
    let line = watching.line();
    assert!(line.starts_with("◦ `t1` · write x.txt … waiting for permission: "), "{line}");
    assert!(line.ends_with("(`talaria task answer t1 allow|always|deny`)"), "{line}");
    assert!(!home.exists("x.txt"));
    assert!(task(&home, &["answer", "t1", "allow"], 0).starts_with("t1 "));
    let (rest, code, complaint) = watching.end();
    assert_eq!((code, complaint.as_str()), (Some(0), ""));
    assert!(rest.last().unwrap().starts_with("● `t1` · write x.txt … completed · "), "{rest:?}");
    assert_eq!(home.read("x.txt"), "new\n");
    chat.until("t1", "completed");
    task(&home, &["spawn", "write", "y.txt"], 0);
    until(&home, &["answer", "t2"], "`talaria task answer t2 allow|always|deny`");
    task(&home, &["answer", "t2", "deny", "--reason", "not that one"], 0);
    let refused = task(&home, &["collect", "t2"], 0);
    assert!(refused.contains("not that one"), "{refused}");
    assert!(!home.exists("y.txt"));
}

#[test]
fn each_change_is_a_line_for_a_pipe_until_all_have_ended() {
    let (home, mut chat) = chat();
    task(&home, &["spawn", "hi", "--wait"], 0);
    task(&home, &["spawn", "work go"], 0);
    until(&home, &["check", "t2"], "Begun");
    let mut lines = Watching::start(command(&home, &home.work(), &["watch"]));
    let mut events = Watching::start(command(&home, &home.work(), &["watch", "--json"]));
    assert_eq!(lines.line(), "◦ `t2` · work go … started");
    events.line();
    task(&home, &["spawn", "fail", "--wait"], 7);
    home.open_gate("go");
    let (rest, code, complaint) = lines.end();
    assert_eq!((code, complaint.as_str()), (Some(7), ""), "{rest:?}");
    let all = rest.join("\n");
    assert!(all.contains("● `t3` · fail … failed · 0 s"), "{all}");
    assert!(all.contains("● `t2` · work go … completed · "), "{all}");
    assert!(!all.contains("`t1`"), "what had ended is no news: {all}");
    let (rest, code, _) = events.end();
    assert_eq!(code, Some(7), "{rest:?}");
    let events: Vec<TaskEventNotification> =
        rest.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = |task: &str| events.iter().rev().find(|event| event.task.task_id == task).unwrap();
    assert_eq!(last("t2").task.state, TaskState::Completed);
    assert_eq!(last("t3").task.state, TaskState::Failed);
    assert!(
        events.iter().all(|event| event.session_id == chat.session && event.task.task_id != "t1")
    );
    chat.settle();
}

#[test]
fn who_watches_is_told_that_the_server_ended() {
    let (home, chat) = chat();
    task(&home, &["spawn", "work never"], 0);
    let mut watching = Watching::start(command(&home, &home.work(), &["watch"]));
    assert_eq!(watching.line(), "◦ `t1` · work never … started");
    chat.kill();
    let (rest, code, complaint) = watching.end();
    assert_eq!((rest, code), (Vec::new(), Some(3)));
    assert!(complaint.starts_with("talaria task: The server ended."), "{complaint}");
}

#[test]
fn programs_get_messages_of_the_protocol() {
    let (home, _chat) = chat();
    let spawned: SpawnTaskResponse = message(&home, &["spawn", "work go", "--key", "k", "--json"]);
    assert_eq!(spawned.tasks[0].task_id, "t1");
    let again: SpawnTaskResponse = message(&home, &["--json", "spawn", "work go", "--key", "k"]);
    assert_eq!(again.tasks[0].task_id, "t1");
    let listed: ListTasksResponse = message(&home, &["list", "--json", "--state", "running"]);
    assert_eq!(listed.tasks.len(), 1);
    let none: ListTasksResponse = message(&home, &["list", "--json", "--state", "failed"]);
    assert_eq!(none.tasks, []);
    let checked: CheckTaskResponse = message(&home, &["check", "t1", "--json"]);
    assert_eq!((checked.goal.as_str(), checked.state), ("work go", TaskState::Running));
    let steered: SteerTaskResponse = message(&home, &["steer", "t1", "hm", "--json"]);
    assert_eq!(steered.task_id, "t1");
    let answered: AnswerTaskResponse = message(&home, &["answer", "t1", "--json"]);
    assert_eq!(answered.question, None);
    let resumed: ResumeTaskResponse = message(&home, &["resume", "--all", "--json"]);
    assert_eq!(resumed.tasks, []);
    home.open_gate("go");
    let collected: CollectTaskResponse = message(&home, &["collect", "t1", "--json"]);
    assert_eq!(collected.tasks[0].state, TaskState::Completed);
    let cancelled: CancelTaskResponse = message(&home, &["cancel", "t1", "--json"]);
    assert_eq!(cancelled.tasks[0].state, TaskState::Completed);
}

#[test]
fn a_selection_of_a_file_is_in_the_tasks_context() {
    let (home, _chat) = chat();
    let file = home.write("src/größe.rs", "eins\nzwei\ndrei\n");
    let spawn = |selection: &str, code: i32| {
        let arguments =
            ["spawn", "explain it", "--wait", "--file", "src/größe.rs", "--selection", selection];
        task(&home, &arguments, code)
    };
    let report = spawn("1:3-3:2", 0);
    let named =
        format!("Selected in `{}`, from line 1, column 3 to line 3, column 2:", file.display());
    assert!(report.contains(&named), "{report}");
    assert!(report.contains("```\nns\nzwei\nd\n```"), "{report}");
    assert!(spawn("1:3-9:1", 2).contains("it has 4 lines, so there is no line 9"));
    assert!(spawn("3:1-1:3", 2).contains("it ends before it begins"));
    let missing = task(&home, &["spawn", "x", "--file", "none.rs"], 2);
    assert!(missing.starts_with("talaria task: Cannot read `none.rs`"), "{missing}");
    let mut piped =
        command(&home, &home.work(), &["spawn", "explain it", "--wait", "--context", "-"]);
    let input = home.write_outside("input.txt", "what was piped in");
    piped.stdin(fs::File::open(input).unwrap());
    let report = said(piped);
    assert!(report.out.contains("what was piped in"), "{report:?}");
}

/// What a user's git says in the work folder, given `input`.
fn git(home: &Home, line: &str, input: &str) -> String {
    let mut git = Command::new("git")
        .args(["-c", "user.name=User", "-c", "user.email=user@example.com"])
        .args(line.split(' '))
        .current_dir(home.work())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home.root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    git.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = git.wait_with_output().unwrap();
    assert!(output.status.success(), "git {line}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_a_task_changed_in_a_tree_of_its_own_is_shown_merged_and_discarded() {
    let home = Home::scripted(MODEL);
    home.write_config("permissions:\n  mode: bypass\n");
    home.write("a.txt", "one\n");
    for line in ["init --quiet --initial-branch=main", "add --all", "commit --quiet -m first"] {
        git(&home, line, "");
    }
    let mut chat = Chat::new(&home);
    chat.settle();
    let isolated =
        |goal: &str| task(&home, &["spawn", goal, "--isolation", "worktree", "--wait"], 0);
    assert!(isolated("run echo two >> a.txt").contains("Changed 1 file on branch `talaria/t1-"));
    assert_eq!(task(&home, &["diff", "t1", "--stat"], 0), "M  a.txt  +1 -0\n");
    let diff = task(&home, &["diff", "t1"], 0);
    git(&home, "apply --check -", &diff);
    assert_eq!(
        task(&home, &["merge", "t1"], 0),
        "M  a.txt  +1 -0\nMerged t1: 1 file. Nothing is staged or committed.\n"
    );
    assert_eq!(home.read("a.txt"), "one\ntwo\n");
    isolated("run echo other >> a.txt");
    let conflict = task(&home, &["merge", "t2"], 8);
    assert!(conflict.contains("t2") && conflict.ends_with("\n  a.txt\n"), "{conflict}");
    assert_eq!(home.read("a.txt"), "one\ntwo\n");
    assert_eq!(task(&home, &["discard", "t2"], 0), "Discarded t2.\n");
    assert!(task(&home, &["diff", "t2"], 1).starts_with("talaria task: "));
    assert_eq!(git(&home, "branch --list talaria/*", ""), "");
    assert_eq!(git(&home, "status --porcelain", ""), " M a.txt\n");
}

fn open(agent: &mut Agent, folder: &Path) -> String {
    fs::create_dir_all(folder).unwrap();
    let answer = agent.call("session/new", &json!({ "cwd": folder, "mcpServers": [] }));
    answer.result()["sessionId"].as_str().unwrap().to_owned()
}

#[test]
fn the_session_is_that_of_the_folder() {
    let home = Home::scripted(MODEL);
    let (mut one, mut two) = (Agent::ready(&home), Agent::ready(&home));
    let (a, b, inner) = (home.work().join("a"), home.work().join("b"), home.work().join("a/inner"));
    let sessions = [open(&mut one, &a), open(&mut one, &b), open(&mut two, &inner)];
    let deep = inner.join("deep");
    fs::create_dir_all(&deep).unwrap();
    // Which session has the tasks of a folder.
    for (number, (folder, own)) in
        [(&a, 0), (&b, 1), (&inner, 2), (&deep, 2)].into_iter().enumerate()
    {
        let goal = format!("work {number}");
        let spawned = said(command(&home, folder, &["spawn", &goal]));
        assert_eq!((spawned.code, spawned.err.as_str()), (Some(0), ""));
        for (session, id) in sessions.iter().enumerate() {
            let listed = said(command(&home, home.root(), &["list", "--session", id]));
            assert_eq!(listed.out.contains(&goal), session == own, "{folder:?} {listed:?}");
        }
    }
    // None works here, and the beginning that all have is nobody's.
    let none = said(command(&home, home.root(), &["list"]));
    let several = said(command(&home, &a, &["list", "--session", "0"]));
    for (refused, why) in
        [(none, "No open session works in"), (several, "3 sessions begin with `0`")]
    {
        assert_eq!((refused.code, refused.out.as_str()), (Some(3), ""), "{refused:?}");
        assert!(refused.err.contains(why), "{refused:?}");
        for (id, folder) in sessions.iter().zip([&a, &b, &inner]) {
            assert!(
                refused.err.contains(id) && refused.err.contains(&folder.display().to_string())
            );
        }
    }
    // Of two in one folder the one that was prompted last.
    let second = open(&mut two, &a);
    let in_a = |goal: &str| said(command(&home, &a, &["spawn", goal])).code;
    let has = |id: &str, goal: &str| {
        said(command(&home, &a, &["list", "--session", id])).out.contains(goal)
    };
    assert_eq!(in_a("work second"), Some(0));
    assert!(has(&second, "work second") && !has(&sessions[0], "work second"));
    one.ask(&sessions[0], "hi");
    assert_eq!(in_a("work first"), Some(0));
    assert!(has(&sessions[0], "work first") && !has(&second, "work first"));
    let close = |agent: &mut Agent, id: &str| {
        agent.call("session/close", &json!({ "sessionId": id })).result();
    };
    close(&mut one, &sessions[0]);
    close(&mut one, &sessions[1]);
    close(&mut two, &sessions[2]);
    close(&mut two, &second);
    let closed = said(command(&home, &a, &["list"]));
    assert_eq!(closed.code, Some(3), "{closed:?}");
}

#[test]
fn a_server_that_died_leaves_nothing_that_confuses() {
    let (home, first) = chat();
    task(&home, &["list"], 0);
    let sockets = || -> Vec<Value> {
        let folder = fs::read_dir(home.state().join("run")).unwrap();
        folder.map(|entry| json!(entry.unwrap().path().to_string_lossy())).collect()
    };
    assert_eq!(sockets().len(), 1);
    let before = sockets();
    first.kill();
    assert_eq!(sockets(), before, "who is killed takes nothing away");
    assert!(task(&home, &["list"], 3).starts_with("talaria task: No session is open."));
    assert_eq!(sockets(), [] as [Value; 0]);
    let mut second = Chat::new(&home);
    second.settle();
    assert_eq!(task(&home, &["spawn", "hi"], 0), "t1 running\n");
}
