//! A task: one partition of one sub-topology, from its assignment until it goes.
//!
//! Invariants: `from` is what was committed last, `to` is one past what was read; the batch holds exactly what lies
//! between. Positions are counted here, never asked of the client. Only a running task has records.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::restore::Restore;
use super::store::{Standing, Store};
use crate::codec::Formats;
use crate::log::Committed;
use crate::record::{Batch, EventTime, Offset, Partition, Record, Topic, TopicPartition};
use crate::topology::engine::{self, Effects, Moment, SubTopology};
use crate::topology::journal::{InputRange, Journal, JournalPosition, TaskId};

/// ```text
/// Created ──store opened──► Restoring ──caught up──► Running ──revoked, lost, stopped──► (dropped, store parked)
///    ▲  └──────────────── store is current ────────────▲ │
///    └──── store failed, or outcome of a commit unknown ─┘
/// ```
pub enum Phase {
    Created,
    Restoring(Store, Restore),
    Running(Store),
}

pub struct Task {
    pub id: TaskId,
    pub phase: Phase,
    pub topology: SubTopology,
    pub batch: Batch,
    pub last: LastCommit,
    /// Whether the last commit came with the committed offsets.
    pub has_committed: bool,
    /// The log was told to begin elsewhere.
    pub has_moved: bool,
    inputs: BTreeMap<TopicPartition, Input>,
    /// Stages whose states were written since their place in the changelog was noted.
    stale: Vec<bool>,
}

/// Which commit was the last: kept beside the committed offsets, and in the store. Its time tells two of the same number apart, one of
/// which was told to have taken place and was lost with its broker. Zero: none yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastCommit {
    pub sequence: i64,
    pub acted_at_ms: i64,
}

/// A commit and where its inputs go on: what a changelog tells of the last one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitRecord {
    pub sequence: i64,
    pub acted_at_ms: i64,
    pub inputs: Vec<(Topic, Partition, Offset)>,
}

struct Input {
    from: Offset,
    to: Offset,
}

/// Processed, and to be committed.
pub struct Pending {
    pub position: JournalPosition,
    pub effects: Effects,
    pub journal: Journal,
}

impl Pending {
    /// No input, and nothing to say of it: a note in the index of deadlines woke a key too early. Kafka need not know.
    pub fn is_silent(&self) -> bool {
        self.journal.inputs.is_empty() && self.effects.is_silent()
    }

    fn as_last(&self) -> LastCommit {
        LastCommit { sequence: self.position.sequence, acted_at_ms: self.position.acted_at_ms }
    }
}

impl Task {
    /// A task that goes on where `starts` say. `last` came with the committed offsets.
    pub fn new(
        id: TaskId,
        topology: SubTopology,
        starts: &[(TopicPartition, Offset)],
        last: Option<LastCommit>,
    ) -> Self {
        let input =
            |(partition, from): &(TopicPartition, Offset)| (partition.clone(), Input { from: *from, to: *from });
        Self {
            id,
            phase: Phase::Created,
            stale: vec![false; topology.nodes.len()],
            topology,
            batch: Batch::default(),
            last: last.unwrap_or_default(),
            has_committed: last.is_some(),
            has_moved: false,
            inputs: starts.iter().map(input).collect(),
        }
    }

    pub fn partitions(&self) -> Vec<TopicPartition> {
        self.inputs.keys().cloned().collect()
    }

    /// The next offsets as they were committed last.
    pub fn committed(&self) -> BTreeMap<TopicPartition, Offset> {
        self.inputs.iter().map(|(partition, input)| (partition.clone(), input.from)).collect()
    }

    /// The next offsets once the batch is committed, with what is remembered beside them.
    pub fn to_commit(&self, pending: &Pending) -> Vec<(TopicPartition, Committed)> {
        let metadata = pending.as_last().to_metadata();
        let committed = |input: &Input| Committed { offset: input.to, metadata: metadata.clone() };
        self.inputs.iter().map(|(partition, input)| (partition.clone(), committed(input))).collect()
    }

    /// What is to be told of the commit of `pending`.
    pub fn commit_record(&self, pending: &Pending) -> CommitRecord {
        let LastCommit { sequence, acted_at_ms } = pending.as_last();
        let input = |(at, input): (&TopicPartition, &Input)| (at.topic.clone(), at.partition, input.to);
        CommitRecord { sequence, acted_at_ms, inputs: self.inputs.iter().map(input).collect() }
    }

    /// Goes on from another commit than the group told of; with inputs that this one did not know, from where they were to begin.
    pub fn move_to(&mut self, record: &CommitRecord) {
        for (topic, partition, next) in &record.inputs {
            let input = self.inputs.get_mut(&TopicPartition::new(topic, *partition));
            input.into_iter().for_each(|input| (input.from, input.to) = (*next, *next));
        }
        (self.last, self.has_committed, self.has_moved) = (record.last(), true, true);
    }

    pub fn stage_names(&self) -> Vec<String> {
        self.topology.nodes.iter().map(|node| node.stage.name().to_owned()).collect()
    }

