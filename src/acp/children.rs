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

    /// Whether the client was told that it may cancel this child, and it has not ended.
    pub(super) fn may_cancel(&self, child: &SessionId) -> bool {
        let known = self.0.borrow();
        let child = known.children.get(child).map(|child| &child.whole);
        child.is_some_and(|whole| whole.can_cancel == Some(true) && !is_over(whole))
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

/// Shows the children of one root session on its connection.
struct Streams {
    /// The root session's.
    updates: Updates,
}

/// The way of the children of `updates`' session, and theirs, to the client.
pub(super) fn streams(updates: Updates) -> Arc<dyn ChildStreams> {
    Arc::new(Streams { updates })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> SessionId {
        SessionId::new(name)
    }

    fn announcement(child: &str, state: SubagentState) -> Subagent {
        Subagent {
            child: id(child),
            title: Some(format!("the {child}")),
            description: None,
            can_cancel: Some(true),
            state: Some(state),
        }
    }

    fn change(child: &str, state: SubagentState) -> Subagent {
        Subagent { title: None, can_cancel: None, ..announcement(child, state) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_child_speaks_behind_its_announcement_and_its_parents_first_words() {
        let known = KnownChildren::default();
        let child = id("child");
        let mut speaks = Box::pin(known.may_speak(&child));
        assert!((&mut speaks).now_or_never().is_none() && !known.has(&child));
        known.spoke(&id("parent"));
        assert!((&mut speaks).now_or_never().is_none());
        known.announced(&id("parent"), announcement("child", SubagentState::Running));
        assert!((&mut speaks).now_or_never().is_none() && known.has(&child));
        // Not what someone else says.
        known.spoke(&id("stranger"));
        assert!((&mut speaks).now_or_never().is_none());
        known.spoke(&id("parent"));
        assert!((&mut speaks).now_or_never().is_some());
        assert!(known.may_speak(&child).now_or_never().is_some());
        // One whose parent says nothing more waits for no more than a moment.
        known.announced(&id("parent"), announcement("other", SubagentState::Running));
        let begun = tokio::time::Instant::now();
        known.may_speak(&id("other")).await;
        assert_eq!(begun.elapsed(), FIRST_WORDS);
    }

    #[test]
    fn those_that_go_on_are_told_whole_and_parents_first() {
        let known = KnownChildren::default();
        let running = || SubagentState::Running;
        // Names are no order.
        known.announced(&id("root"), announcement("z", running()));
        known.announced(&id("z"), announcement("m", running()));
        known.announced(&id("m"), announcement("a", running()));
        known.announced(&id("root"), announcement("over", running()));
        known.announced(&id("root"), change("over", SubagentState::Finished));
        known.announced(&id("m"), change("a", SubagentState::Asks));
        let mut told = Vec::new();
        known.in_silence(|living| told = living);
        let expected = [
            (id("root"), announcement("z", running())),
            (id("z"), announcement("m", running())),
            (id("m"), announcement("a", SubagentState::Asks)),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn only_what_was_offered_and_still_runs_may_be_cancelled() {
        let known = KnownChildren::default();
        let fixed =
            Subagent { can_cancel: Some(false), ..announcement("fixed", SubagentState::Running) };
        known.announced(&id("root"), fixed);
        known.announced(&id("root"), announcement("child", SubagentState::Waits));
        assert!(known.may_cancel(&id("child")));
        assert!(!known.may_cancel(&id("fixed")) && !known.may_cancel(&id("nobody")));
        known.announced(&id("root"), change("child", SubagentState::Cancelled));
        assert!(!known.may_cancel(&id("child")));
        // One that is resumed runs again.
        known.announced(&id("root"), change("child", SubagentState::Running));
        assert!(known.may_cancel(&id("child")));
    }
}
