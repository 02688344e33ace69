//! `talaria sessions` and `talaria run --continue` as a user calls them.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};
use talaria::clock::Clock;
use talaria::ids::{MessageId, PromptId, SessionId};
use talaria::store::{Durability, Opened, Record, Settings, Store};
use talaria::transcript::{Author, Content, Prompt};

use crate::support::agent::Agent;
use crate::support::client::nothing_asked;
use crate::support::home::Home;

const SCRIPT: &str = r#"
    when prompt "hold"
      say "Begun."
      gate never
    when prompt "write"
      call write {"path": "new.txt", "content": "one\n"}
    then
      say "Written."
    when any
      think "Hm."
      say "You said ${prompt}."
      usage input=10 output=2
"#;

/// The built binary in the environment of `home`, in its work folder.
fn talaria(home: &Home, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_talaria"))
        .args(arguments)
        .current_dir(home.work())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("TALARIA_HOME", home.state())
        .env("TALARIA_MODEL", format!("scripted:{}", home.script().display()))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What it printed; it must have ended well and without complaint.
fn done(home: &Home, arguments: &[&str]) -> String {
    let output = talaria(home, arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
    text(&output.stdout)
}

/// What it complained of; it must have ended with this code.
fn refused(home: &Home, arguments: &[&str], code: i32) -> String {
    let output = talaria(home, arguments);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stderr)
}

/// The sessions that are listed, the one that was used last first.
fn listed(home: &Home) -> Vec<Value> {
    let text = done(home, &["sessions", "list", "--json"]);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn id(session: &Value) -> String {
    session["id"].as_str().unwrap().to_owned()
}

/// A home with a session for each prompt, and their ids.
fn with(prompts: &[&str]) -> (Home, Vec<String>) {
    let home = Home::scripted(SCRIPT);
    let mut ids = Vec::new();
    for prompt in prompts {
        done(&home, &["run", prompt]);
        ids.push(id(&listed(&home)[0]));
    }
    (home, ids)
}

#[test]
fn a_list_says_what_there_is() {
    let (home, ids) = with(&["hello there", "second\nline"]);
    let sessions = listed(&home);
    assert_eq!(sessions.iter().map(id).collect::<Vec<_>>(), [ids[1].clone(), ids[0].clone()]);
    assert_eq!(sessions[1]["title"], "hello there");
    assert_eq!(sessions[1]["cwd"], json!(home.work()));
    assert_eq!((&sessions[1]["prompts"], &sessions[1]["openIn"]), (&json!(1), &Value::Null));
    let table = done(&home, &["sessions", "list"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 2, "{table}");
    for part in ["now", "1 prompt", "hello there", &home.work().to_string_lossy()] {
        assert!(lines[1].contains(part), "no {part} in {table}");
    }
    // The beginning of an id that is shown is enough.
    for (line, own) in lines.iter().zip([&ids[1], &ids[0]]) {
        let short = line.split_whitespace().next().unwrap();
        assert!(own.starts_with(short) && short.len() >= 8, "{short} of {own}");
        assert!(done(&home, &["sessions", "show", short]).contains("You said"));
    }
    let one = done(&home, &["sessions", "list", "--limit", "1"]);
    assert!(one.contains("second") && one.ends_with("1 more; `--all` shows them, too.\n"), "{one}");
    assert_eq!(done(&home, &["sessions", "list", "--all"]).lines().count(), 2);
}

#[test]
fn a_list_of_a_folder_and_an_empty_one() {
    let home = Home::scripted(SCRIPT);
    let empty = done(&home, &["sessions", "list"]);
    assert!(empty.contains("`talaria run"), "{empty}");
    assert_eq!(done(&home, &["sessions", "list", "--json"]), "");
    home.write("sub/file", "");
    done(&home, &["run", "--cwd", "sub", "hello"]);
    assert_eq!(done(&home, &["sessions", "list", "--cwd", "sub"]).lines().count(), 1);
    let none = done(&home, &["sessions", "list", "--cwd", "."]);
    assert!(none.contains("no session of"), "{none}");
    assert!(refused(&home, &["sessions", "list", "--cwd", "gone"], 2).contains("`gone`"));
    let last = refused(&home, &["sessions", "show", "last"], 1);
    assert!(last.contains("There is no session of"), "{last}");
}

#[test]
fn a_session_is_shown_as_it_was_printed() {
    let home = Home::scripted(SCRIPT);
    let said = done(&home, &["run", "--mode", "accept-edits", "write"]);
    let shown = done(&home, &["sessions", "show", "last"]);
    assert_eq!(shown.trim(), said.trim());
    assert!(shown.contains("Written."), "{shown}");
    let updates: Vec<Value> = done(&home, &["sessions", "show", "last", "--json"])
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let kinds: Vec<&str> =
        updates.iter().filter_map(|update| update["sessionUpdate"].as_str()).collect();
    assert_eq!(kinds.len(), updates.len());
    assert_eq!(kinds[0], "user_message_chunk");
    assert!(kinds.contains(&"tool_call") && kinds.contains(&"agent_message_chunk"), "{kinds:?}");
}

#[test]
fn a_session_is_shown_while_another_process_has_it() {
    let home = Home::scripted(SCRIPT);
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    agent.turn(&session, "hello", nothing_asked);
    agent.prompt(&session, "hold");
    agent.wait_for_update("agent_message_chunk");
    let pid = agent.pid();
    let shown = done(&home, &["sessions", "show", &session]);
    assert!(shown.contains("You said hello.") && shown.contains("› hold"), "{shown}");
    assert!(shown.contains(&format!("open in process {pid}")), "{shown}");
    assert!(!shown.contains("interrupted"), "{shown}");
    let table = done(&home, &["sessions", "list"]);
    assert!(table.contains(&format!("(open in process {pid})")), "{table}");
    assert_eq!(listed(&home)[0]["openIn"], pid);
    // A script of what is over there.
    let script = talaria(&home, &["sessions", "export", &session, "--script"]);
    assert!(text(&script.stderr).contains("Left out: the turn that ran"), "{script:?}");
    // Nobody takes it away.
    let why = refused(&home, &["sessions", "delete", &session, "--yes"], 1);
    assert!(why.contains(&format!("process {pid}")) && why.contains("Close it there"), "{why}");
    let why = refused(&home, &["run", "--session", &session, "hello"], 1);
    assert!(why.contains(&pid.to_string()), "{why}");
    agent.cancel(&session);
    let (_, answer) = agent.until(|message| message["result"]["stopReason"].is_string());
    assert_eq!(answer["result"]["stopReason"], "cancelled");
}

#[test]
fn an_id_may_be_short_but_means_one_session() {
    let (home, ids) = with(&["one", "two"]);
    let same = ids[0].chars().zip(ids[1].chars()).take_while(|(one, two)| one == two).count();
    assert!(same >= 4, "{ids:?}");
    let short: String = ids[0].chars().take(4).collect();
    let why = refused(&home, &["sessions", "show", &short], 1);
    assert!(why.contains("2 sessions begin with"), "{why}");
    let enough: String = ids[0].chars().take(same + 1).collect();
    assert!(done(&home, &["sessions", "show", &enough]).contains("You said one."));
    let why = refused(&home, &["sessions", "show", "abc"], 2);
    assert!(why.contains("too short"), "{why}");
    for command in ["show", "export", "delete"] {
        let arguments = ["sessions", command, "ffffffff", "--yes"];
        let arguments = if command == "delete" { &arguments[..] } else { &arguments[..3] };
        let why = refused(&home, arguments, 1);
        assert!(why.contains("There is no session `ffffffff`."), "{why}");
        assert!(why.contains("`talaria sessions list`"), "{why}");
    }
    refused(&home, &["sessions", "show"], 2);
    refused(&home, &["sessions", "nothing"], 2);
    refused(&home, &["sessions", "list", "--limit", "0"], 2);
}

#[test]
fn a_journal_is_exported_as_lines_of_json() {
    let (home, ids) = with(&["hello"]);
    let lines = done(&home, &["sessions", "export", &ids[0]]);
    let records: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = records.iter().filter_map(|record| record["kind"].as_str()).collect();
    assert_eq!(kinds[0], "opened");
    assert!(kinds.contains(&"reply") && kinds.contains(&"end"), "{kinds:?}");
    for (at, record) in records.iter().enumerate() {
        assert_eq!(record["seq"], at + 1);
        assert!(record["body"][record["kind"].as_str().unwrap()].is_object(), "{record}");
        assert!(record["at"].as_u64() > Some(0) && record["epoch"] == 1 && record["version"] == 1);
    }
    let file = home.work().join("out/journal.jsonl");
    let said = done(&home, &["sessions", "export", "last", "--output", "out/journal.jsonl"]);
    assert_eq!(said, "Written to `out/journal.jsonl`.\n");
    assert_eq!(std::fs::read_to_string(file).unwrap(), lines);
    let why = refused(&home, &["sessions", "export", "last", "--output", "/dev/null/x"], 1);
    assert!(why.contains("Cannot write `/dev/null/x`"), "{why}");
}

#[test]
fn a_script_is_written_by_its_title() {
    let (home, _) = with(&["Hello, you!"]);
    let said = done(&home, &["sessions", "export", "last", "--script", "--output", "tests"]);
    assert!(said.contains("`talaria drive tests/hello_you.drive`"), "{said}");
    let script = home.read("tests/hello_you.drive");
    assert_eq!(done(&home, &["sessions", "export", "last", "--script"]), script);
    assert!(done(&home, &["drive", "tests/hello_you.drive"]).starts_with("ok "));
    // The same session again; another one of that title has a file of its own.
    done(&home, &["sessions", "export", "last", "--script", "--output", "tests"]);
    done(&home, &["run", "Hello, you!"]);
    let other = id(&listed(&home)[0]);
    let said = done(&home, &["sessions", "export", "last", "--script", "--output", "tests"]);
    assert!(said.contains(&format!("`talaria drive tests/hello_you_{other}.drive`")), "{said}");
    assert_eq!(home.read("tests/hello_you.drive"), script);
}

#[test]
fn what_is_deleted_is_gone_and_the_rest_stays() {
    let (home, ids) = with(&["one", "two", "three"]);
    let why = refused(&home, &["sessions", "delete", &ids[0]], 2);
    assert!(why.contains("`--yes`"), "{why}");
    assert_eq!(listed(&home).len(), 3);
    let output =
        talaria(&home, &["sessions", "delete", &ids[0], "ffffffff", &ids[1], &ids[1], "--yes"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout).matches("Deleted `").count(), 2, "{output:?}");
    assert!(text(&output.stderr).contains("There is no session `ffffffff`."));
    assert_eq!(listed(&home).iter().map(id).collect::<Vec<_>>(), [ids[2].clone()]);
    let said = done(&home, &["sessions", "delete", "last", "--yes"]);
    assert_eq!(said, format!("Deleted `{}` (three).\n", ids[2]));
}

#[test]
fn an_index_is_made_anew() {
    let (home, _) = with(&["one", "two"]);
    let before = listed(&home);
    let said = done(&home, &["sessions", "reindex"]);
    assert!(said.starts_with("2 sessions with ") && said.ends_with(" records.\n"), "{said}");
    assert_eq!(listed(&home), before);
}

#[test]
fn without_a_store_it_says_so() {
    let home = Home::scripted(SCRIPT);
    home.write_config("store:\n  enabled: false\n");
    done(&home, &["run", "hello"]);
    for arguments in
        [&["sessions", "list"][..], &["sessions", "reindex"], &["sessions", "show", "last"]]
    {
        let why = refused(&home, arguments, 1);
        assert!(why.contains("`store.enabled` is false"), "{why}");
    }
    let why = refused(&home, &["run", "--continue", "hello"], 1);
    assert!(why.contains("`store.enabled` is false"), "{why}");
}

/// Where the database is.
fn database(home: &Home) -> PathBuf {
    let mut folders = vec![home.state()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name == "talaria.db") {
                return path;
            }
        }
    }
    panic!("there is no database");
}

#[test]
fn a_damaged_or_newer_database_is_told_of() {
    let (home, _) = with(&["hello"]);
    let file = database(&home);
    let mut newer = std::fs::read(&file).unwrap();
    // The place of SQLite's `user_version`.
    newer[60..64].copy_from_slice(&9_999_u32.to_be_bytes());
    std::fs::write(&file, newer).unwrap();
    let why = refused(&home, &["sessions", "list"], 1);
    assert!(why.contains("9999") && why.contains("Update Talaria"), "{why}");
    let output = talaria(&home, &["run", "hello"]);
    assert!(text(&output.stdout).contains("This session is not being saved"), "{output:?}");
    assert!(text(&output.stderr).contains("not saved when it ended"), "{output:?}");
    std::fs::write(&file, "this is no database, and never was one".repeat(100)).unwrap();
    let why = refused(&home, &["sessions", "list"], 1);
    assert!(why.contains("damaged"), "{why}");
    assert_eq!(why.lines().count(), 1, "{why}");
}

#[test]
fn run_goes_on_with_the_last_session_of_the_folder() {
    let home = Home::scripted(
        "when prompt \"one\"\n say \"First.\"\nwhen prompt \"two\"\n expect items 3\n say \"Second.\"\n\
         when prompt \"three\"\n expect items 5\n say \"Third.\"\nwhen any\n say \"Elsewhere.\"",
    );
    let why = refused(&home, &["run", "--continue", "two"], 1);
    assert!(why.starts_with("talaria run: There is no session of `"), "{why}");
    done(&home, &["run", "one"]);
    let session = id(&listed(&home)[0]);
    home.write("sub/file", "");
    done(&home, &["run", "--cwd", "sub", "other"]);
    let said = done(&home, &["run", "--continue", "two"]);
    assert!(said.contains(&format!("Going on with {session}: one")), "{said}");
    assert!(said.contains("Second.") && !said.contains("First."), "{said}");
    let said = done(&home, &["run", "--continue", "three"]);
    assert!(said.contains("Third.") && !said.contains("Second."), "{said}");
    assert_eq!(listed(&home).len(), 2);
    assert_eq!(listed(&home)[0]["prompts"], 3);
}

#[test]
#[cfg(unix)]
fn a_session_that_was_opened_by_a_link_is_one_of_the_folder() {
    let home = Home::scripted(SCRIPT);
    let real = home.write("real/file", "").parent().unwrap().to_owned();
    let more = home.write("more/file", "").parent().unwrap().to_owned();
    let link = home.work().join("link");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let mut agent = Agent::ready(&home);
    let params = json!({ "cwd": link, "mcpServers": [], "additionalDirectories": [more] });
    let session = agent.call("session/new", &params).result()["sessionId"].clone();
    let session = session.as_str().unwrap();
    agent.ask(session, "hello there").result();
    drop(agent);
    for cwd in ["real", "link"] {
        let listed = done(&home, &["sessions", "list", "--json", "--cwd", cwd]);
        let listed: Value = serde_json::from_str(&listed).unwrap();
        assert_eq!((&listed["id"], &listed["cwd"]), (&json!(session), &json!(link)));
        assert_eq!(listed["additional"], json!([more]));
    }
    let shown = Command::new(env!("CARGO_BIN_EXE_talaria"))
        .args(["sessions", "show", "last"])
        .current_dir(&real)
        .env("TALARIA_HOME", home.state())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(text(&shown.stdout).contains("hello there"), "{}", text(&shown.stderr));
    let said = done(&home, &["run", "--cwd", "real", "--continue", "more"]);
    assert!(said.contains(&format!("Going on with {session}")), "{said}");
    // It has the folders that it had.
    assert_eq!(listed(&home)[0]["additional"], json!([more]));
}

#[test]
fn run_goes_on_with_a_session_by_its_id() {
    let (home, ids) = with(&["one", "two"]);
    let said = done(&home, &["run", "--session", &ids[0], "--json", "more"]);
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let result = lines.last().unwrap();
    assert_eq!(result["sessionId"], ids[0].as_str());
    assert_eq!(result["stopReason"], "end_turn");
    assert_eq!(id(&listed(&home)[0]), ids[0]);
    // From another folder it works in its own.
    home.write("sub/file", "");
    let output = Command::new(env!("CARGO_BIN_EXE_talaria"))
        .args(["run", "--session", &ids[1], "--mode", "accept-edits", "write"])
        .current_dir(home.work().join("sub"))
        .env("TALARIA_HOME", home.state())
        .env("TALARIA_MODEL", format!("scripted:{}", home.script().display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(home.exists("new.txt") && !home.exists("sub/new.txt"));
    let short: String = ids[0].chars().take(4).collect();
    let why = refused(&home, &["run", "--session", &short, "more"], 1);
    assert!(why.contains("2 sessions begin with"), "{why}");
    let why = refused(&home, &["run", "--session", "ffffffff", "more"], 1);
    assert!(why.contains("There is no session `ffffffff`."), "{why}");
    assert!(refused(&home, &["run", "--session", "abc", "more"], 2).contains("too short"));
    refused(&home, &["run", "--session", &ids[0], "--continue", "more"], 2);
    refused(&home, &["run", "--demo", "--continue"], 2);
}

#[test]
fn a_new_session_is_named_in_the_result() {
    let home = Home::scripted(SCRIPT);
    let said = done(&home, &["run", "--json", "hello"]);
    let result: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(result["sessionId"], id(&listed(&home)[0]).as_str());
    // Advice is for people.
    assert!(!done(&home, &["run", "hello"]).contains("--continue"));
}

/// A session that does a task of `parent`.
fn with_child(home: &Home, parent: &str) -> &'static str {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = database(home).parent().unwrap().to_owned();
        let (store, _guard) = Store::start(Settings { folder, clock: Clock::real() });
        let opened = Opened {
            cwd: home.work(),
            additional: Vec::new(),
            version: "1".to_owned(),
            forked_from: None,
            parent: Some(SessionId::new(parent)),
        };
        let mut journal = store.create(&SessionId::new("child-of-it"), opened, Arc::default());
        let message = MessageId::new("m1");
        let content = vec![Content::text("do it")];
        let prompt = Prompt { id: PromptId(0), message, content, from: Author::User };
        journal.append(Record::Prompt { prompt }, Durability::Process);
        assert_eq!(journal.flush().await.trouble, None);
    });
    "child-of-it"
}

#[test]
fn a_session_of_a_task_is_in_no_list_and_found_by_its_id() {
    let (home, ids) = with(&["one"]);
    let child = with_child(&home, &ids[0]);
    let listed: Vec<String> = listed(&home).iter().map(id).collect();
    assert_eq!(listed, ids);
    assert!(done(&home, &["sessions", "show", child]).contains("do it"));
    assert!(done(&home, &["sessions", "export", child]).contains(&ids[0]));
    done(&home, &["sessions", "reindex"]);
    assert!(done(&home, &["sessions", "show", child]).contains("do it"));
    done(&home, &["sessions", "delete", &ids[0], "--yes"]);
    refused(&home, &["sessions", "show", child], 1);
}
