//! Whether a session's editor may be asked for files by who cannot wait for it for ever: it says when a prompt is
//! open, and when the editor left something unanswered. It asks for nothing itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::viewer::Late;

/// Kept where the session is opened anew: tasks that go on ask the same editor.
#[derive(Clone, Default)]
pub(in crate::acp) struct Reach(Arc<Mutex<Prompts>>);

#[derive(Default)]
struct Prompts {
    /// Prompts that are not answered.
    open: usize,
    /// All that there were.
    begun: u64,
    /// How many there were when the last request was sent that got no answer in time. Until there is one
    /// more, the editor is not asked again: else each file would cost that time.
    unanswered: Option<u64>,
}

/// A prompt that is not answered yet.
pub(in crate::acp) struct OpenPrompt(Reach);

/// The right to ask once, and when it was given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leave {
    begun: u64,
}

impl Reach {
    /// A prompt of the session begins. It is open until what this gives is dropped.
    pub(in crate::acp) fn open_prompt(&self) -> OpenPrompt {
        let mut prompts = self.prompts();
        prompts.open += 1;
        prompts.begun += 1;
        drop(prompts);
        OpenPrompt(self.clone())
    }

    /// Whether a prompt is open.
    pub(super) fn is_open(&self) -> bool {
        self.prompts().open > 0
    }

    /// Leave to ask the editor now: it answers while a prompt is open, and otherwise where it is known to.
    pub(super) fn leave(&self, late: Late) -> Option<Leave> {
        let prompts = self.prompts();
        let answers = match late {
            Late::Shown | Late::ShownTwice => true,
            Late::Lost => prompts.open > 0,
        };
        let is_deaf = prompts.unanswered == Some(prompts.begun);
        (answers && !is_deaf).then_some(Leave { begun: prompts.begun })
    }

    /// What was asked with this leave got no answer in time.
    pub(super) fn unanswered(&self, leave: Leave) {
        let mut prompts = self.prompts();
        // One that was asked for later may be over by now.
        prompts.unanswered = prompts.unanswered.max(Some(leave.begun));
    }

    fn prompts(&self) -> MutexGuard<'_, Prompts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenPrompt {
    fn drop(&mut self) {
        let mut prompts = self.0.prompts();
        prompts.open = prompts.open.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::{Late, Reach};

    #[test]
    fn without_a_prompt_only_who_answers_is_asked() {
        let reach = Reach::default();
        assert!(reach.leave(Late::Lost).is_none() && !reach.is_open());
        assert!(reach.leave(Late::Shown).is_some() && reach.leave(Late::ShownTwice).is_some());
        let (first, second) = (reach.open_prompt(), reach.open_prompt());
        drop(first);
        assert!(reach.leave(Late::Lost).is_some() && reach.is_open());
        drop(second);
        assert!(reach.leave(Late::Lost).is_none() && !reach.is_open());
    }

    #[test]
    fn who_left_something_unanswered_is_asked_again_with_the_next_prompt() {
        let reach = Reach::default();
        let first = reach.open_prompt();
        let before = reach.leave(Late::Lost).unwrap();
        reach.unanswered(before);
        assert!(reach.leave(Late::Lost).is_none() && reach.leave(Late::Shown).is_none());
        drop(first);
        assert!(reach.leave(Late::Shown).is_none());
        let _second = reach.open_prompt();
        let now = reach.leave(Late::Lost).unwrap();
        // What was asked before it says nothing of now, whenever its time is over.
        reach.unanswered(before);
        assert!(reach.leave(Late::Lost).is_some());
        reach.unanswered(now);
        reach.unanswered(before);
        assert!(reach.leave(Late::Shown).is_none());
    }
}
