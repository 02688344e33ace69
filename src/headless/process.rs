//! The agent as a child process: started in a process group of its own, its error stream kept to a
//! bounded tail, ended with everything that it started.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::fault;
use crate::fault::Fault;

/// How much of the error stream is kept.
const STDERR_TAIL: usize = 8 * 1024;

/// How to start an agent.
#[derive(Debug, Clone)]
pub struct Launch {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    /// The working folder; the caller's own if absent.
    pub folder: Option<PathBuf>,
    /// Variables to set, and with `None` to take away. The rest is inherited.
    pub environment: Vec<(String, Option<String>)>,
    pub stderr: Stderr,
}

/// What becomes of the agent's error stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stderr {
    /// Its tail is kept for reports.
    Keep,
    /// It goes to ours.
    Show,
}

/// How an agent's process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// The exit code; absent if a signal ended it, or if there was no process.
    pub code: Option<i32>,
    /// For a reader: "exit code 1", "signal 9".
    pub description: String,
    pub stderr: String,
}

/// A running agent.
pub(crate) struct Process {
    child: Child,
    stderr: watch::Receiver<String>,
    work: JoinSet<()>,
}

impl Process {
    pub(crate) fn start(launch: &Launch) -> Result<(Self, ChildStdin, ChildStdout), Fault> {
        let failed = |reason: String| {
            let program = launch.program.display();
            Fault::new(fault::Kind::User, format!("cannot start the agent `{program}`: {reason}"))
        };
        let mut command = command(&launch.program);
        command
            .args(&launch.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        command.stderr(match launch.stderr {
            Stderr::Keep => Stdio::piped(),
            Stderr::Show => Stdio::inherit(),
        });
        if let Some(folder) = &launch.folder {
            command.current_dir(folder);
        }
        for (name, value) in &launch.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        own_group(&mut command);
        let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed("its standard streams are missing".to_owned()));
        };
        let (tail, stderr) = watch::channel(String::new());
        let mut work = JoinSet::new();
        if let Some(stream) = child.stderr.take() {
            work.spawn(keep_tail(stream, tail));
        }
        Ok((Self { child, stderr, work }, stdin, stdout))
    }

    pub(crate) async fn wait(&mut self) -> Option<ExitStatus> {
        self.child.wait().await.ok()
    }

    pub(crate) fn kill(&mut self) {
        kill_group(&self.child);
        self.child.start_kill().ok();
    }

    /// The tail of the error stream, complete where the stream has ended or does so at once.
    pub(crate) async fn stderr_tail(&mut self) -> String {
        let ends = async { while self.work.join_next().await.is_some() {} };
        tokio::time::timeout(std::time::Duration::from_millis(200), ends).await.ok();
        self.stderr.borrow().clone()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        kill_group(&self.child);
    }
}

/// A command of `headless`.
#[expect(clippy::disallowed_methods, reason = "the one place of `headless` where processes begin")]
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}

/// Puts what `command` starts into a process group of its own, so that it can be ended as a whole.
pub(crate) fn own_group(command: &mut Command) {
    #[cfg(unix)]
    command.process_group(0);
    #[cfg(not(unix))]
    command.kill_on_drop(true);
}

/// Kills the group of a child that has not been waited for; a child that is gone has no id.
pub(crate) fn kill_group(child: &Child) {
    #[cfg(unix)]
    if let Some(group) =
        child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw)
    {
        // The group may be gone already.
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
    }
    #[cfg(not(unix))]
    let _ = child;
}

/// "exit code 1" or "signal 9".
pub(crate) fn describe(status: ExitStatus) -> String {
    if let Some(code) = status.code() {
        return format!("exit code {code}");
    }
    signal(status).map_or_else(|| "no exit code".to_owned(), |signal| format!("signal {signal}"))
}

/// The number of the signal that ended a process.
pub(crate) fn signal(status: ExitStatus) -> Option<i32> {
    #[cfg(unix)]
    return std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    return status.code().and(None);
}

async fn keep_tail(mut stream: impl AsyncRead + Unpin, tail: watch::Sender<String>) {
    let mut buffer = vec![0; 4096];
    let mut kept: Vec<u8> = Vec::new();
    while let Ok(count) = stream.read(&mut buffer).await {
        if count == 0 {
            return;
        }
        kept.extend(buffer.iter().take(count));
        let surplus = kept.len().saturating_sub(STDERR_TAIL);
        kept.drain(..surplus);
        tail.send_replace(String::from_utf8_lossy(&kept).into_owned());
    }
}
