//! Tidying up, once in a process: lock files and leases of the dead, and sessions that were begun long
//! ago and never used. It removes nothing that a list shows, and no session of a task but with the one
//! whose task it was; what is left of deletions is `remains`'s.

use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use super::place::Place;
use super::{lease, remains, sessions};
use crate::clock::Timestamp;
use crate::ids::SessionId;

/// How long an empty session is kept.
const EMPTY: Duration = Duration::from_hours(7 * 24);
/// How many are removed at once: the chat waits for it.
const MOST: u32 = 200;

pub(super) const EMPTY_ONES: &str = "SELECT id FROM sessions
     WHERE listed = 0 AND parent IS NULL AND updated < ?1 LIMIT ?2";

/// The recursion steps from parent to parent in the order of their index, and not over their children.
pub(super) const GONE_PARENTS: &str = "WITH RECURSIVE parents (id) AS (
         SELECT min(parent) FROM sessions WHERE parent IS NOT NULL
         UNION ALL
         SELECT (SELECT min(s.parent) FROM sessions s WHERE s.parent > parents.id)
         FROM parents WHERE parents.id IS NOT NULL
     )
     SELECT id FROM parents WHERE id IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM leases WHERE session = parents.id)
       AND NOT EXISTS (SELECT 1 FROM sessions c WHERE c.parent = parents.id AND c.updated >= ?1)
     LIMIT ?2";

pub(super) fn run(
    database: &mut Connection,
    place: &Place,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let owners = place.owners();
    let mut dead = owners.bury();
    dead.extend(lease::known(database)?.into_iter().filter(|owner| !owners.is_alive(owner)));
    let before = now.0.saturating_sub(u64::try_from(EMPTY.as_millis()).unwrap_or(u64::MAX));
    let empty = empty(database, Timestamp(before))?;
    let gone = gone_parents(database, Timestamp(before))?;
    if dead.is_empty() && empty.is_empty() && gone.is_empty() {
        return Ok(());
    }
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for owner in &dead {
        lease::forget(&transaction, owner)?;
    }
    for session in &empty {
        let Some(lease) = lease::of(&transaction, session)? else { continue };
        if is_empty(&transaction, session)?
            && lease::holder(&transaction, &owners, &lease)?.is_none()
        {
            sessions::remove(&transaction, session)?;
        }
    }
    for session in &gone {
        if lease::of(&transaction, session)?.is_none() {
            remains::mark(&transaction, session)?;
        }
    }
    transaction.commit()
}

/// Whether the journal has nothing but what a session begins with. The index is not believed here: one
/// that an older Talaria rebuilt does not know of what only a newer one can read.
fn is_empty(database: &Connection, session: &SessionId) -> rusqlite::Result<bool> {
    database
        .prepare_cached(
            "SELECT NOT EXISTS (SELECT 1 FROM records
             WHERE session = ?1 AND kind NOT IN ('opened', 'settings', 'title', 'told'))",
        )?
        .query_row([session.as_str()], |row| row.get(0))
}

/// Sessions with nothing in them that were made before `before`; those of tasks are not meant.
fn empty(database: &Connection, before: Timestamp) -> rusqlite::Result<Vec<SessionId>> {
    let mut statement = database.prepare(EMPTY_ONES)?;
    let ids = statement.query_map(rusqlite::params![super::integer(before.0), MOST], |row| {
        row.get::<_, String>(0)
    })?;
    ids.map(|id| id.map(SessionId::new)).collect()
}

/// Sessions that are gone though there are some that did their tasks, none of them used since `before`:
/// what a process wrote behind a deletion, or could not write before.
fn gone_parents(database: &Connection, before: Timestamp) -> rusqlite::Result<Vec<SessionId>> {
    let mut statement = database.prepare(GONE_PARENTS)?;
    let ids = statement.query_map(rusqlite::params![super::integer(before.0), MOST], |row| {
        row.get::<_, String>(0)
    })?;
    ids.map(|id| id.map(SessionId::new)).collect()
}
