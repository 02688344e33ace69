//! What comes of changes in the user's working tree.

use super::*;

use crate::tasks::answer::Change;

fn conflict(index: usize, files: &[&str]) -> WorktreeError {
    WorktreeError::Conflict { index, files: files.iter().map(|&name| name.to_owned()).collect() }
}

/// A merge that is refused, and touches nothing.
async fn refused(user: &User, trees: &[&Tree]) -> WorktreeError {
    let before = (user.work(), user.status(), contents(&user.top()));
    let error = user.merge(trees).await.unwrap_err();
    assert_eq!((user.work(), user.status(), contents(&user.top())), before);
    assert!(trees.iter().all(|tree| tree.cwd().is_dir()));
    error
}

/// All files but git's, with what they have.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if entry.file_name() == ".git" {
        } else if kind.is_dir() {
            all.extend(contents(&entry.path()));
        } else if kind.is_symlink() {
            let link = fs::read_link(entry.path()).unwrap();
            all.push((entry.path(), link.to_string_lossy().into_owned().into_bytes()));
        } else {
            all.push((entry.path(), fs::read(entry.path()).unwrap()));
        }
    }
    all.sort();
    all
}

#[tokio::test]
async fn what_the_user_has_not_committed_survives() {
    let user = User::new();
    user.write("a", &lines(&[(1, "user")]));
    user.write("b", &lines(&[(1, "staged")]));
    user.git(&["add", "b"]);
    user.write("b", &lines(&[(1, "staged"), (2, "user")]));
    user.write("untracked", "user\n");
    user.git(&["stash", "push", "-q", "--", "sub/c"]);
    let tree = user.tree(1).await;
    write(&tree.folder.join("a"), &lines(&[(9, "task")]));
    write(&tree.folder.join("b"), &lines(&[(9, "task")]));
    fs::remove_file(tree.folder.join("sub/c")).unwrap();
    write(&tree.folder.join("new/d"), "task\n");
    tree.seal().await.unwrap();
    let work = user.work();

    let files = user.place.merge(&[tree]).await.unwrap();

    let shown: Vec<_> = files
        .iter()
        .map(|file| (file.path.as_str(), file.change, file.added, file.removed))
        .collect();
    assert_eq!(
        shown,
        [
            ("a", Change::Modified, Some(1), Some(1)),
            ("b", Change::Modified, Some(1), Some(1)),
            ("new/d", Change::Added, Some(1), Some(0)),
            ("sub/c", Change::Deleted, Some(0), Some(9)),
        ]
    );
    assert_eq!(user.work(), work);
    assert_eq!(user.status(), " M a\nMM b\n D sub/c\n?? new/d\n?? untracked\n");
    assert_eq!(user.read("a"), lines(&[(1, "user"), (9, "task")]));
    assert_eq!(user.read("b"), lines(&[(1, "staged"), (2, "user"), (9, "task")]));
    assert_eq!((user.read("untracked"), user.read("new/d")), ("user\n".into(), "task\n".into()));
    user.nothing_is_left();
}

#[tokio::test]
async fn nothing_to_merge_is_fine() {
    let user = User::new();
    let tree = user.tree(1).await;
    assert_eq!(user.merge(&[&tree]).await.unwrap(), [""; 0]);
    assert_eq!(user.merge(&[]).await.unwrap(), [""; 0]);
    user.nothing_is_left();
}

#[tokio::test]
async fn a_merge_that_was_cut_short_can_be_done_again() {
    let user = User::new();
    let tree = user.tree(1).await;
    write(&tree.folder.join("a"), &lines(&[(1, "task")]));
    write(&tree.folder.join("new"), "task\n");
    // The files are written, and the process ends.
    let first = merge::prepare(&user.place, std::slice::from_ref(&tree)).await.unwrap();
    assert_eq!(first.write().await.unwrap().len(), 2);
    assert_eq!(user.merge(&[&tree]).await.unwrap(), [""; 0]);
    assert_eq!((user.read("a"), user.read("new")), (lines(&[(1, "task")]), "task\n".into()));
    user.nothing_is_left();
    // What is gone is merged a second time by nobody.
    assert_eq!(user.place.find(&parent(), &child(1)).await.unwrap().map(|_| ()), None);
}

