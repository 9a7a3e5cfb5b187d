//! Where facts from outside go, who may send them, how they are read, and how much is too much.
//!
//! The types are used by `ingest` as they stand, so that a default is written once. What the labels of an alert mean, and how
//! a payload is read, is not here.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::super::template::Template;
use super::super::yaml::Located;
use super::{GitHub, Grafana, Http, JsonMapping, PagerDuty, Sns, SourceTopic, topics};

#[derive(Clone, Debug, Deserialize)]
pub struct Ingest {
    pub alerts: Located<String>,
    pub deploys: Located<String>,
    /// Where requests are kept as they were received.
    pub raw: Option<Located<String>>,
    /// Where what the calendars of `rotations` say goes.
    pub rotations: Option<Located<String>>,
    /// Where silences are kept. With it Alertmanager's API shows what there is, and takes silences.
    pub silences: Option<Located<String>>,
    /// Where it is told whom they cover.
    pub responses: Option<Located<String>>,
    /// Where samples go that a trend rule selects. Without it none are taken.
    pub samples: Option<Located<String>>,
    /// The bearer token of every endpoint that writes, and of those that show alerts.
    pub token: Option<Template>,
    /// Instead of a token: whoever reaches the port may send.
    #[serde(default)]
    pub open: bool,
    #[serde(default)]
    pub mapping: Mapping,
    #[serde(default)]
    pub limits: Limits,
    #[serde(default)]
    pub capacity: Capacity,
    pub grafana: Option<Grafana>,
    pub github: Option<GitHub>,
    pub pagerduty: Option<PagerDuty>,
    pub sns: Option<Sns>,
    /// By the name that ends the path.
    #[serde(default)]
    pub json: BTreeMap<String, JsonMapping>,
    /// Topics of others.
    #[serde(default)]
    pub kafka: Vec<SourceTopic>,
}

/// Names of labels, the first one borne wins.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct Mapping {
    pub service: Vec<String>,
    /// The service of an alert that bears none of these labels.
    pub service_fallback: String,
    pub environment: Vec<String>,
    pub namespace: Vec<String>,
    /// Annotations, then labels, that hold the measured value as a plain number.
    pub value: Vec<String>,
}

impl Default for Mapping {
    fn default() -> Self {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            service: names(&["service", "app", "app_kubernetes_io_name", "job"]),
            service_fallback: "unknown".to_owned(),
            environment: names(&["environment", "env"]),
            namespace: names(&["namespace", "kubernetes_namespace"]),
            value: names(&["value"]),
        }
    }
}

/// What is too much of one fact. Identity (labels, ids) beyond it is refused; prose (annotations, links) is cut, for an alert
/// must not get lost over its description.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Elements in one payload.
    pub items_max: usize,
    /// Labels of one alert, and annotations of one alert.
    pub labels_max: usize,
    pub label_name_bytes_max: usize,
    pub label_value_bytes_max: usize,
    pub annotation_bytes_max: usize,
    /// Ids, names, versions, links.
    pub text_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            items_max: 2_000,
            labels_max: 64,
            label_name_bytes_max: 128,
            label_value_bytes_max: 2_048,
            annotation_bytes_max: 8_192,
            text_bytes_max: 2_048,
        }
    }
}

/// How much is taken at once.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct Capacity {
    /// Of one request; more is answered with 413.
    pub body_bytes_max: usize,
    /// Of all requests that are being answered; more is answered with 503.
    pub inflight_bytes_max: usize,
    pub connections_max: usize,
    /// Within this time a body must have arrived.
    pub body_timeout_ms: u32,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            body_bytes_max: 1024 * 1024,
            inflight_bytes_max: 32 * 1024 * 1024,
            connections_max: 512,
            body_timeout_ms: 10_000,
        }
    }
}

impl Capacity {
    pub fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.body_timeout_ms.into())
    }
}

