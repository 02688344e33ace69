//! The method table. Nothing here waits: a request is answered at once, or handed to a session or a
//! task that answers later. Notifications take effect in the order of arrival.

use std::sync::{Arc, OnceLock};

use agent_client_protocol::schema::ProtocolVersion;
use agent_client_protocol::v1::schema as acp;
use agent_client_protocol::{Client, ConnectionTo, Error};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Services;
use super::extension::MOST_WAITS;
use super::handler::{Answering, Table};
use super::inbound::{
    self, Features, error_of, error_of_child, invalid, not_initialized, parse, unknown_method,
    unknown_session,
};
use super::profiles;
use super::project::v1;
use super::sessions::{OpeningFailure, Sessions};
use super::transport::Wire;
use crate::config;
use crate::control::{self, extension};
use crate::event::Settings;
use crate::fault::{Fault, Kind};
use crate::ids::SessionId;
use crate::model::catalog;
use crate::model::provider::HttpClient;
use crate::permission::Mode;
use crate::session::{Answered, PromptWaiter, SessionHandle, Setting};
use crate::transcript::End;
use crate::viewer::Viewer;

/// The one authentication method: a key from the environment or the configuration.
const AUTH_METHOD: &str = "configured-key";

/// One connection's state.
pub(super) struct Server {
    pub(super) services: Services,
    pub(super) wire: Wire,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
    /// What the client can do; absent before `initialize`.
    pub(super) features: Option<Features>,
    pub(super) viewer: Viewer,
    pub(super) sessions: Sessions,
    /// The methods about tasks, as others call them, too.
    pub(super) table: control::Table,
    /// What may wait for tasks at once.
    pub(super) waits: Arc<Semaphore>,
    /// What the client calls itself, once it has said so.
    client: Arc<OnceLock<String>>,
    /// Others may call the table, too.
    is_reachable: bool,
    signed_out: bool,
    http: Option<HttpClient>,
}

impl Server {
    pub(super) fn new(
        services: Services,
        wire: Wire,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let client = Arc::default();
        let about = control::About { version: services.version, client: Arc::clone(&client) };
        Self {
            table: control::Table::new(services.directory.clone(), about),
            waits: Arc::new(Semaphore::new(MOST_WAITS)),
            client,
            services,
            wire,
            tasks,
            stop,
            features: None,
            viewer: Viewer::default(),
            sessions: Sessions::default(),
            is_reachable: false,
            signed_out: false,
            http: None,
        }
    }

    fn initialize(&mut self, request: &acp::InitializeRequest) -> acp::InitializeResponse {
        self.features = Some(inbound::features(&request.client_capabilities));
        self.viewer = profiles::viewer(request);
        if let Some(client) = &request.client_info {
            self.client.get_or_init(|| client.name.clone());
            tracing::info!(client = client.name, version = client.version, "a client connected");
        }
        let is_stored = self.services.store.is_on();
        let mut sessions = acp::SessionCapabilities::new()
            .close(acp::SessionCloseCapabilities::new())
            .additional_directories(acp::SessionAdditionalDirectoriesCapabilities::new());
        if is_stored {
            sessions = sessions
                .list(acp::SessionListCapabilities::new())
                .resume(acp::SessionResumeCapabilities::new())
                .fork(acp::SessionForkCapabilities::new())
                .delete(acp::SessionDeleteCapabilities::new())
                .title(acp::SessionTitleCapabilities::new());
        }
        let capabilities = acp::AgentCapabilities::new()
            .load_session(is_stored)
            .prompt_capabilities(acp::PromptCapabilities::new().image(true).embedded_context(true))
            .session_capabilities(sessions)
            .auth(acp::AgentAuthCapabilities::new().logout(acp::LogoutCapabilities::new()))
            .meta(extension::capabilities(&self.table));
        let method =
            acp::AuthMethodAgent::new(AUTH_METHOD, "Key from the environment or config.yaml")
                .description(format!(
                    "Reads `TALARIA_API_KEY` or `{}` again.",
                    self.services.folders.config_file().display()
                ));
        acp::InitializeResponse::new(ProtocolVersion::V1)
            .agent_capabilities(capabilities)
            .auth_methods(vec![acp::AuthMethod::Agent(method)])
            .agent_info(
                acp::Implementation::new("talaria", self.services.version)
                    .title("Talaria".to_owned()),
            )
            .meta(steering())
    }

    fn authenticate(
        &mut self,
        request: &acp::AuthenticateRequest,
    ) -> Result<acp::AuthenticateResponse, Error> {
        if &*request.method_id.0 != AUTH_METHOD {
            return Err(invalid(&format!("the only authentication method is `{AUTH_METHOD}`")));
        }
        let resolved = config::load(&self.services.environment, &self.services.folders, None);
        if let Some(fault) = &resolved.fault {
            return Err(error_of(fault));
        }
        let http = self.http();
        catalog::resolve(&resolved.config, &self.services.environment, &http)
            .map_err(|fault| error_of(&fault))?;
        http.try_all_keys();
        self.signed_out = false;
        Ok(acp::AuthenticateResponse::new())
    }

