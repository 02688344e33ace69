//! A client that is played: what it keeps of its sessions, what its user sees, and what it does by itself for
//! what comes. It sends nothing; `script` does what it says.

pub mod profile;

mod picture;
mod screen;

use std::collections::{BTreeSet, VecDeque};

use serde_json::Value;

use super::policy::Policy;
use super::seen::{RequestId, RpcError, Seen};
use crate::permission::Answer;
use crate::viewer::Late;
use profile::{Foreign, Profile, Rule, ShowsLate};
use screen::{DialogState, Screen};

/// What the client does by itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reaction {
    /// It answers this permission request.
    Answer { request: Value, answer: Answer },
    /// It will never answer this one.
    Ignore(Value),
    /// It answers a notification with an error.
    Complain(String),
    /// It asks for the list of sessions.
    Poll,
    /// It sends what the user typed meanwhile.
    Send(Typed),
}

/// What a user typed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Typed {
    /// The session's number in the script.
    pub(crate) number: usize,
    pub(crate) session: String,
    pub(crate) content: Value,
    /// The name of its response in the script.
    pub(crate) name: Option<String>,
}

/// One client, from when it is opened until it is closed.
#[derive(Debug)]
pub(crate) struct Client {
    profile: &'static Profile,
    sessions: Vec<(String, Screen)>,
    open: Vec<RequestId>,
    typed: VecDeque<Typed>,
}

impl Client {
    pub(crate) fn new(profile: &'static Profile) -> Self {
        Self { profile, sessions: Vec::new(), open: Vec::new(), typed: VecDeque::new() }
    }

