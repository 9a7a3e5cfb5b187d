//! Two Kafkas, what is written to the one, and the proof that the other has it, each record once, where the ranges say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use fairlead::clock::Clock;
use fairlead::codec::Formats;
use fairlead::event::{Fact, FactKind, MirrorRange};
use fairlead::log::admin::{self, TopicPlan};
use fairlead::log::client::Connection;
use fairlead::log::kafka::{Identity, KafkaReader, KafkaWriter};
use fairlead::log::{Error, Reader};
use fairlead::mirror::checksum::{Checksum, time_of_copy};
use fairlead::mirror::copy::{Copies, Flow, Pair, topic_ids};
use fairlead::mirror::range::runs;
use fairlead::mirror::told;
use fairlead::record::{Batch, EventTime, Header, NewRecord, Partition, Topic, TopicPartition};
use fairlead::runtime::SchemaAnswer;
use fairlead::wire::Admin;

use crate::harness::apache::{Kafka, unique};
use crate::harness::{until, within};

pub const SHARDS: u16 = 3;

/// A copied record, as both sides must have it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub offset: i64,
    pub at: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Seen {
    /// Whatever its place.
    fn is_copy_of(&self, other: &Seen) -> bool {
        let told = |seen: &Seen| (seen.key.clone(), seen.value.clone(), seen.headers.clone());
        self.at == time_of_copy(other.at) && told(self) == told(other)
    }
}

/// A flow between two clusters, with topics of its own names.
pub struct Pairing {
    pub source: Connection,
    pub target: Connection,
    pub flow: String,
    pub offsets: Topic,
    pub topics: Vec<(Topic, Topic, i32)>,
}

impl Pairing {
    pub fn new(source: &str, target: &str, topics: &[(&str, i32)], config: &[(&str, &str)]) -> Pairing {
        let flow = unique("flow");
        let (source, target) = (Connection::new(source), Connection::new(target));
        let named = |(name, partitions): &(&str, i32)| {
            (Topic::from(&*format!("{flow}.{name}")), Topic::from(&*format!("copy.{flow}.{name}")), *partitions)
        };
        let topics: Vec<_> = topics.iter().map(named).collect();
        let offsets = Topic::from(&*format!("it.{flow}-offsets.v1"));
        create(&target, &offsets, SHARDS.into(), &[("retention.ms", "-1")]);
        for (from, to, partitions) in &topics {
            create(&source, from, *partitions, config);
            create(&target, to, *partitions, &[]);
        }
        Pairing { source, target, flow, offsets, topics }
    }

    pub fn flow(&self) -> Flow {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let runtime = Arc::new(runtime);
        let ids = runtime.block_on(async { topic_ids(&self.source).unwrap() });
        let (from, to) = (Admin::new(&self.source).unwrap(), Admin::new(&self.target).unwrap());
        let topics = self.topics.clone();
        let pairs = move |stop: &AtomicBool| {
            let ask = |admin: &Admin| {
                let told = runtime.block_on(told::unless(stop, admin.topics(None)))?;
                told.map_err(|error| Error::Unavailable(error.to_string()))
            };
            let (there, here) = (ask(&from)?, ask(&to)?);
            let pair = |(from, to, _): &(Topic, Topic, i32)| {
                let source = there.iter().find(|topic| topic.name == from.as_str())?;
                let target = here.iter().find(|topic| topic.name == to.as_str())?;
                Some(Pair {
                    from: from.clone(),
                    topic_id: source.id.clone(),
                    partitions: i32::try_from(source.partitions.len()).unwrap(),
                    to: to.clone(),
                    to_partitions: i32::try_from(target.partitions.len()).unwrap(),
                })
            };
            Ok(topics.iter().filter_map(pair).collect())
        };
        Flow {
            name: self.flow.clone(),
            from: self.source.clone(),
            to: self.target.clone(),
            offsets: self.offsets.clone(),
            shards: SHARDS,
            group: format!("it.{}", self.flow),
            instance: unique("instance"),
            rate_bytes_max: None,
            refresh: Duration::from_secs(1),
            pairs: Arc::new(pairs),
            ids,
            native: None,
            formats: Arc::new(Formats::shipped()),
            schemas: Arc::new(|_| SchemaAnswer::NotFound),
            clock: Clock::wall(),
        }
    }

