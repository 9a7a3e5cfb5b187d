//! Questions about and changes to positions in a log: offsets by time, deleting records.

use super::*;
use crate::embedded::broker::log::Log;
use crate::embedded::broker::log::batch::LEADER_EPOCH;
use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

pub fn list_offsets(call: &Call, request: ListOffsetsRequest) -> ListOffsetsResponse {
    // Told from version 4 on; kcat asks in version 1.
    let epoch = if call.version >= 4 { LEADER_EPOCH } else { -1 };
    let committed = request.isolation_level == 1;
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let found = call
                .node
                .partition(&topic.name, asked.partition_index)
                .and_then(|(_, partition)| position(&partition.log(), asked.timestamp, committed));
            let answer = ListOffsetsPartitionResponse::default().with_partition_index(asked.partition_index);
            match found {
                // A time after the last record has no offset.
                Ok(None) => answer,
                Ok(Some((offset, timestamp))) => {
                    answer.with_offset(offset).with_timestamp(timestamp).with_leader_epoch(epoch)
                }
                Err(error) => answer.with_error_code(error.code()),
            }
        });
        ListOffsetsTopicResponse::default().with_partitions(partitions.collect()).with_name(topic.name)
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

fn position(log: &Log, timestamp: i64, committed: bool) -> Outcome<Option<(i64, i64)>> {
    let end = if committed { log.stable_end() } else { log.end() };
    let found = match timestamp {
        LATEST => return Ok(Some((end, -1))),
        EARLIEST => return Ok(Some((log.start(), -1))),
        ..0 => return Err(ResponseError::UnsupportedVersion),
        time => log.offset_at(time),
    };
    let found = found.map_err(|_| ResponseError::KafkaStorageError)?;
    Ok(found.filter(|(offset, _)| *offset < end))
}

pub fn delete_records(call: &Call, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let answer = DeleteRecordsPartitionResult::default().with_partition_index(asked.partition_index);
            match delete_before(&call.node, &topic.name, asked.partition_index, asked.offset) {
                Ok(start) => answer.with_low_watermark(start),
                Err(error) => answer.with_error_code(error.code()).with_low_watermark(-1),
            }
        });
        DeleteRecordsTopicResult::default().with_partitions(partitions.collect()).with_name(topic.name)
    });
    DeleteRecordsResponse::default().with_topics(topics.collect())
}

fn delete_before(node: &Node, topic: &str, number: i32, offset: i64) -> Outcome<i64> {
    let mut coordinator = node.coordinator();
    let (settings, partition) = node.partition(topic, number)?;
    if !settings.settings.deleted {
        return Err(ResponseError::PolicyViolation);
    }
    let (start, end) = {
        let log = partition.log();
        (log.start(), log.end())
    };
    let offset = if offset == -1 { end } else { offset };
    if !(0..=end).contains(&offset) {
        return Err(ResponseError::OffsetOutOfRange);
    }
    if offset > start {
        coordinator.record(Entry::LogStart { topic: topic.to_owned(), partition: number, offset })?;
    }
    let mut log = partition.log();
    log.delete_before(offset).map_err(|_| ResponseError::KafkaStorageError)?;
    Ok(log.start())
}
