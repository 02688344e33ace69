//! What each mode lets pass, asks for and refuses, inside and outside the project. Checklist 63.

use std::os::unix::fs::symlink;

use serde_json::json;

use super::{OBEYS, is_asked, obeying, obeying_with, refused, turn};
use crate::support::agent::Agent;
use crate::support::client::{nothing_asked, selected};
use crate::support::home::Home;

const ASKING: [&str; 2] = ["ask", "accept-edits"];

#[test]
fn c63_plan_mode_changes_and_runs_nothing() {
    let (home, mut agent, session) = obeying();
    home.write("there.txt", "nowhere in it\n");
    assert_eq!(turn(&mut agent, &session, "write a.txt", "allow_always").asked, 1);
    agent.set_mode(&session, "plan");
    // An "always" of another mode is no reason.
    for prompt in ["write a.txt", "write new.txt", "edit there.txt", "run touch new.txt"] {
        let answer = agent.turn(&session, prompt, nothing_asked);
        assert_eq!(answer.only_card()["status"], "failed");
        let text = answer.text();
        assert!(text.starts_with("denied: plan mode is on"), "{text}");
    }
    assert_eq!(home.read("there.txt"), "nowhere in it\n");
    assert!(!home.exists("new.txt"));
    let answer = agent.turn(&session, "read there.txt", nothing_asked);
    assert!(answer.text().contains("nowhere in it"));
    assert!(agent.turn(&session, "grep .", nothing_asked).text().contains("no matches"));
    // It asks nobody, so what is outside is not read either.
    home.write_outside("secret.txt", "SECRET\n");
    assert!(!refused(&mut agent, &session, "read ../secret.txt").contains("SECRET"));
}

#[test]
fn c63_accept_edits_asks_for_commands_and_for_what_is_outside() {
    let (home, mut agent, session) = obeying();
    agent.set_mode(&session, "accept-edits");
    assert!(!is_asked(&mut agent, &session, "write deep/a.txt"));
    assert!(home.exists("deep/a.txt"));
    assert!(is_asked(&mut agent, &session, "run touch b.txt"));
    assert!(is_asked(&mut agent, &session, "write ../b.txt"));
    assert!(!home.exists("b.txt") && !home.exists("../b.txt"));
}

#[test]
fn c63_bypass_asks_nobody() {
    let (home, mut agent, session) = obeying();
    agent.set_mode(&session, "bypass");
    home.write_outside("secret.txt", "SECRET\n");
    for prompt in [
        "write a.txt",
        "run touch b.txt",
        "write ../c.txt",
        "write .git/config",
        "read ../secret.txt",
    ] {
        let answer = agent.turn(&session, prompt, nothing_asked);
        assert_eq!(answer.only_card()["status"], "completed", "{}", answer.text());
    }
    assert!(
        ["a.txt", "b.txt", "../c.txt", ".git/config"].into_iter().all(|name| home.exists(name))
    );
}

const CONTENT: &str = "that nobody shall see";

/// A project whose links lead out of it, to `../private/secret.txt`.
fn leaky(config: &str) -> (Home, Agent, String) {
    let (home, agent, session) = obeying_with(config);
    let secret = home.write_outside("private/secret.txt", &format!("SECRET {CONTENT}\n"));
    symlink(&secret, home.work().join("link.txt")).unwrap();
    symlink("../private", home.work().join("folder")).unwrap();
    symlink("link.txt", home.work().join("chain.txt")).unwrap();
    symlink("../private/missing.txt", home.work().join("dangling.txt")).unwrap();
    (home, agent, session)
}

