//! How soon a task has its id, whatever else is alive.

use std::time::Duration;

use super::chat::{Chat, home};
use super::support::table::Row;

const SCRIPT: &str =
    "when prompt \"sleep\"\n  say \"Begun.\"\n  delay 3600s\nwhen any\n  say \"Hello.\"\n";
/// Enough for a 99th percentile that is no single accident.
const RUNS: usize = 300;

pub(crate) fn spawn() -> Vec<Row> {
    let home = home();
    let agent = home.scripted(SCRIPT);
    let mut chat = Chat::begin(&home, agent);
    // The first makes the database.
    sleeper(&mut chat);
    let mut rows = Vec::new();
    for (alive, p50, p99) in [
        (0, "task spawn → id, no other alive", "… 99th of 100"),
        (100, "task spawn → id, 100 alive", "… 99th of 100"),
        (1_000, "task spawn → id, 1 000 alive", "… 99th of 100"),
    ] {
        for _ in count(&mut chat)..alive {
            chat.start("sleep");
        }
        let mut times: Vec<Duration> = (0..RUNS).map(|_| sleeper(&mut chat)).collect();
        rows.push(Row::milliseconds(p50, times.clone()));
        times.sort_unstable();
        rows.push(Row::milliseconds(p99, vec![times[RUNS * 99 / 100]]).at_most(5.0));
    }
    rows
}

/// A task that is cancelled as soon as it is there.
fn sleeper(chat: &mut Chat) -> Duration {
    let (task, took) = chat.start("sleep");
    chat.ask(&format!("/cancel {task}"));
    chat.card(&task, "failed");
    took
}

/// How many are alive.
fn count(chat: &mut Chat) -> usize {
    chat.ask("/tasks running").0.lines().filter(|line| line.starts_with("- `t")).count()
}
