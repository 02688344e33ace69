//! Tests of `edit`.

use std::path::Path;
use std::sync::Arc;

use expect_test::expect;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use proptest::prelude::{Strategy, any, prop_assert_eq, prop_assume, proptest};
use proptest::{collection, sample};
use serde_json::json;

use super::Edit;
use super::replace::{Replacement, apply};
use crate::event::{CallContent, Location};
use crate::known::Known;
use crate::tools::Tool as _;
use crate::tools::host::{Command, Finished, Host, HostError, Watch};
use crate::tools::local::Local;
use crate::tools::read::Read;
use crate::tools::test_support::Desk;

fn replacement(old: &str, new: &str) -> Replacement {
    Replacement { old: old.to_owned(), new: new.to_owned(), all: false }
}

fn one(text: &str, old: &str, new: &str) -> String {
    apply(text, &[replacement(old, new)]).unwrap_or_else(|error| format!("error: {error}"))
}

fn all(text: &str, old: &str, new: &str) -> String {
    apply(text, &[Replacement { all: true, ..replacement(old, new) }])
        .unwrap_or_else(|error| format!("error: {error}"))
}

#[tokio::test]
async fn edits_apply_in_order() {
    let mut desk = Desk::new();
    let path = desk.put("a.rs", "one\ntwo\nthree\n");
    desk.see(&path, "one\ntwo\nthree\n");
    let input = json!({"path": "a.rs", "edits": [
        {"old_text": "two", "new_text": "2\n2b"},
        {"old_text": "2b\nthree", "new_text": "3"}
    ]});
    let diff = CallContent::Diff {
        path: path.clone(),
        old: Some("one\ntwo\nthree\n".into()),
        new: "one\n2\n3\n".into(),
    };
    let prepared = desk.prepare(&Edit, &input).await.unwrap();
    assert_eq!((prepared.title.as_str(), prepared.preview), ("Edit a.rs", vec![diff.clone()]));
    assert_eq!(prepared.locations, vec![Location { path: path.clone(), line: Some(2) }]);
    assert_eq!(desk.text("a.rs"), "one\ntwo\nthree\n");
    let ran = desk.run(&Edit, &input).await;
    assert_eq!(ran.outcome.text(), "edited `a.rs` from line 2 (+2 −2 lines)");
    assert_eq!(desk.text("a.rs"), "one\n2\n3\n");
    assert_eq!(ran.show, vec![diff]);
    assert_eq!(ran.output, Some(json!({"path": path, "added": 2, "removed": 2})));
    assert_eq!(ran.saw, vec![(path, Known::whole("one\n2\n3\n"))]);
}

#[tokio::test]
async fn common_variants_are_understood() {
    let desk = Desk::new();
    desk.put("a", "x y x");
    let flat =
        json!({"file_path": "a", "old_string": "x", "new_string": "z", "replace_all": "true"});
    assert_eq!(desk.told(&Edit, &flat).await, "edited `a` from line 1 (+1 −1 lines)");
    let text = json!({"path": "a", "edits": "[{\"oldText\": \"y\", \"newText\": \"\"}]"});
    desk.run(&Edit, &text).await;
    assert_eq!(desk.text("a"), "z  z");
}

