//! Alerts in Alertmanager's two formats: its webhook (version 4) and its own API v2, which Prometheus, vmalert and Loki speak.
//!
//! ```text
//! curl -H 'Authorization: Bearer …' -H 'Content-Type: application/json' http://127.0.0.1:8080/api/v2/alerts -d '
//!   [{"labels": {"alertname": "HighErrorRatio", "service": "checkout", "severity": "critical"},
//!     "annotations": {"summary": "7 % of requests fail", "value": "7.1"}}]'
//! ```
//!
//! Invariants: one fact per alert, whatever the group it came in. Identity is fingerprint and start, the same at both
//! doors; a group key is ignored, for it changes with the sender's configuration. While it fires an alert has no end: the
//! webhook writes Go's zero time, and the API an end in the future after which the sender will have told it again.
//! An alert that the API is told without a start starts when it is received, as in Alertmanager.

use serde_json::Value;

use super::json::{Node, Refusal, parse};
use super::{Reading, Rules, fingerprint, mapping, time};
use crate::event::{Alert, AlertStatus, Fact, Text};
use crate::record::EventTime;

/// `POST /webhooks/alertmanager`
pub fn webhook(body: &[u8], rules: &Rules, now: EventTime) -> Result<Reading, Refusal> {
    let value = parse(body)?;
    let root = Node::root(&value);
    insist_on_version_4(&root)?;
    let alerts = root.required("alerts")?;
    let mut reading = Reading::of_items(&alerts, "the alerts", &rules.limits, |alert| {
        webhook_alert(alert, "alertmanager", rules, now).map(|alert| Some(Fact::Alert(alert)))
    })?;
    reading.omitted_by_sender = omitted(&root);
    Ok(reading)
}

/// One alert of a webhook's payload: Alertmanager's, or Grafana's, which has it from there.
pub(super) fn webhook_alert(
    alert: &Node<'_>,
    source: &'static str,
    rules: &Rules,
    now: EventTime,
) -> Result<Alert<'static>, Refusal> {
    let episode = told_by_status(alert, now)?;
    let fingerprint = alert.optional_text("fingerprint", rules.limits.label_name_bytes_max)?;
    read(alert, source, fingerprint, episode, rules)
}

/// Alerts of the group that its sender left out.
pub(super) fn omitted(root: &Node<'_>) -> u64 {
    root.field("truncatedAlerts").and_then(|count| count.value.as_u64()).unwrap_or(0)
}

/// `POST /api/v2/alerts`
pub fn api(body: &[u8], rules: &Rules, now: EventTime) -> Result<Reading, Refusal> {
    let value = parse(body)?;
    let root = Node::root(&value);
    if value.get("alerts").is_some() {
        let (problem, path) = match value.get("orgId") {
            Some(_) => ("this is Grafana's webhook, not Alertmanager's API", "/webhooks/grafana"),
            None => ("this is Alertmanager's webhook, not its API", "/webhooks/alertmanager"),
        };
        return Err(root.refuse(problem, format!("send it to {path}; here belongs an array of alerts")));
    }
    Reading::of_items(&root, "alerts", &rules.limits, |alert| {
        let episode = told_by_end(alert, now)?;
        read(alert, "alertmanager-api", None, episode, rules).map(|alert| Some(Fact::Alert(alert)))
    })
}

/// Recognises what is most often sent here by mistake.
fn insist_on_version_4(root: &Node<'_>) -> Result<(), Refusal> {
    if root.value.is_array() {
        return Err(root.refuse(
            "this is an array: Alertmanager's API, not its webhook",
            "send it to /api/v2/alerts; here belongs an object with \"version\": \"4\"",
        ));
    }
    root.object("Alertmanager's webhook payload")?;
    match root.value.get("version").and_then(Value::as_str) {
        Some("4") => Ok(()),
        _ if root.value.get("orgId").is_some() => {
            Err(root.refuse("this is Grafana's webhook, not Alertmanager's", "send it to /webhooks/grafana"))
        }
        Some(_) => {
            let version = root.required("version")?;
            Err(version.refuse(format!("expected version \"4\", found {}", version.found()), "update Alertmanager"))
        }
        None => Err(root.refuse(
            "this is no Alertmanager webhook of version 4: it has no \"version\": \"4\"",
            "remove `payload:` from webhook_configs if there is one, so that Alertmanager sends its own format",
        )),
    }
}

/// Start, end and status of one occurrence.
struct Episode {
    starts_at_ms: i64,
    ends_at_ms: Option<i64>,
    status: AlertStatus,
}

/// The webhook says by `status` whether it fires.
fn told_by_status(alert: &Node<'_>, now: EventTime) -> Result<Episode, Refusal> {
    alert.object("an alert")?;
    let status = alert.required("status")?;
    let starts_at_ms = time::optional(alert, "startsAt")?
        .ok_or_else(|| alert.refuse("\"startsAt\" is missing or zero", "send when the alert began to fire"))?;
    match status.string()? {
        "firing" => Ok(Episode { starts_at_ms, ends_at_ms: None, status: AlertStatus::Firing }),
        "resolved" => {
            resolved(alert, starts_at_ms, time::optional(alert, "endsAt")?.unwrap_or(now.0.max(starts_at_ms)))
        }
        _ => Err(status.refuse(format!("{} is no status", status.found()), "send \"firing\" or \"resolved\"")),
    }
}

/// The API says it by an end that has passed.
fn told_by_end(alert: &Node<'_>, now: EventTime) -> Result<Episode, Refusal> {
    alert.object("an alert")?;
    let end = time::optional(alert, "endsAt")?;
    let starts_at_ms = match time::optional(alert, "startsAt")? {
        Some(start) => start,
        None => end.map_or(now.0, |end| end.min(now.0)),
    };
    match end {
        Some(end) if end <= now.0 => resolved(alert, starts_at_ms, end),
        _ => Ok(Episode { starts_at_ms, ends_at_ms: None, status: AlertStatus::Firing }),
    }
}

fn resolved(alert: &Node<'_>, starts_at_ms: i64, end: i64) -> Result<Episode, Refusal> {
    let ends_at_ms = Some(end_of(alert, starts_at_ms, end)?);
    Ok(Episode { starts_at_ms, ends_at_ms, status: AlertStatus::Resolved })
}

pub(super) fn end_of(alert: &Node<'_>, starts_at_ms: i64, end: i64) -> Result<i64, Refusal> {
    if end < starts_at_ms {
        return Err(alert.refuse("it ends before it starts", "check \"startsAt\" and \"endsAt\""));
    }
    Ok(end)
}

fn read(
    alert: &Node<'_>,
    source: &'static str,
    fingerprint: Option<Text<'static>>,
    episode: Episode,
    rules: &Rules,
) -> Result<Alert<'static>, Refusal> {
    let Rules { mapping, limits, .. } = rules;
    let labels = mapping::labels(&alert.required("labels")?, limits)?;
    let annotations = match alert.field("annotations") {
        Some(annotations) => mapping::annotations(&annotations, limits)?,
        None => Default::default(),
    };
    let fingerprint = fingerprint.unwrap_or_else(|| fingerprint::of(&labels).into());
    Ok(Alert {
        starts_at_ms: episode.starts_at_ms,
        ends_at_ms: episode.ends_at_ms,
        status: episode.status,
        generator_url: alert.link("generatorURL", limits.text_bytes_max)?,
        ..mapping.alert(source, fingerprint, labels, annotations)
    })
}
