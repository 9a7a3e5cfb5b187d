//! What a client asks first: versions, brokers, topics, coordinators. The answer to "who" is always this node.

use super::*;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::metadata_response::*;

const ME: BrokerId = BrokerId(NODE_ID);

pub fn api_versions() -> ApiVersionsResponse {
    let keys = APIS
        .iter()
        .map(|api| ApiVersion::default().with_api_key(api.0 as i16).with_min_version(api.1).with_max_version(api.2));
    ApiVersionsResponse::default().with_api_keys(keys.collect())
}

/// A client that is newer than this broker asks in a version it does not know, and learns from a version 0 body which
/// ones there are. Only the correlation id, which all versions have in the same place, is read.
pub fn unsupported_api_versions(frame: &[u8]) -> Result<bytes::Bytes, Refused> {
    let correlation = frame.get(4..8).and_then(|bytes| bytes.try_into().ok()).map(i32::from_be_bytes);
    let response = api_versions().with_error_code(ResponseError::UnsupportedVersion.code());
    framed(correlation.unwrap_or_default(), 0, &response)
}

fn address(node: &Node) -> (StrBytes, i32) {
    (text(node.addr.ip().to_string()), i32::from(node.addr.port()))
}

pub fn metadata(call: &Call, request: MetadataRequest) -> MetadataResponse {
    let node = &call.node;
    let (host, port) = address(node);
    let broker = MetadataResponseBroker::default().with_node_id(ME).with_host(host).with_port(port);
    let named = |name: TopicName| described(name.clone(), node.topic(&name));
    // In version 0 an empty list means all topics, later only a missing list does.
    let topics = match request.topics.filter(|topics| call.version > 0 || !topics.is_empty()) {
        None => node.topics().into_iter().map(|(name, topic)| described(TopicName(text(name)), Ok(topic))).collect(),
        Some(asked) => asked.into_iter().filter_map(|topic| topic.name).map(named).collect(),
    };
    let cluster_id = node.coordinator().meta().cluster_id.clone();
    let response = MetadataResponse::default().with_brokers(vec![broker]).with_topics(topics);
    response.with_cluster_id(Some(text(cluster_id))).with_controller_id(ME)
}

fn described(name: TopicName, topic: Outcome<Arc<Topic>>) -> MetadataResponseTopic {
    let answer = MetadataResponseTopic::default().with_name(Some(name));
    let topic = match topic {
        Ok(topic) => topic,
        Err(error) => return answer.with_error_code(error.code()),
    };
    let partitions = (0..topic.meta.partitions).map(|number| {
        let partition = MetadataResponsePartition::default().with_partition_index(number).with_leader_id(ME);
        partition.with_leader_epoch(0).with_replica_nodes(vec![ME]).with_isr_nodes(vec![ME])
    });
    answer.with_partitions(partitions.collect())
}

/// Whoever reaches this broker may do everything.
pub fn describe_acls(_: &Call, _: DescribeAclsRequest) -> DescribeAclsResponse {
    DescribeAclsResponse::default().with_error_code(ResponseError::SecurityDisabled.code())
}

pub fn find_coordinator(call: &Call, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
    let (host, port) = address(&call.node);
    // 0 is a group, 1 a transactional id; share groups are not served.
    let error = if request.key_type > 1 { ResponseError::InvalidRequest.code() } else { 0 };
    let response = FindCoordinatorResponse::default().with_error_code(error);
    response.with_node_id(ME).with_host(host).with_port(port)
}
