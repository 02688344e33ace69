//! The rules of a pool, pure: the time is passed in.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::config::Secret;

/// How long a key is set aside that a provider limits without saying until when: the first time, doubled
/// each further time in a row, up to the longest.
const LIMITED: Duration = Duration::from_mins(1);
const LONGEST_LIMITED: Duration = Duration::from_hours(1);

/// How long a key without credit is set aside.
const WITHOUT_CREDIT: Duration = Duration::from_hours(1);

/// How long a refused key is set aside: some refusals pass by themselves, and a new try costs one request.
const REFUSED: Duration = Duration::from_mins(5);

/// The longest that a provider may ask for.
const LONGEST: Duration = Duration::from_hours(24 * 7);

/// The keys of one endpoint, with what is known of each.
#[derive(Debug, Default)]
pub(super) struct PoolState {
    keys: Vec<Key>,
    /// How many leases were given, ever.
    given: u64,
}

#[derive(Debug)]
struct Key {
    secret: Secret,
    /// Requests that run with it.
    leases: usize,
    /// The number of its last lease.
    used: u64,
    rests: Vec<Rest>,
    /// Why it is set aside was said, and it has not worked since.
    is_told: bool,
}

/// A time in which a key is not used.
#[derive(Debug)]
struct Rest {
    /// The model that it is for: rates and credit are limited by model. All models if absent.
    model: Option<String>,
    until: Timestamp,
    why: Why,
    /// How often in a row.
    count: u32,
}

/// Why a key is set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    Limited,
    WithoutCredit,
    Refused,
}

impl Why {
    /// To follow the key's name.
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::Limited => "is rate limited",
            Self::WithoutCredit => "has no credit left",
            Self::Refused => "was refused by the provider",
        }
    }

    /// Whether the user has to mend it.
    fn is_for_user(self) -> bool {
        match self {
            Self::Limited => false,
            Self::WithoutCredit | Self::Refused => true,
        }
    }
}

/// What a key that is set aside is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resting {
    pub(super) why: Why,
    pub(super) wait: Duration,
}

/// What a request is for, and when it is made.
type At<'a> = (&'a str, Timestamp);

impl Rest {
    fn is_for(&self, model: &str) -> bool {
        self.model.as_deref().is_none_or(|of| of == model)
    }
}

impl Key {
    /// What keeps it from being used the longest.
    fn resting(&self, (model, now): At<'_>) -> Option<Resting> {
        let rests = self.rests.iter().filter(|rest| rest.is_for(model) && rest.until > now);
        let last = rests.max_by_key(|rest| rest.until)?;
        Some(Resting { why: last.why, wait: last.until.since(now) })
    }
}

impl PoolState {
    /// The number of a key, which is new or known.
    pub(super) fn add(&mut self, secret: &Secret) -> usize {
        let known = self.keys.iter().position(|key| key.secret == *secret);
        known.unwrap_or_else(|| {
            let secret = secret.clone();
            self.keys.push(Key { secret, leases: 0, used: 0, rests: Vec::new(), is_told: false });
            self.keys.len() - 1
        })
    }

    /// Of the keys `of`, the one with the fewest leases that is not set aside. Among equals `last` comes
    /// first, then the one that was used longest ago, then the order. A single key is never set aside.
    pub(super) fn lease(
        &mut self,
        of: &[usize],
        last: usize,
        at: At<'_>,
    ) -> Option<(usize, Secret)> {
        // Of equals the first is taken.
        let (number, _) = of
            .iter()
            .filter_map(|&number| Some((number, self.keys.get(number)?)))
            .filter(|(_, key)| of.len() == 1 || key.resting(at).is_none())
            .min_by_key(|(number, key)| (key.leases, *number != last, key.used))?;
        self.given += 1;
        let given = self.given;
        let key = self.keys.get_mut(number)?;
        key.leases += 1;
        key.used = given;
        Some((number, key.secret.clone()))
    }

    pub(super) fn give_back(&mut self, key: usize) {
        if let Some(key) = self.keys.get_mut(key) {
            key.leases = key.leases.saturating_sub(1);
        }
    }

    pub(super) fn is_resting(&self, key: usize, at: At<'_>) -> bool {
        self.keys.get(key).is_some_and(|key| key.resting(at).is_some())
    }

    /// The keys `of` that are set aside, in their order.
    pub(super) fn resting(&self, of: &[usize], at: At<'_>) -> Vec<Resting> {
        of.iter().filter_map(|&key| self.keys.get(key)?.resting(at)).collect()
    }

    /// Sets a key aside, for as long as the provider says (`after`) or for a default. Answers how long, and
    /// whether the user has to hear of it.
    pub(super) fn set_aside(
        &mut self,
        key: usize,
        (model, now): At<'_>,
        why: Why,
        after: Option<Duration>,
    ) -> (Duration, bool) {
        let Some(key) = self.keys.get_mut(key) else { return (Duration::ZERO, false) };
        let model = (why != Why::Refused).then(|| model.to_owned());
        // What is long over counts no more.
        key.rests.retain(|rest| now.since(rest.until) < LONGEST_LIMITED);
        let known = key.rests.iter().position(|rest| rest.model == model && rest.why == why);
        let at = known.unwrap_or_else(|| {
            key.rests.push(Rest { model, until: Timestamp(0), why, count: 0 });
            key.rests.len() - 1
        });
        let is_news = why.is_for_user() && !key.is_told;
        key.is_told |= is_news;
        let Some(rest) = key.rests.get_mut(at) else { return (Duration::ZERO, is_news) };
        // Requests beside each other fail together, which is one failure.
        if rest.until <= now {
            rest.count = rest.count.saturating_add(1);
        }
        let default = match why {
            Why::Limited => {
                LIMITED.saturating_mul(1 << (rest.count.clamp(1, 16) - 1)).min(LONGEST_LIMITED)
            }
            Why::WithoutCredit => WITHOUT_CREDIT,
            Why::Refused => REFUSED,
        };
        let length = after.unwrap_or(default).min(LONGEST);
        let millis = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        rest.until = rest.until.max(Timestamp(now.0.saturating_add(millis)));
        (rest.until.since(now), is_news)
    }

    /// A request with the key was answered: what was wrong before is over.
    pub(super) fn worked(&mut self, key: usize, (model, now): At<'_>) {
        if let Some(key) = self.keys.get_mut(key) {
            key.rests.retain(|rest| rest.until > now || !rest.is_for(model));
            key.is_told &= key.rests.iter().any(|rest| rest.why.is_for_user());
        }
    }

    /// Lets every key be used again.
    pub(super) fn forget(&mut self) {
        for key in &mut self.keys {
            key.rests.clear();
            key.is_told = false;
        }
    }
}

#[cfg(test)]
mod tests;
