//! What is done with stored sessions, as functions inside a transaction: read, claim, fork, remove,
//! rebuild. Who runs them, and when, is `store`'s and `writer`'s.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::batch::{RecordPlace, insert_record};
use super::batches::Which;
use super::body::{self, Body};
use super::index::{self, Cursor, Gist, Indexed};
use super::journal::{Given, Seq};
use super::lease::{self, Holder, OwnerId, Owners};
use super::{Entry, Page, Query, Record, Reindexed, Summary, TitleBy, integer, natural, remains};
use crate::clock::Timestamp;
use crate::ids::SessionId;

/// How many sessions a page has where the query does not say.
const PAGE: usize = 100;

/// Takes the lease if nobody alive has it, or says who has; nothing where there is no such session.
pub(super) fn claim(
    database: &Connection,
    owners: &Owners,
    owner: &OwnerId,
    session: &SessionId,
) -> rusqlite::Result<Option<Result<(Given, Summary), Holder>>> {
    let Some(lease) = lease::of(database, session)? else { return Ok(None) };
    if let Some(holder) = lease::holder(database, owners, &lease)? {
        return Ok(Some(Err(holder)));
    }
    let epoch = lease.epoch + 1;
    lease::take(database, owner, session, epoch)?;
    let (last, at) = end(database, session)?;
    let indexed = index::read(database, session)?.unwrap_or_default();
    let summary = summary_of(session.clone(), indexed, Some(std::process::id()));
    Ok(Some(Ok((Given { session: session.clone(), epoch, last, at }, summary))))
}

/// Number and time of the last record.
fn end(database: &Connection, session: &SessionId) -> rusqlite::Result<(Seq, Timestamp)> {
    let end = database
        .prepare_cached("SELECT seq, at FROM records WHERE session = ?1 ORDER BY seq DESC LIMIT 1")?
        .query_row([session.as_str()], |row| {
            Ok((natural(row.get(0)?), Timestamp(natural(row.get(1)?))))
        })
        .optional()?;
    Ok(end.unwrap_or_default())
}

pub(super) fn summary(
    database: &Connection,
    owners: &Owners,
    session: &SessionId,
) -> rusqlite::Result<Option<Summary>> {
    let Some(lease) = lease::of(database, session)? else { return Ok(None) };
    let holder = lease::holder(database, owners, &lease)?;
    let indexed = index::read(database, session)?.unwrap_or_default();
    Ok(Some(summary_of(session.clone(), indexed, holder.map(|holder| holder.pid))))
}

fn summary_of(id: SessionId, indexed: Indexed, open_in: Option<u32>) -> Summary {
    Summary {
        id,
        cwd: indexed.cwd.into(),
        additional: index::folders(indexed.additional.as_deref()),
        title: indexed.title,
        created: indexed.created,
        updated: indexed.updated,
        prompts: indexed.prompts,
        records: indexed.records,
        open_in,
        parent: indexed.parent.map(SessionId::new),
    }
}

/// A page of the list. Cheap: one index, and one look at the lock file of each owner on it.
pub(super) fn list(
    database: &Connection,
    owners: &Owners,
    query: &Query,
    cursor: Option<&Cursor>,
) -> rusqlite::Result<Page> {
    let limit = query.limit.unwrap_or(PAGE).max(1);
    let mut listed = index::list(database, query, cursor, limit.saturating_add(1))?;
    let is_more = listed.len() > limit;
    listed.truncate(limit);
    let next = listed
        .last()
        .filter(|_| is_more)
        .map(|last| Cursor { updated: last.indexed.updated, id: last.id.clone() }.encode());
    let mut living: Vec<(String, bool)> = Vec::new();
    let mut is_alive = |owner: String| {
        if let Some((_, is_alive)) = living.iter().find(|(known, _)| *known == owner) {
            return *is_alive;
        }
        let is_alive = owners.is_alive(&OwnerId::new(owner.as_str()));
        living.push((owner, is_alive));
        is_alive
    };
    let sessions = listed.into_iter().map(|listed| {
        let is_open = listed.owner.is_some_and(&mut is_alive);
        let open_in = is_open.then(|| listed.pid.unwrap_or(0));
        summary_of(SessionId::new(listed.id), listed.indexed, open_in)
    });
    Ok(Page { sessions: sessions.collect(), next })
}

/// Records behind `after`; nothing where there is no such session.
pub(super) fn entries(
    database: &Connection,
    session: &SessionId,
    which: Which,
    (after, limit): (Seq, usize),
) -> rusqlite::Result<Option<Vec<Entry>>> {
    // Of a deleted session, records may be left.
    if lease::of(database, session)?.is_none() {
        return Ok(None);
    }
    read(database, session, which, (after, limit)).map(Some)
}

fn read(
    database: &Connection,
    session: &SessionId,
    which: Which,
    (after, limit): (Seq, usize),
) -> rusqlite::Result<Vec<Entry>> {
    let mut statement = database.prepare_cached(match which {
        Which::All => {
            "SELECT seq, at, epoch, kind, version, body, refs FROM records
             WHERE session = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3"
        }
        Which::Cards => {
            "SELECT seq, at, epoch, kind, version, body, refs FROM records
             WHERE session = ?1 AND seq > ?2 AND kind IN ('card', 'report', 'opened') ORDER BY seq LIMIT ?3"
        }
    })?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![session.as_str(), integer(after), limit], |row| {
        entry(database, session, row)
    })?;
    rows.collect()
}

fn entry(database: &Connection, session: &SessionId, row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        seq: natural(row.get(0)?),
        at: Timestamp(natural(row.get(1)?)),
        epoch: natural(row.get(2)?),
        kind: row.get(3)?,
        version: row.get(4)?,
        body: body::whole(database, session.as_str(), row.get(5)?, row.get(6)?)?,
    })
}

