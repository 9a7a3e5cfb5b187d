//! Whatever else sends JSON: `ingest.json.<name>` says by JSON pointers which place of it says what.
//!
//! ```text
//! ingest:
//!   json:
//!     zabbix:                             # POST /webhooks/json/zabbix
//!       alerts:
//!         fingerprint: [/trigger_id, /host]
//!         resolved: { at: /status, is: [OK] }
//!         labels: { alertname: /trigger, severity: /severity, service: /tags/service, team: sre }
//!         annotations: { summary: /message }
//! ```
//!
//! What begins with a slash is a pointer, anything else is itself. Texts, numbers and truth values are read as text; what is
//! absent, null or empty is not said. Times are RFC 3339, or seconds or milliseconds since 1970. An alert without a start began
//! when it was first told. Not here: templates, conditions, arithmetic; who needs these sends one of the formats.

use super::json::{Node, Refusal, parse};
use super::{Limits, Reading, Rules, details, fingerprint, time};
use crate::event::{Alert, AlertStatus, Deploy, DeployKind, DeployOutcome, Fact, Text};
use crate::record::EventTime;
use crate::topology::settings::{AlertMapping, DeployMapping, JsonMapping, Pointer, Said, Test};

/// `POST /webhooks/json/<name>`
pub fn read(name: &str, body: &[u8], rules: &Rules, now: EventTime) -> Result<Reading, Refusal> {
    let mapping = rules.json.get(name).ok_or_else(|| {
        Refusal::new(
            "$",
            "there is no mapping of this name",
            "send it to /webhooks/json/<name> with a name under `ingest.json`",
        )
    })?;
    let value = parse(body)?;
    let root = Node::root(&value);
    let source = format!("json/{name}");
    match mapping {
        JsonMapping { alerts: Some(alerts), .. } => each(&root, alerts.each.as_ref(), rules, |node| {
            let element = Element { node, limits: &rules.limits };
            Ok(alert(&element, alerts, &source, rules, now)?.map(Fact::Alert))
        }),
        JsonMapping { deploys: Some(deploys), .. } => each(&root, deploys.each.as_ref(), rules, |node| {
            let element = Element { node, limits: &rules.limits };
            Ok(deploy(&element, deploys, &source, now)?.map(Fact::Deploy))
        }),
        JsonMapping { alerts: None, deploys: None } => Ok(Reading::default()),
    }
}

fn each<F>(root: &Node<'_>, list: Option<&Pointer>, rules: &Rules, read: F) -> Result<Reading, Refusal>
where
    F: Fn(&Node<'_>) -> Result<Option<Fact<'static>>, Refusal>,
{
    let Some(pointer) = list else { return Reading::of_one(read(root)) };
    match root.at(pointer.as_str()) {
        Some(list) => Reading::of_items(&list, "the elements", &rules.limits, read),
        None => Err(root.refuse(format!("there is nothing at {}", pointer.as_str()), "send an array there")),
    }
}

/// What is read, and how much of it.
struct Element<'e> {
    node: &'e Node<'e>,
    limits: &'e Limits,
}

impl Element<'_> {
    /// `None`: it is not said.
    fn text(&self, said: &Said, max: usize) -> Result<Option<String>, Refusal> {
        let pointer = match said {
            Said::Always(text) => return Ok(Some(text.clone())),
            Said::At(pointer) => pointer.as_str(),
        };
        let Some(found) = self.node.at(pointer) else { return Ok(None) };
        if found.value.as_str().is_some_and(|text| text.trim().is_empty()) {
            return Ok(None);
        }
        let text = details::text(found.value, max);
        text.map(Some).ok_or_else(|| {
            let mend = format!("send a text, a number or a truth value of at most {max} bytes there");
            found.refuse(format!("{} is none that can be read", found.found()), mend)
        })
    }

    fn optional(&self, said: Option<&Said>, max: usize) -> Result<Option<Text<'static>>, Refusal> {
        Ok(said.map(|said| self.text(said, max)).transpose()?.flatten().map(Text::from))
    }

    fn required(&self, said: &Said, what: &str) -> Result<String, Refusal> {
        self.text(said, self.limits.text_bytes_max)?.ok_or_else(|| {
            self.node.refuse(format!("{what} is not said"), format!("send it at {}", String::from(said.clone())))
        })
    }

    fn time(&self, said: Option<&Said>) -> Result<Option<i64>, Refusal> {
        match said {
            Some(Said::At(pointer)) => self.node.at(pointer.as_str()).map_or(Ok(None), |node| time::any(&node)),
            Some(Said::Always(_)) | None => Ok(None),
        }
    }

    fn holds(&self, test: Option<&Test>) -> Result<bool, Refusal> {
        let Some(test) = test else { return Ok(false) };
        let text = self.text(&Said::At(test.at.clone()), self.limits.text_bytes_max)?;
        Ok(text.is_some_and(|text| test.is.contains(&text)))
    }
}

