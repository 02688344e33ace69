//! The database's shape, as steps from each version to the next. A step is one transaction; before the
//! first step of a database that was there, a copy of it is made. It opens no files but that copy.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use super::lease::private;
use super::trouble::Trouble;

/// What the header of our databases says they are: "TLRA".
pub(super) const APPLICATION: u32 = 0x544c_5241;

/// The SQL of each step: the first makes version 1 of nothing, the next version 2 of that, and so on.
pub(super) type Steps = &'static [&'static [&'static str]];

pub(super) const STEPS: Steps =
    &[&[include_str!("schema/v1.sql"), include_str!("schema/v1_tasks.sql")]];

/// The version that the steps lead to.
pub(super) fn newest(steps: Steps) -> u32 {
    u32::try_from(steps.len()).unwrap_or(u32::MAX)
}

/// The version of an open database; 0 is a new one.
pub(super) fn version(database: &Connection) -> rusqlite::Result<u32> {
    database.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Brings the database to the newest version. Held under the folder's lock.
pub(super) fn run(database: &mut Connection, path: &Path, steps: Steps) -> Result<(), Trouble> {
    let trouble = |error: rusqlite::Error| Trouble::of(&error, path);
    let found = version(database).map_err(trouble)?;
    let known = newest(steps);
    if found > known {
        return Err(Trouble::Newer { found, known });
    }
    if found > 0 && found < known {
        back_up(database, path, found)?;
        tracing::info!(from = found, to = known, "the database is brought to a newer version");
    }
    for (before, step) in (0..known).zip(steps).skip(found as usize) {
        apply(database, step, before + 1).map_err(trouble)?;
    }
    Ok(())
}

fn apply(database: &mut Connection, step: &[&str], version: u32) -> rusqlite::Result<()> {
    let transaction = database.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    for sql in step {
        transaction.execute_batch(sql)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", version)?;
    transaction.commit()
}

/// Where the copy of a database of this version is.
pub(super) fn backup_path(path: &Path, version: u32) -> PathBuf {
    path.with_file_name(format!("{}.v{version}.bak", super::place::DATABASE))
}

/// Copies the database as it is. A copy that is there already is of an attempt that failed.
fn back_up(database: &Connection, path: &Path, version: u32) -> Result<(), Trouble> {
    let backup = backup_path(path, version);
    let partial = backup.with_extension("bak.partial");
    let io = |error: std::io::Error| Trouble::of_io(&error, &backup);
    // Empty and ours: the engine writes into it and keeps its permissions.
    private(OpenOptions::new().write(true).create(true).truncate(true))
        .open(&partial)
        .map_err(io)?;
    database
        .execute("VACUUM INTO ?1", [partial.to_string_lossy()])
        .map_err(|error| Trouble::of(&error, &backup))?;
    fs::rename(&partial, &backup).map_err(io)
}
