//! From outside to topics: HTTP endpoints that turn what others send into facts.
//!
//! ```text
//!  Alertmanager ── POST /webhooks/alertmanager ─┐
//!  Prometheus ──── POST /api/v2/alerts ─────────┤ prove ─► parse ─► facts ─► Kafka ─► all acknowledged ─► 200
//!  CD systems ──── POST /webhooks/cloudevents ──┤          (pure)            (one go)       │
//!  … ───────────── POST … ──────────────────────┘                                           └─ else 503, to be sent again
//! ```
//!
//! Invariants: a lumped payload becomes one fact per alert. 2xx is answered only after every fact of the payload is durable
//! in Kafka; after a 503 the sender sends again, and a fact that did arrive is told twice with the same identity. A bad
//! element of an array takes none of its neighbours with it: they are stored, it is named in a 400. Parsers are pure and
//! total: bytes, rules and the time of receipt in, facts or refusals out.
//!
//! Which endpoint takes what, with an `Authorization: Bearer …` header unless another proof is named:
//!
//! | endpoint | body | proof | module |
//! |---|---|---|---|
//! | `POST /webhooks/alertmanager` | Alertmanager's webhook, version 4 | | [`alertmanager`] |
//! | `POST /api/v2/alerts` | Alertmanager's API v2: what a Prometheus sends | | [`alertmanager`] |
//! | `POST /api/v2/silences` | Alertmanager's API v2: a silence; what there is can be read there too | | [`api`] |
//! | `POST /webhooks/grafana` | Grafana Alerting's webhook, version 1 | or its signature | [`grafana`] |
//! | `POST /webhooks/cloudevents` | CDEvents in CloudEvents | | [`cloudevents`] |
//! | `POST /webhooks/github` | `deployment_status` | GitHub's signature | [`github`] |
//! | `POST /v2/enqueue`, `/v2/change/enqueue` | PagerDuty's Events API v2 | the routing key in it | [`pagerduty`] |
//! | `POST /webhooks/datadog` | the template of `fairlead template datadog` | | [`datadog`] |
//! | `POST /webhooks/sns` | CloudWatch alarms through SNS | Amazon's signature | [`sns`] |
//! | `POST /webhooks/json/<name>` | JSON of any shape, by a mapping of that name | | [`json_mapping`] |
//! | `POST /api/v1/deploys` | plain JSON | | [`deploys`] |
//! | `POST /api/v1/write` | Prometheus' remote write, 1.0 and 2.0 | | [`samples`] |
//! | `POST /v1/metrics` | OpenTelemetry's metrics, OTLP/HTTP | | [`samples`] |
//!
//! And from Kafka topics of others, with nothing between their offsets and our facts but a transaction ([`kafka`]).
//!
//! A delivery that bears an id is stored once as long as its id is remembered ([`deliveries`]); beyond that, and across
//! processes, it is the identity of its facts that makes a second telling harmless. With `ingest.raw` every request is kept as
//! it was received ([`raw`]). With `ingest.silences` an alert that a silence in force matches is marked with it before it is written
//! ([`view`]), and none is taken before the silences are known. `GET /healthz`, `/readyz` and `/metrics` are served beside them, and with `slack.charts`
//! the pictures of trends ([`charts`]). Not here: levels, grouping, de-duplication; that is what
//! operators do with the facts.

#[cfg(feature = "runtime")]
pub mod access;
pub mod alertmanager;
pub mod alertmanager_events;
#[cfg(feature = "runtime")]
mod answer;
pub mod api;
#[cfg(feature = "runtime")]
mod body;
#[cfg(feature = "runtime")]
pub mod calendars;
#[cfg(feature = "runtime")]
mod charts;
pub mod cloudevents;
pub mod datadog;
pub mod deliveries;
pub mod deploys;
mod details;
pub mod endpoint;
pub mod fingerprint;
pub mod github;
pub mod grafana;
#[cfg(feature = "runtime")]
pub mod guards;
pub mod json;
pub mod json_mapping;
pub mod kafka;
#[cfg(feature = "runtime")]
mod listener;
pub mod mapping;
#[cfg(feature = "runtime")]
mod metrics;
#[cfg(feature = "runtime")]
pub mod mirrors;
pub mod pagerduty;
pub mod raw;
pub mod responses;
pub mod samples;
#[cfg(feature = "runtime")]
pub mod send;
#[cfg(feature = "runtime")]
pub mod server;
pub mod signature;
pub mod sns;
pub mod templates;
mod time;
#[cfg(feature = "runtime")]
pub mod view;

pub use endpoint::Endpoint;
pub use json::Refusal;
#[cfg(feature = "runtime")]
pub use server::{Ingest, IngestConfig, Readiness};

pub use crate::topology::settings::{Capacity, JsonMapping, Limits, Mapping, TopicFormat};

use std::collections::BTreeMap;

use crate::event::Fact;
use crate::trend::select::Selector;
use json::Node;
use pagerduty::RoutingKeys;

/// How payloads are read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    pub mapping: Mapping,
    pub limits: Limits,
    /// The service of what GitHub deploys, by the repository's full name in lower case, for GitHub does not tell cases apart.
    pub repositories: BTreeMap<String, String>,
    /// How JSON of any shape is read, by name.
    pub json: BTreeMap<String, JsonMapping>,
    /// Of senders that speak PagerDuty's API.
    pub routing_keys: RoutingKeys,
    /// What lies on topics of others, by name.
    pub topics: BTreeMap<String, TopicFormat>,
    /// Of all trend rules: samples of other series are of no use.
    pub selectors: Vec<Selector>,
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
    /// The sender's name for this delivery, the same when it comes again.
    pub delivery: Option<String>,
    /// What the sender shall call the alert from now on.
    pub receipt: Option<String>,
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

    /// None of fairlead's business as a whole.
    fn of_nothing() -> Self {
        Self { ignored: 1, ..Self::default() }
    }

    pub fn refusals(&self) -> usize {
        self.refused.len() + self.refused_more
    }
}
