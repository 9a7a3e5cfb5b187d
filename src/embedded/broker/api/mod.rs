//! The wire: which API in which versions, from frame to typed request to framed response.
//!
//! The versions stop below topic ids (KIP-516 in requests) and below transaction protocol 2. Encoding happens outside
//! every lock: the codec refuses a response that sets a field its version lacks, and that must not hurt anybody else.

mod admin;
mod configs;
mod decode;
mod fetch;
mod group;
mod group_admin;
mod metadata;
mod offsets;
mod positions;
mod produce;
mod topics;
mod transactions;

use super::node::Node;
use bytes::{BufMut, Bytes, BytesMut};
use decode::Body;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ProduceRequest, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Encodable, HeaderVersion, Request, StrBytes};
use std::sync::Arc;

/// Every API that is served, with its lowest and highest version.
const VERSIONS: &[(ApiKey, i16, i16)] = &[
    // Advertised from 0 because librdkafka before 2.11 insists (KAFKA-18659); versions before 3 are refused.
    (ApiKey::Produce, 0, 9),
    (ApiKey::Fetch, 4, 11),
    (ApiKey::ListOffsets, 1, 7),
    (ApiKey::Metadata, 0, 9),
    (ApiKey::OffsetCommit, 2, 8),
    (ApiKey::OffsetFetch, 1, 7),
    (ApiKey::FindCoordinator, 0, 4),
    (ApiKey::JoinGroup, 0, 7),
    (ApiKey::Heartbeat, 0, 4),
    (ApiKey::LeaveGroup, 0, 5),
    (ApiKey::SyncGroup, 0, 5),
    (ApiKey::DescribeGroups, 0, 5),
    (ApiKey::ListGroups, 0, 4),
    (ApiKey::ApiVersions, 0, 4),
    (ApiKey::CreateTopics, 2, 6),
    (ApiKey::DeleteTopics, 1, 5),
    (ApiKey::DeleteRecords, 0, 2),
    (ApiKey::InitProducerId, 0, 4),
    (ApiKey::OffsetForLeaderEpoch, 2, 4),
    (ApiKey::AddPartitionsToTxn, 0, 3),
    (ApiKey::AddOffsetsToTxn, 0, 3),
    (ApiKey::EndTxn, 0, 3),
    (ApiKey::TxnOffsetCommit, 0, 3),
    (ApiKey::DescribeConfigs, 1, 4),
    (ApiKey::AlterConfigs, 0, 2),
    (ApiKey::IncrementalAlterConfigs, 0, 1),
    (ApiKey::CreatePartitions, 0, 3),
    (ApiKey::DeleteGroups, 0, 2),
    (ApiKey::OffsetDelete, 0, 0),
    (ApiKey::DescribeCluster, 0, 1),
];

/// The other end of a connection.
pub struct Peer {
    pub host: String,
}

/// Why a request gets no answer and its connection is closed.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("api {key} version {version} is not supported")]
    Unsupported { key: i16, version: i16 },
    #[error("malformed request: {0}")]
    Malformed(anyhow::Error),
    #[error("the answer cannot be encoded: {0}")]
    Encoding(anyhow::Error),
}

/// A request before its body is decoded.
struct Call<'a> {
    node: &'a Arc<Node>,
    peer: &'a Peer,
    header: RequestHeader,
    body: Body,
}

/// Answers one frame; `None` for a request that wants no answer (produce with `acks=0`).
pub async fn answer(node: &Arc<Node>, peer: &Peer, frame: Bytes) -> Result<Option<Bytes>, Refused> {
    let Some([key, version]) =
        frame.first_chunk::<4>().map(|[a, b, c, d]| [i16::from_be_bytes([*a, *b]), i16::from_be_bytes([*c, *d])])
    else {
        return Err(Refused::Malformed(anyhow::anyhow!("a frame of {} bytes", frame.len())));
    };
    let range = VERSIONS.iter().find(|(api, ..)| *api as i16 == key);
    match range {
        Some((api, low, high)) if (*low..=*high).contains(&version) => {
            let mut body = Body::new(frame);
            let header = body.header()?;
            Call { node, peer, header, body }.dispatch(*api).await
        }
        Some((ApiKey::ApiVersions, ..)) => metadata::unsupported_api_versions(&frame).map(Some),
        _ => Err(Refused::Unsupported { key, version }),
    }
}

