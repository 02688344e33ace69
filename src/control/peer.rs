//! Who is at the other end of a connection, and whether it may speak for the user: not another user, and nothing that a
//! task's terminal runs. It is no sandbox: a program that hides where it comes from is the user's own, and could do
//! the user's work without asking.

use std::fmt;
use std::io;

use tokio::net::UnixStream;

#[cfg(target_os = "linux")]
use crate::tools::local::TOOL_OF;

/// The most ancestors that are looked at; there is no such chain but in a race.
const MOST_ANCESTORS: usize = 1_000;
/// How often a chain is followed that changes meanwhile.
const TRIES: usize = 3;

/// Why a connection is not served. It prints as the sentence that the peer gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    OtherUser {
        user: u32,
    },
    /// Started by a tool of this server, or of another one.
    Tool {
        process: u32,
    },
    /// It cannot be told where it comes from.
    Unclear {
        process: Option<u32>,
        why: String,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherUser { .. } => f.write_str("This server belongs to another user."),
            Self::Tool { .. } => f.write_str(
                "What a tool of Talaria's runs may not use its tasks: only the user may. Use the tools for tasks.",
            ),
            Self::Unclear { .. } => {
                f.write_str("This server cannot tell which program asks, so it does not answer.")
            }
        }
    }
}