#[tokio::test]
async fn all_edits_apply_or_none() {
    let mut desk = Desk::new();
    let path = desk.put("a.txt", "fn main() {\n\tlet x = 1;\n}\n\nx\nx\n");
    let mut text = String::new();
    for edits in [
        json!([{"old_text": "main", "new_text": "start"}, {"old_text": "gone", "new_text": ""}]),
        json!([{"old_text": "fn main() {\n    let x = 1;\n}", "new_text": ""}]),
        json!([{"old_text": "fn main() {\n\tlet y = 1;", "new_text": ""}]),
        json!([{"old_text": "1\tfn main() {\n2\t\tlet x = 1;", "new_text": ""}]),
        json!([{"old_text": "x\n", "new_text": "y\n"}]),
        json!([{"old_text": "", "new_text": "y"}]),
        json!([{"old_text": "x = 1", "new_text": "x = 1"}]),
        json!([{"old_text": "main", "new_text": "m"}, {"old_text": "m()", "new_text": "main()"}]),
        json!([]),
        json!([{"old_text": "main"}]),
        json!("nonsense"),
    ] {
        text.push_str(&desk.told(&Edit, &json!({"path": "a.txt", "edits": edits})).await);
        text.push('\n');
    }
    desk.see(&path, "something else");
    let input = json!({"path": "a.txt", "old_text": "main", "new_text": "start"});
    text = text + &desk.told(&Edit, &input).await + "\n";
    text = text + &desk.prepare(&Edit, &input).await.unwrap().trouble.unwrap() + "\n";
    let input = json!({"path": "gone.txt", "old_text": "main", "new_text": "start"});
    text = text + &desk.told(&Edit, &input).await + "\n";
    expect![[r#"
        error: `a.txt` is unchanged: edit 2 of 2: `old_text` is not in the file; read the file and copy the text exactly
        error: `a.txt` is unchanged: `old_text` is not in the file: it differs only in white space from what is at line 2, which reads `	let x = 1;`
        error: `a.txt` is unchanged: `old_text` is not in the file: its beginning is at line 1, but line 2 reads `	let x = 1;` where `old_text` has `	let y = 1;`
        error: `a.txt` is unchanged: `old_text` is not in the file: leave out the line numbers that `read` shows
        error: `a.txt` is unchanged: `old_text` is there 2 times, at lines 5, 6: add lines around it to say which one, or set `replace_all`
        error: `a.txt` is unchanged: `old_text` is empty: give the text to replace, or use `write` for a whole file
        error: `a.txt` is unchanged: `old_text` and `new_text` are equal
        error: `a.txt` is unchanged: the edits change nothing
        error: the field `edits` is empty: give at least one edit
        error: edit 1: the field `new_text` is missing: a string is expected
        error: the field `edits` is "nonsense": a list is expected
        error: `a.txt` changed since you read it, by a task, the user or another program; read it again
        `a.txt` changed since you read it, by a task, the user or another program; read it again
        error: `gone.txt` does not exist; use `write` to create it
    "#]].assert_eq(&text);
    assert_eq!(desk.text("a.txt"), "fn main() {\n\tlet x = 1;\n}\n\nx\nx\n");
}

#[tokio::test]
async fn outside_nothing_is_told_before_it_is_permitted() {
    let desk = Desk::new();
    std::fs::write(desk.outer.join("there.txt"), "secret").unwrap();
    let input = json!({"path": "../there.txt", "old_text": " secret ", "new_text": ""});
    let prepared = desk.prepare(&Edit, &input).await.unwrap();
    assert!(prepared.preview.is_empty() && !prepared.touches[0].inside);
    assert_eq!(Edit.spec().name, "edit");
}

#[test]
fn line_endings_of_the_file_stay() {
    assert_eq!(one("a\r\nb\r\nc\r\n", "a\nb\n", "x\ny\nz\n"), "x\r\ny\r\nz\r\nc\r\n");
    assert_eq!(one("a\r\nb\r\n", "b", "x\ny"), "a\r\nx\r\ny\r\n");
    assert_eq!(one("a\r\nb", "b", "x\ny"), "a\r\nx\r\ny");
    assert_eq!(one("a\nb\n", "a\r\nb", "x\r\ny"), "x\ny\n");
    assert_eq!(one("a\r\nb\n", "a\r\nb", "a\nc"), "a\r\nc\n");
    // Of mixed endings each place has its own, and the exact one is meant first.
    assert_eq!(one("a\nb\r\na\r\nb\r\n", "a\nb", "x\ny"), "x\ny\r\na\r\nb\r\n");
    assert_eq!(all("a\nb\r\na\r\nb\r\n", "a\nb", "x\ny"), "x\ny\r\nx\r\ny\r\n");
    assert_eq!(one("\u{feff}a\r\n", "a\n", "b\n"), "\u{feff}b\r\n");
}

#[test]
fn places_that_overlap_are_ambiguous() {
    assert!(one("aaa", "aa", "b").contains("there 2 times, at lines 1, 1"));
    assert_eq!(all("aaa", "aa", "b"), "ba");
    assert!(one(&"x\n".repeat(2000), "x", "y").contains("at least 1000 times, at lines 1, 2, 3"));
}

/// An editor that formats a file as it saves it.
struct Formatter(Local);

impl Host for Formatter {
    fn read_text<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, Result<String, HostError>> {
        self.0.read_text(path)
    }

    fn write_text<'a>(
        &'a self,
        path: &'a Path,
        text: &'a str,
    ) -> BoxFuture<'a, Result<(), HostError>> {
        async move { self.0.write_text(path, &text.replace("  ", " ")).await }.boxed()
    }

    fn run<'a>(
        &'a self,
        command: Command,
        watch: Watch<'a>,
    ) -> BoxFuture<'a, Result<Finished, HostError>> {
        self.0.run(command, watch)
    }
}

