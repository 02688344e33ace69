//! What two tree objects differ in, as a list and as text. It writes nothing.

use std::str;

use super::repository::Bare;
use super::scratch::Scratch;
use super::{ChangedFile, Changes, Tree, WorktreeError, snapshot};

use crate::tasks::answer::Change;

/// A file of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: Vec<u8>,
    pub(super) change: Change,
    /// Whether it is another repository from now on.
    pub(super) becomes_repository: bool,
    added: Option<u64>,
    removed: Option<u64>,
}

impl Entry {
    /// As it is shown.
    pub(super) fn name(&self) -> String {
        String::from_utf8_lossy(&self.path).into_owned()
    }

    pub(super) fn shown(self) -> ChangedFile {
        let path = self.name();
        ChangedFile { path, change: self.change, added: self.added, removed: self.removed }
    }
}

/// See [`Tree::changes`].
pub(super) async fn of(tree: &Tree, most_bytes: usize) -> Result<Changes, WorktreeError> {
    tree.look_for_repository()?;
    let scratch = Scratch::new(tree.all())?;
    let objects = scratch.objects();
    let now = snapshot::of_task(tree, &scratch, Some(&objects), scratch.file("index")).await?;
    let bare = tree.bare(Some(&objects));
    let start = &tree.about.base;
    let files = list(&bare, start, &now).await?.into_iter().map(Entry::shown).collect();
    let (diff, is_cut) = text(&bare, (start, &now), most_bytes).await?;
    Ok(Changes {
        branch: tree.about.branch.clone(),
        base: start.clone(),
        uncommitted: tree.about.uncommitted,
        files,
        diff,
        is_cut,
    })
}

/// The files that differ, by their paths. A file that was moved is one deleted and one added.
pub(super) async fn list(
    bare: &Bare<'_>,
    from: &str,
    to: &str,
) -> Result<Vec<Entry>, WorktreeError> {
    let arguments = ["-r", "-z", "--raw", "--numstat", "--no-renames", "--no-ext-diff", from, to];
    let answer = bare.call("diff-tree").args(&arguments).run().await?;
    if answer.is_cut || answer.code != Some(0) {
        return Err(answer.failure());
    }
    read(&answer.bytes).ok_or_else(|| {
        WorktreeError::Failed("what `git diff-tree` printed was not understood".to_owned())
    })
}

/// First come records `:modes ids status` and the path, then counts of lines and the path again.
fn read(bytes: &[u8]) -> Option<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut counted = 0;
    let mut parts = bytes.split(|byte| *byte == 0).filter(|part| !part.is_empty());
    while let Some(part) = parts.next() {
        if let Some(record) = part.strip_prefix(b":") {
            let record = str::from_utf8(record).ok()?;
            let mut fields = record.split(' ');
            let (old, new) = (fields.next()?, fields.next()?);
            let change = match record.chars().last()? {
                'A' => Change::Added,
                'D' => Change::Deleted,
                _ => Change::Modified,
            };
            entries.push(Entry {
                path: parts.next()?.to_vec(),
                change,
                becomes_repository: new == "160000" && old != "160000",
                added: None,
                removed: None,
            });
            continue;
        }
        let mut fields = part.splitn(3, |byte| *byte == b'\t');
        let (added, removed, path) = (fields.next()?, fields.next()?, fields.next()?);
        let number = |field: &[u8]| str::from_utf8(field).ok()?.parse().ok();
        // They have the same order; a file whose mode alone was changed is in both.
        let rest = entries.get_mut(counted..)?;
        let place = rest.iter().position(|entry| entry.path == path)?;
        counted += place + 1;
        let entry = rest.get_mut(place)?;
        (entry.added, entry.removed) = (number(added), number(removed));
    }
    Some(entries)
}

/// As git shows it, its beginning where it is long, and whether that is so.
async fn text(
    bare: &Bare<'_>,
    (from, to): (&str, &str),
    most_bytes: usize,
) -> Result<(String, bool), WorktreeError> {
    let arguments =
        ["-r", "-p", "--find-renames", "--no-color", "--no-ext-diff", "--no-textconv", from, to];
    let answer = bare.call("diff-tree").args(&arguments).most(most_bytes).run().await?;
    if !answer.is_cut && answer.code != Some(0) {
        return Err(answer.failure());
    }
    let mut bytes = answer.bytes;
    if answer.is_cut {
        // Whole lines; nothing, where not one fits.
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        bytes.truncate(end);
    }
    Ok((String::from_utf8_lossy(&bytes).into_owned(), answer.is_cut))
}
