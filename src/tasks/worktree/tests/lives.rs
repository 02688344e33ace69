//! Whatever the user and the tasks do with the files of a small repository: a merge has all of it or leaves all as it
//! was, and nothing is removed but what belongs to the tasks in question.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// Files and folders of which some are in the way of others; `*.log` and `cache` are ignored.
const PATHS: [&str; 12] = [
    "a",
    "b",
    "sub/c",
    "sub/d",
    "sub",
    "a/deep",
    "new",
    "new/x",
    "out.log",
    "cache/x",
    "sub/e.log",
    ".gitignore",
];

/// What is done in a working tree.
#[derive(Debug, Clone)]
enum Edit {
    /// Another line in a file, which is made where there is none.
    Line(usize, usize),
    Delete(usize),
    Rename(usize, usize),
    Mode(usize),
    Link(usize),
    /// Also where it is ignored.
    Stage(usize),
    StageAll,
    Unstage(usize),
    /// What git is told not to look at: with `--assume-unchanged`, with `--skip-worktree`.
    Hide(usize, bool),
    Intend(usize),
    Stash,
    Commit,
}

#[derive(Debug, Clone)]
enum Step {
    User(Edit),
    Task(usize, Edit),
    Seal(usize),
    /// Which of the tasks.
    Merge([bool; 3]),
    Discard(usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let path = || 0..PATHS.len();
    prop_oneof![
        8 => (path(), 0_usize..9).prop_map(|(path, line)| Edit::Line(path, line)),
        2 => path().prop_map(Edit::Delete),
        2 => (path(), path()).prop_map(|(from, to)| Edit::Rename(from, to)),
        1 => path().prop_map(Edit::Mode),
        1 => path().prop_map(Edit::Link),
        2 => path().prop_map(Edit::Stage),
        1 => Just(Edit::StageAll),
        1 => path().prop_map(Edit::Unstage),
        1 => (path(), any::<bool>()).prop_map(|(path, skip)| Edit::Hide(path, skip)),
        1 => path().prop_map(Edit::Intend),
        1 => Just(Edit::Stash),
        1 => Just(Edit::Commit),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => edit().prop_map(Step::User),
        18 => (0_usize..3, edit()).prop_map(|(task, edit)| Step::Task(task, edit)),
        1 => (0_usize..3).prop_map(Step::Seal),
        2 => any::<[bool; 3]>().prop_map(Step::Merge),
        1 => (0_usize..3).prop_map(Step::Discard),
    ]
}

/// A file: its mode, or that it is a link, and what it has.
type Content = (u32, Vec<u8>);
type Files = BTreeMap<String, Content>;

fn files(top: &Path) -> Files {
    fn walk(folder: &Path, top: &Path, all: &mut Files) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let (path, about) = (entry.path(), entry.path().symlink_metadata().unwrap());
            let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
            if name == ".git" {
            } else if about.is_dir() {
                walk(&path, top, all);
            } else if about.is_symlink() {
                let link = fs::read_link(&path).unwrap().to_str().unwrap().as_bytes().to_vec();
                all.insert(name, (0o120_000, link));
            } else {
                let mode = std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o777;
                all.insert(name, (mode, fs::read(&path).unwrap()));
            }
        }
    }
    let mut all = Files::new();
    walk(top, top, &mut all);
    all
}

/// Those that git would commit.
fn seen_by_git(top: &Path) -> Files {
    let all = files(top);
    let list = git_in(top, &["ls-files", "-z", "-co", "--exclude-standard"]);
    let seen = list.split('\0').filter_map(|name| Some((name.to_owned(), all.get(name)?.clone())));
    seen.collect()
}

/// As far as git keeps it.
fn kept((mode, bytes): &Content) -> (u32, &[u8]) {
    (if *mode == 0o120_000 { *mode } else { mode & 0o100 }, bytes)
}

