//! Why the store could not do something, and how the engine's errors and the system's become that.
//! Nothing is retried here.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::fault::{Fault, Kind};
use crate::ids::SessionId;

/// Why the store could not do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("sessions are not stored (`store.enabled` is false)")]
    Off,
    #[error("there is no session `{0}`")]
    Unknown(SessionId),
    /// A living process has it open; this one may be meant.
    #[error("the session is open in another Talaria (process {pid})")]
    InUse { pid: u32 },
    #[error("the cursor is none of this list's")]
    Cursor,
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// What keeps the database from being written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    #[error("the disk is full")]
    Full,
    /// A quota of the disk, or how large the system lets a file become.
    #[error("a limit of the system on size was reached")]
    Limit,
    #[error("`{0}` cannot be written")]
    ReadOnly(PathBuf),
    /// Another program keeps it locked.
    #[error("the database is locked by another program")]
    Locked,
    /// `aside` is where the damaged file was put, once it was.
    #[error("the database is damaged")]
    Damaged { aside: Option<PathBuf> },
    /// A newer Talaria wrote it.
    #[error("the database is of version {found}, this Talaria knows {known}")]
    Newer { found: u32, known: u32 },
    /// Another process took the session over; nothing more of it can be written here.
    #[error("another Talaria has taken the session over")]
    TakenOver,
    /// So much waited to be written that it was given up; nothing more of this session can be.
    #[error("too much waited to be written")]
    GivenUp,
    /// The session was deleted, or the database's file was; nothing more of it can be written.
    #[error("the session was removed from the store")]
    Removed,
    /// The database does not take a record of the session, so that nothing behind it can be written.
    #[error("a part of the session cannot be stored: {0}")]
    Refused(String),
    /// The store's thread has ended, with its process or by a defect.
    #[error("the store has ended")]
    Ended,
    #[error("the database failed: {0}")]
    Other(String),
}

impl StoreError {
    /// As a user is told of it.
    pub fn fault(&self) -> Fault {
        let fault = |kind| Fault::new(kind, self.to_string());
        match self {
            Self::Off => fault(Kind::User)
                .with_hint("Set `store.enabled` to true in `config.yaml` to keep sessions."),
            Self::Unknown(_) => fault(Kind::User)
                .with_hint("`talaria sessions list` shows the sessions that there are."),
            Self::InUse { .. } => {
                fault(Kind::User).with_hint("Close it there, or fork it to go on with a copy.")
            }
            Self::Cursor => {
                fault(Kind::User).with_hint("List again from the beginning, without a cursor.")
            }
            Self::Trouble(trouble) => trouble.fault(),
        }
    }
}

impl Trouble {
    /// Whether nothing more of the session that it is said of is ever written here.
    pub fn is_for_good(&self) -> bool {
        match self {
            Self::TakenOver | Self::GivenUp | Self::Removed | Self::Refused(_) | Self::Ended => {
                true
            }
            Self::Full
            | Self::Limit
            | Self::ReadOnly(_)
            | Self::Locked
            | Self::Damaged { .. }
            | Self::Newer { .. }
            | Self::Other(_) => false,
        }
    }

    /// As a user is told of it: what is wrong, and what to do.
    pub fn fault(&self) -> Fault {
        let fault = |kind| Fault::new(kind, self.to_string());
        match self {
            Self::Full => fault(Kind::User).with_hint("Free some space."),
            Self::Limit => fault(Kind::User).with_hint(
                "Free some space, or raise the disk quota or the limit on the size of files (`ulimit -f`).",
            ),
            Self::ReadOnly(_) => fault(Kind::User)
                .with_hint("Make it writable, or set `TALARIA_HOME` to a folder that is."),
            Self::Locked => fault(Kind::User).with_hint(
                "If it is no other Talaria that is busy for a moment, end the program that has `talaria.db` open.",
            ),
            Self::Damaged { aside: Some(aside) } => {
                let message = format!(
                    "the database was damaged and has been put aside as `{}`",
                    aside.display()
                );
                Fault::new(Kind::User, message).with_hint(
                    "A new one was begun. Earlier sessions are in the damaged file; `sqlite3 FILE .recover` may get them out.",
                )
            }
            Self::Damaged { aside: None } => fault(Kind::User).with_hint(
                "Start Talaria again: it is then checked, and put aside if it cannot be used.",
            ),
            Self::Newer { .. } => fault(Kind::User)
                .with_hint("Update Talaria, or set `TALARIA_HOME` to another folder."),
            Self::TakenOver => {
                fault(Kind::User).with_hint("Go on there, or load the session here again.")
            }
            Self::GivenUp => fault(Kind::User)
                .with_hint("Mend the disk, then start a new session; this one is stored in part."),
            Self::Removed => {
                fault(Kind::User).with_hint("Start a new session to have it stored.")
            }
            Self::Refused(_) => fault(Kind::Internal)
                .with_hint("Start a new session; this one is stored in part."),
            Self::Ended => fault(Kind::Internal)
                .with_hint("Start Talaria again; the log in the folder `logs` of the state folder says more."),
            Self::Other(_) => fault(Kind::Internal)
                .with_hint("The log in the folder `logs` of the state folder says more."),
        }
    }

    /// What the engine's error means, about the database at `path`.
    pub(super) fn of(error: &rusqlite::Error, path: &Path) -> Self {
        let Some(failure) = error.sqlite_error() else {
            return Self::Other(error.to_string());
        };
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the engine may add codes; those that mean nothing to a user are told as they are"
        )]
        match failure.code {
            ErrorCode::DiskFull => Self::Full,
            // The file of the shared memory could not grow.
            ErrorCode::SystemIoFailure
                if failure.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE =>
            {
                Self::Full
            }
            ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
                Self::ReadOnly(path.to_owned())
            }
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Locked,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Damaged { aside: None },
            _ => Self::Other(error.to_string()),
        }
    }

    /// Whether the system did not let the engine write, and the engine does not say why.
    pub(super) fn is_of_writing(error: &rusqlite::Error) -> bool {
        use rusqlite::ffi;
        error.sqlite_error().is_some_and(|failure| {
            matches!(
                failure.extended_code,
                ffi::SQLITE_IOERR_WRITE
                    | ffi::SQLITE_IOERR_FSYNC
                    | ffi::SQLITE_IOERR_TRUNCATE
                    | ffi::SQLITE_IOERR_SHMSIZE
            )
        })
    }

    /// What the system's error means, about the file or folder at `path`.
    pub(super) fn of_io(error: &io::Error, path: &Path) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive")]
        match error.kind() {
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::NotADirectory
            // A folder that cannot be made, as in `/proc`.
            | io::ErrorKind::NotFound
            // A file where a folder should be.
            | io::ErrorKind::AlreadyExists => Self::ReadOnly(path.to_owned()),
            io::ErrorKind::StorageFull => Self::Full,
            io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Self::Limit,
            _ => Self::Other(format!("`{}`: {error}", path.display())),
        }
    }
}
