//! How trees come to be, and when they do not.

use super::*;

#[tokio::test]
async fn a_tree_has_the_last_commit_and_nothing_else() {
    let user = User::new();
    user.write("a", "changed\n");
    user.write("b", "staged\n");
    user.git(&["add", "b"]);
    user.write("new/x", "new\n");
    user.write("new/y", "new\n");
    let (work, status) = (user.work(), user.status());

    let tree = user.tree(1).await;

    assert_eq!(tree.branch(), "talaria/t1-00000001");
    assert_eq!(tree.uncommitted(), 4);
    assert_eq!(fs::read_to_string(tree.cwd().join("a")).unwrap(), lines(&[]));
    assert_eq!(fs::read_to_string(tree.cwd().join("b")).unwrap(), lines(&[]));
    assert!(!tree.cwd().join("new").exists());
    assert_eq!(git_in(tree.cwd(), &["symbolic-ref", "--short", "HEAD"]).trim(), tree.branch());
    assert_eq!(git_in(tree.cwd(), &["status", "--porcelain"]), "");
    assert_eq!((user.work(), user.status()), (work, status));
    let changes = tree.changes(1000).await.unwrap();
    assert_eq!((changes.files.len(), changes.uncommitted, changes.diff.as_str()), (0, 4, ""));
    assert_eq!(changes.base, user.git(&["rev-parse", "HEAD"]).trim());
}

#[tokio::test]
async fn a_session_below_the_root_keeps_its_place() {
    let mut user = User::new();
    user.place.cwd = user.path("sub");
    let tree = user.tree(1).await;
    assert_eq!(tree.cwd(), tree.folder.join("sub"));
    assert!(tree.cwd().join("c").is_file() && tree.folder.join("a").is_file());
    assert_eq!(tree.maps(&user.top()), Some(tree.folder.clone()));
    assert_eq!(tree.maps(&user.path("sub")), Some(tree.folder.join("sub")));
    assert_eq!(tree.maps(&user.path("gone/x")), Some(tree.folder.join("gone/x")));
    assert_eq!(tree.maps(user.folder.path()), None);
    assert_eq!(tree.maps(&user.path("../other")), None);

    // One with nothing that is committed.
    fs::create_dir_all(user.path("empty/deep")).unwrap();
    user.place.cwd = user.path("empty/deep");
    let tree = user.tree(2).await;
    assert!(tree.cwd().ends_with("tree/empty/deep") && tree.cwd().is_dir());
}

#[tokio::test]
async fn a_resumed_task_finds_its_tree() {
    let user = User::new();
    let tree = user.tree(1).await;
    write(&tree.cwd().join("a"), "task\n");
    let again = user.tree(1).await;
    assert_eq!((again.cwd(), &again.about), (tree.cwd(), &tree.about));
    assert_eq!(fs::read_to_string(again.cwd().join("a")).unwrap(), "task\n");
    let found = user.place.find(&parent(), &child(1)).await.unwrap().unwrap();
    assert_eq!(found.about, tree.about);
    assert!(user.place.find(&parent(), &child(2)).await.unwrap().is_none());
}

#[tokio::test]
async fn ten_are_made_at_once() {
    let user = User::new();
    let trees: Vec<_> = (1..=10).map(|number| user.try_tree(number)).collect();
    let trees = futures::future::join_all(trees).await;
    let branches: std::collections::HashSet<_> =
        trees.iter().map(|tree| tree.as_ref().unwrap().branch().to_owned()).collect();
    assert_eq!((branches.len(), user.entries()), (10, 10));
}

#[tokio::test]
async fn what_was_left_half_made_is_made_anew() {
    for left in ["about", "branch", "tree", "all"] {
        let user = User::new();
        let tree = user.tree(1).await;
        let mut about = tree.about.clone();
        (about.stage, about.entry) = (about::Stage::Begun, None);
        about::write(&tree.home, &about).await.unwrap();
        match left {
            "about" => {
                remove::worktree(&tree).await.unwrap();
                user.git(&["branch", "-qD", tree.branch()]);
            }
            "branch" => remove::worktree(&tree).await.unwrap(),
            "tree" => {
                fs::remove_file(tree.folder.join("a")).unwrap();
                fs::remove_file(tree.folder.join(".git")).unwrap();
            }
            _ => {}
        }
        assert!(user.place.find(&parent(), &child(1)).await.unwrap().is_none());
        let again = user.tree(1).await;
        assert_eq!(again.branch(), tree.branch(), "{left}");
        assert_eq!(fs::read_to_string(again.cwd().join("a")).unwrap(), lines(&[]), "{left}");
        assert_eq!((user.branches().lines().count(), user.entries()), (1, 1), "{left}");
        assert_eq!(git_in(again.cwd(), &["status", "--porcelain"]), "", "{left}");
    }
}

#[tokio::test]
async fn a_folder_that_was_removed_is_made_again_of_the_branch() {
    let user = User::new();
    let tree = user.tree(1).await;
    write(&tree.cwd().join("a"), "sealed\n");
    tree.seal().await.unwrap();
    fs::remove_dir_all(&tree.folder).unwrap();

    let found = user.place.find(&parent(), &child(1)).await.unwrap().unwrap();
    assert_eq!(found.changes(1000).await.unwrap().files.len(), 1);
    found.seal().await.unwrap();
    let again = user.tree(1).await;
    assert_eq!(fs::read_to_string(again.cwd().join("a")).unwrap(), "sealed\n");
    assert_eq!(user.entries(), 1);

    fs::remove_dir_all(&tree.folder).unwrap();
    user.git(&["worktree", "prune"]);
    user.git(&["branch", "-qD", tree.branch()]);
    let found = user.place.find(&parent(), &child(1)).await;
    assert_eq!(found.unwrap_err(), WorktreeError::Gone);
    assert_eq!(user.try_tree(1).await.unwrap_err(), WorktreeError::Gone);
    assert_eq!(again.changes(10).await.unwrap_err(), WorktreeError::Gone);
    assert_eq!(again.seal().await.unwrap_err(), WorktreeError::Gone);
    again.remove(Branch::Drop).await.unwrap();
    user.nothing_is_left();
}

