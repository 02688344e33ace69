//! What must not run, and what must not be left behind.

use super::*;

/// Hooks that write a mark, wherever git looks for some.
#[cfg(unix)]
fn add_hooks(user: &User, folder: &Path, mark: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    for hook in [
        "pre-commit",
        "prepare-commit-msg",
        "commit-msg",
        "post-commit",
        "post-checkout",
        "post-merge",
        "post-index-change",
        "reference-transaction",
        "pre-push",
        "pre-merge-commit",
        "post-rewrite",
        "pre-auto-gc",
    ] {
        let path = folder.join(hook);
        write(&path, &format!("#!/bin/sh\necho {hook} >> '{}'\n", mark.display()));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        // As newer git has them.
        user.git(&["config", &format!("hook.my-{hook}.event"), hook]);
        user.git(&["config", &format!("hook.my-{hook}.command"), &path.display().to_string()]);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn no_hook_runs() {
    for kind in ["folder", "setting"] {
        let user = User::new();
        let mark = user.folder.path().join("mark");
        let folder = match kind {
            "folder" => user.path(".git/hooks"),
            _ => user.folder.path().join("hooks"),
        };
        add_hooks(&user, &folder, &mark);
        user.git(&["config", "core.fsmonitor", &folder.join("pre-commit").display().to_string()]);
        if kind == "setting" {
            user.git(&["config", "core.hooksPath", &folder.display().to_string()]);
        }
        // They would run.
        user.git(&["commit", "-q", "--allow-empty", "-m", "hooked"]);
        assert!(mark.exists());
        fs::remove_file(&mark).unwrap();

        let (one, two) = (user.tree(1).await, user.tree(2).await);
        user.write("b", "user\n");
        for tree in [&one, &two] {
            write(&tree.folder.join("a"), "task\n");
            tree.changes(1000).await.unwrap();
            tree.seal().await.unwrap();
        }
        fs::remove_dir_all(&two.folder).unwrap();
        let two = user.tree(2).await;
        let found = user.place.find(&parent(), &child(1)).await.unwrap().unwrap();
        user.place.merge(&[found]).await.unwrap();
        two.remove(Branch::Keep).await.unwrap();
        user.tree(3).await;
        remove::forget_with(&user.place.git, &user.place.folder, &parent()).await;
        assert!(!mark.exists(), "{kind}: {}", fs::read_to_string(&mark).unwrap());
        assert_eq!(user.read("a"), "task\n");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn hooks_of_the_configuration_are_switched_off_by_name() {
    let user = User::new();
    let answers = ["config", "--get-regexp", r"^hook\."];
    user.git(&["config", "hook.My Hook.command", "false"]);
    user.git(&["config", "hook.My Hook.event", "reference-transaction"]);
    let git = repository::Repository::find(&user.place.git, &user.top()).await.unwrap().git;
    let call = git.call(&user.top(), "config").args(&answers[1..]);
    let settings = String::from_utf8(call.done().await.unwrap()).unwrap();
    assert!(settings.contains("hook.My Hook.enabled false"), "{settings}");
}

#[tokio::test]
async fn what_a_task_writes_to_its_git_file_decides_nothing() {
    let user = User::new();
    let mark = user.folder.path().join("mark");
    let tree = user.tree(1).await;
    let trap = tree.folder.join("trap");
    fs::create_dir(&trap).unwrap();
    git_in(&trap, &["init", "-q", "-b", "main"]);
    let command = format!("touch '{}'", mark.display());
    git_in(&trap, &["config", "filter.trap.clean", &command]);
    git_in(&trap, &["config", "core.fsmonitor", &command]);
    write(&tree.folder.join(".git"), "gitdir: trap/.git\n");
    write(&tree.folder.join(".gitattributes"), "* filter=trap\n");
    write(&tree.folder.join("a"), "task\n");
    fs::rename(&trap, user.folder.path().join("trap")).unwrap();
    let trap = user.folder.path().join("trap/.git");
    write(&tree.folder.join(".git"), &format!("gitdir: {}\n", trap.display()));
    let changes = tree.changes(1000).await.unwrap();
    assert_eq!(changes.files.len(), 2);
    tree.seal().await.unwrap();
    assert_eq!(user.merge(&[&tree]).await.unwrap(), [".gitattributes", "a"]);
    assert!(!mark.exists());
    user.nothing_is_left();
}

#[tokio::test]
async fn a_merge_leaves_no_objects_in_the_repository() {
    let user = User::new();
    user.write("untracked", "of the user alone\n");
    user.write("b", &lines(&[(1, "user")]));
    let tree = user.tree(1).await;
    write(&tree.folder.join("b"), &lines(&[(9, "task")]));
    let objects = || user.git(&["count-objects", "-v"]);
    let before = objects();
    tree.changes(1000).await.unwrap();
    assert_eq!(user.merge(&[&tree]).await.unwrap(), ["b"]);
    assert_eq!(objects(), before);
    // The user's cleaning takes nothing that a task needs.
    let tree = user.tree(2).await;
    write(&tree.folder.join("b"), &lines(&[(9, "sealed")]));
    tree.seal().await.unwrap();
    user.git(&["gc", "-q", "--prune=now"]);
    user.git(&["worktree", "prune"]);
    user.git(&["checkout", "-q", "b"]);
    assert_eq!(user.merge(&[&tree]).await.unwrap(), ["b"]);
    assert_eq!(user.git(&["fsck", "--strict", "--no-dangling"]), "");
}

#[tokio::test]
async fn faults_name_no_other_place() {
    let user = User::new();
    let tree = user.tree(1).await;
    fs::write(tree.about.repository.join("HEAD"), "broken").unwrap();
    let error = tree.changes(10).await.unwrap_err().to_string();
    assert!(error.lines().count() == 1 && error.len() < 2000, "{error}");
}

/// Shown with `--no-capture`; nothing is asserted of a time.
#[tokio::test]
async fn times_of_a_large_repository() {
    let user = User::empty();
    for number in 0..5_000 {
        user.write(&format!("d{}/f{number}", number % 50), &lines(&[(1, &number.to_string())]));
    }
    user.git(&["add", "-A"]);
    user.commit("many");
    let began = tokio::time::Instant::now();
    let tree = user.tree(1).await;
    let created = began.elapsed();
    write(&tree.folder.join("d1/f1"), "task\n");
    let began = tokio::time::Instant::now();
    tree.changes(1000).await.unwrap();
    let compared = began.elapsed();
    let began = tokio::time::Instant::now();
    tree.seal().await.unwrap();
    let sealed = began.elapsed();
    let began = tokio::time::Instant::now();
    let prepared = merge::prepare(&user.place, std::slice::from_ref(&tree)).await.unwrap();
    assert_eq!(prepared.write().await.unwrap().len(), 1);
    let merged = began.elapsed();
    let began = tokio::time::Instant::now();
    tree.remove(Branch::Drop).await.unwrap();
    let removed = began.elapsed();
    println!(
        "5000 files: create {created:?}, changes {compared:?}, seal {sealed:?}, merge {merged:?}, remove {removed:?}"
    );
}
