//! What each operation does to the tables: the rules of the boundary, synchronous, each in the one
//! transaction that it is given. A job that refuses has written nothing but that a worker was found dead.

use rusqlite::Connection;

use super::rows::{self, Done, Kept};
use crate::clock::Timestamp;
use crate::ids::{SessionId, TaskId};
use crate::tasks::engine::{
    Body, Checkpoint, Claimed, EngineError, Lease, Message, New, Outcome, Position, Receipt,
    Renewed, Seq, State, Submitted, Task, Wanted, rules,
};

/// Where and when a job runs.
pub(super) struct Scene<'a> {
    pub(super) sql: &'a Connection,
    pub(super) now: Timestamp,
    /// The store that asks.
    pub(super) me: &'a str,
    pub(super) is_alive: &'a dyn Fn(&str) -> bool,
}

impl Scene<'_> {
    pub(super) fn submit(
        &self,
        session: &SessionId,
        floor: u64,
        tasks: Vec<New>,
    ) -> Done<Vec<Submitted>> {
        // Behind a deletion of the session nothing would ever take them away.
        let is_there = self
            .sql
            .prepare_cached("SELECT 1 FROM leases WHERE session = ?1")?
            .exists([session.as_str()])?;
        if !is_there {
            return Err(EngineError::NoSession(session.clone()).into());
        }
        tasks.into_iter().map(|new| self.submit_one(session, floor, &new)).collect()
    }

    fn submit_one(&self, session: &SessionId, floor: u64, new: &New) -> Done<Submitted> {
        let kept = if let Some(number) = rows::keyed(self.sql, session, &new.key)? {
            self.look(&TaskId { session: session.clone(), number })?
        } else {
            let number = rows::next_number(self.sql, session)?.max(floor.saturating_add(1));
            let task = TaskId { session: session.clone(), number };
            let mut kept = rows::insert(self.sql, task, &new.key, &new.spec)?;
            self.append(&mut kept, [Body::Queued])?;
            kept
        };
        Ok(Submitted { task: kept.task, state: kept.status.state })
    }

    pub(super) fn send(&self, task: &TaskId, message: &Message) -> Done<Receipt> {
        let mut kept = self.look(task)?;
        let known = rows::place(self.sql, task, &message.id)?;
        if let Some(receipt) = rules::receipt(&kept.status, known) {
            return Ok(receipt);
        }
        let position = kept.status.received + 1;
        rows::receive(self.sql, task, position, message)?;
        self.append(&mut kept, [Body::Received { id: message.id.clone(), position }])?;
        Ok(Receipt::Queued { position })
    }

    pub(super) fn cancel(&self, task: &TaskId, reason: String) -> Done<State> {
        let mut kept = self.look(task)?;
        if let Some(body) = rules::cancel(&kept.status, reason) {
            self.append(&mut kept, [body])?;
        }
        Ok(kept.status.state)
    }

    pub(super) fn resume(&self, task: &TaskId) -> Done<State> {
        let mut kept = self.look(task)?;
        if let Some(body) = rules::resume(&kept.status) {
            self.append(&mut kept, [body])?;
        }
        Ok(kept.status.state)
    }

    pub(super) fn get(&self, task: &TaskId) -> Done<Task> {
        let kept = rows::find(self.sql, task)?;
        let spec = rows::spec(self.sql, task)?;
        Ok(Task { task: kept.task, spec, status: kept.status })
    }

    pub(super) fn result(&self, task: &TaskId) -> Done<Option<Outcome>> {
        let status = rows::find(self.sql, task)?.status;
        if !status.state.is_final() {
            return Ok(None);
        }
        // The terminal event is the last.
        let mut last = rows::events(self.sql, task, status.last - 1, 1)?;
        match last.pop().map(|event| event.body) {
            Some(Body::Ended { outcome, .. }) => Ok(Some(outcome)),
            _ => Err(rows::damaged("the end cannot be read")),
        }
    }

    pub(super) fn claim(&self, wanted: Wanted) -> Done<Option<Claimed>> {
        let task = match wanted {
            Wanted::Task(task) => task,
            Wanted::Next(session) => match rows::oldest_queued(self.sql, &session)? {
                Some(number) => TaskId { session, number },
                None => return Ok(None),
            },
        };
        let mut kept = self.look(&task)?;
        rules::check_claim(&task, &kept.status)?;
        kept.owner = Some(self.me.to_owned());
        kept.status.epoch += 1;
        self.append(&mut kept, [Body::Started { worker: rules::worker_name() }])?;
        Ok(Some(Claimed {
            spec: rows::spec(self.sql, &task)?,
            unread: rows::inbox(self.sql, &task, kept.status.read)?,
            checkpoint: kept.status.checkpoint,
            last: kept.status.last,
            lease: Lease { task, epoch: kept.status.epoch },
        }))
    }

    pub(super) fn renew(&self, lease: &Lease, seen: Position) -> Done<Renewed> {
        let kept = rows::find(self.sql, &lease.task)?;
        if !self.holds(&kept, lease) {
            return Ok(Renewed::Lost);
        }
        match kept.status.cancel {
            Some(reason) => Ok(Renewed::Cancel { reason }),
            None => Ok(Renewed::Continue { unread: rows::inbox(self.sql, &lease.task, seen)? }),
        }
    }

    pub(super) fn append_all(&self, lease: &Lease, bodies: Vec<Body>) -> Done<Seq> {
        let mut kept = self.leased(lease)?;
        self.append(&mut kept, bodies)?;
        Ok(kept.status.last)
    }

    pub(super) fn checkpoint(&self, lease: &Lease, checkpoint: Checkpoint) -> Done<Seq> {
        let mut kept = self.leased(lease)?;
        rules::check_position(&kept.status, checkpoint.read)?;
        self.append(&mut kept, [Body::Checkpoint { checkpoint }])?;
        Ok(kept.status.last)
    }

    pub(super) fn finish(&self, lease: &Lease, read: Position, outcome: Outcome) -> Done<Seq> {
        let mut kept = self.leased(lease)?;
        rules::check_position(&kept.status, read)?;
        self.append(&mut kept, [Body::Ended { read, outcome }])?;
        Ok(kept.status.last)
    }

    /// The task, if the lease is its last one and still in force.
    pub(super) fn leased(&self, lease: &Lease) -> Done<Kept> {
        let kept = rows::find(self.sql, &lease.task)?;
        if self.holds(&kept, lease) {
            return Ok(kept);
        }
        Err(rules::refusal(&kept.status, lease).into())
    }

    fn holds(&self, kept: &Kept, lease: &Lease) -> bool {
        kept.owner.as_deref() == Some(self.me) && rules::is_current(&kept.status, lease)
    }

    /// The task as it is once a worker that died is found dead.
    pub(super) fn look(&self, task: &TaskId) -> Done<Kept> {
        let mut kept = rows::find(self.sql, task)?;
        if !self.has_dead_worker(&kept) {
            return Ok(kept);
        }
        let found = rules::lose(&kept.status);
        self.append(&mut kept, found)?;
        Ok(kept)
    }

    /// Whether `look` would find its worker dead.
    pub(super) fn is_lost(&self, task: &TaskId) -> Done<bool> {
        Ok(self.has_dead_worker(&rows::find(self.sql, task)?))
    }

    /// The tasks of a session whose workers are dead.
    pub(super) fn lost_in(&self, session: &SessionId) -> Done<Vec<TaskId>> {
        let mut leased = rows::leased_elsewhere(self.sql, session, self.me)?;
        // Few stores hold many tasks.
        let mut owners: Vec<String> = leased.iter().map(|(_, owner)| owner.clone()).collect();
        owners.sort_unstable();
        owners.dedup();
        owners.retain(|owner| !(self.is_alive)(owner));
        leased.retain(|(_, owner)| owners.contains(owner));
        let task = |number| TaskId { session: session.clone(), number };
        Ok(leased.into_iter().map(|(number, _)| task(number)).collect())
    }

    fn has_dead_worker(&self, kept: &Kept) -> bool {
        let lives = |owner: &str| owner == self.me || (self.is_alive)(owner);
        kept.status.state.is_leased() && !kept.owner.as_deref().is_some_and(lives)
    }

    fn append(&self, kept: &mut Kept, bodies: impl IntoIterator<Item = Body>) -> Done<()> {
        for body in bodies {
            kept.append(self.sql, self.now, body)?;
        }
        if !kept.status.state.is_leased() {
            kept.owner = None;
        }
        kept.save(self.sql)
    }
}