    pub(crate) fn profile(&self) -> &'static Profile {
        self.profile
    }

    /// The client knows the session: it made it, or is about to load it.
    pub(crate) fn know(&mut self, session: &str) {
        if !session.is_empty() && self.screen(session).is_none() {
            self.sessions.push((session.to_owned(), Screen::default()));
        }
    }

    fn screen(&self, session: &str) -> Option<&Screen> {
        self.sessions.iter().find(|(id, _)| id == session).map(|(_, screen)| screen)
    }

    fn screen_mut(&mut self, session: &str) -> Option<&mut Screen> {
        self.sessions.iter_mut().find(|(id, _)| id == session).map(|(_, screen)| screen)
    }

    /// The slash commands that it was told of.
    pub(crate) fn commands(&self, session: &str) -> Option<&BTreeSet<String>> {
        self.screen(session).map(Screen::commands)
    }

    /// Whether a prompt is open in that session.
    pub(crate) fn is_busy(&self, session: &str) -> bool {
        self.screen(session).is_some_and(Screen::is_busy)
    }

    /// Whether an open prompt may wait for tasks: they live, and the client may lose what comes later.
    pub(crate) fn may_be_held(&self, session: &str) -> bool {
        self.profile.late == Late::Lost && self.screen(session).is_some_and(Screen::has_live_cards)
    }

    /// The sessions with an open prompt.
    pub(crate) fn busy(&self) -> Vec<String> {
        let busy = self.sessions.iter().filter(|(_, screen)| screen.is_busy());
        busy.map(|(id, _)| id.clone()).collect()
    }

    /// What the user sees; `number` is that of a session in the script.
    pub(crate) fn lines(&self, number: impl Fn(&str) -> usize) -> Vec<String> {
        let screens = self.sessions.iter().map(|(id, screen)| (number(id), screen));
        picture::all(screens, self.profile.shows_late == ShowsLate::AbovePrompt)
    }

    /// A load was sent: what comes until its answer is shown.
    pub(crate) fn loads(&mut self, session: &str) {
        self.know(session);
        if let Some(screen) = self.screen_mut(session) {
            screen.open_loads += 1;
        }
    }

    pub(crate) fn prompts(&mut self, request: RequestId, (session, content): (&str, &Value)) {
        self.open.push(request);
        let text = picture::prompt(content);
        if let Some(screen) = self.screen_mut(session) {
            screen.user_said(text);
            screen.open_prompts += 1;
        }
    }

    /// The user typed something that the client does not send yet.
    pub(crate) fn types(&mut self, typed: Typed) {
        let text = picture::prompt(&typed.content);
        if let Some(screen) = self.screen_mut(&typed.session) {
            screen.typed.push(text);
        }
        self.typed.push_back(typed);
    }

    /// The user goes away: what was typed is never sent.
    pub(crate) fn forget_typed(&mut self) {
        self.typed.clear();
    }

    /// The client refuses to send a command that it was not told of.
    pub(crate) fn refuses(&mut self, session: &str, content: &Value) {
        let text = picture::prompt(content);
        if let Some(screen) = self.screen_mut(session) {
            let listed: Vec<&str> = screen.commands().iter().map(String::as_str).collect();
            let note = format!("not sent: {text}; available commands: {}", listed.join(" "));
            screen.note(note);
        }
    }

    /// The user pressed Stop; false if the client sends nothing then.
    pub(crate) fn stops(&mut self, session: &str) -> bool {
        let profile = self.profile;
        let Some(screen) = self.screen_mut(session) else { return false };
        if !screen.is_busy() && !profile.has(Rule::StopsIdle) {
            return false;
        }
        screen.stopped(profile);
        true
    }

    /// The user answered a dialog.
    pub(crate) fn answered(&mut self, request: &Value, answer: Answer) {
        for (_, screen) in &mut self.sessions {
            screen.settle(request, DialogState::Answered(answer));
        }
    }

    /// Takes what came. With a policy the client answers questions by it, else somebody else does.
    pub(crate) fn see(&mut self, seen: &Seen, policy: Option<&mut Policy>) -> Vec<Reaction> {
        match seen {
            Seen::Update { session, update, .. } => self.update(session, update),
            Seen::Notified { method, params } if method == "$/cancel_request" => {
                let request = params.get("requestId").unwrap_or(&Value::Null);
                for (_, screen) in &mut self.sessions {
                    screen.settle(request, DialogState::Withdrawn);
                }
                Vec::new()
            }
            Seen::Asked { id, method, params, said } if method == "session/request_permission" => {
                self.asked((id, params), *said, policy)
            }
            Seen::Answered { request, method, session, result } => {
                self.response(request, (method, session), result)
            }
            Seen::Ended(_) => {
                self.open.clear();
                for (_, screen) in &mut self.sessions {
                    (screen.open_prompts, screen.open_loads) = (0, 0);
                    screen.note("the agent has ended");
                }
                Vec::new()
            }
            Seen::Notified { .. } | Seen::Asked { .. } | Seen::Stray(_) => Vec::new(),
        }
    }

    /// The session whose screen shows what is of `session`.
    fn shown_in(&self, session: &str) -> Option<usize> {
        let known = self.sessions.iter().position(|(id, _)| id == session);
        let merged = self.profile.foreign == Foreign::Merged && !self.sessions.is_empty();
        known.or(merged.then_some(0))
    }

    fn update(&mut self, session: &str, update: &Value) -> Vec<Reaction> {
        let profile = self.profile;
        let place = self.shown_in(session);
        let Some((_, screen)) = place.and_then(|place| self.sessions.get_mut(place)) else {
            return Vec::new();
        };
        let closed = screen.take(profile, update).into_iter();
        let mut reactions: Vec<Reaction> = closed
            .map(|request| Reaction::Answer { request, answer: Answer::Unanswered })
            .collect();
        let kind = screen::text(update, "sessionUpdate");
        if profile.complains_of(kind) {
            reactions.push(Reaction::Complain(format!("unknown update `{kind}`")));
        }
        reactions
    }

    fn asked(
        &mut self,
        (id, params): (&Value, &Value),
        said: Option<Answer>,
        policy: Option<&mut Policy>,
    ) -> Vec<Reaction> {
        let profile = self.profile;
        let place = self.shown_in(screen::text(params, "sessionId"));
        let shown = match place.and_then(|place| self.sessions.get_mut(place)) {
            Some((_, screen)) => screen.asked(profile, (id, params)),
            None => false,
        };
        if let Some(said) = said {
            self.answered(id, said);
            return Vec::new();
        }
        let Some(policy) = policy else { return Vec::new() };
        if !shown {
            return vec![Reaction::Ignore(id.clone())];
        }
        let answer = policy.next();
        answer.map(|answer| Reaction::Answer { request: id.clone(), answer }).into_iter().collect()
    }

    fn response(
        &mut self,
        request: &RequestId,
        (method, session): (&str, &str),
        result: &Result<Value, RpcError>,
    ) -> Vec<Reaction> {
        let profile = self.profile;
        match (method, result) {
            ("session/new" | "session/fork", Ok(result)) => {
                self.know(screen::text(result, "sessionId"));
            }
            ("session/load", _) => {
                if let Some(screen) = self.screen_mut(session) {
                    screen.open_loads = screen.open_loads.saturating_sub(1);
                }
            }
            _ => {}
        }
        let Some(place) = self.open.iter().position(|open| open == request) else {
            return Vec::new();
        };
        self.open.remove(place);
        let Some(screen) = self.screen_mut(session) else { return Vec::new() };
        screen.prompt_ended(profile, result);
        let is_free = !screen.is_busy();
        let mut reactions = Vec::new();
        if profile.has(Rule::PollsList) {
            reactions.push(Reaction::Poll);
        }
        let next = self.typed.iter().position(|typed| is_free && typed.session == session);
        if let Some(typed) = next.and_then(|next| self.typed.remove(next)) {
            if let Some(screen) = self.screen_mut(session).filter(|one| !one.typed.is_empty()) {
                screen.typed.remove(0);
            }
            reactions.push(Reaction::Send(typed));
        }
        reactions
    }
}

#[cfg(test)]
mod tests;
