//! Rows of the table, and the document around them.

use std::fs;
use std::process::Command;

use super::Duration;

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

/// The whole file.
pub(crate) fn document(rows: &[Row]) -> String {
    let mut text = format!(
        "# Numbers\n\nTalaria {} ({}), {}, release build.\n{}.\nWritten by `cargo bench --bench whole -- --write`; \
         a target is met when the median meets it.\n\
         The cores are shared, and their speed is not the same from hour to hour: the floor behind the \
         first chunk took 0.09 ms in the fastest run so far and 0.27 ms in the slowest. Rows that wait for \
         a thread to wake, and processor time, go up and down with it: compare them with the floor of \
         the same run.\n\n\
         | what | target | median | worst | runs | met | note |\n|---|---:|---:|---:|---:|---|---|\n",
        env!("CARGO_PKG_VERSION"),
        output("git", &["rev-parse", "--short", "HEAD"]),
        output("date", &["-u", "+%Y-%m-%d"]),
        machine()
    );
    for row in rows {
        text.push_str(&row.line());
        text.push('\n');
    }
    text
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
