//! `talaria doctor`: looks whether Talaria can work here, and says what to do where it cannot.
//! It asks no provider anything and leaves nothing behind.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::config::doubts;
use crate::config::{Environment, Folders, Resolved, load};
use crate::fault::Fault;

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The project's folder
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    cwd: PathBuf,
}

/// What the whole came to, for the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    Good,
    /// It works, and something deserves a look.
    Fair,
    /// It does not work.
    Bad,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Good => "ok",
            Self::Fair => "warn",
            Self::Bad => "FAIL",
        })
    }
}

/// Looks at everything. `model` says which model would answer with a configuration, in a few words.
pub fn run(
    args: &DoctorArgs,
    environment: &Environment,
    model: impl FnOnce(&Resolved) -> Result<String, Fault>,
    out: &mut impl Write,
) -> io::Result<Health> {
    let folders = Folders::of(environment);
    let resolved = load(environment, &folders, Some(&args.cwd));
    let mut findings = vec![Finding::good("version", version())];
    findings.push(state_folder(&folders.state));
    findings.push(config_file(&folders.config_file()));
    findings.extend(
        resolved
            .warnings
            .iter()
            .chain(&doubts(&resolved.config, &args.cwd))
            .map(|warning| Finding::new(Health::Fair, "configuration", warning.to_string())),
    );
    let model = resolved.fault.clone().map_or_else(|| model(&resolved), Err);
    findings.push(match model {
        Ok(name) => Finding::good("model", name),
        Err(fault) => Finding::new(Health::Bad, "model", fault.sentence()),
    });
    findings.push(git());
    for finding in &findings {
        writeln!(out, "{:<4}  {:<13}  {}", finding.health, finding.subject, finding.text)?;
    }
    Ok(findings.iter().map(|finding| finding.health).max().unwrap_or(Health::Good))
}

struct Finding {
    health: Health,
    subject: &'static str,
    text: String,
}

impl Finding {
    fn new(health: Health, subject: &'static str, text: impl Into<String>) -> Self {
        Self { health, subject, text: text.into() }
    }

    fn good(subject: &'static str, text: impl Into<String>) -> Self {
        Self::new(Health::Good, subject, text)
    }
}

fn version() -> String {
    let (version, system, machine) =
        (env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH);
    format!("talaria {version}, {system} {machine}")
}

fn state_folder(folder: &Path) -> Finding {
    let name = format!(".talaria-doctor-{}", std::process::id());
    let probe = folder.join(name);
    let result = crate::log::make_folder(folder)
        .and_then(|()| File::create_new(&probe)?.write_all(b"probe"))
        .and_then(|()| fs::remove_file(&probe));
    let folder = folder.display();
    match result {
        Ok(()) => Finding::good("state folder", format!("`{folder}` is writable.")),
        Err(error) => Finding::new(
            Health::Bad,
            "state folder",
            format!(
                "`{folder}` cannot be written: {error}. Make it writable, or set `TALARIA_HOME`."
            ),
        ),
    }
}

fn config_file(file: &Path) -> Finding {
    let shown = file.display();
    let text = match fs::metadata(file) {
        Ok(_) => format!("`{shown}` is used."),
        Err(_) => format!("There is no `{shown}`; the defaults and the environment count."),
    };
    Finding::good("configuration", text)
}

#[expect(
    clippy::disallowed_methods,
    reason = "asks for a version and waits for it; nothing can be left running"
)]
fn git() -> Finding {
    let output = std::process::Command::new("git").arg("--version").output();
    match output {
        Ok(output) if output.status.success() => {
            Finding::good("git", String::from_utf8_lossy(&output.stdout).trim())
        }
        _ => Finding::new(
            Health::Fair,
            "git",
            "`git` was not found. Install it, so that the model can look at changes and history.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Kind;

    fn examine(environment: &Environment, model: Result<String, Fault>) -> (Health, String) {
        let args = DoctorArgs { cwd: environment.home.clone().unwrap() };
        let mut out = Vec::new();
        let health = run(&args, environment, |_| model, &mut out).unwrap();
        (health, String::from_utf8(out).unwrap())
    }

    #[test]
    fn each_finding_is_a_line_and_the_worst_counts() {
        let home = tempfile::tempdir().unwrap();
        let environment =
            Environment { home: Some(home.path().join("new")), ..Environment::default() };
        let (health, text) = examine(&environment, Ok("gpt-5 at api.openai.com".to_owned()));
        assert!(health < Health::Bad, "{text}");
        assert!(text.contains("ok    model          gpt-5 at api.openai.com\n"), "{text}");
        assert_eq!(fs::read_dir(home.path().join("new")).unwrap().count(), 0);
        fs::write(home.path().join("new/config.yaml"), "colour: red\n").unwrap();
        let fault = Fault::new(Kind::Auth, "there is no key").with_hint("Set `TALARIA_API_KEY`.");
        let (health, text) = examine(&environment, Err(fault));
        assert_eq!(health, Health::Bad);
        assert!(text.contains("warn  configuration  `colour` is not a setting"), "{text}");
        assert!(
            text.contains("FAIL  model          There is no key. Set `TALARIA_API_KEY`.\n"),
            "{text}"
        );
    }

    #[test]
    fn a_log_level_and_a_folder_that_are_none_are_told() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment {
            home: Some(home.path().into()),
            log: Some("nonsense====".to_owned()),
            ..Environment::default()
        };
        let args = DoctorArgs { cwd: home.path().join("nope") };
        let mut out = Vec::new();
        let health = run(&args, &environment, |_| Ok("m".to_owned()), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(health, Health::Fair, "{text}");
        assert!(text.contains("warn  configuration  `log.level` is no log level"), "{text}");
        assert!(text.contains("nope` is not a folder"), "{text}");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_bad() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        fs::write(&file, "").unwrap();
        let environment = Environment { home: Some(file), ..Environment::default() };
        let (health, text) = examine(&environment, Ok("m".to_owned()));
        assert_eq!(health, Health::Bad);
        assert!(text.contains("FAIL  state folder"), "{text}");
    }

    #[test]
    fn a_provider_that_is_not_known_is_not_guessed_around() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment {
            home: Some(home.path().into()),
            provider: Some("gemini".to_owned()),
            ..Environment::default()
        };
        let (health, text) = examine(&environment, Ok("m".to_owned()));
        assert_eq!(health, Health::Bad);
        assert!(text.contains("TALARIA_PROVIDER"), "{text}");
    }
}
