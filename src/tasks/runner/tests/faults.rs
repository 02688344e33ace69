//! What goes wrong: children that cannot be, die or give no sign, and an engine that is away.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::Instant;

use super::fixture::{Did, Home, Nature, Run, Wish, call, question};
use crate::config::DelegationSection;
use crate::event::CallStatus;
use crate::fault::{Fault, Kind};
use crate::ids::{SessionId, TaskId};
use crate::redact::Mask;
use crate::tasks::ChildSaid;
use crate::tasks::engine::{
    Answer, Capabilities, Checkpoint, Claimed, EngineError, Events, Filter, Lease, Listed, Message,
    New, Outcome, Position, Progress, Receipt, Renewed, Seq, SqliteEngine, State, Submitted, Task,
    TaskClient, TaskWorker, Wanted,
};
use crate::tasks::runner::{Phase, RunnerOrder, RunnerSaid};
use crate::transcript::End;

/// An engine that takes some progress or ends only after it was asked a few times.
struct Flaky {
    engine: SqliteEngine,
    appends: AtomicUsize,
    finishes: AtomicUsize,
    error: fn(Lease) -> EngineError,
}

impl Flaky {
    fn new(engine: SqliteEngine, appends: usize, finishes: usize) -> Self {
        let error = |_| EngineError::Unavailable(Fault::new(Kind::User, "the disk is full"));
        let (appends, finishes) = (AtomicUsize::new(appends), AtomicUsize::new(finishes));
        Self { engine, appends, finishes, error }
    }

    fn fails<T: Send + 'static>(&self, left: &AtomicUsize, lease: &Lease) -> Option<Answer<'_, T>> {
        let taken =
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        let error = (self.error)(lease.clone());
        taken.is_ok().then(|| async move { Err(error) }.boxed())
    }
}

impl TaskClient for Flaky {
    fn capabilities(&self) -> Capabilities {
        self.engine.capabilities()
    }

    fn submit(
        &self,
        session: SessionId,
        floor: u64,
        tasks: Vec<New>,
    ) -> Answer<'_, Vec<Submitted>> {
        self.engine.submit(session, floor, tasks)
    }

    fn send(&self, task: TaskId, message: Message) -> Answer<'_, Receipt> {
        self.engine.send(task, message)
    }

    fn cancel(&self, task: TaskId, reason: String) -> Answer<'_, State> {
        self.engine.cancel(task, reason)
    }

    fn resume(&self, task: TaskId) -> Answer<'_, State> {
        self.engine.resume(task)
    }

    fn get(&self, task: TaskId) -> Answer<'_, Task> {
        self.engine.get(task)
    }

    fn list(&self, filter: Filter) -> Answer<'_, Vec<Listed>> {
        self.engine.list(filter)
    }

    fn result(&self, task: TaskId) -> Answer<'_, Option<Outcome>> {
        self.engine.result(task)
    }

    fn events(&self, task: TaskId, after: Seq) -> Events {
        self.engine.events(task, after)
    }
}

impl TaskWorker for Flaky {
    fn claim(&self, wanted: Wanted) -> Answer<'_, Option<Claimed>> {
        self.engine.claim(wanted)
    }

    fn renew(&self, lease: Lease, seen: Position) -> Answer<'_, Renewed> {
        self.engine.renew(lease, seen)
    }

    fn append(&self, lease: Lease, progress: Vec<Progress>) -> Answer<'_, Seq> {
        let fails = self.fails(&self.appends, &lease);
        fails.unwrap_or_else(|| self.engine.append(lease, progress))
    }

    fn say(&self, lease: Lease, text: String) -> Answer<'_, ()> {
        self.engine.say(lease, text)
    }

    fn checkpoint(&self, lease: Lease, checkpoint: Checkpoint) -> Answer<'_, Seq> {
        self.engine.checkpoint(lease, checkpoint)
    }

    fn finish(&self, lease: Lease, read: Position, outcome: Outcome) -> Answer<'_, Seq> {
        let fails = self.fails(&self.finishes, &lease);
        fails.unwrap_or_else(|| self.engine.finish(lease, read, outcome))
    }
}

#[track_caller]
fn failure(outcome: Outcome) -> String {
    let Outcome::Failed { message, .. } = outcome else { panic!("{outcome:?}") };
    message
}

