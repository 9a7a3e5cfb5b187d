//! What the tasks have written, by the commit that each record says it came from.
//!
//! Of a record only its place and a digest of its bytes are kept: 32 bytes, and some 150 for each commit.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use sha2::{Digest as _, Sha256};

use super::put_back::PutBack;
use super::report::{Difference, Kind};
use super::stretch::each_record;
use crate::codec::{Format, Formats};
use crate::log::kafka::KafkaReader;
use crate::record::{Offset, Partition, Record, Topic, TopicPartition};
use crate::topology::dead_letter::DeadLetter;
use crate::topology::engine::Route;
use crate::topology::journal::{HEADER, JournalPosition, TaskId};
use crate::topology::plan::Topology;

pub type Digest = [u8; 16];

/// A record that is there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    pub place: TopicPartition,
    pub offset: Offset,
    pub digest: Digest,
}

#[derive(Default)]
pub struct Live {
    pub by_commit: BTreeMap<JournalPosition, Vec<Seen>>,
    put_back: PutBack,
    /// Where a topic forgets: the first commit of each task that is still to be seen in the partition.
    firsts: BTreeMap<TopicPartition, BTreeMap<TaskId, i64>>,
    retained: BTreeSet<TopicPartition>,
    compacted: BTreeSet<Topic>,
    pub differences: Vec<Difference>,
    /// Of each task that was checked: when the first commit of its journal acted, and the sequences of its first and last.
    pub reached: BTreeMap<TaskId, (i64, i64, i64)>,
}

/// Of all bytes that a consumer sees: key, value, time and headers.
pub fn digest<'a>(
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    timestamp_ms: i64,
    headers: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>,
) -> Digest {
    let mut hash = Sha256::new();
    let mut part = |bytes: Option<&[u8]>| {
        let length = bytes.map_or(u64::MAX, |bytes| bytes.len() as u64);
        hash.update(length.to_be_bytes());
        hash.update(bytes.unwrap_or_default());
    };
    part(key);
    part(value);
    part(Some(&timestamp_ms.to_be_bytes()));
    for (name, value) in headers {
        part(Some(name.as_bytes()));
        part(value);
    }
    let mut digest = Digest::default();
    digest.copy_from_slice(&hash.finalize()[..16]);
    digest
}

/// Topics that tasks write facts to.
pub fn output_topics(topology: &Topology) -> BTreeSet<Topic> {
    let nodes = topology.sub_topologies.values().flat_map(|plan| &plan.nodes);
    let routes = nodes.flat_map(|node| node.routes.values().flatten());
    let topics = routes.filter_map(|route| match route {
        Route::Topic(topic) => Some(topic.clone()),
        Route::Stage(_) => None,
    });
    topics.collect()
}

impl Live {
    pub fn read(topology: &Topology, formats: &Formats, letters: &Format, reader: &mut KafkaReader) -> Result<Self> {
        let mut live = Self::default();
        live.read_dead_letters(topology, formats, letters, reader)?;
        for topic in output_topics(topology) {
            let planned = topology.topics.get(&topic);
            let policy = planned.and_then(|planned| planned.config.get("cleanup.policy"));
            if policy.is_some_and(|policy| policy.contains("compact")) {
                live.compacted.insert(topic.clone());
            }
            for partition in (0..planned.map_or(1, |planned| planned.partitions)).map(Partition) {
                let place = TopicPartition::new(&topic, partition);
                let mut last = BTreeMap::new();
                let ends = each_record(reader, &place, |record| {
                    // What a reader could not read may have been put back: it is here twice on purpose.
                    if !live.put_back.explains(&place, record) {
                        live.take(&place, record, &mut last, "an output of a commit: nobody else writes here");
                    }
                    Ok(())
                })?;
                if ends.low > Offset(0) {
                    live.retained.insert(place);
                }
            }
        }
        Ok(live)
    }

    /// Sinks write dead letters too, outside any task's commit.
    fn read_dead_letters(
        &mut self,
        topology: &Topology,
        formats: &Formats,
        format: &Format,
        reader: &mut KafkaReader,
    ) -> Result<()> {
        let place = TopicPartition::new(&topology.names.dead_letters(), Partition(0));
        let mut last = BTreeMap::new();
        let ends = each_record(reader, &place, |record| {
            let letter: Option<DeadLetter> = record.value.and_then(|value| formats.decode(value, &format.name).ok());
            let of_task = letter.is_none_or(|letter| topology.sub_topologies.contains_key(&letter.reader));
            // A mark of what was put back is nobody's commit.
            if !self.put_back.is_mark(record) && of_task {
                self.take(&place, record, &mut last, "a dead letter of a commit");
            }
            Ok(())
        })?;
        if ends.low > Offset(0) {
            self.put_back.forgets = true;
            self.retained.insert(place);
        }
        Ok(())
    }

    /// `last` is the last commit of each task seen in this partition.
    fn take(&mut self, place: &TopicPartition, record: &Record<'_>, last: &mut BTreeMap<TaskId, i64>, expected: &str) {
        let mut differs = |kind, expected: String, found: String| {
            let (topic, partition) = (place.topic.to_string(), place.partition.0);
            let offset = Some(record.offset.0);
            self.differences.push(Difference { kind, topic, partition, offset, expected, found });
        };
        let header = record.headers.get(HEADER).map(String::from_utf8_lossy);
        let position: JournalPosition = match header.as_deref().map(str::parse) {
            Some(Ok(position)) => position,
            Some(Err(why)) => return differs(Kind::OutputDiffers, format!("a header {HEADER}"), why),
            None => {
                return differs(
                    Kind::OutputDoubled,
                    expected.to_owned(),
                    "a record without a journal record".to_owned(),
                );
            }
        };
        let before = last.insert(position.task.clone(), position.sequence);
        if let Some(before) = before.filter(|before| *before > position.sequence && position.sequence > 1) {
            let expected = format!("no commit of {} before {before}", position.task);
            differs(Kind::Order, expected, format!("commit {}", position.sequence));
        }
        let firsts = self.firsts.entry(place.clone()).or_default();
        firsts.entry(position.task.clone()).or_insert(position.sequence);
        let headers = record.headers.iter();
        let digest = digest(record.key, record.value, record.timestamp.0, headers);
        let seen = Seen { place: place.clone(), offset: record.offset, digest };
        self.by_commit.entry(position).or_default().push(seen);
    }

    /// Whether what is missing may have been there: retention or compaction took it.
    pub fn may_have_forgotten(&self, place: &TopicPartition, position: &JournalPosition) -> bool {
        let first = self.firsts.get(place).and_then(|firsts| firsts.get(&position.task));
        self.compacted.contains(&place.topic)
            || self.retained.contains(place) && first.is_none_or(|first| position.sequence <= *first)
    }

    pub fn forgets(&self) -> bool {
        !self.retained.is_empty() || !self.compacted.is_empty()
    }
}
