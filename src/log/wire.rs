//! The wire trace: each line of the protocol in `wire.log`, shortened and without secrets, for someone
//! who looks into a misunderstanding between Talaria and an editor. Off, it costs a comparison.

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use serde_json::Value;

use crate::clock::{Clock, Timestamp};
use crate::config::{Folders, Secret};
use crate::redact::{Mask, Spared};

const FILE_NAME: &str = "wire.log";
const OLD_FILE_NAME: &str = "wire.log.1";
/// A file above this size is put aside at the start.
const ROTATE_AT: u64 = 8 * 1024 * 1024;
/// What one process writes at most.
const RUN_CAP: u64 = 64 * 1024 * 1024;
/// A longer line is only mentioned.
const LINE_CAP: usize = 1024 * 1024;
/// Lines and bytes that wait for the writer; more are dropped.
const WAITING_LINES: usize = 1_024;
const WAITING_BYTES: usize = 8 * 1024 * 1024;
/// Characters of a text that are kept.
const TEXT_CAP: usize = 2_000;
/// What a secret's key contains, in lower case and without `-` and `_`.
const SECRET_KEYS: [&str; 7] =
    ["authorization", "apikey", "token", "password", "secret", "cookie", "credential"];
/// Keys whose whole value may hold secrets.
const SECRET_GROUPS: [&str; 3] = ["env", "environment", "headers"];

/// Which way a line went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    FromEditor,
    ToEditor,
}

/// Where lines of the protocol are shown to; off by default.
#[derive(Debug, Clone, Default)]
pub struct WireTrace(Option<Arc<Queue>>);

#[derive(Debug)]
struct Queue {
    sender: SyncSender<Message>,
    clock: Clock,
    waiting_bytes: AtomicUsize,
    dropped: AtomicU64,
    closing: AtomicBool,
}

#[derive(Debug)]
enum Message {
    Line(Line),
    /// Wakes the writer, to see that it is over.
    Close,
}

#[derive(Debug)]
struct Line {
    at: Timestamp,
    direction: Direction,
    /// Absent for a line that was too long.
    text: Option<String>,
    bytes: usize,
}

/// Ends the trace when it is dropped, after what waits has been written.
#[derive(Debug)]
pub struct WireGuard {
    queue: Arc<Queue>,
    writer: Option<JoinHandle<()>>,
}

