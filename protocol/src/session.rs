//! The sessions that a server has open, as whoever looks for one on the control socket sees them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Asks a server for its open sessions. On the control socket alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListSessionsRequest {}

/// A server and its open sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListSessionsResponse {
    /// The process that answers.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// What the editor that started it calls itself, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// In the order in which they were made.
    pub sessions: Vec<OpenSession>,
}

/// A session that is open now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OpenSession {
    pub session_id: String,
    /// The folder in which it works; absolute.
    pub cwd: String,
    /// Folders that it may use besides; absolute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub additional_directories: Vec<String>,
    /// When it was prompted last, or opened where it never was: milliseconds since 1970, UTC.
    pub used_at: u64,
}
