//! The tasks of a session as its client knows them: which live, what their cards show, and what of that the
//! client may not have seen. What a client can show besides cards (child sessions, a board, notices) follows
//! from the same words.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::turns::Running;
use super::{Effect, SessionState, said};
use crate::event::{
    Between, CallContent, CallStatus, CallUpdate, Event, Notice, PlanEntry, PlanPriority,
    PlanStatus, Subagent, SubagentState,
};
use crate::ids::{CallId, MessageId, SessionId};
use crate::letters;
use crate::store::{Durability, Record};
use crate::tasks::engine::State;
use crate::tasks::{About, TaskCard, TaskName};
use crate::transcript::Content;
use crate::viewer::Late;

/// Bytes of text that are kept to be told again; of more the end is.
const TEXT_TO_REPEAT: usize = 16 * 1024;
/// Names in a line; the rest is counted.
const MOST_NAMES: usize = 10;
/// Tasks on the board that goes to clients with several plans; of those that are over, the first make room.
const MOST_ON_BOARD: usize = 50;
/// Characters of a goal in a line.
const GOAL_CHARS: usize = 60;
/// Characters of the reason for which a task is no more.
const REASON_CHARS: usize = 300;

/// The tasks of a session, as far as they are of interest to its client.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    live: BTreeMap<u64, Live>,
    /// Cards that were open when the session was opened anew.
    known: BTreeSet<CallId>,
    /// Cards that came to their end, whole, and that the client may not have seen.
    unshown: BTreeMap<(u64, CallId), Unshown>,
    /// How calls ended that tasks asked for, as far as the client may not have seen it.
    unshown_calls: BTreeMap<CallId, CallUpdate>,
    /// What was said while a client looked on that may lose it.
    text: Vec<(MessageId, String)>,
    /// All since none lived, for a client that shows a plan of them; of too many, the last.
    board: BTreeMap<u64, PlanEntry>,
    /// The client may not have seen how the board is now.
    is_board_unshown: bool,
}

#[derive(Debug)]
struct Live {
    about: Arc<About>,
    state: State,
    /// Whole.
    card: CallUpdate,
}

#[derive(Debug, Clone)]
struct Unshown {
    card: CallUpdate,
    /// The task is over for good, so that showing it is written down.
    is_final: bool,
}

impl Tasks {
    /// `unshown` are final cards, whole, that a journal has and no client was shown.
    ///
    /// `known` are cards that the client was told of before.
    pub(super) fn new(
        unshown: impl IntoIterator<Item = (u64, CallUpdate)>,
        known: BTreeSet<CallId>,
    ) -> Self {
        let unshown = unshown
            .into_iter()
            .map(|(task, card)| ((task, card.id.clone()), Unshown { card, is_final: true }));
        Self { unshown: unshown.collect(), known, ..Self::default() }
    }

    pub(super) fn is_any_live(&self) -> bool {
        !self.live.is_empty()
    }

    /// Whether one lives that goes back to this prompt.
    pub(super) fn lives_of(&self, prompt: &MessageId) -> bool {
        self.live.values().any(|live| live.about.origin.prompt == *prompt)
    }

    /// Those that live, as a line names them: "`t1` · look, `t2` · write"; `of` a prompt, or all.
    pub(super) fn names(&self, of: Option<&MessageId>) -> String {
        let wanted: Vec<(&u64, &Live)> = self
            .live
            .iter()
            .filter(|(_, live)| of.is_none_or(|prompt| live.about.origin.prompt == *prompt))
            .collect();
        let mut names: Vec<String> = wanted
            .iter()
            .take(MOST_NAMES)
            .map(|(task, live)| {
                let goal = letters::cut(&letters::one_line(&live.about.goal), GOAL_CHARS);
                format!("`{}` ({goal})", TaskName::of(**task))
            })
            .collect();
        if wanted.len() > MOST_NAMES {
            names.push(format!("{} more", wanted.len() - MOST_NAMES));
        }
        letters::listed(&names)
    }

