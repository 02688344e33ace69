//! Where a text has something of the shape of a secret: one search for the few letters that all of them
//! begin with, then a closer look there. Nothing is decided by how random something looks.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::{ends_in_escape_sign, pem};

/// What a secret, or what says that one follows, begins with. Plain texts only: the search for them
/// runs many bytes at a time.
const BEGINNINGS: &str = "sk-|ghp_|gho_|ghu_|ghs_|ghr_|github_pat_|glpat-|xoxa-|xoxb-|xoxp-|xoxr-|xoxs-\
     |AKIA|ASIA|AIza|npm_|sk_live_|rk_live_|eyJ|earer |asic |-----BEGIN |://";

/// What a token is as a whole.
const TOKENS: &str = r"(?x-u)^(?:
      sk-(?:ant|or|proj|svcacct|admin)-[\w-]{16,}
    | sk-[A-Za-z0-9]{32,}
    | gh[pousr]_[A-Za-z0-9]{36,}
    | github_pat_\w{40,}
    | glpat-[\w-]{20,}(?:\.[0-9a-z]{2}\.[0-9a-z]{7,})?
    | xox[abprs]-[A-Za-z0-9-]{10,}
    | A(?:KIA|SIA)[A-Z2-7]{16}
    | AIza[\w-]{35}
    | npm_[A-Za-z0-9]{36,}
    | [sr]k_live_[A-Za-z0-9]{16,}
    | eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}
    )";

/// Shorter words behind `Authorization: Bearer` are talk of it.
const SHORTEST_CREDENTIALS: usize = 8;
/// A longer name or password in a URL is none.
const LONGEST_IN_URL: usize = 256;

static BEGINNING: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(BEGINNINGS).ok());
static TOKEN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(TOKENS).ok());

/// Secrets in the text, in order.
pub(super) fn find(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let (Some(beginning), Some(token)) = (&*BEGINNING, &*TOKEN) else { return found };
    for begin in beginning.find_iter(text) {
        if found.last().is_some_and(|last| begin.start() < last.end) {
            continue;
        }
        match begin.as_str() {
            "-----BEGIN " => found.extend(pem::body(text, begin.end())),
            "://" => found.extend(password(text.as_bytes(), begin.start(), begin.end())),
            "earer " | "asic " => {
                found.extend(credentials(text.as_bytes(), begin.start(), begin.end()));
            }
            _ => found.extend(whole_token(text, begin.start(), token)),
        }
    }
    found
}

fn whole_token(text: &str, start: usize, token: &Regex) -> Option<Range<usize>> {
    if !begins_a_word(text.as_bytes().get(..start)?) {
        return None;
    }
    let length = token.find(text.get(start..)?)?.end();
    let end = start + length;
    // These have a length of their own; a longer word is something else.
    let is_part = text.as_bytes().get(start) == Some(&b'A')
        && text.as_bytes().get(end).is_some_and(|byte| is_word(*byte) || *byte == b'-');
    (!is_part).then_some(start..end)
}

/// Whether a word may begin behind these bytes: also behind an escape such as `\n`, and behind a colour
/// of a terminal.
fn begins_a_word(before: &[u8]) -> bool {
    let Some((last, rest)) = before.split_last() else { return true };
    match last {
        // The first letter of what follows belongs to the escape.
        b'\\' => !ends_in_escape_sign(before),
        b'n' | b't' | b'r' | b'b' | b'f' if rest.ends_with(b"\\") => true,
        b'm' => {
            let digits = rest
                .iter()
                .rev()
                .take_while(|byte| byte.is_ascii_digit() || **byte == b';')
                .take(16)
                .count();
            let rest = rest.get(..rest.len() - digits).unwrap_or_default();
            rest.strip_suffix(b"[")
                .is_some_and(|rest| ends_in(rest, b"\x1b") || ends_in(rest, b"\\u001b"))
        }
        last => !is_word(*last) || is_escaped_character(before),
    }
}

fn ends_in(bytes: &[u8], end: &[u8]) -> bool {
    bytes.len() >= end.len()
        && bytes.get(bytes.len() - end.len()..).is_some_and(|last| last.eq_ignore_ascii_case(end))
}

/// Whether the last bytes are `\u` and four digits.
fn is_escaped_character(bytes: &[u8]) -> bool {
    let Some(at) = bytes.len().checked_sub(6) else { return false };
    bytes.get(at..).is_some_and(|last| {
        last.starts_with(b"\\u") && last.iter().skip(2).all(u8::is_ascii_hexdigit)
    })
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// What follows `Authorization: Bearer `, also as a field of JSON and as code writes it.
fn credentials(text: &[u8], start: usize, end: usize) -> Option<Range<usize>> {
    const AROUND: &[u8] = b" \t\"'\\]";
    let trimmed =
        |bytes: &[u8]| bytes.iter().rev().take_while(|byte| AROUND.contains(byte)).take(16).count();
    let (initial, before) = text.get(..start)?.split_last()?;
    let is_scheme = matches!(initial, b'b' | b'B');
    let before = before.get(..before.len() - trimmed(before))?;
    let (sign, before) = before.split_last()?;
    let before = before.get(..before.len() - trimmed(before))?;
    if !is_scheme || !matches!(sign, b':' | b'=' | b',') || !ends_in(before, b"authorization") {
        return None;
    }
    let value = text.get(end..)?;
    let length = value
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte))
        .count();
    (length >= SHORTEST_CREDENTIALS).then_some(end..end + length)
}

/// The password of `scheme://user:PASSWORD@host`.
fn password(text: &[u8], start: usize, end: usize) -> Option<Range<usize>> {
    let has_scheme = start.checked_sub(1).and_then(|at| text.get(at))?.is_ascii_alphanumeric();
    let rest = text.get(end..)?;
    let user =
        rest.iter().take(LONGEST_IN_URL).take_while(|byte| is_of_url(**byte) && **byte != b':');
    let from = end + user.count() + 1;
    let rest = text.get(from..)?;
    let length = rest.iter().take(LONGEST_IN_URL).take_while(|byte| is_of_url(**byte)).count();
    let (password, behind) = (rest.get(..length)?, rest.get(length..)?);
    let is_one = has_scheme
        && text.get(from - 1) == Some(&b':')
        && behind.first() == Some(&b'@')
        && !password.is_empty()
        // `docker://image:1.2@sha256:…`
        && !behind.starts_with(b"@sha256:")
        && !is_placeholder(password);
    is_one.then_some(from..from + length)
}

fn is_of_url(byte: u8) -> bool {
    !byte.is_ascii_whitespace() && !b"/@\"'`\\<>?#|".contains(&byte)
}

/// `$PASSWORD`, `${password}`, `{password}`, `%s`, `***`, and the word itself.
fn is_placeholder(password: &[u8]) -> bool {
    matches!(password, [b'$' | b'{' | b'[' | b'(' | b'*', ..] | b"%s" | b"%v")
        || [&b"pass"[..], b"passwd", b"password"]
            .iter()
            .any(|word| password.eq_ignore_ascii_case(word))
}
