//! Opening the database: quickly where it is as it should be, under the folder's lock where it must be
//! made, migrated, checked or put aside first. What is written is `writer`'s.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::lease::{Owner, OwnerId};
use super::migrate::{self, Steps};
use super::place::{self, Look, Place};
use super::trouble::Trouble;
use crate::clock::Clock;

/// Statements that stay prepared.
const STATEMENTS: usize = 64;
/// Up to which size the write-ahead log is kept, so that one large batch does not stay on the disk.
const LOG_BYTES: u32 = 8 * 1024 * 1024;

/// Which file was there before the connection was made: where it was replaced meanwhile, that is found
/// with the next use.
type Identity = Option<(u64, u64)>;

/// The database, open for writing.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) connection: Connection,
    owner: Arc<Owner>,
    place: Place,
    file: Identity,
    /// Whether commits wait for the disk.
    is_full: bool,
}

impl Database {
    /// Opens it, for `owner` where it was open before; where a damaged one was put aside for it, too.
    pub(super) fn open(
        place: &Place,
        clock: &Clock,
        steps: Steps,
        busy: Duration,
        owner: &mut Option<Arc<Owner>>,
    ) -> (Result<Self, Trouble>, Option<PathBuf>) {
        let mut aside = None;
        let opened = open(place, clock, steps, busy, &mut aside);
        let database = opened.and_then(|(connection, file)| {
            // Whoever opens it again is who it was: the leases are its own.
            let kept = owner.take().filter(|owner| owner.is_seen());
            let held = || place.owners().hold().map(Arc::new);
            let held = kept
                .map_or_else(held, Ok)
                .map_err(|error| Trouble::of_io(&error, &place.folder))?;
            *owner = Some(Arc::clone(&held));
            Ok(Self { connection, owner: held, place: place.clone(), file, is_full: false })
        });
        (database, aside)
    }

    pub(super) fn owner(&self) -> &OwnerId {
        &self.owner.id
    }

    /// Whether its file is still where it was.
    pub(super) fn is_there(&self) -> bool {
        self.file.is_some() && place::identity(&self.place.database) == self.file
    }

    /// Before it is closed: where nobody else has it open, its log goes with it.
    pub(super) fn tidy_up(&self) -> rusqlite::Result<()> {
        tidy_up(&self.connection, &self.place, Some(self.owner()))
    }

    /// Whether the next commit survives a power cut.
    pub(super) fn wait_for_disk(&mut self, full: bool) -> rusqlite::Result<()> {
        if self.is_full != full {
            self.connection.pragma_update(
                None,
                "synchronous",
                if full { "FULL" } else { "NORMAL" },
            )?;
            self.is_full = full;
        }
        Ok(())
    }
}

fn open(
    place: &Place,
    clock: &Clock,
    steps: Steps,
    busy: Duration,
    aside: &mut Option<PathBuf>,
) -> Result<(Connection, Identity), Trouble> {
    place.make_folder()?;
    let newest = migrate::newest(steps);
    let shared = place.share()?;
    let mut is_usual = place.look()? == Look::Version(newest) && !place.is_suspect();
    let mut opened = Err(Trouble::Damaged { aside: None });
    if is_usual {
        opened = connect(place, busy);
        match &opened {
            Err(Trouble::Damaged { .. }) => {
                place.mark_suspect();
                is_usual = false;
            }
            // Its first bytes were of a step that its process did not live to finish.
            Ok((_, found, _)) if *found < newest => is_usual = false,
            Ok(_) | Err(_) => {}
        }
    }
    drop(shared);
    if !is_usual {
        // Closed before anything is made or put aside.
        drop(opened);
        let _lock = place.lock()?;
        opened = mend(place, clock, steps, aside).and_then(|()| connect(place, busy));
    }
    let (connection, found, file) = opened?;
    if found != newest {
        return Err(Trouble::Newer { found, known: newest });
    }
    Ok((connection, file))
}

/// Makes the database what `connect` expects. Under the folder's lock, and so looked at once more.
fn mend(
    place: &Place,
    clock: &Clock,
    steps: Steps,
    aside: &mut Option<PathBuf>,
) -> Result<(), Trouble> {
    let look = place.look()?;
    let known = migrate::newest(steps);
    if let Look::Version(found) = look
        && found > known
    {
        // Before the engine opens it: it would write into the folder.
        return Err(Trouble::Newer { found, known });
    }
    if look == Look::Garbage {
        *aside = Some(place.put_aside(clock.now())?);
    } else if look != Look::Missing {
        match check(place, look) {
            Ok(()) => place.clear_suspect(),
            Err(Trouble::Damaged { .. }) => *aside = Some(place.put_aside(clock.now())?),
            Err(trouble) => return Err(trouble),
        }
    }
    place.make_database()?;
    let mut connection = plain(&place.database).map_err(|error| place.trouble(&error))?;
    migrate::run(&mut connection, &place.database, steps)?;
    // Into the file itself, so that its first bytes say the version.
    let logged = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
        .and_then(|()| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
    logged.map_err(|error| place.trouble(&error))
}

/// Whether the engine can read it, all of it where there is reason to doubt.
fn check(place: &Place, look: Look) -> Result<(), Trouble> {
    let trouble = |error: rusqlite::Error| place.trouble(&error);
    let connection = plain(&place.database).map_err(trouble)?;
    tidy_up(&connection, place, None).map_err(trouble)?;
    let damaged = Trouble::Damaged { aside: None };
    let application: u32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(trouble)?;
    let tables: u32 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(trouble)?;
    if tables > 0 && application != migrate::APPLICATION {
        return Err(damaged);
    }
    if look == Look::Odd || place.is_suspect() {
        let answer: String =
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(trouble)?;
        if answer != "ok" {
            tracing::error!(answer, "the database is damaged");
            return Err(damaged);
        }
    }
    Ok(())
}

/// The connection that writes, with the database's version and which file it is. Under the folder's lock,
/// shared or not.
fn connect(place: &Place, busy: Duration) -> Result<(Connection, u32, Identity), Trouble> {
    let file = place::identity(&place.database);
    let connect = || {
        let connection = plain(&place.database)?;
        connection.busy_timeout(busy)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        // `journal_mode` is in the file already and costs a look only.
        connection.execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON;
             PRAGMA fullfsync = ON;
             PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;
             PRAGMA journal_size_limit = {LOG_BYTES}; PRAGMA temp_store = MEMORY;"
        ))?;
        // Reads the schema.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        let version = migrate::version(&connection)?;
        Ok((connection, version, file))
    };
    connect().map_err(|error| place.trouble(&error))
}

/// A connection that only reads.
pub(super) fn reader(place: &Place) -> Result<Connection, Trouble> {
    let _shared = place.share()?;
    let open = || {
        let connection = plain(&place.database)?;
        connection.busy_timeout(Duration::from_secs(1))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.execute_batch(
            "PRAGMA query_only = ON; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;",
        )?;
        // Opens the log, too: see `Place::share`.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(connection)
    };
    open().map_err(|error| place.trouble(&error))
}

/// A file that is not there is not made, and its log is not removed with the last connection: that others
/// have it open shows in a lock that the system takes from a process that opens and closes the file by
/// other means, as a tool does that searches the state folder. The log would go from under that process,
/// with all that it writes from there on. See `tidy_up`.
fn plain(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

/// Has the log removed with this connection, if it is the last and no owner but `me` lives.
fn tidy_up(connection: &Connection, place: &Place, me: Option<&OwnerId>) -> rusqlite::Result<()> {
    if !place.owners().has_others(me) {
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    }
    Ok(())
}
