//! A journal as a story: what the user and the model did, turn by turn. It knows records, and nothing of
//! scripts.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use crate::event::{CallUpdate, ThoughtLevel};
use crate::ids::{CallId, MessageId};
use crate::known::Known;
use crate::permission::{Answer, Mode};
use crate::store::{Entry, Record};
use crate::transcript::{Author, Outcome, Over, Prompt, Reply};

/// A session from its first record to its last.
#[derive(Debug, Default)]
pub(super) struct Story {
    /// The folders that it worked in: the first one is that of its tools.
    pub(super) folders: Vec<PathBuf>,
    pub(super) title: Option<String>,
    pub(super) acts: Vec<Act>,
    /// Every prompt that a turn took or was to take.
    pub(super) prompts: HashMap<MessageId, Prompt>,
    /// Whether it had background tasks.
    pub(super) has_tasks: bool,
    /// Records of which this Talaria knows nothing.
    pub(super) unknown: usize,
}

/// Something that happened while no turn ran, or a whole turn.
#[derive(Debug)]
pub(super) enum Act {
    OpenedAgain,
    Settings(Settings),
    Aside(Aside),
    Turn(TurnStory),
    /// A prompt that was cancelled before a turn took it.
    NotDelivered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) mode: Mode,
    pub(super) thought: ThoughtLevel,
}

#[derive(Debug, Clone)]
pub(super) struct Aside {
    pub(super) prompt: Prompt,
    pub(super) answer: String,
}

impl Aside {
    /// Whether it changes settings, so that a record of settings beside it is its doing.
    pub(super) fn is_switching(&self) -> bool {
        let text = self.prompt.text();
        text.trim().starts_with("/mode ") || text.trim().starts_with("/model ")
    }
}

#[derive(Debug)]
pub(super) struct TurnStory {
    pub(super) prompt: Prompt,
    pub(super) steps: Vec<StepStory>,
    /// What happened while the last request was answered with nothing.
    pub(super) meanwhile: Vec<Beat>,
    /// Prompts that were cancelled together with the turn.
    pub(super) undelivered: Vec<Prompt>,
    /// Absent while it runs.
    pub(super) over: Option<Over>,
}

impl TurnStory {
    /// Whether it began by itself: Talaria let the model go on with reports.
    pub(super) fn is_follow_up(&self) -> bool {
        self.prompt.from == Author::FollowUp
    }

    /// Whether it asked as in the mode `ask`, which such a turn has where the session allows more.
    pub(super) fn is_capped(&self) -> bool {
        let mut beats = self.steps.iter().flat_map(|step| &step.beats);
        self.is_follow_up()
            && beats.any(|beat| matches!(beat, Beat::Asked { .. }))
            && !self.steps.iter().any(StepStory::edits_freely)
    }
}

#[derive(Debug)]
pub(super) struct StepStory {
    /// What happened while the reply was being written.
    pub(super) meanwhile: Vec<Beat>,
    pub(super) reply: Reply,
    pub(super) is_whole: bool,
    /// What happened behind it, up to the next one's request.
    pub(super) beats: Vec<Beat>,
}

impl StepStory {
    pub(super) fn outcome(&self, call: &CallId) -> Option<&Outcome> {
        self.beats.iter().find_map(|beat| {
            let Beat::Settled { call: settled, outcome, .. } = beat else { return None };
            (settled == call).then_some(outcome)
        })
    }

    /// What a call showed before it was asked for or began.
    pub(super) fn described(&self, call: &CallId) -> Option<&CallUpdate> {
        self.beats.iter().find_map(|beat| {
            let Beat::Described(shown) = beat else { return None };
            (shown.id == *call).then_some(shown)
        })
    }

    pub(super) fn answer(&self, call: &CallId) -> Option<Answer> {
        self.beats.iter().find_map(|beat| {
            let Beat::Asked { call: asked, answer } = beat else { return None };
            (asked == call).then_some(*answer)
        })
    }

    /// Whether it changed a file without asking.
    fn edits_freely(&self) -> bool {
        self.beats.iter().any(|beat| {
            let Beat::Begun(call) = beat else { return false };
            self.edits(call) && self.answer(call).is_none()
        })
    }

    fn edits(&self, call: &CallId) -> bool {
        let is_edit = |tool: &str| matches!(tool, "write" | "edit");
        self.reply.calls.iter().any(|other| other.id == *call && is_edit(&other.tool))
    }

    /// Whether the cards of tasks stood for a call.
    pub(super) fn is_hidden(&self, call: &CallId) -> bool {
        self.beats.iter().any(|beat| match beat {
            Beat::Described(shown) | Beat::Settled { shown, .. } => {
                shown.id == *call && shown.hidden
            }
            Beat::Settings(_)
            | Beat::Aside(_)
            | Beat::Asked { .. }
            | Beat::Begun(_)
            | Beat::Saw(_) => false,
        })
    }

    pub(super) fn has_begun(&self, call: &CallId) -> bool {
        self.beats.iter().any(|beat| matches!(beat, Beat::Begun(begun) if begun == call))
    }
}

/// Something that happened in a turn.
#[derive(Debug, Clone)]
pub(super) enum Beat {
    Settings(Settings),
    Aside(Aside),
    Described(CallUpdate),
    Asked { call: CallId, answer: Answer },
    Begun(CallId),
    Saw(Vec<(PathBuf, Known)>),
    Settled { call: CallId, outcome: Outcome, shown: CallUpdate },
}

impl Beat {
    /// A setting or a slash command.
    pub(super) fn is_by_user(&self) -> bool {
        matches!(self, Self::Settings(_) | Self::Aside(_))
    }

