//! The tasks themselves, and what each operation does to them. Synchronous: a job that refuses has changed
//! nothing but that a worker was found dead.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use super::Worker;
use crate::clock::Timestamp;
use crate::ids::{SessionId, TaskId};
use crate::tasks::engine::hub::{Hub, Note};
use crate::tasks::engine::listen::{BATCH, Batch, Unread};
use crate::tasks::engine::{
    Body, Checkpoint, Claimed, EngineError, Event, Filter, Lease, Listed, Message, New, Outcome,
    Position, Receipt, Received, Renewed, Seq, Spec, State, Status, Submitted, Task, Wanted, rules,
};

/// When a job runs, and for whom.
pub(super) struct Scene<'a> {
    pub(super) now: Timestamp,
    pub(super) me: &'a Arc<Worker>,
}

/// All tasks of all sessions.
#[derive(Debug)]
pub(super) struct Tasks {
    sessions: HashMap<SessionId, Session>,
    hub: Hub,
}

#[derive(Debug, Default)]
struct Session {
    /// In the order of their numbers.
    tasks: Vec<Kept>,
    keys: HashMap<String, u64>,
}

impl Session {
    fn place(&self, number: u64) -> Option<usize> {
        self.tasks.binary_search_by_key(&number, |kept| kept.task.number).ok()
    }
}

#[derive(Debug)]
pub(super) struct Kept {
    task: TaskId,
    spec: Spec,
    status: Status,
    /// Who has the lease, alive or dead.
    owner: Option<Weak<Worker>>,
    events: Vec<Event>,
    inbox: Vec<Message>,
}

impl Tasks {
    pub(super) fn new(hub: Hub) -> Self {
        Self { sessions: HashMap::new(), hub }
    }

    pub(super) fn submit(
        &mut self,
        scene: &Scene<'_>,
        session: &SessionId,
        floor: u64,
        tasks: Vec<New>,
    ) -> Vec<Submitted> {
        let hub = &self.hub;
        let kept = self.sessions.entry(session.clone()).or_default();
        let mut submit = |new: New| {
            let known = kept.keys.get(&new.key).and_then(|number| kept.place(*number));
            let place = known.unwrap_or(kept.tasks.len());
            if known.is_none() {
                let last = kept.tasks.last().map_or(0, |last| last.task.number);
                let number = last.max(floor).saturating_add(1);
                let task = TaskId { session: session.clone(), number };
                kept.keys.insert(new.key, task.number);
                let mut task = Kept::new(task, new.spec);
                task.add(hub, scene.now, [Body::Queued]);
                kept.tasks.push(task);
            }
            let task = &mut kept.tasks[place];
            task.look(hub, scene.now);
            Submitted { task: task.task.clone(), state: task.status.state }
        };
        tasks.into_iter().map(&mut submit).collect()
    }

    pub(super) fn send(
        &mut self,
        scene: &Scene<'_>,
        task: &TaskId,
        message: Message,
    ) -> Result<Receipt, EngineError> {
        let (kept, hub) = self.look(task, scene.now)?;
        let known = kept.inbox.iter().position(|other| other.id == message.id);
        if let Some(receipt) = rules::receipt(&kept.status, known.map(|place| count(place) + 1)) {
            return Ok(receipt);
        }
        let position = kept.status.received + 1;
        let received = Body::Received { id: message.id.clone(), position };
        kept.inbox.push(message);
        kept.add(hub, scene.now, [received]);
        Ok(Receipt::Queued { position })
    }

    pub(super) fn cancel(
        &mut self,
        scene: &Scene<'_>,
        task: &TaskId,
        reason: String,
    ) -> Result<State, EngineError> {
        let (kept, hub) = self.look(task, scene.now)?;
        let body = rules::cancel(&kept.status, reason);
        kept.add(hub, scene.now, body);
        Ok(kept.status.state)
    }

    pub(super) fn resume(
        &mut self,
        scene: &Scene<'_>,
        task: &TaskId,
    ) -> Result<State, EngineError> {
        let (kept, hub) = self.look(task, scene.now)?;
        let body = rules::resume(&kept.status);
        kept.add(hub, scene.now, body);
        Ok(kept.status.state)
    }

