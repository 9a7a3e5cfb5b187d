//! The wire: which API in which versions, from frame to typed request to framed response.
//!
//! The versions stop below topic ids (KIP-516 in requests) and below transaction protocol 2. Encoding happens outside
//! every lock: the codec refuses a response that sets a field its version lacks, and that must not hurt anybody else.

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

// What every family speaks of; each takes it from here.
use super::Outcome;
use super::coordinator::Coordinator;
use super::meta::{Committed, Entry, GroupOffsets, TopicPartition};
use super::node::{NODE_ID, Node, Topic, now};
use super::settings::{self, Configs};
use bytes::{BufMut, Bytes, BytesMut};
use decode::Body;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Encodable, HeaderVersion, Request, StrBytes};
use std::pin::Pin;
use std::sync::Arc;

/// The answer to come; `None` for a request that wants none (produce with `acks=0`).
type Reply = Pin<Box<dyn Future<Output = Result<Option<Bytes>, Refused>> + Send>>;

/// An API that is served, with its lowest and highest version.
struct Api(ApiKey, i16, i16, fn(Call, Body) -> Reply);

const APIS: &[Api] = &[
    // Advertised from 0 because librdkafka before 2.11 insists (KAFKA-18659); versions before 3 are refused.
    Api(ApiKey::Produce, 0, 9, produce::produce),
    Api(ApiKey::Fetch, 4, 11, |call, body| later(call, body, fetch::fetch)),
    Api(ApiKey::ListOffsets, 1, 6, |call, body| at_once(call, body, positions::list_offsets)),
    Api(ApiKey::Metadata, 0, 9, |call, body| at_once(call, body, metadata::metadata)),
    Api(ApiKey::OffsetCommit, 2, 8, |call, body| at_once(call, body, offsets::commit)),
    Api(ApiKey::OffsetFetch, 1, 7, |call, body| at_once(call, body, offsets::fetch)),
    Api(ApiKey::FindCoordinator, 0, 3, |call, body| at_once(call, body, metadata::find_coordinator)),
    Api(ApiKey::JoinGroup, 0, 7, |call, body| later(call, body, group::join)),
    Api(ApiKey::Heartbeat, 0, 4, |call, body| at_once(call, body, group::heartbeat)),
    Api(ApiKey::LeaveGroup, 0, 2, |call, body| at_once(call, body, group::leave)),
    Api(ApiKey::SyncGroup, 0, 5, |call, body| later(call, body, group::sync)),
    Api(ApiKey::DescribeGroups, 0, 5, |call, body| at_once(call, body, group_admin::describe)),
    Api(ApiKey::ListGroups, 0, 4, |call, body| at_once(call, body, group_admin::list)),
    Api(ApiKey::ApiVersions, 0, 4, |call, body| {
        at_once(call, body, |_, _: ApiVersionsRequest| metadata::api_versions())
    }),
    Api(ApiKey::CreateTopics, 2, 6, |call, body| at_once(call, body, topics::create)),
    Api(ApiKey::DeleteTopics, 1, 5, |call, body| at_once(call, body, topics::delete)),
    Api(ApiKey::DeleteRecords, 0, 2, |call, body| at_once(call, body, positions::delete_records)),
    Api(ApiKey::InitProducerId, 0, 4, |call, body| at_once(call, body, transactions::init)),
    Api(ApiKey::AddPartitionsToTxn, 0, 3, |call, body| at_once(call, body, transactions::add_partitions)),
    Api(ApiKey::AddOffsetsToTxn, 0, 3, |call, body| at_once(call, body, transactions::add_offsets)),
    Api(ApiKey::EndTxn, 0, 3, |call, body| at_once(call, body, transactions::end)),
    Api(ApiKey::TxnOffsetCommit, 0, 3, |call, body| at_once(call, body, offsets::commit_in_txn)),
    Api(ApiKey::DescribeAcls, 1, 3, |call, body| at_once(call, body, metadata::describe_acls)),
    Api(ApiKey::DescribeConfigs, 1, 4, |call, body| at_once(call, body, configs::describe)),
    Api(ApiKey::AlterConfigs, 0, 2, |call, body| at_once(call, body, configs::alter)),
    Api(ApiKey::IncrementalAlterConfigs, 0, 1, |call, body| at_once(call, body, configs::alter_incrementally)),
    Api(ApiKey::CreatePartitions, 0, 3, |call, body| at_once(call, body, topics::create_partitions)),
    Api(ApiKey::DeleteGroups, 0, 2, |call, body| at_once(call, body, group_admin::delete)),
];

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

/// An error with words for the client, if there are any.
struct Denied(ResponseError, Option<String>);

impl From<ResponseError> for Denied {
    fn from(error: ResponseError) -> Denied {
        Denied(error, None)
    }
}

impl Denied {
    fn because(error: ResponseError, why: impl Into<String>) -> Denied {
        Denied(error, Some(why.into()))
    }
}

/// Code and words of an outcome, as responses have them.
fn explained(outcome: Result<(), Denied>) -> (i16, Option<StrBytes>) {
    outcome.err().map_or((0, None), |Denied(error, why)| (error.code(), why.map(text)))
}

/// Who asks, in which version.
struct Call {
    node: Arc<Node>,
    peer: String,
    client_id: String,
    correlation: i32,
    version: i16,
}

/// Answers one frame.
pub async fn answer(node: &Arc<Node>, peer: &str, frame: Bytes) -> Result<Option<Bytes>, Refused> {
    let Some([a, b, c, d]) = frame.first_chunk() else {
        return Err(Refused::Malformed(anyhow::anyhow!("a frame of {} bytes", frame.len())));
    };
    let (key, version) = (i16::from_be_bytes([*a, *b]), i16::from_be_bytes([*c, *d]));
    match APIS.iter().find(|api| api.0 as i16 == key) {
        Some(Api(_, low, high, answer)) if (*low..=*high).contains(&version) => {
            let mut body = Body::new(frame);
            let RequestHeader { correlation_id, client_id, .. } = body.header()?;
            let client_id = client_id.unwrap_or_default().to_string();
            let call =
                Call { node: node.clone(), peer: peer.to_owned(), client_id, correlation: correlation_id, version };
            answer(call, body).await
        }
        Some(Api(ApiKey::ApiVersions, ..)) => metadata::unsupported_api_versions(&frame).map(Some),
        _ => Err(Refused::Unsupported { key, version }),
    }
}

/// For what is answered at once.
fn at_once<Q: Request>(call: Call, mut body: Body, handle: impl FnOnce(&Call, Q) -> Q::Response) -> Reply {
    let answered =
        body.decode(call.version).and_then(|request| framed(call.correlation, call.version, &handle(&call, request)));
    Box::pin(std::future::ready(answered.map(Some)))
}

/// For what may have to wait.
fn later<Q, F>(call: Call, mut body: Body, handle: fn(Arc<Call>, Q) -> F) -> Reply
where
    Q: Request<Response: Send> + Send + 'static,
    F: Future<Output = Q::Response> + Send + 'static,
{
    let call = Arc::new(call);
    Box::pin(async move {
        let request = body.decode(call.version)?;
        let response = handle(call.clone(), request).await;
        framed(call.correlation, call.version, &response).map(Some)
    })
}

/// A response with its header and length.
fn framed<R: Encodable + HeaderVersion>(correlation: i32, version: i16, response: &R) -> Result<Bytes, Refused> {
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

fn code(result: &Outcome) -> i16 {
    result.as_ref().err().map_or(0, ResponseError::code)
}

fn text(text: impl Into<String>) -> StrBytes {
    StrBytes::from_string(text.into())
}
