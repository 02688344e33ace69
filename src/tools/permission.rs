//! Whether a call runs, is asked for, or is refused: a pure function of the mode, the remembered rules,
//! the configured patterns and what the call would do. It asks nobody.

use std::path::{Component, Path, PathBuf};

use super::command_line::{has_operators, parts};
use super::files::changes_git;
use super::roots::resolve;
use super::{Effect, Prepared};
use crate::permission::{Mode, Rule};
use crate::wildcard::matches;

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Allow,
    Ask,
    /// The reason is for the model.
    Deny(String),
}

/// The configured patterns; `*` in one stands for any text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Commands that run without being asked for, by their whole line.
    allow: Vec<String>,
    /// What is refused in every mode.
    deny: Vec<Refusal>,
}

/// A pattern of commands, by their whole line or a part between shell operators, and of absolute paths.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refusal {
    pattern: String,
    /// What it means for paths, where that differs: the user's home for `~/`, and links resolved in what
    /// is before its first `*`.
    paths: Vec<String>,
}

impl Refusal {
    fn new(pattern: &str) -> Self {
        let pattern = pattern.trim();
        let home = pattern
            .strip_prefix("~/")
            .and_then(|rest| Some(std::env::home_dir()?.join(rest).to_string_lossy().into_owned()));
        let mut paths: Vec<String> = home.into_iter().collect();
        paths.extend(resolved(paths.first().map_or(pattern, String::as_str)));
        Self { pattern: pattern.to_owned(), paths }
    }

    fn names(&self, path: &str) -> bool {
        std::iter::once(&self.pattern).chain(&self.paths).any(|pattern| matches(pattern, path))
    }
}

/// A pattern of absolute paths with links resolved, where that changes it.
fn resolved(pattern: &str) -> Option<String> {
    if !Path::new(pattern).is_absolute() {
        return None;
    }
    let resolved = match pattern.split_once('*') {
        None => resolve(Path::new(pattern)).to_string_lossy().into_owned(),
        Some((literal, _)) => {
            // The last name before the `*` may go on in it.
            let (folder, _) = literal.rsplit_once(std::path::is_separator)?;
            let (folder, rest) = pattern.split_at_checked(folder.len() + 1)?;
            let folder = resolve(Path::new(folder)).join("");
            format!("{}{rest}", folder.display())
        }
    };
    (resolved != pattern).then_some(resolved)
}

impl Policy {
    /// Follows the links in patterns. Blocking.
    pub fn new(allow: Vec<String>, deny: &[String]) -> Self {
        Self { allow, deny: deny.iter().map(|pattern| Refusal::new(pattern)).collect() }
    }

    /// What is refused in `folder` is refused in `copy`, too.
    #[must_use]
    pub fn also_for_copy(&self, folder: &Path, copy: &Path) -> Self {
        let (folder, copy) = (folder.to_string_lossy(), copy.to_string_lossy());
        let moved = |pattern: &String| {
            let rest = pattern.strip_prefix(&*folder)?;
            let is_in_it = rest.is_empty() || rest.starts_with(std::path::is_separator);
            is_in_it.then(|| format!("{copy}{rest}"))
        };
        let mut policy = self.clone();
        for refusal in &mut policy.deny {
            let patterns = std::iter::once(&refusal.pattern).chain(&refusal.paths);
            let copies: Vec<String> = patterns.filter_map(moved).collect();
            refusal.paths.extend(copies);
        }
        policy
    }

    /// Whether a denying pattern names `path` itself, not a folder that it is in.
    pub(super) fn names(&self, path: &Path) -> bool {
        let path = path.to_string_lossy();
        self.deny.iter().any(|refusal| refusal.names(&path))
    }
}

/// Judges a call. The order is: configured refusals, remembered answers, the mode.
pub fn decide(
    mode: Mode,
    rules: &[Rule],
    policy: &Policy,
    effect: Effect,
    prepared: &Prepared,
) -> Verdict {
    if let Some(pattern) = denied(policy, prepared) {
        return Verdict::Deny(format!(
            "the user's configuration forbids this (`permissions.deny`: `{pattern}`); do not try to \
             reach the same in another way, tell the user instead"
        ));
    }
    let looks_only = matches!(effect, Effect::Read | Effect::None);
    // The newest answer counts.
    match rules.iter().rev().find(|rule| rule.grant.key == prepared.grant.key) {
        Some(rule) if !rule.allow => {
            return Verdict::Deny(format!(
                "the user refused {} for this session; go on without, or ask what to do instead",
                rule.grant.label
            ));
        }
        // An answer given in another mode does not make plan mode write.
        Some(_) if mode != Mode::Plan || looks_only => return Verdict::Allow,
        Some(_) | None => {}
    }
    let inside = prepared.touches.iter().all(|touch| touch.inside && !changes_git(touch));
    match (mode, effect) {
        (Mode::Plan, Effect::Write | Effect::Run) => Verdict::Deny(
            "plan mode is on: nothing may be changed or run. Read what you need, then present your plan; \
             the user leaves plan mode when you shall carry it out"
                .to_owned(),
        ),
        (Mode::Plan, Effect::Read | Effect::None) if !inside => Verdict::Deny(
            "plan mode is on: only files in the project may be read. Go on without this file, or name it \
             in your plan; the user leaves plan mode when you shall carry it out"
                .to_owned(),
        ),
        (Mode::Ask | Mode::AcceptEdits, _) if !inside => Verdict::Ask,
        (Mode::Bypass, _)
        | (_, Effect::Read | Effect::None)
        | (Mode::AcceptEdits, Effect::Write) => Verdict::Allow,
        (Mode::Ask, Effect::Write) => Verdict::Ask,
        (Mode::Ask | Mode::AcceptEdits, Effect::Run) => match &prepared.command {
            Some(line) if allowed(policy, line) => Verdict::Allow,
            Some(_) | None => Verdict::Ask,
        },
    }
}

fn denied<'a>(policy: &'a Policy, prepared: &Prepared) -> Option<&'a str> {
    // A link that is refused is so wherever it leads; what a folder holds is refused with it.
    let touched =
        prepared.touches.iter().flat_map(|touch| [lexical(&touch.named), touch.path.clone()]);
    let paths: Vec<String> = touched
        .flat_map(|path| {
            path.ancestors().map(|path| path.to_string_lossy().into_owned()).collect::<Vec<_>>()
        })
        .collect();
    let lines: Vec<&str> = prepared
        .command
        .iter()
        .flat_map(|line| std::iter::once(line.trim()).chain(parts(line)))
        .collect();
    let hit = |refusal: &&Refusal| {
        paths.iter().any(|path| refusal.names(path))
            || lines.iter().any(|line| matches(&refusal.pattern, line))
    };
    policy.deny.iter().find(hit).map(|refusal| refusal.pattern.as_str())
}

/// `path` without `.` and `..`, whatever is on the disk.
fn lexical(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => {
                plain.push(component);
            }
        }
    }
    plain
}

/// A line that could do more than its pattern shows must be allowed literally.
fn allowed(policy: &Policy, line: &str) -> bool {
    let line = line.trim();
    let open = !has_operators(line);
    policy
        .allow
        .iter()
        .map(|pattern| pattern.trim())
        .any(|pattern| pattern == line || (open && matches(pattern, line)))
}

#[cfg(test)]
mod tests;