/// Whether the peer may be served.
pub(super) async fn judge(stream: &UnixStream) -> Result<(), Refusal> {
    let unclear = |process, why: String| Refusal::Unclear { process, why };
    let peer = stream.peer_cred().map_err(|error| unclear(None, error.to_string()))?;
    if peer.uid() != rustix::process::geteuid().as_raw() {
        return Err(Refusal::OtherUser { user: peer.uid() });
    }
    // A process that this one cannot see has the number 0.
    let process = peer.pid().and_then(|process| u32::try_from(process).ok());
    let Some(process) = process.filter(|process| *process != 0) else {
        return Err(unclear(None, "it is no process that can be seen here".to_owned()));
    };
    let judged = tokio::task::spawn_blocking(move || origin(process, std::process::id())).await;
    match judged.unwrap_or_else(|error| Err(error.to_string())) {
        Ok(Origin::Tool) => Err(Refusal::Tool { process }),
        Ok(Origin::Other) => Ok(()),
        Err(why) => Err(unclear(Some(process), why)),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// A tool started it.
    Tool,
    Other,
}

/// Where `process` comes from, seen from `server`. Processes that end meanwhile make it look again.
fn origin(process: u32, server: u32) -> Result<Origin, String> {
    if process == server {
        return Ok(Origin::Other);
    }
    let mut why = String::new();
    for _ in 0..TRIES {
        let followed = system::Processes::read().and_then(|all| follow(process, server, &all));
        match followed {
            Ok(origin) => return Ok(origin),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

fn follow(process: u32, server: u32, all: &system::Processes) -> io::Result<Origin> {
    // What started this server marks all that it runs, this server's own peers among it.
    let own = all.marks(server)?;
    let is_marked = |process| -> io::Result<bool> {
        Ok(all.marks(process)?.iter().any(|mark| !own.contains(mark)))
    };
    if is_marked(process)? {
        return Ok(Origin::Tool);
    }
    let mut next = all.parent(process)?;
    for _ in 0..MOST_ANCESTORS {
        if next == server {
            return Ok(Origin::Tool);
        }
        if next <= 1 {
            return Ok(Origin::Other);
        }
        // What other users run cannot be read, and is no tool.
        if is_marked(next).unwrap_or(false) {
            return Ok(Origin::Tool);
        }
        next = all.parent(next)?;
    }
    Err(io::Error::other("its ancestors have no end"))
}

#[cfg(target_os = "linux")]
mod system {
    //! Processes, as the kernel shows them under `/proc`.

    use std::fs;
    use std::io;

    use super::{TOOL_OF, parent_in_stat, servers};

    pub(super) struct Processes;

    impl Processes {
        #[expect(clippy::unnecessary_wraps, reason = "elsewhere it is a program that may fail")]
        pub(super) fn read() -> io::Result<Self> {
            Ok(Self)
        }

        #[expect(clippy::unused_self, reason = "elsewhere all are read at once")]
        pub(super) fn parent(&self, process: u32) -> io::Result<u32> {
            // A name need not be UTF-8.
            let stat = fs::read(format!("/proc/{process}/stat"))?;
            parent_in_stat(&String::from_utf8_lossy(&stat))
                .ok_or_else(|| io::Error::other("its state cannot be read"))
        }

        /// The servers whose tools started it, or what started it.
        #[expect(clippy::unused_self, reason = "elsewhere all are read at once")]
        pub(super) fn marks(&self, process: u32) -> io::Result<Vec<u32>> {
            let variables = fs::read(format!("/proc/{process}/environ"))?;
            let mark = variables
                .split(|byte| *byte == 0)
                .find_map(|variable| variable.strip_prefix(TOOL_OF.as_bytes())?.strip_prefix(b"="));
            Ok(servers(&String::from_utf8_lossy(mark.unwrap_or_default())))
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    //! Processes, as `ps` lists them. Their variables are not to be had.

    use std::collections::HashMap;
    use std::io;
    use std::process::{Command, Stdio};

    pub(super) struct Processes(HashMap<u32, u32>);

    impl Processes {
        #[expect(clippy::disallowed_methods, reason = "a program of the system that only lists")]
        pub(super) fn read() -> io::Result<Self> {
            let mut ps = Command::new("ps");
            ps.args(["-A", "-o", "pid=,ppid="]).stdin(Stdio::null()).stderr(Stdio::null());
            let listed = ps.output()?;
            let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
            let pair = |line: &str| {
                let (process, parent) = line.trim().split_once(char::is_whitespace)?;
                Some((process.parse().ok()?, parent.trim().parse().ok()?))
            };
            Ok(Self(listed.lines().filter_map(pair).collect()))
        }

        pub(super) fn parent(&self, process: u32) -> io::Result<u32> {
            let parent = self.0.get(&process).copied();
            parent.ok_or_else(|| io::Error::other("it is not among the processes that run"))
        }

        #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "only Linux tells")]
        pub(super) fn marks(&self, _process: u32) -> io::Result<Vec<u32>> {
            Ok(Vec::new())
        }
    }
}

/// The parent in `/proc/<process>/stat`: `12 (a name (with) all) S 7 …`.
#[cfg(target_os = "linux")]
fn parent_in_stat(stat: &str) -> Option<u32> {
    let (_, behind) = stat.rsplit_once(')')?;
    behind.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The servers that the mark of a tool names.
#[cfg(target_os = "linux")]
fn servers(mark: &str) -> Vec<u32> {
    mark.split(',').filter_map(|process| process.parse().ok()).collect()
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::io::Read as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_parent_is_read_behind_any_name() {
        assert_eq!(parent_in_stat("12 (a) S 7 1 1 0"), Some(7));
        assert_eq!(parent_in_stat("12 (a name) S 9 (with) all) R 8 1"), Some(8));
        assert_eq!(parent_in_stat("12 (a"), None);
    }

    #[test]
    fn a_mark_may_name_several_servers() {
        assert_eq!(servers("5,7"), [5, 7]);
        assert_eq!((servers(""), servers("x,7")), (Vec::new(), vec![7]));
    }

    /// A process that ends with this; its shell has ended, and it is nobody's child.
    struct Daemon(u32);

    impl Daemon {
        #[expect(clippy::disallowed_methods, reason = "the process that is judged")]
        fn start(mark: Option<String>) -> Self {
            let mut shell = Command::new("sh");
            shell.args(["-c", "setsid sleep 60 >/dev/null 2>&1 & echo $!"]).env_remove(TOOL_OF);
            if let Some(mark) = mark {
                shell.env(TOOL_OF, mark);
            }
            let mut shell = shell.stdout(Stdio::piped()).spawn().unwrap();
            let mut process = String::new();
            shell.stdout.take().unwrap().read_to_string(&mut process).unwrap();
            shell.wait().unwrap();
            let process = process.trim().parse().unwrap();
            // A process that is just becoming another program shows no variables.
            let command = format!("/proc/{process}/cmdline");
            while !std::fs::read(&command).unwrap().starts_with(b"sleep") {
                std::thread::yield_now();
            }
            Self(process)
        }
    }

    impl Drop for Daemon {
        fn drop(&mut self) {
            let process = rustix::process::Pid::from_raw(self.0.cast_signed()).unwrap();
            let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the process that is judged")]
    fn what_a_tool_started_is_known_by_its_ancestors_or_by_its_mark() {
        let own = std::process::id();
        assert_eq!(origin(own, own), Ok(Origin::Other), "the server itself");
        let parent = std::os::unix::process::parent_id();
        assert_eq!(origin(parent, own), Ok(Origin::Other), "who started it");

        let mut shell = Command::new("sh")
            .args(["-c", "read wait"])
            .env_remove(TOOL_OF)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        assert_eq!(origin(shell.id(), own), Ok(Origin::Tool), "a child");
        shell.kill().unwrap();
        shell.wait().unwrap();
        assert!(origin(shell.id(), own).is_err(), "one that is gone");

        let marked = Daemon::start(Some(format!("1,{own}")));
        assert_eq!(origin(marked.0, own), Ok(Origin::Tool), "a daemon that a tool left behind");
        let others = Daemon::start(Some("1".to_owned()));
        assert_eq!(origin(others.0, own), Ok(Origin::Tool), "of another server's tool");
        let inner = Daemon::start(Some("1".to_owned()));
        assert_eq!(origin(others.0, inner.0), Ok(Origin::Other), "the same tool started both");
    }
}
