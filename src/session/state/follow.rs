//! Reports that come while nothing runs: which of them start a turn by themselves, when, and what the user
//! is told of it. A user's prompt always goes first, and takes all reports with it.

use super::turns::{Begin, Why};
use super::{Effect, SessionState};
use crate::config::{FollowUp, FollowUpMode};
use crate::event::{Event, FollowUpMark};
use crate::ids::PromptId;
use crate::letters;
use crate::permission::Mode;
use crate::store::Record;
use crate::tasks::engine::State;
use crate::tasks::{By, Origin, TaskName, TaskReport};
use crate::transcript::{Author, Content, End, Prompt};
use crate::viewer::Late;

/// What the model is told where no user spoke. The reports stand behind it.
const GO_ON: &str = "[Talaria] Background tasks have ended; their reports follow. The user has said nothing \
                     new. Go on with what the user asked for: say in short what came out of it, and do or \
                     delegate more only where that is still needed.";

/// Reports that may start a turn.
#[derive(Debug, Default)]
pub(super) struct FollowUps {
    wishes: Vec<Wish>,
    /// Others that come within a moment join in. Where that is not so, a clock that goes is of none of them.
    is_waiting: bool,
}

#[derive(Debug)]
struct Wish {
    task: u64,
    origin: Origin,
    policy: FollowUp,
}

impl FollowUps {
    /// None of them starts anything any more; the reports stay in the inbox.
    pub(super) fn drop_all(&mut self) {
        self.wishes.clear();
        self.is_waiting = false;
    }

    pub(super) fn is_any(&self) -> bool {
        !self.wishes.is_empty()
    }

    fn take(&mut self, which: impl Fn(&Wish) -> bool) -> Vec<Wish> {
        let mut taken: Vec<Wish> = self.wishes.extract_if(.., |wish| which(wish)).collect();
        // They are named in their order, not in that of their ends.
        taken.sort_by_key(|wish| wish.task);
        taken
    }
}

impl SessionState {
    /// A report is in the inbox: it may want a turn, once nothing runs.
    pub(super) fn wish_follow_up(&mut self, report: &TaskReport) {
        // Who cancelled a task knows of it, and what happened before the session was opened waits for its
        // user.
        if self.is_child() || !report.is_fresh || report.state == State::Cancelled {
            return;
        }
        // One that ended just before it was to be cancelled.
        if self.is_stopping_all() {
            return;
        }
        let policy = self.config.follow_up.unwrap_or(match report.by {
            By::Model => FollowUp::Auto,
            By::User => FollowUp::Notify,
        });
        if policy != FollowUp::Off {
            let (task, origin) = (report.task.number, report.origin.clone());
            self.follow_ups.wishes.push(Wish { task, origin, policy });
        }
    }

    /// Nothing runs, or something changed while nothing does: lets reports start what they may.
    pub(super) fn consider_follow_ups(&mut self, effects: &mut Vec<Effect>) {
        self.consider(false, effects);
    }

    /// Those that came within a moment are together now.
    pub(super) fn follow_up_is_due(&mut self, effects: &mut Vec<Effect>) {
        if std::mem::take(&mut self.follow_ups.is_waiting) {
            self.consider(true, effects);
        }
    }

    fn consider(&mut self, is_due: bool, effects: &mut Vec<Effect>) {
        let is_at_its_end = self.closing || self.handing_over || self.is_taken_over();
        if self.running.is_some() || is_at_its_end {
            return;
        }
        let inbox = &self.reports;
        self.follow_ups.wishes.retain(|wish| inbox.has(wish.task));
        // Nobody would see it.
        if self.held.is_none() && self.viewer.late == Late::Lost {
            self.follow_ups.drop_all();
        }
        if !self.follow_ups.is_any() || self.is_ending_tasks() {
            return;
        }
        if is_due || !self.tasks.is_any_live() {
            self.follow_up(effects);
        } else if !self.follow_ups.is_waiting {
            self.follow_ups.is_waiting = true;
            effects.push(Effect::FollowUpSoon);
        }
    }

