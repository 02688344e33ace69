//! What the user is told of the store: that the session is not saved, that it is again, and that another
//! Talaria has it now. Such words are of the moment: they are not written down, and a replay has none.

use super::turns::Stop;
use super::{Effect, SessionState, tell};
use crate::fault::{Fault, Kind};
use crate::store::Trouble;

/// What is known of the store, and what of it was told.
#[derive(Debug)]
pub(super) struct Saving {
    /// To be told with the next turn.
    notice: Option<Fault>,
    trouble: Option<Trouble>,
    /// The trouble that was told, until its end is.
    told: Option<Trouble>,
    /// An end of trouble was told before. A disk that is nearly full has many: the next is told only
    /// behind a turn without trouble.
    was_mended: bool,
    /// There was no trouble since the last turn began.
    is_calm: bool,
}

impl Saving {
    pub(super) fn new(notice: Option<Fault>) -> Self {
        Self { notice, trouble: None, told: None, was_mended: false, is_calm: true }
    }

    pub(super) fn is_taken_over(&self) -> bool {
        self.trouble == Some(Trouble::TakenOver)
    }

    /// Whether nothing more of the session can be saved here.
    fn is_lost(&self) -> bool {
        self.trouble.as_ref().is_some_and(Trouble::is_for_good)
    }

    /// What the user does not know yet, when a turn begins: trouble may be over then.
    fn take_all_news(&mut self) -> Vec<String> {
        let mut news = self.take_news();
        let is_over = self.trouble.is_none() && self.told.is_some();
        if is_over && (self.is_calm || !self.was_mended) {
            news.push("This session is saved again, with all that was said.".to_owned());
            self.told = None;
            self.was_mended = true;
        } else if self.is_calm && self.told.is_none() {
            self.was_mended = false;
        }
        self.is_calm = self.trouble.is_none();
        news
    }

    /// What the user does not know yet of what is wrong.
    fn take_news(&mut self) -> Vec<String> {
        let why = self.trouble.as_ref().map(Trouble::fault);
        // The notice may be of the same trouble.
        let notice = self.notice.take().filter(|notice| Some(notice) != why.as_ref());
        let mut news: Vec<String> = notice.iter().map(Fault::sentence).collect();
        match (why, &self.told) {
            (Some(why), told) if self.is_lost() && *told != self.trouble => {
                news.push(format!("This session is no longer saved. {}", why.sentence()));
            }
            (Some(why), None) => news.push(format!(
                "This session is not being saved at the moment. {} What is said meanwhile is kept in \
                 memory, and saved as soon as that is possible.",
                why.sentence()
            )),
            // A trouble that took the place of another one is told with it.
            (Some(_), Some(_)) | (None, _) => {}
        }
        if self.trouble.is_some() {
            self.told.clone_from(&self.trouble);
        }
        news
    }
}

impl SessionState {
    pub(super) fn store_says(&mut self, trouble: Option<Trouble>, effects: &mut Vec<Effect>) {
        // What is lost stays lost; all that may still come is that another Talaria has the session.
        let is_taken_over = trouble == Some(Trouble::TakenOver);
        if self.saving.is_taken_over() || (self.saving.is_lost() && !is_taken_over) {
            return;
        }
        self.saving.is_calm &= trouble.is_none();
        self.saving.trouble = trouble;
        if is_taken_over {
            self.stop_turn(Stop::TakenOver, effects);
            self.attend(effects);
            // What waits for tasks alone has nothing to wait for any more.
            if self.held.is_some() {
                self.close_if_taken_over(effects);
            }
        } else if self.running.is_some() {
            self.tell_of_trouble(effects);
        }
    }

    /// Told with the turn that runs, or else the next.
    pub(super) fn notice(&mut self, notice: Fault, effects: &mut Vec<Effect>) {
        self.saving.notice = Some(notice);
        if self.running.is_some() {
            self.tell_of_trouble(effects);
        }
    }

    pub(super) fn tell_of_trouble(&mut self, effects: &mut Vec<Effect>) {
        for text in self.saving.take_news() {
            self.tell_apart(text, effects);
        }
    }

    /// What there is to tell when a turn begins.
    pub(super) fn tell_of_saving(&mut self, effects: &mut Vec<Effect>) {
        for text in self.saving.take_all_news() {
            self.tell_apart(text, effects);
        }
    }

    fn tell_apart(&mut self, text: String, effects: &mut Vec<Effect>) {
        // The root session has the same store, and tells it its user.
        if self.is_child() {
            return;
        }
        let text = self.flow.apart(text, self.running.is_some());
        effects.push(tell(self.ids.message(), text));
    }

    /// Ends a session that was taken over, once its user was told why; while a turn runs, its end does.
    pub(super) fn close_if_taken_over(&mut self, effects: &mut Vec<Effect>) {
        if self.running.is_some() {
            return;
        }
        self.answer_held(&Err(taken_over()), effects);
        for prompt in std::mem::take(&mut self.queue) {
            effects.push(Effect::Reply { prompt: prompt.id, answer: Err(taken_over()) });
        }
        self.close(effects);
    }
}

/// What a request is answered with when another Talaria has the session.
pub(super) fn taken_over() -> Fault {
    Fault::new(Kind::User, "another Talaria has taken this session over")
        .with_hint("Load the session again to go on with it here.")
}
