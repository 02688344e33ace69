//! Tests of `write`.

use expect_test::expect;
use serde_json::json;

use super::Write;
use crate::event::{CallContent, Location};
use crate::known::Known;
use crate::tools::edit::Edit;
use crate::tools::read::Read;
use crate::tools::test_support::Desk;
use crate::tools::{Effect, Tool};

#[tokio::test]
async fn a_new_file_comes_with_its_folders() {
    let desk = Desk::new();
    let input = json!({"path": "a/b/c.txt", "content": "one\ntwo\n"});
    let path = desk.root.join("a/b/c.txt");
    let diff = CallContent::Diff { path: path.clone(), old: None, new: "one\ntwo\n".into() };
    let prepared = desk.prepare(&Write, &input).await.unwrap();
    assert_eq!(
        (prepared.title.as_str(), prepared.preview),
        ("Write a/b/c.txt", vec![diff.clone()])
    );
    assert!(!path.exists());
    let ran = desk.run(&Write, &input).await;
    assert_eq!(ran.outcome.text(), "created `a/b/c.txt` (+2 lines)");
    assert_eq!(desk.text("a/b/c.txt"), "one\ntwo\n");
    assert_eq!(ran.show, vec![diff]);
    assert_eq!(ran.output, Some(json!({"path": path, "added": 2, "removed": 0})));
    assert_eq!(ran.saw, vec![(path.clone(), Known::whole("one\ntwo\n"))]);
    assert_eq!(ran.locations, Some(vec![Location { path, line: Some(1) }]));
}

