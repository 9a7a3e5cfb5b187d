//! Alerts of Grafana Alerting: the webhook of a contact point, which has Alertmanager's skeleton and `"version": "1"`.
//!
//! ```text
//! Contact point: Webhook, URL http://fairlead:8080/webhooks/grafana, Authorization header Bearer <token>;
//! or, where `ingest.grafana.secret` is set, HMAC signature with that secret instead of the header
//! ```
//!
//! Invariants: one fact per alert, with Grafana's own fingerprint and start. The value is that of an annotation or label as
//! everywhere; else of the query or expression (`values`) that `ingest.mapping.value` names; else of the first by name, for
//! the query stands before its reduction and its threshold (`A`, `B`, `C`). The panel, else the dashboard, becomes the
//! annotation `dashboard_url` where the alert has none.

use serde_json::Value;

use super::json::{Node, Refusal, parse};
use super::{Reading, Rules, alertmanager};
use crate::event::Fact;
use crate::record::EventTime;

/// `POST /webhooks/grafana`
pub fn read(body: &[u8], rules: &Rules, now: EventTime) -> Result<Reading, Refusal> {
    let value = parse(body)?;
    let root = Node::root(&value);
    insist_on_version_1(&root)?;
    let alerts = root.required("alerts")?;
    let mut reading =
        Reading::of_items(&alerts, "the alerts", &rules.limits, |item| alert(item, rules, now).map(Some))?;
    reading.omitted_by_sender = alertmanager::omitted(&root);
    Ok(reading)
}

/// Recognises what is most often sent here by mistake.
fn insist_on_version_1(root: &Node<'_>) -> Result<(), Refusal> {
    if root.value.is_array() {
        return Err(root.refuse(
            "this is an array: Alertmanager's API, not Grafana's webhook",
            "send it to /api/v2/alerts; here belongs an object with \"version\": \"1\"",
        ));
    }
    root.object("Grafana's webhook payload")?;
    let has = |name: &str| root.value.get(name).is_some();
    match root.value.get("version").and_then(Value::as_str) {
        Some("1") if has("orgId") => Ok(()),
        Some("4") => {
            Err(root.refuse("this is Alertmanager's webhook, not Grafana's", "send it to /webhooks/alertmanager"))
        }
        _ if has("ruleId") || has("evalMatches") => Err(root.refuse(
            "this is the webhook of Grafana's legacy alerting, which ended with Grafana 10",
            "move the alerts to Grafana Alerting",
        )),
        _ => Err(root.refuse(
            "this is no webhook of Grafana Alerting: it has no \"version\": \"1\" and \"orgId\"",
            "remove the custom payload from the contact point if there is one, so that Grafana sends its own format",
        )),
    }
}

fn alert(node: &Node<'_>, rules: &Rules, now: EventTime) -> Result<Fact<'static>, Refusal> {
    let mut alert = alertmanager::webhook_alert(node, "grafana", rules, now)?;
    let values = node.field("values");
    alert.value = alert.value.or_else(|| measured(&values?, &rules.mapping.value));
    let link = |name| node.link(name, rules.limits.text_bytes_max);
    if let Some(dashboard) = link("panelURL")?.or(link("dashboardURL")?) {
        alert.annotations = alert.annotations.or("dashboard_url", dashboard);
    }
    Ok(Fact::Alert(alert))
}

/// Of `{"A": 4.2, "B": 1}` the one that is named, else the first by name.
fn measured(values: &Node<'_>, named: &[String]) -> Option<f64> {
    let values = values.value.as_object()?;
    let number = |name: &String| values.get(name).and_then(Value::as_f64).filter(|value| value.is_finite());
    named.iter().find_map(number).or_else(|| {
        let mut names: Vec<_> = values.keys().collect();
        names.sort_unstable();
        names.into_iter().find_map(number)
    })
}
