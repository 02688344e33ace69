//! Private keys in PEM: what stands between the lines that begin and end one. Knows the blocks as they are
//! in a file and as a string of JSON or of a program quotes them.

use std::iter;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// No key is longer.
const LONGEST: usize = 32 * 1024;

/// A block up to its end: line breaks, the body, line breaks.
const WHOLE: &str = r"(?x-u)^
    (?:\\+[nrt]|\s)*
    ([A-Za-z0-9+/=:,.](?:-?[A-Za-z0-9+/=\s:,.()\\])*?)
    (?:\\+[nrt]|\s)*
    -----END\ ";

/// One line of a block that is cut off or written in pieces: what may stand before it, and the line.
const LINE: &str = r#"(?x-u)^
    (?:\\+[nrt"']|[\s"'+,|>;&.()-]|[0-9]{1,6}[\t:|]){0,64}
    ([A-Za-z0-9+/]{16,}={0,2})"#;

static WHOLE_BODY: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(WHOLE).ok());
static BODY_LINE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(LINE).ok());

/// What is to be hidden behind `-----BEGIN `, which ends at `start`, in order.
pub(super) fn body(text: &str, start: usize) -> Vec<Range<usize>> {
    let Some(from) = label(text, start) else { return Vec::new() };
    let (Some(whole), Some(line)) = (&*WHOLE_BODY, &*BODY_LINE) else { return Vec::new() };
    let end = text.floor_char_boundary(from + LONGEST);
    let rest = text.get(from..end).unwrap_or_default();
    if let Some(body) = whole.captures(rest).and_then(|found| found.get(1)) {
        return iter::once(from + body.start()..from + body.end()).collect();
    }
    let mut lines: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    while let Some(found) =
        rest.get(at..).and_then(|rest| line.captures(rest)).and_then(|found| found.get(1))
    {
        lines.push(from + at + found.start()..from + at + found.end());
        at += found.end();
    }
    lines
}

/// Where the line ends that begins a private key; nothing where it begins something else.
fn label(text: &str, start: usize) -> Option<usize> {
    let rest = text.get(start..)?;
    let length = rest
        .bytes()
        .take(64)
        .take_while(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b' ')
        .count();
    let (label, behind) = rest.split_at_checked(length)?;
    let is_private = label.ends_with("PRIVATE KEY") || label.ends_with("PRIVATE KEY BLOCK");
    (is_private && behind.starts_with("-----")).then_some(start + length + 5)
}
