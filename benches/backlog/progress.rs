//! How much of the input an engine has not committed yet.

use std::time::Duration;

use anyhow::Result;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::load::{ALERTS, DEPLOYS, PARTITIONS};
use fairlead::log::client::Connection;

const CALL: Duration = Duration::from_secs(10);

pub struct Progress {
    consumer: BaseConsumer,
    /// Of both topics together, when this was made.
    end: i64,
}

impl Progress {
    /// Of a group through what is in the topics now.
    pub fn of(bootstrap: &str, group: &str) -> Result<Self> {
        let mut config = Connection::new(bootstrap).consumer(group);
        // Offsets of a transaction that is about to end are no reason to wait.
        let consumer: BaseConsumer = config.set("isolation.level", "read_uncommitted").create()?;
        let mut end = 0;
        for (topic, partition) in inputs() {
            end += consumer.fetch_watermarks(topic, partition, CALL)?.1;
        }
        Ok(Self { consumer, end })
    }

    /// Offsets between what the group has committed and the ends.
    pub fn left(&self) -> Result<i64> {
        let mut asked = TopicPartitionList::new();
        for (topic, partition) in inputs() {
            asked.add_partition(topic, partition);
        }
        let committed = self.consumer.committed_offsets(asked, CALL)?;
        let offset = |offset: Offset| if let Offset::Offset(offset) = offset { offset } else { 0 };
        Ok(self.end - committed.elements().iter().map(|element| offset(element.offset())).sum::<i64>())
    }
}

fn inputs() -> impl Iterator<Item = (&'static str, i32)> {
    [ALERTS, DEPLOYS].into_iter().flat_map(|topic| (0..PARTITIONS).map(move |partition| (topic, partition)))
}
