//! What can be said of the database from outside: nothing is made or changed for it. Whether every page
//! is whole is not looked at.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::migrate;
use super::place::{Look, Place};
use super::trouble::Trouble;

/// How long another program's lock is waited for.
const PATIENCE: Duration = Duration::from_millis(200);

/// A database that could be read, and may be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    pub path: PathBuf,
    /// Of its shape; an older one is brought up to date when it is next used.
    pub version: u32,
    /// With its write-ahead log.
    pub bytes: u64,
    /// Those that a list shows.
    pub sessions: u64,
}

/// Where the database of a state folder is.
pub fn database_path(folder: &Path) -> PathBuf {
    Place::of(folder).database
}

/// Looks at the database of a state folder; nothing where there is none.
pub fn examine(folder: &Path) -> Result<Option<Examined>, Trouble> {
    let place = Place::of(folder);
    let path = place.database.clone();
    let known = migrate::newest(migrate::STEPS);
    let version = match place.look()? {
        Look::Missing => return Ok(None),
        Look::Garbage | Look::Odd => return Err(Trouble::Damaged { aside: None }),
        Look::Version(found) if found > known => return Err(Trouble::Newer { found, known }),
        Look::Version(found) => found,
    };
    if place.is_suspect() {
        return Err(Trouble::Damaged { aside: None });
    }
    let writable = OpenOptions::new().append(true).open(&path);
    writable.map_err(|error| Trouble::of_io(&error, &path))?;
    let (log, index) = (size(&place, "-wal"), size(&place, "-shm"));
    // There is a lock file where there is a database: it is made under that lock.
    let _shared = place.share()?;
    let sessions = if log.is_some() && index.is_some() { in_use(&path) } else { at_rest(&path) };
    let sessions = sessions.map_err(|error| place.trouble(&error))?;
    let bytes = fs::metadata(&path).map_err(|error| Trouble::of_io(&error, &path))?.len();
    Ok(Some(Examined { path, version, bytes: bytes + log.unwrap_or_default(), sessions }))
}

fn size(place: &Place, suffix: &str) -> Option<u64> {
    let mut path = place.database.clone().into_os_string();
    path.push(suffix);
    fs::metadata(path).ok().map(|file| file.len())
}

/// Counts the sessions of a database that is open somewhere, or was when its process ended. Taking the
/// lock of a writer for that moment shows whether another program holds it, and writes nothing.
fn in_use(path: &Path) -> rusqlite::Result<u64> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags)?;
    // Who closes it last would tidy the log up.
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    database.busy_timeout(PATIENCE)?;
    database.execute_batch("BEGIN IMMEDIATE")?;
    let sessions = count(&database);
    database.execute_batch("ROLLBACK")?;
    sessions
}

/// Counts the sessions of a database whose log was tidied away. The engine would make a new one; it does
/// not where it is told that the file never changes.
fn at_rest(path: &Path) -> rusqlite::Result<u64> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    count(&Connection::open_with_flags(format!("file:{}?immutable=1", encoded(path)), flags)?)
}

fn count(database: &Connection) -> rusqlite::Result<u64> {
    let count = "SELECT count(*) FROM sessions WHERE listed = 1";
    database.query_row(count, [], |row| row.get::<_, i64>(0)).map(super::natural)
}

/// The path as a part of a URI.
fn encoded(path: &Path) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-~".contains(byte);
    path.as_os_str()
        .as_encoded_bytes()
        .iter()
        .map(
            |byte| if plain(byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") },
        )
        .collect()
}
