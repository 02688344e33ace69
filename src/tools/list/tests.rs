//! Tests of `list`.

use expect_test::expect;
use serde_json::json;

use super::List;
use crate::tools::Tool as _;
use crate::tools::test_support::Desk;

fn desk() -> Desk {
    let desk = Desk::new();
    desk.put(".gitignore", "target\n");
    desk.put(".git/HEAD", "x");
    desk.put("target/out", "x");
    desk.put("src/main.rs", "x".repeat(2000));
    desk.put("src/deep/er/x", "");
    desk.put("README.md", "x");
    desk
}

#[tokio::test]
async fn a_folder_is_listed() {
    let desk = desk();
    #[cfg(unix)]
    std::os::unix::fs::symlink("/etc", desk.root.join("zlink")).unwrap();
    let mut text = desk.told(&List, &json!({})).await;
    text = text + "\n--\n" + &desk.told(&List, &json!({"path": "src", "depth": 3})).await;
    text = text + "\n--\n" + &desk.told(&List, &json!({"path": "target"})).await;
    expect![[r#"
        .gitignore (7 B)
        README.md (1 B)
        src/
        zlink (link)
        --
        deep/
        deep/er/
        deep/er/x (0 B)
        main.rs (1.9 KiB)
        --
        out (1 B)"#]]
    .assert_eq(&text);
}

#[tokio::test]
async fn what_cannot_be_listed_says_why() {
    let desk = desk();
    std::fs::create_dir(desk.root.join("empty")).unwrap();
    let mut text = String::new();
    for input in [
        json!({"path": "gone"}),
        json!({"path": "README.md"}),
        json!({"path": "empty"}),
        json!({"depth": 6}),
    ] {
        text = text + &desk.told(&List, &input).await + "\n";
    }
    expect![[r#"
        error: `gone` does not exist
        error: `README.md` is a file; use `read`
        `empty` has nothing that is not ignored
        error: the field `depth` is 6: a number from 1 to 5 is expected
    "#]]
    .assert_eq(&text);
}

#[tokio::test]
async fn the_list_is_bounded() {
    let desk = Desk::new();
    for at in 0..510 {
        desk.put(&format!("f{at:03}"), "");
    }
    let text = desk.told(&List, &json!({})).await;
    assert_eq!(text.lines().count(), 501);
    assert!(text.ends_with("[only the first 500 entries: list a folder in it, or use `glob`]"));
    let prepared = desk.prepare(&List, &json!({"path": ".."})).await.unwrap();
    assert_eq!(prepared.grant.key, format!("outside search {}", desk.outer.display()));
    assert_eq!(List.spec().name, "list");
}
