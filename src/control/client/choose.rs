//! Which of the open sessions is meant: by its id, else by the folder. Pure rules.

use std::path::{Path, PathBuf};

use super::Candidate;

/// What the choice goes by.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// The id of a session, or the beginning of one.
    pub id: Option<&'a str>,
    /// The working folder, links resolved.
    pub folder: &'a Path,
    /// Resolves the links of a session's folder.
    pub resolve: &'a dyn Fn(&Path) -> PathBuf,
}

/// Why no session was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChooseError {
    /// No session is open anywhere.
    NoneOpen,
    /// No id begins so.
    UnknownId,
    /// Several ids begin so.
    SeveralIds(Vec<Candidate>),
    /// No session works in the folder, or above it.
    NoneHere,
    /// These work there, and none of them was used last.
    SeveralHere(Vec<Candidate>),
}

/// The session that is meant: that of the id, else of those whose root is the nearest one around the folder the
/// one that was used last. One of another folder never is.
pub fn choose(all: &[Candidate], wanted: Wanted<'_>) -> Result<Candidate, ChooseError> {
    if let Some(id) = wanted.id {
        return by_id(all, id);
    }
    if all.is_empty() {
        return Err(ChooseError::NoneOpen);
    }
    let depths: Vec<Option<usize>> = all.iter().map(|one| depth(one, wanted)).collect();
    let Some(deepest) = depths.iter().copied().flatten().max() else {
        return Err(ChooseError::NoneHere);
    };
    let nearest = all.iter().zip(depths).filter(|(_, depth)| *depth == Some(deepest));
    let nearest: Vec<&Candidate> = nearest.map(|(one, _)| one).collect();
    let newest = nearest.iter().map(|one| one.session.used_at).max();
    let used_last = nearest.iter().filter(|one| Some(one.session.used_at) == newest);
    match &used_last.collect::<Vec<_>>()[..] {
        [one] => Ok((**one).clone()),
        _ => Err(ChooseError::SeveralHere(nearest.into_iter().cloned().collect())),
    }
}

fn by_id(all: &[Candidate], id: &str) -> Result<Candidate, ChooseError> {
    let begins = |one: &&Candidate| one.session.session_id.starts_with(id);
    let mut found: Vec<&Candidate> =
        if id.is_empty() { Vec::new() } else { all.iter().filter(begins).collect() };
    if found.iter().any(|one| one.session.session_id == id) {
        found.retain(|one| one.session.session_id == id);
    }
    match &found[..] {
        [] => Err(ChooseError::UnknownId),
        [one] => Ok((*one).clone()),
        _ => Err(ChooseError::SeveralIds(found.into_iter().cloned().collect())),
    }
}

/// How many parts the longest root has that holds the folder.
fn depth(one: &Candidate, wanted: Wanted<'_>) -> Option<usize> {
    let session = &one.session;
    let roots = std::iter::once(&session.cwd).chain(&session.additional_directories);
    let holding = roots.filter_map(|root| {
        let root = (wanted.resolve)(Path::new(root));
        wanted.folder.starts_with(&root).then(|| root.components().count())
    });
    holding.max()
}

#[cfg(test)]
mod tests {
    use talaria_protocol::session::OpenSession;

    use super::*;

    fn open(server: usize, id: &str, roots: &[&str], used_at: u64) -> Candidate {
        let (cwd, additional) = roots.split_first().unwrap();
        let additional_directories = additional.iter().map(|root| (*root).to_owned()).collect();
        let (session_id, cwd) = (id.to_owned(), (*cwd).to_owned());
        let session = OpenSession { session_id, cwd, additional_directories, used_at };
        Candidate { server, pid: 1, client: None, session }
    }

    /// The id of the one that is chosen for a folder, or why there is none.
    fn check(all: &[Candidate], id: Option<&str>, folder: &str) -> String {
        // `/link` leads to `/w/a`.
        let resolve = |path: &Path| if path == "/link" { "/w/a".into() } else { path.to_owned() };
        let wanted = Wanted { id, folder: Path::new(folder), resolve: &resolve };
        let ids = |all: Vec<Candidate>| {
            all.into_iter().map(|one| one.session.session_id).collect::<Vec<_>>().join(" ")
        };
        match choose(all, wanted) {
            Ok(one) => one.session.session_id,
            Err(ChooseError::NoneOpen) => "none open".to_owned(),
            Err(ChooseError::UnknownId) => "unknown".to_owned(),
            Err(ChooseError::NoneHere) => "none here".to_owned(),
            Err(ChooseError::SeveralIds(all)) => format!("several ids: {}", ids(all)),
            Err(ChooseError::SeveralHere(all)) => format!("several here: {}", ids(all)),
        }
    }

    #[test]
    fn the_nearest_root_around_the_folder_is_meant_and_in_it_what_was_used_last() {
        let all = [
            open(0, "whole", &["/w"], 9),
            open(0, "a-old", &["/w/a"], 3),
            open(1, "a-new", &["/w/a"], 4),
            open(1, "b", &["/w/b", "/lib"], 1),
        ];
        for (folder, chosen) in [
            ("/w", "whole"),
            ("/w/c/d", "whole"),
            ("/w/a", "a-new"),
            ("/w/a/src/deep", "a-new"),
            ("/w/ab", "whole"),
            ("/w/b/x", "b"),
            ("/lib/x", "b"),
            ("/library", "none here"),
            ("/", "none here"),
        ] {
            assert_eq!(check(&all, None, folder), chosen, "{folder}");
        }
        assert_eq!(check(&[], None, "/w"), "none open");
    }

    #[test]
    fn what_is_used_at_the_same_time_is_not_guessed() {
        let all =
            [open(0, "one", &["/w"], 4), open(1, "two", &["/w"], 4), open(1, "old", &["/w"], 1)];
        assert_eq!(check(&all, None, "/w/x"), "several here: one two old");
        assert_eq!(check(&all, Some("two"), "/elsewhere"), "two");
    }

    #[test]
    fn a_root_by_another_name_is_the_same_folder() {
        let all = [open(0, "linked", &["/link"], 1), open(0, "whole", &["/w"], 2)];
        assert_eq!(check(&all, None, "/w/a/src"), "linked");
    }

    #[test]
    fn the_beginning_of_an_id_is_enough_where_it_is_of_one() {
        let all =
            [open(0, "019a", &["/a"], 1), open(0, "019ab", &["/b"], 1), open(1, "02", &["/c"], 1)];
        for (id, chosen) in [
            ("02", "02"),
            ("0", "several ids: 019a 019ab 02"),
            ("019", "several ids: 019a 019ab"),
            ("019a", "019a"),
            ("019ab", "019ab"),
            ("1", "unknown"),
            ("", "unknown"),
        ] {
            assert_eq!(check(&all, Some(id), "/nowhere"), chosen, "{id}");
        }
        assert_eq!(check(&[], Some("0"), "/a"), "unknown");
    }
}
