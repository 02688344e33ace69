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
use crate::store;

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
    findings.push(store(&folders.state, resolved.config.store.enabled));
    findings.extend(damaged(&folders.state));
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

/// What is wrong with the store keeps no chat from going on.
fn store(folder: &Path, is_on: bool) -> Finding {
    const SUBJECT: &str = "store";
    if !is_on {
        return Finding::good(SUBJECT, "Sessions are not kept: `store.enabled` is false.");
    }
    let shown = store::database_path(folder);
    let shown = shown.display();
    match store::examine(folder) {
        Ok(None) => Finding::good(
            SUBJECT,
            format!("There is no `{shown}` yet; it is made when it is needed."),
        ),
        Ok(Some(found)) => {
            let store::Examined { version, bytes, sessions, .. } = found;
            let noun = if sessions == 1 { "session" } else { "sessions" };
            let text = format!("`{shown}`, version {version}, {}, {sessions} {noun}.", size(bytes));
            Finding::good(SUBJECT, text)
        }
        Err(trouble) => {
            let sentence = trouble.fault().sentence();
            Finding::new(Health::Fair, SUBJECT, format!("`{shown}`: {sentence}"))
        }
    }
}

/// Databases that were put aside: whoever was told of it then may have been an editor.
fn damaged(folder: &Path) -> Vec<Finding> {
    let begin = format!("{}.damaged-", store::database_path(folder).display());
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<String> = entries
        .map(|entry| entry.path().display().to_string())
        .filter(|path| {
            path.starts_with(&begin) && !path.ends_with("-wal") && !path.ends_with("-shm")
        })
        .collect();
    files.sort();
    let told = |path: String| {
        let text = format!(
            "`{path}` was damaged and put aside, with the earlier sessions in it. `sqlite3 FILE .recover` may \
             get them out; delete it when you need it no more."
        );
        Finding::new(Health::Fair, "store", text)
    };
    files.into_iter().map(told).collect()
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} KB", bytes.div_ceil(1_000)),
        1_000_000..1_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{}.{} GB", bytes / 1_000_000_000, bytes / 100_000_000 % 10),
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
    use crate::clock::Clock;
    use crate::fault::Kind;
    use crate::ids::{MessageId, PromptId, SessionId};
    use crate::store::{Durability, Opened, Record, Settings, Store};
    use crate::transcript::{Author, Content, Prompt};

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

    /// Keeps a session of one prompt; its store goes on until the guard is dropped.
    fn keep_a_session(folder: &Path) -> store::StoreGuard {
        let settings = Settings { folder: folder.to_owned(), clock: Clock::real() };
        let (store, guard) = Store::start(settings);
        let opened = Opened {
            cwd: folder.to_owned(),
            additional: Vec::new(),
            version: "1".to_owned(),
            forked_from: None,
            parent: None,
        };
        let mut journal = store.create(&SessionId::fresh(), opened, std::sync::Arc::default());
        let (message, content) = (MessageId::new("m1"), vec![Content::text("hello")]);
        let prompt = Prompt { id: PromptId::default(), message, content, from: Author::User };
        journal.append(Record::Prompt { prompt }, Durability::Process);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(journal.flush()).trouble, None);
        drop(journal);
        // Behind it in the queue: the store rests now.
        runtime.block_on(store.reindex()).unwrap();
        guard
    }

    /// The files of the folder, with what a change of them would change. Readers leave their marks in the
    /// engine's shared memory.
    fn files(folder: &Path) -> Vec<(String, u128)> {
        let mut files: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                let is_marks = name.ends_with("-shm");
                let content = if is_marks { Vec::new() } else { fs::read(&path).unwrap() };
                (name, xxhash_rust::xxh3::xxh3_128(&content))
            })
            .collect();
        files.sort();
        files
    }

    /// The line about the store of `folder`, where nothing changes for it.
    fn store_line(folder: &Path) -> String {
        let before = files(folder);
        let environment = Environment { home: Some(folder.into()), ..Environment::default() };
        let (health, text) = examine(&environment, Ok("m".to_owned()));
        assert!(health < Health::Bad, "{text}");
        assert_eq!(files(folder), before);
        let line = text.lines().find(|line| line.contains("  store  ")).unwrap();
        line.replace(&folder.display().to_string(), "TMP")
    }

    #[test]
    fn the_store_is_looked_at_and_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path();
        let line = store_line(folder);
        assert_eq!(
            line,
            "ok    store          There is no `TMP/talaria.db` yet; it is made when it is needed."
        );
        // While it is open, with its log, and when it is closed.
        let guard = keep_a_session(folder);
        let found = |line: String| {
            let (path, rest) = line.split_once(", ").unwrap();
            assert_eq!(path, "ok    store          `TMP/talaria.db`");
            let (version, rest) = rest.split_once(", ").unwrap();
            let (size, sessions) = rest.split_once(", ").unwrap();
            assert!(size.ends_with(" KB"), "{size}");
            format!("{version}, {sessions}")
        };
        assert_eq!(found(store_line(folder)), "version 1, 1 session.");
        drop(guard);
        assert_eq!(found(store_line(folder)), "version 1, 1 session.");
        drop(keep_a_session(folder));
        assert_eq!(found(store_line(folder)), "version 1, 2 sessions.");
        fs::write(folder.join("config.yaml"), "store: {enabled: false}\n").unwrap();
        assert_eq!(
            store_line(folder),
            "ok    store          Sessions are not kept: `store.enabled` is false."
        );
    }

    #[test]
    fn what_is_wrong_with_the_store_is_told() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path();
        drop(keep_a_session(folder));
        let path = folder.join("talaria.db");
        let good = fs::read(&path).unwrap();
        let mut newer = good.clone();
        newer[60..64].copy_from_slice(&4_711_u32.to_be_bytes());
        for (bytes, expected) in [
            (newer, "warn  store          `TMP/talaria.db`: The database is of version 4711"),
            (
                good[..5_000].to_vec(),
                "warn  store          `TMP/talaria.db`: The database is damaged",
            ),
            (b"text".to_vec(), "warn  store          `TMP/talaria.db`: The database is damaged"),
        ] {
            fs::write(&path, bytes).unwrap();
            let line = store_line(folder);
            assert!(line.starts_with(expected), "{line}");
        }
        fs::write(&path, &good).unwrap();
        fs::write(folder.join("talaria.db.damaged-20261105T073000Z"), "").unwrap();
        let environment = Environment { home: Some(folder.into()), ..Environment::default() };
        let (health, text) = examine(&environment, Ok("m".to_owned()));
        assert_eq!(health, Health::Fair, "{text}");
        assert!(
            text.contains("talaria.db.damaged-20261105T073000Z` was damaged and put aside"),
            "{text}"
        );
    }
}
