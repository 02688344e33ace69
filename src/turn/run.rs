//! Does what a turn's rules say: streams the model, judges and runs calls as tasks of their own, takes
//! input while they run. It decides nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use tokio::sync::{OnceCell, mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::calls::{Judged, Stopper};
use super::spent::spent;
use super::state::{Effect, Input, Limits, TurnState, Whole, defect};
use super::{Ended, Go, Gone, Settings, Start, TurnInput, TurnSaid};
use crate::clock;
use crate::config::Config;
use crate::context::{self, Instructions};
use crate::event::{CallUpdate, Event};
use crate::ids::CallId;
use crate::known::Seen;
use crate::model::catalog::Choice;
use crate::model::{Delta, Deltas, ModelError, Request};
use crate::permission::Mode;
use crate::tasks::{By, Caller, Door, Origin, TasksHandle};
use crate::tools::host::Host;
use crate::tools::permission::{self, Policy, Verdict};
use crate::tools::roots::Roots;
use crate::tools::{self, Context, Place, Places, Prepared, Progress, Ran, Toolbox, Touch};
use crate::transcript::{Author, Outcome};

/// How many deltas of a stream are taken before anything else gets a chance.
const DELTAS_PER_ROUND: usize = 64;
/// How long a cancelled call may take to stop by itself; then it is dropped.
const GRACE: Duration = Duration::from_millis(1_800);
/// Pictures of progress that wait for the turn; more are left out.
const PROGRESS_CAPACITY: usize = 64;

/// What the turns of a session share.
pub struct Environment {
    pub config: Arc<Config>,
    pub roots: Arc<Roots>,
    pub host: Arc<dyn Host>,
    pub toolbox: Toolbox,
    pub policy: Arc<Policy>,
    /// Absent where the session may have no tasks.
    pub tasks: Option<TasksHandle>,
    /// The same for all requests of the session.
    pub cache_key: String,
    /// Made at the first turn: it reads the project's instruction files.
    pub system: OnceCell<Arc<str>>,
}

impl Environment {
    async fn system(&self) -> Arc<str> {
        self.system
            .get_or_init(|| async {
                let roots = self.roots.clone();
                let toolbox = self.toolbox.clone();
                let configured = self.config.instructions.clone();
                let read = tokio::task::spawn_blocking(move || {
                    let instructions = Instructions::read(&roots, configured.as_deref());
                    context::system_prompt(&roots, &instructions, &toolbox)
                });
                let system = read.await.unwrap_or_else(|_| {
                    context::system_prompt(&self.roots, &Instructions::default(), &self.toolbox)
                });
                system.into()
            })
            .await
            .clone()
    }
}

/// The ends of a turn that its session holds.
pub struct Running {
    pub inputs: mpsc::Sender<TurnInput>,
    pub said: mpsc::Receiver<TurnSaid>,
    pub cancel: CancellationToken,
    /// Whoever loses a turn ends it: nobody would see what it does.
    _ends_with_its_owner: DropGuard,
}

/// Starts a turn as a task of its own. It always ends with `TurnSaid::Ended`, also when it panics.
pub fn spawn(
    environment: Arc<Environment>,
    start: Start,
    settings: watch::Receiver<Settings>,
    seen: Seen,
    tasks: &TaskTracker,
) -> Running {
    let (inputs, input_end) = mpsc::channel(64);
    let (said_end, said) = mpsc::channel(64);
    let cancel = CancellationToken::new();
    let limits = Limits {
        max_steps: environment.config.turn.max_iterations.max(1),
        max_tokens: environment.config.turn.max_tokens,
    };
    let stopper = if start.is_task { Stopper::Task } else { Stopper::User };
    let state = TurnState::new(
        (start.prompt, start.steered),
        start.ids,
        environment.toolbox.clone(),
        limits,
        stopper,
    );
    let runner = Runner {
        stopper,
        environment,
        history: start.history,
        settings,
        seen,
        state,
        stream: None,
        jobs: JoinSet::new(),
        job_calls: HashMap::new(),
        permitted: HashMap::new(),
        places: (Places::default(), HashMap::new()),
        progress: mpsc::channel(PROGRESS_CAPACITY),
        stop_calls: CancellationToken::new(),
        asked: None,
        origin: start.origin,
        cap: start.cap,
        attention: CancellationToken::new(),
        prompt_waits: CancellationToken::new(),
        said: said_end.clone(),
    };
    let token = cancel.clone();
    tasks.spawn(async move {
        let ended = std::panic::AssertUnwindSafe(runner.run(input_end, token)).catch_unwind().await;
        let ended = ended.unwrap_or_else(|_| {
            tracing::error!("a turn panicked");
            defect()
        });
        // The session is gone when this fails, and with it everybody who could want to know.
        drop(said_end.send(TurnSaid::Ended(ended)).await);
    });
    let guard = cancel.clone().drop_guard();
    Running { inputs, said, cancel, _ends_with_its_owner: guard }
}

