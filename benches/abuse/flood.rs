//! More text than the client reads.

use std::thread;
use std::time::Duration;

use super::support::agent::{Agent, Home};
use super::support::model::{Model, Reply};
use super::support::process::peak_kib;
use super::{bounded, survived};

const COUNT: usize = 200_000;
const BYTES: usize = 80;
/// The agent has stopped taking more long before.
const UNREAD: Duration = Duration::from_secs(3);

fn script() -> String {
    let piece = "x".repeat(BYTES);
    format!("when prompt \"Flood\"\n  repeat {COUNT} \"{piece}\"\nwhen any\n  say \"Hello.\"\n")
}

pub(crate) fn scripted() -> String {
    let home = Home::new();
    let mut agent = home.scripted(&script());
    let session = agent.ready(&home);
    unread(&mut agent, &session);
    assert_eq!(agent.ask(&session, "And now?").text(), "Hello.");
    format!("text complete, one answer, {}", survived(&mut agent, &home))
}

pub(crate) fn over_http() -> String {
    let home = Home::new();
    let model = Model::start();
    let mut agent = home.remote(&model.url);
    let session = agent.ready(&home);
    model.plan(Reply::Chunks { count: COUNT, bytes: BYTES, rest: None });
    unread(&mut agent, &session);
    assert!(model.played().is_whole);
    let result = format!("text complete, one answer, {}", bounded(&agent));
    // With 16 MB of text that the model is told again: more memory than this is about.
    model.plan(Reply::Text("Hello."));
    assert_eq!(agent.ask(&session, "And now?").text(), "Hello.");
    format!("{result}, {} MiB after the next prompt", peak_kib(agent.pid()).div_ceil(1024))
}

/// The answer comes when the client reads on, and at once then.
pub(crate) fn cancelled() -> String {
    let home = Home::new();
    let mut agent = home.scripted(&script());
    let session = agent.ready(&home);
    let (id, _) = agent.prompt(&session, "Flood");
    thread::sleep(UNREAD);
    agent.cancel(&session);
    thread::sleep(UNREAD / 3);
    bounded(&agent);
    let answer = agent.wait(id);
    assert_eq!(answer.stop_reason(), "cancelled");
    let read = answer.text().len();
    assert!(read < COUNT * BYTES, "the cancel was not obeyed");
    assert_eq!(agent.ask(&session, "And now?").text(), "Hello.");
    format!(
        "cancelled after {} KB of {} KB, {}",
        read / 1000,
        COUNT * BYTES / 1000,
        survived(&mut agent, &home)
    )
}

fn unread(agent: &mut Agent, session: &str) {
    let (id, _) = agent.prompt(session, "Flood");
    thread::sleep(UNREAD);
    bounded(agent);
    let answer = agent.wait(id);
    assert_eq!(answer.text().len(), COUNT * BYTES, "text was lost or added");
    assert_eq!(answer.stop_reason(), "end_turn");
    // A second answer would come before that of the next request.
    let next = agent.close("no-such-session");
    assert!(next.before.iter().all(|line| line.json().get("id").is_none()), "a second answer came");
}
