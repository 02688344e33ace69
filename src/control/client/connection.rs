//! A connection to one server: its socket found and opened, calls with a time limit, a subscription to how its
//! tasks stand.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::join_all;
use jsonrpsee_core::client::{
    ClientT, Error, Subscription, SubscriptionClientT, SubscriptionCloseReason,
};
use jsonrpsee_ws_client::{WsClient, WsClientBuilder};
use serde::Serialize;
use serde_json::{Map, Value};
use talaria_protocol::session::{ListSessionsRequest, ListSessionsResponse};
use talaria_protocol::task::SubscribeTaskRequest;
use talaria_protocol::{ErrorData, SESSION_LIST, TASK_SUBSCRIBE, TASK_UNSUBSCRIBE};
use tokio::time::timeout;

use super::ClientError;
use crate::config::Folders;
#[cfg(unix)]
use crate::control::place;
use crate::fault::Fault;
#[cfg(not(unix))]
use crate::fault::Kind;

/// How long one server may take to say which sessions it has.
const LISTING: Duration = Duration::from_secs(1);
/// A call ends by the limit that its caller gives; the client's own is above all of them.
const LONGEST: Duration = Duration::from_hours(2);
/// The most bytes of an answer: reports and differences are in it whole.
const ANSWER: u32 = 64 * 1024 * 1024;

/// A connection to one server. Dropping it ends it.
pub struct Connection {
    client: WsClient,
}

/// What looking for servers came to.
pub struct Found {
    /// Those that answered, with their sessions.
    pub servers: Vec<(Connection, ListSessionsResponse)>,
    /// How many refused this process.
    pub refused: usize,
    /// How many did not answer in time, or not so that it can be read.
    pub silent: usize,
}

/// Asks all servers with these folders for their sessions, side by side. The sockets of servers that died are
/// removed.
pub async fn find(folders: &Folders) -> Result<Found, Fault> {
    let mut found = Found { servers: Vec::new(), refused: 0, silent: 0 };
    let ask = async |socket: PathBuf| {
        timeout(LISTING, ask(&socket)).await.unwrap_or(Err(ClientError::TimedOut))
    };
    for answer in join_all(sockets(folders)?.into_iter().map(ask)).await {
        match answer {
            Ok(server) => found.servers.push(server),
            Err(ClientError::Gone) => {}
            Err(ClientError::Refused) => found.refused += 1,
            Err(
                ClientError::TimedOut | ClientError::Unreadable(_) | ClientError::Answer { .. },
            ) => found.silent += 1,
        }
    }
    Ok(found)
}

#[cfg(unix)]
fn sockets(folders: &Folders) -> Result<Vec<PathBuf>, Fault> {
    place::Place::of(folders)?.sockets()
}

/// A socket that says which process is at its other end is not there on this system.
#[cfg(not(unix))]
fn sockets(_: &Folders) -> Result<Vec<PathBuf>, Fault> {
    Err(Fault::new(Kind::User, "tasks cannot be reached from the command line on this system yet")
        .with_hint("Use the commands of the chat: `/tasks`, `/task GOAL`."))
}

async fn ask(socket: &Path) -> Result<(Connection, ListSessionsResponse), ClientError> {
    let connection = Connection::open(socket).await?;
    let answer = connection.call(SESSION_LIST, &ListSessionsRequest {}, LISTING).await?;
    let answer = serde_json::from_value(answer).map_err(unreadable)?;
    Ok((connection, answer))
}

impl Connection {
    async fn open(socket: &Path) -> Result<Self, ClientError> {
        let stream = connect(socket).await?;
        let client = WsClientBuilder::default()
            .request_timeout(LONGEST)
            .max_response_size(ANSWER)
            // The host is part of the handshake and goes nowhere.
            .build_with_stream("ws://localhost", stream)
            .await
            // Who may not is answered 403, or with the end of the connection.
            .map_err(|_| ClientError::Refused)?;
        Ok(Self { client })
    }

    /// Calls a method; its result.
    pub async fn call(
        &self,
        method: &str,
        request: &impl Serialize,
        limit: Duration,
    ) -> Result<Value, ClientError> {
        let call = self.client.request::<Value, _>(method, fields(request)?);
        match timeout(limit, call).await {
            Ok(answer) => answer.map_err(failed),
            Err(_) => Err(ClientError::TimedOut),
        }
    }

    /// Asks to be told how the tasks of a session stand.
    pub async fn subscribe(&self, session: &str) -> Result<Events, ClientError> {
        let request = SubscribeTaskRequest { session_id: session.to_owned() };
        let subscribe = self.client.subscribe(TASK_SUBSCRIBE, fields(&request)?, TASK_UNSUBSCRIBE);
        match timeout(LISTING, subscribe).await {
            Ok(events) => Ok(Events(events.map_err(failed)?)),
            Err(_) => Err(ClientError::TimedOut),
        }
    }
}

/// How the tasks of a session stand, each time one changes.
pub struct Events(Subscription<Value>);

/// What comes of a subscription.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A `TaskEventNotification`.
    Task(Value),
    /// It was not read fast enough and has ended; a new one tells how everything stands.
    Lagged,
    /// The session or its server ended.
    Over,
}

impl Events {
    pub async fn next(&mut self) -> Event {
        match self.0.next().await {
            Some(Ok(event)) => Event::Task(event),
            Some(Err(_)) => Event::Lagged,
            None => match self.0.close_reason() {
                Some(SubscriptionCloseReason::Lagged) => Event::Lagged,
                Some(SubscriptionCloseReason::ConnectionClosed) | None => Event::Over,
            },
        }
    }
}

/// A request as parameters by name.
fn fields(request: &impl Serialize) -> Result<Map<String, Value>, ClientError> {
    match serde_json::to_value(request) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Ok(Map::new()),
        Err(error) => Err(unreadable(error)),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is used to map errors")]
fn unreadable(error: serde_json::Error) -> ClientError {
    ClientError::Unreadable(error.to_string())
}

fn failed(error: Error) -> ClientError {
    match error {
        Error::Call(answer) => ClientError::Answer {
            code: answer.code(),
            message: answer.message().to_owned(),
            data: answer.data().and_then(|data| serde_json::from_str::<ErrorData>(data.get()).ok()),
        },
        Error::RequestTimeout => ClientError::TimedOut,
        Error::ParseError(error) => unreadable(error),
        Error::Transport(_)
        | Error::RestartNeeded(_)
        | Error::InvalidSubscriptionId
        | Error::InvalidRequestId(_)
        | Error::Custom(_)
        | Error::HttpNotImplemented
        | Error::EmptyBatchRequest(_)
        | Error::RegisterMethod(_)
        | Error::ServiceDisconnect => ClientError::Gone,
    }
}

#[cfg(unix)]
async fn connect(socket: &Path) -> Result<tokio::net::UnixStream, ClientError> {
    match place::reach(socket).await {
        Ok(Some(stream)) => Ok(stream),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Err(ClientError::Refused)
        }
        Ok(None) | Err(_) => Err(ClientError::Gone),
    }
}

/// There are no sockets of ours on this system.
#[cfg(not(unix))]
async fn connect(_: &Path) -> Result<tokio::io::DuplexStream, ClientError> {
    Err(ClientError::Gone)
}