#[tokio::test]
async fn an_editor_may_format_what_it_saves() {
    let mut desk = Desk::new();
    desk.context.host = Arc::new(Formatter(Local::new()));
    let path = desk.put("a.txt", "a b\n");
    desk.see(&path, "a b\n");
    let ran = desk.run(&Edit, &json!({"path": "a.txt", "old_text": "b", "new_text": " c"})).await;
    expect![[r#"
        edited `a.txt` from line 1 (+1 −1 lines)
        The editor changed the text after it saved it, to format it for example: read the file again before you change it again."#]].assert_eq(&ran.outcome.text());
    desk.remember(ran.saw);
    // Who changed it nobody can tell: it may have been the user.
    let next = json!({"path": "a.txt", "old_text": "c", "new_text": "d"});
    let told = desk.told(&Edit, &next).await;
    assert!(told.contains("changed since you read it"), "{told}");
    desk.remember(desk.run(&Read, &json!({"path": "a.txt"})).await.saw);
    assert_eq!(desk.told(&Edit, &next).await, "edited `a.txt` from line 1 (+1 −1 lines)");
}

/// An editor that never answers.
struct Deaf;

impl Host for Deaf {
    fn read_text<'a>(&'a self, _path: &'a Path) -> BoxFuture<'a, Result<String, HostError>> {
        std::future::pending().boxed()
    }

    fn write_text<'a>(
        &'a self,
        _path: &'a Path,
        _text: &'a str,
    ) -> BoxFuture<'a, Result<(), HostError>> {
        std::future::pending().boxed()
    }

    fn run<'a>(
        &'a self,
        _command: Command,
        _watch: Watch<'a>,
    ) -> BoxFuture<'a, Result<Finished, HostError>> {
        std::future::pending().boxed()
    }
}

#[tokio::test]
async fn a_deaf_editor_does_not_hold_a_cancelled_call() {
    let mut desk = Desk::new();
    desk.context.host = Arc::new(Deaf);
    desk.put("a.txt", "a");
    desk.context.cancel.cancel();
    let told = desk.told(&Edit, &json!({"path": "a.txt", "old_text": "a", "new_text": "b"})).await;
    assert_eq!(told, "cancelled: the turn was cancelled");
}

fn lines() -> impl Strategy<Value = Vec<String>> {
    collection::vec("[a-cä ]{0,4}", 1..12)
}

proptest! {
    #[test]
    fn an_edit_and_its_reverse_restore_the_file(
        before in lines(),
        after in lines(),
        new in lines(),
        windows in any::<bool>(),
    ) {
        let ending = if windows { "\r\n" } else { "\n" };
        let file = |middle: &str| {
            let text = format!("{}\n{middle}\n{}\n", before.join("\n"), after.join("\n"));
            text.replace('\n', ending)
        };
        let new = format!("<{}>", new.join("\n"));
        let text = file("OLD\ntwo");
        let edited = apply(&text, &[replacement("OLD\ntwo", &new)]).unwrap();
        // All lines around it are as they were.
        prop_assert_eq!(&edited, &file(&new));
        prop_assert_eq!(apply(&edited, &[replacement(&new, "OLD\ntwo")]).unwrap(), text);
    }

    #[test]
    fn any_piece_is_found_or_ambiguous(text in "[ab\r\n]{1,40}", pick in any::<(sample::Index, sample::Index)>()) {
        let (start, end) = (pick.0.index(text.len()), pick.1.index(text.len() + 1));
        prop_assume!(start < end);
        let (before, rest) = text.split_at(start);
        let (old, after) = rest.split_at(end - start);
        match apply(&text, &[replacement(old, "X")]) {
            Ok(edited) => prop_assert_eq!(edited, format!("{before}X{after}")),
            Err(error) => proptest::prop_assert!(error.contains("times, at lines"), "{}", error),
        }
    }
}
