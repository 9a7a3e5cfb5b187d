//! Reads any number of partitions at once, outside any group, as librdkafka's own messages: what a mirror copies.
//!
//! Invariants: committed records only, in order per partition, each once; an end lies past marks and gaps. Where the log does not have what
//! is to be read next, nothing is chosen instead: [`Taken::Lost`] tells, and whoever reads decides.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::consumer::{CALL, denied, list, unavailable};
use super::native::{Bell, Intake, Message, Origin};
use crate::log::Error;
use crate::log::client::{Connection, unusable};
use crate::log::outage::Outage;
use crate::log::token::Login;
use crate::record::{Offset, TopicPartition};

struct SourceContext(Arc<Outage>);

impl ClientContext for SourceContext {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            self.0.hear(error, reason);
        }
    }
}

impl ConsumerContext for SourceContext {}

/// The number of a partition, in the order in which they were added.
pub type Slot = usize;

pub enum Taken {
    Record(Slot, Message),
    /// Read to its end, which is here.
    End(Slot, Offset),
    /// What is to be read next is not on the log, as the broker or librdkafka says; see [`crate::mirror::shard::out_of_range`].
    Lost(Slot, String),
}

struct Place {
    partition: TopicPartition,
    next: i64,
}

pub struct KafkaSource {
    intake: Intake<SourceContext>,
    bell: Arc<Bell>,
    login: Login,
    places: Vec<Place>,
    by_name: HashMap<TopicPartition, Slot>,
    by_origin: HashMap<Origin, Slot>,
    /// Most messages are of the partition of the one before.
    last: Option<(Origin, Slot)>,
    consumer: Arc<BaseConsumer<SourceContext>>,
}

