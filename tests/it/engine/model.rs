//! Any order of anything, against a model that is simpler than an engine.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use talaria::tasks::engine::{
    EngineError, Filter, Lease, Receipt, Renewed, State, TaskClient as _, TaskWorker as _, Wanted,
};

use super::bench::{Bench, Place, Window, checkpoint, completed, said, session, steer, task, word};

const WINDOWS: usize = 2;

#[derive(Debug, Clone)]
enum Op {
    Submit {
        window: usize,
        key: u8,
    },
    Send {
        window: usize,
        task: u64,
        id: u8,
    },
    Cancel {
        window: usize,
        task: u64,
    },
    Resume {
        window: usize,
        task: u64,
    },
    List {
        window: usize,
    },
    Claim {
        window: usize,
        task: u64,
    },
    /// Under the newest lease that anyone got of this task, or the one before.
    Append {
        window: usize,
        task: u64,
        stale: bool,
    },
    Renew {
        window: usize,
        task: u64,
        stale: bool,
    },
    Checkpoint {
        window: usize,
        task: u64,
        stale: bool,
    },
    Finish {
        window: usize,
        task: u64,
        stale: bool,
    },
    Crash {
        window: usize,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let (window, task) = (0..WINDOWS, 1..4_u64);
    let place = (window.clone(), task);
    let written = (place.clone(), prop::bool::weighted(0.2));
    prop_oneof![
        3 => (window.clone(), 0..4_u8).prop_map(|(window, key)| Op::Submit { window, key }),
        3 => (place.clone(), 0..4_u8).prop_map(|((window, task), id)| Op::Send { window, task, id }),
        3 => place.clone().prop_map(|(window, task)| Op::Cancel { window, task }),
        1 => place.clone().prop_map(|(window, task)| Op::Resume { window, task }),
        1 => window.clone().prop_map(|window| Op::List { window }),
        5 => place.prop_map(|(window, task)| Op::Claim { window, task }),
        5 => written.clone().prop_map(|((window, task), stale)| Op::Append { window, task, stale }),
        2 => written.clone().prop_map(|((window, task), stale)| Op::Renew { window, task, stale }),
        3 => written.clone()
            .prop_map(|((window, task), stale)| Op::Checkpoint { window, task, stale }),
        1 => written.prop_map(|((window, task), stale)| Op::Finish { window, task, stale }),
        1 => window.prop_map(|window| Op::Crash { window }),
    ]
}

/// A task, as the rules say that it is.
#[derive(Debug)]
struct Expected {
    key: u8,
    state: State,
    epoch: u64,
    /// The window that runs it, and how often that window had crashed when it began.
    holder: Option<(usize, u64)>,
    cancel: bool,
    inbox: Vec<u8>,
    read: u64,
    checkpoint: Option<String>,
    story: Vec<String>,
}

impl Expected {
    fn new(key: u8) -> Self {
        Self {
            key,
            state: State::Queued,
            epoch: 0,
            holder: None,
            cancel: false,
            inbox: Vec::new(),
            read: 0,
            checkpoint: None,
            story: vec!["queued".to_owned()],
        }
    }

    fn tell(&mut self, word: impl Into<String>) {
        self.story.push(word.into());
    }

    fn end(&mut self, state: State) {
        self.state = state;
        self.holder = None;
        self.tell(state.name());
    }

    /// Someone looks at it.
    fn look(&mut self, crashes: &[u64; WINDOWS]) {
        let is_dead = self.holder.is_some_and(|(window, when)| crashes[window] != when);
        if !is_dead {
            return;
        }
        self.holder = None;
        self.state = State::Interrupted;
        self.tell("lost");
        if self.cancel {
            self.end(State::Cancelled);
        }
    }

    fn unread(&self, after: u64) -> Vec<(u64, String)> {
        let all = (1_u64..).zip(self.inbox.iter().map(ToString::to_string));
        all.filter(|(position, _)| *position > after).collect()
    }
}

struct Run<P: Place> {
    bench: Bench<P>,
    windows: Vec<Window<P>>,
    crashes: [u64; WINDOWS],
    tasks: BTreeMap<u64, Expected>,
    count: u64,
}

impl<P: Place> Run<P> {
    fn new() -> Self {
        let bench = Bench::new();
        let windows = (0..WINDOWS).map(|_| bench.window()).collect();
        Self { bench, windows, crashes: [0; WINDOWS], tasks: BTreeMap::new(), count: 0 }
    }

