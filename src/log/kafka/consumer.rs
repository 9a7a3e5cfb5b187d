//! The group member: polls in batches, and turns rebalance callbacks into values.
//!
//! Positions are this module's own: librdkafka moves its position on end-of-partition messages (librdkafka #4844), so
//! after a pause or an abort every partition is sought to where *we* are.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::types::RDKafkaRespErr;

use super::native::{Message, Queue};
use crate::log::client::{Connection, unusable};
use crate::log::outage::Outage;
use crate::log::token::Login;
use crate::log::{Committed, Error, Polled};
use crate::record::{Batch, Offset, Partition, Topic, TopicPartition};

/// How long one wait may keep rebalances waiting.
const SLICE: Duration = Duration::from_millis(20);
const ERRORS_MAX: usize = 16;
const SESSION_MS: &str = "session.timeout.ms";
/// For calls that ask the broker.
pub const CALL: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Events {
    /// The consumer is being dropped: nobody polls for values any more.
    closing: bool,
    rebalances: VecDeque<Rebalance>,
    errors: VecDeque<(KafkaError, String)>,
}

enum Rebalance {
    Assign(Vec<TopicPartition>),
    Revoke { partitions: Vec<TopicPartition>, lost: bool },
}

/// Keeps what the callbacks told until the next poll; assigns nothing by itself.
pub struct MemberContext(Mutex<Events>, Arc<Outage>);

impl ClientContext for MemberContext {
    fn error(&self, error: KafkaError, reason: &str) {
        if self.1.takes(&error) {
            return;
        }
        if let Ok(mut events) = self.0.lock() {
            // Only the newest matter.
            if events.errors.len() == ERRORS_MAX {
                events.errors.pop_front();
            }
            events.errors.push_back((error, reason.to_owned()));
        }
    }
}

impl ConsumerContext for MemberContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions = partitions(list);
        let rebalance = if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            Rebalance::Assign(partitions)
        } else {
            Rebalance::Revoke { partitions, lost: consumer.assignment_lost() }
        };
        let Ok(mut events) = self.0.lock() else { return };
        if events.closing {
            // Closing waits until the last revocation is acknowledged.
            drop(events);
            if let Err(error) = consumer.unassign() {
                tracing::warn!(%error, "the assignment could not be given up while leaving the group");
            }
            return;
        }
        events.rebalances.push_back(rebalance);
    }
}

impl From<Rebalance> for Polled {
    fn from(rebalance: Rebalance) -> Self {
        match rebalance {
            Rebalance::Assign(partitions) => Polled::Assigned(partitions),
            Rebalance::Revoke { partitions, lost: false } => Polled::Revoked(partitions),
            Rebalance::Revoke { partitions, lost: true } => Polled::Lost(partitions),
        }
    }
}

pub struct Member {
    queue: Queue<MemberContext>,
    consumer: Arc<BaseConsumer<MemberContext>>,
    login: Login,
    group: String,
    topics: Vec<Topic>,
    /// The next offset to hand out, and whether the partition was read to its end.
    positions: BTreeMap<TopicPartition, Position>,
}

struct Position {
    next: Offset,
    at_end: bool,
    paused: bool,
    /// Something has come through our queue since the assignment.
    flows: bool,
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Ok(mut events) = self.consumer.context().0.lock() {
            events.closing = true;
        }
        if let Err(error) = self.consumer.unassign() {
            tracing::warn!(%error, "the assignment could not be given up before leaving the group");
        }
    }
}

impl Member {
    pub fn join(connection: &Connection, group: &str, topics: &[Topic], instance: Option<&str>) -> Result<Self, Error> {
        let mut config = connection.consumer(group);
        config
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            // Finds the end of an idle partition soon; a record wakes the fetch at once anyway.
            .set("fetch.wait.max.ms", "100")
            .set("fetch.queue.backoff.ms", "10")
            // Per partition, and of that there are many: a commit's worth, not more, is fetched ahead.
            .set("queued.min.messages", "4000")
            .set("queued.max.messages.kbytes", "4096");
        if let Some(instance) = instance {
            config.set("group.instance.id", instance);
        }
        if !connection.properties.contains_key(SESSION_MS) {
            // Who does not come back holds its partitions for so long.
            config.set(SESSION_MS, "10000");
        }
        let context = MemberContext(Mutex::new(Events::default()), connection.outage().clone());
        let consumer = config.create_with_context(context).map_err(|error| unusable(&error))?;
        let consumer: Arc<BaseConsumer<MemberContext>> = Arc::new(consumer);
        let mut login = Login::new(connection);
        login.refresh(consumer.client())?;
        let names: Vec<&str> = topics.iter().map(Topic::as_str).collect();
        consumer.subscribe(&names).map_err(fatal)?;
        let queue = Queue::new(&consumer);
        let (group, topics) = (group.to_owned(), topics.to_vec());
        Ok(Self { queue, consumer, login, group, topics, positions: BTreeMap::new() })
    }