#[tokio::test]
async fn what_is_missing_is_said() {
    let nothing = User::nothing();
    assert_eq!(nothing.try_tree(1).await.unwrap_err(), WorktreeError::NoRepository);
    let empty = User::empty();
    assert_eq!(empty.try_tree(1).await.unwrap_err(), WorktreeError::NoCommit);
    let bare = User::nothing();
    bare.git(&["init", "-q", "--bare"]);
    assert_eq!(bare.try_tree(1).await.unwrap_err(), WorktreeError::Bare);

    let mut user = User::new();
    user.place.git = plain_git(&[("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")]);
    assert_eq!(user.try_tree(1).await.unwrap_err(), WorktreeError::NotTrusted);
    user.place.git = Git::of("git", &[("PATH", user.folder.path().to_str().unwrap())]);
    assert_eq!(user.try_tree(1).await.unwrap_err(), WorktreeError::NoGit);
    user.place.cwd = user.path("nowhere");
    let error = user.try_tree(1).await.unwrap_err().to_string();
    assert!(error.contains("nowhere` does not exist"), "{error}");
    user.nothing_is_left();
}

#[tokio::test]
async fn an_id_that_is_no_name_is_refused() {
    let user = User::new();
    for id in ["", "..", "a/b", ".scratch", "a b"] {
        let made =
            user.place.create(&parent(), &SessionId::new(id), &TaskName::of(1)).await.unwrap_err();
        assert!(matches!(made, WorktreeError::Failed(_)), "{id}");
    }
}

#[tokio::test]
async fn a_name_that_is_taken_is_left_alone() {
    let user = User::new();
    user.git(&["branch", "talaria/t1-00000001"]);
    let tree = user.tree(1).await;
    assert!(tree.branch().starts_with("talaria/t1-0000000000"), "{}", tree.branch());
    tree.remove(Branch::Drop).await.unwrap();
    assert_eq!(user.branches(), "talaria/t1-00000001\n");

    let user = User::new();
    user.git(&["branch", "talaria"]);
    assert_eq!(user.tree(1).await.branch(), "talaria-t1-00000001");
}

#[tokio::test]
async fn a_tree_is_made_in_a_tree() {
    let user = User::new();
    let outer = user.tree(1).await;
    write(&outer.cwd().join("a"), "outer\n");
    git_in(outer.cwd(), &["commit", "-qam", "outer"]);
    write(&outer.cwd().join("b"), &lines(&[(1, "outer")]));
    let mut place = user.place.clone();
    place.cwd = outer.cwd().to_owned();
    let name = TaskName::of(1).below(1);
    let inner = place.create(&child(1), &child(2), &name).await.unwrap();
    assert_eq!((inner.branch(), inner.uncommitted()), ("talaria/t1.1-00000002", 1));
    assert_eq!(fs::read_to_string(inner.cwd().join("a")).unwrap(), "outer\n");
    write(&inner.cwd().join("b"), &lines(&[(9, "inner")]));
    place.merge(&[inner]).await.unwrap();
    assert_eq!(
        fs::read_to_string(outer.cwd().join("b")).unwrap(),
        lines(&[(1, "outer"), (9, "inner")])
    );
    assert_eq!(user.merge(&[&outer]).await.unwrap(), ["a", "b"]);
    user.nothing_is_left();
}

#[tokio::test]
async fn a_user_in_a_worktree_of_a_bare_repository_has_tasks() {
    let user = User::new();
    let bare = user.folder.path().join("bare");
    user.git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
    let own = user.folder.path().join("own tree");
    git_in(&bare, &["worktree", "add", "-q", own.to_str().unwrap(), "main"]);
    let mut place = user.place.clone();
    place.cwd.clone_from(&own);
    let tree = place.create(&parent(), &child(1), &TaskName::of(1)).await.unwrap();
    write(&tree.cwd().join("a"), "task\n");
    place.merge(&[tree]).await.unwrap();
    assert_eq!(fs::read_to_string(own.join("a")).unwrap(), "task\n");
}

#[tokio::test]
async fn submodules_stay_as_they_are() {
    let library = User::new();
    let user = User::new();
    user.git(&["submodule", "--quiet", "add", library.top().to_str().unwrap(), "lib"]);
    user.commit("submodule");
    user.write("lib/a", "in the submodule\n");
    let tree = user.tree(1).await;
    assert!(tree.cwd().join("lib").is_dir());
    write(&tree.cwd().join("a"), "task\n");
    tree.seal().await.unwrap();
    assert_eq!(user.merge(&[&tree]).await.unwrap(), ["a"]);
    assert_eq!(user.read("lib/a"), "in the submodule\n");
    user.nothing_is_left();

    // A session in the submodule itself.
    let mut place = user.place.clone();
    place.cwd = user.path("lib");
    let tree = place.create(&parent(), &child(2), &TaskName::of(2)).await.unwrap();
    assert_eq!(tree.uncommitted(), 1);
    write(&tree.cwd().join("b"), "task\n");
    place.merge(&[tree]).await.unwrap();
    assert_eq!(
        (user.read("lib/a"), user.read("lib/b")),
        ("in the submodule\n".into(), "task\n".into())
    );
}
