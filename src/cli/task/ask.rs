//! The commands that ask once: a request, its answer in words or as a line of JSON, and an exit code.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use serde_json::Value;
use talaria_protocol::task::{
    AnswerTaskRequest, AnswerTaskResponse, CancelTaskRequest, CancelTaskResponse, CheckTaskRequest,
    CheckTaskResponse, CollectTaskRequest, CollectTaskResponse, CollectedTask, DiffTaskRequest,
    DiffTaskResponse, DiscardTaskRequest, DiscardTaskResponse, ListTasksRequest, ListTasksResponse,
    MergeTaskRequest, MergeTaskResponse, ResumeTaskRequest, ResumeTaskResponse, SpawnTaskRequest,
    SpawnTaskResponse, SteerTaskRequest, SteerTaskResponse, Targets, TaskState, Wait,
};
use talaria_protocol::{
    TASK_ANSWER, TASK_CANCEL, TASK_CHECK, TASK_COLLECT, TASK_DIFF, TASK_DISCARD, TASK_LIST,
    TASK_MERGE, TASK_RESUME, TASK_SPAWN, TASK_STEER,
};

use super::door::Door;
use super::spawn::{Limit, Order};
use super::{Failure, TaskCommand, Which, code, screen, words};
use crate::letters;

/// How long an answer may take that waits for nothing.
pub(super) const SOON: Duration = Duration::from_secs(30);
/// The same where git works.
const GIT: Duration = Duration::from_mins(10);
/// Seconds that a collect waits where nobody says how long.
pub(super) const WAIT: u64 = 300;
/// Seconds that one request to collect waits at most.
pub(super) const LONGEST_WAIT: u64 = 3_600;

/// Who asks.
pub(super) struct Asking<'a> {
    pub(super) door: &'a Door,
    pub(super) json: bool,
    pub(super) out: &'a mut (dyn Write + Send),
}

impl Asking<'_> {
    pub(super) async fn spawn(&mut self, order: Order) -> Result<u8, Failure> {
        let Order { task, key, wait } = order;
        let request = SpawnTaskRequest { session_id: self.session(), tasks: vec![task], key };
        let (value, answer): (_, SpawnTaskResponse) =
            self.door.call(TASK_SPAWN, &request, SOON).await?;
        let lines: Vec<String> = answer.tasks.iter().map(words::started).collect();
        self.print(&value, &lines.join("\n"))?;
        self.out.flush()?;
        let Some(limit) = wait else { return Ok(code::DONE) };
        let tasks = answer.tasks.into_iter().map(|task| task.task_id).collect();
        self.collect(tasks, Wait::All, limit).await
    }

    pub(super) async fn steer(&mut self, task_id: String, message: String) -> Result<u8, Failure> {
        let request = SteerTaskRequest { session_id: self.session(), task_id, message };
        let (value, answer): (_, SteerTaskResponse) =
            self.door.call(TASK_STEER, &request, SOON).await?;
        self.print(&value, &words::steered(&answer))
    }

    pub(super) async fn other(&mut self, command: TaskCommand) -> Result<u8, Failure> {
        match command {
            TaskCommand::Check { task, lines } => self.check(task, lines).await,
            TaskCommand::Collect { tasks, any, timeout } => {
                let wait = if any { Wait::Any } else { Wait::All };
                self.collect(tasks, wait, Limit::Seconds(timeout)).await
            }
            TaskCommand::Cancel { which, reason } => self.cancel(which, reason).await,
            TaskCommand::List { state } => self.list(state).await,
            TaskCommand::Answer { task: task_id, answer, question: question_id, reason } => {
                let session_id = self.session();
                let request =
                    AnswerTaskRequest { session_id, task_id, answer, question_id, reason };
                self.answer(&request).await
            }
            TaskCommand::Resume { which } => self.resume(which).await,
            TaskCommand::Diff { task, stat } => self.diff(task, stat).await,
            TaskCommand::Merge { tasks } => self.merge(tasks).await,
            TaskCommand::Discard { tasks } => self.discard(tasks).await,
            // They are read first, or last longer than an answer.
            TaskCommand::Spawn(_) | TaskCommand::Steer { .. } | TaskCommand::Watch(_) => {
                Ok(code::DONE)
            }
        }
    }

    async fn check(&mut self, task_id: String, lines: u32) -> Result<u8, Failure> {
        let request = CheckTaskRequest { session_id: self.session(), task_id, lines: Some(lines) };
        let (value, answer): (_, CheckTaskResponse) =
            self.door.call(TASK_CHECK, &request, SOON).await?;
        self.print(&value, &words::checked(&answer))
    }

    async fn collect(
        &mut self,
        task_ids: Vec<String>,
        wait: Wait,
        limit: Limit,
    ) -> Result<u8, Failure> {
        loop {
            let seconds = match limit {
                Limit::None => LONGEST_WAIT,
                Limit::Seconds(seconds) => seconds,
            };
            let request = CollectTaskRequest {
                session_id: self.session(),
                task_ids: task_ids.clone(),
                timeout_seconds: Some(seconds),
                wait,
            };
            let time = Duration::from_secs(seconds) + SOON;
            let (value, answer): (_, CollectTaskResponse) =
                self.door.call(TASK_COLLECT, &request, time).await?;
            let code = code_of(&answer.tasks, wait);
            if code == code::TIME_OUT && limit == Limit::None {
                continue;
            }
            let reports: Vec<String> = answer.tasks.iter().map(words::collected).collect();
            self.print(&value, &reports.join("\n\n"))?;
            return Ok(code);
        }
    }

    async fn cancel(&mut self, which: Which, reason: Option<String>) -> Result<u8, Failure> {
        let request =
            CancelTaskRequest { session_id: self.session(), which: targets(which), reason };
        let (value, answer): (_, CancelTaskResponse) =
            self.door.call(TASK_CANCEL, &request, SOON).await?;
        self.print(&value, &words::cancelled(&answer.tasks))
    }

    async fn list(&mut self, state: Option<TaskState>) -> Result<u8, Failure> {
        let request = ListTasksRequest { session_id: self.session(), state };
        let (value, answer): (_, ListTasksResponse) =
            self.door.call(TASK_LIST, &request, SOON).await?;
        let columns = io::stdout().is_terminal().then(screen::width);
        self.print(&value, &words::listed(&answer.tasks, columns))
    }

    async fn answer(&mut self, request: &AnswerTaskRequest) -> Result<u8, Failure> {
        let (value, answer): (_, AnswerTaskResponse) =
            self.door.call(TASK_ANSWER, request, SOON).await?;
        self.print(&value, &words::answered(&answer, request.answer.is_none()))
    }

    async fn resume(&mut self, which: Which) -> Result<u8, Failure> {
        let request = ResumeTaskRequest { session_id: self.session(), which: targets(which) };
        let (value, answer): (_, ResumeTaskResponse) =
            self.door.call(TASK_RESUME, &request, SOON).await?;
        self.print(&value, &words::resumed(&answer.tasks))
    }

    async fn diff(&mut self, task_id: String, stat: bool) -> Result<u8, Failure> {
        let request = DiffTaskRequest { session_id: self.session(), task_id };
        let (value, answer): (_, DiffTaskResponse) =
            self.door.call(TASK_DIFF, &request, GIT).await?;
        if self.json {
            return self.print(&value, "");
        }
        let changes = answer.changes;
        if stat {
            return self.print(&value, &words::files(&changes.files));
        }
        // What reads a pipe is to have it as it is; a terminal is not driven by it.
        let is_terminal = io::stdout().is_terminal();
        let diff = if is_terminal { words::shown(&changes.diff) } else { changes.diff };
        self.out.write_all(diff.as_bytes())?;
        if !changes.is_cut {
            return Ok(code::DONE);
        }
        self.out.flush()?;
        let how = format!("`git diff {} {}` shows all of it.", changes.base, changes.branch);
        Err(Failure::new(
            code::FAILED,
            crate::fault::Fault::new(
                crate::fault::Kind::User,
                "the difference is longer than what is shown",
            )
            .with_hint(how),
        ))
    }

    async fn merge(&mut self, task_ids: Vec<String>) -> Result<u8, Failure> {
        let request = MergeTaskRequest { session_id: self.session(), task_ids };
        let (value, answer): (_, MergeTaskResponse) =
            self.door.call(TASK_MERGE, &request, GIT).await?;
        self.print(&value, &words::merged(&request.task_ids, &answer.files))
    }

    async fn discard(&mut self, task_ids: Vec<String>) -> Result<u8, Failure> {
        let request = DiscardTaskRequest { session_id: self.session(), task_ids };
        let (value, answer): (_, DiscardTaskResponse) =
            self.door.call(TASK_DISCARD, &request, GIT).await?;
        self.print(&value, &format!("Discarded {}.", letters::listed(&answer.task_ids)))
    }

    fn session(&self) -> String {
        self.door.session.clone()
    }

    fn print(&mut self, value: &Value, words: &str) -> Result<u8, Failure> {
        if self.json {
            writeln!(self.out, "{value}")?;
        } else if !words.is_empty() {
            writeln!(self.out, "{words}")?;
        }
        Ok(code::DONE)
    }
}