    pub fn consumer(&self) -> &BaseConsumer<MemberContext> {
        &self.consumer
    }

    pub fn group(&self) -> &str {
        &self.group
    }

    pub fn poll(&mut self, wait: Duration, bytes_max: usize, batch: &mut Batch) -> Result<Polled, Error> {
        self.login.refresh(self.consumer.client())?;
        let until = Instant::now() + wait;
        loop {
            if let Some(rebalance) = self.serve()? {
                return Ok(rebalance.into());
            }
            self.forward()?;
            let left = until.saturating_duration_since(Instant::now());
            let slice = if batch.is_empty() { left.min(SLICE) } else { Duration::ZERO };
            let (queue, mut taker) = (&self.queue, Taker { topics: &self.topics, positions: &mut self.positions });
            // The batch call waits until its array is full, so it only takes what is there.
            let mut messages: Vec<_> = queue.next(slice).into_iter().collect();
            messages.first().inspect(|_| self.consumer.context().1.answered());
            while !messages.is_empty() {
                messages.iter().try_for_each(|message| taker.take(message, batch))?;
                messages = if batch.bytes() < bytes_max { queue.ready() } else { Vec::new() };
            }
            if !batch.is_empty() || left.is_zero() {
                return Ok(Polled::Records { drained: self.drained() });
            }
        }
    }

    fn drained(&self) -> bool {
        let mut active = self.positions.values().filter(|position| !position.paused).peekable();
        active.peek().is_some() && active.all(|position| position.at_end)
    }

    /// Serves callbacks. Records never come this way: their queues were forwarded before the assignment.
    fn serve(&mut self) -> Result<Option<Rebalance>, Error> {
        self.serve_callbacks()?;
        let mut events = self.events()?;
        Ok(events.rebalances.pop_front())
    }

