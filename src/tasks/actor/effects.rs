//! Does what the rules say, and brings to them what runners say and operations came to.

use std::collections::HashSet;
use std::sync::Arc;

use futures::FutureExt as _;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};

use super::operations::{self, Done, Submission};
use super::{Actor, Answerer, Known, Loading, ORDERS, Working, view};
use crate::event::{CallUpdate, OfChild, Question};
use crate::ids::{CallId, TaskId};
use crate::tasks::engine::{Outcome, State, Status, Task};
use crate::tasks::runner::{self, Job, Pulse, RunnerOrder, RunnerSaid};
use crate::tasks::state::{Admitted, Command, Effect, Found};
use crate::tasks::{Details, TaskError, TaskName, TaskSaid, card};

impl Actor {
    /// Does all that the rules want. Cards are made when everything else is done, so that none shows what
    /// is over already; but before anybody hears of what they show, except for reports.
    pub(super) fn perform(&mut self) {
        let mut places_changed = false;
        let mut cards = Vec::new();
        while let Some(effect) = self.state.take_effect() {
            if is_news(&effect) {
                self.cards_changed(&mut cards);
            }
            match effect {
                Effect::Permit(task) => self.permit(task),
                Effect::Release(task) => drop(self.permits.remove(&task)),
                Effect::Run(task) => self.begin(&task),
                Effect::Order(task, command) => self.command(&task, command),
                Effect::End { task, reason } => {
                    let engine = Arc::clone(&self.setup.engine);
                    self.operate(async move {
                        let ended = operations::end(engine, task.clone(), reason).await;
                        Done::Ended(task, ended)
                    });
                }
                Effect::Resume(task) => {
                    let engine = Arc::clone(&self.setup.engine);
                    self.operate(async move {
                        let state = engine.resume(task.clone()).await;
                        Done::Resumed(task, state.map_err(TaskError::from))
                    });
                }
                Effect::Card(task) => cards.push(task),
                Effect::Places => places_changed = true,
                Effect::Withdraw { task, call } => self.withdraw(&task, &call),
                Effect::Report(task) => self.report(&task),
                Effect::Over(wait) => {
                    if let Some(over) = self.waits.get_mut(&wait).and_then(|wait| wait.over.take())
                    {
                        // Who waits may have gone; that is heard, too.
                        let _gone = over.send(());
                    }
                }
                Effect::Collect(wait) => self.collect(wait),
                Effect::Done(ask, error) => {
                    if let Some(answerer) = self.asks.remove(&ask) {
                        self.answer(answerer, error);
                    }
                }
                Effect::Closed => self.is_over = true,
            }
        }
        self.cards_changed(&mut cards);
        if places_changed {
            self.places_changed();
        }
    }

    /// Each once, in the order in which they changed first.
    fn cards_changed(&mut self, cards: &mut Vec<TaskId>) {
        let mut seen = HashSet::new();
        for task in cards.drain(..) {
            if !seen.contains(&task) {
                self.card_changed(&task);
                seen.insert(task);
            }
        }
    }

    fn permit(&mut self, task: TaskId) {
        // It is in the line of the process as soon as it is asked: those behind it come behind it there, too.
        let slots = Arc::clone(&self.setup.slots);
        let mut acquired = Box::pin(tokio::task::unconstrained(slots.acquire_owned()));
        match (&mut acquired).now_or_never() {
            Some(Ok(permit)) => self.permitted(task, permit),
            Some(Err(_)) => {}
            None => self.operate(async move {
                acquired.await.map_or(Done::Nothing, |permit| Done::Permit(task, permit))
            }),
        }
    }

    fn permitted(&mut self, task: TaskId, permit: tokio::sync::OwnedSemaphorePermit) {
        if self.state.permitted(&task) {
            self.permits.insert(task, permit);
        }
    }

