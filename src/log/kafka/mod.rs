//! The log port on librdkafka: one group member, one transactional producer with a stable id.
//!
//! ```text
//! member (consumer.rs) ── polls, rebalances ──► caller ── records ──► transactions (producer.rs)
//!        └────────────── group metadata, with the input offsets ──────────────┘
//! ```
//! [`native`] is the only unsafe code. What is not here: which topics and tasks there are, when to commit, what to retry.

mod abreast;
mod consumer;
mod follow;
mod membership;
mod native;
mod producer;
mod reader;
mod relay;
mod source;
mod tail;
mod writer;

use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;

pub use follow::Follow;
pub use membership::Membership;
pub use native::{Message, set_token};
pub use producer::Delivered;
pub use reader::KafkaReader;
pub use relay::KafkaRelay;
pub use source::{Slot, Taken};
pub use tail::{Since, Tail};
pub use writer::KafkaWriter;

use self::consumer::{Member, fatal};
use self::producer::Transactions;
use super::client::Connection;
use super::{Committed, Error, Log, Polled, Watermarks};
use crate::record::{Batch, NewRecord, Offset, Partition, Topic, TopicPartition};

/// A paused member hears of a twin with its next heartbeat.
const VERDICT: Duration = Duration::from_secs(5);

/// Others end their transactions meanwhile, as a rule.
const HELD_UP: Duration = Duration::from_secs(1);

/// Who this member is.
#[derive(Clone, Debug)]
pub struct Identity {
    pub group: String,
    /// Stable over restarts, so that a restart ends the dead one's transaction at once; unique among running workers.
    pub transactional_id: String,
    /// `group.instance.id`, for static membership: who comes back within the session's time finds its partitions as they
    /// were and nobody else has to stop; who takes the same name while the other lives fences it.
    pub instance_id: Option<String>,
    /// All topics that it writes.
    pub writes: Vec<Topic>,
}

/// A group that was away for longer than the session may take a static member that comes back for its own twin. So a member joins
/// anew once in this time; a twin that lives fences it again at once, and the producer besides.
const REJOINS_APART: Duration = Duration::from_secs(60);

pub struct KafkaLog {
    connection: Connection,
    identity: Identity,
    topics: Vec<Topic>,
    member: Member,
    rejoined: Option<Instant>,
    /// The member was replaced and has no partitions; not told yet.
    lost: bool,
    transactions: Transactions,
    reader: KafkaReader,
}

impl KafkaLog {
    /// Fences older producers of this id, then joins the group.
    pub fn join(connection: &Connection, identity: &Identity, topics: &[Topic]) -> Result<Self, Error> {
        let mut reader = KafkaReader::new(connection, &identity.group)?;
        let Identity { group, transactional_id, writes, .. } = identity;
        let held_up = || reader.held_up(writes, HELD_UP);
        let transactions = Transactions::new(connection, transactional_id, Some(group), held_up)?;
        let member = Member::join(connection, &identity.group, topics, identity.instance_id.as_deref())?;
        let (connection, identity, topics) = (connection.clone(), identity.clone(), topics.to_vec());
        let mut log = Self { connection, identity, topics, member, rejoined: None, lost: false, transactions, reader };
        log.clear()?;
        Ok(log)
    }

    /// What a broker left open of our transactions is ended before anything is read or written.
    fn clear(&mut self) -> Result<(), Error> {
        if !self.transactions.is_unsure() {
            return Ok(());
        }
        let held_up = self.reader.held_up(&self.identity.writes, HELD_UP)?;
        let group = self.member.consumer().group_metadata();
        let offset = self.topics.first().map(|topic| (TopicPartition::new(topic, Partition(0)), Offset(0)));
        let offsets = consumer::list(offset.as_slice())?;
        self.transactions.clear(&held_up, group.as_ref().map(|group| (&offsets, group)))
    }

    /// After the group has fenced the member.
    fn rejoin(&mut self, why: String) -> Result<(), Error> {
        if self.rejoined.is_some_and(|at| at.elapsed() < REJOINS_APART) {
            return Err(Error::Fenced(why));
        }
        tracing::warn!(why, "the group took this member for a twin of its own; it joins anew, once");
        let Identity { group, instance_id, .. } = &self.identity;
        self.member = Member::join(&self.connection, group, &self.topics, instance_id.as_deref())?;
        self.rejoined = Some(Instant::now());
        Ok(())
    }
}

impl Log for KafkaLog {
    fn poll(&mut self, wait: Duration, bytes_max: usize, batch: &mut Batch) -> Result<Polled, Error> {
        self.transactions.refresh()?;
        self.reader.refresh()?;
        if std::mem::take(&mut self.lost) {
            return Ok(Polled::Lost(Vec::new()));
        }
        match self.member.poll(wait, bytes_max, batch) {
            Err(Error::Fenced(why)) => {
                batch.clear();
                self.rejoin(why)?;
                Ok(Polled::Lost(Vec::new()))
            }
            polled => polled,
        }
    }

    fn assign(&mut self, groups: &[Vec<(TopicPartition, Offset)>]) -> Result<(), Error> {
        self.member.assign(groups)
    }

    fn release(&mut self) -> Result<(), Error> {
        self.member.release()
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        self.member.set_paused(partitions, true);
        Ok(())
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        self.member.set_paused(partitions, false);
        Ok(())
    }

    fn seek(&mut self, starts: &[(TopicPartition, Offset)]) -> Result<(), Error> {
        self.member.seek(starts)
    }

    fn committed(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Option<Committed>>, Error> {
        let committed = self.member.committed(partitions);
        if let Err(Error::Unavailable(_)) = committed {
            // They may be pending for ever: of a commit that was told, but whose markers went with the broker.
            self.transactions.doubt();
        }
        committed
    }

    fn watermarks(&mut self, partition: &TopicPartition) -> Result<Watermarks, Error> {
        self.reader.watermarks(partition)
    }

    fn begin(&mut self) -> Result<(), Error> {
        self.transactions.begin()
    }

    fn produce(&mut self, record: &NewRecord) -> Result<(), Error> {
        self.transactions.produce(record)
    }

    fn commit(&mut self, offsets: &[(TopicPartition, Committed)]) -> Result<(), Error> {
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (partition, committed) in offsets {
            let mut element = list.add_partition(partition.topic.as_str(), partition.partition.0);
            element.set_offset(rdkafka::Offset::Offset(committed.offset.0)).map_err(fatal)?;
            element.set_metadata(&committed.metadata);
        }
        // Fresh each time: the generation changes with every rebalance.
        let group = self.member.consumer().group_metadata();
        let group = group.ok_or_else(|| Error::Abort("the member has left its group".into()))?;
        self.transactions.commit(Some((&list, &group, self.member.group())))
    }

    fn abort(&mut self) -> Result<(), Error> {
        self.transactions.abort()
    }

    fn renew_producer(&mut self) -> Result<(), Error> {
        if self.transactions.has_timed_out() {
            // After a pause somebody else may have been put in our place: the group knows before we fence him.
            while let Err(error) = self.member.hear_out(VERDICT) {
                let Error::Fenced(why) = error else { return Err(error) };
                self.rejoin(why)?;
                self.lost = true;
            }
        }
        let Identity { group, writes, .. } = &self.identity;
        self.transactions.renew(Some(group), || self.reader.held_up(writes, HELD_UP))?;
        self.clear()
    }

    fn must_renew(&self) -> bool {
        self.transactions.is_suspect()
    }

    fn in_doubt(&mut self) -> bool {
        let broke = self.transactions.broke_after_commit();
        if broke {
            self.transactions.doubt();
        }
        broke
    }
}
