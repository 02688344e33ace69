//! What each method does: it reads its parameters, finds the session, asks its tasks, and translates the answer. Whoever
//! calls acts as the session's user, with its mode and in its folders.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;
use talaria_protocol as protocol;
use talaria_protocol::session as wire_session;
use talaria_protocol::task as wire;

use super::table::About;
use super::{CallError, convert, params};
use crate::ids::{CallId, MessageId, SessionId};
use crate::session::directory::{Directory, OpenSession};
use crate::tasks::{By, Caller, NewTask, Origin, TaskError, TaskName, TasksHandle, Which};
use crate::tools::pictures;
use crate::tools::roots::{Roots, resolve};

/// Lines that a check shows where nobody says how many.
const LINES: u32 = 10;
const MOST_LINES: u32 = 200;
/// Seconds that a collect waits where nobody says how long.
const WAIT: u64 = 300;
const LONGEST_WAIT: u64 = 3_600;

/// What the methods reach.
pub(super) struct Doors {
    pub(super) directory: Directory,
    pub(super) about: About,
}

pub(super) type Served = BoxFuture<'static, Result<Value, CallError>>;
pub(super) type Method = fn(Arc<Doors>, Value) -> Served;

/// The methods that answer once, on both doors but the last one.
pub(super) const METHODS: [(&str, Method); 12] = [
    (protocol::TASK_SPAWN, spawn),
    (protocol::TASK_CHECK, check),
    (protocol::TASK_STEER, steer),
    (protocol::TASK_COLLECT, collect),
    (protocol::TASK_CANCEL, cancel),
    (protocol::TASK_LIST, list),
    (protocol::TASK_ANSWER, answer),
    (protocol::TASK_RESUME, resume),
    (protocol::TASK_DIFF, diff),
    (protocol::TASK_MERGE, merge),
    (protocol::TASK_DISCARD, discard),
    (protocol::SESSION_LIST, sessions),
];

impl Doors {
    /// An open session and its tasks.
    pub(super) fn open(&self, id: &str) -> Result<(OpenSession, TasksHandle), CallError> {
        let session = self.directory.get(&SessionId::new(id));
        let session = session.ok_or_else(|| CallError::unknown_session(id))?;
        let tasks = session.tasks.clone().ok_or_else(|| CallError::no_tasks(id))?;
        Ok((session, tasks))
    }

    fn tasks(&self, session: &str) -> Result<TasksHandle, CallError> {
        self.open(session).map(|(_, tasks)| tasks)
    }
}

fn said<T: Serialize>(answer: &T) -> Result<Value, CallError> {
    serde_json::to_value(answer).map_err(|error| {
        tracing::error!(%error, "an answer is no JSON");
        CallError::defect()
    })
}

fn spawn(doors: Arc<Doors>, params: Value) -> Served {
    async move {
        let wire::SpawnTaskRequest { session_id, tasks, key } = params::read(params)?;
        let (session, handle) = doors.open(&session_id)?;
        let mut wanted = Vec::with_capacity(tasks.len());
        for task in tasks {
            wanted.push(new_task(task, &session).await?);
        }
        let own = uuid::Uuid::now_v7();
        let caller = Caller {
            by: By::User,
            origin: Origin { prompt: MessageId::new(format!("door-{own}")), generation: 0 },
            mode: session.mode(),
            // Apart from the keys of the model's calls.
            key: format!("door-{}", key.unwrap_or_else(|| own.to_string())),
        };
        let started = handle.start(caller, wanted).await?;
        let tasks = started.into_iter().map(convert::started).collect();
        said(&wire::SpawnTaskResponse { tasks })
    }
    .boxed()
}

async fn new_task(task: wire::NewTask, session: &OpenSession) -> Result<NewTask, CallError> {
    let continues = task.continues.as_deref().map(params::task).transpose()?;
    Ok(NewTask {
        goal: task.goal,
        context: task.context,
        toolsets: task.toolsets,
        model: task.model,
        output_schema: task.output_schema,
        images: images(task.images, session).await?,
        continues,
        isolation: convert::isolation_of(task.isolation),
    })
}

/// The pictures of a task: there, and in the session's folders, for nobody can be asked about others.
async fn images(names: Vec<String>, session: &OpenSession) -> Result<Vec<PathBuf>, TaskError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let (cwd, additional) = (session.cwd.clone(), session.additional.clone());
    let locate = move || {
        let roots = Roots::new(cwd, &additional);
        let locate = |name: String| {
            let path = resolve(&roots.absolute(&name));
            if roots.contain(&path) {
                return Ok(path);
            }
            let why = "it is outside of the session's folders; copy it into one of them".to_owned();
            Err(TaskError::Image { name, why })
        };
        names.into_iter().map(locate).collect::<Result<Vec<PathBuf>, TaskError>>()
    };
    let located = tokio::task::spawn_blocking(locate).await;
    let paths = located.unwrap_or(Err(TaskError::Closed))?;
    match pictures::read(&paths).await {
        Ok(_) => Ok(paths),
        Err(unusable) => {
            let name = unusable.path.display().to_string();
            Err(TaskError::Image { name, why: unusable.why })
        }
    }
}

fn check(doors: Arc<Doors>, params: Value) -> Served {
    async move {
        let wire::CheckTaskRequest { session_id, task_id, lines } = params::read(params)?;
        let tasks = doors.tasks(&session_id)?;
        let lines = usize::try_from(lines.unwrap_or(LINES).min(MOST_LINES)).unwrap_or_default();
        let checked = tasks.check(&params::task(&task_id)?, lines).await?;
        said(&convert::checked(checked))
    }
    .boxed()
}

