//! Which model is chosen, from what.

use expect_test::{Expect, expect};

use super::*;
use crate::config::DelegationSection;

fn config(set: impl FnOnce(&mut ModelSection)) -> Config {
    let mut config = Config::default();
    set(&mut config.model);
    config
}

fn chosen(config: &Config, environment: &Environment) -> Result<Choice, Fault> {
    resolve(config, environment, &HttpClient::start())
}

fn show(choice: &Result<Choice, Fault>) -> String {
    match choice {
        Ok(choice) => {
            let endpoint = match &choice.model {
                Model::Provider(provider) => {
                    let Endpoint { kind, base_url, keys } = provider.endpoint();
                    let keys: Vec<_> = keys.iter().map(Secret::reveal).collect();
                    let keys = if keys.is_empty() { "-".to_owned() } else { keys.join("+") };
                    format!("{kind:?} {base_url} {keys}")
                }
                Model::Scripted(_) => "scripted".to_owned(),
                Model::Chain(_) => "a chain".to_owned(),
            };
            format!("{} {endpoint} {}", choice.name, choice.context_window)
        }
        Err(fault) => format!("{:?}: {fault}", fault.kind),
    }
}

fn check(set: impl FnOnce(&mut ModelSection), environment: &Environment, expect: &Expect) {
    expect.assert_eq(&show(&chosen(&config(set), environment)));
}

fn keys(anthropic: Option<&str>, openai: Option<&str>) -> Environment {
    Environment {
        anthropic_api_key: anthropic.map(Secret::new),
        openai_api_key: openai.map(Secret::new),
        ..Environment::default()
    }
}

#[test]
fn nothing_is_configured() {
    let hint = expect![[
        r#"Auth: No model is configured. Set `TALARIA_API_KEY`, and `TALARIA_PROVIDER` (`openai` or `anthropic`), `TALARIA_MODEL` and `TALARIA_BASE_URL` where the defaults do not fit, or write them to `model` in `config.yaml`."#
    ]];
    check(|_| {}, &keys(None, None), &hint);
    let hint = expect![[
        r#"Auth: There is no key for the provider `anthropic`. Set `TALARIA_API_KEY` or `ANTHROPIC_API_KEY`, or `TALARIA_BASE_URL` for a server that needs no key."#
    ]];
    check(|model| model.provider = Some(ProviderKind::Anthropic), &keys(None, Some("o")), &hint);
    let hint = expect![[
        r#"Config: An address is set for the provider, but no model. Set `TALARIA_MODEL` to the name of a model that this server has."#
    ]];
    check(
        |model| model.base_url = Some("http://127.0.0.1:1".to_owned()),
        &keys(Some("a"), None),
        &hint,
    );
}

#[test]
fn the_environment_is_used_where_nothing_is_set() {
    let official = expect!["claude-sonnet-4-5 Anthropic https://api.anthropic.com/v1/ a 200000"];
    check(|_| {}, &keys(Some("a"), Some("o")), &official);
    let official = expect!["gpt-5.1 Openai https://api.openai.com/v1/ o 400000"];
    check(|_| {}, &keys(None, Some("o")), &official);
    let official = expect!["gpt-5.1 Openai https://api.openai.com/v1/ o 400000"];
    check(
        |model| model.provider = Some(ProviderKind::Openai),
        &keys(Some("a"), Some("o")),
        &official,
    );
}

#[test]
fn what_is_set_comes_first() {
    let environment = keys(Some("a"), Some("o"));
    let by_key = expect![
        "claude-sonnet-4-5 Anthropic https://api.anthropic.com/v1/ sk-ant-1+sk-ant-2 200000"
    ];
    check(|model| model.api_key = Some(Secret::new(" sk-ant-1 , sk-ant-2")), &environment, &by_key);
    let by_key = expect!["gpt-5.1 Openai https://api.openai.com/v1/ sk-1 400000"];
    check(|model| model.api_key = Some(Secret::new("sk-1")), &environment, &by_key);
    // The environment's keys are for their own providers, not for another server.
    let local = expect!["qwen Openai http://127.0.0.1:8080/v1/ - 5000"];
    check(
        |model| {
            model.base_url = Some("http://127.0.0.1:8080".to_owned());
            model.name = Some("qwen".to_owned());
            model.context_window = Some(5000);
        },
        &environment,
        &local,
    );
}

