//! The cluster, its topics, and how they are created, grown and deleted.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{MetadataResponse, MetadataResponseTopic};
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, MetadataRequest, TopicName,
};
use openssl::base64::encode_block;

use super::{Admin, Named, Outcomes, Right, known, text};
use crate::wire::cluster::{BROKER_TIMEOUT_MS, Patience, Whom};
use crate::wire::connection::Failure;
use crate::wire::error::{Error, Refusal};
use crate::wire::{BrokerView, ClusterView, NewTopic, PartitionView, TopicView};

const TOPICS_A_REQUEST: usize = 100;
/// A controller in KRaft refuses a request that makes more than 10,000 partitions.
const PARTITIONS_A_REQUEST: i32 = 2_000;

const SEE: Right = Right { what: "look at topics", operation: "Describe", resource: "topic" };
const CREATE: Right = Right { what: "create topics", operation: "Create", resource: "topic" };
const GROW: Right = Right { what: "add partitions", operation: "Alter", resource: "topic" };
const DELETE: Right = Right { what: "delete topics", operation: "Delete", resource: "topic" };

impl Named for &NewTopic {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Admin {
    pub async fn cluster(&self) -> Result<ClusterView, Error> {
        let mut patience = Patience::to("look at the cluster");
        let make = |_| MetadataRequest::default().with_topics(Some(Vec::new())).with_allow_auto_topic_creation(false);
        let told = self.cluster.insist(Whom::Any, &mut patience, make).await?;
        self.cluster.learn(&told);
        let mut brokers: Vec<BrokerView> = told
            .brokers
            .into_iter()
            .map(|broker| BrokerView {
                id: broker.node_id.0,
                host: broker.host.to_string(),
                port: u16::try_from(broker.port).unwrap_or_default(),
                rack: broker.rack.map(|rack| rack.to_string()),
            })
            .collect();
        brokers.sort_by_key(|broker| broker.id);
        Ok(ClusterView { id: told.cluster_id.map(|id| id.to_string()), brokers })
    }