#[tokio::test]
async fn ten_are_merged_in_one_go() {
    let user = User::new();
    let mut trees = Vec::new();
    for number in 1..=9 {
        let tree = user.tree(number).await;
        let line = usize::try_from(number).unwrap();
        // Neighbours would be in conflict, so each has a file of its own too.
        write(&tree.folder.join(format!("own/{number}")), "task\n");
        if line % 4 == 1 {
            write(&tree.folder.join("a"), &lines(&[(line, "task")]));
        }
        tree.seal().await.unwrap();
        trees.push(tree);
    }
    trees.push(user.tree(10).await);
    assert_eq!(user.merge(&trees.iter().collect::<Vec<_>>()).await.unwrap().len(), 10);
    assert_eq!(user.read("a"), lines(&[(1, "task"), (5, "task"), (9, "task")]));
    user.nothing_is_left();
}

#[tokio::test]
async fn one_conflict_stops_all() {
    let user = User::new();
    user.write("b", &lines(&[(5, "user")]));
    let (fits, fits_not) = (user.tree(1).await, user.tree(2).await);
    write(&fits.folder.join("a"), &lines(&[(1, "task")]));
    write(&fits_not.folder.join("b"), &lines(&[(5, "task")]));
    write(&fits_not.folder.join("sub/c"), &lines(&[(5, "task")]));
    assert_eq!(refused(&user, &[&fits, &fits_not]).await, conflict(1, &["b"]));

    // Two tasks may be in conflict with each other.
    let other = user.tree(3).await;
    write(&other.folder.join("a"), &lines(&[(1, "other")]));
    assert_eq!(refused(&user, &[&fits, &other]).await, conflict(1, &["a"]));
    assert_eq!(user.merge(&[&fits]).await.unwrap(), ["a"]);
    assert_eq!(refused(&user, &[&other]).await, conflict(0, &["a"]));
}

#[tokio::test]
async fn files_that_came_or_went_on_both_sides_are_conflicts() {
    let user = User::new();
    let (adds, changes, deletes) = (user.tree(1).await, user.tree(2).await, user.tree(3).await);
    user.write("new", "user\n");
    write(&adds.folder.join("new"), "task\n");
    assert_eq!(refused(&user, &[&adds]).await, conflict(0, &["new"]));

    fs::remove_file(user.path("a")).unwrap();
    write(&changes.folder.join("a"), &lines(&[(1, "task")]));
    assert_eq!(refused(&user, &[&changes]).await, conflict(0, &["a"]));

    user.write("b", &lines(&[(1, "user")]));
    fs::remove_file(deletes.folder.join("b")).unwrap();
    assert_eq!(refused(&user, &[&deletes]).await, conflict(0, &["b"]));

    // The same on both sides is none.
    user.write("new", "task\n");
    assert_eq!(user.merge(&[&adds]).await.unwrap(), [""; 0]);
}

