//! What a task's events add up to: the one fold, the same for every engine. No I/O, and no event is
//! refused here; which may be appended is the engine's to say.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::event::CallStatus;
use crate::tasks::engine::{Body, Checkpoint, Event, Outcome, Position, Progress, Report, Seq};
use crate::transcript::Usage;

/// What a task does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It waits for a worker.
    #[default]
    Queued,
    Running,
    /// It has asked something.
    Waiting,
    /// Its worker died. It can be resumed or claimed.
    Interrupted,
    Completed,
    Failed,
    Cancelled,
}

impl State {
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Running,
        Self::Waiting,
        Self::Interrupted,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The name, as in its JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Interrupted => "interrupted",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it stays so for ever.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// Whether a worker has it.
    pub fn is_leased(self) -> bool {
        matches!(self, Self::Running | Self::Waiting)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a task stands.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Status {
    pub state: State,
    /// How many attempts have begun.
    pub epoch: u64,
    /// The number of the last event.
    pub last: Seq,
    pub created: Timestamp,
    /// When the first attempt began.
    pub started: Option<Timestamp>,
    /// When the last event happened.
    pub updated: Timestamp,
    /// Who runs it, or ran it last.
    pub worker: Option<String>,
    /// What it waits for.
    pub question: Option<Value>,
    /// Why a client asked for its end.
    pub cancel: Option<String>,
    pub checkpoint: Option<Checkpoint>,
    /// How many messages came into the inbox.
    pub received: Position,
    /// How many of them were delivered for good.
    pub read: Position,
    /// Requests to a model.
    pub requests: u64,
    /// Calls that came to an end.
    pub calls: u64,
    /// Of all requests together.
    pub usage: Usage,
    /// In US dollars, of those requests whose price is known.
    pub cost: f64,
}

impl Status {
    /// What all events of a task add up to.
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut status = Self::default();
        for event in events {
            status.apply(event);
        }
        status
    }

    /// Takes the next event in.
    pub fn apply(&mut self, event: &Event) {
        if self.last == 0 {
            self.created = event.at;
        }
        self.last = event.seq;
        self.epoch = event.epoch;
        self.updated = event.at;
        match &event.body {
            Body::Queued => self.state = State::Queued,
            Body::Started { worker } => {
                self.state = State::Running;
                self.started.get_or_insert(event.at);
                self.worker = Some(worker.clone());
            }
            Body::Progress { progress } => self.progress(progress),
            Body::Received { position, .. } => self.received = *position,
            Body::CancelRequested { reason } => self.cancel = Some(reason.clone()),
            Body::Checkpoint { checkpoint } => {
                self.read = checkpoint.read;
                self.checkpoint = Some(checkpoint.clone());
            }
            Body::AttemptLost => {
                self.state = State::Interrupted;
                self.question = None;
            }
            Body::Ended { read, outcome } => {
                self.state = outcome.state();
                self.read = *read;
                self.question = None;
            }
            Body::Unknown => {}
        }
    }

    fn progress(&mut self, progress: &Progress) {
        match progress {
            Progress::Usage { usage, cost } => {
                self.requests += 1;
                self.usage.input = self.usage.input.saturating_add(usage.input);
                self.usage.output = self.usage.output.saturating_add(usage.output);
                self.usage.cached = self.usage.cached.saturating_add(usage.cached);
                self.cost += cost.unwrap_or_default();
            }
            Progress::Call { status, .. } => {
                self.calls +=
                    u64::from(matches!(status, CallStatus::Completed | CallStatus::Failed));
            }
            Progress::NeedsInput { question } => {
                self.state = State::Waiting;
                self.question = Some(question.clone());
            }
            Progress::InputTaken => {
                self.state = State::Running;
                self.question = None;
            }
            Progress::Message { .. } | Progress::Plan { .. } => {}
        }
    }
}

impl Outcome {
    pub fn report(&self) -> &Report {
        match self {
            Self::Completed { report }
            | Self::Failed { report, .. }
            | Self::Cancelled { report, .. } => report,
        }
    }

    #[must_use]
    pub fn with_report(self, report: Report) -> Self {
        match self {
            Self::Completed { .. } => Self::Completed { report },
            Self::Failed { message, .. } => Self::Failed { message, report },
            Self::Cancelled { reason, .. } => Self::Cancelled { reason, report },
        }
    }