/// What a task of the turn brings back.
enum Done {
    Judged(CallId, Box<Judged>),
    Ran(CallId, Box<Ran>),
}

struct Runner {
    stopper: Stopper,
    environment: Arc<Environment>,
    history: Vec<Arc<crate::transcript::Turn>>,
    settings: watch::Receiver<Settings>,
    seen: Seen,
    state: TurnState,
    stream: Option<Deltas>,
    jobs: JoinSet<Done>,
    /// Which call a task works on, for one that panics.
    job_calls: HashMap<Id, CallId>,
    /// What the calls that may run were judged to touch.
    permitted: HashMap<CallId, Arc<[Touch]>>,
    /// In which order calls start tasks, and the places of those that do not run yet.
    places: (Places, HashMap<CallId, Place>),
    progress: (mpsc::Sender<CallUpdate>, mpsc::Receiver<CallUpdate>),
    stop_calls: CancellationToken,
    /// The model of the last request.
    asked: Option<Arc<Choice>>,
    origin: Origin,
    cap: Option<Mode>,
    /// Fires when a prompt of the user arrives, which the step's calls then keep waiting; a new one for
    /// each step.
    attention: CancellationToken,
    /// Fires when a prompt of the user waits for the turn's end, and stays so.
    prompt_waits: CancellationToken,
    said: mpsc::Sender<TurnSaid>,
}

/// One thing that the loop woke up for.
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
enum Woke {
    Cancel,
    Input(TurnInput),
    Job(Result<(Id, Done), JoinError>),
    Progress(CallUpdate),
    Delta(Option<Result<Delta, ModelError>>),
    GraceOver,
}

impl Runner {
    async fn run(
        mut self,
        mut inputs: mpsc::Receiver<TurnInput>,
        cancel: CancellationToken,
    ) -> Ended {
        let mut cancelled = false;
        let mut deadline: Option<tokio::time::Instant> = None;
        let mut effects = self.state.handle(Input::Begin);
        loop {
            if let Some(ended) = self.perform(effects).await {
                return ended;
            }
            if cancelled && deadline.is_none() {
                deadline = Some(tokio::time::Instant::now() + GRACE);
            }
            // Cancel first; then what the session says, then calls, and the stream last, so that a
            // fast model cannot keep anybody waiting.
            let woke = tokio::select! {
                biased;
                () = cancel.cancelled(), if !cancelled => Woke::Cancel,
                Some(input) = inputs.recv() => Woke::Input(input),
                Some(update) = self.progress.1.recv() => Woke::Progress(update),
                Some(done) = self.jobs.join_next_with_id() => Woke::Job(done),
                delta = next(&mut self.stream) => Woke::Delta(delta),
                () = clock::sleep_until(deadline), if deadline.is_some() => Woke::GraceOver,
                else => return defect(),
            };
            effects = match woke {
                Woke::Cancel => {
                    cancelled = true;
                    self.state.handle(Input::Cancel)
                }
                Woke::Input(TurnInput::Steer(prompt)) => {
                    if prompt.from == Author::User {
                        self.attention.cancel();
                    }
                    self.state.handle(Input::Steered(prompt))
                }
                Woke::Input(TurnInput::PromptWaits) => {
                    self.prompt_waits.cancel();
                    Vec::new()
                }
                Woke::Input(TurnInput::Answer { call, answer }) => {
                    self.state.handle(Input::Answered { call, answer })
                }
                Woke::Progress(update) => {
                    if self.is_running(&update.id) && !self.state.calls().is_hidden(&update.id) {
                        vec![Effect::Emit(Event::Call(update))]
                    } else {
                        Vec::new()
                    }
                }
                Woke::Job(done) => self.job_done(done).await,
                Woke::Delta(delta) => self.deltas(delta),
                Woke::GraceOver => {
                    deadline = Some(tokio::time::Instant::now() + GRACE);
                    tracing::warn!("calls did not stop in time and are dropped");
                    self.jobs.abort_all();
                    Vec::new()
                }
            };
        }
    }

