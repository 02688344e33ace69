//! The sessions of one connection by their ids: which one is open, and what must be over before the id can
//! be opened again. It knows no method and waits for nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use agent_client_protocol::Error;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::children::KnownChildren;
use super::client::Reach;
use super::inbound::error_of;
use crate::fault::Fault;
use crate::ids::SessionId;
use crate::session::{LiveSettings, Reply, SessionHandle};
use crate::tasks::TasksHandle;

/// What may wait of one session at once. An opening waits for as long as the turn before it, which may wait
/// for the client: that one's word must still be read.
const MOST: usize = 256;

/// The sessions that a client opened.
#[derive(Default)]
pub(super) struct Sessions(HashMap<String, Slot>);

#[derive(Default)]
struct Slot {
    /// The one that is open, and those that are to take its place, in the order in which they were asked
    /// for. One whose opening fails leaves the one before it in its place.
    open: Vec<Open>,
    /// Oldest first.
    ending: Vec<Ending>,
}

struct Open {
    session: SessionHandle,
    failure: OpeningFailure,
    tasks: KeptTasks,
    /// It is open now, or it could not be opened.
    settled: CancellationToken,
    /// It has ended, or it could not be opened.
    over: CancellationToken,
}

/// Why a session could not be opened, once that is so: what was asked of it meanwhile is answered with the
/// same error.
#[derive(Clone, Default)]
pub(super) struct OpeningFailure(Arc<OnceLock<Error>>);

impl OpeningFailure {
    pub(super) fn set(&self, error: &Error) {
        self.0.get_or_init(|| error.clone());
    }

    fn get(&self) -> Option<Error> {
        self.0.get().cloned()
    }

    /// The error to answer with where the session itself says `fault`.
    pub(super) fn or(&self, fault: &Fault) -> Error {
        self.get().unwrap_or_else(|| error_of(fault))
    }
}

/// The tasks of a session: they go on where it is opened anew, follow its settings and ask its editor. What
/// the client knows of their sessions is kept, too.
#[derive(Clone, Default)]
pub(super) struct KeptTasks {
    tasks: Arc<watch::Sender<Option<TasksHandle>>>,
    settings: LiveSettings,
    reach: Reach,
    children: KnownChildren,
}

impl KeptTasks {
    /// Those that go on, if there are any.
    pub(super) fn get(&self) -> Option<TasksHandle> {
        self.tasks.borrow().clone().filter(TasksHandle::is_open)
    }

    pub(super) fn keep(&self, tasks: TasksHandle) {
        self.tasks.send_replace(Some(tasks));
    }

    pub(super) fn settings(&self) -> LiveSettings {
        self.settings.clone()
    }

    pub(super) fn reach(&self) -> Reach {
        self.reach.clone()
    }

    pub(super) fn children(&self) -> KnownChildren {
        self.children.clone()
    }
}

/// Something that ends, such as a session that is closed.
struct Ending {
    /// Absent for a deletion.
    session: Option<SessionHandle>,
    over: CancellationToken,
}

/// What comes before something new of the same session.
#[derive(Default)]
pub(super) struct Before(Vec<CancellationToken>);

impl Before {
    /// Waits until all of it is over.
    pub(super) async fn over(&self) {
        for ending in &self.0 {
            ending.cancelled().await;
        }
    }
}

/// A session that may still be being opened.
pub(super) struct OnItsWay {
    settled: CancellationToken,
    failure: OpeningFailure,
}

impl OnItsWay {
    /// Waits until it is open; the error where it could not be opened.
    pub(super) async fn opened(self) -> Result<(), Error> {
        self.settled.cancelled().await;
        self.failure.get().map_or(Ok(()), Err)
    }
}

/// A session whose place another one is to take.
pub(super) struct Predecessor {
    session: SessionHandle,
    over: CancellationToken,
    asked: AtomicBool,
}

impl Predecessor {
    /// Ends it when nothing runs or waits in it, and waits for that.
    pub(super) async fn hand_over(&self) {
        if !self.over.is_cancelled() {
            self.asked.store(true, Ordering::Relaxed);
            self.session.hand_over(Box::new(|()| {})).await;
            self.over.cancelled().await;
        }
    }

    /// Whether it was asked to hand over.
    pub(super) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Takes that back, where it was asked for; false when it has ended.
    pub(super) async fn stay(&self) -> bool {
        if self.over.is_cancelled() || !self.is_asked() {
            return !self.over.is_cancelled() && self.session.is_open();
        }
        let stays = self.session.stay().await;
        if !stays {
            self.over.cancelled().await;
        }
        stays
    }
}

/// What the opening of a session has to wait for and to say.
pub(super) struct Turnstile {
    pub(super) before: Before,
    pub(super) predecessors: Vec<Predecessor>,
    /// Shared with the predecessors.
    pub(super) tasks: KeptTasks,
    /// Dropped when the session is open or could not be opened.
    pub(super) settled: DropGuard,
    /// Dropped when it has ended or could not be opened.
    pub(super) over: DropGuard,
}