    /// Gives the group time to tell that this member is none any more; rebalances are kept for the next poll.
    pub fn hear_out(&mut self, time: Duration) -> Result<(), Error> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.serve_callbacks()?;
            std::thread::sleep(Duration::from_millis(1)); // what the group says may stand behind much else
        }
        Ok(())
    }

    fn events(&self) -> Result<MutexGuard<'_, Events>, Error> {
        self.consumer.context().0.lock().map_err(|_| Error::Fatal("a callback panicked".into()))
    }

    fn serve_callbacks(&mut self) -> Result<(), Error> {
        while let Some(polled) = self.consumer.poll(Duration::ZERO) {
            match polled {
                Ok(stray) => {
                    let (topic, partition) = (stray.topic(), stray.partition());
                    return Err(Error::Fatal(format!("a record of {topic}-{partition} came outside its queue")));
                }
                Err(KafkaError::PartitionEOF(_)) => {}
                Err(error) if self.consumer.context().1.takes(&error) => {}
                Err(error) => judge(&error, &self.topic_of(&error)?, &self.group)?,
            }
        }
        let mut events = self.events()?;
        while let Some((error, reason)) = events.errors.pop_front() {
            tracing::debug!(%error, reason, "kafka consumer");
            if let KafkaError::Global(RDKafkaErrorCode::Fatal) = error {
                let told = format!("the group member failed for good: {reason}");
                let fenced =
                    matches!(self.consumer.client().fatal_error(), Some((RDKafkaErrorCode::FencedInstanceId, _)));
                return Err(if fenced { Error::Fenced(told) } else { Error::Fatal(told) });
            }
        }
        Ok(())
    }

    /// The error itself does not say which topic it is of; what was told along with it does.
    fn topic_of(&self, error: &KafkaError) -> Result<String, Error> {
        let events = self.events()?;
        let told = events.errors.iter().rev().find(|(of, _)| of.rdkafka_error_code() == error.rdkafka_error_code());
        let told = told.map_or("", |(_, reason)| &**reason);
        let named = self.topics.iter().map(Topic::as_str).filter(|topic| told.contains(topic));
        Ok(named.max_by_key(|topic| topic.len()).unwrap_or(told).to_owned())
    }

    pub fn assign(&mut self, starts: &[(TopicPartition, Offset)]) -> Result<(), Error> {
        let start = |next: Offset| Position { next, at_end: false, paused: false, flows: false };
        self.positions = starts.iter().map(|(partition, next)| (partition.clone(), start(*next))).collect();
        self.forward()?;
        self.consumer.assign(&list(starts)?).map_err(unavailable)
    }

    /// Leads the partitions' queues to ours: before the assignment, so that nothing goes elsewhere, and again until something
    /// has come, for the end of an earlier assignment of the same partition cuts the lead. What waits meanwhile is kept.
    fn forward(&self) -> Result<(), Error> {
        let mut still = self.positions.iter().filter(|(_, position)| !position.flows);
        still
            .try_for_each(|(partition, _)| self.queue.forward(partition.topic.as_str(), partition.partition.0))
            .map_err(Error::Fatal)
    }

    pub fn release(&mut self) -> Result<(), Error> {
        self.positions.clear();
        self.consumer.unassign().map_err(unavailable)
    }

    pub fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        self.set_paused(partitions, true);
        let current = list(&self.current(partitions))?;
        self.consumer.pause(&current).map_err(unavailable)?;
        each(&current)
    }

    pub fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        self.set_paused(partitions, false);
        let current = self.current(partitions);
        let asked = list(&current)?;
        self.consumer.resume(&asked).map_err(unavailable)?;
        each(&asked)?;
        self.seek(&current)
    }

    pub fn seek(&mut self, starts: &[(TopicPartition, Offset)]) -> Result<(), Error> {
        for (partition, next) in starts {
            if let Some(position) = self.positions.get_mut(partition) {
                (position.next, position.at_end) = (*next, false);
            }
        }
        each(&self.consumer.seek_partitions(list(starts)?, CALL).map_err(unavailable)?)
    }

    fn set_paused(&mut self, partitions: &[TopicPartition], paused: bool) {
        for partition in partitions {
            if let Some(position) = self.positions.get_mut(partition) {
                position.paused = paused;
            }
        }
    }

    fn current(&self, partitions: &[TopicPartition]) -> Vec<(TopicPartition, Offset)> {
        let next = |partition: &TopicPartition| Some((partition.clone(), self.positions.get(partition)?.next));
        partitions.iter().filter_map(next).collect()
    }

    pub fn committed(&self, partitions: &[TopicPartition]) -> Result<Vec<Option<Committed>>, Error> {
        committed(self.consumer(), &self.group, partitions)
    }
}

/// The stable committed offsets of the consumer's group, in the order asked.
pub fn committed<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    group: &str,
    partitions: &[TopicPartition],
) -> Result<Vec<Option<Committed>>, Error> {
    let mut asked = TopicPartitionList::new();
    for partition in partitions {
        asked.add_partition(partition.topic.as_str(), partition.partition.0);
    }
    let answer = consumer.committed_offsets(asked, CALL);
    let answer = answer.map_err(|error| denied_or_unavailable(error, "Describe", &format!("group {group}")))?;
    // An offset that could not be read is not one that was never committed: that would read everything again.
    each(&answer)?;
    let find = |partition: &TopicPartition| {
        let found = answer.find_partition(partition.topic.as_str(), partition.partition.0)?;
        match found.offset() {
            rdkafka::Offset::Offset(next) => {
                Some(Committed { offset: Offset(next), metadata: found.metadata().to_owned() })
            }
            _ => None,
        }
    };
    Ok(partitions.iter().map(find).collect())
}

/// Copies messages into the batch and keeps the positions.
struct Taker<'a> {
    topics: &'a [Topic],
    positions: &'a mut BTreeMap<TopicPartition, Position>,
}

