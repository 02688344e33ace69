//! How trees go.

use super::*;

#[tokio::test]
async fn a_discarded_tree_leaves_nothing() {
    let user = User::new();
    let tree = user.tree(1).await;
    write(&tree.folder.join("a"), "task\n");
    tree.seal().await.unwrap();
    tree.remove(Branch::Drop).await.unwrap();
    user.nothing_is_left();
    assert_eq!(user.read("a"), lines(&[]));
    // A second time is fine.
    tree.remove(Branch::Drop).await.unwrap();
}

#[tokio::test]
async fn a_branch_with_changes_can_stay() {
    let user = User::new();
    let trees = [user.tree(1).await, user.tree(2).await, user.tree(3).await];
    write(&trees[0].folder.join("a"), "task\n");
    trees[0].remove(Branch::KeepIfChanged).await.unwrap();
    trees[1].remove(Branch::KeepIfChanged).await.unwrap();
    trees[2].remove(Branch::Keep).await.unwrap();
    assert_eq!(user.branches(), "talaria/t1-00000001\ntalaria/t3-00000003\n");
    assert_eq!(user.git(&["show", "talaria/t1-00000001:a"]), "task\n");
    assert_eq!(user.entries(), 0);
}

#[tokio::test]
async fn a_branch_that_the_user_has_checked_out_stays() {
    let user = User::new();
    let tree = user.tree(1).await;
    write(&tree.folder.join("a"), "task\n");
    tree.seal().await.unwrap();
    git_in(&tree.folder, &["checkout", "-q", "--detach"]);
    user.git(&["switch", "-q", tree.branch()]);
    assert_eq!(user.merge(&[&tree]).await.unwrap(), [""; 0]);
    assert_eq!(user.git(&["symbolic-ref", "--short", "HEAD"]).trim(), tree.branch());
    assert_eq!((user.status(), user.entries()), (String::new(), 0));
}

#[tokio::test]
async fn a_deleted_session_takes_its_trees_along() {
    let user = User::new();
    let outer = user.tree(1).await;
    user.tree(2).await;
    write(&outer.folder.join("a"), "outer\n");
    let mut place = user.place.clone();
    place.cwd = outer.cwd().to_owned();
    let name = TaskName::of(1).below(1);
    let inner = place.create(&child(1), &child(9), &name).await.unwrap();
    write(&inner.folder.join("b"), "inner\n");
    let other = user.place.create(&SessionId::new("other"), &child(5), &TaskName::of(1)).await;
    let other = other.unwrap();
    fs::create_dir_all(user.place.folder.join("parent/without")).unwrap();

    remove::forget_with(&user.place.git, &user.place.folder, &parent()).await;

    assert!(other.cwd().is_dir() && !outer.home.exists() && !inner.home.exists());
    assert!(!user.place.folder.join("parent").exists());
    assert_eq!(
        user.branches(),
        "talaria/t1-00000001\ntalaria/t1-00000005\ntalaria/t1.1-00000009\n"
    );
    assert_eq!(user.git(&["show", "talaria/t1-00000001:a"]), "outer\n");
    assert_eq!(user.git(&["show", "talaria/t1.1-00000009:b"]), "inner\n");
    assert_eq!(user.entries(), 1);
    // Those that have none, and those that cannot have any.
    for id in ["nobody", "..", ""] {
        remove::forget_with(&user.place.git, &user.place.folder, &SessionId::new(id)).await;
    }
    assert!(other.cwd().is_dir());
}

#[tokio::test]
async fn a_repository_that_was_moved_is_missed() {
    let user = User::new();
    let tree = user.tree(1).await;
    write(&tree.folder.join("a"), "task\n");
    let away = user.folder.path().join("away");
    fs::rename(user.top(), &away).unwrap();
    let gone = || WorktreeError::NoLongerThere(user.top().display().to_string());
    assert_eq!(tree.seal().await.unwrap_err(), gone());
    assert_eq!(tree.changes(10).await.unwrap_err(), gone());
    assert_eq!(user.try_tree(1).await.unwrap_err(), gone());
    let found = user.place.find(&parent(), &child(1)).await.unwrap();
    assert!(found.is_some());
    let mut place = user.place.clone();
    place.cwd = User::new().top();
    assert!(place.merge(std::slice::from_ref(&tree)).await.is_err());

    // It comes back.
    fs::rename(&away, user.top()).unwrap();
    assert_eq!(tree.changes(1000).await.unwrap().files.len(), 1);

    // It does not.
    fs::remove_dir_all(user.top()).unwrap();
    tree.remove(Branch::KeepIfChanged).await.unwrap();
    assert!(!tree.home.exists());
}

#[cfg(unix)]
#[tokio::test]
async fn folders_that_may_not_be_written_to_go_too() {
    use std::os::unix::fs::PermissionsExt as _;
    let user = User::new();
    let tree = user.tree(1).await;
    let folder = tree.folder.join("cache/module");
    write(&folder.join("file"), "task\n");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
    std::os::unix::fs::symlink(user.top(), tree.folder.join("link")).unwrap();
    tree.remove(Branch::Drop).await.unwrap();
    user.nothing_is_left();
    assert_eq!(user.read("a"), lines(&[]));
}
