//! What the doors count; no metric of answers is named elsewhere.

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

#[derive(Clone)]
pub(super) struct Metrics {
    responses: IntCounterVec,
    seconds: HistogramVec,
}

impl Metrics {
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let responses = Opts::new(
            "fairlead_responses_total",
            "Answers to incidents by their door and what came of them: accepted, refused, failed, ignored.",
        );
        let seconds = HistogramOpts::new("fairlead_responses_seconds", "Time until an answer was durable, or was not.")
            .buckets(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 2.5, 3.0]);
        let metrics = Self {
            responses: IntCounterVec::new(responses, &["door", "outcome"])?,
            seconds: HistogramVec::new(seconds, &["door"])?,
        };
        registry.register(Box::new(metrics.responses.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        Ok(metrics)
    }

    pub fn count(&self, door: &str, outcome: &str, seconds: f64) {
        self.responses.with_label_values(&[door, outcome]).inc();
        self.seconds.with_label_values(&[door]).observe(seconds);
    }
}
