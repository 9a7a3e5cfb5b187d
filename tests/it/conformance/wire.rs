//! What no client library lets one say: requests byte by byte.

use super::client::{Cluster, until};
use crate::harness::apache::unique;
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
use std::io::{Read, Write};
use std::net::TcpStream;

pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// One connection.
pub struct Wire(TcpStream);

impl Wire {
    pub fn connect(cluster: &Cluster) -> Wire {
        Wire::to(&cluster.bootstrap)
    }

    pub fn to(bootstrap: &str) -> Wire {
        let stream = TcpStream::connect(bootstrap).unwrap();
        stream.set_read_timeout(Some(super::client::PATIENCE)).unwrap();
        Wire(stream)
    }

    pub fn call<Q: Request>(&mut self, version: i16, request: &Q) -> Q::Response {
        let mut frame = self.exchange(Q::KEY, version, Q::header_version(version), request).expect("an answer");
        ResponseHeader::decode(&mut frame, Q::Response::header_version(version)).unwrap();
        let response = Q::Response::decode(&mut frame, version).unwrap();
        assert!(frame.is_empty(), "{} bytes too many", frame.len());
        response
    }

    /// The answer's frame, or nothing if the broker closed the connection.
    fn exchange(&mut self, key: i16, version: i16, header: i16, body: &impl Encodable) -> Option<Bytes> {
        let mut bytes = BytesMut::new();
        let head = RequestHeader::default().with_request_api_key(key).with_request_api_version(version);
        head.with_correlation_id(7).with_client_id(Some(text("wire"))).encode(&mut bytes, header).unwrap();
        // An unknown version is spoken in the newest known one.
        body.encode(&mut bytes, version.min(4).max(if key == 18 { 0 } else { version })).unwrap();
        self.0.write_all(&(bytes.len() as u32).to_be_bytes()).unwrap();
        self.0.write_all(&bytes).unwrap();
        let mut length = [0; 4];
        self.0.read_exact(&mut length).ok()?;
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut frame).unwrap();
        Some(frame.into())
    }
}

pub fn an_unknown_version_of_api_versions_is_answered_in_version_0(cluster: &Cluster) {
    let mut wire = Wire::connect(cluster);
    let mut frame = wire.exchange(18, 99, 2, &ApiVersionsRequest::default()).expect("an answer");
    assert_eq!(ResponseHeader::decode(&mut frame, 0).unwrap().correlation_id, 7);
    let response = ApiVersionsResponse::decode(&mut frame, 0).unwrap();
    assert_eq!(response.error_code, 35);
    assert!(response.api_keys.iter().any(|key| key.api_key == 18 && key.max_version >= 3));
    // The connection goes on.
    assert_eq!(wire.call(0, &ApiVersionsRequest::default()).error_code, 0);
}

pub fn an_unsupported_version_closes_the_connection(cluster: &Cluster) {
    let mut wire = Wire::connect(cluster);
    assert!(wire.exchange(0, 1, 1, &MetadataRequest::default().with_topics(Some(vec![]))).is_none());
}

pub fn batch(producer: (i64, i16, i32), transactional: bool, values: &[&str]) -> Bytes {
    encoded(producer, transactional, values, Compression::None, super::records::recent())
}

pub fn compressed(compression: Compression, value: &str) -> Bytes {
    encoded((-1, -1, 0), false, &[value], compression, super::records::recent())
}

fn encoded(
    producer: (i64, i16, i32),
    transactional: bool,
    values: &[&str],
    compression: Compression,
    timestamp: i64,
) -> Bytes {
    let records: Vec<Record> = values
        .iter()
        .enumerate()
        .map(|(at, value)| Record {
            transactional,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: -1,
            producer_id: producer.0,
            producer_epoch: producer.1,
            timestamp_type: TimestampType::Creation,
            offset: at as i64,
            sequence: producer.2 + at as i32,
            timestamp,
            key: None,
            value: Some(Bytes::copy_from_slice(value.as_bytes())),
            headers: Default::default(),
        })
        .collect();
    let mut bytes = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression };
    RecordBatchEncoder::encode(&mut bytes, &records, &options).unwrap();
    bytes.freeze()
}

/// One record of nobody's, of that time.
pub fn batch_at(timestamp: i64, value: &str) -> Bytes {
    encoded((-1, -1, 0), false, &[value], Compression::None, timestamp)
}

/// Error code and base offset of one produced batch.
pub fn produce(wire: &mut Wire, id: Option<&str>, topic: &str, records: Bytes) -> (i16, i64) {
    let partition = PartitionProduceData::default().with_records(Some(records));
    let topic = TopicProduceData::default().with_name(TopicName(text(topic))).with_partition_data(vec![partition]);
    let request = ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(10_000)
        .with_transactional_id(id.map(|id| TransactionalId(text(id))))
        .with_topic_data(vec![topic]);
    let response = wire.call(9, &request);
    let outcome = &response.responses[0].partition_responses[0];
    (outcome.error_code, outcome.base_offset)
}

