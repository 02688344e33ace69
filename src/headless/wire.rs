//! Lines on the wire: newline-delimited JSON in both directions, with a cap, and a record of them.
//! What the lines mean is `headless::editor`'s.

use std::io::Write;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// The longest line that is read.
pub const LINE_CAP: usize = 32 * 1024 * 1024;

/// How many lines wait in each direction before the sender waits.
pub(crate) const WAITING_LINES: usize = 1024;

/// What the agent wrote up to a newline.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    Message(Value),
    /// Not a JSON object; shortened, for a report.
    Invalid(String),
    /// Above [`LINE_CAP`]; the rest of the stream is not read.
    TooLong,
}

/// Who wrote a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    ToAgent,
    FromAgent,
}

/// Writes every line of a connection, as JSON lines with direction and milliseconds.
pub struct Recorder {
    out: Box<dyn Write + Send>,
    start: Instant,
}

impl Recorder {
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out, start: Instant::now() }
    }

    pub(crate) fn write(&mut self, direction: Direction, text: &str) {
        let direction = match direction {
            Direction::ToAgent => "to_agent",
            Direction::FromAgent => "from_agent",
        };
        let milliseconds = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let message = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
        let line = json!({"ms": milliseconds, "direction": direction, "message": message});
        // A record that cannot be written must not fail the conversation that it records.
        writeln!(self.out, "{line}").ok();
        self.out.flush().ok();
    }
}

/// Reads lines until the end of the stream, a line above the cap, or nobody wants them.
pub(crate) async fn read(stream: impl AsyncRead + Unpin, lines: mpsc::Sender<Line>) {
    let mut reader = BufReader::with_capacity(64 * 1024, stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        match read_line(&mut reader, &mut line).await {
            Ok(true) => {}
            Ok(false) | Err(_) => return,
        }
        if line.len() > LINE_CAP {
            lines.send(Line::TooLong).await.ok();
            return;
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if lines.send(parse(&line)).await.is_err() {
            return;
        }
    }
}

/// Reads one line without its newline, at most one buffer above the cap; false at the end.
async fn read_line(
    reader: &mut BufReader<impl AsyncRead + Unpin>,
    line: &mut Vec<u8>,
) -> std::io::Result<bool> {
    loop {
        let buffer = reader.fill_buf().await?;
        if buffer.is_empty() {
            return Ok(!line.is_empty());
        }
        let newline = buffer.iter().position(|byte| *byte == b'\n');
        let taken = newline.unwrap_or(buffer.len());
        line.extend(buffer.iter().take(taken));
        reader.consume(taken + usize::from(newline.is_some()));
        if newline.is_some() || line.len() > LINE_CAP {
            return Ok(true);
        }
    }
}

fn parse(line: &[u8]) -> Line {
    match serde_json::from_slice::<Value>(line) {
        Ok(message @ Value::Object(_)) => Line::Message(message),
        Ok(_) | Err(_) => Line::Invalid(String::from_utf8_lossy(line).chars().take(200).collect()),
    }
}

/// Writes what it is given until the sender goes away, then closes the stream.
pub(crate) async fn write(
    mut stream: impl AsyncWrite + Unpin,
    mut chunks: mpsc::Receiver<Vec<u8>>,
) {
    while let Some(chunk) = chunks.recv().await {
        if stream.write_all(&chunk).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
    stream.shutdown().await.ok();
}
