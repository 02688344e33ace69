//! What an isolated task changed: looked at, merged, thrown away.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{chat, chat_with, done, files};

#[test]
fn an_isolated_task_changes_its_branch_and_nothing_else_until_it_is_merged() {
    let (_home, repository, mut chat) = chat();
    repository.write("mine.txt", "not committed\n");
    let before = repository.state();
    let goal = "run echo two >> a.txt; echo new > new.txt; ls mine.txt";
    let changes = done(&mut chat, "t1", goal);
    assert_eq!(files(&changes), ["M a.txt", "A new.txt"]);
    assert_eq!(changes["uncommitted"], 1);
    assert!(changes["diff"].as_str().unwrap().contains("+two"), "{changes}");
    let branch = changes["branch"].as_str().unwrap();
    assert!(branch.starts_with("talaria/t1-"), "{branch}");
    assert_eq!(repository.state(), before);
    assert_eq!((repository.branches(), repository.trees()), (vec![branch.to_owned()], 1));
    assert_eq!(repository.git(&format!("show {branch}:new.txt")), "new\n");

    let diff = chat.say("/diff t1");
    assert!(diff.contains("`t1` completed, branch `talaria/t1-"), "{diff}");
    assert!(diff.contains("did not have what was not committed"), "{diff}");
    assert!(diff.contains("```diff\n") && diff.contains("\n+two\n"), "{diff}");
    let collected = chat.say("/collect t1");
    assert!(collected.contains("`/merge t1`"), "{collected}");

    let merged = chat.say("/merge t1");
    assert!(merged.contains("- modified: a.txt\n- added: new.txt"), "{merged}");
    assert_eq!(
        (repository.read("a.txt").as_str(), repository.read("new.txt").as_str()),
        ("one\ntwo\n", "new\n")
    );
    assert_eq!(repository.status(), " M a.txt\n?? mine.txt\n?? new.txt\n");
    assert_eq!((repository.branches().len(), repository.trees()), (0, 0));
    for command in ["/diff t1", "/merge t1", "/discard t1"] {
        let gone = chat.say(command);
        assert!(gone.contains("no tree of its own any more"), "{command}: {gone}");
    }
    // The report is what it was.
    assert_eq!(chat.outcome("collect t1")["tasks"][0]["changes"], changes);
}

#[test]
fn what_is_discarded_is_gone_and_what_is_not_isolated_has_nothing_to_discard() {
    let (_home, repository, mut chat) = chat();
    let before = repository.state();
    done(&mut chat, "t1", "run echo two >> a.txt");
    chat.say("plain run true");
    chat.until("t2", "completed");
    for command in ["/diff t2", "/merge t1 t2", "/discard t1 t2"] {
        let refused = chat.say(command);
        assert!(
            refused.contains("`t2` works in the folders of its session"),
            "{command}: {refused}"
        );
    }
    assert!(chat.say("/discard t9").contains("no task `t9`"));
    assert_eq!(repository.trees(), 1);
    let discarded = chat.say("/discard t1");
    assert!(discarded.contains("The changes of `t1` are discarded."), "{discarded}");
    assert_eq!((repository.branches().len(), repository.trees()), (0, 0));
    assert_eq!(repository.state(), before);
    assert!(chat.say("/discard").contains("Type it as `/discard t1`"));
}

#[test]
fn a_conflict_touches_nothing_and_names_the_task_and_the_files() {
    let (_home, repository, mut chat) = chat();
    done(&mut chat, "t1", "run echo task > a.txt");
    done(&mut chat, "t2", "run echo new > new.txt");
    repository.write("a.txt", "user\n");
    let before = repository.state();
    let refused = chat.say("/merge t2 t1");
    assert!(refused.contains("`t1`") && refused.contains(": a.txt;"), "{refused}");
    assert!(refused.contains("nothing was touched"), "{refused}");
    assert_eq!(repository.state(), before);
    assert!(!repository.has("new.txt"));
    assert_eq!(repository.trees(), 2);
    // The user makes room for it.
    repository.write("a.txt", "one\n");
    let merged = chat.say("/merge t2 t1");
    assert!(merged.contains("a.txt") && merged.contains("new.txt"), "{merged}");
    assert_eq!(repository.read("a.txt"), "task\n");
    assert_eq!(repository.trees(), 0);
}

