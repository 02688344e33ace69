//! Many who watch, and one of them who never reads: the others miss nothing, and nothing grows.

use std::fs;
use std::io::Write as _;

use serde_json::{Value, json};
use talaria_protocol::{TASK_SPAWN, TASK_SUBSCRIBE};

use super::{Door, chat, greet, logged, socket};

const WATCHERS: usize = 200;
const EACH: usize = 50;
const TASKS: usize = 20;
/// KiB that all of this may add to what the server had before.
const MOST_MEMORY: u64 = 48 * 1024;

/// KiB of memory that a process has now.
fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn two_hundred_watch_and_one_never_reads() {
    if !cfg!(target_os = "linux") {
        println!("skipped: the memory of a process is read from `/proc`");
        return;
    }
    let (home, mut chat) = chat();
    let socket = socket(&home);
    let door = Door::open(&socket);
    let long = "x".repeat(2_000);
    let goals: Vec<Value> =
        (0..TASKS).map(|_| json!({ "goal": format!("work a {long}") })).collect();
    door.call(TASK_SPAWN, &json!({ "sessionId": chat.session, "tasks": goals }));
    let before = memory(chat.agent.pid());

    let (mut slow, greeting) = greet(&socket);
    assert!(greeting.contains("101"), "{greeting}");
    slow.set_write_timeout(Some(super::PATIENCE)).unwrap();
    for id in 0..60 {
        let request = json!({
            "jsonrpc": "2.0", "id": id, "method": TASK_SUBSCRIBE,
            "params": { "sessionId": chat.session },
        });
        slow.write_all(&frame(&request.to_string())).unwrap();
    }
    let doors: Vec<Door> = (0..WATCHERS / EACH).map(|_| Door::open(&socket)).collect();
    let mut watchers: Vec<_> = doors
        .iter()
        .flat_map(|door| (0..EACH).map(move |_| door))
        .map(|door| (door, door.subscribe(&chat.session)))
        .collect();
    // Each of these is an event for everybody.
    for task in 1..=TASKS / 2 {
        chat.say(&format!("/cancel t{task}"));
    }
    chat.say("/stop");
    for (door, events) in &mut watchers {
        door.until(events, TASKS, "cancelled");
    }
    logged(&home, "its peer does not read");
    let after = memory(chat.agent.pid());
    assert!(
        after < before + MOST_MEMORY,
        "{before} KiB before, {after} KiB with {WATCHERS} watchers"
    );
    assert_eq!(chat.say("still there?"), "You said still there?.");
}

/// A text in one masked frame, as a client sends it.
fn frame(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap();
    let mut frame = vec![0x81];
    // A length above 125 stands behind the mark 126.
    if let Ok(length @ ..126) = u8::try_from(length) {
        frame.push(0x80 + length);
    } else {
        frame.push(0x80 + 126);
        frame.extend(length.to_be_bytes());
    }
    frame.extend([0; 4]);
    frame.extend(text.bytes());
    frame
}
