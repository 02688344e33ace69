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
        // One state of the database for the whole of it.
        let transaction = connection.unchecked_transaction()?;
        let result = job(&transaction)?;
        transaction.finish()?;
        Ok((connection, result))
    };
    let (connection, result) = match read() {
        Ok(done) => done,
        Err(error) => {
            let trouble = shared.place.trouble(&error);
            if matches!(trouble, Trouble::Damaged { .. }) {
                shared.place.mark_suspect();
            }
            return Err(trouble);
        }
    };
    let mut readers = lock(&shared.readers);
    if readers.len() < MOST {
        readers.push((opened, connection));
    }
    Ok(result)
}