    fn begin(&mut self, task: &TaskId) {
        let name = self.state.name(task);
        let spawn = self.listeners.get(&task.session).map(|listener| Arc::clone(&listener.spawn));
        let known = self.known.get_mut(task);
        let known = known.and_then(|known| Some((known.details.clone()?, known)));
        let (Some(spawn), Some((mut details, known))) = (spawn, known) else {
            return self.state.stopped(task);
        };
        let mut goal = known.goal.to_string();
        // A later attempt goes on from the child's journal, which has them masked.
        if let Some(given) = known.given.take() {
            (goal, details.context) = (given.goal, given.context);
        }
        let (orders, receiver) = mpsc::channel(ORDERS);
        let now = self.now();
        let pulse = Pulse { sign: now, since: now, ..Pulse::default() };
        let (sender, pulse) = watch::channel(pulse);
        let job = Job {
            task: task.clone(),
            name,
            goal,
            details,
            spawn,
            engine: Arc::clone(&self.setup.engine),
            clock: self.setup.clock.clone(),
            mask: Arc::clone(&self.setup.mask),
            delegation: self.setup.delegation.clone(),
            tasks: self.handle_of(task),
            orders: receiver,
            said: self.said.clone(),
            pulse: sender,
        };
        let run = self.runners.spawn(runner::run(job)).id();
        self.runs.insert(run, task.clone());
        let questions = std::collections::BTreeMap::new();
        let working = Working { run, orders, pulse, questions, is_watched: false };
        self.working.insert(task.clone(), working);
        if let Some(known) = self.known.get_mut(task) {
            known.trouble = None;
        }
    }

    fn command(&mut self, task: &TaskId, command: Command) {
        let order = match command {
            Command::Answer { call, answer } => RunnerOrder::Answer { call, answer },
            Command::GoOn => RunnerOrder::GoOn,
            Command::Finish => RunnerOrder::Finish,
            Command::Cancel { reason } => {
                // Should the process end before the task has, it does not come back.
                let (engine, id, why) =
                    (Arc::clone(&self.setup.engine), task.clone(), reason.clone());
                self.operate(async move {
                    if let Err(error) = engine.cancel(id, why).await {
                        tracing::warn!(%error, "that a task is cancelled could not be written");
                    }
                    Done::Nothing
                });
                RunnerOrder::Cancel { reason }
            }
            Command::Fail { message } => RunnerOrder::Fail { message },
            Command::Stop => RunnerOrder::Stop,
        };
        self.order(task, order);
    }

    /// An order for which the runner has no room now waits for some, before those behind it.
    pub(super) fn order(&mut self, task: &TaskId, order: RunnerOrder) {
        let Some(working) = self.working.get(task) else { return };
        if let Err(TrySendError::Full(order)) = working.orders.try_send(order) {
            // In the channel's line at once, which a later order does not pass.
            let orders = working.orders.clone();
            let sent = async move { orders.send(order).await };
            let mut sent = Box::pin(tokio::task::unconstrained(sent));
            if (&mut sent).now_or_never().is_none() {
                self.operate(async move {
                    drop(sent.await);
                    Done::Nothing
                });
            }
        }
    }

    pub(super) fn heard(&mut self, task: &TaskId, said: RunnerSaid) {
        match said {
            RunnerSaid::Began { attempt } => self.state.began(task, attempt),
            RunnerSaid::NotBegan(why) => {
                tracing::warn!(task = %self.state.name(task), error = %why, "a task did not begin");
                self.stopped(task, Some(why.to_string()));
            }
            RunnerSaid::Asks(question) => self.asks(task, question),
            RunnerSaid::Withdrawn(call) => {
                self.state.withdrawn(task, &call);
                if let Some(working) = self.working.get_mut(task) {
                    working.questions.remove(&call);
                }
            }
            RunnerSaid::Asked(update) => {
                let update = self.as_shown(task, update);
                let root = self.state.root().clone();
                self.say(&root, TaskSaid::Asked(update));
            }
            RunnerSaid::Spent { tokens } => self.state.spent(task, tokens),
            RunnerSaid::Idle => {
                let steps =
                    self.working.get(task).map_or(0, |working| working.pulse.borrow().steps);
                self.state.idle(task, steps);
            }
            RunnerSaid::Ended { state: _, outcome } => self.ended(task, &outcome),
            RunnerSaid::Stopped => self.stopped(task, None),
            RunnerSaid::Lost => {
                let why = "it is run elsewhere, or has ended there".to_owned();
                self.stopped(task, Some(why));
            }
        }
    }

