//! Owns a session: takes inputs one at a time, asks the rules, does what they say. Nothing here waits
//! for the editor or the disk; what it has not taken yet, or what is not written yet, stays in the outbox,
//! and the turn slows down instead.

mod perform;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::perform::turn_settings;
use super::child::{Children, LiveSettings};
use super::companions::{Companions, Fate, News};
use super::handle::{Inbox, Message};
use super::opening::{Inherited, Opening};
use super::outbox::Outbox;
use super::patience::Patience;
use super::state::{Effect, Initial, Input, SessionState};
use super::written::Written;
use super::{Outgoing, Outlet, PromptWaiter, Reply, Setting, Steering};
use crate::clock;
use crate::config::Busy;
use crate::event::Settings;
use crate::fault::Fault;
use crate::ids::{CallId, IdSource, PromptId};
use crate::model::catalog::Choice;
use crate::store::Trouble;
use crate::tasks::{Attachment, Origin};
use crate::turn::{self, Environment, Running, TurnInput, TurnSaid};

/// Text that may wait for the client before the turn stops reading the model.
const UNREAD_BYTES: usize = 1024 * 1024;

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
        busy: match &opening.inherited {
            // What is said to a task is for the task, not for one that comes after it.
            Some(_) => Busy::Steer,
            None => opening.environment.config.session.busy,
        },
        version: opening.version,
        is_shown: opening.is_shown,
        has_tasks: opening.environment.tasks.is_some(),
        notice: opening.notice,
        is_child: opening.inherited.is_some(),
        viewer: opening.viewer,
        tasks: opening.environment.config.tasks.clone(),
    };
    let ids = IdSource::of_epoch(opening.journal.epoch());
    let reported = opening.restored.reported.clone();
    let open_cards = opening.restored.open_cards.clone();
    let closed_cards = std::mem::take(&mut opening.restored.closed_cards);
    let past = opening.restored.past.clone();
    let is_new = opening.restored.opened.is_none();
    let mut state = SessionState::new(initial, opening.restored, ids);
    if let Some(inherited) = &mut opening.inherited {
        // Published below, with everything else.
        drop(state.handle(inherited.input()));
    }
    let choice = Arc::new(opening.choice);
    let published = opening.parent.as_ref().map(|parent| parent.settings.clone());
    let published = published.unwrap_or_default();
    let settings = published.publish(turn_settings(&state, &choice));
    let companions = match (opening.environment.tasks.clone(), opening.parent) {
        (Some(handle), Some(parent)) => {
            let children = Children::new(parent, opening.environment.clone(), settings.clone());
            let spawn = Arc::new(children);
            Companions::new(handle, tasks.clone(), |said| Attachment {
                said,
                spawn,
                is_new,
                reported,
                past,
                open_cards,
                closed_cards,
            })
        }
        (_, _) => Companions::none(tasks.clone()),
    };
    let actor = Actor {
        state,
        environment: opening.environment,
        origin: opening.inherited.as_ref().map(|inherited| inherited.origin.clone()),
        inherited: opening.inherited,
        choice,
        published,
        settings,
        written: Written::new(opening.journal),
        outbox: Outbox::default(),
        outlet,
        turn: None,
        to_turn: VecDeque::new(),
        companions,
        waiters: HashMap::new(),
        set_reply: None,
        title_reply: None,
        steering_reply: None,
        close_replies: Vec::new(),
        settle_at: None,
        follow_up_at: None,
        hold_until: None,
        patience: Patience::default(),
        trouble: None,
        over: false,
        tasks: tasks.clone(),
    };
    tasks.spawn(actor.run(inbox, stop));
}

struct Actor<O> {
    state: SessionState,
    environment: Arc<Environment>,
    /// What all turns go back to, where that is not their own prompts.
    origin: Option<Origin>,
    /// Until the parent has ended.
    inherited: Option<Inherited>,
    choice: Arc<Choice>,
    published: LiveSettings,
    settings: watch::Receiver<turn::Settings>,
    written: Written,
    outbox: Outbox,
    outlet: O,
    turn: Option<Running>,
    /// What the turn has not taken yet.
    to_turn: VecDeque<TurnInput>,
    companions: Companions,
    waiters: HashMap<PromptId, PromptWaiter>,
    set_reply: Option<Reply<Result<Settings, Fault>>>,
    title_reply: Option<Reply<Result<String, Fault>>>,
    steering_reply: Option<Reply<Result<Steering, Fault>>>,
    close_replies: Vec<Reply<()>>,
    settle_at: Option<tokio::time::Instant>,
    follow_up_at: Option<tokio::time::Instant>,
    hold_until: Option<tokio::time::Instant>,
    patience: Patience,
    /// What keeps the session from being saved, as far as the rules know.
    trouble: Option<Trouble>,
    over: bool,
    tasks: TaskTracker,
}

