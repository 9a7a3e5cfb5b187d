//! Audits: ranges are taken from the target, both sides of each are read again at read_committed, and compared.
//!
//! ```text
//! ranges ─► pending, by source partition ─► compare (pure) over source and target ─► the fact `audit`
//! ```
//! What always holds: memory is bounded ([`PENDING_MAX`] ranges, [`RECORDS_MAX`] records at a time), nothing on either side is changed,
//! and whatever is gone is told as unknown, not as equal. An audit that is made twice says the same twice. It blocks: it belongs on a
//! thread for such.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // it waits, beside modules that must not

mod continuous;
mod publish;
mod sides;

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Clock;
use crate::event::{Audit, AuditVerdict, MirrorRange};
use crate::mirror::compare::{Comparison, Found};
use crate::mirror::provision::{Error, FlowConfig, Ranges};
use crate::record::Offset;
use crate::runtime::SchemaSource;
use crate::wire::{Admin, At};

pub use continuous::{Continuous, Counters, Work};
pub use publish::{LastAudits, Publisher};
use sides::Sides;

/// Compared in one reading of both sides.
const RECORDS_MAX: i64 = 100_000;
const RANGES_MAX: usize = 1_000;
/// Ranges that wait for others of their partition, over all partitions.
const PENDING_MAX: usize = 20_000;

/// Compares the ranges of one flow, those since the last round each time.
pub struct Auditor {
    config: FlowConfig,
    source: Admin,
    target: Admin,
    clock: Clock,
    /// `None` while a thread reads.
    reading: Option<Reading>,
}

/// What a thread needs.
struct Reading {
    ranges: Ranges,
    sides: Sides,
    /// Where to go on, by partition of the topic of ranges.
    next: BTreeMap<i32, i64>,
    /// Source offsets up to which a flow partition was audited before.
    audited: BTreeMap<String, i64>,
    behind: bool,
}

/// What is audited.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Only this source topic.
    pub topic: Option<String>,
    /// Only ranges in these partitions of their topic.
    pub shards: Option<BTreeSet<i32>>,
    /// At most so many ranges of each partition of their topic, or about so many; the next round goes on behind them.
    pub ranges_max: Option<i64>,
}

impl Auditor {
    pub fn new(config: FlowConfig, schemas: SchemaSource, clock: Clock) -> Result<Self, Error> {
        let admin = |cluster: &crate::mirror::provision::Cluster| {
            Admin::new(&cluster.connection).map_err(|error| Error::Wire { cluster: cluster.name.clone(), error })
        };
        let (source, target) = (admin(&config.source)?, admin(&config.target)?);
        let ranges = Ranges::new(&config.target.connection, &config.reader_group, &config.name, schemas)?;
        let sides = Sides::new(&config)?;
        let reading = Reading { ranges, sides, next: BTreeMap::new(), audited: BTreeMap::new(), behind: false };
        Ok(Self { config, source, target, clock, reading: Some(reading) })
    }

    /// What was audited before, by flow partition: ranges up to there are passed over.
    pub fn go_on_after(&mut self, audited: BTreeMap<String, i64>) {
        if let Some(reading) = &mut self.reading {
            reading.audited = audited;
        }
    }

    /// Whether the last round left ranges that were there for the next one.
    pub fn is_behind(&self) -> bool {
        self.reading.as_ref().is_some_and(|reading| reading.behind)
    }

    /// Audits what was copied since the last round: one audit a flow partition that has news.
    pub async fn round(&mut self, wanted: &Wanted) -> Result<Vec<Audit>, Error> {
        let ends = self.ends(wanted).await?;
        let mut reading = self.reading.take().ok_or(Error::Panicked)?;
        reading.sides.look(&self.config, &self.source, &self.target).await?;
        let (topic, wanted, flow) = (self.config.mirror.offsets.clone(), wanted.clone(), self.config.name.clone());
        let read = tokio::task::spawn_blocking(move || {
            let found = reading.round(&topic, &ends, &wanted, &flow);
            (reading, found)
        });
        let (reading, found) = read.await.map_err(|_| Error::Panicked)?;
        self.reading = Some(reading);
        let at_ms = self.clock.now().0;
        Ok(found?.into_values().map(|found| found.audit(&self.config.name, at_ms)).collect())
    }

