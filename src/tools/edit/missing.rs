//! Why a text that should be replaced is not there, in words that let the model correct itself.

use super::super::files::cut;

/// The longest line that is quoted.
const QUOTED: usize = 200;

/// Says what of `old`, which is not in `text`, comes nearest.
pub(super) fn explain(text: &str, old: &str) -> String {
    let wanted: Vec<&str> = trimmed_lines(old);
    let lines: Vec<&str> = text.lines().collect();
    if numbered(&wanted) {
        return "`old_text` is not in the file: leave out the line numbers that `read` shows"
            .to_owned();
    }
    if let Some(at) = window(&lines, &wanted) {
        let differs =
            wanted.iter().zip(lines.iter().skip(at)).position(|(wanted, line)| wanted != line);
        let at = at + differs.unwrap_or(0);
        return format!(
            "`old_text` is not in the file: it differs only in white space from what is at line {}, which \
             reads `{}`",
            at + 1,
            quote(lines.get(at))
        );
    }
    match best_start(&lines, &wanted) {
        Some((at, same)) => format!(
            "`old_text` is not in the file: its beginning is at line {}, but line {} reads `{}` where \
             `old_text` has `{}`",
            at + 1,
            at + same + 1,
            quote(lines.get(at + same)),
            quote(wanted.get(same))
        ),
        None => "`old_text` is not in the file; read the file and copy the text exactly".to_owned(),
    }
}

/// The lines without empty ones around them.
fn trimmed_lines(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let filled = |line: &&str| !line.trim().is_empty();
    let first = lines.iter().position(filled).unwrap_or(0);
    let end = lines.iter().rposition(filled).map_or(0, |last| last + 1);
    lines.get(first..end).unwrap_or_default().to_vec()
}

fn numbered(wanted: &[&str]) -> bool {
    !wanted.is_empty()
        && wanted.iter().all(|line| {
            line.split_once('\t').is_some_and(|(number, _)| number.trim().parse::<u32>().is_ok())
        })
}

/// Where all of `wanted` stands, white space aside.
fn window(lines: &[&str], wanted: &[&str]) -> Option<usize> {
    if wanted.is_empty() {
        return None;
    }
    lines.windows(wanted.len()).position(|window| {
        window
            .iter()
            .zip(wanted)
            .all(|(line, wanted)| without_space(line).eq(without_space(wanted)))
    })
}

fn without_space(line: &str) -> impl Iterator<Item = char> {
    line.chars().filter(|char| !char.is_whitespace())
}

/// Where most of the first lines of `wanted` stand, and how many do.
fn best_start(lines: &[&str], wanted: &[&str]) -> Option<(usize, usize)> {
    let first = wanted.first()?;
    let same = |at: usize| {
        lines
            .iter()
            .skip(at)
            .zip(wanted)
            .take_while(|(line, wanted)| line.trim() == wanted.trim())
            .count()
    };
    (0..lines.len())
        .filter(|at| lines.get(*at).is_some_and(|line| line.trim() == first.trim()))
        .map(|at| (at, same(at)))
        .max_by_key(|(at, same)| (*same, std::cmp::Reverse(*at)))
}

fn quote(line: Option<&&str>) -> String {
    line.map_or_else(|| "(the end of the file)".to_owned(), |line| cut(line, QUOTED))
}