pub fn a_retried_batch_is_recognised(cluster: &Cluster) {
    let topic = cluster.topic(1, &[]);
    let mut wire = Wire::connect(cluster);
    let init = InitProducerIdRequest::default().with_transactional_id(None);
    let init = init.with_producer_id(ProducerId(-1)).with_producer_epoch(-1);
    let mut given = wire.call(4, &init);
    // A cluster that has just started asks for patience first.
    until("there is a producer id", || {
        if given.error_code != 0 {
            given = wire.call(4, &init);
        }
        given.error_code == 0
    });
    let producer = |sequence| (given.producer_id.0, given.producer_epoch, sequence);
    for at in 0..6 {
        let placed = produce(&mut wire, None, &topic, batch(producer(at * 2), false, &["a", "b"]));
        assert_eq!(placed, (0, i64::from(at) * 2));
    }
    // Any of the last five again; then one that leaves a gap.
    for at in 1..6 {
        let placed = produce(&mut wire, None, &topic, batch(producer(at * 2), false, &["a", "b"]));
        assert_eq!(placed, (0, i64::from(at) * 2));
    }
    assert_eq!(produce(&mut wire, None, &topic, batch(producer(20), false, &["a"])).0, 45);
    assert_eq!(cluster.watermarks(&topic, 0), (0, 12));
    let mut broken = batch((-1, -1, 0), false, &["a"]).to_vec();
    let last = broken.len() - 1;
    broken[last] ^= 1;
    assert_eq!(produce(&mut wire, None, &topic, broken.into()).0, 2);
}

pub fn a_transaction_needs_its_partitions_added(cluster: &Cluster) {
    let (topic, id) = (cluster.topic(1, &[]), unique("tx"));
    let mut wire = Wire::connect(cluster);
    let name = TransactionalId(text(&id));
    let init = InitProducerIdRequest::default()
        .with_transactional_id(Some(name.clone()))
        .with_transaction_timeout_ms(60_000)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    let coordinator = FindCoordinatorRequest::default().with_key(text(&id)).with_key_type(1);
    // Whoever asks first makes it: it may still be on its way.
    until("a coordinator", || wire.call(3, &coordinator).error_code == 0);
    let mut given = wire.call(4, &init);
    until("the id has a producer", || {
        if given.error_code != 0 {
            given = wire.call(4, &init);
        }
        given.error_code == 0
    });
    let producer = (given.producer_id.0, given.producer_epoch, 0);
    let refused = produce(&mut wire, Some(&id), &topic, batch(producer, true, &["a"])).0;
    assert_ne!(refused, 0, "a record outside any transaction was taken");
    let topics = AddPartitionsToTxnTopic::default().with_name(TopicName(text(&topic))).with_partitions(vec![0]);
    let add = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(name.clone())
        .with_v3_and_below_producer_id(given.producer_id)
        .with_v3_and_below_producer_epoch(given.producer_epoch)
        .with_v3_and_below_topics(vec![topics]);
    let added = wire.call(3, &add);
    assert_eq!(added.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code, 0);
    assert_eq!(produce(&mut wire, Some(&id), &topic, batch(producer, true, &["a"])).0, 0);
    let end = |epoch| {
        EndTxnRequest::default()
            .with_transactional_id(name.clone())
            .with_producer_id(given.producer_id)
            .with_producer_epoch(epoch)
            .with_committed(true)
    };
    assert_eq!(wire.call(3, &end(given.producer_epoch + 1)).error_code, 90, "not its epoch");
    until("the commit is done", || wire.call(3, &end(given.producer_epoch)).error_code == 0);
    // Until its markers are written it is told to come again.
    until("a repeated commit is no error", || wire.call(3, &end(given.producer_epoch)).error_code == 0);
    assert_eq!(wire.call(3, &end(given.producer_epoch).with_committed(false)).error_code, 48);
}

pub fn configurations_change_one_by_one(cluster: &Cluster) {
    let topic = cluster.topic(1, &[("retention.ms", "1000000")]);
    let mut wire = Wire::connect(cluster);
    let mut change = |name: &str, operation, value: Option<&str>| {
        let config = AlterableConfig::default().with_name(text(name)).with_config_operation(operation);
        let config = config.with_value(value.map(text));
        let resource = AlterConfigsResource::default().with_resource_type(2).with_resource_name(text(&topic));
        let request =
            IncrementalAlterConfigsRequest::default().with_resources(vec![resource.with_configs(vec![config])]);
        wire.call(1, &request).responses[0].error_code
    };
    let (set, delete, append, subtract) = (0, 1, 2, 3);
    assert_eq!(change("segment.ms", set, Some("5000")), 0);
    assert_eq!(change("cleanup.policy", append, Some("compact")), 0);
    assert_eq!(change("cleanup.policy", subtract, Some("delete")), 0);
    assert_eq!(change("retention.ms", delete, None), 0);
    assert_eq!(change("retention.ms", append, Some("1")), 40);
    assert_eq!(change("retention.ms", set, Some("x")), 40);
    let consumer = cluster.admin();
    let value = |name: &str| {
        let asked = [rdkafka::admin::ResourceSpecifier::Topic(&topic)];
        let described = super::client::wait(consumer.describe_configs(&asked, &rdkafka::admin::AdminOptions::new()));
        described.unwrap()[0].as_ref().unwrap().get(name).unwrap().value.clone().unwrap()
    };
    until("the changes are told", || value("segment.ms") == "5000");
    assert_eq!((value("cleanup.policy"), value("retention.ms")), ("compact".into(), "604800000".into()));
}

/// A member that joins and is never heard of again, as one whose process was killed.
pub fn join_and_fall_silent(cluster: &Cluster, group: &str) {
    let mut wire = Wire::connect(cluster);
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range"));
    let join = |member_id: StrBytes| {
        JoinGroupRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_session_timeout_ms(6_000)
            .with_rebalance_timeout_ms(60_000)
            .with_member_id(member_id)
            .with_protocol_type(text("consumer"))
            // An empty subscription: version 0, no topics, no user data.
            .with_protocols(vec![protocol.clone().with_metadata(Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0]))])
    };
    let mut answer = wire.call(5, &join(StrBytes::default()));
    until("the member is in", || {
        answer = wire.call(5, &join(answer.member_id.clone()));
        answer.error_code == 0
    });
}
