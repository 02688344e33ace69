//! What is left when a worker dies: a process that is killed, or a window that is gone.

use std::env;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::json;
use talaria::clock::Clock;
use talaria::tasks::engine::{
    EngineError, Filter, Outcome, Progress, Renewed, Report, State, Submitted, TaskClient as _,
    TaskWorker as _, Wanted,
};

use super::bench::{
    Bench, Place, Window, checkpoint, completed, new, next_event, said, session, steer, task, word,
};

/// Set in the process that is to be killed: the folder of its tasks.
const FOLDER: &str = "TALARIA_TEST_WORKER_OF";

/// Works until it is killed: a checkpoint behind every third event, a line for each that is kept.
async fn work_for_ever<P: Place>(folder: &Path) {
    let window = Window::<P>::open(folder, Clock::real());
    let claimed = window.claim(&task(1)).await;
    let lease = claimed.lease;
    for n in 0_u64.. {
        window.engine.append(lease.clone(), vec![said(&n.to_string())]).await.unwrap();
        println!("kept {n}");
        if n % 3 == 2 {
            let at = checkpoint(&n.to_string(), 1);
            window.engine.checkpoint(lease.clone(), at).await.unwrap();
            println!("checkpoint {n}");
        }
    }
}

/// This test again in a process of its own, as the worker.
fn spawn_worker<P: Place>(folder: &Path) -> (Child, BufReader<ChildStdout>) {
    let test = format!("{}::a_killed_worker_loses_nothing_that_it_was_told_is_kept", P::TESTS);
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", &test, "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    (child, output)
}

pub async fn a_killed_worker_loses_nothing_that_it_was_told_is_kept<P: Place>() {
    if let Some(folder) = env::var_os(FOLDER) {
        return work_for_ever::<P>(Path::new(&folder)).await;
    }
    let bench = Bench::<P>::new();
    let window = bench.window();
    let id = window.submit("one").await;
    window.engine.send(id.clone(), steer("seen")).await.unwrap();
    window.engine.send(id.clone(), steer("unseen")).await.unwrap();
    let mut events = window.engine.events(id.clone(), 0);

    let (mut child, output) = spawn_worker::<P>(bench.folder());
    let mut lines = output.lines().map(Result::unwrap);
    assert!(lines.any(|line| line.ends_with("checkpoint 8")), "the worker works");
    let taken = window.engine.claim(Wanted::Task(id.clone())).await.unwrap_err();
    let worker = format!("process {}", child.id());
    assert_eq!(taken, EngineError::Taken { task: id.clone(), worker });
    child.kill().unwrap();
    child.wait().unwrap();
    // What it still said before it died.
    let told: Vec<String> = lines.collect();
    let last = |what: &str, least: u64| {
        let told = told.iter().filter_map(|line| line.strip_prefix(what)?.parse().ok());
        told.fold(least, u64::max)
    };
    let (kept, checkpointed) = (last("kept ", 8), last("checkpoint ", 8));

    let claimed = window.claim(&id).await;
    assert_eq!(claimed.lease.epoch, 2);
    let from = claimed.checkpoint.unwrap();
    let state: u64 = from.state.parse().unwrap();
    // One more may have been kept whose answer was cut off.
    assert!([checkpointed, checkpointed + 3].contains(&state), "{state}, told {checkpointed}");
    let unread: Vec<&str> = claimed.unread.iter().map(|one| one.message.id.as_str()).collect();
    assert_eq!(unread, ["unseen"]);

    let history = window.history(&id).await;
    let words: Vec<String> = history.iter().map(|event| word(&event.body)).collect();
    let said: Vec<u64> =
        words.iter().filter_map(|word| word.strip_prefix("said:")?.parse().ok()).collect();
    assert_eq!(said, (0..u64::try_from(said.len()).unwrap()).collect::<Vec<_>>());
    assert!(said.contains(&kept), "{kept} was told to be kept, {said:?} was");
    assert_eq!(words[words.len() - 2..], ["lost", "started"]);
    // Who listened all the time heard the same.
    for event in history {
        assert_eq!(next_event(&mut events).await, event);
    }
}

