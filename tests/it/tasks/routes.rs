//! Which provider, model and key a task's requests go to.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::requests::is_of;
use super::told::{held, starts};
use crate::support::agent::Agent;
use crate::support::provider::{Provider, Reply, Request};
use crate::support::served::{Dialect, KEY, Served};
use crate::support::tasks::Chat;

const GOAL: &str = "child goal";
const FIRST: &str = "sk-first-0123456789";
const SECOND: &str = "sk-second-0123456789";

/// The parent delegates, and says so; then it is ready for another prompt.
fn delegates(served: &Served) {
    served.provider.queue(served.reply().call("x", "delegate_task_async", json!({ "goal": GOAL })));
    for text in ["Started.", "Going on."] {
        served.says(text);
    }
}

fn of_child(provider: &Provider) -> Vec<Request> {
    provider.requests().into_iter().filter(is_of(GOAL)).collect()
}

fn key(request: &Request) -> String {
    request.header("authorization").unwrap().trim_start_matches("Bearer ").to_owned()
}

#[test]
fn a_task_uses_its_parents_provider_model_and_key() {
    let served = Served::new(Dialect::Openai);
    served.provider.rule(is_of(GOAL), held(&served).text("Done."));
    delegates(&served);
    let mut chat = Chat::of(served.agent(), &served.home);
    starts(&served, &mut chat, "go");
    chat.until("t1", "completed");
    for request in served.provider.requests() {
        assert_eq!((key(&request).as_str(), &request.body["model"]), (KEY, &json!("some-model")));
    }
    assert_eq!(of_child(&served.provider).len(), 1);
}

#[test]
fn the_configuration_routes_tasks_to_a_cheaper_model_of_another_provider() {
    let served = Served::new(Dialect::Openai);
    let other = served.wait(Provider::start());
    other.rule(is_of(GOAL), Reply::anthropic().gate(&served.hold).text("Cheap work."));
    served.home.write_config(&format!(
        "delegation:\n  provider: anthropic\n  model: cheap-model\n  base_url: {}\n  api_key: {SECOND}\n",
        other.url()
    ));
    delegates(&served);
    let mut chat = Chat::of(served.agent(), &served.home);
    starts(&served, &mut chat, "go");
    chat.until("t1", "completed");
    assert!(of_child(&served.provider).is_empty(), "the parent's provider is not asked for it");
    let requests = other.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].body["model"], "cheap-model");
    assert_eq!(requests[0].header("x-api-key"), Some(SECOND));
    assert!(served.provider.requests().iter().all(|request| request.body["model"] == "some-model"));
    assert_eq!(chat.say("on"), "Going on.");
}

/// An agent with a pool of two keys.
fn pooled(served: &Served) -> Agent {
    let mut command: Command = served.home.command();
    command
        .env("TALARIA_PROVIDER", "openai")
        .env("TALARIA_MODEL", "some-model")
        .env("TALARIA_BASE_URL", served.provider.url())
        .env("TALARIA_API_KEY", format!("{FIRST},{SECOND}"));
    let mut agent = Agent::spawn(command);
    agent.initialize(&json!({}));
    agent
}

#[test]
fn a_task_that_is_told_to_slow_down_takes_another_key_and_its_parent_goes_on() {
    let served = Served::new(Dialect::Openai);
    let refused = AtomicUsize::new(0);
    // Twice: once it waits as long as it is told, then it takes the other key.
    served.provider.rule(
        move |request| is_of(GOAL)(request) && refused.fetch_add(1, Ordering::Relaxed) < 2,
        Reply::status(429).header("retry-after", "1").body("slow down"),
    );
    served.provider.rule(is_of(GOAL), held(&served).text("Done."));
    delegates(&served);
    let mut chat = Chat::of(pooled(&served), &served.home);
    starts(&served, &mut chat, "go");
    chat.until("t1", "completed");
    assert_eq!(chat.say("on"), "Going on.");
    let keys: Vec<String> = of_child(&served.provider).iter().map(key).collect();
    assert_eq!(keys.len(), 3, "{keys:?}");
    assert_eq!(keys[0], keys[1]);
    assert_ne!(keys[1], keys[2]);
    let all: BTreeSet<&str> = keys.iter().map(String::as_str).collect();
    assert_eq!(all, BTreeSet::from([FIRST, SECOND]));
    // The key that was told to slow down rests, for the parent, too.
    let last = served.provider.requests().pop().unwrap();
    assert_eq!(key(&last), keys[2]);
}