    /// Takes in a card; how the task stood before, if it lived.
    fn take(&mut self, said: &TaskCard) -> Option<State> {
        let TaskCard { task, about, state, card, keep: _ } = said;
        let known = self.live.remove(task);
        let before = known.as_ref().map(|live| live.state);
        let card = match known {
            // One that is resumed has a card of its own.
            Some(Live { card: mut whole, .. }) if whole.id == card.id => {
                whole.take_in(card.clone());
                whole
            }
            _ => card.clone(),
        };
        let live = Live { about: about.clone(), state: *state, card };
        self.live.insert(*task, live);
        before
    }

    /// A task lives no more; its card, whole.
    fn gone(&mut self, task: u64) -> Option<CallUpdate> {
        self.live.remove(&task).map(|live| live.card)
    }

    /// Keeps text to be told again.
    fn keep_text(&mut self, message: &MessageId, text: &str) {
        match self.text.last_mut() {
            Some((last, kept)) if last == message => kept.push_str(text),
            _ => self.text.push((message.clone(), text.to_owned())),
        }
        let mut over = self.text.iter().map(|(_, text)| text.len()).sum::<usize>();
        while over > TEXT_TO_REPEAT && self.text.len() > 1 {
            over -= self.text.remove(0).1.len();
        }
        if let Some((_, text)) = self.text.first_mut()
            && text.len() > TEXT_TO_REPEAT
        {
            let cut = text.ceil_char_boundary(text.len() - TEXT_TO_REPEAT);
            text.replace_range(..cut, "…");
        }
    }
}

impl SessionState {
    /// Whether the client waits for an answer, and so shows what it is told.
    pub(super) fn is_prompted(&self) -> bool {
        self.running.as_ref().is_some_and(Running::is_awaited)
            || !self.queue.is_empty()
            || self.held.is_some()
            || !self.commands.is_empty()
    }

    /// Whether what is said now reaches the user.
    pub(super) fn is_heard(&self) -> bool {
        self.is_prompted() || self.viewer.late != Late::Lost
    }

    /// Whether what is said now may be lost to the user later.
    fn may_fade(&self) -> bool {
        !self.is_prompted() && self.viewer.late == Late::ShownTwice
    }

    pub(super) fn card(&mut self, said: TaskCard, effects: &mut Vec<Effect>) {
        let before = self.tasks.take(&said);
        let TaskCard { task, about, state, card, keep } = said;
        self.tell_subagent((task, &about), &card, (before, state), effects);
        // A card is no call of the turn: it stays open when that ends.
        let is_heard = self.is_heard();
        if is_heard {
            effects.push(Effect::Tell(Event::Call(card.clone())));
        }
        if keep {
            // Behind the telling, so that this does not wait for it. What the card shows is the engine's already,
            // or that of a report, which was appended before; a session that is opened again hears it from there.
            effects.push(Effect::append(Record::Card { card: card.clone() }));
        }
        self.tell_board(task, state, effects);
        if !card.status.is_some_and(CallStatus::is_final) {
            return;
        }
        let whole = self.tasks.gone(task).unwrap_or(card);
        // What is shown of a task's own tasks is for the sessions above it.
        if self.is_child() {
            return;
        }
        let is_final = state.is_final();
        if is_heard && is_final {
            effects.push(Effect::OnceTold(Record::Shown { tasks: vec![task] }));
            self.notice_of_end(task, &about, state, effects);
        }
        if !is_heard || self.may_fade() {
            let id = whole.id.clone();
            self.tasks.unshown.insert((task, id), Unshown { card: whole, is_final });
        }
        self.task_is_gone(effects);
    }

    /// A call that a task asked for, and that the client knows, has come to its end.
    pub(super) fn asked_call_is_over(&mut self, call: CallUpdate, effects: &mut Vec<Effect>) {
        effects.push(Effect::append(Record::Card { card: call.clone() }));
        let is_heard = self.is_heard();
        if !is_heard || self.may_fade() {
            self.tasks.unshown_calls.insert(call.id.clone(), call.clone());
        }
        if is_heard {
            effects.push(Effect::Tell(Event::Call(call)));
        }
    }

