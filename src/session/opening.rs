//! What a session is opened with, and what it has of its parent where a task is done in it.

use std::sync::Arc;

use tokio::sync::watch;

use super::child::Parent;
use super::restore::Restored;
use super::state::Input;
use crate::event::Settings;
use crate::fault::Fault;
use crate::model::catalog::Choice;
use crate::permission::Mode;
use crate::store::Journal;
use crate::tasks::Origin;
use crate::turn::{self, Environment};
use crate::viewer::Viewer;

/// What a session is opened with.
pub struct Opening {
    pub environment: Arc<Environment>,
    pub choice: Choice,
    pub settings: Settings,
    pub version: &'static str,
    pub journal: Journal,
    pub restored: Restored,
    /// The client was shown what the session goes on from; otherwise it is told title and usage.
    pub is_shown: bool,
    /// What the user should be told with the first turn.
    pub notice: Option<Fault>,
    /// What its client makes of what it is told.
    pub viewer: Viewer,
    /// What it has of its parent; present in a child alone.
    pub inherited: Option<Inherited>,
    /// What its own children need beside its environment; absent where it may have none.
    pub parent: Option<Parent>,
}

/// What a child has of its parent as long as it lives.
pub struct Inherited {
    /// The parent's; mode and rules are followed, the rest is not.
    pub settings: watch::Receiver<turn::Settings>,
    /// The parent's mode when the task was asked for: the child's is never wider.
    pub mode: Mode,
    /// What all its turns go back to.
    pub origin: Origin,
}

impl Inherited {
    pub(super) fn input(&mut self) -> Input {
        let settings = self.settings.borrow_and_update();
        Input::Inherited { mode: self.mode.narrower(settings.mode), rules: settings.rules.clone() }
    }
}

impl Opening {
    /// Takes the settings that the session had last, in place of those of the configuration. A model that
    /// cannot be asked any more is left out, and the user told. `start` does it, too; who has to say what
    /// the settings are does it before.
    pub fn take_last_settings(&mut self) {
        let Some(last) = self.restored.settings.take() else { return };
        self.settings.mode = last.mode;
        self.settings.thought = last.thought;
        if last.model == self.choice.name {
            return;
        }
        match self.choice.with_model(&last.model) {
            Ok(choice) => {
                if !self.settings.models.contains(&last.model) {
                    self.settings.models.push(last.model.clone());
                }
                self.settings.model = last.model;
                self.choice = choice;
            }
            Err(why) => {
                let goes_on = format!("this session goes on with the model `{}`", self.choice.name);
                let message = format!("{goes_on}: {}", why.message);
                self.notice.get_or_insert(Fault { message, ..why });
            }
        }
    }
}
