//! Lines that are too long, too bad or too many.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use std::process::ChildStdin;

use serde_json::{Value, json};

use super::support::agent::{Agent, Home};
use super::{SCRIPT, bounded, survived};

const COUNT: usize = 100_000;

/// Each is answered once: with its id where it has a plain one, else with `null`.
const BAD: [(&[u8], Option<u64>); 10] = [
    (b"nonsense", None),
    (b"{", None),
    (b"[]", None),
    (b"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\"}]", None),
    (b"{}", None),
    (b"\"text\"", None),
    (b"{\"jsonrpc\":\"2.0\",\"id\":7}", Some(7)),
    (b"{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":9}", Some(8)),
    (b"\xff\xfe{\"jsonrpc\":\"2.0\"}", None),
    (b"{\"jsonrpc\":\"2.0\",\"id\":{\"secret\":1},\"method\":\"initialize\"}", None),
];

pub(crate) fn one_of_300_mb() -> String {
    const PIECE: usize = 1_000_000;
    let home = Home::new();
    let mut agent = home.scripted(SCRIPT);
    agent.initialize();
    let piece = vec![b'x'; PIECE];
    agent.write(b"{\"jsonrpc\":\"2.0\",\"id\":99,\"method\":\"initialize\",\"params\":\"");
    for _ in 0..300 {
        agent.write(&piece);
    }
    agent.write(b"\"}\n");
    let answer = agent.line().expect("an answer").json();
    assert_eq!(answer["id"], Value::Null);
    assert_eq!(answer["error"]["code"], -32600);
    format!("refused, {}", survived(&mut agent, &home))
}

pub(crate) fn bad_and_read() -> String {
    let home = Home::new();
    let mut agent = home.scripted(SCRIPT);
    agent.initialize();
    let writer = Writer::start(&mut agent, bad);
    answered(&mut agent);
    writer.end(&mut agent);
    format!("{COUNT} answers, {}", survived(&mut agent, &home))
}

pub(crate) fn bad_and_unread() -> String {
    let home = Home::new();
    let mut agent = home.scripted(SCRIPT);
    agent.initialize();
    let writer = Writer::start(&mut agent, bad);
    let stalled = writer.stalled();
    bounded(&agent);
    answered(&mut agent);
    writer.end(&mut agent);
    format!("input stops after {stalled} lines, {COUNT} answers, {}", survived(&mut agent, &home))
}

pub(crate) fn unknown_and_unread() -> String {
    let home = Home::new();
    let mut agent = home.scripted(SCRIPT);
    agent.initialize();
    let writer = Writer::start(&mut agent, |number, line| {
        let id = 1_000 + number;
        let request =
            json!({ "jsonrpc": "2.0", "id": id, "method": "no/such", "params": { "n": number } });
        line.extend_from_slice(request.to_string().as_bytes());
    });
    let stalled = writer.stalled();
    bounded(&agent);
    let mut open = vec![true; COUNT];
    for _ in 0..COUNT {
        let answer = agent.line().expect("an answer").json();
        assert_eq!(answer["error"]["code"], -32601);
        let number = usize::try_from(answer["id"].as_u64().unwrap()).unwrap() - 1_000;
        assert!(std::mem::take(&mut open[number]), "request {number} was answered twice");
    }
    writer.end(&mut agent);
    format!("input stops after {stalled} lines, {COUNT} answers, {}", survived(&mut agent, &home))
}

/// The next request after them gets the next answer, so none of them had one.
pub(crate) fn nothing_to_answer() -> String {
    let home = Home::new();
    let mut agent = home.scripted(SCRIPT);
    agent.initialize();
    for _ in 0..COUNT / 100 {
        let lines = "\n  \r\n{\"jsonrpc\":\"2.0\",\"method\":\"no/such\",\"params\":{\"n\":1}}\n"
            .repeat(100);
        agent.write(lines.as_bytes());
    }
    let answer = agent.call("no/such", &json!({}));
    assert_eq!(answer.response["error"]["code"], -32601);
    assert!(answer.before.is_empty(), "something was answered: {}", answer.before[0].text);
    format!("none answered, {}", survived(&mut agent, &home))
}

fn bad(number: usize, line: &mut Vec<u8>) {
    line.extend_from_slice(BAD[number % BAD.len()].0);
}

/// Reads the answers to all bad lines, which come in their order.
fn answered(agent: &mut Agent) {
    for number in 0..COUNT {
        let answer = agent.line().expect("an answer").json();
        let (line, id) = BAD[number % BAD.len()];
        let text = String::from_utf8_lossy(line);
        assert!(answer["error"]["code"].is_i64(), "{text}: {answer}");
        assert_eq!(answer["id"], json!(id), "{text}: {answer}");
        assert!(!answer.to_string().contains("secret"), "{text}: {answer}");
    }
}

/// Writes lines from a thread of its own, since the agent may stop reading.
struct Writer {
    thread: JoinHandle<ChildStdin>,
    written: Arc<AtomicUsize>,
}

impl Writer {
    fn start(agent: &mut Agent, make: fn(usize, &mut Vec<u8>)) -> Self {
        let mut stdin = agent.take_stdin();
        let written = Arc::new(AtomicUsize::new(0));
        let count = written.clone();
        let thread = thread::spawn(move || {
            let mut line = Vec::new();
            for number in 0..COUNT {
                line.clear();
                make(number, &mut line);
                line.push(b'\n');
                stdin.write_all(&line).unwrap();
                count.fetch_add(1, Ordering::SeqCst);
            }
            stdin
        });
        Self { thread, written }
    }

    /// Waits until the agent takes no more for a second; how many lines it took.
    fn stalled(&self) -> usize {
        let mut before = usize::MAX;
        loop {
            let now = self.written.load(Ordering::SeqCst);
            if now == before {
                assert!(now < COUNT, "all was taken although nobody reads the answers");
                return now;
            }
            before = now;
            thread::sleep(Duration::from_secs(1));
        }
    }

    fn end(self, agent: &mut Agent) {
        agent.give_stdin(self.thread.join().unwrap());
    }
}
