//! PagerDuty's Events API v2: whatever can page through PagerDuty can send here instead, once its URL is changed.
//!
//! ```text
//! curl -H 'Content-Type: application/json' http://127.0.0.1:8080/v2/enqueue -d '
//!   {"routing_key": "…", "event_action": "trigger", "dedup_key": "disk-full/web-1",
//!    "payload": {"summary": "Disk is full on web-1", "source": "web-1", "severity": "error"}}'
//! ```
//!
//! The routing key is the credential and says the service, as it does there: a resolve says nothing else
//! (`ingest.pagerduty.services`). Identity is the service and the dedup key; without one it is made of the payload, and told in
//! the answer. Nobody tells when an episode began: it begins with the first trigger that is received, and triggers until the
//! resolve are its repetitions. An acknowledge is accepted, counted and not stored. Texts, numbers and truth values of
//! `custom_details` become labels; links, and what is too long for a label, annotations.
//!
//! A change event becomes a deploy that has succeeded; its version is `version`, `build_number`, `image` or `revision` of its
//! `custom_details`, else its summary.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::json::{Node, Refusal, parse};
use super::{Limits, Reading, Rules, details, fingerprint, time};
use crate::event::{Alert, AlertStatus, Deploy, DeployKind, DeployOutcome, Fact, Text};
use crate::record::EventTime;

const SEVERITIES: [&str; 4] = ["critical", "error", "warning", "info"];

/// Whose key is whose: only digests are kept.
#[derive(Clone, Default, PartialEq)]
pub struct RoutingKeys(Vec<(String, [u8; 32])>);

impl RoutingKeys {
    /// Service and key; a service may have several.
    pub fn new<'k>(keys: impl IntoIterator<Item = (&'k str, &'k str)>) -> Self {
        Self(keys.into_iter().map(|(service, key)| (service.to_owned(), Sha256::digest(key).into())).collect())
    }

    /// For bodies whose key was replaced by [`without_key`].
    pub fn by_name<'s>(services: impl IntoIterator<Item = &'s str>) -> Self {
        let named: Vec<_> = services.into_iter().map(|service| (service, name_for_key(service))).collect();
        Self::new(named.iter().map(|(service, name)| (*service, name.as_str())))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the same time whatever is told.
    pub fn service_of(&self, told: &str) -> Option<&str> {
        let told: [u8; 32] = Sha256::digest(told).into();
        let none = (Choice::from(0), 0);
        let (known, at) = (0_u32..).zip(&self.0).fold(none, |(known, at), (n, (_, key))| {
            let same = key.ct_eq(&told);
            (known | same, u32::conditional_select(&at, &n, same))
        });
        let (service, _) = self.0.get(at as usize).filter(|_| bool::from(known))?;
        Some(service)
    }
}

impl fmt::Debug for RoutingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} routing keys", self.0.len())
    }
}

/// The key alone, before anything else is looked at.
pub fn routing_key(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Keyed {
        routing_key: String,
    }
    serde_json::from_slice(body).ok().map(|keyed: Keyed| keyed.routing_key)
}

/// The body with the service's name in place of its key, by which [`RoutingKeys::by_name`] know it again.
pub fn without_key(body: &[u8], keys: &RoutingKeys) -> Vec<u8> {
    let Some(key) = routing_key(body) else { return body.to_vec() };
    let name = keys.service_of(&key).map(name_for_key).unwrap_or_default();
    let text = String::from_utf8_lossy(body);
    if text.contains(&key) {
        return text.replace(&key, &name).into_bytes();
    }
    // It is spelt with escapes.
    match serde_json::from_slice::<Value>(body) {
        Ok(mut value) => {
            value["routing_key"] = name.into();
            value.to_string().into_bytes()
        }
        Err(_) => Vec::new(),
    }
}

fn name_for_key(service: &str) -> String {
    format!("service:{service}")
}

/// `POST /v2/enqueue`
pub fn alert(body: &[u8], rules: &Rules, now: EventTime) -> Result<Reading, Refusal> {
    let value = parse(body)?;
    let root = Node::root(&value);
    let service = service(&root, rules)?;
    let max = rules.limits.label_name_bytes_max;
    let action = root.required("event_action")?;
    let payload = match action.string()? {
        "trigger" => Some(root.required("payload")?),
        _ => None,
    };
    let dedup_key = match (root.optional_text("dedup_key", 2 * max)?, &payload) {
        (Some(key), _) => key,
        (None, Some(payload)) => made_of(payload).into(),
        (None, None) => root.required("dedup_key")?.filled(2 * max)?.to_owned().into(),
    };
    let fact = match action.string()? {
        "trigger" => told(&root, payload.as_ref(), service, &dedup_key, rules).map(|alert| firing(alert, now)),
        "resolve" => told(&root, payload.as_ref(), service, &dedup_key, rules).map(|alert| resolved(alert, now)),
        "acknowledge" => Ok(None),
        _ => Err(action.refuse(format!("{} is no action", action.found()), "send trigger, acknowledge or resolve")),
    };
    Ok(Reading { receipt: Some(dedup_key.to_string()), ..Reading::of_one(fact)? })
}

