//! What the attempts of a task came to, read from its events: for a task whose last attempt did not live to
//! report it, and for the one that goes on where that one ended.

use std::time::Duration;

use futures::StreamExt as _;

use crate::clock::Timestamp;
use crate::event::CallStatus;
use crate::ids::SessionId;
use crate::tasks::engine::{Body, EngineError, Event, Heard, Progress, Report, Task, TaskClient};
use crate::tasks::report::Work;
use crate::tasks::runner::Phase;

/// What a task did in all attempts together. Secrets are not in it: its events are kept without.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// The last reply that has text.
    pub(super) said: String,
    /// Replies of the model.
    pub(super) steps: u64,
    /// Calls that came to an end.
    pub(super) calls: u64,
    /// In and out together.
    pub(super) tokens: u64,
    /// US dollars, where the price is known.
    pub(super) cost: Option<f64>,
    pub(super) files_written: Vec<String>,
    pub(super) worked: Duration,
    pub(super) waited: Duration,
    /// Of the attempt that runs.
    phase: Option<Phase>,
    at: Timestamp,
}

impl Attempts {
    /// Reads all that happened until `task` was read.
    ///
    /// # Errors
    /// Where the engine cannot be reached, or knows the task no more.
    pub(super) async fn read(
        engine: &(impl TaskClient + ?Sized),
        task: &Task,
    ) -> Result<Self, EngineError> {
        let mut all = Self::default();
        if task.status.epoch == 0 {
            return Ok(all);
        }
        let mut events = engine.events(task.task.clone(), 0);
        while let Some(heard) = events.next().await {
            let Heard::Event(event) = heard? else { continue };
            all.take(&event);
            if event.seq >= task.status.last {
                break;
            }
        }
        Ok(all)
    }

    /// The report that the last attempt would have made.
    pub(super) fn report(self, child: SessionId) -> Report {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let work = Work {
            steps: self.steps,
            calls: self.calls,
            tokens: self.tokens,
            cost: self.cost,
            working_ms: millis(self.worked),
            waiting_ms: millis(self.waited),
            files_written: self.files_written,
            ..Work::of_child(child)
        };
        Report { text: self.said, details: serde_json::to_value(work).unwrap_or_default() }
    }

    fn take(&mut self, event: &Event) {
        let span = event.at.since(self.at);
        self.at = event.at;
        match &event.body {
            Body::Started { .. } => self.phase = Some(Phase::Working),
            // When an attempt was lost is not known; its last event is.
            Body::AttemptLost | Body::Queued => self.phase = None,
            Body::Progress { .. }
            | Body::Received { .. }
            | Body::CancelRequested { .. }
            | Body::Checkpoint { .. }
            | Body::Ended { .. }
            | Body::Unknown => match self.phase {
                Some(Phase::Working) => self.worked += span,
                Some(Phase::Waiting | Phase::Idle) => self.waited += span,
                None => {}
            },
        }
        if let Body::Progress { progress } = &event.body {
            self.progress(progress);
        }
    }

    fn progress(&mut self, progress: &Progress) {
        match progress {
            Progress::Message { text } => self.said.clone_from(text),
            Progress::Call { status, written, .. } => {
                if matches!(status, CallStatus::Completed | CallStatus::Failed) {
                    self.calls += 1;
                }
                for file in written {
                    if !self.files_written.contains(file) {
                        self.files_written.push(file.clone());
                    }
                }
            }
            Progress::Usage { usage, cost } => {
                self.steps += 1;
                let tokens = usage.input.saturating_add(usage.output);
                self.tokens = self.tokens.saturating_add(tokens);
                if let Some(cost) = cost {
                    self.cost = Some(self.cost.unwrap_or_default() + cost);
                }
            }
            Progress::NeedsInput { .. } => self.phase = Some(Phase::Waiting),
            Progress::InputTaken => self.phase = Some(Phase::Working),
            Progress::Plan { .. } => {}
        }
    }
}