/// A session that has to end, and those that wait in its place before it.
pub(super) struct ToEnd {
    session: SessionHandle,
    earlier: Vec<Predecessor>,
}

impl ToEnd {
    /// Ends them all; the reply comes last.
    pub(super) async fn close(self, reply: Reply<()>) {
        for earlier in &self.earlier {
            earlier.session.close(Box::new(|()| {})).await;
        }
        for earlier in &self.earlier {
            earlier.over.cancelled().await;
        }
        self.session.close(reply).await;
    }
}

impl Open {
    fn is_open(&self) -> bool {
        !self.over.is_cancelled() && self.session.is_open()
    }

    fn predecessor(&self) -> Predecessor {
        Predecessor {
            session: self.session.clone(),
            over: self.over.clone(),
            asked: AtomicBool::new(false),
        }
    }
}

impl Slot {
    /// Leaves out what is over.
    fn forget(&mut self) {
        self.open.retain(|open| !open.over.is_cancelled());
        self.ending.retain(|ending| !ending.over.is_cancelled());
    }

    fn before(&self) -> Before {
        let ending = self.ending.iter().map(|ending| &ending.over);
        Before(ending.chain(self.open.iter().map(|open| &open.settled)).cloned().collect())
    }

    /// What is open is about to end, and what was to take its place with it.
    fn end(&mut self) -> Option<ToEnd> {
        let mut earlier: Vec<Predecessor> = self.open.iter().map(Open::predecessor).collect();
        let last = self.open.iter().rposition(Open::is_open);
        for Open { session, over, .. } in self.open.drain(..) {
            self.ending.push(Ending { session: Some(session), over });
        }
        let Predecessor { session, .. } = earlier.remove(last?);
        Some(ToEnd { session, earlier })
    }

    fn cancel(&self) {
        let ending = self.ending.iter().filter_map(|ending| ending.session.as_ref());
        ending.chain(self.open.iter().map(|open| &open.session)).for_each(SessionHandle::cancel);
    }
}

impl Sessions {
    /// The open session of this id, which may still be on its way.
    pub(super) fn get(&self, id: &str) -> Option<(SessionHandle, OpeningFailure)> {
        let open = self.0.get(id)?.open.iter().rfind(|open| open.is_open())?;
        Some((open.session.clone(), open.failure.clone()))
    }

    /// The same, for who has to wait until it is there.
    pub(super) fn on_its_way(&self, id: &str) -> Option<OnItsWay> {
        let open = self.0.get(id)?.open.iter().rfind(|open| open.is_open())?;
        Some(OnItsWay { settled: open.settled.clone(), failure: open.failure.clone() })
    }

    /// Where it is noted that prompts of this session are open.
    pub(super) fn reach(&self, id: &str) -> Reach {
        let open = self.0.get(id).and_then(|slot| slot.open.last());
        open.map(|open| open.tasks.reach()).unwrap_or_default()
    }

    /// Makes `session` the open one of this id, unless that fails.
    pub(super) fn open(
        &mut self,
        id: &str,
        session: SessionHandle,
        failure: OpeningFailure,
    ) -> Turnstile {
        self.forget();
        let slot = self.0.entry(id.to_owned()).or_default();
        let before = slot.before();
        let predecessors = slot.open.iter().map(Open::predecessor).collect();
        let tasks = slot.open.last().map(|open| open.tasks.clone()).unwrap_or_default();
        let (settled, over) = (CancellationToken::new(), CancellationToken::new());
        slot.open.push(Open {
            session,
            failure,
            tasks: tasks.clone(),
            settled: settled.clone(),
            over: over.clone(),
        });
        let (settled, over) = (settled.drop_guard(), over.drop_guard());
        Turnstile { before, predecessors, tasks, settled, over }
    }

    /// Takes the open session out, to be closed. What runs in one that it takes over from is cancelled.
    pub(super) fn close(&mut self, id: &str) -> Option<ToEnd> {
        let slot = self.0.get_mut(id)?;
        let closed = slot.end()?;
        slot.cancel();
        Some(closed)
    }

    /// The same for a session that is removed altogether: what must be over first, and a guard that
    /// what is opened later waits for.
    pub(super) fn delete(&mut self, id: &str) -> (Before, Option<ToEnd>, DropGuard) {
        self.forget();
        let slot = self.0.entry(id.to_owned()).or_default();
        let closed = slot.end();
        slot.cancel();
        let before = slot.before();
        let over = CancellationToken::new();
        slot.ending.push(Ending { session: None, over: over.clone() });
        (before, closed, over.drop_guard())
    }

    /// Whether so much of this session waits that nothing more may.
    pub(super) fn is_crowded(&self, id: &str) -> bool {
        let Some(slot) = self.0.get(id) else { return false };
        let open = slot.open.iter().map(|open| &open.over);
        let waiting = open.chain(slot.ending.iter().map(|ending| &ending.over));
        waiting.filter(|over| !over.is_cancelled()).count() > MOST
    }

    /// What must be over before something is done with the session as it is stored.
    pub(super) fn before(&self, id: &str) -> Before {
        self.0.get(id).map(Slot::before).unwrap_or_default()
    }

