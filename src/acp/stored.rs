//! The methods on sessions as they are stored: `list`, `delete` and `set_title`. They check what was asked for;
//! the store is waited for in tasks.

use std::path::PathBuf;
use std::sync::Arc;

use agent_client_protocol::Error;
use agent_client_protocol::v1::schema as acp;
use serde::Serialize;
use serde_json::Value;

use super::dispatch::Server;
use super::handler::Answering;
use super::inbound::{error_of, error_of_child, error_of_store, invalid, parse};
use super::open;
use crate::config;
use crate::fault::Fault;
use crate::ids::SessionId;
use crate::redact::Mask;
use crate::session;
use crate::store::{Page, Query, StoreError, Summary};

impl Server {
    /// `session/list`. Clients ask for it around every prompt.
    pub(super) fn list(&self, params: Value, answering: Answering) {
        let checked =
            parse::<acp::ListSessionsRequest>("session/list", params).and_then(|request| {
                if request.cwd.as_ref().is_some_and(|cwd| !cwd.is_absolute()) {
                    return Err(invalid("`cwd` must be an absolute path"));
                }
                Ok(request)
            });
        let request = match checked {
            Ok(request) => request,
            Err(error) => return answering.error(error),
        };
        let store = self.services.store.clone();
        self.later(answering, async move {
            let folders = names_of(request.cwd).await;
            let query = Query { folders, cursor: request.cursor, limit: None };
            let page = store.list(query).await;
            (page.map_err(|error| error_of_store(&error)).and_then(|page| json(&listed(page))), ())
        });
    }

    /// `session/delete`. One that is open here is closed first.
    pub(super) fn delete(&mut self, params: Value, answering: Answering) {
        let checked =
            parse::<acp::DeleteSessionRequest>("session/delete", params).and_then(|request| {
                let id = SessionId::new(request.session_id.0);
                self.is_no_child(&id)?;
                Ok(id)
            });
        let id = match checked {
            Ok(checked) => checked,
            Err(error) => return answering.error(error),
        };
        let (before, closed, deleted) = self.sessions.delete(id.as_str());
        if let Some(closed) = closed {
            self.tasks.spawn(closed.close(Box::new(|()| {})));
        }
        let store = self.services.store.clone();
        let worktrees = self.services.folders.worktrees();
        self.later(answering, async move {
            before.over().await;
            if store.summary(&id).await.is_ok_and(|summary| summary.parent.is_some()) {
                return (Err(error_of_child(&id)), deleted);
            }
            let done = match session::delete(&store, &worktrees, &id).await {
                Ok(()) | Err(StoreError::Unknown(_)) => json(&acp::DeleteSessionResponse::new()),
                Err(error) => Err(error_of_store(&error)),
            };
            // What waits for the deletion is answered behind it.
            (done, deleted)
        });
    }

    /// `session/set_title`, of an open session or of a stored one.
    pub(super) fn set_title(&mut self, params: Value, answering: Answering) {
        let checked =
            parse::<acp::SetSessionTitleRequest>("session/set_title", params).and_then(|request| {
                let id = SessionId::new(request.session_id.0);
                self.is_no_child(&id)?;
                Ok((id, title(&request.title)?))
            });
        let (id, title) = match checked {
            Ok(checked) => checked,
            Err(error) => return answering.error(error),
        };
        if let Some((session, failure)) = self.sessions.get(id.as_str()) {
            let reply = move |set: Result<String, Fault>| match set {
                Ok(title) => answering.value(&acp::SetSessionTitleResponse::new(title)),
                Err(fault) => answering.error(failure.or(&fault)),
            };
            return session.set_title(title, Box::new(reply));
        }
        let before = self.sessions.before(id.as_str());
        let services = self.services.clone();
        self.later(answering, async move {
            before.over().await;
            let store = services.store.clone();
            let mask = tokio::task::spawn_blocking(move || {
                let resolved = config::load(&services.environment, &services.folders, None);
                Arc::new(Mask::new(&resolved.keys))
            });
            let Ok(mask) = mask.await else { return (Err(Error::internal_error()), ()) };
            if store.summary(&id).await.is_ok_and(|summary| summary.parent.is_some()) {
                return (Err(error_of_child(&id)), ());
            }
            let set = store.set_title(&id, title.clone(), mask).await;
            let answer = || json(&acp::SetSessionTitleResponse::new(title));
            (set.map_err(|error| error_of_store(&error)).and_then(|()| answer()), ())
        });
    }

    /// Answers with what `work` comes to, or that it was cancelled; what has begun is done in any case.
    /// What it hands back beside the answer is dropped behind it.
    fn later<W, H>(&self, answering: Answering, work: W)
    where
        W: Future<Output = (Result<Value, Error>, H)> + Send + 'static,
        H: Send + 'static,
    {
        let stop = self.stop.clone();
        let work = self.tasks.spawn(work);
        self.tasks.spawn(async move {
            let cancellation = answering.cancellation();
            let done = tokio::select! {
                biased;
                done = work => done.map_err(|_| Error::internal_error()),
                () = cancellation.cancelled() => Err(Error::request_cancelled()),
                () = open::at_the_end(&stop) => Err(error_of(&open::ended())),
            };
            match done {
                Ok((Ok(value), _held)) => answering.value(&value),
                Ok((Err(error), _)) | Err(error) => answering.error(error),
            }
        });
    }
}

/// The folder as it was named and as it is called without links: who opened a session there may have
/// done it by either name.
async fn names_of(folder: Option<PathBuf>) -> Vec<PathBuf> {
    let Some(folder) = folder else { return Vec::new() };
    let named = folder.clone();
    let resolved = tokio::task::spawn_blocking(move || named.canonicalize().ok()).await;
    std::iter::once(folder).chain(resolved.ok().flatten()).collect()
}

fn json(response: &impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(response).map_err(|_| Error::internal_error())
}

fn title(given: &str) -> Result<String, Error> {
    let title = session::users_title(given);
    if title.is_empty() { Err(invalid("the title is empty")) } else { Ok(title) }
}

fn listed(page: Page) -> acp::ListSessionsResponse {
    let sessions = page.sessions.into_iter().map(info).collect();
    acp::ListSessionsResponse::new(sessions).next_cursor(page.next)
}

fn info(summary: Summary) -> acp::SessionInfo {
    let Summary { id, cwd, additional, title, updated, .. } = summary;
    acp::SessionInfo::new(acp::SessionId::new(id.as_str()), cwd)
        .additional_directories(additional)
        .title(title)
        .updated_at(updated.rfc3339())
}