fn firing(alert: Alert<'static>, now: EventTime) -> Option<Fact<'static>> {
    Some(Fact::Alert(Alert { starts_at_ms: now.0, ..alert }))
}

fn resolved(alert: Alert<'static>, now: EventTime) -> Option<Fact<'static>> {
    let status = AlertStatus::Resolved;
    Some(Fact::Alert(Alert { starts_at_ms: now.0, ends_at_ms: Some(now.0), status, ..alert }))
}

fn service<'r>(root: &Node<'_>, rules: &'r Rules) -> Result<&'r str, Refusal> {
    root.object("an event of PagerDuty's Events API v2")?;
    let key = root.required("routing_key")?;
    let service = rules.routing_keys.service_of(key.string()?);
    service.ok_or_else(|| key.refuse("this routing key is not known", "send one from the server's configuration"))
}

/// For a sender that leaves it to PagerDuty: the same payload is the same alert.
fn made_of(payload: &Node<'_>) -> String {
    fingerprint::of_parts(&[&payload.value.to_string()])
}

fn told(
    root: &Node<'_>,
    payload: Option<&Node<'_>>,
    service: &str,
    dedup_key: &str,
    rules: &Rules,
) -> Result<Alert<'static>, Refusal> {
    let Limits { label_value_bytes_max, text_bytes_max, annotation_bytes_max, .. } = rules.limits;
    let mut told = details::Told::default();
    let mut name = dedup_key.to_owned();
    if let Some(payload) = payload {
        payload.object("the payload")?;
        let summary = payload.required("summary")?.filled(annotation_bytes_max)?;
        told.annotate("summary", summary);
        for field in ["source", "component", "group", "class"] {
            if let Some(text) = payload.optional_text(field, label_value_bytes_max)? {
                told.label(field, &text);
            }
        }
        payload.required("source")?;
        told.label("severity", severity(&payload.required("severity")?)?);
        name = told.labels.get("class").cloned().unwrap_or_else(|| details::cut(summary, label_value_bytes_max));
        if let Some(custom) = payload.field("custom_details") {
            told.take(&custom, &rules.limits);
        }
    }
    let link = root.link("client_url", text_bytes_max)?;
    let link = link.or(first_link(root, text_bytes_max)?);
    told.label("alertname", &name);
    let (labels, annotations) = told.within(&rules.limits);
    let alert = rules.mapping.alert("pagerduty", fingerprint::of_parts(&[dedup_key]), labels, annotations);
    let episode = Some(Text::from(dedup_key.to_owned()));
    Ok(Alert { service: service.to_owned().into(), generator_url: link, episode, ..alert })
}

fn severity<'n>(node: &Node<'n>) -> Result<&'n str, Refusal> {
    let told = node.string()?;
    if SEVERITIES.contains(&told) {
        return Ok(told);
    }
    Err(node.refuse(format!("{} is no severity", node.found()), format!("send one of {}", SEVERITIES.join(", "))))
}

fn first_link(root: &Node<'_>, max: usize) -> Result<Option<Text<'static>>, Refusal> {
    let Some(links) = root.field("links") else { return Ok(None) };
    links.items("the links")?.next().map_or(Ok(None), |link| link.link("href", max))
}

/// `POST /v2/change/enqueue`
pub fn change(body: &[u8], rules: &Rules, now: EventTime) -> Result<Reading, Refusal> {
    let value = parse(body)?;
    let root = Node::root(&value);
    let service = service(&root, rules)?;
    let max = rules.limits.text_bytes_max;
    let payload = root.required("payload")?;
    let summary = payload.required("summary")?.filled(max)?;
    let nothing = Value::Null;
    let custom = payload.field("custom_details").unwrap_or(Node::root(&nothing));
    let first = |names: &[&str]| names.iter().find_map(|name| details::text(custom.value.get(name)?, max));
    let revision = first(&["revision", "commit", "sha"]);
    let version = first(&["version", "build_number", "image"]).or_else(|| revision.clone());
    Reading::of_one(Ok(Some(Fact::Deploy(Deploy {
        id: made_of(&payload).into(),
        source: payload.optional_text("source", max)?.unwrap_or_else(|| "pagerduty".into()),
        service: service.to_owned().into(),
        environment: first(&["environment", "env"]).map(Text::from),
        kind: DeployKind::Deploy,
        outcome: DeployOutcome::Succeeded,
        version: version.unwrap_or_else(|| summary.to_owned()).into(),
        revision: revision.map(Text::from),
        actor: first(&["actor", "user", "author"]).map(Text::from),
        url: first_link(&root, max)?,
        started_at_ms: None,
        finished_at_ms: Some(time::optional(&payload, "timestamp")?.unwrap_or(now.0)),
    }))))
}
