//! How long a question stays open while nobody may be there to answer it: the actor's clock for the rules
//! in `questions`, which decide what follows.

use std::time::Duration;

use tokio::time::Instant;

use crate::clock;
use crate::ids::CallId;

/// A user who looks on answers within it. A dialog that stays longer is in the way when they come back: it
/// may be of long ago, and the client, which waits for the answer, shows the session as busy. The next prompt
/// asks again.
const IDLE_PATIENCE: Duration = Duration::from_mins(5);

/// The time of one question, since there is one dialog at a time.
#[derive(Debug, Default)]
pub(super) struct Patience(Option<(Instant, CallId)>);

impl Patience {
    /// From now on, and for no other question any more.
    pub(super) fn begin(&mut self, call: CallId) {
        self.0 = Some((Instant::now() + IDLE_PATIENCE, call));
    }

    /// Waits until it is over, and says so once; for ever where it did not begin.
    pub(super) async fn over(&mut self) -> CallId {
        clock::sleep_until(self.0.as_ref().map(|(end, _)| *end)).await;
        match self.0.take() {
            Some((_, call)) => call,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_over_once_and_for_the_last_question_alone() {
        let mut patience = Patience::default();
        assert!(patience.over().now_or_never().is_none());
        patience.begin(CallId::new("c1"));
        tokio::time::advance(IDLE_PATIENCE / 2).await;
        patience.begin(CallId::new("c2"));
        let begun = Instant::now();
        // Who waits may be interrupted, and waits on.
        assert!(patience.over().now_or_never().is_none());
        assert_eq!(patience.over().await, CallId::new("c2"));
        assert_eq!(begun.elapsed().as_secs(), IDLE_PATIENCE.as_secs());
        let more = tokio::time::timeout(2 * IDLE_PATIENCE, patience.over());
        assert!(more.await.is_err());
    }
}
