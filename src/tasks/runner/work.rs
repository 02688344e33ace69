//! The middle of a running task: what the child says goes to the engine, to the pulse and to the actor; what
//! the actor and the inbox say goes to the child. It decides nothing that `state` decides.

use std::collections::HashMap;

use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::calls::Calls;
use super::state::{Ending, Next, RunnerState};
use super::timers::{Rang, Timers};
use super::{Job, Phase, Pulse, RunnerOrder, RunnerSaid};
use crate::clock::{Timestamp, sleep_until};
use crate::event::{CallUpdate, PlanEntry};
use crate::ids::{CallId, PromptId};
use crate::letters::cut;
use crate::permission::Answer;
use crate::tasks::card::duration;
use crate::tasks::engine::{
    self, Checkpoint, Claimed, EngineError, Lease, Message, Progress, Receipt, Received, Renewed,
};
use crate::tasks::report::fitted_text;
use crate::tasks::worktree::Tree;
use crate::tasks::{Child, ChildSaid, Spawned, TaskError};
use crate::transcript::{Content, Text, Usage};

/// What the checkpoint of a task says whose child was prompted.
const BEGUN: &str = "begun";
/// Progress that is written with the next reply; more is written at once.
const UNWRITTEN: usize = 32;
/// Progress that an engine did not take and that is kept for it.
const KEPT: usize = 512;
/// Characters of a call's title, and of a line of the plan, that the engine keeps.
const TITLE: usize = 500;
/// Lines of a plan that it keeps.
const PLAN: usize = 50;

/// Why nothing more is done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Over {
    End(Ending),
    /// The process ends.
    Stop,
    /// The lease is someone else's.
    Lost,
}

pub(super) type Step = Result<(), Over>;

/// A task with its child.
pub(super) struct Worker {
    pub(super) job: Job,
    pub(super) lease: Lease,
    pub(super) child: Box<dyn Child>,
    pub(super) tree: Option<Tree>,
    pub(super) heard: mpsc::Receiver<ChildSaid>,
    pub(super) state: RunnerState,
    pub(super) unwritten: Vec<Progress>,
    pub(super) calls: Calls,
    timers: Timers,
    /// The first prompt, and what was in the inbox before it.
    first: Option<(Vec<Content>, Vec<Received>)>,
    /// Steers as they were given: the engine's are masked.
    plain: HashMap<String, String>,
    /// The next renewal, where the engine wants one.
    renewal: Option<Instant>,
    /// The last that the child said is a reply: what comes next says whether that was its last one.
    has_replied: bool,
    /// A limit that others count, reached with a reply. It ends what goes on, and leaves what is done.
    failing: Option<String>,
    is_ending: bool,
}

impl Worker {
    pub(super) fn new(
        job: Job,
        claimed: Claimed,
        (spawned, tree): (Spawned, Option<Tree>),
    ) -> Self {
        let Claimed { lease, checkpoint, unread, .. } = claimed;
        let read = checkpoint.map_or(0, |checkpoint| checkpoint.read);
        let schema = job.details.output_schema.clone();
        let state = RunnerState::new(&job.delegation, schema, job.tasks.is_some(), read);
        let now = job.clock.now();
        job.pulse.send_modify(|pulse| (pulse.sign, pulse.since) = (now, now));
        Self {
            state,
            timers: Timers::new(&job.delegation, Instant::now()),
            job,
            lease,
            child: spawned.child,
            tree,
            heard: spawned.said,
            unwritten: Vec::new(),
            calls: Calls::default(),
            first: Some((spawned.prompt, unread)),
            plain: HashMap::new(),
            renewal: None,
            has_replied: false,
            failing: None,
            is_ending: false,
        }
    }

    pub(super) async fn run(mut self, held: Vec<RunnerOrder>) {
        let over = match self.work(held).await {
            Err(over) => over,
            // It works until something ends it.
            Ok(()) => Over::Stop,
        };
        self.end(over).await;
    }

    async fn work(&mut self, held: Vec<RunnerOrder>) -> Step {
        self.begin().await?;
        for order in held {
            self.order(order).await?;
        }
        loop {
            let deadline = [self.timers.deadline(), self.renewal].into_iter().flatten().min();
            tokio::select! {
                order = self.job.orders.recv() => {
                    self.order(order.unwrap_or(RunnerOrder::Stop)).await?;
                }
                said = self.heard.recv() => {
                    let Some(said) = said else {
                        let why = "the subagent's session ended before the task was done".to_owned();
                        return Err(Over::End(Ending::Failed(why)));
                    };
                    self.hear(said).await?;
                }
                () = sleep_until(deadline) => self.ring().await?,
            }
        }
    }

