//! A user's files as they were before a merge wrote them, byte by byte: what git would check out again need not be what
//! was there, where filters and line ends come in. It does not know why a merge failed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::changes::Entry;
use super::obstacles::path_of;

/// What was at the places that a merge writes.
#[derive(Debug)]
pub(super) struct Backup {
    top: PathBuf,
    /// Copies, under the paths that the files have in `top`.
    folder: PathBuf,
    /// In order; whether there was a file.
    paths: Vec<(PathBuf, bool)>,
}

impl Backup {
    /// Copies what is there.
    pub(super) fn make(top: &Path, folder: PathBuf, entries: &[Entry]) -> io::Result<Self> {
        let mut paths = Vec::with_capacity(entries.len());
        for entry in entries {
            let path = path_of(&entry.path);
            let was = Was::at(&top.join(&path))?;
            was.copy(&top.join(&path), &folder.join(&path))?;
            paths.push((path, was != Was::NoFile));
        }
        Ok(Self { top: top.to_owned(), folder, paths })
    }

    /// Puts all back, as far as it can; the first error of what it could not.
    pub(super) fn put_back(&self) -> io::Result<()> {
        let mut result = Ok(());
        let (files, new): (Vec<_>, Vec<_>) = self.paths.iter().partition(|(_, was)| *was);
        // A file may stand where a folder was.
        for (path, _) in new {
            let path = self.top.join(path);
            let removed = match Was::at(&path) {
                Ok(Was::NoFile) => Ok(()),
                Ok(Was::File | Was::Link) => fs::remove_file(&path),
                Err(error) => Err(error),
            };
            result = result.and(removed);
        }
        for (path, _) in files {
            result = result.and(restore(&self.folder.join(path), &self.top.join(path)));
        }
        result
    }
}

/// Does nothing where git has not been yet.
fn restore(copy: &Path, place: &Path) -> io::Result<()> {
    let was = Was::at(copy)?;
    let is_whole = match was {
        _ if Was::at(place)? != was => false,
        Was::Link => fs::read_link(copy)? == fs::read_link(place)?,
        Was::File | Was::NoFile => {
            fs::metadata(copy)?.permissions() == fs::metadata(place)?.permissions()
                && fs::read(copy)? == fs::read(place)?
        }
    };
    if is_whole {
        return Ok(());
    }
    if Was::at(place)? != Was::NoFile {
        fs::remove_file(place)?;
    }
    was.copy(copy, place)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Was {
    NoFile,
    File,
    Link,
}

impl Was {
    fn at(path: &Path) -> io::Result<Self> {
        match fs::symlink_metadata(path) {
            Ok(about) if about.is_dir() => Ok(Self::NoFile),
            Ok(about) if about.is_symlink() => Ok(Self::Link),
            Ok(_) => Ok(Self::File),
            Err(error) => {
                let is_absent =
                    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
                if is_absent { Ok(Self::NoFile) } else { Err(error) }
            }
        }
    }

    fn copy(self, from: &Path, to: &Path) -> io::Result<()> {
        if self == Self::NoFile {
            return Ok(());
        }
        if let Some(above) = to.parent() {
            fs::create_dir_all(above)?;
        }
        if self == Self::File {
            return fs::copy(from, to).map(|_| ());
        }
        let target = fs::read_link(from)?;
        #[cfg(unix)]
        return std::os::unix::fs::symlink(target, to);
        #[cfg(windows)]
        std::os::windows::fs::symlink_file(target, to)
    }
}
