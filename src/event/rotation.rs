//! Who is on call when, as a calendar said it last. Topic `oncall.rotations.v1`, keyed by the rotation's name, compacted.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rotation {
    pub name: String,
    /// When the calendar was read.
    pub read_at_ms: i64,
    /// Until when the shifts are complete.
    pub known_until_ms: i64,
    /// By start. Several at once are on call together.
    pub shifts: Vec<Shift>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shift {
    pub starts_at_ms: i64,
    pub ends_at_ms: i64,
    /// Slack id; empty where the topology knows none.
    pub person: String,
    /// As the calendar calls them.
    pub name: String,
}
