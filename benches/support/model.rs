//! A model on loopback: plain threads that answer in the OpenAI chat dialect, one planned reply for each
//! request, and say when a request came and when each piece went out.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Long enough for everything before it to be done with.
const PAUSE: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_mins(1);

/// A reply that will be given.
pub(crate) enum Reply {
    /// This text at once.
    Text(&'static str),
    /// Pieces of equal length, each with a write of its own; a wait after so many of them.
    Chunks { count: usize, bytes: usize, rest: Option<(usize, Duration)> },
    /// One call, all of it in one write.
    Call { tool: &'static str, input: Value },
}

/// A request that came.
pub(crate) struct Request {
    pub(crate) at: Instant,
    pub(crate) body: Value,
    pub(crate) bytes: usize,
}

/// A reply that was given.
pub(crate) struct Played {
    /// Before the first byte was written.
    pub(crate) first: Instant,
    /// After the write of each piece of text.
    pub(crate) sent: Vec<Instant>,
    /// Before the last write.
    pub(crate) last: Instant,
    /// Whether the agent took all of it.
    pub(crate) is_whole: bool,
}

/// The server.
pub(crate) struct Model {
    pub(crate) url: String,
    plans: Sender<Reply>,
    requests: Receiver<Request>,
    played: Receiver<Played>,
}

struct Ends {
    plans: Mutex<Receiver<Reply>>,
    requests: Sender<Request>,
    played: Sender<Played>,
}

impl Model {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1/", listener.local_addr().unwrap());
        let (plans, planned) = channel();
        let (request_sender, requests) = channel();
        let (played_sender, played) = channel();
        let ends = Arc::new(Ends {
            plans: Mutex::new(planned),
            requests: request_sender,
            played: played_sender,
        });
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let ends = ends.clone();
                thread::spawn(move || serve(stream, &ends));
            }
        });
        Self { url, plans, requests, played }
    }

    /// Answers one more request.
    pub(crate) fn plan(&self, reply: Reply) {
        self.plans.send(reply).unwrap();
    }

    pub(crate) fn request(&self) -> Request {
        self.requests.recv_timeout(PATIENCE).expect("a request at the model")
    }

    /// The next request, if one comes within this time.
    pub(crate) fn request_within(&self, time: Duration) -> Option<Request> {
        self.requests.recv_timeout(time).ok()
    }

    pub(crate) fn played(&self) -> Played {
        self.played.recv_timeout(PATIENCE).expect("a reply of the model")
    }
}

fn serve(stream: TcpStream, ends: &Ends) {
    stream.set_nodelay(true).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader) {
        if ends.requests.send(request).is_err() {
            return;
        }
        let reply = ends.plans.lock().unwrap().recv_timeout(PATIENCE);
        let Ok(reply) = reply else { return };
        let played = play(&mut writer, &reply);
        let is_whole = played.is_whole;
        if ends.played.send(played).is_err() || !is_whole {
            return;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let at = Instant::now();
    Some(Request { at, body: serde_json::from_slice(&body).ok()?, bytes: length })
}

fn play(writer: &mut TcpStream, reply: &Reply) -> Played {
    const HEAD: &str =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let role = json!({ "role": "assistant", "content": "" });
    let mut opening = HEAD.to_owned() + &frame(&delta(&role, None).to_string());
    let text = |text: &str| frame(&delta(&json!({ "content": text }), None).to_string());
    thread::sleep(PAUSE);
    let first = Instant::now();
    let mut sent = Vec::new();
    let mut is_whole = true;
    let mut closing = String::new();
    let reason = match reply {
        Reply::Text(words) => {
            opening.push_str(&text(words));
            is_whole &= writer.write_all(opening.as_bytes()).is_ok();
            sent.push(Instant::now());
            thread::sleep(PAUSE);
            "stop"
        }
        Reply::Chunks { count, bytes, rest } => {
            // Made before, so that the server's own work is writing and nothing else.
            let piece = text(&"x".repeat(*bytes));
            opening.push_str(&piece);
            let mut next = opening.as_str();
            for number in 1..=*count {
                is_whole &= writer.write_all(next.as_bytes()).is_ok();
                if !is_whole {
                    break;
                }
                sent.push(Instant::now());
                next = &piece;
                if let Some((after, time)) = rest
                    && number % after == 0
                {
                    thread::sleep(*time);
                }
            }
            "stop"
        }
        Reply::Call { tool, input } => {
            let function = json!({ "name": tool, "arguments": input.to_string() });
            let call =
                json!({ "index": 0, "id": "call_1", "type": "function", "function": function });
            is_whole &= writer.write_all(opening.as_bytes()).is_ok();
            thread::sleep(PAUSE);
            closing = frame(&delta(&json!({ "tool_calls": [call] }), None).to_string());
            "tool_calls"
        }
    };
    closing.push_str(&frame(&delta(&json!({}), Some(reason)).to_string()));
    let usage = json!({ "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15 });
    closing.push_str(&frame(&json!({ "choices": [], "usage": usage }).to_string()));
    closing.push_str(&frame("[DONE]"));
    closing.push_str("0\r\n\r\n");
    let last = Instant::now();
    is_whole &= writer.write_all(closing.as_bytes()).is_ok();
    Played { first, sent, last, is_whole }
}

fn delta(delta: &Value, reason: Option<&str>) -> Value {
    json!({
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "bench",
        "choices": [{ "index": 0, "delta": delta, "finish_reason": reason }],
    })
}

/// One event as one HTTP chunk.
fn frame(data: &str) -> String {
    let event = format!("data: {data}\n\n");
    format!("{:x}\r\n{event}\r\n", event.len())
}
