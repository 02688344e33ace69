//! The table of sessions: a fold over the journals, so that a list need not read them. Incremental and
//! rebuilt by the same function. It knows nothing of leases and of who writes.

use std::path::{Component, Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Query, Record, StoreError, TitleBy, integer, natural};
use crate::clock::Timestamp;
use crate::ids::SessionId;
use crate::transcript::Author;

/// What a record means to the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Gist {
    Opened {
        cwd: String,
        additional: Option<String>,
        forked: bool,
        parent: Option<String>,
    },
    Title {
        title: String,
        by: TitleBy,
    },
    Prompt,
    /// A card of a task: a prompt led to it.
    Card,
    End,
    /// It only counts.
    Other,
}

impl Gist {
    pub(super) fn of(record: &Record) -> Self {
        match record {
            Record::Opened(opened) => Self::Opened {
                cwd: plain(&opened.cwd),
                additional: texts(&opened.additional),
                forked: opened.forked_from.is_some(),
                parent: opened.parent.as_ref().map(|parent| parent.as_str().to_owned()),
            },
            Record::Title { title, by } => Self::Title { title: title.clone(), by: *by },
            // One of Talaria's own says nothing of the user.
            Record::Prompt { prompt } if prompt.from != Author::User => Self::Other,
            Record::Prompt { .. } | Record::Aside { .. } => Self::Prompt,
            Record::Card { .. } => Self::Card,
            Record::End { .. } => Self::End,
            Record::Settings { .. }
            | Record::Turn { .. }
            | Record::NotDelivered { .. }
            | Record::Reply { .. }
            | Record::Call { .. }
            | Record::Permission { .. }
            | Record::Begun { .. }
            | Record::Saw { .. }
            | Record::Outcome { .. }
            | Record::Report { .. }
            | Record::Shown { .. }
            | Record::Told { .. }
            | Record::Plan { .. } => Self::Other,
        }
    }
}

/// A folder as the index compares it: no `.`, no separator at the end.
fn plain(cwd: &Path) -> String {
    let parts = cwd.components().filter(|part| !matches!(part, Component::CurDir));
    parts.collect::<PathBuf>().to_string_lossy().into_owned()
}

/// Folders as the index has them: a JSON array, absent where there are none.
fn texts(folders: &[PathBuf]) -> Option<String> {
    // A path that is no UTF-8 is in no record.
    serde_json::to_string(folders).ok().filter(|_| !folders.is_empty())
}

/// The folders of such a text.
pub(super) fn folders(text: Option<&str>) -> Vec<PathBuf> {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// A session as the index has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Indexed {
    pub(super) cwd: String,
    /// A JSON array of paths; absent where there are none.
    pub(super) additional: Option<String>,
    pub(super) title: Option<String>,
    /// A user chose the title.
    pub(super) named: bool,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
    pub(super) prompts: u64,
    pub(super) records: u64,
    /// The session whose task it does.
    pub(super) parent: Option<String>,
}

impl Indexed {
    /// Takes the next record.
    pub(super) fn fold(&mut self, at: Timestamp, gist: &Gist) {
        if self.records == 0 {
            (self.created, self.updated) = (at, at);
        }
        self.records += 1;
        match gist {
            Gist::Opened { cwd, additional, forked, parent } => {
                self.cwd.clone_from(cwd);
                self.additional.clone_from(additional);
                if *forked {
                    // What is before it is a copy.
                    (self.created, self.updated) = (at, at);
                }
                // A copy does the tasks of nobody, unless it is made for one.
                if *forked || parent.is_some() {
                    self.parent.clone_from(parent);
                }
            }
            Gist::Title { title, by } => {
                let by_user = *by == TitleBy::User;
                if by_user || !self.named {
                    self.title = Some(title.clone());
                    self.named = by_user;
                }
            }
            Gist::Prompt => {
                self.prompts += 1;
                self.updated = at;
            }
            Gist::Card => {
                // A session with a task is more than an empty one.
                self.prompts = self.prompts.max(1);
                self.updated = at;
            }
            Gist::End => self.updated = at,
            Gist::Other => {}
        }
    }

    fn is_listed(&self) -> bool {
        self.parent.is_none() && (self.prompts > 0 || self.named)
    }
}

const COLUMNS: &str = "cwd, additional, title, named, created, updated, prompts, records, parent";

/// From `COLUMNS`, the first of which is column `from`.
fn indexed(row: &Row<'_>, from: usize) -> rusqlite::Result<Indexed> {
    let number = |column: usize| row.get(from + column).map(natural);
    Ok(Indexed {
        cwd: row.get(from)?,
        additional: row.get(from + 1)?,
        title: row.get(from + 2)?,
        named: row.get(from + 3)?,
        created: Timestamp(number(4)?),
        updated: Timestamp(number(5)?),
        prompts: number(6)?,
        records: number(7)?,
        parent: row.get(from + 8)?,
    })
}

