//! A change of what runs: deployed, upgraded, rolled back. Topic `delivery.deploys.v1`, keyed by service.
//!
//! Identity is `id`; the same id may be told again with a later outcome (started, then finished or failed).

use serde::{Deserialize, Serialize};

use super::text::Text;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deploy<'a> {
    #[serde(borrow)]
    pub id: Text<'a>,
    /// Who told it: a CloudEvents source, `api`, …
    pub source: Text<'a>,
    pub service: Text<'a>,
    pub environment: Option<Text<'a>>,
    pub kind: DeployKind,
    pub outcome: DeployOutcome,
    /// What runs afterwards: a version, tag or package URL.
    pub version: Text<'a>,
    /// The commit, if known.
    pub revision: Option<Text<'a>>,
    pub actor: Option<Text<'a>>,
    pub url: Option<Text<'a>>,
    pub started_at_ms: Option<i64>,
    /// `None` while it runs.
    pub finished_at_ms: Option<i64>,
}

impl Deploy<'_> {
    /// When it took effect: its end, or its start while it runs.
    pub fn effective_at_ms(&self) -> Option<i64> {
        self.finished_at_ms.or(self.started_at_ms)
    }

    pub fn into_owned(self) -> Deploy<'static> {
        Deploy {
            id: self.id.into_owned(),
            source: self.source.into_owned(),
            service: self.service.into_owned(),
            environment: self.environment.map(Text::into_owned),
            kind: self.kind,
            outcome: self.outcome,
            version: self.version.into_owned(),
            revision: self.revision.map(Text::into_owned),
            actor: self.actor.map(Text::into_owned),
            url: self.url.map(Text::into_owned),
            started_at_ms: self.started_at_ms,
            finished_at_ms: self.finished_at_ms,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeployKind {
    Deploy,
    Rollback,
    Remove,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeployOutcome {
    Running,
    Succeeded,
    Failed,
}
