//! Where facts from outside go, who may send them, how they are read, and how much is too much.
//!
//! The types are used by `ingest` as they stand, so that a default is written once. What the labels of an alert mean, and how
//! a payload is read, is not here.

use std::time::Duration;

use serde::Deserialize;

use super::super::template::Template;
use super::super::yaml::Located;
use super::Http;

#[derive(Clone, Debug, Deserialize)]
pub struct Ingest {
    pub alerts: Located<String>,
    pub deploys: Located<String>,
    /// The bearer token of every endpoint that writes.
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
        if self.open && http.address().is_some_and(|address| !address.ip().is_loopback()) {
            problems.push(format!(
                "ingest.open: {} can be reached from outside, and nothing would be asked of a sender; set a token, or let \
                 `http.listen` be on 127.0.0.1",
                http.listen
            ));
        }
        problems.extend(self.mapping.problems());
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
