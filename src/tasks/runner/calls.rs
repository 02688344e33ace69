//! The calls of a child that are open, and the questions among them. It does not know what the answers are.

use std::collections::{HashMap, HashSet};

use crate::event::{CallContent, CallStatus, CallUpdate, Question};
use crate::ids::CallId;

/// The calls of a child that are open.
#[derive(Debug, Default)]
pub(super) struct Calls {
    open: HashMap<CallId, Open>,
    /// Those that were asked for and are open.
    asked: HashSet<CallId>,
    /// What waits for an answer, in the order in which it was asked.
    asking: Vec<Asking>,
}

#[derive(Debug, Default)]
struct Open {
    tool: String,
    title: String,
    /// What it would change, or changed.
    files: Vec<String>,
}

/// Something that waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asking {
    pub(super) call: CallId,
    pub(super) title: String,
}

/// A call that came to its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) tool: String,
    pub(super) title: String,
    pub(super) status: CallStatus,
    /// The files that it changed.
    pub(super) written: Vec<String>,
    /// The user was asked for it.
    pub(super) was_asked: bool,
}

impl Calls {
    pub(super) fn knows(&self, call: &CallId) -> bool {
        self.open.contains_key(call)
    }

    pub(super) fn running(&self) -> usize {
        self.open.len()
    }

    /// A call changed.
    pub(super) fn update(&mut self, update: &CallUpdate) -> Option<Ended> {
        let open = self.open.entry(update.id.clone()).or_default();
        if let Some(tool) = &update.tool {
            open.tool.clone_from(tool);
        }
        if let Some(title) = &update.title {
            open.title.clone_from(title);
        }
        let files = files(update.content.as_deref().unwrap_or_default());
        if !files.is_empty() {
            open.files = files;
        }
        let status = update.status.filter(|status| status.is_final())?;
        let Open { tool, title, files } = self.open.remove(&update.id)?;
        let written = if status == CallStatus::Completed { files } else { Vec::new() };
        Some(Ended { tool, title, status, written, was_asked: self.asked.remove(&update.id) })
    }

    /// The child asks.
    pub(super) fn ask(&mut self, question: &Question) {
        let call = question.id().clone();
        let open = self.open.entry(call.clone()).or_default();
        if let Some(title) = &question.call.title {
            open.title.clone_from(title);
        }
        let files = files(question.call.content.as_deref().unwrap_or_default());
        if !files.is_empty() {
            open.files = files;
        }
        let title = open.title.clone();
        self.asked.insert(call.clone());
        self.asking.retain(|asking| asking.call != call);
        self.asking.push(Asking { call, title });
    }

    /// A question has its answer, or needs none any more; false where there is none.
    pub(super) fn settle(&mut self, call: &CallId) -> bool {
        let before = self.asking.len();
        self.asking.retain(|asking| asking.call != *call);
        self.asking.len() < before
    }

    /// The calls that were asked for and are open, which nobody will end any more.
    pub(super) fn take_asked(&mut self) -> Vec<CallId> {
        let mut asked: Vec<CallId> = self.asked.drain().collect();
        asked.sort();
        asked
    }

    /// What waits longest for an answer.
    pub(super) fn asking(&self) -> Option<&Asking> {
        self.asking.first()
    }
}

fn files(content: &[CallContent]) -> Vec<String> {
    let path = |content: &CallContent| match content {
        CallContent::Diff { path, .. } => Some(path.display().to_string()),
        CallContent::Content(_) | CallContent::Terminal(_) => None,
    };
    content.iter().filter_map(path).collect()
}
