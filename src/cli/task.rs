//! `talaria task`: the background tasks of a session that is open in an editor, from the command line. It asks the
//! server that has the session, through its control socket; it chooses the session and prints.
//!
//! Exit codes: [`code`].

mod ask;
mod door;
mod screen;
mod selection;
mod spawn;
mod words;
mod watch;

use std::io;
use std::io::Write;
use std::process::ExitCode;
use std::str::FromStr;

use talaria_protocol::ErrorKind;
use talaria_protocol::task::{Choice, TaskState};

use self::door::Door;
use crate::config::Environment;
use crate::control::client::ClientError;
use crate::fault::{Fault, Kind};
use crate::tasks::TaskName;

/// How a command ended.
mod code {
    pub(super) const DONE: u8 = 0;
    /// The operation was refused, or it failed.
    pub(super) const FAILED: u8 = 1;
    /// Wrong usage.
    pub(super) const USAGE: u8 = 2;
    /// No server, no session, or several that could be meant.
    pub(super) const NO_SESSION: u8 = 3;
    pub(super) const UNKNOWN_TASK: u8 = 4;
    /// This process may not.
    pub(super) const MAY_NOT: u8 = 5;
    /// The time was over; the task goes on.
    pub(super) const TIME_OUT: u8 = 6;
    /// A task that was waited for did not complete.
    pub(super) const TASK_FAILED: u8 = 7;
    pub(super) const CONFLICT: u8 = 8;
    /// Ctrl-C, as shells have it.
    pub(super) const INTERRUPTED: u8 = 130;
}

/// Background tasks of a session that is open in an editor.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The session is that of `--session`, else the one with the longest root that holds this folder, and of \
    several the one that was used last.\n\n\
    Exit codes: 0 it was done; 1 it was refused, or failed; 2 wrong usage; 3 no session is open here, or it is not clear \
    which one is meant; 4 there is no such task; 5 this process may not (another user's session, or it was started by a \
    tool of Talaria's); 6 the time was over, and the task goes on; 7 a task that was waited for failed, was cancelled or \
    was interrupted; 8 a conflict, and nothing was merged; 130 Ctrl-C.\n\n\
    docs/TASKS.md has examples and key bindings for editors."
)]
pub struct TaskArgs {
    /// The session: its id, or the beginning of one
    #[arg(long, global = true, value_name = "ID")]
    session: Option<String>,
    /// Prints the answer as a line of JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: TaskCommand,
}

