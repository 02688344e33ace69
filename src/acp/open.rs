//! Opens a session: reads the configuration as it is now, finds the model, wires the editor's files and
//! terminals, and starts the actor behind the answer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent_client_protocol::v1::schema as acp;
use agent_client_protocol::{Client, ConnectionTo};
use serde_json::json;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Services;
use super::client::EditorHost;
use super::flow::{Flow, Questions};
use super::handler::Answering;
use super::inbound::{Features, error_of, invalid};
use super::project::v1;
use super::transport::Wire;
use crate::config::{self, Resolved};
use crate::event::Settings;
use crate::fault::{Fault, Kind};
use crate::ids::SessionId;
use crate::model::catalog::{self, Choice};
use crate::model::provider::HttpClient;
use crate::session::{self, Inbox, Opening, SessionHandle};
use crate::tools::local::Local;
use crate::tools::permission::Policy;
use crate::tools::roots::Roots;
use crate::tools::{ToolSettings, Toolbox};
use crate::turn::Environment;

/// A session that is being opened.
pub(super) struct NewSession {
    pub(super) id: SessionId,
    pub(super) session: SessionHandle,
    pub(super) inbox: Inbox,
    pub(super) cwd: PathBuf,
    pub(super) additional: Vec<PathBuf>,
    /// How many MCP servers the client named; this version starts none.
    pub(super) mcp_servers: usize,
}

/// Where a session lives.
pub(super) struct Place {
    pub(super) services: Services,
    pub(super) http: HttpClient,
    pub(super) connection: ConnectionTo<Client>,
    pub(super) wire: Wire,
    pub(super) features: Features,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

/// Checks the form of a request's folders; whether they exist is looked up where the session opens.
pub(super) fn check_folders(
    cwd: &Path,
    additional: &[PathBuf],
) -> Result<(), agent_client_protocol::Error> {
    if !cwd.is_absolute() {
        return Err(invalid("`cwd` must be an absolute path"));
    }
    if additional.iter().any(|folder| !folder.is_absolute()) {
        return Err(invalid("each of `additionalDirectories` must be an absolute path"));
    }
    Ok(())
}

/// Opens it and answers; the session lives on in tasks of its own.
pub(super) async fn open(new: NewSession, place: Place, answering: Answering) {
    let services = place.services.clone();
    let http = place.http.clone();
    let folders = (new.cwd.clone(), new.additional.clone());
    let prepared =
        tokio::task::spawn_blocking(move || prepare(&services, &http, (&folders.0, &folders.1)))
            .await;
    let prepared = match prepared {
        Ok(Ok(prepared)) => prepared,
        Ok(Err(fault)) => return answering.error(error_of(&fault)),
        Err(error) => {
            tracing::error!(%error, "a session could not be opened");
            return answering.error(error_of(
                &Fault::new(Kind::Internal, "the session could not be opened")
                    .with_hint("Try again; the log has the details."),
            ));
        }
    };
    let session_id = acp::SessionId::new(new.id.as_str());
    let opening = opening(&new, &place, &session_id, prepared);
    let mut response = acp::NewSessionResponse::new(session_id.clone())
        .modes(v1::modes(&opening.settings))
        .config_options(v1::options(&opening.settings));
    if new.mcp_servers > 0 {
        let note = format!(
            "{} MCP servers were named; this version of Talaria does not start MCP servers yet.",
            new.mcp_servers
        );
        tracing::warn!(session = %new.id, "{note}");
        let mut meta = serde_json::Map::new();
        meta.insert("talaria".to_owned(), json!({ "notes": [note] }));
        response = response.meta(meta);
    }
    answering.value(&response);
    let session = new.session.clone();
    let flow = Flow {
        id: session_id,
        connection: place.connection,
        wire: place.wire,
        session: new.session,
        tasks: place.tasks.clone(),
        questions: Questions::default(),
    };
    session::start(opening, new.inbox, flow, &place.tasks, place.stop.child_token());
    if session.opened().is_err() {
        tracing::warn!("a session ended while it was opened");
    }
}

struct Prepared {
    resolved: Resolved,
    choice: Choice,
    roots: Arc<Roots>,
    policy: Policy,
}

/// The part that reads files. Blocking.
fn prepare(
    services: &Services,
    http: &HttpClient,
    (cwd, additional): (&Path, &[PathBuf]),
) -> Result<Prepared, Fault> {
    for folder in std::iter::once(cwd).chain(additional.iter().map(PathBuf::as_path)) {
        if !folder.is_dir() {
            return Err(Fault::new(Kind::User, format!("`{}` is not a folder", folder.display()))
                .with_hint("Open a folder that exists."));
        }
    }
    let resolved = config::load(&services.environment, &services.folders, Some(cwd));
    for warning in &resolved.warnings {
        tracing::warn!(path = warning.path, "{}", warning.message);
    }
    if let Some(fault) = &resolved.fault {
        return Err(fault.clone());
    }
    let choice = catalog::resolve(&resolved.config, &services.environment, http)?;
    let roots = Arc::new(Roots::new(cwd.to_owned(), additional));
    let permissions = &resolved.config.permissions;
    let policy = Policy::new(permissions.allow.clone(), &permissions.deny);
    Ok(Prepared { resolved, choice, roots, policy })
}

fn opening(
    new: &NewSession,
    place: &Place,
    session: &acp::SessionId,
    prepared: Prepared,
) -> Opening {
    let Prepared { resolved, choice, roots, policy } = prepared;
    let config = resolved.config;
    let settings = Settings {
        mode: config.permissions.mode,
        model: choice.name.clone(),
        models: choice.names.clone(),
        thought: config.model.thought,
    };
    let host = EditorHost {
        session: session.clone(),
        connection: place.connection.clone(),
        features: place.features,
        roots: roots.clone(),
        local: Local::new(),
        tasks: place.tasks.clone(),
        stop: place.stop.clone(),
    };
    let tools = ToolSettings {
        disabled: config.tools.disabled.clone(),
        terminal_timeout: std::time::Duration::from_secs(config.tools.terminal_timeout_seconds),
    };
    let environment = Environment {
        config: Arc::new(config),
        roots,
        host: Arc::new(host),
        toolbox: Toolbox::builtin(&tools),
        policy: Arc::new(policy),
        cache_key: new.id.to_string(),
        system: OnceCell::new(),
    };
    Opening {
        environment: Arc::new(environment),
        choice,
        settings,
        version: place.services.version,
    }
}
