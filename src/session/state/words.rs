//! What goes into the rules of a session, and what comes out of them.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Busy, TasksSection};
use crate::event::{Event, Question, Settings};
use crate::fault::Fault;
use crate::ids::{CallId, MessageId, PromptId};
use crate::permission::{Answer, Mode, Rule};
use crate::session::commands::TaskCommand;
use crate::session::{Answered, Idle, Setting, Steering};
use crate::store::{Durability, Record, Trouble};
use crate::tasks::{Origin, TaskSaid};
use crate::transcript::{Content, Prompt, Text, Turn, Usage};
use crate::turn::{Go, TurnSaid};
use crate::viewer::Viewer;

#[derive(Debug)]
pub(in crate::session) enum Input {
    /// The client knows the session now.
    Opened,
    /// Time for what is said a moment after opening.
    Settle,
    Prompt {
        id: PromptId,
        content: Vec<Content>,
    },
    /// Something for the running turn, without an answer of its own; answered with `ReplySteering` at once.
    Steering {
        id: PromptId,
        content: Vec<Content>,
        idle: Idle,
    },
    /// Ends what the prompts up to `upto` led to.
    Cancel {
        upto: PromptId,
    },
    /// The client no longer wants this one prompt's answer.
    CancelPrompt(PromptId),
    Answer {
        call: CallId,
        answer: Answer,
    },
    /// The time that `AskedLate` began is over.
    NobodyAnswered(CallId),
    Set(Setting),
    /// The chosen model cannot be asked; `kept` stays.
    ModelRefused {
        kept: String,
        why: Fault,
    },
    Turn(TurnSaid),
    Task(TaskSaid),
    /// The process ends, and the tasks with it; they can go on later.
    TasksStopped,
    /// The tasks that were to be cancelled have ended, or did not in time.
    TasksCancelled,
    /// Reports that came within a moment are together.
    FollowUpDue,
    /// A prompt was held for as long as may be.
    HoldOver,
    /// A command of tasks has been carried out: the words of its answer.
    CommandDone {
        prompt: PromptId,
        text: String,
    },
    /// The user names the session.
    SetTitle(String),
    /// What keeps the session from being saved now.
    Store(Option<Trouble>),
    /// No turn runs, and an answer has not left: what is to be said of the store belongs before it.
    AnswerWaits,
    /// Something else that the user should be told of the store, once in the process.
    Notice(Fault),
    /// What the parent of a child has now: the mode, as far as the child may have it, and the rules.
    Inherited {
        mode: Mode,
        rules: Arc<[Rule]>,
    },
    /// End as soon as nothing runs or waits.
    HandOver,
    /// Do not, after all.
    Stay,
    Close,
}

#[derive(Debug)]
pub(in crate::session) enum Effect {
    /// Write this down; what comes behind it is told when that is done.
    Append(Record, Durability),
    /// Write this down when all that was said before was told.
    OnceTold(Record),
    Tell(Event),
    Reply {
        prompt: PromptId,
        answer: Answered,
    },
    /// Answers the `Set` that is handled now.
    ReplySet(Result<Settings, Fault>),
    /// Answers the `SetTitle` that is handled now: the title as it is kept.
    ReplyTitle(Result<String, Fault>),
    /// Answers the `Steering` that is handled now.
    ReplySteering(Result<Steering, Fault>),
    /// Of a child: these prompts are in the request that is sent now.
    Delivered(Vec<PromptId>),
    /// Of a child: a reply of the model is whole.
    Replied {
        text: Text,
        usage: Usage,
        cost: Option<f64>,
    },
    Ask(Question),
    Withdraw(CallId),
    /// Nobody may be there to answer this question: its time begins now, in place of that of any other, and
    /// at its end `NobodyAnswered` is said.
    AskedLate(CallId),
    /// Let a call go on when all that was appended is written and all that was said is told.
    LetGo(Go),
    /// Let a call go on now: all that comes before it is given to the journal.
    LetGoAtOnce(Go),
    /// Start a turn on this prompt; the history is the transcript without it. Its first request carries
    /// `steered`, the reports that wait.
    StartTurn {
        prompt: Prompt,
        history: Vec<Arc<Turn>>,
        steered: Vec<Prompt>,
        /// What tasks that it starts go back to, but in a child.
        origin: Origin,
        cap: Option<Mode>,
    },
    Steer(Prompt),
    /// A prompt waits for the end of the running turn, which is to wait for no task then.
    PromptWaits,
    AnswerTurn {
        call: CallId,
        answer: Answer,
    },
    AnswerTask {
        call: CallId,
        answer: Answer,
    },
    CancelTurn,
    /// From now on tasks may say something.
    AttachTasks,
    /// Carry out a command of tasks, and say `CommandDone`.
    TaskCommand {
        prompt: PromptId,
        message: MessageId,
        command: TaskCommand,
    },
    /// Nobody waits for it any more.
    EndCommand(PromptId),
    /// Settings that a running turn must know changed.
    Publish,
    /// Cancel all tasks, and say `TasksCancelled`.
    CancelTasks,
    /// Say `FollowUpDue` a moment from now.
    FollowUpSoon,
    /// Say `HoldOver` then; earlier times are forgotten.
    HoldFor(Duration),
    /// Do not say `HoldOver`.
    HoldEnds,
    /// Say `Settle` a moment from now.
    SettleSoon,
    /// Everything is over.
    Stop,
}

impl Effect {
    /// The usual way to write something down.
    pub(in crate::session) fn append(record: Record) -> Self {
        Self::Append(record, Durability::Process)
    }
}

/// What a session starts with, next to what it goes on from.
#[derive(Debug, Clone)]
pub(in crate::session) struct Initial {
    pub(in crate::session) settings: Settings,
    pub(in crate::session) busy: Busy,
    pub(in crate::session) version: &'static str,
    /// The client was shown what the session goes on from.
    pub(in crate::session) is_shown: bool,
    /// It may have background tasks.
    pub(in crate::session) has_tasks: bool,
    /// What the user should be told with the first turn.
    pub(in crate::session) notice: Option<Fault>,
    /// It does a task: no user types here, and no client looks on.
    pub(in crate::session) is_child: bool,
    /// What its client makes of what it is told; the default in a child, whose questions are its root's.
    pub(in crate::session) viewer: Viewer,
    pub(in crate::session) tasks: TasksSection,
}
