//! What a store knows of itself, written with every batch under one key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::layout::{self, Slot};
use crate::record::{Offset, TopicPartition};
use crate::record::{Partition, Topic};
use crate::runtime::task::{CommitRecord, LastCommit};

/// While a store is being caught up it stands at no sequence: whatever is committed differs from it.
pub const UNSETTLED: i64 = -1;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// The version of the keys; the first ones did not say.
    #[serde(default)]
    pub layout: u16,
    /// Of the commit whose result is stored; 0 before the first.
    pub sequence: i64,
    /// When it acted; the first ones did not say.
    #[serde(default)]
    acted_at_ms: i64,
    /// The inputs' next offsets after that commit.
    inputs: Vec<(Topic, Partition, Offset)>,
    /// Of the topology that wrote the timers: another one may ask for other deadlines.
    pub topology: String,
    pub written_at_ms: i64,
    stages: BTreeMap<String, StageMeta>,
    /// While the store is being caught up: the last commit of which it has states.
    #[serde(default)]
    pub commit_read: Option<CommitRecord>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct StageMeta {
    slot: u16,
    /// Everything in the changelog below this offset is in the store.
    changelog: Option<Offset>,
}

impl Meta {
    pub fn of_a_new_store() -> Self {
        Self { layout: layout::VERSION, ..Self::default() }
    }

    pub fn last(&self) -> LastCommit {
        LastCommit { sequence: self.sequence, acted_at_ms: self.acted_at_ms }
    }

    /// Where it stands.
    pub fn commit_record(&self) -> Option<CommitRecord> {
        let Self { sequence, acted_at_ms, inputs, .. } = self;
        (*sequence > 0).then(|| CommitRecord { sequence: *sequence, acted_at_ms: *acted_at_ms, inputs: inputs.clone() })
    }

    pub fn set_last(&mut self, last: LastCommit) {
        (self.sequence, self.acted_at_ms) = (last.sequence, last.acted_at_ms);
    }

    pub fn inputs(&self) -> BTreeMap<TopicPartition, Offset> {
        let entry =
            |(topic, partition, offset): &(Topic, Partition, Offset)| (TopicPartition::new(topic, *partition), *offset);
        self.inputs.iter().map(entry).collect()
    }

    pub fn set_inputs(&mut self, inputs: &BTreeMap<TopicPartition, Offset>) {
        self.inputs = inputs.iter().map(|(at, offset)| (at.topic.clone(), at.partition, *offset)).collect();
    }

    /// The slot of a stage, a new one for a name not seen before.
    pub fn slot(&mut self, stage: &str) -> Slot {
        if let Some(known) = self.stages.get(stage) {
            return Slot(known.slot);
        }
        let slot = self.stages.values().map(|stage| stage.slot + 1).max().unwrap_or_default();
        self.stages.insert(stage.to_owned(), StageMeta { slot, changelog: None });
        Slot(slot)
    }

    /// Slots of stages that no longer exist.
    pub fn gone(&self, stages: &[String]) -> Vec<Slot> {
        let gone = self.stages.iter().filter(|(name, _)| !stages.contains(name));
        gone.map(|(_, stage)| Slot(stage.slot)).collect()
    }

    pub fn retain(&mut self, stages: &[String]) {
        self.stages.retain(|name, _| stages.contains(name));
    }

    pub fn changelog(&self, stage: &str) -> Option<Offset> {
        self.stages.get(stage)?.changelog
    }

    pub fn set_changelog(&mut self, stage: &str, position: Offset) {
        if let Some(known) = self.stages.get_mut(stage) {
            known.changelog = Some(position);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_slot_and_a_forgotten_one_loses_its_position() {
        let mut meta = Meta::default();
        assert_eq!((meta.slot("level"), meta.slot("incident"), meta.slot("level")), (Slot(0), Slot(1), Slot(0)));
        meta.set_changelog("incident", Offset(7));
        let stages = ["incident".to_owned()];
        assert_eq!(meta.gone(&stages), [Slot(0)]);
        meta.retain(&stages);
        assert_eq!((meta.slot("incident"), meta.changelog("incident")), (Slot(1), Some(Offset(7))));
        assert_eq!((meta.slot("suspects"), meta.changelog("suspects")), (Slot(2), None));
    }
}