/// Edits one tree. `token` is in nothing else.
fn apply(top: &Path, edit: &Edit, token: &str) {
    let path = |at: usize| top.join(PATHS[at]);
    let is_file = |path: &Path| path.symlink_metadata().is_ok_and(|about| !about.is_dir());
    let is_plain = |path: &Path| path.symlink_metadata().is_ok_and(|about| about.is_file());
    // The user's commands may fail: they do nothing then.
    let git = |arguments: &[&str]| drop(git_command(top, arguments));
    // What is where a folder has to be, or a folder where a file has to, goes.
    let make_room = |path: &Path| {
        for above in path.ancestors().skip(1).take_while(|above| *above != top) {
            if is_file(above) {
                fs::remove_file(above).unwrap();
            }
        }
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(path).unwrap();
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
    };
    match edit {
        Edit::Line(at, line) => {
            let path = path(*at);
            make_room(&path);
            if path.is_symlink() {
                fs::remove_file(&path).unwrap();
            }
            let text = fs::read_to_string(&path).unwrap_or_default();
            let mut lines: Vec<&str> = text.lines().collect();
            let is_list = PATHS[*at] == ".gitignore";
            let token = if is_list { format!("#{token}") } else { token.to_owned() };
            match lines.get_mut(*line) {
                Some(line) if !is_list => *line = &token,
                _ => lines.push(&token),
            }
            fs::write(&path, lines.join("\n") + "\n").unwrap();
        }
        Edit::Delete(at) if is_file(&path(*at)) => fs::remove_file(path(*at)).unwrap(),
        Edit::Delete(at) if path(*at).is_dir() => fs::remove_dir_all(path(*at)).unwrap(),
        Edit::Rename(from, to) if is_file(&path(*from)) && !path(*from).starts_with(path(*to)) => {
            let content = top.join("content-that-moves");
            fs::rename(path(*from), &content).unwrap();
            make_room(&path(*to));
            fs::rename(&content, path(*to)).unwrap();
        }
        Edit::Mode(at) if is_plain(&path(*at)) => {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(path(*at), mode).unwrap();
        }
        Edit::Link(at) => {
            make_room(&path(*at));
            drop(fs::remove_file(path(*at)));
            std::os::unix::fs::symlink(token, path(*at)).unwrap();
        }
        Edit::Stage(at) => git(&["add", "-f", "--", PATHS[*at]]),
        Edit::StageAll => git(&["add", "-A"]),
        Edit::Unstage(at) => git(&["rm", "-q", "--cached", "-r", "--", PATHS[*at]]),
        Edit::Hide(at, false) => git(&["update-index", "--assume-unchanged", PATHS[*at]]),
        Edit::Hide(at, true) => git(&["update-index", "--skip-worktree", PATHS[*at]]),
        Edit::Intend(at) => git(&["add", "-N", "--", PATHS[*at]]),
        Edit::Stash => git(&["stash", "-q"]),
        Edit::Commit => git(&["commit", "-q", "-m", token]),
        Edit::Delete(_) | Edit::Rename(..) | Edit::Mode(_) => {}
    }
}

/// What the user has, that no task may touch, besides the files.
#[derive(Debug, PartialEq, Eq)]
struct Work {
    index: Option<Vec<u8>>,
    head: Vec<u8>,
    refs: String,
    settings: Vec<u8>,
}

struct Life {
    user: User,
    trees: BTreeMap<usize, (Tree, Files)>,
    steps: usize,
    /// Whether files are moved.
    follows: bool,
}

impl Life {
    async fn new(follows: bool, before: &[Edit]) -> Self {
        let user = User::new();
        user.write(".gitignore", "*.log\ncache\n");
        user.write("sub/d", "another file\nwith other lines\n");
        user.write("out.log", "ignored\n");
        user.git(&["add", "-A"]);
        user.commit("second");
        let mut life = Self { user, trees: BTreeMap::new(), steps: 0, follows };
        let top = life.user.top();
        for edit in before {
            life.edit(&top, edit);
        }
        for number in 0..3 {
            let tree = life.user.tree(number as u64 + 1).await;
            let start = files(&tree.folder);
            life.trees.insert(number, (tree, start));
        }
        life
    }

    fn edit(&mut self, top: &Path, edit: &Edit) {
        // Git follows what was moved, also where the other side edits it.
        if !self.follows && matches!(edit, Edit::Rename(..)) {
            return;
        }
        self.steps += 1;
        apply(top, edit, &format!("token-{}-", self.steps));
    }

    fn work(&self) -> Work {
        let refs = self.user.git(&["for-each-ref", "--format=%(refname) %(objectname)"]);
        let own = |line: &&str| !line.starts_with("refs/heads/talaria/");
        Work {
            index: fs::read(self.user.path(".git/index")).ok(),
            head: fs::read(self.user.path(".git/HEAD")).unwrap(),
            refs: refs.lines().filter(own).collect(),
            settings: fs::read(self.user.path(".git/config")).unwrap(),
        }
    }

    /// What the tasks have but for these: folders and branches.
    fn others(&self, but: &[usize]) -> Vec<(Files, String)> {
        let others = self.trees.iter().filter(|(number, _)| !but.contains(number));
        let has = |(_, (tree, _)): (&usize, &(Tree, Files))| {
            (files(&tree.folder), self.user.git(&["rev-parse", &tree.reference()]))
        };
        others.map(has).collect()
    }

