//! A thousand tasks at once: that nothing of them is lost, what they cost, and what each one holds.

use std::thread;
use std::time::{Duration, Instant};

use super::chat::{Chat, home};
use super::support::process;
use super::support::table::Row;

const TASKS: usize = 1_000;
const CHUNKS: usize = 200;
const BYTES: usize = 80;
/// So long that the first still streams when the last begins.
const EVERY: u32 = 50;

/// 80 bytes, with a space at the end.
fn piece() -> String {
    format!("{} ", "x".repeat(BYTES - 1))
}

pub(crate) fn many() -> Vec<Row> {
    let home = home();
    let script = format!(
        "when prompt \"stream\"\n  repeat {CHUNKS} \"{}\" every {EVERY}ms\nwhen any\n  say \"Hello.\"\n",
        piece()
    );
    let agent = home.scripted(&script);
    let mut chat = Chat::begin(&home, agent);
    let pid = chat.agent.pid();
    let (before, begun) = (process::cpu(pid), Instant::now());
    let mut started = Vec::new();
    for _ in 0..TASKS {
        started.push(chat.start("stream").1);
    }
    let spread = begun.elapsed();
    let took = chat.completed(TASKS) - begun;
    let cpu = process::cpu(pid).checked_sub(before).unwrap();
    let floor = Duration::from_millis(u64::try_from(CHUNKS).unwrap() * u64::from(EVERY));
    assert!(spread < floor, "the first ended before the last began: {spread:?}");
    let expected = piece().repeat(CHUNKS);
    let mut lost = 0;
    for task in 1..=TASKS {
        let (said, _) = chat.ask(&format!("/collect t{task}"));
        lost += usize::from(!said.contains(expected.trim_end()));
    }
    vec![
        Row::new(
            "1 000 running tasks of 200 chunks: reports with something missing",
            "",
            vec![lost as f64],
        )
        .at_most(0.0),
        Row::milliseconds("… wall time, of which their streams take 10 000 ms", vec![took]),
        Row::milliseconds("… time in which they were started", vec![spread]),
        Row::milliseconds("… the start of each", started),
        Row::milliseconds("… processor time", vec![cpu]),
        Row::new(
            "… processor time of a chunk",
            "µs",
            vec![cpu.as_secs_f64() * 1e6 / (TASKS * CHUNKS) as f64],
        ),
    ]
}

/// Of tasks that have said all and go on.
pub(crate) fn memory() -> Vec<Row> {
    let home = home();
    let script = format!(
        "when prompt \"stay\"\n  repeat {CHUNKS} \"{}\"\n  delay 3600s\nwhen any\n  say \"Hello.\"\n",
        piece()
    );
    let agent = home.scripted(&script);
    let mut chat = Chat::begin(&home, agent);
    let pid = chat.agent.pid();
    // What the first needs is of all.
    chat.start("stay");
    settle(pid);
    let before = process::pss_kib(pid);
    for _ in 0..TASKS {
        chat.start("stay");
    }
    let (said, _) = chat.ask(&format!("/check t{}", TASKS + 1));
    assert!(said.contains("running"), "{said}");
    settle(pid);
    let after = process::pss_kib(pid);
    vec![
        Row::new(
            "memory of a running task (PSS, 1 000 of 200 chunks)",
            "KiB",
            vec![(after as f64 - before as f64) / TASKS as f64],
        )
        .at_most(200.0),
    ]
}

/// Waits until the process has nothing more to do.
fn settle(pid: u32) {
    let mut last = process::cpu(pid);
    loop {
        thread::sleep(Duration::from_millis(500));
        let now = process::cpu(pid);
        if now.saturating_sub(last) < Duration::from_millis(10) {
            return;
        }
        last = now;
    }
}
