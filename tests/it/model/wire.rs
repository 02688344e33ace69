//! What requests look like on the wire.

use super::*;

fn conversation() -> Request {
    let image = Content::Image { mime: "image/png".to_owned(), data: "iVBORw0KGgo=".to_owned() };
    let calls = vec![call("c1", "read", json!({"path": "x"})), call("c2", "edit", json!("bad"))];
    let shown = Outcome::Done { content: vec![Content::text("found"), image.clone()] };
    let thoughts = vec![
        Thought { text: "Hm.".to_owned(), signature: Some("sig-1".to_owned()) },
        Thought { text: String::new(), signature: Some("redacted:xyz".to_owned()) },
        Thought { text: "Plain.".to_owned(), signature: None },
    ];
    request(vec![
        Item::User(vec![
            Content::text("look at"),
            Content::Link { uri: "file:///a.rs".to_owned(), name: "a.rs".to_owned() },
            Content::Resource { uri: "file:///b.rs".to_owned(), text: "fn b() {}".to_owned() },
            image,
        ]),
        Item::Assistant { thoughts, text: "Reading.".to_owned(), calls: calls.clone() },
        Item::Outcomes(calls.into_iter().zip([shown, Outcome::failed("no such file")]).collect()),
        user("and hurry"),
        Item::Assistant { thoughts: Vec::new(), text: String::new(), calls: Vec::new() },
        user("go on"),
    ])
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

#[tokio::test]
async fn a_conversation_in_the_chat_dialect() {
    let body = sent(Openai, conversation()).await;
    expect![[r#"
        {
          "model": "some-model",
          "stream": true,
          "tools": [
            {
              "type": "function",
              "function": {
                "name": "read",
                "description": "The tool `read`.",
                "parameters": {
                  "type": "object"
                },
                "strict": false
              }
            },
            {
              "type": "function",
              "function": {
                "name": "edit",
                "description": "The tool `edit`.",
                "parameters": {
                  "type": "object"
                },
                "strict": false
              }
            }
          ],
          "messages": [
            {
              "role": "system",
              "content": "Be brief."
            },
            {
              "role": "user",
              "content": [
                {
                  "type": "text",
                  "text": "look at\n[a.rs](file:///a.rs)\n<resource uri=\"file:///b.rs\">\nfn b() {}\n</resource>"
                },
                {
                  "type": "image_url",
                  "image_url": {
                    "url": "data:image/png;base64,iVBORw0KGgo="
                  }
                }
              ]
            },
            {
              "role": "assistant",
              "content": "Reading.",
              "tool_calls": [
                {
                  "type": "function",
                  "id": "c1",
                  "function": {
                    "name": "read",
                    "arguments": "{\"path\":\"x\"}"
                  }
                },
                {
                  "type": "function",
                  "id": "c2",
                  "function": {
                    "name": "edit",
                    "arguments": "{\"input\":\"bad\"}"
                  }
                }
              ],
              "reasoning_content": "Plain."
            },
            {
              "role": "tool",
              "content": "found\n[image below]",
              "tool_call_id": "c1"
            },
            {
              "role": "tool",
              "content": "error: no such file",
              "tool_call_id": "c2"
            },
            {
              "role": "user",
              "content": [
                {
                  "type": "text",
                  "text": "From the call c1 of `read`:"
                },
                {
                  "type": "image_url",
                  "image_url": {
                    "url": "data:image/png;base64,iVBORw0KGgo="
                  }
                },
                {
                  "type": "text",
                  "text": "and hurry"
                },
                {
                  "type": "text",
                  "text": "go on"
                }
              ]
            }
          ],
          "stream_options": {
            "include_usage": true
          }
        }"#]].assert_eq(&pretty(&body));
}

#[tokio::test]
async fn a_conversation_in_the_anthropic_dialect() {
    let body = sent(Anthropic, conversation()).await;
    expect![[r#"
        {
          "model": "some-model",
          "stream": true,
          "system": [
            {
              "type": "text",
              "text": "Be brief.",
              "cache_control": {
                "type": "ephemeral"
              }
            }
          ],
          "tools": [
            {
              "name": "read",
              "input_schema": {
                "type": "object"
              },
              "description": "The tool `read`."
            },
            {
              "name": "edit",
              "input_schema": {
                "type": "object"
              },
              "description": "The tool `edit`."
            }
          ],
          "messages": [
            {
              "role": "user",
              "content": [
                {
                  "type": "text",
                  "text": "look at\n[a.rs](file:///a.rs)\n<resource uri=\"file:///b.rs\">\nfn b() {}\n</resource>"
                },
                {
                  "type": "image",
                  "source": {
                    "type": "base64",
                    "media_type": "image/png",
                    "data": "iVBORw0KGgo="
                  }
                }
              ]
            },
            {
              "role": "assistant",
              "content": [
                {
                  "type": "thinking",
                  "thinking": "Hm.",
                  "signature": "sig-1"
                },
                {
                  "type": "redacted_thinking",
                  "data": "xyz"
                },
                {
                  "type": "text",
                  "text": "Reading."
                },
                {
                  "type": "tool_use",
                  "id": "c1",
                  "name": "read",
                  "input": {
                    "path": "x"
                  }
                },
                {
                  "type": "tool_use",
                  "id": "c2",
                  "name": "edit",
                  "input": {
                    "input": "bad"
                  }
                }
              ]
            },
            {
              "role": "user",
              "content": [
                {
                  "type": "tool_result",
                  "content": "found\n[image below]",
                  "tool_use_id": "c1"
                },
                {
                  "type": "tool_result",
                  "content": "error: no such file",
                  "tool_use_id": "c2"
                },
                {
                  "type": "text",
                  "text": "From the call c1 of `read`:"
                },
                {
                  "type": "image",
                  "source": {
                    "type": "base64",
                    "media_type": "image/png",
                    "data": "iVBORw0KGgo="
                  }
                },
                {
                  "type": "text",
                  "text": "and hurry"
                },
                {
                  "type": "text",
                  "text": "go on",
                  "cache_control": {
                    "type": "ephemeral"
                  }
                }
              ]
            }
          ],
          "max_tokens": 32000
        }"#]].assert_eq(&pretty(&body));
}

#[tokio::test]
async fn thought_levels_names_and_limits_on_the_wire() {
    let ask = |model: &str, thought, max_output_tokens| Request {
        model: model.to_owned(),
        thought,
        max_output_tokens,
        ..hello()
    };
    let fields = |body: &Value| {
        let names =
            ["model", "reasoning_effort", "thinking", "max_tokens", "max_completion_tokens"];
        let shown = names.iter().filter(|name| !body[**name].is_null());
        shown.map(|name| format!("{name}={}", body[*name])).collect::<Vec<_>>().join(" ")
    };
    for (kind, request, expected) in [
        (Openai, ask("mistral-medium", ThoughtLevel::Auto, None), r#"model="mistral-medium""#),
        (
            Openai,
            ask("a::b", ThoughtLevel::High, Some(9)),
            r#"model="a::b" reasoning_effort="high" max_tokens=9"#,
        ),
        (
            Openai,
            ask("gpt-5.1", ThoughtLevel::Auto, Some(9)),
            r#"model="gpt-5.1" max_completion_tokens=9"#,
        ),
        (
            Anthropic,
            ask("claude-sonnet-4-5", ThoughtLevel::Auto, None),
            r#"model="claude-sonnet-4-5" max_tokens=64000"#,
        ),
        (
            Anthropic,
            ask("glm-4-max", ThoughtLevel::Auto, None),
            r#"model="glm-4-max" max_tokens=32000"#,
        ),
        (
            Anthropic,
            ask("claude-sonnet-4-5", ThoughtLevel::Medium, Some(12_000)),
            r#"model="claude-sonnet-4-5" thinking={"type":"enabled","budget_tokens":8000} max_tokens=12000"#,
        ),
        (
            Anthropic,
            ask("claude-sonnet-4-5", ThoughtLevel::Medium, Some(4000)),
            r#"model="claude-sonnet-4-5" thinking={"type":"enabled","budget_tokens":1024} max_tokens=4000"#,
        ),
        (
            Anthropic,
            ask("claude-sonnet-4-5", ThoughtLevel::Low, Some(500)),
            r#"model="claude-sonnet-4-5" max_tokens=500"#,
        ),
        (
            Anthropic,
            ask("glm-4.6", ThoughtLevel::High, None),
            r#"model="glm-4.6" thinking={"type":"enabled","budget_tokens":24000} max_tokens=32000"#,
        ),
    ] {
        assert_eq!(fields(&sent(kind, request).await), expected);
    }
}

#[tokio::test]
async fn the_query_of_an_address_stays_behind_its_path() {
    for kind in [Openai, Anthropic] {
        for key in [None, Some(Secret::new(KEY))] {
            let provider = Provider::start().await;
            provider.queue(if kind == Openai { Reply::openai() } else { Reply::anthropic() });
            let address = format!("{}?api-version=1", provider.url());
            let endpoint = Endpoint::at(kind, &address, key).unwrap();
            let remote = Remote::new(endpoint, HttpClient::start());
            assert_eq!(read(remote.stream(hello())).await, "end Finished 0/0/0\n");
            let path = if kind == Openai { "chat/completions" } else { "messages" };
            assert_eq!(provider.requests()[0].path, format!("/v1/{path}?api-version=1"));
        }
    }
}

#[tokio::test]
async fn a_server_without_a_key_is_sent_none() {
    for kind in [Openai, Anthropic] {
        let provider = Provider::start().await;
        provider.queue(if kind == Openai { Reply::openai() } else { Reply::anthropic() });
        let endpoint = Endpoint::at(kind, &provider.url(), None).unwrap();
        let remote = Remote::new(endpoint, HttpClient::start());
        assert_eq!(read(remote.stream(hello())).await, "end Finished 0/0/0\n");
        let request = provider.requests().remove(0);
        assert_eq!(request.header("authorization").or(request.header("x-api-key")), None);
    }
}
