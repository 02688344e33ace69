//! git as a program: what it is started with, what is read of what it prints, and when it has taken too
//! long. It does not know what it is asked for.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::time::timeout;

use super::WorktreeError;

/// Checking out a large repository on a slow disk takes minutes; what takes longer hangs.
const LIMIT: Duration = Duration::from_mins(10);
/// What is read of an answer that is used as a whole.
const MOST: usize = 64 * 1024 * 1024;
/// What is kept of what git complains about.
const COMPLAINT: usize = 16 * 1024;
/// What a user is shown of it.
const COMPLAINT_LINES: usize = 4;
const COMPLAINT_LINE: usize = 300;

#[cfg(not(windows))]
const NOTHING: &str = "/dev/null";
#[cfg(windows)]
const NOTHING: &str = "NUL";

/// Settings that stand above the user's: nothing of theirs is run but filters and merge drivers, no index
/// refers to another file, and no cleaning begins.
const SETTINGS: &[&str] = &[
    "core.fsmonitor=false",
    "core.splitIndex=false",
    "core.safecrlf=false",
    "core.quotePath=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
    "advice.addEmbeddedRepo=false",
    #[cfg(windows)]
    "core.longpaths=true",
];

/// The program, and what it is started with besides.
#[derive(Debug, Clone)]
pub(super) struct Git {
    program: OsString,
    /// For tests: they read no configuration of the machine.
    variables: Vec<(OsString, OsString)>,
    /// `name=value`, besides [`SETTINGS`].
    settings: Vec<String>,
}

impl Default for Git {
    fn default() -> Self {
        Self { program: "git".into(), variables: Vec::new(), settings: Vec::new() }
    }
}

impl Git {
    #[cfg(test)]
    pub(super) fn of(program: impl Into<OsString>, variables: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| (OsString::from(*name), OsString::from(*value));
        let variables = variables.iter().map(owned).collect();
        Self { program: program.into(), variables, settings: Vec::new() }
    }

    #[must_use]
    pub(super) fn with_settings(&self, settings: Vec<String>) -> Self {
        Self { settings, ..self.clone() }
    }

    /// Git's command `command`, run in `folder`.
    pub(super) fn call(&self, folder: &Path, command: &'static str) -> Call<'_> {
        Call {
            git: self,
            folder: folder.to_owned(),
            command,
            setting: None,
            arguments: Vec::new(),
            variables: Vec::new(),
            most: MOST,
            end: EndOfCaller::EndsIt,
        }
    }
}

/// What becomes of the process when nobody waits for it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EndOfCaller {
    EndsIt,
    /// It writes to the user's files, and half of it would be worse than all.
    LeavesIt,
}