    fn is_running(&self, call: &CallId) -> bool {
        self.job_calls.values().any(|running| running == call)
    }

    /// Takes what the stream has ready, joins text of one kind, and stops where something else comes.
    fn deltas(&mut self, first: Option<Result<Delta, ModelError>>) -> Vec<Effect> {
        let mut joined: Vec<Delta> = Vec::new();
        let mut effects = Vec::new();
        let mut next = Some(first);
        let mut taken = 0;
        while let Some(item) = next {
            taken += 1;
            let over = match item {
                Some(Ok(delta)) => {
                    let over = matches!(delta, Delta::End(_));
                    join(&mut joined, delta);
                    over
                }
                Some(Err(error)) => {
                    self.stream = None;
                    effects = self.state_after(joined);
                    effects.extend(self.state.handle(Input::Broke(error)));
                    return effects;
                }
                None => {
                    self.stream = None;
                    effects = self.state_after(joined);
                    let message = "the stream ended without a last word".to_owned();
                    effects
                        .extend(self.state.handle(Input::Broke(ModelError::Dropped { message })));
                    return effects;
                }
            };
            if over {
                self.stream = None;
            }
            // What is asked for here is taken: the stream does not give it again.
            next = match &mut self.stream {
                Some(stream) if taken < DELTAS_PER_ROUND => stream.next().now_or_never(),
                Some(_) | None => None,
            };
        }
        effects.extend(self.state_after(joined));
        effects
    }

    fn state_after(&mut self, deltas: Vec<Delta>) -> Vec<Effect> {
        deltas.into_iter().flat_map(|delta| self.state.handle(Input::Delta(delta))).collect()
    }

    async fn job_done(&mut self, done: Result<(Id, Done), JoinError>) -> Vec<Effect> {
        let (id, done) = match done {
            Ok((id, done)) => (id, Some(done)),
            Err(error) => {
                if error.is_panic() {
                    tracing::error!(%error, "a tool panicked");
                }
                (error.id(), None)
            }
        };
        let call = self.job_calls.remove(&id);
        match (done, call) {
            (Some(Done::Judged(call, judged)), _) => {
                if let Judged::Allowed(prepared) | Judged::Asked(prepared) = &*judged {
                    self.permitted.insert(call.clone(), prepared.touches.as_slice().into());
                }
                self.state.handle(Input::Judged { call, judged: *judged })
            }
            (Some(Done::Ran(call, ran)), _) => {
                self.learn(&ran).await;
                self.state.handle(Input::Ran { call, ran: *ran })
            }
            (None, Some(call)) => self.lost(call),
            (None, None) => Vec::new(),
        }
    }

    /// A task ended without a word: it panicked, or it was dropped after its grace.
    fn lost(&mut self, call: CallId) -> Vec<Effect> {
        let (message, outcome) = if self.stop_calls.is_cancelled() {
            let reason = "it did not stop in time and was dropped".to_owned();
            (reason.clone(), Outcome::Cancelled { reason })
        } else {
            let message = "the tool ended because of a defect in Talaria".to_owned();
            (message.clone(), Outcome::failed(message))
        };
        let mut effects = self
            .state
            .handle(Input::Judged { call: call.clone(), judged: Judged::Invalid(message) });
        effects.extend(self.state.handle(Input::Ran { call, ran: Ran::new(outcome) }));
        effects
    }

    async fn learn(&mut self, ran: &Ran) {
        if ran.saw.is_empty() {
            return;
        }
        let seen = Arc::make_mut(&mut self.seen);
        let mut saw = Vec::new();
        for (path, known) in &ran.saw {
            let known = known.clone().after(seen.get(path));
            seen.insert(path.clone(), known.clone());
            saw.push((path.clone(), known));
        }
        self.say(TurnSaid::Saw(saw)).await;
    }

