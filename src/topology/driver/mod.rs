//! A whole topology without a broker: topics with partitions, tasks, changelogs, dead letters and the journal, in memory.
//!
//! It runs the very engine that the runtime runs, and keeps the very order of a commit, so that what holds here (a crash loses
//! nothing, a replay says the same bytes) holds there but for Kafka itself. Of all that could be read next a task takes the
//! oldest first: batches follow event time as far as their records do. Not here: rebalances, transactions that fail, clocks;
//! the wall time is what the caller says.

mod follow;
mod view;

use std::collections::BTreeMap;

use thiserror::Error;

pub use crate::record::partition;
pub use follow::FollowedTask;
pub use view::MemoryView;

use super::dead_letter;
use super::engine::{self, Effects, Moment, SubTopology, journal_header};
use super::journal::{self, InputRange, Journal, JournalPosition, TaskId};
use super::plan::Topology;
use crate::codec::{self, Format, Formats, SchemaId};
use crate::event::{Fact, FactKind};
use crate::record::{Batch, EventTime, Header, Headers, NewRecord, Offset, Partition, Record, Topic, TopicPartition};

#[derive(Debug, Error)]
pub enum Error {
    #[error(transparent)]
    Engine(#[from] engine::Error),
    #[error(transparent)]
    Codec(#[from] codec::Error),
    #[error("the journal names a task that is not in this topology: {0}")]
    UnknownTask(String),
}

/// Records by partition, in the order of offsets.
pub type Log = BTreeMap<TopicPartition, Vec<Stored>>;

#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    pub timestamp: EventTime,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<Header>,
    /// By [`TopologyDriver::send`], and not by a task.
    pub sent: bool,
}

pub struct TopologyDriver {
    topology: Topology,
    formats: Formats,
    journal: Format,
    dead_letters: Format,
    log: Log,
    tasks: BTreeMap<TaskId, Task>,
    /// Records of one commit.
    batch_records_max: usize,
}

struct Task {
    engine: SubTopology,
    view: MemoryView,
    /// The next offset of each source.
    positions: BTreeMap<Topic, usize>,
    sequence: i64,
}

impl TopologyDriver {
    pub fn new(topology: &Topology, batch_records_max: usize) -> Result<Self, Error> {
        let (mut formats, states) = topology.shipped_formats()?;
        let journal = Format::new(SchemaId(u32::MAX), journal::SCHEMA)?;
        let dead_letters = Format::new(SchemaId(u32::MAX - 1), dead_letter::SCHEMA)?;
        [&journal, &dead_letters].into_iter().for_each(|format| formats.read_with(format.clone()));
        let mut tasks = BTreeMap::new();
        for plan in topology.sub_topologies.values() {
            for partition in (0..plan.partitions).map(Partition) {
                let engine = plan.instantiate(&states).map_err(codec::Error::NotRegistered)?;
                let positions = engine.sources.keys().map(|topic| (topic.clone(), 0)).collect();
                let id = TaskId { sub_topology: plan.name.clone(), partition };
                tasks.insert(id, Task { engine, view: MemoryView::default(), positions, sequence: 0 });
            }
        }
        let topology = topology.clone();
        Ok(Self { topology, formats, journal, dead_letters, log: Log::new(), tasks, batch_records_max })
    }

    /// Writes a fact from outside, partitioned by its key.
    pub fn send(&mut self, topic: &Topic, fact: &Fact<'_>, timestamp: EventTime) -> Result<(), Error> {
        let mut value = Vec::new();
        self.formats.encode_fact(fact, &mut value)?;
        self.send_bytes(topic, Some(fact.key().as_bytes().to_vec()), Some(value), timestamp);
        Ok(())
    }

    /// Writes whatever it is from outside.
    pub fn send_bytes(&mut self, topic: &Topic, key: Option<Vec<u8>>, value: Option<Vec<u8>>, timestamp: EventTime) {
        let record = NewRecord { topic: topic.clone(), partition: None, timestamp, key, value, headers: Vec::new() };
        self.append(record, true);
    }

    /// Works until there is nothing left to read and nothing due at the wall time.
    pub fn run(&mut self, wall: EventTime) -> Result<(), Error> {
        while self.step(wall)? {}
        Ok(())
    }

