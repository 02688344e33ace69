//! What scripts do, read as a list of deltas.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};
use futures::StreamExt;
use serde_json::json;

use super::{Place, Scripted, literal};
use crate::event::ThoughtLevel;
use crate::ids::CallId;
use crate::model::{Delta, Item, Request, ToolSpec};
use crate::transcript::{Call, Content, Outcome};

fn user(text: &str) -> Item {
    Item::User(vec![Content::text(text)])
}

fn called(tool: &str) -> Item {
    Item::Assistant { thoughts: Vec::new(), text: String::new(), calls: vec![call(tool)] }
}

fn said(text: &str) -> Item {
    Item::Assistant { thoughts: Vec::new(), text: text.to_owned(), calls: Vec::new() }
}

fn call(tool: &str) -> Call {
    Call { id: CallId::new("c1"), tool: tool.to_owned(), input: json!({}), signatures: Vec::new() }
}

fn outcome(outcome: Outcome) -> Item {
    Item::Outcomes(vec![(call("read"), outcome)])
}

fn request(items: Vec<Item>) -> Request {
    let tool = |name: &str| ToolSpec {
        name: name.to_owned(),
        description: String::new(),
        schema: json!({"type": "object"}),
    };
    Request {
        model: "scripted".to_owned(),
        thought: ThoughtLevel::Auto,
        system: "You are Talaria.".to_owned(),
        tools: Arc::from([tool("read"), tool("edit")]),
        items,
        max_output_tokens: None,
        cache_key: "k".to_owned(),
    }
}

fn script(text: &str) -> Scripted {
    Scripted::parse(text, "demo", Path::new("")).unwrap_or_else(|fault| panic!("{fault}"))
}

/// The deltas, one a line.
async fn play(script: &Scripted, items: Vec<Item>) -> String {
    let mut lines = Vec::new();
    let mut deltas = script.stream(request(items));
    while let Some(delta) = deltas.next().await {
        match delta {
            Ok(Delta::Text(text)) => lines.push(format!("say {text:?}")),
            Ok(Delta::Thought(text)) => lines.push(format!("think {text:?}")),
            Ok(Delta::CallBegan { tool }) => lines.push(format!("began {tool}")),
            Ok(Delta::End(reply)) => {
                lines.extend(reply.calls.iter().map(|call| match &call.input {
                    Ok(input) => format!("call {} {input}", call.tool),
                    Err(raw) => format!("call {} not JSON {raw:?}", call.tool),
                }));
                let usage = reply.usage;
                lines.push(format!(
                    "end {:?} {}/{}/{}",
                    reply.stop, usage.input, usage.output, usage.cached
                ));
            }
            Err(error) => lines.push(format!("error {error}")),
        }
    }
    lines.join("\n") + "\n"
}

async fn check(text: &str, items: Vec<Item>, expect: Expect) {
    expect.assert_eq(&play(&script(text), items).await);
}

const FIX: &str = r#"
# A little session.
when prompt "fix the *"
  think "Let me look."
  say "I will read ${1}."
  call read {"path": "src/${1}.rs"}
then
  say "It says ${outcome}."
  usage input=1200 output=40 cached=7
when outcome "*exit code *"
  say "Failed with ${2}."
when steer "*stop*"
  say "Stopping."
when any
  echo
"#;