    /// Does the effects in order; how the turn ended, if it did.
    async fn perform(&mut self, effects: Vec<Effect>) -> Option<Ended> {
        for effect in effects {
            match effect {
                Effect::Emit(event) => self.say(TurnSaid::Event(event)).await,
                Effect::Request => self.request().await,
                Effect::DropStream => self.stream = None,
                Effect::Judge(call) => self.judge(call).await,
                Effect::Ask(question) => self.say(TurnSaid::Ask(question)).await,
                Effect::Withdraw(call) => self.say(TurnSaid::Withdraw(call)).await,
                Effect::Run(call) => self.run_call(call).await,
                Effect::StopCalls => self.stop_calls.cancel(),
                Effect::Delivered(prompts) => self.say(TurnSaid::Delivered(prompts)).await,
                Effect::Replied(reply, whole) => {
                    let spent = (whole == Whole::Yes).then(|| spent(&self.asked(), reply.usage));
                    self.say(TurnSaid::Replied { reply, spent }).await;
                }
                Effect::Described(shown) => self.say(TurnSaid::Described(shown)).await,
                Effect::Settled { call, outcome, shown, gave } => {
                    self.places.1.remove(&call);
                    self.say(TurnSaid::Settled { call, outcome, shown, gave }).await;
                }
                Effect::Told { message, text } => self.say(TurnSaid::Told { message, text }).await,
                Effect::Step(step) => self.say(TurnSaid::Step(step)).await,
                Effect::End(ended) => return Some(ended),
            }
        }
        None
    }

    /// Waits while the session does not take more: the client is slow, and so is the turn then.
    async fn say(&mut self, said: TurnSaid) {
        // The session is gone when this fails; the turn ends by its token.
        drop(self.said.send(said).await);
    }

    /// What comes when all that was said is told.
    async fn when_told(&mut self) -> Gone {
        let (go, gone) = Go::new();
        self.say(TurnSaid::WhenTold(go)).await;
        gone
    }

    /// What comes when all that was said is given to the journal.
    async fn when_given(&mut self) -> Gone {
        let (go, gone) = Go::new();
        self.say(TurnSaid::WhenGiven(go)).await;
        gone
    }

    /// The model of the last request.
    fn asked(&self) -> Arc<Choice> {
        self.asked.clone().unwrap_or_else(|| self.settings.borrow().choice.clone())
    }

    async fn request(&mut self) {
        // Lets what was said be told first: to make a request takes longer than that.
        tokio::task::yield_now().await;
        // What waited is in this request; what comes from now on waits for the next one.
        self.attention = CancellationToken::new();
        let settings = self.settings.borrow().clone();
        self.asked = Some(settings.choice.clone());
        let items = context::items(
            &self.history,
            self.state.prompt(),
            self.state.steps(),
            self.state.steered(),
        );
        let request = Request {
            model: settings.choice.name.clone(),
            thought: settings.thought,
            system: self.environment.system().await.to_string(),
            tools: self.environment.toolbox.specs(),
            items,
            max_output_tokens: self.environment.config.model.max_output_tokens,
            cache_key: self.environment.cache_key.clone(),
        };
        self.stream = Some(settings.choice.model.stream(request));
    }

    fn context(&self, call: &CallId) -> Context {
        Context {
            call: call.clone(),
            roots: self.environment.roots.clone(),
            host: self.environment.host.clone(),
            seen: self.seen.clone(),
            policy: self.environment.policy.clone(),
            permitted: None,
            cancel: self.stop_calls.child_token(),
            attention: self.attention.clone(),
            prompt_waits: self.prompt_waits.clone(),
            tasks: self.door(call),
            place: None,
            progress: Progress::new(self.progress.0.clone()),
        }
    }

    fn door(&self, call: &CallId) -> Option<Door> {
        let tasks = self.environment.tasks.clone()?;
        let mode = self.capped(self.settings.borrow().mode);
        let origin = self.origin.clone();
        let caller = Caller { by: By::Model, origin, mode, key: call.to_string() };
        Some(Door { tasks, caller })
    }

    /// A mode as far as the turn may have it.
    fn capped(&self, mode: Mode) -> Mode {
        self.cap.map_or(mode, |cap| cap.narrower(mode))
    }

