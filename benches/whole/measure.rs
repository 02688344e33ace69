//! What is measured, one function for each kind of use. How each is taken stands in its comment.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::json;

use super::Duration;
use super::support::agent::{Answer, Home};
use super::support::model::{Model, Reply};
use super::support::process::{cpu, peak_kib, pss_kib};
use super::support::table::Row;

const CHUNKS: usize = 5_000;
const CHUNK_BYTES: usize = 10;
/// Until what a turn started has settled.
const REST: Duration = Duration::from_millis(300);

/// Processes that are started, greeted and asked to say hello. Times from before the process is made;
/// the prompt follows the answer to `session/new` at once, and counts until the model has read the
/// request.
pub(crate) fn starts() -> Vec<Row> {
    let home = Home::new();
    let model = Model::start();
    let (mut greeted, mut ready, mut first, mut bytes, mut memory) =
        (vec![], vec![], vec![], vec![], vec![]);
    for run in 0..30 {
        let mut agent = home.remote(&model.url);
        greeted.push(agent.initialize().at - agent.started);
        let answer = agent.call("session/new", &json!({ "cwd": home.work(), "mcpServers": [] }));
        ready.push(answer.at - agent.started);
        let session =
            answer.response["result"]["sessionId"].as_str().expect("a session").to_owned();
        model.plan(Reply::Text("Hello."));
        let (id, asked) = agent.prompt(&session, "Say hello");
        let request = model.request();
        first.push(request.at - asked);
        bytes.push(request.bytes as f64 / 1000.0);
        assert_eq!(agent.wait(id).stop_reason(), "end_turn");
        model.played();
        if run % 6 == 0 {
            std::thread::sleep(REST);
            memory.push(mib(pss_kib(agent.pid())));
        }
    }
    vec![
        Row::milliseconds("start → `initialize` response", greeted).at_most(5.0),
        Row::milliseconds("start → first session ready", ready).at_most(8.0),
        Row::milliseconds("prompt → request at the model, first", first).at_most(10.0),
        Row::new("first request (\"Say hello\")", "KB", bytes).at_most(12.0),
        Row::new("PSS with one session after a turn", "MiB", memory).at_most(20.0),
    ]
}

/// Turns of one session, one after the other.
pub(crate) fn turns() -> Vec<Row> {
    let home = Home::new();
    let model = Model::start();
    let mut agent = home.remote(&model.url);
    let session = agent.ready(&home);
    let (mut asked, mut first, mut last) = (vec![], vec![], vec![]);
    for run in 0..60 {
        std::thread::sleep(Duration::from_millis(10));
        model.plan(Reply::Text("Hello."));
        let (id, sent) = agent.prompt(&session, "Say hello");
        let answer = agent.wait(id);
        let request = model.request();
        let played = model.played();
        let (shown, text) = answer.chunks().next().expect("a chunk");
        assert_eq!(text, "Hello.");
        if run >= 10 {
            asked.push(request.at - sent);
            first.push(shown - played.first);
            last.push(answer.at - played.last);
        }
    }
    vec![
        Row::milliseconds("prompt → request at the model, warm", asked).at_most(1.0),
        Row::milliseconds("model's first byte → first chunk", first)
            .at_most(0.3)
            .note("with other load on the cores this rises as its floor below does"),
        Row::milliseconds("… through a thread and `cat` in the agent's place", floor())
            .note("the floor: as many processes and threads to wake, no work"),
        Row::milliseconds("model's last byte → prompt response", last).at_most(1.0),
    ]
}

/// The first byte's way through a thread that forwards it and a process that copies it.
fn floor() -> Vec<Duration> {
    let model = Model::start();
    let mut cat =
        Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("`cat`");
    let mut output = BufReader::new(cat.stdout.take().expect("a pipe"));
    let mut into = cat.stdin.take().expect("a pipe");
    let address = model.url.trim_start_matches("http://").trim_end_matches("/v1/");
    let mut socket = TcpStream::connect(address).expect("the model");
    let mut from = socket.try_clone().expect("a second handle");
    let forwarder = std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            if bytes[..count].windows(6).any(|word| word == b"Hello.") {
                into.write_all(b"Hello.\n").expect("`cat` reads");
            }
        }
    });
    let mut times = vec![];
    for run in 0..60 {
        std::thread::sleep(Duration::from_millis(10));
        model.plan(Reply::Text("Hello."));
        socket
            .write_all(b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}")
            .expect("the model reads");
        let mut line = String::new();
        output.read_line(&mut line).expect("`cat` writes");
        let at = Instant::now();
        model.request();
        let played = model.played();
        if run >= 10 {
            times.push(at - played.first);
        }
    }
    drop(socket.shutdown(Shutdown::Both));
    forwarder.join().expect("the forwarder ends");
    drop(cat.wait());
    times
}

