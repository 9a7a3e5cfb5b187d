//! What a broker may have left open of a transaction that it ended.
//!
//! Apache Kafka (4.3.1; KAFKA-20734) takes a partition that has no leader for a deleted one. So a broker that is killed, and comes back
//! before its session is over, ends what was open at the time without markers on all or some of the partitions: there the records stay
//! open, and the producer's next marker ends them, as what it is; offsets stay pending, and the group's cannot be read any more.
//!
//! A commit is decided, and told, before its markers are written. So whoever takes a transactional id up first asks its coordinator how the
//! last transaction ended ([`commit_leftovers`]): one that was committed is committed to the end, over the group's offsets and the
//! partitions on which something is open. Else one more is aborted over them ([`Transactions::clear`]).
//!
//! That holds because nothing is begun behind a commit that may be in doubt: the coordinator knows the last one only. A producer whose
//! connection breaks is given up at once, before librdkafka begins anew by itself what waits for the commit to be whole.
//!
//! Not here: what is left of a producer that never comes back (README, *Operations*). Not prevented: whoever commits what is left dies
//! between its two calls, and what is left is aborted for its age.

use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::producer::Producer;

use super::{TRANSACTION, Transactions};
use crate::clock::Clock;
use crate::log::client::Connection;
use crate::log::{self, Error};
use crate::record::{NewRecord, TopicPartition};
use crate::wire::{self, Admin};

const CALL: Duration = Duration::from_secs(10);

/// If the last transaction of the id was committed, all of it is afterwards, and true is answered: nothing of the id is open any more.
/// `held_up` tells where something is. Fences the id's producers if so.
pub fn commit_leftovers(
    connection: &Connection,
    transactional_id: &str,
    group: Option<&str>,
    held_up: impl FnOnce() -> Result<Vec<TopicPartition>, Error> + Send,
) -> Result<bool, Error> {
    // On a thread of its own: callers are on async and on plain threads.
    let commit = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::Unavailable(error.to_string()))?;
        let admin = Admin::new(connection).map_err(refused)?;
        if !runtime.block_on(admin.was_committed(transactional_id)).map_err(refused)? {
            return Ok(false);
        }
        let held_up = held_up()?;
        for TopicPartition { topic, partition } in &held_up {
            tracing::warn!(%topic, partition = partition.0, "a transaction is still open; if it is an own one, it was committed and is so now");
        }
        let names: Vec<_> = held_up.iter().map(|place| (place.topic.to_string(), place.partition.0)).collect();
        let timeout_ms = i32::try_from(TRANSACTION.as_millis()).unwrap_or(i32::MAX);
        runtime.block_on(admin.commit_on(transactional_id, timeout_ms, &names, group)).map_err(refused)?;
        Ok(true)
    };
    let told = std::thread::scope(|scope| scope.spawn(commit).join());
    match told.unwrap_or_else(|_| Err(Refused::Log(Error::Fatal("committing what is left panicked".into())))) {
        Ok(is_whole) => Ok(is_whole),
        Err(Refused::Log(error)) => Err(error),
        // An old broker, or a login that only librdkafka knows: as before there was this call.
        Err(Refused::Unasked(why)) => {
            tracing::debug!(why, "how the last transaction ended cannot be asked for");
            Ok(false)
        }
    }
}

enum Refused {
    Log(Error),
    Unasked(String),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Log(error)
    }
}

fn refused(error: wire::Error) -> Refused {
    use kafka_protocol::error::ResponseError::{InvalidProducerEpoch, ProducerFenced};
    match error {
        wire::Error::Unavailable(why) => Refused::Log(Error::Unavailable(why)),
        wire::Error::Denied { operation, resource } => Refused::Log(Error::Fatal(log::denied(operation, &resource))),
        wire::Error::Refused { refusal, .. }
            if [InvalidProducerEpoch, ProducerFenced].iter().any(|one| refusal.is(*one)) =>
        {
            Refused::Log(Error::Fenced(refusal.to_string()))
        }
        error @ wire::Error::Refused { .. } => Refused::Log(Error::Unavailable(error.to_string())),
        error @ (wire::Error::Unusable(_) | wire::Error::Unsupported { .. }) => Refused::Unasked(error.to_string()),
    }
}

impl Transactions {
    /// Something may be open on the broker.
    pub fn is_unsure(&self) -> bool {
        self.unsure
    }

    /// Aborts what is still open of this producer on these partitions, and of the group. The offsets are only to name it.
    /// Of a committed transaction nothing is (`commit_leftovers`).
    pub fn clear(
        &mut self,
        held_up: &[TopicPartition],
        group: Option<(&TopicPartitionList, &ConsumerGroupMetadata)>,
    ) -> Result<(), Error> {
        let cleared = self.begin().and_then(|()| self.touch(held_up, group)).and_then(|()| self.abort());
        cleared.map_err(|error| match error {
            // Nothing was to be committed: it can be tried again whatever became of it.
            Error::Abort(why) | Error::UnknownOutcome(why) => Error::Unavailable(why),
            error => error,
        })?;
        self.unsure = false;
        Ok(())
    }

    fn touch(
        &mut self,
        held_up: &[TopicPartition],
        group: Option<(&TopicPartitionList, &ConsumerGroupMetadata)>,
    ) -> Result<(), Error> {
        for TopicPartition { topic, partition } in held_up {
            tracing::warn!(%topic, partition = partition.0, "a transaction is still open; if it is an own one, it ends now");
            self.produce(&NewRecord {
                topic: topic.clone(),
                partition: Some(*partition),
                timestamp: Clock::wall().now(),
                // A compacted topic takes no record without a key.
                key: Some(self.transactional_id.clone().into_bytes()),
                value: None,
                headers: Vec::new(),
            })?;
        }
        self.drain()?;
        if let Some((offsets, group)) = group
            && let Err(error) = self.producer()?.send_offsets_to_transaction(offsets, group, CALL)
        {
            // The group is part of the transaction even if it refuses the offsets, as of a member that has not joined yet.
            tracing::debug!(%error, "offsets that are aborted anyway");
        }
        Ok(())
    }
}
