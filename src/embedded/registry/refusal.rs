//! What the registry refuses, with Confluent's codes: the first three digits are the HTTP status.

use crate::codec::compat::Conflict;
use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    SubjectNotFound(String),
    VersionNotFound(String),
    SchemaNotFound,
    SubjectSoftDeleted(String),
    SubjectNotDeletedFirst(String),
    VersionSoftDeleted(String, u32),
    VersionNotDeletedFirst(String, u32),
    LevelNotSet(String),
    ModeNotSet(String),
    Incompatible(String, Vec<Conflict>),
    InvalidSchema(String),
    InvalidVersion(String),
    InvalidLevel(String),
    InvalidMode(String),
    InvalidSubject(String),
    ReadOnly(String),
    /// The request is no JSON, or not of the expected form.
    Malformed(String),
    /// Too large, unknown route, wrong method: HTTP's own codes.
    Http(u16, &'static str),
    /// The answer could not be made durable, so it is not given.
    Store(String),
}

impl Refusal {
    pub fn code(&self) -> u32 {
        match self {
            Refusal::SubjectNotFound(_) => 40401,
            Refusal::VersionNotFound(_) => 40402,
            Refusal::SchemaNotFound => 40403,
            Refusal::SubjectSoftDeleted(_) => 40404,
            Refusal::SubjectNotDeletedFirst(_) => 40405,
            Refusal::VersionSoftDeleted(..) => 40406,
            Refusal::VersionNotDeletedFirst(..) => 40407,
            Refusal::LevelNotSet(_) => 40408,
            Refusal::ModeNotSet(_) => 40409,
            Refusal::Incompatible(..) => 40901,
            Refusal::InvalidSchema(_) => 42201,
            Refusal::InvalidVersion(_) => 42202,
            Refusal::InvalidLevel(_) => 42203,
            Refusal::InvalidMode(_) => 42204,
            Refusal::ReadOnly(_) => 42205,
            Refusal::InvalidSubject(_) => 42208,
            Refusal::Malformed(_) => 400,
            Refusal::Http(status, _) => u32::from(*status),
            Refusal::Store(_) => 50001,
        }
    }

    pub fn status(&self) -> u16 {
        let code = self.code();
        let status = if code < 1_000 { code } else { code / 100 };
        u16::try_from(status).expect("a status has three digits")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::SubjectNotFound(subject) => write!(f, "subject '{subject}' not found"),
            Refusal::VersionNotFound(version) => write!(f, "version {version} not found"),
            Refusal::SchemaNotFound => f.write_str("schema not found"),
            Refusal::SubjectSoftDeleted(subject) => {
                write!(f, "subject '{subject}' is soft-deleted; set permanent=true to delete it for good")
            }
            Refusal::SubjectNotDeletedFirst(subject) => {
                write!(f, "subject '{subject}' must be deleted without permanent=true first")
            }
            Refusal::VersionSoftDeleted(subject, version) => write!(
                f,
                "version {version} of subject '{subject}' is soft-deleted; set permanent=true to delete it for good"
            ),
            Refusal::VersionNotDeletedFirst(subject, version) => {
                write!(f, "version {version} of subject '{subject}' must be deleted without permanent=true first")
            }
            Refusal::LevelNotSet(subject) => {
                write!(
                    f,
                    "subject '{subject}' has no compatibility level of its own; set one, or ask with defaultToGlobal=true"
                )
            }
            Refusal::ModeNotSet(subject) => {
                write!(f, "subject '{subject}' has no mode of its own; set one, or ask with defaultToGlobal=true")
            }
            Refusal::Incompatible(subject, conflicts) => {
                write!(f, "the schema is incompatible with an earlier one of subject '{subject}'")?;
                conflicts.iter().try_for_each(|conflict| write!(f, "; {conflict}"))
            }
            Refusal::InvalidSchema(why) => write!(f, "invalid schema: {why}"),
            Refusal::InvalidVersion(version) => {
                write!(f, "`{version}` is no version; use a number from 1 on, `latest` or -1")
            }
            Refusal::InvalidLevel(why) => f.write_str(why),
            Refusal::InvalidMode(mode) => write!(f, "`{mode}` is no mode of this registry; use READWRITE or READONLY"),
            Refusal::ReadOnly(scope) => write!(f, "{scope} is in READONLY mode"),
            Refusal::InvalidSubject(why) => write!(f, "invalid subject: {why}"),
            Refusal::Malformed(why) => write!(f, "malformed request: {why}"),
            Refusal::Http(_, what) => f.write_str(what),
            Refusal::Store(why) => write!(f, "the registry's store failed: {why}"),
        }
    }
}