    /// Cancels what runs and waits in a session now, also in one that is being handed over.
    pub(super) fn cancel(&self, id: &str) {
        if let Some(slot) = self.0.get(id) {
            slot.cancel();
        }
    }

    /// The tasks among which is the one that this session does, where the client may cancel it.
    pub(super) fn owner_of(&self, child: &SessionId) -> Option<TasksHandle> {
        let kept = self.0.values().flat_map(|slot| &slot.open).map(|open| &open.tasks);
        kept.filter(|kept| kept.children().may_cancel(child)).find_map(KeptTasks::get)
    }

    /// Whether the client knows this session as one that does a task.
    pub(super) fn has_child(&self, id: &SessionId) -> bool {
        let mut open = self.0.values().flat_map(|slot| &slot.open);
        open.any(|open| open.tasks.children().has(id))
    }

    pub(super) fn cancel_all(&self) {
        self.0.values().for_each(Slot::cancel);
    }

    /// Leaves out what is over; a session whose opening failed is closed by itself.
    fn forget(&mut self) {
        self.0.retain(|_, slot| {
            slot.forget();
            !(slot.open.is_empty() && slot.ending.is_empty())
        });
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::{OpeningFailure, SessionId, Sessions};
    use crate::session;
    use crate::tasks;

    #[test]
    fn one_that_fails_to_open_leaves_the_one_before_it_in_its_place() {
        let mut sessions = Sessions::default();
        let (first, first_inbox) = session::handle();
        let opened = sessions.open("a", first, OpeningFailure::default());
        assert!(opened.predecessors.is_empty() && opened.before.over().now_or_never().is_some());
        let (second, second_inbox) = session::handle();
        let turnstile = sessions.open("a", second, OpeningFailure::default());
        // The first is not open yet.
        assert!(turnstile.before.over().now_or_never().is_none());
        drop(opened.settled);
        assert!(turnstile.before.over().now_or_never().is_some());
        assert_eq!(turnstile.predecessors.len(), 1);
        assert!(turnstile.predecessors[0].stay().now_or_never().expect("nothing was asked for"));
        drop((second_inbox, turnstile));
        let (id, _) = sessions.get("a").expect("the first");
        id.cancel();
        assert!(sessions.close("a").is_some() && sessions.get("a").is_none());
        drop((first_inbox, opened.over));
    }

    #[test]
    fn tasks_go_on_where_a_session_is_opened_anew_and_end_with_it() {
        let mut sessions = Sessions::default();
        let (first, _first_inbox) = session::handle();
        let first = sessions.open("a", first, OpeningFailure::default());
        assert!(first.tasks.get().is_none());
        let (tasks, running) = tasks::handle(SessionId::new("a"));
        first.tasks.keep(tasks);
        let (second, _second_inbox) = session::handle();
        let second = sessions.open("a", second, OpeningFailure::default());
        assert!(second.tasks.get().is_some());
        let (other, _other_inbox) = session::handle();
        assert!(sessions.open("b", other, OpeningFailure::default()).tasks.get().is_none());
        // One that is opened behind a close has tasks of its own.
        drop(sessions.close("a"));
        let (third, _third_inbox) = session::handle();
        let third = sessions.open("a", third, OpeningFailure::default());
        assert!(third.tasks.get().is_none() && second.tasks.get().is_some());
        drop(running);
        assert!(second.tasks.get().is_none());
    }

    #[test]
    fn what_is_opened_behind_a_deletion_waits_for_it() {
        let mut sessions = Sessions::default();
        let (first, inbox) = session::handle();
        let first = sessions.open("a", first, OpeningFailure::default());
        let (before, closed, deleted) = sessions.delete("a");
        assert!(sessions.get("a").is_none() && closed.is_some());
        assert!(before.over().now_or_never().is_none());
        drop((inbox, first));
        assert!(before.over().now_or_never().is_some());
        let (second, _inbox) = session::handle();
        let second = sessions.open("a", second, OpeningFailure::default());
        assert!(second.predecessors.is_empty());
        assert!(second.before.over().now_or_never().is_none());
        drop(deleted);
        assert!(second.before.over().now_or_never().is_some());
        assert!(sessions.get("a").is_some());
    }

    #[test]
    fn only_so_much_waits_of_one_session() {
        let mut sessions = Sessions::default();
        let mut waiting = Vec::new();
        while !sessions.is_crowded("a") {
            let (session, inbox) = session::handle();
            waiting.push((sessions.open("a", session, OpeningFailure::default()), inbox));
        }
        assert_eq!(waiting.len(), super::MOST + 1);
        assert!(!sessions.is_crowded("b"));
        drop(waiting.remove(1));
        assert!(!sessions.is_crowded("a"));
    }

    #[test]
    fn a_session_that_could_not_be_opened_is_not_open() {
        let mut sessions = Sessions::default();
        let (session, inbox) = session::handle();
        let _first = sessions.open("a", session, OpeningFailure::default());
        drop(inbox);
        assert!(sessions.get("a").is_none());
        assert!(sessions.close("a").is_none());
    }
}
