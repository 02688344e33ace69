//! Which model answers: from the configuration and the environment to a model that can be asked, with
//! what is known of it. It sends nothing.

mod task;

use std::path::Path;
use std::sync::Arc;

use super::Model;
use super::chain::Chain;
use super::provider::{Endpoint, HttpClient, Provider};
use super::scripted::Scripted;
use crate::config::{Config, Environment, ModelSection, Price, ProviderKind, Secret};
use crate::fault::{Fault, Kind};

/// What stands before the file in the name of a scripted model.
const SCRIPTED: &str = "scripted:";

/// The context of models that are not in `CONTEXT_WINDOWS`, in tokens.
const CONTEXT_WINDOW: u64 = 128_000;

/// Contexts in tokens by the beginning of the name, the longer beginning first.
const CONTEXT_WINDOWS: &[(&str, u64)] = &[
    ("claude", 200_000),
    ("gpt-5", 400_000),
    ("gpt-4.1", 1_047_576),
    ("gpt-4o", 128_000),
    ("o1", 200_000),
    ("o3", 200_000),
    ("o4", 200_000),
    ("gemini", 1_048_576),
    ("grok-4", 256_000),
    ("kimi-k2", 256_000),
    ("glm-4", 200_000),
    ("qwen3", 256_000),
    ("deepseek", 128_000),
];

/// A model that can be asked, with what is known of it. Cheap to clone.
#[derive(Clone)]
pub struct Choice {
    pub model: Model,
    /// What `Request::model` says.
    pub name: String,
    /// What a user may choose from; it holds `name`.
    pub names: Vec<String>,
    /// In tokens.
    pub context_window: u64,
    /// Absent where it is not configured for this model.
    pub price: Option<Price>,
    /// What answers to every name that is no script, or why nothing does.
    base: Result<Provider, Fault>,
    section: ModelSection,
    sources: Arc<Sources>,
    /// A task has no user to tell anything.
    is_of_task: bool,
}

/// What other choices are made of.
struct Sources {
    http: HttpClient,
    anthropic_api_key: Option<Secret>,
    openai_api_key: Option<Secret>,
}

/// What is known of the model that answered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answered<'a> {
    pub name: &'a str,
    pub context_window: u64,
    pub price: Option<Price>,
}

/// The model that the configuration names. Only the file of a scripted model is read.
pub fn resolve(
    config: &Config,
    environment: &Environment,
    http: &HttpClient,
) -> Result<Choice, Fault> {
    let sources = Sources {
        http: http.clone(),
        anthropic_api_key: environment.anthropic_api_key.clone(),
        openai_api_key: environment.openai_api_key.clone(),
    };
    choose(&config.model, &Arc::new(sources))
}

fn choose(section: &ModelSection, sources: &Arc<Sources>) -> Result<Choice, Fault> {
    let configured = given(section.name.as_deref());
    let base =
        endpoint(section, sources).map(|endpoint| Provider::new(endpoint, sources.http.clone()));
    let (model, name) = match (configured, &base) {
        (Some(name), _) if name.starts_with(SCRIPTED) => (scripted(name)?, name.to_owned()),
        (_, Err(fault)) => return Err(fault.clone()),
        (Some(name), Ok(provider)) => (Model::Provider(provider.clone()), name.to_owned()),
        (None, Ok(provider)) => {
            let name = default_name(section, provider.endpoint().kind)?.to_owned();
            (Model::Provider(provider.clone()), name)
        }
    };
    let mut names = vec![name.clone()];
    for choice in &section.choices {
        if !names.contains(choice) {
            names.push(choice.clone());
        }
    }
    let section = ModelSection { name: Some(name.clone()), ..section.clone() };
    Ok(Choice {
        model,
        context_window: context_window(&section, &name),
        price: section.price,
        name,
        names,
        base,
        section,
        sources: sources.clone(),
        is_of_task: false,
    })
}

/// What is set: a text that is empty is not.
fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

impl Choice {
    /// Another model of the provider, or another script.
    pub fn with_model(&self, name: &str) -> Result<Self, Fault> {
        self.with_model_or(name, |fault| {
            let message = format!("the model `{name}` cannot be used: {}", fault.message);
            Fault { message, ..fault.clone() }
        })
    }

    /// The same; `why` says it where there is no provider.
    fn with_model_or(&self, name: &str, why: impl FnOnce(&Fault) -> Fault) -> Result<Self, Fault> {
        let model = match &self.base {
            _ if name == self.name => self.model.clone(),
            _ if name.starts_with(SCRIPTED) => scripted(name)?,
            Ok(provider) => Model::Provider(provider.clone()),
            Err(fault) => return Err(why(fault)),
        };
        let is_configured = self.section.name.as_deref() == Some(name);
        let mut names = self.names.clone();
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
        Ok(Self {
            model,
            name: name.to_owned(),
            names,
            context_window: context_window(&self.section, name),
            price: self.section.price.filter(|_| is_configured),
            ..self.clone()
        })
    }

    /// What answered the last request: one of a task's fallbacks may have.
    pub fn answered(&self) -> Answered<'_> {
        match &self.model {
            Model::Chain(chain) if chain.answered() != self.name => {
                let name = chain.answered();
                Answered { name, context_window: context_window(&self.section, name), price: None }
            }
            Model::Chain(_) | Model::Provider(_) | Model::Scripted(_) => Answered {
                name: &self.name,
                context_window: self.context_window,
                price: self.price,
            },
        }
    }

    /// How many keys its requests can use. None where it is a script.
    pub fn keys(&self) -> usize {
        match (&self.model, &self.base) {
            (Model::Provider(_), Ok(provider)) => provider.endpoint().keys.len(),
            _ => 0,
        }
    }

    /// What the user does not know yet of keys that were set aside, by any session or task of the process.
    /// It is given once, and not to a task.
    pub fn take_notice(&self) -> Option<Fault> {
        if self.is_of_task { None } else { self.sources.http.take_notice() }
    }
}

