//! This machine's files and programs, as a host. It knows nothing of the editor, and no tool.

mod capture;
mod process;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::host::{Command, Finished, Host, HostError, Watch};

/// No text file is read beyond this; it also bounds files that have no end, such as devices.
const READ_LIMIT: u64 = 64 * 1024 * 1024;

/// This machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Local;

impl Local {
    pub fn new() -> Self {
        Self
    }
}

/// The variables of this process that hold our keys and name the server: what a model runs gets none
/// of them. The user's other variables are the shell's, the provider keys of other programs too.
#[expect(clippy::disallowed_methods, reason = "reads names only, to leave them out")]
pub fn own_variables() -> Vec<OsString> {
    let names = std::env::vars_os().map(|(name, _)| name);
    names.filter(|name| name.to_string_lossy().starts_with("TALARIA_")).collect()
}

/// Names the server whose tool a process is, and its own: whatever such a process starts may not speak for the user
/// at the server's socket, also when it is no descendant any more.
pub const TOOL_OF: &str = "TALARIA_TOOL_OF";

/// The value of [`TOOL_OF`] for what this process runs: process ids, the outermost server first.
#[expect(clippy::disallowed_methods, reason = "handed on to what is run, and to nothing here")]
pub fn tool_of() -> OsString {
    let own = std::process::id().to_string();
    let mut value = std::env::var_os(TOOL_OF).filter(|value| !value.is_empty());
    if let Some(value) = &mut value {
        value.push(",");
        value.push(&own);
    }
    value.unwrap_or_else(|| own.into())
}

impl Host for Local {
    fn read_text<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, Result<String, HostError>> {
        let path = path.to_owned();
        blocking(path.clone(), move || read(path)).boxed()
    }

    fn write_text<'a>(
        &'a self,
        path: &'a Path,
        text: &'a str,
    ) -> BoxFuture<'a, Result<(), HostError>> {
        let (path, text) = (path.to_owned(), text.to_owned());
        blocking(path.clone(), move || write(&path, &text)).boxed()
    }

    fn run<'a>(
        &'a self,
        command: Command,
        watch: Watch<'a>,
    ) -> BoxFuture<'a, Result<Finished, HostError>> {
        process::run(command, watch).boxed()
    }
}

async fn blocking<T: Send + 'static>(
    path: PathBuf,
    work: impl FnOnce() -> Result<T, HostError> + Send + 'static,
) -> Result<T, HostError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(HostError::Io { path, message: error.to_string() }),
    }
}

fn read(path: PathBuf) -> Result<String, HostError> {
    let meta = fs::metadata(&path).map_err(|error| wrong(&path, &error))?;
    if meta.is_dir() {
        return Err(HostError::IsDirectory { path });
    }
    if !meta.is_file() {
        return Err(HostError::Io { path, message: "it is not a regular file".to_owned() });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len().min(READ_LIMIT)).unwrap_or(0));
    let file = fs::File::open(&path).map_err(|error| wrong(&path, &error))?;
    let count =
        file.take(READ_LIMIT + 1).read_to_end(&mut bytes).map_err(|error| wrong(&path, &error))?;
    if u64::try_from(count).is_ok_and(|count| count > READ_LIMIT) {
        let message = format!("it is larger than {} MiB", READ_LIMIT / (1024 * 1024));
        return Err(HostError::Io { path, message });
    }
    String::from_utf8(bytes).map_err(|_| HostError::NotText { path })
}

fn write(path: &Path, text: &str) -> Result<(), HostError> {
    let old = match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => return Err(HostError::IsDirectory { path: path.to_owned() }),
        Ok(meta) if !meta.is_file() => {
            let message = "it is not a regular file".to_owned();
            return Err(HostError::Io { path: path.to_owned(), message });
        }
        Ok(meta) if meta.permissions().readonly() => {
            return Err(HostError::Denied { path: path.to_owned() });
        }
        Ok(meta) => Some(meta),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(wrong(path, &error)),
    };
    let result = match old {
        Some(meta) => replace(path, &meta, text),
        None => create(path, text),
    };
    result.map_err(|error| wrong(path, &error))
}

/// Writes a file that does not exist, in folders that may not either.
fn create(path: &Path, text: &str) -> io::Result<()> {
    if fs::symlink_metadata(path).is_ok() {
        // Writing through it would make a file at a place that nobody was shown.
        return Err(io::Error::other("it is a link to a file that does not exist"));
    }
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)?;
    let (temporary, mut file) = beside(folder)?;
    finish(&temporary, path, file.write_all(text.as_bytes()))
}

/// Puts `text` in place of a file's content: all of it or none, with the permissions that it has, and
/// through links instead of over them.
fn replace(path: &Path, meta: &fs::Metadata, text: &str) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    if has_other_names(meta) {
        return fs::write(&path, text);
    }
    let (temporary, mut file) = match beside(path.parent().unwrap_or(&path)) {
        Ok(made) => made,
        // The file may be written, but not its folder.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return fs::write(&path, text);
        }
        Err(error) => return Err(error),
    };
    match file.metadata() {
        // A rename would take the file from its owner or group.
        Ok(new) if owner(&new) != owner(meta) => {
            fs::remove_file(&temporary)?;
            return fs::write(&path, text);
        }
        Ok(_) | Err(_) => {}
    }
    let result =
        file.set_permissions(meta.permissions()).and_then(|()| file.write_all(text.as_bytes()));
    finish(&temporary, &path, result)
}

fn finish(temporary: &Path, path: &Path, written: io::Result<()>) -> io::Result<()> {
    let result = written.and_then(|()| fs::rename(temporary, path));
    if result.is_err() {
        // The first error is the one to tell; a left-over file is the smaller harm.
        drop(fs::remove_file(temporary));
    }
    result
}

fn beside(folder: &Path) -> io::Result<(PathBuf, fs::File)> {
    let path = folder.join(format!(".talaria-{}.tmp", uuid::Uuid::now_v7().simple()));
    let file = fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
    Ok((path, file))
}

/// Whether the file has other names, which a rename would take from it.
#[cfg(unix)]
fn has_other_names(meta: &fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(meta) > 1
}

#[cfg(not(unix))]
fn has_other_names(_meta: &fs::Metadata) -> bool {
    false
}

/// The numbers of a file's owner and group.
#[cfg(unix)]
fn owner(meta: &fs::Metadata) -> (u32, u32) {
    use std::os::unix::fs::MetadataExt as _;
    (meta.uid(), meta.gid())
}

/// A file's owner and group do not follow from who writes it.
#[cfg(not(unix))]
fn owner(_meta: &fs::Metadata) -> (u32, u32) {
    (0, 0)
}

fn wrong(path: &Path, error: &io::Error) -> HostError {
    let path = path.to_owned();
    if error.kind() == io::ErrorKind::NotFound {
        HostError::NotFound { path }
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        HostError::Denied { path }
    } else if error.kind() == io::ErrorKind::IsADirectory {
        HostError::IsDirectory { path }
    } else {
        HostError::Io { path, message: error.to_string() }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