    /// Stable ends of the topic of ranges.
    async fn ends(&self, wanted: &Wanted) -> Result<BTreeMap<i32, i64>, Error> {
        let failed = |error| Error::Wire { cluster: self.config.target.name.clone(), error };
        let topic = std::slice::from_ref(&self.config.mirror.offsets);
        let views = self.target.topics(Some(topic)).await.map_err(failed)?;
        let numbers = views.iter().flat_map(|view| view.partitions.iter().map(|partition| partition.number));
        let numbers = numbers.filter(|number| wanted.shards.as_ref().is_none_or(|shards| shards.contains(number)));
        let partitions: Vec<_> = numbers.map(|number| (topic[0].clone(), number)).collect();
        let ends = self.target.offsets(&partitions, At::Latest { committed: true }).await.map_err(failed)?;
        Ok(ends.into_iter().map(|((_, number), end)| (number, end.offset)).collect())
    }
}

/// What came of one source partition.
struct Partition {
    topic: String,
    number: i32,
    target_topic: String,
    target_number: i32,
    start: i64,
    end: i64,
    found: Found,
}

impl Partition {
    fn audit(self, flow: &str, at_ms: i64) -> Audit {
        let Found { ranges, records, source_records, target_records, verdict, difference } = self.found;
        Audit {
            flow_partition: crate::event::migration::flow_partition(flow, &self.topic, self.number),
            flow: flow.to_owned(),
            source_topic: self.topic,
            source_partition: self.number,
            source_start: self.start,
            source_end: self.end,
            target_topic: self.target_topic,
            target_partition: self.target_number,
            ranges,
            records,
            source_records: Some(source_records),
            target_records: Some(target_records),
            verdict,
            difference: difference.filter(|_| verdict != AuditVerdict::Equal),
            at_ms,
        }
    }
}

/// Ranges that are still to be compared, and what came of the others.
struct Pending<'a> {
    sides: &'a mut Sides,
    waiting: BTreeMap<String, Vec<MirrorRange>>,
    found: BTreeMap<String, Partition>,
}

impl Reading {
    fn round(
        &mut self,
        topic: &str,
        ends: &BTreeMap<i32, i64>,
        wanted: &Wanted,
        flow: &str,
    ) -> Result<BTreeMap<String, Partition>, Error> {
        let Self { ranges, sides, next, audited, behind } = self;
        let mut reached = BTreeMap::new();
        let mut pending = Pending { sides, waiting: BTreeMap::new(), found: BTreeMap::new() };
        for (number, end) in ends {
            let from = next.get(number).copied().unwrap_or_default();
            let end = wanted.ranges_max.map_or(*end, |ranges| (from + ranges).min(*end));
            ranges.each(topic, *number, Offset(from), Offset(end), |_, range, _| {
                let is_wanted =
                    range.flow == flow && wanted.topic.as_ref().is_none_or(|topic| *topic == range.source_topic);
                let is_new = audited.get(&range.flow_partition).is_none_or(|audited| range.source_end > *audited);
                if is_wanted && is_new { pending.take(range) } else { Ok(()) }
            })?;
            pending.finish()?;
            reached.insert(*number, end);
        }
        // Only when all was compared: whoever fails before begins this round anew.
        *behind = reached.iter().any(|(number, reached)| ends.get(number).is_some_and(|end| reached < end));
        next.extend(reached);
        Ok(pending.found)
    }
}

impl Pending<'_> {
    fn take(&mut self, range: MirrorRange) -> Result<(), Error> {
        let key = range.flow_partition.clone();
        let ranges = self.waiting.entry(key.clone()).or_default();
        ranges.push(range);
        let records: i64 = ranges.iter().map(|range| range.records).sum();
        if ranges.len() >= RANGES_MAX || records >= RECORDS_MAX {
            return self.compare(&key);
        }
        if self.waiting.values().map(Vec::len).sum::<usize>() >= PENDING_MAX {
            return self.finish();
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Error> {
        let waiting: Vec<_> = self.waiting.keys().cloned().collect();
        waiting.iter().try_for_each(|key| self.compare(key))
    }

    fn compare(&mut self, key: &str) -> Result<(), Error> {
        let Some(ranges) = self.waiting.remove(key) else { return Ok(()) };
        let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else { return Ok(()) };
        let whole = self.sides.copies_all(&first.source_topic, &first.target_topic);
        let found = self.sides.compare(Comparison::new(&ranges, whole), first)?;
        let partition = self.found.entry(key.to_owned()).or_insert_with(|| Partition {
            topic: first.source_topic.clone(),
            number: first.source_partition,
            target_topic: first.target_topic.clone(),
            target_number: first.target_partition,
            start: first.source_start,
            end: first.source_start,
            found: Found::none(),
        });
        partition.end = last.source_end;
        partition.found.add(found);
        Ok(())
    }
}
