//! What the runtime tells Prometheus. The registry is the caller's; every name is written here and nowhere else.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, exponential_buckets,
};

use super::task::{Pending, Phase, Task};
use crate::record::TopicPartition;
use crate::topology::engine::{Effects, StageIndex, SubTopology};

pub struct Metrics {
    pub records: IntCounter,
    pub commit_seconds: Histogram,
    pub aborts: IntCounter,
    pub waits: IntCounter,
    batch_records: Histogram,
    outputs: IntCounter,
    dead_letters: IntCounterVec,
    emissions: IntCounterVec,
    rules: IntCounterVec,
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
            rules: counters("fairlead_rules_total", "Told by operators because of a rule", &["stage", "port", "rule"])?,
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
        for counters in [&metrics.dead_letters, &metrics.emissions, &metrics.rules] {
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
        self.decided(&task.topology, &pending.effects);
    }

    /// What operators told, and which of their rules made them.
    fn decided(&self, topology: &SubTopology, effects: &Effects) {
        let name = |stage: &StageIndex| topology.nodes[*stage].stage.name();
        for ((stage, port), count) in &effects.emissions {
            self.emissions.with_label_values(&[name(stage), port]).inc_by(*count);
        }
        for ((stage, port, rule), count) in &effects.rules {
            self.rules.with_label_values(&[name(stage), port, rule]).inc_by(*count);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Alert, Fact};
    use crate::record::{Batch, EventTime, Headers, Offset, Partition, Record, Topic};
    use crate::topology::catalog::catalog;
    use crate::topology::compile::compile;
    use crate::topology::driver::MemoryView;
    use crate::topology::engine::Moment;
    use crate::topology::journal::{JournalPosition, TaskId};
    use crate::topology::spec::SourceFile;

    #[test]
    fn what_a_rule_drops_or_levels_is_counted_by_its_name() {
        let files = [
            ("app.yaml", include_str!("../../topology/app.yaml")),
            ("topics.yaml", include_str!("../../topology/topics.yaml")),
            ("oncall.yaml", include_str!("../../topology/oncall.yaml")),
        ];
        let file = |(name, text): (&str, &str)| SourceFile { name: name.to_owned(), text: text.to_owned() };
        let topology = compile(&files.map(file), &catalog()).topology.unwrap();
        let (formats, states) = topology.shipped_formats().unwrap();
        let mut oncall = topology.sub_topologies["oncall"].instantiate(&states).unwrap();
        let mut batch = Batch::default();
        for (offset, name) in ["Watchdog", "Watchdog", "HighLatency", "Unheard"].into_iter().enumerate() {
            let severity = if name == "HighLatency" { "critical" } else { "strange" };
            let json = format!(
                r#"{{"source":"test","fingerprint":"{name}","starts_at_ms":0,"ends_at_ms":null,"status":"firing","service":"s",
                    "name":"{name}","environment":null,"namespace":null,"labels":{{"severity":"{severity}"}},"value":null,
                    "generator_url":null}}"#
            );
            let alert: Alert<'_> = serde_json::from_str(&json).unwrap();
            let mut value = Vec::new();
            formats.encode_fact(&Fact::Alert(alert), &mut value).unwrap();
            batch.push(&Record {
                topic: &Topic::from("oncall.alerts.v1"),
                partition: Partition(0),
                offset: Offset(offset as i64),
                timestamp: EventTime(offset as i64 * 60_000),
                key: Some(b"s"),
                value: Some(&value),
                headers: Headers::NONE,
            });
        }
        let task = TaskId { sub_topology: "oncall".to_owned(), partition: Partition(0) };
        let position = JournalPosition { task, sequence: 1, acted_at_ms: 0 };
        let moment = Moment { position, tick: false };
        let effects = oncall.process(&mut batch, &moment, &MemoryView::default(), &formats).unwrap();
        let registry = Registry::new();
        Metrics::register(&registry).unwrap().decided(&oncall, &effects);
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            r#"fairlead_rules_total{port="dropped",rule="watchdog",stage="level"} 2"#,
            r#"fairlead_rules_total{port="alert",rule="critical",stage="level"} 1"#,
            r#"fairlead_emissions_total{port="dropped",stage="level"} 2"#,
            // The one that no rule holds for is told, and counted with no rule.
            r#"fairlead_emissions_total{port="alert",stage="level"} 2"#,
        ] {
            assert!(text.lines().any(|told| told == line), "{line}\n{text}");
        }
        assert_eq!(text.lines().filter(|line| line.starts_with("fairlead_rules_total")).count(), 2, "{text}");
    }
}
