//! The log of one partition: segments in order, producer memory, watermarks.
//!
//! Invariants: offsets only grow; a batch is readable as soon as it is written (a single node's high watermark is its
//! end); nothing at or beyond the first open transaction is given to a `read_committed` reader. Reading happens outside
//! the log's lock: `locate` hands out a [`Slice`] that stays valid.
//!
//! Not here: who waits for new records (`partition.rs`), when retention and compaction run (`housekeeping.rs`).

pub mod batch;
pub mod compaction;
mod lookup;
pub mod producers;
mod records;
mod recovery;
mod retention;
pub mod segment;

use super::outage::Outage;
use super::settings::Settings;
use crate::embedded::broker::Outcome;
use batch::Batch;
use kafka_protocol::error::ResponseError;
use producers::Producers;
use segment::{Segment, Slice};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

const NEVER_EMPTY: &str = "a log has at least one segment from open to close";

#[derive(Debug)]
pub struct Log {
    dir: PathBuf,
    /// Never empty; the last one is written to.
    segments: Vec<Segment>,
    start: i64,
    next: i64,
    pub producers: Producers,
    /// Up to which offset passes of compaction came, and when, since the broker's start.
    passes: Vec<(i64, i64)>,
    /// Files with writes that were not yet forced to disk.
    pub unsynced: Vec<Arc<File>>,
    outage: Outage,
}

/// What became of a client's batch.
#[derive(Debug, PartialEq, Eq)]
pub struct Placed {
    pub base_offset: i64,
    /// The broker's time if it replaced the producer's, else -1.
    pub broker_time: i64,
}

impl Log {
    pub fn start(&self) -> i64 {
        self.start
    }

    /// The high watermark: one behind the last record.
    pub fn end(&self) -> i64 {
        self.next
    }

    /// The last stable offset: one behind the last record whose transaction, if any, has ended.
    pub fn stable_end(&self) -> i64 {
        self.producers.first_open().unwrap_or(self.next)
    }

    /// Appends one batch of a client, or recognises it as a retry of one that is already here. `InvalidTxnState`: the partition is not
    /// part of its producer's transaction; the coordinator knows why.
    pub fn append(&mut self, records: &[u8], settings: &Settings, now: i64) -> Outcome<Placed> {
        let batch = Batch::parse(records).filter(|batch| batch.size == records.len());
        let batch = batch.ok_or(ResponseError::InvalidRecord)?;
        batch.check_from_client(records)?;
        if records.len() > settings.max_message_bytes {
            return Err(ResponseError::MessageTooLarge);
        }
        if let Some(base_offset) = self.producers.judge(&batch)? {
            return Ok(Placed { base_offset, broker_time: -1 });
        }
        if settings.compacted {
            // A compacted topic cannot keep records without a key.
            let keyless = records::find(&batch, records, |record| record.key.is_none());
            if keyless.map_err(|_| ResponseError::CorruptMessage)?.is_some() {
                return Err(ResponseError::InvalidRecord);
            }
        }
        let mut bytes = records.to_vec();
        let broker_time = if settings.broker_time { now } else { -1 };
        if settings.broker_time {
            batch::set_broker_time(&mut bytes, now);
        }
        let batch = self.write(&mut bytes, settings)?;
        self.producers.appended(&batch, now);
        Ok(Placed { base_offset: batch.base_offset, broker_time })
    }

    /// Appends the control record that ends a transaction here.
    pub fn end_transaction(&mut self, producer: (i64, i16), commit: bool, settings: &Settings, now: i64) -> Outcome {
        let batch = self.write(&mut batch::marker(producer.0, producer.1, commit, now), settings)?;
        self.producers.ended(&batch, commit, now);
        Ok(())
    }

    fn write(&mut self, bytes: &mut [u8], settings: &Settings) -> Outcome<Batch> {
        batch::set_offset(bytes, self.next);
        let batch = Batch::parse(bytes).ok_or(ResponseError::CorruptMessage)?;
        let written = self.put(bytes, &batch, settings);
        self.outage.note(format_args!("write to the log {}", self.dir.display()), &written);
        written.map_err(|_| ResponseError::KafkaStorageError)?;
        self.next = batch.last_offset() + 1;
        Ok(batch)
    }

    fn put(&mut self, bytes: &[u8], batch: &Batch, settings: &Settings) -> std::io::Result<()> {
        let active = self.active();
        let full = active.size + bytes.len() as u64 > settings.segment_bytes;
        let reach = active.first_timestamp.map_or(0, |first| batch.max_timestamp.saturating_sub(first));
        if active.size > 0 && (full || reach > settings.segment_ms) {
            self.roll()?;
        }
        let active = self.segments.last_mut().expect(NEVER_EMPTY);
        active.append(bytes, batch)?;
        if self.unsynced.last().is_none_or(|last| !Arc::ptr_eq(last, &active.file)) {
            self.unsynced.push(active.file.clone());
        }
        Ok(())
    }

    /// Seals the active segment and begins a new one at the end. The producers are written down beside it, because
    /// retention and compaction may remove the batches that tell of them; after it, because a start believes only what does not reach
    /// beyond the last segment's beginning.
    fn roll(&mut self) -> std::io::Result<()> {
        let fresh = Segment::open(segment::path(&self.dir, self.next), self.next)?;
        self.save_producers()?;
        self.segments.push(fresh);
        Ok(())
    }

    fn active(&self) -> &Segment {
        self.segments.last().expect(NEVER_EMPTY)
    }

    /// Where to read from `offset` on; `None` outside `start..=end`.
    pub fn locate(&self, offset: i64) -> Option<Slice> {
        if offset < self.start || offset > self.next {
            return None;
        }
        let at = self.segments.partition_point(|segment| segment.last_offset < offset);
        let segment = self.segments.get(at).unwrap_or(self.active());
        Some(segment.near(offset))
    }

    /// Deletes the records before `offset`, which the caller has checked against the end.
    pub fn delete_before(&mut self, offset: i64) -> std::io::Result<()> {
        self.start = self.start.max(offset);
        while self.segments.len() > 1 && self.segments[0].last_offset < self.start {
            self.segments.remove(0).remove()?;
        }
        Ok(())
    }
}