impl Taker<'_> {
    fn take(&mut self, message: &Message<'_>, batch: &mut Batch) -> Result<(), Error> {
        let Some(topic) = self.topic(message.topic()) else { return Ok(()) };
        let (partition, offset) = (Partition(message.partition()), Offset(message.offset()));
        if let Some(code) = message.error() {
            return self.take_error(code, message, TopicPartition { topic, partition }, offset);
        }
        if self.advance(&TopicPartition { topic: topic.clone(), partition }, offset) {
            message.push_to(batch, &topic);
        }
        Ok(())
    }

    fn take_error(
        &mut self,
        code: RDKafkaErrorCode,
        message: &Message<'_>,
        partition: TopicPartition,
        offset: Offset,
    ) -> Result<(), Error> {
        match code {
            RDKafkaErrorCode::PartitionEOF => {
                if let Some(position) = self.positions.get_mut(&partition) {
                    position.next = position.next.max(offset);
                    (position.at_end, position.flows) = (true, true);
                }
                Ok(())
            }
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
                let offset = self.positions.get(&partition).map_or(offset, |position| position.next);
                let told = String::from_utf8_lossy(message.value().unwrap_or_default());
                let mend = format!(
                    "records that were still to be read are gone (retention or a re-created topic); reset the group's \
                     offset on purpose ({told})"
                );
                Err(Error::OutOfRange { partition, offset, mend })
            }
            code => {
                let text = String::from_utf8_lossy(message.value().unwrap_or_default()).into_owned();
                tracing::warn!(%partition, ?code, text, "kafka consumer");
                judge(&KafkaError::MessageConsumption(code), partition.topic.as_str(), "")
            }
        }
    }

    /// False for a record that was handed out already, or of a partition given up.
    fn advance(&mut self, partition: &TopicPartition, offset: Offset) -> bool {
        let Some(position) = self.positions.get_mut(partition) else { return false };
        if offset < position.next {
            return false;
        }
        (position.next, position.at_end, position.flows) = (Offset(offset.0 + 1), false, true);
        true
    }

    fn topic(&self, name: &str) -> Option<Topic> {
        self.topics.iter().find(|topic| topic.as_str() == name).cloned()
    }
}

fn judge(error: &KafkaError, topic: &str, group: &str) -> Result<(), Error> {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            Err(Error::Unavailable(format!("a topic to read does not exist: {error}")))
        }
        Some(RDKafkaErrorCode::GroupAuthorizationFailed) => Err(denied("Read", &format!("group {group}"))),
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => Err(denied("Read", &format!("topic {topic}"))),
        Some(RDKafkaErrorCode::Authentication) => Err(Error::Fatal(error.to_string())),
        Some(RDKafkaErrorCode::FencedInstanceId) => Err(Error::Fenced(error.to_string())),
        Some(RDKafkaErrorCode::InvalidSessionTimeout) => Err(Error::Fatal(format!(
            "kafka.properties.{SESSION_MS}: the broker refuses it; its group.min.session.timeout.ms and \
             group.max.session.timeout.ms say what it takes"
        ))),
        Some(RDKafkaErrorCode::PollExceeded) => Ok(()), // followed by a loss of the assignment
        _ => {
            tracing::warn!(%error, "kafka consumer");
            Ok(())
        }
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<TopicPartition> {
    let one = |element: rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
        TopicPartition::new(&Topic::from(element.topic()), Partition(element.partition()))
    };
    list.elements().into_iter().map(one).collect()
}

/// librdkafka answers a call on many partitions with success, and with each partition's own error in the list.
pub fn each(list: &TopicPartitionList) -> Result<(), Error> {
    list.elements().iter().try_for_each(|element| {
        let topic = || format!("topic {}", element.topic());
        element.error().map_err(|error| denied_or_unavailable(error, "Read", &topic()))
    })
}

pub fn list(starts: &[(TopicPartition, Offset)]) -> Result<TopicPartitionList, Error> {
    let mut list = TopicPartitionList::with_capacity(starts.len());
    for (partition, next) in starts {
        let offset = rdkafka::Offset::Offset(next.0);
        list.add_partition_offset(partition.topic.as_str(), partition.partition.0, offset).map_err(fatal)?;
    }
    Ok(list)
}

/// A right does not come by waiting: this is what an administrator is to be asked for.
pub fn denied(operation: &str, resource: &str) -> Error {
    Error::Fatal(crate::log::denied(operation, resource))
}

pub fn is_denied(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    code.is_some_and(|code| {
        matches!(
            code,
            RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed
        )
    })
}

/// Of a call that needs this operation on this resource.
pub fn denied_or_unavailable(error: KafkaError, operation: &str, resource: &str) -> Error {
    if is_denied(&error) { denied(operation, resource) } else { unavailable(error) }
}

pub fn fatal(error: KafkaError) -> Error {
    Error::Fatal(error.to_string())
}

pub fn unavailable(error: KafkaError) -> Error {
    Error::Unavailable(error.to_string())
}
