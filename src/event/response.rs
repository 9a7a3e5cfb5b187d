//! What a person, or a program on behalf of one, answered to an incident: acknowledged, snoozed, asked for a run. Topic
//! `oncall.responses.v1`, keyed by service.
//!
//! Who may say it was decided before it became a fact. Its `id` is its sender's: the same click or request told twice has one id.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    pub id: String,
    pub service: String,
    /// The incident that it is about; `None` for silences, which are about alerts.
    #[serde(default)]
    pub incident_id: Option<String>,
    /// Version of the incident that was in sight; 0 if that is not known.
    #[serde(default)]
    pub version: i32,
    pub verb: ResponseVerb,
    /// Slack id of the person, or the name of the program.
    pub by: String,
    /// As people call them; `None` if it is not known.
    #[serde(default)]
    pub by_name: Option<String>,
    /// By the clock of who received it.
    pub at_ms: i64,
    /// End of a snooze or silence.
    #[serde(default)]
    pub until_ms: Option<i64>,
    /// Slack id of who shall have it, of `assign`; `None` gives it back.
    #[serde(default)]
    pub assignee: Option<String>,
    /// Name of the action, of `run`.
    #[serde(default)]
    pub action: Option<String>,
    /// Of `silence` and `unsilence`.
    #[serde(default)]
    pub silence_id: Option<String>,
    /// Of `silence`: the alerts that it covers.
    #[serde(default)]
    pub fingerprints: Vec<String>,
    #[serde(default)]
    pub comment: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseVerb {
    Acknowledge,
    Unacknowledge,
    Snooze,
    Unsnooze,
    Assign,
    /// Asks for one run of an action.
    Run,
    /// A silence covers alerts of this service from now on, with its end.
    Silence,
    /// That silence is over, before its time.
    Unsilence,
}