#[derive(Debug, clap::Subcommand)]
enum TaskCommand {
    /// Starts a task
    Spawn(Box<spawn::SpawnArgs>),
    /// Shows how a task stands, with its last lines; does not wait
    Check {
        #[arg(value_name = "TASK", value_parser = task_name)]
        task: String,
        /// So many of its last lines, at most 200
        #[arg(long, value_name = "N", default_value_t = 10)]
        lines: u32,
    },
    /// Says something to a task, which sees it before its next request to the model
    Steer {
        #[arg(value_name = "TASK", value_parser = task_name)]
        task: String,
        /// What to say; `-` reads it from standard input
        #[arg(required = true, value_name = "MESSAGE")]
        message: Vec<String>,
    },
    /// Waits for the reports of tasks and shows them
    Collect {
        #[arg(required = true, value_name = "TASK", value_parser = task_name)]
        tasks: Vec<String>,
        /// Until one of them has ended, not all
        #[arg(long)]
        any: bool,
        /// Seconds to wait, at most 3600
        #[arg(long, value_name = "S", default_value_t = ask::WAIT, value_parser = clap::value_parser!(u64).range(..=ask::LONGEST_WAIT))]
        timeout: u64,
    },
    /// Ends tasks with all that is below them
    Cancel {
        #[command(flatten)]
        which: Which,
        /// Why, for their reports
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Lists the tasks of the session, newest first
    List {
        /// Those in this state alone
        #[arg(long, value_parser = task_state)]
        state: Option<TaskState>,
    },
    /// Shows tasks as they change, until they have ended
    Watch(watch::WatchArgs),
    /// Shows what a task asks for, or answers it
    Answer {
        #[arg(value_name = "TASK", value_parser = task_name)]
        task: String,
        /// `allow`, `always` (this and what is like it, in this session) or `deny`
        #[arg(value_parser = choice)]
        answer: Option<Choice>,
        /// The question that is meant, as `answer TASK` shows it; where the task asks something else by now, nothing
        /// is answered
        #[arg(long, value_name = "ID", requires = "answer")]
        question: Option<String>,
        /// With `deny`: why, said to the task
        #[arg(long, value_name = "TEXT", requires = "answer")]
        reason: Option<String>,
    },
    /// Lets tasks go on that were interrupted because their Talaria ended
    Resume {
        #[command(flatten)]
        which: Which,
    },
    /// Shows what a task changed in a worktree of its own, as git does
    Diff {
        #[arg(value_name = "TASK", value_parser = task_name)]
        task: String,
        /// The files alone
        #[arg(long)]
        stat: bool,
    },
    /// Takes the changes of tasks into the working tree: all of them, or nothing
    Merge {
        #[arg(required = true, value_name = "TASK", value_parser = task_name)]
        tasks: Vec<String>,
    },
    /// Throws the changes of tasks away, with their branches
    Discard {
        #[arg(required = true, value_name = "TASK", value_parser = task_name)]
        tasks: Vec<String>,
    },
}

/// Which tasks an operation is for.
#[derive(Debug, clap::Args)]
struct Which {
    #[arg(required_unless_present = "all", value_name = "TASK", value_parser = task_name)]
    tasks: Vec<String>,
    /// All for which it makes sense
    #[arg(long, conflicts_with = "tasks")]
    all: bool,
}

/// Why a command ended otherwise than it was meant to.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    /// Absent where nobody reads the output any more.
    fault: Option<Fault>,
    /// Lines below it.
    more: Vec<String>,
}

impl Failure {
    fn new(code: u8, fault: Fault) -> Self {
        Self { code, fault: Some(fault), more: Vec::new() }
    }

    fn usage(message: impl Into<String>) -> Self {
        Self::new(code::USAGE, Fault::new(Kind::User, message))
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.fault = self.fault.map(|fault| fault.with_hint(hint));
        self
    }
}

impl From<io::Error> for Failure {
    fn from(_: io::Error) -> Self {
        Self { code: code::FAILED, fault: None, more: Vec::new() }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let message = error.to_string();
        match error {
            ClientError::Refused => may_not(message),
            ClientError::Gone => Self::new(code::NO_SESSION, Fault::new(Kind::User, message)).hint(
                "Open its session again; `talaria task list` then shows what became of its tasks.",
            ),
            ClientError::TimedOut => Self::new(code::FAILED, Fault::new(Kind::Internal, message))
                .hint("What was asked for may yet happen; `talaria task list` shows it."),
            ClientError::Unreadable(_) => Self::new(
                code::FAILED,
                Fault::new(Kind::Internal, message),
            )
            .hint("Close the editor's Talaria and open it again, so that both are of one version."),
            ClientError::Answer { data, .. } => {
                let (code, files) = match data {
                    None => (code::FAILED, Vec::new()),
                    Some(data) => (code_of(data.kind), data.files),
                };
                let fault = Fault::new(Kind::User, message);
                Self {
                    more: files.into_iter().map(|file| format!("  {file}")).collect(),
                    ..Self::new(code, fault)
                }
            }
        }
    }
}

/// The exit code for an error of a server.
fn code_of(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::UnknownSession => code::NO_SESSION,
        ErrorKind::UnknownTask => code::UNKNOWN_TASK,
        ErrorKind::Conflict => code::CONFLICT,
        ErrorKind::Invalid
        | ErrorKind::Limit
        | ErrorKind::State
        | ErrorKind::Git
        | ErrorKind::Unavailable => code::FAILED,
    }
}

