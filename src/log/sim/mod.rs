//! A simulated Kafka for tests: one process, one thread, a set clock and a seed; the same seed, the same run.
//!
//! It does on purpose what a real one does rarely: markers written late, answers and requests lost, an end of a
//! transaction repeated after its time (KIP-890), offsets not stable yet, members that are out for being silent,
//! transactions that time out, compaction at any moment. A [`SimLog`] may die before or after any of its calls.
//! Not here: bytes on a wire, batches, replication, cooperative rebalances, reading abreast: what is polled is as mixed as can be.

mod group;
mod member;
mod partition;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use group::{Group, Written};
pub use member::{SimLog, SimReader};
use partition::PartitionLog;

use super::{Committed, Error};
use crate::clock::Clock;
use crate::record::{NewRecord, Offset, Partition, Topic, TopicPartition};

const TRANSACTION: Duration = Duration::from_secs(10);

/// How often things go wrong, in thousandths of the calls they apply to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// A call fails before it did anything.
    pub unavailable: u32,
    /// A record is not delivered: the transaction must be aborted.
    pub undelivered: u32,
    /// The end of a transaction does not arrive.
    pub lost_request: u32,
    /// It takes place, but nobody is told.
    pub lost_answer: u32,
    /// It takes place, and then once more, later.
    pub repeated_end: u32,
    /// A marker is written up to a second later.
    pub late_marker: u32,
    /// It is told to have taken place, but the broker dies before it has written a marker, and forgets to (KAFKA-20734).
    pub dropped_markers: u32,
    /// A coordinator that reads its log a second time answers that nothing is committed.
    pub no_offsets: u32,
    /// A reader is given one record.
    pub short_read: u32,
    /// Everyone has to give up and join again.
    pub rebalance: u32,
    /// A member's session is over, but it goes on for a while with what it has fetched.
    pub expelled: u32,
    /// A compacted partition is compacted.
    pub compaction: u32,
    /// What no real client may do: `must_renew` and `in_doubt` answer no, so that tests can show what it is for.
    pub hides_hazards: bool,
}

/// A handle; clones share the cluster.
#[derive(Clone)]
pub struct Sim(Rc<RefCell<Cluster>>);

struct Cluster {
    clock: Clock,
    random: Random,
    faults: Faults,
    topics: BTreeMap<Topic, Vec<PartitionLog>>,
    group: Group,
    producers: BTreeMap<String, Producer>,
    late: Vec<(Duration, Late)>,
    members: u32,
}

/// What the transaction coordinator knows of a transactional id.
#[derive(Default)]
struct Producer {
    epoch: u32,
    /// Who initialised the id last.
    owner: u32,
    since: Option<Duration>,
    partitions: BTreeSet<TopicPartition>,
    offsets: Vec<(TopicPartition, Written)>,
    /// What was ended without a marker, until one comes.
    left: Left,
}

#[derive(Default)]
struct Left {
    partitions: BTreeSet<TopicPartition>,
    offsets: Vec<(TopicPartition, Written)>,
}

enum Late {
    Marker {
        id: String,
        partition: TopicPartition,
        commit: bool,
    },
    Offsets {
        id: String,
        offsets: Vec<(TopicPartition, Written)>,
        commit: bool,
    },
    /// A request that was taken for lost and repeated.
    End {
        id: String,
        epoch: u32,
        commit: bool,
    },
}

impl Sim {
    pub fn new(seed: u64, clock: Clock, faults: Faults) -> Self {
        Self(Rc::new(RefCell::new(Cluster {
            clock,
            random: Random(seed.wrapping_mul(2).wrapping_add(1)),
            faults,
            topics: BTreeMap::new(),
            group: Group::default(),
            producers: BTreeMap::new(),
            late: Vec::new(),
            members: 0,
        })))
    }

    pub fn set_faults(&self, faults: Faults) {
        self.0.borrow_mut().faults = faults;
    }

    pub fn create_topic(&self, topic: &Topic, partitions: usize, compacted: bool) {
        let one = || PartitionLog::new(compacted);
        self.0.borrow_mut().topics.insert(topic.clone(), std::iter::repeat_with(one).take(partitions).collect());
    }