impl WireTrace {
    /// Starts a trace into the folder of the logs.
    pub fn open(folders: &Folders, keys: &[Secret]) -> io::Result<(Self, WireGuard)> {
        let folder = super::folder(folders);
        super::make_folder(&folder)?;
        let path = folder.join(FILE_NAME);
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > ROTATE_AT) {
            fs::rename(&path, folder.join(OLD_FILE_NAME))?;
        }
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path)?;
        let (sender, receiver) = sync_channel(WAITING_LINES);
        let queue = Arc::new(Queue {
            sender,
            clock: Clock::real(),
            waiting_bytes: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            closing: AtomicBool::new(false),
        });
        let writer = {
            let queue = Arc::clone(&queue);
            let mask = Mask::new(keys);
            let work = move || write_lines(&queue, &receiver, &mask, file);
            thread::Builder::new().name("talaria-wire".to_owned()).spawn(work)?
        };
        let guard = WireGuard { queue: Arc::clone(&queue), writer: Some(writer) };
        Ok((Self(Some(queue)), guard))
    }

    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Takes a copy of a line, or drops it where the writer is behind.
    pub fn line(&self, direction: Direction, text: &str) {
        let Some(queue) = &self.0 else { return };
        let bytes = text.len();
        let kept = if bytes > LINE_CAP { 0 } else { bytes };
        if queue.waiting_bytes.fetch_add(kept, Ordering::AcqRel) + kept > WAITING_BYTES {
            queue.waiting_bytes.fetch_sub(kept, Ordering::AcqRel);
            queue.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let text = (kept == bytes).then(|| text.to_owned());
        let line = Line { at: queue.clock.now(), direction, text, bytes };
        if queue.sender.try_send(Message::Line(line)).is_err() {
            queue.waiting_bytes.fetch_sub(kept, Ordering::AcqRel);
            queue.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for WireGuard {
    fn drop(&mut self) {
        self.queue.closing.store(true, Ordering::Release);
        // Where the queue is full the writer is awake and sees the mark when it has emptied it.
        if !matches!(self.queue.sender.try_send(Message::Close), Err(TrySendError::Disconnected(_)))
            && let Some(writer) = self.writer.take()
        {
            drop(writer.join());
        }
    }
}

fn write_lines(queue: &Queue, receiver: &Receiver<Message>, mask: &Mask, mut file: File) {
    let mut written = 0;
    let mut buffer = Vec::new();
    loop {
        let message = match receiver.try_recv() {
            Ok(message) => message,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                if !buffer.is_empty() {
                    drop(file.write_all(&buffer));
                    buffer.clear();
                }
                if queue.closing.load(Ordering::Acquire) {
                    break;
                }
                match receiver.recv() {
                    Ok(message) => message,
                    Err(_) => break,
                }
            }
        };
        let Message::Line(line) = message else { continue };
        queue.waiting_bytes.fetch_sub(line.text.as_ref().map_or(0, String::len), Ordering::AcqRel);
        if written > RUN_CAP {
            continue;
        }
        let before = buffer.len();
        push_line(&mut buffer, &line, mask, queue.dropped.swap(0, Ordering::Relaxed));
        written += (buffer.len() - before) as u64;
        if written > RUN_CAP {
            buffer.extend_from_slice(b"(the trace of this process ends here: it is long enough)\n");
        }
        if buffer.len() > LINE_CAP {
            drop(file.write_all(&buffer));
            buffer.clear();
        }
    }
}

fn push_line(buffer: &mut Vec<u8>, line: &Line, mask: &Mask, dropped: u64) {
    if dropped > 0 {
        buffer.extend_from_slice(format!("({dropped} lines dropped)\n").as_bytes());
    }
    let arrow = match line.direction {
        Direction::FromEditor => "→",
        Direction::ToEditor => "←",
    };
    let text = match &line.text {
        Some(text) => redacted(text, mask),
        None => format!("({} bytes, too long for the trace)", line.bytes),
    };
    buffer.extend_from_slice(format!("{} {arrow} {text}\n", line.at).as_bytes());
}

/// The line without secrets and with long texts cut. What is not JSON is not shown: nobody knows what it
/// holds.
fn redacted(line: &str, mask: &Mask) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(line) else {
        return format!("({} bytes that are not JSON)", line.len());
    };
    redact(&mut value, mask);
    // Once more for the names of fields, and for what lies in more than one text.
    let line = value.to_string();
    match mask.hide_in_json(&line, Spared::Names) {
        Cow::Borrowed(_) => line,
        Cow::Owned(line) => line,
    }
}

fn redact(value: &mut Value, mask: &Mask) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => {
            // Before the cut, which could leave half a key.
            if let Cow::Owned(hidden) = mask.hide(text) {
                *text = hidden;
            }
            if let Some((end, _)) = text.char_indices().nth(TEXT_CAP) {
                text.truncate(end);
                text.push('…');
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| redact(item, mask)),
        Value::Object(fields) => {
            // A name beside a value, as in a list of variables or headers.
            let names_secret = fields.get("name").and_then(Value::as_str).is_some_and(is_secret);
            for (key, value) in fields {
                if is_secret(key) || names_secret && key == "value" {
                    hide(value);
                } else {
                    redact(value, mask);
                }
            }
        }
    }
}

/// Numbers stay: `max_tokens` and `usedTokens` are no secrets.
fn hide(value: &mut Value) {
    if matches!(value, Value::String(_) | Value::Array(_) | Value::Object(_)) {
        *value = Value::String("…".to_owned());
    }
}

