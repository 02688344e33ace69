//! What becomes a call and what stays text, however the text is cut.

use std::sync::Arc;

use expect_test::{Expect, expect};
use futures::StreamExt;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::Stop;
use crate::transcript::Usage;

fn tools() -> Arc<[ToolSpec]> {
    ["read", "edit"]
        .map(|name| ToolSpec {
            name: name.to_owned(),
            description: String::new(),
            schema: json!({}),
        })
        .into()
}

fn end(calls: Vec<RequestedCall>) -> Delta {
    Delta::End(Reply { stop: Stop::Finished, usage: Usage::default(), calls, thoughts: Vec::new() })
}

/// The pieces that are shown, then the calls.
fn play(deltas: Vec<Result<Delta, ModelError>>) -> Vec<String> {
    let deltas: Deltas = Box::pin(futures::stream::iter(deltas));
    let shown = stream(deltas, tools()).map(|delta| match delta {
        Ok(Delta::Text(text)) => format!("say {text:?}"),
        Ok(Delta::Thought(text)) => format!("think {text:?}"),
        Ok(Delta::CallBegan { tool }) => format!("began {tool}"),
        Ok(Delta::End(reply)) => {
            let calls = reply.calls.iter().map(|call| format!(" {} {:?}", call.tool, call.input));
            format!("end{}", calls.collect::<String>())
        }
        Err(error) => format!("error {error}"),
    });
    futures::executor::block_on(shown.collect())
}

/// The whole text that is shown, and the calls.
fn outcome(pieces: &[&str]) -> (String, String) {
    let mut deltas: Vec<_> =
        pieces.iter().map(|piece| Ok(Delta::Text((*piece).to_owned()))).collect();
    deltas.push(Ok(end(Vec::new())));
    let deltas: Deltas = Box::pin(futures::stream::iter(deltas));
    let (mut text, mut calls) = (String::new(), String::new());
    for delta in futures::executor::block_on(stream(deltas, tools()).collect::<Vec<_>>()) {
        match delta {
            Ok(Delta::Text(piece)) => text.push_str(&piece),
            Ok(Delta::End(reply)) => {
                for call in reply.calls {
                    calls.extend([
                        call.tool,
                        call.input.unwrap_or_default().to_string(),
                        ";".to_owned(),
                    ]);
                }
            }
            Ok(Delta::CallBegan { .. } | Delta::Thought(_)) | Err(_) => {}
        }
    }
    (text, calls)
}

fn check(text: &str, expect: &Expect) {
    let (shown, calls) = outcome(&[text]);
    expect.assert_eq(&format!("{shown:?} {calls}"));
}

