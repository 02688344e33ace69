//! One transaction's records: each session's lease is looked at once, its records are written, its row
//! of the index follows. It begins and ends no transaction.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rusqlite::{Connection, ErrorCode, params};

use super::body::{self, Body};
use super::index::{self, Indexed};
use super::journal::{Line, Seq};
use super::lease::{self, OwnerId};
use super::shared::Item;
use super::trouble::Trouble;
use super::{Durability, Record, integer};
use crate::clock::Timestamp;

/// What a journal gave, as it is written.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) line: Arc<Line>,
    /// 0 for a lease that is given back.
    pub(super) seq: Seq,
    what: What,
}

#[derive(Debug)]
enum What {
    Create(Row),
    Append(Row),
    Release,
}

#[derive(Debug)]
struct Row {
    at: Timestamp,
    body: Body,
    durability: Durability,
}

impl Prepared {
    /// Nothing where nothing more of the session is written.
    pub(super) fn of(line: Arc<Line>, item: Item) -> Option<Self> {
        let row =
            |at, record: &Record, durability| Row { at, body: body_of(record, &line), durability };
        let (seq, what) = match item {
            Item::Create { at, opened } => {
                (1, What::Create(row(at, &Record::Opened(opened), Durability::Process)))
            }
            Item::Append { seq, .. } if line.refused().is_some() => {
                line.tell(seq, None);
                return None;
            }
            Item::Append { seq, at, record, durability } => {
                (seq, What::Append(row(at, &record, durability)))
            }
            Item::Release => (0, What::Release),
        };
        Some(Self { line, seq, what })
    }

    pub(super) fn bytes(&self) -> usize {
        match &self.what {
            What::Create(row) | What::Append(row) => row.body.bytes() + size_of::<Self>(),
            What::Release => 0,
        }
    }

    pub(super) fn needs_power(&self) -> bool {
        match &self.what {
            What::Create(row) | What::Append(row) => row.durability == Durability::Power,
            What::Release => false,
        }
    }

    pub(super) fn is_release(&self) -> bool {
        matches!(self.what, What::Release)
    }
}

/// A defect in what makes a record text costs this record alone: the thread is everyone's.
fn body_of(record: &Record, line: &Line) -> Body {
    let made = catch_unwind(AssertUnwindSafe(|| {
        #[cfg(test)]
        assert_ne!(line.session.as_str(), "a defect", "what a test asks for");
        Body::of(record, &line.session, &line.mask)
    }));
    made.unwrap_or_else(|_panic| Body::unwritable(record))
}

/// The session that waits with most bytes.
pub(super) fn largest(items: &VecDeque<Prepared>) -> Option<Arc<Line>> {
    let mut bytes: HashMap<*const Line, (usize, &Arc<Line>)> = HashMap::new();
    for item in items {
        bytes.entry(Arc::as_ptr(&item.line)).or_insert((0, &item.line)).0 += item.bytes();
    }
    bytes.into_values().max_by_key(|(bytes, _)| *bytes).map(|(_, line)| Arc::clone(line))
}

/// Why a batch could not be written.
pub(super) struct Failed {
    /// The session whose fault it is; the others could be written without it.
    pub(super) line: Option<Arc<Line>>,
    pub(super) error: rusqlite::Error,
}

/// A session in this transaction.
struct Writing {
    line: Arc<Line>,
    before: Option<Indexed>,
    after: Indexed,
}

/// Writes the records in order. Sessions whose lease is not this owner's any more are refused.
pub(super) fn write(
    database: &Connection,
    owner: &OwnerId,
    items: &VecDeque<Prepared>,
) -> Result<(), Failed> {
    // By opening: a session may be given back and opened again within one batch.
    let mut sessions: HashMap<*const Line, Writing> = HashMap::new();
    for item in items {
        let failed =
            |error| Failed { line: is_its_own(&error).then(|| Arc::clone(&item.line)), error };
        write_one(database, owner, &mut sessions, item).map_err(failed)?;
    }
    for writing in sessions.values() {
        finish(database, writing).map_err(|error| Failed { line: None, error })?;
    }
    Ok(())
}

fn write_one(
    database: &Connection,
    owner: &OwnerId,
    sessions: &mut HashMap<*const Line, Writing>,
    item: &Prepared,
) -> rusqlite::Result<()> {
    let line = &item.line;
    let key = Arc::as_ptr(line);
    match &item.what {
        What::Create(row) => {
            lease::make(database, owner, &line.session)?;
            insert(database, item, row)?;
            let mut after = Indexed::default();
            after.fold(row.at, &row.body.gist);
            sessions.insert(key, Writing { line: Arc::clone(line), before: None, after });
        }
        What::Append(row) => {
            if line.refused().is_some() {
                return Ok(());
            }
            let writing = match sessions.entry(key) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => match begin(database, owner, line)? {
                    Some(writing) => place.insert(writing),
                    None => return Ok(()),
                },
            };
            insert(database, item, row)?;
            writing.after.fold(row.at, &row.body.gist);
        }
        What::Release => {
            if let Some(writing) = sessions.remove(&key) {
                finish(database, &writing)?;
            }
            lease::release(database, owner, &line.session, line.epoch)?;
        }
    }
    Ok(())
}

/// The session's row, if its lease is still ours.
fn begin(
    database: &Connection,
    owner: &OwnerId,
    line: &Arc<Line>,
) -> rusqlite::Result<Option<Writing>> {
    let lease = lease::of(database, &line.session)?;
    match lease {
        None => line.refuse(Trouble::Removed),
        Some(lease) if lease.owner.as_ref() == Some(owner) && lease.epoch == line.epoch => {
            let before = index::read(database, &line.session)?;
            let after = before.clone().unwrap_or_default();
            return Ok(Some(Writing { line: Arc::clone(line), before, after }));
        }
        Some(_) => line.refuse(Trouble::TakenOver),
    }
    tracing::error!(session = %line.session, "the session's lease is gone");
    Ok(None)
}

fn finish(database: &Connection, writing: &Writing) -> rusqlite::Result<()> {
    index::write(database, &writing.line.session, writing.before.as_ref(), &writing.after)
}

fn insert(database: &Connection, item: &Prepared, row: &Row) -> rusqlite::Result<()> {
    let line = &item.line;
    let place = RecordPlace { session: line.session.as_str(), seq: item.seq, epoch: line.epoch };
    insert_record(database, &place, row.at, &row.body)?;
    body::write_long(database, &line.session, &row.body)
}

/// Which record of which opening.
pub(super) struct RecordPlace<'a> {
    pub(super) session: &'a str,
    pub(super) seq: Seq,
    pub(super) epoch: u64,
}

pub(super) fn insert_record(
    database: &Connection,
    place: &RecordPlace<'_>,
    at: Timestamp,
    body: &Body,
) -> rusqlite::Result<()> {
    database
        .prepare_cached(
            "INSERT INTO records (session, seq, at, epoch, kind, version, body, refs)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            place.session,
            integer(place.seq),
            integer(at.0),
            integer(place.epoch),
            body.kind,
            Record::VERSION,
            body.text,
            body.refs,
        ])?;
    Ok(())
}

/// Whether the record itself is what the engine does not take.
fn is_its_own(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch)
    )
}
