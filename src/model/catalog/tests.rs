//! Which model is chosen, from what.

use expect_test::{Expect, expect};

use super::*;

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
                    let Endpoint { kind, base_url, key } = provider.endpoint();
                    format!("{kind:?} {base_url} {}", key.as_ref().map_or("-", |key| key.reveal()))
                }
                Model::Scripted(_) => "scripted".to_owned(),
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
    let by_key =
        expect!["claude-sonnet-4-5 Anthropic https://api.anthropic.com/v1/ sk-ant-1 200000"];
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
    for key in ["sk-\u{435}1", "sk-\n1", "first, sk-\u{435}1"] {
        let is_first = !key.starts_with("first");
        let choice =
            chosen(&config(|model| model.api_key = Some(Secret::new(key))), &keys(None, None));
        assert_eq!(choice.is_err(), is_first, "{key}");
        if is_first {
            expected.assert_eq(&show(&choice));
        }
    }
    check(|_| {}, &keys(Some("sk-\u{435}1"), None), &expected);
}
