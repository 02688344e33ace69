//! The log file and the wire trace: both are files in the state folder, written by threads of their
//! own, and both lose lines sooner than they make anyone wait. Nothing here prints.

mod wire;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};

pub use wire::{Direction, WireGuard, WireTrace};

use crate::config::{Folders, LogSection, Secret};
use crate::redact::Mask;

/// Days that have a file.
const FILES: usize = 5;
/// Lines that wait for the writer; more are dropped.
const WAITING_LINES: usize = 8_192;
/// Crates that log what goes over their wires: prompts, headers, the bodies of errors. No level and
/// no directive brings them into the file.
const MUTED: [&str; 10] = [
    "agent_client_protocol",
    "genai",
    "h2",
    "hpack",
    "hyper",
    "hyper_util",
    "reqwest",
    "rustls",
    "tokio_util",
    "tower",
];

/// Keeps the log alive; held by `main`. When it is dropped, what waits is written.
#[must_use = "the log ends when its guard is dropped"]
#[derive(Debug, Default)]
pub struct Guard {
    warnings: Vec<String>,
    worker: Option<WorkerGuard>,
    wire: WireTrace,
    wire_writer: Option<WireGuard>,
}

impl Guard {
    /// What could not be set up, as sentences. Talaria works without it.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The wire trace; off unless the configuration asks for it.
    pub fn wire(&self) -> WireTrace {
        self.wire.clone()
    }
}

/// The folder of the log files.
pub fn folder(folders: &Folders) -> PathBuf {
    folders.state.join("logs")
}

/// Starts logging for the whole process. `keys` are left out of both files wherever they occur.
pub fn init(folders: &Folders, section: &LogSection, keys: &[Secret]) -> Guard {
    let (subscriber, mut guard) = build(folders, section, keys);
    if let Some(subscriber) = subscriber
        && tracing::subscriber::set_global_default(subscriber).is_err()
    {
        guard.warnings.push("The log was already set up.".to_owned());
    }
    if section.wire {
        match WireTrace::open(folders, keys) {
            Ok((wire, wire_guard)) => {
                guard.wire = wire;
                guard.wire_writer = Some(wire_guard);
            }
            Err(error) => guard.warnings.push(unwritable("wire trace", &folder(folders), &error)),
        }
    }
    guard
}

fn unwritable(what: &str, folder: &Path, error: &dyn std::error::Error) -> String {
    format!(
        "There is no {what}, because `{}` cannot be written: {error}. Make it writable, or set `TALARIA_HOME`.",
        folder.display()
    )
}

fn build(
    folders: &Folders,
    section: &LogSection,
    keys: &[Secret],
) -> (Option<impl Subscriber + Send + Sync + use<>>, Guard) {
    let mut guard = Guard::default();
    let (filter, warning) = filter(&section.level);
    guard.warnings.extend(warning);
    if filter.max_level_hint() == Some(LevelFilter::OFF) {
        return (None, guard);
    }
    let folder = folder(folders);
    let writer = match open(&folder) {
        Ok((writer, worker)) => {
            guard.worker = Some(worker);
            writer
        }
        Err(error) => {
            guard.warnings.push(unwritable("log", &folder, &*error));
            return (None, guard);
        }
    };
    let loud = filter_fn(|metadata| !is_muted(metadata.target()));
    let mask = Arc::new(Mask::new(keys));
    let writer = move || Masked { mask: mask.clone(), file: writer.clone() };
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false);
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter.and(loud)));
    (Some(subscriber), guard)
}

/// A writer of whole lines, without secrets: a line may quote what a model or a provider said.
struct Masked {
    mask: Arc<Mask>,
    file: NonBlocking,
}

impl Write for Masked {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        self.file.write_all(self.mask.hide(&text).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn open(folder: &Path) -> Result<(NonBlocking, WorkerGuard), Box<dyn std::error::Error>> {
    make_folder(folder)?;
    let file = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("talaria")
        .filename_suffix("log")
        .max_log_files(FILES)
        .build(folder)?;
    Ok(NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(WAITING_LINES)
        .thread_name("talaria-log")
        .finish(file))
}

/// Makes the folder and those above it, for this user alone.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// What is wrong with a level of the log, as a sentence.
pub fn level_warning(level: &str) -> Option<String> {
    filter(level).1
}

/// A bare level is meant for Talaria; of other crates only warnings are wanted then.
fn filter(level: &str) -> (EnvFilter, Option<String>) {
    let directives = match level.trim().parse::<LevelFilter>() {
        Ok(LevelFilter::OFF) => "off".to_owned(),
        Ok(level) => format!("warn,talaria={level}"),
        Err(_) => level.to_owned(),
    };
    EnvFilter::try_new(directives).map_or_else(
        |_| {
            let warning = format!(
                "`{level}` is no log level. Set `log.level` or `TALARIA_LOG` to `error`, `warn`, `info`, \
                 `debug`, `trace` or directives such as `talaria=debug`."
            );
            (EnvFilter::new("warn,talaria=info"), Some(warning))
        },
        |filter| (filter, None),
    )
}

fn is_muted(target: &str) -> bool {
    let root = target.split("::").next().unwrap_or(target);
    MUTED.contains(&root)
}

#[cfg(test)]
mod tests;