impl Ingest {
    /// Each with its path in front.
    pub fn problems(&self, http: &Http) -> Vec<String> {
        let mut problems = Vec::new();
        match (&self.token, self.open) {
            (None, false) => problems.push(
                "ingest: it does not say who may send; write `token: ${env:NAME}`, or `open: true` for everybody on this \
                 machine"
                    .to_owned(),
            ),
            (Some(_), true) => problems.push(
                "ingest.open: there is a token too; take out `open`, or the token if nothing shall be asked of a sender"
                    .to_owned(),
            ),
            _ => {}
        }
        if self.open && self.token.is_none() && http.address().is_some_and(|address| !address.ip().is_loopback()) {
            problems.push(format!(
                "ingest.open: {} can be reached from outside, and nothing would be asked of a sender; set a token, or let \
                 `http.listen` be on 127.0.0.1",
                http.listen
            ));
        }
        if self.silences.is_some() != self.responses.is_some() {
            problems.push(
                "ingest: `silences` and `responses` go together: whom a silence covers is told on the other; one of them is \
                 missing"
                    .to_owned(),
            );
        }
        problems.extend(self.mapping.problems());
        problems.extend(self.grafana.iter().flat_map(Grafana::problems));
        problems.extend(self.github.iter().flat_map(GitHub::problems));
        problems.extend(self.pagerduty.iter().filter_map(PagerDuty::problems));
        problems.extend(self.sns.iter().flat_map(Sns::problems));
        problems.extend(self.json.iter().flat_map(|(name, mapping)| mapping.problems(name)));
        problems.extend(topics::problems(&self.kafka, self.samples.is_some()));
        let (limits, capacity) = (&self.limits, &self.capacity);
        let least_one = [
            ("limits.items_max", limits.items_max),
            ("limits.labels_max", limits.labels_max),
            ("limits.label_name_bytes_max", limits.label_name_bytes_max),
            ("limits.label_value_bytes_max", limits.label_value_bytes_max),
            ("limits.annotation_bytes_max", limits.annotation_bytes_max),
            ("limits.text_bytes_max", limits.text_bytes_max),
            ("capacity.body_bytes_max", capacity.body_bytes_max),
            ("capacity.connections_max", capacity.connections_max),
            ("capacity.body_timeout_ms", capacity.body_timeout_ms as usize),
        ];
        let zero = least_one.into_iter().filter(|(_, value)| *value == 0);
        problems.extend(zero.map(|(path, _)| format!("ingest.{path}: must be at least 1")));
        if capacity.inflight_bytes_max < capacity.body_bytes_max {
            problems.push(format!(
                "ingest.capacity.inflight_bytes_max: one body may take {} bytes, so all together need at least as many",
                capacity.body_bytes_max
            ));
        }
        problems
    }

    /// Options that hold secrets, each with its path.
    pub fn secrets(&self) -> impl Iterator<Item = (String, &Template)> {
        let secrets = [
            ("ingest.token", self.token.as_ref()),
            ("ingest.grafana.secret", self.grafana.as_ref().map(|grafana| &grafana.secret)),
            ("ingest.github.secret", self.github.as_ref().map(|github| &github.secret)),
        ];
        let keys = self.pagerduty.iter().flat_map(|pagerduty| &pagerduty.services);
        let keys = keys.map(|(service, key)| (format!("ingest.pagerduty.services.{service}"), key));
        secrets.into_iter().filter_map(|(path, secret)| Some((path.to_owned(), secret?))).chain(keys)
    }

    /// Each with its path in front.
    pub fn warnings(&self) -> Option<String> {
        let warning = "ingest.open: whoever can reach the port on this machine may send alerts and deploys; set a token \
                       where others work too";
        self.open.then(|| warning.to_owned())
    }
}