impl KafkaSource {
    /// `group` is only a name for quotas and access rules: nothing is joined and nothing committed.
    pub fn new(connection: &Connection, group: &str) -> Result<Self, Error> {
        let mut config = connection.consumer(group);
        config
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "100")
            .set("fetch.queue.backoff.ms", "2")
            // As one queue has all partitions, this bounds them together.
            .set("queued.min.messages", "1000000")
            .set("queued.max.messages.kbytes", "8192")
            .set("fetch.message.max.bytes", "1048576")
            .set("fetch.max.bytes", "8388608")
            .set("receive.message.max.bytes", "1000000000")
            // A checksum of the whole is taken and compared by the audit.
            .set("check.crcs", "true");
        let made = config.create_with_context(SourceContext(Arc::clone(connection.outage())));
        let consumer: Arc<BaseConsumer<_>> = Arc::new(made.map_err(|error| unusable(&error))?);
        let mut login = Login::new(connection);
        login.refresh(consumer.client())?;
        let bell = Arc::default();
        let intake = Intake::new(&consumer, &bell).map_err(Error::Fatal)?;
        let (places, by_name, by_origin, last) = (Vec::new(), HashMap::new(), HashMap::new(), None);
        Ok(Self { intake, bell, login, places, by_name, by_origin, last, consumer })
    }

    /// Reads these too, from there on; the first has the slot that is answered, the others follow.
    pub fn add(&mut self, starts: &[(TopicPartition, Offset)]) -> Result<Slot, Error> {
        let first = self.places.len();
        for (partition, next) in starts {
            self.intake.gather(partition.topic.as_str(), partition.partition.0).map_err(Error::Fatal)?;
            self.by_name.insert(partition.clone(), self.places.len());
            self.places.push(Place { partition: partition.clone(), next: next.0 });
        }
        if !starts.is_empty() {
            // An assignment alone finds its leaders by a timer of seconds.
            self.consumer.fetch_metadata(None, CALL).map_err(unavailable)?;
            self.consumer.incremental_assign(&list(starts)?).map_err(unavailable)?;
        }
        Ok(first)
    }

    /// The next offset to be read.
    pub fn next(&self, slot: Slot) -> Offset {
        Offset(self.places[slot].next)
    }

    /// The end of its log as of the newest fetch, if there was one.
    pub fn end(&self, slot: Slot) -> Option<Offset> {
        let partition = &self.places[slot].partition;
        let name = std::ffi::CString::new(partition.topic.as_str()).ok()?;
        let end = self.intake.end(&name, partition.partition.0);
        (end >= 0).then_some(Offset(end))
    }

    /// What is next, if it is there. An error does not end it: librdkafka goes on trying.
    pub fn take(&mut self) -> Result<Option<Taken>, Error> {
        while let Some(message) = self.intake.take() {
            let Some(slot) = self.slot_of(&message) else {
                self.judge(&message)?;
                continue;
            };
            let place = &mut self.places[slot];
            match message.error() {
                None if message.offset() < place.next => {} // before a seek
                None => {
                    place.next = message.offset() + 1;
                    return Ok(Some(Taken::Record(slot, message)));
                }
                Some(RDKafkaErrorCode::PartitionEOF) if message.offset() < place.next => {}
                Some(RDKafkaErrorCode::PartitionEOF) => {
                    place.next = message.offset();
                    return Ok(Some(Taken::End(slot, Offset(place.next))));
                }
                Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                    let told = String::from_utf8_lossy(message.value().unwrap_or_default()).into_owned();
                    return Ok(Some(Taken::Lost(slot, told)));
                }
                Some(_) => self.judge(&message)?,
            }
        }
        Ok(None)
    }

    /// Reads on from there: librdkafka has ceased to fetch it, so that it cannot be sought in.
    pub fn go_on(&mut self, slot: Slot, next: Offset) -> Result<(), Error> {
        let place = &mut self.places[slot];
        place.next = next.0;
        let start = [(place.partition.clone(), next)];
        let mut only = TopicPartitionList::new();
        only.add_partition(place.partition.topic.as_str(), place.partition.partition.0);
        self.consumer.incremental_unassign(&only).map_err(unavailable)?;
        self.intake.gather(place.partition.topic.as_str(), place.partition.partition.0).map_err(Error::Fatal)?;
        self.consumer.incremental_assign(&list(&start)?).map_err(unavailable)
    }

    /// Until something has come, or so long; callbacks are served.
    pub fn wait(&mut self, wait: Duration) -> Result<(), Error> {
        self.serve()?;
        self.bell.wait(wait);
        Ok(())
    }

    /// To be called from time to time, whatever comes.
    pub fn serve(&mut self) -> Result<(), Error> {
        self.login.refresh(self.consumer.client())?;
        while let Some(polled) = self.consumer.poll(Duration::ZERO) {
            match polled {
                Ok(_) => return Err(Error::Fatal("a record came outside its queue".to_owned())),
                Err(KafkaError::PartitionEOF(_)) => {}
                Err(error) => tracing::debug!(%error, "kafka source"),
            }
        }
        Ok(())
    }

    fn slot_of(&mut self, message: &Message) -> Option<Slot> {
        let origin = message.origin();
        if let Some((last, slot)) = self.last
            && last == origin
        {
            return Some(slot);
        }
        let slot = match self.by_origin.get(&origin) {
            Some(slot) => *slot,
            None => {
                let topic = crate::record::Topic::from(message.topic());
                let named = TopicPartition { topic, partition: crate::record::Partition(origin.partition) };
                let slot = *self.by_name.get(&named)?;
                self.by_origin.insert(origin, slot);
                slot
            }
        };
        self.last = Some((origin, slot));
        Some(slot)
    }

    /// Of a message that was taken: which partition it is of.
    pub fn known(&self, origin: Origin) -> Option<Slot> {
        self.by_origin.get(&origin).copied()
    }

    fn judge(&self, message: &Message) -> Result<(), Error> {
        let Some(code) = message.error() else {
            return Err(Error::Fatal(format!(
                "a record of {}-{} was not asked for",
                message.topic(),
                message.origin().partition
            )));
        };
        let told = String::from_utf8_lossy(message.value().unwrap_or_default()).into_owned();
        match code {
            RDKafkaErrorCode::TopicAuthorizationFailed => Err(denied("Read", &format!("topic {}", message.topic()))),
            code => {
                tracing::debug!(topic = message.topic(), ?code, told, "kafka source");
                Ok(())
            }
        }
    }
}

/// Dropping the consumer waits for what is assigned.
impl Drop for KafkaSource {
    fn drop(&mut self) {
        if let Err(error) = self.consumer.unassign() {
            tracing::debug!(%error, "a source could not be given up");
        }
    }
}
