//! Providers over HTTP, in both dialects, against a server that can stop in the middle of a reply.

mod errors;
mod pool;
mod routing;
mod sessions;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};
use futures::StreamExt;
use serde_json::{Value, json};
use talaria::config::{ProviderKind, Secret};
use talaria::event::ThoughtLevel;
use talaria::ids::CallId;
use talaria::model::provider::{Endpoint, HttpClient, Provider as Remote};
use talaria::model::{Delta, Deltas, Item, ModelError, Reply as Whole, Request, ToolSpec};
use talaria::transcript::{Call, Content, Outcome, Thought};

use crate::support::provider::{Gate, Provider, Reply};

use ProviderKind::{Anthropic, Openai};

const KEY: &str = "sk-test-0123456789";

fn remote(provider: &Provider, kind: ProviderKind) -> Remote {
    let endpoint = Endpoint::at(kind, &provider.url(), Some(Secret::new(KEY))).unwrap();
    Remote::new(endpoint, HttpClient::start())
}

fn request(items: Vec<Item>) -> Request {
    let tool = |name: &str| ToolSpec {
        name: name.to_owned(),
        description: format!("The tool `{name}`."),
        schema: json!({"type": "object"}),
    };
    Request {
        model: "some-model".to_owned(),
        thought: ThoughtLevel::Auto,
        system: "Be brief.".to_owned(),
        tools: Arc::from([tool("read"), tool("edit")]),
        items,
        max_output_tokens: None,
        cache_key: "session".to_owned(),
    }
}

fn hello() -> Request {
    request(vec![user("hello")])
}

fn user(text: &str) -> Item {
    Item::User(vec![Content::text(text)])
}

fn call(id: &str, tool: &str, input: Value) -> Call {
    Call { id: CallId::new(id), tool: tool.to_owned(), input, signatures: Vec::new() }
}

/// The deltas, one a line.
async fn read(mut deltas: Deltas) -> String {
    let mut lines = Vec::new();
    while let Some(delta) = deltas.next().await {
        match delta {
            Ok(delta) => lines.extend(show(delta)),
            Err(error) => lines.push(format!("error: {error}")),
        }
    }
    lines.join("\n") + "\n"
}

fn show(delta: Delta) -> Vec<String> {
    match delta {
        Delta::Text(text) => vec![format!("say {text:?}")],
        Delta::Thought(text) => vec![format!("think {text:?}")],
        Delta::CallBegan { tool } => vec![format!("began {tool}")],
        Delta::End(Whole { stop, usage, calls, thoughts }) => {
            let calls = calls.into_iter().map(|call| match call.input {
                Ok(input) => format!("call {} {input}", call.tool),
                Err(raw) => format!("call {} not JSON {raw:?}", call.tool),
            });
            let thoughts = thoughts
                .into_iter()
                .map(|thought| format!("thought {:?} {:?}", thought.text, thought.signature));
            let end = format!("end {stop:?} {}/{}/{}", usage.input, usage.output, usage.cached);
            calls.chain(thoughts).chain([end]).collect()
        }
    }
}

/// Plays one reply.
async fn check(kind: ProviderKind, reply: Reply, expect: Expect) {
    let provider = Provider::start().await;
    provider.queue(reply);
    expect.assert_eq(&read(remote(&provider, kind).stream(hello())).await);
    provider.finish();
}

/// What one request looks like on the wire.
async fn sent(kind: ProviderKind, request: Request) -> Value {
    let provider = Provider::start().await;
    provider.queue(if kind == Openai { Reply::openai() } else { Reply::anthropic() });
    read(remote(&provider, kind).stream(request)).await;
    let body = provider.requests().remove(0).body;
    provider.finish();
    body
}