pub(super) fn read(
    database: &Connection,
    session: &SessionId,
) -> rusqlite::Result<Option<Indexed>> {
    database
        .prepare_cached(&format!("SELECT {COLUMNS} FROM sessions WHERE id = ?1"))?
        .query_row([session.as_str()], |row| indexed(row, 0))
        .optional()
}

/// Writes `after` where `before` was. Most records only count, and then no order of the list is touched.
pub(super) fn write(
    database: &Connection,
    session: &SessionId,
    before: Option<&Indexed>,
    after: &Indexed,
) -> rusqlite::Result<()> {
    let counted = before.map(|before| Indexed { records: after.records, ..before.clone() });
    if counted.as_ref() == Some(after) {
        database
            .prepare_cached("UPDATE sessions SET records = ?2 WHERE id = ?1")?
            .execute(params![session.as_str(), integer(after.records)])?;
        return Ok(());
    }
    database
        .prepare_cached(
            "INSERT OR REPLACE INTO sessions
             (id, cwd, additional, title, named, created, updated, prompts, records, parent, listed)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            session.as_str(),
            after.cwd,
            after.additional,
            after.title,
            after.named,
            integer(after.created.0),
            integer(after.updated.0),
            integer(after.prompts),
            integer(after.records),
            after.parent,
            after.is_listed(),
        ])?;
    Ok(())
}

/// Where a page ended: its last session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) updated: Timestamp,
    pub(super) id: String,
}

/// What a cursor begins with: of the list of sessions, in this shape.
const CURSOR: &str = "s1";

impl Cursor {
    pub(super) fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(format!("{CURSOR} {} {}", self.updated.0, self.id))
    }

    pub(super) fn decode(text: &str) -> Result<Self, StoreError> {
        let parse = || {
            let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
            let mut parts = text.splitn(3, ' ');
            if parts.next()? != CURSOR {
                return None;
            }
            let updated = Timestamp(parts.next()?.parse().ok()?);
            let id = parts.next().filter(|id| !id.is_empty())?.to_owned();
            Some(Self { updated, id })
        };
        parse().ok_or(StoreError::Cursor)
    }
}

/// A session as the list reads it, with the owner that its lease names.
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) indexed: Indexed,
    pub(super) owner: Option<String>,
    pub(super) pid: Option<u32>,
}

impl Listed {
    /// Its place in the list, counted from the end.
    fn place(&self) -> (Timestamp, &str) {
        (self.indexed.updated, &self.id)
    }
}

/// The statement of a page; a test looks at its plan.
pub(super) fn list_sql(by_folder: bool) -> String {
    let folder = if by_folder { "AND s.cwd = ?4" } else { "AND ?4 IS NULL" };
    let index = if by_folder { "sessions_by_folder" } else { "sessions_by_use" };
    let columns: Vec<String> = COLUMNS.split(", ").map(|name| format!("s.{name}")).collect();
    format!(
        "SELECT s.id, l.owner, o.pid, {} FROM sessions s INDEXED BY {index}
         LEFT JOIN leases l ON l.session = s.id LEFT JOIN owners o ON o.id = l.owner
         WHERE s.listed = 1 {folder} AND (s.updated, s.id) < (?1, ?2)
         ORDER BY s.updated DESC, s.id DESC LIMIT ?3",
        columns.join(", ")
    )
}

/// At most `limit` sessions behind the query's cursor, the one that was used last first.
pub(super) fn list(
    database: &Connection,
    query: &Query,
    cursor: Option<&Cursor>,
    limit: usize,
) -> rusqlite::Result<Vec<Listed>> {
    let mut folders: Vec<String> = query.folders.iter().map(|folder| plain(folder)).collect();
    folders.sort_unstable();
    folders.dedup();
    if folders.is_empty() {
        return list_of(database, None, cursor, limit);
    }
    // Each in the order of its index, and then together.
    let mut listed = Vec::new();
    for folder in folders {
        listed.extend(list_of(database, Some(&folder), cursor, limit)?);
    }
    listed.sort_unstable_by(|one, other| other.place().cmp(&one.place()));
    listed.truncate(limit);
    Ok(listed)
}

fn list_of(
    database: &Connection,
    cwd: Option<&str>,
    cursor: Option<&Cursor>,
    limit: usize,
) -> rusqlite::Result<Vec<Listed>> {
    let (updated, id) = match cursor {
        Some(cursor) => (integer(cursor.updated.0), cursor.id.as_str()),
        None => (i64::MAX, ""),
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = database.prepare_cached(&list_sql(cwd.is_some()))?;
    let rows = statement.query_map(params![updated, id, limit, cwd], |row| {
        Ok(Listed {
            id: row.get(0)?,
            owner: row.get(1)?,
            pid: row.get(2)?,
            indexed: indexed(row, 3)?,
        })
    })?;
    rows.collect()
}
