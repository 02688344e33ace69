//! What `delegation` says of the model, the provider and the keys of tasks, asserted on the requests; and
//! keys that a provider refuses.

use serde_json::{Value, json};

use super::requests::is_of;
use super::told::{GOAL, held, of_child, of_parent, reporting, told};
use crate::support::provider::{Provider, Reply, Request};
use crate::support::served::{Dialect, KEY, Served};
use crate::support::tasks::{Chat, content};

const START: &str = "delegate_task_async";
const FIRST: &str = "loopback-first-0123456789";
const SECOND: &str = "loopback-second-0123456789";

/// One task of a served agent with this configuration.
fn one(served: &Served, config: &str) -> Chat {
    served.home.write_config(config);
    let mut chat = Chat::of(served.agent(), &served.home);
    told(served, &mut chat, START, &json!({ "goal": GOAL }));
    chat
}

#[test]
fn another_model_of_the_same_provider_is_asked_with_the_same_key() {
    for dialect in Dialect::BOTH {
        let served = reporting(dialect, "Done.");
        one(&served, "delegation:\n  model: cheap-model\n").until("t1", "completed");
        let child = of_child(&served);
        assert_eq!((child.len(), child[0].model(), child[0].key()), (1, "cheap-model", KEY));
        assert!(of_parent(&served).iter().all(|request| request.model() == "some-model"));
    }
}

#[test]
fn another_server_gets_its_own_key_and_never_the_sessions() {
    for dialect in Dialect::BOTH {
        let served = Served::new(dialect);
        let other = served.wait(Provider::start());
        other.rule(|_| true, held(&served).text("Done."));
        let config = format!(
            "delegation:\n  model: cheap\n  base_url: {}\n  api_key: {SECOND}\n",
            other.url()
        );
        let mut chat = one(&served, &config);
        chat.until("t1", "completed");
        assert_eq!(other.keys(), [SECOND]);
        assert!(of_child(&served).is_empty());
        drop(chat);

        // Without a key for it, nothing is sent.
        let there = other.requests().len();
        served
            .home
            .write_config(&format!("delegation:\n  model: cheap\n  base_url: {}\n", other.url()));
        let mut chat = Chat::of(served.agent(), &served.home);
        let said = told(&served, &mut chat, START, &json!({ "goal": GOAL }));
        if said.contains("\"running\"") {
            // A server on this machine may want no key.
            chat.until("t1", "completed");
        }
        let later = other.keys().split_off(there);
        assert!(later.iter().all(String::is_empty), "{later:?}");
    }
}

#[test]
fn a_fallback_does_what_the_model_of_tasks_cannot() {
    for dialect in Dialect::BOTH {
        let served = Served::new(dialect);
        served.provider.rule(
            |request| is_of(GOAL)(request) && request.model() == "cheap-model",
            Reply::status(404).body("there is no such model"),
        );
        served.provider.rule(is_of(GOAL), held(&served).text("CHILD REPORT"));
        let config = "delegation:\n  model: cheap-model\n  fallback: [spare-model]\n";
        let mut chat = one(&served, config);
        chat.until("t1", "completed");
        let models: Vec<String> =
            of_child(&served).iter().map(|request| request.model().to_owned()).collect();
        assert_eq!(models, ["cheap-model", "spare-model"]);
        assert!(chat.say("/collect t1").contains("CHILD REPORT"));
    }
}

#[test]
fn tasks_think_as_much_as_the_configuration_says() {
    let effort = |request: &Request| request.body["reasoning_effort"].clone();
    let served = reporting(Dialect::Openai, "Done.");
    one(&served, "delegation:\n  reasoning_effort: high\n").until("t1", "completed");
    assert_eq!(effort(&of_child(&served)[0]), "high");
    assert!(of_parent(&served).iter().all(|request| effort(request) == Value::Null));

    let thinking = |request: &Request| request.body["thinking"].clone();
    let served = reporting(Dialect::Anthropic, "Done.");
    one(&served, "delegation:\n  reasoning_effort: high\n").until("t1", "completed");
    let (child, parent) = (of_child(&served), of_parent(&served));
    assert_ne!(child[0].body["thinking"], Value::Null, "{}", child[0].body);
    assert_ne!(thinking(&child[0]), thinking(&parent[0]));
}

#[test]
fn a_key_that_is_refused_to_a_task_is_said_and_another_one_does_it() {
    for dialect in Dialect::BOTH {
        let mut served = Served::new(dialect);
        served.keys = format!("{FIRST}, {SECOND}");
        let refused = Reply::status(401).body("no such key");
        let with = |key| move |request: &Request| is_of(GOAL)(request) && request.key() == key;
        served.provider.rule(with(SECOND), refused);
        served.provider.rule(is_of(GOAL), held(&served).text("Done."));
        let mut chat = Chat::of(served.agent(), &served.home);
        let again = |request: &Request| request.last_user().contains("PARENT again");
        served.provider.rule(again, served.reply().text("Later."));
        let start = served.reply().call("x", START, json!({ "goal": GOAL }));
        served.provider.once(|request| request.messages().last().unwrap()["role"] == "user", start);
        served.provider.rule(|_| true, served.reply().text("Done."));
        // The turn may be told of it already.
        assert!(chat.say("PARENT").contains("Done."));
        chat.until("t1", "completed");
        let keys: Vec<String> =
            of_child(&served).iter().map(|request| request.key().to_owned()).collect();
        assert_eq!(keys, [SECOND, FIRST]);
        assert!(chat.say("PARENT again").contains("Later."));
        let all: String = chat.came().iter().map(ToString::to_string).collect();
        assert_eq!(all.matches("Key 2 of 2").count(), 1, "it is said, and once: {all}");
        assert!(all.contains("was refused by the provider"), "{all}");
        assert_eq!(of_parent(&served).last().unwrap().key(), FIRST);
    }
}

#[test]
fn a_task_whose_only_key_is_refused_says_so() {
    for dialect in Dialect::BOTH {
        let served = Served::new(dialect);
        served
            .provider
            .rule(is_of(GOAL), Reply::status(401).gate(&served.hold).body("no such key"));
        let mut chat = one(&served, "");
        let card = chat.until("t1", "failed");
        assert!(content(&card).contains("key"), "{card}");
        assert!(!content(&card).contains(KEY), "{card}");
        // The parent is told, and can go on.
        served.says("Later.");
        assert_eq!(chat.say("PARENT again"), "Later.");
        let next = super::told::body(of_parent(&served).last().unwrap());
        assert!(next.contains("state=\\\"failed\\\""), "{next}");
    }
}