impl Mapping {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.service_fallback.is_empty() {
            problems.push(
                "ingest.mapping.service_fallback: every alert has a service; name the one of those that bear no label of it"
                    .to_owned(),
            );
        }
        let lists = [
            ("service", &self.service),
            ("environment", &self.environment),
            ("namespace", &self.namespace),
            ("value", &self.value),
        ];
        for (name, labels) in lists {
            if labels.iter().any(String::is_empty) {
                problems.push(format!("ingest.mapping.{name}: a label has a name; take the empty one out"));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::catalog::catalog;
    use crate::topology::compile::compile;
    use crate::topology::settings::{Settings, Start, TopicFormat};
    use crate::topology::spec::SourceFile;

    /// What is said of `http` and of options of `ingest`, and the settings if they can run.
    fn told(listen: &str, ingest: &str) -> (Vec<String>, Option<Settings>) {
        let text = format!(
            "application: night\nhttp: {{ listen: '{listen}' }}\ntopics:\n  a.b.v1: {{ fact: alert, partitions: 1 }}\n  c.d.v1: {{ \
             fact: deploy, partitions: 1 }}\ningest:\n  alerts: a.b.v1\n  deploys: c.d.v1\n{ingest}"
        );
        let compiled = compile(&[SourceFile { name: "a.yaml".to_owned(), text }], &catalog());
        let problems = compiled.problems.iter().map(ToString::to_string).collect();
        (problems, compiled.topology.map(|topology| topology.settings))
    }

    #[test]
    fn who_may_send_is_said_and_open_is_for_loopback() {
        let one = |listen: &str, ingest: &str| {
            let (problems, settings) = told(listen, ingest);
            assert!(problems.len() < 2, "{problems:?}");
            (problems.into_iter().next().unwrap_or_default(), settings.is_some())
        };
        let (said, runs) = one("127.0.0.1:8080", "");
        assert!(said.starts_with("a.yaml:7:3: ingest: it does not say who may send") && !runs, "{said}");
        let (said, runs) = one("[::1]:8080", "  open: true\n");
        assert!(said.starts_with("a.yaml:9:9: warning: ingest.open: whoever can reach the port") && runs, "{said}");
        let (said, runs) = one("0.0.0.0:8080", "  open: true\n");
        assert!(
            said.starts_with("a.yaml:9:9: ingest.open: 0.0.0.0:8080 can be reached from outside") && !runs,
            "{said}"
        );
        let (said, runs) = one("0.0.0.0:8080", "  open: true\n  token: ${env:T}\n");
        assert!(said.starts_with("a.yaml:9:9: ingest.open: there is a token too") && !runs, "{said}");
        assert_eq!(one("0.0.0.0:8080", "  token: ${env:T}\n"), (String::new(), true));
    }

    #[test]
    fn silences_and_responses_go_together() {
        let topics = |ingest: &str| {
            let text = format!(
                "application: night\ntopics:\n  a.b.v1: {{ fact: alert, partitions: 1 }}\n  c.d.v1: {{ fact: deploy, partitions: 1 }}\n  \
                 e.f.v1: {{ fact: silence, partitions: 1, cleanup: compact }}\n  g.h.v1: {{ fact: response, partitions: 1 }}\ningest:\n  \
                 alerts: a.b.v1\n  deploys: c.d.v1\n  token: ${{env:T}}\n{ingest}"
            );
            let compiled = compile(&[SourceFile { name: "a.yaml".to_owned(), text }], &catalog());
            compiled.problems.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(topics("  silences: e.f.v1\n  responses: g.h.v1\n"), Vec::<String>::new());
        assert!(
            topics("  silences: e.f.v1\n").iter().any(|said| said.contains("`silences` and `responses` go together"))
        );
        let swapped = topics("  silences: g.h.v1\n  responses: e.f.v1\n");
        assert!(
            swapped.iter().any(|said| said.contains("wants `silence`, but `g.h.v1` carries `response`")),
            "{swapped:?}"
        );
    }

    #[test]
    fn mapping_limits_and_capacity_are_read_over_their_defaults() {
        let (problems, settings) = told(
            "127.0.0.1:8080",
            "  token: ${env:T}\n  mapping: { service: [team] }\n  limits: { labels_max: 5 }\n  capacity: { body_bytes_max: 10 }\n",
        );
        assert_eq!(problems, Vec::<String>::new());
        let ingest = settings.and_then(|settings| settings.ingest).expect("a section");
        assert_eq!(ingest.mapping, Mapping { service: vec!["team".to_owned()], ..Mapping::default() });
        assert_eq!(ingest.limits, Limits { labels_max: 5, ..Limits::default() });
        assert_eq!(ingest.capacity, Capacity { body_bytes_max: 10, ..Capacity::default() });
    }

    #[test]
    fn what_cannot_be_meant_is_told_at_its_place() {
        let (problems, _) = told(
            "127.0.0.1:8080",
            "  token: ${env:T}\n  mapping: { service_fallback: '', value: [''] }\n  limits: { items_max: 0 }\n  capacity: { \
             inflight_bytes_max: 5 }\n",
        );
        let begins = [
            "a.yaml:10:32: ingest.mapping.service_fallback: every alert has a service",
            "a.yaml:10:43: ingest.mapping.value: a label has a name",
            "a.yaml:11:24: ingest.limits.items_max: must be at least 1",
            "a.yaml:12:35: ingest.capacity.inflight_bytes_max: one body may take 1048576 bytes",
        ];
        assert_eq!(problems.len(), begins.len(), "{problems:#?}");
        for (problem, begin) in problems.iter().zip(begins) {
            assert!(problem.starts_with(begin), "{problem}");
        }
    }

    #[test]
    fn senders_with_a_proof_of_their_own_are_read_and_checked() {
        let (problems, _) = told(
            "127.0.0.1:8080",
            "  token: ${env:T}\n  grafana: { secret: plain-text, header: 'X Sig' }\n  github:\n    secret: ${env:G}\n    services: \
             { acme/checkout-api: checkout, acme: web, acme/web: '' }\n  \
             pagerduty: { services: { checkout: plain } }\n  sns: { topics: [alarms] }\n",
        );
        let begins = [
            "a.yaml:10:22: ingest.grafana.secret: a secret must not stand in a file",
            "a.yaml:10:42: ingest.grafana.header: this is no name of a header",
            "a.yaml:13:52: ingest.github.services.acme: this is no repository; write it as owner/name",
            "a.yaml:13:67: ingest.github.services.acme/web: name the service",
            "a.yaml:14:38: ingest.pagerduty.services.checkout: a secret must not stand in a file",
            "a.yaml:15:19: ingest.sns.topics[0]: `alarms` is no topic",
        ];
        assert_eq!(problems.len(), begins.len(), "{problems:#?}");
        for (problem, begin) in problems.iter().zip(begins) {
            assert!(problem.starts_with(begin), "{problem}");
        }
    }

    #[test]
    fn topics_of_others_are_not_ours_and_are_named_once() {
        let (problems, settings) = told(
            "127.0.0.1:8080",
            "  token: ${env:T}\n  kafka:\n    - { topic: argo.cdevents, format: cloudevents }\n    - { topic: Alertmanager_Events, \
             format: alertmanager-events, from: earliest }\n",
        );
        assert_eq!(problems, Vec::<String>::new());
        let read: Vec<_> = settings.iter().flat_map(Settings::sources).map(|at| (at.format, at.from)).collect();
        let expected = [(TopicFormat::CloudEvents, Start::Latest), (TopicFormat::AlertmanagerEvents, Start::Earliest)];
        assert_eq!(read, expected);
        let (problems, _) = told(
            "127.0.0.1:8080",
            "  token: ${env:T}\n  kafka:\n    - { topic: x, format: cloudevents }\n    - { topic: x, format: alertmanager-events }\n    \
             - { topic: a.b.v1, format: cloudevents }\n    - { topic: night.journal.v1, format: cloudevents }\n    \
             - { topic: 'a b', format: cloudevents }\n",
        );
        let begins = [
            "a.yaml:12:16: ingest.kafka[1].topic: `x` is named twice",
            "a.yaml:13:16: `a.b.v1` is a topic of fairlead's own",
            "a.yaml:14:16: `night.journal.v1` is a topic of fairlead's own",
            "a.yaml:15:16: `a b` is no legal name for a topic",
        ];
        assert_eq!(problems.len(), begins.len(), "{problems:#?}");
        for (problem, begin) in problems.iter().zip(begins) {
            assert!(problem.starts_with(begin), "{problem}");
        }
        let (problems, _) =
            told("127.0.0.1:8080", "  token: ${env:T}\n  kafka: [{ topic: x, format: prometheus-json }]\n");
        let [problem] = &problems[..] else { panic!("{problems:?}") };
        assert!(problem.contains("ingest.kafka[0].format: samples have nowhere to go; write `samples:"), "{problem}");
        let (problems, _) =
            told("127.0.0.1:8080", "  token: ${env:T}\n  kafka: [{ topic: x, format: avro, from: now }]\n");
        assert!(problems.iter().any(|problem| problem.contains("avro")), "{problems:?}");
    }

    #[test]
    fn mappings_of_json_are_checked_before_anything_is_sent() {
        let (problems, _) = told(
            "127.0.0.1:8080",
            "  token: ${env:T}\n  json:\n    Zabbix: { alerts: { labels: { service: /a } } }\n    ci: {}\n    b:\n      alerts: { each: a.b, \
             labels: { alertname: /a, b: /a~2 } }\n    c:\n      alerts: { labels: { alertname: x }, resolved: { at: /s, is: [] } }\n",
        );
        let begins = [
            "a.yaml:11:13: ingest.json.Zabbix: the name is part of the path",
            "a.yaml:11:33: ingest.json.Zabbix.alerts.labels: an alert has a name",
            "a.yaml:12:9: ingest.json.ci: say what it sends",
            "a.yaml:14:23: `a.b` is no JSON pointer; write /a/b",
            "a.yaml:14:56: `/a~2` is no JSON pointer",
            "a.yaml:16:67: ingest.json.c.alerts.resolved.is: nothing would do",
        ];
        assert_eq!(problems.len(), begins.len(), "{problems:#?}");
        for (problem, begin) in problems.iter().zip(begins) {
            assert!(problem.starts_with(begin), "{problem}");
        }
    }

    /// Lines that are commented out in the shipped file show defaults: they are these.
    #[test]
    fn the_shipped_file_shows_the_defaults() {
        let shipped = include_str!("../../../topology/app.yaml");
        let shows = |name: &str, value: usize| shipped.contains(&format!("#   {name}: {value} "));
        let (limits, capacity) = (Limits::default(), Capacity::default());
        for (name, value) in [
            ("items_max", limits.items_max),
            ("labels_max", limits.labels_max),
            ("text_bytes_max", limits.text_bytes_max),
            ("body_bytes_max", capacity.body_bytes_max),
            ("inflight_bytes_max", capacity.inflight_bytes_max),
            ("connections_max", capacity.connections_max),
            ("body_timeout_ms", capacity.body_timeout_ms as usize),
        ] {
            assert!(shows(name, value), "{name}: {value}");
        }
        assert!(shipped.contains(&format!("#   service: [{}]\n", Mapping::default().service.join(", "))));
        assert!(shipped.contains("#   header: X-Grafana-Alerting-Signature\n"));
    }
}
