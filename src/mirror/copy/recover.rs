//! How a worker begins: what the target says of its shard, and where each source partition goes on; later, what came new.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::lane::Lane;
use super::worker::Worker;
use super::{Ended, Flow, Pair, Shared};
use crate::codec::Formats;
use crate::event::migration::flow_partition;
use crate::event::{Fact, FactKind};
use crate::log::Error;
use crate::log::kafka::{KafkaReader, KafkaRelay};
use crate::mirror::shard::{Frontier, Stop, shard_of};
use crate::record::{Batch, Offset, Partition, TopicPartition};
use crate::runtime::Schemas;

const READ_BYTES_MAX: usize = 4 << 20;

/// What was read of a shard's ranges, so that the next worker of this process need not read it again. Only what was read back is in
/// it, never what was written.
pub struct Memory {
    /// The next offset of the shard's partition of the offsets topic.
    next: Offset,
    pub frontiers: BTreeMap<String, Frontier>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { next: Offset(0), frontiers: BTreeMap::new() }
    }
}

impl Memory {
    /// Reads what was written since, to the true end: the predecessor is fenced, so nothing comes after.
    pub fn catch_up(&mut self, flow: &Flow, partition: &TopicPartition, relay: &mut KafkaRelay) -> Result<(), Ended> {
        let mut schemas = Schemas::new((*flow.formats).clone(), flow.schemas.clone());
        let flow = flow.name.as_str();
        let (frontiers, mut stop) = (&mut self.frontiers, None);
        let read = relay.read_back(partition, self.next, READ_BYTES_MAX, |batch| {
            schemas.learn(batch, Duration::ZERO).map_err(Error::Unavailable)?;
            if stop.is_none() {
                stop = fold(frontiers, flow, &schemas.formats, batch)?;
            }
            Ok(())
        });
        self.next = read?;
        stop.map_or(Ok(()), |stop| Err(stop.into()))
    }
}

fn fold(
    frontiers: &mut BTreeMap<String, Frontier>,
    flow: &str,
    formats: &Formats,
    batch: &Batch,
) -> Result<Option<Stop>, Error> {
    for record in batch.iter() {
        let Some(value) = record.value else { continue };
        let (topic, offset) = (record.topic, record.offset.0);
        let fact = formats
            .decode_fact(FactKind::MirrorRange, value)
            .map_err(|error| Error::Fatal(format!("{topic}-{}, offset {offset}: {error}", record.partition.0)))?;
        let Fact::MirrorRange(range) = fact else { continue };
        if range.flow != flow {
            continue;
        }
        match Frontier::after(frontiers.get(&range.flow_partition), &range) {
            Ok(frontier) => drop(frontiers.insert(range.flow_partition, frontier)),
            Err(stop) => return Ok(Some(stop)),
        }
    }
    Ok(None)
}

impl<'a> Worker<'a> {
    /// Fences whoever had the shard, ends what was left open, reads how far the shard is, and goes on there.
    pub fn start(shared: &'a Shared, number: i32, memory: &mut Memory, stop: &'a AtomicBool) -> Result<Self, Ended> {
        let flow = &shared.flow;
        let offsets = TopicPartition::new(&flow.offsets, Partition(number));
        let pairs = (flow.pairs)(stop)?;
        let mut written: Vec<_> = own(shared, number, &pairs).map(|(_, _, _, to)| to).collect();
        written.push(offsets.clone());
        let (between, id) = ((&flow.from, &flow.to), flow.transactional_id(number));
        let mut relay = KafkaRelay::new(between, &flow.group, &id, &written)?;
        memory.catch_up(flow, &offsets, &mut relay)?;
        let mut worker = Self::new((shared, stop), number, offsets, relay);
        worker.take_up(&pairs, &memory.frontiers)?;
        tracing::info!(flow = flow.name, shard = number, partitions = worker.lanes(), "the shard copies");
        Ok(worker)
    }

    /// Partitions that were not copied so far: new topics, grown ones, all at the start.
    pub fn take_up(&mut self, pairs: &[Pair], known: &BTreeMap<String, Frontier>) -> Result<(), Ended> {
        let mut new = Vec::new();
        for (pair, key, from, to) in own(self.shared, self.number, pairs) {
            if let Some(frontier) = self.frontier(&key) {
                frontier.same_topic(&key, pair.topic_id.as_deref())?;
                continue;
            }
            if pair.to_partitions <= from.partition.0 {
                let (topic, number) = (to.topic.to_string(), from.partition.0);
                return Err(Stop::TargetMissing { partition: key, topic, number }.into());
            }
            new.push((pair.topic_id.clone(), key, from, to));
        }
        let begins =
            self.begins(new.iter().filter(|(_, key, ..)| !known.contains_key(key)).map(|(_, _, from, _)| from))?;
        let mut lanes = Vec::with_capacity(new.len());
        for (topic_id, key, from, to) in new {
            let lane = match known.get(&key) {
                Some(frontier) => {
                    frontier.same_topic(&key, topic_id.as_deref())?;
                    let topic_id = topic_id.or_else(|| frontier.topic_id.clone());
                    Lane::new(key, from, to, Frontier { topic_id, ..frontier.clone() }, true)
                }
                None => {
                    let next = begins.get(&from).map_or(0, |begin| begin.0);
                    Lane::new(key, from, to, Frontier { next, topic_id, epoch: None }, false)
                }
            };
            lanes.push(lane);
        }
        self.add(lanes)
    }

    /// The first offsets that the source has.
    fn begins<'b>(
        &self,
        partitions: impl Iterator<Item = &'b TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, Offset>, Error> {
        let asked: Vec<_> = partitions.cloned().collect();
        if asked.is_empty() {
            return Ok(BTreeMap::new());
        }
        let bounds = self.look()?.bounds(&asked)?;
        Ok(asked.into_iter().zip(bounds).map(|(partition, bounds)| (partition, bounds.low)).collect())
    }

    /// For questions about the source.
    pub fn look(&self) -> Result<KafkaReader, Error> {
        let flow = &self.shared.flow;
        KafkaReader::new(&flow.from, &flow.group)
    }
}

/// What of these pairs is this shard's: with its key, from where, to where.
fn own<'p>(
    shared: &'p Shared,
    number: i32,
    pairs: &'p [Pair],
) -> impl Iterator<Item = (&'p Pair, String, TopicPartition, TopicPartition)> {
    let flow = &shared.flow;
    pairs.iter().flat_map(move |pair| {
        (0..pair.partitions).filter_map(move |partition| {
            let key = flow_partition(&flow.name, pair.from.as_str(), partition);
            let (from, to) = (&pair.from, &pair.to);
            let partition = Partition(partition);
            (i32::from(shard_of(&key, flow.shards)) == number)
                .then(|| (pair, key, TopicPartition::new(from, partition), TopicPartition::new(to, partition)))
        })
    })
}
