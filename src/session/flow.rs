//! How Talaria's own words stand apart from the model's. They are messages of their own, but some clients
//! join all text of a turn: a blank line is between them there, too.

use crate::event::{Event, Role};
use crate::transcript::Content;

const BLANK_LINE: &str = "\n\n";

/// Where the conversation is, as a client shows it.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// What would be said now stands directly behind text of the agent.
    is_behind_text: bool,
}

impl Flow {
    /// Takes what is told next.
    pub(super) fn follow(&mut self, event: &Event) {
        match event {
            Event::Said { role: Role::Agent, content: Content::Text { text }, .. } => {
                if !text.is_empty() {
                    self.is_behind_text = !text.ends_with(BLANK_LINE);
                }
            }
            Event::Said { .. } | Event::Call(_) => self.is_behind_text = false,
            // Shown elsewhere.
            Event::Plan(_)
            | Event::Usage(_)
            | Event::Title(_)
            | Event::Commands(_)
            | Event::Settings(_)
            | Event::Subagent(_)
            | Event::Between(_)
            | Event::Notice(_)
            | Event::Board(_)
            | Event::FollowUp(_) => {}
        }
    }

    /// The user said something.
    pub(super) fn interrupt(&mut self) {
        self.is_behind_text = false;
    }

    /// Words of Talaria as they are told next; whether the model may go on behind them.
    pub(super) fn apart(&mut self, text: String, goes_on: bool) -> String {
        let before = if self.is_behind_text { BLANK_LINE } else { "" };
        let behind = if goes_on { BLANK_LINE } else { "" };
        self.is_behind_text = !goes_on;
        if before.is_empty() && behind.is_empty() {
            return text;
        }
        format!("{before}{text}{behind}")
    }
}
