//! Opens a session, a new one or a stored one: reads the configuration as it is now, finds the model,
//! wires the editor's files and terminals, and starts the actor behind the answer.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agent_client_protocol::v1::schema as acp;
use agent_client_protocol::{Client, ConnectionTo, Error, RequestCancellation};
use serde_json::json;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::children;
use super::client::EditorHost;
use super::events::Events;
use super::flow::{Flow, FollowUp, Questions, Updates};
use super::handler::Answering;
use super::inbound::{
    Features, error_of, error_of_child, error_of_store, invalid, unknown_session,
};
use super::project::v1;
use super::replay::{Audience, Broken};
use super::sessions::{OpeningFailure, Predecessor, Turnstile};
use super::transport::Wire;
use super::{Services, TaskServices};
use crate::config::{self, Config, Resolved};
use crate::event::Settings;
use crate::fault::{Fault, Kind};
use crate::ids::SessionId;
use crate::model::catalog::{self, Choice};
use crate::model::provider::HttpClient;
use crate::redact::Mask;
use crate::session::directory::{Listed, OpenSession};
use crate::session::restore::Restored;
use crate::session::{self, Inbox, Opening, Parent, SessionHandle, reading};
use crate::store::{self, Durability, Journal, Opened, Record};
use crate::tasks::engine::State;
use crate::tasks::{self, TaskName, TasksHandle, TasksInbox};
use crate::tools::local::Local;
use crate::tools::permission::Policy;
use crate::tools::roots::Roots;
use crate::tools::{TaskLimits, ToolSettings};
use crate::turn::Environment;
use crate::viewer::Viewer;

/// How long an opening may go on when the connection ends; what is said then must still be written.
const AT_THE_END: Duration = Duration::from_secs(1);

/// A session that is being opened.
pub(super) struct ToOpen {
    pub(super) id: SessionId,
    pub(super) from: From,
    pub(super) session: SessionHandle,
    pub(super) inbox: Inbox,
    pub(super) failure: OpeningFailure,
    /// What must be over before.
    pub(super) turnstile: Turnstile,
    pub(super) cwd: PathBuf,
    pub(super) additional: Vec<PathBuf>,
    /// How many MCP servers the client named; this version starts none.
    pub(super) mcp_servers: usize,
}

/// Where a session comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum From {
    Nothing,
    /// The store; the conversation is shown again.
    Load,
    /// The store; nothing is shown.
    Resume,
    /// A copy of another one, which is not touched.
    Fork(SessionId),
}

