//! Processes that are killed: what they leave confuses nobody.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::json;
use talaria_protocol::{SESSION_LIST, TASK_COLLECT, TASK_LIST};

use super::{Door, chat, prober, socket, sockets, until};
use crate::support::tasks::Chat;

#[test]
fn a_killed_server_leaves_a_socket_that_the_next_finder_removes() {
    let (home, first) = chat();
    let dead = socket(&home);
    first.kill();
    assert!(dead.exists(), "it had no time to remove it");
    let found = Command::new(env!("CARGO_BIN_EXE_talaria"))
        .args(["task", "list"])
        .env("TALARIA_HOME", home.state())
        .current_dir(home.work())
        .output()
        .unwrap();
    assert_eq!(found.status.code(), Some(3), "{found:?}");
    assert_eq!(
        sockets(&home),
        [""; 0].map(Into::<std::path::PathBuf>::into),
        "nobody finds it again"
    );

    let second = Chat::new(&home);
    let dead = socket(&home);
    second.kill();
    let third = Chat::new(&home);
    let alive = until("the dead socket's removal", || match &sockets(&home)[..] {
        [one] if *one != dead => Some(one.clone()),
        _ => None,
    });
    let found = Door::open(&alive).call(SESSION_LIST, &json!({}));
    assert_eq!(found["pid"], third.agent.pid());
    assert_eq!(found["sessions"][0]["sessionId"], *third.session);
    drop(third);
    assert!(!alive.exists(), "a server that ends takes its socket along");
}

#[test]
fn a_killed_client_changes_nothing() {
    let (home, mut chat) = chat();
    chat.say("async work a");
    let socket = socket(&home);
    let mut watcher =
        prober(&format!("watch {}", chat.session), &socket).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(watcher.stdout.take().unwrap()).lines();
    let is_there = lines.map(Result::unwrap).any(|line| line.ends_with("watches"));
    assert!(is_there);
    watcher.kill().unwrap();
    watcher.wait().unwrap();

    let door = Door::open(&socket);
    let session = json!({ "sessionId": chat.session });
    assert_eq!(door.call(TASK_LIST, &session)["tasks"][0]["state"], "running");
    home.open_gate("a");
    let collect = json!({ "sessionId": chat.session, "taskIds": ["t1"] });
    assert_eq!(door.call(TASK_COLLECT, &collect)["tasks"][0]["report"], "Begun a. Ended a.");
    chat.until("t1", "completed");
    assert_eq!(chat.say("still there?"), "You said still there?.");
}
