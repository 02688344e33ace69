//! Background tasks in the release binary, from outside: how soon one is there, how many run, how soon one
//! hears, and ends. Prints a table of what was reached beside what is aimed at.
//!
//! ```sh
//! cargo bench --bench tasks                # prints the table
//! cargo bench --bench tasks -- --write     # and writes its section of docs/BENCH.md
//! cargo bench --bench tasks -- spawn many  # those whose name holds a word
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a benchmark fails by panicking, prints its table, starts processes and reads the time"
)]

#[allow(dead_code, reason = "each benchmark uses its part")]
#[path = "../support/all.rs"]
mod support;

mod chat;
mod latency;
mod many;
mod spawn;

use std::time::Duration;

use support::table::{Row, Section};

const SECTION: Section = Section {
    heading: "Background tasks",
    bench: "tasks",
    remark: "Of one session, with the store. Times are a client's, from before its line is written to after \
             the line that it waits for has come.",
};
/// Far above what everything takes: it only ends a hang.
const LONGEST: Duration = Duration::from_mins(30);

type Measure = (&'static str, fn() -> Vec<Row>);

const MEASURES: [Measure; 6] = [
    ("spawn", spawn::spawn),
    ("many", many::many),
    ("memory", many::memory),
    ("steer", latency::steer),
    ("cancel", latency::cancel),
    ("card", latency::card),
];

fn main() {
    let write = std::env::args().any(|argument| argument == "--write");
    let words: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    assert!(!write || words.is_empty(), "a part of the table cannot be written");
    std::thread::spawn(|| {
        std::thread::sleep(LONGEST);
        eprintln!("the benchmark hangs");
        std::process::exit(1);
    });
    let mut rows = Vec::new();
    for (name, measure) in MEASURES {
        if !words.is_empty() && !words.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        let more = measure();
        for row in &more {
            eprintln!("{}", row.line());
        }
        rows.extend(more);
    }
    println!("{}", SECTION.text(&rows));
    if write {
        SECTION.write(&rows);
    }
}
