//! Transactions: whether the last one of a transactional id was committed, and one more that commits what it left open (KIP-98, KIP-664).
//!
//! Not here: when that is right (`src/log/kafka/producer/leftovers.rs`), and records.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, DescribeTransactionsRequest,
    DescribeTransactionsResponse, EndTxnRequest, FindCoordinatorRequest, InitProducerIdRequest, TransactionalId,
};
use kafka_protocol::protocol::Request;

use super::groups::{MANY_KEYS, group_id};
use super::topics::topic_name;
use super::{Admin, Right, known, text, unanswered};
use crate::wire::TopicPartition;
use crate::wire::cluster::{Patience, Whom};
use crate::wire::connection::Failure;
use crate::wire::error::{Error, Refusal};

/// Nothing has begun yet: who is told that nobody answers has other things to do meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);
/// Of FindCoordinator: a transactional id's.
const OF_TRANSACTIONS: i8 = 1;

/// To describe would do, which writing implies, and who looks is about to write.
const LOOK: Right = Right { what: "ask how a transaction ended", operation: "Write", resource: "transactional-id" };
const END: Right =
    Right { what: "commit what a transaction left open", operation: "Write", resource: "transactional-id" };

impl Admin {
    /// Whether the last transaction of an id was committed, as its coordinator has decided; what that one is still about to write is waited
    /// for. False of one that is open, was aborted, or is not known.
    pub async fn was_committed(&self, id: &str) -> Result<bool, Error> {
        let mut patience = Patience::within(PATIENCE, LOOK.what);
        loop {
            let ids = vec![transactional_id(id)];
            let make = |_| DescribeTransactionsRequest::default().with_transactional_ids(ids.clone());
            let code =
                |answer: &DescribeTransactionsResponse| answer.transaction_states.first().map(|one| one.error_code);
            let answer = match self.ask_coordinator(LOOK, id, &mut patience, make, code).await {
                Err(Error::Refused { refusal, .. }) if refusal.is(ResponseError::TransactionalIdNotFound) => {
                    return Ok(false);
                }
                answer => answer?,
            };
            match answer.transaction_states.first().map(|one| &*one.transaction_state) {
                Some("CompleteCommit") => return Ok(true),
                Some("PrepareCommit") => patience.after(Failure::Passing("it is being committed".to_owned())).await?,
                _ => return Ok(false),
            }
        }
    }

    /// A transaction of this id without a record, that is committed on these partitions and, with `group`, on its offsets: what lies open
    /// there of an earlier one becomes part of it. Fences every producer of the id, unless there is nothing to commit on.
    pub async fn commit_on(
        &self,
        id: &str,
        timeout_ms: i32,
        partitions: &[TopicPartition],
        group: Option<&str>,
    ) -> Result<(), Error> {
        if partitions.is_empty() && group.is_none() {
            return Ok(());
        }
        let patience = &mut Patience::to(END.what);
        let make = |_| {
            let asked = InitProducerIdRequest::default().with_transactional_id(Some(transactional_id(id)));
            asked.with_transaction_timeout_ms(timeout_ms).with_producer_id((-1).into()).with_producer_epoch(-1)
        };
        let producer = self.ask_coordinator(END, id, patience, make, |answer| Some(answer.error_code)).await?;
        let (producer, epoch) = (producer.producer_id, producer.producer_epoch);
        if !partitions.is_empty() {
            let topics = by_topic(partitions);
            let make = |_| {
                let asked = AddPartitionsToTxnRequest::default().with_v3_and_below_topics(topics.clone());
                let asked = asked.with_v3_and_below_transactional_id(transactional_id(id));
                asked.with_v3_and_below_producer_id(producer).with_v3_and_below_producer_epoch(epoch)
            };
            self.ask_coordinator(END, id, patience, make, worst).await?;
        }
        if let Some(group) = group {
            let make = |_| {
                let asked = AddOffsetsToTxnRequest::default().with_transactional_id(transactional_id(id));
                asked.with_producer_id(producer).with_producer_epoch(epoch).with_group_id(group_id(group))
            };
            self.ask_coordinator(END, id, patience, make, |answer| Some(answer.error_code)).await?;
        }
        let make = |_| {
            let asked = EndTxnRequest::default().with_transactional_id(transactional_id(id)).with_committed(true);
            asked.with_producer_id(producer).with_producer_epoch(epoch)
        };
        self.ask_coordinator(END, id, patience, make, |answer| Some(answer.error_code)).await.map(drop)
    }

