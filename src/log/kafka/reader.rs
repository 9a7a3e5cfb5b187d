//! Reads partitions from given offsets outside any group: restore, replay, lineage, dead letters.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::consumer::{ATTEMPT, CALL, committed, denied, denied_or_unavailable, each, fatal, list, unavailable};
use super::native::{Bell, Inlet};
use crate::log::client::{Connection, unusable};
use crate::log::outage::is_of_transport;
use crate::log::token::Login;
use crate::log::{Committed, Error, Reader, Watermarks};
use crate::record::{Batch, EventTime, Offset, Partition, Topic, TopicPartition};

/// Between two looks at what goes on in the background.
const SLICE: Duration = Duration::from_millis(20);
const ATTEMPTS: Duration = Duration::from_secs(30);

struct ReaderContext;

impl ClientContext for ReaderContext {
    fn error(&self, error: KafkaError, reason: &str) {
        // One that reads seldom hears of an outage when it is over.
        if !is_of_transport(&error) {
            DefaultClientContext.error(error, reason);
        }
    }
}

impl ConsumerContext for ReaderContext {}

pub struct KafkaReader {
    group: String,
    bell: Arc<Bell>,
    consumer: Arc<BaseConsumer<ReaderContext>>,
    /// For the true ends, whatever transaction is open.
    uncommitted: BaseConsumer<ReaderContext>,
    logins: [Login; 2],
    at: Option<Place>,
}

/// What is assigned, and where its next record is expected.
struct Place {
    partition: TopicPartition,
    next: Offset,
    inlet: Inlet<ReaderContext>,
}

impl KafkaReader {
    /// `group` is only a name for quotas and access rules: nothing is joined and nothing committed.
    pub fn new(connection: &Connection, group: &str) -> Result<Self, Error> {
        let mut config = connection.consumer(group);
        config.set("auto.offset.reset", "error").set("enable.partition.eof", "true").set("fetch.wait.max.ms", "10");
        let consumer = config.create_with_context(ReaderContext);
        let consumer: Arc<BaseConsumer<_>> = Arc::new(consumer.map_err(|error| unusable(&error))?);
        config.set("isolation.level", "read_uncommitted");
        let uncommitted = config.create_with_context(ReaderContext);
        let uncommitted = uncommitted.map_err(|error| unusable(&error))?;
        let logins = [Login::new(connection), Login::new(connection)];
        let group = group.to_owned();
        let mut reader = Self { group, bell: Arc::default(), consumer, uncommitted, logins, at: None };
        reader.refresh()?;
        Ok(reader)
    }

    /// To be called from time to time by an owner that does not read.
    pub(super) fn refresh(&mut self) -> Result<(), Error> {
        let [committed, uncommitted] = &mut self.logins;
        committed.refresh(self.consumer.client())?;
        uncommitted.refresh(self.uncommitted.client())
    }

    /// Read uncommitted: the true ends, whatever transaction is open.
    pub fn watermarks(&self, partition: &TopicPartition) -> Result<Watermarks, Error> {
        let (topic, number) = (partition.topic.as_str(), partition.partition.0);
        let ends = self.uncommitted.fetch_watermarks(topic, number, CALL);
        let (low, high) = ends.map_err(|error| denied_or_unavailable(error, "Read", &format!("topic {topic}")))?;
        Ok(Watermarks { low: Offset(low), high: Offset(high) })
    }

    /// Names of all topics that may be seen.
    pub fn topics(&mut self) -> Result<Vec<String>, Error> {
        let told = self.attempt(|reader| reader.uncommitted.fetch_metadata(None, ATTEMPT).map_err(unavailable))?;
        Ok(told.topics().iter().map(|topic| topic.name().to_owned()).collect())
    }

    /// All of the topic; none if it is not there.
    pub fn partitions(&self, topic: &Topic) -> Result<Vec<TopicPartition>, Error> {
        let told = self.uncommitted.fetch_metadata(Some(topic.as_str()), ATTEMPT).map_err(unavailable)?;
        let count = told.topics().first().map_or(0, |told| told.partitions().len());
        Ok((0..).take(count).map(|number| TopicPartition::new(topic, Partition(number))).collect())
    }

