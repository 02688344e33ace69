//! What becomes of replies that fail, and of those that only look as if they did.

use talaria::config::Proxies;

use super::*;

/// The error that ends a request which a status answers.
async fn failed(reply: Reply) -> ModelError {
    let provider = Provider::start().await;
    provider.rule(|_| true, reply);
    last_error(remote(&provider, Openai).stream(hello())).await
}

async fn last_error(mut deltas: Deltas) -> ModelError {
    let mut last = None;
    while let Some(delta) = deltas.next().await {
        last = Some(delta);
    }
    last.expect("the stream yields something").expect_err("the stream fails")
}

fn message(text: &str) -> String {
    json!({"error": {"message": text}}).to_string()
}

#[tokio::test]
async fn every_status_has_its_error() {
    let m = |text: &str| text.to_owned();
    for (status, body, expected) in [
        (401, message("bad key"), ModelError::Auth { message: m("bad key") }),
        (403, message("forbidden"), ModelError::Auth { message: m("forbidden") }),
        (402, message("pay"), ModelError::Payment { message: m("pay") }),
        (
            404,
            message("gone"),
            ModelError::UnknownModel { model: m("some-model"), message: m("gone") },
        ),
        (400, message("nonsense"), ModelError::Rejected { status: 400, message: m("nonsense") }),
        (418, m("a\n  teapot"), ModelError::Rejected { status: 418, message: m("a teapot") }),
        (
            400,
            message("prompt is too long: 9 > 8"),
            ModelError::ContextFull { message: m("prompt is too long: 9 > 8") },
        ),
        (
            400,
            json!({"error": {"message": "no", "code": "context_length_exceeded"}}).to_string(),
            ModelError::ContextFull { message: m("no") },
        ),
        (
            413,
            message("too many tokens"),
            ModelError::ContextFull { message: m("too many tokens") },
        ),
        (
            429,
            json!({"error": {"message": "quota", "type": "insufficient_quota"}}).to_string(),
            ModelError::Payment { message: m("quota") },
        ),
    ] {
        assert_eq!(failed(Reply::status(status).body(body)).await, expected, "{status}");
    }
}

#[tokio::test]
async fn a_long_wait_is_told_and_not_waited_for() {
    let reply = Reply::status(429).header("retry-after", "120").body(message("slow down"));
    let expected = ModelError::RateLimited {
        after: Some(Duration::from_mins(2)),
        message: "slow down".to_owned(),
    };
    assert_eq!(failed(reply).await, expected);
}

#[tokio::test]
async fn retry_after_is_honoured_once() {
    let provider = Provider::start().await;
    provider.queue(Reply::status(429).header("retry-after", "1").body(message("slow down")));
    provider.queue(Reply::openai().text("ok"));
    let began = tokio::time::Instant::now();
    let text = read(remote(&provider, Openai).stream(hello())).await;
    assert_eq!(text, "say \"ok\"\nend Finished 0/0/0\n");
    assert!(began.elapsed() >= Duration::from_secs(1));
    provider.finish();
}

#[tokio::test]
async fn an_overloaded_provider_may_ask_for_time_too() {
    let provider = Provider::start().await;
    provider.queue(Reply::status(503).header("retry-after", "1").body(message("busy")));
    provider.queue(Reply::openai().text("ok"));
    let began = tokio::time::Instant::now();
    let text = read(remote(&provider, Openai).stream(hello())).await;
    assert_eq!(text, "say \"ok\"\nend Finished 0/0/0\n");
    assert!(began.elapsed() >= Duration::from_secs(1));
    provider.finish();
    let error = failed(Reply::status(529).header("retry-after", "120").body(message("busy"))).await;
    let after = Some(Duration::from_mins(2));
    assert_eq!(error, ModelError::Overloaded { status: 529, after, message: "busy".to_owned() });
}

