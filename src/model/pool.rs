//! Several keys for one provider: which key a request takes, and what becomes of a key that fails. All
//! sessions of the process and their tasks share what is known of the keys of one endpoint. It sends
//! nothing; the rules are in `state`, and what one request does about a failure in `rotation`.

mod rotation;
mod state;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::ModelError;
use crate::clock::{Clock, Timestamp};
use crate::config::{ProviderKind, Secret};
use crate::fault::{Fault, Kind};

pub(super) use rotation::Rotation;
use state::{PoolState, Why};

/// The keys of all endpoints. Cheap to clone; clones share what is known.
///
/// A lock and no actor: keys are, like the connections beside them, a resource at the edge. They are taken
/// and given back where streams are polled and dropped, which can wait for nobody, and the lock is held for
/// a few comparisons.
#[derive(Debug, Clone)]
pub struct Pools {
    shared: Arc<Mutex<Shared>>,
    clock: Clock,
}

#[derive(Debug, Default)]
struct Shared {
    pools: Vec<Pool>,
    /// What the user should be told, by the pool that it is about.
    news: Vec<(usize, String)>,
}

/// The keys of one endpoint.
#[derive(Debug)]
struct Pool {
    kind: ProviderKind,
    base_url: String,
    state: PoolState,
}

impl Pools {
    pub fn new(clock: Clock) -> Self {
        Self { shared: Arc::default(), clock }
    }

    /// The keys that may be used at an endpoint, in their order. `host` names it in messages.
    pub(super) fn keys(
        &self,
        (kind, base_url): (ProviderKind, &str),
        keys: &[Secret],
        host: String,
    ) -> Keys {
        let mut shared = self.lock();
        let known =
            shared.pools.iter().position(|pool| pool.kind == kind && pool.base_url == base_url);
        let at = known.unwrap_or_else(|| {
            let pool = Pool { kind, base_url: base_url.to_owned(), state: PoolState::default() };
            shared.pools.push(pool);
            shared.pools.len() - 1
        });
        let mut mine = Vec::new();
        for key in keys {
            if let Some(pool) = shared.pools.get_mut(at) {
                let key = pool.state.add(key);
                if !mine.contains(&key) {
                    mine.push(key);
                }
            }
        }
        drop(shared);
        let last = Arc::new(AtomicUsize::new(usize::MAX));
        Keys { pools: self.clone(), pool: at, mine: mine.into(), last, host }
    }

    /// What the user does not know yet of keys that were set aside. It is given once.
    pub(super) fn take_notice(&self) -> Option<Fault> {
        let news = std::mem::take(&mut self.lock().news);
        let news: Vec<String> = news.into_iter().map(|(_, news)| news).collect();
        (!news.is_empty()).then(|| {
            Fault::new(Kind::Auth, news.join("; ")).with_hint(
                "The other keys are used in its place. Check it where the keys are set: in \
                 `TALARIA_API_KEY`, in `config.yaml` or in the provider's own variable.",
            )
        })
    }

    /// Lets every key be tried again: the user says that something has changed.
    pub(super) fn forget(&self) {
        let mut shared = self.lock();
        shared.news.clear();
        for pool in &mut shared.pools {
            pool.state.forget();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keys that one session uses at an endpoint. Clones go on with the key that was used last, where that
/// costs nothing: a provider caches a conversation for the account that began it.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pools: Pools,
    pool: usize,
    /// Which keys of the pool.
    mine: Arc<[usize]>,
    last: Arc<AtomicUsize>,
    host: String,
}

impl Keys {
    pub(super) fn len(&self) -> usize {
        self.mine.len()
    }

    /// The same keys for another conversation.
    pub(super) fn apart(&self) -> Self {
        Self { last: Arc::new(AtomicUsize::new(usize::MAX)), ..self.clone() }
    }

    /// Takes the key with the fewest running requests. Nothing is taken where there are no keys.
    fn lease(&self, model: &str) -> Result<Option<Lease>, ModelError> {
        if self.mine.is_empty() {
            return Ok(None);
        }
        let last = self.last.load(Ordering::Relaxed);
        match self.with(|state, now| state.lease(&self.mine, last, (model, now))) {
            Some((key, secret)) => {
                self.last.store(key, Ordering::Relaxed);
                Ok(Some(Lease { keys: self.clone(), key, secret }))
            }
            None => Err(self.none(model)),
        }
    }

    /// Asks something of the pool's rules.
    fn with<T: Default>(&self, ask: impl FnOnce(&mut PoolState, Timestamp) -> T) -> T {
        let now = self.pools.clock.now();
        let mut shared = self.pools.lock();
        shared.pools.get_mut(self.pool).map(|pool| ask(&mut pool.state, now)).unwrap_or_default()
    }

    /// The error when every key is set aside. It says of each why, so there is nothing left to tell.
    fn none(&self, model: &str) -> ModelError {
        let resting = self.with(|state, now| state.resting(&self.mine, (model, now)));
        self.pools.lock().news.retain(|(pool, _)| *pool != self.pool);
        let reasons: Vec<String> = resting
            .iter()
            .enumerate()
            .map(|(at, resting)| format!("key {} {}", at + 1, resting.why.in_words()))
            .collect();
        ModelError::NoKey {
            keys: self.mine.len(),
            after: resting.iter().map(|resting| resting.wait).min().unwrap_or_default(),
            are_refused: resting.iter().all(|resting| resting.why == Why::Refused),
            message: reasons.join(", "),
        }
    }
}

/// A key that a running request uses. Dropping it gives the key back.
#[derive(Debug)]
struct Lease {
    keys: Keys,
    key: usize,
    secret: Secret,
}

impl Lease {
    fn is_resting(&self, model: &str) -> bool {
        self.keys.with(|state, now| state.is_resting(self.key, (model, now)))
    }

    /// The key did its work.
    fn worked(&self, model: &str) {
        self.keys.with(|state, now| state.worked(self.key, (model, now)));
    }

    /// Sets the key aside; what only the user can mend is told.
    fn set_aside(&self, model: &str, why: Why, after: Option<Duration>, error: &ModelError) {
        let place = self.keys.mine.iter().position(|key| *key == self.key).unwrap_or_default() + 1;
        let key = format!("{place} of {}", self.keys.mine.len());
        let (host, why_in_words) = (&self.keys.host, why.in_words());
        let (rest, is_news) =
            self.keys.with(|state, now| state.set_aside(self.key, (model, now), why, after));
        tracing::warn!(host, key, model, ?rest, %error, "a key {why_in_words} and is set aside");
        if is_news {
            let news = format!("key {key} for `{host}` {why_in_words} and is set aside");
            self.keys.pools.lock().news.push((self.keys.pool, news));
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.keys.with(|state, _| state.give_back(self.key));
    }
}
