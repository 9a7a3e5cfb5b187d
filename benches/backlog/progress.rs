//! How far the input goes, and how much of it an engine has committed.

use std::time::{Duration, Instant};

use anyhow::Result;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use crate::load::PARTITIONS;
use fairlead::log::client::Connection;

const CALL: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);
/// A broker on a busy machine may let a call time out; one that is dead lets all.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Progress {
    consumer: BaseConsumer,
    inputs: [&'static str; 2],
}

impl Progress {
    pub fn of(bootstrap: &str, group: &str, inputs: [&'static str; 2]) -> Result<Self> {
        let mut config = Connection::new(bootstrap).consumer(group);
        // Offsets of a transaction that is about to end are no reason to wait.
        Ok(Self { consumer: config.set("isolation.level", "read_uncommitted").create()?, inputs })
    }

    /// The ends of the input's partitions, added up.
    pub fn end(&self) -> Result<i64> {
        self.partitions().map(|(topic, partition)| Ok(self.consumer.fetch_watermarks(topic, partition, CALL)?.1)).sum()
    }

    /// The offsets that the group has committed, added up.
    pub fn committed(&self) -> Result<i64> {
        let mut asked = TopicPartitionList::new();
        for (topic, partition) in self.partitions() {
            asked.add_partition(topic, partition);
        }
        let until = Instant::now() + PATIENCE;
        let committed = loop {
            match self.consumer.committed_offsets(asked.clone(), CALL) {
                Err(error) if error.rdkafka_error_code().is_some_and(is_passing) && Instant::now() < until => {
                    std::thread::sleep(PAUSE);
                }
                answer => break answer?,
            }
        };
        let offset = |offset: Offset| if let Offset::Offset(offset) = offset { offset } else { 0 };
        Ok(committed.elements().iter().map(|element| offset(element.offset())).sum())
    }

    fn partitions(&self) -> impl Iterator<Item = (&'static str, i32)> {
        self.inputs.into_iter().flat_map(|topic| (0..PARTITIONS).map(move |partition| (topic, partition)))
    }
}

/// A broker that has just made the topic of offsets says so for a moment.
fn is_passing(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{CoordinatorLoadInProgress, CoordinatorNotAvailable, NotCoordinator, OperationTimedOut};
    matches!(code, CoordinatorLoadInProgress | CoordinatorNotAvailable | NotCoordinator | OperationTimedOut)
}
