//! A detection as an alert: whose it is, what it is called, and what is said of it.

use sha2::{Digest, Sha256};

use super::memory::Open;
use crate::event::{Alert, AlertStatus, Labels, Mention, Text};
use crate::record::EventTime;
use crate::trend::SOURCE;
use crate::trend::chart::Chart;
use crate::trend::rule::Rule;
use crate::trend::series::Series;

/// Of a series of which nothing says whose it is.
const SERVICE_UNKNOWN: &str = "unknown";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    Began,
    Recovering,
    Resumed,
    /// Nothing has changed: a repetition.
    GoesOn,
    Ended,
    /// It ends although nobody saw it being well.
    Cut,
}

/// One telling of a detection.
pub struct Said {
    pub telling: Telling,
    pub taken_at: EventTime,
    pub sparkline: String,
    pub chart: Option<Chart>,
    /// Of a forecast; 0: it is beyond.
    pub crosses_in_secs: Option<i64>,
}

impl Telling {
    pub fn is_end(self) -> bool {
        matches!(self, Self::Ended | Self::Cut)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Began => "began",
            Self::Recovering => "recovering",
            Self::Resumed => "resumed",
            Self::GoesOn => "goes_on",
            Self::Ended | Self::Cut => "ended",
        }
    }

    fn summary(self, reason: &str) -> String {
        match self {
            Self::Began | Self::Resumed | Self::GoesOn | Self::Cut => reason.to_owned(),
            Self::Recovering => format!("recovering; it was: {reason}"),
            Self::Ended => format!("it is well again; it was: {reason}"),
        }
    }
}

/// A detection that begins, of nothing yet.
pub fn open(rule: &Rule, series: &str, taken_at: EventTime) -> Open {
    let series = read(series);
    let label =
        |names: [&str; 2]| names.map(|name| series.label(name).to_owned()).into_iter().find(|value| !value.is_empty());
    Open {
        alert: rule.alert().to_owned(),
        service: rule
            .service
            .clone()
            .or_else(|| label(["service", "job"]))
            .unwrap_or_else(|| SERVICE_UNKNOWN.to_owned()),
        environment: rule.environment.clone().or_else(|| label(["environment", "env"])),
        starts_at_ms: taken_at.0,
        told_at: taken_at,
        reason: String::new(),
        value: None,
    }
}

pub fn told(open: &Open, rule: &str, series: &str, said: Said) -> Alert<'static> {
    let Said { telling, taken_at, sparkline, chart, crosses_in_secs } = said;
    let ends = telling.is_end();
    let fingerprint = fingerprint(rule, series);
    let series = read(series);
    let namespace = ["namespace", "kubernetes_namespace"].into_iter().find_map(|name| series.labels.get(name));
    let annotations = [
        ("summary", Some(telling.summary(&open.reason))),
        ("trend", Some(telling.name().to_owned())),
        ("sparkline", Some(sparkline).filter(|line| !line.is_empty())),
        ("chart", chart.map(|chart| chart.to_text())),
        ("crosses_in_secs", crosses_in_secs.map(|secs| secs.to_string())),
    ];
    let annotations = annotations.into_iter().filter_map(|(name, text)| Some((Text::from(name), Text::from(text?))));
    Alert {
        source: SOURCE.into(),
        fingerprint: fingerprint.into(),
        starts_at_ms: open.starts_at_ms,
        ends_at_ms: ends.then_some(taken_at.0.max(open.starts_at_ms)),
        status: if ends { AlertStatus::Resolved } else { AlertStatus::Firing },
        service: open.service.clone().into(),
        name: open.alert.clone().into(),
        environment: open.environment.clone().map(Text::from),
        namespace: namespace.map(|name| name.to_owned().into()),
        labels: labels(&series, &open.alert),
        annotations: annotations.collect(),
        value: open.value,
        generator_url: None,
        level: None,
        mention: Mention::Nobody,
        level_reason: None,
        episode: None,
        muted_until_ms: None,
        muted_by: None,
    }
}

/// The same for all episodes of a rule and a series.
fn fingerprint(rule: &str, series: &str) -> String {
    let mut hash = Sha256::new();
    hash.update((rule.len() as u64).to_be_bytes());
    hash.update(rule);
    hash.update(series);
    hex::encode(&hash.finalize()[..8])
}

/// A name of its own that a series has keeps what it says, as Prometheus does it.
fn labels(series: &Series<'_>, alert: &str) -> Labels<'static> {
    let own = |name: &str| match name {
        "alertname" | "metric" => format!("exported_{name}"),
        _ => name.to_owned(),
    };
    let of_series = series.labels.iter().map(|(name, value)| (own(name), value.to_owned()));
    let metric = Some(("metric".to_owned(), series.metric.to_string())).filter(|(_, metric)| !metric.is_empty());
    let all = of_series.chain(metric).chain([("alertname".to_owned(), alert.to_owned())]);
    all.map(|(name, value)| (Text::from(name), Text::from(value))).collect()
}

/// It could be read when its rules were chosen.
pub fn read(series: &str) -> Series<'_> {
    Series::parse(series).unwrap_or_else(|_| Series { metric: series.into(), labels: Labels::default() })
}
