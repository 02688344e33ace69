//! The composition root: reads the environment and the configuration once, starts the log and the
//! runtime, and hands the parts to the server. It holds no rules.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::acp::{self, Services, TaskServices};
use crate::clock::Clock;
use crate::config::{self, Environment, Folders, Resolved};
use crate::log;
use crate::session::directory::Directory;
use crate::store::{self, Store, StoreGuard};
use crate::tasks::engine::{MemoryEngine, SqliteEngine, TaskEngine};
use crate::tools::Toolboxes;

/// The version in `Cargo.toml`; `--version`, `initialize` and `/version` say the same.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Two workers: the protocol and the model's stream do not wait for each other; heavy work has threads
/// of its own.
const WORKERS: usize = 2;
/// How long tasks that ignore the end may hold the process up.
const SHUTDOWN: Duration = Duration::from_millis(100);

/// What a process needs whatever it does.
pub struct App {
    pub environment: Environment,
    pub folders: Folders,
    /// The user's configuration; a session reads its own, with its project's.
    pub resolved: Resolved,
}

impl App {
    pub fn read() -> Self {
        let environment = Environment::read();
        let folders = Folders::of(&environment);
        let resolved = config::load(&environment, &folders, None);
        Self { environment, folders, resolved }
    }

    /// Serves ACP on standard input and output until the client is done.
    pub fn serve(self) -> anyhow::Result<()> {
        let guard = log::init(&self.folders, &self.resolved.config.log, &self.resolved.keys);
        for warning in guard.warnings() {
            tracing::warn!("{warning}");
        }
        tracing::info!(version = VERSION, "started");
        let trace = guard.wire();
        let (store, store_guard) = open_store(&self.folders, &self.resolved);
        let services = Services {
            environment: self.environment,
            folders: self.folders,
            tasks: task_services(&store, &self.resolved),
            toolboxes: Toolboxes::default(),
            directory: Directory::default(),
            store,
            version: VERSION,
        };
        let result = block_on(async move {
            let stop = CancellationToken::new();
            let signalled = stop.clone();
            let served = acp::serve(services, std::io::stdin(), std::io::stdout(), trace, stop);
            tokio::select! {
                result = on_worker(served) => result,
                () = cancel_on_signal(signalled) => Ok(()),
            }
        });
        drop(store_guard);
        tracing::info!("ended");
        drop(guard);
        result
    }
}

/// The store as the configuration wants it. Nothing is opened yet.
pub fn open_store(folders: &Folders, resolved: &Resolved) -> (Store, Option<StoreGuard>) {
    if !resolved.config.store.enabled {
        return (Store::off(), None);
    }
    let settings = store::Settings { folder: folders.state.clone(), clock: Clock::real() };
    let (store, guard) = Store::start(settings);
    (store, Some(guard))
}

/// What tasks are kept by and share: the store's database, or this process's memory where nothing is
/// stored. Nothing is opened yet.
fn task_services(store: &Store, resolved: &Resolved) -> TaskServices {
    let clock = Clock::real();
    let engine: Arc<dyn TaskEngine> = if store.is_on() {
        Arc::new(SqliteEngine::new(store.clone(), clock.clone()))
    } else {
        Arc::new(MemoryEngine::new(clock.clone()))
    };
    let most = usize::try_from(resolved.config.delegation.max_process).unwrap_or(usize::MAX);
    let slots = Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS)));
    TaskServices { engine, clock, slots }
}

/// Runs `future` on a runtime of its own.
pub fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let result = runtime.block_on(future);
    runtime.shutdown_timeout(SHUTDOWN);
    result
}

/// Runs a future on a worker: the thread of `block_on` is none, and each wake would cross threads.
#[expect(clippy::disallowed_methods, reason = "awaited right here, so it cannot be lost")]
async fn on_worker(
    future: impl Future<Output = anyhow::Result<()>> + Send + 'static,
) -> anyhow::Result<()> {
    tokio::spawn(future).await.context("the server ended because of a defect")?
}

/// Fires `stop` when the process is asked to end, then never resolves: the server ends by itself.
async fn cancel_on_signal(stop: CancellationToken) {
    match asked_to_end().await {
        Ok(()) => stop.cancel(),
        Err(error) => tracing::warn!(%error, "signals cannot be watched"),
    }
    std::future::pending::<()>().await;
}

#[cfg(unix)]
async fn asked_to_end() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[cfg(not(unix))]
async fn asked_to_end() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}