#[test]
fn c63_what_is_outside_is_asked_for_and_not_shown_before() {
    for mode in ASKING {
        let (home, mut agent, session) = leaky(&format!("permissions:\n  mode: {mode}\n"));
        let absolute = format!("read {}", home.work().join("../private/secret.txt").display());
        for prompt in [
            "read ../private/secret.txt",
            "read missing/../../private/secret.txt",
            "read ~/private/secret.txt",
            "read link.txt",
            "read chain.txt",
            "read folder/secret.txt",
            "read folder/missing.txt",
            "list ../private",
            "list folder",
            "glob ../private",
            "glob folder",
            "grep ../private",
            "grep folder",
            "grep link.txt",
            "edit ../private/secret.txt",
            "edit link.txt",
            "edit folder/secret.txt",
            "write ../private/secret.txt",
            "write link.txt",
            "write chain.txt",
            "write folder/new.txt",
            "write dangling.txt",
            &absolute,
        ] {
            let id = agent.prompt(&session, prompt);
            let (before, request) = agent.asked();
            let told = format!("{before:?} {request}");
            assert!(!told.contains(CONTENT), "{prompt}: {told}");
            // The user sees where it really goes.
            let place = &request["params"]["toolCall"];
            assert!(place["title"].as_str().unwrap().contains("private"), "{prompt}: {place}");
            agent.say(&request, selected("reject_once"));
            let answer = agent.wait(&id).after(before);
            assert!(answer.text().starts_with("denied: the user refused"), "{}", answer.text());
            assert!(!format!("{answer:?}").contains(CONTENT), "{answer:#?}");
        }
        assert_eq!(home.read("../private/secret.txt"), format!("SECRET {CONTENT}\n"));
        assert!(!home.exists("../private/new.txt") && !home.exists("../private/missing.txt"));
        let became = turn(&mut agent, &session, "read link.txt", "allow_once");
        assert!(became.asked == 1 && became.said().contains(CONTENT), "{}", became.said());
    }
}

#[test]
fn c63_commands_in_a_folder_outside_are_asked_for() {
    let script = "when any\n call terminal {\"command\": \"true\", \"cwd\": \"..\"}\nthen\n say \"${outcome}\"";
    let home = Home::scripted(script);
    home.write_config("permissions:\n  allow: [\"true\"]\n");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let id = agent.prompt(&session, "go");
    let (_, request) = agent.asked();
    let folder = home.work().parent().unwrap().display().to_string();
    let shown = request["params"]["toolCall"]["content"].to_string();
    assert!(shown.contains(&folder), "{shown}");
    assert!(request["params"]["options"][1]["name"].as_str().unwrap().contains(&folder));
    agent.say(&request, selected("reject_once"));
    agent.wait(&id);
}

#[test]
fn c63_additional_folders_are_inside() {
    let home = Home::scripted(OBEYS);
    home.write_outside("more/a.txt", "text\n");
    home.write_outside("else/a.txt", "text\n");
    let more = home.work().join("../more").canonicalize().unwrap();
    let mut agent = Agent::ready(&home);
    let params = json!({ "cwd": home.work(), "additionalDirectories": [more], "mcpServers": [] });
    let session =
        agent.call("session/new", &params).result()["sessionId"].as_str().unwrap().to_owned();
    assert!(!is_asked(&mut agent, &session, "read ../more/a.txt"));
    assert!(is_asked(&mut agent, &session, "read ../else/a.txt"));
    agent.set_mode(&session, "accept-edits");
    assert!(!is_asked(&mut agent, &session, "write ../more/b.txt"));
    assert!(is_asked(&mut agent, &session, "write ../else/b.txt"));
}

#[test]
fn c63_git_s_own_files_are_asked_for_also_when_edits_are_accepted() {
    let (home, mut agent, session) = obeying_with("permissions:\n  mode: accept-edits\n");
    std::fs::create_dir_all(home.work().join(".git/hooks")).unwrap();
    symlink(".git/hooks", home.work().join("hooks")).unwrap();
    for path in [
        ".git/hooks/pre-commit",
        ".git/new",
        "hooks/pre-push",
        "sub/.git/config",
        ".GIT/config",
        ".git",
    ] {
        if path == ".git" {
            // It is a folder here: the call fails before anybody is asked.
            let answer = agent.turn(&session, "write .git", nothing_asked);
            assert!(answer.text().starts_with("error: "), "{}", answer.text());
        } else {
            assert!(is_asked(&mut agent, &session, &format!("write {path}")), "{path}");
        }
    }
    assert!(!is_asked(&mut agent, &session, "write .gitignore"));
    // "Always" for them is not "always" for edits, and the other way round.
    assert_eq!(turn(&mut agent, &session, "write .git/hooks/pre-commit", "allow_always").asked, 1);
    assert!(!is_asked(&mut agent, &session, "write .git/hooks/pre-push"));
    agent.set_mode(&session, "ask");
    assert!(is_asked(&mut agent, &session, "write a.txt"));
}