#[test]
fn a_script_needs_nothing_else() {
    let name =
        concat!("scripted:", env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/model/echo.script")
            .to_owned();
    let choice =
        chosen(&config(|model| model.name = Some(name.clone())), &Environment::default()).unwrap();
    assert_eq!((&choice.name, &choice.names), (&name, &vec![name.clone()]));
    assert!(matches!(choice.model, Model::Scripted(_)));
    let missing = config(|model| model.name = Some("scripted:/nowhere".to_owned()));
    let fault = chosen(&missing, &Environment::default()).map(|_| ()).unwrap_err();
    assert_eq!(fault.kind, Kind::Config);
}

#[test]
fn switching_keeps_the_provider() {
    let price = Price { input: 1.0, output: 2.0, cached: None };
    let config = config(|model| {
        model.api_key = Some(Secret::new("sk-1"));
        model.choices = vec!["gpt-4.1".to_owned(), "gpt-5.1".to_owned()];
        model.context_window = Some(1000);
        model.price = Some(price);
    });
    let choice = chosen(&config, &Environment::default()).unwrap();
    assert_eq!(choice.names, ["gpt-5.1", "gpt-4.1"]);
    assert_eq!((choice.context_window, choice.price), (1000, Some(price)));
    let other = choice.with_model("gpt-4.1").unwrap();
    assert_eq!(
        (other.name.as_str(), other.context_window, other.price),
        ("gpt-4.1", 1_047_576, None)
    );
    assert_eq!(other.names, choice.names);
    let unlisted = other.with_model("local/claude-x").unwrap();
    assert_eq!((unlisted.names.len(), unlisted.context_window), (3, 200_000));
    assert_eq!(unlisted.with_model("gpt-5.1").unwrap().price, Some(price));
}

#[test]
fn a_script_and_a_real_model_can_be_switched_between() {
    let script =
        concat!("scripted:", env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/model/echo.script");
    let is_scripted = |choice: &Choice| matches!(choice.model, Model::Scripted(_));
    let config = |name: &str, key: Option<&str>| {
        config(|model| {
            model.name = Some(name.to_owned());
            model.api_key = key.map(Secret::new);
        })
    };
    for (first, second) in [("gpt-4.1", script), (script, "gpt-4.1")] {
        let config = config(first, Some("sk-1"));
        let first = chosen(&config, &Environment::default()).unwrap();
        let second = first.with_model(second).unwrap();
        let third = second.with_model(&first.name).unwrap();
        assert_ne!(is_scripted(&first), is_scripted(&second));
        assert_eq!(is_scripted(&first), is_scripted(&third));
    }
    let alone = chosen(&config(script, None), &Environment::default()).unwrap();
    let refused = show(&alone.with_model("gpt-4.1"));
    let expected =
        "Auth: The model `gpt-4.1` cannot be used: no model is configured. Set `TALARIA_API_KEY`,";
    assert!(refused.starts_with(expected), "{refused}");
}

#[test]
fn a_key_that_no_header_can_hold_is_told_and_not_shown() {
    let expected = expect![
        "Auth: The key for the provider cannot be sent: character 4 of it is no ASCII letter, digit or sign. Copy the key again; a letter in it may only look like a Latin one."
    ];
    let shown = |key: &str| {
        let config = config(|model| model.api_key = Some(Secret::new(key)));
        show(&chosen(&config, &keys(None, None)))
    };
    for key in ["sk-\u{435}1", "sk-\n1"] {
        expected.assert_eq(&shown(key));
    }
    let second = shown("first, sk-\u{435}1");
    assert!(second.starts_with("Auth: Key 2 of 2 for the provider cannot be sent"), "{second}");
    check(|_| {}, &keys(Some("sk-\u{435}1"), None), &expected);
}

#[test]
fn each_key_counts_once_and_all_are_of_one_provider() {
    let shown = |keys: &str, provider| {
        let config = config(|model| {
            model.api_key = Some(Secret::new(keys));
            model.provider = provider;
        });
        show(&chosen(&config, &Environment::default()))
    };
    let official = "gpt-5.1 Openai https://api.openai.com/v1/ sk-1+sk-2 400000";
    assert_eq!(shown("sk-1, sk-2 ,sk-1,", None), official);
    let expected = expect![[
        r#"Config: The keys are of different providers. Set `TALARIA_PROVIDER` to `openai` or `anthropic`, and keep only the keys of that provider: all keys are sent to the same one."#
    ]];
    expected.assert_eq(&shown("sk-1,sk-ant-2", None));
    let proxied = "gpt-5.1 Openai https://api.openai.com/v1/ sk-1+sk-ant-2 400000";
    assert_eq!(shown("sk-1,sk-ant-2", Some(ProviderKind::Openai)), proxied);
    let environment = keys(None, Some("o,p"));
    let several = expect!["gpt-5.1 Openai https://api.openai.com/v1/ o+p 400000"];
    check(|_| {}, &environment, &several);
}

/// What does the tasks of a session with this choice.
fn of_task(
    parent: &Choice,
    set: impl FnOnce(&mut DelegationSection),
    model: Option<&str>,
) -> String {
    let mut delegation = DelegationSection::default();
    set(&mut delegation);
    show(&parent.for_task(&delegation, model))
}

#[test]
fn a_task_has_the_model_of_its_call_before_that_of_the_configuration_before_its_sessions() {
    let config = config(|model| {
        model.api_key = Some(Secret::new("sk-1,sk-2"));
        model.name = Some("gpt-4.1".to_owned());
    });
    let parent = chosen(&config, &Environment::default()).unwrap();
    let there = "Openai https://api.openai.com/v1/ sk-1+sk-2";
    let mini = |delegation: &mut DelegationSection| delegation.model = Some(" mini ".to_owned());
    assert_eq!(of_task(&parent, |_| {}, None), format!("gpt-4.1 {there} 1047576"));
    assert_eq!(of_task(&parent, mini, None), format!("mini {there} 128000"));
    assert_eq!(of_task(&parent, mini, Some("gpt-5-nano")), format!("gpt-5-nano {there} 400000"));
    assert_eq!(of_task(&parent, mini, Some(" ")), format!("mini {there} 128000"));
    // What was chosen in the session counts.
    let chosen = parent.with_model("gpt-4o").unwrap();
    assert_eq!(of_task(&chosen, |_| {}, None), format!("gpt-4o {there} 128000"));
    // The same provider, named once more.
    let again = |delegation: &mut DelegationSection| {
        delegation.provider = Some(ProviderKind::Openai);
        delegation.base_url = Some("https://api.openai.com".to_owned());
    };
    assert_eq!(of_task(&parent, again, None), format!("gpt-4.1 {there} 1047576"));
    // A task of the task.
    let task = parent.for_task(&DelegationSection::default(), Some("mini")).unwrap();
    assert_eq!(of_task(&task, |_| {}, None), format!("mini {there} 128000"));
    assert_eq!(of_task(&task, |_| {}, Some("nano")), format!("nano {there} 128000"));
}

#[test]
fn tasks_have_another_provider() {
    let config = config(|model| model.api_key = Some(Secret::new("sk-1")));
    let parent = chosen(&config, &keys(Some("a,b"), None)).unwrap();
    let anthropic = |delegation: &mut DelegationSection| {
        delegation.provider = Some(ProviderKind::Anthropic);
    };
    let official = "claude-sonnet-4-5 Anthropic https://api.anthropic.com/v1/ a+b 200000";
    assert_eq!(of_task(&parent, anthropic, None), official);
    let own = |delegation: &mut DelegationSection| {
        delegation.provider = Some(ProviderKind::Anthropic);
        delegation.api_key = Some(Secret::new("c"));
        delegation.model = Some("claude-haiku".to_owned());
    };
    let official = "claude-haiku Anthropic https://api.anthropic.com/v1/ c 200000";
    assert_eq!(of_task(&parent, own, None), official);
    // Neither the session's key nor the environment's goes to another server.
    let local = |delegation: &mut DelegationSection| {
        delegation.base_url = Some("127.0.0.1:8080".to_owned());
    };
    let there = "qwen Openai http://127.0.0.1:8080/v1/ - 128000";
    assert_eq!(of_task(&parent, local, Some("qwen")), there);
    // A key of its own is used only where the place of it is named.
    let only_key = |delegation: &mut DelegationSection| {
        delegation.api_key = Some(Secret::new("c"));
    };
    let here = "gpt-5.1 Openai https://api.openai.com/v1/ sk-1 400000";
    assert_eq!(of_task(&parent, only_key, None), here);
    let expected = expect![[
        r#"Config: An address is set for the provider, but no model. Check `model`, `provider`, `base_url`, `api_key` and `fallback` of `delegation` in `config.yaml`; without a key there, the variable of the provider is used."#
    ]];
    expected.assert_eq(&of_task(&parent, local, None));
    let bare = chosen(&config_of("sk-1"), &Environment::default()).unwrap();
    let fault = of_task(&bare, anthropic, None);
    let start = "Auth: There is no key for the provider `anthropic`.";
    assert!(fault.starts_with(start), "{fault}");
}

fn config_of(key: &str) -> Config {
    config(|model| model.api_key = Some(Secret::new(key)))
}

#[test]
fn only_the_user_gives_tasks_a_script() {
    let script =
        concat!("scripted:", env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/model/echo.script");
    let parent = chosen(&config_of("sk-1"), &Environment::default()).unwrap();
    let configured =
        |delegation: &mut DelegationSection| delegation.model = Some(script.to_owned());
    assert_eq!(of_task(&parent, configured, None), format!("{script} scripted 128000"));
    let expected = expect![[
        r#"User: A task cannot be given a script as its model. Name a model of the provider, or leave `model` out."#
    ]];
    expected.assert_eq(&of_task(&parent, configured, Some(script)));
    // A session's own script does its tasks, too.
    let scripted = chosen(&config(|model| model.name = Some(script.to_owned())), &keys(None, None));
    assert_eq!(of_task(&scripted.unwrap(), |_| {}, None), format!("{script} scripted 128000"));
}

#[test]
fn fallbacks_make_a_chain_of_one_name() {
    let parent = chosen(&config_of("sk-1"), &Environment::default()).unwrap();
    let several = |delegation: &mut DelegationSection| {
        delegation.fallback = ["gpt-4.1", "gpt-5.1", "", "gpt-4.1"].map(str::to_owned).to_vec();
    };
    assert_eq!(of_task(&parent, several, None), "gpt-5.1 a chain 400000");
    let none =
        |delegation: &mut DelegationSection| delegation.fallback = vec!["gpt-5.1".to_owned()];
    let alone = "gpt-5.1 Openai https://api.openai.com/v1/ sk-1 400000";
    assert_eq!(of_task(&parent, none, None), alone);
    // A task's own tasks have the chain of the configuration, not a chain of chains.
    let mut delegation = DelegationSection::default();
    several(&mut delegation);
    let task = parent.for_task(&delegation, None).unwrap();
    assert_eq!(of_task(&task, |_| {}, None), alone);
    assert_eq!(of_task(&task, several, None), "gpt-5.1 a chain 400000");
}
