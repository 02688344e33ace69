//! The trees of isolated tasks, for who asks for their changes, merges or discards them. What git does with them is
//! `worktree`'s, and takes place beside the actor.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};

use super::Actor;
use super::operations::Done;
use crate::ids::SessionId;
use crate::tasks::engine::State;
use crate::tasks::handle::Reply;
use crate::tasks::worktree::{Branch, Place, Tree, WorktreeError};
use crate::tasks::{ChangedFile, Changes, Isolation, TaskError, TaskName};

/// Bytes of a diff that is asked for.
const DIFF: usize = 256 * 1024;

/// An isolated task that is meant.
struct Isolated {
    name: TaskName,
    state: State,
    key: Key,
    /// The isolated tasks that it is below, the next one first: it merges into the tree of that one.
    above: Vec<Key>,
}

/// Under which a tree is kept: the session whose task it is, and the one that does it.
struct Key {
    parent: SessionId,
    child: SessionId,
}

impl Actor {
    pub(super) fn diff(
        &mut self,
        session: &SessionId,
        name: TaskName,
        reply: Reply<(State, Changes)>,
    ) {
        let (task, place) =
            match self.isolated(session, name).and_then(|task| Ok((task, self.place()?))) {
                Ok(found) => found,
                Err(why) => return drop(reply.send(Err(why))),
            };
        let mask = Arc::clone(&self.setup.mask);
        self.operate(async move {
            let shown = diff(&place, &task).await;
            drop(reply.send(shown.map(|(state, changes)| (state, changes.masked(&mask)))));
            Done::Nothing
        });
    }

    pub(super) fn merge(
        &mut self,
        session: &SessionId,
        names: Vec<TaskName>,
        reply: Reply<Vec<ChangedFile>>,
    ) {
        let (tasks, place) = match self.still(session, names, State::is_final) {
            Ok(found) => found,
            Err(why) => return drop(reply.send(Err(why))),
        };
        let turn = Arc::clone(&self.merging);
        self.tracker.spawn(async move { drop(reply.send(merge(&turn, &place, &tasks).await)) });
    }

    pub(super) fn discard(
        &mut self,
        session: &SessionId,
        names: Vec<TaskName>,
        reply: Reply<Vec<TaskName>>,
    ) {
        let is_still = |state: State| state.is_final() || state == State::Interrupted;
        let (tasks, place) = match self.still(session, names, is_still) {
            Ok(found) => found,
            Err(why) => return drop(reply.send(Err(why))),
        };
        let turn = Arc::clone(&self.merging);
        if tasks.iter().all(|task| task.state.is_final()) {
            let discarded = async move { drop(reply.send(discard(&turn, &place, tasks).await)) };
            self.tracker.spawn(discarded);
            return;
        }
        // Until it is done, none of those that were interrupted goes on.
        self.discarding += 1;
        let (done, discarded) = oneshot::channel();
        self.tracker.spawn(async move { drop(done.send(discard(&turn, &place, tasks).await)) });
        self.operate(async move {
            Done::Discarded(reply, discarded.await.unwrap_or(Err(TaskError::Closed)))
        });
    }

    /// These tasks, each once; none of them may be at work.
    fn still(
        &self,
        session: &SessionId,
        names: Vec<TaskName>,
        is_still: impl Fn(State) -> bool,
    ) -> Result<(Vec<Isolated>, Place), TaskError> {
        let mut tasks: Vec<Isolated> = Vec::new();
        for name in names {
            if tasks.iter().any(|task| task.name == name) {
                continue;
            }
            let task = self.isolated(session, name)?;
            let state = if self.state.is_resuming(&self.state.find(session, &task.name)?) {
                State::Queued
            } else {
                task.state
            };
            if !is_still(state) {
                return Err(TaskError::StillRuns { name: task.name.to_string(), state });
            }
            tasks.push(task);
        }
        if tasks.is_empty() {
            return Err(TaskError::NoTasks);
        }
        Ok((tasks, self.place()?))
    }