    pub(super) fn done(&mut self, done: Done) {
        match done {
            Done::Nothing => {}
            Done::Discarded(reply, discarded) => {
                self.discarding = self.discarding.saturating_sub(1);
                drop(reply.send(discarded));
            }
            Done::Submitted(submission) => self.submitted(*submission),
            Done::Permit(task, permit) => self.permitted(task, permit),
            Done::Room(session, room) => self.room(&session, room),
            Done::WaitEnds(wait, Some(reply)) => {
                if let Some(open) = self.waits.get_mut(&wait) {
                    open.reply = Some(reply);
                    self.state.collect(wait);
                }
            }
            Done::WaitEnds(wait, None) => {
                self.waits.remove(&wait);
                self.state.drop_wait(wait);
            }
            Done::Collected(collection) => self.collected(*collection),
            Done::Ended(task, Ok(outcome)) => self.ended(&task, &outcome),
            Done::Ended(task, Err(why)) => {
                tracing::warn!(%task, error = %why, "the end of a task could not be written");
                self.state.not_ended(&task, &why);
            }
            Done::Resumed(task, state) => self.state.resumed(&task, state),
            Done::Loaded(loaded) => self.loaded(loaded),
            Done::Read(task, outcome) => self.read(&task, &outcome),
            Done::Steered(steering) => self.steered(*steering),
            Done::Pulse(task, run) => {
                if let Some(working) = self.working.get_mut(&task)
                    && working.run == run
                {
                    working.is_watched = false;
                    self.later(&task);
                }
            }
        }
    }

    /// A runner is gone. One that said no last word died by a defect.
    pub(super) fn runner_gone(&mut self, run: tokio::task::Id) {
        let Some(task) = self.runs.remove(&run) else { return };
        if self.working.get(&task).is_none_or(|working| working.run != run) {
            return;
        }
        tracing::error!(task = %self.state.name(&task), "a runner died");
        let engine = Arc::clone(&self.setup.engine);
        self.operate(async move {
            let outcome = operations::end_broken(engine, task.clone()).await;
            Done::Ended(task, Ok(outcome))
        });
    }

    fn submitted(&mut self, submission: Submission) {
        let Submission { reservation, tasks, result, reply } = submission;
        let submitted = match result {
            Ok(submitted) => submitted,
            Err(why) => {
                self.state.not_admitted(&reservation);
                drop(reply.send(Err(why)));
                return;
            }
        };
        let ids: Vec<TaskId> = submitted.iter().map(|one| one.task.clone()).collect();
        let mut admitted = Vec::new();
        for (task, known) in ids.iter().cloned().zip(tasks) {
            if let Some(details) = &known.details {
                admitted.push(Admitted { task: task.clone(), child: details.child.clone() });
            }
            self.known.entry(task).or_insert(known);
        }
        self.state.admitted(&reservation, admitted);
        // Who asked is answered with what becomes of them at once, and behind their cards.
        self.perform();
        if self.state.is_closing() {
            drop(reply.send(Err(TaskError::Closed)));
            return;
        }
        let names = ids.into_iter().map(|task| (TaskName::of(task.number), task));
        let started: Vec<_> = names.map(|(name, task)| self.started(&name, &task)).collect();
        self.answer_behind(&reservation.session, reply, started);
    }

    fn asks(&mut self, task: &TaskId, question: Question) {
        let call = question.id().clone();
        let now = self.now();
        let Some(working) = self.working.get_mut(task) else { return };
        working.questions.insert(call.clone(), (question, now));
        self.say_question(task, &call);
        self.state.asks(task, call);
    }

    /// Asks the user a task's question, under the id and title of the root session.
    pub(super) fn say_question(&mut self, task: &TaskId, call: &CallId) {
        let Some(working) = self.working.get(task) else { return };
        let Some((question, _)) = working.questions.get(call).cloned() else { return };
        let name = self.state.name(task);
        let of = self.state.child(task).cloned().map(|child| OfChild { child, call: call.clone() });
        let mut shown = self.as_shown(task, question.call);
        shown.title = shown.title.map(|title| card::asked_title(&name, &title));
        shown.task = Some(crate::event::TaskMark {
            id: name.to_string(),
            state: State::Waiting.name().to_owned(),
        });
        self.asked.insert(shown.id.clone(), (task.clone(), call.clone()));
        let root = self.state.root().clone();
        self.say(&root, TaskSaid::Ask(Question { call: shown, grant: question.grant, of }));
    }

    /// A call of a task, as the root session shows it.
    fn as_shown(&self, task: &TaskId, call: CallUpdate) -> CallUpdate {
        CallUpdate { id: card::asked_id(&self.state.name(task), &call.id), ..call }
    }

    fn stopped(&mut self, task: &TaskId, trouble: Option<String>) {
        if let Some(known) = self.known.get_mut(task) {
            known.trouble = trouble;
        }
        self.state.stopped(task);
        self.perform();
        self.forget_run(task);
    }

