//! Changes of trees into the user's working tree: three-way, all or nothing. All is worked out on objects
//! that the repository never gets; the user's files are written once, at the end, and nothing else of the
//! user's is.

use std::path::Path;

use super::backup::Backup;
use super::changes::{self, Entry};
use super::obstacles::in_the_way;
use super::repository::{Bare, Repository, Site};
use super::scratch::Scratch;
use super::snapshot::{self, Unreadable};
use super::{Branch, Place, Tree, WorktreeError};

use crate::tasks::answer::ChangedFile;

/// The first version with `merge-tree --write-tree`.
const VERSION: (u32, u32) = (2, 38);
/// In the scratch folder.
const BACKUP: &str = "files";

/// See [`Place::merge`].
pub(super) async fn merge(
    place: &Place,
    trees: &[Tree],
) -> Result<Vec<ChangedFile>, WorktreeError> {
    let prepared = prepare(place, trees).await?;
    let files = prepared.write().await?;
    for tree in trees {
        // What the tree had is with the user, so a tree that stays is no failure of the merge.
        if let Err(error) = tree.remove(Branch::Drop).await {
            let task = &tree.about.task;
            tracing::warn!(%task, %error, "the tree of a merged task could not be removed");
        }
    }
    Ok(files)
}

/// A merge that is worked out and fits.
#[derive(Debug)]
pub(super) struct Prepared {
    repository: Repository,
    /// It has the index and all new objects.
    scratch: Scratch,
    /// The user's working tree, and what it is to be.
    ours: String,
    result: String,
    files: Vec<Entry>,
}

/// Works it out. The user's files are only read.
pub(super) async fn prepare(place: &Place, trees: &[Tree]) -> Result<Prepared, WorktreeError> {
    let repository = Repository::find(&place.git, &place.cwd).await?;
    check_version(&repository).await?;
    for tree in trees {
        tree.look_for_repository()?;
        if tree.about.repository != repository.shared {
            let other = tree.about.top.display().to_string();
            return Err(WorktreeError::OtherRepository(other));
        }
    }
    let scratch = Scratch::new(&place.folder)?;
    let objects = scratch.objects();
    let site = site(&repository, &scratch, &objects);
    // Without one, as where everything was removed from it, git begins with an empty index.
    drop(snapshot::copy_index(&repository.own.join("index"), &site.index).await);
    let ours = snapshot::take(&site, Unreadable::IsLeftOut).await?;

    let bare = Bare { git: &repository.git, shared: &repository.shared, objects: Some(&objects) };
    let mut result = ours.clone();
    let mut changed = Vec::new();
    for (index, tree) in trees.iter().enumerate() {
        let own_index = scratch.file(&format!("index-{index}"));
        let theirs = snapshot::of_task(tree, &scratch, Some(&objects), own_index).await?;
        let start = &tree.about.base;
        let entries = changes::list(&bare, start, &theirs).await?;
        if let Some(entry) = entries.iter().find(|entry| entry.becomes_repository) {
            let folder = tree.folder.display().to_string();
            return Err(WorktreeError::Nested { path: entry.name(), folder });
        }
        if !entries.is_empty() {
            // The only commit that both have is the one that the task began with.
            let ours = bare.commit(&result, start, "ours").await?;
            let theirs = bare.commit(&theirs, start, "theirs").await?;
            result = match merge_trees(&bare, &ours, &theirs).await? {
                Merged::Clean(tree) => tree,
                Merged::Conflict(mut files) => {
                    if files.is_empty() {
                        files = entries.iter().map(Entry::name).collect();
                    }
                    return Err(WorktreeError::Conflict { index, files });
                }
            };
        }
        changed.push(entries);
    }

    let files = changes::list(&bare, &ours, &result).await?;
    let (top, entries) = (repository.top.clone(), files.clone());
    let taken = tokio::task::spawn_blocking(move || in_the_way(&top, &entries)).await;
    let taken = taken.map_err(|error| WorktreeError::Failed(error.to_string()))?;
    if let Some(first) = taken.first() {
        let has = |entries: &Vec<Entry>| entries.iter().any(|entry| entry.path == *first);
        let index = changed.iter().position(has).unwrap_or_default();
        let files = taken.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect();
        return Err(WorktreeError::Conflict { index, files });
    }
    Ok(Prepared { repository, scratch, ours, result, files })
}

