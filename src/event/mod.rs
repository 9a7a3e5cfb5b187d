//! The facts: one file a fact, the typed twin of its schema in `schemas/`.
//!
//! A fact is what happened or how a thing stands, never a command to change a field. Invariants: a twin's serde defaults
//! equal the defaults of its schema; enum symbols are spelled as in the schema; [`Fact::key`] is the only place that says
//! by what a fact is keyed. Nothing here knows an operator, a topic's name or a codec.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

pub mod alert;
pub mod deploy;
pub mod incident;
pub mod own;
pub mod slack;
pub mod text;
pub mod words;

use std::fmt;

pub use alert::{Alert, AlertStatus, Level, Mention};
pub use deploy::{Deploy, DeployKind, DeployOutcome};
pub use incident::{Incident, IncidentAlert, IncidentChange, IncidentState, Suspect};
pub use own::{OwnFact, OwnKind};
pub use slack::{SlackAction, SlackActionKind, SlackOutcome, SlackStatus};
pub use text::{Labels, Text};

use serde::{Deserialize, Serialize};

/// Any fact. A new one that ships is a new variant here, a schema, and a file; [`own`] is for those of somebody else.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "facts are met one at a time; a box would cost an allocation a record")]
pub enum Fact<'a> {
    Alert(Alert<'a>),
    Deploy(Deploy<'a>),
    Incident(Incident),
    SlackAction(SlackAction),
    SlackOutcome(SlackOutcome),
    Own(OwnFact<'a>),
}

impl Fact<'_> {
    pub fn kind(&self) -> FactKind {
        match self {
            Fact::Alert(_) => FactKind::Alert,
            Fact::Deploy(_) => FactKind::Deploy,
            Fact::Incident(_) => FactKind::Incident,
            Fact::SlackAction(_) => FactKind::SlackAction,
            Fact::SlackOutcome(_) => FactKind::SlackOutcome,
            Fact::Own(own) => FactKind::Own(own.kind),
        }
    }

    /// The record key under which this fact is published.
    pub fn key(&self) -> &str {
        match self {
            Fact::Alert(alert) => &alert.service,
            Fact::Deploy(deploy) => &deploy.service,
            Fact::Incident(incident) => &incident.service,
            Fact::SlackAction(action) => &action.incident_id,
            Fact::SlackOutcome(outcome) => &outcome.incident_id,
            Fact::Own(own) => &own.key,
        }
    }

    pub fn into_owned(self) -> Fact<'static> {
        match self {
            Fact::Alert(alert) => Fact::Alert(alert.into_owned()),
            Fact::Deploy(deploy) => Fact::Deploy(deploy.into_owned()),
            Fact::Incident(incident) => Fact::Incident(incident),
            Fact::SlackAction(action) => Fact::SlackAction(action),
            Fact::SlackOutcome(outcome) => Fact::SlackOutcome(outcome),
            Fact::Own(own) => Fact::Own(own.into_owned()),
        }
    }
}

/// A fact of one kind, taken out of [`Fact`]; the error is the kind it was instead.
impl<'a> TryFrom<Fact<'a>> for Alert<'a> {
    type Error = FactKind;
    fn try_from(fact: Fact<'a>) -> Result<Self, FactKind> {
        if let Fact::Alert(alert) = fact { Ok(alert) } else { Err(fact.kind()) }
    }
}

impl TryFrom<Fact<'_>> for Incident {
    type Error = FactKind;
    fn try_from(fact: Fact<'_>) -> Result<Self, FactKind> {
        if let Fact::Incident(incident) = fact { Ok(incident) } else { Err(fact.kind()) }
    }
}

/// The name of a fact as topology files spell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactKind {
    Alert,
    Deploy,
    Incident,
    SlackAction,
    SlackOutcome,
    #[serde(skip)]
    Own(&'static OwnKind),
}

impl FactKind {
    /// Those that ship.
    pub const ALL: [FactKind; 5] =
        [FactKind::Alert, FactKind::Deploy, FactKind::Incident, FactKind::SlackAction, FactKind::SlackOutcome];

    pub fn name(self) -> &'static str {
        match self {
            FactKind::Alert => "alert",
            FactKind::Deploy => "deploy",
            FactKind::Incident => "incident",
            FactKind::SlackAction => "slack_action",
            FactKind::SlackOutcome => "slack_outcome",
            FactKind::Own(own) => own.name,
        }
    }

    /// What [`Fact::key`] is: facts meet in one state only if they are keyed by the same.
    pub fn keyed_by(self) -> &'static str {
        match self {
            FactKind::Alert | FactKind::Deploy | FactKind::Incident => "service",
            FactKind::SlackAction | FactKind::SlackOutcome => "incident",
            FactKind::Own(own) => own.keyed_by,
        }
    }

    /// The schema as it ships or was brought along, in Avro's JSON.
    pub fn schema_json(self) -> &'static str {
        match self {
            FactKind::Alert => include_str!("../../schemas/alert.avsc"),
            FactKind::Deploy => include_str!("../../schemas/deploy.avsc"),
            FactKind::Incident => include_str!("../../schemas/incident.avsc"),
            FactKind::SlackAction => include_str!("../../schemas/slack_action.avsc"),
            FactKind::SlackOutcome => include_str!("../../schemas/slack_outcome.avsc"),
            FactKind::Own(own) => own.schema_json,
        }
    }
}

impl fmt::Display for FactKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