    /// Prompts the child for the first time. Whoever takes the task next goes on from here.
    async fn begin(&mut self) -> Step {
        let Some((prompt, unread)) = self.first.take() else { return Ok(()) };
        let prompt = self.child.prompt(prompt);
        self.state.prompted(prompt, None);
        // At once, so that its first request may have them.
        self.take(unread);
        self.checkpoint().await?;
        self.renew().await
    }

    async fn order(&mut self, order: RunnerOrder) -> Step {
        match order {
            RunnerOrder::Steer { text, reply } => return self.steer(text, reply).await,
            // It is not an answer; the question stays.
            RunnerOrder::Answer { answer: Answer::Unanswered, .. } => {}
            RunnerOrder::Answer { call, answer } => {
                if self.calls.settle(&call) {
                    self.child.answer(call, answer).await;
                    self.settled().await?;
                }
            }
            RunnerOrder::GoOn => {
                let next = self.state.go_on();
                return self.next(next).await;
            }
            RunnerOrder::Finish => {
                let next = self.state.finish(&self.job.pulse.borrow());
                return self.next(next).await;
            }
            RunnerOrder::Cancel { reason } => return Err(Over::End(Ending::Cancelled(reason))),
            RunnerOrder::Fail { message } if self.has_replied => self.failing = Some(message),
            RunnerOrder::Fail { message } => return Err(Over::End(Ending::Failed(message))),
            RunnerOrder::Stop => return Err(Over::Stop),
        }
        Ok(())
    }

    /// Keeps a message in the inbox, and takes it from there: others may have put some before it.
    async fn steer(
        &mut self,
        text: String,
        reply: oneshot::Sender<Result<Receipt, TaskError>>,
    ) -> Step {
        let id = uuid::Uuid::now_v7().simple().to_string();
        let masked = self.job.mask.hide(&text).into_owned();
        if masked != text {
            self.plain.insert(id.clone(), text);
        }
        let content = engine::Content::Steer { text: masked };
        let message = Message { id: id.clone(), content };
        let sent = self.job.engine.send(self.job.task.clone(), message).await;
        let is_kept = sent.is_ok();
        if !is_kept {
            self.plain.remove(&id);
        }
        if let Ok(Receipt::Queued { .. }) = sent {
            // Before anybody can ask for it; what is taken from the inbox is counted anew.
            self.job.pulse.send_modify(|pulse| pulse.unread += 1);
        }
        // Who asked may be gone.
        reply.send(sent.map_err(TaskError::from)).ok();
        if is_kept { self.renew().await } else { Ok(()) }
    }

    /// Takes something that the child said.
    pub(super) async fn hear(&mut self, said: ChildSaid) -> Step {
        let now = self.job.clock.now();
        self.has_replied = matches!(said, ChildSaid::Replied { .. });
        if !matches!(said, ChildSaid::Answered { .. }) {
            self.fails()?;
        }
        match said {
            ChildSaid::Text(text) => {
                self.goes_on()?;
                self.job.pulse.send_modify(|pulse| pulse.tail.text(&text));
            }
            ChildSaid::Thinks => self.goes_on()?,
            ChildSaid::Call(update) => self.call(update).await?,
            ChildSaid::Plan(entries) => {
                self.job.pulse.send_modify(|pulse| pulse.tail.plan(&entries));
                self.plan(entries);
            }
            ChildSaid::Delivered(prompts) => {
                let is_further = self.state.delivered(&prompts);
                self.counts_unread();
                if is_further {
                    self.checkpoint().await?;
                }
            }
            ChildSaid::Replied { text, usage, cost } => {
                self.lives();
                return self.replied(&text, usage, cost).await;
            }
            // It is withdrawn at once.
            ChildSaid::Ask(_) if self.is_ending => {}
            ChildSaid::Ask(question) => {
                self.calls.ask(&question);
                let title = question.call.title.clone().unwrap_or_default();
                self.needs_input(&question.call.id, &title);
                self.say(RunnerSaid::Asks(question)).await;
                self.write().await?;
            }
            ChildSaid::Withdraw(call) => {
                if self.calls.settle(&call) {
                    self.say(RunnerSaid::Withdrawn(call)).await;
                    self.settled().await?;
                }
            }
            ChildSaid::Answered { prompt, answer } => {
                self.lives();
                let next = self.state.answered(prompt, answer, &self.job.pulse.borrow());
                self.next(next).await?;
                return self.fails();
            }
        }
        self.lives_at(now);
        Ok(())
    }

    /// It goes on, though a limit that others count is reached.
    fn fails(&mut self) -> Step {
        match self.failing.take() {
            Some(message) if !self.is_ending => Err(Over::End(Ending::Failed(message))),
            _ => Ok(()),
        }
    }

