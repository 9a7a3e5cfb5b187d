//! A silence: for a time, whoever is matched is nobody's concern. Topic `oncall.silences.v1`, keyed by its id, compacted: the last
//! record of an id is how it stands.
//!
//! Shape and words are those of Alertmanager's API v2.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    pub id: String,
    /// All must match.
    pub matchers: Vec<SilenceMatcher>,
    pub starts_at_ms: i64,
    pub ends_at_ms: i64,
    pub updated_at_ms: i64,
    pub created_by: String,
    pub comment: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilenceMatcher {
    /// Of a label. One that an alert does not bear is the empty text.
    pub name: String,
    pub value: String,
    pub is_regex: bool,
    pub is_equal: bool,
}
