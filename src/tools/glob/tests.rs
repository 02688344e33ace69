//! Tests of `glob`.

use std::fs::File;
use std::time::{Duration, SystemTime};

use expect_test::expect;
use serde_json::json;

use super::Glob;
use crate::tools::Tool as _;
use crate::tools::test_support::Desk;

#[tokio::test]
async fn the_newest_come_first() {
    let desk = Desk::new();
    for (age, path) in
        [(3, "src/old.rs"), (1, "new.rs"), (2, "src/mid/x.rs"), (0, "target/out.rs"), (0, "b.md")]
    {
        let path = desk.put(path, "");
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 - age);
        File::options().write(true).open(path).unwrap().set_modified(changed).unwrap();
    }
    desk.put(".gitignore", "target/");
    let mut text = String::new();
    for input in [
        json!({"pattern": "*.rs"}),
        json!({"pattern": "src/*.rs"}),
        json!({"pattern": "**/*.{rs,md}", "path": "src"}),
        json!({"pattern": "*.py"}),
        json!({"pattern": "*.rs", "path": "gone"}),
        json!({"pattern": "{a"}),
        json!({}),
    ] {
        text = text + &desk.told(&Glob, &input).await + "\n--\n";
    }
    expect![[r#"
        new.rs
        src/mid/x.rs
        src/old.rs
        --
        src/old.rs
        --
        src/mid/x.rs
        src/old.rs
        --
        no files match
        --
        error: `gone` does not exist
        --
        error: the pattern `{a` is not valid: unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)
        --
        error: the field `pattern` is missing: a string is expected
        --
    "#]].assert_eq(&text);
}

#[tokio::test]
async fn the_list_is_bounded() {
    let desk = Desk::new();
    for at in 0..210 {
        desk.put(&format!("f{at:03}"), "");
    }
    let text = desk.told(&Glob, &json!({"pattern": "f*"})).await;
    assert_eq!(text.lines().count(), 201);
    assert!(text.ends_with("[the newest 200 of 210 files: narrow the pattern]"));
    let prepared = desk.prepare(&Glob, &json!({"pattern": "f*", "path": "x"})).await.unwrap();
    assert_eq!((prepared.title.as_str(), prepared.grant.key.as_str()), ("Find `f*` in x", "read"));
    assert_eq!(Glob.spec().name, "glob");
}