    /// By name; `None`: all that may be seen, Kafka's own included. A name that is not there is not in the answer, one that may not be
    /// seen is an error.
    pub async fn topics(&self, names: Option<&[String]>) -> Result<Vec<TopicView>, Error> {
        let mut topics = Vec::new();
        match names {
            None => topics = self.topics_of(None).await?,
            Some(names) => {
                for names in names.chunks(TOPICS_A_REQUEST * 10) {
                    topics.extend(self.topics_of(Some(names)).await?);
                }
            }
        }
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    async fn topics_of(&self, names: Option<&[String]>) -> Result<Vec<TopicView>, Error> {
        let mut patience = Patience::to(SEE.what);
        loop {
            let told = self.cluster.insist(Whom::Any, &mut patience, |_| metadata(names)).await?;
            self.cluster.learn(&told);
            match read(told) {
                Ok(topics) => return Ok(topics),
                Err((_, refusal)) if refusal.passes() => patience.after_refusal(&refusal).await?,
                Err((name, refusal)) => return Err(SEE.error(refusal, &name)),
            }
        }
    }

    /// Pairs of name and id, as every broker tells that leads a partition of these topics, so that whoever just read from one of them
    /// finds the id of what it read: a broker learns that a topic was created anew before it serves it, others may learn it later, and
    /// then a name has two. Brokers before Kafka 2.8 tell none.
    pub async fn topic_ids(&self, names: &[String]) -> Result<BTreeSet<(String, String)>, Error> {
        let mut patience = Patience::to(SEE.what);
        loop {
            let mut topics = self.topics_of(Some(names)).await?;
            let partitions = topics.iter().flat_map(|topic| &topic.partitions);
            let leaders: BTreeSet<i32> = partitions.filter_map(|partition| partition.leader).collect();
            let asked = leaders.iter().map(|leader| self.cluster.ask(Whom::Broker(*leader), |_| metadata(Some(names))));
            let mut broken = None;
            for told in join_all(asked).await {
                match told.map(read) {
                    Ok(Ok(told)) => topics.extend(told),
                    Ok(Err((_, refusal))) if refusal.passes() => broken = Some(Failure::Passing(refusal.to_string())),
                    Ok(Err((name, refusal))) => return Err(SEE.error(refusal, &name)),
                    Err(failure) => broken = Some(failure),
                }
            }
            match broken {
                None => return Ok(topics.into_iter().filter_map(|topic| Some((topic.name, topic.id?))).collect()),
                // Perhaps another broker leads by now.
                Some(failure) => patience.after(failure).await?,
            }
        }
    }

    /// An answer that was lost is asked for again, so `TOPIC_ALREADY_EXISTS` may tell of our own doing. Brokers learn of a new topic one
    /// after the other: it may be missing from [`Admin::topics`] for a moment.
    pub async fn create_topics(&self, topics: &[NewTopic], validate_only: bool) -> Result<Outcomes<String>, Error> {
        let mut outcomes = BTreeMap::new();
        for batch in batches(topics) {
            let make = |_, batch: &[&NewTopic]| {
                CreateTopicsRequest::default()
                    .with_topics(batch.iter().map(|topic| creatable(topic)).collect())
                    .with_timeout_ms(BROKER_TIMEOUT_MS)
                    .with_validate_only(validate_only)
            };
            outcomes.extend(
                self.settle(Whom::Controller, CREATE, batch, make, |answer| {
                    let results = answer.topics.into_iter();
                    results.map(|topic| (topic.name.to_string(), topic.error_code, topic.error_message)).collect()
                })
                .await?,
            );
        }
        Ok(outcomes)
    }

    /// To so many in all, by topic. A repetition after a lost answer tells `INVALID_PARTITIONS`.
    pub async fn create_partitions(
        &self,
        counts: &BTreeMap<String, i32>,
        validate_only: bool,
    ) -> Result<Outcomes<String>, Error> {
        let counts: Vec<(&String, i32)> = counts.iter().map(|(name, count)| (name, *count)).collect();
        let mut outcomes = BTreeMap::new();
        for batch in counts.chunks(TOPICS_A_REQUEST) {
            let make = |_, batch: &[(&String, i32)]| {
                let topic = |(name, count): &(&String, i32)| {
                    CreatePartitionsTopic::default()
                        .with_name(topic_name(name))
                        .with_count(*count)
                        .with_assignments(None)
                };
                CreatePartitionsRequest::default()
                    .with_topics(batch.iter().map(topic).collect())
                    .with_timeout_ms(BROKER_TIMEOUT_MS)
                    .with_validate_only(validate_only)
            };
            outcomes.extend(
                self.settle(Whom::Controller, GROW, batch.to_vec(), make, |answer| {
                    let results = answer.results.into_iter();
                    results.map(|topic| (topic.name.to_string(), topic.error_code, topic.error_message)).collect()
                })
                .await?,
            );
        }
        Ok(outcomes)
    }

    /// With all their records. A repetition after a lost answer tells `UNKNOWN_TOPIC_OR_PARTITION`.
    pub async fn delete_topics(&self, names: &[String]) -> Result<Outcomes<String>, Error> {
        let mut outcomes = BTreeMap::new();
        for batch in names.chunks(TOPICS_A_REQUEST) {
            let make = |_, names: &[String]| {
                DeleteTopicsRequest::default()
                    .with_topic_names(names.iter().map(|name| topic_name(name)).collect())
                    .with_timeout_ms(BROKER_TIMEOUT_MS)
            };
            outcomes.extend(
                self.settle(Whom::Controller, DELETE, batch.to_vec(), make, |answer| {
                    let results = answer.responses.into_iter();
                    let named = |name: Option<TopicName>| name.map(|name| name.to_string()).unwrap_or_default();
                    results.map(|topic| (named(topic.name), topic.error_code, topic.error_message)).collect()
                })
                .await?,
            );
        }
        Ok(outcomes)
    }
}

fn metadata(names: Option<&[String]>) -> MetadataRequest {
    let asked = names.map(|names| {
        let topic = |name: &String| MetadataRequestTopic::default().with_name(Some(topic_name(name)));
        names.iter().map(topic).collect()
    });
    MetadataRequest::default().with_topics(asked).with_allow_auto_topic_creation(false)
}

/// Or the first topic that cannot be told, and why.
fn read(told: MetadataResponse) -> Result<Vec<TopicView>, (String, Refusal)> {
    let mut topics = Vec::with_capacity(told.topics.len());
    for topic in told.topics {
        let name = topic.name.as_ref().map(|name| name.to_string()).unwrap_or_default();
        match Refusal::check(topic.error_code, None) {
            Ok(()) => topics.push(view(name, topic)),
            Err(refusal) if refusal.is(ResponseError::UnknownTopicOrPartition) => {}
            Err(refusal) => return Err((name, refusal)),
        }
    }
    Ok(topics)
}

fn view(name: String, topic: MetadataResponseTopic) -> TopicView {
    let mut partitions: Vec<PartitionView> = topic
        .partitions
        .into_iter()
        .map(|partition| PartitionView {
            number: partition.partition_index,
            leader: known(partition.leader_id.0),
            leader_epoch: known(partition.leader_epoch),
            replicas: partition.replica_nodes.into_iter().map(|broker| broker.0).collect(),
        })
        .collect();
    partitions.sort_by_key(|partition| partition.number);
    let id = (!topic.topic_id.is_nil()).then(|| {
        // Kafka's form is URL-safe and without padding.
        encode_block(topic.topic_id.as_bytes()).trim_end_matches('=').replace('+', "-").replace('/', "_")
    });
    TopicView { name, id, internal: topic.is_internal, partitions }
}

/// As many as one request may carry.
fn batches(topics: &[NewTopic]) -> Vec<Vec<&NewTopic>> {
    let mut batches: Vec<Vec<&NewTopic>> = Vec::new();
    let mut partitions = i32::MAX;
    for topic in topics {
        partitions = partitions.saturating_add(topic.partitions.max(1));
        match batches.last_mut() {
            Some(batch) if batch.len() < TOPICS_A_REQUEST && partitions <= PARTITIONS_A_REQUEST => batch.push(topic),
            _ => {
                partitions = topic.partitions.max(1);
                batches.push(vec![topic]);
            }
        }
    }
    batches
}

fn creatable(topic: &NewTopic) -> CreatableTopic {
    let config = |(name, value): (&String, &String)| {
        CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
    };
    CreatableTopic::default()
        .with_name(topic_name(&topic.name))
        .with_num_partitions(topic.partitions)
        .with_replication_factor(topic.replication.unwrap_or(-1))
        .with_configs(topic.configs.iter().map(config).collect())
}

pub(super) fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_creates_no_more_than_a_controller_takes() {
        let topic = |partitions| NewTopic { name: "a".into(), partitions, replication: None, configs: BTreeMap::new() };
        let sizes = |partitions: &[i32]| {
            let topics: Vec<NewTopic> = partitions.iter().map(|count| topic(*count)).collect();
            batches(&topics).iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&[1; 250]), [100, 100, 50]);
        assert_eq!(sizes(&[1_000, 1_000, 1, 9_000, 5]), [2, 1, 1, 1]);
        // −1: as many as the broker says.
        assert_eq!(sizes(&[-1, -1]), [2]);
    }
}
