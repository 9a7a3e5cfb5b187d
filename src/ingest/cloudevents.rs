//! Deploys as CDEvents (`dev.cdevents.service.*`) inside CloudEvents 1.0: structured, batch and binary mode.
//!
//! ```text
//! curl -H 'Authorization: Bearer …' http://127.0.0.1:8080/webhooks/cloudevents \
//!   -H 'Content-Type: application/json' -H 'ce-specversion: 1.0' -H 'ce-id: 7d3f' -H 'ce-source: /argo/prod' \
//!   -H 'ce-type: dev.cdevents.service.deployed.0.2.0' -d '
//!   {"context": {"id": "7d3f", "source": "/argo/prod", "type": "dev.cdevents.service.deployed.0.2.0",
//!                "timestamp": "2026-11-23T09:00:00Z"},
//!    "subject": {"id": "checkout", "content": {"environment": {"id": "production"},
//!                "artifactId": "pkg:oci/checkout@sha256%3Aa1b2?tag=v42"}}}'
//! ```
//!
//! Identity is source and id together, as the specification has it; the envelope and the event inside must agree on them.
//! Other events of CDEvents are ignored, for a CD system sends them all to one place; events of others are refused.
//!
//! On a Kafka topic (`ingest.kafka`) they lie as CloudEvents' Kafka binding has it: structured, or binary with `ce_…` headers whose
//! values are not escaped; a batch is not defined there. Others write to such a topic for others too, so their events are ignored.

use serde_json::Value;

use super::json::{Node, Refusal, parse, shortened};
use super::{Limits, Reading, Rules, time};
use crate::event::{Deploy, DeployKind, DeployOutcome, Fact};
use crate::record::EventTime;

const STRUCTURED: &str = "application/cloudevents+json";
const CDEVENTS: &str = "dev.cdevents.";
const SERVICE: &str = "dev.cdevents.service.";

/// How the event is laid into the request.
#[derive(Clone, Debug, PartialEq)]
pub enum Mode {
    /// `application/cloudevents+json`: envelope and event in the body.
    Structured,
    /// `application/cloudevents-batch+json`: an array of those.
    Batch,
    /// The envelope in `ce-…` headers, the event in the body.
    Binary(Attributes),
}

/// The envelope, as far as it matters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes {
    pub specversion: String,
    pub id: String,
    pub source: String,
    pub event_type: String,
}

impl Mode {
    /// `None`: by its content type this is no CloudEvent. `header` finds a header by its lower-case name.
    pub fn of<'h>(content_type: &str, header: impl Fn(&str) -> Option<&'h str>) -> Result<Option<Self>, Refusal> {
        match content_type {
            STRUCTURED => return Ok(Some(Mode::Structured)),
            "application/cloudevents-batch+json" => return Ok(Some(Mode::Batch)),
            "application/json" => {}
            _ => return Ok(None),
        }
        let decoded = |name: &str| header(name).map(percent_decoded);
        Ok(Some(Mode::Binary(Attributes::of("ce-", decoded)?)))
    }
}

impl Attributes {
    /// Out of headers whose names begin with `prefix`.
    fn of(prefix: &str, header: impl Fn(&str) -> Option<String>) -> Result<Self, Refusal> {
        let attribute = |name: &str| match header(&format!("{prefix}{name}")) {
            Some(value) if !value.is_empty() => Ok(value),
            _ => {
                let names = ["specversion", "id", "source", "type"].map(|name| format!("{prefix}{name}")).join(", ");
                let problem = format!("the header {prefix}{name} is missing or empty");
                Err(Refusal::new("$", problem, format!("send all of {names}, or the content type {STRUCTURED}")))
            }
        };
        Ok(Self {
            specversion: attribute("specversion")?,
            id: attribute("id")?,
            source: attribute("source")?,
            event_type: attribute("type")?,
        })
    }
}

/// CloudEvents writes what a header cannot hold as `%XX`; what is no such escape stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escape = match rest {
            [b'%', high, low, ..] => hex::decode([*high, *low]).ok(),
            _ => None,
        };
        match escape {
            Some(byte) => {
                decoded.extend(byte);
                rest = &rest[3..];
            }
            None => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// `POST /webhooks/cloudevents`
pub fn read(mode: &Mode, body: &[u8], rules: &Rules, now: EventTime) -> Result<Reading, Refusal> {
    let value = parse(body)?;
    let root = Node::root(&value);
    let limits = &rules.limits;
    match mode {
        Mode::Structured => Reading::of_one(enveloped(&root, limits, now)),
        Mode::Batch => Reading::of_items(&root, "events", limits, |event| enveloped(event, limits, now)),
        Mode::Binary(attributes) => Reading::of_one(fact(&root, &root, attributes, limits, now)),
    }
}

/// A record of a Kafka topic.
pub fn of_record<'h>(
    header: impl Fn(&str) -> Option<&'h str>,
    value: &[u8],
    rules: &Rules,
    now: EventTime,
) -> Result<Reading, Refusal> {
    let content_type = header("content-type").unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let of_others = |event_type: &str| !event_type.starts_with(CDEVENTS);
    if media_type.starts_with("application/cloudevents") {
        if media_type != STRUCTURED {
            let problem = format!("a record of the content type {:?} is not read", shortened(&media_type));
            return Err(Refusal::new("$", problem, format!("write one event a record, as {STRUCTURED}")));
        }
        let value = parse(value)?;
        if value.get("type").and_then(Value::as_str).is_some_and(of_others) {
            return Ok(Reading::of_nothing());
        }
        return Reading::of_one(enveloped(&Node::root(&value), &rules.limits, now));
    }
    let attributes = Attributes::of("ce_", |name| header(name).map(str::to_owned))?;
    if of_others(&attributes.event_type) {
        return Ok(Reading::of_nothing());
    }
    if !matches!(&*media_type, "" | "application/json") {
        let problem = format!("data of the content type {:?} is not read", shortened(&media_type));
        return Err(Refusal::new("$", problem, "write the CDEvent as application/json"));
    }
    read(&Mode::Binary(attributes), value, rules, now)
}