    pub fn start(&self) -> Copies {
        Copies::start(vec![self.flow()], &prometheus::Registry::new()).unwrap()
    }

    pub fn writer(&self, name: &str) -> KafkaWriter {
        let writes = self.topics.iter().map(|(from, ..)| from.clone()).collect();
        let transactional_id = format!("{}.{name}", self.flow);
        let identity = Identity { group: self.flow.clone(), transactional_id, instance_id: None, writes };
        KafkaWriter::new(&self.source, &identity).unwrap()
    }

    /// Waits until the frontiers are at the ends of the source, and proves the rest.
    pub fn prove(&self) -> Vec<MirrorRange> {
        let mut ends = BTreeMap::new();
        let source = KafkaReader::new(&self.source, "it.prove").unwrap();
        for (from, _, partitions) in &self.topics {
            for partition in 0..*partitions {
                let at = TopicPartition::new(from, Partition(partition));
                let high = until("the source's end", || source.watermarks(&at).ok()).high.0;
                ends.insert((from.to_string(), partition), high);
            }
        }
        // After a broker's death what was open there ends by its own time first, and members join anew.
        within(Duration::from_secs(240), "the frontiers at the ends of the source", || {
            let ranges = self.ranges().inspect_err(|error| eprintln!("ranges: {error}")).ok()?;
            let reached = |((topic, partition), end): (&(String, i32), &i64)| {
                let of =
                    ranges.iter().filter(|range| range.source_topic == *topic && range.source_partition == *partition);
                *end == 0 || of.map(|range| range.source_end).max() >= Some(*end)
            };
            ends.iter().all(reached).then_some(())
        });
        let ranges = self.ranges().unwrap();
        for (from, to, partitions) in &self.topics {
            for partition in 0..*partitions {
                let of =
                    |range: &&MirrorRange| range.source_topic == from.as_str() && range.source_partition == partition;
                self.prove_one(from, to, partition, &ranges.iter().filter(of).collect::<Vec<_>>());
            }
        }
        ranges
    }

    fn prove_one(&self, from: &Topic, to: &Topic, partition: i32, ranges: &[&MirrorRange]) {
        let (source, target) = (all(&self.source, from, partition).unwrap(), all(&self.target, to, partition).unwrap());
        let lost = source.iter().zip(&target).find(|(a, b)| !b.is_copy_of(a));
        assert_eq!(lost, None, "{from}-{partition}: other content, or another order");
        assert_eq!(source.len(), target.len(), "{from}-{partition}: lost or doubled");
        let (mut next, mut copied) = (ranges.first().map_or(0, |range| range.source_start), Vec::new());
        for range in ranges {
            assert_eq!(range.source_start, next, "{from}-{partition}: ranges do not join");
            next = range.source_end;
            let mut sum = Checksum::default();
            for run in runs(range) {
                assert!(run.source_end() <= range.source_end);
                for i in 0..run.count {
                    let here = source.binary_search_by_key(&(run.source + i), |seen| seen.offset);
                    let seen =
                        &source[here.unwrap_or_else(|_| panic!("{from}-{partition}: no record at {}", run.source + i))];
                    let headers: Vec<_> = seen.headers.iter().map(|(n, v)| (n.as_bytes(), v.as_deref())).collect();
                    sum.add(seen.key.as_deref(), seen.value.as_deref(), seen.at, headers.into_iter());
                    copied.push((run.source + i, run.target + i));
                }
            }
            assert_eq!((range.records, range.bytes, range.crc32c), (sum.records, sum.bytes, i64::from(sum.crc32c)));
        }
        let true_offsets: Vec<_> = source.iter().zip(&target).map(|(a, b)| (a.offset, b.offset)).collect();
        assert_eq!(copied, true_offsets, "{from}-{partition}: ranges tell other places");
    }

