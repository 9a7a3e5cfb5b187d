//! Topics of three kinds, 1,000 groups with a random position each, and what a reader finds on the other side: for the tests, and for
//! the comparison with MirrorMaker 2 (`benches/mirror_offsets/`).
//!
//! What a group has not read on the source is the rest of the log from its position on; what it is given on the target is the rest from
//! the position that was committed for it there. The copy is proven to be the same records in the same order, so the rests are the
//! same if they have the same first record and the same length; what is too much was re-delivered, what is missing skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fairlead::log::client::Connection;
use fairlead::record::Topic;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use super::pair::{Pairing, Seen, all, record};
use crate::harness::until;

pub const COMMITS: usize = 1000;

/// Settings of a source that is compacted soon.
pub const COMPACTED: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("segment.ms", "200"),
    ("min.cleanable.dirty.ratio", "0.01"),
    ("max.compaction.lag.ms", "500"),
];

/// 3,000 records, one after the other.
pub fn plain(pairing: &Pairing) {
    let topic = &pairing.topics[0].0;
    let producer: BaseProducer = pairing.source.producer().create().unwrap();
    for number in 0..3000 {
        let value = format!("value-{number}");
        producer
            .send(BaseRecord::<str, str>::to(topic.as_str()).partition(0).payload(&value))
            .map_err(|(e, _)| e)
            .unwrap();
        if number % 300 == 0 {
            producer.flush(Duration::from_secs(30)).unwrap();
        }
    }
    producer.flush(Duration::from_secs(30)).unwrap();
}

/// 100 transactions of 30 records, every fourth of which is aborted.
pub fn transactional(pairing: &Pairing) {
    let topic = &pairing.topics[0].0;
    let mut writer = pairing.writer("w");
    for turn in 0..100 {
        writer.begin().unwrap();
        (0..30).for_each(|number| writer.produce(&record(topic, 0, turn * 30 + number)).unwrap());
        if turn % 4 == 2 { writer.abort().unwrap() } else { writer.commit().unwrap() }
    }
}

/// 3,000 records, most of which are compacted away before this returns.
pub fn compacted(pairing: &Pairing) {
    let topic = &pairing.topics[0].0;
    let mut writer = pairing.writer("w");
    for turn in 0..10 {
        writer.begin().unwrap();
        for number in turn * 300..(turn + 1) * 300 {
            let mut record = record(topic, 0, number);
            record.key = Some(format!("key-{}", number % (37 + turn * 100)).into_bytes());
            writer.produce(&record).unwrap();
        }
        writer.commit().unwrap();
        std::thread::sleep(Duration::from_millis(300));
    }
    until_compacted(pairing);
}

/// Waits until each key of the source is there once: the cleaner comes once more for every segment that is rolled, and then alone has
/// nothing left that it could take away between the copy and the proof. What was written last must be in a segment that was rolled.
pub fn until_compacted(pairing: &Pairing) {
    until("each key of the source is there once", || {
        let seen = all(&pairing.source, &pairing.topics[0].0, 0).ok()?;
        let keys: BTreeSet<_> = seen.iter().map(|record| &record.key).collect();
        (keys.len() == seen.len()).then_some(())
    });
}

/// By group: anywhere in the log, its beginning and its end among them.
pub fn positions(pairing: &Pairing) -> BTreeMap<String, i64> {
    let last = all(&pairing.source, &pairing.topics[0].0, 0).unwrap().last().unwrap().offset;
    let mut random = Random(7);
    let mut position = |number| match number {
        0 => 0,
        1 => last + 1,
        _ => i64::try_from(random.below(u64::try_from(last + 2).unwrap())).unwrap(),
    };
    (0..COMMITS).map(|number| (format!("{}.{number}", pairing.flow), position(number))).collect()
}

/// Over all groups that have an offset on the target: records that they are given again, and that they are not given.
pub struct Switched {
    pub groups: usize,
    pub again: usize,
    pub skipped: usize,
}

/// Reads at each committed offset what is there.
pub fn switched(
    pairing: &Pairing,
    (connection, copy): (&Connection, &Topic),
    positions: &BTreeMap<String, i64>,
    committed: &BTreeMap<String, i64>,
) -> Switched {
    let source = all(&pairing.source, &pairing.topics[0].0, 0).unwrap();
    let target = all(connection, copy, 0).unwrap();
    // Each place waits for what was asked for at the one before.
    let consumer: BaseConsumer = connection.consumer("it.switched").set("fetch.wait.max.ms", "5").create().unwrap();
    let mut switched = Switched { groups: 0, again: 0, skipped: 0 };
    for (group, position) in positions {
        let Some(offset) = committed.get(group) else { continue };
        let from = |seen: &[Seen], from: i64| seen.partition_point(|record| record.offset < from);
        let (unread, given) = (source.len() - from(&source, *position), target.len() - from(&target, *offset));
        switched.groups += 1;
        switched.again += given.saturating_sub(unread);
        switched.skipped += unread.saturating_sub(given);
        // What stands there is what a consumer is given.
        let expected =
            target.get(from(&target, *offset)).map(|seen| (seen.offset, seen.value.clone().unwrap_or_default()));
        assert_eq!(first_read(&consumer, copy, *offset, expected.is_some()), expected, "{group}");
    }
    switched
}

/// What a consumer that goes on there is given first.
fn first_read(consumer: &BaseConsumer, topic: &Topic, offset: i64, has_more: bool) -> Option<(i64, Vec<u8>)> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic.as_str(), 0, Offset::Offset(offset)).unwrap();
    consumer.assign(&list).unwrap();
    let read = || {
        let message = consumer.poll(Duration::from_millis(if has_more { 200 } else { 50 }))?.ok()?;
        Some((message.offset(), message.payload().unwrap_or_default().to_vec()))
    };
    if has_more { Some(until("a record from the committed offset", read)) } else { read() }
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