    /// A client that shows the sessions of tasks hears of this one: first that it is there and what it was
    /// told, then each change.
    fn tell_subagent(
        &mut self,
        (task, about): (u64, &About),
        card: &CallUpdate,
        (before, now): (Option<State>, State),
        effects: &mut Vec<Effect>,
    ) {
        // One that was interrupted before the session was opened does nothing that could be followed.
        if !self.viewer.subagents
            || before == Some(now)
            || (before.is_none() && now == State::Interrupted)
        {
            return;
        }
        let child = about.child.clone();
        let state = match now {
            State::Queued => SubagentState::Waits,
            State::Running => SubagentState::Running,
            State::Waiting => SubagentState::Asks,
            State::Completed => SubagentState::Finished,
            State::Cancelled => SubagentState::Cancelled,
            State::Failed | State::Interrupted => SubagentState::Failed { message: why(card, now) },
        };
        let is_new = before.is_none();
        let goal = letters::cut(&letters::one_line(&about.goal), GOAL_CHARS);
        effects.push(Effect::Tell(Event::Subagent(Subagent {
            child: child.clone(),
            title: is_new.then(|| format!("`{}` · {goal}", TaskName::of(task))),
            description: is_new.then(|| about.goal.clone()),
            can_cancel: is_new.then_some(true),
            state: Some(state),
        })));
        // What it was told is in its transcript already where only the session is opened anew.
        if is_new && !self.tasks.known.contains(&card.id) {
            self.tell_between(child, true, about.goal.clone(), effects);
        }
    }

    /// Words between this session and that of a task, for a client that shows both.
    pub(super) fn tell_between(
        &mut self,
        child: SessionId,
        to_child: bool,
        text: String,
        effects: &mut Vec<Effect>,
    ) {
        if self.viewer.subagents {
            let message = self.ids.message();
            let between = Between { message, child, to_child, text };
            effects.push(Effect::Tell(Event::Between(between)));
        }
    }

    /// The session that does a task of this one.
    pub(super) fn child_of(&self, task: u64) -> Option<SessionId> {
        self.tasks.live.get(&task).map(|live| live.about.child.clone())
    }

    /// A client that shows several plans has one of the tasks.
    fn tell_board(&mut self, task: u64, state: State, effects: &mut Vec<Effect>) {
        if !self.viewer.plans {
            return;
        }
        let status = match state {
            State::Queued => PlanStatus::Pending,
            State::Running | State::Waiting => PlanStatus::InProgress,
            State::Completed | State::Failed | State::Cancelled | State::Interrupted => {
                PlanStatus::Completed
            }
        };
        let Some(live) = self.tasks.live.get(&task) else { return };
        let goal = letters::cut(&letters::one_line(&live.about.goal), GOAL_CHARS);
        let mut content = format!("`{}` · {goal}", TaskName::of(task));
        if matches!(state, State::Failed | State::Cancelled | State::Interrupted) {
            content.push_str(&format!(" ({state})"));
        }
        let entry = PlanEntry { content, status, priority: PlanPriority::Medium };
        let board = &mut self.tasks.board;
        if board.get(&task) == Some(&entry) {
            return;
        }
        // Another one begins where all of those before are over.
        if !board.contains_key(&task)
            && board.values().all(|entry| entry.status == PlanStatus::Completed)
        {
            board.clear();
        }
        if board.len() >= MOST_ON_BOARD
            && !board.contains_key(&task)
            && let Some((over, _)) =
                board.iter().find(|(_, entry)| entry.status == PlanStatus::Completed)
        {
            let over = *over;
            board.remove(&over);
        }
        board.insert(task, entry);
        self.tasks.is_board_unshown = !self.is_heard() || self.may_fade();
        if self.is_heard() {
            self.show_board(effects);
        }
    }

