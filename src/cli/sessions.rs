//! `talaria sessions`: the stored sessions from the command line: list, show, export, delete, and the
//! index made anew. What a session is belongs to `store` and `session::restore`; this chooses and prints.
//!
//! Exit codes: 0 it was done; 1 it could not be; 2 wrong usage.

mod export;
mod find;
mod list;
mod show;

use std::io;
use std::io::{BufRead, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::app::{App, open_store};
use crate::config::Folders;
use crate::fault::{Fault, Kind};
use crate::headless::print::Format;
use crate::ids::SessionId;
use crate::session;
use crate::store::{Store, StoreError, Summary};

/// So many sessions are listed where nothing is said.
const LIMIT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(19);

/// Lists, shows, exports and deletes stored sessions.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "ID is a session's id, the beginning of one (at least 4 characters), or `last`: the \
    newest session of this folder.\nExit codes: 0 it was done; 1 it could not be; 2 wrong usage."
)]
pub struct SessionsArgs {
    #[command(subcommand)]
    command: SessionsCommand,
}

#[derive(Debug, clap::Subcommand)]
enum SessionsCommand {
    /// Lists sessions, the one that was used last first
    List {
        /// Sessions of this folder alone
        #[arg(long, value_name = "DIR")]
        cwd: Option<PathBuf>,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = LIMIT)]
        limit: NonZeroUsize,
        /// As many as there are
        #[arg(long, conflicts_with = "limit")]
        all: bool,
        /// Prints a line of JSON for each session
        #[arg(long)]
        json: bool,
    },
    /// Shows a conversation, also while another process has it open
    Show {
        /// Its id, the beginning of one, or `last`
        #[arg(value_name = "ID")]
        id: String,
        /// Prints each update as a line of JSON
        #[arg(long)]
        json: bool,
        /// Set to anything: no colours.
        #[arg(long, hide = true, env = "NO_COLOR", hide_env = true)]
        no_color: Option<String>,
    },
    /// Writes a session's journal as lines of JSON, or the session as a script that `talaria drive` plays
    Export {
        /// Its id, the beginning of one, or `last`
        #[arg(value_name = "ID")]
        id: String,
        /// Writes a conversation script with its scripted model
        #[arg(long)]
        script: bool,
        /// The file to write, or with `--script` the folder; standard output by default
        #[arg(long, short, value_name = "PATH")]
        output: Option<PathBuf>,
    },
    /// Deletes sessions with everything in them
    Delete {
        /// Their ids, the beginnings of them, or `last`
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        /// Does not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Makes the index of sessions anew from their journals
    Reindex,
}

/// Why a command could not do all of it.
#[derive(Debug)]
enum Failure {
    /// Wrong usage.
    Usage(Fault),
    Failed(Fault),
    /// It has been said already.
    Said,
    /// Nobody reads the output any more.
    Output,
}

impl From<io::Error> for Failure {
    fn from(_: io::Error) -> Self {
        Self::Output
    }
}

/// Runs it; everything is printed when it returns.
pub async fn run(args: SessionsArgs) -> ExitCode {
    let app = App::read();
    let (store, guard) = open_store(&app.folders, &app.resolved);
    let mut out = io::stdout();
    let result = perform(args.command, (&store, &app.folders), &mut out).await;
    let notice = store.take_notice();
    drop(guard);
    if let Some(notice) = &notice {
        say(notice);
    }
    match result {
        Ok(()) if notice.is_none() => ExitCode::SUCCESS,
        Ok(()) | Err(Failure::Said | Failure::Output) => ExitCode::FAILURE,
        Err(Failure::Failed(fault)) => {
            // A notice is about the same thing, and says more.
            if notice.is_none() {
                say(&fault);
            }
            ExitCode::FAILURE
        }
        Err(Failure::Usage(fault)) => {
            say(&fault);
            ExitCode::from(2)
        }
    }
}

fn say(fault: &Fault) {
    writeln!(io::stderr(), "talaria sessions: {}", fault.sentence()).ok();
}