    /// Appends outside any transaction.
    pub fn append(&self, record: NewRecord) -> TopicPartition {
        let mut cluster = self.0.borrow_mut();
        let partition = cluster.partition_of(&record).expect("the topic was created");
        cluster.log(&partition).expect("it is there").append(record, None);
        partition
    }

    /// What a read-committed consumer sees of a partition, once everything late has arrived.
    pub fn committed_records(&self, partition: &TopicPartition) -> Vec<(Offset, NewRecord)> {
        let mut cluster = self.0.borrow_mut();
        cluster.deliver_late(Duration::MAX);
        let log = cluster.log(partition).expect("the topic was created");
        log.read(Offset(0), usize::MAX).0.into_iter().map(|(offset, record)| (offset, record.clone())).collect()
    }

    pub fn committed_offset(&self, partition: &TopicPartition) -> Option<Committed> {
        let mut cluster = self.0.borrow_mut();
        cluster.deliver_late(Duration::MAX);
        cluster.group.committed(partition).cloned()
    }

    /// All that is committed.
    pub fn offsets(&self) -> BTreeMap<TopicPartition, Committed> {
        let mut cluster = self.0.borrow_mut();
        cluster.deliver_late(Duration::MAX);
        cluster.group.all_committed()
    }

    /// Tells members these offsets instead of those that are committed.
    pub fn tell_offsets(&self, told: Option<BTreeMap<TopicPartition, Committed>>) {
        self.0.borrow_mut().group.told = told;
    }

    pub fn high(&self, partition: &TopicPartition) -> Offset {
        self.0.borrow_mut().log(partition).expect("the topic was created").high()
    }

    pub fn reader(&self) -> SimReader {
        SimReader(self.clone())
    }

    /// Initialises the transactional id and joins the group.
    pub fn member(&self, name: &str, transactional_id: &str, topics: &[Topic]) -> SimLog {
        SimLog::join(self.clone(), name, transactional_id, topics)
    }

    /// The session of this member is over, and it hears of it only after so many polls.
    pub fn expel(&self, name: &str, deaf_polls: u64) {
        self.0.borrow_mut().group.expel(name, deaf_polls);
    }

    /// A number below `bound`, from the seed.
    pub fn random(&self, bound: u64) -> u64 {
        self.0.borrow_mut().random.below(bound)
    }
}

impl Cluster {
    fn log(&mut self, partition: &TopicPartition) -> Result<&mut PartitionLog, Error> {
        let logs = self.topics.get_mut(&partition.topic);
        let log = logs.and_then(|logs| logs.get_mut(usize::try_from(partition.partition.0).ok()?));
        log.ok_or_else(|| Error::Fatal(format!("{partition} does not exist")))
    }

    fn partition_of(&self, record: &NewRecord) -> Result<TopicPartition, Error> {
        let count = self.topics.get(&record.topic).map(Vec::len);
        let count = count.ok_or_else(|| Error::Fatal(format!("{} does not exist", record.topic)))?;
        // Any function of the key will do here.
        let of_key = |key: &[u8]| crc32fast::hash(key) as usize % count;
        let chosen = || Partition(record.key.as_deref().map_or(0, of_key) as i32);
        Ok(TopicPartition::new(&record.topic, record.partition.unwrap_or_else(chosen)))
    }

    fn counts(&self) -> BTreeMap<Topic, i32> {
        self.topics.iter().map(|(topic, logs)| (topic.clone(), logs.len() as i32)).collect()
    }

    fn happens(&mut self, thousandths: u32) -> bool {
        thousandths > 0 && self.random.below(1_000) < u64::from(thousandths)
    }

