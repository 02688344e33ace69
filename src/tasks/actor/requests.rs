//! What is asked of the tasks: each operation once. What the rules alone know is answered at once, what the
//! engine must be asked for by an operation.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::listeners::Listener;
use super::operations::{self, Done, Steering, Submission};
use super::{Actor, Answerer, Given, Known, Loading, MOST_EARLY, OpenWait};
use crate::ids::{SessionId, TaskId};
use crate::redact::Spared;
use crate::tasks::engine::{Content, Message, New, Receipt, Spec, State, TaskEngine};
use crate::tasks::handle::{Ask, Reply, Request};
use crate::tasks::runner::RunnerOrder;
use crate::tasks::state::Interrupted;
use crate::tasks::{
    About, Attachment, Caller, Details, NewTask, Started, Steered, TaskError, TaskName, TaskSaid,
    Wait, Waiting, Which, card, contract,
};

/// Why a task ended that was cancelled without a reason.
const CANCELLED: &str = "it was cancelled";

impl Actor {
    pub(super) fn request(&mut self, request: Request) {
        let ends =
            matches!(request.ask, Ask::Close { .. } | Ask::Abandon { .. } | Ask::Detach { .. });
        match &mut self.loading {
            Loading::Early(waiting)
                if !ends && !matches!(request.ask, Ask::Attach(_) | Ask::Known { .. }) =>
            {
                if waiting.len() < MOST_EARLY {
                    return waiting.push(request);
                }
                return request.ask.refuse(TaskError::Closed);
            }
            Loading::Needed(_) if !ends => return self.load(vec![request]),
            Loading::Early(_) | Loading::Needed(_) | Loading::Unneeded | Loading::Reading(..) => {}
        }
        let Request { session, ask } = request;
        // Who watches hears to the end how its tasks end.
        let goes_on = matches!(ask, Ask::Close { .. } | Ask::Abandon { .. } | Ask::Changed { .. });
        if self.state.is_closing() && !goes_on {
            return ask.refuse(TaskError::Closed);
        }
        let is_all = matches!(ask, Ask::Cancel { which: Which::All, .. });
        match ask {
            Ask::Start { caller, tasks, reply } => self.start(session, &caller, tasks, reply),
            Ask::Check { task, lines, reply } => self.check(&session, task, lines, reply),
            Ask::Steer { task, text, reply } => self.steer(&session, task, &text, reply),
            Ask::Wait { tasks, wait, reply } => self.wait(session, tasks, wait, reply),
            Ask::Cancel { which, reason, reply } => match self.targets(&session, which, is_open) {
                Err(why) => drop(reply.send(Err(why))),
                Ok(targets) => {
                    let reason = reason.filter(|reason| !reason.trim().is_empty());
                    let reason = reason.unwrap_or_else(|| CANCELLED.to_owned());
                    let reason = self.setup.mask.hide(&reason).into_owned();
                    let tasks: Vec<TaskId> = targets.iter().map(|(_, task)| task.clone()).collect();
                    if is_all {
                        self.state.cancel_recorded(&session, &reason);
                    }
                    let ask = self.state.cancel(&tasks, &reason);
                    self.asks.insert(ask, Answerer::Cancel { targets, reply });
                }
            },
            Ask::CancelChild { child, reply } => {
                let is_below = self.state.cancel_child(&session, &child, CANCELLED);
                drop(reply.send(Ok(is_below)));
            }
            Ask::Known { reply } => drop(reply.send(Ok(self.rows(&session, None)))),
            Ask::List { state, reply } => drop(reply.send(Ok(self.rows(&session, state)))),
            Ask::Observe { reply } => drop(reply.send(Ok(self.observe(&session)))),
            Ask::Changed { since, reply } => drop(reply.send(Ok(self.changed(&session, since)))),
            Ask::Answer { task, question, answer, why, reply } => {
                let asked = (&task, question.as_ref());
                drop(reply.send(self.answer_question(&session, asked, answer, why)));
            }
            Ask::Resume { which, reply } => self.resume(&session, which, reply),
            Ask::Diff { task, reply } => self.diff(&session, task, reply),
            Ask::Merge { tasks, reply } => self.merge(&session, tasks, reply),
            Ask::Discard { tasks, reply } => self.discard(&session, tasks, reply),
            Ask::Attach(attachment) => self.attach(session, *attachment),
            Ask::Detach { reply } => {
                self.state.detach(&session);
                if let Some(listener) = self.listeners.get_mut(&session) {
                    listener.leave();
                }
                if session == *self.state.root() {
                    // What was answered may never have reached it.
                    self.reasons.clear();
                }
                drop(reply.send(Ok(())));
            }
            Ask::Answered { call, answer } => self.question_answered(&call, answer),
            Ask::Close { reply } => self.close(&session, reply),
            Ask::Abandon { reply } if session == *self.state.root() => self.abandon(Some(reply)),
            Ask::Abandon { reply } => {
                // Its runner stops with the root's, or ended before.
                self.state.detach(&session);
                drop(reply.send(Ok(())));
            }
        }
    }

