//! Cuts a byte stream into lines with bounded memory. It knows nothing of JSON.

use std::io::{self, BufRead, Read};

/// The longest line that is read: 16 MiB, enough for a prompt with pictures.
pub const MAX_LINE: usize = 16 * 1024 * 1024;
/// A buffer that grew beyond this is given back after its line.
const KEEP_BUFFER: usize = 256 * 1024;

/// One line, without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    Text(String),
    /// It was longer than the limit and was skipped to its end; this is how it begins.
    TooLong {
        head: String,
    },
    /// This is how it begins.
    NotUtf8 {
        head: String,
    },
}

/// Bytes of a bad line that are kept.
pub const HEAD: usize = 1024;

/// The beginning of a bad line, as text.
pub fn head(line: &[u8]) -> String {
    String::from_utf8_lossy(line.get(..HEAD).unwrap_or(line)).into_owned()
}

/// Reads lines; blank ones are skipped.
pub struct Lines<R> {
    reader: R,
    max: usize,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// `max` is the longest line in bytes.
    pub fn new(reader: R, max: usize) -> Self {
        Self { reader, max, buffer: Vec::new() }
    }

    /// The next line that is not blank; `None` at the end of input. A last line without an end counts.
    pub fn next_line(&mut self) -> io::Result<Option<Line>> {
        loop {
            if self.buffer.capacity() > KEEP_BUFFER {
                self.buffer = Vec::new();
            }
            self.buffer.clear();
            let limit = self.max as u64 + 1;
            let read =
                retry(|| (&mut self.reader).take(limit).read_until(b'\n', &mut self.buffer))?;
            if read == 0 {
                return Ok(None);
            }
            if self.buffer.len() > self.max && self.buffer.last() != Some(&b'\n') {
                self.skip_line()?;
                return Ok(Some(Line::TooLong { head: head(&self.buffer) }));
            }
            if self.buffer.last() == Some(&b'\n') {
                self.buffer.pop();
            }
            match std::str::from_utf8(&self.buffer) {
                Err(_) => return Ok(Some(Line::NotUtf8 { head: head(&self.buffer) })),
                Ok(text) => {
                    let text = text.trim();
                    if !text.is_empty() {
                        return Ok(Some(Line::Text(text.to_owned())));
                    }
                }
            }
        }
    }

    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let available = retry(|| self.reader.fill_buf().map(<[u8]>::len))?;
            if available == 0 {
                return Ok(());
            }
            let buffered = self.reader.fill_buf()?;
            match buffered.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    self.reader.consume(end + 1);
                    return Ok(());
                }
                None => self.reader.consume(available),
            }
        }
    }
}

fn retry<T>(mut read: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
