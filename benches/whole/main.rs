//! The whole agent, measured from outside: the release binary between a client that reads fast and a
//! model on loopback. Prints a table of what was reached beside what is aimed at.
//!
//! ```sh
//! cargo bench --bench whole                # prints the table
//! cargo bench --bench whole -- --write     # and writes it to docs/BENCH.md
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

mod measure;

use std::time::Duration;

use support::table::{Row, Section};

const SECTION: Section = Section {
    heading: "The whole agent",
    bench: "whole",
    remark: "The floor behind the first chunk took 0.09 ms in the fastest run so far and 0.27 ms in the slowest.",
};
/// Far above what everything takes: it only ends a hang.
const LONGEST: Duration = Duration::from_mins(10);

fn main() {
    let write = std::env::args().any(|argument| argument == "--write");
    std::thread::spawn(|| {
        std::thread::sleep(LONGEST);
        eprintln!("the benchmark hangs");
        std::process::exit(1);
    });
    let measures: [fn() -> Vec<Row>; 8] = [
        measure::starts,
        measure::turns,
        measure::streams,
        measure::calls,
        measure::cancels,
        measure::many_sessions,
        measure::unread,
        measure::size,
    ];
    let mut rows = Vec::new();
    for measure in measures {
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
