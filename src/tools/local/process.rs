//! A shell command in a process group of its own, followed to its end. Whatever way it ends, and also
//! when the future is dropped, the whole group ends with it.

use std::io;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::Child;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::super::host::{Command, Ended, Finished, HostError, Omitted, Watch};
use super::capture::Capture;
use super::{TOOL_OF, own_variables, tool_of};

/// How long a command that must end may take to end by itself.
const GRACE: Duration = Duration::from_millis(500);
/// How long output is waited for once the shell is gone: a program that it left behind may hold the
/// pipe open for ever.
const DRAIN: Duration = Duration::from_millis(200);
/// How often the group is looked at during the grace.
const LOOK: Duration = Duration::from_millis(20);
/// The time between two pictures of the output.
const SHOW: Duration = Duration::from_millis(250);
/// The bytes of a picture of the output.
const SHOWN: usize = 8 * 1024;

pub(super) async fn run(command: Command, watch: Watch<'_>) -> Result<Finished, HostError> {
    let mut running = Running::start(&command)?;
    let ended = running.follow(command.timeout, &watch).await;
    if ended == Ended::Exited {
        running.drain().await;
    } else {
        running.stop().await;
    }
    running.bury().await;
    Ok(Finished {
        ended,
        exit_code: running.status.and_then(|status| status.code()),
        signal: running.status.and_then(signal),
        output: running.output.text(),
        omitted: match running.output.omitted() {
            0 => Omitted::Nothing,
            bytes => Omitted::Bytes(bytes),
        },
        terminal: None,
    })
}

struct Running {
    // Dropped first: the group is killed while its leader is not reaped yet.
    group: Group,
    child: Child,
    status: Option<ExitStatus>,
    /// `None` after its end.
    pipe: Option<pipe::Pipe>,
    output: Capture,
}

impl Running {
    fn start(command: &Command) -> Result<Self, HostError> {
        if !command.cwd.is_dir() {
            let message = format!("the folder `{}` does not exist", command.cwd.display());
            return Err(HostError::Start { message });
        }
        let start = || -> io::Result<(Child, pipe::Pipe)> {
            // One pipe for both, so that the order stays.
            let (reader, writer) = io::pipe()?;
            let mut shell = shell(&command.line);
            shell
                .current_dir(&command.cwd)
                .stdin(Stdio::null())
                .stdout(writer.try_clone()?)
                .stderr(writer)
                .env("GIT_TERMINAL_PROMPT", "0")
                .env("PAGER", "cat")
                .env("GIT_PAGER", "cat")
                .env("TERM", "dumb")
                .kill_on_drop(true);
            for name in own_variables() {
                shell.env_remove(name);
            }
            shell.env(TOOL_OF, tool_of());
            Ok((shell.spawn()?, pipe::Pipe::open(reader)?))
        };
        let (child, pipe) =
            start().map_err(|error| HostError::Start { message: error.to_string() })?;
        let output = Capture::new(command.output_limit);
        Ok(Self { group: Group::of(&child), child, status: None, pipe: Some(pipe), output })
    }

    /// Until the shell exits, the time is over or the call is cancelled.
    async fn follow(&mut self, limit: Duration, watch: &Watch<'_>) -> Ended {
        let mut deadline = pin!(sleep(limit));
        let mut picture = None;
        loop {
            let mut shown = false;
            tokio::select! {
                // What ends the command goes first, its output last: a loud command must not hide them.
                biased;
                () = watch.cancel.cancelled() => return Ended::Cancelled,
                () = &mut deadline => return Ended::TimedOut,
                status = self.child.wait() => {
                    self.status = status.ok();
                    return Ended::Exited;
                }
                () = due(&mut picture) => {
                    shown = true;
                    (watch.on_output)(&self.output.last(SHOWN));
                }
                () = pump(&mut self.pipe, &mut self.output) => {}
            }
            if shown {
                picture = None;
            } else if picture.is_none() {
                picture = Some(Box::pin(sleep(SHOW)));
            }
        }
    }

    /// Asks the group to end and gives it some time for that.
    async fn stop(&mut self) {
        self.group.terminate();
        let mut grace = pin!(sleep(GRACE));
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // The end of the grace goes first, so that output cannot prolong it.
                biased;
                () = &mut grace => return,
                status = self.child.wait(), if self.status.is_none() => self.status = status.ok(),
                _ = look.tick() => {
                    if self.status.is_some() && self.group.is_gone() {
                        return;
                    }
                }
                () = pump(&mut self.pipe, &mut self.output) => {}
            }
        }
    }

    /// Reads what is still in the pipe.
    async fn drain(&mut self) {
        let (pipe, output) = (&mut self.pipe, &mut self.output);
        let rest = async {
            while pipe.is_some() {
                pump(pipe, output).await;
            }
        };
        // Too late is no error: what came is what is told.
        drop(timeout(DRAIN, rest).await);
    }

    /// Kills what is left of the group and takes in its last output and the exit status.
    async fn bury(&mut self) {
        self.group.kill();
        if self.status.is_none() {
            let status = timeout(GRACE, self.child.wait()).await;
            self.status = status.ok().and_then(Result::ok);
        }
        self.drain().await;
    }
}