    pub fn ranges(&self) -> Result<Vec<MirrorRange>, Error> {
        let formats = Formats::shipped();
        let mut ranges = Vec::new();
        for shard in 0..SHARDS {
            for seen in all(&self.target, &self.offsets, shard.into())? {
                let value = seen.value.expect("a range has a value");
                // In front of the body stand the five bytes of the envelope; the registry may have given another id.
                let Fact::MirrorRange(range) = formats.decode_fact(FactKind::MirrorRange, &shipped(value)).unwrap()
                else {
                    panic!("another fact");
                };
                assert_eq!(seen.key.as_deref(), Some(range.flow_partition.as_bytes()));
                ranges.push(range);
            }
        }
        Ok(ranges)
    }
}

/// The same body under the id that the shipped schemas have without a registry.
fn shipped(mut value: Vec<u8>) -> Vec<u8> {
    let at = FactKind::ALL.iter().position(|kind| *kind == FactKind::MirrorRange).unwrap();
    value[1..5].copy_from_slice(&i32::try_from(at + 1).unwrap().to_be_bytes());
    value
}

/// All committed records, to the true end.
pub fn all(connection: &Connection, topic: &Topic, partition: i32) -> Result<Vec<Seen>, Error> {
    let mut reader = KafkaReader::new(connection, "it.prove")?;
    let at = TopicPartition::new(topic, Partition(partition));
    let ends = reader.watermarks(&at)?;
    let (mut next, mut seen, mut batch) = (ends.low, Vec::new(), Batch::default());
    let mut idle = 0;
    while next < ends.high {
        batch.clear();
        let before = next;
        next = reader.read(&at, next, 1 << 20, Duration::from_secs(1), &mut batch)?;
        idle = if next == before { idle + 1 } else { 0 };
        if idle == 15 {
            return Err(Error::Unavailable(format!("{at}: {} of {} can be read", next.0, ends.high.0)));
        }
        seen.extend(batch.iter().map(|record| Seen {
            offset: record.offset.0,
            at: record.timestamp.0,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers.iter().map(|(n, v)| (n.to_owned(), v.map(<[u8]>::to_vec))).collect(),
        }));
    }
    Ok(seen)
}

pub fn create(connection: &Connection, topic: &Topic, partitions: i32, config: &[(&str, &str)]) {
    let config = config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let plan = TopicPlan { name: topic.to_string(), partitions, replication: Some(1), config };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(admin::ensure_topics(connection, &[plan])).unwrap();
}

/// Of many shapes: with and without key, value, headers.
pub fn record(topic: &Topic, partition: i32, number: i64) -> NewRecord {
    let header = |name: &str, value: Option<&[u8]>| Header { name: name.into(), value: value.map(<[u8]>::to_vec) };
    NewRecord {
        topic: topic.clone(),
        partition: Some(Partition(partition)),
        timestamp: EventTime(Clock::wall().now().0 - 1000 + number % 7),
        key: (number % 5 != 0).then(|| format!("key-{}", number % 11).into_bytes()),
        value: (number % 6 != 0)
            .then(|| format!("{number}-{}", "x".repeat(usize::try_from(number % 300).unwrap())).into_bytes()),
        headers: match number % 3 {
            0 => vec![header("a", Some(b"1")), header("a", Some(b"")), header("none", None)],
            _ => Vec::new(),
        },
    }
}

/// Whether a shared Kafka, to which others write too, is not enough: two of one's own.
pub fn two() -> (Kafka, Kafka) {
    (Kafka::start_own(&[]), Kafka::start_own(&[]))
}
