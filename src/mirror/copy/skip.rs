//! Going on behind what is lost: a range without a record, written as the shard itself would.
//!
//! Whoever has the shard is fenced by it, and begins anew behind the gap; so it may run meanwhile. Under a crash there is the range or
//! there is none, and it can be asked for again.

use std::sync::atomic::AtomicBool;

use super::lane::Lane;
use super::recover::Memory;
use super::{Ended, Flow};
use crate::event::Fact;
use crate::event::migration::flow_partition;
use crate::log::Error;
use crate::log::kafka::KafkaRelay;
use crate::mirror::shard::shard_of;
use crate::record::{EventTime, NewRecord, Partition, Topic, TopicPartition};

/// Source offsets that will not be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skipped {
    pub from: i64,
    pub to: i64,
}

/// The next offset to be copied of this source partition is `to`, and none before it that is not copied yet. Blocks.
pub fn skip(flow: &Flow, topic: &str, partition: i32, to: i64) -> Result<Skipped, Ended> {
    let key = flow_partition(&flow.name, topic, partition);
    let number = i32::from(shard_of(&key, flow.shards));
    let offsets = TopicPartition::new(&flow.offsets, Partition(number));
    let (between, id) = ((&flow.from, &flow.to), flow.transactional_id(number));
    let mut relay = KafkaRelay::new(between, &flow.group, &id, std::slice::from_ref(&offsets))?;
    let mut memory = Memory::default();
    memory.catch_up(flow, &offsets, &mut relay)?;
    let Some(frontier) = memory.frontiers.get(&key).cloned() else {
        return Err(Error::Fatal(format!("{key}: nothing of it was copied yet, so there is nothing to skip")).into());
    };
    let from = frontier.next;
    if to <= from {
        return Err(Error::Fatal(format!("{key}: {from} is to be copied next already; --to must be above it")).into());
    }
    let pair = (flow.pairs)(&AtomicBool::new(false))?.into_iter().find(|pair| pair.from.as_str() == topic);
    let Some(pair) = pair else {
        return Err(Error::Fatal(format!("{topic} is no topic that mirror {} copies", flow.name)).into());
    };
    let at = |topic: &Topic| TopicPartition::new(topic, Partition(partition));
    let mut lane = Lane::new(key.clone(), at(&pair.from), at(&pair.to), frontier, true);
    lane.end(to);
    let now_ms = flow.clock.now().0;
    let range = lane.range(&flow.name, now_ms).map_err(|refused| Error::Fatal(refused.to_string()))?;
    let mut value = Vec::new();
    let encoded = flow.formats.encode_fact(&Fact::MirrorRange(range), &mut value);
    encoded.map_err(|error| Error::Fatal(error.to_string()))?;
    relay.begin()?;
    relay.produce(&NewRecord {
        topic: offsets.topic,
        partition: Some(offsets.partition),
        timestamp: EventTime(now_ms),
        key: Some(key.into_bytes()),
        value: Some(value),
        headers: Vec::new(),
    })?;
    relay.commit()?;
    Ok(Skipped { from, to })
}