#[test]
fn calls_in_every_form() {
    let calls = expect![[r#""" read{"path":"x"};"#]];
    check(r#"{"name": "read", "arguments": {"path": "x"}}"#, &calls);
    let calls = expect![[r#""\n" read{"n":1};"#]];
    check("\n{\"name\":\"read\",\n \"parameters\":{\"n\":1}}\n", &calls);
    let calls = expect![[r#""" read{"n":1};edit{};"#]];
    check(r#"[{"name":"read","input":{"n":1}}, {"name":"edit","arguments":{}}]"#, &calls);
    let calls = expect![[r#""" read{"n":1};"#]];
    check(r#"{"type":"function","function":{"name":"read","arguments":"{\"n\":1}"}}"#, &calls);
    let calls = expect![[r#""First.\n" read{};"#]];
    check("First.\n```json\n{\"name\":\"read\",\"arguments\":{}}\n```\n \n", &calls);
    let calls = expect![[r#""" read{};edit{};"#]];
    check(
        "{\"name\":\"read\",\"arguments\":{}}\n\n \n{\"name\":\"edit\",\"arguments\":{}}\n",
        &calls,
    );
    let calls = expect![[r#""" read{};edit{};"#]];
    check(
        "```\n{\"name\":\"read\",\"arguments\":{}}\n{\"name\":\"edit\",\"arguments\":{}}",
        &calls,
    );
    let calls = expect![[r#""" read{"t":"}{]"};edit{};"#]];
    check(
        "<tool_call>\n{\"name\":\"read\",\"arguments\":{\"t\":\"}{]\"}}\n</tool_call>\n<tool_call>{\"name\":\"edit\",\"arguments\":{}}</tool_call>",
        &calls,
    );
}

#[test]
fn everything_else_stays() {
    for text in [
        "plain {\"name\":\"read\",\"arguments\":{}} in a line",
        "{\"name\":\"read\",\"arguments\":{}} is what to send",
        "{\"name\":\"delete\",\"arguments\":{}}",
        "{\"name\":\"read\"}",
        "{\"name\":\"read\",\"arguments\":[1]}",
        "{\"name\":\"read\",\"description\":\"d\",\"parameters\":{}}",
        "{\"name\":\"read\",\"arguments\":{}",
        "{ \"calls\": [\n{\"name\":\"read\",\"arguments\":{}}\n]}",
        "```rust\n{\"name\":\"read\",\"arguments\":{}}\n```\n",
        "```json\n{\"a\": 1}\n{\"name\":\"read\",\"arguments\":{}}\n```",
        "```json\n{\"name\":\"read\",\"arguments\":{}}\n```and more",
        "[link](http://x) and [1]\n[2]: y\n",
        "<div>\n</div>\n<tool_call>nothing</tool_call>",
        "For example:\n```json\n{\"name\":\"read\",\"arguments\":{}}\n```\nThen.",
        "{\"name\":\"read\",\"arguments\":{}}\n\n<tool_call>{\"name\":\"edit\",\"input\":{}}</tool_call>\n\n.\n",
        "{\"name\":\"read\",\"arguments\":{}}\n```rust\n```\n",
        "`x` ``y`` ```z```\n\n- {\n",
        "[]\n{}\n[1,2]\n[[{\"name\":\"read\",\"arguments\":{}}]]",
    ] {
        assert_eq!(outcome(&[text]), (text.to_owned(), String::new()), "{text}");
    }
}

#[test]
fn after_a_block_that_is_no_call_one_may_follow() {
    let call = "{\"name\":\"read\",\"arguments\":{}}\n";
    for before in
        ["```rust\nfn x() {\n}\n```\n", "{\"a\": {\n}}\n", "{ not JSON \"\n\n", "[x]\n", "<b>\n"]
    {
        let text = format!("{before}{call}");
        assert_eq!(outcome(&[&text]), (before.to_owned(), "read{};".to_owned()), "{before}");
    }
}

#[test]
fn text_passes_as_soon_as_it_can_be_no_call() {
    let text = |text: &str| Ok(Delta::Text(text.to_owned()));
    let played = play(vec![
        text("Hel"),
        text("lo\n"),
        text("{\"na"),
        text("me\": \"Al"),
        text("ice\"}\n``"),
        text("`rust\n"),
        text("x\n```\n{\"name\": \"read\","),
        text("\"arguments\":{}}"),
        Ok(end(Vec::new())),
    ]);
    expect![[r#"
        say "Hel"
        say "lo\n"
        say "{\"name\": \"Al"
        say "ice\"}\n"
        say "```rust\n"
        say "x\n```\n"
        began read
        end read Ok(Object {})"#]]
    .assert_eq(&played.join("\n"));
}

#[test]
fn an_example_is_shown_as_soon_as_prose_follows_it() {
    let text = |text: &str| Ok(Delta::Text(text.to_owned()));
    let played = play(vec![
        text("So:\n"),
        text("{\"name\":\"read\",\"arguments\":{}}\n"),
        text("\n"),
        text("and"),
        text(" so\n"),
        text("{\"name\":\"edit\",\"arguments\":{}}\n"),
        Ok(end(Vec::new())),
    ]);
    expect![[r#"
        say "So:\n"
        say "{\"name\":\"read\",\"arguments\":{}}\n\nand"
        say " so\n"
        began edit
        end edit Ok(Object {})"#]]
    .assert_eq(&played.join("\n"));
}

#[test]
fn real_calls_and_errors_give_the_text_back() {
    let written = "{\"name\":\"read\",\"arguments\":{}}\n{\"name\":";
    let call =
        RequestedCall { tool: "edit".to_owned(), input: Ok(json!({})), signatures: Vec::new() };
    let real = vec![
        Ok(Delta::Text(written.to_owned())),
        Ok(Delta::CallBegan { tool: "edit".to_owned() }),
        Ok(end(vec![call])),
    ];
    expect![[r#"
        say "{\"name\":\"read\",\"arguments\":{}}\n{\"name\":"
        began edit
        end edit Ok(Object {})"#]]
    .assert_eq(&play(real).join("\n"));
    let error = ModelError::Dropped { message: "cut".to_owned() };
    expect![[r#"
        say "{\"name\":\"read\",\"arguments\":{}}\n{\"name\":"
        error the reply broke off before its end: cut"#]]
    .assert_eq(&play(vec![Ok(Delta::Text(written.to_owned())), Err(error)]).join("\n"));
}

/// Texts made of what blocks are made of.
fn texts() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "{\"name\":\"read\",\"arguments\":{\"é\":\"}\\\"\"}}",
        "{\"name\": \"nope\", \"arguments\": {}}",
        "[{\"name\":\"edit\",\"input\":{}}]",
        "```json\n",
        "```",
        "```rust\n",
        "<tool_call>",
        "</tool_call>",
        "\n",
        "\n\n",
        " ",
        "{",
        "}",
        "[",
        "\"",
        "text",
        "{\"a\": 1}",
    ]);
    prop::collection::vec(pieces, 0..10).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn cuts_do_not_matter(text in texts(), seed in prop::collection::vec(any::<bool>(), 300)) {
        let whole = outcome(&[&text]);
        let mut pieces = vec![String::new()];
        for (letter, cuts) in text.chars().zip(seed.iter().cycle()) {
            if *cuts {
                pieces.push(String::new());
            }
            pieces.last_mut().unwrap().push(letter);
        }
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        prop_assert_eq!(outcome(&pieces), whole);
    }

    #[test]
    fn nothing_is_lost_without_calls(text in texts()) {
        let (shown, calls) = outcome(&[&text]);
        if calls.is_empty() {
            prop_assert_eq!(&shown, &text);
        }
        prop_assert!(text.starts_with(&shown));
    }
}

#[test]
fn every_cut_into_two_gives_the_same() {
    let text = "Hm.\n```json\n{\"name\":\"read\",\"arguments\":{\"n\":1}}\n```\n<tool_call>{\"name\":\"edit\",\"input\":{}}</tool_call>\n \n";
    let whole = outcome(&[text]);
    assert_eq!(whole, ("Hm.\n".to_owned(), "read{\"n\":1};edit{};".to_owned()));
    for (at, _) in text.char_indices() {
        let (first, second) = text.split_at(at);
        assert_eq!(outcome(&[first, second]), whole, "cut at {at}");
    }
}
