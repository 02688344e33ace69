//! How a tree comes to be, and is found again. It does not look at what is in it.

use std::path::{Component, Path, PathBuf};

use super::about::{self, About, Stage};
use super::git::Git;
use super::repository::{Bare, Repository, without_hooks};
use super::scratch::make_folder;
use super::turn::turn;
use super::{Place, Tree, WorktreeError, remove};

use crate::clock::Clock;
use crate::ids::SessionId;
use crate::tasks::spec::TaskName;

const VERSION: u32 = 1;
/// How many letters of the child's id a branch has: its last ones, since the first ones are the time.
const LETTERS: usize = 8;

/// See [`Place::create`].
pub(super) async fn create(
    place: &Place,
    parent: &SessionId,
    child: &SessionId,
    name: &TaskName,
) -> Result<Tree, WorktreeError> {
    let home = home(&place.folder, parent, child)?;
    let begun = match about::read(&home).await? {
        Some(about) if about.stage == Stage::Made => return open_again(place, home, about).await,
        Some(about) => Some(about),
        None => None,
    };
    let repository = Repository::find(&place.git, &place.cwd).await?;
    let head = repository.head().await?;
    if let Some(about) = begun {
        clear(&Tree::at(&repository.git, home.clone(), about)).await?;
    }
    make_folder(&home)?;
    let bare = Bare { git: &repository.git, shared: &repository.shared, objects: None };
    let about = About {
        version: VERSION,
        stage: Stage::Begun,
        task: name.to_string(),
        branch: branch(&bare, name, child).await?,
        uncommitted: repository.uncommitted().await?,
        prefix: repository.prefix,
        top: repository.top,
        repository: repository.shared.clone(),
        entry: None,
        base: head,
        at: Clock::real().now().as_millis(),
    };
    about::write(&home, &about).await?;
    let tree = Tree::at(&repository.git, home, about);
    check_out(tree, Source::Base).await
}

/// What another process left half made. Nobody has worked there.
async fn clear(tree: &Tree) -> Result<(), WorktreeError> {
    if tree.look_for_repository().is_err() {
        return Ok(());
    }
    remove::worktree(tree).await?;
    match tree.bare(None).resolve(&tree.reference()).await? {
        Some(tip) if tip == tree.about.base => remove::drop_branch(tree).await,
        _ => Ok(()),
    }
}

/// A tree that was made: its folder is there, or is made again of its branch.
async fn open_again(place: &Place, home: PathBuf, about: About) -> Result<Tree, WorktreeError> {
    let tree = Tree::at(&place.git, home, about).ready().await?;
    tree.look_for_repository()?;
    if tree.folder.is_dir() {
        make_folder(&tree.cwd)?;
        return Ok(tree);
    }
    if tree.bare(None).resolve(&tree.reference()).await?.is_none() {
        return Err(WorktreeError::Gone);
    }
    // Its entry in the repository may still be there.
    remove::worktree(&tree).await?;
    check_out(tree, Source::Branch).await
}

/// What a tree is checked out from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The commit, and its branch is made.
    Base,
    /// Its branch, as it is.
    Branch,
}

async fn check_out(mut tree: Tree, source: Source) -> Result<Tree, WorktreeError> {
    let About { branch, base, .. } = &tree.about;
    let call = tree.bare_call("worktree").args(&["add", "--quiet"]);
    let call = match source {
        Source::Base => {
            call.args(&["--no-track", "-b", branch]).args(&[&tree.folder]).args(&[base])
        }
        Source::Branch => call.args(&[&tree.folder]).args(&[branch]),
    };
    let turn = turn(tree.all()).await?;
    call.done().await?;
    drop(turn);
    let entry =
        tree.git.call(&tree.folder, "rev-parse").args(&["--absolute-git-dir"]).line().await?;
    tree.about.entry = Some(PathBuf::from(entry));
    tree.about.stage = Stage::Made;
    // The session's folder may have nothing that is committed.
    make_folder(&tree.cwd)?;
    about::write(&tree.home, &tree.about).await?;
    Ok(tree)
}

