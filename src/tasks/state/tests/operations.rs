//! Each operation, with what it entails, step by step.

mod ends;

use std::collections::BTreeSet;

use expect_test::{Expect, expect};

use super::{root, task};
use crate::ids::{CallId, MessageId, SessionId, TaskId};
use crate::permission::Answer;
use crate::tasks::engine::State;
use crate::tasks::state::{
    Admitted, Command, Effect, Interrupted, Limits, Reservation, TasksState,
};
use crate::tasks::{TaskError, TaskName, Wait};

/// Rules that are told what happens in words, and a log of what they wanted.
struct Told {
    state: TasksState,
    log: String,
    /// Of the root session, and being recorded.
    reserved: Vec<(Reservation, usize)>,
}

fn limits(running: usize) -> Limits {
    Limits { running, queued: 3, depth: 2, per_prompt: 8, tokens_per_prompt: 1_000 }
}

/// The session that does a task: `c1` does `t1`, `c1.2` does `t1.2`.
fn child(name: &TaskName) -> SessionId {
    SessionId::new(format!("c{}", name.to_string().trim_start_matches('t')))
}

impl Told {
    fn new(running: usize) -> Self {
        let mut state = TasksState::new(root(), limits(running));
        state.attach(&root(), &BTreeSet::new(), Interrupted::Stay);
        Self { state, log: String::new(), reserved: Vec::new() }
    }

    fn find(&self, name: &str) -> TaskId {
        self.state.find(&root(), &name.parse().unwrap()).unwrap()
    }

    fn session(name: &str) -> SessionId {
        if name == "root" { root() } else { child(&name.parse().unwrap()) }
    }

    /// Does what was said, and notes what came of it.
    fn note(&mut self, words: &str) {
        self.log.push_str(&format!("> {words}\n"));
        while let Some(effect) = self.state.take_effect() {
            let name = |task: &TaskId| self.state.name(task);
            let line = match &effect {
                Effect::Permit(task) => format!("permit {}", name(task)),
                Effect::Release(task) => format!("release {}", name(task)),
                Effect::Run(task) => format!("run {}", name(task)),
                Effect::Order(task, command) => match command {
                    Command::Answer { call, answer } => {
                        format!("answer {} {call} {}", name(task), answer.id())
                    }
                    Command::GoOn => format!("go on {}", name(task)),
                    Command::Finish => format!("finish {}", name(task)),
                    Command::Cancel { reason } => format!("cancel {}: {reason}", name(task)),
                    Command::Fail { message } => format!("fail {}: {message}", name(task)),
                    Command::Stop => format!("stop {}", name(task)),
                },
                Effect::End { task, reason } => format!("end {}: {reason}", name(task)),
                Effect::Resume(task) => format!("resume {}", name(task)),
                Effect::Withdraw { task, call } => format!("withdraw {} {call}", name(task)),
                Effect::Report(task) => format!("report {}", name(task)),
                Effect::Over(wait) => format!("over {wait}"),
                Effect::Collect(wait) => format!("collect {wait}"),
                Effect::Done(ask, None) => format!("done {ask}"),
                Effect::Done(ask, Some(error)) => format!("not done {ask}: {error}"),
                Effect::Closed => "closed".to_owned(),
                Effect::Card(_) | Effect::Places => continue,
            };
            self.log.push_str(&format!("  {line}\n"));
            // There is room in the process, and engines answer.
            match effect {
                Effect::Permit(task) => assert!(self.state.permitted(&task)),
                Effect::End { task, .. } => self.state.ended(&task, State::Cancelled, 0),
                Effect::Resume(task) => self.state.resumed(&task, Ok(State::Queued)),
                Effect::Run(task) => {
                    let session = self.state.child(&task).unwrap().clone();
                    self.state.attach(&session, &BTreeSet::new(), Interrupted::Stay);
                }
                Effect::Release(_)
                | Effect::Order(..)
                | Effect::Card(_)
                | Effect::Places
                | Effect::Withdraw { .. }
                | Effect::Report(_)
                | Effect::Over(_)
                | Effect::Collect(_)
                | Effect::Done(..)
                | Effect::Closed => {}
            }
        }
        let (counted, taken) = self.state.slots();
        assert_eq!(counted, taken);
    }

    fn start(&mut self, session: &str, count: usize) -> Result<(), TaskError> {
        let of = Self::session(session);
        let reservation = self.state.admit(&of, &MessageId::new("m1"), count)?;
        self.record(&reservation, count);
        self.note(&format!("start {session} {count}"));
        Ok(())
    }

