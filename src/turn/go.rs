//! How a call waits until its session lets it go on. When that is, is the session's to know.

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::calls::Stopper;
use crate::tools::Ran;
use crate::transcript::Outcome;

/// Lets a call go on. Dropped, it never does.
#[derive(Debug)]
pub struct Go(oneshot::Sender<()>);

/// The call's end.
#[derive(Debug)]
pub struct Gone(oneshot::Receiver<()>);

impl Go {
    pub fn new() -> (Self, Gone) {
        let (go, gone) = oneshot::channel();
        (Self(go), Gone(gone))
    }

    /// Now; the call may have been stopped meanwhile.
    pub fn now(self) {
        if self.0.send(()).is_err() {
            tracing::debug!("a call was stopped before it went on");
        }
    }
}

impl Gone {
    /// Waits for it; what became of the call if it may not go on.
    pub async fn wait(self, cancel: &CancellationToken, stopper: Stopper) -> Result<(), Ran> {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(stopper.before_it_began()),
            gone = self.0 => gone.map_err(|_| {
                let reason = "the turn ended before this call began".to_owned();
                Ran::new(Outcome::Cancelled { reason })
            }),
        }
    }
}
