//! Committed offsets: written plainly or inside a transaction, and read back.

use super::text;
use crate::embedded::broker::coordinator::Coordinator;
use crate::embedded::broker::group::Caller;
use crate::embedded::broker::meta::{Committed, Entry, GroupOffsets, TopicPartition};
use crate::embedded::broker::node::{Node, now};
use crate::embedded::broker::txn::State;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::offset_fetch_response::{OffsetFetchResponsePartition, OffsetFetchResponseTopic};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse, TopicName,
    TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;

/// `offset.metadata.max.bytes`
const MAX_METADATA: usize = 4096;

/// One partition of a commit and what became of it.
struct Wish {
    partition: TopicPartition,
    committed: Committed,
    outcome: Result<(), ResponseError>,
}

impl Wish {
    fn new(node: &Node, topic: &str, partition: i32, offset: i64, epoch: i32, metadata: Option<&StrBytes>) -> Wish {
        let metadata = metadata.map(|metadata| metadata.to_string()).unwrap_or_default();
        let outcome = match node.partition(topic, partition) {
            Err(error) => Err(error),
            Ok(_) if metadata.len() > MAX_METADATA => Err(ResponseError::OffsetMetadataTooLarge),
            Ok(_) => Ok(()),
        };
        let committed = Committed { offset, leader_epoch: epoch, metadata };
        Wish { partition: (topic.to_owned(), partition), committed, outcome }
    }
}

/// Writes down the wishes that have no error of their own; `allowed` is the verdict on the whole commit.
fn settle(
    coordinator: &mut Coordinator,
    wishes: &mut [Wish],
    allowed: Result<(), ResponseError>,
    entry: impl FnOnce(Vec<(TopicPartition, Committed)>) -> Entry,
) {
    let good = wishes.iter().filter(|wish| wish.outcome.is_ok());
    let offsets: Vec<_> = good.map(|wish| (wish.partition.clone(), wish.committed.clone())).collect();
    let recorded = match allowed {
        Ok(()) if !offsets.is_empty() => coordinator.record(entry(offsets)),
        other => other,
    };
    for wish in wishes {
        wish.outcome = recorded.and(wish.outcome);
    }
}

/// The outcomes by topic, as responses list them.
fn by_topic(wishes: Vec<Wish>) -> BTreeMap<String, Vec<(i32, i16)>> {
    let mut topics: BTreeMap<String, Vec<(i32, i16)>> = BTreeMap::new();
    for wish in wishes {
        let (topic, partition) = wish.partition;
        topics.entry(topic).or_default().push((partition, super::code(&wish.outcome)));
    }
    topics
}

pub fn commit(node: &Node, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let mut wishes = Vec::new();
    for topic in &request.topics {
        for asked in &topic.partitions {
            let metadata = asked.committed_metadata.as_ref();
            let epoch = asked.committed_leader_epoch;
            wishes.push(Wish::new(node, &topic.name, asked.partition_index, asked.committed_offset, epoch, metadata));
        }
    }
    let mut coordinator = node.coordinator();
    let caller = Caller {
        member_id: &request.member_id,
        instance: request.group_instance_id.as_deref(),
        generation: request.generation_id_or_member_epoch,
    };
    let allowed = check(&mut coordinator, &request.group_id, caller, false);
    let group = request.group_id.to_string();
    settle(&mut coordinator, &mut wishes, allowed, |offsets| Entry::Offsets { group, offsets });
    let topics = by_topic(wishes).into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(partition, code)| {
            OffsetCommitResponsePartition::default().with_partition_index(partition).with_error_code(code)
        });
        OffsetCommitResponseTopic::default().with_name(TopicName(text(name))).with_partitions(partitions.collect())
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

/// Whether this caller may commit for the group. A group that nobody has joined takes commits from anybody.
fn check(
    coordinator: &mut Coordinator,
    group: &str,
    caller: Caller<'_>,
    in_transaction: bool,
) -> Result<(), ResponseError> {
    if group.is_empty() {
        return Err(ResponseError::InvalidGroupId);
    }
    match coordinator.groups.get_mut(group) {
        Some(group) => group.check_commit(caller, in_transaction, now()),
        None if caller.generation < 0 => Ok(()),
        None => Err(ResponseError::IllegalGeneration),
    }
}

