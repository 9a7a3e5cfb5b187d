//! What a broker may have left open of a transaction that it ended.
//!
//! Apache Kafka (4.3.1; KAFKA-20734) takes a partition that has no leader for a deleted one. So a broker that is killed, and comes back
//! before its session is over, ends what was open at the time without a marker: the records stay open on their partitions, and the
//! producer's next commit shows them; its offsets stay pending, and the group's cannot be read any more. Only a marker of the same
//! producer id ends them. So whoever cannot know how its last transaction ended aborts one more, over the group's offsets and the
//! partitions on which something is open.
//!
//! Not here: what is left of a producer that never comes back (README, *Operations*).

use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::producer::Producer;

use super::Transactions;
use crate::clock::Clock;
use crate::log::Error;
use crate::record::{NewRecord, TopicPartition};

const CALL: Duration = Duration::from_secs(10);

impl Transactions {
    /// Something may be open on the broker.
    pub fn is_unsure(&self) -> bool {
        self.unsure
    }

    /// Aborts what is still open of this producer on these partitions, and of the group. The offsets are only to name it.
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
            && let Err(error) = self.producer.send_offsets_to_transaction(offsets, group, CALL)
        {
            // The group is part of the transaction even if it refuses the offsets, as of a member that has not joined yet.
            tracing::debug!(%error, "offsets that are aborted anyway");
        }
        Ok(())
    }
}