    /// The HTTP client. Its making begins with the first session, beside everything else: it takes
    /// milliseconds that neither the start nor the first prompt should wait for.
    pub(super) fn http(&mut self) -> HttpClient {
        self.http.get_or_insert_with(HttpClient::start).clone()
    }

    /// Lets other programs of the user find the sessions, from the first one on: the start does not wait for it.
    pub(super) fn be_reachable(&mut self) {
        if std::mem::replace(&mut self.is_reachable, true) {
            return;
        }
        #[cfg(unix)]
        control::socket::start(
            self.table.clone(),
            &self.services.folders,
            &self.tasks,
            self.stop.clone(),
        );
    }

    /// Talaria stores no credentials: it forgets that it may use those of the environment and the
    /// configuration until the next `authenticate`, and stops what uses them.
    fn logout(&mut self, _request: &acp::LogoutRequest) -> acp::LogoutResponse {
        self.signed_out = true;
        self.sessions.cancel_all();
        acp::LogoutResponse::new()
    }

    pub(super) fn signed_in(&self) -> Result<(), Error> {
        if self.signed_out {
            let fault =
                Fault::new(Kind::Auth, "you are logged out").with_hint("Authenticate first.");
            return Err(error_of(&fault));
        }
        Ok(())
    }

    pub(super) fn session(
        &self,
        id: &acp::SessionId,
    ) -> Result<(SessionHandle, OpeningFailure), Error> {
        self.sessions.get(&id.0).ok_or_else(|| self.unknown(id))
    }

    pub(super) fn unknown(&self, id: &acp::SessionId) -> Error {
        let is_stored = self.services.store.is_on();
        let known = self.is_no_child(&SessionId::new(id.0.clone()));
        known.err().unwrap_or_else(|| unknown_session(id, is_stored))
    }

    /// A session that does a task is its parent's alone. The client may know of one before the store does; the store
    /// knows those of other connections, too, and is asked later.
    pub(super) fn is_no_child(&self, id: &SessionId) -> Result<(), Error> {
        if self.sessions.has_child(id) { Err(error_of_child(id)) } else { Ok(()) }
    }

    fn prompt(&mut self, params: Value, answering: Answering) {
        let checked = parse::<acp::PromptRequest>("session/prompt", params).and_then(|request| {
            let session = self.session(&request.session_id)?;
            self.signed_in()?;
            let content = inbound::content(request.prompt)?;
            Ok((session, request.session_id, content))
        });
        let ((session, failure), id, content) = match checked {
            Ok(checked) => checked,
            Err(error) => return answering.error(error),
        };
        let reach = self.sessions.reach(&id.0);
        let cancellation = answering.cancellation();
        let answered = CancellationToken::new();
        let done = answered.clone().drop_guard();
        let waiter = PromptWaiter {
            reply: Box::new(move |answer| reply_prompt(answering, &failure, answer)),
            open: Box::new((done, self.wire.open_prompt(), reach.open_prompt())),
        };
        self.used(&id);
        let id = session.prompt(content, waiter);
        self.tasks.spawn(async move {
            tokio::select! {
                () = answered.cancelled() => {}
                () = cancellation.cancelled() => session.cancel_prompt(id).await,
            }
        });
    }

    /// The user turned to this session.
    pub(super) fn used(&self, id: &acp::SessionId) {
        let now = self.services.tasks.clock.now();
        self.services.directory.used(&SessionId::new(id.0.clone()), now);
    }

    fn close(&mut self, params: Value, answering: Answering) {
        let closed =
            parse::<acp::CloseSessionRequest>("session/close", params).and_then(|request| {
                let id = request.session_id;
                self.sessions.close(&id.0).ok_or_else(|| self.unknown(&id))
            });
        match closed {
            Ok(closed) => {
                let reply = Box::new(move |()| answering.value(&acp::CloseSessionResponse::new()));
                self.tasks.spawn(closed.close(reply));
            }
            Err(error) => answering.error(error),
        }
    }

    fn set_mode(&mut self, params: Value, answering: Answering) {
        let checked =
            parse::<acp::SetSessionModeRequest>("session/set_mode", params).and_then(|request| {
                let session = self.session(&request.session_id)?;
                let mode: Mode =
                    request.mode_id.0.parse().map_err(|message: String| invalid(&message))?;
                Ok((session, mode))
            });
        match checked {
            Ok(((session, failure), mode)) => session.set(
                Setting::Mode(mode),
                Box::new(move |set| {
                    reply_set(answering, &failure, set, |_| acp::SetSessionModeResponse::new());
                }),
            ),
            Err(error) => answering.error(error),
        }
    }

