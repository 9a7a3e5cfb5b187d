//! The facts: one file a fact, the typed twin of its schema in `schemas/`.
//!
//! A fact is what happened or how a thing stands, never a command to change a field. Invariants: a twin's serde defaults
//! equal the defaults of its schema; enum symbols are spelled as in the schema; [`Fact::key`] is the only place that says
//! by what a fact is keyed. Nothing here knows an operator, a topic's name or a codec.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

pub mod action_run;
pub mod alert;
pub mod cause;
pub mod deploy;
pub mod incident;
mod json;
pub mod migration;
pub mod own;
pub mod payload;
pub mod response;
pub mod rotation;
pub mod sample;
pub mod silence;
pub mod slack;
pub mod text;
pub mod words;

use std::fmt;

pub use action_run::{ActionRun, RunStatus};
pub use alert::{Alert, AlertStatus, Level, Mention};
pub use cause::Cause;
pub use deploy::{Deploy, DeployKind, DeployOutcome};
pub use incident::{
    AlertTrend, Attention, Helped, Incident, IncidentAlert, IncidentChange, IncidentRun, IncidentState, LogEntry,
    MuteKind, Muted, Suspect,
};
pub use migration::{Audit, AuditVerdict, GroupOffset, GroupOffsetState, MirrorRange, MirrorRun};
pub use own::{OwnFact, OwnKind};
pub use payload::Payload;
pub use response::{Response, ResponseVerb};
pub use rotation::{Rotation, Shift};
pub use sample::Sample;
pub use silence::{Silence, SilenceMatcher};
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
    Payload(Payload),
    Response(Response),
    ActionRun(ActionRun),
    Cause(Cause),
    Silence(Silence),
    Rotation(Rotation),
    MirrorRange(MirrorRange),
    GroupOffset(GroupOffset),
    Audit(Audit),
    Sample(Sample<'a>),
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
            Fact::Payload(_) => FactKind::Payload,
            Fact::Response(_) => FactKind::Response,
            Fact::ActionRun(_) => FactKind::ActionRun,
            Fact::Cause(_) => FactKind::Cause,
            Fact::Silence(_) => FactKind::Silence,
            Fact::Rotation(_) => FactKind::Rotation,
            Fact::MirrorRange(_) => FactKind::MirrorRange,
            Fact::GroupOffset(_) => FactKind::GroupOffset,
            Fact::Audit(_) => FactKind::Audit,
            Fact::Sample(_) => FactKind::Sample,
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
            Fact::Payload(payload) => &payload.endpoint,
            Fact::Response(response) => &response.service,
            Fact::ActionRun(run) => &run.service,
            Fact::Cause(cause) => &cause.service,
            Fact::Silence(silence) => &silence.id,
            Fact::Rotation(rotation) => &rotation.name,
            Fact::MirrorRange(range) => &range.flow_partition,
            Fact::GroupOffset(offset) => &offset.group,
            Fact::Audit(audit) => &audit.flow_partition,
            Fact::Sample(sample) => &sample.series,
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
            Fact::Payload(payload) => Fact::Payload(payload),
            Fact::Response(response) => Fact::Response(response),
            Fact::ActionRun(run) => Fact::ActionRun(run),
            Fact::Cause(cause) => Fact::Cause(cause),
            Fact::Silence(silence) => Fact::Silence(silence),
            Fact::Rotation(rotation) => Fact::Rotation(rotation),
            Fact::MirrorRange(range) => Fact::MirrorRange(range),
            Fact::GroupOffset(offset) => Fact::GroupOffset(offset),
            Fact::Audit(audit) => Fact::Audit(audit),
            Fact::Sample(sample) => Fact::Sample(sample.into_owned()),
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

impl<'a> TryFrom<Fact<'a>> for Sample<'a> {
    type Error = FactKind;
    fn try_from(fact: Fact<'a>) -> Result<Self, FactKind> {
        if let Fact::Sample(sample) = fact { Ok(sample) } else { Err(fact.kind()) }
    }
}

impl TryFrom<Fact<'_>> for Incident {
    type Error = FactKind;
    fn try_from(fact: Fact<'_>) -> Result<Self, FactKind> {
        if let Fact::Incident(incident) = fact { Ok(incident) } else { Err(fact.kind()) }
    }
}

impl TryFrom<Fact<'_>> for Rotation {
    type Error = FactKind;
    fn try_from(fact: Fact<'_>) -> Result<Self, FactKind> {
        if let Fact::Rotation(rotation) = fact { Ok(rotation) } else { Err(fact.kind()) }
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
    Payload,
    Response,
    ActionRun,
    Cause,
    Silence,
    Rotation,
    MirrorRange,
    GroupOffset,
    Audit,
    Sample,
    #[serde(skip)]
    Own(&'static OwnKind),
}

impl FactKind {
    /// Those that ship.
    pub const ALL: [FactKind; 15] = [
        FactKind::Alert,
        FactKind::Deploy,
        FactKind::Incident,
        FactKind::SlackAction,
        FactKind::SlackOutcome,
        FactKind::Payload,
        FactKind::Response,
        FactKind::ActionRun,
        FactKind::Cause,
        FactKind::Silence,
        FactKind::Rotation,
        FactKind::MirrorRange,
        FactKind::GroupOffset,
        FactKind::Audit,
        FactKind::Sample,
    ];

    pub fn name(self) -> &'static str {
        match self {
            FactKind::Alert => "alert",
            FactKind::Deploy => "deploy",
            FactKind::Incident => "incident",
            FactKind::SlackAction => "slack_action",
            FactKind::SlackOutcome => "slack_outcome",
            FactKind::Payload => "payload",
            FactKind::Response => "response",
            FactKind::ActionRun => "action_run",
            FactKind::Cause => "cause",
            FactKind::Silence => "silence",
            FactKind::Rotation => "rotation",
            FactKind::MirrorRange => "mirror_range",
            FactKind::GroupOffset => "group_offset",
            FactKind::Audit => "audit",
            FactKind::Sample => "sample",
            FactKind::Own(own) => own.name,
        }
    }

    /// What [`Fact::key`] is: facts meet in one state only if they are keyed by the same.
    pub fn keyed_by(self) -> &'static str {
        match self {
            FactKind::Alert
            | FactKind::Deploy
            | FactKind::Incident
            | FactKind::Response
            | FactKind::ActionRun
            | FactKind::Cause => "service",
            FactKind::SlackAction | FactKind::SlackOutcome => "incident",
            FactKind::Payload => "endpoint",
            FactKind::Silence => "silence",
            FactKind::Rotation => "rotation",
            FactKind::MirrorRange | FactKind::Audit => "flow partition",
            FactKind::GroupOffset => "group",
            FactKind::Sample => "series",
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
            FactKind::Payload => include_str!("../../schemas/payload.avsc"),
            FactKind::Response => include_str!("../../schemas/response.avsc"),
            FactKind::ActionRun => include_str!("../../schemas/action_run.avsc"),
            FactKind::Cause => include_str!("../../schemas/cause.avsc"),
            FactKind::Silence => include_str!("../../schemas/silence.avsc"),
            FactKind::Rotation => include_str!("../../schemas/rotation.avsc"),
            FactKind::MirrorRange => include_str!("../../schemas/mirror_range.avsc"),
            FactKind::GroupOffset => include_str!("../../schemas/group_offset.avsc"),
            FactKind::Audit => include_str!("../../schemas/audit.avsc"),
            FactKind::Sample => include_str!("../../schemas/sample.avsc"),
            FactKind::Own(own) => own.schema_json,
        }
    }
}

impl fmt::Display for FactKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
