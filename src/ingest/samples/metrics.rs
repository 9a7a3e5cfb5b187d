//! What the doors of samples count, in Prometheus' terms.

use prometheus::{IntCounterVec, Opts, Registry};

use super::door::Sorted;

#[derive(Clone)]
pub struct Metrics {
    received: IntCounterVec,
    kept: IntCounterVec,
    dropped: IntCounterVec,
}

impl Metrics {
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let received = Opts::new(
            "fairlead_ingest_samples_received_total",
            "Samples, histograms and exemplars of requests that were answered, by endpoint.",
        );
        let kept = Opts::new(
            "fairlead_ingest_samples_kept_total",
            "Samples stored in Kafka, for a trend rule selects their series.",
        );
        let dropped = Opts::new("fairlead_ingest_samples_dropped_total", "The others, by endpoint and reason.");
        let metrics = Self {
            received: IntCounterVec::new(received, &["endpoint"])?,
            kept: IntCounterVec::new(kept, &["endpoint"])?,
            dropped: IntCounterVec::new(dropped, &["endpoint", "reason"])?,
        };
        for counter in [&metrics.received, &metrics.kept, &metrics.dropped] {
            registry.register(Box::new(counter.clone()))?;
        }
        Ok(metrics)
    }

    /// Called once they are stored: a request that is sent again is not counted twice.
    pub fn stored(&self, endpoint: &str, sorted: &Sorted) {
        self.received.with_label_values(&[endpoint]).inc_by(sorted.counts.received);
        self.kept.with_label_values(&[endpoint]).inc_by(sorted.kept.len() as u64);
        for (reason, count) in sorted.counts.of_each_reason() {
            self.dropped.with_label_values(&[endpoint, reason.name()]).inc_by(count);
        }
    }
}