#[cfg(unix)]
#[tokio::test]
async fn modes_links_and_binary_files_are_merged() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let user = User::new();
    fs::write(user.path("binary"), [0, 159, 146, 150, 0]).unwrap();
    user.write("script", &lines(&[]));
    symlink("a", user.path("link")).unwrap();
    user.git(&["add", "-A"]);
    user.commit("more");
    user.write("script", &lines(&[(1, "user")]));
    let tree = user.tree(1).await;
    fs::set_permissions(tree.folder.join("script"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(tree.folder.join("link")).unwrap();
    symlink("b", tree.folder.join("link")).unwrap();
    symlink("nowhere", tree.folder.join("new-link")).unwrap();
    fs::write(tree.folder.join("binary"), [0, 1, 2, 3, 4, 5]).unwrap();
    fs::remove_file(tree.folder.join("a")).unwrap();
    symlink("b", tree.folder.join("a")).unwrap();
    let changes = tree.changes(100_000).await.unwrap();
    let binary = changes.files.iter().find(|file| file.path == "binary").unwrap();
    assert_eq!((binary.added, binary.removed), (None, None));
    assert_eq!(user.merge(&[&tree]).await.unwrap(), ["a", "binary", "link", "new-link", "script"]);
    let link = |name| fs::read_link(user.path(name)).unwrap();
    assert_eq!(
        (link("a"), link("link"), link("new-link")),
        ("b".into(), "b".into(), "nowhere".into())
    );
    assert_eq!(fs::read(user.path("binary")).unwrap(), [0, 1, 2, 3, 4, 5]);
    assert_eq!(user.read("script"), lines(&[(1, "user")]));
    assert_eq!(fs::metadata(user.path("script")).unwrap().permissions().mode() & 0o111, 0o111);

    // Binary files cannot be joined.
    let tree = user.tree(2).await;
    fs::write(tree.folder.join("binary"), [0, 9]).unwrap();
    assert_eq!(refused(&user, &[&tree]).await, conflict(0, &["binary"]));
}

#[tokio::test]
async fn a_file_that_one_side_moved_is_followed() {
    let user = User::new();
    let (moves, edits) = (user.tree(1).await, user.tree(2).await);
    user.write("a", &lines(&[(1, "user")]));
    fs::rename(moves.folder.join("a"), moves.folder.join("moved")).unwrap();
    let diff = moves.changes(10_000).await.unwrap().diff;
    assert!(diff.contains("rename from a\nrename to moved\n"), "{diff}");
    assert_eq!(user.merge(&[&moves]).await.unwrap(), ["a", "moved"]);
    assert_eq!(user.read("moved"), lines(&[(1, "user")]));
    assert!(!user.path("a").exists());

    write(&edits.folder.join("a"), &lines(&[(9, "task")]));
    assert_eq!(user.merge(&[&edits]).await.unwrap(), ["moved"]);
    assert_eq!(user.read("moved"), lines(&[(1, "user"), (9, "task")]));
}

#[cfg(unix)]
#[tokio::test]
async fn names_may_have_any_letter() {
    let user = User::new();
    let names =
        ["-leading", " a b ", "größe 日本", "line\nbreak", "tab\t\"quote\"", ":(top)x", "*", "{a}"];
    user.write(names[0], &lines(&[]));
    user.git(&["add", "-A"]);
    user.commit("dash");
    let tree = user.tree(1).await;
    for name in names {
        write(&tree.folder.join(name), &lines(&[(1, "task")]));
    }
    tree.seal().await.unwrap();
    let changes = tree.changes(100_000).await.unwrap();
    assert_eq!(changes.files.len(), names.len());
    assert!(changes.diff.contains("+++ b/größe 日本"), "{}", changes.diff);
    let mut merged = user.merge(&[&tree]).await.unwrap();
    merged.sort();
    let mut expected = names.to_vec();
    expected.sort_unstable();
    assert_eq!(merged, expected);
    for name in names {
        assert_eq!(user.read(name), lines(&[(1, "task")]), "{name:?}");
    }
    let (one, two) = (user.tree(2).await, user.tree(3).await);
    for (tree, text) in [(&one, "one\n"), (&two, "two\n")] {
        write(&tree.folder.join("x\ny"), text);
    }
    assert_eq!(refused(&user, &[&one, &two]).await, conflict(1, &["x\ny"]));
}

#[tokio::test]
async fn line_ends_stay_the_users() {
    let user = User::new();
    user.git(&["config", "core.autocrlf", "true"]);
    user.git(&["config", "core.safecrlf", "true"]);
    let ends = |text: String| text.replace('\n', "\r\n");
    user.write("a", &ends(lines(&[(1, "user")])));
    let tree = user.tree(1).await;
    assert_eq!(fs::read_to_string(tree.folder.join("a")).unwrap(), ends(lines(&[])));
    assert_eq!(tree.uncommitted(), 1);
    write(&tree.folder.join("a"), &ends(lines(&[(9, "task")])));
    write(&tree.folder.join("new"), "mixed\r\nends\n");
    assert_eq!(user.merge(&[&tree]).await.unwrap(), ["a", "new"]);
    assert_eq!(user.read("a"), ends(lines(&[(1, "user"), (9, "task")])));

    // Stored as they are, they are lines as any other.
    let user = User::new();
    user.write("a", &ends(lines(&[])));
    user.git(&["commit", "-qam", "ends"]);
    user.write("a", &ends(lines(&[(1, "user")])));
    let tree = user.tree(1).await;
    write(&tree.folder.join("a"), &ends(lines(&[(9, "task")])));
    user.merge(&[&tree]).await.unwrap();
    assert_eq!(user.read("a"), ends(lines(&[(1, "user"), (9, "task")])));
}

#[tokio::test]
async fn an_ignored_file_is_never_written_over() {
    let user = User::new();
    user.write(".git/info/exclude", "secret\ncache/\nout\n");
    user.write("secret", "user\n");
    user.write("cache/x", "user\n");
    user.write("out", "user\n");
    let (file, folder, below) = (user.tree(1).await, user.tree(2).await, user.tree(3).await);
    for (tree, name) in [(&file, "secret"), (&folder, "cache"), (&below, "out/deep/file")] {
        write(&tree.folder.join(name), "task\n");
        git_in(&tree.folder, &["add", "-f", name]);
    }
    assert_eq!(refused(&user, &[&file]).await, conflict(0, &["secret"]));
    assert_eq!(refused(&user, &[&below]).await, conflict(0, &["out/deep/file"]));
    assert_eq!(refused(&user, &[&folder, &file]).await, conflict(0, &["cache", "secret"]));
    fs::remove_dir_all(user.path("cache")).unwrap();
    assert_eq!(user.merge(&[&folder]).await.unwrap(), ["cache"]);

    // A folder of files that are all removed makes room for a file.
    let tree = user.tree(4).await;
    fs::remove_dir_all(tree.folder.join("sub")).unwrap();
    write(&tree.folder.join("sub"), "a file now\n");
    fs::remove_file(tree.folder.join("a")).unwrap();
    write(&tree.folder.join("a/deep"), "a folder now\n");
    assert_eq!(user.merge(&[&tree]).await.unwrap(), ["a", "a/deep", "sub", "sub/c"]);
    assert_eq!(
        (user.read("sub"), user.read("a/deep")),
        ("a file now\n".into(), "a folder now\n".into())
    );
}

#[tokio::test]
async fn what_a_sparse_checkout_leaves_out_is_merged_too() {
    let user = User::new();
    for name in ["out/x", "out/y", "out/z"] {
        user.write(name, &lines(&[]));
    }
    user.git(&["add", "-A"]);
    user.commit("more");
    user.git(&["sparse-checkout", "set", "sub"]);
    // Its own file where none should be.
    user.write("out/y", &lines(&[(1, "user")]));
    let tree = user.tree(1).await;
    assert!(!tree.folder.join("out").exists());
    for name in ["out/x", "out/y"] {
        write(&tree.folder.join(name), &lines(&[(9, "task")]));
    }
    write(&tree.folder.join("out/new"), "task\n");
    tree.seal().await.unwrap();
    let work = user.work();
    assert_eq!(user.merge(&[&tree]).await.unwrap(), ["out/new", "out/x", "out/y"]);
    assert_eq!(user.work(), work);
    assert_eq!(user.read("out/x"), lines(&[(9, "task")]));
    assert_eq!(user.read("out/y"), lines(&[(1, "user"), (9, "task")]));
    assert_eq!(user.read("out/new"), "task\n");
    assert!(!user.path("out/z").exists());
    assert_eq!(user.status(), " M out/x\n M out/y\n?? out/new\n");
    user.nothing_is_left();
}

#[tokio::test]
async fn what_git_is_told_not_to_look_at_is_merged_too() {
    let user = User::new();
    let tree = user.tree(1).await;
    let hide = |top: &Path| {
        git_in(top, &["update-index", "--assume-unchanged", "a"]);
        git_in(top, &["update-index", "--skip-worktree", "b"]);
    };
    for (top, line, text) in [(user.top(), 1, "user"), (tree.folder.clone(), 9, "task")] {
        hide(&top);
        write(&top.join("a"), &lines(&[(line, text)]));
        write(&top.join("b"), &lines(&[(line, text)]));
    }
    let work = user.work();
    assert_eq!(user.merge(&[&tree]).await.unwrap(), ["a", "b"]);
    for name in ["a", "b"] {
        assert_eq!(user.read(name), lines(&[(1, "user"), (9, "task")]), "{name}");
    }
    assert_eq!(user.work(), work);
    assert_eq!(user.git(&["ls-files", "-v", "a", "b"]), "h a\nS b\n", "they stay hidden");
}

#[tokio::test]
async fn a_file_that_changes_meanwhile_is_seen() {
    type Step = fn(&User);
    let steps: [Step; 4] = [
        |user| user.write("a", &lines(&[(3, "meanwhile")])),
        // As long as before.
        |user| user.write("a", &lines(&[(3, "x")])),
        |user| user.write("new/file", "meanwhile\n"),
        |user| user.write("new", "meanwhile\n"),
    ];
    for step in steps {
        let user = User::new();
        user.write("a", &lines(&[(5, "user")]));
        let tree = user.tree(1).await;
        for (name, text) in [("a", lines(&[(1, "task")])), ("b", lines(&[(1, "task")]))] {
            write(&tree.folder.join(name), &text);
        }
        write(&tree.folder.join("new/file"), "task\n");
        let prepared = merge::prepare(&user.place, std::slice::from_ref(&tree)).await.unwrap();
        step(&user);
        let before = (user.work(), contents(&user.top()));
        assert_eq!(prepared.write().await.unwrap_err(), WorktreeError::Changed);
        assert_eq!((user.work(), contents(&user.top())), before);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_failure_in_between_leaves_all_as_it_was() {
    let user = User::new();
    user.write(".git/info/attributes", "sub/c filter=broken\n");
    let tree = user.tree(1).await;
    for name in ["a", "sub/c"] {
        write(&tree.folder.join(name), &lines(&[(1, "task")]));
    }
    fs::remove_file(tree.folder.join("b")).unwrap();
    write(&tree.folder.join("new"), "task\n");
    let prepared = merge::prepare(&user.place, std::slice::from_ref(&tree)).await.unwrap();
    // A filter that gives up on this file alone, after others were written.
    user.git(&["config", "filter.broken.required", "true"]);
    user.git(&["config", "filter.broken.clean", "cat"]);
    user.git(&["config", "filter.broken.smudge", "if grep -q task; then exit 1; fi; seq 9"]);
    let before = contents(&user.top());
    let error = prepared.write().await.unwrap_err();
    assert!(matches!(error, WorktreeError::Failed(_)), "{error}");
    assert_eq!(contents(&user.top()), before);
}

/// A merge of `a`, `sub/c` and `new`, with a filter for `sub/c` that does this and gives up.
#[cfg(unix)]
async fn fails_in_between(user: &User, does: &str) -> String {
    user.write(".git/info/attributes", "sub/c filter=broken\n");
    let tree = user.tree(1).await;
    write(&tree.folder.join("a"), &user.read("a").replace('9', "task"));
    write(&tree.folder.join("sub/c"), &lines(&[(1, "task")]));
    write(&tree.folder.join("new"), "task\n");
    let prepared = merge::prepare(&user.place, std::slice::from_ref(&tree)).await.unwrap();
    user.git(&["config", "filter.broken.required", "true"]);
    user.git(&["config", "filter.broken.clean", "cat"]);
    user.git(&["config", "filter.broken.smudge", &format!("{does}; exit 1")]);
    let error = prepared.write().await.unwrap_err();
    assert!(matches!(error, WorktreeError::Failed(_)), "{error}");
    error.to_string()
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_put_back_is_what_was_there_and_not_what_git_makes_of_it() {
    let user = User::new();
    user.git(&["config", "core.autocrlf", "input"]);
    user.write("a", "mixed\r\n2\n9\n");
    user.git(&["commit", "-qam", "mixed"]);
    user.write("a", "mixed\r\n2\r\n9\n");
    let before = contents(&user.top());
    fails_in_between(&user, "true").await;
    let mut after = contents(&user.top());
    after.retain(|(path, _)| !path.ends_with(".gitattributes"));
    assert_eq!(after, before);
}

#[cfg(unix)]
#[tokio::test]
async fn what_cannot_be_put_back_is_kept_elsewhere() {
    let user = User::new();
    let own = lines(&[(1, "user")]);
    user.write("a", &own);
    let error = fails_in_between(&user, "rm -f a; mkdir a; echo x >a/in-the-way").await;
    let folder = error.split('`').rev().nth(1).unwrap();
    assert!(error.contains("copies of them are in"), "{error}");
    assert_eq!(fs::read_to_string(Path::new(folder).join("a")).unwrap(), own, "{error}");
    assert_eq!(user.read("sub/c"), lines(&[]), "what can be is put back");
    assert!(!user.path("new").exists());
}

#[tokio::test]
async fn a_repository_in_the_tree_is_not_lost() {
    let user = User::new();
    let tree = user.tree(1).await;
    write(&tree.folder.join("inner/x"), "task\n");
    git_in(&tree.folder.join("inner"), &["init", "-q", "-b", "main"]);
    git_in(&tree.folder.join("inner"), &["add", "-A"]);
    git_in(&tree.folder.join("inner"), &["commit", "-qm", "inner"]);
    tree.seal().await.unwrap();
    let error = refused(&user, &[&tree]).await;
    assert!(matches!(&error, WorktreeError::Nested { path, .. } if path == "inner"), "{error}");

    // In the user's they are in nobody's way, with commits and without.
    user.write("theirs/x", "user\n");
    git_in(&user.path("theirs"), &["init", "-q", "-b", "main"]);
    fs::remove_dir_all(tree.folder.join("inner")).unwrap();
    write(&tree.folder.join("a"), "task\n");
    assert_eq!(user.merge(&[&tree]).await.unwrap(), ["a"]);
    assert_eq!(user.read("theirs/x"), "user\n");
}

#[tokio::test]
async fn another_repository_is_refused() {
    let (user, other) = (User::new(), User::new());
    let tree = other.tree(1).await;
    let error = user.place.merge(std::slice::from_ref(&tree)).await.unwrap_err();
    assert_eq!(error, WorktreeError::OtherRepository(other.top().display().to_string()));
}

#[cfg(unix)]
#[tokio::test]
async fn an_old_git_is_refused() {
    let mut user = User::new();
    let tree = user.tree(1).await;
    let old = user.folder.path().join("old-git");
    let script = "#!/bin/sh\nfor word; do [ \"$word\" = version ] && { echo git version 2.37.9; exit; }; done\nexec git \"$@\"\n";
    write(&old, script);
    fs::set_permissions(&old, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    user.place.git = Git::of(old, &[]);
    let error = refused(&user, &[&tree]).await;
    assert_eq!(error, WorktreeError::TooOld { version: "2.37.9".into() });
}