    async fn judge(&mut self, id: CallId) {
        let Some(call) = self.state.calls().get(&id).cloned() else { return };
        let Some(tool) = self.environment.toolbox.get(&call.tool) else { return };
        let context = self.context(&id);
        if tool.is_shown_by_cards() {
            let place = self.places.0.give();
            self.places.1.insert(id.clone(), place);
        }
        let settings = self.settings.clone();
        let cap = self.cap;
        let policy = self.environment.policy.clone();
        let (judged, stopper) = (id.clone(), self.stopper);
        let effect = tool.effect();
        // It looks at what it would change, and the client may be asked for that.
        let told = match effect {
            tools::Effect::Write => Some(self.when_told().await),
            tools::Effect::Read | tools::Effect::Run | tools::Effect::None => None,
        };
        let handle = self.jobs.spawn(async move {
            if let Some(told) = told
                && let Err(never) = told.wait(&context.cancel, stopper).await
            {
                return Done::Judged(judged, Box::new(Judged::Invalid(never.outcome.text())));
            }
            let verdict = match tool.prepare(&call.input, &context).await {
                Err(message) => Judged::Invalid(message),
                Ok(prepared) => {
                    let now = settings.borrow().clone();
                    let mode = cap.map_or(now.mode, |cap| cap.narrower(now.mode));
                    decided(
                        permission::decide(mode, &now.rules, &policy, effect, &prepared),
                        prepared,
                    )
                }
            };
            Done::Judged(judged, Box::new(verdict))
        });
        self.job_calls.insert(handle.id(), id);
    }

    async fn run_call(&mut self, id: CallId) {
        let Some(call) = self.state.calls().get(&id).cloned() else { return };
        let Some(tool) = self.environment.toolbox.get(&call.tool) else { return };
        // A call that nobody judged would touch nothing.
        let permitted = self.permitted.remove(&id).unwrap_or_default();
        let is_hidden = self.state.calls().is_hidden(&id);
        let gone = match tool.effect() {
            tools::Effect::None if is_hidden => self.when_given().await,
            tools::Effect::Read | tools::Effect::None => self.when_told().await,
            effect @ (tools::Effect::Write | tools::Effect::Run) => {
                let outside =
                    effect == tools::Effect::Run || permitted.iter().any(|touch| !touch.inside);
                let (go, gone) = Go::new();
                self.say(TurnSaid::Begin { call: id.clone(), outside, go }).await;
                gone
            }
        };
        let place = self.places.1.remove(&id);
        let stopper = self.stopper;
        let context = Context { permitted: Some(permitted), place, ..self.context(&id) };
        let handle = self.jobs.spawn(async move {
            let ran = match gone.wait(&context.cancel, stopper).await {
                Ok(()) => tool.run(&call.input, &context).await,
                Err(never_began) => never_began,
            };
            Done::Ran(call.id, Box::new(ran))
        });
        self.job_calls.insert(handle.id(), id);
    }
}

/// A call that would fail is no question, unless it touches what is outside of the roots: what is there
/// is told only once the user permitted the call.
fn decided(verdict: Verdict, prepared: Prepared) -> Judged {
    let inside = prepared.touches.iter().all(|touch| touch.inside);
    match (verdict, &prepared.trouble) {
        (Verdict::Deny(reason), _) => Judged::Denied(prepared, reason),
        (Verdict::Allow, Some(trouble)) => Judged::Invalid(trouble.clone()),
        (Verdict::Ask, Some(trouble)) if inside => Judged::Invalid(trouble.clone()),
        (Verdict::Allow, None) => Judged::Allowed(prepared),
        (Verdict::Ask, _) => Judged::Asked(prepared),
    }
}

/// The stream's next item; waits for ever where there is no stream.
async fn next(stream: &mut Option<Deltas>) -> Option<Result<Delta, ModelError>> {
    match stream {
        Some(stream) => stream.next().await,
        None => std::future::pending().await,
    }
}

/// Appends a delta, text to text.
fn join(joined: &mut Vec<Delta>, delta: Delta) {
    match (joined.last_mut(), delta) {
        (Some(Delta::Text(last)), Delta::Text(more))
        | (Some(Delta::Thought(last)), Delta::Thought(more)) => {
            last.push_str(&more);
        }
        (_, delta) => joined.push(delta),
    }
}

#[cfg(test)]
mod tests;
