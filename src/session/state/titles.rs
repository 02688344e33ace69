//! How a session is called: by its first prompt, until its user names it.

use super::{Effect, SessionState, saving};
use crate::event::Event;
use crate::fault::{Fault, Kind};
use crate::letters;
use crate::store::{Record, TitleBy};
use crate::transcript::{Author, Entry};

/// Characters of a title that Talaria chooses.
const TITLE_CHARS: usize = 60;

impl SessionState {
    /// Written down when the turn begins, since a session may be listed whose first turn never ended.
    pub(super) fn choose_title(&mut self, effects: &mut Vec<Effect>) {
        // A child goes by the goal of its task.
        if self.title.is_some() || self.is_child() {
            return;
        }
        let first = self.transcript.entries.iter().find_map(|entry| match entry {
            Entry::Turn(turn) if turn.prompt.from == Author::User => Some(turn.prompt.text()),
            Entry::Turn(_) | Entry::Aside { .. } | Entry::NotDelivered(_) => None,
        });
        if let Some(title) = first.and_then(|text| title_of(&text)) {
            if let Some(running) = &mut self.running {
                running.title = Some(title.clone());
            }
            self.keep_title(title, TitleBy::Talaria, effects);
        }
    }

    /// The user's title; none of Talaria's takes its place.
    pub(super) fn set_title(&mut self, title: &str, effects: &mut Vec<Effect>) {
        if self.saving.is_taken_over() {
            effects.push(Effect::ReplyTitle(Err(saving::taken_over())));
            return self.close_if_taken_over(effects);
        }
        let title = crate::session::users_title(title);
        if title.is_empty() {
            let fault = Fault::new(Kind::User, "the title is empty")
                .with_hint("Send one with at least one letter.");
            return effects.push(Effect::ReplyTitle(Err(fault)));
        }
        self.keep_title(title.clone(), TitleBy::User, effects);
        if let Some(running) = &mut self.running {
            running.title = None;
        }
        self.unshown.retain(|event| !matches!(event, Event::Title(_)));
        effects.push(Effect::Tell(Event::Title(title.clone())));
        effects.push(Effect::ReplyTitle(Ok(title)));
    }

    fn keep_title(&mut self, title: String, by: TitleBy, effects: &mut Vec<Effect>) {
        self.title = Some((title.clone(), by));
        effects.push(Effect::append(Record::Title { title, by }));
    }
}

/// The first line that says something, short.
fn title_of(text: &str) -> Option<String> {
    let line = text.lines().map(letters::one_line).find(|line| !line.is_empty())?;
    if line.chars().count() <= TITLE_CHARS {
        return Some(line);
    }
    let cut: String = line.chars().take(TITLE_CHARS - 1).collect();
    let whole = cut.rsplit_once(' ').map_or(cut.as_str(), |(whole_words, _)| whole_words);
    Some(format!("{}…", whole.trim_end()))
}
