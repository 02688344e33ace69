//! `talaria run` as a user calls it, and what it gives to commands.

use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::client::nothing_asked;
use crate::support::home::Home;

/// `talaria run`, in the environment of `home` and its work folder.
fn run(home: &Home, arguments: &[&str], set: impl FnOnce(&mut Command)) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_talaria"));
    command
        .arg("run")
        .args(arguments)
        .current_dir(home.work())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("TALARIA_HOME", home.state())
        .stdin(Stdio::null());
    set(&mut command);
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const ENV: &str = r#"
    when any
      call terminal {"command": "env"}
    then
      say "${outcome}"
"#;

fn assert_kept_from_commands(said: &str) {
    // By that alone a server knows what its tools run.
    let own = said.matches("TALARIA_TOOL_OF=").count();
    assert!(own > 0 && said.matches("TALARIA_").count() == own, "{said}");
    assert!(said.contains("OPENAI_API_KEY=of-the-shell"), "{said}");
}

#[test]
fn commands_get_no_variable_of_ours() {
    let home = Home::scripted(ENV);
    let output = run(&home, &["--mode", "bypass", "go"], |command| {
        command
            .env("TALARIA_MODEL", format!("scripted:{}", home.script().display()))
            .env("TALARIA_API_KEY", "secret")
            .env("OPENAI_API_KEY", "of-the-shell");
    });
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_kept_from_commands(&text(&output.stdout));

    home.write_config("permissions:\n  mode: bypass\n");
    let mut command = home.command();
    command.env("TALARIA_API_KEY", "secret").env("OPENAI_API_KEY", "of-the-shell");
    let mut agent = Agent::spawn(command);
    agent.initialize(&json!({}));
    let session = agent.new_session(&home);
    assert_kept_from_commands(&agent.turn(&session, "go", nothing_asked).text());
}

#[test]
fn paths_are_meant_from_where_the_user_stands() {
    let home = Home::empty();
    home.write("s.script", "when any\n say \"played\"");
    home.write("sub/s.script", "when any\n say \"another\"");
    home.write("home/config.yaml", "permissions:\n  mode: plan\n");
    let by_flag = ["--cwd", "sub", "--model", "scripted:s.script", "--json", "go"];
    let by_variable = ["--cwd", "sub", "--json", "go"];
    for arguments in [by_flag.as_slice(), by_variable.as_slice()] {
        let output = run(&home, arguments, |command| {
            command.env("TALARIA_HOME", "home").env("TALARIA_MODEL", "scripted:s.script");
        });
        let said = text(&output.stdout);
        assert!(said.contains("played"), "{said}{}", text(&output.stderr));
        assert!(!home.exists("sub/home"), "the home is beside `sub`, not in it");
    }
}

#[test]
fn a_failure_is_said_once() {
    let home = Home::scripted("when any\n fail auth \"the key was refused\"");
    let output = run(&home, &["go"], |command| {
        command.env("TALARIA_MODEL", format!("scripted:{}", home.script().display()));
    });
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1));
    assert!(!out.to_lowercase().contains("refused"), "{out}");
    assert_eq!(err.to_lowercase().matches("the key was refused").count(), 1, "{err}");
    assert!(err.starts_with("talaria run: "), "{err}");
}

const TASKS: &str = r#"
    when prompt "start *"
      call delegate_task_async {"goal": "${1}"}
    then
      say "Started."
    when prompt "break *"
      call delegate_task_async {"goal": "${1}"}
    then
      fail auth "the key was refused"
    when prompt "slow"
      delay 1500ms
      say "Slow, but done."
    when prompt "[Talaria]*"
      say "That is all."
    when prompt "*nterrupted*"
      delay 500ms
      call write {"path": "new.txt", "content": "new\n"}
    when prompt "write"
      delay 500ms
      call write {"path": "new.txt", "content": "new\n"}
    then
      say "Never said."
"#;

fn run_tasks(home: &Home, arguments: &[&str]) -> Output {
    run(home, arguments, |command| {
        command.env("TALARIA_MODEL", format!("scripted:{}", home.script().display()));
    })
}

