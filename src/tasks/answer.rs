//! What the operations answer. As JSON they are what the model's tools give back; other doors make
//! sentences of them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::ids::CallId;
use crate::redact::Mask;
use crate::tasks::engine::State;

/// A task that was admitted and is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Started {
    pub task_id: String,
    pub state: State,
    /// Its place among the queued ones, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<usize>,
}

/// How a task stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Checked {
    pub task_id: String,
    pub goal: String,
    pub state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<usize>,
    /// Since it was asked for.
    pub age_seconds: u64,
    /// In which it ran; without what it waited for answers.
    pub working_seconds: u64,
    pub waiting_seconds: u64,
    /// Requests to the model.
    pub steps: u64,
    /// Calls that came to an end.
    pub calls: u64,
    /// In and out together.
    pub tokens: u64,
    /// US dollars, where the price is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// What it asks the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<Pending>,
    /// Without a sign of life for so long that it is called stalled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet_seconds: Option<u64>,
    /// Messages to it that its model has not seen yet, where there are some. Of a task that runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread_messages: Option<u64>,
    /// Why it failed or was cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its last lines, oldest first.
    pub lines: Vec<String>,
}

/// A question that waits for the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pending {
    /// The id of its call in the root session, for who answers this question and no other. Not for a model.
    #[serde(skip)]
    pub id: CallId,
    /// What it would do: "Edit src/main.rs".
    pub call: String,
    /// The command or the change, short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    pub since_seconds: u64,
}

/// What has become of a message to a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Steered {
    pub task_id: String,
    /// `queued`, `delivered` or `missed`.
    pub receipt: &'static str,
    pub state: State,
}

/// A task's report, or what there is of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Collected {
    pub task_id: String,
    pub goal: String,
    pub state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<usize>,
    /// Whole, where the state is final.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
    /// What it said so far, where it is not; its end, if that is long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partial: Option<String>,
    /// Why it failed or was cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    pub working_seconds: u64,
    pub waiting_seconds: u64,
    pub tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files_written: Vec<String>,
    /// What was wrong with the report by the task's `output_schema`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schema_errors: Vec<String>,
    /// What it changed in a tree of its own, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
    /// What there is of it could not be read, which the error says: nobody was given its report.
    #[serde(skip)]
    pub is_unread: bool,
}

/// What a task changed in a worktree of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Without `refs/heads/`.
    pub branch: String,
    /// The commit that it began with.
    pub base: String,
    /// How many files of the working tree that it was made from had changes that are in no commit: the task
    /// did not have these.
    pub uncommitted: usize,
    pub files: Vec<ChangedFile>,
    /// Unified, as git writes it; its beginning, where it is long.
    pub diff: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_cut: bool,
}

impl Changes {
    /// "branch `b`: 3 files changed, 12 lines more and 4 less".
    pub fn summary(&self) -> String {
        let sum = |lines: fn(&ChangedFile) -> Option<u64>| -> u64 {
            self.files.iter().filter_map(lines).sum()
        };
        let files = match self.files.len() {
            0 => return format!("branch `{}`: nothing changed", self.branch),
            count => files_counted(count),
        };
        let (added, removed) = (sum(|file| file.added), sum(|file| file.removed));
        format!("branch `{}`: {files} changed, {added} lines added, {removed} removed", self.branch)
    }

    /// So many characters of the diff, and whether that is not all of it.
    pub fn shown(&self, most: usize) -> (&str, bool) {
        match self.diff.char_indices().nth(most) {
            Some((end, _)) => (self.diff.get(..end).unwrap_or_default(), true),
            None => (&self.diff, self.is_cut),
        }
    }

    /// The same with at most so many characters of the diff.
    #[must_use]
    pub fn cut(mut self, most: usize) -> Self {
        let (shown, is_cut) = self.shown(most);
        let end = shown.len();
        self.diff.truncate(end);
        self.is_cut = is_cut;
        self
    }

    /// The same without secrets.
    #[must_use]
    pub fn masked(mut self, mask: &Mask) -> Self {
        let hide = |text: &mut String| {
            if let Cow::Owned(hidden) = mask.hide(text) {
                *text = hidden;
            }
        };
        hide(&mut self.diff);
        self.files.iter_mut().for_each(|file| hide(&mut file.path));
        self
    }
}

/// "1 file", "2 files".
pub fn files_counted(count: usize) -> String {
    format!("{count} file{}", if count == 1 { "" } else { "s" })
}

/// A file that was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedFile {
    /// From the root of the repository, `/` between its parts.
    pub path: String,
    pub change: Change,
    /// Lines; absent for a binary file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added: Option<u64>,
    /// Lines; absent for a binary file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<u64>,
}

/// What was done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    Added,
    Modified,
    Deleted,
}

/// What a cancel came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cancelled {
    pub task_id: String,
    /// Final.
    pub state: State,
    /// What it had said by then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partial: Option<String>,
}

/// A task in a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    pub task_id: String,
    pub goal: String,
    pub state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<usize>,
    pub age_seconds: u64,
    pub tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<Pending>,
    /// Why it failed or was cancelled, where that is known. For who watches, as the next one.
    #[serde(skip)]
    pub error: Option<String>,
    /// What it said or did last, on one line; while it runs. For who watches, not for a model.
    #[serde(skip)]
    pub line: Option<String>,
}
