//! OpenTelemetry's metrics as its protocol OTLP/HTTP sends them, in protobuf or JSON.
//!
//! | file | says |
//! |---|---|
//! | `model` | what a request is, and its JSON |
//! | `decode` | its protobuf, point by point |
//! | `naming` | what a name and its unit are in Prometheus |
//! | `translate` | what a point is in samples |
//!
//! Gauges, cumulative sums and histograms, and summaries are read. Not here: delta temporality, which means nothing without what came
//! before; exponential histograms; exemplars; scopes, and of resources all that [`translate`] does not name. Each is counted by its name.

mod decode;
mod model;
mod naming;
#[cfg(test)]
mod tests;
mod translate;

use super::Unreadable;
use super::door::{Counts, Reason, Sorting};
use super::protobuf::Writer;
use model::{Metric, Request};
use translate::{Kind, Points};

pub use decode::read as protobuf;

/// Points that were sent in vain. That no rule selects a series is no failure, and exemplars are no points.
const REJECTED: [Reason; 7] = [
    Reason::AbsurdTime,
    Reason::NoSeries,
    Reason::SeriesTooLong,
    Reason::NativeHistogram,
    Reason::Delta,
    Reason::NoValue,
    Reason::Attribute,
];

/// Bounded by the size of the body alone: a point of two bytes becomes one of some hundred.
pub fn json(body: &[u8], sorting: &mut Sorting<'_>) -> Result<(), Unreadable> {
    let request: Request<'_> = serde_json::from_slice(body)
        .map_err(|_| Unreadable::Malformed("this is no ExportMetricsServiceRequest in JSON"))?;
    for of_resource in &request.resource_metrics {
        for metric in of_resource.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
            let Metric { name, unit, gauge, sum, histogram, exponential_histogram, summary } = metric;
            let kinds = [
                (Kind::Gauge, gauge),
                (Kind::Sum, sum),
                (Kind::Histogram, histogram),
                (Kind::ExponentialHistogram, exponential_histogram),
                (Kind::Summary, summary),
            ];
            for (kind, data) in kinds.into_iter().filter_map(|(kind, data)| Some((kind, data.as_ref()?))) {
                let how = (data.aggregation_temporality, data.is_monotonic);
                let points = Points::new((name, unit), kind, how, &of_resource.resource.attributes);
                data.data_points.iter().try_for_each(|point| points.tell(point, sorting))?;
            }
        }
    }
    Ok(())
}

/// `ExportMetricsServiceResponse`: with `partial_success` if something was rejected.
pub fn response_protobuf(counts: &Counts) -> Vec<u8> {
    let mut response = Writer::default();
    if let Some((rejected, why)) = rejected(counts) {
        response.message(1, |partial| {
            partial.uint(1, rejected);
            partial.bytes(2, why.as_bytes());
        });
    }
    response.0
}

pub fn response_json(counts: &Counts) -> serde_json::Value {
    match rejected(counts) {
        Some((rejected, why)) => {
            serde_json::json!({"partialSuccess": {"rejectedDataPoints": rejected.to_string(), "errorMessage": why}})
        }
        None => serde_json::json!({}),
    }
}

/// `google.rpc.Status`, which is what a failure says in protobuf.
pub fn status_protobuf(message: &str) -> Vec<u8> {
    let mut status = Writer::default();
    status.bytes(2, message.as_bytes());
    status.0
}

fn rejected(counts: &Counts) -> Option<(u64, String)> {
    let count = REJECTED.iter().map(|reason| counts.dropped(*reason)).sum();
    (count > 0).then(|| (count, counts.told(&REJECTED)))
}
