//! Deletes records from the start of partitions, up to an offset.

use std::collections::BTreeMap;

use kafka_protocol::messages::DeleteRecordsRequest;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};

use super::offsets::moves;
use super::topics::topic_name;
use super::{Admin, Right};
use crate::wire::TopicPartition;
use crate::wire::cluster::{BROKER_TIMEOUT_MS, Patience, Whom};
use crate::wire::connection::Failure;
use crate::wire::error::{Error, Refusal};

const DELETE: Right = Right { what: "delete records", operation: "Delete", resource: "topic" };

impl Admin {
    /// What is below the given offset goes (−1: all that is there now). The first offset that is kept then, or why not; a partition that
    /// is not there is not in the answer.
    pub async fn delete_records(
        &self,
        before: &BTreeMap<TopicPartition, i64>,
    ) -> Result<BTreeMap<TopicPartition, Result<i64, Refusal>>, Error> {
        let mut outcomes = BTreeMap::new();
        let mut left: Vec<TopicPartition> = before.keys().cloned().collect();
        let mut patience = Patience::to(DELETE.what);
        while !left.is_empty() {
            let mut put_off = None;
            for (leader, partitions) in self.leaders(&mut left).await? {
                let Some(leader) = leader else {
                    put_off = Some(Failure::Passing(format!("{} has a partition without a leader", partitions[0].0)));
                    continue;
                };
                match self.cluster.ask(Whom::Broker(leader), |_| request(&partitions, before)).await {
                    Err(failure) => put_off = Some(failure),
                    Ok(answer) => {
                        for topic in answer.topics {
                            for p in topic.partitions {
                                let name = (topic.name.to_string(), p.partition_index);
                                match Refusal::check(p.error_code, None) {
                                    Err(refusal) if moves(&refusal) && !patience.is_over() => {
                                        put_off = Some(Failure::Passing(refusal.to_string()));
                                    }
                                    outcome => {
                                        let outcome = outcome.map_err(|refusal| DELETE.explain(refusal, &name.0));
                                        outcomes.insert(name, outcome.map(|()| p.low_watermark));
                                    }
                                }
                            }
                        }
                    }
                }
            }
            let before = left.len();
            left.retain(|partition| !outcomes.contains_key(partition));
            match put_off {
                Some(failure) => patience.after(failure).await?,
                None if left.len() < before => {}
                None => break,
            }
        }
        Ok(outcomes)
    }
}

fn request(partitions: &[TopicPartition], before: &BTreeMap<TopicPartition, i64>) -> DeleteRecordsRequest {
    let mut topics: Vec<DeleteRecordsTopic> = Vec::new();
    for partition in partitions {
        let (topic, number) = partition;
        let offset = before.get(partition).copied().unwrap_or_default();
        let asked = DeleteRecordsPartition::default().with_partition_index(*number).with_offset(offset);
        match topics.last_mut() {
            Some(last) if &**last.name == topic => last.partitions.push(asked),
            _ => topics.push(DeleteRecordsTopic::default().with_name(topic_name(topic)).with_partitions(vec![asked])),
        }
    }
    DeleteRecordsRequest::default().with_topics(topics).with_timeout_ms(BROKER_TIMEOUT_MS)
}
