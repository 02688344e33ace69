//! The session that a command is for, with the connection to its server. Why there is none is said with all that a
//! user can choose from.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use talaria_protocol::session::ListSessionsResponse;

use super::{Failure, code, may_not};
use crate::clock::{Clock, Timestamp};
use crate::config::{Environment, Folders};
use crate::control::client::{
    Candidate, ChooseError, ClientError, Connection, Events, Wanted, candidates, choose, find,
};
use crate::fault::{Fault, Kind};
use crate::tasks::card::duration;

/// A session and the way to it.
pub(super) struct Door {
    connection: Connection,
    pub(super) session: String,
}

impl Door {
    pub(super) async fn open(environment: &Environment, id: Option<&str>) -> Result<Self, Failure> {
        let found = find(&Folders::of(environment))
            .await
            .map_err(|fault| Failure::new(code::FAILED, fault))?;
        let folder = std::fs::canonicalize(".")
            .map_err(|error| Failure::usage(format!("cannot look into this folder: {error}")))?;
        let answers =
            found.servers.iter().map(|(_, answer): &(Connection, ListSessionsResponse)| answer);
        let all = candidates(answers);
        let wanted = Wanted { id, folder: &folder, resolve: &resolved };
        let chosen = choose(&all, wanted).map_err(|why| {
            // Whoever was refused cannot know whether the session was there.
            if found.refused > 0
                && matches!(
                    why,
                    ChooseError::NoneOpen | ChooseError::NoneHere | ChooseError::UnknownId
                )
            {
                return may_not("a running Talaria refused this process");
            }
            let mut failure = not_chosen(why, &all, wanted);
            if found.silent > 0 {
                failure.more.push(format!("{} did not answer.", counted(found.silent, "server")));
            }
            failure
        })?;
        let server = found.servers.into_iter().nth(chosen.server);
        let (connection, _) = server.ok_or(ClientError::Gone)?;
        Ok(Self { connection, session: chosen.session.session_id })
    }

    /// Calls a method: its answer, as it came and as what it means.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        request: &impl Serialize,
        limit: Duration,
    ) -> Result<(Value, T), Failure> {
        let value = self.connection.call(method, request, limit).await?;
        match T::deserialize(&value) {
            Ok(answer) => Ok((value, answer)),
            Err(error) => Err(ClientError::Unreadable(error.to_string()).into()),
        }
    }

    pub(super) async fn subscribe(&self) -> Result<Events, Failure> {
        Ok(self.connection.subscribe(&self.session).await?)
    }
}

/// A folder without links on the way to it; as it is named, where it is not there.
fn resolved(folder: &Path) -> PathBuf {
    std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned())
}

fn not_chosen(why: ChooseError, all: &[Candidate], wanted: Wanted<'_>) -> Failure {
    let here = wanted.folder.display();
    let id = wanted.id.unwrap_or_default();
    let (message, hint, shown) = match why {
        ChooseError::NoneOpen => (
            "no session is open".to_owned(),
            "Open a chat with Talaria in your editor first; the tasks belong to it.",
            Vec::new(),
        ),
        ChooseError::UnknownId if all.is_empty() => (
            format!("there is no open session `{id}`, nor any other"),
            "Open it in your editor first.",
            Vec::new(),
        ),
        ChooseError::UnknownId => (
            format!("there is no open session `{id}`"),
            "Open it in your editor, or choose one of these with `--session ID`:",
            all.to_vec(),
        ),
        ChooseError::NoneHere => (
            format!("no open session works in `{here}`"),
            "Go to a folder of one of these, or choose one with `--session ID`:",
            all.to_vec(),
        ),
        ChooseError::SeveralIds(several) => (
            format!("{} sessions begin with `{id}`", several.len()),
            "Give more of the id:",
            several,
        ),
        ChooseError::SeveralHere(several) => (
            format!("several sessions work in `{here}`, and none was used last"),
            "Choose one with `--session ID`:",
            several,
        ),
    };
    let now = Clock::real().now();
    let failure = Failure::new(code::NO_SESSION, Fault::new(Kind::User, message).with_hint(hint));
    Failure { more: shown.iter().map(|one| line(one, now)).collect(), ..failure }
}

fn line(one: &Candidate, now: Timestamp) -> String {
    let Candidate { pid, client, session, .. } = one;
    let folders: Vec<&str> = std::iter::once(&session.cwd)
        .chain(&session.additional_directories)
        .map(String::as_str)
        .collect();
    let client = client.as_ref().map(|client| format!("{client}, ")).unwrap_or_default();
    let ago = duration(now.since(Timestamp(session.used_at)));
    format!(
        "  {}  {}  ({client}process {pid}, used {ago} ago)",
        session.session_id,
        folders.join(", ")
    )
}

pub(super) fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
