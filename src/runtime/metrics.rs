//! What the runtime tells Prometheus. The registry is the caller's; every name is written here and nowhere else.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, exponential_buckets,
};

use super::task::{Pending, Phase, Task};
use crate::record::TopicPartition;

pub struct Metrics {
    pub records: IntCounter,
    pub commit_seconds: Histogram,
    pub aborts: IntCounter,
    pub waits: IntCounter,
    batch_records: Histogram,
    outputs: IntCounter,
    dead_letters: IntCounterVec,
    emissions: IntCounterVec,
    store_bytes: IntGaugeVec,
    restore_left: IntGaugeVec,
    lag: IntGaugeVec,
    memory_bytes: IntGauge,
}

impl Metrics {
    /// Fails if the registry has these names already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            records: IntCounter::new("fairlead_records_total", "Records read")?,
            commit_seconds: histogram("fairlead_commit_seconds", "From processing to committed", 0.000_5)?,
            aborts: IntCounter::new("fairlead_aborts_total", "Transactions not committed")?,
            waits: IntCounter::new("fairlead_waits_total", "Pauses because something did not answer")?,
            batch_records: histogram("fairlead_batch_records", "Records of one task in one commit", 1.0)?,
            outputs: IntCounter::new("fairlead_outputs_total", "Records written, the engine's own aside")?,
            dead_letters: counters("fairlead_dead_letters_total", "Records no operator could take", &["reason"])?,
            emissions: counters("fairlead_emissions_total", "Told by operators, routed or not", &["stage", "port"])?,
            store_bytes: gauges("fairlead_store_bytes", "State on disk and in memtables", &["task"])?,
            restore_left: gauges("fairlead_restore_left", "Changelog offsets still to be read", &["task"])?,
            lag: gauges("fairlead_lag", "Records not read yet, from time to time", &["topic", "partition"])?,
            memory_bytes: IntGauge::new("fairlead_store_memory_bytes", "Memtables and blocks of all stores")?,
        };
        let counters = [&metrics.records, &metrics.aborts, &metrics.waits, &metrics.outputs];
        counters.into_iter().try_for_each(|counter| registry.register(Box::new(counter.clone())))?;
        for histogram in [&metrics.commit_seconds, &metrics.batch_records] {
            registry.register(Box::new(histogram.clone()))?;
        }
        for counters in [&metrics.dead_letters, &metrics.emissions] {
            registry.register(Box::new(counters.clone()))?;
        }
        for gauges in [&metrics.store_bytes, &metrics.restore_left, &metrics.lag] {
            registry.register(Box::new(gauges.clone()))?;
        }
        registry.register(Box::new(metrics.memory_bytes.clone()))?;
        Ok(metrics)
    }

    /// Before the task's batch is cleared.
    pub fn committed(&self, task: &Task, pending: &Pending) {
        self.batch_records.observe(task.batch.len() as f64);
        self.outputs.inc_by(pending.effects.outputs.len() as u64);
        for letter in &pending.effects.dead_letters {
            self.dead_letters.with_label_values(&[letter.reason.as_str()]).inc();
        }
        for ((stage, port), count) in &pending.effects.emissions {
            let stage = task.topology.nodes[*stage].stage.name();
            self.emissions.with_label_values(&[stage, port]).inc_by(*count);
        }
    }

    pub fn restoring(&self, task: &Task) {
        let left = match &task.phase {
            Phase::Restoring(_, restore) => restore.left(),
            _ => 0,
        };
        self.restore_left.with_label_values(&[&task.id.to_string()]).set(left);
    }

    pub fn sizes(&self, task: &Task, memory_used: usize) {
        let bytes = task.store().map_or(0, super::store::Store::bytes);
        self.store_bytes.with_label_values(&[&task.id.to_string()]).set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.memory_bytes.set(i64::try_from(memory_used).unwrap_or(i64::MAX));
    }

    pub fn lag(&self, input: &TopicPartition, records: i64) {
        self.lag.with_label_values(&[input.topic.as_str(), &input.partition.0.to_string()]).set(records);
    }

    /// A task that has gone is another process's to tell about.
    pub fn forget(&self, task: &Task) {
        let id = task.id.to_string();
        // Unknown labels are none of our concern: the task may never have told anything.
        let _ = self.store_bytes.remove_label_values(&[&id]);
        let _ = self.restore_left.remove_label_values(&[&id]);
        for input in task.partitions() {
            let _ = self.lag.remove_label_values(&[input.topic.as_str(), &input.partition.0.to_string()]);
        }
    }
}

fn histogram(name: &str, help: &str, first: f64) -> prometheus::Result<Histogram> {
    Histogram::with_opts(HistogramOpts::new(name, help).buckets(exponential_buckets(first, 2.0, 16)?))
}

fn counters(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    IntCounterVec::new(Opts::new(name, help), labels)
}

fn gauges(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
    IntGaugeVec::new(Opts::new(name, help), labels)
}
