//! `talaria sessions list`: sessions as a table for people, or as lines of JSON.

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::{Failure, counted, find};
use crate::clock::{Clock, Timestamp};
use crate::headless::print::without_control;
use crate::letters;
use crate::store::{Store, Summary};

/// So many characters of an id are shown at least.
const SHORT_ID: usize = 8;
const TITLE_CHARS: usize = 50;

/// What to list, and how.
pub(super) struct Listing {
    pub(super) cwd: Option<PathBuf>,
    pub(super) limit: Option<usize>,
    pub(super) json: bool,
}

pub(super) async fn list(
    store: &Store,
    listing: &Listing,
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    let cwd = listing.cwd.as_deref().map(find::folder).transpose()?;
    // All of them, so that the beginning of an id that is shown means one session.
    let all = find::all(store).await?;
    let is_wanted =
        |session: &&Summary| cwd.as_ref().is_none_or(|cwd| find::is_folder(&session.cwd, cwd));
    let wanted: Vec<&Summary> = all.iter().filter(is_wanted).collect();
    let shown = wanted.get(..listing.limit.unwrap_or(usize::MAX)).unwrap_or(&wanted);
    if listing.json {
        for session in shown {
            writeln!(out, "{}", json(session))?;
        }
        return Ok(());
    }
    if shown.is_empty() {
        match &cwd {
            Some(cwd) => writeln!(
                out,
                "There is no session of `{}` yet. Start one with `talaria run \"…\"` there, or leave \
                 `--cwd` out to see those of all folders.",
                cwd.display()
            )?,
            None => writeln!(
                out,
                "There is no session yet. Start one in your editor, or with `talaria run \"…\"`."
            )?,
        }
        return Ok(());
    }
    let now = Clock::real().now();
    let short_ids = short_ids(&all);
    let short_id = |session: &Summary| short_ids.get(session.id.as_str()).copied();
    let rows: Vec<[String; 5]> = shown
        .iter()
        .map(|session| row(session, short_id(session).unwrap_or(session.id.as_str()), now))
        .collect();
    table(&rows, out)?;
    if let Some(more) = wanted.len().checked_sub(shown.len()).filter(|more| *more > 0) {
        writeln!(out, "{more} more; `--all` shows them, too.")?;
    }
    Ok(())
}

fn json(session: &Summary) -> serde_json::Value {
    json!({
        "id": session.id.as_str(),
        "cwd": session.cwd.to_string_lossy(),
        "additional": session.additional,
        "title": session.title,
        "created": session.created.rfc3339(),
        "updated": session.updated.rfc3339(),
        "prompts": session.prompts,
        "records": session.records,
        "openIn": session.open_in,
    })
}

/// The title comes last: letters of any width and direction are in it.
fn row(session: &Summary, id: &str, now: Timestamp) -> [String; 5] {
    let mut title = title(session);
    if let Some(pid) = session.open_in {
        title = format!("{title} (open in process {pid})");
    }
    let prompts = counted(session.prompts, "prompt");
    let folder = without_control(&session.cwd.to_string_lossy());
    [id.to_owned(), ago(now.since(session.updated)), prompts, folder, title]
}

fn table(rows: &[[String; 5]], out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..4).filter_map(width).collect();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths.iter().chain([&0])) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// By id the beginning of it that means this session alone.
fn short_ids(all: &[Summary]) -> HashMap<&str, &str> {
    let mut ids: Vec<&str> = all.iter().map(|session| session.id.as_str()).collect();
    ids.sort_unstable();
    let shared = |one: &str, other: Option<&&str>| {
        let other = other.copied().unwrap_or_default().chars();
        one.chars().zip(other).take_while(|(one, other)| one == other).count()
    };
    // In order, the one that shares most is beside it.
    let short = |(at, id): (usize, &&'_ str)| {
        let before = at.checked_sub(1).and_then(|at| ids.get(at));
        let needed = shared(id, before).max(shared(id, ids.get(at + 1))) + 1;
        id.char_indices().nth(needed.max(SHORT_ID)).map_or(id.len(), |(end, _)| end)
    };
    let ends: Vec<usize> = ids.iter().enumerate().map(short).collect();
    ids.iter().zip(ends).map(|(id, end)| (*id, id.get(..end).unwrap_or(id))).collect()
}

/// How a sentence calls a session.
pub(super) fn named(session: &Summary) -> String {
    format!("`{}` ({})", session.id, title(session))
}

fn title(session: &Summary) -> String {
    let title = session.title.as_deref().unwrap_or("no title");
    let title: String = without_control(title).split_whitespace().collect::<Vec<_>>().join(" ");
    letters::cut(&title, TITLE_CHARS)
}

/// How long ago something was, in one unit.
fn ago(time: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let seconds = time.as_secs();
    let units = [
        (365 * DAY, "year"),
        (30 * DAY, "month"),
        (DAY, "day"),
        (HOUR, "hour"),
        (MINUTE, "minute"),
    ];
    let Some((length, unit)) = units.into_iter().find(|(length, _)| seconds >= *length) else {
        return "now".to_owned();
    };
    format!("{} ago", counted(seconds / length, unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SessionId;

    fn session(id: &str) -> Summary {
        Summary {
            id: SessionId::new(id),
            cwd: PathBuf::from("/w"),
            additional: Vec::new(),
            title: Some(format!("\u{1b}[2J{id}\nline\u{202e}")),
            created: Timestamp(0),
            updated: Timestamp(60_000),
            prompts: 1,
            records: 4,
            open_in: None,
            parent: None,
        }
    }

    #[test]
    fn a_short_id_means_one_session() {
        let all = [session("0123456789a1"), session("0123456789b2"), session("ffff56789")];
        let short = short_ids(&all);
        let short: Vec<&str> = all.iter().map(|session| short[session.id.as_str()]).collect();
        assert_eq!(short, ["0123456789a", "0123456789b", "ffff5678"]);
    }

    #[test]
    fn a_row_drives_no_terminal() {
        let open = Summary { open_in: Some(7), prompts: 2, ..session("abcdefghij") };
        assert_eq!(
            row(&open, "abcdefgh", Timestamp(180_000)),
            [
                "abcdefgh",
                "2 minutes ago",
                "2 prompts",
                "/w",
                "[2Jabcdefghij line (open in process 7)"
            ]
        );
    }

    #[test]
    fn times_have_one_unit() {
        for (seconds, text) in [
            (0, "now"),
            (59, "now"),
            (60, "1 minute ago"),
            (7_300, "2 hours ago"),
            (90_000, "1 day ago"),
            (40 * 86_400, "1 month ago"),
            (800 * 86_400, "2 years ago"),
        ] {
            assert_eq!(ago(Duration::from_secs(seconds)), text);
        }
    }
}