enum Woke {
    Cancel(u64),
    /// What there was to do is done; look again.
    Done,
    ClientGone,
    /// The parent's settings changed, or there is no parent any more.
    Inherited(Option<Input>),
    Message(Option<Message>),
    Settle,
    FollowUp,
    HoldOver,
    NobodyAnswered(CallId),
    Turn(Option<TurnSaid>),
    Tasks(News),
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
                    self.close(Fate::Detach, &mut messages);
                }
                let is_all_said = self.outbox.is_empty() && self.written.is_all_handled();
                if is_all_said && self.companions.is_over() {
                    break;
                }
            }
            // Before, nothing could be told of the turn, and what is wrong with the store is told within it.
            let is_known = self.written.is_store_known();
            if self.turn.is_some()
                && let Some(notice) =
                    self.written.take_notice().or_else(|| self.choice.take_notice())
            {
                self.feed(Input::Notice(notice));
            }
            let may_leave =
                self.outbox.waits_for().is_some_and(|record| self.written.is_handled(record));
            let is_waiting = self.written.is_waiting();
            let needs_room = O::ALL_NEEDS_ROOM || self.outbox.begins_with_event();
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
                inherited = inherited(&mut self.inherited) => Woke::Inherited(inherited),
                message = messages.recv(), if open => Woke::Message(message),
                () = clock::sleep_until(self.settle_at), if self.settle_at.is_some() => Woke::Settle,
                () = clock::sleep_until(self.hold_until), if self.hold_until.is_some() => {
                    Woke::HoldOver
                }
                call = self.patience.over() => Woke::NobodyAnswered(call),
                // However slow the client is: what is not told yet is joined in the outbox.
                news = self.companions.news() => Woke::Tasks(news),
                () = clock::sleep_until(self.follow_up_at), if self.follow_up_at.is_some() => {
                    Woke::FollowUp
                }
                woke = attend(&mut self.turn, &mut self.to_turn, room), if is_known => woke,
            };
            match woke {
                Woke::Done | Woke::Tasks(News::Ended { stopped: false }) => {}
                Woke::Tasks(News::Ended { stopped: true }) => self.feed(Input::TasksStopped),
                Woke::Cancel(upto) => {
                    // Prompts sent before the cancel may still wait in the inbox: they are known by
                    // their number.
                    self.feed(Input::Cancel { upto: PromptId(upto) });
                }
                Woke::Inherited(Some(input)) => self.feed(input),
                Woke::Inherited(None) => self.inherited = None,
                Woke::Message(Some(Message::Close { reply })) => {
                    open = false;
                    self.close_replies.push(reply);
                    self.close(Fate::Close, &mut messages);
                }
                Woke::Message(Some(message)) => self.message(message),
                Woke::Message(None) | Woke::Stop => {
                    open = false;
                    self.close(Fate::Abandon, &mut messages);
                }
                Woke::ClientGone => {
                    open = false;
                    // The turn is told to stop before the calls that wait to begin know it.
                    let unsaid = std::mem::take(&mut self.outbox);
                    self.close(Fate::Abandon, &mut messages);
                    drop(unsaid);
                }
                Woke::Settle => {
                    self.settle_at = None;
                    self.feed(Input::Settle);
                }
                Woke::FollowUp => {
                    self.follow_up_at = None;
                    self.feed(Input::FollowUpDue);
                }
                Woke::HoldOver => {
                    self.hold_until = None;
                    self.feed(Input::HoldOver);
                }
                Woke::NobodyAnswered(call) => self.feed(Input::NobodyAnswered(call)),
                Woke::Tasks(News::Said(said)) => self.feed(Input::Task(*said)),
                Woke::Tasks(News::Cancelled) => self.feed(Input::TasksCancelled),
                Woke::Tasks(News::CommandDone { prompt, text }) => {
                    self.feed(Input::CommandDone { prompt, text });
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
            Message::Steer { id, content, idle, reply } => {
                self.steering_reply = Some(reply);
                self.feed(Input::Steering { id, content, idle });
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
    fn close(&mut self, fate: Fate, messages: &mut mpsc::Receiver<Message>) {
        self.companions.end(if self.state.is_taken_over() {
            // Who has the session now lets its tasks go on.
            Fate::Abandon
        } else if self.origin.is_some() {
            // Tasks of a task end with it, and how is not this session's to say.
            Fate::Detach
        } else {
            fate
        });
        // What is open is answered before what comes behind it.
        self.feed(Input::Close);
        messages.close();
        while let Ok(message) = messages.try_recv() {
            self.message(message);
        }
    }

    fn feed(&mut self, input: Input) {
        for effect in self.state.handle(input) {
            self.perform(effect);
        }
    }
}

/// Waits for a change of what a child inherits; nothing where there is no parent any more.
async fn inherited(inherited: &mut Option<Inherited>) -> Option<Input> {
    let Some(inherited) = inherited else { return std::future::pending().await };
    inherited.settings.changed().await.ok().map(|()| inherited.input())
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
