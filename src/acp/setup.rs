//! The methods that open a session: new, load, resume and fork. They check what was asked for and put the
//! session in its place at once; the opening itself is a task, `open`.

use std::path::PathBuf;

use agent_client_protocol::v1::schema as acp;
use agent_client_protocol::{Client, ConnectionTo, Error};
use serde_json::Value;

use super::dispatch::Server;
use super::handler::Answering;
use super::inbound::{invalid, parse};
use super::open::{self, From, Place, ToOpen};
use super::sessions::OpeningFailure;
use crate::ids::SessionId;
use crate::session;

/// What all four ask for.
struct Asked {
    id: SessionId,
    from: From,
    cwd: PathBuf,
    additional: Vec<PathBuf>,
    mcp_servers: usize,
}

impl Server {
    /// `session/new`, `session/load`, `session/resume` and `session/fork`.
    pub(super) fn open_session(
        &mut self,
        method: &str,
        params: Value,
        answering: Answering,
        connection: &ConnectionTo<Client>,
    ) {
        let checked = asked(method, params).and_then(|asked| {
            self.signed_in()?;
            open::check_folders(&asked.cwd, &asked.additional)?;
            match &asked.from {
                From::Load | From::Resume => self.is_no_child(&asked.id)?,
                From::Fork(from) => self.is_no_child(from)?,
                From::Nothing => {}
            }
            if self.sessions.is_crowded(asked.id.as_str()) {
                return Err(invalid("too many requests wait for this session already"));
            }
            Ok(asked)
        });
        let asked = match checked {
            Ok(checked) => checked,
            Err(error) => return answering.error(error),
        };
        let (session, inbox) = session::handle();
        let failure = OpeningFailure::default();
        let mut turnstile = self.sessions.open(asked.id.as_str(), session.clone(), failure.clone());
        if let From::Fork(from) = &asked.from {
            turnstile.before = self.sessions.before(from.as_str());
        }
        let to_open = ToOpen {
            id: asked.id,
            from: asked.from,
            session,
            inbox,
            failure,
            turnstile,
            cwd: asked.cwd,
            additional: asked.additional,
            mcp_servers: asked.mcp_servers,
        };
        let place = Place {
            services: self.services.clone(),
            http: self.http(),
            connection: connection.clone(),
            wire: self.wire.clone(),
            features: self.features.unwrap_or_default(),
            viewer: self.viewer,
            tasks: self.tasks.clone(),
            stop: self.stop.clone(),
        };
        self.tasks.spawn(open::open(to_open, place, answering));
        self.be_reachable();
    }
}

fn asked(method: &str, params: Value) -> Result<Asked, Error> {
    let stored = |id: &acp::SessionId| SessionId::new(id.0.clone());
    match method {
        "session/load" => {
            let request = parse::<acp::LoadSessionRequest>(method, params)?;
            Ok(Asked {
                id: stored(&request.session_id),
                from: From::Load,
                cwd: request.cwd,
                additional: request.additional_directories,
                mcp_servers: request.mcp_servers.len(),
            })
        }
        "session/resume" => {
            let request = parse::<acp::ResumeSessionRequest>(method, params)?;
            Ok(Asked {
                id: stored(&request.session_id),
                from: From::Resume,
                cwd: request.cwd,
                additional: request.additional_directories,
                mcp_servers: request.mcp_servers.len(),
            })
        }
        "session/fork" => {
            let request = parse::<acp::ForkSessionRequest>(method, params)?;
            Ok(Asked {
                id: SessionId::fresh(),
                from: From::Fork(stored(&request.session_id)),
                cwd: request.cwd,
                additional: request.additional_directories,
                mcp_servers: request.mcp_servers.len(),
            })
        }
        _ => {
            let request = parse::<acp::NewSessionRequest>(method, params)?;
            Ok(Asked {
                id: SessionId::fresh(),
                from: From::Nothing,
                cwd: request.cwd,
                additional: request.additional_directories,
                mcp_servers: request.mcp_servers.len(),
            })
        }
    }
}
