//! One source partition of a shard, and what an open transaction has of it.

use crate::event::MirrorRange;
use crate::log::kafka::Message;
use crate::mirror::checksum::{Checksum, time_of_copy};
use crate::mirror::range::{Refused, Runs};
use crate::mirror::ranges::Span;
use crate::mirror::shard::{Frontier, Stop};
use crate::record::TopicPartition;

pub struct Lane {
    pub key: String,
    pub from: TopicPartition,
    pub to: TopicPartition,
    /// How far it is read; with what is committed, that is where a successor begins.
    pub frontier: Frontier,
    /// A range of it is on the target.
    pub is_known: bool,
    pub at_end: bool,
    /// When the newest committed copy was written.
    pub newest_ms: Option<i64>,
    open: Open,
}

/// Since the last commit.
struct Open {
    runs: Runs,
    sum: Checksum,
    first_ms: Option<i64>,
    last_ms: Option<i64>,
    /// Records whose copies do not say when they were written.
    moved_times: u64,
}

impl Open {
    fn from(source_start: i64) -> Self {
        let (runs, sum) = (Runs::from(source_start), Checksum::default());
        Self { runs, sum, first_ms: None, last_ms: None, moved_times: 0 }
    }
}

impl Lane {
    pub fn new(key: String, from: TopicPartition, to: TopicPartition, frontier: Frontier, is_known: bool) -> Self {
        let open = Open::from(frontier.next);
        Self { key, from, to, frontier, is_known, at_end: false, newest_ms: None, open }
    }

    /// A record is about to be copied; answers its bytes.
    pub fn read(&mut self, message: &Message) -> Result<usize, Stop> {
        self.pass(message)?;
        let (at, before) = (message.timestamp().0, self.open.sum.bytes);
        let headers = message.header_list();
        self.open.sum.add(message.key(), message.value(), at, headers.into_iter());
        self.open.moved_times += u64::from(time_of_copy(at) != at);
        self.open.first_ms.get_or_insert(at);
        self.open.last_ms = Some(at);
        Ok(usize::try_from(self.open.sum.bytes - before).unwrap_or_default())
    }

    /// A record is not to be copied.
    pub fn pass(&mut self, message: &Message) -> Result<(), Stop> {
        self.at_end = false;
        self.frontier.read(&self.key, message.offset(), message.epoch())
    }

    /// Read to its end, which lies past marks.
    pub fn end(&mut self, next: i64) {
        self.frontier.next = self.frontier.next.max(next);
        self.at_end = true;
    }

    /// Begins elsewhere, nothing having been read.
    pub fn begin_at(&mut self, next: i64) {
        self.frontier.next = next;
        self.open = Open::from(next);
    }

    pub fn delivered(&mut self, span: Span) -> Result<(), Refused> {
        self.open.runs.push(span)
    }

    /// There is something to tell: records, or only that it was read on.
    pub fn has_moved(&self) -> bool {
        self.frontier.next > self.open.runs.source_start()
    }

    /// Of the records that are open: how many, and the bytes of keys, values and headers.
    pub fn taken(&self) -> (i64, i64) {
        (self.open.sum.records, self.open.sum.bytes)
    }

    /// Of the records that are open: how many are copied with another time than their own.
    pub fn moved_times(&self) -> u64 {
        self.open.moved_times
    }

    /// When the newest copied record was written.
    pub fn last_ms(&self) -> Option<i64> {
        self.open.last_ms
    }

    /// All that is open, as a fact; the next range begins where it ends.
    pub fn range(&mut self, flow: &str, now_ms: i64) -> Result<MirrorRange, Refused> {
        let Open { runs, sum, first_ms, last_ms, .. } =
            std::mem::replace(&mut self.open, Open::from(self.frontier.next));
        let source_start = runs.source_start();
        let (target_start, runs) = runs.finish(sum.records)?;
        Ok(MirrorRange {
            flow_partition: self.key.clone(),
            flow: flow.to_owned(),
            source_topic: self.from.topic.to_string(),
            source_topic_id: self.frontier.topic_id.clone(),
            source_partition: self.from.partition.0,
            source_start,
            source_end: self.frontier.next,
            source_epoch: self.frontier.epoch,
            target_topic: self.to.topic.to_string(),
            target_partition: self.to.partition.0,
            target_start,
            runs,
            records: sum.records,
            bytes: sum.bytes,
            crc32c: sum.crc32c.into(),
            first_timestamp_ms: first_ms,
            last_timestamp_ms: last_ms,
            copied_at_ms: now_ms,
        })
    }
}
