//! What the registry knows, and its one way of changing: [`State::evolve`] by an [`Event`].
//!
//! Invariants: an id means one schema for ever and is never given twice, not even after a permanent delete; the same
//! schema under two subjects has one id; versions of a subject only grow while any of them is kept.
//! Not here: what is allowed (`decide`), what is asked (`query`), the disk, HTTP.

use super::normal;
use crate::codec::compat::Level;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// One change; the journal is a list of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    Registered {
        subject: String,
        version: u32,
        id: u32,
        schema: String,
    },
    VersionDeleted {
        subject: String,
        version: u32,
    },
    VersionPurged {
        subject: String,
        version: u32,
    },
    SubjectDeleted {
        subject: String,
    },
    SubjectPurged {
        subject: String,
    },
    /// Without a subject: for all. Without a level: back to the default.
    LevelSet {
        subject: Option<String>,
        level: Option<String>,
    },
    ModeSet {
        subject: Option<String>,
        mode: Option<Mode>,
    },
}

/// For a log: a schema is pages long, and its id names it.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Registered { subject, version, id, .. } => write!(f, "{subject} version {version}: schema {id}"),
            other => write!(f, "{other:?}"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Mode {
    ReadWrite,
    ReadOnly,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub id: u32,
    /// Soft-deleted: still readable by id, no longer a predecessor.
    pub deleted: bool,
}

#[derive(Debug, Default)]
pub struct State {
    pub(super) schemas: BTreeMap<u32, String>,
    pub(super) ids_by_normal: BTreeMap<String, u32>,
    pub(super) subjects: BTreeMap<String, BTreeMap<u32, Version>>,
    pub(super) level: Option<Level>,
    pub(super) mode: Option<Mode>,
    pub(super) levels: BTreeMap<String, Level>,
    pub(super) modes: BTreeMap<String, Mode>,
    pub(super) last_id: u32,
}

/// An event that the journal holds and that this program cannot have written.
#[derive(Debug, thiserror::Error)]
#[error("event cannot be applied: {0}")]
pub struct Inapplicable(String);

impl State {
    pub fn evolve(&mut self, event: &Event) -> Result<(), Inapplicable> {
        match event {
            Event::Registered { subject, version, id, schema } => {
                let text = normal::read(schema).map_err(|refusal| Inapplicable(refusal.to_string()))?;
                self.schemas.entry(*id).or_insert(text.compact);
                self.ids_by_normal.entry(text.normal).or_insert(*id);
                let versions = self.subjects.entry(subject.clone()).or_default();
                versions.insert(*version, Version { id: *id, deleted: false });
                self.last_id = self.last_id.max(*id);
            }
            Event::VersionDeleted { subject, version } => {
                self.versions_mut(subject).filter(|(number, _)| *number == version).for_each(|(_, v)| v.deleted = true);
            }
            Event::SubjectDeleted { subject } => {
                self.versions_mut(subject).for_each(|(_, v)| v.deleted = true);
                self.levels.remove(subject);
                self.modes.remove(subject);
            }
            Event::VersionPurged { subject, version } => {
                if let Some(versions) = self.subjects.get_mut(subject) {
                    versions.remove(version);
                }
                self.forget_unused();
            }
            Event::SubjectPurged { subject } => {
                self.subjects.remove(subject);
                self.forget_unused();
            }
            Event::LevelSet { subject, level } => {
                let level = level.as_ref().map(|name| name.parse()).transpose();
                let level: Option<Level> = level.map_err(|error| Inapplicable(format!("{error}")))?;
                set(&mut self.level, &mut self.levels, subject, level);
            }
            Event::ModeSet { subject, mode } => set(&mut self.mode, &mut self.modes, subject, *mode),
        }
        Ok(())
    }

    fn versions_mut(&mut self, subject: &str) -> impl Iterator<Item = (&u32, &mut Version)> {
        self.subjects.get_mut(subject).into_iter().flatten()
    }

    /// After a purge: subjects without versions and schemas without subjects go; `last_id` stays.
    fn forget_unused(&mut self) {
        self.subjects.retain(|_, versions| !versions.is_empty());
        let used: Vec<u32> = self.subjects.values().flat_map(BTreeMap::values).map(|version| version.id).collect();
        self.schemas.retain(|id, _| used.contains(id));
        self.ids_by_normal.retain(|_, id| used.contains(id));
    }
}

fn set<T>(global: &mut Option<T>, own: &mut BTreeMap<String, T>, subject: &Option<String>, value: Option<T>) {
    match (subject, value) {
        (None, value) => *global = value,
        (Some(subject), Some(value)) => {
            own.insert(subject.clone(), value);
        }
        (Some(subject), None) => {
            own.remove(subject);
        }
    }
}