/// Two writes, with a gate between them.
const TWO: &str = r#"
    when any
      call write {"path": "a.txt", "content": "a\n"}
    then
      say "between"
      gate go
      call write {"path": "b.txt", "content": "b\n"}
    then
      say "${outcome}"
"#;

#[test]
fn c63_a_mode_that_changes_in_a_turn_counts_from_the_next_call_on() {
    for (from, to) in [("ask", "accept-edits"), ("bypass", "plan")] {
        let home = Home::scripted(TWO);
        home.write_config(&format!("permissions:\n  mode: {from}\n"));
        let mut agent = Agent::ready(&home);
        let session = agent.new_session(&home);
        let id = agent.prompt(&session, "go");
        if from == "ask" {
            let (_, request) = agent.asked();
            agent.say(&request, selected("allow_once"));
        }
        agent.wait_for_text("between");
        agent.set_mode(&session, to);
        home.open_gate("go");
        let answer = agent.serve(&id, nothing_asked);
        assert!(home.exists("a.txt"));
        assert_eq!(home.exists("b.txt"), to != "plan");
        assert_eq!(answer.text().contains("plan mode is on"), to == "plan", "{}", answer.text());
    }
}

#[test]
fn c63_a_mode_that_changes_settles_no_open_question() {
    let (home, mut agent, session) = obeying();
    let id = agent.prompt(&session, "write a.txt");
    let (mut before, request) = agent.asked();
    before.extend(agent.set_mode(&session, "bypass").before);
    before.extend(agent.settle(&session));
    assert!(!home.exists("a.txt"));
    agent.say(&request, selected("reject_once"));
    let answer = agent.wait(&id).after(before);
    assert!(answer.text().starts_with("denied: "), "{}", answer.text());
    assert!(!home.exists("a.txt"));
}

#[test]
fn c63_a_path_that_leads_elsewhere_once_it_is_permitted_is_left_alone() {
    let home = Home::scripted(
        r#"
        when prompt "edit"
          call edit {"path": "folder/a.txt", "edits": [{"old_text": "text", "new_text": "new"}]}
        then
          say "${outcome}"
        when prompt "write"
          call write {"path": "folder/new.txt", "content": "new"}
        then
          say "${outcome}"
        when prompt "run"
          call terminal {"command": "touch new.txt", "cwd": "folder"}
        then
          say "${outcome}"
        when prompt "read"
          call read {"path": "link/a.txt"}
        then
          say "${outcome}"
        "#,
    );
    home.write_outside("private/a.txt", "SECRET text");
    home.write_outside("open/a.txt", "open text");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let folder = home.work().join("folder");
    let link = home.work().join("link");
    for prompt in ["edit", "write", "run", "read"] {
        home.write("folder/a.txt", "text");
        symlink("../open", &link).unwrap();
        let id = agent.prompt(&session, prompt);
        let (before, request) = agent.asked();
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::remove_file(&link).unwrap();
        symlink("../private", &folder).unwrap();
        symlink("../private", &link).unwrap();
        agent.say(&request, selected("allow_once"));
        let answer = agent.wait(&id).after(before);
        let text = answer.text();
        assert!(text.starts_with("error: the path leads elsewhere now"), "{prompt}: {text}");
        std::fs::remove_file(&folder).unwrap();
        std::fs::remove_file(&link).unwrap();
    }
    assert_eq!(home.read("../private/a.txt"), "SECRET text");
    assert!(!home.exists("../private/new.txt"));
}
