//! Which label says what: service, environment, namespace, value; and the reading of label sets.
//!
//! Invariants: an empty label is no label, as in Prometheus. Labels are taken byte for byte, for the fingerprint is made of
//! them. Every alert has a service: the first of the configured labels that it bears, or the fallback.

use super::details::cut;
use super::json::{Node, Refusal, shortened};
use super::{Limits, Mapping};
use crate::event::{Alert, AlertStatus, Labels, Mention, Text};

/// What an alert is called that bears no `alertname`.
const UNNAMED: &str = "unnamed";

impl Mapping {
    /// An alert that fires at the epoch, with all that its labels and annotations say.
    pub fn alert(
        &self,
        source: impl Into<Text<'static>>,
        fingerprint: impl Into<Text<'static>>,
        labels: Labels<'static>,
        annotations: Labels<'static>,
    ) -> Alert<'static> {
        Alert {
            source: source.into(),
            fingerprint: fingerprint.into(),
            starts_at_ms: 0,
            ends_at_ms: None,
            status: AlertStatus::Firing,
            service: self.service_of(&labels),
            name: labels.get("alertname").unwrap_or(UNNAMED).to_owned().into(),
            environment: self.environment_of(&labels),
            namespace: self.namespace_of(&labels),
            value: self.value_of(&labels, &annotations),
            generator_url: None,
            labels,
            annotations,
            level: None,
            mention: Mention::Nobody,
            level_reason: None,
            episode: None,
            muted_until_ms: None,
            muted_by: None,
        }
    }

    pub fn service_of(&self, labels: &Labels<'_>) -> Text<'static> {
        first(&self.service, labels).unwrap_or_else(|| self.service_fallback.clone().into())
    }

    pub fn environment_of(&self, labels: &Labels<'_>) -> Option<Text<'static>> {
        first(&self.environment, labels)
    }

    pub fn namespace_of(&self, labels: &Labels<'_>) -> Option<Text<'static>> {
        first(&self.namespace, labels)
    }

    /// `None` too when it is written for people (`1.2k`, `95%`) or is no finite number.
    pub fn value_of(&self, labels: &Labels<'_>, annotations: &Labels<'_>) -> Option<f64> {
        let texts = self.value.iter().filter_map(|name| annotations.get(name).or_else(|| labels.get(name)));
        texts.filter_map(|text| text.trim().parse().ok()).find(|value: &f64| value.is_finite())
    }
}

fn first(names: &[String], labels: &Labels<'_>) -> Option<Text<'static>> {
    let found = names.iter().find_map(|name| labels.get(name))?;
    Some(found.to_owned().into())
}

/// The labels of an alert: at least one, all strings.
pub fn labels(node: &Node<'_>, limits: &Limits) -> Result<Labels<'static>, Refusal> {
    let pairs = pairs(node, "the labels", limits, |value| {
        let text = value.string()?;
        if text.len() > limits.label_value_bytes_max {
            let mend = format!(
                "keep label values within {} bytes; prose belongs in annotations",
                limits.label_value_bytes_max
            );
            return Err(value.refuse(format!("{} bytes are too long for a label", text.len()), mend));
        }
        Ok(text.to_owned())
    })?;
    if pairs.is_empty() {
        return Err(
            node.refuse("an alert without labels has no identity", "send at least \"alertname\" and \"service\"")
        );
    }
    Ok(pairs)
}

/// The annotations of an alert; overlong ones are cut.
pub fn annotations(node: &Node<'_>, limits: &Limits) -> Result<Labels<'static>, Refusal> {
    pairs(node, "the annotations", limits, |value| Ok(cut(value.string()?, limits.annotation_bytes_max)))
}

fn pairs<F>(node: &Node<'_>, what: &str, limits: &Limits, read: F) -> Result<Labels<'static>, Refusal>
where
    F: Fn(&Node<'_>) -> Result<String, Refusal>,
{
    let mut pairs: Vec<(Text<'static>, Text<'static>)> = Vec::new();
    for (name, value) in node.entries(what)? {
        let text = read(&value)?;
        if name.is_empty() || name.len() > limits.label_name_bytes_max {
            let problem = format!("the name {:?} is empty or too long", shortened(name));
            return Err(node.refuse(problem, format!("keep names within {} bytes", limits.label_name_bytes_max)));
        }
        if !text.is_empty() {
            pairs.push((name.to_owned().into(), text.into()));
        }
    }
    if pairs.len() > limits.labels_max {
        let mend = format!("send at most {}", limits.labels_max);
        return Err(node.refuse(format!("{} entries are too many", pairs.len()), mend));
    }
    Ok(pairs.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn set(value: Value) -> Labels<'static> {
        labels(&Node::root(&value), &Limits::default()).unwrap()
    }

    #[test]
    fn the_first_label_borne_names_the_service_and_an_empty_one_does_not() {
        let mapping = Mapping::default();
        assert_eq!(&*mapping.service_of(&set(json!({"job": "node", "app": "web", "service": ""}))), "web");
        assert_eq!(&*mapping.service_of(&set(json!({"alertname": "Watchdog"}))), "unknown");
        let own = Mapping { service: vec!["team".into()], service_fallback: "sre".into(), ..Mapping::default() };
        assert_eq!(&*own.service_of(&set(json!({"service": "web", "team": "payments"}))), "payments");
        assert_eq!(&*own.service_of(&set(json!({"service": "web"}))), "sre");
        let environment = mapping.environment_of(&set(json!({"env": "staging", "environment": "production"})));
        assert_eq!(environment.as_deref(), Some("production"));
    }

    #[test]
    fn the_value_is_a_plain_finite_number_from_the_annotation_or_the_label() {
        let value = |annotation: &str, label: &str| {
            let annotations = [("value".into(), annotation.to_owned().into())].into_iter().collect();
            let labels = [("value".into(), label.to_owned().into())].into_iter().collect();
            Mapping::default().value_of(&labels, &annotations)
        };
        assert_eq!(value(" 1234.5 ", "7"), Some(1234.5));
        assert_eq!(value("1.203k", "7"), None);
        for text in ["NaN", "+Inf", "inf", "1e999", "95%"] {
            assert_eq!(value(text, ""), None, "{text}");
        }
        let labels = set(json!({"value": "3"}));
        assert_eq!(Mapping::default().value_of(&labels, &Labels::default()), Some(3.0));
    }

    #[test]
    fn labels_out_of_bounds_are_refused_and_annotations_are_cut_between_characters() {
        let refused = |value: Value| labels(&Node::root(&value), &Limits::default()).unwrap_err();
        assert!(refused(json!({})).problem.contains("no identity"));
        assert!(refused(json!({"alertname": ""})).problem.contains("no identity"));
        assert_eq!(refused(json!({"alertname": "x".repeat(3_000)})).path, "$.alertname");
        assert!(refused(json!({"x".repeat(200): "1"})).problem.contains("too long"));
        let many: Value = (0..65).map(|n| (format!("l{n}"), json!("1"))).collect::<serde_json::Map<_, _>>().into();
        assert!(refused(many).problem.contains("65 entries"));
        let long = json!({"description": "ü".repeat(5_000), "short": "as it was"});
        let kept = annotations(&Node::root(&long), &Limits::default()).unwrap();
        let description = kept.get("description").unwrap();
        assert!(description.len() <= 8_192 && description.len() > 8_185 && description.ends_with("ü…"));
        assert_eq!(kept.get("short"), Some("as it was"));
    }
}
