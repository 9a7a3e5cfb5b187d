//! One request of each kind that does something to the topic, in any version; and batches that lie.

use super::wire::{batch, text};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request};
use kafka_protocol::records::Compression;

pub struct Sample {
    pub key: i16,
    /// The request with its header.
    pub frame: Box<dyn Fn(i16) -> Bytes>,
    /// Fails if this is not a whole answer to it.
    pub check: fn(Bytes, i16),
}

fn sample<Q: Request>(make: impl Fn(i16) -> Q + 'static) -> Sample {
    let frame = move |version| {
        let mut frame = BytesMut::new();
        let head = RequestHeader::default().with_request_api_key(Q::KEY).with_request_api_version(version);
        head.with_correlation_id(7)
            .with_client_id(Some(text("s")))
            .encode(&mut frame, Q::header_version(version))
            .unwrap();
        make(version).encode(&mut frame, version).unwrap_or_else(|error| panic!("{} {version}: {error}", Q::KEY));
        frame.freeze()
    };
    let check = |mut answer: Bytes, version| {
        let header = ResponseHeader::decode(&mut answer, Q::Response::header_version(version)).unwrap();
        assert_eq!(header.correlation_id, 7, "api {} version {version}", Q::KEY);
        Q::Response::decode(&mut answer, version).unwrap();
        assert!(answer.is_empty(), "{} bytes too many", answer.len());
    };
    Sample { key: Q::KEY, frame: Box::new(frame), check }
}

pub fn samples(topic: &str) -> Vec<Sample> {
    let name = TopicName(text(topic));
    [records(&name), groups(&name), transactions(&name), admin(&name)].into_iter().flatten().collect()
}

fn records(topic: &TopicName) -> Vec<Sample> {
    let name = || topic.clone();
    let produced = TopicProduceData::default().with_name(name());
    let data = PartitionProduceData::default().with_records(Some(batch((-1, -1, 0), false, &["a", "b"])));
    let produced = produced.with_partition_data(vec![data]);
    let fetched = FetchPartition::default().with_partition_max_bytes(1 << 20).with_current_leader_epoch(-1);
    let fetched = FetchTopic::default().with_topic(name()).with_partitions(vec![fetched]);
    // In the middle of the records' times, so that a batch is looked into.
    let listed = ListOffsetsPartition::default().with_timestamp(1).with_current_leader_epoch(-1);
    let listed = ListOffsetsTopic::default().with_name(name()).with_partitions(vec![listed]);
    let deleted = DeleteRecordsTopic::default().with_name(name());
    let deleted = deleted.with_partitions(vec![DeleteRecordsPartition::default().with_offset(0)]);
    vec![
        sample(move |_| {
            let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(1_000);
            request.with_topic_data(vec![produced.clone()])
        }),
        sample(move |_| {
            let request = FetchRequest::default().with_max_bytes(1 << 20).with_max_wait_ms(1).with_min_bytes(1);
            request.with_topics(vec![fetched.clone()])
        }),
        sample(move |_| ListOffsetsRequest::default().with_topics(vec![listed.clone()])),
        sample(move |_| DeleteRecordsRequest::default().with_topics(vec![deleted.clone()])),
    ]
}

fn groups(topic: &TopicName) -> Vec<Sample> {
    // A group of its own for each version, so that no member waits for another.
    let group = |version: i16| GroupId(text(&format!("g{version}")));
    let name = topic.clone();
    let committed = OffsetCommitRequestTopic::default().with_name(name.clone());
    let committed = committed.with_partitions(vec![OffsetCommitRequestPartition::default().with_committed_offset(1)]);
    let fetched = OffsetFetchRequestTopic::default().with_name(name.clone()).with_partition_indexes(vec![0, 1]);
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(vec![0; 10].into());
    let assigned = SyncGroupRequestAssignment::default().with_member_id(text("m")).with_assignment(vec![0; 6].into());
    vec![
        sample(move |version| {
            let request = OffsetCommitRequest::default().with_group_id(group(version));
            request.with_generation_id_or_member_epoch(-1).with_topics(vec![committed.clone()])
        }),
        sample(move |version| {
            OffsetFetchRequest::default().with_group_id(group(version)).with_topics(Some(vec![fetched.clone()]))
        }),
        sample(|_| FindCoordinatorRequest::default().with_key(text("g"))),
        sample(move |version| {
            let request = JoinGroupRequest::default().with_group_id(GroupId(text(&format!("join{version}"))));
            let request = request.with_session_timeout_ms(6_000).with_protocol_type(text("consumer"));
            let request = if version >= 1 { request.with_rebalance_timeout_ms(6_000) } else { request };
            request.with_protocols(vec![protocol.clone()])
        }),
        sample(move |version| {
            let request = SyncGroupRequest::default().with_group_id(group(version)).with_member_id(text("m"));
            request.with_assignments(vec![assigned.clone()])
        }),
        sample(move |version| HeartbeatRequest::default().with_group_id(group(version)).with_member_id(text("m"))),
        sample(move |version| LeaveGroupRequest::default().with_group_id(group(version)).with_member_id(text("m"))),
        sample(move |version| DescribeGroupsRequest::default().with_groups(vec![group(version)])),
        sample(|_| ListGroupsRequest::default()),
        sample(move |version| DeleteGroupsRequest::default().with_groups_names(vec![group(version)])),
    ]
}

