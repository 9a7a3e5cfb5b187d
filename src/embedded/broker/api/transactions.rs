//! Producer ids and transactions on the wire; the decisions are in `txn/`, the order of effects in `node.rs`.

use super::*;
use crate::embedded::broker::txn::{Init, MAX_TIMEOUT_MS, Txn};
use kafka_protocol::messages::add_partitions_to_txn_response::*;

/// Clients from before `PRODUCER_FENCED` know the older word for it.
fn worded(result: Outcome, version: i16, since: i16) -> Outcome {
    match result {
        Err(ResponseError::ProducerFenced) if version < since => Err(ResponseError::InvalidProducerEpoch),
        other => other,
    }
}

pub fn init(call: &Call, request: InitProducerIdRequest) -> InitProducerIdResponse {
    let response = InitProducerIdResponse::default();
    let mut coordinator = call.node.coordinator();
    let given = match &request.transactional_id {
        None => coordinator.fresh_producer_id().map(|id| (id, 0)),
        Some(id) => {
            let claimed = Some((request.producer_id.0, request.producer_epoch)).filter(|(id, _)| *id >= 0);
            init_transactional(&call.node, &mut coordinator, id, claimed, request.transaction_timeout_ms)
        }
    };
    match given {
        Ok((producer_id, epoch)) => response.with_producer_id(ProducerId(producer_id)).with_producer_epoch(epoch),
        Err(error) => {
            let error = code(&worded(Err(error), call.version, 4));
            response.with_error_code(error).with_producer_id(ProducerId(-1)).with_producer_epoch(-1)
        }
    }
}

fn init_transactional(
    node: &Node,
    coordinator: &mut Coordinator,
    id: &str,
    claimed: Option<(i64, i16)>,
    timeout_ms: i32,
) -> Outcome<(i64, i16)> {
    if id.is_empty() {
        return Err(ResponseError::InvalidRequest);
    }
    if !(1..=MAX_TIMEOUT_MS).contains(&timeout_ms) {
        return Err(ResponseError::InvalidTransactionTimeout);
    }
    let fresh_id = coordinator.meta().next_producer_id;
    let init = match coordinator.meta().txns.get(id) {
        None if claimed.is_some() => return Err(ResponseError::ProducerFenced),
        None => Init::Become(Txn::new(fresh_id, timeout_ms)),
        Some(txn) => txn.init(claimed, timeout_ms, fresh_id)?,
    };
    let next = match init {
        Init::Become(next) => next,
        Init::AbortFirst(aborting) => {
            node.end_txn(coordinator, id, aborting.clone())?;
            // The markers carry the raised epoch, so the dead producer is fenced in its partitions; the new one has it.
            Txn { epoch: aborting.epoch, ..Txn::new(aborting.producer_id, timeout_ms) }
        }
        Init::Stay => {
            let txn = coordinator.txn(id)?;
            return Ok((txn.producer_id, txn.epoch));
        }
    };
    if next.producer_id == fresh_id {
        coordinator.fresh_producer_id()?;
    }
    let given = (next.producer_id, next.epoch);
    coordinator.record(Entry::Txn { id: id.to_owned(), txn: next })?;
    Ok(given)
}

fn check(coordinator: &Coordinator, id: &str, producer_id: ProducerId, epoch: i16) -> Outcome {
    coordinator.txn(id)?.check(producer_id.0, epoch)
}

pub fn add_partitions(call: &Call, request: AddPartitionsToTxnRequest) -> AddPartitionsToTxnResponse {
    let (node, asked) = (&call.node, &request.v3_and_below_topics);
    let partitions = asked.iter().flat_map(|topic| topic.partitions.iter().map(|one| (topic.name.to_string(), *one)));
    let partitions: Vec<TopicPartition> = partitions.collect();
    let known = |topic: &str, partition| node.partition(topic, partition).map(|_| ());
    let mut coordinator = node.coordinator();
    let id = request.v3_and_below_transactional_id.as_str();
    let added = check(&coordinator, id, request.v3_and_below_producer_id, request.v3_and_below_producer_epoch);
    let added =
        added.and_then(|()| match partitions.iter().all(|(topic, partition)| known(topic, *partition).is_ok()) {
            true => node.extend_txn(&mut coordinator, id, &partitions, &[]),
            // One unknown partition keeps the others from being added.
            false => Err(ResponseError::OperationNotAttempted),
        });
    let added = worded(added, call.version, 2);
    let topics = asked.iter().map(|topic| {
        let results = topic.partitions.iter().map(|partition| {
            let outcome = match added {
                Err(ResponseError::OperationNotAttempted) => known(&topic.name, *partition).and(added),
                other => other,
            };
            let result = AddPartitionsToTxnPartitionResult::default().with_partition_index(*partition);
            result.with_partition_error_code(code(&outcome))
        });
        let result = AddPartitionsToTxnTopicResult::default().with_name(topic.name.clone());
        result.with_results_by_partition(results.collect())
    });
    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(topics.collect())
}

pub fn add_offsets(call: &Call, request: AddOffsetsToTxnRequest) -> AddOffsetsToTxnResponse {
    let mut coordinator = call.node.coordinator();
    let id = request.transactional_id.as_str();
    let added = check(&coordinator, id, request.producer_id, request.producer_epoch)
        .and_then(|()| call.node.extend_txn(&mut coordinator, id, &[], &[request.group_id.to_string()]));
    AddOffsetsToTxnResponse::default().with_error_code(code(&worded(added, call.version, 2)))
}

pub fn end(call: &Call, request: EndTxnRequest) -> EndTxnResponse {
    let mut coordinator = call.node.coordinator();
    let ended = end_one(&call.node, &mut coordinator, &request);
    EndTxnResponse::default().with_error_code(code(&worded(ended, call.version, 2)))
}

fn end_one(node: &Node, coordinator: &mut Coordinator, request: &EndTxnRequest) -> Outcome {
    let id = request.transactional_id.as_str();
    check(coordinator, id, request.producer_id, request.producer_epoch)?;
    match coordinator.txn(id)?.end(request.committed)? {
        Some(decided) => node.end_txn(coordinator, id, decided),
        None => Ok(()),
    }
}