#[test]
fn ten_are_merged_in_one_go_into_work_that_is_not_committed() {
    let (_home, repository, mut chat) = chat();
    repository.write("mine.txt", "mine\n");
    repository.write("a.txt", "one\nmine\n");
    repository.git("add a.txt");
    chat.say("many");
    for task in 1..=10 {
        chat.until(&format!("t{task}"), "completed");
    }
    assert_eq!(repository.trees(), 10);
    let staged = repository.git("diff --cached");
    let merged = chat.say("/merge t1 t2 t3 t4 t5 t6 t7 t8 t9 t10");
    assert!(merged.contains("11 files"), "{merged}");
    let rows: Vec<String> = (1..=10).map(|row| format!("changed {row}\n\n\n\n\n")).collect();
    assert_eq!(repository.read("rows.txt"), rows.concat());
    for row in 1..=10 {
        assert_eq!(repository.read(&format!("made{row}.txt")), format!("{row}\n"));
    }
    assert_eq!(
        (repository.read("a.txt").as_str(), repository.read("mine.txt").as_str()),
        ("one\nmine\n", "mine\n")
    );
    assert_eq!(repository.git("diff --cached"), staged, "the index is the user's");
    assert_eq!((repository.branches().len(), repository.trees()), (0, 0));
}

#[test]
fn no_hook_of_the_repository_runs() {
    let (home, repository, mut chat) = chat();
    let ran = home.root().join("ran");
    let hook = format!("#!/bin/sh\necho \"$0\" >> '{}'\n", ran.display());
    let hooks = home.work().join(".git/hooks");
    fs::create_dir_all(&hooks).unwrap();
    for name in [
        "post-checkout",
        "pre-commit",
        "commit-msg",
        "post-commit",
        "post-merge",
        "post-index-change",
        "reference-transaction",
        "watch",
    ] {
        let path = hooks.join(name);
        fs::write(&path, &hook).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let watch = hooks.join("watch");
    repository.git(&format!("config core.fsmonitor {}", watch.display()));
    // Where a user has them run, they run.
    repository.git("checkout --quiet -b other");
    assert!(fs::remove_file(&ran).is_ok());
    done(&mut chat, "t1", "run echo two >> a.txt");
    done(&mut chat, "t2", "run echo new > new.txt");
    chat.say("/diff t1");
    chat.say("/merge t1");
    chat.say("/discard t2");
    let said = fs::read_to_string(&ran).unwrap_or_default();
    assert_eq!(said, "");
    assert_eq!(repository.read("a.txt"), "one\ntwo\n");
}

#[test]
fn a_task_of_an_isolated_task_merges_into_the_tree_of_that_one() {
    let (_home, repository, mut chat) = chat_with("delegation:\n  max_spawn_depth: 2\n");
    chat.say("isolated nest echo below > below.txt");
    chat.until("t1", "completed");
    let both = chat.say("/merge t1 t1.1");
    assert!(both.contains("different trees") && both.contains("nothing was touched"), "{both}");
    let diff = chat.say("/diff t1");
    assert!(diff.contains("above.txt") && !diff.contains("+below"), "{diff}");
    assert!(chat.say("/merge t1.1").contains("below.txt"));
    assert!(!repository.has("below.txt"));
    let diff = chat.say("/diff t1");
    assert!(diff.contains("+above") && diff.contains("+below"), "{diff}");
    chat.say("/merge t1");
    assert_eq!(
        (repository.read("above.txt").as_str(), repository.read("below.txt").as_str()),
        ("above\n", "below\n")
    );
    assert_eq!((repository.branches().len(), repository.trees()), (0, 0));
}

#[test]
fn one_that_goes_on_from_another_begins_with_the_last_commit() {
    let (_home, repository, mut chat) = chat();
    done(&mut chat, "t1", "run echo first > first.txt");
    chat.say("onward t1 to run ls first.txt; echo second > second.txt");
    chat.until("t2", "completed");
    let changes = chat.outcome("collect t2")["tasks"][0]["changes"].clone();
    assert_eq!(files(&changes), ["A second.txt"]);
    chat.say("/merge t1 t2");
    assert_eq!(repository.status(), "?? first.txt\n?? second.txt\n");
}

#[test]
fn a_task_that_changed_nothing_is_merged_as_nothing() {
    let (_home, repository, mut chat) = chat();
    let changes = done(&mut chat, "t1", "run true");
    assert_eq!(files(&changes), Vec::<String>::new());
    assert!(chat.say("/diff t1").contains("nothing changed"));
    assert!(chat.say("/merge t1").contains("nothing to merge"));
    assert_eq!((repository.branches().len(), repository.trees()), (0, 0));
}