    async fn call(&mut self, update: CallUpdate) -> Step {
        // A card of a task of its own is no call: it runs as long as that one. The user names it by its path.
        if let Some(mark) = &update.task {
            let mut update = update.clone();
            if let (Some(title), Some(number)) =
                (&mut update.title, mark.id.strip_prefix('t').and_then(|id| id.parse().ok()))
            {
                let name = self.job.name.below(number);
                *title = title.replacen(&format!("`{}`", mark.id), &format!("`{name}`"), 1);
            }
            self.job.pulse.send_modify(|pulse| pulse.tail.call(&update));
            return Ok(());
        }
        if !self.calls.knows(&update.id) {
            self.goes_on()?;
        }
        let ended = self.calls.update(&update);
        let was_asked = ended.as_ref().is_some_and(|ended| ended.was_asked);
        let call = update.id.clone();
        self.job.pulse.send_modify(|pulse| {
            pulse.tail.call(&update);
            if let Some(ended) = &ended {
                pulse.called(ended.written.clone());
            }
        });
        if was_asked {
            self.say(RunnerSaid::Asked(update)).await;
        }
        if let Some(ended) = ended {
            let title = cut(&self.job.mask.hide(&ended.title), TITLE);
            let status = ended.status;
            let hide = |file: &String| self.job.mask.hide(file).into_owned();
            let written = ended.written.iter().map(hide).collect();
            self.unwritten.push(Progress::Call { call, tool: ended.tool, title, status, written });
            // The last one of a step at once: who comes after a dead process finds what was done.
            if self.calls.running() == 0 || self.unwritten.len() > UNWRITTEN {
                self.write().await?;
            }
        }
        Ok(())
    }

    fn plan(&mut self, entries: Vec<PlanEntry>) {
        let mask = &self.job.mask;
        let short = |entry: PlanEntry| PlanEntry {
            content: cut(&mask.hide(&entry.content), TITLE),
            ..entry
        };
        let entries = entries.into_iter().take(PLAN).map(short).collect();
        self.unwritten.retain(|progress| !matches!(progress, Progress::Plan { .. }));
        self.unwritten.push(Progress::Plan { entries });
    }

    async fn replied(&mut self, text: &Text, usage: Usage, cost: Option<f64>) -> Step {
        self.job.pulse.send_modify(|pulse| pulse.replied(text, usage, cost));
        self.state.spent(&self.job.pulse.borrow());
        if !text.trim().is_empty() {
            let text = fitted_text(&self.job.mask.hide(text), &self.job.details.child);
            self.unwritten.push(Progress::Message { text });
        }
        self.unwritten.push(Progress::Usage { usage, cost });
        let tokens = usage.input.saturating_add(usage.output);
        self.say(RunnerSaid::Spent { tokens }).await;
        self.write().await?;
        self.renew().await
    }

    /// The child goes on with its turn, unless a limit is reached or it is being ended.
    fn goes_on(&self) -> Step {
        match self.state.goes_on() {
            Some(ending) if !self.is_ending => Err(Over::End(ending)),
            _ => Ok(()),
        }
    }

    async fn next(&mut self, next: Next) -> Step {
        match next {
            _ if self.is_ending => {}
            Next::Wait => {}
            Next::Prompt(text) => self.prompt(text, None),
            Next::Idle => {
                self.write().await?;
                self.lives();
                self.say(RunnerSaid::Idle).await;
            }
            Next::End(ending) => {
                // Something from elsewhere may have come into the inbox: a task that could still read it
                // does.
                if ending == Ending::Completed {
                    self.renew().await?;
                }
                if !self.state.is_open() {
                    return Err(Over::End(ending));
                }
            }
        }
        Ok(())
    }

    fn prompt(&mut self, text: String, position: Option<engine::Position>) {
        let prompt: PromptId = self.child.prompt(vec![Content::text(text)]);
        self.state.prompted(prompt, position);
        self.lives();
    }

    /// Hears from the engine what others want.
    async fn renew(&mut self) -> Step {
        if self.is_ending {
            return Ok(());
        }
        let every = self.job.engine.capabilities().renew;
        // Twice as often as is asked for, so that one that fails does no harm.
        self.renewal = every.map(|every| Instant::now() + every / 2);
        match self.job.engine.renew(self.lease.clone(), self.state.seen()).await {
            Ok(Renewed::Continue { unread }) => {
                self.take(unread);
                Ok(())
            }
            Ok(Renewed::Cancel { reason }) => Err(Over::End(Ending::Cancelled(reason))),
            Ok(Renewed::Lost) => Err(Over::Lost),
            Err(error) => self.not_done(&error),
        }
    }

