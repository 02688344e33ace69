//! The command line: one file for each subcommand. It chooses and prints.

pub mod config;
pub mod doctor;
pub mod drive;
pub mod run;
pub mod sessions;
pub mod task;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::app::{App, VERSION, block_on};
use crate::config::{Environment, Resolved};
use crate::fault::Fault;
use crate::model::catalog;
use crate::model::provider::HttpClient;

/// An agent for editors, over the Agent Client Protocol.
#[derive(Debug, Parser)]
#[command(name = "talaria", version = VERSION, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve an editor on standard input and output (the default when standard input is no terminal)
    Acp,
    /// Send one prompt and show the conversation
    Run(run::RunArgs),
    /// Play conversation scripts against an ACP agent
    Drive(drive::DriveArgs),
    /// List, show, export and delete stored sessions
    Sessions(sessions::SessionsArgs),
    /// Start, watch and steer background tasks of a session that is open in an editor
    Task(task::TaskArgs),
    /// Show the configuration
    Config(config::ConfigArgs),
    /// Check the set-up
    Doctor(doctor::DoctorArgs),
}

/// Runs what the command line asks for.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Some(Command::Run(args)) => block_on(async { Ok(run::run(args).await) }),
        Some(Command::Drive(args)) => block_on(async { Ok(drive::run(args).await) }),
        Some(Command::Sessions(args)) => block_on(async { Ok(sessions::run(args).await) }),
        Some(Command::Task(args)) => block_on(async { Ok(task::run(args).await) }),
        Some(Command::Config(args)) => {
            config::run(&args, &Environment::read(), &mut std::io::stdout().lock())?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Doctor(args)) => doctor(&args),
        None if std::io::stdin().is_terminal() => {
            Cli::command().print_help()?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Acp) | None => serve(),
    }
}

fn serve() -> anyhow::Result<ExitCode> {
    App::read().serve()?;
    Ok(ExitCode::SUCCESS)
}

fn doctor(args: &doctor::DoctorArgs) -> anyhow::Result<ExitCode> {
    let environment = Environment::read();
    let model = |resolved: &Resolved| {
        if let Some(fault) = &resolved.fault {
            return Err(fault.clone());
        }
        // Nothing is sent, so the client is never waited for.
        let http = HttpClient::start();
        let choice = catalog::resolve(&resolved.config, &environment, &http)?;
        let task = choice.for_task(&resolved.config.delegation, None).map_err(|fault| {
            let message = format!("the model of tasks cannot be used: {}", fault.message);
            Fault { message, ..fault }
        })?;
        let keys = match choice.keys() {
            0 | 1 => String::new(),
            several => format!(", with {several} keys"),
        };
        let tasks = if task.name == choice.name {
            String::new()
        } else {
            format!("; tasks: {}", task.name)
        };
        Ok(format!("{}{keys}{tasks}", choice.name))
    };
    let health = doctor::run(args, &environment, model, &mut std::io::stdout().lock())?;
    Ok(if health == doctor::Health::Bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
