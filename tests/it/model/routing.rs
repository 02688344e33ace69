//! Which model and which provider does a task, and what takes its place: asserted on the requests.

use talaria::config::{DelegationSection, Price};

use super::pool::{OK, Process, ask, of_key, ok};
use super::*;

fn models(provider: &Provider) -> Vec<String> {
    provider.requests().iter().map(|request| request.model().to_owned()).collect()
}

fn with_fallback(names: &[&str]) -> DelegationSection {
    DelegationSection {
        model: Some("cheap".to_owned()),
        fallback: names.iter().map(|name| (*name).to_owned()).collect(),
        ..DelegationSection::default()
    }
}

#[tokio::test]
async fn a_task_shares_the_keys_of_its_session() {
    let process = Process::with_keys(2).await;
    process.provider.once(
        |request| of_key(2)(request) && request.model() == "cheap",
        Reply::status(429).header("retry-after", "90").body("slow"),
    );
    process.provider.rule(|_| true, ok());
    let session = process.session();
    let task = session.for_task(&DelegationSection::default(), Some("cheap")).unwrap();
    for choice in [&session, &task, &task, &session, &process.session()] {
        assert_eq!(ask(choice).await, OK);
    }
    // The task began with the other key, and its limit rotated its own lease. It is a limit of its model: for
    // the session's, the key is as good as before.
    let (one, two) = ("sk-test-key-one some-model", "sk-test-key-two some-model");
    let (cheap_one, cheap_two) = ("sk-test-key-one cheap", "sk-test-key-two cheap");
    let sent = process.provider.requests();
    let sent: Vec<_> = sent.iter().map(|of| format!("{} {}", of.key(), of.model())).collect();
    assert_eq!(sent, [one, cheap_two, cheap_one, cheap_one, one, two]);
}

#[tokio::test]
async fn a_key_that_a_task_finds_refused_is_not_used_by_its_session() {
    let process = Process::with_keys(2).await;
    process.provider.once(of_key(1), ok());
    process.provider.rule(of_key(1), Reply::status(401).body("no"));
    process.provider.rule(of_key(2), ok());
    let session = process.session();
    assert_eq!(ask(&session).await, OK);
    let task = session.for_task(&DelegationSection::default(), None).unwrap();
    // Key 2 was never used, so the task begins there, and a second one at key 1.
    assert_eq!(ask(&task).await, OK);
    let second = session.for_task(&DelegationSection::default(), None).unwrap();
    assert_eq!(ask(&second).await, OK);
    let before = process.provider.keys().len();
    assert_eq!(ask(&session).await, OK);
    assert_eq!(process.provider.keys()[before..], ["sk-test-key-two"]);
    assert!(session.take_notice().is_some_and(|notice| notice.message.contains("key 1 of 2")));
}

#[tokio::test]
async fn tasks_go_to_another_server_with_its_own_key() {
    let process = Process::with_keys(2).await;
    let other = Provider::start().await;
    other.queue(Reply::anthropic().text("ok"));
    let delegation = DelegationSection {
        model: Some("cheap".to_owned()),
        provider: Some(Anthropic),
        base_url: Some(other.url()),
        api_key: Some(Secret::new("their-key")),
        ..DelegationSection::default()
    };
    let task = process.session().for_task(&delegation, None).unwrap();
    assert_eq!(ask(&task).await, OK);
    let sent = other.requests().remove(0);
    assert_eq!(
        (sent.path.as_str(), sent.model(), sent.key()),
        ("/v1/messages", "cheap", "their-key")
    );
    assert!(process.provider.requests().is_empty());
    other.finish();
}

#[tokio::test]
async fn a_fallback_takes_the_request_of_a_model_that_fails_for_good() {
    let unknown = json!({"error": {"message": "no such model"}}).to_string();
    for reply in [
        Reply::status(404).body(unknown),
        Reply::status(529).header("retry-after", "90").body("busy"),
        Reply::status(429).header("retry-after", "90").body("slow"),
        Reply::status(402).body("pay"),
        Reply::openai().cut(),
    ] {
        for keys in [1, 2] {
            let mut process = Process::with_keys(keys).await;
            let price = Price { input: 1.0, output: 1.0, cached: None };
            process.config.model.price = Some(price);
            process.config.model.name = Some("cheap".to_owned());
            process.provider.rule(|request| request.model() == "cheap", reply.clone());
            process.provider.rule(|request| request.model() == "second", reply.clone());
            process.provider.rule(|request| request.model() == "third", ok());
            let task =
                process.session().for_task(&with_fallback(&["second", "third"]), None).unwrap();
            assert_eq!((task.name.as_str(), task.answered().price), ("cheap", Some(price)));
            assert_eq!(ask(&task).await, OK);
            let mut models = models(&process.provider);
            models.dedup();
            assert_eq!(models, ["cheap", "second", "third"]);
            // Its cost is not that of the model which is configured.
            assert_eq!((task.answered().name, task.answered().price), ("third", None));
        }
    }
}

#[tokio::test]
async fn what_the_request_itself_causes_is_for_no_fallback() {
    for (reply, error) in [
        (Reply::status(400).body("nonsense"), "refused the request"),
        (Reply::status(400).body("prompt is too long"), "longer than the model can read"),
        (Reply::openai().finish("content_filter"), "end Refused"),
        (Reply::openai().text("I th").cut(), "broke off"),
    ] {
        let process = Process::with_keys(2).await;
        process.provider.rule(|request| request.model() == "cheap", reply);
        let task = process.session().for_task(&with_fallback(&["second"]), None).unwrap();
        let answer = ask(&task).await;
        assert!(answer.contains(error), "{answer}");
        assert_eq!(models(&process.provider), ["cheap"]);
    }
}

#[tokio::test]
async fn where_every_fallback_fails_the_first_failure_is_told() {
    let process = Process::with_keys(1).await;
    process.provider.rule(|request| request.model() == "cheap", Reply::status(402).body("pay up"));
    process.provider.rule(|_| true, Reply::status(401).body("who are you"));
    let task = process.session().for_task(&with_fallback(&["second"]), None).unwrap();
    assert_eq!(ask(&task).await, "error: the account has no credit left: pay up\n");
    assert_eq!(models(&process.provider), ["cheap", "second"]);
}
