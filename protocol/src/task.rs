//! The messages about background tasks. Each request names its session and acts with that session's rights.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How a task stands. `completed`, `failed` and `cancelled` are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TaskState {
    /// It waits for a place among those that run.
    Queued,
    /// It works.
    Running,
    /// It asks the user for something.
    Waiting,
    /// Its process ended; it can be resumed.
    Interrupted,
    /// It has ended with a report.
    Completed,
    /// It has ended without one, or with half of one; `error` says why.
    Failed,
    /// It was ended by whoever asked for it.
    Cancelled,
}

impl TaskState {
    /// Whether nothing more happens to the task.
    pub fn is_final(self) -> bool {
        match self {
            Self::Completed | Self::Failed | Self::Cancelled => true,
            Self::Queued | Self::Running | Self::Waiting | Self::Interrupted => false,
        }
    }
}

/// A task that is asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewTask {
    /// What to do and what to report. It is complete in itself: the subagent knows nothing of the conversation.
    pub goal: String,
    /// What the subagent must know beside the goal: files, findings, constraints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Names of toolsets that it gets; absent or empty: all that its session has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub toolsets: Vec<String>,
    /// The model that does it, where it is not the configured one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// A JSON Schema that its report must match; the report then is JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
    /// Paths of pictures that it sees with the goal: absolute, or from the session's folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// The id of a finished task whose conversation it goes on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<String>,
    /// Where it works; absent: `none`.
    #[serde(default, skip_serializing_if = "Isolation::is_none")]
    pub isolation: Isolation,
}

/// Where a task works.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Isolation {
    /// In the session's folders.
    #[default]
    None,
    /// In a git worktree of its own, from the last commit.
    Worktree,
}

impl Isolation {
    /// Whether it works in the session's folders.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// Starts tasks, all or none. Answered when they are recorded, not when they have ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SpawnTaskRequest {
    pub session_id: String,
    /// At least one.
    #[schemars(length(min = 1))]
    pub tasks: Vec<NewTask>,
    /// Any text, unique for what is asked for. Who asks again under the same key gets the same tasks, so a request
    /// whose answer was lost can be sent again. Absent: each request starts tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// The tasks that were started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SpawnTaskResponse {
    /// In the order of the request.
    pub tasks: Vec<StartedTask>,
}

/// A task that was admitted and is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StartedTask {
    /// `t1`, within its session.
    pub task_id: String,
    /// `queued` or `running`.
    pub state: TaskState,
    /// Its place among the queued ones, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<u64>,
}

/// Looks at a task. Never waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckTaskRequest {
    pub session_id: String,
    /// `t1`; `t1.2` is the second task of `t1`.
    pub task_id: String,
    /// How many of its last lines, at most 200 (more counts as 200). Absent: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 200))]
    pub lines: Option<u32>,
}

/// How a task stands, and what it did last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckTaskResponse {
    pub task_id: String,
    pub goal: String,
    pub state: TaskState,
    /// Its place among the queued ones, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<u64>,
    /// Since it was asked for.
    pub age_seconds: u64,
    /// In which it ran; without what it waited.
    pub working_seconds: u64,
    /// In which it waited for an answer of the user.
    pub waiting_seconds: u64,
    /// Requests to the model.
    pub steps: u64,
    /// Calls that came to an end.
    pub calls: u64,
    /// In and out together.
    pub tokens: u64,
    /// US dollars, where the price is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// What it asks the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<TaskQuestion>,
    /// Only where the task is called stalled: how long it has given no sign of life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_seconds: Option<u64>,
    /// Messages to it that its model has not seen yet, where there are some. Of a task that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread_messages: Option<u64>,
    /// Why it failed or was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its last lines, oldest first.
    pub lines: Vec<String>,
}

/// A question that waits for the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskQuestion {
    /// Names this question: that of the call as the session shows it, `task-t1/c3`. An answer that repeats it is
    /// for no other question.
    pub id: String,
    /// What it would do: "Edit src/main.rs".
    pub call: String,
    /// The command or the change, short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// How long it has been asking.
    pub since_seconds: u64,
}

