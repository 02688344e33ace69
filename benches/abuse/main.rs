//! Abuse of the release binary: what no editor would do, and what it must survive with bounded memory
//! and every request answered. Prints one row of a Markdown table for each check; `.ci/heavy` runs it.
//!
//! ```sh
//! cargo bench --bench abuse              # all checks
//! cargo bench --bench abuse -- lines     # those whose name holds a word
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    clippy::disallowed_methods,
    reason = "a check fails by panicking, prints its row, starts processes and reads the time"
)]

#[allow(dead_code, reason = "each benchmark uses its part")]
#[path = "../support/all.rs"]
mod support;

mod flood;
mod lines;
mod sessions;

use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use support::agent::{Agent, Home};
use support::process::{peak_kib, rss_kib};

/// The most resident memory that any of this may cost.
const MOST_KIB: u64 = 64 * 1024;
/// Far above what everything takes: it only ends a hang.
const LONGEST: Duration = Duration::from_mins(15);
/// The model of most checks.
const SCRIPT: &str = "when any\n  say \"Hello.\"\n";

type Check = (&'static str, fn() -> String);

const CHECKS: [Check; 11] = [
    ("a line of 300 MB", lines::one_of_300_mb),
    ("100 000 bad lines, read", lines::bad_and_read),
    ("100 000 bad lines, not read at first", lines::bad_and_unread),
    ("100 000 unknown requests, not read at first", lines::unknown_and_unread),
    ("200 000 blank lines and unknown notifications", lines::nothing_to_answer),
    ("10 000 sessions opened and closed", sessions::opened_and_closed),
    ("1 000 sessions open at once, again and again", sessions::open_at_once),
    ("1 000 sessions with a prompt each", sessions::prompted),
    ("200 000 chunks, not read at first, scripted", flood::scripted),
    ("200 000 chunks, not read at first, over HTTP", flood::over_http),
    ("cancel of 200 000 chunks that nobody reads", flood::cancelled),
];

fn main() {
    let words: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    std::thread::spawn(|| {
        std::thread::sleep(LONGEST);
        eprintln!("a check hangs");
        std::process::exit(1);
    });
    let mut failed = false;
    for (name, check) in CHECKS {
        if !words.is_empty() && !words.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        let begin = Instant::now();
        let result = catch_unwind(check).unwrap_or_else(|_| {
            failed = true;
            "**FAILED**".to_owned()
        });
        println!("| abuse | {name} | {result}; {:.1} s |", begin.elapsed().as_secs_f64());
    }
    if failed {
        std::process::exit(1);
    }
}

/// Checks that the agent lives, still does its work, and never took too much memory; says how much.
fn survived(agent: &mut Agent, home: &Home) -> String {
    works(agent, home);
    bounded(agent)
}

fn works(agent: &mut Agent, home: &Home) {
    assert!(agent.is_alive(), "the agent has ended");
    let session = agent.new_session(home);
    assert_eq!(agent.ask(&session, "Are you there?").stop_reason(), "end_turn");
    agent.close(&session);
}

fn bounded(agent: &Agent) -> String {
    let peak = peak_kib(agent.pid());
    assert!(peak <= MOST_KIB, "the agent took {peak} KiB");
    format!("peak {} MiB, now {} MiB", peak.div_ceil(1024), rss_kib(agent.pid()).div_ceil(1024))
}
