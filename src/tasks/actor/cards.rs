//! When cards are shown, and what of them. A card's first picture and its last are shown at once and kept;
//! what changes between is shown as often as `card::Throttle` says.

use std::sync::Arc;

use tokio::time::Instant;

use super::Actor;
use super::operations::Done;
use crate::event::{CallStatus, CallUpdate};
use crate::ids::{CallId, SessionId, TaskId};
use crate::tasks::card::{Face, Picture};
use crate::tasks::engine::State;
use crate::tasks::runner::Pulse;
use crate::tasks::{TaskCard, TaskName, TaskSaid, card};

impl Actor {
    /// How a task stands has changed.
    pub(super) fn card_changed(&mut self, task: &TaskId) {
        self.note(task);
        let Some(known) = self.known.get(task) else { return };
        let id = card::id(&TaskName::of(task.number), self.state.attempt(task));
        let is_first = known.card.as_ref().is_none_or(|card| card.id != id);
        let state = self.state.state(task);
        if is_first || state.is_final() || state == State::Interrupted {
            self.show(task);
        } else {
            self.later(task);
        }
        // A task shows what those below it ask.
        let mut below = task;
        while let Some(doer) = self.state.doer(&below.session) {
            below = doer;
        }
        if below != task {
            let mut above = task.clone();
            while let Some(doer) = self.state.doer(&above.session).cloned() {
                self.later(&doer);
                above = doer;
            }
        }
    }

    pub(super) fn later(&mut self, task: &TaskId) {
        if let Some(listener) = self.listeners.get_mut(&task.session)
            && listener.is_there()
        {
            listener.throttle.changed(task, Instant::now());
        }
    }

    /// All that wait for a slot may have another place.
    pub(super) fn places_changed(&mut self) {
        let now = Instant::now();
        for task in self.state.queued() {
            if let Some(observed) = self.observed.get_mut(&task.session) {
                observed.changed(task);
            }
            if let Some(listener) = self.listeners.get_mut(&task.session)
                && listener.is_there()
            {
                listener.throttle.moved(task, now);
            }
        }
    }

    pub(super) fn card_deadline(&self) -> Option<Instant> {
        self.listeners.values().filter_map(|listener| listener.throttle.deadline()).min()
    }

    /// Shows the cards that are due.
    pub(super) fn show_due(&mut self) {
        let now = Instant::now();
        let mut due = Vec::new();
        for listener in self.listeners.values_mut() {
            let tasks = listener.throttle.due(now);
            if listener.reads() {
                due.extend(tasks);
            } else {
                listener.overdue.extend(tasks);
            }
        }
        for task in due {
            self.show(&task);
        }
    }

    /// Shows a card as it is now, if it is not what was shown last.
    fn show(&mut self, task: &TaskId) {
        if !self.listeners.get(&task.session).is_some_and(super::Listener::is_there) {
            return;
        }
        // What changes while the picture is made is seen again.
        let pulse = self.working.get(task).map(|working| working.pulse.clone()).map(|mut pulse| {
            pulse.mark_unchanged();
            pulse
        });
        if let Some((state, card)) = self.picture(task) {
            self.put(task, state, card);
        }
        if let Some(pulse) = pulse {
            self.watch(task.clone(), pulse);
        }
    }

    /// Waits for the next sign of life of a task: one wait for each.
    fn watch(&mut self, task: TaskId, mut pulse: tokio::sync::watch::Receiver<Pulse>) {
        let Some(working) = self.working.get_mut(&task) else { return };
        if std::mem::replace(&mut working.is_watched, true) {
            return;
        }
        let run = working.run;
        self.operate(async move {
            drop(pulse.changed().await);
            Done::Pulse(task, run)
        });
    }

    /// Tells a card: whole where its id is new, else what changed in it.
    pub(super) fn put(&mut self, task: &TaskId, state: State, card: CallUpdate) {
        let Some(known) = self.known.get_mut(task) else { return };
        let is_final = is_over(&card);
        let (told, keep) = match &known.card {
            Some(before) if *before == card => return,
            Some(before) if before.id == card.id && is_over(before) => {
                // One that was interrupted may still be cancelled, or begin after all.
                if !card::is_interrupted(before) || card::is_interrupted(&card) {
                    return;
                }
                (difference(before, &card), true)
            }
            Some(before) if before.id == card.id => (difference(before, &card), is_final),
            _ => (card.clone(), true),
        };
        let about = Arc::clone(&known.about);
        self.note(task);
        let Some(known) = self.known.get_mut(task) else { return };
        known.card = if is_final { Some(stub(&card)) } else { Some(card) };
        if let Some(listener) = self.listeners.get_mut(&task.session) {
            listener.throttle.shown(task, Instant::now());
            if is_final {
                listener.throttle.forget(task);
                listener.overdue.remove(task);
            }
        }
        let card = TaskCard { task: task.number, about, state, card: told, keep };
        self.say(&task.session, TaskSaid::Card(card));
    }

