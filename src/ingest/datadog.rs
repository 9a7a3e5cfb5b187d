//! Alerts of Datadog's monitors. Its webhooks have no format of their own: they send the template that is pasted there.
//!
//! ```text
//! Integrations → Webhooks: URL http://fairlead:8080/webhooks/datadog, custom headers {"Authorization": "Bearer …"}, payload as
//! `fairlead template datadog` prints it, not encoded as form; then @webhook-<name> in the monitor's message
//! ```
//!
//! Invariants: identity is monitor and scope (`$ALERT_ID`, `$ALERT_SCOPE`), the episode is `$ALERT_CYCLE_KEY`; Datadog does not
//! tell when it began, so it begins with its first telling. Everything but a recovery fires: triggered, warned, without data,
//! told again. Tags and scope are labels, so `service:checkout` and `env:production` say what they say everywhere. The severity
//! is that of the monitor's priority, and of a warning at most `warning`. Keep's template is read too; it has no cycle key, so
//! there an episode ends with its recovery only. What was set off by no monitor is ignored.

use super::json::{Node, Refusal, parse};
use super::{Limits, Reading, Rules, details, fingerprint, time};
use crate::event::{Alert, AlertStatus, Fact, Text};
use crate::record::EventTime;

const PASTE: &str = "paste what `fairlead template datadog` prints into the webhook's payload";

/// `POST /webhooks/datadog`
pub fn read(body: &[u8], rules: &Rules, now: EventTime) -> Result<Reading, Refusal> {
    let value = parse(body)?;
    let root = Node::root(&value);
    root.object("the payload of Datadog's webhook")?;
    if ["alert_id", "monitor_id"].iter().all(|name| root.field(name).is_none()) {
        return Err(root.refuse("this is not the template for fairlead: it does not name the monitor", PASTE));
    }
    Reading::of_one(alert(&Payload { root, limits: &rules.limits }, rules, now))
}

struct Payload<'a> {
    root: Node<'a>,
    limits: &'a Limits,
}

impl Payload<'_> {
    /// The first of these fields that says something. Datadog leaves a variable that it does not know as it stands, and writes
    /// `null` for some that are empty.
    fn said(&self, names: &[&str], max: usize) -> Result<Option<String>, Refusal> {
        for name in names {
            let Some(node) = self.root.field(name) else { continue };
            let text = match node.value.as_i64() {
                Some(number) => number.to_string(),
                None => node.string()?.trim().to_owned(),
            };
            if !text.is_empty() && text != "null" && !is_variable(&text) {
                return if text.len() <= max {
                    Ok(Some(text))
                } else {
                    node.text(max).map(|text| Some(text.to_owned()))
                };
            }
        }
        Ok(None)
    }
}

fn is_variable(text: &str) -> bool {
    text.strip_prefix('$').is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'))
}

fn alert(payload: &Payload<'_>, rules: &Rules, now: EventTime) -> Result<Option<Fact<'static>>, Refusal> {
    let Limits { text_bytes_max, label_value_bytes_max, .. } = *payload.limits;
    let Some(monitor) = payload.said(&["alert_id", "monitor_id"], text_bytes_max)? else { return Ok(None) };
    let transition = payload.said(&["alert_transition"], text_bytes_max)?;
    let transition = transition
        .ok_or_else(|| payload.root.refuse("\"alert_transition\" is missing: whether it fires is not told", PASTE))?;
    let scope = payload.said(&["alert_scope", "scopes"], text_bytes_max)?.unwrap_or_default();
    let fingerprint = fingerprint::of_parts(&[&monitor, &scope]);
    let episode = payload.said(&["alert_cycle_key"], text_bytes_max)?.unwrap_or_else(|| fingerprint.clone());
    let at_ms = match payload.root.field("date") {
        // A clock that goes before ours must not make the end earlier than the beginning.
        Some(date) => time::epoch_ms(&date)?.min(now.0),
        None => now.0,
    };

    let mut told = details::Told::default();
    let whole = usize::MAX;
    let title = payload.said(&["title"], whole)?.unwrap_or_default();
    let name = payload.said(&["alert_title"], whole)?.unwrap_or_else(|| without_state(&title).to_owned());
    told.label("alertname", &details::cut(&name, label_value_bytes_max));
    if let Some(severity) =
        severity(&payload.said(&["alert_priority", "severity"], whole)?.unwrap_or_default(), &transition)
    {
        told.label("severity", severity);
    }
    told.take_tags(&scope, payload.limits);
    told.take_tags(&payload.said(&["tags"], whole)?.unwrap_or_default(), payload.limits);
    if let Some(host) = payload.said(&["hostname"], label_value_bytes_max)? {
        told.labels.entry("host".to_owned()).or_insert(host);
    }
    told.annotate("summary", &title);
    for (annotation, field) in [
        ("description", "body"),
        ("query", "alert_query"),
        ("snapshot", "snapshot"),
        ("transition", "alert_transition"),
    ] {
        told.annotate(annotation, &payload.said(&[field], whole)?.unwrap_or_default());
    }
    let (labels, annotations) = told.within(payload.limits);
    let alert = rules.mapping.alert("datadog", fingerprint, labels, annotations);
    let link = payload.said(&["link", "url"], whole)?.filter(|link| link.len() <= text_bytes_max);
    let over = transition.ends_with("Recovered");
    Ok(Some(Fact::Alert(Alert {
        starts_at_ms: at_ms,
        ends_at_ms: over.then_some(at_ms),
        status: if over { AlertStatus::Resolved } else { AlertStatus::Firing },
        generator_url: link.map(Text::from),
        episode: Some(episode.into()),
        ..alert
    })))
}

/// `[Triggered on {host:web-1}] CPU is high` without what is in brackets.
fn without_state(title: &str) -> &str {
    let rest = title.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    rest.map_or(title, |(_, rest)| rest.trim_start())
}

fn severity(priority: &str, transition: &str) -> Option<&'static str> {
    let of_monitor = match priority {
        "P1" => Some("critical"),
        "P2" => Some("high"),
        "P3" => Some("warning"),
        "P4" => Some("info"),
        "P5" => Some("low"),
        _ => None,
    };
    let warns = transition.ends_with("Warn");
    match of_monitor {
        Some("critical" | "high") | None if warns => Some("warning"),
        severity => severity,
    }
}
