//! How wide a terminal is, and text that fits. It writes nothing.

/// Where nobody says how wide it is.
const WIDTH: usize = 80;

/// The columns of the terminal that standard output is.
#[cfg(unix)]
pub(super) fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(WIDTH)
}

#[cfg(not(unix))]
pub(super) fn width() -> usize {
    WIDTH
}

/// As much of a line as has room in so many columns, with a mark where it was cut.
pub(super) fn fit(line: &str, columns: usize) -> String {
    if line.chars().map(columns_of).sum::<usize>() <= columns {
        return line.to_owned();
    }
    let (mut text, mut left) = (String::new(), columns.saturating_sub(1));
    for letter in line.chars() {
        let Some(rest) = left.checked_sub(columns_of(letter)) else { break };
        left = rest;
        text.push(letter);
    }
    text.truncate(text.trim_end().len());
    if columns > 0 {
        text.push('…');
    }
    text
}

/// The columns that a letter takes: two for those of East Asia and for pictures, near enough for a line that must not
/// wrap.
fn columns_of(letter: char) -> usize {
    match letter {
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f000}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::fit;

    #[test]
    fn a_line_has_room_or_is_cut() {
        for (line, columns, shown) in [
            ("short", 5, "short"),
            ("too long", 6, "too l…"),
            ("too long", 5, "too…"),
            ("漢字漢字", 8, "漢字漢字"),
            ("漢字漢字", 7, "漢字漢…"),
            ("漢字漢字", 6, "漢字…"),
            ("a", 0, ""),
        ] {
            assert_eq!(fit(line, columns), shown, "{line} in {columns}");
        }
    }
}