fn transactions(topic: &TopicName) -> Vec<Sample> {
    let id = || TransactionalId(text("t"));
    let added = AddPartitionsToTxnTopic::default().with_name(topic.clone()).with_partitions(vec![0]);
    let committed = TxnOffsetCommitRequestTopic::default().with_name(topic.clone());
    let committed =
        committed.with_partitions(vec![TxnOffsetCommitRequestPartition::default().with_committed_offset(1)]);
    vec![
        sample(move |_| {
            let request = InitProducerIdRequest::default().with_transactional_id(Some(id()));
            request.with_transaction_timeout_ms(60_000).with_producer_id(ProducerId(-1)).with_producer_epoch(-1)
        }),
        sample(move |_| {
            let request = AddPartitionsToTxnRequest::default().with_v3_and_below_transactional_id(id());
            request.with_v3_and_below_topics(vec![added.clone()])
        }),
        sample(move |_| {
            AddOffsetsToTxnRequest::default().with_transactional_id(id()).with_group_id(GroupId(text("g2")))
        }),
        sample(move |_| EndTxnRequest::default().with_transactional_id(id()).with_committed(true)),
        sample(move |_| {
            let request = TxnOffsetCommitRequest::default().with_transactional_id(id());
            request.with_group_id(GroupId(text("g2"))).with_topics(vec![committed.clone()])
        }),
    ]
}

fn admin(topic: &TopicName) -> Vec<Sample> {
    let name = || topic.clone();
    let asked = MetadataRequestTopic::default().with_name(Some(name()));
    let grown = CreatePartitionsTopic::default().with_name(name()).with_count(2);
    let described = DescribeConfigsResource::default().with_resource_type(2).with_resource_name(name().0);
    let described = described.with_configuration_keys(None);
    let value = AlterableConfig::default().with_name(text("retention.ms")).with_value(Some(text("100000000")));
    let altered = AlterConfigsResource::default().with_resource_type(2).with_resource_name(name().0);
    let altered = altered.with_configs(vec![value]);
    let step = incremental_alter_configs_request::AlterableConfig::default().with_name(text("segment.ms"));
    let step = step.with_value(Some(text("100000000")));
    let changed = incremental_alter_configs_request::AlterConfigsResource::default().with_resource_type(2);
    let changed = changed.with_resource_name(name().0).with_configs(vec![step]);
    let created = |version: i16| CreatableTopic::default().with_name(TopicName(text(&format!("c{version}"))));
    vec![
        sample(|_| ApiVersionsRequest::default()),
        sample(move |_| MetadataRequest::default().with_topics(Some(vec![asked.clone()]))),
        sample(move |version| {
            let topic = created(version).with_num_partitions(1).with_replication_factor(1);
            CreateTopicsRequest::default().with_timeout_ms(1_000).with_topics(vec![topic])
        }),
        sample(move |version| {
            DeleteTopicsRequest::default().with_timeout_ms(1_000).with_topic_names(vec![created(version).name])
        }),
        sample(move |_| CreatePartitionsRequest::default().with_timeout_ms(1_000).with_topics(vec![grown.clone()])),
        sample(|_| DescribeAclsRequest::default()),
        sample(move |_| DescribeConfigsRequest::default().with_resources(vec![described.clone()])),
        sample(move |_| AlterConfigsRequest::default().with_resources(vec![altered.clone()])),
        sample(move |_| IncrementalAlterConfigsRequest::default().with_resources(vec![changed.clone()])),
    ]
}

/// Batches whose checksum is right and whose claims are not.
pub fn bad_batches() -> Vec<(&'static str, Bytes)> {
    let count = |compression, count: i32| {
        let mut bytes = super::wire::compressed(compression, "a").to_vec();
        bytes[23..27].copy_from_slice(&count.wrapping_sub(1).to_be_bytes());
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        Bytes::from(bytes)
    };
    let zeros = "0".repeat(65 << 20);
    vec![
        ("two records that are one", count(Compression::None, 2)),
        ("two thousand million records", count(Compression::None, i32::MAX)),
        ("no record", count(Compression::None, 0)),
        ("two thousand million compressed records", count(Compression::Gzip, i32::MAX)),
        ("gzip bomb", super::wire::compressed(Compression::Gzip, &zeros)),
        ("zstd bomb", super::wire::compressed(Compression::Zstd, &zeros)),
    ]
}
