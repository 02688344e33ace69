//! A model and others that take its place: a request goes to the next one when it failed for good before
//! anything of the reply was yielded. It neither tries again nor knows keys; each model does for itself.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use futures::Stream;

use super::{Delta, Deltas, Model, ModelError, Request};

/// A model of a chain, by the name that its provider knows.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) name: String,
    pub(super) model: Model,
}

/// Models in the order in which they are asked. Cheap to clone; clones share which one answered.
#[derive(Clone)]
pub struct Chain {
    first: Arc<Link>,
    others: Arc<[Link]>,
    answered: Arc<AtomicUsize>,
}

impl Chain {
    pub(super) fn new(first: Link, others: Vec<Link>) -> Self {
        Self { first: Arc::new(first), others: others.into(), answered: Arc::default() }
    }

    pub(super) fn first(&self) -> &Model {
        &self.first.model
    }

    /// The name of the model that answered the last request.
    pub(super) fn answered(&self) -> &str {
        let at = self.answered.load(Ordering::Relaxed);
        &self.link(at).unwrap_or(&self.first).name
    }

    fn link(&self, at: usize) -> Option<&Link> {
        at.checked_sub(1).map_or(Some(&self.first), |at| self.others.get(at))
    }

    pub(super) fn stream(&self, request: Request) -> Deltas {
        // A conversation may be large: it is kept for others only where there are any.
        if self.others.is_empty() {
            let request = Request { model: self.first.name.clone(), ..request };
            return self.first.model.stream(request);
        }
        let asking = Asking {
            chain: self.clone(),
            request,
            at: 0,
            deltas: None,
            first_error: None,
            yielded: false,
        };
        Box::pin(asking)
    }
}

/// Whether another model may do better: not where the request itself is what is wrong.
fn is_for_another(error: &ModelError) -> bool {
    match error {
        ModelError::RateLimited { .. }
        | ModelError::Overloaded { .. }
        | ModelError::Auth { .. }
        | ModelError::Payment { .. }
        | ModelError::NoKey { .. }
        | ModelError::UnknownModel { .. }
        | ModelError::WrongAddress { .. }
        | ModelError::Dropped { .. }
        | ModelError::Unreachable { .. }
        | ModelError::TimedOut { .. }
        | ModelError::Malformed { .. } => true,
        ModelError::ContextFull { .. }
        | ModelError::Refused { .. }
        | ModelError::Rejected { .. } => false,
    }
}

struct Asking {
    chain: Chain,
    request: Request,
    at: usize,
    deltas: Option<Deltas>,
    /// What was wrong with the model that should have answered: it is told if no other does.
    first_error: Option<ModelError>,
    yielded: bool,
}

impl Stream for Asking {
    type Item = Result<Delta, ModelError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            let Some(deltas) = &mut this.deltas else {
                let Some(link) = this.chain.link(this.at) else {
                    return Poll::Ready(this.first_error.take().map(Err));
                };
                let request = Request { model: link.name.clone(), ..this.request.clone() };
                this.deltas = Some(link.model.stream(request));
                continue;
            };
            match ready!(deltas.as_mut().poll_next(context)) {
                Some(Err(error)) if !this.yielded && is_for_another(&error) => {
                    this.at += 1;
                    if let Some(next) = this.chain.link(this.at) {
                        let next = &next.name;
                        tracing::warn!(%error, next, "another model takes the request");
                    }
                    this.first_error.get_or_insert(error);
                    this.deltas = None;
                }
                item => {
                    if !this.yielded {
                        this.yielded = true;
                        this.chain.answered.store(this.at, Ordering::Relaxed);
                    }
                    return Poll::Ready(item);
                }
            }
        }
    }
}