/// Says something to a task, which sees it before its next request to the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SteerTaskRequest {
    pub session_id: String,
    pub task_id: String,
    /// Not empty.
    pub message: String,
}

/// What has become of the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SteerTaskResponse {
    pub task_id: String,
    pub receipt: Receipt,
    /// That of the task.
    pub state: TaskState,
}

/// What has become of a message to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Receipt {
    /// It is kept, and the task will see it.
    Queued,
    /// The task has seen it.
    Delivered,
    /// The task had ended; nothing was started.
    Missed,
}

/// Waits for the reports of tasks. They go on whatever ends the wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CollectTaskRequest {
    pub session_id: String,
    /// At least one.
    #[schemars(length(min = 1))]
    pub task_ids: Vec<String>,
    /// How long to wait at most; 0: not at all; more than 3600 counts as that. Absent: 300. At its end there is what the tasks said so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 3600))]
    pub timeout_seconds: Option<u64>,
    /// When the wait is over; absent: `all`.
    #[serde(default)]
    pub wait: Wait,
}

/// When a wait is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Wait {
    /// When all of them have ended.
    #[default]
    All,
    /// When one of them has.
    Any,
}

/// The reports, or what there is of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CollectTaskResponse {
    /// In the order of the request.
    pub tasks: Vec<CollectedTask>,
}

/// A task's report, or what there is of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CollectedTask {
    pub task_id: String,
    pub goal: String,
    pub state: TaskState,
    /// Its place among the queued ones, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<u64>,
    /// Whole, where the state is final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
    /// What it said so far, where it is not; its end, if that is long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<String>,
    /// Why it failed or was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// In which it ran; without what it waited.
    pub working_seconds: u64,
    /// In which it waited for an answer of the user.
    pub waiting_seconds: u64,
    /// In and out together.
    pub tokens: u64,
    /// US dollars, where the price is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// Paths of the files that it wrote with its tools, as it named them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files_written: Vec<String>,
    /// What was wrong with the report by the task's `outputSchema`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schema_errors: Vec<String>,
    /// What it changed in a worktree of its own, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<TaskChanges>,
}

/// Which tasks an operation is for: exactly one of the two fields is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("oneOf" = [{ "required": ["taskIds"] }, { "required": ["all"] }]))]
pub struct Targets {
    /// These tasks, at least one. Either this or `all`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub task_ids: Option<Vec<String>>,
    /// `true`: all tasks of the session for which the operation makes sense. Either this or `taskIds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("const" = true))]
    pub all: Option<bool>,
}

/// Ends tasks with all below them. Answered when they have ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CancelTaskRequest {
    pub session_id: String,
    #[serde(flatten)]
    pub which: Targets,
    /// Why; it stands in the task's `error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What the cancel came to, one entry for each task that was meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CancelTaskResponse {
    pub tasks: Vec<CancelledTask>,
}

/// What a cancel came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CancelledTask {
    pub task_id: String,
    /// Final; that of a task which had ended before is what it was.
    pub state: TaskState,
    /// What it had said by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<String>,
}

/// Lists the tasks of a session, not those of its tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListTasksRequest {
    pub session_id: String,
    /// Those in this state alone. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<TaskState>,
}

/// The tasks of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListTasksResponse {
    /// Newest first.
    pub tasks: Vec<TaskSummary>,
}

/// A task in a list, and in an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskSummary {
    pub task_id: String,
    /// Its beginning, at most 400 characters; `check` has all of it.
    pub goal: String,
    pub state: TaskState,
    /// Its place among the queued ones, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<u64>,
    /// Since it was asked for.
    pub age_seconds: u64,
    /// In and out together.
    pub tokens: u64,
    /// What it asks the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<TaskQuestion>,
    /// Why it failed or was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it said or did last, on one line; while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
}