/// A model that writes 5 000 pieces, each with one system call. A piece's delay is from the end of its
/// write to the arrival of the line that holds it.
pub(crate) fn streams() -> Vec<Row> {
    let fast = stream(None);
    let paced = stream(Some((10, Duration::from_micros(100))));
    vec![
        Row::milliseconds(
            "5 000 chunks as fast as the model sends: first byte → last chunk",
            fast.took,
        )
        .at_most(108.0)
        .note("0.9 × the rate of a Python forwarder, which took 97 ms with a slower model"),
        Row::new("… processor time of the agent", "s", fast.spent).at_most(0.1),
        Row::new("… updates they came in", "", fast.updates),
        Row::milliseconds("… the model's own time for writing them", fast.sending),
        Row::milliseconds("… delay of a chunk, p99", fast.delays).note(
            "no target here: the model sends faster than is passed on, and the backlog waits",
        ),
        Row::milliseconds("5 000 chunks at the pace below: delay of a chunk, p99", paced.delays)
            .at_most(5.0),
        Row::milliseconds("… the model's own time, ten chunks and a short rest", paced.sending),
        Row::milliseconds("… first byte → last chunk", paced.took),
        Row::new("… processor time of the agent", "s", paced.spent),
        Row::new("… updates they came in", "", paced.updates),
    ]
}

#[derive(Default)]
struct Streamed {
    took: Vec<Duration>,
    sending: Vec<Duration>,
    delays: Vec<Duration>,
    spent: Vec<f64>,
    updates: Vec<f64>,
}

fn stream(rest: Option<(usize, Duration)>) -> Streamed {
    let home = Home::new();
    let model = Model::start();
    let mut agent = home.remote(&model.url);
    let session = agent.ready(&home);
    let mut streamed = Streamed::default();
    for run in 0..9 {
        std::thread::sleep(REST);
        model.plan(Reply::Chunks { count: CHUNKS, bytes: CHUNK_BYTES, rest });
        let before = cpu(agent.pid());
        let answer = agent.ask(&session, "Count");
        let used = cpu(agent.pid()).saturating_sub(before);
        model.request();
        let played = model.played();
        let delay = delay_of_the_slowest_percent(&answer, &played.sent);
        let shown = answer.chunks().last().expect("chunks").0;
        if run >= 2 {
            streamed.took.push(shown - played.first);
            streamed.sending.push(played.last - played.first);
            streamed.delays.push(delay);
            streamed.spent.push(used.as_secs_f64());
            streamed.updates.push(answer.chunks().count() as f64);
        }
    }
    streamed
}

fn delay_of_the_slowest_percent(answer: &Answer, sent: &[Instant]) -> Duration {
    let mut delays = Vec::new();
    let mut length = 0;
    for (at, text) in answer.chunks() {
        length += text.len();
        while (delays.len() + 1) * CHUNK_BYTES <= length {
            delays.push(at.saturating_duration_since(sent[delays.len()]));
        }
    }
    assert_eq!(delays.len(), CHUNKS, "text was lost or added");
    delays.sort();
    delays[CHUNKS * 99 / 100]
}

