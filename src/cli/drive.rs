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
use crate::headless::client::profile;
use crate::headless::client::profile::{PROFILES, Profile};
use crate::headless::editor::Editor;
use crate::headless::process::{Launch, Stderr};
use crate::headless::script::play;
use crate::headless::script::play::{OnMismatch, Played};
use crate::headless::script::snapshot;
use crate::headless::script::snapshot::Snapshot;
use crate::headless::script::syntax;
use crate::headless::script::syntax::Script;
use crate::headless::script::update;
use crate::headless::script::world::Setup;
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
    /// Plays these clients, each by its own rules, and shows what their users see: zed, toad, agent-shell,
    /// vscode, codecompanion, unknown, talaria; `all` for all of them.
    #[arg(long = "as", value_name = "PROFILE", value_delimiter = ',', value_parser = profiles)]
    clients: Vec<Profiles>,
    /// Compares what users see with the files in this folder, one for each script.
    #[arg(long, value_name = "FOLDER", requires = "clients")]
    screens: Option<PathBuf>,
    /// Writes what came into the scripts, in the place of what they expect; with `--screens`, into its files.
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

/// One of the names that `--as` takes.
#[derive(Debug, Clone)]
struct Profiles(Vec<&'static Profile>);

fn profiles(name: &str) -> Result<Profiles, String> {
    if name == "all" {
        return Ok(Profiles(PROFILES.iter().collect()));
    }
    let known = || PROFILES.iter().map(|profile| profile.name).collect::<Vec<_>>().join(", ");
    let profile = profile::named(name);
    profile
        .map(|profile| Profiles(vec![profile]))
        .ok_or_else(|| format!("there is no client `{name}`: use {} or all", known()))
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
    let clients: Vec<&'static Profile> =
        args.clients.iter().flat_map(|profiles| profiles.0.iter().copied()).collect();
    let mut recorder = args.record.as_deref().map(record_into).transpose()?;
    if recorder.is_some() && clients.len() > 1 {
        let text = "`--record` writes one connection: name one client with `--as`";
        return Err(Fault::new(fault::Kind::User, text));
    }
    let (program, arguments) = agent(&args.agent)?;
    let connect = |setup: &Setup, policy| {
        let launch = Launch {
            program: program.clone(),
            arguments: arguments.clone(),
            folder: Some(setup.folder.clone()),
            environment: setup.environment.clone(),
            stderr: Stderr::Keep,
        };
        Editor::spawn(&launch, policy)
    };
    let mut all_held = true;
    for ((text, script), file) in scripts.iter().zip(&args.files) {
        if clients.is_empty() {
            let on_mismatch = if args.update { OnMismatch::Update } else { OnMismatch::Fail };
            let played = play::play(script, &mut { connect }, on_mismatch, &mut recorder).await;
            if !played.edits.is_empty() {
                write(file, &update::apply(text, &played.edits))?;
            }
            all_held &= played.failure.is_none();
            // A reader that went away changes nothing for the scripts.
            report(args, (script, None), &played, out).ok();
            continue;
        }
        // They only wait for their agents, so they are played side by side.
        let plays = clients.iter().map(|profile| {
            let mut recorder = recorder.take();
            async move {
                let connect = &mut { connect };
                let played = play::play_as(profile, script, connect, &mut recorder).await;
                (*profile, played, recorder)
            }
        });
        let plays: Vec<_> = plays.collect();
        let plays = futures::future::join_all(plays).await;
        let plays = plays.into_iter().map(|(profile, played, used)| {
            recorder = recorder.take().or(used);
            (profile, played)
        });
        let plays: Vec<_> = plays.collect();
        all_held &= compared(args, (file, script), plays, out)?;
    }
    Ok(all_held)
}

/// Lays what users saw beside the snapshots, if that is asked for; whether all held.
fn compared(
    args: &DriveArgs,
    (file, script): (&Path, &Script),
    plays: Vec<(&'static Profile, Played)>,
    out: &mut dyn Write,
) -> Result<bool, Fault> {
    let path = args
        .screens
        .as_ref()
        .map(|folder| folder.join(file.file_stem().unwrap_or_default()).with_extension("screen"));
    let text = path.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
    let text = text.unwrap_or_default();
    let mut snapshot = Snapshot::parse(&text);
    let mut all_held = true;
    for (profile, mut played) in plays {
        if args.update && played.failure.is_none() {
            snapshot.take(profile.name, &played.shots);
        } else if path.is_some() && played.failure.is_none() {
            played.failure = snapshot.compare(profile.name, &played.shots);
        }
        all_held &= played.failure.is_none();
        report(args, (script, Some(profile)), &played, out).ok();
    }
    if let Some(path) = path.filter(|_| args.update) {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let new = snapshot.text(&name);
        if new != text {
            write(&path, &new)?;
        }
    }
    Ok(all_held)
}

fn write(file: &Path, text: &str) -> Result<(), Fault> {
    std::fs::write(file, text).map_err(|error| {
        Fault::new(fault::Kind::User, format!("cannot write `{}`: {error}", file.display()))
    })
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
    (script, client): (&Script, Option<&Profile>),
    played: &Played,
    out: &mut dyn Write,
) -> io::Result<()> {
    let milliseconds = u64::try_from(played.elapsed.as_millis()).unwrap_or(u64::MAX);
    let screen = snapshot::lines(&played.shots);
    if args.json {
        let failure =
            played.failure.as_ref().map(crate::headless::script::failure::Failure::to_json);
        let mut line = json!({
            "file": script.file,
            "ok": played.failure.is_none(),
            "milliseconds": milliseconds,
            "updated": !played.edits.is_empty(),
            "failure": failure,
        });
        if let (Some(client), Some(fields)) = (client, line.as_object_mut()) {
            fields.insert("as".to_owned(), json!(client.name));
            fields.insert("screen".to_owned(), json!(screen));
        }
        return writeln!(out, "{line}");
    }
    let whose = client.map(|client| format!(" as {}", client.name)).unwrap_or_default();
    match &played.failure {
        Some(failure) if client.is_some() => {
            write!(out, "FAILED{whose} {}:{failure}", script.file)
        }
        Some(failure) => write!(out, "FAILED {}:{failure}", script.file),
        None if played.edits.is_empty() => {
            writeln!(out, "ok {}{whose} ({milliseconds} ms)", script.file)
        }
        None => writeln!(out, "updated {} ({milliseconds} ms)", script.file),
    }?;
    if client.is_some() && args.screens.is_none() {
        screen.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    }
    Ok(())
}
