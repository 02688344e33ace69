//! The store's files in the state folder, looked at without the engine: is there a database, is it one,
//! of which version; the folder's lock; what is damaged is put aside. Nothing is read of its content.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::lease::{Owners, private};
use super::migrate::APPLICATION;
use super::trouble::Trouble;
use crate::clock::Timestamp;
use crate::log;

/// The name of the database.
pub(super) const DATABASE: &str = "talaria.db";
/// What the engine keeps beside it.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];
/// How long another process may hold the folder's lock: for as long as a copy of a large database takes.
const LOCKED: Duration = Duration::from_secs(5);
/// How many bytes are written to hear why writing fails.
const PROBE: usize = 64 * 1024;
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What the first bytes of the database say. The engine has the last word on all but `Newer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It is not there, or empty.
    Missing,
    /// It is no database.
    Garbage,
    /// It is one, yet not ours, or shorter than it says.
    Odd,
    Version(u32),
}

#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) folder: PathBuf,
    pub(super) database: PathBuf,
}

impl Place {
    pub(super) fn of(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), database: folder.join(DATABASE) }
    }

    pub(super) fn owners(&self) -> Owners {
        Owners::of(&self.folder)
    }

    pub(super) fn make_folder(&self) -> Result<(), Trouble> {
        log::make_folder(&self.folder).map_err(|error| Trouble::of_io(&error, &self.folder))
    }

    /// The lock under which the database is made, migrated, checked and put aside.
    pub(super) fn lock(&self) -> Result<File, Trouble> {
        self.locked(File::try_lock)
    }

    /// The lock under which the database is opened as it is, up to the first read, beside others who do the
    /// same. The engine finds what belongs to a database by its name: where the database is put aside while
    /// it is being opened, it would take the new one's journal for the old one's, play it back into what was
    /// put aside, and remove it.
    pub(super) fn share(&self) -> Result<File, Trouble> {
        self.locked(File::try_lock_shared)
    }

    fn locked(&self, take: fn(&File) -> Result<(), TryLockError>) -> Result<File, Trouble> {
        let path = self.beside(".lock");
        let options = &mut OpenOptions::new();
        let file = private(options.write(true).create(true).truncate(false))
            .open(&path)
            .map_err(|error| Trouble::of_io(&error, &path))?;
        for _ in 0..LOCKED.as_millis() / LOOK_AGAIN.as_millis() {
            if take(&file).is_ok() {
                return Ok(file);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Err(Trouble::Locked)
    }

    pub(super) fn look(&self) -> Result<Look, Trouble> {
        look(&self.database, &self.beside("-wal"))
            .map_err(|error| Trouble::of_io(&error, &self.database))
    }

    /// Makes the empty file, so that its permissions are ours from the beginning: the engine gives its
    /// other files the same.
    pub(super) fn make_database(&self) -> Result<(), Trouble> {
        let options = &mut OpenOptions::new();
        match private(options.write(true).create_new(true)).open(&self.database) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(Trouble::of_io(&error, &self.database)),
        }
    }

    /// What the engine's error means here.
    pub(super) fn trouble(&self, error: &rusqlite::Error) -> Trouble {
        let trouble = Trouble::of(error, &self.database);
        if !Trouble::is_of_writing(error) {
            return trouble;
        }
        match self.probe() {
            Err(why @ (Trouble::Full | Trouble::Limit)) => why,
            Err(_) | Ok(()) => trouble,
        }
    }

    /// Writes what the engine could not, into a file of its own, to hear from the system why: the engine
    /// keeps that to itself.
    fn probe(&self) -> Result<(), Trouble> {
        let path = self.beside(".probe");
        let trouble = |error: io::Error| Trouble::of_io(&error, &path);
        let sizes = ["", "-wal"].map(|suffix| fs::metadata(self.beside(suffix)));
        let size = sizes.into_iter().flatten().map(|file| file.len()).max();
        let options = &mut OpenOptions::new();
        let mut file = private(options.write(true).create(true).truncate(true))
            .open(&path)
            .map_err(trouble)?;
        // As far behind as the engine was: there may be a limit on the size of a file.
        let written = file
            .seek(SeekFrom::Start(size.unwrap_or_default()))
            .and_then(|_| file.write_all(&vec![b'x'; PROBE]))
            .and_then(|()| file.sync_data());
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(%error, "the probe of the disk could not be removed");
        }
        written.map_err(trouble)
    }

    /// Whether a process found damage while it ran.
    pub(super) fn is_suspect(&self) -> bool {
        self.suspect().exists()
    }

    /// Asks for the database to be checked when it is next opened.
    pub(super) fn mark_suspect(&self) {
        let options = &mut OpenOptions::new();
        if let Err(error) =
            private(options.write(true).create(true).truncate(false)).open(self.suspect())
        {
            tracing::warn!(%error, "the damaged database could not be marked");
        }
    }

    pub(super) fn clear_suspect(&self) {
        if let Err(error) = fs::remove_file(self.suspect())
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the mark of the damaged database could not be removed");
        }
    }

    /// Puts the database aside with what belongs to it; where it is now.
    pub(super) fn put_aside(&self, now: Timestamp) -> Result<PathBuf, Trouble> {
        let aside = self.free_name(now);
        // The write-ahead log first: left alone, it would be played into the new database.
        for suffix in BESIDE {
            rename(&self.beside(suffix), &with_suffix(&aside, suffix))?;
        }
        rename(&self.database, &aside)?;
        self.clear_suspect();
        tracing::error!(aside = %aside.display(), "the database was damaged and has been put aside");
        Ok(aside)
    }

    /// `talaria.db.damaged-20261105T073000Z`, with a number behind it where that is taken.
    fn free_name(&self, now: Timestamp) -> PathBuf {
        let time = now.rfc3339();
        let time = time.split('.').next().unwrap_or_default().replace(['-', ':'], "");
        let first = self.beside(&format!(".damaged-{time}Z"));
        let others = (2..).map(|number| with_suffix(&first, &format!("-{number}")));
        let mut names = std::iter::once(first.clone()).chain(others);
        // Who ended while it put one aside may have left what belongs to it alone.
        let is_taken = |name: &Path| {
            name.exists() || BESIDE.iter().any(|suffix| with_suffix(name, suffix).exists())
        };
        names.find(|name| !is_taken(name)).unwrap_or(first)
    }

    fn suspect(&self) -> PathBuf {
        self.beside(".suspect")
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        with_suffix(&self.database, suffix)
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut text = path.as_os_str().to_owned();
    text.push(suffix);
    text.into()
}

fn rename(from: &Path, to: &Path) -> Result<(), Trouble> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Trouble::of_io(&error, from)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Reads the header (`https://www.sqlite.org/fileformat.html`, section 1.3).
fn look(database: &Path, log: &Path) -> io::Result<Look> {
    let mut file = match File::open(database) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Look::Missing),
        Err(error) => return Err(error),
    };
    let bytes = file.metadata()?.len();
    if bytes == 0 {
        return Ok(Look::Missing);
    }
    let mut header = [0_u8; 100];
    if let Err(error) = file.read_exact(&mut header) {
        return if error.kind() == io::ErrorKind::UnexpectedEof {
            Ok(Look::Garbage)
        } else {
            Err(error)
        };
    }
    if !header.starts_with(b"SQLite format 3\0") {
        return Ok(Look::Garbage);
    }
    let number = |at: usize| {
        let bytes = header.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        u32::from_be_bytes(bytes.unwrap_or_default())
    };
    let page = match header.get(16..18) {
        Some([0, 1]) => 65_536,
        Some([high, low]) => u64::from(u16::from_be_bytes([*high, *low])),
        Some(_) | None => 0,
    };
    // With a log beside it, pages may be in the log alone.
    let has_log = fs::metadata(log).is_ok_and(|log| log.len() > 0);
    let is_short = bytes < page * u64::from(number(28)) && !has_log;
    if number(68) != APPLICATION || is_short {
        return Ok(Look::Odd);
    }
    Ok(Look::Version(number(60)))
}

/// Which file this is, for as long as it is the same.
#[cfg(unix)]
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// Which file this is: elsewhere a file that is open cannot be replaced.
#[cfg(not(unix))]
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    path.exists().then_some((0, 0))
}
