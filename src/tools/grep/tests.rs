//! Tests of `grep`.

use expect_test::expect;
use serde_json::json;

use super::Grep;
use crate::tools::Tool as _;
use crate::tools::test_support::Desk;

#[tokio::test]
async fn lines_are_found() {
    let desk = Desk::new();
    desk.put("src/a.rs", "fn one() {\r\n    two();\r\n}\r\n\nfn two() {}\n");
    desk.put("src/b.md", "FN one\n");
    desk.put("bin", b"fn one\0\n");
    desk.put(".gitignore", "target");
    desk.put("target/c.rs", "fn one\n");
    desk.put(".git/d.rs", "fn one\n");
    let mut text = String::new();
    for input in [
        json!({"pattern": r"fn \w+"}),
        json!({"pattern": "fn", "ignore_case": true, "glob": "*.md"}),
        json!({"pattern": "two", "context": 1, "path": "src/a.rs"}),
        json!({"pattern": "ONE", "ignore_case": "true", "files_only": true}),
        json!({"pattern": "three"}),
        json!({"pattern": "one(", "path": "src"}),
        json!({"pattern": "a\nb"}),
        json!({"pattern": "x", "path": "gone"}),
        json!({"pattern": "x", "glob": "[a"}),
        json!({"pattern": "x", "context": 9}),
        json!({"pattern": ""}),
    ] {
        text = text + &desk.told(&Grep, &input).await + "\n--\n";
    }
    expect![[r#"
        src/a.rs
        1:fn one() {
        5:fn two() {}
        --
        src/b.md
        1:FN one
        --
        src/a.rs
        1-fn one() {
        2:    two();
        3-}
        4-
        5:fn two() {}
        --
        src/a.rs
        src/b.md
        --
        no matches
        --
        error: the pattern `one(` is not a valid regular expression: regex parse error:
            (?:one()
            ^
        error: unclosed group
        To find it literally, escape it: `one\(`
        --
        error: the field `pattern` has a line break: it is matched line by line
        --
        error: `gone` does not exist
        --
        error: the pattern `[a` is not valid: unclosed character class; missing ']'
        --
        error: the field `context` is 9: a number from 0 to 5 is expected
        --
        error: the field `pattern` is empty
        --
    "#]]
    .assert_eq(&text);
}

#[tokio::test]
async fn the_end_of_a_line_is_found_whatever_ends_it() {
    let desk = Desk::new();
    desk.put("crlf", "alpha;\r\nbeta; \r\n\r\n");
    desk.put("lf", "alpha;\nbeta; \n");
    let text = desk.told(&Grep, &json!({"pattern": ";$"})).await;
    assert_eq!(text, "crlf\n1:alpha;\n\nlf\n1:alpha;");
    let text = desk.told(&Grep, &json!({"pattern": "^$|a.$"})).await;
    assert_eq!(text, "crlf\n1:alpha;\n3:\n\nlf\n1:alpha;");
}

#[tokio::test]
async fn output_is_bounded() {
    let desk = Desk::new();
    desk.put("many", "needle\n".repeat(300));
    let text = desk.told(&Grep, &json!({"pattern": "needle"})).await;
    assert_eq!(text.lines().count(), 202);
    assert!(text.ends_with("[stopped after 200 matches: narrow `pattern`, `path` or `glob`]"));
    desk.put("many", format!("{}needle{}\n", "ä".repeat(500), "ö".repeat(500)).repeat(150));
    let text = desk.told(&Grep, &json!({"pattern": "needle"})).await;
    assert!(text.len() < 33 * 1024 && text.contains("[stopped after"));
    let line = text.lines().nth(1).unwrap();
    assert_eq!(line, format!("1:…{}needle{}…", "ä".repeat(100), "ö".repeat(194)));
}

#[tokio::test]
async fn a_cancelled_call_is_cancelled() {
    let desk = Desk::new();
    desk.put("a", "x");
    desk.context.cancel.cancel();
    assert_eq!(
        desk.told(&Grep, &json!({"pattern": "x"})).await,
        "cancelled: the turn was cancelled"
    );
    let prepared = desk.prepare(&Grep, &json!({"pattern": "x", "glob": "*.rs"})).await.unwrap();
    assert_eq!(prepared.title, "Search `x` (*.rs)");
    assert_eq!(Grep.spec().name, "grep");
}
