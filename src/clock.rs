//! Time as a value: [`Clock`] says what time it is, really or as a test drives it.
//! It does not sleep; timers are tokio's, which a test pauses.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

const DAY_SECONDS: u64 = 86_400;

/// A point in time: milliseconds since 1970 in UTC. Prints as RFC 3339.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    pub fn as_millis(self) -> u64 {
        self.0
    }

    /// As RFC 3339 text in UTC with milliseconds: `2026-11-05T07:30:00.000Z`.
    pub fn rfc3339(self) -> String {
        self.to_string()
    }

    /// A time of the system; one before 1970 is 1970.
    pub fn of(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).map_or(0, millis))
    }

    /// How long ago `earlier` was; nothing if it was not earlier, as when the system's clock was set
    /// back.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0 / 1_000, self.0 % 1_000);
        let (day, second) = (seconds / DAY_SECONDS, seconds % DAY_SECONDS);
        let (year, month, day) = civil_from_days(day);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

/// Where the time comes from. Clones of a driven clock show the same time.
#[derive(Debug, Clone, Default)]
pub struct Clock(Source);

#[derive(Debug, Clone, Default)]
enum Source {
    #[default]
    Real,
    Driven(Arc<AtomicU64>),
}

impl Clock {
    /// The system's clock.
    pub fn real() -> Self {
        Self(Source::Real)
    }

    /// A clock that stands at `start` until its hand is moved.
    pub fn driven(start: Timestamp) -> (Self, Hand) {
        let time = Arc::new(AtomicU64::new(start.0));
        (Self(Source::Driven(Arc::clone(&time))), Hand(time))
    }

    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::Real => system_time(),
            Source::Driven(time) => Timestamp(time.load(Ordering::Relaxed)),
        }
    }
}

/// Moves a driven clock.
#[derive(Debug)]
pub struct Hand(Arc<AtomicU64>);

impl Hand {
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(millis(by), Ordering::Relaxed);
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that asks the system for the time")]
fn system_time() -> Timestamp {
    Timestamp::of(SystemTime::now())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Year, month and day of a day counted from 1970-01-01 in the Gregorian calendar.
///
/// Howard Hinnant's algorithm: years begin in March, so that the leap day is a year's last, and
/// repeat in eras of 400 years.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    const ERA_DAYS: u64 = 146_097;
    let days = days + 719_468; // From 0000-03-01.
    let (era, day) = (days / ERA_DAYS, days % ERA_DAYS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153; // 0 is March.
    let day = day - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year + u64::from(month >= 10);
    (year, if month < 10 { month + 3 } else { month - 9 }, day)
}

/// Waits until `deadline`; for ever where there is none. For the arms of a `select!`.
pub async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_print_as_rfc_3339() {
        let check = |millis, text: &str| assert_eq!(Timestamp(millis).rfc3339(), text);
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_782_399_999, "2000-02-28T23:59:59.999Z");
        check(951_782_400_000, "2000-02-29T00:00:00.000Z");
        check(951_868_800_000, "2000-03-01T00:00:00.000Z");
        check(1_000_000_000_123, "2001-09-09T01:46:40.123Z");
        check(4_107_542_400_000, "2100-03-01T00:00:00.000Z");
        check(4_107_456_000_000, "2100-02-28T00:00:00.000Z");
        check(253_402_300_799_999, "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn days_follow_each_other() {
        let leap = |year: u64| {
            year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
        };
        let mut expected = (1970, 1, 1);
        for day in 0..200_000 {
            assert_eq!(civil_from_days(day), expected, "day {day}");
            let (year, month, day) = expected;
            let last = match month {
                2 => 28 + u64::from(leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            expected = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                (_, day) if day == last => (year, month + 1, 1),
                _ => (year, month, day + 1),
            };
        }
    }

    #[test]
    fn a_driven_clock_moves_by_its_hand_only() {
        let (clock, hand) = Clock::driven(Timestamp(1_000));
        let clone = clock.clone();
        hand.advance(Duration::from_secs(2));
        assert_eq!((clock.now(), clone.now()), (Timestamp(3_000), Timestamp(3_000)));
        assert_eq!(clock.now().since(Timestamp(500)), Duration::from_millis(2_500));
        assert_eq!(Timestamp(500).since(clock.now()), Duration::ZERO);
    }

    #[test]
    fn the_real_clock_runs() {
        assert!(Clock::real().now() > Timestamp(1_700_000_000_000));
    }
}
