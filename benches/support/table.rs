//! Rows of a table, and `docs/BENCH.md` around the tables: a section for each benchmark, which writes its
//! own and leaves the others.

use std::fs;
use std::process::Command;
use std::time::Duration;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/BENCH.md");
const HEAD: &str = "# Numbers\n\nOf release builds, measured from outside. A target is met when the median \
     meets it.\nThe cores are shared, and their speed is not the same from hour to hour: rows that wait \
     for a thread to wake, for the disk or for processor time go up and down with it. Compare them with \
     the floor of the same run.\n";

/// What one benchmark writes.
pub(crate) struct Section {
    pub(crate) heading: &'static str,
    /// The benchmark's name for `cargo bench`.
    pub(crate) bench: &'static str,
    /// A sentence on how to read the table; may be empty.
    pub(crate) remark: &'static str,
}

/// One thing that was measured several times.
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) unit: &'static str,
    /// The most that is aimed at; absent where the number only explains others.
    pub(crate) target: Option<f64>,
    pub(crate) values: Vec<f64>,
    pub(crate) note: &'static str,
}

impl Row {
    pub(crate) fn new(what: &'static str, unit: &'static str, values: Vec<f64>) -> Self {
        assert!(!values.is_empty(), "{what} was not measured");
        Self { what, unit, target: None, values, note: "" }
    }

    pub(crate) fn milliseconds(what: &'static str, values: Vec<Duration>) -> Self {
        Self::new(
            what,
            "ms",
            values.into_iter().map(|value| value.as_secs_f64() * 1000.0).collect(),
        )
    }

    pub(crate) fn at_most(self, target: f64) -> Self {
        Self { target: Some(target), ..self }
    }

    pub(crate) fn note(self, note: &'static str) -> Self {
        Self { note, ..self }
    }

    fn median(&self) -> f64 {
        let mut values = self.values.clone();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }

    fn worst(&self) -> f64 {
        self.values.iter().copied().fold(f64::MIN, f64::max)
    }

    fn shown(&self, value: f64) -> String {
        format!("{} {}", short(value), self.unit).trim_end().to_owned()
    }

    /// The row in the table.
    pub(crate) fn line(&self) -> String {
        let (target, met) = match self.target {
            None => ("–".to_owned(), "–"),
            Some(target) => (
                format!("≤ {target} {}", self.unit),
                if self.median() <= target { "yes" } else { "**no**" },
            ),
        };
        format!(
            "| {} | {target} | {} | {} | {} | {met} | {} |",
            self.what,
            self.shown(self.median()),
            self.shown(self.worst()),
            self.values.len(),
            self.note
        )
    }
}

/// Three digits are enough.
fn short(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value if value >= 1.0 => format!("{value:.2}"),
        value => format!("{value:.3}"),
    }
}

impl Section {
    pub(crate) fn text(&self, rows: &[Row]) -> String {
        let mut text = format!(
            "## {}\n\nTalaria {} ({}), {}.\n{}.\nWritten by `cargo bench --bench {} -- --write`.\n",
            self.heading,
            env!("CARGO_PKG_VERSION"),
            output("git", &["rev-parse", "--short", "HEAD"]),
            output("date", &["-u", "+%Y-%m-%d"]),
            machine(),
            self.bench,
        );
        if !self.remark.is_empty() {
            text.push_str(self.remark);
            text.push('\n');
        }
        text.push_str("\n| what | target | median | worst | runs | met | note |\n");
        text.push_str("|---|---:|---:|---:|---:|---|---|\n");
        for row in rows {
            text.push_str(&row.line());
            text.push('\n');
        }
        text
    }

    /// Puts the section into the document, in the place of the one that it has there.
    pub(crate) fn write(&self, rows: &[Row]) {
        let document = fs::read_to_string(DOCUMENT).unwrap_or_default();
        let mut text = HEAD.to_owned();
        let mut is_there = false;
        for old in document.split("\n## ").skip(1) {
            text.push('\n');
            if old.lines().next() == Some(self.heading) {
                text.push_str(&self.text(rows));
                is_there = true;
            } else {
                text.push_str(&format!("## {}\n", old.trim_end()));
            }
        }
        if !is_there {
            text.push('\n');
            text.push_str(&self.text(rows));
        }
        fs::write(DOCUMENT, text).unwrap();
    }
}

fn machine() -> String {
    let cpu = value("/proc/cpuinfo", "model name", ':');
    let system = value("/etc/os-release", "PRETTY_NAME", '=');
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?");
    format!("Machine: {cpu}, {cores} cores, {system}; load average at the end of the run {load}")
}

fn value(path: &str, name: &str, separator: char) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(separator))
        .map_or_else(|| "?".to_owned(), |value| value.trim().trim_matches('"').to_owned())
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output =
        Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    output.map_or_else(
        |_| "?".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