#[tokio::test]
async fn a_scene_goes_on_by_steps() {
    check(
        FIX,
        vec![user("fix the typo")],
        expect![[r#"
            think "Let me look."
            say "I will read typo."
            began read
            call read {"path":"src/typo.rs"}
            end Finished 0/0/0
        "#]],
    )
    .await;
    check(
        FIX,
        vec![user("fix the typo"), called("read"), outcome(Outcome::done("hello"))],
        expect![[r#"
            say "It says hello."
            end Finished 1200/40/7
        "#]],
    )
    .await;
}

#[tokio::test]
async fn an_outcome_or_a_steered_prompt_may_choose_the_step() {
    let failed =
        vec![user("fix the typo"), called("read"), outcome(Outcome::failed("exit code 1"))];
    check(
        FIX,
        failed.clone(),
        expect![[r#"
            say "Failed with 1."
            end Finished 0/0/0
        "#]],
    )
    .await;
    let mut steered = failed;
    steered.push(user("please stop now"));
    check(
        FIX,
        steered.clone(),
        expect![[r#"
            say "Stopping."
            end Finished 0/0/0
        "#]],
    )
    .await;
    steered.pop();
    steered.push(user("hurry"));
    check(
        FIX,
        steered,
        expect![[r#"
            say "It says error: exit code 1."
            end Finished 1200/40/7
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_prompt_after_a_reply_or_a_cancelled_call_starts_a_turn() {
    let after_reply = vec![user("fix the typo"), said("Done."), user("hello")];
    check(
        FIX,
        after_reply,
        expect![[r#"
            say "hello"
            end Finished 0/0/0
        "#]],
    )
    .await;
    let cancelled = Outcome::Cancelled { reason: "by the user".to_owned() };
    let after_cancel =
        vec![user("fix the typo"), called("read"), outcome(cancelled), user("hello")];
    check(
        FIX,
        after_cancel,
        expect![[r#"
            say "hello"
            end Finished 0/0/0
        "#]],
    )
    .await;
}

#[tokio::test]
async fn patterns_are_tried_on_the_last_text_first() {
    let script = script(
        "when prompt \"second\"\n say \"2\"\nwhen prompt \"a*b\"\n say \"${1}|\"\nwhen any\n say \"any\"",
    );
    let prompt =
        |texts: &[&str]| vec![Item::User(texts.iter().map(|text| Content::text(*text)).collect())];
    assert_eq!(
        play(&script, prompt(&["first", "second"])).await,
        "say \"2\"\nend Finished 0/0/0\n"
    );
    assert_eq!(play(&script, prompt(&["a", "b"])).await, "say \"\\n|\"\nend Finished 0/0/0\n");
    assert_eq!(play(&script, prompt(&["c"])).await, "say \"any\"\nend Finished 0/0/0\n");
}

#[tokio::test]
async fn every_statement() {
    let text = r#"
chunk 4
when prompt "*"
  say <<END
    Two
      lines, ${model} ${thought} ${nothing}
  END
  think "hm"
  chunk 0
  repeat 3 "x"
  call edit {
    "old": "${1}",
    "list": ["${prompt}", 1]
  }
  call read
  call_raw read {bad ${1}
  stop max_tokens
"#;
    check(
        text,
        vec![user("go")],
        expect![[r#"
            say "Two\n"
            say "  li"
            say "nes,"
            say " scr"
            say "ipte"
            say "d au"
            say "to $"
            say "{not"
            say "hing"
            say "}"
            think "hm"
            say "x"
            say "x"
            say "x"
            began edit
            began read
            began read
            call edit {"old":"go","list":["go",1]}
            call read {}
            call read not JSON "{bad go"
            end MaxTokens 0/0/0
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_call_as_text_becomes_a_call() {
    check(
        "when any\n say \"I read.\\n\"\n chunk 3\n call_text read {\"path\": \"x\"}",
        vec![user("go")],
        expect![[r#"
            say "I read.\n"
            began read
            call read {"path":"x"}
            end Finished 0/0/0
        "#]],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn failures() {
    for (statement, expected) in [
        ("fail 429 after=90s \"slow\"", "error the provider limits the rate of requests: slow"),
        ("fail drop", "error the reply broke off before its end: scripted drop"),
        ("fail refused", "error the provider refused to answer: scripted refused"),
        (
            "fail context",
            "error the conversation is longer than the model can read: scripted context",
        ),
        ("fail auth", "error the provider refused the credentials: scripted auth"),
        ("fail 500", "error the provider is overloaded or failed (status 500): scripted 500"),
        ("fail 500 times=2\n say \"ok\"", "say \"ok\"\nend Finished 0/0/0"),
        (
            "fail 500 times=3\n say \"ok\"",
            "error the provider is overloaded or failed (status 500): scripted 500",
        ),
        (
            "say \"a\"\n fail 500",
            "say \"a\"\nerror the provider is overloaded or failed (status 500): scripted 500",
        ),
        ("fail timeout after=3s", "error the provider did not answer in 3 seconds"),
    ] {
        let played = play(&script(&format!("when any\n {statement}")), vec![user("go")]).await;
        assert_eq!(played, format!("{expected}\n"), "{statement}");
    }
}

#[tokio::test]
async fn expectations_and_missing_steps_are_told() {
    for (statement, expected) in [
        (
            "when any\n expect system \"*Talaria*\"\n expect tools read,edit\n expect items 1\n say \"ok\"",
            "say \"ok\"\nend Finished 0/0/0",
        ),
        (
            "when any\n expect system \"*x*\"",
            "demo:2: expected a system prompt like \"*x*\", found \"You are Talaria.\"",
        ),
        ("when any\n expect tools read", "demo:2: expected the tools read, found read,edit"),
        ("when any\n expect items 3", "demo:2: expected 3 items, found 1: user"),
        ("when any\n expect model \"m\"", "demo:2: expected the model \"m\", found \"scripted\""),
        ("when prompt \"x\"\n say \"a\"", "the script `demo` has no `when` for the prompt \"go\""),
    ] {
        let played = play(&script(statement), vec![user("go")]).await;
        let refused = format!("error the provider refused the request (status 400): {expected}\n");
        assert!(played == refused || played == format!("{expected}\n"), "{played}");
    }
    let items = vec![user("go"), called("read"), outcome(Outcome::done("x"))];
    assert_eq!(
        play(&script("when any\n call read"), items).await,
        "error the provider refused the request (status 400): demo:1: this scene has 1 steps, and the turn asked \
         for step 2\n"
    );
}

#[test]
fn mistakes_in_a_script() {
    let mistake =
        |text: &str| Scripted::parse(text, "demo", Path::new("")).err().map(|fault| fault.message);
    for (text, expected) in [
        ("", "demo:1: expected at least one `when prompt \"…\"` or `when any`"),
        ("say \"x\"", "demo:1: expected `when` before the first `say`"),
        ("when any\n\n sya", "demo:3: expected `when`, `then` or a statement"),
        (
            "when never",
            "demo:1: expected `prompt`, `any`, `outcome`, `steer` or `report` after `when`, found `never`",
        ),
        ("when any\nthen\n say \"x\"", "demo:1: expected statements in this section"),
        ("when any\n say x", "demo:2: expected a text in double quotes, found `x`"),
        ("when any\n say \"x\" y", "demo:2: expected the end of the line, found `y`"),
        ("when any\n say <<END\n x", "demo:2: expected a line `END` that ends this text"),
        ("when any\n call read {\"a\": }", "demo:2: expected the call's input as JSON: "),
        ("when any\n call read {\n", "demo:2: expected the call's input as JSON: "),
        ("when any\n delay 3", "demo:2: expected a time such as `20ms` or `2s`, found `3`"),
        ("when any\n fail 200", "demo:2: expected a status from 400 to 599, or `drop`"),
        ("when any\n usage in=3", "demo:2: expected `input=`, `output=` or `cached=`, found `in=`"),
    ] {
        let message = mistake(text).unwrap_or_default();
        assert!(message.starts_with(expected), "{message:?} for {text:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn time_passes_and_gates_hold() {
    let folder = tempfile::tempdir().unwrap();
    let text = "gates sub\nwhen any\n say \"a\"\n delay 200ms\n repeat 2 \"b\" every 20ms\n gate go\n say \"c\"";
    let script = Scripted::parse(text, "demo", folder.path()).unwrap();
    let began = tokio::time::Instant::now();
    let mut deltas = script.stream(request(vec![user("go")]));
    for _ in 0..3 {
        deltas.next().await;
    }
    assert_eq!(began.elapsed(), Duration::from_millis(240));
    let held = tokio::time::timeout(Duration::from_secs(1), deltas.next()).await;
    assert!(held.is_err(), "{held:?}");
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    std::fs::write(folder.path().join("sub/go"), "").unwrap();
    assert_eq!(deltas.next().await, Some(Ok(Delta::Text("c".to_owned()))));
}

#[tokio::test]
async fn many_pieces_leave_room_for_others() {
    let script = script("when any\n repeat 200000 \"x\"");
    let mut deltas = script.stream(request(vec![user("go")]));
    let (mut others, mut pieces) = (0, 0);
    loop {
        tokio::select! {
            biased;
            delta = deltas.next() => match delta {
                Some(Ok(Delta::Text(_))) => pieces += 1,
                _ => break,
            },
            () = std::future::ready(()) => others += 1,
        }
    }
    assert_eq!(pieces, 200_000);
    assert!(others > 500, "{others}");
}

#[tokio::test]
async fn scenes_of_one_pattern_take_turns() {
    let script = script(
        "when prompt \"go*\"\n say \"one\"\nwhen prompt \"*\"\n say \"other\"\nwhen prompt \"go*\"\n say \"two\"",
    );
    let mut items = vec![user("go")];
    let mut said_so_far = Vec::new();
    for prompt in ["other", "go on", "go", ""] {
        said_so_far.push(play(&script, items.clone()).await);
        items.extend([said("x"), user(prompt)]);
    }
    let texts: Vec<&str> = said_so_far.iter().filter_map(|text| text.lines().next()).collect();
    assert_eq!(texts, ["say \"one\"", "say \"other\"", "say \"two\"", "say \"two\""]);
}

#[tokio::test]
async fn a_prompt_that_was_never_answered_counts() {
    let script = script("when prompt \"go\"\n say \"one\"\nwhen prompt \"go\"\n say \"two\"");
    let twice = Item::User(vec![Content::text("go"), Content::text("go")]);
    assert!(play(&script, vec![twice.clone()]).await.contains("two"));
    assert_eq!(Place::of(&[twice]), Place { prompt: "go".to_owned(), scene: 1, step: 0 });
}

#[tokio::test]
async fn a_literal_is_said_as_it_is() {
    let text = "${prompt} ${1} ${other} $HOME ${$} ${";
    let script = script(&format!("when prompt \"*\"\n say {}", json!(literal(text))));
    let said = play(&script, vec![user("x")]).await;
    assert!(said.contains(&format!("say {text:?}")), "{said}");
}

#[tokio::test]
async fn reports_of_tasks_choose_nothing_but_their_own_section() {
    let report =
        || Content::text("<task_report id=\"t1\" state=\"completed\">\nfound it\n</task_report>");
    let with_prompt = Item::User(vec![Content::text("go"), report()]);
    let alone = || Item::User(vec![report()]);
    let text = r#"
when prompt "go"
  call read {}
then
  say "second"
when outcome "special"
  say "of an outcome"
"#;
    let plain = script(text);
    let done = || outcome(Outcome::done("x"));
    assert_eq!(play(&plain, vec![with_prompt.clone()]).await, play(&plain, vec![user("go")]).await);
    let second = play(&plain, vec![user("go"), called("read"), done(), alone()]).await;
    assert!(second.contains("say \"second\""), "{second}");
    let special = vec![user("go"), called("read"), outcome(Outcome::done("special")), alone()];
    assert!(play(&plain, special).await.contains("of an outcome"));
    let silent = play(&plain, vec![user("go"), said("done"), alone()]).await;
    assert!(!silent.contains("say"), "{silent}");
    let heard = script(&format!(
        "{text}when report \"*found ${{}}*\"\n  say \"no\"\nwhen report \"*found *</task*\"\n  say \"it found ${{2}}\"\n"
    ));
    let said_of_it = play(&heard, vec![user("go"), said("done"), alone()]).await;
    assert!(said_of_it.contains("it found it"), "{said_of_it}");
    let next = vec![user("go"), said("done"), alone(), said("noted"), user("go")];
    assert!(play(&heard, next).await.contains("began read"));
    let told = script("when any\n  say \"told <${reports}>\"\n");
    let both = vec![user("go"), said("done"), alone(), user("and?")];
    let said_of_it = play(&told, both).await;
    assert!(
        said_of_it.contains("told <<task_report id") && said_of_it.contains("found it"),
        "{said_of_it}"
    );
    let later = vec![user("go"), said("done"), alone(), said("noted"), user("and?")];
    assert!(play(&told, later).await.contains("told <>"));
}
