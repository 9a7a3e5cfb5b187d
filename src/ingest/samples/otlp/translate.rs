//! One point of OpenTelemetry as samples of Prometheus.
//!
//! A histogram is `_bucket` (cumulative, by `le`), `_sum` and `_count`; a summary is its quantiles, `_sum` and `_count`; a point without a
//! recorded value is a stale marker. Beside a point's own attributes a series bears what [`FROM_RESOURCE`] takes from its resource, unless
//! it has a label of that name. What is not supported is counted only if a rule selects the series of that name and those labels.

use std::borrow::Cow;

use super::super::door::{Reason, Sorting};
use super::super::{Label, Unreadable, add};
use super::model::{AnyValue, Attribute, Point, Temporality};
use super::naming::{self, Of};
use crate::event::Text;
use crate::trend::intake::STALE;
use crate::trend::series::NAME;

/// Labels, and the first attribute of the resource that is there becomes it. `job` is made of two.
const FROM_RESOURCE: [(&str, &[&str]); 4] = [
    ("service", &["service.name"]),
    ("instance", &["service.instance.id"]),
    ("environment", &["deployment.environment.name", "deployment.environment"]),
    ("namespace", &["k8s.namespace.name"]),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Gauge,
    Sum,
    Histogram,
    ExponentialHistogram,
    Summary,
}

/// All points of one metric of one resource.
pub struct Points<'a> {
    name: String,
    kind: Kind,
    is_cumulative: bool,
    resource: Vec<Label<'a>>,
}

impl<'a> Points<'a> {
    pub fn new(
        (name, unit): (&str, &str),
        kind: Kind,
        (temporality, is_monotonic): (Temporality, bool),
        resource: &[Attribute<'a>],
    ) -> Self {
        let of = match kind {
            Kind::Gauge => Of::Gauge,
            Kind::Sum if is_monotonic => Of::Counter,
            _ => Of::Other,
        };
        let is_cumulative = match kind {
            Kind::Gauge | Kind::Summary => true,
            Kind::Sum | Kind::Histogram | Kind::ExponentialHistogram => temporality.is_cumulative,
        };
        Self { name: naming::metric(name, unit, of), kind, is_cumulative, resource: of_resource(resource) }
    }

    pub fn tell(&self, point: &Point<'_>, sorting: &mut Sorting<'_>) -> Result<(), Unreadable> {
        let Some(labels) = self.labels(point) else {
            let of_resource = sorting.series(&named(&self.resource, &self.name, "", None));
            return sorting.unsupported(&of_resource, Reason::Attribute, 1);
        };
        let plain = sorting.series(&named(&labels, &self.name, "", None));
        sorting.unsupported(&plain, Reason::Exemplar, point.exemplar_count)?;
        match self.kind {
            Kind::ExponentialHistogram => sorting.unsupported(&plain, Reason::NativeHistogram, 1),
            Kind::Gauge | Kind::Sum if self.is_cumulative => {
                match stale(point).or(point.as_double).or(point.as_int.map(|value| value as f64)) {
                    Some(value) => sorting.sample(&plain, at_ms(point), value),
                    None => sorting.unsupported(&plain, Reason::NoValue, 1),
                }
            }
            Kind::Histogram if self.is_cumulative => self.histogram(point, &labels, sorting),
            Kind::Summary => self.summary(point, &labels, sorting),
            Kind::Gauge | Kind::Sum => sorting.unsupported(&plain, Reason::Delta, 1),
            Kind::Histogram => {
                let count = sorting.series(&named(&labels, &self.name, "_count", None));
                sorting.unsupported(&count, Reason::Delta, 1)
            }
        }
    }

    fn histogram(&self, point: &Point<'_>, labels: &[Label<'_>], sorting: &mut Sorting<'_>) -> Result<(), Unreadable> {
        self.ends(point, labels, sorting)?;
        let (counts, bounds) = (&point.bucket_counts, &point.explicit_bounds);
        if !counts.is_empty() && counts.len() != bounds.len() + 1 {
            let infinite = sorting.series(&named(labels, &self.name, "_bucket", Some(("le", "+Inf".into()))));
            return sorting.unsupported(&infinite, Reason::NoValue, 1);
        }
        let mut below = 0_i64;
        for (bound, count) in bounds.iter().zip(counts) {
            below = below.saturating_add(*count);
            self.one(point, labels, ("_bucket", Some(("le", number(*bound)))), below as f64, sorting)?;
        }
        self.one(point, labels, ("_bucket", Some(("le", "+Inf".into()))), point.count as f64, sorting)
    }

