//! What the system knows of processes: who lives, and who works.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// How often the system is asked.
const LOOK: Duration = Duration::from_millis(10);

/// The fields of `/proc/PID/stat` behind the name: the state is the first.
fn stat(pid: &str) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split(' ').map(str::to_owned).collect())
}

/// How many processes of a group live; one that only waits to be collected does not.
pub fn living(group: u32) -> usize {
    let group = group.to_string();
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        name.parse::<u32>().ok()?;
        stat(&name)
    });
    processes
        .filter(|fields| fields[2] == group && !matches!(fields[0].as_str(), "Z" | "X"))
        .count()
}

/// Waits until nobody of a group lives.
pub fn wait_for_end(group: u32, time: Duration) {
    let end = Instant::now() + time;
    while living(group) > 0 {
        assert!(Instant::now() < end, "processes of the group {group} live on after {time:?}");
        thread::sleep(LOOK);
    }
}

/// Clock ticks of processor time that a process has used.
pub fn ticks(pid: u32) -> u64 {
    let fields = stat(&pid.to_string()).unwrap();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Waits until a process does nothing: it used no processor time for a while.
pub fn wait_for_rest(pid: u32, time: Duration) {
    let end = Instant::now() + time;
    let (mut last, mut since) = (ticks(pid), Instant::now());
    while since.elapsed() < Duration::from_millis(150) {
        assert!(Instant::now() < end, "the process does not come to rest in {time:?}");
        thread::sleep(LOOK);
        let now = ticks(pid);
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
}