#[tokio::test]
async fn text_thoughts_calls_and_usage_of_the_chat_dialect() {
    let reply = Reply::openai()
        .thought("Let me ")
        .thought("look.")
        .text("I will ")
        .text("read.")
        .call("a", "read", json!({"path": "x"}))
        .call("b", "edit", json!({"path": "y"}))
        .usage(100, 7, 64);
    let expect = expect![[r#"
        think "Let me "
        think "look."
        say "I will "
        say "read."
        began read
        began edit
        call read {"path":"x"}
        call edit {"path":"y"}
        thought "Let me look." None
        end Finished 100/7/64
    "#]];
    check(Openai, reply, expect).await;
}

#[tokio::test]
async fn text_thoughts_calls_and_usage_of_the_anthropic_dialect() {
    let reply = Reply::anthropic()
        .signed_thought("Let me look.", "sig-1")
        .frame(json!({"type": "ping"}))
        .text("I will read.")
        .call("a", "read", json!({"path": "x"}))
        .call("b", "edit", json!({"path": "y"}))
        .usage(100, 7, 64);
    let expect = expect![[r#"
        think "Let me look."
        say "I will read."
        began read
        began edit
        call read {"path":"x"}
        call edit {"path":"y"}
        thought "Let me look." Some("sig-1")
        end Finished 100/7/64
    "#]];
    check(Anthropic, reply, expect).await;
}

#[tokio::test]
async fn the_reason_of_the_end() {
    for (kind, reason, expected) in [
        (Openai, "length", "end MaxTokens 0/0/0\n"),
        (Openai, "content_filter", "end Refused 0/0/0\n"),
        (Anthropic, "max_tokens", "end MaxTokens 0/0/0\n"),
        (Anthropic, "refusal", "end Refused 0/0/0\n"),
        (Anthropic, "stop_sequence", "end Finished 0/0/0\n"),
    ] {
        let provider = Provider::start().await;
        let reply = if kind == Openai { Reply::openai() } else { Reply::anthropic() };
        provider.queue(reply.finish(reason));
        assert_eq!(read(remote(&provider, kind).stream(hello())).await, expected, "{reason}");
    }
}

#[tokio::test]
async fn inputs_of_calls_are_as_good_as_they_came() {
    for (kind, reply) in [(Openai, Reply::openai()), (Anthropic, Reply::anthropic())] {
        let reply = reply.raw_call("a", "read", "").raw_call("b", "read", "{\"pa");
        let expect = expect![[r#"
            began read
            began read
            began read
            call read {}
            call read not JSON "{\"pa"
            call read {"n":1}
            end Finished 0/0/0
        "#]];
        check(kind, reply.raw_call("c", "read", r#""{\"n\":1}""#), expect).await;
    }
}

#[tokio::test]
async fn calls_of_servers_that_number_them_badly() {
    let piece = |call: Value| json!({"choices": [{"delta": {"tool_calls": [call]}}]});
    let whole = |id: &str, input: &str| {
        let function = json!({"name": "read", "arguments": input});
        piece(json!({"index": 0, "id": id, "function": function}))
    };
    let unnumbered = json!({"function": {"name": "edit", "arguments": {"path": "z"}}});
    let reply = Reply::openai()
        .frame(whole("a", "{\"n\":1}"))
        .frame(whole("b", "{\"n\":2}"))
        .frame(piece(unnumbered));
    let expect = expect![[r#"
        began read
        began read
        began edit
        call read {"n":1}
        call read {"n":2}
        call edit {"path":"z"}
        end Finished 0/0/0
    "#]];
    check(Openai, reply, expect).await;
}

#[tokio::test]
async fn a_signed_thought_goes_back_with_the_next_request() {
    let provider = Provider::start().await;
    provider.queue(Reply::anthropic().signed_thought("Hm.", "sig-9").call("x", "read", json!({})));
    provider.queue(Reply::anthropic().text("Done."));
    let remote = remote(&provider, Anthropic);
    let mut deltas = remote.stream(hello());
    let mut end = None;
    while let Some(delta) = deltas.next().await {
        if let Delta::End(reply) = delta.unwrap() {
            end = Some(reply);
        }
    }
    let call = call("c1", "read", json!({}));
    let items = vec![
        user("hello"),
        Item::Assistant {
            thoughts: end.unwrap().thoughts,
            text: String::new(),
            calls: vec![call.clone()],
        },
        Item::Outcomes(vec![(call, Outcome::done("ok"))]),
    ];
    read(remote.stream(request(items))).await;
    let second = provider.requests().remove(1);
    let thinking = json!({"type": "thinking", "thinking": "Hm.", "signature": "sig-9"});
    assert_eq!(second.messages()[1]["content"][0], thinking);
    assert_eq!(second.path, "/v1/messages");
    assert_eq!(second.header("x-api-key"), Some(KEY));
    provider.finish();
}

#[tokio::test]
async fn pieces_are_shown_while_the_reply_goes_on_and_dropping_it_hangs_up() {
    let provider = Provider::start().await;
    let gate = Gate::new();
    provider.queue(Reply::openai().text("one").gate(&gate).text("two"));
    let mut deltas = remote(&provider, Openai).stream(hello());
    assert_eq!(deltas.next().await, Some(Ok(Delta::Text("one".to_owned()))));
    gate.reached().await;
    drop(deltas);
    provider.closed(0).await;
}

#[tokio::test]
async fn requests_beside_each_other_are_answered_each_for_itself() {
    let provider = Provider::start().await;
    let gate = Gate::new();
    let slow = Reply::openai().gate(&gate).text("slow");
    provider.rule(|request| request.last_user().contains("slow"), slow);
    provider.queue(Reply::openai().delay(Duration::from_millis(5)).text("quick"));
    let remote = remote(&provider, Openai);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(read(remote.stream(request(vec![user("be slow")]))));
    provider.arrived(1).await;
    assert_eq!(read(remote.stream(hello())).await, "say \"quick\"\nend Finished 0/0/0\n");
    assert!(tasks.try_join_next().is_none());
    gate.open();
    assert_eq!(tasks.join_next().await.unwrap().unwrap(), "say \"slow\"\nend Finished 0/0/0\n");
    provider.finish();
}

#[tokio::test]
async fn a_call_written_as_text_becomes_a_call() {
    let text = "```json\n{\"name\": \"read\", \"arguments\": {\"path\": \"x\"}}\n```";
    let expect = expect![[r#"
        say "I will read.\n"
        began read
        call read {"path":"x"}
        end Finished 0/0/0
    "#]];
    check(Openai, Reply::openai().text("I will read.\n").text(text), expect).await;
}
