//! An agent whose model is the provider on loopback, in either dialect, for tests that block: the
//! server has a runtime of its own.

use std::future::Future;

use tokio::runtime::Runtime;

use super::agent::{Agent, Client};
use super::home::Home;
use super::provider::{Gate, Provider, Reply};
use serde_json::{Value, json};

/// The key that the agent is given; it must never be shown.
pub(crate) const KEY: &str = "sk-loopback-0123456789";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Openai,
    Anthropic,
}

impl Dialect {
    pub(crate) const BOTH: [Self; 2] = [Self::Openai, Self::Anthropic];
}

pub(crate) struct Served {
    pub(crate) provider: Provider,
    pub(crate) home: Home,
    dialect: Dialect,
    /// `TALARIA_API_KEY` of agents.
    pub(crate) keys: String,
    /// Holds the tasks of tests that want it so; it is open at first.
    pub(crate) hold: Gate,
    // Dropped last: the provider runs in it.
    runtime: Runtime,
}

impl Served {
    pub(crate) fn new(dialect: Dialect) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let provider = runtime.block_on(Provider::start());
        let hold = Gate::new();
        hold.open();
        Self { provider, home: Home::empty(), dialect, keys: KEY.to_owned(), hold, runtime }
    }

    /// An agent that was greeted by a client with `capabilities`.
    pub(crate) fn agent_with(&self, capabilities: &Value) -> Agent {
        let mut agent = self.start();
        agent.initialize(capabilities);
        agent
    }

    /// An agent that was greeted by this client.
    pub(crate) fn agent_as(&self, client: Client) -> Agent {
        let mut agent = self.start();
        agent.initialize_as(client, &json!({}));
        agent
    }

    fn start(&self) -> Agent {
        let mut command = self.home.command();
        let dialect = match self.dialect {
            Dialect::Openai => "openai",
            Dialect::Anthropic => "anthropic",
        };
        command
            .env("TALARIA_PROVIDER", dialect)
            .env("TALARIA_MODEL", "some-model")
            .env("TALARIA_BASE_URL", self.provider.url())
            .env("TALARIA_API_KEY", &self.keys);
        Agent::spawn(command)
    }

    pub(crate) fn agent(&self) -> Agent {
        self.agent_with(&json!({}))
    }

    /// An empty reply in the dialect of this provider.
    pub(crate) fn reply(&self) -> Reply {
        match self.dialect {
            Dialect::Openai => Reply::openai(),
            Dialect::Anthropic => Reply::anthropic(),
        }
    }

    /// Queues a reply that says `text`.
    pub(crate) fn says(&self, text: &str) {
        self.provider.queue(self.reply().text(text).usage(10, 2, 0));
    }

    /// Waits for something of the provider.
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// The body of a request, from 0.
    pub(crate) fn body(&self, number: usize) -> Value {
        self.provider.requests()[number].body.clone()
    }
}