    /// Asks the broker that coordinates the id's transactions, and again while it puts it off or is another one. `code` is the answer's error;
    /// `None` if it does not answer for the id.
    async fn ask_coordinator<Q: Request>(
        &self,
        right: Right,
        id: &str,
        patience: &mut Patience,
        make: impl Fn(i16) -> Q,
        code: impl Fn(&Q::Response) -> Option<i16>,
    ) -> Result<Q::Response, Error> {
        loop {
            let failure = match self.ask_its_coordinator(right, id, &make).await {
                Ok(answer) => match Refusal::check(code(&answer).ok_or_else(|| unanswered(right.what, id))?, None) {
                    Ok(()) => return Ok(answer),
                    Err(refusal) => put_off(right, id, refusal)?,
                },
                Err(failure) => failure,
            };
            patience.after(failure).await?;
        }
    }

    async fn ask_its_coordinator<Q: Request>(
        &self,
        right: Right,
        id: &str,
        make: impl Fn(i16) -> Q,
    ) -> Result<Q::Response, Failure> {
        let asked = |version| {
            let asked = FindCoordinatorRequest::default().with_key_type(OF_TRANSACTIONS);
            if version >= MANY_KEYS { asked.with_coordinator_keys(vec![text(id)]) } else { asked.with_key(text(id)) }
        };
        let answer = self.cluster.ask(Whom::Any, asked).await?;
        let (broker, code) = match answer.coordinators.first() {
            Some(found) => (found.node_id.0, found.error_code),
            None => (answer.node_id.0, answer.error_code),
        };
        if let Err(refusal) = Refusal::check(code, None) {
            return Err(put_off(right, id, refusal)?);
        }
        let broker = known(broker).ok_or_else(|| unanswered(right.what, id))?;
        self.cluster.ask(Whom::Broker(broker), make).await
    }
}

/// Worth another attempt, or an error.
fn put_off(right: Right, id: &str, refusal: Refusal) -> Result<Failure, Error> {
    if refusal.passes() { Ok(Failure::Passing(refusal.to_string())) } else { Err(right.error(refusal, id)) }
}

/// What is wrong with one partition makes the others unattempted.
fn worst(answer: &AddPartitionsToTxnResponse) -> Option<i16> {
    let partitions = answer.results_by_topic_v3_and_below.iter().flat_map(|topic| &topic.results_by_partition);
    let codes = partitions.map(|partition| partition.partition_error_code);
    codes.max_by_key(|code| (*code != 0, *code != ResponseError::OperationNotAttempted.code()))
}

fn by_topic(partitions: &[TopicPartition]) -> Vec<AddPartitionsToTxnTopic> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, number) in partitions {
        topics.entry(topic).or_default().push(*number);
    }
    let of_topic =
        |(topic, numbers)| AddPartitionsToTxnTopic::default().with_name(topic_name(topic)).with_partitions(numbers);
    topics.into_iter().map(of_topic).collect()
}

fn transactional_id(id: &str) -> TransactionalId {
    TransactionalId(text(id))
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::add_partitions_to_txn_response::{
        AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
    };

    use super::*;

    #[test]
    fn of_partitions_that_are_refused_the_cause_is_told_and_not_what_was_unattempted_for_it() {
        let answer = |codes: &[i16]| {
            let partition = |code: &i16| AddPartitionsToTxnPartitionResult::default().with_partition_error_code(*code);
            let topic = AddPartitionsToTxnTopicResult::default();
            let topic = topic.with_results_by_partition(codes.iter().map(partition).collect());
            AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(vec![topic])
        };
        let unattempted = ResponseError::OperationNotAttempted.code();
        let (fenced, none) = (ResponseError::InvalidProducerEpoch.code(), 0);
        assert_eq!(worst(&answer(&[none, none])), Some(none));
        assert_eq!(worst(&answer(&[unattempted, fenced, unattempted])), Some(fenced));
        assert_eq!(worst(&answer(&[none, unattempted])), Some(unattempted));
        assert_eq!(worst(&answer(&[])), None, "it does not answer");
    }
}
