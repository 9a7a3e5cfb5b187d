//! Follows one topic outside any group from where somebody has got to, partition by partition, and tells how far it is.
//!
//! Read committed, nothing is committed, and nothing is passed over: an offset that is gone is an error. How far it is counts marks of
//! transactions in, so that whoever knows the true end can wait for it. Partitions that are added later are not followed.
//! [`Tail`](super::Tail) is for whoever wants to know how things stand, and not each record.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::consumer::{CALL, denied_or_unavailable, list, unavailable};
use super::native::{Bell, Inlet};
use super::reader::judge;
use crate::log::Error;
use crate::log::client::{Connection, unusable};
use crate::log::outage::Outage;
use crate::log::token::Login;
use crate::record::{Batch, Offset, Partition, Topic, TopicPartition};

/// Between two looks at what goes on in the background.
const SLICE: Duration = Duration::from_millis(50);

struct FollowContext(Arc<Outage>);

impl ClientContext for FollowContext {
    fn error(&self, error: KafkaError, reason: &str) {
        self.0.hear(error, reason);
    }
}

impl ConsumerContext for FollowContext {}

pub struct Follow {
    places: Vec<Place>,
    bell: Arc<Bell>,
    login: Login,
    consumer: Arc<BaseConsumer<FollowContext>>,
}

struct Place {
    partition: TopicPartition,
    next: Offset,
    inlet: Inlet<FollowContext>,
}

impl Follow {
    /// All partitions of the topic, each from what `start` says. `group` is only a name for quotas and access rules.
    pub fn new(
        connection: &Connection,
        group: &str,
        topic: &Topic,
        start: impl Fn(Partition) -> Offset,
    ) -> Result<Self, Error> {
        let mut config = connection.consumer(group);
        config.set("auto.offset.reset", "error").set("enable.partition.eof", "true").set("fetch.wait.max.ms", "100");
        let consumer: Result<BaseConsumer<_>, _> =
            config.create_with_context(FollowContext(Arc::clone(connection.outage())));
        let consumer = Arc::new(consumer.map_err(|error| unusable(&error))?);
        let mut login = Login::new(connection);
        login.refresh(consumer.client())?;
        let told = consumer.fetch_metadata(Some(topic.as_str()), CALL);
        let told = told.map_err(|error| denied_or_unavailable(error, "Read", &format!("topic {topic}")))?;
        let count = told.topics().first().map_or(0, |told| told.partitions().len());
        if count == 0 {
            return Err(Error::Unavailable(format!("topic {topic} is not there")));
        }
        let bell = Arc::<Bell>::default();
        let mut places = Vec::with_capacity(count);
        for number in (0..).take(count).map(Partition) {
            let inlet = Inlet::new(&consumer, topic.as_str(), number.0, &bell).map_err(Error::Fatal)?;
            places.push(Place { partition: TopicPartition::new(topic, number), next: start(number), inlet });
        }
        let starts: Vec<_> = places.iter().map(|place| (place.partition.clone(), place.next)).collect();
        consumer.assign(&list(&starts)?).map_err(unavailable)?;
        Ok(Self { places, bell, login, consumer })
    }

    /// Appends what has come, in the order of each partition, until the batch has `bytes_max`; waits for the first of it. Whether
    /// anything came, or an end was met.
    pub fn poll(&mut self, wait: Duration, bytes_max: usize, batch: &mut Batch) -> Result<bool, Error> {
        let until = Instant::now() + wait;
        loop {
            self.login.refresh(self.consumer.client())?;
            // Records come by their partitions' queues; this serves what else librdkafka has to tell.
            if let Some(Err(error)) = self.consumer.poll(Duration::ZERO) {
                self.judge(&error)?;
            }
            let mut moved = false;
            for place in &mut self.places {
                moved |= place.take(bytes_max, batch)?;
            }
            let left = until.saturating_duration_since(Instant::now());
            if moved || left.is_zero() {
                return Ok(moved);
            }
            self.bell.wait(left.min(SLICE));
        }
    }

    /// Of each partition, the offset that is handed out next.
    pub fn positions(&self) -> impl Iterator<Item = (Partition, Offset)> {
        self.places.iter().map(|place| (place.partition.partition, place.next))
    }

    fn judge(&self, error: &KafkaError) -> Result<(), Error> {
        match error.rdkafka_error_code() {
            // The context has heard it, and all wait.
            Some(RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure) => Ok(()),
            _ => Err(Error::Unavailable(error.to_string())),
        }
    }
}

impl Place {
    fn take(&mut self, bytes_max: usize, batch: &mut Batch) -> Result<bool, Error> {
        let before = self.next;
        while batch.bytes() < bytes_max {
            let Some(message) = self.inlet.front() else { break };
            let offset = Offset(message.offset());
            match message.error() {
                None => {
                    message.push_to(batch, &self.partition.topic);
                    self.next = Offset(offset.0 + 1);
                }
                // The end lies past control records, which are never handed out.
                Some(RDKafkaErrorCode::PartitionEOF) => self.next = self.next.max(offset),
                Some(code) => {
                    let error = judge(code, &self.partition, self.next);
                    self.inlet.advance();
                    return Err(error);
                }
            }
            self.inlet.advance();
        }
        Ok(self.next > before)
    }
}