/// The next piece of output, or the end of the pipe; pending for ever after that. Cancelling it loses
/// nothing.
async fn pump(pipe: &mut Option<pipe::Pipe>, output: &mut Capture) {
    match pipe {
        None => std::future::pending().await,
        Some(open) => {
            if !open.read_into(output).await {
                *pipe = None;
            }
        }
    }
}

async fn due(picture: &mut Option<std::pin::Pin<Box<tokio::time::Sleep>>>) {
    match picture {
        None => std::future::pending().await,
        Some(sleep) => sleep.as_mut().await,
    }
}

#[cfg(unix)]
#[expect(clippy::disallowed_methods, reason = "the one place where commands of the model start")]
fn shell(line: &str) -> tokio::process::Command {
    let mut shell = tokio::process::Command::new("sh");
    shell.arg("-c").arg(line).process_group(0);
    shell
}

#[cfg(windows)]
#[expect(clippy::disallowed_methods, reason = "the one place where commands of the model start")]
fn shell(line: &str) -> tokio::process::Command {
    let mut shell = tokio::process::Command::new("cmd");
    // `/S` makes `cmd` take off the outer quotes and leave all others alone.
    shell.raw_arg("/D /S /C").raw_arg(format!("\"{line}\""));
    shell
}

#[cfg(unix)]
fn signal(status: ExitStatus) -> Option<String> {
    use std::os::unix::process::ExitStatusExt as _;
    let number = status.signal()?;
    let name = match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        _ => return Some(format!("signal {number}")),
    };
    Some(name.to_owned())
}

#[cfg(windows)]
fn signal(_status: ExitStatus) -> Option<String> {
    None
}

/// The processes of a command. Dropping it kills them.
struct Group {
    /// `None` once they were killed: the number may then be another's.
    #[cfg(unix)]
    id: Option<rustix::process::Pid>,
    #[cfg(windows)]
    id: Option<u32>,
}

#[cfg(unix)]
impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self { id: id.and_then(rustix::process::Pid::from_raw) }
    }

    fn terminate(&self) {
        if let Some(id) = self.id {
            // An error says that nobody is left.
            let _ = rustix::process::kill_process_group(id, rustix::process::Signal::TERM);
        }
    }

    fn kill(&mut self) {
        if let Some(id) = self.id.take() {
            // An error says that nobody is left.
            let _ = rustix::process::kill_process_group(id, rustix::process::Signal::KILL);
        }
    }

    fn is_gone(&self) -> bool {
        self.id.is_none_or(|id| rustix::process::test_kill_process_group(id).is_err())
    }
}

#[cfg(windows)]
impl Group {
    fn of(child: &Child) -> Self {
        Self { id: child.id() }
    }

    // A console program has no gentle way to be asked.
    fn terminate(&self) {
        taskkill(self.id);
    }

    fn kill(&mut self) {
        taskkill(self.id.take());
    }

    fn is_gone(&self) -> bool {
        false
    }
}

/// Ends a process and those that it started, as far as it still runs.
#[cfg(windows)]
fn taskkill(id: Option<u32>) {
    let Some(id) = id else { return };
    let mut command = std::process::Command::new("taskkill");
    command.args(["/T", "/F", "/PID", &id.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Without `taskkill` the shell alone is killed, as it is dropped.
    drop(command.spawn());
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(unix)]
mod pipe {
    //! The reading end of the output, without a thread.

    use super::Capture;
    use std::io::{self, PipeReader};
    use std::os::fd::OwnedFd;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::unix::pipe::Receiver;

    pub(super) struct Pipe {
        receiver: Receiver,
        buffer: Box<[u8]>,
    }

    impl Pipe {
        pub(super) fn open(reader: PipeReader) -> io::Result<Self> {
            let receiver = Receiver::from_owned_fd(OwnedFd::from(reader))?;
            Ok(Self { receiver, buffer: vec![0; 16 * 1024].into_boxed_slice() })
        }

        /// Whether the pipe goes on.
        pub(super) async fn read_into(&mut self, output: &mut Capture) -> bool {
            let count = self.receiver.read(&mut self.buffer).await.unwrap_or(0);
            output.push(self.buffer.get(..count).unwrap_or_default());
            count > 0
        }
    }
}

#[cfg(windows)]
mod pipe {
    //! The reading end of the output, on a thread that ends with the pipe.

    use super::Capture;
    use std::io::{self, PipeReader, Read as _};
    use tokio::sync::mpsc;

    pub(super) struct Pipe {
        pieces: mpsc::Receiver<Vec<u8>>,
    }

    impl Pipe {
        pub(super) fn open(mut reader: PipeReader) -> io::Result<Self> {
            let (sender, pieces) = mpsc::channel(4);
            std::thread::Builder::new().name("output".to_owned()).spawn(move || {
                let mut buffer = vec![0; 16 * 1024];
                while let Ok(count @ 1..) = reader.read(&mut buffer) {
                    let piece = buffer.get(..count).unwrap_or_default().to_vec();
                    if sender.blocking_send(piece).is_err() {
                        break;
                    }
                }
            })?;
            Ok(Self { pieces })
        }

        /// Whether the pipe goes on.
        pub(super) async fn read_into(&mut self, output: &mut Capture) -> bool {
            match self.pieces.recv().await {
                Some(piece) => {
                    output.push(&piece);
                    true
                }
                None => false,
            }
        }
    }
}
