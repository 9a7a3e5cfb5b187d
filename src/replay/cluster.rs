//! Recorded records of a cluster, all partitions at once: of what comes next in each the oldest is first.
//!
//! One reader goes from partition to partition and takes a piece of each, so that many partitions need no more connections than
//! one: 256 KiB of memory a partition. Nothing is written, no group is joined, no schema registered. What is written while it reads
//! is left out.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::recorded::{Held, Recorded, Topics, Value};
use crate::app::cluster::Cluster;
use crate::app::schemas;
use crate::clock::Clock;
use crate::codec::{Format, Formats, SchemaId};
use crate::event::FactKind;
use crate::log::Reader;
use crate::log::kafka::KafkaReader;
use crate::record::{Batch, EventTime, Header, Offset, Record, Topic, TopicPartition};
use crate::runtime::Schemas;
use crate::topology::journal;

const PIECE_BYTES: usize = 256 << 10;
const PIECE_WAIT: Duration = Duration::from_millis(500);
/// Longer than any transaction of fairlead stays open.
const PATIENCE: Duration = Duration::from_secs(60);
/// Clocks of senders differ: a record may lie behind one that is this much later.
const DISORDER_MS: i64 = 10 * 60 * 1_000;

pub struct Topical {
    reader: KafkaReader,
    schemas: Schemas,
    journal: Format,
    clock: Clock,
    partitions: BTreeMap<Topic, Vec<TopicPartition>>,
}

/// A partition on its way to its end.
struct Head {
    partition: TopicPartition,
    held: Held,
    next: Offset,
    end: Offset,
    /// Records of other times are passed by, and hold none back.
    range: Range<EventTime>,
    /// A record of such a time is the end. One of a later time still, which no clock can have told, says nothing of those behind it. A
    /// broker is not asked where the end lies: marks of transactions carry the time of their commit, and it would answer with one that
    /// stands between records of long ago.
    ends: RangeInclusive<EventTime>,
    piece: Batch,
    taken: usize,
}

impl Topical {
    /// To be called within the async runtime, and used outside it. Topics of `wanted` that are not there are left out.
    pub fn of(cluster: Cluster, wanted: &Topics) -> Result<Self> {
        let mut partitions = BTreeMap::new();
        for topic in wanted.keys() {
            if let Ok(found) = cluster.partitions(topic) {
                partitions.insert(topic.clone(), found);
            }
        }
        // Those of the registry count from 1.
        let mut ids = (0..).map(|below| SchemaId(u32::MAX - below));
        let mut formats = Formats::default();
        for (kind, id) in FactKind::ALL.into_iter().zip(ids.by_ref()) {
            formats.write_fact_with(kind, Format::new(id, kind.schema_json())?);
        }
        let journal = Format::new(ids.next().context("four thousand million ids")?, journal::SCHEMA)?;
        let schemas = Schemas::new(formats, schemas::source(cluster.registry));
        Ok(Self { reader: cluster.reader, schemas, journal, clock: Clock::wall(), partitions })
    }

    pub fn has(&self, topic: &Topic) -> bool {
        self.partitions.contains_key(topic)
    }

    /// Every record of `wanted` in `from..to`. Blocks.
    pub fn each(
        &mut self,
        wanted: &Topics,
        (from, to): (EventTime, EventTime),
        visit: &mut dyn FnMut(Recorded) -> Result<()>,
    ) -> Result<()> {
        let mut heads = self.heads(wanted, from..to)?;
        loop {
            for head in &mut heads {
                head.fill(&mut self.reader)?;
            }
            let first = heads.iter().enumerate().filter_map(|(index, head)| {
                let record = head.first()?;
                Some((record.timestamp, &head.partition, index))
            });
            let Some((_, _, index)) = first.min() else { return Ok(()) };
            let head = &mut heads[index];
            if let Some(record) = head.first() {
                visit(self.decoded(head.held, &record)?)?;
            }
            head.taken += 1;
        }
    }

    fn heads(&mut self, wanted: &Topics, range: Range<EventTime>) -> Result<Vec<Head>> {
        let ends = range.end.plus_ms(DISORDER_MS)..=self.clock.now().plus_ms(DISORDER_MS);
        let mut heads = Vec::new();
        for (topic, held) in wanted {
            for partition in self.partitions.get(topic).into_iter().flatten() {
                let end = self.reader.watermarks(partition)?.high;
                let next = self.reader.offset_at(partition, range.start)?;
                let (partition, held, range, ends) = (partition.clone(), *held, range.clone(), ends.clone());
                heads.push(Head { partition, held, next, end, range, ends, piece: Batch::default(), taken: 0 });
            }
        }
        Ok(heads)
    }

    fn decoded(&mut self, held: Held, record: &Record<'_>) -> Result<Recorded> {
        let value = match record.value {
            None => Value::Tombstone,
            Some(bytes) => {
                let learnt = self.schemas.learn_of(bytes, self.clock.elapsed());
                learnt.map_err(|error| anyhow!(error))?;
                self.value(held, bytes)
            }
        };
        let header =
            |(name, value): (&str, Option<&[u8]>)| Header { name: name.into(), value: value.map(<[u8]>::to_vec) };
        Ok(Recorded {
            topic: record.topic.clone(),
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            headers: record.headers.iter().map(header).collect(),
            value,
        })
    }

    fn value(&self, held: Held, bytes: &[u8]) -> Value {
        let formats = &self.schemas.formats;
        let read = match held {
            Held::Fact(kind) => formats.decode_fact(kind, bytes).map(|fact| Value::Fact(fact.into_owned())),
            Held::Journal => formats.decode(bytes, &self.journal.name).map(Value::Journal),
        };
        read.unwrap_or_else(|error| Value::Unreadable { bytes: bytes.to_vec(), error: error.to_string() })
    }
}

impl Head {
    fn first(&self) -> Option<Record<'_>> {
        let record = (self.taken < self.piece.len()).then(|| self.piece.get(self.taken))?;
        (record.offset < self.end).then_some(record)
    }

    /// Reads on until there is a first record, or nothing more to come.
    fn fill(&mut self, reader: &mut KafkaReader) -> Result<()> {
        let mut moved = Instant::now();
        loop {
            while self.first().is_some_and(|record| !self.range.contains(&record.timestamp)) {
                self.taken += 1;
            }
            if self.taken < self.piece.len() || self.next >= self.end {
                return Ok(());
            }
            self.piece.clear();
            self.taken = 0;
            let next = reader.read(&self.partition, self.next, PIECE_BYTES, PIECE_WAIT, &mut self.piece)?;
            let beyond = self.piece.iter().find(|record| self.ends.contains(&record.timestamp));
            self.end = beyond.map_or(self.end, |record| record.offset.min(self.end));
            if next > self.next {
                (self.next, moved) = (next, Instant::now());
            } else if moved.elapsed() > PATIENCE {
                bail!(
                    "{}: nothing can be read at {} for {PATIENCE:?}: a transaction stays open",
                    self.partition,
                    next.0
                );
            }
        }
    }
}