    fn follow_up(&mut self, effects: &mut Vec<Effect>) {
        self.follow_ups.is_waiting = false;
        let told = self.follow_ups.take(|wish| wish.policy == FollowUp::Notify);
        if !told.is_empty() {
            let text = format!(
                "{}. The model reads {} with your next prompt; `/collect` shows {}.",
                have_reported(&told),
                it_or_them(&told),
                it_or_them(&told),
            );
            self.say_late(text, effects);
        }
        let most = self.config.max_follow_ups;
        let beyond = self.follow_ups.take(|wish| wish.origin.generation >= most);
        if !beyond.is_empty() {
            let text = format!(
                "{}. Talaria does not go on with {} by itself: `tasks.max_follow_ups` is {most}. Send a \
                 prompt to go on.",
                have_reported(&beyond),
                it_or_them(&beyond),
            );
            self.say_late(text, effects);
        }
        let wishes = self.follow_ups.take(|_| true);
        // What goes furthest counts: so each chain comes to its end.
        let last = wishes.iter().max_by_key(|wish| wish.origin.generation);
        let Some(generation) = last.map(|wish| wish.origin.generation + 1) else {
            return self.settle_hold(effects);
        };
        let Some(prompt) = last.map(|wish| wish.origin.prompt.clone()) else { return };
        // A prompt that is held waits for what its own steps start, too.
        let prompt = self.held.as_ref().map_or(prompt, |held| held.origin.clone());
        let origin = Origin { prompt, generation };
        let message = self.ids.message();
        let content = vec![Content::text(GO_ON)];
        let go_on = Prompt { id: PromptId::default(), message, content, from: Author::FollowUp };
        let (prompts, why, cap) = if let Some(held) = self.held.take() {
            // The user waits for it: it is one more step of the same prompt.
            effects.push(Effect::HoldEnds);
            (held.prompts, Why::Held, None)
        } else {
            let tasks = wishes.iter().map(|wish| TaskName::of(wish.task).to_string()).collect();
            let mark = FollowUpMark { generation, tasks };
            effects.push(Effect::Tell(Event::FollowUp(Some(mark.clone()))));
            let text = format!(
                "{}; Talaria goes on with {} by itself. `/stop` ends that.",
                have_reported(&wishes),
                it_or_them(&wishes),
            );
            // The model goes on behind it.
            self.flow.interrupt();
            self.say_before(text, effects);
            let cap = match self.config.follow_up_mode {
                FollowUpMode::Ask => Some(Mode::Ask),
                FollowUpMode::Same => None,
            };
            (Vec::new(), Why::FollowUp(mark), cap)
        };
        effects.push(Effect::append(Record::Prompt { prompt: go_on.clone() }));
        self.begin(Begin { prompt: go_on, prompts, origin, why, cap }, effects);
    }

    /// A line that says how a turn ended that nobody waits for.
    pub(super) fn follow_up_is_over(
        &mut self,
        mark: &FollowUpMark,
        answer: &super::Answered,
        effects: &mut Vec<Effect>,
    ) {
        let names: Vec<String> = mark.tasks.iter().map(|task| format!("`{task}`")).collect();
        let which = format!("The follow-up to {}", letters::listed(&names));
        let mut text = match answer {
            Ok(End::Cancelled) => format!("{which} was stopped."),
            Ok(_) => format!("{which} is over."),
            Err(fault) => format!("{which} could not go on: {}", fault.sentence()),
        };
        if self.tasks.is_any_live() {
            text.push_str(&format!(" In the background: {}.", self.tasks.names(None)));
        }
        // What is said next is the last of it.
        effects.push(Effect::Tell(Event::FollowUp(None)));
        self.say(text, effects);
    }

    /// Says something while no turn runs.
    fn say_late(&mut self, text: String, effects: &mut Vec<Effect>) {
        self.flow.interrupt();
        self.say(text, effects);
    }
}

/// "`t1` has reported", "`t1` and `t2` have reported".
fn have_reported(wishes: &[Wish]) -> String {
    let names: Vec<String> =
        wishes.iter().map(|wish| format!("`{}`", TaskName::of(wish.task))).collect();
    let have = if names.len() == 1 { "has" } else { "have" };
    format!("{} {have} reported", letters::listed(&names))
}

fn it_or_them(wishes: &[Wish]) -> &'static str {
    if wishes.len() == 1 { "it" } else { "them" }
}