async fn perform(
    command: SessionsCommand,
    (store, folders): (&Store, &Folders),
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    if !store.is_on() {
        return Err(Failure::Failed(
            Fault::new(Kind::Config, "sessions are not stored: `store.enabled` is false")
                .with_hint(
                    "Set it to true in `config.yaml`; `talaria config path` says where that is.",
                ),
        ));
    }
    match command {
        SessionsCommand::List { cwd, limit, all, json } => {
            let listing = list::Listing { cwd, limit: (!all).then_some(limit.get()), json };
            list::list(store, &listing, out).await
        }
        SessionsCommand::Show { id, json, no_color } => {
            let session = find::one(store, &id).await?;
            let plain = no_color.is_some_and(|value| !value.is_empty());
            let format = match (json, io::stdout().is_terminal() && !plain) {
                (true, _) => Format::Json,
                (false, true) => Format::Coloured,
                (false, false) => Format::Plain,
            };
            show::show(store, &session, format, out).await
        }
        SessionsCommand::Export { id, script, output } => {
            let session = find::one(store, &id).await?;
            export::export(store, &session, (script, output.as_deref()), out).await
        }
        SessionsCommand::Delete { ids, yes } => delete((store, folders), &ids, yes, out).await,
        SessionsCommand::Reindex => {
            let found = store.reindex().await.map_err(|error| failed(&error, None))?;
            let sessions = counted(found.sessions, "session");
            write!(out, "{sessions} with {}.", counted(found.records, "record"))?;
            if found.unknown > 0 {
                let unknown = found.unknown;
                write!(
                    out,
                    " {unknown} of them this version of Talaria cannot read; they are kept."
                )?;
            }
            writeln!(out)?;
            Ok(())
        }
    }
}

async fn delete(
    (store, folders): (&Store, &Folders),
    ids: &[String],
    yes: bool,
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    let asks = !yes;
    if asks && !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        return Err(Failure::Usage(
            Fault::new(Kind::User, "nobody can be asked whether to delete")
                .with_hint("Add `--yes` to delete without being asked."),
        ));
    }
    let mut result = Ok(());
    let mut sessions: Vec<Summary> = Vec::new();
    for id in ids {
        match find::one(store, id).await {
            Ok(session) if sessions.iter().any(|known| known.id == session.id) => {}
            Ok(session) => sessions.push(session),
            Err(Failure::Failed(fault)) => {
                say(&fault);
                result = Err(Failure::Said);
            }
            Err(failure) => return Err(failure),
        }
    }
    for session in sessions {
        let name = list::named(&session);
        if asks && !confirmed(&name, out)? {
            writeln!(out, "Kept {name}.")?;
            continue;
        }
        match session::delete(store, &folders.worktrees(), &session.id).await {
            Ok(()) => writeln!(out, "Deleted {name}.")?,
            Err(error) => {
                let failure = failed(&error, Some(&session.id));
                let Failure::Failed(fault) = failure else { return Err(failure) };
                say(&fault);
                result = Err(Failure::Said);
            }
        }
    }
    result
}

/// Asks the person at the terminal; no answer is a no.
fn confirmed(name: &str, out: &mut (dyn Write + Send)) -> io::Result<bool> {
    write!(out, "Delete {name}? It cannot be undone. y = yes, n = no: ")?;
    out.flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "yes"))
}

/// `1 session`, `2 sessions`.
fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// An error of the store as this command says it.
fn failed(error: &StoreError, session: Option<&SessionId>) -> Failure {
    let fault = match (error, session) {
        (StoreError::InUse { pid }, Some(id)) => Fault::new(
            Kind::User,
            format!("the session `{id}` is open in another Talaria (process {pid})"),
        )
        .with_hint("Close it there first, or end that process."),
        (StoreError::Unknown(id), _) => unknown(id.as_str()),
        (error, _) => error.fault(),
    };
    Failure::Failed(fault)
}

fn unknown(id: &str) -> Fault {
    Fault::new(Kind::User, format!("there is no session `{id}`"))
        .with_hint("`talaria sessions list` shows those that there are.")
}
