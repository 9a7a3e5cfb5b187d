//! An incident as it stands: a full snapshot each time it changes. Topic `oncall.incidents.v1`, keyed by service.
//!
//! `version` grows by one with every snapshot of one incident; a consumer that sees a lower one drops it.

use serde::{Deserialize, Serialize};

use super::alert::{AlertStatus, Level, Mention};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Stable over reopenings: derived from service, group and the first alert's start.
    pub id: String,
    pub version: i32,
    pub service: String,
    pub environment: Option<String>,
    /// The values of the grouping keys besides the service, as `name=value`, sorted.
    #[serde(default)]
    pub group: Vec<String>,
    pub state: IncidentState,
    /// What made this snapshot.
    pub change: IncidentChange,
    /// The highest level of its alerts over its life since it last opened.
    pub level: Level,
    pub level_reason: String,
    /// Whom *this change* may wake; `Nobody` for every change that is not an opening or an escalation.
    #[serde(default)]
    pub mention: Mention,
    pub opened_at_ms: i64,
    pub changed_at_ms: i64,
    pub resolved_at_ms: Option<i64>,
    /// How often it was opened again after it had resolved.
    #[serde(default)]
    pub reopened: i32,
    /// How often alerts went back and forth without it being told.
    #[serde(default)]
    pub flaps: i32,
    /// The worst first; bounded, the rest is counted in `alerts_omitted`.
    #[serde(default)]
    pub alerts: Vec<IncidentAlert>,
    #[serde(default)]
    pub alerts_omitted: i32,
    /// Best first. Empty as the incident operator says it; filled by the suspects operator.
    #[serde(default)]
    pub suspects: Vec<Suspect>,
    pub runbook_url: Option<String>,
    pub dashboard_url: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IncidentState {
    Open,
    Resolved,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentChange {
    Opened,
    Escalated,
    AlertsChanged,
    SuspectsChanged,
    Resolved,
    Reopened,
}

/// One alert inside an incident, reduced to what people and ranking need.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidentAlert {
    pub fingerprint: String,
    pub name: String,
    pub status: AlertStatus,
    pub level: Level,
    pub starts_at_ms: i64,
    pub ends_at_ms: Option<i64>,
    /// How often it was told while firing.
    #[serde(default)]
    pub repeats: i32,
    pub value: Option<f64>,
    /// `summary` or `description`, or the name.
    pub summary: String,
    pub generator_url: Option<String>,
}

/// A deploy that may have caused the incident, and why it is ranked where it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Suspect {
    pub deploy_id: String,
    pub service: String,
    pub version: String,
    pub revision: Option<String>,
    pub actor: Option<String>,
    pub url: Option<String>,
    pub effective_at_ms: i64,
    /// 0 to 100.
    pub score: i32,
    /// In words, the strongest first.
    #[serde(default)]
    pub reasons: Vec<String>,
}
