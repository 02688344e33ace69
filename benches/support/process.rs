//! What the kernel says of a process, from `/proc`: memory and processor time.

use std::fs;
use std::time::Duration;

/// Resident memory in KiB.
pub(crate) fn rss_kib(pid: u32) -> u64 {
    field(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// The most resident memory there ever was, in KiB.
pub(crate) fn peak_kib(pid: u32) -> u64 {
    field(&format!("/proc/{pid}/status"), "VmHWM:")
}

/// Memory with shared pages counted in part, in KiB.
pub(crate) fn pss_kib(pid: u32) -> u64 {
    field(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

/// Processor time of all threads that are alive, to the nanosecond where the kernel counts it so.
pub(crate) fn cpu(pid: u32) -> Duration {
    let nanos: Option<u64> = fs::read_dir(format!("/proc/{pid}/task")).ok().and_then(|tasks| {
        tasks
            .flatten()
            .map(|task| {
                let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
                text.split_whitespace().next()?.parse::<u64>().ok()
            })
            .sum()
    });
    match nanos {
        Some(nanos) if nanos > 0 => Duration::from_nanos(nanos),
        _ => ticks(pid),
    }
}

/// Processor time in hundredths of a second, ended threads included.
fn ticks(pid: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name of the process is in brackets and may hold anything.
    let rest = text.rsplit(')').next().unwrap_or_default();
    let fields: Vec<u64> =
        rest.split_whitespace().skip(11).take(2).map(|text| text.parse().unwrap()).collect();
    Duration::from_millis(fields.iter().sum::<u64>() * 10)
}

fn field(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