/// One run of git.
pub(super) struct Call<'a> {
    git: &'a Git,
    folder: PathBuf,
    command: &'static str,
    setting: Option<&'static str>,
    arguments: Vec<OsString>,
    variables: Vec<(&'static str, OsString)>,
    most: usize,
    end: EndOfCaller,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Answer {
    command: &'static str,
    /// Absent where a signal ended it.
    pub(super) code: Option<i32>,
    pub(super) bytes: Vec<u8>,
    pub(super) is_cut: bool,
    pub(super) complaint: String,
}

impl Call<'_> {
    #[must_use]
    pub(super) fn args<S: AsRef<OsStr>>(mut self, arguments: &[S]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// `name=value`, for this call alone.
    #[must_use]
    pub(super) fn setting(mut self, setting: &'static str) -> Self {
        self.setting = Some(setting);
        self
    }

    #[must_use]
    pub(super) fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// So many bytes of the answer; git is ended where there are more.
    #[must_use]
    pub(super) fn most(mut self, bytes: usize) -> Self {
        self.most = bytes;
        self
    }

    /// It goes to its end even if the caller is dropped.
    #[must_use]
    pub(super) fn unbroken(mut self) -> Self {
        self.end = EndOfCaller::LeavesIt;
        self
    }

    /// The answer, if git says that it went well.
    pub(super) async fn done(self) -> Result<Vec<u8>, WorktreeError> {
        let answer = self.run().await?;
        if answer.code == Some(0) { Ok(answer.bytes) } else { Err(answer.failure()) }
    }

    /// The same as text on one line, as object names and folders are.
    pub(super) async fn line(self) -> Result<String, WorktreeError> {
        let bytes = self.done().await?;
        let text = String::from_utf8(bytes).map_err(|_| {
            WorktreeError::Failed(
                "a folder of the repository has a name that is not UTF-8".to_owned(),
            )
        })?;
        Ok(text.strip_suffix("\r\n").or(text.strip_suffix('\n')).unwrap_or(&text).to_owned())
    }

    /// The answer, whatever it is.
    pub(super) async fn run(self) -> Result<Answer, WorktreeError> {
        if !self.folder.is_dir() {
            let folder = self.folder.display();
            return Err(WorktreeError::Failed(format!("the folder `{folder}` does not exist")));
        }
        let mut command = self.process();
        let mut child = command.stdin(Stdio::null()).spawn().map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                return WorktreeError::NoGit;
            }
            self.broken(&error)
        })?;
        let (Some(mut stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take())
        else {
            return Err(self.broken(&io::Error::from(io::ErrorKind::BrokenPipe)));
        };
        let read = async {
            let mut bytes = Vec::new();
            let answer = async {
                let most = u64::try_from(self.most).unwrap_or(u64::MAX);
                let count =
                    (&mut stdout).take(most.saturating_add(1)).read_to_end(&mut bytes).await;
                // Nobody reads on: git gets an error where it writes more.
                drop(stdout);
                count
            };
            let (answer, complaint) = tokio::join!(answer, complaint(&mut stderr));
            answer?;
            Ok::<_, io::Error>((bytes, complaint, child.wait().await?))
        };
        let read = timeout(LIMIT, read).await.map_err(|_| {
            let (command, limit) = (self.command, LIMIT.as_secs());
            let why = format!("`git {command}` took longer than {limit} seconds and was ended");
            WorktreeError::Failed(why)
        })?;
        let (mut bytes, complaint, status) = read.map_err(|error| self.broken(&error))?;
        let is_cut = bytes.len() > self.most;
        bytes.truncate(self.most);
        tracing::trace!(command = self.command, code = ?status.code(), "git ran");
        Ok(Answer { command: self.command, code: status.code(), bytes, is_cut, complaint })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where git starts; no shell, no terminal"
    )]
    fn process(&self) -> Command {
        let mut command = Command::new(&self.git.program);
        for (name, _) in std::env::vars_os() {
            if is_left_out(&name.to_string_lossy()) {
                command.env_remove(name);
            }
        }
        command.arg("-c").arg(format!("core.hooksPath={NOTHING}"));
        let own = self.git.settings.iter().map(String::as_str);
        for setting in SETTINGS.iter().copied().chain(own).chain(self.setting) {
            command.arg("-c").arg(setting);
        }
        command
            .arg(self.command)
            .args(&self.arguments)
            .current_dir(&self.folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(self.end == EndOfCaller::EndsIt)
            .env("LC_ALL", "C")
            .env_remove("LANGUAGE")
            .env("GIT_TERMINAL_PROMPT", "0")
            // Who commits is said here: without it git asks the user's configuration and may refuse.
            .env("GIT_AUTHOR_NAME", "Talaria")
            .env("GIT_AUTHOR_EMAIL", "talaria@localhost")
            .env("GIT_COMMITTER_NAME", "Talaria")
            .env("GIT_COMMITTER_EMAIL", "talaria@localhost")
            .envs(self.git.variables.iter().map(|(name, value)| (name, value)))
            .envs(self.variables.iter().map(|(name, value)| (*name, value)));
        command
    }

    fn broken(&self, error: &io::Error) -> WorktreeError {
        WorktreeError::Failed(format!("`git {}` could not be run: {error}", self.command))
    }
}

/// What git complains of, as far as anyone would read it; the rest is read and forgotten.
async fn complaint(from: &mut (impl AsyncRead + Unpin)) -> String {
    let (mut text, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        let room = COMPLAINT.saturating_sub(text.len()).min(count);
        text.extend_from_slice(piece.get(..room).unwrap_or_default());
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Whether git is not to have the variable: ours, and those that say which repository, index or objects are
/// meant. The ones that say where its configuration and its parts are stay.
fn is_left_out(name: &str) -> bool {
    const STAY: [&str; 9] = [
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_SYSTEM",
        "GIT_CONFIG_NOSYSTEM",
        "GIT_CONFIG_COUNT",
        "GIT_EXEC_PATH",
        "GIT_CEILING_DIRECTORIES",
        "GIT_DISCOVERY_ACROSS_FILESYSTEM",
        "GIT_SSL_CAINFO",
        "GIT_SSL_CAPATH",
    ];
    let pairs = ["GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_"];
    let stays = STAY.contains(&name) || pairs.iter().any(|pair| name.starts_with(pair));
    (name.starts_with("GIT_") && !stays) || name.starts_with("TALARIA_")
}

impl Answer {
    /// Why it did not go well: the first lines of what git says.
    pub(super) fn failure(&self) -> WorktreeError {
        let says = |text: &str| self.complaint.contains(text);
        if says("dubious ownership") {
            return WorktreeError::NotTrusted;
        }
        if says("not a git repository") {
            return WorktreeError::NoRepository;
        }
        if says("must be run in a work tree") {
            return WorktreeError::Bare;
        }
        let lines = self.complaint.lines().map(crate::letters::one_line);
        let lines: Vec<String> = lines
            .filter(|line| !line.is_empty() && !line.starts_with("hint:"))
            .take(COMPLAINT_LINES)
            .map(|line| crate::letters::cut(&line, COMPLAINT_LINE))
            .collect();
        let why = match self.code {
            _ if !lines.is_empty() => lines.join("; "),
            Some(code) => format!("it ended with {code} and said nothing"),
            None => "something ended it".to_owned(),
        };
        WorktreeError::Failed(format!("`git {}` failed: {why}", self.command))
    }
}