    pub(super) fn get(&mut self, scene: &Scene<'_>, task: &TaskId) -> Result<Task, EngineError> {
        let (kept, _) = self.look(task, scene.now)?;
        let status = kept.status.clone();
        Ok(Task { task: task.clone(), spec: kept.spec.clone(), status })
    }

    pub(super) fn list(&mut self, scene: &Scene<'_>, filter: &Filter) -> Vec<Listed> {
        let hub = &self.hub;
        let Some(session) = self.sessions.get_mut(&filter.session) else { return Vec::new() };
        session.tasks.iter_mut().for_each(|kept| kept.look(hub, scene.now));
        let is_wanted = |kept: &&Kept| {
            filter.before.is_none_or(|before| kept.task.number < before)
                && (filter.states.is_empty() || filter.states.contains(&kept.status.state))
        };
        let newest_first = session.tasks.iter().rev().filter(is_wanted);
        newest_first.take(filter.limit).map(Kept::listed).collect()
    }

    pub(super) fn result(
        &mut self,
        scene: &Scene<'_>,
        task: &TaskId,
    ) -> Result<Option<Outcome>, EngineError> {
        let (kept, _) = self.look(task, scene.now)?;
        // The terminal event is the last.
        Ok(match kept.events.last().map(|event| &event.body) {
            Some(Body::Ended { outcome, .. }) => Some(outcome.clone()),
            _ => None,
        })
    }

    pub(super) fn claim(
        &mut self,
        scene: &Scene<'_>,
        wanted: Wanted,
    ) -> Result<Option<Claimed>, EngineError> {
        let task = match wanted {
            Wanted::Task(task) => task,
            Wanted::Next(session) => match self.oldest_queued(&session) {
                Some(task) => task,
                None => return Ok(None),
            },
        };
        let (kept, hub) = self.look(&task, scene.now)?;
        rules::check_claim(&task, &kept.status)?;
        kept.owner = Some(Arc::downgrade(scene.me));
        kept.status.epoch += 1;
        kept.add(hub, scene.now, [Body::Started { worker: rules::worker_name() }]);
        Ok(Some(Claimed {
            spec: kept.spec.clone(),
            unread: kept.unread(kept.status.read),
            checkpoint: kept.status.checkpoint.clone(),
            last: kept.status.last,
            lease: Lease { task, epoch: kept.status.epoch },
        }))
    }

    pub(super) fn renew(
        &mut self,
        scene: &Scene<'_>,
        lease: &Lease,
        seen: Position,
    ) -> Result<Renewed, EngineError> {
        let (kept, _) = self.find(&lease.task)?;
        if !kept.is_held(scene.me, lease) {
            return Ok(Renewed::Lost);
        }
        Ok(match kept.status.cancel.clone() {
            Some(reason) => Renewed::Cancel { reason },
            None => Renewed::Continue { unread: kept.unread(seen) },
        })
    }

    pub(super) fn append(
        &mut self,
        scene: &Scene<'_>,
        lease: &Lease,
        bodies: Vec<Body>,
    ) -> Result<Seq, EngineError> {
        let (kept, hub) = self.held(scene, lease)?;
        kept.add(hub, scene.now, bodies);
        Ok(kept.status.last)
    }

    pub(super) fn checkpoint(
        &mut self,
        scene: &Scene<'_>,
        lease: &Lease,
        checkpoint: Checkpoint,
    ) -> Result<Seq, EngineError> {
        let (kept, hub) = self.held(scene, lease)?;
        rules::check_position(&kept.status, checkpoint.read)?;
        kept.add(hub, scene.now, [Body::Checkpoint { checkpoint }]);
        Ok(kept.status.last)
    }

    pub(super) fn finish(
        &mut self,
        scene: &Scene<'_>,
        lease: &Lease,
        read: Position,
        outcome: Outcome,
    ) -> Result<Seq, EngineError> {
        let (kept, hub) = self.held(scene, lease)?;
        rules::check_position(&kept.status, read)?;
        kept.add(hub, scene.now, [Body::Ended { read, outcome }]);
        Ok(kept.status.last)
    }

