//! Which model does a task: what its call asks for, before `delegation`, before the model of its session.

use super::{Chain, Choice, Endpoint, SCRIPTED, choose, given};
use crate::config::{DelegationSection, ModelSection};
use crate::fault::{Fault, Kind};
use crate::model::Model;
use crate::model::chain::Link;

impl Choice {
    /// The choice for a task of a session that has this one. `model` is what the task's call asks for. The
    /// task shares the keys of its session where it goes to the same endpoint. The error says only why: which
    /// model it is that cannot be used is for the caller to say.
    pub fn for_task(
        &self,
        delegation: &DelegationSection,
        model: Option<&str>,
    ) -> Result<Self, Fault> {
        let wished = given(model);
        // A call could read any file with it.
        if wished.is_some_and(|name| name.starts_with(SCRIPTED)) {
            return Err(Fault::new(Kind::User, "a task cannot be given a script as its model")
                .with_hint("Name a model of the provider, or leave `model` out."));
        }
        let name = wished.or(given(delegation.model.as_deref()));
        let choice = match self.elsewhere(delegation)? {
            Some(section) => {
                let name = name.map(str::to_owned);
                let section = ModelSection { name, ..section };
                choose(&section, &self.sources).map_err(of_tasks)?
            }
            None => self
                .apart()
                .with_model_or(name.unwrap_or(&self.name), Fault::clone)
                .map_err(of_tasks)?,
        };
        let choice = Self { is_of_task: true, ..choice };
        choice.with_fallback(&delegation.fallback)
    }

    /// The provider of tasks, where it is another one than that of their session, or has keys of its own.
    fn elsewhere(&self, delegation: &DelegationSection) -> Result<Option<ModelSection>, Fault> {
        let address = given(delegation.base_url.as_deref());
        if delegation.provider.is_none() && address.is_none() {
            return Ok(None);
        }
        let here = self.base.as_ref().ok().map(super::Provider::endpoint);
        if delegation.api_key.is_none()
            && let Some(here) = here
        {
            let kind = delegation.provider.unwrap_or(here.kind);
            let is_here = match address {
                Some(address) => {
                    let there = Endpoint::at(kind, address, None).map_err(of_tasks)?;
                    (there.kind, &there.base_url) == (here.kind, &here.base_url)
                }
                None => kind == here.kind,
            };
            if is_here {
                return Ok(None);
            }
        }
        Ok(Some(ModelSection {
            // Where only the address is another one, the dialect is not.
            provider: delegation.provider.or(here.map(|here| here.kind)),
            base_url: address.map(str::to_owned),
            api_key: delegation.api_key.clone(),
            ..ModelSection::default()
        }))
    }

    /// The same for another conversation.
    fn apart(&self) -> Self {
        let base = self.base.as_ref().map(super::Provider::apart).map_err(Clone::clone);
        let own = if let Model::Chain(chain) = &self.model { chain.first() } else { &self.model };
        let model = match (own, &base) {
            (Model::Provider(_), Ok(provider)) => Model::Provider(provider.clone()),
            (own, _) => own.clone(),
        };
        Self { model, base, ..self.clone() }
    }

    fn with_fallback(self, names: &[String]) -> Result<Self, Fault> {
        let mut others: Vec<Link> = Vec::new();
        for name in names.iter().filter_map(|name| given(Some(name))) {
            if name != self.name && others.iter().all(|other| other.name != name) {
                let model = self.with_model(name).map_err(of_tasks)?.model;
                others.push(Link { name: name.to_owned(), model });
            }
        }
        if others.is_empty() {
            return Ok(self);
        }
        let first = Link { name: self.name.clone(), model: self.model.clone() };
        Ok(Self { model: Model::Chain(Chain::new(first, others)), ..self })
    }
}

/// The same with what to do for who set up the model of tasks.
fn of_tasks(fault: Fault) -> Fault {
    fault.with_hint(
        "Check `model`, `provider`, `base_url`, `api_key` and `fallback` of `delegation` in `config.yaml`; \
         without a key there, the variable of the provider is used.",
    )
}