/// An event with its envelope around it.
fn enveloped(event: &Node<'_>, limits: &Limits, now: EventTime) -> Result<Option<Fact<'static>>, Refusal> {
    event.object("a CloudEvent")?;
    let attribute = |name: &str| event.required(name)?.filled(limits.text_bytes_max).map(str::to_owned);
    let attributes = Attributes {
        specversion: attribute("specversion")?,
        id: attribute("id")?,
        source: attribute("source")?,
        event_type: attribute("type")?,
    };
    match event.field("data") {
        Some(data) => fact(event, &data, &attributes, limits, now),
        None => {
            Err(event.refuse("there is no \"data\"", "send the CDEvent as JSON in \"data\", not in \"data_base64\""))
        }
    }
}

fn fact(
    event: &Node<'_>,
    data: &Node<'_>,
    attributes: &Attributes,
    limits: &Limits,
    now: EventTime,
) -> Result<Option<Fact<'static>>, Refusal> {
    let kind = kind_of(event, attributes)?;
    kind.map(|kind| deploy(data, attributes, kind, limits, now)).transpose()
}

/// What kind of deploy the type says; `None` for events that are none of fairlead's business.
fn kind_of(event: &Node<'_>, attributes: &Attributes) -> Result<Option<DeployKind>, Refusal> {
    if attributes.specversion != "1.0" {
        let problem = format!("CloudEvents {:?} is not understood", shortened(&attributes.specversion));
        return Err(event.refuse(problem, "send specversion 1.0"));
    }
    let event_type = &attributes.event_type;
    if !event_type.starts_with(CDEVENTS) {
        let problem = format!("{:?} is no CDEvents type", shortened(event_type));
        return Err(event.refuse(problem, format!("send {SERVICE}deployed, upgraded, rolledback or removed")));
    }
    let predicate = event_type.strip_prefix(SERVICE).and_then(|rest| rest.split('.').next());
    Ok(match predicate {
        Some("deployed" | "upgraded") => Some(DeployKind::Deploy),
        Some("rolledback") => Some(DeployKind::Rollback),
        Some("removed") => Some(DeployKind::Remove),
        _ => None,
    })
}

/// A CDEvent about a service. It tells what is done, so its time is the deploy's end.
fn deploy(
    data: &Node<'_>,
    attributes: &Attributes,
    kind: DeployKind,
    limits: &Limits,
    now: EventTime,
) -> Result<Fact<'static>, Refusal> {
    data.object("a CDEvent")?;
    let context = data.required("context")?;
    let agreed = [("id", &attributes.id), ("source", &attributes.source), ("type", &attributes.event_type)];
    for (name, told) in agreed {
        let inner = context.required(name)?;
        if inner.filled(limits.text_bytes_max)? != told {
            let problem = format!("{} differs from the CloudEvent's {:?}", inner.found(), shortened(told));
            return Err(inner.refuse(problem, "make envelope and event agree: together they are its identity"));
        }
    }
    let finished_at_ms = time::optional(&context, "timestamp")?.unwrap_or(now.0);
    let subject = data.required("subject")?;
    let service = subject.required("id")?.filled(limits.text_bytes_max)?.to_owned();
    let nothing = Value::Object(Default::default());
    let content = subject.field("content").unwrap_or(Node::root(&nothing));
    let version = match kind {
        DeployKind::Remove => super::deploys::REMOVED.to_owned(),
        _ => content.required("artifactId")?.filled(limits.text_bytes_max)?.to_owned(),
    };
    let environment = match content.field("environment") {
        Some(environment) => environment.optional_text("id", limits.text_bytes_max)?,
        None => None,
    };
    Ok(Fact::Deploy(Deploy {
        id: attributes.id.clone().into(),
        source: attributes.source.clone().into(),
        service: service.into(),
        environment,
        kind,
        outcome: DeployOutcome::Succeeded,
        version: version.into(),
        revision: None,
        actor: None,
        url: None,
        started_at_ms: None,
        finished_at_ms: Some(finished_at_ms),
    }))
}
