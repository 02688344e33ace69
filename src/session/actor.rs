//! Owns a session: takes inputs one at a time, asks the rules, does what they say. Nothing here waits
//! for the editor; what it has not taken yet stays in the outbox, and the turn slows down instead.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::handle::{Inbox, Message};
use super::outbox::Outbox;
use super::state::{Effect, Initial, Input, SessionState};
use super::{Outgoing, Outlet, PromptWaiter, Reply, Setting};
use crate::clock;
use crate::event::Settings;
use crate::fault::Fault;
use crate::ids::{IdSource, PromptId};
use crate::model::catalog::Choice;
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
}

/// Starts the actor; what it says goes to `outlet`. `stop` ends it as a close does.
pub fn start(
    opening: Opening,
    inbox: Inbox,
    outlet: impl Outlet,
    tasks: &TaskTracker,
    stop: CancellationToken,
) {
    let initial = Initial {
        settings: opening.settings,
        busy: opening.environment.config.session.busy,
        version: opening.version,
    };
    let state = SessionState::new(initial, IdSource::default());
    let choice = Arc::new(opening.choice);
    let (published, _) = watch::channel(turn_settings(&state, &choice));
    let actor = Actor {
        state,
        environment: opening.environment,
        choice,
        published,
        outbox: Outbox::default(),
        outlet,
        turn: None,
        to_turn: VecDeque::new(),
        waiters: HashMap::new(),
        set_reply: None,
        close_replies: Vec::new(),
        settle_at: None,
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
    outbox: Outbox,
    outlet: O,
    turn: Option<Running>,
    /// What the turn has not taken yet.
    to_turn: VecDeque<TurnInput>,
    waiters: HashMap<PromptId, PromptWaiter>,
    set_reply: Option<Reply<Result<Settings, Fault>>>,
    close_replies: Vec<Reply<()>>,
    settle_at: Option<tokio::time::Instant>,
    over: bool,
    tasks: TaskTracker,
}

#[expect(clippy::large_enum_variant, reason = "one exists at a time")]
enum Woke {
    Cancel(u64),
    Handled,
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
        while !(self.over && self.outbox.is_empty()) {
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
                listens = ready(&self.outlet, needs_room), if !self.outbox.is_empty() => {
                    let said = listens && self.outbox.pop().is_none_or(|item| self.outlet.say(item));
                    if said { Woke::Handled } else { Woke::ClientGone }
                }
                message = messages.recv(), if open => Woke::Message(message),
                () = clock::sleep_until(self.settle_at), if self.settle_at.is_some() => Woke::Settle,
                woke = attend(&mut self.turn, &mut self.to_turn, room) => woke,
            };
            match woke {
                Woke::Handled => {}
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
                    self.outbox = Outbox::default();
                    self.close(&mut messages);
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
                    return self.outbox.push(Outgoing::Set { reply, answer: Err(fault) });
                }
                self.set_reply = Some(reply);
                self.feed(Input::Set(setting));
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

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Tell(event) => self.outbox.push(Outgoing::Event(event)),
            Effect::Reply { prompt, answer } => {
                if let Some(PromptWaiter { reply, open }) = self.waiters.remove(&prompt) {
                    drop(open);
                    self.outbox.push(Outgoing::Answered { reply, answer });
                }
            }
            Effect::ReplySet(answer) => {
                if let Some(reply) = self.set_reply.take() {
                    self.outbox.push(Outgoing::Set { reply, answer });
                }
            }
            Effect::Ask(question) => self.outbox.push(Outgoing::Ask(question)),
            Effect::Withdraw(call) => self.outbox.push(Outgoing::Withdraw(call)),
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
            Effect::Stop => self.stop(),
        }
    }

    fn stop(&mut self) {
        self.over = true;
        self.settle_at = None;
        let mut replies = std::mem::take(&mut self.close_replies).into_iter();
        self.outbox.push(Outgoing::Closed(replies.next()));
        for reply in replies {
            reply(());
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
            Woke::Handled
        }
        said = said.recv(), if room => Woke::Turn(said),
        else => std::future::pending().await,
    }
}