impl Call<'_> {
    async fn dispatch(mut self, api: ApiKey) -> Result<Option<Bytes>, Refused> {
        let (node, version) = (self.node.clone(), self.header.request_api_version);
        match api {
            ApiKey::Produce => return self.produce(),
            ApiKey::Fetch => {
                let request = self.decode()?;
                let response = fetch::fetch(&node, &request).await;
                self.encode(&response)
            }
            ApiKey::JoinGroup => {
                let request = self.decode()?;
                let response = group::join(&node, self.peer, &self.header, request).await;
                self.encode(&response)
            }
            ApiKey::SyncGroup => {
                let request = self.decode()?;
                let response = group::sync(&node, request).await;
                self.encode(&response)
            }
            ApiKey::ListOffsets => self.reply(|request| positions::list_offsets(&node, request, version)),
            ApiKey::Metadata => self.reply(|request| metadata::metadata(&node, request, version)),
            ApiKey::OffsetCommit => self.reply(|request| offsets::commit(&node, request)),
            ApiKey::OffsetFetch => self.reply(|request| offsets::fetch(&node, request)),
            ApiKey::FindCoordinator => self.reply(|request| metadata::find_coordinator(&node, request, version)),
            ApiKey::Heartbeat => self.reply(|request| group::heartbeat(&node, request)),
            ApiKey::LeaveGroup => self.reply(|request| group::leave(&node, request, version)),
            ApiKey::DescribeGroups => self.reply(|request| group_admin::describe(&node, request)),
            ApiKey::ListGroups => self.reply(|request| group_admin::list(&node, request, version)),
            ApiKey::ApiVersions => self.reply(|_: ApiVersionsRequest| metadata::api_versions()),
            ApiKey::CreateTopics => self.reply(|request| topics::create(&node, request, version)),
            ApiKey::DeleteTopics => self.reply(|request| topics::delete(&node, request)),
            ApiKey::DeleteRecords => self.reply(|request| positions::delete_records(&node, request)),
            ApiKey::InitProducerId => self.reply(|request| transactions::init(&node, request, version)),
            ApiKey::OffsetForLeaderEpoch => self.reply(|request| positions::leader_epochs(&node, request)),
            ApiKey::AddPartitionsToTxn => self.reply(|request| transactions::add_partitions(&node, request, version)),
            ApiKey::AddOffsetsToTxn => self.reply(|request| transactions::add_offsets(&node, request, version)),
            ApiKey::EndTxn => self.reply(|request| transactions::end(&node, request, version)),
            ApiKey::TxnOffsetCommit => self.reply(|request| offsets::commit_in_txn(&node, request)),
            ApiKey::DescribeConfigs => self.reply(|request| configs::describe(&node, request)),
            ApiKey::AlterConfigs => self.reply(|request| configs::alter(&node, request)),
            ApiKey::IncrementalAlterConfigs => self.reply(|request| configs::alter_incrementally(&node, request)),
            ApiKey::CreatePartitions => self.reply(|request| topics::create_partitions(&node, request)),
            ApiKey::DeleteGroups => self.reply(|request| group_admin::delete(&node, request)),
            ApiKey::OffsetDelete => self.reply(|request| group_admin::delete_offsets(&node, request)),
            ApiKey::DescribeCluster => self.reply(|request| admin::describe_cluster(&node, request, version)),
            other => Err(Refused::Unsupported { key: other as i16, version }),
        }
        .map(Some)
    }

    fn produce(mut self) -> Result<Option<Bytes>, Refused> {
        let request: ProduceRequest = self.decode()?;
        let response = produce::produce(self.node, &request);
        if request.acks == 0 { Ok(None) } else { self.encode(&response).map(Some) }
    }

    fn reply<Q: Request>(&mut self, handle: impl FnOnce(Q) -> Q::Response) -> Result<Bytes, Refused> {
        let request = self.decode()?;
        self.encode(&handle(request))
    }

    fn decode<Q: Request>(&mut self) -> Result<Q, Refused> {
        self.body.decode(self.header.request_api_version)
    }

    fn encode<R: Encodable + HeaderVersion>(&self, response: &R) -> Result<Bytes, Refused> {
        encode(self.header.correlation_id, self.header.request_api_version, response)
    }
}

/// A response with its header and length.
fn encode<R: Encodable + HeaderVersion>(correlation: i32, version: i16, response: &R) -> Result<Bytes, Refused> {
    let header = ResponseHeader::default().with_correlation_id(correlation);
    let header_version = R::header_version(version);
    let size = response.compute_size(version).map_err(Refused::Encoding)?;
    let mut frame = BytesMut::with_capacity(size + 16);
    frame.put_i32(0);
    header.encode(&mut frame, header_version).map_err(Refused::Encoding)?;
    response.encode(&mut frame, version).map_err(Refused::Encoding)?;
    let length = (frame.len() - 4) as i32;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame.freeze())
}

fn code(result: &Result<(), ResponseError>) -> i16 {
    result.as_ref().err().map_or(0, ResponseError::code)
}

fn text(text: impl Into<String>) -> StrBytes {
    StrBytes::from_string(text.into())
}
