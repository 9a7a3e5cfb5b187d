//! Committed offsets of groups: read, and written for a group without members.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::{OffsetCommitRequest, OffsetFetchRequest, OffsetFetchResponse};
use kafka_protocol::protocol::StrBytes;

use super::groups::group_id;
use super::topics::topic_name;
use super::{Admin, Outcomes, Right, known, text};
use crate::wire::cluster::{Patience, Whom};
use crate::wire::connection::Failure;
use crate::wire::error::{Error, Refusal};
use crate::wire::{Committed, TopicPartition};

/// A commit becomes one batch of the offsets topic, a record a partition.
const PARTITIONS_A_REQUEST: usize = 1_000;
/// Of OffsetFetch: from them on, many groups at once, and only what no open transaction may change.
const MANY_GROUPS: i16 = 8;
const STABLE: i16 = 7;
/// Of OffsetCommit: from it on, with the leader epoch.
const LEADER_EPOCH: i16 = 6;

const READ: Right = Right { what: "read committed offsets", operation: "Describe", resource: "group" };
const COMMIT: Right = Right { what: "commit offsets", operation: "Read", resource: "group" };

pub type Offsets = BTreeMap<TopicPartition, Committed>;

/// Of one partition as OffsetFetch tells it: topic, number, offset, leader epoch, metadata, error.
type Told = (StrBytes, i32, i64, i32, Option<StrBytes>, i16);

impl Admin {
    /// All committed offsets of each group; of one that is not there, none. An offset that an open transaction may still change is waited for,
    /// until the deadline; that one is about to commit where nothing was committed yet, brokers do not tell.
    pub async fn group_offsets(&self, groups: &[String]) -> Result<BTreeMap<String, Offsets>, Error> {
        self.at_coordinators(READ, groups, |broker, groups| self.ask_offsets(broker, groups)).await
    }

    async fn ask_offsets(
        &self,
        broker: i32,
        groups: Vec<String>,
    ) -> Result<Vec<(String, Result<Offsets, Refusal>)>, Failure> {
        let mut answers = Vec::with_capacity(groups.len());
        let mut left = &groups[..];
        while !left.is_empty() {
            let mut spoken = 0;
            let make = |version| {
                spoken = version;
                fetch(version, left)
            };
            let answer = self.cluster.ask(Whom::Broker(broker), make).await?;
            if spoken >= MANY_GROUPS {
                answers.extend(of_many(answer));
                return Ok(answers);
            }
            answers.push((left[0].clone(), of_one(answer)));
            left = &left[1..];
        }
        Ok(answers)
    }

    /// As Kafka's own tools do it: as nobody's member, which the coordinator takes only while the group has none, and refuses with
    /// `UNKNOWN_MEMBER_ID` otherwise. It makes the group if there is none. What becomes of each partition is told; a repetition after a
    /// lost answer commits the same once more.
    pub async fn commit_group_offsets(
        &self,
        group: &str,
        offsets: &Offsets,
    ) -> Result<Outcomes<TopicPartition>, Error> {
        let mut outcomes = BTreeMap::new();
        let mut left: Vec<(&TopicPartition, &Committed)> = offsets.iter().collect();
        let mut patience = Patience::to(COMMIT.what);
        while !left.is_empty() {
            let now = &left[..left.len().min(PARTITIONS_A_REQUEST)];
            let mut put_off = None;
            match self.commit_some(group, now, &mut patience).await {
                Ok(answers) => {
                    for (partition, outcome) in answers {
                        match outcome {
                            Err(refusal) if refusal.passes() && !patience.is_over() => {
                                put_off = Some(Failure::Passing(refusal.to_string()));
                            }
                            outcome => {
                                _ = outcomes.insert(partition, outcome.map_err(|refusal| explain(refusal, group)));
                            }
                        }
                    }
                }
                Err(failure) => put_off = Some(failure),
            }
            let before = left.len();
            left.retain(|(partition, _)| !outcomes.contains_key(*partition));
            match put_off {
                Some(failure) => patience.after(failure).await?,
                // Each request has its own patience.
                None if left.len() < before => patience = Patience::to(COMMIT.what),
                None => return Err(super::unanswered(COMMIT.what, group)),
            }
        }
        Ok(outcomes)
    }

    async fn commit_some(
        &self,
        group: &str,
        offsets: &[(&TopicPartition, &Committed)],
        patience: &mut Patience,
    ) -> Result<Vec<(TopicPartition, Result<(), Refusal>)>, Failure> {
        let coordinators = self.coordinators(&[group.to_owned()], patience).await?;
        let Some(broker) = coordinators.keys().next() else {
            return Err(Failure::Passing("the group has no coordinator".into()));
        };
        let answer = self.cluster.ask(Whom::Broker(*broker), |version| commit(version, group, offsets)).await?;
        let mut outcomes = Vec::with_capacity(offsets.len());
        for topic in answer.topics {
            for partition in topic.partitions {
                let name = (topic.name.to_string(), partition.partition_index);
                outcomes.push((name, Refusal::check(partition.error_code, None)));
            }
        }
        Ok(outcomes)
    }
}

