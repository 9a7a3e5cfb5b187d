//! The group member: polls in batches, and turns rebalance callbacks into values. What is read of which partition is `abreast`'s.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::types::RDKafkaRespErr;

use super::abreast::{Feed, Group};
use super::native::{Bell, Inlet};
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
/// Of calls that are tried again: short, for between them the login is renewed.
pub const ATTEMPT: Duration = Duration::from_secs(2);

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
    groups: Vec<Group>,
    /// Whose turn it is when there is more than fits into a batch.
    turn: usize,
    bell: Arc<Bell>,
    consumer: Arc<BaseConsumer<MemberContext>>,
    login: Login,
    group: String,
    topics: Vec<Topic>,
    /// Told by the next poll, for the last one had records to bring.
    failed: Option<Error>,
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
            // Per partition, and of those there are many: half a commit's worth is fetched ahead, and as much at once.
            .set("queued.min.messages", "2000")
            .set("queued.max.messages.kbytes", "1024")
            .set("fetch.message.max.bytes", "524288");
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
        let (groups, bell, group, topics) = (Vec::new(), Arc::default(), group.to_owned(), topics.to_vec());
        Ok(Self { groups, turn: 0, bell, consumer, login, group, topics, failed: None })
    }

    pub fn consumer(&self) -> &BaseConsumer<MemberContext> {
        &self.consumer
    }

    pub fn group(&self) -> &str {
        &self.group
    }

    pub fn poll(&mut self, wait: Duration, bytes_max: usize, batch: &mut Batch) -> Result<Polled, Error> {
        self.login.refresh(self.consumer.client())?;
        self.bring_back()?;
        let until = Instant::now() + wait;
        loop {
            if let Some(rebalance) = self.serve()? {
                return Ok(rebalance.into());
            }
            self.take(bytes_max, batch)?;
            let left = until.saturating_duration_since(Instant::now());
            if !batch.is_empty() || left.is_zero() {
                return Ok(Polled::Records { drained: self.is_drained() });
            }
            self.bell.wait(left.min(SLICE));
        }
    }

    /// All that one task has before anything of the next: what is committed together costs least.
    fn take(&mut self, bytes_max: usize, batch: &mut Batch) -> Result<(), Error> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let now = Instant::now();
        for turn in self.turn..self.turn + self.groups.len() {
            let turn = turn % self.groups.len();
            if batch.bytes() >= bytes_max {
                self.turn = turn;
                break;
            }
            match self.groups[turn].take(bytes_max, now, batch) {
                Err(error) if batch.is_empty() => return Err(error),
                // What was handed out is not read again.
                Err(error) => self.failed = Some(error),
                Ok(()) => continue,
            }
            break;
        }
        if !batch.is_empty() {
            self.consumer.context().1.answered();
        }
        Ok(())
    }

    fn bring_back(&mut self) -> Result<(), Error> {
        let strayed: Vec<_> = self.feeds().filter_map(Feed::strayed).collect();
        if strayed.is_empty() { Ok(()) } else { self.seek(&strayed) }
    }

    fn is_drained(&self) -> bool {
        let mut active = self.feeds().filter(|feed| !feed.is_paused()).peekable();
        self.failed.is_none() && active.peek().is_some() && active.all(Feed::is_drained)
    }

    fn feeds(&self) -> impl Iterator<Item = &Feed> {
        self.groups.iter().flat_map(|group| &group.feeds)
    }

    fn feed(&mut self, partition: &TopicPartition) -> Option<&mut Feed> {
        self.groups.iter_mut().flat_map(|group| &mut group.feeds).find(|feed| feed.partition == *partition)
    }

    /// Serves callbacks. Records never come this way: their queues were taken out before the assignment.
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

    pub fn assign(&mut self, groups: &[Vec<(TopicPartition, Offset)>]) -> Result<(), Error> {
        self.give_up();
        for group in groups {
            let feed = |(partition, next): &(TopicPartition, Offset)| {
                let (topic, number) = (partition.topic.as_str(), partition.partition.0);
                let inlet = Inlet::new(&self.consumer, topic, number, &self.bell).map_err(Error::Fatal)?;
                Ok(Feed::new(partition.clone(), inlet, *next))
            };
            self.groups.push(Group::new(group.iter().map(feed).collect::<Result<_, Error>>()?));
        }
        self.consumer.assign(&list(&groups.concat())?).map_err(unavailable)
    }

    pub fn release(&mut self) -> Result<(), Error> {
        self.give_up();
        self.consumer.unassign().map_err(unavailable)
    }

    fn give_up(&mut self) {
        self.groups.clear();
        (self.turn, self.failed) = (0, None);
    }

    /// Goes on fetching, as far as librdkafka does ahead.
    pub fn set_paused(&mut self, partitions: &[TopicPartition], paused: bool) {
        for partition in partitions {
            self.feed(partition).into_iter().for_each(|feed| feed.set_paused(paused));
        }
    }

    pub fn seek(&mut self, starts: &[(TopicPartition, Offset)]) -> Result<(), Error> {
        let sought = self.consumer.seek_partitions(list(starts)?, CALL).map_err(unavailable)?;
        let is_idle = |error: KafkaError| error.rdkafka_error_code() == Some(RDKafkaErrorCode::State);
        let idle = sought.elements().iter().any(|element| element.error().is_err_and(is_idle));
        if !idle || self.groups.is_empty() {
            each(&sought)?;
        }
        for (partition, next) in starts {
            self.feed(partition).into_iter().for_each(|feed| feed.go_on_from(*next));
        }
        if idle { self.assign_anew() } else { Ok(()) }
    }

    /// What librdkafka has ceased to fetch, as after a false alarm, cannot be sought in: it begins again with an assignment.
    fn assign_anew(&mut self) -> Result<(), Error> {
        let paused: Vec<_> = self.feeds().filter(|feed| feed.is_paused()).map(|feed| feed.partition.clone()).collect();
        let places = |group: &Group| group.feeds.iter().map(Feed::place).collect();
        let groups: Vec<Vec<_>> = self.groups.iter().map(places).collect();
        self.assign(&groups)?;
        self.set_paused(&paused, true);
        Ok(())
    }

    /// Asked for piece by piece of the time: in between the login is renewed.
    pub fn committed(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Option<Committed>>, Error> {
        let until = Instant::now() + CALL;
        loop {
            self.login.refresh(self.consumer.client())?;
            match committed(self.consumer(), &self.group, partitions, ATTEMPT) {
                Err(Error::Unavailable(_)) if Instant::now() < until => {}
                told => return told,
            }
        }
    }
}

/// The stable committed offsets of the consumer's group, in the order asked.
pub fn committed<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    group: &str,
    partitions: &[TopicPartition],
    timeout: Duration,
) -> Result<Vec<Option<Committed>>, Error> {
    let mut asked = TopicPartitionList::new();
    for partition in partitions {
        asked.add_partition(partition.topic.as_str(), partition.partition.0);
    }
    let answer = consumer.committed_offsets(asked, timeout);
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

/// What is wrong with a member or one of its partitions.
pub fn judge(error: &KafkaError, topic: &str, group: &str) -> Result<(), Error> {
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
