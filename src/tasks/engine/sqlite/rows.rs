//! The tables of tasks: rows in and out, within the transaction or the connection that is given. It
//! decides nothing; `jobs` does.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::clock::Timestamp;
use crate::fault::{Fault, Kind};
use crate::ids::{SessionId, TaskId};
use crate::tasks::engine::{
    Body, EngineError, Event, Filter, Listed, Message, Position, Received, Seq, Spec, State,
    Status, rules,
};

const KEYED: &str = "SELECT number FROM tasks WHERE session = ? AND key = ?";
const NEXT_NUMBER: &str = "SELECT coalesce(max(number), 0) + 1 FROM tasks WHERE session = ?";
const OLDEST_QUEUED: &str =
    "SELECT number FROM tasks WHERE session = ? AND state = ? ORDER BY number LIMIT 1";
const LEASED_ELSEWHERE: &str =
    "SELECT number, owner FROM tasks WHERE session = ? AND state IN (?, ?) AND owner <> ?";
const LIST: &str = "SELECT number, goal, status FROM tasks
         WHERE session = ?1 AND number < ?2
           AND (?3 = '[]' OR state IN (SELECT value FROM json_each(?3)))
         ORDER BY number DESC LIMIT ?4";
const EVENTS: &str = "SELECT seq, epoch, at, body FROM task_events
         WHERE session = ? AND number = ? AND seq > ? ORDER BY seq LIMIT ?";
const PLACE: &str = "SELECT position FROM task_inbox WHERE session = ? AND number = ? AND id = ?";
const INBOX: &str = "SELECT position, id, content FROM task_inbox
         WHERE session = ? AND number = ? AND position > ? ORDER BY position";

/// The queries whose answers are looked for among many rows.
#[cfg(test)]
pub(super) const QUERIES: [&str; 8] =
    [KEYED, NEXT_NUMBER, OLDEST_QUEUED, LEASED_ELSEWHERE, LIST, EVENTS, PLACE, INBOX];

/// Why a job ends without its answer.
#[derive(Debug)]
pub(super) enum Stop {
    /// It is against the rules, and nothing is wrong.
    Refused(EngineError),
    Sql(rusqlite::Error),
}

pub(super) type Done<T> = Result<T, Stop>;

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<EngineError> for Stop {
    fn from(error: EngineError) -> Self {
        Self::Refused(error)
    }
}

/// A task as it is kept.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) task: TaskId,
    pub(super) status: Status,
    /// Who has the lease, alive or dead.
    pub(super) owner: Option<String>,
}

impl Kept {
    /// Appends what happened now, and takes it in; `save` is still to come.
    pub(super) fn append(&mut self, sql: &Connection, now: Timestamp, body: Body) -> Done<()> {
        let event = rules::next(&self.task, &self.status, now, body);
        let body = text("an event", &event.body)?;
        sql.prepare_cached(
            "INSERT INTO task_events (session, number, seq, epoch, at, body) VALUES (?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            event.task.session.as_str(),
            number(event.task.number),
            number(event.seq),
            number(event.epoch),
            number(event.at.as_millis()),
            body,
        ])?;
        self.status.apply(&event);
        Ok(())
    }

    /// Saves what the events add up to, and the lease.
    pub(super) fn save(&self, sql: &Connection) -> Done<()> {
        sql.prepare_cached(
            "UPDATE tasks SET state = ?, owner = ?, status = ? WHERE session = ? AND number = ?",
        )?
        .execute(params![
            self.status.state.name(),
            self.owner,
            text("a status", &self.status)?,
            self.task.session.as_str(),
            number(self.task.number),
        ])?;
        Ok(())
    }
}

/// A new task, without events yet.
pub(super) fn insert(sql: &Connection, task: TaskId, key: &str, spec: &Spec) -> Done<Kept> {
    let kept = Kept { task, status: Status::default(), owner: None };
    sql.prepare_cached(
        "INSERT INTO tasks (session, number, key, state, goal, status, details) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        kept.task.session.as_str(),
        number(kept.task.number),
        key,
        kept.status.state.name(),
        spec.goal,
        text("a status", &kept.status)?,
        text("details", &spec.details)?,
    ])?;
    Ok(kept)
}

pub(super) fn find(sql: &Connection, task: &TaskId) -> Done<Kept> {
    let row = sql
        .prepare_cached("SELECT status, owner FROM tasks WHERE session = ? AND number = ?")?
        .query_row(params![task.session.as_str(), number(task.number)], |row| {
            Ok((row.get::<_, String>(0)?, row.get(1)?))
        })
        .optional()?;
    let Some((status, owner)) = row else {
        return Err(EngineError::Unknown(task.clone()).into());
    };
    Ok(Kept { task: task.clone(), status: parsed(&status)?, owner })
}

pub(super) fn spec(sql: &Connection, task: &TaskId) -> Done<Spec> {
    let (goal, details) = sql
        .prepare_cached("SELECT goal, details FROM tasks WHERE session = ? AND number = ?")?
        .query_row(params![task.session.as_str(), number(task.number)], |row| {
            Ok((row.get(0)?, row.get::<_, String>(1)?))
        })?;
    Ok(Spec { goal, details: parsed::<Value>(&details)? })
}

