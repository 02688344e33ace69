//! Owns a session: takes inputs one at a time, asks the rules, does what they say. Nothing here waits
//! for the editor or the disk; what it has not taken yet, or what is not written yet, stays in the outbox,
//! and the turn slows down instead.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::handle::{Inbox, Message};
use super::outbox::{Item, Outbox};
use super::restore::Restored;
use super::state::{Effect, Initial, Input, SessionState};
use super::written::Written;
use super::{Outgoing, Outlet, PromptWaiter, Reply, Setting};
use crate::clock;
use crate::event::Settings;
use crate::fault::Fault;
use crate::ids::{IdSource, PromptId};
use crate::model::catalog::Choice;
use crate::store::{Journal, Trouble};
use crate::turn::{self, Environment, Running, Start, TurnInput, TurnSaid};

/// Text that may wait for the client before the turn stops reading the model.
const UNREAD_BYTES: usize = 1024 * 1024;
/// Clients learn of a session by its response; what follows waits this long (zed#60199).
const SETTLE: Duration = Duration::from_millis(50);

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

/// Starts the actor; what it says goes to `outlet`. `stop` ends it as a close does.
pub fn start(
    mut opening: Opening,
    inbox: Inbox,
    outlet: impl Outlet,
    tasks: &TaskTracker,
    stop: CancellationToken,
) {
    opening.take_last_settings();
    let initial = Initial {
        settings: opening.settings,
        busy: opening.environment.config.session.busy,
        version: opening.version,
        is_shown: opening.is_shown,
        notice: opening.notice,
    };
    let ids = IdSource::of_epoch(opening.journal.epoch());
    let state = SessionState::new(initial, opening.restored, ids);
    let choice = Arc::new(opening.choice);
    let (published, _) = watch::channel(turn_settings(&state, &choice));
    let actor = Actor {
        state,
        environment: opening.environment,
        choice,
        published,
        written: Written::new(opening.journal),
        outbox: Outbox::default(),
        outlet,
        turn: None,
        to_turn: VecDeque::new(),
        waiters: HashMap::new(),
        set_reply: None,
        title_reply: None,
        close_replies: Vec::new(),
        settle_at: None,
        trouble: None,
        over: false,
        tasks: tasks.clone(),
    };
    tasks.spawn(actor.run(inbox, stop));
}

struct Actor<O> {
    state: SessionState,
    environment: Arc<Environment>,
    choice: Arc<Choice>,
    published: watch::Sender<turn::Settings>,
    written: Written,
    outbox: Outbox,
    outlet: O,
    turn: Option<Running>,
    /// What the turn has not taken yet.
    to_turn: VecDeque<TurnInput>,
    waiters: HashMap<PromptId, PromptWaiter>,
    set_reply: Option<Reply<Result<Settings, Fault>>>,
    title_reply: Option<Reply<Result<String, Fault>>>,
    close_replies: Vec<Reply<()>>,
    settle_at: Option<tokio::time::Instant>,
    /// What keeps the session from being saved, as far as the rules know.
    trouble: Option<Trouble>,
    over: bool,
    tasks: TaskTracker,
}

#[expect(clippy::large_enum_variant, reason = "one exists at a time")]
enum Woke {
    Cancel(u64),
    /// What there was to do is done; look again.
    Done,
    ClientGone,
    Message(Option<Message>),
    Settle,
    Turn(Option<TurnSaid>),
    Stop,
}

