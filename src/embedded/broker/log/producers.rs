//! What a partition remembers of its producers: the last batches of each (duplicates, gaps), open transactions (the
//! last stable offset) and aborted ones (what a `read_committed` reader must skip).
//!
//! Pure: everything here is a function of the batches that were appended, so a restart rebuilds it from the log (and,
//! for batches that retention has removed, from the snapshot beside it).

use super::batch::{Batch, NO_PRODUCER};
use crate::embedded::broker::Outcome;
use kafka_protocol::error::ResponseError;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A producer may have five batches in flight, so a retry can reach this far back.
const REMEMBERED: usize = 5;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Producers {
    known: BTreeMap<i64, Producer>,
    /// Ended by an abort marker, in the order of their markers.
    aborted: Vec<Aborted>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Producer {
    epoch: i16,
    seen: VecDeque<Seen>,
    /// Where the open transaction begins in this partition.
    open: Option<i64>,
    /// The coordinator has added this partition to the producer's running transaction.
    admitted: bool,
    /// The epoch was raised here, so the sequence must begin at 0. (A producer that was forgotten goes on where it is.)
    raised: bool,
    last_seen: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    first_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aborted {
    pub producer_id: i64,
    pub first: i64,
    /// The offset of the marker.
    pub last: i64,
}

impl Producers {
    /// Whether a client's batch may be appended; the offset if it is already in the log.
    pub fn judge(&self, batch: &Batch) -> Outcome<Option<i64>> {
        let not_admitted = Err(ResponseError::InvalidTxnState);
        if batch.producer_id == NO_PRODUCER {
            return Ok(None);
        }
        let Some(producer) = self.known.get(&batch.producer_id) else {
            // Nothing is remembered (new, expired, or its records are gone): any first sequence is taken.
            return if batch.is_transactional() { not_admitted } else { Ok(None) };
        };
        if batch.producer_epoch < producer.epoch {
            return Err(ResponseError::InvalidProducerEpoch);
        }
        let same_epoch = batch.producer_epoch == producer.epoch;
        if same_epoch && let Some(seen) = producer.seen.iter().find(|seen| seen.is(batch)) {
            return Ok(Some(seen.base_offset));
        }
        if batch.is_transactional() && !(same_epoch && producer.admitted) {
            return not_admitted;
        }
        let last = producer.seen.back().filter(|_| same_epoch).map(|seen| seen.last_sequence);
        let follows = match last {
            Some(i32::MAX) => batch.base_sequence == 0,
            Some(last) => batch.base_sequence == last + 1,
            None => batch.base_sequence == 0 || (same_epoch && !producer.raised),
        };
        if follows { Ok(None) } else { Err(ResponseError::OutOfOrderSequenceNumber) }
    }

    /// Remembers an appended data batch.
    pub fn appended(&mut self, batch: &Batch, now: i64) {
        if batch.producer_id == NO_PRODUCER {
            return;
        }
        let producer = self.at_epoch(batch.producer_id, batch.producer_epoch);
        producer.last_seen = now;
        if producer.seen.len() == REMEMBERED {
            producer.seen.pop_front();
        }
        producer.seen.push_back(Seen {
            first_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence(),
            base_offset: batch.base_offset,
        });
        // Compaction may leave no more of a batch than its header.
        if batch.is_transactional() && batch.count > 0 && producer.open.is_none() {
            producer.open = Some(batch.base_offset);
        }
    }

    /// Remembers an appended control batch.
    pub fn ended(&mut self, batch: &Batch, commit: bool, now: i64) {
        let producer = self.at_epoch(batch.producer_id, batch.producer_epoch);
        producer.admitted = false;
        producer.last_seen = now;
        if let Some(first) = producer.open.take()
            && !commit
        {
            self.aborted.push(Aborted { producer_id: batch.producer_id, first, last: batch.base_offset });
        }
    }

    /// The coordinator has added this partition to the producer's transaction.
    pub fn admit(&mut self, producer_id: i64, epoch: i16, now: i64) {
        let producer = self.at_epoch(producer_id, epoch);
        producer.admitted = true;
        producer.last_seen = now;
    }

    /// After a restart only the coordinator knows which transactions are running.
    pub fn close_admissions(&mut self) {
        self.known.values_mut().for_each(|producer| producer.admitted = false);
    }

    fn at_epoch(&mut self, producer_id: i64, epoch: i16) -> &mut Producer {
        let fresh = Producer { epoch, ..Producer::default() };
        let producer = self.known.entry(producer_id).or_insert(fresh);
        if producer.epoch != epoch {
            producer.epoch = epoch;
            producer.seen.clear();
            producer.raised = true;
        }
        producer
    }

    /// The offset of the first record whose transaction is still open.
    pub fn first_open(&self) -> Option<i64> {
        self.known.values().filter_map(|producer| producer.open).min()
    }

    pub fn is_open(&self, producer_id: i64) -> bool {
        self.known.get(&producer_id).is_some_and(|producer| producer.open.is_some())
    }

    /// Aborted transactions with records in `from..to`, as a fetch answer lists them.
    pub fn aborted_between(&self, from: i64, to: i64) -> impl Iterator<Item = &Aborted> {
        let start = self.aborted.partition_point(|aborted| aborted.last < from);
        self.aborted[start..].iter().filter(move |aborted| aborted.first < to)
    }

    /// Whether an aborted transaction of this producer covers `offset`.
    pub fn is_aborted(&self, producer_id: i64, offset: i64) -> bool {
        self.aborted_between(offset, offset + 1).any(|aborted| aborted.producer_id == producer_id)
    }

    /// Compaction has removed the aborted records before `end` together with their markers: to go on listing them would
    /// make a reader skip what the same producer committed later.
    pub fn forget_aborted_before(&mut self, end: i64) {
        self.aborted.retain(|aborted| aborted.last >= end);
    }

    /// The same after a restart: `markers` are the offsets of those that are there.
    pub fn keep_aborted(&mut self, markers: &BTreeSet<i64>) {
        self.aborted.retain(|aborted| markers.contains(&aborted.last));
    }

    /// Forgets aborted transactions before the log's start, and producers silent since `idle_since`.
    pub fn forget(&mut self, log_start: i64, idle_since: i64) {
        self.forget_aborted_before(log_start);
        self.known
            .retain(|_, producer| producer.open.is_some() || producer.admitted || producer.last_seen >= idle_since);
    }
}

impl Seen {
    fn is(&self, batch: &Batch) -> bool {
        self.first_sequence == batch.base_sequence && self.last_sequence == batch.last_sequence()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(producer_id: i64, epoch: i16, sequence: i32, count: i32, base_offset: i64) -> Batch {
        let bytes = super::super::batch::marker(producer_id, epoch, true, 0);
        let marker = Batch::parse(&bytes).unwrap();
        let last_offset_delta = count - 1;
        Batch { base_offset, last_offset_delta, base_sequence: sequence, count, attributes: 0, ..marker }
    }

    fn transactional(batch: Batch) -> Batch {
        Batch { attributes: 1 << 4, ..batch }
    }

    #[test]
    fn a_retry_of_any_of_the_last_five_batches_is_a_duplicate() {
        let mut producers = Producers::default();
        for at in 0..6 {
            let next = batch(1, 0, at * 10, 10, i64::from(at) * 10);
            assert_eq!(producers.judge(&next), Ok(None));
            producers.appended(&next, 0);
        }
        assert_eq!(producers.judge(&batch(1, 0, 10, 10, 0)), Ok(Some(10)));
        assert_eq!(producers.judge(&batch(1, 0, 50, 10, 0)), Ok(Some(50)));
        // Older than five, a gap, and a different cut of a known batch are all out of order.
        for sequence in [0, 61, 55] {
            let wrong = Err(ResponseError::OutOfOrderSequenceNumber);
            assert_eq!(producers.judge(&batch(1, 0, sequence, 10, 0)), wrong, "{sequence}");
        }
    }

    #[test]
    fn an_old_epoch_is_refused_and_a_new_one_starts_at_zero() {
        let mut producers = Producers::default();
        producers.appended(&batch(1, 3, 0, 5, 0), 0);
        assert_eq!(producers.judge(&batch(1, 2, 5, 1, 0)), Err(ResponseError::InvalidProducerEpoch));
        assert_eq!(producers.judge(&batch(1, 4, 5, 1, 0)), Err(ResponseError::OutOfOrderSequenceNumber));
        assert_eq!(producers.judge(&batch(1, 4, 0, 1, 0)), Ok(None));
    }

    #[test]
    fn a_forgotten_producer_goes_on_with_its_own_sequence() {
        let mut producers = Producers::default();
        producers.appended(&batch(1, 0, 0, 5, 0), 0);
        producers.forget(0, 1);
        producers.admit(1, 0, 2);
        assert_eq!(producers.judge(&transactional(batch(1, 0, 5, 5, 5))), Ok(None));
    }

    #[test]
    fn sequences_wrap_to_zero() {
        let mut producers = Producers::default();
        producers.appended(&batch(1, 0, i32::MAX, 1, 0), 0);
        assert_eq!(producers.judge(&batch(1, 0, 0, 1, 1)), Ok(None));
    }

    #[test]
    fn a_transactional_batch_needs_the_coordinators_word() {
        let mut producers = Producers::default();
        let data = transactional(batch(1, 0, 0, 5, 0));
        assert_eq!(producers.judge(&data), Err(ResponseError::InvalidTxnState));
        producers.admit(1, 0, 0);
        assert_eq!(producers.judge(&data), Ok(None));
        producers.appended(&data, 0);
        producers.ended(&batch(1, 0, -1, 1, 5), true, 0);
        assert_eq!(producers.judge(&transactional(batch(1, 0, 5, 5, 6))), Err(ResponseError::InvalidTxnState));
    }

    #[test]
    fn open_and_aborted_transactions_are_found_by_offset() {
        let mut producers = Producers::default();
        producers.appended(&transactional(batch(1, 0, 0, 5, 0)), 0);
        producers.appended(&transactional(batch(2, 0, 0, 5, 5)), 0);
        assert_eq!(producers.first_open(), Some(0));
        producers.ended(&batch(1, 0, -1, 1, 10), false, 0);
        assert_eq!(producers.first_open(), Some(5));
        producers.ended(&batch(2, 0, -1, 1, 11), true, 0);
        assert_eq!(producers.first_open(), None);
        let aborted: Vec<_> = producers.aborted_between(3, 8).map(|aborted| aborted.producer_id).collect();
        assert_eq!(aborted, [1]);
        assert!(producers.is_aborted(1, 4) && !producers.is_aborted(2, 6));
        assert_eq!(producers.aborted_between(11, 20).count(), 0);
    }

    #[test]
    fn a_marker_with_a_newer_epoch_fences_the_old_one() {
        let mut producers = Producers::default();
        producers.appended(&transactional(batch(1, 0, 0, 5, 0)), 0);
        producers.ended(&batch(1, 1, -1, 1, 5), false, 0);
        assert_eq!(producers.judge(&batch(1, 0, 5, 1, 6)), Err(ResponseError::InvalidProducerEpoch));
        assert!(producers.is_aborted(1, 0));
    }
}
