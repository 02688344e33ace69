//! Tasks in trees of their own, against real git: their changes are shown, merged and discarded by a client.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::panel::Panel;
use crate::support::home::Home;
use crate::support::tasks::MODEL;

fn git(home: &Home, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"])
        .args(args)
        .current_dir(home.work())
        .env("HOME", home.root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A home whose work folder is a repository with one commit and one change that is in none.
fn repository() -> (Home, Panel) {
    let home = Home::scripted(MODEL);
    home.write_config("");
    git(&home, &["init", "--quiet"]);
    home.write("kept.txt", "one\n");
    git(&home, &["add", "."]);
    git(&home, &["commit", "--quiet", "-m", "first"]);
    home.write("kept.txt", "one\ntwo\n");
    let panel = Panel::new(&home);
    (home, panel)
}

/// A task that has written a file in a tree of its own.
fn written(panel: &mut Panel, file: &str) -> String {
    let task = json!({ "goal": format!("write {file}"), "isolation": "worktree" });
    let task = panel.spawn_with(task);
    panel.until_state(&task, "waiting");
    panel.call("answer", json!({ "taskId": task, "answer": "allow" }));
    panel.until_state(&task, "completed");
    task
}

fn file(path: &str) -> Value {
    json!([{ "path": path, "change": "added", "added": 1, "removed": 0 }])
}

#[test]
fn what_a_task_changed_is_shown_and_merged() {
    let (home, mut panel) = repository();
    let head = git(&home, &["rev-parse", "HEAD"]);
    let task = written(&mut panel, "new.txt");
    assert!(!home.exists("new.txt"));
    let diff = panel.call("diff", json!({ "taskId": task }));
    let changes = &diff["changes"];
    assert_eq!(changes["files"], file("new.txt"));
    assert_eq!((&changes["uncommitted"], changes["base"].as_str()), (&json!(1), Some(head.trim())));
    assert!(changes["diff"].as_str().unwrap().contains("+new"), "{changes:#}");
    let collected = panel.call("collect", json!({ "taskIds": [task] }));
    assert_eq!(collected["tasks"][0]["changes"], *changes);
    let merged = panel.call("merge", json!({ "taskIds": [task] }));
    assert_eq!(merged["files"], file("new.txt"));
    assert_eq!(
        (home.read("new.txt"), home.read("kept.txt")),
        ("new\n".into(), "one\ntwo\n".into())
    );
    assert_eq!(git(&home, &["status", "--short"]), " M kept.txt\n?? new.txt\n");
    for verb in ["merge", "discard"] {
        panel.refused("state", verb, json!({ "taskIds": [task] }));
    }
    panel.refused("state", "diff", json!({ "taskId": task }));
}

#[test]
fn what_does_not_fit_is_named_and_nothing_is_touched() {
    let (home, mut panel) = repository();
    let fits = written(&mut panel, "new.txt");
    let task = written(&mut panel, "other.txt");
    home.write("other.txt", "the user's\n");
    let error = panel.refused("conflict", "merge", json!({ "taskIds": [fits, task] }));
    assert_eq!(error["data"]["taskId"], json!(task));
    assert_eq!(error["data"]["files"], json!(["other.txt"]));
    assert!(!home.exists("new.txt"));
    assert_eq!(home.read("other.txt"), "the user's\n");
    let gone = panel.call("discard", json!({ "taskIds": [task] }));
    assert_eq!(gone["taskIds"], json!([task]));
    assert_eq!(git(&home, &["branch", "--list", &format!("talaria/{task}-*")]), "");
    assert_eq!(panel.call("merge", json!({ "taskIds": [fits] }))["files"], file("new.txt"));
}

#[test]
fn a_task_that_runs_is_shown_and_not_merged() {
    let (home, mut panel) = repository();
    let task = panel.spawn_with(json!({ "goal": "work a", "isolation": "worktree" }));
    panel.until(&task, |row| row["line"].is_string());
    let diff = panel.call("diff", json!({ "taskId": task }));
    assert_eq!((&diff["state"], &diff["changes"]["files"]), (&json!("running"), &json!([])));
    for verb in ["merge", "discard"] {
        panel.refused("state", verb, json!({ "taskIds": [task] }));
    }
    home.open_gate("a");
    panel.until_state(&task, "completed");
    assert_eq!(panel.call("merge", json!({ "taskIds": [task] })), json!({ "files": [] }));
}

#[test]
fn a_task_of_the_sessions_folders_has_no_changes_of_its_own() {
    let (home, mut panel) = repository();
    home.open_gate("a");
    let task = panel.spawn("work a");
    panel.until_state(&task, "completed");
    panel.refused("state", "diff", json!({ "taskId": task }));
    for verb in ["merge", "discard"] {
        panel.refused("state", verb, json!({ "taskIds": [task] }));
    }
}

#[test]
fn what_git_cannot_do_is_an_error_of_git() {
    let (home, mut panel) = repository();
    let task = written(&mut panel, "new.txt");
    let (there, away) = (home.work().join(".git"), home.root().join("away"));
    fs::rename(&there, &away).unwrap();
    panel.refused("git", "diff", json!({ "taskId": task }));
    panel.refused("git", "merge", json!({ "taskIds": [task] }));
    // A new one fails when it begins, and says why.
    let other = panel.spawn_with(json!({ "goal": "work a", "isolation": "worktree" }));
    panel.until_state(&other, "failed");
    let error = panel.call("check", json!({ "taskId": other }))["error"].to_string();
    assert!(error.contains("git"), "{error}");
    fs::rename(&away, &there).unwrap();
    assert_eq!(panel.call("merge", json!({ "taskIds": [task] }))["files"], file("new.txt"));
}
