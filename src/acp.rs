//! The Agent Client Protocol on one side, session handles on the other. It translates and decides
//! nothing: `transport` guards the pipe, `handler` and `dispatch` find the method, `setup` and `stored` serve those
//! of sessions that last, `inbound` and `project` convert, `open` and `replay` bring a session to life, `flow` brings
//! its words to the client in order, `carried` through the SDK, `children` those of sessions that do tasks,
//! `extension` serves what is not the protocol's own, `events` tells how tasks stand, `client` is the editor's
//! files and terminals.

pub mod lines;

mod carried;
mod children;
mod client;
mod dispatch;
mod events;
mod extension;
mod flow;
mod frames;
mod handler;
mod inbound;
mod open;
mod profiles;
mod project;
mod replay;
mod sessions;
mod setup;
mod stored;
mod transport;

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use agent_client_protocol::Agent;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::{Environment, Folders};
use crate::event::Event;
use crate::log::WireTrace;
use crate::session::directory::Directory;
use crate::store::Store;
use crate::tasks::engine::TaskEngine;
use crate::tools::Toolboxes;

/// How long open prompts may take to end when the client has gone.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long what was said then may take to be written.
const LAST_LINES: Duration = Duration::from_millis(500);

/// The `update` objects that say an event, in order: for who shows a stored session.
pub fn updates_of(event: Event) -> Vec<serde_json::Value> {
    let updates = project::v1::updates(event);
    updates.iter().filter_map(|update| serde_json::to_value(update).ok()).collect()
}

/// What the server needs of the process.
#[derive(Clone)]
pub struct Services {
    pub environment: Environment,
    pub folders: Folders,
    pub store: Store,
    pub tasks: TaskServices,
    pub toolboxes: Toolboxes,
    /// The sessions that are open, for those who are not the client.
    pub directory: Directory,
    pub version: &'static str,
}

/// What the tasks of all sessions have in common.
#[derive(Clone)]
pub struct TaskServices {
    pub engine: Arc<dyn TaskEngine>,
    pub clock: Clock,
    /// Places among the running tasks of the process.
    pub slots: Arc<Semaphore>,
}

/// Speaks ACP until input ends, the client is gone or `stop` fires. Sessions are closed then, what they
/// started is stopped and open prompts are answered, if the pipe still takes that.
pub async fn serve(
    services: Services,
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    trace: WireTrace,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let transport::Transport { channel, wire, mut incoming, outgoing, written } =
        transport::start(input, output, trace)?;
    let tasks = TaskTracker::new();
    let broken = wire.broken.clone();
    let sessions_stop = CancellationToken::new();
    let store = services.store.clone();
    let server = dispatch::Server::new(services, wire, tasks.clone(), sessions_stop.clone());
    let connection =
        Agent.v1().name("talaria").with_handler(handler::Handler::new(server)).connect_to(channel);
    let ending = CancellationToken::new();
    let reading = async {
        tokio::select! {
            () = incoming.pump() => {}
            () = broken.cancelled() => {}
            () = stop.cancelled() => {}
        }
        ending.cancel();
        // Before the sessions are given back, so that another process waits for them.
        store.ending();
        sessions_stop.cancel();
        tasks.close();
        if tokio::time::timeout(LAST_WORDS, tasks.wait()).await.is_err() {
            tracing::warn!("some sessions did not end in time");
        }
        // Ends the connection, after all that was said is handed over.
        drop(incoming);
    };
    let speaking = async {
        let (connected, ()) = tokio::join!(connection, outgoing.pump());
        if let Err(error) = connected {
            tracing::info!(code = i32::from(error.code), "the connection ended");
        }
        if !broken.is_cancelled() {
            drop(written.await);
        }
    };
    let patience = async {
        ending.cancelled().await;
        tokio::time::sleep(LAST_WORDS + LAST_LINES).await;
    };
    let speaking = async {
        tokio::select! {
            biased;
            () = speaking => {}
            // A client that neither reads nor closes its end is not waited for.
            () = patience => tracing::info!("the client did not read to the end"),
        }
    };
    tokio::join!(reading, speaking);
    Ok(())
}
