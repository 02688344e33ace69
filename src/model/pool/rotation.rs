//! One request that may use several keys: with which it is tried, and what its failures do to them.

use std::sync::Arc;
use std::time::Duration;

use super::state::Why;
use super::{Keys, Lease};
use crate::config::Secret;
use crate::model::retry::{self, Tries};
use crate::model::{Deltas, ModelError};

/// What a failure leads to.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The same key again, after this long.
    Again(Duration),
    /// The key is set aside, and another one takes the request.
    Rotate(Why, Option<Duration>),
    GiveUp,
}

/// How often a request failed with the key that it has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Failures {
    all: u32,
    /// Those for which the provider limits the key.
    limits: u32,
}

/// What to do about a failure of a request that may use `keys` keys. One key goes by the table of `retry`.
fn judge(error: &ModelError, failures: Failures, elapsed: Duration, keys: usize) -> Verdict {
    let again = |tries| retry::next(error, tries, elapsed).map(Verdict::Again);
    if keys < 2 {
        return again(failures.all).unwrap_or(Verdict::GiveUp);
    }
    match error {
        ModelError::Auth { .. } => Verdict::Rotate(Why::Refused, None),
        ModelError::Payment { .. } => Verdict::Rotate(Why::WithoutCredit, None),
        ModelError::RateLimited { after, .. } => {
            let first = if failures.limits == 1 { again(1) } else { None };
            first.unwrap_or(Verdict::Rotate(Why::Limited, *after))
        }
        ModelError::Overloaded { .. }
        | ModelError::TimedOut { .. }
        | ModelError::Unreachable { .. }
        | ModelError::ContextFull { .. }
        | ModelError::NoKey { .. }
        | ModelError::UnknownModel { .. }
        | ModelError::WrongAddress { .. }
        | ModelError::Refused { .. }
        | ModelError::Dropped { .. }
        | ModelError::Rejected { .. }
        | ModelError::Malformed { .. } => again(failures.all).unwrap_or(Verdict::GiveUp),
    }
}

/// The error of a request that no key is left for, with what the provider said of the last one.
fn with_last_words(none: ModelError, last: &ModelError) -> ModelError {
    match (none, last) {
        (
            ModelError::NoKey { keys, after, are_refused, message },
            ModelError::Auth { message: said }
            | ModelError::Payment { message: said }
            | ModelError::RateLimited { message: said, .. },
        ) => {
            let message = format!("{message} (the provider said last: {said})");
            ModelError::NoKey { keys, after, are_refused, message }
        }
        (none, _) => none,
    }
}

/// Tries of one request. `open` is told the key.
pub(in crate::model) struct Rotation<F> {
    keys: Keys,
    model: Arc<str>,
    open: F,
    lease: Option<Lease>,
    failures: Failures,
}

impl<F: FnMut(Option<&Secret>) -> Deltas + Send + Unpin> Rotation<F> {
    pub(in crate::model) fn new(keys: Keys, model: &str, open: F) -> Self {
        Self { keys, model: model.into(), open, lease: None, failures: Failures::default() }
    }

    /// Whether another request has found out meanwhile that the key is no good.
    fn is_useless(&self) -> bool {
        self.keys.len() > 1
            && self.lease.as_ref().is_some_and(|lease| lease.is_resting(&self.model))
    }

    /// Takes another key.
    fn rotate(&mut self) -> Result<(), ModelError> {
        // Given back first, so that it does not count.
        self.lease = None;
        self.failures = Failures::default();
        self.lease = self.keys.lease(&self.model)?;
        Ok(())
    }
}

impl<F: FnMut(Option<&Secret>) -> Deltas + Send + Unpin> Tries for Rotation<F> {
    fn open(&mut self) -> Result<Deltas, ModelError> {
        let needs_key = self.keys.len() > 0 && self.lease.is_none();
        if needs_key || self.is_useless() {
            self.rotate()?;
        }
        Ok((self.open)(self.lease.as_ref().map(|lease| &lease.secret)))
    }

    fn failed(&mut self, error: ModelError, elapsed: Duration) -> Result<Duration, ModelError> {
        self.failures.all += 1;
        if matches!(error, ModelError::RateLimited { .. }) {
            self.failures.limits += 1;
        }
        match judge(&error, self.failures, elapsed, self.keys.len()) {
            // There is nothing to wait for with a key that `open` will not use.
            Verdict::Again(_) if self.is_useless() => Ok(Duration::ZERO),
            Verdict::Again(wait) => Ok(wait),
            Verdict::GiveUp => Err(error),
            Verdict::Rotate(why, after) => {
                if let Some(lease) = &self.lease {
                    lease.set_aside(&self.model, why, after, &error);
                }
                self.rotate().map_err(|none| with_last_words(none, &error))?;
                Ok(Duration::ZERO)
            }
        }
    }

    fn answered(&mut self) {
        if let Some(lease) = &self.lease {
            lease.worked(&self.model);
        }
    }
}
