//! Options, modes, plan, usage and title. Checklist 68–75.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::agent::{Agent, Answer};
use crate::support::client::{allow, nothing_asked};
use crate::support::home::Home;
use crate::support::served::{Dialect, Served};

const TALK: &str = "when any\n say \"fine\"";

fn talking(config: &str) -> (Home, Agent) {
    let home = Home::scripted(TALK);
    home.write_config(config);
    let agent = Agent::ready(&home);
    (home, agent)
}

/// The answer to `session/new`, without its id, and the id.
fn opened(agent: &mut Agent, home: &Home) -> (Value, String) {
    let answer = agent.call("session/new", &json!({ "cwd": home.work(), "mcpServers": [] }));
    let result = answer.result().clone();
    let id = result["sessionId"].as_str().unwrap().to_owned();
    // The list of commands follows by itself; nothing of it disturbs a test then.
    agent.wait_for_update("available_commands_update");
    (result, id)
}

fn set(agent: &mut Agent, session: &str, option: &str, value: &str) -> Answer {
    agent.call(
        "session/set_config_option",
        &json!({ "sessionId": session, "configId": option, "value": value }),
    )
}

/// The values of mode, model and thought level in a full list.
fn values(options: &Value) -> [String; 3] {
    let options = options.as_array().expect("a list of options");
    let ids: Vec<&str> = options.iter().map(|option| option["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["mode", "model", "thought_level"]);
    for option in options {
        // A boolean would need the client's word.
        assert_eq!(option["type"], "select", "{option}");
        assert_eq!(option["category"], option["id"], "{option}");
        assert!(!option["name"].as_str().unwrap().is_empty());
        let choices = option["options"].as_array().unwrap();
        assert!(choices.iter().all(|choice| choice["name"].is_string()));
        assert!(choices.iter().any(|choice| choice["value"] == option["currentValue"]), "{option}");
    }
    [0, 1, 2].map(|at: usize| options[at]["currentValue"].as_str().unwrap().to_owned())
}

/// The kinds of the updates before an answer.
fn kinds(answer: &Answer) -> Vec<&str> {
    answer
        .before
        .iter()
        .filter_map(|message| message["params"]["update"]["sessionUpdate"].as_str())
        .collect()
}

#[test]
fn c68_a_new_session_and_every_change_say_all_options() {
    let served = Served::new(Dialect::Openai);
    served.home.write_config("model:\n  choices: [other-model]\n  thought: low\n");
    served.says("fine");
    let mut agent = served.agent();
    let (new, session) = opened(&mut agent, &served.home);
    assert_eq!(values(&new["configOptions"]), ["ask", "some-model", "low"]);
    let modes: Vec<&Value> =
        new["modes"]["availableModes"].as_array().unwrap().iter().map(|mode| &mode["id"]).collect();
    let choices: Vec<&Value> = new["configOptions"][0]["options"]
        .as_array()
        .unwrap()
        .iter()
        .map(|choice| &choice["value"])
        .collect();
    assert_eq!(modes, choices);
    assert_eq!(modes, ["ask", "accept-edits", "plan", "bypass"]);
    for (option, value, all) in [
        ("model", "other-model", ["ask", "other-model", "low"]),
        ("thought_level", "high", ["ask", "other-model", "high"]),
        ("mode", "plan", ["plan", "other-model", "high"]),
    ] {
        let answer = set(&mut agent, &session, option, value);
        assert_eq!(values(&answer.result()["configOptions"]), all);
        // The notification says the same.
        let updates = answer.updates("config_option_update");
        assert_eq!(updates.len(), 1);
        assert_eq!(updates[0]["configOptions"], answer.result()["configOptions"]);
    }
    // They count from the next request on.
    agent.turn(&session, "go", nothing_asked);
    assert_eq!(
        (&served.body(0)["model"], &served.body(0)["reasoning_effort"]),
        (&json!("other-model"), &json!("high"))
    );
    served.provider.finish();
}

#[test]
fn c68_a_model_that_was_typed_is_in_the_list() {
    let served = Served::new(Dialect::Anthropic);
    served.says("fine");
    let mut agent = served.agent();
    let (_, session) = opened(&mut agent, &served.home);
    let answer = agent.turn(&session, "/model typed-model", nothing_asked);
    let update = answer.updates("config_option_update")[0];
    assert_eq!(values(&update["configOptions"])[1], "typed-model");
    agent.turn(&session, "go", nothing_asked);
    assert_eq!(served.body(0)["model"], "typed-model");
    set(&mut agent, &session, "model", "some-model").result();
    set(&mut agent, &session, "model", "typed-model").result();
    served.provider.finish();
}

#[test]
fn c70_modes_and_the_mode_option_are_in_step() {
    let (home, mut agent) = talking("permissions:\n  mode: accept-edits\n");
    let (new, session) = opened(&mut agent, &home);
    assert_eq!(new["modes"]["currentModeId"], "accept-edits");
    assert_eq!(values(&new["configOptions"])[0], "accept-edits");
    let check = |answer: &Answer, mode: &str| {
        answer.result();
        assert_eq!(kinds(answer)[..2], ["current_mode_update", "config_option_update"]);
        assert_eq!(answer.updates("current_mode_update")[0]["currentModeId"], mode);
        assert_eq!(values(&answer.updates("config_option_update")[0]["configOptions"])[0], mode);
    };
    check(&agent.set_mode(&session, "plan"), "plan");
    check(&set(&mut agent, &session, "mode", "bypass"), "bypass");
    check(&agent.turn(&session, "/mode ask", nothing_asked), "ask");
    // What is so already is no news.
    assert!(agent.set_mode(&session, "ask").before.is_empty());
    let answer = set(&mut agent, &session, "mode", "ask");
    assert!(answer.before.is_empty());
    assert_eq!(values(&answer.result()["configOptions"])[0], "ask");
    // Another session is not concerned.
    let (new, _) = opened(&mut agent, &home);
    assert_eq!(new["modes"]["currentModeId"], "accept-edits");
}

#[test]
fn c71_what_is_unknown_changes_nothing() {
    let (home, mut agent) = talking("");
    let (new, session) = opened(&mut agent, &home);
    agent.set_mode(&session, "plan");
    for (option, value) in [
        ("mode", json!("nonsense")),
        ("mode", json!("")),
        ("mode", json!("Plan")),
        ("mode", json!(true)),
        ("model", json!("nonsense")),
        ("thought_level", json!("nonsense")),
        ("nonsense", json!("ask")),
        ("", json!("ask")),
        ("mode", Value::Null),
        ("mode", json!(["ask"])),
    ] {
        let params = json!({ "sessionId": session, "configId": option, "value": value });
        let answer = agent.call("session/set_config_option", &params);
        assert_eq!(answer.code(), -32602, "{params}: {}", answer.response);
        assert!(answer.before.is_empty());
    }
    let params =
        json!({ "sessionId": session, "configId": "mode", "type": "boolean", "value": true });
    assert_eq!(agent.call("session/set_config_option", &params).code(), -32602);
    for mode in [json!("nonsense"), json!(""), Value::Null, json!(5)] {
        let params = json!({ "sessionId": session, "modeId": mode });
        let answer = agent.call("session/set_mode", &params);
        assert_eq!(answer.code(), -32602, "{params}: {}", answer.response);
        assert!(answer.before.is_empty());
    }
    for params in [json!({}), json!({ "sessionId": session }), json!([])] {
        assert_eq!(agent.call("session/set_mode", &params).code(), -32602);
        assert_eq!(agent.call("session/set_config_option", &params).code(), -32602);
    }
    // All is as it was.
    let [_, model, _] = values(&new["configOptions"]);
    let answer = set(&mut agent, &session, "thought_level", "low");
    assert_eq!(values(&answer.result()["configOptions"]), ["plan", &model, "low"]);
}

#[test]
fn c71_options_of_a_session_that_does_not_exist() {
    let (_home, mut agent) = talking("");
    let answer = set(&mut agent, "nowhere", "mode", "plan");
    assert_eq!(
        (answer.code(), &answer.response["error"]["data"]["sessionId"]),
        (-32002, &json!("nowhere"))
    );
    let answer =
        agent.call("session/set_mode", &json!({ "sessionId": "nowhere", "modeId": "plan" }));
    assert_eq!(
        (answer.code(), &answer.response["error"]["data"]["sessionId"]),
        (-32002, &json!("nowhere"))
    );
}

#[test]
fn c72_a_plan_is_sent_whole() {
    let home = Home::scripted(
        r#"
        when any
          call plan {"entries": [
            {"content": "Look", "status": "in_progress", "priority": "high"},
            {"content": "Change", "status": "pending"},
            {"content": "Test", "status": "pending", "priority": "low"}
          ]}
        then
          call plan {"entries": [
            {"content": "Look", "status": "completed", "priority": "high"},
            {"content": "Change", "status": "in_progress"},
            {"content": "Test", "status": "pending", "priority": "low"}
          ]}
        then
          call plan {"entries": [
            {"content": "Look", "status": "in_progress"},
            {"content": "Change", "status": "in_progress"}
          ]}
        then
          say "${outcome}"
        "#,
    );
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let answer = agent.turn(&session, "go", nothing_asked);
    let entries = |statuses: [&str; 3]| {
        json!([
            { "content": "Look", "priority": "high", "status": statuses[0] },
            { "content": "Change", "priority": "medium", "status": statuses[1] },
            { "content": "Test", "priority": "low", "status": statuses[2] },
        ])
    };
    let plans: Vec<&Value> = answer.updates("plan").iter().map(|plan| &plan["entries"]).collect();
    assert_eq!(
        plans,
        [
            &entries(["in_progress", "pending", "pending"]),
            &entries(["completed", "in_progress", "pending"])
        ]
    );
    // A plan that works on two things at once is none.
    assert!(answer.text().contains("work on one at a time"), "{}", answer.text());
    assert_eq!(answer.status(answer.calls()[2]), "failed");
}

const SPENDS: &str = r#"
    when any
      call list {}
      usage input=400 output=100 cached=200
    then
      say "fine"
      usage input=900 output=300
"#;

#[test]
fn c73_usage_follows_each_request_and_its_cost_adds_up() {
    let home = Home::scripted(SPENDS);
    home.write_config(
        "model:\n  context_window: 1000\n  price: { input: 1000, output: 2000, cached: 100 }\n",
    );
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    // 200 fresh, 200 cached, 100 out; then 900 fresh, 300 out.
    let (first, second) = (0.42, 1.5);
    let mut spent = 0.0;
    for _ in 0..2 {
        let answer = agent.turn(&session, "go", nothing_asked);
        let usages = answer.updates("usage_update");
        let sizes: Vec<(&Value, &Value)> =
            usages.iter().map(|usage| (&usage["used"], &usage["size"])).collect();
        // Never more than there is.
        assert_eq!(sizes, [(&json!(500), &json!(1000)), (&json!(1000), &json!(1000))]);
        for (usage, more) in usages.iter().zip([first, second]) {
            spent += more;
            assert_eq!(usage["cost"]["currency"], "USD");
            let amount = usage["cost"]["amount"].as_f64().unwrap();
            assert!((amount - spent).abs() < 1e-9, "{amount} instead of {spent}");
        }
        // Behind each request, not at the end.
        let kinds = kinds(&answer);
        let first = kinds.iter().position(|kind| *kind == "usage_update").unwrap();
        let said = kinds.iter().position(|kind| *kind == "agent_message_chunk").unwrap();
        assert!(first < said, "{kinds:?}");
    }
    let said = agent.turn(&session, "/usage", nothing_asked).text();
    assert!(
        said.contains("2600 in (400 from the cache), 800 out") && said.contains("3.8400 USD"),
        "{said}"
    );
    let (_, other) = opened(&mut agent, &home);
    assert!(agent.turn(&other, "/usage", nothing_asked).text().contains("No tokens"));
}

#[test]
fn c73_no_price_no_cost() {
    let home = Home::scripted(SPENDS);
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let answer = agent.turn(&session, "go", nothing_asked);
    let usages = answer.updates("usage_update");
    assert!(usages.len() == 2 && usages.iter().all(|usage| usage["cost"].is_null()), "{usages:?}");
}

#[test]
fn c74_the_title_comes_with_the_first_turn_and_once() {
    let (home, mut agent) = talking("");
    let (_, session) = opened(&mut agent, &home);
    assert!(agent.turn(&session, "/help", nothing_asked).updates("session_info_update").is_empty());
    let answer = agent.turn(&session, "\n  Fix the typo in main.rs \nand tell me", nothing_asked);
    let titles = answer.updates("session_info_update");
    assert_eq!(titles.len(), 1);
    assert_eq!(titles[0]["title"], "Fix the typo in main.rs");
    assert!(
        agent.turn(&session, "And now?", nothing_asked).updates("session_info_update").is_empty()
    );
    let (_, session) = opened(&mut agent, &home);
    let answer = agent.turn(&session, &"wörter ".repeat(100), nothing_asked);
    let title = answer.updates("session_info_update")[0]["title"].as_str().unwrap().to_owned();
    assert!(title.chars().count() <= 60 && title.ends_with("wörter…"), "{title}");
}

#[test]
fn c75_a_client_that_says_nothing_of_itself_gets_the_basic_updates_only() {
    let home = Home::scripted(
        r#"
        when any
          think "Let me see."
          say "Looking."
          call plan {"entries": [{"content": "Look", "status": "in_progress"}]}
          call read {"path": "a.txt"}
          call write {"path": "b.txt", "content": "b\n"}
          call terminal {"command": "echo hello"}
          usage input=10 output=5
        then
          say "Done."
        "#,
    );
    home.write("a.txt", "content\n");
    let mut agent = Agent::ready(&home);
    let session = agent.new_session(&home);
    let mut kinds: BTreeSet<String> = BTreeSet::new();
    let (before, commands) = agent.wait_for_update("available_commands_update");
    let mut answers = vec![agent.turn(&session, "go", allow), agent.set_mode(&session, "plan")];
    answers.push(agent.turn(&session, "/mode ask", nothing_asked));
    let messages =
        answers.iter().flat_map(|answer| &answer.before).chain(&before).chain([&commands]);
    for message in messages {
        match message["method"].as_str() {
            Some("session/update") => {
                let kind = message["params"]["update"]["sessionUpdate"].as_str().unwrap();
                kinds.insert(kind.to_owned());
            }
            Some("session/request_permission") | None => {}
            Some(method) => panic!("the client did not advertise `{method}`: {message}"),
        }
    }
    let known = [
        "agent_message_chunk",
        "agent_thought_chunk",
        "available_commands_update",
        "config_option_update",
        "current_mode_update",
        "plan",
        "session_info_update",
        "tool_call",
        "tool_call_update",
        "usage_update",
    ];
    assert_eq!(kinds.iter().map(String::as_str).collect::<Vec<_>>(), known);
}
