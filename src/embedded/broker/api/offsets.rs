//! Committed offsets: written plainly or inside a transaction, and read back.

use super::*;
use crate::embedded::broker::group::Caller;
use crate::embedded::broker::txn::State;
use kafka_protocol::messages::offset_commit_response::*;
use kafka_protocol::messages::offset_fetch_response::*;
use kafka_protocol::messages::txn_offset_commit_response::*;
use std::collections::BTreeMap;

/// `offset.metadata.max.bytes`
const MAX_METADATA: usize = 4096;

/// One partition's part of a commit.
type Wish = (TopicPartition, Committed);

fn wish(topic: &str, partition: i32, offset: i64, leader_epoch: i32, metadata: &Option<StrBytes>) -> Wish {
    let metadata = metadata.as_deref().unwrap_or_default().to_owned();
    ((topic.to_owned(), partition), Committed { offset, leader_epoch, metadata })
}

/// Writes down the wishes that have no error of their own, and tells what became of each; `allowed` is the verdict on the whole commit.
fn settle(
    node: &Node,
    coordinator: &mut Coordinator,
    wishes: Vec<Wish>,
    allowed: Outcome,
    group: String,
    producer_id: Option<i64>,
) -> Vec<(TopicPartition, i16)> {
    let fits = |((topic, partition), committed): &Wish| match node.partition(topic, *partition) {
        Ok(_) if committed.metadata.len() > MAX_METADATA => Err(ResponseError::OffsetMetadataTooLarge),
        known => known.map(|_| ()),
    };
    let good: Vec<Wish> = wishes.iter().filter(|wish| fits(wish).is_ok()).cloned().collect();
    let recorded = match allowed {
        Ok(()) if !good.is_empty() => coordinator.record(Entry::Offsets { group, producer_id, offsets: good }),
        other => other,
    };
    let outcomes = wishes.into_iter().map(|wish| (code(&recorded.and(fits(&wish))), wish.0));
    outcomes.map(|(code, partition)| (partition, code)).collect()
}

/// The answers by topic, as responses list them.
fn by_topic<T, P>(answers: Vec<(TopicPartition, T)>, told: impl Fn(i32, T) -> P) -> Vec<(TopicName, Vec<P>)> {
    let mut topics: BTreeMap<String, Vec<P>> = BTreeMap::new();
    for ((topic, partition), answer) in answers {
        topics.entry(topic).or_default().push(told(partition, answer));
    }
    topics.into_iter().map(|(name, partitions)| (TopicName(text(name)), partitions)).collect()
}

pub fn commit(call: &Call, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let partitions = request.topics.iter().flat_map(|topic| topic.partitions.iter().map(|one| (&topic.name, one)));
    let wishes = partitions.map(|(topic, one)| {
        let metadata = &one.committed_metadata;
        wish(topic, one.partition_index, one.committed_offset, one.committed_leader_epoch, metadata)
    });
    let generation = request.generation_id_or_member_epoch;
    let caller = Caller::new(&request.member_id, &request.group_instance_id, generation);
    let mut coordinator = call.node.coordinator();
    let allowed = check(&mut coordinator, &request.group_id, caller, false);
    let group = request.group_id.to_string();
    let settled = settle(&call.node, &mut coordinator, wishes.collect(), allowed, group, None);
    let told = |partition, code| {
        OffsetCommitResponsePartition::default().with_partition_index(partition).with_error_code(code)
    };
    let topics = by_topic(settled, told)
        .into_iter()
        .map(|(name, partitions)| OffsetCommitResponseTopic::default().with_name(name).with_partitions(partitions));
    OffsetCommitResponse::default().with_topics(topics.collect())
}

/// Whether this caller may commit for the group. A group that nobody has joined takes commits from anybody.
fn check(coordinator: &mut Coordinator, group: &str, caller: Caller<'_>, in_transaction: bool) -> Outcome {
    match coordinator.groups.get_mut(group) {
        _ if group.is_empty() => Err(ResponseError::InvalidGroupId),
        Some(group) => group.check_commit(caller, in_transaction, now()),
        None if caller.generation < 0 => Ok(()),
        None => Err(ResponseError::IllegalGeneration),
    }
}

pub fn commit_in_txn(call: &Call, request: TxnOffsetCommitRequest) -> TxnOffsetCommitResponse {
    let partitions = request.topics.iter().flat_map(|topic| topic.partitions.iter().map(|one| (&topic.name, one)));
    let wishes = partitions.map(|(topic, one)| {
        let metadata = &one.committed_metadata;
        wish(topic, one.partition_index, one.committed_offset, one.committed_leader_epoch, metadata)
    });
    let mut coordinator = call.node.coordinator();
    let allowed = check_txn(&mut coordinator, &request);
    let (group, producer_id) = (request.group_id.to_string(), Some(request.producer_id.0));
    let settled = settle(&call.node, &mut coordinator, wishes.collect(), allowed, group, producer_id);
    let told = |partition, code| {
        TxnOffsetCommitResponsePartition::default().with_partition_index(partition).with_error_code(code)
    };
    let topics = by_topic(settled, told)
        .into_iter()
        .map(|(name, partitions)| TxnOffsetCommitResponseTopic::default().with_name(name).with_partitions(partitions));
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

/// The producer must be the current one and its transaction must know the group (`AddOffsetsToTxn`); the consumer
/// must be a member of the current generation (KIP-447).
fn check_txn(coordinator: &mut Coordinator, request: &TxnOffsetCommitRequest) -> Outcome {
    let txn = coordinator.txn(&request.transactional_id)?;
    // Kafka answers from the offsets' own partition here, which knows a fenced producer by its epoch.
    txn.check(request.producer_id.0, request.producer_epoch).map_err(|error| match error {
        ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
        other => other,
    })?;
    if txn.state != State::Ongoing || !txn.groups.contains(request.group_id.as_str()) {
        return Err(ResponseError::InvalidTxnState);
    }
    let caller = Caller::new(&request.member_id, &request.group_instance_id, request.generation_id);
    check(coordinator, &request.group_id, caller, true)
}

pub fn fetch(call: &Call, request: OffsetFetchRequest) -> OffsetFetchResponse {
    let coordinator = call.node.coordinator();
    let none = GroupOffsets::default();
    let group = coordinator.meta().groups.get(request.group_id.as_str()).unwrap_or(&none);
    let asked: Vec<TopicPartition> = match &request.topics {
        None => group.committed.keys().cloned().collect(),
        Some(topics) => {
            let partitions =
                topics.iter().flat_map(|topic| topic.partition_indexes.iter().map(|one| (&topic.name, one)));
            partitions.map(|(topic, partition)| (topic.to_string(), *partition)).collect()
        }
    };
    let answers = asked.into_iter().map(|key| {
        let answer = OffsetFetchResponsePartition::default().with_partition_index(key.1).with_metadata(Some(text("")));
        let answer = match group.committed.get(&key) {
            _ if request.require_stable && group.is_unstable(&key) => {
                answer.with_committed_offset(-1).with_error_code(ResponseError::UnstableOffsetCommit.code())
            }
            Some(committed) => answer
                .with_committed_offset(committed.offset)
                .with_committed_leader_epoch(committed.leader_epoch)
                .with_metadata(Some(text(&committed.metadata))),
            None => answer.with_committed_offset(-1),
        };
        (key, answer)
    });
    let topics = by_topic(answers.collect(), |_, answer| answer).into_iter();
    let topics = topics
        .map(|(name, partitions)| OffsetFetchResponseTopic::default().with_name(name).with_partitions(partitions));
    OffsetFetchResponse::default().with_topics(topics.collect())
}