/// The error as a user reads it, without the number of the port.
async fn told(reply: Reply) -> String {
    let provider = Provider::start().await;
    let url = provider.url();
    provider.rule(|_| true, reply);
    let error = last_error(remote(&provider, Openai).stream(hello())).await;
    error
        .fault()
        .sentence()
        .replace(&url, "http://HOST/v1/")
        .replace(url.trim_end_matches("/v1/"), "http://HOST")
}

#[tokio::test]
async fn a_404_is_about_the_model_only_where_the_provider_says_so() {
    let unknown = "The provider does not know the model `some-model`: ";
    for body in [
        json!({"error": {"message": "no such thing"}}).to_string(),
        json!({"error": "model \"some-model\" not found, try pulling it first"}).to_string(),
        "some-model is not here".to_owned(),
    ] {
        let told = told(Reply::status(404).body(&body)).await;
        assert!(told.starts_with(unknown), "{body}: {told}");
    }
    let hint = "Check the address in `TALARIA_BASE_URL`: it is where the provider's API begins, such as `https://host/v1/`.";
    for (body, message) in [
        (
            "<!DOCTYPE html>\n<html><head><TITLE lang=en>404 Not\n Found</TITLE></head>",
            "404 Not Found.",
        ),
        ("  <html><body>model</body></html>", "An"),
        ("404 page not found", "404 page not found."),
        ("{\"detail\":\"Not Found\"}", "Not Found."),
        ("{\"error\":{\"message\":\"Invalid URL (POST /v1/v1)\"}}", "Invalid URL (POST /v1/v1)."),
        ("", "no reason given by http://HOST."),
    ] {
        let message = if message == "An" { "an HTML page." } else { message };
        let expected = format!(
            "No model answers at `http://HOST/v1/chat/completions` (status 404): {message} {hint}"
        );
        assert_eq!(told(Reply::status(404).body(body)).await, expected);
    }
    let page = told(Reply::status(502).body("<html><title>Bad\ngateway</title>")).await;
    assert!(page.contains("(status 502): Bad gateway."), "{page}");
}