    /// What a listener has not heard yet.
    pub(super) fn batch(
        &mut self,
        task: &TaskId,
        after: Seq,
        now: Timestamp,
    ) -> Result<Batch, EngineError> {
        let (kept, _) = self.look(task, now)?;
        let seen = usize::try_from(after).unwrap_or(usize::MAX);
        let events = kept.events.iter().skip(seen).take(BATCH as usize);
        let events: Vec<Event> = events.cloned().collect();
        let unread = if events.last().map_or(after, |event| event.seq) < kept.status.last {
            Unread::Maybe
        } else if kept.status.state.is_final() {
            Unread::Ended
        } else {
            Unread::TellsItself
        };
        Ok(Batch { events, unread })
    }

    /// The task, if the lease is its last one and still in force.
    pub(super) fn leased(
        &mut self,
        scene: &Scene<'_>,
        lease: &Lease,
    ) -> Result<&Kept, EngineError> {
        self.held(scene, lease).map(|(kept, _)| &*kept)
    }

    fn held(&mut self, scene: &Scene<'_>, lease: &Lease) -> Result<(&mut Kept, &Hub), EngineError> {
        let (kept, hub) = self.find(&lease.task)?;
        if kept.is_held(scene.me, lease) {
            return Ok((kept, hub));
        }
        Err(rules::refusal(&kept.status, lease))
    }

    /// The task as it is once a worker that died is found dead.
    fn look(&mut self, task: &TaskId, now: Timestamp) -> Result<(&mut Kept, &Hub), EngineError> {
        let (kept, hub) = self.find(task)?;
        kept.look(hub, now);
        Ok((kept, hub))
    }

    fn find(&mut self, task: &TaskId) -> Result<(&mut Kept, &Hub), EngineError> {
        let session = self.sessions.get_mut(&task.session);
        let kept = session.and_then(|session| {
            let place = session.place(task.number)?;
            session.tasks.get_mut(place)
        });
        let kept = kept.ok_or_else(|| EngineError::Unknown(task.clone()))?;
        Ok((kept, &self.hub))
    }

    fn oldest_queued(&self, session: &SessionId) -> Option<TaskId> {
        let mut tasks = self.sessions.get(session)?.tasks.iter();
        let queued = tasks.find(|kept| kept.status.state == State::Queued)?;
        Some(queued.task.clone())
    }
}

impl Kept {
    fn new(task: TaskId, spec: Spec) -> Self {
        let (status, events, inbox) = (Status::default(), Vec::new(), Vec::new());
        Self { task, spec, status, owner: None, events, inbox }
    }

    /// The number of its last event.
    pub(super) fn last(&self) -> Seq {
        self.status.last
    }

    /// Appends what happened now, and tells its listeners.
    fn add(&mut self, hub: &Hub, now: Timestamp, bodies: impl IntoIterator<Item = Body>) {
        let before = self.status.last;
        for body in bodies {
            let event = rules::next(&self.task, &self.status, now, body);
            self.status.apply(&event);
            self.events.push(event);
        }
        if !self.status.state.is_leased() {
            self.owner = None;
        }
        if self.status.last > before {
            hub.tell(&self.task, Note::Changed);
        }
    }

    /// Finds its worker dead, where it is.
    fn look(&mut self, hub: &Hub, now: Timestamp) {
        let lives = self.owner.as_ref().is_some_and(|owner| owner.strong_count() > 0);
        if self.status.state.is_leased() && !lives {
            let found = rules::lose(&self.status);
            self.add(hub, now, found);
        }
    }

    fn is_held(&self, me: &Arc<Worker>, lease: &Lease) -> bool {
        let is_mine = self.owner.as_ref().is_some_and(|owner| owner.as_ptr() == Arc::as_ptr(me));
        is_mine && rules::is_current(&self.status, lease)
    }

    fn unread(&self, after: Position) -> Vec<Received> {
        let all = (1..).zip(&self.inbox);
        let unread = all.filter(|(position, _)| *position > after);
        unread.map(|(position, message)| Received { position, message: message.clone() }).collect()
    }

    fn listed(&self) -> Listed {
        let goal = self.spec.goal.clone();
        Listed { task: self.task.clone(), goal, status: self.status.clone() }
    }
}

/// Where the task with this number is.
fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
