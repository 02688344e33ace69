//! What is said of a task when it changes, one line for each change: the same in `talaria run`, which knows it from
//! the task's card, and in `talaria task watch`, which is told. It writes nothing itself.

use std::fmt;

/// How a task stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// `running`.
    pub state: String,
    /// The first line of its card: `queued, place 2`, `completed · 12 s`.
    pub details: String,
}

/// A line about a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Which task, with a mark for whether it is over.
    pub head: String,
    /// What became of it.
    pub words: String,
    /// Nothing more comes of it by itself.
    pub is_over: bool,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} … {}", self.head, self.words)
    }
}

/// Whether a task in this state goes on by itself no more.
pub fn is_over(state: &str) -> bool {
    matches!(state, "completed" | "failed" | "cancelled" | "interrupted")
}

/// What to say of the task with this title, which stood as `before` when something was last said of it. Nothing,
/// where it goes on as it did.
pub fn change(title: &str, before: Option<&Standing>, now: &Standing) -> Option<Line> {
    let was = before.map(|before| before.state.as_str());
    let asks_anew =
        now.state == "waiting" && before.is_some_and(|before| before.details != now.details);
    if was == Some(&now.state) && !asks_anew {
        return None;
    }
    let words = match (now.state.as_str(), was) {
        ("running", None | Some("queued")) => "started".to_owned(),
        ("running", Some(_)) => "goes on".to_owned(),
        _ => now.details.clone(),
    };
    let is_over = is_over(&now.state);
    let mark = if is_over { '●' } else { '◦' };
    Some(Line { head: format!("{mark} {title}"), words, is_over })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn each_change_is_said_once() {
        let told = [
            ("queued", "queued, place 2"),
            ("queued", "queued, place 1"),
            ("running", "running"),
            ("running", "running · 1 step"),
            ("waiting", "waiting for permission: Edit a"),
            ("waiting", "waiting for permission: Edit a"),
            ("waiting", "waiting for permission: Edit b"),
            ("running", "running · 2 steps"),
            ("interrupted", "interrupted: it ended"),
            ("running", "running"),
            ("completed", "completed · 3 s"),
            ("completed", "completed · 3 s"),
        ];
        let (mut text, mut before) = (String::new(), None);
        for (state, details) in told {
            let now = Standing { state: state.to_owned(), details: details.to_owned() };
            if let Some(line) = change("`t1` · Look", before.as_ref(), &now) {
                text.push_str(&format!("{line}\n"));
            }
            before = Some(now);
        }
        expect![[r#"
            ◦ `t1` · Look … queued, place 2
            ◦ `t1` · Look … started
            ◦ `t1` · Look … waiting for permission: Edit a
            ◦ `t1` · Look … waiting for permission: Edit b
            ◦ `t1` · Look … goes on
            ● `t1` · Look … interrupted: it ended
            ◦ `t1` · Look … goes on
            ● `t1` · Look … completed · 3 s
        "#]]
        .assert_eq(&text);
    }
}