    async fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::User(edit) => {
                let top = self.user.top();
                self.edit(&top, edit);
            }
            Step::Task(number, edit) => {
                let folder = self.trees.get(number).map(|(tree, _)| tree.folder.clone());
                if let Some(folder) = folder {
                    self.edit(&folder, edit);
                }
            }
            Step::Seal(number) => {
                if let Some((tree, _)) = self.trees.get(number) {
                    let (work, before) = (self.work(), files(&self.user.top()));
                    let own = files(&tree.folder);
                    prop_assert_eq!(tree.seal().await, Ok(()));
                    prop_assert_eq!((self.work(), files(&self.user.top())), (work, before));
                    prop_assert_eq!(files(&tree.folder), own);
                }
            }
            Step::Merge(which) => {
                let is_meant = |number: &usize| which[*number];
                let meant: Vec<usize> = self.trees.keys().copied().filter(is_meant).collect();
                self.merge(&meant).await?;
            }
            Step::Discard(number) => {
                let (work, before) = (self.work(), files(&self.user.top()));
                let others = self.others(&[*number]);
                if let Some((tree, _)) = self.trees.remove(number) {
                    prop_assert_eq!(tree.remove(Branch::Drop).await, Ok(()));
                    prop_assert!(!tree.home.exists());
                }
                prop_assert_eq!((self.work(), files(&self.user.top())), (work, before));
                prop_assert_eq!(self.others(&[]), others);
            }
        }
        Ok(())
    }

    async fn merge(&mut self, meant: &[usize]) -> Result<(), TestCaseError> {
        let top = self.user.top();
        let (work, before, ours) = (self.work(), files(&top), seen_by_git(&top));
        let (all, others) = (self.others(&[]), self.others(meant));
        let sides: Vec<_> = meant.iter().filter_map(|number| self.trees.get(number)).collect();
        let sides: Vec<(Files, &Files)> =
            sides.iter().map(|(tree, start)| (seen_by_git(&tree.folder), start)).collect();
        let trees: Vec<&Tree> =
            meant.iter().filter_map(|number| Some(&self.trees.get(number)?.0)).collect();
        let merged = self.user.merge(&trees).await;
        let after = files(&top);
        prop_assert_eq!(self.work(), work);
        let told = match merged {
            Ok(told) => told,
            Err(error) => {
                let is_known =
                    matches!(error, WorktreeError::Conflict { .. } | WorktreeError::Changed);
                prop_assert!(is_known, "{error}");
                prop_assert_eq!(after, before);
                prop_assert_eq!(self.others(&[]), all);
                return Ok(());
            }
        };
        let paths: BTreeSet<&String> = before
            .keys()
            .chain(after.keys())
            .chain(sides.iter().flat_map(|(s, _)| s.keys()))
            .collect();
        for path in paths {
            let changed: Vec<Option<&Content>> = sides
                .iter()
                .filter(|(now, start)| now.get(path).map(kept) != start.get(path).map(kept))
                .map(|(now, _)| now.get(path))
                .collect();
            if changed.is_empty() && !self.follows {
                prop_assert_eq!(after.get(path), before.get(path), "no task changed {}", path);
            }
            if !told.contains(path) {
                prop_assert_eq!(after.get(path), before.get(path), "{} is not told", path);
            }
            let start = sides.iter().find_map(|(_, start)| start.get(path));
            let is_users = ours.get(path).map(kept) != start.map(kept);
            if let ([theirs], false, false) = (changed.as_slice(), is_users, self.follows) {
                prop_assert_eq!(
                    after.get(path).map(kept),
                    theirs.map(kept),
                    "one task changed {}",
                    path
                );
            }
            if !ours.contains_key(path) && before.contains_key(path) {
                prop_assert_eq!(after.get(path), before.get(path), "{} is ignored", path);
            }
        }
        // Whoever wrote it: it is somewhere.
        let tokens = |files: &Files| -> BTreeSet<String> {
            let text = files.values().map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned());
            text.flat_map(|text| {
                let lines = text.lines().filter(|line| line.contains("token-"));
                lines.map(|line| line.trim_start_matches('#').to_owned()).collect::<Vec<_>>()
            })
            .collect()
        };
        let is_there = tokens(&after);
        for (side, (now, start)) in sides.iter().enumerate() {
            let own = tokens(now).difference(&tokens(start)).cloned().collect::<BTreeSet<_>>();
            let lost: Vec<_> = own.difference(&is_there).collect();
            prop_assert!(lost.is_empty(), "of task {side}: {lost:?}");
        }
        let had = sides.iter().flat_map(|(_, start)| tokens(start)).collect::<BTreeSet<_>>();
        let own = tokens(&before).difference(&had).cloned().collect::<BTreeSet<_>>();
        let lost: Vec<_> = own.difference(&is_there).collect();
        prop_assert!(lost.is_empty(), "of the user: {lost:?}");

        drop(sides);
        for number in meant {
            let (tree, _) = self.trees.remove(number).unwrap();
            prop_assert!(!tree.home.exists());
            prop_assert!(!self.user.branches().contains(tree.branch()));
        }
        prop_assert_eq!(self.others(&[]), others);
        Ok(())
    }
}

/// Without a wish.
const USUAL: u32 = 256;

/// Each case starts git some hundred times.
fn cases() -> ProptestConfig {
    let default = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    // Where `PROPTEST_CASES` asks for no other number.
    let cases = if default.cases == USUAL { 4 } else { default.cases };
    ProptestConfig { cases, max_shrink_iters: 200, ..default }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn nothing_is_lost_whoever_did_what(
        follows in prop::bool::weighted(0.3),
        before in prop::collection::vec(edit(), 0..4),
        steps in prop::collection::vec(step(), 1..24),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut life = Life::new(follows, &before).await;
            for step in &steps {
                life.step(step).await?;
            }
            for which in [[true; 3], [true, false, false], [false, true, false]] {
                life.step(&Step::Merge(which)).await?;
            }
            for number in 0..3 {
                life.step(&Step::Discard(number)).await?;
            }
            life.user.nothing_is_left();
            Ok::<_, TestCaseError>(())
        })?;
    }
}