fn is_secret(key: &str) -> bool {
    let key: String = key
        .chars()
        .filter(|letter| !matches!(letter, '-' | '_'))
        .collect::<String>()
        .to_lowercase();
    SECRET_GROUPS.contains(&key.as_str()) || SECRET_KEYS.iter().any(|part| key.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_left_out_and_long_texts_cut() {
        let mask = Mask::new(&[]);
        let check = |line: &str, expected: &str| assert_eq!(redacted(line, &mask), expected);
        check(
            r#"{"params":{"API-Key":"k","accessToken":["k"],"env":[{"name":"A","value":"k"}],"max_tokens":7}}"#,
            r#"{"params":{"API-Key":"…","accessToken":"…","env":"…","max_tokens":7}}"#,
        );
        check(r#"[{"name":"X-Api-Key","value":"k"}]"#, r#"[{"name":"X-Api-Key","value":"…"}]"#);
        check(
            r#"{"Authorization":null,"text":"stays"}"#,
            r#"{"Authorization":null,"text":"stays"}"#,
        );
        check("token=abc", "(9 bytes that are not JSON)");
        let long = format!(r#""{}""#, "ä".repeat(3_000));
        assert_eq!(redacted(&long, &mask).chars().count(), TEXT_CAP + 3);
    }

    #[test]
    fn configured_keys_are_left_out_wherever_they_occur() {
        let keys = ["sk-test-0123", "sk-test-0123456", "none"].map(Secret::new);
        let mask = Mask::new(&keys);
        let line = r#"{"command":"curl -H 'Bearer sk-test-0123456' none","sk-test-0123":["sk-test-\u0030123."]}"#;
        let expected = r#"{"command":"curl -H 'Bearer (key)' none","(key)":["(key)."]}"#;
        assert_eq!(redacted(line, &mask), expected);
        let long = format!(r#""{}sk-test-0123456""#, "x".repeat(TEXT_CAP - 5));
        assert!(!redacted(&long, &mask).contains("sk-"));
    }

    #[test]
    fn lines_are_in_the_file_when_the_guard_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let folders = Folders { config: path.into(), state: path.into(), run: path.into() };
        let (wire, guard) = WireTrace::open(&folders, &[]).unwrap();
        wire.line(Direction::FromEditor, r#"{"id":1}"#);
        wire.line(Direction::ToEditor, &"x".repeat(LINE_CAP + 1));
        drop(guard);
        wire.line(Direction::ToEditor, "{}");
        let text = fs::read_to_string(super::super::folder(&folders).join(FILE_NAME)).unwrap();
        let lines: Vec<&str> =
            text.lines().filter_map(|line| line.split_once(' ')).map(|(_, line)| line).collect();
        assert_eq!(lines, [r#"→ {"id":1}"#, "← (1048577 bytes, too long for the trace)"]);
    }

    #[test]
    fn a_writer_that_is_behind_costs_lines_not_memory() {
        let (sender, receiver) = sync_channel(WAITING_LINES);
        let queue = Arc::new(Queue {
            sender,
            clock: Clock::driven(Timestamp(0)).0,
            waiting_bytes: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            closing: AtomicBool::new(true),
        });
        let wire = WireTrace(Some(Arc::clone(&queue)));
        let line = "x".repeat(LINE_CAP);
        for _ in 0..20 {
            wire.line(Direction::ToEditor, &line);
        }
        assert_eq!(queue.waiting_bytes.load(Ordering::Relaxed), WAITING_BYTES);
        assert_eq!(queue.dropped.load(Ordering::Relaxed), 12);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wire.log");
        write_lines(&queue, &receiver, &Mask::new(&[]), File::create(&path).unwrap());
        assert_eq!(queue.waiting_bytes.load(Ordering::Relaxed), 0);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("(12 lines dropped)\n"), "{text}");
        assert_eq!(text.lines().count(), 9);
    }

    #[test]
    fn a_large_file_is_put_aside_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let folders = Folders { config: path.into(), state: path.into(), run: path.into() };
        let logs = super::super::folder(&folders);
        fs::create_dir_all(&logs).unwrap();
        File::create(logs.join(FILE_NAME)).unwrap().set_len(ROTATE_AT + 1).unwrap();
        drop(WireTrace::open(&folders, &[]).unwrap());
        assert_eq!(fs::metadata(logs.join(FILE_NAME)).unwrap().len(), 0);
        assert_eq!(fs::metadata(logs.join(OLD_FILE_NAME)).unwrap().len(), ROTATE_AT + 1);
    }
}
