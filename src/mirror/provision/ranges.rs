//! The ranges on the target, read in order and folded: each look goes on where the last one ended.
//!
//! It blocks: it belongs on a thread for such. What was read stays read, whatever fails after it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Instant;

use super::Error;
use crate::codec::Formats;
use crate::event::MirrorRange;
use crate::log::client::Connection;
use crate::log::kafka::KafkaReader;
use crate::log::scan::scan;
use crate::mirror::plan::progress::Progress;
use crate::record::{Offset, Partition, Record, Topic, TopicPartition};
use crate::runtime::{SchemaSource, Schemas};

/// Full name of what a range is written as.
const RANGE: &str = "fairlead.migration.MirrorRange";

pub struct Ranges {
    flow: String,
    reader: KafkaReader,
    schemas: Schemas,
    since: Instant,
    /// Where to go on, by partition of the topic of ranges.
    next: BTreeMap<i32, Offset>,
    progress: Progress,
}

impl Ranges {
    /// `group` is only a name for quotas and access rules.
    pub fn new(target: &Connection, group: &str, flow: &str, schemas: SchemaSource) -> Result<Self, Error> {
        Ok(Self {
            flow: flow.to_owned(),
            reader: KafkaReader::new(target, group)?,
            schemas: Schemas::new(Formats::default(), schemas),
            since: Instant::now(),
            next: BTreeMap::new(),
            progress: Progress::default(),
        })
    }

    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Reads every partition of the topic up to these stable ends.
    pub fn read_to(&mut self, topic: &str, ends: &BTreeMap<i32, i64>) -> Result<(), Error> {
        for (number, end) in ends {
            let from = self.next.get(number).copied().unwrap_or(Offset(0));
            let mut progress = std::mem::take(&mut self.progress);
            let read = self.each(topic, *number, from, Offset(*end), |_, range, flow| {
                progress.take(flow, &range);
                Ok(())
            });
            self.progress = progress;
            read?;
            self.next.insert(*number, Offset(*end).max(from));
        }
        Ok(())
    }

    /// Every range of one partition between two offsets, with the offset it lies at and the flow this is for.
    pub fn each(
        &mut self,
        topic: &str,
        number: i32,
        from: Offset,
        to: Offset,
        mut take: impl FnMut(Offset, MirrorRange, &str) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Self { flow, reader, schemas, since, .. } = self;
        let partition = TopicPartition::new(&Topic::from(topic), Partition(number));
        let low = reader.watermarks(&partition)?.low;
        let mut failed = None;
        scan(reader, &partition, from.max(low), to, |record| {
            let read = range(schemas, *since, record);
            let read = read.map_err(|why| Error::Ranges(format!("{partition} at offset {}: {why}", record.offset.0)));
            match read.and_then(|range| range.map_or(Ok(()), |range| take(record.offset, range, flow))) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// Whether a reader at read_committed finds a record.
    pub fn holds_a_record(&mut self, topic: &str, number: i32, start: i64, end: i64) -> Result<bool, Error> {
        let partition = TopicPartition::new(&Topic::from(topic), Partition(number));
        let mut found = false;
        scan(&mut self.reader, &partition, Offset(start), Offset(end), |_| {
            found = true;
            ControlFlow::Break(())
        })?;
        Ok(found)
    }
}

/// `None` of a tombstone. What cannot be read is no range to go on without.
fn range(schemas: &mut Schemas, since: Instant, record: &Record<'_>) -> Result<Option<MirrorRange>, String> {
    let Some(value) = record.value else { return Ok(None) };
    schemas.learn_of(value, since.elapsed())?;
    schemas.formats.decode(value, RANGE).map(Some).map_err(|error| format!("this is no range: {error}"))
}
