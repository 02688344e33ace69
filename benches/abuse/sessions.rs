//! Many sessions: all are answered, and nothing of them is left when they are closed.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::support::agent::{Agent, Home};
use super::support::process::rss_kib;
use super::{SCRIPT, survived, works};

/// Requests that are sent before the first answer is read.
const BATCH: usize = 100;
/// What may stay after thousands of sessions: the allocator gives not all of it back.
const LEFT_KIB: u64 = 12 * 1024;

pub(crate) fn opened_and_closed() -> String {
    const COUNT: usize = 10_000;
    let home = Home::new();
    let mut agent = home.scripted(SCRIPT);
    agent.initialize();
    // What the first sessions load belongs to the process.
    let warm = open(&mut agent, &home, BATCH);
    close(&mut agent, &warm);
    let begin = rss_kib(agent.pid());
    for _ in 0..COUNT / BATCH {
        let sessions = open(&mut agent, &home, BATCH);
        close(&mut agent, &sessions);
        let gone = agent.ask(&sessions[0], "Are you there?");
        assert_eq!(gone.response["error"]["code"], -32002, "a closed session is unknown");
    }
    left(&agent, begin) + &survived(&mut agent, &home)
}

/// Later thousands take the memory that earlier ones gave back, even where the system does not get it: the
/// allocator needs some rounds to level off, so the second half is compared.
pub(crate) fn open_at_once() -> String {
    const ROUNDS: usize = 40;
    let home = Home::new();
    let mut agent = home.scripted(SCRIPT);
    agent.initialize();
    let begin = rss_kib(agent.pid());
    let mut after = Vec::new();
    for _ in 0..ROUNDS {
        let sessions: Vec<String> = (0..10).flat_map(|_| open(&mut agent, &home, BATCH)).collect();
        if after.is_empty() {
            after.push(rss_kib(agent.pid()));
        }
        for batch in sessions.chunks(BATCH) {
            close(&mut agent, batch);
        }
        after.push(rss_kib(agent.pid()));
    }
    let last = after[after.len() - 1];
    assert!(last <= after[1 + ROUNDS / 2] + LEFT_KIB, "memory after each thousand: {after:?} KiB");
    let each = (after[0] - begin) / 1000;
    // Their number decides about the memory here, so the limit of the other checks says nothing.
    works(&mut agent, &home);
    format!("{each} KiB for each, {} MiB after {ROUNDS} times", last.div_ceil(1024))
}

pub(crate) fn prompted() -> String {
    const COUNT: usize = 1_000;
    let home = Home::new();
    let mut agent = home.scripted(SCRIPT);
    agent.initialize();
    let warm = open(&mut agent, &home, BATCH);
    close(&mut agent, &warm);
    let begin = rss_kib(agent.pid());
    for _ in 0..COUNT / BATCH {
        let sessions = open(&mut agent, &home, BATCH);
        let prompt = json!([{ "type": "text", "text": "Say hello" }]);
        let params =
            sessions.iter().map(|session| json!({ "sessionId": session, "prompt": prompt }));
        for result in all(&mut agent, "session/prompt", &params.collect::<Vec<_>>()) {
            assert_eq!(result["stopReason"], "end_turn");
        }
        close(&mut agent, &sessions);
    }
    left(&agent, begin) + &survived(&mut agent, &home)
}

fn left(agent: &Agent, begin: u64) -> String {
    let end = rss_kib(agent.pid());
    assert!(end <= begin + LEFT_KIB, "{begin} KiB at the start, {end} KiB after all were closed");
    format!(
        "all answered, {} MiB before and {} MiB after, ",
        begin.div_ceil(1024),
        end.div_ceil(1024)
    )
}

fn open(agent: &mut Agent, home: &Home, count: usize) -> Vec<String> {
    let params = json!({ "cwd": home.work(), "mcpServers": [] });
    let results = all(agent, "session/new", &vec![params; count]);
    results.iter().map(|result| result["sessionId"].as_str().unwrap().to_owned()).collect()
}

fn close(agent: &mut Agent, sessions: &[String]) {
    let params: Vec<Value> =
        sessions.iter().map(|session| json!({ "sessionId": session })).collect();
    all(agent, "session/close", &params);
}

/// Sends requests at once and waits for the result of each, in any order.
fn all(agent: &mut Agent, method: &str, params: &[Value]) -> Vec<Value> {
    let ids: Vec<u64> = params.iter().map(|params| agent.request(method, params).0).collect();
    let mut results = BTreeMap::new();
    while results.len() < ids.len() {
        let line = agent.line().expect("an answer");
        if line.is_update() {
            continue;
        }
        let message = line.json();
        let id = message["id"].as_u64().expect("an id");
        assert!(ids.contains(&id), "nobody asked: {message}");
        assert!(message["result"].is_object(), "{method}: {message}");
        assert!(
            results.insert(id, message["result"].clone()).is_none(),
            "answered twice: {message}"
        );
    }
    results.into_values().collect()
}
