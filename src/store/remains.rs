//! What is left of sessions that were deleted: they are gone for everyone when their row in `leases` is,
//! but the text of a large one takes its time to be overwritten. It goes in slices, one transaction each,
//! so that no other session waits for more than one. The sessions of its tasks go with it, before its own
//! text does; each then is one that was deleted, too, and takes its own along.
//!
//! Until the last slice a row of the index says that there is something left: not listed, and with a time
//! that no session has. What a process leaves that dies meanwhile is found by the next one's sweep.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::database::Database;
use super::place::Place;
use super::shared::Tuning;
use super::trouble::Trouble;
use super::work::Work;
use super::{migrate, sessions};
use crate::ids::SessionId;

/// What one transaction removes: at most so many rows, and no more behind so many bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slice {
    pub(super) rows: usize,
    pub(super) bytes: u64,
}

impl Default for Slice {
    fn default() -> Self {
        Self { rows: 2_000, bytes: 8 * 1024 * 1024 }
    }
}

/// What is still to be removed, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Remains {
    pub(super) is_due: bool,
    /// Deleted text may still be in the log.
    must_erase: bool,
    waiting: Vec<Box<dyn Work>>,
}

impl Remains {
    /// Answers a deletion when nothing is left.
    pub(super) fn wait(&mut self, deletion: Box<dyn Work>) {
        self.is_due = true;
        self.waiting.push(deletion);
    }

    /// Answers everyone who waits. What is left then is found with the next deletion, or start.
    pub(super) fn finish(&mut self, trouble: Option<&Trouble>) {
        self.is_due = false;
        for deletion in self.waiting.drain(..) {
            deletion.finish(trouble);
        }
    }

    /// Nobody is answered any more.
    pub(super) fn abandon(&mut self) {
        self.is_due = false;
        self.waiting.clear();
    }

    /// One slice; behind the last, the log is written back.
    pub(super) fn remove(&mut self, database: &mut Database, place: &Place, tuning: Tuning) {
        match remove_slice(database, place, tuning) {
            Ok(true) => self.must_erase = true,
            Ok(false) => {
                self.erase(&database.connection, tuning);
                self.finish(None);
            }
            Err(trouble) => {
                tracing::warn!(%trouble, "what is left of deleted sessions cannot be removed now");
                self.finish(Some(&trouble));
            }
        }
    }

    /// What was deleted is overwritten in the database; this takes it out of its log, too, if it is
    /// still there. Whoever reads just now keeps the log as it is, until the next time.
    pub(super) fn erase(&mut self, database: &Connection, tuning: Tuning) {
        if !self.must_erase {
            return;
        }
        let checkpoint = || {
            database.busy_timeout(tuning.busy_again)?;
            let busy = database
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
            database.busy_timeout(tuning.busy)?;
            Ok(busy? == 0)
        };
        let is_erased = checkpoint().unwrap_or_else(|error: rusqlite::Error| {
            tracing::debug!(%error, "the log could not be written back");
            false
        });
        self.must_erase = !is_erased;
    }
}

/// Says of a session whose row in `leases` goes with this transaction that it has something left. Its
/// title goes at once.
pub(super) fn mark(database: &Connection, session: &SessionId) -> rusqlite::Result<()> {
    database
        .prepare_cached(
            "INSERT OR REPLACE INTO sessions
             (id, cwd, additional, title, named, created, updated, prompts, records, parent, listed)
             VALUES (?1, '', NULL, NULL, 0, 0, 0, 0, 0, NULL, 0)",
        )?
        .execute([session.as_str()])?;
    Ok(())
}

/// Removes one slice of what is left, in a transaction of its own; whether there was anything.
fn remove_slice(database: &mut Database, place: &Place, tuning: Tuning) -> Result<bool, Trouble> {
    let trouble = |error: rusqlite::Error| place.trouble(&error);
    let connection = &mut database.connection;
    if marked(connection).map_err(trouble)?.is_none() {
        return Ok(false);
    }
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(trouble)?;
    let (found, known) =
        (migrate::version(&transaction).map_err(trouble)?, migrate::newest(tuning.steps));
    if found != known {
        return Err(Trouble::Newer { found, known });
    }
    // Another process may have removed it meanwhile.
    if let Some(session) = marked(&transaction).map_err(trouble)? {
        remove(&transaction, &session, tuning.slice).map_err(trouble)?;
    }
    transaction.commit().map_err(trouble)?;
    Ok(true)
}

/// Whether something is left of this one, and it is no session any more.
pub(super) fn is_marked(database: &Connection, session: &SessionId) -> rusqlite::Result<bool> {
    database
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM sessions WHERE id = ?1 AND listed = 0 AND updated = 0)
             AND NOT EXISTS (SELECT 1 FROM leases WHERE session = ?1)",
        )?
        .query_row([session.as_str()], |row| row.get(0))
}

/// A session of which something is left.
fn marked(database: &Connection) -> rusqlite::Result<Option<String>> {
    database
        .prepare_cached(
            "SELECT id FROM sessions WHERE listed = 0 AND parent IS NULL AND updated = 0
             AND NOT EXISTS (SELECT 1 FROM leases WHERE session = id) LIMIT 1",
        )?
        .query_row([], |row| row.get(0))
        .optional()
}

/// Sessions that do tasks of this one, at most `most`.
fn children(database: &Connection, session: &str, most: usize) -> rusqlite::Result<Vec<SessionId>> {
    let mut statement =
        database.prepare_cached("SELECT id FROM sessions WHERE parent = ?1 LIMIT ?2")?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let ids = statement.query_map(params![session, most], |row| row.get::<_, String>(0))?;
    ids.map(|id| id.map(SessionId::new)).collect()
}

/// The first rows of it; the mark with the last.
fn remove(database: &Connection, session: &str, slice: Slice) -> rusqlite::Result<()> {
    let mut left = slice;
    // Once marked, they have no parent any more.
    for child in children(database, session, slice.rows)? {
        sessions::remove(database, &child)?;
        left.rows -= 1;
    }
    if left.rows == 0 {
        return Ok(());
    }
    for (select, delete) in [
        (
            "SELECT seq, octet_length(body) FROM records WHERE session = ?1 ORDER BY seq LIMIT ?2",
            "DELETE FROM records WHERE session = ?1 AND seq = ?2",
        ),
        (
            "SELECT hash, octet_length(bytes) FROM blobs WHERE session = ?1 ORDER BY hash LIMIT ?2",
            "DELETE FROM blobs WHERE session = ?1 AND hash = ?2",
        ),
    ] {
        let limit = i64::try_from(left.rows).unwrap_or(i64::MAX);
        let rows = {
            let mut statement = database.prepare_cached(select)?;
            let rows = statement.query_map(params![session, limit], |row| {
                Ok((row.get::<_, rusqlite::types::Value>(0)?, super::natural(row.get(1)?)))
            })?;
            rows.collect::<Result<Vec<_>, _>>()?
        };
        let mut statement = database.prepare_cached(delete)?;
        for (key, bytes) in rows {
            statement.execute(params![session, key])?;
            left.rows -= 1;
            left.bytes = left.bytes.saturating_sub(bytes);
            if left.rows == 0 || left.bytes == 0 {
                return Ok(());
            }
        }
    }
    database.prepare_cached("DELETE FROM sessions WHERE id = ?1")?.execute([session])?;
    Ok(())
}
