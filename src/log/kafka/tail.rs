//! Follows one topic outside any group: all its partitions, from a start on, for as long as somebody asks.
//!
//! Read committed, and nothing is committed. What retention or compaction has taken away is passed over: whoever follows wants to know
//! how things stand. Partitions that are added later are not followed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;

use super::consumer::{CALL, denied, denied_or_unavailable, each, fatal};
use crate::log::Error;
use crate::log::client::{Connection, unusable};
use crate::log::outage::Outage;
use crate::log::token::Login;
use crate::record::{EventTime, Headers, Offset, Partition, Record, Topic};

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    Beginning,
    /// With the first record at or after it.
    Time(EventTime),
}

struct TailContext(Arc<Outage>);

impl ClientContext for TailContext {
    fn error(&self, error: KafkaError, reason: &str) {
        // That a partition is read to its end is told here too.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            self.0.hear(error, reason);
        }
    }
}

impl ConsumerContext for TailContext {}

pub struct Tail {
    consumer: BaseConsumer<TailContext>,
    login: Login,
    topic: Topic,
    /// Whether a partition was read to what was its end then.
    read: BTreeMap<Partition, bool>,
}

impl Tail {
    /// `group` is only a name for quotas and access rules: nothing is joined and nothing committed.
    pub fn new(connection: &Connection, group: &str, topic: &Topic, since: Since) -> Result<Self, Error> {
        let mut config = connection.consumer(group);
        config.set("auto.offset.reset", "earliest").set("enable.partition.eof", "true").set("fetch.wait.max.ms", "100");
        let made = config.create_with_context(TailContext(Arc::clone(connection.outage())));
        let consumer: BaseConsumer<_> = made.map_err(|error| unusable(&error))?;
        let mut login = Login::new(connection);
        login.refresh(consumer.client())?;
        let refuse = |error| denied_or_unavailable(error, "Read", &format!("topic {topic}"));
        let told = consumer.fetch_metadata(Some(topic.as_str()), CALL).map_err(refuse)?;
        let partitions = told.topics().first().map_or(0, |told| told.partitions().len());
        if partitions == 0 {
            return Err(Error::Unavailable(format!("topic {topic} is not there")));
        }
        let numbers: Vec<i32> = (0..).take(partitions).collect();
        let places = |offset: &dyn Fn(i32) -> rdkafka::Offset| {
            let mut places = TopicPartitionList::with_capacity(partitions);
            for number in &numbers {
                places.add_partition_offset(topic.as_str(), *number, offset(*number)).map_err(fatal)?;
            }
            Ok::<_, Error>(places)
        };
        let starts = match since {
            Since::Beginning => places(&|_| rdkafka::Offset::Beginning)?,
            Since::Time(time) => {
                // First, so that what comes between the two questions is not missed where nothing is as new as that.
                let end = |number: &i32| Ok((*number, consumer.fetch_watermarks(topic.as_str(), *number, CALL)?.1));
                let ends: BTreeMap<i32, i64> = numbers.iter().map(end).collect::<Result<_, _>>().map_err(refuse)?;
                let asked = places(&|_| rdkafka::Offset::Offset(time.0))?;
                let found = consumer.offsets_for_times(asked, CALL).map_err(refuse)?;
                each(&found)?;
                places(&|number| match found.find_partition(topic.as_str(), number).map(|found| found.offset()) {
                    Some(offset @ rdkafka::Offset::Offset(_)) => offset,
                    _ => rdkafka::Offset::Offset(ends[&number]),
                })?
            }
        };
        consumer.assign(&starts).map_err(refuse)?;
        let read = numbers.iter().map(|number| (Partition(*number), false)).collect();
        Ok(Self { consumer, login, topic: topic.clone(), read })
    }

    /// Waits for the next record and hands it over. An error does not end it: librdkafka goes on trying.
    pub fn next(&mut self, wait: Duration, take: impl FnOnce(&Record<'_>)) -> Result<(), Error> {
        self.login.refresh(self.consumer.client())?;
        let message = match self.consumer.poll(wait) {
            None => return Ok(()),
            Some(Ok(message)) => message,
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                self.read.insert(Partition(partition), true);
                return Ok(());
            }
            Some(Err(error)) => return self.judge(&error),
        };
        take(&Record {
            topic: &self.topic,
            partition: Partition(message.partition()),
            offset: Offset(message.offset()),
            timestamp: EventTime(message.timestamp().to_millis().unwrap_or_default()),
            key: message.key(),
            value: message.payload(),
            headers: Headers::NONE,
        });
        Ok(())
    }

    /// Every partition was read to its end at least once.
    pub fn is_read(&self) -> bool {
        self.read.values().all(|read| *read)
    }

    fn judge(&self, error: &KafkaError) -> Result<(), Error> {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => Err(denied("Read", &format!("topic {}", self.topic))),
            // The context has heard it, and all wait.
            Some(RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure) => Ok(()),
            _ => Err(Error::Unavailable(format!("topic {}: {error}", self.topic))),
        }
    }
}