pub async fn a_dead_worker_is_found_by_whoever_looks<P: Place>() {
    let bench = Bench::<P>::new();
    let window = bench.window();
    let interrupt = async |key: &str| {
        let worker = bench.window();
        let lease = worker.running(key).await.lease;
        let asks = Progress::NeedsInput { question: json!("?") };
        worker.engine.append(lease.clone(), vec![asks]).await.unwrap();
        let state = window.status(&lease.task).await.state;
        assert_eq!(state, State::Waiting);
        lease.task
    };
    // By a list, which also finds those that it does not show.
    let id = interrupt("list").await;
    let waiting = Filter { states: vec![State::Waiting], ..Filter::of(session()) };
    assert_eq!(window.engine.list(waiting).await.unwrap(), []);
    let listed = window.engine.list(Filter::of(session())).await.unwrap();
    assert_eq!((listed[0].status.state, &listed[0].status.question), (State::Interrupted, &None));
    assert_eq!(window.story(&id).await, "queued started asked lost");
    // By a look at it.
    let id = interrupt("get").await;
    assert_eq!(window.status(&id).await.state, State::Interrupted);
    let id = interrupt("result").await;
    assert_eq!(window.engine.result(id.clone()).await.unwrap(), None);
    assert_eq!(window.story(&id).await, "queued started asked lost");
    // By the same key.
    let id = interrupt("submit").await;
    let again = window.engine.submit(session(), 0, vec![new("submit")]).await.unwrap();
    assert_eq!(again, [Submitted { task: id, state: State::Interrupted }]);
    // By a message, which waits for the next worker.
    let id = interrupt("send").await;
    window.engine.send(id.clone(), steer("m")).await.unwrap();
    assert_eq!(window.story(&id).await, "queued started asked lost received:m@1");
    // By who listens, without anyone asking.
    let worker = bench.window();
    let lease = worker.running("events").await.lease;
    let mut events = window.engine.events(lease.task.clone(), 2);
    assert!(futures::poll!(futures::StreamExt::next(&mut events)).is_pending());
    drop(worker);
    assert_eq!(word(&next_event(&mut events).await.body), "lost");
    // By who wants to run it.
    let id = interrupt("claim").await;
    assert_eq!(window.claim(&id).await.lease.epoch, 2);
    assert_eq!(window.story(&id).await, "queued started asked lost started");
}

pub async fn an_interrupted_task_is_resumed_by_its_name_alone<P: Place>() {
    let bench = Bench::<P>::new();
    let worker = bench.window();
    let lease = worker.running("one").await.lease;
    worker.engine.checkpoint(lease.clone(), checkpoint("here", 0)).await.unwrap();
    drop(worker);

    let window = bench.window();
    assert_eq!(window.engine.claim(Wanted::Next(session())).await.unwrap(), None);
    for _ in 0..2 {
        assert_eq!(window.engine.resume(lease.task.clone()).await.unwrap(), State::Queued);
    }
    let claimed = window.engine.claim(Wanted::Next(session())).await.unwrap().unwrap();
    assert_eq!(claimed.checkpoint, Some(checkpoint("here", 0)));
    assert_eq!(claimed.lease.epoch, 2);
    assert_eq!(window.engine.resume(lease.task.clone()).await.unwrap(), State::Running);
    assert_eq!(window.story(&lease.task).await, "queued started at:here@0 lost queued started");
    window.engine.finish(claimed.lease, 0, completed("at last")).await.unwrap();
}

pub async fn a_cancelled_task_whose_worker_dies_is_cancelled<P: Place>() {
    let bench = Bench::<P>::new();
    let window = bench.window();
    let cancel = |id| window.engine.cancel(id, "stop".to_owned());
    // Before it could end the task.
    let worker = bench.window();
    let lease = worker.running("one").await.lease;
    assert_eq!(cancel(lease.task.clone()).await.unwrap(), State::Running);
    let renewed = worker.engine.renew(lease.clone(), 0).await.unwrap();
    assert_eq!(renewed, Renewed::Cancel { reason: "stop".to_owned() });
    drop(worker);
    let outcome = Outcome::Cancelled { reason: "stop".to_owned(), report: Report::default() };
    assert_eq!(window.engine.result(lease.task.clone()).await.unwrap(), Some(outcome));
    assert_eq!(window.story(&lease.task).await, "queued started cancel:stop lost cancelled");
    // Before the cancel, found by it or before it.
    for looked_at in [false, true] {
        let worker = bench.window();
        let lease = worker.running(&format!("dead {looked_at}")).await.lease;
        drop(worker);
        if looked_at {
            assert_eq!(window.status(&lease.task).await.state, State::Interrupted);
        }
        assert_eq!(cancel(lease.task.clone()).await.unwrap(), State::Cancelled);
        assert_eq!(window.story(&lease.task).await, "queued started lost cancelled");
    }
}
