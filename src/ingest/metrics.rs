//! What the endpoints count, in Prometheus' terms; no metric of ingest is named elsewhere.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};

use super::{Endpoint, Reading};
use crate::event::FactKind;

#[derive(Clone)]
pub(super) struct Metrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    facts: IntCounterVec,
    elements: IntCounterVec,
    pub inflight_bytes: IntGauge,
}

impl Metrics {
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = Opts::new("fairlead_ingest_requests_total", "Requests answered, by endpoint and status code.");
        let seconds = HistogramOpts::new("fairlead_ingest_request_seconds", "Time until a request was answered.")
            .buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);
        let facts = Opts::new("fairlead_ingest_facts_total", "Facts stored in Kafka, by kind.");
        let elements = Opts::new(
            "fairlead_ingest_elements_total",
            "Elements of payloads that became no fact: refused, ignored, repeated, or omitted by their sender's own limit; and \
             requests that were too large to be kept (not_kept).",
        );
        let inflight = Opts::new("fairlead_ingest_inflight_bytes", "Budget taken by requests that are being answered.");
        let metrics = Self {
            requests: IntCounterVec::new(requests, &["endpoint", "code"])?,
            seconds: HistogramVec::new(seconds, &["endpoint"])?,
            facts: IntCounterVec::new(facts, &["fact"])?,
            elements: IntCounterVec::new(elements, &["endpoint", "outcome"])?,
            inflight_bytes: IntGauge::with_opts(inflight)?,
        };
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.facts.clone()))?;
        registry.register(Box::new(metrics.elements.clone()))?;
        registry.register(Box::new(metrics.inflight_bytes.clone()))?;
        Ok(metrics)
    }

    /// `path` is the pattern of its endpoint.
    pub fn answered(&self, path: &'static str, code: u16, took: Duration) {
        self.requests.with_label_values(&[path, &code.to_string()]).inc();
        self.seconds.with_label_values(&[path]).observe(took.as_secs_f64());
    }

    /// Called once it is stored.
    pub fn fact(&self, kind: FactKind) {
        self.facts.with_label_values(&[kind.name()]).inc();
    }

    /// Called once the facts are stored.
    pub fn stored(&self, endpoint: Endpoint, reading: &Reading) {
        for fact in &reading.facts {
            self.fact(fact.kind());
        }
        self.element(endpoint, "refused", reading.refusals() as u64);
        self.element(endpoint, "ignored", reading.ignored as u64);
        self.element(endpoint, "omitted_by_sender", reading.omitted_by_sender);
    }

    /// A delivery that was stored before.
    pub fn repeated(&self, endpoint: Endpoint) {
        self.element(endpoint, "repeated", 1);
    }

    /// A request that is too large to be kept as it was.
    pub fn not_kept(&self, endpoint: Endpoint) {
        self.element(endpoint, "not_kept", 1);
    }

    fn element(&self, endpoint: Endpoint, outcome: &str, count: u64) {
        if count > 0 {
            self.elements.with_label_values(&[endpoint.path(), outcome]).inc_by(count);
        }
    }
}
