//! What the branch has at the end, whatever the task did with its tree, and how changes are shown.

use super::*;

use crate::tasks::answer::Change;

/// The sealed branch has the tree's files, and the tree is clean.
async fn check_sealed(user: &User, tree: &Tree) {
    tree.seal().await.unwrap();
    let branch = tree.branch();
    assert_eq!(user.git(&["show", &format!("{branch}:a")]), "task\n");
    assert_eq!(user.git(&["show", &format!("{branch}:new")]), "new\n");
    let changes = tree.changes(1000).await.unwrap();
    let files: Vec<_> =
        changes.files.iter().map(|file| (file.path.as_str(), file.change)).collect();
    assert_eq!(files, [("a", Change::Modified), ("new", Change::Added)]);
    user.git(&["merge-base", "--is-ancestor", &changes.base, branch]);
    // A second time there is nothing.
    let tip = user.git(&["rev-parse", branch]);
    tree.seal().await.unwrap();
    assert_eq!(user.git(&["rev-parse", branch]), tip);
}

#[tokio::test]
async fn what_is_not_committed_is_sealed() {
    let user = User::new();
    let tree = user.tree(1).await;
    tree.seal().await.unwrap();
    assert_eq!(user.git(&["rev-parse", tree.branch()]), user.git(&["rev-parse", "main"]));
    write(&tree.folder.join("a"), "task\n");
    write(&tree.folder.join("new"), "new\n");
    check_sealed(&user, &tree).await;
    assert_eq!(git_in(&tree.folder, &["status", "--porcelain"]), "");
    let log = user.git(&["log", "--format=%an %ae %s", &format!("main..{}", tree.branch())]);
    assert_eq!(log, "Talaria talaria@localhost t1: what was not committed\n");
    // The task goes on, and what it does then comes on top.
    write(&tree.folder.join("b"), "later\n");
    tree.seal().await.unwrap();
    assert_eq!(user.git(&["rev-list", "--count", &format!("main..{}", tree.branch())]), "2\n");
    assert_eq!(user.merge(&[&tree]).await.unwrap(), ["a", "b", "new"]);
    user.nothing_is_left();
}

#[tokio::test]
async fn commits_of_the_task_stay() {
    type Step = fn(&Path);
    let steps: [(&str, Step); 5] = [
        ("1", |tree| drop(git_in(tree, &["commit", "-qm", "own"]))),
        ("3", |tree| {
            git_in(tree, &["commit", "-qm", "own"]);
            write(&tree.join("new"), "half\n");
            git_in(tree, &["commit", "-qam", "more"]);
            write(&tree.join("new"), "new\n");
        }),
        ("1", |tree| {
            git_in(tree, &["switch", "-q", "-c", "other"]);
            git_in(tree, &["commit", "-qm", "elsewhere"]);
        }),
        ("2", |tree| {
            git_in(tree, &["checkout", "-q", "--detach"]);
            git_in(tree, &["commit", "-qm", "detached"]);
            git_in(tree, &["commit", "-q", "--allow-empty", "-m", "detached"]);
        }),
        // Nothing in common with the branch: what is there counts, not how it came.
        ("1", |tree| {
            git_in(tree, &["checkout", "-q", "--orphan", "alone"]);
            git_in(tree, &["commit", "-qm", "alone"]);
        }),
    ];
    for (commits, step) in steps {
        let user = User::new();
        let tree = user.tree(1).await;
        write(&tree.folder.join("a"), "task\n");
        write(&tree.folder.join("new"), "new\n");
        git_in(&tree.folder, &["add", "-A"]);
        step(&tree.folder);
        check_sealed(&user, &tree).await;
        let count = user.git(&["rev-list", "--count", &format!("main..{}", tree.branch())]);
        assert_eq!(count.trim(), commits);
        assert_eq!(git_in(&tree.folder, &["status", "--porcelain"]), "");
        assert_eq!(user.merge(&[&tree]).await.unwrap(), ["a", "new"]);
    }
}

