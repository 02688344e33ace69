//! What may happen to a task next, seen from how it stands: the rules that engines share. Pure; where a
//! task is kept, and whether its worker lives, each engine knows for itself.

use super::{
    Body, EngineError, Event, Lease, Outcome, Position, Receipt, Report, State, Status, TaskId,
};
use crate::clock::Timestamp;

/// What happens now, as the task's next event.
pub(super) fn next(task: &TaskId, status: &Status, now: Timestamp, body: Body) -> Event {
    Event {
        task: task.clone(),
        seq: status.last + 1,
        epoch: status.epoch,
        // The system's clock may have been set back.
        at: now.max(status.updated),
        body,
    }
}

/// What became of a message that has this place in the inbox, or none yet; nothing: it is to be taken in.
pub(super) fn receipt(status: &Status, known: Option<Position>) -> Option<Receipt> {
    let state = status.state;
    match known {
        Some(position) if position <= status.read => Some(Receipt::Delivered { position }),
        _ if state.is_final() => Some(Receipt::Missed { state }),
        known => known.map(|position| Receipt::Queued { position }),
    }
}

/// What a wish for its end is to it.
pub(super) fn cancel(status: &Status, reason: String) -> Option<Body> {
    if status.state.is_leased() && status.cancel.is_none() {
        return Some(Body::CancelRequested { reason });
    }
    let is_idle = matches!(status.state, State::Queued | State::Interrupted);
    is_idle.then(|| end_without_worker(status, reason))
}

pub(super) fn resume(status: &Status) -> Option<Body> {
    (status.state == State::Interrupted).then_some(Body::Queued)
}

/// What is found with its worker's death.
pub(super) fn lose(status: &Status) -> impl Iterator<Item = Body> + use<> {
    let ended = status.cancel.clone().map(|reason| end_without_worker(status, reason));
    [Some(Body::AttemptLost), ended].into_iter().flatten()
}

fn end_without_worker(status: &Status, reason: String) -> Body {
    let outcome = Outcome::Cancelled { reason, report: Report::default() };
    Body::Ended { read: status.read, outcome }
}

/// Refuses the lease of a task that has ended, or whose worker lives.
pub(super) fn check_claim(task: &TaskId, status: &Status) -> Result<(), EngineError> {
    let (task, state) = (task.clone(), status.state);
    if state.is_final() {
        return Err(EngineError::Final { task, state });
    }
    if state.is_leased() {
        let worker = status.worker.clone().unwrap_or_default();
        return Err(EngineError::Taken { task, worker });
    }
    Ok(())
}

/// Whether this is the lease that the task is under.
pub(super) fn is_current(status: &Status, lease: &Lease) -> bool {
    status.state.is_leased() && status.epoch == lease.epoch
}

/// Why a lease is refused that is not in force.
pub(super) fn refusal(status: &Status, lease: &Lease) -> EngineError {
    let state = status.state;
    if state.is_final() && status.epoch == lease.epoch {
        return EngineError::Final { task: lease.task.clone(), state };
    }
    EngineError::Lost { lease: lease.clone() }
}

pub(super) fn check_position(status: &Status, given: Position) -> Result<(), EngineError> {
    let (read, received) = (status.read, status.received);
    if (read..=received).contains(&given) {
        return Ok(());
    }
    Err(EngineError::Position { given, read, received })
}

/// What a worker is called to whom it is in the way.
pub(super) fn worker_name() -> String {
    format!("process {}", std::process::id())
}
