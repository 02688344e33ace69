//! The sessions of tasks, as a client that shows them knows of them: which were announced to it, and what was
//! said of each. Nothing of a child goes out before. When a child is announced is its parent's to say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::watch;

use super::flow::Updates;
use crate::event::{Event, Subagent, SubagentState};
use crate::ids::SessionId;
use crate::session::{ChildStream, ChildStreams};
use crate::tasks::{TaskName, TasksHandle, Which};

/// How long a child that was announced waits for what its parent says to it first.
const FIRST_WORDS: Duration = Duration::from_secs(1);

/// The children of one root session, and theirs. Kept where that is opened anew: children that go on speak on.
#[derive(Clone, Default)]
pub(super) struct KnownChildren(Arc<watch::Sender<Known>>);

#[derive(Default)]
struct Known {
    children: BTreeMap<SessionId, Child>,
    /// Those behind whose announcement nothing was said yet.
    fresh: BTreeSet<SessionId>,
}

struct Child {
    /// On whose stream it was announced.
    parent: SessionId,
    /// All that was said of it, as one.
    whole: Subagent,
}

impl KnownChildren {
    /// Whether the client knows of this session.
    pub(super) fn has(&self, child: &SessionId) -> bool {
        self.0.borrow().children.contains_key(child)
    }

    /// Said on the stream of `parent`, just now.
    pub(super) fn announced(&self, parent: &SessionId, subagent: Subagent) {
        self.0.send_if_modified(|known| {
            if let Some(child) = known.children.get_mut(&subagent.child) {
                merge(&mut child.whole, subagent);
                return false;
            }
            let id = subagent.child.clone();
            known.fresh.insert(id.clone());
            known.children.insert(id, Child { parent: parent.clone(), whole: subagent });
            true
        });
    }

    /// Something else was said on the stream of `parent`: what it announced before may speak now.
    pub(super) fn spoke(&self, parent: &SessionId) {
        if self.0.borrow().fresh.is_empty() {
            return;
        }
        self.0.send_if_modified(|known| {
            let Known { children, fresh } = known;
            let before = fresh.len();
            fresh.retain(|child| children.get(child).is_some_and(|child| child.parent != *parent));
            fresh.len() < before
        });
    }

    /// Waits until a child may speak. What its parent says to it first comes first.
    async fn may_speak(&self, child: &SessionId) {
        let mut known = self.0.subscribe();
        // The sender is `self`.
        drop(known.wait_for(|known| known.children.contains_key(child)).await);
        let is_open = known.wait_for(|known| !known.fresh.contains(child));
        drop(tokio::time::timeout(FIRST_WORDS, is_open).await);
    }

    /// Runs `say` while no child speaks. It is given those that have not ended, parents before children, each
    /// with the session that it belongs to.
    pub(super) fn in_silence(&self, say: impl FnOnce(Vec<(SessionId, Subagent)>)) {
        self.0.send_if_modified(|known| {
            let mut living: Vec<&Child> =
                known.children.values().filter(|child| !is_over(&child.whole)).collect();
            living.sort_by_key(|child| known.depth(child));
            say(living.into_iter().map(|c| (c.parent.clone(), c.whole.clone())).collect());
            false
        });
    }

    /// Cancels the task that this session does, where the client was told that it may.
    pub(super) fn cancel(
        &self,
        child: &SessionId,
        tasks: &TasksHandle,
    ) -> Option<BoxFuture<'static, ()>> {
        let known = self.0.borrow();
        let Child { parent, whole } = known.children.get(child)?;
        if whole.can_cancel != Some(true) || is_over(whole) {
            return None;
        }
        let name = name_in(whole.title.as_deref()?)?;
        let tasks = tasks.of(parent.clone());
        let cancelled = async move {
            let reason = "the user cancelled it".to_owned();
            if let Err(error) = tasks.cancel(Which::One(name), Some(reason)).await {
                tracing::info!(%error, "a task was not cancelled");
            }
        };
        Some(cancelled.boxed())
    }
}

impl Known {
    fn depth(&self, child: &Child) -> usize {
        let parent = |child: &&Child| self.children.get(&child.parent);
        std::iter::successors(Some(child), parent).count()
    }
}

/// Takes what changed into what was said before.
fn merge(whole: &mut Subagent, change: Subagent) {
    let Subagent { child: _, title, description, can_cancel, state } = change;
    whole.title = title.or(whole.title.take());
    whole.description = description.or(whole.description.take());
    whole.can_cancel = can_cancel.or(whole.can_cancel);
    whole.state = state.or(whole.state.take());
}

fn is_over(child: &Subagent) -> bool {
    match &child.state {
        Some(SubagentState::Finished | SubagentState::Cancelled | SubagentState::Failed { .. }) => {
            true
        }
        Some(SubagentState::Running | SubagentState::Asks | SubagentState::Waits) | None => false,
    }
}

/// The task's name, as its title begins with it: "`t1` · goal".
fn name_in(title: &str) -> Option<TaskName> {
    title.split('`').nth(1)?.parse().ok()
}

/// Shows the children of one root session on its connection.
pub(super) struct Streams {
    /// The root session's.
    pub(super) updates: Updates,
}

impl ChildStreams for Streams {
    fn of(&self, child: &SessionId) -> Box<dyn ChildStream> {
        Box::new(Stream { updates: self.updates.of(child), child: child.clone() })
    }
}

/// The updates of one child.
struct Stream {
    updates: Updates,
    child: SessionId,
}

impl ChildStream for Stream {
    fn ready(&self) -> BoxFuture<'_, ()> {
        async {
            self.updates.children.may_speak(&self.child).await;
            // Nobody reads any more: the process ends, and that is not for a task to say.
            let _reads = self.updates.wire.room().await;
        }
        .boxed()
    }

    fn is_ready(&self) -> bool {
        self.updates.children.has(&self.child) && self.updates.wire.has_room()
    }

    fn show(&self, event: Event) {
        let known = self.updates.children.0.borrow();
        if !known.children.contains_key(&self.child) {
            return;
        }
        // No announcement of the session that is opened anew comes between the two.
        let after = self.updates.write(event, None);
        drop(known);
        self.updates.wire.took_room(after.updates);
        self.updates.follow(after);
    }
}