    fn isolated(&self, session: &SessionId, name: TaskName) -> Result<Isolated, TaskError> {
        let task = self.state.find(session, &name)?;
        let is_isolated =
            |task| self.known.get(task).is_some_and(|known| known.isolation == Isolation::Worktree);
        let Some(child) = self.state.child(&task).filter(|_| is_isolated(&task)) else {
            return Err(TaskError::NotIsolated { name: name.to_string() });
        };
        let mut above = Vec::new();
        let mut session = &task.session;
        while let Some(doer) = self.state.doer(session) {
            if is_isolated(doer) {
                above.push(Key { parent: doer.session.clone(), child: session.clone() });
            }
            session = &doer.session;
        }
        let key = Key { parent: task.session.clone(), child: child.clone() };
        Ok(Isolated { name, state: self.state.state(&task), key, above })
    }

    /// The root session's.
    fn place(&self) -> Result<Place, TaskError> {
        let root = self.listeners.get(self.state.root()).ok_or(TaskError::Closed)?;
        Ok(root.spawn.place())
    }
}

impl Isolated {
    async fn tree(&self, place: &Place) -> Result<Tree, TaskError> {
        let found = place.find(&self.key.parent, &self.key.child).await;
        let found = found.map_err(|error| self.refused(&error))?;
        found.ok_or_else(|| TaskError::NoTree { name: self.name.to_string() })
    }

    /// What it merges into: the next tree above that is there; nothing for the root session's folder.
    async fn into(&self, place: &Place) -> Result<Option<PathBuf>, TaskError> {
        for Key { parent, child } in &self.above {
            match place.find(parent, child).await {
                Ok(Some(tree)) => return Ok(Some(tree.cwd().to_owned())),
                Ok(None) | Err(WorktreeError::Gone) => {}
                Err(error) => return Err(self.refused(&error)),
            }
        }
        Ok(None)
    }

    fn refused(&self, error: &WorktreeError) -> TaskError {
        if *error == WorktreeError::Gone {
            return TaskError::NoTree { name: self.name.to_string() };
        }
        TaskError::Git(format!("`{}`: {error}", self.name))
    }
}

async fn diff(place: &Place, task: &Isolated) -> Result<(State, Changes), TaskError> {
    let tree = task.tree(place).await?;
    let changes = tree.changes(DIFF).await.map_err(|error| task.refused(&error))?;
    Ok((task.state, changes))
}

async fn merge(
    turn: &Semaphore,
    place: &Place,
    tasks: &[Isolated],
) -> Result<Vec<ChangedFile>, TaskError> {
    let _turn = turn.acquire().await.map_err(|_| TaskError::Closed)?;
    let mut into: Option<(&TaskName, Option<PathBuf>)> = None;
    let mut trees = Vec::new();
    for task in tasks {
        trees.push(task.tree(place).await?);
        let cwd = task.into(place).await?;
        match &into {
            Some((first, other)) if *other != cwd => {
                return Err(TaskError::Git(format!(
                    "`{first}` and `{}` are merged into different trees, and nothing was touched: merge \
                     them one by one, a task of a task first",
                    task.name
                )));
            }
            Some(_) => {}
            None => into = Some((&task.name, cwd)),
        }
    }
    // What a process that ended could not commit.
    for (task, tree) in tasks.iter().zip(&trees) {
        tree.seal().await.map_err(|error| task.refused(&error))?;
    }
    let merged = match into.and_then(|(_, cwd)| cwd) {
        Some(cwd) => place.at(cwd).merge(&trees).await,
        None => place.merge(&trees).await,
    };
    merged.map_err(|error| match (error, tasks) {
        (WorktreeError::Conflict { index, files }, tasks) => {
            let name = tasks.get(index).map(|task| task.name.to_string()).unwrap_or_default();
            let branch = trees.get(index).map(|tree| tree.branch().to_owned()).unwrap_or_default();
            TaskError::Conflict { name, branch, files }
        }
        (error, [task]) => task.refused(&error),
        (error, _) => TaskError::Git(error.to_string()),
    })
}

async fn discard(
    turn: &Semaphore,
    place: &Place,
    tasks: Vec<Isolated>,
) -> Result<Vec<TaskName>, TaskError> {
    let _turn = turn.acquire().await.map_err(|_| TaskError::Closed)?;
    let mut trees = Vec::new();
    for task in &tasks {
        trees.push(task.tree(place).await?);
    }
    for (task, tree) in tasks.iter().zip(trees) {
        tree.remove(Branch::Drop).await.map_err(|error| task.refused(&error))?;
    }
    Ok(tasks.into_iter().map(|task| task.name).collect())
}
