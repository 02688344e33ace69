//! Who may write: an owner is an instance of the store with a lock file that it holds locked while it
//! lives, so a lock that can be taken means that its owner is dead. No timers, no process ids that are
//! used again, nothing to do with clocks. What an owner holds is said in the database.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use crate::ids::SessionId;
use crate::log;

/// One living or dead instance of the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct OwnerId(Arc<str>);

impl OwnerId {
    pub(crate) fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The owners of a state folder, as their lock files tell of them.
#[derive(Debug, Clone)]
pub(crate) struct Owners {
    folder: PathBuf,
}

impl Owners {
    /// Those of the state folder `state`.
    pub(super) fn of(state: &Path) -> Self {
        Self { folder: state.join("owners") }
    }

    /// Whether this owner lives, here or in another process: its lock cannot be taken. Costs a few
    /// system calls and waits for nothing.
    pub(crate) fn is_alive(&self, owner: &OwnerId) -> bool {
        // Shared, so that two who look do not take each other for the owner.
        let file = match File::open(self.path(owner.as_str())) {
            Ok(file) => file,
            Err(error) => return error.kind() != io::ErrorKind::NotFound,
        };
        file.try_lock_shared().is_err()
    }

    /// Whether anyone but `me` lives, as far as can be seen.
    pub(super) fn has_others(&self, me: Option<&OwnerId>) -> bool {
        let Ok(files) = fs::read_dir(&self.folder) else { return true };
        let mut ids = files.flatten().filter_map(|file| owner_of(&file.path()));
        ids.any(|id| Some(&id) != me && self.is_alive(&id))
    }

    /// A new owner, alive until it is dropped.
    pub(super) fn hold(&self) -> io::Result<Owner> {
        log::make_folder(&self.folder)?;
        loop {
            let id = OwnerId::new(uuid::Uuid::now_v7().simple().to_string());
            let path = self.path(id.as_str());
            let lock = private(OpenOptions::new().write(true).create_new(true)).open(&path)?;
            lock.lock()?;
            // Between the two, who cleans up may have found it unlocked and removed it.
            if path.exists() {
                return Ok(Owner { id, path, _lock: lock });
            }
        }
    }

    /// Removes the files of dead owners; their ids.
    pub(super) fn bury(&self) -> Vec<OwnerId> {
        let Ok(files) = fs::read_dir(&self.folder) else { return Vec::new() };
        let names = files.flatten().map(|file| file.path());
        names.filter_map(|path| bury_one(&path)).collect()
    }

    fn path(&self, owner: &str) -> PathBuf {
        self.folder.join(format!("{owner}.lock"))
    }
}

/// Who is locked out is alive; whose file is removed under the lock cannot come back.
fn bury_one(path: &Path) -> Option<OwnerId> {
    let owner = owner_of(path)?;
    let file = OpenOptions::new().write(true).open(path).ok()?;
    match file.try_lock() {
        Ok(()) => fs::remove_file(path).ok()?,
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => return None,
    }
    Some(owner)
}

/// Whose lock file this is.
fn owner_of(path: &Path) -> Option<OwnerId> {
    path.file_name()?.to_str()?.strip_suffix(".lock").map(OwnerId::new)
}

/// This instance of the store, alive.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) id: OwnerId,
    path: PathBuf,
    _lock: File,
}

impl Owner {
    /// Whether others can still see that it lives.
    pub(super) fn is_seen(&self) -> bool {
        self.path.exists()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "the lock file could not be removed");
        }
    }
}

/// Options that make a file which only its user can read.
pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// The lease of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) owner: Option<OwnerId>,
    pub(super) epoch: u64,
}

/// Who keeps a session from being opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) pid: u32,
    /// It says that it ends soon.
    pub(super) ending: bool,
}

/// The lease of a session; absent where there is no such session.
pub(super) fn of(database: &Connection, session: &SessionId) -> rusqlite::Result<Option<Lease>> {
    database
        .prepare_cached("SELECT owner, epoch FROM leases WHERE session = ?1")?
        .query_row([session.as_str()], |row| {
            let owner: Option<String> = row.get(0)?;
            let epoch: i64 = row.get(1)?;
            Ok(Lease { owner: owner.map(OwnerId::new), epoch: super::natural(epoch) })
        })
        .optional()
}

/// Who has the lease now, if anyone alive does.
pub(super) fn holder(
    database: &Connection,
    owners: &Owners,
    lease: &Lease,
) -> rusqlite::Result<Option<Holder>> {
    let Some(owner) = &lease.owner else { return Ok(None) };
    if !owners.is_alive(owner) {
        return Ok(None);
    }
    let holder = database
        .prepare_cached("SELECT pid, ending FROM owners WHERE id = ?1")?
        .query_row([owner.as_str()], |row| Ok(Holder { pid: row.get(0)?, ending: row.get(1)? }))
        .optional()?;
    Ok(Some(holder.unwrap_or(Holder { pid: 0, ending: false })))
}

/// The lease of a session that was not there yet: its first opening.
pub(super) fn make(
    database: &Connection,
    owner: &OwnerId,
    session: &SessionId,
) -> rusqlite::Result<()> {
    introduce(database, owner)?;
    database
        .prepare_cached("INSERT INTO leases (session, owner, epoch) VALUES (?1, ?2, 1)")?
        .execute([session.as_str(), owner.as_str()])?;
    Ok(())
}

/// Gives a session that nobody has open to `owner`.
pub(super) fn take(
    database: &Connection,
    owner: &OwnerId,
    session: &SessionId,
    epoch: u64,
) -> rusqlite::Result<()> {
    introduce(database, owner)?;
    database
        .prepare_cached("UPDATE leases SET owner = ?2, epoch = ?3 WHERE session = ?1")?
        .execute(params![session.as_str(), owner.as_str(), super::integer(epoch)])?;
    Ok(())
}

/// Gives the lease back, if it is still this one.
pub(super) fn release(
    database: &Connection,
    owner: &OwnerId,
    session: &SessionId,
    epoch: u64,
) -> rusqlite::Result<()> {
    database
        .prepare_cached(
            "UPDATE leases SET owner = NULL WHERE session = ?1 AND owner = ?2 AND epoch = ?3",
        )?
        .execute(params![session.as_str(), owner.as_str(), super::integer(epoch)])?;
    Ok(())
}

/// Says that `owner` ends soon.
pub(super) fn announce_end(database: &Connection, owner: &OwnerId) -> rusqlite::Result<()> {
    introduce(database, owner)?;
    database.execute("UPDATE owners SET ending = 1 WHERE id = ?1", [owner.as_str()])?;
    Ok(())
}

/// The owners that the database knows.
pub(super) fn known(database: &Connection) -> rusqlite::Result<Vec<OwnerId>> {
    let mut statement = database.prepare("SELECT id FROM owners")?;
    let ids = statement.query_map([], |row| row.get::<_, String>(0))?;
    ids.map(|id| id.map(OwnerId::new)).collect()
}

/// Forgets an owner that is dead, or about to be.
pub(super) fn forget(database: &Connection, owner: &OwnerId) -> rusqlite::Result<()> {
    database.execute("UPDATE leases SET owner = NULL WHERE owner = ?1", [owner.as_str()])?;
    database.execute("DELETE FROM owners WHERE id = ?1", [owner.as_str()])?;
    Ok(())
}

/// The row that says which process an owner is of.
fn introduce(database: &Connection, owner: &OwnerId) -> rusqlite::Result<()> {
    database
        .prepare_cached("INSERT INTO owners (id, pid) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute(params![owner.as_str(), std::process::id()])?;
    Ok(())
}
