//! How isolated tasks begin and end: without a repository, cancelled, killed, with their session.

use std::time::{Duration, Instant};

use serde_json::json;

use super::repository::Repository;
use super::{SCRIPT, chat, done, files, until_half};
use crate::support::home::Home;
use crate::support::tasks::Chat;

/// Within which a cancelled task is over.
const SOON: Duration = Duration::from_secs(2);

#[test]
fn without_a_repository_or_a_commit_the_task_fails_and_says_what_to_do() {
    let home = Home::scripted(SCRIPT);
    let mut chat = Chat::new(&home);
    chat.set_mode("bypass");
    for (task, words) in [("t1", "`git init`"), ("t2", "commit something")] {
        chat.say("isolated run true");
        let card = chat.until(task, "failed");
        let collected = chat.outcome(&format!("collect {task}"));
        let error = collected["tasks"][0]["error"].as_str().unwrap();
        assert!(error.contains(words) && error.contains("isolation: worktree"), "{card} {error}");
        assert!(chat.say(&format!("/diff {task}")).contains("no tree of its own"));
        if task == "t1" {
            Repository::new(&home);
        }
    }
}

#[test]
fn a_cancelled_one_leaves_what_it_did() {
    let (home, repository, mut chat) = chat();
    chat.say("isolated halves gate");
    until_half(&mut chat, "t1");
    let running = chat.say("/diff t1");
    assert!(running.contains("`t1` running") && running.contains("+half"), "{running}");
    let refused = chat.say("/merge t1");
    assert!(refused.contains("`t1` is running; wait until it has ended"), "{refused}");
    assert!(chat.say("/discard t1").contains("`t1` is running"));
    let begun = Instant::now();
    chat.say("/cancel t1");
    chat.until("t1", "cancelled");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    home.open_gate("gate");
    let changes = chat.outcome("collect t1")["tasks"][0]["changes"].clone();
    assert_eq!(files(&changes), ["A half.txt"]);
    assert!(chat.say("/diff t1").contains("+half"));
    chat.say("/merge t1");
    assert_eq!(repository.status(), "?? half.txt\n");
}

#[test]
fn one_whose_process_was_killed_goes_on_in_its_tree() {
    let (home, repository, mut chat) = chat();
    chat.say("isolated halves gate");
    until_half(&mut chat, "t1");
    let tree = repository.tree();
    let session = chat.kill();
    let mut chat = Chat::load(&home, &session);
    chat.set_mode("bypass");
    chat.until("t1", "interrupted");
    let diff = chat.say("/diff t1");
    assert!(diff.contains("`t1` interrupted") && diff.contains("+half"), "{diff}");
    assert!(chat.say("/merge t1").contains("`t1` is interrupted"));
    chat.say("/resume t1");
    chat.until("t1-2", "completed");
    assert_eq!(repository.tree(), tree);
    let changes = chat.outcome("collect t1")["tasks"][0]["changes"].clone();
    assert_eq!(files(&changes), ["A half.txt", "A rest.txt"]);
    chat.say("/merge t1");
    assert_eq!(repository.status(), "?? half.txt\n?? rest.txt\n");
    assert_eq!((repository.branches().len(), repository.trees()), (0, 0));
}

#[test]
fn an_interrupted_one_can_be_discarded() {
    let (home, repository, mut chat) = chat();
    chat.say("isolated halves gate");
    until_half(&mut chat, "t1");
    let session = chat.kill();
    let mut chat = Chat::load(&home, &session);
    chat.until("t1", "interrupted");
    assert!(chat.say("/discard t1").contains("are discarded"));
    assert_eq!((repository.branches().len(), repository.trees()), (0, 0));
}

#[test]
fn the_tree_outlives_the_process_after_the_end_of_its_task() {
    let (home, repository, mut chat) = chat();
    done(&mut chat, "t1", "run echo new > new.txt");
    let session = chat.kill();
    let mut chat = Chat::load(&home, &session);
    assert!(chat.say("/diff t1").contains("+new"));
    chat.say("/merge t1");
    assert_eq!(repository.status(), "?? new.txt\n");
}

#[test]
fn it_writes_in_its_tree_unasked_and_in_the_users_only_when_allowed() {
    let (home, repository, mut chat) = chat();
    chat.set_mode("accept-edits");
    let changes = done(&mut chat, "t1", "put inside.txt");
    assert_eq!(files(&changes), ["A inside.txt"]);
    assert_eq!(chat.dialogs().len(), 0);
    let outside = home.work().join("outside.txt");
    chat.prompt(&format!("isolated put {}", outside.display()));
    let dialog = chat.asked();
    chat.choose(&dialog, "reject_once");
    chat.until("t2", "completed");
    assert!(!outside.exists());
    assert_eq!(repository.status(), "");
}

#[test]
fn with_a_deleted_session_its_trees_go_and_branches_with_changes_stay() {
    for by_client in [true, false] {
        let (home, repository, mut chat) = chat();
        let changes = done(&mut chat, "t1", "run echo new > new.txt");
        done(&mut chat, "t2", "run true");
        assert_eq!(repository.trees(), 2);
        let session = chat.session.clone();
        let params = json!({ "sessionId": session });
        if by_client {
            let response = chat.call("session/delete", &params);
            assert!(response.get("error").is_none(), "{response}");
        } else {
            let response = chat.call("session/close", &params);
            assert!(response.get("error").is_none(), "{response}");
            let talaria = home.command();
            let mut command = std::process::Command::new(talaria.get_program());
            let environment = talaria
                .get_envs()
                .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
            command.env_clear().envs(environment).args(["sessions", "delete", &session, "--yes"]);
            let output = command.output().unwrap();
            assert!(output.status.success(), "{output:?}");
        }
        assert_eq!(repository.trees(), 0);
        assert_eq!(repository.branches(), [changes["branch"].as_str().unwrap()]);
        let worktrees = home.state().join("worktrees");
        assert!(!worktrees.join(&session).exists());
    }
}