fn may_not(message: impl Into<String>) -> Failure {
    Failure::new(code::MAY_NOT, Fault::new(Kind::User, message)).hint(
        "Tasks are reached by their own user, and not by what a tool of Talaria's runs; use a terminal of your own.",
    )
}

/// Runs it; everything is printed when it returns.
pub async fn run(args: TaskArgs) -> ExitCode {
    let mut out = io::stdout();
    let done = match perform(args, &mut out).await {
        Ok(code) => out.flush().map(|()| code).map_err(Failure::from),
        failure @ Err(_) => failure,
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(Failure { code, fault, more }) => {
            let mut error = io::stderr();
            if let Some(fault) = fault {
                writeln!(error, "talaria task: {}", words::shown(&fault.sentence())).ok();
            }
            for line in more {
                writeln!(error, "{}", words::shown(&line)).ok();
            }
            ExitCode::from(code)
        }
    }
}

async fn perform(args: TaskArgs, out: &mut (dyn Write + Send)) -> Result<u8, Failure> {
    let TaskArgs { session, json, command } = args;
    let environment = Environment::read();
    if environment.tool_of.is_some() {
        return Err(may_not("a tool of Talaria's runs this process, so it may not reach tasks"));
    }
    // What is wrong with the command line is said before anyone is asked.
    let command = match command {
        TaskCommand::Spawn(args) => Ready::Spawn(Box::new(spawn::read(*args)?)),
        TaskCommand::Steer { task, message } => {
            Ready::Steer(task, spawn::text(&message, "message")?)
        }
        TaskCommand::Answer { answer, reason: Some(_), .. } if answer != Some(Choice::Deny) => {
            return Err(Failure::usage("a reason is said with `deny` alone"));
        }
        command @ (TaskCommand::Check { .. }
        | TaskCommand::Collect { .. }
        | TaskCommand::Cancel { .. }
        | TaskCommand::List { .. }
        | TaskCommand::Watch(_)
        | TaskCommand::Answer { .. }
        | TaskCommand::Resume { .. }
        | TaskCommand::Diff { .. }
        | TaskCommand::Merge { .. }
        | TaskCommand::Discard { .. }) => Ready::AsItIs(command),
    };
    let door = Door::open(&environment, session.as_deref()).await?;
    let mut asking = ask::Asking { door: &door, json, out };
    match command {
        Ready::Spawn(order) => asking.spawn(*order).await,
        Ready::Steer(task, message) => asking.steer(task, message).await,
        Ready::AsItIs(TaskCommand::Watch(args)) => {
            watch::watch(&door, &args, json, asking.out).await
        }
        Ready::AsItIs(command) => asking.other(command).await,
    }
}

/// A command whose texts have been read.
enum Ready {
    Spawn(Box<spawn::Order>),
    Steer(String, String),
    AsItIs(TaskCommand),
}

/// `t1`, also where it is typed as `1` or `T1`.
fn task_name(text: &str) -> Result<String, String> {
    TaskName::from_str(text)
        .map(|name| name.to_string())
        .map_err(|()| "a task is named like `t1`; `talaria task list` shows them".to_owned())
}

fn task_state(text: &str) -> Result<TaskState, String> {
    words::STATES.into_iter().find(|state| words::state(*state) == text).ok_or_else(|| {
        let names = words::STATES.map(words::state).join(", ");
        format!("it is one of {names}")
    })
}

fn choice(text: &str) -> Result<Choice, String> {
    match text {
        "allow" => Ok(Choice::Allow),
        "always" => Ok(Choice::Always),
        "deny" => Ok(Choice::Deny),
        _ => Err("it is `allow`, `always` or `deny`".to_owned()),
    }
}
