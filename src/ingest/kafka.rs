//! Facts from Kafka topics of others (`ingest.kafka`), where no sender waits for an answer.
//!
//! ```text
//!  argo.cdevents ───────┐          ┌── facts ──────────► alerts, deploys, samples           ─┐
//!  alertmanager.events ─┼─► read ──┼── refused ────────► dead letters                       ├─ one transaction
//!  prometheus.samples ──┘ (total)  └── next offsets ───► the group's                        ─┘
//! ```
//! Invariants: a record's facts and the offset behind it are committed together, so each record is told exactly once whatever
//! dies when. The reading is total: facts, refusals, or ignored. The time of receipt is the record's own, so that a reading that is
//! repeated gives the same facts. A tombstone says nothing and is ignored. What is refused waits as a dead letter with its place and
//! its reason, and `fairlead dead-letter retry` reads it again: nothing is ever written to a topic of others.
//!
//! An event that its sender wrote twice gives facts of one identity: a CloudEvent's source and id, an alert's fingerprint and
//! start. Not here: schemas of a registry, joins, filters; and records of a transaction that was aborted, which are not read.

#[cfg(feature = "runtime")]
mod metrics;
#[cfg(feature = "runtime")]
pub mod records;
#[cfg(feature = "runtime")]
mod start;
#[cfg(test)]
#[cfg(feature = "runtime")]
mod tests;
#[cfg(feature = "runtime")]
mod worker;

#[cfg(feature = "runtime")]
pub use self::start::{Error, Readers, Source, SourcesConfig};
pub use crate::topology::settings::TopicFormat;

use super::samples::adapter;
use super::{Reading, Refusal, Rules, alertmanager_events, cloudevents};
use crate::record::EventTime;

/// What a record says; `header` finds a header by its name.
pub fn read<'h>(
    format: TopicFormat,
    header: impl Fn(&str) -> Option<&'h str>,
    value: Option<&[u8]>,
    rules: &Rules,
    received: EventTime,
) -> Result<Reading, Refusal> {
    let Some(value) = value else { return Ok(Reading::of_nothing()) };
    match format {
        TopicFormat::CloudEvents => cloudevents::of_record(header, value, rules, received),
        TopicFormat::AlertmanagerEvents => alertmanager_events::read(value, rules, received),
        TopicFormat::PrometheusJson => adapter::read(value, rules, received),
    }
}