impl<O: Outlet> Actor<O> {
    async fn run(mut self, inbox: Inbox, stop: CancellationToken) {
        let Inbox { mut messages, mut cancels } = inbox;
        let mut open = true;
        let mut cancellable = true;
        loop {
            self.written.look();
            self.hear_of_trouble();
            if self.over {
                if open {
                    open = false;
                    self.close(&mut messages);
                }
                if self.outbox.is_empty() && self.written.is_all_handled() {
                    break;
                }
            }
            // Before, nothing could be told of the turn, and what is wrong with the store is told within it.
            let is_known = self.written.is_store_known();
            if self.turn.is_some()
                && let Some(notice) = self.written.take_notice()
            {
                self.feed(Input::Notice(notice));
            }
            let may_leave =
                self.outbox.waits_for().is_some_and(|record| self.written.is_handled(record));
            let is_waiting = self.written.is_waiting();
            let needs_room = self.outbox.begins_with_event();
            let room = self.outbox.bytes() < UNREAD_BYTES || self.state.is_cancelling();
            // Cancel first, then what the client takes and says, the turn last.
            let woke = tokio::select! {
                biased;
                changed = cancels.changed(), if cancellable => {
                    cancellable = changed.is_ok();
                    Woke::Cancel(*cancels.borrow_and_update())
                }
                () = stop.cancelled(), if open => Woke::Stop,
                () = self.written.changed(), if is_waiting => Woke::Done,
                listens = ready(&self.outlet, needs_room), if may_leave => {
                    if listens && self.say_next() { Woke::Done } else { Woke::ClientGone }
                }
                message = messages.recv(), if open => Woke::Message(message),
                () = clock::sleep_until(self.settle_at), if self.settle_at.is_some() => Woke::Settle,
                woke = attend(&mut self.turn, &mut self.to_turn, room), if is_known => woke,
            };
            match woke {
                Woke::Done => {}
                Woke::Cancel(upto) => {
                    // Prompts sent before the cancel may still wait in the inbox: they are known by
                    // their number.
                    self.feed(Input::Cancel { upto: PromptId(upto) });
                }
                Woke::Message(Some(Message::Close { reply })) => {
                    open = false;
                    self.close_replies.push(reply);
                    self.close(&mut messages);
                }
                Woke::Message(Some(message)) => self.message(message),
                Woke::Message(None) | Woke::Stop => {
                    open = false;
                    self.close(&mut messages);
                }
                Woke::ClientGone => {
                    open = false;
                    // The turn is told to stop before the calls that wait to begin know it.
                    let unsaid = std::mem::take(&mut self.outbox);
                    self.close(&mut messages);
                    drop(unsaid);
                }
                Woke::Settle => {
                    self.settle_at = None;
                    self.feed(Input::Settle);
                }
                Woke::Turn(said) => {
                    // Without a last word it died in a way that it could not say.
                    let said = said.unwrap_or_else(|| TurnSaid::Ended(turn::defect()));
                    if matches!(said, TurnSaid::Ended(_)) {
                        self.turn = None;
                        self.to_turn.clear();
                    }
                    self.feed(Input::Turn(said));
                }
            }
        }
        self.end();
    }

    /// The session's last word. Its journal is given back before: who hears the word may open it again.
    fn end(mut self) {
        drop(self.written);
        let mut replies = self.close_replies.into_iter();
        // Nobody listens any more when this fails.
        self.outlet.say(Outgoing::Closed(replies.next()));
        for reply in replies {
            reply(());
        }
    }

    fn hear_of_trouble(&mut self) {
        if self.trouble.as_ref() != self.written.trouble() {
            self.trouble = self.written.trouble().cloned();
            self.feed(Input::Store(self.trouble.clone()));
            self.tell_before_answer();
        }
    }

    /// The turn may have ended while its last records waited to be written; its client does not know yet.
    fn tell_before_answer(&mut self) {
        if self.turn.is_some() || !self.outbox.has_answer() {
            return;
        }
        for effect in self.state.handle(Input::AnswerWaits) {
            if let Effect::Tell(event) = effect {
                self.outbox.insert_before_answer(event);
            } else {
                self.perform(effect);
            }
        }
    }

    fn message(&mut self, message: Message) {
        match message {
            Message::Opened => self.feed(Input::Opened),
            Message::Prompt { id, content, waiter } => {
                self.waiters.insert(id, waiter);
                self.feed(Input::Prompt { id, content });
            }
            Message::CancelPrompt(id) => self.feed(Input::CancelPrompt(id)),
            Message::Answer { call, answer } => self.feed(Input::Answer { call, answer }),
            Message::Set { setting, reply } => {
                if let Setting::Model(name) = &setting
                    && self.state.settings().models.contains(name)
                    && let Err(fault) = self.choice.with_model(name)
                {
                    return self.push(Outgoing::Set { reply, answer: Err(fault) });
                }
                self.set_reply = Some(reply);
                self.feed(Input::Set(setting));
            }
            Message::SetTitle { title, reply } => {
                self.title_reply = Some(reply);
                self.feed(Input::SetTitle(title));
            }
            Message::HandOver { reply } => {
                self.close_replies.push(reply);
                self.feed(Input::HandOver);
            }
            Message::Stay { reply } => {
                self.feed(Input::Stay);
                if !self.over && !self.state.is_closing() {
                    reply(());
                }
            }
            Message::Close { reply } => self.close_replies.push(reply),
        }
    }

