//! "Always" and what it covers; patterns of the configuration. Checklist 63–64.

use std::os::unix::fs::symlink;

use super::{is_asked, obeying, obeying_with, refused, three, turn};
use serde_json::json;

use crate::support::agent::Agent;
use crate::support::client::selected;
use crate::support::home::Home;

#[test]
fn c64_always_settles_what_waits_and_is_covered() {
    for (option, statuses) in [
        ("allow_always", ["completed", "failed", "completed"]),
        ("reject_always", ["failed", "failed", "failed"]),
    ] {
        let (_home, mut agent, session) = three();
        let mut asked = Vec::new();
        let answer = agent.turn(&session, "go", |request| {
            let title = request["params"]["toolCall"]["title"].as_str().unwrap().to_owned();
            // Which of them is asked for first is a matter of the disk.
            let one = title.contains("/one/");
            asked.push(one);
            selected(if one { option } else { "reject_once" })
        });
        asked.sort_unstable();
        assert_eq!(asked, [false, true], "{answer:#?}");
        let found: Vec<&str> = answer.calls().iter().map(|id| answer.status(id)).collect();
        assert_eq!(found, statuses);
        // It is remembered.
        let answer = agent.turn(&session, "go", |request| {
            let title = request["params"]["toolCall"]["title"].as_str().unwrap();
            assert!(title.contains("/two/"), "{title}");
            selected("reject_once")
        });
        let found: Vec<&str> = answer.calls().iter().map(|id| answer.status(id)).collect();
        assert_eq!(found, statuses);
    }
}

#[test]
fn c64_always_allowing_edits_covers_files_of_the_project_in_this_session() {
    let (home, mut agent, session) = obeying();
    assert_eq!(turn(&mut agent, &session, "write a.txt", "allow_always").asked, 1);
    assert!(!is_asked(&mut agent, &session, "write deep/b.txt"));
    assert!(home.exists("a.txt") && home.exists("deep/b.txt"));
    for other in ["run true", "write ../outside.txt", "write .git/config", "read ../there.txt"] {
        assert!(is_asked(&mut agent, &session, other), "{other}");
    }
    let second = agent.new_session(&home);
    assert!(is_asked(&mut agent, &second, "write c.txt"));
    assert!(!is_asked(&mut agent, &session, "write c.txt"));
}

#[test]
fn c64_always_allowing_a_command_covers_its_kind() {
    let (home, mut agent, session) = obeying();
    assert_eq!(turn(&mut agent, &session, "run true -a", "allow_always").asked, 1);
    assert!(!is_asked(&mut agent, &session, "run true -b --c"));
    for other in [
        "run true sub",
        "run truest",
        "run /bin/true -a",
        "run true -a; touch made",
        "run true -a && touch made",
        "run true -a | touch made",
        "run true -a & touch made",
        "run true $(touch made)",
        "run true `touch made`",
        "run true -a > made",
        "run true -a\ntouch made",
        "run PATH=. true -a",
        "run sh -c 'touch made'",
        "write made",
    ] {
        assert!(is_asked(&mut agent, &session, other), "{other}");
    }
    assert!(!home.exists("made"));
    let second = agent.new_session(&home);
    assert!(is_asked(&mut agent, &second, "run true -a"));
}

#[test]
fn c64_always_allowing_a_line_with_operators_covers_that_line() {
    let (home, mut agent, session) = obeying();
    let id = agent.prompt(&session, "run true; touch one");
    let (_, request) = agent.asked();
    let name = &request["params"]["options"][1]["name"];
    assert_eq!(name, "Always allow exactly this command in this session");
    agent.say(&request, selected("allow_always"));
    agent.wait(&id);
    assert!(home.exists("one"));
    assert!(!is_asked(&mut agent, &session, "run true; touch one"));
    assert!(is_asked(&mut agent, &session, "run true; touch two"));
    assert!(is_asked(&mut agent, &session, "run true"));
    // Programs that run other programs are no kind of their own.
    assert_eq!(turn(&mut agent, &session, "run env true", "allow_always").asked, 1);
    assert!(is_asked(&mut agent, &session, "run env touch two"));
    assert!(!home.exists("two"));
}