    async fn step(&mut self, op: Op) {
        match op {
            Op::Submit { window, key } => self.submit(window, key).await,
            Op::Crash { window } => {
                self.windows[window] = self.bench.window();
                self.crashes[window] += 1;
            }
            Op::List { window } => self.list(window).await,
            Op::Send { window, task, id } => self.send(window, task, id).await,
            Op::Cancel { window, task } => self.cancel(window, task).await,
            Op::Resume { window, task } => self.resume(window, task).await,
            Op::Claim { window, task } => self.claim(window, task).await,
            Op::Append { window, task, stale } => {
                self.count += 1;
                let what = vec![said(&self.count.to_string())];
                let Some((lease, expected)) = self.lease(window, task, stale) else { return };
                let word = format!("said:{}", self.count);
                let answer = self.windows[window].engine.append(lease, what).await;
                self.wrote(task, expected, answer, |kept| kept.tell(word));
            }
            Op::Checkpoint { window, task, stale } => {
                self.count += 1;
                let Some((lease, expected)) = self.lease(window, task, stale) else { return };
                let read = u64::try_from(self.tasks[&task].inbox.len()).unwrap();
                let state = self.count.to_string();
                let at = checkpoint(&state, read);
                let answer = self.windows[window].engine.checkpoint(lease, at).await;
                self.wrote(task, expected, answer, |kept| {
                    kept.read = read;
                    kept.tell(format!("at:{state}@{read}"));
                    kept.checkpoint = Some(state);
                });
            }
            Op::Finish { window, task, stale } => {
                let Some((lease, expected)) = self.lease(window, task, stale) else { return };
                let read = self.tasks[&task].read;
                let answer = self.windows[window].engine.finish(lease, read, completed("x")).await;
                self.wrote(task, expected, answer, |kept| kept.end(State::Completed));
            }
            Op::Renew { window, task, stale } => {
                let Some((lease, expected)) = self.lease(window, task, stale) else { return };
                let kept = &self.tasks[&task];
                let answer = self.windows[window].engine.renew(lease, kept.read).await.unwrap();
                match answer {
                    Renewed::Lost => assert!(expected.is_err()),
                    Renewed::Cancel { .. } => assert!(kept.cancel && expected.is_ok()),
                    Renewed::Continue { unread } => {
                        assert!(!kept.cancel && expected.is_ok());
                        let unread: Vec<(u64, String)> =
                            unread.into_iter().map(|one| (one.position, one.message.id)).collect();
                        assert_eq!(unread, kept.unread(kept.read));
                    }
                }
            }
        }
    }

    async fn submit(&mut self, window: usize, key: u8) {
        let id = self.windows[window].submit(&key.to_string()).await;
        let known = self.tasks.iter().find(|(_, kept)| kept.key == key).map(|(number, _)| *number);
        let next = u64::try_from(self.tasks.len()).unwrap() + 1;
        assert_eq!(id, task(known.unwrap_or(next)));
        let kept = self.tasks.entry(id.number).or_insert_with(|| Expected::new(key));
        kept.look(&self.crashes);
    }

    async fn list(&mut self, window: usize) {
        let listed = self.windows[window].engine.list(Filter::of(session())).await.unwrap();
        let listed: Vec<_> =
            listed.into_iter().map(|one| (one.task.number, one.status.state)).collect();
        let mut expected = Vec::new();
        for (number, kept) in self.tasks.iter_mut().rev() {
            kept.look(&self.crashes);
            expected.push((*number, kept.state));
        }
        assert_eq!(listed, expected);
    }

    async fn send(&mut self, window: usize, number: u64, id: u8) {
        let message = steer(&id.to_string());
        let answer = self.windows[window].engine.send(task(number), message).await;
        let Some(kept) = self.tasks.get_mut(&number) else { return unknown(number, answer) };
        kept.look(&self.crashes);
        let known = kept.inbox.iter().position(|other| *other == id);
        let known = known.map(|place| u64::try_from(place).unwrap() + 1);
        let expected = match known {
            Some(position) if position <= kept.read => Receipt::Delivered { position },
            _ if kept.state.is_final() => Receipt::Missed { state: kept.state },
            Some(position) => Receipt::Queued { position },
            None => {
                kept.inbox.push(id);
                let position = u64::try_from(kept.inbox.len()).unwrap();
                kept.tell(format!("received:{id}@{position}"));
                Receipt::Queued { position }
            }
        };
        assert_eq!(answer.unwrap(), expected);
    }

    async fn cancel(&mut self, window: usize, number: u64) {
        let answer = self.windows[window].engine.cancel(task(number), "x".to_owned()).await;
        let Some(kept) = self.tasks.get_mut(&number) else { return unknown(number, answer) };
        kept.look(&self.crashes);
        if kept.state.is_leased() && !kept.cancel {
            kept.cancel = true;
            kept.tell("cancel:x");
        } else if !kept.state.is_leased() && !kept.state.is_final() {
            kept.end(State::Cancelled);
        }
        assert_eq!(answer.unwrap(), kept.state);
    }