#[tokio::test]
async fn a_redirect_is_told_and_not_followed() {
    let to = |location: &str| Reply::status(308).header("location", location).body("");
    for (reply, message) in [
        (
            to("https://user:pw@other:444/login?token=k#x"),
            "it redirects to `https://other:444/login`",
        ),
        (to("/v2/"), "it redirects to `http://HOST/v2/`"),
        (Reply::status(302).body("moved"), "it redirects without saying where"),
    ] {
        let told = told(reply).await;
        assert!(
            told.contains(&format!("): {message}. Check the address in `TALARIA_BASE_URL`")),
            "{told}"
        );
        assert!(
            told.starts_with("No model answers at `http://HOST/v1/chat/completions` (status 30"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn a_whole_answer_where_a_stream_was_asked_for_is_not_blamed_on_the_dialect_alone() {
    let whole = json!({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]});
    for body in [whole, json!({"error": {"message": "no"}})] {
        let told = told(Reply::status(200).body(body)).await;
        assert_eq!(
            told,
            "The provider's answer could not be read: http://HOST answered without any event of a chat; it may \
             speak another dialect, or have sent one whole answer or error where a stream was asked for. Check \
             that `TALARIA_PROVIDER` names the dialect that this server speaks, and that the server streams its \
             answers."
        );
    }
}

#[tokio::test]
async fn a_proxy_is_for_other_machines_and_is_named() {
    let nobody = |name: &str| Some(format!("http://user:pw@127.0.0.1:1/{name}"));
    let proxies = |none: Option<&str>| Proxies {
        http: nobody("http"),
        https: nobody("https"),
        all: None,
        none: none.map(str::to_owned),
    };
    let provider = Provider::start().await;
    provider.queue(Reply::openai().text("ok"));
    let endpoint = |url: &str| Endpoint::at(Openai, url, None).unwrap();
    let remote =
        Remote::new(endpoint(&provider.url()), HttpClient::start_with(proxies(Some("other"))));
    assert_eq!(read(remote.stream(hello())).await, "say \"ok\"\nend Finished 0/0/0\n");
    provider.finish();
    for url in ["http://host.invalid/v1", "https://host.invalid/v1"] {
        let remote = Remote::new(endpoint(url), HttpClient::start_with(proxies(None)));
        let ModelError::Unreachable { message } = last_error(remote.stream(hello())).await else {
            panic!("nobody is there")
        };
        assert!(
            message.contains("://host.invalid through the proxy http://127.0.0.1:1: "),
            "{message}"
        );
        assert!(!message.contains("pw"), "{message}");
    }
}

#[tokio::test]
async fn an_overloaded_provider_is_asked_three_times() {
    let provider = Provider::start().await;
    for status in [500, 529, 503] {
        provider.queue(Reply::status(status).body(message("busy")));
    }
    let error = last_error(remote(&provider, Openai).stream(hello())).await;
    assert_eq!(
        error,
        ModelError::Overloaded { status: 503, after: None, message: "busy".to_owned() }
    );
    provider.finish();
}

#[tokio::test]
async fn an_error_after_the_first_piece_is_not_tried_again() {
    let provider = Provider::start().await;
    let body =
        json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
    provider.queue(Reply::anthropic().text("Hel").frame(body).eof());
    let text = read(remote(&provider, Anthropic).stream(hello())).await;
    assert_eq!(
        text,
        "say \"Hel\"\nerror: the provider is overloaded or failed (status 529): Overloaded\n"
    );
    provider.finish();
}

#[tokio::test]
async fn errors_in_a_stream_have_their_status_inside() {
    let anthropic = |kind: &str| {
        let body = json!({"type": "error", "error": {"type": kind, "message": "no"}});
        Reply::anthropic().text("a").frame(body).eof()
    };
    let openai = |error: Value| Reply::openai().text("a").frame(json!({"error": error})).eof();
    for (kind, reply, expected) in [
        (
            Anthropic,
            anthropic("rate_limit_error"),
            ModelError::RateLimited { after: None, message: "no".into() },
        ),
        (
            Anthropic,
            anthropic("api_error"),
            ModelError::Overloaded { status: 500, after: None, message: "no".into() },
        ),
        (Anthropic, anthropic("authentication_error"), ModelError::Auth { message: "no".into() }),
        (
            Openai,
            openai(json!({"message": "no", "code": 429})),
            ModelError::RateLimited { after: None, message: "no".into() },
        ),
        (
            Openai,
            openai(json!({"message": "no", "type": "server_error"})),
            ModelError::Overloaded { status: 500, after: None, message: "no".into() },
        ),
        (
            Openai,
            openai(json!("no")),
            ModelError::Overloaded { status: 500, after: None, message: "no".into() },
        ),
    ] {
        let provider = Provider::start().await;
        provider.queue(reply);
        assert_eq!(last_error(remote(&provider, kind).stream(hello())).await, expected);
        provider.finish();
    }
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    let provider = Provider::start().await;
    let remote = remote(&provider, Openai);
    drop(provider);
    let error = last_error(remote.stream(hello())).await;
    assert!(
        matches!(&error, ModelError::Unreachable { message } if message.contains("refused")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_reply_that_breaks_off_is_dropped_with_its_calls() {
    for (kind, reply) in [(Openai, Reply::openai()), (Anthropic, Reply::anthropic())] {
        let torn = reply.clone().eof();
        for (reply, last) in
            [(reply.clone().eof(), ""), (reply.cut(), ""), (torn, "{\"type\": \"ping")]
        {
            let provider = Provider::start().await;
            provider.queue(reply.text("a").raw_call("x", "read", "{}").frame(last));
            let text = read(remote(&provider, kind).stream(hello())).await;
            let expected = "say \"a\"\nbegan read\nerror: the reply broke off before its end: ";
            assert!(text.starts_with(expected), "{text}");
            provider.finish();
        }
    }
}

#[tokio::test]
async fn a_provider_that_falls_silent_is_given_up() {
    let provider = Provider::start().await;
    let gate = Gate::new();
    provider.queue(Reply::openai().text("a").gate(&gate));
    let mut deltas = remote(&provider, Openai).stream(hello());
    assert_eq!(deltas.next().await, Some(Ok(Delta::Text("a".to_owned()))));
    gate.reached().await;
    // Nothing moves any more, so a paused clock goes on to the next thing that waits for it.
    tokio::time::pause();
    assert_eq!(last_error(deltas).await, ModelError::TimedOut { after: Duration::from_mins(5) });
}

#[tokio::test]
async fn a_reason_makes_a_reply_whole_even_without_the_last_event() {
    for (kind, reply) in [(Openai, Reply::openai()), (Anthropic, Reply::anthropic())] {
        let expect = expect![[r#"
            began read
            call read {"n":1}
            end Finished 9/3/0
        "#]];
        check(kind, reply.call("x", "read", json!({"n": 1})).usage(9, 3, 0).without_done(), expect)
            .await;
    }
}

#[tokio::test]
async fn error_null_is_no_error() {
    let chunk =
        |delta: Value| json!({"error": null, "choices": [{"delta": delta, "finish_reason": null}]});
    let call = json!({"index": 0, "id": "x", "function": {"name": "read", "arguments": "{}"}});
    let end = json!({"error": null, "choices": [{"delta": {}, "finish_reason": "tool_calls"}]});
    let reply = Reply::openai()
        .frame(chunk(json!({"content": "Hel"})))
        .frame(chunk(json!({"content": "lo"})))
        .frame(chunk(json!({"tool_calls": [call]})))
        .frame(end);
    let expect = expect![[r#"
        say "Hel"
        say "lo"
        began read
        call read {}
        end Finished 0/0/0
    "#]];
    check(Openai, reply, expect).await;
}

#[tokio::test]
async fn a_text_delta_without_text_adds_nothing() {
    let citation =
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta"}});
    let expect = expect![[r#"
        say "a"
        say "b"
        end Finished 0/0/0
    "#]];
    check(Anthropic, Reply::anthropic().text("a").frame(citation).text("b"), expect).await;
}

#[tokio::test]
async fn what_is_no_stream_of_the_dialect_is_malformed() {
    let html = Reply::status(200).body("<html>welcome</html>");
    assert!(matches!(failed(html).await, ModelError::Malformed { .. }));
    for garbage in ["{not json", "{\"choices\": [{"] {
        let reply = Reply::openai().frame(garbage).text("a");
        assert!(matches!(failed(reply).await, ModelError::Malformed { .. }));
    }
    // The other dialect's events.
    assert!(matches!(failed(Reply::anthropic().text("a")).await, ModelError::Malformed { .. }));
}

#[tokio::test]
async fn errors_are_short_and_hold_no_key() {
    let body = format!("bad key {KEY}\n{}", "x".repeat(1000));
    let ModelError::Auth { message } = failed(Reply::status(401).body(body)).await else {
        panic!("expected an error of the credentials");
    };
    assert!(message.starts_with("bad key (key) xxx"), "{message}");
    assert!(!message.contains("0123456789"), "{message}");
    assert_eq!(message.chars().count(), 300);
}

#[tokio::test]
async fn a_refusal_in_words_is_shown_and_told() {
    let refusal = json!({"choices": [{"delta": {"refusal": "I cannot."}}]});
    let expect = expect![[r#"
        say "I cannot."
        end Refused 0/0/0
    "#]];
    check(Openai, Reply::openai().frame(refusal), expect).await;
}

#[tokio::test]
async fn a_request_that_breaks_the_rules_is_noticed() {
    let call = call("c1", "read", json!({}));
    let items = vec![
        user("hello"),
        Item::Assistant { thoughts: Vec::new(), text: String::new(), calls: vec![call] },
    ];
    let provider = Provider::start().await;
    provider.queue(Reply::openai());
    read(remote(&provider, Openai).stream(request(items))).await;
    assert_eq!(provider.violations(), ["request 0: the call `c1` has no outcome"]);
}
