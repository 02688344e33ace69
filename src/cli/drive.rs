//! `talaria drive`: plays conversation scripts against any ACP agent. `docs/DRIVE.md` is the manual of
//! scripts; playing them is `headless::script`'s.
//!
//! Exit codes: 0 every script held; 1 one did not; 2 wrong usage, or a script that cannot be read.

use std::io;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use crate::fault;
use crate::fault::Fault;
use crate::headless::editor::Editor;
use crate::headless::process::{Launch, Stderr};
use crate::headless::script::play;
use crate::headless::script::play::{OnMismatch, Played};
use crate::headless::script::syntax;
use crate::headless::script::syntax::Script;
use crate::headless::script::update;
use crate::headless::wire::Recorder;

/// Plays conversation scripts against an ACP agent.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 every script held; 1 one did not; 2 wrong usage, or a script that cannot \
    be read."
)]
pub struct DriveArgs {
    /// The scripts.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Writes what came into the scripts, in the place of what they expect.
    #[arg(long)]
    update: bool,
    /// Writes every line of the connection, both directions, as lines of JSON.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Prints a line of JSON for each script.
    #[arg(long)]
    json: bool,
    /// The command that starts the agent; this server by default.
    #[arg(last = true, value_name = "AGENT_CMD")]
    agent: Vec<String>,
}

/// Runs it; everything is printed when it returns.
pub async fn run(args: DriveArgs) -> ExitCode {
    let mut out = io::stdout();
    match drive(&args, &mut out).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(fault) => {
            writeln!(io::stderr(), "talaria drive: {}", fault.sentence()).ok();
            ExitCode::from(2)
        }
    }
}

async fn drive(args: &DriveArgs, out: &mut (dyn Write + Send)) -> Result<bool, Fault> {
    let scripts: Vec<(String, Script)> =
        args.files.iter().map(|file| read(file)).collect::<Result<_, _>>()?;
    let mut recorder = args.record.as_deref().map(record_into).transpose()?;
    let (program, arguments) = agent(&args.agent)?;
    let on_mismatch = if args.update { OnMismatch::Update } else { OnMismatch::Fail };
    let mut all_held = true;
    for ((text, script), file) in scripts.iter().zip(&args.files) {
        let mut connect = |setup: &crate::headless::script::world::Setup, policy| {
            let launch = Launch {
                program: program.clone(),
                arguments: arguments.clone(),
                folder: Some(setup.folder.clone()),
                environment: setup.environment.clone(),
                stderr: Stderr::Keep,
            };
            Editor::spawn(&launch, policy)
        };
        let played = play::play(script, &mut connect, on_mismatch, &mut recorder).await;
        if !played.edits.is_empty() {
            std::fs::write(file, update::apply(text, &played.edits)).map_err(|error| {
                Fault::new(fault::Kind::User, format!("cannot write `{}`: {error}", file.display()))
            })?;
        }
        all_held &= played.failure.is_none();
        // A reader that went away changes nothing for the scripts.
        report(args, script, &played, out).ok();
    }
    Ok(all_held)
}

fn read(file: &Path) -> Result<(String, Script), Fault> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Fault::new(fault::Kind::User, format!("cannot read `{}`: {error}", file.display()))
    })?;
    let script = syntax::parse(&file.to_string_lossy(), &text).map_err(|error| {
        Fault::new(fault::Kind::User, format!("cannot read the script {error}"))
    })?;
    Ok((text, script))
}

fn record_into(file: &Path) -> Result<Recorder, Fault> {
    let opened = std::fs::File::create(file).map_err(|error| {
        Fault::new(fault::Kind::User, format!("cannot write `{}`: {error}", file.display()))
    })?;
    Ok(Recorder::new(Box::new(opened)))
}

/// The program to start. A relative path with a folder is meant from here, and scripts start elsewhere.
fn agent(command: &[String]) -> Result<(PathBuf, Vec<String>), Fault> {
    let Some((program, arguments)) = command.split_first() else {
        let own = std::env::current_exe().map_err(|error| {
            Fault::new(fault::Kind::Internal, format!("cannot find this program: {error}"))
        })?;
        return Ok((own, vec!["acp".to_owned()]));
    };
    let program = PathBuf::from(program);
    let program = if program.components().count() > 1 {
        std::path::absolute(&program).unwrap_or(program)
    } else {
        program
    };
    Ok((program, arguments.to_vec()))
}

fn report(
    args: &DriveArgs,
    script: &Script,
    played: &Played,
    out: &mut dyn Write,
) -> io::Result<()> {
    let milliseconds = u64::try_from(played.elapsed.as_millis()).unwrap_or(u64::MAX);
    if args.json {
        let failure =
            played.failure.as_ref().map(crate::headless::script::failure::Failure::to_json);
        let line = json!({
            "file": script.file,
            "ok": played.failure.is_none(),
            "milliseconds": milliseconds,
            "updated": !played.edits.is_empty(),
            "failure": failure,
        });
        return writeln!(out, "{line}");
    }
    match &played.failure {
        Some(failure) => write!(out, "FAILED {}:{failure}", script.file),
        None if played.edits.is_empty() => writeln!(out, "ok {} ({milliseconds} ms)", script.file),
        None => writeln!(out, "updated {} ({milliseconds} ms)", script.file),
    }
}
