//! Fetch: what is there at once, else wait until something is, or until the client's patience ends.

use super::*;
use crate::embedded::broker::log::producers::Aborted;
use crate::embedded::broker::partition::Partition;
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::fetch_response::{AbortedTransaction, FetchableTopicResponse, PartitionData};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// `fetch.max.bytes` of the broker: whatever the client asks, a response is not (much) larger.
const MAX_BYTES: usize = 55 << 20;
const READ_COMMITTED: i8 = 1;

pub async fn fetch(call: Arc<Call>, request: FetchRequest) -> FetchResponse {
    if request.session_id != 0 {
        // No session is ever given out, so the client falls back to full fetches.
        return FetchResponse::default().with_error_code(ResponseError::FetchSessionIdNotFound.code());
    }
    let deadline = Instant::now() + Duration::from_millis(request.max_wait_ms.max(0) as u64);
    let enough = |round: &Round| round.failed || round.bytes >= request.min_bytes.max(0) as usize;
    let wake = Arc::new(Notify::new());
    let mut round = read_all(&call.node, &request);
    while !enough(&round) {
        // Armed before the next look, so that nothing appended in between is missed.
        wait_for_all(&call.node, &request, &wake);
        round = read_all(&call.node, &request);
        if !enough(&round) && timeout_at(deadline, wake.notified()).await.is_err() {
            break;
        }
    }
    FetchResponse::default().with_responses(round.topics)
}

fn wait_for_all(node: &Node, request: &FetchRequest, wake: &Arc<Notify>) {
    let asked = request.topics.iter().flat_map(|topic| topic.partitions.iter().map(|one| (&topic.topic, one)));
    for (topic, asked) in asked {
        if let Ok((_, partition)) = node.partition(topic, asked.partition) {
            partition.wait(wake);
        }
    }
}

struct Round {
    topics: Vec<FetchableTopicResponse>,
    bytes: usize,
    failed: bool,
}

fn read_all(node: &Node, request: &FetchRequest) -> Round {
    let limit = (request.max_bytes.max(0) as usize).min(MAX_BYTES);
    let committed = request.isolation_level == READ_COMMITTED;
    let mut round = Round { topics: Vec::with_capacity(request.topics.len()), bytes: 0, failed: false };
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in &topic.partitions {
            // The first records are given even if they alone are too large, or the consumer would never get past them.
            let left = limit.saturating_sub(round.bytes);
            let max = if left == 0 && round.bytes > 0 { None } else { Some(left) };
            let read = node
                .partition(&topic.topic, asked.partition)
                .and_then(|(_, partition)| read(&partition, asked, committed, max));
            let data = read.unwrap_or_else(|error| {
                round.failed = true;
                failed(asked.partition, error)
            });
            round.bytes += data.records.as_ref().map_or(0, Bytes::len);
            partitions.push(data);
        }
        let answer = FetchableTopicResponse::default().with_topic(topic.topic.clone()).with_partitions(partitions);
        round.topics.push(answer);
    }
    round
}

/// `max`: how many bytes the response still has room for, `None` if it is full.
fn read(partition: &Partition, asked: &FetchPartition, committed: bool, max: Option<usize>) -> Outcome<PartitionData> {
    if asked.current_leader_epoch > 0 {
        return Err(ResponseError::UnknownLeaderEpoch);
    }
    // The file and the list of aborted transactions must be of one moment: compaction changes both.
    let (slice, answer, to, aborted) = {
        let log = partition.log();
        let slice = log.locate(asked.fetch_offset).ok_or(ResponseError::OffsetOutOfRange)?;
        let answer = PartitionData::default()
            .with_partition_index(asked.partition)
            .with_high_watermark(log.end())
            .with_last_stable_offset(log.stable_end())
            .with_log_start_offset(log.start());
        let to = if committed { log.stable_end() } else { log.end() };
        let listed = |aborted: &Aborted| {
            let answer = AbortedTransaction::default().with_producer_id(ProducerId(aborted.producer_id));
            answer.with_first_offset(aborted.first)
        };
        let aborted = committed.then(|| log.producers.aborted_between(asked.fetch_offset, to).map(listed).collect());
        (slice, answer, to, aborted)
    };
    let records = match max {
        Some(max) if asked.fetch_offset < to => slice
            .read(asked.fetch_offset, to, max.min(asked.partition_max_bytes.max(0) as usize))
            .map_err(|_| ResponseError::KafkaStorageError)?,
        _ => Bytes::new(),
    };
    Ok(answer.with_records(Some(records)).with_aborted_transactions(aborted))
}

fn failed(partition: i32, error: ResponseError) -> PartitionData {
    PartitionData::default()
        .with_partition_index(partition)
        .with_error_code(error.code())
        .with_high_watermark(-1)
        .with_last_stable_offset(-1)
        .with_log_start_offset(-1)
        .with_records(Some(Bytes::new()))
}
