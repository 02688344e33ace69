//! Turns that began by themselves, on reports of tasks. In a script the tasks report at other times, or not at
//! all: there such a turn begins on a prompt, and no report starts another one.

use super::Writer;
use super::story::{Settings, TurnStory};
use crate::permission::Mode;

impl Writer {
    pub(super) fn follow_up(&mut self, story: &TurnStory) {
        self.leave_out("that turns began by themselves: they begin on prompts".to_owned());
        self.out.push("# This turn began by itself, on reports of background tasks.".to_owned());
        let before = self.settings;
        let asks = Settings { mode: before.mode.narrower(Mode::Ask), ..before };
        if story.is_capped() {
            self.switch(asks);
        }
        self.turn(story);
        if story.is_capped() && self.settings == asks {
            self.switch(before);
        }
    }

    /// What the configuration must say of tasks.
    pub(super) fn tasks(&self) -> Vec<String> {
        if !self.has_tasks {
            return Vec::new();
        }
        ["tasks:", "  follow_up: off"].map(str::to_owned).to_vec()
    }
}
