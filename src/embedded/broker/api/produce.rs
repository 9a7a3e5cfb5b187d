//! Produce: one batch a partition, placed or refused.

use super::*;
use crate::embedded::broker::log::Placed;
use crate::embedded::broker::log::batch::Batch;
use crate::embedded::broker::txn::Txn;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};

pub fn produce(call: Call, mut body: Body) -> Reply {
    let answered = body.decode(call.version).and_then(|request: ProduceRequest| {
        let response = place_all(&call.node, &request);
        if request.acks == 0 { Ok(None) } else { framed(call.correlation, call.version, &response).map(Some) }
    });
    Box::pin(std::future::ready(answered))
}

fn place_all(node: &Node, request: &ProduceRequest) -> ProduceResponse {
    let responses = request.topic_data.iter().map(|topic| {
        let partitions = topic.partition_data.iter().map(|partition| {
            let response = PartitionProduceResponse::default().with_index(partition.index);
            match place(node, &topic.name, partition, request.acks) {
                Ok((placed, start)) => response
                    .with_base_offset(placed.base_offset)
                    .with_log_append_time_ms(placed.broker_time)
                    .with_log_start_offset(start),
                Err(error) => response.with_error_code(error.code()).with_base_offset(-1).with_log_append_time_ms(-1),
            }
        });
        TopicProduceResponse::default().with_name(topic.name.clone()).with_partition_responses(partitions.collect())
    });
    ProduceResponse::default().with_responses(responses.collect())
}

fn place(node: &Node, topic: &str, data: &PartitionProduceData, acks: i16) -> Outcome<(Placed, i64)> {
    if !(-1..=1).contains(&acks) {
        return Err(ResponseError::InvalidRequiredAcks);
    }
    let (topic, partition) = node.partition(topic, data.index)?;
    let records = data.records.as_deref().unwrap_or_default();
    match partition.change(|log| log.append(records, &topic.settings, now())) {
        Err(ResponseError::InvalidTxnState) => Err(why_not_admitted(node, records)),
        placed => Ok((placed?, partition.log().start())),
    }
}

/// A transactional batch for a partition that is not in its producer's transaction: a zombie, or a client that forgot
/// to add it.
fn why_not_admitted(node: &Node, records: &[u8]) -> ResponseError {
    let coordinator = node.coordinator();
    let batch = Batch::parse(records);
    let of_producer = |txn: &&Txn| batch.is_some_and(|batch| batch.producer_id == txn.producer_id);
    match coordinator.meta().txns.values().find(of_producer) {
        None => ResponseError::InvalidProducerIdMapping,
        Some(txn) if batch.is_some_and(|batch| batch.producer_epoch != txn.epoch) => {
            ResponseError::InvalidProducerEpoch
        }
        Some(_) => ResponseError::InvalidTxnState,
    }
}