/// Shows the question that a task waits with, or answers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnswerTaskRequest {
    pub session_id: String,
    pub task_id: String,
    /// Absent: the question is only shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Choice>,
    /// The `id` of the question that was seen: where the task asks something else by now, nothing is answered. Absent:
    /// whatever it asks is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question_id: Option<String>,
    /// With `deny` only: why. It is said to the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The user's answer to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Choice {
    /// This once.
    Allow,
    /// This and what is like it, in this session.
    Always,
    /// Not this; the task goes on without it.
    Deny,
}

/// The question, or the state after its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnswerTaskResponse {
    pub task_id: String,
    /// After the answer, where one was given.
    pub state: TaskState,
    /// What it asks, where nothing was answered. Absent: it asks nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<TaskQuestion>,
}

/// Lets interrupted tasks go on, under the same ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResumeTaskRequest {
    pub session_id: String,
    #[serde(flatten)]
    pub which: Targets,
}

/// The tasks that go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResumeTaskResponse {
    pub tasks: Vec<StartedTask>,
}

/// Shows what a task changed in a worktree of its own, also while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiffTaskRequest {
    pub session_id: String,
    pub task_id: String,
}

/// A task's changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiffTaskResponse {
    pub task_id: String,
    /// Where it is not final, the changes are those so far.
    pub state: TaskState,
    pub changes: TaskChanges,
}

/// What a task changed in a worktree of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskChanges {
    /// The branch that has the changes, without `refs/heads/`.
    pub branch: String,
    /// The commit that the task began with.
    pub base: String,
    /// How many files of the user's working tree had changes then that are in no commit: the task did not have
    /// these changes.
    pub uncommitted: u64,
    pub files: Vec<ChangedFile>,
    /// A unified diff, as git writes it.
    pub diff: String,
    /// Whether the whole diff is longer than what is here; the branch has everything.
    pub is_cut: bool,
}

/// A file that a task changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangedFile {
    /// Relative to the root of the repository, `/` between its parts.
    pub path: String,
    pub change: Change,
    /// Lines that are new; absent for a binary file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added: Option<u64>,
    /// Lines that are gone; absent for a binary file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<u64>,
}

/// What was done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// It was not there before.
    Added,
    /// It was there, with other content.
    Modified,
    /// It is gone.
    Deleted,
}

/// Takes the changes of tasks into the session's working tree, in the order of the request. All of them or, where
/// one does not fit, nothing: the error's data names that task and the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MergeTaskRequest {
    pub session_id: String,
    /// At least one.
    #[schemars(length(min = 1))]
    pub task_ids: Vec<String>,
}

/// What the merge changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MergeTaskResponse {
    /// What changed in the working tree. Nothing is committed or staged.
    pub files: Vec<ChangedFile>,
}

/// Throws away what tasks changed in worktrees of their own, with their branches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiscardTaskRequest {
    pub session_id: String,
    /// At least one.
    #[schemars(length(min = 1))]
    pub task_ids: Vec<String>,
}

/// The tasks whose changes are gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiscardTaskResponse {
    /// Those of the request.
    pub task_ids: Vec<String>,
}

/// How a task stands now; it replaces what was said of the same task before. First each task of the session is told,
/// that whose last change is the longest ago first, then what changes. Who reads slowly is told less often, and always
/// how a task ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskEventNotification {
    pub session_id: String,
    pub task: TaskSummary,
}

/// Asks for events of one session's tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubscribeTaskRequest {
    pub session_id: String,
}

/// Names a subscription on its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubscriptionId(pub u64);

/// Ends a subscription. The only parameters that are a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnsubscribeTaskRequest(pub [SubscriptionId; 1]);

/// Whether there was such a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnsubscribeTaskResponse(pub bool);

/// An event as the control socket brings it to a subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubscribedTaskEvent {
    /// What the request to subscribe was answered with.
    pub subscription: SubscriptionId,
    pub result: TaskEventNotification,
}
