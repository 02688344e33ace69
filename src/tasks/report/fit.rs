//! Cuts what goes to the engine to what it takes: head and tail stay, and a line between says where all of
//! it is. Sizes are those in JSON.

use serde_json::Value;

use crate::ids::SessionId;
use crate::tasks::engine::{LARGEST, Outcome, Report};

/// What is around a text in an event: names of fields, quotes.
const AROUND: usize = 500;
/// What the details of a report may take; files beyond are left out.
const DETAILS: usize = 20_000;
/// What the diff in them may take besides.
const DIFF: usize = 20_000;
/// What a message or a reason may take.
const REASON: usize = 8_000;

/// The outcome, so that an engine takes it; its whole text is in the child's session.
pub fn fitted(outcome: Outcome, child: &SessionId) -> Outcome {
    let reason = |reason: String| fitted_to(&reason, REASON, child);
    match outcome {
        Outcome::Completed { report } => {
            Outcome::Completed { report: fitted_report(report, 0, child) }
        }
        Outcome::Failed { message, report } => {
            let message = reason(message);
            let report = fitted_report(report, size(&message), child);
            Outcome::Failed { message, report }
        }
        Outcome::Cancelled { reason: why, report } => {
            let why = reason(why);
            let report = fitted_report(report, size(&why), child);
            Outcome::Cancelled { reason: why, report }
        }
    }
}

/// A text, so that an engine takes it as an event.
pub fn fitted_text(text: &str, child: &SessionId) -> String {
    fitted_to(text, LARGEST - AROUND, child)
}

fn fitted_report(report: Report, beside: usize, child: &SessionId) -> Report {
    let mut details = report.details;
    let mut left = DETAILS;
    let mut fit = |list: Option<&mut Value>| {
        let Some(Value::Array(list)) = list else { return false };
        let fits = list.iter().take_while(|entry| {
            let size = entry.to_string().len() + 1;
            left.checked_sub(size).inspect(|rest| left = *rest).is_some()
        });
        let (before, fits) = (list.len(), fits.count());
        list.truncate(fits);
        fits < before
    };
    if let Some(changes) = details.get_mut("changes") {
        let mut is_cut = fit(changes.get_mut("files"));
        if let Some(Value::String(diff)) = changes.get_mut("diff") {
            let fits = taken(diff.chars(), DIFF);
            is_cut |= fits < diff.len();
            diff.truncate(fits);
        }
        if is_cut {
            changes["is_cut"] = Value::Bool(true);
        }
    }
    for name in ["files_written", "schema_errors"] {
        fit(details.get_mut(name));
    }
    let beside = beside + details.to_string().len();
    let text = fitted_to(&report.text, LARGEST - AROUND - beside.min(LARGEST / 2), child);
    Report { text, details }
}

fn fitted_to(text: &str, most: usize, child: &SessionId) -> String {
    if size(text) <= most {
        return text.to_owned();
    }
    let note = format!(
        "\n[… the middle is left out here; all of it is in the subagent's session: `talaria sessions show \
         {child}` …]\n"
    );
    let most = most.saturating_sub(size(&note));
    let head = taken(text.chars(), most - most / 4);
    let tail = taken(text.chars().rev(), most / 4);
    let head = text.get(..head).unwrap_or_default();
    let tail = text.get(text.len() - tail..).unwrap_or_default();
    format!("{head}{note}{tail}")
}

/// How many bytes of these letters take at most so many bytes in JSON.
fn taken(letters: impl Iterator<Item = char>, most: usize) -> usize {
    let (mut taken, mut left) = (0, most);
    for letter in letters {
        let Some(rest) = left.checked_sub(in_json(letter)) else { break };
        left = rest;
        taken += letter.len_utf8();
    }
    taken
}

fn size(text: &str) -> usize {
    text.chars().map(in_json).sum()
}

/// The bytes of a letter in a string of JSON.
fn in_json(letter: char) -> usize {
    match letter {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        letter if letter < ' ' => 6,
        letter => letter.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{LARGEST, Outcome, Report, fitted, fitted_text, size};
    use crate::ids::SessionId;
    use crate::tasks::engine::{Body, Progress};

    #[test]
    fn what_fits_stays() {
        let report =
            Report { text: "a\n\"b\"".to_owned(), details: json!({ "files_written": ["a"] }) };
        let outcome = Outcome::Failed { message: "why".to_owned(), report };
        assert_eq!(fitted(outcome.clone(), &SessionId::new("c")), outcome);
    }

    #[test]
    fn head_and_tail_stay_of_what_does_not() {
        let text = "begin ".to_owned() + &"x\n".repeat(LARGEST) + "end";
        let fitted = fitted_text(&text, &SessionId::new("c1"));
        assert!(fitted.starts_with("begin x\n") && fitted.ends_with("x\nend"));
        assert!(fitted.contains("`talaria sessions show c1`"));
        assert!(size(&fitted) > LARGEST - 2_000);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn an_engine_takes_it(
            piece in "\\PC{0,5}|[\u{0}-\u{20}\"\\\\ä]{1,20}",
            times in 0_usize..200_000,
            files in 0_usize..2_000,
        ) {
            let diff = piece.repeat(times.min(300_000 / piece.len().max(1)));
            let child = SessionId::new("0197");
            let text = piece.repeat(times.min(400_000 / piece.len().max(1)));
            let message = Progress::Message { text: fitted_text(&text, &child) };
            let json = serde_json::to_string(&Body::Progress { progress: message }).unwrap();
            prop_assert!(json.len() <= LARGEST);
            let files: Vec<String> = (0..files).map(|file| format!("src/file{file}.rs")).collect();
            let changed: Vec<_> = files.iter().map(|path| json!({ "path": path })).collect();
            let changes = json!({ "files": changed, "diff": diff });
            let details = json!({ "files_written": files, "changes": changes });
            let report = Report { text: text.clone(), details };
            let cancelled = fitted(Outcome::Cancelled { reason: text, report }, &child);
            prop_assert!(serde_json::to_string(&cancelled).unwrap().len() <= LARGEST);
        }
    }
}
