//! A run of an action, as far as it is: requested, then started, then how it ended. Topic `oncall.action-runs.v1`, keyed by
//! service.
//!
//! Started is durable before the action is: what was started and never ended is `unknown`, and not done again.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActionRun {
    /// That of the response which asked for it.
    pub id: String,
    pub service: String,
    pub incident_id: String,
    /// As the topology names it.
    pub action: String,
    /// Name of who asked for it.
    pub by: String,
    pub status: RunStatus,
    pub at_ms: i64,
    /// HTTP status or exit code, or why it could not be.
    #[serde(default)]
    pub result: Option<String>,
    /// The end of what it printed or answered, cut.
    #[serde(default)]
    pub output: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    Requested,
    Started,
    Succeeded,
    Failed,
    /// It was started, and nobody knows how it ended.
    Unknown,
}
