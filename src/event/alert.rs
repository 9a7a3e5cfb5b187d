//! An alert as its source told it: one fact per alert and change, never a lump. Topic `oncall.alerts.v1`, keyed by service.
//!
//! Identity is `fingerprint` (the alert) and `starts_at_ms` (the episode), as Alertmanager's own; a group key is no
//! identity, for it changes with the sender's configuration. A source that tells no start may name the `episode` instead. `level`, `mention` and `level_reason` are empty as ingested:
//! the level operator fills them.

use serde::{Deserialize, Serialize};

use super::text::{Labels, Text};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert<'a> {
    /// Which endpoint or integration it came through: `alertmanager`, `alertmanager-api`, …
    #[serde(borrow)]
    pub source: Text<'a>,
    pub fingerprint: Text<'a>,
    /// Start of this episode, milliseconds since the epoch.
    pub starts_at_ms: i64,
    /// End of this episode; `None` while it fires.
    pub ends_at_ms: Option<i64>,
    pub status: AlertStatus,
    pub service: Text<'a>,
    /// `alertname`.
    pub name: Text<'a>,
    pub environment: Option<Text<'a>>,
    pub namespace: Option<Text<'a>>,
    #[serde(default)]
    pub labels: Labels<'a>,
    #[serde(default)]
    pub annotations: Labels<'a>,
    /// The measured value behind the alert, if its source tells one.
    pub value: Option<f64>,
    pub generator_url: Option<Text<'a>>,
    #[serde(default)]
    pub level: Option<Level>,
    #[serde(default)]
    pub mention: Mention,
    /// Which rule gave the level, in words.
    #[serde(default)]
    pub level_reason: Option<Text<'a>>,
    /// The episode's name, of a source that does not tell its start: `starts_at_ms` is then when this was told, and while it
    /// fires all tellings of one name are one episode.
    #[serde(default)]
    pub episode: Option<Text<'a>>,
    /// Until when a silence that was in force as it was received asks for quiet.
    #[serde(default)]
    pub muted_until_ms: Option<i64>,
    /// Id of that silence.
    #[serde(default)]
    pub muted_by: Option<Text<'a>>,
}

impl Alert<'_> {
    pub fn into_owned(self) -> Alert<'static> {
        Alert {
            source: self.source.into_owned(),
            fingerprint: self.fingerprint.into_owned(),
            starts_at_ms: self.starts_at_ms,
            ends_at_ms: self.ends_at_ms,
            status: self.status,
            service: self.service.into_owned(),
            name: self.name.into_owned(),
            environment: self.environment.map(Text::into_owned),
            namespace: self.namespace.map(Text::into_owned),
            labels: self.labels.into_owned(),
            annotations: self.annotations.into_owned(),
            value: self.value,
            generator_url: self.generator_url.map(Text::into_owned),
            level: self.level,
            mention: self.mention,
            level_reason: self.level_reason.map(Text::into_owned),
            episode: self.episode.map(Text::into_owned),
            muted_until_ms: self.muted_until_ms,
            muted_by: self.muted_by.map(Text::into_owned),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertStatus {
    Firing,
    Resolved,
}

/// How much a human should care; ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Low,
    Medium,
    High,
    Critical,
}

/// Whom a message wakes; ordered by how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mention {
    #[default]
    Nobody,
    Owner,
    Sre,
    /// Who is active in the channel.
    Here,
    Channel,
}