    fn record(&mut self, reservation: &Reservation, count: usize) {
        let of = reservation.session.clone();
        let last = self.state.tasks_of(&of).count() as u64;
        let admitted = (last + 1..=last + count as u64).map(|number| {
            let id = task(&of, number);
            Admitted { child: child(&self.state.name_below(&id)), task: id }
        });
        let admitted = admitted.collect();
        self.state.admitted(reservation, admitted);
    }

    /// One line of a script.
    fn step(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |word: &str| word.parse::<u64>().unwrap();
        match words.as_slice() {
            ["start", session, count] => {
                let count = count.parse().unwrap();
                if let Err(error) = self.start(session, count) {
                    self.log.push_str(&format!("> {line}\n  refused: {error}\n"));
                }
                return;
            }
            ["reserve", count] => {
                let count = count.parse().unwrap();
                let reservation = self.state.admit(&root(), &MessageId::new("m1"), count).unwrap();
                self.reserved.push((reservation, count));
            }
            ["record"] => {
                let (reservation, count) = self.reserved.remove(0);
                self.record(&reservation, count);
            }
            ["stop"] => {
                self.state.cancel_recorded(&root(), "enough");
                let tasks: Vec<TaskId> = self.state.tasks_of(&root()).cloned().collect();
                self.state.cancel(&tasks, "enough");
            }
            ["asks", name, call] => {
                let task = self.find(name);
                self.state.asks(&task, CallId::new(*call));
            }
            ["answer", name, call] => {
                let task = self.find(name);
                assert!(self.state.answer(&task, &CallId::new(*call), Answer::AllowOnce));
            }
            ["settled", name, call] => {
                let task = self.find(name);
                self.state.withdrawn(&task, &CallId::new(*call));
            }
            ["spent", name, tokens] => {
                let task = self.find(name);
                self.state.spent(&task, number(tokens));
            }
            ["idle", name, steps] => {
                let task = self.find(name);
                self.state.idle(&task, number(steps));
            }
            ["steered", name] => {
                let task = self.find(name);
                self.state.roused(&task);
            }
            ["ends", name, rest @ ..] => {
                let task = self.find(name);
                let steps = rest.first().map_or(0, |steps| number(steps));
                self.state.ended(&task, State::Completed, steps);
            }
            ["stops", name] => {
                let task = self.find(name);
                self.state.stopped(&task);
            }
            ["wait", session, kind, names @ ..] => {
                let tasks: Vec<TaskId> = names.iter().map(|name| self.find(name)).collect();
                let kind = if *kind == "all" { Wait::All } else { Wait::Any };
                let wait = self.state.wait(&Self::session(session), &tasks, kind);
                self.log.push_str(&format!("  it is wait {wait}\n"));
            }
            ["collect", wait] => self.state.collect(number(wait)),
            ["drop", wait] => self.state.drop_wait(number(wait)),
            ["cancel", names @ ..] => {
                let tasks: Vec<TaskId> = names.iter().map(|name| self.find(name)).collect();
                self.state.cancel(&tasks, "enough");
            }
            ["resume", name] => {
                let task = self.find(name);
                self.state.resume(&[task]);
            }
            ["detach"] => self.state.detach(&root()),
            ["attach", reported @ ..] => {
                let reported = reported.iter().map(|one| number(one)).collect();
                self.state.attach(&root(), &reported, Interrupted::Stay);
            }
            ["close"] => self.state.close(),
            ["abandon"] => self.state.abandon(),
            ["states"] => {
                self.log.push_str("> states\n");
                let tops: Vec<TaskId> = self.state.tasks_of(&root()).cloned().collect();
                for task in self.state.with_descendants(&tops) {
                    let place = self.state.place(&task);
                    let place = place.map(|place| format!(" {place}")).unwrap_or_default();
                    let (name, state) = (self.state.name(&task), self.state.state(&task));
                    self.log.push_str(&format!("  {name} {state}{place}\n"));
                }
                return;
            }
            other => panic!("{other:?}"),
        }
        self.note(line);
    }
}

/// Plays a script with so many slots.
#[expect(clippy::needless_pass_by_value, reason = "`expect!` makes one for each call")]
fn check(running: usize, script: &[&str], expected: Expect) {
    let mut told = Told::new(running);
    for line in script {
        told.step(line);
    }
    expected.assert_eq(&told.log);
}