fn targets(which: Which) -> Targets {
    match which {
        Which { all: true, .. } => Targets { task_ids: None, all: Some(true) },
        Which { tasks, .. } => Targets { task_ids: Some(tasks), all: None },
    }
}

/// What a wait came to. A task that is interrupted goes on no more by itself.
fn code_of(tasks: &[CollectedTask], wait: Wait) -> u8 {
    let is_over =
        |task: &&CollectedTask| task.state.is_final() || task.state == TaskState::Interrupted;
    let over = tasks.iter().filter(is_over).count();
    let completed = tasks.iter().filter(|task| task.state == TaskState::Completed).count();
    match wait {
        Wait::Any if completed > 0 => code::DONE,
        Wait::Any if over == 0 => code::TIME_OUT,
        Wait::All if over < tasks.len() => code::TIME_OUT,
        Wait::All if completed == tasks.len() => code::DONE,
        Wait::Any | Wait::All => code::TASK_FAILED,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_wait_ends_with_what_became_of_the_tasks() {
        for (states, wait, code) in [
            (&["completed", "completed"][..], Wait::All, code::DONE),
            (&["completed", "running"], Wait::All, code::TIME_OUT),
            (&["failed", "waiting"], Wait::All, code::TIME_OUT),
            (&["completed", "failed"], Wait::All, code::TASK_FAILED),
            (&["interrupted"], Wait::All, code::TASK_FAILED),
            (&["completed", "running"], Wait::Any, code::DONE),
            (&["completed", "failed"], Wait::Any, code::DONE),
            (&["cancelled", "running"], Wait::Any, code::TASK_FAILED),
            (&["queued", "running"], Wait::Any, code::TIME_OUT),
        ] {
            let task = |state: &&str| {
                let task = json!({"taskId": "t1", "goal": "", "state": state, "workingSeconds": 0,
                    "waitingSeconds": 0, "tokens": 0});
                serde_json::from_value(task).unwrap()
            };
            let tasks: Vec<CollectedTask> = states.iter().map(task).collect();
            assert_eq!(code_of(&tasks, wait), code, "{states:?} {wait:?}");
        }
    }
}