/// What a fork needs.
pub(super) struct Fork {
    pub(super) from: SessionId,
    pub(super) to: SessionId,
    pub(super) opened: Body,
    pub(super) now: Timestamp,
}

/// Copies a journal; whether there is one.
pub(super) fn fork(database: &Connection, fork: &Fork) -> rusqlite::Result<bool> {
    let (from, to) = (fork.from.as_str(), fork.to.as_str());
    let Some(lease) = lease::of(database, &fork.from)? else { return Ok(false) };
    let epoch = integer(lease.epoch);
    database.execute(
        "INSERT INTO leases (session, owner, epoch) VALUES (?1, NULL, ?2)",
        params![to, epoch],
    )?;
    database.execute(
        "INSERT INTO records (session, seq, at, epoch, kind, version, body, refs)
         SELECT ?2, seq, at, epoch, kind, version, body, refs FROM records WHERE session = ?1",
        [from, to],
    )?;
    database.execute(
        "INSERT INTO blobs (session, hash, bytes)
         SELECT ?2, hash, bytes FROM blobs WHERE session = ?1",
        [from, to],
    )?;
    let (last, at) = end(database, &fork.to)?;
    let at = at.max(fork.now);
    let place = RecordPlace { session: to, seq: last + 1, epoch: lease.epoch };
    insert_record(database, &place, at, &fork.opened)?;
    body::write_long(database, &fork.to, &fork.opened)?;
    let mut indexed = index::read(database, &fork.from)?.unwrap_or_default();
    indexed.fold(at, &fork.opened.gist);
    index::write(database, &fork.to, None, &indexed)?;
    Ok(true)
}

/// Removes a session unless someone alive has it open; who has.
pub(super) fn delete(
    database: &Connection,
    owners: &Owners,
    session: &SessionId,
) -> rusqlite::Result<Option<Holder>> {
    if let Some(lease) = lease::of(database, session)?
        && let Some(holder) = lease::holder(database, owners, &lease)?
    {
        return Ok(Some(holder));
    }
    remove(database, session)?;
    Ok(None)
}

/// Removes a session, whoever has it, so that it is gone for everyone. Its records, and the sessions of its
/// tasks, are left to `remains`.
pub(super) fn remove(database: &Connection, session: &SessionId) -> rusqlite::Result<()> {
    database
        .prepare_cached("DELETE FROM leases WHERE session = ?1")?
        .execute([session.as_str()])?;
    remains::mark(database, session)
}

/// The sessions that do tasks of this one, and those that do tasks of theirs.
pub(super) fn below(
    database: &Connection,
    session: &SessionId,
) -> rusqlite::Result<Vec<SessionId>> {
    let mut statement = database.prepare(
        "WITH RECURSIVE below (id) AS (
             SELECT id FROM sessions WHERE parent = ?1
             UNION
             SELECT s.id FROM sessions s JOIN below ON s.parent = below.id
         )
         SELECT id FROM below",
    )?;
    let ids = statement.query_map([session.as_str()], |row| row.get::<_, String>(0))?;
    ids.map(|id| id.map(SessionId::new)).collect()
}

/// All sessions that have a journal or a row of any kind.
pub(super) fn all(database: &Connection) -> rusqlite::Result<Vec<SessionId>> {
    // The recursion steps from session to session in the order of the records.
    let mut statement = database.prepare(
        "WITH RECURSIVE written (session) AS (
             SELECT min(session) FROM records
             UNION ALL
             SELECT (SELECT min(r.session) FROM records r WHERE r.session > written.session)
             FROM written WHERE written.session IS NOT NULL
         )
         SELECT session FROM written WHERE session IS NOT NULL
         UNION SELECT session FROM leases UNION SELECT id FROM sessions",
    )?;
    let ids = statement.query_map([], |row| row.get::<_, String>(0))?;
    ids.map(|id| id.map(SessionId::new)).collect()
}

/// Folds the journal of one session anew, adding to what was found.
pub(super) fn reindex(
    database: &Connection,
    session: &SessionId,
    found: &mut Reindexed,
) -> rusqlite::Result<()> {
    if remains::is_marked(database, session)? {
        // It was deleted, and stays so.
        return Ok(());
    }
    let mut indexed = Indexed::default();
    let mut epoch = 0;
    {
        let mut statement = database.prepare_cached(
            "SELECT seq, at, epoch, kind, version, body, NULL, refs FROM records
             WHERE session = ?1 ORDER BY seq",
        )?;
        let mut rows = statement.query([session.as_str()])?;
        while let Some(row) = rows.next()? {
            // Long strings matter only where the index shows them.
            let mut entry = entry(database, session, row)?;
            epoch = entry.epoch.max(epoch);
            if matches!(entry.kind.as_str(), "opened" | "title") {
                entry.body = body::whole(database, session.as_str(), entry.body, row.get(7)?)?;
            }
            let record = entry.record();
            found.unknown += u64::from(record.is_none());
            indexed.fold(entry.at, &record.as_ref().map_or(Gist::Other, Gist::of));
        }
    }
    if indexed.records == 0 {
        // A row without a journal is of nothing.
        return remove(database, session);
    }
    found.sessions += 1;
    found.records += indexed.records;
    database.execute(
        "INSERT INTO leases (session, owner, epoch) VALUES (?1, NULL, ?2) ON CONFLICT DO NOTHING",
        params![session.as_str(), integer(epoch)],
    )?;
    index::write(database, session, None, &indexed)
}

/// The record of a title that a user chose.
pub(super) fn title(title: String) -> Record {
    Record::Title { title, by: TitleBy::User }
}
