//! Work for the store's thread: a function that runs inside the transaction of a batch, under a
//! savepoint of its own, so that its failure takes nothing else with it. Its answer goes out when the
//! transaction is committed.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::Transaction;
use tokio::sync::oneshot;

use super::Durability;
use super::lease::OwnerId;
use super::place::Place;
use super::trouble::Trouble;

/// What the thread does with a piece of work.
pub(super) trait Work: fmt::Debug + Send {
    fn durability(&self) -> Durability;

    /// Whether it may leave text that must be gone from the disk before its answer is sent.
    fn erases(&self) -> bool;

    fn run(&mut self, transaction: &Transaction<'_>, owner: &OwnerId, place: &Place);

    /// Why it failed, if it has run and did.
    fn trouble(&self) -> Option<Trouble>;

    /// Sends the answer: its own, or the trouble that the whole transaction had.
    fn finish(self: Box<Self>, trouble: Option<&Trouble>);
}

/// A function and who waits for its answer.
pub(super) struct Task<T, F> {
    job: Option<F>,
    durability: Durability,
    erases: bool,
    result: Option<Result<T, Trouble>>,
    answer: oneshot::Sender<Result<T, Trouble>>,
}

impl<T, F> Task<T, F>
where
    T: Send + 'static,
    F: FnOnce(&Transaction<'_>, &OwnerId) -> rusqlite::Result<T> + Send + 'static,
{
    pub(super) fn new(
        durability: Durability,
        job: F,
    ) -> (Self, oneshot::Receiver<Result<T, Trouble>>) {
        let (answer, answered) = oneshot::channel();
        (Self { job: Some(job), durability, erases: false, result: None, answer }, answered)
    }

    pub(super) fn erasing(mut self) -> Self {
        self.erases = true;
        self
    }
}

impl<T, F> fmt::Debug for Task<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("durability", &self.durability).finish_non_exhaustive()
    }
}

impl<T, F> Work for Task<T, F>
where
    T: Send + 'static,
    F: FnOnce(&Transaction<'_>, &OwnerId) -> rusqlite::Result<T> + Send + 'static,
{
    fn durability(&self) -> Durability {
        self.durability
    }

    fn erases(&self) -> bool {
        self.erases
    }

    fn run(&mut self, transaction: &Transaction<'_>, owner: &OwnerId, place: &Place) {
        let Some(job) = self.job.take() else { return };
        let done = under_savepoint(transaction, |transaction| job(transaction, owner));
        self.result = Some(match done {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(Trouble::Other("a defect in what was to be written".to_owned())),
            Err(error) => Err(place.trouble(&error)),
        });
    }

    fn trouble(&self) -> Option<Trouble> {
        self.result.as_ref()?.as_ref().err().cloned()
    }

    fn finish(self: Box<Self>, trouble: Option<&Trouble>) {
        let result = match (trouble, self.result) {
            (Some(trouble), _) => Err(trouble.clone()),
            (None, Some(result)) => result,
            (None, None) => Err(Trouble::Other("it was not run".to_owned())),
        };
        let _gone = self.answer.send(result);
    }
}

/// Nothing where the job panicked: the thread must go on for the others.
fn under_savepoint<T>(
    transaction: &Transaction<'_>,
    job: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    transaction.execute_batch("SAVEPOINT job")?;
    let done = catch_unwind(AssertUnwindSafe(|| job(transaction)));
    let is_good = matches!(done, Ok(Ok(_)));
    // Some failures end the whole transaction, and then there is no savepoint.
    if !transaction.is_autocommit() {
        transaction.execute_batch(if is_good {
            "RELEASE job"
        } else {
            "ROLLBACK TO job; RELEASE job"
        })?;
    }
    match done {
        Ok(result) => result.map(Some),
        Err(_panic) => Ok(None),
    }
}
