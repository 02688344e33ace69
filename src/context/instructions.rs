//! The instructions that a project and a user give to every agent: `AGENTS.md`, else `CLAUDE.md`, in
//! each root, and `instructions` of the configuration. Read once for a session, capped.

use std::fs;
use std::io::Read;
use std::path::Path;

use crate::tools::roots::Roots;

/// Names of instruction files; the first that is there is read.
const NAMES: [&str; 2] = ["AGENTS.md", "CLAUDE.md"];
/// Bytes of one source that the model sees.
const CAP: usize = 24 * 1024;

/// What a project and a user tell every agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Instructions {
    sections: Vec<Section>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    pub source: String,
    pub text: String,
}

impl Instructions {
    /// Reads the files of all roots. Blocking; a file that cannot be read is left out and logged.
    pub fn read(roots: &Roots, configured: Option<&str>) -> Self {
        let mut sections = Vec::new();
        if let Some(text) = configured {
            sections.push(section("the configuration", text.as_bytes()));
        }
        for root in roots.all() {
            let found = NAMES.iter().find_map(|name| {
                let path = root.join(name);
                Some((read_capped(roots, &path)?, path))
            });
            if let Some((bytes, path)) = found {
                sections.push(section(&path.display().to_string(), &bytes));
            }
        }
        sections.retain(|section| !section.text.trim().is_empty());
        Self { sections }
    }

    pub fn sections(&self) -> &[Section] {
        &self.sections
    }
}

fn read_capped(roots: &Roots, path: &Path) -> Option<Vec<u8>> {
    if !path.is_file() {
        return None;
    }
    // A project must not send the user's other files to a provider by linking to them.
    let target = fs::canonicalize(path).ok()?;
    if !roots.contain(&target) {
        tracing::warn!(path = %path.display(), "instructions outside the project are not read");
        return None;
    }
    let mut bytes = Vec::new();
    let read =
        fs::File::open(target).and_then(|file| file.take(CAP as u64 + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) => Some(bytes),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "instructions cannot be read");
            None
        }
    }
}

fn section(source: &str, bytes: &[u8]) -> Section {
    let kept = bytes.get(..CAP).unwrap_or(bytes);
    let mut text = String::from_utf8_lossy(kept).into_owned();
    if bytes.len() > CAP {
        text.push_str("\n[cut here: the file is longer than an agent reads at once]");
    }
    Section { source: source.to_owned(), text }
}