#[tokio::test]
async fn only_what_was_seen_is_replaced() {
    let mut desk = Desk::new();
    let path = desk.put("a.txt", "old\n");
    let input = json!({"path": "a.txt", "content": "new\n"});
    let mut text = desk.told(&Write, &input).await;
    desk.see(&path, "older\n");
    text = text + "\n" + &desk.told(&Write, &input).await;
    text = text + "\n" + &desk.prepare(&Write, &input).await.unwrap().trouble.unwrap();
    assert_eq!(desk.text("a.txt"), "old\n");
    desk.see(&path, "old\n");
    let ran = desk.run(&Write, &input).await;
    text = text + "\n" + &ran.outcome.text();
    desk.remember(ran.saw);
    text = text + "\n" + &desk.told(&Write, &input).await;
    desk.put("empty", "");
    text = text + "\n" + &desk.told(&Write, &json!({"path": "empty", "content": "x"})).await;
    expect![[r#"
        error: `a.txt` exists: read it first, or change it with `edit`
        error: `a.txt` changed since you read it, by a task, the user or another program; read it again
        `a.txt` changed since you read it, by a task, the user or another program; read it again
        wrote `a.txt` (+1 −1 lines)
        `a.txt` has this content already
        wrote `empty` (+1 −0 lines)"#]]
    .assert_eq(&text);
    assert_eq!(desk.text("a.txt"), "new\n");
}

#[tokio::test]
async fn line_endings_and_byte_order_mark_stay() {
    let mut desk = Desk::new();
    let path = desk.put("a.txt", "\u{feff}a\r\nb\r\n");
    desk.see(&path, "\u{feff}a\r\nb\r\n");
    let ran = desk.run(&Write, &json!({"path": "a.txt", "content": "x\ny\n"})).await;
    assert_eq!(desk.text("a.txt"), "\u{feff}x\r\ny\r\n");
    assert_eq!(ran.saw, vec![(path, Known::whole("\u{feff}x\r\ny\r\n"))]);
}

#[tokio::test]
async fn what_cannot_be_written_says_why() {
    let desk = Desk::new();
    desk.put("folder/x", "");
    desk.put("latin", b"caf\xe9");
    let mut text = String::new();
    for input in [
        json!({"path": "folder", "content": ""}),
        json!({"path": "folder/x/y", "content": ""}),
        json!({"path": "latin", "content": ""}),
        json!({"path": "a"}),
        json!({"path": " ", "content": "x"}),
        json!({"path": "a", "content": {"x": 1}}),
    ] {
        text.push_str(&desk.told(&Write, &input).await);
        text.push('\n');
    }
    expect![[r#"
        error: `folder` is a directory; use `list` to look into it
        error: `folder/x/y`: Not a directory (os error 20)
        error: `latin` is not UTF-8 text; use `terminal` with a program that understands the file
        error: the field `content` is missing: a string is expected
        error: the field `path` is empty
        error: the field `content` is {"x":1}: a string is expected
    "#]]
    .assert_eq(&text);
}

#[tokio::test]
async fn a_dangling_link_out_of_the_roots_counts_as_outside() {
    let desk = Desk::new();
    std::os::unix::fs::symlink(desk.outer.join("gone"), desk.root.join("link")).unwrap();
    let prepared = desk.prepare(&Write, &json!({"path": "link", "content": "x"})).await.unwrap();
    assert!(!prepared.touches[0].inside);
    assert!(prepared.grant.key.starts_with("outside write"), "{}", prepared.grant.key);
}

#[tokio::test]
async fn outside_nothing_is_told_before_it_is_permitted() {
    let desk = Desk::new();
    std::fs::write(desk.outer.join("there.txt"), "secret").unwrap();
    let prepared =
        desk.prepare(&Write, &json!({"path": "../there.txt", "content": "x"})).await.unwrap();
    assert!(prepared.preview.is_empty() && !prepared.touches[0].inside);
    assert_eq!(prepared.grant.key, format!("outside write {}", desk.outer.display()));
    assert_eq!(Write.spec().name, "write");
}

#[tokio::test]
async fn what_is_known_in_part_is_not_replaced() {
    let mut desk = Desk::new();
    desk.put("a.txt", "one\ntwo\nthree\n");
    desk.put("wide.txt", "x".repeat(3000));
    let mut text = String::new();
    for (tool, input) in [
        (&Read as &dyn Tool, json!({"path": "a.txt", "offset": 2, "limit": 1})),
        (&Write, json!({"path": "a.txt", "content": "new"})),
        (&Edit, json!({"path": "a.txt", "old_text": "two", "new_text": "2"})),
        (&Write, json!({"path": "a.txt", "content": "new"})),
        (&Read, json!({"path": "a.txt", "offset": 2})),
        (&Write, json!({"path": "a.txt", "content": "new"})),
        (&Read, json!({"path": "a.txt", "limit": 1})),
        (&Write, json!({"path": "a.txt", "content": "new"})),
        (&Edit, json!({"path": "a.txt", "old_text": "new", "new_text": "newer"})),
        (&Write, json!({"path": "a.txt", "content": "newest"})),
        (&Read, json!({"path": "wide.txt"})),
        (&Write, json!({"path": "wide.txt", "content": "new"})),
        (&Edit, json!({"path": "wide.txt", "old_text": "x", "new_text": "y", "replace_all": true})),
    ] {
        let ran = desk.run(tool, &input).await;
        if tool.effect() == Effect::Write {
            text = text + &ran.outcome.text() + "\n";
        }
        for (path, known) in ran.saw {
            let known = known.after(desk.context.seen.get(&path));
            desk.remember(vec![(path, known)]);
        }
    }
    expect![[r#"
        error: you know only a part of `a.txt`: read the whole file first, lines 1–1 are missing, or change it with `edit`
        edited `a.txt` from line 2 (+1 −1 lines)
        error: you know only a part of `a.txt`: read the whole file first, lines 1–3 are missing, or change it with `edit`
        error: you know only a part of `a.txt`: read the whole file first, lines 1–1 are missing, or change it with `edit`
        wrote `a.txt` (+1 −3 lines)
        edited `a.txt` from line 1 (+1 −1 lines)
        wrote `a.txt` (+1 −1 lines)
        error: you know only a part of `wide.txt`: read the whole file first, lines 1–1 are missing, or change it with `edit`
        edited `wide.txt` from line 1 (+1 −1 lines)
    "#]].assert_eq(&text);
}