    /// Ends the session. What still waits in the inbox is answered before its last word.
    fn close(&mut self, messages: &mut mpsc::Receiver<Message>) {
        let effects = self.state.handle(Input::Close);
        messages.close();
        while let Ok(message) = messages.try_recv() {
            self.message(message);
        }
        for effect in effects {
            self.perform(effect);
        }
    }

    fn feed(&mut self, input: Input) {
        for effect in self.state.handle(input) {
            self.perform(effect);
        }
    }

    /// Says what comes first in the outbox; false when nobody listens.
    fn say_next(&mut self) -> bool {
        match self.outbox.pop() {
            None => {}
            Some(Item::Say(outgoing)) => return self.outlet.say(outgoing),
            // A turn that is being stopped begins nothing more.
            Some(Item::LetGo(go)) if self.state.is_cancelling() => drop(go),
            Some(Item::LetGo(go)) => go.now(),
        }
        true
    }

    /// Says something behind all that was appended.
    fn push(&mut self, outgoing: Outgoing) {
        self.outbox.push(self.written.last(), outgoing);
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Append(record, durability) => self.written.append(record, durability),
            Effect::LetGo(go) => self.outbox.let_go(self.written.last(), go),
            Effect::Tell(event) => self.push(Outgoing::Event(event)),
            Effect::Reply { prompt, answer } => {
                if let Some(PromptWaiter { reply, open }) = self.waiters.remove(&prompt) {
                    drop(open);
                    self.push(Outgoing::Answered { reply, answer });
                }
            }
            Effect::ReplySet(answer) => {
                if let Some(reply) = self.set_reply.take() {
                    self.push(Outgoing::Set { reply, answer });
                }
            }
            Effect::ReplyTitle(answer) => {
                if let Some(reply) = self.title_reply.take() {
                    self.push(Outgoing::Titled { reply, answer });
                }
            }
            Effect::Ask(question) => self.push(Outgoing::Ask(question)),
            Effect::Withdraw(call) => self.push(Outgoing::Withdraw(call)),
            Effect::StartTurn { prompt, history } => {
                let start = Start { prompt, history, ids: self.state.ids().clone() };
                self.turn = Some(turn::spawn(
                    self.environment.clone(),
                    start,
                    self.published.subscribe(),
                    Arc::new(self.state.seen().clone()),
                    &self.tasks,
                ));
            }
            Effect::Steer(prompt) => self.to_turn.push_back(TurnInput::Steer(prompt)),
            Effect::AnswerTurn { call, answer } => {
                self.to_turn.push_back(TurnInput::Answer { call, answer });
            }
            Effect::CancelTurn => {
                if let Some(turn) = &self.turn {
                    turn.cancel.cancel();
                }
            }
            Effect::Publish => {
                if self.choice.name != self.state.settings().model {
                    match self.choice.with_model(&self.state.settings().model) {
                        Ok(choice) => self.choice = Arc::new(choice),
                        Err(why) => {
                            let kept = self.choice.name.clone();
                            return self.feed(Input::ModelRefused { kept, why });
                        }
                    }
                }
                self.published.send_replace(turn_settings(&self.state, &self.choice));
            }
            Effect::SettleSoon => self.settle_at = Some(tokio::time::Instant::now() + SETTLE),
            Effect::Stop => {
                self.over = true;
                self.settle_at = None;
            }
        }
    }
}

fn turn_settings(state: &SessionState, choice: &Arc<Choice>) -> turn::Settings {
    turn::Settings {
        mode: state.settings().mode,
        rules: state.rules().into(),
        choice: choice.clone(),
        thought: state.settings().thought,
    }
}

/// Waits until the first thing that waits may be said; false when nobody listens.
async fn ready(outlet: &impl Outlet, needs_room: bool) -> bool {
    !needs_room || outlet.ready().await
}

/// Gives the turn what it has not taken yet, or takes what it says where there is `room` for that. Waits
/// for ever where neither can be.
async fn attend(turn: &mut Option<Running>, to_turn: &mut VecDeque<TurnInput>, room: bool) -> Woke {
    let Some(Running { inputs, said, .. }) = turn else {
        return std::future::pending().await;
    };
    tokio::select! {
        biased;
        permit = inputs.reserve(), if !to_turn.is_empty() => {
            match (permit, to_turn.pop_front()) {
                (Ok(permit), Some(input)) => permit.send(input),
                // It no longer listens; what it did not take comes back with its end.
                _ => to_turn.clear(),
            }
            Woke::Done
        }
        said = said.recv(), if room => Woke::Turn(said),
        else => std::future::pending().await,
    }
}
