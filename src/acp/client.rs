//! The editor's files and terminals as the tools' host, with the machine's own behind it: an editor is
//! asked for what it offers, and only for paths in the session's roots. What tasks have of it is in `files`.

mod files;
mod reach;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent_client_protocol::v1::schema as acp;
use agent_client_protocol::{Client, ConnectionTo, Error};
use futures::future::BoxFuture;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::files::TaskHost;
pub(super) use self::reach::Reach;
use super::inbound::Features;
use crate::ids::{SessionId, TerminalId};
use crate::tools::host::{Command, Ended, Finished, Host, HostError, Omitted, Watch};
use crate::tools::local::{Local, TOOL_OF, tool_of};
use crate::tools::roots::Roots;
use crate::viewer::Viewer;

/// How long a killed terminal may take to say its exit status.
const AFTER_KILL: Duration = Duration::from_secs(1);
/// How long a request that was taken back is waited for: an editor which answers at once has its terminal back
/// before the prompt ends, and says whether it wrote a file.
const AFTER_CANCEL: Duration = Duration::from_millis(100);

/// Files and terminals of a session whose editor offers some of them.
#[derive(Clone)]
pub(super) struct EditorHost {
    pub(super) session: acp::SessionId,
    pub(super) connection: ConnectionTo<Client>,
    pub(super) features: Features,
    pub(super) viewer: Viewer,
    pub(super) reach: Reach,
    pub(super) roots: Arc<Roots>,
    pub(super) local: Local,
    /// The connection's tasks, and when they end.
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

impl Host for EditorHost {
    fn read_text<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, Result<String, HostError>> {
        if !self.reads(path) {
            return self.local.read_text(path);
        }
        if !self.reach.is_open() {
            // A turn that no user asked for: nobody would see that it waits.
            return Box::pin(self.read_in_time(path));
        }
        Box::pin(async move {
            let request = acp::ReadTextFileRequest::new(self.session.clone(), path);
            match self.connection.send_request(request).block_task().await {
                Ok(response) => Ok(response.content),
                // Editors refuse files that they do not show, such as ignored or very large ones; the
                // disk then says what is true.
                Err(error) => {
                    tracing::debug!(code = i32::from(error.code), "the editor did not read a file");
                    self.local.read_text(path).await
                }
            }
        })
    }

    fn write_text<'a>(
        &'a self,
        path: &'a Path,
        text: &'a str,
    ) -> BoxFuture<'a, Result<(), HostError>> {
        if !self.writes(path) {
            return self.local.write_text(path, text);
        }
        if !self.reach.is_open() {
            return Box::pin(self.write_in_time(path, text));
        }
        Box::pin(async move {
            let request = acp::WriteTextFileRequest::new(self.session.clone(), path, text);
            self.connection.send_request(request).block_task().await.map(|_| ()).map_err(|error| {
                HostError::Io { path: path.to_owned(), message: editor_said(&error) }
            })
        })
    }

    fn run<'a>(
        &'a self,
        command: Command,
        watch: Watch<'a>,
    ) -> BoxFuture<'a, Result<Finished, HostError>> {
        if !self.features.terminal {
            return self.local.run(command, watch);
        }
        Box::pin(self.run_in_editor(command, watch))
    }

    fn of_task(&self, child: &SessionId) -> Arc<dyn Host> {
        Arc::new(TaskHost::new(self, child))
    }
}

impl EditorHost {
    /// Whether the editor has this file to be read.
    fn reads(&self, path: &Path) -> bool {
        self.features.read && self.roots.contain(path)
    }

    /// Whether the editor has this file to be written.
    fn writes(&self, path: &Path) -> bool {
        self.features.write && self.roots.contain(path)
    }

    async fn run_in_editor(
        &self,
        command: Command,
        watch: Watch<'_>,
    ) -> Result<Finished, HostError> {
        let Some(release) = self.create(&command, &watch.cancel).await? else {
            return Ok(Finished {
                ended: Ended::Cancelled,
                exit_code: None,
                signal: None,
                output: String::new(),
                omitted: Omitted::Nothing,
                terminal: None,
            });
        };
        let terminal = release.terminal.clone();
        let shown = (watch.on_terminal)(TerminalId::new(terminal.0.clone()));
        // An editor keeps what a released terminal said only where it was shown before. The command is
        // followed meanwhile, so that a slow reader delays neither its limit nor a cancel.
        let ((), finished) = tokio::join!(shown, self.follow(&command, &watch, &terminal));
        release.now().await;
        Ok(finished)
    }

