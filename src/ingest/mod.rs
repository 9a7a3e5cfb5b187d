//! From outside to topics: HTTP endpoints that turn what others send into facts.
//!
//! ```text
//!  Alertmanager ── POST /webhooks/alertmanager ─┐
//!  Prometheus ──── POST /api/v2/alerts ─────────┤ parse ─► facts ─► Kafka ─► all acknowledged ─► 200
//!  CD systems ──── POST /webhooks/cloudevents ──┤ (pure)            (one go)       │
//!  anyone ──────── POST /api/v1/deploys ────────┘                                  └─ else 503, to be sent again
//! ```
//!
//! Invariants: a lumped payload becomes one fact per alert. 2xx is answered only after every fact of the payload is durable
//! in Kafka; after a 503 the sender sends again, and a fact that did arrive is told twice with the same identity. A bad
//! element of an array takes none of its neighbours with it: they are stored, it is named in a 400. Parsers are pure and
//! total: bytes, rules and the time of receipt in, facts or refusals out.
//!
//! Which endpoint takes what, each with an `Authorization: Bearer …` header:
//!
//! | endpoint | body | module |
//! |---|---|---|
//! | `POST /webhooks/alertmanager` | Alertmanager's webhook, version 4 | [`alertmanager`] |
//! | `POST /api/v2/alerts` | Alertmanager's API v2: what a Prometheus sends | [`alertmanager`] |
//! | `POST /webhooks/cloudevents` | CDEvents in CloudEvents | [`cloudevents`] |
//! | `POST /api/v1/deploys` | plain JSON | [`deploys`] |
//!
//! `GET /healthz`, `/readyz` and `/metrics` are served beside them. Not here: levels, grouping, de-duplication; that is what
//! operators do with the facts.

#[cfg(feature = "runtime")]
pub mod access;
pub mod alertmanager;
#[cfg(feature = "runtime")]
mod answer;
#[cfg(feature = "runtime")]
mod body;
pub mod cloudevents;
pub mod deploys;
pub mod endpoint;
pub mod fingerprint;
pub mod json;
#[cfg(feature = "runtime")]
mod listener;
pub mod mapping;
#[cfg(feature = "runtime")]
mod metrics;
#[cfg(feature = "runtime")]
pub mod send;
#[cfg(feature = "runtime")]
pub mod server;
mod time;

pub use endpoint::Endpoint;
pub use json::Refusal;
#[cfg(feature = "runtime")]
pub use server::{Ingest, IngestConfig, Readiness};

pub use crate::topology::settings::{Capacity, Limits, Mapping};

use crate::event::Fact;
use json::Node;

/// How payloads are read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    pub mapping: Mapping,
    pub limits: Limits,
}

/// What was read from one payload.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    pub facts: Vec<Fact<'static>>,
    /// The first [`Reading::REFUSALS`] refusals.
    pub refused: Vec<Refusal>,
    /// Refusals beyond those.
    pub refused_more: usize,
    /// Understood, and none of fairlead's business.
    pub ignored: usize,
    /// Alerts that the sender left out by its own limit.
    pub omitted_by_sender: u64,
}

impl Reading {
    /// Refusals that are told in full.
    pub const REFUSALS: usize = 20;

    /// Reads each element of an array; a bad one does not harm the others. `Ok(None)`: ignored.
    fn of_items<F>(list: &Node<'_>, what: &str, limits: &Limits, read: F) -> Result<Self, Refusal>
    where
        F: Fn(&Node<'_>) -> Result<Option<Fact<'static>>, Refusal>,
    {
        let items = list.items(what)?;
        if items.len() > limits.items_max {
            let mend = format!("send at most {} in one request", limits.items_max);
            return Err(list.refuse(format!("{} elements are too many", items.len()), mend));
        }
        let mut reading = Reading::default();
        for item in items {
            reading.take(read(&item));
        }
        Ok(reading)
    }

    fn take(&mut self, element: Result<Option<Fact<'static>>, Refusal>) {
        match element {
            Ok(Some(fact)) => self.facts.push(fact),
            Ok(None) => self.ignored += 1,
            Err(refusal) if self.refused.len() < Self::REFUSALS => self.refused.push(refusal),
            Err(_) => self.refused_more += 1,
        }
    }

    /// A payload that is one element: refused as a whole if it is bad.
    fn of_one(element: Result<Option<Fact<'static>>, Refusal>) -> Result<Self, Refusal> {
        let mut reading = Reading::default();
        reading.take(Ok(element?));
        Ok(reading)
    }

    pub fn refusals(&self) -> usize {
        self.refused.len() + self.refused_more
    }
}
