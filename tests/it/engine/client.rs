//! What clients ask: to add, to list, to cancel.

use futures::future::join_all;
use serde_json::json;
use talaria::ids::SessionId;
use talaria::tasks::engine::{
    Content, EngineError, Filter, LARGEST, Lease, Message, New, Outcome, Progress, Receipt,
    Renewed, Report, Spec, State, TaskClient as _, TaskWorker as _, Wanted,
};

use super::bench::{
    Bench, Place, Window, checkpoint, completed, new, report, rest, said, session, soon, steer,
    task,
};

pub async fn the_same_key_is_the_same_task<P: Place>() {
    let bench = Bench::<P>::new();
    let (first, second) = (bench.window(), bench.window());
    let asks = (0..20).map(|n| if n % 2 == 0 { &first } else { &second });
    let tasks = join_all(asks.map(|window| window.submit("one"))).await;
    assert!(tasks.iter().all(|id| *id == task(1)), "{tasks:?}");
    assert_eq!(first.submit("two").await, task(2));

    // Whatever became of it, and whatever else is asked.
    first.claim(&task(1)).await;
    let mut other = new("one");
    other.spec.goal.push_str(" else");
    let again = second.engine.submit(session(), 0, vec![other]).await.unwrap();
    assert_eq!((again[0].task.clone(), again[0].state), (task(1), State::Running));
    assert_eq!(second.engine.get(task(1)).await.unwrap().spec, new("one").spec);
    assert_eq!(second.story(&task(1)).await, "queued started");
}

pub async fn tasks_are_numbered_without_a_gap_whoever_submits_them<P: Place>() {
    let bench = Bench::<P>::new();
    let (first, second) = (bench.window(), bench.window());
    let submit = async |window: &Window<P>, name: &str, n: u64| {
        window.submit(&format!("{name}{n}")).await.number
    };
    let both = (0..50).flat_map(|n| [submit(&first, "a", n), submit(&second, "b", n)]);
    let mut numbers = soon(join_all(both)).await;
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=100).collect::<Vec<_>>());
}

pub async fn tasks_of_one_request_are_added_together<P: Place>() {
    let bench = Bench::<P>::new();
    let window = bench.window();
    let added = window.engine.submit(session(), 0, ["a", "b", "a"].map(new).into()).await.unwrap();
    let numbers: Vec<u64> = added.iter().map(|added| added.task.number).collect();
    assert_eq!(numbers, [1, 2, 1]);

    let large = New { key: "d".to_owned(), spec: large_spec() };
    let refused = window.engine.submit(session(), 0, vec![new("c"), large]).await;
    assert!(matches!(refused, Err(EngineError::TooLarge { .. })), "{refused:?}");
    assert_eq!(window.engine.list(Filter::of(session())).await.unwrap().len(), 2);
}

pub async fn numbers_are_above_the_floor_that_is_given<P: Place>() {
    let bench = Bench::<P>::new();
    let window = bench.window();
    let number = async |floor: u64, key: &str| {
        let added = window.engine.submit(session(), floor, vec![new(key)]).await.unwrap();
        added[0].task.number
    };
    assert_eq!(number(4, "a").await, 5);
    assert_eq!(number(2, "b").await, 6, "a floor takes nothing back");
    assert_eq!(number(0, "a").await, 5, "the same key is the same task, whatever the floor");
    assert_eq!(number(9, "a").await, 5);
    let both = window.engine.submit(session(), 9, ["c", "d"].map(new).into()).await.unwrap();
    assert_eq!(both.iter().map(|one| one.task.number).collect::<Vec<_>>(), [10, 11]);
    // What is between is unknown, and what is there is found by its number.
    assert_eq!(window.engine.get(task(7)).await.unwrap_err(), EngineError::Unknown(task(7)));
    assert_eq!(window.engine.get(task(10)).await.unwrap().spec, new("c").spec);
    let listed = window.engine.list(Filter::of(session())).await.unwrap();
    assert_eq!(listed.iter().map(|one| one.task.number).collect::<Vec<_>>(), [11, 10, 6, 5]);
    assert_eq!(window.claim(&task(6)).await.lease.task, task(6));
}

pub async fn what_does_not_exist_is_unknown<P: Place>() {
    let bench = Bench::<P>::new();
    let window = bench.window();
    window.submit("one").await;
    // The same number in a session that is not its own is another task.
    let mut foreign = task(1);
    foreign.session = SessionId::new("another");
    for id in [task(2), task(0), task(u64::MAX), foreign] {
        let engine = &window.engine;
        let lease = || Lease { task: id.clone(), epoch: 1 };
        let unknown = EngineError::Unknown(id.clone());
        assert_eq!(engine.get(id.clone()).await.unwrap_err(), unknown);
        assert_eq!(engine.send(id.clone(), steer("m")).await.unwrap_err(), unknown);
        assert_eq!(engine.cancel(id.clone(), String::new()).await.unwrap_err(), unknown);
        assert_eq!(engine.resume(id.clone()).await.unwrap_err(), unknown);
        assert_eq!(engine.result(id.clone()).await.unwrap_err(), unknown);
        assert_eq!(engine.claim(Wanted::Task(id.clone())).await.unwrap_err(), unknown);
        assert_eq!(engine.renew(lease(), 0).await.unwrap_err(), unknown);
        assert_eq!(engine.append(lease(), vec![said("x")]).await.unwrap_err(), unknown);
        assert_eq!(engine.checkpoint(lease(), checkpoint("x", 0)).await.unwrap_err(), unknown);
        assert_eq!(engine.finish(lease(), 0, completed("x")).await.unwrap_err(), unknown);
        let heard: Vec<_> = soon(futures::StreamExt::collect(engine.events(id.clone(), 0))).await;
        assert_eq!(heard, [Err(unknown)]);
    }
    assert_eq!(window.story(&task(1)).await, "queued");
}

