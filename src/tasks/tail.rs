//! The last lines of what a task did: what its model said, a line for each call, and changes of its plan.
//! It is for those who look in, and kept nowhere. Secrets are in it until it is read: one may come in
//! pieces.

use std::collections::VecDeque;

use crate::event::{CallStatus, CallUpdate, PlanEntry, PlanStatus};
use crate::ids::CallId;
use crate::letters::{self, cut};
use crate::redact::Mask;

/// Bytes that are kept at most.
const MOST: usize = 64 * 1024;
/// What is kept of a text that is larger alone. Well below the most, so that a long text is not moved with
/// each of its pieces.
const KEPT: usize = 48 * 1024;
/// What an entry takes beside its text, about.
const ENTRY: usize = 64;
/// Characters of a line that is given.
const LONGEST_LINE: usize = 500;
/// Bytes of a call's title or a line of the plan that are kept. A line that is given is never longer.
const LONGEST_TITLE: usize = 4 * LONGEST_LINE;

/// The last lines of a task, of at most 64 KiB. It grows with what it holds.
#[derive(Debug, Clone, Default)]
pub struct Tail {
    entries: VecDeque<Entry>,
    bytes: usize,
}

#[derive(Debug, Clone)]
enum Entry {
    /// What the model said; all of one message.
    Text {
        text: String,
        is_whole: bool,
    },
    Call {
        id: CallId,
        title: String,
        status: CallStatus,
    },
    Plan(String),
}

impl Entry {
    fn size(&self) -> usize {
        let (Self::Text { text, .. } | Self::Call { title: text, .. } | Self::Plan(text)) = self;
        ENTRY + text.len()
    }
}

impl Tail {
    /// A piece of what the model says.
    pub fn text(&mut self, piece: &str) {
        if let Some(Entry::Text { text, is_whole: false }) = self.entries.back_mut() {
            text.push_str(piece);
            self.bytes += piece.len();
            self.trim();
        } else if !piece.is_empty() {
            self.push(Entry::Text { text: piece.to_owned(), is_whole: false });
        }
    }

    /// The message is whole; the next piece is of another one.
    pub fn end_text(&mut self) {
        if let Some(Entry::Text { is_whole, .. }) = self.entries.back_mut() {
            *is_whole = true;
        }
    }

    /// A call that changed.
    pub fn call(&mut self, call: &CallUpdate) {
        self.end_text();
        let title = call.title.as_deref().map(short);
        let known = self.entries.iter_mut().rev().find_map(|entry| match entry {
            Entry::Call { id, title, status } if *id == call.id => Some((title, status)),
            Entry::Call { .. } | Entry::Text { .. } | Entry::Plan(_) => None,
        });
        if let Some((known_title, status)) = known {
            if let Some(title) = title {
                self.bytes = self.bytes + title.len() - known_title.len();
                *known_title = title;
            }
            *status = call.status.unwrap_or(*status);
            self.trim();
        } else if let Some(title) = title.or_else(|| call.tool.as_deref().map(short)) {
            let status = call.status.unwrap_or(CallStatus::Pending);
            self.push(Entry::Call { id: call.id.clone(), title, status });
        }
    }

    /// The plan, whole.
    pub fn plan(&mut self, entries: &[PlanEntry]) {
        self.end_text();
        let done = entries.iter().filter(|entry| entry.status == PlanStatus::Completed).count();
        let now = entries.iter().find(|entry| entry.status == PlanStatus::InProgress);
        let now = now.map(|entry| format!(": {}", short(&entry.content))).unwrap_or_default();
        self.push(Entry::Plan(format!("plan {done}/{}{now}", entries.len())));
    }