    fn start(
        &mut self,
        session: SessionId,
        caller: &Caller,
        tasks: Vec<NewTask>,
        reply: Reply<Vec<Started>>,
    ) {
        let prepared = self.check_new(&session, &tasks).and_then(|continued| {
            let reservation = self.state.admit(&session, &caller.origin.prompt, tasks.len())?;
            Ok((continued, reservation))
        });
        let (continued, reservation) = match prepared {
            Ok(prepared) => prepared,
            Err(why) => return drop(reply.send(Err(why))),
        };
        let created = self.now();
        let mut specs = Vec::new();
        let mut kept = Vec::new();
        for (index, (task, continues)) in tasks.into_iter().zip(continued).enumerate() {
            match self.spec(task, continues, caller, reservation.depth) {
                Ok((spec, details, given)) => {
                    let known = Known::new(spec.goal.as_str().into(), created, details);
                    kept.push(Known { given, ..known });
                    specs.push(New { key: format!("{}/{index}", caller.key), spec });
                }
                Err(why) => {
                    self.state.not_admitted(&reservation);
                    return drop(reply.send(Err(why)));
                }
            }
        }
        let engine = Arc::clone(&self.setup.engine);
        let floor = self.state.floor(&session);
        self.operate(async move {
            let result = engine.submit(session, floor, specs).await.map_err(TaskError::from);
            let tasks = kept;
            Done::Submitted(Box::new(Submission { reservation, tasks, result, reply }))
        });
    }

    /// Whether these may be asked for; the sessions that they go on from.
    fn check_new(
        &self,
        session: &SessionId,
        tasks: &[NewTask],
    ) -> Result<Vec<Option<SessionId>>, TaskError> {
        let listener = self.listeners.get(session).ok_or(TaskError::Closed)?;
        let mut continued = Vec::new();
        for task in tasks {
            if task.goal.trim().is_empty() {
                return Err(TaskError::EmptyGoal);
            }
            listener.spawn.check(task)?;
            if let Some(schema) = &task.output_schema {
                contract::check(schema)?;
            }
            let Some(name) = &task.continues else {
                continued.push(None);
                continue;
            };
            let before = self.state.find(session, name)?;
            let state = self.state.state(&before);
            if !state.is_final() {
                return Err(TaskError::NotFinished { name: name.to_string(), state });
            }
            continued.push(self.state.child(&before).cloned());
        }
        Ok(continued)
    }

    /// What the engine keeps of a task, without secrets; and the words as they were given, if those had any.
    fn spec(
        &self,
        task: NewTask,
        continues: Option<SessionId>,
        caller: &Caller,
        depth: u32,
    ) -> Result<(Spec, Details, Option<Box<Given>>), TaskError> {
        let mask = &self.setup.mask;
        let goal = mask.hide(&task.goal).into_owned();
        let context = task.context.as_ref().map(|context| mask.hide(context).into_owned());
        let is_masked = goal != task.goal || context != task.context;
        let given = is_masked.then(|| Box::new(Given { goal: task.goal, context: task.context }));
        let details = Details {
            child: SessionId::fresh(),
            by: caller.by,
            origin: caller.origin.clone(),
            mode: caller.mode,
            depth,
            context,
            toolsets: task.toolsets,
            model: task.model,
            output_schema: task.output_schema,
            images: task.images,
            continues,
            isolation: task.isolation,
        };
        let json =
            serde_json::to_string(&details).map_err(|error| operations::unwritable(&error))?;
        let json = mask.hide_in_json(&json, Spared::Words);
        let value = serde_json::from_str(&json).map_err(|error| operations::unwritable(&error))?;
        Ok((Spec { goal, details: value }, details, given))
    }

