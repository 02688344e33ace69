//! How what a task asks is answered, and what the user says to it.

use super::listeners::Listener;
use super::{Actor, Reason};
use crate::ids::{CallId, SessionId, TaskId};
use crate::permission::Answer;
use crate::tasks::engine::{Content, Message, State};
use crate::tasks::handle::Reply;
use crate::tasks::{Steered, TaskError, TaskName, TaskSaid, card};

impl Actor {
    /// An answer through another door than the dialog.
    pub(super) fn answer_question(
        &mut self,
        session: &SessionId,
        (name, meant): (&TaskName, Option<&CallId>),
        answer: Answer,
        why: Option<(String, Reply<Steered>)>,
    ) -> Result<State, TaskError> {
        let task = self.state.find(session, name)?;
        let questions = self.state.questions(&task);
        let Some(call) = questions.first().cloned() else {
            let state = self.state.state(&task);
            return Err(TaskError::AsksNothing { name: name.to_string(), state });
        };
        if answer == Answer::Unanswered {
            return Ok(State::Waiting);
        }
        let follows = if questions.len() > 1 { State::Waiting } else { State::Running };
        let shown = card::asked_id(&self.state.name(&task), &call);
        if meant.is_some_and(|meant| *meant != shown) {
            return Err(TaskError::OtherQuestion { name: name.to_string() });
        }
        if let Some((why, kept)) = why {
            let text = format!("The user refused that: {why}");
            Message::new(Content::Steer { text: self.setup.mask.hide(&text).into_owned() })
                .check()?;
            let (session, name) = (session.clone(), name.clone());
            let reasons = self.reasons.entry(shown.clone()).or_default();
            reasons.push(Reason { session, name, text, kept });
        }
        let root = self.state.root().clone();
        if self.listeners.get(&root).is_some_and(Listener::is_there) {
            // The session takes the dialog back and remembers an "always"; then it says what was answered.
            self.say(&root, TaskSaid::Answer { call: shown, answer });
        } else {
            self.question_answered(&shown, answer);
        }
        Ok(follows)
    }

    /// The user's answer to a question that the root session shows so. Where several gave one, it is the first.
    pub(super) fn question_answered(&mut self, shown: &CallId, answer: Answer) {
        let Some((task, call)) = self.asked.get(shown).cloned() else { return };
        if matches!(answer, Answer::RejectOnce | Answer::RejectAlways) {
            // Before the answer: the task makes its next request as soon as it has that.
            for Reason { session, name, text, kept } in
                self.reasons.remove(shown).into_iter().flatten()
            {
                self.steer(&session, name, &text, kept);
            }
        }
        if self.state.answer(&task, &call, answer) {
            self.forget_question(&task, &call);
        }
    }

    pub(super) fn withdraw(&mut self, task: &TaskId, call: &CallId) {
        let shown = self.forget_question(task, call);
        let root = self.state.root().clone();
        self.say(&root, TaskSaid::Withdraw(shown));
    }

    fn forget_question(&mut self, task: &TaskId, call: &CallId) -> CallId {
        if let Some(working) = self.working.get_mut(task) {
            working.questions.remove(call);
        }
        let shown = card::asked_id(&self.state.name(task), call);
        self.asked.remove(&shown);
        // It was not refused: the dialog was faster, or nothing asks so any more.
        let state = self.state.state(task);
        for Reason { name, kept, .. } in self.reasons.remove(&shown).into_iter().flatten() {
            let name = name.to_string();
            drop(kept.send(Err(TaskError::AsksNothing { name, state })));
        }
        shown
    }
}