impl Prepared {
    /// Writes the user's files. Git looks again at each before it touches any.
    pub(super) async fn write(self) -> Result<Vec<ChangedFile>, WorktreeError> {
        if !self.files.is_empty() {
            let backup = self.backup().await?;
            let objects = self.scratch.objects();
            let site = site(&self.repository, &self.scratch, &objects);
            let arguments = ["-m", "-u", &self.ours, &self.result];
            // A sparse checkout would leave out what lies elsewhere, and nobody would have it afterwards.
            let call = site.call("read-tree").setting("core.sparseCheckout=false");
            let answer = call.args(&arguments).unbroken().run().await?;
            if answer.code != Some(0) {
                // The words of git's plumbing, which are not translated.
                const REFUSALS: [&str; 4] =
                    ["not uptodate", "would be overwritten", "would be removed", "would lose"];
                if REFUSALS.iter().any(|words| answer.complaint.contains(words)) {
                    return Err(WorktreeError::Changed);
                }
                return Err(self.put_back(backup, answer.failure()).await);
            }
        }
        Ok(self.files.into_iter().map(Entry::shown).collect())
    }

    async fn backup(&self) -> Result<Backup, WorktreeError> {
        let (top, folder) = (self.repository.top.clone(), self.scratch.file(BACKUP));
        let entries = self.files.clone();
        let made = tokio::task::spawn_blocking(move || Backup::make(&top, folder, &entries)).await;
        made.map_err(std::io::Error::other).flatten().map_err(|error| {
            let why = format!("the files that a merge changes cannot be copied first: {error}");
            WorktreeError::Failed(why)
        })
    }

    /// After a failure in between, as on a full disk: all files as they were, or their copies stay.
    async fn put_back(self, backup: Backup, failure: WorktreeError) -> WorktreeError {
        let back = tokio::task::spawn_blocking(move || backup.put_back()).await;
        let Err(error) = back.map_err(std::io::Error::other).flatten() else { return failure };
        let folder = self.scratch.keep().join(BACKUP);
        let folder = folder.display();
        tracing::error!(%error, %folder, "files of a merge that failed could not be put back");
        WorktreeError::Failed(format!(
            "{failure}; files could not be put back as they were ({error}): copies of them are in \
             `{folder}`, take from there what is missing"
        ))
    }
}

fn site<'a>(repository: &'a Repository, scratch: &Scratch, objects: &'a Path) -> Site<'a> {
    Site {
        git: &repository.git,
        repository: &repository.own,
        shared: &repository.shared,
        tree: &repository.top,
        index: scratch.file("index"),
        objects: Some(objects),
    }
}

enum Merged {
    Clean(String),
    /// With the files, as far as git names them.
    Conflict(Vec<String>),
}

async fn merge_trees(bare: &Bare<'_>, ours: &str, theirs: &str) -> Result<Merged, WorktreeError> {
    let arguments = ["--write-tree", "-z", "--name-only", "--no-messages", ours, theirs];
    let answer = bare.call("merge-tree").args(&arguments).run().await?;
    let mut parts = answer.bytes.split(|byte| *byte == 0).filter(|part| !part.is_empty());
    let text = |part: &[u8]| String::from_utf8_lossy(part).trim().to_owned();
    match (answer.code, parts.next()) {
        (Some(0), Some(tree)) => Ok(Merged::Clean(text(tree))),
        (Some(1), Some(_)) => Ok(Merged::Conflict(
            parts.map(|path| String::from_utf8_lossy(path).into_owned()).collect(),
        )),
        _ => Err(answer.failure()),
    }
}

async fn check_version(repository: &Repository) -> Result<(), WorktreeError> {
    let said = repository.git.call(&repository.top, "version").line().await?;
    let version = said.trim_start_matches("git version ").to_owned();
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) if (major, minor) < VERSION => {
            Err(WorktreeError::TooOld { version })
        }
        _ => Ok(()),
    }
}