    /// The final state that it is.
    pub fn state(&self) -> State {
        match self {
            Self::Completed { .. } => State::Completed,
            Self::Failed { .. } => State::Failed,
            Self::Cancelled { .. } => State::Cancelled,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{State, Status};
    use crate::clock::Timestamp;
    use crate::event::CallStatus;
    use crate::ids::{CallId, SessionId, TaskId};
    use crate::tasks::engine::{Body, Checkpoint, Event, Outcome, Progress, Report};
    use crate::transcript::Usage;

    fn fold(bodies: Vec<(u64, Body)>) -> Status {
        let task = TaskId { session: SessionId::new("s"), number: 1 };
        let events = (1..).zip(bodies).map(|(seq, (epoch, body))| {
            let at = Timestamp(1_000 + seq);
            Event { task: task.clone(), seq, epoch, at, body }
        });
        Status::of(&events.collect::<Vec<_>>())
    }

    fn started(worker: &str) -> Body {
        Body::Started { worker: worker.to_owned() }
    }

    fn progress(progress: Progress) -> Body {
        Body::Progress { progress }
    }

    #[test]
    fn the_whole_life_of_a_task() {
        let usage = |cost| {
            let usage = Usage { input: 100, output: 10, cached: 50 };
            progress(Progress::Usage { usage, cost })
        };
        let call = |status| {
            let (tool, title) = ("read".to_owned(), "a.rs".to_owned());
            progress(Progress::Call {
                call: CallId::new("c1"),
                tool,
                title,
                status,
                written: Vec::new(),
            })
        };
        let checkpoint = Checkpoint { state: "here".to_owned(), read: 1 };
        let mut life = vec![
            (0, Body::Queued),
            (0, Body::Received { id: "a".to_owned(), position: 1 }),
            (1, started("first")),
            (1, usage(Some(0.25))),
            (1, call(CallStatus::Pending)),
            (1, call(CallStatus::InProgress)),
            (1, call(CallStatus::Failed)),
            (1, Body::Checkpoint { checkpoint: checkpoint.clone() }),
            (1, progress(Progress::NeedsInput { question: json!("?") })),
        ];
        let expected = Status {
            state: State::Waiting,
            epoch: 1,
            last: 9,
            created: Timestamp(1_001),
            started: Some(Timestamp(1_003)),
            updated: Timestamp(1_009),
            worker: Some("first".to_owned()),
            question: Some(json!("?")),
            cancel: None,
            checkpoint: Some(checkpoint),
            received: 1,
            read: 1,
            requests: 1,
            calls: 1,
            usage: Usage { input: 100, output: 10, cached: 50 },
            cost: 0.25,
        };
        assert_eq!(fold(life.clone()), expected);

        life.extend([
            (1, Body::AttemptLost),
            (1, Body::Received { id: "b".to_owned(), position: 2 }),
            (2, started("second")),
            (2, usage(None)),
            (2, Body::Unknown),
            (2, Body::CancelRequested { reason: "enough".to_owned() }),
        ]);
        let expected = Status {
            state: State::Running,
            epoch: 2,
            last: 15,
            updated: Timestamp(1_015),
            worker: Some("second".to_owned()),
            question: None,
            cancel: Some("enough".to_owned()),
            received: 2,
            requests: 2,
            usage: Usage { input: 200, output: 20, cached: 100 },
            ..expected
        };
        assert_eq!(fold(life.clone()), expected);

        let report = Report { text: "done".to_owned(), details: Value::Null };
        life.push((2, Body::Ended { read: 2, outcome: Outcome::Completed { report } }));
        let expected = Status {
            state: State::Completed,
            last: 16,
            updated: Timestamp(1_016),
            read: 2,
            ..expected
        };
        assert_eq!(fold(life), expected);
    }

    #[test]
    fn a_question_is_over_with_the_attempt_that_asked() {
        let asks = || progress(Progress::NeedsInput { question: json!(1) });
        let begin = || vec![(0, Body::Queued), (1, started("x")), (1, asks())];
        let failed = Outcome::Failed { message: String::new(), report: Report::default() };
        for (next, state) in [
            (progress(Progress::InputTaken), State::Running),
            (Body::AttemptLost, State::Interrupted),
            (Body::Ended { read: 0, outcome: failed }, State::Failed),
        ] {
            let mut bodies = begin();
            bodies.push((1, next));
            let status = fold(bodies);
            assert_eq!((status.state, status.question), (state, None));
        }
    }
}