/// Where a session lives.
pub(super) struct Place {
    pub(super) services: Services,
    pub(super) http: HttpClient,
    pub(super) connection: ConnectionTo<Client>,
    pub(super) wire: Wire,
    pub(super) features: Features,
    pub(super) viewer: Viewer,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

/// Checks the form of a request's folders; whether they exist is looked up where the session opens.
pub(super) fn check_folders(cwd: &Path, additional: &[PathBuf]) -> Result<(), Error> {
    if !cwd.is_absolute() {
        return Err(invalid("`cwd` must be an absolute path"));
    }
    if additional.iter().any(|folder| !folder.is_absolute()) {
        return Err(invalid("each of `additionalDirectories` must be an absolute path"));
    }
    Ok(())
}

/// Opens it and answers; the session lives on in tasks of its own.
pub(super) async fn open(to_open: ToOpen, place: Place, answering: Answering) {
    let cancellation = answering.cancellation();
    let made = tokio::select! {
        biased;
        made = make(&to_open, &place) => made,
        () = cancelled(&cancellation, &to_open.turnstile) => Err(Error::request_cancelled()),
        () = at_the_end(&place.stop) => Err(error_of(&ended())),
    };
    let Made { opening, tasks, notes } = match made {
        Ok(made) => made,
        Err(error) => return refuse(to_open, &place, error, answering).await,
    };
    if let Some(NewTasks { handle, inbox, setup }) = tasks {
        tasks::start(inbox, setup, &place.tasks, place.stop.child_token());
        to_open.turnstile.tasks.keep(handle);
    }
    let listed = list(&to_open, &place);
    let updates = updates(&to_open, &place);
    updates.open(|| answer(&to_open, &opening.settings, &notes, answering));
    let session = to_open.session.clone();
    let tasks = to_open.turnstile.tasks.get().filter(|_| place.features.events);
    let events = tasks.map(|tasks| Events::start(tasks, updates.clone(), &place.tasks));
    let flow = Flow {
        updates,
        session: to_open.session,
        tasks: place.tasks.clone(),
        questions: Questions::default(),
        follow_up: FollowUp::default(),
        events,
        _listed: listed,
        _over: to_open.turnstile.over,
    };
    session::start(opening, to_open.inbox, flow, &place.tasks, place.stop.child_token());
    if session.opened().is_err() {
        tracing::warn!("a session ended while it was opened");
    }
    drop(to_open.turnstile.settled);
}

/// Lists the session among those that are open: from its answer on others may use it.
fn list(to_open: &ToOpen, place: &Place) -> Listed {
    place.services.directory.list(OpenSession {
        id: to_open.id.clone(),
        cwd: to_open.cwd.clone(),
        additional: to_open.additional.clone(),
        tasks: to_open.turnstile.tasks.get(),
        settings: to_open.turnstile.tasks.settings(),
        used: place.services.tasks.clock.now(),
    })
}

/// Answers an opening that failed and what was asked for behind it. A session whose place it was to take
/// keeps it, unless that one has ended for it.
async fn refuse(mut to_open: ToOpen, place: &Place, error: Error, answering: Answering) {
    if let From::Fork(_) = to_open.from {
        // Half a copy is of no use. One that was not made is fine.
        drop(place.services.store.delete(&to_open.id).await);
    }
    let mut is_open = false;
    for predecessor in &to_open.turnstile.predecessors {
        is_open |= predecessor.stay().await;
    }
    if !is_open && let Some(tasks) = to_open.turnstile.tasks.get() {
        // Nobody is left who could end them. They can be resumed.
        tasks.abandon().await;
    }
    let mut why = Fault::new(Kind::User, "the session could not be opened again");
    if error.code != Error::request_cancelled().code {
        to_open.failure.set(&error);
    } else if is_open {
        // A prompt was not cancelled because its session's opening was.
        why =
            Fault::new(Kind::User, "the opening of the session that this waited for was cancelled")
                .with_hint("The session is open as it was before: send it again.");
    } else {
        let is_stored = place.services.store.is_on();
        let id = acp::SessionId::new(to_open.id.as_str());
        to_open.failure.set(&unknown_session(&id, is_stored));
    }
    // What comes from now on goes to the one that stays, or is told that there is none.
    to_open.inbox.close();
    // In the order in which it was asked for: what waits for the opening is refused behind it.
    answering.error(error);
    to_open.inbox.refuse(&why);
}

/// Resolves when the opening is cancelled. That comes too late once a session has ended for it: the client
/// has to find that one open.
async fn cancelled(cancellation: &RequestCancellation, turnstile: &Turnstile) {
    cancellation.cancelled().await;
    if turnstile.predecessors.iter().any(Predecessor::is_asked) {
        for predecessor in &turnstile.predecessors {
            if predecessor.stay().await {
                return;
            }
        }
        std::future::pending::<()>().await;
    }
}

/// Resolves a moment after `stop`.
pub(super) async fn at_the_end(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(AT_THE_END).await;
}

/// Why something was not done at the end.
pub(super) fn ended() -> Fault {
    Fault::new(Kind::User, "the connection ended meanwhile").with_hint("Try again.")
}

fn answer(to_open: &ToOpen, settings: &Settings, notes: &[String], answering: Answering) {
    let modes = v1::modes(settings);
    let options = v1::options(settings);
    let meta = (!notes.is_empty()).then(|| {
        let mut meta = serde_json::Map::new();
        meta.insert("talaria".to_owned(), json!({ "notes": notes }));
        meta
    });
    let id = acp::SessionId::new(to_open.id.as_str());
    match to_open.from {
        From::Nothing => answering.value(
            &acp::NewSessionResponse::new(id).modes(modes).config_options(options).meta(meta),
        ),
        From::Load => answering.value(
            &acp::LoadSessionResponse::new().modes(modes).config_options(options).meta(meta),
        ),
        From::Resume => answering.value(
            &acp::ResumeSessionResponse::new().modes(modes).config_options(options).meta(meta),
        ),
        From::Fork(_) => answering.value(
            &acp::ForkSessionResponse::new(id).modes(modes).config_options(options).meta(meta),
        ),
    }
}

/// A session that is about to start.
struct Made {
    opening: Opening,
    /// What its tasks start with, where none go on.
    tasks: Option<NewTasks>,
    /// What the client is told of it.
    notes: Vec<String>,
}

/// What the tasks of a session start with.
struct NewTasks {
    handle: TasksHandle,
    inbox: TasksInbox,
    setup: tasks::Setup,
}

/// What the session starts with. For a stored one this is the whole way back: its lease, its records, what
/// they show, and how what was interrupted ended.
async fn make(to_open: &ToOpen, place: &Place) -> Result<Made, Error> {
    to_open.turnstile.before.over().await;
    let services = place.services.clone();
    let http = place.http.clone();
    let folders = (to_open.cwd.clone(), to_open.additional.clone());
    let prepared =
        tokio::task::spawn_blocking(move || prepare(&services, &http, (&folders.0, &folders.1)))
            .await;
    let prepared = match prepared {
        Ok(prepared) => prepared.map_err(|fault| error_of(&fault))?,
        Err(error) => {
            tracing::error!(%error, "a session could not be opened");
            let fault = Fault::new(Kind::Internal, "the session could not be opened")
                .with_hint("Try again; the log has the details.");
            return Err(error_of(&fault));
        }
    };
    match &to_open.from {
        From::Load | From::Resume => is_no_child(place, &to_open.id).await?,
        From::Fork(from) => is_no_child(place, from).await?,
        From::Nothing => {}
    }
    // Nothing of the request can be wrong from here on.
    for predecessor in &to_open.turnstile.predecessors {
        predecessor.hand_over().await;
    }
    let mask = Arc::new(Mask::new(&prepared.resolved.keys));
    let (journal, restored) = journal(to_open, place, mask.clone()).await?;
    let (handle, tasks) = tasks_of(to_open, place, &prepared.resolved.config, &mask);
    let parent = handle.is_some().then(|| Parent {
        id: to_open.id.clone(),
        depth: 0,
        store: place.services.store.clone(),
        mask,
        version: place.services.version,
        tasks: place.tasks.clone(),
        settings: to_open.turnstile.tasks.settings(),
        streams: place.viewer.subagents.then(|| children::streams(updates(to_open, place))),
        worktrees: place.services.folders.worktrees(),
    });
    let mut opening = opening(to_open, place, prepared, handle);
    opening.parent = parent;
    opening.journal = journal;
    opening.restored = restored;
    let mut notes = Vec::new();
    if to_open.mcp_servers > 0 {
        let named = match to_open.mcp_servers {
            1 => "1 MCP server was named".to_owned(),
            several => format!("{several} MCP servers were named"),
        };
        notes.push(format!("{named}; this version of Talaria does not start MCP servers yet."));
    }
    let wanted = opening.restored.settings.as_ref().map(|settings| settings.model.clone());
    opening.take_last_settings();
    if let Some(wanted) = wanted.filter(|wanted| *wanted != opening.settings.model) {
        notes.push(format!(
            "The model `{wanted}` of this session cannot be asked any more; it goes on with `{}`.",
            opening.settings.model
        ));
    }
    for note in &notes {
        tracing::warn!(session = %to_open.id, "{note}");
    }
    Ok(Made { opening, tasks, notes })
}

/// The tasks of a session, and what they start with unless they go on from before. Nothing is read for
/// them, and nothing runs yet.
fn tasks_of(
    to_open: &ToOpen,
    place: &Place,
    config: &Config,
    mask: &Arc<Mask>,
) -> (Option<TasksHandle>, Option<NewTasks>) {
    if let Some(tasks) = to_open.turnstile.tasks.get() {
        return (Some(tasks), None);
    }
    if config.delegation.max_spawn_depth == 0 {
        return (None, None);
    }
    let TaskServices { engine, clock, slots } = place.services.tasks.clone();
    let (delegation, tasks) = (config.delegation.clone(), config.tasks.clone());
    let setup = tasks::Setup { engine, clock, delegation, tasks, slots, mask: mask.clone() };
    let (handle, inbox) = tasks::handle(to_open.id.clone());
    (Some(handle.clone()), Some(NewTasks { handle, inbox, setup }))
}

/// The session's journal, its lease held, and what it holds so far.
async fn journal(
    to_open: &ToOpen,
    place: &Place,
    mask: Arc<Mask>,
) -> Result<(Journal, Restored), Error> {
    let store = &place.services.store;
    let id = &to_open.id;
    let mut opened = Opened {
        cwd: to_open.cwd.clone(),
        additional: to_open.additional.clone(),
        version: place.services.version.to_owned(),
        forked_from: None,
        parent: None,
    };
    match &to_open.from {
        From::Nothing => return Ok((store.create(id, opened, mask), Restored::default())),
        From::Fork(from) => {
            opened.forked_from = Some(from.clone());
            let copied = store.fork(from, id, opened.clone(), mask.clone()).await;
            copied.map_err(|error| error_of_store(&error))?;
        }
        From::Load | From::Resume => {}
    }
    let claimed = store.claim(id, mask).await;
    let mut claim = claimed.map_err(|error| error_of_store(&error))?;
    let updates = updates(to_open, place);
    let audience = match to_open.from {
        From::Load => Audience::Client(&updates, live_tasks(to_open).await),
        From::Nothing | From::Resume | From::Fork(_) => Audience::Nobody,
    };
    let read =
        reading::read(store, (id, claim.journal.epoch()), &audience).await.map_err(|broken| {
            match broken {
                Broken::Store(error) => error_of_store(&error),
                Broken::ClientGone => error_of(&ended()),
            }
        })?;
    let mut restored = read.restored;
    for repair in read.repairs {
        claim.journal.append(repair, Durability::Process);
    }
    // A copy already has the record of how it was opened.
    if !matches!(to_open.from, From::Fork(_)) {
        opened.parent = restored.opened.and_then(|last| last.parent);
        claim.journal.append(Record::Opened(opened.clone()), Durability::Process);
    }
    restored.opened = Some(opened);
    // What could not be written is the session's to tell.
    claim.journal.flush().await;
    Ok((claim.journal, restored))
}

/// A session that does a task is its parent's alone: who opened it would take it from its task.
async fn is_no_child(place: &Place, id: &SessionId) -> Result<(), Error> {
    match place.services.store.summary(id).await {
        Ok(summary) if summary.parent.is_some() => Err(error_of_child(id)),
        // What else may be wrong is said by who opens it.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The numbers of the tasks that go on where the session is opened anew.
async fn live_tasks(to_open: &ToOpen) -> BTreeSet<u64> {
    let Some(tasks) = to_open.turnstile.tasks.get() else { return BTreeSet::new() };
    // The one before it may have ended before it was there for its tasks: nobody waits for that.
    let rows = tasks.known().await.unwrap_or_default();
    let live = rows.iter().filter(|row| !row.state.is_final() && row.state != State::Interrupted);
    let names = live.filter_map(|row| row.task_id.parse::<TaskName>().ok());
    names.filter_map(|name| name.path().first().copied()).collect()
}

fn updates(to_open: &ToOpen, place: &Place) -> Updates {
    Updates {
        id: acp::SessionId::new(to_open.id.as_str()),
        connection: place.connection.clone(),
        wire: place.wire.clone(),
        children: to_open.turnstile.tasks.children(),
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
    let denied = [permissions.deny.as_slice(), &files_of_store(&services.folders.state)].concat();
    let policy = Policy::new(permissions.allow.clone(), &denied);
    Ok(Prepared { resolved, choice, roots, policy })
}

/// The store's own files, as patterns. Tools leave them alone: who closes a file that the engine has open
/// in this process takes the engine's locks from it.
fn files_of_store(state: &Path) -> [String; 2] {
    let database = store::database_path(state);
    [format!("{}*", database.display()), state.join("owners").display().to_string()]
}

fn opening(
    to_open: &ToOpen,
    place: &Place,
    prepared: Prepared,
    tasks: Option<TasksHandle>,
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
        session: acp::SessionId::new(to_open.id.as_str()),
        connection: place.connection.clone(),
        features: place.features,
        viewer: place.viewer,
        reach: to_open.turnstile.tasks.reach(),
        roots: roots.clone(),
        local: Local::new(),
        tasks: place.tasks.clone(),
        stop: place.stop.clone(),
    };
    let tool_settings = ToolSettings {
        disabled: config.tools.disabled.clone(),
        terminal_timeout: Duration::from_secs(config.tools.terminal_timeout_seconds),
        tasks: TaskLimits::of(&config.delegation, &config.tasks),
    };
    let environment = Environment {
        config: Arc::new(config),
        roots,
        host: Arc::new(host),
        toolbox: place.services.toolboxes.builtin(tool_settings),
        policy: Arc::new(policy),
        cache_key: to_open.id.to_string(),
        system: OnceCell::new(),
        tasks,
    };
    Opening {
        environment: Arc::new(environment),
        choice,
        settings,
        version: place.services.version,
        journal: Journal::off(),
        restored: Restored::default(),
        is_shown: to_open.from == From::Load,
        notice: None,
        viewer: place.viewer,
        inherited: None,
        parent: None,
    }
}