    async fn resume(&mut self, window: usize, number: u64) {
        let answer = self.windows[window].engine.resume(task(number)).await;
        let Some(kept) = self.tasks.get_mut(&number) else { return unknown(number, answer) };
        kept.look(&self.crashes);
        if kept.state == State::Interrupted {
            kept.state = State::Queued;
            kept.tell("queued");
        }
        assert_eq!(answer.unwrap(), kept.state);
    }

    async fn claim(&mut self, window: usize, number: u64) {
        let answer = self.windows[window].engine.claim(Wanted::Task(task(number))).await;
        let Some(kept) = self.tasks.get_mut(&number) else { return unknown(number, answer) };
        kept.look(&self.crashes);
        match answer {
            Ok(claimed) => {
                let claimed = claimed.unwrap();
                assert!(!kept.state.is_leased() && !kept.state.is_final(), "{kept:?}");
                kept.state = State::Running;
                kept.epoch += 1;
                kept.holder = Some((window, self.crashes[window]));
                kept.tell("started");
                assert_eq!(claimed.lease.epoch, kept.epoch);
                assert_eq!(claimed.last, u64::try_from(kept.story.len()).unwrap());
                assert_eq!(claimed.checkpoint.map(|at| at.state), kept.checkpoint);
                let unread: Vec<(u64, String)> =
                    claimed.unread.into_iter().map(|one| (one.position, one.message.id)).collect();
                assert_eq!(unread, kept.unread(kept.read));
            }
            Err(EngineError::Taken { .. }) => assert!(kept.state.is_leased(), "{kept:?}"),
            Err(EngineError::Final { state, .. }) => {
                assert!(state.is_final());
                assert_eq!(state, kept.state);
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// A lease to write with, and what comes of it.
    fn lease(
        &self,
        window: usize,
        number: u64,
        stale: bool,
    ) -> Option<(Lease, Result<(), EngineError>)> {
        let kept = self.tasks.get(&number).filter(|kept| kept.epoch > 0)?;
        let lease = Lease { task: task(number), epoch: kept.epoch - u64::from(stale) };
        let expected = if kept.state.is_final() && !stale {
            Err(EngineError::Final { task: task(number), state: kept.state })
        } else if stale || kept.holder != Some((window, self.crashes[window])) {
            Err(EngineError::Lost { lease: lease.clone() })
        } else {
            Ok(())
        };
        Some((lease, expected))
    }

    fn wrote(
        &mut self,
        number: u64,
        expected: Result<(), EngineError>,
        answer: Result<u64, EngineError>,
        change: impl FnOnce(&mut Expected),
    ) {
        let kept = self.tasks.get_mut(&number).unwrap();
        match expected {
            Ok(()) => {
                change(kept);
                assert_eq!(answer, Ok(u64::try_from(kept.story.len()).unwrap()));
            }
            Err(error) => assert_eq!(answer, Err(error)),
        }
    }

    /// Nothing was lost or told twice, and what did not end can go on.
    async fn end(mut self) {
        for number in self.tasks.keys().copied().collect::<Vec<_>>() {
            let window = &self.windows[0];
            let words: Vec<String> =
                window.history(&task(number)).await.iter().map(|event| word(&event.body)).collect();
            let kept = self.tasks.get_mut(&number).unwrap();
            kept.look(&self.crashes);
            assert_eq!(words, kept.story, "task {number}");
            assert_eq!(window.status(&task(number)).await.state, kept.state);
        }
        self.windows.clear();
        let window = self.bench.window();
        for (number, kept) in &self.tasks {
            let claim = window.engine.claim(Wanted::Task(task(*number))).await;
            let is_cancelled = kept.cancel && kept.state.is_leased();
            let is_final = kept.state.is_final() || is_cancelled;
            assert_eq!(claim.is_ok(), !is_final, "task {number}: {claim:?}");
        }
    }
}

fn unknown<T: std::fmt::Debug>(number: u64, answer: Result<T, EngineError>) {
    assert_eq!(answer.unwrap_err(), EngineError::Unknown(task(number)));
}

pub async fn any_order_of_anything_agrees_with_the_rules<P: Place>() {
    let runtime = tokio::runtime::Handle::current();
    let run = move || {
        let mut runner = TestRunner::new(Config { cases: 24, ..Config::default() });
        let result = runner.run(&prop::collection::vec(op(), 1..50), |ops| {
            runtime.block_on(async {
                let mut run = Run::<P>::new();
                for op in ops {
                    run.step(op).await;
                }
                run.end().await;
            });
            Ok(())
        });
        result.unwrap_or_else(|failure| panic!("{failure}"));
    };
    tokio::task::spawn_blocking(run).await.unwrap();
}
