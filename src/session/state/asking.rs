//! Who is there to be asked. What is asked of them is `questions`'.

use super::{Effect, SessionState};
use crate::ids::CallId;
use crate::session::questions::Asker;
use crate::viewer::Late;

impl SessionState {
    pub(super) fn asker(&self) -> Asker {
        if self.is_cancelling() || self.is_ending_tasks() {
            return Asker::Stopping;
        }
        if self.has_open_prompt() {
            return Asker::Present;
        }
        match self.viewer.late {
            // Nobody is asked in a session that is at its end.
            Late::Shown | Late::ShownTwice if !self.closing && !self.is_taken_over() => Asker::Late,
            Late::Shown | Late::ShownTwice | Late::Lost => Asker::Idle,
        }
    }

    /// Whether the user waits for the answer of a prompt that the model was given.
    fn has_open_prompt(&self) -> bool {
        let running = self.running.as_ref();
        self.held.is_some() || running.is_some_and(|running| !running.prompts.is_empty())
    }

    /// Who is there may have changed, behind all that was said before.
    pub(super) fn attend(&mut self, effects: &mut Vec<Effect>) {
        let asker = self.asker();
        self.questions.attend(asker, effects);
    }

    pub(super) fn nobody_answered(&mut self, call: &CallId, effects: &mut Vec<Effect>) {
        let asker = self.asker();
        self.questions.nobody_answered(call, asker, effects);
    }
}
