//! The one HTTP client, built beside the start: making it costs milliseconds that nobody waits for.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use reqwest::{NoProxy, Proxy, Url};

use super::Endpoint;
use crate::clock::Clock;
use crate::config::Proxies;
use crate::fault::Fault;
use crate::model::pool::Pools;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The client, or the promise of one, with the keys that its requests take. Cheap to clone; all clones share
/// its connections, and what is known of the keys.
#[derive(Clone)]
pub struct HttpClient {
    client: Shared<BoxFuture<'static, Option<genai::Client>>>,
    proxies: Arc<Proxies>,
    pools: Pools,
}

impl HttpClient {
    /// Begins to build the client on a thread of its own and returns at once.
    pub fn start() -> Self {
        Self::start_with(Proxies::read())
    }

    /// The same with other proxies than those of the environment.
    pub fn start_with(proxies: Proxies) -> Self {
        let proxies = Arc::new(proxies);
        let own = proxies.clone();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let built = std::thread::Builder::new().name("http-client".to_owned()).spawn(move || {
            // Nobody waits any more: the process ends.
            drop(sender.send(build(&own)));
        });
        if let Err(error) = built {
            tracing::error!(%error, "no thread for building the HTTP client");
        }
        Self {
            client: receiver.map(|built| built.ok().flatten()).boxed().shared(),
            proxies,
            pools: Pools::new(Clock::real()),
        }
    }

    /// The same with another clock for the keys.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { pools: Pools::new(clock), ..self }
    }

    /// Lets keys that were set aside be tried again: the user says that something has changed.
    pub fn try_all_keys(&self) {
        self.pools.forget();
    }

    /// What the user does not know yet of keys that were set aside. It is given once.
    pub(in crate::model) fn take_notice(&self) -> Option<Fault> {
        self.pools.take_notice()
    }

    pub(super) fn pools(&self) -> &Pools {
        &self.pools
    }

    /// The proxy that the environment names for a server, without credentials.
    pub(super) fn proxy(&self, endpoint: &Endpoint) -> Option<String> {
        let url = Url::parse(&endpoint.base_url).ok()?;
        let host = url.host_str()?;
        let mut excepted = self.proxies.none.iter().flat_map(|none| none.split(',')).map(str::trim);
        let is_excepted = |name: &str| {
            let name = name.trim_start_matches('.');
            name == "*" || !name.is_empty() && host.ends_with(name)
        };
        if endpoint.is_loopback() || excepted.any(is_excepted) {
            return None;
        }
        let of_scheme =
            if url.scheme() == "https" { &self.proxies.https } else { &self.proxies.http };
        let address = of_scheme.as_ref().or(self.proxies.all.as_ref())?;
        let address =
            if address.contains("://") { address.clone() } else { format!("http://{address}") };
        Some(Url::parse(&address).ok()?.origin().ascii_serialization())
    }

    /// The client once it is built; `None` if that failed.
    pub(super) async fn client(&self) -> Option<genai::Client> {
        self.client.clone().await
    }
}

/// Servers on this machine: no proxy leads to them.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

fn build(proxies: &Proxies) -> Option<genai::Client> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("talaria/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        // Those of the environment come below, with an exception.
        .no_proxy()
        // A redirect would carry the key to another place.
        .redirect(reqwest::redirect::Policy::none());
    let none = format!("{LOOPBACK},{}", proxies.none.as_deref().unwrap_or_default());
    let rules = [
        proxies.http.as_deref().map(Proxy::http),
        proxies.https.as_deref().map(Proxy::https),
        proxies.all.as_deref().map(Proxy::all),
    ];
    for rule in rules.into_iter().flatten() {
        if let Ok(proxy) = rule {
            builder = builder.proxy(proxy.no_proxy(NoProxy::from_string(&none)));
        } else {
            // The error may quote the address, which may hold a password.
            tracing::warn!("the address of a proxy in the environment cannot be used");
        }
    }
    let client = builder.build().map_err(|error| error.to_string()).and_then(|client| {
        genai::Client::builder().with_reqwest(client).build().map_err(|error| error.to_string())
    });
    client.inspect_err(|error| tracing::error!(%error, "the HTTP client could not be built")).ok()
}
