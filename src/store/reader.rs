//! Connections that only read, a few kept for the next one who asks. Runs on threads that may block.

use std::sync::atomic::Ordering;

use rusqlite::Connection;

use super::database;
use super::shared::{Shared, lock};
use super::trouble::Trouble;

/// Connections that wait for the next read.
const MOST: usize = 4;

/// Runs `job` on a connection to the database as it is open now.
pub(super) fn with<T>(
    shared: &Shared,
    job: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Result<T, Trouble> {
    let opened = shared.opened.load(Ordering::Acquire);
    let waiting = lock(&shared.readers).pop().filter(|(of, _)| *of == opened);
    let read = || {
        let connection = match waiting {
            Some((_, connection)) => connection,
            None => database::reader(&shared.place)?,
        };
        let result =
            in_one_state(&connection, job).map_err(|error| shared.place.trouble(&error))?;
        Ok((connection, result))
    };
    let (connection, result) = read().inspect_err(|trouble| {
        if matches!(trouble, Trouble::Damaged { .. }) {
            shared.place.mark_suspect();
        }
    })?;
    let mut readers = lock(&shared.readers);
    if readers.len() < MOST {
        readers.push((opened, connection));
    }
    Ok(result)
}

/// Runs `job` on one state of the database for the whole of it.
fn in_one_state<T>(
    connection: &Connection,
    job: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = connection.unchecked_transaction()?;
    let result = job(&transaction)?;
    transaction.finish()?;
    Ok(result)
}
