//! What the connection of the client says of the table in the protocol's own messages: what is served, who wants to
//! hear how tasks stand, and how they do.

use serde_json::{Map, Value};
use talaria_protocol::meta::{AgentCapabilities, ClientCapabilities};
use talaria_protocol::task::TaskEventNotification;
use talaria_protocol::{
    META_KEY, METHOD_PREFIX, TASK_COLLECT, TASK_EVENT, TASK_RESUME, TASK_SPAWN,
};

use super::{Table, convert};
use crate::ids::SessionId;
use crate::tasks::Row;

/// The notification that says how a task stands.
pub const EVENT: &str = TASK_EVENT;

/// Whether the method is one of the extension, known or not.
pub fn is_of_extension(method: &str) -> bool {
    method.starts_with(METHOD_PREFIX)
}

/// Whether the method may wait for as long as its caller wants.
pub fn may_wait(method: &str) -> bool {
    method == TASK_COLLECT
}

/// Whether a model is asked because of it.
pub fn starts_work(method: &str) -> bool {
    [TASK_SPAWN, TASK_RESUME].contains(&method)
}

/// The `_meta` of the agent's capabilities.
pub fn capabilities(table: &Table) -> Map<String, Value> {
    let methods = table.requests().map(str::to_owned).collect();
    let capabilities = serde_json::to_value(AgentCapabilities { methods, events: true });
    Map::from_iter([(META_KEY.to_owned(), capabilities.unwrap_or_default())])
}

/// Whether a client wants to hear how tasks stand, by the `_meta` of its capabilities. What cannot be read wants
/// nothing.
pub fn wants_events(meta: Option<&Map<String, Value>>) -> bool {
    let ours = meta.and_then(|meta| meta.get(META_KEY)).cloned().unwrap_or_default();
    serde_json::from_value::<ClientCapabilities>(ours).is_ok_and(|ours| ours.events)
}

/// The parameters of [`EVENT`].
pub fn event(session: &SessionId, row: Row) -> TaskEventNotification {
    TaskEventNotification { session_id: session.to_string(), task: convert::summary(row) }
}