async fn child_that(nature: Nature) -> (Home, Run, crate::store::StoreGuard) {
    let home = Home::new().await;
    let (engine, guard) = home.engine();
    let wish = Wish { nature, ..Wish::default() };
    let mut run = Run::start(&home, Arc::new(engine), wish);
    assert!(matches!(run.said().await, RunnerSaid::Began { attempt: 1 }));
    (home, run, guard)
}

#[tokio::test]
async fn a_child_that_cannot_be_is_a_failed_task() {
    let (_home, run, _guard) = child_that(Nature::IsNot).await;
    let why = "the subagent could not be started: There is no such model.";
    assert_eq!(failure(run.ended().await), why);
    let (_home, run, _guard) = child_that(Nature::Panics).await;
    let why = failure(run.ended().await);
    assert!(why.contains("A defect of Talaria"), "{why}");
}

#[tokio::test]
async fn one_that_is_not_there_yet_is_cancelled_and_stopped() {
    let (_home, run, _guard) = child_that(Nature::Hangs).await;
    run.order(RunnerOrder::Cancel { reason: "enough".to_owned() }).await;
    assert_eq!(run.steer("too late").await, Ok(Receipt::Missed { state: State::Cancelled }));
    assert_eq!(run.ended().await.state(), State::Cancelled);
    let (_home, mut run, _guard) = child_that(Nature::Hangs).await;
    run.order(RunnerOrder::Stop).await;
    assert!(matches!(run.said().await, RunnerSaid::Stopped));
    run.over().await;
}

#[tokio::test]
async fn a_child_that_dies_is_a_failed_task() {
    let (_home, mut run, _guard) = child_that(Nature::Obeys).await;
    run.dies().await;
    let why = "the subagent's session ended before the task was done";
    assert_eq!(failure(run.ended().await), why);
}

#[tokio::test]
async fn a_task_that_is_over_is_not_begun() {
    let home = Home::new().await;
    let (engine, _guard) = home.engine();
    engine.cancel(home.task.clone(), "enough".to_owned()).await.unwrap();
    let mut run = Run::start(&home, Arc::new(engine), Wish::default());
    let said = run.said().await;
    assert!(matches!(said, RunnerSaid::NotBegan(_)), "{said:?}");
    run.over().await;
}

#[tokio::test(start_paused = true)]
async fn a_child_that_does_not_obey_does_not_hold_its_task_up() {
    let home = Home::new().await;
    let (engine, _guard) = home.engine();
    let wish = Wish { nature: Nature::IsStubborn, ..Wish::default() };
    let mut run = Run::begin(&home, Arc::new(engine), wish).await;
    run.says(ChildSaid::Text("Half a word".to_owned())).await;
    run.pulse.wait_for(|pulse| pulse.tail.open_text().is_some()).await.unwrap();
    run.says(ChildSaid::Ask(question("c1"))).await;
    assert!(matches!(run.said().await, RunnerSaid::Asks(_)));
    let begun = Instant::now();
    run.order(RunnerOrder::Cancel { reason: "enough".to_owned() }).await;
    // The root session shows what was asked for, and would for ever.
    let said = run.said().await;
    let RunnerSaid::Asked(update) = said else { panic!("{said:?}") };
    assert_eq!((update.id.as_str(), update.status), ("c1", Some(CallStatus::Failed)));
    let said = run.said().await;
    let RunnerSaid::Ended { outcome: Outcome::Cancelled { report, .. }, .. } = said else {
        panic!("{said:?}")
    };
    assert_eq!(report.text, "Half a");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(run.did().await, Did::Cancelled);
    // It is over only when the child is.
    run.gate.add_permits(1);
    run.over().await;
    assert_eq!(run.did().await, Did::Closed);
}

#[tokio::test(start_paused = true)]
async fn silence_is_told_and_ends_nothing() {
    let home = Home::new().await;
    let (engine, _guard) = home.engine();
    let mut run = Run::begin(&home, Arc::new(engine), Wish::default()).await;
    let begun = Instant::now();
    run.pulse.wait_for(|pulse| pulse.is_stalled).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 450);
    run.says(ChildSaid::Call(call("c1", CallStatus::InProgress))).await;
    run.pulse.wait_for(|pulse| !pulse.is_stalled && pulse.running_calls == 1).await.unwrap();
    let begun = Instant::now();
    run.pulse.wait_for(|pulse| pulse.is_stalled).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 1_200);
    run.answers(1, Ok(End::Finished)).await;
    assert_eq!(run.ended().await.state(), State::Completed);
}