    /// One commit of one task: of what can be read or, when all is read, of what is due. False if there is nothing to do.
    pub fn step(&mut self, wall: EventTime) -> Result<bool, Error> {
        let ids: Vec<TaskId> = self.tasks.keys().cloned().collect();
        for tick in [false, true] {
            for id in &ids {
                if self.commit_next(id, wall, tick)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Every store is lost and restored from its changelog; positions and sequences are Kafka's and stay.
    pub fn crash(&mut self) -> Result<(), Error> {
        for (id, task) in &mut self.tasks {
            task.engine.discard();
            task.view = MemoryView::default();
            for (stage, node) in task.engine.nodes.iter().enumerate() {
                let changelog = TopicPartition::new(&node.changelog, id.partition);
                let mut latest: BTreeMap<&[u8], &[u8]> = BTreeMap::new();
                for record in self.log.get(&changelog).into_iter().flatten() {
                    let key = record.key.as_deref().unwrap_or_default();
                    match &record.value {
                        Some(state) => latest.insert(key, state),
                        None => latest.remove(key),
                    };
                }
                for (key, state) in latest {
                    let deadline = node.stage.stored_deadline(state, &self.formats)?;
                    task.view.put(stage, key.to_vec(), Some(state.to_vec()), deadline);
                }
            }
        }
        Ok(())
    }

    /// What tasks have written, changelogs and journal too.
    pub fn written(&self) -> Log {
        let own = |records: &Vec<Stored>| records.iter().filter(|record| !record.sent).cloned().collect::<Vec<_>>();
        let by_partition = self.log.iter().map(|(partition, records)| (partition.clone(), own(records)));
        by_partition.filter(|(_, records)| !records.is_empty()).collect()
    }

    /// Follows the journal with empty states: the same batches at the same times. What that writes must be [`Self::written`].
    pub fn replay(&self) -> Result<Log, Error> {
        let mut again = Self::new(&self.topology, self.batch_records_max)?;
        let journal = TopicPartition::new(&self.topology.names.journal(), Partition(0));
        for record in self.log.get(&journal).into_iter().flatten() {
            let bytes = record.value.as_deref().unwrap_or_default();
            let entry: Journal = self.formats.decode(bytes, &self.journal.name)?;
            let position = entry.position().map_err(Error::UnknownTask)?;
            let mut batch = Batch::default();
            for range in &entry.inputs {
                let partition = TopicPartition::new(&Topic::from(&*range.topic), Partition(range.partition));
                for offset in range.from..range.to {
                    self.copy(&partition, usize::try_from(offset).unwrap_or(usize::MAX), &mut batch);
                }
            }
            again.commit(&mut batch, entry.inputs, &Moment { position, tick: entry.tick })?;
        }
        Ok(again.written())
    }

    /// The facts on a topic, partition by partition.
    pub fn facts(&self, topic: &Topic, kind: FactKind) -> Result<Vec<(EventTime, Fact<'static>)>, Error> {
        let records =
            self.log.iter().filter(|(partition, _)| partition.topic == *topic).flat_map(|(_, records)| records);
        let fact = |record: &Stored| {
            let fact = self.formats.decode_fact(kind, record.value.as_deref().unwrap_or_default())?;
            Ok((record.timestamp, fact.into_owned()))
        };
        records.map(fact).collect()
    }

    /// Bytes of all keys and states.
    pub fn state_bytes(&self) -> usize {
        self.tasks.values().map(|task| task.view.bytes()).sum()
    }

    pub fn first_timer(&self) -> Option<EventTime> {
        self.tasks.values().filter_map(|task| task.view.first_timer()).min()
    }

    fn commit_next(&mut self, id: &TaskId, wall: EventTime, tick: bool) -> Result<bool, Error> {
        let Some(task) = self.tasks.get(id) else { return Ok(false) };
        let mut batch = Batch::default();
        let mut next = task.positions.clone();
        while batch.len() < self.batch_records_max {
            let heads = next.iter().filter_map(|(topic, offset)| {
                let partition = TopicPartition::new(topic, id.partition);
                let record = self.log.get(&partition)?.get(*offset)?;
                Some((record.timestamp, partition))
            });
            let Some((_, partition)) = heads.min() else { break };
            if let Some(offset) = next.get_mut(&partition.topic) {
                self.copy(&partition, *offset, &mut batch);
                *offset += 1;
            }
        }
        let due = tick && task.view.first_timer().is_some_and(|first| first <= wall);
        if batch.is_empty() && !due {
            return Ok(false);
        }
        let offset = |offset: usize| i64::try_from(offset).unwrap_or(i64::MAX);
        let ranges = task.positions.iter().zip(next.values()).filter(|((_, from), to)| *from < to);
        let ranges = ranges.map(|((topic, from), to)| InputRange {
            topic: topic.to_string(),
            partition: id.partition.0,
            from: offset(*from),
            to: offset(*to),
        });
        let ranges = ranges.collect();
        let position = JournalPosition { task: id.clone(), sequence: task.sequence + 1, acted_at_ms: wall.0 };
        self.commit(&mut batch, ranges, &Moment { position, tick })?;
        Ok(true)
    }

    /// What a transaction and the store's write do in the runtime.
    fn commit(&mut self, batch: &mut Batch, inputs: Vec<InputRange>, moment: &Moment) -> Result<(), Error> {
        let id = &moment.position.task;
        let task = self.tasks.get_mut(id).ok_or_else(|| Error::UnknownTask(id.to_string()))?;
        let effects = task.engine.process(batch, moment, &task.view, &self.formats)?;
        task.view.apply(&effects);
        if batch.is_empty() && effects.is_silent() {
            return Ok(());
        }
        task.sequence = moment.position.sequence;
        for range in &inputs {
            task.positions.insert(Topic::from(&*range.topic), usize::try_from(range.to).unwrap_or_default());
        }
        let changelogs: Vec<Topic> = task.engine.nodes.iter().map(|node| node.changelog.clone()).collect();
        let Effects { outputs, dead_letters, changes, .. } = effects;
        let journal = Journal {
            task: id.to_string(),
            sequence: moment.position.sequence,
            acted_at_ms: moment.position.acted_at_ms,
            tick: moment.tick,
            inputs,
            outputs: i32::try_from(outputs.len()).unwrap_or(i32::MAX),
            topology: self.topology.fingerprint.clone(),
        };
        let timestamp = EventTime(moment.position.acted_at_ms);
        let mut records = outputs;
        for (stage, change) in changes {
            records.push(NewRecord {
                topic: changelogs[stage].clone(),
                partition: Some(id.partition),
                timestamp,
                key: Some(change.key),
                value: change.state,
                headers: Vec::new(),
            });
        }
        let mut encoded = |topic: Topic, key: String, value: Vec<u8>, headers: Vec<Header>| {
            let key = Some(key.into_bytes());
            records.push(NewRecord { topic, partition: None, timestamp, key, value: Some(value), headers });
        };
        for letter in dead_letters {
            let mut value = Vec::new();
            self.dead_letters.encode(&letter, &mut value)?;
            encoded(self.topology.names.dead_letters(), letter.id(), value, vec![journal_header(&moment.position)]);
        }
        let mut value = Vec::new();
        self.journal.encode(&journal, &mut value)?;
        encoded(self.topology.names.journal(), journal.task, value, Vec::new());
        records.into_iter().for_each(|record| self.append(record, false));
        Ok(())
    }

    fn append(&mut self, record: NewRecord, sent: bool) {
        let NewRecord { topic, partition: chosen, timestamp, key, value, headers } = record;
        let partitions = self.topology.topics.get(&topic).map_or(1, |planned| planned.partitions);
        let chosen = chosen.unwrap_or_else(|| partition(key.as_deref().unwrap_or_default(), partitions));
        let stored = Stored { timestamp, key, value, headers, sent };
        self.log.entry(TopicPartition { topic, partition: chosen }).or_default().push(stored);
    }

    fn copy(&self, partition: &TopicPartition, offset: usize, batch: &mut Batch) {
        let Some(stored) = self.log.get(partition).and_then(|records| records.get(offset)) else { return };
        batch.push(&Record {
            topic: &partition.topic,
            partition: partition.partition,
            offset: Offset(i64::try_from(offset).unwrap_or(i64::MAX)),
            timestamp: stored.timestamp,
            key: stored.key.as_deref(),
            value: stored.value.as_deref(),
            headers: Headers::NONE,
        });
        for header in &stored.headers {
            batch.push_header_to_last(&header.name, header.value.as_deref());
        }
    }
}
