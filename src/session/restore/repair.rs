//! What is said of things that a process left open when it ended: to the model, and to the user. Which
//! things those are is the reader's to know.

use crate::event::{CallContent, CallStatus, CallUpdate};
use crate::ids::CallId;
use crate::transcript::{Author, Content, Outcome};

/// How it came that something was left open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// The process that ran it ended.
    Ended,
    /// It ran in another session when this one was made as a copy of that.
    Copied,
}

/// How far a call had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    Asked,
    /// It may change something, and was let go.
    Begun,
    /// It may have started tasks, whose cards stand for it.
    Delegated,
}

impl Left {
    /// The outcome of a call that has none, and what changes in what it shows.
    pub(super) fn outcome(self, call: &CallId, reached: Reached) -> (Outcome, CallUpdate) {
        let reason = match (self, reached) {
            (Self::Ended, Reached::Asked) => {
                "interrupted: Talaria ended before this began; it did not run"
            }
            (Self::Ended, Reached::Begun) => {
                "interrupted: Talaria ended while this ran; it may have taken effect, look before \
                 you do it again"
            }
            (Self::Ended, Reached::Delegated) => {
                "interrupted: Talaria ended while this ran; tasks that it started can be resumed, \
                 look at the list of tasks before you start them again"
            }
            (Self::Copied, Reached::Delegated) => {
                "interrupted: this session was copied before this had an outcome; tasks that it \
                 started go on in the other session"
            }
            (Self::Copied, Reached::Asked | Reached::Begun) => {
                "interrupted: this session was copied before this had an outcome; it may have \
                 taken effect, look before you do it again"
            }
        };
        cancelled(call, reason)
    }

    /// What the user is told: a turn on a prompt of `turn` was open, or prompts of the user were `waiting` for
    /// one.
    pub(super) fn told(self, turn: Option<Author>, waiting: bool) -> Option<String> {
        let which = match turn {
            Some(Author::FollowUp) => "The turn that began by itself",
            Some(Author::User | Author::Task(_)) | None => "The turn",
        };
        let why = match self {
            Self::Ended => "Talaria ended while it ran",
            Self::Copied => "this session was copied while it ran",
        };
        let text = match (turn, waiting) {
            (None, false) => return None,
            (Some(_), false) => format!(
                "{which} was interrupted: {why}. Send a prompt such as `go on` to continue."
            ),
            (Some(_), true) => format!(
                "{which} was interrupted: {why}. What was sent in the meantime did not reach the model; send it again \
                 if it is still wanted."
            ),
            (None, true) => "What was sent last did not reach the model; send it again if it is \
                              still wanted."
                .to_owned(),
        };
        Some(text)
    }
}

/// The outcome of a call whose own is in none of the records that could be read.
pub(super) fn unread(call: &CallId) -> (Outcome, CallUpdate) {
    let reason = "the outcome cannot be read by this version of Talaria; it may have taken effect, \
                  look before you do it again";
    cancelled(call, reason)
}

fn cancelled(call: &CallId, reason: &str) -> (Outcome, CallUpdate) {
    let outcome = Outcome::Cancelled { reason: reason.to_owned() };
    let text = outcome.text();
    let shown = CallUpdate {
        content: Some(vec![CallContent::Content(Content::text(text.clone()))]),
        output: Some(text.into()),
        ..CallUpdate::new(call.clone()).with_status(CallStatus::Failed)
    };
    (outcome, shown)
}
