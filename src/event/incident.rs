//! An incident as it stands: a full snapshot each time it changes. Topic `oncall.incidents.v1`, keyed by service.
//!
//! `version` grows by one with every snapshot of one incident; a consumer that sees a lower one drops it.

use serde::{Deserialize, Serialize};

use super::action_run::RunStatus;
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
    /// Whom *this change* may wake; `Nobody` for every change that is not an opening, an escalation, an end of quiet, or nobody's
    /// having taken it in hand.
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
    /// What people do about it; `None` as the incident and suspects operators say it, filled by the attention operator.
    #[serde(default)]
    pub attention: Option<Attention>,
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
    Acknowledged,
    /// Who had it in hand gave it back.
    Unacknowledged,
    /// Nobody took it in hand in time: somebody further is told.
    Unattended,
    Assigned,
    Muted,
    /// People are told of it again.
    Unmuted,
    /// Only the log, a run, or what helped before is new.
    Noted,
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
    /// Until when a silence asks for quiet, as it was told with the alert.
    #[serde(default)]
    pub muted_until_ms: Option<i64>,
    /// Id of that silence.
    #[serde(default)]
    pub muted_by: Option<String>,
    /// `None` of an alert that no detector of trends told.
    #[serde(default)]
    pub trend: Option<AlertTrend>,
}

/// How the series stands of whose trend the alert is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AlertTrend {
    /// It goes back to what is usual, and has not done so for long enough.
    pub recovering: bool,
    /// The last while of the series, a character a stretch of time; empty if none was told.
    pub sparkline: String,
    /// The same as the text of a picture, which is a part of its link; empty if none was told.
    pub chart: String,
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

/// What people do about an incident, and what fairlead does because they do or do not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attention {
    /// Name of who has it in hand.
    pub acknowledged_by: Option<String>,
    pub acknowledged_at_ms: Option<i64>,
    /// Slack id of whose it is.
    pub assignee: Option<String>,
    /// Why nobody is told of it.
    pub muted: Option<Muted>,
    /// How often somebody further was told because nobody had it in hand, since it last opened.
    pub escalations: i32,
    /// The oldest first; bounded, the oldest are counted in `log_omitted`.
    pub log: Vec<LogEntry>,
    pub log_omitted: i32,
    /// The last runs of actions, the oldest first; bounded.
    pub runs: Vec<IncidentRun>,
    /// What helped the last times, the latest first; bounded.
    pub helped: Vec<Helped>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Muted {
    pub kind: MuteKind,
    /// `None`: when its cause is over.
    pub until_ms: Option<i64>,
    /// In words: who asked for it and why, or which cause.
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MuteKind {
    /// By a person, for this incident.
    Snoozed,
    /// By silences of all its alerts.
    Silenced,
    /// By a planned window.
    Maintenance,
    /// What it depends on is down.
    Symptom,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogEntry {
    pub at_ms: i64,
    /// Name of who did it; `None` if fairlead did.
    pub by: Option<String>,
    /// In words, without markup.
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidentRun {
    pub id: String,
    /// As the topology names it.
    pub action: String,
    pub by: String,
    pub status: RunStatus,
    pub at_ms: i64,
    /// HTTP status or exit code.
    pub result: Option<String>,
    /// The end of what it printed or answered, cut.
    pub output: Option<String>,
    /// Version of the incident with which it was asked for: who saw an older one did not see that.
    #[serde(default)]
    pub version: i32,
}

/// What came before the end of an earlier incident that bore an alert of the same fingerprint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Helped {
    pub incident_id: String,
    pub resolved_at_ms: i64,
    pub text: String,
}
