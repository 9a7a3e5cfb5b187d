//! The cluster of one.

use super::text;
use crate::embedded::broker::node::{NODE_ID, Node};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{BrokerId, DescribeClusterRequest, DescribeClusterResponse};

/// Endpoint type of brokers; the other one, controllers, has no listener of its own.
const BROKERS: i8 = 1;

pub fn describe_cluster(node: &Node, request: DescribeClusterRequest, version: i16) -> DescribeClusterResponse {
    if version >= 1 && request.endpoint_type != BROKERS {
        let error = ResponseError::UnsupportedEndpointType.code();
        return DescribeClusterResponse::default().with_error_code(error).with_endpoint_type(request.endpoint_type);
    }
    let (host, port) = node.advertised();
    let broker =
        DescribeClusterBroker::default().with_broker_id(BrokerId(NODE_ID)).with_host(text(host)).with_port(port);
    DescribeClusterResponse::default()
        .with_cluster_id(text(node.coordinator().meta().cluster_id.clone()))
        .with_controller_id(BrokerId(NODE_ID))
        .with_brokers(vec![broker])
}