/// From the write of a whole `read` call and the end of the reply to the next request.
pub(crate) fn calls() -> Vec<Row> {
    let home = Home::new();
    std::fs::write(home.work().join("small.txt"), "one\ntwo\nthree\n").unwrap();
    let model = Model::start();
    let mut agent = home.remote(&model.url);
    let session = agent.ready(&home);
    let mut trips = vec![];
    for run in 0..40 {
        std::thread::sleep(Duration::from_millis(10));
        model.plan(Reply::Call { tool: "read", input: json!({ "path": "small.txt" }) });
        model.plan(Reply::Text("Read."));
        let answer = agent.ask(&session, "Read it");
        assert_eq!(answer.stop_reason(), "end_turn");
        let (_, second) = (model.request(), model.request());
        let (called, _) = (model.played(), model.played());
        let messages = second.body["messages"].as_array().expect("messages");
        assert!(messages.iter().any(|message| message.to_string().contains("three")));
        if run >= 5 {
            trips.push(second.at - called.last);
        }
    }
    vec![Row::milliseconds("round trip of a call that reads a file", trips).at_most(2.0)]
}

/// A cancel after five chunks that come every 20 ms.
pub(crate) fn cancels() -> Vec<Row> {
    let home = Home::new();
    let model = Model::start();
    let mut agent = home.remote(&model.url);
    let session = agent.ready(&home);
    let mut ends = vec![];
    for run in 0..25 {
        model.plan(Reply::Chunks {
            count: 500,
            bytes: 10,
            rest: Some((1, Duration::from_millis(20))),
        });
        let (id, _) = agent.prompt(&session, "Go on for ever");
        let mut seen = 0;
        while seen < 5 {
            seen += usize::from(agent.line().expect("a line").chunk().is_some());
        }
        // Between two chunks, as most cancels are.
        std::thread::sleep(Duration::from_millis(7));
        let cancelled = agent.cancel(&session);
        let answer = agent.wait(id);
        assert_eq!(answer.stop_reason(), "cancelled");
        model.request();
        assert!(!model.played().is_whole, "the connection to the model was closed");
        if run >= 3 {
            ends.push(answer.at - cancelled);
        }
    }
    vec![Row::milliseconds("cancel → answer, chunks every 20 ms", ends).at_most(1.0)]
}

/// A session with one turn, and 49 that were only opened.
pub(crate) fn many_sessions() -> Vec<Row> {
    let home = Home::new();
    let model = Model::start();
    let (mut memory, mut opened) = (vec![], vec![]);
    for _ in 0..5 {
        let mut agent = home.remote(&model.url);
        let session = agent.ready(&home);
        model.plan(Reply::Text("Hello."));
        agent.ask(&session, "Say hello");
        model.request();
        model.played();
        for _ in 1..50 {
            let begin = Instant::now();
            agent.new_session(&home);
            opened.push(begin.elapsed());
        }
        std::thread::sleep(REST);
        memory.push(mib(pss_kib(agent.pid())));
    }
    vec![
        Row::milliseconds("`session/new`, not the first", opened),
        Row::new("PSS with 50 sessions", "MiB", memory).at_most(25.0),
    ]
}

/// 200 000 pieces of 80 bytes while nobody reads, for three seconds; then they are read. The peak of
/// the whole life of the process counts.
pub(crate) fn unread() -> Vec<Row> {
    const COUNT: usize = 200_000;
    const BYTES: usize = 80;
    let home = Home::new();
    let model = Model::start();
    let mut memory = vec![];
    for _ in 0..3 {
        let mut agent = home.remote(&model.url);
        let session = agent.ready(&home);
        model.plan(Reply::Chunks { count: COUNT, bytes: BYTES, rest: None });
        let (id, _) = agent.prompt(&session, "Flood");
        std::thread::sleep(Duration::from_secs(3));
        let answer = agent.wait(id);
        assert_eq!(answer.text().len(), COUNT * BYTES, "text was lost");
        assert_eq!(answer.stop_reason(), "end_turn");
        model.request();
        model.played();
        memory.push(mib(peak_kib(agent.pid())));
    }
    vec![
        Row::new("a client that does not read, 200 000 chunks: peak RSS", "MiB", memory)
            .at_most(32.0)
            .note("16 MB of it are the reply itself, kept for the next request"),
    ]
}

/// The one file that is installed.
pub(crate) fn size() -> Vec<Row> {
    let bytes = std::fs::metadata(env!("CARGO_BIN_EXE_talaria")).unwrap().len();
    vec![
        Row::new("installed size, one stripped binary", "MB", vec![bytes as f64 / 1e6])
            .at_most(25.0),
    ]
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
