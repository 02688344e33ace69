//! What lies where a merge would put a new file. Git itself looks after files that it knows and those that
//! it does not; one that is ignored it would write over.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::changes::Entry;

use crate::tasks::answer::Change;

/// Paths of new files whose places are taken, by something that the same merge does not remove.
pub(super) fn in_the_way(top: &Path, entries: &[Entry]) -> Vec<Vec<u8>> {
    let deleted = entries.iter().filter(|entry| entry.change == Change::Deleted);
    let deleted: HashSet<Vec<u8>> = deleted.map(|entry| folded(&entry.path)).collect();
    let added = entries.iter().filter(|entry| entry.change == Change::Added);
    let taken = added.filter(|entry| is_taken(top, &entry.path, &deleted));
    taken.map(|entry| entry.path.clone()).collect()
}

fn is_taken(top: &Path, path: &[u8], deleted: &HashSet<Vec<u8>>) -> bool {
    for (at, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
        let above = path.get(..at).unwrap_or_default();
        match fs::symlink_metadata(top.join(path_of(above))) {
            Ok(about) if about.is_dir() => {}
            Ok(_) => return !deleted.contains(&folded(above)),
            Err(_) => return false,
        }
    }
    has_other(top, path, deleted)
}

/// Whether there is something that is not deleted.
fn has_other(top: &Path, path: &[u8], deleted: &HashSet<Vec<u8>>) -> bool {
    let place = top.join(path_of(path));
    match fs::symlink_metadata(&place) {
        Err(_) => false,
        Ok(about) if about.is_dir() => {
            let Ok(entries) = fs::read_dir(&place) else { return true };
            entries.flatten().any(|entry| {
                let mut inner = path.to_vec();
                inner.push(b'/');
                inner.extend_from_slice(&bytes_of(&entry.file_name()));
                has_other(top, &inner, deleted)
            })
        }
        Ok(_) => !deleted.contains(&folded(path)),
    }
}

/// Where a file system does not tell `a` from `A`, a file that gets the other name is in nobody's way.
fn folded(path: &[u8]) -> Vec<u8> {
    if cfg!(any(windows, target_os = "macos")) {
        return String::from_utf8_lossy(path).to_lowercase().into_bytes();
    }
    path.to_vec()
}

#[cfg(unix)]
pub(super) fn path_of(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

#[cfg(not(unix))]
pub(super) fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(unix)]
fn bytes_of(name: &std::ffi::OsStr) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt as _;
    name.as_bytes().to_vec()
}

#[cfg(not(unix))]
fn bytes_of(name: &std::ffi::OsStr) -> Vec<u8> {
    name.to_string_lossy().into_owned().into_bytes()
}