    pub(super) fn steer(
        &mut self,
        session: &SessionId,
        name: TaskName,
        text: &str,
        reply: Reply<Steered>,
    ) {
        if text.trim().is_empty() {
            return drop(reply.send(Err(TaskError::EmptyMessage)));
        }
        let task = match self.state.find(session, &name) {
            Ok(task) => task,
            Err(why) => return drop(reply.send(Err(why))),
        };
        let state = self.state.state(&task);
        if state.is_final() {
            let steered = Steered { task_id: name.to_string(), receipt: "missed", state };
            return drop(reply.send(Ok(steered)));
        }
        let masked = self.setup.mask.hide(text).into_owned();
        let text = text.to_owned();
        let received = self.state.has_runner(&task).then(|| {
            let (reply, received) = oneshot::channel();
            // The runner hides from the engine what its child is told.
            self.order(&task, RunnerOrder::Steer { text, reply });
            self.state.roused(&task);
            received
        });
        let engine = Arc::clone(&self.setup.engine);
        self.operate(async move {
            let answer = match received {
                Some(received) => received.await.ok(),
                None => None,
            };
            let result = match answer {
                Some(answer) => answer,
                // It has not begun, or ended meanwhile.
                None => send(&*engine, task.clone(), masked.clone()).await,
            };
            Done::Steered(Box::new(Steering { task, text: masked, result, name, state, reply }))
        });
    }

    /// What became of a message to a task: its session is told of one that was taken, and then who sent it.
    pub(super) fn steered(&mut self, steering: Steering) {
        let Steering { task, text, result, name, state, reply } = steering;
        if let Ok(Receipt::Queued { .. } | Receipt::Delivered { .. }) = &result
            && let Some(child) = self.state.child(&task).cloned()
        {
            self.say(&task.session, TaskSaid::Steered { child, text });
        }
        drop(reply.send(result.map(|receipt| steered(&name, receipt, state))));
    }

    fn wait(
        &mut self,
        session: SessionId,
        names: Vec<TaskName>,
        kind: Wait,
        reply: Reply<Waiting>,
    ) {
        let mut tasks = Vec::new();
        for name in names {
            match self.state.find(&session, &name) {
                Ok(task) => tasks.push((name, task)),
                Err(why) => return drop(reply.send(Err(why))),
            }
        }
        let ids: Vec<TaskId> = tasks.iter().map(|(_, task)| task.clone()).collect();
        let wait = self.state.wait(&session, &ids, kind);
        let (over, is_over) = oneshot::channel();
        let (collect, collected) = oneshot::channel();
        self.waits.insert(wait, OpenWait { session, tasks, over: Some(over), reply: None });
        self.operate(async move { Done::WaitEnds(wait, collected.await.ok()) });
        // Where nobody waits any more, the wait is dropped with this.
        drop(reply.send(Ok(Waiting::new(is_over, collect))));
    }

    fn resume(&mut self, session: &SessionId, which: Which, reply: Reply<Vec<Started>>) {
        let targets = self.targets(session, which, |state| state == State::Interrupted);
        let targets = match targets {
            Ok(targets) => targets,
            Err(why) => return drop(reply.send(Err(why))),
        };
        // All are looked at before one goes on: that may let others go on, too.
        let states = targets.iter().map(|(name, task)| (name, self.state.state(task)));
        for (name, state) in states {
            if state != State::Interrupted {
                let name = name.to_string();
                return drop(reply.send(Err(TaskError::NotInterrupted { name, state })));
            }
        }
        if self.discarding > 0 && !targets.is_empty() {
            return drop(reply.send(Err(TaskError::Git(
                "the changes of interrupted tasks are being discarded; try again when that is done"
                    .to_owned(),
            ))));
        }
        let tasks: Vec<TaskId> = targets.iter().map(|(_, task)| task.clone()).collect();
        let ask = self.state.resume(&tasks);
        let session = session.clone();
        self.asks.insert(ask, Answerer::Resume { session, targets, reply });
    }

    fn close(&mut self, session: &SessionId, reply: Reply<()>) {
        if session == self.state.root() {
            self.begin_end(Some(reply));
            return self.state.close();
        }
        self.state.detach(session);
        let tasks: Vec<TaskId> = self.state.tasks_of(session).cloned().collect();
        let ask = self.state.cancel(&tasks, "its session was closed");
        self.asks.insert(ask, Answerer::Close { reply });
    }

    fn attach(&mut self, session: SessionId, attachment: Attachment) {
        let is_root = session == *self.state.root();
        let is_first = is_root && !self.listeners.contains_key(&session);
        let early = match std::mem::replace(&mut self.loading, Loading::Unneeded) {
            Loading::Early(early) => early,
            other @ (Loading::Unneeded | Loading::Needed(_) | Loading::Reading(..)) => {
                self.loading = other;
                Vec::new()
            }
        };
        if is_first && !attachment.is_new {
            self.loading = Loading::Needed(vec![(session, attachment)]);
            return self.load(early);
        }
        self.attached(&session, attachment, false);
        for request in early {
            self.request(request);
        }
    }

