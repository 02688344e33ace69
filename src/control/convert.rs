//! Between the types of the wire and those of `tasks`. It decides nothing.

use std::path::Path;

use talaria_protocol::session as wire_session;
use talaria_protocol::task as wire;

use crate::letters;
use crate::permission::Answer;
use crate::session::directory::OpenSession;
use crate::tasks::engine::State;
use crate::tasks::{
    Cancelled, Change, ChangedFile, Changes, Checked, Collected, Isolation, Pending, Row, Started,
    Steered, Wait,
};

/// The most characters of a goal in a list or an event: it is told again with each change. A check has it whole.
const GOAL_CHARS: usize = 400;

pub(super) fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

pub(super) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

pub(super) fn state(state: State) -> wire::TaskState {
    match state {
        State::Queued => wire::TaskState::Queued,
        State::Running => wire::TaskState::Running,
        State::Waiting => wire::TaskState::Waiting,
        State::Interrupted => wire::TaskState::Interrupted,
        State::Completed => wire::TaskState::Completed,
        State::Failed => wire::TaskState::Failed,
        State::Cancelled => wire::TaskState::Cancelled,
    }
}

pub(super) fn state_of(state: wire::TaskState) -> State {
    match state {
        wire::TaskState::Queued => State::Queued,
        wire::TaskState::Running => State::Running,
        wire::TaskState::Waiting => State::Waiting,
        wire::TaskState::Interrupted => State::Interrupted,
        wire::TaskState::Completed => State::Completed,
        wire::TaskState::Failed => State::Failed,
        wire::TaskState::Cancelled => State::Cancelled,
    }
}

pub(super) fn isolation_of(isolation: wire::Isolation) -> Isolation {
    match isolation {
        wire::Isolation::None => Isolation::None,
        wire::Isolation::Worktree => Isolation::Worktree,
    }
}

pub(super) fn wait_of(wait: wire::Wait) -> Wait {
    match wait {
        wire::Wait::All => Wait::All,
        wire::Wait::Any => Wait::Any,
    }
}

pub(super) fn answer_of(choice: wire::Choice) -> Answer {
    match choice {
        wire::Choice::Allow => Answer::AllowOnce,
        wire::Choice::Always => Answer::AllowAlways,
        wire::Choice::Deny => Answer::RejectOnce,
    }
}

pub(super) fn started(started: Started) -> wire::StartedTask {
    wire::StartedTask {
        task_id: started.task_id,
        state: state(started.state),
        place: started.place.map(count),
    }
}

pub(super) fn question(pending: Pending) -> wire::TaskQuestion {
    wire::TaskQuestion {
        id: pending.id.to_string(),
        call: pending.call,
        detail: pending.detail,
        since_seconds: pending.since_seconds,
    }
}

pub(super) fn checked(checked: Checked) -> wire::CheckTaskResponse {
    wire::CheckTaskResponse {
        task_id: checked.task_id,
        goal: checked.goal,
        state: state(checked.state),
        place: checked.place.map(count),
        age_seconds: checked.age_seconds,
        working_seconds: checked.working_seconds,
        waiting_seconds: checked.waiting_seconds,
        steps: checked.steps,
        calls: checked.calls,
        tokens: checked.tokens,
        cost: checked.cost,
        question: checked.question.map(question),
        quiet_seconds: checked.quiet_seconds,
        unread_messages: checked.unread_messages,
        error: checked.error,
        lines: checked.lines,
    }
}

pub(super) fn steered(steered: Steered) -> wire::SteerTaskResponse {
    let receipt = match steered.receipt {
        "delivered" => wire::Receipt::Delivered,
        "missed" => wire::Receipt::Missed,
        _ => wire::Receipt::Queued,
    };
    wire::SteerTaskResponse { task_id: steered.task_id, receipt, state: state(steered.state) }
}

pub(super) fn collected(collected: Collected) -> wire::CollectedTask {
    wire::CollectedTask {
        task_id: collected.task_id,
        goal: collected.goal,
        state: state(collected.state),
        place: collected.place.map(count),
        report: collected.report,
        partial: collected.partial,
        error: collected.error,
        working_seconds: collected.working_seconds,
        waiting_seconds: collected.waiting_seconds,
        tokens: collected.tokens,
        cost: collected.cost,
        files_written: collected.files_written,
        schema_errors: collected.schema_errors,
        changes: collected.changes.map(changes),
    }
}

pub(super) fn changes(changes: Changes) -> wire::TaskChanges {
    wire::TaskChanges {
        branch: changes.branch,
        base: changes.base,
        uncommitted: count(changes.uncommitted),
        files: changes.files.into_iter().map(changed_file).collect(),
        diff: changes.diff,
        is_cut: changes.is_cut,
    }
}

pub(super) fn changed_file(file: ChangedFile) -> wire::ChangedFile {
    let change = match file.change {
        Change::Added => wire::Change::Added,
        Change::Modified => wire::Change::Modified,
        Change::Deleted => wire::Change::Deleted,
    };
    wire::ChangedFile { path: file.path, change, added: file.added, removed: file.removed }
}

pub(super) fn cancelled(cancelled: Cancelled) -> wire::CancelledTask {
    wire::CancelledTask {
        task_id: cancelled.task_id,
        state: state(cancelled.state),
        partial: cancelled.partial,
    }
}

pub(super) fn summary(row: Row) -> wire::TaskSummary {
    wire::TaskSummary {
        task_id: row.task_id,
        goal: letters::cut(&row.goal, GOAL_CHARS),
        state: state(row.state),
        place: row.place.map(count),
        age_seconds: row.age_seconds,
        tokens: row.tokens,
        question: row.question.map(question),
        error: row.error,
        line: row.line,
    }
}

pub(super) fn session(session: &OpenSession) -> wire_session::OpenSession {
    wire_session::OpenSession {
        session_id: session.id.to_string(),
        cwd: text(&session.cwd),
        additional_directories: session.additional.iter().map(|folder| text(folder)).collect(),
        used_at: session.used.as_millis(),
    }
}
