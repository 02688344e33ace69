//! Talaria's values in messages of ACP itself: what stands under the key `talaria` of a `_meta`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::task::TaskState;

/// What a client understands: `clientCapabilities._meta.talaria` of `initialize`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientCapabilities {
    /// Whether `_talaria/task/event` is to be sent to it.
    #[serde(default)]
    pub events: bool,
}

/// What the agent serves: `agentCapabilities._meta.talaria` of the answer to `initialize`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentCapabilities {
    /// The names of the requests that are served; what is not among them is not there.
    pub methods: Vec<String>,
    /// Whether `_talaria/task/event` is sent to clients that ask for it in their capabilities.
    pub events: bool,
}

/// Marks a call that shows a background task, or one of its calls: `_meta.talaria.task` of a tool call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskMark {
    /// `t1`, within its session.
    pub id: String,
    pub state: TaskState,
}

/// Marks what belongs to a turn that no prompt asked for: `_meta.talaria.followUp` of the parameters of
/// `session/update`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FollowUpMark {
    /// How many turns that nobody asked for lie between this one and the user's prompt, with this one.
    pub generation: u32,
    /// The ids of the tasks whose reports began it.
    pub tasks: Vec<String>,
    /// `true` in the last update of the turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<bool>,
}
