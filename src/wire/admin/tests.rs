//! A cluster of two brokers that say what a test wants: controllers, coordinators and leaders that move, and answers that never come.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, decode_request_header_from_buffer};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::topics::topic_name;
use super::*;
use crate::wire::{At, TopicPartition};

/// What both brokers know, and what they were asked.
#[derive(Default)]
struct Script {
    ports: [u16; 2],
    /// Who is controller, coordinator of every group and leader of `a`-1.
    head: i32,
    /// Who was asked for it before `head` moved on, in order: broker, then what.
    asked: Vec<(i32, &'static str)>,
    /// These hang up instead of answering.
    silent: BTreeSet<i32>,
}

struct Fake(Arc<Mutex<Script>>);

impl Fake {
    /// Broker 1 is the head.
    async fn start() -> Fake {
        let script = Arc::new(Mutex::new(Script { head: 1, ..Script::default() }));
        for node in [1, 2] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            script.lock().ports[node as usize - 1] = listener.local_addr().unwrap().port();
            let script = script.clone();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(node, stream, script.clone()));
                }
            });
        }
        Fake(script)
    }

    fn admin(&self) -> Admin {
        let [one, two] = self.0.lock().ports;
        Admin::new(&Connection::new(&format!("127.0.0.1:{one},127.0.0.1:{two}"))).unwrap()
    }
}

async fn serve(node: i32, mut stream: TcpStream, script: Arc<Mutex<Script>>) -> std::io::Result<()> {
    loop {
        let mut frame = vec![0; stream.read_u32().await? as usize];
        stream.read_exact(&mut frame).await?;
        let Some(answer) = answer(node, Bytes::from(frame), &mut script.lock()) else { return Ok(()) };
        stream.write_all(&answer).await?;
    }
}

/// `None`: hang up.
fn answer(node: i32, mut frame: Bytes, script: &mut Script) -> Option<Bytes> {
    let header = decode_request_header_from_buffer(&mut frame).unwrap();
    let (key, version) = (ApiKey::try_from(header.request_api_key).unwrap(), header.request_api_version);
    if script.silent.contains(&node) {
        return None;
    }
    let reply = Reply { correlation: header.correlation_id, version };
    Some(match key {
        ApiKey::ApiVersions => reply.with(&versions()),
        ApiKey::Metadata => reply.with(&metadata(script)),
        ApiKey::FindCoordinator => {
            let keys = FindCoordinatorRequest::decode(&mut frame, version).unwrap().coordinator_keys.into_iter();
            let coordinators = keys.map(|key| Coordinator::default().with_key(key).with_node_id(BrokerId(script.head)));
            reply.with(&FindCoordinatorResponse::default().with_coordinators(coordinators.collect()))
        }
        ApiKey::DeleteTopics => {
            let code = script.head_or(node, "DeleteTopics", ResponseError::NotController);
            let names = DeleteTopicsRequest::decode(&mut frame, version).unwrap().topic_names.into_iter();
            let gone = names.map(|name| DeletableTopicResult::default().with_name(Some(name)).with_error_code(code));
            reply.with(&DeleteTopicsResponse::default().with_responses(gone.collect()))
        }
        ApiKey::DeleteGroups => {
            let code = script.head_or(node, "DeleteGroups", ResponseError::NotCoordinator);
            let names = DeleteGroupsRequest::decode(&mut frame, version).unwrap().groups_names.into_iter();
            let gone = names.map(|name| DeletableGroupResult::default().with_group_id(name).with_error_code(code));
            reply.with(&DeleteGroupsResponse::default().with_results(gone.collect()))
        }
        ApiKey::ListOffsets => {
            let asked = ListOffsetsRequest::decode(&mut frame, version).unwrap();
            let numbers = asked.topics[0].partitions.iter().map(|partition| partition.partition_index);
            let partitions = numbers.map(|number| {
                // Broker 1 leads `a`-0 for ever, and `a`-1 until it is first asked for it.
                let code = match number {
                    0 => {
                        script.asked.push((node, "ListOffsets of 0"));
                        0
                    }
                    _ => script.head_or(node, "ListOffsets of 1", ResponseError::NotLeaderOrFollower),
                };
                let told = ListOffsetsPartitionResponse::default().with_partition_index(number);
                told.with_error_code(code).with_offset(i64::from(10 * node + number))
            });
            let topic =
                ListOffsetsTopicResponse::default().with_name(topic_name("a")).with_partitions(partitions.collect());
            reply.with(&ListOffsetsResponse::default().with_topics(vec![topic]))
        }
        other => panic!("nobody should ask for {other:?}"),
    })
}

