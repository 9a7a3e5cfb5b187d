//! A source and a transactional producer on the target: messages go from one to the other as they are.
//!
//! The order of fields is that of their ends: a message that is on its way is the producer's, and lies in memory of the consumer.

use super::native::{Message, TopicHandle};
use super::producer::{Delivered, Transactions};
use super::source::{KafkaSource, Slot, Taken};
use super::{HELD_UP, KafkaReader};
use crate::log::client::Connection;
use crate::log::{Error, Reader};
use crate::record::{Batch, EventTime, NewRecord, Offset, Topic, TopicPartition};

/// Order of calls: any `progress`; then `add`, `take`, and `begin`, any `relay` and `produce`, `commit`; again. After an error it is
/// thrown away: a new one finds on the target what became of it.
pub struct KafkaRelay {
    topics: Vec<(Topic, TopicHandle)>,
    /// Where the copies of a slot go: a topic of those above, and the partition.
    targets: Vec<(usize, i32)>,
    transactions: Transactions,
    reader: KafkaReader,
    source: KafkaSource,
    /// Bytes that were handed to the producer since its reports were served.
    handed: usize,
}

/// Reports come by batches; to look for them after each message costs more than they do.
const SERVED_EVERY: usize = 256 << 10;

impl KafkaRelay {
    /// Fences every older producer of this id and ends its open transaction, with what a broker left open of it on the partitions that are
    /// `written` to. `group` is only a name for quotas and access rules.
    pub fn new(
        (from, to): (&Connection, &Connection),
        group: &str,
        transactional_id: &str,
        written: &[TopicPartition],
    ) -> Result<Self, Error> {
        let mut reader = KafkaReader::new(to, group)?;
        let held_up = || reader.held_up_among(written, HELD_UP);
        let mut transactions = Transactions::relaying(to, transactional_id, held_up)?;
        if transactions.is_unsure() {
            transactions.clear(&reader.held_up_among(written, HELD_UP)?, None)?;
        }
        let source = KafkaSource::new(from, group)?;
        Ok(Self { topics: Vec::new(), targets: Vec::new(), transactions, reader, source, handed: 0 })
    }

    /// Reads a partition of the target, committed, from there to its true end; answers where that was.
    pub fn read_back(
        &mut self,
        partition: &TopicPartition,
        from: Offset,
        bytes_max: usize,
        mut each: impl FnMut(&Batch) -> Result<(), Error>,
    ) -> Result<Offset, Error> {
        let ends = self.reader.watermarks(partition)?;
        let mut next = from.max(ends.low);
        let mut batch = Batch::default();
        let until = std::time::Instant::now() + super::producer::END;
        while next < ends.high {
            batch.clear();
            let before = next;
            next = self.reader.read(partition, next, bytes_max, std::time::Duration::from_secs(1), &mut batch)?;
            each(&batch)?;
            if next == before && std::time::Instant::now() > until {
                return Err(Error::Unavailable(format!("{partition}: a transaction is still open before its end")));
            }
        }
        Ok(next)
    }

    /// Copies these too: from where, from which offset on, to where.
    pub fn add(&mut self, pairs: &[(TopicPartition, Offset, TopicPartition)]) -> Result<Slot, Error> {
        for (_, _, TopicPartition { topic, partition }) in pairs {
            let known = self.topics.iter().rposition(|(known, _)| known == topic);
            let at = match known {
                Some(at) => at,
                None => {
                    self.topics.push((topic.clone(), self.transactions.handle(topic.as_str())?));
                    self.topics.len() - 1
                }
            };
            self.targets.push((at, partition.0));
        }
        let starts: Vec<_> = pairs.iter().map(|(from, next, _)| (from.clone(), *next)).collect();
        self.source.add(&starts)
    }

    pub fn take(&mut self) -> Result<Option<Taken>, Error> {
        self.source.take()
    }

    /// The end of a slot's log as of the newest fetch, if there was one.
    pub fn end(&self, slot: Slot) -> Option<Offset> {
        self.source.end(slot)
    }

    pub fn source(&mut self) -> &mut KafkaSource {
        &mut self.source
    }

    pub fn begin(&mut self) -> Result<(), Error> {
        self.transactions.begin()
    }

    /// Hands a message on, as written `at` then, which is not 0: librdkafka takes that for now. Waits while more than
    /// `on_their_way_max` bytes are.
    pub fn relay(&mut self, slot: Slot, message: Message, at: EventTime, on_their_way_max: u64) -> Result<(), Error> {
        let (topic, partition) = self.targets[slot];
        self.handed += self.transactions.relay(&self.topics[topic].1, partition, message, at)?;
        if self.handed < SERVED_EVERY {
            return Ok(());
        }
        self.handed = 0;
        self.transactions.serve();
        while self.transactions.on_their_way() > on_their_way_max {
            self.transactions.wait_for_room()?;
        }
        Ok(())
    }

    pub fn produce(&mut self, record: &NewRecord) -> Result<(), Error> {
        self.transactions.produce(record)
    }

    /// All copies are on the broker; where they lie, by the slot they came from.
    pub fn settle(&mut self) -> Result<Vec<(Slot, Delivered)>, Error> {
        self.transactions.settle()?;
        self.delivered()
    }

    /// What was delivered since the last call.
    pub fn delivered(&mut self) -> Result<Vec<(Slot, Delivered)>, Error> {
        let known = |delivered: Delivered| {
            let slot = self.source.known(delivered.origin);
            slot.map(|slot| (slot, delivered))
                .ok_or_else(|| Error::Fatal("a copy of an unknown record was delivered".into()))
        };
        self.transactions.delivered().into_iter().map(known).collect()
    }

    pub fn commit(&mut self) -> Result<(), Error> {
        self.transactions.commit(None)
    }

    pub fn abort(&mut self) -> Result<(), Error> {
        self.transactions.abort()
    }

    /// To be thrown away before the next transaction ([`crate::log::Log::must_renew`]).
    pub fn is_suspect(&self) -> bool {
        self.transactions.is_suspect()
    }

    /// To be called from time to time when nothing is written.
    pub fn refresh(&mut self) -> Result<(), Error> {
        self.transactions.refresh()?;
        self.reader.refresh()
    }
}
