//! What holds for `Lines` whatever it reads. The fuzz target and a test of `tests/it` share this file, so
//! it uses nothing but the library.

use std::io::{self, BufRead, Read};

use talaria::acp::lines::{Line, Lines, head};

/// How a reader is asked and answers.
#[derive(Debug)]
pub struct Plan {
    /// The longest line.
    pub max: usize,
    /// How many bytes the reader hands over at a time, again and again; 0 is an interruption.
    pub pieces: Vec<usize>,
}

/// A fuzzer's bytes: the first says the longest line, the second and its successors the pieces.
pub fn split(input: &[u8]) -> (Plan, &[u8]) {
    let plan = |max: usize, pieces: &[u8]| Plan {
        max,
        pieces: pieces.iter().map(|piece| usize::from(*piece % 16)).collect(),
    };
    match input {
        [max, count, rest @ ..] => {
            let (pieces, bytes) = rest.split_at(usize::from(*count % 8).min(rest.len()));
            (plan(usize::from(*max), pieces), bytes)
        }
        bytes => (plan(64, &[]), bytes),
    }
}

/// Panics where `Lines` does not do what a reading of all bytes at once says.
pub fn check(plan: &Plan, input: &[u8]) {
    let expected = expected(plan.max, input);
    let mut whole = Lines::new(input, plan.max);
    assert_eq!(all(&mut whole), expected, "read at once");
    let mut pieces = Lines::new(Pieces::new(&plan.pieces, input), plan.max);
    assert_eq!(all(&mut pieces), expected, "read in pieces");
    for line in expected {
        if let Line::Text(text) = line {
            assert!(text.len() <= plan.max, "a line above the limit");
        }
    }
}

fn all<R: BufRead>(lines: &mut Lines<R>) -> Vec<Line> {
    let mut all = Vec::new();
    while let Some(line) = lines.next_line().expect("the reader has no errors but interruptions") {
        all.push(line);
    }
    assert!(matches!(lines.next_line(), Ok(None)), "the end of input stays the end");
    all
}

/// The lines by another way: all bytes are there.
fn expected(max: usize, input: &[u8]) -> Vec<Line> {
    input
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            if line.len() > max {
                return Some(Line::TooLong { head: head(line.get(..=max).unwrap_or(line)) });
            }
            match std::str::from_utf8(line) {
                Err(_) => Some(Line::NotUtf8 { head: head(line) }),
                Ok(text) if text.trim().is_empty() => None,
                Ok(text) => Some(Line::Text(text.trim().to_owned())),
            }
        })
        .collect()
}

/// A reader that hands over a few bytes at a time and is interrupted now and then.
struct Pieces<'a> {
    sizes: Vec<usize>,
    turn: usize,
    /// What was shown and not consumed yet.
    open: usize,
    rest: &'a [u8],
}

impl<'a> Pieces<'a> {
    fn new(sizes: &[usize], rest: &'a [u8]) -> Self {
        // Only interruptions would never end.
        let sizes = if sizes.iter().all(|size| *size == 0) { vec![1] } else { sizes.to_vec() };
        Self { sizes, turn: 0, open: 0, rest }
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let piece = self.fill_buf()?;
        let count = piece.len().min(into.len());
        into[..count].copy_from_slice(&piece[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.open == 0 {
            let size = self.sizes[self.turn % self.sizes.len()];
            self.turn += 1;
            if size == 0 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            self.open = size.min(self.rest.len());
        }
        Ok(&self.rest[..self.open])
    }

    fn consume(&mut self, count: usize) {
        assert!(count <= self.open, "more was consumed than was shown");
        self.open -= count;
        self.rest = &self.rest[count..];
    }
}
