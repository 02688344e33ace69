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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::Attempts;
    use crate::clock::Timestamp;
    use crate::event::CallStatus;
    use crate::ids::{CallId, SessionId, TaskId};
    use crate::tasks::engine::{Body, Event, Progress};
    use crate::transcript::Usage;

    #[test]
    fn what_all_attempts_did_adds_up_without_the_time_between_them() {
        let progress = |progress| Body::Progress { progress };
        let started = || Body::Started { worker: "w".to_owned() };
        let reply = |text: &str, cost| {
            let usage = Usage { input: 10, output: 1, cached: 0 };
            let said = progress(Progress::Message { text: text.to_owned() });
            [said, progress(Progress::Usage { usage, cost })]
        };
        let call = |status, written: &[&str]| {
            progress(Progress::Call {
                call: CallId::new("c1"),
                tool: "edit".to_owned(),
                title: "Edit".to_owned(),
                status,
                written: written.iter().map(ToString::to_string).collect(),
            })
        };
        let [first, spent] = reply("I begin.", Some(0.5));
        let [second, more] = reply("I go on.", None);
        let life = [
            (0, Body::Queued),
            (10, started()),
            (12, first),
            (12, spent),
            (13, progress(Progress::NeedsInput { question: json!("?") })),
            (20, progress(Progress::InputTaken)),
            (21, call(CallStatus::InProgress, &[])),
            (22, call(CallStatus::Completed, &["a", "b"])),
            // Found by the next process, much later.
            (500, Body::AttemptLost),
            (600, Body::Queued),
            (700, started()),
            (704, second),
            (704, more),
            (705, call(CallStatus::Failed, &[])),
            (706, call(CallStatus::Completed, &["b", "c"])),
            (900, Body::AttemptLost),
        ];
        let task = TaskId { session: SessionId::new("s"), number: 1 };
        let mut all = Attempts::default();
        for (seq, (at, body)) in (1..).zip(life) {
            let at = Timestamp(1_000 * at);
            all.take(&Event { task: task.clone(), seq, epoch: 1, at, body });
        }
        assert_eq!(all.worked, Duration::from_secs(3 + 2 + 6));
        assert_eq!(all.waited, Duration::from_secs(7));
        assert_eq!((all.steps, all.calls, all.tokens, all.cost), (2, 3, 22, Some(0.5)));
        assert_eq!(
            (&*all.said, all.files_written),
            ("I go on.", ["a", "b", "c"].map(str::to_owned).to_vec())
        );
    }
}
