//! What a scrape tells of flows.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

pub struct Families {
    records: IntCounterVec,
    bytes: IntCounterVec,
    moved_times: IntCounterVec,
    lag_records: IntGaugeVec,
    lag_ms: IntGaugeVec,
    commits: IntCounterVec,
    commit_seconds: HistogramVec,
    restarts: IntCounterVec,
    stopped: IntGaugeVec,
}

/// Of one flow.
pub struct Metrics {
    pub commits: IntCounter,
    pub commit_seconds: Histogram,
    pub restarts: IntCounter,
    pub stopped: IntGauge,
    flow: String,
    records: IntCounterVec,
    bytes: IntCounterVec,
    moved_times: IntCounterVec,
    lag_records: IntGaugeVec,
    lag_ms: IntGaugeVec,
}

/// Of one source topic in one shard.
#[derive(Clone)]
pub struct OfTopic {
    pub records: IntCounter,
    pub bytes: IntCounter,
    pub moved_times: IntCounter,
    pub lag_records: IntGauge,
    pub lag_ms: IntGauge,
}

impl Families {
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let family = IntCounterVec::new(Opts::new(format!("fairlead_mirror_{name}"), help), labels)?;
            registry.register(Box::new(family.clone()))?;
            Ok::<_, prometheus::Error>(family)
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let family = IntGaugeVec::new(Opts::new(format!("fairlead_mirror_{name}"), help), labels)?;
            registry.register(Box::new(family.clone()))?;
            Ok::<_, prometheus::Error>(family)
        };
        let (topic, shard) = (["flow", "topic"], ["flow", "topic", "shard"]);
        let took = HistogramOpts::new(
            "fairlead_mirror_commit_seconds",
            "From the first record of a transaction to its commit",
        );
        let took = took.buckets(vec![0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0]);
        let commit_seconds = HistogramVec::new(took, &["flow"])?;
        registry.register(Box::new(commit_seconds.clone()))?;
        Ok(Self {
            records: counter("records_total", "Records copied and committed, by source topic", &topic)?,
            bytes: counter("bytes_total", "Bytes of keys, values and headers copied, by source topic", &topic)?,
            moved_times: counter(
                "moved_times_total",
                "Records of the time 0, which are copied with the time 1 ms, by source topic",
                &topic,
            )?,
            lag_records: gauge(
                "lag_records",
                "Source offsets that are not copied yet, marks and gaps among them",
                &shard,
            )?,
            lag_ms: gauge("lag_milliseconds", "Age of the newest copied record while there are more; else 0", &shard)?,
            commits: counter("commits_total", "Transactions committed on the target", &["flow"])?,
            commit_seconds,
            restarts: counter("restarts_total", "Times a shard began anew after a failure", &["flow"])?,
            stopped: gauge(
                "stopped",
                "1 if the flow has stopped for good in this process; the log says why",
                &["flow"],
            )?,
        })
    }

    pub fn of(&self, flow: &str) -> Metrics {
        Metrics {
            commits: self.commits.with_label_values(&[flow]),
            commit_seconds: self.commit_seconds.with_label_values(&[flow]),
            restarts: self.restarts.with_label_values(&[flow]),
            stopped: self.stopped.with_label_values(&[flow]),
            flow: flow.to_owned(),
            records: self.records.clone(),
            bytes: self.bytes.clone(),
            moved_times: self.moved_times.clone(),
            lag_records: self.lag_records.clone(),
            lag_ms: self.lag_ms.clone(),
        }
    }
}

impl Metrics {
    pub fn topic(&self, topic: &str, shard: i32) -> OfTopic {
        let (labels, shard) = ([self.flow.as_str(), topic], shard.to_string());
        let of_shard = [self.flow.as_str(), topic, shard.as_str()];
        OfTopic {
            records: self.records.with_label_values(&labels),
            bytes: self.bytes.with_label_values(&labels),
            moved_times: self.moved_times.with_label_values(&labels),
            lag_records: self.lag_records.with_label_values(&of_shard),
            lag_ms: self.lag_ms.with_label_values(&of_shard),
        }
    }
}
