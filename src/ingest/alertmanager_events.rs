//! Alertmanager's own record of what it does (`event_recorder.kafka_outputs`, from 0.33 on, `format: json`), one event a record.
//!
//! ```json
//! {"@timestamp": "2026-11-23T09:00:05Z", "instance": "am-0", "data": {"alertCreated": {"alert": {
//!   "fingerprint": "16203708024416470498", "labels": {"alertname": "HighErrorRatio", "service": "checkout"},
//!   "startsAt": "2026-11-23T08:59:00Z", "endsAt": "2026-11-23T09:04:00Z"}}}}
//! ```
//! Read is what tells how an alert stands: `alertCreated`, `alertGrouped`, `alertResolved`, and every alert of a `notification`, which
//! heals what was dropped before it. All else (silences, inhibitions, starts and stops) is ignored. Identity is the fingerprint and
//! the start, as at the webhook: whoever sends both tells one alert twice. The schema changed with 0.34, from lists of labels to
//! maps and from alerts in an envelope to plain ones; both are read.
//!
//! Not here: links, which are not in it; Alertmanager's silences and inhibitions, which do not keep an alert from being recorded; and
//! protobuf, for nothing in its bytes tells one schema from the other. Alertmanager drops events when its buffer is full, so
//! where each alert counts, the webhook is the better source.

use serde_json::{Map, Value};

use super::json::{Node, Refusal, parse};
use super::{Reading, Rules, alertmanager, fingerprint, mapping, time};
use crate::event::{Alert, AlertStatus, Fact};
use crate::record::EventTime;

/// `now` is the record's time.
pub fn read(value: &[u8], rules: &Rules, now: EventTime) -> Result<Reading, Refusal> {
    let value = parse(value).map_err(|refusal| Refusal {
        mend: "set `format: json` at this output under `event_recorder.kafka_outputs` of Alertmanager; protobuf is not read"
            .to_owned(),
        ..refusal
    })?;
    let root = Node::root(&value);
    root.object("an event of Alertmanager")?;
    let data = root.field("data");
    let data =
        data.ok_or_else(|| Refusal::new("$.data", "what happened is missing", "name a topic of `event_recorder`"))?;
    data.object("what happened")?;
    for (name, over) in [("alertCreated", false), ("alertGrouped", false), ("alertResolved", true)] {
        if let Some(event) = data.field(name) {
            return Reading::of_one(fact(&event.required("alert")?, over, rules, now));
        }
    }
    let notification = data.field("notification");
    match notification.as_ref().and_then(|notification| notification.field("alerts")) {
        Some(alerts) => Reading::of_items(&alerts, "alerts", &rules.limits, |alert| fact(alert, false, rules, now)),
        None => Ok(Reading::of_nothing()),
    }
}

/// `over`: the event itself says that it is resolved. `None`: an alert that is only referred to, by its hash.
fn fact(told: &Node<'_>, over: bool, rules: &Rules, now: EventTime) -> Result<Option<Fact<'static>>, Refusal> {
    told.object("an alert")?;
    let details = told.field("details");
    if details.is_none() && told.field("hash").is_some() {
        return Ok(None);
    }
    alert(details.as_ref().unwrap_or(told), over, rules, now).map(|alert| Some(Fact::Alert(alert)))
}

fn alert(alert: &Node<'_>, over: bool, rules: &Rules, now: EventTime) -> Result<Alert<'static>, Refusal> {
    alert.object("an alert")?;
    let Rules { mapping, limits, .. } = rules;
    let labels = named(&alert.required("labels")?, |labels| mapping::labels(labels, limits))?;
    let annotations = alert.field("annotations");
    let annotations = annotations.map(|node| named(&node, |texts| mapping::annotations(texts, limits)));
    let fingerprint = match alert.field("fingerprint") {
        Some(told) => hexadecimal(&told)?,
        None => fingerprint::of(&labels),
    };
    let starts_at_ms = time::optional(alert, "startsAt")?
        .ok_or_else(|| alert.refuse("\"startsAt\" is missing or zero", "send when the alert began to fire"))?;
    let (status, ends_at_ms) = match over || truth(alert, "resolved")? {
        true => {
            let end = time::optional(alert, "endsAt")?.unwrap_or(now.0.max(starts_at_ms));
            (AlertStatus::Resolved, Some(alertmanager::end_of(alert, starts_at_ms, end)?))
        }
        false => (AlertStatus::Firing, None),
    };
    let told = mapping.alert("alertmanager", fingerprint, labels, annotations.transpose()?.unwrap_or_default());
    Ok(Alert { starts_at_ms, ends_at_ms, status, ..told })
}

/// What `read` makes of labels or annotations: a map, or as Alertmanager 0.33 has it `{"labels": [{"key": …, "value": …}, …]}`.
fn named<T>(node: &Node<'_>, read: impl Fn(&Node<'_>) -> Result<T, Refusal>) -> Result<T, Refusal> {
    let Some(list) = node.field("labels").filter(|list| list.value.is_array()) else { return read(node) };
    let mut map = Map::new();
    for pair in list.items("labels")? {
        pair.object("a label")?;
        let text = |name: &str| pair.field(name).map_or(Ok(String::new()), |text| text.string().map(str::to_owned));
        map.insert(text("key")?, text("value")?.into());
    }
    let map = Value::Object(map);
    read(&Node::root(&map)).map_err(|refusal| Refusal { path: refusal.path.replacen('$', &list.path(), 1), ..refusal })
}

/// A number of 64 bits, which protobuf's JSON writes as text, as Alertmanager writes it elsewhere.
fn hexadecimal(node: &Node<'_>) -> Result<String, Refusal> {
    let number = match node.value.as_u64() {
        Some(number) => Some(number),
        None => node.string()?.parse().ok(),
    };
    let number: u64 = number.ok_or_else(|| {
        node.refuse(format!("{} is no fingerprint", node.found()), "send it as Alertmanager does, a decimal number")
    })?;
    Ok(format!("{number:016x}"))
}

/// Protobuf's JSON leaves out what is false.
fn truth(parent: &Node<'_>, name: &str) -> Result<bool, Refusal> {
    let Some(node) = parent.field(name) else { return Ok(false) };
    node.value
        .as_bool()
        .ok_or_else(|| node.refuse(format!("expected true or false, found {}", node.found()), "send one"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protobuf_is_refused_with_the_mend() {
        // {timestamp: {seconds: 1795424405}, instance: "am-0"}: begins with what JSON takes for a line's end.
        let event = b"\x0a\x06\x08\x95\xb1\x90\xd8\x06\x12\x04am-0";
        let refusal = read(event, &Rules::default(), EventTime(0)).unwrap_err();
        assert!(refusal.mend.contains("`format: json`"), "{refusal}");
    }
}
