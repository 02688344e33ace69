//! The editor's files for who cannot wait for it for ever, as tasks cannot: it is asked where it is likely to
//! answer, it has a few seconds, and then the disk says what is true. And the host of tasks, which has nothing
//! else of the editor.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent_client_protocol::Error;
use agent_client_protocol::v1::schema as acp;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{AFTER_CANCEL, EditorHost, editor_said};
use crate::ids::SessionId;
use crate::tools::host::{Command, Finished, Host, HostError, Watch};

/// How long the editor has for each file.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the tasks of a session have: this machine's terminals, and the editor's files while it answers.
pub(super) struct TaskHost {
    editor: EditorHost,
}

impl TaskHost {
    /// The host of the task that `child` does, below the session of `editor`.
    pub(super) fn new(editor: &EditorHost, child: &SessionId) -> Self {
        let mut editor = editor.clone();
        // Others know the session only that the user opened.
        if editor.viewer.subagents {
            editor.session = acp::SessionId::new(child.as_str());
        }
        Self { editor }
    }
}

impl Host for TaskHost {
    fn read_text<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, Result<String, HostError>> {
        self.editor.read_in_time(path).boxed()
    }

    fn write_text<'a>(
        &'a self,
        path: &'a Path,
        text: &'a str,
    ) -> BoxFuture<'a, Result<(), HostError>> {
        self.editor.write_in_time(path, text).boxed()
    }

    fn run<'a>(
        &'a self,
        command: Command,
        watch: Watch<'a>,
    ) -> BoxFuture<'a, Result<Finished, HostError>> {
        self.editor.local.run(command, watch)
    }

    fn of_task(&self, child: &SessionId) -> Arc<dyn Host> {
        Arc::new(Self::new(&self.editor, child))
    }
}

impl EditorHost {
    /// Reads as the editor has it, or as the disk has it where the editor need not be asked, refuses, or does
    /// not answer in time.
    pub(super) async fn read_in_time(&self, path: &Path) -> Result<String, HostError> {
        let leave = self.reads(path).then(|| self.reach.leave(self.viewer.late)).flatten();
        let Some(leave) = leave else { return self.local.read_text(path).await };
        let request = acp::ReadTextFileRequest::new(self.session.clone(), path);
        let answer = self.connection.send_request(request).block_task();
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(response)) => Ok(response.content),
            Ok(Err(error)) => {
                tracing::debug!(code = i32::from(error.code), "the editor did not read a file");
                self.local.read_text(path).await
            }
            // Dropped unanswered, the request is taken back.
            Err(_) => {
                self.reach.unanswered(leave);
                tracing::info!("the editor did not read a file in time; the disk is read");
                self.local.read_text(path).await
            }
        }
    }

    /// Writes through the editor, or to the disk where the editor need not be asked or does not answer in time.
    /// What it refuses is not written.
    ///
    /// A write that gets no answer may still be done, at any time. It is taken back, and an editor that
    /// answers that has said which it is. Where it is still silent, the same text is put on the disk, so
    /// that the file is what was asked for whether the editor did it or not. What is written later goes to
    /// the disk, too, until the next prompt. An editor that does the old write after that has put back an
    /// older text; then the file is not what the model knows, and is read again before it is changed.
    pub(super) async fn write_in_time(&self, path: &Path, text: &str) -> Result<(), HostError> {
        let leave = self.writes(path).then(|| self.reach.leave(self.viewer.late)).flatten();
        let Some(leave) = leave else { return self.local.write_text(path, text).await };
        let request = acp::WriteTextFileRequest::new(self.session.clone(), path, text);
        let sent = self.connection.send_request(request);
        let request = sent.cancellation_handle();
        let answer = sent.block_task();
        tokio::pin!(answer);
        let refused = |error| HostError::Io { path: path.to_owned(), message: editor_said(&error) };
        if let Ok(answer) = tokio::time::timeout(PATIENCE, &mut answer).await {
            return answer.map(|_| ()).map_err(refused);
        }
        self.reach.unanswered(leave);
        drop(request.cancel());
        match tokio::time::timeout(AFTER_CANCEL, &mut answer).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) if error.code != Error::request_cancelled().code => {
                return Err(refused(error));
            }
            Ok(Err(_)) | Err(_) => {}
        }
        tracing::info!("the editor did not write a file in time; it is written to the disk");
        // It may have written and not said so: programs that watch the file need not see it change twice.
        if self.local.read_text(path).await.is_ok_and(|written| written == text) {
            return Ok(());
        }
        self.local.write_text(path, text).await
    }
}

#[cfg(test)]
mod tests;
