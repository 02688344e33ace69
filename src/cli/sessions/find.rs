//! Which session an ID on the command line means.

use std::path::{Path, PathBuf};

use super::{Failure, failed, unknown};
use crate::fault::{Fault, Kind};
use crate::ids::SessionId;
use crate::store::{Query, Store, StoreError, Summary};

/// The word for the newest session of this folder.
const LAST: &str = "last";
/// So many characters an id's beginning has at least.
const SHORTEST: usize = 4;
const PAGE: usize = 500;

/// The session that `id` means: a whole id, the beginning of one, or `last`.
pub(super) async fn one(store: &Store, id: &str) -> Result<Summary, Failure> {
    if id == LAST {
        return last(store).await;
    }
    if id.chars().count() < SHORTEST {
        return Err(Failure::Usage(
            Fault::new(Kind::User, format!("`{id}` is too short for the beginning of an id"))
                .with_hint(format!("Give at least {SHORTEST} characters, or `{LAST}`.")),
        ));
    }
    match store.summary(&SessionId::new(id)).await {
        Ok(session) => return Ok(session),
        Err(StoreError::Unknown(_)) => {}
        Err(error) => return Err(failed(&error, None)),
    }
    let sessions = all(store).await?;
    let mut found = sessions.into_iter().filter(|session| session.id.as_str().starts_with(id));
    let Some(session) = found.next() else { return Err(Failure::Failed(unknown(id))) };
    match found.count() {
        0 => Ok(session),
        more => Err(Failure::Failed(
            Fault::new(Kind::User, format!("{} sessions begin with `{id}`", more + 1))
                .with_hint("Give more of the id; `talaria sessions list` shows enough of each."),
        )),
    }
}

async fn last(store: &Store) -> Result<Summary, Failure> {
    let folder = folder(Path::new("."))?;
    let mut cursor = None;
    loop {
        let query = Query { cursor, limit: Some(PAGE), ..Query::default() };
        let page = store.list(query).await.map_err(|error| failed(&error, None))?;
        let mut sessions = page.sessions.into_iter();
        if let Some(session) = sessions.find(|session| is_folder(&session.cwd, &folder)) {
            return Ok(session);
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    Err(Failure::Failed(
        Fault::new(Kind::User, format!("there is no session of `{}`", folder.display()))
            .with_hint("`talaria sessions list` shows those of all folders."),
    ))
}

/// Whether a session's folder is this one, whose links are resolved. An editor may have opened the
/// session by another name.
pub(super) fn is_folder(of_session: &Path, folder: &Path) -> bool {
    of_session == folder || std::fs::canonicalize(of_session).is_ok_and(|found| found == folder)
}

/// A folder without links on the way to it.
pub(super) fn folder(given: &Path) -> Result<PathBuf, Failure> {
    std::fs::canonicalize(given).map_err(|error| {
        let name = given.display();
        Failure::Usage(Fault::new(Kind::User, format!("cannot look into `{name}`: {error}")))
    })
}

/// All sessions, the one that was used last first.
pub(super) async fn all(store: &Store) -> Result<Vec<Summary>, Failure> {
    let mut sessions = Vec::new();
    let mut cursor = None;
    loop {
        let query = Query { cursor, limit: Some(PAGE), ..Query::default() };
        let page = store.list(query).await.map_err(|error| failed(&error, None))?;
        sessions.extend(page.sessions);
        if page.next.is_none() {
            return Ok(sessions);
        }
        cursor = page.next;
    }
}