    /// Reads what there is of the root session's tasks, before anything else of them is answered.
    fn load(&mut self, requests: Vec<Request>) {
        let loading = std::mem::replace(&mut self.loading, Loading::Unneeded);
        let Loading::Needed(mut attachments) = loading else { return };
        let mut waiting = Vec::new();
        for request in requests {
            match request {
                Request { session, ask: Ask::Attach(attachment) } => {
                    attachments.push((session, *attachment));
                }
                other => waiting.push(other),
            }
        }
        self.loading = Loading::Reading(attachments, waiting);
        let engine = Arc::clone(&self.setup.engine);
        let root = self.state.root().clone();
        self.operate(async move { Done::Loaded(operations::load(engine, root).await) });
    }

    /// A session is there, and what there is of its tasks is known.
    pub(super) fn attached(&mut self, session: &SessionId, attachment: Attachment, is_first: bool) {
        let reported = attachment.reported.clone();
        let had_open: Vec<_> = attachment.open_cards.iter().cloned().collect();
        self.state.past(session, attachment.past.clone());
        self.listeners.insert(session.clone(), Listener::new(attachment));
        let tasks: Vec<TaskId> = self.state.tasks_of(session).cloned().collect();
        for task in &tasks {
            if let Some(known) = self.known.get_mut(task) {
                known.card = None;
            }
        }
        let interrupted = if is_first {
            Interrupted::from(self.setup.delegation.resume)
        } else {
            Interrupted::Stay
        };
        self.state.attach(session, &reported, interrupted);
        self.perform();
        // A card that its client has as open, of a task whose end it knows.
        for task in tasks {
            let name = TaskName::of(task.number);
            let id = card::id(&name, self.state.attempt(&task));
            let is_known = reported.contains(&task.number) && self.state.state(&task).is_final();
            if is_known && had_open.contains(&id) {
                self.read_later(&task);
            }
        }
        if session == self.state.root() {
            self.reasons.clear();
            self.ask_again();
        }
    }

    /// All questions that wait, oldest first, to a root session that is there anew.
    fn ask_again(&mut self) {
        let mut questions = Vec::new();
        for (task, working) in &self.working {
            let asked = working.questions.iter();
            questions.extend(asked.map(|(call, (_, since))| (*since, task.clone(), call.clone())));
        }
        questions.sort();
        for (_, task, call) in questions {
            self.say_question(&task, &call);
        }
    }

    /// The tasks that are meant, with the names that they were given.
    fn targets(
        &self,
        session: &SessionId,
        which: Which,
        makes_sense: impl Fn(State) -> bool,
    ) -> Result<Vec<(TaskName, TaskId)>, TaskError> {
        match which {
            Which::One(name) => self.state.find(session, &name).map(|task| vec![(name, task)]),
            Which::Several(names) => {
                let mut targets: Vec<(TaskName, TaskId)> = Vec::with_capacity(names.len());
                for name in names {
                    let task = self.state.find(session, &name)?;
                    if targets.iter().all(|(_, known)| *known != task) {
                        targets.push((name, task));
                    }
                }
                Ok(targets)
            }
            Which::All => {
                let tasks = self.state.tasks_of(session);
                let tasks = tasks.filter(|task| makes_sense(self.state.state(task)));
                Ok(tasks.map(|task| (TaskName::of(task.number), task.clone())).collect())
            }
        }
    }
}

impl Known {
    pub(super) fn new(goal: Arc<str>, created: crate::clock::Timestamp, details: Details) -> Self {
        let about = About {
            child: details.child.clone(),
            by: details.by,
            origin: details.origin.clone(),
            goal: goal.to_string(),
        };
        Self {
            about: Arc::new(about),
            goal,
            created,
            tokens: 0,
            isolation: details.isolation,
            details: Some(details),
            given: None,
            collected: None,
            trouble: None,
            card: None,
        }
    }
}

fn is_open(state: State) -> bool {
    !state.is_final()
}

/// Leaves a message for whoever runs the task next.
async fn send(engine: &dyn TaskEngine, task: TaskId, text: String) -> Result<Receipt, TaskError> {
    let message = Message::new(Content::Steer { text });
    engine.send(task, message).await.map_err(TaskError::from)
}

fn steered(name: &TaskName, receipt: Receipt, state: State) -> Steered {
    let (receipt, state) = match receipt {
        Receipt::Queued { .. } => ("queued", state),
        Receipt::Delivered { .. } => ("delivered", state),
        Receipt::Missed { state } => ("missed", state),
    };
    Steered { task_id: name.to_string(), receipt, state }
}