fn fetch(version: i16, groups: &[String]) -> OffsetFetchRequest {
    let asked = OffsetFetchRequest::default().with_require_stable(version >= STABLE);
    if version < MANY_GROUPS {
        return asked.with_group_id(group_id(&groups[0])).with_topics(None);
    }
    let group = |name: &String| {
        OffsetFetchRequestGroup::default().with_group_id(group_id(name)).with_member_epoch(-1).with_topics(None)
    };
    asked.with_groups(groups.iter().map(group).collect())
}

fn of_many(answer: OffsetFetchResponse) -> Vec<(String, Result<Offsets, Refusal>)> {
    let groups = answer.groups.into_iter().map(|group| {
        let told = group.topics.into_iter().flat_map(|topic| {
            let name = topic.name.0;
            topic.partitions.into_iter().map(move |p| {
                let (number, offset, epoch) = (p.partition_index, p.committed_offset, p.committed_leader_epoch);
                (name.clone(), number, offset, epoch, p.metadata, p.error_code)
            })
        });
        (group.group_id.to_string(), read(group.error_code, told))
    });
    groups.collect()
}

fn of_one(answer: OffsetFetchResponse) -> Result<Offsets, Refusal> {
    let told = answer.topics.into_iter().flat_map(|topic| {
        let name = topic.name.0;
        topic.partitions.into_iter().map(move |p| {
            let (number, offset, epoch) = (p.partition_index, p.committed_offset, p.committed_leader_epoch);
            (name.clone(), number, offset, epoch, p.metadata, p.error_code)
        })
    });
    read(answer.error_code, told)
}

/// One partition that is put off puts off its group.
fn read(code: i16, told: impl Iterator<Item = Told>) -> Result<Offsets, Refusal> {
    match Refusal::check(code, None) {
        Err(refusal) if refusal.is(ResponseError::GroupIdNotFound) => return Ok(Offsets::new()),
        checked => checked?,
    }
    let mut offsets = Offsets::new();
    for (topic, number, offset, epoch, metadata, code) in told {
        Refusal::check(code, None)?;
        // −1: nothing was committed.
        if offset >= 0 {
            let metadata = metadata.map(|metadata| metadata.to_string()).unwrap_or_default();
            let committed = Committed { offset, leader_epoch: known(epoch), metadata };
            offsets.insert((topic.to_string(), number), committed);
        }
    }
    Ok(offsets)
}

fn commit(version: i16, group: &str, offsets: &[(&TopicPartition, &Committed)]) -> OffsetCommitRequest {
    let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
    for ((topic, number), committed) in offsets {
        let epoch = committed.leader_epoch.filter(|_| version >= LEADER_EPOCH).unwrap_or(-1);
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(*number)
            .with_committed_offset(committed.offset)
            .with_committed_leader_epoch(epoch)
            .with_committed_metadata(Some(text(&committed.metadata)));
        match topics.last_mut() {
            Some(last) if &**last.name == topic => last.partitions.push(partition),
            _ => topics.push(
                OffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]),
            ),
        }
    }
    OffsetCommitRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(topics)
}

/// A topic is refused for want of Read on the topic, a group for want of Read on the group.
fn explain(refusal: Refusal, group: &str) -> Refusal {
    if refusal.is(ResponseError::TopicAuthorizationFailed) {
        let message = crate::log::denied(COMMIT.operation, "the topic");
        return Refusal { message, ..refusal };
    }
    COMMIT.explain(refusal, group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_committed_is_no_offset_and_an_unstable_one_puts_its_group_off() {
        let told = |offset: i64, code: i16| (text("a"), 3, offset, 7, Some(text("m")), code);
        let read = |code: i16, told: Vec<Told>| read(code, told.into_iter());
        let committed = Committed { offset: 5, leader_epoch: Some(7), metadata: "m".into() };
        assert_eq!(read(0, vec![told(5, 0)]).unwrap(), BTreeMap::from([(("a".to_owned(), 3), committed)]));
        assert_eq!(read(0, vec![told(-1, 0)]).unwrap(), BTreeMap::new());
        assert_eq!(read(69, vec![]).unwrap(), BTreeMap::new());
        assert!(read(0, vec![told(5, 0), told(-1, 88)]).unwrap_err().passes());
        assert!(!read(30, vec![]).unwrap_err().passes());
    }
}