    /// Time passes with every call, and what was to happen by then happens.
    fn tick(&mut self) {
        let passed = Duration::from_millis(self.random.below(2));
        self.clock.sleep(passed);
        let now = self.clock.elapsed();
        self.deliver_late(now);
        self.group.expire(now);
        let expired = |producer: &Producer| producer.since.is_some_and(|since| now.saturating_sub(since) > TRANSACTION);
        let expired: Vec<_> = self.producers.iter().filter(|(_, p)| expired(p)).map(|(id, _)| id.clone()).collect();
        for id in expired {
            self.producer(&id).epoch += 1;
            self.end(&id, false);
        }
        if self.happens(self.faults.rebalance) {
            self.group.rebalance();
        }
        if self.happens(self.faults.expelled) {
            let members: Vec<_> = self.group.ids().cloned().collect();
            let chosen = self.random.below(members.len() as u64) as usize;
            let deaf_polls = self.random.below(12);
            members.get(chosen).into_iter().for_each(|id| self.group.expel(id, deaf_polls));
        }
        if self.happens(self.faults.compaction) {
            self.topics.values_mut().flatten().filter(|log| log.compacted).for_each(PartitionLog::compact);
        }
    }

    fn producer(&mut self, id: &str) -> &mut Producer {
        self.producers.entry(id.to_owned()).or_default()
    }

    /// A new epoch: whatever the old one left open is aborted.
    fn init(&mut self, id: &str, owner: u32) -> u32 {
        self.deliver_late_of(id);
        if self.producer(id).since.is_some() {
            self.end(id, false);
            self.deliver_late_of(id);
        }
        // As a real client does, which looks where something is still open (`kafka/producer/leftovers.rs`).
        let Left { partitions, offsets } = std::mem::take(&mut self.producer(id).left);
        let producer = self.producer(id);
        (producer.partitions, producer.offsets) = (partitions, offsets);
        self.end(id, false);
        self.deliver_late_of(id);
        let producer = self.producer(id);
        (producer.epoch, producer.owner) = (producer.epoch + 1, owner);
        producer.epoch
    }

    /// Ends the transaction without a marker.
    fn leave_open(&mut self, id: &str) {
        let producer = self.producer(id);
        producer.since = None;
        producer.left.partitions.append(&mut producer.partitions);
        producer.left.offsets.append(&mut producer.offsets);
    }

    /// Ends the open transaction, if there is one; markers and offsets may take their time.
    fn end(&mut self, id: &str, commit: bool) {
        let Producer { partitions, offsets, .. } = {
            let producer = self.producer(id);
            let (epoch, owner, left) = (producer.epoch, producer.owner, std::mem::take(&mut producer.left));
            std::mem::replace(producer, Producer { epoch, owner, left, ..Producer::default() })
        };
        let late = partitions.into_iter().map(|partition| Late::Marker { id: id.to_owned(), partition, commit });
        let late: Vec<_> = late.chain([Late::Offsets { id: id.to_owned(), offsets, commit }]).collect();
        for late in late {
            let delay = if self.happens(self.faults.late_marker) { self.random.below(1_000) } else { 0 };
            let due = self.clock.elapsed() + Duration::from_millis(delay);
            self.late.push((due, late));
        }
        self.deliver_late(self.clock.elapsed());
    }

    fn deliver_late(&mut self, until: Duration) {
        let (due, late) = std::mem::take(&mut self.late).into_iter().partition(|(at, _)| *at <= until);
        self.late = late;
        self.deliver(due);
    }

    /// The coordinator lets a producer begin only when its last transaction is marked everywhere.
    fn deliver_late_of(&mut self, wanted: &str) {
        let of_it = |late: &Late| match late {
            Late::Marker { id, .. } | Late::Offsets { id, .. } => id == wanted,
            Late::End { .. } => false,
        };
        let (due, late) = std::mem::take(&mut self.late).into_iter().partition(|(_, late)| of_it(late));
        self.late = late;
        self.deliver(due);
    }

    fn deliver(&mut self, due: Vec<(Duration, Late)>) {
        for (_, late) in due {
            match late {
                Late::Marker { id, partition, commit } => {
                    if let Ok(log) = self.log(&partition) {
                        log.mark(&id, commit);
                    }
                }
                Late::Offsets { id, offsets, commit } => self.group.mark_offsets(&id, offsets, commit),
                Late::End { id, epoch, commit } => {
                    let producer = self.producer(&id);
                    if producer.epoch == epoch && producer.since.is_some() {
                        self.end(&id, commit);
                    }
                }
            }
        }
    }
}

/// splitmix64: small, and good enough to choose faults.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}
