//! Where the sockets of running servers are: one for each server, in a folder that is this user's alone. That a socket
//! takes connections is all that says that its server lives, so there is nothing that could be out of date. It speaks
//! no protocol.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Pid;
use tokio::net::{UnixListener, UnixStream};
use xxhash_rust::xxh3::xxh3_64;

use crate::config::{Folders, own_temporary};
use crate::fault::{Fault, Kind};

/// The most bytes of a socket's path: systems take 104 or 108, with a zero behind them.
const LONGEST: usize = 100;
/// The bytes of the longest name, with the separator before it: `/4294967295-0123abcd.sock`.
const LONGEST_NAME: usize = 25;
/// What a socket's name ends with.
const SOCKET: &str = "sock";
/// The same, while it takes no connections yet.
const NEW: &str = "new";
/// How long a server may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(1);

/// The folder of the sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// From the outside; all of them are this user's alone. The last one has the sockets.
    folders: Vec<PathBuf>,
}

/// A socket that takes connections. Dropped, it is gone.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) listener: UnixListener,
    pub(super) path: PathBuf,
}

impl Place {
    /// Where servers with these folders have their sockets. Nothing is looked at yet.
    pub fn of(folders: &Folders) -> Result<Self, Fault> {
        Self::choose(&folders.run, own_temporary(&std::env::temp_dir()))
    }

    /// `folder`, or a short one in `temporary` where the path of a socket in it would be too long.
    fn choose(folder: &Path, temporary: PathBuf) -> Result<Self, Fault> {
        let fits = |folder: &Path| folder.as_os_str().len() + LONGEST_NAME <= LONGEST;
        if fits(folder) {
            return Ok(Self { folders: vec![folder.to_owned()] });
        }
        let hash = xxh3_64(folder.as_os_str().as_bytes()) >> 32;
        let short = temporary.join(format!("{hash:08x}"));
        if fits(&short) {
            return Ok(Self { folders: vec![temporary, short] });
        }
        let message = format!("the path of `{}` is too long for a socket", short.display());
        Err(Fault::new(Kind::Config, message)
            .with_hint("Set `XDG_RUNTIME_DIR` or `TMPDIR` to a shorter one."))
    }

    pub fn folder(&self) -> &Path {
        self.folders.last().map_or(Path::new(""), PathBuf::as_path)
    }

    /// The sockets that are there, whether their servers live or not. Blocking, though not for long.
    pub fn sockets(&self) -> Result<Vec<PathBuf>, Fault> {
        self.files(SOCKET)
    }

    fn files(&self, ending: &str) -> Result<Vec<PathBuf>, Fault> {
        for folder in &self.folders {
            match fs::symlink_metadata(folder) {
                Ok(is) => check(folder, &is)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(unusable(folder, &error)),
            }
        }
        let files = fs::read_dir(self.folder()).map_err(|error| unusable(self.folder(), &error))?;
        let is_one = |path: &PathBuf| path.extension() == Some(OsStr::new(ending));
        let mut files: Vec<PathBuf> =
            files.flatten().map(|file| file.path()).filter(is_one).collect();
        files.sort();
        Ok(files)
    }

    /// Makes the folder where it is missing.
    fn make(&self) -> Result<(), Fault> {
        for folder in &self.folders {
            // A folder that is there stays as it is, and is judged.
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .and_then(|()| fs::symlink_metadata(folder))
                .map_err(|error| unusable(folder, &error))
                .and_then(|is| check(folder, &is))?;
        }
        Ok(())
    }

    /// A socket of this process. Needs a runtime; blocking, though not for long.
    pub(super) fn bind(&self) -> Result<Bound, Fault> {
        self.make()?;
        let (_, random) = uuid::Uuid::now_v7().as_u64_pair();
        let name = format!("{}-{:08x}", std::process::id(), random & 0xFFFF_FFFF);
        let [new, path] =
            [NEW, SOCKET].map(|ending| self.folder().join(format!("{name}.{ending}")));
        let bind = || {
            // Before it listens, a socket refuses like one whose server is gone: nobody may find it yet.
            let listener = UnixListener::bind(&new)?;
            fs::set_permissions(&new, Permissions::from_mode(0o600))?;
            fs::rename(&new, &path)?;
            Ok(listener)
        };
        let listener = bind().map_err(|error| unusable(self.folder(), &error))?;
        Ok(Bound { listener, path })
    }

    /// Removes what servers left behind that were killed, beside this one's own.
    pub(super) async fn sweep(&self, own: &Path) {
        let others = self.sockets().unwrap_or_default();
        for socket in others.into_iter().filter(|socket| socket != own) {
            if let Ok(Err(error)) = tokio::time::timeout(PATIENCE, reach(&socket)).await {
                tracing::debug!(%error, socket = %socket.display(), "a socket cannot be looked at");
            }
        }
        for socket in self.files(NEW).unwrap_or_default() {
            if is_of_the_dead(&socket) {
                bury(&socket);
            }
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, socket = %self.path.display(), "the socket could not be removed");
        }
    }
}