#[tokio::test(start_paused = true)]
async fn one_whose_model_thinks_is_not_silent() {
    let home = Home::new().await;
    let (engine, _guard) = home.engine();
    let delegation = DelegationSection { max_tokens: 100, ..DelegationSection::default() };
    let wish = Wish { delegation, ..Wish::default() };
    let mut run = Run::begin(&home, Arc::new(engine), wish).await;
    let begun = Instant::now();
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_secs(400)).await;
        run.says(ChildSaid::Thinks).await;
    }
    run.pulse.wait_for(|pulse| pulse.is_stalled).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 1_600 + 450);
    // Nothing of it is shown.
    assert_eq!(run.pulse.borrow().tail.lines(9, &Mask::default()), Vec::<String>::new());
    run.replies("", 100).await;
    // It is a new request, for which there is nothing left.
    run.says(ChildSaid::Thinks).await;
    let why = failure(run.ended().await);
    assert!(why.ends_with("(`delegation.max_tokens`)"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_task_has_its_time() {
    let home = Home::new().await;
    let (engine, _guard) = home.engine();
    let delegation =
        DelegationSection { child_timeout_seconds: 60, ..DelegationSection::default() };
    let wish = Wish { delegation, ..Wish::default() };
    let run = Run::begin(&home, Arc::new(engine), wish).await;
    let begun = Instant::now();
    let why = failure(run.ended().await);
    assert!(why.ends_with("the most is 60 s (`delegation.child_timeout_seconds`)"), "{why}");
    assert_eq!(begun.elapsed().as_secs(), 60);
}

#[tokio::test]
async fn a_task_outlives_an_engine_that_is_away() {
    let home = Home::new().await;
    let (engine, _guard) = home.engine();
    let mut run = Run::begin(&home, Arc::new(Flaky::new(engine, 1, 1)), Wish::default()).await;
    run.replies("One.", 1).await;
    run.replies("Two.", 2).await;
    run.answers(1, Ok(End::Finished)).await;
    assert_eq!(run.did().await, Did::Closed);
    let said = run.said().await;
    assert!(matches!(said, RunnerSaid::Ended { state: State::Completed, .. }), "{said:?}");
    // What was not taken at first is there.
    assert_eq!(run.progress().await.len(), 4);
    run.over().await;
}

#[tokio::test(start_paused = true)]
async fn an_end_that_cannot_be_kept_is_told_as_a_failure() {
    let home = Home::new().await;
    let (engine, _guard) = home.engine();
    let flaky = Arc::new(Flaky::new(engine, usize::MAX, usize::MAX));
    let mut run = Run::begin(&home, flaky, Wish::default()).await;
    run.replies("Done.", 1).await;
    assert_eq!(run.pulse.borrow().phase, Phase::Working);
    run.answers(1, Ok(End::Finished)).await;
    let ended = run.ended().await;
    let Outcome::Failed { message, report } = ended else { panic!("{ended:?}") };
    let why = "it was completed, but its end could not be kept: the tasks cannot be reached: The disk is \
               full.";
    assert_eq!((message.as_str(), report.text.as_str()), (why, "Done."));
}

#[tokio::test]
async fn a_worker_without_its_lease_stops() {
    let error = |lease| EngineError::Lost { lease };
    for (appends, finishes) in [(1, 0), (0, 1)] {
        let home = Home::new().await;
        let (engine, _guard) = home.engine();
        let flaky = Flaky { error, ..Flaky::new(engine.clone(), appends, finishes) };
        let mut run = Run::begin(&home, Arc::new(flaky), Wish::default()).await;
        run.replies("Done.", 1).await;
        if appends == 0 {
            run.answers(1, Ok(End::Finished)).await;
        }
        assert_eq!(run.did().await, Did::Closed);
        assert!(matches!(run.said().await, RunnerSaid::Lost));
        run.over().await;
        assert_eq!(engine.get(home.task.clone()).await.unwrap().status.state, State::Running);
    }
}
