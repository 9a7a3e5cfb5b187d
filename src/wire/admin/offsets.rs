//! Offsets of partitions: the first, the end, the one of a moment. Each is asked of its partition's leader.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId, ListOffsetsRequest};

use super::topics::topic_name;
use super::{Admin, Right, known};
use crate::wire::cluster::{Patience, Whom};
use crate::wire::connection::Failure;
use crate::wire::error::{Error, Refusal};
use crate::wire::{At, OffsetView, TopicPartition};

const PARTITIONS_A_REQUEST: usize = 1_000;
/// Kafka's stand-ins for a timestamp.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
/// Of ListOffsets: from it on, with an isolation level.
const ISOLATION: i16 = 2;

const ASK: Right = Right { what: "ask for offsets", operation: "Describe", resource: "topic" };

/// What a leader says of each partition; `None`: no record is that young.
type Said = Vec<(TopicPartition, Result<Option<OffsetView>, Refusal>)>;

impl Admin {
    /// A partition that is not there is not in the answer, nor is one without a record that young. One without a leader is waited for,
    /// and is an error at the deadline: [`Admin::topics`] tells which have none.
    pub async fn offsets(
        &self,
        partitions: &[TopicPartition],
        at: At,
    ) -> Result<BTreeMap<TopicPartition, OffsetView>, Error> {
        let mut offsets = BTreeMap::new();
        let mut left = partitions.to_vec();
        let mut patience = Patience::to(ASK.what);
        while !left.is_empty() {
            let leaders = self.leaders(&mut left).await?;
            let mut put_off = leaders
                .get(&None)
                .and_then(|without| without.first())
                .map(|(topic, number)| Failure::Passing(format!("partition {number} of {topic} has no leader")));
            let asked =
                leaders.iter().filter_map(|(leader, partitions)| Some(self.ask_leader((*leader)?, partitions, at)));
            let mut answered = BTreeSet::new();
            for (said, failure) in join_all(asked).await {
                put_off = failure.or(put_off);
                for (partition, said) in said {
                    match said {
                        Ok(found) => {
                            offsets.extend(found.map(|found| (partition.clone(), found)));
                            answered.insert(partition);
                        }
                        Err(refusal) if moves(&refusal) => {
                            put_off = Some(Failure::Passing(format!("{}-{}: {refusal}", partition.0, partition.1)));
                        }
                        Err(refusal) => return Err(ASK.error(refusal, &partition.0)),
                    }
                }
            }
            if !answered.is_empty() {
                left.retain(|partition| !answered.contains(partition));
                patience = Patience::to(ASK.what);
            }
            match put_off {
                Some(failure) => patience.after(failure).await?,
                None if left.is_empty() => {}
                None => return Err(super::unanswered(ASK.what, &left[0].0)),
            }
        }
        Ok(offsets)
    }

    /// By leader; what is not there is taken out of `partitions`.
    pub(super) async fn leaders(
        &self,
        partitions: &mut Vec<TopicPartition>,
    ) -> Result<BTreeMap<Option<i32>, Vec<TopicPartition>>, Error> {
        let mut names: Vec<String> = partitions.iter().map(|(topic, _)| topic.clone()).collect();
        names.sort();
        names.dedup();
        let topics = self.topics(Some(&names)).await?;
        let leaders: BTreeMap<(&str, i32), Option<i32>> = topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|p| ((&*topic.name, p.number), p.leader)))
            .collect();
        partitions.retain(|(topic, number)| leaders.contains_key(&(&**topic, *number)));
        partitions.sort();
        partitions.dedup();
        let mut by_leader: BTreeMap<Option<i32>, Vec<TopicPartition>> = BTreeMap::new();
        for partition in partitions {
            let leader = leaders.get(&(&*partition.0, partition.1)).copied().flatten();
            by_leader.entry(leader).or_default().push(partition.clone());
        }
        Ok(by_leader)
    }

    /// Up to the first request that fails.
    async fn ask_leader(&self, leader: i32, partitions: &[TopicPartition], at: At) -> (Said, Option<Failure>) {
        let mut said = Said::with_capacity(partitions.len());
        for partitions in partitions.chunks(PARTITIONS_A_REQUEST) {
            let answer = match self.cluster.ask(Whom::Broker(leader), |version| request(version, partitions, at)).await
            {
                Ok(answer) => answer,
                Err(failure) => return (said, Some(failure)),
            };
            for topic in answer.topics {
                for p in topic.partitions {
                    let found = Refusal::check(p.error_code, None).map(|()| {
                        // −1: no record is that young.
                        let timestamp = Some(p.timestamp).filter(|timestamp| *timestamp >= 0);
                        let view = OffsetView { offset: p.offset, timestamp, leader_epoch: known(p.leader_epoch) };
                        Some(view).filter(|view| view.offset >= 0)
                    });
                    said.push(((topic.name.to_string(), p.partition_index), found));
                }
            }
        }
        (said, None)
    }
}

/// A broker that does not know the partition of which others say that it leads will learn of it, or they of another leader.
pub(super) fn moves(refusal: &Refusal) -> bool {
    refusal.passes() || refusal.is(ResponseError::UnknownTopicOrPartition)
}

/// Of partitions that are sorted.
fn request(version: i16, partitions: &[TopicPartition], at: At) -> ListOffsetsRequest {
    let timestamp = match at {
        At::Earliest => EARLIEST,
        At::Latest { .. } => LATEST,
        // Kafka has other meanings for what is before 1970.
        At::Time(time) => time.max(0),
    };
    let committed = matches!(at, At::Latest { committed: true }) && version >= ISOLATION;
    let mut topics: Vec<ListOffsetsTopic> = Vec::new();
    for (topic, number) in partitions {
        let partition = ListOffsetsPartition::default()
            .with_partition_index(*number)
            .with_current_leader_epoch(-1)
            .with_timestamp(timestamp);
        match topics.last_mut() {
            Some(last) if &**last.name == topic => last.partitions.push(partition),
            _ => topics.push(ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition])),
        }
    }
    ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_isolation_level(i8::from(committed))
        .with_topics(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_of_a_topic_are_asked_for_together() {
        let partitions = [("a".to_owned(), 0), ("a".to_owned(), 1), ("b".to_owned(), 0)];
        let asked = request(7, &partitions, At::Latest { committed: true });
        let sizes: Vec<usize> = asked.topics.iter().map(|topic| topic.partitions.len()).collect();
        assert_eq!((asked.isolation_level, sizes), (1, vec![2, 1]));
        assert_eq!(request(1, &partitions, At::Latest { committed: true }).isolation_level, 0);
        assert_eq!(request(7, &partitions, At::Time(-2)).topics[0].partitions[0].timestamp, 0);
    }
}
