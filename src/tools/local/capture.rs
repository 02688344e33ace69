//! The output of a command in bounded memory: its beginning, its end, and how much lies between.

use std::collections::VecDeque;

/// What a command wrote so far.
pub(super) struct Capture {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    head_limit: usize,
    tail_limit: usize,
    omitted: u64,
}

impl Capture {
    pub(super) fn new(limit: usize) -> Self {
        let head_limit = limit / 2;
        let tail_limit = limit - head_limit;
        Self { head: Vec::new(), tail: VecDeque::new(), head_limit, tail_limit, omitted: 0 }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = self.head_limit.saturating_sub(self.head.len()).min(bytes.len());
        let (first, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        self.head.extend_from_slice(first);
        // Of a piece larger than the tail only its end stays.
        let skipped = rest.len().saturating_sub(self.tail_limit);
        let last = rest.get(skipped..).unwrap_or_default();
        let over = (self.tail.len() + last.len()).saturating_sub(self.tail_limit);
        self.tail.drain(..over.min(self.tail.len()));
        self.tail.extend(last);
        self.omitted += u64::try_from(skipped + over).unwrap_or(u64::MAX);
    }

    pub(super) fn omitted(&self) -> u64 {
        self.omitted
    }

    /// All that was kept, with a line where something is missing.
    pub(super) fn text(&self) -> String {
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        if self.omitted == 0 {
            let whole: Vec<u8> = self.head.iter().copied().chain(tail).collect();
            return String::from_utf8_lossy(&whole).into_owned();
        }
        let head = String::from_utf8_lossy(without_torn_end(&self.head));
        let tail = String::from_utf8_lossy(without_torn_start(&tail));
        format!("{head}\n[… {} bytes left out …]\n{tail}", self.omitted)
    }

    /// The last of it, at most `limit` bytes.
    pub(super) fn last(&self, limit: usize) -> String {
        let from_head = if self.omitted == 0 { self.head.as_slice() } else { &[] };
        let all = from_head.iter().chain(&self.tail);
        let skipped = (from_head.len() + self.tail.len()).saturating_sub(limit);
        let last: Vec<u8> = all.skip(skipped).copied().collect();
        let last = if skipped > 0 || self.omitted > 0 { without_torn_start(&last) } else { &last };
        String::from_utf8_lossy(last).into_owned()
    }
}

/// `bytes` without the continuation of a character whose start is missing.
fn without_torn_start(bytes: &[u8]) -> &[u8] {
    let torn = bytes.iter().take(3).take_while(|byte| *byte & 0xC0 == 0x80).count();
    bytes.get(torn..).unwrap_or(bytes)
}

/// `bytes` without the start of a character whose continuation is missing.
fn without_torn_end(bytes: &[u8]) -> &[u8] {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => {
            bytes.get(..error.valid_up_to()).unwrap_or(bytes)
        }
        Ok(_) | Err(_) => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::Capture;

    fn captured(limit: usize, pieces: &[&str]) -> Capture {
        let mut capture = Capture::new(limit);
        for piece in pieces {
            capture.push(piece.as_bytes());
        }
        capture
    }

    #[test]
    fn what_fits_is_kept_whole() {
        let capture = captured(10, &["ab", "cdefg", "hij"]);
        assert_eq!((capture.text().as_str(), capture.omitted()), ("abcdefghij", 0));
        assert_eq!(capture.last(3), "hij");
        assert_eq!(capture.last(8), "cdefghij");
    }

    #[test]
    fn the_middle_is_left_out_however_it_comes() {
        let text = "0123456789abcdefghij";
        let whole = captured(8, &[text]);
        let bytes: Vec<String> = text.chars().map(String::from).collect();
        let single = captured(8, &bytes.iter().map(String::as_str).collect::<Vec<_>>());
        for capture in [whole, single] {
            assert_eq!(capture.text(), "0123\n[… 12 bytes left out …]\nghij");
            assert_eq!(capture.omitted(), 12);
            assert_eq!(capture.last(100), "ghij");
        }
    }

    #[test]
    fn characters_are_not_torn() {
        let capture = captured(10, &["ääääääääää"]);
        assert_eq!(capture.text(), "ää\n[… 10 bytes left out …]\nää");
        assert_eq!(capture.last(3), "ä");
    }
}