    fn set_option(&mut self, params: Value, answering: Answering) {
        let checked =
            parse::<acp::SetSessionConfigOptionRequest>("session/set_config_option", params)
                .and_then(|request| {
                    let session = self.session(&request.session_id)?;
                    Ok((session, setting(&request)?))
                });
        match checked {
            Ok(((session, failure), setting)) => session.set(
                setting,
                Box::new(move |set| {
                    reply_set(answering, &failure, set, |settings| {
                        acp::SetSessionConfigOptionResponse::new(v1::options(settings))
                    });
                }),
            ),
            Err(error) => answering.error(error),
        }
    }
}

impl Table for Server {
    fn request(
        &mut self,
        method: &str,
        params: Value,
        answering: Answering,
        connection: &ConnectionTo<Client>,
    ) {
        // The SDK looks after this only for handlers of single methods.
        if self.features.is_none() && method != "initialize" {
            return answering.error(not_initialized());
        }
        let is_stored = self.services.store.is_on();
        match method {
            // Answered now.
            "initialize" => {
                answer(answering, parse(method, params).map(|request| self.initialize(&request)));
                // Behind the answer, which must not wait for it.
                self.services.store.warm_up();
            }
            "authenticate" => {
                answer(
                    answering,
                    parse(method, params).and_then(|request| self.authenticate(&request)),
                );
            }
            "logout" => {
                answer(answering, parse(method, params).map(|request| self.logout(&request)));
            }
            // Sent to a session, which answers later.
            "session/prompt" => self.prompt(params, answering),
            "session/close" => self.close(params, answering),
            "session/set_mode" => self.set_mode(params, answering),
            "session/set_config_option" => self.set_option(params, answering),
            // A task of its own.
            "session/new" => self.open_session(method, params, answering, connection),
            "session/load" | "session/resume" | "session/fork" if is_stored => {
                self.open_session(method, params, answering, connection);
            }
            "session/list" if is_stored => self.list(params, answering),
            "session/delete" if is_stored => self.delete(params, answering),
            "session/set_title" if is_stored => self.set_title(params, answering),
            "_session/steering" => self.steer(method, params, answering),
            _ if extension::is_of_extension(method) => self.call_table(method, params, answering),
            _ => answering.error(unknown_method(method)),
        }
    }

    fn notification(&mut self, method: &str, params: Value) {
        if method == "session/cancel" {
            let Ok(cancel) = parse::<acp::CancelNotification>(method, params) else {
                return tracing::warn!("a cancel could not be read");
            };
            self.sessions.cancel(&cancel.session_id.0);
            let child = SessionId::new(cancel.session_id.0);
            if let Some(tasks) = self.sessions.owner_of(&child) {
                // Its own stream tells when it has stopped.
                self.tasks.spawn(async move { tasks.cancel_child(&child).await });
            }
        } else {
            tracing::debug!(method, "a notification is not known");
        }
    }
}

/// Says that `_session/steering` is served, as other agents say it.
fn steering() -> acp::Meta {
    acp::Meta::from_iter([("steering".to_owned(), json!({ "supported": true }))])
}

fn setting(request: &acp::SetSessionConfigOptionRequest) -> Result<Setting, Error> {
    let acp::SessionConfigOptionValue::ValueId { value } = &request.value else {
        return Err(invalid("the value of this option is a text"));
    };
    let value: &str = &value.0;
    match &*request.config_id.0 {
        v1::MODE => Ok(Setting::Mode(value.parse().map_err(|message: String| invalid(&message))?)),
        v1::MODEL => Ok(Setting::Model(value.to_owned())),
        v1::THOUGHT => Ok(Setting::Thought(value.to_owned())),
        _ => Err(invalid("the options are `mode`, `model` and `thought_level`")),
    }
}

fn answer(answering: Answering, answer: Result<impl Serialize, Error>) {
    match answer {
        Ok(value) => answering.value(&value),
        Err(error) => answering.error(error),
    }
}

fn reply_set<T: Serialize>(
    answering: Answering,
    failure: &OpeningFailure,
    set: Result<Settings, Fault>,
    response: impl FnOnce(&Settings) -> T,
) {
    match set {
        Ok(settings) => answering.value(&response(&settings)),
        Err(fault) => answering.error(failure.or(&fault)),
    }
}

fn reply_prompt(answering: Answering, failure: &OpeningFailure, answer: Answered) {
    let reason = match answer {
        Ok(End::Finished) => acp::StopReason::EndTurn,
        Ok(End::MaxTokens) => acp::StopReason::MaxTokens,
        Ok(End::MaxSteps) => acp::StopReason::MaxTurnRequests,
        Ok(End::Refused) => acp::StopReason::Refusal,
        Ok(End::Cancelled) => acp::StopReason::Cancelled,
        Err(fault) => return answering.error(failure.or(&fault)),
    };
    answering.value(&acp::PromptResponse::new(reason));
}
