//! What a client asks first: versions, brokers, topics, coordinators. The answer to "who" is always this node.

use super::{Refused, VERSIONS, encode, text, topics};
use crate::embedded::broker::node::{NODE_ID, Node, Topic};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    ApiVersionsResponse, BrokerId, FindCoordinatorRequest, FindCoordinatorResponse, MetadataRequest, MetadataResponse,
    TopicName,
};

pub fn api_versions() -> ApiVersionsResponse {
    let keys = VERSIONS.iter().map(|(api, low, high)| {
        ApiVersion::default().with_api_key(*api as i16).with_min_version(*low).with_max_version(*high)
    });
    ApiVersionsResponse::default().with_api_keys(keys.collect())
}

/// A client that is newer than this broker asks in a version it does not know, and learns from a version 0 body which
/// ones there are. Only the correlation id, which all versions have in the same place, is read.
pub fn unsupported_api_versions(frame: &[u8]) -> Result<bytes::Bytes, Refused> {
    let correlation = frame.get(4..8).and_then(|bytes| bytes.try_into().ok()).map(i32::from_be_bytes);
    let response = api_versions().with_error_code(ResponseError::UnsupportedVersion.code());
    encode(correlation.unwrap_or_default(), 0, &response)
}

pub fn metadata(node: &Node, request: MetadataRequest, version: i16) -> MetadataResponse {
    let (host, port) = node.advertised();
    let broker =
        MetadataResponseBroker::default().with_node_id(BrokerId(NODE_ID)).with_host(text(host)).with_port(port);
    // In version 0 an empty list means all topics, later only a missing list does.
    let asked = request.topics.filter(|topics| version > 0 || !topics.is_empty());
    let create = node.config.auto_create_topics && (version < 4 || request.allow_auto_topic_creation);
    let topics: Vec<_> = match asked {
        None => node.topics().iter().map(|(name, topic)| described(&TopicName(text(name)), Ok(topic))).collect(),
        Some(asked) => asked
            .into_iter()
            .filter_map(|topic| topic.name)
            .map(|name| described(&name, find(node, &name, create).as_ref()))
            .collect(),
    };
    let cluster_id = node.coordinator().meta().cluster_id.clone();
    let response = MetadataResponse::default().with_brokers(vec![broker]).with_topics(topics);
    response.with_cluster_id(Some(text(cluster_id))).with_controller_id(BrokerId(NODE_ID))
}

fn find(node: &Node, name: &str, create: bool) -> Result<std::sync::Arc<Topic>, ResponseError> {
    let known = node.topic(name);
    if known.is_ok() || !create {
        return known;
    }
    topics::check_name(name)?;
    let mut coordinator = node.coordinator();
    // Somebody else may have been faster.
    if node.topic(name).is_err() {
        node.put_topic(&mut coordinator, name, node.config.default_partitions, Default::default())?;
    }
    node.topic(name)
}

fn described(name: &TopicName, topic: Result<&std::sync::Arc<Topic>, &ResponseError>) -> MetadataResponseTopic {
    let answer = MetadataResponseTopic::default().with_name(Some(name.clone()));
    let topic = match topic {
        Ok(topic) => topic,
        Err(error) => return answer.with_error_code(error.code()),
    };
    let me = vec![BrokerId(NODE_ID)];
    let partitions = (0..topic.meta.partitions).map(|partition| {
        MetadataResponsePartition::default()
            .with_partition_index(partition)
            .with_leader_id(BrokerId(NODE_ID))
            .with_leader_epoch(0)
            .with_replica_nodes(me.clone())
            .with_isr_nodes(me.clone())
    });
    answer.with_partitions(partitions.collect())
}

pub fn find_coordinator(node: &Node, request: FindCoordinatorRequest, version: i16) -> FindCoordinatorResponse {
    let (host, port) = node.advertised();
    // 0 is a group, 1 a transactional id; share groups are not served.
    let error = if request.key_type > 1 { ResponseError::InvalidRequest.code() } else { 0 };
    if version < 4 {
        let response = FindCoordinatorResponse::default().with_error_code(error);
        return response.with_node_id(BrokerId(NODE_ID)).with_host(text(host)).with_port(port);
    }
    let coordinators = request.coordinator_keys.into_iter().map(|key| {
        let coordinator = Coordinator::default().with_key(key).with_error_code(error);
        coordinator.with_node_id(BrokerId(NODE_ID)).with_host(text(host.clone())).with_port(port)
    });
    FindCoordinatorResponse::default().with_coordinators(coordinators.collect())
}
