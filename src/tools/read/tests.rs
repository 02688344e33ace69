//! Tests of `read`.

use expect_test::expect;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use super::Read;
use crate::event::Location;
use crate::known::Known;
use crate::tools::Tool as _;
use crate::tools::host::{Command, Finished, Host, HostError, Watch};
use crate::tools::test_support::Desk;
use crate::transcript::{Content, Outcome};

fn numbered(count: usize) -> String {
    (1..=count).map(|line| format!("line {line}")).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn lines_come_with_their_numbers() {
    let desk = Desk::new();
    let path = desk.put("a.txt", "\u{feff}one\r\n\ttwo\n\nfour\n");
    let ran = desk.run(&Read, &json!({"path": "a.txt"})).await;
    assert_eq!(ran.outcome.text(), "1\tone\n2\t\ttwo\n3\t\n4\tfour");
    assert_eq!(ran.saw, vec![(path, Known::whole("\u{feff}one\r\n\ttwo\n\nfour\n"))]);
}

#[tokio::test]
async fn a_part_is_read_and_told_how_to_go_on() {
    let desk = Desk::new();
    desk.put("a.txt", numbered(5000));
    let part = |input: Value| {
        let desk = &desk;
        async move { desk.told(&Read, &input).await }
    };
    assert_eq!(
        part(json!({"path": "a.txt", "offset": "10", "limit": 2})).await,
        "10\tline 10\n11\tline 11\n[lines 10–11 of 5000; go on with offset 12]"
    );
    assert_eq!(part(json!({"path": "a.txt", "offset": 5000})).await, "5000\tline 5000");
    let whole = part(json!({"path": "a.txt"})).await;
    assert!(whole.ends_with("2000\tline 2000\n[lines 1–2000 of 5000; go on with offset 2001]"));
}

#[tokio::test]
async fn output_is_bounded() {
    let desk = Desk::new();
    desk.put("long.txt", format!("{}\nshort", "ä".repeat(3000)));
    let text = desk.told(&Read, &json!({"path": "long.txt"})).await;
    assert_eq!(text, format!("1\t{}…\n2\tshort", "ä".repeat(2000)));
    desk.put("wide.txt", format!("{}\n", "x".repeat(1000)).repeat(1000));
    let text = desk.told(&Read, &json!({"path": "wide.txt"})).await;
    assert!(text.len() < 66 * 1024 && text.ends_with("[lines 1–65 of 1000; go on with offset 66]"));
}

#[tokio::test]
async fn what_cannot_be_read_says_why() {
    let desk = Desk::new();
    desk.put("src/main.rs", "");
    desk.put("src/tool.rs", "one line");
    desk.put("program", b"\x7fELF\0\0");
    desk.put("latin", b"caf\xe9");
    std::fs::File::create(desk.root.join("huge")).unwrap().set_len(11 * 1024 * 1024).unwrap();
    desk.put("huge.txt", "x".repeat(10 * 1024 * 1024 + 1));
    let mut image = b"\x89PNG\r\n\x1a\n".to_vec();
    image.resize(5 * 1024 * 1024 + 1, 0);
    desk.put("big.png", image);
    let mut text = String::new();
    for input in [
        json!({"path": "src/main.rs"}),
        json!({"path": "src/tool.rs", "offset": 2}),
        json!({"path": "src"}),
        json!({"path": "src/Mian.rs"}),
        json!({"path": "src/something"}),
        json!({"path": "gone/main.rs"}),
        json!({"path": "program"}),
        json!({"path": "latin"}),
        json!({"path": "huge"}),
        json!({"path": "huge.txt"}),
        json!({"path": "big.png"}),
        json!({"path": "/dev/zero"}),
        json!({"path": ["a"]}),
        json!({"path": "a", "limit": "all"}),
    ] {
        text.push_str(&desk.told(&Read, &input).await);
        text.push('\n');
    }
    expect![[r#"
        (`src/main.rs` is empty)
        error: `src/tool.rs` has 1 lines; the offset 2 is past its end
        error: `src` is a directory; use `list` to look into it
        error: `src/Mian.rs` does not exist; its folder has `main.rs`
        error: `src/something` does not exist; use `glob` to find it
        error: `gone/main.rs` does not exist, and neither does its folder
        error: `program` is not text: it is a program (ELF) of 6 B; use `terminal` with a program for such files
        error: `latin` is not UTF-8 text; use `terminal` with a program that understands the file
        error: `huge` is not text: it is a binary file of 11.0 MiB; use `terminal` with a program for such files
        error: `huge.txt` is too large (10.0 MiB; the limit is 10.0 MiB): use `grep` to find the place, or `terminal`
        error: `big.png` is an image of 5.0 MiB, the limit is 5.0 MiB; make a smaller copy with `terminal`
        error: `/dev/zero` is a device, pipe or socket, not a file
        error: the field `path` is ["a"]: a string is expected
        error: the field `limit` is "all": a whole number of 0 or more is expected
    "#]].assert_eq(&text);
}

#[tokio::test]
async fn images_are_images() {
    let desk = Desk::new();
    desk.put("a.bin", b"GIF89a...");
    let ran = desk.run(&Read, &json!({"path": "a.bin"})).await;
    let image = Content::Image { mime: "image/gif".into(), data: "R0lGODlhLi4u".into() };
    let text = Content::text("`a.bin` is an image (image/gif, 9 B)");
    assert_eq!(ran.outcome, Outcome::Done { content: vec![text, image] });
}

#[tokio::test]
async fn a_call_is_described() {
    let desk = Desk::new();
    let path = desk.put("src/a.rs", "");
    let mut text = String::new();
    for input in [
        json!({"path": path}),
        json!({"path": "src/../src/a.rs", "offset": 10, "limit": 41}),
        json!({"file_path": "src/a.rs", "offset": 3}),
        json!({"path": "../x/y"}),
    ] {
        let prepared = desk.prepare(&Read, &input).await.unwrap();
        let line = prepared.locations.first().and_then(|location| location.line);
        let inside = prepared.touches[0].inside;
        let key = prepared.grant.key.replace(&desk.outer.display().to_string(), "/outer");
        let title = prepared.title.replace(&desk.outer.display().to_string(), "/outer");
        writeln!(text, "{title} · line {line:?} · inside {inside} · {key}").unwrap();
    }
    expect![[r#"
        Read src/a.rs · line None · inside true · read
        Read src/a.rs (10–50) · line Some(10) · inside true · read
        Read src/a.rs (from line 3) · line Some(3) · inside true · read
        Read /outer/x/y · line None · inside false · outside read /outer/x
    "#]]
    .assert_eq(&text);
    let prepared = desk.prepare(&Read, &json!({"path": "src/a.rs"})).await.unwrap();
    assert_eq!(prepared.locations, vec![Location { path, line: None }]);
    assert_eq!(Read.spec().name, "read");
}

/// An editor with one file, which is not on disk.
struct Unsaved;

impl Host for Unsaved {
    fn read_text<'a>(&'a self, _path: &'a Path) -> BoxFuture<'a, Result<String, HostError>> {
        async { Ok("not saved yet".to_owned()) }.boxed()
    }

    fn write_text<'a>(
        &'a self,
        path: &'a Path,
        _text: &'a str,
    ) -> BoxFuture<'a, Result<(), HostError>> {
        async { Err(HostError::Denied { path: path.to_owned() }) }.boxed()
    }

    fn run<'a>(
        &'a self,
        _command: Command,
        _watch: Watch<'a>,
    ) -> BoxFuture<'a, Result<Finished, HostError>> {
        async { Err(HostError::Start { message: "no terminal".to_owned() }) }.boxed()
    }
}

#[tokio::test]
async fn what_only_the_editor_has_is_read() {
    let mut desk = Desk::new();
    desk.context.host = Arc::new(Unsaved);
    assert_eq!(desk.told(&Read, &json!({"path": "new.txt"})).await, "1\tnot saved yet");
}

#[tokio::test]
async fn a_cancelled_call_is_cancelled() {
    let desk = Desk::new();
    desk.put("a.txt", "x");
    desk.context.cancel.cancel();
    assert_eq!(
        desk.told(&Read, &json!({"path": "a.txt"})).await,
        "cancelled: the turn was cancelled"
    );
}
