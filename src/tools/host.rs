//! The port for files and terminals: the editor's, or local. `tools::local` fills it for the machine,
//! `acp::client` for an editor that offers `fs/*` and `terminal/*`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::local::Local;
use crate::ids::{SessionId, TerminalId};

/// Why a file or program could not be reached. Written for the model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    #[error("`{}` does not exist", .path.display())]
    NotFound { path: PathBuf },
    #[error("`{}` is a directory", .path.display())]
    IsDirectory { path: PathBuf },
    #[error("no permission to access `{}`", .path.display())]
    Denied { path: PathBuf },
    #[error("`{}` is not UTF-8 text", .path.display())]
    NotText { path: PathBuf },
    #[error("`{}`: {message}", .path.display())]
    Io { path: PathBuf, message: String },
    #[error("failed to start the command: {message}")]
    Start { message: String },
}

/// A command to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// A line for the shell.
    pub line: String,
    pub cwd: PathBuf,
    pub timeout: Duration,
    /// Bytes of output to keep: half of it from the beginning, half from the end.
    pub output_limit: usize,
}

/// How a command is watched while it runs.
pub struct Watch<'a> {
    pub cancel: CancellationToken,
    /// The editor shows the output in this terminal; said once, and waited for before the terminal is
    /// released.
    pub on_terminal: &'a (dyn Fn(TerminalId) -> BoxFuture<'a, ()> + Send + Sync),
    /// The output so far, bounded, a few times a second; not said where the editor shows it itself.
    pub on_output: &'a (dyn Fn(&str) + Send + Sync),
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    Exited,
    TimedOut,
    Cancelled,
    /// Whoever ran it could not follow it to its end, says why, and was told to end it.
    Lost {
        message: String,
    },
}

/// Output that was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Omitted {
    Nothing,
    Bytes(u64),
    /// Some of it; whoever ran the command does not say how much.
    Some,
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    pub ended: Ended,
    pub exit_code: Option<i32>,
    pub signal: Option<String>,
    /// Standard output and error as they came, lossy UTF-8, the middle left out above the limit.
    pub output: String,
    pub omitted: Omitted,
    /// The editor's terminal that shows it.
    pub terminal: Option<TerminalId>,
}

/// Files and programs, wherever they are. All paths are absolute.
pub trait Host: Send + Sync {
    /// The text of a file as the user sees it, unsaved changes included.
    fn read_text<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, Result<String, HostError>>;

    /// Replaces the text of a file, making it and its folders where they are missing.
    fn write_text<'a>(
        &'a self,
        path: &'a Path,
        text: &'a str,
    ) -> BoxFuture<'a, Result<(), HostError>>;

    /// Runs a command until it ends, its time is over or it is cancelled; nothing that it started in
    /// its process group lives on.
    fn run<'a>(
        &'a self,
        command: Command,
        watch: Watch<'a>,
    ) -> BoxFuture<'a, Result<Finished, HostError>>;

    /// What a task of the session has that this is the host of; the session `child` does it. This machine's
    /// own, unless the host has more to offer.
    fn of_task(&self, child: &SessionId) -> Arc<dyn Host> {
        let _ = child;
        Arc::new(Local::new())
    }
}
