//! Consumer groups with real members, as many as an organisation has: each joins by the protocol, is assigned partitions, and commits.
//!
//! A member is a connection for the moment of joining only: its session lasts longer than the program, so nobody has to beat.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use fairlead::wire::frame;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, FindCoordinatorRequest, GroupId, JoinGroupRequest,
    JoinGroupResponse, OffsetCommitRequest, SyncGroupRequest, TopicName, consumer_protocol_assignment::TopicPartition,
};
use kafka_protocol::protocol::{Encodable, Request, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Below what would ask for a member id first.
const JOIN_VERSION: i16 = 3;
const FIND_VERSION: i16 = 1;
const SYNC_VERSION: i16 = 2;
const COMMIT_VERSION: i16 = 6;
/// The most that a broker allows, unless told otherwise.
const SESSION_MS: i32 = 1_800_000;

pub struct Group {
    pub name: String,
    pub topics: Vec<String>,
    pub partitions: i32,
    /// What is committed of each partition.
    pub offset: i64,
}

struct Member {
    stream: TcpStream,
    correlation: i32,
}

impl Member {
    async fn ask<Q: Request>(&mut self, body: &Q, version: i16) -> Result<Q::Response> {
        self.correlation += 1;
        self.stream.write_all(&frame::request(body, version, self.correlation, "mirror-scale")?).await?;
        let mut prefix = [0; 4];
        self.stream.read_exact(&mut prefix).await?;
        let mut answer = vec![0; frame::answer_length(prefix)?];
        self.stream.read_exact(&mut answer).await?;
        let body = frame::answer_body::<Q::Response>(answer.into(), version, self.correlation)?;
        Ok(frame::answer(body, version)?)
    }

    /// Waits for as long as the broker only now makes the topic in which it keeps groups.
    async fn join(&mut self, group: &Group) -> Result<JoinGroupResponse> {
        let topics = group.topics.iter().map(|topic| StrBytes::from_string(topic.clone())).collect();
        let subscription = ConsumerProtocolSubscription::default().with_topics(topics);
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(StrBytes::from_static_str("range"))
            .with_metadata(versioned(&subscription)?);
        let asked = JoinGroupRequest::default()
            .with_group_id(id(group))
            .with_session_timeout_ms(SESSION_MS)
            .with_rebalance_timeout_ms(60_000)
            .with_protocol_type(StrBytes::from_static_str("consumer"))
            .with_protocols(vec![protocol]);
        let find = FindCoordinatorRequest::default().with_key(id(group).0);
        for _ in 0..300 {
            let found = self.ask(&find, FIND_VERSION).await?;
            let joined = if found.error_code == 0 { Some(self.ask(&asked, JOIN_VERSION).await?) } else { None };
            match joined {
                Some(joined) if joined.error_code == 0 => return Ok(joined),
                Some(joined) if !(14..=16).contains(&joined.error_code) => {
                    bail!("{}: joining failed with {}", group.name, joined.error_code)
                }
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        bail!("{}: it has no coordinator", group.name)
    }

    async fn sync(&mut self, group: &Group, joined: &JoinGroupResponse) -> Result<()> {
        let mut asked = SyncGroupRequest::default()
            .with_group_id(id(group))
            .with_generation_id(joined.generation_id)
            .with_member_id(joined.member_id.clone());
        if joined.leader == joined.member_id {
            let count = joined.members.len();
            for (number, member) in joined.members.iter().enumerate() {
                let assigned =
                    ConsumerProtocolAssignment::default().with_assigned_partitions(share(group, number, count));
                let assignment = SyncGroupRequestAssignment::default()
                    .with_member_id(member.member_id.clone())
                    .with_assignment(versioned(&assigned)?);
                asked.assignments.push(assignment);
            }
        }
        let synced = self.ask(&asked, SYNC_VERSION).await?;
        ensure!(synced.error_code == 0, "{}: syncing failed with {}", group.name, synced.error_code);
        Ok(())
    }

    async fn commit(&mut self, group: &Group, joined: &JoinGroupResponse) -> Result<()> {
        let partition = |number| {
            OffsetCommitRequestPartition::default().with_partition_index(number).with_committed_offset(group.offset)
        };
        let topic = |name: &String| {
            OffsetCommitRequestTopic::default()
                .with_name(TopicName(StrBytes::from_string(name.clone())))
                .with_partitions((0..group.partitions).map(partition).collect())
        };
        let asked = OffsetCommitRequest::default()
            .with_group_id(id(group))
            .with_generation_id_or_member_epoch(joined.generation_id)
            .with_member_id(joined.member_id.clone())
            .with_topics(group.topics.iter().map(topic).collect());
        let answer = self.ask(&asked, COMMIT_VERSION).await?;
        let refused = answer.topics.iter().flat_map(|topic| &topic.partitions).find(|one| one.error_code != 0);
        ensure!(refused.is_none(), "{}: committing failed: {refused:?}", group.name);
        Ok(())
    }
}

/// All members of a group at once; one of them commits for all.
pub async fn join(address: &str, group: &Group, members: usize) -> Result<()> {
    let mut joining = Vec::new();
    for _ in 0..members {
        let stream = TcpStream::connect(address).await.with_context(|| address.to_owned())?;
        stream.set_nodelay(true)?;
        joining.push(Member { stream, correlation: 0 });
    }
    let joined = futures_util::future::try_join_all(joining.iter_mut().map(|member| member.join(group))).await?;
    let newest = joined.iter().map(|one| one.generation_id).max().unwrap_or_default();
    ensure!(joined.iter().all(|one| one.generation_id == newest), "{}: its members did not meet", group.name);
    let together = joining.iter_mut().zip(&joined);
    futures_util::future::try_join_all(together.map(|(member, joined)| member.sync(group, joined))).await?;
    match (joining.first_mut(), joined.first()) {
        (Some(member), Some(joined)) => member.commit(group, joined).await,
        _ => Ok(()),
    }
}

fn id(group: &Group) -> GroupId {
    GroupId(StrBytes::from_string(group.name.clone()))
}

fn share(group: &Group, member: usize, members: usize) -> Vec<TopicPartition> {
    let own = |at: &usize| at % members == member;
    let all = group.topics.iter().flat_map(|topic| (0..group.partitions).map(move |number| (topic, number)));
    let own = all.enumerate().filter(|(at, _)| own(at)).map(|(_, (topic, number))| {
        let topic = TopicName(StrBytes::from_string(topic.clone()));
        TopicPartition::default().with_topic(topic).with_partitions(vec![number])
    });
    own.collect()
}

/// With the version in front, as the consumer protocol has it.
fn versioned(body: &impl Encodable) -> Result<Bytes> {
    let mut bytes = bytes::BytesMut::from(&[0_u8, 0][..]);
    body.encode(&mut bytes, 0)?;
    Ok(bytes.freeze())
}