/// See [`Place::find`].
pub(super) async fn find(
    place: &Place,
    parent: &SessionId,
    child: &SessionId,
) -> Result<Option<Tree>, WorktreeError> {
    let home = home(&place.folder, parent, child)?;
    let Some(about) = about::read(&home).await?.filter(|about| about.stage == Stage::Made) else {
        return Ok(None);
    };
    let tree = Tree::at(&place.git, home, about).ready().await?;
    if tree.folder.is_dir() || tree.look_for_repository().is_err() {
        // Whether the repository is needed is another question.
        return Ok(Some(tree));
    }
    match tree.bare(None).resolve(&tree.reference()).await? {
        Some(_) => Ok(Some(tree)),
        None => Err(WorktreeError::Gone),
    }
}

/// See [`Tree::maps`].
pub(super) fn maps(tree: &Tree, root: &Path) -> Option<PathBuf> {
    let resolved = root.canonicalize();
    let root = resolved.as_deref().unwrap_or(root);
    let top = tree.about.top.canonicalize();
    let rest = root.strip_prefix(top.as_deref().unwrap_or(&tree.about.top)).ok()?;
    let is_plain = rest.components().all(|part| matches!(part, Component::Normal(_)));
    is_plain.then(|| inside(&tree.folder, rest))
}

impl Tree {
    pub(super) fn at(git: &Git, home: PathBuf, about: About) -> Self {
        let folder = home.join("tree");
        Self { git: git.clone(), cwd: inside(&folder, &about.prefix), folder, home, about }
    }

    /// With the hooks of its repository's configuration switched off.
    pub(super) async fn ready(mut self) -> Result<Self, WorktreeError> {
        if self.look_for_repository().is_ok() {
            self.git = without_hooks(&self.git, &self.about.repository).await?;
        }
        Ok(self)
    }

    /// The folder of all trees.
    pub(super) fn all(&self) -> &Path {
        self.home.parent().and_then(Path::parent).unwrap_or(&self.home)
    }

    pub(super) fn reference(&self) -> String {
        format!("refs/heads/{}", self.about.branch)
    }

    pub(super) fn bare<'a>(&'a self, objects: Option<&'a Path>) -> Bare<'a> {
        Bare { git: &self.git, shared: &self.about.repository, objects }
    }

    pub(super) fn bare_call(&self, command: &'static str) -> super::git::Call<'_> {
        self.git.call(&self.about.repository, command).env("GIT_DIR", &self.about.repository)
    }

    /// Whether its repository is where it was.
    pub(super) fn look_for_repository(&self) -> Result<(), WorktreeError> {
        if self.about.repository.join("objects").is_dir() {
            return Ok(());
        }
        Err(WorktreeError::NoLongerThere(self.about.top.display().to_string()))
    }
}

/// `Path::join` with nothing adds a separator.
fn inside(folder: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { folder.to_owned() } else { folder.join(rest) }
}

/// Ids come from stored sessions and end in paths that are removed, so they may be nothing but names.
pub(super) fn home(
    folder: &Path,
    parent: &SessionId,
    child: &SessionId,
) -> Result<PathBuf, WorktreeError> {
    Ok(folder.join(name_of(parent)?).join(name_of(child)?))
}

pub(super) fn name_of(session: &SessionId) -> Result<&str, WorktreeError> {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    let id = session.as_str();
    if !id.is_empty() && id.chars().all(is_name) {
        return Ok(id);
    }
    Err(WorktreeError::Failed(format!("a session with the id `{id}` can have no trees")))
}

/// A name that no branch has.
async fn branch(
    bare: &Bare<'_>,
    name: &TaskName,
    child: &SessionId,
) -> Result<String, WorktreeError> {
    let id = child.as_str();
    let last = id.char_indices().rev().nth(LETTERS - 1).map_or(0, |(at, _)| at);
    let short = id.get(last..).unwrap_or(id);
    // A branch is a file to git, so beside `talaria` there can be nothing below `talaria/`.
    let separator = match bare.resolve("refs/heads/talaria").await? {
        Some(_) => '-',
        None => '/',
    };
    let wanted = format!("talaria{separator}{name}-{short}");
    if bare.resolve(&format!("refs/heads/{wanted}")).await?.is_none() {
        return Ok(wanted);
    }
    Ok(format!("talaria{separator}{name}-{id}-{}", Clock::real().now().as_millis()))
}
