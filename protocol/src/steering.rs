//! `_session/steering`, which is not Talaria's own: other agents serve it, too. A prompt for the turn that runs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Gives a prompt to the turn that runs, which sees it before its next request to the model. The prompt of that turn
/// is answered as ever.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SteerSessionRequest {
    pub session_id: String,
    /// ACP's content blocks, as in `session/prompt`.
    pub prompt: Vec<Value>,
    #[serde(default, rename = "_meta", skip_serializing_if = "Option::is_none")]
    pub meta: Option<SteeringMeta>,
}

/// The `_meta` of a steering.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SteeringMeta {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steering: Option<SteeringOptions>,
}

/// How a steering is to be taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SteeringOptions {
    /// Where no turn runs. Absent: a turn begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_behavior: Option<IdleBehavior>,
}

/// What to do with a steering where no turn runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum IdleBehavior {
    /// Nothing; the client sends it as a prompt.
    PromptRequired,
}

/// What has become of a steering.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SteerSessionResponse {
    pub outcome: SteeringOutcome,
    /// `promptRequired`: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<SteeringReason>,
}

/// What has become of a steering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SteeringOutcome {
    /// The turn that runs has it.
    Injected,
    /// No turn ran, and one began on it. Its end is answered to nobody; updates show it.
    StartedNewTurn,
    /// No turn ran, and nothing was kept: send it as a prompt.
    PromptRequired,
}

/// Why a prompt is required.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SteeringReason {
    /// No turn runs.
    NoRunningTurn,
}
