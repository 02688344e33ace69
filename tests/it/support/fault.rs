//! What can be wrong with the state folder, for real: a disk without room, a folder that cannot be
//! written, a database that is locked, damaged or too new. Works for root as for anyone else; what the
//! system does not let a test make is told and left out.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rusqlite::Connection;
use serde_json::json;

use super::agent::Agent;
use super::home::Home;

/// Nobody of the system.
const NOBODY: u32 = 65_534;

/// The database of a home.
pub(crate) fn database(home: &Home) -> PathBuf {
    home.state().join("talaria.db")
}

/// The database and the files beside it that exist.
pub(crate) fn database_files(home: &Home) -> Vec<PathBuf> {
    let path = database(home).into_os_string();
    ["", "-wal", "-shm"]
        .map(|end| {
            let mut path = path.clone();
            path.push(end);
            PathBuf::from(path)
        })
        .into_iter()
        .filter(|path| path.exists())
        .collect()
}

pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// `command` with its program and arguments behind those of `wrapper`.
fn wrapped(command: &Command, wrapper: &[&str]) -> Command {
    let mut outer = Command::new(wrapper[0]);
    outer.args(&wrapper[1..]).arg(command.get_program()).args(command.get_args());
    outer.env_clear().current_dir("/");
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            outer.env(name, value);
        }
    }
    outer.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    outer
}

/// `command` in a mount namespace of its own in which `setup`, a shell's line, was run. Nothing where the
/// system has none for us.
fn in_namespace(command: &Command, setup: &str) -> Option<Command> {
    let unshare: &[&str] = if is_root() {
        &["unshare", "--mount"]
    } else {
        &["unshare", "--map-root-user", "--mount"]
    };
    let mut probe = Command::new(unshare[0]);
    probe.args(&unshare[1..]).args(["sh", "-c", "mount -t tmpfs none /mnt"]);
    if !probe.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        println!("left out: the system gives us no mount namespace");
        return None;
    }
    let script = format!("{setup} && exec \"$@\"");
    Some(wrapped(command, &[unshare, &["sh", "-c", &script, "sh"]].concat()))
}

/// A disk of its own for an agent's state folder, on which nothing but the configuration is.
pub(crate) struct SmallDisk {
    /// The state folder, as it is seen from here.
    state: PathBuf,
    bytes: usize,
}

/// What is on a small disk when its agent starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    All,
    None,
}

impl SmallDisk {
    /// An agent with such a disk, greeted.
    pub(crate) fn start(home: &Home, kib: usize, room: Room) -> Option<(Agent, Self)> {
        let state = home.state().display().to_string();
        let fill = match room {
            Room::All => "true",
            Room::None => "{ cat /dev/zero > \"$TALARIA_HOME/filler\" || true; }",
        };
        let setup = format!(
            "cp -r '{state}' '{state}.kept' && mount -t tmpfs -o size={kib}k none '{state}' \
             && cp -r '{state}.kept/.' '{state}/' && {fill}"
        );
        let mut agent = Agent::spawn(in_namespace(&home.command(), &setup)?);
        // Its answer says that everything before it is done.
        agent.initialize(&json!({}));
        let seen = PathBuf::from(format!("/proc/{}/root{state}", agent.pid()));
        let device = |path: &Path| fs::metadata(path).unwrap().dev();
        assert_ne!(device(&seen), device(&home.state()), "it is a disk of its own");
        Some((agent, Self { state: seen, bytes: kib * 1024 }))
    }

    /// Takes all the room that is left.
    pub(crate) fn fill(&self) {
        let path = self.state.join("filler");
        let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        // Pages first, then what is left of one.
        for size in [4096, 1] {
            let mut pieces = std::iter::repeat_n(vec![b'x'; size], self.bytes / size);
            assert!(pieces.any(|piece| file.write_all(&piece).is_err()), "the disk is too large");
        }
    }

    /// Gives the room back.
    pub(crate) fn free(&self) {
        fs::remove_file(self.state.join("filler")).unwrap();
    }
}

/// An agent whose files cannot grow above `kib` KiB: a disk that has no more room for it, in a way that
/// every system has.
pub(crate) fn start_with_small_files(home: &Home, kib: u64) -> Agent {
    // The shell counts in blocks of 512 bytes; the soft limit can be lifted again.
    let script = format!("trap '' XFSZ; ulimit -S -f {}; exec \"$@\"", kib * 2);
    Agent::spawn(wrapped(&home.command(), &["sh", "-c", &script, "sh"]))
}

/// Lifts the limit of `start_with_small_files` while the agent runs.
pub(crate) fn lift_the_limit(agent: &Agent) {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let pid = Pid::from_raw(agent.pid().try_into().unwrap());
    prlimit(pid, Resource::Fsize, Rlimit { current: None, maximum: None }).unwrap();
}

/// How a state folder cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unwritable {
    /// Its path leads through a file.
    BelowAFile,
    /// It is another user's.
    NoPermission,
    /// It may be written, the database may not.
    Database,
    /// It is on a disk that is mounted for reading.
    ReadOnlyDisk,
}