    /// The card as it is now, and the state that it shows; nothing where there is nothing to show.
    fn picture(&self, task: &TaskId) -> Option<(State, CallUpdate)> {
        let known = self.known.get(task)?;
        let name = TaskName::of(task.number);
        let face = Face { name: &name, attempt: self.state.attempt(task), goal: &known.goal };
        let state = self.state.state(task);
        let question = self.question_below(task);
        let shown =
            |picture: Picture<'_>| (picture.state(), card::card(face, picture, &self.setup.mask));
        let picture = match (state, self.working.get(task)) {
            (State::Completed | State::Failed | State::Cancelled, _) => {
                // One whose end is not at hand is read and shown by `Done::Read`.
                Picture::Ended { collected: known.collected.as_deref()? }
            }
            (State::Interrupted, _) => {
                // It may have been shown so already, or its end, if that could not be written to the engine. A card
                // of which nothing is known was lost with its process.
                let id = card::id(&name, face.attempt);
                let is_closed = self.is_closed_card(&task.session, &id);
                if is_closed && known.card.as_ref().is_none_or(|card| card.id != id) {
                    return None;
                }
                Picture::Interrupted
            }
            (State::Queued, _) => Picture::Queued { place: self.state.place(task)? },
            (State::Running | State::Waiting, None) => {
                // It has its slot, and its runner starts in this moment.
                let now = self.now();
                let pulse = Pulse { sign: now, since: now, ..Pulse::default() };
                return Some(shown(Picture::Running { pulse: &pulse }));
            }
            (State::Running | State::Waiting, Some(working)) => {
                let pulse = working.pulse.borrow();
                let picture = match &question {
                    Some((asker, title)) => Picture::Waiting { asker, title, pulse: &pulse },
                    None => Picture::Running { pulse: &pulse },
                };
                return Some(shown(picture));
            }
        };
        Some(shown(picture))
    }

    fn is_closed_card(&self, session: &SessionId, id: &CallId) -> bool {
        self.listeners.get(session).is_some_and(|listener| listener.closed_cards.contains(id))
    }

    /// The first question of a task, or of those below it: who asks, and what.
    fn question_below(&self, task: &TaskId) -> Option<(TaskName, String)> {
        let mut left = vec![task.clone()];
        while let Some(task) = left.pop() {
            if let Some(call) = self.state.questions(&task).first()
                && let Some(working) = self.working.get(&task)
                && let Some((question, _)) = working.questions.get(call)
            {
                let title = question.call.title.clone().unwrap_or_default();
                return Some((self.state.name(&task), title));
            }
            if self.working.contains_key(&task)
                && let Some(child) = self.state.child(&task)
            {
                left.extend(self.state.tasks_of(child).rev().cloned());
            }
        }
        None
    }
}

fn is_over(card: &CallUpdate) -> bool {
    card.status.is_some_and(CallStatus::is_final)
}

/// What changed; a status always.
fn difference(before: &CallUpdate, after: &CallUpdate) -> CallUpdate {
    fn changed<T: Clone + PartialEq>(before: Option<&T>, after: Option<&T>) -> Option<T> {
        if before == after { None } else { after.cloned() }
    }
    CallUpdate {
        id: after.id.clone(),
        tool: changed(before.tool.as_ref(), after.tool.as_ref()),
        title: changed(before.title.as_ref(), after.title.as_ref()),
        kind: changed(before.kind.as_ref(), after.kind.as_ref()),
        status: after.status,
        content: changed(before.content.as_ref(), after.content.as_ref()),
        locations: changed(before.locations.as_ref(), after.locations.as_ref()),
        input: changed(before.input.as_ref(), after.input.as_ref()),
        output: changed(before.output.as_ref(), after.output.as_ref()),
        task: after.task.clone(),
        hidden: after.hidden,
    }
}

/// What is kept of a card that is final: enough to know that it was shown, and as what.
fn stub(card: &CallUpdate) -> CallUpdate {
    let (status, task) = (card.status, card.task.clone());
    CallUpdate { status, task, ..CallUpdate::new(card.id.clone()) }
}
