//! The tree of an isolated task: made before its child is, and committed when that has ended. What is not committed in
//! time stays in the tree, where `diff` and `merge` find it.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::end::miss;
use super::state::Ending;
use super::{Job, RunnerOrder};
use crate::fault::{Fault, Kind};
use crate::ids::SessionId;
use crate::tasks::engine::State;
use crate::tasks::worktree::{Place, Tree, WorktreeError};
use crate::tasks::{Changes, Isolation, TaskName};

/// Bytes of the diff that goes with a report.
const DIFF: usize = 20_000;
/// How long it may take to commit what a task did.
const SEALING: Duration = Duration::from_mins(1);
/// The same, from when the end of a cancelled one began: less than the two seconds in which it has its final state.
const CANCELLED: Duration = Duration::from_millis(1_850);

/// A tree that is to be made.
pub(super) struct WantedTree {
    place: Place,
    parent: SessionId,
    child: SessionId,
    name: TaskName,
}

/// What is kept of an isolated task's work.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) changes: Option<Changes>,
    /// Why its branch may not have all of it.
    pub(super) unsealed: Option<String>,
}

/// The tree of this task; nothing for one that works where its parent does.
pub(super) fn wanted(job: &Job) -> Option<WantedTree> {
    match job.details.isolation {
        Isolation::None => None,
        Isolation::Worktree => Some(WantedTree {
            place: job.spawn.place(),
            parent: job.task.session.clone(),
            child: job.details.child.clone(),
            name: job.name.clone(),
        }),
    }
}

impl WantedTree {
    /// Makes it, or takes the one that an attempt before made.
    pub(super) async fn make(self) -> Result<Tree, Fault> {
        let Self { place, parent, child, name } = self;
        let made = place.create(&parent, &child, &name).await;
        made.map_err(|error| {
            let message =
                format!("no worktree could be made for it (`isolation: worktree`): {error}");
            Fault::new(Kind::User, message)
        })
    }
}

/// How long the end of a task may take with its tree.
pub(super) fn time_for(ending: &Ending) -> Duration {
    match ending {
        Ending::Completed | Ending::Failed(_) => SEALING,
        Ending::Cancelled(_) => CANCELLED,
    }
}

/// Commits what is in the tree. Who cancels it meanwhile, or ends the process, does not wait longer for it.
pub(super) async fn seal(job: &mut Job, tree: &Tree, mut limit: Instant) -> Kept {
    let sealed = async {
        tree.seal().await?;
        tree.changes(DIFF).await
    };
    tokio::pin!(sealed);
    let done = loop {
        tokio::select! {
            biased;
            done = &mut sealed => break done.map_err(|error: WorktreeError| error.to_string()),
            () = sleep_until(limit) => break Err("it took too long".to_owned()),
            order = job.orders.recv() => match order {
                None | Some(RunnerOrder::Stop) => break Err("the process ended".to_owned()),
                Some(RunnerOrder::Cancel { .. }) => limit = limit.min(Instant::now() + CANCELLED),
                Some(order) => miss(order, State::Running),
            },
        }
    };
    match done {
        Ok(changes) => Kept { changes: Some(changes), unsealed: None },
        Err(why) => {
            tracing::warn!(task = %job.name, %why, "what a task changed could not be committed");
            let unsealed = format!(
                "what it changed could not be committed ({why}); it is in its tree, and `/diff {name}` and \
                 `/merge {name}` find it there",
                name = job.name
            );
            Kept { changes: None, unsealed: Some(unsealed) }
        }
    }
}