impl Unwritable {
    pub(crate) const ALL: [Self; 4] =
        [Self::BelowAFile, Self::NoPermission, Self::Database, Self::ReadOnlyDisk];

    /// The command of an agent whose state folder is like that. The state folder may have a database
    /// already.
    pub(crate) fn command(self, home: &Home) -> Option<Command> {
        let mut command = home.command();
        match self {
            Self::BelowAFile => {
                let file = home.root().join("file");
                fs::write(&file, "").unwrap();
                command.env("TALARIA_HOME", file.join("home"));
                Some(command)
            }
            Self::NoPermission => {
                let command = as_somebody(home, &command)?;
                allow(&home.state(), 0o555);
                Some(command)
            }
            Self::Database => {
                let command = as_somebody(home, &command)?;
                for file in database_files(home) {
                    allow(&file, 0o444);
                }
                Some(command)
            }
            Self::ReadOnlyDisk => {
                let state = home.state().display().to_string();
                let setup = format!(
                    "mount --bind '{state}' '{state}' && mount -o remount,bind,ro '{state}'"
                );
                in_namespace(&command, &setup)
            }
        }
    }

    /// Whether it can be mended while the agent runs.
    pub(crate) fn can_be_mended(self) -> bool {
        matches!(self, Self::NoPermission | Self::Database)
    }

    /// Makes the state folder writable again, where that can be done.
    pub(crate) fn mend(self, home: &Home) {
        match self {
            Self::BelowAFile | Self::ReadOnlyDisk => {}
            Self::NoPermission => allow(&home.state(), 0o755),
            Self::Database => {
                for file in database_files(home) {
                    allow(&file, 0o644);
                }
            }
        }
    }
}

/// `command` as a user whom permissions concern: root's home is given to nobody for that.
fn as_somebody(home: &Home, command: &Command) -> Option<Command> {
    if !is_root() {
        return Some(wrapped(command, &["env"]));
    }
    if Command::new("setpriv").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("left out: there is no `setpriv` to be another user with");
        return None;
    }
    give(home.root());
    let binary = home.root().join("talaria");
    fs::copy(command.get_program(), &binary).unwrap();
    let mut theirs = Command::new(binary);
    theirs.args(command.get_args());
    for (name, value) in command.get_envs() {
        theirs.env(name, value.unwrap());
    }
    let user = NOBODY.to_string();
    let ids = [format!("--reuid={user}"), format!("--regid={user}")];
    Some(wrapped(&theirs, &["setpriv", &ids[0], &ids[1], "--clear-groups"]))
}

/// Gives a file, or a folder with everything in it, to nobody.
fn give(path: &Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path());
        }
    }
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Another program that keeps the database locked until it is dropped.
pub(crate) struct Locked {
    connection: Connection,
}

impl Locked {
    /// Nobody else can write.
    pub(crate) fn for_writing(home: &Home) -> Self {
        let connection = Connection::open(database(home)).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        Self { connection }
    }

    /// Nobody else can even read. The database must not be open anywhere.
    pub(crate) fn for_all(home: &Home) -> Self {
        let connection = Connection::open(database(home)).unwrap();
        connection
            .execute_batch(
                "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; \
                 CREATE TABLE a_lock (x); DROP TABLE a_lock; COMMIT; BEGIN EXCLUSIVE",
            )
            .unwrap();
        Self { connection }
    }

    pub(crate) fn release(self) {
        self.connection.execute_batch("ROLLBACK").unwrap();
        self.connection.close().unwrap();
    }
}

/// How a database can be damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    /// The file is something else.
    Text,
    /// The first page is noise.
    Header,
    /// The file ends in the middle.
    CutOff,
    /// All pages but the first are noise.
    Pages,
}

impl Damage {
    /// Damages the database, which must not be open.
    pub(crate) fn make(self, home: &Home) {
        let path = database(home);
        // Everything is in the one file then.
        let connection = Connection::open(&path).unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        connection.close().unwrap();
        let length = fs::metadata(&path).unwrap().len();
        let noise = |count: u64| -> Vec<u8> {
            (0..count).map(|at| (at.wrapping_mul(2_654_435_761) >> 7).to_le_bytes()[0]).collect()
        };
        let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        match self {
            Self::Text => {
                file.set_len(0).unwrap();
                file.write_all(b"This is no database.\n").unwrap();
            }
            Self::Header => file.write_all(&noise(4096)).unwrap(),
            Self::CutOff => file.set_len(4096 + 1000).unwrap(),
            Self::Pages => {
                file.seek(SeekFrom::Start(4096)).unwrap();
                file.write_all(&noise(length - 4096)).unwrap();
            }
        }
    }
}

/// Makes the database one of a Talaria that is not written yet.
pub(crate) fn make_newer(home: &Home) {
    let connection = Connection::open(database(home)).unwrap();
    connection.pragma_update(None, "user_version", 4_711).unwrap();
    connection.close().unwrap();
}
