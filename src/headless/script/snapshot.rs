//! What users of clients saw of a script, as a file for people to review: clients that show the same share a
//! section. It reads and writes no file.

use super::expect;
use super::failure::Failure;
use crate::headless::client::profile::PROFILES;

/// What a user saw at one place of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shot {
    pub name: String,
    pub lines: Vec<String>,
}

/// The screens of a script, by client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// In the order of the table of profiles.
    seen: Vec<(String, Vec<String>)>,
}

const CLIENTS: &str = "=== ";
const SHOT: &str = "--- ";

impl Snapshot {
    /// Reads a file; what is before the first section is a comment.
    pub fn parse(text: &str) -> Self {
        let mut snapshot = Self::default();
        let mut clients: Vec<&str> = Vec::new();
        let mut lines: Vec<String> = Vec::new();
        for line in text.lines().chain([CLIENTS]) {
            let Some(names) = line.strip_prefix(CLIENTS) else {
                lines.push(line.to_owned());
                continue;
            };
            while lines.last().is_some_and(String::is_empty) {
                lines.pop();
            }
            let lines = std::mem::take(&mut lines);
            for client in std::mem::replace(&mut clients, names.split(", ").collect()) {
                snapshot.put(client, lines.clone());
            }
        }
        snapshot
    }

    /// The lines of a client.
    pub fn of(&self, client: &str) -> Option<&[String]> {
        let (_, lines) = self.seen.iter().find(|(name, _)| name == client)?;
        Some(lines)
    }

    /// Takes what a client's user saw.
    pub fn take(&mut self, client: &str, shots: &[Shot]) {
        self.put(client, lines(shots));
    }

    fn put(&mut self, client: &str, lines: Vec<String>) {
        self.seen.retain(|(name, _)| name != client);
        self.seen.push((client.to_owned(), lines));
        let place = |name: &str| PROFILES.iter().position(|profile| profile.name == name);
        self.seen.sort_by_key(|(name, _)| place(name));
    }

    /// The file; `script` is the script's name.
    pub fn text(&self, script: &str) -> String {
        let mut text = format!(
            "What users see of `{script}`; `talaria drive --as … --screens … --update` writes this.\n"
        );
        let mut groups: Vec<(Vec<&str>, &[String])> = Vec::new();
        for (name, lines) in &self.seen {
            match groups.iter_mut().find(|(_, known)| known == lines) {
                Some((names, _)) => names.push(name),
                None => groups.push((vec![name], lines)),
            }
        }
        for (names, lines) in groups {
            text.push_str(&format!("\n{CLIENTS}{}\n", names.join(", ")));
            for line in lines {
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }

    /// What is wrong with what a client's user saw.
    pub fn compare(&self, client: &str, shots: &[Shot]) -> Option<Failure> {
        let came = lines(shots);
        let Some(wanted) = self.of(client) else {
            let message =
                format!("there is no screen of `{client}` yet: `--update` writes what it shows");
            return Some(Failure { difference: came, ..Failure::new(1, message) });
        };
        if wanted == came {
            return None;
        }
        let message = format!("the user of `{client}` sees something else");
        let difference = expect::line_difference(wanted, &came);
        Some(Failure { difference, ..Failure::new(1, message) })
    }
}

/// All screens, one below the other.
pub fn lines(shots: &[Shot]) -> Vec<String> {
    let of = |shot: &Shot| {
        let heading = format!("{SHOT}{}", shot.name);
        std::iter::once(heading).chain(shot.lines.iter().cloned()).collect::<Vec<_>>()
    };
    shots.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shot(line: &str) -> Vec<Shot> {
        vec![Shot { name: "end".to_owned(), lines: vec![line.to_owned()] }]
    }

    #[test]
    fn clients_that_show_the_same_share_a_section() {
        let mut snapshot = Snapshot::default();
        snapshot.take("unknown", &shot("user: b"));
        snapshot.take("toad", &shot("user: a"));
        snapshot.take("zed", &shot("user: a"));
        let text = snapshot.text("x.drive");
        let body = "\n=== zed, toad\n--- end\nuser: a\n\n=== unknown\n--- end\nuser: b\n";
        assert!(text.ends_with(body), "{text}");
        assert_eq!(Snapshot::parse(&text), snapshot);
        // One that changes leaves the others as they are.
        let mut changed = Snapshot::parse(&text);
        changed.take("toad", &shot("user: c"));
        assert_eq!(changed.of("zed"), snapshot.of("zed"));
        assert_eq!(changed.compare("toad", &shot("user: c")), None);
        let failure = snapshot.compare("toad", &shot("user: c")).expect("it differs");
        assert_eq!(failure.difference, ["  --- end", "- user: a", "+ user: c"]);
        assert!(snapshot.compare("vscode", &shot("user: a")).is_some());
    }
}