/// The number of the session's task with this key.
pub(super) fn keyed(sql: &Connection, session: &SessionId, key: &str) -> Done<Option<u64>> {
    Ok(sql
        .prepare_cached(KEYED)?
        .query_row(params![session.as_str(), key], |row| natural(row, 0))
        .optional()?)
}

/// The number that the session's next task has.
pub(super) fn next_number(sql: &Connection, session: &SessionId) -> Done<u64> {
    Ok(sql.prepare_cached(NEXT_NUMBER)?.query_row([session.as_str()], |row| natural(row, 0))?)
}

/// The number of the session's oldest queued task.
pub(super) fn oldest_queued(sql: &Connection, session: &SessionId) -> Done<Option<u64>> {
    Ok(sql
        .prepare_cached(OLDEST_QUEUED)?
        .query_row(params![session.as_str(), State::Queued.name()], |row| natural(row, 0))
        .optional()?)
}

/// The session's tasks that are leased to someone else than `me`, with whom.
pub(super) fn leased_elsewhere(
    sql: &Connection,
    session: &SessionId,
    me: &str,
) -> Done<Vec<(u64, String)>> {
    let mut statement = sql.prepare_cached(LEASED_ELSEWHERE)?;
    let rows = statement.query_map(
        params![session.as_str(), State::Running.name(), State::Waiting.name(), me],
        |row| Ok((natural(row, 0)?, row.get(1)?)),
    )?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn list(sql: &Connection, filter: &Filter) -> Done<Vec<Listed>> {
    let wanted = text("states", &filter.states)?;
    let before = filter.before.map_or(i64::MAX, |before| i64::try_from(before).unwrap_or(i64::MAX));
    let mut statement = sql.prepare_cached(LIST)?;
    let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![filter.session.as_str(), before, wanted, limit])?;
    let mut listed = Vec::new();
    while let Some(row) = rows.next()? {
        let task = TaskId { session: filter.session.clone(), number: natural(row, 0)? };
        let status: Status = parsed(&row.get::<_, String>(2)?)?;
        listed.push(Listed { task, goal: row.get(1)?, status });
    }
    Ok(listed)
}

/// At most `limit` events behind `after`.
pub(super) fn events(sql: &Connection, task: &TaskId, after: Seq, limit: u32) -> Done<Vec<Event>> {
    let mut statement = sql.prepare_cached(EVENTS)?;
    let rows = statement.query_map(
        params![task.session.as_str(), number(task.number), number(after), limit],
        |row| event(task, row),
    )?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn event(task: &TaskId, row: &Row<'_>) -> rusqlite::Result<Event> {
    let body: String = row.get(3)?;
    Ok(Event {
        task: task.clone(),
        seq: natural(row, 0)?,
        epoch: natural(row, 1)?,
        at: Timestamp(natural(row, 2)?),
        body: serde_json::from_str(&body).unwrap_or(Body::Unknown),
    })
}

/// Where the inbox has the message with this id.
pub(super) fn place(sql: &Connection, task: &TaskId, id: &str) -> Done<Option<Position>> {
    Ok(sql
        .prepare_cached(PLACE)?
        .query_row(params![task.session.as_str(), number(task.number), id], |row| natural(row, 0))
        .optional()?)
}

pub(super) fn receive(
    sql: &Connection,
    task: &TaskId,
    position: Position,
    message: &Message,
) -> Done<()> {
    sql.prepare_cached(
        "INSERT INTO task_inbox (session, number, position, id, content) VALUES (?, ?, ?, ?, ?)",
    )?
    .execute(params![
        task.session.as_str(),
        number(task.number),
        number(position),
        message.id,
        text("a message", &message.content)?,
    ])?;
    Ok(())
}

/// The messages behind a position, in order.
pub(super) fn inbox(sql: &Connection, task: &TaskId, after: Position) -> Done<Vec<Received>> {
    let mut statement = sql.prepare_cached(INBOX)?;
    let mut rows =
        statement.query(params![task.session.as_str(), number(task.number), number(after)])?;
    let mut received = Vec::new();
    while let Some(row) = rows.next()? {
        let content = parsed(&row.get::<_, String>(2)?)?;
        let message = Message { id: row.get(1)?, content };
        received.push(Received { position: natural(row, 0)?, message });
    }
    Ok(received)
}

/// SQLite counts to half as far; what is above does not exist.
fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn natural(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    Ok(u64::try_from(number).unwrap_or_default())
}

fn text<T: serde::Serialize>(what: &'static str, thing: &T) -> Done<String> {
    serde_json::to_string(thing).map_err(|error| damaged(&format!("{what}: {error}")))
}

fn parsed<T: DeserializeOwned>(text: &str) -> Done<T> {
    serde_json::from_str(text).map_err(|error| damaged(&error.to_string()))
}

pub(super) fn damaged(message: &str) -> Stop {
    let message = format!("a task's row cannot be read or written: {message}");
    EngineError::Unavailable(Fault::new(Kind::Internal, message)).into()
}
