//! Tests of `terminal`, on real processes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use expect_test::expect;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::json;

use super::Terminal;
use crate::event::CallContent;
use crate::ids::TerminalId;
use crate::tools::host::{Command, Finished, Host, HostError, Watch};
use crate::tools::test_support::Desk;
use crate::tools::{Access, Tool as _, Touch};
use crate::transcript::{Content, Outcome};

const TERMINAL: Terminal = Terminal { default_timeout: Duration::from_secs(20) };

#[tokio::test]
async fn commands_end_in_words() {
    let desk = Desk::new();
    desk.put("sub/x", "");
    let mut text = String::new();
    for input in [
        json!({"command": "echo out; echo err >&2; echo out again"}),
        json!({"command": "ls", "cwd": "sub"}),
        json!({"command": "true"}),
        json!({"command": "echo no; exit 3"}),
        json!({"command": "kill -9 $$"}),
        json!({"command": "echo begun; sleep 60", "timeout_seconds": "1"}),
        json!({"command": "ls", "cwd": "gone"}),
        json!({"command": " "}),
        json!({"command": "ls", "timeout": 120_000}),
    ] {
        text = text + &desk.told(&TERMINAL, &input).await + "\n--\n";
    }
    expect![[r#"
        out
        err
        out again
        --
        x
        --
        (no output)
        --
        error: no
        exit code 3
        --
        error: (no output)
        ended by SIGKILL
        --
        error: begun
        timed out after 1 s and was ended
        --
        error: failed to start the command: the folder `/outer/work/gone` does not exist
        --
        error: the field `command` is empty
        --
        error: the field `timeout_seconds` is 120000: a number from 1 to 3600 is expected
        --
    "#]]
    .assert_eq(&text);
}

#[tokio::test]
async fn a_result_is_shown() {
    let desk = Desk::new();
    let ran = desk.run(&TERMINAL, &json!({"command": "echo '```'; exit 1"})).await;
    let shown = CallContent::Content(Content::text("````\n```\n````"));
    assert_eq!(ran.show, vec![shown]);
    assert_eq!(ran.output, Some(json!({"exitCode": 1, "signal": null, "timedOut": false})));
}

#[tokio::test]
async fn a_cancelled_command_tells_what_it_said() {
    let mut desk = Desk::new();
    let cancel = desk.context.cancel.clone();
    let input = json!({"command": "echo begun; sleep 60"});
    let (context, updates) = (&desk.context, &mut desk.updates);
    // Its first picture of the output says that it runs.
    let watch = async {
        let update = updates.recv().await.unwrap();
        cancel.cancel();
        update.content.unwrap()
    };
    let (ran, shown) = tokio::join!(TERMINAL.run(&input, context), watch);
    assert_eq!(shown, vec![CallContent::Content(Content::text("```\nbegun\n```"))]);
    let reason = "the command was ended by the user; until then:\nbegun".to_owned();
    assert_eq!(ran.outcome, Outcome::Cancelled { reason });
}

#[tokio::test]
async fn a_call_is_described() {
    let desk = Desk::new();
    let plain = desk.prepare(&TERMINAL, &json!({"command": "cargo test"})).await.unwrap();
    assert_eq!(
        (plain.title.as_str(), plain.preview.len(), plain.touches.len()),
        ("`cargo test`", 0, 1)
    );
    assert_eq!(plain.command.as_deref(), Some("cargo test"));
    let long = format!("echo {}\nrm -rf /", "x".repeat(90));
    let input = json!({"command": long, "cwd": "..", "description": "Cleans up"});
    let prepared = desk.prepare(&TERMINAL, &input).await.unwrap();
    assert_eq!(prepared.title, format!("`echo {}…`", "x".repeat(75)));
    let shown: Vec<_> = [
        "Cleans up".to_owned(),
        format!("In `{}`", desk.outer.display()),
        format!("```\n{long}\n```"),
    ]
    .map(|text| CallContent::Content(Content::text(text)))
    .into();
    assert_eq!(prepared.preview, shown);
    let touch = Touch {
        named: desk.root.join(".."),
        path: desk.outer.clone(),
        access: Access::Write,
        inside: false,
    };
    assert_eq!(prepared.touches, vec![touch]);
    assert_eq!(TERMINAL.spec().name, "terminal");
}

/// An editor that shows a command in a terminal of its own, when the call has shown much already.
struct Loud;

impl Host for Loud {
    fn read_text<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, Result<String, HostError>> {
        panic!("a command reads no file: {}", path.display())
    }

    fn write_text<'a>(
        &'a self,
        path: &'a Path,
        _text: &'a str,
    ) -> BoxFuture<'a, Result<(), HostError>> {
        panic!("a command writes no file: {}", path.display())
    }

    fn run<'a>(
        &'a self,
        _command: Command,
        watch: Watch<'a>,
    ) -> BoxFuture<'a, Result<Finished, HostError>> {
        async move {
            for _ in 0..100 {
                (watch.on_output)("more");
            }
            (watch.on_terminal)(TerminalId::new("t-1")).await;
            Err(HostError::Start { message: "it is only a test".to_owned() })
        }
        .boxed()
    }
}

#[tokio::test]
async fn where_the_editor_shows_a_command_is_never_lost() {
    let mut desk = Desk::new();
    desk.context.host = Arc::new(Loud);
    let input = json!({"command": "make"});
    let (context, updates) = (&desk.context, &mut desk.updates);
    let terminal = vec![CallContent::Terminal(TerminalId::new("t-1"))];
    let watch = async {
        let mut pictures = 0;
        while updates.recv().await.unwrap().content.unwrap() != terminal {
            pictures += 1;
        }
        pictures
    };
    let (_, pictures) = tokio::join!(TERMINAL.run(&input, context), watch);
    assert_eq!(pictures, 64);
}
