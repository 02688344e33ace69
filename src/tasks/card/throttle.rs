//! How often cards are shown. Time is passed in; nothing is due where nothing has changed.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::ids::TaskId;

const SECOND: Duration = Duration::from_secs(1);
/// Cards of all tasks of a session in a second.
const MOST: usize = 8;
/// One card of so many may say nothing but another place in the queue, where others wait to be shown.
const TURNS: usize = 4;

/// Says when cards are shown: each task's at most once, and all of a session at most eight times a second.
#[derive(Debug, Default)]
pub struct Throttle {
    changed: Line,
    /// Those whose place in the queue alone has changed: a long queue moves with each start, and what runs
    /// does not wait for it.
    moved: Line,
    /// When each was shown last.
    shown: HashMap<TaskId, Instant>,
    /// When the last ones of all were shown; oldest first, at most `MOST`.
    recent: VecDeque<Instant>,
    /// Cards since one of `moved` was due.
    since_moved: usize,
}

/// Tasks that changed since they were shown, and when, in this order; each once.
#[derive(Debug, Default)]
struct Line {
    order: VecDeque<(TaskId, Instant)>,
    members: HashSet<TaskId>,
}

impl Line {
    fn push(&mut self, task: &TaskId, now: Instant) {
        if self.members.insert(task.clone()) {
            self.order.push_back((task.clone(), now));
        }
    }

    fn remove(&mut self, task: &TaskId) {
        if self.members.remove(task) {
            self.order.retain(|(changed, _)| changed != task);
        }
    }
}

impl Throttle {
    /// A task's card may have changed.
    pub fn changed(&mut self, task: &TaskId, now: Instant) {
        self.changed.push(task, now);
    }

    /// A task has another place in the queue.
    pub fn moved(&mut self, task: &TaskId, now: Instant) {
        self.moved.push(task, now);
    }

    /// A card of the task was shown at once, as at its beginning and at its end: it counts, and no change
    /// of before is due any more.
    pub fn shown(&mut self, task: &TaskId, now: Instant) {
        self.changed.remove(task);
        self.moved.remove(task);
        self.shown.insert(task.clone(), now);
        self.recent.push_back(now);
        if self.recent.len() > MOST {
            self.recent.pop_front();
        }
    }

    /// The tasks whose cards are to be made now. They count as shown; who finds a picture as it was before
    /// shows none.
    pub fn due(&mut self, now: Instant) -> Vec<TaskId> {
        let mut due = Vec::new();
        while self.free_at().is_none_or(|free| free <= now) {
            let is_turn = self.since_moved + 1 >= TURNS;
            let lines =
                if is_turn { [&self.moved, &self.changed] } else { [&self.changed, &self.moved] };
            let Some(task) = lines.into_iter().find_map(|line| self.ready(line, now)) else {
                break;
            };
            let is_moved = !self.changed.members.contains(&task);
            self.since_moved = if is_moved { 0 } else { self.since_moved + 1 };
            self.shown(&task, now);
            due.push(task);
        }
        due
    }

    /// When `due` has the next one; nothing where nothing has changed.
    pub fn deadline(&self) -> Option<Instant> {
        let free = self.free_at();
        let mut first: Option<Instant> = None;
        for (task, changed) in self.changed.order.iter().chain(&self.moved.order) {
            let at = self.ready_at(task).map_or(*changed, |ready| ready.max(*changed));
            // None is shown before that, however many wait.
            if let Some(free) = free
                && at <= free
            {
                return Some(free);
            }
            first = Some(first.map_or(at, |first| first.min(at)));
        }
        first
    }

    /// Nothing more is shown of the task.
    pub fn forget(&mut self, task: &TaskId) {
        self.changed.remove(task);
        self.moved.remove(task);
        self.shown.remove(task);
    }

    /// The first of a line that may be shown.
    fn ready(&self, line: &Line, now: Instant) -> Option<TaskId> {
        let is_ready = |task: &TaskId| self.ready_at(task).is_none_or(|at| at <= now);
        line.order.iter().find(|(task, _)| is_ready(task)).map(|(task, _)| task.clone())
    }

    /// When the task may be shown again.
    fn ready_at(&self, task: &TaskId) -> Option<Instant> {
        self.shown.get(task).map(|shown| *shown + SECOND)
    }