    /// The last lines, oldest first, without secrets and empty lines, each of at most 500 characters.
    pub fn lines(&self, count: usize, mask: &Mask) -> Vec<String> {
        let mut lines = Vec::new();
        for entry in self.entries.iter().rev() {
            if lines.len() >= count {
                break;
            }
            match entry {
                Entry::Text { text, is_whole } => {
                    let text = mask.hide(if *is_whole { text } else { settled(text) });
                    lines.extend(
                        text.lines().rev().map(shown).filter(|line| !line.is_empty()).take(count),
                    );
                }
                Entry::Call { title, status, .. } => {
                    let sign = match status {
                        CallStatus::Pending | CallStatus::InProgress => "",
                        CallStatus::Completed => " ✓",
                        CallStatus::Failed => " ✗",
                    };
                    let title = letters::one_line(&mask.hide(title));
                    lines.push(format!("→ {}{sign}", cut(&title, LONGEST_LINE - 4)));
                }
                Entry::Plan(line) => lines.push(shown(&mask.hide(line))),
            }
        }
        lines.truncate(count);
        lines.reverse();
        lines
    }

    /// What it says now and has not ended yet; secrets may be in it.
    pub fn open_text(&self) -> Option<&str> {
        match self.entries.back() {
            Some(Entry::Text { text, is_whole: false }) => Some(settled(text)),
            _ => None,
        }
    }

    fn push(&mut self, entry: Entry) {
        self.bytes += entry.size();
        self.entries.push_back(entry);
        self.trim();
    }

    fn trim(&mut self) {
        while self.bytes > MOST && self.entries.len() > 1 {
            self.bytes -= self.entries.pop_front().map_or(0, |entry| entry.size());
        }
        if self.bytes > MOST
            && let Some(Entry::Text { text, .. }) = self.entries.front_mut()
        {
            *text = end_of(text);
            self.bytes = ENTRY + text.len();
        }
    }
}

/// The end of a text, from the beginning of a line where there is one.
fn end_of(text: &str) -> String {
    let from = text.ceil_char_boundary(text.len().saturating_sub(KEPT));
    let line = text.get(from..).and_then(|rest| rest.find('\n')).map_or(from, |at| from + at + 1);
    // What has no end of a line is cut where it may be inside of a secret: that word goes, too.
    let word = text.get(from..).and_then(|rest| rest.find(char::is_whitespace));
    let from = if line > from { line } else { word.map_or(text.len(), |at| from + at) };
    let (gone, rest) = text.split_at_checked(from).unwrap_or((text, ""));
    // Inside of a private key: without its first line nobody would see that it is one.
    let first_line = gone
        .rfind("-----BEGIN ")
        .and_then(|at| gone.get(at..))
        .filter(|key| !key.contains("-----END "));
    let first_line = first_line.and_then(|key| key.lines().next()).filter(|line| line.len() < 100);
    first_line.map(|line| format!("{line}\n")).unwrap_or_default() + rest
}

/// A text that goes on, without its last word: that may be the beginning of a secret.
fn settled(text: &str) -> &str {
    text.rfind(char::is_whitespace).and_then(|end| text.get(..end)).unwrap_or_default()
}

fn short(text: &str) -> String {
    // The word at the end may be half a secret that is known by its whole only; it is far behind what
    // is ever given.
    text.get(..text.floor_char_boundary(LONGEST_TITLE)).unwrap_or_default().to_owned()
}

/// A line as it is given; white space at its beginning stays.
fn shown(line: &str) -> String {
    let line = line.trim_end().chars().map(|letter| if letter == '\t' { ' ' } else { letter });
    let line: String = line.filter(|letter| !letters::is_hidden(*letter)).collect();
    cut(&line, LONGEST_LINE)
}

#[cfg(test)]
mod tests {
    use super::{ENTRY, Entry, KEPT, MOST, Tail};
    use crate::config::Secret;
    use crate::event::{CallStatus, CallUpdate, PlanEntry, PlanPriority, PlanStatus};
    use crate::ids::CallId;
    use crate::redact::Mask;

    fn call(id: &str, title: Option<&str>, status: CallStatus) -> CallUpdate {
        let title = title.map(str::to_owned);
        CallUpdate { title, ..CallUpdate::new(CallId::new(id)).with_status(status) }
    }

    fn lines(tail: &Tail) -> Vec<String> {
        tail.lines(100, &Mask::default())
    }

