//! Requests kept as they were received (`ingest.raw`), and read again: what is refused today, a later parser may understand.
//!
//! Invariants: only what was proven is kept. Of headers those are kept that say how a body is to be read, and no other, for
//! others bear credentials; a routing key in a body is replaced by the name of its service, which [`Rules`] for reading again
//! take for the key. Reading again gives the same facts as then if the parsers and the rules are the same: the time is the one
//! of receipt. What is too large for a record is not kept, and that is counted. A record of a topic of others is kept like a request:
//! its endpoint is `kafka:<topic>`.

use std::collections::BTreeMap;

use super::endpoint::NoFormat;
use super::{Endpoint, Reading, Refusal, Rules, kafka, pagerduty};
use crate::event::Payload;
use crate::record::EventTime;

const HEADERS: [&str; 7] =
    ["content-type", "x-github-event", "x-github-delivery", "ce-specversion", "ce-id", "ce-source", "ce-type"];
/// Of a record.
const RECORD_HEADERS: [&str; 5] = ["content-type", "ce_specversion", "ce_id", "ce_source", "ce_type"];
/// Stands before the name of a topic where else a path stands.
const TOPIC: &str = "kafka:";
/// With all that is around it, it fits into a record of Kafka's default size.
const BODY_BYTES_MAX: usize = 900_000;

/// `None`: it is too large. `header` finds a header by its lower-case name.
pub fn payload<'h>(
    (endpoint, path): (Endpoint, &str),
    header: impl Fn(&str) -> Option<&'h str>,
    body: &[u8],
    read: &Result<Reading, Refusal>,
    received: EventTime,
    rules: &Rules,
) -> Option<Payload> {
    let body = match endpoint {
        Endpoint::PagerDutyAlerts | Endpoint::PagerDutyChanges => pagerduty::without_key(body, &rules.routing_keys),
        _ => body.to_vec(),
    };
    keep(path.to_owned(), headers(&HEADERS, header), body, read, received)
}

/// A record of a topic of others; `None`: it is too large.
pub fn of_record<'h>(
    topic: &str,
    header: impl Fn(&str) -> Option<&'h str>,
    value: &[u8],
    read: &Result<Reading, Refusal>,
    received: EventTime,
) -> Option<Payload> {
    keep(format!("{TOPIC}{topic}"), headers(&RECORD_HEADERS, header), value.to_vec(), read, received)
}

fn headers<'h>(names: &[&str], header: impl Fn(&str) -> Option<&'h str>) -> BTreeMap<String, String> {
    names.iter().filter_map(|name| Some(((*name).to_owned(), header(name)?.to_owned()))).collect()
}

fn keep(
    endpoint: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
    read: &Result<Reading, Refusal>,
    received: EventTime,
) -> Option<Payload> {
    let (facts, refusal) = match read {
        Ok(reading) => (reading.facts.len(), reading.refused.first()),
        Err(refusal) => (0, Some(refusal)),
    };
    (body.len() <= BODY_BYTES_MAX).then(|| Payload {
        endpoint,
        headers,
        body,
        received_at_ms: received.0,
        facts: i32::try_from(facts).unwrap_or(i32::MAX),
        refusal: refusal.map(ToString::to_string),
    })
}

/// With the parsers and the rules as they are now.
pub fn read_again(payload: &Payload, rules: &Rules) -> Result<Reading, Refusal> {
    let (header, received) = (|name: &str| payload.headers.get(name).map(String::as_str), payload.received_at_ms);
    if let Some(topic) = payload.endpoint.strip_prefix(TOPIC) {
        let format = rules.topics.get(topic).ok_or_else(|| {
            Refusal::new("$", "this topic is no longer read", "name it under `ingest.kafka` again, with its format")
        })?;
        return kafka::read(*format, header, Some(&payload.body), rules, EventTime(received));
    }
    let endpoint = Endpoint::at(&payload.endpoint)
        .ok_or_else(|| Refusal::new("$", "this endpoint is no longer there", "take an older fairlead"))?;
    let format = endpoint.format(&payload.endpoint, header).map_err(|no_format| match no_format {
        NoFormat::Media(refusal) | NoFormat::Headers(refusal) => refusal,
    })?;
    format.read(&payload.body, rules, EventTime(received))
}
