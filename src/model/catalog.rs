//! Which model answers: from the configuration and the environment to a model that can be asked, with
//! what is known of it. It sends nothing.

use std::path::Path;

use super::Model;
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
}

/// The model that the configuration names. Only the file of a scripted model is read.
pub fn resolve(
    config: &Config,
    environment: &Environment,
    http: &HttpClient,
) -> Result<Choice, Fault> {
    let section = &config.model;
    let configured = section.name.as_deref().map(str::trim).filter(|name| !name.is_empty());
    let base = endpoint(section, environment).map(|endpoint| Provider::new(endpoint, http.clone()));
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
    })
}

impl Choice {
    /// Another model of the provider, or another script.
    pub fn with_model(&self, name: &str) -> Result<Self, Fault> {
        let model = match &self.base {
            _ if name == self.name => self.model.clone(),
            _ if name.starts_with(SCRIPTED) => scripted(name)?,
            Ok(provider) => Model::Provider(provider.clone()),
            Err(fault) => {
                let message = format!("the model `{name}` cannot be used: {}", fault.message);
                return Err(Fault { message, ..fault.clone() });
            }
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
            base: self.base.clone(),
            section: self.section.clone(),
        })
    }
}

fn scripted(name: &str) -> Result<Model, Fault> {
    let file = name.strip_prefix(SCRIPTED).unwrap_or(name);
    Scripted::open(Path::new(file)).map(Model::Scripted)
}

fn endpoint(section: &ModelSection, environment: &Environment) -> Result<Endpoint, Fault> {
    let endpoint = find(section, environment)?;
    // What cannot stand in a header would fail at the first prompt, and the words of the failure would
    // not say why.
    let is_sendable = |letter: char| matches!(letter, ' '..='~');
    let bad = endpoint
        .key
        .as_ref()
        .and_then(|key| key.reveal().chars().position(|letter| !is_sendable(letter)));
    match bad {
        Some(at) => Err(Fault::new(
            Kind::Auth,
            format!("the key for the provider cannot be sent: character {} of it is no ASCII letter, digit or sign", at + 1),
        )
        .with_hint("Copy the key again; a letter in it may only look like a Latin one.")),
        None => Ok(endpoint),
    }
}

fn find(section: &ModelSection, environment: &Environment) -> Result<Endpoint, Fault> {
    let key = section.api_key.as_ref().and_then(first_key);
    let address = section.base_url.as_deref().map(str::trim).filter(|address| !address.is_empty());
    if let Some(address) = address {
        let kind = section
            .provider
            .or_else(|| key.as_ref().map(ProviderKind::of_key))
            .unwrap_or(ProviderKind::Openai);
        return Endpoint::at(kind, address, key);
    }
    if let Some(key) = key {
        return Ok(Endpoint::official(
            section.provider.unwrap_or_else(|| ProviderKind::of_key(&key)),
            key,
        ));
    }
    let from_environment = |kind| {
        let key = match kind {
            ProviderKind::Anthropic => &environment.anthropic_api_key,
            ProviderKind::Openai => &environment.openai_api_key,
        };
        key.as_ref().and_then(first_key).map(|key| Endpoint::official(kind, key))
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

/// The first of several keys that commas separate.
fn first_key(keys: &Secret) -> Option<Secret> {
    keys.parts().next()
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