    fn take(&mut self, unread: Vec<Received>) {
        for Received { position, message } in unread {
            if !self.state.take(position) {
                continue;
            }
            match message.content {
                engine::Content::Steer { text } => {
                    let text = self.plain.remove(&message.id).unwrap_or(text);
                    self.prompt(text, Some(position));
                }
                // Answers come through the actor, which knows the question.
                engine::Content::Answer { .. } => self.state.pass_over(position),
            }
        }
        self.counts_unread();
    }

    fn counts_unread(&self) {
        let unread = self.state.unread();
        self.job.pulse.send_if_modified(|pulse| {
            let before = std::mem::replace(&mut pulse.unread, unread);
            before != unread
        });
    }

    async fn checkpoint(&mut self) -> Step {
        let checkpoint = Checkpoint { state: BEGUN.to_owned(), read: self.state.read() };
        match self.job.engine.checkpoint(self.lease.clone(), checkpoint).await {
            Ok(_) => Ok(()),
            Err(error) => self.not_done(&error),
        }
    }

    /// Writes what has happened. What an engine that is away did not take, it is given the next time.
    pub(super) async fn write(&mut self) -> Step {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        match self.job.engine.append(self.lease.clone(), self.unwritten.clone()).await {
            Ok(_) => self.unwritten.clear(),
            Err(error) => {
                self.not_done(&error)?;
                let more = self.unwritten.len().saturating_sub(KEPT);
                self.unwritten.drain(..more);
            }
        }
        Ok(())
    }

    /// A task outlives an engine that is away; it does not outlive its lease.
    fn not_done(&self, error: &EngineError) -> Step {
        if is_lost(error) {
            return Err(Over::Lost);
        }
        tracing::warn!(task = %self.job.name, %error, "the progress of a task could not be kept");
        Ok(())
    }

    async fn settled(&mut self) -> Step {
        match self.calls.asking().cloned() {
            Some(asking) => self.needs_input(&asking.call, &asking.title),
            None => self.unwritten.push(Progress::InputTaken),
        }
        self.lives();
        self.write().await
    }

    fn needs_input(&mut self, call: &CallId, title: &str) {
        let title = cut(&self.job.mask.hide(title), TITLE);
        let question = json!({ "call": call, "title": title });
        self.unwritten.push(Progress::NeedsInput { question });
    }

    fn lives(&mut self) {
        self.lives_at(self.job.clock.now());
    }

    /// It gave a sign of life, and may stand otherwise by it.
    fn lives_at(&mut self, now: Timestamp) {
        let phase = if self.calls.asking().is_some() {
            Phase::Waiting
        } else if self.state.is_open() {
            Phase::Working
        } else {
            Phase::Idle
        };
        let running = self.calls.running();
        // That it lives alone changes no picture.
        self.job.pulse.send_if_modified(|pulse: &mut Pulse| {
            let before = (pulse.is_stalled, pulse.phase, pulse.running_calls);
            pulse.lives(now);
            pulse.turn_to(phase, now);
            pulse.running_calls = running;
            (pulse.is_stalled, pulse.phase, pulse.running_calls) != before
        });
        self.timers.lives(phase, running, Instant::now());
    }

    async fn ring(&mut self) -> Step {
        let now = Instant::now();
        match self.timers.rang(now) {
            Some(Rang::TimeOut) => {
                let worked = duration(self.job.pulse.borrow().working(self.job.clock.now()));
                let most = self.job.delegation.child_timeout_seconds;
                return Err(Over::End(Ending::Failed(format!(
                    "it worked for {worked}, the most is {most} s (`delegation.child_timeout_seconds`)"
                ))));
            }
            Some(Rang::Stalled) => {
                tracing::info!(task = %self.job.name, "a task gives no sign of life");
                self.job.pulse.send_modify(|pulse| pulse.is_stalled = true);
            }
            None => {}
        }
        if self.renewal.is_some_and(|at| at <= now) { self.renew().await } else { Ok(()) }
    }

    pub(super) async fn say(&self, said: RunnerSaid) {
        // An actor that is gone closes the orders, too.
        self.job.said.send((self.job.task.clone(), Box::new(said))).await.ok();
    }

    /// From here on what the child says decides nothing more.
    pub(super) fn is_ending(&mut self) {
        self.is_ending = true;
    }
}

/// Whether the task is not this attempt's any more.
pub(super) fn is_lost(error: &EngineError) -> bool {
    match error {
        EngineError::Lost { .. } | EngineError::Final { .. } | EngineError::Unknown(_) => true,
        EngineError::NoSession(_)
        | EngineError::Taken { .. }
        | EngineError::TooLarge { .. }
        | EngineError::Position { .. }
        | EngineError::Unavailable(_) => false,
    }
}