/// Connects to a server. Where its process is gone, so is the socket then, and there is nothing.
pub async fn reach(socket: &Path) -> io::Result<Option<UnixStream>> {
    match UnixStream::connect(socket).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            bury(socket);
            Ok(None)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes a socket that nobody listens at; nothing else has this name ever again.
fn bury(socket: &Path) {
    if !fs::symlink_metadata(socket).is_ok_and(|is| is.file_type().is_socket()) {
        return;
    }
    match fs::remove_file(socket) {
        Ok(()) => {
            tracing::info!(socket = %socket.display(), "removed a socket whose server is gone");
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::warn!(%error, socket = %socket.display(), "a socket whose server is gone stays");
        }
    }
}

/// Whether the process in a socket's name is gone.
fn is_of_the_dead(socket: &Path) -> bool {
    let name = socket.file_stem().and_then(OsStr::to_str).unwrap_or_default();
    let process = name.split('-').next().and_then(|process| process.parse().ok());
    process.and_then(Pid::from_raw).is_some_and(|process| {
        rustix::process::test_kill_process(process) == Err(rustix::io::Errno::SRCH)
    })
}

/// Whether the folder is this user's alone: whoever could put a socket into it could be asked in a server's place.
fn check(folder: &Path, is: &Metadata) -> Result<(), Fault> {
    let shown = folder.display();
    let refused = |message: String, hint: String| {
        Err(Fault::new(Kind::Config, message)
            .with_hint(format!("Talaria keeps the sockets of running servers there. {hint}")))
    };
    if !is.is_dir() {
        let what = if is.is_symlink() { "a link" } else { "not a folder" };
        return refused(format!("`{shown}` is {what}"), "Remove it.".to_owned());
    }
    let own = rustix::process::geteuid().as_raw();
    if is.uid() != own {
        let hint = "Remove it, or set `XDG_RUNTIME_DIR` to a folder of yours.".to_owned();
        return refused(format!("`{shown}` belongs to another user ({})", is.uid()), hint);
    }
    let mode = is.mode() & 0o7777;
    if mode & 0o077 != 0 {
        let hint = format!("Close it with `chmod 700 {shown}`, once you know who opened it.");
        return refused(format!("`{shown}` is open to other users (mode {mode:03o})"), hint);
    }
    Ok(())
}

fn unusable(folder: &Path, error: &io::Error) -> Fault {
    Fault::new(Kind::Config, format!("`{}` cannot be used for sockets: {error}", folder.display()))
        .with_hint("Set `XDG_RUNTIME_DIR` to a folder of yours.")
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener as Listener;

    use super::*;

    fn place(folder: &Path) -> Place {
        Place::choose(&folder.join("run"), folder.join("temporary")).unwrap()
    }

    #[test]
    fn a_long_path_gives_way_to_a_short_one_that_is_always_the_same() {
        let long = Path::new("/home/user").join("x".repeat(80));
        let choose = |folder: &Path| Place::choose(folder, "/tmp/talaria-1000".into());
        let short = choose(&long).unwrap();
        assert_eq!(short.folder().parent(), Some(Path::new("/tmp/talaria-1000")));
        assert_eq!(choose(&long), Ok(short.clone()));
        assert_ne!(choose(&long.join("y")), Ok(short));
        assert_eq!(choose(Path::new("/run/user/1000/talaria")).unwrap().folders.len(), 1);
        assert!(Place::choose(&long, long.clone()).is_err());
    }

    #[tokio::test]
    async fn a_socket_is_there_as_long_as_its_server() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path());
        assert_eq!(place.sockets(), Ok(Vec::new()));
        let bound = place.bind().unwrap();
        let other = place.bind().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(place.folder()), mode(&bound.path)), (0o700, 0o600));
        assert_eq!(place.sockets().unwrap().len(), 2);
        assert!(reach(&bound.path).await.unwrap().is_some());
        drop(bound);
        assert_eq!(place.sockets(), Ok(vec![other.path.clone()]));
    }

    #[tokio::test]
    async fn what_a_dead_server_left_is_removed_by_who_finds_it() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path());
        let bound = place.bind().unwrap();
        // A process number that no system gives.
        let [found, swept, new, alive] = [
            "2147483646-0.sock".to_owned(),
            "2147483646-1.sock".to_owned(),
            "2147483646-2.new".to_owned(),
            format!("{}-0.new", std::process::id()),
        ]
        .map(|name| place.folder().join(name));
        for path in [&found, &swept, &new, &alive] {
            drop(Listener::bind(path).unwrap());
        }
        let file = place.folder().join("notes.sock");
        fs::write(&file, "no socket").unwrap();
        assert!(reach(&found).await.unwrap().is_none() && !found.exists());
        assert!(reach(&found).await.unwrap().is_none(), "it is not there");
        drop(reach(&file).await);
        place.sweep(&bound.path).await;
        assert!(!swept.exists() && !new.exists());
        assert!(alive.exists() && file.exists() && bound.path.exists());
    }

    #[test]
    fn a_folder_that_others_could_have_made_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path());
        let refused = |why: &str| {
            let faults = [place.sockets().unwrap_err(), place.make().unwrap_err()];
            for fault in faults {
                assert!(fault.message.contains(why), "{fault}");
            }
        };
        fs::create_dir(place.folder()).unwrap();
        for mode in [0o755, 0o710, 0o702] {
            fs::set_permissions(place.folder(), Permissions::from_mode(mode)).unwrap();
            refused("is open to other users");
        }
        fs::remove_dir(place.folder()).unwrap();
        let elsewhere = folder.path().join("elsewhere");
        DirBuilder::new().mode(0o700).create(&elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, place.folder()).unwrap();
        refused("is a link");
        fs::remove_file(place.folder()).unwrap();
        DirBuilder::new().mode(0o700).create(place.folder()).unwrap();
        if std::os::unix::fs::chown(place.folder(), Some(65_534), None).is_err() {
            println!("skipped: only root gives a folder to another user");
            return;
        }
        refused("belongs to another user (65534)");
    }
}