fn steer(doors: Arc<Doors>, params: Value) -> Served {
    async move {
        let wire::SteerTaskRequest { session_id, task_id, message } = params::read(params)?;
        let tasks = doors.tasks(&session_id)?;
        let steered = tasks.steer(&params::task(&task_id)?, message).await?;
        said(&convert::steered(steered))
    }
    .boxed()
}

fn collect(doors: Arc<Doors>, params: Value) -> Served {
    async move {
        let wire::CollectTaskRequest { session_id, task_ids, timeout_seconds, wait } =
            params::read(params)?;
        let tasks = doors.tasks(&session_id)?;
        let seconds = timeout_seconds.unwrap_or(WAIT).min(LONGEST_WAIT);
        let names = params::tasks(&task_ids)?;
        let mut waiting = tasks.wait(names, convert::wait_of(wait)).await?;
        // At the end of the time there is what they said so far.
        drop(tokio::time::timeout(Duration::from_secs(seconds), waiting.over()).await);
        let collected = waiting.collect().await;
        if collected.is_empty() {
            return Err(TaskError::Closed.into());
        }
        let tasks = collected.into_iter().map(convert::collected).collect();
        said(&wire::CollectTaskResponse { tasks })
    }
    .boxed()
}

fn cancel(doors: Arc<Doors>, params: Value) -> Served {
    async move {
        let wire::CancelTaskRequest { session_id, which, reason } = params::read(params)?;
        let tasks = doors.tasks(&session_id)?;
        let cancelled = tasks.cancel(targets(which)?, reason).await?;
        let tasks = cancelled.into_iter().map(convert::cancelled).collect();
        said(&wire::CancelTaskResponse { tasks })
    }
    .boxed()
}

fn resume(doors: Arc<Doors>, params: Value) -> Served {
    async move {
        let wire::ResumeTaskRequest { session_id, which } = params::read(params)?;
        let tasks = doors.tasks(&session_id)?;
        let resumed = tasks.resume(targets(which)?).await?;
        let tasks = resumed.into_iter().map(convert::started).collect();
        said(&wire::ResumeTaskResponse { tasks })
    }
    .boxed()
}

/// The tasks that a request is for.
fn targets(targets: wire::Targets) -> Result<Which, CallError> {
    match (targets.task_ids, targets.all) {
        (None, Some(true)) => Ok(Which::All),
        (Some(names), None) => Ok(Which::Several(params::tasks(&names)?)),
        _ => {
            let message = "Exactly one of the fields `taskIds` and `all: true` is expected.";
            Err(CallError::invalid(message))
        }
    }
}

fn list(doors: Arc<Doors>, params: Value) -> Served {
    async move {
        let wire::ListTasksRequest { session_id, state } = params::read(params)?;
        let rows = doors.tasks(&session_id)?.list(state.map(convert::state_of)).await?;
        let tasks = rows.into_iter().map(convert::summary).collect();
        said(&wire::ListTasksResponse { tasks })
    }
    .boxed()
}

fn answer(doors: Arc<Doors>, params: Value) -> Served {
    async move {
        let wire::AnswerTaskRequest { session_id, task_id, answer, question_id, reason } =
            params::read(params)?;
        let tasks = doors.tasks(&session_id)?;
        let task = params::task(&task_id)?;
        if reason.is_some() && answer != Some(wire::Choice::Deny) {
            let message = "The field `reason` goes with `answer: deny` only; leave it out.";
            return Err(CallError::invalid(message));
        }
        let Some(choice) = answer else {
            let checked = tasks.check(&task, 0).await?;
            return said(&wire::AnswerTaskResponse {
                task_id: checked.task_id,
                state: convert::state(checked.state),
                question: checked.question.map(convert::question),
            });
        };
        let question = question_id.map(CallId::new);
        let state = tasks.answer(&task, question, convert::answer_of(choice), reason).await?;
        let state = convert::state(state);
        said(&wire::AnswerTaskResponse { task_id: task.to_string(), state, question: None })
    }
    .boxed()
}

fn diff(doors: Arc<Doors>, params: Value) -> Served {
    async move {
        let wire::DiffTaskRequest { session_id, task_id } = params::read(params)?;
        let tasks = doors.tasks(&session_id)?;
        let task = params::task(&task_id)?;
        let (state, changes) = tasks.diff(&task).await?;
        let (state, changes) = (convert::state(state), convert::changes(changes));
        said(&wire::DiffTaskResponse { task_id: task.to_string(), state, changes })
    }
    .boxed()
}

fn merge(doors: Arc<Doors>, params: Value) -> Served {
    async move {
        let wire::MergeTaskRequest { session_id, task_ids } = params::read(params)?;
        let tasks = doors.tasks(&session_id)?;
        let files = tasks.merge(params::tasks(&task_ids)?).await?;
        let files = files.into_iter().map(convert::changed_file).collect();
        said(&wire::MergeTaskResponse { files })
    }
    .boxed()
}

fn discard(doors: Arc<Doors>, params: Value) -> Served {
    async move {
        let wire::DiscardTaskRequest { session_id, task_ids } = params::read(params)?;
        let tasks = doors.tasks(&session_id)?;
        let discarded = tasks.discard(params::tasks(&task_ids)?).await?;
        let task_ids = discarded.iter().map(TaskName::to_string).collect();
        said(&wire::DiscardTaskResponse { task_ids })
    }
    .boxed()
}

fn sessions(doors: Arc<Doors>, params: Value) -> Served {
    async move {
        let wire_session::ListSessionsRequest {} = params::read(params)?;
        said(&wire_session::ListSessionsResponse {
            pid: std::process::id(),
            version: doors.about.version.to_owned(),
            client: doors.about.client.get().cloned(),
            sessions: doors.directory.all().iter().map(convert::session).collect(),
        })
    }
    .boxed()
}