#[test]
fn a_full_house_queues_in_order_and_places_move_up() {
    check(
        1,
        &["start root 3", "states", "start root 2", "ends t1", "states"],
        expect![[r#"
        > start root 3
          permit t1
          run t1
        > states
          t1 running
          t2 queued 1
          t3 queued 2
        > start root 2
          refused: 2 tasks are queued and 2 more would be above `delegation.max_queued` (3); none was started: wait for some, or cancel some
        > ends t1
          release t1
          report t1
          permit t2
          run t2
        > states
          t1 completed
          t2 running
          t3 queued 1
    "#]],
    );
}

#[test]
fn limits_are_named() {
    let script = ["start root 1", "start root 9", "spent t1 999", "start root 1", "spent t1 1"];
    check(
        1,
        &script,
        expect![[r#"
        > start root 1
          permit t1
          run t1
        > start root 9
          refused: 0 tasks are queued and 9 more would be above `delegation.max_queued` (3); none was started: start fewer at once, or when some have ended
        > spent t1 999
        > start root 1
        > spent t1 1
          fail t1: the tasks of this prompt have taken 1000 tokens, the most is 1000 (`tasks.max_tokens_per_prompt`)
          end t2: the tasks of this prompt have taken 1000 tokens, the most is 1000 (`tasks.max_tokens_per_prompt`)
          report t2
    "#]],
    );
    check(
        9,
        &["start root 8", "start root 1"],
        expect![[r#"
        > start root 8
          permit t1
          permit t2
          permit t3
          permit t4
          permit t5
          permit t6
          permit t7
          permit t8
          run t1
          run t2
          run t3
          run t4
          run t5
          run t6
          run t7
          run t8
        > start root 1
          refused: this prompt has led to 8 tasks and 1 more would be above `tasks.max_per_prompt` (8); none was started: go on with what there is, or let the user ask again
    "#]],
    );
    check(
        9,
        &["start root 1", "start t1 1", "start t1.1 1"],
        expect![[r#"
        > start root 1
          permit t1
          run t1
        > start t1 1
          permit t1.1
          run t1.1
        > start t1.1 1
          refused: tasks cannot start tasks this deep (`delegation.max_spawn_depth` is 2); do the work yourself
    "#]],
    );
    check(
        9,
        &["start root 0", "start t9 1"],
        expect![[r#"
        > start root 0
          refused: no tasks are given; give a `goal` or at least one entry in `tasks`
        > start t9 1
          refused: the session is closed and takes no more of this; open it again, and ask there
    "#]],
    );
}

#[test]
fn who_asks_gives_the_slot_back_and_returns_before_the_queue() {
    check(
        1,
        &["start root 3", "asks t1 q1", "states", "answer t1 q1", "states", "ends t2", "ends t1"],
        expect![[r#"
            > start root 3
              permit t1
              run t1
            > asks t1 q1
              release t1
              permit t2
              run t2
            > states
              t1 waiting
              t2 running
              t3 queued 1
            > answer t1 q1
            > states
              t1 running
              t2 running
              t3 queued 1
            > ends t2
              release t2
              report t2
              permit t1
              answer t1 q1 allow_once
            > ends t1
              release t1
              report t1
              permit t3
              run t3
        "#]],
    );
    check(
        2,
        &["start root 1", "asks t1 q1", "asks t1 q2", "answer t1 q2", "settled t1 q1"],
        expect![[r#"
            > start root 1
              permit t1
              run t1
            > asks t1 q1
              release t1
            > asks t1 q2
            > answer t1 q2
              answer t1 q2 allow_once
            > settled t1 q1
              withdraw t1 q1
              permit t1
        "#]],
    );
}

#[test]
fn who_waits_for_tasks_gives_the_slot_back_and_returns_before_the_queue() {
    let script = ["start root 2", "start t1 2", "wait t1 all t1.1 t1.2", "ends t2", "ends t1.1"];
    let script = [&script[..], &["ends t1.2", "collect 1"]].concat();
    check(
        1,
        &script,
        expect![[r#"
        > start root 2
          permit t1
          run t1
        > start t1 2
          it is wait 1
        > wait t1 all t1.1 t1.2
          release t1
          permit t2
          run t2
        > ends t2
          release t2
          report t2
          permit t1.1
          run t1.1
        > ends t1.1
          release t1.1
          report t1.1
          permit t1.2
          run t1.2
        > ends t1.2
          release t1.2
          report t1.2
          permit t1
          over 1
        > collect 1
          collect 1
    "#]],
    );
    check(
        2,
        &["start root 1", "start t1 2", "wait t1 any t1.1 t1.2", "ends t1.1", "collect 1"],
        expect![[r#"
            > start root 1
              permit t1
              run t1
            > start t1 2
              permit t1.1
              run t1.1
              it is wait 1
            > wait t1 any t1.1 t1.2
              release t1
              permit t1.2
              run t1.2
            > ends t1.1
              release t1.1
              report t1.1
              permit t1
              over 1
            > collect 1
              collect 1
        "#]],
    );
    // At a time limit.
    check(
        1,
        &["start root 1", "start t1 1", "wait t1 all t1.1", "collect 1", "ends t1.1"],
        expect![[r#"
            > start root 1
              permit t1
              run t1
            > start t1 1
              it is wait 1
            > wait t1 all t1.1
              release t1
              permit t1.1
              run t1.1
            > collect 1
            > ends t1.1
              release t1.1
              report t1.1
              permit t1
              collect 1
        "#]],
    );
    check(
        1,
        &["start root 1", "start t1 1", "wait t1 all t1.1", "drop 1", "ends t1.1"],
        expect![[r#"
            > start root 1
              permit t1
              run t1
            > start t1 1
              it is wait 1
            > wait t1 all t1.1
              release t1
              permit t1.1
              run t1.1
            > drop 1
            > ends t1.1
              release t1.1
              report t1.1
              permit t1
        "#]],
    );
    check(
        1,
        &["start root 1", "ends t1", "wait root all t1", "collect 1"],
        expect![[r#"
        > start root 1
          permit t1
          run t1
        > ends t1
          release t1
          report t1
          it is wait 1
        > wait root all t1
          over 1
        > collect 1
          collect 1
    "#]],
    );
}

#[test]
fn who_has_ended_its_turn_gets_the_reports_of_its_tasks() {
    check(
        2,
        &["start root 1", "idle t1 1"],
        expect![[r#"
        > start root 1
          permit t1
          run t1
        > idle t1 1
          finish t1
    "#]],
    );
    check(
        1,
        &["start root 1", "start t1 1", "idle t1 1", "ends t1.1 1", "idle t1 2"],
        expect![[r#"
            > start root 1
              permit t1
              run t1
            > start t1 1
            > idle t1 1
              release t1
              permit t1.1
              run t1.1
            > ends t1.1 1
              release t1.1
              report t1.1
              permit t1
              go on t1
            > idle t1 2
              finish t1
        "#]],
    );
    // One that ended within the last request was not seen; one before the last was.
    check(
        2,
        &["start root 1", "start t1 1", "ends t1.1 1", "idle t1 2"],
        expect![[r#"
        > start root 1
          permit t1
          run t1
        > start t1 1
          permit t1.1
          run t1.1
        > ends t1.1 1
          release t1.1
          report t1.1
        > idle t1 2
          go on t1
    "#]],
    );
    check(
        2,
        &["start root 1", "start t1 1", "ends t1.1 1", "idle t1 3"],
        expect![[r#"
        > start root 1
          permit t1
          run t1
        > start t1 1
          permit t1.1
          run t1.1
        > ends t1.1 1
          release t1.1
          report t1.1
        > idle t1 3
          finish t1
    "#]],
    );
    // Steered while its tasks run.
    check(
        2,
        &["start root 1", "start t1 1", "idle t1 1", "steered t1", "ends t1.1 1", "idle t1 2"],
        expect![[r#"
            > start root 1
              permit t1
              run t1
            > start t1 1
              permit t1.1
              run t1.1
            > idle t1 1
              release t1
            > steered t1
              permit t1
            > ends t1.1 1
              release t1.1
              report t1.1
            > idle t1 2
              go on t1
        "#]],
    );
}

#[test]
fn a_cancel_reaches_all_below_and_is_answered_when_they_have_ended() {
    let script = ["start root 2", "start t1 2", "cancel t1", "ends t1.1", "states", "ends t1"];
    check(
        2,
        &script,
        expect![[r#"
        > start root 2
          permit t1
          permit t2
          run t1
          run t2
        > start t1 2
        > cancel t1
          cancel t1: enough
          end t1.1: enough
          end t1.2: enough
          report t1.1
          report t1.2
        > ends t1.1
        > states
          t1 running
          t1.1 cancelled
          t1.2 cancelled
          t2 running
        > ends t1
          release t1
          report t1
          done 1
    "#]],
    );
    check(
        1,
        &["start root 2", "cancel t2", "cancel t2", "cancel t1 t2", "ends t1"],
        expect![[r#"
        > start root 2
          permit t1
          run t1
        > cancel t2
          end t2: enough
          report t2
          done 1
        > cancel t2
          done 2
        > cancel t1 t2
          cancel t1: enough
        > ends t1
          release t1
          report t1
          done 3
    "#]],
    );
    check(
        2,
        &["start root 1", "asks t1 q1", "cancel t1", "ends t1"],
        expect![[r#"
        > start root 1
          permit t1
          run t1
        > asks t1 q1
          release t1
        > cancel t1
          cancel t1: enough
        > ends t1
          withdraw t1 q1
          report t1
          done 1
    "#]],
    );
}