    /// When any task may be shown again.
    fn free_at(&self) -> Option<Instant> {
        let oldest = self.recent.front().filter(|_| self.recent.len() == MOST);
        oldest.map(|shown| *shown + SECOND)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use proptest::prelude::*;
    use tokio::time::Instant;

    use super::{SECOND, Throttle};
    use crate::ids::{SessionId, TaskId};

    fn task(number: u64) -> TaskId {
        TaskId { session: SessionId::new("s"), number }
    }

    fn numbers(tasks: &[TaskId]) -> Vec<u64> {
        tasks.iter().map(|task| task.number).collect()
    }

    #[test]
    fn a_task_is_shown_once_a_second_and_only_where_it_changed() {
        let (start, mut throttle) = (Instant::now(), Throttle::default());
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!((throttle.due(at(0)), throttle.deadline()), (vec![], None));
        throttle.changed(&task(1), at(0));
        throttle.changed(&task(1), at(0));
        assert_eq!(throttle.deadline(), Some(at(0)));
        assert_eq!(throttle.due(at(0)), [task(1)]);
        assert_eq!(throttle.deadline(), None);
        throttle.changed(&task(1), at(300));
        throttle.changed(&task(1), at(600));
        assert_eq!((throttle.due(at(700)), throttle.deadline()), (vec![], Some(at(1_000))));
        assert_eq!(throttle.due(at(1_000)), [task(1)]);
        assert_eq!((throttle.due(at(9_000)), throttle.deadline()), (vec![], None));

        // One that is shown at once counts, and takes with it what was due.
        throttle.changed(&task(1), at(9_000));
        throttle.shown(&task(1), at(9_000));
        assert_eq!(throttle.deadline(), None);
        throttle.changed(&task(1), at(9_100));
        assert_eq!(throttle.deadline(), Some(at(10_000)));
        throttle.forget(&task(1));
        assert_eq!((throttle.due(at(20_000)), throttle.deadline()), (vec![], None));
    }

    #[test]
    fn many_tasks_take_turns() {
        let (start, mut throttle) = (Instant::now(), Throttle::default());
        for number in 1..=20 {
            throttle.changed(&task(number), start);
        }
        assert_eq!(numbers(&throttle.due(start)), (1..=8).collect::<Vec<_>>());
        for number in 1..=20 {
            throttle.changed(&task(number), start);
        }
        assert_eq!(throttle.deadline(), Some(start + SECOND));
        assert_eq!(numbers(&throttle.due(start + SECOND)), (9..=16).collect::<Vec<_>>());
        let expected = [17, 18, 19, 20, 1, 2, 3, 4];
        assert_eq!(numbers(&throttle.due(start + 2 * SECOND)), expected);
    }

    #[test]
    fn what_moves_in_the_queue_does_not_hold_up_what_runs() {
        let (start, mut throttle) = (Instant::now(), Throttle::default());
        for number in 101..=150 {
            throttle.moved(&task(number), start);
        }
        for number in 1..=7 {
            throttle.changed(&task(number), start);
        }
        // Each has its turn all the same.
        assert_eq!(numbers(&throttle.due(start)), [1, 2, 3, 101, 4, 5, 6, 102]);
        throttle.changed(&task(103), start);
        assert_eq!(throttle.deadline(), Some(start + SECOND));
        let expected = [7, 103, 104, 105, 106, 107, 108, 109];
        assert_eq!(numbers(&throttle.due(start + SECOND)), expected);
    }

    proptest! {
        #[test]
        fn limits_hold_and_every_change_is_shown(
            changes in prop::collection::vec((1_u64..30, 0_u64..400, any::<bool>()), 1..200),
        ) {
            let start = Instant::now();
            let mut throttle = Throttle::default();
            let mut now = start;
            let mut shown: Vec<(u64, Instant)> = Vec::new();
            let mut changed = HashMap::new();
            let mut show = |throttle: &mut Throttle, now| {
                shown.extend(throttle.due(now).iter().map(|task| (task.number, now)));
            };
            for (number, pause, is_moved) in changes {
                let until = now + Duration::from_millis(pause);
                while let Some(deadline) = throttle.deadline().filter(|at| *at <= until) {
                    show(&mut throttle, deadline.max(now));
                }
                now = until;
                if is_moved {
                    throttle.moved(&task(number), now);
                } else {
                    throttle.changed(&task(number), now);
                }
                changed.insert(number, now);
            }
            while let Some(deadline) = throttle.deadline() {
                show(&mut throttle, deadline.max(now));
            }
            for (at, (number, time)) in shown.iter().enumerate() {
                let same = shown[..at].iter().rev().find(|(other, _)| other == number);
                prop_assert!(same.is_none_or(|(_, before)| *time - *before >= SECOND));
                prop_assert!(at < 8 || *time - shown[at - 8].1 >= SECOND);
            }
            for (number, time) in changed {
                prop_assert!(shown.iter().any(|(other, at)| *other == number && *at >= time));
            }
        }
    }
}