impl Script {
    /// The head moves from 1 to 2 when 1 is first asked.
    fn head_or(&mut self, node: i32, what: &'static str, moved: ResponseError) -> i16 {
        self.asked.push((node, what));
        self.head = 2;
        if node == 2 { 0 } else { moved.code() }
    }
}

fn versions() -> ApiVersionsResponse {
    let served = [
        (ApiKey::Metadata, 9),
        (ApiKey::FindCoordinator, 4),
        (ApiKey::DeleteTopics, 5),
        (ApiKey::DeleteGroups, 2),
        (ApiKey::ListOffsets, 6),
    ];
    let keys = served.map(|(key, high)| ApiVersion::default().with_api_key(key as i16).with_max_version(high));
    ApiVersionsResponse::default().with_api_keys(keys.into())
}

fn metadata(script: &Script) -> MetadataResponse {
    let brokers = [1, 2].map(|node: i32| {
        let port = i32::from(script.ports[node as usize - 1]);
        MetadataResponseBroker::default().with_node_id(BrokerId(node)).with_host(text("127.0.0.1")).with_port(port)
    });
    let partitions = [(0, 1), (1, script.head)].map(|(number, leader)| {
        MetadataResponsePartition::default().with_partition_index(number).with_leader_id(BrokerId(leader))
    });
    let topic = MetadataResponseTopic::default().with_name(Some(topic_name("a"))).with_partitions(partitions.into());
    MetadataResponse::default()
        .with_brokers(brokers.into())
        .with_controller_id(BrokerId(script.head))
        .with_topics(vec![topic])
}

struct Reply {
    correlation: i32,
    version: i16,
}

impl Reply {
    fn with<A: Encodable + HeaderVersion>(&self, answer: &A) -> Bytes {
        let mut frame = BytesMut::from(&[0; 4][..]);
        let header = ResponseHeader::default().with_correlation_id(self.correlation);
        header.encode(&mut frame, A::header_version(self.version)).unwrap();
        answer.encode(&mut frame, self.version).unwrap();
        let length = frame.len() as u32 - 4;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        frame.freeze()
    }
}

#[tokio::test]
async fn a_controller_that_moved_is_found() {
    let fake = Fake::start().await;
    let outcomes = fake.admin().delete_topics(&["a".into()]).await.unwrap();
    assert_eq!(outcomes, BTreeMap::from([("a".into(), Ok(()))]));
    assert_eq!(fake.0.lock().asked, [(1, "DeleteTopics"), (2, "DeleteTopics")]);
}

#[tokio::test]
async fn a_coordinator_that_moved_is_found() {
    let fake = Fake::start().await;
    let outcomes = fake.admin().delete_groups(&["g".into(), "h".into()]).await.unwrap();
    assert_eq!(outcomes.values().map(Result::is_ok).collect::<Vec<_>>(), [true, true]);
    assert_eq!(fake.0.lock().asked, [(1, "DeleteGroups"), (2, "DeleteGroups")]);
}

#[tokio::test]
async fn only_what_a_leader_put_off_is_asked_for_again() {
    let fake = Fake::start().await;
    let partitions: Vec<TopicPartition> = [0, 1, 2].map(|number| ("a".to_owned(), number)).into();
    let offsets = fake.admin().offsets(&partitions, At::Earliest).await.unwrap();
    let told: Vec<_> = offsets.into_iter().map(|((_, number), view)| (number, view.offset)).collect();
    assert_eq!(told, [(0, 10), (1, 21)]);
    let asked = fake.0.lock().asked.clone();
    assert_eq!(asked, [(1, "ListOffsets of 0"), (1, "ListOffsets of 1"), (2, "ListOffsets of 1")]);
}

#[tokio::test]
async fn another_broker_is_asked_when_one_hangs_up() {
    let fake = Fake::start().await;
    for silent in [1, 2] {
        fake.0.lock().silent = BTreeSet::from([silent]);
        assert_eq!(fake.admin().cluster().await.unwrap().brokers.len(), 2, "without {silent}");
    }
}