#[tokio::test]
async fn a_tree_that_the_task_broke_is_sealed() {
    type Step = fn(&User, &Tree);
    let steps: [Step; 5] = [
        |_, tree| fs::remove_file(tree.folder.join(".git")).unwrap(),
        |_, tree| fs::write(tree.about.entry.as_ref().unwrap().join("index"), "broken").unwrap(),
        |_, tree| fs::write(tree.about.entry.as_ref().unwrap().join("index.lock"), "").unwrap(),
        |_, tree| fs::remove_dir_all(tree.about.entry.as_ref().unwrap()).unwrap(),
        |user, tree| {
            git_in(&tree.folder, &["checkout", "-q", "--detach"]);
            user.git(&["branch", "-qD", tree.branch()]);
        },
    ];
    for step in steps {
        let user = User::new();
        let tree = user.tree(1).await;
        write(&tree.folder.join("a"), "task\n");
        write(&tree.folder.join("new"), "new\n");
        step(&user, &tree);
        check_sealed(&user, &tree).await;
        assert_eq!(user.merge(&[&tree]).await.unwrap(), ["a", "new"]);
        user.nothing_is_left();
    }
}

#[tokio::test]
async fn a_running_task_is_shown_and_not_touched() {
    let user = User::new();
    let tree = user.tree(1).await;
    write(&tree.folder.join("a"), &lines(&[(5, "task")]));
    write(&tree.folder.join("new"), "new\n");
    git_in(&tree.folder, &["add", "new"]);
    let state = || {
        (git_in(&tree.folder, &["status", "--porcelain"]), user.git(&["rev-parse", tree.branch()]))
    };
    let before = state();
    let changes = tree.changes(100_000).await.unwrap();
    assert_eq!(state(), before);
    assert_eq!((changes.files.len(), changes.is_cut), (2, false));
    assert!(changes.diff.contains("@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+task\n"), "{}", changes.diff);
    assert!(changes.diff.starts_with("diff --git a/a b/a\n"), "{}", changes.diff);

    let cut = tree.changes(30).await.unwrap();
    assert_eq!(
        (cut.diff.as_str(), cut.is_cut, cut.files),
        ("diff --git a/a b/a\n", true, changes.files)
    );
    let most = changes.diff.len();
    assert!(
        !tree.changes(most).await.unwrap().is_cut && tree.changes(most - 1).await.unwrap().is_cut
    );
    let none = tree.changes(0).await.unwrap();
    assert_eq!((none.diff.as_str(), none.is_cut), ("", true));
}

#[tokio::test]
async fn the_users_settings_do_not_change_what_is_shown() {
    let user = User::new();
    for (name, value) in [
        ("diff.noprefix", "true"),
        ("diff.external", "false"),
        ("color.ui", "always"),
        ("diff.renames", "copies"),
        ("core.quotePath", "true"),
        ("diff.context", "0"),
        ("commit.gpgSign", "true"),
        ("core.splitIndex", "true"),
        ("core.untrackedCache", "true"),
        ("user.useConfigOnly", "true"),
        ("core.pager", "false"),
        ("branch.autoSetupMerge", "always"),
        ("merge.renames", "true"),
        ("status.showUntrackedFiles", "no"),
        ("alias.add", "!false"),
    ] {
        user.git(&["config", name, value]);
    }
    user.write("x", "untracked\n");
    let tree = user.tree(1).await;
    assert_eq!(tree.uncommitted(), 1);
    write(&tree.folder.join("a"), "task\n");
    git_in(&tree.folder, &["update-index", "--split-index"]);
    git_in(&tree.folder, &["update-index", "--add", "a"]);
    write(&tree.folder.join("new"), "new\n");
    let changes = tree.changes(100_000).await.unwrap();
    assert!(changes.diff.starts_with("diff --git a/a b/a\n") && !changes.diff.contains('\u{1b}'));
    check_sealed(&user, &tree).await;
    assert_eq!(user.merge(&[&tree]).await.unwrap(), ["a", "new"]);
}
