//! When a task is called stalled, and when it has worked for too long. A task that waits has no timer.

use std::time::Duration;

use tokio::time::Instant;

use super::Phase;
use crate::config::DelegationSection;

/// The two times of a running task.
#[derive(Debug)]
pub(super) struct Timers {
    stall: Option<Duration>,
    stall_call: Option<Duration>,
    /// What is left of its time, but for what it has worked since `since`.
    left: Option<Duration>,
    /// When it began to work; absent while it waits.
    since: Option<Instant>,
    /// Its last sign of life; absent once it was found stalled.
    sign: Option<Instant>,
    is_in_call: bool,
}

/// Which time has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rang {
    Stalled,
    TimeOut,
}

impl Timers {
    pub(super) fn new(delegation: &DelegationSection, now: Instant) -> Self {
        let seconds = |seconds: u64| (seconds > 0).then(|| Duration::from_secs(seconds));
        Self {
            stall: seconds(delegation.stall_seconds),
            stall_call: seconds(delegation.stall_call_seconds),
            left: seconds(delegation.child_timeout_seconds),
            since: Some(now),
            sign: Some(now),
            is_in_call: false,
        }
    }

    /// It gave a sign of life, and stands so now.
    pub(super) fn lives(&mut self, phase: Phase, running_calls: usize, now: Instant) {
        self.sign = Some(now);
        self.is_in_call = running_calls > 0;
        match (self.since, phase) {
            (None, Phase::Working) => self.since = Some(now),
            (Some(since), Phase::Waiting | Phase::Idle) => {
                self.left = self.left.map(|left| left.saturating_sub(now - since));
                self.since = None;
            }
            (Some(_), Phase::Working) | (None, Phase::Waiting | Phase::Idle) => {}
        }
    }

    /// When the next time comes; nothing while it waits.
    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.stalls_at(), self.ends_at()].into_iter().flatten().min()
    }

    /// What has come. Said once.
    pub(super) fn rang(&mut self, now: Instant) -> Option<Rang> {
        if self.ends_at().is_some_and(|at| at <= now) {
            return Some(Rang::TimeOut);
        }
        let is_stalled = self.stalls_at().is_some_and(|at| at <= now);
        is_stalled.then(|| {
            self.sign = None;
            Rang::Stalled
        })
    }

    /// A time that is too far to be told never comes.
    fn stalls_at(&self) -> Option<Instant> {
        self.since?;
        let after = if self.is_in_call { self.stall_call } else { self.stall };
        self.sign?.checked_add(after?)
    }

    fn ends_at(&self) -> Option<Instant> {
        self.since?.checked_add(self.left?)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Rang, Timers};
    use crate::config::DelegationSection;
    use crate::tasks::runner::Phase;

    fn timers(child_timeout_seconds: u64, start: Instant) -> Timers {
        let section = DelegationSection {
            child_timeout_seconds,
            stall_seconds: 10,
            stall_call_seconds: 30,
            ..DelegationSection::default()
        };
        Timers::new(&section, start)
    }

    #[test]
    fn silence_is_told_once_and_later_in_a_call() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timers = timers(0, start);
        timers.lives(Phase::Working, 0, at(5));
        assert_eq!((timers.deadline(), timers.rang(at(14))), (Some(at(15)), None));
        assert_eq!(timers.rang(at(15)), Some(Rang::Stalled));
        assert_eq!((timers.deadline(), timers.rang(at(99))), (None, None));
        timers.lives(Phase::Working, 1, at(100));
        assert_eq!(timers.deadline(), Some(at(130)));
        timers.lives(Phase::Waiting, 1, at(101));
        assert_eq!((timers.deadline(), timers.rang(at(999))), (None, None));
    }

    #[test]
    fn time_that_it_waits_does_not_count() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timers = timers(8, start);
        timers.lives(Phase::Waiting, 1, at(5));
        timers.lives(Phase::Idle, 0, at(50));
        assert_eq!((timers.deadline(), timers.rang(at(500))), (None, None));
        timers.lives(Phase::Working, 0, at(1_000));
        assert_eq!((timers.deadline(), timers.rang(at(1_002))), (Some(at(1_003)), None));
        assert_eq!(timers.rang(at(1_003)), Some(Rang::TimeOut));
    }

    #[test]
    fn a_time_beyond_all_times_never_comes() {
        let start = Instant::now();
        let section = DelegationSection {
            child_timeout_seconds: u64::MAX,
            stall_seconds: u64::MAX,
            ..DelegationSection::default()
        };
        assert_eq!(Timers::new(&section, start).deadline(), None);
    }
}
