//! The vocabulary of the log: topics, partitions, offsets, event time, records and batches of them.
//!
//! Invariants: a [`Batch`] owns all its bytes in one arena, so that a poll of ten thousand records costs a handful of
//! allocations; a [`Record`] only borrows from it. Nothing here decodes, routes or does I/O.
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

mod partitioner;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use partitioner::partition;

/// Milliseconds since the Unix epoch, as Kafka's record timestamps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventTime(pub i64);

impl EventTime {
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to `self`; negative when `earlier` is later.
    pub fn since_ms(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Topic(pub Arc<str>);

impl Topic {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Kafka's bound on the length of a topic's name.
pub const TOPIC_NAME_CHARS_MAX: usize = 249;

/// Whether Kafka takes it for the name of a topic.
pub fn is_topic_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=TOPIC_NAME_CHARS_MAX).contains(&name.len()) && !matches!(name, "." | "..") && name.chars().all(legal)
}

impl From<&str> for Topic {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Partition(pub i32);

/// Position of a record in its partition. A *next* offset (one past the last consumed) is an `Offset` too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offset(pub i64);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    pub topic: Topic,
    pub partition: Partition,
}

impl TopicPartition {
    pub fn new(topic: &Topic, partition: Partition) -> Self {
        Self { topic: topic.clone(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition.0)
    }
}

/// A record as it was read. `value: None` is a tombstone, which is not an empty value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record<'a> {
    pub topic: &'a Topic,
    pub partition: Partition,
    pub offset: Offset,
    pub timestamp: EventTime,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

/// A record to be written. The partition is chosen by the key (murmur2, as Java's default) unless it is given.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRecord {
    pub topic: Topic,
    pub partition: Option<Partition>,
    pub timestamp: EventTime,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<Header>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub name: Arc<str>,
    pub value: Option<Vec<u8>>,
}

/// The headers of one record, borrowed from its batch, in their order.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    arena: &'a [u8],
    spans: &'a [HeaderSpan],
}

impl<'a> Headers<'a> {
    pub const NONE: Headers<'static> = Headers { arena: &[], spans: &[] };

    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> + 'a {
        let arena = self.arena;
        self.spans.iter().map(move |span| {
            // A header name that is no UTF-8 is kept out by `BatchBuilder::push`.
            let name = std::str::from_utf8(&arena[span.name.clone()]).unwrap_or_default();
            (name, span.value.clone().map(|value| &arena[value]))
        })
    }

    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.iter().find(|(candidate, _)| *candidate == name).and_then(|(_, value)| value)
    }
}

impl PartialEq for Headers<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

#[derive(Clone, Debug)]
struct HeaderSpan {
    name: Range<usize>,
    value: Option<Range<usize>>,
}

#[derive(Clone, Debug)]
struct Entry {
    topic: u16,
    partition: Partition,
    offset: Offset,
    timestamp: EventTime,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: Range<usize>,
}

/// What one poll brought: records of any number of partitions over one arena of bytes.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    arena: Vec<u8>,
    topics: Vec<Topic>,
    headers: Vec<HeaderSpan>,
    entries: Vec<Entry>,
}

impl Batch {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of keys, values and headers.
    pub fn bytes(&self) -> usize {
        self.arena.len()
    }

    pub fn get(&self, index: usize) -> Record<'_> {
        let entry = &self.entries[index];
        Record {
            topic: &self.topics[usize::from(entry.topic)],
            partition: entry.partition,
            offset: entry.offset,
            timestamp: entry.timestamp,
            key: entry.key.clone().map(|span| &self.arena[span]),
            value: entry.value.clone().map(|span| &self.arena[span]),
            headers: Headers { arena: &self.arena, spans: &self.headers[entry.headers.clone()] },
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// The one order in which a batch is processed, live and on replay: event time, then topic, partition, offset.
    pub fn sort(&mut self) {
        let topics = &self.topics;
        self.entries.sort_unstable_by(|a, b| {
            (a.timestamp, &topics[usize::from(a.topic)], a.partition, a.offset).cmp(&(
                b.timestamp,
                &topics[usize::from(b.topic)],
                b.partition,
                b.offset,
            ))
        });
    }

    /// Forgets the records but keeps the memory for the next poll.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.headers.clear();
        self.entries.clear();
    }

    /// Copies a record's bytes into the arena.
    pub fn push(&mut self, record: &Record<'_>) {
        let topic = self.topic_index(record.topic);
        let key = record.key.map(|bytes| self.keep(bytes));
        let value = record.value.map(|bytes| self.keep(bytes));
        let first_header = self.headers.len();
        for (name, value) in record.headers.iter() {
            self.push_header(name, value);
        }
        let headers = first_header..self.headers.len();
        let Record { partition, offset, timestamp, .. } = *record;
        self.entries.push(Entry { topic, partition, offset, timestamp, key, value, headers });
    }

    /// Adds a header to the record that was pushed last.
    pub fn push_header_to_last(&mut self, name: &str, value: Option<&[u8]>) {
        self.push_header(name, value);
        let end = self.headers.len();
        if let Some(last) = self.entries.last_mut() {
            last.headers.end = end;
        }
    }

    fn push_header(&mut self, name: &str, value: Option<&[u8]>) {
        let name = self.keep(name.as_bytes());
        let value = value.map(|bytes| self.keep(bytes));
        self.headers.push(HeaderSpan { name, value });
    }

    fn topic_index(&mut self, topic: &Topic) -> u16 {
        let found = self.topics.iter().position(|known| known == topic).unwrap_or_else(|| {
            self.topics.push(topic.clone());
            self.topics.len() - 1
        });
        u16::try_from(found).expect("a batch reads the topics of one sub-topology, far below 65,536")
    }

    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes);
        start..self.arena.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record<'a>(topic: &'a Topic, partition: i32, offset: i64, at: i64, key: &'a [u8]) -> Record<'a> {
        Record {
            topic,
            partition: Partition(partition),
            offset: Offset(offset),
            timestamp: EventTime(at),
            key: Some(key),
            value: None,
            headers: Headers::NONE,
        }
    }

    #[test]
    fn a_batch_gives_back_what_was_pushed_in_the_order_of_event_time_topic_partition_offset() {
        let (alerts, deploys) = (Topic::from("b.alerts"), Topic::from("a.deploys"));
        let mut batch = Batch::default();
        batch.push(&record(&alerts, 0, 7, 50, b"late"));
        batch.push(&record(&alerts, 0, 6, 20, b"second"));
        batch.push(&record(&deploys, 0, 9, 20, b"first"));
        batch.push_header_to_last("trace", Some(b"t1"));
        batch.push_header_to_last("empty", None);
        batch.sort();
        let keys: Vec<_> = batch.iter().map(|r| String::from_utf8_lossy(r.key.unwrap()).into_owned()).collect();
        assert_eq!(keys, ["first", "second", "late"]);
        let first = batch.get(0);
        assert_eq!(first.headers.iter().collect::<Vec<_>>(), [("trace", Some(&b"t1"[..])), ("empty", None)]);
        assert_eq!((first.topic, first.offset, first.value), (&deploys, Offset(9), None));
        assert_eq!(batch.get(1).headers.get("trace"), None);
    }
}
