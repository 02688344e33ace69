//! `talaria run` as a user calls it, and what it gives to commands.

use std::process::{Command, Output, Stdio};

use serde_json::json;

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
    assert!(!said.contains("TALARIA_"), "{said}");
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