fn scripted(name: &str) -> Result<Model, Fault> {
    let file = name.strip_prefix(SCRIPTED).unwrap_or(name);
    Scripted::open(Path::new(file)).map(Model::Scripted)
}

fn endpoint(section: &ModelSection, sources: &Sources) -> Result<Endpoint, Fault> {
    let endpoint = find(section, sources)?;
    // What cannot stand in a header would fail at the first prompt, and the words of the failure would
    // not say why.
    let is_sendable = |letter: char| matches!(letter, ' '..='~');
    let bad = |key: &Secret| key.reveal().chars().position(|letter| !is_sendable(letter));
    let first = endpoint.keys.iter().enumerate().find_map(|(at, key)| Some((at, bad(key)?)));
    match first {
        Some((at, letter)) => {
            let key = match endpoint.keys.len() {
                1 => "the key".to_owned(),
                count => format!("key {} of {count}", at + 1),
            };
            let letter = letter + 1;
            Err(Fault::new(
                Kind::Auth,
                format!("{key} for the provider cannot be sent: character {letter} of it is no ASCII letter, digit or sign"),
            )
            .with_hint("Copy the key again; a letter in it may only look like a Latin one."))
        }
        None => Ok(endpoint),
    }
}

fn find(section: &ModelSection, sources: &Sources) -> Result<Endpoint, Fault> {
    let keys = keys_of(section.api_key.as_ref());
    if let Some(address) = given(section.base_url.as_deref()) {
        let kind = section
            .provider
            .or_else(|| keys.first().map(ProviderKind::of_key))
            .unwrap_or(ProviderKind::Openai);
        return Endpoint::at(kind, address, keys);
    }
    if let Some(first) = keys.first() {
        let kind = ProviderKind::of_key(first);
        if section.provider.is_none() && keys.iter().any(|key| ProviderKind::of_key(key) != kind) {
            return Err(Fault::new(Kind::Config, "the keys are of different providers").with_hint(
                "Set `TALARIA_PROVIDER` to `openai` or `anthropic`, and keep only the keys of that provider: \
                 all keys are sent to the same one.",
            ));
        }
        return Ok(Endpoint::official(section.provider.unwrap_or(kind), keys));
    }
    let from_environment = |kind| {
        let keys = keys_of(match kind {
            ProviderKind::Anthropic => sources.anthropic_api_key.as_ref(),
            ProviderKind::Openai => sources.openai_api_key.as_ref(),
        });
        (!keys.is_empty()).then(|| Endpoint::official(kind, keys))
    };
    match section.provider {
        Some(kind) => from_environment(kind).ok_or_else(|| {
            let (name, variable) = match kind {
                ProviderKind::Anthropic => ("anthropic", "ANTHROPIC_API_KEY"),
                ProviderKind::Openai => ("openai", "OPENAI_API_KEY"),
            };
            Fault::new(Kind::Auth, format!("there is no key for the provider `{name}`")).with_hint(format!(
                "Set `TALARIA_API_KEY` or `{variable}`, or `TALARIA_BASE_URL` for a server that needs no key."
            ))
        }),
        None => from_environment(ProviderKind::Anthropic)
            .or_else(|| from_environment(ProviderKind::Openai))
            .ok_or_else(not_configured),
    }
}

fn not_configured() -> Fault {
    Fault::new(Kind::Auth, "no model is configured").with_hint(
        "Set `TALARIA_API_KEY`, and `TALARIA_PROVIDER` (`openai` or `anthropic`), `TALARIA_MODEL` and \
         `TALARIA_BASE_URL` where the defaults do not fit, or write them to `model` in `config.yaml`.",
    )
}

/// Each of the keys once, in their order.
fn keys_of(keys: Option<&Secret>) -> Vec<Secret> {
    let mut each: Vec<Secret> = Vec::new();
    for key in keys.into_iter().flat_map(Secret::parts) {
        if !each.contains(&key) {
            each.push(key);
        }
    }
    each
}

/// Another server's models are unknown, so there is no default for them.
fn default_name(section: &ModelSection, kind: ProviderKind) -> Result<&str, Fault> {
    match (&section.base_url, kind) {
        (Some(address), _) if !address.trim().is_empty() => {
            section.choices.first().map(String::as_str).ok_or_else(|| {
                Fault::new(Kind::Config, "an address is set for the provider, but no model")
                    .with_hint("Set `TALARIA_MODEL` to the name of a model that this server has.")
            })
        }
        (_, ProviderKind::Anthropic) => Ok("claude-sonnet-4-5"),
        (_, ProviderKind::Openai) => Ok("gpt-5.1"),
    }
}

/// What is configured holds for the configured model, and for those that nothing is known of.
fn context_window(section: &ModelSection, name: &str) -> u64 {
    let known = known_window(name);
    if section.name.as_deref() == Some(name) {
        section.context_window.or(known).unwrap_or(CONTEXT_WINDOW)
    } else {
        known.or(section.context_window).unwrap_or(CONTEXT_WINDOW)
    }
}

fn known_window(name: &str) -> Option<u64> {
    // Routers put the maker before the name: `anthropic/claude-…`.
    let name = name.rsplit('/').next().unwrap_or(name);
    CONTEXT_WINDOWS.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, window)| *window)
}

#[cfg(test)]
mod tests;
