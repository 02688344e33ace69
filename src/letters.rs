//! Which letters of foreign text may be shown: what drives a terminal, or makes a line read other than it is,
//! is left out; and how long texts and large numbers are made short. It does not know where the text goes.

/// Whether a letter does nothing but change how others are shown, or drives a terminal: control letters
/// (line breaks and tabs among them), those that change the direction, and those without width. What joins
/// emoji and letters of some scripts stays.
pub fn is_hidden(letter: char) -> bool {
    match letter {
        '\u{61c}'
        | '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}' => true,
        letter => letter.is_control(),
    }
}

/// The text on one line, a space between its words; empty where it shows nothing.
pub fn one_line(text: &str) -> String {
    let is_gap = |letter: char| letter.is_whitespace() || letter.is_control();
    let mut line = String::new();
    for word in text.split(is_gap) {
        let mut letters = word.chars().filter(|letter| !is_hidden(*letter)).peekable();
        if letters.peek().is_some() && !line.is_empty() {
            line.push(' ');
        }
        line.extend(letters);
    }
    line
}

/// Names as a sentence has them: "a", "a and b", "a, b and c".
pub fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [several @ .., last] => format!("{} and {last}", several.join(", ")),
    }
}

/// At most `most` characters, the last of them a mark where more was there.
pub fn cut(line: &str, most: usize) -> String {
    if line.chars().nth(most).is_none() {
        return line.to_owned();
    }
    let whole: String = line.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", whole.trim_end())
}

/// 12345 as `12 345`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_words_alone() {
        let text =
            "\u{feff} one\r\n\ttwo\u{1b}[2J \u{200b} \u{202e}th\u{200b}ree\u{2066}\u{2069}\u{2028}";
        assert_eq!(one_line(text), "one two [2J three");
        assert_eq!(one_line("\u{200b}\u{202e}\n"), "");
    }

    #[test]
    fn what_is_long_is_cut_between_letters() {
        let cuts = ["äöü", "äöüß", "ä öüß", ""].map(|text| cut(text, 3));
        assert_eq!(cuts, ["äöü", "äö…", "ä…", ""]);
        assert_eq!([0, 999, 12_345, 1_000_000].map(grouped), ["0", "999", "12 345", "1 000 000"]);
    }

    #[test]
    fn what_joins_letters_stays() {
        let family = "\u{1f469}\u{200d}\u{1f467} می\u{200c}خواهم";
        assert_eq!(one_line(family), family);
    }
}