    /// A task is final.
    fn ended(&mut self, task: &TaskId, outcome: &Outcome) {
        let state = outcome.state();
        let Some(known) = self.known.get_mut(task) else { return };
        let mut collected = view::collected(task, &known.goal, known.created, outcome);
        if known.tokens == 0 {
            known.tokens = collected.tokens;
        }
        // A pulse knows more than an end that could not be told by its runner.
        if let Some(working) = self.working.get(task) {
            let pulse = working.pulse.borrow();
            known.tokens = known.tokens.max(pulse.tokens);
            collected.tokens = collected.tokens.max(pulse.tokens);
        }
        known.collected = Some(Arc::new(collected));
        known.given = None;
        let doer = self.state.doer(&task.session);
        let steps = doer.and_then(|doer| self.working.get(doer));
        let steps = steps.map_or(0, |working| working.pulse.borrow().steps);
        self.state.ended(task, state, steps);
        self.perform();
        self.forget_run(task);
        if let Some(known) = self.known.get_mut(task)
            && state == State::Completed
        {
            // The engine has it. That of another may not be written, and is asked for where it was cancelled.
            known.collected = None;
            known.details = None;
        }
    }

    fn forget_run(&mut self, task: &TaskId) {
        if let Some(working) = self.working.remove(task) {
            self.runs.remove(&working.run);
        }
        self.permits.remove(task);
        if let Some(child) = self.state.child(task).cloned() {
            self.listeners.remove(&child);
        }
    }

    fn answer(&mut self, answerer: Answerer, error: Option<TaskError>) {
        match (answerer, error) {
            (Answerer::Close { reply }, _) => drop(reply.send(Ok(()))),
            (Answerer::Cancel { reply, .. }, Some(why)) => drop(reply.send(Err(why))),
            (Answerer::Resume { reply, .. }, Some(why)) => drop(reply.send(Err(why))),
            (Answerer::Cancel { targets, reply }, None) => {
                let cancelled = targets.iter().map(|(name, task)| self.cancelled(name, task));
                drop(reply.send(Ok(cancelled.collect())));
            }
            (Answerer::Resume { session, targets, reply }, None) => {
                let started = targets.iter().map(|(name, task)| self.started(name, task)).collect();
                self.answer_behind(&session, reply, started);
            }
        }
    }

    /// What the engine has of the tasks of a session that was not new.
    fn loaded(&mut self, loaded: Result<Vec<(Task, Details)>, TaskError>) {
        let loading = std::mem::replace(&mut self.loading, Loading::Unneeded);
        let Loading::Reading(attachments, requests) = loading else { return };
        let tasks = match loaded {
            Ok(tasks) => tasks,
            Err(why) => {
                tracing::warn!(error = %why, "the tasks of a session cannot be read");
                self.loading = Loading::Needed(attachments);
                for request in requests {
                    request.ask.refuse(why.clone());
                }
                return;
            }
        };
        let mut found = Vec::new();
        for (task, details) in tasks {
            let Task { task, spec, status } = task;
            let Status { state, epoch, created, usage, .. } = status;
            let tokens = usage.input.saturating_add(usage.output);
            found.push(Found {
                task: task.clone(),
                child: details.child.clone(),
                prompt: details.origin.prompt.clone(),
                depth: details.depth,
                state,
                attempts: epoch,
                tokens,
            });
            let known = Known {
                tokens,
                details: (!state.is_final()).then(|| details.clone()),
                ..Known::new(spec.goal.into(), created, details)
            };
            self.known.insert(task, known);
        }
        self.state.found(found);
        for (session, attachment) in attachments {
            self.attached(&session, attachment, true);
        }
        self.perform();
        for request in requests {
            self.request(request);
        }
    }
}

/// Whether somebody hears of tasks by this.
fn is_news(effect: &Effect) -> bool {
    match effect {
        Effect::Withdraw { .. }
        | Effect::Over(_)
        | Effect::Collect(_)
        | Effect::Done(..)
        | Effect::Closed => true,
        Effect::Permit(_)
        | Effect::Release(_)
        | Effect::Run(_)
        | Effect::Order(..)
        | Effect::End { .. }
        | Effect::Resume(_)
        // Who sees a task's last card has its report: that goes first.
        | Effect::Report(_)
        | Effect::Card(_)
        | Effect::Places => false,
    }
}