    pub fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running(_))
    }

    pub fn store(&self) -> Option<&Store> {
        match &self.phase {
            Phase::Running(store) | Phase::Restoring(store, _) => Some(store),
            Phase::Created => None,
        }
    }

    /// Takes the store out; the task is as it was created.
    pub fn close(&mut self) -> Option<Store> {
        self.roll_back();
        match std::mem::replace(&mut self.phase, Phase::Created) {
            Phase::Running(store) | Phase::Restoring(store, _) => Some(store),
            Phase::Created => None,
        }
    }

    /// Keeps records of one partition for the next commit. What was read already, before a seek, is left out.
    pub fn take<'a>(&mut self, partition: &TopicPartition, records: impl Iterator<Item = Record<'a>>) {
        let Some(input) = self.inputs.get_mut(partition) else { return };
        for record in records {
            if record.offset >= input.to {
                input.to = Offset(record.offset.0 + 1);
                self.batch.push(&record);
            }
        }
    }

    pub fn first_timer(&self) -> Option<EventTime> {
        match &self.phase {
            Phase::Running(store) => store.first_timer(),
            _ => None,
        }
    }

    /// Processes what was taken. Nothing if there is nothing to commit.
    pub fn process(
        &mut self,
        at: EventTime,
        tick: bool,
        formats: &Formats,
        fingerprint: &str,
    ) -> Result<Option<Pending>, engine::Error> {
        let Phase::Running(store) = &self.phase else { return Ok(None) };
        let timers_due = tick && store.first_timer().is_some_and(|first| first <= at);
        if self.batch.is_empty() && !timers_due {
            return Ok(None);
        }
        let position = JournalPosition { task: self.id.clone(), sequence: self.last.sequence + 1, acted_at_ms: at.0 };
        let moment = Moment { position: position.clone(), tick };
        let effects = self.topology.process(&mut self.batch, &moment, store, formats)?;
        let read = self.inputs.iter().filter(|(_, input)| input.from < input.to);
        let journal = Journal {
            task: self.id.to_string(),
            sequence: position.sequence,
            acted_at_ms: at.0,
            tick,
            inputs: read.map(|(partition, input)| range(partition, input)).collect(),
            outputs: i32::try_from(effects.outputs.len()).unwrap_or(i32::MAX),
            topology: fingerprint.to_owned(),
        };
        Ok(Some(Pending { position, effects, journal }))
    }

    /// The transaction is void: the states are as stored, the inputs are to be read again from `committed`.
    pub fn roll_back(&mut self) {
        self.topology.discard();
        self.batch.clear();
        self.inputs.values_mut().for_each(|input| input.to = input.from);
    }

    /// The transaction is committed, or there was none to commit: the store follows. On an error the task needs its store anew.
    pub fn roll_forward(&mut self, pending: &Pending) -> Result<(), super::store::Error> {
        if !pending.is_silent() {
            self.last = pending.as_last();
            self.has_committed = true;
        }
        self.batch.clear();
        self.inputs.values_mut().for_each(|input| input.from = input.to);
        let inputs = self.committed();
        for (stage, _) in &pending.effects.changes {
            self.stale[*stage] = true;
        }
        let Phase::Running(store) = &mut self.phase else { return Ok(()) };
        let at = EventTime(pending.position.acted_at_ms);
        store.apply(&pending.effects, &Standing { last: self.last, inputs: &inputs, at })
    }

    /// Stages whose place in the changelog is to be noted.
    pub fn stale_changelogs(&self) -> Vec<engine::StageIndex> {
        (0..self.stale.len()).filter(|stage| self.is_running() && self.stale[*stage]).collect()
    }

    /// All that lies in a stage's changelog below `end` is in the store.
    pub fn note_changelog(&mut self, stage: engine::StageIndex, end: Offset) {
        if let Phase::Running(store) = &mut self.phase {
            store.note_changelog(stage, end);
            self.stale[stage] = false;
        }
    }
}

fn range(partition: &TopicPartition, input: &Input) -> InputRange {
    InputRange {
        topic: partition.topic.to_string(),
        partition: partition.partition.0,
        from: input.from.0,
        to: input.to.0,
    }
}

impl CommitRecord {
    pub fn last(&self) -> LastCommit {
        LastCommit { sequence: self.sequence, acted_at_ms: self.acted_at_ms }
    }

    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("names and numbers have a JSON")
    }
}

impl LastCommit {
    /// What is remembered beside a committed offset.
    fn to_metadata(self) -> String {
        format!("sequence={} acted_at_ms={}", self.sequence, self.acted_at_ms)
    }

    /// `None` when the offsets were committed by something else. The first ones did not tell the time.
    pub fn of_metadata(metadata: &str) -> Option<Self> {
        let (sequence, acted_at_ms) = metadata.split_once(" acted_at_ms=").unwrap_or((metadata, "0"));
        let sequence = sequence.strip_prefix("sequence=")?.parse().ok()?;
        Some(Self { sequence, acted_at_ms: acted_at_ms.parse().ok()? })
    }

    /// Of a task: its inputs are committed together, but some may be new.
    pub fn of_offsets(committed: &[Option<Committed>]) -> Option<Self> {
        let told = committed.iter().flatten().filter_map(|committed| Self::of_metadata(&committed.metadata));
        told.max_by_key(|last| last.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_beside_an_offset_tells_the_last_commit() {
        let last = LastCommit { sequence: 7, acted_at_ms: 1_700_000_000_000 };
        assert_eq!(LastCommit::of_metadata(&last.to_metadata()), Some(last));
        let before = LastCommit { sequence: 7, acted_at_ms: 0 };
        assert_eq!(LastCommit::of_metadata("sequence=7"), Some(before));
        for strange in ["", "sequence=", "sequence=x acted_at_ms=1", "sequence=1 acted_at_ms=", "by hand"] {
            assert_eq!(LastCommit::of_metadata(strange), None, "{strange}");
        }
    }
}