    #[test]
    fn text_calls_and_plans_become_lines() {
        let mut tail = Tail::default();
        for piece in ["I rea", "d the file.\n\n", "\tThen", " more."] {
            tail.text(piece);
        }
        assert_eq!(lines(&tail), ["I read the file.", " Then"]);
        tail.call(&call("c1", Some("read\nsrc/main.rs"), CallStatus::InProgress));
        tail.call(&call("c2", Some("run a"), CallStatus::Pending));
        tail.call(&call("c1", None, CallStatus::Completed));
        tail.call(&call("c2", Some("run b"), CallStatus::Failed));
        let entry = |content: &str, status| PlanEntry {
            content: content.to_owned(),
            status,
            priority: PlanPriority::Medium,
        };
        tail.plan(&[entry("look", PlanStatus::Completed), entry("do", PlanStatus::InProgress)]);
        tail.text("Done.");
        tail.end_text();
        tail.text("Next ");
        let all = [
            "I read the file.",
            " Then more.",
            "→ read src/main.rs ✓",
            "→ run b ✗",
            "plan 1/2: do",
            "Done.",
            "Next",
        ];
        assert_eq!(lines(&tail), all);
        assert_eq!(tail.lines(3, &Mask::default()), all[4..]);
        assert_eq!(tail.lines(0, &Mask::default()), all[7..]);
        // A change of a call that is not known says nothing.
        tail.call(&call("c9", None, CallStatus::Completed));
        assert_eq!(lines(&tail), all);
    }

    #[test]
    fn no_secret_is_read_even_where_it_comes_in_pieces() {
        let mask = Mask::new(&[Secret::new("hunter2-hunter2")]);
        let mut tail = Tail::default();
        for piece in ["the key is hun", "ter2-hunt", "er2", ", and a longer"] {
            tail.text(piece);
            assert!(!tail.lines(9, &mask).concat().contains("hun"), "{piece}");
        }
        tail.end_text();
        tail.call(&call("c1", Some("echo hunter2-hunter2"), CallStatus::Completed));
        assert_eq!(tail.lines(9, &mask), ["the key is (key), and a longer", "→ echo (key) ✓"]);
    }

    #[test]
    fn a_private_key_is_hidden_when_its_beginning_is_gone() {
        let body =
            "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2".to_owned() + "\n";
        let mut tail = Tail::default();
        tail.text(&"x\n".repeat((MOST - KEPT) / 2 - 500));
        tail.text(&format!("-----{} RSA PRIVATE KEY-----\n", "BEGIN"));
        for _ in 0..100 {
            tail.text(&body);
        }
        tail.text(&"short\n".repeat((MOST - KEPT) / 2));
        assert!(tail.bytes <= MOST);
        let lines = tail.lines(usize::MAX, &Mask::default());
        assert!(lines[0].starts_with("-----BEGIN RSA"), "{}", lines[0]);
        assert!(!lines.concat().contains("QUJD"));
        assert!(lines.contains(&"short".to_owned()));
    }

    #[test]
    fn it_is_bounded_and_grows_with_what_it_holds() {
        let mut tail = Tail::default();
        for _ in 0..200 {
            tail.text(&"a piece\n".repeat(10));
        }
        let Some(Entry::Text { text, .. }) = tail.entries.front() else { panic!("no text") };
        assert!(text.capacity() <= 32 * 1024, "{}", text.capacity());
        for number in 0..9_000 {
            tail.text("word ");
            if number % 3 == 0 {
                let title = "t".repeat(5_000);
                tail.call(&call(&format!("c{number}"), Some(&title), CallStatus::Completed));
            }
            let size: usize = tail.entries.iter().map(Entry::size).sum();
            assert_eq!(tail.bytes, size);
            assert!(size <= MOST);
        }
        for line in lines(&tail) {
            assert!(line.chars().count() <= 500);
        }
        let mut tail = Tail::default();
        tail.text(&"ä".repeat(MOST));
        tail.end_text();
        assert_eq!((tail.bytes, lines(&tail)), (ENTRY, Vec::new()));
        tail.text(&"ä ".repeat(MOST));
        assert!(lines(&tail)[0].ends_with('…'));
    }
}