    /// The true ends of many partitions, in the order asked, each broker asked once.
    pub fn true_ends(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Offset>, Error> {
        self.attempt(|reader| places(&reader.uncommitted, partitions, rdkafka::Offset::End))
    }

    /// The same as far as they can be read: up to the first open transaction.
    pub fn readable_ends(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Offset>, Error> {
        self.attempt(|reader| places(&reader.consumer, partitions, rdkafka::Offset::End))
    }

    /// The stable committed offsets of the group whose name this reader has, in the order asked.
    pub fn committed(&self, partitions: &[TopicPartition]) -> Result<Vec<Option<Committed>>, Error> {
        committed(&self.consumer, &self.group, partitions, CALL)
    }

    /// The first offset at or after the time; the end if there is none.
    pub fn offset_at(&self, partition: &TopicPartition, time: EventTime) -> Result<Offset, Error> {
        let asked = list(&[(partition.clone(), Offset(time.0))])?;
        let answer = self.consumer.offsets_for_times(asked, CALL).map_err(unavailable)?;
        let found = answer.find_partition(partition.topic.as_str(), partition.partition.0).map(|found| found.offset());
        match found {
            Some(rdkafka::Offset::Offset(offset)) => Ok(Offset(offset)),
            _ => Ok(self.watermarks(partition)?.high),
        }
    }

    /// Where a transaction is open, and still is after `patience`: the readable end lies before what was the true one.
    pub(super) fn held_up(&mut self, topics: &[Topic], patience: Duration) -> Result<Vec<TopicPartition>, Error> {
        self.attempt(|reader| {
            let mut partitions = Vec::new();
            for topic in topics {
                partitions.extend(reader.partitions(topic)?);
            }
            reader.open_on(&partitions, patience)
        })
    }

    /// The same of some partitions.
    pub(super) fn held_up_among(
        &mut self,
        partitions: &[TopicPartition],
        patience: Duration,
    ) -> Result<Vec<TopicPartition>, Error> {
        self.attempt(|reader| reader.open_on(partitions, patience))
    }

    /// The first offsets that are kept, and the true ends, in the order asked.
    pub fn bounds(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Watermarks>, Error> {
        self.attempt(|reader| {
            let lows = places(&reader.uncommitted, partitions, rdkafka::Offset::Beginning)?;
            let highs = places(&reader.uncommitted, partitions, rdkafka::Offset::End)?;
            Ok(lows.into_iter().zip(highs).map(|(low, high)| Watermarks { low, high }).collect())
        })
    }

    fn attempt<T>(&mut self, what: impl Fn(&Self) -> Result<T, Error>) -> Result<T, Error> {
        let until = Instant::now() + ATTEMPTS;
        loop {
            self.refresh()?;
            match what(self) {
                // A connection that was never used breaks when its token expires, and comes back only with the next token.
                Err(Error::Unavailable(_)) if Instant::now() < until => std::thread::sleep(SLICE),
                told => return told,
            }
        }
    }

    fn open_on(&self, partitions: &[TopicPartition], patience: Duration) -> Result<Vec<TopicPartition>, Error> {
        let (true_ends, until) =
            (places(&self.uncommitted, partitions, rdkafka::Offset::End)?, Instant::now() + patience);
        loop {
            let readable = places(&self.consumer, partitions, rdkafka::Offset::End)?;
            let open = partitions.iter().zip(&true_ends).zip(readable).filter(|((_, end), readable)| readable < end);
            let open: Vec<_> = open.map(|((partition, _), _)| partition.clone()).collect();
            if open.is_empty() || Instant::now() >= until {
                return Ok(open);
            }
            std::thread::sleep(SLICE);
        }
    }

    /// Takes the place out: it is put back when it was read from without an error.
    fn go_to(&mut self, partition: &TopicPartition, from: Offset) -> Result<Place, Error> {
        let before = self.at.take();
        let same = |place: &Place| place.partition == *partition && place.next == from;
        let before = match before {
            Some(place) if same(&place) => return Ok(place),
            before => before.map(|place| place.partition.topic),
        };
        let (topic, number) = (partition.topic.as_str(), partition.partition.0);
        if before.is_none_or(|topic| topic != partition.topic) {
            // An assignment alone finds its leader by a timer of seconds.
            self.consumer.fetch_metadata(Some(topic), CALL).map_err(unavailable)?;
        }
        let inlet = Inlet::new(&self.consumer, topic, number, &self.bell).map_err(Error::Fatal)?;
        self.consumer.assign(&list(&[(partition.clone(), from)])?).map_err(unavailable)?;
        Ok(Place { partition: partition.clone(), next: from, inlet })
    }

    /// Reads until something stops it.
    fn read_on(&self, place: &mut Place, bytes_max: usize, until: Instant, batch: &mut Batch) -> Result<(), Error> {
        let from = place.next;
        while batch.bytes() < bytes_max {
            let Some(message) = place.inlet.front() else {
                let left = until.saturating_duration_since(Instant::now());
                if place.next > from || left.is_zero() {
                    break;
                }
                self.bell.wait(left.min(SLICE));
                continue;
            };
            let offset = Offset(message.offset());
            match message.error() {
                None => {
                    message.push_to(batch, &place.partition.topic);
                    place.next = Offset(offset.0 + 1);
                }
                // The end lies past control records, which are never handed out.
                Some(RDKafkaErrorCode::PartitionEOF) => {
                    place.next = place.next.max(offset);
                    place.inlet.advance();
                    break;
                }
                Some(code) => return Err(judge(code, &place.partition, place.next)),
            }
            place.inlet.advance();
        }
        Ok(())
    }
}

impl Reader for KafkaReader {
    fn read(
        &mut self,
        partition: &TopicPartition,
        from: Offset,
        bytes_max: usize,
        wait: Duration,
        batch: &mut Batch,
    ) -> Result<Offset, Error> {
        self.refresh()?;
        let mut place = self.go_to(partition, from)?;
        self.read_on(&mut place, bytes_max, Instant::now() + wait, batch)?;
        let next = place.next;
        self.at = Some(place);
        Ok(next)
    }
}

/// The beginning or the end of each, as this consumer sees them, in the order asked; all of a broker's in one request.
fn places(
    consumer: &BaseConsumer<ReaderContext>,
    partitions: &[TopicPartition],
    place: rdkafka::Offset,
) -> Result<Vec<Offset>, Error> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let mut asked = TopicPartitionList::with_capacity(partitions.len());
    for TopicPartition { topic, partition } in partitions {
        // Asked for as a time, it is that of all records.
        asked.add_partition_offset(topic.as_str(), partition.0, place).map_err(fatal)?;
    }
    let answer = consumer.offsets_for_times(asked, ATTEMPT).map_err(unavailable)?;
    each(&answer)?;
    let found = |partition: &TopicPartition| match answer
        .find_partition(partition.topic.as_str(), partition.partition.0)
        .map(|found| found.offset())
    {
        Some(rdkafka::Offset::Offset(offset)) => Ok(Offset(offset)),
        told => Err(Error::Unavailable(format!("{partition}: its {place:?} is not known: {told:?}"))),
    };
    partitions.iter().map(found).collect()
}

pub(super) fn judge(code: RDKafkaErrorCode, partition: &TopicPartition, offset: Offset) -> Error {
    match code {
        RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
            let mend = "records at this offset are gone (retention, compaction or a re-created topic)".to_owned();
            Error::OutOfRange { partition: partition.clone(), offset, mend }
        }
        RDKafkaErrorCode::TopicAuthorizationFailed => denied("Read", &format!("topic {}", partition.topic)),
        _ => Error::Unavailable(format!("{partition}: {code}")),
    }
}