    /// Something that shows that the calls of the step are on their way.
    pub(super) fn is_of_call(&self) -> bool {
        matches!(self, Self::Described(_) | Self::Asked { .. } | Self::Settled { .. })
    }
}

impl Story {
    pub(super) fn of(entries: &[Entry]) -> Self {
        let records: Vec<Option<Record>> = entries.iter().map(Entry::record).collect();
        let lost: HashSet<MessageId> = records
            .iter()
            .filter_map(|record| {
                let Some(Record::NotDelivered { prompt }) = record else { return None };
                Some(prompt.clone())
            })
            .collect();
        let mut reader = Reader { story: Self::default(), turn: None, lost };
        for record in records {
            match record {
                Some(record) => reader.take(record),
                None => reader.story.unknown += 1,
            }
        }
        reader.close(None);
        reader.story
    }

    /// The mode that it must have begun with: what the configuration says is recorded only once it changes.
    pub(super) fn first_mode(&self) -> Mode {
        let mut always = false;
        for act in &self.acts {
            let turn = match act {
                Act::Turn(turn) => turn,
                Act::Settings(_) => break,
                Act::OpenedAgain | Act::Aside(_) | Act::NotDelivered => continue,
            };
            for step in &turn.steps {
                for beat in step.meanwhile.iter().chain(&step.beats) {
                    match beat {
                        Beat::Settings(_) => return Mode::Ask,
                        Beat::Asked { answer, .. } => always |= *answer == Answer::AllowAlways,
                        Beat::Begun(call) if step.edits(call) && !always => {
                            if step.answer(call).is_none() {
                                return Mode::AcceptEdits;
                            }
                        }
                        Beat::Settled { outcome: Outcome::Denied { reason }, .. }
                            if reason.starts_with("plan mode is on") =>
                        {
                            return Mode::Plan;
                        }
                        Beat::Aside(_)
                        | Beat::Described(_)
                        | Beat::Begun(_)
                        | Beat::Saw(_)
                        | Beat::Settled { .. } => {}
                    }
                }
            }
        }
        Mode::Ask
    }
}

struct Reader {
    story: Story,
    turn: Option<TurnStory>,
    lost: HashSet<MessageId>,
}

impl Reader {
    fn take(&mut self, record: Record) {
        match record {
            Record::Opened(opened) => {
                if !self.story.folders.is_empty() {
                    self.act(Act::OpenedAgain);
                }
                for folder in std::iter::once(opened.cwd).chain(opened.additional) {
                    if !self.story.folders.contains(&folder) {
                        self.story.folders.push(folder);
                    }
                }
            }
            Record::Settings { mode, thought, .. } => {
                let settings = Settings { mode, thought };
                self.either(Beat::Settings(settings), Act::Settings(settings));
            }
            Record::Title { title, .. } => self.story.title = Some(title),
            Record::Prompt { prompt } => {
                // What Talaria was to ask itself is missed by nobody.
                if self.lost.contains(&prompt.message) && prompt.from == Author::User {
                    match &mut self.turn {
                        Some(turn) => turn.undelivered.push(prompt.clone()),
                        None => self.act(Act::NotDelivered),
                    }
                }
                self.story.prompts.insert(prompt.message.clone(), prompt);
            }
            Record::Turn { prompt } => {
                self.close(None);
                if let Some(prompt) = self.story.prompts.get(&prompt).cloned() {
                    self.turn = Some(TurnStory {
                        prompt,
                        steps: Vec::new(),
                        meanwhile: Vec::new(),
                        undelivered: Vec::new(),
                        over: None,
                    });
                }
            }
            Record::Aside { prompt, answer, .. } => {
                let aside = Aside { prompt, answer };
                self.either(Beat::Aside(aside.clone()), Act::Aside(aside));
            }
            Record::Reply { reply, spent } => {
                if let Some(turn) = &mut self.turn {
                    let meanwhile = std::mem::take(&mut turn.meanwhile);
                    let is_whole = spent.is_some();
                    turn.steps.push(StepStory { meanwhile, reply, is_whole, beats: Vec::new() });
                }
            }
            Record::Call { shown } => self.beat(Beat::Described(shown)),
            Record::Permission { call, answer, .. } => self.beat(Beat::Asked { call, answer }),
            Record::Begun { call } => self.beat(Beat::Begun(call)),
            Record::Saw { files } => self.beat(Beat::Saw(files)),
            Record::Outcome { call, outcome, shown, gave: _ } => {
                self.beat(Beat::Settled { call, outcome, shown });
            }
            // Said by Talaria: it says it again where it has a reason.
            Record::NotDelivered { .. }
            | Record::Told { .. }
            | Record::Plan { .. }
            | Record::Shown { .. } => {}
            // The tasks run again, or not, and nobody knows when.
            Record::Card { .. } | Record::Report { .. } => self.story.has_tasks = true,
            Record::End { over } => self.close(Some(over)),
        }
    }

    fn act(&mut self, act: Act) {
        self.story.acts.push(act);
    }

    fn either(&mut self, beat: Beat, act: Act) {
        if self.turn.is_some() { self.beat(beat) } else { self.act(act) }
    }

    fn beat(&mut self, beat: Beat) {
        let Some(turn) = &mut self.turn else { return };
        match turn.steps.last_mut() {
            // Once every call has its outcome, the next request is on its way.
            Some(step) if step.reply.calls.iter().any(|call| step.outcome(&call.id).is_none()) => {
                step.beats.push(beat);
            }
            _ => turn.meanwhile.push(beat),
        }
    }

    fn close(&mut self, over: Option<Over>) {
        if let Some(mut turn) = self.turn.take() {
            turn.over = over;
            self.story.acts.push(Act::Turn(turn));
        }
    }
}