    fn summary(&self, point: &Point<'_>, labels: &[Label<'_>], sorting: &mut Sorting<'_>) -> Result<(), Unreadable> {
        self.ends(point, labels, sorting)?;
        point.quantile_values.iter().try_for_each(|quantile| {
            let label = Some(("quantile", number(quantile.quantile)));
            self.one(point, labels, ("", label), quantile.value, sorting)
        })
    }

    /// What histograms and summaries both have.
    fn ends(&self, point: &Point<'_>, labels: &[Label<'_>], sorting: &mut Sorting<'_>) -> Result<(), Unreadable> {
        if let Some(sum) = point.sum {
            self.one(point, labels, ("_sum", None), sum, sorting)?;
        }
        self.one(point, labels, ("_count", None), point.count as f64, sorting)
    }

    fn one(
        &self,
        point: &Point<'_>,
        labels: &[Label<'_>],
        (suffix, more): (&str, Option<(&'static str, Cow<'static, str>)>),
        value: f64,
        sorting: &mut Sorting<'_>,
    ) -> Result<(), Unreadable> {
        let choice = sorting.series(&named(labels, &self.name, suffix, more));
        sorting.sample(&choice, at_ms(point), stale(point).unwrap_or(value))
    }

    /// `None`: an attribute is no label's value, and without it series would fall together.
    fn labels<'p>(&'p self, point: &'p Point<'_>) -> Option<Vec<Label<'p>>> {
        let mut attributes: Vec<&Attribute<'_>> = point.attributes.iter().collect();
        // Of keys that fall together the values stand in the order of the keys.
        attributes.sort_by(|a, b| a.key.cmp(&b.key));
        let mut labels: Vec<Label<'p>> = Vec::with_capacity(attributes.len() + self.resource.len() + 2);
        for attribute in attributes {
            let (name, value) = (naming::label(&attribute.key), text(&attribute.value)?);
            match labels.iter_mut().find(|(known, _)| **known == *name) {
                Some((_, joined)) => *joined = format!("{joined};{value}").into(),
                None => add(&mut labels, (Text(name), Text(value))),
            }
        }
        for (name, value) in &self.resource {
            if !labels.iter().any(|(known, _)| known == name) {
                add(&mut labels, (Text::from(&**name), Text::from(&**value)));
            }
        }
        Some(labels)
    }
}

fn named<'l>(
    labels: &'l [Label<'_>],
    name: &'l str,
    suffix: &str,
    more: Option<(&'static str, Cow<'static, str>)>,
) -> Vec<Label<'l>> {
    let name = if suffix.is_empty() { Text::from(name) } else { Text::from(format!("{name}{suffix}")) };
    let own = labels.iter().map(|(name, value)| (Text::from(&**name), Text::from(&**value)));
    let more = more.map(|(name, value)| (Text::from(name), Text(value)));
    std::iter::once((Text::from(NAME), name)).chain(own).chain(more).collect()
}

fn of_resource<'a>(resource: &[Attribute<'a>]) -> Vec<Label<'a>> {
    let find = |key: &str| -> Option<Text<'a>> {
        let found = resource.iter().find(|attribute| *attribute.key == *key)?;
        let told = match &found.value.string_value {
            Some(told) => told.clone(),
            None => text(&found.value)?.into_owned().into(),
        };
        (!told.is_empty()).then_some(told)
    };
    let mut labels: Vec<Label<'a>> = Vec::new();
    for (label, keys) in FROM_RESOURCE {
        if let Some(value) = keys.iter().find_map(|key| find(key)) {
            labels.push((label.into(), value));
        }
    }
    if let Some(name) = find("service.name") {
        let job = match find("service.namespace") {
            Some(namespace) => format!("{namespace}/{name}").into(),
            None => name,
        };
        labels.push(("job".into(), job));
    }
    labels
}

fn text<'v>(value: &'v AnyValue<'_>) -> Option<Cow<'v, str>> {
    match value {
        AnyValue { string_value: Some(told), .. } => Some(Cow::Borrowed(told)),
        AnyValue { bool_value: Some(told), .. } => Some(if *told { "true".into() } else { "false".into() }),
        AnyValue { int_value: Some(told), .. } => Some(told.to_string().into()),
        AnyValue { double_value: Some(told), .. } => Some(number(*told)),
        _ => None,
    }
}

/// As Prometheus writes bounds and quantiles.
fn number(value: f64) -> Cow<'static, str> {
    if value == f64::INFINITY {
        "+Inf".into()
    } else if value == f64::NEG_INFINITY {
        "-Inf".into()
    } else {
        value.to_string().into()
    }
}

fn at_ms(point: &Point<'_>) -> i64 {
    point.time_unix_nano / 1_000_000
}

/// As Prometheus says that a series has ended.
fn stale(point: &Point<'_>) -> Option<f64> {
    (point.flags & Point::NO_RECORDED_VALUE != 0).then_some(f64::from_bits(STALE))
}
