//! What it costs that sessions last: the store by itself, as the library has it, and the release binary
//! with it, from outside. Prints a table of what was reached beside what is aimed at.
//!
//! ```sh
//! cargo bench --bench store                # prints the table
//! cargo bench --bench store -- --write     # and writes its section of docs/BENCH.md
//! cargo bench --bench store -- load list   # those whose name holds a word
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

mod agent;
mod alone;
mod fill;

use std::time::Duration;

use support::table::{Row, Section};

const SECTION: Section = Section {
    heading: "The store",
    bench: "store",
    remark: "Rows of the store alone are without a process and a protocol around it; \
             pairs of rows are taken in turns, in the same run.",
};
/// Far above what everything takes: it only ends a hang.
const LONGEST: Duration = Duration::from_mins(30);

type Measure = (&'static str, fn() -> Vec<Row>);

const MEASURES: [Measure; 7] = [
    ("append", alone::append),
    ("append-many", alone::append_many),
    ("open", alone::open),
    ("load", agent::load),
    ("list", agent::list),
    ("start", agent::start),
    ("turn", agent::turn),
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
