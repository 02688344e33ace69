//! The sessions that are open in this process, for the doors that are not the connection of their client: which
//! there are, where they work, and their tasks. It opens and ends none.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use super::LiveSettings;
use crate::clock::Timestamp;
use crate::ids::SessionId;
use crate::permission::Mode;
use crate::tasks::TasksHandle;

/// Cheap to clone; all clones are of the same sessions.
#[derive(Clone, Default)]
pub struct Directory(Arc<watch::Sender<Entries>>);

#[derive(Default)]
struct Entries {
    sessions: BTreeMap<SessionId, Entry>,
    /// How many there have been: each has a number, so that one that was opened anew is another one.
    count: u64,
}

struct Entry {
    number: u64,
    session: OpenSession,
}

/// A session that is open.
#[derive(Clone)]
pub struct OpenSession {
    pub id: SessionId,
    pub cwd: PathBuf,
    pub additional: Vec<PathBuf>,
    /// Absent where it may have none.
    pub tasks: Option<TasksHandle>,
    pub settings: LiveSettings,
    /// When it was prompted last; when it was opened, where it never was.
    pub used: Timestamp,
}

impl OpenSession {
    /// The mode that it has now; the narrowest one while it is not known.
    pub fn mode(&self) -> Mode {
        self.settings.mode().unwrap_or(Mode::Plan)
    }
}

/// A session is listed until this is dropped, or until it is opened anew.
pub struct Listed {
    directory: Directory,
    id: SessionId,
    number: u64,
}

impl Directory {
    /// Lists an open session, in place of an earlier one of the same id.
    pub fn list(&self, session: OpenSession) -> Listed {
        let id = session.id.clone();
        let mut number = 0;
        self.0.send_modify(|entries| {
            entries.count += 1;
            number = entries.count;
            entries.sessions.insert(id.clone(), Entry { number, session });
        });
        Listed { directory: self.clone(), id, number }
    }

    pub fn get(&self, id: &SessionId) -> Option<OpenSession> {
        self.0.borrow().sessions.get(id).map(|entry| entry.session.clone())
    }

    /// In the order of their ids, which is that in which they were made.
    pub fn all(&self) -> Vec<OpenSession> {
        self.0.borrow().sessions.values().map(|entry| entry.session.clone()).collect()
    }

    /// It was prompted.
    pub fn used(&self, id: &SessionId, at: Timestamp) {
        self.0.send_if_modified(|entries| {
            if let Some(entry) = entries.sessions.get_mut(id) {
                entry.session.used = at;
            }
            false
        });
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.directory.0.send_if_modified(|entries| {
            let is_this = entries.sessions.get(&self.id).is_some_and(|e| e.number == self.number);
            if is_this {
                entries.sessions.remove(&self.id);
            }
            is_this
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: &str, folder: &str) -> OpenSession {
        OpenSession {
            id: SessionId::new(id),
            cwd: folder.into(),
            additional: Vec::new(),
            tasks: None,
            settings: LiveSettings::default(),
            used: Timestamp(1),
        }
    }

    #[test]
    fn one_that_was_opened_anew_stays_when_the_earlier_one_ends() {
        let directory = Directory::default();
        let first = directory.list(session("a", "/first"));
        let second = directory.list(session("a", "/second"));
        let other = directory.list(session("b", "/other"));
        drop(first);
        let folders: Vec<PathBuf> = directory.all().into_iter().map(|open| open.cwd).collect();
        assert_eq!(folders, [PathBuf::from("/second"), PathBuf::from("/other")]);
        drop((second, other));
        assert!(directory.all().is_empty());
    }

    #[test]
    fn what_is_not_known_of_a_session_gives_no_rights() {
        let directory = Directory::default();
        let _listed = directory.list(session("a", "/a"));
        directory.used(&SessionId::new("a"), Timestamp(9));
        let open = directory.get(&SessionId::new("a")).unwrap();
        assert_eq!((open.used, open.mode()), (Timestamp(9), Mode::Plan));
        assert!(directory.get(&SessionId::new("b")).is_none());
    }
}