#[test]
fn a_run_lasts_until_its_tasks_are_over() {
    let home = Home::scripted(TASKS);
    let output = run_tasks(&home, &["start slow"]);
    let out = text(&output.stdout);
    assert!(output.status.success(), "{out}");
    let lines: Vec<&str> = out.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines[..3], ["› start slow", "◦ `t1` · slow … started", "Started."], "{out}");
    assert!(lines[3].starts_with("● `t1` · slow … completed"), "{out}");
    let by_itself = [
        "    Slow, but done.",
        "`t1` has reported; Talaria goes on with it by itself. `/stop` ends that.",
        "That is all.",
        "The follow-up to `t1` is over.",
    ];
    assert_eq!(lines[4..], by_itself, "{out}");
    assert_eq!(text(&output.stderr), "");

    let output = run_tasks(&home, &["--json", "start slow"]);
    let out = text(&output.stdout);
    let mark = |line: &str| {
        let update: Value = serde_json::from_str(line).unwrap();
        update.pointer("/_meta/talaria/followUp").cloned()
    };
    let marks: Vec<Value> = out.lines().filter_map(mark).collect();
    let (last, before) = marks.split_last().unwrap_or_else(|| panic!("{out}"));
    assert!(out.lines().last().unwrap().contains("is over"), "{out}");
    assert_eq!(*last, json!({"generation": 1, "tasks": ["t1"], "over": true}), "{out}");
    assert!(before.iter().all(|mark| *mark == json!({"generation": 1, "tasks": ["t1"]})), "{out}");

    // The prompt's outcome is the run's.
    let output = run_tasks(&home, &["break slow"]);
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    assert!(out.contains("Slow, but done."), "{out}");
    assert!(text(&output.stderr).contains("the key was refused"));
}

#[test]
fn the_report_of_a_task_that_the_user_started_is_told() {
    let home = Home::scripted(TASKS);
    let output = run_tasks(&home, &["/task slow"]);
    let out = text(&output.stdout);
    let told =
        "`t1` has reported. The model reads it with your next prompt; `/collect` shows it.\n";
    assert!(output.status.success() && out.ends_with(told), "{out}");
}

#[test]
fn a_task_that_waits_for_a_permission_ends_the_run_and_goes_on_later() {
    let home = Home::scripted(TASKS);
    let output = run_tasks(&home, &["start write"]);
    let out = text(&output.stdout);
    assert!(output.status.success(), "{out}");
    let said = "`t1` waits for a permission and is interrupted with the end of this run; `talaria run \
                --continue \"/resume all\"` in a terminal lets it go on.";
    assert!(out.ends_with(&format!("{said}\n")), "{out}");

    let output = run_tasks(&home, &["--json", "--continue", "/resume all"]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(out.contains("`t1` is running"), "{out}{err}");
    assert!(!home.exists("new.txt") && err.contains("waits for a permission"), "{err}");
}

/// The end of a run that is interrupted behind a line, and its exit code.
#[cfg(unix)]
fn interrupted_behind(home: &Home, line: &str) -> (String, Option<i32>) {
    use std::io::{BufRead, BufReader};

    let mut command = Command::new(env!("CARGO_BIN_EXE_talaria"));
    command
        .args(["run", "start slow"])
        .current_dir(home.work())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("TALARIA_HOME", home.state())
        .env("TALARIA_MODEL", format!("scripted:{}", home.script().display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while lines.next().unwrap().unwrap() != line {}
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    (rest.join("\n"), child.wait().unwrap().code())
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_the_wait_for_tasks() {
    let home = Home::scripted(&TASKS.replace("1500ms", "60s"));
    let (rest, code) = interrupted_behind(&home, "Started.");
    assert!(rest.ends_with("`talaria run --continue \"/resume all\"` lets it go on."), "{rest}");
    assert_eq!(code, Some(130), "{rest}");
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_the_turn_that_a_report_started() {
    let script =
        TASKS.replace("say \"That is all.\"", "say \"Well,\\n\"\n delay 60s\n say \"no.\"");
    let home = Home::scripted(&script.replace("1500ms", "10ms"));
    let (rest, code) = interrupted_behind(&home, "Well,");
    let stopped = "The follow-up to `t1` was stopped.";
    assert_eq!(rest, format!("Cancelling; once more ends the agent.\n{stopped}"));
    assert_eq!(code, Some(130));
}
