//! Serves the table to other programs of the same user: WebSocket over a Unix domain socket. Who may not be served gets
//! no further than a refusal. A failure here costs the socket, and nothing else.

use std::time::Duration;

use jsonrpsee_server::{
    BatchRequestConfig, Methods, Server, ServerConfig, StopHandle, serve_with_graceful_shutdown,
    stop_channel,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::events::PATIENCE;
use super::peer::{self, Refusal};
use super::place::{Bound, Place};
use super::stream::Patient;
use super::table::Table;
use crate::config::Folders;
use crate::fault::{Fault, Kind};

/// The largest message, in either direction.
const MESSAGE: u32 = 16 * 1024 * 1024;
const CONNECTIONS: u32 = 512;
const SUBSCRIPTIONS: u32 = 64;
/// Messages that wait for one connection to be written.
const WAITING: u32 = 32;
/// How long the connections may take to end once the server stops.
const GRACE: Duration = Duration::from_millis(200);
/// How long a peer may take until it is a client: it holds one of the places meanwhile.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a peer that is refused may take to say what it wants.
const REFUSAL: Duration = Duration::from_secs(1);
/// The bytes of a request that is refused.
const REFUSED: usize = 8 * 1024;
/// Before the next connection is accepted, where one could not be.
const BREATH: Duration = Duration::from_millis(100);

/// Serves until `stop` is cancelled. Answers at once: nothing waits for the socket, and where there can be none, the log
/// says why.
pub fn start(table: Table, folders: &Folders, tasks: &TaskTracker, stop: CancellationToken) {
    let place = Place::of(folders);
    tasks.spawn(async move {
        let served = match place {
            Ok(place) => serve(place, table, stop).await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = served {
            tracing::warn!(%fault, "other programs cannot reach the tasks of this process");
        }
    });
}

async fn serve(place: Place, table: Table, stop: CancellationToken) -> Result<(), Fault> {
    let to_bind = place.clone();
    let bound = tokio::task::spawn_blocking(move || to_bind.bind()).await;
    let bound = bound.unwrap_or_else(|error| Err(Fault::new(Kind::Internal, error.to_string())))?;
    tracing::info!(socket = %bound.path.display(), "other programs can reach the tasks");
    let mut connections = JoinSet::new();
    let own = bound.path.clone();
    connections.spawn(async move { place.sweep(&own).await });
    let (stopped, server) = stop_channel();
    accept(&bound, &table.methods, &stopped, &mut connections, &stop).await;
    // First nobody new finds it.
    drop(bound);
    drop((server.stop(), stopped));
    connections.shutdown().await;
    // What still waits for a task ends as the tasks do.
    drop(tokio::time::timeout(GRACE, server.stopped()).await);
    Ok(())
}

async fn accept(
    bound: &Bound,
    methods: &Methods,
    stopped: &StopHandle,
    connections: &mut JoinSet<()>,
    stop: &CancellationToken,
) {
    let services = Server::builder().set_config(config()).to_service_builder();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            Some(_) = connections.join_next() => continue,
            accepted = bound.listener.accept() => accepted,
        };
        match accepted {
            // Who has not said yet what it wants counts, too.
            Ok(_) if connections.len() >= CONNECTIONS as usize => {
                tracing::warn!("a connection to the socket is closed: there are too many");
            }
            Ok((stream, _)) => {
                let service = services.clone().build(methods.clone(), stopped.clone());
                let stopped = stopped.clone().shutdown();
                // Up to the moment at which it is a WebSocket.
                connections.spawn(async move {
                    let Some(stream) = admitted(stream).await else { return };
                    let served = serve_with_graceful_shutdown(stream, service, stopped);
                    match tokio::time::timeout(HANDSHAKE, Box::pin(served)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => {
                            tracing::debug!(%error, "a connection to the socket broke");
                        }
                        Err(_) => tracing::debug!("who connected to the socket said nothing"),
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the socket could not be accepted");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

fn config() -> ServerConfig {
    ServerConfig::builder()
        .ws_only()
        .max_request_body_size(MESSAGE)
        .max_response_body_size(MESSAGE)
        .max_connections(CONNECTIONS)
        .max_subscriptions_per_connection(SUBSCRIPTIONS)
        .set_message_buffer_capacity(WAITING)
        .set_batch_request_config(BatchRequestConfig::Disabled)
        .build()
}

/// The connection of a peer that may be served; others are told why not.
async fn admitted(stream: UnixStream) -> Option<Patient> {
    match peer::judge(&stream).await {
        Ok(()) => Some(Patient::new(stream, PATIENCE)),
        Err(refusal) => {
            tracing::warn!(?refusal, "a connection to the socket is refused");
            refuse(stream, &refusal).await;
            None
        }
    }
}

/// Answers a peer that is not served.
async fn refuse(mut stream: UnixStream, refusal: &Refusal) {
    let answer = async {
        // An answer to what was not read is lost with the connection.
        let mut head = Vec::with_capacity(REFUSED);
        while head.len() < REFUSED && !head.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut head).await? == 0 {
                break;
            }
        }
        let text = refusal.to_string();
        let answer = format!(
            "HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{text}",
            text.len()
        );
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    };
    // Who is gone needs no answer.
    drop(tokio::time::timeout(REFUSAL, answer).await);
}
