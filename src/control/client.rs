//! The other end of the control socket: asks every server for its sessions, chooses the one that is meant,
//! and calls its methods. It prints nothing and knows nothing of what the methods do.

mod choose;
mod connection;

pub use choose::{ChooseError, Wanted, choose};
pub use connection::{Connection, Event, Events, Found, find};

use talaria_protocol::ErrorData;
use talaria_protocol::session::{ListSessionsResponse, OpenSession};

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server takes no calls of this process.
    #[error("the server refused this process")]
    Refused,
    /// The server ended, or was not there any more.
    #[error("the server ended")]
    Gone,
    #[error("the server did not answer in time")]
    TimedOut,
    /// What came back is none of our messages.
    #[error("the server's answer cannot be read: {0}")]
    Unreadable(String),
    /// The server's own words.
    #[error("{message}")]
    Answer { code: i32, message: String, data: Option<ErrorData> },
}

/// A session with the server that has it open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Which of the servers that were found.
    pub server: usize,
    pub pid: u32,
    /// The editor, by its own name.
    pub client: Option<String>,
    pub session: OpenSession,
}

/// All sessions of these answers, in their order.
pub fn candidates<'a>(
    answers: impl IntoIterator<Item = &'a ListSessionsResponse>,
) -> Vec<Candidate> {
    let of_server = |(server, answer): (usize, &'a ListSessionsResponse)| {
        answer.sessions.iter().map(move |session| Candidate {
            server,
            pid: answer.pid,
            client: answer.client.clone(),
            session: session.clone(),
        })
    };
    answers.into_iter().enumerate().flat_map(of_server).collect()
}
