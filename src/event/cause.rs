//! That a service on which another depends has an incident, told to the one that depends. Topic `oncall.causes.v1`, keyed by the
//! dependent service.

use serde::{Deserialize, Serialize};

use super::alert::Level;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// The one that depends.
    pub service: String,
    /// The one that it depends on.
    pub cause_service: String,
    /// The incident of that one.
    pub incident_id: String,
    pub version: i32,
    /// Whether that incident silences symptoms: it is open, and bad enough.
    pub open: bool,
    pub level: Level,
    /// When that came to be, by event time.
    pub at_ms: i64,
}
