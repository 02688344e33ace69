//! The order in which calls start tasks: tasks are numbered as they are started, and the model counts its
//! calls from the first. Calls begin beside each other; a place makes one wait for those before it.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

/// Gives places, in order.
#[derive(Default)]
pub struct Places {
    given: u64,
    /// Those that are held.
    held: Arc<watch::Sender<BTreeSet<u64>>>,
}

/// A call's place. It is given up when the call has started its tasks, or is dropped.
pub struct Place {
    number: u64,
    held: Arc<watch::Sender<BTreeSet<u64>>>,
}

impl Places {
    /// The place behind all that were given so far.
    pub fn give(&mut self) -> Place {
        self.given += 1;
        let number = self.given;
        self.held.send_modify(|held| {
            held.insert(number);
        });
        Place { number, held: self.held.clone() }
    }
}

impl Place {
    /// Resolves when all before it have been given up.
    pub async fn come(&self) {
        let mut held = self.held.subscribe();
        // It cannot break off: this place has a sender of its own.
        drop(held.wait_for(|held| held.range(..self.number).next().is_none()).await);
    }

    /// Lets the next one come, once those before it are gone, too.
    pub fn give_up(&self) {
        self.held.send_if_modified(|held| held.remove(&self.number));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.give_up();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::Places;

    #[test]
    fn the_order_is_that_of_the_places() {
        let mut places = Places::default();
        let [first, second, third] = [places.give(), places.give(), places.give()];
        assert!(first.come().now_or_never().is_some());
        assert!(second.come().now_or_never().is_none());
        // A call that never began stops nobody, and lets nobody pass those before it.
        drop(second);
        assert!(third.come().now_or_never().is_none());
        first.give_up();
        assert!(third.come().now_or_never().is_some());
        assert!(places.give().come().now_or_never().is_none());
    }
}