fn alert(
    element: &Element<'_>,
    mapping: &AlertMapping,
    source: &str,
    rules: &Rules,
    now: EventTime,
) -> Result<Option<Alert<'static>>, Refusal> {
    let limits = element.limits;
    if element.holds(mapping.ignored.as_ref())? {
        return Ok(None);
    }
    let mut told = details::Told::default();
    for (name, said) in &mapping.labels {
        if let Some(text) = element.text(said, limits.label_value_bytes_max)? {
            told.label(name, &text);
        }
    }
    for (name, said) in &mapping.annotations {
        if let Some(text) = element.text(said, usize::MAX)? {
            told.annotate(name, &text);
        }
    }
    let (labels, annotations) = told.within(limits);
    if labels.is_empty() {
        return Err(element.node.refuse("nothing of an alert's labels is said", "compare it with the mapping"));
    }
    let mut parts = Vec::new();
    for said in &mapping.fingerprint {
        parts.push(element.required(said, "a part of the fingerprint")?);
    }
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let fingerprint = if parts.is_empty() { fingerprint::of(&labels) } else { fingerprint::of_parts(&parts) };

    let told_start = element.time(mapping.starts_at.as_ref())?;
    let end = element.time(mapping.ends_at.as_ref())?;
    let over = match &mapping.resolved {
        Some(test) => element.holds(Some(test))?,
        None => end.is_some_and(|end| end <= now.0),
    };
    let starts_at_ms = told_start.unwrap_or(now.0);
    Ok(Some(Alert {
        starts_at_ms,
        ends_at_ms: over.then(|| end.unwrap_or(now.0).max(starts_at_ms)),
        status: if over { AlertStatus::Resolved } else { AlertStatus::Firing },
        generator_url: element.optional(mapping.link.as_ref(), limits.text_bytes_max)?,
        episode: told_start.is_none().then(|| fingerprint.clone().into()),
        ..rules.mapping.alert(source.to_owned(), fingerprint, labels, annotations)
    }))
}

fn deploy(
    element: &Element<'_>,
    mapping: &DeployMapping,
    source: &str,
    now: EventTime,
) -> Result<Option<Deploy<'static>>, Refusal> {
    if element.holds(mapping.ignored.as_ref())? {
        return Ok(None);
    }
    let optional = |said: &Option<Said>| element.optional(said.as_ref(), element.limits.text_bytes_max);
    let outcome = match (element.holds(mapping.running.as_ref())?, element.holds(mapping.failed.as_ref())?) {
        (true, _) => DeployOutcome::Running,
        (false, true) => DeployOutcome::Failed,
        (false, false) => DeployOutcome::Succeeded,
    };
    let running = outcome == DeployOutcome::Running;
    let started = element.time(mapping.started_at.as_ref())?;
    let finished = element.time(mapping.finished_at.as_ref())?;
    Ok(Some(Deploy {
        id: element.required(&mapping.id, "the id")?.into(),
        source: source.to_owned().into(),
        service: element.required(&mapping.service, "the service")?.into(),
        environment: optional(&mapping.environment)?,
        kind: if element.holds(mapping.rollback.as_ref())? { DeployKind::Rollback } else { DeployKind::Deploy },
        outcome,
        version: element.required(&mapping.version, "the version")?.into(),
        revision: optional(&mapping.revision)?,
        actor: optional(&mapping.actor)?,
        url: optional(&mapping.link)?,
        started_at_ms: if running { Some(started.unwrap_or(now.0)) } else { started },
        finished_at_ms: (!running).then(|| finished.unwrap_or(now.0).max(started.unwrap_or(0))),
    }))
}