    /// Until the command exits, its time is over or the call is cancelled; what it said.
    async fn follow(
        &self,
        command: &Command,
        watch: &Watch<'_>,
        terminal: &acp::TerminalId,
    ) -> Finished {
        let exit = self.connection.send_request(acp::WaitForTerminalExitRequest::new(
            self.session.clone(),
            terminal.clone(),
        ));
        let exit = exit.block_task();
        tokio::pin!(exit);
        let (ended, mut exited) = tokio::select! {
            biased;
            () = watch.cancel.cancelled() => (Ended::Cancelled, None),
            exited = &mut exit => match exited {
                Ok(exited) => (Ended::Exited, Some(exited)),
                Err(error) => (Ended::Lost { message: editor_said(&error) }, None),
            },
            () = tokio::time::sleep(command.timeout) => (Ended::TimedOut, None),
        };
        if ended != Ended::Exited {
            self.kill(terminal).await;
        }
        if matches!(ended, Ended::TimedOut | Ended::Cancelled) {
            exited = tokio::time::timeout(AFTER_KILL, &mut exit).await.ok().and_then(Result::ok);
        }
        let output = self
            .connection
            .send_request(acp::TerminalOutputRequest::new(self.session.clone(), terminal.clone()));
        let output = tokio::time::timeout(AFTER_KILL, output.block_task()).await;
        let output = match output {
            Ok(Ok(output)) => output,
            // It ran: this is no reason to run it again.
            Ok(Err(error)) => acp::TerminalOutputResponse::new(editor_said(&error), false),
            Err(_) => acp::TerminalOutputResponse::new(String::new(), true),
        };
        // Some editors say it in one place, some in the other.
        let status = exited
            .map(|exited| exited.exit_status)
            .filter(|status| *status != acp::TerminalExitStatus::new());
        let status = status.or(output.exit_status).unwrap_or_default();
        Finished {
            ended,
            exit_code: status.exit_code.and_then(|code| i32::try_from(code).ok()),
            signal: status.signal,
            output: output.output,
            omitted: if output.truncated { Omitted::Some } else { Omitted::Nothing },
            terminal: Some(TerminalId::new(terminal.0.clone())),
        }
    }

    /// A terminal in which the command runs; none where the call was cancelled before there was one. It
    /// is made in a task that outlives the call, so that one that comes late is released too.
    async fn create(
        &self,
        command: &Command,
        cancel: &CancellationToken,
    ) -> Result<Option<Release>, HostError> {
        let (program, args) = shell(&command.line);
        let request = acp::CreateTerminalRequest::new(self.session.clone(), program)
            .args(args)
            .cwd(command.cwd.clone())
            // It is the editor's process, and a tool of ours all the same.
            .env(vec![acp::EnvVariable::new(TOOL_OF, tool_of().to_string_lossy())])
            .output_byte_limit(command.output_limit as u64);
        let sent = self.connection.send_request(request);
        let request = sent.cancellation_handle();
        let (sender, mut created) = oneshot::channel();
        let (connection, session) = (self.connection.clone(), self.session.clone());
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let answer = tokio::select! {
                biased;
                answer = sent.block_task() => answer,
                // No answer comes any more.
                () = stop.cancelled() => return,
            };
            let release = answer.map(|created| Release {
                connection,
                session,
                terminal: created.terminal_id,
                armed: true,
            });
            // Without a receiver it is dropped, which releases the terminal.
            drop(sender.send(release));
        });
        let created = tokio::select! {
            biased;
            created = &mut created => created,
            () = cancel.cancelled() => {
                drop(request.cancel());
                match tokio::time::timeout(AFTER_CANCEL, created).await {
                    Ok(Ok(created)) => Ok(created),
                    Ok(Err(_)) | Err(_) => return Ok(None),
                }
            }
        };
        match created {
            Ok(Ok(release)) => Ok(Some(release)),
            Ok(Err(_)) if cancel.is_cancelled() => Ok(None),
            Ok(Err(error)) => Err(HostError::Start { message: editor_said(&error) }),
            Err(_) => Err(HostError::Start { message: "the connection ends".to_owned() }),
        }
    }

    async fn kill(&self, terminal: &acp::TerminalId) {
        let request = acp::KillTerminalRequest::new(self.session.clone(), terminal.clone());
        let sent = self.connection.send_request(request);
        drop(tokio::time::timeout(AFTER_KILL, sent.block_task()).await);
    }
}

/// Releases a terminal once, also when the call is dropped in the middle.
struct Release {
    connection: ConnectionTo<Client>,
    session: acp::SessionId,
    terminal: acp::TerminalId,
    armed: bool,
}

impl Release {
    async fn now(mut self) {
        self.armed = false;
        let sent = self.connection.send_request(self.request());
        drop(tokio::time::timeout(AFTER_KILL, sent.block_task()).await);
    }

    fn request(&self) -> acp::ReleaseTerminalRequest {
        acp::ReleaseTerminalRequest::new(self.session.clone(), self.terminal.clone())
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        if self.armed {
            // Nobody waits for the answer: releasing also kills.
            self.connection.send_request(self.request()).detach();
        }
    }
}

fn editor_said(error: &Error) -> String {
    let message: String = error.message.chars().take(300).collect();
    format!("the editor said: {message}")
}

fn shell(line: &str) -> (String, Vec<String>) {
    if cfg!(windows) {
        ("cmd".to_owned(), vec!["/C".to_owned(), line.to_owned()])
    } else {
        ("sh".to_owned(), vec!["-c".to_owned(), line.to_owned()])
    }
}