fn large_spec() -> Spec {
    Spec { goal: String::new(), details: json!("x".repeat(LARGEST)) }
}

pub async fn what_is_too_large_is_refused_and_changes_nothing<P: Place>() {
    let bench = Bench::<P>::new();
    let window = bench.window();
    let engine = &window.engine;
    let claimed = window.running("one").await;
    let (id, lease) = (claimed.lease.task.clone(), || claimed.lease.clone());
    let large = || "x".repeat(LARGEST);
    let most = engine.capabilities().largest;
    assert_eq!(most, LARGEST);

    let check = |error: EngineError| {
        let message = error.to_string();
        assert!(message.contains("keep it elsewhere"), "{message}");
        assert!(matches!(error, EngineError::TooLarge { size, most, .. } if size > most));
    };
    let message = Message { id: "m".to_owned(), content: Content::Steer { text: large() } };
    check(engine.send(id.clone(), message).await.unwrap_err());
    check(engine.cancel(id.clone(), large()).await.unwrap_err());
    check(engine.append(lease(), vec![said("fine"), said(&large())]).await.unwrap_err());
    check(engine.say(lease(), large()).await.unwrap_err());
    check(engine.checkpoint(lease(), checkpoint(&large(), 0)).await.unwrap_err());
    check(engine.finish(lease(), 0, completed(&large())).await.unwrap_err());
    assert_eq!(window.story(&id).await, "queued started");

    // What just fits comes back whole; letters that are long in JSON count as they are kept.
    check(engine.append(lease(), vec![said(&"\n".repeat(LARGEST / 2))]).await.unwrap_err());
    let fits = "x".repeat(LARGEST - 200);
    engine.append(lease(), vec![said(&fits)]).await.unwrap();
    engine.finish(lease(), 0, completed(&fits)).await.unwrap();
    assert_eq!(engine.result(id.clone()).await.unwrap(), Some(completed(&fits)));
    assert_eq!(window.story(&id).await, format!("queued started said:{fits} completed"));
}

pub async fn a_thousand_tasks_are_listed_by_pages<P: Place>() {
    let bench = Bench::<P>::new();
    let window = bench.window();
    let tasks: Vec<New> = (1..=1_000).map(|n| new(&n.to_string())).collect();
    let added = soon(window.engine.submit(session(), 0, tasks)).await.unwrap();
    assert_eq!(added.len(), 1_000);

    let all = soon(window.engine.list(Filter::of(session()))).await.unwrap();
    let numbers: Vec<u64> = all.iter().map(|listed| listed.task.number).collect();
    assert_eq!(numbers, (1..=1_000).rev().collect::<Vec<_>>());
    assert_eq!(all[0].goal, "goal of 1000");

    let mut pages = Vec::new();
    let mut filter = Filter { limit: 300, ..Filter::of(session()) };
    loop {
        let page = window.engine.list(filter.clone()).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 300);
        filter.before = Some(last.task.number);
        pages.extend(page);
    }
    assert_eq!(pages, all);
}

pub async fn a_list_is_of_one_session_and_of_the_states_asked_for<P: Place>() {
    let bench = Bench::<P>::new();
    let window = bench.window();
    for key in ["a", "b", "c", "d"] {
        window.submit(key).await;
    }
    window.engine.submit(SessionId::new("another"), 0, vec![new("a")]).await.unwrap();
    let running = window.claim(&task(2)).await;
    let waiting = window.claim(&task(3)).await;
    let asks = Progress::NeedsInput { question: json!("may I?") };
    window.engine.append(waiting.lease.clone(), vec![asks]).await.unwrap();
    window.engine.cancel(task(4), "no".to_owned()).await.unwrap();

    let list = async |states: &[State]| {
        let filter = Filter { states: states.into(), ..Filter::of(session()) };
        let listed = window.engine.list(filter).await.unwrap();
        for one in &listed {
            assert_eq!(one.status, window.status(&one.task).await);
        }
        listed.into_iter().map(|one| (one.task.number, one.status.state)).collect::<Vec<_>>()
    };
    let (queued, cancelled) = ((1, State::Queued), (4, State::Cancelled));
    let (running, waiting) = ((running.lease.task.number, State::Running), (3, State::Waiting));
    assert_eq!(list(&[]).await, [cancelled, waiting, running, queued]);
    assert_eq!(list(&[State::Queued, State::Waiting]).await, [waiting, queued]);
    assert_eq!(list(&[State::Failed]).await, []);
    let question = window.status(&task(3)).await.question;
    assert_eq!(question, Some(json!("may I?")));
    let nothing = Filter::of(SessionId::new("a third"));
    assert_eq!(window.engine.list(nothing).await.unwrap(), []);
}