pub fn commit_in_txn(node: &Node, request: TxnOffsetCommitRequest) -> TxnOffsetCommitResponse {
    let mut wishes = Vec::new();
    for topic in &request.topics {
        for asked in &topic.partitions {
            let metadata = asked.committed_metadata.as_ref();
            let epoch = asked.committed_leader_epoch;
            wishes.push(Wish::new(node, &topic.name, asked.partition_index, asked.committed_offset, epoch, metadata));
        }
    }
    let mut coordinator = node.coordinator();
    let allowed = check_txn(&mut coordinator, &request);
    let (group, producer_id) = (request.group_id.to_string(), request.producer_id.0);
    settle(&mut coordinator, &mut wishes, allowed, |offsets| Entry::Pending { group, producer_id, offsets });
    let topics = by_topic(wishes).into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|(partition, code)| {
            TxnOffsetCommitResponsePartition::default().with_partition_index(partition).with_error_code(code)
        });
        TxnOffsetCommitResponseTopic::default().with_name(TopicName(text(name))).with_partitions(partitions.collect())
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

/// The producer must be the current one and its transaction must know the group (`AddOffsetsToTxn`); the consumer
/// must be a member of the current generation (KIP-447).
fn check_txn(coordinator: &mut Coordinator, request: &TxnOffsetCommitRequest) -> Result<(), ResponseError> {
    let txn = coordinator.meta().txns.get(request.transactional_id.as_str());
    let txn = txn.ok_or(ResponseError::InvalidProducerIdMapping)?;
    // Kafka answers from the offsets' own partition here, which knows a fenced producer by its epoch.
    txn.check(request.producer_id.0, request.producer_epoch).map_err(|error| match error {
        ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
        other => other,
    })?;
    if txn.state != State::Ongoing || !txn.groups.contains(request.group_id.as_str()) {
        return Err(ResponseError::InvalidTxnState);
    }
    let caller = Caller {
        member_id: &request.member_id,
        instance: request.group_instance_id.as_deref(),
        generation: request.generation_id,
    };
    check(coordinator, &request.group_id, caller, true)
}

pub fn fetch(node: &Node, request: OffsetFetchRequest) -> OffsetFetchResponse {
    let coordinator = node.coordinator();
    let none = GroupOffsets::default();
    let group = coordinator.meta().groups.get(request.group_id.as_str()).unwrap_or(&none);
    let asked: Vec<TopicPartition> = match &request.topics {
        None => group.committed.keys().cloned().collect(),
        Some(topics) => topics
            .iter()
            .flat_map(|topic| topic.partition_indexes.iter().map(|index| (topic.name.to_string(), *index)))
            .collect(),
    };
    let mut topics: BTreeMap<String, Vec<OffsetFetchResponsePartition>> = BTreeMap::new();
    for key in asked {
        let answer = OffsetFetchResponsePartition::default().with_partition_index(key.1).with_metadata(Some(text("")));
        let answer = match group.committed.get(&key) {
            _ if request.require_stable && group.is_unstable(&key) => {
                answer.with_committed_offset(-1).with_error_code(ResponseError::UnstableOffsetCommit.code())
            }
            Some(committed) => answer
                .with_committed_offset(committed.offset)
                .with_committed_leader_epoch(committed.leader_epoch)
                .with_metadata(Some(text(committed.metadata.clone()))),
            None => answer.with_committed_offset(-1),
        };
        topics.entry(key.0).or_default().push(answer);
    }
    let topics = topics.into_iter().map(|(name, partitions)| {
        OffsetFetchResponseTopic::default().with_name(TopicName(text(name))).with_partitions(partitions)
    });
    OffsetFetchResponse::default().with_topics(topics.collect())
}