    fn show_board(&self, effects: &mut Vec<Effect>) {
        let entries = self.tasks.board.values().cloned().collect();
        effects.push(Effect::Tell(Event::Board(entries)));
    }

    fn notice_of_end(&self, task: u64, about: &About, state: State, effects: &mut Vec<Effect>) {
        if self.viewer.notices {
            let goal = letters::cut(&letters::one_line(&about.goal), GOAL_CHARS);
            effects.push(Effect::Tell(Event::Notice(Notice {
                title: format!("{} {state}", TaskName::of(task)),
                text: Some(goal),
                is_warning: state == State::Failed,
            })));
        }
    }

    /// Follows what is said of the conversation, in case that it is to be told again.
    pub(super) fn keep_for_later(&mut self, event: &Event) {
        if let Event::Said { message, role: crate::event::Role::Agent, content } = event
            && let crate::transcript::Content::Text { text } = content
            && self.may_fade()
        {
            self.tasks.keep_text(message, text);
        }
    }

    /// A prompt is there: a client that may not have seen what happened since the last one is told of it.
    pub(super) fn catch_up(&mut self, effects: &mut Vec<Effect>) {
        if self.is_prompted() {
            return;
        }
        if self.viewer.late == Late::Lost {
            for live in self.tasks.live.values() {
                effects.push(Effect::Tell(Event::Call(live.card.clone())));
            }
        }
        self.show_unshown(effects);
        let calls = std::mem::take(&mut self.tasks.unshown_calls);
        effects.extend(calls.into_values().map(|call| Effect::Tell(Event::Call(call))));
        if std::mem::take(&mut self.tasks.is_board_unshown) {
            self.show_board(effects);
        }
        for (message, text) in std::mem::take(&mut self.tasks.text) {
            // Each stood where it was said; here they stand together.
            let text = self.flow.apart(text.trim().to_owned(), true);
            effects.push(Effect::Tell(said(message, text)));
        }
    }

    /// Tells the ends of tasks that the client may not have seen. The same ids: a repeat replaces.
    pub(super) fn show_unshown(&mut self, effects: &mut Vec<Effect>) {
        let unshown = std::mem::take(&mut self.tasks.unshown);
        let mut tasks = Vec::new();
        for ((task, _), Unshown { card, is_final }) in unshown {
            effects.push(Effect::Tell(Event::Call(card)));
            if is_final {
                tasks.push(task);
            }
        }
        if !tasks.is_empty() {
            effects.push(Effect::OnceTold(Record::Shown { tasks }));
        }
    }

    /// All of them were shown with the conversation; that is written down.
    pub(super) fn was_replayed(&mut self, effects: &mut Vec<Effect>) {
        let unshown = std::mem::take(&mut self.tasks.unshown);
        if !unshown.is_empty() {
            let tasks = unshown.into_keys().map(|(task, _)| task).collect();
            effects.push(Effect::Append(Record::Shown { tasks }, Durability::Process));
        }
    }

    /// The cards of what lives once more, with its status: a client may have ended them with the turn.
    pub(super) fn revive_cards(&self, effects: &mut Vec<Effect>) {
        for live in self.tasks.live.values() {
            let CallUpdate { id, status, task, .. } = &live.card;
            effects.push(Effect::Tell(Event::Call(CallUpdate {
                status: *status,
                task: task.clone(),
                ..CallUpdate::new(id.clone())
            })));
        }
    }
}

/// Why a task is no more, as its card says it.
fn why(card: &CallUpdate, state: State) -> String {
    let shown = card.content.iter().flatten().find_map(|content| match content {
        CallContent::Content(Content::Text { text }) => Some(letters::one_line(text)),
        CallContent::Content(_) | CallContent::Diff { .. } | CallContent::Terminal(_) => None,
    });
    let text = shown.filter(|text| !text.is_empty());
    text.map_or_else(|| state.to_string(), |text| letters::cut(&text, REASON_CHARS))
}