pub async fn a_task_without_a_worker_is_cancelled_at_once<P: Place>() {
    let bench = Bench::<P>::new();
    let window = bench.window();
    let id = window.submit("one").await;
    let state = window.engine.cancel(id.clone(), "why not".to_owned()).await.unwrap();
    assert_eq!(state, State::Cancelled);
    let outcome = Outcome::Cancelled { reason: "why not".to_owned(), report: Report::default() };
    assert_eq!(window.engine.result(id.clone()).await.unwrap(), Some(outcome));
    assert_eq!(window.engine.claim(Wanted::Next(session())).await.unwrap(), None);
    let refused = window.engine.claim(Wanted::Task(id.clone())).await.unwrap_err();
    assert_eq!(refused, EngineError::Final { task: id.clone(), state });
    assert_eq!(window.story(&id).await, "queued cancelled");
}

pub async fn a_running_task_is_cancelled_by_its_worker<P: Place>() {
    let bench = Bench::<P>::new();
    let (worker, client) = (bench.window(), bench.window());
    let claimed = worker.running("one").await;
    let id = claimed.lease.task.clone();
    let state = client.engine.cancel(id.clone(), "enough".to_owned()).await.unwrap();
    assert_eq!(state, State::Running);
    assert_eq!(client.engine.result(id.clone()).await.unwrap(), None);

    // A message that comes behind it does not hide it.
    client.engine.send(id.clone(), steer("m")).await.unwrap();
    let renewed = worker.engine.renew(claimed.lease.clone(), 0).await.unwrap();
    assert_eq!(renewed, Renewed::Cancel { reason: "enough".to_owned() });
    // It may still say what it came to.
    worker.engine.append(claimed.lease.clone(), vec![said("stopping")]).await.unwrap();
    let outcome = Outcome::Cancelled { reason: "enough".to_owned(), report: report("half") };
    worker.engine.finish(claimed.lease, 0, outcome.clone()).await.unwrap();
    assert_eq!(client.engine.result(id.clone()).await.unwrap(), Some(outcome));
    let story = "queued started cancel:enough received:m@1 said:stopping cancelled";
    assert_eq!(client.story(&id).await, story);
}

pub async fn to_cancel_twice_is_to_cancel_once<P: Place>() {
    let bench = Bench::<P>::new();
    let window = bench.window();
    let queued = window.submit("queued").await;
    let running = window.running("running").await.lease;
    for reason in ["first", "second"] {
        let cancel = |id| window.engine.cancel(id, reason.to_owned());
        assert_eq!(cancel(queued.clone()).await.unwrap(), State::Cancelled);
        assert_eq!(cancel(running.task.clone()).await.unwrap(), State::Running);
    }
    let renewed = window.engine.renew(running.clone(), 0).await.unwrap();
    assert_eq!(renewed, Renewed::Cancel { reason: "first".to_owned() });
    assert_eq!(window.story(&queued).await, "queued cancelled");
    assert_eq!(window.story(&running.task).await, "queued started cancel:first");
}

pub async fn a_final_state_stays<P: Place>() {
    let bench = Bench::<P>::new();
    let window = bench.window();
    let engine = &window.engine;
    let failed = Outcome::Failed { message: "no luck".to_owned(), report: report("some") };
    let cancelled = Outcome::Cancelled { reason: "x".to_owned(), report: report("y") };
    for outcome in [completed("done"), failed, cancelled] {
        let state = outcome.state();
        let lease = window.running(state.name()).await.lease;
        let id = lease.task.clone();
        engine.finish(lease.clone(), 0, outcome.clone()).await.unwrap();

        let refused = EngineError::Final { task: id.clone(), state };
        let again = engine.finish(lease.clone(), 0, completed("twice")).await.unwrap_err();
        assert_eq!(again, refused);
        let late = engine.append(lease.clone(), vec![said("late")]).await.unwrap_err();
        assert_eq!(late, refused);
        let late = engine.checkpoint(lease.clone(), checkpoint("late", 0)).await.unwrap_err();
        assert_eq!(late, refused);
        assert_eq!(engine.claim(Wanted::Task(id.clone())).await.unwrap_err(), refused);
        assert_eq!(engine.renew(lease.clone(), 0).await.unwrap(), Renewed::Lost);
        assert_eq!(engine.cancel(id.clone(), "late".to_owned()).await.unwrap(), state);
        assert_eq!(engine.resume(id.clone()).await.unwrap(), state);
        let receipt = engine.send(id.clone(), steer("late")).await.unwrap();
        assert_eq!(receipt, Receipt::Missed { state });

        assert_eq!(engine.result(id.clone()).await.unwrap(), Some(outcome));
        assert_eq!(window.story(&id).await, format!("queued started {state}"));
        assert_eq!(rest(engine.events(id, 0)).await.len(), 3);
    }
}