#[test]
fn c64_always_rejecting_refuses_from_then_on() {
    let (home, mut agent, session) = obeying();
    let became = turn(&mut agent, &session, "write a.txt", "reject_always");
    assert!(became.said().starts_with("denied: the user refused"), "{}", became.said());
    // Also where the mode would let it pass.
    for mode in ["ask", "accept-edits", "bypass"] {
        agent.set_mode(&session, mode);
        let why = refused(&mut agent, &session, "write b.txt");
        assert!(why.contains("edits of files in this project"), "{why}");
    }
    agent.set_mode(&session, "ask");
    assert!(is_asked(&mut agent, &session, "run true"));
    let second = agent.new_session(&home);
    assert!(is_asked(&mut agent, &second, "write a.txt"));
    assert!(!home.exists("a.txt") && !home.exists("b.txt"));
}

#[test]
fn c63_what_the_configuration_denies_is_refused_in_every_mode() {
    let (home, mut agent, session) =
        obeying_with("permissions:\n  deny: [\"rm *\", \"*/secret/*\", \"touch never*\"]\n");
    home.write("secret/a.txt", "SECRET\n");
    symlink("secret", home.work().join("alias")).unwrap();
    for mode in ["ask", "accept-edits", "bypass"] {
        agent.set_mode(&session, mode);
        for prompt in [
            "run rm -rf x",
            "run   rm -rf x",
            "run true && rm -rf x",
            "run true; (rm -rf x)",
            "run touch never",
            "read secret/a.txt",
            "read alias/a.txt",
            "write secret/b.txt",
        ] {
            let why = refused(&mut agent, &session, prompt);
            assert!(why.contains("permissions.deny") && !why.contains("SECRET"), "{why}");
        }
    }
    assert!(!home.exists("never") && !home.exists("secret/b.txt"));
}

#[test]
fn c63_commands_that_the_configuration_allows_are_not_asked_for() {
    let (home, mut agent, session) =
        obeying_with("permissions:\n  allow: [\"true *\", \"echo a; echo b\"]\n");
    for prompt in ["run true x", "run echo a; echo b"] {
        assert!(!is_asked(&mut agent, &session, prompt), "{prompt}");
    }
    for prompt in [
        "run true",
        "run true x; touch made",
        "run true $(touch made)",
        "run echo a; echo b; echo c",
    ] {
        assert!(is_asked(&mut agent, &session, prompt), "{prompt}");
    }
    assert!(!home.exists("made"));
    agent.set_mode(&session, "plan");
    assert!(refused(&mut agent, &session, "run true x").contains("plan mode"));
}

#[test]
fn c64_always_settles_a_hundred_questions_at_once() {
    let home = Home::empty();
    let outside = home.work().parent().unwrap().join("outside.txt");
    std::fs::write(&outside, "outside\n").unwrap();
    let call = format!(" call read {}\n", json!({ "path": outside }));
    let script = format!("when any\n{}then\n say \"done\"\n", call.repeat(100));
    std::fs::write(home.script(), script).unwrap();
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let answer = agent.turn(&session, "go", |_| selected("allow_always"));
    assert_eq!(answer.text(), "done");
    assert_eq!(answer.requests("session/request_permission").len(), 1);
    assert_eq!(answer.calls().len(), 100);
    assert!(answer.calls().iter().all(|id| answer.status(id) == "completed"));
}

#[test]
fn c63_what_the_configuration_denies_is_not_read_around() {
    let (home, mut agent, session) = obeying_with(
        "permissions:\n  mode: bypass\n  deny: [\"*/.env\", \"*/vault\", \"*/linked.txt\"]\n",
    );
    home.write(".env", "SECRET nowhere in its\n");
    home.write("vault/deep/key.txt", "SECRET nowhere in its\n");
    home.write("plain.txt", "SECRET of nobody\n");
    symlink("plain.txt", home.work().join("linked.txt")).unwrap();
    for prompt in [
        "read .env",
        "edit .env",
        "write .env",
        "grep .env",
        "read vault/deep/key.txt",
        "edit vault/deep/key.txt",
        "grep vault",
        "grep vault/deep",
        "list vault/deep",
        "glob vault",
        "read linked.txt",
    ] {
        let why = refused(&mut agent, &session, prompt);
        assert!(why.contains("permissions.deny"), "{prompt}: {why}");
        assert!(!why.contains("SECRET") && !why.contains("nowhere"), "{prompt}: {why}");
    }
    for prompt in ["grep .", "list .", "glob .", "read .evn", "read vautl"] {
        let said = turn(&mut agent, &session, prompt, "allow_once").said();
        assert!(!said.contains(".env") && !said.contains("vault`"), "{prompt}: {said}");
        assert!(!said.contains("vault/") && !said.contains("key.txt"), "{prompt}: {said}");
        assert_eq!(said.contains("plain.txt"), !prompt.starts_with("read"), "{prompt}: {said}");
    }
}
