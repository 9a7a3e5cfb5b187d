//! What the readers of topics of others count.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use super::records::Told;

#[derive(Clone)]
pub struct Sources {
    facts: IntCounterVec,
    elements: IntCounterVec,
    restarts: IntCounterVec,
    gaps: IntCounterVec,
}

/// Of one topic.
pub struct Metrics {
    topic: String,
    facts: IntCounterVec,
    elements: IntCounterVec,
    pub restarts: IntCounter,
    pub gaps: IntCounter,
}

impl Sources {
    /// Fails if the registry has these names already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let facts =
            Opts::new("fairlead_ingest_topic_facts_total", "Facts read from topics of others, by topic and kind.");
        let elements = Opts::new(
            "fairlead_ingest_topic_elements_total",
            "What became no fact, by topic: refused (its record is a dead letter), ignored, or too large to be kept as it was (not_kept).",
        );
        let restarts = Opts::new(
            "fairlead_ingest_topic_restarts_total",
            "Beginnings anew from the committed offsets after a failure.",
        );
        let gaps = Opts::new("fairlead_ingest_topic_gaps_total", "Times that records were gone before they were read.");
        let sources = Self {
            facts: IntCounterVec::new(facts, &["topic", "fact"])?,
            elements: IntCounterVec::new(elements, &["topic", "outcome"])?,
            restarts: IntCounterVec::new(restarts, &["topic"])?,
            gaps: IntCounterVec::new(gaps, &["topic"])?,
        };
        for counter in [&sources.facts, &sources.elements, &sources.restarts, &sources.gaps] {
            registry.register(Box::new(counter.clone()))?;
        }
        Ok(sources)
    }

    pub fn of(&self, topic: &str) -> Metrics {
        Metrics {
            topic: topic.to_owned(),
            facts: self.facts.clone(),
            elements: self.elements.clone(),
            restarts: self.restarts.with_label_values(&[topic]),
            gaps: self.gaps.with_label_values(&[topic]),
        }
    }
}

impl Metrics {
    /// Called once it is committed.
    pub fn told(&self, told: &Told) {
        for fact in &told.facts {
            self.facts.with_label_values(&[&*self.topic, fact.name()]).inc();
        }
        let outcomes = [("refused", told.refused), ("ignored", told.ignored), ("not_kept", told.not_kept.into())];
        for (outcome, count) in outcomes.into_iter().filter(|(_, count)| *count > 0) {
            self.elements.with_label_values(&[&*self.topic, outcome]).inc_by(count as u64);
        }
    }
}
